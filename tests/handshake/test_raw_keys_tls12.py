"""Raw public keys (RFC 7250) in the messages of TLS 1.2; what is the same in both versions is in test_raw_keys.py."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.handshake.test_raw_keys_on_the_wire import WEAK, changed, malformed, other, public, roles, said, spki
from tests.support.examples import COMPARES_BYTES
from tests.support.identities import client_config, client_credential, client_roots, server_config, server_credential
from tests.support.memory import Pair, check_refused, connect, pair
from tests.support.raw_keys import RAW, X509, check_raw, key, own, raw_client, raw_server, trusted
from tests.support.scripted import Edit, ScriptedClient, ScriptedServer, on
from tests.support.watching import Watch
from trustls import (
    AlertDescription,
    CertificateProblem,
    CertificateRejected,
    ClientAuth,
    DecodeError,
    Incompatibility,
    Misbehaviour,
    PeerIncompatible,
    PeerMisbehaved,
)
from trustls.connection import ClientConnection, ServerConnection
from trustls.wire.enums import CertificateType
from trustls.wire.messages import CertificateVerify, ClientHello, ServerHello, encode_message
from trustls.wire.messages12 import CertificateMessage12, CertificateRequest12, RawKeyMessage12, ServerKeyExchange

pytestmark = COMPARES_BYTES
TLS12 = {"versions": ["1.2"]}


def scripted(role: str, edit: Edit, **server: Any) -> Pair:
    """A handshake of TLS 1.2 between raw keys in which one side's messages are edited."""
    if role == "client":
        return Pair(ScriptedClient(raw_client(**TLS12), edit), ServerConnection(raw_server(**TLS12, **server))).run()
    return Pair(ClientConnection(raw_client(**TLS12), "localhost"), ScriptedServer(raw_server(**TLS12), edit)).run()


def test_a_certificate_message_is_the_key_without_a_list_around_it() -> None:
    with Watch() as watch:
        check_raw(connect(raw_server(**TLS12), raw_client(**TLS12)))
        events = watch.take()
    sent = {event.message.spki: event.raw for event in events if isinstance(event.message, RawKeyMessage12)}
    for kind in ("p256", "ed25519"):
        size = len(spki(kind))
        expected = b"\x0b" + (size + 3).to_bytes(3, "big") + size.to_bytes(3, "big") + spki(kind)
        assert sent[spki(kind)] == expected, f"the key {kind} stands there in another form"
        assert f"spki: raw public key {trusted(kind).keys[0].fingerprint}" in watch.text, "the log does not show it"


def test_the_types_are_agreed_on_in_the_hellos() -> None:
    server = raw_server(**TLS12, credentials=[own(), server_credential()])
    with Watch() as watch:
        connect(server, raw_client(**TLS12))
        answer, *_ = said(watch, ServerHello)
        assert (answer.client_certificate_type, answer.server_certificate_type) == (RAW, RAW)
        connect(server_config(**TLS12), client_config(**TLS12))
        answer, *_ = said(watch, ServerHello)
        assert (answer.client_certificate_type, answer.server_certificate_type) == (None, None)


def test_a_resumed_session_has_the_server_s_answer_and_none_for_the_client() -> None:
    server, client = raw_server(**TLS12), raw_client(**TLS12)
    connect(server, client)
    with Watch() as watch:
        joined = connect(server, client)
        assert joined.client.info.resumed, "the session was not taken"
        check_raw(joined)
        answer, *_ = said(watch, ServerHello)
        assert (answer.client_certificate_type, answer.server_certificate_type) == (None, RAW)


def test_a_request_for_a_raw_key_names_no_authorities() -> None:
    auth = ClientAuth.required([trusted("ed25519"), client_roots()])
    with Watch() as watch:
        connect(raw_server(**TLS12, client_auth=auth), raw_client(**TLS12))
        request, *_ = said(watch, CertificateRequest12)
    assert request.certificate_authorities == (), "authorities are named, and no certificate is asked for"


@pytest.mark.parametrize("field", ["client_certificate_type", "server_certificate_type"])
@pytest.mark.parametrize("chosen", [X509, CertificateType.OPENPGP], ids=str)
def test_a_client_refuses_a_type_that_it_did_not_offer(field: str, chosen: CertificateType) -> None:
    joined = scripted("server", changed(ServerHello, **{field: chosen}))
    check_refused(joined, "client", PeerMisbehaved, Misbehaviour.CERTIFICATE_TYPE_NOT_OFFERED)


def test_a_client_refuses_a_server_that_takes_its_answer_back() -> None:
    joined = scripted("server", changed(ServerHello, server_certificate_type=None))
    check_refused(joined, "client", PeerIncompatible, Incompatibility.NO_COMMON_CERTIFICATE_TYPE)


