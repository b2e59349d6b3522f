"""The server's side of the TLS 1.3 handshake (RFC 9846 2, figures 1 and 2)."""

from __future__ import annotations

from dataclasses import field

from trustls.crypto.aead import SuiteAlgorithms
from trustls.crypto.key_exchange import POST_QUANTUM, BadKeyShare, KeyExchangeGroup
from trustls.errors import (
    Incompatibility,
    Misbehaviour,
    PeerIncompatible,
    PeerMisbehaved,
)
from trustls.handshake.alpn import chosen_alpn
from trustls.handshake.authentication import (
    SERVER_CONTEXT,
    authenticated_client,
    own_staple,
    send_certificate,
    send_certificate_request,
    server_credential,
)
from trustls.handshake.disagreement import nothing_in_common
from trustls.handshake.established import ConnectionInfo, Established
from trustls.handshake.flow import Flow
from trustls.handshake.key_log import log_early_secret, log_handshake_secrets, log_traffic_secrets
from trustls.handshake.parameters import ServerParameters
from trustls.handshake.record_sizes import keep_to, own_limit, plaintext_within
from trustls.handshake.server_sessions import AcceptedPsk, accepted_psk, check_psks_kept, send_tickets
from trustls.protocol.key_schedule import HandshakeSecrets, TrafficSecret
from trustls.protocol.record import MAX_PLAINTEXT, Opener, Sealer
from trustls.session.tickets import StoredSessions
from trustls.values import dataclass
from trustls.wire.enums import NamedGroup, ProtocolVersion, SignatureScheme
from trustls.wire.extensions import KeyShareEntry
from trustls.wire.messages import (
    CertificateMessage,
    ClientHello,
    EncryptedExtensions,
    EndOfEarlyData,
    Finished,
    HelloRetryRequest,
    ServerHello,
)


@dataclass(slots=True)
class _Offer:
    """A ClientHello with what TLS 1.3 requires of it there."""

    hello: ClientHello
    shares: dict[NamedGroup, bytes]
    groups: tuple[NamedGroup, ...]
    schemes: tuple[SignatureScheme, ...]


@dataclass(slots=True)
class _Greeting:
    """How far the hellos got: what was chosen, and the secret that came of it."""

    offer: _Offer
    suite: SuiteAlgorithms
    group: NamedGroup
    shared_secret: bytes = field(repr=False)
    alpn: bytes | None
    psk: AcceptedPsk | None
    early_traffic: TrafficSecret | None
    retried: bool


