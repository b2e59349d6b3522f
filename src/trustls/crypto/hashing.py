"""HKDF, the PRF of TLS 1.2, and HMAC, over the two hash functions of TLS (RFC 5869, RFC 9846 7.1, RFC 5246 5)."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import field
from typing import Any, Protocol, cast

from cryptography.hazmat.primitives.hashes import SHA256 as _SHA256
from cryptography.hazmat.primitives.hashes import SHA384 as _SHA384
from cryptography.hazmat.primitives.hashes import HashAlgorithm as _Primitive
from cryptography.hazmat.primitives.hmac import HMAC

from trustls.values import dataclass


class RunningHash(Protocol):
    """What is used of a `hashlib` object."""

    def update(self, data: bytes, /) -> None: ...
    def digest(self) -> bytes: ...
    def copy(self) -> RunningHash: ...


class Mac:
    """HMAC under one key, which is taken in once: from the second on, what is derived of a secret costs half."""

    __slots__ = ("_keyed",)

    def __init__(self, algorithm: HashAlgorithm, key: bytes) -> None:
        self._keyed = HMAC(key, algorithm.primitive)

    def digest(self, message: bytes) -> bytes:
        """The MAC of `message`."""
        mac = self._keyed.copy()
        mac.update(message)
        return mac.finalize()

    def prf(self, label: bytes, seed: bytes, length: int) -> bytes:
        """The pseudorandom function of TLS 1.2 with this key: P_hash over `label` and `seed` (RFC 5246 5)."""
        seed = label + seed
        block = seed
        output = b""
        while len(output) < length:
            block = self.digest(block)
            output += self.digest(block + seed)
        return output[:length]


@dataclass(frozen=True, slots=True, eq=False)
class HashAlgorithm:
    """A hash function by its `hashlib` name, with the length of its output in bytes."""

    name: str
    length: int
    start: Callable[..., RunningHash] = field(repr=False)
    empty: bytes = field(repr=False)
    primitive: _Primitive = field(repr=False)

    @classmethod
    def of(cls, constructor: Callable[..., Any], primitive: _Primitive) -> HashAlgorithm:
        """The algorithm of a `hashlib` constructor, which `cryptography` names by `primitive`."""
        sample = constructor()
        start = cast("Callable[..., RunningHash]", constructor)
        return cls(sample.name, sample.digest_size, start, sample.digest(), primitive)

    def hash(self, data: bytes) -> bytes:
        """The hash of `data`."""
        return self.start(data).digest()

    def mac(self, key: bytes) -> Mac:
        """HMAC under `key`."""
        return Mac(self, key)

    def hmac(self, key: bytes, message: bytes) -> bytes:
        """HMAC of one message, without a `Mac` that could make more: a fifth of the time is saved."""
        mac = HMAC(key, self.primitive)
        mac.update(message)
        return mac.finalize()

    def extract(self, salt: bytes, secret: bytes) -> bytes:
        """HKDF-Extract."""
        return self.hmac(salt, secret)

    def expand(self, secret: Mac, info: bytes, length: int) -> bytes:
        """HKDF-Expand to `length` bytes."""
        if length <= self.length:
            return secret.digest(info + b"\x01")[:length]
        if length > 255 * self.length:
            raise ValueError(f"HKDF over {self.name} gives at most {255 * self.length} bytes")
        output = block = b""
        counter = 1
        while len(output) < length:
            block = secret.digest(block + info + counter.to_bytes(1, "big"))
            output += block
            counter += 1
        return output[:length]

    def expand_label(self, secret: Mac, label: bytes, context: bytes, length: int) -> bytes:
        """HKDF-Expand-Label. `label` is given without its "tls13 " prefix."""
        return self.expand(secret, hkdf_label(label, context, length), length)


def hkdf_label(label: bytes, context: bytes, length: int) -> bytes:
    """The HkdfLabel structure."""
    return b"%b%c%b%c%b" % (length.to_bytes(2, "big"), 6 + len(label), b"tls13 " + label, len(context), context)


SHA256 = HashAlgorithm.of(hashlib.sha256, _SHA256())
SHA384 = HashAlgorithm.of(hashlib.sha384, _SHA384())

equal = hmac.compare_digest
"""Whether two byte strings are the same, in time that does not tell where they differ."""
