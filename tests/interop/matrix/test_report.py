"""docs/interop.md is what the run has shown: no more, and with the reasons for what is missing."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from tests.interop.matrix.adapters_compiled import GO, RUSTLS
from tests.interop.matrix.commands import TESTS
from tests.interop.matrix.report import Report, Square
from tests.interop.matrix.scenarios import Role, Scenario

ENVIRONMENT = {"trustls": "1", "Python": "3", "cryptography": "50", "system": "Linux"}
PASSED = Square(GO.name, Scenario.MUTUAL, Role.SERVER, "1.3", "passed", "Go 1.99", None, None)
REFUSED = dataclasses.replace(
    PASSED, scenario=Scenario.WRONG, ours="unknown issuer", theirs="tls: | <bad>\ncertificate"
)


def report(*squares: Square) -> Report:
    return Report(ENVIRONMENT, list(squares))


def test_squares_stand_in_the_table_of_their_role() -> None:
    page = report(PASSED, dataclasses.replace(PASSED, version="1.2", outcome="failed")).page()
    assert "| Go crypto/tls | Go 1.99 |" in page
    assert f"| {Scenario.MUTUAL} | **1.2 fails** 1.3 |" in page.partition("## trustls as server")[2]


def test_what_a_peer_cannot_do_is_a_dash_with_the_reason() -> None:
    page = report(PASSED).page()
    assert f"| {Scenario.THEIR_UPDATE} | -[^1] |" in page
    assert f"[^1]: {GO.cannot[0].reason}" in page


def test_words_of_refusals_are_quoted_beside_each_other() -> None:
    page = report(REFUSED, dataclasses.replace(REFUSED, version="1.2")).page()
    assert "### Wrong client certificate, trustls as server\n\ntrustls: \u201cunknown issuer\u201d" in page
    assert "| Go crypto/tls | 1.2, 1.3 | tls: \\| &lt;bad> certificate |" in page


def test_tests_of_the_commands_are_where_the_table_looks_for_them() -> None:
    for module, (_place, shows) in TESTS.items():
        text = (Path(__file__).parents[1] / f"{module}.py").read_text()
        missing = [function for function in shows if f"def {function}(" not in text]
        assert missing == [], f"{module} has lost tests, or they have other names now"


def test_claims_that_a_run_has_not_shown_are_found() -> None:
    other = dataclasses.replace(PASSED, peer=RUSTLS.name, scenario=Scenario.CLOSE)
    shown = [REFUSED, other]
    page = report(PASSED, *shown).page()
    assert list(report(PASSED, *shown).unproven(page)) == []
    failed = dataclasses.replace(PASSED, outcome="failed")
    for run in (report(failed, *shown), report(*shown)):
        assert list(run.unproven(page)) == ["Go crypto/tls, mutual TLS, trustls as server, TLS 1.3"]
