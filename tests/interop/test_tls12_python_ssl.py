"""Python's `ssl` limited to TLS 1.2 on the other side of trustls, over blocking sockets and over asyncio."""

from __future__ import annotations

import asyncio
import os
import ssl
import threading
from pathlib import Path

import pytest

import trustls
from tests.support.commands import secrets_in
from tests.support.loops import run_in_loop
from tests.support.pki import KEY_TYPES, PKI, Identity
from tests.support.servers import SECONDS, ServerSocket, ThreadedServer
from tests.support.ssl_peers import TLS12, TLS13, SSLServer, client_context, server_context, ssl_client
from trustls.cli.pki import KeyType

LARGE = 4 << 20


def server_config(pki: PKI, **options: object) -> trustls.ServerConfig:
    """A server of both versions that requires a certificate of its clients."""
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


# -- ssl as the client, trustls on sockets ----------------------------------------------------------------------------


@pytest.mark.parametrize("key_type", KEY_TYPES)
def test_ssl_client_is_let_in_with_its_certificate(key_type: KeyType, pki: PKI) -> None:
    identity = pki.client_with(key_type)
    config = server_config(pki, credentials=[pki.server_with(key_type).credential])
    with ThreadedServer(config) as server:
        with ssl_client(client_context(pki, identity, newest=TLS12), server.port) as tls:
            assert tls.version() == "TLSv1.2"
            tls.sendall(b"hello")
            assert tls.recv(100) == b"hello"
            assert tls.getpeercert(binary_form=True) == pki.server_with(key_type).certificate.der
            tls.unwrap()
        assert server.outcome().peer.certificate == identity.certificate


@pytest.mark.parametrize(
    ("who", "reason"), [("mallory", "TLSV1_ALERT_UNKNOWN_CA"), ("nobody", "SSLV3_ALERT_HANDSHAKE_FAILURE")]
)
def test_ssl_client_is_refused_during_the_handshake(who: str, reason: str, pki: PKI) -> None:
    context = client_context(pki, pki.mallory if who == "mallory" else None, newest=TLS12)
    with ThreadedServer(server_config(pki)) as server:
        with pytest.raises(ssl.SSLError) as caught, ssl_client(context, server.port):
            pass
        assert caught.value.reason == reason
        assert isinstance(server.outcome().error, trustls.CertificateRejected)


def test_ssl_client_refuses_the_servers_name_and_the_server_learns_why(pki: PKI) -> None:
    config = server_config(pki, credentials=[pki.server_for("elsewhere.example").credential])
    with ThreadedServer(config) as server:
        with pytest.raises(ssl.SSLCertVerificationError), ssl_client(client_context(pki, newest=TLS12), server.port):
            pass
        assert isinstance(server.outcome().error, trustls.AlertReceived)


@pytest.mark.parametrize(
    ("versions", "newest", "oldest", "spoken"),
    [
        (["1.2", "1.3"], TLS13, TLS12, "TLSv1.3"),
        (["1.2"], TLS13, TLS12, "TLSv1.2"),
        (["1.2", "1.3"], TLS12, TLS12, "TLSv1.2"),
        (["1.3"], TLS12, TLS12, None),
        (["1.2"], TLS13, TLS13, None),
    ],
)
def test_versions_with_an_ssl_client(
    versions: list[str], newest: ssl.TLSVersion, oldest: ssl.TLSVersion, spoken: str | None, pki: PKI
) -> None:
    context = client_context(pki, pki.alice, newest=newest, oldest=oldest)
    with ThreadedServer(server_config(pki, versions=versions)) as server:
        if spoken is None:
            with pytest.raises(ssl.SSLError) as caught, ssl_client(context, server.port):
                pass
            assert caught.value.reason == "TLSV1_ALERT_PROTOCOL_VERSION"
            assert isinstance(server.outcome().error, trustls.PeerIncompatible)
        else:
            with ssl_client(context, server.port) as tls:
                assert tls.version() == spoken
                tls.unwrap()
            assert str(server.outcome().connection.info.version) == spoken


