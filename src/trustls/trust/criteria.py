"""Criteria: by what a verified certificate can be recognised, for the rules of `Authorize`.

Each is a class that is never instantiated. It reads the entries of a rule strictly, when the rule is made; it says
whether a verified path (the leaf first, the root last) has one of them; and it puts into words what is there instead.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
import re
from abc import ABC, abstractmethod
from typing import Any, ClassVar, Final, TypeAlias, get_args

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from trustls.errors import CertificateRejected, ConfigError, DecodeError
from trustls.trust.certificate import Certificate
from trustls.trust.patterns import DnsPattern, Mailbox, Uri
from trustls.trust.raw_key import RawPublicKey
from trustls.trust.spiffe import SpiffeId, checked_trust_domain, why_no_svid
from trustls.wire import der as _der
from trustls.wire.names import ATTRIBUTE_NAMES, DistinguishedName, brief, shown

CertificateLike: TypeAlias = Certificate | x509.Certificate
NameLike: TypeAlias = str | DistinguishedName | x509.Name
AddressLike: TypeAlias = (
    str | ipaddress.IPv4Address | ipaddress.IPv6Address | ipaddress.IPv4Network | ipaddress.IPv6Network
)
Path: TypeAlias = tuple[Certificate, ...]


class Criterion(ABC):
    """Something that a certificate is recognised by.

    Attributes:
        method: the method of `Authorize` that makes a rule of it.
        label: what one entry is called.
    """

    method: ClassVar[str]
    label: ClassVar[str]

    @classmethod
    @abstractmethod
    def entry(cls, given: Any) -> tuple[str, Any]:
        """An entry of a rule: its text, which says all of it, and what is compared.

        Raises:
            ConfigError: it is none.
        """

    @classmethod
    @abstractmethod
    def met(cls, path: Path, entries: frozenset[Any]) -> bool:
        """Whether the path has one of these."""

    @classmethod
    @abstractmethod
    def found(cls, path: Path) -> str:
        """What the path has, as a phrase."""

    @classmethod
    def remedy(cls, path: Path, texts: tuple[str, ...]) -> str:  # noqa: ARG003 (some look at the path)
        """What would make the path meet a rule over these entries."""
        named = f"the {cls.label} {short(texts[0])}" if len(texts) == 1 else f"such a {cls.label}"
        return f"issue it a certificate with {named}, or let its own in with Authorize.{cls.method}"


# -- Names of the subjectAltName ---------------------------------------------------------------------------------------


class _Named(Criterion):
    """The names of one form."""

    @classmethod
    @abstractmethod
    def names(cls, leaf: Certificate) -> tuple[str, ...]:
        """The names of this form, as they stand there."""

    @classmethod
    @abstractmethod
    def spellings(cls, name: str) -> tuple[str, ...]:
        """The texts with which an entry may mean a name."""

    @classmethod
    def met(cls, path: Path, entries: frozenset[str]) -> bool:
        return any(text in entries for name in cls.names(path[0]) for text in cls.spellings(name))

    @classmethod
    def found(cls, path: Path) -> str:
        names = cls.names(path[0])
        return f"{cls.label} {listed(names, 'and')}" if names else f"no {cls.label} ({_other_names(path[0])})"


class Dns(_Named):
    """DNS names; see `DnsPattern`."""

    method = "dns"
    label = "DNS name"

    @classmethod
    def entry(cls, given: str) -> tuple[str, str]:
        text = DnsPattern(given).text
        return text, text

    @classmethod
    def names(cls, leaf: Certificate) -> tuple[str, ...]:
        return leaf.dns_names

    @classmethod
    def spellings(cls, name: str) -> tuple[str, ...]:
        return DnsPattern.spellings(name)

    @classmethod
    def remedy(cls, path: Path, texts: tuple[str, ...]) -> str:
        remedy = super().remedy(path, texts)
        if any(name.startswith("*.") for name in path[0].dns_names):
            remedy += "; a wildcard in a certificate counts only where the rule has the same wildcard"
        return remedy


class Email(_Named):
    """Email addresses; see `Mailbox`."""

    method = "email"
    label = "email address"

    @classmethod
    def entry(cls, given: str) -> tuple[str, str]:
        text = Mailbox(given).text
        return text, text

    @classmethod
    def names(cls, leaf: Certificate) -> tuple[str, ...]:
        return leaf.emails

    @classmethod
    def spellings(cls, name: str) -> tuple[str, ...]:
        return Mailbox.spellings(name)


class PlainUri(_Named):
    """URIs but those of SPIFFE; see `Uri`."""

    method = "uri"
    label = "URI"

    @classmethod
    def entry(cls, given: str) -> tuple[str, str]:
        uri = Uri(given)
        if uri.scheme == "spiffe":
            # A URI may stand among others; a SPIFFE ID that does is none.
            raise ConfigError(f"{shown(given)!r} is for Authorize.spiffe_id, which knows what else an SVID has to be")
        return uri.text, uri.text

    @classmethod
    def names(cls, leaf: Certificate) -> tuple[str, ...]:
        return leaf.uris

    @classmethod
    def spellings(cls, name: str) -> tuple[str, ...]:
        return Uri.spellings(name)


class Address(Criterion):
    """IP addresses, by themselves or by their network."""

    method = "ip"
    label = "IP address"

    @classmethod
    def entry(cls, given: AddressLike) -> tuple[str, ipaddress.IPv4Network | ipaddress.IPv6Network]:
        if not isinstance(given, get_args(AddressLike)):
            raise ConfigError(f"an address is a str or an object of ipaddress, not {type(given).__name__}")
        text = str(given)
        try:
            if "%" in text:
                raise ValueError("a certificate has no zones")
            network = ipaddress.ip_network(text)
        except ValueError as error:
            reason = f"{shown(text)!r} is no address, and no network such as 10.0.0.0/8: {error}"
            raise ConfigError(reason) from None
        single = network.prefixlen == network.max_prefixlen
        return (str(network.network_address) if single else str(network)), network

    @classmethod
    def met(cls, path: Path, entries: frozenset[ipaddress.IPv4Network | ipaddress.IPv6Network]) -> bool:
        return any(address in network for address in path[0].ip_addresses for network in entries)

    @classmethod
    def found(cls, path: Path) -> str:
        addresses = tuple(map(str, path[0].ip_addresses))
        return f"{cls.label} {listed(addresses, 'and')}" if addresses else f"no {cls.label} ({_other_names(path[0])})"


class _Spiffe(Criterion):
    """The one identity of an X509-SVID."""

    @classmethod
    def met(cls, path: Path, entries: frozenset[str]) -> bool:
        identity = SpiffeId.of(path[0])
        return identity is not None and cls.takes(identity, entries)

    @classmethod
    @abstractmethod
    def takes(cls, identity: SpiffeId, entries: frozenset[str]) -> bool:
        """Whether one of the entries means this identity."""

    @classmethod
    def found(cls, path: Path) -> str:
        identity = SpiffeId.of(path[0])
        return f"SPIFFE ID {identity}" if identity is not None else f"no SPIFFE ID (it {why_no_svid(path[0])})"


class Workload(_Spiffe):
    """Whole SPIFFE IDs."""

    method = "spiffe_id"
    label = "SPIFFE ID"

    @classmethod
    def entry(cls, given: str | SpiffeId) -> tuple[str, str]:
        identity = given if isinstance(given, SpiffeId) else SpiffeId(given)
        if not identity.path:
            raise ConfigError(
                f"{identity.text!r} names a trust domain, and no workload: for all that are in it, use "
                f"Authorize.spiffe_trust_domain({identity.trust_domain!r})"
            )
        return identity.text, identity.text

    @classmethod
    def takes(cls, identity: SpiffeId, entries: frozenset[str]) -> bool:
        return identity.text in entries


class TrustDomain(_Spiffe):
    """SPIFFE trust domains."""

    method = "spiffe_trust_domain"
    label = "SPIFFE trust domain"

    @classmethod
    def entry(cls, given: str) -> tuple[str, str]:
        return checked_trust_domain(given), given

    @classmethod
    def takes(cls, identity: SpiffeId, entries: frozenset[str]) -> bool:
        return identity.trust_domain in entries


class WorkloadPath(Workload):
    """SPIFFE IDs and all that go on from them with further segments."""

    method = "spiffe_path"
    label = "SPIFFE ID at or below"

    @classmethod
    def takes(cls, identity: SpiffeId, entries: frozenset[str]) -> bool:
        return identity.text in entries or any(identity.text.startswith(f"{prefix}/") for prefix in entries)

    @classmethod
    def remedy(cls, path: Path, texts: tuple[str, ...]) -> str:  # noqa: ARG003
        return "issue it an X509-SVID there, or let its own SPIFFE ID in with Authorize.spiffe_path"


# -- Keys and certificates ---------------------------------------------------------------------------------------------


class Fingerprint(Criterion):
    """SHA-256 of the certificate."""

    method = "fingerprint"
    label = "SHA-256 fingerprint"

    @classmethod
    def entry(cls, given: str | CertificateLike) -> tuple[str, bytes]:
        certificate = _as_certificate(given)
        if certificate is not None:
            return certificate.fingerprint, certificate.sha256
        if not isinstance(given, str):
            raise ConfigError(f"a fingerprint is hex or a certificate, not {type(given).__name__}")
        digest = _hex_digest(given)
        if digest is None:
            digits = len(re.sub(r"[\s:]", "", given))
            of = {32: ", as for MD5", 40: ", as for SHA-1"}.get(digits, "")
            raise ConfigError(
                f"{shown(given)!r} is no SHA-256 fingerprint: that has 64 hex digits, this has {digits}{of}; "
                "see openssl x509 -fingerprint -sha256"
            )
        return digest.hex(), digest

    @classmethod
    def met(cls, path: Path, entries: frozenset[bytes]) -> bool:
        return _one_of(entries, path[0].sha256)

    @classmethod
    def found(cls, path: Path) -> str:
        return f"{cls.label} {path[0].fingerprint}"

    @classmethod
    def remedy(cls, path: Path, texts: tuple[str, ...]) -> str:  # noqa: ARG003
        return "after a renewal, name the new fingerprint; Authorize.public_key lasts as long as the key does"


class PublicKey(Criterion):
    """SHA-256 of the SubjectPublicKeyInfo: the pin of RFC 7469."""

    method = "public_key"
    label = "public key with the SHA-256"

    @classmethod
    def entry(cls, given: Any) -> tuple[str, bytes]:
        certificate = _as_certificate(given)
        if certificate is not None:
            digest: bytes | None = certificate.spki_sha256
        elif isinstance(given, RawPublicKey):
            digest = given.sha256
        elif isinstance(given, str):
            digest = _hex_digest(given) or _base64_digest(given)
        else:
            digest = _key_digest(given)
        if digest is None:
            reason = f"{shown(str(given))!r} is no SHA-256 of a public key"
            raise ConfigError(f"{reason}: that is 64 hex digits, or 44 characters of base64")
        return digest.hex(), digest

    @classmethod
    def met(cls, path: Path, entries: frozenset[bytes]) -> bool:
        return _one_of(entries, path[0].spki_sha256)

    @classmethod
    def has(cls, digest: bytes, entries: frozenset[bytes]) -> bool:
        """Whether a key with this digest is one of these."""
        return _one_of(entries, digest)

    @classmethod
    def found(cls, path: Path) -> str:
        return f"{cls.label} {path[0].spki_sha256.hex()}"

    @classmethod
    def remedy(cls, path: Path, texts: tuple[str, ...]) -> str:  # noqa: ARG003
        return "use a key that is named, or name this one in Authorize.public_key"


def _as_certificate(given: object) -> Certificate | None:
    if not isinstance(given, x509.Certificate):
        return given if isinstance(given, Certificate) else None
    try:
        return Certificate.from_x509(given)
    except CertificateRejected as error:
        raise ConfigError(f"the certificate in a rule cannot be read: {error.detail}") from None


def _hex_digest(text: str) -> bytes | None:
    return bytes.fromhex(text.replace(":", "")) if _HEX_DIGEST.fullmatch(text) else None


def _base64_digest(text: str) -> bytes | None:
    # By length, for base64 may start with a slash itself.
    prefix, pin = text[:-44], text[-44:]
    try:
        digest = base64.b64decode(pin, validate=True)
    except ValueError:
        return None
    # Base64 in another than its one proper form was mangled on its way.
    proper = len(digest) == hashlib.sha256().digest_size and base64.b64encode(digest).decode() == pin
    return digest if proper and prefix in {"", "sha256/", "sha256//"} else None


def _key_digest(key: Any) -> bytes:
    if hasattr(key, "private_bytes") or not hasattr(key, "public_bytes"):
        raise ConfigError(f"a public key is a hash of it, a key object or a certificate, not {type(key).__name__}")
    try:
        spki: bytes = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{type(key).__name__} is no public key: {error}") from None
    return hashlib.sha256(spki).digest()


def _one_of(wanted: frozenset[bytes], digest: bytes) -> bool:
    # All are compared, each in constant time, so that the time says nothing of which one it was, or how close.
    found = False
    for one in wanted:
        found |= hmac.compare_digest(one, digest)
    return found


# -- Distinguished names -----------------------------------------------------------------------------------------------


class Subject(Criterion):
    """The whole name of the subject."""

    method = "subject"
    label = "subject"

    @classmethod
    def entry(cls, given: NameLike) -> tuple[str, Any]:
        name = _distinguished_name(given)
        return name.rfc4514(), _attributes(name)

    @classmethod
    def met(cls, path: Path, entries: frozenset[Any]) -> bool:
        return _attributes(path[0].subject) in entries

    @classmethod
    def found(cls, path: Path) -> str:
        return f"{cls.label} {brief(path[0].subject) or 'without attributes'}"


class Issuer(Criterion):
    """The name of a CA of the path, or its name and key."""

    method = "issuer"
    label = "issuer"

    @classmethod
    def entry(cls, given: NameLike | CertificateLike) -> tuple[str, Any]:
        ca = _as_certificate(given)
        if ca is None:
            name = _distinguished_name(given)
            return name.rfc4514(), (_attributes(name), None)
        if ca.fault is not None:
            raise ConfigError(f"the certificate in a rule cannot be used: {ca.fault.detail}")
        if not ca.is_ca:
            raise ConfigError(f"{ca.title} is no CA: it issues nothing")
        # RFC 4514 escapes a semicolon, so this is the text of no name.
        return f"{ca.subject}; key {ca.spki_sha256.hex()}", (_attributes(ca.subject), ca.spki_sha256)

    @classmethod
    def met(cls, path: Path, entries: frozenset[Any]) -> bool:
        for ca in path[1:]:
            attributes = _attributes(ca.subject)
            if (attributes, None) in entries or (attributes, ca.spki_sha256) in entries:
                return True
        return False

    @classmethod
    def found(cls, path: Path) -> str:
        issuers = tuple(f"{brief(ca.subject)}; key {ca.spki_sha256.hex()}" for ca in path[1:])
        return f"{cls.label} {listed(issuers, 'and', limit=384)}" if issuers else "no issuer (it is trusted by itself)"

    @classmethod
    def remedy(cls, path: Path, texts: tuple[str, ...]) -> str:  # noqa: ARG003
        return "have its certificate issued by a CA that is named, or name the CA that issued it in Authorize.issuer"


class CommonName(Criterion):
    """The only common name of a certificate without a subjectAltName."""

    method = "legacy_common_name"
    label = "common name"

    @classmethod
    def entry(cls, given: str) -> tuple[str, str]:
        if not isinstance(given, str) or not given:
            raise ConfigError(f"a common name is a str that is not empty, unlike {shown(repr(given))}")
        return given, given

    @classmethod
    def met(cls, path: Path, entries: frozenset[str]) -> bool:
        names = _common_names(path[0])
        return len(names) == 1 and names[0] in entries and not path[0].alternative_names

    @classmethod
    def found(cls, path: Path) -> str:
        leaf = path[0]
        if leaf.alternative_names:
            return f"a subjectAltName, beside which no common name counts ({_other_names(leaf)})"
        names = _common_names(leaf)
        return f"{cls.label} {listed(names, 'and')}" if names else f"no {cls.label} ({brief(leaf.subject)})"

    @classmethod
    def remedy(cls, path: Path, texts: tuple[str, ...]) -> str:
        if path[0].alternative_names:
            return "let it in by its subjectAltName, with a rule such as Authorize.dns or Authorize.uri"
        return super().remedy(path, texts)


def _distinguished_name(given: object) -> DistinguishedName:
    if isinstance(given, str):
        try:
            given = x509.Name.from_rfc4514_string(given, _OIDS)
        except ValueError as error:
            reason = f"{shown(str(given))!r} is not the RFC 4514 text of a name, such as 'CN=alice,O=Example'"
            raise ConfigError(f"{reason}: {error}" if str(error) else reason) from None
    if isinstance(given, x509.Name):
        try:
            given = DistinguishedName(given.public_bytes())
        except (ValueError, DecodeError) as error:
            raise ConfigError(f"a name in a rule cannot be encoded: {error}") from None
    if not isinstance(given, DistinguishedName):
        raise ConfigError(f"a name is RFC 4514 text or a DistinguishedName, not {type(given).__name__}")
    if not given:
        raise ConfigError("a name in a rule is empty, as the subject of many a certificate is")
    return given


def _attributes(name: DistinguishedName) -> tuple[Any, ...]:
    """What of a name is compared: its attributes, sorted by type; those of one type stay in their order."""
    found: list[tuple[bytes, str | tuple[int, bytes]]] = []
    for rdn in name.relative_names():
        for oid, tag, value in rdn:
            text = _der.string(tag, value)
            found.append((oid, (tag, value) if text is None else text))
    return tuple(sorted(found, key=lambda attribute: attribute[0]))


def _common_names(leaf: Certificate) -> tuple[str, ...]:
    return tuple(value for oid, value in leaf.subject.attributes() if oid == _COMMON_NAME)


# -- What is said ------------------------------------------------------------------------------------------------------


def _other_names(leaf: Certificate) -> str:
    """What a certificate is for, when it has no name of the form asked for."""
    names = (
        *(f"DNS name {name}" for name in leaf.dns_names),
        *(f"IP address {address}" for address in leaf.ip_addresses),
        *(f"URI {uri}" for uri in leaf.uris),
        *(f"email address {address}" for address in leaf.emails),
    )
    if names:
        return f"only {listed(names, 'and')}"
    if leaf.alternative_names:
        return "only names of other forms"
    return "it has no subjectAltName, and the common name does not count"


def listed(texts: tuple[str, ...], word: str, *, limit: int = 128) -> str:
    """Texts in a sentence, `word` before the last: at most eight, each of at most `limit` characters."""
    named = [short(text, limit) for text in texts[:_MAX_LISTED]]
    more = len(texts) - len(named)
    if more:
        named.append(f"{more} more")
    return f"{', '.join(named[:-1])} {word} {named[-1]}" if len(named) > 1 else named[0]


def short(text: str, limit: int = 128) -> str:
    """Foreign text made fit for a message, cut to `limit` characters."""
    text = shown(text)
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


_MAX_LISTED: Final = 8
_HEX_DIGEST: Final = re.compile(r"[0-9A-Fa-f]{64}|(?:[0-9A-Fa-f]{2}:){31}[0-9A-Fa-f]{2}")
_COMMON_NAME: Final = "2.5.4.3"
_OIDS: Final = {name: x509.ObjectIdentifier(oid) for oid, name in ATTRIBUTE_NAMES.items()}
