"""A strict reader of DER (X.690), as far as names and certificates need it.

Elements are found by position inside one `bytes` and never copied until somebody asks for their content. Only what DER
allows is read: definite lengths in their shortest form, tags of one byte. Every fault is a `DecodeError`.
"""

from __future__ import annotations

import functools

from trustls.errors import DecodeError, Misbehaviour

BOOLEAN = 0x01
INTEGER = 0x02
BIT_STRING = 0x03
OCTET_STRING = 0x04
NULL = 0x05
OBJECT_IDENTIFIER = 0x06
UTF8_STRING = 0x0C
NUMERIC_STRING = 0x12
PRINTABLE_STRING = 0x13
TELETEX_STRING = 0x14
IA5_STRING = 0x16
UTC_TIME = 0x17
GENERALIZED_TIME = 0x18
VISIBLE_STRING = 0x1A
UNIVERSAL_STRING = 0x1C
BMP_STRING = 0x1E
SEQUENCE = 0x30
SET = 0x31

_STRING_ENCODINGS = {
    UTF8_STRING: "utf-8",
    NUMERIC_STRING: "ascii",
    PRINTABLE_STRING: "ascii",
    TELETEX_STRING: "latin-1",
    IA5_STRING: "ascii",
    VISIBLE_STRING: "ascii",
    UNIVERSAL_STRING: "utf-32-be",
    BMP_STRING: "utf-16-be",
}


def element(data: bytes, at: int, end: int) -> tuple[int, int, int]:
    """The element that starts at `at`: its tag, where its content starts, and where it ends (X.690 8.1, 10.1).

    Raises:
        DecodeError: the element runs past `end`, or is no DER.
    """
    start = at + 2
    if start > end:
        raise DecodeError(Misbehaviour.TRUNCATED, "a DER element has no header")
    tag = data[at]
    length = data[at + 1]
    if length > 0x7F:
        if length == 0x81:
            start += 1
            smallest = 0x80
        elif length == 0x82:
            start += 2
            smallest = 0x100
        elif length == 0x83:
            start += 3
            smallest = 0x10000
        else:
            raise DecodeError(Misbehaviour.MALFORMED, "a DER length is indefinite or above 2^24")
        if start > end:
            raise DecodeError(Misbehaviour.TRUNCATED, "a DER length is cut off")
        length = int.from_bytes(data[at + 2 : start], "big")
        if length < smallest:
            raise DecodeError(Misbehaviour.MALFORMED, "a DER length is not in its shortest form")
    if tag & 0x1F == 0x1F:
        raise DecodeError(Misbehaviour.MALFORMED, "a DER tag of more than one byte")
    stop = start + length
    if stop > end:
        raise DecodeError(Misbehaviour.TRUNCATED, "a DER element runs past the end")
    return tag, start, stop


def expect(data: bytes, at: int, end: int, tag: int) -> tuple[int, int]:
    """The content bounds of the element at `at`, which must have this tag.

    Raises:
        DecodeError: it has another tag, or is no DER.
    """
    found, start, stop = element(data, at, end)
    if found != tag:
        raise DecodeError(Misbehaviour.MALFORMED, f"a DER element has tag {found:#04x} where {tag:#04x} belongs")
    return start, stop


def whole(data: bytes, tag: int) -> tuple[int, int]:
    """The content bounds of the one element that `data` consists of.

    Raises:
        DecodeError: it has another tag, bytes follow it, or it is no DER.
    """
    start, stop = expect(data, 0, len(data), tag)
    if stop != len(data):
        raise DecodeError(Misbehaviour.TRAILING_BYTES, "bytes follow a DER element")
    return start, stop


def children(data: bytes, start: int, stop: int) -> list[tuple[int, int, int]]:
    """Every element between `start` and `stop`, as `element` gives them.

    Raises:
        DecodeError: they do not fill the space exactly, or are no DER.
    """
    found = []
    while start < stop:
        one = element(data, start, stop)
        found.append(one)
        start = one[2]
    return found


def unsigned(data: bytes, start: int, stop: int) -> int:
    """The value of an INTEGER's content that may not be negative.

    Raises:
        DecodeError: it is empty, negative or padded (X.690 8.3.2).
    """
    if start == stop or data[start] & 0x80:
        raise DecodeError(Misbehaviour.MALFORMED, "an INTEGER is empty or negative")
    if stop - start > 1 and data[start] == 0 and not data[start + 1] & 0x80:
        raise DecodeError(Misbehaviour.MALFORMED, "an INTEGER is not in its shortest form")
    return int.from_bytes(data[start:stop], "big")


def boolean(data: bytes, start: int, stop: int) -> bool:
    """The value of a BOOLEAN's content (X.690 11.1: 0x00 or 0xFF).

    Raises:
        DecodeError: it is anything else.
    """
    content = data[start:stop]
    if content == b"\xff":
        return True
    if content == b"\x00":
        return False
    raise DecodeError(Misbehaviour.MALFORMED, "a BOOLEAN is neither 0x00 nor 0xFF")


def string(tag: int, content: bytes) -> str | None:
    """The text of a character string; None for another type, or content that its type cannot hold."""
    encoding = _STRING_ENCODINGS.get(tag)
    if encoding is None:
        return None
    try:
        return content.decode(encoding)
    except UnicodeDecodeError:
        return None


def is_oid(content: bytes) -> bool:
    """Whether this is the content of an OBJECT IDENTIFIER (X.690 8.19), of at most 64 bytes."""
    if not content or len(content) > 64 or content[-1] & 0x80 or content[0] == 0x80:
        return False
    # A subidentifier may not start with a padding byte: 0x80 after the end of the one before.
    at = content.find(0x80, 1)
    while at > 0:
        if not content[at - 1] & 0x80:
            return False
        at = content.find(0x80, at + 1)
    return True


@functools.lru_cache(maxsize=512)
def dotted(content: bytes) -> str:
    """An OBJECT IDENTIFIER's content in dotted form.

    Raises:
        DecodeError: it is none.
    """
    if not is_oid(content):
        raise DecodeError(Misbehaviour.MALFORMED, "an OBJECT IDENTIFIER is malformed")
    arcs = []
    value = 0
    for byte in content:
        value = value << 7 | byte & 0x7F
        if not byte & 0x80:
            arcs.append(value)
            value = 0
    first = min(arcs[0] // 40, 2)
    return ".".join(map(str, [first, arcs[0] - 40 * first, *arcs[1:]]))


@functools.lru_cache(maxsize=64)
def undotted(text: str) -> bytes:
    """The content of the OBJECT IDENTIFIER that `text`, a constant of the program, gives in dotted form."""
    first, second, *rest = map(int, text.split("."))
    content = b""
    for arc in (first * 40 + second, *rest):
        tail = bytes([arc & 0x7F])
        while arc := arc >> 7:
            tail = bytes([arc & 0x7F | 0x80]) + tail
        content += tail
    return content
