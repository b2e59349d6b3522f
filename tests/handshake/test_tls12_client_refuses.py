"""What a client refuses of a TLS 1.2 server: each with its reason, and with the alert that the server reads.

The server is the real one with one message changed before it is sent (tests/support/scripted.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

import pytest

from tests.support.identities import (
    client_config,
    client_credential,
    credential,
    required,
    server_credential,
    server_identity,
    server_root,
    strange_root,
)
from tests.support.memory import Pair, check_refused, feed, plain_record
from tests.support.scripted import Edit, Item, NewRecord, Record, ScriptedClient, ScriptedServer, honest, on
from tests.support.tls12 import client12, handshake, server12
from trustls.config import ClientConfig, ServerConfig
from trustls.connection import ClientConnection
from trustls.crypto.signatures import PrivateKey, sign
from trustls.errors import (
    AlertDescription,
    CertificateProblem,
    CertificateRejected,
    DecodeError,
    Incompatibility,
    Misbehaviour,
    PeerIncompatible,
    PeerMisbehaved,
)
from trustls.identity.credential import Credential
from trustls.identity.signer import KeySigner
from trustls.session.store import MemoryClientSessions
from trustls.wire.enums import CipherSuite, ECPointFormat, ExtensionType, NamedGroup, ProtocolVersion, SignatureScheme
from trustls.wire.extensions import KeyShareEntry
from trustls.wire.messages import CertificateVerify, ClientHello, EncryptedExtensions, Finished, KeyUpdate, ServerHello
from trustls.wire.messages12 import (
    CertificateMessage12,
    CertificateRequest12,
    CertificateStatus,
    ClientKeyExchange,
    HelloRequest,
    NewSessionTicket12,
    ServerHelloDone,
    ServerKeyExchange,
)


def against(edit: Edit, *, server: ServerConfig | None = None, client: ClientConfig | None = None) -> Pair:
    """A client that met this server."""
    return Pair(ClientConnection(client or client12(), "localhost"), ScriptedServer(server or server12(), edit)).run()


def refused(
    edit: Edit,
    reason: object,
    error: type[Any] = PeerMisbehaved,
    *,
    server: ServerConfig | None = None,
    client: ClientConfig | None = None,
) -> str:
    """The sentence with which a client refuses this server."""
    return str(check_refused(against(edit, server=server, client=client), "client", error, reason))


def changed(kind: type[Any], **fields: Any) -> Edit:
    """Other values in the fields of a message."""
    return on(kind, lambda message: (replace(message, **fields),))


def asking() -> ServerConfig:
    """A server that asks for a certificate: so that it sends every message there is."""
    return server12(client_auth=required())


def known() -> ClientConfig:
    """A client that has one."""
    return client12(credentials=[client_credential()])


def test_script_that_changes_nothing_connects() -> None:
    """The other tests here show something only because this one does not fail."""
    against(honest, server=asking(), client=known()).check_connected()


# -- ServerHello ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"compression_method": 1}, Misbehaviour.BAD_COMPRESSION),
        ({"cipher_suite": CipherSuite.TLS_AES_128_GCM_SHA256}, Misbehaviour.SUITE_NOT_OFFERED),
        ({"cipher_suite": CipherSuite(0x002F)}, Misbehaviour.SUITE_NOT_OFFERED),
        ({"cipher_suite": CipherSuite.TLS_EMPTY_RENEGOTIATION_INFO_SCSV}, Misbehaviour.SUITE_NOT_OFFERED),
        ({"renegotiation_info": b"\0" * 12}, Misbehaviour.BAD_RENEGOTIATION_INFO),
        ({"ec_point_formats": (ECPointFormat(1),)}, Misbehaviour.NO_UNCOMPRESSED_POINTS),
        ({"alpn": b"h3"}, Misbehaviour.ALPN_NOT_OFFERED),
        ({"encrypt_then_mac": True}, Misbehaviour.UNSOLICITED_EXTENSION),
        ({"heartbeat": 1}, Misbehaviour.UNSOLICITED_EXTENSION),
        ({"max_fragment_length": 1}, Misbehaviour.UNSOLICITED_EXTENSION),
        ({"record_size_limit": 1000}, Misbehaviour.UNSOLICITED_EXTENSION),
        ({"use_srtp": b"\0\0\0"}, Misbehaviour.UNSOLICITED_EXTENSION),
        ({"unknown_extensions": ((0x0A0A, b""),)}, Misbehaviour.UNSOLICITED_EXTENSION),
        ({"unknown_extensions": ((int(ExtensionType.COOKIE), b"\0\1c"),)}, Misbehaviour.UNEXPECTED_EXTENSION),
        ({"unknown_extensions": ((int(ExtensionType.EXTENDED_MASTER_SECRET), b""),)}, Misbehaviour.DUPLICATE_EXTENSION),
        ({"key_share": KeyShareEntry(NamedGroup.X25519, bytes(32))}, Misbehaviour.UNSOLICITED_EXTENSION),
        ({"pre_shared_key": 0}, Misbehaviour.UNSOLICITED_EXTENSION),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_client_refuses_server_hello(fields: dict[str, Any], reason: Misbehaviour) -> None:
    edit = changed(ServerHello, **fields)
    joined = against(edit, client=client12(alpn=["h2"]))
    failure = joined.client.failure
    assert isinstance(failure, PeerMisbehaved), f"accepted: {failure!r}"
    assert failure.reason is reason
    check_refused(joined, "client", type(failure), reason)


def test_client_that_does_not_ask_for_an_ocsp_response_refuses_the_promise_of_one() -> None:
    refused(changed(ServerHello, status_request=True), Misbehaviour.UNSOLICITED_EXTENSION, client=client12(ocsp="off"))


@pytest.mark.parametrize(
    "extension",
    [
        {"key_share": KeyShareEntry(NamedGroup.X25519, b"\x09" + bytes(31))},
        {"unknown_extensions": ((int(ExtensionType.PSK_KEY_EXCHANGE_MODES), b"\1\1"),)},
        {"unknown_extensions": ((int(ExtensionType.SIGNATURE_ALGORITHMS), b"\0\2\4\3"),)},
    ],
    ids=["key_share", "psk_key_exchange_modes", "signature_algorithms"],
)
def test_client_of_both_versions_refuses_extensions_of_tls13_in_a_server_hello_of_tls12(
    extension: dict[str, Any],
) -> None:
    """They were offered, so they are not unsolicited; but they have no place in this version's ServerHello."""
    joined = against(changed(ServerHello, **extension), client=client_config())
    check_refused(joined, "client", PeerMisbehaved, Misbehaviour.UNEXPECTED_EXTENSION)


