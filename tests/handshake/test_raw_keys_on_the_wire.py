"""Raw public keys (RFC 7250) on the wire: what the messages say, and what is refused in them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.support.examples import COMPARES_BYTES
from tests.support.identities import (
    client_config,
    client_credential,
    client_roots,
    required,
    server_config,
    server_credential,
    server_roots,
)
from tests.support.memory import Pair, check_refused, connect, pair
from tests.support.raw_keys import RAW, X509, check_raw, key, own, raw_client, raw_server, trusted
from tests.support.scripted import Edit, ScriptedClient, ScriptedServer, on
from tests.support.watching import Watch
from trustls import (
    CertificateProblem,
    CertificateRejected,
    ClientAuth,
    DecodeError,
    ExternalPsk,
    Incompatibility,
    Misbehaviour,
    PeerIncompatible,
    PeerMisbehaved,
)
from trustls.connection import ClientConnection, ServerConnection
from trustls.wire.enums import CertificateType
from trustls.wire.messages import (
    CertificateEntry,
    CertificateMessage,
    CertificateRequest,
    CertificateVerify,
    ClientHello,
    EncryptedExtensions,
)

pytestmark = COMPARES_BYTES
roles = pytest.mark.parametrize("role", ["client", "server"])


def spki(kind: str = "p256") -> bytes:
    """The key as it is presented."""
    return trusted(kind).keys[0].spki


def scripted(role: str, edit: Edit, server: Any = None, client: Any = None) -> Pair:
    """A handshake between raw keys in which one side's messages are edited."""
    server, client = server or raw_server(), client or raw_client()
    if role == "client":
        return Pair(ScriptedClient(client, edit), ServerConnection(server)).run()
    return Pair(ClientConnection(client, "localhost"), ScriptedServer(server, edit)).run()


def other(role: str) -> str:
    return "client" if role == "server" else "server"


def changed(kind: type[Any], **changes: Any) -> Edit:
    """One message with other fields."""
    return on(kind, lambda message: (replace(message, **changes),))


def said(watch: Watch, kind: type[Any]) -> list[Any]:
    """The messages of this class."""
    return [event.message for event in watch.take() if isinstance(event.message, kind)]


# -- What is said -----------------------------------------------------------------------------------------------------


def test_ordinary_sides_say_nothing_of_certificate_types() -> None:
    with Watch() as watch:
        connect(server_config(client_auth=required()), client_config(credentials=[client_credential()]))
        for message in said(watch, ClientHello | EncryptedExtensions):  # type: ignore[arg-type]
            found = message.client_certificate_type, message.server_certificate_type
            assert found == (None, None), f"{type(message).__name__} names {found}"


def test_each_side_offers_its_types_in_its_own_order() -> None:
    client = client_config(
        roots=[trusted(), server_roots()], credentials=[client_credential(), own("ed25519")], versions=["1.3"]
    )
    server = raw_server(credentials=[server_credential(), own()])
    with Watch() as watch:
        check_raw(connect(server, client), server=None)
        hello, *_ = said(watch, ClientHello)
    assert hello.client_certificate_type == (X509, RAW), "not in the order of the credentials"
    assert hello.server_certificate_type == (RAW, X509), "not in the order of the roots"


def test_the_server_answers_what_it_is_asked_and_no_more() -> None:
    with Watch() as watch:
        connect(raw_server(client_auth=ClientAuth.none()), raw_client())
        answer, *_ = said(watch, EncryptedExtensions)
        assert answer.client_certificate_type is None, "a type for a client that is asked for nothing"
        assert answer.server_certificate_type == RAW, f"{answer.server_certificate_type} is not what is presented"
        connect(raw_server(), raw_client())
        answer, *_ = said(watch, EncryptedExtensions)
        assert answer.client_certificate_type == RAW, f"{answer.client_certificate_type} is not what is asked for"


def test_a_request_for_a_raw_key_names_no_authorities_and_no_schemes_of_certificates() -> None:
    server = raw_server(client_auth=ClientAuth.required([trusted("ed25519"), client_roots()]))
    with Watch() as watch:
        joined = connect(server, raw_client())
        request, *_ = said(watch, CertificateRequest)
    assert request.signature_algorithms, "no schemes are named"
    assert request.certificate_authorities is None, "authorities are named, and no certificate is asked for"
    assert request.signature_algorithms_cert is None, "schemes in certificates are named, and none is asked for"
    assert joined.client.requested is not None
    assert joined.client.requested.certificate_type == RAW, "the client does not tell what was asked for"


@roles
def test_a_certificate_message_holds_the_key_and_nothing_else_compressed_or_not(role: str) -> None:
    zlib = {"certificate_compression": ["zlib"]}
    with Watch() as watch:
        check_raw(connect(raw_server(**zlib), raw_client(**zlib)))
        sent = [one for one in said(watch, CertificateMessage) if one.entries[0].certificate == spki(_kind(role))]
    assert len(sent) == 2, f"the key of the {role} was sent {len(sent) / 2} times"
    assert [entry.extension_types() for entry in sent[0].entries] == [[]], "something stands beside the key"