async def server_handshake13(flow: Flow, server: ServerParameters, hello: ClientHello) -> Established:
    """The rest of a handshake whose ClientHello leads to TLS 1.3."""
    greeting = await _agree(flow, server, hello)
    hello, suite, psk, alpn = greeting.offer.hello, greeting.suite, greeting.psk, greeting.alpn
    early_data = _early_data(psk, alpn, retried=greeting.retried)

    early = None if psk is None else psk.early
    secrets = HandshakeSecrets.derive(suite, greeting.shared_secret, flow.transcript.digest(), early)
    log_handshake_secrets(server.key_log, hello.random, secrets)
    flow.write_under(Sealer(secrets.server))
    limit, longest = None, MAX_PLAINTEXT
    if hello.record_size_limit is not None:
        limit = own_limit(server.record_size_limit, ProtocolVersion.TLS1_3)
        longest = plaintext_within(limit, ProtocolVersion.TLS1_3)
        keep_to(flow, hello.record_size_limit, ProtocolVersion.TLS1_3)
    if greeting.early_traffic is not None and early_data:
        log_early_secret(server.key_log, hello.random, greeting.early_traffic)
        flow.read_under(Opener(greeting.early_traffic))  # Its client has not heard of our limit.
        flow.take_early_data(early_data)
    else:
        flow.read_under(Opener(secrets.client, longest))
        if hello.early_data:
            flow.skip_early_data(_skippable(server))

    types = None
    if (server.certificate_types is not None or hello.server_certificate_type is not None) and (
        psk is None or psk.session is not None
    ):
        from trustls.handshake.certificate_types import agreed_types  # Few need it.

        types = agreed_types(server, hello, resumes=psk is not None)
    flow.send(
        EncryptedExtensions(
            # RFC 6066 3: with a session nothing is chosen by name.
            server_name=True if hello.server_name is not None and psk is None else None,
            alpn=alpn,
            client_certificate_type=None if types is None else types.client_answer,
            server_certificate_type=None if types is None else types.server_answer,
            record_size_limit=limit,
            early_data=True if early_data else None,
        )
    )
    credential = None
    compression = server.compression
    asks = psk is None and server.client_auth.verifier is not None
    if psk is None:
        credential = await server_credential(
            flow, server, hello, ProtocolVersion.TLS1_3, server.current_credentials(), types
        )
        if types is not None and types.raw_client and asks:
            from trustls.handshake.raw_keys import raw_key_request  # Few need it.

            flow.send(raw_key_request(server))
        elif asks:
            send_certificate_request(flow, server)
        staple = await own_staple(flow, credential) if hello.status_request is not None else None
        compressor = None if compression is None else compression.compressor(hello.compress_certificate)
        await send_certificate(
            flow, credential, greeting.offer.schemes, SERVER_CONTEXT, staple=staple, compressor=compressor
        )
    flow.send(Finished(verify_data=secrets.server.verify_data(flow.transcript.digest())))

    traffic = secrets.traffic_secrets(flow.transcript.digest())
    log_traffic_secrets(server.key_log, hello.random, traffic)
    flow.write_under(Sealer(traffic.server))

    if early_data:
        flow.may_send(None if psk is None else psk.peer)
        await flow.receive(EndOfEarlyData)
        flow.read_under(Opener(secrets.client, longest))
    peer = None
    if psk is not None:
        peer = psk.peer
    elif asks:
        message = await (flow.receive(CertificateMessage) if compression is None else compression.receive(flow))
        if types is None or not types.raw_client:
            peer = await authenticated_client(flow, server, server.client_auth, message)
        else:
            from trustls.handshake.raw_keys import authenticated_raw_client

            peer = await authenticated_raw_client(flow, server, message)
    transcript_hash = flow.transcript.digest()
    finished = await flow.receive(Finished)
    if not secrets.client.finished_is_valid(finished.verify_data, transcript_hash):
        raise PeerMisbehaved(Misbehaviour.BAD_FINISHED)
    flow.read_under(Opener(traffic.client, longest))
    later = None
    if server.post_handshake_auth is not None and hello.post_handshake_auth:
        later = flow.transcript.copy()

    if server.resumption is not None and (psk is None or psk.session is not None):
        resumption = traffic.resumption_secret(flow.transcript.digest())
        await send_tickets(flow, server, hello, resumption, group=greeting.group, alpn=alpn, peer=peer)
    return Established(
        info=ConnectionInfo(
            version=ProtocolVersion.TLS1_3,
            suite=suite.suite,
            group=greeting.group,
            alpn=None if alpn is None else alpn.decode("latin-1"),
            server_name=hello.server_name,
            credential=credential,
            resumed=psk is not None and psk.session is not None,
            retried=greeting.retried,
            psk_identity=None if psk is None else psk.external_identity,
            record_size_limit=hello.record_size_limit,
        ),
        peer=peer,
        exporter=traffic.exporter,
        transcript=later,
        server=None if later is None else server,
    )


# -- The hellos -------------------------------------------------------------------------------------------------------


