"""Errors are trustls's and `ssl`'s at once, with the number, library and reason that OpenSSL gives."""

from __future__ import annotations

import datetime
import inspect
import pickle
import ssl
from collections.abc import Callable

import pytest

import trustls
from tests.stdlib.pairs import BIOPair, contexts, our_client, our_server, ssl_client, ssl_client_of, ssl_server
from tests.support import identities
from trustls import errors
from trustls.cli.pki import Issued, Validity
from trustls.stdlib import as_ssl_error


def _one_of_each() -> list[errors.TLSError]:
    found: list[errors.TLSError] = []
    for kind in (errors.PeerMisbehaved, errors.DecodeError):
        found += [kind(reason, "detail") for reason in errors.Misbehaviour]
    found += [errors.PeerIncompatible(reason) for reason in errors.Incompatibility]
    found += [errors.CertificateRejected(reason, "detail", remedy="a remedy") for reason in errors.CertificateProblem]
    found += [errors.AlertReceived(code) for code in range(256)]
    found += [errors.CertificateRejectedByPeer(code, "detail") for code in range(40, 120)]
    plain = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.TLSError)]
    reasoned = {type(error) for error in found} | {errors._ReasonedError}
    return found + [kind("words") for kind in plain if kind not in reasoned]


def test_every_error_of_trustls_becomes_one_of_ssl_and_stays_what_it_is() -> None:
    for error in _one_of_each():
        made = as_ssl_error(error)
        assert isinstance(made, ssl.SSLError), error
        assert isinstance(made, type(error)), error
        assert isinstance(made, OSError), error
        assert str(error) in str(made), "what trustls says is lost"
        assert made.library == "SSL"
        assert made.reason.isupper(), f"{made.reason} is no reason of OpenSSL's form"
        assert made.errno in {1, 6, 8}
        assert made.args[0] == made.errno
        assert made.__cause__ is error
        assert made.alert == error.alert
        assert as_ssl_error(made) is made


def test_every_error_can_be_pickled() -> None:
    for error in _one_of_each():
        made = as_ssl_error(error)
        again = pickle.loads(pickle.dumps(made))
        assert type(again).__mro__ == type(made).__mro__
        assert (str(again), again.errno, again.reason) == (str(made), made.errno, made.reason)


def test_what_each_kind_is_in_ssl() -> None:
    assert isinstance(as_ssl_error(errors.UnexpectedEOF("words")), ssl.SSLEOFError)
    assert isinstance(as_ssl_error(errors.UnexpectedEOF("words")), EOFError)
    assert isinstance(as_ssl_error(errors.ConnectionClosed("words")), ssl.SSLZeroReturnError)
    refused = as_ssl_error(errors.CertificateRejected(errors.CertificateProblem.EXPIRED))
    assert isinstance(refused, ssl.SSLCertVerificationError)
    assert isinstance(refused, ssl.CertificateError)
    told = as_ssl_error(errors.CertificateRejectedByPeer(45))
    assert not isinstance(told, ssl.SSLCertVerificationError), "it was the peer who verified"
    assert isinstance(as_ssl_error(errors.HandshakeTimeout("words")), TimeoutError)


# -- The same failure on `ssl` -----------------------------------------------------------------------------------------


def _failure(pair: BIOPair, side: str) -> ssl.SSLError:
    """What this side's handshake, or else its first read, raises."""
    failed: dict[str, ssl.SSLError] = {}
    for _ in range(6):
        for name, one in (("client", pair.client), ("server", pair.server)):
            try:
                one.do_handshake()
                one.read(1)
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError as error:
                failed.setdefault(name, error)
        pair.carry()
    return failed[side]


def _mallory() -> Issued:
    return identities.strange_root().issue_client("mallory")


def _expired() -> ssl.SSLContext:
    return ssl_server(identities.server_root().issue_server("localhost", validity=Validity(not_after=_past())))


def _past() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC) - datetime.timedelta(minutes=1)


def _with(context: ssl.SSLContext, **attributes: object) -> ssl.SSLContext:
    for name, value in attributes.items():
        setattr(context, name, value)
    return context


def _alpn(context: ssl.SSLContext, *protocols: str) -> ssl.SSLContext:
    context.set_alpn_protocols(protocols)
    return context


