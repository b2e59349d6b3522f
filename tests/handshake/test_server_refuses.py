"""What a server refuses of a client: each with its reason, and with the alert that the client reads.

The client is the real one with one message changed before it is sent, so that signatures, Finished and record
protection all fit what the server read (tests/support/scripted.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

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
from tests.support.memory import Pair, check_refused, feed, plain_record, records
from tests.support.scripted import Edit, Item, NewRecord, Record, ScriptedClient, on, say
from tests.support.signers import HiddenKey
from trustls.config import ClientConfig, ServerConfig
from trustls.connection import ClientConnection, ServerConnection
from trustls.danger import AcceptAnyCertificate
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
from trustls.handshake.retry_cookie import RetryCookies
from trustls.identity.credential import Credential
from trustls.session.psk import ExternalPsk
from trustls.trust.client_auth import ClientAuth
from trustls.wire.enums import (
    CertificateCompressionAlgorithm,
    CipherSuite,
    ContentType,
    ExtensionType,
    NamedGroup,
    ProtocolVersion,
    PskKeyExchangeMode,
    SignatureScheme,
)
from trustls.wire.extensions import KeyShareEntry, OfferedPsks, PskIdentity
from trustls.wire.messages import (
    CertificateEntry,
    CertificateMessage,
    CertificateVerify,
    ClientHello,
    EncryptedExtensions,
    EndOfEarlyData,
    Finished,
    HelloRetryRequest,
    KeyUpdate,
    NewSessionTicket,
    ServerHello,
    encode_message,
)

DEVICE_KEY = ExternalPsk(b"device", b"k" * 32, "sha256")


def against(edit: Edit, *, server: ServerConfig | None = None, client: ClientConfig | None = None) -> Pair:
    """A server that met this client, which holds a certificate."""
    client = client or client_config(credentials=[client_credential()])
    return Pair(ScriptedClient(client, edit), ServerConnection(server or server_config(client_auth=required()))).run()


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


def changed(kind: type[Any], *, nth: int = 0, **fields: Any) -> Edit:
    """Other values in the fields of a message."""
    return on(kind, lambda message: (replace(message, **fields),), nth=nth)


def unchanged(message: Any) -> Iterable[Item]:
    return (message,)


def test_script_that_changes_nothing_connects() -> None:
    """The other tests here show something only because this one does not fail."""
    against(unchanged, server=server_config(client_auth=required(), groups=["secp256r1"])).check_connected()


# -- ClientHello ------------------------------------------------------------------------------------------------------

PSKS = OfferedPsks((PskIdentity(b"ticket", 0),), (b"b" * 32,))
X25519_SHARE = KeyShareEntry(NamedGroup.X25519, b"\x09" + bytes(31))


def only(group: NamedGroup, share: bytes) -> dict[str, Any]:
    """One group on offer, so that no server asks for a share of another."""
    return {"supported_groups": (group,), "key_share": (KeyShareEntry(group, share),)}


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"compression_methods": b"\1\0"}, Misbehaviour.BAD_COMPRESSION),
        ({"compression_methods": b"\0\0"}, Misbehaviour.BAD_COMPRESSION),
        ({"compression_methods": b"\1"}, Misbehaviour.BAD_COMPRESSION),
        ({"signature_algorithms": None}, Misbehaviour.MISSING_EXTENSION),
        ({"supported_groups": None}, Misbehaviour.MISSING_EXTENSION),
        ({"key_share": None}, Misbehaviour.MISSING_EXTENSION),
        ({"pre_shared_key": PSKS, "psk_key_exchange_modes": None}, Misbehaviour.MISSING_EXTENSION),
        ({"key_share": (X25519_SHARE, X25519_SHARE)}, Misbehaviour.DUPLICATE_KEY_SHARE),
        (
            {"key_share": (X25519_SHARE,), "supported_groups": (NamedGroup.SECP256R1,)},
            Misbehaviour.KEY_SHARE_OUTSIDE_GROUPS,
        ),
        (
            {"key_share": (X25519_SHARE, KeyShareEntry(NamedGroup(0x0A0A), b"\0"))},
            Misbehaviour.KEY_SHARE_OUTSIDE_GROUPS,
        ),
        (only(NamedGroup.X25519, bytes(32)), Misbehaviour.BAD_KEY_SHARE),
        (only(NamedGroup.X25519, b"x" * 33), Misbehaviour.BAD_KEY_SHARE),
        (only(NamedGroup.SECP256R1, b"\4" * 65), Misbehaviour.BAD_KEY_SHARE),
        (only(NamedGroup.SECP256R1, b"\2" * 33), Misbehaviour.BAD_KEY_SHARE),
        (only(NamedGroup.X25519MLKEM768, b"\xff" * 1216), Misbehaviour.BAD_KEY_SHARE),
        (only(NamedGroup.X25519MLKEM768, b"x" * 32), Misbehaviour.BAD_KEY_SHARE),
        (
            {"unknown_extensions": ((int(ExtensionType.OID_FILTERS), b"\0\0"),)},
            Misbehaviour.UNEXPECTED_EXTENSION,
        ),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_server_refuses_client_hello(fields: dict[str, Any], reason: Misbehaviour) -> None:
    refused(changed(ClientHello, **fields), reason)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"unknown_extensions": ((0x0A0A, b""), (0x0A0A, b""))}, Misbehaviour.DUPLICATE_EXTENSION),
        ({"unknown_extensions": ((int(ExtensionType.KEY_SHARE), b"\0\0"),)}, Misbehaviour.DUPLICATE_EXTENSION),
        ({"supported_groups": ()}, Misbehaviour.BAD_LENGTH),
        ({"signature_algorithms": ()}, Misbehaviour.BAD_LENGTH),
        ({"supported_versions": ()}, Misbehaviour.BAD_LENGTH),
        ({"cipher_suites": ()}, Misbehaviour.BAD_LENGTH),
        ({"session_id": b"s" * 33}, Misbehaviour.BAD_LENGTH),
        ({"alpn": (b"h2", b"")}, Misbehaviour.BAD_LENGTH),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_server_cannot_read_client_hello(fields: dict[str, Any], reason: Misbehaviour) -> None:
    refused(changed(ClientHello, **fields), reason, DecodeError)


def test_server_refuses_pre_shared_key_that_is_not_last() -> None:
    def add(hello: ClientHello) -> Iterable[Item]:
        body = replace(hello, pre_shared_key=PSKS, psk_key_exchange_modes=(PskKeyExchangeMode.PSK_DHE_KE,)).encode()
        block = len(
            replace(
                hello, pre_shared_key=PSKS, psk_key_exchange_modes=(PskKeyExchangeMode.PSK_DHE_KE,)
            ).encode_extensions()
        )
        extensions = body[-block + 2 :] + b"\x0a\x0a\0\0"
        raw = body[:-block] + len(extensions).to_bytes(2, "big") + extensions
        return (b"\1" + len(raw).to_bytes(3, "big") + raw,)

    refused(on(ClientHello, add), Misbehaviour.PSK_NOT_LAST)


@pytest.mark.parametrize(
    ("versions", "allowed", "spoken"),
    [
        (None, ["1.3"], "this server TLSv1.3"),
        ((ProtocolVersion.TLS1_2,), ["1.3"], "this server TLSv1.3"),
        ((ProtocolVersion.TLS1_3,), ["1.2"], "this server TLSv1.2"),
        ((ProtocolVersion.TLS1_1, ProtocolVersion.TLS1_0), ["1.3", "1.2"], "this server TLSv1.3, TLSv1.2"),
        ((ProtocolVersion(0x0A0A), ProtocolVersion(0x7F1C)), ["1.3", "1.2"], "this server TLSv1.3, TLSv1.2"),
    ],
    ids=repr,
)
def test_server_has_no_version_in_common(
    versions: tuple[ProtocolVersion, ...] | None, allowed: list[str], spoken: str
) -> None:
    sentence = refused(
        changed(ClientHello, supported_versions=versions),
        Incompatibility.NO_COMMON_VERSION,
        PeerIncompatible,
        server=server_config(versions=allowed),
    )
    assert f"{spoken};" in sentence


@pytest.mark.parametrize("versions", [None, (ProtocolVersion.TLS1_2,)], ids=repr)
def test_server_that_is_talked_down_to_tls12_says_so_and_the_client_notices(
    versions: tuple[ProtocolVersion, ...] | None,
) -> None:
    """RFC 9846 4.2.3: who speaks TLS 1.3 and settles for TLS 1.2 writes that into its random."""
    joined = against(changed(ClientHello, supported_versions=versions))
    check_refused(joined, "client", PeerMisbehaved, Misbehaviour.DOWNGRADE_DETECTED)


@pytest.mark.parametrize(
    ("allowed", "reason"),
    [
        (["1.3"], Incompatibility.NO_COMMON_VERSION),
        (["1.3", "1.2"], Incompatibility.NO_EXTENDED_MASTER_SECRET),
        (["1.2"], Incompatibility.NO_EXTENDED_MASTER_SECRET),
    ],
    ids=["1.3", "both", "1.2"],
)
def test_server_reads_the_hello_of_a_tls12_client_and_says_what_is_missing(
    allowed: list[str], reason: Incompatibility
) -> None:
    """No extensions at all: RFC 5246 7.4.1.2 allows it."""
    server = ServerConnection(server_config(versions=allowed))
    hello = ClientHello(random=b"r" * 32, cipher_suites=(CipherSuite.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,)).encode()
    feed(server, [plain_record(22, b"\1" + (len(hello) - 2).to_bytes(3, "big") + hello[:-2], b"\3\1")])
    failure = server.failure
    assert isinstance(failure, PeerIncompatible)
    assert failure.reason is reason
    assert "TLS 1.2" in str(failure) or "TLSv1.2" in str(failure)
    assert server.data_to_send() == plain_record(21, bytes([2, reason.alert])), "the alert, in the clear"


@pytest.mark.parametrize(
    ("fields", "reason", "said"),
    [
        (
            {"cipher_suites": (CipherSuite(0x0A0A), CipherSuite(0x1304))},
            Incompatibility.NO_COMMON_SUITE,
            "the client offers 0x1304, this server takes TLS_AES_256_GCM_SHA384, ",
        ),
        (
            {"supported_groups": (NamedGroup(0x0A0A), NamedGroup.X448), "key_share": ()},
            Incompatibility.NO_COMMON_GROUP,
            "the client offers x448, this server takes X25519MLKEM768, x25519, ",
        ),
        (
            {"signature_algorithms": (SignatureScheme.ED25519, SignatureScheme(0x0A0A))},
            Incompatibility.NO_COMMON_SCHEME,
            "the client verifies ed25519",
        ),
        (
            {"signature_algorithms": (SignatureScheme.RSA_PKCS1_SHA256, SignatureScheme.ECDSA_SHA1)},
            Incompatibility.NO_COMMON_SCHEME,
            "rsa_pkcs1_sha256",
        ),
        (
            {"alpn": (b"h3", b"spdy/3")},
            Incompatibility.NO_COMMON_ALPN,
            "the client offers h3, spdy/3, this server takes h2",
        ),
    ],
    ids=["suites", "groups", "schemes", "schemes of TLS 1.2", "alpn"],
)
def test_server_has_nothing_in_common(fields: dict[str, Any], reason: Incompatibility, said: str) -> None:
    sentence = refused(
        changed(ClientHello, **fields),
        reason,
        PeerIncompatible,
        server=server_config(alpn=["h2"]),
        client=client_config(alpn=["h2"]),
    )
    assert said in sentence


def test_server_sentence_stays_short_whatever_the_client_offers() -> None:
    many = tuple(CipherSuite(0x4000 + number) for number in range(5000))
    sentence = refused(changed(ClientHello, cipher_suites=many), Incompatibility.NO_COMMON_SUITE, PeerIncompatible)
    assert len(sentence) < 1000


def test_server_passes_over_grease_and_what_it_does_not_know() -> None:
    def grease(hello: ClientHello) -> Iterable[Item]:
        return (
            replace(
                hello,
                cipher_suites=(CipherSuite(0x0A0A), *hello.cipher_suites),
                supported_versions=(ProtocolVersion(0x7A7A), ProtocolVersion.TLS1_3, ProtocolVersion.TLS1_2),
                supported_groups=(NamedGroup(0x1A1A), *(hello.supported_groups or ())),
                signature_algorithms=(SignatureScheme(0x2A2A), *(hello.signature_algorithms or ())),
                key_share=(KeyShareEntry(NamedGroup(0x1A1A), b"\0"), *(hello.key_share or ())),
                psk_key_exchange_modes=(PskKeyExchangeMode(0x0B), PskKeyExchangeMode.PSK_DHE_KE),
                unknown_extensions=((0x3A3A, b""), (0x4A4A, b"\0")),
            ),
        )

    against(on(ClientHello, grease)).check_connected()


def test_server_passes_over_pre_shared_keys_that_it_does_not_know() -> None:
    edit = changed(ClientHello, pre_shared_key=PSKS, psk_key_exchange_modes=(PskKeyExchangeMode.PSK_DHE_KE,))
    joined = against(edit).check_connected()
    assert not joined.server.info.resumed


def test_server_sends_a_change_cipher_spec_whether_or_not_the_client_has_a_session_id() -> None:
    """RFC 9846 E.4: it must where there is one, and may always; whoever sits in between likes to see it."""
    hello = ClientHello.parse(ClientConnection(client_config(), "localhost").data_to_send()[9:])
    server = ServerConnection(server_config())
    feed(server, [plain_record(22, encode_message(replace(hello, session_id=b"")))])
    answer = records(server.data_to_send())
    assert [record.content_type for record in answer] == [
        ContentType.HANDSHAKE,
        ContentType.CHANGE_CIPHER_SPEC,
        ContentType.APPLICATION_DATA,
    ]
    assert ServerHello.parse(answer[0].raw[9:]).session_id == b""
    server = ServerConnection(server_config(groups=["secp256r1"]))
    feed(server, [plain_record(22, encode_message(replace(hello, session_id=b"")))])
    retry, change = records(server.data_to_send())
    assert HelloRetryRequest.parse(retry.raw[9:]).session_id == b""
    assert change.content_type is ContentType.CHANGE_CIPHER_SPEC


@pytest.mark.parametrize("retried", [False, True])
def test_server_sends_one_change_cipher_spec(*, retried: bool) -> None:
    sent: list[ContentType] = []

    def note(data: bytes) -> bytes:
        sent.extend(record.content_type for record in records(data))
        return data

    server = server_config(groups=["secp256r1"] if retried else None)
    joined = Pair(ClientConnection(client_config(), "localhost"), ServerConnection(server), to_client=note).run()
    joined.check_connected()
    assert joined.client.info.retried is retried
    assert sent[:2] == [ContentType.HANDSHAKE, ContentType.CHANGE_CIPHER_SPEC]
    assert sent.count(ContentType.CHANGE_CIPHER_SPEC) == 1, "another one behind the ServerHello that follows a retry"


def test_server_refuses_legacy_version_of_ssl3() -> None:
    """RFC 8446 D.5: "Any endpoint receiving a Hello message with legacy_version set to 0x0300 MUST abort"."""
    joined = against(changed(ClientHello, legacy_version=ProtocolVersion.SSL3))
    assert joined.server.failure is not None, "a ClientHello of SSL 3 was accepted"
    assert joined.server.failure.alert is AlertDescription.PROTOCOL_VERSION


# -- The second ClientHello -------------------------------------------------------------------------------------------


def retrying(cookies: RetryCookies | None = None) -> ServerConfig:
    return server_config(client_auth=required(), groups=["secp256r1"], retry_cookies=cookies)


def second(**fields: Any) -> Edit:
    return changed(ClientHello, nth=1, **fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"random": b"x" * 32},
        {"session_id": b"x" * 32},
        {"legacy_version": ProtocolVersion.TLS1_1},
        {"cipher_suites": (CipherSuite.TLS_AES_256_GCM_SHA384,)},
        {"server_name": "another.example"},
        {"server_name": None},
        {"supported_versions": (ProtocolVersion.TLS1_3,)},
        {"supported_groups": (NamedGroup.SECP256R1,)},
        {"signature_algorithms": (SignatureScheme.ECDSA_SECP256R1_SHA256,)},
        {"signature_algorithms_cert": (SignatureScheme.ECDSA_SECP256R1_SHA256,)},
        {"alpn": (b"h2",)},
        {"post_handshake_auth": True},
        {"record_size_limit": 500},
        {"compress_certificate": (CertificateCompressionAlgorithm.ZLIB,)},
        {"psk_key_exchange_modes": (PskKeyExchangeMode.PSK_KE,)},
        {"psk_key_exchange_modes": None},
        {"early_data": True},
    ],
    ids=lambda value: next(iter(value)),
)
def test_server_refuses_a_second_hello_that_changes_more_than_it_may(fields: dict[str, Any]) -> None:
    sentence = refused(second(**fields), Misbehaviour.CLIENT_HELLO_CHANGED, server=retrying())
    assert next(iter(fields)) in sentence, "the sentence does not say what changed"


def test_second_hello_may_change_its_padding() -> None:
    """RFC 9846 4.2.2: "Optionally adding, removing, or changing the length of the padding extension"."""
    against(second(padding=100), server=retrying()).check_connected()


@pytest.mark.parametrize("kind", ["external", "ticket"])
def test_server_refuses_a_second_hello_without_the_psk_that_fits(kind: str) -> None:
    """RFC 9846 4.2.2: what may go are keys that do not go with the suite that was named."""
    if kind == "external":
        server = server_config(groups=["secp256r1"], external_psks=[DEVICE_KEY])
        client = client_config(external_psks=[DEVICE_KEY])
    else:
        server, client = server_config(groups=["secp256r1"]), client_config(key_shares=["x25519"])
        Pair(ClientConnection(client, "localhost"), ServerConnection(server)).run().check_connected()
    omitted = second(pre_shared_key=None, psk_key_exchange_modes=(PskKeyExchangeMode.PSK_DHE_KE,))
    sentence = refused(omitted, Misbehaviour.MISSING_EXTENSION, server=server, client=client)
    assert "pre_shared_key" in sentence


def test_second_hello_may_omit_a_psk_of_another_hash() -> None:
    server = server_config(groups=["secp256r1"], external_psks=[DEVICE_KEY], suites=["TLS_AES_256_GCM_SHA384"])
    client = client_config(external_psks=[DEVICE_KEY])
    against(second(pre_shared_key=None), server=server, client=client).check_connected()


@pytest.mark.parametrize(
    "shares",
    [
        (),
        (X25519_SHARE,),
        (KeyShareEntry(NamedGroup.SECP256R1, b"\4" * 65), X25519_SHARE),
    ],
    ids=["none", "another", "one too many"],
)
def test_server_refuses_a_second_hello_without_the_share_it_asked_for(shares: tuple[KeyShareEntry, ...]) -> None:
    sentence = refused(second(key_share=shares), Misbehaviour.CLIENT_HELLO_CHANGED, server=retrying())
    assert "secp256r1" in sentence


def test_server_refuses_a_bad_point_in_a_second_hello() -> None:
    wrong = (KeyShareEntry(NamedGroup.SECP256R1, b"\4" + bytes(64)),)
    refused(second(key_share=wrong), Misbehaviour.BAD_KEY_SHARE, server=retrying())


def test_server_refuses_a_cookie_that_it_did_not_send() -> None:
    refused(second(cookie=b"c"), Misbehaviour.BAD_COOKIE, server=retrying())


@pytest.mark.parametrize("cookie", [b"c", b"x" * 31, b"x" * 32, b"x" * 200], ids=len)
def test_server_refuses_a_forged_cookie(cookie: bytes) -> None:
    refused(second(cookie=cookie), Misbehaviour.BAD_COOKIE, server=retrying(RetryCookies()))


def test_server_refuses_a_cookie_changed_anywhere() -> None:
    cookies = RetryCookies(bytes(32))
    good = cookies.make(b"h" * 32, b"choice", 1000.0)
    cookies.check(good, b"h" * 32, b"choice", 1000.0)
    for index in range(len(good)):
        wrong = good[:index] + bytes([good[index] ^ 1]) + good[index + 1 :]
        with pytest.raises(PeerMisbehaved):
            cookies.check(wrong, b"h" * 32, b"choice", 1000.0)


def test_server_refuses_a_second_hello_without_its_cookie() -> None:
    sentence = refused(second(cookie=None), Misbehaviour.MISSING_EXTENSION, server=retrying(RetryCookies()))
    assert "cookie" in sentence


def test_server_refuses_a_cookie_of_another_hello() -> None:
    """A cookie holds the hash of the hello that it was made for, so one cannot be kept and used again."""
    cookies = RetryCookies()
    kept: list[bytes] = []

    def keep(hello: ClientHello) -> Iterable[Item]:
        assert hello.cookie is not None
        kept.append(hello.cookie)
        return (hello,)

    against(on(ClientHello, keep, nth=1), server=retrying(cookies)).check_connected()
    refused(second(cookie=kept[0]), Misbehaviour.BAD_COOKIE, server=retrying(cookies))


@pytest.mark.parametrize(
    ("seconds", "accepted"), [(0, True), (59, True), (60, True), (61, False), (3600, False), (-5, False)]
)
def test_cookie_is_good_for_a_minute(seconds: int, accepted: bool) -> None:
    clock = [1_800_000_000.0]
    server = server_config(groups=["secp256r1"], retry_cookies=RetryCookies(), now=lambda: clock[0])
    joined = Pair(ScriptedClient(client_config()), ServerConnection(server))
    joined.step()
    clock[0] += seconds
    joined.run()
    if accepted:
        joined.check_connected()
    else:
        check_refused(joined, "server", PeerMisbehaved, Misbehaviour.BAD_COOKIE)


def test_cookie_without_a_retry_means_nothing() -> None:
    """RFC 9846 4.3.2 forbids it to the client; there is nothing to check it against."""
    joined = against(changed(ClientHello, cookie=b"out of nowhere"))
    assert joined.connected or isinstance(joined.server.failure, PeerMisbehaved)


# -- Certificate and CertificateVerify --------------------------------------------------------------------------------


def test_server_refuses_a_certificate_with_a_context() -> None:
    refused(changed(CertificateMessage, context=b"c"), Misbehaviour.BAD_REQUEST_CONTEXT)


def test_server_refuses_a_certificate_that_it_did_not_ask_for() -> None:
    """In the place of the client's Finished."""

    def add(message: Finished) -> Iterable[Item]:
        entry = CertificateEntry(certificate=client_credential().certificate.der)
        return (CertificateMessage(entries=(entry,)), message)

    sentence = refused(on(Finished, add), Misbehaviour.UNEXPECTED_MESSAGE, server=server_config())
    assert "certificate while waiting for Finished" in sentence


