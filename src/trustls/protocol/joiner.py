"""Handshake messages out of records: joined over fragments, within limits (RFC 9846 5.1)."""

from __future__ import annotations

from typing import Final

from trustls.errors import DecodeError, Misbehaviour
from trustls.wire.enums import HandshakeType

_HEADER: Final = 4
# Far above any honest message; a CertificateRequest's names alone may take 2^16.
_LARGE: Final = 1 << 17
_MEDIUM: Final = 1 << 16
MAX_CERTIFICATE_MESSAGE: Final = _LARGE
"""The most bytes of a Certificate message, header not counted; of one that was compressed, too."""
_LIMITS: dict[int, int] = {
    HandshakeType.CLIENT_HELLO: _LARGE,
    HandshakeType.CERTIFICATE: MAX_CERTIFICATE_MESSAGE,
    HandshakeType.COMPRESSED_CERTIFICATE: MAX_CERTIFICATE_MESSAGE,
    HandshakeType.CERTIFICATE_REQUEST: _LARGE,
    HandshakeType.NEW_SESSION_TICKET: (1 << 16) + 512,
    HandshakeType.FINISHED: 64,
    HandshakeType.KEY_UPDATE: 1,
    HandshakeType.END_OF_EARLY_DATA: 0,
    HandshakeType.HELLO_REQUEST: 0,
    HandshakeType.SERVER_HELLO_DONE: 0,
}


class HandshakeJoiner:
    """Collects the contents of handshake records and gives whole messages.

    `waiting` is what has come and was not given: empty when the last message ended where its record did.
    """

    __slots__ = ("waiting",)

    def __init__(self) -> None:
        self.waiting: bytes | bytearray = b""

    def add(self, fragment: bytes) -> None:
        """The content of the next handshake record."""
        buffer = self.waiting
        if not buffer:
            self.waiting = fragment
        elif isinstance(buffer, bytearray):
            buffer += fragment
        else:
            # A bytearray grows in place: a message sent a byte a record costs no more than its length.
            self.waiting = bytearray(buffer) + fragment

    def next_message(self) -> tuple[int, bytes] | None:
        """Type and exact bytes, header included, of the next message; None until it is whole."""
        buffer = self.waiting
        if len(buffer) < _HEADER:
            return None
        header = int.from_bytes(buffer[:_HEADER], "big")
        kind = header >> 24
        end = (header & 0xFFFFFF) + _HEADER
        limit = _LIMITS.get(kind, _MEDIUM)
        if end - _HEADER > limit:
            # Refused by its header, before any of it is kept.
            raise DecodeError(
                Misbehaviour.MESSAGE_TOO_LARGE,
                f"{HandshakeType(kind)} of {end - _HEADER} bytes, at most {limit} are taken",
            )
        if len(buffer) < end:
            return None
        self.waiting = buffer[end:]
        return kind, bytes(buffer[:end])
