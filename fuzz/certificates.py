"""Certificates put together field by field from fuzz input, and signed: what no CA would issue, with a good signature.

So the input decides about what path validation looks at, and the signatures are no wall before it. The first choice of
everything is an ordinary certificate.
"""

from __future__ import annotations

import datetime
import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from fuzz.decisions import Decisions
from fuzz.mutations import other_bytes
from tests.trust.issuing import NOW
from tests.trust.revoking import extension, oid, tlv

_DAY: Final = 86_400
_ED25519: Final = bytes.fromhex("300506032b6570")
_ECDSA_SHA256: Final = bytes.fromhex("300a06082a8648ce3d040302")
_ECDSA_SHA1: Final = bytes.fromhex("300906072a8648ce3d0401")
_RSA_SHA256: Final = bytes.fromhex("300d06092a864886f70d01010b0500")


@dataclass(frozen=True, slots=True)
class Key:
    """A key, as it stands in a certificate and as it signs; one that signs nothing has no algorithm."""

    spki: bytes
    algorithm: bytes
    sign: Callable[[bytes], bytes] = field(repr=False)


def _key(private: Any, algorithm: bytes, sign: Callable[[bytes], bytes]) -> Key:
    spki = private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return Key(spki, algorithm, sign)


def _ecdsa(private: ec.EllipticCurvePrivateKey) -> Key:
    # The same signature each time, so that the same input makes the same certificate.
    algorithm = ec.ECDSA(hashes.SHA256(), deterministic_signing=True)
    return _key(private, _ECDSA_SHA256, lambda data: private.sign(data, algorithm))


@functools.cache
def keys() -> tuple[Key, ...]:
    """Keys of leaves and CAs; the last ones are too weak, or no keys."""
    found = [_ecdsa(ec.derive_private_key(4711 + number, ec.SECP256R1())) for number in range(4)]
    edwards = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    found.append(_key(edwards, _ED25519, edwards.sign))
    found.append(_ecdsa(ec.derive_private_key(4711, ec.SECP256K1())))
    short = rsa.generate_private_key(65537, 1024)  # noqa: S505 (what is to be refused)
    found.append(_key(short, _RSA_SHA256, lambda data: bytes(128)))
    found.append(Key(tlv(0x30, _ED25519, tlv(3, b"\0" + bytes(31))), _ED25519, lambda data: bytes(64)))
    return tuple(found)


def name(*attributes: tuple[str, str]) -> bytes:
    """A Name with one attribute in each part."""
    return tlv(0x30, *(tlv(0x31, tlv(0x30, oid(kind), tlv(0x0C, text.encode()))) for kind, text in attributes))


_CN, _O, _C, _EMAIL = "2.5.4.3", "2.5.4.10", "2.5.4.6", "1.2.840.113549.1.9.1"
# CAs first: a leaf's default is the one behind them.
NAMES: Final = (
    name((_C, "DE"), (_O, "Fuzz"), (_CN, "Root 0")),
    name((_CN, "Root 1")),
    name((_CN, "Intermediate 2")),
    name((_CN, "Intermediate 3")),
    name((_O, "Fuzz"), (_CN, "leaf.example.com")),
    name(),
    name((_CN, "x" * 300)),
    name((_EMAIL, "a@example.com"), (_CN, "\u202eevil\x1b[31m")),
)
LEAF: Final = 4

_SAN, _BC, _KU, _EKU, _NC = "2.5.29.17", "2.5.29.19", "2.5.29.15", "2.5.29.37", "2.5.29.30"
_SKI, _AKI, _POLICIES, _MAPPINGS = "2.5.29.14", "2.5.29.35", "2.5.29.32", "2.5.29.33"
_POLICY_CONSTRAINTS, _ANY_POLICY, _CRL_POINTS = "2.5.29.36", "2.5.29.54", "2.5.29.31"
_AIA, _TLS_FEATURE, _UNKNOWN = "1.3.6.1.5.5.7.1.1", "1.3.6.1.5.5.7.1.24", "1.2.3.4"
_SERVER, _CLIENT, _ANY, _OCSP = (
    oid(f"1.3.6.1.5.5.7.3.{number}") if number else oid("2.5.29.37.0") for number in (1, 2, 0, 9)
)


def dns(text: str) -> bytes:
    """A dNSName."""
    return tlv(0x82, text.encode("latin-1"))


def _constraints(permitted: tuple[bytes, ...] = (), excluded: tuple[bytes, ...] = ()) -> bytes:
    def subtrees(tag: int, bases: tuple[bytes, ...]) -> bytes:
        return tlv(tag, *(tlv(0x30, base) for base in bases)) if bases else b""

    return tlv(0x30, subtrees(0xA0, permitted), subtrees(0xA1, excluded))


