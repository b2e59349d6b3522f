"""A client's side of resumption: which keys it offers, and the tickets it is given (RFC 9846 4.3.11, 4.7.1)."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from trustls.crypto.hashing import HashAlgorithm
from trustls.errors import CertificateRejected
from trustls.handshake.authentication import verified_server
from trustls.handshake.flow import Flow
from trustls.handshake.parameters import ClientParameters
from trustls.identity.credential import Credential
from trustls.identity.request import CredentialRequest
from trustls.protocol.key_schedule import RESUMPTION_BINDER, EarlySecret, ResumptionSecret
from trustls.session.psk import ExternalPsk
from trustls.session.state import MAX_LIFETIME, ClientSession
from trustls.session.store import ClientSessionStore
from trustls.trust.names import ServerName
from trustls.trust.verifiers import Peer
from trustls.values import dataclass
from trustls.wire.enums import NamedGroup, ProtocolVersion
from trustls.wire.extensions import OfferedPsks, PskIdentity, encode_binders
from trustls.wire.messages import ClientHello, NewSessionTicket, encode_message

# How many sessions are looked at for one that still can be used.
_MAX_TRIED = 8
# Longer tickets are not kept: the next ClientHello has to carry one, beside all else, in 2^16 bytes.
MAX_TICKET = 1 << 15

_logger = logging.getLogger("trustls.session")

T = TypeVar("T")


@dataclass(slots=True)
class OfferedPsk:
    """One key on offer: from a session, or given beforehand."""

    identity: PskIdentity
    early: EarlySecret
    binder_label: bytes
    session: ClientSession | None

    @property
    def algorithm(self) -> HashAlgorithm:
        """The hash function that its suite must have."""
        return self.early.algorithm


async def usable_session(
    flow: Flow, client: ClientParameters, server_name: ServerName, key: bytes
) -> ClientSession | None:
    """A session under this key that can be resumed now, if there is one; its server is verified anew."""
    if client.sessions is None:
        return None
    now = client.now()
    asked: dict[CredentialRequest, object] = {}
    for _ in range(_MAX_TRIED):
        session = _of_store(client.sessions.take, key)
        if session is None:
            return None
        if session.is_expired(now) or session.suite not in client.cipher_suites:
            continue
        bound = session.extended_master_secret or session.version == ProtocolVersion.TLS1_3
        if client.require_extended_master_secret and not bound:
            continue
        try:
            if session.peer.raw_key is not None:
                from trustls.handshake.raw_keys import verified_raw_server  # Few need it.

                await verified_raw_server(flow, client, server_name, session.peer.raw_key)
            else:
                await verified_server(
                    flow,
                    client,
                    server_name,
                    session.peer.presented,
                    ocsp_response=session.peer.ocsp_response,
                    purpose="verify the server's certificate again",
                )
        except CertificateRejected:
            continue  # Trust has changed, or the certificate has expired: it must show a better one.
        request = session.request
        if request is not None and not await _answered_now(flow, client, request, session.credential, asked):
            continue
        return session
    return None


async def _answered_now(
    flow: Flow,
    client: ClientParameters,
    request: CredentialRequest,
    then: Credential | None,
    asked: dict[CredentialRequest, object],
) -> bool:
    """Whether this client would answer `request` as it did `then`: who resumes a session is who made it.

    A list of credentials may have changed while the session was made. An application that chooses for itself may go by
    more than the request, and is asked once more; `asked` keeps what it says.
    """
    choose = client.choose_credential
    if choose is None:
        return then is None or then.leaf in [one.leaf for one in client.current_credentials()]
    if request not in asked:
        asked[request] = await flow.outside("choose a credential", choose, request, client.current_credentials())
    now = asked[request]
    return now is then or (isinstance(now, Credential) and then is not None and now.leaf == then.leaf)


def remember(store: ClientSessionStore, key: bytes, session: ClientSession) -> None:
    """Put a session into the store, if that works."""
    _of_store(store.put, key, session)


def remembered_group(client: ClientParameters, key: bytes) -> NamedGroup | None:
    """The group that this server has asked for with a HelloRetryRequest before, as far as the store knows."""
    return None if client.group_memory is None else _of_store(client.group_memory.get_group, key)


def remember_group(client: ClientParameters, key: bytes, group: NamedGroup) -> None:
    """Put the group that this server has asked for into the store, if that works."""
    if client.group_memory is not None:
        _of_store(client.group_memory.put_group, key, group)


def _of_store(function: Callable[..., T | None], *arguments: object) -> T | None:
    """What a store gives; one that fails costs resumption or a round trip, never a handshake."""
    try:
        return function(*arguments)
    except Exception as error:  # noqa: BLE001 (whatever it raises)
        _logger.warning("the session store failed: %s: %s", type(error).__name__, error)
        return None


def offered_psks(client: ClientParameters, session: ClientSession | None) -> tuple[OfferedPsk, ...]:
    """The session's key, and the external ones."""
    offered = []
    if session is not None and session.version == ProtocolVersion.TLS1_3:
        algorithm = client.provider.suites_by_name[session.suite].hash
        identity = PskIdentity(session.ticket, session.obfuscated_age(client.now()))
        offered.append(OfferedPsk(identity, EarlySecret.derive(algorithm, session.secret), RESUMPTION_BINDER, session))
    if client.external_psks:
        offered += [_external(psk) for psk in client.external_psks]
    return tuple(offered)


