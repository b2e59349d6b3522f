"""STARTTLS: streams and transports that go on in TLS, and what somebody put in before it is never taken for data."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import cast

import pytest

import trustls
from tests.aio.running import Streaming, client_config, eventually, port_of, run_on, server_config
from tests.support.pki import PKI
from tests.support.ssl_peers import client_context, server_context

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

LARGE = 1 << 20


@contextlib.asynccontextmanager
async def clear_server(handler: Handler) -> AsyncIterator[int]:
    """A server in the clear; what its handler raises fails the test. The port."""
    results: list[asyncio.Future[None]] = []

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        results.append(done)
        try:
            await handler(reader, writer)
        except Exception as error:  # noqa: BLE001 (the test is given it)
            done.set_exception(error)
        else:
            done.set_result(None)
        finally:
            writer.close()
            with contextlib.suppress(trustls.TLSError, OSError):
                await writer.wait_closed()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    async with server:
        yield port_of(server)
        await asyncio.wait_for(asyncio.gather(*results), 5)


@contextlib.asynccontextmanager
async def clear_client(port: int) -> AsyncIterator[Streams]:
    """Streams in the clear."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        await closed(writer)


async def closed(writer: asyncio.StreamWriter) -> None:
    """Close it, whatever that comes to."""
    writer.close()
    with contextlib.suppress(trustls.TLSError, OSError):
        await asyncio.wait_for(writer.wait_closed(), 5)


async def ask_for_tls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """The client's part in the clear."""
    writer.write(b"STARTTLS\r\n")
    assert await reader.readline() == b"220 go ahead\r\n"


async def grant_tls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """The server's part in the clear."""
    assert await reader.readline() == b"STARTTLS\r\n"
    writer.write(b"220 go ahead\r\n")


async def echo_until_the_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send back everything, then close."""
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()
    await closed(writer)


async def exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A large echo, both ways at one time."""
    data = os.urandom(LARGE)
    writer.write(data)
    assert await reader.readexactly(LARGE) == data


def test_both_sides_go_on_in_tls(pki: PKI, loop_name: str) -> None:
    async def main() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await grant_tls(reader, writer)
            config = server_config(pki, client_auth=pki.required())
            tls_reader, tls_writer = await trustls.aio.start_tls_streams(reader, writer, config)
            del reader
            gc.collect()  # Nothing of what serves this client may be held by the old streams alone.
            peer = tls_writer.get_extra_info("tls_connection").peer
            assert peer.certificate == pki.alice.certificate
            await echo_until_the_end(tls_reader, tls_writer)
            await asyncio.wait_for(writer.wait_closed(), 5)  # The old streams end with the new ones.

        async with clear_server(serve) as port, clear_client(port) as (reader, writer):
            await ask_for_tls(reader, writer)
            config = client_config(pki, pki.mallory, pki.alice)
            tls_reader, tls_writer = await trustls.aio.start_tls_streams(
                reader, writer, config, server_name="localhost"
            )
            assert tls_writer.get_extra_info("tls_connection").requested.authorities == pki.client_ca_names
            del writer
            gc.collect()
            await exchange(tls_reader, tls_writer)
            await closed(tls_writer)

    run_on(loop_name, main)


def test_client_goes_on_in_tls_with_a_server_of_asyncio_and_ssl(pki: PKI, loop_name: str) -> None:
    async def main() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await grant_tls(reader, writer)
            await writer.start_tls(server_context(pki, verify=ssl.CERT_REQUIRED))
            assert writer.get_extra_info("peercert")["subject"] == ((("commonName", "alice"),),)
            await echo_until_the_end(reader, writer)

        async with clear_server(serve) as port, clear_client(port) as (reader, writer):
            await ask_for_tls(reader, writer)
            config = client_config(pki, pki.alice)
            streams = await trustls.aio.start_tls_streams(reader, writer, config, server_name="localhost")
            await exchange(*streams)
            await closed(streams[1])

    run_on(loop_name, main)