def test_alpn_and_key_log_agree_with_an_ssl_client(pki: PKI, tmp_path: Path) -> None:
    context = client_context(pki, pki.alice, newest=TLS12)
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
    assert len(secrets_in(tmp_path / "ours")) == 1
    assert secrets_in(tmp_path / "ours") == secrets_in(tmp_path / "theirs"), "the two key logs differ"


def test_renegotiation_is_what_ssl_calls_secure(pki: PKI) -> None:
    """OpenSSL 3 refuses servers that do not answer renegotiation_info (RFC 5746) unless told otherwise."""
    context = client_context(pki, pki.alice, newest=TLS12)
    assert not context.options & 0x4, "SSL_OP_LEGACY_SERVER_CONNECT would make this test say nothing"
    with ThreadedServer(server_config(pki)) as server, ssl_client(context, server.port) as tls:
        tls.unwrap()


def test_ssl_client_that_vanishes_is_an_unexpected_eof(pki: PKI) -> None:
    with ThreadedServer(server_config(pki)) as server:
        with ssl_client(client_context(pki, pki.alice, newest=TLS12), server.port) as tls:
            tls.sendall(b"hello")
            assert tls.recv(100) == b"hello"
        assert isinstance(server.outcome().error, trustls.UnexpectedEOF)


