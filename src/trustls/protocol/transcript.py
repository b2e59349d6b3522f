"""The transcript hash: over every handshake message's exact bytes, header included (RFC 9846 4.1.1).

Until the cipher suite is known the messages are kept; from then on only the running hash is.
"""

from __future__ import annotations

from trustls.crypto.hashing import HashAlgorithm, RunningHash

_MESSAGE_HASH = b"\xfe\x00\x00"


class Transcript:
    """What both sides have said so far."""

    __slots__ = ("_kept", "_running")

    def __init__(self) -> None:
        self._kept: list[bytes] = []
        self._running: RunningHash | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing has been said yet."""
        return self._running is None and not self._kept

    def add(self, message: bytes) -> None:
        """Append one message."""
        if self._running is None:
            self._kept.append(message)
        else:
            self._running.update(message)

    def start(self, algorithm: HashAlgorithm) -> None:
        """Hash from here on; what was kept goes in first."""
        if self._running is None:
            self._running = algorithm.start(b"".join(self._kept))
            self._kept = []

    def hash_of_first(self, algorithm: HashAlgorithm) -> bytes:
        """The hash of the first ClientHello, before `start`."""
        return algorithm.hash(self._kept[0])

    def start_after_retry(self, algorithm: HashAlgorithm) -> None:
        """Like `start`, with the first ClientHello replaced by its hash (RFC 9846 4.1.1)."""
        self._kept[0] = _MESSAGE_HASH + bytes([algorithm.length]) + self.hash_of_first(algorithm)
        self.start(algorithm)

    def digest(self) -> bytes:
        """The hash of everything so far."""
        if self._running is None:
            raise RuntimeError("the transcript has no hash function yet")
        return self._running.copy().digest()
