"""The trustls server as curl sees it: one small HTTP response, on the public API alone."""

from __future__ import annotations

import functools
import os
import subprocess
from pathlib import Path

import pytest

import trustls
from tests.interop.matrix.recording import OURS, THEIRS, VERSION
from tests.interop.matrix.scenarios import ONLY_TLS13, Role, Scenario
from tests.interop.matrix.talking import LARGE
from tests.support.pki import PKI, Identity
from tests.support.processes import Argument, run
from tests.support.servers import Handler, ServerSocket, ThreadedServer
from tests.support.squares import Record, curl_version, square, squares
from tests.support.watching import Watch
from trustls.cli.pki import KeyType


@pytest.fixture(autouse=True)
def told(curl: str, record_property: Record) -> None:
    record_property(VERSION, curl_version(curl))


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


@square("curl", Scenario.MUTUAL, Role.SERVER, "1.3")
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


@square("curl", Scenario.WRONG, Role.SERVER, "1.3")
def test_curl_is_told_that_its_certificate_is_of_an_unknown_ca(curl: str, pki: PKI, record_property: Record) -> None:
    with ThreadedServer(mutual(pki), answer_with_name) as server:
        result = fetch(curl, pki, server, identity=pki.mallory)
        error = server.outcome().error
    record_property(OURS, error)
    record_property(THEIRS, result.stderr)
    assert result.returncode != 0, "curl must fail"
    assert result.stdout == "", "nobody who is refused gets a page"
    assert "unknown ca" in result.stderr.lower(), result.stderr
    assert isinstance(error, trustls.CertificateRejected)


@square("curl", Scenario.MISSING, Role.SERVER, "1.3")
def test_curl_is_told_that_a_certificate_is_required(curl: str, pki: PKI, record_property: Record) -> None:
    with ThreadedServer(mutual(pki), answer_with_name) as server:
        result = fetch(curl, pki, server)
        error = server.outcome().error
    record_property(OURS, error)
    record_property(THEIRS, result.stderr)
    assert result.returncode != 0, "curl must fail"
    assert result.stdout == "", "nobody who is refused gets a page"
    assert "certificate required" in result.stderr.lower(), result.stderr
    assert isinstance(error, trustls.CertificateRejected)


@square("curl", Scenario.OPTIONAL, Role.SERVER, "1.3")
def test_curl_without_a_certificate_gets_in_where_that_is_optional(curl: str, pki: PKI) -> None:
    config = trustls.ServerConfig(
        credentials=[pki.server.credential], client_auth=trustls.ClientAuth.optional(pki.client_roots)
    )
    with ThreadedServer(config, answer_with_name) as server:
        result = fetch(curl, pki, server)
    assert (result.returncode, result.stdout) == (0, "/page by nobody\n"), result.stderr


@square("curl", Scenario.UNTRUSTED, Role.SERVER, "1.3")
def test_curl_refuses_a_server_of_an_unknown_ca_and_says_so(curl: str, pki: PKI, record_property: Record) -> None:
    config = trustls.ServerConfig(credentials=[pki.server_of_other.credential])
    with ThreadedServer(config, answer_with_name) as server:
        result = fetch(curl, pki, server)
        error = server.outcome().error
    record_property(OURS, error)
    record_property(THEIRS, result.stderr)
    assert result.returncode == 60, "curl's code for a certificate that does not verify"
    assert isinstance(error, trustls.AlertReceived), f"the server must learn why it was refused, but saw {error!r}"
    assert error.description is trustls.AlertDescription.UNKNOWN_CA


@square("curl", Scenario.RETRY, Role.SERVER, "1.3")
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


# -- In both versions -------------------------------------------------------------------------------------------------


@squares("curl", Scenario.HANDSHAKE, Role.SERVER)
def test_curl_speaks_the_version_of_the_server(version: str, curl: str, pki: PKI) -> None:
    config = trustls.ServerConfig(credentials=[pki.server.credential], versions=[version], alpn=["http/1.1"])
    with ThreadedServer(config, answer_with_name) as server:
        result = fetch(curl, pki, server)
        info = server.outcome().connection.info
    assert (result.returncode, result.stdout) == (0, "/page by nobody\n"), result.stderr
    assert (str(info.version), info.alpn) == (f"TLSv{version}", "http/1.1")


