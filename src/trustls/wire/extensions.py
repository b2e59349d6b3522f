"""Extensions: their bodies, and the one loop that reads a block of them (RFC 9846 4.3).

A message declares each of its extensions as one typed field, `alpn: ... = extension(TYPE, CODEC)`. The loop then holds
for every message: exact lengths, no extension twice, none in a message whose class does not declare it; what is not
known at all is kept as bytes in `unknown_extensions`.
"""

from __future__ import annotations

import dataclasses
import functools
import operator
import struct
from collections.abc import Callable
from typing import Any, ClassVar, TypeVar, cast

from trustls.errors import DecodeError, Misbehaviour, PeerMisbehaved
from trustls.values import dataclass
from trustls.wire.codec import (
    OPAQUE,
    Codec,
    Reader,
    enum_list,
    one_enum,
    opaque8,
    opaque16,
    opaque_list,
    remembering,
    uint,
    vector8,
    vector16,
    vector24,
)
from trustls.wire.enums import (
    CertificateCompressionAlgorithm,
    CertificateType,
    ECPointFormat,
    ExtensionType,
    HeartbeatMode,
    MaxFragmentLength,
    NamedGroup,
    ProtocolVersion,
    PskKeyExchangeMode,
    SignatureScheme,
)
from trustls.wire.names import DistinguishedName

T = TypeVar("T")
Self = TypeVar("Self", bound="Extended")

_MAX_EXTENSIONS = 256
_REMEMBERED = 16
_KNOWN_TYPES = frozenset(ExtensionType.by_value)


def extension(kind: ExtensionType, codec: Codec[T]) -> T | None:
    """A dataclass field that holds the body of the extension `kind`, None where it is absent."""
    return cast("T | None", dataclasses.field(default=None, metadata={"extension": (kind, codec)}))


class _Table:
    """The extension fields of a message in the order in which they are written, laid out for the loops.

    `values` gives all fields of a message at once: there are thirty in a ClientHello, and most are absent.
    """

    __slots__ = ("types", "values", "writers")

    def __init__(self, by_type: dict[int, tuple[str, Codec[Any]]]) -> None:
        # RFC 9846 4.3.11: pre_shared_key stands last.
        order = sorted(by_type, key=lambda kind: kind == ExtensionType.PRE_SHARED_KEY)
        self.types = tuple(order)
        self.writers = tuple([_writer(kind, by_type[kind][1]) for kind in order])
        self.values = _values([by_type[kind][0] for kind in order])


def _writer(kind: int, codec: Codec[Any]) -> Callable[[Any], bytes]:
    """What writes one extension, with its header."""
    start = kind.to_bytes(2, "big")
    encode = codec.encode

    def write(value: Any) -> bytes:
        return start + vector16(encode(value))

    # Ten of the thirteen extensions of our ClientHello are the same in each: that saves 10 us of a handshake.
    return functools.lru_cache(maxsize=_REMEMBERED)(write) if codec.repeats else write


def _values(names: list[str]) -> Callable[[object], tuple[Any, ...]]:
    if len(names) > 1:
        return operator.attrgetter(*names)
    return lambda message: tuple([getattr(message, name) for name in names])


