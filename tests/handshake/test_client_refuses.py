"""What a client refuses of a server: each with its reason, and with the alert that the server reads.

The server is the real one with one message changed before it is sent, so that signatures, Finished and record
protection all fit what the client read (tests/support/scripted.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from tests.support.identities import (
    client_config,
    client_credential,
    credential,
    required,
    server_config,
    server_credential,
    server_identity,
    server_root,
)
from tests.support.memory import Pair, check_refused, feed, plain_record, records
from tests.support.scripted import Edit, Item, NewRecord, ScriptedServer, on, say
from tests.support.signers import HiddenKey
from trustls.config import ClientConfig, ServerConfig
from trustls.connection import ClientConnection
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
from trustls.identity.credential import Credential
from trustls.identity.signer import KeySigner
from trustls.wire.enums import (
    CipherSuite,
    ContentType,
    ExtensionType,
    HandshakeType,
    NamedGroup,
    ProtocolVersion,
    SignatureScheme,
)
from trustls.wire.extensions import KeyShareEntry
from trustls.wire.messages import (
    CertificateEntry,
    CertificateMessage,
    CertificateRequest,
    CertificateVerify,
    ClientHello,
    EncryptedExtensions,
    Finished,
    HelloRetryRequest,
    KeyUpdate,
    NewSessionTicket,
    ServerHello,
    encode_message,
)


def against(
    edit: Edit, *, server: ServerConfig | None = None, client: ClientConfig | None = None, name: str = "localhost"
) -> Pair:
    """A client that met this server."""
    return Pair(
        ClientConnection(client or client_config(), name), ScriptedServer(server or server_config(), edit)
    ).run()


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


def extended(kind: type[Any], extension: int, body: bytes = b"") -> Edit:
    """One more extension."""
    return on(kind, lambda message: (replace(message, unknown_extensions=((int(extension), body),)),))


def test_script_that_changes_nothing_connects() -> None:
    """The other tests here show something only because this one does not fail."""
    server = server_config(client_auth=required(), groups=["secp256r1"])
    joined = against(lambda message: (message,), server=server, client=client_config(credentials=[client_credential()]))
    joined.check_connected()


# -- ServerHello ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"supported_versions": ProtocolVersion.TLS1_2}, Misbehaviour.VERSION_NOT_OFFERED),
        ({"supported_versions": ProtocolVersion(0x0305)}, Misbehaviour.VERSION_NOT_OFFERED),
        ({"supported_versions": ProtocolVersion(0x7F1C)}, Misbehaviour.VERSION_NOT_OFFERED),
        ({"legacy_version": ProtocolVersion.TLS1_3}, Misbehaviour.BAD_LEGACY_VERSION),
        ({"legacy_version": ProtocolVersion.TLS1_0}, Misbehaviour.BAD_LEGACY_VERSION),
        ({"session_id": b""}, Misbehaviour.SESSION_ID_NOT_ECHOED),
        ({"session_id": b"\0" * 32}, Misbehaviour.SESSION_ID_NOT_ECHOED),
        ({"compression_method": 1}, Misbehaviour.BAD_COMPRESSION),
        ({"cipher_suite": CipherSuite.TLS_AES_128_GCM_SHA256}, Misbehaviour.SUITE_NOT_OFFERED),
        ({"cipher_suite": CipherSuite.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}, Misbehaviour.SUITE_NOT_OFFERED),
        ({"cipher_suite": CipherSuite(0x0A0A)}, Misbehaviour.SUITE_NOT_OFFERED),
        ({"key_share": None}, Misbehaviour.MISSING_EXTENSION),
        ({"key_share": KeyShareEntry(NamedGroup.SECP521R1, b"\4" * 133)}, Misbehaviour.GROUP_NOT_OFFERED),
        ({"key_share": KeyShareEntry(NamedGroup.SECP256R1, b"\4" * 65)}, Misbehaviour.GROUP_NOT_OFFERED),
        ({"key_share": KeyShareEntry(NamedGroup(0x0A0A), b"\0")}, Misbehaviour.GROUP_NOT_OFFERED),
        ({"key_share": KeyShareEntry(NamedGroup.X25519, bytes(32))}, Misbehaviour.BAD_KEY_SHARE),
        ({"key_share": KeyShareEntry(NamedGroup.X25519, b"x" * 31)}, Misbehaviour.BAD_KEY_SHARE),
        ({"key_share": KeyShareEntry(NamedGroup.X25519MLKEM768, b"x" * 1119)}, Misbehaviour.BAD_KEY_SHARE),
        ({"key_share": KeyShareEntry(NamedGroup.X25519MLKEM768, bytes(1120))}, Misbehaviour.BAD_KEY_SHARE),
        ({"pre_shared_key": 0}, Misbehaviour.UNSOLICITED_EXTENSION),
        ({"server_name": True}, Misbehaviour.UNEXPECTED_EXTENSION),
        ({"alpn": b"h2"}, Misbehaviour.UNEXPECTED_EXTENSION),
        ({"supported_groups": b"\0\2\0\x1d"}, Misbehaviour.UNEXPECTED_EXTENSION),
        ({"extended_master_secret": True}, Misbehaviour.UNSOLICITED_EXTENSION),
        ({"renegotiation_info": b""}, Misbehaviour.UNSOLICITED_EXTENSION),
        ({"unknown_extensions": ((0x0A0A, b""),)}, Misbehaviour.UNSOLICITED_EXTENSION),
        ({"unknown_extensions": ((int(ExtensionType.COOKIE), b"\0\1c"),)}, Misbehaviour.UNEXPECTED_EXTENSION),
        ({"unknown_extensions": ((int(ExtensionType.KEY_SHARE), b""),)}, Misbehaviour.DUPLICATE_EXTENSION),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_client_refuses_server_hello(fields: dict[str, Any], reason: Misbehaviour) -> None:
    client = client_config(suites=["TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"], alpn=["h2"])
    joined = against(changed(ServerHello, **fields), client=client)
    error = DecodeError if reason is Misbehaviour.DUPLICATE_EXTENSION else PeerMisbehaved
    check_refused(joined, "client", error, reason)


@pytest.mark.parametrize("sentinel", [b"DOWNGRD\x01", b"DOWNGRD\x00"], ids=["to 1.2", "to 1.1 or older"])
def test_client_sees_a_downgrade_in_the_server_random(sentinel: bytes) -> None:
    refused(
        on(ServerHello, lambda hello: (replace(hello, supported_versions=None, random=b"r" * 24 + sentinel),)),
        Misbehaviour.DOWNGRADE_DETECTED,
    )


def test_downgrade_sentinel_means_nothing_in_tls13() -> None:
    """RFC 9846 4.2.3: it counts where an older version was chosen. By chance it may be anybody's random."""
    against(changed(ServerHello, random=b"r" * 24 + b"DOWNGRD\x01")).check_connected()


