"""`--tls`, `--reconnect` and `--no-resumption` of `trustls serve` and `trustls connect`."""

from __future__ import annotations

import re
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import trustls as library
from tests.cli.command import serving
from tests.cli.command import trustls as run
from tests.support.processes import PeerProcess
from tests.support.servers import ServerSocket, ThreadedServer

ALICE = ("--cert", "{pki}/alice.pem", "--key", "{pki}/alice-key.pem")
VERSIONS = ("1.2", "1.3")


def connect(pki: Path, address: str, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[str]:
    """`trustls connect`, trusting the test CA."""
    filled = [argument.format(pki=pki) for argument in arguments]
    return run("connect", address, "--ca", pki / "ca.pem", *filled, stdin=stdin)


def openssl_visits(openssl: str, pki: Path, port: int) -> list[str]:
    """What s_client says of its six connections with -reconnect: New or Reused."""
    where = ("-connect", f"127.0.0.1:{port}", "-CAfile", pki / "ca.pem")
    with PeerProcess([openssl, "s_client", *where, "-tls1_2", "-reconnect"]) as client:
        said = [client.wait_for(r"^(New|Reused), TLS")[1].decode() for _ in range(6)]
        client.write("Q\n")
        assert client.wait() == 0
    return said


# -- Versions ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("server_says", "client_says", "spoken"),
    [
        ([], [], "TLSv1.3"),
        (["--tls", "1.2"], [], "TLSv1.2"),
        ([], ["--tls", "1.2"], "TLSv1.2"),
        (["--tls", "1.3"], [], "TLSv1.3"),
        (["--tls", "1.2", "--tls", "1.3"], ["--tls", "1.3", "--tls", "1.2"], "TLSv1.3"),
    ],
)
def test_newest_version_that_both_allow_is_spoken(
    server_says: list[str], client_says: list[str], spoken: str, pki: Path
) -> None:
    with serving(pki, "--client-ca", pki / "ca.pem", *server_says) as server:
        result = connect(pki, server.address, *ALICE, *client_says, stdin=b"hello")
        output = server.stop()
    assert (result.returncode, result.stdout) == (0, "hello"), result.stderr
    assert spoken in result.stderr
    assert "CN=Test CA,O=Testers,C=US" in result.stderr, "the CA names are shown, whatever the version"
    assert "✓  alice" in result.stderr
    assert spoken in output
    assert "client CN=alice" in output


@pytest.mark.parametrize(("server_says", "client_says"), [("1.2", "1.3"), ("1.3", "1.2")])
def test_no_common_version_is_exit_code_1_and_said_on_both_sides(server_says: str, client_says: str, pki: Path) -> None:
    with serving(pki, "--tls", server_says) as server:
        result = connect(pki, server.address, "--tls", client_says)
        output = server.stop()
    assert result.returncode == 1
    assert "protocol_version" in result.stderr
    assert f"the client speaks TLSv{client_says}, this server TLSv{server_says}" in output


@pytest.mark.parametrize("command", ["serve", "connect"])
def test_older_versions_cannot_be_asked_for(command: str) -> None:
    result = run(command, "localhost:1", "--tls", "1.1")
    assert result.returncode == 2
    assert "'1.1' is not one of '1.2', '1.3'" in result.stderr


def test_client_without_a_certificate_is_refused_in_tls12_too(pki: Path) -> None:
    with serving(pki, "--client-ca", pki / "ca.pem") as server:
        result = connect(pki, server.address, "--tls", "1.2")
        output = server.stop()
    assert result.returncode == 1
    assert "handshake_failure" in result.stderr
    assert "no certificate was presented" in output


def test_trace_names_the_messages_of_tls12_as_the_rfc_does(pki: Path) -> None:
    with serving(pki, "--client-ca", pki / "ca.pem", "--trace", "--tls", "1.2") as server:
        result = connect(pki, server.address, "--trace", *ALICE)
        output = server.stop()
    handshake = [
        *("ClientHello", "ServerHello", "Certificate", "ServerKeyExchange", "CertificateRequest", "ServerHelloDone"),
        *("Certificate", "ClientKeyExchange", "CertificateVerify", "Finished", "NewSessionTicket", "Finished"),
    ]
    assert re.findall(r"^client (?:sent|received) (\w+) \(", result.stderr, re.MULTILINE) == handshake
    assert re.findall(r"^server (?:sent|received) (\w+) \(", output, re.MULTILINE) == handshake
    for text in (result.stderr, output):
        assert "certificate_types: ecdsa_sign, rsa_sign" in text
        assert "CN=Test CA,O=Testers,C=US" in text
        assert "CN=alice" in text