def test_server_refuses_an_empty_certificate_that_it_did_not_ask_for() -> None:
    edit = on(Finished, lambda message: (CertificateMessage(), message))
    refused(edit, Misbehaviour.UNEXPECTED_MESSAGE, server=server_config())


def test_server_refuses_a_certificate_verify_behind_an_empty_certificate() -> None:
    def empty(message: CertificateMessage) -> Iterable[Item]:
        return (CertificateMessage(),)

    sentence = refused(
        on(CertificateMessage, empty), Misbehaviour.UNEXPECTED_MESSAGE, server=server_config(client_auth=optional())
    )
    assert "certificate_verify while waiting for Finished" in sentence


def test_server_refuses_a_certificate_without_proof() -> None:
    """Without the CertificateVerify anybody could present anybody's certificate."""
    sentence = refused(on(CertificateVerify, lambda message: ()), Misbehaviour.UNEXPECTED_MESSAGE)
    assert "finished while waiting for CertificateVerify" in sentence


def test_server_refuses_a_client_that_leaves_its_certificate_out() -> None:
    def neither(message: Any) -> Iterable[Item]:
        return () if isinstance(message, CertificateMessage | CertificateVerify) else (message,)

    refused(neither, Misbehaviour.UNEXPECTED_MESSAGE)


