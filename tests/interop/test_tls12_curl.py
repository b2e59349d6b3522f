"""The trustls server in TLS 1.2, as curl sees it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

import trustls
from tests.interop.matrix.recording import OURS, THEIRS, VERSION
from tests.interop.matrix.scenarios import Role, Scenario
from tests.support.pki import PKI, Identity
from tests.support.processes import Argument, run
from tests.support.servers import ServerSocket, ThreadedServer
from tests.support.squares import Record, curl_version, square

TLS12 = trustls.ProtocolVersion.TLS1_2


@pytest.fixture(autouse=True)
def told(curl: str, record_property: Record) -> None:
    record_property(VERSION, curl_version(curl))


def of(scenario: Scenario, version: str = "1.2") -> pytest.MarkDecorator:
    """Which square of docs/interop.md a test is."""
    return square("curl", scenario, Role.SERVER, version)


def answer_with_name(tls: ServerSocket) -> None:
    """Answer one request with who asked for it."""
    request = b""
    while b"\r\n\r\n" not in request:
        part = tls.recv()
        if not part:
            return
        request += part
    peer = tls.connection.peer
    body = f"{tls.connection.info.version} for {peer.subject if peer else 'nobody'}\n".encode()
    tls.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)


def fetch(
    curl: str, pki: PKI, server: ThreadedServer, *arguments: Argument, identity: Identity | None = None
) -> subprocess.CompletedProcess[str]:
    """curl, trusting the test's server root."""
    own: list[Argument] = []
    if identity is not None:
        own = ["--cert", identity.chain_file, "--key", identity.key_file]
    settings = ["-sS", "--noproxy", "*", "--max-time", "10", "--resolve", f"localhost:{server.port}:127.0.0.1"]
    url = f"https://localhost:{server.port}/page"
    return run([curl, *settings, "--cacert", pki.server_root_file, *own, *arguments, url])


def mutual(pki: PKI, **options: object) -> trustls.ServerConfig:
    """A server that lets clients of K-Dot and The Roots in."""
    settings: dict[str, object] = {"client_auth": pki.required(), "alpn": ["http/1.1"], **options}
    return trustls.ServerConfig(credentials=[pki.server.credential], **settings)  # type: ignore[arg-type]


@of(Scenario.MUTUAL)
@pytest.mark.parametrize("who", ["alice", "bob"])
def test_curl_gets_in_with_a_certificate(who: str, curl: str, pki: PKI) -> None:
    identity = {"alice": pki.alice, "bob": pki.bob}[who]
    with ThreadedServer(mutual(pki), answer_with_name) as server:
        result = fetch(curl, pki, server, "--tls-max", "1.2", identity=identity)
        outcome = server.outcome()
    assert (result.returncode, result.stdout) == (0, f"TLSv1.2 for CN={who}\n"), result.stderr
    assert outcome.peer.certificate == identity.certificate
    assert outcome.connection.info.alpn == "http/1.1"


@pytest.mark.parametrize(
    ("versions", "arguments", "spoken"),
    [
        (["1.2", "1.3"], [], "TLSv1.3"),
        (["1.2"], [], "TLSv1.2"),
        (["1.3"], [], "TLSv1.3"),
        (["1.3"], ["--tls-max", "1.2"], None),
        (["1.2"], ["--tlsv1.3"], None),
    ],
)
def test_versions(versions: list[str], arguments: list[str], spoken: str | None, curl: str, pki: PKI) -> None:
    with ThreadedServer(mutual(pki, versions=versions), answer_with_name) as server:
        result = fetch(curl, pki, server, *arguments, identity=pki.alice)
        error = server.outcome().error
    if spoken is None:
        assert result.returncode == 35, "curl's code for a handshake that failed"
        assert "protocol version" in result.stderr
        assert isinstance(error, trustls.PeerIncompatible)
    else:
        assert result.stdout == f"{spoken} for CN=alice\n", result.stderr


