"""How many bytes a connection wants to have read for it: what a record lacks, and what there is room for."""

from __future__ import annotations

import pytest

from tests.support.memory import connect
from trustls.protocol.record import HEADER_LENGTH, MAX_PLAINTEXT

# What a record of TLS 1.3 has beside its data: header, content type, tag.
OVERHEAD = HEADER_LENGTH + 1 + 16


def test_a_header_is_wanted_first_and_then_the_rest_of_its_record() -> None:
    joined = connect()
    joined.client.send(b"x" * 300)
    record = joined.client.data_to_send()
    for at in range(len(record)):
        missing = HEADER_LENGTH - at if at < HEADER_LENGTH else len(record) - at
        assert joined.server.bytes_wanted() == missing, f"with {at} of {len(record)} bytes there"
        given = joined.server.receive(record[at : at + 1])
        assert given == (b"x" * 300 if at == len(record) - 1 else b""), f"after byte {at}"
    assert joined.server.bytes_wanted() == HEADER_LENGTH, "the next record begins with its header"


@pytest.mark.parametrize("already", [0, 3, HEADER_LENGTH, 100])
@pytest.mark.parametrize("room", [1, 1000, MAX_PLAINTEXT, 65536])
def test_no_more_is_given_than_there_is_room_for(room: int, already: int) -> None:
    """Records that are smaller than the room, or as large: many of them wait, and as much is read as is wanted."""
    joined = connect()
    size = min(room, 500)
    for _ in range(room // size + 3):
        joined.client.send(b"y" * size)
    waiting = joined.client.data_to_send()
    already = min(already, size + OVERHEAD - 1)
    assert joined.server.receive(waiting[:already]) == b""
    given = joined.server.receive(waiting[already : already + joined.server.bytes_wanted(room)])
    assert 0 < len(given) <= room, "either nothing comes of it, or more than there is room for"


@pytest.mark.parametrize("room", [1, 100])
def test_a_record_larger_than_the_room_is_wanted_whole_once_its_header_is_known(room: int) -> None:
    joined = connect()
    joined.client.send(b"z" * MAX_PLAINTEXT)
    record = joined.client.data_to_send()
    first = joined.server.bytes_wanted(room)
    assert first == room + OVERHEAD, "nothing is known of the record yet"
    assert joined.server.receive(record[:first]) == b""
    assert joined.server.bytes_wanted(room) == len(record) - first
    assert joined.server.receive(record[first:]) == b"z" * MAX_PLAINTEXT


def test_at_least_a_byte_is_wanted_always() -> None:
    """A read of 0 bytes would look like the end of the stream."""
    joined = connect()
    joined.client.send(b"")
    joined.client.send(b"a")
    waiting = joined.client.data_to_send()
    for at in range(len(waiting)):
        for room in (0, 1, 16):
            assert joined.server.bytes_wanted(room) >= 1, f"with {at} bytes there and room for {room}"
        joined.server.receive(waiting[at : at + 1])
