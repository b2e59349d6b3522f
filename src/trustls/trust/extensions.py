"""The contents of the extensions that are honoured (RFC 5280 4.2.1): each read strictly from its DER.

Every fault is a `DecodeError`, which `Certificate` turns into a rejection that names the extension and the certificate.
"""

from __future__ import annotations

import datetime
import enum
import re
from typing import Final, NamedTuple

from trustls.errors import DecodeError, Misbehaviour
from trustls.wire import der as _der
from trustls.wire.names import DistinguishedName, shown


class KeyUsage(enum.IntFlag):
    """KeyUsage, RFC 5280 4.2.1.3."""

    DIGITAL_SIGNATURE = 1 << 0
    CONTENT_COMMITMENT = 1 << 1
    KEY_ENCIPHERMENT = 1 << 2
    DATA_ENCIPHERMENT = 1 << 3
    KEY_AGREEMENT = 1 << 4
    KEY_CERT_SIGN = 1 << 5
    CRL_SIGN = 1 << 6
    ENCIPHER_ONLY = 1 << 7
    DECIPHER_ONLY = 1 << 8


class NameForm(enum.IntEnum):
    """The forms of a GeneralName, by tag number (RFC 5280 4.2.1.6)."""

    OTHER = 0
    EMAIL = 1
    DNS = 2
    X400 = 3
    DIRECTORY = 4
    EDI_PARTY = 5
    URI = 6
    IP = 7
    REGISTERED_ID = 8


class NameConstraints(NamedTuple):
    """NameConstraints, RFC 5280 4.2.1.10: (form, content of the GeneralName) for each subtree."""

    permitted: tuple[tuple[int, bytes], ...]
    excluded: tuple[tuple[int, bytes], ...]


class AuthorityKeyIdentifier(NamedTuple):
    """AuthorityKeyIdentifier, RFC 5280 4.2.1.1: the content of each of its fields, None for one that is not there."""

    key_identifier: bytes | None
    issuer: bytes | None
    serial_number: bytes | None


BASIC_CONSTRAINTS: Final = _der.undotted("2.5.29.19")
KEY_USAGE: Final = _der.undotted("2.5.29.15")
EXTENDED_KEY_USAGE: Final = _der.undotted("2.5.29.37")
SUBJECT_ALT_NAME: Final = _der.undotted("2.5.29.17")
NAME_CONSTRAINTS: Final = _der.undotted("2.5.29.30")
SUBJECT_KEY_IDENTIFIER: Final = _der.undotted("2.5.29.14")
AUTHORITY_KEY_IDENTIFIER: Final = _der.undotted("2.5.29.35")
POLICY_CONSTRAINTS: Final = _der.undotted("2.5.29.36")
AUTHORITY_INFORMATION_ACCESS: Final = _der.undotted("1.3.6.1.5.5.7.1.1")

# The extensions that may be critical, because they are honoured. The last three are honoured by having no effect: every
# policy is acceptable here and no explicit one is ever required (RFC 5280 6.1.5 (g); a policyConstraints that would
# require one is refused). Key identifiers and AIA are missing: RFC 5280 says that they are never critical.
HONOURED: Final = frozenset(
    {
        BASIC_CONSTRAINTS,
        KEY_USAGE,
        EXTENDED_KEY_USAGE,
        SUBJECT_ALT_NAME,
        NAME_CONSTRAINTS,
        _der.undotted("2.5.29.32"),  # certificatePolicies
        _der.undotted("2.5.29.33"),  # policyMappings
        _der.undotted("2.5.29.54"),  # inhibitAnyPolicy
    }
)


def basic_constraints(value: bytes) -> tuple[bool, int | None]:
    """(whether it is a CA, how many intermediate CAs may stand below it) (RFC 5280 4.2.1.9)."""
    at, end = _der.whole(value, _der.SEQUENCE)
    is_ca = False
    path_length = None
    if at < end and value[at] == _der.BOOLEAN:
        start, at = _der.expect(value, at, end, _der.BOOLEAN)
        is_ca = _der.boolean(value, start, at)
    if at < end:
        start, at = _der.expect(value, at, end, _der.INTEGER)
        path_length = _der.unsigned(value, start, at)
    if at != end:
        raise DecodeError(Misbehaviour.TRAILING_BYTES)
    return is_ca, path_length


def key_usage(value: bytes) -> int:
    """The bits of `KeyUsage` (RFC 5280 4.2.1.3)."""
    start, stop = _der.whole(value, _der.BIT_STRING)
    content = value[start:stop]
    if not 2 <= len(content) <= 3 or content[0] > 7:
        raise malformed("a key usage of no bits, or of too many")
    bits = 0
    for index, byte in enumerate(content[1:]):
        bits |= int(f"{byte:08b}"[::-1], 2) << 8 * index
    # RFC 5280 4.2.1.3: at least one bit must be set.
    if not bits or content[-1] & ((1 << content[0]) - 1):
        raise malformed("a key usage without a use")
    return bits & 0x1FF