@pytest.mark.parametrize("field", ["client_certificate_type", "server_certificate_type"])
@pytest.mark.parametrize(
    ("offer", "error", "reason"),
    [
        ((X509,), PeerMisbehaved, Misbehaviour.DEFAULT_CERTIFICATE_TYPE_ALONE),
        ((CertificateType(77),), PeerIncompatible, Incompatibility.NO_COMMON_CERTIFICATE_TYPE),
        (None, PeerIncompatible, Incompatibility.NO_COMMON_CERTIFICATE_TYPE),
    ],
    ids=["x509 alone", "unknown", "silence"],
)
def test_a_server_refuses_an_offer_that_leaves_nothing(field: str, offer: Any, error: Any, reason: Any) -> None:
    check_refused(scripted("client", changed(ClientHello, **{field: offer})), "server", error, reason)


@roles
@pytest.mark.parametrize("name", malformed())
def test_what_is_no_key_in_der_is_refused(role: str, name: str) -> None:
    joined = scripted(role, changed(RawKeyMessage12, spki=malformed()[name]))
    check_refused(joined, other(role), DecodeError)


@roles
@pytest.mark.parametrize("kind", WEAK)
def test_a_weak_key_is_refused(role: str, kind: str) -> None:
    joined = scripted(role, changed(RawKeyMessage12, spki=public(WEAK[kind]())))
    check_refused(joined, other(role), CertificateRejected, CertificateProblem.WEAK_KEY)


@roles
def test_a_list_of_certificates_in_the_place_of_a_key_is_refused(role: str) -> None:
    for credential in (server_credential(), client_credential()):
        listed = CertificateMessage12(certificates=tuple([one.der for one in credential.chain]))
        joined = scripted(role, on(RawKeyMessage12, lambda _, listed=listed: (listed,)))  # type: ignore[misc]
        check_refused(joined, other(role), DecodeError)


@roles
def test_bytes_behind_a_key_are_refused(role: str) -> None:
    def longer(message: RawKeyMessage12) -> tuple[bytes]:
        raw = encode_message(message)
        return (raw[:1] + (len(raw) - 3).to_bytes(3, "big") + raw[4:] + b"\0",)

    check_refused(scripted(role, on(RawKeyMessage12, longer)), other(role), DecodeError)


def test_a_server_presents_something() -> None:
    joined = scripted("server", changed(RawKeyMessage12, spki=b""))
    check_refused(joined, "client", PeerMisbehaved, Misbehaviour.NO_SERVER_CERTIFICATE)


def test_an_empty_answer_is_none_and_refused_where_a_key_is_required() -> None:
    client = raw_client(**TLS12, choose_credential=lambda _request, _credentials: None)
    check_refused(
        pair(raw_server(**TLS12), client).run(),
        "server",
        CertificateRejected,
        CertificateProblem.NONE_PRESENTED,
        AlertDescription.HANDSHAKE_FAILURE,
    )
    auth = ClientAuth.optional(trusted("ed25519"))
    check_raw(connect(raw_server(**TLS12, client_auth=auth), client), client=None)


def _corrupt(message: Any) -> tuple[Any]:
    return (replace(message, signature=message.signature[:-1] + bytes([message.signature[-1] ^ 1])),)


@pytest.mark.parametrize(("role", "proof"), [("server", ServerKeyExchange), ("client", CertificateVerify)])
def test_whoever_does_not_hold_the_private_key_is_refused(role: str, proof: type[Any]) -> None:
    check_refused(scripted(role, on(proof, _corrupt)), other(role), PeerMisbehaved, Misbehaviour.BAD_SIGNATURE)


def test_a_trusted_key_that_is_presented_without_proof_is_refused() -> None:
    joined = scripted("client", on(CertificateVerify, lambda _: ()))
    assert isinstance(joined.server.failure, PeerMisbehaved), f"the server let it in: {joined.server.failure!r}"


def test_a_key_that_does_not_go_with_the_suite_is_refused() -> None:
    joined = scripted("server", changed(RawKeyMessage12, spki=public(key("rsa"))))
    check_refused(joined, "client", CertificateRejected, CertificateProblem.UNKNOWN_RAW_KEY)
    server = ScriptedServer(raw_server(**TLS12), changed(RawKeyMessage12, spki=public(key("rsa"))))
    client = ClientConnection(raw_client(**TLS12, roots=trusted("p256", "rsa")), "localhost")
    joined = Pair(client, server).run()
    check_refused(joined, "client", PeerMisbehaved, Misbehaviour.KEY_NOT_FOR_SUITE)
