"""What may be done to a message before it is sealed: to its fields, to its bytes, and to its place in the flight.

The fields are those of the dataclasses in `trustls.wire`, so that what is changed is encoded anew, with every length
right: it is judged by what it says. The bytes come after that, for what no field can say.
"""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Callable, Sequence
from typing import Any, Final

from fuzz.decisions import Decisions
from tests.support.scripted import Item, NewRecord, Record, Wire
from trustls.errors import TLSError
from trustls.wire.enums import ExtensionType, HandshakeType, OpenEnum
from trustls.wire.extensions import Extended
from trustls.wire.messages import HandshakeMessage, encode_message
from trustls.wire.names import DistinguishedName

# What `encode` raises for a message that has no encoding: a field too long for its length, a value of the wrong type.
NO_ENCODING: Final = (OverflowError, ValueError, TypeError, AttributeError, struct.error)
_BOUNDARIES: Final = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x7FFFFFFF, 0xFFFFFFFF)
_REPEATS: Final = (2, 3, 9, 33, 260, 1200)
# Around what a vector, a record, a message or a kept ticket can hold.
_SIZES: Final = (32, 33, 255, 256, 0x3FFF, 0x4000, 0x7F00, 0x8000, 0x8001, 0xC000, 0xFE00, 0xFFA0, 0xFFF0, 0xFFFF)
# Longer inputs than a peer can send in one message are of no use, and cost time.
_MOST: Final = 70_000


class Pool:
    """Messages of honest handshakes, by class: where a field may take its value from, and a flight its strangers."""

    def __init__(self) -> None:
        self._by_class: dict[type[Any], list[Any]] = {}
        self.all: list[Any] = []

    def add(self, message: Any) -> None:
        """Keep one message, unless it says what another does already."""
        known = self._by_class.setdefault(type(message), [])
        if len(known) < 16 and message not in known:
            known.append(message)
            self.all.append(message)

    def others(self, message: Any) -> Sequence[Any]:
        """The messages of the same class."""
        return self._by_class.get(type(message)) or [message]


def framed(kind: int, body: bytes) -> bytes:
    """A handshake message of this type and body."""
    return bytes([kind]) + len(body).to_bytes(3, "big") + body


def encoded(message: Any, instead: bytes) -> bytes:
    """The message with its header; `instead` when it has no encoding."""
    try:
        raw = encode_message(message)
    except NO_ENCODING:
        return instead
    return raw if len(raw) <= _MOST else instead


# -- Values -----------------------------------------------------------------------------------------------------------


def other_bytes(value: bytes, choices: Decisions) -> bytes:
    """A string near `value`: a bit, a byte or the length is another."""
    match choices.below(10):
        case 0:
            if not value:
                return b"\0"
            changed = bytearray(value)
            changed[choices.below(len(value))] ^= 1 << choices.below(8)
            return bytes(changed)
        case 1:
            if not value:
                return b"\xff"
            at = choices.below(len(value))
            return value[:at] + bytes([choices.byte()]) + value[at + 1 :]
        case 2:
            return value[: choices.below(len(value) + 1)]
        case 3:
            return value + choices.octets(64)
        case 4:
            at = choices.below(len(value) + 1)
            return value[:at] + choices.octets(64) + value[at + choices.below(9) :]
        case 5:
            return choices.octets()
        case 6:
            return b""
        case 7:
            return bytes(len(value))
        case 8:
            return (value[:1] or b"\0") * choices.pick(_SIZES)
        case _:
            times = choices.pick(_REPEATS)
            return value * times if len(value) * times <= _MOST else value


def other_integer(value: int, choices: Decisions) -> int:
    """A number: near `value`, at a boundary, or any of four bytes."""
    match choices.below(4):
        case 0:
            return max(0, value + choices.pick((1, -1, 2, 256, -256)))
        case 1:
            return choices.pick(_BOUNDARIES)
        case 2:
            return value ^ 1 << choices.below(32)
        case _:
            return int.from_bytes(choices.octets(4), "big")


def other_member(value: OpenEnum, choices: Decisions) -> OpenEnum:
    """Another value of the same registry, with or without a name."""
    kind = type(value)
    if choices.flag():
        return kind(other_integer(int(value), choices) % (1 << 8 * kind.width))
    return choices.pick(list(kind))


