"""Python's `ssl` on the other side of trustls, over blocking sockets and over asyncio."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Self

import pytest

import trustls
from tests.support.loops import run_in_loop
from tests.support.pki import KEY_TYPES, PKI, Identity
from tests.support.servers import SECONDS, ServerSocket, ThreadedServer
from trustls.cli.pki import KeyType

LARGE = 4 << 20

SSLHandler = Callable[[ssl.SSLSocket], None]


def ssl_client_context(pki: PKI, identity: Identity | None = None) -> ssl.SSLContext:
    """A client of `ssl` that trusts the test's server root."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(pki.server_root_file)
    if identity is not None:
        context.load_cert_chain(identity.chain_file, identity.key_file)
    return context


def ssl_server_context(
    pki: PKI, identity: Identity | None = None, *, verify: ssl.VerifyMode = ssl.CERT_REQUIRED
) -> ssl.SSLContext:
    """A server of `ssl` that asks for a certificate of K-Dot or The Roots."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    identity = identity or pki.server
    context.load_cert_chain(identity.chain_file, identity.key_file)
    context.load_verify_locations(pki.client_cas_file)
    context.verify_mode = verify
    return context


@contextlib.contextmanager
def ssl_client(context: ssl.SSLContext, port: int) -> Iterator[ssl.SSLSocket]:
    """Connected; a missing close_notify is an error."""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as raw,
        context.wrap_socket(raw, server_hostname="localhost", suppress_ragged_eofs=False) as tls,
    ):
        yield tls


def ssl_echo(tls: ssl.SSLSocket) -> None:
    """Send back what comes, then close properly."""
    while data := tls.recv(1 << 16):
        tls.sendall(data)
    tls.unwrap()


class SSLServer:
    """A server of `ssl` for one connection, in a thread. `error` is what ended it, if that was no proper close."""

    def __init__(self, context: ssl.SSLContext, handler: SSLHandler = ssl_echo) -> None:
        self._context = context
        self._handler = handler
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._listening.settimeout(SECONDS)
        self.port: int = self._listening.getsockname()[1]
        self.error: Exception | None = None
        self.peer_certificate: bytes | None = None
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def _serve(self) -> None:
        try:
            raw, _ = self._listening.accept()
            raw.settimeout(SECONDS)
            with (
                raw,
                self._context.wrap_socket(raw, server_side=True, suppress_ragged_eofs=False) as tls,
            ):
                self.peer_certificate = tls.getpeercert(binary_form=True)
                self._handler(tls)
        except Exception as error:  # noqa: BLE001 (the test looks at it, in its own thread)
            self.error = error

    def join(self) -> None:
        """Wait for the end of the connection."""
        self._thread.join(SECONDS)
        assert not self._thread.is_alive(), f"the server of ssl did not end within {SECONDS:g} s"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._listening.close()
        self.join()


def server_config(pki: PKI, **options: object) -> trustls.ServerConfig:
    """A server that requires a certificate of its clients."""
    settings: dict[str, object] = {
        "credentials": [pki.server.credential],
        "client_auth": pki.required(),
        **options,
    }
    return trustls.ServerConfig(**settings)  # type: ignore[arg-type]


def client_config(pki: PKI, *identities: Identity, **options: object) -> trustls.ClientConfig:
    """A client that trusts the test's server root, and holds these certificates."""
    settings: dict[str, object] = {"roots": pki.server_roots, **options}
    return trustls.ClientConfig(credentials=[one.credential for one in identities], **settings)  # type: ignore[arg-type]


def connect(
    pki: PKI, port: int, *identities: Identity, **options: object
) -> trustls.TLSSocket[trustls.ClientConnection]:
    """Connect to the test's server."""
    config = client_config(pki, *identities, **options)
    return trustls.connect(("127.0.0.1", port), config, server_name="localhost", timeout=SECONDS)


def secrets_in(path: Path) -> list[str]:
    """The lines of a key log, in an order of their own."""
    return sorted(line for line in path.read_text().splitlines() if line and not line.startswith("#"))


# -- ssl as the client, trustls on sockets ----------------------------------------------------------------------------


