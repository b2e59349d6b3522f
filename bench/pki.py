"""The certificates of a measurement: P-256 throughout, made by trustls's own development PKI."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

from trustls.cli.pki import Authority, Issued

SERVER_NAME = "localhost"


@dataclass
class Scenario:
    """Who authenticates whom, and how.

    Args:
        mutual: whether the server requires a client certificate.
        hints: whether it names its two client CAs, where the peer can.
        intermediate: whether both chains have one intermediate.
    """

    mutual: bool = False
    hints: bool = False
    intermediate: bool = False

    def __post_init__(self) -> None:
        server_root = Authority.create("Bench Server Root", organization="Bench")
        client_root = Authority.create("Bench Client Root", organization="Bench")
        other_root = Authority.create("Another Client Root", organization="Bench")
        self.server_roots = (server_root,)
        self.client_roots = (other_root, client_root)
        self.server: Issued = self._issuer(server_root).issue_server(SERVER_NAME)
        self.client: Issued = self._issuer(client_root).issue_client("bench client")

    def _issuer(self, root: Authority) -> Authority:
        return root.intermediate("Bench Issuing CA", organization="Bench") if self.intermediate else root

    @cached_property
    def folder(self) -> Path:
        """The same as PEM files, for peers that read nothing else."""
        self._temporary = TemporaryDirectory(prefix="trustls-bench-")
        folder = Path(self._temporary.name)
        self.server.write(folder, "server")
        self.client.write(folder, "client")
        (folder / "server-roots.pem").write_bytes(self.server_roots_pem)
        (folder / "client-roots.pem").write_bytes(self.client_roots_pem)
        return folder

    @property
    def server_roots_pem(self) -> bytes:
        return b"".join(root.pem_chain for root in self.server_roots)

    @property
    def client_roots_pem(self) -> bytes:
        return b"".join(root.pem_chain for root in self.client_roots)
