"""The commands of OpenSSL and GnuTLS as the tests of TLS 1.2 and of resumption start them."""

from __future__ import annotations

import contextlib
import re
import socket
from collections.abc import Mapping
from pathlib import Path

from tests.support.pki import PKI, Identity
from tests.support.processes import Argument, PeerProcess

ONLY_TLS12 = "NORMAL:-VERS-ALL:+VERS-TLS1.2"
"""GnuTLS's way of saying so."""


class SClient(PeerProcess):
    """`openssl s_client`, which trusts the test's server root and prints names as RFC 2253 text."""

    def __init__(
        self,
        openssl: str,
        pki: PKI,
        port: int,
        *arguments: Argument,
        identity: Identity | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(
            [
                *(openssl, "s_client", "-connect", f"127.0.0.1:{port}", "-servername", "localhost"),
                *("-CAfile", pki.server_root_file, "-verify_return_error", "-nameopt", "RFC2253"),
                *_own(identity),
                *arguments,
            ],
            environment=environment,
        )

    def established(self) -> tuple[str, str, str]:
        """Once the handshake is done: "New" or "Reused", the version, and OpenSSL's name of the suite."""
        match = self.wait_for(r"^(New|Reused), (TLSv1\.\d), Cipher is (\S+)\n")
        kind, version, suite = (part.decode() for part in match.groups())
        return kind, version, suite

    def ask(self, line: str) -> None:
        """Send a line and wait until it has come back; it may come in the middle of what s_client prints itself."""
        self.write(line + "\n")
        self.wait_for(f"{line}\n")

    def quit(self) -> None:
        """End by the command Q, which sends close_notify."""
        self.write("Q\n")
        assert self.wait() == 0, f"s_client failed:\n{self.shown}"


class SServer(PeerProcess):
    """`openssl s_server` on a free port of loopback."""

    def __init__(
        self,
        openssl: str,
        identity: Identity | None,
        *arguments: Argument,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        own = _own(identity) or ["-nocert"]
        super().__init__([openssl, "s_server", "-accept", "127.0.0.1:0", *own, *arguments], environment=environment)
        self.port = int(self.wait_for(r"^ACCEPT 127\.0\.0\.1:(\d+)\n")[1])


class GnutlsCli(PeerProcess):
    """`gnutls-cli`, which trusts the test's server root. Its debug level 4 prints the CA names it gets."""

    def __init__(
        self, gnutls_cli: str, pki: PKI, port: int, *arguments: Argument, identity: Identity | None = None
    ) -> None:
        own: list[Argument] = []
        if identity is not None:
            own = [f"--x509certfile={identity.chain_file}", f"--x509keyfile={identity.key_file}"]
        super().__init__(
            [
                *(gnutls_cli, "--debug=4", f"--port={port}", f"--x509cafile={pki.server_root_file}"),
                *own,
                *("--inline-commands", "--verify-hostname=localhost", "--sni-hostname=localhost"),
                *arguments,
                "127.0.0.1",
            ]
        )

    def ask(self, line: str) -> None:
        """Send a line and wait until it has come back."""
        self.write(line + "\n")
        self.wait_for(f"^{line}\n")

    def finish(self) -> None:
        """End the input, at which gnutls-cli closes the connection."""
        self.close_stdin()
        assert self.wait() == 0, f"gnutls-cli failed:\n{self.shown}"


class GnutlsServ(PeerProcess):
    """`gnutls-serv`, which echoes lines, on a free port."""

    def __init__(self, gnutls_serv: str, identity: Identity, *arguments: Argument) -> None:
        port = _free_port()
        super().__init__(
            [
                *(gnutls_serv, "--echo", "--debug=5", f"--port={port}"),
                *(f"--x509certfile={identity.chain_file}", f"--x509keyfile={identity.key_file}"),
                *arguments,
            ]
        )
        self.port = port
        try:
            self.wait_for(rf"listening on IPv4 0\.0\.0\.0 port {port}\.\.\.done")
        except BaseException:
            self.__exit__(None, None, None)
            raise


def openssl_without(option: str, folder: Path) -> Mapping[str, str]:
    """The environment in which OpenSSL does not do what this option of SSL_CONF_cmd stands for."""
    path = folder / f"without-{option}.cnf"
    path.write_text(
        "openssl_conf = start\n[start]\nssl_conf = ssl\n[ssl]\nsystem_default = default\n"
        f"[default]\nOptions = -{option}\n"
    )
    return {"OPENSSL_CONF": str(path)}


def names_listed(output: str) -> list[str] | None:
    """The CA names that s_client prints, in order; None when it says that there were none."""
    if "No client certificate CA names sent" in output:
        return None
    pattern = r"^Acceptable client certificate CA names\n((?:.+\n)*?)(?:Client Certificate|Requested)"
    block = re.search(pattern, output, re.MULTILINE)
    assert block is not None, f"s_client says nothing about CA names:\n{output}"
    return block[1].splitlines()


def secrets_in(path: Path) -> list[str]:
    """The lines of a key log, sorted."""
    with contextlib.suppress(FileNotFoundError):
        return sorted(line for line in path.read_text().splitlines() if line and not line.startswith("#"))
    return []


def _own(identity: Identity | None) -> list[Argument]:
    if identity is None:
        return []
    own: list[Argument] = ["-cert", identity.leaf_file, "-key", identity.key_file]
    if identity.intermediates_file is not None:
        own += ["-cert_chain", identity.intermediates_file]
    return own


def _free_port() -> int:
    # A port that was free a moment ago: gnutls-serv cannot choose one itself.
    with socket.socket() as probe:
        probe.bind(("0.0.0.0", 0))
        return int(probe.getsockname()[1])
