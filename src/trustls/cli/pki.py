"""A small PKI for development and tests: roots, intermediates, server and client certificates (RFC 5280 profiles).

It needs nothing but `cryptography`. Everything is made in memory; `write` puts it into a folder in the layout that
`trustls pki` uses: `STEM.pem` (the certificate, then its intermediates) and `STEM-key.pem` (the private key, mode
0600).

    root = Authority.create("My Development CA")
    server = root.intermediate("My Issuing CA").issue_server("localhost", "127.0.0.1")
    server.write(folder, "server")
"""

from __future__ import annotations

import datetime
import enum
import ipaddress
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from trustls.errors import ConfigError

ROOT_LIFETIME = datetime.timedelta(days=3650)
INTERMEDIATE_LIFETIME = datetime.timedelta(days=1825)
LEAF_LIFETIME = datetime.timedelta(days=365)
BACKDATING = datetime.timedelta(hours=1)
"""A new certificate is valid from this long ago, for peers whose clock is late."""


class KeyType(enum.StrEnum):
    """The kinds of key that a certificate can be made for."""

    EC_P256 = "ec-p256"
    EC_P384 = "ec-p384"
    EC_P521 = "ec-p521"
    ED25519 = "ed25519"
    RSA_2048 = "rsa-2048"
    RSA_3072 = "rsa-3072"
    ML_DSA_44 = "ml-dsa-44"
    ML_DSA_65 = "ml-dsa-65"
    ML_DSA_87 = "ml-dsa-87"

    def generate(self) -> CertificateIssuerPrivateKeyTypes:
        """A new private key of this type."""
        match self:
            case KeyType.EC_P256:
                return ec.generate_private_key(ec.SECP256R1())
            case KeyType.EC_P384:
                return ec.generate_private_key(ec.SECP384R1())
            case KeyType.EC_P521:
                return ec.generate_private_key(ec.SECP521R1())
            case KeyType.ED25519:
                return ed25519.Ed25519PrivateKey.generate()
            case KeyType.RSA_2048:
                return rsa.generate_private_key(public_exponent=65537, key_size=2048)
            case KeyType.RSA_3072:
                return rsa.generate_private_key(public_exponent=65537, key_size=3072)
            case KeyType.ML_DSA_44:
                return mldsa.MLDSA44PrivateKey.generate()
            case KeyType.ML_DSA_65:
                return mldsa.MLDSA65PrivateKey.generate()
            case KeyType.ML_DSA_87:
                return mldsa.MLDSA87PrivateKey.generate()


@dataclass(frozen=True, slots=True)
class Validity:
    """From when to when a certificate is valid. What is left out follows from the other, or from now."""

    lifetime: datetime.timedelta | None = None
    not_before: datetime.datetime | None = None
    not_after: datetime.datetime | None = None

    def dates(
        self, usual: datetime.timedelta, issuer: x509.Certificate | None
    ) -> tuple[datetime.datetime, datetime.datetime]:
        """`not_before` and `not_after`; the end is the issuer's at the latest unless it was given."""
        not_before = self.not_before or _now() - BACKDATING
        if self.not_after is not None:
            not_after = self.not_after
        else:
            not_after = (self.not_before or _now()) + (self.lifetime or usual)
            if issuer is not None and not_before < issuer.not_valid_after_utc < not_after:
                not_after = issuer.not_valid_after_utc
        if not_after <= not_before:
            raise ConfigError(f"a certificate cannot end ({not_after:%F %T}) before it begins ({not_before:%F %T})")
        return not_before, not_after


USUAL = Validity()

