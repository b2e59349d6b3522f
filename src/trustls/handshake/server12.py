"""The server's side of the TLS 1.2 handshake, from ClientHello on (RFC 5246 7.3, figure 1; RFC 8422)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trustls.crypto.aead import SuiteAlgorithms12
from trustls.crypto.key_exchange import BadKeyShare, KeyExchangeGroup, PrivateShare
from trustls.errors import Incompatibility, Misbehaviour, PeerIncompatible, PeerMisbehaved
from trustls.handshake.alpn import chosen_alpn
from trustls.handshake.authentication import (
    own_staple,
    parsed_chain,
    require_certificate,
    server_credential,
    verified_client,
)
from trustls.handshake.authentication12 import check_signature12, send_certificate12
from trustls.handshake.binding import server_binding
from trustls.handshake.disagreement import nothing_in_common
from trustls.handshake.established import ConnectionInfo, Established
from trustls.handshake.flow import Flow
from trustls.handshake.key_log import log_master_secret
from trustls.handshake.parameters import ServerParameters
from trustls.handshake.record_sizes import keep_to, own_limit
from trustls.handshake.server_sessions import find_session, new_identifier, presented_by, store_under, stored
from trustls.identity.credential import Credential
from trustls.identity.signer import signature_from
from trustls.protocol.key_schedule12 import DirectionKeys12, MasterSecret
from trustls.protocol.record import MAX_PLAINTEXT, Opener12, Sealer12
from trustls.session.state import ServerSession
from trustls.session.tickets import StoredSessions, Tickets
from trustls.trust.certificate import Certificate
from trustls.trust.verifiers import Peer
from trustls.values import dataclass
from trustls.wire.enums import (
    CipherSuite,
    ClientCertificateType,
    ECPointFormat,
    ProtocolVersion,
    SignatureScheme,
)
from trustls.wire.messages import DOWNGRADE_TO_TLS12, CertificateVerify, ClientHello, Finished, ServerHello
from trustls.wire.messages12 import (
    CertificateMessage12,
    CertificateRequest12,
    CertificateStatus,
    ClientKeyExchange,
    NewSessionTicket12,
    RawKeyMessage12,
    ServerHelloDone,
    ServerKeyExchange,
    ecdh_parameters,
)
from trustls.wire.names import DistinguishedName

if TYPE_CHECKING:
    from trustls.handshake.certificate_types import AgreedTypes
    from trustls.trust.raw_key import RawPublicKey


@dataclass(slots=True)
class _Choice:
    """What the server settles on."""

    types: AgreedTypes | None
    credential: Credential
    scheme: SignatureScheme
    suite: SuiteAlgorithms12
    group: KeyExchangeGroup
    alpn: bytes | None
    extended: bool


async def server_handshake12(flow: Flow, server: ServerParameters, hello: ClientHello) -> Established:
    """The rest of a handshake whose ClientHello leads to TLS 1.2."""
    flow.speak_tls12()
    _check_hello(server, hello)
    if hello.record_size_limit is not None:
        keep_to(flow, hello.record_size_limit, ProtocolVersion.TLS1_2)
    resumable = await _resumable(flow, server, hello)
    if resumable is not None:
        return await _resume(flow, server, hello, *resumable)

    choice = await _choose(flow, server, hello)
    staple = await own_staple(flow, choice.credential) if hello.status_request is not None else None
    suite = choice.suite
    policy = server.resumption
    gives_ticket = isinstance(policy, Tickets) and hello.session_ticket is not None
    session_id = new_identifier() if isinstance(policy, StoredSessions) else b""
    answer = _server_hello(server, hello, suite, choice.alpn, session_id=session_id, ticket=gives_ticket)
    if staple is not None:
        answer.status_request = True
    types = choice.types
    if types is not None:
        answer.client_certificate_type, answer.server_certificate_type = types.client_answer, types.server_answer
    flow.send(answer)
    flow.transcript.start(suite.hash, keep=True)
    randoms = hello.random + answer.random

    send_certificate12(flow, choice.credential)
    if staple is not None:
        flow.send(CertificateStatus(response=staple))
    share = await _send_key_exchange(flow, choice, randoms)
    asks = server.client_auth.verifier is not None
    raw = types is not None and types.raw_client
    if asks and raw:
        flow.send(_certificate_request(server, ()))
    elif asks:
        _send_certificate_request(flow, server)
    flow.send(ServerHelloDone())

    key = await _client_key(flow, server) if asks and raw else None
    chain = await _client_chain(flow, server) if asks and not raw else ()
    premaster = _premaster(share, await flow.receive(ClientKeyExchange))
    session_hash = flow.transcript.digest() if choice.extended else None
    master = MasterSecret.derive(suite, premaster, session_hash=session_hash, randoms=randoms)
    log_master_secret(server.key_log, hello.random, master)
    peer = None
    if chain:
        peer = await _authenticate_client(flow, server, chain)
    elif key is not None:
        peer = await _authenticate_raw_client(flow, server, key)
    flow.transcript.forget()

    client_keys, server_keys = master.record_keys(hello.random, answer.random)
    first = await _receive_finished(flow, master, client_keys, answer.record_size_limit or MAX_PLAINTEXT)
    if policy is not None:
        session = _session(server, hello, choice, master, peer, policy.lifetime)
        if gives_ticket:
            ticket = await stored(flow, server, session)
            flow.send(NewSessionTicket12(lifetime=policy.lifetime, ticket=ticket or b""))
        elif isinstance(policy, StoredSessions):
            await store_under(flow, policy, session_id, session)
    _send_finished(flow, master, server_keys)

    return Established(
        info=ConnectionInfo(
            version=ProtocolVersion.TLS1_2,
            suite=suite.suite,
            group=choice.group.group,
            alpn=None if choice.alpn is None else choice.alpn.decode("latin-1"),
            server_name=hello.server_name,
            credential=choice.credential,
            record_size_limit=hello.record_size_limit,
        ),
        peer=peer,
        exporter=master.exporter(randoms),
        tls_unique=first,
    )


async def _receive_finished(
    flow: Flow, master: MasterSecret, client_keys: DirectionKeys12, max_plaintext: int
) -> bytes:
    await flow.change_cipher_spec(Opener12(client_keys, max_plaintext))
    transcript_hash = flow.transcript.digest()
    finished = await flow.receive(Finished)
    if not master.finished_is_valid(finished.verify_data, client=True, transcript_hash=transcript_hash):
        raise PeerMisbehaved(Misbehaviour.BAD_FINISHED)
    return finished.verify_data


def _send_finished(flow: Flow, master: MasterSecret, server_keys: DirectionKeys12) -> bytes:
    flow.send_change_cipher_spec()
    flow.write_under(Sealer12(server_keys))
    verify_data = master.verify_data(client=False, transcript_hash=flow.transcript.digest())
    flow.send(Finished(verify_data=verify_data))
    return verify_data


# -- The abbreviated handshake ----------------------------------------------------------------------------------------


async def _resumable(
    flow: Flow, server: ServerParameters, hello: ClientHello
) -> tuple[ServerSession, Peer | None, SuiteAlgorithms12] | None:
    """The session that the client wants to go on with, if it can; its client is verified anew."""
    identifier = hello.session_ticket if isinstance(server.resumption, Tickets) else hello.session_id
    if not identifier or server.resumption is None:
        return None
    found = await find_session(flow, server, identifier, ProtocolVersion.TLS1_2, hello.server_name)
    if found is None:
        return None
    session, peer = found
    suite = server.provider.suites12_by_name.get(session.suite)
    if suite is None or session.suite not in hello.cipher_suites:
        return None
    extends = bool(hello.extended_master_secret)
    if session.extended_master_secret and not extends:
        # RFC 7627 5.3: the session was bound to its handshake, and this client no longer binds.
        raise PeerIncompatible(Incompatibility.NO_EXTENDED_MASTER_SECRET)
    return (session, peer, suite) if session.extended_master_secret == extends else None


async def _resume(
    flow: Flow,
    server: ServerParameters,
    hello: ClientHello,
    session: ServerSession,
    peer: Peer | None,
    suite: SuiteAlgorithms12,
) -> Established:
    """The handshake of a session that both sides remember (RFC 5246 7.3, figure 2)."""
    alpn = chosen_alpn(server, hello)
    answer = _server_hello(server, hello, suite, alpn, session_id=hello.session_id, ticket=False)
    answer.server_name = None  # RFC 6066 3: not when a session is resumed.
    if hello.server_certificate_type is not None:
        from trustls.handshake.certificate_types import agreed_types  # Few need it.

        answer.server_certificate_type = agreed_types(server, hello, resumes=True).server_answer
    flow.send(answer)
    flow.transcript.start(suite.hash)
    master = MasterSecret(suite, session.secret, session.extended_master_secret)
    log_master_secret(server.key_log, hello.random, master)
    client_keys, server_keys = master.record_keys(hello.random, answer.random)
    first = _send_finished(flow, master, server_keys)
    await _receive_finished(flow, master, client_keys, answer.record_size_limit or MAX_PLAINTEXT)
    return Established(
        info=ConnectionInfo(
            version=ProtocolVersion.TLS1_2,
            suite=suite.suite,
            group=session.group,
            alpn=None if alpn is None else alpn.decode("latin-1"),
            server_name=hello.server_name,
            credential=None,
            resumed=True,
            record_size_limit=hello.record_size_limit,
        ),
        peer=peer,
        exporter=master.exporter(hello.random + answer.random),
        tls_unique=first,
    )


def _session(
    server: ServerParameters,
    hello: ClientHello,
    choice: _Choice,
    master: MasterSecret,
    peer: Peer | None,
    lifetime: int,
) -> ServerSession:
    return ServerSession(
        version=ProtocolVersion.TLS1_2,
        suite=choice.suite.suite,
        group=choice.group.group,
        secret=master.secret,
        binding=server_binding(server.client_auth),
        server_name=hello.server_name,
        alpn=choice.alpn,
        client_chain=() if peer is None else presented_by(peer),
        issued_at=int(server.now() * 1000),
        lifetime=lifetime,
        extended_master_secret=choice.extended,
        client_is_raw_key=peer is not None and peer.raw_key is not None,
    )


# -- The hellos -------------------------------------------------------------------------------------------------------


def _check_hello(server: ServerParameters, hello: ClientHello) -> None:
    """Refuse what no TLS 1.2 handshake may have here."""
    if hello.ec_point_formats is not None and ECPointFormat.UNCOMPRESSED not in hello.ec_point_formats:
        raise PeerMisbehaved(Misbehaviour.NO_UNCOMPRESSED_POINTS)
    if hello.renegotiation_info:
        # RFC 5746 3.6: in a first handshake there is nothing to be bound to.
        raise PeerMisbehaved(Misbehaviour.BAD_RENEGOTIATION_INFO)
    if not hello.extended_master_secret and server.require_extended_master_secret:
        raise PeerIncompatible(Incompatibility.NO_EXTENDED_MASTER_SECRET)


async def _choose(flow: Flow, server: ServerParameters, hello: ClientHello) -> _Choice:
    if hello.signature_algorithms is None:
        # RFC 5246 7.4.1.4.1: that means SHA-1.
        raise PeerIncompatible(Incompatibility.NO_COMMON_SCHEME, "the client does not say what it verifies")
    schemes = hello.signature_algorithms
    types = None
    if server.certificate_types is not None or hello.server_certificate_type is not None:
        from trustls.handshake.certificate_types import agreed_types  # Few need it.

        types = agreed_types(server, hello)
    suites = _common_suites(server, hello)
    usable = _credentials_with_suite(server, hello, suites)
    group = _chosen_group(server, hello)
    credential = await server_credential(flow, server, hello, ProtocolVersion.TLS1_2, usable, types)
    scheme = credential.scheme_for(schemes, ProtocolVersion.TLS1_2)
    if scheme is None:
        raise PeerIncompatible(Incompatibility.NO_COMMON_SCHEME)
    return _Choice(
        types=types,
        credential=credential,
        scheme=scheme,
        suite=_chosen_suite(hello, suites, credential),
        group=group,
        alpn=chosen_alpn(server, hello),
        extended=bool(hello.extended_master_secret),
    )


def _common_suites(server: ServerParameters, hello: ClientHello) -> tuple[SuiteAlgorithms12, ...]:
    """Our suites that the client offers too, in its order of preference."""
    ours = server.provider.suites12_by_name
    return tuple([ours[suite] for suite in hello.cipher_suites if suite in ours])


def _credentials_with_suite(
    server: ServerParameters, hello: ClientHello, suites: tuple[SuiteAlgorithms12, ...]
) -> tuple[Credential, ...]:
    """The credentials for whose kind of key there is one of `suites`."""
    kinds = {suite.signs_with_rsa for suite in suites}
    held = server.current_credentials()
    usable = tuple([item for item in held if item.signs_with_rsa in kinds])
    if not usable:
        here = {item.signs_with_rsa for item in held}
        raise nothing_in_common(
            Incompatibility.NO_COMMON_SUITE,
            hello.cipher_suites,
            [item.suite for item in server.provider.suites12 if item.signs_with_rsa in here],
            remedy=f"give this server a certificate with {'an RSA' if True in kinds else 'an ECDSA'} key as well"
            if kinds
            else "",
        )
    return usable


def _chosen_suite(
    hello: ClientHello, suites: tuple[SuiteAlgorithms12, ...], credential: Credential
) -> SuiteAlgorithms12:
    """The first suite that goes with the credential's key."""
    with_rsa = credential.signs_with_rsa
    for suite in suites:
        if suite.signs_with_rsa == with_rsa:
            return suite
    raise nothing_in_common(Incompatibility.NO_COMMON_SUITE, hello.cipher_suites, [item.suite for item in suites])


