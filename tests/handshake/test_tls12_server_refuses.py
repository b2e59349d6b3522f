"""What a server refuses of a TLS 1.2 client: each with its reason, and with the alert that the client reads.

The client is the real one with one message changed before it is sent (tests/support/scripted.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

import pytest

from tests.support.identities import (
    client_config,
    client_credential,
    client_identity,
    client_intermediate,
    credential,
    optional,
    required,
    server_config,
    server_credential,
)
from tests.support.memory import Pair, check_refused, feed, plain_record
from tests.support.scripted import Edit, Item, NewRecord, ScriptedClient, ScriptedServer, honest, on
from tests.support.tls12 import client12, handshake, server12
from trustls.config import ClientConfig, ServerConfig
from trustls.connection import ServerConnection
from trustls.crypto.signatures import sign
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
from trustls.wire.enums import CipherSuite, ECPointFormat, ExtensionType, NamedGroup, ProtocolVersion, SignatureScheme
from trustls.wire.messages import CertificateVerify, ClientHello, EndOfEarlyData, Finished, KeyUpdate, ServerHello
from trustls.wire.messages12 import (
    CertificateMessage12,
    ClientKeyExchange,
    HelloRequest,
    NewSessionTicket12,
    ServerHelloDone,
)


def against(edit: Edit, *, server: ServerConfig | None = None, client: ClientConfig | None = None) -> Pair:
    """A server that met this client, which holds a certificate."""
    client = client or client12(credentials=[client_credential()])
    return Pair(ScriptedClient(client, edit), ServerConnection(server or server12(client_auth=required()))).run()


def refused(
    edit: Edit,
    reason: object,
    error: type[Any] = PeerMisbehaved,
    *,
    server: ServerConfig | None = None,
    client: ClientConfig | None = None,
) -> str:
    """The sentence with which a server refuses this client."""
    return str(check_refused(against(edit, server=server, client=client), "server", error, reason))


def changed(kind: type[Any], **fields: Any) -> Edit:
    """Other values in the fields of a message."""
    return on(kind, lambda message: (replace(message, **fields),))


def test_script_that_changes_nothing_connects() -> None:
    """The other tests here show something only because this one does not fail."""
    against(honest).check_connected()


# -- ClientHello ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "error", "reason"),
    [
        ({"renegotiation_info": b"\0" * 12}, PeerMisbehaved, Misbehaviour.BAD_RENEGOTIATION_INFO),
        (
            {"ec_point_formats": (ECPointFormat(1), ECPointFormat(2))},
            PeerMisbehaved,
            Misbehaviour.NO_UNCOMPRESSED_POINTS,
        ),
        ({"ec_point_formats": ()}, DecodeError, Misbehaviour.BAD_LENGTH),
        ({"extended_master_secret": None}, PeerIncompatible, Incompatibility.NO_EXTENDED_MASTER_SECRET),
        ({"signature_algorithms": None}, PeerIncompatible, Incompatibility.NO_COMMON_SCHEME),
        (
            {"signature_algorithms": (SignatureScheme.ECDSA_SHA1, SignatureScheme.RSA_PKCS1_SHA1)},
            PeerIncompatible,
            Incompatibility.NO_COMMON_SCHEME,
        ),
        (
            {"cipher_suites": (CipherSuite(0x002F), CipherSuite(0xC013))},
            PeerIncompatible,
            Incompatibility.NO_COMMON_SUITE,
        ),
        ({"cipher_suites": (CipherSuite.TLS_AES_128_GCM_SHA256,)}, PeerIncompatible, Incompatibility.NO_COMMON_SUITE),
        ({"legacy_version": ProtocolVersion.TLS1_1}, PeerIncompatible, Incompatibility.NO_COMMON_VERSION),
        ({"legacy_version": ProtocolVersion.TLS1_0}, PeerIncompatible, Incompatibility.NO_COMMON_VERSION),
        ({"legacy_version": ProtocolVersion.SSL3}, PeerIncompatible, Incompatibility.NO_COMMON_VERSION),
        ({"legacy_version": ProtocolVersion(0x0002)}, PeerIncompatible, Incompatibility.NO_COMMON_VERSION),
        (
            {"unknown_extensions": ((int(ExtensionType.EXTENDED_MASTER_SECRET), b""),)},
            DecodeError,
            Misbehaviour.DUPLICATE_EXTENSION,
        ),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_server_refuses_client_hello(fields: dict[str, Any], error: type[Any], reason: object) -> None:
    refused(changed(ClientHello, **fields), reason, error)


@pytest.mark.parametrize(
    "groups",
    [(NamedGroup.FFDHE2048,), (NamedGroup.X25519MLKEM768,), None],
    ids=["of TLS 1.2", "of TLS 1.3", "not said"],
)
def test_server_refuses_a_client_without_a_group_of_ours(groups: tuple[NamedGroup, ...] | None) -> None:
    """With a key that is on no curve: what the client lacks is the exchange alone."""
    refused(
        changed(ClientHello, supported_groups=groups),
        Incompatibility.NO_COMMON_GROUP,
        PeerIncompatible,
        server=server12(credentials=[server_credential("rsa-2048")]),
    )


@pytest.mark.parametrize("version", [0x0304, 0x0305, 0x7F1C, 0xFEFF])
def test_server_answers_a_newer_version_with_tls12(version: int) -> None:
    """RFC 9846 E.1: without supported_versions the field says what the client speaks at the most."""
    server = ScriptedServer(server_config())
    client = ScriptedClient(client12(), changed(ClientHello, legacy_version=ProtocolVersion(version)))
    Pair(client, server).run().check_connected()
    assert isinstance(server.flow.sent[0], ServerHello)
    assert server.flow.sent[0].legacy_version is ProtocolVersion.TLS1_2


@pytest.mark.parametrize(
    "extra",
    [
        {"unknown_extensions": ((0x0A0A, b"grease"),)},
        {"encrypt_then_mac": True},
        {"heartbeat": 1},
        {"signed_certificate_timestamp": True},
        {"padding": 300},
        {"cipher_suites": (CipherSuite(0x0A0A), *client12().parameters.cipher_suites, CipherSuite(0x1301))},
        {"ec_point_formats": None},
        {"ec_point_formats": (ECPointFormat(1), ECPointFormat.UNCOMPRESSED)},
        {"renegotiation_info": None},
        {"server_name": None},
        {"session_id": b"x"},
        {"session_ticket": None},
    ],
    ids=lambda value: repr(value)[:50],
)
def test_server_takes_a_hello_with_more_or_less_than_ours(extra: dict[str, Any]) -> None:
    server = ScriptedServer(server12(resumption=None))
    client = ScriptedClient(client12(groups=["secp256r1"]), changed(ClientHello, **extra))
    joined = Pair(client, server).run()
    assert joined.server.failure is None, f"refused: {joined.server.failure!r}"
    joined.check_connected()


def test_server_takes_a_hello_without_extensions_where_no_extended_master_secret_is_demanded() -> None:
    """RFC 5246 7.4.1.2; but without signature_algorithms it could only mean SHA-1."""
    hello = on(ClientHello, lambda message: (handshake(1, bare(message)),))
    refused(
        hello,
        Incompatibility.NO_COMMON_SCHEME,
        PeerIncompatible,
        server=server12(require_extended_master_secret=False),
    )


def bare(hello: ClientHello) -> bytes:
    """A ClientHello that ends after the compression methods."""
    return ClientHello(random=hello.random, cipher_suites=hello.cipher_suites).encode()[:-2]


# -- ClientKeyExchange ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("group", "public"),
    [
        ("x25519", bytes(32)),
        ("x25519", b"\1" + bytes(31)),
        ("x25519", b"\x09" * 31),
        ("secp256r1", b"\4" * 65),
        ("secp256r1", b"\4" + b"\xff" * 64),
        ("secp256r1", b"\2" + b"\x11" * 32),
        ("secp256r1", b"\0"),
        ("secp384r1", b"\4" * 97),
        ("secp521r1", b"\4" * 133),
    ],
)
def test_server_refuses_a_point_that_is_none(group: str, public: bytes) -> None:
    server = server12(client_auth=required(), groups=[group])
    refused(changed(ClientKeyExchange, public=public), Misbehaviour.BAD_KEY_SHARE, server=server)


def test_server_refuses_an_empty_key_exchange() -> None:
    """RFC 8422 5.7: the implicit form is for certificates with a fixed ECDH key, of which there are none."""
    refused(changed(ClientKeyExchange, public=b""), Misbehaviour.BAD_LENGTH, DecodeError)


def test_server_sees_that_the_client_computed_with_another_point() -> None:
    """A good point that is not the one of the client's own secret: the keys differ."""
    joined = against(changed(ClientKeyExchange, public=b"\x09" + bytes(31)))
    failure = joined.server.failure
    assert isinstance(failure, PeerMisbehaved)
    assert failure.reason is Misbehaviour.BAD_RECORD_MAC


