"""Messages that are made beforehand, because one handshake after another sends the same."""

from __future__ import annotations

from collections.abc import Callable

from trustls.wire.messages import HandshakeMessage, encode_message

_KEPT = 4


class ReadyMessage:
    """A message that is the same in one handshake after another: its encoding, made once.

    It is made anew when what it is `of` is another object than before.
    """

    __slots__ = ("_made",)

    def __init__(self) -> None:
        self._made: tuple[object, bytes] | None = None

    def of(self, source: object, make: Callable[[], HandshakeMessage]) -> bytes:
        """The message with its header; `make` gives it where `source` is new, which may not change in itself."""
        made = self._made
        if made is None or made[0] is not source:
            # Both in one value: threads that come here together see no message of another source.
            self._made = made = source, encode_message(make())
        return made[1]


class ReadyForms:
    """The few forms that something is sent in again and again, each made once: the last four of them."""

    __slots__ = ("_made",)

    def __init__(self) -> None:
        self._made: dict[object, bytes] = {}

    def of(self, source: object, make: Callable[[], bytes]) -> bytes:
        """The form of this source; `make` gives it where it is not there."""
        made = self._made
        form = made.get(source)
        if form is None:
            form = make()
            # Another dict, and not one that changes: threads may look at it.
            self._made = dict([*list(made.items())[1 - _KEPT :], (source, form)])
        return form
