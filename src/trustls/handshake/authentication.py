"""Certificate and CertificateVerify, sent and checked; the same on both sides (RFC 9846 4.5)."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from trustls.crypto.signatures import BadSignature, WrongKey, verify
from trustls.errors import CertificateProblem, CertificateRejected, InternalError, Misbehaviour, PeerMisbehaved
from trustls.handshake.flow import Flow
from trustls.identity.credential import Credential
from trustls.trust.certificate import Certificate
from trustls.trust.verifiers import Peer
from trustls.wire.enums import ExtensionType, SignatureScheme
from trustls.wire.messages import CertificateEntry, CertificateMessage, CertificateVerify

SERVER_CONTEXT: Final = b"TLS 1.3, server CertificateVerify"
CLIENT_CONTEXT: Final = b"TLS 1.3, client CertificateVerify"
_NO_EXTENSIONS: Final[frozenset[int]] = frozenset()

# More than any honest chain, and a bound on what path validation is handed.
MAX_CERTIFICATES: Final = 16


def signed_content(context: bytes, transcript_hash: bytes) -> bytes:
    """What a CertificateVerify signs (RFC 9846 4.5.2)."""
    return b" " * 64 + context + b"\0" + transcript_hash


async def send_certificate(
    flow: Flow, credential: Credential, scheme: SignatureScheme, context: bytes, request_context: bytes = b""
) -> None:
    """Present `credential` and prove that its key is held here."""
    chain = credential.chain
    if len(chain) > 1 and chain[-1].subject == chain[-1].issuer:
        chain = chain[:-1]  # RFC 9846 4.5.1: the root may be left out, for who trusts it has it.
    entries = tuple([CertificateEntry(certificate=certificate.der) for certificate in chain])
    flow.send(CertificateMessage(context=request_context, entries=entries))
    content = signed_content(context, flow.transcript.digest())
    signature = await flow.outside("sign", credential.signer.sign, scheme, content)
    flow.send(CertificateVerify(scheme=scheme, signature=signature))


def presented_chain(
    message: CertificateMessage, solicited: Collection[int | ExtensionType] = _NO_EXTENSIONS
) -> tuple[Certificate, ...]:
    """The certificates of a message, parsed; extensions of the entries must be `solicited`."""
    if len(message.entries) > MAX_CERTIFICATES:
        raise CertificateRejected(
            CertificateProblem.CHAIN_TOO_LONG, f"{len(message.entries)} certificates, at most {MAX_CERTIFICATES}"
        )
    for entry in message.entries:
        for kind in entry.extension_types():
            if kind not in solicited:
                raise PeerMisbehaved(Misbehaviour.UNSOLICITED_EXTENSION, f"{ExtensionType(kind)} beside a certificate")
    return tuple([Certificate.from_der(entry.certificate) for entry in message.entries])


def vouched_for(peer: object) -> Peer:
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
    if proof.scheme not in offered:
        raise PeerMisbehaved(Misbehaviour.SCHEME_NOT_OFFERED, str(proof.scheme))
    try:
        verify(leaf.public_key, proof.scheme, proof.signature, signed_content(context, transcript_hash))
    except WrongKey as error:
        raise PeerMisbehaved(Misbehaviour.SCHEME_NOT_FOR_KEY, str(error)) from None
    except BadSignature as error:
        raise PeerMisbehaved(Misbehaviour.BAD_SIGNATURE, str(error)) from None
