"""Stapled OCSP responses: what a CA says about one certificate, handed over by its holder (RFC 6960, RFC 6066 8).

A response comes from the peer, so whatever is wrong with it is a `Fault`. It is read here, by position, and by
pyca/cryptography as well, so that nothing is accepted that only one of the two can read.
"""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING, Final, NamedTuple

from cryptography.x509 import ocsp

from trustls.errors import CertificateProblem, CertificateRejected, ConfigError, DecodeError
from trustls.trust.cache import BoundedCache
from trustls.trust.certificate import Certificate, Fault
from trustls.trust.crl import RevocationReason, revoked_fault, utc
from trustls.trust.extensions import KeyUsage, extension_list, malformed, seconds
from trustls.trust.signatures import data_fault, key_fault, signature_fault
from trustls.wire import der as _der
from trustls.wire.names import DistinguishedName, brief

if TYPE_CHECKING:
    from trustls.trust.revocation import Revocation

MAX_AGE: Final = 86_400.0
"""How old a response without nextUpdate may be, in seconds."""

MAX_SKEW: Final = 300
"""How far the clocks of the CA and of this side may be apart, in seconds."""


def requires_staple(certificate: Certificate) -> bool:
    """Whether a certificate demands that its holder staples an OCSP response: "must-staple" (RFC 7633).

    One whose TLS feature extension cannot be read demands it, too. A CA demands it of all that it issues.
    """
    value = certificate.extension(_TLS_FEATURE)
    if value is None:
        return False
    try:
        features = _der.children(value, *_der.whole(value, _der.SEQUENCE))
        return any(tag != _der.INTEGER or _der.unsigned(value, *at) == _STATUS_REQUEST for tag, *at in features)
    except DecodeError:
        return True


def stapled_answer(
    response: bytes,
    path: tuple[Certificate, ...],
    *,
    policy: str,
    now: float,
    revocation: Revocation | None = None,
) -> tuple[Fault | None, bool]:
    """What a stapled response, or the lack of one, means for the leaf of a verified path.

    Args:
        response: the OCSPResponse as it came; empty when none came.
        path: from the leaf to the root, both included, with every signature verified.
        policy: "stapled" refuses a response that proves nothing, and the lack of one where the leaf demands it, or a CA
            above it for all that is below; "required" refuses the lack of one always; "off" looks at nothing.
        now: the time, in seconds since 1970.
        revocation: the CRLs that a responder of the CA is looked up in, if there are any.

    Returns:
        What is wrong with the leaf, if anything; and whether it is known to be good.

    Raises:
        ConfigError: there is no such policy.
    """
    if policy not in ("off", "stapled", "required"):
        raise ConfigError(f"a policy for OCSP is 'off', 'stapled' or 'required', not {policy!r}")
    if policy == "off":
        return None, False
    if response:
        fault = staple_fault(response, path, now=now, revocation=revocation)
        return fault, fault is None
    leaf = path[0]
    # RFC 7633 4.2.2: what a CA's certificate demands holds for all that the CA issues.
    demanding = next((one for one in path if requires_staple(one)), None)
    if demanding is leaf:
        why = f"{leaf.title} may be used with a stapled OCSP response only (must-staple, RFC 7633), and none came"
    elif demanding is not None:
        why = (
            f"what the CA {demanding.title} issues may be used with a stapled OCSP response only (must-staple, "
            f"RFC 7633), and none came with {leaf.title}"
        )
    elif policy == "required":
        why = f"none came with {leaf.title}"
    else:
        return None, False
    return Fault(
        CertificateProblem.STAPLE_MISSING,
        why,
        expected="a stapled OCSP response",
        found="none",
        remedy="let the peer staple one that it fetched from the responder of its CA",
    ), False


