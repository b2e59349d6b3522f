"""Path validation: chains of certificates that the input puts together, some of them good in everything.

What is accepted is judged a second time, by the signatures and extensions as pyca/cryptography reads them; what is
refused is refused in our own words, within the budget of `PathLimits`.

An input is: the purpose, the profile, the limits, and a step for each certificate, the leaf first.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from cryptography import x509

from fuzz.certificates import authority, certificate, leaf
from fuzz.decisions import Decisions, step
from fuzz.oracles import check_refusal
from tests.trust.issuing import NOW
from trustls.errors import CertificateRejected, TLSError
from trustls.trust import path as module
from trustls.trust.authorize import Authorize
from trustls.trust.certificate import Certificate, Fault
from trustls.trust.names import ServerName
from trustls.trust.path import PathLimits, Profile, Purpose, verify_path
from trustls.trust.roots import RootCertStore
from trustls.trust.verifiers import Peer, RootsClientVerifier, RootsServerVerifier

MAX_LENGTH: Final = 1024
_MOST: Final = 18
_MAX_FAILURES: Final = 32
_LIMITS: Final = (
    PathLimits(),
    PathLimits(intermediates=1, signatures=3, steps=12, name_comparisons=50),
    PathLimits(intermediates=0, signatures=1, steps=2),
    PathLimits(certificates=40, intermediates=12, steps=300, signatures=8),
)


@dataclass(slots=True)
class Work:
    """How often a verification looked at a CA certificate, and verified a signature."""

    steps: int = 0
    signatures: int = 0


_work = Work()


def _counting() -> None:
    """Let the module under test count its work."""
    ca_fault, signature_fault = vars(module)["ca_fault"], vars(module)["signature_fault"]

    @functools.wraps(ca_fault)
    def counted_ca_fault(*arguments: Any, **options: Any) -> Fault | None:
        _work.steps += 1
        fault: Fault | None = ca_fault(*arguments, **options)
        return fault

    @functools.wraps(signature_fault)
    def counted_signature_fault(issuer: Certificate, one: Certificate) -> Fault | None:
        _work.signatures += 1
        fault: Fault | None = signature_fault(issuer, one)
        return fault

    vars(module)["ca_fault"] = counted_ca_fault
    vars(module)["signature_fault"] = counted_signature_fault


_counting()


@functools.cache
def roots() -> RootCertStore:
    """Two roots, of which the second also has a certificate that the first issued."""
    return RootCertStore([authority(0, 0, 0, 0).signed(), authority(1, 1, 1, 1).signed()])


@functools.cache
def _verifiers() -> tuple[Any, ...]:
    return (
        RootsServerVerifier(roots(), ocsp="stapled"),
        RootsServerVerifier(roots(), ocsp="required", profile="webpki"),
        RootsClientVerifier(roots(), authorize=Authorize.spiffe_trust_domain("example.org")),
        RootsClientVerifier(roots(), authorize=Authorize.dns("leaf.example.com")),
    )


def check(data: bytes) -> None:
    """One chain."""
    choices = Decisions(data)
    purpose = choices.pick((Purpose.SERVER_AUTH, Purpose.CLIENT_AUTH))
    profile = choices.pick((Profile.PRIVATE, Profile.WEBPKI))
    limits = choices.pick(_LIMITS)
    staple = choices.octets(64)
    encoded = _encoded(choices)
    chain = []
    for der in encoded:
        one = _parsed(der)
        if one is None:
            return
        chain.append(one)
    _verify(tuple(chain), purpose, profile, limits)
    for verifier in _verifiers():
        _ask(verifier, tuple(chain), staple)


def _encoded(choices: Decisions) -> list[bytes]:
    """The chain: a leaf, and what each step says; its number chooses the kind of certificate, and who signs it."""
    encoded: list[bytes] = []
    for number, own in choices.steps(_MOST):
        if not encoded:
            encoded.append(certificate(leaf(number % 4, number % 4), own))
        elif number % 8 == 7:
            encoded.append(encoded[own.below(len(encoded))])
        elif number % 8 == 6:
            encoded.append(roots_der()[own.below(2)])
        else:
            # Intermediate 2 or 3, of one of the other CAs; or a root that another one has certified.
            subject = (2, 3, 2, 3, 1, 0)[number % 8]
            issuer = (0, 2, 1, 0, 0, 1)[number % 8] if number < 128 else number % 4
            draft = authority(subject, issuer, subject, issuer)
            draft.serial_number = bytes([1 + number // 8])
            encoded.append(certificate(draft, own))
    return encoded or [leaf().signed()]


@functools.cache
def roots_der() -> tuple[bytes, ...]:
    """The roots as they are sent along."""
    return tuple([one.der for one in roots()])


def _parsed(der: bytes) -> Certificate | None:
    """The certificate, with all that it says; None when it is none."""
    try:
        one = Certificate.from_der(der)
    except TLSError as error:
        check_refusal(error)
        assert isinstance(error, CertificateRejected), f"a certificate is refused with {error!r}"
        return None
    assert one.der == der
    for name in _PROPERTIES:
        try:
            getattr(one, name)
        except CertificateRejected as error:
            check_refusal(error)
    for text in (str(one), repr(one), one.title):
        assert text.isprintable(), f"it is shown as {text!r}"
    assert len(one.title) <= 300, f"a title of {len(one.title)} characters"
    return one


_PROPERTIES: Final = tuple(
    name for name, found in inspect.getmembers(Certificate) if isinstance(found, property) and name[0] != "_"
)


def _verify(chain: tuple[Certificate, ...], purpose: Purpose, profile: Profile, limits: PathLimits) -> None:
    _work.steps = _work.signatures = 0
    try:
        path = verify_path(chain, roots(), purpose=purpose, now=NOW, limits=limits, profile=profile)
    except TLSError as error:
        check_refusal(error)
        assert isinstance(error, CertificateRejected), f"a chain is refused with {error!r}"
        assert len(error.failures) <= _MAX_FAILURES
        for failure in error.failures:
            assert str(failure), "a failure that says nothing"
    else:
        judge(path, chain, purpose)
    assert _work.steps <= limits.steps, f"{_work.steps} steps of {limits.steps}"
    assert _work.signatures <= limits.signatures, f"{_work.signatures} signatures of {limits.signatures}"


def _ask(verifier: Any, chain: tuple[Certificate, ...], staple: bytes) -> None:
    """The verifiers that connections have."""
    try:
        if isinstance(verifier, RootsServerVerifier):
            peer = verifier.verify_server(chain, ServerName("leaf.example.com"), now=NOW, ocsp_response=staple)
        else:
            peer = verifier.verify_client(chain, now=NOW)
    except CertificateRejected as error:
        check_refusal(error)
        return
    assert isinstance(peer, Peer), "nothing here is asynchronous"
    by_name = isinstance(verifier, RootsServerVerifier)
    judge(peer.verified, chain, Purpose.SERVER_AUTH if by_name else Purpose.CLIENT_AUTH)
    if by_name:
        names = [name.lower() for name in peer.certificate.dns_names]
        assert "leaf.example.com" in names or "*.example.com" in names, f"the name is not in {names}"


def judge(path: tuple[Certificate, ...], chain: tuple[Certificate, ...], purpose: Purpose) -> None:
    """A second opinion on a path that was accepted."""
    assert path[0] is chain[0], "the path starts with another certificate"
    assert path[-1] in roots(), "the path does not end at a root"
    assert all(one in chain for one in path[:-1]), "a certificate came from nowhere"
    if len(path) == 2 and path[0] == path[1]:
        return
    read = [x509.load_der_x509_certificate(one.der) for one in path]
    extensions = [_read_extensions(path[0], _LEAF_JUDGED), *(_read_extensions(one, _JUDGED) for one in path[1:])]
    below = 0
    for number, one in enumerate(read):
        assert one.not_valid_before_utc.timestamp() <= NOW <= one.not_valid_after_utc.timestamp(), "out of date"
        if not number:
            continue
        read[number - 1].verify_directly_issued_by(one)
        basic = extensions[number].get(_BASIC_CONSTRAINTS)
        assert basic is not None and basic.ca, "a certificate that is no CA has issued another"
        assert basic.path_length is None or below <= basic.path_length, "the path is too long"
        below += one.subject != one.issuer
        usage = extensions[number].get(_KEY_USAGE)
        assert usage is None or usage.key_cert_sign, "a CA that may not sign certificates"
        for position, lower in enumerate(read[:number]):
            if not position or lower.subject != lower.issuer:
                _judge_names(extensions[number].get(_NAME_CONSTRAINTS), extensions[position].get(_ALTERNATIVE_NAME))
    for accepted in path:
        unknown = [oid for oid in accepted.extensions if accepted.is_critical(oid) and oid not in _KNOWN]
        assert not unknown, f"critical extensions that nobody knows: {unknown}"
    leaf_usage, purposes = extensions[0].get(_KEY_USAGE), extensions[0].get(_EXTENDED_KEY_USAGE)
    assert leaf_usage is None or leaf_usage.digital_signature, "a leaf that may not sign"
    assert purposes is None or x509.ObjectIdentifier(purpose.oid) in purposes, "a leaf for another purpose"


_KNOWN: Final = frozenset(f"2.5.29.{number}" for number in (15, 17, 19, 30, 32, 33, 37, 54))
_KEY_USAGE, _ALTERNATIVE_NAME, _BASIC_CONSTRAINTS, _NAME_CONSTRAINTS, _EXTENDED_KEY_USAGE = (
    f"2.5.29.{number}" for number in (15, 17, 19, 30, 37)
)
_NAMES: Final = (_ALTERNATIVE_NAME, _NAME_CONSTRAINTS)
_LEAF_JUDGED: Final = (_KEY_USAGE, _EXTENDED_KEY_USAGE, *_NAMES)
_JUDGED: Final = (*_LEAF_JUDGED, _BASIC_CONSTRAINTS)


def _read_extensions(one: Certificate, judged: tuple[str, ...]) -> dict[str, Any]:
    """The extensions that decide, as the other library reads them, each in a certificate that has no other.

    What an extension holds that nobody looks at is nobody's affair: so the basicConstraints of a leaf, where it is
    strict about an encoding of "no CA" that is common, and forms of names that it does not know.
    """
    found = {}
    for oid in judged:
        value = one.extension(oid)
        if value is None:
            continue
        draft = leaf()
        draft.extensions = [(oid, one.is_critical(oid), value)]
        try:
            (extension,) = x509.load_der_x509_certificate(draft.signed()).extensions
        except (ValueError, x509.UnsupportedGeneralNameType):
            if oid not in _NAMES:
                raise
            continue
        found[oid] = extension.value
    return found


def _judge_names(constraints: Any, names: Any) -> None:
    """DNS names alone, which are what most constraints are about."""
    if constraints is None or names is None:
        return
    presented = [name.lower() for name in names.get_values_for_type(x509.DNSName)]
    permitted, excluded = (
        [base.value.lower() for base in bases or () if isinstance(base, x509.DNSName)]
        for bases in (constraints.permitted_subtrees, constraints.excluded_subtrees)
    )
    for name in presented:
        assert not any(_is_below(name, base) for base in excluded), f"{name} is excluded by {excluded}"
        assert not permitted or any(_is_below(name, base) for base in permitted), f"{name} is not among {permitted}"


def _is_below(name: str, base: str) -> bool:
    return not base or name == base or name.endswith("." + base.removeprefix("."))


def seeds() -> Iterator[bytes]:
    """Good chains of each length, each with one change in each place; and crowds of CAs that certify one another."""
    starts = [bytes([purpose, profile, limits, 0]) for purpose in (0, 1) for profile in (0, 1) for limits in (0, 1)]
    chains = (
        (0,),
        (2, 0),
        (3, 1, 0),
        (3, 1, 2, 4),
        (2, 0, 2, 8, 10, 16, 18),
        (3, *range(1, 16)),
        (2, 6, 7, 0),
    )
    for chain in chains:
        for start in starts:
            yield start + b"".join(step(number) for number in chain)
    for place in range(3):
        for kind in range(16):
            for first in range(3):
                steps = [step(number) for number in (3, 1, 0)]
                steps[place] = step((3, 1, 0)[place], kind, first, 1, 0)
                yield starts[0] + b"".join(steps)
    for place, number in ((1, 1), (2, 0)):
        for extension in range(5):
            for content in range(10):
                steps = [step(one) for one in (3, 1, 0)]
                steps[place] = step(number, 6, extension, content, 0)
                yield starts[content % 4] + b"".join(steps)
    for extension in range(16):
        for content in range(4):
            for how in (6, 8):
                yield starts[0] + step(0, how, extension, content, 0, 3, 1)
                yield starts[1] + step(2) + step(0, how, extension, content, 1, 3, 1)
