"""Peers that are unusual, old or careless, over sockets: what the protocol allows is taken, the rest refused in words.

Their hellos are built byte by byte, or are those of the real handshake with something changed. What a hostile peer does
within a handshake stands in tests/handshake.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, TypeVar

import pytest

import trustls
from tests.support.commands import SClient, SServer
from tests.support.memory import plain_record
from tests.support.pki import PKI
from tests.support.raw import (
    HOST,
    BytePerRecord,
    Extensions,
    Fragmenter,
    OddServer,
    ask,
    client_hello,
    cut,
    extension_block,
    extensions_of,
    first_answer,
    message_of,
    scripted_client,
    with_extensions,
)
from tests.support.relays import Relay
from tests.support.scripted import Edit, Item, on
from tests.support.servers import SECONDS, ThreadedServer
from trustls.wire.codec import vector8, vector16
from trustls.wire.enums import (
    CertificateCompressionAlgorithm,
    CipherSuite,
    ClientCertificateType,
    ExtensionType,
    NamedGroup,
    ProtocolVersion,
    PskKeyExchangeMode,
    SignatureScheme,
)
from trustls.wire.extensions import KeyShareEntry
from trustls.wire.messages import (
    CertificateRequest,
    ClientHello,
    EncryptedExtensions,
    NewSessionTicket,
    ServerHello,
    encode_message,
)
from trustls.wire.messages12 import CertificateRequest12

N = TypeVar("N", bound=int)
Alert = trustls.AlertDescription
VERSIONS = ("1.2", "1.3")
HANDSHAKE = 22

# What was usual once. RC4-SHA, RC4-MD5, 3DES-SHA, DES-SHA, export RC4, and AES in CBC mode with RSA and ECDHE.
OLD_SUITES = (0x0005, 0x0004, 0x000A, 0x0009, 0x0003, 0x002F, 0x0035, 0x003C, 0xC013, 0xC014, 0xC009, 0xC00A, 0xC023)
ECDHE_GCM = (0xC02B, 0xC02F, 0xC02C, 0xC030, 0x00FF)

# Extensions of a hello of TLS 1.2: the curves of NIST in their uncompressed form, extended master secret.
SNI = vector16(b"\0" + vector16(b"localhost"))
BASE: Extensions = ((10, vector16(bytes.fromhex("001700180019"))), (11, b"\x01\x00"), (23, b""))
SHA1_SCHEMES = (13, vector16(bytes.fromhex("020302010202")))
SHA256_SCHEMES = (13, vector16(bytes.fromhex("04030401")))

GREASE = tuple(0x0A0A + 0x1010 * number for number in range(16))
"""RFC 8701 2: reserved as suites, groups, signature schemes, versions and extensions."""
GREASE_MODES = (0x0B, 0x2A, 0x49, 0x68, 0x87, 0xA6, 0xC5, 0xE4)
"""The same for PSK key exchange modes."""

# OpenSSL 0.9.8's `s_client` sent this: the hello of SSL 2, which asks for TLS 1.0 by its version.
SSL2_HELLO = bytes.fromhex("802e01030100150000001000000500000400000a000009000064000062000003") + bytes(range(16))


def server_config(pki: PKI, **options: object) -> trustls.ServerConfig:
    settings: dict[str, object] = {"credentials": [pki.server.credential], **options}
    return trustls.ServerConfig(**settings)  # type: ignore[arg-type]


def client_config(pki: PKI, **options: object) -> trustls.ClientConfig:
    settings: dict[str, object] = {"roots": pki.server_roots, **options}
    return trustls.ClientConfig(**settings)  # type: ignore[arg-type]


def modern_hello(pki: PKI, **options: object) -> ClientHello:
    """The hello of the trustls client."""
    flight = trustls.ClientConnection(client_config(pki, **options), "localhost").data_to_send()
    return ClientHello.parse(flight[9:])


def refusal(pki: PKI, data: bytes, **options: object) -> tuple[trustls.AlertDescription, trustls.TLSError]:
    """The alert that a client gets for these bytes, and what the server found wrong with them."""
    with ThreadedServer(server_config(pki, **options)) as server:
        alert = ask(server.port, data).alert
        error = server.outcome().error
    assert isinstance(error, trustls.PeerMisbehaved | trustls.PeerIncompatible), repr(error)
    assert error.alert is alert
    return alert, error


def check_taken(
    pki: PKI, version: str, edit: Edit, *, record: int | None = None, **options: object
) -> trustls.ServerConnection:
    """A client with a certificate, whose messages are edited, is served; the server's connection."""
    config = client_config(pki, versions=[version], credentials=[pki.alice.credential], **options)
    with ThreadedServer(server_config(pki, client_auth=pki.required(), alpn=["http/1.1"])) as server:
        with scripted_client(server.port, config, edit, record=record) as tls:
            if isinstance(edit, BytePerRecord):
                edit.side = tls.connection
            tls.sendall(b"hello")
            assert tls.recv_exactly(5) == b"hello"
        outcome = server.outcome()
    assert outcome.peer.subject == "CN=alice"
    assert str(outcome.connection.info.version) == f"TLSv{version}"
    return outcome.connection