def extended_key_usage(value: bytes) -> tuple[str, ...]:
    """The purposes as dotted OIDs (RFC 5280 4.2.1.12)."""
    purposes = []
    for tag, start, stop in _der.children(value, *_der.whole(value, _der.SEQUENCE)):
        if tag != _der.OBJECT_IDENTIFIER:
            raise malformed("a purpose that is no OBJECT IDENTIFIER")
        purposes.append(_der.dotted(value[start:stop]))
    if not purposes:
        raise malformed("an extended key usage without a purpose")
    return tuple(purposes)


def _general_name(value: bytes, tag: int, start: int, stop: int) -> tuple[int, bytes]:
    """(NameForm, content) of a GeneralName (RFC 5280 4.2.1.6), with the content checked as far as its form goes."""
    form = tag & 0x1F
    content = value[start:stop]
    expected = 0xA0 if form in _CONSTRUCTED_FORMS else 0x80
    if tag & 0xE0 != expected or form > NameForm.REGISTERED_ID:
        raise malformed("a GeneralName of an unknown form")
    if form in _IA5_FORMS:
        if not content.isascii():
            raise malformed("a name that is not ASCII: international names are given as A-labels")
    elif form == NameForm.DIRECTORY:
        content = DistinguishedName(content).der
    elif form == NameForm.REGISTERED_ID and not _der.is_oid(content):
        raise malformed("a registered ID that is no OBJECT IDENTIFIER")
    return form, content


def alternative_names(value: bytes) -> tuple[tuple[int, bytes], ...]:
    """Each name as (NameForm, content) (RFC 5280 4.2.1.6)."""
    names = [_general_name(value, *one) for one in _der.children(value, *_der.whole(value, _der.SEQUENCE))]
    for form, content in names:
        if form == NameForm.IP and len(content) not in (4, 16):
            raise malformed("an iPAddress that is neither 4 nor 16 bytes long")
        if form in _IA5_FORMS and not content:
            raise malformed("an empty name")
    if not names:
        raise malformed("a list of no names")
    return tuple(names)


def name_constraints(value: bytes) -> NameConstraints:
    """The subtrees, each checked for its form (RFC 5280 4.2.1.10)."""
    subtrees: dict[int, tuple[tuple[int, bytes], ...]] = {0xA0: (), 0xA1: ()}
    last = 0
    for tag, start, stop in _der.children(value, *_der.whole(value, _der.SEQUENCE)):
        if tag not in subtrees or tag <= last or start == stop:
            raise malformed("subtrees that are out of order, unknown or empty")
        last = tag
        bases = []
        for subtree, at, end in _der.children(value, start, stop):
            if subtree != _der.SEQUENCE:
                raise malformed("a subtree that is none")
            base = _der.element(value, at, end)
            # RFC 5280 4.2.1.10: minimum is always zero, which DER leaves out, and maximum is always absent.
            if base[2] != end:
                raise malformed("a subtree with a minimum or a maximum")
            bases.append(_checked_base(*_general_name(value, *base)))
        subtrees[tag] = tuple(bases)
    if not last:
        raise malformed("name constraints that constrain nothing")
    return NameConstraints(subtrees[0xA0], subtrees[0xA1])


def _checked_base(form: int, content: bytes) -> tuple[int, bytes]:
    if form == NameForm.IP:
        half = len(content) // 2
        mask = int.from_bytes(content[half:], "big")
        inverse = mask ^ ((1 << 8 * half) - 1)
        if len(content) not in (8, 32) or inverse & (inverse + 1):
            raise malformed("an iPAddress constraint that is no address and mask")
    elif form == NameForm.DNS:
        content = content.lower()
        # RFC 5280 4.2.1.10 lets URI and email constraints start with a period, but not those for DNS names. They do all
        # the same (errata 5997), in private CAs: the profile of the public web refuses it.
        if content and not is_dns_name(content.removeprefix(b".")):
            raise malformed(f"the dNSName constraint {shown(content.decode())} is no DNS name")
    elif form == NameForm.EMAIL:
        local, at, host = content.rpartition(b"@")
        if (at and (not local or b"@" in local)) or not is_dns_name(host.lower() if at else host.lower().lstrip(b".")):
            raise malformed(f"the rfc822Name constraint {shown(content.decode())} is no mailbox and no host")
        content = local + at + host.lower()
    elif form == NameForm.URI:
        content = content.lower()
        if not is_dns_name(content.removeprefix(b".")):
            raise malformed(f"the URI constraint {shown(content.decode())} is no host")
    return form, content


def is_dns_name(name: bytes) -> bool:
    """Whether this is a DNS name in lower case: labels of letters, digits, `-` and `_`, and no trailing period.

    RFC 1034 3.5 has no underscore, but hosts are named so (and rustls takes them as well).
    """
    return len(name) <= 253 and re.fullmatch(_DNS_NAME, name) is not None


