"""The record layer: sealing and opening, fragmentation, padding, limits (RFC 9846 5).

This is the path of every byte, so it counts its calls: sealing copies the payload once, next to its content type, and
encrypts straight into the outgoing buffer; opening decrypts records one behind the other into one buffer, each over the
content type that ended the last.
"""

from __future__ import annotations

from typing import Final

from trustls.crypto.aead import TAG_LENGTH, AuthenticationFailed, Buffer
from trustls.errors import AlertDescription, Misbehaviour, PeerMisbehaved
from trustls.protocol.buffers import BUFFER_SIZE, BUFFERS
from trustls.protocol.key_schedule import TrafficSecret
from trustls.wire.enums import ContentType, ProtocolVersion

HEADER_LENGTH: Final = 5
MAX_PLAINTEXT: Final = 1 << 14
# RFC 9846 5.2: content type, padding and tag add 256 bytes at the most.
MAX_CIPHERTEXT: Final = MAX_PLAINTEXT + 256
# How much payload one outgoing buffer takes: whole records that with all else fit into 64 KiB, for a join or a buffer
# over 128 KiB costs several times more a byte.
_PIECE: Final = 3 * MAX_PLAINTEXT
_SMALL: Final = 2048

_HANDSHAKE = int(ContentType.HANDSHAKE)
_ALERT = int(ContentType.ALERT)
_APPLICATION_DATA = int(ContentType.APPLICATION_DATA)
_CCS_RECORD: Final = bytes((ContentType.CHANGE_CIPHER_SPEC, 3, 3, 0, 1, 1))


class Sealer:
    """The write direction under one traffic secret."""

    __slots__ = ("_encrypt", "_encrypt_into", "_iv", "limit", "secret", "sequence")

    def __init__(self, secret: TrafficSecret) -> None:
        key, iv = secret.key_and_iv()
        aead = secret.suite.new_aead(key)
        self._encrypt = aead.encrypt
        self._encrypt_into = aead.encrypt_into
        self._iv = int.from_bytes(iv, "big")
        self.secret = secret
        self.sequence = 0
        self.limit = secret.suite.record_limit

    def seal(self, kind: int, payload: bytes, padding: int = 0) -> bytes:
        """One record: `payload` of at most 2^14 bytes, its content type and `padding` zeros."""
        inner = b"%b%c%b" % (payload, kind, bytes(padding))
        header = b"\x17\x03\x03" + (len(inner) + TAG_LENGTH).to_bytes(2, "big")
        nonce = (self._iv ^ self.sequence).to_bytes(12, "big")
        self.sequence += 1
        return header + self._encrypt(nonce, inner, header)

    def seal_into(self, payload: memoryview, scratch: bytearray, out: memoryview) -> int:
        """One record of application data into `out`; its length. `scratch` holds the plaintext for the moment."""
        size = len(payload)
        scratch[:size] = payload
        scratch[size] = _APPLICATION_DATA
        end = HEADER_LENGTH + size + 1 + TAG_LENGTH
        header = b"\x17\x03\x03" + (end - HEADER_LENGTH).to_bytes(2, "big")
        out[:HEADER_LENGTH] = header
        nonce = (self._iv ^ self.sequence).to_bytes(12, "big")
        self.sequence += 1
        self._encrypt_into(nonce, memoryview(scratch)[: size + 1], header, out[HEADER_LENGTH:end])
        return end


class Opener:
    """The read direction under one traffic secret."""

    __slots__ = ("_decrypt_into", "_iv", "limit", "secret", "sequence")

    def __init__(self, secret: TrafficSecret) -> None:
        key, iv = secret.key_and_iv()
        self._decrypt_into = secret.suite.new_aead(key).decrypt_into
        self._iv = int.from_bytes(iv, "big")
        self.secret = secret
        self.sequence = 0
        self.limit = secret.suite.record_limit

    def open_into(self, header: bytes, ciphertext: memoryview, out: memoryview) -> None:
        """Decrypt one record into `out`, which is as long as the plaintext: content, content type, padding."""
        nonce = (self._iv ^ self.sequence).to_bytes(12, "big")
        self.sequence += 1
        try:
            self._decrypt_into(nonce, ciphertext, header, out)
        except AuthenticationFailed:
            raise PeerMisbehaved(Misbehaviour.BAD_RECORD_MAC) from None


