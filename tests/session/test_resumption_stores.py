"""Stores, ticket keys and verifiers that answer later, or fail: that costs resumption, never a handshake."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, Final

import pytest

from tests.session.resuming import (
    POLICIES,
    VERSIONS,
    LateSessions,
    OneSession,
    check_full,
    check_resumed,
    demanding,
    peers,
    settled,
)
from tests.support.identities import client_config, client_credential, client_roots, server_roots
from tests.support.memory import Pair, connect, pair
from tests.support.scripted import ScriptedClient, on
from trustls.config import ClientConfig
from trustls.connection import ServerConnection
from trustls.errors import CertificateProblem, CertificateRejected, InternalError
from trustls.handshake.client_sessions import MAX_TICKET
from trustls.session.state import ClientSession
from trustls.session.store import MemoryClientSessions, MemorySessions
from trustls.session.tickets import Resumption, RotatingTicketKeys, StoredSessions, TicketKey, Tickets
from trustls.trust.certificate import Certificate
from trustls.trust.client_auth import ClientAuth
from trustls.trust.verifiers import Peer, RootsClientVerifier, RootsServerVerifier
from trustls.wire.messages import CertificateEntry, CertificateMessage
from trustls.wire.names import DistinguishedName

every_version = pytest.mark.parametrize("version", VERSIONS)
every_policy = pytest.mark.parametrize("policy", POLICIES)


def known(**changes: Any) -> ClientConfig:
    return client_config(**{"credentials": [client_credential()], **changes})


class LateKeys:
    """Ticket keys over a network."""

    def __init__(self) -> None:
        self.inner = RotatingTicketKeys()

    async def current(self, now: float) -> TicketKey | None:
        await asyncio.sleep(0)
        return self.inner.current(now)

    async def named(self, name: bytes, now: float) -> TicketKey | None:
        await asyncio.sleep(0)
        return self.inner.named(name, now)


LATE: Final[dict[str, Callable[[], Resumption]]] = {
    "tickets": lambda: Tickets(keys=LateKeys()),
    "stored": lambda: StoredSessions(store=LateSessions()),
}


# -- Later ------------------------------------------------------------------------------------------------------------


@every_version
@every_policy
def test_answers_that_come_later_are_waited_for(version: str, policy: str) -> None:
    server, client = demanding(version=version, resumption=LATE[policy]()), known()
    first = check_full(settled(pair(server, client)))
    for _ in range(3):
        again = check_resumed(settled(pair(server, client)))
        assert peers(again) == peers(first)


@every_version
def test_sides_that_wait_say_for_what(version: str) -> None:
    server, client = demanding(version=version, resumption=LATE["stored"]()), known()
    settled(pair(server, client))
    joined = pair(server, client)
    joined.step()
    assert joined.server.pending_work == "look up a session"
    assert joined.server.data_to_send() == b"", "nothing is said before the answer is there"
    check_resumed(settled(joined))


def test_data_behind_the_finished_waits_for_the_tickets() -> None:
    """The server's handshake is not over before its tickets are made; what the client sends meanwhile is kept."""
    server, client = demanding(resumption=LATE["tickets"]()), known()
    joined = pair(server, client)
    joined.step()
    assert not joined.client.handshaking
    joined.client.send(b"early bird")
    joined.step()
    assert joined.server.pending_work == "get a ticket key"
    assert joined.server.handshaking
    settled(joined)
    assert bytes(joined.server_got) == b"early bird"


class LateClientVerifier:
    """The application's verifier, over a network."""

    hints: tuple[DistinguishedName, ...] = ()

    def __init__(self) -> None:
        self.inner = RootsClientVerifier(client_roots())
        self.asked = 0
        self.refuses = False

    async def verify_client(self, chain: tuple[Certificate, ...], *, now: float) -> Peer:
        self.asked += 1
        await asyncio.sleep(0)
        if self.refuses:
            raise CertificateRejected(CertificateProblem.REFUSED, "no longer")
        peer = self.inner.verify_client(chain, now=now)
        assert isinstance(peer, Peer)
        return peer


