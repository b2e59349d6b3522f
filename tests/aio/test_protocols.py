"""Protocols over `trustls.aio`: they see what asyncio's own transports would show them, and when."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Callable
from typing import cast

import pytest

import trustls
from tests.aio.running import (
    Buffered,
    Recorder,
    Streaming,
    client_config,
    eventually,
    port_of,
    run_on,
    server_config,
)
from tests.support.pki import PKI

Factory = Callable[[], Recorder]


@contextlib.asynccontextmanager
async def pair(
    client: trustls.ClientConfig, server: trustls.ServerConfig, make_client: Factory, make_server: Factory
) -> AsyncIterator[tuple[Recorder, Recorder]]:
    """The protocols of both ends of a connection, which is closed at the end."""
    made: asyncio.Queue[Recorder] = asyncio.Queue()

    def remember() -> asyncio.BaseProtocol:
        protocol = make_server()
        made.put_nowait(protocol)
        assert isinstance(protocol, asyncio.BaseProtocol)
        return protocol

    async with await trustls.aio.create_server(remember, "127.0.0.1", 0, server) as listening:
        _, near = await trustls.aio.create_connection(
            make_client,  # type: ignore[type-var]
            "127.0.0.1",
            port_of(listening),
            client,
            server_name="localhost",
        )
        far = await asyncio.wait_for(made.get(), 5)
        await asyncio.wait_for(far.made.wait(), 5)
        try:
            yield near, far
        finally:
            for end in (near, far):
                end.tls.resume_reading()
                end.tls.close()
            await asyncio.wait_for(asyncio.gather(near.lost, far.lost), 5)


def test_protocol_is_told_once_the_handshake_is_done(pki: PKI, loop_name: str) -> None:
    async def main() -> None:
        client = client_config(pki, pki.mallory, pki.alice)
        server = server_config(pki, client_auth=pki.required())
        async with pair(client, server, Streaming, Streaming) as (near, far):
            connection = far.tls.get_extra_info("tls_connection")
            assert connection.peer.certificate == pki.alice.certificate, "by connection_made the peer is known"
            near.tls.write(b"hello")
            await eventually(lambda: far.received == b"hello", "the greeting")
            assert far.calls == ["connection_made", "data_received"]
            assert near.tls.get_extra_info("peername") == far.tls.get_extra_info("sockname")
            assert near.tls.get_extra_info("socket").family == socket.AF_INET
            assert near.tls.get_extra_info("sslcontext") is None
            assert cast("object", near.tls.get_protocol()) is near
        assert await near.lost is None
        assert await far.lost is None

    run_on(loop_name, main)


def test_buffered_protocol_fills_its_own_buffers(pki: PKI, loop_name: str) -> None:
    async def main() -> None:
        data = os.urandom(300_000)
        async with pair(client_config(pki), server_config(pki), Streaming, Buffered) as (near, far):
            near.tls.write(data)
            near.tls.write_eof()
            await asyncio.wait_for(far.ended.wait(), 5)
            assert far.received == data
            assert set(far.calls) == {"connection_made", "buffer_updated", "eof_received"}

    run_on(loop_name, main)


def test_buffered_protocol_without_room_ends_its_connection(pki: PKI) -> None:
    async def main() -> None:
        def make() -> Recorder:
            return Buffered(size=0)

        async with pair(client_config(pki), server_config(pki), Streaming, make) as (near, far):
            near.tls.write(b"hello")
            assert isinstance(await asyncio.wait_for(far.lost, 5), RuntimeError)

    run_on("asyncio", main, expected_errors=("buffer without room",))


@pytest.mark.parametrize("kind", [Streaming, Buffered])
def test_data_and_end_wait_for_who_pauses_in_connection_made(kind: type[Streaming], pki: PKI, loop_name: str) -> None:
    """The client's first data comes in one read with its Finished: it is decrypted, and must not be delivered yet."""

    async def main() -> None:
        early = os.urandom(5000)

        async with pair(
            client_config(pki), server_config(pki), lambda: Streaming(early), lambda: kind(paused=True)
        ) as (
            near,
            far,
        ):
            near.tls.write_eof()
            await asyncio.sleep(0.05)
            assert not far.tls.is_reading()
            assert far.calls == ["connection_made"], "who has paused is told nothing"
            far.tls.resume_reading()
            assert far.calls == ["connection_made"], "nothing is delivered inside of resume_reading"
            await asyncio.wait_for(far.ended.wait(), 5)
            assert far.received == early
            assert far.calls[-1] == "eof_received"
            far.tls.pause_reading()
            far.tls.resume_reading()
            await asyncio.sleep(0.01)
            assert far.calls.count("eof_received") == 1, "the end is told once"

    run_on(loop_name, main)


