"""What holds for every command: exit codes, help, sentences instead of tracebacks."""

from __future__ import annotations

import importlib.util
import shlex
import socket
import stat
import struct
import subprocess
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

import trustls
import trustls.cli
from tests.cli.command import COMMAND
from tests.cli.command import trustls as run


def test_without_its_extra_the_command_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    find_spec = importlib.util.find_spec

    def without_click(name: str, package: str | None = None) -> ModuleSpec | None:
        return None if name == "click" else find_spec(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", without_click)
    assert trustls.cli.main() == 2
    assert "pip install 'trustls[cli]'" in capsys.readouterr().err


@pytest.mark.parametrize(
    "command",
    ["", "demo", "serve", "connect", "check", "pki", "pki ca", "pki intermediate", "pki server", "pki client"],
)
def test_help_has_an_example(command: str) -> None:
    result = run(*command.split(), "--help")
    assert result.returncode == 0
    assert "Example" in result.stdout
    assert f"\n    trustls {command}".rstrip() in result.stdout


def test_version() -> None:
    assert run("--version").stdout.startswith("trustls ")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("frob", "No such command 'frob'"),
        ("connect", "Missing argument"),
        ("connect localhost:http", "'http' is no port"),
        ("connect localhost:1 --ca /nowhere.pem", "does not exist"),
        ("connect localhost:1 --ca {pki}/alice-key.pem", "alice-key.pem"),
        (
            "connect localhost:1 --cert {pki}/alice.pem",
            "There is no private key in {pki}/alice.pem: name its file with --key",
        ),
        ("connect https://localhost:1/", "leave out https://"),
        ("connect localhost:1 --cert {pki}/alice.pem --key {pki}/alice.pem", "and it holds CERTIFICATE"),
        ("connect localhost:1 --cert {pki}/alice-key.pem --key {pki}/alice-key.pem", "and it holds PRIVATE KEY"),
        (
            "connect localhost:1 --ca /dev/null",
            "there is no certificate in /dev/null: expected -----BEGIN CERTIFICATE-----, and it is empty",
        ),
        ("connect localhost:1 --password-file {pki}/none", "Invalid value for '--password-file'"),
        ("connect localhost:1 --cert {pki}/alice.pem --cert {pki}/ca.pem --key {pki}/ca-key.pem", "come in pairs"),
        ("connect localhost:1 --cert {pki}/alice.pem --key {pki}/ca-key.pem", "does not belong"),
        ("serve {server} --no-hints", "need a --client-ca"),
        ("serve {server} --client-ca {pki}/ca.pem --no-hints --hint CN=x", "exclude each other"),
        ("serve {server} --client-ca {pki}/ca.pem --hint nothing", "neither a file nor a name"),
        ("serve {server} --client-ca {pki}/ca.pem --hint =", "="),
        ("serve {server} --port 65536", "65536"),
        ("pki client {pki} bob --issuer alice", "not the certificate of a CA"),
        ("pki client {pki} bob --days -1", "--days"),
        ("pki server {pki} -- 'no host'", "neither a DNS name nor an IP address"),
    ],
)
def test_wrong_usage_is_exit_code_2_and_a_sentence(arguments: str, sentence: str, pki: Path) -> None:
    server = f"--cert {pki}/server.pem --key {pki}/server-key.pem"
    result = run(*shlex.split(arguments.format(pki=pki, server=server)))
    assert (result.returncode, result.stdout) == (2, ""), result.stderr
    assert sentence.format(pki=pki) in result.stderr


