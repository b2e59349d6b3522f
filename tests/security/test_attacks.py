"""Attacks that have broken other implementations, or the protocol, tried on this one; docs/security.md lists them all.

What is tried elsewhere (state machines, records, resumption, paths) is not tried here again: it names those tests.
"""

from __future__ import annotations

import asyncio
import datetime
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

import trustls
from tests.support.identities import (
    KEY_TYPES,
    client_config,
    client_credential,
    client_root,
    required,
    server_config,
    server_credential,
    server_identity,
)
from tests.support.memory import Pair, check_refused, connect, feed, pair, plain_record
from tests.support.processes import run
from tests.support.scripted import Record, ScriptedClient, ScriptedServer, on, say
from tests.support.tls12 import client12, handshake, server12
from trustls.connection import ClientConnection, ServerConnection
from trustls.crypto.key_exchange import GROUPS, KeyExchangeGroup
from trustls.crypto.signatures import BadSignature, WrongKey, verify
from trustls.errors import (
    CertificateProblem,
    CertificateRejected,
    Incompatibility,
    Misbehaviour,
    PeerIncompatible,
    PeerMisbehaved,
    TLSError,
    UnexpectedEOF,
)
from trustls.protocol.buffers import BUFFER_SIZE, BUFFERS, SEALING_BUFFERS
from trustls.session.psk import ExternalPsk, import_psk
from trustls.session.tickets import KEY_LENGTH, RotatingTicketKeys, TicketKey
from trustls.trust.path import Purpose, verify_path
from trustls.trust.verifiers import RootsClientVerifier
from trustls.wire.enums import CipherSuite, HandshakeType, NamedGroup, SignatureScheme
from trustls.wire.messages import CertificateMessage, CertificateVerify, ClientHello, ServerHello
from trustls.wire.messages12 import ServerKeyExchange

SECONDS: Final = 15.0

# -- Over-reads (Heartbleed) ------------------------------------------------------------------------------------------

STALE: Final = b"another connection's secret! "