CA_TRUE: Final = tlv(0x30, tlv(1, b"\xff"))
# What one extension or another may hold. The first of each is what an ordinary certificate has.
CONTENTS: Final[dict[str, tuple[bytes, ...]]] = {
    _BC: (
        CA_TRUE,
        tlv(0x30),
        tlv(0x30, tlv(1, b"\xff"), tlv(2, b"\0")),
        tlv(0x30, tlv(1, b"\xff"), tlv(2, b"\1")),
        tlv(0x30, tlv(2, b"\0")),
        tlv(0x30, tlv(1, b"\1")),
        tlv(0x30, tlv(1, b"\xff"), tlv(2, b"\xff")),
    ),
    _KU: (
        tlv(3, b"\x01\x06"),
        tlv(3, b"\x07\x80"),
        tlv(3, b"\x01\x86"),
        tlv(3, b"\x05\xa0"),
        tlv(3, b"\0"),
        tlv(3, b"\x07\0\x80"),
    ),
    _EKU: (
        tlv(0x30, _SERVER, _CLIENT),
        tlv(0x30, _SERVER),
        tlv(0x30, _CLIENT),
        tlv(0x30, _ANY),
        tlv(0x30, _OCSP),
        tlv(0x30),
    ),
    _SAN: (
        tlv(0x30, dns("leaf.example.com"), dns("*.example.org"), tlv(0x87, b"\x7f\0\0\1")),
        tlv(0x30, tlv(0x86, b"spiffe://example.org/db")),
        tlv(0x30, tlv(0x81, b"alice@example.com"), tlv(0x86, b"https://host.example.com/a")),
        tlv(0x30, dns("*.com"), dns("a..b"), dns("\xff"), dns("")),
        tlv(0x30, tlv(0xA4, NAMES[4])),
        tlv(0x30, tlv(0xA0, oid("1.3.6.1.5.5.7.8.9"), tlv(0xA0, tlv(0x0C, "ä@b".encode())))),
        tlv(0x30, tlv(0x87, bytes(16)), tlv(0x87, b"\1\2\3")),
        tlv(0x30),
        tlv(0x30, *(dns(f"host{number}.example.com") for number in range(300))),
    ),
    _NC: (
        _constraints((dns("example.com"),)),
        _constraints(excluded=(dns("example.com"),)),
        _constraints((dns("example.net"),)),
        _constraints((tlv(0x87, bytes([127, 0, 0, 0, 255, 0, 0, 0])),)),
        _constraints((tlv(0xA4, name((_O, "Fuzz"))),)),
        _constraints((tlv(0x81, b"example.com"), tlv(0x86, b".example.com"))),
        _constraints(),
        _constraints(tuple(dns(f"n{number}.example") for number in range(200)), (dns(""),)),
        _constraints((tlv(0x87, bytes(7)),)),
        _constraints((tlv(0x88, b"\x2a\3"),)),
    ),
    _SKI: (tlv(4, bytes(20)), tlv(4, b"\1" * 20), tlv(4)),
    _AKI: (tlv(0x30, tlv(0x80, bytes(20))), tlv(0x30, tlv(0x80, b"\1" * 20)), tlv(0x30), tlv(0x30, tlv(0x82, b"\1"))),
    _POLICIES: (tlv(0x30, tlv(0x30, oid("2.5.29.32.0"))), tlv(0x30)),
    _MAPPINGS: (tlv(0x30, tlv(0x30, oid("1.2.3"), oid("1.2.4"))),),
    _POLICY_CONSTRAINTS: (tlv(0x30, tlv(0x80, b"\0")), tlv(0x30, tlv(0x81, b"\0")), tlv(0x30)),
    _ANY_POLICY: (tlv(2, b"\0"),),
    _CRL_POINTS: (tlv(0x30, tlv(0x30, tlv(0xA0, tlv(0xA0, tlv(0x86, b"http://crl.example/a"))))),),
    _AIA: (tlv(0x30, tlv(0x30, oid("1.3.6.1.5.5.7.48.1"), tlv(0x86, b"http://ocsp.example"))),),
    _TLS_FEATURE: (tlv(0x30, tlv(2, b"\5")), tlv(0x30)),
    _UNKNOWN: (tlv(5),),
}
OIDS: Final = tuple(CONTENTS)
_CRITICAL: Final = frozenset((_BC, _KU, _NC))


