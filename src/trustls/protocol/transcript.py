"""The transcript hash: over every handshake message's exact bytes, header included (RFC 9846 4.1.1).

Until the cipher suite is known the messages are kept; from then on only the running hash is.
"""

from __future__ import annotations

from trustls.crypto.hashing import HashAlgorithm, RunningHash

_MESSAGE_HASH = b"\xfe\x00\x00"


class Transcript:
    """What both sides have said so far."""

    __slots__ = ("_digest", "_keeps", "_kept", "_running")

    def __init__(self) -> None:
        self._kept: list[bytes] = []
        self._keeps = True
        self._running: RunningHash | None = None
        # Of what has been said so far: a handshake asks twice for that of the server's Finished.
        self._digest: bytes | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing has been said yet."""
        return self._running is None and not self._kept

    def add(self, message: bytes) -> None:
        """Append one message."""
        self._digest = None
        if self._running is not None:
            self._running.update(message)
        if self._keeps:
            self._kept.append(message)

    def start(self, algorithm: HashAlgorithm, *, keep: bool = False) -> None:
        """Hash from here on; what was kept goes in first. `keep` goes on keeping the messages too, until `forget`."""
        if self._running is None:
            self._running = algorithm.start(b"".join(self._kept))
            self._keeps = keep
            if not keep:
                self._kept = []
        elif not keep:
            self.forget()

    def hash_of_first(self, algorithm: HashAlgorithm) -> bytes:
        """The hash of the first ClientHello, before `start`."""
        return algorithm.hash(self._kept[0])

    def start_after_retry(self, algorithm: HashAlgorithm) -> None:
        """Like `start`, with the first ClientHello replaced by its hash (RFC 9846 4.1.1)."""
        # The messages stay, too: binders in the second ClientHello are over a part of them.
        self._kept[0] = _MESSAGE_HASH + bytes([algorithm.length]) + self.hash_of_first(algorithm)
        self.start(algorithm, keep=True)

    def content(self) -> bytes:
        """Everything so far, while it is kept: TLS 1.2 signs that, with a hash of its own (RFC 5246 7.4.8)."""
        if not self._keeps:
            raise RuntimeError("the transcript keeps its hash only")
        return b"".join(self._kept)

    def forget(self) -> None:
        """Keep no messages from here on."""
        self._keeps = False
        self._kept = []

    def copy(self) -> Transcript:
        """The same transcript, to go on with apart from this one. What is kept as messages is left behind."""
        if self._running is None:
            raise RuntimeError("the transcript has no hash function yet")
        copy = Transcript()
        copy._keeps = False
        copy._running = self._running.copy()
        return copy

    def digest(self) -> bytes:
        """The hash of everything so far."""
        digest = self._digest
        if digest is None:
            if self._running is None:
                raise RuntimeError("the transcript has no hash function yet")
            digest = self._digest = self._running.copy().digest()
        return digest
