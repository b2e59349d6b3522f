"""The recorded list of test names, with braces as the shell has them: a few hundred lines for two thousand names.

`EarlyData-{Client,Server}{,-TLS13}` stands for EarlyData-Client, EarlyData-Client-TLS13 and the same two of Server.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

# A name that ends where others go on.
_END: Final = ""
_WIDTH: Final = 160

Tree = dict[str, "Tree"]


def folded(names: Iterable[str]) -> str:
    """The names, as lines of about 160 characters at the most."""
    root: Tree = {}
    for name in sorted(names):
        node = root
        for part in name.split("-"):
            node = node.setdefault(part, {})
        node[_END] = {}
    return "".join(f"{line}\n" for part, node in root.items() for line in _lines(part, node))


def _lines(start: str, node: Tree) -> Iterator[str]:
    line = start + _rest(node)
    if len(line) <= _WIDTH:
        yield line
        return
    if _END in node:
        yield start
    for parts, below in _alike(node):
        for few in _fitting(parts, _WIDTH - len(start)):
            yield from _lines(f"{start}-{_braced(few)}", below)


def _fitting(parts: list[str], width: int) -> Iterator[list[str]]:
    """The parts in groups that fit into `width` with their commas; each has one at least."""
    few: list[str] = []
    for part in parts:
        if few and sum(map(len, few)) + len(few) + len(part) + 3 > width:
            yield few
            few = []
        few.append(part)
    yield few


def _rest(node: Tree) -> str:
    """How names may go on from here."""
    ways = [f"-{_braced(parts)}{_rest(below)}" for parts, below in _alike(node)]
    return _braced([_END, *ways] if _END in node else ways)


def _alike(node: Tree) -> list[tuple[list[str], Tree]]:
    """The parts that come next, together where names go on alike from them."""
    groups: dict[str, tuple[list[str], Tree]] = {}
    for part, below in node.items():
        if part != _END:
            groups.setdefault(_rest(below), ([], below))[0].append(part)
    return list(groups.values())


def _braced(ways: list[str]) -> str:
    return ways[0] if len(ways) == 1 else "{" + ",".join(ways) + "}"


def unfolded(text: str) -> list[str]:
    """The names that `folded` wrote down.

    >>> unfolded("Alert\\nEarlyData-{Client,Server}{,-TLS13}\\n")
    ['Alert', 'EarlyData-Client', 'EarlyData-Client-TLS13', 'EarlyData-Server', 'EarlyData-Server-TLS13']
    """
    return [name for line in text.splitlines() for name in _expanded(line)]


def _expanded(line: str) -> list[str]:
    """Every name of a line: the first pair of braces is opened, then those that are left."""
    start = line.find("{")
    if start < 0:
        return [line]
    depth, begin, ways = 0, start + 1, []
    for end in range(start, len(line)):
        depth += {"{": 1, "}": -1}.get(line[end], 0)
        if (depth == 1 and line[end] == ",") or not depth:
            ways.append(line[begin:end])
            begin = end + 1
        if not depth:
            break
    return [name for way in ways for name in _expanded(line[:start] + way + line[begin:])]
