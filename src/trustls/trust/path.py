"""Path validation: from a peer's certificate to a root (RFC 5280 6, with the restrictions of rustls-webpki).

The search goes from the leaf upwards through what the peer sent, in any order and with superfluous certificates among
it. Cheap checks come first, and signatures only when a path has reached a root, from the root downwards, so that what a
peer makes up costs almost nothing. All work is counted against `PathLimits`.

A root's validity is checked too. RFC 5280 leaves that open and rustls-webpki does not, but a root that is here past its
end is more likely forgotten than meant; x509-limbo, OpenSSL and Go refuse it as well.
"""

from __future__ import annotations

import datetime
import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass

from trustls.errors import CertificateProblem, CertificateRejected
from trustls.trust.certificate import Certificate, Fault
from trustls.trust.constraints import comparisons, constrained_names, constraint_fault
from trustls.trust.roots import RootCertStore
from trustls.trust.signatures import is_verified, key_fault, signature_fault
from trustls.wire.names import DistinguishedName, brief


class Purpose(enum.Enum):
    """What the leaf certificate is used for (RFC 5280 4.2.1.12), and whose certificate that is."""

    SERVER_AUTH = ("1.3.6.1.5.5.7.3.1", "the server's certificate", "serverAuth")
    CLIENT_AUTH = ("1.3.6.1.5.5.7.3.2", "the client's certificate", "clientAuth")

    def __init__(self, oid: str, bearer: str, label: str) -> None:
        self.oid = oid
        self.bearer = bearer
        self.label = label


@dataclass(frozen=True, slots=True, kw_only=True)
class PathLimits:
    """How much work one verification may take; more is a hostile peer's doing.

    Attributes:
        certificates: how many certificates a peer may send.
        intermediates: how many intermediate CAs a path may have, self-issued ones not counted.
        signatures: how many signatures are verified, successes that are remembered not counted.
        steps: how many certificates are tried as the next one of some path.
        name_comparisons: how many names are compared with name constraints.
    """

    certificates: int = 16
    intermediates: int = 8
    signatures: int = 32
    steps: int = 500
    name_comparisons: int = 8192


@dataclass(frozen=True, slots=True)
class PathFailure:
    """Why one path came to nothing.

    Attributes:
        path: the certificates from the leaf up to the one where it ended.
        certificate: the one that is at fault.
        problem: what is wrong.
        detail: the same in words.
    """

    path: tuple[Certificate, ...]
    certificate: Certificate
    problem: CertificateProblem
    detail: str

    def __str__(self) -> str:
        return f"{' <- '.join(one.title for one in self.path)}: {self.problem.sentence}: {self.detail}"


def verify_path(
    chain: Sequence[Certificate],
    roots: RootCertStore,
    *,
    purpose: Purpose,
    now: float,
    limits: PathLimits = PathLimits(),
) -> tuple[Certificate, ...]:
    """The verified path from the leaf, `chain[0]`, to a root, both included.

    Args:
        chain: what the peer sent: the leaf, then the others in any order.
        roots: the CAs that are trusted.
        purpose: what the leaf is used for.
        now: the time, in seconds since 1970.
        limits: how much work it may take.

    Raises:
        CertificateRejected: there is no such path. `reason` is the most telling problem, the message a sentence about
            it, and `failures` a `PathFailure` for each path that was tried (32 at most).
    """
    if not chain:
        raise CertificateRejected(CertificateProblem.NONE_PRESENTED)
    leaf = chain[0]
    if len(chain) > limits.certificates:
        raise CertificateRejected(
            CertificateProblem.CHAIN_TOO_LONG, f"{len(chain)} certificates, of which {limits.certificates} are accepted"
        )
    second = math.floor(now)
    fault = _leaf_fault(leaf, purpose, second)
    if fault is not None:
        failure = PathFailure((leaf,), leaf, *fault)
        raise CertificateRejected(*fault, failures=(failure,))
    search = _Search(chain, roots, purpose, second, limits)
    try:
        path = search.extend((leaf,), 0)
    except _Exhausted as exhausted:
        raise CertificateRejected(
            CertificateProblem.BUDGET_EXHAUSTED, str(exhausted), failures=tuple(search.failures)
        ) from None
    if path is None:
        best = search.most_telling()
        raise CertificateRejected(best.problem, best.detail, failures=tuple(search.failures))
    return path


