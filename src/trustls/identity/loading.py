"""Reading certificates and private keys from files and bytes: PEM, DER, PKCS#8, PKCS#12."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final, TypeAlias

from cryptography import x509
from cryptography.exceptions import InternalError, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, load_der_private_key, load_pem_private_key
from cryptography.hazmat.primitives.serialization.pkcs12 import load_pkcs12

from trustls.crypto.signatures import PrivateKey
from trustls.errors import CertificateRejected, ConfigError
from trustls.trust.certificate import Certificate
from trustls.trust.pem import PEMSource, pem_bytes, pem_origin

PathOrBytes: TypeAlias = bytes | str | os.PathLike[str]
Password: TypeAlias = bytes | str | None


def certificate_from(certificate: Certificate | x509.Certificate | bytes) -> Certificate:
    """The certificate in one of the forms that a chain may be given in; raises ConfigError for anything else."""
    if isinstance(certificate, Certificate):
        return certificate
    if isinstance(certificate, x509.Certificate):
        certificate = certificate.public_bytes(Encoding.DER)
    if not isinstance(certificate, bytes):
        raise ConfigError(f"the chain holds {type(certificate).__name__}, which is no certificate")
    if certificate.startswith(b"-----BEGIN "):
        raise ConfigError("the chain holds PEM: use Credential.from_pem")
    try:
        return Certificate.from_der(certificate)
    except CertificateRejected as error:
        raise ConfigError(f"the chain holds what is no certificate: {error}") from None


def pem_chain(source: PEMSource) -> tuple[Certificate, ...]:
    """The certificates in PEM; raises ConfigError where there is none, or one that cannot be read, and OSError."""
    try:
        return Certificate.from_pem(pem_bytes(source))
    except (ConfigError, CertificateRejected) as error:
        raise ConfigError(f"no certificate chain can be read from {_source(source)}: {error}") from None


def der_chain(sources: PathOrBytes | Iterable[PathOrBytes]) -> tuple[Certificate, ...]:
    """The certificates in DER, one in each source; raises as `pem_chain` does."""
    if isinstance(sources, bytes | str | os.PathLike):
        sources = (sources,)
    found = []
    for source in sources:
        try:
            found.append(certificate_from(_read(source)))
        except ConfigError as error:
            raise ConfigError(f"no certificate can be read from {_source(source)}: {error}") from None
    return tuple(found)


def pem_key(source: PEMSource, password: Password) -> PrivateKey:
    """The one private key in PEM, whatever else there is; or the key in DER.

    PKCS#8 and the older forms of OpenSSL, each plain or encrypted.

    Raises:
        ConfigError: there is none or more than one, or the password is missing, wrong or given in vain.
        OSError: the file cannot be read.
    """
    content = pem_bytes(source)
    if b"-----BEGIN" not in content:
        return _loaded(content, password, _source(source), pem=False)
    blocks = [match[0] for match in _PRIVATE_KEY.finditer(content)]
    if len(blocks) != 1:
        found = f"it holds {len(blocks)}, and one is wanted" if blocks else "expected -----BEGIN PRIVATE KEY-----"
        raise ConfigError(f"no private key can be read from {_source(source)}: {found}")
    return _loaded(blocks[0], password, _source(source), pem=True)


def der_key(source: PathOrBytes, password: Password) -> PrivateKey:
    """The private key in DER (PKCS#8, PKCS#1 or SEC 1; PKCS#8 may be encrypted); raises as `pem_key` does."""
    content = _read(source)
    if content.startswith(b"-----BEGIN "):
        raise ConfigError(f"{_source(source)} holds PEM: use Credential.from_pem")
    return _loaded(content, password, _source(source), pem=False)


def pkcs12(source: PathOrBytes, password: Password) -> tuple[tuple[Certificate, ...], PrivateKey]:
    """The certificates and the private key in PKCS#12 (RFC 7292).

    Raises:
        ConfigError: the password is wrong, or there is no certificate or no key.
        OSError: the file cannot be read.
    """
    try:
        bundle = load_pkcs12(_read(source), _secret(password))
    except (ValueError, UnsupportedAlgorithm, InternalError) as error:
        raise ConfigError(f"{_source(source)} cannot be opened as PKCS#12: {error}") from None
    # Which certificate is the key's is not always marked, so all are candidates.
    held = [bundle.cert] if bundle.cert is not None else []
    held += bundle.additional_certs
    if bundle.key is None or not held:
        raise ConfigError(f"{_source(source)} holds no private key with its certificate")
    return tuple([certificate_from(one.certificate) for one in held]), bundle.key


def _loaded(content: bytes, password: Password, source: str, *, pem: bool) -> PrivateKey:
    load = load_pem_private_key if pem else load_der_private_key
    try:
        return load(content, _secret(password))
    except TypeError:
        # The library's words for a password that is missing, or given in vain.
        wanted = "is encrypted: give its password" if password is None else "is not encrypted, but a password was given"
        raise ConfigError(f"the private key in {source} {wanted}") from None
    except (ValueError, UnsupportedAlgorithm, InternalError) as error:
        hint = "the password is wrong, or " if password is not None else ""
        raise ConfigError(f"no private key can be read from {source}: {hint}{error}") from None


def _read(source: PathOrBytes) -> bytes:
    if isinstance(source, str) and "-----BEGIN" in source:
        return source.encode()  # Not a path, and no key may end up in the message of an OSError.
    return source if isinstance(source, bytes) else Path(source).read_bytes()


def _source(source: PathOrBytes) -> str:
    """Where something comes from, for a message; never what was given itself, which may be a key."""
    if isinstance(source, bytes):
        return "the bytes given"
    return pem_origin(source)


def _secret(password: Password) -> bytes | None:
    return password.encode() if isinstance(password, str) else password


_PRIVATE_KEY: Final = re.compile(rb"-----BEGIN ((?:[A-Z0-9]+ )*PRIVATE KEY)-----.*?-----END \1-----", re.DOTALL)