@pytest.mark.parametrize(
    ("version", "allowed", "spoken"),
    [
        (ProtocolVersion.TLS1_2, ["1.3"], "this client speaks TLSv1.3"),
        (ProtocolVersion.TLS1_1, ["1.3"], "this client speaks TLSv1.3"),
        (ProtocolVersion.TLS1_0, ["1.3"], "this client speaks TLSv1.3"),
        (ProtocolVersion.TLS1_1, ["1.3", "1.2"], "this client speaks TLSv1.3, TLSv1.2"),
        (ProtocolVersion.TLS1_0, ["1.3", "1.2"], "this client speaks TLSv1.3, TLSv1.2"),
        (ProtocolVersion.SSL3, ["1.3", "1.2"], "this client speaks TLSv1.3, TLSv1.2"),
    ],
)
def test_client_has_nothing_in_common_with_a_server_of_older_versions(
    version: ProtocolVersion, allowed: list[str], spoken: str
) -> None:
    fields = {"supported_versions": None, "key_share": None, "legacy_version": version, "session_id": b"other"}
    sentence = refused(
        changed(ServerHello, **fields),
        Incompatibility.NO_COMMON_VERSION,
        PeerIncompatible,
        client=client_config(versions=allowed),
    )
    assert str(version) in sentence
    assert f"{spoken};" in sentence


def test_client_follows_a_server_to_tls12_where_that_is_allowed() -> None:
    """The same ServerHello is then TLS 1.2's, and judged as that: its suite is none of TLS 1.2."""
    fields = {"supported_versions": None, "key_share": None}
    refused(changed(ServerHello, **fields), Misbehaviour.SUITE_NOT_OFFERED)


