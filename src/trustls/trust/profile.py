"""What a certificate must be at its place in a path, by purpose and by profile (RFC 5280 4.2 and 6.1, CABF BR 7.1).

Everything here is a property of one certificate, so it is cheap to find out. What is asked for safety's sake is the
same in both profiles; what only concerns form is asked by the profile of the public web alone.
"""

from __future__ import annotations

import datetime
import enum
import re
from typing import Final

from trustls.errors import CertificateProblem, ConfigError
from trustls.trust import extensions as _ext
from trustls.trust.certificate import Certificate, Fault
from trustls.trust.signatures import key_fault, public_web_key_fault, signature_fault
from trustls.wire.names import shown


class Profile(enum.Enum):
    """Whose rules for the form of certificates apply. The substance is the same: who is believed, for what, how long.

    Attributes:
        WEBPKI: those of the public web, as RFC 5280 and the CA/Browser Forum (Baseline Requirements) have them.
        PRIVATE: those that safety needs, for the CAs of companies, clusters and test suites, which make certificates
            in many ways.
    """

    WEBPKI = "webpki"
    PRIVATE = "private"

    @classmethod
    def named(cls, name: str | Profile) -> Profile:
        """The profile of this name; a profile is its own name.

        Raises:
            ConfigError: there is none.

        >>> Profile.named("webpki")
        <Profile.WEBPKI: 'webpki'>
        """
        try:
            return cls(name)
        except ValueError:
            names = " or ".join(repr(one.value) for one in cls)
            raise ConfigError(f"a profile is {names}, not {name!r}") from None


class Purpose(enum.Enum):
    """What the leaf certificate is used for (RFC 5280 4.2.1.12), and whose certificate that is."""

    SERVER_AUTH = ("1.3.6.1.5.5.7.3.1", "the server's certificate", "serverAuth")
    CLIENT_AUTH = ("1.3.6.1.5.5.7.3.2", "the client's certificate", "clientAuth")

    def __init__(self, oid: str, bearer: str, label: str) -> None:
        self.oid = oid
        self.bearer = bearer
        self.label = label


def leaf_fault(leaf: Certificate, purpose: Purpose, second: int, profile: Profile, pinned: bool) -> Fault | None:
    """What is wrong with the leaf on its own account (RFC 5280 6.1.3, 4.2.1.3, 4.2.1.12).

    Args:
        leaf: the certificate.
        purpose: what it is used for.
        second: the time, in seconds since 1970.
        profile: whose rules apply.
        pinned: whether it is itself a root here, and may therefore be a CA.
    """
    if not leaf.not_before <= second <= leaf.not_after:
        return _validity_fault(leaf, second, purpose.bearer, "")
    fault = leaf.fault
    if fault is not None:
        return fault
    if leaf.is_ca and not pinned:
        return Fault(
            CertificateProblem.CA_AS_END_ENTITY,
            f"{purpose.bearer} {leaf.title} is that of a CA (CA:TRUE)",
            expected="a certificate without CA:TRUE",
            found="CA:TRUE",
            remedy=f"use a certificate that the CA issued, or issue {leaf.title} anew with basicConstraints CA:FALSE",
        )
    usage = leaf.key_usage_bits
    if usage is not None:
        if not usage & _DIGITAL_SIGNATURE:
            return Fault(
                CertificateProblem.WRONG_KEY_USAGE,
                f"{purpose.bearer} {leaf.title} {'is that of a CA, and ' if leaf.is_ca else ''}lacks digitalSignature",
                expected="digitalSignature",
                found=_usages(usage),
                # A root may be pinned as a leaf; more often the CA's certificate was taken for one that it issued.
                remedy=f"use a certificate that {leaf.title} issued; or, to pin this one, issue it anew with "
                "digitalSignature in keyUsage"
                if leaf.is_ca
                else f"issue {leaf.title} anew with digitalSignature in keyUsage",
            )
        if usage & _KEY_CERT_SIGN and not leaf.is_ca:
            # RFC 5280 4.2.1.9: no keyCertSign without cA.
            return Fault(
                CertificateProblem.WRONG_KEY_USAGE,
                f"{leaf.title} has keyCertSign, but is not a CA",
                expected="no keyCertSign",
                found=_usages(usage),
                remedy=f"issue {leaf.title} anew with digitalSignature alone in keyUsage",
            )
    purposes = leaf.extended_key_usage
    if purposes is not None and purpose.oid not in purposes:
        return Fault(
            CertificateProblem.WRONG_PURPOSE,
            f"{purpose.bearer} {leaf.title} lacks {purpose.label}; it is for {_purposes(purposes)}",
            expected=purpose.label,
            found=_purposes(purposes),
            remedy=f"issue {leaf.title} anew with {purpose.label} in extendedKeyUsage",
        )
    if leaf.name_constraints is not None and not leaf.is_ca:
        return Fault(
            CertificateProblem.MALFORMED,
            f"{leaf.title} has name constraints, but is not a CA",
            expected="nameConstraints in certificates of CAs alone",
            found="nameConstraints",
            remedy=f"issue {leaf.title} anew without nameConstraints",
        )
    if not leaf.serial_number:
        return _no_serial_number(leaf)
    if profile is Profile.WEBPKI:
        return public_web_key_fault(leaf) or _public_web_leaf_fault(leaf, purpose)
    return key_fault(leaf)