def _chosen_group(server: ServerParameters, hello: ClientHello) -> KeyExchangeGroup:
    # RFC 8422 4 lets who does not say take any. Nobody that is alive does not say.
    offered = hello.supported_groups or ()
    for item in server.provider.ecdhe_groups:
        if item.group in offered:
            return item
    ours = [item.group for item in server.provider.ecdhe_groups]
    raise nothing_in_common(Incompatibility.NO_COMMON_GROUP, offered, ours)


def _server_hello(
    server: ServerParameters,
    hello: ClientHello,
    suite: SuiteAlgorithms12,
    alpn: bytes | None,
    *,
    session_id: bytes,
    ticket: bool,
) -> ServerHello:
    random = server.provider.random(32)
    if ProtocolVersion.TLS1_3 in server.versions:
        random = random[:-8] + DOWNGRADE_TO_TLS12  # RFC 9846 4.2.3: so that a client that could do better knows.
    secure = (
        hello.renegotiation_info is not None or CipherSuite.TLS_EMPTY_RENEGOTIATION_INFO_SCSV in hello.cipher_suites
    )
    return ServerHello(
        random=random,
        session_id=session_id,
        cipher_suite=suite.suite,
        server_name=True if hello.server_name is not None else None,
        ec_point_formats=(ECPointFormat.UNCOMPRESSED,) if hello.ec_point_formats is not None else None,
        extended_master_secret=True if hello.extended_master_secret else None,
        session_ticket=True if ticket else None,
        renegotiation_info=b"" if secure else None,
        alpn=alpn,
        record_size_limit=None
        if hello.record_size_limit is None
        else own_limit(server.record_size_limit, ProtocolVersion.TLS1_2),
    )