class LateServerVerifier:
    """The same for a client."""

    def __init__(self) -> None:
        self.inner = RootsServerVerifier(server_roots())
        self.asked = 0
        self.refuses = False

    async def verify_server(self, chain: tuple[Certificate, ...], server_name: Any, **named: Any) -> Peer:
        self.asked += 1
        await asyncio.sleep(0)
        if self.refuses:
            raise CertificateRejected(CertificateProblem.REFUSED, "no longer")
        peer = self.inner.verify_server(chain, server_name, now=named["now"])
        assert isinstance(peer, Peer)
        return peer


@every_version
@every_policy
def test_verifiers_that_answer_later_are_asked_again_when_resuming(version: str, policy: str) -> None:
    of_clients, of_servers = LateClientVerifier(), LateServerVerifier()
    server = demanding(policy, version, client_auth=ClientAuth.custom(of_clients))
    client = known(verifier=of_servers)
    check_full(settled(pair(server, client)))
    joined = pair(server, client)
    assert joined.client.pending_work == "verify the server's certificate again"
    assert joined.client.data_to_send() == b"", "no hello before it is known what goes into it"
    check_resumed(settled(joined))
    assert (of_clients.asked, of_servers.asked) == (2, 2)


@every_version
def test_verifier_that_refuses_later_sends_the_client_to_a_full_handshake(version: str) -> None:
    verifier = LateClientVerifier()
    server, client = demanding(version=version, client_auth=ClientAuth.custom(verifier)), known()
    settled(pair(server, client))
    verifier.refuses = True
    joined = settled(pair(server, client))
    assert isinstance(joined.server.failure, CertificateRejected)
    assert joined.server.failure.reason is CertificateProblem.REFUSED


@every_version
def test_client_whose_verifier_refuses_the_session_tries_the_next_and_then_none(version: str) -> None:
    verifier = LateServerVerifier()
    server, client = demanding(version=version), known(verifier=verifier)
    settled(pair(server, client))
    kept = 2 if version == "1.3" else 1
    verifier.refuses = True
    joined = settled(pair(server, client))
    assert verifier.asked == 1 + kept + 1, "each session, then the certificate of the full handshake"
    assert isinstance(joined.client.failure, CertificateRejected)


@every_version
def test_work_that_is_given_up_ends_the_connection_and_no_other(version: str) -> None:
    class Stuck(LateSessions):
        stuck = False

        async def get(self, identifier: bytes) -> bytes | None:
            await asyncio.sleep(100 if self.stuck else 0)
            return None

        take = get

    store = Stuck()
    server, client = demanding(version=version, resumption=StoredSessions(store=store)), known()
    settled(pair(server, client))
    store.stuck = True
    joined = pair(server, client)
    joined.step()

    async def give_up() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await joined.server.settle()

    asyncio.run(give_up())
    assert isinstance(joined.server.failure, InternalError)
    assert "look up a session" in str(joined.server.failure)
    store.stuck = False
    check_full(settled(pair(server, client)))


# -- Failing ----------------------------------------------------------------------------------------------------------


def failing(kind: str, method: str, how: str) -> Resumption:
    """A policy of which one method fails."""

    def error() -> Any:
        if how == "none":
            return None
        raise OSError("no route to host")

    async def later(*arguments: object) -> Any:
        await asyncio.sleep(0)
        return error()

    def at_once(*arguments: object) -> Any:
        return error()

    answer: Callable[..., Any] = later if how == "later" else at_once
    inner: Any = RotatingTicketKeys() if kind == "tickets" else MemorySessions()

    class Failing:
        """All other methods work."""

        def __getattr__(self, name: str) -> Any:
            return answer if name == method else getattr(inner, name)

    broken: Any = Failing()
    return Tickets(keys=broken) if kind == "tickets" else StoredSessions(store=broken)


