"""Certificate and CertificateVerify, sent and checked; the same on both sides (RFC 9846 4.5)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from trustls.crypto.signatures import BadSignature, WrongKey, verify
from trustls.errors import (
    AlertDescription,
    CertificateProblem,
    CertificateRejected,
    ConfigError,
    InternalError,
    Misbehaviour,
    PeerMisbehaved,
)
from trustls.handshake.client_answer import ClientAnswer
from trustls.handshake.flow import Flow
from trustls.handshake.parameters import ClientParameters, ServerParameters
from trustls.identity.credential import Credential
from trustls.identity.request import CredentialRequest
from trustls.identity.selection import OfferedHello, chosen_for_server, first_that_fits
from trustls.identity.signer import signature_from
from trustls.trust.certificate import Certificate
from trustls.trust.client_auth import ClientAuth, ClientAuthMode
from trustls.trust.extensions import KeyUsage
from trustls.trust.names import ServerName
from trustls.trust.signatures import is_pss_key
from trustls.trust.verifiers import Peer
from trustls.wire.enums import CertificateType, ExtensionType, ProtocolVersion, SignatureScheme
from trustls.wire.messages import (
    CertificateMessage,
    CertificateRequest,
    CertificateVerify,
    ClientHello,
    encode_message,
)
from trustls.wire.names import DistinguishedName, brief

if TYPE_CHECKING:
    from trustls.handshake.certificate_types import AgreedTypes
    from trustls.handshake.compression import Compressor
    from trustls.trust.raw_key import RawPublicKey

SERVER_CONTEXT: Final = b"TLS 1.3, server CertificateVerify"
CLIENT_CONTEXT: Final = b"TLS 1.3, client CertificateVerify"
_MAX_LISTED: Final = 8
_DIGITAL_SIGNATURE: Final = int(KeyUsage.DIGITAL_SIGNATURE)
_NO_EXTENSIONS: Final[frozenset[int]] = frozenset()

# A bound on what is parsed; `PathLimits` says how many may be verified.
MAX_CERTIFICATES: Final = 64


def signed_content(context: bytes, transcript_hash: bytes) -> bytes:
    """What a CertificateVerify signs (RFC 9846 4.5.2)."""
    return b" " * 64 + context + b"\0" + transcript_hash


async def send_certificate(
    flow: Flow,
    credential: Credential,
    accepted: tuple[SignatureScheme, ...],
    context: bytes,
    *,
    staple: bytes | None = None,
    request_context: bytes = b"",
    compressor: Compressor | None = None,
) -> None:
    """Present `credential` and prove that its key is held here, with a scheme that the peer accepts.

    `staple` is an OCSP response to send along. `request_context` is that of the CertificateRequest which is answered.
    `compressor` is what the peer can decompress.
    """
    scheme = credential.scheme_for(accepted, ProtocolVersion.TLS1_3)
    if scheme is None:
        raise ConfigError("the credential chosen cannot sign with a scheme that the peer accepts")
    if staple is None and not request_context:
        raw = credential.certificate_message
        if compressor is None or not compressor.send(flow, credential, raw, repeats=True):
            flow.send_ready(CertificateMessage, raw)
    else:
        entries = credential.certificate_entries()
        entries[0].status_request = staple
        message = CertificateMessage(context=request_context, entries=entries)
        if compressor is None or not compressor.send(
            flow, credential, encode_message(message), repeats=not request_context
        ):
            flow.send(message)
    content = signed_content(context, flow.transcript.digest())
    signature = signature_from(await flow.outside("sign", credential.signer.sign, scheme, content))
    flow.send(CertificateVerify(scheme=scheme, signature=signature))


async def own_staple(flow: Flow, credential: Credential) -> bytes | None:
    """The OCSP response that goes with a server's credential, for a client that asked; None when there is none."""
    if not credential.has_staple:
        return None
    response: bytes | None = await flow.outside("get an OCSP response to staple", credential.staple)
    return response


async def server_credential(
    flow: Flow,
    server: ServerParameters,
    hello: ClientHello,
    version: ProtocolVersion,
    credentials: tuple[Credential, ...],
    types: AgreedTypes | None = None,
) -> Credential:
    """The credential that the server presents to this client; `types` is what was agreed on, None for X.509."""
    schemes = hello.signature_algorithms or ()
    request = CredentialRequest(
        version=version,
        authorities=hello.certificate_authorities or (),
        signature_schemes=schemes,
        signature_schemes_cert=hello.signature_algorithms_cert or schemes,
        groups=hello.supported_groups or (),
        from_client=True,
        certificate_type=CertificateType.X509 if types is None else types.server,
    )
    choose = server.choose_credential
    if choose is not None:
        chosen = await flow.outside("choose a credential", choose, _offered(hello, request), credentials)
        if chosen is not None:
            if chosen.scheme_for(schemes, version) is None or chosen.certificate_type != request.certificate_type:
                raise ConfigError(f"the credential chosen cannot be used: {chosen.fits(request)}")
            return chosen
    return chosen_for_server(request, hello.server_name, credentials, now=server.now())


