"""Connections that resume sessions, in memory: clocks to be set, stores to be looked into, peers that lie."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Final

from tests.support.identities import client_config, client_credential, now, required, server_config
from tests.support.memory import Pair, connect, pair
from tests.support.scripted import Edit, Item, ScriptedClient, ScriptedServer, honest, on
from trustls.config import ClientConfig, ServerConfig
from trustls.connection import ClientConnection, ServerConnection
from trustls.handshake.client_sessions import OfferedPsk, bind, offered_psks
from trustls.session.state import ClientSession
from trustls.session.store import MemorySessions
from trustls.session.tickets import Resumption, StoredSessions, Tickets
from trustls.wire.messages import (
    CertificateMessage,
    CertificateRequest,
    CertificateVerify,
    ClientHello,
    HandshakeMessage,
)
from trustls.wire.messages12 import CertificateMessage12, CertificateRequest12, ServerKeyExchange

VERSIONS: Final = ("1.2", "1.3")
POLICIES: Final[dict[str, Callable[..., Resumption]]] = {"tickets": Tickets, "stored": StoredSessions}
# Of a full handshake only.
AUTHENTICATION: Final = (
    CertificateMessage,
    CertificateRequest,
    CertificateVerify,
    CertificateMessage12,
    CertificateRequest12,
    ServerKeyExchange,
)


@dataclass(slots=True)
class Clock:
    """A time that a test sets; a `now` for configurations."""

    time: float = field(default_factory=now)

    def __call__(self) -> float:
        return self.time

    def forward(self, seconds: float) -> None:
        self.time += seconds


class OneSession:
    """A client's store that keeps all it is given, and gives what a test wants it to, for any server."""

    def __init__(self) -> None:
        self.kept: list[ClientSession] = []
        self.give: ClientSession | None = None

    def put(self, key: bytes, session: ClientSession) -> None:
        self.kept.append(session)

    def take(self, key: bytes) -> ClientSession | None:
        return self.give

    def offer(self, **changes: Any) -> ClientSession:
        """Give the newest session from now on, with changes."""
        self.give = replace(self.kept[-1], **changes)
        return self.give


class LateSessions:
    """A store over a network."""

    def __init__(self) -> None:
        self.inner = MemorySessions()

    async def put(self, identifier: bytes, session: bytes, lifetime: int) -> None:
        await asyncio.sleep(0)
        self.inner.put(identifier, session, lifetime)

    async def get(self, identifier: bytes) -> bytes | None:
        await asyncio.sleep(0)
        return self.inner.get(identifier)

    async def take(self, identifier: bytes) -> bytes | None:
        await asyncio.sleep(0)
        return self.inner.take(identifier)


def knowing(server: ServerConfig, **changes: Any) -> tuple[ClientConfig, OneSession]:
    """A client with a certificate that has met this server, and offers what it was given there."""
    store = OneSession()
    client = client_config(**{"credentials": [client_credential()], "sessions": store, **changes})
    connect(server, client)
    assert store.kept, "the server gave no session"
    store.offer()
    return client, store


def demanding(policy: str = "tickets", version: str = "1.3", **changes: Any) -> ServerConfig:
    """A server of one version that requires certificates, and resumes."""
    usual: dict[str, Any] = {
        "client_auth": required(),
        "resumption": POLICIES[policy](),
        "versions": [version],
    }
    return server_config(**{**usual, **changes})


def check_resumed(joined: Pair) -> Pair:
    """Both sides say that a session was resumed; each knows the other."""
    joined.check_connected()
    assert joined.client.info.resumed, "the client did not resume"
    assert joined.server.info.resumed, "the server did not resume"
    return joined


def check_full(joined: Pair) -> Pair:
    """Both sides say that it was a full handshake, and it worked."""
    joined.check_connected()
    assert not joined.client.info.resumed, "the client resumed"
    assert not joined.server.info.resumed, "the server resumed"
    return joined


def peers(joined: Pair) -> tuple[object, object]:
    """The certificates of the two, as the other sees them."""
    server, client = joined.client.peer, joined.server.peer
    return (None if server is None else server.certificate), (None if client is None else client.certificate)


# -- Scripts ----------------------------------------------------------------------------------------------------------


def meet(
    server: ServerConfig, client: ClientConfig, *, client_says: Edit = honest, server_says: Edit = honest
) -> tuple[Pair, ScriptedClient, ScriptedServer]:
    """Two scripted sides after all that they had to say."""
    the_client, the_server = ScriptedClient(client, client_says), ScriptedServer(server, server_says)
    return Pair(the_client, the_server).run(), the_client, the_server


def sent(side: ScriptedClient | ScriptedServer) -> list[HandshakeMessage]:
    """What a side wanted to say, before any script changed it."""
    return side.flow.sent


def liar(server: ServerConfig, edit: Edit, client: ClientConfig) -> Pair:
    """An honest client and a server that follows a script."""
    return Pair(ClientConnection(client, "localhost"), ScriptedServer(server, edit)).run()


def rebound(
    client: ClientConfig,
    server: ServerConfig,
    change: Callable[[ClientHello], ClientHello],
    offered: Iterable[OfferedPsk] | None = None,
    session: ClientSession | None = None,
) -> Pair:
    """A client whose ClientHello is what `change` makes of it, bound anew to `offered` (or to its session)."""
    keys = tuple(offered) if offered is not None else offered_psks(client.parameters, session)
    scripts: list[ScriptedClient] = []

    def edit(hello: ClientHello) -> Iterable[Item]:
        changed = change(replace(hello))
        # The first hello is made while the client is: there is nothing in its transcript yet.
        flow = scripts[0].flow if scripts else _EMPTY.flow
        bind(flow, changed, keys)
        return (changed,)

    scripts.append(ScriptedClient(client, on(ClientHello, edit)))
    return Pair(scripts[0], ServerConnection(server)).run()


_EMPTY: Final = ScriptedClient(client_config(), lambda message: ())


# -- Asynchronous shells ----------------------------------------------------------------------------------------------


def settled(joined: Pair) -> Pair:
    """Run both, as asynchronous shells do: settle what is pending, then go on with what came meanwhile."""

    async def run() -> None:
        for _ in range(100):
            moved = joined.step()
            for side in (joined.client, joined.server):
                if side.pending_work is not None:
                    moved = True
                    await side.settle()
                    if side.failure is None:
                        (joined.client_got if side is joined.client else joined.server_got).extend(side.receive(b""))
            if not moved:
                return
        raise AssertionError("the two sides still talk")

    asyncio.run(run())
    return joined


def fresh(server: ServerConfig, client: ClientConfig, name: str = "localhost") -> Pair:
    """Two connections after whatever became of them."""
    return pair(server, client, name).run()
