"""trustls on asyncio streams, with itself on the other side: back-pressure, cancellation, and every way to end."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import socket
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

import trustls
from tests.support.loops import run_in_loop
from tests.support.pki import PKI, Identity
from tests.support.servers import SECONDS, ServerSocket, ThreadedServer, echo

LARGE = 4 << 20

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Failure = tuple[trustls.TLSError, trustls.Connection]


def client_config(pki: PKI, *identities: Identity, **options: object) -> trustls.ClientConfig:
    """A client that trusts the test's server root, and holds these certificates."""
    settings: dict[str, object] = {"roots": pki.server_roots, **options}
    return trustls.ClientConfig(credentials=[one.credential for one in identities], **settings)  # type: ignore[arg-type]


def server_config(pki: PKI, client_auth: trustls.ClientAuth | None = None, **options: object) -> trustls.ServerConfig:
    """A server with the usual certificate."""
    settings: dict[str, object] = {"credentials": [pki.server.credential], **options}
    if client_auth is not None:
        settings["client_auth"] = client_auth
    return trustls.ServerConfig(**settings)  # type: ignore[arg-type]


async def aio_echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send back what comes, then close."""
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()


class Server:
    """A server on asyncio, and what became of its connections."""

    def __init__(self) -> None:
        self.port = 0
        self.connections: list[trustls.Connection] = []
        self.failures: asyncio.Queue[Failure] = asyncio.Queue()
        self.handler_errors: asyncio.Queue[BaseException | None] = asyncio.Queue()

    async def failure(self) -> Failure:
        """The next handshake that failed."""
        return await asyncio.wait_for(self.failures.get(), 5)

    async def handler_error(self) -> BaseException | None:
        """What ended the next handler that ended; None when it returned."""
        return await asyncio.wait_for(self.handler_errors.get(), 10)


@contextlib.asynccontextmanager
async def serving(
    config: trustls.ServerConfig,
    handler: Handler = aio_echo,
    *,
    handshake_timeout: float = SECONDS,
    limit: int = 1 << 16,
) -> AsyncIterator[Server]:
    """A server on a free port of loopback."""
    state = Server()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        state.connections.append(writer.get_extra_info("tls_connection"))
        try:
            await handler(reader, writer)
        except Exception as error:  # noqa: BLE001 (the test looks at it)
            state.handler_errors.put_nowait(error)
        else:
            state.handler_errors.put_nowait(None)
        finally:
            writer.close()
            with contextlib.suppress(trustls.TLSError, OSError):
                await writer.wait_closed()

    async with await trustls.aio.start_server(
        connected,
        "127.0.0.1",
        0,
        config,
        limit=limit,
        handshake_timeout=handshake_timeout,
        handshake_failed=lambda error, connection: state.failures.put_nowait((error, connection)),
    ) as server:
        state.port = server.sockets[0].getsockname()[1]
        yield state


@contextlib.asynccontextmanager
async def connected_to(
    port: int, config: trustls.ClientConfig
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Streams to the test's server, which are closed at the end."""
    reader, writer = await trustls.aio.open_connection("127.0.0.1", port, config, server_name="localhost")
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(trustls.TLSError, OSError):
            await writer.wait_closed()


def descriptors() -> int:
    """How many files and sockets this process has open."""
    return sum(1 for _ in Path("/dev/fd").iterdir())


async def eventually(predicate: Callable[[], bool], what: str) -> None:
    """Wait for what no event tells of."""
    deadline = time.monotonic() + 5
    while not predicate():
        assert time.monotonic() < deadline, f"{what} did not happen within 5 s"
        await asyncio.sleep(0.01)


@pytest.fixture
def no_descriptor_leaks() -> Iterator[None]:
    """Fails the test when it leaves a file or socket open."""
    before = descriptors()
    yield
    gc.collect()
    assert descriptors() <= before, "a socket was left open"


pytestmark = pytest.mark.usefixtures("no_descriptor_leaks")


# -- The usual --------------------------------------------------------------------------------------------------------


