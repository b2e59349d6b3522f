"""The public API as lines of text: every name, its signature, its bases, its members.

`python -m tests.typing.api` records it in public_api.txt anew. It is read from the source, without importing it (by
griffe), so that it is the same in every Python, and whichever extras are installed.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import griffe

from tests.docs.reference import Dataclasses

ROOT: Final = Path(__file__).parents[2]
RECORD: Final = Path(__file__).parent / "public_api.txt"

# Where names may be imported from. A module of the package's own folder is in one of these two lists: see the test.
PUBLIC: Final = (
    "trustls",
    "trustls.aio",
    "trustls.anyio",
    "trustls.trio",
    "trustls.stdlib",
    "trustls.asgi",
    "trustls.wsgi",
    "trustls.danger",
    "trustls.spiffe",
    "trustls.session.redis",
    "trustls.identity.pkcs11",
)
INTERNAL: Final = frozenset({
    *("__main__", "cli", "config", "connection", "crypto", "errors", "handshake", "identity", "keylog", "net"),
    *("protocol", "reloading", "session", "trace", "trust", "values", "wire"),
})  # fmt: skip

# What the connections read of a configuration: not for users, and free to change.
_OURS: Final = frozenset({"trustls.config.ClientConfig.parameters", "trustls.config.ServerConfig.parameters"})
# Special methods that say nothing about how an object is used.
_SILENT: Final = frozenset({
    *("__post_init__", "__repr__", "__str__", "__reduce__", "__slots__", "__hash__", "__eq__", "__match_args__"),
    *("__getattr__", "__setattr__", "__delattr__", "__dir__", "__new__", "__missing__", "__format__"),
})  # fmt: skip


@functools.cache
def package() -> griffe.Module:
    """trustls, read and not imported."""
    extensions = griffe.load_extensions(Dataclasses)
    loaded = griffe.load("trustls", search_paths=[ROOT / "src"], resolve_aliases=True, extensions=extensions)
    assert isinstance(loaded, griffe.Module)
    return loaded


def module(path: str) -> griffe.Object | griffe.Alias:
    """A module by its dotted path."""
    inside = path.removeprefix("trustls").lstrip(".")
    return package()[inside] if inside else package()


def public_names(path: str) -> list[str]:
    """What a module's `__all__` has; without one, its classes, functions and CONSTANTS."""
    found = module(path)
    if isinstance(found.exports, list):
        return sorted(str(name) for name in found.exports)
    return sorted(
        name
        for name, member in found.members.items()
        if not name.startswith("_")
        and not member.is_alias
        and (member.is_class or member.is_function or (member.is_attribute and name.isupper() and len(name) > 1))
    )


def lines() -> list[str]:
    """The whole of it."""
    return _whole().lines


def spoken_of() -> set[str]:
    """The names that public signatures speak of, and that are not public themselves."""
    return _whole().unexported


@functools.cache
def _whole() -> _Api:
    api = _Api()
    for path in PUBLIC:
        for name in public_names(path):
            api.add(f"{path}.{name}", module(path)[name])
    return api


def recorded() -> list[str]:
    """What was recorded last."""
    return RECORD.read_text().splitlines()


