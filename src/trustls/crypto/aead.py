"""The AEADs of TLS 1.3 and what one key may be used for (RFC 9846 5.2, 5.5; RFC 8446 B.4)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from trustls.crypto.hashing import SHA256, SHA384, HashAlgorithm
from trustls.wire.enums import CipherSuite

Buffer = bytes | bytearray | memoryview

AuthenticationFailed = InvalidTag
"""What `decrypt` and `decrypt_into` raise when the tag does not verify."""

TAG_LENGTH = 16
NONCE_LENGTH = 12


class Aead(Protocol):
    """One key of an AEAD. The 16-byte tag ends the ciphertext."""

    def encrypt(self, nonce: Buffer, data: Buffer, associated_data: Buffer | None) -> bytes: ...
    def decrypt(self, nonce: Buffer, data: Buffer, associated_data: Buffer | None) -> bytes: ...
    def encrypt_into(self, nonce: Buffer, data: Buffer, associated_data: Buffer | None, buf: Buffer) -> int: ...
    def decrypt_into(self, nonce: Buffer, data: Buffer, associated_data: Buffer | None, buf: Buffer) -> int: ...


@dataclass(frozen=True, slots=True)
class SuiteAlgorithms:
    """A cipher suite of TLS 1.3: its AEAD and its hash.

    `record_limit` is how many records one key may seal before a KeyUpdate (RFC 9846 5.5).
    """

    suite: CipherSuite
    hash: HashAlgorithm
    key_length: int
    new_aead: Callable[[bytes], Aead]
    record_limit: int


# RFC 9846 5.5 allows 2^24.5 full-size records for AES-GCM; for ChaCha20-Poly1305 the sequence number ends first.
_AES_GCM_LIMIT = 1 << 24
_CHACHA_LIMIT = 1 << 62

TLS13_SUITES: tuple[SuiteAlgorithms, ...] = (
    SuiteAlgorithms(CipherSuite.TLS_AES_256_GCM_SHA384, SHA384, 32, AESGCM, _AES_GCM_LIMIT),
    SuiteAlgorithms(CipherSuite.TLS_AES_128_GCM_SHA256, SHA256, 16, AESGCM, _AES_GCM_LIMIT),
    SuiteAlgorithms(CipherSuite.TLS_CHACHA20_POLY1305_SHA256, SHA256, 32, ChaCha20Poly1305, _CHACHA_LIMIT),
)
