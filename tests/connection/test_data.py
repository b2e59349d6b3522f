"""Application data: what is sent arrives, whatever its size, shape, padding and pieces."""

from __future__ import annotations

import array
import functools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.examples import COMPARES_BYTES
from tests.support.identities import client_config, server_config
from tests.support.memory import Pair, connect, feed, records
from trustls.protocol.record import MAX_PLAINTEXT

pytestmark = COMPARES_BYTES

MESSAGES = [b"", b"a", b"b" * 2048, b"c" * 2049, b"d" * 16384, b"e" * 16385, b"f" * 65449, bytes(300_000)]


@pytest.mark.parametrize("suite", ["TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256"])
def test_data_of_many_sizes_goes_both_ways(suite: str) -> None:
    joined = connect(server_config(suites=[suite]))
    for message in MESSAGES:
        joined.client.send(message)
        joined.server.send(message[::-1])
    joined.run()
    assert joined.server_got == b"".join(MESSAGES)
    assert joined.client_got == b"".join(message[::-1] for message in MESSAGES)


def test_no_record_is_larger_than_the_protocol_allows() -> None:
    joined = connect()
    joined.client.send(bytes(200_000))
    assert max(record.length for record in records(joined.client.data_to_send())) == MAX_PLAINTEXT + 17


@pytest.mark.parametrize(
    "data",
    [bytearray(b"abcdef"), memoryview(b"abcdef"), memoryview(b"xxabcdefxx")[2:8], memoryview(b"fedcba")[::-1]],
    ids=["bytearray", "memoryview", "part of one", "backwards"],
)
def test_data_may_be_any_kind_of_bytes(data: bytearray | memoryview) -> None:
    joined = connect()
    joined.client.send(data)
    sent = joined.client.data_to_send()
    assert joined.server.receive(bytearray(sent)) == b"abcdef"
    joined.client.send(data)
    assert joined.server.receive(memoryview(joined.client.data_to_send())) == b"abcdef"


def test_items_of_more_than_a_byte_are_sent_as_their_bytes() -> None:
    joined = connect()
    numbers = array.array("I", range(5000))
    joined.client.send(memoryview(numbers))
    joined.run()
    assert joined.server_got == numbers.tobytes()


def test_data_is_taken_when_it_is_sent() -> None:
    joined = connect()
    buffer = bytearray(b"x" * 5000)
    joined.client.send(buffer)
    buffer[:] = b"y" * 5000
    joined.run()
    assert joined.server_got == b"x" * 5000, "what was sent changed with the caller's buffer"


@pytest.mark.parametrize("pad_to", [1, 64, 1000, 16384])
def test_padding_hides_the_length_of_data(pad_to: int) -> None:
    joined = connect(server_config(pad_records_to=pad_to), client_config(pad_records_to=pad_to))
    joined.check_connected()
    lengths = set()
    for size in range(1, pad_to + 1, max(1, pad_to // 7)):
        joined.client.send(b"x" * size)
        (record,) = records(sent := joined.client.data_to_send())
        lengths.add(record.length)
        assert joined.server.receive(sent) == b"x" * size
    assert lengths == {pad_to + 17}, "the length of a record tells the length of its data"


def test_large_data_is_padded_too() -> None:
    joined = connect(client=client_config(pad_records_to=1000))
    joined.client.send(bytes(50_000))
    sent = joined.client.data_to_send()
    assert {record.length for record in records(sent)} == {16384 + 17, 1000 + 17}
    assert feed(joined.server, [sent]) == bytes(50_000)


@given(
    sizes=st.lists(st.integers(0, 30_000), min_size=1, max_size=6),
    limits=st.lists(st.integers(1, 20_000), min_size=1, max_size=6),
)
def test_sending_in_limited_pieces_loses_nothing(sizes: list[int], limits: list[int]) -> None:
    joined = connect(client=client_config(groups=["x25519"]))
    sent = [bytes([index + 1]) * size for index, size in enumerate(sizes)]
    for message in sent:
        joined.client.send(message)
    joined.client.close()
    got = bytearray()
    turn = 0
    while piece := joined.client.data_to_send(limits[turn % len(limits)]):
        assert len(piece) <= limits[turn % len(limits)]
        got += joined.server.receive(piece)
        turn += 1
    assert bytes(got) == b"".join(sent)
    assert joined.server.peer_closed


@pytest.mark.parametrize("limit", [0, 1])
def test_limit_of_nothing_gives_nothing_and_loses_nothing(limit: int) -> None:
    joined = connect()
    assert joined.client.data_to_send(limit) == b""
    joined.client.send(b"data")
    first = joined.client.data_to_send(limit)
    assert len(first) == limit
    assert joined.server.receive(first + joined.client.data_to_send()) == b"data"


# -- Exporters --------------------------------------------------------------------------------------------------------


@given(label=st.text(max_size=60), context=st.binary(max_size=70), length=st.integers(1, 300))
def test_exporters_agree_and_depend_on_everything(label: str, context: bytes, length: int) -> None:
    joined = some_pair()
    one = joined.client.export(label, length, context=context)
    assert len(one) == length
    assert one == joined.server.export(label.encode(), length, context=context)
    if length >= 16:
        assert one != joined.client.export(label + "x", length, context=context)
        assert one != joined.client.export(label, length, context=context + b"x")
        assert one != another_pair().client.export(label, length, context=context), "another connection has the same"


@functools.cache
def some_pair() -> Pair:
    return connect()


@functools.cache
def another_pair() -> Pair:
    return connect()


@pytest.mark.parametrize("length", [0, -1, 255 * 48 + 1, 1 << 20])
def test_exporter_of_a_length_that_cannot_be_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match="bytes"):
        some_pair().client.export("EXPORTER-test", length)
    assert len(some_pair().client.export("EXPORTER-test", 255 * 48)) == 255 * 48


def test_exporter_label_that_does_not_fit_is_refused() -> None:
    assert len(some_pair().client.export("x" * 249, 32)) == 32
    with pytest.raises(ValueError, match="label of at most 249 bytes"):
        some_pair().client.export("x" * 250, 32)