def _offered(hello: ClientHello, request: CredentialRequest) -> OfferedHello:
    return OfferedHello(
        version=request.version,
        server_name=hello.server_name,
        signature_schemes=request.signature_schemes,
        signature_schemes_cert=request.signature_schemes_cert,
        groups=request.groups,
        authorities=request.authorities,
        cipher_suites=hello.cipher_suites,
        alpn=tuple([name.decode("latin-1") for name in hello.alpn or ()]),
        certificate_type=request.certificate_type,
    )


async def chosen_credential(
    flow: Flow, client: ClientParameters, request: CredentialRequest, answer: ClientAnswer
) -> Credential | None:
    """The credential that goes with what the server asks for; None when none does. `answer` keeps which."""
    credentials = client.current_credentials()
    if client.choose_credential is None:
        credential = first_that_fits(request, credentials, now=client.now())
    else:
        credential = await flow.outside("choose a credential", client.choose_credential, request, credentials)
    if credential is not None and (
        credential.scheme_for(request.signature_schemes, request.version) is None
        or credential.certificate_type != request.certificate_type
    ):
        raise ConfigError(f"the credential chosen cannot be used: {credential.fits(request)}")
    answer.give(credential, credentials)
    return credential


def credential_request(request: CertificateRequest) -> CredentialRequest:
    """What a CertificateRequest of TLS 1.3 asks for."""
    schemes = request.signature_algorithms
    if schemes is None:
        raise PeerMisbehaved(Misbehaviour.MISSING_EXTENSION, "CertificateRequest without signature_algorithms")
    return CredentialRequest(
        version=ProtocolVersion.TLS1_3,
        authorities=request.certificate_authorities or (),
        signature_schemes=schemes,
        signature_schemes_cert=request.signature_algorithms_cert or schemes,
    )


def send_certificate_request(flow: Flow, server: ServerParameters) -> None:
    """Ask for a client certificate in the handshake: the same message each time, while the CA names stay the same."""
    hints = server.client_auth.hints
    flow.send_ready(CertificateRequest, server.ready_request.of(hints, lambda: certificate_request(server, hints)))


def certificate_request(
    server: ServerParameters, hints: tuple[DistinguishedName, ...], context: bytes = b""
) -> CertificateRequest:
    """What certificates are accepted. Peers reject an empty certificate_authorities, so it is left out then."""
    return CertificateRequest(
        context=context,
        signature_algorithms=server.provider.signature_schemes,
        signature_algorithms_cert=server.provider.certificate_schemes,
        compress_certificate=None if server.compression is None else server.compression.offered,
        certificate_authorities=hints or None,
    )


async def authenticated_client(
    flow: Flow, server: ServerParameters, client_auth: ClientAuth, message: CertificateMessage, *, context: bytes = b""
) -> Peer | None:
    """Who the client is, proven by its Certificate and CertificateVerify of TLS 1.3; None where it may stay unknown."""
    if message.context != context:
        raise PeerMisbehaved(Misbehaviour.BAD_REQUEST_CONTEXT, "the client's Certificate")
    if not message.entries:
        require_certificate(client_auth, ProtocolVersion.TLS1_3)
        return None
    chain = presented_chain(message)
    transcript_hash = flow.transcript.digest()
    proof = await flow.receive(CertificateVerify)
    peer = await verified_client(flow, server, client_auth, chain)
    check_certificate_verify(
        proof,
        chain[0],
        offered=server.provider.schemes13,
        context=CLIENT_CONTEXT,
        transcript_hash=transcript_hash,
        any_usage=peer.error is not None,
    )
    return peer


def require_certificate(client_auth: ClientAuth, version: ProtocolVersion) -> None:
    """Refuse a client that presented no certificate, where it must."""
    if client_auth.mode is ClientAuthMode.REQUIRED:
        names = client_auth.hints
        listed = ", ".join(map(brief, names[:_MAX_LISTED]))
        more = f" and {len(names) - _MAX_LISTED} more" if len(names) > _MAX_LISTED else ""
        named = f"it was told these authorities: {listed}{more}" if names else "it was told no authorities"
        error = CertificateRejected(
            CertificateProblem.NONE_PRESENTED,
            f"this server requires a client certificate, and the client answered with none; {named}",
            expected="a client certificate" + (f" of {listed}{more}" if names else ""),
            found="none",
            remedy="give the client a certificate and key of one of these authorities, and check that it sends it"
            if names
            else "give the client a certificate and key, and check that it sends it",
        )
        if version != ProtocolVersion.TLS1_3:
            # RFC 5246 7.4.6: the alert certificate_required came with TLS 1.3.
            error.alert = AlertDescription.HANDSHAKE_FAILURE
        raise error


