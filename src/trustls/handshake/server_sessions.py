"""A server's side of resumption: which offered key it takes, and the tickets it gives (RFC 9846 4.3.11, 4.7.1).

A ticket that is forged, expired, of another key, another configuration or another client is no error: it is passed
over, and the handshake is a full one.
"""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from trustls.crypto.aead import SuiteAlgorithms
from trustls.errors import CertificateRejected, Misbehaviour, PeerMisbehaved, TLSError
from trustls.handshake.authentication import verified_client
from trustls.handshake.binding import server_binding
from trustls.handshake.flow import Flow
from trustls.handshake.parameters import ServerParameters
from trustls.protocol.key_schedule import RESUMPTION_BINDER, EarlySecret, ResumptionSecret
from trustls.session.state import ServerSession
from trustls.session.tickets import NAME_LENGTH, StoredSessions, Tickets
from trustls.trust.certificate import Certificate
from trustls.trust.client_auth import ClientAuthMode
from trustls.trust.verifiers import Peer
from trustls.values import dataclass
from trustls.wire.enums import NamedGroup, ProtocolVersion, PskKeyExchangeMode
from trustls.wire.extensions import PskIdentity
from trustls.wire.messages import ClientHello, NewSessionTicket

_IDENTIFIER_LENGTH: Final = 32
# RFC 9846 4.3.11 lets a client offer as many as fit; each costs a lookup.
_MAX_TRIED: Final = 8
_MAX_TICKET: Final = 1 << 15

_logger = logging.getLogger("trustls.session")

T = TypeVar("T")


@dataclass(slots=True)
class AcceptedPsk:
    """The key that the server takes, by its place in the ClientHello. `session` is None for an external one."""

    index: int
    suite: SuiteAlgorithms
    early: EarlySecret
    binder_label: bytes
    external_identity: bytes | None
    session: ServerSession | None = None
    peer: Peer | None = None
    max_early_data: int = 0


async def accepted_psk(
    flow: Flow, server: ServerParameters, hello: ClientHello, suites: tuple[SuiteAlgorithms, ...]
) -> AcceptedPsk | None:
    """The first offered key that can be used with one of `suites`, its binder checked; None for a full handshake."""
    offer = hello.pre_shared_key
    modes = hello.psk_key_exchange_modes
    if offer is None or modes is None or PskKeyExchangeMode.PSK_DHE_KE not in modes:
        return None
    for index, identity in enumerate(offer.identities[:_MAX_TRIED]):
        accepted = _external(server, suites, index, identity) if server.external_psks else None
        if accepted is None:
            accepted = await _resumed(flow, server, hello, suites, index, identity)
        if accepted is not None:
            binders_length = 2 + len(offer.binders) + sum(map(len, offer.binders))
            partial = accepted.suite.hash.hash(flow.transcript.content()[:-binders_length])
            if not accepted.early.binder_is_valid(offer.binders[index], accepted.binder_label, partial):
                raise PeerMisbehaved(Misbehaviour.BAD_BINDER)
            return accepted
    return None


async def check_psks_kept(
    flow: Flow, server: ServerParameters, first: ClientHello, second: ClientHello, suite: SuiteAlgorithms
) -> None:
    """Refuse a second ClientHello that leaves out a key which goes with the suite that was named (RFC 9846 4.2.2).

    Keys that nobody here knows, and those of another hash, may go.
    """
    if first.pre_shared_key is None:
        return
    kept = () if second.pre_shared_key is None else {each.identity for each in second.pre_shared_key.identities}
    for index, identity in enumerate(first.pre_shared_key.identities[:_MAX_TRIED]):
        if identity.identity in kept or not await _fits(flow, server, first, suite, index, identity):
            continue
        if second.pre_shared_key is None:
            raise PeerMisbehaved(Misbehaviour.MISSING_EXTENSION, "the second ClientHello without pre_shared_key")
        raise PeerMisbehaved(Misbehaviour.CLIENT_HELLO_CHANGED, "pre_shared_key, of which one that fits is gone")


