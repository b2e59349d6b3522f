"""docs/mtls.md: what its table of failures says is what both sides say when they happen."""

from __future__ import annotations

import pytest

from tests.docs.failures import FAILURES, Failure, documented, table, told


def test_table_is_what_both_sides_say() -> None:
    assert documented() == table(), "write it anew with: python -m tests.docs.failures"


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: failure.title)
def test_failure_is_explained_on_both_sides(failure: Failure) -> None:
    said = told(failure)
    assert said.remedy, "nobody says what mends it"
    for words in (said.server, said.client):
        assert "internal_error" not in words, f"a refusal with a reason ended as an internal error: {words}"
