"""The client's start, the same for both versions: ClientHello, and what the server makes of it."""

from __future__ import annotations

from trustls.crypto.key_exchange import HybridShare
from trustls.errors import Incompatibility, Misbehaviour, PeerIncompatible, PeerMisbehaved
from trustls.handshake.binding import client_binding
from trustls.handshake.client13 import Opening, Shares, client_handshake13, share_entries
from trustls.handshake.client_answer import ClientAnswer
from trustls.handshake.client_sessions import OfferedPsk, bind, offered_psks, remembered_group, usable_session
from trustls.handshake.established import Established
from trustls.handshake.flow import Flow
from trustls.handshake.key_log import log_early_secret
from trustls.handshake.parameters import ClientParameters
from trustls.protocol.key_schedule import TrafficSecret
from trustls.protocol.record import Sealer
from trustls.session.state import ClientSession
from trustls.trust.names import ServerName
from trustls.wire.enums import ECPointFormat, ProtocolVersion, PskKeyExchangeMode
from trustls.wire.extensions import StatusRequest
from trustls.wire.messages import (
    DOWNGRADE_TO_TLS11,
    DOWNGRADE_TO_TLS12,
    ClientHello,
    HelloRetryRequest,
    ServerHello,
)


async def client_handshake(
    flow: Flow, client: ClientParameters, server_name: ServerName, certificate: ClientAnswer
) -> Established:
    """The whole handshake. `certificate` keeps what a CertificateRequest says, and how it is answered."""
    speaks_tls13 = ProtocolVersion.TLS1_3 in client.versions
    # Of now: credentials or roots that are loaded anew meanwhile have a key of their own.
    binding = b"" if client.sessions is None else client_binding(server_name, client)
    shares = _first_shares(client, binding) if speaks_tls13 else {}
    session = await usable_session(flow, client, server_name, binding) if binding else None
    hello = _client_hello(client, server_name, shares)
    offered = offered_psks(client, session) if speaks_tls13 else ()
    early_data = _offer_resumption(client, hello, session, offered)
    flow.send_encoded(hello, bind(flow, hello, offered))
    if early_data:
        flow.send_change_cipher_spec()
        early_traffic = _early_traffic(flow, client, offered[0])
        log_early_secret(client.key_log, hello.random, early_traffic)
        flow.write_under(Sealer(early_traffic))
        flow.offer_early_data(early_data)
    if speaks_tls13:
        reply = await flow.receive(ServerHello, HelloRetryRequest)
        if isinstance(reply, HelloRetryRequest) or reply.supported_versions is not None:
            opening = Opening(server_name, hello, shares, offered, binding)
            return await client_handshake13(flow, client, opening, reply, certificate)
        answer = reply
    else:
        answer = await flow.receive(ServerHello)
    _check_older_version(client, answer)
    if early_data:
        # RFC 9846 4.3.10: early data is for a server that was known to speak TLS 1.3.
        raise PeerMisbehaved(Misbehaviour.VERSION_NOT_OFFERED, "early data was sent, the server chose TLSv1.2")
    from trustls.handshake.client12 import client_handshake12  # Few peers need it, and it takes a while to import.

    return await client_handshake12(flow, client, server_name, hello, session, binding, answer, certificate)


def _offer_resumption(
    client: ClientParameters, hello: ClientHello, session: ClientSession | None, offered: tuple[OfferedPsk, ...]
) -> int:
    """Put into `hello` what resumption needs, but the keys; how many bytes of early data go with it."""
    if client.sessions is not None:
        hello.psk_key_exchange_modes = (PskKeyExchangeMode.PSK_DHE_KE,)
        if ProtocolVersion.TLS1_2 in client.versions:
            hello.session_ticket = b""
    if offered:
        hello.psk_key_exchange_modes = (PskKeyExchangeMode.PSK_DHE_KE,)
    if ProtocolVersion.TLS1_3 not in client.versions:
        hello.psk_key_exchange_modes = None
    if session is None:
        return 0
    if session.version == ProtocolVersion.TLS1_2:
        # RFC 5077 3.4: a session id beside the ticket shows, by its echo, that the ticket was taken.
        hello.session_ticket = session.ticket
        hello.session_id = session.session_id or hello.session_id or client.provider.random(32)
        return 0
    known = session.alpn is None or session.alpn in client.alpn
    if not client.early_data or not session.max_early_data or not known:
        return 0
    hello.early_data = True
    return session.max_early_data