@pytest.mark.parametrize(
    ("who", "words"),
    [
        pytest.param("mallory", "unknown ca", marks=of(Scenario.WRONG)),
        pytest.param("nobody", "handshake failure", marks=of(Scenario.MISSING)),
    ],
)
def test_curl_is_refused_and_told_why(who: str, words: str, curl: str, pki: PKI, record_property: Record) -> None:
    with ThreadedServer(mutual(pki), answer_with_name) as server:
        identity = pki.mallory if who == "mallory" else None
        result = fetch(curl, pki, server, "--tls-max", "1.2", identity=identity)
        error = server.outcome().error
    record_property(OURS, error)
    record_property(THEIRS, result.stderr)
    assert result.returncode != 0, "curl must fail"
    assert result.stdout == "", "nobody who is refused gets a page"
    assert words in result.stderr.lower(), result.stderr
    assert isinstance(error, trustls.CertificateRejected)


@of(Scenario.UNTRUSTED)
def test_curl_refuses_a_server_of_an_unknown_ca_and_says_so(curl: str, pki: PKI, record_property: Record) -> None:
    config = trustls.ServerConfig(credentials=[pki.server_of_other.credential])
    with ThreadedServer(config, answer_with_name) as server:
        result = fetch(curl, pki, server, "--tls-max", "1.2")
        error = server.outcome().error
    record_property(OURS, error)
    record_property(THEIRS, result.stderr)
    assert result.returncode == 60, "curl's code for a certificate that does not verify"
    assert isinstance(error, trustls.AlertReceived), f"the server must learn why it was refused, but saw {error!r}"
    assert error.description is trustls.AlertDescription.UNKNOWN_CA


def test_curl_uploads_a_large_body(curl: str, pki: PKI, tmp_path: Path) -> None:
    content = os.urandom(1 << 20)
    (tmp_path / "body").write_bytes(content)
    received: list[bytes] = []

    def take_body(tls: ServerSocket) -> None:
        request = b""
        while b"\r\n\r\n" not in request:
            request += tls.recv()
        _head, _, body = request.partition(b"\r\n\r\n")
        received.append(body + tls.recv_exactly(len(content) - len(body)))
        tls.sendall(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")

    with ThreadedServer(mutual(pki), take_body) as server:
        upload: list[Argument] = ["-H", "Expect:", "--data-binary", f"@{tmp_path / 'body'}"]
        result = fetch(curl, pki, server, "--tls-max", "1.2", *upload, identity=pki.alice)
        info = server.outcome().connection.info
    assert result.returncode == 0, result.stderr
    assert info.version is TLS12
    assert received == [content], "the body was changed on the way"


@pytest.mark.parametrize(
    ("version", "policy", "resumes"),
    [
        pytest.param("1.2", "stored", True, marks=of(Scenario.RESUMPTION, "1.2")),
        pytest.param("1.2", "tickets", False),
        pytest.param("1.3", "stored", True, marks=of(Scenario.RESUMPTION, "1.3")),
        pytest.param("1.3", "tickets", True, marks=of(Scenario.RESUMPTION, "1.3")),
    ],
)
def test_curl_resumes_within_one_run(version: str, policy: str, resumes: bool, curl: str, pki: PKI) -> None:
    """It does not say so, but the server knows. In TLS 1.2 it takes no tickets, only session ids."""
    resumption = trustls.StoredSessions() if policy == "stored" else trustls.Tickets()
    with ThreadedServer(mutual(pki, versions=[version], resumption=resumption), answer_with_name) as server:
        result = fetch(curl, pki, server, f"https://localhost:{server.port}/again", identity=pki.alice)
        outcomes = [server.outcome(), server.outcome()]
    assert result.stdout == f"TLSv{version} for CN=alice\n" * 2, result.stderr
    assert [one.connection.info.resumed for one in outcomes] == [False, resumes]
    assert [one.peer.subject for one in outcomes] == ["CN=alice"] * 2


@of(Scenario.OPTIONAL)
def test_curl_without_a_certificate_gets_in_where_that_is_optional(curl: str, pki: PKI) -> None:
    config = mutual(pki, client_auth=trustls.ClientAuth.optional(pki.client_roots))
    with ThreadedServer(config, answer_with_name) as server:
        result = fetch(curl, pki, server, "--tls-max", "1.2")
    assert (result.returncode, result.stdout) == (0, "TLSv1.2 for nobody\n"), result.stderr
