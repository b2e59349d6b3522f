from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.examples import COMPARES_BYTES
from trustls.errors import AlertDescription, DecodeError, Misbehaviour
from trustls.wire.codec import (
    EMPTY,
    Codec,
    Reader,
    enum_list,
    one_enum,
    opaque_list,
    remembering,
    uint,
    vector8,
    vector16,
    vector24,
)
from trustls.wire.enums import CertificateType, NamedGroup, SignatureScheme

pytestmark = COMPARES_BYTES


def test_reader_walks_integers_vectors_and_the_rest() -> None:
    reader = Reader(b"\1\0\2\0\0\3\0\0\0\4\2ab\0\1c\0\0\1dRest", "Thing")
    assert (reader.u8(), reader.u16(), reader.u24(), reader.u32()) == (1, 2, 3, 4)
    assert (reader.vector8(), reader.vector16(), reader.vector24()) == (b"ab", b"c", b"d")
    assert bool(reader) is True
    assert reader.rest() == b"Rest"
    assert bool(reader) is False
    reader.finish()


@pytest.mark.parametrize("read", ["u8", "u16", "u24", "u32", "vector8", "vector16", "vector24"])
@given(have=st.binary(max_size=3))
def test_reader_refuses_to_read_past_the_end(read: str, have: bytes) -> None:
    width = {"u8": 1, "u16": 2, "u24": 3, "u32": 4, "vector8": 1, "vector16": 2, "vector24": 3}[read]
    short = have[: width - 1] if not read.startswith("vector") else (1).to_bytes(width, "big")
    with pytest.raises(DecodeError) as refused:
        getattr(Reader(short, "Thing"), read)()
    assert refused.value.reason is Misbehaviour.TRUNCATED
    assert "Thing" in str(refused.value), "the message does not name what was read"
    assert refused.value.alert is AlertDescription.DECODE_ERROR


def test_reader_names_what_has_trailing_bytes() -> None:
    reader = Reader(b"\1\2\3", "Thing")
    reader.u8()
    with pytest.raises(DecodeError, match="2 after Thing") as refused:
        reader.finish()
    assert refused.value.reason is Misbehaviour.TRAILING_BYTES


@pytest.mark.parametrize(("low", "high"), [(2, 4)])
@pytest.mark.parametrize("size", range(7))
def test_vector_is_held_to_its_bounds(low: int, high: int, size: int) -> None:
    for write, read in ((vector8, "vector8"), (vector16, "vector16"), (vector24, "vector24")):
        reader = Reader(write(b"x" * size), "Thing")
        if low <= size <= high:
            assert getattr(reader, read)(low, high) == b"x" * size
        else:
            with pytest.raises(DecodeError) as refused:
                getattr(reader, read)(low, high)
            assert refused.value.reason is Misbehaviour.BAD_LENGTH


@pytest.mark.parametrize(("write", "most"), [(vector8, 0xFF), (vector16, 0xFFFF)])
def test_vector_that_is_too_long_is_not_written_wrongly(write: type[bytes], most: int) -> None:
    assert len(write(bytes(most))) > most
    with pytest.raises(OverflowError):
        write(bytes(most + 1))


def test_codecs_refuse_what_is_not_exactly_one_value() -> None:
    pairs: list[tuple[Codec[Any], bytes]] = [
        (one_enum(NamedGroup, "group"), b"\0\x1d"),
        (one_enum(CertificateType, "type"), b"\2"),
        (uint(2, "number"), b"\1\2"),
        (enum_list(NamedGroup, "groups"), b"\0\2\0\x1d"),
        (opaque_list("items", item_bytes=2), b"\0\3\0\1x"),
        (EMPTY, b""),
    ]
    for codec, good in pairs:
        assert codec.encode(codec.decode(good)) == good
        for wrong in (good + b"\0", good[:-1]):
            if wrong != good:
                with pytest.raises(DecodeError):
                    codec.decode(wrong)


def test_what_was_read_lately_is_remembered_within_bounds() -> None:
    read: list[bytes] = []

    def decode(body: bytes) -> bytes:
        read.append(body)
        if not body:
            raise DecodeError(Misbehaviour.TRUNCATED, "nothing")
        return body[::-1]

    remembered = remembering(decode)
    assert remembered(b"abc") == remembered(bytes(bytearray(b"abc"))) == b"cba"
    assert read == [b"abc"], "the same bytes are read once"
    for _ in range(2):
        with pytest.raises(DecodeError):
            remembered(b"")
    assert read[1:] == [b"", b""], "a fault is found anew each time"
    long = bytes(129)
    assert remembered(long) == remembered(long) == long
    assert read[3:] == [long, long], "what is long is not kept"
    for number in range(200):
        remembered(number.to_bytes(2, "big"))
    remembered(b"abc")
    assert read[-1] == b"abc", "nor is what is old"


def test_lists_of_one_kind_do_not_answer_for_another() -> None:
    """What is remembered goes by bytes, and the same bytes mean other things elsewhere."""
    groups, schemes = enum_list(NamedGroup, "groups"), enum_list(SignatureScheme, "schemes")
    body = b"\0\2\4\3"
    assert type(groups.decode(body)[0]) is NamedGroup
    assert type(schemes.decode(body)[0]) is SignatureScheme
    assert type(groups.decode(body)[0]) is NamedGroup