@dataclass(slots=True)
class Draft:
    """A certificate before it is signed."""

    subject: bytes
    issuer: bytes
    key: int
    issuer_key: int
    extensions: list[tuple[str, bool, bytes]]
    serial_number: bytes = b"\1"
    version: bytes = tlv(0xA0, tlv(2, b"\2"))
    validity: tuple[float, float] = (-10, 10)
    algorithm: bytes | None = None
    outer_algorithm: bytes | None = None
    unique_ids: bytes = b""

    def tbs(self) -> bytes:
        """What is signed."""
        extensions = tlv(0x30, *(extension(*(one[0], one[2], one[1])) for one in self.extensions))
        return tlv(
            0x30,
            self.version,
            tlv(2, self.serial_number),
            self.algorithm or keys()[self.issuer_key].algorithm,
            self.issuer,
            tlv(0x30, *(_time(days) for days in self.validity)),
            self.subject,
            keys()[self.key].spki,
            self.unique_ids,
            tlv(0xA3, extensions) if self.extensions else b"",
        )

    def signed(self, tbs: bytes | None = None) -> bytes:
        """The certificate."""
        key = keys()[self.issuer_key]
        content = self.tbs() if tbs is None else tbs
        return tlv(
            0x30, content, self.outer_algorithm or self.algorithm or key.algorithm, tlv(3, b"\0" + key.sign(content))
        )


def _time(days: float) -> bytes:
    at = datetime.datetime.fromtimestamp(NOW, datetime.UTC) + datetime.timedelta(days=days)
    if at.year < 2050:
        return tlv(0x17, at.strftime("%y%m%d%H%M%SZ").encode())
    return tlv(0x18, at.strftime("%Y%m%d%H%M%SZ").encode())


def leaf(issuer: int = 0, issuer_key: int = 0, key: int = 3) -> Draft:
    """An ordinary leaf."""
    extensions = [
        (_BC, True, tlv(0x30)),
        (_KU, True, CONTENTS[_KU][1]),
        (_EKU, False, CONTENTS[_EKU][0]),
        (_SAN, False, CONTENTS[_SAN][0]),
        (_AKI, False, CONTENTS[_AKI][0]),
    ]
    return Draft(NAMES[LEAF], NAMES[issuer], key, issuer_key, extensions)


def authority(subject: int, issuer: int, key: int, issuer_key: int) -> Draft:
    """An ordinary CA."""
    extensions = [(_BC, True, CA_TRUE), (_KU, True, CONTENTS[_KU][0]), (_SKI, False, CONTENTS[_SKI][0])]
    if subject != issuer:
        extensions.append((_AKI, False, CONTENTS[_AKI][0]))
    return Draft(NAMES[subject], NAMES[issuer], key, issuer_key, extensions)


def certificate(draft: Draft, choices: Decisions) -> bytes:
    """The draft with a few changes, signed; or with a few more afterwards."""
    while choices:
        kind = choices.below(16)
        if kind == 14:
            return draft.signed(other_bytes(draft.tbs(), choices))
        if kind == 15:
            return other_bytes(draft.signed(), choices)
        _change(draft, kind, choices)
    return draft.signed()


def _change(draft: Draft, kind: int, choices: Decisions) -> None:
    match kind:
        case 0:
            draft.subject = choices.pick(NAMES)
        case 1:
            draft.issuer = choices.pick(NAMES)
        case 2:
            draft.key = choices.below(len(keys()))
        case 3:
            draft.issuer_key = choices.below(len(keys()))
        case 4:
            draft.validity = choices.pick(((-20, -1), (1, 20), (-10, 10), (10, -10), (-10, 36500), (-20_000, 0)))
        case 5:
            if draft.extensions:
                del draft.extensions[choices.below(len(draft.extensions))]
        case 6 | 7 | 8:
            dotted = choices.pick(OIDS)
            content = choices.pick(CONTENTS[dotted])
            if kind == 8:
                content = other_bytes(content, choices)
            kept = [one for one in draft.extensions if one[0] != dotted or kind == 7]
            draft.extensions = [*kept, (dotted, choices.flag() != (dotted in _CRITICAL), content)]
        case 9:
            draft.serial_number = choices.pick(
                (b"\2", b"\0", b"\xff", b"\0\xff", bytes([1]) * 20, bytes([1]) * 21, b"")
            )
        case 10:
            draft.version = choices.pick(
                (b"", tlv(0xA0, tlv(2, b"\1")), tlv(0xA0, tlv(2, b"\0")), tlv(0xA0, tlv(2, b"\3")))
            )
        case 11:
            draft.algorithm = choices.pick((_ECDSA_SHA1, _ED25519, _ECDSA_SHA256, _RSA_SHA256, tlv(0x30, oid("1.2.3"))))
        case 12:
            draft.outer_algorithm = choices.pick((_ECDSA_SHA256, _ED25519, tlv(0x30, oid("1.3.101.112"), tlv(5))))
        case _:
            draft.unique_ids = choices.pick(
                (tlv(0x81, b"\0\1"), tlv(0x82, b"\0\1"), tlv(0x81, b"\0") + tlv(0x82, b"\0"))
            )
