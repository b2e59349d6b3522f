"""PEM (RFC 7468): certificates as text, from bytes, text or a file."""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Iterator
from typing import Final, TypeAlias

PEMSource: TypeAlias = bytes | str | os.PathLike[str]


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


# A file that is being written may end in the middle of the line.
_PEM_BEGIN: Final = rb"-----BEGIN (?:X509 )?CERTIFICATE-----|(?m:^)-----B[^-\n]*\Z"
_PEM_BLOCK: Final = rb"(?s)-----BEGIN (?:X509 )?CERTIFICATE-----\s(.*?)-----END (?:X509 )?CERTIFICATE-----"
