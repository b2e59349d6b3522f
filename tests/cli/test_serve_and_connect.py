"""`trustls serve` and `trustls connect`, with each other and with curl and openssl."""

from __future__ import annotations

import concurrent.futures
import contextlib
import os
import shlex
import signal
import socket
import stat
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

import pytest
from cryptography.hazmat.primitives import serialization

from tests.cli.command import COMMAND, SECONDS, serving
from tests.cli.command import trustls as run

ALICE = ("--cert", "{pki}/alice.pem", "--key", "{pki}/alice-key.pem")
MALLORY = ("--cert", "{pki}/mallory.pem", "--key", "{pki}/mallory-key.pem")


def connect(pki: Path, address: str, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[str]:
    """`trustls connect`, trusting the test CA."""
    filled = [argument.format(pki=pki) for argument in arguments]
    return run("connect", address, "--ca", pki / "ca.pem", *filled, stdin=stdin)


def test_data_is_piped_through_and_comes_back(pki: Path) -> None:
    data = bytes(range(32, 127)) * 3000
    with serving(pki) as server:
        result = connect(pki, server.address, stdin=data)
        output = server.stop()
    assert result.returncode == 0, result.stderr
    assert result.stdout.encode() == data
    assert "no client certificate" in output
    assert server.exit_code == 0


def test_slow_reader_slows_the_pipe_down_and_does_not_stop_it(pki: Path) -> None:
    data = os.urandom(1 << 20) * 24  # More than the socket buffers of both directions hold.
    with serving(pki) as server:
        command = subprocess.Popen(
            [*COMMAND, "connect", server.address, "--ca", pki / "ca.pem", "-q"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        with command:
            try:
                assert command.stdin is not None
                assert command.stdout is not None
                writer = threading.Thread(target=_write_all, args=(command.stdin, data), daemon=True)
                writer.start()
                time.sleep(1)
                reader = concurrent.futures.ThreadPoolExecutor(1)
                assert reader.submit(command.stdout.read).result(15) == data
                assert command.wait(5) == 0
            finally:
                command.kill()


def _write_all(stream: IO[bytes], data: bytes) -> None:
    with contextlib.suppress(BrokenPipeError), stream:
        stream.write(data)


def test_connect_shows_what_was_asked_for_and_what_was_chosen(pki: Path) -> None:
    with serving(pki, "--client-ca", pki / "ca.pem", "--alpn", "demo/1") as server:
        result = connect(pki, server.address, *MALLORY, *ALICE, "--alpn", "demo/1", stdin=b"hi")
        output = server.stop()
    assert (result.returncode, result.stdout) == (0, "hi"), result.stderr
    for fact in ("TLSv1.3", "demo/1", "CN=Test CA,O=Testers,C=US", "CN=localhost"):
        assert fact in result.stderr
    assert "✗  mallory  it was issued by CN=Other CA" in result.stderr
    assert "✓  alice" in result.stderr
    assert "client CN=alice" in output


def test_quiet_connect_says_nothing(pki: Path) -> None:
    with serving(pki) as server:
        assert connect(pki, server.address, "-q").stderr == ""


def test_client_without_a_certificate_is_refused_with_exit_code_1(pki: Path) -> None:
    with serving(pki, "--client-ca", pki / "ca.pem") as server:
        result = connect(pki, server.address)
        output = server.stop()
    assert result.returncode == 1
    assert "certificate_required" in result.stderr
    assert "no certificate was presented" in output


def test_optional_client_auth_lets_both_in(pki: Path) -> None:
    with serving(pki, "--client-ca", pki / "ca.pem", "--optional-client-auth") as server:
        assert connect(pki, server.address, *ALICE).returncode == 0
        assert connect(pki, server.address).returncode == 0
        output = server.stop()
    assert "client CN=alice" in output
    assert "no client certificate" in output


def test_server_with_a_certificate_for_another_name_is_refused(pki: Path) -> None:
    with serving(pki, cert="elsewhere") as server:
        refused = connect(pki, server.address)
        accepted = connect(pki, server.address, "--servername", "elsewhere.example")
        output = server.stop()
    assert refused.returncode == 1
    assert "localhost" in refused.stderr
    assert "elsewhere.example" in refused.stderr
    assert accepted.returncode == 0
    assert "bad_certificate" in output, "the server learns from the alert why it was refused"


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ([], ["C = US, O = Testers, CN = Test CA"]),
        (["--hint", "CN=New CA,O=Us"], ["O = Us, CN = New CA"]),
        (
            ["--hint", "{pki}/other-ca.pem", "--hint", "{pki}/ca.pem"],
            ["CN = Other CA", "C = US, O = Testers, CN = Test CA"],
        ),
        (["--no-hints"], []),
    ],
)
def test_openssl_sees_the_hints_that_were_asked_for(
    options: list[str], names: list[str], pki: Path, require_peer: Callable[[str], str]
) -> None:
    openssl = require_peer("openssl")
    filled = [option.format(pki=pki) for option in options]
    with serving(pki, "--client-ca", pki / "ca.pem", *filled) as server:
        seen = subprocess.run(
            [openssl, "s_client", "-connect", f"127.0.0.1:{server.port}", "-CAfile", pki / "ca.pem"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        ).stdout
    if names:
        block = "Acceptable client certificate CA names\n" + "\n".join(names) + "\nRequested"
        assert block in seen
    else:
        assert "No client certificate CA names sent" in seen


def curl(curl_path: str, pki: Path, port: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    """curl, trusting the test CA."""
    filled = [argument.format(pki=pki) for argument in arguments]
    return subprocess.run(
        [curl_path, "-sS", "--max-time", "15", "--cacert", pki / "ca.pem", *filled, f"https://localhost:{port}/"],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def test_curl_gets_a_page_that_names_its_certificate(pki: Path, require_peer: Callable[[str], str]) -> None:
    path = require_peer("curl")
    with serving(pki, "--client-ca", pki / "ca.pem", "--www") as server:
        page = curl(path, pki, server.port, *ALICE)
        refused = curl(path, pki, server.port)
    assert page.returncode == 0, page.stderr
    for fact in ("TLSv1.3", "CN=alice", "CN=Issuing CA", "alice@example.com", "http/1.1"):
        assert fact in page.stdout
    assert refused.returncode != 0


def test_page_escapes_what_the_client_chose(pki: Path, require_peer: Callable[[str], str]) -> None:
    path = require_peer("curl")
    with serving(pki, "--client-ca", pki / "ca.pem", "--www") as server:
        page = curl(path, pki, server.port, "--cert", "{pki}/spiteful.pem", "--key", "{pki}/spiteful-key.pem").stdout
    assert "<script>" not in page
    assert "&lt;script" in page
    assert "a=&lt;b&gt;&amp;&#x27;c&#x27;" in page


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "200 OK"),
        (b"HEAD /?q HTTP/1.0\r\n\r\n", "200 OK"),
        (b"GET /etc/passwd HTTP/1.1\r\n\r\n", "404 Not Found"),
        (b"POST / HTTP/1.1\r\n\r\n", "405 Method Not Allowed"),
        (b"nonsense\r\n\r\n", "400 Bad Request"),
        (b"\r\n\r\n", "400 Bad Request"),
        (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 4000, "431 Request Header Fields Too Large"),
    ],
)
def test_www_answers_every_request_with_its_status(request_bytes: bytes, status: str, pki: Path) -> None:
    with serving(pki, "--www") as server:
        result = connect(pki, server.address, "-q", stdin=request_bytes)
    assert result.stdout.splitlines()[0] == f"HTTP/1.1 {status}"
    if request_bytes.startswith(b"HEAD"):
        assert result.stdout.endswith("\r\n\r\n".replace("\r\n", "\n")) or result.stdout.endswith("\r\n\r\n")


def test_key_log_is_written_for_its_owner_alone(pki: Path, tmp_path: Path) -> None:
    client_log, server_log = tmp_path / "client.log", tmp_path / "server.log"
    with serving(pki, "--keylog", server_log) as server:
        assert connect(pki, server.address, "--keylog", str(client_log)).returncode == 0
    assert "CLIENT_TRAFFIC_SECRET_0 " in client_log.read_text()
    assert sorted(client_log.read_text().splitlines()) == sorted(server_log.read_text().splitlines())
    assert stat.S_IMODE(server_log.stat().st_mode) == 0o600


def test_trace_shows_the_certificate_request(pki: Path) -> None:
    with serving(pki, "--client-ca", pki / "ca.pem", "--trace") as server:
        result = connect(pki, server.address, "--trace", *ALICE)
        output = server.stop()
    for text in (result.stderr, output):
        assert "CertificateRequest" in text
        assert "CN=Test CA,O=Testers,C=US" in text


def test_silent_client_is_dropped_after_the_handshake_timeout(pki: Path) -> None:
    with serving(pki, "--handshake-timeout", "0.3") as server:
        with socket.create_connection(("127.0.0.1", server.port), timeout=5) as silent:
            started = time.monotonic()
            while silent.recv(100):
                pass
        assert time.monotonic() - started < 4
        assert connect(pki, server.address, stdin=b"still here").stdout == "still here"


def test_silent_client_does_not_keep_others_out(pki: Path) -> None:
    with serving(pki) as server, socket.create_connection(("127.0.0.1", server.port), timeout=5):
        assert connect(pki, server.address, stdin=b"hello").stdout == "hello"


def test_idle_connection_is_closed(pki: Path) -> None:
    with serving(pki, "--www", "--idle-timeout", "0.3") as server:
        result = connect(pki, server.address, "-q")
        output = server.stop()
    assert result.stdout == ""
    assert "closed" in output


def test_no_more_connections_than_allowed_are_served_at_one_time(pki: Path) -> None:
    with (
        serving(pki, "--max-connections", "1", "--handshake-timeout", "1") as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=5),
    ):
        time.sleep(0.2)
        started = time.monotonic()
        assert connect(pki, server.address, stdin=b"next").stdout == "next"
        assert time.monotonic() - started > 0.5, "it waited for the first to be dropped"


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
def test_server_ends_cleanly_with_a_connection_open(by: signal.Signals, pki: Path) -> None:
    with serving(pki) as server, socket.create_connection(("127.0.0.1", server.port), timeout=5):
        time.sleep(0.2)
        output = server.stop(by)
    assert server.exit_code == 0
    assert "stopped" in output


