"""The key schedule and the transcript against the traces of RFC 8448."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, x25519
from hypothesis import given
from hypothesis import strategies as st

from tests.protocol import rfc8448
from tests.support.examples import COMPARES_BYTES
from trustls.crypto.aead import TLS13_SUITES, SuiteAlgorithms
from trustls.crypto.hashing import SHA256, SHA384
from trustls.protocol.key_schedule import ExporterSecret, HandshakeSecrets, TrafficSecret, TrafficSecrets
from trustls.protocol.record import Opener, RecordWriter, Sealer
from trustls.protocol.transcript import Transcript
from trustls.wire.enums import CipherSuite
from trustls.wire.messages import ClientHello, HelloRetryRequest, ServerHello

pytestmark = COMPARES_BYTES

AES_128 = next(item for item in TLS13_SUITES if item.suite is CipherSuite.TLS_AES_128_GCM_SHA256)
every_suite = pytest.mark.parametrize("suite", TLS13_SUITES, ids=lambda suite: suite.suite.iana)


def transcript_of(*messages: bytes) -> bytes:
    transcript = Transcript()
    for message in messages[:2]:
        transcript.add(message)
    transcript.start(SHA256)
    for message in messages[2:]:
        transcript.add(message)
    return transcript.digest()


SERVER_FLIGHT = (rfc8448.ENCRYPTED_EXTENSIONS, rfc8448.CERTIFICATE, rfc8448.CERTIFICATE_VERIFY)
SERVER_FINISHED = b"\x14\0\0\x20" + rfc8448.SERVER_FINISHED
CLIENT_FINISHED = b"\x14\0\0\x20" + rfc8448.CLIENT_FINISHED
HELLOS = (rfc8448.CLIENT_HELLO, rfc8448.SERVER_HELLO)


@pytest.fixture
def handshake() -> HandshakeSecrets:
    return HandshakeSecrets.derive(AES_128, rfc8448.SHARED_SECRET, rfc8448.HELLOS_HASH)


@pytest.fixture
def traffic(handshake: HandshakeSecrets) -> TrafficSecrets:
    return handshake.traffic_secrets(rfc8448.SERVER_FINISHED_HASH)


def test_x25519_of_the_trace_gives_its_shared_secret() -> None:
    private = x25519.X25519PrivateKey.from_private_bytes(rfc8448.CLIENT_PRIVATE)
    share = ServerHello.parse(rfc8448.SERVER_HELLO[4:]).key_share
    assert share is not None
    assert private.exchange(x25519.X25519PublicKey.from_public_bytes(share.key_exchange)) == rfc8448.SHARED_SECRET


def test_messages_of_the_traces_are_read_and_say_what_they_say() -> None:
    hello = ClientHello.parse(rfc8448.CLIENT_HELLO[4:])
    assert hello.server_name == "server"
    assert hello.record_size_limit == 16385
    assert hello.session_ticket == b""
    second = ClientHello.parse(rfc8448.RETRY_SECOND_HELLO[4:])
    assert second.padding == 0xAF
    assert second.cookie == HelloRetryRequest.parse(rfc8448.RETRY_REQUEST[4:]).cookie


def test_transcript_hashes_every_message_with_its_header() -> None:
    assert transcript_of(*HELLOS) == rfc8448.HELLOS_HASH
    assert transcript_of(*HELLOS, *SERVER_FLIGHT, SERVER_FINISHED) == rfc8448.SERVER_FINISHED_HASH
    assert transcript_of(*HELLOS, *SERVER_FLIGHT, SERVER_FINISHED, CLIENT_FINISHED) == rfc8448.CLIENT_FINISHED_HASH


def test_handshake_secrets_are_those_of_the_trace(handshake: HandshakeSecrets) -> None:
    assert handshake.client.secret == rfc8448.CLIENT_HANDSHAKE
    assert handshake.server.secret == rfc8448.SERVER_HANDSHAKE
    assert handshake.client.key_and_iv() == rfc8448.CLIENT_HANDSHAKE_KEY
    assert handshake.server.key_and_iv() == rfc8448.SERVER_HANDSHAKE_KEY


def test_traffic_secrets_are_those_of_the_trace(traffic: TrafficSecrets) -> None:
    assert traffic.client.secret == rfc8448.CLIENT_APPLICATION
    assert traffic.server.secret == rfc8448.SERVER_APPLICATION
    assert traffic.client.key_and_iv() == rfc8448.CLIENT_APPLICATION_KEY
    assert traffic.server.key_and_iv() == rfc8448.SERVER_APPLICATION_KEY
    assert traffic.exporter.secret == rfc8448.EXPORTER


def test_finished_is_that_of_the_trace_on_both_sides(handshake: HandshakeSecrets) -> None:
    before = transcript_of(*HELLOS, *SERVER_FLIGHT)
    assert handshake.server.verify_data(before) == rfc8448.SERVER_FINISHED
    assert handshake.client.verify_data(rfc8448.SERVER_FINISHED_HASH) == rfc8448.CLIENT_FINISHED
    assert handshake.server.finished_is_valid(rfc8448.SERVER_FINISHED, before)


def test_finished_of_the_other_side_transcript_or_length_is_not_valid(handshake: HandshakeSecrets) -> None:
    before = transcript_of(*HELLOS, *SERVER_FLIGHT)
    good = rfc8448.SERVER_FINISHED
    assert not handshake.client.finished_is_valid(good, before)
    assert not handshake.server.finished_is_valid(good, rfc8448.HELLOS_HASH)
    for wrong in (b"", good[:-1], good + b"\0", bytes(32), bytes([good[0] ^ 1]) + good[1:]):
        assert not handshake.server.finished_is_valid(wrong, before), wrong.hex()


def test_resumption_secret_is_that_of_the_trace(traffic: TrafficSecrets) -> None:
    secret = traffic.resumption_secret(rfc8448.CLIENT_FINISHED_HASH)
    assert secret.secret == rfc8448.RESUMPTION
    assert secret.suite is AES_128
    assert secret.psk(b"\0\0") == rfc8448.RESUMPTION_PSK
    assert secret.psk(b"\0\1") != rfc8448.RESUMPTION_PSK, "each ticket has a key of its own"


def test_transcript_after_a_retry_holds_the_hash_of_the_first_hello() -> None:
    transcript = Transcript()
    assert transcript.is_empty
    transcript.add(rfc8448.RETRY_FIRST_HELLO)
    assert not transcript.is_empty
    assert transcript.hash_of_first(SHA256) == SHA256.hash(rfc8448.RETRY_FIRST_HELLO)
    transcript.add(rfc8448.RETRY_REQUEST)
    transcript.start_after_retry(SHA256)
    transcript.add(rfc8448.RETRY_SECOND_HELLO)
    transcript.add(rfc8448.RETRY_SERVER_HELLO)
    assert transcript.digest() == rfc8448.RETRY_HELLOS_HASH


def test_secrets_after_a_retry_are_those_of_the_trace() -> None:
    private = ec.derive_private_key(rfc8448.RETRY_CLIENT_PRIVATE, ec.SECP256R1())
    share = ServerHello.parse(rfc8448.RETRY_SERVER_HELLO[4:]).key_share
    assert share is not None
    public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), share.key_exchange)
    secrets = HandshakeSecrets.derive(AES_128, private.exchange(ec.ECDH(), public), rfc8448.RETRY_HELLOS_HASH)
    assert secrets.client.secret == rfc8448.RETRY_CLIENT_HANDSHAKE
    assert secrets.server.secret == rfc8448.RETRY_SERVER_HANDSHAKE
    assert secrets.server.key_and_iv() == rfc8448.RETRY_SERVER_HANDSHAKE_KEY


def test_transcript_has_no_digest_before_it_has_a_hash_function() -> None:
    with pytest.raises(RuntimeError, match="no hash function"):
        Transcript().digest()


def test_digest_does_not_end_the_transcript() -> None:
    transcript = Transcript()
    transcript.add(b"a")
    transcript.start(SHA256)
    assert transcript.digest() == transcript.digest() == SHA256.hash(b"a")
    transcript.add(b"b")
    transcript.start(SHA384)  # Starting again changes nothing.
    assert transcript.digest() == SHA256.hash(b"ab")


def test_records_of_the_trace_are_sealed_and_opened(handshake: HandshakeSecrets, traffic: TrafficSecrets) -> None:
    for secret, kind, content, record in (
        (handshake.client, 22, CLIENT_FINISHED, rfc8448.CLIENT_FINISHED_RECORD),
        (traffic.client, 23, rfc8448.DATA, rfc8448.CLIENT_DATA_RECORD),
    ):
        writer = RecordWriter()
        writer.use(Sealer(secret))
        assert writer.sealer is not None
        assert writer.sealer.seal(kind, content) == record
    # The server's data came second: its NewSessionTicket was the first record under these keys.
    opener = Opener(traffic.server)
    opener.sequence = 1
    out = bytearray(51)
    record = rfc8448.SERVER_DATA_RECORD
    assert opener.open(record[:5], memoryview(record)[5:], memoryview(out), 0) == (23, 50)
    assert bytes(out) == rfc8448.DATA + b"\x17"


@every_suite
def test_key_update_gives_new_secrets_one_way_only(suite: SuiteAlgorithms) -> None:
    """RFC 9846 7.2, with the label spelt out here."""
    first = TrafficSecret(suite, bytes(range(suite.hash.length)))
    second = first.next()
    assert second.secret == suite.hash.expand_label(
        suite.hash.mac(first.secret), b"traffic upd", b"", suite.hash.length
    )
    assert second.suite is suite
    assert len({first.secret, second.secret, second.next().secret}) == 3


@every_suite
def test_key_has_the_length_that_the_suite_wants(suite: SuiteAlgorithms) -> None:
    key, iv = TrafficSecret(suite, bytes(suite.hash.length)).key_and_iv()
    assert (len(key), len(iv)) == (suite.key_length, 12)
    assert key == suite.hash.expand_label(suite.hash.mac(bytes(suite.hash.length)), b"key", b"", suite.key_length)


@given(label=st.binary(max_size=40), context=st.binary(max_size=300), length=st.integers(1, 300))
def test_exporter_is_what_section_7_5_says(label: bytes, context: bytes, length: int) -> None:
    secret = ExporterSecret(SHA256, rfc8448.EXPORTER)
    derived = SHA256.expand_label(SHA256.mac(rfc8448.EXPORTER), label, SHA256.hash(b""), 32)
    assert secret.export(label, context, length) == SHA256.expand_label(
        SHA256.mac(derived), b"exporter", SHA256.hash(context), length
    )


def test_no_secret_is_printed(handshake: HandshakeSecrets, traffic: TrafficSecrets) -> None:
    resumption = traffic.resumption_secret(rfc8448.CLIENT_FINISHED_HASH)
    printed = f"{handshake!r} {traffic!r} {handshake.client!r} {traffic.exporter!r} {resumption!r}"
    for secret in (
        handshake.client.secret,
        handshake.server.secret,
        traffic.client.secret,
        traffic.exporter.secret,
        resumption.secret,
    ):
        assert repr(secret) not in printed
        assert secret.hex() not in printed


def test_transcript_hash_follows_each_message_and_stays_with_its_copy() -> None:
    transcript = Transcript()
    transcript.add(b"one")
    transcript.start(SHA256)
    assert transcript.digest() == transcript.digest() == SHA256.hash(b"one")
    copy = transcript.copy()
    transcript.add(b"two")
    assert transcript.digest() == SHA256.hash(b"onetwo")
    assert copy.digest() == SHA256.hash(b"one")
    copy.add(b"three")
    assert copy.digest() == SHA256.hash(b"onethree")
    assert transcript.digest() == SHA256.hash(b"onetwo")
