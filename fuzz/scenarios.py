"""The handshakes that are fuzzed: one scenario for each way through them, with configurations that are made once."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from tests.support.identities import (
    client_config,
    client_credential,
    client_intermediate,
    client_roots,
    credential,
    server_config,
    server_identity,
    server_root,
    strange_credential,
)
from tests.support.memory import Pair, pair
from tests.support.revoking import ocsp_response
from trustls.config import ClientConfig, ServerConfig
from trustls.handshake.retry_cookie import RetryCookies
from trustls.identity.credential import Credential
from trustls.identity.request import CredentialRequest
from trustls.session.psk import import_psk
from trustls.session.state import ClientSession
from trustls.session.store import MemorySessions
from trustls.session.tickets import RotatingTicketKeys, StoredSessions, TicketKeys, Tickets
from trustls.trust.client_auth import ClientAuth

_WEEK: Final = 7 * 24 * 3600
# Ed25519: signatures of one length, so that the same input changes the same byte in each run.
_KEY: Final = "ed25519"


class SameSession:
    """A client's store that gives the same session each time, and keeps the last one it was given."""

    def __init__(self, session: ClientSession | None = None) -> None:
        self.session = session
        self.kept: ClientSession | None = None

    def put(self, key: bytes, session: ClientSession) -> None:
        self.kept = session

    def take(self, key: bytes) -> ClientSession | None:
        return self.session


class LastingSessions(MemorySessions):
    """A server's store from which a session can be taken again and again."""

    def __init__(self) -> None:
        super().__init__(capacity=256)

    def take(self, identifier: bytes) -> bytes | None:
        return self.get(identifier)


class LastingKeys:
    """Ticket keys that do not rotate while the fuzzer runs."""

    def __init__(self) -> None:
        self._keys: TicketKeys = RotatingTicketKeys(10 * _WEEK)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._keys, name)


@dataclass(frozen=True)
class Scenario:
    """One way through the handshake.

    Attributes:
        name: for reports.
        client: the client's configuration.
        server: the server's.
        version: the one that comes out.
        required: whether no client may get in without a certificate or a key.
        resumed: whether a session is resumed.
        early: what the client sends early.
        psk: whether a key that both were given takes the place of certificates.
    """

    name: str
    client: ClientConfig
    server: ServerConfig
    version: str
    required: bool = False
    resumed: bool = False
    early: bytes = b""
    psk: bool = False


@functools.cache
def server_key() -> Credential:
    """The server's certificate for localhost."""
    return credential(server_identity(_KEY))


@functools.cache
def client_key() -> Credential:
    """Alice's certificate, through an intermediate."""
    return client_credential(_KEY)


@functools.cache
def stolen() -> tuple[Credential, ...]:
    """Certificates that may stand in a message without anybody having their key: whoever shows one proves nothing."""
    bob = credential(client_intermediate().issue_client("bob", key_type=_KEY))
    other = credential(server_root().issue_server("localhost", "other.example", key_type=_KEY))
    return bob, other, strange_credential()


def _stapling_credential() -> Credential:
    issued = server_identity(_KEY)
    return Credential(issued.chain, issued.key, ocsp_response=ocsp_response(issued, server_root(), hours=(-1, 24 * 7)))


def _client(version: str, **changes: Any) -> ClientConfig:
    usual: dict[str, Any] = {"versions": [version], "alpn": ["h2", "x"], "sessions": None, "groups": ["x25519"]}
    return client_config(**{**usual, **changes})


def _server(version: str, **changes: Any) -> ServerConfig:
    usual: dict[str, Any] = {
        "versions": [version],
        "alpn": ["x", "h2"],
        "credentials": [server_key()],
        "resumption": None,
        "groups": ["x25519", "secp256r1"],
    }
    return server_config(**{**usual, **changes})


def _resumed(name: str, version: str, server: ServerConfig, early: bytes = b"", **changes: Any) -> Scenario:
    """The second handshake of two: the first is held here."""
    store = SameSession()
    client = _client(version, sessions=store, credentials=[client_key()], **changes)
    joined = pair(server, client).run().check_connected()
    joined.run()
    if store.kept is None:
        raise RuntimeError(f"{name}: the server gave no session")
    # A session of a client's is good for as long as the fuzzer runs.
    store.session = replace(store.kept, lifetime=_WEEK)
    return Scenario(name, client, server, version, required=True, resumed=True, early=early)


