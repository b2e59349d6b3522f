"""What is in trustls.session.redis, one piece at a time, against a redis-server; test_redis_fleet.py has the whole."""

from __future__ import annotations

import asyncio
import logging
import secrets
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any, TypeVar

import pytest
import redis as redis_py
from hypothesis import given
from hypothesis import strategies as st
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.session.redis_server import RedisServer
from trustls.errors import ConfigError
from trustls.session import redis as redis_sessions
from trustls.session.redis import RedisSessions, RedisTicketKeys
from trustls.session.tickets import TicketKey

T = TypeVar("T")

SECRET = bytes(range(32))
SECRETS = pytest.mark.parametrize("secret", [None, SECRET], ids=["plain", "sealed"])
# What a hanging Redis may cost: two timeouts of 250 ms (to connect and to ask), and a slow machine.
BOUND_SECONDS = 1.5
# 250 ms would be a question; this is none.
AT_ONCE_SECONDS = 0.2
PERIOD = 3600
NOW = 1_700_000_000.0 // PERIOD * PERIOD


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Fleet:
    """Makes stores and keys as each server of a fleet has them, and closes them."""

    def __init__(self, redis: RedisServer, stack: ExitStack) -> None:
        self.redis = redis
        self.clock = Clock()
        self._stack = stack
        self.admin = self.closed(redis_py.Redis.from_url(redis.url))

    def closed(self, client: T) -> T:
        self._stack.callback(client.close)  # type: ignore[attr-defined]
        return client

    def _client(self) -> Any:
        url = f"{self.redis.url}?socket_timeout=0.25&socket_connect_timeout=0.25"
        return self.closed(redis_py.Redis.from_url(url, retry=Retry(NoBackoff(), 0)))

    def sessions(self, **options: Any) -> RedisSessions:
        return RedisSessions(self._client(), clock=self.clock, **options)

    def keys(self, **options: Any) -> RedisTicketKeys:
        return RedisTicketKeys(self._client(), clock=self.clock, **{"rotate_every": PERIOD, **options})

    def only_name(self) -> str:
        """The name of the one value that lies in Redis."""
        (name,) = self.admin.keys()
        assert isinstance(name, bytes)
        return name.decode()

    def questions(self) -> int:
        """How many commands Redis has answered."""
        stats: Any = self.admin.info("stats")
        return int(stats["total_commands_processed"])


@pytest.fixture
def fleet(redis: RedisServer) -> Iterator[Fleet]:
    with ExitStack() as stack:
        yield Fleet(redis, stack)


def timed(work: Callable[[], T]) -> tuple[T, float]:
    started = time.monotonic()
    result = work()
    return result, time.monotonic() - started


def key_of(answer: object) -> TicketKey:
    assert isinstance(answer, TicketKey), "a key was to be had"
    return answer


def warnings_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


# -- Sessions ---------------------------------------------------------------------------------------------------------


@SECRETS
def test_a_session_put_by_one_server_is_taken_by_another_once(fleet: Fleet, secret: bytes | None) -> None:
    one, other = fleet.sessions(secret=secret), fleet.sessions(secret=secret)
    one.put(b"id", b"session", 60)
    assert other.get(b"id") == b"session"
    assert other.get(b"id") == b"session"
    assert other.take(b"id") == b"session"
    assert one.take(b"id") is None
    assert one.get(b"id") is None
    assert one.get(b"never put") is None


def test_of_many_servers_one_takes_a_session(fleet: Fleet) -> None:
    servers = [fleet.sessions() for _ in range(8)]
    with ThreadPoolExecutor(len(servers)) as pool:
        for _ in range(20):
            servers[0].put(b"id", b"session", 60)
            taken = list(pool.map(lambda server: server.take(b"id"), servers))
            assert taken.count(None) == 7
            assert b"session" in taken


def test_a_session_ends_in_redis_with_its_lifetime(fleet: Fleet) -> None:
    fleet.sessions().put(b"id", b"session", 7200)
    name = fleet.only_name()
    assert name == "trustls:session:" + b"id".hex()
    assert 7190 <= int(fleet.admin.ttl(name)) <= 7200


