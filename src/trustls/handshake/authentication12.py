"""Certificates in the handshakes of TLS 1.2 (RFC 5246 7.4.2, 7.4.8), on top of `authentication`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trustls.crypto.signatures import is_rsa_key
from trustls.errors import ConfigError
from trustls.handshake.authentication import check_signature
from trustls.handshake.flow import Flow
from trustls.identity.credential import Credential
from trustls.identity.signer import signature_from
from trustls.trust.certificate import Certificate
from trustls.wire.enums import ProtocolVersion, SignatureScheme
from trustls.wire.messages import CertificateVerify
from trustls.wire.messages12 import CertificateMessage12, RawKeyMessage12

if TYPE_CHECKING:
    from trustls.trust.raw_key import RawPublicKey


def send_certificate12(flow: Flow, credential: Credential | None) -> None:
    """The chain of `credential`, or its raw public key, or an empty one."""
    if credential is None:
        flow.send(CertificateMessage12())  # An empty one of a raw public key has the same bytes.
    else:
        kind = CertificateMessage12 if credential.chain else RawKeyMessage12
        flow.send_ready(kind, credential.certificate_message12)


async def send_certificate_verify12(flow: Flow, credential: Credential, accepted: tuple[SignatureScheme, ...]) -> None:
    """Prove that the credential's key is held here, over every message so far (RFC 5246 7.4.8)."""
    scheme = credential.scheme_for(accepted, ProtocolVersion.TLS1_2)
    if scheme is None:
        raise ConfigError("the credential chosen cannot sign with a scheme that the server accepts")
    content = flow.transcript.content()
    signature = signature_from(await flow.outside("sign", credential.signer.sign, scheme, content))
    flow.send(CertificateVerify(scheme=scheme, signature=signature))


def check_signature12(
    leaf: Certificate | RawPublicKey,
    scheme: SignatureScheme,
    signature: bytes,
    content: bytes,
    *,
    offered: tuple[SignatureScheme, ...],
    any_usage: bool = False,
) -> None:
    """Refuse a peer that does not hold the key of `leaf`; `any_usage` as in `check_certificate_verify`."""
    check_signature(leaf, scheme, signature, content, offered=offered, any_curve=True, any_usage=any_usage)


def is_rsa(leaf: Certificate | RawPublicKey) -> bool:
    """Whether the key is an RSA key, for which TLS 1.2 has suites of its own."""
    return is_rsa_key(leaf.public_key)