def _kind(role: str) -> str:
    return "p256" if role == "server" else "ed25519"


def test_no_staple_is_asked_of_a_server_with_a_raw_key() -> None:
    with Watch() as watch:
        connect(raw_server(), raw_client(ocsp="stapled"))
        hello, *_ = said(watch, ClientHello)
    assert hello.status_request is None, "an OCSP response is asked for, and there can be none"


def test_the_log_shows_the_kind_of_a_key_and_its_fingerprint() -> None:
    with Watch() as watch:
        connect(raw_server(), raw_client())
    for kind, name in (("p256", "ECDSA P-256"), ("ed25519", "Ed25519")):
        wanted = f"raw public key {trusted(kind).keys[0].fingerprint} ({name})"
        assert wanted in watch.text, f"{wanted!r} is not in the log"


# -- What is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", ["client_certificate_type", "server_certificate_type"])
@pytest.mark.parametrize("chosen", [X509, CertificateType.OPENPGP, CertificateType(77)], ids=str)
def test_a_client_refuses_a_type_that_it_did_not_offer(field: str, chosen: CertificateType) -> None:
    joined = scripted("server", changed(EncryptedExtensions, **{field: chosen}))
    check_refused(joined, "client", PeerMisbehaved, Misbehaviour.CERTIFICATE_TYPE_NOT_OFFERED)


def test_a_client_that_names_no_types_refuses_an_answer() -> None:
    for field in ("client_certificate_type", "server_certificate_type"):
        for chosen in (X509, RAW):
            joined = scripted(
                "server", changed(EncryptedExtensions, **{field: chosen}), server_config(), client_config()
            )
            check_refused(joined, "client", PeerMisbehaved, Misbehaviour.UNSOLICITED_EXTENSION)


def test_a_client_refuses_a_server_that_takes_its_answer_back() -> None:
    joined = scripted("server", changed(EncryptedExtensions, server_certificate_type=None))
    check_refused(joined, "client", PeerIncompatible, Incompatibility.NO_COMMON_CERTIFICATE_TYPE)


@pytest.mark.parametrize("field", ["client_certificate_type", "server_certificate_type"])
@pytest.mark.parametrize(
    ("offer", "error", "reason"),
    [
        ((X509,), PeerMisbehaved, Misbehaviour.DEFAULT_CERTIFICATE_TYPE_ALONE),
        ((CertificateType(77),), PeerIncompatible, Incompatibility.NO_COMMON_CERTIFICATE_TYPE),
        ((CertificateType.OPENPGP, X509), PeerIncompatible, Incompatibility.NO_COMMON_CERTIFICATE_TYPE),
        (None, PeerIncompatible, Incompatibility.NO_COMMON_CERTIFICATE_TYPE),
    ],
    ids=["x509 alone", "unknown", "nothing in common", "silence"],
)
def test_a_server_refuses_an_offer_that_leaves_nothing(field: str, offer: Any, error: Any, reason: Any) -> None:
    check_refused(scripted("client", changed(ClientHello, **{field: offer})), "server", error, reason)


def test_a_second_client_hello_does_not_offer_other_types() -> None:
    groups = {"groups": ["secp256r1", "x25519"]}
    for field in ("client_certificate_type", "server_certificate_type"):
        edit = on(ClientHello, lambda hello, field=field: (replace(hello, **{field: (RAW, X509)}),), nth=1)  # type: ignore[misc]
        joined = scripted("client", edit, raw_server(groups=["x25519"]), raw_client(**groups))
        check_refused(joined, "server", PeerMisbehaved, Misbehaviour.CLIENT_HELLO_CHANGED)


def _entries(*certificates: bytes) -> Edit:
    return changed(CertificateMessage, entries=tuple([CertificateEntry(certificate=one) for one in certificates]))


@roles
def test_more_than_one_key_is_refused(role: str) -> None:
    joined = scripted(role, _entries(spki(_kind(role)), spki(_kind(role))))
    check_refused(joined, other(role), PeerMisbehaved, Misbehaviour.BAD_RAW_KEY_COUNT)


@roles
def test_an_extension_beside_a_key_is_refused(role: str) -> None:
    entry = CertificateEntry(certificate=spki(_kind(role)), status_request=b"staple")
    joined = scripted(role, changed(CertificateMessage, entries=(entry,)))
    check_refused(joined, other(role), PeerMisbehaved, Misbehaviour.UNSOLICITED_EXTENSION)


@roles
def test_a_certificate_in_the_place_of_a_key_is_refused(role: str) -> None:
    for credential in (server_credential(), client_credential()):
        joined = scripted(role, _entries(credential.certificate.der))
        check_refused(joined, other(role), DecodeError)


