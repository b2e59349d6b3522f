"""Any message that can be: strategies made from the dataclass fields of the message classes themselves.

A field whose type alone does not say what it may hold needs a line in `_FIELDS`. Without one, `strategy_of` fails, so
that a new message or extension cannot go untested.
"""

from __future__ import annotations

import dataclasses
import inspect
import typing
from types import ModuleType
from typing import Any

from hypothesis import strategies as st

from trustls.wire import messages, messages12
from trustls.wire.enums import CertificateCompressionAlgorithm, CipherSuite, NamedGroup, OpenEnum
from trustls.wire.extensions import Extended, KeyShareEntry, OfferedPsks, OidFilter, PskIdentity, StatusRequest
from trustls.wire.messages import HELLO_RETRY_RANDOM, CertificateEntry, HandshakeMessage
from trustls.wire.names import DistinguishedName


def _messages_of(module: ModuleType) -> list[type[Any]]:
    return [
        item
        for item in vars(module).values()
        if inspect.isclass(item)
        and dataclasses.is_dataclass(item)
        and item.__module__ == module.__name__
        and not item.__name__.startswith("_")
        and hasattr(item, "TYPE")
    ]


MESSAGES: tuple[type[Any], ...] = tuple(
    sorted(_messages_of(messages) + _messages_of(messages12), key=lambda item: str(item.__name__))
)
"""Every message class of `trustls.wire.messages` and `trustls.wire.messages12`."""

EXTENDED: tuple[type[Extended], ...] = (
    *(item for item in MESSAGES if issubclass(item, Extended)),
    CertificateEntry,
)
"""Every class with an extension block."""

EXTENSIONS: tuple[tuple[type[Extended], str], ...] = tuple(
    (item, name) for item in EXTENDED for name, _ in item._fields_by_type.values()
)
"""Every extension of every class, by its field."""


def der_length(size: int) -> bytes:
    """The length octets of a DER element, for less than 2^16 bytes."""
    if size < 0x80:
        return bytes([size])
    return bytes([0x81, size]) if size < 0x100 else b"\x82" + size.to_bytes(2, "big")


def der(tag: int, content: bytes) -> bytes:
    """A DER element."""
    return bytes([tag]) + der_length(len(content)) + content


@st.composite
def names(draw: st.DrawFn) -> DistinguishedName:
    """A DistinguishedName: any types, any values, multi-valued parts included."""
    oids = st.sampled_from([b"\x55\x04\x03", b"\x55\x04\x0a", b"\x55\x04\x06", b"\x2a\x86\x48\x86\xf7\x0d\x01\x09\x01"])
    attribute = st.builds(
        lambda oid, tag, value: der(0x30, der(6, oid) + der(tag, value)),
        oids,
        st.sampled_from([0x0C, 0x13, 0x14, 0x16, 0x1C, 0x1E, 0x04]),
        st.binary(max_size=200),
    )
    part = st.lists(attribute, min_size=1, max_size=3).map(lambda attributes: der(0x31, b"".join(attributes)))
    return DistinguishedName(der(0x30, b"".join(draw(st.lists(part, max_size=4)))))


def _enum(kind: type[OpenEnum]) -> st.SearchStrategy[OpenEnum]:
    """A value of a registry: one with a name, or any other number of its width."""
    return st.one_of(st.sampled_from(list(kind)), st.integers(0, (1 << 8 * kind.width) - 1).map(kind))


_TICKET = st.binary(min_size=1, max_size=300)
_OCTETS = st.binary(max_size=300)
_SHARES = st.builds(KeyShareEntry, _enum(NamedGroup), _TICKET)


def _psks() -> st.SearchStrategy[OfferedPsks]:
    one = st.tuples(st.builds(PskIdentity, _TICKET, st.integers(0, 2**32 - 1)), st.binary(min_size=1, max_size=255))
    return st.lists(one, min_size=1, max_size=4).map(
        lambda pairs: OfferedPsks(tuple(psk for psk, _ in pairs), tuple(binder for _, binder in pairs))
    )


def _tuples(items: st.SearchStrategy[Any], *, least: int = 1) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(items, min_size=least, max_size=5).map(tuple)


_CERTIFICATE_LIKE = st.binary(min_size=1, max_size=400)
_SCTS = _tuples(st.binary(min_size=1, max_size=120))


def _entries() -> st.SearchStrategy[CertificateEntry]:
    return strategy_of(CertificateEntry)


