"""trustls's own streams: docs/integrations/own-asyncio.md, own-anyio.md and own-trio.md."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import trustls
from tests.integrations import recipes
from tests.integrations.mutual import (
    REFUSED,
    SECOND_SUBJECT,
    ConfigMaker,
    check_refused,
    client_config,
    server_config,
    skip_without,
)
from tests.support.loops import run_in_loop

ANSWER = f"{SECOND_SUBJECT} says hello".encode()


async def asked(serve: str, ask: str, client: trustls.ClientConfig) -> bytes:
    recipe = recipes.load("own-asyncio")
    server = await getattr(recipe, serve)(server_config(), "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        answer: bytes = await asyncio.wait_for(getattr(recipe, ask)(client, "localhost", port, b"hello"), 10)
        return answer


@pytest.mark.parametrize("how", ["directly", "directly_after_starttls"])
def test_asyncio_streams_speak_mutual_tls(how: str) -> None:
    assert run_in_loop(lambda: asked(f"serve_{how}", f"ask_{how}", client_config())) == ANSWER + b"\n"


@REFUSED
def test_asyncio_client_is_refused_in_words(refused_config: ConfigMaker, why: str) -> None:
    with pytest.raises((trustls.TLSError, OSError)) as caught:
        run_in_loop(lambda: asked("serve_directly", "ask_directly", refused_config()))
    check_refused(caught.value, why)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_anyio_streams_speak_mutual_tls(backend: str) -> None:
    anyio: Any = skip_without("anyio")
    recipe = recipes.load("own-anyio")

    async def main() -> None:
        listener = await recipe.listen_directly(server_config(), "127.0.0.1")
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        async with listener, anyio.create_task_group() as group:
            group.start_soon(listener.serve, recipe.greet_directly)
            assert await recipe.ask_directly(client_config(), "localhost", port, b"hello") == ANSWER
            plain = await anyio.connect_tcp("127.0.0.1", port)
            assert await recipe.ask_directly_on(client_config(), plain, "localhost", b"hello") == ANSWER
            group.cancel_scope.cancel()

    anyio.run(main, backend=backend)


def test_trio_streams_speak_mutual_tls() -> None:
    trio: Any = skip_without("trio")
    recipe = recipes.load("own-trio")

    async def main() -> None:
        async with trio.open_nursery() as nursery:

            async def serve(*, task_status: Any) -> None:
                await recipe.serve_directly(server_config(), "127.0.0.1", task_status=task_status)

            listeners = await nursery.start(serve)
            port = listeners[0].transport_listener.socket.getsockname()[1]
            assert await recipe.ask_directly(client_config(), "localhost", port, b"hello") == ANSWER
            plain = await trio.open_tcp_stream("127.0.0.1", port)
            assert await recipe.ask_directly_on(client_config(), plain, "localhost", b"hello") == ANSWER
            nursery.cancel_scope.cancel()

    trio.run(main)