def _early_traffic(flow: Flow, client: ClientParameters, psk: OfferedPsk) -> TrafficSecret:
    session = psk.session
    suite = next(item for item in client.provider.suites if session is not None and item.suite == session.suite)
    return psk.early.early_traffic(suite, suite.hash.hash(flow.transcript.content()))


def _first_shares(client: ClientParameters, binding: bytes) -> Shares:
    """Shares of the groups that are configured, and of the one that this server has asked for before.

    That one goes beside the others, not in their place: a server that has learned of a better group gets that.
    """
    groups = client.key_shares
    remembered = remembered_group(client, binding)
    if remembered is not None:
        groups = tuple([item for item in client.provider.groups if item in groups or item.group == remembered])
    shares: Shares = {}
    halves: Shares = {}
    for item in groups:
        share = shares[item.group] = halves.get(item.group) or item.start()
        if isinstance(share, HybridShare):
            halves[share.ecdhe_group] = share.ecdhe
    return shares


def _client_hello(client: ClientParameters, server_name: ServerName, shares: Shares) -> ClientHello:
    provider = client.provider
    hello = ClientHello(
        random=provider.random(32),
        cipher_suites=client.cipher_suites,
        server_name=server_name.dns if client.send_server_name else None,
        supported_groups=client.supported_groups,
        signature_algorithms=provider.signature_schemes,
        signature_algorithms_cert=provider.certificate_schemes,
        alpn=client.alpn or None,
        status_request=StatusRequest() if client.request_ocsp else None,
        certificate_authorities=client.certificate_authorities or None,
        record_size_limit=client.record_size_limit,
    )
    if client.certificate_types is not None:
        client.certificate_types.offer(hello)
    if ProtocolVersion.TLS1_3 in client.versions:
        # RFC 9846 E.4: a session id that is not empty makes middleboxes see a TLS 1.2 resumption.
        hello.session_id = provider.random(32)
        hello.supported_versions = client.versions
        hello.key_share = share_entries(shares)
        hello.post_handshake_auth = client.post_handshake_auth or None
        if client.compression is not None:
            hello.compress_certificate = client.compression.offered
    if ProtocolVersion.TLS1_2 in client.versions:
        hello.ec_point_formats = (ECPointFormat.UNCOMPRESSED,)
        hello.extended_master_secret = True
        hello.renegotiation_info = b""
    return hello


def _check_older_version(client: ClientParameters, answer: ServerHello) -> None:
    """Refuse a version below what was offered, and one that somebody in between has talked us down to."""
    # RFC 9846 4.2.3: a server that speaks TLS 1.3 says so in its random when it settles for less.
    if ProtocolVersion.TLS1_3 in client.versions and answer.random[-8:] in (DOWNGRADE_TO_TLS12, DOWNGRADE_TO_TLS11):
        raise PeerMisbehaved(Misbehaviour.DOWNGRADE_DETECTED)
    if answer.legacy_version != ProtocolVersion.TLS1_2 or ProtocolVersion.TLS1_2 not in client.versions:
        offered = ", ".join(map(str, client.versions))
        raise PeerIncompatible(
            Incompatibility.NO_COMMON_VERSION,
            f"the server chose {answer.legacy_version}, this client speaks {offered}",
            expected=offered,
            found=str(answer.legacy_version),
        )
