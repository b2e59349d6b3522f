"""Every parser of a message: what it reads it must write again, with nothing lost and nothing added.

An input is the number of the class and the body. The extension block of a message is also taken apart by the few lines
below, so that reading and writing are not only compared with each other.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any, Final

from fuzz import seeds as recorded
from fuzz.decisions import Decisions
from fuzz.mutations import NO_ENCODING, Pool, other_field
from fuzz.oracles import check_refusal
from fuzz.stories import pool
from trustls.errors import PeerMisbehaved, TLSError
from trustls.protocol.certificate_compression import ZlibCompression
from trustls.protocol.joiner import MAX_CERTIFICATE_MESSAGE
from trustls.wire import messages, messages12
from trustls.wire.enums import HandshakeType
from trustls.wire.extensions import Extended
from trustls.wire.messages import ClientHello, CompressedCertificate, HelloRetryRequest, ServerHello, awaited_class

MAX_LENGTH: Final = 4096

CLASSES: Final[tuple[type[Any], ...]] = tuple(
    found
    for module in (messages, messages12)
    for name, found in sorted(vars(module).items())
    if isinstance(found, type) and found.__module__ == module.__name__ and hasattr(found, "TYPE") and name[0] != "_"
    if name != "HandshakeMessage"
)
# Of a message that is changed field by field: the lowest number above those of the classes.
_TYPED: Final = len(CLASSES)


def check(data: bytes) -> None:
    """One body, or one message with changed fields."""
    if not data:
        return
    kind = data[0] % (len(CLASSES) + 8)
    if kind < _TYPED:
        _check_body(CLASSES[kind], data[1:])
    else:
        _check_fields(data[1:])


def _parsed(kind: type[Any], body: bytes) -> Any:
    """The message; None when the class refuses it, in its own words."""
    try:
        return kind.parse(body)
    except TLSError as error:
        check_refusal(error)
        assert isinstance(error, PeerMisbehaved), f"{kind.__name__}.parse refuses with {error!r}"
        assert error.alert is not None, f"no alert for {error!r}"
        return None


def _check_body(kind: type[Any], body: bytes) -> None:
    awaited_class(int(kind.TYPE), body, (ServerHello, HelloRetryRequest))
    message = _parsed(kind, body)
    if message is None:
        return
    if isinstance(message, CompressedCertificate):
        _check_decompression(message)
    again = message.encode()
    assert kind.parse(again) == message, f"{message} is another one when it is read back"
    assert repr(message), "no repr"
    if not _has_extensions(kind):
        assert again == body, f"{kind.__name__} writes {again.hex()} for {body.hex()}"
        return
    if (
        len(again) == len(body) + 2
        and again.endswith(b"\0\0")
        and kind.TYPE
        in (
            HandshakeType.CLIENT_HELLO,
            HandshakeType.SERVER_HELLO,
        )
    ):
        body += b"\0\0"  # TLS 1.2 lets a hello end before its extensions.
    if isinstance(message, ClientHello) and message.status_request is None and len(again) < len(body):
        # RFC 6066 8: a status_request of a type that nobody knows is passed over whole, and not written again.
        return
    assert len(again) == len(body), f"{kind.__name__}: {len(body)} bytes are written as {len(again)}"
    if issubclass(kind, Extended):
        assert blocks(again, message) == blocks(body, message), "an extension was lost, added or changed"


def _check_decompression(message: CompressedCertificate) -> None:
    """Whatever the stream is, no more comes of it than one byte over what was announced."""
    length = min(message.uncompressed_length, MAX_CERTIFICATE_MESSAGE)
    try:
        content = ZlibCompression().decompress(message.compressed, length)
    except (ValueError, zlib.error):
        return
    assert len(content) <= length + 1, f"{len(content)} bytes, where {length} were announced"
    if len(content) == length:
        assert zlib.decompress(message.compressed) == content, "it is no whole stream"


def _has_extensions(kind: type[Any]) -> bool:
    return issubclass(kind, Extended) or kind.__name__ == "CertificateMessage"


def blocks(body: bytes, message: Extended) -> tuple[bytes, list[bytes]]:
    """What stands before the extension block, and the extensions in it, sorted."""
    at = len(body) - len(message.encode_extensions())
    before, block = body[:at], body[at + 2 :]
    found = []
    while block:
        end = 4 + int.from_bytes(block[2:4], "big")
        found.append(block[:end])
        block = block[end:]
    return before, sorted(found)


def _check_fields(data: bytes) -> None:
    """A message whose fields are others: where it can be written and read, it is the same again."""
    choices = Decisions(data)
    known: Pool = pool()
    message = choices.pick(known.all)
    for _ in range(1 + choices.below(4)):
        message = other_field(message, choices, known)
    try:
        body = message.encode()
    except NO_ENCODING:
        return  # It has no encoding.
    if len(body) <= 1 << 17:
        _check_body(type(message), body)


def seeds() -> Iterator[bytes]:
    """The messages of every scenario, and changes of them."""
    for message in recorded.messages():
        yield bytes([CLASSES.index(type(message))]) + message.encode()
    for number in range(len(pool().all)):
        yield bytes([_TYPED, number, 0, 1, 0])
        yield bytes([_TYPED, number, 1, 3, 1, 0, 2, 5])