async def _agree(flow: Flow, server: ServerParameters, hello: ClientHello) -> _Greeting:
    """ServerHello, with a HelloRetryRequest before it where the client sent no share of our groups."""
    offer = _offer(hello)
    suites = _common_suites(server, offer)
    group = _group_with_share(server, offer)
    retried = group is None
    if group is None:
        group = _chosen_group(server, offer)
        suites = (_suite_for_retry(server, offer, suites),)
        first = offer.hello
        offer = await _retry(flow, server, offer, suites[0], group)
        await check_psks_kept(flow, server, first, offer.hello, suites[0])
    hello = offer.hello
    alpn = chosen_alpn(server, hello)
    psk = await accepted_psk(flow, server, hello, suites)
    if psk is None and not server.credentials:
        raise PeerIncompatible(Incompatibility.NO_COMMON_PSK)
    if psk is None and not offer.schemes:
        raise PeerMisbehaved(Misbehaviour.MISSING_EXTENSION, "ClientHello without signature_algorithms")
    suite = suites[0] if psk is None else psk.suite
    early_traffic = None
    if psk is not None and psk.max_early_data:
        early_traffic = psk.early.early_traffic(suite, suite.hash.hash(flow.transcript.content()))
    try:
        public, shared_secret = group.respond(offer.shares[group.group])
    except BadKeyShare as error:
        raise PeerMisbehaved(Misbehaviour.BAD_KEY_SHARE, str(error)) from None

    flow.send(
        ServerHello(
            random=server.provider.random(32),
            session_id=hello.session_id,
            cipher_suite=suite.suite,
            supported_versions=ProtocolVersion.TLS1_3,
            key_share=KeyShareEntry(group.group, public),
            pre_shared_key=None if psk is None else psk.index,
        )
    )
    if not retried:
        # RFC 9846 E.4: required where there is a session id, allowed always, and some middleboxes look for it.
        flow.send_change_cipher_spec()
    flow.transcript.start(suite.hash)
    return _Greeting(offer, suite, group.group, shared_secret, alpn, psk, early_traffic, retried)


def _offer(hello: ClientHello) -> _Offer:
    """What a ClientHello offers; refused when it lacks what TLS 1.3 requires, or contradicts itself."""
    # RFC 9846 9.2: these must be there; signature_algorithms only where no pre-shared key takes its place.
    if hello.signature_algorithms is None and hello.pre_shared_key is None:
        raise PeerMisbehaved(Misbehaviour.MISSING_EXTENSION, "ClientHello without signature_algorithms")
    if hello.supported_groups is None:
        raise PeerMisbehaved(Misbehaviour.MISSING_EXTENSION, "ClientHello without supported_groups")
    if hello.key_share is None:
        raise PeerMisbehaved(Misbehaviour.MISSING_EXTENSION, "ClientHello without key_share")
    if hello.pre_shared_key is not None and hello.psk_key_exchange_modes is None:
        raise PeerMisbehaved(Misbehaviour.MISSING_EXTENSION, "pre_shared_key without psk_key_exchange_modes")
    shares: dict[NamedGroup, bytes] = {}
    for entry in hello.key_share:
        if entry.group in shares:
            raise PeerMisbehaved(Misbehaviour.DUPLICATE_KEY_SHARE, str(entry.group))
        if entry.group not in hello.supported_groups:
            raise PeerMisbehaved(Misbehaviour.KEY_SHARE_OUTSIDE_GROUPS, str(entry.group))
        shares[entry.group] = entry.key_exchange
    return _Offer(hello, shares, hello.supported_groups, hello.signature_algorithms or ())


def _common_suites(server: ServerParameters, offer: _Offer) -> tuple[SuiteAlgorithms, ...]:
    """The suites of both, in the client's order: all are strong, and it knows what its hardware does best."""
    ours = server.provider.suites_by_name
    common = tuple([ours[suite] for suite in offer.hello.cipher_suites if suite in ours])
    if not common:
        raise nothing_in_common(
            Incompatibility.NO_COMMON_SUITE, offer.hello.cipher_suites, [item.suite for item in server.provider.suites]
        )
    return common


def _suite_for_retry(server: ServerParameters, offer: _Offer, suites: tuple[SuiteAlgorithms, ...]) -> SuiteAlgorithms:
    """The suite that a HelloRetryRequest names: one that an external key on offer can go with, if there is one."""
    psks = offer.hello.pre_shared_key
    offered = () if psks is None else {psk.identity for psk in psks.identities}
    hashes = {psk.hash for psk in server.external_psks if psk.identity in offered}
    return next((suite for suite in suites if suite.hash.name in hashes), suites[0])


def _skippable(server: ServerParameters) -> int:
    """How many bytes of early data are passed over: what our tickets allow, and 16 KiB for those of other servers."""
    policy = server.resumption
    return max(1 << 14, policy.max_early_data if isinstance(policy, StoredSessions) else 0)


