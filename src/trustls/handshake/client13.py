"""The client's side of the TLS 1.3 handshake (RFC 9846 2, figures 1 and 2)."""

from __future__ import annotations

from dataclasses import field, replace
from typing import TYPE_CHECKING

from trustls.crypto.aead import SuiteAlgorithms
from trustls.crypto.key_exchange import BadKeyShare, PrivateShare
from trustls.errors import (
    Misbehaviour,
    PeerMisbehaved,
)
from trustls.handshake.authentication import (
    CLIENT_CONTEXT,
    SERVER_CONTEXT,
    check_certificate_verify,
    chosen_credential,
    credential_request,
    presented_chain,
    send_certificate,
    verified_server,
)
from trustls.handshake.client_answer import ClientAnswer
from trustls.handshake.client_sessions import OfferedPsk, TicketReceiver, bind, remember_group
from trustls.handshake.established import ConnectionInfo, Established
from trustls.handshake.flow import Flow
from trustls.handshake.key_log import log_handshake_secrets, log_traffic_secrets
from trustls.handshake.parameters import ClientParameters
from trustls.handshake.record_sizes import check_answer, keep_to, own_limit, plaintext_within
from trustls.handshake.solicited import check_solicited
from trustls.identity.credential import Credential
from trustls.identity.request import CredentialRequest
from trustls.protocol.key_schedule import HandshakeSecrets
from trustls.protocol.record import Opener, Sealer
from trustls.trust.names import ServerName
from trustls.trust.verifiers import Peer
from trustls.values import dataclass
from trustls.wire.enums import ExtensionType, NamedGroup, ProtocolVersion
from trustls.wire.extensions import KeyShareEntry
from trustls.wire.messages import (
    CertificateMessage,
    CertificateRequest,
    CertificateVerify,
    ClientHello,
    EncryptedExtensions,
    EndOfEarlyData,
    Finished,
    HelloRetryRequest,
    ServerHello,
)

if TYPE_CHECKING:
    from trustls.handshake.compression import Compressor

Shares = dict[NamedGroup, PrivateShare]

_SERVER_HELLO_EXTENSIONS = frozenset(
    (ExtensionType.SUPPORTED_VERSIONS, ExtensionType.KEY_SHARE, ExtensionType.PRE_SHARED_KEY)
)
# It comes back beside a ticket, in 2^16 bytes of extensions. Real ones have a few hundred bytes.
_MAX_COOKIE = 1 << 12
_STAPLED = frozenset((ExtensionType.STATUS_REQUEST,))
_RETRY_EXTENSIONS = frozenset((ExtensionType.SUPPORTED_VERSIONS, ExtensionType.KEY_SHARE, ExtensionType.COOKIE))
# RFC 9846 4.2.4: a retry may carry a cookie that nobody asked for.
_UNASKED = frozenset((ExtensionType.COOKIE,))


@dataclass(slots=True)
class Opening:
    """What the client began with. `binding` is what sessions of this connection are kept under."""

    server_name: ServerName
    hello: ClientHello
    shares: Shares
    offered_psks: tuple[OfferedPsk, ...]
    binding: bytes


@dataclass(slots=True)
class _Greeting:
    """How far the hellos got: what was chosen, and the secret that came of it."""

    hello: ClientHello
    suite: SuiteAlgorithms
    group: NamedGroup
    shared_secret: bytes = field(repr=False)
    psk: OfferedPsk | None
    retried: bool


