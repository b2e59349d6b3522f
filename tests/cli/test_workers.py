"""`trustls serve --workers`: sessions are shared, a worker that dies is replaced, and nobody is left in the end."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import trustls as library
from tests.cli.command import SECONDS, Serving, serving
from tests.cli.command import trustls as run
from tests.support.processes import PeerProcess

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="workers are forked, which this system cannot do")

REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


@contextlib.contextmanager
def fleet(pki: Path, *arguments: str | os.PathLike[str], count: int = 2) -> Iterator[Serving]:
    """A server with workers that are all up; and none of them, nor any other process, is left afterwards."""
    with serving(pki, "--workers", str(count), *arguments) as server:
        wait_until(lambda: len(pids(server)) == count, server)
        yield server
        everybody = {server.process.pid, *pids(server)}
    assert not [pid for pid in everybody if is_alive(pid)], "a process of the server is left"


def pids(server: Serving) -> list[int]:
    """Every process that the parent has said to be a worker, in the order of their starts."""
    return [int(found) for found in re.findall(r"worker \d+ is process (\d+)", "".join(server.lines))]


def is_alive(pid: int) -> bool:
    """Whether this process runs; one that has ended, and waits for init to take note of it, does not."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except ProcessLookupError:
        return False
    except FileNotFoundError:
        return not Path("/proc/self").exists()  # Without /proc there is only the first answer.


def wait_until(condition: Callable[[], bool], server: Serving) -> None:
    """Until the condition holds; AssertionError with what the server printed when it does not in time."""
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"it never came to that: {''.join(server.lines)}"
        time.sleep(0.02)


def client_config(pki: Path, version: str) -> library.ClientConfig:
    roots = library.RootCertStore.from_pem(pki / "ca.pem")
    return library.ClientConfig(roots=roots, versions=[version], sessions=library.MemoryClientSessions())


def visit(config: library.ClientConfig, server: Serving) -> tuple[bool, int]:
    """One connection: whether it was resumed, and the process that served it."""
    with library.connect(("127.0.0.1", server.port), config, server_name="localhost", timeout=SECONDS) as tls:
        tls.sendall(b"hello")
        assert tls.recv_exactly(5) == b"hello"
        return tls.connection.info.resumed, owner(server, tls._socket.getsockname()[1])


def owner(server: Serving, client_port: int) -> int:
    """Which worker has the connection from this port: Linux tells of a process's sockets."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    inodes = {
        row[9] for row in rows if row[1].endswith(f":{server.port:04X}") and row[2].endswith(f":{client_port:04X}")
    }
    for pid in pids(server):
        with contextlib.suppress(OSError):
            for descriptor in Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(OSError):
                    if str(descriptor.readlink()).removeprefix("socket:[").removesuffix("]") in inodes:
                        return pid
    raise AssertionError(f"no worker has the connection from port {client_port}")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only /proc tells which process has a connection")
@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_session_of_one_worker_is_resumed_by_another(version: str, pki: Path) -> None:
    config = client_config(pki, version)
    with fleet(pki) as server:
        # The kernel spreads connections by a hash of their ports.
        visits = [visit(config, server)]
        while len({pid for _, pid in visits}) < 2:
            assert len(visits) < 50, "all connections came to one worker"
            visits.append(visit(config, server))
        printed = server.stop()
    resumed = [resumed for resumed, _ in visits]
    assert resumed == [False, *[True] * (len(visits) - 1)], "what one worker began the other resumes"
    assert printed.count("resumed") == len(visits) - 1


def test_openssl_reconnects_to_whichever_worker_it_meets(pki: Path, require_peer: Callable[[str], str]) -> None:
    openssl = require_peer("openssl")
    with fleet(pki, count=3) as server:
        where = ("-connect", f"127.0.0.1:{server.port}", "-CAfile", pki / "ca.pem")
        with PeerProcess([openssl, "s_client", *where, "-tls1_2", "-reconnect"]) as client:
            said = [client.wait_for(r"^(New|Reused), TLS")[1].decode() for _ in range(6)]
            client.write("Q\n")
            assert client.wait() == 0
    assert said == ["New", *["Reused"] * 5]


def test_worker_that_is_killed_is_replaced_and_resumes_what_it_never_saw(pki: Path) -> None:
    config = client_config(pki, "1.3")
    with fleet(pki) as server:
        visit(config, server)
        killed = pids(server)
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not any(is_alive(pid) for pid in killed), server)
        # These may come before there is anybody to take them, and wait in the sockets that the parent keeps open.
        visits = [visit(config, server) for _ in range(4)]
        wait_until(lambda: len(pids(server)) == 4, server)
        printed = server.stop()
    assert all(resumed for resumed, _ in visits), "the new workers have the keys of the old"
    assert printed.count("was killed by SIGKILL: it is started again") == 2
    assert server.exit_code == 0


def test_worker_that_ends_by_itself_is_replaced(pki: Path) -> None:
    with fleet(pki) as server:
        first, _ = pids(server)
        os.kill(first, signal.SIGTERM)
        wait_until(lambda: len(pids(server)) == 3, server)
        visit(client_config(pki, "1.3"), server)
        printed = server.stop()
    assert f"process {first}, ended with exit code 0: it is started again" in printed


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
def test_one_signal_ends_them_all_with_a_connection_open(by: signal.Signals, pki: Path) -> None:
    with fleet(pki) as server, contextlib.ExitStack() as opened:
        for _ in range(4):
            opened.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=5))
        printed = server.stop(by)
    assert server.exit_code == 0
    assert printed.rstrip().endswith("stopped")


def test_workers_end_when_their_parent_is_killed(pki: Path) -> None:
    with fleet(pki) as server:
        left = pids(server)
        server.process.kill()
        server.exit_code = server.process.wait(SECONDS)
        wait_until(lambda: not any(is_alive(pid) for pid in left), server)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", server.port), timeout=5).close()


def test_port_of_another_fleet_is_in_use(pki: Path) -> None:
    with fleet(pki) as server:
        files = ("--cert", pki / "server.pem", "--key", pki / "server-key.pem")
        second = run("serve", *files, "--port", str(server.port), "--workers", "2")
    assert second.returncode == 3, "two fleets on one port would each get a part of the clients"
    assert "in use" in second.stderr
