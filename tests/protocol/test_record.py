from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.examples import COMPARES_BYTES
from tests.support.memory import record_by_record
from trustls.crypto.aead import TAG_LENGTH, TLS12_SUITES, TLS13_SUITES, SuiteAlgorithms
from trustls.errors import AlertDescription, Misbehaviour, PeerMisbehaved
from trustls.protocol.buffers import BUFFER_SIZE, Pool
from trustls.protocol.key_schedule import TrafficSecret
from trustls.protocol.key_schedule12 import DirectionKeys12
from trustls.protocol.record import MAX_CIPHERTEXT, MAX_PLAINTEXT, Opener, RecordWriter, Sealer, Sealer12

pytestmark = COMPARES_BYTES

every_suite = pytest.mark.parametrize("suite", TLS13_SUITES, ids=lambda suite: suite.suite.iana)

# Sizes around every border of the record layer: the small path, one record, a piece of four records.
BORDERS = [0, 1, 2047, 2048, 2049, 16383, 16384, 16385, 65447, 65448, 65449, 65536, 131072, 200_000]


def writer_under(secret: TrafficSecret, pad_to: int = 0) -> RecordWriter:
    writer = RecordWriter(pad_to)
    writer.use(Sealer(secret))
    return writer


def write(writer: RecordWriter, data: bytes) -> None:
    assert writer.sealer is not None
    writer.write_data(writer.sealer, memoryview(data))


def opened(secret: TrafficSecret, stream: bytes) -> list[tuple[int, bytes]]:
    """Content type and content of every record, padding taken off."""
    opener = Opener(secret)
    found = []
    for record in record_by_record(stream):
        out = bytearray(len(record) - 5 - TAG_LENGTH)
        kind, end = opener.open(record[:5], memoryview(record)[5:], memoryview(out), 0)
        found.append((kind, bytes(out[:end])))
    return found


@every_suite
@pytest.mark.parametrize("size", BORDERS)
def test_data_of_any_size_is_sealed_and_opened(suite: SuiteAlgorithms, size: int) -> None:
    secret = TrafficSecret(suite, bytes(suite.hash.length))
    data = bytes(index % 251 for index in range(size))
    writer = writer_under(secret)
    write(writer, data)
    waiting = writer.pending
    stream = writer.take(None)
    assert waiting == len(stream)
    contents = opened(secret, stream)
    assert b"".join(content for _, content in contents) == data
    assert all(kind == 23 and len(content) <= MAX_PLAINTEXT for kind, content in contents)
    assert all(len(record) <= 5 + MAX_PLAINTEXT + 1 + TAG_LENGTH for record in record_by_record(stream))
    assert all(record[:3] == b"\x17\3\3" for record in record_by_record(stream))


def secret_of(number: int = 0) -> TrafficSecret:
    return TrafficSecret(TLS13_SUITES[0], bytes([number]) * TLS13_SUITES[0].hash.length)


def test_data_takes_no_more_records_than_it_needs() -> None:
    """`records_needed` decides when a key must be changed: what it leaves out is sealed over the key's limit."""
    for size in BORDERS[1:]:
        writer = writer_under(secret_of())
        write(writer, bytes(size))
        assert writer.sealer is not None
        used = len(list(record_by_record(writer.take(None))))
        assert used == writer.sealer.sequence
        assert used == writer.records_needed(size), f"{size} bytes took {used} records"


@pytest.mark.parametrize("fragment_size", [64, 65, 1000, 16383])
@pytest.mark.parametrize("tls12", [False, True], ids=["1.3", "1.2"])
def test_no_record_holds_more_than_the_fragment_size(fragment_size: int, tls12: bool) -> None:
    """The handshake's and the data's; and what fits into a buffer at a time is not too much for it."""
    suite = TLS12_SUITES[0]
    keys = DirectionKeys12(suite, bytes(suite.key_length), bytes(suite.fixed_iv_length))
    sealer = Sealer12(keys) if tls12 else Sealer(secret_of())
    writer = RecordWriter(fragment_size=fragment_size)
    writer.use(sealer)
    for size in (1, fragment_size - 1, fragment_size, fragment_size + 1, 70_000, 300_000):
        before = sealer.sequence
        write(writer, bytes(size))
        lengths = [len(record) - sealer.overhead for record in record_by_record(writer.take(None))]
        assert sum(lengths) == size
        assert max(lengths) <= fragment_size
        assert len(lengths) == sealer.sequence - before == writer.records_needed(size)
    writer.queue_handshake(bytes(3 * fragment_size + 1))
    lengths = [len(record) - sealer.overhead for record in record_by_record(writer.take(None))]
    assert lengths == [*[fragment_size] * 3, 1]