def test_each_side_knows_the_other(pki: PKI) -> None:
    async def main() -> None:
        config = client_config(pki, pki.mallory, pki.alice, alpn=["trustls-test"])
        async with (
            serving(server_config(pki, pki.required(), alpn=["trustls-test"])) as server,
            connected_to(server.port, config) as (reader, writer),
        ):
            writer.write(b"hello")
            assert await reader.readexactly(5) == b"hello"
            client = writer.get_extra_info("tls_connection")
            assert isinstance(client, trustls.ClientConnection)
            assert client.requested is not None
            assert client.requested.authorities == pki.client_ca_names
            assert client.info.credential is pki.alice.credential
            assert client.info.alpn == "trustls-test"
            peer = server.connections[0].peer
            assert peer is not None
            assert peer.certificate == pki.alice.certificate
            assert writer.get_extra_info("peername") == ("127.0.0.1", server.port), "what is not ours is the socket's"
            assert client.export("EXPORTER-x", 32) == server.connections[0].export("EXPORTER-x", 32)

    run_in_loop(main)


def test_hello_retry_on_streams(pki: PKI) -> None:
    async def main() -> None:
        config = server_config(pki, pki.required(), groups=["secp384r1"], retry_cookies=trustls.RetryCookies())
        async with (
            serving(config) as server,
            connected_to(server.port, client_config(pki, pki.bob)) as (reader, writer),
        ):
            writer.write(b"hello")
            assert await reader.readexactly(5) == b"hello"
            assert writer.get_extra_info("tls_connection").info.retried

    run_in_loop(main)


def test_many_connections_at_one_time(pki: PKI) -> None:
    async def main() -> None:
        shared = client_config(pki, pki.alice)

        async def one(number: int) -> None:
            async with connected_to(server.port, shared) as (reader, writer):
                writer.write(b"%d\n" % number)
                assert await reader.readline() == b"%d\n" % number

        async with serving(server_config(pki, pki.required())) as server:
            await asyncio.gather(*(one(number) for number in range(60)))

    run_in_loop(main)


def test_streams_talk_to_sockets(pki: PKI) -> None:
    async def main(port: int) -> None:
        data = os.urandom(LARGE)
        async with connected_to(port, client_config(pki, pki.alice)) as (reader, writer):
            writer.write(data)  # More than the buffers between hold: the echo must be read at the same time.
            received = await reader.readexactly(LARGE)
            assert received == data, "the echo differs from what was sent"
            writer.write_eof()
            assert await reader.read() == b""

    with ThreadedServer(server_config(pki, pki.required()), echo) as server:
        run_in_loop(lambda: main(server.port))
        assert server.outcome().peer.subject == "CN=alice"


def test_sockets_talk_to_streams(pki: PKI) -> None:
    def exchange(port: int) -> None:
        with trustls.connect(
            ("127.0.0.1", port), client_config(pki, pki.alice), server_name="localhost", timeout=SECONDS
        ) as tls:
            for size in (1, 16384, 16385, 1 << 20):
                data = os.urandom(size)
                tls.sendall(data)
                assert tls.recv_exactly(size) == data

    async def main() -> None:
        async with serving(server_config(pki, pki.required())) as server:
            await asyncio.to_thread(exchange, server.port)
            assert await server.handler_error() is None

    run_in_loop(main)


def test_key_updates_between_data(pki: PKI) -> None:
    async def main() -> None:
        async with (
            serving(server_config(pki)) as server,
            connected_to(server.port, client_config(pki)) as (reader, writer),
        ):
            for turn in range(40):
                writer.get_extra_info("tls_connection").update_keys()
                if server.connections:
                    server.connections[0].update_keys()
                line = b"turn %d\n" % turn
                writer.write(line)
                assert await reader.readline() == line

    run_in_loop(main)


# -- Streams behave as streams do -------------------------------------------------------------------------------------