def test_client_refuses_a_server_hello_with_bytes_behind_it() -> None:
    edit = on(ServerHello, lambda hello: (b"\2" + len(raw := hello.encode() + b"\0").to_bytes(3, "big") + raw,))
    refused(edit, Misbehaviour.TRAILING_BYTES, DecodeError)


# -- HelloRetryRequest ------------------------------------------------------------------------------------------------

P256 = {"groups": ["secp256r1"]}


def retry_for(**fields: Any) -> Edit:
    return changed(HelloRetryRequest, **fields)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"key_share": None}, Misbehaviour.NEEDLESS_HELLO_RETRY),
        ({"key_share": NamedGroup.X25519MLKEM768}, Misbehaviour.RETRY_GROUP_ALREADY_SENT),
        ({"key_share": NamedGroup.X25519}, Misbehaviour.RETRY_GROUP_ALREADY_SENT),
        ({"key_share": NamedGroup.X25519, "cookie": b"c"}, Misbehaviour.RETRY_GROUP_ALREADY_SENT),
        ({"key_share": NamedGroup.X448}, Misbehaviour.GROUP_NOT_OFFERED),
        ({"key_share": NamedGroup(0x0A0A)}, Misbehaviour.GROUP_NOT_OFFERED),
        ({"supported_versions": ProtocolVersion.TLS1_2}, Misbehaviour.VERSION_NOT_OFFERED),
        ({"legacy_version": ProtocolVersion.TLS1_3}, Misbehaviour.BAD_LEGACY_VERSION),
        ({"session_id": b"other"}, Misbehaviour.SESSION_ID_NOT_ECHOED),
        ({"compression_method": 7}, Misbehaviour.BAD_COMPRESSION),
        ({"cipher_suite": CipherSuite(0x1304)}, Misbehaviour.SUITE_NOT_OFFERED),
        ({"unknown_extensions": ((0x0A0A, b""),)}, Misbehaviour.UNSOLICITED_EXTENSION),
        ({"encrypted_client_hello": b"12345678"}, Misbehaviour.UNSOLICITED_EXTENSION),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_client_refuses_hello_retry_request(fields: dict[str, Any], reason: Misbehaviour) -> None:
    refused(retry_for(**fields), reason, server=server_config(**P256))


@pytest.mark.parametrize("versions", [["1.3"], ["1.3", "1.2"]], ids=repr)
def test_client_refuses_a_retry_of_no_version(versions: list[str]) -> None:
    """Its random says that it is TLS 1.3's, where the extension is required: this is no server of an older version."""
    edit = retry_for(supported_versions=None)
    server, client = server_config(**P256), client_config(versions=versions)
    assert "supported_versions" in refused(edit, Misbehaviour.MISSING_EXTENSION, server=server, client=client)


def test_client_refuses_a_second_retry() -> None:
    def again(hello: ServerHello) -> Iterable[Item]:
        return (
            HelloRetryRequest(
                session_id=hello.session_id,
                cipher_suite=hello.cipher_suite,
                supported_versions=ProtocolVersion.TLS1_3,
                key_share=NamedGroup.SECP384R1,
            ),
        )

    sentence = refused(on(ServerHello, again), Misbehaviour.UNEXPECTED_MESSAGE, server=server_config(**P256))
    assert "ServerHello" in sentence, "the sentence does not say what was waited for"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"cipher_suite": CipherSuite.TLS_AES_128_GCM_SHA256}, Misbehaviour.SUITE_CHANGED_AFTER_RETRY),
        ({"key_share": KeyShareEntry(NamedGroup.X25519, b"x" * 32)}, Misbehaviour.GROUP_NOT_OFFERED),
        ({"key_share": KeyShareEntry(NamedGroup.SECP384R1, b"\4" * 97)}, Misbehaviour.GROUP_NOT_OFFERED),
        ({"key_share": KeyShareEntry(NamedGroup.SECP256R1, b"\4" * 65)}, Misbehaviour.BAD_KEY_SHARE),
        ({"supported_versions": ProtocolVersion.TLS1_2}, Misbehaviour.VERSION_NOT_OFFERED),
        ({"session_id": b""}, Misbehaviour.SESSION_ID_NOT_ECHOED),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_client_refuses_a_server_hello_that_does_not_keep_to_the_retry(
    fields: dict[str, Any], reason: Misbehaviour
) -> None:
    refused(changed(ServerHello, **fields), reason, server=server_config(**P256))