# -- Resumption -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
def test_reconnect_resumes_and_both_sides_say_so(version: str, pki: Path) -> None:
    with serving(pki, "--client-ca", pki / "ca.pem", "--tls", version) as server:
        result = connect(pki, server.address, *ALICE, "--reconnect", "2", stdin=b"the last one speaks")
        output = server.stop()
    assert (result.returncode, result.stdout) == (0, "the last one speaks"), result.stderr
    again = [line for line in result.stderr.splitlines() if line.startswith("connected again")]
    assert len(again) == 2
    assert all(line.endswith("resumed") and f"TLSv{version}" in line for line in again), again
    served = [line for line in output.splitlines() if f"TLSv{version}" in line]
    assert ["resumed" in line for line in served] == [False, True, True]
    assert all("client CN=alice" in line for line in served), "who resumes is still known"


@pytest.mark.parametrize("version", VERSIONS)
def test_server_may_be_told_to_resume_nothing(version: str, pki: Path) -> None:
    with serving(pki, "--client-ca", pki / "ca.pem", "--tls", version, "--no-resumption") as server:
        result = connect(pki, server.address, *ALICE, "--reconnect", "1")
        output = server.stop()
    assert result.returncode == 0, result.stderr
    assert "connected again" in result.stderr
    assert "a full handshake, not resumed" in result.stderr
    assert "resumed" not in output
    assert output.count("client CN=alice") == 2


def test_openssl_reconnects_to_the_server(pki: Path, require_peer: Callable[[str], str]) -> None:
    openssl = require_peer("openssl")
    with serving(pki) as server:
        assert openssl_visits(openssl, pki, server.port) == ["New", *["Reused"] * 5]
        assert server.stop().count("resumed") == 5
    with serving(pki, "--no-resumption") as server:
        assert openssl_visits(openssl, pki, server.port) == ["New"] * 6


def test_page_says_that_the_connection_was_resumed(pki: Path) -> None:
    request = b"GET / HTTP/1.1\r\n\r\n"
    with serving(pki, "--www") as server:
        first = connect(pki, server.address, "-q", stdin=request)
        again = connect(pki, server.address, "-q", "--reconnect", "1", stdin=request)
    assert "<th>resumed</th>" not in first.stdout
    assert "<th>resumed</th><td>yes</td>" in again.stdout
    assert again.stderr == "", "-q says nothing of the other connections either"


def test_refusal_that_comes_late_is_not_lost_before_the_next_connection(pki: Path) -> None:
    """In TLS 1.3 the client is done before the server has judged it."""
    with serving(pki, "--client-ca", pki / "ca.pem") as server:
        result = connect(pki, server.address, "--reconnect", "3")
    assert result.returncode == 1
    assert "certificate_required" in result.stderr
    assert "connected again" not in result.stderr


@pytest.mark.parametrize("talks", [True, False], ids=["talks on", "is silent"])
def test_server_that_does_not_close_does_not_hold_up_the_next_connection(talks: bool, pki: Path) -> None:
    done = threading.Event()

    def never_close(tls: ServerSocket) -> None:
        while not done.wait(0.05):
            if talks:
                tls.sendall(b"and another thing\n")

    credential = library.Credential.from_pem(chain=pki / "server.pem", key=pki / "server-key.pem")
    config = library.ServerConfig(credentials=[credential])
    with ThreadedServer(config, never_close) as server:
        ending = threading.Timer(2.5, done.set)
        ending.start()
        started = time.monotonic()
        result = connect(pki, f"localhost:{server.port}", "--reconnect", "1")
        assert time.monotonic() - started < 10
        ending.join()
    assert "connected again" in result.stderr
    assert "resumed" in result.stderr