# -- Client certificates ----------------------------------------------------------------------------------------------


def test_server_refuses_a_certificate_that_it_did_not_ask_for() -> None:
    def uncalled(message: ClientKeyExchange) -> Iterable[Item]:
        return (CertificateMessage12(certificates=(client_credential().certificate.der,)), message)

    refused(on(ClientKeyExchange, uncalled), Misbehaviour.UNEXPECTED_MESSAGE, server=server12())


def test_server_refuses_a_client_that_leaves_out_its_certificate_message() -> None:
    """RFC 5246 7.4.6: asked for one, a client without answers with an empty message, not with none."""
    for auth in (required(), optional()):
        refused(
            on(CertificateMessage12, lambda message: ()),
            Misbehaviour.UNEXPECTED_MESSAGE,
            server=server12(client_auth=auth),
        )


def test_server_refuses_a_certificate_verify_after_an_empty_certificate() -> None:
    joined = against(changed(CertificateMessage12, certificates=()), server=server12(client_auth=optional()))
    check_refused(joined, "server", PeerMisbehaved, Misbehaviour.UNEXPECTED_MESSAGE)
    assert joined.server.peer is None


@pytest.mark.parametrize("auth", [required(), optional()], ids=["required", "optional"])
def test_server_refuses_a_client_that_does_not_prove_its_key(auth: Any) -> None:
    """The CertificateVerify left out: what follows is the change_cipher_spec."""
    joined = against(on(CertificateVerify, lambda message: ()), server=server12(client_auth=auth))
    check_refused(joined, "server", PeerMisbehaved, Misbehaviour.BAD_CHANGE_CIPHER_SPEC)
    assert joined.server.peer is None


