"""Stores of sessions: small protocols, and the bounded ones in memory that are the default.

A store may lose anything at any time: that costs a full handshake, never more. A server's store may be asynchronous
(its methods `async`), for transports that are.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Awaitable
from typing import Protocol, runtime_checkable

from trustls.errors import ConfigError
from trustls.session.state import ClientSession
from trustls.wire.enums import NamedGroup


class ServerSessionStore(Protocol):
    """Sessions of a server, by identifier. An error is logged and counts as None."""

    def put(self, identifier: bytes, session: bytes, lifetime: int) -> Awaitable[None] | None:
        """Keep `session` for `lifetime` seconds."""

    def get(self, identifier: bytes) -> bytes | Awaitable[bytes | None] | None:
        """The session, which stays in the store."""

    def take(self, identifier: bytes) -> bytes | Awaitable[bytes | None] | None:
        """The session, removed in the same step: of two callers at once, one gets it."""


class ClientSessionStore(Protocol):
    """Sessions of a client. `key` stands for a server name and the configuration it was reached with.

    An error is logged and counts as None.
    """

    def put(self, key: bytes, session: ClientSession) -> None:
        """Keep `session` beside others of the same key."""

    def take(self, key: bytes) -> ClientSession | None:
        """The newest session, removed: a ticket is shown once (RFC 9846 C.4)."""


@runtime_checkable
class GroupMemory(Protocol):
    """What a ClientSessionStore may do besides: remember the group that a server asked for with a HelloRetryRequest.

    The next ClientHello then has a share of it, and no round trip is lost. `key` is as in ClientSessionStore; one group
    is kept for each, the last. An error is logged and counts as None.
    """

    def put_group(self, key: bytes, group: NamedGroup) -> None:
        """Remember `group`."""

    def get_group(self, key: bytes) -> NamedGroup | None:
        """The group, which stays in the store."""


class MemorySessions:
    """A server's sessions in this process, at most `capacity`; the least recently used go first. Thread-safe.

    Expiry is the session's own: what is too old is refused when it is resumed.
    """

    def __init__(self, capacity: int = 4096) -> None:
        """Raises ConfigError for a capacity below 1."""
        if capacity < 1:
            raise ConfigError("a session store needs room for at least one session")
        self._capacity = capacity
        self._sessions: OrderedDict[bytes, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def put(self, identifier: bytes, session: bytes, lifetime: int) -> None:  # noqa: ARG002 (expiry is the session's own)
        """Keep a session."""
        with self._lock:
            self._sessions[identifier] = session
            self._sessions.move_to_end(identifier)
            if len(self._sessions) > self._capacity:
                self._sessions.popitem(last=False)

    def get(self, identifier: bytes) -> bytes | None:
        """The session, if it is here."""
        with self._lock:
            session = self._sessions.get(identifier)
            if session is not None:
                self._sessions.move_to_end(identifier)
            return session

    def take(self, identifier: bytes) -> bytes | None:
        """The session, removed."""
        with self._lock:
            return self._sessions.pop(identifier, None)

    def __len__(self) -> int:
        return len(self._sessions)


class MemoryClientSessions:
    """A client's sessions in this process: `per_server` for each of at most `servers`. Thread-safe.

    For as many servers it remembers the group that they asked for (`GroupMemory`).
    """

    def __init__(self, servers: int = 256, per_server: int = 4) -> None:
        """Raises ConfigError for a number below 1."""
        if servers < 1 or per_server < 1:
            raise ConfigError("a session store needs room for at least one session")
        self._servers = servers
        self._per_server = per_server
        self._sessions: OrderedDict[bytes, list[ClientSession]] = OrderedDict()
        self._groups: OrderedDict[bytes, NamedGroup] = OrderedDict()
        self._lock = threading.Lock()

    def put(self, key: bytes, session: ClientSession) -> None:
        """Keep a session."""
        with self._lock:
            sessions = self._sessions.setdefault(key, [])
            sessions.append(session)
            del sessions[: -self._per_server]
            self._sessions.move_to_end(key)
            if len(self._sessions) > self._servers:
                self._sessions.popitem(last=False)

    def take(self, key: bytes) -> ClientSession | None:
        """The newest session of this key."""
        with self._lock:
            sessions = self._sessions.get(key)
            if not sessions:
                return None
            session = sessions.pop()
            if not sessions:
                del self._sessions[key]
            return session

    def put_group(self, key: bytes, group: NamedGroup) -> None:
        """Remember the group that this server asked for."""
        with self._lock:
            self._groups[key] = group
            self._groups.move_to_end(key)
            if len(self._groups) > self._servers:
                self._groups.popitem(last=False)

    def get_group(self, key: bytes) -> NamedGroup | None:
        """The group that this server asked for, if it did."""
        return self._groups.get(key)

    def __len__(self) -> int:
        return sum(map(len, self._sessions.values()))
