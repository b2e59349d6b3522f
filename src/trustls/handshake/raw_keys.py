"""Raw public keys in the place of certificates: received, believed, proven (RFC 7250 3; RFC 9846 4.5.1)."""

from __future__ import annotations

from trustls.errors import (
    AlertDescription,
    CertificateProblem,
    CertificateRejected,
    DecodeError,
    InternalError,
    Misbehaviour,
    PeerMisbehaved,
)
from trustls.handshake.authentication import CLIENT_CONTEXT, SERVER_CONTEXT, check_certificate_verify
from trustls.handshake.flow import Flow
from trustls.handshake.parameters import ClientParameters, ServerParameters
from trustls.trust.client_auth import ClientAuth, ClientAuthMode
from trustls.trust.names import ServerName
from trustls.trust.raw_key import RawPublicKey
from trustls.trust.raw_keys import RawKeyVerifier
from trustls.trust.verifiers import Peer
from trustls.wire.enums import CertificateType, ExtensionType, ProtocolVersion
from trustls.wire.messages import CertificateMessage, CertificateRequest, CertificateVerify


async def authenticated_raw_server(
    flow: Flow, client: ClientParameters, server_name: ServerName, message: CertificateMessage
) -> Peer:
    """Who the server is, proven by its Certificate, which holds a raw public key, and CertificateVerify of TLS 1.3."""
    if message.context:
        raise PeerMisbehaved(Misbehaviour.BAD_REQUEST_CONTEXT, "the server's Certificate")
    if not message.entries:
        raise PeerMisbehaved(Misbehaviour.NO_SERVER_CERTIFICATE)
    key = _presented_key(message)
    transcript_hash = flow.transcript.digest()
    proof = await flow.receive(CertificateVerify)
    peer = await verified_raw_server(flow, client, server_name, key)
    check_certificate_verify(
        proof, key, offered=client.provider.schemes13, context=SERVER_CONTEXT, transcript_hash=transcript_hash
    )
    return peer


async def authenticated_raw_client(flow: Flow, server: ServerParameters, message: CertificateMessage) -> Peer | None:
    """Who the client is, likewise; None where it may stay unknown."""
    if message.context:
        raise PeerMisbehaved(Misbehaviour.BAD_REQUEST_CONTEXT, "the client's Certificate")
    if not message.entries:
        require_raw_key(server.client_auth, ProtocolVersion.TLS1_3)
        return None
    key = _presented_key(message)
    transcript_hash = flow.transcript.digest()
    proof = await flow.receive(CertificateVerify)
    peer = await verified_raw_client(flow, server, server.client_auth, key)
    check_certificate_verify(
        proof, key, offered=server.provider.schemes13, context=CLIENT_CONTEXT, transcript_hash=transcript_hash
    )
    return peer


def raw_key_request(server: ServerParameters) -> CertificateRequest:
    """A CertificateRequest for a raw public key: it names no authorities, and no schemes for certificates."""
    return CertificateRequest(signature_algorithms=server.provider.signature_schemes)


def require_raw_key(client_auth: ClientAuth, version: ProtocolVersion) -> None:
    """Refuse a client that presented nothing, where it must."""
    if client_auth.mode is ClientAuthMode.REQUIRED:
        error = CertificateRejected(
            CertificateProblem.NONE_PRESENTED,
            "this server requires a raw public key of its clients, and the client answered with none",
            expected="a raw public key",
            found="none",
            remedy="give the client a key (Credential.from_raw_key), and check that it presents it",
        )
        if version != ProtocolVersion.TLS1_3:
            # RFC 5246 7.4.6: the alert certificate_required came with TLS 1.3.
            error.alert = AlertDescription.HANDSHAKE_FAILURE
        raise error


async def verified_raw_server(flow: Flow, client: ClientParameters, server_name: ServerName, key: RawPublicKey) -> Peer:
    """The server that the client's verifier vouches for."""
    verifier = _takes_raw_keys(client.verifier)
    purpose = "verify the server's raw public key"
    return _vouched_for(await flow.outside(purpose, verifier.verify_raw_key, key, server_name, now=client.now()), key)


async def verified_raw_client(flow: Flow, server: ServerParameters, client_auth: ClientAuth, key: RawPublicKey) -> Peer:
    """The client that the verifier vouches for; where that is only to be reported, also one that it does not."""
    verifier = _takes_raw_keys(client_auth.verifier)
    purpose = "verify the client's raw public key"
    try:
        return _vouched_for(await flow.outside(purpose, verifier.verify_raw_key, key, None, now=server.now()), key)
    except CertificateRejected as error:
        if client_auth.mode is not ClientAuthMode.REPORT:
            raise
        return Peer((), raw_key=key, error=error.with_traceback(None))


async def raw_client_again(flow: Flow, server: ServerParameters, spki: bytes) -> Peer | None:
    """The client of a session, verified anew by the raw public key that it made it with; None when it is not."""
    try:
        return await verified_raw_client(flow, server, server.client_auth, RawPublicKey.from_der(spki))
    except (CertificateRejected, DecodeError):
        return None


def _takes_raw_keys(verifier: object) -> RawKeyVerifier:
    """The verifier, when it says that it takes raw public keys: no other is ever asked about one."""
    types = getattr(verifier, "certificate_types", ())
    if CertificateType.RAW_PUBLIC_KEY not in types or not isinstance(verifier, RawKeyVerifier):
        raise CertificateRejected(
            CertificateProblem.NOT_ACCEPTED, "a raw public key, and only certificates are trusted here"
        )
    return verifier


def _vouched_for(peer: object, key: RawPublicKey) -> Peer:
    """A verifier's answer. One that forgets to answer, or speaks of another peer, vouches for nobody."""
    if not isinstance(peer, Peer) or peer.raw_key != key or peer.error is not None:
        raise InternalError(f"the verifier gave {peer!r}, not the Peer of this raw public key: nobody is vouched for")
    return peer


def _presented_key(message: CertificateMessage) -> RawPublicKey:
    """The key of a Certificate message of TLS 1.3, which holds it alone (RFC 9846 4.5.1)."""
    if len(message.entries) != 1:
        raise PeerMisbehaved(Misbehaviour.BAD_RAW_KEY_COUNT, f"{len(message.entries)}")
    for kind in message.entries[0].extension_types():
        raise PeerMisbehaved(Misbehaviour.UNSOLICITED_EXTENSION, f"{ExtensionType(kind)} beside a raw public key")
    return RawPublicKey.from_der(message.entries[0].certificate)