def test_server_goes_on_in_tls_with_a_client_of_asyncio_and_ssl(pki: PKI, loop_name: str) -> None:
    async def main() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await grant_tls(reader, writer)
            config = server_config(pki, client_auth=pki.required())
            reader, writer = await trustls.aio.start_tls_streams(reader, writer, config)
            await echo_until_the_end(reader, writer)

        async with clear_server(serve) as port, clear_client(port) as (reader, writer):
            await ask_for_tls(reader, writer)
            await writer.start_tls(client_context(pki, pki.alice), server_hostname="localhost")
            await exchange(reader, writer)

    run_on(loop_name, main)


# -- What came before TLS ---------------------------------------------------------------------------------------------


def test_command_put_in_before_tls_ends_the_connection_of_a_server(pki: PKI, loop_name: str) -> None:
    async def main() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await grant_tls(reader, writer)
            with pytest.raises(trustls.PeerMisbehaved) as caught:
                await trustls.aio.start_tls_streams(reader, writer, server_config(pki))
            assert caught.value.reason is trustls.errors.Misbehaviour.NOT_TLS
            with pytest.raises(RuntimeError):
                await reader.read()

        async with clear_server(serve) as port, clear_client(port) as (reader, writer):
            connection = trustls.ClientConnection(client_config(pki), "localhost")
            writer.write(b"STARTTLS\r\nMAIL FROM:<mallory@example.com>\r\n" + connection.data_to_send())
            assert await reader.readline() == b"220 go ahead\r\n"
            with pytest.raises(trustls.AlertReceived):
                connection.receive(await reader.read())

    run_on(loop_name, main)


def test_answer_put_in_before_tls_ends_the_connection_of_a_client(pki: PKI, loop_name: str) -> None:
    async def main() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            assert await reader.readline() == b"STARTTLS\r\n"
            writer.write(b"220 go ahead\r\n250-AUTH PLAIN\r\n")
            await reader.read()

        async with clear_server(serve) as port, clear_client(port) as (reader, writer):
            await ask_for_tls(reader, writer)
            with pytest.raises(trustls.PeerMisbehaved) as caught:
                await trustls.aio.start_tls_streams(reader, writer, client_config(pki), server_name="localhost")
            assert caught.value.reason is trustls.errors.Misbehaviour.NOT_TLS

    run_on(loop_name, main)


def test_hello_that_the_old_reader_has_already_read_is_not_lost(pki: PKI, loop_name: str) -> None:
    async def main() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await grant_tls(reader, writer)
            reader, writer = await trustls.aio.start_tls_streams(reader, writer, server_config(pki))
            await echo_until_the_end(reader, writer)

        async with clear_server(serve) as port, clear_client(port) as (reader, writer):
            connection = trustls.ClientConnection(client_config(pki), "localhost")
            writer.write(b"STARTTLS\r\n" + connection.data_to_send())
            assert await reader.readline() == b"220 go ahead\r\n"
            while connection.handshaking:
                connection.receive(await reader.read(1 << 16))
            connection.send(b"hello")
            writer.write(connection.data_to_send())
            received = b""
            while not received:
                received = connection.receive(await reader.read(1 << 16))
            assert received == b"hello"
            connection.close()
            writer.write(connection.data_to_send())

    run_on(loop_name, main)


def test_peer_that_has_left_already_is_an_unexpected_eof(pki: PKI, loop_name: str) -> None:
    async def main() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await grant_tls(reader, writer)
            await eventually(lambda: "eof" in repr(reader), "the end of the stream")
            with pytest.raises(trustls.UnexpectedEOF):
                await trustls.aio.start_tls_streams(reader, writer, server_config(pki))

        async with clear_server(serve) as port, clear_client(port) as (reader, writer):
            await ask_for_tls(reader, writer)
            writer.write_eof()
            await reader.read()

    run_on(loop_name, main)