@every_suite
@pytest.mark.parametrize("size", [1, 2, 64, 4096, 8000, MAX_PLAINTEXT])
def test_a_record_by_itself_opens_as_in_a_run(suite: SuiteAlgorithms, size: int) -> None:
    secret = TrafficSecret(suite, bytes(suite.hash.length))
    writer, opener = writer_under(secret), Opener(secret)
    for number in range(3):
        data = bytes([number]) * size
        write(writer, data)
        assert opener.open_single(memoryview(writer.take(None))) == data
    assert opener.sequence == 3


def not_single() -> dict[str, bytes]:
    """What `open_single` leaves to the others."""
    seal = Sealer(secret_of()).seal
    record = seal(23, b"data")
    changed = bytearray(record)
    changed[-1] ^= 1
    return {
        "nothing": b"",
        "a header": record[:5],
        "cut off": record[:-1],
        "more behind it": record + b"\x17",
        "another behind it": record + record,
        "changed": bytes(changed),
        "an alert": Sealer(secret_of()).seal(21, b"\1\0"),
        "a message": Sealer(secret_of()).seal(22, b"\x18\0\0\1\0"),
        "padded": Sealer(secret_of()).seal(23, b"data", 3),
        "empty": Sealer(secret_of()).seal(23, b""),
        "only padding": Sealer(secret_of()).seal(0, b"", 40),
        "in the clear": b"\x15\3\3\0\2\2\x28",
        "no tag": b"\x17\3\3\0\x0f" + bytes(15),
    }


@pytest.mark.parametrize("what", not_single())
def test_what_is_no_single_record_of_data_changes_nothing(what: str) -> None:
    opener = Opener(secret_of())
    assert opener.open_single(memoryview(not_single()[what])) is None
    assert opener.sequence == 0
    good = Sealer(secret_of()).seal(23, b"data")
    assert opener.open_single(memoryview(good)) == b"data", "it is still the first record under this key"


@pytest.mark.parametrize("pad_to", [1, 2, 100, 512, 4096, 16384])
@given(size=st.integers(0, 40_000))
def test_padding_takes_each_record_to_a_multiple(pad_to: int, size: int) -> None:
    secret = secret_of()
    writer = writer_under(secret, pad_to)
    write(writer, bytes(size))
    stream = writer.take(None)
    assert sum(len(content) for _, content in opened(secret, stream)) == size
    for record in record_by_record(stream):
        inner = len(record) - 5 - TAG_LENGTH - 1
        assert inner % pad_to == 0 or inner == MAX_PLAINTEXT, f"{inner} bytes are no multiple of {pad_to}"
        assert inner <= MAX_PLAINTEXT, "padding may not take a record over its limit"


def test_handshake_messages_share_a_record_and_are_cut_at_its_limit() -> None:
    writer = RecordWriter()
    writer.queue_handshake(b"a" * 100)
    writer.queue_handshake(b"b" * MAX_PLAINTEXT)
    sizes = [int.from_bytes(record[3:5], "big") for record in record_by_record(writer.take(None))]
    assert sizes == [MAX_PLAINTEXT, 100]


def test_change_of_keys_ends_a_record() -> None:
    writer = RecordWriter()
    writer.queue_handshake(b"in the clear")
    writer.use(Sealer(secret_of(1)))
    writer.queue_handshake(b"under one")
    writer.use(Sealer(secret_of(2)))
    writer.queue_handshake(b"under two")
    writer.queue_alert(1, AlertDescription.CLOSE_NOTIFY)
    clear, one, *two = record_by_record(writer.take(None))
    assert clear == b"\x16\3\3\0\x0cin the clear"
    assert opened(secret_of(1), one) == [(22, b"under one")]
    assert opened(secret_of(2), b"".join(two)) == [(22, b"under two"), (21, b"\1\0")]