# The failing side's context, ours and ssl's; the other side's; which of the two fails.
CASES: dict[str, tuple[Callable[[], ssl.SSLContext], Callable[[], ssl.SSLContext], Callable[[], ssl.SSLContext], str]]
CASES = {
    "unknown issuer": (
        our_client,
        ssl_client,
        lambda: ssl_server(identities.strange_root().issue_server("localhost")),
        "client",
    ),
    "expired": (our_client, ssl_client, _expired, "client"),
    "wrong name": (
        our_client,
        ssl_client,
        lambda: ssl_server(identities.server_root().issue_server("elsewhere.example")),
        "client",
    ),
    "no certificate": (
        lambda: our_server(client_auth=identities.required()),
        lambda: ssl_server(verify=ssl.CERT_REQUIRED),
        ssl_client,
        "server",
    ),
    "strange certificate": (
        lambda: our_server(client_auth=identities.required()),
        lambda: ssl_server(verify=ssl.CERT_REQUIRED),
        lambda: ssl_client(_mallory()),
        "server",
    ),
    "told: unknown ca": (
        lambda: our_client(credentials=[identities.credential(_mallory(), fallback=True)]),
        lambda: ssl_client(_mallory()),
        lambda: ssl_server(verify=ssl.CERT_REQUIRED),
        "client",
    ),
    "told: certificate required": (our_client, ssl_client, lambda: ssl_server(verify=ssl.CERT_REQUIRED), "client"),
    "told: unknown ca, to a server": (
        our_server,
        ssl_server,
        lambda: ssl_client_of(identities.strange_root()),
        "server",
    ),
    "told: protocol version": (
        lambda: our_client(versions=["1.2"]),
        lambda: _with(ssl_client(), maximum_version=ssl.TLSVersion.TLSv1_2),
        lambda: _with(ssl_server(), minimum_version=ssl.TLSVersion.TLSv1_3),
        "client",
    ),
    "no common version": (
        lambda: our_server(versions=["1.3"]),
        lambda: _with(ssl_server(), minimum_version=ssl.TLSVersion.TLSv1_3),
        lambda: _with(ssl_client(), maximum_version=ssl.TLSVersion.TLSv1_2),
        "server",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_same_failure_has_the_same_class_number_and_reason_as_on_ssl(case: str) -> None:
    ours, theirs, other, side = CASES[case]
    raised = []
    for context in (ours(), theirs()):
        pair = BIOPair.of(context, other()) if side == "client" else BIOPair.of(other(), context)
        raised.append(_failure(pair, side))
    mine, openssl = raised
    assert isinstance(mine, type(openssl)), f"ssl raises {openssl!r}, trustls {mine!r}"
    assert isinstance(mine, trustls.TLSError)
    assert (mine.errno, mine.library, mine.reason) == (openssl.errno, openssl.library, openssl.reason), str(mine)
    assert type(mine.errno) is int, "ssl has no enum here"
    if isinstance(openssl, ssl.SSLCertVerificationError):
        assert isinstance(mine, ssl.SSLCertVerificationError)
        assert mine.verify_code == openssl.verify_code, f"{mine} / {openssl}"


def test_a_peer_that_speaks_no_tls_fails_as_on_ssl() -> None:
    raised = []
    for context in (our_client(), ssl_client()):
        pair = BIOPair.of(context, our_server())
        pair.to_client.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        with pytest.raises(ssl.SSLError) as error:
            pair.client.do_handshake()
        raised.append(error.value)
    assert raised[0].reason == raised[1].reason, f"{raised[0]} / {raised[1]}"


def test_a_damaged_record_fails_as_on_ssl() -> None:
    reasons = []
    for sides in ("trustls to trustls", "trustls to ssl"):
        pair = BIOPair.of(*contexts(sides)).handshake()
        pair.client.write(b"x" * 100)
        record = bytearray(pair.from_client.read())
        record[50] ^= 1
        pair.to_server.write(record)
        with pytest.raises(ssl.SSLError) as error:
            pair.server.read(10)
        reasons.append(error.value.reason)
    assert reasons[0] == reasons[1]


def test_the_words_say_what_to_do_and_the_original_is_kept() -> None:
    pair = BIOPair.of(our_client(), our_server(client_auth=identities.required()))
    error = _failure(pair, "server")
    assert isinstance(error, errors.CertificateRejected)
    assert isinstance(error, ssl.SSLError)
    assert error.tls_error is error.__cause__
    assert "PEER_DID_NOT_RETURN_A_CERTIFICATE" in str(error)
    assert str(error.tls_error) in str(error)
    told = _failure(BIOPair.of(our_client(), our_server(client_auth=identities.required())), "client")
    assert isinstance(told, errors.CertificateRejectedByPeer)
    assert "CERTIFICATE_REQUIRED" in str(told)
