"""Server tickets: the session itself, sealed under keys that rotate (RFC 9846 4.7.1, RFC 5077 4)."""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Awaitable
from dataclasses import field
from typing import Final, Protocol

from trustls.crypto.aead import Aead, AuthenticationFailed, aes_gcm
from trustls.errors import ConfigError
from trustls.session.store import MemorySessions, ServerSessionStore
from trustls.values import dataclass

KEY_LENGTH: Final = 32
NAME_LENGTH: Final = 16
_NONCE_LENGTH: Final = 12
_SEALED_AT: Final = NAME_LENGTH + _NONCE_LENGTH
# RFC 9846 4.7.1: at most seven days; who holds a ticket key can read what it sealed, so hours are wiser.
_MAX_LIFETIME: Final = 7 * 24 * 3600
_DEFAULT_LIFETIME: Final = 2 * 3600


@dataclass(frozen=True, slots=True)
class TicketKey:
    """One key, by its public name.

    Attributes:
        name: 16 bytes, which stand at the beginning of each ticket.
        key: 32 bytes, for AES-256-GCM.
    """

    name: bytes
    key: bytes = field(repr=False)
    _aead: Aead | None = field(default=None, init=False, repr=False, compare=False)

    @classmethod
    def generate(cls) -> TicketKey:
        """A fresh one."""
        return cls(secrets.token_bytes(NAME_LENGTH), secrets.token_bytes(KEY_LENGTH))

    def seal(self, session: bytes) -> bytes:
        """The ticket: the key's name, a nonce, and the session, encrypted and authenticated."""
        name = self.name
        nonce = os.urandom(_NONCE_LENGTH)
        return name + nonce + (self._aead or self._made_aead()).encrypt(nonce, session, name)

    def open(self, ticket: bytes) -> bytes | None:
        """The session of a ticket sealed under this key; None for any other."""
        nonce = ticket[NAME_LENGTH:_SEALED_AT]
        if ticket[:NAME_LENGTH] != self.name or len(nonce) != _NONCE_LENGTH:
            return None
        try:
            return (self._aead or self._made_aead()).decrypt(nonce, ticket[_SEALED_AT:], self.name)
        except AuthenticationFailed:
            return None

    def _made_aead(self) -> Aead:
        """Made when it is first needed, and kept with the key: each connection takes several tickets."""
        aead = aes_gcm(self.key)
        object.__setattr__(self, "_aead", aead)
        return aead


class TicketKeys(Protocol):
    """Where ticket keys come from. An error is logged; without a key there is no ticket, and no resumption."""

    def current(self, now: float) -> TicketKey | Awaitable[TicketKey | None] | None:
        """The key to seal with."""

    def named(self, name: bytes, now: float) -> TicketKey | Awaitable[TicketKey | None] | None:
        """The key of this name, if it still opens tickets."""


class RotatingTicketKeys:
    """Keys of this process: a fresh one every `rotate_every` seconds; the one before still opens. Thread-safe.

    Processes that are forked from one that has these go on each with keys of its own, and resume no session of
    another: see `SharedTicketKeys`.
    """

    def __init__(self, rotate_every: float = 6 * 3600) -> None:
        """Raises ConfigError when `rotate_every` is not positive."""
        if rotate_every <= 0:
            raise ConfigError("ticket keys rotate after a positive number of seconds")
        self._rotate_every = rotate_every
        self._lock = threading.Lock()
        # Replaced whole, so that no lock is needed to read it: when the first key was made, and the keys.
        self._state: tuple[float, tuple[TicketKey, ...]] = 0.0, ()

    def current(self, now: float) -> TicketKey:
        """The newest key."""
        return self._keys(now)[0]

    def named(self, name: bytes, now: float) -> TicketKey | None:
        """One of the last two keys."""
        for key in self._keys(now):
            if key.name == name:
                return key
        return None

    def _keys(self, now: float) -> tuple[TicketKey, ...]:
        """The keys of now, the newest first."""
        rotated_at, keys = self._state
        if keys and now - rotated_at < self._rotate_every:
            return keys
        with self._lock:
            rotated_at, keys = self._state
            periods = (now - rotated_at) / self._rotate_every if keys else 2
            if periods >= 1:
                # After two periods without use, even the last key is too old.
                keys = (TicketKey.generate(), *(keys[:1] if periods < 2 else ()))
                self._state = now, keys
            return keys


@dataclass(frozen=True, slots=True, kw_only=True)
class Tickets:
    """Resumption without memory: the session travels in the ticket.

    Args:
        keys: what seals the tickets; servers that share them resume each other's sessions.
        count: how many tickets a TLS 1.3 client gets after each handshake.
        lifetime: seconds that a ticket is good for, seven days at most.

    Raises:
        ConfigError: a number is outside its bounds.
    """

    keys: TicketKeys = field(default_factory=RotatingTicketKeys)
    count: int = 2
    lifetime: int = _DEFAULT_LIFETIME

    def __post_init__(self) -> None:
        _check(self.count, self.lifetime)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSessions:
    """Resumption from a store: the ticket, or TLS 1.2's session id, is only a name.

    In TLS 1.3 each name is good for one resumption, which is what makes early data safe from replay.

    Args:
        store: where the sessions are; servers that share it resume each other's.
        count: how many names a TLS 1.3 client gets after each handshake.
        lifetime: seconds that a session is good for, seven days at most.
        max_early_data: bytes of early data (0-RTT) that a resuming client may send; 0 for none.
        early_data_window: seconds by which the client's idea of a session's age may differ from ours; early data
            outside is refused, and the handshake goes on without it.

    Raises:
        ConfigError: a number is outside its bounds.
    """

    store: ServerSessionStore = field(default_factory=MemorySessions)
    count: int = 2
    lifetime: int = _DEFAULT_LIFETIME
    max_early_data: int = 0
    early_data_window: float = 10.0

    def __post_init__(self) -> None:
        _check(self.count, self.lifetime)
        if not 0 <= self.max_early_data <= 1 << 24:
            raise ConfigError(f"max_early_data={self.max_early_data} is outside 0 to 16777216")
        if self.early_data_window <= 0:
            raise ConfigError("early_data_window takes a positive number of seconds")


Resumption = Tickets | StoredSessions


def _check(count: int, lifetime: int) -> None:
    if not 0 <= count <= 16:
        raise ConfigError(f"count={count} tickets is outside 0 to 16")
    if not 1 <= lifetime <= _MAX_LIFETIME:
        raise ConfigError(f"a ticket lifetime of {lifetime} s is outside 1 to {_MAX_LIFETIME} s")
