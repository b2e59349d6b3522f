"""What the API reference does with docstrings, and with dataclasses: extensions of griffe, which mkdocs.yml names.

A field that the class's own docstring explains is not listed a second time, bare, and the examples, which are doctests,
are shown as code.
"""

from __future__ import annotations

import re
from typing import Any, Final

import griffe

_EXAMPLE: Final = re.compile(r"^( *)(>>> .*(?:\n(?! *$).*)*)", re.MULTILINE)
_DIRECTIVE: Final = re.compile(r" *# doctest: \+\w+")
# What the connections read of a configuration: not for users.
_OURS: Final = frozenset({"trustls.config.ClientConfig.parameters", "trustls.config.ServerConfig.parameters"})


class Reference(griffe.Extension):
    """Tidies the package once all of it is read."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Called by griffe."""
        _tidy(pkg)


class Dataclasses(griffe.Extension):
    """Has griffe take the decorator of trustls.values for what it does as: that of the standard library."""

    def on_alias_instance(self, *, alias: griffe.Alias, **_: Any) -> None:
        """Called by griffe for each name that is imported."""
        if alias.target_path == "trustls.values.dataclass":
            alias.target_path = "dataclasses.dataclass"


def _tidy(item: griffe.Object) -> None:
    if item.docstring is not None:
        value = _DIRECTIVE.sub("", item.docstring.value)
        item.docstring.value = _EXAMPLE.sub(r"\1```pycon\n\1\2\n\1```", value)
    explained = _explained_fields(item) if isinstance(item, griffe.Class) else frozenset()
    for name, member in list(item.members.items()):
        if isinstance(member, griffe.Attribute) and member.docstring is None:
            if name in explained or member.canonical_path in _OURS:
                item.del_member(name)
        elif isinstance(member, griffe.Object):
            _tidy(member)


def _explained_fields(item: griffe.Class) -> frozenset[str]:
    """The names that stand under Args: or Attributes: in the docstring; several may share a line."""
    names: set[str] = set()
    for docstring in (item.docstring, *(member.docstring for member in _init(item))):
        for section in docstring.parse("google", warnings=False) if docstring is not None else ():
            if isinstance(section, griffe.DocstringSectionParameters | griffe.DocstringSectionAttributes):
                for entry in section.value:
                    names.update(part.strip() for part in entry.name.split(","))
    return frozenset(names)


def _init(item: griffe.Class) -> list[griffe.Object]:
    found = item.members.get("__init__")
    return [found] if isinstance(found, griffe.Object) else []