@pytest.mark.parametrize(("count", "accepted"), [(8, True), (9, False)])
def test_server_refuses_more_certificates_than_a_chain_has(count: int, accepted: bool) -> None:
    edit = on(CertificateMessage, lambda message: (replace(message, entries=message.entries * count),))
    joined = against(edit)  # Two certificates each time: the leaf and its intermediate.
    if accepted:
        joined.check_connected()
    else:
        check_refused(joined, "server", CertificateRejected, CertificateProblem.CHAIN_TOO_LONG)


@pytest.mark.parametrize(("count", "accepted"), [(9, True), (32, True), (33, False)])
def test_server_counts_certificates_before_any_verifier_sees_them(count: int, *, accepted: bool) -> None:
    """Two certificates each time: 64 are parsed for whoever wants to look at them."""
    edit = on(CertificateMessage, lambda message: (replace(message, entries=message.entries * count),))
    joined = against(edit, server=server_config(client_auth=ClientAuth.custom(AcceptAnyCertificate())))
    if accepted:
        joined.check_connected()
    else:
        check_refused(joined, "server", CertificateRejected, CertificateProblem.CHAIN_TOO_LONG)


@pytest.mark.parametrize(
    "extension",
    [
        {"status_request": b"ocsp"},
        {"signed_certificate_timestamp": (b"sct",)},
        {"unknown_extensions": ((0x0A0A, b""),)},
    ],
    ids=repr,
)
def test_server_refuses_what_it_did_not_ask_beside_a_certificate(extension: dict[str, Any]) -> None:
    def add(message: CertificateMessage) -> Iterable[Item]:
        return (replace(message, entries=(replace(message.entries[0], **extension), *message.entries[1:])),)

    refused(on(CertificateMessage, add), Misbehaviour.UNSOLICITED_EXTENSION)