async def _fits(
    flow: Flow, server: ServerParameters, hello: ClientHello, suite: SuiteAlgorithms, index: int, identity: PskIdentity
) -> bool:
    """Whether a key is known here, and of the hash that `suite` has."""
    if _external(server, (suite,), index, identity) is not None:
        return True
    found = await find_session(flow, server, identity.identity, ProtocolVersion.TLS1_3, hello.server_name)
    known = None if found is None else server.provider.suites_by_name.get(found[0].suite)
    return known is not None and known.hash is suite.hash


def _external(
    server: ServerParameters, suites: tuple[SuiteAlgorithms, ...], index: int, identity: PskIdentity
) -> AcceptedPsk | None:
    for psk in server.external_psks:
        if psk.identity == identity.identity:
            for suite in suites:
                if suite.hash.name == psk.hash:
                    early = EarlySecret.derive(suite.hash, psk.key)
                    return AcceptedPsk(index, suite, early, psk.binder_label, psk.identity)
    return None


async def _resumed(
    flow: Flow,
    server: ServerParameters,
    hello: ClientHello,
    suites: tuple[SuiteAlgorithms, ...],
    index: int,
    identity: PskIdentity,
) -> AcceptedPsk | None:
    found = await find_session(flow, server, identity.identity, ProtocolVersion.TLS1_3, hello.server_name)
    if found is None:
        return None
    session, peer = found
    # RFC 9846 4.3.11 asks for the hash of the session's suite only. The same suite is simpler to reason about, and a
    # client that has changed its mind about suites gets a full handshake.
    suite = suites[0]
    if suite.suite != session.suite:
        return None
    early = EarlySecret.derive(suite.hash, session.secret)
    allowed = _early_data_allowed(server, session, index, identity) if hello.early_data else 0
    return AcceptedPsk(index, suite, early, RESUMPTION_BINDER, None, session, peer, allowed)


def _early_data_allowed(server: ServerParameters, session: ServerSession, index: int, identity: PskIdentity) -> int:
    """How many bytes of early data this session may bring now (RFC 9846 4.3.10, 8.3)."""
    policy = server.resumption
    if index or not isinstance(policy, StoredSessions):
        return 0
    claimed = (identity.obfuscated_ticket_age - session.age_add) & 0xFFFFFFFF
    actual = server.now() * 1000 - session.issued_at
    if abs(actual - claimed) > policy.early_data_window * 1000:
        return 0
    return min(session.max_early_data, policy.max_early_data)


async def find_session(
    flow: Flow, server: ServerParameters, identifier: bytes, version: ProtocolVersion, server_name: str | None
) -> tuple[ServerSession, Peer | None] | None:
    """The session that a ticket or a session id stands for, and its client, verified anew.

    None unless it belongs to this version, name and configuration, is fresh, and its client is still believed.
    """
    now = server.now()
    data = await _opened(flow, server, identifier, now, single_use=version == ProtocolVersion.TLS1_3)
    session = None if data is None else ServerSession.parse(data)
    if (
        session is None
        or session.version != version
        or session.server_name != server_name
        or session.binding != server_binding(server.client_auth)
        or session.is_expired(now)
    ):
        return None
    if server.client_auth.verifier is None or not session.client_chain:
        # A client that came without a certificate stays without one: where one is required, it must show it.
        required = server.client_auth.mode is ClientAuthMode.REQUIRED
        return None if required or session.client_chain else (session, None)
    if session.client_is_raw_key:
        from trustls.handshake.raw_keys import raw_client_again  # Few need it.

        client = await raw_client_again(flow, server, session.client_chain[0])
        return None if client is None else (session, client)
    try:
        chain = tuple([Certificate.from_der(der) for der in session.client_chain])
        purpose = "verify the client's certificate again"
        peer = await verified_client(flow, server, server.client_auth, chain, purpose=purpose)
    except CertificateRejected:
        return None
    return session, peer