_ISSUER_KEYS = (
    ec.EllipticCurvePrivateKey,
    ed25519.Ed25519PrivateKey,
    rsa.RSAPrivateKey,
    mldsa.MLDSA44PrivateKey,
    mldsa.MLDSA65PrivateKey,
    mldsa.MLDSA87PrivateKey,
)


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate with its private key, and the intermediates between it and its root."""

    certificate: x509.Certificate
    key: CertificateIssuerPrivateKeyTypes = field(repr=False)
    intermediates: tuple[x509.Certificate, ...] = ()

    @property
    def chain(self) -> tuple[x509.Certificate, ...]:
        """What a TLS peer sends: the certificate, then its intermediates, without the root."""
        return (self.certificate, *self.intermediates)

    @property
    def pem_chain(self) -> bytes:
        """The chain in PEM."""
        return b"".join(certificate.public_bytes(serialization.Encoding.PEM) for certificate in self.chain)

    @property
    def pem_key(self) -> bytes:
        """The private key in PEM (PKCS #8), not encrypted."""
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    def write(self, folder: str | os.PathLike[str], stem: str, *, overwrite: bool = False) -> tuple[Path, Path]:
        """Write `STEM.pem` and `STEM-key.pem` (mode 0600) into `folder`, and return their paths.

        Raises:
            ConfigError: one of them exists already and `overwrite` is not set.
            OSError: they cannot be written.
        """
        if not stem or stem in {".", ".."} or any(separator in stem for separator in "/\\\0"):
            raise ConfigError(f"{stem!r} is no file name")
        chain_path, key_path = Path(folder, f"{stem}.pem"), Path(folder, f"{stem}-key.pem")
        for path in (chain_path, key_path):
            if path.exists() and not overwrite:
                raise ConfigError(f"{path} exists already")
        Path(folder).mkdir(parents=True, exist_ok=True)
        _write(key_path, self.pem_key, 0o600, overwrite=overwrite)
        _write(chain_path, self.pem_chain, 0o644, overwrite=overwrite)
        return chain_path, key_path


@dataclass(frozen=True, slots=True)
class Authority(Issued):
    """A certificate authority: a root, or an intermediate under one."""

    @classmethod
    def create(
        cls,
        common_name: str,
        *,
        country: str | None = None,
        state: str | None = None,
        locality: str | None = None,
        organization: str | None = None,
        key_type: KeyType | str = KeyType.EC_P256,
        path_length: int | None = None,
        name_constraints: x509.NameConstraints | None = None,
        validity: Validity = USUAL,
    ) -> Self:
        """A new root. The name's parts come in the usual order: C, ST, L, O, CN."""
        key = _key_type(key_type).generate()
        name = subject_name(common_name, country, state, locality, organization)
        builder = _authority_builder(name, key, path_length, name_constraints)
        builder = builder.issuer_name(name)
        not_before, not_after = validity.dates(ROOT_LIFETIME, None)
        builder = builder.not_valid_before(not_before).not_valid_after(not_after)
        return cls(builder.sign(key, _digest(key)), key)

    @classmethod
    def load(cls, folder: str | os.PathLike[str], stem: str = "ca") -> Self:
        """The authority that `write` put into `folder`.

        Raises:
            ConfigError: the files are missing, are broken, or do not belong together.
        """
        chain_path, key_path = Path(folder, f"{stem}.pem"), Path(folder, f"{stem}-key.pem")
        for path in (chain_path, key_path):
            if not path.is_file():
                raise ConfigError(f"there is no {path}: make the CA first, with `trustls pki ca` or `intermediate`")
        try:
            chain = x509.load_pem_x509_certificates(chain_path.read_bytes())
            key = serialization.load_pem_private_key(key_path.read_bytes(), password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise ConfigError(f"{chain_path} and {key_path} cannot be read: {error}") from error
        if key.public_key() != chain[0].public_key():
            raise ConfigError(f"the key in {key_path} is not that of the certificate in {chain_path}")
        if not is_authority(chain[0]):
            raise ConfigError(f"{chain_path} is not the certificate of a CA")
        if not isinstance(key, _ISSUER_KEYS):
            raise ConfigError(f"the key in {key_path} cannot sign certificates")
        return cls(chain[0], key, tuple(chain[1:]))

    @property
    def is_root(self) -> bool:
        """Whether it signed itself."""
        return self.certificate.issuer == self.certificate.subject

    def intermediate(
        self,
        common_name: str,
        *,
        country: str | None = None,
        state: str | None = None,
        locality: str | None = None,
        organization: str | None = None,
        key_type: KeyType | str = KeyType.EC_P256,
        path_length: int | None = 0,
        name_constraints: x509.NameConstraints | None = None,
        validity: Validity = USUAL,
    ) -> Authority:
        """A new authority under this one; by default it issues end-entity certificates only (path length 0)."""
        key = _key_type(key_type).generate()
        name = subject_name(common_name, country, state, locality, organization)
        builder = _authority_builder(name, key, path_length, name_constraints)
        return Authority(self._sign(builder, INTERMEDIATE_LIFETIME, validity), key, self._intermediates_below)

    def issue_server(
        self,
        *names: str,
        key_type: KeyType | str = KeyType.EC_P256,
        usages: Sequence[x509.ObjectIdentifier] = (ExtendedKeyUsageOID.SERVER_AUTH,),
        validity: Validity = USUAL,
    ) -> Issued:
        """A server certificate for DNS names (`*.` included) and IP addresses; the first also becomes its CN."""
        if not names:
            raise ConfigError("a server certificate needs at least one DNS name or IP address")
        alternatives = [host_name(name) for name in names]
        # A CN has 64 characters at most (RFC 5280 appendix A.1); a longer name stands in the SAN only.
        subject = subject_name(names[0]) if len(names[0]) <= 64 else x509.Name([])
        return self._issue(subject, alternatives, _key_type(key_type), usages, validity)

    def issue_client(
        self,
        common_name: str,
        *,
        country: str | None = None,
        state: str | None = None,
        locality: str | None = None,
        organization: str | None = None,
        dns_names: Iterable[str] = (),
        emails: Iterable[str] = (),
        uris: Iterable[str] = (),
        key_type: KeyType | str = KeyType.EC_P256,
        usages: Sequence[x509.ObjectIdentifier] = (ExtendedKeyUsageOID.CLIENT_AUTH,),
        validity: Validity = USUAL,
    ) -> Issued:
        """A client certificate; e-mail addresses and URIs (a SPIFFE ID, say) go into its subjectAltName."""
        alternatives = [
            *(host_name(name) for name in dns_names),
            *(general_name(f"email:{email}") for email in emails),
            *(general_name(f"URI:{uri}") for uri in uris),
        ]
        subject = subject_name(common_name, country, state, locality, organization)
        return self._issue(subject, alternatives, _key_type(key_type), usages, validity)

    @property
    def _intermediates_below(self) -> tuple[x509.Certificate, ...]:
        return () if self.is_root else self.chain

    def _issue(
        self,
        subject: x509.Name,
        alternatives: Sequence[x509.GeneralName],
        key_type: KeyType,
        usages: Sequence[x509.ObjectIdentifier],
        validity: Validity,
    ) -> Issued:
        key = key_type.generate()
        builder = _builder(subject, key)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(_key_usage(digital_signature=True), critical=True)
        if usages:
            builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        if alternatives:
            # RFC 5280 4.2.1.6: critical where there is no subject.
            builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=not subject.rdns)
        return Issued(self._sign(builder, LEAF_LIFETIME, validity), key, self._intermediates_below)

    def _sign(
        self, builder: x509.CertificateBuilder, usual: datetime.timedelta, validity: Validity
    ) -> x509.Certificate:
        not_before, not_after = validity.dates(usual, self.certificate)
        identifier = self.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        return (
            builder.issuer_name(self.certificate.subject)
            .not_valid_before(not_before)
            .not_valid_after(not_after)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
            .sign(self.key, _digest(self.key))
        )


def subject_name(
    common_name: str,
    country: str | None = None,
    state: str | None = None,
    locality: str | None = None,
    organization: str | None = None,
) -> x509.Name:
    """The name with these parts, in the usual order."""
    parts = (
        (NameOID.COUNTRY_NAME, country),
        (NameOID.STATE_OR_PROVINCE_NAME, state),
        (NameOID.LOCALITY_NAME, locality),
        (NameOID.ORGANIZATION_NAME, organization),
        (NameOID.COMMON_NAME, common_name),
    )
    try:
        return x509.Name([x509.NameAttribute(oid, value) for oid, value in parts if value is not None])
    except ValueError as error:
        raise ConfigError(f"this cannot be the name in a certificate: {error}") from error


def host_name(text: str) -> x509.DNSName | x509.IPAddress:
    """A DNS name (international ones in their A-label form) or an IP address, as a certificate holds it."""
    try:
        return x509.IPAddress(ipaddress.ip_address(text.strip("[]")))
    except ValueError:
        pass
    try:
        name = text if text.isascii() else text.encode("idna").decode()
    except UnicodeError as error:
        raise ConfigError(f"{text!r} is no DNS name: {error}") from error
    labels = name.removeprefix("*.").removesuffix(".").split(".")
    allowed = set("abcdefghijklmnopqrstuvwxyz0123456789-_")
    if not all(0 < len(label) <= 63 and set(label.lower()) <= allowed for label in labels) or len(name) > 253:
        raise ConfigError(f"{text!r} is neither a DNS name nor an IP address")
    return x509.DNSName(name.removesuffix("."))


def general_name(text: str) -> x509.GeneralName:
    """The name that `DNS:...`, `IP:...` (an address or a network), `email:...` or `URI:...` writes down.

    Raises:
        ConfigError: it is none of these.
    """
    kind, _, value = text.partition(":")
    try:
        match kind.lower():
            case "dns" if value:
                return x509.DNSName(value)
            case "ip" if "/" in value:
                return x509.IPAddress(ipaddress.ip_network(value))
            case "ip":
                return x509.IPAddress(ipaddress.ip_address(value))
            case "email" if value:
                return x509.RFC822Name(value)
            case "uri" if value:
                return x509.UniformResourceIdentifier(value)
    except ValueError as error:
        raise ConfigError(f"{text!r} is no name for a certificate: {error}") from error
    raise ConfigError(f"{text!r} is no name for a certificate: write DNS:, IP:, email: or URI: before it")


def is_authority(certificate: x509.Certificate) -> bool:
    """Whether its basicConstraints say that it is a CA."""
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _key_type(name: KeyType | str) -> KeyType:
    try:
        return KeyType(name)
    except ValueError:
        raise ConfigError(f"{name!r} is no key type; there are {', '.join(KeyType)}") from None


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC).replace(microsecond=0)


