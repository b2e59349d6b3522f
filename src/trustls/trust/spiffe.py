"""SPIFFE: the identity in an X509-SVID, and a bundle of roots for each trust domain.

The rules are those of the SPIFFE-ID and X509-SVID standards (https://github.com/spiffe/spiffe/tree/main/standards).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Final

from trustls.errors import CertificateProblem, CertificateRejected, ConfigError
from trustls.trust.certificate import Certificate
from trustls.trust.extensions import KeyUsage
from trustls.trust.roots import RootCertStore
from trustls.trust.sources import RootsSource
from trustls.values import dataclass
from trustls.wire.names import DistinguishedName, shown


@dataclass(frozen=True, slots=True, order=True, repr=False)
class SpiffeId:
    """A SPIFFE ID: `spiffe://`, a trust domain and a path. Immutable, hashable, ordered by its text.

    It has one spelling only: a trust domain of lower-case letters, digits, `.`, `-` and `_` and of at most 255 bytes; a
    path of segments that are neither empty nor `.` nor `..`, of letters, digits and the same three characters; nothing
    else (no user, port, query, fragment, percent-encoding, closing `/`); at most 2048 bytes (SPIFFE-ID 2).

    Attributes:
        text: the whole ID.

    Raises:
        ConfigError: it is no SPIFFE ID.

    >>> SpiffeId("spiffe://example.org/ns/prod/db").path
    '/ns/prod/db'
    """

    text: str

    def __post_init__(self) -> None:
        if not isinstance(self.text, str):
            raise ConfigError(f"a SPIFFE ID is a str, not {type(self.text).__name__}")
        fault = _fault_of(self.text)
        if fault:
            raise ConfigError(f"{shown(self.text)!r} is no SPIFFE ID: {fault}")

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"SpiffeId({self.text!r})"

    @classmethod
    def of(cls, certificate: Certificate) -> SpiffeId | None:
        """The identity that a leaf certificate is for; None when it is no X509-SVID (`why_no_svid` says why).

        An SVID has exactly one URI in its subjectAltName, which is a SPIFFE ID with a path; it is no CA's, and its key
        may sign neither certificates nor CRLs (X509-SVID 5.2). Reading it proves nothing: that is `verify_path`'s work.

        Raises:
            CertificateRejected: MALFORMED; that can only be when the certificate was not verified.
        """
        found = _identity(certificate)
        return found if isinstance(found, SpiffeId) else None

    @property
    def trust_domain(self) -> str:
        """The name of the trust domain, such as `example.org`."""
        return self.text.split("/", 3)[2]

    @property
    def path(self) -> str:
        """The path with its leading `/`; empty for the ID of a trust domain itself."""
        return self.text[len(_SCHEME) + len(self.trust_domain) :]

    def is_member_of(self, trust_domain: str) -> bool:
        """Whether this is an ID of exactly this trust domain (a trust domain has no subdomains).

        Raises:
            ConfigError: that is no name of a trust domain.
        """
        return self.trust_domain == checked_trust_domain(trust_domain)


def why_no_svid(certificate: Certificate) -> str:
    """Why a certificate is no leaf X509-SVID, in words that go on after "it"; empty when it is one.

    Raises:
        CertificateRejected: MALFORMED; that can only be when the certificate was not verified.
    """
    found = _identity(certificate)
    return "" if isinstance(found, SpiffeId) else found


def checked_trust_domain(text: str) -> str:
    """The same text, when it is the name of a trust domain.

    Raises:
        ConfigError: it is none.
    """
    if not isinstance(text, str):
        raise ConfigError(f"a trust domain is a str, not {type(text).__name__}")
    if text.startswith(_SCHEME):
        raise ConfigError(f"{shown(text)!r} is a SPIFFE ID: name the trust domain alone, as in 'example.org'")
    fault = _trust_domain_fault(text)
    if fault:
        raise ConfigError(f"{shown(text)!r} is no trust domain: {fault}")
    return text


def _identity(certificate: Certificate) -> SpiffeId | str:
    uris = certificate.uris
    if len(uris) != 1:
        return f"has {len(uris) or 'no'} URIs in its subjectAltName, where a SPIFFE SVID has exactly one"
    fault = _fault_of(uris[0])
    if fault:
        return f"has the URI {shown(uris[0])}, which is no SPIFFE ID: {fault}"
    if certificate.is_ca:
        return "is the certificate of a CA, which identifies no workload (X509-SVID 3.1)"
    if (certificate.key_usage_bits or 0) & _SIGNING:
        return "has a key that may sign certificates or CRLs, which the key of a workload may not (X509-SVID 5.2)"
    found = SpiffeId(uris[0])
    return found if found.path else f"has the SPIFFE ID {found}, which names a trust domain and no workload in it"


def _fault_of(text: str) -> str:
    """What is wrong with a SPIFFE ID; empty when nothing is."""
    if not text.startswith(_SCHEME):
        return "it does not start with spiffe:// in lower case"
    if len(text) > _MAX_ID:
        return f"it is longer than {_MAX_ID} bytes"
    trust_domain, slash, path = text[len(_SCHEME) :].partition("/")
    fault = _trust_domain_fault(trust_domain)
    if fault or not slash:
        return fault
    for segment in path.split("/"):
        if not segment:
            return "its path has an empty segment, or ends with /"
        if segment in {".", ".."}:
            return "its path has a segment . or .."
        if not re.fullmatch(_SEGMENT, segment):
            return "its path has another character than letters, digits, '.', '-', '_' and '/'"
    return ""


def _trust_domain_fault(name: str) -> str:
    if not name:
        return "the trust domain is empty"
    if not re.fullmatch(_TRUST_DOMAIN, name):
        return "the trust domain has another character than lower-case letters, digits, '.', '-' and '_'"
    return f"the trust domain is longer than {_MAX_TRUST_DOMAIN} bytes" if len(name) > _MAX_TRUST_DOMAIN else ""


class SpiffeBundles:
    """The roots of several SPIFFE trust domains, kept apart: federation.

    A peer is verified with the roots of the trust domain that it claims to be of, and with no others. So the CA of one
    domain cannot vouch for a workload of another, unless the same root is given for both.

    Args:
        bundles: for the name of each trust domain its roots, or an object whose `current` gives those of now.

    Raises:
        ConfigError: there is no bundle, one has no roots, or a name is that of no trust domain.

    >>> SpiffeBundles({})
    Traceback (most recent call last):
    ...
    trustls.errors.ConfigError: there are no trust bundles: every peer would be refused
    """

    __slots__ = ("_bundles",)

    def __init__(self, bundles: Mapping[str, RootsSource]) -> None:
        if not isinstance(bundles, Mapping):
            raise ConfigError(f"bundles is a mapping of trust domain to roots, not {type(bundles).__name__}")
        self._bundles = {checked_trust_domain(name): source for name, source in bundles.items()}
        if not self._bundles:
            raise ConfigError("there are no trust bundles: every peer would be refused")
        for name, source in self._bundles.items():
            if not _current(name, source):
                raise ConfigError(f"the trust bundle of {name} has no roots: every peer of it would be refused")

    def __repr__(self) -> str:
        return f"<SpiffeBundles of {', '.join(self._bundles)}>"

    @property
    def trust_domains(self) -> tuple[str, ...]:
        """The trust domains for which there is a bundle, in the order given."""
        return tuple(self._bundles)

    @property
    def fingerprint(self) -> bytes:
        """A SHA-256 hash over the trust domains and their roots of now, whatever the order of the domains."""
        digest = hashlib.sha256()
        for name, source in sorted(self._bundles.items(), key=lambda bundle: bundle[0]):
            digest.update(bytes([len(name)]) + name.encode() + _current(name, source).fingerprint)
        return digest.digest()

    def subjects(self) -> tuple[DistinguishedName, ...]:
        """The names of all roots of now, bundle after bundle in the order given, each once."""
        names = (subject for name, source in self._bundles.items() for subject in _current(name, source).subjects())
        return tuple(dict.fromkeys(names))

    def roots_for(self, leaf: Certificate) -> RootCertStore:
        """The roots of now of the trust domain that a peer's own certificate claims to be of.

        Raises:
            CertificateRejected: UNKNOWN_ISSUER, it is no X509-SVID, or of a trust domain without a bundle; MALFORMED,
                it cannot be read.
        """
        identity = _identity(leaf)
        if not isinstance(identity, SpiffeId):
            raise CertificateRejected(
                CertificateProblem.UNKNOWN_ISSUER,
                f"{leaf.title} belongs to no trust domain: it {identity}",
                certificate=leaf,
                expected="an X509-SVID",
                found=f"a certificate that {identity}",
                remedy="issue it as an X509-SVID: one URI, a SPIFFE ID with a path, and no right to sign certificates",
            )
        source = self._bundles.get(identity.trust_domain)
        if source is None:
            known = _listed(self.trust_domains)
            raise CertificateRejected(
                CertificateProblem.UNKNOWN_ISSUER,
                f"{identity} is of the trust domain {identity.trust_domain}, for which there is no bundle here; "
                f"there are bundles for {known}",
                certificate=leaf,
                expected=f"the trust domain {known}",
                found=f"the trust domain {identity.trust_domain}",
                remedy=f"give the bundle of {identity.trust_domain} to SpiffeBundles, if that domain is to be trusted",
            )
        return _current(identity.trust_domain, source)


def _current(trust_domain: str, source: RootsSource) -> RootCertStore:
    roots = source if isinstance(source, RootCertStore) else getattr(source, "current", source)
    if not isinstance(roots, RootCertStore):
        raise ConfigError(f"the trust bundle of {trust_domain} is a RootCertStore, not {type(roots).__name__}")
    return roots


def _listed(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - _MAX_LISTED} more" if len(names) > _MAX_LISTED else ""
    return f"{', '.join(names[:_MAX_LISTED])}{more}"


_SCHEME: Final = "spiffe://"
_MAX_ID: Final = 2048
_MAX_TRUST_DOMAIN: Final = 255
_MAX_LISTED: Final = 8
_SIGNING: Final = int(KeyUsage.KEY_CERT_SIGN | KeyUsage.CRL_SIGN)
_TRUST_DOMAIN: Final = r"[a-z0-9._-]+"
_SEGMENT: Final = r"[A-Za-z0-9._-]+"