# -- Old clients ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(SSL2_HELLO, id="SSL 2 compatible"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", id="HTTP"),
        pytest.param(b"EHLO localhost\r\n", id="SMTP"),
    ],
)
def test_what_is_no_tls_record_is_refused_at_once(data: bytes, pki: PKI) -> None:
    """RFC 6176 3: SSL 2's form of the hello is no longer accepted either."""
    alert, error = refusal(pki, data)
    assert isinstance(error, trustls.PeerMisbehaved)
    assert (alert, error.reason) == (Alert.PROTOCOL_VERSION, trustls.Misbehaviour.NOT_TLS)


@pytest.mark.parametrize("version", [0x0300, 0x0301, 0x0302], ids=["SSL 3", "TLS 1.0", "TLS 1.1"])
def test_hello_of_an_older_version_is_refused_with_protocol_version(version: int, pki: PKI) -> None:
    """As Java 6, Android 4 or OpenSSL 0.9.8 sent it, down to the version of the record."""
    hello = client_hello(version, OLD_SUITES, None if version == 0x0300 else [(ExtensionType.SERVER_NAME, SNI)])
    alert, error = refusal(pki, plain_record(HANDSHAKE, hello, version.to_bytes(2, "big")))
    assert isinstance(error, trustls.PeerIncompatible)
    assert (alert, error.reason) == (Alert.PROTOCOL_VERSION, trustls.Incompatibility.NO_COMMON_VERSION)


@pytest.mark.parametrize("option", ["-tls1", "-tls1_1"])
def test_openssl_with_an_older_version_is_told_protocol_version(option: str, openssl: str, pki: PKI) -> None:
    with (
        ThreadedServer(server_config(pki)) as server,
        SClient(openssl, pki, server.port, option, "-cipher", "ALL:@SECLEVEL=0") as client,
    ):
        client.wait_for("alert protocol version.*alert number 70")
        error = server.outcome().error
    assert isinstance(error, trustls.PeerIncompatible)
    assert error.reason is trustls.Incompatibility.NO_COMMON_VERSION


@pytest.mark.parametrize(
    ("suites", "extensions", "reason"),
    [
        pytest.param(ECDHE_GCM, None, "NO_EXTENDED_MASTER_SECRET", id="no extensions"),
        pytest.param(ECDHE_GCM, (), "NO_EXTENDED_MASTER_SECRET", id="an empty block of extensions"),
        pytest.param(ECDHE_GCM, BASE[:2], "NO_EXTENDED_MASTER_SECRET", id="no extended master secret"),
        pytest.param(ECDHE_GCM, BASE, "NO_COMMON_SCHEME", id="no signature algorithms, which means SHA-1"),
        pytest.param(ECDHE_GCM, (*BASE, SHA1_SCHEMES), "NO_COMMON_SCHEME", id="SHA-1 alone"),
        pytest.param(OLD_SUITES, (*BASE, SHA256_SCHEMES), "NO_COMMON_SUITE", id="RC4 and CBC"),
        pytest.param((0x00FF,), (*BASE, SHA256_SCHEMES), "NO_COMMON_SUITE", id="no suite but a signal"),
    ],
)
def test_tls12_client_that_cannot_do_better_is_refused_with_handshake_failure(
    suites: Iterable[int], extensions: Extensions | None, reason: str, pki: PKI
) -> None:
    record = plain_record(HANDSHAKE, client_hello(0x0303, suites, extensions), b"\x03\x01")
    alert, error = refusal(pki, record)
    assert isinstance(error, trustls.PeerIncompatible)
    assert (alert, error.reason) == (Alert.HANDSHAKE_FAILURE, trustls.Incompatibility[reason])


