"""Strict reading and writing of the presentation language: integers, opaque vectors, lists (RFC 9846 3).

A `Reader` walks one `bytes` object and every parser ends with `finish()`, so that trailing bytes never pass. A `Codec`
is a pair of functions for one structure; the small constructors at the end build those of lists.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable
from typing import Generic, TypeVar

from trustls.errors import DecodeError, Misbehaviour
from trustls.values import dataclass
from trustls.wire.enums import OpenEnum

T = TypeVar("T")
E = TypeVar("E", bound=OpenEnum)

_MAX_REMEMBERED = 128
_REMEMBERED = 64


class Reader:
    """Reads one structure, named for error messages, from its exact bytes."""

    __slots__ = ("_data", "_position", "name")

    def __init__(self, data: bytes, name: str) -> None:
        self._data = data
        self._position = 0
        self.name = name

    def __bool__(self) -> bool:
        """Whether bytes are left."""
        return self._position < len(self._data)

    def take(self, count: int) -> bytes:
        """The next `count` bytes."""
        start = self._position
        end = start + count
        if end > len(self._data):
            raise DecodeError(Misbehaviour.TRUNCATED, self.name)
        self._position = end
        return self._data[start:end]

    def u8(self) -> int:
        """A uint8."""
        position = self._position
        if position >= len(self._data):
            raise DecodeError(Misbehaviour.TRUNCATED, self.name)
        self._position = position + 1
        return self._data[position]

    def u16(self) -> int:
        """A uint16."""
        data = self._data
        start = self._position
        if start + 2 > len(data):
            raise DecodeError(Misbehaviour.TRUNCATED, self.name)
        self._position = start + 2
        return data[start] << 8 | data[start + 1]

    def u24(self) -> int:
        """A uint24."""
        return int.from_bytes(self.take(3), "big")

    def u32(self) -> int:
        """A uint32."""
        return int.from_bytes(self.take(4), "big")

    # The three that follow are what parsing spends its time in, so each does its work in one call.

    def vector8(self, low: int = 0, high: int = 0xFF) -> bytes:
        """An opaque vector with a length of one byte, `low` to `high` bytes long."""
        data = self._data
        start = self._position + 1
        if start > len(data):
            raise DecodeError(Misbehaviour.TRUNCATED, self.name)
        length = data[start - 1]
        if not low <= length <= high:
            raise self._bad_length(length, low, high)
        end = start + length
        if end > len(data):
            raise DecodeError(Misbehaviour.TRUNCATED, self.name)
        self._position = end
        return data[start:end]

    def vector16(self, low: int = 0, high: int = 0xFFFF) -> bytes:
        """An opaque vector with a length of two bytes, `low` to `high` bytes long."""
        data = self._data
        start = self._position + 2
        if start > len(data):
            raise DecodeError(Misbehaviour.TRUNCATED, self.name)
        length = data[start - 2] << 8 | data[start - 1]
        if not low <= length <= high:
            raise self._bad_length(length, low, high)
        end = start + length
        if end > len(data):
            raise DecodeError(Misbehaviour.TRUNCATED, self.name)
        self._position = end
        return data[start:end]

    def vector24(self, low: int = 0, high: int = 0xFFFFFF) -> bytes:
        """An opaque vector with a length of three bytes, `low` to `high` bytes long."""
        data = self._data
        start = self._position + 3
        if start > len(data):
            raise DecodeError(Misbehaviour.TRUNCATED, self.name)
        length = data[start - 3] << 16 | data[start - 2] << 8 | data[start - 1]
        if not low <= length <= high:
            raise self._bad_length(length, low, high)
        end = start + length
        if end > len(data):
            raise DecodeError(Misbehaviour.TRUNCATED, self.name)
        self._position = end
        return data[start:end]

    def _bad_length(self, length: int, low: int, high: int) -> DecodeError:
        return DecodeError(Misbehaviour.BAD_LENGTH, f"{self.name}: {length} bytes, {low} to {high} allowed")

    def rest(self) -> bytes:
        """All that is left."""
        start = self._position
        self._position = len(self._data)
        return self._data[start:]

    def finish(self) -> None:
        """Refuse trailing bytes."""
        left = len(self._data) - self._position
        if left:
            raise DecodeError(Misbehaviour.TRAILING_BYTES, f"{left} after {self.name}")


def vector8(data: bytes) -> bytes:
    """`data` behind a length of one byte."""
    return len(data).to_bytes(1, "big") + data


def vector16(data: bytes) -> bytes:
    """`data` behind a length of two bytes."""
    return len(data).to_bytes(2, "big") + data


def vector24(data: bytes) -> bytes:
    """`data` behind a length of three bytes."""
    return len(data).to_bytes(3, "big") + data


@dataclass(frozen=True, slots=True)
class Codec(Generic[T]):
    """How one structure is read from its exact bytes, and written.

    `repeats` says that a configuration has few values of it, which can be hashed: what is written is remembered then.
    """

    decode: Callable[[bytes], T]
    encode: Callable[[T], bytes]
    repeats: bool = False


def remembering(decode: Callable[[bytes], T]) -> Callable[[bytes], T]:
    """`decode`, with its last results kept: peers say the same again and again. Only for results that cannot change.

    What is kept depends on nothing but the bytes, 64 of them at a time, and those of up to 128 bytes alone, so that
    nobody fills the memory with long ones.
    """
    remembered = functools.lru_cache(maxsize=_REMEMBERED)(decode)

    def decoded(body: bytes) -> T:
        return remembered(body) if len(body) <= _MAX_REMEMBERED else decode(body)

    return decoded


def enum_values(kind: type[E], name: str) -> Callable[[bytes], tuple[E, ...]]:
    """What reads enum values that stand one behind the other and fill the bytes: one or more."""
    width = kind.width
    format_ = {1: "B", 2: "H"}[width]
    members = kind.by_value

    def decode(body: bytes) -> tuple[E, ...]:
        count, odd = divmod(len(body), width)
        if not count or odd:
            raise DecodeError(Misbehaviour.BAD_LENGTH, name)
        values = struct.unpack(f"!{count}{format_}", body)
        return tuple([members.get(value) or kind(value) for value in values])

    return remembering(decode)


def enum_list(kind: type[E], name: str, *, length_bytes: int = 2) -> Codec[tuple[E, ...]]:
    """A non-empty list of enum values of two bytes each (of one byte each where `length_bytes` is 1 and E fits)."""
    width = kind.width
    format_ = {1: "B", 2: "H"}[width]
    values = enum_values(kind, name)

    def decode(body: bytes) -> tuple[E, ...]:
        if len(body) != length_bytes + int.from_bytes(body[:length_bytes], "big"):
            raise DecodeError(Misbehaviour.BAD_LENGTH, name)
        return values(body[length_bytes:])

    def encode(items: tuple[E, ...]) -> bytes:
        return (len(items) * width).to_bytes(length_bytes, "big") + struct.pack(f"!{len(items)}{format_}", *items)

    return Codec(remembering(decode), encode, repeats=True)


def one_enum(kind: type[E], name: str) -> Codec[E]:
    """A single enum value."""
    width = kind.width

    def decode(body: bytes) -> E:
        if len(body) != width:
            raise DecodeError(Misbehaviour.BAD_LENGTH, name)
        value = int.from_bytes(body, "big")
        return kind.by_value.get(value) or kind(value)

    def encode(value: E) -> bytes:
        return value.to_bytes(width, "big")

    return Codec(decode, encode, repeats=True)


def opaque_list(name: str, *, item_bytes: int, low: int = 1) -> Codec[tuple[bytes, ...]]:
    """A non-empty list (two bytes of length) of opaque items, each of at least `low` bytes, behind `item_bytes`."""
    high = (1 << 8 * item_bytes) - 1

    def decode(body: bytes) -> tuple[bytes, ...]:
        outer = Reader(body, name)
        inner = Reader(outer.vector16(low=1), name)
        outer.finish()
        items = []
        while inner:
            items.append(inner.vector8(low, high) if item_bytes == 1 else inner.vector16(low, high))
        return tuple(items)

    def encode(items: tuple[bytes, ...]) -> bytes:
        return vector16(b"".join([len(item).to_bytes(item_bytes, "big") + item for item in items]))

    return Codec(remembering(decode), encode)


def _decode_empty(body: bytes) -> bool:
    if body:
        raise DecodeError(Misbehaviour.TRAILING_BYTES, "an extension that must be empty")
    return True


EMPTY: Codec[bool] = Codec(_decode_empty, lambda present: b"", repeats=True)
"""An extension that says all by being there: True, or None when it is absent."""

OPAQUE: Codec[bytes] = Codec(lambda body: body, lambda value: value)
"""Bytes whose meaning belongs to somebody else."""


def _decode_opaque16(name: str) -> Callable[[bytes], bytes]:
    def decode(body: bytes) -> bytes:
        reader = Reader(body, name)
        value = reader.vector16(low=1)
        reader.finish()
        return value

    return decode


def opaque16(name: str) -> Codec[bytes]:
    """One non-empty opaque vector with a length of two bytes."""
    return Codec(_decode_opaque16(name), vector16)


def _decode_opaque8(name: str) -> Callable[[bytes], bytes]:
    def decode(body: bytes) -> bytes:
        reader = Reader(body, name)
        value = reader.vector8()
        reader.finish()
        return value

    return decode


def opaque8(name: str) -> Codec[bytes]:
    """One opaque vector with a length of one byte."""
    return Codec(_decode_opaque8(name), vector8)


def uint(width: int, name: str) -> Codec[int]:
    """A single integer of `width` bytes."""

    def decode(body: bytes) -> int:
        if len(body) != width:
            raise DecodeError(Misbehaviour.BAD_LENGTH, name)
        return int.from_bytes(body, "big")

    return Codec(decode, lambda value: value.to_bytes(width, "big"))
