"""What trustls's trace says of a connection, for the expectations that look at single messages."""

from __future__ import annotations

import logging

import trustls
from trustls.trace import RECEIVED, SENT, HandshakeEvent

_logger = logging.getLogger("trustls.handshake")


class WireLog(logging.Handler):
    """Keeps the handshake messages of a connection, in order, as BoringSSL's message callback names them."""

    def __init__(self) -> None:
        super().__init__(trustls.TRACE)
        self.lines: list[str] = []
        self.last_received = -1
        self.peer_scheme = 0
        _logger.propagate = False
        _logger.setLevel(trustls.TRACE)
        _logger.addHandler(self)

    def begin(self) -> None:
        """The next connection starts."""
        self.lines.clear()
        self.last_received = -1
        self.peer_scheme = 0

    def emit(self, record: logging.LogRecord) -> None:
        """One event of the trace."""
        event = getattr(record, "event", None)
        if not isinstance(event, HandshakeEvent):
            return
        if event.direction not in {SENT, RECEIVED}:
            return  # What a CompressedCertificate stands for is not on the wire.
        kind = int(event.message.TYPE)
        received = event.direction == RECEIVED
        self.lines.append(f"{'read' if received else 'write'} hs {kind}")
        if received:
            self.last_received = kind
            self.peer_scheme = getattr(event.message, "scheme", self.peer_scheme)
