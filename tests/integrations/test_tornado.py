"""tornado, client and server: docs/integrations/tornado.md."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

import trustls
from tests.integrations import recipes
from tests.integrations.mutual import (
    REFUSED,
    SECOND_SUBJECT,
    ConfigMaker,
    Files,
    Handshakes,
    check_client,
    check_refused,
    client_config,
    server_config,
    skip_without,
)
from tests.integrations.servers import LARGE, HttpServer

skip_without("tornado")
recipe = recipes.load("tornado")


@asynccontextmanager
async def serving(config: trustls.ServerConfig) -> AsyncIterator[str]:
    server = recipe.server(config)
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    server.add_socket(listener)
    yield f"https://localhost:{listener.getsockname()[1]}"
    server.stop()
    await server.close_all_connections()


def test_client_speaks_mutual_tls(http_server: HttpServer, handshakes: Handshakes) -> None:
    async def main() -> None:
        answer = json.loads(await recipe.get(client_config(), f"{http_server.url}/hello"))
        assert (answer["subject"], answer["path"]) == (SECOND_SUBJECT, "/hello")
        assert await recipe.get(client_config(), f"{http_server.url}/large") == LARGE, "the answer was cut or garbled"

    asyncio.run(main())
    handshakes.check(2)


def test_openssl_server_lets_it_in(openssl_http_server: HttpServer, second_client: trustls.ClientConfig) -> None:
    async def main() -> None:
        answer = json.loads(await recipe.get(second_client, openssl_http_server.url))
        assert answer["subject"] == SECOND_SUBJECT

    asyncio.run(main())


def test_server_knows_its_client(handshakes: Handshakes) -> None:
    async def main() -> None:
        async with serving(server_config()) as url:
            assert json.loads(await recipe.get(client_config(), f"{url}/whoami")) == {"subject": SECOND_SUBJECT}

    asyncio.run(main())
    handshakes.check()


def test_server_knows_a_client_on_openssl(handshakes: Handshakes, files: Files) -> None:
    async def main() -> None:
        async with serving(server_config()) as url:
            client = recipe.httpclient.AsyncHTTPClient()
            response = await client.fetch(f"{url}/whoami", ssl_options=files.openssl_client(files.second))
            assert json.loads(response.body) == {"subject": SECOND_SUBJECT}

    asyncio.run(main())
    handshakes.check_servers()


def test_stream_speaks_mutual_tls(http_server: HttpServer, handshakes: Handshakes) -> None:
    async def main() -> None:
        stream = await recipe.stream(client_config(), "localhost", http_server.port)
        check_client(stream.socket)
        await stream.write(b"GET /large HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        head = await stream.read_until(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 "), f"the answer begins with {head!r}"
        assert await stream.read_until_close() == LARGE, "the answer was cut or garbled"

    asyncio.run(main())
    handshakes.check()


@REFUSED
def test_refusal_is_told_in_words(handshakes: Handshakes, refused_config: ConfigMaker, why: str) -> None:
    async def main() -> None:
        async with serving(server_config()) as url:
            await recipe.get(refused_config(), f"{url}/whoami")

    with pytest.raises(OSError) as refused:  # noqa: PT011 (check_refused looks at it)
        asyncio.run(main())
    check_refused(refused.value, why)
    handshakes.check_refused(why)
