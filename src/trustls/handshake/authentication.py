"""Certificate and CertificateVerify, sent and checked; the same on both sides (RFC 9846 4.5)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from trustls.crypto.signatures import BadSignature, WrongKey, is_rsa_key, verify
from trustls.errors import (
    AlertDescription,
    CertificateProblem,
    CertificateRejected,
    ConfigError,
    InternalError,
    Misbehaviour,
    PeerMisbehaved,
)
from trustls.handshake.flow import Flow
from trustls.handshake.parameters import ClientParameters, ServerParameters
from trustls.identity.credential import Credential
from trustls.identity.request import CredentialRequest
from trustls.trust.certificate import Certificate
from trustls.trust.client_auth import ClientAuthMode
from trustls.trust.names import ServerName
from trustls.trust.verifiers import ClientVerifier, Peer
from trustls.wire.enums import ExtensionType, ProtocolVersion, SignatureScheme
from trustls.wire.messages import CertificateEntry, CertificateMessage, CertificateVerify
from trustls.wire.messages12 import CertificateMessage12

SERVER_CONTEXT: Final = b"TLS 1.3, server CertificateVerify"
CLIENT_CONTEXT: Final = b"TLS 1.3, client CertificateVerify"
_NO_EXTENSIONS: Final[frozenset[int]] = frozenset()

# More than any honest chain, and a bound on what path validation is handed.
MAX_CERTIFICATES: Final = 16


def signed_content(context: bytes, transcript_hash: bytes) -> bytes:
    """What a CertificateVerify signs (RFC 9846 4.5.2)."""
    return b" " * 64 + context + b"\0" + transcript_hash


async def send_certificate(
    flow: Flow,
    credential: Credential,
    accepted: tuple[SignatureScheme, ...],
    context: bytes,
    *,
    staple: bool = False,
) -> None:
    """Present `credential` and prove that its key is held here, with a scheme that the peer accepts.

    `staple` sends its OCSP response along, if it has one: only to a peer that asked.
    """
    scheme = credential.scheme_for(accepted, ProtocolVersion.TLS1_3)
    if scheme is None:
        raise ConfigError("the credential chosen cannot sign with a scheme that the peer accepts")
    entries = tuple([CertificateEntry(certificate=der) for der in _sent_chain(credential)])
    if staple:
        entries[0].status_request = credential.ocsp_response
    flow.send(CertificateMessage(entries=entries))
    content = signed_content(context, flow.transcript.digest())
    signature = await flow.outside("sign", credential.signer.sign, scheme, content)
    flow.send(CertificateVerify(scheme=scheme, signature=signature))


def _sent_chain(credential: Credential) -> list[bytes]:
    chain = credential.chain
    if len(chain) > 1 and chain[-1].is_self_issued:
        chain = chain[:-1]  # RFC 9846 4.5.1: the root may be left out, for who trusts it has it.
    return [certificate.der for certificate in chain]


async def chosen_credential(flow: Flow, client: ClientParameters, request: CredentialRequest) -> Credential | None:
    """The credential that goes with what the server asks for; None when none does."""
    credential = await flow.outside("choose a credential", client.choose_credential, request, client.credentials)
    if credential is not None and credential.scheme_for(request.signature_schemes, request.version) is None:
        raise ConfigError(f"the credential chosen cannot be used: {credential.fits(request)}")
    return credential


def require_certificate(mode: ClientAuthMode, version: ProtocolVersion) -> None:
    """Refuse a client that presented no certificate, where it must."""
    if mode is ClientAuthMode.REQUIRED:
        error = CertificateRejected(CertificateProblem.NONE_PRESENTED, "this server requires a client certificate")
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
    return _vouched_for(
        await flow.outside(purpose, verify_server, chain, server_name, now=now, ocsp_response=ocsp_response)
    )


async def verified_client(
    flow: Flow,
    server: ServerParameters,
    verifier: ClientVerifier,
    chain: tuple[Certificate, ...],
    *,
    purpose: str = "verify the client's certificate",
) -> Peer:
    """The client that the server's verifier vouches for."""
    return _vouched_for(await flow.outside(purpose, verifier.verify_client, chain, now=server.now()))


def _vouched_for(peer: object) -> Peer:
    """A verifier's answer. One that forgets to answer vouches for nobody."""
    if not isinstance(peer, Peer):
        raise InternalError(f"the verifier gave {type(peer).__name__}, not a Peer: nobody is vouched for")
    return peer


def check_certificate_verify(
    proof: CertificateVerify,
    leaf: Certificate,
    *,
    offered: tuple[SignatureScheme, ...],
    context: bytes,
    transcript_hash: bytes,
) -> None:
    """Refuse a peer that does not hold the key of `leaf`. `transcript_hash` is over all up to its Certificate."""
    content = signed_content(context, transcript_hash)
    _check_signature(leaf, proof.scheme, proof.signature, content, offered=offered, any_curve=False)


def _check_signature(
    leaf: Certificate,
    scheme: SignatureScheme,
    signature: bytes,
    content: bytes,
    *,
    offered: tuple[SignatureScheme, ...],
    any_curve: bool,
) -> None:
    if scheme not in offered:
        raise PeerMisbehaved(Misbehaviour.SCHEME_NOT_OFFERED, str(scheme))
    try:
        verify(leaf.public_key, scheme, signature, content, any_curve=any_curve)
    except WrongKey as error:
        raise PeerMisbehaved(Misbehaviour.SCHEME_NOT_FOR_KEY, str(error)) from None
    except BadSignature as error:
        raise PeerMisbehaved(Misbehaviour.BAD_SIGNATURE, str(error)) from None


# -- TLS 1.2 ----------------------------------------------------------------------------------------------------------


def send_certificate12(flow: Flow, credential: Credential | None) -> None:
    """The chain of `credential`, or an empty one."""
    chain = () if credential is None else tuple(_sent_chain(credential))
    flow.send(CertificateMessage12(certificates=chain))


async def send_certificate_verify12(flow: Flow, credential: Credential, accepted: tuple[SignatureScheme, ...]) -> None:
    """Prove that the credential's key is held here, over every message so far (RFC 5246 7.4.8)."""
    scheme = credential.scheme_for(accepted, ProtocolVersion.TLS1_2)
    if scheme is None:
        raise ConfigError("the credential chosen cannot sign with a scheme that the server accepts")
    content = flow.transcript.content()
    signature = await flow.outside("sign", credential.signer.sign, scheme, content)
    flow.send(CertificateVerify(scheme=scheme, signature=signature))


def check_signature12(
    leaf: Certificate,
    scheme: SignatureScheme,
    signature: bytes,
    content: bytes,
    *,
    offered: tuple[SignatureScheme, ...],
) -> None:
    """Refuse a peer that does not hold the key of `leaf`."""
    _check_signature(leaf, scheme, signature, content, offered=offered, any_curve=True)


def is_rsa(leaf: Certificate) -> bool:
    """Whether the key is an RSA key, for which TLS 1.2 has suites of its own."""
    return is_rsa_key(leaf.public_key)