@pytest.mark.parametrize("groups", [b"\0\2\0\x1d", b"\0\4\x0a\x0a\0\x17", b"", b"\1"], ids=repr)
@pytest.mark.parametrize("versions", [["1.2"], ["1.2", "1.3"]], ids=["1.2", "both"])
def test_client_passes_over_the_groups_that_a_server_of_tls12_tells(versions: list[str], groups: bytes) -> None:
    """RFC 8422 4 has them for clients alone. Some servers send theirs all the same, and mean no harm."""
    edit = changed(ServerHello, supported_groups=groups)
    against(edit, client=client_config(versions=versions)).check_connected()


@pytest.mark.parametrize("versions", [["1.2"], ["1.2", "1.3"]], ids=["1.2", "both"])
@pytest.mark.parametrize("version", [ProtocolVersion.TLS1_1, ProtocolVersion.TLS1_0, ProtocolVersion.SSL3])
def test_client_refuses_older_versions(version: ProtocolVersion, versions: list[str]) -> None:
    sentence = refused(
        changed(ServerHello, legacy_version=version),
        Incompatibility.NO_COMMON_VERSION,
        PeerIncompatible,
        client=client_config(versions=versions),
    )
    assert str(version) in sentence


@pytest.mark.parametrize("chosen", [ProtocolVersion.TLS1_2, ProtocolVersion.TLS1_1, ProtocolVersion(0x0305)])
def test_client_refuses_a_server_that_names_an_old_version_in_supported_versions(chosen: ProtocolVersion) -> None:
    """RFC 9846 4.3.1: the extension is for TLS 1.3 and later; before there is none."""
    refused(changed(ServerHello, supported_versions=chosen), Misbehaviour.VERSION_NOT_OFFERED, client=client_config())