def test_server_refuses_a_chain_without_its_intermediate() -> None:
    edit = on(CertificateMessage, lambda message: (replace(message, entries=message.entries[:1]),))
    failure = check_refused(against(edit), "server", CertificateRejected, CertificateProblem.UNKNOWN_ISSUER)
    assert "K-Dot Issuing" in str(failure), "the sentence does not name the issuer that is missing"


@pytest.mark.parametrize("signature", [b"", b"\0", bytes(72)], ids=len)
def test_server_refuses_a_signature_that_does_not_verify(signature: bytes) -> None:
    refused(changed(CertificateVerify, signature=signature), Misbehaviour.BAD_SIGNATURE)


@pytest.mark.parametrize("key_type", ["ec-p256", "rsa-2048", "ed25519", "ml-dsa-65"])
def test_server_refuses_a_client_that_does_not_hold_the_key(key_type: str) -> None:
    mine, theirs = client_intermediate().issue_client("alice", key_type=key_type), client_identity(key_type)
    impostor = Credential(theirs.chain, HiddenKey(mine.key))
    refused(unchanged, Misbehaviour.BAD_SIGNATURE, client=client_config(credentials=[impostor]))


def test_server_refuses_a_scheme_of_another_key() -> None:
    """RFC 9846 4.3.3: ecdsa_secp384r1_sha384 is for P-384 alone, however good the signature."""
    edit = changed(CertificateVerify, scheme=SignatureScheme.ECDSA_SECP384R1_SHA384)
    refused(edit, Misbehaviour.SCHEME_NOT_FOR_KEY)


