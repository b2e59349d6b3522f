"""Lint for a bundle of CA certificates: what somebody who lets clients in by it would want to know beforehand.

A root store says which certificates it left out, and path validation why one client was refused; here a file is judged
before there is any client. What `verify_path` would refuse a CA for is an error, and so is what lets in strangers.
"""

from __future__ import annotations

import datetime
import enum
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

from trustls.errors import CertificateProblem, CertificateRejected, ConfigError
from trustls.trust.certificate import Certificate
from trustls.trust.extensions import KeyUsage
from trustls.trust.hints import JSSE_LIMIT, MAX_ENCODED, encoded_size
from trustls.trust.pem import PEMSource, found_instead, pem_blocks, pem_bytes, pem_origin
from trustls.trust.profile import Profile, Purpose, ca_fault
from trustls.trust.roots import RootCertStore
from trustls.trust.signatures import key_fault, signature_fault
from trustls.values import dataclass
from trustls.wire.names import DistinguishedName, brief, shown


class Severity(enum.StrEnum):
    """How much a finding matters."""

    ERROR = "error"
    """It does not do what it is there for, or lets in whom nobody meant."""
    WARNING = "warning"
    """It works, but is hardly meant so, or soon works no more."""
    NOTE = "note"
    """It works, and may be meant so."""