@pytest.mark.parametrize("key_type", KEY_TYPES)
def test_ssl_client_is_let_in_with_its_certificate(key_type: KeyType, pki: PKI) -> None:
    identity = pki.client_with(key_type)
    config = server_config(pki, credentials=[pki.server_with(key_type).credential])
    with ThreadedServer(config) as server:
        with ssl_client(ssl_client_context(pki, identity), server.port) as tls:
            assert tls.version() == "TLSv1.3"
            tls.sendall(b"hello")
            assert tls.recv(100) == b"hello"
            assert tls.getpeercert(binary_form=True) == pki.server_with(key_type).certificate.der
            tls.unwrap()
        assert server.outcome().peer.certificate == identity.certificate


def test_ssl_client_of_an_unknown_ca_is_refused(pki: PKI) -> None:
    with ThreadedServer(server_config(pki)) as server:
        with (
            ssl_client(ssl_client_context(pki, pki.mallory), server.port) as tls,
            pytest.raises(ssl.SSLError) as caught,
        ):
            tls.recv(1)
        assert caught.value.reason == "TLSV1_ALERT_UNKNOWN_CA"
        assert isinstance(server.outcome().error, trustls.CertificateRejected)


def test_ssl_client_without_a_certificate_is_refused(pki: PKI) -> None:
    with ThreadedServer(server_config(pki)) as server:
        with ssl_client(ssl_client_context(pki), server.port) as tls, pytest.raises(ssl.SSLError) as caught:
            tls.recv(1)
        assert caught.value.reason == "TLSV13_ALERT_CERTIFICATE_REQUIRED"
        assert isinstance(server.outcome().error, trustls.CertificateRejected)


def test_ssl_client_of_tls12_is_refused(pki: PKI) -> None:
    context = ssl_client_context(pki, pki.alice)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with ThreadedServer(server_config(pki, versions=["1.3"])) as server:
        with pytest.raises(ssl.SSLError) as caught, ssl_client(context, server.port):
            pass
        assert caught.value.reason == "TLSV1_ALERT_PROTOCOL_VERSION"
        assert isinstance(server.outcome().error, trustls.PeerIncompatible)


def test_ssl_client_refuses_the_servers_name_and_the_server_learns_why(pki: PKI) -> None:
    config = server_config(pki, credentials=[pki.server_for("elsewhere.example").credential])
    with ThreadedServer(config) as server:
        with pytest.raises(ssl.SSLCertVerificationError), ssl_client(ssl_client_context(pki), server.port):
            pass
        error = server.outcome().error
    assert isinstance(error, trustls.AlertReceived), f"the server saw {error!r}"


def test_ssl_client_that_offers_post_handshake_authentication_is_served(pki: PKI) -> None:
    context = ssl_client_context(pki, pki.alice)
    context.post_handshake_auth = True
    with ThreadedServer(server_config(pki)) as server:
        with ssl_client(context, server.port) as tls:
            tls.sendall(b"hello")
            assert tls.recv(100) == b"hello"
            tls.unwrap()
        assert server.outcome().peer.subject == "CN=alice"


def test_alpn_and_key_log_agree_with_an_ssl_client(pki: PKI, tmp_path: Path) -> None:
    context = ssl_client_context(pki, pki.alice)
    context.set_alpn_protocols(["http/1.1", "h2"])
    context.keylog_filename = str(tmp_path / "theirs")
    with (
        trustls.KeyLogFile(tmp_path / "ours") as key_log,
        ThreadedServer(server_config(pki, alpn=["h2"], key_log=key_log)) as server,
    ):
        with ssl_client(context, server.port) as tls:
            assert tls.selected_alpn_protocol() == "h2"
            tls.unwrap()
        assert server.outcome().connection.info.alpn == "h2"
    assert len(secrets_in(tmp_path / "ours")) == 5
    assert secrets_in(tmp_path / "ours") == secrets_in(tmp_path / "theirs"), "the two key logs differ"