def test_tls12_hello_without_extensions_is_refused_for_its_sha1_where_sessions_need_not_be_bound(pki: PKI) -> None:
    """RFC 5246 7.4.1.4.1: who does not say which signatures it verifies, verifies SHA-1."""
    record = plain_record(HANDSHAKE, client_hello(0x0303, ECDHE_GCM, None))
    _, error = refusal(pki, record, require_extended_master_secret=False)
    assert isinstance(error, trustls.PeerIncompatible)
    assert error.reason is trustls.Incompatibility.NO_COMMON_SCHEME


def test_openssl_that_allows_unsafe_renegotiation_is_served_and_gets_none(openssl: str, pki: PKI) -> None:
    with (
        ThreadedServer(server_config(pki, client_auth=pki.required())) as server,
        SClient(openssl, pki, server.port, "-tls1_2", "-legacy_renegotiation", "-msg", identity=pki.alice) as client,
    ):
        client.ask("hello")
        client.write("R\n")
        client.wait_for(r"^<<< TLS 1\.2, Alert \[length 0002\], warning no_renegotiation\n")
        assert server.outcome().connection.peer is not None


def test_client_that_knows_no_secure_renegotiation_is_served(pki: PKI) -> None:
    """RFC 5746 4.3 leaves that to the server, and there is no renegotiation here to be secured."""
    check_taken(pki, "1.2", on(ClientHello, lambda hello: (replace(hello, renegotiation_info=None),)))


# -- Clients that are careless, in what the protocol forbids ----------------------------------------------------------

FORBIDDEN = [
    # RFC 9846 4.3.4: DistinguishedName authorities<3..2^16-1>.
    pytest.param(47, b"\0\0", id="empty certificate_authorities"),
    pytest.param(47, vector16(vector16(b"")), id="an empty name in certificate_authorities"),
    pytest.param(50, b"\0\0", id="empty signature_algorithms_cert"),
    pytest.param(13, b"\0\0", id="empty signature_algorithms"),
    pytest.param(10, b"\0\0", id="empty supported_groups"),
    pytest.param(16, b"\0\0", id="empty ALPN"),
    pytest.param(43, b"\0", id="empty supported_versions"),
    pytest.param(45, b"\0", id="empty psk_key_exchange_modes"),
]


@pytest.mark.parametrize(("kind", "body"), FORBIDDEN)
def test_list_that_may_not_be_empty_is_refused_with_decode_error(kind: int, body: bytes, pki: PKI) -> None:
    hello = modern_hello(pki)
    extensions = [item for item in extensions_of(hello) if item[0] != kind]
    message = with_extensions(hello, [*extensions, (kind, body)])
    alert, error = refusal(pki, plain_record(HANDSHAKE, message), client_auth=pki.required())
    assert isinstance(error, trustls.DecodeError)
    assert (alert, error.reason) == (Alert.DECODE_ERROR, trustls.Misbehaviour.BAD_LENGTH)


@pytest.mark.parametrize(
    ("kind", "name"), [(13, "signature_algorithms"), (10, "supported_groups"), (51, "key_share")], ids=str
)
def test_tls13_hello_without_what_it_must_have_is_refused_with_missing_extension(
    kind: int, name: str, pki: PKI
) -> None:
    hello = modern_hello(pki, versions=["1.3"])
    message = with_extensions(hello, [item for item in extensions_of(hello) if item[0] != kind])
    alert, error = refusal(pki, plain_record(HANDSHAKE, message))
    assert isinstance(error, trustls.PeerMisbehaved)
    assert (alert, error.reason) == (Alert.MISSING_EXTENSION, trustls.Misbehaviour.MISSING_EXTENSION)
    assert name in str(error)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param({"cipher_suites": tuple(map(CipherSuite, GREASE))}, "NO_COMMON_SUITE", id="suites"),
        pytest.param({"supported_versions": tuple(map(ProtocolVersion, GREASE))}, "NO_COMMON_VERSION", id="versions"),
        pytest.param(
            {"supported_groups": tuple(map(NamedGroup, GREASE)), "key_share": ()}, "NO_COMMON_GROUP", id="groups"
        ),
        pytest.param({"alpn": (b"\x0a\x0a", b"\x1a\x1a")}, "NO_COMMON_ALPN", id="ALPN"),
    ],
)
def test_client_that_offers_nothing_but_grease_has_nothing_in_common(
    changes: dict[str, object], reason: str, pki: PKI
) -> None:
    hello = replace(modern_hello(pki, versions=["1.3"]), **changes)  # type: ignore[arg-type]
    _, error = refusal(pki, plain_record(HANDSHAKE, encode_message(hello)), alpn=["http/1.1"])
    assert isinstance(error, trustls.PeerIncompatible)
    assert error.reason is trustls.Incompatibility[reason]