def test_read_until_eof_gives_everything_that_was_written_before_close(pki: PKI) -> None:
    data = os.urandom(LARGE)

    async def write_and_close(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        writer.close()

    async def main() -> None:
        async with (
            serving(server_config(pki), write_and_close) as server,
            connected_to(server.port, client_config(pki)) as (reader, _writer),
        ):
            received = await reader.read()
            assert received == data, f"{len(received)} of {len(data)} bytes came, or others"
            assert reader.at_eof()

    run_in_loop(main)


def test_close_at_once_after_write_loses_no_byte(pki: PKI) -> None:
    """The client closes without a drain, and never reads what the server has sent."""
    data = os.urandom(LARGE)
    received: list[bytes] = []

    async def chatter(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(bytes(1 << 20))
        received.append(await reader.read())

    async def main() -> None:
        async with serving(server_config(pki), chatter) as server:
            async with connected_to(server.port, client_config(pki)) as (_reader, writer):
                writer.write(data)
            assert await server.handler_error() is None, "the server must see a proper end"
        assert received == [data], "not everything that was written before close() came"

    run_in_loop(main)


def test_late_reader_gets_everything_although_the_server_has_long_closed(pki: PKI) -> None:
    data = os.urandom(1 << 18)

    async def write_and_close(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)

    async def main() -> None:
        async with (
            serving(server_config(pki), write_and_close) as server,
            connected_to(server.port, client_config(pki)) as (reader, _writer),
        ):
            assert await server.handler_error() is None
            await asyncio.sleep(0.2)  # Long enough for everything to be on this side.
            assert await reader.read() == data

    run_in_loop(main)


def test_close_gives_a_slow_reader_time_as_long_as_it_reads(pki: PKI) -> None:
    """What close() waits for is progress: a large answer over a slow line is not cut off by the shutdown timeout."""
    data = os.urandom(1 << 16) * 256
    step = 1 << 18

    class Answer(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert isinstance(transport, asyncio.Transport)
            transport.write(data)
            transport.close()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        config = server_config(pki)

        def make_protocol() -> trustls.aio.TLSProtocol:
            return trustls.aio.TLSProtocol(trustls.ServerConnection(config), Answer(), shutdown_timeout=0.4)

        async with await loop.create_server(make_protocol, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            received = bytearray()
            async with connected_to(port, client_config(pki)) as (reader, _writer):
                while len(received) < len(data):
                    try:
                        received += await reader.readexactly(min(step, len(data) - len(received)))
                    except (asyncio.IncompleteReadError, trustls.TLSError, OSError) as error:
                        pytest.fail(f"cut off after {len(received)} of {len(data)} bytes: {error!r}")
                    await asyncio.sleep(0.03)
            assert received == data

    run_in_loop(main)


def test_drain_waits_for_a_slow_reader(pki: PKI) -> None:
    piece = os.urandom(1 << 16)

    async def main() -> None:
        stalled, totals = asyncio.Event(), []

        async def write_until_stalled(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            total = 0
            while not stalled.is_set():
                writer.write(piece)
                total += len(piece)
                try:
                    await asyncio.wait_for(writer.drain(), 0.3)
                except TimeoutError:
                    stalled.set()
                assert total < 256 << 20, "256 MiB were taken although nobody reads: where are they kept?"
            totals.append(total)
            await writer.drain()

        async with (
            serving(server_config(pki), write_until_stalled) as server,
            connected_to(server.port, client_config(pki)) as (reader, _writer),
        ):
            await asyncio.wait_for(stalled.wait(), 10)
            kept = len(reader._buffer)  # type: ignore[attr-defined]
            assert kept <= 1 << 18, f"the reader keeps {kept} bytes, far over its limit of 64 KiB"
            received = await reader.read()
            assert await server.handler_error() is None
            assert len(received) == totals[0]
            assert received == piece * (totals[0] // len(piece)), "what waited came, but changed"

    run_in_loop(main)


def test_slow_server_slows_the_client_down(pki: PKI) -> None:
    async def main() -> None:
        read_on = asyncio.Event()
        received: list[int] = []

        async def read_late(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
            await read_on.wait()
            received.append(len(await reader.read()))

        async with serving(server_config(pki), read_late) as server:
            async with connected_to(server.port, client_config(pki)) as (_reader, writer):
                writer.write(bytes(16 << 20))
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(writer.drain(), 0.3)
                read_on.set()
                await writer.drain()
            assert await server.handler_error() is None
        assert received == [16 << 20]

    run_in_loop(main)


def test_client_half_closes_and_is_answered(pki: PKI) -> None:
    async def answer_at_the_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.read()
        writer.write(b"got " + request)

    async def main() -> None:
        async with (
            serving(server_config(pki), answer_at_the_end) as server,
            connected_to(server.port, client_config(pki)) as (reader, writer),
        ):
            writer.write(b"a request")
            assert writer.can_write_eof()
            writer.write_eof()
            assert await reader.read() == b"got a request"

    run_in_loop(main)


def test_server_half_closes_and_still_reads(pki: PKI) -> None:
    received: list[bytes] = []

    async def say_first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"all I have to say")
        writer.write_eof()
        received.append(await reader.read())

    async def main() -> None:
        async with serving(server_config(pki), say_first) as server:
            async with connected_to(server.port, client_config(pki)) as (reader, writer):
                assert await reader.read() == b"all I have to say"
                data = os.urandom(1 << 20)
                writer.write(data)
                await writer.drain()
            assert await server.handler_error() is None
        assert received == [data], "the other direction stays open after a half-close"

    run_in_loop(main)


def test_cancelled_read_loses_nothing(pki: PKI) -> None:
    async def main() -> None:
        go_on = asyncio.Event()

        async def send_late(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"first")
            await go_on.wait()
            writer.write(b"second")

        async with (
            serving(server_config(pki), send_late) as server,
            connected_to(server.port, client_config(pki)) as (reader, _writer),
        ):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(reader.readexactly(11), 0.1)
            reading = asyncio.create_task(reader.readexactly(11))
            await asyncio.sleep(0)
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading
            go_on.set()
            assert await reader.readexactly(11) == b"firstsecond"

    run_in_loop(main)


def test_writing_after_close_is_harmless(pki: PKI) -> None:
    async def main() -> None:
        async with (
            serving(server_config(pki)) as server,
            connected_to(server.port, client_config(pki)) as (_reader, writer),
        ):
            assert not writer.is_closing()
            writer.close()
            assert writer.is_closing()
            writer.write(b"too late")
            writer.close()
            await writer.wait_closed()

    run_in_loop(main)


def test_close_does_not_wait_for_ever_for_a_peer_that_does_not_close(pki: PKI) -> None:
    async def main() -> None:
        done = asyncio.Event()

        async def stay(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
            await done.wait()

        async with serving(server_config(pki), stay) as server:
            loop = asyncio.get_running_loop()
            lost: asyncio.Future[Exception | None] = loop.create_future()

            class Application(asyncio.Protocol):
                def connection_lost(self, error: Exception | None) -> None:
                    lost.set_result(error)

            connection = trustls.ClientConnection(client_config(pki), "localhost")
            protocol = trustls.aio.TLSProtocol(connection, Application(), shutdown_timeout=0.3)
            raw, _ = await loop.create_connection(lambda: protocol, "127.0.0.1", server.port)
            await protocol.handshake_done
            await eventually(lambda: bool(server.connections), "the server's handler")
            trustls.aio.TLSTransport(protocol, raw).close()
            await asyncio.wait_for(lost, 3)
            done.set()
            await server.handler_error()

    run_in_loop(main)


# -- Refusals and broken connections ----------------------------------------------------------------------------------


def test_refused_server_is_an_exception_of_open_connection(pki: PKI) -> None:
    async def main() -> None:
        async with serving(server_config(pki, credentials=[pki.server_of_other.credential])) as server:
            with pytest.raises(trustls.CertificateRejected):
                await trustls.aio.open_connection("127.0.0.1", server.port, client_config(pki), server_name="localhost")
            error, _connection = await server.failure()
            assert isinstance(error, trustls.AlertReceived), f"the server must learn why, but saw {error!r}"
            assert error.description is trustls.AlertDescription.UNKNOWN_CA

    run_in_loop(main)


@pytest.mark.parametrize("who", ["mallory", "nobody"])
def test_refused_client_learns_why_with_its_first_read(who: str, pki: PKI) -> None:
    async def main() -> None:
        identities = [pki.mallory] if who == "mallory" else []
        choose = (lambda _request, held: held[0]) if identities else None
        client = client_config(pki, *identities, choose_credential=choose)
        async with (
            serving(server_config(pki, pki.required())) as server,
            connected_to(server.port, client) as (reader, _writer),
        ):
            with pytest.raises(trustls.AlertReceived) as caught:
                await reader.read()
            error, connection = await server.failure()
            assert isinstance(error, trustls.CertificateRejected)
            assert connection.failure is error, "the callback is given the connection that failed"
            wanted = (
                trustls.AlertDescription.UNKNOWN_CA if identities else trustls.AlertDescription.CERTIFICATE_REQUIRED
            )
            assert caught.value.description is wanted
        assert server.connections == [], "the handler must not be called for a client that was refused"

    run_in_loop(main)


def test_transport_that_ends_without_close_notify_is_an_unexpected_eof(pki: PKI) -> None:
    def cut(tls: ServerSocket) -> None:
        tls.sendall(b"not all of it")
        with socket.socket(fileno=os.dup(tls.fileno())) as raw:
            raw.shutdown(socket.SHUT_RDWR)

    async def main(port: int) -> None:
        async with connected_to(port, client_config(pki)) as (reader, _writer):
            with pytest.raises(trustls.UnexpectedEOF, match="close_notify"):
                await reader.read()

    with ThreadedServer(server_config(pki), cut) as server:
        run_in_loop(lambda: main(server.port))


def test_abort_of_one_side_is_no_proper_end_for_the_other(pki: PKI) -> None:
    async def main() -> None:
        async with serving(server_config(pki)) as server:
            async with connected_to(server.port, client_config(pki)) as (reader, writer):
                writer.write(b"hello")
                assert await reader.readexactly(5) == b"hello"
                writer.transport.abort()
            error = await server.handler_error()
            assert isinstance(error, (trustls.UnexpectedEOF, ConnectionResetError)), f"the server saw {error!r}"

    run_in_loop(main)


async def write_for_ever(writer: asyncio.StreamWriter) -> None:
    """At least until nobody could take it any more."""
    for _ in range(1000):
        writer.write(bytes(1 << 16))
        await writer.drain()
        await asyncio.sleep(0)


def test_write_to_a_peer_that_is_gone_raises_from_drain(pki: PKI) -> None:
    async def main() -> None:
        async def leave(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.transport.abort()

        async with (
            serving(server_config(pki), leave) as server,
            connected_to(server.port, client_config(pki)) as (_reader, writer),
        ):
            await server.handler_error()
            with pytest.raises((trustls.TLSError, ConnectionError)):
                await write_for_ever(writer)

    run_in_loop(main)


# -- Handshakes that do not come to an end ----------------------------------------------------------------------------


def test_silent_server_is_a_handshake_timeout(pki: PKI) -> None:
    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            port: int = silent.getsockname()[1]
            started = time.monotonic()
            with pytest.raises(trustls.HandshakeTimeout, match=r"0\.3 s") as caught:
                await trustls.aio.open_connection(
                    "127.0.0.1", port, client_config(pki), server_name="localhost", handshake_timeout=0.3
                )
            took = time.monotonic() - started
        assert isinstance(caught.value, TimeoutError), "code that knows asyncio catches TimeoutError"
        assert 0.25 < took < 3, f"the limit was 0.3 s, but it took {took:.2f} s"

    run_in_loop(main)


def test_silent_client_is_hung_up_on(pki: PKI) -> None:
    async def main() -> None:
        async with serving(server_config(pki), handshake_timeout=0.3) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            assert await asyncio.wait_for(reader.read(), 3) == b""
            error, _connection = await server.failure()
            assert isinstance(error, trustls.HandshakeTimeout), f"the server saw {error!r}"
            writer.close()
            await writer.wait_closed()

    run_in_loop(main)


FIRST_BYTES = bytes.fromhex("1603010100010000fc0303")  # The beginning of a ClientHello.


@pytest.mark.parametrize("how", ["end", "reset"])
@pytest.mark.parametrize("sent", [b"", FIRST_BYTES], ids=["nothing", "part of a ClientHello"])
def test_client_that_leaves_during_the_handshake_leaves_nothing_behind(sent: bytes, how: str, pki: PKI) -> None:
    async def main() -> None:
        async with serving(server_config(pki)) as server:
            before = descriptors()
            raw = socket.create_connection(("127.0.0.1", server.port))
            raw.sendall(sent)
            await eventually(lambda: descriptors() == before + 2, "the server's accept")
            if how == "reset":
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            raw.close()
            await eventually(lambda: descriptors() == before, "the end of the server's socket")
            error, _connection = await server.failure()
            wanted = (trustls.UnexpectedEOF, OSError) if how == "reset" else trustls.UnexpectedEOF
            assert isinstance(error, wanted), f"the server saw {error!r}"
            assert len(asyncio.all_tasks()) == 1, f"a task was left behind: {asyncio.all_tasks()}"

    run_in_loop(main)


def test_cancelled_open_connection_leaves_nothing_behind(pki: PKI) -> None:
    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            port: int = silent.getsockname()[1]
            connecting = asyncio.create_task(
                trustls.aio.open_connection("127.0.0.1", port, client_config(pki), server_name="localhost")
            )
            accepted, _ = await asyncio.to_thread(silent.accept)
            with accepted:
                connecting.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await connecting
                accepted.settimeout(5)
                with contextlib.suppress(ConnectionResetError):
                    while await asyncio.to_thread(accepted.recv, 1 << 16):
                        pass

    run_in_loop(main)


def test_server_that_stops_ends_silent_handshakes_with_its_loop(pki: PKI) -> None:
    async def main() -> None:
        async with serving(server_config(pki), handshake_timeout=0.5) as server:
            with socket.create_connection(("127.0.0.1", server.port)) as silent:
                error, _connection = await server.failure()
                assert isinstance(error, trustls.HandshakeTimeout)
                silent.settimeout(3)
                assert await asyncio.to_thread(silent.recv, 1) == b""

    run_in_loop(main)


# -- Asynchronous verifiers, signers and choosers ---------------------------------------------------------------------


class SlowSigner:
    """A signer that has to be awaited."""

    def __init__(self, identity: Identity) -> None:
        self._signer = identity.credential.signer
        self.used = 0

    @property
    def schemes(self) -> tuple[trustls.SignatureScheme, ...]:
        return self._signer.schemes

    async def sign(self, scheme: trustls.SignatureScheme, message: bytes) -> bytes:
        await asyncio.sleep(0)
        self.used += 1
        signature = self._signer.sign(scheme, message)
        assert isinstance(signature, bytes)
        return signature


class SlowVerifier:
    """A verifier of both kinds that has to be awaited, and may raise."""

    def __init__(self, hints: tuple[trustls.DistinguishedName, ...] = (), error: Exception | None = None) -> None:
        self.hints = hints
        self.error = error
        self.used = 0
        self.begun = asyncio.Event()
        self.cancelled = False
        self.cleaned_up = asyncio.Event()
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def verify_server(
        self,
        chain: tuple[trustls.Certificate, ...],
        server_name: trustls.ServerName,
        *,
        now: float,
        ocsp_response: bytes,
    ) -> trustls.Peer:
        return await self._judge(chain)

    async def verify_client(self, chain: tuple[trustls.Certificate, ...], *, now: float) -> trustls.Peer:
        return await self._judge(chain)

    async def _judge(self, chain: tuple[trustls.Certificate, ...]) -> trustls.Peer:
        self.used += 1
        self.begun.set()
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        finally:
            await asyncio.sleep(0)  # As one does who gives a database connection back.
            self.cleaned_up.set()
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        return trustls.Peer(chain)


def test_everything_asynchronous_at_once(pki: PKI) -> None:
    async def main() -> None:
        server_signer, client_signer = SlowSigner(pki.server), SlowSigner(pki.alice)
        server_verifier, client_verifier = SlowVerifier(hints=pki.client_ca_names), SlowVerifier()
        asked: list[trustls.CredentialRequest] = []

        async def choose(
            request: trustls.CredentialRequest, credentials: tuple[trustls.Credential, ...]
        ) -> trustls.Credential | None:
            await asyncio.sleep(0)
            asked.append(request)
            return credentials[1]

        server_side = trustls.ServerConfig(
            credentials=[trustls.Credential(pki.server.issued.chain, server_signer)],
            client_auth=trustls.ClientAuth.custom(server_verifier),
        )
        client_side = trustls.ClientConfig(
            verifier=client_verifier,
            credentials=[pki.bob.credential, trustls.Credential(pki.alice.issued.chain, client_signer)],
            choose_credential=choose,
        )
        async with serving(server_side) as server, connected_to(server.port, client_side) as (reader, writer):
            writer.write(b"hello")
            assert await reader.readexactly(5) == b"hello"
            peer = server.connections[0].peer
            assert peer is not None
            assert peer.subject == "CN=alice"
        assert asked[0].authorities == pki.client_ca_names, "a custom verifier's hints are sent"
        used = (server_signer.used, client_signer.used, server_verifier.used, client_verifier.used)
        assert used == (1, 1, 1, 1), "each is asked once"

    run_in_loop(main)


def test_data_that_comes_while_the_verifier_thinks_is_not_lost(pki: PKI) -> None:
    """A TLS 1.3 client sends behind its Finished, long before the server has made up its mind."""

    async def main() -> None:
        verifier = SlowVerifier()
        verifier.go_on.clear()
        data = os.urandom(1 << 20)
        async with (
            serving(server_config(pki, trustls.ClientAuth.custom(verifier))) as server,
            connected_to(server.port, client_config(pki, pki.alice)) as (reader, writer),
        ):
            writer.write(data)
            await asyncio.wait_for(verifier.begun.wait(), 5)
            assert server.connections == [], "nobody is let in before the verifier has decided"
            verifier.go_on.set()
            received = await reader.readexactly(len(data))
            assert received == data

    run_in_loop(main)


def test_refusal_by_an_asynchronous_verifier(pki: PKI) -> None:
    async def main() -> None:
        refusal = trustls.CertificateRejected(trustls.CertificateProblem.REFUSED, "not on the list")
        verifier = SlowVerifier(error=refusal)
        async with (
            serving(server_config(pki, trustls.ClientAuth.custom(verifier))) as server,
            connected_to(server.port, client_config(pki, pki.alice)) as (reader, _writer),
        ):
            with pytest.raises(trustls.AlertReceived) as caught:
                await reader.read()
            assert caught.value.description is trustls.AlertDescription.ACCESS_DENIED
            error, _connection = await server.failure()
            assert error is refusal

    run_in_loop(main)


def test_fault_of_an_asynchronous_verifier_is_an_internal_error_for_the_peer(pki: PKI) -> None:
    async def main() -> None:
        verifier = SlowVerifier(error=RuntimeError("the database is away"))
        async with (
            serving(server_config(pki, trustls.ClientAuth.custom(verifier))) as server,
            connected_to(server.port, client_config(pki, pki.alice)) as (reader, _writer),
        ):
            with pytest.raises(trustls.AlertReceived) as caught:
                await reader.read()
            assert caught.value.description is trustls.AlertDescription.INTERNAL_ERROR
            error, _connection = await server.failure()
            assert isinstance(error, trustls.InternalError)
            assert "the database is away" in str(error), "the server's own log needs the reason"

    run_in_loop(main)


def test_fault_of_an_asynchronous_server_verifier_is_raised_to_the_client(pki: PKI) -> None:
    async def main() -> None:
        config = trustls.ClientConfig(verifier=SlowVerifier(error=RuntimeError("the database is away")))
        async with serving(server_config(pki)) as server:
            with pytest.raises(trustls.InternalError, match="the database is away"):
                await trustls.aio.open_connection("127.0.0.1", server.port, config, server_name="localhost")
            error, _connection = await server.failure()
            assert isinstance(error, trustls.AlertReceived), f"the server saw {error!r}"

    run_in_loop(main)


def test_verifier_that_takes_too_long_is_cancelled(pki: PKI) -> None:
    async def main() -> None:
        verifier = SlowVerifier()
        verifier.go_on.clear()
        config = server_config(pki, trustls.ClientAuth.custom(verifier))
        async with (
            serving(config, handshake_timeout=0.4) as server,
            connected_to(server.port, client_config(pki, pki.alice)) as (reader, _writer),
        ):
            with contextlib.suppress(trustls.TLSError, OSError):
                await asyncio.wait_for(reader.read(), 5)
            error, _connection = await server.failure()
            assert isinstance(error, trustls.HandshakeTimeout), f"the server saw {error!r}"
            await asyncio.wait_for(verifier.cleaned_up.wait(), 3)
            assert verifier.cancelled, "the verifier must learn of it as every task does: by CancelledError"

    run_in_loop(main)


@pytest.mark.parametrize("how", ["end", "reset"])
def test_client_that_leaves_while_the_verifier_thinks_cancels_it(how: str, pki: PKI) -> None:
    async def main() -> None:
        verifier = SlowVerifier()
        verifier.go_on.clear()
        async with serving(server_config(pki, trustls.ClientAuth.custom(verifier)), handshake_timeout=2) as server:
            before = descriptors()
            _reader, writer = await trustls.aio.open_connection(
                "127.0.0.1", server.port, client_config(pki, pki.alice), server_name="localhost"
            )
            await asyncio.wait_for(verifier.begun.wait(), 5)
            if how == "reset":
                raw = writer.get_extra_info("socket")
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
            with contextlib.suppress(trustls.TLSError, OSError):
                await writer.wait_closed()
            await asyncio.wait_for(verifier.cleaned_up.wait(), 5)
            await eventually(lambda: descriptors() == before, "the end of both sockets")
            assert verifier.cancelled, "the verifier must learn of it as every task does: by CancelledError"
            await server.failure()
        assert server.connections == [], "the handler must not be called for a client that is gone"

    run_in_loop(main)