def test_old_streams_may_be_forgotten(pki: PKI, loop_name: str) -> None:
    """asyncio closes the transport of a StreamWriter that nobody holds any more: not below the new streams."""

    async def main() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await grant_tls(reader, writer)
            await echo_until_the_end(*await trustls.aio.start_tls_streams(reader, writer, server_config(pki)))

        async def upgraded(port: int) -> Streams:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            await ask_for_tls(reader, writer)
            return await trustls.aio.start_tls_streams(reader, writer, client_config(pki), server_name="localhost")

        async with clear_server(serve) as port:
            reader, writer = await upgraded(port)
            gc.collect()
            await exchange(reader, writer)
            await closed(writer)

    run_on(loop_name, main)


def test_old_streams_neither_read_nor_write_in_the_clear(pki: PKI, loop_name: str) -> None:
    async def main() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await grant_tls(reader, writer)
            reader, writer = await trustls.aio.start_tls_streams(reader, writer, server_config(pki))
            assert await reader.readline() == b"by the old writer\n", "it comes through TLS, or not at all"
            await closed(writer)

        async with clear_server(serve) as port, clear_client(port) as (reader, writer):
            await ask_for_tls(reader, writer)
            _, new_writer = await trustls.aio.start_tls_streams(
                reader, writer, client_config(pki), server_name="localhost"
            )
            writer.write(b"by the old writer\n")
            with pytest.raises(RuntimeError, match="start_tls_streams"):
                await reader.read()
            await closed(new_writer)

    run_on(loop_name, main)


# -- Wrong use, and cancellation --------------------------------------------------------------------------------------


def test_streams_that_somebody_is_reading_are_refused(pki: PKI) -> None:
    async def main() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()

        async with clear_server(serve) as port, clear_client(port) as (reader, writer):
            reading = asyncio.create_task(reader.readline())
            await asyncio.sleep(0)
            with pytest.raises(RuntimeError):
                await trustls.aio.start_tls_streams(reader, writer, client_config(pki), server_name="localhost")
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading

    run_on("asyncio", main)


def test_transport_of_streams_is_not_upgraded_behind_their_back(pki: PKI) -> None:
    """The reader would give what came in the clear together with what came by TLS."""

    async def main() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()

        async with clear_server(serve) as port, clear_client(port) as (_reader, writer):
            with pytest.raises(trustls.ConfigError, match="start_tls_streams"):
                await trustls.aio.start_tls(
                    writer.transport, writer.transport.get_protocol(), client_config(pki), server_name="localhost"
                )

    run_on("asyncio", main)


def test_closed_streams_and_missing_names_are_refused(pki: PKI) -> None:
    async def main() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()

        async with clear_server(serve) as port, clear_client(port) as (reader, writer):
            start = trustls.aio.start_tls_streams
            with pytest.raises(trustls.ConfigError, match="server_name"):
                await start(reader, writer, client_config(pki))
            with pytest.raises(trustls.ConfigError, match="server name"):
                await start(reader, writer, server_config(pki), server_name="localhost")
            writer.close()
            with pytest.raises(trustls.ConnectionClosed):
                await start(reader, writer, client_config(pki), server_name="localhost")

    run_on("asyncio", main)


def test_cancelled_start_tls_closes_the_connection(pki: PKI, loop_name: str) -> None:
    async def main() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await grant_tls(reader, writer)
            with contextlib.suppress(ConnectionError):
                await reader.read()  # The ClientHello, and the end.

        async with clear_server(serve) as port, clear_client(port) as (reader, writer):
            await ask_for_tls(reader, writer)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(
                    trustls.aio.start_tls_streams(reader, writer, client_config(pki), server_name="localhost"), 0.1
                )
            assert writer.is_closing()

    run_on(loop_name, main)


