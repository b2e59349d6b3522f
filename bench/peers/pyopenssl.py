"""pyOpenSSL's Connection over memory BIOs."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL

from bench.peers.endpoint import Peer
from bench.pki import Scenario
from bench.results import PYOPENSSL
from bench.terms import Terms

_READ = 1 << 17
_LIBSSL: Any = vars(SSL)["_lib"]  # pyOpenSSL's own binding; it has no public call for verifying a name


class PyOpenSSLEndpoint:
    """One Connection. `keep` takes the session of a client that has got its tickets."""

    __slots__ = ("_connection", "_keep", "done")

    def __init__(self, connection: SSL.Connection, keep: Callable[[Any], None] | None = None) -> None:
        self._connection = connection
        self._keep = keep
        self.done = False

    def step(self, data: bytes) -> bytes:
        connection = self._connection
        if data:
            connection.bio_write(data)
        try:
            connection.do_handshake()
        except SSL.WantReadError:
            pass
        else:
            self.done = True
        try:
            return connection.bio_read(_READ)
        except SSL.WantReadError:
            return b""

    def rest(self, data: bytes) -> None:
        connection = self._connection
        if data:
            connection.bio_write(data)
            with contextlib.suppress(SSL.WantReadError):
                connection.recv(1)
        if self._keep is not None:
            # OpenSSL spoils the session of a TLS 1.2 connection that is freed without having been closed.
            connection.set_shutdown(SSL.SENT_SHUTDOWN | SSL.RECEIVED_SHUTDOWN)
            self._keep(connection.get_session())

    def write(self, data: bytes) -> bytes:
        self._connection.sendall(data)
        return self._connection.bio_read(_READ)

    def read(self, records: bytes, size: int) -> int:
        connection = self._connection
        connection.bio_write(records)
        taken = 0
        while taken < size:
            taken += len(connection.recv(_READ))
        return taken

    def peer_certificate(self) -> bytes | None:
        certificate = self._connection.get_peer_certificate(as_cryptography=True)
        return None if certificate is None else certificate.public_bytes(Encoding.DER)

    def resumed(self) -> bool:
        return bool(_LIBSSL.SSL_session_reused(self._connection._ssl))


def contexts(scenario: Scenario, terms: Terms) -> tuple[SSL.Context, SSL.Context]:
    """A client's and a server's Context."""
    client, server = SSL.Context(SSL.TLS_METHOD), SSL.Context(SSL.TLS_METHOD)
    folder = scenario.folder
    version = SSL.TLS1_3_VERSION if terms.version == "1.3" else SSL.TLS1_2_VERSION
    for context in (client, server):
        context.set_min_proto_version(version)
        context.set_max_proto_version(version)
        if terms.version == "1.2":
            context.set_cipher_list(terms.tls12_cipher(scenario.key_type).encode())
            if not terms.tickets:
                context.set_options(SSL.OP_NO_TICKET)
    client.set_verify(SSL.VERIFY_PEER)
    client.load_verify_locations(str(folder / "server-roots.pem"))
    server.set_session_id(b"bench")
    server.use_certificate_chain_file(str(folder / "server.pem"))
    server.use_privatekey_file(str(folder / "server-key.pem"))
    if scenario.mutual:
        client.use_certificate_chain_file(str(folder / "client.pem"))
        client.use_privatekey_file(str(folder / "client-key.pem"))
        server.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT)
        server.load_verify_locations(str(folder / "client-roots.pem"))
        if scenario.hints:
            server.load_client_ca(str(folder / "client-roots.pem").encode())
    return client, server


def verifying(context: SSL.Context, name: str, sock: socket.socket | None) -> SSL.Connection:
    """A client's connection that verifies the server's name, and says which one it wants."""
    connection = SSL.Connection(context, sock)
    connection.set_tlsext_host_name(name.encode())
    # Without this the name would not be checked.
    parameters = _LIBSSL.SSL_get0_param(connection._ssl)
    if _LIBSSL.X509_VERIFY_PARAM_set1_host(parameters, name.encode(), len(name)) != 1:
        raise RuntimeError("X509_VERIFY_PARAM_set1_host failed")
    connection.set_connect_state()
    return connection


def peer(scenario: Scenario, terms: Terms) -> Peer:
    client, server = contexts(scenario, terms)
    kept: dict[str, Any] = {}

    def new_client(name: str) -> PyOpenSSLEndpoint:
        connection = verifying(client, name, None)
        if not terms.resume:
            return PyOpenSSLEndpoint(connection)
        if name in kept:
            connection.set_session(kept.pop(name))
        return PyOpenSSLEndpoint(connection, lambda session: kept.__setitem__(name, session))

    def new_server() -> PyOpenSSLEndpoint:
        connection = SSL.Connection(server, None)
        connection.set_accept_state()
        return PyOpenSSLEndpoint(connection)

    return Peer(PYOPENSSL, new_client, new_server, (SSL.Error,))