@pytest.mark.parametrize("certificates", [(b"no certificate",), (b"\x30\x03\2\1\1",)])
def test_server_refuses_bytes_that_are_no_certificate(certificates: tuple[bytes, ...]) -> None:
    refused(changed(CertificateMessage12, certificates=certificates), CertificateProblem.MALFORMED, CertificateRejected)


def test_server_refuses_a_chain_longer_than_any() -> None:
    many = (client_credential().certificate.der,) * 17
    refused(changed(CertificateMessage12, certificates=many), CertificateProblem.CHAIN_TOO_LONG, CertificateRejected)


def test_server_refuses_the_certificate_of_a_server_as_a_clients() -> None:
    posing = credential(client_intermediate().issue_server("not.a.client"))
    joined = against(honest, client=client12(credentials=[posing]))
    check_refused(joined, "server", CertificateRejected, CertificateProblem.WRONG_PURPOSE)


@pytest.mark.parametrize("other", ["ec-p256", "ec-p384", "ed25519", "rsa-2048"])
def test_server_refuses_the_certificate_of_somebody_elses_key(other: str) -> None:
    """Alice's certificate, the CertificateVerify of Mallory's key, whatever kind it is."""
    alice = client_credential("ec-p256", "alice")
    mallory = client_credential(other, "mallory")
    chain = tuple([certificate.der for certificate in alice.chain])
    joined = against(changed(CertificateMessage12, certificates=chain), client=client12(credentials=[mallory]))
    failure = joined.server.failure
    assert isinstance(failure, PeerMisbehaved), f"let in: {failure!r}"
    # ECDSA goes with any curve in TLS 1.2.
    fits = other in {"ec-p256", "ec-p384"}
    assert failure.reason is (Misbehaviour.BAD_SIGNATURE if fits else Misbehaviour.SCHEME_NOT_FOR_KEY)
    check_refused(joined, "server", PeerMisbehaved, failure.reason)
    assert joined.server.peer is None


@pytest.mark.parametrize(
    "change",
    [
        lambda message: replace(message, signature=message.signature[:-1]),
        lambda message: replace(message, signature=b""),
        lambda message: replace(message, signature=bytes([message.signature[0]]) + bytes(70)),
        lambda message: replace(message, scheme=SignatureScheme.ECDSA_SECP384R1_SHA384),
    ],
    ids=["cut", "empty", "zeros", "another hash"],
)
def test_server_refuses_a_signature_that_does_not_verify(change: Any) -> None:
    refused(on(CertificateVerify, lambda message: (change(message),)), Misbehaviour.BAD_SIGNATURE)


