"""DistinguishedName: the name of a CA as certificates and CertificateRequest carry it (RFC 9846 4.3.4, RFC 5246 7.4.4).

A name is its exact DER, outer SEQUENCE included: two names are the same when their bytes are. The text of a name
(RFC 4514) is for people and made on demand.
"""

from __future__ import annotations

import functools
from typing import Final, NoReturn

from trustls.errors import DecodeError, Misbehaviour
from trustls.wire import der as _der

# RFC 4514 3, then the RFC 4519 and X.520 names that people know. Texts of the second kind are read back by trustls.
ATTRIBUTE_NAMES: Final[dict[str, str]] = {
    "2.5.4.3": "CN",
    "2.5.4.7": "L",
    "2.5.4.8": "ST",
    "2.5.4.10": "O",
    "2.5.4.11": "OU",
    "2.5.4.6": "C",
    "2.5.4.9": "STREET",
    "0.9.2342.19200300.100.1.25": "DC",
    "0.9.2342.19200300.100.1.1": "UID",
    "1.2.840.113549.1.9.1": "emailAddress",
    "2.5.4.4": "SN",
    "2.5.4.5": "serialNumber",
    "2.5.4.12": "title",
    "2.5.4.15": "businessCategory",
    "2.5.4.17": "postalCode",
    "2.5.4.42": "GN",
    "2.5.4.43": "initials",
    "2.5.4.44": "generationQualifier",
    "2.5.4.46": "dnQualifier",
    "2.5.4.65": "pseudonym",
    "2.5.4.97": "organizationIdentifier",
}

_COMMON_NAME = _der.undotted("2.5.4.3")


class DistinguishedName:
    """The name of a subject or an issuer: exactly its DER, outer SEQUENCE included.

    Immutable, hashable, equal by bytes. `str()` gives the RFC 4514 text, in which characters that could mislead a
    reader of a log or a terminal (control characters, bidirectional overrides) are escaped.

    Args:
        der: one RDNSequence (RFC 5280 4.1.2.4), nothing before or after it.

    Raises:
        DecodeError: it is not one well-formed RDNSequence.
    """

    __slots__ = ("der",)

    der: bytes

    def __init__(self, der: bytes) -> None:
        der = bytes(der)
        _check(der)
        object.__setattr__(self, "der", der)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError("a DistinguishedName does not change")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError("a DistinguishedName does not change")

    def __reduce__(self) -> tuple[type[DistinguishedName], tuple[bytes]]:
        return type(self), (self.der,)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, DistinguishedName):
            return self.der == other.der
        return NotImplemented

    def __hash__(self) -> int:
        return hash(self.der)

    def __bool__(self) -> bool:
        """False for the empty name, which has no attributes."""
        return len(self.der) > 2

    def __str__(self) -> str:
        return self.rfc4514()

    def __repr__(self) -> str:
        return f"<DistinguishedName {self.rfc4514()}>"

    def rfc4514(self) -> str:
        """The name as text, most specific part first, as RFC 4514 writes it; an empty name gives an empty text."""
        return ",".join(
            "+".join(_attribute_text(*attribute) for attribute in rdn) for rdn in reversed(self.relative_names())
        )

    def relative_names(self) -> tuple[tuple[tuple[bytes, int, bytes], ...], ...]:
        """Each RelativeDistinguishedName in DER order, as (OID content, tag of the value, content of the value)."""
        data = self.der
        names = []
        _, start, stop = _der.element(data, 0, len(data))
        for _, rdn_start, rdn_stop in _der.children(data, start, stop):
            rdn = []
            for _, attribute_start, attribute_stop in _der.children(data, rdn_start, rdn_stop):
                _, oid_start, oid_stop = _der.element(data, attribute_start, attribute_stop)
                tag, value_start, value_stop = _der.element(data, oid_stop, attribute_stop)
                rdn.append((data[oid_start:oid_stop], tag, data[value_start:value_stop]))
            names.append(tuple(rdn))
        return tuple(names)

    def attributes(self) -> tuple[tuple[str, str], ...]:
        """Every attribute in DER order as (dotted OID, value); a value that is no text is given as `#` and its hex."""
        return tuple(
            (_der.dotted(oid), text if (text := _der.string(tag, value)) is not None else _hex(tag, value))
            for rdn in self.relative_names()
            for oid, tag, value in rdn
        )

    @property
    def common_name(self) -> str | None:
        """The last, most specific, commonName as it stands in the certificate, unescaped; None when there is none."""
        for rdn in reversed(self.relative_names()):
            for oid, tag, value in rdn:
                if oid == _COMMON_NAME:
                    return _der.string(tag, value)
        return None