@pytest.fixture
def stale_buffers() -> None:
    """The buffers that connections share are full of somebody else's data."""
    for _ in range(16):
        BUFFERS.give_back(bytearray(BUFFER_SIZE))
    sealing = SEALING_BUFFERS.take()
    views = [memoryview(each) for each in BUFFERS._free]
    for each in (sealing.out, sealing.plaintext, *views):
        each[:] = (STALE * (len(each) // len(STALE) + 1))[: len(each)]
    SEALING_BUFFERS.give_back(sealing)


@pytest.mark.parametrize("version", ["1.3", "1.2"])
@pytest.mark.parametrize("size", [0, 1, 15, 100, 2047, 2049, 16384, 40000])
def test_shared_buffers_give_nobody_the_data_of_another(size: int, version: str, stale_buffers: None) -> None:
    joined = connect(server_config(versions=[version]), client_config(versions=[version]))
    for sender, receiver in ((joined.client, joined.server), (joined.server, joined.client)):
        sender.send(b"x" * size)
        wire = sender.data_to_send()
        assert STALE not in wire
        got = feed(receiver, [wire])
        assert got == b"x" * size, f"{len(got)} bytes came of {size}: {got[:50]!r}"


@pytest.mark.parametrize("version", ["1.3", "1.2"])
def test_nothing_is_given_of_a_record_that_does_not_open(version: str, stale_buffers: None) -> None:
    joined = connect(server_config(versions=[version]), client_config(versions=[version]))
    joined.client.send(b"true")
    joined.client.send(b"forged" * 100)
    wire = joined.client.data_to_send()
    got = feed(joined.server, [wire[:-1] + bytes([wire[-1] ^ 1])])
    assert got == b"true", "a record is given whole, after its tag was checked, or not at all"
    check_failed(joined.server, PeerMisbehaved, Misbehaviour.BAD_RECORD_MAC)


def check_failed(side: trustls.Connection, kind: type[TLSError], reason: object) -> None:
    """Assert how a connection has ended."""
    assert type(side.failure) is kind, f"it ended with {side.failure!r}"
    assert getattr(side.failure, "reason", None) is reason, f"it ended with {side.failure!r}"


@pytest.mark.parametrize("content", [b"", b"\1\x40\0", b"\1\0\3abc" + bytes(16)], ids=["empty", "long", "honest"])
def test_heartbeats_are_neither_offered_nor_answered(content: bytes) -> None:
    heartbeat_extension, heartbeat_record = 15, 24
    assert heartbeat_extension not in offered_extensions()
    joined = connect()
    say(joined.client, Record(heartbeat_record, content))
    check_refused(joined.run(), "server", PeerMisbehaved, Misbehaviour.UNEXPECTED_RECORD)


# -- Cryptography that is broken --------------------------------------------------------------------------------------

OBSOLETE: Final = {
    "FREAK: RSA_EXPORT_WITH_RC4_40_MD5": 0x0003,
    "FREAK: RSA_EXPORT_WITH_DES40_CBC_SHA": 0x0008,
    "Logjam: DHE_RSA_EXPORT_WITH_DES40_CBC_SHA": 0x0014,
    "Logjam, Raccoon: DHE_RSA_WITH_AES_128_GCM_SHA256": 0x009E,
    "RC4: ECDHE_RSA_WITH_RC4_128_SHA": 0xC011,
    "Sweet32: ECDHE_RSA_WITH_3DES_EDE_CBC_SHA": 0xC012,
    "Lucky 13, POODLE, BEAST: ECDHE_RSA_WITH_AES_128_CBC_SHA": 0xC013,
    "Lucky 13: ECDHE_ECDSA_WITH_AES_256_CBC_SHA384": 0xC024,
    "ROBOT, DROWN: RSA_WITH_AES_128_GCM_SHA256": 0x009C,
    "ROBOT: RSA_WITH_AES_128_CBC_SHA": 0x002F,
    "KCI, Raccoon: ECDH_ECDSA_WITH_AES_128_GCM_SHA256": 0xC02D,
    "nobody is authenticated: ECDH_anon_WITH_AES_128_CBC_SHA": 0xC018,
    "nothing is encrypted: ECDHE_RSA_WITH_NULL_SHA": 0xC010,
    "nothing is encrypted: TLS_SHA256_SHA256": 0xC0B4,
    "a tag of 8 bytes: TLS_AES_128_CCM_8_SHA256": 0x1305,
}


@pytest.mark.parametrize("what", OBSOLETE)
def test_obsolete_suite_is_refused_by_both_sides(what: str) -> None:
    suite = CipherSuite(OBSOLETE[what])
    for version in ("1.3", "1.2"):
        only = ScriptedClient(
            client_config(versions=[version]), on(ClientHello, lambda hello: (replace(hello, cipher_suites=(suite,)),))
        )
        joined = Pair(only, ServerConnection(server_config(versions=[version]))).run()
        check_refused(joined, "server", PeerIncompatible, Incompatibility.NO_COMMON_SUITE)
        chosen = ScriptedServer(
            server_config(versions=[version]), on(ServerHello, lambda answer: (replace(answer, cipher_suite=suite),))
        )
        joined = Pair(ClientConnection(client_config(versions=[version]), "localhost"), chosen).run()
        check_failed(joined.client, PeerMisbehaved, Misbehaviour.SUITE_NOT_OFFERED)


@pytest.mark.parametrize("group", [0x0100, 0x0101, 0x0104, 0x0001, 0x000E, 0x0013, 0xFF01], ids=hex)
def test_finite_fields_and_small_or_arbitrary_curves_are_no_groups_here(group: int) -> None:
    odd = NamedGroup(group)
    assert odd not in {each.group for each in GROUPS}

    def instead(exchange: ServerKeyExchange) -> tuple[ServerKeyExchange]:
        return (replace(exchange, group=odd),)

    joined = Pair(ClientConnection(client12(), "localhost"), ScriptedServer(server12(), on(ServerKeyExchange, instead)))
    joined.run()
    assert isinstance(joined.client.failure, PeerMisbehaved | trustls.errors.DecodeError), joined.client.failure
    only = ScriptedClient(client12(), on(ClientHello, lambda hello: (replace(hello, supported_groups=(odd,)),)))
    joined = Pair(only, ServerConnection(server12())).run()
    check_refused(joined, "server", PeerIncompatible, Incompatibility.NO_COMMON_GROUP)


WEAK_SCHEMES: Final = {
    "rsa_pkcs1_md5": 0x0101,
    "ecdsa_md5": 0x0103,
    "rsa_pkcs1_sha1": 0x0201,
    "dsa_sha1": 0x0202,
    "ecdsa_sha1": 0x0203,
    "rsa_pkcs1_sha224": 0x0301,
    "ecdsa_sha224": 0x0303,
}


@pytest.mark.parametrize("name", WEAK_SCHEMES)
def test_weak_hash_signs_nothing(name: str) -> None:
    """SLOTH: what a client signs in TLS 1.2 was only as strong as the weakest hash that it would sign with."""
    weak = SignatureScheme(WEAK_SCHEMES[name])
    for config in (client_config(), server_config()):
        assert weak not in config.provider.signature_schemes
        assert weak not in (config.provider.certificate_schemes or ())
    for key_type in ("ec-p256", "rsa-2048"):
        assert weak not in server_credential(key_type).signer.schemes
        public = server_identity(key_type).certificate.public_key()
        with pytest.raises((WrongKey, BadSignature)):
            verify(public, weak, b"signature", b"content", any_curve=True)

    def weakly(proof: CertificateVerify) -> tuple[CertificateVerify]:
        return (replace(proof, scheme=weak),)

    for version in ("1.3", "1.2"):
        client = ScriptedClient(
            client_config(credentials=[client_credential()], versions=[version]), on(CertificateVerify, weakly)
        )
        joined = Pair(client, ServerConnection(server_config(client_auth=required(), versions=[version]))).run()
        check_refused(joined, "server", PeerMisbehaved, Misbehaviour.SCHEME_NOT_OFFERED)


@pytest.mark.parametrize(
    "group",
    [each for each in GROUPS if each.group in {NamedGroup.X25519, NamedGroup.SECP256R1}],
    ids=lambda each: each.group.name,
)
def test_shared_secret_keeps_its_leading_zeros(group: KeyExchangeGroup) -> None:
    """Raccoon: where they are stripped, the time of the key derivation tells of them."""
    lengths: set[int] = set()
    for _ in range(3000):
        share = group.start()
        _public, secret = group.respond(share.public)
        lengths.add(len(secret))
        if not secret[0]:
            break
    else:
        pytest.skip("3000 secrets, and none begins with a zero")
    assert len(lengths) == 1, f"secrets of {group.group} are {sorted(lengths)} bytes long"


NO_SIGNATURES: Final = {
    "two zeros": encode_dss_signature(0, 0),
    "a zero and a one": encode_dss_signature(0, 1),
    "the order of P-256, twice": encode_dss_signature(
        *[0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551] * 2
    ),
    "64 zeros": bytes(64),
    "256 zeros": bytes(256),
    "nothing": b"",
}


@pytest.mark.parametrize("what", NO_SIGNATURES)
@pytest.mark.parametrize("key_type", KEY_TYPES)
def test_signature_of_zeros_proves_nothing(key_type: str, what: str) -> None:
    """Psychic signatures: r = s = 0 satisfies a verifier that does not look at their range."""
    scheme = server_credential(key_type).signer.schemes[0]
    with pytest.raises(BadSignature):
        verify(server_identity(key_type).certificate.public_key(), scheme, NO_SIGNATURES[what], b"anything")


# -- Certificates -----------------------------------------------------------------------------------------------------


@pytest.fixture
def explicit_curve(tmp_path: Path, require_peer: Callable[[str], str]) -> bytes:
    """A self-signed CA, as DER, whose key writes the parameters of P-256 out, in place of its name."""
    made = run(
        [
            *(require_peer("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-pkeyopt", "ec_param_enc:explicit", "-nodes", "-subj", "/CN=Spoofed CA", "-days", "30"),
            *("-keyout", tmp_path / "key.pem", "-out", tmp_path / "spoofed.pem"),
        ]
    )
    assert made.returncode == 0, made.stderr
    return x509.load_pem_x509_certificate((tmp_path / "spoofed.pem").read_bytes()).public_bytes(Encoding.DER)


def check_not_trusted(der: bytes) -> None:
    """Assert that nothing can be verified with the key of a certificate, not even where it is a root."""
    with pytest.raises(CertificateRejected) as caught:
        verify_path(
            [trustls.Certificate.from_der(der)],
            trustls.RootCertStore([der]),
            purpose=Purpose.SERVER_AUTH,
            now=time.time(),
        )
    assert caught.value.reason in {CertificateProblem.WEAK_KEY, CertificateProblem.MALFORMED}, caught.value


def test_curve_of_the_attackers_own_parameters_is_refused(explicit_curve: bytes) -> None:
    """CurveBall: a CA's public point under a generator of one's own choice belongs to a private key that one knows."""
    p256 = ec.derive_private_key(1, ec.SECP256R1()).public_key()
    generator = p256.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    other = ec.derive_private_key(2, ec.SECP256R1()).public_key()
    assert explicit_curve.count(generator) == 1, "the generator is not written out"
    spoofed = explicit_curve.replace(generator, other.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint))
    check_not_trusted(spoofed)


def test_curve_that_is_written_out_is_refused_even_if_it_is_a_known_one(explicit_curve: bytes) -> None:
    """RFC 5480 2.1.1: a curve is named, or the certificate is none."""
    check_not_trusted(explicit_curve)


def test_enormous_rsa_key_is_refused_before_it_is_used() -> None:
    """A modulus of some ten thousand bits makes each verification take seconds."""
    modulus = (1 << 16383) | (1 << 8000) | 1
    huge = rsa.RSAPublicNumbers(65537, modulus).public_key()
    issuer = client_root()
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "huge")]))
        .issuer_name(issuer.certificate.subject)
        .public_key(huge)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .sign(issuer.key, hashes.SHA256())
    )
    leaf = trustls.Certificate.from_x509(certificate)
    started = time.perf_counter()
    verifier = RootsClientVerifier(trustls.RootCertStore([_der(issuer.certificate)]))
    with pytest.raises(CertificateRejected) as caught:
        verifier.verify_client((leaf,), now=time.time())
    assert caught.value.reason is CertificateProblem.WEAK_KEY
    for scheme in (SignatureScheme.RSA_PSS_RSAE_SHA256, SignatureScheme.RSA_PKCS1_SHA256):
        with pytest.raises(WrongKey):
            verify(huge, scheme, bytes(2048), b"anything", any_curve=True)
    assert time.perf_counter() - started < 2, "the key was used"


