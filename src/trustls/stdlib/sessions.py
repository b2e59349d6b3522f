"""Sessions as objects of `ssl`: what a socket's `session` gives, and what `session=` takes.

The configuration's own store goes on working beside it: connections resume by themselves. A session that is given
explicitly is offered instead, also a second time (RFC 9846 C.4 would have each ticket shown once only).
"""

from __future__ import annotations

import hashlib
import threading

from trustls.session.state import ClientSession
from trustls.session.store import ClientSessionStore, GroupMemory
from trustls.wire.enums import NamedGroup, ProtocolVersion


class SSLSession:
    """A session of one connection, in the form of `ssl.SSLSession`. It holds secrets, and is not pickled.

    Attributes:
        time: when it was received, in whole seconds since 1970.
        timeout: for how many seconds from then it may be resumed.
        ticket_lifetime_hint: the same, as the server said it.
        has_ticket: whether the server gave a ticket; otherwise it is found by a session id (TLS 1.2).
        id: a name for it; in TLS 1.3 and with tickets a digest of the ticket.
    """

    __slots__ = ("_key", "_session")

    def __init__(self, key: bytes, session: ClientSession) -> None:
        self._key = key
        self._session = session

    @property
    def id(self) -> bytes:
        """A name for the session."""
        return self._session.session_id or hashlib.sha256(self._session.ticket).digest()

    @property
    def time(self) -> int:
        """When it was received, in seconds since 1970."""
        return int(self._session.received_at)

    @property
    def timeout(self) -> int:
        """For how many seconds it may be resumed."""
        return self._session.lifetime

    @property
    def ticket_lifetime_hint(self) -> int:
        """The lifetime that the server gave the ticket, in seconds; 0 without a ticket."""
        return self._session.lifetime if self.has_ticket else 0

    @property
    def has_ticket(self) -> bool:
        """Whether there is a ticket."""
        return bool(self._session.ticket)

    @property
    def version(self) -> ProtocolVersion:
        """The version of TLS in which it can be resumed."""
        return self._session.version

    def __eq__(self, other: object) -> bool:
        return self.id == other.id if isinstance(other, SSLSession) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.id)

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("a session holds secrets, and is not pickled")

    def offered_for(self, key: bytes) -> ClientSession | None:
        """The session, if it was made with the same server and configuration."""
        return self._session if key == self._key else None


class _Moment(threading.local):
    """What is under way in this thread."""

    offer: SSLSession | None = None
    offered: bool = False
    received: SSLSession | None = None


class WatchedSessions:
    """The configuration's store, which can tell the sessions of one connection apart.

    A connection puts and takes sessions while one of its methods runs, and so in the thread that called it.
    """

    def __init__(self, store: ClientSessionStore) -> None:
        self._store = store
        self._groups = store if isinstance(store, GroupMemory) else None
        self._now = _Moment()

    def put(self, key: bytes, session: ClientSession) -> None:
        """Keep a session, and remember it for `received`."""
        self._store.put(key, session)
        self._now.received = SSLSession(key, session)

    def take(self, key: bytes) -> ClientSession | None:
        """The session that `offering` was given; otherwise the newest of the store."""
        offer = self._now.offer
        if offer is None:
            return self._store.take(key)
        session = offer.offered_for(key)
        self._now.offered = session is not None
        return session

    def put_group(self, key: bytes, group: NamedGroup) -> None:
        """Remember a group, if the store does that."""
        if self._groups is not None:
            self._groups.put_group(key, group)

    def get_group(self, key: bytes) -> NamedGroup | None:
        """The group that the store remembers."""
        return None if self._groups is None else self._groups.get_group(key)

    def offer(self, session: SSLSession | None) -> None:
        """From now on `take` gives this session, in this thread; with None the store's again."""
        self._now.offer = session
        self._now.offered = False

    @property
    def was_offered(self) -> bool:
        """Whether the session of `offer` was taken."""
        return self._now.offered

    def received(self) -> SSLSession | None:
        """The last session put in this thread since the last call."""
        session, self._now.received = self._now.received, None
        return session
