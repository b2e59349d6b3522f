"""`ssl`, and rtls, which has the same face: `SSLContext.wrap_bio` over two MemoryBIOs, as asyncio uses it."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Callable
from typing import Any

from bench.peers.endpoint import Peer
from bench.pki import Scenario
from bench.results import RTLS
from bench.results import SSL as STDLIB
from bench.terms import Terms

_READ = 1 << 17


class BioEndpoint:
    """One SSLObject and its BIOs. `keep` takes the session of a client that has got its tickets."""

    __slots__ = ("_incoming", "_keep", "_object", "_outgoing", "_want_read", "done")

    def __init__(
        self,
        context: Any,
        bio: Any,
        want_read: type[Exception],
        *,
        keep: Callable[[Any], None] | None = None,
        **options: Any,
    ) -> None:
        self._incoming = bio()
        self._outgoing = bio()
        self._object = context.wrap_bio(self._incoming, self._outgoing, **options)
        self._want_read = want_read
        self._keep = keep
        self.done = False

    def step(self, data: bytes) -> bytes:
        if data:
            self._incoming.write(data)
        try:
            self._object.do_handshake()
        except self._want_read:
            pass
        else:
            self.done = True
        answer: bytes = self._outgoing.read()
        return answer

    def rest(self, data: bytes) -> None:
        if data:
            self._incoming.write(data)
            with contextlib.suppress(self._want_read):
                self._object.read(1)
        if self._keep is not None:
            self._keep(self._object.session)

    def write(self, data: bytes) -> bytes:
        written = self._object.write(data)
        while written < len(data):
            written += self._object.write(data[written:])
        records: bytes = self._outgoing.read()
        return records

    def read(self, records: bytes, size: int) -> int:
        self._incoming.write(records)
        taken = 0
        while taken < size:
            taken += len(self._object.read(_READ))
        return taken

    def peer_certificate(self) -> bytes | None:
        certificate: bytes | None = self._object.getpeercert(True)
        return certificate

    def resumed(self) -> bool:
        return bool(self._object.session_reused)


def contexts(library: Any, scenario: Scenario, terms: Terms) -> tuple[Any, Any]:
    """A client's and a server's SSLContext; `library` is `ssl` or rtls."""
    folder = scenario.folder
    version = library.TLSVersion.TLSv1_3 if terms.version == "1.3" else library.TLSVersion.TLSv1_2
    client = library.SSLContext(library.PROTOCOL_TLS_CLIENT)  # verifies the chain and the name
    server = library.SSLContext(library.PROTOCOL_TLS_SERVER)
    for context in (client, server):
        context.minimum_version = context.maximum_version = version
    client.load_verify_locations(cafile=str(folder / "server-roots.pem"))
    server.load_cert_chain(str(folder / "server.pem"), str(folder / "server-key.pem"))
    if scenario.mutual:
        client.load_cert_chain(str(folder / "client.pem"), str(folder / "client-key.pem"))
        server.verify_mode = library.CERT_REQUIRED
        server.load_verify_locations(cafile=str(folder / "client-roots.pem"))
    return client, server


def ssl_contexts(scenario: Scenario, terms: Terms) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """The same for `ssl`, held to the terms."""
    client, server = contexts(ssl, scenario, terms)
    if terms.version == "1.2":
        for context in (client, server):
            context.set_ciphers(terms.tls12_cipher(scenario.key_type))
            if not terms.tickets:
                context.options |= ssl.OP_NO_TICKET
    return client, server


def ssl_peer(scenario: Scenario, terms: Terms) -> Peer:
    client, server = ssl_contexts(scenario, terms)
    kept: dict[str, Any] = {}

    def new_client(name: str) -> BioEndpoint:
        keep = (lambda session: kept.__setitem__(name, session)) if terms.resume else None
        options = {"server_hostname": name, "session": kept.pop(name, None)}
        return BioEndpoint(client, ssl.MemoryBIO, ssl.SSLWantReadError, keep=keep, **options)

    return Peer(
        STDLIB,
        new_client,
        lambda: BioEndpoint(server, ssl.MemoryBIO, ssl.SSLWantReadError, server_side=True),
        (ssl.SSLError,),
    )


def rtls_peer(scenario: Scenario, terms: Terms) -> Peer:
    """No call of rtls chooses suites, groups or tickets: for that, its other side must be a peer that is held to them.

    Only for scenarios without client certificates: its server lets everybody in, asked for them or not.

    Raises:
        ModuleNotFoundError: rtls is not installed.
    """
    import rtls

    if scenario.mutual:
        raise ValueError("rtls does no client authentication on the server")
    client, server = contexts(rtls, scenario, terms)
    return Peer(
        RTLS,
        lambda name: BioEndpoint(client, rtls.MemoryBIO, rtls.SSLWantReadError, server_hostname=name),
        lambda: BioEndpoint(server, rtls.MemoryBIO, rtls.SSLWantReadError, server_side=True),
        (rtls.SSLError,),
    )