class _Api:
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.unexported: set[str] = set()
        self._known: set[str] = {
            module(path)[name].canonical_path for path in PUBLIC for name in public_names(path)
        }  # fmt: skip
        self._written: dict[str, str] = {}

    def add(self, path: str, item: griffe.Object | griffe.Alias) -> None:
        """One name, and after it whatever its signatures speak of that is not exported itself."""
        target = item.final_target if isinstance(item, griffe.Alias) else item
        if target.is_module:
            self.lines.append(f"module {path}")
            return
        already = self._written.setdefault(target.canonical_path, path)
        if already != path:
            self.lines.append(f"{path} is {already}")
            return
        self.lines.extend(self._described(path, target))

    def _described(self, path: str, target: griffe.Object) -> Iterator[str]:
        spoken: list[griffe.Expr | str | None] = []
        if isinstance(target, griffe.Class):
            yield f"class {path}({', '.join(str(base) for base in target.bases)}){_labels(target)}"
            for name, member in sorted(self._members(target).items()):
                yield from (f"    {line}" for line in _member(name, member, spoken))
        else:
            yield from _member(path, target, spoken)
        for expression in spoken:
            for other in _speaks_of(expression):
                self._add_unexported(other)

    def _members(self, target: griffe.Class) -> dict[str, griffe.Object]:
        """Those of the class and of its bases, as far as these are not public names themselves."""
        found: dict[str, griffe.Object] = {}
        for owner in (*reversed(target.mro()), target):
            if owner is not target and owner.canonical_path in self._known:
                continue
            for name, member in owner.members.items():
                shown = not name.startswith("_") or (name.startswith("__") and name not in _SILENT)
                if shown and not member.is_alias and member.canonical_path not in _OURS:
                    assert isinstance(member, griffe.Object)
                    found[name] = member
        return found

    def _add_unexported(self, path: str) -> None:
        if path in self._known or not path.startswith("trustls."):
            return
        self._known.add(path)
        target = package()[path.removeprefix("trustls.")]
        of_a_module = target.parent is not None and target.parent.is_module
        if of_a_module and not target.name.startswith("_"):
            self.unexported.add(path)
            self.add(path, target)


def _member(name: str, target: griffe.Object, spoken: list[griffe.Expr | str | None]) -> Iterator[str]:
    if isinstance(target, griffe.Function):
        for function in target.overloads or [target]:
            spoken.extend([function.returns, *(each.annotation for each in function.parameters)])
            yield f"{_labels(function).strip()} def {name}{_signature(function)}".lstrip()
    elif isinstance(target, griffe.Attribute):
        spoken.append(target.annotation)
        in_module = target.parent is not None and target.parent.is_module
        is_alias = str(target.annotation) == "TypeAlias" or (in_module and target.annotation is None)
        constant = is_alias or target.name.isupper()
        if is_alias:
            spoken.append(target.value)
        value = f" = {target.value}" if constant and target.value is not None else ""
        annotation = f": {target.annotation}" if target.annotation is not None else ""
        yield f"{_labels(target).strip()} {name}{annotation}{value}".lstrip()
    elif isinstance(target, griffe.Class):
        yield f"class {name}({', '.join(str(base) for base in target.bases)})"


def _labels(target: griffe.Object) -> str:
    told = {
        "async",
        "classmethod",
        "staticmethod",
        "property",
        "cached",
        "writable",
        "deletable",
        "dataclass",
        "abstractmethod",
    }
    return "".join(f" [{label}]" for label in sorted(target.labels & told))


def _signature(function: griffe.Function) -> str:
    """As `def` has it. Its defaults are as the source writes them."""
    kinds = griffe.ParameterKind
    parts: list[str] = []
    seen: list[griffe.ParameterKind | None] = []
    for parameter in function.parameters:
        kind = parameter.kind
        if kinds.positional_only in seen and kind is not kinds.positional_only and "/" not in parts:
            parts.append("/")
        if kind is kinds.keyword_only and not {kinds.keyword_only, kinds.var_positional} & set(seen):
            parts.append("*")
        seen.append(kind)
        stars = {kinds.var_positional: "*", kinds.var_keyword: "**"}.get(kind, "") if kind else ""
        text = f"{stars}{parameter.name}"
        if parameter.annotation is not None:
            text += f": {parameter.annotation}"
        if parameter.default is not None and not stars:
            text += f" = {parameter.default}" if parameter.annotation is not None else f"={parameter.default}"
        parts.append(text)
    returns = f" -> {function.returns}" if function.returns is not None else ""
    return f"({', '.join(parts)}){returns}"


def _speaks_of(expression: griffe.Expr | str | None) -> Iterator[str]:
    if isinstance(expression, griffe.Expr):
        for part in expression.iterate(flat=True):
            if isinstance(part, griffe.ExprName):
                path = part.canonical_path
                if path.startswith("trustls."):
                    try:
                        yield package()[path.removeprefix("trustls.")].canonical_path
                    except KeyError:
                        continue  # A type variable of a function, or a name in a string.


if __name__ == "__main__":
    RECORD.write_text("\n".join(lines()) + "\n")