def staple_fault(
    response: bytes,
    path: tuple[Certificate, ...],
    *,
    now: float,
    max_age: float = MAX_AGE,
    revocation: Revocation | None = None,
) -> Fault | None:
    """Why a stapled response does not prove that the leaf of a verified path is good; None when it does.

    It proves that when it is for this certificate of this issuer, signed by the issuer or by a responder that the
    issuer certified for that (RFC 6960 4.2.2.2), and current. A responder that a CRL here lists is not believed, its
    id-pkix-ocsp-nocheck or not; one that no CRL here covers is (RFC 6960 4.2.2.2.1 leaves that open).

    Args:
        response: the OCSPResponse as it came.
        path: from the leaf to the root, both included, with every signature verified; two at least.
        now: the time, in seconds since 1970.
        max_age: how old a response without nextUpdate may be, in seconds.
        revocation: the CRLs that a responder is looked up in, if there are any.
    """
    leaf, issuer = path[0], path[1]
    try:
        parsed = _parsed(response)
        answers = [one for one in parsed.answers if one.is_for(leaf, issuer)]
    except DecodeError as error:
        return _bad(
            f"the OCSP response stapled to {leaf.title} cannot be used: {error.detail}",
            expected="a well-formed OCSPResponse that is successful",
            found="one that is not",
        )
    if not answers:
        return _is_for_another(leaf)
    second = math.floor(now)
    fault = _signature_fault(parsed, response, path, second, revocation)
    if fault is not None:
        return fault
    faults = [_answer_fault(answer, leaf, second, max_age) for answer in answers]
    for fault in faults:
        if fault is not None and fault.problem is CertificateProblem.REVOKED:
            return fault
    return None if None in faults else faults[0]


def check_own_staple(response: bytes, leaf: Certificate, issuer: Certificate | None, now: float) -> list[str]:
    """What peers will not like about a response that this side is to staple to its own certificate; nothing if good.

    Args:
        response: the OCSPResponse.
        leaf: the own certificate.
        issuer: that of its CA, where it is known; without it the response's signature cannot be checked.
        now: the time, in seconds since 1970.
    """
    if issuer is not None:
        fault = staple_fault(response, (leaf, issuer), now=now)
        return [] if fault is None else [fault.detail]
    try:
        answers = [one for one in _parsed(response).answers if one.is_for(leaf, None)]
    except DecodeError as error:
        return [f"the OCSP response for {leaf.title} cannot be used: {error.detail}"]
    if not answers:
        return [_is_for_another(leaf).detail]
    found = [_answer_fault(answer, leaf, math.floor(now), MAX_AGE) for answer in answers]
    return [] if None in found else [fault.detail for fault in found if fault is not None]


class _Answer(NamedTuple):
    """SingleResponse, RFC 6960 4.2.1."""

    hash_name: str
    issuer_name_hash: bytes
    issuer_key_hash: bytes
    serial_number: int
    good: bool
    revoked: tuple[int, RevocationReason | None] | None
    this_update: int
    next_update: int | None

    def is_for(self, leaf: Certificate, issuer: Certificate | None) -> bool:
        """Whether this is about that certificate; of an issuer that is not given only the name is compared."""
        if self.serial_number != leaf.serial_number or not self.hash_name:
            return False
        if self.issuer_name_hash != _hash(self.hash_name, leaf.issuer.der):
            return False
        return issuer is None or self.issuer_key_hash == _hash(self.hash_name, _key_bits(issuer))


class _Response(NamedTuple):
    """BasicOCSPResponse, RFC 6960 4.2.1."""

    tbs: bytes
    responder_name: bytes | None
    responder_key_hash: bytes | None
    answers: tuple[_Answer, ...]
    algorithm: bytes
    signature: bytes
    certificates: tuple[bytes, ...]

    def is_by(self, certificate: Certificate) -> bool:
        """Whether its ResponderID names that certificate's subject or key."""
        if self.responder_name is not None:
            return self.responder_name == certificate.subject.der
        # RFC 6960 4.2.1: KeyHash is a SHA-1. It identifies; the signature proves.
        return self.responder_key_hash == _hash("sha1", _key_bits(certificate))

    @property
    def responder(self) -> str:
        """The ResponderID as text, for messages."""
        if self.responder_name is not None:
            return brief(DistinguishedName(self.responder_name))
        return f"a responder with the key {(self.responder_key_hash or b'').hex()}"


