from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.trust.issuing import authority, leaf
from trustls.errors import ConfigError
from trustls.session.state import ClientSession
from trustls.session.store import MemoryClientSessions, MemorySessions
from trustls.trust.verifiers import Peer
from trustls.wire.enums import CipherSuite, NamedGroup, ProtocolVersion

ROOT = authority("CN=Root")
THREADS = 8


def client_session(ticket: bytes = b"ticket") -> ClientSession:
    certificate = leaf(ROOT).certificate
    return ClientSession(
        version=ProtocolVersion.TLS1_3,
        suite=CipherSuite.TLS_AES_128_GCM_SHA256,
        group=NamedGroup.X25519,
        secret=bytes(32),
        ticket=ticket,
        received_at=1000.0,
        lifetime=7200,
        age_add=5,
        alpn=None,
        peer=Peer(presented=(certificate,), verified=(certificate, ROOT.certificate)),
        credential=None,
    )


def at_once(work: Callable[[int], object]) -> list[object]:
    """`work(0)`, `work(1)` and so on, in threads that begin together; their results."""
    barrier = threading.Barrier(THREADS)

    def run(number: int) -> object:
        barrier.wait()
        return work(number)

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(run, range(THREADS)))


# -- A server's -------------------------------------------------------------------------------------------------------


def test_a_session_is_found_until_it_is_taken() -> None:
    store = MemorySessions()
    store.put(b"a", b"session", 60)
    assert store.get(b"a") == b"session"
    assert store.get(b"a") == b"session"
    assert store.take(b"a") == b"session"
    assert store.take(b"a") is None
    assert store.get(b"a") is None
    assert len(store) == 0


def test_the_least_recently_used_session_makes_room() -> None:
    store = MemorySessions(capacity=3)
    for name in (b"a", b"b", b"c"):
        store.put(name, name, 60)
    store.get(b"a")
    store.put(b"b", b"b again", 60)
    store.put(b"d", b"d", 60)
    assert store.get(b"c") is None, "neither read nor written since, so it goes first"
    assert [store.get(name) for name in (b"a", b"b", b"d")] == [b"a", b"b again", b"d"]
    assert len(store) == 3


def test_a_store_never_holds_more_than_its_capacity() -> None:
    store = MemorySessions(capacity=10)
    for number in range(1000):
        store.put(number.to_bytes(2, "big"), b"", 60)
        assert len(store) <= 10
    assert store.get((999).to_bytes(2, "big")) == b""
    assert store.get((989).to_bytes(2, "big")) is None


def test_of_many_threads_one_takes_a_session() -> None:
    store = MemorySessions()
    for _ in range(50):
        store.put(b"a", b"session", 60)
        taken = at_once(lambda _: store.take(b"a"))
        assert sorted(taken, key=bool)[:-1] == [None] * (THREADS - 1)
        assert b"session" in taken


def test_threads_keep_a_store_within_its_bounds() -> None:
    store = MemorySessions(capacity=16)

    def work(number: int) -> None:
        for turn in range(500):
            name = bytes([number, turn % 32])
            store.put(name, name, 60)
            assert store.get(name) in {name, None}
            store.take(bytes([(number + 1) % THREADS, turn % 32]))

    at_once(work)
    assert len(store) <= 16


@pytest.mark.parametrize("make", [lambda: MemorySessions(0), lambda: MemoryClientSessions(0)])
def test_a_store_without_room_is_refused(make: Callable[[], object]) -> None:
    with pytest.raises(ConfigError, match="room for at least one"):
        make()
    with pytest.raises(ConfigError, match="room for at least one"):
        MemoryClientSessions(per_server=0)


# -- A client's -------------------------------------------------------------------------------------------------------


def test_a_client_takes_the_newest_session_first_and_each_once() -> None:
    store = MemoryClientSessions()
    old, new, other = client_session(b"old"), client_session(b"new"), client_session(b"other")
    store.put(b"server", old)
    store.put(b"server", new)
    store.put(b"another", other)
    assert len(store) == 3
    assert [store.take(b"server") for _ in range(3)] == [new, old, None]
    assert store.take(b"another") is other
    assert store.take(b"unknown") is None
    assert len(store) == 0


def test_a_client_keeps_the_newest_sessions_of_each_server() -> None:
    store = MemoryClientSessions(per_server=2)
    sessions = [client_session(bytes([number])) for number in range(5)]
    for session in sessions:
        store.put(b"server", session)
    assert [store.take(b"server") for _ in range(3)] == [sessions[4], sessions[3], None]


def test_a_client_forgets_the_server_that_it_heard_of_least_recently() -> None:
    store = MemoryClientSessions(servers=2)
    for name in (b"a", b"b", b"a", b"c"):
        store.put(name, client_session(name))
    assert store.take(b"b") is None
    assert store.take(b"a") is not None
    assert store.take(b"c") is not None


def test_of_many_threads_each_session_goes_to_one() -> None:
    store = MemoryClientSessions(per_server=THREADS)
    for _ in range(50):
        sessions = [client_session(bytes([number])) for number in range(THREADS // 2)]
        for session in sessions:
            store.put(b"server", session)
        taken = [session for session in at_once(lambda _: store.take(b"server")) if session is not None]
        assert sorted(session.ticket for session in taken) == [  # type: ignore[attr-defined]
            bytes([number]) for number in range(THREADS // 2)
        ]


def test_a_clients_session_ends_when_the_server_said_or_after_seven_days() -> None:
    session = client_session()
    assert not session.is_expired(1000)
    assert not session.is_expired(8199)
    assert session.is_expired(8200)
    assert session.is_expired(999), "a clock that was set back says nothing about a session's age"


def test_the_age_of_a_ticket_is_masked() -> None:
    session = client_session()
    assert session.obfuscated_age(1001.5) == 1500 + 5
    assert session.obfuscated_age(900) == 5
    assert session.obfuscated_age(1000 + 2**32 / 1000) == 5, "modulo 2^32 (RFC 9846 4.3.11.1)"