@dataclass(slots=True, kw_only=True)
class Extended:
    """A message, or a part of one, that carries an extension block."""

    unknown_extensions: tuple[tuple[int, bytes], ...] = ()

    _fields_by_type: ClassVar[dict[int, tuple[str, Codec[Any]]]] = {}
    _table: ClassVar[_Table] = _Table({})

    def extension_types(self) -> list[int]:
        """The type of every extension present."""
        table = self._table
        present = [
            kind
            for kind, value in zip(table.types, table.values(self), strict=True)
            if value is not None and value is not False
        ]
        if self.unknown_extensions:
            present += [kind for kind, _ in self.unknown_extensions]
        return present

    def has_extension(self, kind: int) -> bool:
        """Whether the extension of this type is present."""
        entry = self._fields_by_type.get(kind)
        if entry is None:
            return any(kind == unknown for unknown, _ in self.unknown_extensions)
        value = getattr(self, entry[0])
        return value is not None and value is not False

    def encode_extensions(self) -> bytes:
        """The block, in the order of the fields; pre_shared_key stays last (RFC 9846 4.3.11)."""
        table = self._table
        block = [
            write(value)
            for write, value in zip(table.writers, table.values(self), strict=True)
            if value is not None and value is not False
        ]
        if self.unknown_extensions:
            end = len(block) - self.has_extension(ExtensionType.PRE_SHARED_KEY)
            block[end:end] = [kind.to_bytes(2, "big") + vector16(body) for kind, body in self.unknown_extensions]
        return vector16(b"".join(block))


def declares_extensions(message: type[Self]) -> type[Self]:
    """Class decorator: collects the `extension(...)` fields of a dataclass into the table that the loop uses."""
    table: dict[int, tuple[str, Codec[Any]]] = {}
    for field in dataclasses.fields(message):
        if "extension" in field.metadata:
            kind, codec = field.metadata["extension"]
            table[int(kind)] = (field.name, codec)
    message._fields_by_type = table
    message._table = _Table(table)
    return message


read_header = struct.Struct("!HH").unpack_from


def parse_extensions(message: type[Extended], block: bytes) -> dict[str, Any]:
    """The extension fields of `message` by name, from the inside of an extension block."""
    table = message._fields_by_type
    found: dict[str, Any] = {}
    unknown: dict[int, bytes] = {}
    position = 0
    end = len(block)
    while position < end:
        body_start = position + 4
        if body_start > end:
            raise DecodeError(Misbehaviour.TRUNCATED, f"extensions of {message.__name__}")
        kind, size = read_header(block, position)
        position = body_start + size
        if position > end:
            raise DecodeError(Misbehaviour.TRUNCATED, f"extensions of {message.__name__}")
        entry = table.get(kind)
        if entry is not None:
            name, codec = entry
            if name in found:
                raise _duplicate(kind, message)
            found[name] = codec.decode(block[body_start:position])
        elif kind in _KNOWN_TYPES:
            # RFC 9846 4.3: one that we know, in a message that it is not specified for, is illegal_parameter.
            raise PeerMisbehaved(
                Misbehaviour.UNEXPECTED_EXTENSION, f"{ExtensionType(kind)} may not stand in {message.__name__}"
            )
        else:
            if kind in unknown:
                raise _duplicate(kind, message)
            unknown[kind] = block[body_start:position]
            if len(unknown) > _MAX_EXTENSIONS:
                raise DecodeError(Misbehaviour.BAD_LENGTH, f"over {_MAX_EXTENSIONS} unknown extensions")
    if unknown:
        found["unknown_extensions"] = tuple(unknown.items())
    return found


def _duplicate(kind: int, message: type[Extended]) -> DecodeError:
    return DecodeError(Misbehaviour.DUPLICATE_EXTENSION, f"{ExtensionType(kind)} in {message.__name__}")


# -- server_name, RFC 6066 3 ------------------------------------------------------------------------------------------


def _decode_server_name(body: bytes) -> str:
    outer = Reader(body, "server_name")
    names = Reader(outer.vector16(low=1), "server_name")
    outer.finish()
    if names.u8() != 0:
        raise DecodeError(Misbehaviour.MALFORMED, "server_name: a name type other than host_name")
    host = names.vector16(low=1)
    names.finish()  # RFC 6066 allows one name of a type, and there is one type.
    if not host.isascii() or min(host) < 0x21 or max(host) > 0x7E:
        # RFC 6066 3: a DNS name in ASCII. What goes on from here ends in logs, and in other programs.
        raise DecodeError(Misbehaviour.MALFORMED, "server_name: not printable ASCII")
    return host.decode("ascii")