# By "Class.field", or by "field" for all classes: what the type alone does not say.
_FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "random": st.binary(min_size=32, max_size=32).filter(lambda random: random != HELLO_RETRY_RANDOM),
    "HelloRetryRequest.random": st.just(HELLO_RETRY_RANDOM),
    "session_id": st.binary(max_size=32),
    "cipher_suites": _tuples(_enum(CipherSuite)),
    "compression_methods": st.binary(min_size=1, max_size=255),
    "compression_method": st.integers(0, 255),
    "context": st.binary(max_size=255),
    "certificate": _CERTIFICATE_LIKE,
    "entries": _tuples(st.deferred(_entries), least=0),
    "uncompressed_length": st.integers(0, 2**24 - 1),
    "compressed": _TICKET,
    "signature": _OCTETS,
    "verify_data": st.binary(max_size=64),
    "lifetime": st.integers(0, 2**32 - 1),
    "age_add": st.integers(0, 2**32 - 1),
    "nonce": st.binary(max_size=255),
    "ticket": _TICKET,
    "update_requested": st.booleans(),
    "certificates": _tuples(_CERTIFICATE_LIKE, least=0),
    "spki": _CERTIFICATE_LIKE,
    "response": _CERTIFICATE_LIKE,
    "public": st.binary(min_size=1, max_size=255),
    "CertificateRequest12.certificate_authorities": _tuples(names(), least=0),
    "NewSessionTicket12.ticket": _OCTETS,
    # Extensions.
    "ClientHello.server_name": st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=255),
    "ClientHello.status_request": st.builds(StatusRequest, _tuples(_TICKET, least=0), _OCTETS),
    "CertificateEntry.status_request": _TICKET,
    "ServerHello.supported_groups": _OCTETS,
    "use_srtp": _OCTETS,
    "ClientHello.alpn": _tuples(st.binary(min_size=1, max_size=255)),
    "alpn": st.binary(min_size=1, max_size=255),
    "ServerHello.signed_certificate_timestamp": _SCTS,
    "CertificateEntry.signed_certificate_timestamp": _SCTS,
    "padding": st.integers(0, 600),
    "compress_certificate": st.sets(_enum(CertificateCompressionAlgorithm), min_size=1, max_size=5).map(tuple),
    "record_size_limit": st.integers(64, 2**16 - 1),
    "ClientHello.session_ticket": _OCTETS,
    "cookie": _TICKET,
    "certificate_authorities": _tuples(names()),
    "oid_filters": _tuples(st.builds(OidFilter, st.binary(min_size=1, max_size=255), _OCTETS), least=0),
    "ClientHello.key_share": _tuples(_SHARES, least=0),
    "ServerHello.key_share": _SHARES,
    "ClientHello.pre_shared_key": _psks(),
    "ServerHello.pre_shared_key": st.integers(0, 2**16 - 1),
    "encrypted_client_hello": _OCTETS,
    "renegotiation_info": st.binary(max_size=255),
    "NewSessionTicket.early_data": st.integers(0, 2**32 - 1),
}

# Types that nobody has given a meaning: GREASE among them.
_UNKNOWN_TYPES = st.sampled_from([0x0A0A, 0xFAFA, 0x1234, 0xFFFF, 77])


def _by_type(hint: Any) -> st.SearchStrategy[Any] | None:
    """What a type alone says, for registries, lists of them and extensions that are only there or not."""
    arguments = [item for item in typing.get_args(hint) if item is not type(None)]
    if typing.get_origin(hint) is not tuple and arguments:
        hint = arguments[0]
        arguments = [item for item in typing.get_args(hint) if item is not Ellipsis]
    if inspect.isclass(hint) and issubclass(hint, OpenEnum):
        return _enum(hint)
    if typing.get_origin(hint) is tuple:
        item = arguments[0]
        return _tuples(_enum(item)) if inspect.isclass(item) and issubclass(item, OpenEnum) else None
    return st.just(value=True) if hint is bool else None


def field_strategy(owner: type[Any], field: str) -> st.SearchStrategy[Any]:
    """What one field of a message or extension may hold."""
    for name in (f"{owner.__name__}.{field}", field):
        if name in _FIELDS:
            return _FIELDS[name]
    strategy = _by_type(typing.get_type_hints(owner)[field])
    if strategy is None:
        raise AssertionError(f"what may {owner.__name__}.{field} hold? Say so in tests/wire/strategies.py")
    return strategy


def strategy_of(owner: type[Any]) -> st.SearchStrategy[Any]:
    """Any message of this class, each extension there or not."""
    if owner not in _STRATEGIES:
        _STRATEGIES[owner] = _message(owner)  # Made once: what hypothesis works out about a strategy takes long.
    return _STRATEGIES[owner]


_STRATEGIES: dict[type[Any], st.SearchStrategy[Any]] = {}


def _message(owner: type[Any]) -> st.SearchStrategy[Any]:
    table = owner._fields_by_type if issubclass(owner, Extended) else {}
    optional = {name for name, _ in table.values()}
    fields: dict[str, st.SearchStrategy[Any]] = {}
    for item in dataclasses.fields(owner):
        if item.name == "unknown_extensions":
            body = st.tuples(_UNKNOWN_TYPES, st.binary(max_size=40))
            fields[item.name] = st.lists(body, max_size=3, unique_by=lambda entry: entry[0]).map(tuple)
        elif item.name in optional:
            fields[item.name] = st.none() | field_strategy(owner, item.name)
        else:
            fields[item.name] = field_strategy(owner, item.name)
    return st.builds(owner, **fields)


# A fixed message of each class, as small as it may be: what a test adds one extension to.
_SMALL: dict[str, dict[str, Any]] = {
    "ClientHello": {"random": b"\x01" * 32, "cipher_suites": (CipherSuite.TLS_AES_128_GCM_SHA256,)},
    "ServerHello": {"random": b"\x02" * 32, "session_id": b"", "cipher_suite": CipherSuite.TLS_AES_128_GCM_SHA256},
    "HelloRetryRequest": {"session_id": b"", "cipher_suite": CipherSuite.TLS_AES_128_GCM_SHA256},
    "EncryptedExtensions": {},
    "CertificateRequest": {},
    "CertificateEntry": {"certificate": b"\x30\x00"},
    "NewSessionTicket": {"lifetime": 7, "age_add": 8, "nonce": b"n", "ticket": b"ticket"},
}


def small(owner: type[Any], **extensions: Any) -> Any:
    """The smallest message of an extended class, with these extensions."""
    if owner.__name__ not in _SMALL:
        raise AssertionError(f"no small {owner.__name__}: add one to tests/wire/strategies.py")
    return owner(**_SMALL[owner.__name__], **extensions)


def parse(owner: type[Any], body: bytes) -> Any:
    """Read a message back; a CertificateEntry by way of the message that it stands in."""
    if owner is CertificateEntry:
        message = messages.CertificateMessage.parse(b"\0" + len(body).to_bytes(3, "big") + body)
        (entry,) = message.entries
        return entry
    message_type: type[HandshakeMessage] = owner
    return message_type.parse(body)
