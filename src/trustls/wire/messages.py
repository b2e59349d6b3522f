"""The handshake messages of TLS 1.3, each with its reading and writing side by side (RFC 9846 4).

`parse` takes the exact body of a message, without the handshake header, and `encode` gives it back.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Iterable
from dataclasses import field
from typing import Any, ClassVar, Final, Protocol, Self, TypeVar, cast

from trustls.errors import Misbehaviour, PeerMisbehaved
from trustls.values import dataclass
from trustls.wire import extensions as ext
from trustls.wire.codec import EMPTY, OPAQUE, Reader, enum_list, enum_values, vector8, vector16, vector24
from trustls.wire.enums import (
    CertificateCompressionAlgorithm,
    CertificateType,
    CipherSuite,
    ECPointFormat,
    ExtensionType,
    HandshakeType,
    HeartbeatMode,
    MaxFragmentLength,
    NamedGroup,
    ProtocolVersion,
    PskKeyExchangeMode,
    SignatureScheme,
)
from trustls.wire.extensions import Extended, declares_extensions, extension, parse_extensions, read_header
from trustls.wire.names import DistinguishedName

# RFC 9846 4.2.3: SHA-256 of "HelloRetryRequest".
HELLO_RETRY_RANDOM = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")
DOWNGRADE_TO_TLS12 = b"DOWNGRD\x01"
DOWNGRADE_TO_TLS11 = b"DOWNGRD\x00"

_E = ExtensionType
_VERSIONS = ProtocolVersion.by_value
_read_two_numbers = struct.Struct("!II").unpack
_cipher_suites = enum_values(CipherSuite, "ClientHello: cipher_suites")
_encoded_suites = functools.lru_cache(maxsize=16)(enum_list(CipherSuite, "cipher_suites").encode)


class HandshakeMessage(Protocol):
    """What every message has."""

    TYPE: ClassVar[HandshakeType]

    @classmethod
    def parse(cls, body: bytes) -> Self:
        """The message of this body; DecodeError or PeerMisbehaved when it is none."""

    def encode(self) -> bytes:
        """The body."""


M = TypeVar("M", bound=HandshakeMessage)


def parse_message(kind: type[M], body: bytes) -> M:
    """The message of this body, as `kind.parse` reads it. Nobody changes a message that came, for it may be shared.

    What one peer says to everybody is parsed once: that saves a tenth of the Python in a handshake.
    """
    if len(body) <= _MAX_REPEATED and kind in REPEATED:
        return cast("M", _repeated(kind, body))
    return kind.parse(body)


@functools.lru_cache(maxsize=64)
def _repeated(kind: type[HandshakeMessage], body: bytes) -> HandshakeMessage:
    return kind.parse(body)


def encode_message(message: HandshakeMessage) -> bytes:
    """The message with its handshake header."""
    body = message.encode()
    return (message.TYPE << 24 | len(body)).to_bytes(4, "big") + body


@declares_extensions
@dataclass(slots=True, kw_only=True)
class ClientHello(Extended):
    """RFC 9846 4.2.2."""

    TYPE: ClassVar[HandshakeType] = HandshakeType.CLIENT_HELLO

    legacy_version: ProtocolVersion = ProtocolVersion.TLS1_2
    random: bytes
    session_id: bytes = b""
    cipher_suites: tuple[CipherSuite, ...]
    compression_methods: bytes = b"\0"

    server_name: str | None = extension(_E.SERVER_NAME, ext.SERVER_NAME)
    max_fragment_length: MaxFragmentLength | None = extension(_E.MAX_FRAGMENT_LENGTH, ext.MAX_FRAGMENT_LENGTH)
    status_request: ext.StatusRequest | None = extension(_E.STATUS_REQUEST, ext.STATUS_REQUEST)
    supported_versions: tuple[ProtocolVersion, ...] | None = extension(_E.SUPPORTED_VERSIONS, ext.VERSIONS)
    supported_groups: tuple[NamedGroup, ...] | None = extension(_E.SUPPORTED_GROUPS, ext.GROUPS)
    ec_point_formats: tuple[ECPointFormat, ...] | None = extension(_E.EC_POINT_FORMATS, ext.POINT_FORMATS)
    signature_algorithms: tuple[SignatureScheme, ...] | None = extension(_E.SIGNATURE_ALGORITHMS, ext.SCHEMES)
    signature_algorithms_cert: tuple[SignatureScheme, ...] | None = extension(_E.SIGNATURE_ALGORITHMS_CERT, ext.SCHEMES)
    use_srtp: bytes | None = extension(_E.USE_SRTP, OPAQUE)
    heartbeat: HeartbeatMode | None = extension(_E.HEARTBEAT, ext.HEARTBEAT)
    alpn: tuple[bytes, ...] | None = extension(_E.APPLICATION_LAYER_PROTOCOL_NEGOTIATION, ext.ALPN)
    signed_certificate_timestamp: bool | None = extension(_E.SIGNED_CERTIFICATE_TIMESTAMP, EMPTY)
    client_certificate_type: tuple[CertificateType, ...] | None = extension(
        _E.CLIENT_CERTIFICATE_TYPE, ext.CERTIFICATE_TYPES
    )
    server_certificate_type: tuple[CertificateType, ...] | None = extension(
        _E.SERVER_CERTIFICATE_TYPE, ext.CERTIFICATE_TYPES
    )
    padding: int | None = extension(_E.PADDING, ext.PADDING)
    encrypt_then_mac: bool | None = extension(_E.ENCRYPT_THEN_MAC, EMPTY)
    extended_master_secret: bool | None = extension(_E.EXTENDED_MASTER_SECRET, EMPTY)
    compress_certificate: tuple[CertificateCompressionAlgorithm, ...] | None = extension(
        _E.COMPRESS_CERTIFICATE, ext.COMPRESSION_ALGORITHMS
    )
    record_size_limit: int | None = extension(_E.RECORD_SIZE_LIMIT, ext.RECORD_SIZE_LIMIT)
    session_ticket: bytes | None = extension(_E.SESSION_TICKET, ext.SESSION_TICKET)
    cookie: bytes | None = extension(_E.COOKIE, ext.COOKIE)
    psk_key_exchange_modes: tuple[PskKeyExchangeMode, ...] | None = extension(_E.PSK_KEY_EXCHANGE_MODES, ext.PSK_MODES)
    certificate_authorities: tuple[DistinguishedName, ...] | None = extension(
        _E.CERTIFICATE_AUTHORITIES, ext.CERTIFICATE_AUTHORITIES
    )
    post_handshake_auth: bool | None = extension(_E.POST_HANDSHAKE_AUTH, EMPTY)
    key_share: tuple[ext.KeyShareEntry, ...] | None = extension(_E.KEY_SHARE, ext.KEY_SHARES)
    encrypted_client_hello: bytes | None = extension(_E.ENCRYPTED_CLIENT_HELLO, OPAQUE)
    renegotiation_info: bytes | None = extension(_E.RENEGOTIATION_INFO, ext.RENEGOTIATION_INFO)
    early_data: bool | None = extension(_E.EARLY_DATA, EMPTY)
    pre_shared_key: ext.OfferedPsks | None = extension(_E.PRE_SHARED_KEY, ext.OFFERED_PSKS)

    @classmethod
    def parse(cls, body: bytes) -> Self:
        reader = Reader(body, "ClientHello")
        version = reader.u16()
        random = reader.take(32)
        session_id = reader.vector8(high=32)
        suites = _cipher_suites(reader.vector16(low=2))
        compression = reader.vector8(low=1)
        # RFC 5246 7.4.1.2 lets a ClientHello end here; what TLS 1.3 requires is then found missing.
        block = reader.vector16() if reader else b""
        reader.finish()
        fields = parse_extensions(cls, block)
        if "pre_shared_key" in fields and not _ends_with_psk(block):
            raise PeerMisbehaved(Misbehaviour.PSK_NOT_LAST)
        return cls(
            legacy_version=_VERSIONS.get(version) or ProtocolVersion(version),
            random=random,
            session_id=session_id,
            cipher_suites=suites,
            compression_methods=compression,
            **fields,
        )

    def encode(self) -> bytes:
        return b"".join(
            (
                self.legacy_version.to_bytes(2, "big"),
                self.random,
                vector8(self.session_id),
                _encoded_suites(self.cipher_suites),
                vector8(self.compression_methods),
                self.encode_extensions(),
            )
        )


def _ends_with_psk(block: bytes) -> bool:
    """Whether the last extension of a well-formed block is pre_shared_key."""
    position = kind = 0
    end = len(block)
    while position < end:
        kind, size = read_header(block, position)
        position += 4 + size
    return kind == ExtensionType.PRE_SHARED_KEY


@dataclass(slots=True, kw_only=True)
class _ServerHelloShape(Extended):
    """What ServerHello and HelloRetryRequest have in common: all but the extensions that each may hold."""

    TYPE: ClassVar[HandshakeType] = HandshakeType.SERVER_HELLO

    legacy_version: ProtocolVersion = ProtocolVersion.TLS1_2
    random: bytes
    session_id: bytes
    cipher_suite: CipherSuite
    compression_method: int = 0

    @classmethod
    def parse(cls, body: bytes) -> Self:
        reader = Reader(body, cls.__name__)
        version = reader.u16()
        random = reader.take(32)
        session_id = reader.vector8(high=32)
        suite = reader.u16()
        compression = reader.u8()
        block = reader.vector16() if reader else b""
        reader.finish()
        return cls(
            legacy_version=_VERSIONS.get(version) or ProtocolVersion(version),
            random=random,
            session_id=session_id,
            cipher_suite=CipherSuite.by_value.get(suite) or CipherSuite(suite),
            compression_method=compression,
            **parse_extensions(cls, block),
        )

    def encode(self) -> bytes:
        return b"".join(
            (
                self.legacy_version.to_bytes(2, "big"),
                self.random,
                vector8(self.session_id),
                self.cipher_suite.to_bytes(2, "big"),
                self.compression_method.to_bytes(1, "big"),
                self.encode_extensions(),
            )
        )


@declares_extensions
@dataclass(slots=True, kw_only=True)
class ServerHello(_ServerHelloShape):
    """RFC 9846 4.2.3. The fields after `pre_shared_key` belong to TLS 1.2 (RFC 5246 7.4.1.3) alone."""

    supported_versions: ProtocolVersion | None = extension(_E.SUPPORTED_VERSIONS, ext.VERSION)
    key_share: ext.KeyShareEntry | None = extension(_E.KEY_SHARE, ext.KEY_SHARE)
    pre_shared_key: int | None = extension(_E.PRE_SHARED_KEY, ext.SELECTED_PSK)

    server_name: bool | None = extension(_E.SERVER_NAME, EMPTY)
    max_fragment_length: MaxFragmentLength | None = extension(_E.MAX_FRAGMENT_LENGTH, ext.MAX_FRAGMENT_LENGTH)
    status_request: bool | None = extension(_E.STATUS_REQUEST, EMPTY)
    supported_groups: bytes | None = extension(_E.SUPPORTED_GROUPS, OPAQUE)  # Some send it, and it means nothing here.
    ec_point_formats: tuple[ECPointFormat, ...] | None = extension(_E.EC_POINT_FORMATS, ext.POINT_FORMATS)
    use_srtp: bytes | None = extension(_E.USE_SRTP, OPAQUE)
    heartbeat: HeartbeatMode | None = extension(_E.HEARTBEAT, ext.HEARTBEAT)
    alpn: bytes | None = extension(_E.APPLICATION_LAYER_PROTOCOL_NEGOTIATION, ext.ALPN_CHOICE)
    signed_certificate_timestamp: tuple[bytes, ...] | None = extension(_E.SIGNED_CERTIFICATE_TIMESTAMP, ext.SCT_LIST)
    client_certificate_type: CertificateType | None = extension(_E.CLIENT_CERTIFICATE_TYPE, ext.CERTIFICATE_TYPE)
    server_certificate_type: CertificateType | None = extension(_E.SERVER_CERTIFICATE_TYPE, ext.CERTIFICATE_TYPE)
    encrypt_then_mac: bool | None = extension(_E.ENCRYPT_THEN_MAC, EMPTY)
    extended_master_secret: bool | None = extension(_E.EXTENDED_MASTER_SECRET, EMPTY)
    record_size_limit: int | None = extension(_E.RECORD_SIZE_LIMIT, ext.RECORD_SIZE_LIMIT)
    session_ticket: bool | None = extension(_E.SESSION_TICKET, EMPTY)
    renegotiation_info: bytes | None = extension(_E.RENEGOTIATION_INFO, ext.RENEGOTIATION_INFO)


@declares_extensions
@dataclass(slots=True, kw_only=True)
class HelloRetryRequest(_ServerHelloShape):
    """RFC 9846 4.2.4: a ServerHello with a random of its own."""

    random: bytes = HELLO_RETRY_RANDOM

    supported_versions: ProtocolVersion | None = extension(_E.SUPPORTED_VERSIONS, ext.VERSION)
    key_share: NamedGroup | None = extension(_E.KEY_SHARE, ext.GROUP)
    cookie: bytes | None = extension(_E.COOKIE, ext.COOKIE)
    encrypted_client_hello: bytes | None = extension(_E.ENCRYPTED_CLIENT_HELLO, OPAQUE)


@declares_extensions
@dataclass(slots=True, kw_only=True)
class EncryptedExtensions(Extended):
    """RFC 9846 4.4.1."""

    TYPE: ClassVar[HandshakeType] = HandshakeType.ENCRYPTED_EXTENSIONS

    server_name: bool | None = extension(_E.SERVER_NAME, EMPTY)
    max_fragment_length: MaxFragmentLength | None = extension(_E.MAX_FRAGMENT_LENGTH, ext.MAX_FRAGMENT_LENGTH)
    supported_groups: tuple[NamedGroup, ...] | None = extension(_E.SUPPORTED_GROUPS, ext.GROUPS)
    use_srtp: bytes | None = extension(_E.USE_SRTP, OPAQUE)
    heartbeat: HeartbeatMode | None = extension(_E.HEARTBEAT, ext.HEARTBEAT)
    alpn: bytes | None = extension(_E.APPLICATION_LAYER_PROTOCOL_NEGOTIATION, ext.ALPN_CHOICE)
    client_certificate_type: CertificateType | None = extension(_E.CLIENT_CERTIFICATE_TYPE, ext.CERTIFICATE_TYPE)
    server_certificate_type: CertificateType | None = extension(_E.SERVER_CERTIFICATE_TYPE, ext.CERTIFICATE_TYPE)
    record_size_limit: int | None = extension(_E.RECORD_SIZE_LIMIT, ext.RECORD_SIZE_LIMIT)
    early_data: bool | None = extension(_E.EARLY_DATA, EMPTY)
    encrypted_client_hello: bytes | None = extension(_E.ENCRYPTED_CLIENT_HELLO, OPAQUE)

    @classmethod
    def parse(cls, body: bytes) -> Self:
        return cls(**_only_extensions(cls, body))

    def encode(self) -> bytes:
        return self.encode_extensions()


def _only_extensions(message: type[Extended], body: bytes) -> dict[str, Any]:
    reader = Reader(body, message.__name__)
    block = reader.vector16()
    reader.finish()
    return parse_extensions(message, block)


@declares_extensions
@dataclass(slots=True, kw_only=True)
class CertificateRequest(Extended):
    """RFC 9846 4.4.2."""

    TYPE: ClassVar[HandshakeType] = HandshakeType.CERTIFICATE_REQUEST

    context: bytes = b""

    status_request: bool | None = extension(_E.STATUS_REQUEST, EMPTY)  # RFC 9846 4.5.1.1: empty here.
    signature_algorithms: tuple[SignatureScheme, ...] | None = extension(_E.SIGNATURE_ALGORITHMS, ext.SCHEMES)
    signature_algorithms_cert: tuple[SignatureScheme, ...] | None = extension(_E.SIGNATURE_ALGORITHMS_CERT, ext.SCHEMES)
    signed_certificate_timestamp: bool | None = extension(_E.SIGNED_CERTIFICATE_TIMESTAMP, EMPTY)
    compress_certificate: tuple[CertificateCompressionAlgorithm, ...] | None = extension(
        _E.COMPRESS_CERTIFICATE, ext.COMPRESSION_ALGORITHMS
    )
    certificate_authorities: tuple[DistinguishedName, ...] | None = extension(
        _E.CERTIFICATE_AUTHORITIES, ext.CERTIFICATE_AUTHORITIES
    )
    oid_filters: tuple[ext.OidFilter, ...] | None = extension(_E.OID_FILTERS, ext.OID_FILTERS)

    @classmethod
    def parse(cls, body: bytes) -> Self:
        reader = Reader(body, "CertificateRequest")
        context = reader.vector8()
        block = reader.vector16()
        reader.finish()
        return cls(context=context, **parse_extensions(cls, block))

    def encode(self) -> bytes:
        return vector8(self.context) + self.encode_extensions()


@declares_extensions
@dataclass(slots=True, kw_only=True)
class CertificateEntry(Extended):
    """One certificate (DER), or raw public key, of a CertificateMessage, and what is said about it."""

    certificate: bytes

    status_request: bytes | None = extension(_E.STATUS_REQUEST, ext.OCSP_RESPONSE)
    signed_certificate_timestamp: tuple[bytes, ...] | None = extension(_E.SIGNED_CERTIFICATE_TIMESTAMP, ext.SCT_LIST)

    def encode(self) -> bytes:
        """The entry with its extension block."""
        return vector24(self.certificate) + self.encode_extensions()


@dataclass(slots=True, kw_only=True)
class CertificateMessage:
    """RFC 9846 4.5.1, the message named Certificate there: the chain, leaf first."""

    TYPE: ClassVar[HandshakeType] = HandshakeType.CERTIFICATE

    context: bytes = b""
    entries: tuple[CertificateEntry, ...] = ()

    @classmethod
    def parse(cls, body: bytes) -> Self:
        reader = Reader(body, "Certificate")
        context = reader.vector8()
        inner = Reader(reader.vector24(), "Certificate")
        reader.finish()
        entries = []
        while inner:
            certificate = inner.vector24(low=1)
            block = inner.vector16()
            extensions = parse_extensions(CertificateEntry, block) if block else {}
            entries.append(CertificateEntry(certificate=certificate, **extensions))
        return cls(context=context, entries=tuple(entries))

    def encode(self) -> bytes:
        return vector8(self.context) + vector24(b"".join([entry.encode() for entry in self.entries]))


@dataclass(slots=True, kw_only=True)
class CompressedCertificate:
    """RFC 8879 4: a CertificateMessage's body, compressed."""

    TYPE: ClassVar[HandshakeType] = HandshakeType.COMPRESSED_CERTIFICATE

    algorithm: CertificateCompressionAlgorithm
    uncompressed_length: int
    compressed: bytes

    @classmethod
    def parse(cls, body: bytes) -> Self:
        reader = Reader(body, "CompressedCertificate")
        algorithm = CertificateCompressionAlgorithm(reader.u16())
        length = reader.u24()
        compressed = reader.vector24(low=1)
        reader.finish()
        return cls(algorithm=algorithm, uncompressed_length=length, compressed=compressed)

    def encode(self) -> bytes:
        return (
            self.algorithm.to_bytes(2, "big") + self.uncompressed_length.to_bytes(3, "big") + vector24(self.compressed)
        )