def test_unwrap_of_an_ssl_client_is_a_proper_end_on_both_sides(pki: PKI) -> None:
    with ThreadedServer(server_config(pki)) as server:
        with ssl_client(ssl_client_context(pki, pki.alice), server.port) as tls:
            tls.unwrap()  # Waits for our close_notify; raises when there is none.
        outcome = server.outcome()
    assert outcome.error is None
    assert outcome.connection.peer_closed


def test_ssl_client_that_vanishes_is_an_unexpected_eof(pki: PKI) -> None:
    with ThreadedServer(server_config(pki)) as server:
        with ssl_client(ssl_client_context(pki, pki.alice), server.port) as tls:
            tls.sendall(b"hello")
            assert tls.recv(100) == b"hello"
        error = server.outcome().error
    assert isinstance(error, trustls.UnexpectedEOF), f"ssl closes without close_notify, but the server saw {error!r}"


def test_close_by_the_server_is_a_proper_end_for_an_ssl_client(pki: PKI) -> None:
    with (
        ThreadedServer(server_config(pki), lambda tls: tls.sendall(b"goodbye")) as server,
        ssl_client(ssl_client_context(pki, pki.alice), server.port) as tls,
    ):
        assert tls.recv(100) == b"goodbye"
        assert tls.recv(100) == b"", "without a close_notify this would be an SSLEOFError"


def test_large_transfer_with_an_ssl_client(pki: PKI) -> None:
    upload, download = os.urandom(LARGE), os.urandom(LARGE)
    received: list[bytes] = []

    def exchange(tls: ServerSocket) -> None:
        received.append(tls.recv_exactly(LARGE))
        tls.sendall(download)

    with ThreadedServer(server_config(pki), exchange) as server:
        with ssl_client(ssl_client_context(pki, pki.alice), server.port) as tls:
            tls.sendall(upload)
            parts = []
            while data := tls.recv(1 << 16):
                parts.append(data)
        assert server.outcome().error is None
    assert received == [upload], "the upload was changed"
    assert b"".join(parts) == download, "the download was changed"


# -- ssl as the server, trustls on sockets ----------------------------------------------------------------------------


@pytest.mark.parametrize("key_type", KEY_TYPES)
def test_ssl_server_lets_the_client_in(key_type: KeyType, pki: PKI) -> None:
    identity = pki.client_with(key_type)
    with SSLServer(ssl_server_context(pki, pki.server_with(key_type))) as server:
        with connect(pki, server.port, identity) as tls:
            tls.sendall(b"hello")
            assert tls.recv_exactly(5) == b"hello"
            assert tls.connection.peer is not None
            assert tls.connection.peer.certificate == pki.server_with(key_type).certificate
        server.join()
    assert server.error is None, f"the server saw {server.error!r}"
    assert server.peer_certificate == identity.certificate.der


def test_ssl_server_names_no_authorities_so_the_first_certificate_is_presented(pki: PKI) -> None:
    """Why trustls exists: whatever is configured, `ssl` says nothing of the CAs it accepts."""
    with SSLServer(ssl_server_context(pki)) as server, connect(pki, server.port, pki.bob, pki.alice) as tls:
        tls.sendall(b"hello")
        assert tls.recv_exactly(5) == b"hello"
        assert tls.connection.requested is not None
        assert tls.connection.requested.authorities == ()
        assert tls.connection.info.credential is pki.bob.credential


def test_ssl_server_refuses_a_certificate_of_another_ca(pki: PKI) -> None:
    with SSLServer(ssl_server_context(pki)) as server, connect(pki, server.port, pki.mallory) as tls:
        with pytest.raises(trustls.AlertReceived, match="does not trust the CA") as caught:
            tls.recv()
        assert caught.value.description is trustls.AlertDescription.UNKNOWN_CA


def test_ssl_server_refuses_a_client_without_a_certificate(pki: PKI) -> None:
    with SSLServer(ssl_server_context(pki)) as server, connect(pki, server.port) as tls:
        with pytest.raises(trustls.AlertReceived, match="requires a client certificate") as caught:
            tls.recv()
        assert caught.value.description is trustls.AlertDescription.CERTIFICATE_REQUIRED


