"""Sessions and ticket keys in Redis, for servers on many machines (extra `trustls[redis]`; Redis 6.2 or newer).

    sessions = RedisSessions.from_url("rediss://redis.internal", secret=secret)
    config = ServerConfig(credentials=[own], resumption=StoredSessions(store=sessions, max_early_data=16384))

    keys = RedisTicketKeys.from_url("rediss://redis.internal", secret=secret, asynchronous=True)  # for trustls.aio
    config = ServerConfig(credentials=[own], resumption=Tickets(keys=keys))

Redis slow or gone costs resumption, never a handshake: whatever goes wrong there means "no session" or "no key", is
logged once (logger `trustls.session`), and Redis is then left alone for some seconds, so that not each handshake waits.
The longest that a handshake waits is the client's timeouts, for each of its questions: one for a session that the
client shows, one for each ticket that it is given.

Who can read or write there? Without `secret`, whoever reads that Redis can resume as the clients whose sessions lie in
it (with ticket keys: as any client whose certificate he has), impersonate the servers to clients that resume, and
decrypt TLS 1.2 connections, recorded ones too; whoever writes to it can resume as any client. With `secret`, 32 bytes
that the servers share and Redis never sees, what lies there is sealed with AES-GCM, each value for its own name. A
reader then learns nothing but numbers; a writer can take sessions away, or put back one that was used, and so replay
early data within its window. Either way use a password, and `rediss://` over any network that others are on.

Single use is as good as Redis's memory: a replica that takes over, or a snapshot that is loaded after a crash, can
bring back a session that was used a moment ago. Nothing here is worth keeping: run Redis without persistence, and ask
the primary only.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Awaitable, Callable
from functools import partial
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from trustls.crypto.aead import NONCE_LENGTH, TAG_LENGTH, Aead, AuthenticationFailed, aes_gcm
from trustls.crypto.hashing import SHA256
from trustls.errors import ConfigError
from trustls.session.tickets import KEY_LENGTH, NAME_LENGTH, TicketKey

try:
    import redis
    import redis.asyncio
    from redis.asyncio.retry import Retry as AsyncRetry
    from redis.backoff import NoBackoff
    from redis.retry import Retry
except ImportError as error:
    raise ImportError(
        "trustls.session.redis needs redis-py, which this Python does not have. "
        "Install the extra that brings it: pip install 'trustls[redis]'"
    ) from error

__all__ = ["RedisSessions", "RedisTicketKeys"]

Client = redis.Redis | redis.asyncio.Redis
T = TypeVar("T")

_logger = logging.getLogger("trustls.session")

_SECRET_LENGTH: Final = 32
# A session is a few hundred bytes and the client's certificates; more than this is not worth a round trip.
_MAX_SESSION: Final = 1 << 16
_CLIENT_TIMEOUT: Final = 0.25
_MAX_CONNECTIONS: Final = 50
_LEFT_ALONE: Final = 5.0
# How often an unknown key name, which anybody can make up, may lead to Redis being asked.
_UNKNOWN_NAME_SECONDS: Final = 1.0
# How much longer than needed a ticket key stays in Redis, for servers whose clocks are late.
_CLOCK_SKEW_SECONDS: Final = 60
# More than one key of a period is known only when Redis has forgotten the first.
_MAX_KEYS: Final = 8


class RedisSessions:
    """A server's sessions in Redis: a ServerSessionStore for any number of servers.

    With an asyncio client every method gives an awaitable; such a client belongs to one event loop.

    Attributes:
        client: the client, for closing it.
    """

    def __init__(
        self,
        client: Client,
        *,
        prefix: str = "trustls:session:",
        secret: bytes | None = None,
        retry_after: float = _LEFT_ALONE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Asks nothing of Redis yet.

        Args:
            client: a `redis.Redis`, or a `redis.asyncio.Redis` for `trustls.aio`. It must have a `socket_timeout`, and
                no retries: a handshake would wait for them.
            prefix: what the names in Redis start with.
            secret: 32 random bytes that the servers share: sessions are sealed under them. Servers with different
                secrets do not share sessions.
            retry_after: seconds that Redis is left alone after a failure.
            clock: counts seconds, for `retry_after`.

        Raises:
            ConfigError: the client is another kind of object, or could wait for long, or the secret is not 32 bytes.
        """
        self.client = client
        self._prefix = prefix
        self._wrapping = None if secret is None else _Wrapping(secret)
        self._link = _Link(client, "sessions are neither kept nor resumed", retry_after, clock)

    @classmethod
    def from_url(
        cls,
        url: str,
        *,
        asynchronous: bool = False,
        prefix: str = "trustls:session:",
        secret: bytes | None = None,
        retry_after: float = _LEFT_ALONE,
    ) -> Self:
        """With a client of its own, which waits at most 250 ms, for example for `rediss://:password@host:6379/0`.

        Args:
            url: as for `redis.from_url`. `?socket_timeout=0.1&socket_connect_timeout=0.1` changes the limits.
            asynchronous: for `trustls.aio`.
            prefix: as for RedisSessions.
            secret: as for RedisSessions.
            retry_after: as for RedisSessions.

        Raises:
            ConfigError: the URL cannot be used; or as for RedisSessions.
        """
        return cls(_client(url, asynchronous), prefix=prefix, secret=secret, retry_after=retry_after)

    def put(self, identifier: bytes, session: bytes, lifetime: int) -> Awaitable[None] | None:
        """Keep a session for `lifetime` seconds."""
        name = self._name(identifier)
        if len(session) > _MAX_SESSION:
            return self._link.nothing()
        value = session if self._wrapping is None else self._wrapping.seal(name, session)
        return self._link.ask(lambda: self.client.set(name, value, ex=max(1, lifetime)), _nothing)

    def get(self, identifier: bytes) -> bytes | Awaitable[bytes | None] | None:
        """The session, which stays."""
        name = self._name(identifier)
        return self._link.ask(lambda: self.client.get(name), partial(self._session, name))

    def take(self, identifier: bytes) -> bytes | Awaitable[bytes | None] | None:
        """The session, removed in the same step (GETDEL): of all servers that ask for it, one gets it."""
        name = self._name(identifier)
        return self._link.ask(lambda: self.client.getdel(name), partial(self._session, name))

    def _name(self, identifier: bytes) -> str:
        return f"{self._prefix}{identifier.hex()}"

    def _session(self, name: str, value: object) -> bytes | None:
        if not isinstance(value, bytes) or len(value) > _MAX_SESSION + _Wrapping.OVERHEAD:
            return None
        return value if self._wrapping is None else self._wrapping.open(name, value)