@dataclass(slots=True, kw_only=True)
class CertificateVerify:
    """RFC 9846 4.5.2: proof that the sender holds the certificate's key."""

    TYPE: ClassVar[HandshakeType] = HandshakeType.CERTIFICATE_VERIFY

    scheme: SignatureScheme
    signature: bytes

    @classmethod
    def parse(cls, body: bytes) -> Self:
        reader = Reader(body, "CertificateVerify")
        scheme = reader.u16()
        signature = reader.vector16()
        reader.finish()
        return cls(scheme=SignatureScheme.by_value.get(scheme) or SignatureScheme(scheme), signature=signature)

    def encode(self) -> bytes:
        return self.scheme.to_bytes(2, "big") + vector16(self.signature)


@dataclass(slots=True, kw_only=True)
class Finished:
    """RFC 9846 4.5.3. Its length is the hash's, which the handshake checks."""

    TYPE: ClassVar[HandshakeType] = HandshakeType.FINISHED

    verify_data: bytes

    @classmethod
    def parse(cls, body: bytes) -> Self:
        return cls(verify_data=body)

    def encode(self) -> bytes:
        return self.verify_data


@dataclass(slots=True)
class EndOfEarlyData:
    """RFC 9846 4.6."""

    TYPE: ClassVar[HandshakeType] = HandshakeType.END_OF_EARLY_DATA

    @classmethod
    def parse(cls, body: bytes) -> Self:
        Reader(body, "EndOfEarlyData").finish()
        return cls()

    def encode(self) -> bytes:
        return b""