def _der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)


# Some bytes that say that they decompress to eight megabytes (RFC 8879 4).
BOMB: Final = handshake(
    HandshakeType.COMPRESSED_CERTIFICATE, bytes([0, 1]) + (1 << 23).to_bytes(3, "big") + b"\0\0\x10" + bytes(16)
)


def test_compressed_certificates_are_neither_offered_nor_taken() -> None:
    compress_certificate = 27
    assert compress_certificate not in offered_extensions()
    server = ScriptedServer(server_config(), on(CertificateMessage, lambda message: (BOMB,)))
    joined = Pair(ClientConnection(client_config(), "localhost"), server).run()
    check_refused(joined, "client", PeerMisbehaved, Misbehaviour.UNEXPECTED_MESSAGE)
    config = client_config(credentials=[client_credential()])
    client = ScriptedClient(config, on(CertificateMessage, lambda message: (BOMB,)))
    joined = Pair(client, ServerConnection(server_config(client_auth=required()))).run()
    check_refused(joined, "server", PeerMisbehaved, Misbehaviour.UNEXPECTED_MESSAGE)


def offered_extensions() -> tuple[int, ...]:
    """The types of the extensions in a ClientHello as it is by default."""
    record = ClientConnection(client_config(), "localhost").data_to_send()
    return tuple(ClientHello.parse(record[9:]).extension_types())


