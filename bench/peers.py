"""The implementations, each behind the same three calls: handshake step, write, read, all on bytes in memory.

Every client verifies the server's chain and name, every server that asks for a client certificate verifies its chain.
Groups, cipher suites and session tickets of both OpenSSLs come from an OpenSSL configuration file that the process is
started with (`__main__.openssl_conf`), because `ssl` has no calls for them.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import rtls
from OpenSSL import SSL

import trustls
from bench.pki import SERVER_NAME, Scenario
from bench.results import PYOPENSSL, RTLS, TRUSTLS
from bench.results import SSL as STDLIB
from trustls.trust import certificate as trustls_certificate
from trustls.trust import signatures as trustls_signatures

AES = "TLS_AES_256_GCM_SHA384"
CHACHA = "TLS_CHACHA20_POLY1305_SHA256"

_READ = 1 << 17
_LIBSSL: Any = vars(SSL)["_lib"]  # pyOpenSSL's own binding; it has no public call for verifying a name


class Endpoint(Protocol):
    """One side of one connection."""

    done: bool

    def step(self, data: bytes) -> bytes:
        """Take what the other side sent and give the answer; sets `done` once the handshake is finished."""

    def write(self, data: bytes) -> bytes:
        """The records of application data."""

    def read(self, records: bytes, size: int) -> int:
        """Open records that hold `size` bytes of application data; how many came out."""

    def peer_certificate(self) -> bytes | None:
        """The other side's certificate in DER."""


Factory = Callable[[], Endpoint]


@dataclass(frozen=True)
class Peer:
    """How an implementation makes its two sides. `server_name` is a parameter for the check that names matter."""

    name: str
    client: Callable[[str], Endpoint]
    server: Callable[[], Endpoint]

    def new_client(self) -> Endpoint:
        return self.client(SERVER_NAME)


# -- trustls ----------------------------------------------------------------------------------------------------------


class TrustlsEndpoint:
    """trustls's sans-I/O connection."""

    __slots__ = ("connection", "done")

    def __init__(self, connection: trustls.Connection) -> None:
        self.connection = connection
        self.done = False

    def step(self, data: bytes) -> bytes:
        connection = self.connection
        if data:
            connection.receive(data)
        self.done = not connection.handshaking
        return connection.data_to_send()

    def write(self, data: bytes) -> bytes:
        self.connection.send(data)
        return self.connection.data_to_send()

    def read(self, records: bytes, size: int) -> int:  # noqa: ARG002 (all of it comes at once)
        return len(self.connection.receive(records))

    def peer_certificate(self) -> bytes | None:
        peer = self.connection.peer
        return None if peer is None else peer.certificate.der


def trustls_configs(
    scenario: Scenario, groups: tuple[str, ...] | None = ("x25519",), suite: str = AES
) -> tuple[trustls.ClientConfig, trustls.ServerConfig]:
    own = trustls.Credential.from_pem(scenario.server.pem_chain, scenario.server.pem_key)
    roots = trustls.RootCertStore.from_pem(scenario.client_roots_pem)
    auth = trustls.ClientAuth.none()
    credentials = []
    if scenario.mutual:
        auth = trustls.ClientAuth.required(roots, hints=None if scenario.hints else ())
        credentials = [trustls.Credential.from_pem(scenario.client.pem_chain, scenario.client.pem_key)]
    server = trustls.ServerConfig(credentials=[own], client_auth=auth, versions=["1.3"], groups=groups, suites=[suite])
    client = trustls.ClientConfig(
        roots=trustls.RootCertStore.from_pem(scenario.server_roots_pem),
        credentials=credentials,
        sessions=None,  # Full handshakes, without tickets, as the other peers are told to make.
        versions=["1.3"],
        groups=groups,
        suites=[suite],
    )
    return client, server


def trustls_peer(scenario: Scenario, *, groups: tuple[str, ...] | None = ("x25519",), suite: str = AES) -> Peer:
    client, server = trustls_configs(scenario, groups, suite)
    return Peer(
        TRUSTLS,
        lambda name: TrustlsEndpoint(trustls.ClientConnection(client, name)),
        lambda: TrustlsEndpoint(trustls.ServerConnection(server)),
    )


def clear_trustls_caches() -> None:
    """Forget parsed certificates and verified issuer signatures."""
    trustls_certificate._PARSED.clear()
    trustls_signatures._VERIFIED.clear()


# -- ssl, and rtls, which has the same face ---------------------------------------------------------------------------


