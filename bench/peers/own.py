"""trustls's sans-I/O connection as a peer."""

from __future__ import annotations

import functools
import gc
from collections.abc import Callable

import trustls
from bench.peers.endpoint import Peer
from bench.pki import Scenario
from bench.results import TRUSTLS
from bench.terms import Terms
from trustls.session.state import ClientSession
from trustls.trust.cache import BoundedCache


class TrustlsEndpoint:
    """ClientConnection or ServerConnection."""

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

    def rest(self, data: bytes) -> None:
        if data:
            self.connection.receive(data)

    def write(self, data: bytes) -> bytes:
        self.connection.send(data)
        return self.connection.data_to_send()

    def read(self, records: bytes, size: int) -> int:  # noqa: ARG002 (all of it comes at once)
        return len(self.connection.receive(records))

    def peer_certificate(self) -> bytes | None:
        peer = self.connection.peer
        return None if peer is None else peer.certificate.der

    def resumed(self) -> bool:
        return self.connection.info.resumed


class _Forgetful:
    """A session store that keeps nothing: tickets are asked for, as in production, and every handshake is full."""

    def put(self, key: bytes, session: ClientSession) -> None:
        """Drop it."""

    def take(self, key: bytes) -> ClientSession | None:  # noqa: ARG002 (nothing is here)
        """None."""
        return None


def configs(scenario: Scenario, terms: Terms) -> tuple[trustls.ClientConfig, trustls.ServerConfig]:
    """A client's and a server's configuration."""
    own = trustls.Credential.from_pem(scenario.server.pem_chain, scenario.server.pem_key)
    auth = trustls.ClientAuth.none()
    credentials = []
    if scenario.mutual:
        roots = trustls.RootCertStore.from_pem(scenario.client_roots_pem)
        auth = trustls.ClientAuth.required(roots, hints=None if scenario.hints else ())
        credentials = [trustls.Credential.from_pem(scenario.client.pem_chain, scenario.client.pem_key)]
    suites = [terms.suite(scenario.key_type)]
    sessions = (trustls.MemoryClientSessions() if terms.resume else _Forgetful()) if terms.tickets else None
    server = trustls.ServerConfig(
        credentials=[own],
        client_auth=auth,
        versions=[terms.version],
        groups=terms.groups,
        suites=suites,
        resumption=trustls.Tickets(count=terms.tickets) if terms.tickets else None,
    )
    client = trustls.ClientConfig(
        roots=trustls.RootCertStore.from_pem(scenario.server_roots_pem),
        credentials=credentials,
        sessions=sessions,
        versions=[terms.version],
        groups=terms.groups,
        suites=suites,
    )
    return client, server


def peer(scenario: Scenario, terms: Terms) -> Peer:
    client, server = configs(scenario, terms)
    return Peer(
        TRUSTLS,
        lambda name: TrustlsEndpoint(trustls.ClientConnection(client, name)),
        lambda: TrustlsEndpoint(trustls.ServerConnection(server)),
        (trustls.TLSError,),
    )


def cache_clearer() -> Callable[[], None]:
    """What makes trustls forget all that it remembers of other connections: parsed, encoded, verified.

    To be made once the configurations are, for some of it is held by them.
    """
    wrapper = type(functools.lru_cache(cache_clearer))
    clears = [found.clear for found in gc.get_objects() if type(found) is BoundedCache]
    clears += [
        found.cache_clear
        for found in gc.get_objects()
        if type(found) is wrapper and found.__module__.startswith("trustls.")
    ]

    def clear() -> None:
        for forget in clears:
            forget()

    return clear
