"""Ticket keys that processes agree on without a word between them: out of one secret, and the time."""

from __future__ import annotations

import math
import secrets
import time
from dataclasses import field
from typing import Final, Self

from trustls.crypto.hashing import SHA256, equal
from trustls.errors import ConfigError
from trustls.session.tickets import KEY_LENGTH, NAME_LENGTH, TicketKey
from trustls.values import dataclass

_SECRET_LENGTH: Final = 32
# What a process may have to catch up with at once: a day of the shortest periods, 60 years of the usual ones. It bounds
# what a clock that jumps can cost.
_SHORTEST_PERIOD: Final = 1.0
_MOST_PERIODS: Final = 86_400


@dataclass(frozen=True, slots=True)
class _Epoch:
    """One period: its key, the one before, and the secret of the next, from which this one's cannot be computed."""

    number: int
    previous: TicketKey | None
    current: TicketKey
    secret: bytes = field(repr=False)

    @classmethod
    def first(cls, secret: bytes) -> _Epoch:
        """The period in which the secret was made."""
        return cls(0, None, *_derived(secret))

    def following(self) -> _Epoch:
        """The next one."""
        key, secret = _derived(self.secret)
        return _Epoch(self.number + 1, self.current, key, secret)


class SharedTicketKeys:
    """Keys for the processes of one server: each derives the same ones by itself, a new one every `rotate_every` s.

        config = ServerConfig(credentials=[own], resumption=Tickets(keys=SharedTicketKeys.generate()))
        ...  # and then fork: gunicorn with preload_app, `trustls serve --workers 4`

    A ticket that one process gave is taken by all. Each period's secret is the hash of the one before, which is then
    forgotten, as is a key one period after its own: what a process holds opens no ticket older than that. That holds of
    every process which has the keys, so that one which only forks others has to call `forget` now and then.

    Tickets of TLS 1.3 that several processes open are not good for one use only, so that early data has no place with
    them: `Tickets` offers none. Thread-safe, and safe to share across `fork`: there is no lock that a child could find
    taken, since two threads that derive the same come to the same.

    For servers on several machines there is `trustls.session.redis`.
    """

    def __init__(self, secret: bytes, *, started_at: float, rotate_every: float = 6 * 3600) -> None:
        """Processes that were not forked from one must be given the same three values.

        Args:
            secret: 32 random bytes. Whoever has them can compute every key: hand them over through a pipe, not on a
                command line or in the environment, and do not keep them.
            started_at: when the secret was made, in seconds since 1970.
            rotate_every: seconds, at least 1. A ticket opens for at least this long after it was made, and for at most
                twice as long, whatever its lifetime.

        Raises:
            ConfigError: the secret is not 32 bytes, or a number makes no sense.
        """
        if not isinstance(secret, bytes) or len(secret) != _SECRET_LENGTH:
            raise ConfigError(f"`secret` takes {_SECRET_LENGTH} random bytes: secrets.token_bytes({_SECRET_LENGTH})")
        if not _SHORTEST_PERIOD <= rotate_every < math.inf:
            raise ConfigError("ticket keys rotate after a number of seconds, 1 or more")
        if not math.isfinite(started_at):
            raise ConfigError(f"started_at={started_at} is no time")
        self._started_at = started_at
        self._rotate_every = rotate_every
        self._epoch = _Epoch.first(secret)

    @classmethod
    def generate(cls, *, rotate_every: float = 6 * 3600) -> Self:
        """Keys out of a fresh secret, for this process and those that will be forked from it.

        Raises:
            ConfigError: `rotate_every` makes no sense.
        """
        return cls(secrets.token_bytes(_SECRET_LENGTH), started_at=time.time(), rotate_every=rotate_every)

    def current(self, now: float) -> TicketKey:
        """The key of this period, the same in all processes.

        Raises:
            ValueError: the clock has jumped so far that it cannot be true.
        """
        return self._at(now).current

    def named(self, name: bytes, now: float) -> TicketKey | None:
        """The key of this name, if it belongs to this period, the one before, or the next: another is a little ahead.

        Raises:
            ValueError: as for `current`.
        """
        epoch = self._at(now)
        for key in (epoch.current, epoch.previous):
            if key is not None and equal(name, key.name):
                return key
        following = epoch.following().current
        return following if equal(name, following.name) else None

    def forget(self, now: float | None = None) -> None:
        """Let go of keys and secrets that have had their time, as each use does: for a process that makes no use.

        Raises:
            ValueError: as for `current`.
        """
        self._at(time.time() if now is None else now)

    def _at(self, now: float) -> _Epoch:
        """The period of `now`; or the newest that was reached, when the clock was set back: there is no way back."""
        epoch = self._epoch
        behind = (now - self._started_at) // self._rotate_every - epoch.number
        if behind <= 0:
            return epoch
        if not behind <= _MOST_PERIODS:
            raise ValueError(f"the clock says {now}, {behind} periods after the last use of the ticket keys")
        for _ in range(int(behind)):
            epoch = epoch.following()
        self._epoch = epoch
        return epoch

    def __repr__(self) -> str:
        return f"<SharedTicketKeys, a new one every {self._rotate_every:g} s>"


def _derived(secret: bytes) -> tuple[TicketKey, bytes]:
    """The key of a period, and the secret of the next one."""
    mac = SHA256.mac(secret)
    name = SHA256.expand(mac, b"trustls ticket key name", NAME_LENGTH)
    key = SHA256.expand(mac, b"trustls ticket key", KEY_LENGTH)
    return TicketKey(name, key), SHA256.expand(mac, b"trustls next ticket secret", _SECRET_LENGTH)