class OneAtATime(Buffered):
    """Pauses with every buffer that it is given."""

    def buffer_updated(self, nbytes: int) -> None:
        super().buffer_updated(nbytes)
        self.tls.pause_reading()


def test_pause_after_each_buffer_is_respected(pki: PKI, loop_name: str) -> None:
    async def main() -> None:
        data = os.urandom(20_000)
        async with pair(client_config(pki), server_config(pki), Streaming, OneAtATime) as (near, far):
            near.tls.write(data)
            near.tls.write_eof()
            for count in range(1, 21):
                await eventually(lambda count=count: len(far.received) >= 1000 * count, f"buffer {count}")  # type: ignore[misc]
                await asyncio.sleep(0)
                assert len(far.received) == 1000 * count, "more came although it had paused"
                assert not far.ended.is_set()
                far.tls.resume_reading()
            await asyncio.wait_for(far.ended.wait(), 5)
            assert far.received == data
            far.tls.pause_reading()
            far.tls.resume_reading()
            await asyncio.sleep(0.01)
            assert far.calls.count("eof_received") == 1, "the end is told once"

    run_on(loop_name, main)


def test_pausing_slows_the_peer_down(pki: PKI) -> None:
    async def main() -> None:
        async with pair(client_config(pki), server_config(pki), Streaming, lambda: Streaming(paused=True)) as (
            near,
            far,
        ):
            near.tls.write(bytes(32 << 20))
            assert near.calls == ["connection_made", "pause_writing"]
            await asyncio.sleep(0.05)
            assert not far.received
            assert near.tls.get_write_buffer_size() > 1 << 20, "who has paused reads nothing from the network either"
            far.tls.resume_reading()
            await asyncio.wait_for(near.tls.drain(), 10)
            await eventually(lambda: "resume_writing" in near.calls, "resume_writing")
            await eventually(lambda: len(far.received) == 32 << 20, "all of it")

    run_on("asyncio", main)


def test_pause_outlasts_a_verifier_that_is_awaited(pki: PKI) -> None:
    """The transport itself pauses while a verifier thinks (here after the handshake): two reasons, kept apart."""

    async def main() -> None:
        go_on, begun = asyncio.Event(), asyncio.Event()

        class Slow:
            hints = pki.client_ca_names

            async def verify_client(self, chain: tuple[trustls.Certificate, ...], *, now: float) -> trustls.Peer:
                begun.set()
                await go_on.wait()
                return trustls.Peer(chain)

        server = server_config(pki, post_handshake_auth=trustls.ClientAuth.custom(Slow()))
        client = client_config(pki, pki.alice, post_handshake_auth=True)
        async with pair(client, server, Streaming, Streaming) as (near, far):
            far.tls.request_client_certificate()
            await asyncio.wait_for(begun.wait(), 5)
            far.tls.pause_reading()
            near.tls.write(bytes(1 << 20))
            go_on.set()
            connection = far.tls.get_extra_info("tls_connection")
            await eventually(lambda: connection.peer is not None, "the client's certificate")
            await asyncio.sleep(0.05)
            assert not far.received, "the application is still pausing"
            assert not far.tls._raw.is_reading(), "and nothing is read from the network for it"
            far.tls.resume_reading()
            await eventually(lambda: len(far.received) == 1 << 20, "the data")

    run_on("asyncio", main)


def test_certificate_after_the_handshake_is_waited_for(pki: PKI) -> None:
    async def main() -> None:
        server = server_config(pki, post_handshake_auth=pki.required())
        client = client_config(pki, pki.alice, post_handshake_auth=True)
        async with pair(client, server, Streaming, Streaming) as (near, far):
            peer = None
            for _ in range(2):
                far.tls.request_client_certificate()
                near.tls.write(b"x")
                peer = await asyncio.wait_for(far.tls.wait_for_client_certificate(), 5)
                assert peer is not None
                assert peer.subject == "CN=alice"
            assert await far.tls.wait_for_client_certificate() is peer, "there is nothing to wait for any more"
            await eventually(lambda: far.received == b"xx", "the data of meanwhile")
            with pytest.raises(trustls.ConfigError):
                await near.tls.wait_for_client_certificate()

    run_on("asyncio", main)


@pytest.mark.parametrize(
    ("how", "error"),
    [
        ("refused", trustls.CertificateRejected),
        ("half-closed", trustls.ConnectionClosed),
        ("gone", trustls.ConnectionClosed),
        ("closed here", trustls.ConnectionClosed),
    ],
)
def test_certificate_that_does_not_come_ends_the_wait(how: str, error: type[Exception], pki: PKI) -> None:
    async def main() -> None:
        server = server_config(pki, post_handshake_auth=pki.required())
        client = client_config(pki, post_handshake_auth=True)
        async with pair(client, server, Streaming, Streaming) as (near, far):
            near.tls.pause_reading()
            far.tls.request_client_certificate()
            waiting = asyncio.ensure_future(far.tls.wait_for_client_certificate())
            await asyncio.sleep(0.01)
            assert not waiting.done()
            match how:
                case "refused":
                    near.tls.resume_reading()
                case "half-closed":
                    near.tls.write_eof()
                case "gone":
                    near.tls.abort()
                case "closed here":
                    far.tls.close()
            with pytest.raises(error):
                await asyncio.wait_for(waiting, 5)

    run_on("asyncio", main)