async def _opened(
    flow: Flow, server: ServerParameters, identifier: bytes, now: float, *, single_use: bool
) -> bytes | None:
    policy = server.resumption
    if isinstance(policy, Tickets):
        if not NAME_LENGTH < len(identifier) <= _MAX_TICKET:
            return None
        name = identifier[:NAME_LENGTH]
        key = await _or_none(flow, "look up a ticket key", policy.keys.named, name, now)
        return None if key is None else key.open(identifier)
    if isinstance(policy, StoredSessions):
        if len(identifier) != _IDENTIFIER_LENGTH:
            return None
        look_up = policy.store.take if single_use else policy.store.get
        return await _or_none(flow, "look up a session", look_up, identifier)
    return None


async def _or_none(
    flow: Flow, purpose: str, function: Callable[..., T | Awaitable[T | None] | None], *arguments: object
) -> T | None:
    """What a store or a key source gives; one that fails costs resumption, never a handshake.

    It is asked here, and only what it wants awaited goes to the shell: that saves 5 us of a resumed handshake.
    """
    try:
        answer: Any = function(*arguments)
        if hasattr(type(answer), "__await__"):
            answer = await flow.outside(purpose, lambda: answer)
        given: T | None = answer
    except TLSError as error:
        _logger.warning("%s", error)
        return None
    except Exception as error:  # noqa: BLE001 (whatever they raise)
        _logger.warning("could not %s: %s: %s", purpose, type(error).__name__, error)
        return None
    return given


def presented_by(peer: Peer) -> tuple[bytes, ...]:
    """What a session keeps of its client: the certificates that it presented, or its raw public key."""
    return tuple([one.der for one in peer.presented]) if peer.raw_key is None else (peer.raw_key.spki,)


async def stored(flow: Flow, server: ServerParameters, session: ServerSession) -> bytes | None:
    """What stands for the session from now on, a ticket or a name; None when it cannot be kept."""
    policy = server.resumption
    encoded = session.encode()
    if isinstance(policy, Tickets):
        if len(encoded) > _MAX_TICKET - 64:
            return None  # A chain this long would not fit into the client's next hello.
        key = await _or_none(flow, "get a ticket key", policy.keys.current, server.now())
        return None if key is None else key.seal(encoded)
    if isinstance(policy, StoredSessions):
        identifier = new_identifier()
        await store_under(flow, policy, identifier, session)
        return identifier
    return None


def new_identifier() -> bytes:
    """A name for a session that nobody can guess."""
    return secrets.token_bytes(_IDENTIFIER_LENGTH)


async def store_under(flow: Flow, policy: StoredSessions, identifier: bytes, session: ServerSession) -> None:
    """Keep the session under this name."""
    encoded = session.encode()
    await _or_none(flow, "store a session", policy.store.put, identifier, encoded, session.lifetime)


async def send_tickets(
    flow: Flow,
    server: ServerParameters,
    hello: ClientHello,
    secret: ResumptionSecret,
    *,
    group: NamedGroup,
    alpn: bytes | None,
    peer: Peer | None,
) -> None:
    """Give the client its tickets, if it can use any."""
    policy = server.resumption
    modes = hello.psk_key_exchange_modes
    if policy is None or modes is None or PskKeyExchangeMode.PSK_DHE_KE not in modes:
        return
    max_early_data = policy.max_early_data if isinstance(policy, StoredSessions) else 0
    binding = server_binding(server.client_auth)
    client_chain = () if peer is None else presented_by(peer)
    for number in range(policy.count):
        nonce = number.to_bytes(1, "big")
        age_add = int.from_bytes(os.urandom(4), "big")
        session = ServerSession(
            version=ProtocolVersion.TLS1_3,
            suite=secret.suite.suite,
            group=group,
            secret=secret.psk(nonce),
            binding=binding,
            server_name=hello.server_name,
            alpn=alpn,
            client_chain=client_chain,
            issued_at=int(server.now() * 1000),
            lifetime=policy.lifetime,
            age_add=age_add,
            max_early_data=max_early_data,
            client_is_raw_key=peer is not None and peer.raw_key is not None,
        )
        ticket = await stored(flow, server, session)
        if ticket is None:
            return
        flow.send_after_handshake(
            NewSessionTicket(
                lifetime=policy.lifetime, age_add=age_add, nonce=nonce, ticket=ticket, early_data=max_early_data or None
            )
        )