class BioEndpoint:
    """`SSLContext.wrap_bio` over two MemoryBIOs, as asyncio uses it."""

    __slots__ = ("_incoming", "_object", "_outgoing", "_want_read", "done")

    def __init__(self, context: Any, bio: Any, want_read: type[Exception], **options: object) -> None:
        self._incoming = bio()
        self._outgoing = bio()
        self._object = context.wrap_bio(self._incoming, self._outgoing, **options)
        self._want_read = want_read
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


def ssl_contexts(library: Any, scenario: Scenario) -> tuple[Any, Any]:
    """A client's and a server's SSLContext; `library` is `ssl` or rtls."""
    folder = scenario.folder
    client = library.SSLContext(library.PROTOCOL_TLS_CLIENT)  # verifies the chain and the name
    client.minimum_version = library.TLSVersion.TLSv1_3
    client.load_verify_locations(cafile=str(folder / "server-roots.pem"))
    server = library.SSLContext(library.PROTOCOL_TLS_SERVER)
    server.minimum_version = library.TLSVersion.TLSv1_3
    server.load_cert_chain(str(folder / "server.pem"), str(folder / "server-key.pem"))
    if scenario.mutual:
        client.load_cert_chain(str(folder / "client.pem"), str(folder / "client-key.pem"))
        server.verify_mode = library.CERT_REQUIRED
        server.load_verify_locations(cafile=str(folder / "client-roots.pem"))
    return client, server


def ssl_peer(scenario: Scenario) -> Peer:
    client, server = ssl_contexts(ssl, scenario)
    return Peer(
        STDLIB,
        lambda name: BioEndpoint(client, ssl.MemoryBIO, ssl.SSLWantReadError, server_hostname=name),
        lambda: BioEndpoint(server, ssl.MemoryBIO, ssl.SSLWantReadError, server_side=True),
    )


def rtls_peer(scenario: Scenario) -> Peer:
    """No call of rtls chooses suites or groups: for that, its other side must be a peer that is held to them.

    Only for scenarios without client certificates: its server lets everybody in, asked for them or not.
    """
    if scenario.mutual:
        raise ValueError("rtls does no client authentication on the server")
    client, server = ssl_contexts(rtls, scenario)
    return Peer(
        RTLS,
        lambda name: BioEndpoint(client, rtls.MemoryBIO, rtls.SSLWantReadError, server_hostname=name),
        lambda: BioEndpoint(server, rtls.MemoryBIO, rtls.SSLWantReadError, server_side=True),
    )


# -- pyOpenSSL --------------------------------------------------------------------------------------------------------


class PyOpenSSLEndpoint:
    """pyOpenSSL's Connection over memory BIOs."""

    __slots__ = ("_connection", "done")

    def __init__(self, connection: SSL.Connection) -> None:
        self._connection = connection
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
        from cryptography.hazmat.primitives.serialization import Encoding

        certificate = self._connection.get_peer_certificate(as_cryptography=True)
        return None if certificate is None else certificate.public_bytes(Encoding.DER)


def pyopenssl_peer(scenario: Scenario) -> Peer:
    client, server = SSL.Context(SSL.TLS_METHOD), SSL.Context(SSL.TLS_METHOD)
    folder = scenario.folder
    for context in (client, server):
        context.set_min_proto_version(SSL.TLS1_3_VERSION)
    client.set_verify(SSL.VERIFY_PEER)
    client.load_verify_locations(str(folder / "server-roots.pem"))
    server.use_certificate_chain_file(str(folder / "server.pem"))
    server.use_privatekey_file(str(folder / "server-key.pem"))
    if scenario.mutual:
        client.use_certificate_chain_file(str(folder / "client.pem"))
        client.use_privatekey_file(str(folder / "client-key.pem"))
        server.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT)
        server.load_verify_locations(str(folder / "client-roots.pem"))
        if scenario.hints:
            server.load_client_ca(str(folder / "client-roots.pem").encode())

    def new_client(name: str) -> Endpoint:
        connection = SSL.Connection(client, None)
        connection.set_tlsext_host_name(name.encode())
        # Without this the name would not be checked.
        parameters = _LIBSSL.SSL_get0_param(connection._ssl)
        if _LIBSSL.X509_VERIFY_PARAM_set1_host(parameters, name.encode(), len(name)) != 1:
            raise RuntimeError("X509_VERIFY_PARAM_set1_host failed")
        connection.set_connect_state()
        return PyOpenSSLEndpoint(connection)

    def new_server() -> Endpoint:
        connection = SSL.Connection(server, None)
        connection.set_accept_state()
        return PyOpenSSLEndpoint(connection)

    return Peer(PYOPENSSL, new_client, new_server)


REFUSALS: tuple[type[Exception], ...] = (ssl.SSLError, rtls.SSLError, SSL.Error, trustls.TLSError)
"""What the implementations raise when they refuse the other side."""