def _parsed(response: bytes) -> _Response:
    """The BasicOCSPResponse in an OCSPResponse; DecodeError for anything that is not a successful one."""
    if len(response) > _MAX_RESPONSE:
        raise malformed(f"it has more than {_MAX_RESPONSE >> 10} KiB")
    der = bytes(response)
    expect = _der.expect
    at, end = _der.whole(der, _der.SEQUENCE)
    start, stop = expect(der, at, end, _ENUMERATED)
    status = _der.unsigned(der, start, stop)
    if status:
        raise malformed(f"the responder gave an error in place of an answer: {_STATUS_NAMES.get(status, status)}")
    start, stop = expect(der, stop, end, 0xA0)
    at, inner_stop = expect(der, start, stop, _der.SEQUENCE)
    start, oid_stop = expect(der, at, inner_stop, _der.OBJECT_IDENTIFIER)
    if der[start:oid_stop] != _BASIC_RESPONSE:
        raise malformed("it is not a basic response")
    start, octets_stop = expect(der, oid_stop, inner_stop, _der.OCTET_STRING)
    if not octets_stop == inner_stop == stop == end:
        raise malformed("bytes follow the response")
    basic = _basic_response(der[start:octets_stop])
    try:
        ocsp.load_der_ocsp_response(der)
    except (ValueError, TypeError) as error:
        raise malformed(str(error)) from None
    return basic


def _basic_response(der: bytes) -> _Response:
    expect = _der.expect
    tbs_start, end = _der.whole(der, _der.SEQUENCE)
    at, tbs_stop = expect(der, tbs_start, end, _der.SEQUENCE)
    _, algorithm_stop = expect(der, tbs_stop, end, _der.SEQUENCE)
    signature_start, signature_stop = expect(der, algorithm_stop, end, _der.BIT_STRING)
    if signature_start == signature_stop or der[signature_start] != 0:
        raise malformed("the signature is not a whole number of bytes")
    certificates: tuple[bytes, ...] = ()
    if signature_stop < end:
        start, stop = _explicit(der, signature_stop, end, 0xA0, _der.SEQUENCE)
        if stop != end:
            raise malformed("bytes follow the certificates")
        certificates = _elements(der, start, stop)

    if at < tbs_stop and der[at] == 0xA0:
        start, at = _explicit(der, at, tbs_stop, 0xA0, _der.INTEGER)
        if der[start:at] != b"\x00":
            raise malformed("it is not of version 1")
    name = key_hash = None
    tag, start, stop = _der.element(der, at, tbs_stop)
    if tag == 0xA1:
        name = DistinguishedName(der[start:stop]).der
    elif tag == 0xA2:
        key_start, key_stop = expect(der, start, stop, _der.OCTET_STRING)
        if key_stop != stop:
            raise malformed("the responder's identifier is malformed")
        key_hash = der[key_start:key_stop]
    else:
        raise malformed("it names no responder")
    start, at = expect(der, stop, tbs_stop, _der.GENERALIZED_TIME)
    seconds(_der.GENERALIZED_TIME, der[start:at])
    start, at = expect(der, at, tbs_stop, _der.SEQUENCE)
    answers = tuple([_answer(one) for one in _elements(der, start, at)])
    _refuse_critical(der, at, tbs_stop)
    return _Response(
        der[tbs_start:tbs_stop],
        name,
        key_hash,
        answers,
        der[tbs_stop:algorithm_stop],
        der[signature_start + 1 : signature_stop],
        certificates,
    )


