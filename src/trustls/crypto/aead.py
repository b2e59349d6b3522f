"""The cipher suites: their AEADs, and what one key may be used for (RFC 9846 5.2, 5.5; RFC 5288, 5289, 7905)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from trustls.crypto.hashing import SHA256, SHA384, HashAlgorithm
from trustls.values import dataclass
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


@dataclass(frozen=True, slots=True)
class SuiteAlgorithms12:
    """A cipher suite of TLS 1.2: ECDHE, one kind of certificate key, an AEAD, and the hash of its PRF.

    AES-GCM takes 4 bytes of its nonce from the keys and sends 8 with each record (RFC 5288 3); ChaCha20-Poly1305 takes
    12 and sends none (RFC 7905 2).
    """

    suite: CipherSuite
    signs_with_rsa: bool
    hash: HashAlgorithm
    key_length: int
    fixed_iv_length: int
    explicit_nonce_length: int
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


def _gcm12(suite: CipherSuite, algorithm: HashAlgorithm, key_length: int, *, rsa: bool) -> SuiteAlgorithms12:
    return SuiteAlgorithms12(suite, rsa, algorithm, key_length, 4, 8, AESGCM, _AES_GCM_LIMIT)


def _chacha12(suite: CipherSuite, *, rsa: bool) -> SuiteAlgorithms12:
    return SuiteAlgorithms12(suite, rsa, SHA256, 32, 12, 0, ChaCha20Poly1305, _CHACHA_LIMIT)


TLS12_SUITES: tuple[SuiteAlgorithms12, ...] = (
    _gcm12(CipherSuite.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, SHA384, 32, rsa=False),
    _gcm12(CipherSuite.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, SHA256, 16, rsa=False),
    _chacha12(CipherSuite.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, rsa=False),
    _gcm12(CipherSuite.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, SHA384, 32, rsa=True),
    _gcm12(CipherSuite.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, SHA256, 16, rsa=True),
    _chacha12(CipherSuite.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, rsa=True),
)


def aes_gcm(key: bytes) -> Aead:
    """AES-GCM under a key of 16 or 32 bytes, for what is no record: tickets."""
    return AESGCM(key)
