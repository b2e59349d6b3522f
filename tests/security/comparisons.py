"""Finds comparisons of secrets in source code, by the names of what is compared.

Python's `==` on bytes stops at the first difference, and so does `in`: how long it takes tells a peer who can send
guesses how much of a secret he has right. What is found here goes through `crypto.hashing.equal`, which is
`hmac.compare_digest`, or is listed by the test with the reason why it need not.

Two nets, one inside the other. Everywhere: a comparison in which a name says that it is a secret. In the modules that
hold secrets: each comparison of two things that are neither constants nor numbers, whatever they are called.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final


def _words(*lines: str) -> frozenset[str]:
    return frozenset(word for line in lines for word in line.split())


# A word of a name that makes it a secret, or what proves that somebody has one.
_SECRETS: Final = _words(
    "secret secrets premaster master mac macs hmac verify binder binders cookie cookies psk psks ticket tickets",
    "password passphrase pin pins fingerprint fingerprints sha256 spki digest digests key keys exported exporter",
    "keying session sessions identifier token bearer tag tags",
)
# The last word says what a thing is: a key's length is a length.
_NO_SECRETS: Final = _words(
    "length size count limit lifetime type types kind kinds label labels algorithm name names usage usages version",
    "versions group groups scheme schemes share shares mode modes method oid start stop position",
)
# Where `tag` is that of DER.
_DER: Final = ("trust/", "wire/", "identity/", "cli/")
# Which modules hold secrets: there every comparison is looked at.
SECRET_ROOMS: Final = (
    "crypto/hashing.py",
    "crypto/aead.py",
    "crypto/key_exchange.py",
    "protocol/key_schedule.py",
    "protocol/key_schedule12.py",
    "session/",
    "handshake/binding.py",
    "handshake/client_sessions.py",
    "handshake/retry_cookie.py",
    "handshake/server_sessions.py",
    "identity/pkcs11/modules.py",
)
# Methods that compare byte by byte, or look for something that way.
_COMPARING_METHODS: Final = _words(
    "startswith endswith removeprefix removesuffix find rfind index rindex partition rpartition __eq__ __ne__"
)
_COMPARING_FUNCTIONS: Final = frozenset(("eq", "ne", "contains", "indexOf", "countOf"))
# What these give says next to nothing of what they are given.
_HARMLESS_CALLS: Final = frozenset(("len", "type", "isinstance", "id", "bool"))


@dataclass(frozen=True, order=True)
class Comparison:
    """One comparison: the module by its path below src/trustls, where in it, and the source as `ast` writes it."""

    module: str
    scope: str
    source: str
    line: int = 0

    @property
    def place(self) -> tuple[str, str, str]:
        """What it is listed by; lines move."""
        return self.module, self.scope, self.source

    def __str__(self) -> str:
        return f"{self.module}:{self.line} in {self.scope}: {self.source}"


def comparisons(source: str, module: str) -> Iterator[Comparison]:
    """Each comparison in a module that is of secrets, or may be."""
    yield from _in(ast.parse(source), module, ())


def _in(node: ast.AST, module: str, scope: tuple[str, ...]) -> Iterator[Comparison]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        scope = (*scope, node.name)
    if _compares_secrets(node, module):
        subject = node.subject if isinstance(node, ast.Match) else node
        assert isinstance(subject, ast.expr)
        yield Comparison(module, ".".join(scope) or "module", ast.unparse(subject), subject.lineno)
    for child in ast.iter_child_nodes(node):
        yield from _in(child, module, scope)


def _compares_secrets(node: ast.AST, module: str) -> bool:
    match node:
        case ast.Compare():
            sides = [node.left, *node.comparators]
            return any(
                _is_suspect((left, right), module)
                for operator, left, right in zip(node.ops, sides, sides[1:], strict=False)
                if isinstance(operator, ast.Eq | ast.NotEq | ast.In | ast.NotIn)
            )
        case ast.Match():
            return _is_suspect((node.subject,), module)
        case ast.Call(func=ast.Attribute(attr=method, value=value)) if method in _COMPARING_METHODS:
            return any(_names_secret(side, module) for side in (value, *node.args))
        case ast.Call(func=ast.Name(id=function) | ast.Attribute(attr=function)) if function in _COMPARING_FUNCTIONS:
            return any(_names_secret(side, module) for side in node.args)
    return False


def _is_suspect(sides: tuple[ast.expr, ...], module: str) -> bool:
    if any(_is_constant(side) for side in sides):
        return False
    return module.startswith(SECRET_ROOMS) or any(_names_secret(side, module) for side in sides)


def _is_constant(side: ast.expr) -> bool:
    """A number, a text, None, a member of an enumeration, a length: nothing that is guessed byte by byte."""
    match side:
        case ast.Constant():
            return not isinstance(side.value, bytes) or len(side.value) <= 1
        case ast.Tuple() | ast.Set() | ast.List():
            return all(_is_constant(item) for item in side.elts)
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name.isupper() or _head(name) in {"length", "size"}
        case ast.Call(func=ast.Name(id=function)):
            return function in _HARMLESS_CALLS
        case ast.UnaryOp():
            return _is_constant(side.operand)
    return False


def _names_secret(node: ast.AST, module: str) -> bool:
    return any(is_secret_name(name, module) for name in _names_in(node))


def _names_in(node: ast.AST) -> Iterator[str]:
    """The names whose values go into an expression: of `a.b.c` that is `c`, and of a call the function's as well."""
    match node:
        case ast.Name():
            yield node.id
        case ast.Attribute():
            yield node.attr
        case ast.Constant(value=str(text)):
            yield text
        case ast.Call(func=ast.Name(id=function)) if function in _HARMLESS_CALLS:
            return
        case ast.Call():
            yield from _names_in(node.func)
            if isinstance(node.func, ast.Attribute):
                yield from _names_in(node.func.value)
            for argument in (*node.args, *(keyword.value for keyword in node.keywords)):
                yield from _names_in(argument)
        case _:
            for child in ast.iter_child_nodes(node):
                yield from _names_in(child)