SERVER_NAME: Codec[str] = Codec(
    remembering(_decode_server_name), lambda name: vector16(b"\0" + vector16(name.encode("ascii")))
)

# -- key_share, RFC 9846 4.3.8 ----------------------------------------------------------------------------------------


@dataclass(slots=True)
class KeyShareEntry:
    """A public value of one group."""

    group: NamedGroup
    key_exchange: bytes


def _read_key_share(reader: Reader) -> KeyShareEntry:
    group = reader.u16()
    return KeyShareEntry(NamedGroup.by_value.get(group) or NamedGroup(group), reader.vector16(low=1))


def _encode_key_share(entry: KeyShareEntry) -> bytes:
    return entry.group.to_bytes(2, "big") + vector16(entry.key_exchange)


def _decode_key_share(body: bytes) -> KeyShareEntry:
    reader = Reader(body, "key_share")
    entry = _read_key_share(reader)
    reader.finish()
    return entry


def _decode_key_shares(body: bytes) -> tuple[KeyShareEntry, ...]:
    outer = Reader(body, "key_share")
    inner = Reader(outer.vector16(), "key_share")
    outer.finish()
    entries = []
    while inner:
        entries.append(_read_key_share(inner))
    return tuple(entries)


KEY_SHARE: Codec[KeyShareEntry] = Codec(_decode_key_share, _encode_key_share)
KEY_SHARES: Codec[tuple[KeyShareEntry, ...]] = Codec(
    _decode_key_shares, lambda entries: vector16(b"".join(map(_encode_key_share, entries)))
)

# -- pre_shared_key, RFC 9846 4.3.11 ----------------------------------------------------------------------------------


@dataclass(slots=True)
class PskIdentity:
    """One pre-shared key on offer."""

    identity: bytes
    obfuscated_ticket_age: int


@dataclass(slots=True)
class OfferedPsks:
    """The body of pre_shared_key in a ClientHello: as many binders as identities."""

    identities: tuple[PskIdentity, ...]
    binders: tuple[bytes, ...]


def _decode_offered_psks(body: bytes) -> OfferedPsks:
    outer = Reader(body, "pre_shared_key")
    identity_list = Reader(outer.vector16(low=7), "pre_shared_key")
    # A binder has 32 bytes at least (RFC 9846 4.3.11), and one of a key that is not taken is nobody's business.
    binder_list = Reader(outer.vector16(low=2), "pre_shared_key")
    outer.finish()
    identities = []
    while identity_list:
        identities.append(PskIdentity(identity_list.vector16(low=1), identity_list.u32()))
    binders = []
    while binder_list:
        binders.append(binder_list.vector8(low=1))
    if len(identities) != len(binders):
        raise PeerMisbehaved(
            Misbehaviour.BAD_PSK_OFFER, f"{len(identities)} identities and {len(binders)} binders in pre_shared_key"
        )
    return OfferedPsks(tuple(identities), tuple(binders))


def _encode_offered_psks(psks: OfferedPsks) -> bytes:
    identities = b"".join(
        [vector16(psk.identity) + psk.obfuscated_ticket_age.to_bytes(4, "big") for psk in psks.identities]
    )
    return vector16(identities) + encode_binders(psks.binders)


def encode_binders(binders: tuple[bytes, ...]) -> bytes:
    """The list of binders, which ends a ClientHello."""
    return vector16(b"".join([len(binder).to_bytes(1, "big") + binder for binder in binders]))


OFFERED_PSKS: Codec[OfferedPsks] = Codec(_decode_offered_psks, _encode_offered_psks)

# -- certificate_authorities, RFC 9846 4.3.4 --------------------------------------------------------------------------


def encode_authorities(names: tuple[DistinguishedName, ...]) -> bytes:
    """The DistinguishedName list, with its own length, as both TLS 1.3's extension and TLS 1.2's field hold it."""
    return vector16(b"".join([vector16(name.der) for name in names]))


