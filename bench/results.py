"""What a measurement gives: rows of medians, one value for each peer, that print and go into JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field

TRUSTLS = "trustls"
UNCACHED = "trustls, no caches"
SSL = "ssl"
PYOPENSSL = "pyOpenSSL"
RTLS = "rtls"
TLSLITE = "tlslite-ng"
LIMIT = "limit"
"""What the primitives alone cost, called from Python through `cryptography`."""


@dataclass(slots=True)
class Row:
    """One measurement: medians by peer, all in `unit`.

    `key` names the row for the goals (`goals.py`). `detail` holds what JSON keeps and the table does not show. `notes`
    are printed below the table.
    """

    section: str
    key: str
    work: str
    unit: str
    values: dict[str, float] = field(default_factory=dict)
    detail: dict[str, object] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def dump(rows: Iterable[Row]) -> str:
    return json.dumps([asdict(row) for row in rows])


def load(text: str) -> list[Row]:
    return [Row(**row) for row in json.loads(text)]