def _external(psk: ExternalPsk) -> OfferedPsk:
    early = EarlySecret.derive(psk.algorithm, psk.key)
    return OfferedPsk(PskIdentity(psk.identity, 0), early, psk.binder_label, None)


def bind(flow: Flow, hello: ClientHello, offered: tuple[OfferedPsk, ...]) -> bytes:
    """Put the offered keys into `hello`, each with its binder over the transcript and `hello` up to the binders.

    Gives the whole message, encoded: the binders are its end, so that it is encoded once.
    """
    if not offered:
        hello.pre_shared_key = None
        return encode_message(hello)
    unbound = tuple([bytes(psk.early.algorithm.length) for psk in offered])
    psks = hello.pre_shared_key = OfferedPsks(tuple([psk.identity for psk in offered]), unbound)
    binders_length = 2 + len(unbound) + sum(map(len, unbound))
    start = encode_message(hello)[:-binders_length]
    partial = flow.transcript.content() + start
    psks.binders = tuple([psk.early.binder(psk.binder_label, psk.early.algorithm.hash(partial)) for psk in offered])
    return start + encode_binders(psks.binders)


class TicketReceiver:
    """Turns the tickets of one connection into sessions. It stays with the connection."""

    __slots__ = ("_alpn", "_client", "_credential", "_group", "_key", "_peer", "_request", "_secret", "_store")

    def __init__(
        self,
        client: ClientParameters,
        store: ClientSessionStore,
        key: bytes,
        *,
        secret: ResumptionSecret,
        group: NamedGroup,
        alpn: bytes | None,
        peer: Peer,
        credential: Credential | None,
        request: CredentialRequest | None,
    ) -> None:
        self._client = client
        self._store = store
        self._key = key
        self._secret = secret
        self._group = group
        self._alpn = alpn
        self._peer = peer
        self._credential = credential
        self._request = request

    def presented(self, credential: Credential, request: CredentialRequest) -> None:
        """This side has shown who it is after the handshake: tickets from now on may stand for that."""
        self._credential = credential
        self._request = request

    def take(self, ticket: NewSessionTicket) -> None:
        """Keep the session of a ticket, unless it is good for nothing, or too long for a ClientHello to carry."""
        if not ticket.lifetime or len(ticket.ticket) > MAX_TICKET:
            return
        session = ClientSession(
            version=ProtocolVersion.TLS1_3,
            suite=self._secret.suite.suite,
            group=self._group,
            secret=self._secret.psk(ticket.nonce),
            ticket=ticket.ticket,
            received_at=self._client.now(),
            lifetime=min(ticket.lifetime, MAX_LIFETIME),
            age_add=ticket.age_add,
            alpn=self._alpn,
            peer=self._peer,
            credential=self._credential,
            request=self._request,
            max_early_data=ticket.early_data or 0,
        )
        remember(self._store, self._key, session)
