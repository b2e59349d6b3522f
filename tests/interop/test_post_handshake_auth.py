"""Client certificates after the handshake (RFC 9846 4.7.2), asked of other implementations, and by them."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import ssl
from typing import Any

import pytest

import trustls
from tests.support.commands import GnutlsCli, GnutlsServ, SClient, SServer
from tests.support.loops import run_in_loop
from tests.support.pki import KEY_TYPES, PKI, Identity
from tests.support.processes import SECONDS, Argument, run
from tests.support.servers import ServerSocket, ThreadedServer
from tests.support.signers import LateSigner
from tests.support.ssl_peers import SSLServer, client_context, server_context, ssl_client
from trustls.cli.pki import KeyType

ClientSocket = trustls.TLSSocket[trustls.ClientConnection]


# -- trustls asks -----------------------------------------------------------------------------------------------------


def server_config(pki: PKI, auth: trustls.ClientAuth | None = None, **options: Any) -> trustls.ServerConfig:
    """A server that knows nobody at first, and may ask later."""
    settings = {"credentials": [pki.server.credential], "post_handshake_auth": auth or pki.required(), **options}
    return trustls.ServerConfig(**settings)


def answer_by_name(tls: ServerSocket) -> None:
    """Answer "ask" by asking for a certificate, every other line by the name of who sent it."""
    buffered = b""
    while data := tls.recv():
        *lines, buffered = (buffered + data).split(b"\n")
        for line in lines:
            if line == b"ask":
                tls.request_client_certificate()
                tls.sendall(b"asked\n")
            else:
                peer = tls.connection.peer
                tls.sendall(f"{line.decode()} from {'nobody' if peer is None else peer.subject}\n".encode())


def asked(client: SClient) -> None:
    """Let the server ask, and wait until the client has read it."""
    client.write("ask\n")
    client.wait_for("asked\n")


def named(client: SClient, line: str, subject: str) -> None:
    """Who the server takes the client for."""
    client.write(line + "\n")
    client.wait_for(f"{line} from {subject}\n")


@pytest.mark.parametrize("key_type", KEY_TYPES)
def test_s_client_answers_with_its_certificate(key_type: KeyType, openssl: str, pki: PKI) -> None:
    identity = pki.client_with(key_type)
    with (
        ThreadedServer(server_config(pki), answer_by_name) as server,
        SClient(openssl, pki, server.port, "-enable_pha", identity=identity) as client,
    ):
        client.established()
        named(client, "before", "nobody")
        asked(client)
        named(client, "after", f"CN=client-{key_type}")
        client.quit()
        assert server.outcome().peer.certificate == identity.certificate


def test_s_client_is_asked_again_and_again_and_changes_its_keys_in_between(openssl: str, pki: PKI) -> None:
    with (
        ThreadedServer(server_config(pki), answer_by_name) as server,
        SClient(openssl, pki, server.port, "-enable_pha", identity=pki.alice) as client,
    ):
        client.established()
        for number in range(6):
            if number:
                client.write(("k", "K")[number % 2] + "\n")  # Its own keys, or those of both sides.
                client.wait_for("KEYUPDATE")
            asked(client)
            named(client, f"line {number}", "CN=alice")
        client.quit()
        assert server.outcome().error is None


def test_s_client_of_a_resumed_session_is_asked(openssl: str, pki: PKI) -> None:
    session = pki.folder / "pha-session.pem"
    with ThreadedServer(server_config(pki), answer_by_name) as server:
        for resumed, option in ((False, "-sess_out"), (True, "-sess_in")):
            with SClient(openssl, pki, server.port, "-enable_pha", option, session, identity=pki.alice) as client:
                assert client.established()[0] == ("Reused" if resumed else "New")
                named(client, "before", "nobody")
                asked(client)
                named(client, "after", "CN=alice")
                client.quit()
            outcome = server.outcome()
            assert outcome.error is None
            assert outcome.connection.info.resumed is resumed


def test_s_client_that_was_known_before_may_be_asked_again(openssl: str, pki: PKI) -> None:
    with (
        ThreadedServer(server_config(pki, client_auth=pki.required()), answer_by_name) as server,
        SClient(openssl, pki, server.port, "-enable_pha", identity=pki.alice) as client,
    ):
        client.established()
        named(client, "before", "CN=alice")
        asked(client)
        named(client, "after", "CN=alice")
        client.quit()
        assert server.outcome().error is None


def test_s_client_without_a_certificate_is_refused_where_it_is_required(openssl: str, pki: PKI) -> None:
    with (
        ThreadedServer(server_config(pki), answer_by_name) as server,
        SClient(openssl, pki, server.port, "-enable_pha") as client,
    ):
        client.established()
        client.write("ask\n")
        client.wait_for("alert number 116")
        error = server.outcome().error
    assert isinstance(error, trustls.CertificateRejected)
    assert error.reason is trustls.CertificateProblem.NONE_PRESENTED


def test_s_client_without_a_certificate_stays_nobody_where_it_may(openssl: str, pki: PKI) -> None:
    with (
        ThreadedServer(server_config(pki, trustls.ClientAuth.optional(pki.client_roots)), answer_by_name) as server,
        SClient(openssl, pki, server.port, "-enable_pha") as client,
    ):
        client.established()
        asked(client)
        named(client, "after", "nobody")
        client.quit()
        assert server.outcome().error is None


def test_s_client_of_a_strange_authority_is_refused(openssl: str, pki: PKI) -> None:
    with (
        ThreadedServer(server_config(pki), answer_by_name) as server,
        SClient(openssl, pki, server.port, "-enable_pha", identity=pki.mallory) as client,
    ):
        client.established()
        client.write("ask\n")
        client.wait_for("alert number 48")
        error = server.outcome().error
    assert isinstance(error, trustls.CertificateRejected)
    assert error.reason is trustls.CertificateProblem.UNKNOWN_ISSUER


@pytest.mark.parametrize("arguments", [[], ["-enable_pha", "-tls1_2"]], ids=["not offered", "TLS 1.2"])
def test_s_client_that_cannot_be_asked_is_left_alone(arguments: list[Argument], openssl: str, pki: PKI) -> None:
    with (
        ThreadedServer(server_config(pki), answer_by_name) as server,
        SClient(openssl, pki, server.port, *arguments, identity=pki.alice) as client,
    ):
        client.established()
        client.write("ask\n")
        error = server.outcome().error
    assert isinstance(error, trustls.ConfigError), "the handler's mistake, and no harm to the protocol"


def test_python_client_answers_with_its_certificate(pki: PKI) -> None:
    context = client_context(pki, pki.alice)
    context.post_handshake_auth = True
    with ThreadedServer(server_config(pki), answer_by_name) as server, ssl_client(context, server.port) as tls:
        for line, expected in (
            (b"before", b"before from nobody\n"),
            (b"ask", b"asked\n"),
            (b"after", b"after from CN=alice\n"),
            (b"ask", b"asked\n"),
            (b"again", b"again from CN=alice\n"),
        ):
            tls.sendall(line + b"\n")
            assert tls.recv(100) == expected
        tls.unwrap()
        assert server.outcome().peer.certificate == pki.alice.certificate


def answer_pages(tls: ServerSocket) -> None:
    """A web server, on which one page is for those alone who say who they are."""
    request = b""
    while b"\r\n\r\n" not in request:
        request += tls.recv()
    peer = None
    if request.startswith(b"GET /private "):
        tls.request_client_certificate()
        peer = tls.wait_for_client_certificate()
    body = ("nobody" if peer is None else peer.subject).encode()
    tls.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b" % (len(body), body))


@pytest.mark.parametrize(("page", "who"), [("public", "nobody"), ("private", "CN=alice")])
def test_curl_is_asked_for_the_page_that_needs_a_certificate(page: str, who: str, curl: str, pki: PKI) -> None:
    """It waits for the page, and sends no more data that could bring the server on."""
    with ThreadedServer(server_config(pki), answer_pages) as server:
        own: list[Argument] = ["--cert", pki.alice.chain_file, "--key", pki.alice.key_file]
        settings: list[Argument] = ["-sS", "--noproxy", "*", "--max-time", "10", "--cacert", pki.server_root_file]
        there = f"localhost:{server.port}:127.0.0.1"
        result = run([curl, *settings, "--resolve", there, *own, f"https://localhost:{server.port}/{page}"])
    assert (result.returncode, result.stdout) == (0, who), result.stderr


def test_gnutls_cli_answers_with_its_certificate(gnutls_cli: str, pki: PKI) -> None:
    with (
        ThreadedServer(server_config(pki), answer_by_name) as server,
        GnutlsCli(gnutls_cli, pki, server.port, "--post-handshake-auth", identity=pki.alice) as client,
    ):
        client.wait_for("Handshake was completed")
        for line, expected in (
            ("before", "before from nobody"),
            ("ask", "asked"),
            ("after", "after from CN=alice"),
        ):
            client.write(line + "\n")
            client.wait_for(f"^{expected}\n")
        client.finish()
        assert server.outcome().peer.certificate == pki.alice.certificate


# -- trustls is asked -------------------------------------------------------------------------------------------------


def client_config(pki: PKI, *identities: Identity, **options: Any) -> trustls.ClientConfig:
    """A client that may be asked after the handshake, and holds these certificates."""
    settings = {"roots": pki.server_roots, "post_handshake_auth": True, **options}
    return trustls.ClientConfig(credentials=[one.credential for one in identities], **settings)


def connect(pki: PKI, port: int, *identities: Identity, **options: Any) -> ClientSocket:
    """Connect with such a client."""
    config = client_config(pki, *identities, **options)
    return trustls.connect(("127.0.0.1", port), config, server_name="localhost", timeout=SECONDS)


class AskingServer(SSLServer):
    """A server of Python's `ssl` that asks when a client sends "ask", and answers all else by the client's name."""

    def __init__(self, pki: PKI, verify: ssl.VerifyMode = ssl.CERT_REQUIRED) -> None:
        context = server_context(pki, verify=verify)
        context.post_handshake_auth = True
        super().__init__(context, self._answer)
        self.refused: queue.Queue[str] = queue.Queue()

    def _answer(self, tls: ssl.SSLSocket) -> None:
        while line := tls.recv(100).strip():
            if line == b"ask":
                try:
                    tls.verify_client_post_handshake()
                except ssl.SSLError as error:
                    self.refused.put(str(error.reason))
                tls.sendall(b"asked\n")
                continue
            certificate: Any = tls.getpeercert()
            subject = dict(one[0] for one in certificate["subject"]) if certificate else {"commonName": "nobody"}
            tls.sendall(line + b" from " + subject["commonName"].encode() + b"\n")
        tls.unwrap()


def exchange(tls: ClientSocket, line: bytes) -> bytes:
    """Send a line, and read the answer."""
    tls.sendall(line + b"\n")
    data = b""
    while not data.endswith(b"\n"):
        part = tls.recv()
        assert part, f"the server closed after {data!r}"
        data += part
    return data


@pytest.mark.parametrize("key_type", KEY_TYPES)
def test_python_server_is_answered(key_type: KeyType, pki: PKI) -> None:
    identity = pki.client_with(key_type)
    with AskingServer(pki) as server, connect(pki, server.port, identity) as tls:
        assert exchange(tls, b"before") == b"before from nobody\n"
        assert tls.connection.requested is None
        assert exchange(tls, b"ask") == b"asked\n"
        assert tls.connection.requested is not None
        assert tls.connection.requested.authorities == (), "`ssl` names nobody"
        assert tls.connection.info.credential == identity.credential
        assert exchange(tls, b"after") == f"after from client-{key_type}\n".encode()


def test_python_server_is_answered_again_and_between_key_updates(pki: PKI) -> None:
    with AskingServer(pki) as server, connect(pki, server.port, pki.alice) as tls:
        for number in range(5):
            tls.update_keys(request_peer=bool(number % 2))
            assert exchange(tls, b"ask") == b"asked\n"
            assert exchange(tls, b"line") == b"line from alice\n"


def test_python_server_refuses_a_client_without_a_certificate(pki: PKI) -> None:
    with AskingServer(pki) as server:
        with connect(pki, server.port) as tls:
            assert exchange(tls, b"ask") == b"asked\n"
            with pytest.raises(trustls.CertificateRejectedByPeer) as caught:
                exchange(tls, b"after")
        assert caught.value.reason is trustls.CertificateProblem.NONE_PRESENTED
        assert "this client presented no certificate, for it has none" in str(caught.value)
        assert server.outcome().error is not None


def test_python_server_lets_a_client_without_a_certificate_stay_nobody(pki: PKI) -> None:
    with AskingServer(pki, ssl.CERT_OPTIONAL) as server, connect(pki, server.port) as tls:
        assert exchange(tls, b"ask") == b"asked\n"
        assert exchange(tls, b"after") == b"after from nobody\n"
        assert tls.connection.info.credential is None


def test_python_server_refuses_a_client_of_a_strange_authority(pki: PKI) -> None:
    with AskingServer(pki) as server, connect(pki, server.port, pki.mallory) as tls:
        assert exchange(tls, b"ask") == b"asked\n"
        with pytest.raises(trustls.CertificateRejectedByPeer) as caught:
            exchange(tls, b"after")
        assert caught.value.reason is trustls.CertificateProblem.UNKNOWN_ISSUER
        assert "this client presented CN=mallory" in str(caught.value)


def test_python_server_cannot_ask_a_client_that_does_not_offer(pki: PKI) -> None:
    with AskingServer(pki) as server:
        with connect(pki, server.port, pki.alice, post_handshake_auth=False) as tls:
            assert exchange(tls, b"ask") == b"asked\n"
            assert exchange(tls, b"after") == b"after from nobody\n"
        assert server.refused.get(timeout=SECONDS) == "EXTENSION_NOT_RECEIVED"


def test_s_server_is_answered_and_the_session_goes_on(openssl: str, pki: PKI) -> None:
    """It asks at its command "c", and prints the messages with -msg; tickets come before and after."""
    arguments: list[Argument] = ["-CAfile", pki.client_cas_file, "-verify_return_error", "-msg"]
    with SServer(openssl, pki.server, *arguments) as server, connect(pki, server.port, pki.alice) as tls:
        tls.sendall(b"before\n")
        server.wait_for("^before\n")
        for line in (b"first\n", b"second\n"):
            server.write("c\n")
            server.wait_for(r"^>>> TLS 1\.3, Handshake \[length [0-9a-f]+\], CertificateRequest\n")
            server.write("now\n")
            assert tls.recv_exactly(4) == b"now\n"  # Which is when this side reads the request, and answers.
            assert tls.connection.requested is not None
            assert tls.connection.requested.authorities == pki.client_ca_names
            server.wait_for(r"^<<< TLS 1\.3, Handshake \[length [0-9a-f]+\], Certificate\n")
            server.wait_for(r"^<<< TLS 1\.3, Handshake \[length [0-9a-f]+\], CertificateVerify\n")
            server.wait_for(r"^<<< TLS 1\.3, Handshake \[length [0-9a-f]+\], Finished\n")
            tls.update_keys(request_peer=False)  # With its own update owed, s_server 3.0 forgets to ask again.
            tls.sendall(line)
            server.wait_for(f"^{line.decode()}")
        assert tls.connection.info.credential == pki.alice.credential


def test_gnutls_serv_is_answered(gnutls_serv: str, pki: PKI) -> None:
    """It asks when it is sent **REAUTH**."""
    arguments = [f"--x509cafile={pki.client_cas_file}", "--disable-client-cert"]

    async def main() -> None:
        reader, writer = await trustls.aio.open_connection("localhost", server.port, client_config(pki, pki.alice))
        connection: trustls.ClientConnection = writer.get_extra_info("tls_connection")
        writer.write(b"before\n")
        assert await reader.readline() == b"before\n"
        assert connection.requested is None
        writer.write(b"**REAUTH**\n")
        assert b"Successfully executed command" in await reader.readline(), "it has asked, and was answered"
        assert connection.requested is not None
        assert connection.requested.authorities == pki.client_ca_names
        assert connection.info.credential == pki.alice.credential
        writer.write(b"after\n")
        assert await reader.readline() == b"after\n"
        writer.close()
        await writer.wait_closed()

    with GnutlsServ(gnutls_serv, pki.server, *arguments) as server:
        run_in_loop(main)
        server.wait_for(r"CERTIFICATE VERIFY \(15\) was received")


# -- Both, on asyncio -------------------------------------------------------------------------------------------------


class LateVerifier:
    """Verifies clients when the event loop has turned."""

    def __init__(self, pki: PKI) -> None:
        self._inner = trustls.ClientAuth.required(pki.client_roots).verifier
        self.hints = pki.client_ca_names

    async def verify_client(self, chain: tuple[trustls.Certificate, ...], *, now: float) -> trustls.Peer:
        await asyncio.sleep(0.01)
        assert self._inner is not None
        peer = self._inner.verify_client(chain, now=now)
        assert isinstance(peer, trustls.Peer)
        return peer


def test_streams_go_on_while_the_client_signs_and_the_server_verifies(pki: PKI) -> None:
    """The client writes all the time: nothing of that may come between the messages of its answer."""
    served: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        transport: Any = writer.transport
        connection: trustls.ServerConnection = transport.get_extra_info("tls_connection")
        with contextlib.suppress(asyncio.IncompleteReadError):
            while line := await reader.readuntil(b"\n"):
                if line == b"ask\n" and connection.can_request_client_certificate:
                    transport.request_client_certificate()
                served.append(b"nobody" if connection.peer is None else connection.peer.subject.encode())
                writer.write(line)
        writer.close()

    async def main() -> None:
        issued = pki.alice.issued
        config = trustls.ClientConfig(
            roots=pki.server_roots,
            credentials=[trustls.Credential(issued.chain, LateSigner(issued.key))],
            post_handshake_auth=True,
        )
        auth = trustls.ClientAuth.custom(LateVerifier(pki))
        async with await trustls.aio.start_server(serve, "localhost", 0, server_config(pki, auth)) as server:
            port = server.sockets[0].getsockname()[1]
            reader, writer = await trustls.aio.open_connection(
                "127.0.0.1", port, config=config, server_name="localhost"
            )
            writer.write(b"before\n")
            assert await reader.readline() == b"before\n"
            for _ in range(200):
                writer.write(b"ask\n")
                await writer.drain()
                await asyncio.sleep(0.0005)
            for _ in range(200):
                assert await reader.readline() == b"ask\n"
            writer.close()
            await writer.wait_closed()

    run_in_loop(main)
    assert served[0] == b"nobody"
    assert served[-1] == b"CN=alice"