class _Exhausted(Exception):
    """The work allowed is used up."""


class _Search:
    """One depth-first search for a path."""

    __slots__ = (
        "by_subject",
        "comparisons",
        "failures",
        "limits",
        "purpose",
        "refuted",
        "roots",
        "second",
        "signatures",
        "steps",
    )

    def __init__(
        self, chain: Sequence[Certificate], roots: RootCertStore, purpose: Purpose, second: int, limits: PathLimits
    ) -> None:
        self.roots = roots
        self.purpose = purpose
        self.second = second
        self.limits = limits
        self.by_subject: dict[bytes, list[Certificate]] = {}
        for certificate in chain[1:]:
            self.by_subject.setdefault(certificate.subject.der, []).append(certificate)
        self.failures: list[PathFailure] = []
        self.refuted: dict[tuple[bytes, bytes], Fault] = {}
        self.steps = 0
        self.signatures = 0
        self.comparisons = 0

    def extend(self, path: tuple[Certificate, ...], intermediates: int) -> tuple[Certificate, ...] | None:
        """The verified path that starts with `path`, with so many intermediate CAs in it; None if none is."""
        current = path[-1]
        found = False
        for root in self.roots.named(current.issuer):
            found = True
            self.step()
            complete = (*path, root)
            fault = _ca_fault(root, self.purpose, self.second, intermediates) or self.chain_fault(complete)
            if fault is None:
                return complete
            self.note(complete, root, fault)
        for candidate in self.by_subject.get(current.issuer.der, ()):
            # The same name with the same key a second time leads nowhere new.
            if any(one.subject.der == candidate.subject.der and one.spki == candidate.spki for one in path):
                continue
            found = True
            self.step()
            longer = (*path, candidate)
            below = intermediates + (not candidate.is_self_issued)
            fault = _ca_fault(candidate, self.purpose, self.second, intermediates)
            if fault is None and not candidate.serial_number:
                fault = _no_serial_number(candidate)
            if fault is None and below > self.limits.intermediates:
                fault = Fault(
                    CertificateProblem.PATH_TOO_LONG,
                    f"the path over {candidate.title} has more than {self.limits.intermediates} intermediate CAs",
                )
            if fault is not None:
                self.note(longer, candidate, fault)
                continue
            complete_path = self.extend(longer, below)
            if complete_path is not None:
                return complete_path
        if not found:
            self.note(path, current, None)
        return None

    def step(self) -> None:
        self.steps += 1
        if self.steps > self.limits.steps:
            raise _Exhausted(f"more than {self.limits.steps} certificates to try")

    def chain_fault(self, path: tuple[Certificate, ...]) -> Fault | None:
        """What is wrong with a path that has reached its root: names (RFC 5280 6.1.4 (g)), then signatures."""
        for index in range(len(path) - 1, 0, -1):
            constraints = path[index].name_constraints
            if constraints is None:
                continue
            for position, certificate in enumerate(path[:index]):
                # RFC 5280 4.2.1.10: not applied to a self-issued certificate, unless it is the leaf.
                if position and certificate.is_self_issued:
                    continue
                self.comparisons += comparisons(certificate, constraints)
                if self.comparisons > self.limits.name_comparisons:
                    raise _Exhausted(f"more than {self.limits.name_comparisons} names to compare with name constraints")
                fault = constraint_fault(path[index], certificate, constrained_names(certificate))
                if fault is not None:
                    return fault
        for index in range(len(path) - 1, 0, -1):
            fault = self.signature_fault(path[index], path[index - 1])
            if fault is not None:
                return fault
        return None

    def signature_fault(self, issuer: Certificate, certificate: Certificate) -> Fault | None:
        if is_verified(issuer, certificate):
            return None
        pair = issuer.spki, certificate.der
        fault = self.refuted.get(pair)
        if fault is None:
            self.signatures += 1
            if self.signatures > self.limits.signatures:
                raise _Exhausted(f"more than {self.limits.signatures} signatures to verify")
            fault = signature_fault(issuer, certificate)
            if fault is not None:
                self.refuted[pair] = fault
        return fault

    def note(self, path: tuple[Certificate, ...], certificate: Certificate, fault: Fault | None) -> None:
        """Keep what ended a path; None for the issuer that was not found."""
        # Beyond the first few, only one that tells more than all of them is worth its text.
        if len(self.failures) >= _MAX_FAILURES:
            if fault is None or _RANK.get(fault.problem, 2) <= max(_rank(one)[0] for one in self.failures):
                return
            self.failures.pop()
        if fault is None:
            fault = Fault(CertificateProblem.UNKNOWN_ISSUER, self.unknown_issuer(path))
        self.failures.append(PathFailure(path, certificate, *fault))

    def most_telling(self) -> PathFailure:
        """The failure that says most: one found on the way beats an issuer not found, and further up beats lower."""
        return max(self.failures, key=_rank)

    def unknown_issuer(self, path: tuple[Certificate, ...]) -> str:
        last = path[-1]
        subject = f"{self.purpose.bearer} {path[0].title}"
        if len(path) > 1:
            subject = f"{last.title}, in the chain of {subject},"
        if last.is_self_issued:
            found = "is self-issued, and is not a root here"
        else:
            found = (
                f"was issued by {brief(last.issuer)}, which is neither a root here nor among the certificates it sent"
            )
        return f"{subject} {found}; {_listed(self.roots.subjects())}"