def read_authorities(reader: Reader, *, low: int) -> tuple[DistinguishedName, ...]:
    """The list of at least `low` bytes; each name is exact DER."""
    return _names(reader.vector16(low=low))


@functools.lru_cache(maxsize=8)
def _names(content: bytes) -> tuple[DistinguishedName, ...]:
    """The names of one list.

    The last eight are remembered, all peers together, 2 MiB at the most: a client talks to few servers, and to read
    the names of 1,000 CAs takes ten times as long as all the rest of its handshake.
    """
    inner = Reader(content, "certificate_authorities")
    names = []
    while inner:
        names.append(DistinguishedName(inner.vector16(low=1)))
    return tuple(names)


def _decode_authorities(body: bytes) -> tuple[DistinguishedName, ...]:
    reader = Reader(body, "certificate_authorities")
    names = read_authorities(reader, low=3)
    reader.finish()
    return names


CERTIFICATE_AUTHORITIES: Codec[tuple[DistinguishedName, ...]] = Codec(_decode_authorities, encode_authorities)

# -- oid_filters, RFC 9846 4.3.5 --------------------------------------------------------------------------------------


@dataclass(slots=True)
class OidFilter:
    """A certificate extension (DER of its OID) and the DER values it must hold."""

    extension_oid: bytes
    extension_values: bytes


def _decode_oid_filters(body: bytes) -> tuple[OidFilter, ...]:
    outer = Reader(body, "oid_filters")
    inner = Reader(outer.vector16(), "oid_filters")
    outer.finish()
    filters = []
    while inner:
        filters.append(OidFilter(inner.vector8(low=1), inner.vector16()))
    return tuple(filters)


OID_FILTERS: Codec[tuple[OidFilter, ...]] = Codec(
    _decode_oid_filters,
    lambda filters: vector16(
        b"".join([vector8(item.extension_oid) + vector16(item.extension_values) for item in filters])
    ),
)

# -- status_request, RFC 6066 8 ---------------------------------------------------------------------------------------

_OCSP = 1


@dataclass(frozen=True, slots=True)
class StatusRequest:
    """CertificateStatusRequest of type ocsp; responders and extensions are DER for the responder to read."""

    responder_ids: tuple[bytes, ...] = ()
    request_extensions: bytes = b""


def _decode_status_request(body: bytes) -> StatusRequest | None:
    reader = Reader(body, "status_request")
    if reader.u8() != _OCSP:
        return None  # RFC 6066 8: what follows another type has no known shape, and asks for nothing known.
    ids = Reader(reader.vector16(), "status_request")
    extensions = reader.vector16()
    reader.finish()
    responder_ids = []
    while ids:
        responder_ids.append(ids.vector16(low=1))
    return StatusRequest(tuple(responder_ids), extensions)


def _encode_status_request(request: StatusRequest | None) -> bytes:
    request = request or StatusRequest()
    ids = vector16(b"".join(map(vector16, request.responder_ids)))
    return b"\x01" + ids + vector16(request.request_extensions)


STATUS_REQUEST: Codec[StatusRequest | None] = Codec(
    remembering(_decode_status_request), _encode_status_request, repeats=True
)


def _decode_ocsp_response(body: bytes) -> bytes:
    reader = Reader(body, "status_request")
    if reader.u8() != _OCSP:
        raise DecodeError(Misbehaviour.MALFORMED, "status_request: a type other than ocsp")
    response = reader.vector24(low=1)
    reader.finish()
    return response


OCSP_RESPONSE: Codec[bytes] = Codec(_decode_ocsp_response, lambda response: b"\x01" + vector24(response))

# -- extensions that are a list or a number ---------------------------------------------------------------------------

