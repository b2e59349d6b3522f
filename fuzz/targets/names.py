"""Names: of CAs and subjects, of servers, of rules and of workloads. What is taken is taken in one spelling, and shown
in a way that deceives nobody.

An input is the number of the kind of name, and the name.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator
from typing import Any, Final

from fuzz.oracles import check_refusal
from fuzz.scenarios import client_key, server_key
from fuzz.stories import pool
from tests.support.identities import strange_credential
from trustls.errors import ConfigError, DecodeError, TLSError
from trustls.trust.authorize import Authorize
from trustls.trust.certificate import Certificate
from trustls.trust.hints import authorities
from trustls.trust.names import ServerName
from trustls.trust.patterns import DnsPattern, Mailbox, Uri
from trustls.trust.spiffe import SpiffeId, checked_trust_domain, why_no_svid
from trustls.wire import der
from trustls.wire.names import DistinguishedName, brief, is_misleading, shown

MAX_LENGTH: Final = 2048

# SPIFFE-ID 2, written down a second time.
_SPIFFE: Final = re.compile(r"spiffe://[a-z0-9._-]{1,255}(/(?!\.{1,2}(/|\Z))[A-Za-z0-9._-]+)*", re.ASCII)
_LABEL: Final = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST: Final = re.compile(rf"{_LABEL}(\.{_LABEL})*")


@functools.cache
def _certificates() -> tuple[Certificate, ...]:
    return tuple([one.certificate for one in (server_key(), client_key(), strange_credential())])


def check(data: bytes) -> None:
    """One name."""
    if not data:
        return
    kind, content = data[0] % (2 + len(_TEXTS)), data[1:]
    if kind == 0:
        _check_distinguished(content)
    elif kind == 1:
        _check_hint(content)
    else:
        text = content.decode("utf-8", "surrogateescape") if len(content) % 2 else content.decode("latin-1")
        _check_text(_TEXTS[kind - 2], text)


def _check_shown(text: str) -> None:
    misleading = [character for character in text if is_misleading(character)]
    assert not misleading, f"{misleading[:8]!r} in {text[:200]!r}"


def _check_distinguished(content: bytes) -> None:
    try:
        name = DistinguishedName(content)
    except DecodeError as error:
        check_refusal(error)
        return
    assert name.der == content
    for text in (str(name), repr(name), brief(name)):
        _check_shown(text)
    assert len(brief(name)) <= 256
    parts = name.relative_names()
    rebuilt = _element(
        0x30,
        *(
            _element(0x31, *(_element(0x30, _element(6, oid), _element(tag, value)) for oid, tag, value in part))
            for part in parts
        ),
    )
    assert rebuilt == content, f"the parts of {content.hex()} make {rebuilt.hex()}"
    assert len(name.attributes()) == sum(map(len, parts))
    assert name.common_name is None or isinstance(name.common_name, str)
    assert bool(name) == bool(parts)
    if name:
        assert authorities(name) == (name,)
        for rule in (Authorize.subject(name), Authorize.issuer(name)):
            assert repr(rule)


def _element(tag: int, *parts: bytes) -> bytes:
    content = b"".join(parts)
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content


def _check_hint(content: bytes) -> None:
    """Text that a configuration names a CA with."""
    hints: list[Any] = [content, content.decode("latin-1")]
    for hint in hints:
        try:
            names = authorities(hint)
        except ConfigError as error:
            check_refusal(error)
            continue
        for name in names:
            assert DistinguishedName(name.der) == name
            _check_shown(str(name))


def _check_text(kind: Callable[[str], Any], text: str) -> None:
    try:
        name = kind(text)
    except TLSError as error:
        check_refusal(error)
        assert isinstance(error, ConfigError), f"{kind.__name__} refuses with {error!r}"
        _check_shown(str(error))
        assert kind is not SpiffeId or not _is_spiffe(text), f"{text!r} is a SPIFFE ID"
        return
    spelt = str(name)
    again = kind(spelt)
    assert again == name, f"{spelt!r} is read as {again!r}, {text!r} as {name!r}"
    assert str(again) == spelt
    _check_shown(repr(name))
    match name:
        case ServerName():
            assert name.sni is None or _is_host(spelt), f"{spelt!r} goes into a ClientHello"
            assert (name.dns is None) == (name.sni is None)
            for certificate in _certificates():
                name.matches(certificate)
        case SpiffeId():
            assert _is_spiffe(text), f"{text!r} is no SPIFFE ID"
            assert f"spiffe://{name.trust_domain}{name.path}" == text
            assert name.is_member_of(name.trust_domain)
            assert not name.path or repr(Authorize.spiffe_id(name))
        case DnsPattern() | Mailbox() | Uri():
            assert name.matches(spelt), f"{name!r} does not mean itself"
            name.matches(text)
        case _:
            assert name == text


def _is_spiffe(text: str) -> bool:
    return len(text) <= 2048 and _SPIFFE.fullmatch(text) is not None


def _is_host(text: str) -> bool:
    return len(text) <= 253 and _HOST.fullmatch(text) is not None


def _shown(text: str) -> str:
    """Any text, fit for a message."""
    result = shown(text)
    _check_shown(result)
    return text


def _dotted(text: str) -> str:
    """The content of an OBJECT IDENTIFIER."""
    content = text.encode("latin-1", "replace")
    try:
        dotted = der.dotted(content)
    except DecodeError:
        assert not der.is_oid(content)
        return text
    assert der.undotted(dotted) == content, f"{content.hex()} is {dotted}, which is {der.undotted(dotted).hex()}"
    return text


def _svid(text: str) -> str:
    for certificate in _certificates():
        why_no_svid(certificate)
    return text


_TEXTS: Final[tuple[Callable[[str], Any], ...]] = (
    ServerName,
    SpiffeId,
    DnsPattern,
    Mailbox,
    Uri,
    checked_trust_domain,
    _shown,
    _dotted,
    _svid,
)


def seeds() -> Iterator[bytes]:
    """Names of our own certificates, and one or two of each kind."""
    for one in _certificates():
        for name in (one.subject, one.issuer):
            yield b"\0" + name.der
            yield b"\1" + name.der
            yield b"\1" + str(name).encode()
    for message in pool().all:
        for name in getattr(message, "certificate_authorities", None) or ():
            yield b"\0" + name.der
    yield b"\0" + bytes.fromhex("301e311c300d06035504030c066161c3a92b2b300b06035504061304aabb2c2d")
    for text in ("\u202egpj.exe", "a\x1b[31m\nb\x7f", "\u2066\u00a0\u200d\ufeff", ' #,+;<>\\"= ', "\U000e0001"):
        for tag, encoding in ((0x0C, "utf-8"), (0x1E, "utf-16-be"), (0x1C, "utf-32-be")):
            value = _element(tag, text.encode(encoding))
            yield b"\0" + _element(0x30, _element(0x31, _element(0x30, b"\x06\x03\x55\x04\x03", value)))
            yield b"\1" + f"CN={text}".encode()
            yield b"\x08" + text.encode("utf-8")
    yield b"\1" + _certificates()[0].pem().encode()
    texts = (
        "localhost",
        "*.svc.example.com",
        "127.0.0.1",
        "[2001:db8::1%eth0]",
        "xn--bcher-kva.example.",
        "spiffe://example.org/ns/prod/db-1",
        "spiffe://a",
        "spiffe://a/b/../c",
        "spiffe://a/./c",
        "spiffe://a//c/",
        "spiffe://" + "a" * 255 + "/" + "b" * 1700,
        "Alice.O'Neil+tag@Example.COM",
        "https://user@Example.com:8443/a/b?c=d#e",
        "urn:uuid:f81d4fae",
        "example.org",
        "\x55\x04\x03",
        "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x01",
        "CN=a\\,b+O=\\#c,C=DE",
    )
    for kind in range(1, 2 + len(_TEXTS)):
        for text in texts:
            yield bytes([kind]) + text.encode("latin-1")