class RedisTicketKeys:
    """Ticket keys that a fleet of servers agrees on: TicketKeys that lie in Redis.

    Time is cut into periods of `rotate_every` seconds. The first server that needs the key of a period makes it, all
    others find it there; it seals for its period, and opens during the next one. Each process remembers the keys, so
    that Redis is asked once a period, and at most once a second for keys that it does not know. While Redis is gone,
    known keys go on working; when it comes back empty, a server that knows the period's key puts it there again.

    With an asyncio client the methods give an awaitable when Redis must be asked, and the key itself when it is known;
    such a client belongs to one event loop.

    Attributes:
        client: the client, for closing it.
    """

    def __init__(
        self,
        client: Client,
        *,
        rotate_every: float = 6 * 3600,
        prefix: str = "trustls:ticket-key:",
        secret: bytes | None = None,
        retry_after: float = _LEFT_ALONE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Asks nothing of Redis yet.

        Args:
            client: as for RedisSessions.
            rotate_every: seconds, the same on all servers. A ticket opens for at least this long after it was made,
                and for at most twice as long, whatever its lifetime.
            prefix: what the names in Redis start with.
            secret: 32 random bytes that the servers share: the keys are sealed under them. Without it they lie in Redis
                in the clear. Servers with different secrets do not share keys.
            retry_after: seconds that Redis is left alone after a failure.
            clock: counts seconds, for `retry_after`.

        Raises:
            ConfigError: `rotate_every` is not positive; or as for RedisSessions.
        """
        if rotate_every <= 0:
            raise ConfigError("ticket keys rotate after a positive number of seconds")
        self.client = client
        self._rotate_every = rotate_every
        self._wrapping = None if secret is None else _Wrapping(secret)
        # Who has another secret or another period has other names: such servers do not share, nor disturb each other.
        kind = "plain" if self._wrapping is None else self._wrapping.fingerprint
        self._prefix = f"{prefix}{kind}:{float(rotate_every)}:"
        self._link = _Link(client, "only ticket keys known here are used", retry_after, clock)
        self._lock = threading.Lock()
        self._keys: dict[bytes, tuple[int, TicketKey]] = {}  # By name, with the key's period, the newest last.
        self._sealing: tuple[int, TicketKey] | None = None
        self._asked_at: float | None = None

    @classmethod
    def from_url(
        cls,
        url: str,
        *,
        asynchronous: bool = False,
        rotate_every: float = 6 * 3600,
        prefix: str = "trustls:ticket-key:",
        secret: bytes | None = None,
        retry_after: float = _LEFT_ALONE,
    ) -> Self:
        """With a client of its own, which waits at most 250 ms; see RedisSessions.from_url.

        Raises:
            ConfigError: the URL cannot be used; or as for RedisTicketKeys.
        """
        client = _client(url, asynchronous)
        return cls(client, rotate_every=rotate_every, prefix=prefix, secret=secret, retry_after=retry_after)

    def current(self, now: float) -> TicketKey | Awaitable[TicketKey | None] | None:
        """The key of this period, the same on all servers."""
        period = self._period(now)
        return self._sealing_in(period) or self._ask(period, now, lambda: self._sealing_in(period))

    def named(self, name: bytes, now: float) -> TicketKey | Awaitable[TicketKey | None] | None:
        """The key of this name, if it belongs to this period or the one before.

        Or to the next one: another server's clock may be a little ahead.
        """
        period = self._period(now)
        known = self._opening_in(name, period)
        if known is not None or not self._may_ask(period, now):
            return known
        return self._ask(period, now, lambda: self._opening_in(name, period))

    def _period(self, now: float) -> int:
        return int(now // self._rotate_every)

    def _sealing_in(self, period: int) -> TicketKey | None:
        with self._lock:
            sealing = self._sealing
            return sealing[1] if sealing is not None and sealing[0] == period else None

    def _opening_in(self, name: bytes, period: int) -> TicketKey | None:
        with self._lock:
            found = self._keys.get(name)
            return found[1] if found is not None and abs(found[0] - period) <= 1 else None

    def _may_ask(self, period: int, now: float) -> bool:
        """Whether a name that nobody here knows is worth a question."""
        with self._lock:
            if self._sealing is not None and self._sealing[0] == period and self._asked_at is not None:
                return abs(now - self._asked_at) >= _UNKNOWN_NAME_SECONDS
            return True

    def _ask(
        self, period: int, now: float, answer: Callable[[], TicketKey | None]
    ) -> TicketKey | Awaitable[TicketKey | None] | None:
        """Agree with the other servers on the key of `period`, learn what keys there are, and then `answer`."""
        with self._lock:
            self._asked_at = now
        ours = self._sealing_in(period) or TicketKey.generate()

        def read(replies: object) -> TicketKey | None:
            self._learn(period, replies)
            return answer()

        return self._link.ask(partial(self._exchange, period, now, ours), read)

    def _exchange(self, period: int, now: float, ours: TicketKey) -> Any:
        """In one round trip: leave our key unless there is one, and fetch it and those of the periods around it."""
        name = self._name(period)
        value = ours.name + ours.key
        if self._wrapping is not None:
            value = self._wrapping.seal(name, value)
        stays = (period + 2) * self._rotate_every - now + _CLOCK_SKEW_SECONDS
        pipeline: Any = self.client.pipeline(transaction=False)
        pipeline.set(name, value, nx=True, px=int(stays * 1000))
        for each in _around(period):
            pipeline.get(self._name(each))
        return pipeline.execute()

    def _learn(self, period: int, replies: object) -> None:
        if not isinstance(replies, list) or len(replies) != 1 + len(_around(period)):
            raise ValueError("that is no answer to what was asked")
        found = [(each, self._parsed(each, value)) for each, value in zip(_around(period), replies[1:], strict=True)]
        if (period, None) in found:
            raise ValueError(f"there is no ticket key of ours at {self._name(period)}")
        with self._lock:
            for each, key in found:
                if key is not None:
                    self._keys.pop(key.name, None)
                    self._keys[key.name] = each, key
                    if each == period:
                        self._sealing = each, key
            recent = [(name, known) for name, known in self._keys.items() if abs(known[0] - period) <= 1]
            self._keys = dict(recent[-_MAX_KEYS:])

    def _parsed(self, period: int, value: object) -> TicketKey | None:
        if not isinstance(value, bytes):
            return None
        content = value if self._wrapping is None else self._wrapping.open(self._name(period), value)
        if content is None or len(content) != NAME_LENGTH + KEY_LENGTH:
            return None
        return TicketKey(content[:NAME_LENGTH], content[NAME_LENGTH:])

    def _name(self, period: int) -> str:
        return f"{self._prefix}{period}"


def _around(period: int) -> tuple[int, ...]:
    return period - 1, period, period + 1


class _Wrapping:
    """AES-256-GCM under a shared secret. Each name has a key of its own, so that a value opens at its place only."""

    OVERHEAD: Final = NONCE_LENGTH + TAG_LENGTH

    def __init__(self, secret: bytes) -> None:
        if not isinstance(secret, bytes) or len(secret) != _SECRET_LENGTH:
            raise ConfigError(
                f"`secret` takes {_SECRET_LENGTH} random bytes, the same on all servers: "
                f"make them once with secrets.token_bytes({_SECRET_LENGTH})"
            )
        self._mac = SHA256.mac(secret)
        self.fingerprint = SHA256.expand(self._mac, b"trustls redis fingerprint", 8).hex()

    def seal(self, name: str, content: bytes) -> bytes:
        """The value to put at `name`."""
        nonce = secrets.token_bytes(NONCE_LENGTH)
        return nonce + self._aead(name).encrypt(nonce, content, None)

    def open(self, name: str, value: bytes) -> bytes | None:
        """What was sealed for `name`; None for anything else."""
        if len(value) < self.OVERHEAD:
            return None
        try:
            return self._aead(name).decrypt(value[:NONCE_LENGTH], value[NONCE_LENGTH:], None)
        except AuthenticationFailed:
            return None

    def _aead(self, name: str) -> Aead:
        return aes_gcm(SHA256.expand(self._mac, b"trustls redis value " + name.encode(), 32))


# -- Asking, and not asking -------------------------------------------------------------------------------------------


class _Link:
    """A client behind its breaker: what fails is None."""

    def __init__(self, client: Client, consequence: str, retry_after: float, clock: Callable[[], float]) -> None:
        _check(client)
        self._asynchronous = isinstance(client, redis.asyncio.Redis)
        self._breaker = _Breaker(consequence, retry_after, clock)

    def ask(self, command: Callable[[], Any], read: Callable[[Any], T]) -> T | Awaitable[T | None] | None:
        """What `read` makes of the answer to `command`; None when there is none, or when Redis is left alone."""
        if self._asynchronous:
            return self._ask_async(command, read)
        attempt = self._breaker.attempt()
        if attempt is not None:
            with attempt:
                return read(command())
        return None

    def nothing(self) -> Awaitable[None] | None:
        """None, in the way that `ask` gives it."""
        return _nothing_async() if self._asynchronous else None

    async def _ask_async(self, command: Callable[[], Any], read: Callable[[Any], T]) -> T | None:
        attempt = self._breaker.attempt()
        if attempt is not None:
            with attempt:
                return read(await command())
        return None


class _Breaker:
    """Leaves Redis alone for some seconds after a failure; then one attempt at a time finds out whether it is back."""

    def __init__(self, consequence: str, retry_after: float, clock: Callable[[], float]) -> None:
        if retry_after <= 0:
            raise ConfigError("retry_after takes a positive number of seconds")
        self._consequence = consequence
        self._retry_after = retry_after
        self._clock = clock
        self._lock = threading.Lock()
        self._is_down = False
        self._is_tried = False
        self._next_at = 0.0

    def attempt(self) -> _Attempt | None:
        """Leave to ask Redis once; None while it is left alone."""
        with self._lock:
            if self._is_down:
                if self._is_tried or self._clock() < self._next_at:
                    return None
                self._is_tried = True
            return _Attempt(self, is_trial=self._is_down)

    def succeeded(self, *, is_trial: bool) -> None:
        """An answer came. One to a question from before the outage says nothing about it."""
        if is_trial:
            with self._lock:
                self._is_down = self._is_tried = False
            _logger.info("Redis answers again")

    def failed(self, error: Exception, *, is_trial: bool) -> None:
        """No answer came, or one that is of no use."""
        with self._lock:
            is_news = not self._is_down
            self._is_down = True
            if is_trial:
                self._is_tried = False
            self._next_at = self._clock() + self._retry_after
        if is_news:
            _logger.warning(
                "Redis cannot be used; until it answers, %s (it is asked again every %g s): %s: %s",
                self._consequence,
                self._retry_after,
                type(error).__name__,
                error,
            )

    def abandoned(self, *, is_trial: bool) -> None:
        """The attempt was given up with its connection, and says nothing."""
        if is_trial:
            with self._lock:
                self._is_tried = False


class _Attempt:
    """One question to Redis, as a context that lets no error out."""

    __slots__ = ("_breaker", "_is_trial")

    def __init__(self, breaker: _Breaker, *, is_trial: bool) -> None:
        self._breaker = breaker
        self._is_trial = is_trial

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        if error is None:
            self._breaker.succeeded(is_trial=self._is_trial)
        elif isinstance(error, Exception):
            self._breaker.failed(error, is_trial=self._is_trial)
            return True
        else:
            self._breaker.abandoned(is_trial=self._is_trial)
        return False


def _nothing(_answer: object) -> None:
    return None


async def _nothing_async() -> None:
    return None


# -- Clients ----------------------------------------------------------------------------------------------------------


def _client(url: str, asynchronous: bool) -> Client:
    # A pool that waits for a free connection: many handshakes at once are no outage.
    limits: dict[str, Any] = {
        "max_connections": _MAX_CONNECTIONS,
        "timeout": _CLIENT_TIMEOUT,
        "socket_timeout": _CLIENT_TIMEOUT,
        "socket_connect_timeout": _CLIENT_TIMEOUT,
        "socket_keepalive": True,
    }
    try:
        if asynchronous:
            retry = AsyncRetry(NoBackoff(), 0)
            return redis.asyncio.Redis.from_pool(
                redis.asyncio.BlockingConnectionPool.from_url(url, retry=retry, **limits)
            )
        return redis.Redis.from_pool(redis.BlockingConnectionPool.from_url(url, retry=Retry(NoBackoff(), 0), **limits))
    except ValueError:
        # Neither the URL nor the error is shown: there is a password in them.
        raise ConfigError(
            "this Redis URL cannot be used: it must start with redis://, rediss:// or unix://, "
            "and special characters of its password must be percent-encoded"
        ) from None


def _check(client: Client) -> None:
    """Refuse a client that would hold up handshakes, or cannot carry bytes."""
    if not isinstance(client, redis.Redis | redis.asyncio.Redis):
        raise ConfigError(f"`client` takes a redis.Redis or a redis.asyncio.Redis, not a {type(client).__name__}")
    pool = client.connection_pool
    try:
        sample = pool.connection_class(**pool.connection_kwargs)  # Not connected: it only knows its settings.
    except TypeError as error:
        raise ConfigError(f"the Redis client could never connect: {error}") from error
    if sample.encoder.decode_responses:
        raise ConfigError("the Redis client must give bytes: make it without decode_responses")
    if not sample.socket_timeout or sample.retry.get_retries():
        raise ConfigError(
            "this Redis client could hold up handshakes while Redis is gone: make it with a socket_timeout "
            "(0.25, say) and retry=Retry(NoBackoff(), 0), or use from_url, which does"
        )
