"""The registered numbers: an unknown value survives as a value, equal to its number and printed as hex.

All are `int`, so that they compare and hash as the number on the wire. `AlertDescription` stands in `trustls.errors`.
"""

from __future__ import annotations

import enum
from typing import ClassVar, Self, TypeVar

E = TypeVar("E", bound="OpenEnum")


class OpenEnum(enum.IntEnum):
    """A registry: members for what is named here, and a nameless value for anything else that fits the width."""

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not isinstance(value, int) or not 0 <= value < 1 << 8 * cls.width:
            return None
        member = int.__new__(cls, value)
        member._name_ = f"0x{value:0{2 * cls.width}x}"
        member._value_ = value
        return member

    def __str__(self) -> str:
        return self.iana

    def __format__(self, spec: str) -> str:
        return format(self.iana, spec)

    @property
    def iana(self) -> str:
        """The name in the IANA registry."""
        return self.name.lower()

    @property
    def is_known(self) -> bool:
        """Whether this number has a name here."""
        return self.value in type(self).by_value

    @classmethod
    def from_iana(cls, name: str) -> Self:
        """The member of this IANA name, in either case; ValueError when there is none."""
        wanted = name.lower()
        for member in cls:
            if member.iana.lower() == wanted:
                return member
        raise ValueError(f"{name!r} is no {cls.__name__} known here")

    # Set below, once each class has its members: an Enum takes no plain class attribute before that.
    width: ClassVar[int]
    by_value: ClassVar[dict[int, Self]]


class ContentType(OpenEnum):
    """ContentType, RFC 9846 5.1."""

    CHANGE_CIPHER_SPEC = 20
    ALERT = 21
    HANDSHAKE = 22
    APPLICATION_DATA = 23
    HEARTBEAT = 24


class ProtocolVersion(OpenEnum):
    """ProtocolVersion."""

    SSL3 = 0x0300
    TLS1_0 = 0x0301
    TLS1_1 = 0x0302
    TLS1_2 = 0x0303
    TLS1_3 = 0x0304

    @property
    def iana(self) -> str:
        """`TLSv1.3`, as OpenSSL and Python's `ssl` print it."""
        return f"TLSv1.{self.value - 0x0301}" if 0x0302 <= self.value <= 0x0304 else self.name


class HandshakeType(OpenEnum):
    """HandshakeType, RFC 9846 4."""

    HELLO_REQUEST = 0
    CLIENT_HELLO = 1
    SERVER_HELLO = 2
    NEW_SESSION_TICKET = 4
    END_OF_EARLY_DATA = 5
    ENCRYPTED_EXTENSIONS = 8
    CERTIFICATE = 11
    SERVER_KEY_EXCHANGE = 12
    CERTIFICATE_REQUEST = 13
    SERVER_HELLO_DONE = 14
    CERTIFICATE_VERIFY = 15
    CLIENT_KEY_EXCHANGE = 16
    FINISHED = 20
    CERTIFICATE_URL = 21
    CERTIFICATE_STATUS = 22
    SUPPLEMENTAL_DATA = 23
    KEY_UPDATE = 24
    COMPRESSED_CERTIFICATE = 25
    MESSAGE_HASH = 254


class CipherSuite(OpenEnum):
    """The cipher suites that trustls knows."""

    TLS_AES_128_GCM_SHA256 = 0x1301
    TLS_AES_256_GCM_SHA384 = 0x1302
    TLS_CHACHA20_POLY1305_SHA256 = 0x1303
    TLS_EMPTY_RENEGOTIATION_INFO_SCSV = 0x00FF
    TLS_FALLBACK_SCSV = 0x5600
    TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 = 0xC02B
    TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 = 0xC02C
    TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 = 0xC02F
    TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 = 0xC030
    TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256 = 0xCCA8
    TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 = 0xCCA9

    @property
    def iana(self) -> str:
        """The name in the IANA registry."""
        return self.name


class NamedGroup(OpenEnum):
    """NamedGroup, RFC 9846 4.3.7, and ML-KEM: by itself (draft-ietf-tls-mlkem) and in hybrids (-ecdhe-mlkem)."""

    SECP256R1 = 0x0017
    SECP384R1 = 0x0018
    SECP521R1 = 0x0019
    X25519 = 0x001D
    X448 = 0x001E
    FFDHE2048 = 0x0100
    FFDHE3072 = 0x0101
    FFDHE4096 = 0x0102
    FFDHE6144 = 0x0103
    FFDHE8192 = 0x0104
    MLKEM512 = 0x0200
    MLKEM768 = 0x0201
    MLKEM1024 = 0x0202
    SecP256r1MLKEM768 = 0x11EB
    X25519MLKEM768 = 0x11EC
    SecP384r1MLKEM1024 = 0x11ED

    @property
    def iana(self) -> str:
        """The name in the IANA registry."""
        return self.name if "MLKEM" in self.name else self.name.lower()


