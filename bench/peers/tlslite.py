"""tlslite-ng: pure Python down to the primitives. It verifies no chains and no names: it does less than the others."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from typing import Any

from bench.peers.endpoint import Peer
from bench.pki import Scenario
from bench.results import TLSLITE
from bench.terms import Terms


class _Wire:
    """A socket that is two buffers."""

    def __init__(self) -> None:
        self.incoming = bytearray()
        self.outgoing = bytearray()

    def recv(self, size: int) -> bytes:
        if not self.incoming:
            raise OSError(errno.EWOULDBLOCK, "nothing has come")
        taken = bytes(self.incoming[:size])
        del self.incoming[:size]
        return taken

    def send(self, data: bytes) -> int:
        self.outgoing += data
        return len(data)

    def sendall(self, data: bytes) -> None:
        self.outgoing += data

    def close(self) -> None:
        """Nothing to close."""


class TlsliteEndpoint:
    """A TLSConnection whose generators are run until they want to read."""

    def __init__(self) -> None:
        from tlslite.api import TLSConnection

        self.done = False
        self._wire = _Wire()
        self._connection: Any = TLSConnection(self._wire)
        self._handshake: Iterator[int] | None = None

    @classmethod
    def client(cls, name: str, settings: Any) -> TlsliteEndpoint:
        one = cls()
        one._handshake = one._connection.handshakeClientCert(serverName=name, settings=settings, async_=True)
        return one

    @classmethod
    def server(cls, chain: Any, key: Any, settings: Any) -> TlsliteEndpoint:
        one = cls()
        one._handshake = one._connection.handshakeServerAsync(certChain=chain, privateKey=key, settings=settings)
        return one

    def step(self, data: bytes) -> bytes:
        self._wire.incoming += data
        assert self._handshake is not None
        for wants in self._handshake:
            if wants == 0:  # to read
                break
        else:
            self.done = True
        return self._sent()

    def rest(self, data: bytes) -> None:
        """Nothing: it is told to send no tickets."""

    def write(self, data: bytes) -> bytes:
        self._connection.write(data)
        return self._sent()

    def read(self, records: bytes, size: int) -> int:
        self._wire.incoming += records
        return len(self._connection.read(min=size, max=size))

    def peer_certificate(self) -> bytes | None:
        chain = self._connection.session.serverCertChain
        return None if chain is None else bytes(chain.x509List[0].bytes)

    def resumed(self) -> bool:
        return bool(self._connection.resumed)

    def _sent(self) -> bytes:
        sent = bytes(self._wire.outgoing)
        self._wire.outgoing.clear()
        return sent


def peer(scenario: Scenario, terms: Terms) -> Peer:
    """Only for scenarios without client certificates, which it would not verify.

    Raises:
        ModuleNotFoundError: tlslite-ng is not installed.
    """
    from tlslite.api import HandshakeSettings, X509CertChain, parsePEMKey

    if scenario.mutual or terms.tickets:
        raise ValueError("tlslite-ng is measured in full handshakes with server certificates only")
    version = (3, 4) if terms.version == "1.3" else (3, 3)
    settings = HandshakeSettings()
    settings.minVersion = settings.maxVersion = version
    settings.cipherNames = ["chacha20-poly1305" if terms.chacha else "aes256gcm"]
    settings.eccCurves = [*(terms.groups or ())]
    settings.keyShares = [*(terms.groups or ())][:1]
    settings.ticket_count = 0
    chain = X509CertChain()
    chain.parsePemList(scenario.server.pem_chain.decode())
    key = parsePEMKey(scenario.server.pem_key.decode(), private=True)
    return Peer(
        TLSLITE,
        lambda name: TlsliteEndpoint.client(name, settings),
        lambda: TlsliteEndpoint.server(chain, key, settings),
        (),
    )