class RecordWriter:
    """Turns messages, alerts and data into records, and keeps them until they are taken.

    Handshake messages under the same key share records until something else is sent, so that a flight is one record
    where it fits. `pad_to`, when not 0, pads application data to a multiple of that many bytes.
    """

    __slots__ = ("_chunks", "_handshake", "_sealer", "pad_to", "pending")

    def __init__(self, pad_to: int = 0) -> None:
        self._sealer: Sealer | None = None
        self._chunks: list[bytes | bytearray] = []
        self._handshake: list[bytes] = []
        self.pending = 0
        self.pad_to = pad_to

    @property
    def sealer(self) -> Sealer | None:
        """The current write direction; None while records go out in the clear."""
        return self._sealer

    def use(self, secret: TrafficSecret) -> None:
        """Change keys; what was queued before goes out under the old ones."""
        self.flush_handshake()
        self._sealer = Sealer(secret)

    def queue_handshake(self, message: bytes) -> None:
        """Add a handshake message to the flight."""
        self._handshake.append(message)

    def flush_handshake(self) -> None:
        """Turn the waiting handshake messages into records."""
        if self._handshake:
            flight = b"".join(self._handshake)
            self._handshake = []
            for start in range(0, len(flight), MAX_PLAINTEXT):
                self._write(_HANDSHAKE, flight[start : start + MAX_PLAINTEXT])

    def queue_change_cipher_spec(self) -> None:
        """The record for middleboxes, always in the clear (RFC 9846 E.4)."""
        self.flush_handshake()
        self._append(_CCS_RECORD)

    def queue_alert(self, level: int, description: AlertDescription) -> None:
        """An alert."""
        self.flush_handshake()
        self._write(_ALERT, bytes((level, description)))

    def _write(self, kind: int, payload: bytes) -> None:
        if self._sealer is not None:
            self._append(self._sealer.seal(kind, payload))
        else:
            # RFC 9846 5.1: the first ClientHello may say TLS 1.0 here for old peers; everybody takes TLS 1.2.
            version = ProtocolVersion.TLS1_2.to_bytes(2, "big")
            self._append(b"%c%b%b%b" % (kind, version, len(payload).to_bytes(2, "big"), payload))

    def _append(self, chunk: bytes | bytearray) -> None:
        self._chunks.append(chunk)
        self.pending += len(chunk)

    def records_needed(self, size: int) -> int:
        """How many records `size` bytes of data take."""
        return -(-size // MAX_PLAINTEXT)

    def write_data(self, sealer: Sealer, data: memoryview) -> None:
        """Seal application data: at most `sealer.limit - sealer.sequence` records of it."""
        size = len(data)
        if self.pad_to:
            self._write_padded(sealer, data)
        elif size <= _SMALL:
            self._append(sealer.seal(_APPLICATION_DATA, bytes(data)))
        else:
            for start in range(0, size, _PIECE):
                self._write_piece(sealer, data[start : start + _PIECE])

    def _write_piece(self, sealer: Sealer, data: memoryview) -> None:
        size = len(data)
        records = self.records_needed(size)
        out = bytearray(size + records * (HEADER_LENGTH + 1 + TAG_LENGTH))
        view = memoryview(out)
        scratch = BUFFERS.take()
        written = 0
        for start in range(0, size, MAX_PLAINTEXT):
            written += sealer.seal_into(data[start : start + MAX_PLAINTEXT], scratch, view[written:])
        BUFFERS.give_back(scratch)
        self._append(out)

    def _write_padded(self, sealer: Sealer, data: memoryview) -> None:
        for start in range(0, len(data), MAX_PLAINTEXT):
            payload = bytes(data[start : start + MAX_PLAINTEXT])
            padding = min(-len(payload) % self.pad_to, MAX_PLAINTEXT - len(payload))
            self._append(sealer.seal(_APPLICATION_DATA, payload, padding))

    def take(self, limit: int | None) -> bytes:
        """The next bytes for the transport, all of them or at most `limit`."""
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


def inner_plaintext_end(inner: Buffer, start: int, end: int) -> int:
    """Where the content type of a decrypted record stands: its last byte that is not zero (RFC 9846 5.4)."""
    length = len(bytes(inner[start:end]).rstrip(b"\0"))
    if not length:
        raise PeerMisbehaved(Misbehaviour.NO_INNER_CONTENT_TYPE)
    return start + length - 1


__all__ = [
    "BUFFER_SIZE",
    "HEADER_LENGTH",
    "MAX_CIPHERTEXT",
    "MAX_PLAINTEXT",
    "Opener",
    "RecordWriter",
    "Sealer",
    "inner_plaintext_end",
]