@pytest.mark.parametrize(
    "scheme",
    [SignatureScheme.RSA_PKCS1_SHA256, SignatureScheme.ECDSA_SHA1, SignatureScheme.ED448, SignatureScheme(0x0A0A)],
    ids=repr,
)
def test_server_refuses_a_scheme_that_it_did_not_offer(scheme: SignatureScheme) -> None:
    sentence = refused(changed(CertificateVerify, scheme=scheme), Misbehaviour.SCHEME_NOT_OFFERED)
    assert str(scheme) in sentence


def test_server_refuses_a_servers_certificate_as_a_clients() -> None:
    posing = credential(client_intermediate().issue_server("not a client".replace(" ", "-")))
    joined = against(unchanged, client=client_config(credentials=[posing]))
    check_refused(joined, "server", CertificateRejected, CertificateProblem.WRONG_PURPOSE)


# -- Finished ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [0, 1, 32, 48, 49, 64])
@pytest.mark.parametrize(
    "server", [server_config, lambda: server_config(client_auth=required())], ids=["alone", "mutual"]
)
def test_server_refuses_a_finished_that_does_not_verify(length: int, server: Any) -> None:
    refused(changed(Finished, verify_data=b"\x5a" * length), Misbehaviour.BAD_FINISHED, server=server())