@every_version
@pytest.mark.parametrize("how", ["raises", "later", "none"])
@pytest.mark.parametrize(
    ("kind", "method"),
    [("tickets", "current"), ("tickets", "named"), ("stored", "put"), ("stored", "get"), ("stored", "take")],
)
def test_store_that_fails_costs_resumption_and_no_handshake(
    version: str, kind: str, method: str, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    used = method != {"1.2": "take", "1.3": "get"}[version]
    server, client = demanding(version=version, resumption=failing(kind, method, how)), known()
    with caplog.at_level(logging.WARNING, logger="trustls"):
        for _ in range(3):
            joined = settled(pair(server, client)).check_connected()
            if used:
                assert not joined.server.info.resumed, "there was nothing to resume"
                assert joined.server.peer is not None, "the certificate was asked for"
    assert bool(caplog.records) == (used and how != "none"), "an error is logged, and having nothing is no error"


@every_version
def test_store_that_gives_nothing_in_bytes_has_nothing(version: str) -> None:
    class Strange(MemorySessions):
        def get(self, identifier: bytes) -> bytes | None:
            return b""

        take = get

    server, client = demanding(version=version, resumption=StoredSessions(store=Strange())), known()
    for _ in range(2):
        check_full(connect(server, client))


class ClientStore(MemoryClientSessions):
    """A client's store with a method that fails."""

    def __init__(self, method: str) -> None:
        super().__init__()
        self.method = method
        self.called = 0

    def put(self, key: bytes, session: ClientSession) -> None:
        self._maybe("put")
        super().put(key, session)

    def take(self, key: bytes) -> ClientSession | None:
        self._maybe("take")
        return super().take(key)

    def _maybe(self, method: str) -> None:
        self.called += 1
        if method == self.method:
            raise OSError("disk full")


@every_version
@pytest.mark.parametrize("method", ["put", "take"])
def test_clients_store_that_fails_costs_resumption_and_no_connection(
    version: str, method: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = ClientStore(method)
    server, client = demanding(version=version), known(sessions=store)
    with caplog.at_level(logging.WARNING, logger="trustls"):
        for _ in range(3):
            check_full(connect(server, client))
    assert store.called > 1
    assert caplog.records, "it is logged"
    assert "disk full" in caplog.text


def test_stores_full_of_others_lose_the_oldest_session_only() -> None:
    store = MemorySessions(capacity=4)
    server = demanding(resumption=StoredSessions(store=store, count=2))
    clients = [known() for _ in range(3)]
    for client in clients:
        connect(server, client)
    assert len(store) == 4
    check_full(connect(server, clients[0]))
    check_resumed(connect(server, clients[2]))


def test_client_with_a_long_chain_gets_no_ticket_that_its_next_hello_could_not_carry() -> None:
    """A ticket holds the client's chain; a stored session's name is short whatever it stands for."""
    long = client_credential("ml-dsa-87")
    more = tuple([client_credential("ml-dsa-87", f"another {number}").certificate.der for number in range(2)]) * 6
    for policy, resumed in (("tickets", False), ("stored", True)):
        server, client = demanding(policy), known(credentials=[long], sessions=OneSession())
        edit = on(CertificateMessage, lambda message: (replace(message, entries=message.entries + entries(more)),))
        scripted = ScriptedClient(client, edit)
        joined = Pair(scripted, ServerConnection(server)).run().check_connected()
        assert joined.server.peer is not None
        assert sum(len(certificate.der) for certificate in joined.server.peer.presented) > MAX_TICKET
        assert isinstance(client.sessions, OneSession)
        assert bool(client.sessions.kept) is resumed


def entries(certificates: tuple[bytes, ...]) -> tuple[CertificateEntry, ...]:
    return tuple([CertificateEntry(certificate=certificate) for certificate in certificates])


def test_answers_are_awaited_in_any_form() -> None:
    """A future, a task or a coroutine: whatever can be awaited."""

    class Futures(LateKeys):
        def named(self, name: bytes, now: float) -> Awaitable[TicketKey | None]:  # type: ignore[override]
            return asyncio.ensure_future(super().named(name, now))

    server, client = demanding(resumption=Tickets(keys=Futures())), known()
    settled(pair(server, client))
    check_resumed(settled(pair(server, client)))