def test_prefixes_keep_fleets_apart(fleet: Fleet) -> None:
    fleet.sessions(prefix="blue:").put(b"id", b"session", 60)
    assert fleet.sessions(prefix="green:").get(b"id") is None
    assert fleet.sessions(prefix="blue:").get(b"id") == b"session"


def test_sealed_sessions_open_under_their_secret_and_name_only(fleet: Fleet) -> None:
    sealed = fleet.sessions(secret=SECRET)
    sealed.put(b"a", b"the session", 60)
    name = fleet.only_name()
    value = fleet.admin.get(name)
    assert isinstance(value, bytes)
    assert b"session" not in value
    assert fleet.sessions(secret=secrets.token_bytes(32)).get(b"a") is None
    fleet.admin.set("trustls:session:" + b"b".hex(), value)
    assert sealed.get(b"b") is None, "a session was moved to another name"
    fleet.admin.set("trustls:session:" + b"c".hex(), b"planted in the clear, by somebody who can write there")
    assert sealed.get(b"c") is None
    assert sealed.get(b"a") == b"the session"


def test_what_is_too_large_is_neither_kept_nor_taken(fleet: Fleet) -> None:
    sessions = fleet.sessions()
    sessions.put(b"a", bytes(1 << 16), 60)
    assert sessions.get(b"a") == bytes(1 << 16)
    sessions.put(b"b", bytes((1 << 16) + 1), 60)
    assert fleet.admin.exists("trustls:session:" + b"b".hex()) == 0
    fleet.admin.set("trustls:session:" + b"c".hex(), bytes(1 << 20))
    assert sessions.get(b"c") is None


def test_what_is_no_string_is_no_session(fleet: Fleet, caplog: pytest.LogCaptureFixture) -> None:
    fleet.admin.lpush("trustls:session:" + b"a".hex(), "a list")
    sessions = fleet.sessions()
    assert sessions.get(b"a") is None
    assert "WRONGTYPE" in warnings_in(caplog)[0]
    fleet.clock.now += 5
    assert sessions.take(b"a") is None


# -- An outage --------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["frozen", "killed"])
def outage(request: pytest.FixtureRequest, redis: RedisServer) -> tuple[Callable[[], None], Callable[[], None]]:
    """How Redis goes away, and how it comes back."""
    return (redis.freeze, redis.thaw) if request.param == "frozen" else (redis.kill, redis.start)


def test_a_redis_that_is_gone_costs_one_wait_and_one_line(
    fleet: Fleet, outage: tuple[Callable[[], None], Callable[[], None]], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "trustls.session")
    leave, come_back = outage
    sessions = fleet.sessions(retry_after=5)
    sessions.put(b"a", b"session", 60)
    leave()
    found, waited = timed(lambda: sessions.get(b"a"))
    assert found is None
    assert waited < BOUND_SECONDS
    for ask in (sessions.get, sessions.take, lambda name: sessions.put(name, b"", 60)):
        found, waited = timed(lambda ask=ask: ask(b"a"))  # type: ignore[misc]
        assert found is None
        assert waited < AT_ONCE_SECONDS, "Redis is left alone for five seconds"
    fleet.clock.now += 5
    assert timed(lambda: sessions.get(b"a"))[1] < BOUND_SECONDS, "one attempt, to see whether it is back"
    assert timed(lambda: sessions.get(b"a"))[1] < AT_ONCE_SECONDS

    come_back()
    assert sessions.get(b"a") is None, "not asked before its time"
    fleet.clock.now += 5
    sessions.put(b"b", b"another", 60)
    assert sessions.get(b"b") == b"another"
    (line,) = warnings_in(caplog)
    assert "neither kept nor resumed" in line
    assert "asked again every 5 s" in line
    assert [record.getMessage() for record in caplog.records][-1] == "Redis answers again"

    leave()
    sessions.get(b"b")
    assert len(warnings_in(caplog)) == 2, "one line for each outage"
    come_back()