def test_client_answers_a_retry_for_a_cookie_alone() -> None:
    """RFC 9846 4.2.4: a cookie is reason enough. The shares stay as they were."""
    hellos: list[ClientHello] = []
    client = ClientConnection(client_config(), "localhost")
    hellos.append(ClientHello.parse(client.data_to_send()[9:]))
    retry = HelloRetryRequest(
        session_id=hellos[0].session_id,
        cipher_suite=CipherSuite.TLS_AES_128_GCM_SHA256,
        supported_versions=ProtocolVersion.TLS1_3,
        cookie=b"a cookie",
    )
    client.receive(plain_record(22, encode_message(retry)))
    answer = client.data_to_send()
    assert answer.startswith(b"\x14\3\3\0\1\1"), "the change_cipher_spec comes before the second hello"
    hellos.append(ClientHello.parse(answer[6 + 9 :]))
    assert hellos[1] == replace(hellos[0], cookie=b"a cookie"), "a second hello changes more than its cookie"


def test_second_hello_changes_nothing_but_share_and_cookie() -> None:
    client = ClientConnection(client_config(alpn=["h2"]), "localhost")
    first = ClientHello.parse(client.data_to_send()[9:])
    retry = HelloRetryRequest(
        session_id=first.session_id,
        cipher_suite=CipherSuite.TLS_AES_128_GCM_SHA256,
        supported_versions=ProtocolVersion.TLS1_3,
        key_share=NamedGroup.SECP256R1,
    )
    client.receive(plain_record(22, encode_message(retry)))
    second = ClientHello.parse(client.data_to_send()[6 + 9 :])
    assert [share.group for share in second.key_share or ()] == [NamedGroup.SECP256R1]
    assert second == replace(first, key_share=second.key_share)


# -- EncryptedExtensions and CertificateRequest -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"alpn": b"h3"}, Misbehaviour.ALPN_NOT_OFFERED),
        ({"early_data": True}, Misbehaviour.UNSOLICITED_EXTENSION),
        ({"record_size_limit": 1000}, Misbehaviour.UNSOLICITED_EXTENSION),
        ({"unknown_extensions": ((0x0A0A, b""),)}, Misbehaviour.UNSOLICITED_EXTENSION),
        ({"unknown_extensions": ((int(ExtensionType.KEY_SHARE), b""),)}, Misbehaviour.UNEXPECTED_EXTENSION),
        ({"unknown_extensions": ((int(ExtensionType.SUPPORTED_VERSIONS), b""),)}, Misbehaviour.UNEXPECTED_EXTENSION),
        ({"unknown_extensions": ((int(ExtensionType.STATUS_REQUEST), b""),)}, Misbehaviour.UNEXPECTED_EXTENSION),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_client_refuses_encrypted_extensions(fields: dict[str, Any], reason: Misbehaviour) -> None:
    refused(changed(EncryptedExtensions, **fields), reason, client=client_config(alpn=["h2"]))


def test_client_refuses_an_answer_to_what_it_did_not_ask() -> None:
    alpn = changed(EncryptedExtensions, alpn=b"h2")
    refused(alpn, Misbehaviour.UNSOLICITED_EXTENSION)
    named = changed(EncryptedExtensions, server_name=True)
    refused(named, Misbehaviour.UNSOLICITED_EXTENSION, client=client_config(send_server_name=False))


def test_server_may_tell_which_groups_it_has() -> None:
    """RFC 9846 4.3.7: it may help the client next time."""
    against(changed(EncryptedExtensions, supported_groups=(NamedGroup.X25519,))).check_connected()


ASKING = {"client_auth": required}


def asking() -> ServerConfig:
    return server_config(client_auth=required())


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"context": b"c"}, Misbehaviour.BAD_REQUEST_CONTEXT),
        ({"signature_algorithms": None}, Misbehaviour.MISSING_EXTENSION),
        ({"unknown_extensions": ((int(ExtensionType.KEY_SHARE), b""),)}, Misbehaviour.UNEXPECTED_EXTENSION),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_client_refuses_certificate_request(fields: dict[str, Any], reason: Misbehaviour) -> None:
    client = client_config(credentials=[client_credential()])
    refused(changed(CertificateRequest, **fields), reason, server=asking(), client=client)


