"""What can be said of config.json without a runner: its reasons and the names in its error map."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import trustls
from tests.bogo.identities import Refused
from tests.bogo.main import name_of
from tests.bogo.names import unfolded
from tests.bogo.run import matches

_HERE = Path(__file__).parent


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    assert len(names) == len(set(names)), f"repeated: {sorted({name for name in names if names.count(name) > 1})}"
    return dict(pairs)


@pytest.fixture(scope="module")
def config() -> dict[str, Any]:
    text = (_HERE / "config.json").read_text(encoding="utf-8")
    parsed: dict[str, Any] = json.loads(text, object_pairs_hook=_without_repeats)
    return parsed


def test_every_disabled_test_has_its_reason(config: dict[str, Any]) -> None:
    assert all(len(reason) > 12 for reason in config["DisabledTests"].values())


def test_the_error_map_names_reasons_that_trustls_has(config: dict[str, Any]) -> None:
    kinds = (trustls.Misbehaviour, trustls.Incompatibility, trustls.CertificateProblem)
    known = {f":{kind.__name__}.{reason.name}:" for kind in kinds for reason in kind}
    known |= {f":AlertReceived.{alert.name}:" for alert in trustls.AlertDescription}
    others = (trustls.UnexpectedEOF, trustls.HandshakePending, trustls.InternalError, trustls.ConfigError, Refused)
    known |= {f":{kind.__name__}:" for kind in others}

    unknown = {name for names in config["ErrorMap"].values() for name in names} - known

    assert not unknown, "a name that no failure prints matches nothing"


def test_nothing_that_is_recorded_as_passing_is_disabled(config: dict[str, Any]) -> None:
    recorded = unfolded((_HERE / "passing.txt").read_text(encoding="utf-8"))

    assert not [name for name in recorded if any(matches(name, glob) for glob in config["DisabledTests"])]


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (trustls.PeerMisbehaved(trustls.Misbehaviour.BAD_FINISHED, "x"), ":Misbehaviour.BAD_FINISHED:"),
        (trustls.AlertReceived(40), ":AlertReceived.HANDSHAKE_FAILURE:"),
        (trustls.CertificateRejectedByPeer(42), ":AlertReceived.BAD_CERTIFICATE:"),
        (trustls.AlertReceived(250), ":AlertReceived.250:"),
        (trustls.UnexpectedEOF("x"), ":UnexpectedEOF:"),
    ],
)
def test_a_failure_is_named_for_its_reason(error: trustls.TLSError, name: str) -> None:
    assert name_of(error) == name