def test_server_refuses_its_own_finished_sent_back() -> None:
    """Each direction has a key of its own, or a mirror would do."""
    from tests.support.scripted import ScriptedServer

    sent: list[Finished] = []

    def keep(message: Finished) -> Iterable[Item]:
        sent.append(message)
        return (message,)

    client = ScriptedClient(client_config(), on(Finished, lambda message: (sent[0],)))
    joined = Pair(client, ScriptedServer(server_config(), on(Finished, keep))).run()
    check_refused(joined, "server", PeerMisbehaved, Misbehaviour.BAD_FINISHED)


# -- Order ------------------------------------------------------------------------------------------------------------

CLIENT_MESSAGES = [ClientHello, CertificateMessage, CertificateVerify, Finished]


@pytest.mark.parametrize(
    "stranger",
    [
        EncryptedExtensions(),
        KeyUpdate(update_requested=False),
        NewSessionTicket(lifetime=1, age_add=1, nonce=b"", ticket=b"t"),
        EndOfEarlyData(),
        b"\0\0\0\0",
        b"\x10\0\0\3abc",
        b"\x63\0\0\3abc",
    ],
    ids=[
        "EncryptedExtensions",
        "KeyUpdate",
        "NewSessionTicket",
        "EndOfEarlyData",
        "HelloRequest",
        "ClientKeyExchange",
        "99",
    ],
)
@pytest.mark.parametrize("before", CLIENT_MESSAGES, ids=lambda kind: kind.__name__)
def test_server_refuses_a_message_that_may_not_come_in_a_client_flight(before: type[Any], stranger: Item) -> None:
    joined = against(on(before, lambda message: (stranger, message)))
    failure = check_refused(joined, "server", PeerMisbehaved, Misbehaviour.UNEXPECTED_MESSAGE)
    assert "while waiting for" in str(failure)


