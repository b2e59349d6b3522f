"""Event loops on the objects: asyncio and uvloop with large data, and what cannot be waited for."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import ssl
from collections.abc import Callable
from typing import Any

import pytest

import trustls
from tests.stdlib.pairs import (
    SIDES,
    BIOPair,
    beside,
    contexts,
    our_client,
    our_server,
    socket_pair,
    ssl_client,
    ssl_server,
    tcp_pair,
)
from tests.support import identities
from tests.support.signers import LateSigner
from trustls.session.tickets import StoredSessions

LARGE = os.urandom(1 << 20) * 3


def _runner(loop: str) -> Callable[[Any], Any]:
    if loop == "asyncio":
        return asyncio.run
    uvloop = pytest.importorskip("uvloop", reason="uvloop is not installed: pip install uvloop")
    return uvloop.run  # type: ignore[no-any-return]


@pytest.mark.parametrize("sides", SIDES)
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_large_data_crosses_an_event_loop_whole_with_back_pressure(loop: str, sides: str) -> None:
    client_context, server_context = contexts(sides, mutual=True)

    async def digest(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        size = int(await reader.readline())
        seen = hashlib.sha256()
        while size:
            data = await reader.read(min(size, 100_000))
            seen.update(data)
            size -= len(data)
        writer.write(seen.digest())
        for at in range(0, len(LARGE), 70_000):
            writer.write(LARGE[at : at + 70_000])
            await writer.drain()
        writer.close()
        await writer.wait_closed()

    async def main() -> tuple[bytes, bytes, str]:
        server = await asyncio.start_server(digest, "127.0.0.1", 0, ssl=server_context)
        async with server:
            port = server.sockets[0].getsockname()[1]
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", port, ssl=client_context, server_hostname="localhost"
            )
            writer.write(b"%d\n" % len(LARGE))
            writer.write(LARGE)
            await writer.drain()
            seen = await reader.readexactly(32)
            back = await reader.read(-1)
            version = writer.get_extra_info("ssl_object").version()
            assert writer.get_extra_info("cipher") == writer.get_extra_info("ssl_object").cipher()
            assert writer.get_extra_info("peercert")["subject"] == ((("commonName", "localhost"),),)
            assert writer.get_extra_info("sslcontext") is client_context
            writer.close()
            await writer.wait_closed()
            return seen, back, version

    seen, back, version = _runner(loop)(main())
    assert version == "TLSv1.3"
    assert seen == hashlib.sha256(LARGE).digest()
    assert back == LARGE


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_refused_client_is_an_ssl_error_in_an_event_loop(loop: str) -> None:
    async def main() -> None:
        async def never(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.close()

        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        server = await asyncio.start_server(never, "127.0.0.1", 0, ssl=our_server(client_auth=identities.required()))
        async with server:
            port = server.sockets[0].getsockname()[1]
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", port, ssl=our_client(), server_hostname="localhost"
            )
            with pytest.raises(ssl.SSLError, match="CERTIFICATE_REQUIRED") as raised:
                await reader.read(10)
            assert isinstance(raised.value, trustls.CertificateRejectedByPeer)
            writer.close()
            with pytest.raises(ssl.SSLError):
                await writer.wait_closed()

    _runner(loop)(main())


# -- What is asynchronous cannot be waited for -------------------------------------------------------------------------


def _signs_late() -> ssl.SSLContext:
    """A server whose key is behind a network."""
    issued = identities.server_identity("ec-p256")
    return our_server(credentials=[trustls.Credential(issued.chain, signer=LateSigner(issued.key))])


def test_what_is_asynchronous_is_refused_loudly_and_the_peer_is_told() -> None:
    pair = BIOPair.of(our_client(), _signs_late())
    with pytest.raises(ssl.SSLError, match="INTERNAL_ERROR"):
        pair.handshake()
    with pytest.raises(trustls.AsyncRequired, match=r"trustls\.aio") as raised:
        pair.server.do_handshake()
    assert isinstance(raised.value, ssl.SSLError)
    assert pair.server.version() is None
    assert pair.server.cipher() is None
    assert repr(pair.server)


def test_what_is_asynchronous_is_refused_on_sockets_too() -> None:
    with tcp_pair() as (one, other):
        accepting = beside(_signs_late().wrap_socket, other, server_side=True)
        with pytest.raises(ssl.SSLError, match="INTERNAL_ERROR"):
            our_client().wrap_socket(one, server_hostname="localhost")
        with pytest.raises(trustls.AsyncRequired):
            accepting.result()


# -- Early data cannot be told apart -----------------------------------------------------------------------------------


def test_a_server_that_takes_early_data_makes_no_context() -> None:
    with pytest.raises(trustls.ConfigError, match="early data"):
        our_server(resumption=StoredSessions(max_early_data=1000))


def test_early_data_that_a_chosen_configuration_takes_ends_the_connection() -> None:
    """It would be lost, or taken for data that nobody can send again."""
    chosen = identities.server_config(resumption=StoredSessions(max_early_data=1000))
    server = our_server(choose_config=lambda _: chosen)
    config = identities.client_config(early_data=True)

    def connected(early: bytes) -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        accepting = server.wrap_bio(incoming, outgoing, server_side=True)
        client = trustls.ClientConnection(config, "localhost")
        if early:
            client.write_early(early)
        for _ in range(4):
            incoming.write(client.data_to_send())
            with contextlib.suppress(ssl.SSLWantReadError):
                accepting.do_handshake()
            client.receive(outgoing.read())

    connected(b"")
    with pytest.raises((trustls.ConfigError, trustls.AlertReceived)):
        connected(b"GET / HTTP/1.1")


# -- Certificates after the handshake ----------------------------------------------------------------------------------


def _asks_later() -> ssl.SSLContext:
    return our_server(post_handshake_auth=identities.required())


def _answers_later(**changes: Any) -> ssl.SSLContext:
    return our_client(credentials=[identities.client_credential()], post_handshake_auth=True, **changes)


def _ssl_answers_later() -> ssl.SSLContext:
    context = ssl_client(identities.client_identity())
    context.post_handshake_auth = True
    return context


def _ssl_asks_later() -> ssl.SSLContext:
    context = ssl_server(verify=ssl.CERT_REQUIRED)
    context.post_handshake_auth = True
    return context


@pytest.mark.parametrize(
    ("client", "server"),
    [(_answers_later, _asks_later), (_ssl_answers_later, _asks_later), (_answers_later, _ssl_asks_later)],
    ids=SIDES[:1] + SIDES[2:] + SIDES[1:2],
)
@pytest.mark.parametrize("over", ["BIOs", "sockets"])
def test_a_certificate_is_asked_for_after_the_handshake(
    client: Callable[[], ssl.SSLContext], server: Callable[[], ssl.SSLContext], over: str
) -> None:
    if over == "sockets":
        with socket_pair(client(), server()) as (one, other):
            assert other.getpeercert() is None
            other.verify_client_post_handshake()
            other.sendall(b"who are you?")
            assert one.recv(100) == b"who are you?"
            one.sendall(b"alice")
            assert other.recv(100) == b"alice"
            assert other.getpeercert()["subject"] == ((("commonName", "alice"),),)
        return
    pair = BIOPair.of(client(), server()).handshake()
    assert pair.server.getpeercert() is None
    pair.server.verify_client_post_handshake()
    pair.server.write(b"who are you?")
    assert pair.run(lambda: pair.client.read(100)) == [b"who are you?"]
    pair.client.write(b"alice")
    assert pair.run(lambda: pair.server.read(100)) == [b"alice"]
    assert pair.server.getpeercert()["subject"] == ((("commonName", "alice"),),)


def test_the_clients_setter_allows_it() -> None:
    context = our_client(credentials=[identities.client_credential()])
    context.post_handshake_auth = True
    pair = BIOPair.of(context, _asks_later()).handshake()
    pair.server.verify_client_post_handshake()


def test_asking_where_nobody_agreed_is_refused() -> None:
    for client, server in (
        (our_client(), _asks_later()),
        (_answers_later(), our_server()),
        (_answers_later(versions=["1.2"]), _asks_later()),
    ):
        pair = BIOPair.of(client, server).handshake()
        with pytest.raises(ssl.SSLError):
            pair.server.verify_client_post_handshake()
        with pytest.raises(ssl.SSLError):
            pair.client.verify_client_post_handshake()
    with pytest.raises(ssl.SSLError):
        BIOPair.of(_answers_later(), _asks_later()).server.verify_client_post_handshake()
    with pytest.raises(ValueError, match="ServerConfig"):
        our_server().post_handshake_auth = True