# -- Clients that are unusual, in what the protocol allows ------------------------------------------------------------


def greased(hello: ClientHello) -> ClientHello:
    """Every list of the hello with values of RFC 8701 before, within and behind what it means."""
    assert hello.supported_groups is not None
    assert hello.signature_algorithms is not None
    changes = {
        "cipher_suites": among(hello.cipher_suites, CipherSuite),
        "supported_groups": among(hello.supported_groups, NamedGroup),
        "signature_algorithms": among(hello.signature_algorithms, SignatureScheme),
        "signature_algorithms_cert": among(hello.signature_algorithms, SignatureScheme),
        "supported_versions": among(hello.supported_versions or (ProtocolVersion.TLS1_2,), ProtocolVersion),
        "alpn": (b"\x0a\x0a", *(hello.alpn or ()), b"\xfa\xfa"),
        "compress_certificate": tuple(map(CertificateCompressionAlgorithm, GREASE[:4])),
        "psk_key_exchange_modes": (*map(PskKeyExchangeMode, GREASE_MODES), PskKeyExchangeMode.PSK_DHE_KE),
        "unknown_extensions": tuple((kind, bytes(number)) for number, kind in enumerate(GREASE)),
    }
    if hello.key_share is not None:
        shares = [KeyShareEntry(NamedGroup(value), bytes(1 + index)) for index, value in enumerate(GREASE)]
        changes["key_share"] = (*shares[:8], *hello.key_share, *shares[8:])
    return replace(hello, **changes)  # type: ignore[arg-type]


def among(values: Iterable[N], kind: Callable[[int], N]) -> tuple[N, ...]:
    """The values, with GREASE before the first and behind each."""
    real = list(values)
    mixed = [kind(value) for value in GREASE[: max(1, 16 - len(real))]]
    for value, grease in zip(real, GREASE[-len(real) :], strict=True):
        mixed += [value, kind(grease)]
    return tuple(mixed)


def shuffled(hello: ClientHello) -> Iterable[Item]:
    """As Chrome does: the extensions in another order each time. None of ours must be last."""
    extensions = extensions_of(hello)
    random.Random(8701).shuffle(extensions)
    return (with_extensions(hello, extensions),)


# next_protocol_negotiation, token_binding, delegated_credential, QUIC's parameters, ALPS, channel_id, private use.
UNKNOWN = tuple((kind, bytes(kind % 7)) for kind in (13172, 24, 34, 57, 17513, 30032, 0xFF7A, 0xFFFF))

