"""trio over the drop-in: docs/integrations/trio.md."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

import trustls
from tests.integrations import recipes
from tests.integrations.mutual import (
    REFUSED,
    SECOND_SUBJECT,
    SERVER_SAYS,
    SERVER_SUBJECT,
    ConfigMaker,
    Files,
    Handshakes,
    check_refused,
    client_config,
    server_config,
    skip_without,
    subject_of,
)

trio = skip_without("trio")
skip_without("trio.testing", "pip install trio")
recipe = recipes.load("trio")

ANSWER = f"{SECOND_SUBJECT} says hello".encode()


@asynccontextmanager
async def serving(config: trustls.ServerConfig) -> AsyncIterator[int]:
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(recipe.serve, config, "127.0.0.1")
        yield listeners[0].transport_listener.socket.getsockname()[1]
        nursery.cancel_scope.cancel()


def test_helpers_speak_mutual_tls(handshakes: Handshakes) -> None:
    async def main() -> None:
        async with serving(server_config()) as port:
            assert await recipe.ask(client_config(), "localhost", port, b"hello") == ANSWER

    trio.run(main)
    handshakes.check()


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_stream_that_is_open_is_wrapped(handshakes: Handshakes, version: str) -> None:
    async def main() -> None:
        async with serving(server_config(versions=[version])) as port:
            plain = await trio.open_tcp_stream("127.0.0.1", port)
            assert await recipe.ask_on(client_config(), plain, "localhost", b"hello") == ANSWER

    trio.run(main)
    handshakes.check()
    assert str(handshakes.clients[0].info.version) == f"TLSv{version}"


def test_stream_has_what_ssl_objects_have(handshakes: Handshakes) -> None:
    async def main() -> None:
        async with serving(server_config(alpn=["chat"])) as port:
            context = client_config(alpn=["chat"]).ssl_context()
            stream = await trio.open_ssl_over_tcp_stream("localhost", port, ssl_context=context)
            async with stream:
                await stream.do_handshake()
                assert stream.selected_alpn_protocol() == "chat"
                assert stream.version() == "TLSv1.3"
                assert subject_of(stream.getpeercert()) == SERVER_SUBJECT
                assert stream.context is context

    trio.run(main)


def test_stream_goes_over_memory_and_unwraps(handshakes: Handshakes) -> None:
    async def main() -> None:
        here, there = trio.testing.memory_stream_pair()
        client = trio.SSLStream(here, client_config().ssl_context(), server_hostname="localhost")
        server = trio.SSLStream(there, server_config().ssl_context(), server_side=True)
        left: list[Any] = []

        async def end(stream: Any) -> None:
            left.append(await stream.unwrap())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.do_handshake)
            nursery.start_soon(server.do_handshake)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(end, client)
            nursery.start_soon(end, server)
        assert [trailing for _, trailing in left] == [b"", b""]

    trio.run(main)
    handshakes.check()


@pytest.mark.parametrize("ours", ["client", "server"])
def test_openssl_is_on_the_other_side(
    handshakes: Handshakes, files: Files, second_client: trustls.ClientConfig, ours: str
) -> None:
    server = server_config().ssl_context() if ours == "server" else files.openssl_server()
    client = second_client.ssl_context() if ours == "client" else files.openssl_client(files.second)

    async def tell(stream: Any) -> None:
        async with stream:
            await stream.do_handshake()
            await stream.send_all((subject_of(stream.getpeercert()) or "nobody").encode())

    async def main() -> None:
        async with trio.open_nursery() as nursery:

            async def serve(*, task_status: Any) -> None:
                await trio.serve_ssl_over_tcp(tell, 0, server, host="127.0.0.1", task_status=task_status)

            (listener,) = await nursery.start(serve)
            port = listener.transport_listener.socket.getsockname()[1]
            async with await trio.open_ssl_over_tcp_stream("localhost", port, ssl_context=client) as stream:
                assert await stream.receive_some() == SECOND_SUBJECT.encode()
            nursery.cancel_scope.cancel()

    trio.run(main)
    if ours == "server":
        handshakes.check_servers()


@REFUSED
def test_refusal_is_told_in_words(handshakes: Handshakes, refused_config: ConfigMaker, why: str) -> None:
    async def main() -> None:
        async with serving(server_config()) as port:
            with pytest.raises(trio.BrokenResourceError) as refused:
                await recipe.ask(refused_config(), "localhost", port, b"hello")
            check_refused(refused.value, why)
            answer = await recipe.ask(client_config(), "localhost", port, b"hello")
            assert answer == ANSWER, "the server serves nobody after it has refused one"

    trio.run(main)
    assert SERVER_SAYS[why] in str(handshakes.servers[0].failure)