def test_close_by_the_server_is_a_proper_end_for_an_ssl_client(pki: PKI) -> None:
    with (
        ThreadedServer(server_config(pki), lambda tls: tls.sendall(b"goodbye")) as server,
        ssl_client(client_context(pki, pki.alice, newest=TLS12), server.port) as tls,
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
        with ssl_client(client_context(pki, pki.alice, newest=TLS12), server.port) as tls:
            tls.sendall(upload)
            parts = []
            while data := tls.recv(1 << 16):
                parts.append(data)
        assert server.outcome().error is None
    whole = (received == [upload], b"".join(parts) == download)
    assert whole == (True, True), "the upload or the download was changed"


# -- ssl as the server, trustls on sockets ----------------------------------------------------------------------------


@pytest.mark.parametrize("key_type", KEY_TYPES)
def test_ssl_server_lets_the_client_in(key_type: KeyType, pki: PKI) -> None:
    identity = pki.client_with(key_type)
    with SSLServer(server_context(pki, pki.server_with(key_type), newest=TLS12)) as server:
        with connect(pki, server.port, identity) as tls:
            tls.sendall(b"hello")
            assert tls.recv_exactly(5) == b"hello"
            assert tls.connection.info.version is trustls.ProtocolVersion.TLS1_2
            assert tls.connection.requested is not None
            assert tls.connection.requested.authorities == (), "`ssl` names no authorities, whatever is configured"
            assert tls.connection.peer is not None
            assert tls.connection.peer.certificate == pki.server_with(key_type).certificate
        outcome = server.outcome()
    assert outcome.error is None, f"the server saw {outcome.error!r}"
    assert outcome.certificate == identity.certificate.der


@pytest.mark.parametrize(
    ("who", "alert"),
    [("mallory", trustls.AlertDescription.UNKNOWN_CA), ("nobody", trustls.AlertDescription.HANDSHAKE_FAILURE)],
)
def test_ssl_server_refuses_during_the_handshake(who: str, alert: trustls.AlertDescription, pki: PKI) -> None:
    with SSLServer(server_context(pki, newest=TLS12)) as server:
        with pytest.raises(trustls.AlertReceived) as caught:
            connect(pki, server.port, *([pki.mallory] if who == "mallory" else []))
        assert caught.value.description is alert


def test_bad_certificate_of_an_ssl_server_is_refused_with_an_alert_it_can_read(pki: PKI) -> None:
    with SSLServer(server_context(pki, pki.expired_server, newest=TLS12)) as server:
        with pytest.raises(trustls.CertificateRejected) as caught:
            connect(pki, server.port, pki.alice)
        error = server.outcome().error
    assert caught.value.reason is trustls.CertificateProblem.EXPIRED
    assert isinstance(error, ssl.SSLError), f"the server saw {error!r}"
    assert error.reason == "SSLV3_ALERT_CERTIFICATE_EXPIRED"


@pytest.mark.parametrize(
    ("newest", "oldest", "versions", "spoken"),
    [(TLS13, TLS12, ["1.2"], "TLSv1.2"), (TLS13, TLS12, None, "TLSv1.3"), (TLS12, TLS12, ["1.3"], None)],
)
def test_versions_with_an_ssl_server(
    newest: ssl.TLSVersion, oldest: ssl.TLSVersion, versions: list[str] | None, spoken: str | None, pki: PKI
) -> None:
    with SSLServer(server_context(pki, newest=newest, oldest=oldest)) as server:
        if spoken is None:
            with pytest.raises(trustls.AlertReceived) as caught:
                connect(pki, server.port, pki.alice, versions=versions)
            assert caught.value.description is trustls.AlertDescription.PROTOCOL_VERSION
        else:
            with connect(pki, server.port, pki.alice, versions=versions) as tls:
                assert str(tls.connection.info.version) == spoken


def test_half_close_reaches_an_ssl_server_that_still_answers(pki: PKI) -> None:
    def answer_at_the_end(tls: ssl.SSLSocket) -> None:
        request = b""
        while data := tls.recv(1 << 16):
            request += data
        tls.sendall(b"got " + request)
        tls.unwrap()

    with SSLServer(server_context(pki, newest=TLS12), answer_at_the_end) as server:
        with connect(pki, server.port, pki.alice) as tls:
            tls.sendall(b"a request")
            tls.close_write()
            try:
                answer = tls.recv_exactly(13)
            except trustls.TLSError:
                answer = b""  # RFC 5246 7.2.1 lets who gets a close_notify close at once.
        server.outcome()
    assert answer in {b"got a request", b""}


def test_large_transfer_with_an_ssl_server(pki: PKI) -> None:
    data = os.urandom(LARGE)
    with SSLServer(server_context(pki, newest=TLS12)) as server:
        with connect(pki, server.port, pki.alice) as tls:
            sender = threading.Thread(target=tls.sendall, args=(data,))
            sender.start()
            received = tls.recv_exactly(LARGE)
            sender.join(SECONDS)
            assert not sender.is_alive(), "sendall did not end"
        outcome = server.outcome()
    whole = received == data
    assert whole, "the echo differs from what was sent"
    assert outcome.error is None, f"the server saw {outcome.error!r}"


# -- asyncio ----------------------------------------------------------------------------------------------------------


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


def test_ssl_streams_talk_to_a_trustls_server(pki: PKI) -> None:
    async def main() -> None:
        served: list[trustls.Connection] = []

        async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            served.append(writer.get_extra_info("tls_connection"))
            await aio_echo(reader, writer)

        async with await trustls.aio.start_server(handler, "127.0.0.1", 0, server_config(pki)) as server:
            port = server.sockets[0].getsockname()[1]
            context = client_context(pki, pki.alice, newest=TLS12)
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="localhost")
            data = os.urandom(LARGE)
            writer.write(data)
            received = await reader.readexactly(LARGE)
            writer.close()
            await writer.wait_closed()
            whole = received == data
            assert whole, "the echo differs from what was sent"
            assert served[0].info.version is trustls.ProtocolVersion.TLS1_2
            assert served[0].peer is not None
            assert served[0].peer.subject == "CN=alice"

    run_in_loop(main)


def test_trustls_streams_talk_to_an_ssl_server(pki: PKI) -> None:
    async def main() -> None:
        context = server_context(pki, newest=TLS12)
        async with await asyncio.start_server(aio_echo, "127.0.0.1", 0, ssl=context) as server:
            port = server.sockets[0].getsockname()[1]
            config = client_config(pki, pki.alice)
            reader, writer = await trustls.aio.open_connection("127.0.0.1", port, config, server_name="localhost")
            data = os.urandom(LARGE)
            writer.write(data)
            received = await reader.readexactly(LARGE)
            assert writer.get_extra_info("tls_connection").info.version is trustls.ProtocolVersion.TLS1_2
            writer.close()
            await writer.wait_closed()
            whole = received == data
            assert whole, "the echo differs from what was sent"

    run_in_loop(main)