@pytest.mark.parametrize("first", CLIENT_MESSAGES[1:-1], ids=lambda kind: kind.__name__)
def test_server_refuses_messages_in_another_order(first: type[Any]) -> None:
    held: list[Item] = []

    def swap(message: Any) -> Iterable[Item]:
        if type(message) is first:
            held.append(message)
            return ()
        return (message, held.pop()) if held else (message,)

    check_refused(against(swap), "server", PeerMisbehaved, Misbehaviour.UNEXPECTED_MESSAGE)


@pytest.mark.parametrize("doubled", CLIENT_MESSAGES, ids=lambda kind: kind.__name__)
def test_server_refuses_a_message_that_comes_twice(doubled: type[Any]) -> None:
    joined = against(on(doubled, lambda message: (message, NewRecord(), message)))
    failure = joined.server.failure
    assert isinstance(failure, PeerMisbehaved)
    expected = {
        ClientHello: Misbehaviour.BAD_RECORD_MAC,  # The second is in the clear.
        Finished: Misbehaviour.BAD_RECORD_MAC,  # The second is under the keys of the handshake.
    }
    assert failure.reason is expected.get(doubled, Misbehaviour.UNEXPECTED_MESSAGE)


# -- A message does not straddle a change of keys (RUSTSEC-2026-0285, CVE-2025-61730) ---------------------------------