def test_no_server_there_is_exit_code_3(pki: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        result = run("connect", f"127.0.0.1:{unused.getsockname()[1]}", "--ca", pki / "ca.pem")
    assert result.returncode == 3
    assert "refused" in result.stderr.lower()


def test_a_server_that_says_nothing_times_out_with_exit_code_3(pki: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        result = run("connect", f"127.0.0.1:{port}", "--ca", pki / "ca.pem", "--timeout", "0.3")
    assert result.returncode == 3, result.stderr


def test_a_server_that_does_not_speak_tls_is_exit_code_1(pki: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as plain:
        plain.settimeout(10)
        port = plain.getsockname()[1]
        command = subprocess.Popen(
            [*COMMAND, "connect", f"127.0.0.1:{port}", "--ca", pki / "ca.pem"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        connection, _ = plain.accept()
        with connection:
            connection.sendall(b"220 mail.example ESMTP\r\n")
            _, stderr = command.communicate(timeout=15)
    assert command.returncode == 1
    assert "does not look like TLS" in stderr


def meet(pki: Path, *options: str, serve: Callable[[socket.socket], None]) -> tuple[int, str]:
    """The exit code and standard error of `connect`, against a server that does this with the connection."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(10)
        port = listening.getsockname()[1]
        command = subprocess.Popen(
            [*COMMAND, "connect", f"127.0.0.1:{port}", "--ca", pki / "ca.pem", *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        connection, _ = listening.accept()
        with connection:
            connection.settimeout(10)
            connection.recv(1 << 16)
            serve(connection)
        _, stderr = command.communicate(timeout=15)
    return command.returncode, stderr


def test_server_that_hangs_up_during_the_handshake_is_a_sentence_and_exit_code_1(pki: Path) -> None:
    code, stderr = meet(pki, serve=lambda connection: connection.shutdown(socket.SHUT_WR))
    assert stderr.startswith("trustls: the transport ended during the handshake, before the ServerHello or")
    assert code == 1, "it is no Ctrl-C"


def test_server_that_resets_the_handshake_was_reached(pki: Path) -> None:
    def reset(connection: socket.socket) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    code, stderr = meet(pki, serve=reset)
    assert "broke the connection off during the handshake" in stderr
    assert "no connection" not in stderr
    assert code == 3


def test_server_that_ends_without_close_notify_is_told(pki: Path) -> None:
    config = trustls.ServerConfig(
        credentials=[trustls.Credential.from_pem(chain=pki / "server.pem", key=pki / "server-key.pem")]
    )
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(10)
        command = subprocess.Popen(
            [*COMMAND, "connect", f"127.0.0.1:{listening.getsockname()[1]}", "--ca", pki / "ca.pem", "-q"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        raw, _ = listening.accept()
        with trustls.TLSSocket(raw, trustls.ServerConnection(config), handshake_timeout=10) as tls:
            tls.handshake()
            tls.sendall(b"cut sh")
            raw.shutdown(socket.SHUT_WR)
            out, stderr = command.communicate(timeout=15)
    assert out == b"cut sh"
    assert b"without a close_notify" in stderr
    assert command.returncode == 1


def test_disk_that_is_full_is_not_the_networks_fault(pki: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("there is no /dev/full here")
    with full.open("wb") as out:
        command = [*COMMAND, "check", "--client-ca", str(pki / "ca.pem"), "--json"]
        result = subprocess.run(command, stdout=out, stderr=subprocess.PIPE, timeout=20, check=False)
    assert b"Traceback" not in result.stderr
    assert result.returncode == 2, result.stderr


def test_pki_makes_a_chain_that_openssl_accepts(tmp_path: Path, require_peer: Callable[[str], str]) -> None:
    openssl = require_peer("openssl")
    steps: list[list[str | Path]] = [
        ["ca", tmp_path, "--name", "My CA", "-C", "US", "-O", "Me"],
        ["intermediate", tmp_path, "--name", "My Issuing CA", "--permit", "email:example.com"],
        ["client", tmp_path, "Alice Doe", "--email", "alice@example.com", "--issuer", "my-issuing-ca", "--days", "7"],
        ["server", tmp_path, "*.example.test", "127.0.0.1", "--key-type", "ed25519"],
    ]
    for arguments in steps:
        result = run("pki", *arguments)
        assert result.returncode == 0, result.stderr
    for leaf in ("alice-doe", "wildcard.example.test"):
        path = tmp_path / f"{leaf}.pem"
        verdict = subprocess.run(
            [openssl, "verify", "-CAfile", tmp_path / "ca.pem", "-untrusted", path, path],
            capture_output=True,
            timeout=20,
            check=False,
        )
        assert verdict.returncode == 0, verdict.stderr
        assert stat.S_IMODE((tmp_path / f"{leaf}-key.pem").stat().st_mode) == 0o600


def test_pki_does_not_overwrite_unless_forced(tmp_path: Path) -> None:
    assert run("pki", "ca", tmp_path, "--name", "One").returncode == 0
    before = (tmp_path / "ca-key.pem").read_bytes()
    refused = run("pki", "ca", tmp_path, "--name", "Two")
    assert refused.returncode == 2
    assert "--force" in refused.stderr
    assert (tmp_path / "ca-key.pem").read_bytes() == before
    assert run("pki", "ca", tmp_path, "--name", "Two", "--force").returncode == 0
    assert (tmp_path / "ca-key.pem").read_bytes() != before


def test_pki_refuses_an_intermediate_below_a_path_length_of_0(tmp_path: Path) -> None:
    run("pki", "ca", tmp_path, "--name", "Flat", "--path-length", "0")
    result = run("pki", "intermediate", tmp_path, "--name", "Below")
    assert result.returncode == 2
    assert "allows no CA below it" in result.stderr


def test_pki_says_which_file_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = run("pki", "ca", tmp_path / "file" / "folder", "--name", "X")
    assert result.returncode == 2
    assert "file" in result.stderr


def test_a_reader_that_goes_away_is_no_failure() -> None:
    command = subprocess.Popen([*COMMAND, "demo"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with command:
        assert command.stdout is not None
        command.stdout.close()
        _, stderr = command.communicate(timeout=15)
    assert (command.returncode, stderr) == (0, "")