def test_client_passes_over_what_it_does_not_know_in_a_certificate_request() -> None:
    edit = changed(CertificateRequest, unknown_extensions=((0x0A0A, b""), (0x7777, b"seven")))
    joined = against(edit, server=asking(), client=client_config(credentials=[client_credential()]))
    joined.check_connected()


def test_client_sends_no_certificate_where_no_scheme_is_common() -> None:
    edit = changed(CertificateRequest, signature_algorithms=(SignatureScheme.ED25519, SignatureScheme(0x0A0A)))
    joined = against(edit, server=asking(), client=client_config(credentials=[client_credential()]))
    failure = check_refused(joined, "server", CertificateRejected, CertificateProblem.NONE_PRESENTED)
    assert "requires a client certificate" in str(failure)
    assert joined.client.info.credential is None


# -- Certificate and CertificateVerify --------------------------------------------------------------------------------


def test_client_refuses_a_server_without_a_certificate() -> None:
    refused(changed(CertificateMessage, entries=()), Misbehaviour.NO_SERVER_CERTIFICATE)


def test_client_refuses_a_certificate_with_a_context() -> None:
    refused(changed(CertificateMessage, context=b"c"), Misbehaviour.BAD_REQUEST_CONTEXT)


@pytest.mark.parametrize(("count", "accepted"), [(16, True), (17, False), (200, False)])
def test_client_refuses_more_certificates_than_a_chain_has(count: int, accepted: bool) -> None:
    edit = on(CertificateMessage, lambda message: (replace(message, entries=message.entries * count),))
    joined = against(edit)
    if accepted:
        joined.check_connected()
    else:
        failure = check_refused(joined, "client", CertificateRejected, CertificateProblem.CHAIN_TOO_LONG)
        assert str(count) in str(failure)


@pytest.mark.parametrize(("count", "accepted"), [(17, True), (64, True), (65, False), (200, False)])
def test_client_counts_certificates_before_any_verifier_sees_them(count: int, *, accepted: bool) -> None:
    """A verifier may take more than a chain has; but no time goes into parsing what nobody could mean."""
    edit = on(CertificateMessage, lambda message: (replace(message, entries=message.entries * count),))
    joined = against(edit, client=client_config(verifier=AcceptAnyCertificate()))
    if accepted:
        joined.check_connected()
        assert joined.client.peer is not None
        assert len(joined.client.peer.presented) == count
    else:
        check_refused(joined, "client", CertificateRejected, CertificateProblem.CHAIN_TOO_LONG)


@pytest.mark.parametrize(
    "extension",
    [
        {"signed_certificate_timestamp": (b"sct",)},
        {"unknown_extensions": ((0x0A0A, b""),)},
    ],
    ids=repr,
)
def test_client_refuses_what_it_did_not_ask_beside_a_certificate(extension: dict[str, Any]) -> None:
    def add(message: CertificateMessage) -> Iterable[Item]:
        return (replace(message, entries=(replace(message.entries[0], **extension), *message.entries[1:])),)

    refused(on(CertificateMessage, add), Misbehaviour.UNSOLICITED_EXTENSION)


def test_client_that_does_not_ask_for_an_ocsp_response_refuses_one() -> None:
    def staple(message: CertificateMessage) -> Iterable[Item]:
        return (replace(message, entries=(replace(message.entries[0], status_request=b"ocsp"), *message.entries[1:])),)

    refused(on(CertificateMessage, staple), Misbehaviour.UNSOLICITED_EXTENSION, client=client_config(ocsp="off"))


@pytest.mark.parametrize("certificate", [b"\0", b"\x30\0", b"not DER at all", bytes(1000)], ids=len)
def test_client_refuses_a_certificate_that_is_none(certificate: bytes) -> None:
    edit = changed(CertificateMessage, entries=(CertificateEntry(certificate=certificate),))
    failure = check_refused(against(edit), "client", CertificateRejected, CertificateProblem.MALFORMED)
    assert failure.alert is AlertDescription.BAD_CERTIFICATE


