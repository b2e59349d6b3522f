"""Reading certificates and private keys from files and bytes: PEM, DER, PKCS#8, PKCS#12."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import Final, TypeAlias

from cryptography import x509
from cryptography.exceptions import InternalError, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, load_der_private_key, load_pem_private_key
from cryptography.hazmat.primitives.serialization.pkcs12 import load_pkcs12

from trustls.crypto.signatures import PrivateKey
from trustls.errors import CertificateRejected, ConfigError, DecodeError
from trustls.trust.certificate import Certificate
from trustls.trust.pem import DER_CERTIFICATE, PKCS12, SOME_DER, PEMSource, found_instead, pem_bytes, pem_origin
from trustls.wire import der

PathOrBytes: TypeAlias = bytes | str | os.PathLike[str]
Password: TypeAlias = bytes | str | None


def chain_from(chain: Iterable[Certificate | x509.Certificate | bytes]) -> tuple[Certificate, ...]:
    """The certificates of a chain, each in one of the forms of `certificate_from`; raises ConfigError."""
    if isinstance(chain, Certificate | x509.Certificate | bytes | str):
        raise ConfigError(
            "a chain is a list of certificates, even of one alone; for files there is Credential.from_pem"
        )
    return tuple([certificate_from(certificate) for certificate in chain])


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
        content = _read(source)
        try:
            found.append(certificate_from(content))
        except ConfigError as error:
            if b"-----BEGIN " not in content and (what := found_instead(content)) not in (DER_CERTIFICATE, SOME_DER):
                raise ConfigError(
                    f"no certificate can be read from {_source(source)}: expected is one in DER, and {what}"
                ) from None
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
    blocks = [match[0] for match in re.finditer(_PRIVATE_KEY, content)]
    if len(blocks) != 1:
        found = f"it holds {len(blocks)}, and one is wanted"
        if not blocks:
            found = f"expected -----BEGIN PRIVATE KEY-----, and {found_instead(content)}"
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
        ConfigError: the password is wrong, or there is no certificate, no key, or more than one key.
        OSError: the file cannot be read.
    """
    content, secret = _read(source), _secret(password)
    try:
        bundle = load_pkcs12(content, secret)
    except (ValueError, UnsupportedAlgorithm, InternalError) as error:
        what = found_instead(content)
        if what == PKCS12:
            what = "it needs a password" if password is None else "the password is wrong"
            what += ", or it is damaged, or encrypted with what is not supported"
        raise ConfigError(f"{_source(source)} cannot be opened as PKCS#12: {what}") from error
    # Which certificate is the key's is not always marked, so all are candidates.
    held = [bundle.cert] if bundle.cert is not None else []
    held += bundle.additional_certs
    if bundle.key is None or not held:
        raise ConfigError(f"{_source(source)} holds no private key with its certificate")
    keys = _keys_in_pkcs12(content)
    if keys > 1:
        raise ConfigError(f"there are {keys} private keys in {_source(source)}, and one is wanted: export it by itself")
    return tuple([certificate_from(one.certificate) for one in held]), bundle.key


def _keys_in_pkcs12(content: bytes) -> int:
    """How many private keys a PKCS#12 file shows (RFC 7292 4), of which `cryptography` gives the first alone.

    They are mostly encrypted each by itself, and so can be counted. What cannot be read here counts as none: a BER
    file, or one whose keys are inside of what is encrypted as a whole.
    """
    try:
        safe = _data_of(content, *der.children(content, *der.whole(content, der.SEQUENCE))[1])
        parts = [_data_of(safe, *part) for part in der.children(safe, *der.whole(safe, der.SEQUENCE))]
        bags = [(part, bag) for part in parts if part for bag in der.children(part, *der.whole(part, der.SEQUENCE))]
        kinds = [(part, der.expect(part, start, stop, der.OBJECT_IDENTIFIER)) for part, (_, start, stop) in bags]
    except (DecodeError, ValueError, IndexError):
        return 0
    return sum(part[start:stop] in _KEY_BAGS for part, (start, stop) in kinds)


def _data_of(content: bytes, _: int, start: int, stop: int) -> bytes:
    """What a ContentInfo holds in the clear; nothing when it is encrypted (RFC 5652 3, 4)."""
    kind, held = der.children(content, start, stop)
    if content[kind[1] : kind[2]] != _DATA:
        return b""
    at, end = der.expect(content, held[1], held[2], der.OCTET_STRING)
    return content[at:end]


def _loaded(content: bytes, password: Password, source: str, *, pem: bool) -> PrivateKey:
    load = load_pem_private_key if pem else load_der_private_key
    secret = _secret(password) or None  # An empty one opens nothing.
    try:
        return load(content, secret)
    except TypeError:
        # The library's words for a password that is missing, or given in vain.
        wanted = "is encrypted: give its password" if secret is None else "is not encrypted, but a password was given"
        raise ConfigError(f"the private key in {source} {wanted}") from None
    except (ValueError, UnsupportedAlgorithm, InternalError) as error:
        # The library's own words name its parser's insides; they stay as the cause.
        what = "it is damaged, or of a kind or encryption that is not supported"
        if secret is not None:
            what = f"the password is wrong, or {what}"
        elif not pem and "private key" not in (found := found_instead(content)):
            what = f"expected is one in PEM or DER, and {found}"
        raise ConfigError(f"no private key can be read from {source}: {what}") from error


def _read(source: PathOrBytes) -> bytes:
    # PEM is not a path, and no key may end up in the message of an OSError.
    return source if isinstance(source, bytes) else pem_bytes(source)


def _source(source: PathOrBytes) -> str:
    """Where something comes from, for a message; never what was given itself, which may be a key."""
    if isinstance(source, bytes):
        return "the bytes given"
    return pem_origin(source)


def _secret(password: Password) -> bytes | None:
    if password is None or isinstance(password, bytes):
        return password
    if isinstance(password, str):
        return password.encode()
    raise ConfigError(f"a password is text or bytes, not {type(password).__name__}")


_DATA: Final = der.undotted("1.2.840.113549.1.7.1")
_KEY_BAGS: Final = (der.undotted("1.2.840.113549.1.12.10.1.1"), der.undotted("1.2.840.113549.1.12.10.1.2"))
_PRIVATE_KEY: Final = rb"(?s)-----BEGIN ((?:[A-Z0-9]+ )*PRIVATE KEY)-----.*?-----END \1-----"
