"""The goals of the design, section 8: ratios of medians measured in one run."""

from __future__ import annotations

from typing import NamedTuple

from bench.results import LIMIT, PYOPENSSL, RTLS, SSL, TRUSTLS, Row


class Goal(NamedTuple):
    """`trustls / against` of the row `key` is to be at most (or at least) `bound`.

    Without `against` the bound is a figure in the row's own unit.
    """

    key: str
    against: str | None
    bound: float
    at_least: bool = False

    def figure(self, row: Row) -> float | None:
        """The ratio, or the plain value; None where one of the two was not measured."""
        value = row.values.get(TRUSTLS)
        if value is None or self.against is None:
            return value
        other = row.values.get(self.against)
        return value / other if other else None

    def reached(self, figure: float) -> bool:
        return figure >= self.bound if self.at_least else figure <= self.bound

    def __str__(self) -> str:
        sign = "≥" if self.at_least else "≤"
        return f"{sign} {self.bound:g}" + (f" x {self.against}" if self.against else "")


GOALS = (
    Goal("handshake", SSL, 0.75),
    Goal("handshake", PYOPENSSL, 0.75),
    Goal("handshake", RTLS, 1.5),
    Goal("handshake", LIMIT, 2),
    Goal("mutual-hints", SSL, 0.5),
    Goal("mutual-hints", PYOPENSSL, 0.6),
    Goal("tls12", SSL, 0.8),
    Goal("resumed", SSL, 0.75),
    Goal("bulk-aes-65536", SSL, 1.5, at_least=True),
    Goal("bulk-aes-65536", LIMIT, 0.75, at_least=True),
    Goal("loopback-bulk", "asyncio + ssl", 1.3, at_least=True),
    Goal("loopback-bulk", "uvloop + ssl", 1.1, at_least=True),
    Goal("memory-client", None, 8),
    Goal("memory-server", None, 8),
    Goal("import", None, 30),
)


def goals_of(row: Row) -> list[tuple[Goal, float]]:
    """The goals that this row answers, each with the figure it reached."""
    return [(goal, figure) for goal in GOALS if goal.key == row.key and (figure := goal.figure(row)) is not None]