def _leaf_fault(leaf: Certificate, purpose: Purpose, second: int) -> Fault | None:
    """What is wrong with the leaf on its own account (RFC 5280 6.1.3, 4.2.1.3, 4.2.1.12)."""
    if not leaf.not_before <= second <= leaf.not_after:
        return _validity_fault(leaf, second, purpose.bearer)
    fault = leaf.fault
    if fault is not None:
        return fault
    if leaf.is_ca:
        return Fault(
            CertificateProblem.CA_AS_END_ENTITY,
            f"{purpose.bearer} {leaf.title} is that of a CA (CA:TRUE): use one that the CA issued",
        )
    usage = leaf.key_usage_bits
    if usage is not None and usage & (_DIGITAL_SIGNATURE | _KEY_CERT_SIGN) != _DIGITAL_SIGNATURE:
        if usage & _KEY_CERT_SIGN:
            # RFC 5280 4.2.1.9: no keyCertSign without cA.
            return Fault(CertificateProblem.WRONG_KEY_USAGE, f"{leaf.title} has keyCertSign, but is not a CA")
        return Fault(CertificateProblem.WRONG_KEY_USAGE, f"{purpose.bearer} {leaf.title} lacks digitalSignature")
    purposes = leaf.extended_key_usage
    if purposes is not None and purpose.oid not in purposes:
        return Fault(
            CertificateProblem.WRONG_PURPOSE,
            f"{purpose.bearer} {leaf.title} lacks {purpose.label}; it is for {_purposes(purposes)}",
        )
    if leaf.name_constraints is not None:
        return Fault(CertificateProblem.MALFORMED, f"{leaf.title} has name constraints, but is not a CA")
    if not leaf.serial_number:
        return _no_serial_number(leaf)
    return key_fault(leaf)