def other_name(value: DistinguishedName, choices: Decisions) -> DistinguishedName:
    """Another name, which need be none: it is not checked."""
    name = object.__new__(DistinguishedName)
    object.__setattr__(name, "der", other_bytes(value.der, choices))
    return name


def other_tuple(value: tuple[Any, ...], choices: Decisions) -> tuple[Any, ...]:
    """A list near `value`: an item changed, left out, repeated or in another place."""
    at = choices.below(len(value))
    match choices.below(7):
        case 0:
            if not value:
                return value
            return (*value[:at], other_value(value[at], choices), *value[at + 1 :])
        case 1:
            return (*value[:at], *value[at + 1 :])
        case 2:
            return (*value[: at + 1], *value[at:])
        case 3:
            return tuple(reversed(value))
        case 4:
            return (*value[at:], *value[:at])
        case 5:
            return ()
        case _:
            times = choices.pick(_REPEATS)
            return value * times if _weight(value) * times <= _MOST else value


def _weight(value: Any) -> int:
    """About how many bytes a value takes when it is encoded, so that repetitions of repetitions have an end."""
    match value:
        case bytes() | str():
            return len(value) + 2
        case tuple():
            return 2 + sum(map(_weight, value))
        case DistinguishedName():
            return len(value.der) + 2
        case _ if dataclasses.is_dataclass(value):
            return sum(_weight(getattr(value, field.name)) for field in dataclasses.fields(value))
        case _:
            return 4


def other_text(value: str, choices: Decisions) -> str:
    """Another text, in ASCII or not."""
    return other_bytes(value.encode("latin-1", "replace"), choices).decode("latin-1")


def other_value(value: Any, choices: Decisions) -> Any:
    """Another value in place of `value`, of the same kind."""
    match value:
        case bool():
            return not value
        case OpenEnum():
            return other_member(value, choices)
        case int():
            return other_integer(value, choices)
        case bytes():
            return other_bytes(value, choices)
        case str():
            return other_text(value, choices)
        case tuple():
            return other_tuple(value, choices)
        case DistinguishedName():
            return other_name(value, choices)
        case _ if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return other_field(value, choices)
        case _:
            return None


def other_field(message: Any, choices: Decisions, pool: Pool | None = None) -> Any:
    """The message, or a part of one, with one field changed: in itself, or to that of another such message."""
    fields = [field.name for field in dataclasses.fields(message)]
    if not fields:
        return message
    name = choices.pick(fields)
    value = getattr(message, name)
    if pool is not None and choices.flag():
        return dataclasses.replace(message, **{name: getattr(choices.pick(pool.others(message)), name)})
    if name == "unknown_extensions":
        return with_any_extension(message, choices)
    if value is None:
        return with_extension(message, name, choices)
    if choices.below(8) == 7 and _is_extension(message, name):
        return dataclasses.replace(message, **{name: None})
    return dataclasses.replace(message, **{name: other_value(value, choices)})


def _is_extension(message: Any, name: str) -> bool:
    return isinstance(message, Extended) and any(name == field for field, _ in message._fields_by_type.values())


# -- Extensions -------------------------------------------------------------------------------------------------------

# Bodies that one extension or another can have.
_BODIES: Final = (
    b"",
    b"\0",
    b"\1",
    b"\0\0",
    b"\0\1",
    b"\3\4",
    b"\2\3\4",
    b"\4\3\4\3\3",
    b"\0\2\0\x1d",
    b"\0\x1d",
    b"\0\x17",
    b"\0\4\4\3\x08\4",
    b"\0\3\2h2",
    b"\1\0\0\0\0",
    b"\1\0",
    b"\2\1\0",
    b"\0\0\x40\0",
    b"\xff\xff\xff\xff",
    b"\x40\1",
    b"\0\1\0",
    b"\0\x0c\0\0\x09localhost",
    b"\1\0\0\1\0",
    b"\0\4\0\2\x30\0",
    b"\0\5\0\3abc",
)