def test_a_hanging_redis_is_tried_by_one_at_a_time(fleet: Fleet) -> None:
    sessions = fleet.sessions()
    fleet.redis.freeze()
    sessions.get(b"a")
    fleet.clock.now += 5
    with ThreadPoolExecutor(8) as pool:
        waits = list(pool.map(lambda _: timed(lambda: sessions.get(b"a"))[1], range(8)))
    fleet.redis.thaw()
    assert sum(wait > AT_ONCE_SECONDS for wait in waits) == 1


def test_an_answer_from_before_the_outage_does_not_end_it(caplog: pytest.LogCaptureFixture) -> None:
    breaker = redis_sessions._Breaker("nothing works", 5, Clock())
    early, late = breaker.attempt(), breaker.attempt()
    assert early is not None
    assert late is not None
    with late:
        raise OSError("gone")
    with early:
        pass
    assert breaker.attempt() is None
    assert len(warnings_in(caplog)) == 1


def test_an_attempt_that_is_given_up_lets_the_next_one_try() -> None:
    clock = Clock()
    breaker = redis_sessions._Breaker("nothing works", 5, clock)
    first = breaker.attempt()
    assert first is not None
    with first:
        raise OSError("gone")
    clock.now += 5
    trial = breaker.attempt()
    assert trial is not None
    assert breaker.attempt() is None, "one at a time"
    with pytest.raises(asyncio.CancelledError), trial:
        raise asyncio.CancelledError
    again = breaker.attempt()
    assert again is not None
    with again:
        pass
    assert breaker.attempt() is not None
    assert breaker.attempt() is not None


# -- Ticket keys ------------------------------------------------------------------------------------------------------


@SECRETS
def test_a_fleet_agrees_on_the_key_of_a_period(fleet: Fleet, secret: bytes | None) -> None:
    servers = [fleet.keys(secret=secret) for _ in range(8)]
    with ThreadPoolExecutor(len(servers)) as pool:
        keys = list(pool.map(lambda server: server.current(NOW), servers))
    assert len({key_of(key).key for key in keys}) == 1, "the first one wins, and all read it back"
    name = key_of(keys[0]).name
    assert all(server.named(name, NOW) == keys[0] for server in servers)


def test_redis_is_asked_once_a_period(fleet: Fleet) -> None:
    keys = fleet.keys()
    first = key_of(keys.current(NOW))
    before = fleet.questions()
    for second in range(0, PERIOD, 60):
        assert keys.current(NOW + second) == first
        assert keys.named(first.name, NOW + second) == first
    assert fleet.questions() == before + 1, "that of this test itself"
    assert keys.current(NOW + PERIOD) != first
    assert fleet.questions() > before + 2


@SECRETS
def test_the_last_periods_key_opens_and_an_older_one_does_not(fleet: Fleet, secret: bytes | None) -> None:
    one, other = fleet.keys(secret=secret), fleet.keys(secret=secret)
    first = key_of(one.current(NOW))
    second = key_of(one.current(NOW + PERIOD))
    assert first.name != second.name
    assert other.named(first.name, NOW + PERIOD) == first, "a server that was not there then finds it in Redis"
    assert other.current(NOW + PERIOD) == second
    assert one.named(first.name, NOW + 2 * PERIOD - 1) == first
    for server in (one, other, fleet.keys(secret=secret)):
        assert server.named(first.name, NOW + 2 * PERIOD) is None
        assert server.named(second.name, NOW + 2 * PERIOD) == second


def test_a_server_whose_clock_is_ahead_is_understood(fleet: Fleet) -> None:
    ahead, behind = fleet.keys(), fleet.keys()
    now = key_of(behind.current(NOW + PERIOD - 5))
    new = key_of(ahead.current(NOW + PERIOD))
    assert behind.named(new.name, NOW + PERIOD - 4) == new
    assert behind.current(NOW + PERIOD - 4) == now, "each seals for the period of its own clock"
    assert ahead.named(now.name, NOW + PERIOD) == now


def test_keys_leave_redis_when_they_no_longer_open(fleet: Fleet) -> None:
    fleet.keys().current(NOW + 600)
    name = fleet.only_name()
    seconds = int(fleet.admin.ttl(name))
    assert 2 * PERIOD - 600 <= seconds <= 2 * PERIOD - 600 + 60, "two periods, and a minute for clocks that differ"


