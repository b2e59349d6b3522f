"""A real SPIRE of the test's own: a server and an agent on loopback and Unix sockets, gone when the test is."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

TRUST_DOMAIN = "example.org"
AGENT = f"spiffe://{TRUST_DOMAIN}/host"
_PATIENCE_SECONDS = 20.0

_SERVER = """
server {{
    bind_address = "127.0.0.1"
    bind_port = "{port}"
    socket_path = "{folder}/server.sock"
    trust_domain = "{trust_domain}"
    data_dir = "{folder}"
    log_level = "INFO"
}}
plugins {{
    DataStore "sql" {{ plugin_data {{ database_type = "sqlite3", connection_string = "{folder}/store.sqlite3" }} }}
    NodeAttestor "join_token" {{ plugin_data {{}} }}
    KeyManager "memory" {{ plugin_data {{}} }}
}}
"""
_AGENT = """
agent {{
    data_dir = "{folder}"
    log_level = "INFO"
    server_address = "127.0.0.1"
    server_port = "{port}"
    socket_path = "{folder}/agent.sock"
    trust_bundle_path = "{folder}/bootstrap.pem"
    trust_domain = "{trust_domain}"
}}
plugins {{
    NodeAttestor "join_token" {{ plugin_data {{}} }}
    KeyManager "disk" {{ plugin_data {{ directory = "{folder}" }} }}
    WorkloadAttestor "unix" {{ plugin_data {{}} }}
}}
"""


class Spire:
    """A SPIRE server and its agent; the agent may be killed and started again on the same socket."""

    def __init__(self, folder: Path, server: str, agent: str) -> None:
        self._folder = folder
        self._commands = {"server": server, "agent": agent}
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            port = sock.getsockname()[1]
        for name, text in (("server", _SERVER), ("agent", _AGENT)):
            config = text.format(folder=folder, port=port, trust_domain=TRUST_DOMAIN)
            (folder / f"{name}.conf").write_text(config)
        self._run("server")
        (folder / "bootstrap.pem").write_text(self._patiently("bundle", "show"))
        token = self.server("token", "generate", "-spiffeID", AGENT).removeprefix("Token:").strip()
        self._run("agent", "-joinToken", token)

    @property
    def endpoint(self) -> str:
        return f"unix://{self._folder}/agent.sock"

    def register(self, path: str, *options: str) -> str:
        """Give this very process an identity; the number of its entry."""
        output = self.server(
            "entry", "create", "-parentID", AGENT, "-spiffeID", f"spiffe://{TRUST_DOMAIN}{path}",
            "-selector", f"unix:uid:{os.getuid()}", *options,
        )  # fmt: skip
        return output.split("Entry ID")[1].split(":")[1].split()[0]

    def server(self, *arguments: str) -> str:
        """What a command of the server says."""
        done = subprocess.run(
            [self._commands["server"], *arguments, "-socketPath", f"{self._folder}/server.sock"],
            capture_output=True, text=True, timeout=_PATIENCE_SECONDS, check=False,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"spire-server {' '.join(arguments)}: {done.stdout}{done.stderr}")
        return done.stdout

    def stop_agent(self) -> None:
        self._end("agent")

    def start_agent(self) -> None:
        """It has attested itself before, and keeps its key on disk: no token is needed."""
        self._run("agent")

    def close(self) -> None:
        for name in list(self._running):
            self._end(name)

    @property
    def log(self) -> str:
        return "".join(path.read_text()[-5000:] for path in self._folder.glob("*.log"))

    def _run(self, name: str, *arguments: str) -> None:
        with (self._folder / f"{name}.log").open("ab") as log:
            command = [self._commands[name], "run", "-config", f"{self._folder}/{name}.conf", *arguments]
            self._running[name] = subprocess.Popen(command, stdout=log, stderr=log, cwd=self._folder)

    def _end(self, name: str) -> None:
        process = self._running.pop(name)
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _patiently(self, *arguments: str) -> str:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                return self.server(*arguments)
            except RuntimeError as error:
                if time.monotonic() > deadline:
                    raise RuntimeError(f"{error}\n{self.log}") from None
                time.sleep(0.1)


@contextlib.contextmanager
def running() -> Iterator[Spire]:
    """SPIRE, until the end of the block; skips the test where it is not installed (no distribution packages it)."""
    server, agent = shutil.which("spire-server"), shutil.which("spire-agent")
    if server is None or agent is None:
        pytest.skip("spire-server and spire-agent are not installed here: https://github.com/spiffe/spire/releases")
    # Not pytest's folder: the path of a Unix socket has 107 bytes.
    with TemporaryDirectory(prefix="spire-") as name:
        spire: Spire | None = None
        try:
            spire = Spire(Path(name), server, agent)
            yield spire
        finally:
            if spire is not None:
                spire.close()