def ca_fault(
    ca: Certificate, purpose: Purpose, second: int, profile: Profile, intermediates: int, is_root: bool
) -> Fault | None:
    """What forbids a CA to stand above so many intermediate CAs (RFC 5280 6.1.4).

    Args:
        ca: the certificate.
        purpose: what the leaf is used for.
        second: the time, in seconds since 1970.
        profile: whose rules apply.
        intermediates: how many intermediate CAs are below it, self-issued ones not counted.
        is_root: whether it ends the path.
    """
    if not ca.not_before <= second <= ca.not_after:
        renewed = ", and put it into the roots here" if is_root else ", and let the peer send it along"
        return _validity_fault(ca, second, "the CA certificate", renewed)
    fault = ca.fault
    if fault is not None:
        return fault
    if not ca.is_ca:
        return Fault(
            CertificateProblem.NOT_A_CA,
            f"{ca.title} stands as an issuer, but its basicConstraints do not say CA:TRUE",
            expected="CA:TRUE",
            found="CA:FALSE" if "2.5.29.19" in ca.extensions else "no basicConstraints",
            remedy=f"issue {ca.title} anew with basicConstraints CA:TRUE, critical",
        )
    usage = ca.key_usage_bits
    if usage is not None and not usage & _KEY_CERT_SIGN:
        return Fault(
            CertificateProblem.WRONG_KEY_USAGE,
            f"the CA certificate {ca.title} lacks keyCertSign",
            expected="keyCertSign",
            found=_usages(usage),
            remedy=f"issue {ca.title} anew with keyCertSign in keyUsage",
        )
    purposes = ca.extended_key_usage
    # A CA's purposes limit those of what it issues: not in RFC 5280, but everybody's practice.
    if purposes is not None and purpose.oid not in purposes and _ANY_PURPOSE not in purposes:
        return Fault(
            CertificateProblem.WRONG_PURPOSE,
            f"the CA {ca.title} may not issue for {purpose.label}, only for {_purposes(purposes)}",
            expected=f"{purpose.label}, or no extendedKeyUsage",
            found=_purposes(purposes),
            remedy=f"issue {ca.title} anew with {purpose.label} in extendedKeyUsage, or without that extension",
        )
    path_length = ca.path_length
    if path_length is not None and intermediates > path_length:
        return Fault(
            CertificateProblem.PATH_TOO_LONG,
            f"the CA {ca.title} allows {path_length} intermediate CAs below it, here are {intermediates}",
            expected=f"at most {path_length} intermediate CAs below it",
            found=str(intermediates),
            remedy=f"issue {ca.title} anew with a pathLenConstraint of {intermediates} or more, or without one",
        )
    if not is_root and not ca.serial_number:
        return _no_serial_number(ca)
    if profile is Profile.WEBPKI:
        return public_web_key_fault(ca) or (_public_web_root_fault if is_root else _public_web_ca_fault)(ca)
    return key_fault(ca)


