"""Path validation: from a peer's certificate to a root (RFC 5280 6, with the restrictions of rustls-webpki).

The search goes from the leaf upwards through what the peer sent, in any order and with superfluous certificates among
it. Cheap checks come first, and signatures only when a path has reached a root, from the root downwards, so that what a
peer makes up costs almost nothing. All work is counted against `PathLimits`.

A root's validity is checked too. RFC 5280 leaves that open and rustls-webpki does not, but a root that is here past its
end is more likely forgotten than meant; x509-limbo, OpenSSL and Go refuse it as well.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TypeAlias

from trustls.errors import CertificateProblem, CertificateRejected, ConfigError
from trustls.trust.certificate import Certificate, Fault
from trustls.trust.profile import Profile, Purpose, ca_fault, leaf_fault, public_web_constraints_fault
from trustls.trust.roots import RootCertStore, VerifiedPath
from trustls.trust.signatures import is_verified, signature_fault
from trustls.values import dataclass
from trustls.wire.names import DistinguishedName, brief

__all__ = ["PathCheck", "PathFailure", "PathFault", "PathLimits", "Profile", "Purpose", "verify_path"]

_MAX_INTERMEDIATES = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class PathLimits:
    """How much work one verification may take; more is a hostile peer's doing.

    Attributes:
        certificates: how many certificates a peer may send.
        intermediates: how many intermediate CAs a path may have; self-issued ones are not counted, but they may not be
            more than eight.
        signatures: how many signatures are verified, successes that are remembered not counted.
        steps: how many certificates are looked at as the next one of some path.
        name_comparisons: how many names are compared with name constraints.
        checks: how many paths `check` is asked about.

    Raises:
        ConfigError: one of them is not a whole number from zero on, or there may be more than 256 intermediates.
    """

    certificates: int = 16
    intermediates: int = 8
    signatures: int = 32
    steps: int = 500
    name_comparisons: int = 65_536
    checks: int = 16

    def __post_init__(self) -> None:
        for name in self.__slots__:
            limit = getattr(self, name)
            if not isinstance(limit, int) or limit < 0:
                raise ConfigError(f"`{name}` is a number of them, not {limit!r}")
        # The search goes as deep as a path is long, and so does Python's stack.
        if self.intermediates > _MAX_INTERMEDIATES:
            raise ConfigError(f"`intermediates` is at most {_MAX_INTERMEDIATES}, not {self.intermediates}")


@dataclass(frozen=True, slots=True)
class PathFailure:
    """Why one path came to nothing.

    Attributes:
        path: the certificates from the leaf up to the one where it ended.
        certificate: the one that is at fault.
        problem: what is wrong.
        detail: the same in words.
        expected: what the check asks for, in a few words.
        found: what was there instead, in a few words.
        remedy: what the operator does about it.
    """

    path: tuple[Certificate, ...]
    certificate: Certificate
    problem: CertificateProblem
    detail: str
    expected: str = ""
    found: str = ""
    remedy: str = ""

    def __str__(self) -> str:
        return f"{' <- '.join(one.title for one in self.path)}: {self.problem.sentence}: {self.detail}"

    @property
    def fault(self) -> Fault:
        """The same without the path."""
        return Fault(self.problem, self.detail, self.expected, self.found, self.remedy)


PathFault: TypeAlias = tuple[Certificate, Fault]
"""The certificate that is at fault, and what is wrong with it."""

PathCheck: TypeAlias = Callable[[tuple[Certificate, ...]], PathFault | None]
"""Something more to ask of a path, from the leaf to the root, both included: what is wrong with it, or None."""


def verify_path(
    chain: Sequence[Certificate],
    roots: RootCertStore,
    *,
    purpose: Purpose,
    now: float,
    limits: PathLimits = PathLimits(),
    profile: Profile = Profile.PRIVATE,
    check: PathCheck | None = None,
) -> tuple[Certificate, ...]:
    """The verified path from the leaf, `chain[0]`, to a root, both included.

    Args:
        chain: what the peer sent: the leaf, then the others in any order.
        roots: the CAs that are trusted.
        purpose: what the leaf is used for.
        now: the time, in seconds since 1970.
        limits: how much work it may take.
        profile: whose rules for the form of certificates apply.
        check: what else a path must stand, such as revocation. It is asked only about a path that is good in all else,
            its signatures included; a path that it finds fault with is given up, and the search goes on to the next.

    Raises:
        CertificateRejected: there is no such path. `reason` is the most telling problem, the message a sentence about
            it, and `failures` a `PathFailure` for each path that was tried (32 at most).
    """
    if not chain:
        raise CertificateRejected(CertificateProblem.NONE_PRESENTED, remedy="send a certificate")
    second = math.floor(now)
    paths = roots.verified_paths
    key = (purpose, profile, *chain)
    known = _known_path(paths.get(key), second, limits, check)
    if known is not None:
        return known
    path = _found_path(chain, roots, purpose, second, limits, profile, check)
    if roots.verified_paths is paths:  # With roots that changed meanwhile it is not said which of them it leads to.
        not_before, not_after = max([one.not_before for one in path]), min([one.not_after for one in path])
        weight = sum([5 * len(one.der) + 2048 for one in (*chain, path[-1])])
        paths.put(key, VerifiedPath(path, not_before, not_after, limits), weight)
    return path


def _known_path(
    known: VerifiedPath | None, second: int, limits: PathLimits, check: PathCheck | None
) -> tuple[Certificate, ...] | None:
    """The path that was verified for the same certificates before, if nothing speaks against it now.

    It was found with exactly these roots, for this purpose and profile. The time is looked at, and the `check` asked,
    each time; whatever fails here is judged by a new search. It saves a handshake 15 us for each side that is verified,
    and more for a path with intermediates.
    """
    if known is None or not known.not_before <= second <= known.not_after or known.limits != limits:
        return None
    if check is not None and check(known.path) is not None:
        return None
    return known.path


def _found_path(
    chain: Sequence[Certificate],
    roots: RootCertStore,
    purpose: Purpose,
    second: int,
    limits: PathLimits,
    profile: Profile,
    check: PathCheck | None,
) -> tuple[Certificate, ...]:
    leaf = chain[0]
    if len(chain) > limits.certificates:
        raise CertificateRejected(
            CertificateProblem.CHAIN_TOO_LONG,
            f"{len(chain)} certificates, of which {limits.certificates} are accepted",
            expected=f"at most {limits.certificates} certificates",
            found=str(len(chain)),
            remedy=_SEND_LESS,
        )
    # Who trusts a self-signed certificate by itself has `openssl req -x509` make it, which says CA:TRUE: its key could
    # issue any other certificate as well, so nothing is gained by refusing the one that is trusted (and Go takes it).
    pinned = profile is Profile.PRIVATE and leaf.is_self_issued and leaf in roots
    fault = leaf_fault(leaf, purpose, second, profile, pinned)
    if fault is not None:
        raise fault.rejection(leaf, (PathFailure((leaf,), leaf, *fault),))
    search = _Search(chain, roots, purpose, second, limits, profile, check)
    try:
        path = search.pinned(leaf) if pinned else search.extend((leaf,), 0)
    except _Exhausted as exhausted:
        raise exhausted.fault.rejection(None, tuple(search.failures)) from None
    if path is None:
        best = search.most_telling()
        raise best.fault.rejection(best.certificate, tuple(search.failures))
    return path


class _Exhausted(Exception):
    """The work allowed is used up."""

    def __init__(self, limit: int, work: str, remedy: str) -> None:
        self.fault = Fault(
            CertificateProblem.BUDGET_EXHAUSTED,
            f"more than {limit} {work}",
            expected=f"at most {limit} {work}",
            found="more",
            remedy=remedy,
        )
        super().__init__(self.fault.detail)


class _Search:
    """One depth-first search for a path."""

    __slots__ = (
        "by_subject",
        "check",
        "checks",
        "comparisons",
        "failures",
        "limits",
        "profile",
        "purpose",
        "refuted",
        "roots",
        "second",
        "signatures",
        "steps",
    )

    def __init__(
        self,
        chain: Sequence[Certificate],
        roots: RootCertStore,
        purpose: Purpose,
        second: int,
        limits: PathLimits,
        profile: Profile,
        check: PathCheck | None,
    ) -> None:
        self.roots = roots
        self.purpose = purpose
        self.second = second
        self.limits = limits
        self.profile = profile
        self.check = check
        self.by_subject: dict[bytes, list[Certificate]] = {}
        for certificate in dict.fromkeys(chain[1:]):
            self.by_subject.setdefault(certificate.subject.der, []).append(certificate)
        self.failures: list[PathFailure] = []
        self.refuted: dict[tuple[bytes, bytes], Fault] = {}
        self.steps = 0
        self.signatures = 0
        self.comparisons = 0
        self.checks = 0

    def pinned(self, leaf: Certificate) -> tuple[Certificate, ...] | None:
        """The path of a leaf that is itself a root: it stands there as both."""
        path = (leaf, leaf)
        fault = self.chain_fault(path)
        if fault is None:
            return path
        self.note(path, *fault)
        return None

    def extend(self, path: tuple[Certificate, ...], intermediates: int) -> tuple[Certificate, ...] | None:
        """The verified path that starts with `path`, with so many intermediate CAs in it; None if none is."""
        current = path[-1]
        seen = looped = False
        roots = self.roots.named(current.issuer)
        for root in _likely_first(roots, current):
            seen = True
            self.step()
            complete = (*path, root)
            fault = ca_fault(root, self.purpose, self.second, self.profile, intermediates, is_root=True)
            found = (root, fault) if fault is not None else self.chain_fault(complete)
            if found is None:
                return complete
            self.note(complete, *found)
        sent = self.by_subject.get(current.issuer.der, ())
        # A crowd is left as it is: to sort it again at every step of a path would cost more than the steps.
        for candidate in _likely_first(sent, current) if len(sent) <= _MAX_SORTED else sent:
            self.step()
            # The same name with the same key a second time leads nowhere new.
            if any(one.subject.der == candidate.subject.der and one.spki == candidate.spki for one in path):
                looped = True
                continue
            if candidate in roots:
                continue  # It was tried above.
            seen = True
            longer = (*path, candidate)
            below = intermediates + (not candidate.is_self_issued)
            fault = ca_fault(candidate, self.purpose, self.second, self.profile, intermediates, is_root=False)
            if fault is None and (below > self.limits.intermediates or len(path) > below + _MAX_SELF_ISSUED):
                fault = self.too_long(candidate)
            if fault is not None:
                self.note(longer, candidate, fault)
                continue
            complete_path = self.extend(longer, below)
            if complete_path is not None:
                return complete_path
        if not seen:
            self.note_unknown_issuer(path, looped)
        return None

    def step(self) -> None:
        self.steps += 1
        if self.steps > self.limits.steps:
            raise _Exhausted(self.limits.steps, "certificates to try", _SEND_LESS)

    def too_long(self, candidate: Certificate) -> Fault:
        most = self.limits.intermediates
        return Fault(
            CertificateProblem.PATH_TOO_LONG,
            f"the path over {candidate.title} has more than {most} intermediate CAs",
            expected=f"at most {most} intermediate CAs, and {_MAX_SELF_ISSUED} self-issued ones",
            found="more",
            remedy="issue from a CA nearer to a root, or put one of the intermediate CAs into the roots here",
        )

    def chain_fault(self, path: tuple[Certificate, ...]) -> PathFault | None:
        """What is wrong with a path that has reached its root: signatures, then names, then what the caller checks.

        With the signatures first, what a peer makes up costs a signature for each path, and nothing more.
        """
        return self.signatures_fault(path) or self.names_fault(path) or self.checked_fault(path)

    def names_fault(self, path: tuple[Certificate, ...]) -> PathFault | None:
        """RFC 5280 6.1.3 (b), (c): what the name constraints of its CAs do not permit."""
        for index in range(len(path) - 1, 0, -1):
            ca = path[index]
            constraints = ca.name_constraints
            if constraints is None:
                continue
            # Few CAs have any, and it takes a while to import.
            from trustls.trust.constraints import comparisons, constrained_names, constraint_fault

            fault = public_web_constraints_fault(ca) if self.profile is Profile.WEBPKI else None
            if fault is not None:
                return ca, fault
            for position, certificate in enumerate(path[:index]):
                # RFC 5280 4.2.1.10: not applied to a self-issued certificate, unless it is the leaf.
                if position and certificate.is_self_issued:
                    continue
                names = constrained_names(certificate)
                self.comparisons += comparisons(names, constraints)
                if self.comparisons > self.limits.name_comparisons:
                    raise _Exhausted(
                        self.limits.name_comparisons,
                        "names to compare with name constraints",
                        "issue certificates with fewer names, or CA certificates with fewer name constraints",
                    )
                fault = constraint_fault(ca, certificate, names)
                if fault is not None:
                    return certificate, fault
        return None

    def signatures_fault(self, path: tuple[Certificate, ...]) -> PathFault | None:
        for index in range(len(path) - 1, 0, -1):
            fault = self.signature_fault(path[index], path[index - 1])
            if fault is not None:
                return path[index - 1], fault
        return None

    def checked_fault(self, path: tuple[Certificate, ...]) -> PathFault | None:
        if self.check is None:
            return None
        self.checks += 1
        if self.checks > self.limits.checks:
            raise _Exhausted(self.limits.checks, "paths to check", _SEND_LESS)
        return self.check(path)

    def signature_fault(self, issuer: Certificate, certificate: Certificate) -> Fault | None:
        if is_verified(issuer, certificate):
            return None
        pair = issuer.spki, certificate.der
        fault = self.refuted.get(pair)
        if fault is None:
            self.signatures += 1
            if self.signatures > self.limits.signatures:
                raise _Exhausted(self.limits.signatures, "signatures to verify", _SEND_LESS)
            fault = signature_fault(issuer, certificate)
            if fault is not None:
                self.refuted[pair] = fault
        return fault

    def note(self, path: tuple[Certificate, ...], certificate: Certificate, fault: Fault) -> None:
        """Keep what ended a path; beyond the first few, only what tells more than all of them."""
        if len(self.failures) >= _MAX_FAILURES:
            if _RANK.get(fault.problem, _PLAIN_RANK) <= max(_rank(one)[0] for one in self.failures):
                return
            self.failures.pop()
        self.failures.append(PathFailure(path, certificate, *fault))

    def note_unknown_issuer(self, path: tuple[Certificate, ...], looped: bool) -> None:
        """Keep that the last certificate of a path has no issuer, or none that does not stand below it already."""
        if len(self.failures) < _MAX_FAILURES:
            self.note(path, path[-1], self.unknown_issuer(path, looped))

    def most_telling(self) -> PathFailure:
        """The failure that says most: one found on the way beats an issuer not found, and further up beats lower."""
        return max(self.failures, key=_rank)

    def unknown_issuer(self, path: tuple[Certificate, ...], looped: bool) -> Fault:
        last = path[-1]
        issuer = brief(last.issuer)
        subject = f"{self.purpose.bearer} {path[0].title}"
        if len(path) > 1:
            subject = f"{last.title}, in the chain of {subject},"
        remedy = f"put {issuer} into the roots here, if it is to be trusted"
        if last.is_self_issued:
            what = "is self-issued, and is not a root here"
            if len(path) == 1:
                remedy += "; or use a certificate that a root here issued"
        elif looped:
            what = f"was issued by {issuer}, which stands below it already: these CAs certify one another"
        elif self.reads_like_a_root(last.issuer):
            what = (
                f"was issued by {issuer}, and a root here reads the same, but the bytes of the two names differ: they "
                "are encoded in another way"
            )
            remedy = f"issue {last.title} anew with the name of the CA copied from its certificate, byte for byte"
        else:
            what = f"was issued by {issuer}, which is neither a root here nor among the certificates it sent"
            remedy += "; if it is an intermediate CA, let the peer send its certificate along"
        return Fault(
            CertificateProblem.UNKNOWN_ISSUER,
            f"{subject} {what}; {_listed(self.roots.subjects())}",
            expected="a path to a root here",
            found=f"issued by {issuer}",
            remedy=remedy,
        )

    def reads_like_a_root(self, issuer: DistinguishedName) -> bool:
        return _folded(issuer) in _all_folded(self.roots.subjects()[:_MAX_LOOKALIKES])


def _likely_first(candidates: Sequence[Certificate], current: Certificate) -> Sequence[Certificate]:
    """Candidates of one name, those first whose key is the one that `current` says it was signed with."""
    # RFC 4158 3.5.12. It is a hint, which saves signatures where a CA was renewed, or many have one name: the CA of
    # every cluster of Kubernetes is CN=kubernetes, and servers may trust a hundred of them.
    if len(candidates) < 2:
        return candidates
    wanted = current.authority_key_identifier
    if wanted is None:
        return candidates
    return sorted(candidates, key=lambda one: not (one.extension("2.5.29.14") or b"").endswith(wanted))


def _listed(names: tuple[DistinguishedName, ...]) -> str:
    if not names:
        return "there are no roots here"
    shown_names = ", ".join(brief(name) for name in names[:_MAX_LISTED])
    more = f" and {len(names) - _MAX_LISTED} more" if len(names) > _MAX_LISTED else ""
    return f"roots here: {shown_names}{more}"


def _folded(name: DistinguishedName) -> str:
    return " ".join(brief(name).casefold().split())


# Whoever comes with a certificate of an unknown CA has the names of the roots put into words.
@lru_cache(maxsize=8)
def _all_folded(names: tuple[DistinguishedName, ...]) -> frozenset[str]:
    return frozenset(map(_folded, names))


def _rank(failure: PathFailure) -> tuple[int, int]:
    return _RANK.get(failure.problem, _PLAIN_RANK), len(failure.path)


# What is a property of one certificate tells more than a name or a key that did not lead on, and less than that the CA
# itself took a certificate back.
_RANK = {CertificateProblem.UNKNOWN_ISSUER: 0, CertificateProblem.BAD_SIGNATURE: 1, CertificateProblem.REVOKED: 3}
_PLAIN_RANK = 2
_SEND_LESS = "let the peer send its certificate and the CA certificates between that and a root, each once"
_MAX_FAILURES = 32
_MAX_LISTED = 8
_MAX_LOOKALIKES = 256
_MAX_SELF_ISSUED = 8
_MAX_SORTED = 32