@pytest.mark.parametrize("signature", [b"", b"\0", bytes(72)], ids=len)
def test_client_refuses_a_signature_that_does_not_verify(signature: bytes) -> None:
    refused(changed(CertificateVerify, signature=signature), Misbehaviour.BAD_SIGNATURE)


def test_client_refuses_a_signature_over_another_transcript() -> None:
    """Taken from another handshake of the same server: what was signed there is not what was said here."""
    stolen: list[CertificateVerify] = []

    def keep(message: CertificateVerify) -> Iterable[Item]:
        stolen.append(message)
        return (message,)

    against(on(CertificateVerify, keep)).check_connected()
    refused(on(CertificateVerify, lambda message: (stolen[0],)), Misbehaviour.BAD_SIGNATURE)


@pytest.mark.parametrize("key_type", ["ec-p256", "rsa-2048", "ed25519", "ml-dsa-65"])
def test_client_refuses_a_server_that_does_not_hold_the_key(key_type: str) -> None:
    mine, theirs = server_root().issue_server("localhost", key_type=key_type), server_identity(key_type)
    impostor = Credential(theirs.chain, HiddenKey(mine.key))
    refused(lambda message: (message,), Misbehaviour.BAD_SIGNATURE, server=server_config(credentials=[impostor]))


@pytest.mark.parametrize(
    "claimed",
    [SignatureScheme.ECDSA_SECP384R1_SHA384, SignatureScheme.ED25519, SignatureScheme.RSA_PSS_RSAE_SHA256],
    ids=repr,
)
def test_client_refuses_a_scheme_of_another_key(claimed: SignatureScheme) -> None:
    """RFC 9846 4.3.3: ecdsa_secp384r1_sha384 is for P-384 alone, however good the signature."""
    refused(changed(CertificateVerify, scheme=claimed), Misbehaviour.SCHEME_NOT_FOR_KEY)


@pytest.mark.parametrize(
    "scheme",
    [
        SignatureScheme.ECDSA_SECP256R1_SHA256,
        SignatureScheme.ECDSA_SHA1,
        SignatureScheme.RSA_PKCS1_SHA256,
        SignatureScheme.RSA_PSS_PSS_SHA256,
        SignatureScheme(0x0A0A),
    ],
    ids=repr,
)
def test_client_refuses_a_scheme_that_it_did_not_offer(scheme: SignatureScheme) -> None:
    """rsa_pkcs1 is offered, but for certificates only (RFC 9846 4.3.3)."""
    sentence = refused(
        changed(CertificateVerify, scheme=scheme),
        Misbehaviour.SCHEME_NOT_OFFERED,
        server=server_config(credentials=[server_credential("rsa-2048")]),
        client=client_config(signature_schemes=["rsa_pss_rsae_sha256"]),
    )
    assert str(scheme) in sentence


def test_client_refuses_a_client_signature_in_the_server_place() -> None:
    """The context string keeps the two apart (RFC 9846 4.5.2)."""
    from trustls.handshake import authentication

    server = server_identity("ec-p256")

    class WrongContext(KeySigner):
        def sign(self, scheme: SignatureScheme, message: bytes) -> bytes:
            mistaken = message.replace(authentication.SERVER_CONTEXT, authentication.CLIENT_CONTEXT)
            assert mistaken != message
            return super().sign(scheme, mistaken)

    impostor = Credential(server.chain, WrongContext(server.key))
    refused(lambda message: (message,), Misbehaviour.BAD_SIGNATURE, server=server_config(credentials=[impostor]))


def test_client_refuses_the_certificate_of_a_client_as_a_servers() -> None:
    posing = credential(server_root().issue_client("not a server", dns_names=["localhost"]))
    joined = against(lambda message: (message,), server=server_config(credentials=[posing]))
    check_refused(joined, "client", CertificateRejected, CertificateProblem.WRONG_PURPOSE)


# -- Finished ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [0, 1, 31, 47, 48, 49, 64])
def test_client_refuses_a_finished_that_does_not_verify(length: int) -> None:
    refused(changed(Finished, verify_data=b"\x5a" * length), Misbehaviour.BAD_FINISHED)


def test_client_refuses_a_finished_that_is_too_large_to_be_one() -> None:
    refused(changed(Finished, verify_data=bytes(65)), Misbehaviour.MESSAGE_TOO_LARGE, DecodeError)