def subject_key_identifier(value: bytes) -> bytes:
    """The identifier of the subject's key (RFC 5280 4.2.1.2)."""
    start, stop = _der.whole(value, _der.OCTET_STRING)
    return value[start:stop]


def authority_key_identifier(value: bytes) -> bytes | None:
    """The identifier of the issuer's key, if it is given (RFC 5280 4.2.1.1)."""
    return authority_key(value).key_identifier


def authority_key(value: bytes) -> AuthorityKeyIdentifier:
    """What an authorityKeyIdentifier says of the issuer's key (RFC 5280 4.2.1.1)."""
    fields: dict[int, bytes | None] = {0x80: None, 0xA1: None, 0x82: None}
    present = []
    for tag, start, stop in _der.children(value, *_der.whole(value, _der.SEQUENCE)):
        present.append(tag)
        fields[tag] = value[start:stop]
    if present != [tag for tag in (0x80, 0xA1, 0x82) if tag in present]:
        raise malformed("fields that are unknown, out of order or there twice")
    return AuthorityKeyIdentifier(*fields.values())


def check_authority_information_access(value: bytes) -> None:
    """Check the form of authorityInfoAccess (RFC 5280 4.2.2.1), which is not used."""
    descriptions = _der.children(value, *_der.whole(value, _der.SEQUENCE))
    for tag, start, stop in descriptions:
        if tag != _der.SEQUENCE:
            raise malformed("an access description that is none")
        _, oid_end = _der.expect(value, start, stop, _der.OBJECT_IDENTIFIER)
        location = _der.element(value, oid_end, stop)
        if location[2] != stop:
            raise DecodeError(Misbehaviour.TRAILING_BYTES)
        _general_name(value, *location)
    if not descriptions:
        raise malformed("a list of no access descriptions")


def extension_list(der: bytes, at: int, end: int) -> dict[bytes, tuple[bool, bytes]]:
    """The Extensions between `at` and `end`: (critical, content) by OID content (RFC 5280 4.1.2.9)."""
    element = _der.element
    at, stop = _der.expect(der, at, end, _der.SEQUENCE)
    if stop != end or at == end:
        raise malformed("the extensions are no list, or an empty one")
    found: dict[bytes, tuple[bool, bytes]] = {}
    while at < end:
        start, stop = _der.expect(der, at, end, _der.SEQUENCE)
        at = stop
        start, oid_end = _der.expect(der, start, stop, _der.OBJECT_IDENTIFIER)
        oid = der[start:oid_end]
        tag, start, value_end = element(der, oid_end, stop)
        critical = False
        if tag == _der.BOOLEAN:
            critical = _der.boolean(der, start, value_end)
            tag, start, value_end = element(der, value_end, stop)
        if tag != _der.OCTET_STRING or value_end != stop or not _der.is_oid(oid):
            raise malformed("an extension is malformed")
        if oid in found:
            raise malformed(f"the extension {_der.dotted(oid)} appears twice")
        if len(found) == _MAX_EXTENSIONS:
            raise malformed(f"more than {_MAX_EXTENSIONS} extensions")
        found[oid] = critical, der[start:value_end]
    return found


def seconds(tag: int, content: bytes) -> int:
    """The seconds since 1970 of a Time with this tag and content (RFC 5280 4.1.2.5)."""
    if content[-1:] != b"Z" or not content[:-1].isdigit():
        raise malformed("a time that is not in UTC, or is no time")
    if tag == _der.UTC_TIME and len(content) == 13:
        year = int(content[:2])
        year += 1900 if year >= 50 else 2000
        rest = content[2:]
    elif tag == _der.GENERALIZED_TIME and len(content) == 15:
        year = int(content[:4])
        rest = content[4:]
    else:
        raise malformed("a validity holds what is no time")
    month, day, hour, minute, second = (int(rest[at : at + 2]) for at in (0, 2, 4, 6, 8))
    try:
        days = datetime.date(year, month, day).toordinal() - _EPOCH_DAY
    except ValueError:
        raise malformed("a day that there is not") from None
    if hour > 23 or minute > 59 or second > 59:
        raise malformed("a time of day that there is not")
    return ((days * 24 + hour) * 60 + minute) * 60 + second


def malformed(detail: str) -> DecodeError:
    """The error for content that its field cannot hold."""
    return DecodeError(Misbehaviour.MALFORMED, detail)


_EPOCH_DAY: Final = datetime.date(1970, 1, 1).toordinal()
_MAX_EXTENSIONS: Final = 64
_CONSTRUCTED_FORMS: Final = frozenset({NameForm.OTHER, NameForm.X400, NameForm.DIRECTORY, NameForm.EDI_PARTY})
_IA5_FORMS: Final = frozenset({NameForm.EMAIL, NameForm.DNS, NameForm.URI})
_DNS_LABEL: Final = rb"(?!-)[a-z0-9_-]{1,63}(?<!-)"
_DNS_NAME: Final = _DNS_LABEL + rb"(?:\." + _DNS_LABEL + rb")*"
