"""HKDF and HMAC over the two hash functions of TLS 1.3 (RFC 5869, RFC 9846 7.1).

Built on `hmac.digest`, which is one call into OpenSSL; a derivation of one hash length is exactly one of those.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import Protocol


class RunningHash(Protocol):
    """What is used of a `hashlib` object."""

    def update(self, data: bytes, /) -> None: ...
    def digest(self) -> bytes: ...
    def copy(self) -> RunningHash: ...


@dataclass(frozen=True, slots=True)
class HashAlgorithm:
    """A hash function by its `hashlib` name, with its output length in bytes."""

    name: str
    length: int
    empty: bytes

    def start(self, data: bytes = b"") -> RunningHash:
        """A running hash over `data`."""
        return hashlib.new(self.name, data)

    def hash(self, data: bytes) -> bytes:
        """The hash of `data`."""
        return hashlib.new(self.name, data).digest()

    def hmac(self, key: bytes, message: bytes) -> bytes:
        """HMAC of `message`."""
        return hmac.digest(key, message, self.name)

    def extract(self, salt: bytes, secret: bytes) -> bytes:
        """HKDF-Extract."""
        return hmac.digest(salt, secret, self.name)

    def expand(self, secret: bytes, info: bytes, length: int) -> bytes:
        """HKDF-Expand to `length` bytes."""
        if length <= self.length:
            return hmac.digest(secret, info + b"\x01", self.name)[:length]
        if length > 255 * self.length:
            raise ValueError(f"HKDF over {self.name} gives at most {255 * self.length} bytes")
        output = block = b""
        counter = 1
        while len(output) < length:
            block = hmac.digest(secret, block + info + counter.to_bytes(1, "big"), self.name)
            output += block
            counter += 1
        return output[:length]

    def expand_label(self, secret: bytes, label: bytes, context: bytes, length: int) -> bytes:
        """HKDF-Expand-Label. `label` is given without its "tls13 " prefix."""
        return self.expand(secret, hkdf_label(label, context, length), length)


def hkdf_label(label: bytes, context: bytes, length: int) -> bytes:
    """The HkdfLabel structure."""
    return b"%b%c%b%c%b" % (length.to_bytes(2, "big"), 6 + len(label), b"tls13 " + label, len(context), context)


SHA256 = HashAlgorithm("sha256", 32, hashlib.sha256(b"").digest())
SHA384 = HashAlgorithm("sha384", 48, hashlib.sha384(b"").digest())

equal = hmac.compare_digest
"""Whether two byte strings are the same, in time that does not tell where they differ."""