# -- Before the handshake, and instead of it --------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["closes", "resets", "stays"])
def test_data_in_front_of_the_handshake_reaches_no_application(how: str) -> None:
    """Who sends a request in the clear and hangs up before the handshake begins is nobody that was let in."""
    with (
        trustls.Listener(("127.0.0.1", 0), server_config(client_auth=required()), handshake_timeout=1) as listener,
        socket.create_connection(listener.address, timeout=SECONDS) as sock,
    ):
        sock.sendall(b"DELETE / HTTP/1.1\r\n\r\n" * 10)
        if how == "resets":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if how != "stays":
            sock.close()
        with listener.accept() as tls:
            time.sleep(0.05)
            for _ in range(2):
                with pytest.raises((TLSError, OSError)):
                    tls.recv()
            assert tls.pending() == 0


@pytest.mark.parametrize("how", ["closes", "stays"])
def test_data_in_front_of_the_handshake_reaches_no_protocol_on_asyncio(how: str) -> None:
    async def main() -> None:
        let_in: list[object] = []
        failed = asyncio.Event()
        server = await trustls.aio.start_server(
            lambda reader, writer: let_in.append(reader),
            "127.0.0.1",
            0,
            server_config(client_auth=required()),
            handshake_failed=lambda error, connection: failed.set(),
        )
        async with server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
            writer.write(b"DELETE / HTTP/1.1\r\n\r\n" * 10)
            if how == "closes":
                writer.close()
            async with asyncio.timeout(SECONDS):
                await failed.wait()
                await reader.read()
                writer.close()
        assert not let_in, "somebody was let in without a handshake"

    asyncio.run(main())