def is_secret_name(name: str, module: str) -> bool:
    """Whether a name says that it stands for a secret."""
    if name.isupper():
        return False
    words = [word.lower() for word in re.findall(r"[A-Z]?[a-z0-9]+|[A-Z]+", name)]
    if not words or words[-1] in _NO_SECRETS or "public" in words:
        return False
    secrets = _SECRETS - {"tag", "tags"} if module.startswith(_DER) else _SECRETS
    return any(word in secrets for word in words)


def _head(name: str) -> str:
    return name.lower().rpartition("_")[2]


def comparable_secrets(source: str, module: str) -> Iterator[str]:
    """The dataclasses whose generated `==` compares fields with the names of secrets, as "module:Class"."""
    for node in _dataclasses(source, without="eq"):
        if any(is_secret_name(name, module) for name, field in _fields(node) if not _says_no_to(field, "compare")):
            yield f"{_dotted(module)}:{node.name}"


def printed_secrets(source: str, module: str) -> Iterator[str]:
    """The fields of dataclasses that are bytes, named as secrets, and in the repr, as "module:Class.field"."""
    for node in _dataclasses(source, without="repr"):
        for name, field in _fields(node):
            is_bytes = "bytes" in ast.unparse(field.annotation)
            if is_bytes and is_secret_name(name, module) and not _says_no_to(field, "repr"):
                yield f"{_dotted(module)}:{node.name}.{name}"


def _dotted(module: str) -> str:
    return PurePosixPath(module).with_suffix("").as_posix().replace("/", ".")


def _dataclasses(source: str, *, without: str) -> Iterator[ast.ClassDef]:
    """The dataclasses, and the tuples with names, that do not decide about `without` themselves."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ClassDef) and _is_dataclass(node, without):
            yield node


def _is_dataclass(node: ast.ClassDef, without: str) -> bool:
    for decorator in node.decorator_list:
        match decorator:
            case ast.Name(id="dataclass"):
                return True
            case ast.Call(func=ast.Name(id="dataclass"), keywords=keywords):
                return not any(keyword.arg == without and _is_false(keyword.value) for keyword in keywords)
    return any(isinstance(base, ast.Name) and base.id == "NamedTuple" for base in node.bases)


def _fields(node: ast.ClassDef) -> Iterator[tuple[str, ast.AnnAssign]]:
    for field in node.body:
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            yield field.target.id, field


def _says_no_to(field: ast.AnnAssign, what: str) -> bool:
    """Whether a field says `compare=False`, or `repr=False`."""
    match field.value:
        case ast.Call(keywords=keywords):
            return any(keyword.arg == what and _is_false(keyword.value) for keyword in keywords)
    return False


def _is_false(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is False