VERSIONS: Codec[tuple[ProtocolVersion, ...]] = enum_list(ProtocolVersion, "supported_versions", length_bytes=1)
VERSION: Codec[ProtocolVersion] = one_enum(ProtocolVersion, "supported_versions")
GROUPS: Codec[tuple[NamedGroup, ...]] = enum_list(NamedGroup, "supported_groups")
GROUP: Codec[NamedGroup] = one_enum(NamedGroup, "key_share")
SCHEMES: Codec[tuple[SignatureScheme, ...]] = enum_list(SignatureScheme, "signature_algorithms")
PSK_MODES: Codec[tuple[PskKeyExchangeMode, ...]] = enum_list(
    PskKeyExchangeMode, "psk_key_exchange_modes", length_bytes=1
)
SELECTED_PSK: Codec[int] = uint(2, "pre_shared_key")
MAX_EARLY_DATA: Codec[int] = uint(4, "early_data")
ALPN: Codec[tuple[bytes, ...]] = opaque_list("application_layer_protocol_negotiation", item_bytes=1)
COOKIE: Codec[bytes] = opaque16("cookie")
CERTIFICATE_TYPES: Codec[tuple[CertificateType, ...]] = enum_list(CertificateType, "certificate_type", length_bytes=1)
CERTIFICATE_TYPE: Codec[CertificateType] = one_enum(CertificateType, "certificate_type")
POINT_FORMATS: Codec[tuple[ECPointFormat, ...]] = enum_list(ECPointFormat, "ec_point_formats", length_bytes=1)
MAX_FRAGMENT_LENGTH: Codec[MaxFragmentLength] = one_enum(MaxFragmentLength, "max_fragment_length")
HEARTBEAT: Codec[HeartbeatMode] = one_enum(HeartbeatMode, "heartbeat")
SCT_LIST: Codec[tuple[bytes, ...]] = opaque_list("signed_certificate_timestamp", item_bytes=2)
RENEGOTIATION_INFO: Codec[bytes] = opaque8("renegotiation_info")
SESSION_TICKET: Codec[bytes] = OPAQUE


_ALGORITHMS = enum_list(CertificateCompressionAlgorithm, "compress_certificate", length_bytes=1)


def _decode_compression_algorithms(body: bytes) -> tuple[CertificateCompressionAlgorithm, ...]:
    algorithms = _ALGORITHMS.decode(body)
    if len(set(algorithms)) != len(algorithms):
        raise PeerMisbehaved(Misbehaviour.DUPLICATE_COMPRESSION)
    return algorithms


COMPRESSION_ALGORITHMS: Codec[tuple[CertificateCompressionAlgorithm, ...]] = Codec(
    _decode_compression_algorithms, _ALGORITHMS.encode, repeats=True
)


def _decode_record_size_limit(body: bytes) -> int:
    limit = uint(2, "record_size_limit").decode(body)
    if limit < 64:
        # RFC 8449 4: smaller than 64 is an illegal_parameter.
        raise PeerMisbehaved(Misbehaviour.BAD_RECORD_SIZE_LIMIT, f"the peer says {limit}")
    return limit


RECORD_SIZE_LIMIT: Codec[int] = Codec(_decode_record_size_limit, lambda limit: limit.to_bytes(2, "big"))


def _decode_alpn_choice(body: bytes) -> bytes:
    protocols = ALPN.decode(body)
    if len(protocols) != 1:
        raise DecodeError(Misbehaviour.MALFORMED, "ALPN: the answer names more than one protocol")
    return protocols[0]


ALPN_CHOICE: Codec[bytes] = Codec(_decode_alpn_choice, lambda protocol: ALPN.encode((protocol,)))


def _decode_padding(body: bytes) -> int:
    if body.strip(b"\0"):
        raise PeerMisbehaved(Misbehaviour.BAD_PADDING, "the padding extension holds other bytes than zero")
    return len(body)


PADDING: Codec[int] = Codec(_decode_padding, bytes)
