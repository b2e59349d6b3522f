"""The exception tree: every failure has a name, an alert and a sentence, and says what a reader needs."""

from __future__ import annotations

import copy
import inspect
import pickle

import pytest

import trustls
from tests.support.memory import connect
from trustls import errors
from trustls.errors import (
    AlertDescription,
    AlertReceived,
    CertificateProblem,
    CertificateRejected,
    DecodeError,
    Incompatibility,
    InternalError,
    Misbehaviour,
    PeerIncompatible,
    PeerMisbehaved,
    TLSError,
    UnexpectedEOF,
)

REASONS = [*Misbehaviour, *Incompatibility, *CertificateProblem]
EXCEPTIONS = [item for item in vars(errors).values() if inspect.isclass(item) and issubclass(item, Exception)]


@pytest.mark.parametrize("reason", REASONS, ids=repr)
def test_reason_has_an_alert_and_a_sentence_of_its_own(
    reason: Misbehaviour | Incompatibility | CertificateProblem,
) -> None:
    assert isinstance(reason.alert, AlertDescription)
    assert reason.alert not in {AlertDescription.CLOSE_NOTIFY, AlertDescription.USER_CANCELED}
    assert reason.sentence[0].islower(), "it stands after a colon, or in a sentence"
    assert not reason.sentence.endswith(".")
    assert [other for other in type(reason) if other.sentence == reason.sentence] == [reason]


def test_reserved_alerts_are_never_sent() -> None:
    """RFC 9846 6: those with RESERVED in their name. no_renegotiation is TLS 1.2's, which alone has renegotiations."""
    reserved = {reason for reason in REASONS if "RESERVED" in reason.alert.name}
    assert reserved == {Misbehaviour.RENEGOTIATION_REPEATED}


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda detail: PeerMisbehaved(Misbehaviour.BAD_FINISHED, detail), "the Finished message does not verify"),
        (lambda detail: DecodeError(Misbehaviour.TRUNCATED, detail), "a field runs past the end of its message"),
        (lambda detail: PeerIncompatible(Incompatibility.NO_COMMON_SUITE, detail), "no cipher suite in common"),
        (lambda detail: CertificateRejected(CertificateProblem.EXPIRED, detail), "the certificate has expired"),
    ],
    ids=["misbehaved", "decode", "incompatible", "certificate"],
)
def test_failure_says_its_sentence_and_the_particulars(make: type[TLSError], said: str) -> None:
    assert str(make("")).partition("; to mend it: ")[0] == said
    failure = make("CN=alice")
    assert str(failure).partition("; to mend it: ")[0] == f"{said}: CN=alice"
    assert failure.alert is not None
    for again in (pickle.loads(pickle.dumps(failure)), copy.copy(failure)):
        assert type(again) is type(failure)
        assert (str(again), again.alert, again.reason) == (str(failure), failure.alert, failure.reason)  # type: ignore[attr-defined]


@pytest.mark.parametrize("alert", AlertDescription, ids=lambda alert: alert.name)
def test_alert_received_names_the_alert(alert: AlertDescription) -> None:
    failure = AlertReceived(int(alert))
    assert failure.description is alert
    assert alert.name.lower() in str(failure)
    assert failure.alert is None, "an alert is not answered with an alert"
    assert pickle.loads(pickle.dumps(failure)).description is alert


@pytest.mark.parametrize(
    ("alert", "meaning"),
    [
        (AlertDescription.CERTIFICATE_REQUIRED, "it requires a client certificate and got none"),
        (AlertDescription.UNKNOWN_CA, "it does not trust the CA that issued the certificate"),
        (AlertDescription.NO_APPLICATION_PROTOCOL, "none of the application protocols offered"),
    ],
)
def test_alert_received_says_what_it_means(alert: AlertDescription, meaning: str) -> None:
    assert meaning in str(AlertReceived(alert))


def test_everything_that_is_raised_is_a_tls_error() -> None:
    assert all(issubclass(item, TLSError) for item in EXCEPTIONS)
    assert issubclass(DecodeError, PeerMisbehaved)
    assert issubclass(UnexpectedEOF, EOFError)
    assert issubclass(errors.ConfigError, ValueError)
    assert issubclass(errors.HandshakeTimeout, TimeoutError)
    assert InternalError.alert is AlertDescription.INTERNAL_ERROR


def test_every_exception_that_a_user_may_catch_is_public() -> None:
    missing = [
        item.__name__ for item in EXCEPTIONS if not item.__name__.startswith("_") and item.__name__ not in dir(trustls)
    ]
    assert missing == []


def test_every_public_name_is_there() -> None:
    for name in trustls.__all__:
        assert getattr(trustls, name) is not None


def test_idle_connection_keeps_nothing_of_the_handshake() -> None:
    """When the coroutine has returned its locals are freed, and with them hellos, private shares and transcripts."""
    joined = connect()
    for side in (joined.client, joined.server):
        assert side._handshake is None
        assert side._flow is None
        assert side._waiting == ()
        assert side._incoming == b""
        assert not side._joiner.waiting