def test_ssl_server_with_optional_client_auth_takes_a_client_without(pki: PKI) -> None:
    with SSLServer(ssl_server_context(pki, verify=ssl.CERT_OPTIONAL)) as server:
        with connect(pki, server.port) as tls:
            tls.sendall(b"hello")
            assert tls.recv_exactly(5) == b"hello"
        server.join()
    assert (server.error, server.peer_certificate) == (None, None)


def test_bad_certificate_of_an_ssl_server_is_refused_with_an_alert_it_can_read(pki: PKI) -> None:
    with SSLServer(ssl_server_context(pki, pki.expired_server)) as server:
        with pytest.raises(trustls.CertificateRejected) as caught:
            connect(pki, server.port, pki.alice)
        server.join()
    assert caught.value.reason is trustls.CertificateProblem.EXPIRED
    assert isinstance(server.error, ssl.SSLError), f"the server saw {server.error!r}"
    assert server.error.reason == "SSLV3_ALERT_CERTIFICATE_EXPIRED"


def test_hello_retry_that_an_ssl_server_forces(pki: PKI) -> None:
    context = ssl_server_context(pki)
    context.set_ecdh_curve("secp384r1")
    with SSLServer(context) as server, connect(pki, server.port, pki.alice) as tls:
        tls.sendall(b"hello")
        assert tls.recv_exactly(5) == b"hello"
        assert (tls.connection.info.group.iana, tls.connection.info.retried) == ("secp384r1", True)


def test_ssl_server_of_tls12_is_refused_in_words(pki: PKI) -> None:
    context = ssl_server_context(pki)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with SSLServer(context) as server, pytest.raises(trustls.AlertReceived, match="TLS version") as caught:
        connect(pki, server.port, versions=["1.3"])
    assert caught.value.description is trustls.AlertDescription.PROTOCOL_VERSION


def test_half_close_reaches_an_ssl_server_that_still_answers(pki: PKI) -> None:
    def answer_at_the_end(tls: ssl.SSLSocket) -> None:
        request = b""
        while data := tls.recv(1 << 16):
            request += data
        tls.sendall(b"got " + request)
        tls.unwrap()

    with SSLServer(ssl_server_context(pki), answer_at_the_end) as server:
        with connect(pki, server.port, pki.alice) as tls:
            tls.sendall(b"a request")
            tls.close_write()
            assert tls.recv_exactly(13) == b"got a request"
            assert tls.recv() == b""
        server.join()
    assert server.error is None, f"the server saw {server.error!r}"


def test_ssl_server_that_vanishes_is_an_unexpected_eof(pki: PKI) -> None:
    with (
        SSLServer(ssl_server_context(pki), lambda tls: tls.sendall(b"hello")) as server,
        connect(pki, server.port, pki.alice) as tls,
    ):
        assert tls.recv_exactly(5) == b"hello"
        with pytest.raises(trustls.UnexpectedEOF):
            tls.recv()


def test_large_transfer_with_an_ssl_server(pki: PKI) -> None:
    data = os.urandom(LARGE)
    with SSLServer(ssl_server_context(pki)) as server:
        with connect(pki, server.port, pki.alice) as tls:
            sender = threading.Thread(target=tls.sendall, args=(data,))
            sender.start()
            received = tls.recv_exactly(LARGE)
            sender.join(SECONDS)
            assert not sender.is_alive(), "sendall did not end"
        server.join()
    assert received == data, "the echo differs from what was sent"
    assert server.error is None, f"the server saw {server.error!r}"


# -- ssl on asyncio, trustls on asyncio -------------------------------------------------------------------------------