def with_extension(message: Any, name: str, choices: Decisions) -> Any:
    """The message with an extension that it lacks: as its codec reads a body, or as bytes where it does not."""
    table = message._fields_by_type if isinstance(message, Extended) else {}
    for kind, (field, codec) in table.items():
        if field == name:
            body = choices.octets(96) if choices.flag() else choices.pick(_BODIES)
            try:
                return dataclasses.replace(message, **{name: codec.decode(body)})
            except TLSError:
                return dataclasses.replace(message, unknown_extensions=(*message.unknown_extensions, (kind, body)))
    return message


def with_any_extension(message: Any, choices: Decisions) -> Any:
    """The message with further extensions of any type: known ones a second time, GREASE, very many."""
    kinds = list(ExtensionType)
    kind = int(choices.pick(kinds)) if choices.flag() else choices.pick((0x0A0A, 0xFAFA, 0xFFFF, 0x1234))
    body = choices.octets(96) if choices.flag() else choices.pick(_BODIES)
    added = [(kind, body)]
    if choices.below(8) == 7:
        added += [(0x2000 + number, body[:4]) for number in range(choices.pick(_REPEATS))]
    return dataclasses.replace(message, unknown_extensions=(*message.unknown_extensions, *added))


# -- Bytes ------------------------------------------------------------------------------------------------------------


def other_body(raw: bytes, choices: Decisions) -> bytes:
    """The message with other bytes in it, and the right length before them."""
    return framed(raw[0], other_bytes(raw[4:], choices)[:_MOST])


def other_header(raw: bytes, choices: Decisions) -> bytes:
    """The message with another type or length."""
    if choices.flag():
        return bytes([int(choices.pick(list(HandshakeType)))]) + raw[1:]
    return raw[:1] + int.from_bytes(choices.octets(3), "big").to_bytes(3, "big") + raw[4:]


def stranger(choices: Decisions, pool: Pool) -> list[Item]:
    """What has no business here: a message of any kind, known or not, or a record that holds none."""
    match choices.below(6):
        case 0:
            return [choices.pick(pool.all)]
        case 1:
            return [framed(int(choices.pick(list(HandshakeType))), choices.octets(64))]
        case 2:
            return [framed(choices.byte(), choices.octets(64))]
        case 3:
            return [
                Record(choices.pick((20, 21, 22, 23, 24)), choices.pick((b"\1", b"", b"\1\0", b"\2\x28", b"\1\x5a")))
            ]
        case 4:
            return [Record(choices.byte(), choices.octets(64))]
        case _:
            return [Wire(choices.octets(64))]


# -- All of it --------------------------------------------------------------------------------------------------------

Rebind = Callable[[Any], None]


def mutated(
    message: HandshakeMessage, choices: Decisions, pool: Pool, held: list[Item], rebind: Rebind | None
) -> list[Item]:
    """What is sent in place of `message`.

    `held` keeps what is to be sent behind the next message. `rebind` computes the binders of a ClientHello anew, for
    when it has changed.
    """
    raw = encode_message(message)
    match choices.below(12):
        case 0 | 1 | 2 | 3:
            changed: Any = message
            for _ in range(1 + choices.below(3)):
                changed = other_field(changed, choices, pool)
            return [encoded(_rebound(changed, choices, rebind), raw)]
        case 4:
            return [other_body(raw, choices)]
        case 5:
            return [other_header(raw, choices)]
        case 6:
            return []
        case 7:
            again: list[Item] = [raw]
            for _ in range(1 + choices.below(5)):
                again += [NewRecord(), raw] if choices.flag() else [raw]
            return again
        case 8:
            return [*stranger(choices, pool), raw]
        case 9:
            return [raw, *stranger(choices, pool)]
        case 10:
            at = choices.below(len(raw) + 1)
            return [raw[:at], NewRecord(), *(stranger(choices, pool) if choices.flag() else ()), raw[at:]]
        case _:
            held.append(raw)
            return stranger(choices, pool) if choices.flag() else []


def _rebound(message: Any, choices: Decisions, rebind: Rebind | None) -> Any:
    if rebind is not None and not choices.flag():
        try:
            rebind(message)
        except NO_ENCODING:
            return message
    return message