@pytest.mark.parametrize(
    "scheme",
    [
        SignatureScheme.ECDSA_SHA1,
        SignatureScheme.RSA_PKCS1_SHA1,
        SignatureScheme.MLDSA44,
        SignatureScheme(0x0A0A),
    ],
    ids=repr,
)
def test_server_refuses_a_scheme_that_it_did_not_ask_for(scheme: SignatureScheme) -> None:
    assert str(scheme) in refused(changed(CertificateVerify, scheme=scheme), Misbehaviour.SCHEME_NOT_OFFERED)


@pytest.mark.parametrize(
    ("scheme", "key"),
    [
        (SignatureScheme.RSA_PSS_RSAE_SHA256, "ec-p256"),
        (SignatureScheme.ED25519, "ec-p256"),
        (SignatureScheme.ECDSA_SECP256R1_SHA256, "rsa-2048"),
    ],
    ids=repr,
)
def test_server_refuses_a_scheme_that_does_not_go_with_the_key(scheme: SignatureScheme, key: str) -> None:
    refused(
        changed(CertificateVerify, scheme=scheme),
        Misbehaviour.SCHEME_NOT_FOR_KEY,
        client=client12(credentials=[client_credential(key)]),
    )


def verify_over(client: ScriptedClient, content: Any) -> Edit:
    """A CertificateVerify by the right key over `content(transcript)`."""
    key: Any = client_identity("ec-p256", "alice").key

    def change(message: CertificateVerify) -> Iterable[Item]:
        signed = content(client.flow.transcript.content())
        return (replace(message, signature=sign(key, message.scheme, signed)),)

    return on(CertificateVerify, change)


@pytest.mark.parametrize(
    ("content", "accepted"),
    [
        (lambda sent: sent, True),
        (lambda sent: sent[:-1], False),
        (lambda sent: sent[4:], False),
        (lambda sent: b"", False),
        (lambda sent: b" " * 64 + sent, False),
        (lambda sent: sent[: 4 + int.from_bytes(sent[1:4], "big")], False),
    ],
    ids=["all messages", "a byte less", "without the first header", "nothing", "as in TLS 1.3", "the hello alone"],
)
def test_signature_must_be_over_all_messages_so_far(content: Any, accepted: bool) -> None:
    client = ScriptedClient(client12(credentials=[client_credential()]))
    client.flow._edit = verify_over(client, content)
    joined = Pair(client, ServerConnection(server12(client_auth=required()))).run()
    if accepted:
        joined.check_connected()
    else:
        check_refused(joined, "server", PeerMisbehaved, Misbehaviour.BAD_SIGNATURE)


def test_certificate_verify_of_another_handshake_is_refused() -> None:
    kept: list[CertificateVerify] = []

    def keep(message: CertificateVerify) -> Iterable[Item]:
        kept.append(message)
        return (message,)

    against(on(CertificateVerify, keep)).check_connected()
    refused(on(CertificateVerify, lambda message: (kept[0],)), Misbehaviour.BAD_SIGNATURE)


# -- Finished and order -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [0, 1, 11, 12, 13, 32, 64])
def test_server_refuses_a_finished_that_does_not_verify(length: int) -> None:
    refused(changed(Finished, verify_data=b"\x5a" * length), Misbehaviour.BAD_FINISHED)


def test_server_refuses_a_finished_that_is_too_large_to_be_one() -> None:
    refused(changed(Finished, verify_data=bytes(65)), Misbehaviour.MESSAGE_TOO_LARGE, DecodeError)


CLIENT_MESSAGES: Final = [ClientHello, CertificateMessage12, ClientKeyExchange, CertificateVerify, Finished]
name_of: Final[dict[str, Any]] = {"ids": lambda kind: kind.__name__}


@pytest.mark.parametrize("left_out", [ClientHello, CertificateMessage12, ClientKeyExchange], **name_of)
def test_server_notices_a_message_that_is_left_out(left_out: type[Any]) -> None:
    joined = against(on(left_out, lambda message: ()))
    if left_out is ClientHello:
        assert joined.server.handshaking, "it waits"
    else:
        check_refused(joined, "server", PeerMisbehaved, Misbehaviour.UNEXPECTED_MESSAGE)


@pytest.mark.parametrize("doubled", CLIENT_MESSAGES[:-1], **name_of)
def test_server_refuses_a_message_that_comes_twice(doubled: type[Any]) -> None:
    joined = against(on(doubled, lambda message: (message, NewRecord(), message)))
    failure = joined.server.failure
    assert isinstance(failure, PeerMisbehaved), f"accepted: {failure!r}"
    assert failure.reason is Misbehaviour.UNEXPECTED_MESSAGE


