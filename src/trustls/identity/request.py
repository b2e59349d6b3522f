"""What a peer says about the certificates that it can accept."""

from __future__ import annotations

from trustls.values import dataclass
from trustls.wire.enums import CertificateType, ClientCertificateType, NamedGroup, ProtocolVersion, SignatureScheme
from trustls.wire.names import DistinguishedName


@dataclass(frozen=True, slots=True)
class CredentialRequest:
    """What a peer can accept: a server's CertificateRequest (RFC 9846 4.4.2), or a ClientHello read in that light.

    Attributes:
        version: the version of TLS in which it is to be answered.
        authorities: the CA names sent, in order; empty when none came, which means that any issuer will do.
        signature_schemes: those the peer can verify, in its order of preference.
        signature_schemes_cert: those it accepts inside certificates; the same unless it said otherwise.
        certificate_types: TLS 1.2's kinds of key for clients (RFC 5246 7.4.4); empty in TLS 1.3, and from clients.
        groups: the supported groups of a client, whose curves an ECDSA certificate must keep to in TLS 1.2
            (RFC 8422 5.1); empty when it named none, and from servers.
        certificate_type: what was agreed on (RFC 7250): certificates, or a raw public key. For a raw public key nothing
            counts that is said of authorities, and of signatures on certificates.
        from_client: whether a client asks. Its authorities are a preference (RFC 9846 4.3.4), a server's a condition.
    """

    version: ProtocolVersion
    authorities: tuple[DistinguishedName, ...]
    signature_schemes: tuple[SignatureScheme, ...]
    signature_schemes_cert: tuple[SignatureScheme, ...]
    certificate_types: tuple[ClientCertificateType, ...] = ()
    groups: tuple[NamedGroup, ...] = ()
    from_client: bool = False
    certificate_type: CertificateType = CertificateType.X509