def _early_data(psk: AcceptedPsk | None, alpn: bytes | None, *, retried: bool) -> int:
    """How many bytes of early data are taken: none after a retry, or where another protocol was agreed on."""
    if psk is None or psk.session is None or retried or psk.session.alpn != alpn:
        return 0
    return psk.max_early_data


def _group_with_share(server: ServerParameters, offer: _Offer) -> KeyExchangeGroup | None:
    """Our most preferred group among those the client sent a share for; None when it must be asked for another.

    A share that is there saves a round trip, and groups of one kind are as good as each other: where both sides could
    have a secret that no quantum computer opens, and this one would rather, it is worth the round trip.
    """
    ours = server.provider.groups
    preferred = next((item for item in ours if item.group in offer.groups), None)
    usable = POST_QUANTUM if preferred is not None and preferred.group in POST_QUANTUM else offer.groups
    return next((item for item in ours if item.group in offer.shares and item.group in usable), None)


def _chosen_group(server: ServerParameters, offer: _Offer) -> KeyExchangeGroup:
    """Our most preferred group that the client supports, share or not."""
    for item in server.provider.groups:
        if item.group in offer.groups:
            return item
    ours = [item.group for item in server.provider.groups]
    raise nothing_in_common(Incompatibility.NO_COMMON_GROUP, offer.groups, ours)


async def _retry(
    flow: Flow, server: ServerParameters, first: _Offer, suite: SuiteAlgorithms, group: KeyExchangeGroup
) -> _Offer:
    """HelloRetryRequest for a share of `group`, and the second ClientHello."""
    cookies = server.retry_cookies
    choice = suite.suite.to_bytes(2, "big") + group.group.to_bytes(2, "big")
    cookie = None
    first_hash = b""
    if cookies is not None:
        first_hash = flow.transcript.hash_of_first(suite.hash)
        cookie = cookies.make(first_hash, choice, server.now())
    flow.send(
        HelloRetryRequest(
            session_id=first.hello.session_id,
            cipher_suite=suite.suite,
            supported_versions=ProtocolVersion.TLS1_3,
            key_share=group.group,
            cookie=cookie,
        )
    )
    flow.send_change_cipher_spec()
    if first.hello.early_data:
        flow.skip_early_data(_skippable(server))
    flow.transcript.start_after_retry(suite.hash)

    second = _offer(await flow.receive(ClientHello))
    if cookie is None:
        if second.hello.cookie is not None:
            raise PeerMisbehaved(Misbehaviour.BAD_COOKIE)
    elif cookies is not None:
        if second.hello.cookie is None:
            raise PeerMisbehaved(Misbehaviour.MISSING_EXTENSION, "the second ClientHello without cookie")
        cookies.check(second.hello.cookie, first_hash, choice, server.now())
    _check_unchanged(first.hello, second.hello)
    if set(second.shares) != {group.group}:
        raise PeerMisbehaved(Misbehaviour.CLIENT_HELLO_CHANGED, f"a share of {group.group} alone was asked for")
    return second


def _check_unchanged(first: ClientHello, second: ClientHello) -> None:
    """RFC 9846 4.2.2: the second ClientHello differs in key_share, cookie, padding, early_data and PSKs only."""
    for name in (
        "legacy_version",
        "random",
        "session_id",
        "cipher_suites",
        "compression_methods",
        "server_name",
        "supported_versions",
        "supported_groups",
        "signature_algorithms",
        "signature_algorithms_cert",
        "alpn",
        "psk_key_exchange_modes",
        "certificate_authorities",
        "client_certificate_type",
        "server_certificate_type",
        "post_handshake_auth",
        "record_size_limit",
        "compress_certificate",
    ):
        if getattr(first, name) != getattr(second, name):
            raise PeerMisbehaved(Misbehaviour.CLIENT_HELLO_CHANGED, name)
    if second.early_data:
        raise PeerMisbehaved(Misbehaviour.CLIENT_HELLO_CHANGED, "early_data after a HelloRetryRequest")