def _strange_one(request: CredentialRequest, credentials: Sequence[Credential]) -> Credential | None:
    """The first credential that can sign for this peer, whatever authorities it names."""
    return next((one for one in credentials if one.scheme_for(request.signature_schemes, request.version)), None)


def _auth(mode: str) -> ClientAuth:
    make: Callable[..., ClientAuth] = getattr(ClientAuth, mode)
    return make(client_roots()) if mode != "none" else make()


def _full(version: str) -> list[Scenario]:
    alice = [client_key()]
    required = _auth("required")
    return [
        Scenario(f"{version} none", _client(version), _server(version), version),
        Scenario(
            f"{version} required",
            _client(version, credentials=alice),
            _server(version, client_auth=required, resumption=Tickets(keys=LastingKeys(), count=1)),
            version,
            required=True,
        ),
        Scenario(
            f"{version} optional, with",
            _client(version, credentials=alice, sessions=SameSession()),
            _server(version, client_auth=_auth("optional"), resumption=Tickets(keys=LastingKeys(), count=1)),
            version,
        ),
        Scenario(
            f"{version} optional, without", _client(version), _server(version, client_auth=_auth("optional")), version
        ),
        Scenario(
            f"{version} report, stranger",
            _client(version, choose_credential=_strange_one, credentials=[strange_credential()]),
            _server(version, client_auth=_auth("report")),
            version,
        ),
        Scenario(
            f"{version} stapled",
            _client(version, ocsp="required"),
            _server(version, credentials=[_stapling_credential()]),
            version,
        ),
        _resumed(
            f"{version} ticket",
            version,
            _server(version, client_auth=required, resumption=Tickets(keys=LastingKeys(), count=1, lifetime=_WEEK)),
        ),
    ]


def _early() -> Scenario:
    policy = StoredSessions(
        store=LastingSessions(), count=1, lifetime=_WEEK, max_early_data=4096, early_data_window=2.0 * _WEEK
    )
    server = _server("1.3", client_auth=_auth("required"), resumption=policy)
    return _resumed("1.3 early data", "1.3", server, early=b"early " * 20, early_data=True)


@functools.cache
def scenarios() -> tuple[Scenario, ...]:
    """All of them; the first is the plainest."""
    alice = [client_key()]
    psks = import_psk(b"the key of both", bytes(range(32)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return (
            *_full("1.3"),
            *_full("1.2"),
            Scenario(
                "1.3 retry with a cookie",
                _client("1.3", credentials=alice, groups=["x25519", "secp256r1"]),
                _server("1.3", client_auth=_auth("required"), groups=["secp256r1"], retry_cookies=RetryCookies()),
                "1.3",
                required=True,
            ),
            _early(),
            Scenario(
                "1.3 external key",
                _client("1.3", external_psks=psks),
                _server("1.3", external_psks=psks, client_auth=_auth("required")),
                "1.3",
                required=True,
                psk=True,
            ),
            Scenario(
                "1.3 compressed",
                _client("1.3", credentials=alice, certificate_compression=["zlib"], record_size_limit=600),
                _server(
                    "1.3",
                    client_auth=_auth("required"),
                    certificate_compression=["zlib"],
                    record_size_limit=500,
                    max_fragment_size=400,
                ),
                "1.3",
                required=True,
            ),
            Scenario(
                "1.3 asked afterwards",
                _client("1.3", credentials=alice, post_handshake_auth=True),
                _server("1.3", post_handshake_auth=_auth("required")),
                "1.3",
            ),
            _resumed(
                "1.2 session id",
                "1.2",
                _server(
                    "1.2",
                    client_auth=_auth("required"),
                    resumption=StoredSessions(store=LastingSessions(), lifetime=_WEEK),
                ),
            ),
            Scenario(
                "both versions",
                _client(
                    "1.3",
                    versions=["1.2", "1.3"],
                    credentials=alice,
                    certificate_authorities=client_roots().subjects(),
                ),
                _server("1.3", versions=["1.2", "1.3"], client_auth=_auth("required"), pad_records_to=64),
                "1.3",
                required=True,
            ),
        )


def named(name: str) -> Scenario:
    """The scenario of this name."""
    return next(scenario for scenario in scenarios() if scenario.name == name)


def honest(scenario: Scenario) -> Pair:
    """The two sides, before they have spoken."""
    return pair(scenario.server, scenario.client)