def test_unknown_key_names_are_looked_up_once_a_second_at_most(fleet: Fleet) -> None:
    keys = fleet.keys()
    keys.current(NOW)
    before = fleet.questions()
    for _ in range(100):
        assert keys.named(secrets.token_bytes(16), NOW + 0.5) is None
    assert fleet.questions() == before + 1, "that of this test itself"
    for _ in range(100):
        assert keys.named(secrets.token_bytes(16), NOW + 2) is None
    asked = fleet.questions() - before - 2
    assert 1 <= asked <= 4, "one SET and three GETs, once"


def test_known_keys_outlive_redis(
    fleet: Fleet, outage: tuple[Callable[[], None], Callable[[], None]], caplog: pytest.LogCaptureFixture
) -> None:
    leave, come_back = outage
    keys = fleet.keys()
    first = key_of(keys.current(NOW))
    leave()
    assert keys.current(NOW) == first
    found, waited = timed(lambda: keys.named(bytes(16), NOW + 2))
    assert found is None
    assert waited < BOUND_SECONDS
    found, waited = timed(lambda: keys.current(NOW + PERIOD))
    assert found is None, "the next period's key cannot be agreed on, so no tickets are given"
    assert waited < AT_ONCE_SECONDS
    assert keys.named(first.name, NOW + PERIOD) == first
    come_back()
    fleet.clock.now += 5
    assert key_of(keys.current(NOW + PERIOD)).name != first.name
    assert len(warnings_in(caplog)) == 1


def test_a_redis_that_forgot_is_told_again(fleet: Fleet) -> None:
    old = fleet.keys()
    first = key_of(old.current(NOW))
    fleet.admin.flushall()
    assert old.named(bytes(16), NOW + 2) is None
    assert fleet.keys().current(NOW + 3) == first


def test_servers_that_parted_while_redis_forgot_come_together_again(fleet: Fleet) -> None:
    old = fleet.keys()
    first = key_of(old.current(NOW))
    fleet.admin.flushall()
    new = fleet.keys()
    second = key_of(new.current(NOW + 1))
    assert second != first
    assert old.named(second.name, NOW + 2) == second
    assert old.current(NOW + 2) == second, "what lies in Redis counts"
    assert old.named(first.name, NOW + 2) == first, "tickets that it gave before still open"


def test_a_redis_that_forgets_again_and_again_fills_no_memory(fleet: Fleet) -> None:
    keys = fleet.keys()
    for turn in range(0, 60, 2):
        fleet.admin.flushall()
        fleet.keys().current(NOW)
        keys.named(bytes(16), NOW + turn)
    assert len(keys._keys) <= 8


def test_keys_lie_in_redis_sealed_when_there_is_a_secret(fleet: Fleet) -> None:
    for secret in (None, SECRET):
        fleet.admin.flushall()
        key = key_of(fleet.keys(secret=secret).current(NOW))
        name = fleet.only_name()
        value = fleet.admin.get(name)
        assert isinstance(value, bytes)
        assert (key.key in value) == (secret is None)


def test_servers_with_other_secrets_or_periods_neither_share_nor_disturb_each_other(fleet: Fleet) -> None:
    different: list[dict[str, Any]] = [
        {},
        {"secret": SECRET},
        {"secret": SECRET[::-1]},
        {"rotate_every": 2 * PERIOD},
        {"prefix": "other:"},
    ]
    servers = [fleet.keys(**options) for options in different]
    assert len({key_of(server.current(NOW)).name for server in servers}) == len(servers)
    for server, options in zip(servers, different, strict=True):
        assert fleet.keys(**options).current(NOW) == server.current(NOW)