# -- Key exchange -----------------------------------------------------------------------------------------------------


async def _send_key_exchange(flow: Flow, choice: _Choice, randoms: bytes) -> PrivateShare:
    """ServerKeyExchange: an ephemeral key, signed together with both randoms."""
    share = choice.group.start()
    content = randoms + ecdh_parameters(choice.group.group, share.public)
    signature = signature_from(await flow.outside("sign", choice.credential.signer.sign, choice.scheme, content))
    flow.send(
        ServerKeyExchange(group=choice.group.group, public=share.public, scheme=choice.scheme, signature=signature)
    )
    return share


def _premaster(share: PrivateShare, exchange: ClientKeyExchange) -> bytes:
    try:
        return share.complete(exchange.public)
    except BadKeyShare as error:
        raise PeerMisbehaved(Misbehaviour.BAD_KEY_SHARE, str(error)) from None


# -- Client authentication --------------------------------------------------------------------------------------------


def _send_certificate_request(flow: Flow, server: ServerParameters) -> None:
    """Say what certificates are accepted: the same message each time, while the CA names stay the same."""
    hints = server.client_auth.hints
    flow.send_ready(CertificateRequest12, server.ready_request12.of(hints, lambda: _certificate_request(server, hints)))


def _certificate_request(server: ServerParameters, hints: tuple[DistinguishedName, ...]) -> CertificateRequest12:
    """What certificates are accepted. The list of authorities is a field here, and may be empty."""
    return CertificateRequest12(
        certificate_types=(ClientCertificateType.ECDSA_SIGN, ClientCertificateType.RSA_SIGN),
        signature_algorithms=server.provider.schemes12,
        certificate_authorities=hints,
    )


