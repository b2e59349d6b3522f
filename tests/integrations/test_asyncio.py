"""asyncio over the drop-in, on its own loop and on uvloop: docs/integrations/asyncio.md and uvloop.md."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

import pytest

import trustls
from tests.integrations import recipes
from tests.integrations.loops import ASYNCIO, Run, run_on_uvloop
from tests.integrations.mutual import (
    REFUSED,
    SECOND_SUBJECT,
    SERVER_SUBJECT,
    ConfigMaker,
    Files,
    Handshakes,
    check_client,
    check_refused,
    check_server,
    client_config,
    server_config,
    subject_of,
)
from tests.integrations.servers import SECONDS

recipe = recipes.load("asyncio")
pytestmark = ASYNCIO

LARGE = bytes(range(256)) * 8192
ANSWER = f"{SECOND_SUBJECT} says hello\n".encode()


def port_of(server: asyncio.Server) -> int:
    port: int = server.sockets[0].getsockname()[1]
    return port


async def end(server: asyncio.Server) -> None:
    server.close()
    await asyncio.wait_for(server.wait_closed(), SECONDS)


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_streams_speak_mutual_tls(run: Run, handshakes: Handshakes, version: str) -> None:
    async def main() -> None:
        server = await recipe.serve(server_config(), "127.0.0.1", 0)
        answer = await recipe.ask(client_config(versions=[version]), "localhost", port_of(server), b"hello")
        assert answer == ANSWER
        await end(server)

    run(main)
    handshakes.check()
    assert str(handshakes.servers[0].info.version) == f"TLSv{version}"


def test_connection_goes_over_to_tls_by_starttls(run: Run, handshakes: Handshakes) -> None:
    async def main() -> None:
        server = await recipe.serve_starttls(server_config(), "127.0.0.1", 0)
        answer = await recipe.ask_after_starttls(client_config(), "localhost", port_of(server), b"hello")
        assert answer == ANSWER
        await end(server)

    run(main)
    handshakes.check()


def test_extra_info_is_what_ssl_gives(run: Run, handshakes: Handshakes) -> None:
    async def main() -> None:
        server = await recipe.serve(server_config(alpn=["chat"]), "127.0.0.1", 0)
        context = client_config(alpn=["chat"]).ssl_context()
        _, writer = await asyncio.open_connection("localhost", port_of(server), ssl=context)
        ssl_object = writer.get_extra_info("ssl_object")
        assert isinstance(ssl_object, ssl.SSLObject)
        assert writer.get_extra_info("sslcontext") is context
        assert subject_of(writer.get_extra_info("peercert")) == SERVER_SUBJECT
        assert writer.get_extra_info("cipher") == ssl_object.cipher() == ("TLS_AES_256_GCM_SHA384", "TLSv1.3", 256)
        assert writer.get_extra_info("compression") is None
        assert ssl_object.selected_alpn_protocol() == "chat"
        check_client(writer)
        writer.close()
        await writer.wait_closed()
        await end(server)

    run(main)


class _Echo(asyncio.Protocol):
    """Sends back what comes, and closes when the other side does."""

    def __init__(self) -> None:
        self.transport: Any = None
        self.over: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)

    def connection_lost(self, exc: BaseException | None) -> None:
        self.over.set_result(exc)


class _BufferedCollector(asyncio.BufferedProtocol):
    """Takes what comes into a buffer of its own until it has enough."""

    def __init__(self, size: int) -> None:
        self.found = bytearray()
        self._buffer = bytearray(1 << 16)
        self._size = size
        self.enough: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.over: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()

    def get_buffer(self, sizehint: int) -> bytearray:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.found += self._buffer[:nbytes]
        if len(self.found) >= self._size and not self.enough.done():
            self.enough.set_result(None)

    def connection_lost(self, exc: BaseException | None) -> None:
        self.over.set_result(exc)


def test_protocols_exchange_much_data_and_part_in_peace(run: Run, handshakes: Handshakes) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        accepted: list[_Echo] = []

        def accept() -> _Echo:
            accepted.append(_Echo())
            return accepted[-1]

        server = await loop.create_server(accept, "127.0.0.1", 0, ssl=server_config().ssl_context())
        transport, protocol = await loop.create_connection(
            lambda: _BufferedCollector(len(LARGE)), "localhost", port_of(server), ssl=client_config().ssl_context()
        )
        transport.write(LARGE)
        await asyncio.wait_for(protocol.enough, SECONDS)
        assert protocol.found == LARGE, "what came back is not what was sent"
        check_client(transport)
        check_server(accepted[0].transport)
        transport.close()
        assert await asyncio.wait_for(protocol.over, SECONDS) is None
        assert await asyncio.wait_for(accepted[0].over, SECONDS) is None
        await end(server)

    run(main)
    handshakes.check()


@pytest.mark.parametrize("ours", ["client", "server"])
def test_loop_start_tls_speaks_with_openssl(
    run: Run, handshakes: Handshakes, files: Files, second_client: trustls.ClientConfig, ours: str
) -> None:
    server_context = server_config().ssl_context() if ours == "server" else files.openssl_server()
    client_context = second_client.ssl_context() if ours == "client" else files.openssl_client(files.second)

    async def main() -> None:
        loop = asyncio.get_running_loop()

        async def upgrade(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            assert await reader.readline() == b"now?\n"
            writer.write(b"now")
            await writer.start_tls(server_context)
            subject = subject_of(writer.get_extra_info("peercert")) or "nobody"
            writer.write(subject.encode())
            writer.close()
            await writer.wait_closed()

        server = await asyncio.start_server(upgrade, "127.0.0.1", 0)
        transport, first = await loop.create_connection(_Until, "127.0.0.1", port_of(server))
        transport.write(b"now?\n")
        await asyncio.wait_for(first.something, SECONDS)
        protocol = _Until()
        await loop.start_tls(transport, protocol, client_context, server_hostname="localhost")
        assert await asyncio.wait_for(protocol.over, SECONDS) is None
        assert protocol.found == SECOND_SUBJECT.encode()
        await end(server)

    run(main)
    if ours == "server":
        handshakes.check_servers()
    assert len(handshakes.clients) == (ours == "client")


class _Until(asyncio.Protocol):
    """Takes what comes until the connection is over."""

    def __init__(self) -> None:
        self.found = b""
        self.something: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.over: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        if not self.found:
            self.something.set_result(None)
        self.found += data

    def connection_lost(self, exc: BaseException | None) -> None:
        self.over.set_result(exc)


def test_tls_goes_inside_of_tls(run: Run, handshakes: Handshakes) -> None:
    async def main() -> None:
        context = server_config().ssl_context()

        async def go_deeper(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            assert await reader.readline() == b"deeper\n"
            writer.write(b"come\n")
            await writer.start_tls(context)
            await recipe.greet(reader, writer)

        server = await asyncio.start_server(go_deeper, "127.0.0.1", 0, ssl=context)
        ours = client_config().ssl_context()
        reader, writer = await asyncio.open_connection("localhost", port_of(server), ssl=ours)
        writer.write(b"deeper\n")
        assert await reader.readline() == b"come\n"
        await writer.start_tls(ours, server_hostname="localhost")
        writer.write(b"hello\n")
        assert await reader.readline() == ANSWER
        writer.close()
        await writer.wait_closed()
        await end(server)

    run(main)
    handshakes.check(2)


@REFUSED
def test_refusal_is_told_in_words(run: Run, handshakes: Handshakes, refused_config: ConfigMaker, why: str) -> None:
    async def main() -> None:
        server = await recipe.serve(server_config(), "127.0.0.1", 0)
        try:
            await recipe.ask(refused_config(), "localhost", port_of(server), b"hello")
        finally:
            await end(server)

    with pytest.raises(ssl.SSLError) as refused:
        run(main)
    assert isinstance(refused.value, trustls.CertificateRejectedByPeer)
    check_refused(refused.value, why)
    handshakes.check_refused(why)


def test_server_of_another_name_is_refused(run: Run) -> None:
    async def main() -> None:
        server = await recipe.serve(server_config(), "127.0.0.1", 0)
        try:
            await asyncio.open_connection(
                "127.0.0.1", port_of(server), ssl=client_config().ssl_context(), server_hostname="example.com"
            )
        finally:
            await end(server)

    with pytest.raises(ssl.SSLCertVerificationError, match=r"example\.com") as refused:
        run(main)
    assert refused.value.verify_code == 62, "not the code that OpenSSL has for it"


def test_handshake_timeout_is_kept(run: Run) -> None:
    async def main() -> None:
        async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()
            await writer.wait_closed()

        silent = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
        try:
            await asyncio.open_connection(
                "localhost", port_of(silent), ssl=client_config().ssl_context(), ssl_handshake_timeout=0.05
            )
        finally:
            await end(silent)

    with pytest.raises((ConnectionAbortedError, TimeoutError)):
        run(main)


def test_loop_is_the_one_that_is_meant(run: Run) -> None:
    async def main() -> str:
        return type(asyncio.get_running_loop()).__module__

    assert run(main).startswith("uvloop" if run is run_on_uvloop else "asyncio")