async def client_handshake13(
    flow: Flow,
    client: ClientParameters,
    opening: Opening,
    answer: ServerHello | HelloRetryRequest,
    certificate: ClientAnswer,
) -> Established:
    """The rest of a handshake in which the server answered in TLS 1.3."""
    greeting = await _agree(flow, client, opening, answer)
    hello, suite, psk = greeting.hello, greeting.suite, greeting.psk

    early = None if psk is None else psk.early
    secrets = HandshakeSecrets.derive(suite, greeting.shared_secret, flow.transcript.digest(), early)
    log_handshake_secrets(client.key_log, hello.random, secrets)
    opener = Opener(secrets.server)
    flow.read_under(opener)
    if not hello.early_data:
        if not greeting.retried:
            flow.send_change_cipher_spec()
        flow.write_under(Sealer(secrets.client))

    extensions = await flow.receive(EncryptedExtensions)
    check_solicited(extensions, hello)
    if extensions.alpn is not None and extensions.alpn not in client.alpn:
        raise PeerMisbehaved(Misbehaviour.ALPN_NOT_OFFERED, repr(extensions.alpn))
    if extensions.record_size_limit is not None:
        check_answer(extensions.record_size_limit, ProtocolVersion.TLS1_3)
        keep_to(flow, extensions.record_size_limit, ProtocolVersion.TLS1_3)
        own = own_limit(client.record_size_limit, ProtocolVersion.TLS1_3)
        opener.max_plaintext = plaintext_within(own, ProtocolVersion.TLS1_3)

    early_data_taken = bool(extensions.early_data)
    if early_data_taken:
        _check_early_data(greeting, extensions)
    elif hello.early_data:
        flow.settle_early_data(accepted=False)
        flow.write_under(Sealer(secrets.client))

    request = compressor = types = None
    peer: Peer | None
    if psk is None:
        if client.certificate_types is not None:
            types = client.certificate_types.agreed(extensions)
        compression = client.compression
        first: CertificateRequest | CertificateMessage
        if compression is None:
            first = await flow.receive(CertificateRequest, CertificateMessage)
        else:
            first = await compression.receive_or_request(flow)
        if isinstance(first, CertificateMessage):
            message = first
        else:
            if first.context:
                # RFC 9846 4.4.2: empty in the handshake; only post-handshake requests carry one.
                raise PeerMisbehaved(Misbehaviour.BAD_REQUEST_CONTEXT, "CertificateRequest")
            request = credential_request(first)
            if types is not None:
                request = replace(request, certificate_type=types.client)
            certificate.asked(request)
            if compression is None:
                message = await flow.receive(CertificateMessage)
            else:
                compressor = compression.compressor(first.compress_certificate)
                message = await compression.receive(flow)
        if types is None or not types.raw_server:
            peer = await _authenticate_server(flow, client, opening.server_name, message)
        else:
            from trustls.handshake.raw_keys import authenticated_raw_server  # Few need it.

            peer = await authenticated_raw_server(flow, client, opening.server_name, message)
    else:
        peer = None if psk.session is None else psk.session.peer

    transcript_hash = flow.transcript.digest()
    finished = await flow.receive(Finished)
    if not secrets.server.finished_is_valid(finished.verify_data, transcript_hash):
        raise PeerMisbehaved(Misbehaviour.BAD_FINISHED)

    traffic = secrets.traffic_secrets(flow.transcript.digest())
    log_traffic_secrets(client.key_log, hello.random, traffic)
    flow.read_under(Opener(traffic.server, opener.max_plaintext))

    if early_data_taken:
        flow.send(EndOfEarlyData())
        flow.settle_early_data(accepted=True)
        flow.write_under(Sealer(secrets.client))
    if psk is not None and psk.session is not None:
        credential, request = psk.session.credential, psk.session.request
    else:
        credential = (
            None if request is None else await _send_client_certificate(flow, client, request, certificate, compressor)
        )
    flow.send(Finished(verify_data=secrets.client.verify_data(flow.transcript.digest())))
    flow.write_under(Sealer(traffic.client))

    if greeting.group not in opening.shares:
        remember_group(client, opening.binding, greeting.group)
    tickets = None
    if client.sessions is not None and peer is not None:
        tickets = TicketReceiver(
            client,
            client.sessions,
            opening.binding,
            secret=traffic.resumption_secret(flow.transcript.digest()),
            group=greeting.group,
            alpn=extensions.alpn,
            peer=peer,
            credential=credential,
            request=request,
        )
    return Established(
        info=ConnectionInfo(
            version=ProtocolVersion.TLS1_3,
            suite=suite.suite,
            group=greeting.group,
            alpn=None if extensions.alpn is None else extensions.alpn.decode("latin-1"),
            server_name=hello.server_name,
            credential=credential,
            resumed=psk is not None and psk.session is not None,
            retried=greeting.retried,
            psk_identity=psk.identity.identity if psk is not None and psk.session is None else None,
            record_size_limit=extensions.record_size_limit,
        ),
        peer=peer,
        exporter=traffic.exporter,
        tickets=tickets,
        transcript=flow.transcript if hello.post_handshake_auth else None,
    )


