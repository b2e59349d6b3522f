"""anyio over the drop-in, on asyncio and on trio: docs/integrations/anyio.md."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

import trustls
from tests.integrations import recipes
from tests.integrations.loops import ASYNCIO_AND_TRIO, Run
from tests.integrations.mutual import (
    REFUSED,
    SECOND_SUBJECT,
    SERVER_SAYS,
    SERVER_SUBJECT,
    ConfigMaker,
    Files,
    Handshakes,
    check_client,
    check_refused,
    client_config,
    server_config,
    skip_without,
    subject_of,
)

anyio = skip_without("anyio")
recipe = recipes.load("anyio")
pytestmark = ASYNCIO_AND_TRIO

ANSWER = f"{SECOND_SUBJECT} says hello".encode()
TLSAttribute = recipe.TLSAttribute


@asynccontextmanager
async def serving(config: trustls.ServerConfig) -> AsyncIterator[int]:
    listener = await recipe.listener(config, "127.0.0.1")
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, recipe.greet)
        yield listener.listener.extra(anyio.abc.SocketAttribute.local_port)
        tasks.cancel_scope.cancel()


def test_connect_tcp_speaks_mutual_tls(run: Run, handshakes: Handshakes) -> None:
    async def main() -> None:
        async with serving(server_config()) as port:
            assert await recipe.ask(client_config(), "localhost", port, b"hello") == ANSWER

    run(main)
    handshakes.check()


def test_connectable_speaks_mutual_tls(run: Run, handshakes: Handshakes) -> None:
    async def main() -> None:
        async with serving(server_config()) as port:
            connectable = anyio.TCPConnectable("127.0.0.1", port)
            assert await recipe.ask_over(client_config(), connectable, "localhost", b"hello") == ANSWER

    run(main)
    handshakes.check()


def test_stream_that_is_open_is_wrapped(run: Run, handshakes: Handshakes) -> None:
    async def main() -> None:
        async with serving(server_config()) as port:
            plain = await anyio.connect_tcp("127.0.0.1", port)
            assert await recipe.ask_on(client_config(), plain, "localhost", b"hello") == ANSWER

    run(main)
    handshakes.check()


def test_attributes_are_what_ssl_gives(run: Run, handshakes: Handshakes) -> None:
    async def main() -> None:
        async with serving(server_config(alpn=["chat"])) as port:
            context = client_config(alpn=["chat"]).ssl_context()
            async with await anyio.connect_tcp("localhost", port, ssl_context=context) as stream:
                check_client(stream.extra(TLSAttribute.ssl_object))
                assert stream.extra(TLSAttribute.alpn_protocol) == "chat"
                assert stream.extra(TLSAttribute.cipher) == ("TLS_AES_256_GCM_SHA384", "TLSv1.3", 256)
                assert stream.extra(TLSAttribute.tls_version) == "TLSv1.3"
                assert stream.extra(TLSAttribute.server_side) is False
                assert stream.extra(TLSAttribute.shared_ciphers) is None
                assert stream.extra(TLSAttribute.channel_binding_tls_unique) is None, "TLS 1.3 has none"
                assert subject_of(stream.extra(TLSAttribute.peer_certificate)) == SERVER_SUBJECT
                assert stream.extra(TLSAttribute.peer_certificate_binary).startswith(b"\x30\x82")

    run(main)


def test_connection_is_unwrapped_and_goes_on_in_the_clear(run: Run, handshakes: Handshakes) -> None:
    async def main() -> None:
        async def accept(plain: Any) -> None:
            context = server_config().ssl_context()
            stream = await recipe.TLSStream.wrap(plain, ssl_context=context)
            await stream.send(b"secret")
            below, left = await stream.unwrap()
            await below.send(b"clear" + left)
            await below.aclose()

        async with (
            await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(listener.serve, accept)
            port = listener.extra(anyio.abc.SocketAttribute.local_port)
            context = client_config().ssl_context()
            stream = await anyio.connect_tcp("localhost", port, ssl_context=context)
            assert await stream.receive() == b"secret"
            below, left = await stream.unwrap()
            while len(left) < len(b"clear"):
                left += await below.receive()
            assert left == b"clear"
            await below.aclose()
            tasks.cancel_scope.cancel()

    run(main)
    handshakes.check()


@pytest.mark.parametrize("ours", ["client", "server"])
def test_openssl_is_on_the_other_side(
    run: Run, handshakes: Handshakes, files: Files, second_client: trustls.ClientConfig, ours: str
) -> None:
    async def main() -> None:
        server = server_config().ssl_context() if ours == "server" else files.openssl_server()
        client = second_client.ssl_context() if ours == "client" else files.openssl_client(files.second)

        async def tell(stream: Any) -> None:
            async with stream:
                await stream.send((subject_of(stream.extra(TLSAttribute.peer_certificate)) or "nobody").encode())

        plain = await anyio.create_tcp_listener(local_host="127.0.0.1")
        async with recipe.TLSListener(plain, ssl_context=server) as listener, anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, tell)
            port = listener.listener.extra(anyio.abc.SocketAttribute.local_port)
            async with await anyio.connect_tcp("localhost", port, ssl_context=client) as stream:
                assert await stream.receive() == SECOND_SUBJECT.encode()
            tasks.cancel_scope.cancel()

    run(main)
    if ours == "server":
        handshakes.check_servers()


@REFUSED
def test_refusal_is_told_in_words(
    run: Run, handshakes: Handshakes, refused_config: ConfigMaker, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with serving(server_config()) as port:
            with pytest.raises(ssl.SSLError) as refused:
                await recipe.ask(refused_config(), "localhost", port, b"hello")
            check_refused(refused.value, why)
            answer = await recipe.ask(client_config(), "localhost", port, b"hello")
            assert answer == ANSWER, "the server serves nobody after it has refused one"

    run(main)
    assert SERVER_SAYS[why] in str(handshakes.servers[0].failure)
    assert SERVER_SAYS[why] in caplog.text, "the listener's log does not say why"


def test_end_without_close_notify_is_no_end(run: Run) -> None:
    async def main() -> None:
        async def leave(plain: Any) -> None:
            stream = await recipe.TLSStream.wrap(plain, ssl_context=server_config().ssl_context())
            await stream.send(b"half of")
            await plain.aclose()

        async with (
            await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(listener.serve, leave)
            port = listener.extra(anyio.abc.SocketAttribute.local_port)
            stream = await anyio.connect_tcp("localhost", port, ssl_context=client_config().ssl_context())
            assert await stream.receive() == b"half of"
            with pytest.raises(anyio.BrokenResourceError):
                await stream.receive()
            await anyio.aclose_forcefully(stream)
            tasks.cancel_scope.cancel()

    run(main)