def _ca_fault(ca: Certificate, purpose: Purpose, second: int, intermediates: int) -> Fault | None:
    """What forbids a CA to stand above so many intermediate CAs (RFC 5280 6.1.4)."""
    if not ca.not_before <= second <= ca.not_after:
        return _validity_fault(ca, second, "the CA certificate")
    fault = ca.fault
    if fault is not None:
        return fault
    if not ca.is_ca:
        return Fault(
            CertificateProblem.NOT_A_CA, f"{ca.title} stands as an issuer, but its basicConstraints do not say CA:TRUE"
        )
    usage = ca.key_usage_bits
    if usage is not None and not usage & _KEY_CERT_SIGN:
        return Fault(CertificateProblem.WRONG_KEY_USAGE, f"the CA certificate {ca.title} lacks keyCertSign")
    purposes = ca.extended_key_usage
    # A CA's purposes limit those of what it issues: not in RFC 5280, but everybody's practice.
    if purposes is not None and purpose.oid not in purposes and _ANY_PURPOSE not in purposes:
        return Fault(
            CertificateProblem.WRONG_PURPOSE,
            f"the CA {ca.title} may not issue for {purpose.label}, only for {_purposes(purposes)}",
        )
    path_length = ca.path_length
    if path_length is not None and intermediates > path_length:
        return Fault(
            CertificateProblem.PATH_TOO_LONG,
            f"the CA {ca.title} allows {path_length} intermediate CAs below it, here are {intermediates}",
        )
    return key_fault(ca)


def _validity_fault(certificate: Certificate, second: int, who: str) -> Fault:
    try:
        clock = f"{_EPOCH + datetime.timedelta(seconds=second):%Y-%m-%d %H:%M:%S}"
    except OverflowError:
        clock = "out of range"
    if second > certificate.not_after:
        end = f"{certificate.not_after_utc:%Y-%m-%d %H:%M:%S}"
        return Fault(
            CertificateProblem.EXPIRED, f"{who} {certificate.title} ended {end} UTC; the clock here says {clock}"
        )
    start = f"{certificate.not_before_utc:%Y-%m-%d %H:%M:%S}"
    return Fault(
        CertificateProblem.NOT_YET_VALID, f"{who} {certificate.title} begins {start} UTC; the clock here says {clock}"
    )


def _no_serial_number(certificate: Certificate) -> Fault:
    # RFC 5280 4.1.2.2 forbids zero. Old roots have it, and may.
    return Fault(CertificateProblem.MALFORMED, f"{certificate.title} has the serial number zero")


def _purposes(purposes: tuple[str, ...]) -> str:
    return ", ".join(_PURPOSE_LABELS.get(oid, oid) for oid in purposes[:8])


def _listed(names: tuple[DistinguishedName, ...]) -> str:
    if not names:
        return "there are no roots here"
    shown_names = ", ".join(brief(name) for name in names[:_MAX_LISTED])
    more = f" and {len(names) - _MAX_LISTED} more" if len(names) > _MAX_LISTED else ""
    return f"roots here: {shown_names}{more}"


def _rank(failure: PathFailure) -> tuple[int, int]:
    return _RANK.get(failure.problem, 2), len(failure.path)


# What is a property of one certificate tells more than a name or a key that did not lead on.
_RANK = {CertificateProblem.UNKNOWN_ISSUER: 0, CertificateProblem.BAD_SIGNATURE: 1}
_MAX_FAILURES = 32
_MAX_LISTED = 8
_DIGITAL_SIGNATURE = 1 << 0
_KEY_CERT_SIGN = 1 << 5
_ANY_PURPOSE = "2.5.29.37.0"
_PURPOSE_LABELS = {
    _ANY_PURPOSE: "anyExtendedKeyUsage",
    "1.3.6.1.5.5.7.3.1": "serverAuth",
    "1.3.6.1.5.5.7.3.2": "clientAuth",
    "1.3.6.1.5.5.7.3.3": "codeSigning",
    "1.3.6.1.5.5.7.3.4": "emailProtection",
    "1.3.6.1.5.5.7.3.8": "timeStamping",
    "1.3.6.1.5.5.7.3.9": "OCSPSigning",
}
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
