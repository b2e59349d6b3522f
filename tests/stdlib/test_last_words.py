"""A client that is refused is told why, by event loops too that drop what waits when the handshake fails."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

import pytest

from tests.stdlib.pairs import BIOPair, our_client, our_server
from tests.support import identities
from trustls.errors import CertificateRejected, CertificateRejectedByPeer


def refusing() -> ssl.SSLContext:
    return our_server(client_auth=identities.required())


def test_server_wants_its_alert_sent_before_it_fails() -> None:
    pair = BIOPair.of(our_client(), refusing())
    with pytest.raises(ssl.SSLError) as told:
        pair.run(pair.client.do_handshake, pair.server.do_handshake, pair.client.read)
    assert isinstance(told.value, CertificateRejected), "the server's failure is the first to be raised"
    pair.carry()
    with pytest.raises(ssl.SSLError) as told:
        pair.client.read()
    assert isinstance(told.value, CertificateRejectedByPeer)
    for _ in range(2):
        with pytest.raises(ssl.SSLError) as again:
            pair.server.do_handshake()
        assert isinstance(again.value, CertificateRejected), "the failure does not last"


def test_server_fails_at_once_when_nobody_is_there_to_be_told() -> None:
    pair = BIOPair.of(our_client(), refusing())
    with pytest.raises(ssl.SSLWantReadError):
        pair.client.do_handshake()
    pair.carry()
    with pytest.raises(ssl.SSLWantReadError):
        pair.server.do_handshake()
    pair.to_server.write_eof()
    with pytest.raises(ssl.SSLEOFError):
        pair.server.do_handshake()


def test_client_fails_at_once() -> None:
    pair = BIOPair.of(our_client(roots=identities.client_roots()), our_server())
    with pytest.raises(ssl.SSLWantReadError):
        pair.client.do_handshake()
    pair.carry()
    with pytest.raises(ssl.SSLWantReadError):
        pair.server.do_handshake()
    pair.carry()
    with pytest.raises(ssl.SSLCertVerificationError):
        pair.client.do_handshake()


async def listen(port: int, context: ssl.SSLContext) -> None:
    """Connect, and hear what the server has to say."""
    reader, writer = await asyncio.open_connection("localhost", port, ssl=context)
    try:
        await reader.read()
    finally:
        writer.transport.abort()


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_client_of_an_event_loop_is_told(loop: str, version: str) -> None:
    factory: Any = pytest.importorskip("uvloop").new_event_loop if loop == "uvloop" else None

    async def main() -> None:
        served: list[object] = []

        async def serve(*streams: asyncio.StreamWriter | asyncio.StreamReader) -> None:
            served.extend(streams)

        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=refusing())
        async with server:
            port = server.sockets[0].getsockname()[1]
            context = our_client(versions=[version])
            with pytest.raises(ssl.SSLError) as told:
                await listen(port, context)
            assert isinstance(told.value, CertificateRejectedByPeer), f"the client was told {told.value!r}"
        assert not served, "a client that is refused was served"

    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(asyncio.wait_for(main(), 20))
