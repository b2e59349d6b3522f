"""Records and the handshake messages in them: taken apart, joined, opened, under keys that are known.

The same bytes are read in several ways, which must come to the same: whole and in pieces, by the loop for bulk data and
by the careful path, by a connection and by the record layer alone.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from fuzz.decisions import Decisions, step
from fuzz.mutations import framed, other_bytes
from fuzz.oracles import check_failure, check_refusal
from fuzz.scenarios import honest, named
from tests.support.memory import feed, split_at, whole
from trustls.connection import Connection
from trustls.errors import PeerMisbehaved, TLSError
from trustls.protocol.early_data import EarlyData
from trustls.protocol.joiner import HandshakeJoiner
from trustls.protocol.record import MAX_CIPHERTEXT, MAX_PLAINTEXT, Opener, Opener12, RecordWriter, Sealer, Sealer12
from trustls.wire.enums import HandshakeType

MAX_LENGTH: Final = 2048
_STEPS: Final = 24
_LARGEST_MESSAGE: Final = (1 << 17) + 4


@dataclass(slots=True)
class Line:
    """One direction of an established connection: who receives, and copies of the keys of both ends."""

    receiver: Connection
    sender: Connection

    def sealer(self) -> Sealer | Sealer12:
        """What seals for the receiver, at the state of now."""
        sealer = self.sender._writer.sealer
        assert isinstance(sealer, Sealer | Sealer12)
        return copy.copy(sealer)

    def opener(self) -> Opener | Opener12:
        """The receiver's keys."""
        opener = self.receiver._opener
        assert isinstance(opener, Opener | Opener12)
        return copy.copy(opener)

    def twin(self) -> Connection:
        """The receiver as it is now, to be used up."""
        twin = copy.copy(self.receiver)
        twin._opener = self.opener()
        twin._joiner = HandshakeJoiner()
        twin._early_data = EarlyData()
        writer = RecordWriter(0)
        sealer = self.receiver._writer.sealer
        assert isinstance(sealer, Sealer | Sealer12)
        writer.use(copy.copy(sealer))
        twin._writer = writer
        return twin


@functools.cache
def lines() -> tuple[Line, ...]:
    """Both directions, in both versions."""
    found = []
    for name in ("1.3 none", "1.2 none"):
        joined = honest(named(name)).run().check_connected()
        found += [Line(joined.client, joined.server), Line(joined.server, joined.client)]
    return tuple(found)


def check(data: bytes) -> None:
    """Handshake records alone, or records of all kinds under keys."""
    choices = Decisions(data)
    if choices.below(3) == 2:
        _check_joiner(choices)
    else:
        _check_records(choices)


# -- Handshake messages over records ----------------------------------------------------------------------------------


def _check_joiner(choices: Decisions) -> None:
    sizes = [1 + choices.byte() for _ in range(1 + choices.below(4))]
    stream = choices.rest()
    at_once = _joined([stream])
    in_pieces = _joined(list(split_at(sizes)(stream)))
    assert at_once == in_pieces, f"whole: {at_once}; in pieces of {sizes}: {in_pieces}"
    messages, refusal = at_once
    content = b"".join(raw for _, raw in messages)
    assert stream.startswith(content), "the messages are not what was sent"
    for kind, raw in messages:
        assert framed(kind, raw[4:]) == raw, "a message with another length than its header says"
        assert len(raw) <= _LARGEST_MESSAGE, f"a message of {len(raw)} bytes"
    if not refusal:
        left = stream[len(content) :]
        claimed = 4 + int.from_bytes(left[1:4], "big") if len(left) >= 4 else 0
        assert claimed <= _LARGEST_MESSAGE, f"a message of {claimed} bytes is waited for"
        assert len(left) < max(4, claimed), "a whole message was kept back"


def _joined(pieces: list[bytes]) -> tuple[list[tuple[int, bytes]], str]:
    joiner = HandshakeJoiner()
    messages: list[tuple[int, bytes]] = []
    for piece in pieces:
        joiner.add(piece)
        try:
            while (found := joiner.next_message()) is not None:
                messages.append(found)
        except TLSError as error:
            check_refusal(error)
            return messages, str(error)
        assert len(joiner.waiting) <= _LARGEST_MESSAGE, f"{len(joiner.waiting)} bytes are kept"
    assert bool(joiner.waiting) == (sum(map(len, pieces)) != sum(len(raw) for _, raw in messages))
    return messages, ""


# -- Records under keys -----------------------------------------------------------------------------------------------