# -- Order ------------------------------------------------------------------------------------------------------------

SERVER_MESSAGES = [
    ServerHello,
    EncryptedExtensions,
    CertificateRequest,
    CertificateMessage,
    CertificateVerify,
    Finished,
]


@pytest.mark.parametrize("left_out", [ServerHello, EncryptedExtensions, CertificateMessage, CertificateVerify])
def test_client_notices_a_message_that_is_left_out(left_out: type[Any]) -> None:
    """All but CertificateRequest, without which nobody asked for a certificate, and Finished, which is waited for."""
    joined = against(
        on(left_out, lambda message: ()), server=asking(), client=client_config(credentials=[client_credential()])
    )
    if left_out is ServerHello:  # What follows is encrypted, and in the clear no application data may come.
        failure = joined.client.failure
        assert isinstance(failure, PeerMisbehaved)
        assert failure.reason is Misbehaviour.UNEXPECTED_RECORD
    else:
        check_refused(joined, "client", PeerMisbehaved, Misbehaviour.UNEXPECTED_MESSAGE)


def test_client_that_is_never_told_finished_waits() -> None:
    joined = against(on(Finished, lambda message: ()))
    assert joined.client.handshaking
    assert joined.client.failure is None


@pytest.mark.parametrize("doubled", SERVER_MESSAGES, ids=lambda kind: kind.__name__)
def test_client_refuses_a_message_that_comes_twice(doubled: type[Any]) -> None:
    joined = against(
        on(doubled, lambda message: (message, NewRecord(), message)),
        server=asking(),
        client=client_config(credentials=[client_credential()]),
    )
    failure = joined.client.failure
    assert isinstance(failure, PeerMisbehaved)
    expected = {
        # The second one is in the clear, when all that comes is decrypted.
        ServerHello: Misbehaviour.BAD_RECORD_MAC,
        # The second one is under the keys of the handshake, when those of the application are in use.
        Finished: Misbehaviour.BAD_RECORD_MAC,
    }
    assert failure.reason is expected.get(doubled, Misbehaviour.UNEXPECTED_MESSAGE)


@pytest.mark.parametrize("first", SERVER_MESSAGES[1:-1], ids=lambda kind: kind.__name__)
def test_client_refuses_messages_in_another_order(first: type[Any]) -> None:
    """Each message changes places with the next."""
    held: list[Item] = []

    def swap(message: Any) -> Iterable[Item]:
        if type(message) is first:
            held.append(message)
            return ()
        if held:
            return (message, held.pop())
        return (message,)

    joined = against(swap, server=asking(), client=client_config(credentials=[client_credential()]))
    check_refused(joined, "client", PeerMisbehaved, Misbehaviour.UNEXPECTED_MESSAGE)


@pytest.mark.parametrize(
    "stranger",
    [
        ClientHello(random=b"r" * 32, cipher_suites=(CipherSuite.TLS_AES_128_GCM_SHA256,)),
        KeyUpdate(update_requested=False),
        NewSessionTicket(lifetime=1, age_add=1, nonce=b"", ticket=b"t"),
        b"\0\0\0\0",
        b"\x0e\0\0\0",
        b"\x63\0\0\3abc",
        b"\x05\0\0\0",
    ],
    ids=["ClientHello", "KeyUpdate", "NewSessionTicket", "HelloRequest", "ServerHelloDone", "99", "EndOfEarlyData"],
)
@pytest.mark.parametrize("before", SERVER_MESSAGES, ids=lambda kind: kind.__name__)
def test_client_refuses_a_message_that_may_not_come_in_a_server_flight(before: type[Any], stranger: Item) -> None:
    joined = against(
        on(before, lambda message: (stranger, message)),
        server=asking(),
        client=client_config(credentials=[client_credential()]),
    )
    failure = check_refused(joined, "client", PeerMisbehaved, Misbehaviour.UNEXPECTED_MESSAGE)
    assert "while waiting for" in str(failure)


def test_client_tells_what_came_and_what_it_waited_for() -> None:
    edit = on(CertificateVerify, lambda message: (b"\x63\0\0\0", message))
    assert "0x63 while waiting for CertificateVerify" in refused(edit, Misbehaviour.UNEXPECTED_MESSAGE)