# -- The hellos -------------------------------------------------------------------------------------------------------


async def _agree(
    flow: Flow,
    client: ClientParameters,
    opening: Opening,
    answer: ServerHello | HelloRetryRequest,
) -> _Greeting:
    """What the ServerHello settles, with a second ClientHello before it where the server wants one."""
    hello, shares, offered = opening.hello, opening.shares, opening.offered_psks
    retry = None
    if isinstance(answer, HelloRetryRequest):
        retry = answer
        suite = _chosen_suite(client, hello, retry)
        flow.transcript.start_after_retry(suite.hash)
        if hello.early_data:
            flow.write_under(None)
            flow.settle_early_data(accepted=False)
        else:
            flow.send_change_cipher_spec()
        hello, shares = _second_hello(client, hello, shares, retry)
        offered = tuple([psk for psk in offered if psk.algorithm == suite.hash])
        flow.send_encoded(hello, bind(flow, hello, offered))
        after_retry = await flow.receive(ServerHello)  # RFC 9846 4.2.4: a second retry is an unexpected_message.
        answer = after_retry

    suite = _chosen_suite(client, hello, answer)
    if retry is not None and retry.cipher_suite != answer.cipher_suite:
        raise PeerMisbehaved(Misbehaviour.SUITE_CHANGED_AFTER_RETRY)
    share = answer.key_share
    if share is None:
        raise PeerMisbehaved(Misbehaviour.MISSING_EXTENSION, "ServerHello without key_share")
    private = shares.get(share.group)
    if private is None:
        raise PeerMisbehaved(Misbehaviour.GROUP_NOT_OFFERED, f"{share.group}, for which no share was sent")
    try:
        shared_secret = private.complete(share.key_exchange)
    except BadKeyShare as error:
        raise PeerMisbehaved(Misbehaviour.BAD_KEY_SHARE, str(error)) from None
    psk = _chosen_psk(offered, suite, answer)
    flow.transcript.start(suite.hash)
    return _Greeting(hello, suite, share.group, shared_secret, psk, retried=retry is not None)


def _chosen_psk(offered: tuple[OfferedPsk, ...], suite: SuiteAlgorithms, answer: ServerHello) -> OfferedPsk | None:
    """The offered key that the server took; None when it took none."""
    index = answer.pre_shared_key
    if index is None:
        return None
    if index >= len(offered) or offered[index].algorithm != suite.hash:
        raise PeerMisbehaved(Misbehaviour.SELECTED_UNOFFERED_PSK, f"number {index} of {len(offered)}")
    return offered[index]


def _check_early_data(greeting: _Greeting, extensions: EncryptedExtensions) -> None:
    """RFC 9846 4.3.10: early data goes with the first key, its suite and its application protocol, or not at all."""
    psk = greeting.psk
    session = None if psk is None else psk.session
    if session is None or greeting.suite.suite != session.suite or extensions.alpn != session.alpn:
        raise PeerMisbehaved(Misbehaviour.EARLY_DATA_NOT_POSSIBLE)


def share_entries(shares: Shares) -> tuple[KeyShareEntry, ...]:
    """The extension's form of `shares`."""
    return tuple([KeyShareEntry(group, share.public) for group, share in shares.items()])


