"""The client's side of the TLS 1.2 handshake, from ServerHello on (RFC 5246 7.3, figure 1; RFC 8422)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from trustls.crypto.aead import SuiteAlgorithms12
from trustls.crypto.key_exchange import BadKeyShare, KeyExchangeGroup
from trustls.errors import Incompatibility, Misbehaviour, PeerIncompatible, PeerMisbehaved
from trustls.handshake.authentication import chosen_credential, parsed_chain, verified_server
from trustls.handshake.authentication12 import check_signature12, is_rsa, send_certificate12, send_certificate_verify12
from trustls.handshake.client_answer import ClientAnswer
from trustls.handshake.client_sessions import MAX_TICKET, remember
from trustls.handshake.established import ConnectionInfo, Established
from trustls.handshake.flow import Flow
from trustls.handshake.key_log import log_master_secret
from trustls.handshake.parameters import ClientParameters
from trustls.handshake.record_sizes import check_answer, keep_to, own_limit
from trustls.handshake.solicited import check_solicited
from trustls.identity.credential import Credential
from trustls.identity.request import CredentialRequest
from trustls.identity.signer import curve_of
from trustls.protocol.key_schedule12 import DirectionKeys12, MasterSecret
from trustls.protocol.record import MAX_PLAINTEXT, Opener12, Sealer12
from trustls.session.state import MAX_LIFETIME, ClientSession
from trustls.session.store import ClientSessionStore
from trustls.trust.certificate import Certificate
from trustls.trust.names import ServerName
from trustls.trust.verifiers import Peer
from trustls.wire.enums import ECPointFormat, ExtensionType, NamedGroup, ProtocolVersion
from trustls.wire.messages import ClientHello, Finished, ServerHello
from trustls.wire.messages12 import (
    CertificateMessage12,
    CertificateRequest12,
    CertificateStatus,
    ClientKeyExchange,
    NewSessionTicket12,
    RawKeyMessage12,
    ServerHelloDone,
    ServerKeyExchange,
)

if TYPE_CHECKING:
    from trustls.trust.raw_key import RawPublicKey

_DEFAULT_LIFETIME: Final = 2 * 3600
_TLS13_ONLY = (ExtensionType.SUPPORTED_VERSIONS, ExtensionType.KEY_SHARE, ExtensionType.PRE_SHARED_KEY)


async def client_handshake12(
    flow: Flow,
    client: ClientParameters,
    server_name: ServerName,
    hello: ClientHello,
    session: ClientSession | None,
    binding: bytes,
    answer: ServerHello,
    certificate: ClientAnswer,
) -> Established:
    """The rest of a handshake whose ServerHello settled on TLS 1.2. `binding` is what its session is kept under."""
    flow.speak_tls12()
    suite = _chosen_suite(client, hello, answer)
    if answer.record_size_limit is not None:
        check_answer(answer.record_size_limit, ProtocolVersion.TLS1_2)
        keep_to(flow, answer.record_size_limit, ProtocolVersion.TLS1_2)
    extended = _negotiated_extended_master_secret(client, answer)
    flow.transcript.start(suite.hash, keep=True)
    if hello.session_id and answer.session_id == hello.session_id:
        if session is None or session.version != ProtocolVersion.TLS1_2:
            raise PeerMisbehaved(Misbehaviour.SESSION_ID_ECHOED)
        if session.suite != suite.suite or session.extended_master_secret != extended:
            raise PeerMisbehaved(Misbehaviour.SESSION_CHANGED)
        flow.transcript.forget()
        return await _resume(flow, client, hello, session, binding, answer, suite)
    randoms = hello.random + answer.random

    stapled = bool(answer.status_request)
    types = None if client.certificate_types is None else client.certificate_types.agreed(answer)
    raw = types is not None and types.raw_server
    peer, exchange = await _authenticate_server(flow, client, server_name, suite, randoms, stapled=stapled, raw=raw)
    message = await flow.receive(CertificateRequest12, ServerHelloDone)
    request = None
    if isinstance(message, CertificateRequest12):
        request = _credential_request(message)
        if types is not None:
            request = replace(request, certificate_type=types.client)
        certificate.asked(request)
        await flow.receive(ServerHelloDone)

    credential = None
    if request is not None:
        credential = await chosen_credential(flow, client, request, certificate)
        send_certificate12(flow, credential)
    premaster = _send_key_exchange(flow, client, exchange)
    session_hash = flow.transcript.digest() if extended else None
    master = MasterSecret.derive(suite, premaster, session_hash=session_hash, randoms=randoms)
    log_master_secret(client.key_log, hello.random, master)
    if request is not None and credential is not None:
        await send_certificate_verify12(flow, credential, request.signature_schemes)
    flow.transcript.forget()

    client_keys, server_keys = master.record_keys(hello.random, answer.random)
    flow.send_change_cipher_spec()
    flow.write_under(Sealer12(client_keys))
    first = master.verify_data(client=True, transcript_hash=flow.transcript.digest())
    flow.send(Finished(verify_data=first))

    ticket = await flow.receive(NewSessionTicket12) if answer.session_ticket else None
    await _receive_finished(flow, client, master, server_keys, answer)
    if client.sessions is not None:
        fresh = ClientSession(
            version=ProtocolVersion.TLS1_2,
            suite=suite.suite,
            group=exchange.group,
            secret=master.secret,
            ticket=_kept(ticket),
            session_id=answer.session_id,
            received_at=client.now(),
            lifetime=_lifetime(ticket),
            alpn=answer.alpn,
            peer=peer,
            credential=credential,
            request=request,
            extended_master_secret=extended,
        )
        _remember(client.sessions, binding, fresh)
    return _established(hello, answer, master, first, exchange.group, peer, credential, resumed=False)


# -- The abbreviated handshake ----------------------------------------------------------------------------------------


async def _resume(
    flow: Flow,
    client: ClientParameters,
    hello: ClientHello,
    session: ClientSession,
    binding: bytes,
    answer: ServerHello,
    suite: SuiteAlgorithms12,
) -> Established:
    """The handshake of a session that both sides remember (RFC 5246 7.3, figure 2)."""
    master = MasterSecret(suite, session.secret, session.extended_master_secret)
    log_master_secret(client.key_log, hello.random, master)
    client_keys, server_keys = master.record_keys(hello.random, answer.random)
    ticket = await flow.receive(NewSessionTicket12) if answer.session_ticket else None
    first = await _receive_finished(flow, client, master, server_keys, answer)
    flow.send_change_cipher_spec()
    flow.write_under(Sealer12(client_keys))
    flow.send(Finished(verify_data=master.verify_data(client=True, transcript_hash=flow.transcript.digest())))
    if ticket is not None and _kept(ticket):
        session = replace(session, ticket=ticket.ticket, lifetime=_lifetime(ticket), received_at=client.now())
    if client.sessions is not None:
        _remember(client.sessions, binding, session)
    return _established(hello, answer, master, first, session.group, session.peer, session.credential, resumed=True)


async def _receive_finished(
    flow: Flow, client: ClientParameters, master: MasterSecret, server_keys: DirectionKeys12, answer: ServerHello
) -> bytes:
    longest = MAX_PLAINTEXT
    if answer.record_size_limit is not None:
        longest = own_limit(client.record_size_limit, ProtocolVersion.TLS1_2)
    await flow.change_cipher_spec(Opener12(server_keys, longest))
    transcript_hash = flow.transcript.digest()
    finished = await flow.receive(Finished)
    if not master.finished_is_valid(finished.verify_data, client=False, transcript_hash=transcript_hash):
        raise PeerMisbehaved(Misbehaviour.BAD_FINISHED)
    return finished.verify_data


def _lifetime(ticket: NewSessionTicket12 | None) -> int:
    # RFC 5077 3.3: a hint of 0 leaves it to the client.
    return min(ticket.lifetime, MAX_LIFETIME) if ticket is not None and ticket.lifetime else _DEFAULT_LIFETIME


def _kept(ticket: NewSessionTicket12 | None) -> bytes:
    return ticket.ticket if ticket is not None and len(ticket.ticket) <= MAX_TICKET else b""


def _remember(store: ClientSessionStore, key: bytes, session: ClientSession) -> None:
    if session.ticket or session.session_id:
        remember(store, key, session)


def _established(
    hello: ClientHello,
    answer: ServerHello,
    master: MasterSecret,
    first_finished: bytes,
    group: NamedGroup,
    peer: Peer,
    credential: Credential | None,
    *,
    resumed: bool,
) -> Established:
    return Established(
        info=ConnectionInfo(
            version=ProtocolVersion.TLS1_2,
            suite=master.suite.suite,
            group=group,
            alpn=None if answer.alpn is None else answer.alpn.decode("latin-1"),
            server_name=hello.server_name,
            credential=credential,
            resumed=resumed,
            record_size_limit=answer.record_size_limit,
        ),
        peer=peer,
        exporter=master.exporter(hello.random + answer.random),
        tls_unique=first_finished,
    )


# -- The full handshake -----------------------------------------------------------------------------------------------


def _chosen_suite(client: ClientParameters, hello: ClientHello, answer: ServerHello) -> SuiteAlgorithms12:
    """The suite of a ServerHello that keeps to what was offered."""
    for kind in check_solicited(answer, hello):
        if kind in _TLS13_ONLY:
            raise PeerMisbehaved(Misbehaviour.UNEXPECTED_EXTENSION, f"{ExtensionType(kind)} in TLS 1.2")
    if answer.compression_method:
        raise PeerMisbehaved(Misbehaviour.BAD_COMPRESSION)
    if answer.renegotiation_info:
        # RFC 5746 3.4: in a first handshake there is nothing to be bound to.
        raise PeerMisbehaved(Misbehaviour.BAD_RENEGOTIATION_INFO)
    if answer.ec_point_formats is not None and ECPointFormat.UNCOMPRESSED not in answer.ec_point_formats:
        raise PeerMisbehaved(Misbehaviour.NO_UNCOMPRESSED_POINTS)
    if answer.alpn is not None and answer.alpn not in client.alpn:
        raise PeerMisbehaved(Misbehaviour.ALPN_NOT_OFFERED, repr(answer.alpn))
    suite = client.provider.suites12_by_name.get(answer.cipher_suite)
    if suite is None:
        raise PeerMisbehaved(Misbehaviour.SUITE_NOT_OFFERED, str(answer.cipher_suite))
    return suite


def _negotiated_extended_master_secret(client: ClientParameters, answer: ServerHello) -> bool:
    if answer.extended_master_secret is None and client.require_extended_master_secret:
        raise PeerIncompatible(Incompatibility.NO_EXTENDED_MASTER_SECRET)
    return bool(answer.extended_master_secret)


async def _authenticate_server(
    flow: Flow,
    client: ClientParameters,
    server_name: ServerName,
    suite: SuiteAlgorithms12,
    randoms: bytes,
    *,
    stapled: bool,
    raw: bool,
) -> tuple[Peer, ServerKeyExchange]:
    """Certificate and ServerKeyExchange: who the server is, proven by its signature over its ephemeral key."""
    if raw:
        return await _authenticate_raw_server(flow, client, server_name, suite, randoms)
    message = await flow.receive(CertificateMessage12)
    if not message.certificates:
        raise PeerMisbehaved(Misbehaviour.NO_SERVER_CERTIFICATE)
    chain = parsed_chain(message.certificates)
    exchange: ServerKeyExchange
    ocsp_response = b""
    if stapled:
        # RFC 6066 8: a server that promised a CertificateStatus may still leave it out.
        status = await flow.receive(CertificateStatus, ServerKeyExchange)
        if isinstance(status, CertificateStatus):
            ocsp_response = status.response
            exchange = await flow.receive(ServerKeyExchange)
        else:
            exchange = status
    else:
        exchange = await flow.receive(ServerKeyExchange)
    peer = await verified_server(flow, client, server_name, chain, ocsp_response=ocsp_response)
    _check_exchange(client, chain[0], suite, exchange, randoms)
    return peer, exchange


async def _authenticate_raw_server(
    flow: Flow, client: ClientParameters, server_name: ServerName, suite: SuiteAlgorithms12, randoms: bytes
) -> tuple[Peer, ServerKeyExchange]:
    """The same of a server with a raw public key (RFC 7250 3)."""
    from trustls.handshake.raw_keys import verified_raw_server
    from trustls.trust.raw_key import RawPublicKey

    message = await flow.receive(RawKeyMessage12)
    if not message.spki:
        raise PeerMisbehaved(Misbehaviour.NO_SERVER_CERTIFICATE)
    key = RawPublicKey.from_der(message.spki)
    exchange = await flow.receive(ServerKeyExchange)
    peer = await verified_raw_server(flow, client, server_name, key)
    _check_exchange(client, key, suite, exchange, randoms)
    return peer, exchange


def _check_exchange(
    client: ClientParameters,
    leaf: Certificate | RawPublicKey,
    suite: SuiteAlgorithms12,
    exchange: ServerKeyExchange,
    randoms: bytes,
) -> None:
    """Refuse a key that does not go with the suite, or did not sign the exchange."""
    if is_rsa(leaf) != suite.signs_with_rsa:
        raise PeerMisbehaved(Misbehaviour.KEY_NOT_FOR_SUITE, f"{suite.suite}")
    curve = curve_of(leaf)
    if curve is not None and _offered_group(client, curve) is None:
        # RFC 8422 5.1: the groups on offer are those of certificates as well.
        what = "certificate's" if isinstance(leaf, Certificate) else "raw public"
        raise PeerMisbehaved(Misbehaviour.GROUP_NOT_OFFERED, f"the {what} key is on {curve}")
    check_signature12(
        leaf,
        exchange.scheme,
        exchange.signature,
        randoms + exchange.parameters(),
        offered=client.provider.schemes12,
    )


def _offered_group(client: ClientParameters, name: NamedGroup) -> KeyExchangeGroup | None:
    for group in client.provider.ecdhe_groups:
        if group.group == name:
            return group
    return None


def _send_key_exchange(flow: Flow, client: ClientParameters, exchange: ServerKeyExchange) -> bytes:
    """ClientKeyExchange; the premaster secret."""
    group = _offered_group(client, exchange.group)
    if group is None:
        raise PeerMisbehaved(Misbehaviour.GROUP_NOT_OFFERED, str(exchange.group))
    try:
        public, premaster = group.respond(exchange.public)
    except BadKeyShare as error:
        raise PeerMisbehaved(Misbehaviour.BAD_KEY_SHARE, str(error)) from None
    flow.send(ClientKeyExchange(public=public))
    return premaster


def _credential_request(request: CertificateRequest12) -> CredentialRequest:
    return CredentialRequest(
        version=ProtocolVersion.TLS1_2,
        authorities=request.certificate_authorities,
        signature_schemes=request.signature_algorithms,
        signature_schemes_cert=request.signature_algorithms,
        certificate_types=request.certificate_types,
    )
