"""CA hints: the names that a server puts into its CertificateRequest (RFC 9846 4.3.4, RFC 5246 7.4.4).

A hint tells a client which certificate to choose. It trusts nobody.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator
from typing import TypeAlias

from cryptography import x509

from trustls.errors import CertificateRejected, ConfigError, DecodeError
from trustls.trust.certificate import Certificate
from trustls.wire.names import ATTRIBUTE_NAMES, DistinguishedName

Hint: TypeAlias = DistinguishedName | Certificate | x509.Certificate | x509.Name | bytes | str
Hints: TypeAlias = Hint | Iterable[Hint]

# RFC 9846 4.3.2: in TLS 1.3 the list shares the 2^16-1 bytes of CertificateRequest.extensions with signature_algorithms
# and the extension headers, so a little less than what the list itself may hold (and TLS 1.2 allows) fits.
MAX_ENCODED = 0xFFFF - 255
# What a Java client takes in one handshake message, unless told otherwise; the same is left for what is not names.
JSSE_LIMIT = 0x8000 - 255


def authorities(hints: Hints) -> tuple[DistinguishedName, ...]:
    """The names that `hints` stand for, in their order, each once.

    Args:
        hints: one of these, or several: a DistinguishedName; a Certificate or a cryptography certificate or Name, whose
            subject counts; PEM as bytes or str, with one or many certificates; the RFC 4514 text of a name, such as
            "CN=My CA,O=Example". A client compares the bytes of names, and text does not say how a CA encoded its name
            (here: UTF8String, and PrintableString for the country), so a certificate is the safer way.

    Raises:
        ConfigError: a hint is none of these, or the names do not fit into a CertificateRequest.
    """
    if isinstance(hints, (DistinguishedName, Certificate, x509.Certificate, x509.Name, bytes, str)):
        hints = (hints,)
    elif not isinstance(hints, Iterable):
        raise ConfigError(f"CA hints are names or certificates, not {type(hints).__name__}")
    names = tuple(dict.fromkeys(name for hint in hints for name in _names(hint)))
    check_size(names)
    return names


def encoded_size(names: Iterable[DistinguishedName]) -> int:
    """How many bytes the names take in a CertificateRequest."""
    return sum(2 + len(name.der) for name in names)


def check_size(names: tuple[DistinguishedName, ...]) -> None:
    """Check that the names fit into one CertificateRequest, and warn when peers may find it too large.

    Raises:
        ConfigError: they do not; it says how many would fit.
    """
    size = 0
    fitting = 0
    for name in names:
        if not name:
            raise ConfigError("a CA hint is an empty name: give the name of a CA")
        size += encoded_size((name,))
        fitting += size <= MAX_ENCODED
    if size > MAX_ENCODED:
        raise ConfigError(
            f"the names of {len(names)} CAs take {size} bytes in a CertificateRequest, which holds {MAX_ENCODED}: "
            f"the first {fitting} fit. Name fewer with hints=, or send none with hints=()"
        )
    if size > JSSE_LIMIT:
        warnings.warn(
            f"the CA names of the CertificateRequest take {size} bytes; Java clients refuse more than {JSSE_LIMIT} "
            "(alert unexpected_message) unless told otherwise (-Djdk.tls.maxHandshakeMessageSize=65536). Name fewer "
            "with hints=, or send none with hints=()",
            stacklevel=4,
        )


def _names(hint: object) -> Iterator[DistinguishedName]:
    if isinstance(hint, DistinguishedName):
        yield hint
    elif isinstance(hint, Certificate):
        yield hint.subject
    elif isinstance(hint, x509.Certificate):
        yield DistinguishedName(hint.subject.public_bytes())
    elif isinstance(hint, x509.Name):
        yield DistinguishedName(hint.public_bytes())
    elif isinstance(hint, bytes):
        yield from _names_in_bytes(hint)
    elif isinstance(hint, str):
        if "-----BEGIN" in hint:
            yield from _names_in_bytes(hint.encode())
        else:
            yield _parsed(hint)
    else:
        path = " (for a file, pass the bytes in it)" if isinstance(hint, os.PathLike) else ""
        raise ConfigError(
            f"a CA hint is a DistinguishedName, a certificate, PEM or RFC 4514 text, not {type(hint).__name__}{path}"
        )


def _names_in_bytes(content: bytes) -> Iterator[DistinguishedName]:
    if b"-----BEGIN" in content:
        try:
            for certificate in Certificate.from_pem(content):
                yield certificate.subject
        except CertificateRejected as error:
            raise ConfigError(f"a CA hint cannot be parsed: {error.detail}") from None
        return
    try:
        yield DistinguishedName(content)
    except DecodeError:
        raise ConfigError("a CA hint in bytes is neither PEM nor the DER of a name") from None


def _parsed(text: str) -> DistinguishedName:
    try:
        name = x509.Name.from_rfc4514_string(text, _OIDS)
        return DistinguishedName(name.public_bytes())
    except ValueError as error:
        raise ConfigError(
            f"the CA hint {text!r} is not the RFC 4514 text of a name, such as 'CN=My CA,O=Example'"
            + (f": {error}" if str(error) else "")
        ) from None


_OIDS = {name: x509.ObjectIdentifier(oid) for oid, name in ATTRIBUTE_NAMES.items()}