def _check_records(choices: Decisions) -> None:
    line = choices.pick(lines())
    size = 1 + choices.byte()
    records: list[bytes] = []
    plain: list[bytes] = []
    sealer = line.sealer()
    for number, own in choices.steps(_STEPS):
        record, content = _record(sealer, number, own)
        records.append(record)
        if content:
            plain.append(content)
    stream = b"".join(records)
    _check_opener(line, records)
    size = max(size, len(stream) // 500)
    ends = [_end_of(line.twin(), stream, split) for split in (whole, split_at([size]), split_at([size * 40, 3]))]
    assert ends[0] == ends[1] == ends[2], f"it makes a difference how the bytes are cut: {ends}"
    got = ends[0][0]
    assert b"".join(plain).startswith(got), f"data came out that was not sent: {got[:60]!r}"


def _record(sealer: Sealer | Sealer12, number: int, choices: Decisions) -> tuple[bytes, bytes]:
    """One record on the wire, and the application data that it is to bring if nothing has failed before."""
    match number % 10:
        case 0:
            content = choices.octets() * (1 + choices.below(66))
            return sealer.seal(23, content[:MAX_PLAINTEXT]), content[:MAX_PLAINTEXT]
        case 1:
            content = choices.octets(64)
            padding = choices.below(3000) if isinstance(sealer, Sealer) else 0
            return sealer.seal(23, content, padding), content
        case 2:
            kind, content = choices.byte(), choices.octets()
            record = sealer.seal(kind, content, choices.below(64))
            if isinstance(sealer, Sealer):
                # A type of zero reads as padding, and what stands before that as the type.
                inner = (content + bytes([kind])).rstrip(b"\0")
                kind, content = inner[-1] if inner else 0, inner[:-1]
            return record, content if kind == 23 else b""
        case 3:
            message = choices.pick(list(HandshakeType))
            return sealer.seal(22, framed(int(message), choices.octets())), b""
        case 4:
            return sealer.seal(22, choices.octets()), b""
        case 5:
            return sealer.seal(21, choices.octets(4)), b""
        case 6:
            content = choices.octets()  # It comes out where the change is behind it.
            return other_bytes(sealer.seal(23, content), choices), content
        case 7:
            return bytes([choices.byte(), choices.pick((3, 2)), choices.byte()]) + choices.octets(), b""
        case 8:
            content = bytes(MAX_PLAINTEXT + choices.below(MAX_CIPHERTEXT - MAX_PLAINTEXT + 4))
            return sealer.seal(23, content), content
        case _:
            content = bytes([choices.byte()]) * (MAX_PLAINTEXT - choices.below(3))
            return sealer.seal(23, content), content


def _end_of(receiver: Connection, stream: bytes, split: object) -> tuple[bytes, str, bool]:
    assert callable(split)
    got = feed(receiver, split(stream))
    check_failure(receiver)
    failure = receiver.failure
    reason = getattr(failure, "reason", None)
    said = (
        "" if failure is None else f"{type(failure).__name__} {getattr(reason, 'name', getattr(failure, 'code', ''))}"
    )
    return got, said, receiver.peer_closed


def _check_opener(line: Line, records: list[bytes]) -> None:
    """The loop for bulk data opens what the careful path opens, to the same bytes, and stops where it finds more."""
    fast, slow = line.opener(), line.opener()
    if not isinstance(fast, Opener):
        return
    stream = b"".join(records)
    size = len(stream) + 64
    out = memoryview(bytearray(size))
    position, filled = fast.open_run(memoryview(stream), 0, out, 0)
    at = 0
    other = memoryview(bytearray(size + MAX_CIPHERTEXT))
    end = 0
    while at < position:
        body = at + 5
        length = int.from_bytes(stream[at + 3 : body], "big")
        try:
            kind, stop = slow.open(stream[at:body], memoryview(stream)[body : body + length], other, end)
        except PeerMisbehaved as error:
            raise AssertionError(f"the loop opens what is refused: {error!r}") from error
        assert kind == 23, f"the loop takes a record of type {kind} for data"
        at, end = body + length, stop
    assert at == position, "the loop stopped in the middle of a record"
    assert fast.sequence == slow.sequence, f"the loop counts {fast.sequence} records, and {slow.sequence} there are"
    assert bytes(out[:filled]) == bytes(other[:end]), "the loop opens to other bytes"


def seeds() -> Iterator[bytes]:
    """A few records of each kind in each direction, and a run of data."""
    for line in range(4):
        for kind in range(10):
            yield bytes([0, line, 20]) + step(0, 5, b"hello", 1) + step(kind, 5, b"other", 2) + step(0, 4, b"data", 9)
            yield bytes([1, line, 2]) + step(kind, 2, b"ab", 1) * 3 + step(9, 65, 1)
        yield bytes([0, line, 255]) + step(0, 200, bytes(200), 60) * 8
    for sizes in ((1,), (3, 50), (255,)):
        stream = framed(1, bytes(40)) + framed(20, bytes(32)) + framed(24, b"\1") + framed(11, bytes(300))
        yield bytes([2, len(sizes) - 1, *sizes]) + stream
        yield bytes([2, len(sizes) - 1, *sizes]) + stream + b"\x0b\xff\xff\xff"
