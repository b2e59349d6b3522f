"""`trustls.anyio` on both event loops: refusals, time and cancellation."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

import trustls
from tests.anyio_shell.answering import SlowVerifier, client_config, server_config
from tests.anyio_shell.needed import need
from tests.support.pki import PKI

need("anyio", "trio")

import anyio  # noqa: E402 (where it is missing, the module is skipped)
from anyio.abc import ByteStream, TaskGroup  # noqa: E402
from anyio.lowlevel import checkpoint  # noqa: E402

import trustls.anyio  # noqa: E402
from tests.anyio_shell.over_anyio import connect, echo, raw_server, run, serving  # noqa: E402
from trustls.anyio import TLSStream, connect_tls  # noqa: E402

# -- Refusals ---------------------------------------------------------------------------------------------------------


def test_refused_server_is_an_exception_of_connect(pki: PKI, backend: str) -> None:
    async def main() -> None:
        async with serving(server_config(pki, credentials=[pki.server_of_other.credential])) as server:
            with pytest.raises(trustls.CertificateRejected):
                await connect(server, client_config(pki))
            error, connection = await server.failure()
            assert isinstance(error, trustls.AlertReceived), f"the server must learn why, but saw {error!r}"
            assert error.description is trustls.AlertDescription.UNKNOWN_CA
            assert connection.failure is error
        assert server.connections == []

    run(backend, main)


def test_refused_client_learns_why_and_the_server_goes_on(pki: PKI, backend: str) -> None:
    async def main() -> None:
        async with serving(server_config(pki, client_auth=pki.required())) as server:
            async with await connect(server, client_config(pki)) as stream:
                with pytest.raises(anyio.BrokenResourceError) as caught:
                    await stream.receive()
                assert isinstance(caught.value.__cause__, trustls.CertificateRejectedByPeer)
            error, _connection = await server.failure()
            assert isinstance(error, trustls.CertificateRejected)
            async with await connect(server, client_config(pki, pki.bob)) as stream:
                await stream.send(b"hello")
                assert await stream.receive() == b"hello"
        assert len(server.connections) == 1, "the handler is called for who was let in alone"

    run(backend, main)


async def send_for_ever(stream: TLSStream) -> None:
    """At least until nobody could take it any more."""
    for _ in range(10_000):
        await stream.send(bytes(1 << 16))


def test_client_that_only_sends_finds_its_stream_broken(pki: PKI, backend: str) -> None:
    async def main() -> None:
        config = server_config(pki, client_auth=pki.required())
        async with (
            serving(config, shutdown_timeout=0.1) as server,
            await connect(server, client_config(pki)) as stream,
        ):
            with pytest.raises(anyio.BrokenResourceError) as caught:
                await send_for_ever(stream)
            if backend == "trio":  # asyncio throws away what it could have read when it cannot write.
                assert isinstance(caught.value.__cause__, trustls.CertificateRejectedByPeer)

    run(backend, main)


def test_fault_of_a_verifier_is_an_internal_error_for_the_peer(pki: PKI, backend: str) -> None:
    async def main() -> None:
        verifier = SlowVerifier(checkpoint, error=RuntimeError("the database is away"))
        async with serving(server_config(pki, client_auth=trustls.ClientAuth.custom(verifier))) as server:
            async with await connect(server, client_config(pki, pki.alice)) as stream:
                with pytest.raises(anyio.BrokenResourceError, match="internal_error"):
                    await stream.receive()
            error, _connection = await server.failure()
            assert "the database is away" in str(error)

    run(backend, main)


def test_plain_text_is_refused(pki: PKI, backend: str) -> None:
    async def main() -> None:
        async with serving(server_config(pki)) as server:
            async with await anyio.connect_tcp("127.0.0.1", server.port) as stream:
                await stream.send(b"GET / HTTP/1.1\r\n\r\n")
                assert (await stream.receive())[:1] == b"\x15", "an alert"
            error, _connection = await server.failure()
            assert isinstance(error, trustls.PeerMisbehaved)

    run(backend, main)


def test_wrong_use_is_refused(pki: PKI, backend: str) -> None:
    async def main() -> None:
        near, far = socket.socketpair()
        with far:
            stream = await anyio.abc.SocketStream.from_socket(near)
            async with stream:
                with pytest.raises(trustls.ConfigError, match="server_name"):
                    await TLSStream.wrap(stream, client_config(pki))
                with pytest.raises(trustls.ConfigError, match="server name"):
                    await TLSStream.wrap(stream, server_config(pki), server_name="localhost")
                with pytest.raises(trustls.ConfigError, match="client's to send"):
                    await TLSStream.wrap(stream, server_config(pki), early_data=b"early")
        with pytest.raises(trustls.ConfigError, match="ssl_context"):
            await connect_tls("127.0.0.1", 1, client_config(pki), ssl_context=ssl.create_default_context())
        async with serving(server_config(pki)) as server, await connect(server, client_config(pki)) as tls:
            with pytest.raises(ValueError, match="positive"):
                await tls.receive(0)

    run(backend, main)


# -- Time and cancellation --------------------------------------------------------------------------------------------


def test_silent_server_is_a_handshake_timeout(pki: PKI, backend: str) -> None:
    async def main() -> None:
        ended: list[bool] = []

        async def silent(stream: ByteStream) -> None:
            with contextlib.suppress(anyio.EndOfStream, anyio.BrokenResourceError):
                while True:
                    await stream.receive()
            ended.append(True)

        async with raw_server(silent) as port:
            with pytest.raises(trustls.HandshakeTimeout, match=r"0\.2 s") as caught:
                await connect_tls("127.0.0.1", port, client_config(pki), server_name="localhost", handshake_timeout=0.2)
            assert isinstance(caught.value, TimeoutError)
        assert ended, "the stream below is closed"

    run(backend, main)


def test_verifier_that_takes_too_long_is_cancelled(pki: PKI, backend: str) -> None:
    async def main() -> None:
        verifier = SlowVerifier(anyio.sleep_forever)
        config = server_config(pki, client_auth=trustls.ClientAuth.custom(verifier))
        async with serving(config, handshake_timeout=0.2) as server:
            async with await connect(server, client_config(pki, pki.alice)) as stream:
                with pytest.raises(anyio.BrokenResourceError):
                    await stream.receive()
            error, _connection = await server.failure()
            assert isinstance(error, trustls.HandshakeTimeout), f"the server saw {error!r}"
        assert server.connections == [], "nobody is let in without an answer"

    run(backend, main)


def test_cancelled_connect_leaves_nothing_behind(pki: PKI, backend: str) -> None:
    async def main() -> None:
        async def silent(stream: ByteStream) -> None:
            with contextlib.suppress(anyio.EndOfStream, anyio.BrokenResourceError):
                while True:
                    await stream.receive()

        async with raw_server(silent) as port:
            with anyio.move_on_after(0.1) as scope:
                await connect_tls("127.0.0.1", port, client_config(pki), server_name="localhost")
            assert scope.cancelled_caught

    run(backend, main)


def test_cancelled_receive_loses_no_data(pki: PKI, backend: str) -> None:
    data = os.urandom(300_000)

    async def main() -> None:
        async def drip(stream: TLSStream) -> None:
            async with stream:
                for start in range(0, len(data), 20_000):
                    await stream.send(data[start : start + 20_000])
                    await anyio.sleep(0.003)

        async with serving(server_config(pki), drip) as server, await connect(server, client_config(pki)) as stream:
            received = bytearray()
            cancelled = 0
            while len(received) < len(data):
                with anyio.move_on_after(0.002) as scope:
                    received.extend(await stream.receive(7000))
                cancelled += scope.cancelled_caught
            assert received == data
            assert cancelled, "no call was cancelled: this test shows nothing"

    run(backend, main)


def test_cancelled_send_ends_sending_alone(pki: PKI, backend: str) -> None:
    async def main() -> None:
        cancelled = anyio.Event()

        async def say_hello_late(stream: TLSStream) -> None:
            await cancelled.wait()
            await stream.send(b"hello")
            with contextlib.suppress(anyio.EndOfStream):
                while True:
                    await stream.receive()

        async with (
            serving(server_config(pki), say_hello_late) as server,
            await connect(server, client_config(pki)) as stream,
        ):
            with anyio.move_on_after(0.1) as scope:
                await stream.send(bytes(64 << 20))
            assert scope.cancelled_caught
            cancelled.set()
            for attempt in (stream.send(b"more"), stream.send_eof(), stream.update_keys()):
                with pytest.raises(anyio.BrokenResourceError, match="cut off"):
                    await attempt
            assert await stream.receive() == b"hello", "what the peer sends still comes"
            await stream.aclose()
            with anyio.fail_after(5):
                await server.failing.wait()
            assert isinstance(server.errors[0].__cause__, trustls.UnexpectedEOF), "torn is no proper end for the peer"

    run(backend, main)


def test_send_that_is_cancelled_before_it_begins_does_no_harm(pki: PKI, backend: str) -> None:
    async def main() -> None:
        async with serving(server_config(pki)) as server, await connect(server, client_config(pki)) as stream:
            with anyio.CancelScope() as scope:
                scope.cancel()
                await stream.send(b"never sent")
            assert scope.cancelled_caught
            await stream.send(b"hello")
            assert await stream.receive() == b"hello"

    run(backend, main)


def test_two_at_one_time_are_refused(pki: PKI, backend: str) -> None:
    async def main() -> None:
        go_on = anyio.Event()

        async def wait(stream: TLSStream) -> None:
            await go_on.wait()
            await echo(stream)

        async def start(group: TaskGroup, task: Callable[[], Coroutine[Any, Any, object]]) -> None:
            group.start_soon(task)
            await anyio.wait_all_tasks_blocked()

        async with serving(server_config(pki), wait) as server, await connect(server, client_config(pki)) as stream:
            async with anyio.create_task_group() as group:
                await start(group, lambda: stream.send(bytes(16 << 20)))
                with pytest.raises(anyio.BusyResourceError):
                    await stream.send(b"in between")
                with pytest.raises(anyio.BusyResourceError):
                    await stream.send_eof()
                group.cancel_scope.cancel()
            async with anyio.create_task_group() as group:
                await start(group, stream.receive)
                with pytest.raises(anyio.BusyResourceError):
                    await stream.receive()
                group.cancel_scope.cancel()
            go_on.set()

    run(backend, main)
