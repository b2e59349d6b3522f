"""The API reference has every public name, once, and what the pages say of names is true."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import griffe
import pytest

from tests.docs.blocks import ROOT
from tests.typing.api import PUBLIC, module, package, public_names, spoken_of

DOCS: Final = ROOT / "docs"
_SHOWN: Final = re.compile(r"^::: ([\w.]+)$", re.MULTILINE)
# `trustls.x.y`, or `Name.member` of a name that trustls exports; with what follows a bracket left out.
_NAMED: Final = re.compile(r"`(?:(trustls(?:\.\w+)+)|([A-Z]\w+(?:\.\w+)+))[(`\[]")


def everything() -> list[str]:
    return [f"{path}.{name}" for path in PUBLIC for name in public_names(path)]


def shown() -> list[str]:
    return [name for page in sorted(DOCS.rglob("*.md")) for name in _SHOWN.findall(page.read_text())]


def target_of(path: str) -> griffe.Object:
    found = package()[path.removeprefix("trustls.")]
    target = found.final_target if isinstance(found, griffe.Alias) else found
    assert isinstance(target, griffe.Object)
    return target


def in_navigation() -> list[str]:
    _, _, navigation = (ROOT / "mkdocs.yml").read_text().partition("\nnav:\n")
    return re.findall(r"^ *- ([\w/-]+\.md)$", navigation, re.MULTILINE)


def test_every_public_name_is_shown_once() -> None:
    modules = {path for path in everything() if target_of(path).is_module}
    missing = sorted(set(everything()) - set(shown()) - modules)
    assert not missing, f"docs/reference/ does not show {', '.join(missing)}"
    twice = sorted({name for name in shown() if shown().count(name) > 1})
    assert not twice, f"docs/reference/ shows {', '.join(twice)} more than once"
    strange = sorted(set(shown()) - set(everything()) - spoken_of())
    assert not strange, f"docs/reference/ shows {', '.join(strange)}, which is neither public nor spoken of there"


@pytest.mark.parametrize("path", PUBLIC)
def test_every_public_module_is_in_the_overview(path: str) -> None:
    assert f"`{path}`" in (DOCS / "reference" / "index.md").read_text(), f"docs/reference/index.md leaves out {path}"


@pytest.mark.parametrize("path", everything())
def test_public_name_says_what_it_is(path: str) -> None:
    target = target_of(path)
    if target.is_class or target.is_function:
        assert target.docstring is not None, f"{path} has no docstring"
    if isinstance(target, griffe.Class):
        methods = [member for member in target.members.values() if isinstance(member, griffe.Function)]
        silent = [method.name for method in methods if method.docstring is None and not method.name.startswith("_")]
        assert not silent, f"{path} has methods without a docstring: {', '.join(silent)}"


@pytest.mark.parametrize("path", everything())
def test_arguments_that_are_explained_exist(path: str) -> None:
    target = target_of(path)
    functions = [target] if isinstance(target, griffe.Function) else []
    if isinstance(target, griffe.Class):
        functions = [member for member in target.members.values() if isinstance(member, griffe.Function)]
    for function in functions:
        names = {parameter.name for parameter in function.parameters}
        docstrings = [function.docstring]
        if function.name == "__init__" and isinstance(function.parent, griffe.Class):
            docstrings.append(function.parent.docstring)
        for docstring in docstrings:
            unknown = explained(docstring) - names
            # A mapping of keywords is explained by its keys.
            assert not unknown or any(p.kind is griffe.ParameterKind.var_keyword for p in function.parameters), (
                f"{function.path} explains {', '.join(sorted(unknown))}, and takes {', '.join(sorted(names))}"
            )


def explained(docstring: griffe.Docstring | None) -> set[str]:
    if docstring is None:
        return set()
    return {
        name.strip().lstrip("*")
        for section in docstring.parse("google", warnings=False)
        if isinstance(section, griffe.DocstringSectionParameters)
        for entry in section.value
        for name in entry.name.split(",")
    }


def test_every_page_is_in_the_navigation() -> None:
    navigation = in_navigation()
    pages = {page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md")}
    missing = sorted(pages - set(navigation))
    assert not missing, f"`nav` in mkdocs.yml leaves out {', '.join(missing)}"
    gone = sorted(set(navigation) - pages)
    assert not gone, f"`nav` in mkdocs.yml names {', '.join(gone)}, which are not in docs/"
    assert len(navigation) == len(pages), "mkdocs.yml names a page twice"


@pytest.mark.parametrize("page", [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))], ids=lambda page: page.name)
def test_names_that_a_page_mentions_exist(page: Path) -> None:
    exported = set(public_names("trustls"))
    wrong = []
    for dotted, member in _NAMED.findall(page.read_text()):
        if member and member.partition(".")[0] not in exported:
            continue  # Another library's.
        path = dotted.removeprefix("trustls.") if dotted else member
        if path.partition(".")[0] in {"handshake", "reloading", "trust"} and not exists(path):
            continue  # The name of a logger.
        if not exists(path):
            wrong.append(dotted or member)
    assert not wrong, f"{page.name} mentions {', '.join(wrong)}, and there is no such name"


def exists(path: str) -> bool:
    """Whether a dotted path leads anywhere, by way of base classes too."""
    current: griffe.Object | griffe.Alias = module("trustls")
    for part in path.split("."):
        try:
            current = current.all_members[part]
        except KeyError:
            return False
    return True