def _answer(der: bytes) -> _Answer:
    expect = _der.expect
    at, end = _der.whole(der, _der.SEQUENCE)
    id_start, id_stop = expect(der, at, end, _der.SEQUENCE)
    _, algorithm_stop = expect(der, id_start, id_stop, _der.SEQUENCE)
    name_start, name_stop = expect(der, algorithm_stop, id_stop, _der.OCTET_STRING)
    key_start, key_stop = expect(der, name_stop, id_stop, _der.OCTET_STRING)
    start, stop = expect(der, key_stop, id_stop, _der.INTEGER)
    if stop != id_stop:
        raise malformed("a certificate's identifier is malformed")
    serial_number = _der.unsigned(der, start, stop)
    tag, start, at = _der.element(der, id_stop, end)
    if tag not in (_GOOD, _REVOKED, _UNKNOWN) or (tag != _REVOKED and start != at):
        raise malformed("a status that there is not")
    revoked = _revocation(der, start, at) if tag == _REVOKED else None
    start, at = expect(der, at, end, _der.GENERALIZED_TIME)
    this_update = seconds(_der.GENERALIZED_TIME, der[start:at])
    next_update = None
    if at < end and der[at] == 0xA0:
        start, at = _explicit(der, at, end, 0xA0, _der.GENERALIZED_TIME)
        next_update = seconds(_der.GENERALIZED_TIME, der[start:at])
    _refuse_critical(der, at, end)
    return _Answer(
        _HASHES.get(der[id_start:algorithm_stop], ""),
        der[name_start:name_stop],
        der[key_start:key_stop],
        serial_number,
        tag == _GOOD,
        revoked,
        this_update,
        next_update,
    )


def _revocation(der: bytes, at: int, end: int) -> tuple[int, RevocationReason | None]:
    """(since when, why) of a RevokedInfo (RFC 6960 4.2.1)."""
    start, stop = _der.expect(der, at, end, _der.GENERALIZED_TIME)
    revoked_at = seconds(_der.GENERALIZED_TIME, der[start:stop])
    if stop == end:
        return revoked_at, None
    start, stop = _explicit(der, stop, end, 0xA0, _ENUMERATED)
    try:
        reason = RevocationReason(_der.unsigned(der, start, stop))
    except ValueError:
        raise malformed("a reason of revocation that there is not") from None
    if stop != end:
        raise malformed("bytes follow the reason of revocation")
    return revoked_at, reason


def _refuse_critical(der: bytes, at: int, end: int) -> None:
    """Check the optional extensions that end a structure: those that are known here are never critical."""
    if at == end:
        return
    start, stop = _der.expect(der, at, end, 0xA1)
    if stop != end:
        raise malformed("bytes follow the extensions")
    for oid, (critical, _) in extension_list(der, start, stop).items():
        if critical:
            raise malformed(f"it has the critical extension {_der.dotted(oid)}, which is not known")


def _explicit(der: bytes, at: int, end: int, outer: int, inner: int) -> tuple[int, int]:
    """The content bounds of the one element with the tag `inner` inside that with the tag `outer`."""
    start, outer_stop = _der.expect(der, at, end, outer)
    start, stop = _der.expect(der, start, outer_stop, inner)
    if stop != outer_stop:
        raise malformed("bytes follow an element in its tag")
    return start, stop


def _elements(der: bytes, start: int, stop: int) -> tuple[bytes, ...]:
    """Each element of a SEQUENCE OF as its own DER."""
    found: list[bytes] = []
    while start < stop:
        if len(found) == _MAX_ELEMENTS:
            raise malformed(f"a list of more than {_MAX_ELEMENTS}")
        at = start
        _, _, start = _der.element(der, at, stop)
        found.append(der[at:start])
    return tuple(found)


def _hash(name: str, data: bytes) -> bytes:
    return hashlib.new(name, data, usedforsecurity=False).digest()


def _key_bits(certificate: Certificate) -> bytes:
    """The content of the subjectPublicKey, which RFC 6960 4.1.1 hashes: without tag, length and unused bits."""
    spki = certificate.spki
    at, end = _der.whole(spki, _der.SEQUENCE)
    _, at = _der.expect(spki, at, end, _der.SEQUENCE)
    start, stop = _der.expect(spki, at, end, _der.BIT_STRING)
    return spki[start + 1 : stop]