def test_client_of_tls12_refuses_a_server_that_answers_in_tls13() -> None:
    refused(changed(ServerHello, supported_versions=ProtocolVersion.TLS1_3), Misbehaviour.UNSOLICITED_EXTENSION)


@pytest.mark.parametrize("versions", [["1.2"], ["1.2", "1.3"]], ids=["1.2", "both"])
def test_client_takes_a_session_id_that_it_did_not_offer_as_the_name_of_a_new_session(versions: list[str]) -> None:
    edit = changed(ServerHello, session_id=b"a new session's name")
    against(edit, client=client_config(versions=versions)).check_connected()


def test_client_refuses_the_echo_of_a_session_id_that_names_no_session() -> None:
    """A client of both versions sends a random one, to please middleboxes: nobody can know a session of that name."""
    server = ScriptedServer(server12())

    def echo(message: ServerHello) -> Iterable[Item]:
        hello = ClientHello.parse(server.flow.transcript.content()[4:])
        assert len(hello.session_id) == 32
        return (replace(message, session_id=hello.session_id),)

    server.flow._edit = on(ServerHello, echo)
    joined = Pair(ClientConnection(client_config(), "localhost"), server).run()
    check_refused(joined, "client", PeerMisbehaved, Misbehaviour.SESSION_ID_ECHOED)


# -- Certificate ------------------------------------------------------------------------------------------------------


def test_client_refuses_a_server_without_certificate() -> None:
    refused(changed(CertificateMessage12, certificates=()), Misbehaviour.NO_SERVER_CERTIFICATE)


def test_client_refuses_a_chain_longer_than_any() -> None:
    many = (server_credential().certificate.der,) * 17
    refused(changed(CertificateMessage12, certificates=many), CertificateProblem.CHAIN_TOO_LONG, CertificateRejected)


def test_client_refuses_bytes_that_are_no_certificate() -> None:
    refused(
        changed(CertificateMessage12, certificates=(b"no certificate",)),
        CertificateProblem.MALFORMED,
        CertificateRejected,
    )


@pytest.mark.parametrize(
    ("issue", "problem"),
    [
        (lambda: strange_root().issue_server("localhost"), CertificateProblem.UNKNOWN_ISSUER),
        (lambda: server_root().issue_server("elsewhere.example"), CertificateProblem.NAME_MISMATCH),
        (
            lambda: server_root().issue_client("not a server", dns_names=["localhost"]),
            CertificateProblem.WRONG_PURPOSE,
        ),
    ],
    ids=["strange CA", "other name", "client's"],
)
def test_client_refuses_a_certificate_that_is_not_this_servers(issue: Any, problem: CertificateProblem) -> None:
    refused(honest, problem, CertificateRejected, server=server12(credentials=[credential(issue())]))


def test_client_refuses_a_certificate_whose_key_somebody_else_holds() -> None:
    """The certificate of the real server, the signature of another key."""
    real = server_credential("ec-p256", "localhost").certificate.der
    another = server12(credentials=[server_credential("ec-p256", "localhost", "second")])
    refused(changed(CertificateMessage12, certificates=(real,)), Misbehaviour.BAD_SIGNATURE, server=another)