async def aio_echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send back what comes, then close."""
    try:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    except (trustls.TLSError, OSError):
        pass
    finally:
        writer.close()


@contextlib.asynccontextmanager
async def closing(writer: asyncio.StreamWriter) -> AsyncIterator[None]:
    """Close the writer at the end, and wait for that."""
    try:
        yield
    finally:
        writer.close()
        with contextlib.suppress(trustls.TLSError, OSError):
            await writer.wait_closed()


def test_ssl_streams_talk_to_a_trustls_server(pki: PKI) -> None:
    async def main() -> None:
        served: list[trustls.Connection] = []

        async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            served.append(writer.get_extra_info("tls_connection"))
            await aio_echo(reader, writer)

        async with await trustls.aio.start_server(handler, "127.0.0.1", 0, server_config(pki)) as server:
            port = server.sockets[0].getsockname()[1]
            context = ssl_client_context(pki, pki.alice)
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="localhost")
            async with closing(writer):
                data = os.urandom(LARGE)
                writer.write(data)
                received = await reader.readexactly(LARGE)
                assert received == data, "the echo differs from what was sent"
            assert served[0].peer is not None
            assert served[0].peer.subject == "CN=alice"

    run_in_loop(main)


def test_trustls_streams_talk_to_an_ssl_server(pki: PKI) -> None:
    async def main() -> None:
        context = ssl_server_context(pki)
        async with await asyncio.start_server(aio_echo, "127.0.0.1", 0, ssl=context) as server:
            port = server.sockets[0].getsockname()[1]
            config = client_config(pki, pki.alice)
            reader, writer = await trustls.aio.open_connection("127.0.0.1", port, config, server_name="localhost")
            async with closing(writer):
                data = os.urandom(LARGE)
                writer.write(data)
                received = await reader.readexactly(LARGE)
                assert received == data, "the echo differs from what was sent"

    run_in_loop(main)


def test_ssl_streams_read_to_the_proper_end_of_a_trustls_server(pki: PKI) -> None:
    async def main() -> None:
        data = os.urandom(LARGE)

        async def send_and_close(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(data)
            writer.close()

        async with await trustls.aio.start_server(send_and_close, "127.0.0.1", 0, server_config(pki)) as server:
            port = server.sockets[0].getsockname()[1]
            context = ssl_client_context(pki, pki.alice)
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="localhost")
            async with closing(writer):
                assert await reader.read() == data, "close() must send everything that was written before"

    run_in_loop(main)


def test_trustls_streams_read_to_the_proper_end_of_an_ssl_server(pki: PKI) -> None:
    async def main() -> None:
        data = os.urandom(LARGE)

        async def send_and_close(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(data)
            await writer.drain()
            writer.close()

        context = ssl_server_context(pki)
        async with await asyncio.start_server(send_and_close, "127.0.0.1", 0, ssl=context) as server:
            port = server.sockets[0].getsockname()[1]
            config = client_config(pki, pki.alice)
            reader, writer = await trustls.aio.open_connection("127.0.0.1", port, config, server_name="localhost")
            async with closing(writer):
                assert await reader.read() == data

    run_in_loop(main)


def test_upload_by_trustls_streams_arrives_whole_although_they_close_at_once(pki: PKI) -> None:
    """The session tickets of `ssl` lie unread on our side then."""

    async def main() -> None:
        data = os.urandom(LARGE)
        arrived: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        async def take_all(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                arrived.set_result(await reader.read())
            except Exception as error:  # noqa: BLE001 (raised in the test's own task)
                arrived.set_exception(error)
            finally:
                writer.close()

        async with await asyncio.start_server(take_all, "127.0.0.1", 0, ssl=ssl_server_context(pki)) as server:
            port = server.sockets[0].getsockname()[1]
            config = client_config(pki, pki.alice)
            _reader, writer = await trustls.aio.open_connection("127.0.0.1", port, config, server_name="localhost")
            async with closing(writer):
                writer.write(data)
            assert await arrived == data, "not everything that was written before close() came"

    run_in_loop(main)


def test_refusal_of_an_ssl_server_reaches_trustls_streams(pki: PKI) -> None:
    """asyncio drops the alert that `ssl` has made, and the connection with it: more than that cannot be known."""

    async def main() -> None:
        async with await asyncio.start_server(aio_echo, "127.0.0.1", 0, ssl=ssl_server_context(pki)) as server:
            port = server.sockets[0].getsockname()[1]
            config = client_config(pki, pki.mallory)
            reader, writer = await trustls.aio.open_connection("127.0.0.1", port, config, server_name="localhost")
            async with closing(writer):
                with pytest.raises((trustls.AlertReceived, trustls.UnexpectedEOF, ConnectionResetError)):
                    await reader.read()

    run_in_loop(main)
