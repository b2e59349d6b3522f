"""The certificates of a measurement, made by trustls's own development PKI."""

from __future__ import annotations

import functools
import shutil
import weakref
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import mkdtemp

from trustls.cli.pki import Authority, Issued

SERVER_NAME = "localhost"
P256 = "ec-p256"
RSA = "rsa-2048"


@dataclass(eq=False)
class Scenario:
    """Who authenticates whom, and how.

    Args:
        mutual: whether the server requires a client certificate.
        hints: whether it names its client CAs, where the peer can.
        intermediates: how many stand between each leaf and its root.
        client_cas: how many roots clients may come from. The last one issued the client's certificate.
        key_type: of the leaves and of the CAs above them.
    """

    mutual: bool = False
    hints: bool = False
    intermediates: int = 0
    client_cas: int = 2
    key_type: str = P256

    @cached_property
    def server_roots(self) -> tuple[Authority, ...]:
        """Whom clients trust."""
        return (self._root("Bench Server Root"),)

    @cached_property
    def client_roots(self) -> tuple[Authority, ...]:
        """Whom servers trust. The others have short names: a thousand of them stay below 32 KiB, which JSSE takes."""
        others = [Authority.create(f"Client Root {number}") for number in range(1, self.client_cas)]
        return (*others, self._root("Bench Client Root"))

    @cached_property
    def server(self) -> Issued:
        return self._issuer(self.server_roots[-1]).issue_server(SERVER_NAME, key_type=self.key_type)

    @cached_property
    def client(self) -> Issued:
        return self._issuer(self.client_roots[-1]).issue_client("bench client", key_type=self.key_type)

    def _root(self, name: str) -> Authority:
        return Authority.create(name, organization="Bench", key_type=self.key_type)

    def _issuer(self, issuer: Authority) -> Authority:
        for number in range(1, self.intermediates + 1):
            name = f"Bench Issuing CA {number}"
            issuer = issuer.intermediate(name, organization="Bench", key_type=self.key_type, path_length=None)
        return issuer

    @cached_property
    def folder(self) -> Path:
        """The same as PEM files, for peers that read nothing else."""
        folder = Path(mkdtemp(prefix="trustls-bench-"))
        weakref.finalize(self, shutil.rmtree, folder)
        self.server.write(folder, "server")
        (folder / "server-roots.pem").write_bytes(self.server_roots_pem)
        if self.mutual:
            self.client.write(folder, "client")
            (folder / "client-roots.pem").write_bytes(self.client_roots_pem)
        return folder

    @cached_property
    def server_roots_pem(self) -> bytes:
        return b"".join(root.pem_chain for root in self.server_roots)

    @cached_property
    def client_roots_pem(self) -> bytes:
        return b"".join(root.pem_chain for root in self.client_roots)


@functools.cache
def stranger(key_type: str, *, mutual: bool) -> Scenario:
    """Somebody else's: nobody here trusts anybody there."""
    return Scenario(mutual=mutual, key_type=key_type)