@pytest.mark.skipif(not hasattr(asyncio, "eager_task_factory"), reason="eager tasks came with Python 3.12")
def test_eager_tasks_change_nothing(pki: PKI) -> None:
    """With them a verifier that does not wait has decided before the task that asks it is known."""

    async def main() -> None:
        asyncio.get_running_loop().set_task_factory(getattr(asyncio, "eager_task_factory"))  # noqa: B009 (not in 3.11)

        async def decide(_peer: trustls.Peer) -> bool:
            return True

        rule = trustls.Authorize.function(decide)
        server = server_config(pki, client_auth=trustls.ClientAuth.required(pki.client_roots, authorize=rule))
        async with pair(client_config(pki, pki.alice), server, Streaming, Streaming) as (near, far):
            near.tls.write(b"first")
            await eventually(lambda: far.received == b"first", "the data")
            far.tls.pause_reading()
            near.tls.write(b", second")
            await asyncio.sleep(0.02)
            assert far.received == b"first"
            far.tls.resume_reading()
            await eventually(lambda: far.received == b"first, second", "what came in the pause")

    run_on("asyncio", main)


def test_protocol_can_be_replaced_in_the_middle(pki: PKI, loop_name: str) -> None:
    async def main() -> None:
        class Switching(Buffered):
            """Hands over to a plain protocol after the first buffer."""

            def buffer_updated(self, nbytes: int) -> None:
                super().buffer_updated(nbytes)
                self.next = Streaming()
                self.tls.set_protocol(self.next)

        async with pair(client_config(pki), server_config(pki), Streaming, Switching) as (near, far):
            assert isinstance(far, Switching)
            near.tls.write(b"a" * 1000 + b"b" * 500)
            await eventually(lambda: far.received == b"a" * 1000, "the first buffer")
            await eventually(lambda: far.next.received == b"b" * 500, "what follows, for the next protocol")
            assert far.tls.get_protocol() is far.next
            far.tls.set_protocol(far)

    run_on(loop_name, main)


def test_writelines_keeps_the_order_of_large_and_small(pki: PKI, loop_name: str) -> None:
    async def main() -> None:
        parts: list[bytes | bytearray | memoryview] = [b"first", bytearray(b"second"), memoryview(os.urandom(200_000))]
        parts += [os.urandom(40_000) for _ in range(4)] + [b"", b"last"]
        async with pair(client_config(pki), server_config(pki), Streaming, Streaming) as (near, far):
            near.tls.writelines(parts)
            near.tls.write_eof()
            await asyncio.wait_for(far.ended.wait(), 5)
            assert far.received == b"".join(parts)

    run_on(loop_name, main)


def test_fault_of_a_paused_protocol_ends_its_connection(pki: PKI) -> None:
    """Held data is delivered by a callback of ours: what goes wrong there ends the connection all the same."""

    async def main() -> None:
        class Faulty(Streaming):
            def data_received(self, data: bytes) -> None:
                raise RuntimeError("a fault of the application")

        async with pair(
            client_config(pki), server_config(pki), lambda: Streaming(b"hello"), lambda: Faulty(paused=True)
        ) as (_near, far):
            await asyncio.sleep(0.02)
            far.tls.resume_reading()
            error = await asyncio.wait_for(far.lost, 5)
            assert isinstance(error, RuntimeError), f"connection_lost was told {error!r}"

    run_on("asyncio", main, expected_errors=("a fault of the application",))


