"""What trustls says of its own handshake messages (logger `trustls.handshake`, level TRACE) while a test runs."""

from __future__ import annotations

import logging
import threading
from types import TracebackType
from typing import Self

import trustls
from trustls.trace import HandshakeEvent
from trustls.wire.messages import CertificateMessage, HandshakeMessage
from trustls.wire.messages12 import CertificateMessage12

_LOGGER = logging.getLogger("trustls.handshake")


class Watch(logging.Handler):
    """Collects the events of all connections, in order."""

    def __init__(self) -> None:
        super().__init__()
        self._events: list[HandshakeEvent] = []
        self._texts: list[str] = []
        self._guard = threading.Lock()

    def emit(self, record: logging.LogRecord) -> None:
        event = getattr(record, "event", None)
        with self._guard:
            self._texts.append(record.getMessage())
            if isinstance(event, HandshakeEvent):
                self._events.append(event)

    def take(self) -> list[HandshakeEvent]:
        """The messages since the last time."""
        with self._guard:
            taken, self._events = self._events, []
            return taken

    @property
    def text(self) -> str:
        """Everything that was logged, as it reads."""
        with self._guard:
            return "\n".join(self._texts)

    def __enter__(self) -> Self:
        self._level = _LOGGER.level
        _LOGGER.setLevel(trustls.TRACE)
        _LOGGER.addHandler(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        _LOGGER.removeHandler(self)
        _LOGGER.setLevel(self._level)


def names(events: list[HandshakeEvent]) -> list[str]:
    """The classes of the messages."""
    return [type(event.message).__name__ for event in events]


def certificates_in(events: list[HandshakeEvent]) -> list[HandshakeMessage]:
    """The Certificate messages among them, of either version and direction."""
    return [event.message for event in events if isinstance(event.message, CertificateMessage | CertificateMessage12)]
