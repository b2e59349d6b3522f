"""What a peer says about the certificates that it can accept."""

from __future__ import annotations

from dataclasses import dataclass

from trustls.wire.enums import ProtocolVersion, SignatureScheme
from trustls.wire.names import DistinguishedName


@dataclass(frozen=True, slots=True)
class CredentialRequest:
    """A CertificateRequest as its receiver may act on it (RFC 9846 4.4.2).

    `authorities` are the CA names sent, in order; empty when none came, which means that any issuer will do.
    `signature_schemes` are those the peer can verify, in its order of preference.
    `signature_schemes_cert` are those it accepts inside certificates; the same unless it said otherwise.
    """

    version: ProtocolVersion
    authorities: tuple[DistinguishedName, ...]
    signature_schemes: tuple[SignatureScheme, ...]
    signature_schemes_cert: tuple[SignatureScheme, ...]