TAILS: list[Item] = [
    b"\x0b",
    encode_message(CertificateMessage()),
    encode_message(KeyUpdate(update_requested=True)),
    b"\x14\0\0\x20" + b"f" * 32,
    b"\x0b\0\0\x10abc",
]


@pytest.mark.parametrize("tail", TAILS, ids=lambda tail: tail.hex()[:16])
@pytest.mark.parametrize("last", [ClientHello, Finished], ids=lambda kind: kind.__name__)
def test_server_refuses_bytes_behind_the_last_message_under_a_key(last: type[Any], tail: Item) -> None:
    joined = against(on(last, lambda message: (message, tail)))
    failure = joined.server.failure
    assert isinstance(failure, PeerMisbehaved), f"accepted: {failure!r}"
    # Behind the ClientHello it is the server's turn first, and then the keys change.
    in_turn = last is ClientHello
    assert failure.reason is (Misbehaviour.EXCESS_HANDSHAKE_DATA if in_turn else Misbehaviour.KEY_CHANGE_INSIDE_RECORD)
    assert failure.alert is AlertDescription.UNEXPECTED_MESSAGE


@pytest.mark.parametrize("tail", TAILS, ids=lambda tail: tail.hex()[:16])
@pytest.mark.parametrize("nth", [0, 1], ids=["first hello", "second hello"])
def test_server_refuses_bytes_behind_a_hello_before_it_answers(nth: int, tail: Item) -> None:
    """No HelloRetryRequest, no ServerHello: nothing but the alert."""
    answers: list[bytes] = []

    def note(data: bytes) -> bytes:
        answers.append(data)
        return data

    client = ScriptedClient(client_config(), on(ClientHello, lambda hello: (hello, tail), nth=nth))
    joined = Pair(client, ServerConnection(retrying()), to_client=note).run()
    check_refused(joined, "server", PeerMisbehaved, Misbehaviour.EXCESS_HANDSHAKE_DATA)
    assert len(answers) == nth + 1
    assert answers[-1] == plain_record(21, bytes([2, AlertDescription.UNEXPECTED_MESSAGE]))


@pytest.mark.parametrize("tail", TAILS, ids=lambda tail: tail.hex()[:16])
def test_server_refuses_bytes_behind_a_key_update(tail: Item) -> None:
    joined = against(unchanged).check_connected()
    say(joined.client, KeyUpdate(update_requested=False), tail)
    joined.run()
    failure = joined.server.failure
    assert isinstance(failure, PeerMisbehaved)
    assert failure.reason is Misbehaviour.KEY_CHANGE_INSIDE_RECORD


def test_server_reads_a_flight_that_is_cut_into_small_records() -> None:
    def cut(message: Any) -> Iterable[Item]:
        if isinstance(message, ClientHello):
            return (message,)  # It is sent before there is a client to ask for its transcript.
        raw = encode_message(message)
        client.flow.transcript.add(raw)
        return [Record(22, raw[start : start + 7]) for start in range(0, len(raw), 7)]

    client = ScriptedClient(client_config(credentials=[client_credential()]), cut)
    server = ServerConnection(server_config(client_auth=required(), credentials=[server_credential()]))
    Pair(client, server).run().check_connected()