@SECRETS
@pytest.mark.parametrize("planted", [b"", b"x", bytes(47), bytes(49), bytes(75), bytes(76), bytes(1 << 20)])
def test_what_is_no_key_is_not_used(
    fleet: Fleet, secret: bytes | None, planted: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    fleet.keys(secret=secret).current(NOW)
    name = fleet.only_name()
    fleet.admin.set(name, planted)
    keys = fleet.keys(secret=secret)
    assert keys.current(NOW) is None
    assert keys.named(bytes(16), NOW) is None
    (line,) = warnings_in(caplog)
    assert "no ticket key of ours" in line
    fleet.admin.delete(name)
    fleet.clock.now += 5
    assert keys.current(NOW) is not None


def test_a_sealed_key_opens_for_its_period_only(fleet: Fleet) -> None:
    fleet.keys(secret=SECRET).current(NOW)
    name = fleet.only_name()
    prefix, _, period = name.rpartition(":")
    fleet.admin.rename(name, f"{prefix}:{int(period) + 1}")
    assert fleet.keys(secret=SECRET).current(NOW + PERIOD) is None, "an old key was brought back under a new name"


# -- Sealing ----------------------------------------------------------------------------------------------------------


@given(st.binary(max_size=300), st.text(max_size=50))
def test_what_is_sealed_opens(content: bytes, name: str) -> None:
    wrapping = redis_sessions._Wrapping(SECRET)
    assert wrapping.open(name, wrapping.seal(name, content)) == content


@given(st.binary(max_size=300))
def test_garbage_does_not_open(value: bytes) -> None:
    assert redis_sessions._Wrapping(SECRET).open("name", value) is None


def test_a_changed_value_does_not_open() -> None:
    wrapping = redis_sessions._Wrapping(SECRET)
    value = wrapping.seal("name", b"content")
    for place in range(len(value)):
        forged = bytearray(value)
        forged[place] ^= 1
        assert wrapping.open("name", bytes(forged)) is None
        assert wrapping.open("name", value[:place]) is None
    assert wrapping.open("other", value) is None
    assert redis_sessions._Wrapping(SECRET[::-1]).open("name", value) is None


# -- asyncio ----------------------------------------------------------------------------------------------------------


def in_a_loop(work: Callable[[RedisSessions, RedisTicketKeys], Awaitable[None]], redis: RedisServer) -> None:
    async def run() -> None:
        sessions = RedisSessions.from_url(redis.url, asynchronous=True, secret=SECRET, retry_after=0.3)
        keys = RedisTicketKeys.from_url(redis.url, asynchronous=True, rotate_every=PERIOD, retry_after=0.3)
        try:
            await work(sessions, keys)
        finally:
            for each in (sessions, keys):
                await each.client.aclose()  # type: ignore[union-attr]

    asyncio.run(run())


async def awaited(answer: T | Awaitable[T]) -> T:
    assert isinstance(answer, Awaitable)
    return await answer


def test_an_asyncio_client_makes_the_methods_asynchronous(fleet: Fleet) -> None:
    async def work(sessions: RedisSessions, keys: RedisTicketKeys) -> None:
        await awaited(sessions.put(b"id", b"session", 60))
        await awaited(sessions.put(b"large", bytes(1 << 17), 60))
        assert await awaited(sessions.get(b"id")) == b"session"
        taken = await asyncio.gather(*(awaited(sessions.take(b"id")) for _ in range(20)))
        assert taken.count(None) == 19
        assert b"session" in taken
        assert await awaited(sessions.get(b"large")) is None
        key = key_of(await awaited(keys.current(NOW)))
        assert keys.current(NOW) == key, "a key that is known needs no waiting"
        assert keys.named(key.name, NOW) == key
        assert fleet.keys().current(NOW) == key, "blocking and asyncio servers share"
        assert fleet.sessions(secret=SECRET).get(b"id") is None

    in_a_loop(work, fleet.redis)


def test_asyncio_goes_on_while_redis_hangs(fleet: Fleet, caplog: pytest.LogCaptureFixture) -> None:
    async def work(sessions: RedisSessions, keys: RedisTicketKeys) -> None:
        await awaited(sessions.put(b"id", b"session", 60))
        fleet.redis.freeze()
        started = time.monotonic()
        found = await asyncio.gather(
            *(awaited(sessions.take(bytes([n]))) for n in range(200)), awaited(keys.current(NOW))
        )
        assert set(found) == {None}
        assert time.monotonic() - started < BOUND_SECONDS, "they wait side by side"
        started = time.monotonic()
        assert await awaited(sessions.get(b"id")) is None
        assert time.monotonic() - started < AT_ONCE_SECONDS
        fleet.redis.thaw()
        await asyncio.sleep(0.4)
        assert await awaited(sessions.get(b"id")) == b"session"
        assert await awaited(keys.current(NOW)) is not None

    in_a_loop(work, fleet.redis)
    assert len(warnings_in(caplog)) == 2, "one for the sessions, one for the keys"


def test_a_cancelled_question_leaves_its_answer_to_nobody(fleet: Fleet) -> None:
    async def work(sessions: RedisSessions, _keys: RedisTicketKeys) -> None:
        plain = RedisSessions(sessions.client)
        await awaited(plain.put(b"a", b"of a", 60))
        await awaited(plain.put(b"b", b"of b", 60))
        for _ in range(5):
            fleet.redis.freeze()
            asking = asyncio.ensure_future(awaited(plain.get(b"a")))
            await asyncio.sleep(0.02)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            fleet.redis.thaw()
            assert await awaited(plain.get(b"b")) == b"of b"

    in_a_loop(work, fleet.redis)


# -- What is refused, and what is not needed --------------------------------------------------------------------------


def test_clients_that_would_hold_up_handshakes_are_refused() -> None:
    no_retry = Retry(NoBackoff(), 0)
    for client in (
        redis_py.Redis(socket_timeout=None, retry=no_retry),
        redis_py.Redis(socket_timeout=0.25, retry=Retry(NoBackoff(), 3)),
        redis_py.Redis(),
        redis_py.asyncio.Redis(),
    ):
        with pytest.raises(ConfigError, match=r"could hold up handshakes.*use from_url"):
            RedisSessions(client)
        with pytest.raises(ConfigError, match="could hold up handshakes"):
            RedisTicketKeys(client)
    RedisSessions(redis_py.Redis(socket_timeout=0.1, retry=no_retry))


def test_mistakes_are_named() -> None:
    client: Any = redis_py.Redis(socket_timeout=0.1, retry=Retry(NoBackoff(), 0))
    with pytest.raises(ConfigError, match="not a str"):
        RedisSessions("redis://localhost")  # type: ignore[arg-type]
    text: Any = redis_py.Redis(socket_timeout=0.1, retry=Retry(NoBackoff(), 0), decode_responses=True)
    with pytest.raises(ConfigError, match="without decode_responses"):
        RedisSessions(text)
    for secret in (b"", bytes(31), bytes(33), "x" * 32):
        with pytest.raises(ConfigError, match="32 random bytes"):
            RedisSessions(client, secret=secret)  # type: ignore[arg-type]
        with pytest.raises(ConfigError, match="32 random bytes"):
            RedisTicketKeys(client, secret=secret)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="retry_after"):
        RedisSessions(client, retry_after=0)
    with pytest.raises(ConfigError, match="positive number of seconds"):
        RedisTicketKeys(client, rotate_every=0)
    for url in (
        "localhost:6379",
        "http://localhost",
        "redis://:hunter2@localhost:port",
        "redis://:a:hunter2/@localhost",
    ):
        with pytest.raises(ConfigError, match="this Redis URL cannot be used") as caught:
            RedisSessions.from_url(url)
        assert "hunter2" not in str(caught.value)
    with pytest.raises(ConfigError, match="unknown_setting"):
        RedisSessions.from_url("redis://localhost?unknown_setting=1")


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=20)


def test_trustls_does_not_need_redis() -> None:
    done = python(
        "import sys; sys.modules['redis'] = None\n"
        "import trustls, trustls.aio\n"
        "trustls.StoredSessions(), trustls.Tickets()\n"
        "try:\n    import trustls.session.redis\n"
        "except ImportError as error:\n    print(error)\n"
    )
    assert "pip install 'trustls[redis]'" in done.stdout, done.stderr
    done = python(
        "import sys, trustls, trustls.aio; print('redis' in sys.modules, 'trustls.session.redis' in sys.modules)"
    )
    assert done.stdout == "False False\n"
