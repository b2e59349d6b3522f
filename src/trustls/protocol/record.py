"""The record layer: sealing and opening, fragmentation, padding, limits (RFC 9846 5, RFC 5246 6).

This is the path of every byte, so it counts its calls: sealing copies the payload once, next to its content type, and
encrypts straight into the outgoing buffer; opening decrypts records one behind the other into one buffer, each over the
content type that ended the last.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, Protocol

from trustls.crypto.aead import TAG_LENGTH, AuthenticationFailed
from trustls.errors import AlertDescription, Misbehaviour, PeerMisbehaved
from trustls.protocol.buffers import FULL_HEADER, FULL_RECORD, SEALING_BUFFERS, SealingBuffers
from trustls.protocol.key_schedule import TrafficSecret
from trustls.wire.enums import ContentType, ProtocolVersion

if TYPE_CHECKING:
    from trustls.protocol.key_schedule12 import DirectionKeys12

HEADER_LENGTH: Final = 5
MAX_PLAINTEXT: Final = 1 << 14
# RFC 9846 5.2: content type, padding and tag add 256 bytes at the most; no suite of TLS 1.2 here adds more.
MAX_CIPHERTEXT: Final = MAX_PLAINTEXT + 256
# How much payload is sealed at a time: what most programs write at once. A buffer over 128 KiB costs several times more
# a byte.
_PIECE: Final = 4 * MAX_PLAINTEXT
# The ciphertext of a record with at least one byte of data and no padding.
_MIN_RUN: Final = 1 + 1 + TAG_LENGTH
# What a record of TLS 1.3 holds besides its content: the content type and the tag.
_AROUND: Final = 1 + TAG_LENGTH
_read_header: Final = struct.Struct("!BxxH").unpack_from

_HANDSHAKE = int(ContentType.HANDSHAKE)
_ALERT = int(ContentType.ALERT)
_APPLICATION_DATA = int(ContentType.APPLICATION_DATA)
# The inner content type, as it stands behind the content.
_CONTENT_TYPES: Final = tuple([bytes((kind,)) for kind in range(256)])
_TLS12: Final = ProtocolVersion.TLS1_2.to_bytes(2, "big")
_CCS_RECORD: Final = bytes((ContentType.CHANGE_CIPHER_SPEC, 3, 3, 0, 1, 1))


class RecordSealer(Protocol):
    """The write direction under one key. `limit` is how many records the key may seal, `overhead` what each costs."""

    sequence: int
    limit: int

    @property
    def overhead(self) -> int: ...

    def seal(self, kind: int, payload: bytes | memoryview, padding: int = 0) -> bytes:
        """One record: `payload` of at most 2^14 bytes, its content type and, in TLS 1.3, `padding` zeros."""

    def seal_full(self, payload: memoryview, buffers: SealingBuffers) -> int:
        """Full records of application data, as many as `buffers` hold at the most, into `buffers.out`; where they end.

        `payload` is a multiple of 2^14 bytes.
        """


class RecordOpener(Protocol):
    """The read direction under one key. With `hides_type` every record looks like application data (TLS 1.3).

    `max_plaintext` is how many bytes of content, padding included, a record may hold: 2^14, unless this side has asked
    for less (RFC 8449).
    """

    sequence: int
    limit: int
    max_plaintext: int

    @property
    def hides_type(self) -> bool: ...

    def open(self, header: bytes, ciphertext: memoryview, out: memoryview, start: int) -> tuple[int, int]:
        """Decrypt one record into `out` at `start`; its content type, and where the content ends.

        Raises PeerMisbehaved; the sequence number stays as it was when the record does not decrypt.
        """


class Sealer:
    """The write direction of TLS 1.3 under one traffic secret (RFC 9846 5.2)."""

    __slots__ = ("_aead", "_iv", "limit", "secret", "sequence")

    overhead = HEADER_LENGTH + 1 + TAG_LENGTH

    def __init__(self, secret: TrafficSecret) -> None:
        key, iv = secret.key_and_iv()
        self._aead = secret.suite.new_aead(key)
        self._iv = int.from_bytes(iv, "big")
        self.secret = secret
        self.sequence = 0
        self.limit = secret.suite.record_limit

    def seal(self, kind: int, payload: bytes | memoryview, padding: int = 0) -> bytes:
        inner = b"".join((payload, _CONTENT_TYPES[kind], bytes(padding) if padding else b""))
        header = b"\x17\x03\x03" + (len(inner) + TAG_LENGTH).to_bytes(2, "big")
        nonce = (self._iv ^ self.sequence).to_bytes(12, "big")
        self.sequence += 1
        return header + self._aead.encrypt(nonce, inner, header)

    def seal_full(self, payload: memoryview, buffers: SealingBuffers) -> int:
        encrypt_into = self._aead.encrypt_into
        iv = self._iv
        sequence = self.sequence
        content, plaintext, records = buffers.content, buffers.plaintext, buffers.records
        plaintext[MAX_PLAINTEXT] = _APPLICATION_DATA
        count = len(payload) // MAX_PLAINTEXT
        # Beforehand: no number is used twice, whatever happens.
        self.sequence = sequence + count
        for number in range(count):
            header, body = records[number]
            start = number * MAX_PLAINTEXT
            # By way of views: a bytearray makes a copy of its own of what is assigned to a slice of it.
            header[:] = FULL_HEADER
            content[:] = payload[start : start + MAX_PLAINTEXT]
            encrypt_into((iv ^ sequence + number).to_bytes(12, "big"), plaintext, FULL_HEADER, body)
        return count * FULL_RECORD


class Opener:
    """The read direction of TLS 1.3 under one traffic secret (RFC 9846 5.2)."""

    __slots__ = ("_aead", "_iv", "limit", "max_plaintext", "secret", "sequence")

    hides_type = True

    def __init__(self, secret: TrafficSecret, max_plaintext: int = MAX_PLAINTEXT) -> None:
        key, iv = secret.key_and_iv()
        self._aead = secret.suite.new_aead(key)
        self._iv = int.from_bytes(iv, "big")
        self.secret = secret
        self.sequence = 0
        self.limit = secret.suite.record_limit
        self.max_plaintext = max_plaintext

    def open_single(self, data: memoryview) -> bytes | None:
        """The content of a record that `data` is the whole of: application data, without padding.

        None for anything else, and for what does not decrypt, which is for `open` to judge: nothing has changed then.
        Where records are small it takes a third less time than `open_run` with its buffers.
        """
        length = len(data)
        if length < HEADER_LENGTH + _MIN_RUN or data[0] != _APPLICATION_DATA:
            return None
        length -= HEADER_LENGTH
        if (data[3] << 8 | data[4]) != length or length > self.max_plaintext + _AROUND:
            return None
        nonce = (self._iv ^ self.sequence).to_bytes(12, "big")
        try:
            inner = self._aead.decrypt(nonce, data[HEADER_LENGTH:], data[:HEADER_LENGTH])
        except AuthenticationFailed:
            return None
        if inner[-1] != _APPLICATION_DATA:
            return None
        self.sequence += 1
        return inner[:-1]

    def open_run(self, data: memoryview, position: int, out: memoryview, filled: int) -> tuple[int, int]:
        """Open the whole records of plain application data that stand at `position`, one behind the other.

        This loop is where bulk data spends its time. It stops before a record that is anything else, incomplete, padded
        or broken, which is for `open` to judge. Gives how far it got in `data`, and in `out`.
        """
        decrypt_into = self._aead.decrypt_into
        iv = self._iv
        sequence = self.sequence
        longest = self.max_plaintext + _AROUND
        last_header = len(data) - HEADER_LENGTH
        try:
            while position <= last_header:
                kind, size = _read_header(data, position)
                body = position + HEADER_LENGTH
                following = body + size
                if kind != _APPLICATION_DATA or not _MIN_RUN <= size <= longest or following > len(data):
                    break
                stop = filled + size - TAG_LENGTH
                nonce = (iv ^ sequence).to_bytes(12, "big")
                decrypt_into(nonce, data[body:following], data[position:body], out[filled:stop])
                if out[stop - 1] != _APPLICATION_DATA:
                    break
                sequence += 1
                position = following
                filled = stop - 1
        except AuthenticationFailed:
            pass
        self.sequence = sequence
        return position, filled

    def open(self, header: bytes, ciphertext: memoryview, out: memoryview, start: int) -> tuple[int, int]:
        stop = start + len(ciphertext) - TAG_LENGTH
        if stop < start:
            raise PeerMisbehaved(Misbehaviour.BAD_RECORD_MAC, "shorter than its tag")
        sequence = self.sequence
        try:
            self._aead.decrypt_into((self._iv ^ sequence).to_bytes(12, "big"), ciphertext, header, out[start:stop])
        except AuthenticationFailed:
            raise PeerMisbehaved(Misbehaviour.BAD_RECORD_MAC) from None
        self.sequence = sequence + 1
        # The content type ends the plaintext; what is opened next is written over it.
        end = stop - 1
        if end - start > self.max_plaintext:
            # RFC 9846 5.4, RFC 8449 4: padding counts.
            raise _overflow(end - start, self.max_plaintext)
        if stop == start or not out[end]:
            end = _padded_end(out, start, stop)
        return out[end], end


def _overflow(size: int, longest: int) -> PeerMisbehaved:
    return PeerMisbehaved(Misbehaviour.RECORD_OVERFLOW, f"{size} bytes inside, at most {longest} are taken")


def _padded_end(out: memoryview, start: int, stop: int) -> int:
    """Where the content type of a padded record stands: its last byte that is not zero (RFC 9846 5.4)."""
    length = len(bytes(out[start:stop]).rstrip(b"\0"))
    if not length:
        raise PeerMisbehaved(Misbehaviour.NO_INNER_CONTENT_TYPE)
    return start + length - 1


class Sealer12:
    """The write direction of TLS 1.2 (RFC 5246 6.2.3.3)."""

    __slots__ = ("_encrypt", "_encrypt_into", "_explicit", "_iv", "limit", "overhead", "sequence")

    def __init__(self, keys: DirectionKeys12) -> None:
        suite = keys.suite
        aead = suite.new_aead(keys.key)
        self._encrypt = aead.encrypt
        self._encrypt_into = aead.encrypt_into
        self._iv = keys.iv
        self._explicit = suite.explicit_nonce_length
        self.sequence = 0
        self.limit = suite.record_limit
        self.overhead = HEADER_LENGTH + self._explicit + TAG_LENGTH

    def _next(self, kind: int, size: int) -> tuple[bytes, bytes, bytes]:
        """Record header with explicit nonce, nonce, and additional data for the next record."""
        number = self.sequence.to_bytes(8, "big")
        self.sequence += 1
        start = b"%c\x03\x03" % kind
        header = start + (self._explicit + size + TAG_LENGTH).to_bytes(2, "big")
        if self._explicit:
            header += number
        return header, _nonce12(self._iv, number), number + start + size.to_bytes(2, "big")

    def seal(self, kind: int, payload: bytes | memoryview, padding: int = 0) -> bytes:  # noqa: ARG002 (TLS 1.2 has none)
        header, nonce, additional = self._next(kind, len(payload))
        return header + self._encrypt(nonce, payload, additional)

    def seal_full(self, payload: memoryview, buffers: SealingBuffers) -> int:
        out = buffers.out
        end = 0
        for start in range(0, len(payload), MAX_PLAINTEXT):
            header, nonce, additional = self._next(_APPLICATION_DATA, MAX_PLAINTEXT)
            body = end + len(header)
            out[end:body] = header
            end = body + MAX_PLAINTEXT + TAG_LENGTH
            self._encrypt_into(nonce, payload[start : start + MAX_PLAINTEXT], additional, out[body:end])
        return end


class Opener12:
    """The read direction of TLS 1.2 (RFC 5246 6.2.3.3)."""

    __slots__ = ("_decrypt_into", "_explicit", "_iv", "limit", "max_plaintext", "sequence")

    hides_type = False

    def __init__(self, keys: DirectionKeys12, max_plaintext: int = MAX_PLAINTEXT) -> None:
        self._decrypt_into = keys.suite.new_aead(keys.key).decrypt_into
        self._iv = keys.iv
        self._explicit = keys.suite.explicit_nonce_length
        self.sequence = 0
        self.limit = keys.suite.record_limit
        self.max_plaintext = max_plaintext

    def open(self, header: bytes, ciphertext: memoryview, out: memoryview, start: int) -> tuple[int, int]:
        explicit = self._explicit
        size = len(ciphertext) - explicit - TAG_LENGTH
        if size < 0:
            raise PeerMisbehaved(Misbehaviour.BAD_RECORD_MAC, "shorter than its nonce and tag")
        if size > self.max_plaintext:
            raise _overflow(size, self.max_plaintext)
        number = self.sequence.to_bytes(8, "big")
        nonce = _nonce12(self._iv, bytes(ciphertext[:8]) if explicit else number)
        additional = number + header[:3] + size.to_bytes(2, "big")
        try:
            self._decrypt_into(nonce, ciphertext[explicit:], additional, out[start : start + size])
        except AuthenticationFailed:
            raise PeerMisbehaved(Misbehaviour.BAD_RECORD_MAC) from None
        self.sequence += 1
        return header[0], start + size


def _nonce12(iv: bytes, number: bytes) -> bytes:
    """AES-GCM puts the number behind its 4 bytes (RFC 5288 3); ChaCha20-Poly1305 adds it to 12 (RFC 7905 2)."""
    if len(iv) == len(number) // 2:
        return iv + number
    return (int.from_bytes(iv, "big") ^ int.from_bytes(number, "big")).to_bytes(12, "big")


class RecordWriter:
    """Turns messages, alerts and data into records, and keeps them until they are taken.

    Handshake messages under the same key share records until something else is sent, so that a flight is one record
    where it fits. `sealer` is the current write direction, None while records go out in the clear; `use` changes it.
    `pad_to`, when not 0, pads application data to a multiple of that many bytes. `fragment_size` is how many bytes of
    content a record holds at the most, padding included. `first_version` is that of the first flight's records, which
    nobody is to look at (RFC 9846 5.1); some old peers do. `pending` is how many bytes wait, those of messages that are
    no records yet counted as they are.
    """

    __slots__ = ("_chunks", "_handshake", "_version", "fragment_size", "pad_to", "pending", "sealer")

    def __init__(
        self,
        pad_to: int = 0,
        *,
        fragment_size: int = MAX_PLAINTEXT,
        first_version: ProtocolVersion = ProtocolVersion.TLS1_2,
    ) -> None:
        self.sealer: RecordSealer | None = None
        self._version = _TLS12 if first_version is ProtocolVersion.TLS1_2 else first_version.to_bytes(2, "big")
        self._chunks: list[bytes | bytearray] = []
        self._handshake: list[bytes] = []
        self.pending = 0
        self.pad_to = pad_to
        self.fragment_size = fragment_size

    def records_needed(self, size: int) -> int:
        """How many records `size` bytes of data take."""
        return -(-size // self.fragment_size)

    def use(self, sealer: RecordSealer | None) -> None:
        """Change keys; what was queued before goes out under the old ones."""
        if self._handshake:
            self.flush_handshake()
        self.sealer = sealer

    def queue_handshake(self, message: bytes) -> None:
        """Add a handshake message to the flight."""
        self._handshake.append(message)
        self.pending += len(message)

    def flush_handshake(self) -> None:
        """Turn the waiting handshake messages into records."""
        if self._handshake:
            flight = b"".join(self._handshake)
            self._handshake.clear()
            self.pending -= len(flight)
            step = self.fragment_size
            for start in range(0, len(flight), step):
                self._write(_HANDSHAKE, flight[start : start + step])
            self._version = _TLS12

    def queue_change_cipher_spec(self) -> None:
        """The record for middleboxes, always in the clear (RFC 9846 E.4)."""
        if self._handshake:
            self.flush_handshake()
        self._append(_CCS_RECORD)

    def queue_alert(self, level: int, description: AlertDescription) -> None:
        """An alert."""
        self.flush_handshake()
        self._write(_ALERT, bytes((level, description)))

    def _write(self, kind: int, payload: bytes) -> None:
        if self.sealer is not None:
            self._append(self.sealer.seal(kind, payload))
        else:
            self._append(b"%c%b%b%b" % (kind, self._version, len(payload).to_bytes(2, "big"), payload))

    def _append(self, chunk: bytes | bytearray) -> None:
        self._chunks.append(chunk)
        self.pending += len(chunk)

    def write_data(self, sealer: RecordSealer, data: memoryview) -> None:
        """Seal application data: at most `sealer.limit - sealer.sequence` records of it."""
        if self._handshake:
            self.flush_handshake()  # Data that is sent after a message comes after it.
        size = len(data)
        if self.pad_to:
            self._write_padded(sealer, data)
            return
        step = self.fragment_size
        full = size - size % MAX_PLAINTEXT if step == MAX_PLAINTEXT else 0
        if full > MAX_PLAINTEXT:  # One by itself is better off without the buffers.
            buffers = SEALING_BUFFERS.take()
            for start in range(0, full, _PIECE):
                end = sealer.seal_full(data[start : min(start + _PIECE, full)], buffers)
                self._append(bytes(buffers.out[:end]))
            SEALING_BUFFERS.give_back(buffers)
            data = data[full:]
            size -= full
        while size > 0:
            record = sealer.seal(_APPLICATION_DATA, data if size <= step else data[:step])
            self._chunks.append(record)
            self.pending += len(record)
            data = data[step:]
            size -= step

    def _write_padded(self, sealer: RecordSealer, data: memoryview) -> None:
        step = self.fragment_size
        for start in range(0, len(data), step):
            payload = bytes(data[start : start + step])
            padding = min(-len(payload) % self.pad_to, step - len(payload))
            self._append(sealer.seal(_APPLICATION_DATA, payload, padding))

    def take(self, limit: int | None) -> bytes:
        """The next bytes for the transport, all of them or at most `limit`."""
        if self._handshake:
            self.flush_handshake()
        chunks = self._chunks
        if limit is None or self.pending <= limit:
            taken = bytes(chunks[0]) if len(chunks) == 1 else b"".join(chunks)
            chunks.clear()
            self.pending = 0
            return taken
        # Whole chunks as far as they fit: what is cut is copied twice.
        size = len(chunks[0])
        if size > limit:
            taken = bytes(chunks[0][:limit])
            chunks[0] = chunks[0][limit:]
        else:
            count = 1
            while size + len(chunks[count]) <= limit:
                size += len(chunks[count])
                count += 1
            taken = bytes(chunks[0]) if count == 1 else b"".join(chunks[:count])
            del chunks[:count]
        self.pending -= len(taken)
        return taken