def test_fault_of_a_protocol_behind_a_verifier_that_is_awaited_ends_its_connection(pki: PKI) -> None:
    async def main() -> None:
        class Faulty(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                raise RuntimeError("a fault of the application")

        async def decide(_peer: trustls.Peer) -> bool:
            await asyncio.sleep(0)
            return True

        client_auth = trustls.ClientAuth.required(pki.client_roots, authorize=trustls.Authorize.function(decide))
        async with await trustls.aio.create_server(
            Faulty, "127.0.0.1", 0, server_config(pki, client_auth=client_auth)
        ) as server:
            _transport, client = await trustls.aio.create_connection(
                Streaming, "127.0.0.1", port_of(server), client_config(pki, pki.alice), server_name="localhost"
            )
            assert await asyncio.wait_for(client.lost, 5) is not None

    run_on("asyncio", main, expected_errors=("a fault of the application",))


def test_protocol_is_told_of_back_pressure_that_was_there_before(pki: PKI) -> None:
    """A handshake that fills the network's buffers: `pause_writing` comes after `connection_made`, and is undone."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with await trustls.aio.create_server(asyncio.Protocol, "127.0.0.1", 0, server_config(pki)) as server:
            app = Streaming()
            protocol = trustls.aio.TLSProtocol(trustls.ClientConnection(client_config(pki), "localhost"), app)
            await loop.create_connection(lambda: protocol, "127.0.0.1", port_of(server))
            protocol.pause_writing()
            assert app.calls == []
            await protocol.handshake_done
            assert app.calls == ["connection_made", "pause_writing"]
            protocol.resume_writing()
            app.tls.close()
            await asyncio.wait_for(app.lost, 5)
            assert app.calls == ["connection_made", "pause_writing", "resume_writing", "connection_lost"]

    run_on("asyncio", main)


def test_refused_client_is_told_to_the_server_alone(pki: PKI, loop_name: str) -> None:
    async def main() -> None:
        failures: list[trustls.TLSError] = []
        made: list[Recorder] = []

        def make() -> Streaming:
            made.append(Streaming())
            return made[-1]  # type: ignore[return-value]

        async with await trustls.aio.create_server(
            make,
            "127.0.0.1",
            0,
            server_config(pki, client_auth=pki.required()),
            handshake_failed=lambda error, _connection: failures.append(error),
        ) as server:
            transport, client = await trustls.aio.create_connection(
                Streaming, "127.0.0.1", port_of(server), client_config(pki), server_name="localhost"
            )
            error = await asyncio.wait_for(client.lost, 5)
            assert isinstance(error, trustls.CertificateRejectedByPeer), f"the client was told {error!r}"
            await eventually(lambda: bool(failures), "the server's report")
            assert transport.is_closing()
            assert made[0].calls == [], "a protocol never hears of a client that was refused"

    run_on(loop_name, main)


def test_socket_that_is_connected_already(pki: PKI, loop_name: str) -> None:
    async def main() -> None:
        async with await trustls.aio.create_server(asyncio.Protocol, "127.0.0.1", 0, server_config(pki)) as server:
            sock = socket.create_connection(("127.0.0.1", port_of(server)))
            sock.setblocking(False)
            transport, protocol = await trustls.aio.create_connection(
                Streaming, None, None, client_config(pki), sock=sock, server_name="localhost"
            )
            transport.close()
            assert await asyncio.wait_for(protocol.lost, 5) is None

    run_on(loop_name, main)


def test_what_would_double_or_weaken_tls_is_refused(pki: PKI) -> None:
    async def main() -> None:
        create = trustls.aio.create_connection
        with pytest.raises(trustls.ConfigError, match="ssl"):
            await create(Streaming, "127.0.0.1", 1, client_config(pki), ssl=True)
        with pytest.raises(trustls.ConfigError, match="ssl"):
            await trustls.aio.start_server(lambda _r, _w: None, "127.0.0.1", 0, server_config(pki), ssl=True)
        near, far = socket.socketpair()
        with near, far, pytest.raises(trustls.ConfigError, match="server_name"):
            await create(Streaming, None, None, client_config(pki), sock=near)

    run_on("asyncio", main)


def test_closing_transport_says_so(pki: PKI, loop_name: str) -> None:
    async def main() -> None:
        async with pair(client_config(pki), server_config(pki), Streaming, Streaming) as (near, far):
            assert "open" in repr(near.tls)
            near.tls.close()
            assert near.tls.is_closing()
            assert not near.tls.is_reading()
            near.tls.write(b"too late")
            near.tls.writelines([b"too", b"late"])
            await asyncio.wait_for(far.ended.wait(), 5)
            assert not far.received
            assert "closing" in repr(near.tls)

    run_on(loop_name, main)


def test_handshake_that_fails_is_logged_with_the_address_of_the_client(
    pki: PKI, loop_name: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        config = server_config(pki, client_auth=pki.required())
        async with await trustls.aio.create_server(asyncio.Protocol, "127.0.0.1", 0, config) as server:
            transport, client = await trustls.aio.create_connection(
                Streaming, "127.0.0.1", port_of(server), client_config(pki), server_name="localhost"
            )
            host, port = transport.get_extra_info("sockname")[:2]
            await asyncio.wait_for(client.lost, 5)
            said = f"handshake with {host}:{port} failed: CertificateRejected: no certificate was presented"
            await eventually(lambda: said in caplog.text, "the server's log")

    with caplog.at_level("INFO", logger="trustls.aio"):
        run_on(loop_name, main)