def presented_chain(
    message: CertificateMessage, solicited: Collection[int | ExtensionType] = _NO_EXTENSIONS
) -> tuple[Certificate, ...]:
    """The certificates of a message, parsed; extensions of the entries must be `solicited`."""
    for entry in message.entries:
        for kind in entry.extension_types():
            if kind not in solicited:
                raise PeerMisbehaved(Misbehaviour.UNSOLICITED_EXTENSION, f"{ExtensionType(kind)} beside a certificate")
    return parsed_chain([entry.certificate for entry in message.entries])


def parsed_chain(certificates: Sequence[bytes]) -> tuple[Certificate, ...]:
    """The certificates of a message, parsed."""
    if len(certificates) > MAX_CERTIFICATES:
        raise CertificateRejected(
            CertificateProblem.CHAIN_TOO_LONG, f"{len(certificates)} certificates, at most {MAX_CERTIFICATES}"
        )
    return tuple([Certificate.from_der(certificate) for certificate in certificates])


async def verified_server(
    flow: Flow,
    client: ClientParameters,
    server_name: ServerName,
    chain: tuple[Certificate, ...],
    *,
    ocsp_response: bytes = b"",
    purpose: str = "verify the server's certificate",
) -> Peer:
    """The server that the client's verifier vouches for."""
    verify_server = client.verifier.verify_server
    now = client.now()
    peer = _vouched_for(
        await flow.outside(purpose, verify_server, chain, server_name, now=now, ocsp_response=ocsp_response)
    )
    return replace(peer, ocsp_response=ocsp_response) if ocsp_response else peer


async def verified_client(
    flow: Flow,
    server: ServerParameters,
    client_auth: ClientAuth,
    chain: tuple[Certificate, ...],
    *,
    purpose: str = "verify the client's certificate",
) -> Peer:
    """The client that the verifier vouches for; where that is only to be reported, also one that it does not."""
    verifier = client_auth.verifier
    if verifier is None:
        raise InternalError("a client certificate, and nobody to verify it")
    try:
        return _vouched_for(await flow.outside(purpose, verifier.verify_client, chain, now=server.now()))
    except CertificateRejected as error:
        if client_auth.mode is not ClientAuthMode.REPORT:
            raise
        return Peer(chain, error=error.with_traceback(None))


def _vouched_for(peer: object) -> Peer:
    """A verifier's answer. One that forgets to answer vouches for nobody."""
    if not isinstance(peer, Peer):
        raise InternalError(f"the verifier gave {type(peer).__name__}, not a Peer: nobody is vouched for")
    return peer


def check_certificate_verify(
    proof: CertificateVerify,
    leaf: Certificate | RawPublicKey,
    *,
    offered: tuple[SignatureScheme, ...],
    context: bytes,
    transcript_hash: bytes,
    any_usage: bool = False,
) -> None:
    """Refuse a peer that does not hold the key of `leaf`. `transcript_hash` is over all up to its Certificate.

    `any_usage` lets a key sign that may not: where that stands in a report already.
    """
    content = signed_content(context, transcript_hash)
    check_signature(leaf, proof.scheme, proof.signature, content, offered=offered, any_curve=False, any_usage=any_usage)


def check_signature(
    leaf: Certificate | RawPublicKey,
    scheme: SignatureScheme,
    signature: bytes,
    content: bytes,
    *,
    offered: tuple[SignatureScheme, ...],
    any_curve: bool,
    any_usage: bool,
) -> None:
    """Refuse a handshake signature that the key of `leaf` did not make, or may not make.

    `any_curve` is TLS 1.2's reading of the ECDSA schemes; `any_usage` as in `check_certificate_verify`.
    """
    if scheme not in offered:
        raise PeerMisbehaved(Misbehaviour.SCHEME_NOT_OFFERED, str(scheme))
    if is_pss_key(leaf):
        # RFC 9846 4.3.3: the schemes named rsae and pkcs1 are for keys marked rsaEncryption; those named pss are not
        # offered here.
        raise PeerMisbehaved(Misbehaviour.SCHEME_NOT_FOR_KEY, f"{scheme}, and a key that is marked for RSASSA-PSS")
    usage = None if any_usage else leaf.key_usage_bits
    if usage is not None and not usage & _DIGITAL_SIGNATURE:
        # RFC 9846 4.5.1.2: whoever verifies the certificate, its key must be allowed to sign.
        raise CertificateRejected(
            CertificateProblem.WRONG_KEY_USAGE,
            f"the key of {leaf.title} may not make the signatures of a handshake",
            certificate=leaf,
            expected="digitalSignature",
            remedy=f"issue {leaf.title} anew with digitalSignature in keyUsage",
        )
    try:
        verify(leaf.public_key, scheme, signature, content, any_curve=any_curve)
    except WrongKey as error:
        raise PeerMisbehaved(Misbehaviour.SCHEME_NOT_FOR_KEY, str(error)) from None
    except BadSignature as error:
        raise PeerMisbehaved(Misbehaviour.BAD_SIGNATURE, str(error)) from None
