"""aiohttp, client and server: docs/integrations/aiohttp.md."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import trustls
from tests.integrations import recipes
from tests.integrations.loops import ASYNCIO, Run
from tests.integrations.mutual import (
    REFUSED,
    SECOND_SUBJECT,
    ConfigMaker,
    Files,
    Handshakes,
    check_refused,
    client_config,
    server_config,
    skip_without,
)
from tests.integrations.proxy import ConnectProxy
from tests.integrations.servers import LARGE, HttpServer

aiohttp = skip_without("aiohttp")
recipe = recipes.load("aiohttp")


async def served(config: trustls.ServerConfig) -> tuple[Any, str]:
    runner = await recipe.serve(config, "127.0.0.1", 0)
    return runner, f"https://localhost:{runner.addresses[0][1]}"


@ASYNCIO
def test_client_speaks_mutual_tls(http_server: HttpServer, handshakes: Handshakes, run: Run) -> None:
    async def main() -> None:
        async with recipe.session(client_config()) as session:
            async with session.post(f"{http_server.url}/hello", data=b"question") as response:
                answer = await response.json()
            async with session.get(f"{http_server.url}/large") as response:
                assert await response.read() == LARGE, "the answer was cut or garbled"
        assert (answer["subject"], answer["path"], answer["body"]) == (SECOND_SUBJECT, "/hello", "question")

    run(main)
    handshakes.check()


def test_openssl_server_lets_it_in(openssl_http_server: HttpServer, second_client: trustls.ClientConfig) -> None:
    async def main() -> None:
        async with recipe.session(second_client) as session, session.get(openssl_http_server.url) as response:
            assert (await response.json())["subject"] == SECOND_SUBJECT

    asyncio.run(main())


@ASYNCIO
def test_server_knows_its_client(handshakes: Handshakes, run: Run) -> None:
    async def main() -> None:
        runner, url = await served(server_config())
        async with recipe.session(client_config()) as session, session.get(f"{url}/whoami") as response:
            assert await response.json() == {"subject": SECOND_SUBJECT, "emails": []}
        await runner.cleanup()

    run(main)
    handshakes.check()


def test_server_knows_a_client_on_openssl(handshakes: Handshakes, files: Files) -> None:
    async def main() -> None:
        runner, url = await served(server_config())
        connector = aiohttp.TCPConnector(ssl=files.openssl_client(files.second))
        async with aiohttp.ClientSession(connector=connector) as session, session.get(f"{url}/whoami") as response:
            assert (await response.json())["subject"] == SECOND_SUBJECT
        await runner.cleanup()

    asyncio.run(main())
    handshakes.check_servers()


def test_tls_goes_inside_of_the_tls_of_a_proxy(http_server: HttpServer, handshakes: Handshakes) -> None:
    async def main() -> None:
        async with recipe.session(client_config()) as session:
            async with session.get(http_server.url, proxy=proxy.url) as response:
                assert (await response.json())["subject"] == SECOND_SUBJECT
            async with session.get(f"{http_server.url}/large", proxy=proxy.url) as response:
                assert await response.read() == LARGE, "the answer was cut or garbled"

    with ConnectProxy(server_config().ssl_context()) as proxy:
        asyncio.run(main())
    assert proxy.subjects == [SECOND_SUBJECT], "the proxy does not know the client"
    handshakes.check(2)


def test_web_socket_goes_over_it(handshakes: Handshakes) -> None:
    async def shout(request: Any) -> Any:
        socket = aiohttp.web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            await socket.send_str(message.data.upper())
        return socket

    async def main() -> None:
        application = aiohttp.web.Application()
        application.router.add_get("/shout", shout)
        runner = aiohttp.web.AppRunner(application)
        await runner.setup()
        await aiohttp.web.TCPSite(runner, "127.0.0.1", 0, ssl_context=server_config().ssl_context()).start()
        url = f"https://localhost:{runner.addresses[0][1]}/shout"
        async with recipe.session(client_config()) as session, session.ws_connect(url) as socket:
            await socket.send_str("hello")
            assert await socket.receive_str(timeout=15) == "HELLO"
        await runner.cleanup()

    asyncio.run(main())
    handshakes.check()


@REFUSED
def test_refusal_is_told_in_words(handshakes: Handshakes, refused_config: ConfigMaker, why: str) -> None:
    async def main() -> None:
        runner, url = await served(server_config())
        try:
            async with recipe.session(refused_config()) as session, session.get(f"{url}/whoami"):
                pass
        finally:
            await runner.cleanup()

    with pytest.raises(aiohttp.ClientConnectionError) as refused:
        asyncio.run(main())
    check_refused(refused.value, why)
    handshakes.check_refused(why)