def public_web_constraints_fault(ca: Certificate) -> Fault | None:
    """What the public web asks of name constraints, of which there may be thousands: one for DNS names does not start
    with a period, as one for URIs may (RFC 5280 4.2.1.10).
    """
    constraints = ca.name_constraints
    if constraints is not None:
        for form, base in (*constraints.permitted, *constraints.excluded):
            if form == _ext.NameForm.DNS and base[:1] == b".":
                found = shown(base.decode("ascii"))
                return _against_profile(
                    f"the CA {ca.title} constrains DNS names to {found}, which starts with a period",
                    expected="a DNS name without a leading period",
                    found=found,
                    remedy=f"issue {ca.title} anew with {found[1:]} in nameConstraints",
                )
    return None


def _public_web_leaf_fault(leaf: Certificate, purpose: Purpose) -> Fault | None:
    """What the public web asks of the form of a leaf."""
    fault = _authority_key_fault(leaf)
    if fault is not None:
        return fault
    purposes = leaf.extended_key_usage
    found = None
    # CABF BR 7.1.2.7.6, 7.1.2.7.10: extendedKeyUsage is there, is not critical, and is never anyExtendedKeyUsage.
    if purposes is None:
        found = "no extendedKeyUsage"
    elif _ANY_PURPOSE in purposes:
        found = _purposes(purposes)
    elif leaf.is_critical("2.5.29.37"):
        found = "a critical extendedKeyUsage"
    if found is not None:
        return _against_profile(
            f"{leaf.title} must say in extendedKeyUsage, not critical, for what it is; it has {found}",
            expected=f"{purpose.label} in an extendedKeyUsage that is not critical",
            found=found,
            remedy=f"issue {leaf.title} anew with {purpose.label} alone in extendedKeyUsage, not critical",
        )
    return _public_web_names_fault(leaf) if purpose is Purpose.SERVER_AUTH else None


def _public_web_names_fault(leaf: Certificate) -> Fault | None:
    """What the public web asks of the names of a server (CABF BR 7.1.2.7.12, 7.1.4.3)."""
    if not leaf.alternative_names:
        return _against_profile(
            f"{leaf.title} has no subjectAltName; the common name does not count",
            expected="the server's names in subjectAltName",
            found="no subjectAltName",
            remedy=f"issue {leaf.title} anew with the server's names in subjectAltName",
        )
    if leaf.subject and leaf.is_critical("2.5.29.17"):
        return _against_profile(
            f"the subjectAltName of {leaf.title} is critical, though the subject is not empty",
            expected="a subjectAltName that is not critical",
            found="critical",
            remedy=f"issue {leaf.title} anew with a subjectAltName that is not critical, or with an empty subject",
        )
    names = leaf.dns_names
    for name in names:
        if not _is_public_host(name):
            return _against_profile(
                f"{leaf.title} has the DNS name {shown(name)}, which is no host name (RFC 1123 2.1)",
                expected="labels of letters, digits and hyphens, and a whole first label for a wildcard",
                found=shown(name),
                remedy=f"issue {leaf.title} anew without that name",
            )
    for oid, value in leaf.subject.attributes():
        if oid == _COMMON_NAME and not _is_repeated(value, names, leaf):
            return _against_profile(
                f"the common name {shown(value)} of {leaf.title} is none of its subjectAltName",
                expected="a common name that is in subjectAltName, in the same spelling",
                found=shown(value),
                remedy=f"issue {leaf.title} anew with that name in subjectAltName, or without a common name",
            )
    return None