# -- A message does not straddle a change of keys (RUSTSEC-2026-0285, CVE-2025-61730) ---------------------------------

TAILS: list[Item] = [
    b"\x08",
    b"\x08\0\0\2\0\0",
    encode_message(EncryptedExtensions()),
    encode_message(KeyUpdate(update_requested=False)),
    encode_message(NewSessionTicket(lifetime=1, age_add=1, nonce=b"", ticket=b"t")),
    b"\x04\0\0\x10abc",
]


@pytest.mark.parametrize("tail", TAILS, ids=lambda tail: tail.hex()[:16])
@pytest.mark.parametrize("last", [ServerHello, Finished], ids=lambda kind: kind.__name__)
def test_client_refuses_bytes_behind_the_last_message_under_a_key(last: type[Any], tail: Item) -> None:
    joined = against(on(last, lambda message: (message, tail)))
    failure = joined.client.failure
    assert isinstance(failure, PeerMisbehaved), f"accepted: {failure!r}"
    assert failure.reason is Misbehaviour.KEY_CHANGE_INSIDE_RECORD
    assert failure.alert is AlertDescription.UNEXPECTED_MESSAGE


@pytest.mark.parametrize("tail", TAILS, ids=lambda tail: tail.hex()[:16])
def test_client_refuses_bytes_behind_a_hello_retry_request(tail: Item) -> None:
    """It is the client's turn then, and no second hello goes out before that is seen."""
    edit = on(HelloRetryRequest, lambda message: (message, tail))
    joined = Pair(ClientConnection(client_config(), "localhost"), ScriptedServer(server_config(**P256), edit))
    feed(joined.server, [joined.client.data_to_send()])
    feed(joined.client, [joined.server.data_to_send()])
    answer = joined.client.data_to_send()
    assert ContentType.HANDSHAKE not in [record.content_type for record in records(answer)]
    feed(joined.server, [answer])
    check_refused(joined, "client", PeerMisbehaved, Misbehaviour.EXCESS_HANDSHAKE_DATA)


def test_client_refuses_a_plain_encrypted_extensions_behind_the_server_hello() -> None:
    """The attack itself: what should be protected comes in the clear, in the record of the ServerHello."""

    def move(message: Any) -> Iterable[Item]:
        if isinstance(message, ServerHello):
            return (message, encode_message(EncryptedExtensions(alpn=b"h2")))
        return () if isinstance(message, EncryptedExtensions) else (message,)

    refused(move, Misbehaviour.KEY_CHANGE_INSIDE_RECORD, client=client_config(alpn=["h2"]))


@pytest.mark.parametrize("tail", TAILS, ids=lambda tail: tail.hex()[:16])
def test_client_refuses_bytes_behind_a_key_update(tail: Item) -> None:
    joined = against(lambda message: (message,)).check_connected()
    say(joined.server, KeyUpdate(update_requested=False), tail)
    feed(joined.client, [joined.server.data_to_send()])
    failure = joined.client.failure
    assert isinstance(failure, PeerMisbehaved)
    assert failure.reason is Misbehaviour.KEY_CHANGE_INSIDE_RECORD


# -- Handshake messages over records ----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 3, 50])
def test_client_reads_a_flight_that_is_cut_into_small_records(size: int) -> None:
    from tests.support.scripted import Record

    def cut(message: Any) -> Iterable[Item]:
        raw = encode_message(message)
        server.flow.transcript.add(raw)
        return [Record(22, raw[start : start + size]) for start in range(0, len(raw), size)]

    server = ScriptedServer(server_config(client_auth=required()), cut)
    joined = Pair(ClientConnection(client_config(credentials=[client_credential()]), "localhost"), server)
    joined.run().check_connected()


def test_type_of_a_message_is_refused_before_it_is_parsed() -> None:
    """A Certificate that is no Certificate, where a ServerHello must come: the place counts, not the content."""
    client = ClientConnection(client_config(), "localhost")
    feed(client, [plain_record(22, bytes([HandshakeType.CERTIFICATE]) + b"\0\0\4garb")])
    failure = client.failure
    assert isinstance(failure, PeerMisbehaved)
    assert failure.reason is Misbehaviour.UNEXPECTED_MESSAGE