@declares_extensions
@dataclass(slots=True, kw_only=True)
class NewSessionTicket(Extended):
    """RFC 9846 4.7.1. The lifetime is in seconds."""

    TYPE: ClassVar[HandshakeType] = HandshakeType.NEW_SESSION_TICKET

    lifetime: int
    age_add: int = field(repr=False)
    nonce: bytes
    ticket: bytes

    early_data: int | None = extension(_E.EARLY_DATA, ext.MAX_EARLY_DATA)

    @classmethod
    def parse(cls, body: bytes) -> Self:
        reader = Reader(body, "NewSessionTicket")
        lifetime, age_add = _read_two_numbers(reader.take(8))
        nonce = reader.vector8()
        ticket = reader.vector16(low=1)
        block = reader.vector16()
        reader.finish()
        extensions = parse_extensions(cls, block) if block else {}
        return cls(lifetime=lifetime, age_add=age_add, nonce=nonce, ticket=ticket, **extensions)

    def encode(self) -> bytes:
        return (
            struct.pack("!IIB", self.lifetime, self.age_add, len(self.nonce))
            + self.nonce
            + vector16(self.ticket)
            + self.encode_extensions()
        )


@dataclass(slots=True, kw_only=True)
class KeyUpdate:
    """RFC 9846 4.7.3."""

    TYPE: ClassVar[HandshakeType] = HandshakeType.KEY_UPDATE

    update_requested: bool

    @classmethod
    def parse(cls, body: bytes) -> Self:
        reader = Reader(body, "KeyUpdate")
        request = reader.u8()
        reader.finish()
        if request > 1:
            raise PeerMisbehaved(Misbehaviour.BAD_KEY_UPDATE, f"request_update {request}")
        return cls(update_requested=bool(request))

    def encode(self) -> bytes:
        return b"\x01" if self.update_requested else b"\x00"


def awaited_class(kind: int, body: bytes, awaited: Iterable[type[HandshakeMessage]]) -> type[HandshakeMessage] | None:
    """Which of the awaited classes reads a message of this type; None when none does."""
    for message in awaited:
        if kind == message.TYPE:
            if kind != HandshakeType.SERVER_HELLO:
                return message
            # legacy_version, 2 bytes, stands before the random.
            if (body[2:34] == HELLO_RETRY_RANDOM) == (message is HelloRetryRequest):
                return message
    return None


# Those of TLS 1.2 are put in where they are defined.
REPEATED: Final[set[type[HandshakeMessage]]] = {EncryptedExtensions, CertificateRequest, CertificateMessage}
# Of how many bytes, so that nobody fills the memory with them.
_MAX_REPEATED: Final = 1 << 12