def test_garbage_is_refused_in_a_sentence(pki: Path) -> None:
    with serving(pki) as server:
        with socket.create_connection(("127.0.0.1", server.port), timeout=5) as garbage:
            garbage.sendall(b"GET / HTTP/1.1\r\n\r\n")
            while garbage.recv(100):
                pass
        output = server.stop()
    assert "does not look like TLS" in output


def test_port_in_use_is_exit_code_3(pki: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        result = run("serve", "--cert", pki / "server.pem", "--key", pki / "server-key.pem", "--port", port)
    assert result.returncode == 3
    assert "in use" in result.stderr


@pytest.mark.parametrize("reload", [(), ("--reload",)], ids=["", "reload"])
def test_encrypted_keys_are_opened_with_the_first_line_of_a_file(
    reload: tuple[str, ...], pki: Path, tmp_path: Path
) -> None:
    for name in ("server", "alice"):
        key = serialization.load_pem_private_key((pki / f"{name}-key.pem").read_bytes(), None)
        how = serialization.BestAvailableEncryption(b"open sesame")
        pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, how)
        (tmp_path / f"{name}-key.pem").write_bytes(pem)
    (tmp_path / "password").write_bytes(b"open sesame\r\n")
    own = ("--cert", pki / "alice.pem", "--key", tmp_path / "alice-key.pem")
    password = ("--password-file", tmp_path / "password")
    (tmp_path / "server.pem").write_bytes((pki / "server.pem").read_bytes())
    with serving(tmp_path, "--client-ca", pki / "ca.pem", *password, *reload) as server:
        connect = ("connect", server.address, "--ca", pki / "ca.pem", "-q", *own)
        assert "alice-key.pem is encrypted: give its password" in run(*connect).stderr
        (tmp_path / "wrong").write_bytes(b"shut sesame\n")
        wrong = run(*connect, "--password-file", tmp_path / "wrong")
        assert (wrong.returncode, "the password is wrong" in wrong.stderr) == (2, True), wrong.stderr
        # From standard input, what stands behind the first line is data for the server.
        echoed = run(*connect, "--password-file", "-", stdin=b"open sesame\nhello")
        assert (echoed.returncode, echoed.stdout) == (0, "hello"), echoed.stderr


def test_closed_standard_input_has_no_password_in_it(pki: Path) -> None:
    command = shlex.join([*COMMAND, "check", "--client-ca", f"{pki}/ca.pem", "--cert", f"{pki}/alice.pem"])
    result = subprocess.run(
        ["sh", "-c", f"{command} --password-file - <&-"], capture_output=True, timeout=20, check=False
    )
    assert b"Traceback" not in result.stderr
    assert b"standard input cannot be read" in result.stderr
    assert result.returncode == 2
