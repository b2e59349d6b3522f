"""What went over the wire, decoded, as records of `logging` (logger `trustls.handshake`, level TRACE, which is 5).

Each handshake message is one record: a readable tree with names instead of numbers. No secret is ever in its text, nor
what stands for a session or a key (tickets, identities, cookies): of those it has the length and the beginning of the
SHA-256, by which one is known again. Secrets are the key log's, which is apart and opt-in. `record.event` holds the
message as a value, with all its bytes. Switched off, it costs one `if`.

>>> import logging, trustls
>>> logging.basicConfig()
>>> logging.getLogger("trustls.handshake").setLevel(trustls.TRACE)  # doctest: +SKIP
"""

from __future__ import annotations

import dataclasses
import hashlib
import logging
from collections.abc import Iterator
from typing import Final

from trustls.errors import AlertDescription, CertificateRejected, DecodeError, TLSError
from trustls.trust.certificate import Certificate
from trustls.values import dataclass
from trustls.wire.enums import ExtensionType, OpenEnum, is_grease
from trustls.wire.extensions import Extended, KeyShareEntry
from trustls.wire.messages import CertificateEntry, HandshakeMessage
from trustls.wire.names import DistinguishedName, shown

TRACE: Final = 5
"""The level of logging at which handshake messages are told, on the logger `trustls.handshake`; DEBUG is 10."""
SENT: Final = "sent"
RECEIVED: Final = "received"
COMPRESSED: Final = "compressed"
DECOMPRESSED: Final = "decompressed"

# Bytes of an opaque value that are shown; what is longer is given by its length.
_SHOWN_BYTES: Final = 32
_INDENT: Final = "  "
_TITLES: Final = {"RawKeyMessage12": "Certificate"}
# Fields whose value is good for something to whoever has it, or is nobody else's business.
_WITHHELD: Final = frozenset(["ticket", "session_ticket", "identity", "cookie", "binders"])

_logger = logging.getLogger("trustls.handshake")
logging.addLevelName(TRACE, "TRACE")


@dataclass(frozen=True, slots=True)
class HandshakeEvent:
    """One handshake message: who saw it ("client" or "server"), in which direction, typed, and its exact bytes.

    The direction is "sent" or "received"; "compressed" and "decompressed" is what a CompressedCertificate beside it
    stands for, and is not on the wire itself.
    """

    role: str
    direction: str
    message: HandshakeMessage
    raw: bytes

    def __str__(self) -> str:
        name = title(type(self.message))
        first = f"{self.role} {self.direction} {name} ({len(self.raw)} bytes)"
        return "\n".join([first, *_fields(self.message, 1)])


def enabled() -> bool:
    """Whether anybody listens."""
    return _logger.isEnabledFor(TRACE)


def message(is_client: bool, direction: str, content: HandshakeMessage, raw: bytes) -> None:
    """Log one handshake message."""
    event = HandshakeEvent(_role(is_client), direction, content, raw)
    _logger.log(TRACE, "%s", event, extra={"event": event})


def alert(is_client: bool, direction: str, description: int) -> None:
    """Log an alert."""
    if enabled():
        try:
            name = AlertDescription(description).name.lower()
        except ValueError:
            name = f"unknown ({description})"
        _logger.log(TRACE, "%s %s Alert %s", _role(is_client), direction, name)


def failure(is_client: bool, error: TLSError) -> None:
    """Log why a connection ended."""
    _logger.debug("%s failed: %s: %s", _role(is_client), type(error).__name__, error)


def _role(is_client: bool) -> str:
    return "client" if is_client else "server"


def title(message_type: type[HandshakeMessage]) -> str:
    """What the RFCs call a message: CertificateMessage12 is a Certificate, too."""
    name = message_type.__name__
    return _TITLES.get(name) or name.removesuffix("12").removesuffix("Message")