def test_server_refuses_a_second_finished() -> None:
    """The handshake is over then, and there is nothing to renegotiate."""
    joined = against(on(Finished, lambda message: (message, NewRecord(), message)))
    failure = joined.server.failure
    assert isinstance(failure, PeerMisbehaved)
    assert failure.reason is Misbehaviour.UNEXPECTED_MESSAGE


@pytest.mark.parametrize("tail", [b"\x0b", CertificateMessage12(certificates=()), handshake(99)], ids=repr)
def test_server_refuses_bytes_behind_the_client_hello(tail: Item) -> None:
    """It is the server's turn then, and nothing of its own goes out before that is seen."""
    server = ServerConnection(server12(client_auth=required()))
    client = ScriptedClient(client12(), on(ClientHello, lambda hello: (hello, tail)))
    feed(server, [client.data_to_send()])
    answer = server.data_to_send()
    assert answer == plain_record(21, bytes([2, AlertDescription.UNEXPECTED_MESSAGE])), "more than an alert went out"
    feed(client, [answer])
    check_refused(Pair(client, server), "server", PeerMisbehaved, Misbehaviour.EXCESS_HANDSHAKE_DATA)


@pytest.mark.parametrize("first", CLIENT_MESSAGES[1:-1], **name_of)
def test_server_refuses_messages_in_another_order(first: type[Any]) -> None:
    """Each message changes places with the next; the last of them with the Finished, behind the change of keys."""
    held: list[Item] = []

    def swap(message: Any) -> Iterable[Item]:
        if type(message) is first:
            held.append(message)
            return ()
        return (message, held.pop()) if held else (message,)

    joined = against(swap)
    failure = joined.server.failure
    assert isinstance(failure, PeerMisbehaved)
    last = first is CertificateVerify
    assert failure.reason is (Misbehaviour.BAD_CHANGE_CIPHER_SPEC if last else Misbehaviour.UNEXPECTED_MESSAGE)
    check_refused(joined, "server", PeerMisbehaved, failure.reason)


@pytest.mark.parametrize(
    "stranger",
    [
        ServerHello(random=b"r" * 32, session_id=b"", cipher_suite=CipherSuite.TLS_AES_128_GCM_SHA256),
        ServerHelloDone(),
        HelloRequest(),
        NewSessionTicket12(lifetime=1, ticket=b"t"),
        EndOfEarlyData(),
        KeyUpdate(update_requested=False),
        handshake(99, b"abc"),
    ],
    ids=lambda item: item.hex() if isinstance(item, bytes) else type(item).__name__,
)
@pytest.mark.parametrize("before", CLIENT_MESSAGES, **name_of)
def test_server_refuses_a_message_that_may_not_come(before: type[Any], stranger: Item) -> None:
    failure = check_refused(
        against(on(before, lambda message: (stranger, message))),
        "server",
        PeerMisbehaved,
        Misbehaviour.UNEXPECTED_MESSAGE,
    )
    assert "while waiting for" in str(failure)


@pytest.mark.parametrize("kind", CLIENT_MESSAGES, **name_of)
def test_server_refuses_a_message_with_something_behind_its_end(kind: type[Any]) -> None:
    joined = against(on(kind, lambda message: (handshake(message.TYPE, message.encode() + b"\0"),)))
    failure = joined.server.failure
    assert isinstance(failure, PeerMisbehaved), f"accepted: {failure!r}"
    assert failure.reason is (Misbehaviour.BAD_FINISHED if kind is Finished else Misbehaviour.TRAILING_BYTES)
    check_refused(joined, "server", type(failure), failure.reason)


@pytest.mark.parametrize("kind", CLIENT_MESSAGES, **name_of)
def test_server_refuses_a_message_that_ends_too_early(kind: type[Any]) -> None:
    joined = against(on(kind, lambda message: (handshake(message.TYPE, message.encode()[:-1]),)))
    failure = joined.server.failure
    assert isinstance(failure, PeerMisbehaved), f"accepted: {failure!r}"
    assert failure.reason in {Misbehaviour.TRUNCATED, Misbehaviour.BAD_FINISHED, Misbehaviour.BAD_LENGTH}
    check_refused(joined, "server", type(failure), failure.reason)


def test_client_of_both_versions_may_not_send_early_data_to_an_older_server() -> None:
    """See tests/session/test_early_data.py; here: the extension alone means nothing to TLS 1.2."""
    joined = against(changed(ClientHello, early_data=True), client=client_config(versions=["1.2"]), server=server12())
    joined.check_connected()
