"""Connections that peers break off, and that the server has dealt with: they are no news for asyncio's log."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import Any

import trustls
from tests.soak.cutting import cut_client
from tests.soak.holdings import happens
from tests.soak.serving import client_config, echo, server_config, serving
from tests.support.pki import PKI


def test_connection_broken_off_is_not_reported_when_its_future_is_deleted_before_its_protocol(pki: PKI) -> None:
    async def main() -> None:
        told: list[dict[str, Any]] = []
        caught: list[Exception] = []
        protocols: list[asyncio.BaseProtocol] = []

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            protocols.append(writer.transport.get_protocol())
            try:
                await echo(reader, writer)
            except trustls.TLSError as error:
                caught.append(error)

        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: told.append(context))
        async with serving(server_config(pki), answer) as server:
            await cut_client(server.port, client_config(pki), None)
            assert await happens(lambda: bool(caught) and not server.attached), "the server does not see the end"
        assert isinstance(caught[0], trustls.UnexpectedEOF), f"the client left without a word: {caught[0]!r}"
        # As the collector of a free-threaded Python may do it, here on every Python: the future, and then the protocol.
        closed = weakref.ref(vars(protocols[0]).pop("_closed"))
        gc.collect()
        assert not told, f"what the application was told already is reported again: {told}"
        assert closed() is None, "the future is still alive: this test shows nothing"

    asyncio.run(main())