@pytest.mark.parametrize(("key", "other"), [("rsa-2048", "ec-p256"), ("ec-p256", "rsa-2048"), ("ed25519", "rsa-2048")])
def test_client_refuses_a_key_that_the_suite_does_not_go_with(key: str, other: str) -> None:
    """An ECDSA suite with an RSA certificate, and the other way round."""
    chain = (server_credential(other).certificate.der,)
    refused(
        changed(CertificateMessage12, certificates=chain),
        Misbehaviour.KEY_NOT_FOR_SUITE,
        server=server12(credentials=[server_credential(key)]),
    )


@pytest.mark.parametrize(("groups", "accepted"), [(["x25519"], False), (["x25519", "secp256r1"], True)], ids=repr)
def test_client_refuses_a_key_on_a_curve_that_it_did_not_offer(groups: list[str], *, accepted: bool) -> None:
    """RFC 8422 5.1: supported_groups is about the certificate as well. This server presents what it has."""
    server = server12(choose_credential=lambda offered, credentials: credentials[0])
    joined = against(honest, client=client12(groups=groups), server=server)
    if accepted:
        joined.check_connected()
    else:
        failure = check_refused(joined, "client", PeerMisbehaved, Misbehaviour.GROUP_NOT_OFFERED)
        assert "the certificate's key is on secp256r1" in str(failure)


@pytest.mark.parametrize("key_type", ["rsa-2048", "ed25519"])
def test_key_on_no_curve_needs_none_to_be_offered(key_type: str) -> None:
    server = server12(credentials=[server_credential(key_type)])
    against(honest, client=client12(groups=["secp384r1"]), server=server).check_connected()


# -- ServerKeyExchange ------------------------------------------------------------------------------------------------


def signed_by(server: ScriptedServer, key: PrivateKey, scheme: SignatureScheme, message: ServerKeyExchange) -> bytes:
    """A signature over what the client will check: both randoms and the parameters."""
    sent = server.flow.transcript.content()
    hello_end = 4 + int.from_bytes(sent[1:4], "big")
    client_random, server_random = sent[6:38], sent[hello_end + 6 : hello_end + 38]
    return sign(key, scheme, client_random + server_random + message.parameters())


def exchange(server_key: str = "ec-p256", **fields: Any) -> Edit:
    """The ServerKeyExchange with other fields, signed anew, so that nothing but these is wrong."""
    key: Any = server_identity(server_key).key

    def change(message: ServerKeyExchange) -> Iterable[Item]:
        other = replace(message, **fields)
        return (replace(other, signature=signed_by(holder[0], key, other.scheme, other)),)

    return on(ServerKeyExchange, change)


holder: list[ScriptedServer] = []


def met(edit: Edit, *, server: ServerConfig | None = None, client: ClientConfig | None = None) -> Pair:
    """As `against`, with a script that needs to know the server that it is part of."""
    holder[:] = [ScriptedServer(server or server12(), edit)]
    return Pair(ClientConnection(client or client12(), "localhost"), holder[0]).run()


def test_signature_made_anew_is_accepted() -> None:
    """The next tests show something only because this one does not fail."""
    met(exchange()).check_connected()


@pytest.mark.parametrize(
    "group",
    [NamedGroup.SECP521R1, NamedGroup.X25519MLKEM768, NamedGroup.FFDHE2048, NamedGroup(0x0016), NamedGroup(0x0A0A)],
    ids=hex,
)
def test_client_refuses_a_group_that_it_did_not_offer(group: NamedGroup) -> None:
    joined = met(exchange(group=group), client=client12(groups=["x25519", "secp256r1"]))
    failure = check_refused(joined, "client", PeerMisbehaved, Misbehaviour.GROUP_NOT_OFFERED)
    assert str(group) in str(failure)


def test_client_of_both_versions_refuses_the_hybrid_group_that_it_offered_for_tls13() -> None:
    joined = met(exchange(group=NamedGroup.X25519MLKEM768, public=b"x" * 200), client=client_config())
    check_refused(joined, "client", PeerMisbehaved, Misbehaviour.GROUP_NOT_OFFERED)


