"""The shim, started as the runner starts it; a peer of trustls's own stands in for the runner."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import trustls
from tests.support.identities import client_config, server_config, server_identity

_SHIM = Path(__file__).with_name("shim.py")
_SHIM_ID = 0x0102030405060708
_SECONDS = 20.0

Start = Callable[..., subprocess.Popen[str]]
Connection = trustls.ClientConnection | trustls.ServerConnection


@pytest.fixture(scope="module")
def environment() -> Iterator[dict[str, str]]:
    # A folder with a short name: the path of a Unix socket has room for a hundred characters.
    with tempfile.TemporaryDirectory(prefix="bogo") as folder:
        yield {
            "PATH": os.environ.get("PATH", os.defpath),
            "PYTHONPATH": str(Path(trustls.__file__).parents[1]),
            "XDG_RUNTIME_DIR": folder,
            "TRUSTLS_BOGO_IDLE_SECONDS": "2",
        }


@pytest.fixture
def start(environment: dict[str, str]) -> Start:
    def begin(*flags: object) -> subprocess.Popen[str]:
        command = [sys.executable, "-I", "-S", str(_SHIM), *map(str, flags)]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True)

    return begin


@pytest.fixture
def runner() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(_SECONDS)
        yield listener


def _flags(runner: socket.socket, *more: object) -> tuple[object, ...]:
    return "-port", runner.getsockname()[1], "-shim-id", _SHIM_ID, *more


def _accepted(runner: socket.socket) -> socket.socket:
    """The shim's connection, after the number that it starts with."""
    accepted, _ = runner.accept()
    accepted.settimeout(_SECONDS)
    assert accepted.recv(8, socket.MSG_WAITALL) == _SHIM_ID.to_bytes(8, "little")
    return accepted


def _echo_of(message: bytes, transport: socket.socket, connection: Connection) -> bytes:
    """What the shim answers, and the close of both."""
    answer = b""
    sent = False
    while len(answer) < len(message):
        transport.sendall(connection.data_to_send())
        answer += connection.receive(transport.recv(1 << 16))
        if not sent and not connection.handshaking:
            connection.send(message)
            sent = True
    connection.close()
    transport.sendall(connection.data_to_send())
    return answer


def _server_flags(folder: Path) -> tuple[object, ...]:
    chain, key = server_identity().write(folder, "server")
    return "-server", "-cert-file", chain, "-key-file", key


@pytest.mark.parametrize("asynchronous", [(), ("-async",)], ids=["at-once", "async"])
def test_a_server_inverts_what_it_receives(
    start: Start, runner: socket.socket, tmp_path: Path, asynchronous: tuple[str, ...]
) -> None:
    shim = start(*_flags(runner, *_server_flags(tmp_path), *asynchronous))
    with _accepted(runner) as transport:
        answer = _echo_of(b"\x42" * 32, transport, trustls.ClientConnection(client_config(), "localhost"))
    stdout, stderr = shim.communicate(timeout=_SECONDS)

    assert (answer, shim.returncode, stderr) == (b"\xbd" * 32, 0, ""), stdout


def test_a_client_resumes_its_session(start: Start, runner: socket.socket) -> None:
    config = server_config()
    shim = start(*_flags(runner, "-resume-count", 1, "-host-name", "localhost"))
    resumed = []
    for _ in range(2):
        connection = trustls.ServerConnection(config)
        with _accepted(runner) as transport:
            _echo_of(b"hello", transport, connection)
        resumed.append(connection.info.resumed)
    _, stderr = shim.communicate(timeout=_SECONDS)

    assert (resumed, shim.returncode, stderr) == ([False, True], 0, "")


def test_a_failure_is_named(start: Start, runner: socket.socket, tmp_path: Path) -> None:
    shim = start(*_flags(runner, *_server_flags(tmp_path)))
    with _accepted(runner) as transport:
        transport.sendall(b"GET / HTTP/1.1\r\n\r\n")
        alert = transport.recv(100)
    _, stderr = shim.communicate(timeout=_SECONDS)

    assert shim.returncode == 1
    assert stderr.startswith(":Misbehaviour.NOT_TLS:\n")
    assert alert[-1] == trustls.AlertDescription.PROTOCOL_VERSION


def test_an_expectation_that_is_not_met_fails_whatever_is_expected(start: Start, runner: socket.socket) -> None:
    shim = start(*_flags(runner, "-host-name", "localhost", "-expect-alpn", "h2"))
    connection = trustls.ServerConnection(server_config())
    with _accepted(runner) as transport:
        while connection.handshaking:
            connection.receive(transport.recv(1 << 16))
            transport.sendall(connection.data_to_send())
    _, stderr = shim.communicate(timeout=_SECONDS)

    assert shim.returncode == 90
    assert "ALPN: None, wanted 'h2'" in stderr


@pytest.mark.parametrize("flag", ["-dtls", "-on-resume-ech-config-list", "-no-such-flag"])
def test_a_flag_for_what_trustls_does_not_have_is_not_implemented(start: Start, flag: str) -> None:
    shim = start(flag)
    shim.communicate(timeout=_SECONDS)

    assert shim.returncode == 89


def test_the_runner_is_told_that_there_are_no_handshake_hints(start: Start) -> None:
    stdout, _ = start("-is-handshaker-supported").communicate(timeout=_SECONDS)

    assert stdout == "No\n"