def _is_repeated(common_name: str, dns_names: tuple[str, ...], leaf: Certificate) -> bool:
    """Whether a common name that reads like an address or a host is in subjectAltName, letter for letter.

    CABF BR 7.1.4.3 asks that of every common name. Two that mislead nobody are let pass, as x509-limbo wants it: the
    domain that the names are in (of `*.example.com`), and any host where there are only addresses.
    """
    if ":" in common_name or re.fullmatch(_NUMBER, common_name.rpartition(".")[2]):
        return common_name in map(str, leaf.ip_addresses)
    if "." not in common_name or not dns_names:
        return True
    return common_name in dns_names or any(name.endswith(f".{common_name}") for name in dns_names)


def _public_web_ca_fault(ca: Certificate) -> Fault | None:
    """What the public web asks of the form of an intermediate CA."""
    fault = _authority_key_fault(ca)
    if fault is not None:
        return fault
    if ca.subject_key_identifier is None:
        # RFC 5280 4.2.1.2.
        return _against_profile(
            f"the CA certificate {ca.title} has no subjectKeyIdentifier",
            expected="subjectKeyIdentifier",
            found="no subjectKeyIdentifier",
            remedy=f"issue {ca.title} anew with subjectKeyIdentifier",
        )
    if not ca.is_critical("2.5.29.19"):
        # RFC 5280 4.2.1.9.
        return _against_profile(
            f"the basicConstraints of the CA certificate {ca.title} are not critical",
            expected="critical basicConstraints",
            found="not critical",
            remedy=f"issue {ca.title} anew with critical basicConstraints",
        )
    return None


def _public_web_root_fault(root: Certificate) -> Fault | None:
    """What the public web asks of the form of a root, as far as the roots that browsers trust keep to it."""
    if root.is_self_issued and root.extended_key_usage is not None:
        # CABF BR 7.1.2.1.2. An intermediate that stands among the roots has it.
        return _against_profile(
            f"the root {root.title} has extendedKeyUsage",
            expected="no extendedKeyUsage in a root",
            found=_purposes(root.extended_key_usage),
            remedy=f"issue the root {root.title} anew without extendedKeyUsage",
        )
    content = root.extension("2.5.29.35")
    if not root.is_self_issued:
        # An intermediate or a cross-signed root may stand among the roots. RFC 5280 4.2.1.1 lets the key identifier be
        # missing where a certificate is signed by its own key, whatever the names are.
        fault = _authority_key_fault(root)
        return None if fault is None or signature_fault(root, root) is None else fault
    if content is None:
        return None
    # CABF BR 7.1.2.1.3 wants the key identifier alone, but issuer and serial number are in roots that browsers trust.
    key_identifier, issuer, serial_number = _ext.authority_key(content)
    if (
        key_identifier is not None
        and root.subject_key_identifier in (None, key_identifier)
        and (issuer is None or issuer.endswith(root.issuer.der))
        and (serial_number is None) == (issuer is None)
        and int.from_bytes(serial_number or b"", "big") in (0, root.serial_number)
    ):
        return None
    return _against_profile(
        f"the authorityKeyIdentifier of the root {root.title} does not tell of its own key",
        expected="its own key identifier",
        found="another one, or none",
        remedy=f"issue the root {root.title} anew with its own keyIdentifier in authorityKeyIdentifier, or without it",
    )


def _authority_key_fault(certificate: Certificate) -> Fault | None:
    if certificate.authority_key_identifier is not None:
        return None
    # RFC 5280 4.2.1.1: in all certificates but self-signed ones.
    return _against_profile(
        f"{certificate.title} does not say which key of its issuer signed it",
        expected="an authorityKeyIdentifier with a keyIdentifier",
        found="none",
        remedy=f"issue {certificate.title} anew with authorityKeyIdentifier",
    )