def _second_hello(
    client: ClientParameters, hello: ClientHello, shares: Shares, retry: HelloRetryRequest
) -> tuple[ClientHello, Shares]:
    """The ClientHello that `retry` asks for, which changes nothing else (RFC 9846 4.2.2)."""
    if retry.key_share is None and retry.cookie is None:
        raise PeerMisbehaved(Misbehaviour.NEEDLESS_HELLO_RETRY)
    if retry.cookie is not None and len(retry.cookie) > _MAX_COOKIE:
        raise PeerMisbehaved(Misbehaviour.COOKIE_TOO_LONG, f"{len(retry.cookie)} bytes")
    if retry.key_share is not None:
        if retry.key_share in shares:
            raise PeerMisbehaved(Misbehaviour.RETRY_GROUP_ALREADY_SENT, str(retry.key_share))
        group = next((item for item in client.provider.groups if item.group == retry.key_share), None)
        if group is None:
            raise PeerMisbehaved(Misbehaviour.GROUP_NOT_OFFERED, f"the server asks for {retry.key_share}")
        shares = {group.group: group.start()}
    return replace(hello, key_share=share_entries(shares), cookie=retry.cookie, early_data=None), shares


def _chosen_suite(
    client: ClientParameters, hello: ClientHello, answer: ServerHello | HelloRetryRequest
) -> SuiteAlgorithms:
    """The suite of a ServerHello or HelloRetryRequest that keeps to TLS 1.3 and to what was offered."""
    if answer.supported_versions is None:
        raise PeerMisbehaved(Misbehaviour.MISSING_EXTENSION, f"{type(answer).__name__} without supported_versions")
    if answer.supported_versions != ProtocolVersion.TLS1_3:
        raise PeerMisbehaved(Misbehaviour.VERSION_NOT_OFFERED, str(answer.supported_versions))
    if answer.legacy_version != ProtocolVersion.TLS1_2:
        raise PeerMisbehaved(Misbehaviour.BAD_LEGACY_VERSION, str(answer.legacy_version))
    allowed = _RETRY_EXTENSIONS if isinstance(answer, HelloRetryRequest) else _SERVER_HELLO_EXTENSIONS
    for kind in check_solicited(answer, hello, always=_UNASKED):
        if kind not in allowed:
            raise PeerMisbehaved(
                Misbehaviour.UNEXPECTED_EXTENSION, f"{ExtensionType(kind)} in a {type(answer).__name__} of TLS 1.3"
            )
    if answer.session_id != hello.session_id:
        raise PeerMisbehaved(Misbehaviour.SESSION_ID_NOT_ECHOED)
    if answer.compression_method:
        raise PeerMisbehaved(Misbehaviour.BAD_COMPRESSION)
    suite = next((item for item in client.provider.suites if item.suite == answer.cipher_suite), None)
    if suite is None:
        raise PeerMisbehaved(Misbehaviour.SUITE_NOT_OFFERED, str(answer.cipher_suite))
    return suite


# -- Authentication ---------------------------------------------------------------------------------------------------


async def _authenticate_server(
    flow: Flow, client: ClientParameters, server_name: ServerName, message: CertificateMessage
) -> Peer:
    """The server's Certificate and CertificateVerify: who it is, proven."""
    if message.context:
        raise PeerMisbehaved(Misbehaviour.BAD_REQUEST_CONTEXT, "the server's Certificate")
    if not message.entries:
        raise PeerMisbehaved(Misbehaviour.NO_SERVER_CERTIFICATE)
    chain = presented_chain(message, _STAPLED if client.request_ocsp else ())
    transcript_hash = flow.transcript.digest()
    proof = await flow.receive(CertificateVerify)
    stapled = message.entries[0].status_request or b""
    peer = await verified_server(flow, client, server_name, chain, ocsp_response=stapled)
    check_certificate_verify(
        proof,
        chain[0],
        offered=client.provider.schemes13,
        context=SERVER_CONTEXT,
        transcript_hash=transcript_hash,
    )
    return peer


async def _send_client_certificate(
    flow: Flow,
    client: ClientParameters,
    request: CredentialRequest,
    answer: ClientAnswer,
    compressor: Compressor | None,
) -> Credential | None:
    """Certificate and CertificateVerify of the credential that fits; an empty Certificate when none does."""
    credential = await chosen_credential(flow, client, request, answer)
    if credential is None:
        flow.send(CertificateMessage())
    else:
        await send_certificate(flow, credential, request.signature_schemes, CLIENT_CONTEXT, compressor=compressor)
    return credential