def _builder(subject: x509.Name, key: CertificateIssuerPrivateKeyTypes) -> x509.CertificateBuilder:
    public_key = key.public_key()
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _authority_builder(
    subject: x509.Name,
    key: CertificateIssuerPrivateKeyTypes,
    path_length: int | None,
    name_constraints: x509.NameConstraints | None,
) -> x509.CertificateBuilder:
    builder = (
        _builder(subject, key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(_key_usage(certificates=True), critical=True)
    )
    if name_constraints is not None:
        builder = builder.add_extension(name_constraints, critical=True)
    return builder


def _key_usage(*, digital_signature: bool = False, certificates: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=certificates,
        crl_sign=certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _digest(key: CertificateIssuerPrivateKeyTypes) -> hashes.SHA256 | hashes.SHA384 | hashes.SHA512 | None:
    """The hash that fits a signing key; None where the signature algorithm brings its own."""
    if isinstance(key, ec.EllipticCurvePrivateKey):
        if key.key_size <= 256:
            return hashes.SHA256()
        return hashes.SHA384() if key.key_size <= 384 else hashes.SHA512()
    if isinstance(key, rsa.RSAPrivateKey):
        return hashes.SHA256()
    return None


def _write(path: Path, content: bytes, mode: int, *, overwrite: bool) -> None:
    """Write a file that never has, not even for a moment, a wider mode than asked for."""
    if overwrite:
        path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
