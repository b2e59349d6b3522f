"""The client's side of the TLS 1.3 handshake (RFC 9846 2, figures 1 and 2)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from trustls.crypto.aead import SuiteAlgorithms
from trustls.crypto.key_exchange import BadKeyShare, HybridShare, PrivateShare
from trustls.errors import (
    ConfigError,
    Incompatibility,
    Misbehaviour,
    PeerIncompatible,
    PeerMisbehaved,
)
from trustls.handshake.authentication import (
    CLIENT_CONTEXT,
    SERVER_CONTEXT,
    check_certificate_verify,
    presented_chain,
    send_certificate,
    vouched_for,
)
from trustls.handshake.established import ConnectionInfo, Established
from trustls.handshake.flow import Flow
from trustls.handshake.key_log import log_handshake_secrets, log_traffic_secrets
from trustls.handshake.parameters import ClientParameters
from trustls.identity.credential import Credential
from trustls.identity.request import CredentialRequest
from trustls.protocol.key_schedule import HandshakeSecrets
from trustls.trust.names import ServerName
from trustls.trust.verifiers import Peer
from trustls.wire.enums import ExtensionType, NamedGroup, ProtocolVersion
from trustls.wire.extensions import Extended, KeyShareEntry
from trustls.wire.messages import (
    DOWNGRADE_TO_TLS11,
    DOWNGRADE_TO_TLS12,
    CertificateMessage,
    CertificateRequest,
    CertificateVerify,
    ClientHello,
    EncryptedExtensions,
    Finished,
    HelloRetryRequest,
    ServerHello,
)

Shares = dict[NamedGroup, PrivateShare]

_SERVER_HELLO_EXTENSIONS = frozenset((ExtensionType.SUPPORTED_VERSIONS, ExtensionType.KEY_SHARE))
# RFC 9846 4.2.4: a retry may carry a cookie that nobody asked for.
_RETRY_EXTENSIONS = _SERVER_HELLO_EXTENSIONS | {ExtensionType.COOKIE}


@dataclass(slots=True)
class _Greeting:
    """How far the hellos got: what was chosen, and the secret that came of it."""

    hello: ClientHello
    suite: SuiteAlgorithms
    group: NamedGroup
    shared_secret: bytes
    retried: bool


async def client_handshake(
    flow: Flow,
    client: ClientParameters,
    server_name: ServerName,
    on_requested: Callable[[CredentialRequest], None],
) -> Established:
    """The whole handshake. `on_requested` is told what a CertificateRequest says, as soon as it comes."""
    greeting = await _exchange_hellos(flow, client, server_name)
    hello, suite = greeting.hello, greeting.suite

    secrets = HandshakeSecrets.derive(suite, greeting.shared_secret, flow.transcript.digest())
    log_handshake_secrets(client.key_log, hello.random, secrets)
    flow.read_under(secrets.server)
    if not greeting.retried:
        flow.send_change_cipher_spec()
    flow.write_under(secrets.client)

    extensions = await flow.receive(EncryptedExtensions)
    _check_solicited(extensions, hello)
    if extensions.alpn is not None and extensions.alpn not in client.alpn:
        raise PeerMisbehaved(Misbehaviour.ALPN_NOT_OFFERED, repr(extensions.alpn))

    message = await flow.receive(CertificateRequest, CertificateMessage)
    request = None
    if isinstance(message, CertificateRequest):
        request = _credential_request(message)
        on_requested(request)
        message = await flow.receive(CertificateMessage)
    peer = await _authenticate_server(flow, client, server_name, message)

    transcript_hash = flow.transcript.digest()
    finished = await flow.receive(Finished)
    if not secrets.server.finished_is_valid(finished.verify_data, transcript_hash):
        raise PeerMisbehaved(Misbehaviour.BAD_FINISHED)

    traffic = secrets.traffic_secrets(flow.transcript.digest())
    log_traffic_secrets(client.key_log, hello.random, traffic)
    flow.read_under(traffic.server)

    credential = None if request is None else await _send_client_certificate(flow, client, request)
    flow.send(Finished(verify_data=secrets.client.verify_data(flow.transcript.digest())))
    flow.write_under(traffic.client)

    return Established(
        info=ConnectionInfo(
            version=ProtocolVersion.TLS1_3,
            suite=suite.suite,
            group=greeting.group,
            alpn=None if extensions.alpn is None else extensions.alpn.decode("latin-1"),
            server_name=hello.server_name,
            credential=credential,
            retried=greeting.retried,
        ),
        peer=peer,
        exporter=traffic.exporter,
    )


# -- The hellos -------------------------------------------------------------------------------------------------------


async def _exchange_hellos(flow: Flow, client: ClientParameters, server_name: ServerName) -> _Greeting:
    """ClientHello and ServerHello, with a HelloRetryRequest between where the server wants one."""
    shares = _first_shares(client)
    hello = _client_hello(client, server_name, shares)
    flow.send(hello)
    answer = await flow.receive(ServerHello, HelloRetryRequest)
    retry = None
    if isinstance(answer, HelloRetryRequest):
        retry = answer
        suite = _chosen_suite(client, hello, retry)
        flow.transcript.start_after_retry(suite.hash)
        hello, shares = _second_hello(client, hello, shares, retry)
        flow.send_change_cipher_spec()
        flow.send(hello)
        answer = await flow.receive(ServerHello)  # RFC 9846 4.2.4: a second retry is an unexpected_message.

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
    flow.transcript.start(suite.hash)
    return _Greeting(hello, suite, share.group, shared_secret, retried=retry is not None)


def _first_shares(client: ClientParameters) -> Shares:
    """A share of the preferred group; of X25519 too where it comes for free with the hybrid."""
    groups = client.provider.groups
    share = groups[0].start()
    shares: Shares = {groups[0].group: share}
    if isinstance(share, HybridShare) and any(group.group is NamedGroup.X25519 for group in groups):
        shares[NamedGroup.X25519] = share.x25519
    return shares


def _entries(shares: Shares) -> tuple[KeyShareEntry, ...]:
    return tuple([KeyShareEntry(group, share.public) for group, share in shares.items()])


def _client_hello(client: ClientParameters, server_name: ServerName, shares: Shares) -> ClientHello:
    provider = client.provider
    return ClientHello(
        random=provider.random(32),
        session_id=provider.random(32),  # RFC 9846 E.4: not empty, so that middleboxes see a TLS 1.2 resumption.
        cipher_suites=tuple([item.suite for item in provider.suites]),
        server_name=server_name.dns if client.send_server_name else None,
        supported_versions=(ProtocolVersion.TLS1_3,),
        supported_groups=tuple([item.group for item in provider.groups]),
        signature_algorithms=provider.offered_schemes,
        alpn=client.alpn or None,
        key_share=_entries(shares),
    )


def _second_hello(
    client: ClientParameters, hello: ClientHello, shares: Shares, retry: HelloRetryRequest
) -> tuple[ClientHello, Shares]:
    """The ClientHello that `retry` asks for, which changes nothing else (RFC 9846 4.2.2)."""
    if retry.key_share is None and retry.cookie is None:
        raise PeerMisbehaved(Misbehaviour.NEEDLESS_HELLO_RETRY)
    if retry.key_share is not None:
        if retry.key_share in shares:
            raise PeerMisbehaved(Misbehaviour.RETRY_GROUP_ALREADY_SENT, str(retry.key_share))
        group = next((item for item in client.provider.groups if item.group == retry.key_share), None)
        if group is None:
            raise PeerMisbehaved(Misbehaviour.GROUP_NOT_OFFERED, f"the server asks for {retry.key_share}")
        shares = {group.group: group.start()}
    return replace(hello, key_share=_entries(shares), cookie=retry.cookie), shares


def _chosen_suite(
    client: ClientParameters, hello: ClientHello, answer: ServerHello | HelloRetryRequest
) -> SuiteAlgorithms:
    """The suite of a ServerHello or HelloRetryRequest that keeps to TLS 1.3 and to what was offered."""
    if answer.supported_versions is None:
        _refuse_older_version(answer)
    if answer.supported_versions != ProtocolVersion.TLS1_3:
        raise PeerMisbehaved(Misbehaviour.VERSION_NOT_OFFERED, str(answer.supported_versions))
    if answer.legacy_version != ProtocolVersion.TLS1_2:
        raise PeerMisbehaved(Misbehaviour.BAD_LEGACY_VERSION, str(answer.legacy_version))
    allowed = _RETRY_EXTENSIONS if isinstance(answer, HelloRetryRequest) else _SERVER_HELLO_EXTENSIONS
    _check_solicited(answer, hello, always=allowed)
    for kind in answer.extension_types():
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


def _refuse_older_version(answer: ServerHello | HelloRetryRequest) -> None:
    # RFC 9846 4.2.3: a server that speaks TLS 1.3 says so in its random when it settles for less.
    if answer.random[-8:] in (DOWNGRADE_TO_TLS12, DOWNGRADE_TO_TLS11):
        raise PeerMisbehaved(Misbehaviour.DOWNGRADE_DETECTED)
    raise PeerIncompatible(
        Incompatibility.NO_COMMON_VERSION, f"the server chose {answer.legacy_version}, this client speaks TLSv1.3"
    )


def _check_solicited(message: Extended, hello: ClientHello, always: frozenset[ExtensionType] = frozenset()) -> None:
    """RFC 9846 4.3: a server answers extensions of the ClientHello, and sends no others."""
    offered = set(hello.extension_types())
    for kind in message.extension_types():
        if kind not in offered and kind not in always:
            raise PeerMisbehaved(
                Misbehaviour.UNSOLICITED_EXTENSION, f"{ExtensionType(kind)} in {type(message).__name__}"
            )


# -- Authentication ---------------------------------------------------------------------------------------------------


def _credential_request(request: CertificateRequest) -> CredentialRequest:
    if request.context:
        # RFC 9846 4.4.2: empty in the handshake; only post-handshake requests carry one.
        raise PeerMisbehaved(Misbehaviour.BAD_REQUEST_CONTEXT, "CertificateRequest")
    schemes = request.signature_algorithms
    if schemes is None:
        raise PeerMisbehaved(Misbehaviour.MISSING_EXTENSION, "CertificateRequest without signature_algorithms")
    return CredentialRequest(
        version=ProtocolVersion.TLS1_3,
        authorities=request.certificate_authorities or (),
        signature_schemes=schemes,
        signature_schemes_cert=request.signature_algorithms_cert or schemes,
    )


async def _authenticate_server(
    flow: Flow, client: ClientParameters, server_name: ServerName, message: CertificateMessage
) -> Peer:
    """The server's Certificate and CertificateVerify: who it is, proven."""
    if message.context:
        raise PeerMisbehaved(Misbehaviour.BAD_REQUEST_CONTEXT, "the server's Certificate")
    if not message.entries:
        raise PeerMisbehaved(Misbehaviour.NO_SERVER_CERTIFICATE)
    chain = presented_chain(message)
    transcript_hash = flow.transcript.digest()
    proof = await flow.receive(CertificateVerify)
    peer = await flow.outside(
        "verify the server's certificate",
        client.verifier.verify_server,
        chain,
        server_name,
        now=client.now(),
        ocsp_response=b"",
    )
    check_certificate_verify(
        proof,
        chain[0],
        offered=client.provider.signature_schemes,
        context=SERVER_CONTEXT,
        transcript_hash=transcript_hash,
    )
    return vouched_for(peer)


async def _send_client_certificate(
    flow: Flow, client: ClientParameters, request: CredentialRequest
) -> Credential | None:
    """Certificate and CertificateVerify of the credential that fits; an empty Certificate when none does."""
    credential = await flow.outside("choose a credential", client.choose_credential, request, client.credentials)
    if credential is None:
        flow.send(CertificateMessage())
        return None
    scheme = credential.scheme_for(request.signature_schemes)
    if scheme is None:
        raise ConfigError(f"the credential chosen cannot be used: {credential.fits(request)}")
    await send_certificate(flow, credential, scheme, CLIENT_CONTEXT)
    return credential