@pytest.mark.parametrize(
    ("group", "public"),
    [
        (NamedGroup.X25519, bytes(32)),
        (NamedGroup.X25519, b"\1" + bytes(31)),
        (NamedGroup.X25519, b"\x09" * 31),
        (NamedGroup.X25519, b"\x09" * 33),
        (NamedGroup.SECP256R1, b"\4" * 65),
        (NamedGroup.SECP256R1, b"\4" + bytes(64)),
        (NamedGroup.SECP256R1, b"\0"),
        (NamedGroup.SECP256R1, b"\2" + b"\x11" * 32),
        (NamedGroup.SECP256R1, b"\4" + b"\xff" * 64),
        (NamedGroup.SECP384R1, b"\4" * 65),
        (NamedGroup.SECP521R1, b"\4" * 133),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_client_refuses_a_point_that_is_none(group: NamedGroup, public: bytes) -> None:
    joined = met(exchange(group=group, public=public))
    check_refused(joined, "client", PeerMisbehaved, Misbehaviour.BAD_KEY_SHARE)


@pytest.mark.parametrize(
    "change",
    [
        lambda message: replace(message, signature=message.signature[:-1]),
        lambda message: replace(message, signature=b""),
        lambda message: replace(message, signature=bytes(64)),
        lambda message: replace(message, public=b"\x09" + bytes(31)),
        lambda message: replace(message, scheme=SignatureScheme.ECDSA_SECP384R1_SHA384),
    ],
    ids=["cut", "empty", "zeros", "another point", "another hash"],
)
def test_client_refuses_a_signature_that_does_not_verify(change: Any) -> None:
    refused(on(ServerKeyExchange, lambda message: (change(message),)), Misbehaviour.BAD_SIGNATURE)


def test_client_refuses_the_signature_of_another_handshake() -> None:
    """Replayed: the point and its signature of a server's earlier connection, over other randoms."""
    kept: list[ServerKeyExchange] = []

    def keep(message: ServerKeyExchange) -> Iterable[Item]:
        kept.append(message)
        return (message,)

    against(on(ServerKeyExchange, keep)).check_connected()
    refused(on(ServerKeyExchange, lambda message: (kept[0],)), Misbehaviour.BAD_SIGNATURE)


@pytest.mark.parametrize(
    ("scheme", "schemes"),
    [
        (SignatureScheme.ECDSA_SECP384R1_SHA384, ["ecdsa_secp256r1_sha256"]),
        (SignatureScheme.ECDSA_SHA1, None),
        (SignatureScheme.RSA_PKCS1_SHA1, None),
        (SignatureScheme(0x0A0A), None),
    ],
    ids=repr,
)
def test_client_refuses_a_scheme_that_it_did_not_offer(scheme: SignatureScheme, schemes: list[str] | None) -> None:
    client = client12(signature_schemes=schemes)
    sentence = refused(changed(ServerKeyExchange, scheme=scheme), Misbehaviour.SCHEME_NOT_OFFERED, client=client)
    assert str(scheme) in sentence


@pytest.mark.parametrize(
    ("scheme", "key"),
    [
        (SignatureScheme.RSA_PSS_RSAE_SHA256, "ec-p256"),
        (SignatureScheme.ED25519, "ec-p256"),
        (SignatureScheme.ECDSA_SECP256R1_SHA256, "ed25519"),
        (SignatureScheme.ECDSA_SECP256R1_SHA256, "rsa-2048"),
    ],
    ids=repr,
)
def test_client_refuses_a_scheme_that_does_not_go_with_the_key(scheme: SignatureScheme, key: str) -> None:
    refused(
        changed(ServerKeyExchange, scheme=scheme),
        Misbehaviour.SCHEME_NOT_FOR_KEY,
        server=server12(credentials=[server_credential(key)]),
    )


def test_client_refuses_ml_dsa_in_tls12() -> None:
    """It is defined for TLS 1.3 alone, though a client of both versions offers it in one list."""
    identity = server_credential("ml-dsa-44")
    key: Any = server_identity("ml-dsa-44").key
    scheme = SignatureScheme.MLDSA44

    def post_quantum(message: Any) -> Iterable[Item]:
        if isinstance(message, CertificateMessage12):
            return (CertificateMessage12(certificates=(identity.certificate.der,)),)
        if isinstance(message, ServerKeyExchange):
            return (replace(message, scheme=scheme, signature=signed_by(holder[0], key, scheme, message)),)
        return (message,)

    joined = met(post_quantum, client=client_config())
    check_refused(joined, "client", PeerMisbehaved, Misbehaviour.SCHEME_NOT_OFFERED)


def test_client_takes_rsa_pkcs1_signatures_in_tls12_only_where_it_offered_them() -> None:
    key: Any = server_identity("rsa-2048").key
    scheme = SignatureScheme.RSA_PKCS1_SHA256

    def old(message: ServerKeyExchange) -> Iterable[Item]:
        return (replace(message, scheme=scheme, signature=signed_by(holder[0], key, scheme, message)),)

    rsa = server12(credentials=[server_credential("rsa-2048")])
    met(on(ServerKeyExchange, old), server=rsa).check_connected()


def test_client_refuses_a_curve_that_is_not_named() -> None:
    """explicit_prime (1) and explicit_char2 (2) of RFC 4492."""
    for curve_type in (1, 2, 0, 4):

        def explicit(message: ServerKeyExchange, curve_type: int = curve_type) -> Iterable[Item]:
            return (handshake(12, bytes([curve_type]) + message.encode()[1:]),)

        refused(on(ServerKeyExchange, explicit), Misbehaviour.MALFORMED, DecodeError)


def test_client_refuses_a_server_signature_made_for_a_certificate_verify() -> None:
    """What is signed must be the randoms and the point, and nothing that another protocol message could hold."""

    class WrongContent(KeySigner):
        def sign(self, scheme: SignatureScheme, message: bytes) -> bytes:
            return super().sign(scheme, b" " * 64 + message)

    server = server_identity("ec-p256")
    impostor = Credential(server.chain, WrongContent(server.key))
    refused(honest, Misbehaviour.BAD_SIGNATURE, server=server12(credentials=[impostor]))


# -- CertificateRequest -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [b"", b"\0", b"\0\0\2\4\3\0\0", b"\1\1", b"\1\1\0\0", b"\1\1\0\0\0\0", b"\1\1\0\1\4\0\0", b"\1\1\0\2\4\3\0\1\0"],
    ids=lambda body: body.hex() or "empty",
)
def test_client_refuses_a_certificate_request_that_is_none(body: bytes) -> None:
    joined = against(on(CertificateRequest12, lambda message: (handshake(13, body),)), server=asking(), client=known())
    failure = joined.client.failure
    assert isinstance(failure, DecodeError), f"accepted: {failure!r}"
    check_refused(joined, "client", DecodeError, failure.reason)


def test_client_comes_without_certificate_when_no_scheme_fits() -> None:
    edit = changed(CertificateRequest12, signature_algorithms=(SignatureScheme.RSA_PSS_RSAE_SHA256,))
    joined = against(edit, server=asking(), client=known())
    assert joined.client.requested is not None, "it was asked"
    assert isinstance(joined.server.failure, CertificateRejected), "it sent an empty Certificate"
    assert joined.server.failure.reason is CertificateProblem.NONE_PRESENTED


# -- Finished, tickets ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [0, 1, 11, 12, 13, 32, 64])
def test_client_refuses_a_finished_that_does_not_verify(length: int) -> None:
    refused(changed(Finished, verify_data=b"\x5a" * length), Misbehaviour.BAD_FINISHED)


def test_client_refuses_its_own_finished_sent_back() -> None:
    """Reflection: the two are computed under different labels."""
    client = ScriptedClient(client12())
    server = ScriptedServer(server12(), on(Finished, lambda message: (client.flow.sent[-1],)))
    joined = Pair(client, server).run()
    assert isinstance(client.flow.sent[-1], Finished)
    check_refused(joined, "client", PeerMisbehaved, Misbehaviour.BAD_FINISHED)


def test_client_refuses_a_ticket_that_was_not_announced() -> None:
    edit = changed(ServerHello, session_ticket=None)
    refused(edit, Misbehaviour.UNEXPECTED_MESSAGE)


def test_client_refuses_to_do_without_a_ticket_that_was_announced() -> None:
    """RFC 5077 3.3: it must come; its change_cipher_spec stands where the ticket should."""
    refused(on(NewSessionTicket12, lambda message: ()), Misbehaviour.BAD_CHANGE_CIPHER_SPEC)


def test_client_takes_an_empty_ticket_as_none() -> None:
    client = client12()
    against(changed(NewSessionTicket12, ticket=b""), client=client).check_connected()
    assert isinstance(client.sessions, MemoryClientSessions)
    assert len(client.sessions) == 0, "there is nothing to come back with"


# -- Order ------------------------------------------------------------------------------------------------------------

SERVER_MESSAGES: Final = [
    ServerHello,
    CertificateMessage12,
    ServerKeyExchange,
    CertificateRequest12,
    ServerHelloDone,
    NewSessionTicket12,
    Finished,
]
name_of: Final[dict[str, Any]] = {"ids": lambda kind: kind.__name__}


@pytest.mark.parametrize("left_out", [ServerHello, CertificateMessage12, ServerKeyExchange], **name_of)
def test_client_notices_a_message_that_is_left_out(left_out: type[Any]) -> None:
    refused(on(left_out, lambda message: ()), Misbehaviour.UNEXPECTED_MESSAGE, server=asking(), client=known())


@pytest.mark.parametrize("left_out", [ServerHelloDone, Finished], **name_of)
def test_client_waits_for_a_message_that_does_not_come(left_out: type[Any]) -> None:
    joined = against(on(left_out, lambda message: ()), server=asking(), client=known())
    assert joined.client.failure is None
    assert joined.client.handshaking


def check_unexpected(joined: Pair, reason: Misbehaviour = Misbehaviour.UNEXPECTED_MESSAGE) -> None:
    """The client refused. Where it had answered before, the server has already stumbled over its own script."""
    failure = joined.client.failure
    assert isinstance(failure, PeerMisbehaved), f"accepted: {failure!r}"
    assert failure.reason is reason
    assert joined.server.failure is not None, "the server is left without an alert"


@pytest.mark.parametrize("doubled", SERVER_MESSAGES, **name_of)
def test_client_refuses_a_message_that_comes_twice(doubled: type[Any]) -> None:
    joined = against(on(doubled, lambda message: (message, NewRecord(), message)), server=asking(), client=known())
    check_unexpected(joined)


@pytest.mark.parametrize("first", SERVER_MESSAGES[:-3], **name_of)
def test_client_refuses_messages_in_another_order(first: type[Any]) -> None:
    """Each message changes places with the next."""
    held: list[Item] = []

    def swap(message: Any) -> Iterable[Item]:
        if type(message) is first:
            held.append(message)
            return ()
        return (message, held.pop()) if held else (message,)

    # Behind the ServerHelloDone, in its record: the client sees that before it looks at what it is.
    in_turn = first is CertificateRequest12
    reason = Misbehaviour.EXCESS_HANDSHAKE_DATA if in_turn else Misbehaviour.UNEXPECTED_MESSAGE
    check_unexpected(against(swap, server=asking(), client=known()), reason)


@pytest.mark.parametrize("tail", [b"\4", handshake(0), handshake(4, b"\0" * 6), handshake(99)], ids=bytes.hex)
def test_client_refuses_bytes_behind_the_server_hello_done(tail: bytes) -> None:
    """It is the client's turn then, and nothing of its own goes out before that is seen."""
    edit = on(ServerHelloDone, lambda message: (message, tail))
    joined = Pair(ClientConnection(known(), "localhost"), ScriptedServer(asking(), edit))
    feed(joined.server, [joined.client.data_to_send()])
    feed(joined.client, [joined.server.data_to_send()])
    answer = joined.client.data_to_send()
    assert answer == plain_record(21, bytes([2, AlertDescription.UNEXPECTED_MESSAGE])), "more than an alert went out"
    feed(joined.server, [answer])
    check_refused(joined, "client", PeerMisbehaved, Misbehaviour.EXCESS_HANDSHAKE_DATA)


@pytest.mark.parametrize(
    "stranger",
    [
        ClientHello(random=b"r" * 32, cipher_suites=(CipherSuite.TLS_AES_128_GCM_SHA256,)),
        ClientKeyExchange(public=b"p"),
        CertificateVerify(scheme=SignatureScheme.ED25519, signature=b"s"),
        CertificateStatus(response=b"o"),
        EncryptedExtensions(),
        KeyUpdate(update_requested=False),
        handshake(5),
        handshake(99, b"abc"),
    ],
    ids=lambda item: item.hex() if isinstance(item, bytes) else type(item).__name__,
)
@pytest.mark.parametrize("before", SERVER_MESSAGES, **name_of)
def test_client_refuses_a_message_that_may_not_come(before: type[Any], stranger: Item) -> None:
    joined = against(on(before, lambda message: (stranger, message)), server=asking(), client=known())
    failure = check_refused(joined, "client", PeerMisbehaved, Misbehaviour.UNEXPECTED_MESSAGE)
    assert "while waiting for" in str(failure)


@pytest.mark.parametrize("before", SERVER_MESSAGES[1:], **name_of)
def test_client_passes_over_a_hello_request_during_the_handshake(before: type[Any]) -> None:
    """RFC 5246 7.4.1.1: ignored then, and no part of the transcript."""
    edit = on(before, lambda message: (Record(22, handshake(0)), message))
    against(edit, server=asking(), client=known()).check_connected()


def test_client_refuses_a_hello_request_that_is_none() -> None:
    edit = on(ServerKeyExchange, lambda message: (Record(22, handshake(0, b"\0")), message))
    joined = against(edit)
    check_refused(joined, "client", DecodeError, Misbehaviour.MESSAGE_TOO_LARGE)


def test_client_refuses_a_hello_request_before_the_server_hello() -> None:
    joined = against(on(ServerHello, lambda message: (HelloRequest(), message)))
    failure = joined.client.failure
    assert isinstance(failure, PeerMisbehaved)
    assert failure.reason is Misbehaviour.UNEXPECTED_MESSAGE


@pytest.mark.parametrize("kind", SERVER_MESSAGES, **name_of)
def test_client_refuses_a_message_with_something_behind_its_end(kind: type[Any]) -> None:
    def lengthened(message: Any) -> Iterable[Item]:
        return (handshake(message.TYPE, message.encode() + b"\0"),)

    joined = against(on(kind, lengthened), server=asking(), client=known())
    failure = joined.client.failure
    assert isinstance(failure, PeerMisbehaved), f"accepted: {failure!r}"
    expected = {
        # Its length is part of what is compared.
        Finished: Misbehaviour.BAD_FINISHED,
        # Refused by its header: it can only be empty.
        ServerHelloDone: Misbehaviour.MESSAGE_TOO_LARGE,
    }
    assert failure.reason is expected.get(kind, Misbehaviour.TRAILING_BYTES)
    check_refused(joined, "client", type(failure), failure.reason)


def test_client_refuses_bytes_behind_the_servers_finished() -> None:
    """In the Finished's record begins something that no handshake has."""
    joined = against(on(Finished, lambda message: (message, handshake(99))))
    failure = joined.client.failure
    assert isinstance(failure, PeerMisbehaved)
    assert failure.reason is Misbehaviour.UNEXPECTED_MESSAGE


def test_client_that_gets_a_fatal_alert_instead_of_a_hello_says_which() -> None:
    client = ClientConnection(client12(), "localhost")
    feed(client, [plain_record(21, b"\2\x28")])
    assert "handshake_failure" in str(client.failure)