def test_close_notify_in_front_of_the_handshake_ends_it_at_once() -> None:
    """Who asks for more of a connection that has said it sends no more may ask for ever."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            peer, _ = listening.accept()
            with peer:
                peer.settimeout(SECONDS)
                peer.recv(1 << 16)
                peer.sendall(plain_record(21, b"\1\0"))
                over.wait(SECONDS)

        over = threading.Event()
        thread = threading.Thread(target=answer)
        thread.start()
        try:
            started = time.monotonic()
            with pytest.raises(UnexpectedEOF):
                trustls.connect(listening.getsockname(), client_config(), server_name="localhost", timeout=SECONDS)
            assert time.monotonic() - started < SECONDS / 2, "it was waited for a peer that had said goodbye"
        finally:
            over.set()
            thread.join(SECONDS)


# -- Keys that are shared ---------------------------------------------------------------------------------------------


def test_keys_for_tickets_are_random_from_the_first_on() -> None:
    """A server whose first ticket key was all zeros let anybody read and make tickets until it rotated."""
    first, second = RotatingTicketKeys().current(0.0), RotatingTicketKeys().current(0.0)
    assert first.key != second.key, "two servers begin with one key"
    assert len(set(first.key)) > 8, f"{first.key.hex()} is not random"
    assert len(first.key) == KEY_LENGTH
    ticket = first.seal(b"session")
    assert TicketKey(first.name, bytes(KEY_LENGTH)).open(ticket) is None
    assert TicketKey(first.name, second.key).open(ticket) is None


def reflected(server_psks: Iterable[ExternalPsk], client_psks: Iterable[ExternalPsk]) -> Pair:
    """A device that is client and server under one key, and an attacker who leads its client to its own server."""
    return pair(
        server_config(external_psks=server_psks), client_config(external_psks=client_psks, credentials=[])
    ).run()


def test_key_that_names_the_roles_cannot_be_reflected() -> None:
    """Selfie: with one key for both directions, who is answered may be oneself. A context for each direction helps."""
    key, a_to_b, b_to_a = bytes(range(32)), b"client a, server b", b"client b, server a"
    # `a` connects to `b` under the one context, and lets `b` connect to it under the other.
    outgoing, incoming = import_psk(b"a and b", key, context=a_to_b), import_psk(b"a and b", key, context=b_to_a)
    honest = reflected(outgoing, outgoing)
    assert honest.connected, "a and b do not understand each other"
    assert honest.client.info.psk_identity is not None
    mirrored = reflected(incoming, outgoing)
    assert not (mirrored.connected and mirrored.client.info.psk_identity), "a was led to itself and did not notice"


def test_key_without_roles_can_be_reflected() -> None:
    """The limit that docs/security.md tells of: nothing in the protocol keeps one key's two ends apart."""
    psks = import_psk(b"a and b", bytes(range(32)))
    assert reflected(psks, psks).connected, "then docs/security.md and ExternalPsk may say so"