def test_change_cipher_spec_is_never_encrypted() -> None:
    writer = writer_under(secret_of())
    writer.queue_change_cipher_spec()
    assert writer.take(None) == b"\x14\3\3\0\1\1"


@given(
    pieces=st.lists(st.integers(0, 40_000), max_size=6),
    limits=st.lists(st.integers(0, 30_000), min_size=1, max_size=8),
)
def test_taking_with_limits_loses_no_byte(pieces: list[int], limits: list[int]) -> None:
    whole, limited = writer_under(secret_of()), writer_under(secret_of())
    for size in pieces:
        for writer in (whole, limited):
            write(writer, bytes(size))
            writer.queue_handshake(b"between")
    expected = whole.take(None)
    got = bytearray()
    turn = 0
    while len(got) < len(expected):
        limit = limits[turn % len(limits)] or (turn % 2) * 1000
        piece = limited.take(limit)
        assert len(piece) <= limit
        assert piece or not limit, "there is more, and a limit above nothing, and nothing comes"
        got += piece
        assert limited.pending == len(expected) - len(got)
        turn += 1
    assert bytes(got) == expected, "bytes were lost, doubled or came in another order"
    assert limited.take(None) == limited.take(5) == b""


@every_suite
def test_record_that_was_changed_anywhere_does_not_open(suite: SuiteAlgorithms) -> None:
    secret = TrafficSecret(suite, bytes(suite.hash.length))
    writer = writer_under(secret)
    write(writer, b"data")
    record = writer.take(None)
    for index in range(len(record)):
        changed = bytearray(record)
        changed[index] ^= 1
        with pytest.raises(PeerMisbehaved) as refused:
            Opener(secret).open(bytes(changed[:5]), memoryview(changed)[5:], memoryview(bytearray(5)), 0)
        assert refused.value.reason is Misbehaviour.BAD_RECORD_MAC, f"byte {index}"


def test_records_open_in_their_order_only() -> None:
    writer = writer_under(secret_of())
    write(writer, b"first")
    first = writer.take(None)
    write(writer, b"second")
    second = writer.take(None)
    assert opened(secret_of(), first + second) == [(23, b"first"), (23, b"second")]
    for wrong in (second, first + first):
        with pytest.raises(PeerMisbehaved):
            opened(secret_of(), wrong)


@given(content=st.binary(max_size=40), kind=st.integers(1, 255), padding=st.integers(0, 40))
def test_inner_plaintext_ends_at_the_last_byte_that_is_not_zero(content: bytes, kind: int, padding: int) -> None:
    sealed = Sealer(secret_of()).seal(kind, content, padding)
    out = bytearray(200)
    assert Opener(secret_of()).open(sealed[:5], memoryview(sealed)[5:], memoryview(out), 6) == (kind, 6 + len(content))
    assert out[6 : 6 + len(content)] == content


@pytest.mark.parametrize("size", [0, 1, 100])
def test_record_of_padding_alone_is_refused(size: int) -> None:
    sealed = Sealer(secret_of()).seal(0, b"", size)
    with pytest.raises(PeerMisbehaved) as refused:
        Opener(secret_of()).open(sealed[:5], memoryview(sealed)[5:], memoryview(bytearray(200)), 7)
    assert refused.value.reason is Misbehaviour.NO_INNER_CONTENT_TYPE
    assert refused.value.alert is AlertDescription.UNEXPECTED_MESSAGE


def test_limits_are_those_of_the_rfc() -> None:
    assert MAX_PLAINTEXT == 2**14
    assert MAX_CIPHERTEXT == 2**14 + 256
    for suite in TLS13_SUITES:
        assert suite.record_limit <= 2**62
        if "GCM" in suite.suite.iana:
            assert suite.record_limit <= 2**24.5, "RFC 9846 5.5: 2^24.5 records under one AES-GCM key"


def test_buffers_are_lent_and_kept_in_small_number() -> None:
    pool = Pool(lambda: bytearray(BUFFER_SIZE))
    lent = [pool.take() for _ in range(20)]
    assert {len(buffer) for buffer in lent} == {BUFFER_SIZE}
    assert len({id(buffer) for buffer in lent}) == 20, "one buffer was lent twice"
    for buffer in lent:
        pool.give_back(buffer)
    kept = {id(pool.take()) for _ in range(20)} & {id(buffer) for buffer in lent}
    assert 0 < len(kept) < 20
