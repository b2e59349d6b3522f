"""PEM (RFC 7468): certificates as text, from bytes, text or a file."""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Iterator
from typing import Final, TypeAlias

from trustls.errors import ConfigError

PEMSource: TypeAlias = bytes | str | os.PathLike[str]

PKCS12: Final = "it looks like PKCS#12 (openssl pkcs12 -in OLD -out NEW -nodes makes PEM of it)"
"""What `found_instead` says of that; the other two likewise."""
DER_CERTIFICATE: Final = (
    "it looks like a certificate in DER (openssl x509 -inform der -in OLD -out NEW makes PEM of it)"
)
SOME_DER: Final = "it is some other DER"


def pem_bytes(source: PEMSource) -> bytes:
    """The PEM text itself, read from its file when `source` is a path; raises OSError as `open` does."""
    if isinstance(source, (bytes, bytearray, memoryview)):
        return bytes(source)
    if isinstance(source, str) and "-----BEGIN" in source:
        return source.encode("utf-8", "replace")
    from pathlib import Path  # Of all that trustls imports, one of the slowest.

    return Path(source).read_bytes()


def pem_origin(source: PEMSource) -> str:
    """Where PEM text comes from, for a message."""
    if isinstance(source, (bytes, bytearray, memoryview)) or (isinstance(source, str) and "-----BEGIN" in source):
        return "the PEM text"
    return os.fspath(source)


def found_instead(content: bytes) -> str:
    """What a file holds where something else was expected, as a part of a sentence: "it is empty", say.

    Labels of PEM are all that is ever shown of the content.
    """
    if not content.strip():
        return "it is empty"
    if labels := dict.fromkeys(match[1].decode() for match in re.finditer(_PEM_LABEL, content)):
        return f"it holds {', '.join(list(labels)[:_MAX_LABELS])}{' and more' if len(labels) > _MAX_LABELS else ''}"
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "it is UTF-16 text, and PEM is ASCII"
    if not re.match(_SEQUENCE, content, re.DOTALL):
        return "it is neither PEM nor DER"
    return next((said for rest, said in _DER_KINDS if re.match(_SEQUENCE + rest, content, re.DOTALL)), SOME_DER)


def no_certificate(source: PEMSource) -> ConfigError:
    """The error for PEM in which there is no certificate."""
    return ConfigError(
        f"there is no certificate in {pem_origin(source)}: expected -----BEGIN CERTIFICATE-----, and "
        f"{found_instead(pem_bytes(source))}"
    )


def pem_blocks(source: PEMSource) -> Iterator[bytes | None]:
    """The DER of each CERTIFICATE block; None for one that is no base64, or has no end (RFC 7468)."""
    content = pem_bytes(source)
    begun = len(re.findall(_PEM_BEGIN, content))
    for match in re.finditer(_PEM_BLOCK, content):
        begun -= 1
        try:
            yield base64.b64decode(b"".join(match[1].split()), validate=True)
        except binascii.Error:
            yield None
    for _ in range(begun):
        yield None


# Texts, and no compiled patterns: `re` compiles and keeps them when they are first used.
_MAX_LABELS: Final = 4
_PEM_LABEL: Final = rb"-----BEGIN ([A-Z0-9 ]{1,40})-----"
# How the SEQUENCE that is the whole file begins.
_SEQUENCE: Final = rb"\x30(?:[\x00-\x7f]|\x81.|\x82..|\x83...|\x84....)"
_DER_KINDS: Final = (
    (rb"\x02\x01\x03", PKCS12),
    (rb"\x02\x01", "it looks like a private key in DER (openssl pkey -in OLD -out NEW makes PEM of it)"),
    (_SEQUENCE + rb"\x06", "it looks like an encrypted private key in DER (openssl pkey makes PEM of it)"),
    (_SEQUENCE + rb"\xa0\x03\x02\x01\x02", DER_CERTIFICATE),
)

# A file that is being written may end in the middle of the line.
_PEM_BEGIN: Final = rb"-----BEGIN (?:X509 )?CERTIFICATE-----|(?m:^)-----B[^-\n]*\Z"
_PEM_BLOCK: Final = rb"(?s)-----BEGIN (?:X509 )?CERTIFICATE-----\s(.*?)-----END (?:X509 )?CERTIFICATE-----"
