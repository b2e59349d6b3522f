"""Early data (0-RTT): what a client may send before the server has answered, and what becomes of it (RFC 9846 4.3.10).

It can be replayed by anybody who saw it, so it never mixes with other data: it is written, read, counted and, where the
server did not take it, given back here.
"""

from __future__ import annotations

from typing import Final

from trustls.errors import Misbehaviour, PeerMisbehaved

# The content type and the tag of each record.
_RECORD_OVERHEAD: Final = 17


class EarlyData:
    """The early data of one connection; a client's or a server's."""

    __slots__ = ("_left_over", "_received", "_sent", "_taking", "accepted", "sendable", "skippable")

    def __init__(self) -> None:
        self.accepted: bool | None = None
        self.sendable = 0
        self.skippable = 0
        self._sent = bytearray()
        self._left_over = b""
        self._received = bytearray()
        self._taking = 0

    # -- A client's ---------------------------------------------------------------------------------------------------

    def offer(self, limit: int) -> None:
        """Allow `limit` bytes."""
        self.sendable = limit

    def sent(self, data: bytes) -> None:
        """Count data that goes out, and keep it: a server may refuse it."""
        self.sendable -= len(data)
        self._sent += data

    def left_over(self, data: bytes) -> None:
        """Keep what could not go out early."""
        self._left_over += data

    def settle(self, *, accepted: bool) -> None:
        """The server's answer."""
        self.accepted = accepted
        self.sendable = 0
        if accepted:
            self._sent.clear()

    def take_rejected(self) -> bytes:
        """What was sent in vain, and what did not go out, once."""
        if self.accepted is None and self._sent:
            return b""  # The server has not answered yet.
        rejected = bytes(self._sent) if self.accepted is False else b""
        rejected += self._left_over
        self._sent.clear()
        self._left_over = b""
        return rejected

    # -- A server's ---------------------------------------------------------------------------------------------------

    def skip(self, limit: int) -> None:
        """Expect early data that is not taken: at most `limit` bytes of it."""
        self.accepted = False
        self.skippable = limit

    def skip_record(self, size: int) -> None:
        """Pass over a record of `size` bytes; what counts is the data that it can hold."""
        data = max(1, size - _RECORD_OVERHEAD)
        if data > self.skippable:
            raise PeerMisbehaved(Misbehaviour.BAD_RECORD_MAC, "more early data than could have been offered")
        self.skippable -= data

    def take(self, limit: int) -> None:
        """Expect early data of at most `limit` bytes."""
        self.accepted = True
        self._taking = limit + 1  # One more, so that what is full is not yet over.

    def stop_taking(self) -> None:
        """EndOfEarlyData has come."""
        self._taking = 0

    @property
    def is_taken(self) -> bool:
        """Whether a record of application data is early data now."""
        return self._taking > 0

    def received(self, data: bytes) -> None:
        """Keep data that came."""
        if len(data) >= self._taking:
            raise PeerMisbehaved(Misbehaviour.TOO_MUCH_EARLY_DATA)
        self._taking -= len(data)
        self._received += data

    def read(self) -> bytes:
        """What has come, once."""
        received = bytes(self._received)
        self._received.clear()
        return received