async def _client_chain(flow: Flow, server: ServerParameters) -> tuple[Certificate, ...]:
    message = await flow.receive(CertificateMessage12)
    if not message.certificates:
        require_certificate(server.client_auth, ProtocolVersion.TLS1_2)
    return parsed_chain(message.certificates)


async def _client_key(flow: Flow, server: ServerParameters) -> RawPublicKey | None:
    """What the client presents where a raw public key was agreed on (RFC 7250 3)."""
    from trustls.handshake.raw_keys import require_raw_key
    from trustls.trust.raw_key import RawPublicKey

    message = await flow.receive(RawKeyMessage12)
    if not message.spki:
        require_raw_key(server.client_auth, ProtocolVersion.TLS1_2)
        return None
    return RawPublicKey.from_der(message.spki)


async def _authenticate_raw_client(flow: Flow, server: ServerParameters, key: RawPublicKey) -> Peer:
    """As `_authenticate_client`, of a raw public key."""
    from trustls.handshake.raw_keys import verified_raw_client

    signed = flow.transcript.content()
    proof = await flow.receive(CertificateVerify)
    peer = await verified_raw_client(flow, server, server.client_auth, key)
    check_signature12(key, proof.scheme, proof.signature, signed, offered=server.provider.schemes12)
    return peer


async def _authenticate_client(flow: Flow, server: ServerParameters, chain: tuple[Certificate, ...]) -> Peer:
    """CertificateVerify, over every message before it: who the client is, proven."""
    signed = flow.transcript.content()
    proof = await flow.receive(CertificateVerify)
    peer = await verified_client(flow, server, server.client_auth, chain)
    check_signature12(
        chain[0],
        proof.scheme,
        proof.signature,
        signed,
        offered=server.provider.schemes12,
        any_usage=peer.error is not None,
    )
    return peer