def test_silent_peer_is_a_handshake_timeout(pki: PKI) -> None:
    async def main() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await grant_tls(reader, writer)
            await reader.read()

        async with clear_server(serve) as port, clear_client(port) as (reader, writer):
            await ask_for_tls(reader, writer)
            with pytest.raises(trustls.HandshakeTimeout):
                await trustls.aio.start_tls_streams(
                    reader, writer, client_config(pki), server_name="localhost", handshake_timeout=0.1
                )

    run_on("asyncio", main)


# -- Transports -------------------------------------------------------------------------------------------------------


class Lines(asyncio.Protocol):
    """Speaks in the clear, then in TLS."""

    def __init__(self, greeting: bytes) -> None:
        self.greeting = greeting
        self.received = bytearray()
        self.lost = asyncio.Event()
        self.enough = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's only behaves like one.
        self.transport.write(self.greeting)

    def data_received(self, data: bytes) -> None:
        self.received += data
        self.enough.set()

    def connection_lost(self, error: Exception | None) -> None:
        self.lost.set()


def test_transports_go_on_in_tls(pki: PKI, loop_name: str) -> None:
    """The server takes what its protocol has read too much, which is the ClientHello, to TLS."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        served: list[Lines] = []

        def make() -> Lines:
            served.append(Lines(b""))
            return served[0]

        async with await loop.create_server(make, "127.0.0.1", 0) as listening:
            raw, client = await loop.create_connection(lambda: Lines(b"."), "127.0.0.1", port_of(listening))
            starting = asyncio.create_task(
                trustls.aio.start_tls(raw, client, client_config(pki), server_name="localhost")
            )
            await eventually(lambda: bool(served) and len(served[0].received) > 100, "the hello, read in the clear")
            server = served[0]
            assert server.received[:1] == b"."
            hello = bytes(server.received[1:])
            server.received.clear()
            server_end = await trustls.aio.start_tls(server.transport, server, server_config(pki), received=hello)
            client_end = await starting
            client_end.write(b"from the client")
            server_end.write(b"from the server")
            await eventually(lambda: server.received == b"from the client", "the client's data")
            await eventually(lambda: client.received == b"from the server", "the server's data")
            client_end.close()
            await asyncio.wait_for(asyncio.gather(server.lost.wait(), client.lost.wait()), 5)

    run_on(loop_name, main)


def test_tls_inside_of_tls(pki: PKI, loop_name: str) -> None:
    """A TLSTransport is a transport like others: as behind a proxy that is reached by TLS itself."""

    async def main() -> None:
        async def outer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await grant_tls(reader, writer)
            reader, writer = await trustls.aio.start_tls_streams(reader, writer, server_config(pki))
            await echo_until_the_end(reader, writer)

        async with await trustls.aio.start_server(outer, "127.0.0.1", 0, server_config(pki)) as server:
            reader, writer = await trustls.aio.open_connection(
                "127.0.0.1", port_of(server), client_config(pki), server_name="localhost"
            )
            await ask_for_tls(reader, writer)
            inner_reader, inner_writer = await trustls.aio.start_tls_streams(
                reader, writer, client_config(pki), server_name="localhost"
            )
            await exchange(inner_reader, inner_writer)
            inner_writer.write_eof()
            assert await inner_reader.read() == b""
            await closed(inner_writer)

    run_on(loop_name, main)


def test_start_tls_calls_connection_made_no_second_time(pki: PKI) -> None:
    async def main() -> None:
        async with await trustls.aio.create_server(asyncio.Protocol, "127.0.0.1", 0, server_config(pki)) as server:
            loop = asyncio.get_running_loop()
            raw, _ = await loop.create_connection(asyncio.Protocol, "127.0.0.1", port_of(server))
            protocol = Streaming()
            transport = await trustls.aio.start_tls(raw, protocol, client_config(pki), server_name="localhost")
            transport.close()
            await asyncio.wait_for(protocol.lost, 5)
            assert protocol.calls == ["connection_lost"]

    run_on("asyncio", main)
