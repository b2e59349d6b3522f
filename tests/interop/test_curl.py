"""The trustls server as curl sees it: one small HTTP response, on the public API alone."""

from __future__ import annotations

import os
import subprocess

import pytest

import trustls
from tests.support.pki import PKI, Identity
from tests.support.processes import Argument, run
from tests.support.servers import ServerSocket, ThreadedServer


def answer_with_name(tls: ServerSocket) -> None:
    """Answer one request with who asked for it."""
    request = b""
    while b"\r\n\r\n" not in request:
        part = tls.recv()
        if not part:
            return
        request += part
    peer = tls.connection.peer
    body = f"{request.split(maxsplit=2)[1].decode()} by {peer.subject if peer else 'nobody'}\n".encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
    tls.sendall(head + body)


def fetch(
    curl: str, pki: PKI, server: ThreadedServer, *arguments: Argument, identity: Identity | None = None
) -> subprocess.CompletedProcess[str]:
    """curl, trusting the test's server root."""
    own: list[Argument] = []
    if identity is not None:
        own = ["--cert", identity.chain_file, "--key", identity.key_file]
    url = f"https://localhost:{server.port}/page"
    resolve = f"localhost:{server.port}:127.0.0.1"
    settings = ["-sS", "--noproxy", "*", "--max-time", "10", "--resolve", resolve]
    return run([curl, *settings, "--cacert", pki.server_root_file, *own, *arguments, url])


def mutual(pki: PKI, **options: object) -> trustls.ServerConfig:
    """A server that lets clients of K-Dot and The Roots in."""
    return trustls.ServerConfig(
        credentials=[pki.server.credential],
        client_auth=pki.required(),
        alpn=["http/1.1"],
        **options,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("who", ["alice", "bob"])
def test_curl_gets_in_with_a_certificate(who: str, curl: str, pki: PKI) -> None:
    identity = {"alice": pki.alice, "bob": pki.bob}[who]
    with ThreadedServer(mutual(pki), answer_with_name) as server:
        result = fetch(curl, pki, server, "--tlsv1.3", identity=identity)
        outcome = server.outcome()
    assert (result.returncode, result.stdout) == (0, f"/page by CN={who}\n"), result.stderr
    assert outcome.peer.certificate == identity.certificate
    assert outcome.connection.info.alpn == "http/1.1", "curl offers h2 and http/1.1, the server has only the second"
    assert outcome.connection.info.server_name == "localhost"


def test_curl_is_told_that_its_certificate_is_of_an_unknown_ca(curl: str, pki: PKI) -> None:
    with ThreadedServer(mutual(pki), answer_with_name) as server:
        result = fetch(curl, pki, server, identity=pki.mallory)
        error = server.outcome().error
    assert result.returncode != 0, "curl must fail"
    assert result.stdout == "", "nobody who is refused gets a page"
    assert "unknown ca" in result.stderr.lower(), result.stderr
    assert isinstance(error, trustls.CertificateRejected)


def test_curl_is_told_that_a_certificate_is_required(curl: str, pki: PKI) -> None:
    with ThreadedServer(mutual(pki), answer_with_name) as server:
        result = fetch(curl, pki, server)
        error = server.outcome().error
    assert result.returncode != 0, "curl must fail"
    assert result.stdout == "", "nobody who is refused gets a page"
    assert "certificate required" in result.stderr.lower(), result.stderr
    assert isinstance(error, trustls.CertificateRejected)


def test_curl_without_a_certificate_gets_in_where_that_is_optional(curl: str, pki: PKI) -> None:
    config = trustls.ServerConfig(
        credentials=[pki.server.credential], client_auth=trustls.ClientAuth.optional(pki.client_roots)
    )
    with ThreadedServer(config, answer_with_name) as server:
        result = fetch(curl, pki, server)
    assert (result.returncode, result.stdout) == (0, "/page by nobody\n"), result.stderr


def test_curl_refuses_a_server_of_an_unknown_ca_and_says_so(curl: str, pki: PKI) -> None:
    config = trustls.ServerConfig(credentials=[pki.server_of_other.credential])
    with ThreadedServer(config, answer_with_name) as server:
        result = fetch(curl, pki, server)
        error = server.outcome().error
    assert result.returncode == 60, "curl's code for a certificate that does not verify"
    assert isinstance(error, trustls.AlertReceived), f"the server must learn why it was refused, but saw {error!r}"
    assert error.description is trustls.AlertDescription.UNKNOWN_CA


def test_curl_uploads_a_large_body(curl: str, pki: PKI, tmp_path_factory: pytest.TempPathFactory) -> None:
    """More than one record, with a retry of the key exchange before it."""
    content = os.urandom(1 << 20)
    file = tmp_path_factory.mktemp("upload") / "body"
    file.write_bytes(content)
    received: list[bytes] = []

    def take_body(tls: ServerSocket) -> None:
        request = b""
        while b"\r\n\r\n" not in request:
            request += tls.recv()
        _head, _, body = request.partition(b"\r\n\r\n")
        received.append(body + tls.recv_exactly(len(content) - len(body)))
        tls.sendall(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")

    with ThreadedServer(mutual(pki, groups=["secp521r1"]), take_body) as server:
        result = fetch(curl, pki, server, "-H", "Expect:", "--data-binary", f"@{file}", identity=pki.alice)
        outcome = server.outcome()
    assert result.returncode == 0, result.stderr
    assert received == [content], "the body was changed on the way"
    assert outcome.connection.info.retried, "curl's first share is not of P-521"