def _fields(content: object, depth: int) -> Iterator[str]:
    """The fields of a message that are there, a line or a subtree each."""
    if not dataclasses.is_dataclass(content):
        return
    fields = [field for field in dataclasses.fields(content) if field.repr and field.name != "unknown_extensions"]
    for field in fields:
        value = getattr(content, field.name)
        if value is not None:
            yield from _named(field.name, value, depth)
    if isinstance(content, Extended):
        for kind, body in content.unknown_extensions:
            name = "GREASE" if is_grease(kind) else "unknown extension"
            yield f"{_INDENT * depth}{name} 0x{kind:04x}: {_opaque(body)}"


def _named(name: str, value: object, depth: int) -> Iterator[str]:
    indent = _INDENT * depth
    if isinstance(value, tuple):
        yield from _listed(name, value, depth)
    elif name in {"certificate", "spki"} and isinstance(value, bytes):
        yield f"{indent}{name}: {_certificate(value)}"
    elif name in _WITHHELD and isinstance(value, bytes) and value:
        yield f"{indent}{name}: {_withheld(value)}"
    elif dataclasses.is_dataclass(value):
        yield f"{indent}{name}:"
        yield from _fields(value, depth + 1)
    else:
        yield f"{indent}{name}: {_text(value)}"


def _listed(name: str, items: tuple[object, ...], depth: int) -> Iterator[str]:
    indent = _INDENT * depth
    if not items:
        yield f"{indent}{name}: none"
    elif all(isinstance(item, OpenEnum) for item in items):
        yield f"{indent}{name}: {', '.join(map(_text, items))}"
    else:
        yield f"{indent}{name}:"
        for item in items:
            if name == "certificates" and isinstance(item, bytes):
                yield f"{indent}{_INDENT}{_certificate(item)}"
            elif name in _WITHHELD and isinstance(item, bytes):
                yield f"{indent}{_INDENT}{_withheld(item)}"
            elif isinstance(item, KeyShareEntry):
                yield f"{indent}{_INDENT}{item.group}: {len(item.key_exchange)} bytes"
            elif isinstance(item, CertificateEntry):
                yield f"{indent}{_INDENT}{_certificate(item.certificate)}"
                for kind in item.extension_types():
                    yield f"{indent}{_INDENT * 2}with {ExtensionType(kind)}"
            elif dataclasses.is_dataclass(item):
                yield from _fields(item, depth + 1)
            else:
                yield f"{indent}{_INDENT}{_text(item)}"


def _text(value: object) -> str:
    if isinstance(value, OpenEnum):
        return f"GREASE {value.name}" if not value.is_known and is_grease(value) else value.iana
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, bytes):
        return _opaque(value)
    if isinstance(value, DistinguishedName):
        return value.rfc4514()
    if isinstance(value, str):
        return shown(value)
    return str(value)


def _opaque(value: bytes) -> str:
    if not value:
        return "empty"
    if len(value) <= 16 and value.isascii() and value.decode("ascii").isprintable():
        return value.decode("ascii")  # ALPN names, and little else, look like this.
    if len(value) <= _SHOWN_BYTES:
        return value.hex()
    return f"{value[:_SHOWN_BYTES].hex()}... ({len(value)} bytes)"


def _withheld(value: bytes) -> str:
    return f"{len(value)} bytes, SHA-256 {hashlib.sha256(value).hexdigest()[:8]}..."


def _certificate(der: bytes) -> str:
    try:
        return str(Certificate.from_der(der))
    except CertificateRejected as error:
        return _raw_key(der) or f"{len(der)} bytes that are no certificate ({error})"


def _raw_key(der: bytes) -> str:
    """The raw public key in `der` (RFC 7250); nothing when there is none."""
    from trustls.trust.raw_key import RawPublicKey  # Few have any.

    try:
        return str(RawPublicKey.from_der(der)) if der else "none"
    except (DecodeError, CertificateRejected):
        return ""