def _against_profile(detail: str, *, expected: str, found: str, remedy: str) -> Fault:
    return Fault(
        CertificateProblem.AGAINST_PROFILE,
        detail,
        expected,
        found,
        f"{remedy}; or take the profile 'private' for CAs of one's own",
    )


def _is_public_host(name: str) -> bool:
    host = name.removeprefix("*.")
    return len(host) <= 253 and re.fullmatch(_PUBLIC_HOST, host) is not None and not host.rpartition(".")[2].isdigit()


def _validity_fault(certificate: Certificate, second: int, who: str, renewed: str) -> Fault:
    try:
        clock = f"{_EPOCH + datetime.timedelta(seconds=second):%Y-%m-%d %H:%M:%S}"
    except OverflowError:
        clock = "out of range"
    if second > certificate.not_after:
        end = f"{certificate.not_after_utc:%Y-%m-%d %H:%M:%S}"
        return Fault(
            CertificateProblem.EXPIRED,
            f"{who} {certificate.title} ended {end} UTC; the clock here says {clock}",
            expected=f"a time up to {end} UTC",
            found=f"{clock} UTC",
            remedy=f"renew {certificate.title}{renewed}; or correct the clock here, if that is wrong",
        )
    start = f"{certificate.not_before_utc:%Y-%m-%d %H:%M:%S}"
    return Fault(
        CertificateProblem.NOT_YET_VALID,
        f"{who} {certificate.title} begins {start} UTC; the clock here says {clock}",
        expected=f"a time from {start} UTC on",
        found=f"{clock} UTC",
        remedy=f"correct the clock here, or that of the CA, whichever is wrong; or wait for {start} UTC",
    )


def _no_serial_number(certificate: Certificate) -> Fault:
    # RFC 5280 4.1.2.2 forbids zero. Old roots have it, and may.
    return Fault(
        CertificateProblem.MALFORMED,
        f"{certificate.title} has the serial number zero",
        expected="a serial number above zero",
        found="0",
        remedy=f"issue {certificate.title} anew with a serial number of its own",
    )


def _purposes(purposes: tuple[str, ...]) -> str:
    return ", ".join(_PURPOSE_LABELS.get(oid, oid) for oid in purposes[:8])


def _usages(bits: int) -> str:
    return ", ".join(label for index, label in enumerate(_USAGE_LABELS) if bits & 1 << index)


# As plain ints: a KeyUsage makes a new object of each `&`.
_DIGITAL_SIGNATURE: Final = int(_ext.KeyUsage.DIGITAL_SIGNATURE)
_KEY_CERT_SIGN: Final = int(_ext.KeyUsage.KEY_CERT_SIGN)
_ANY_PURPOSE: Final = "2.5.29.37.0"
_PURPOSE_LABELS: Final = {
    _ANY_PURPOSE: "anyExtendedKeyUsage",
    "1.3.6.1.5.5.7.3.1": "serverAuth",
    "1.3.6.1.5.5.7.3.2": "clientAuth",
    "1.3.6.1.5.5.7.3.3": "codeSigning",
    "1.3.6.1.5.5.7.3.4": "emailProtection",
    "1.3.6.1.5.5.7.3.8": "timeStamping",
    "1.3.6.1.5.5.7.3.9": "OCSPSigning",
}
_USAGE_LABELS: Final = (
    "digitalSignature",
    "nonRepudiation",
    "keyEncipherment",
    "dataEncipherment",
    "keyAgreement",
    "keyCertSign",
    "cRLSign",
    "encipherOnly",
    "decipherOnly",
)
_COMMON_NAME: Final = "2.5.4.3"
# The last label of what may be read as an IPv4 address (WHATWG URL 3.5).
_NUMBER: Final = r"\d+|0[xX][0-9a-fA-F]*"
_PUBLIC_LABEL: Final = r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)"
_PUBLIC_HOST: Final = rf"{_PUBLIC_LABEL}(?:\.{_PUBLIC_LABEL})*"
_EPOCH: Final = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
