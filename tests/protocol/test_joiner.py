from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.examples import COMPARES_BYTES
from trustls.errors import AlertDescription, DecodeError, Misbehaviour
from trustls.protocol.joiner import HandshakeJoiner
from trustls.wire.enums import HandshakeType

pytestmark = COMPARES_BYTES


def message(kind: int, body: bytes) -> bytes:
    return bytes([kind]) + len(body).to_bytes(3, "big") + body


def taken(joiner: HandshakeJoiner) -> list[tuple[int, bytes]]:
    found = []
    while (one := joiner.next_message()) is not None:
        found.append(one)
    return found


@given(
    bodies=st.lists(st.binary(max_size=60), max_size=8),
    cuts=st.lists(st.integers(1, 70), min_size=1, max_size=20),
)
def test_messages_come_out_whole_however_they_are_cut(bodies: list[bytes], cuts: list[int]) -> None:
    joiner = HandshakeJoiner()
    stream = b"".join(message(HandshakeType.CERTIFICATE, body) for body in bodies)
    found = []
    index = 0
    while stream:
        cut = cuts[index % len(cuts)]
        index += 1
        joiner.add(stream[:cut])
        stream = stream[cut:]
        found += taken(joiner)
    assert found == [(11, message(11, body)) for body in bodies]
    assert not joiner.waiting


def test_joiner_is_not_empty_while_a_message_is_not_whole() -> None:
    joiner = HandshakeJoiner()
    assert not joiner.waiting
    joiner.add(message(20, b"verify data") + b"\x18")
    assert joiner.waiting
    assert joiner.next_message() == (20, message(20, b"verify data"))
    assert joiner.waiting, "the first byte of another message waits"
    joiner.add(b"\0\0\1\0")
    assert joiner.next_message() == (24, b"\x18\0\0\1\0")
    assert not joiner.waiting


# What RFC 9846 gives each message, and above that a wide margin.
LIMITS = {
    HandshakeType.CLIENT_HELLO: 1 << 17,
    HandshakeType.SERVER_HELLO: 1 << 16,
    HandshakeType.NEW_SESSION_TICKET: (1 << 16) + 512,
    HandshakeType.END_OF_EARLY_DATA: 0,
    HandshakeType.ENCRYPTED_EXTENSIONS: 1 << 16,
    HandshakeType.CERTIFICATE: 1 << 17,
    HandshakeType.CERTIFICATE_REQUEST: 1 << 17,
    HandshakeType.CERTIFICATE_VERIFY: 1 << 16,
    HandshakeType.FINISHED: 64,
    HandshakeType.KEY_UPDATE: 1,
    HandshakeType.COMPRESSED_CERTIFICATE: 1 << 17,
    HandshakeType(99): 1 << 16,
}


@pytest.mark.parametrize(("kind", "limit"), LIMITS.items(), ids=repr)
def test_message_over_its_limit_is_refused_by_its_header(kind: HandshakeType, limit: int) -> None:
    joiner = HandshakeJoiner()
    joiner.add(bytes([kind]) + limit.to_bytes(3, "big"))
    if limit:
        assert joiner.next_message() is None, "a message of the largest size is waited for"
    joiner = HandshakeJoiner()
    joiner.add(bytes([kind]) + (limit + 1).to_bytes(3, "big"))
    with pytest.raises(DecodeError) as refused:
        joiner.next_message()
    assert refused.value.reason is Misbehaviour.MESSAGE_TOO_LARGE
    assert refused.value.alert is AlertDescription.DECODE_ERROR
    assert str(limit) in str(refused.value), "the limit is not said"


def test_largest_message_comes_out() -> None:
    joiner = HandshakeJoiner()
    whole = message(HandshakeType.CERTIFICATE, bytes(1 << 17))
    for start in range(0, len(whole), 1 << 14):
        assert joiner.next_message() is None
        joiner.add(whole[start : start + (1 << 14)])
    assert joiner.next_message() == (11, whole)
