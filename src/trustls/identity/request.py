"""What a peer says about the certificates that it can accept."""

from __future__ import annotations

from dataclasses import dataclass

from trustls.wire.enums import ClientCertificateType, ProtocolVersion, SignatureScheme
from trustls.wire.names import DistinguishedName


@dataclass(frozen=True, slots=True)
class CredentialRequest:
    """A CertificateRequest as its receiver may act on it (RFC 9846 4.4.2).

    `authorities` are the CA names sent, in order; empty when none came, which means that any issuer will do.
    `signature_schemes` are those the peer can verify, in its order of preference.
    `signature_schemes_cert` are those it accepts inside certificates; the same unless it said otherwise.
    `certificate_types` are TLS 1.2's (RFC 5246 7.4.4); empty in TLS 1.3.
    """

    version: ProtocolVersion
    authorities: tuple[DistinguishedName, ...]
    signature_schemes: tuple[SignatureScheme, ...]
    signature_schemes_cert: tuple[SignatureScheme, ...]
    certificate_types: tuple[ClientCertificateType, ...] = ()