@roles
def test_a_key_in_the_place_of_a_certificate_is_refused(role: str) -> None:
    server = server_config(client_auth=ClientAuth.required([client_roots(), trusted("ed25519")]), versions=["1.3"])
    client = client_config(roots=[server_roots(), trusted()], credentials=[client_credential()], versions=["1.3"])
    joined = scripted(role, _entries(spki(_kind(role))), server, client)
    check_refused(joined, other(role), CertificateRejected, CertificateProblem.MALFORMED)


def public(key: Any) -> bytes:
    der: bytes = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return der


def malformed() -> dict[str, bytes]:
    good = spki()
    point = key().public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    algorithm = good[2:23]
    inner = algorithm + b"\x03" + bytes([len(point) + 1]) + b"\0" + point
    compressed = b"\x30" + bytes([len(inner)]) + inner
    return {
        "cut off": good[:-1],
        "bytes behind it": good + b"\0",
        "a long length": b"\x30\x81" + good[1:],
        "unused bits": good.replace(b"\x03\x42\x00", b"\x03\x42\x01"),
        "a compressed point": compressed,
        "one byte": b"\x30",
        "a sequence of nothing": b"\x30\x00",
        "another thing": b"\x04\x02ab",
        "too long": b"\x30\x82\x40\x00" + bytes(1 << 14),
    }


@roles
@pytest.mark.parametrize("name", malformed())
def test_what_is_no_key_in_der_is_refused(role: str, name: str) -> None:
    check_refused(scripted(role, _entries(malformed()[name])), other(role), DecodeError)


WEAK: dict[str, Callable[[], Any]] = {
    "rsa-1024": lambda: rsa.generate_private_key(65537, 1024),
    "dsa": lambda: dsa.generate_private_key(1024),
    "secp256k1": lambda: ec.generate_private_key(ec.SECP256K1()),
    "ed448": ed448.Ed448PrivateKey.generate,
}


@roles
@pytest.mark.parametrize("kind", WEAK)
def test_a_key_of_a_kind_or_size_that_certificates_may_not_have_is_refused(role: str, kind: str) -> None:
    joined = scripted(role, _entries(public(WEAK[kind]())))
    check_refused(joined, other(role), CertificateRejected, CertificateProblem.WEAK_KEY)


@roles
def test_whoever_does_not_hold_the_private_key_is_refused(role: str) -> None:
    def corrupt(proof: CertificateVerify) -> Iterable[CertificateVerify]:
        return (replace(proof, signature=proof.signature[:-1] + bytes([proof.signature[-1] ^ 1])),)

    check_refused(
        scripted(role, on(CertificateVerify, corrupt)), other(role), PeerMisbehaved, Misbehaviour.BAD_SIGNATURE
    )


@roles
def test_a_trusted_key_that_is_presented_without_proof_is_refused(role: str) -> None:
    joined = scripted(role, on(CertificateVerify, lambda _: ()))
    check_refused(joined, other(role), PeerMisbehaved, Misbehaviour.UNEXPECTED_MESSAGE)


@roles
def test_another_key_s_proof_is_refused(role: str) -> None:
    # The thief presents a key that is trusted, and signs with his own.
    thief = own("p256", 1)
    joined = scripted(
        role,
        _entries(spki()),
        raw_server(credentials=[thief if role == "server" else own()], client_auth=ClientAuth.required(trusted())),
        raw_client(credentials=[thief if role == "client" else own()]),
    )
    check_refused(joined, other(role), PeerMisbehaved, Misbehaviour.BAD_SIGNATURE)


def test_an_empty_answer_is_none_and_refused_where_a_key_is_required() -> None:
    joined = _silent(ClientAuth.required(trusted("ed25519")))
    check_refused(joined, "server", CertificateRejected, CertificateProblem.NONE_PRESENTED)
    check_raw(_silent(ClientAuth.optional(trusted("ed25519"))), client=None)


def _silent(auth: ClientAuth) -> Pair:
    """A client that has a raw key, and does not present it."""
    client = raw_client(choose_credential=lambda _request, _credentials: None)
    return pair(raw_server(client_auth=auth), client).run()


def test_a_server_presents_something() -> None:
    joined = scripted("server", _entries())
    check_refused(joined, "client", PeerMisbehaved, Misbehaviour.NO_SERVER_CERTIFICATE)


def test_an_external_key_in_the_place_of_raw_keys_settles_no_types() -> None:
    psk = ExternalPsk(b"fleet", bytes(range(32)))
    with Watch() as watch:
        joined = connect(raw_server(external_psks=[psk]), raw_client(external_psks=[psk], sessions=None))
        answer, *_ = said(watch, EncryptedExtensions)
    assert joined.server.info.psk_identity == b"fleet", "the external key was not taken"
    assert (answer.client_certificate_type, answer.server_certificate_type) == (None, None)
    assert joined.server.peer is None, "a key was presented"