class SignatureScheme(OpenEnum):
    """SignatureScheme, RFC 9846 4.3.3, and ML-DSA of draft-ietf-tls-mldsa."""

    RSA_PKCS1_SHA1 = 0x0201
    ECDSA_SHA1 = 0x0203
    RSA_PKCS1_SHA256 = 0x0401
    ECDSA_SECP256R1_SHA256 = 0x0403
    RSA_PKCS1_SHA384 = 0x0501
    ECDSA_SECP384R1_SHA384 = 0x0503
    RSA_PKCS1_SHA512 = 0x0601
    ECDSA_SECP521R1_SHA512 = 0x0603
    RSA_PSS_RSAE_SHA256 = 0x0804
    RSA_PSS_RSAE_SHA384 = 0x0805
    RSA_PSS_RSAE_SHA512 = 0x0806
    ED25519 = 0x0807
    ED448 = 0x0808
    RSA_PSS_PSS_SHA256 = 0x0809
    RSA_PSS_PSS_SHA384 = 0x080A
    RSA_PSS_PSS_SHA512 = 0x080B
    MLDSA44 = 0x0904
    MLDSA65 = 0x0905
    MLDSA87 = 0x0906


class ExtensionType(OpenEnum):
    """ExtensionType, RFC 9846 4.3 and the registry."""

    SERVER_NAME = 0
    MAX_FRAGMENT_LENGTH = 1
    STATUS_REQUEST = 5
    SUPPORTED_GROUPS = 10
    EC_POINT_FORMATS = 11
    SIGNATURE_ALGORITHMS = 13
    USE_SRTP = 14
    HEARTBEAT = 15
    APPLICATION_LAYER_PROTOCOL_NEGOTIATION = 16
    SIGNED_CERTIFICATE_TIMESTAMP = 18
    CLIENT_CERTIFICATE_TYPE = 19
    SERVER_CERTIFICATE_TYPE = 20
    PADDING = 21
    ENCRYPT_THEN_MAC = 22
    EXTENDED_MASTER_SECRET = 23
    COMPRESS_CERTIFICATE = 27
    RECORD_SIZE_LIMIT = 28
    SESSION_TICKET = 35
    PRE_SHARED_KEY = 41
    EARLY_DATA = 42
    SUPPORTED_VERSIONS = 43
    COOKIE = 44
    PSK_KEY_EXCHANGE_MODES = 45
    CERTIFICATE_AUTHORITIES = 47
    OID_FILTERS = 48
    POST_HANDSHAKE_AUTH = 49
    SIGNATURE_ALGORITHMS_CERT = 50
    KEY_SHARE = 51
    ENCRYPTED_CLIENT_HELLO = 0xFE0D
    RENEGOTIATION_INFO = 0xFF01


class PskKeyExchangeMode(OpenEnum):
    """PskKeyExchangeMode, RFC 9846 4.3.9."""

    PSK_KE = 0
    PSK_DHE_KE = 1


class CertificateType(OpenEnum):
    """What a Certificate message holds (RFC 7250): certificates, or a raw public key."""

    X509 = 0
    OPENPGP = 1
    RAW_PUBLIC_KEY = 2


class ClientCertificateType(OpenEnum):
    """ClientCertificateType of TLS 1.2's CertificateRequest, RFC 5246 7.4.4, RFC 8422 5.5."""

    RSA_SIGN = 1
    DSS_SIGN = 2
    RSA_FIXED_DH = 3
    DSS_FIXED_DH = 4
    ECDSA_SIGN = 64
    RSA_FIXED_ECDH = 65
    ECDSA_FIXED_ECDH = 66


class CertificateCompressionAlgorithm(OpenEnum):
    """CertificateCompressionAlgorithm, RFC 8879."""

    ZLIB = 1
    BROTLI = 2
    ZSTD = 3


class MaxFragmentLength(OpenEnum):
    """MaxFragmentLength, RFC 6066 4."""

    TWO_TO_9 = 1
    TWO_TO_10 = 2
    TWO_TO_11 = 3
    TWO_TO_12 = 4


class HeartbeatMode(OpenEnum):
    """HeartbeatMode, RFC 6520. Read, never spoken."""

    PEER_ALLOWED_TO_SEND = 1
    PEER_NOT_ALLOWED_TO_SEND = 2


class ECPointFormat(OpenEnum):
    """ECPointFormat, RFC 8422."""

    UNCOMPRESSED = 0
    ANSIX962_COMPRESSED_PRIME = 1
    ANSIX962_COMPRESSED_CHAR2 = 2


def _complete(kind: type[E], width: int) -> None:
    kind.width = width
    kind.by_value = {member.value: member for member in kind}


for _kind in (
    ContentType,
    HandshakeType,
    PskKeyExchangeMode,
    CertificateType,
    ClientCertificateType,
    MaxFragmentLength,
    HeartbeatMode,
    ECPointFormat,
):
    _complete(_kind, 1)
for _wide_kind in (
    ProtocolVersion,
    CipherSuite,
    NamedGroup,
    SignatureScheme,
    ExtensionType,
    CertificateCompressionAlgorithm,
):
    _complete(_wide_kind, 2)


def is_grease(value: int) -> bool:
    """Whether a 16-bit number is one of those reserved to keep peers tolerant (RFC 8701)."""
    return value & 0x0F0F == 0x0A0A and value >> 8 == value & 0xFF