def _signature_fault(
    parsed: _Response, response: bytes, path: tuple[Certificate, ...], second: int, revocation: Revocation | None
) -> Fault | None:
    """Why the response is not signed on behalf of the issuer of the path's leaf (RFC 6960 4.2.2.2)."""
    issuer = path[1]
    faults = []
    if parsed.is_by(issuer):
        fault = _signed_fault(parsed, response, issuer)
        if fault is None:
            return None
        faults.append(fault)
    for der in parsed.certificates[:_MAX_RESPONDERS]:
        try:
            responder = Certificate.from_der(der)
        except CertificateRejected:
            continue
        if responder.spki == issuer.spki or not parsed.is_by(responder):
            continue
        fault = (
            _responder_fault(responder, issuer, second)
            or _signed_fault(parsed, response, responder)
            or _revoked_responder_fault(responder, path, second, revocation)
        )
        if fault is None:
            return None
        faults.append(fault)
    if faults:
        return faults[0]
    return _bad(
        f"the stapled OCSP response is by {parsed.responder}, which is neither {issuer.title} nor among the "
        "certificates in the response",
        expected=f"a response by {issuer.title}, or by a responder that it certified",
        found=f"by {parsed.responder}",
    )


def _signed_fault(parsed: _Response, response: bytes, signer: Certificate) -> Fault | None:
    key = signer.spki_sha256, hashlib.sha256(response).digest()
    if _VERIFIED.get(key):
        return None
    fault = data_fault(signer, parsed.algorithm, parsed.signature, parsed.tbs, "the stapled OCSP response")
    if fault is None:
        _VERIFIED.put(key, True)
        return None
    return fault._replace(problem=CertificateProblem.BAD_STAPLE, remedy=_REMEDY)


def _responder_fault(responder: Certificate, issuer: Certificate, second: int) -> Fault | None:
    """Why a certificate in the response does not speak for the issuer."""
    what = f"the stapled OCSP response is signed by {responder.title}"
    if responder.issuer.der != issuer.subject.der:
        return _bad(
            f"{what}, which {brief(responder.issuer)} certified and not {issuer.title} itself",
            expected=f"a responder certified by {issuer.title}",
            found=f"one certified by {brief(responder.issuer)}",
        )
    if not responder.not_before <= second <= responder.not_after:
        return _bad(
            f"{what}, whose certificate is valid from {utc(responder.not_before)} to {utc(responder.not_after)}",
            expected="a responder's certificate that is valid now",
            found="one that is not",
        )
    fault = responder.fault or key_fault(responder)
    if fault is not None:
        return fault._replace(problem=CertificateProblem.BAD_STAPLE, detail=f"{what}: {fault.detail}")
    if _OCSP_SIGNING not in (responder.extended_key_usage or ()):
        return _bad(
            f"{what}, whose extendedKeyUsage lacks OCSPSigning",
            expected="OCSPSigning",
            found="a certificate for other purposes",
            remedy=f"let {issuer.title} issue its responder's certificate with OCSPSigning in extendedKeyUsage",
        )
    usage = responder.key_usage_bits
    if usage is not None and not usage & KeyUsage.DIGITAL_SIGNATURE:
        return _bad(
            f"{what}, whose keyUsage lacks digitalSignature",
            expected="digitalSignature",
            found="a keyUsage without it",
            remedy=f"let {issuer.title} issue its responder's certificate with digitalSignature in keyUsage",
        )
    fault = signature_fault(issuer, responder)
    if fault is not None:
        return fault._replace(problem=CertificateProblem.BAD_STAPLE, detail=f"{what}: {fault.detail}")
    return None


def _revoked_responder_fault(
    responder: Certificate, path: tuple[Certificate, ...], second: int, revocation: Revocation | None
) -> Fault | None:
    """That a CRL here lists the responder."""
    found = None if revocation is None else revocation.fault((responder, *path[1:]), now=second, leaf_known=True)
    if found is None or found[0] is not responder or found[1].problem is not CertificateProblem.REVOKED:
        return None  # What is wrong with the CAs themselves is said of the path.
    return _bad(
        f"the stapled OCSP response is signed by {responder.title}, and {found[1].detail}",
        expected="a responder that is not revoked",
        found=found[1].found,
    )