def check_key(key_type: KeyType, version: str, curl: str, pki: PKI) -> None:
    """Both sides have such a key."""
    config = trustls.ServerConfig(
        credentials=[pki.server_with(key_type).credential], client_auth=pki.required(), versions=[version]
    )
    with ThreadedServer(config, answer_with_name) as server:
        result = fetch(curl, pki, server, identity=pki.client_with(key_type))
    assert (result.returncode, result.stdout) == (0, f"/page by CN=client-{key_type}\n"), result.stderr


@squares("curl", Scenario.KEY_TYPES, Role.SERVER)
def test_curl_with_other_keys(version: str, curl: str, pki: PKI) -> None:
    for key_type in (KeyType.RSA_2048, KeyType.EC_P384):
        check_key(key_type, version, curl, pki)


@squares("curl", Scenario.ED25519, Role.SERVER)
def test_curl_with_ed25519(version: str, curl: str, pki: PKI) -> None:
    check_key(KeyType.ED25519, version, curl, pki)


@squares("curl", Scenario.NO_NAMES, Role.SERVER)
def test_curl_answers_a_request_without_names(version: str, curl: str, pki: PKI) -> None:
    config = trustls.ServerConfig(
        credentials=[pki.server.credential], client_auth=pki.required(hints=()), versions=[version]
    )
    with ThreadedServer(config, answer_with_name) as server:
        result = fetch(curl, pki, server, identity=pki.alice)
    assert (result.returncode, result.stdout) == (0, "/page by CN=alice\n"), result.stderr


def echo_body(tls: ServerSocket, *, update_every: int = 0) -> None:
    """Send an upload back while it comes, with new keys every so many pieces."""
    request = b""
    while b"\r\n\r\n" not in request:
        request += tls.recv()
    head, _, body = request.partition(b"\r\n\r\n")
    left = int(head.lower().partition(b"content-length:")[2].split(maxsplit=1)[0])
    tls.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {left}\r\nConnection: close\r\n\r\n".encode())
    pieces = 0
    while left:
        body = body or tls.recv()
        pieces += 1
        if update_every and pieces % update_every == 0:
            tls.update_keys(request_peer=True)
        tls.sendall(body)
        left -= len(body)
        body = b""


def check_upload(size: int, handler: Handler, version: str, curl: str, pki: PKI, folder: Path) -> None:
    """What curl uploads it gets back unchanged."""
    sent, got = folder / "sent", folder / "got"
    sent.write_bytes(os.urandom(1 << 20) * (size >> 20))
    config = trustls.ServerConfig(credentials=[pki.server.credential], versions=[version])
    with ThreadedServer(config, handler) as server:
        result = fetch(curl, pki, server, "-H", "Expect:", "-T", sent, "-o", got)
        assert server.outcome().error is None
    assert result.returncode == 0, result.stderr
    assert got.read_bytes() == sent.read_bytes(), "what came back differs from what was sent"


@squares("curl", Scenario.LARGE, Role.SERVER)
def test_curl_uploads_and_downloads_at_once(version: str, curl: str, pki: PKI, tmp_path: Path) -> None:
    check_upload(LARGE, echo_body, version, curl, pki, tmp_path)


@squares("curl", Scenario.OUR_UPDATE, Role.SERVER, ONLY_TLS13)
def test_server_changes_its_keys_under_curl(version: str, curl: str, pki: PKI, tmp_path: Path) -> None:
    with Watch() as watch:
        check_upload(4 << 20, functools.partial(echo_body, update_every=3), version, curl, pki, tmp_path)
    ways = [event.direction for event in watch.take() if type(event.message).__name__ == "KeyUpdate"]
    assert ways.count("sent") >= 3
    assert ways.count("received") >= 2, "curl answers while it uploads"


@squares("curl", Scenario.CLOSE, Role.SERVER)
def test_close_by_the_server_and_by_curl(version: str, curl: str, pki: PKI) -> None:
    def keep_open(tls: ServerSocket) -> None:
        tls.recv()
        tls.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes")
        assert tls.recv() == b"", "curl closes with a close_notify"

    config = trustls.ServerConfig(credentials=[pki.server.credential], versions=[version])
    for handler in (answer_with_name, keep_open):
        with ThreadedServer(config, handler) as server:
            result = fetch(curl, pki, server)
            assert server.outcome().error is None
        assert result.returncode == 0, result.stderr
