"""Credentials: a certificate chain with the key that proves it, and whether one fits what a peer asked for."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_private_key,
    load_pem_private_key,
)
from cryptography.hazmat.primitives.serialization.pkcs12 import load_pkcs12

from trustls.crypto.signatures import PKCS1_SCHEMES, PrivateKey
from trustls.errors import CertificateRejected, ConfigError
from trustls.identity.request import CredentialRequest
from trustls.identity.signer import KeySigner, Signer
from trustls.trust.certificate import Certificate
from trustls.wire.enums import ClientCertificateType, ProtocolVersion, SignatureScheme

PathOrBytes = bytes | str | os.PathLike[str]
Password = bytes | str | None

# What goes into one Certificate message; more is a mistake, and peers refuse it.
_MAX_CHAIN = 10
# ML-DSA is defined for TLS 1.3 alone (draft-ietf-tls-mldsa).
_NOT_IN_TLS12 = (SignatureScheme.MLDSA44, SignatureScheme.MLDSA65, SignatureScheme.MLDSA87)


@dataclass(frozen=True, slots=True, repr=False)
class Credential:
    """A certificate chain, leaf first, and the signer that holds its key.

    `fallback` lets this credential be chosen although no certificate of its chain is issued by an authority that the
    peer named. `ocsp_response` is a DER OCSPResponse for the leaf, stapled for clients that ask for it (RFC 6066 8).

    Raises:
        ConfigError: the chain is empty or does not fit together, or the key is not the leaf's.
    """

    chain: tuple[Certificate, ...]
    signer: Signer
    fallback: bool = False
    ocsp_response: bytes | None = None

    def __init__(
        self,
        chain: Iterable[Certificate | x509.Certificate | bytes],
        signer: Signer | PrivateKey,
        *,
        fallback: bool = False,
        ocsp_response: bytes | None = None,
    ) -> None:
        certificates = tuple(map(_as_certificate, chain))
        holder = signer if isinstance(signer, Signer) else KeySigner(signer)
        _check_chain(certificates)
        _check_key(certificates[0], signer)
        object.__setattr__(self, "chain", certificates)
        object.__setattr__(self, "signer", holder)
        object.__setattr__(self, "fallback", fallback)
        object.__setattr__(self, "ocsp_response", ocsp_response or None)

    @classmethod
    def from_pem(
        cls, chain: PathOrBytes, key: PathOrBytes, *, password: Password = None, fallback: bool = False
    ) -> Credential:
        """From PEM, as bytes or as the path of a file. `chain` and `key` may be the same.

        Args:
            chain: the certificates, leaf first; a root at the end is left out of what is sent.
            key: the private key (PKCS#8, or the older PEM forms).
            password: for an encrypted key.
            fallback: see the class.

        Raises:
            ConfigError: no certificate or no key is found, the password is wrong or missing, or the two do not belong
                together.
            OSError: a file cannot be read.
        """
        data = _read(chain)
        try:
            certificates = Certificate.from_pem(data)
        except (ConfigError, CertificateRejected) as error:
            raise ConfigError(f"no certificate chain can be read from {_source(chain)}: {error}") from None
        return cls(certificates, _load_key(_read(key), _secret(password), _source(key)), fallback=fallback)

    @classmethod
    def from_pkcs12(cls, data: PathOrBytes, *, password: Password = None, fallback: bool = False) -> Credential:
        """From PKCS#12 (.p12, .pfx), as bytes or as the path of a file.

        Raises:
            ConfigError: the password is wrong, or the file holds no certificate with its key.
            OSError: the file cannot be read.
        """
        try:
            bundle = load_pkcs12(_read(data), _secret(password))
        except (ValueError, UnsupportedAlgorithm) as error:
            raise ConfigError(f"{_source(data)} cannot be opened as PKCS#12: {error}") from None
        if bundle.key is None or bundle.cert is None:
            raise ConfigError(f"{_source(data)} holds no private key with its certificate")
        chain = [bundle.cert.certificate, *(extra.certificate for extra in bundle.additional_certs)]
        return cls(_in_order(tuple(map(_as_certificate, chain))), bundle.key, fallback=fallback)

    @property
    def certificate(self) -> Certificate:
        """The leaf."""
        return self.chain[0]

    def fits(self, request: CredentialRequest) -> str | None:
        """None when this credential is what `request` asks for; otherwise the reason why it is not."""
        if self.scheme_for(request.signature_schemes, request.version) is None:
            return (
                f"its key signs with {_listed(self.signer.schemes)}, and the peer accepts "
                f"{_listed(request.signature_schemes)} in {request.version}"
            )
        if request.certificate_types and self._certificate_type() not in request.certificate_types:
            return f"it is of type {self._certificate_type()}, and the peer accepts " + ", ".join(
                kind.iana for kind in request.certificate_types
            )
        if not request.authorities or self.fallback:
            return None
        hinted = {name.der for name in request.authorities}
        if any(certificate.issuer.der in hinted for certificate in self.chain):
            return None
        issuers = " and ".join(dict.fromkeys(str(certificate.issuer) for certificate in self.chain))
        return f"it was issued by {issuers}, which is not among the authorities that the peer named"

    def scheme_for(self, accepted: Iterable[SignatureScheme], version: ProtocolVersion) -> SignatureScheme | None:
        """The scheme to sign with in this version: this signer's most preferred that the peer accepts."""
        accepted = tuple(accepted)
        unfit = PKCS1_SCHEMES if version == ProtocolVersion.TLS1_3 else _NOT_IN_TLS12
        for scheme in self.signer.schemes:
            if scheme in accepted and scheme not in unfit:
                return scheme
        return None

    @property
    def signs_with_rsa(self) -> bool:
        """Whether the key is an RSA key, for which TLS 1.2 has suites of its own."""
        return any("RSA" in scheme.name for scheme in self.signer.schemes)

    def _certificate_type(self) -> ClientCertificateType:
        # RFC 8422 5.5: Ed25519 counts as ecdsa_sign.
        return ClientCertificateType.RSA_SIGN if self.signs_with_rsa else ClientCertificateType.ECDSA_SIGN

    def __repr__(self) -> str:
        return f"<Credential {self.certificate}>"


def _listed(schemes: Iterable[SignatureScheme]) -> str:
    return ", ".join(scheme.iana for scheme in schemes)


def _as_certificate(certificate: Certificate | x509.Certificate | bytes) -> Certificate:
    if isinstance(certificate, Certificate):
        return certificate
    der = certificate if isinstance(certificate, bytes) else certificate.public_bytes(Encoding.DER)
    try:
        return Certificate.from_der(der)
    except CertificateRejected as error:
        raise ConfigError(f"the chain holds what is no certificate: {error}") from None


def _check_chain(chain: tuple[Certificate, ...]) -> None:
    if not chain:
        raise ConfigError("a credential needs at least one certificate")
    if len(chain) > _MAX_CHAIN:
        raise ConfigError(f"a chain of {len(chain)} certificates is longer than the {_MAX_CHAIN} that peers accept")
    for certificate, issuer in itertools.pairwise(chain):
        if certificate.issuer != issuer.subject:
            raise ConfigError(
                f"the chain is broken: {certificate.subject} was issued by {certificate.issuer}, but the next "
                f"certificate is {issuer.subject}; put the leaf first and each issuer after what it issued"
            )


def _check_key(leaf: Certificate, signer: Signer | PrivateKey) -> None:
    if isinstance(signer, Signer):
        return  # Its key cannot be seen; a wrong one shows when the peer checks the signature.
    public = signer.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    certified = leaf.public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if public != certified:
        raise ConfigError(f"the private key does not belong to the certificate {leaf.subject}")


def _in_order(chain: tuple[Certificate, ...]) -> tuple[Certificate, ...]:
    """The leaf and its issuers in order: PKCS#12 keeps none (RFC 7292 4.2)."""
    ordered = [chain[0]]
    left = list(chain[1:])
    while True:
        issuer = next((found for found in left if found.subject == ordered[-1].issuer), None)
        if issuer is None:
            return tuple(ordered)
        ordered.append(issuer)
        left.remove(issuer)


def _load_key(data: bytes, password: bytes | None, source: str) -> PrivateKey:
    load = load_pem_private_key if b"-----BEGIN" in data else load_der_private_key
    try:
        return load(data, password)
    except TypeError:
        # The library's words for a password that is missing, or given in vain.
        wanted = "is encrypted: give its password" if password is None else "is not encrypted, but a password was given"
        raise ConfigError(f"the private key in {source} {wanted}") from None
    except (ValueError, UnsupportedAlgorithm) as error:
        hint = "the password is wrong, or " if password is not None else ""
        raise ConfigError(f"no private key can be read from {source}: {hint}{error}") from None


def _read(source: PathOrBytes) -> bytes:
    return source if isinstance(source, bytes) else Path(source).read_bytes()


def _source(source: PathOrBytes) -> str:
    return "the bytes given" if isinstance(source, bytes) else os.fspath(source)


def _secret(password: Password) -> bytes | None:
    return password.encode() if isinstance(password, str) else password