def _answer_fault(answer: _Answer, leaf: Certificate, second: int, max_age: float) -> Fault | None:
    """Why an answer about the leaf, with a good signature, does not prove that it is good now."""
    what = f"the OCSP response for {leaf.title}"
    this_update, next_update = answer.this_update, answer.next_update
    if answer.revoked is not None:
        return revoked_fault(leaf, *answer.revoked, what)
    if not answer.good:
        return Fault(
            CertificateProblem.REVOCATION_UNKNOWN,
            f"{what} says that its CA does not know the certificate",
            expected="the status good",
            found="the status unknown",
            remedy=f"find out why the responder of {brief(leaf.issuer)} does not know {leaf.title}",
        )
    if this_update > second + MAX_SKEW:
        return _bad(
            f"{what} is valid from {utc(this_update)} only",
            expected="a thisUpdate that is past",
            found=f"thisUpdate {utc(this_update)}",
            remedy="correct the clock here, or that of the responder",
        )
    if next_update is None:
        if second - this_update <= max_age + MAX_SKEW:
            return None
        return _bad(
            f"{what} is of {utc(this_update)} and names no end: such a one is taken for {max_age:.0f} seconds",
            expected=f"a response of the last {max_age:.0f} seconds, or one with a nextUpdate",
            found=f"thisUpdate {utc(this_update)}",
        )
    if next_update < this_update or second > next_update + MAX_SKEW:
        return _bad(
            f"{what} was valid from {utc(this_update)} until {utc(next_update)}",
            expected="a nextUpdate that is to come",
            found=f"nextUpdate {utc(next_update)}",
        )
    return None


def _is_for_another(leaf: Certificate) -> Fault:
    return _bad(
        f"the stapled OCSP response is not about {leaf.title} of {brief(leaf.issuer)} "
        f"(serial number {leaf.serial_number:x})",
        expected=f"a response about the serial number {leaf.serial_number:x} of {brief(leaf.issuer)}",
        found="one about another, or one that names it by other hashes than SHA-1 and SHA-256",
    )


def _bad(detail: str, *, expected: str, found: str, remedy: str = "") -> Fault:
    return Fault(CertificateProblem.BAD_STAPLE, detail, expected, found, remedy or _REMEDY)


_REMEDY: Final = "let the peer fetch a fresh response from the responder of its CA, and staple that"
_TLS_FEATURE: Final = "1.3.6.1.5.5.7.1.24"
_STATUS_REQUEST: Final = 5
_OCSP_SIGNING: Final = "1.3.6.1.5.5.7.3.9"
_BASIC_RESPONSE: Final = _der.undotted("1.3.6.1.5.5.7.48.1.1")
_MAX_RESPONSE: Final = 64 << 10
_MAX_ELEMENTS: Final = 64
_MAX_RESPONDERS: Final = 4
_ENUMERATED: Final = 0x0A
# CertStatus.
_GOOD: Final = 0x80
_REVOKED: Final = 0xA1
_UNKNOWN: Final = 0x82
# By the exact AlgorithmIdentifier, with and without NULL parameters.
_HASHES: Final = {
    bytes.fromhex("300906052b0e03021a0500"): "sha1",
    bytes.fromhex("300706052b0e03021a"): "sha1",
    bytes.fromhex("300d06096086480165030402010500"): "sha256",
    bytes.fromhex("300b0609608648016503040201"): "sha256",
}
_STATUS_NAMES: Final = {
    1: "malformedRequest",
    2: "internalError",
    3: "tryLater",
    5: "sigRequired",
    6: "unauthorized",
}
# Only successes: a failure is looked at anew each time, so a fault in here can only cost time.
_VERIFIED: Final[BoundedCache[tuple[bytes, bytes], bool]] = BoundedCache(entries=512, weight=512)
