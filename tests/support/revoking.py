"""CRLs and OCSP responses by the authorities of `trustls.cli.pki`, at the time of the machine."""

from __future__ import annotations

import datetime
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.ocsp import OCSPCertStatus, OCSPResponderEncoding, OCSPResponseBuilder

from trustls.cli.pki import Authority, Issued
from trustls.trust.crl import CertificateRevocationList, CrlStore

GOOD: Final = OCSPCertStatus.GOOD
REVOKED: Final = OCSPCertStatus.REVOKED


def at(hours: float) -> datetime.datetime:
    """So many hours from now."""
    now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    return now + datetime.timedelta(hours=hours)


def ocsp_response(
    issued: Issued, issuer: Authority, status: OCSPCertStatus = GOOD, *, hours: tuple[float, float] = (-1, 1)
) -> bytes:
    """What `issuer` says about a certificate that it issued, valid from so many hours from now until so many."""
    is_revoked = status is REVOKED
    return (
        OCSPResponseBuilder()
        .add_response(
            cert=issued.certificate,
            issuer=issuer.certificate,
            algorithm=hashes.SHA1(),
            cert_status=status,
            this_update=at(hours[0]),
            next_update=at(hours[1]),
            revocation_time=at(hours[0]) if is_revoked else None,
            revocation_reason=x509.ReasonFlags.key_compromise if is_revoked else None,
        )
        .responder_id(OCSPResponderEncoding.NAME, issuer.certificate)
        .sign(issuer.key, hashes.SHA256())
        .public_bytes(Encoding.DER)
    )


def must_staple(issuer: Authority, *names: str) -> Issued:
    """A server's certificate that is good with a stapled OCSP response only (RFC 7633)."""
    issued = issuer.issue_server(*names)
    plain = issued.certificate
    builder = (
        x509.CertificateBuilder()
        .subject_name(plain.subject)
        .issuer_name(plain.issuer)
        .public_key(plain.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(plain.not_valid_before_utc)
        .not_valid_after(plain.not_valid_after_utc)
        .add_extension(x509.TLSFeature([x509.TLSFeatureType.status_request]), critical=False)
    )
    for extension in plain.extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    return Issued(builder.sign(issuer.key, hashes.SHA256()), issued.key, issued.intermediates)


def crl(issuer: Authority, *revoked: Issued) -> CertificateRevocationList:
    """The issuer's list, for the next hour, with these certificates of its on it."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.certificate.subject)
        .last_update(at(-1))
        .next_update(at(1))
        .add_extension(x509.CRLNumber(len(revoked) + 1), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()), critical=False)
    )
    for one in revoked:
        entry = x509.RevokedCertificateBuilder().serial_number(one.certificate.serial_number).revocation_date(at(-1))
        builder = builder.add_revoked_certificate(entry.build())
    return CertificateRevocationList.from_x509(builder.sign(issuer.key, hashes.SHA256()))


def crls(*lists: CertificateRevocationList) -> CrlStore:
    """What a configuration takes."""
    return CrlStore(lists)