class Flaw(enum.Enum):
    """What can be wrong with a bundle: the code, which does not change between versions, and how much it matters."""

    NO_CERTIFICATE = ("no-certificate", Severity.ERROR)
    NO_ROOT = ("no-root", Severity.ERROR)
    PRIVATE_KEY = ("private-key", Severity.ERROR)
    UNREADABLE = ("unreadable", Severity.ERROR)
    SYSTEM_BUNDLE = ("system-bundle", Severity.ERROR)
    NAMES_TOO_LARGE = ("names-too-large", Severity.ERROR)
    NOT_VERSION_3 = ("not-version-3", Severity.ERROR)
    NOT_A_CA = ("not-a-ca", Severity.ERROR)
    UNUSABLE = ("unusable", Severity.ERROR)
    EXPIRED = ("expired", Severity.ERROR)
    WEAK_KEY = ("weak-key", Severity.ERROR)
    NO_KEY_CERT_SIGN = ("no-key-cert-sign", Severity.ERROR)
    WRONG_PURPOSE = ("wrong-purpose", Severity.ERROR)
    NOT_YET_VALID = ("not-yet-valid", Severity.WARNING)
    EXPIRES_SOON = ("expires-soon", Severity.WARNING)
    DUPLICATE = ("duplicate", Severity.WARNING)
    SAME_NAME = ("same-name", Severity.WARNING)
    INTERMEDIATE = ("intermediate", Severity.WARNING)
    INTERMEDIATE_BESIDE_ROOT = ("intermediate-beside-root", Severity.WARNING)
    BAD_SIGNATURE = ("bad-signature", Severity.WARNING)
    PUBLIC_CA = ("public-ca", Severity.WARNING)
    NAMES_LARGE = ("names-large", Severity.WARNING)
    UNREAD_CERTIFICATE = ("unread-certificate", Severity.WARNING)
    UNREAD_CRL = ("unread-crl", Severity.WARNING)
    SAME_KEY = ("same-key", Severity.NOTE)
    UNSUPPORTED_SIGNATURE = ("unsupported-signature", Severity.NOTE)
    SYSTEM_ROOT = ("system-root", Severity.NOTE)
    OTHER_BLOCK = ("other-block", Severity.NOTE)

    def __init__(self, code: str, severity: Severity) -> None:
        self.code = code
        self.severity = severity


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing about a bundle.

    Attributes:
        flaw: what it is.
        sentence: the same in words, with the particulars.
        remedy: what to do about it.
        origin: the file that it is about; empty when it is about all of them together.
        number: which certificate of that file it is about, counted from 1; None when it is about no single one.
        certificate: the subject of that certificate, of bounded length and fit for a terminal; empty without one.
    """

    flaw: Flaw
    sentence: str
    remedy: str
    origin: str = ""
    number: int | None = None
    certificate: str = ""

    @property
    def severity(self) -> Severity:
        """How much it matters."""
        return self.flaw.severity

    @property
    def code(self) -> str:
        """The name of the flaw for programs."""
        return self.flaw.code

    @property
    def place(self) -> str:
        """Where it is: the file, and which certificate in it."""
        return self.origin if self.number is None else f"{self.origin}, certificate {self.number}"

    def __str__(self) -> str:
        place = f" ({self.place})" if self.origin else ""
        return f"{self.severity}: {self.sentence}{place}; {self.remedy}"


def lint_bundle(
    *sources: PEMSource,
    now: float,
    purpose: Purpose = Purpose.CLIENT_AUTH,
    profile: Profile = Profile.PRIVATE,
    warn_days: float = 14,
    system: Iterable[Certificate] = (),
) -> tuple[Finding, ...]:
    """What is wrong with PEM files of CA certificates that are trusted together; errors first, then in their order.

    Nothing is trusted or changed by it. That a bundle is one of public CAs is a guess, from `system` and from a list of
    the names of public CAs: it can miss one, and a private CA that was installed on this system looks like one.

    Args:
        sources: the files, as a RootCertStore takes them.
        now: the time, in seconds since 1970.
        purpose: whose certificates the CAs are trusted for.
        profile: whose rules for the form of certificates apply.
        warn_days: how many days before its end a CA is worth a warning.
        system: the CAs that everybody trusts for servers, to compare with, such as `RootCertStore.system()`.

    Raises:
        OSError: a file cannot be read.
    """
    bundle = _Bundle(now, purpose, profile, warn_days)
    findings: list[Finding] = []
    for source in sources:
        findings += bundle.read(source)
    findings += bundle.of_all(frozenset(map(_identity, system)))
    for entry in bundle.entries:
        findings += bundle.of_one(entry)
    return tuple(sorted(findings, key=lambda finding: _SEVERITIES.index(finding.severity)))


@dataclass(frozen=True, slots=True)
class _Entry:
    """A certificate and where it stands."""

    origin: str
    number: int
    certificate: Certificate

    def finding(self, flaw: Flaw, sentence: str, remedy: str) -> Finding:
        return Finding(
            flaw=flaw,
            sentence=sentence,
            remedy=remedy,
            origin=self.origin,
            number=self.number,
            certificate=self.certificate.title,
        )


class _Bundle:
    """What was read of the files, and the checks on it."""

    def __init__(self, now: float, purpose: Purpose, profile: Profile, warn_days: float) -> None:
        self.now = math.floor(now)
        self.purpose = purpose
        self.profile = profile
        self.warn_days = warn_days
        self.entries: list[_Entry] = []
        self.roots: list[_Entry] = []
        self.first: dict[Certificate, _Entry] = {}
        self.named: dict[bytes, list[_Entry]] = {}

    # -- The files ----------------------------------------------------------------------------------------------------

    def read(self, source: PEMSource) -> Iterator[Finding]:
        """Take the certificates of a file, and find what else is in it."""
        origin, content = shown(pem_origin(source)), pem_bytes(source)
        number = 0
        for number, block in enumerate(pem_blocks(content), 1):
            reason = "it is cut off, or no base64"
            if block is not None:
                try:
                    self._take(_Entry(origin, number, Certificate.from_der(block)))
                    continue
                except CertificateRejected as error:
                    reason = error.detail
            yield Finding(
                flaw=Flaw.UNREADABLE,
                sentence=f"certificate {number} cannot be read: {reason}",
                remedy="copy it anew from its CA, whole, from its BEGIN line to its END line",
                origin=origin,
                number=number,
            )
        if not number:
            yield Finding(
                flaw=Flaw.NO_CERTIFICATE,
                sentence="there is no certificate in it in PEM",
                remedy=_remedy_without_pem(content),
                origin=origin,
            )
        yield from _of_other_blocks(content, origin)

    def _take(self, entry: _Entry) -> None:
        self.entries.append(entry)
        certificate = entry.certificate
        if certificate in self.first:
            return
        self.first[certificate] = entry
        try:
            RootCertStore([certificate])
        except ConfigError:
            return
        self.roots.append(entry)
        self.named.setdefault(certificate.subject.der, []).append(entry)

    # -- One certificate ----------------------------------------------------------------------------------------------

    def of_one(self, entry: _Entry) -> Iterator[Finding]:
        """What is wrong with one certificate in its place."""
        certificate, title = entry.certificate, entry.certificate.title
        first = self.first[certificate]
        if first is not entry:
            yield entry.finding(
                Flaw.DUPLICATE,
                f"{title} is here already, as certificate {first.number} of {first.origin}",
                "remove one of the two",
            )
            return
        if certificate.version != 3:
            yield entry.finding(
                Flaw.NOT_VERSION_3,
                f"{title} is of version {certificate.version}, which cannot say that it is a CA: it is not trusted",
                "make the CA's certificate anew, of version 3 with basicConstraints CA:TRUE",
            )
            return
        if not _may_be_ca(certificate):
            yield self._of_end_entity(entry)
            return
        fault = certificate.fault
        if fault is not None:
            yield entry.finding(
                Flaw.UNUSABLE, f"{fault.detail}: nothing that it issued is accepted", fault.remedy or _MAKE_ANEW
            )
            return
        findings = [
            *self._of_validity(entry),
            *self._of_usage(entry),
            *self._of_key(entry),
            *self._of_signature(entry),
        ]
        yield from findings
        fault = ca_fault(certificate, self.purpose, self.now, self.profile, 0, True)
        # What a path is refused for is never left unsaid, whatever the checks above know.
        if fault is not None and not any(finding.flaw in _REFUSALS for finding in findings):
            yield entry.finding(
                Flaw.UNUSABLE, f"{fault.detail}: nothing that it issued is accepted", fault.remedy or _MAKE_ANEW
            )

    def _of_end_entity(self, entry: _Entry) -> Finding:
        certificate = entry.certificate
        if certificate.is_self_issued:
            return entry.finding(
                Flaw.NOT_A_CA,
                f"{certificate.title} is self-signed, but its basicConstraints do not say CA:TRUE: it is not trusted, "
                "not even as its own root",
                "make a CA and issue certificates from it; to let in one certificate, use a CA of its own",
            )
        return entry.finding(
            Flaw.NOT_A_CA,
            f"{certificate.title} is no CA, but the certificate of a client or a server: it is not trusted",
            f"put the CA that issued it here instead: {brief(certificate.issuer)}",
        )

    def _of_validity(self, entry: _Entry) -> Iterator[Finding]:
        certificate, title = entry.certificate, entry.certificate.title
        left = (certificate.not_after - self.now) / _DAY
        if certificate.not_after < self.now:
            still = ", though clients are told its name" if self.purpose is Purpose.CLIENT_AUTH else ""
            yield entry.finding(
                Flaw.EXPIRED,
                f"{title} ended {_date(certificate.not_after_utc)}: nothing under it is accepted{still}",
                "remove it, once its successor is here",
            )
        elif self.now < certificate.not_before:
            yield entry.finding(
                Flaw.NOT_YET_VALID,
                f"{title} begins {_date(certificate.not_before_utc)}: until then nothing under it is accepted",
                "keep its predecessor until then; if it should be valid now, look at the clock here",
            )
        elif left < self.warn_days:
            yield entry.finding(
                Flaw.EXPIRES_SOON,
                f"{title} ends {_date(certificate.not_after_utc)}, in {_days(left)}; nothing under it is accepted then",
                "add its successor beside it now, and issue from that",
            )

    def _of_usage(self, entry: _Entry) -> Iterator[Finding]:
        certificate, title = entry.certificate, entry.certificate.title
        usage = certificate.key_usage
        if usage is not None and KeyUsage.KEY_CERT_SIGN not in usage:
            yield entry.finding(
                Flaw.NO_KEY_CERT_SIGN,
                f"the key usage of {title} lacks keyCertSign: nothing that it issued is accepted",
                "make the CA's certificate anew with keyCertSign",
            )
        purposes = certificate.extended_key_usage
        if purposes is not None and not {self.purpose.oid, _ANY_PURPOSE} & set(purposes):
            yield entry.finding(
                Flaw.WRONG_PURPOSE,
                f"the extended key usage of {title} rules out {self.purpose.label}: nothing that it issued is accepted "
                "for that",
                f"use a CA without an extended key usage, or with {self.purpose.label} in it",
            )

    def _of_key(self, entry: _Entry) -> Iterator[Finding]:
        fault = key_fault(entry.certificate)
        if fault is not None:
            yield entry.finding(
                Flaw.WEAK_KEY,
                f"{fault.detail}: nothing that it issued is accepted",
                fault.remedy or "make a new CA with an ECDSA key on P-256, or an RSA key of 3072 bits",
            )

    def _of_signature(self, entry: _Entry) -> Iterator[Finding]:
        certificate, title = entry.certificate, entry.certificate.title
        if not certificate.is_self_issued:
            yield self._of_intermediate(entry)
            return
        wrong = None if key_fault(certificate) is not None else signature_fault(certificate, certificate)
        if wrong is None:
            return
        if wrong.problem is CertificateProblem.UNSUPPORTED_SIGNATURE:
            yield entry.finding(
                Flaw.UNSUPPORTED_SIGNATURE,
                f"{wrong.detail}, which is not accepted; a root's own signature is not checked, so nothing is refused",
                "none is needed; other software may refuse it, and its successor should be signed with SHA-256",
            )
        elif not self._signer(entry):
            yield entry.finding(
                Flaw.BAD_SIGNATURE,
                f"{title} is not signed with its own key, nor with that of another CA of its name here; a root's own "
                "signature is not checked, so it is trusted all the same",
                "compare its fingerprint with what its CA publishes: it may be damaged, forged, or a link between two "
                "keys of that CA",
            )

    def _of_intermediate(self, entry: _Entry) -> Finding:
        certificate, title = entry.certificate, entry.certificate.title
        issuer = self._signer(entry)
        if issuer is not None:
            return entry.finding(
                Flaw.INTERMEDIATE_BESIDE_ROOT,
                f"{title} is an intermediate CA, and {issuer.certificate.title}, which issued it, is here too: here it "
                "is trusted by itself, whatever its issuer limits or revokes",
                "remove it: clients send their intermediates themselves",
            )
        others = self.named.get(certificate.issuer.der, ())
        why = ", and the CA of that name here has another key" if others else ", which is not here"
        return entry.finding(
            Flaw.INTERMEDIATE,
            f"{title} is no root but an intermediate CA, issued by {brief(certificate.issuer)}{why}: it is trusted by "
            "itself, and nothing else that its issuer issued is",
            "if all of that root's clients are meant, put the root here instead; if only this CA's are, leave it so "
            "(OpenSSL takes it with -partial_chain only)",
        )

    def _signer(self, entry: _Entry) -> _Entry | None:
        """The other CA here whose key signed this one."""
        certificate = entry.certificate
        for other in self.named.get(certificate.issuer.der, [])[:_MAX_CANDIDATES]:
            issuer = other.certificate
            if issuer != certificate and key_fault(issuer) is None and signature_fault(issuer, certificate) is None:
                return other
        return None

    # -- All of them --------------------------------------------------------------------------------------------------

    def of_all(self, system: frozenset[tuple[bytes, bytes]]) -> Iterator[Finding]:
        """What is wrong with the certificates together."""
        if self.entries and not self.roots:
            yield Finding(
                flaw=Flaw.NO_ROOT,
                sentence="no certificate here can be trusted as a CA: everybody would be refused",
                remedy="put the certificate of the CA here that issues to those who are to be let in",
            )
        yield from self._of_names()
        if self.purpose is Purpose.CLIENT_AUTH:
            yield from self._of_size()
            yield from self._of_public_cas(system)

    def _of_names(self) -> Iterator[Finding]:
        for first, *others in self.named.values():
            for other in others:
                title = other.certificate.title
                if other.certificate.spki == first.certificate.spki:
                    yield other.finding(
                        Flaw.SAME_KEY,
                        f"{title} is certificate {first.number} of {first.origin} made anew: the same name and key",
                        "keep the one that ends later",
                    )
                else:
                    yield other.finding(
                        Flaw.SAME_NAME,
                        f"{title} has the name of certificate {first.number} of {first.origin}, and another key: "
                        "certificates of both are accepted, and the name alone does not tell which of them is meant",
                        "if the CA was made anew, remove the old one when no certificate of it is left; give the next "
                        "one a name of its own",
                    )

    def _of_size(self) -> Iterator[Finding]:
        names = [DistinguishedName(der) for der in self.named]
        size = encoded_size(names)
        if size > MAX_ENCODED:
            yield Finding(
                flaw=Flaw.NAMES_TOO_LARGE,
                sentence=f"the names of the {len(names)} CAs take {size} bytes in a CertificateRequest, which holds "
                f"{MAX_ENCODED}: a server with this bundle does not start",
                remedy="trust fewer CAs; or send fewer names with hints=, or none with hints=()",
            )
        elif size > JSSE_LIMIT:
            yield Finding(
                flaw=Flaw.NAMES_LARGE,
                sentence=f"the names of the {len(names)} CAs take {size} bytes in a CertificateRequest: Java clients "
                f"refuse handshake messages over {JSSE_LIMIT} bytes unless told otherwise",
                remedy="trust fewer CAs; or send fewer names with hints=, or none with hints=()",
            )

    def _of_public_cas(self, system: frozenset[tuple[bytes, bytes]]) -> Iterator[Finding]:
        # moby/moby#33173: clients were let in by every CA of the public web, because its bundle was the starting point.
        installed = [entry for entry in self.roots if _identity(entry.certificate) in system]
        known = [entry for entry in self.roots if _has_public_name(entry.certificate)]
        if max(len(installed), len(known)) >= _MANY:
            yield Finding(
                flaw=Flaw.SYSTEM_BUNDLE,
                sentence=f"this looks like the bundle of a system or a browser: of its {len(self.roots)} CAs, "
                f"{len(installed)} are among the roots of this system and {len(known)} carry the name of a public CA, "
                "and whoever gets a client certificate from any of them would be let in",
                remedy="trust for clients only the CAs that you issue client certificates from",
            )
            return
        for entry in known:
            yield entry.finding(
                Flaw.PUBLIC_CA,
                f"{entry.certificate.title} is a public CA, judging by its name: whoever gets a client certificate "
                "from it would be let in",
                "unless that is meant, remove it; servers of the public web need it, clients of yours do not",
            )
        for entry in installed:
            if entry not in known:
                yield entry.finding(
                    Flaw.SYSTEM_ROOT,
                    f"{entry.certificate.title} is also among the roots of this system: if it is a public CA, whoever "
                    "gets a client certificate from it would be let in",
                    "none is needed for a CA of your own that was installed here; else remove it",
                )


def _of_other_blocks(content: bytes, origin: str) -> Iterator[Finding]:
    """What else the file holds, by the labels of its blocks (RFC 7468 4 to 13)."""
    for label, count in Counter(_BEGIN.findall(content)).items():
        what = f"{count} block{'s' if count > 1 else ''} {label.decode()}"
        if label.endswith(b"PRIVATE KEY"):
            yield Finding(
                flaw=Flaw.PRIVATE_KEY,
                sentence=f"it holds a private key ({what}), and a bundle of CAs is read by many",
                remedy="take it out, and replace the key if anybody else could read the file; if it is a CA's, whoever "
                "has it can let in anybody",
                origin=origin,
            )
        elif label in {b"TRUSTED CERTIFICATE", b"PKCS7", b"CMS"}:
            yield Finding(
                flaw=Flaw.UNREAD_CERTIFICATE,
                sentence=f"{what} is not read: the CAs in it are not trusted",
                remedy="openssl x509 -in OLD -out NEW makes a plain certificate of a trusted one, and openssl pkcs7 "
                "-print_certs -in OLD -out NEW does so for PKCS7",
                origin=origin,
            )
        elif label == b"X509 CRL":
            yield Finding(
                flaw=Flaw.UNREAD_CRL,
                sentence=f"{what} is not read: nobody is refused by it",
                remedy="give CRLs beside the roots, with crls= (--crl)",
                origin=origin,
            )
        elif label not in {b"CERTIFICATE", b"X509 CERTIFICATE"}:
            yield Finding(
                flaw=Flaw.OTHER_BLOCK,
                sentence=f"{what} is passed over",
                remedy="take it out, for it has no use here",
                origin=origin,
            )


def _remedy_without_pem(content: bytes) -> str:
    try:
        Certificate.from_der(content)
    except CertificateRejected:
        return f"expected is -----BEGIN CERTIFICATE-----, and {found_instead(content)}: is it the right file?"
    return "it is a certificate in DER: openssl x509 -inform der -in OLD -out NEW makes PEM of it"


def _identity(certificate: Certificate) -> tuple[bytes, bytes]:
    """What makes a CA the same one, in whichever of its certificates."""
    return certificate.subject.der, certificate.spki_sha256


def _has_public_name(certificate: Certificate) -> bool:
    """Whether its organization is one that runs CAs for the public web."""
    return any(
        value.casefold().startswith(_PUBLIC_ORGANIZATIONS)
        for oid, value in certificate.subject.attributes()
        if oid == _ORGANIZATION
    )


def _may_be_ca(certificate: Certificate) -> bool:
    """Whether it says that it is a CA; what cannot be read is a fault of another kind."""
    try:
        return certificate.is_ca
    except CertificateRejected:
        return True


def _date(when: datetime.datetime) -> str:
    return f"{when:%Y-%m-%d %H:%M:%S} UTC"


def _days(left: float) -> str:
    whole = int(left)
    return "less than a day" if not whole else f"{whole} day{'s' if whole > 1 else ''}"


_BEGIN: Final = re.compile(rb"-----BEGIN ([A-Z0-9 ]{1,40})-----")
_SEVERITIES: Final = tuple(Severity)
# The findings that say what `ca_fault` says.
_REFUSALS: Final = frozenset(
    {Flaw.EXPIRED, Flaw.NOT_YET_VALID, Flaw.WEAK_KEY, Flaw.NO_KEY_CERT_SIGN, Flaw.WRONG_PURPOSE}
)
_DAY: Final = 86400
_ANY_PURPOSE: Final = "2.5.29.37.0"
_ORGANIZATION: Final = "2.5.4.10"
_MAKE_ANEW: Final = "have the CA make its certificate anew"
# As many as nobody lets clients in by; a system has ten times as many.
_MANY: Final = 10
# Certificates of one name whose key is tried on a signature.
_MAX_CANDIDATES: Final = 8
# The organizations in the names of most CAs that browsers and systems trust, in lower case, as they begin.
_PUBLIC_ORGANIZATIONS: Final = (
    "actalis",
    "affirmtrust",
    "amazon",
    "asseco data systems",
    "baltimore",
    "buypass",
    "certainly",
    "certsign",
    "chunghwa telecom",
    "comodo ca",
    "d-trust",
    "dhimyotis",
    "digicert",
    "emudhra",
    "entrust",
    "fnmt-rcm",
    "geotrust",
    "globalsign",
    "godaddy",
    "google trust services",
    "hellenic academic and research",
    "hongkong post",
    "identrust",
    "internet security research group",
    "izenpe",
    "krajowa izba rozliczeniowa",
    "microsec",
    "microsoft",
    "netlock",
    "network solutions",
    "quovadis",
    "secom trust",
    "sectigo",
    "securetrust",
    "ssl corp",
    "starfield technologies",
    "swisssign",
    "symantec",
    "t-systems enterprise",
    "taiwan-ca",
    "telia",
    "thawte",
    "the go daddy group",
    "the usertrust network",
    "trustwave",
    "unitrust",
    "unizeto",
    "verisign",
    "wisekey",
)
