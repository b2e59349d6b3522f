"""Names for parameters of tests: the same in every process, or the tests could not be shared out among several."""

from __future__ import annotations

import re


def stable(value: object) -> str:
    """What a value looks like, without where it is in memory, and not at length."""
    text = re.sub(r" object at 0x[0-9a-f]+", "", repr(value))
    text = re.sub(r"[0-9a-f]{64}", "...", text)
    return text if len(text) <= 120 else type(value).__name__