def _check(data: bytes) -> None:
    # This runs for each CA name that a peer sends, so the three levels are walked without building anything.
    element = _der.element
    at, end = _der.whole(data, _der.SEQUENCE)
    while at < end:
        tag, rdn_at, at = element(data, at, end)
        if tag != _der.SET or rdn_at == at:
            raise DecodeError(Misbehaviour.MALFORMED, "a name holds what is no RelativeDistinguishedName")
        while rdn_at < at:
            tag, oid_at, rdn_at = element(data, rdn_at, at)
            if tag != _der.SEQUENCE:
                raise DecodeError(Misbehaviour.MALFORMED, "a name holds what is no attribute")
            tag, oid_start, oid_stop = element(data, oid_at, rdn_at)
            if tag != _der.OBJECT_IDENTIFIER or not _der.is_oid(data[oid_start:oid_stop]):
                raise DecodeError(Misbehaviour.MALFORMED, "an attribute of a name has no valid type")
            if element(data, oid_stop, rdn_at)[2] != rdn_at:
                raise DecodeError(Misbehaviour.TRAILING_BYTES, "an attribute of a name has more than one value")


def _attribute_text(oid: bytes, tag: int, value: bytes) -> str:
    dotted = _der.dotted(oid)
    name = ATTRIBUTE_NAMES.get(dotted)
    text = _der.string(tag, value)
    if name is None or text is None:
        return f"{name or dotted}={_hex(tag, value)}"
    return f"{name}={_escaped(text)}"


def _hex(tag: int, value: bytes) -> str:
    length = len(value)
    header = (
        bytes([length])
        if length < 0x80
        else bytes([0x80 | (size := (length.bit_length() + 7) // 8)]) + (length.to_bytes(size, "big"))
    )
    return f"#{(bytes([tag]) + header + value).hex()}"


def _escaped(text: str) -> str:
    # RFC 4514 2.4: what must be escaped, and \hex pairs of UTF-8 for what is better not shown.
    if text.isalnum() and text.isascii():
        return text
    last = len(text) - 1
    escaped = []
    for index, character in enumerate(text):
        if character in '"+,;<>\\' or (character == " " and index in (0, last)) or (character == "#" and index == 0):
            escaped.append("\\" + character)
        elif is_misleading(character):
            escaped.append("".join(f"\\{byte:02X}" for byte in character.encode("utf-8", "surrogatepass")))
        else:
            escaped.append(character)
    return "".join(escaped)


def is_misleading(character: str) -> bool:
    """Whether a character can deceive a reader: control, format (bidirectional marks), separator, unassigned."""
    if " " <= character <= "~":
        return False
    import unicodedata  # Its tables are large, and most names need none of them.

    category = unicodedata.category(character)
    return category[0] == "C" or category in {"Zl", "Zp"} or (category == "Zs" and character != " ")


def brief(name: DistinguishedName) -> str:
    """The RFC 4514 text of a name for a message: at most 256 characters, and little work even for a huge name."""
    return _brief(name) if len(name.der) <= 2048 else f"<a name of {len(name.der)} bytes>"


# A peer may send a crowd of certificates of one name, each of which is spoken of.
@functools.lru_cache(maxsize=256)
def _brief(name: DistinguishedName) -> str:
    text = ""
    for rdn in reversed(name.relative_names()):
        text += ("," if text else "") + "+".join(_attribute_text(*attribute) for attribute in rdn)
        if len(text) > 256:
            return text[:253] + "..."
    return text


def shown(text: str) -> str:
    """Foreign text made fit for a message: misleading characters as Python escapes, at most 256 characters."""
    if len(text) > 256:
        text = text[:256] + "..."
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        character.encode("unicode_escape").decode() if is_misleading(character) else character for character in text
    )