CHANGES: dict[str, Callable[[ClientHello], Iterable[Item]]] = {
    "GREASE everywhere": lambda hello: (greased(hello),),
    "unknown extensions": lambda hello: (replace(hello, unknown_extensions=UNKNOWN),),
    "a hundred unknown extensions": lambda hello: (
        replace(hello, unknown_extensions=tuple((0x6000 + number, b"") for number in range(100))),
    ),
    "another order of extensions": shuffled,
    "no signature_algorithms_cert": lambda hello: (replace(hello, signature_algorithms_cert=None),),
    "no server name": lambda hello: (replace(hello, server_name=None),),
    "the authorities of somebody else": lambda hello: (
        replace(
            hello, certificate_authorities=(trustls.DistinguishedName(bytes.fromhex("300c310a300806035504030c0161")),)
        ),
    ),
    "many names in ALPN": lambda hello: (
        replace(hello, alpn=(*(b"%d" % number for number in range(500)), b"http/1.1", b"\xff\x00")),
    ),
    "padding over one record": lambda hello: (replace(hello, padding=20_000),),
    "an extension over one record": lambda hello: (replace(hello, unknown_extensions=((0xFF7A, bytes(60_000)),)),),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("version", VERSIONS)
def test_unusual_hello_is_taken(version: str, change: str, pki: PKI) -> None:
    connection = check_taken(pki, version, on(ClientHello, CHANGES[change]), alpn=["http/1.1"])
    assert connection.info.alpn == "http/1.1"


def test_unusual_hello_is_taken_again_after_a_retry(pki: PKI) -> None:
    """The second hello has GREASE in the same places, but one share (RFC 9846 4.2.2)."""

    def edit(message: object) -> Iterable[Item]:
        if not isinstance(message, ClientHello):
            return (message,)  # type: ignore[return-value]
        again = len(message.key_share or ()) == 1
        changed = greased(message)
        return (replace(changed, key_share=message.key_share) if again else changed,)

    config = client_config(pki, versions=["1.3"])
    with ThreadedServer(server_config(pki, groups=["secp384r1"])) as server:
        with scripted_client(server.port, config, edit) as tls:
            tls.sendall(b"hello")
            assert tls.recv_exactly(5) == b"hello"
        assert server.outcome().connection.info.retried


@pytest.mark.parametrize("version", VERSIONS)
def test_client_that_verifies_no_signature_of_our_chain_gets_it_all_the_same(version: str, pki: PKI) -> None:
    """RFC 9846 4.5.1.2: a server that has no chain that the client says it verifies sends the one that it has."""
    old = (SignatureScheme.RSA_PKCS1_SHA1, SignatureScheme.ECDSA_SHA1)
    check_taken(pki, version, on(ClientHello, lambda hello: (replace(hello, signature_algorithms_cert=old),)))


# -- Fragments --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
def test_client_whose_every_record_holds_one_byte_is_served(version: str, pki: PKI) -> None:
    check_taken(pki, version, BytePerRecord(), record=1)


@pytest.mark.parametrize("version", VERSIONS)
def test_server_whose_every_record_holds_one_byte_is_understood(version: str, pki: PKI) -> None:
    config = server_config(pki, client_auth=pki.required(), versions=[version])
    with OddServer(config, BytePerRecord()) as server:
        check_echo(pki, server.port, version)


@pytest.mark.parametrize("version", VERSIONS)
def test_openssl_behind_a_middlebox_that_cuts_records_to_one_byte(version: str, openssl: str, pki: PKI) -> None:
    """Both ways, as far as it can see."""
    option = {"1.2": "-tls1_2", "1.3": "-tls1_3"}[version]
    with ThreadedServer(server_config(pki, client_auth=pki.required())) as server:
        with (
            Relay(server.port, up=Fragmenter(), down=Fragmenter()) as port,
            SClient(openssl, pki, port, option, identity=pki.alice) as client,
        ):
            assert client.established()[:2] == ("New", f"TLSv{version}")
            client.ask("hello")
            client.quit()
        assert server.outcome().peer.subject == "CN=alice"


@pytest.mark.parametrize("version", VERSIONS)
def test_client_behind_a_middlebox_that_cuts_records_to_one_byte(version: str, openssl: str, pki: PKI) -> None:
    arguments = ("-Verify", "3", "-verify_return_error", "-CAfile", pki.client_cas_file, "-rev")
    with (
        SServer(openssl, pki.server, *arguments) as server,
        Relay(server.port, up=Fragmenter(), down=Fragmenter()) as port,
    ):
        config = client_config(pki, versions=[version], credentials=[pki.alice.credential])
        with trustls.connect((HOST, port), config, server_name="localhost", timeout=SECONDS) as tls:
            tls.sendall(b"hello\n")
            assert tls.recv_exactly(6) == b"olleh\n"


@pytest.mark.parametrize("size", [1, 100, 16_384])
def test_hello_of_60_kb_comes_in_records_of_any_size(size: int, pki: PKI) -> None:
    edit = on(ClientHello, lambda hello: (replace(hello, unknown_extensions=((0xFF7A, bytes(60_000)),)),))
    check_taken(pki, "1.3", edit, record=size)


@pytest.mark.parametrize("version", [b"\x03\x01", b"\x03\x02", b"\x03\x03", b"\x03\x04"], ids=bytes.hex)
def test_version_of_the_hellos_records_does_not_matter(version: bytes, pki: PKI) -> None:
    """RFC 9846 5.1: legacy_record_version is ignored. Many send 3.1, and the first trustls hello does."""
    message = encode_message(modern_hello(pki))
    with ThreadedServer(server_config(pki)) as server:
        assert first_answer(server.port, cut(message, 100, version))[5] == 2, "the answer is no ServerHello"


def test_hello_that_never_ends_is_refused_by_its_header(pki: PKI) -> None:
    """It announces 16 MiB, of which not one byte is waited for."""
    alert, error = refusal(pki, plain_record(HANDSHAKE, b"\x01\xff\xff\xff"))
    assert isinstance(error, trustls.DecodeError)
    assert (alert, error.reason) == (Alert.DECODE_ERROR, trustls.Misbehaviour.MESSAGE_TOO_LARGE)


# -- Servers ----------------------------------------------------------------------------------------------------------


def check_echo(pki: PKI, port: int, version: str) -> trustls.ClientConnection:
    """The trustls client, with a certificate, is served; its connection."""
    config = client_config(pki, versions=[version], credentials=[pki.alice.credential, pki.bob.credential])
    with trustls.connect((HOST, port), config, server_name="localhost", timeout=SECONDS) as tls:
        tls.sendall(b"hello")
        assert tls.recv_exactly(5) == b"hello"
        return tls.connection


Change = Callable[[Any], Iterable[Item]]

SERVER_CHANGES: dict[str, tuple[str, type[Any], Change]] = {
    "GREASE in CertificateRequest": (
        "1.3",
        CertificateRequest,
        lambda request: (
            replace(
                request,
                signature_algorithms=among(request.signature_algorithms, SignatureScheme),
                unknown_extensions=tuple((kind, bytes(3)) for kind in GREASE),
            ),
        ),
    ),
    "no signature_algorithms_cert": (
        "1.3",
        CertificateRequest,
        lambda request: (replace(request, signature_algorithms_cert=None),),
    ),
    "GREASE in CertificateRequest of 1.2": (
        "1.2",
        CertificateRequest12,
        lambda request: (
            replace(
                request,
                certificate_types=(ClientCertificateType(0x2A), *request.certificate_types),
                signature_algorithms=among(request.signature_algorithms, SignatureScheme),
            ),
        ),
    ),
    "an empty list of authorities in 1.2": (
        "1.2",
        CertificateRequest12,
        lambda request: (replace(request, certificate_authorities=()),),
    ),
}


@pytest.mark.parametrize("change", SERVER_CHANGES)
def test_unusual_server_is_understood(change: str, pki: PKI) -> None:
    version, kind, edit = SERVER_CHANGES[change]
    changed = []

    def noted(message: Any) -> Iterable[Item]:
        changed.append(message)
        return edit(message)

    config = server_config(pki, client_auth=pki.required(), versions=[version])
    with OddServer(config, on(kind, noted)) as server:
        connection = check_echo(pki, server.port, version)
    assert len(changed) == 1, f"the server sent no {kind.__name__}"
    assert connection.presented is pki.alice.credential
    assert server.outcome is None, repr(server.outcome)


def test_session_ticket_with_grease_is_kept(pki: PKI) -> None:
    ticket = NewSessionTicket(
        lifetime=3600, age_add=1, nonce=b"1", ticket=b"odd", unknown_extensions=((0x0A0A, b""), (0xFF7A, b"?"))
    )
    sessions = trustls.MemoryClientSessions()
    with OddServer(server_config(pki, resumption=None), then=[ticket]) as server:
        config = client_config(pki, sessions=sessions)
        with trustls.connect((HOST, server.port), config, server_name="localhost", timeout=SECONDS) as tls:
            tls.sendall(b"hello")
            assert tls.recv_exactly(5) == b"hello"
    hello = ClientHello.parse(trustls.ClientConnection(config, "localhost").data_to_send()[9:])
    assert hello.pre_shared_key is not None, "the ticket was not kept"
    assert hello.pre_shared_key.identities[0].identity == b"odd"


REFUSED_SERVERS = [
    pytest.param(
        CertificateRequest,
        lambda request: (with_block(request, 47, b"\0\0"),),
        Alert.DECODE_ERROR,
        id="an empty list of authorities in 1.3",
    ),
    pytest.param(
        CertificateRequest,
        lambda request: (replace(request, signature_algorithms=None),),
        Alert.MISSING_EXTENSION,
        id="no signature_algorithms",
    ),
    pytest.param(
        ServerHello,
        lambda hello: (replace(hello, unknown_extensions=((0x0A0A, b""),)),),
        Alert.UNSUPPORTED_EXTENSION,
        id="GREASE in ServerHello",
    ),
    pytest.param(
        EncryptedExtensions,
        lambda extensions: (replace(extensions, unknown_extensions=((0x0A0A, b""),)),),
        Alert.UNSUPPORTED_EXTENSION,
        id="GREASE in EncryptedExtensions",
    ),
    pytest.param(
        ServerHello,
        lambda hello: (replace(hello, cipher_suite=CipherSuite(0x0A0A)),),
        Alert.ILLEGAL_PARAMETER,
        id="a suite of GREASE",
    ),
    pytest.param(
        ServerHello,
        lambda hello: (replace(hello, supported_versions=ProtocolVersion(0x0A0A)),),
        Alert.ILLEGAL_PARAMETER,
        id="a version of GREASE",
    ),
]


@pytest.mark.parametrize(("kind", "change", "alert"), REFUSED_SERVERS)
def test_server_that_says_what_it_may_not_is_refused(
    kind: type[Any], change: Change, alert: trustls.AlertDescription, pki: PKI
) -> None:
    """The client offers no GREASE, so that none may come in an answer."""
    with OddServer(server_config(pki, client_auth=pki.required()), on(kind, change)) as server:
        with pytest.raises(trustls.PeerMisbehaved) as caught:
            check_echo(pki, server.port, "1.3")
        assert caught.value.alert is alert
    assert isinstance(server.outcome, trustls.AlertReceived), repr(server.outcome)
    assert server.outcome.description is alert


def with_block(request: CertificateRequest, kind: int, body: bytes) -> bytes:
    """The request with one extension in place of what it had of that type; the message with its header."""
    others = [item for item in extensions_of(request) if item[0] != kind]
    return message_of(CertificateRequest.TYPE, vector8(request.context) + extension_block([*others, (kind, body)]))


def server_hello(version: int, suite: int = 0xC02F) -> bytes:
    """One of a server before TLS 1.3, without extensions; in a record of its version."""
    body = version.to_bytes(2, "big") + bytes(32) + vector8(b"") + suite.to_bytes(2, "big") + b"\0"
    return plain_record(HANDSHAKE, message_of(2, body), version.to_bytes(2, "big"))


@pytest.mark.parametrize(
    ("says", "alert", "words"),
    [
        pytest.param(server_hello(0x0300, 5), Alert.PROTOCOL_VERSION, "SSL3", id="SSL 3"),
        pytest.param(server_hello(0x0301), Alert.PROTOCOL_VERSION, "TLS1_0", id="TLS 1.0"),
        pytest.param(server_hello(0x0302), Alert.PROTOCOL_VERSION, "TLSv1.1", id="TLS 1.1"),
        pytest.param(
            server_hello(0x0303), Alert.HANDSHAKE_FAILURE, "bind TLS 1.2 sessions", id="no extended master secret"
        ),
        pytest.param(server_hello(0x0303, 5), Alert.ILLEGAL_PARAMETER, "suite", id="RC4, which was not offered"),
        pytest.param(b"HTTP/1.1 400 Bad Request\r\n\r\n", Alert.PROTOCOL_VERSION, "does not look like TLS", id="HTTP"),
        pytest.param(b"220 mail ESMTP\r\n", Alert.PROTOCOL_VERSION, "does not look like TLS", id="SMTP"),
        # The SERVER-HELLO of SSL 2.
        pytest.param(
            bytes.fromhex("8013 04 00 01 0002 0000 0003 0008") + bytes(11),
            Alert.PROTOCOL_VERSION,
            "does not look like TLS",
            id="SSL 2",
        ),
    ],
)
def test_old_server_is_refused_in_words(says: bytes, alert: trustls.AlertDescription, words: str, pki: PKI) -> None:
    with OddServer(says=says) as server, pytest.raises(trustls.TLSError) as caught:
        trustls.connect((HOST, server.port), client_config(pki), server_name="localhost", timeout=SECONDS)
    assert caught.value.alert is alert
    assert words in str(caught.value)
    assert server.received.endswith(bytes((2, alert))), "the server was not told why"


@pytest.mark.parametrize("version", [0x0300, 0x0301, 0x0303])
def test_alert_of_an_old_server_is_read_whatever_its_record_says(version: int, pki: PKI) -> None:
    says = plain_record(21, b"\x02\x46", version.to_bytes(2, "big"))
    with OddServer(says=says) as server, pytest.raises(trustls.AlertReceived) as caught:
        trustls.connect((HOST, server.port), client_config(pki), server_name="localhost", timeout=SECONDS)
    assert caught.value.description is Alert.PROTOCOL_VERSION
