"""Name constraints: the names that a CA may certify (RFC 5280 4.2.1.10), for DNS, IP, email, URI and directory names.

Names and subtrees are compared pairwise, which is quadratic, so each comparison is counted against a budget.
"""

from __future__ import annotations

import ipaddress
import unicodedata
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from trustls.errors import CertificateProblem
from trustls.trust.certificate import Certificate, Fault
from trustls.trust.extensions import NameConstraints, NameForm, is_dns_name
from trustls.wire import der as _der
from trustls.wire.names import DistinguishedName, brief, shown

if TYPE_CHECKING:
    from collections.abc import Callable


def constrained_names(certificate: Certificate) -> list[tuple[int, bytes]]:
    """The names of a certificate that constraints apply to: (NameForm, content)."""
    names = list(certificate.alternative_names)
    if certificate.subject:
        names.append((NameForm.DIRECTORY, certificate.subject.der))
    if not any(form == NameForm.EMAIL for form, _ in names):
        names += [(NameForm.EMAIL, address) for address in certificate.constrained_emails]
    return names


def comparisons(certificate: Certificate, constraints: NameConstraints) -> int:
    """How many comparisons `constraint_fault` will make at most, a long subject counted for its length."""
    names = len(certificate.alternative_names) + 1 + len(certificate.subject.der) // 16
    return names * (len(constraints.permitted) + len(constraints.excluded))


def constraint_fault(ca: Certificate, certificate: Certificate, names: list[tuple[int, bytes]]) -> Fault | None:
    """Why the CA's name constraints do not permit a name of the certificate; None when they permit them all."""
    constraints = ca.name_constraints
    if constraints is None:
        return None
    for form, name in names:
        excluded = [base for kind, base in constraints.excluded if kind == form]
        permitted = [base for kind, base in constraints.permitted if kind == form]
        if not excluded and not permitted:
            continue
        within = _WITHIN.get(form)
        if within is None:
            # RFC 5280 4.2.1.10: a constraint on a form that is there must be processed, or the certificate refused.
            return _refusal(ca, certificate, "a name of a form whose constraints are not supported")
        for base in excluded:
            if within(name, base, True) is not False:
                return _refusal(ca, certificate, f"{_described(form, name)}, which the CA excludes")
        if permitted and not any(within(name, base, False) for base in permitted):
            return _refusal(ca, certificate, f"{_described(form, name)}, which is outside what the CA permits")
    return None


def _refusal(ca: Certificate, certificate: Certificate, what: str) -> Fault:
    return Fault(
        CertificateProblem.NAME_NOT_PERMITTED, f"the CA {ca.title} is constrained, and {certificate.title} has {what}"
    )


def _described(form: int, name: bytes) -> str:
    if form == NameForm.DIRECTORY:
        return f"the name {brief(DistinguishedName(name))}"
    if form == NameForm.IP:
        return f"the address {ipaddress.ip_address(name)}"
    return f"the name {shown(name[:256].decode('utf-8', 'backslashreplace'))}"


# Each answers whether a name lies within a subtree: True, False, or None for a name that cannot be understood, which is
# then neither permitted nor free of an exclusion. `widest` asks whether any host that the name stands for does.


def _dns_within(name: bytes, base: bytes, widest: bool) -> bool | None:
    name = name.lower()
    if name[:2] == b"*.":
        name = name[2:]
        # *.example.com stands for bar.example.com: excluding that excludes it (CVE-2025-61727).
        if widest and base.partition(b".")[2] == name:
            return True
    if not is_dns_name(name):
        return None
    return not base or name == base or name.endswith(b"." + base)


def _ip_within(name: bytes, base: bytes, _widest: bool) -> bool | None:
    half = len(name)
    if len(base) != 2 * half:
        return False
    mask = int.from_bytes(base[half:], "big")
    return int.from_bytes(name, "big") & mask == int.from_bytes(base[:half], "big") & mask


def _email_within(name: bytes, base: bytes, _widest: bool) -> bool | None:
    local, at, host = name.rpartition(b"@")
    host = host.lower()
    if not at or not local or b"@" in local or not is_dns_name(host):
        return None
    if b"@" in base:
        # The local part is compared exactly, the host without regard to case (RFC 5280 7.5).
        return local + b"@" + host == base
    return host.endswith(base) if base[:1] == b"." else host == base


def _uri_within(name: bytes, base: bytes, _widest: bool) -> bool | None:
    from urllib.parse import urlsplit

    try:
        host = (urlsplit(name.decode("ascii")).hostname or "").lower().encode()
    except ValueError:
        return None
    # RFC 5280 4.2.1.10: a URI without an authority, or with an address in it, is refused where constraints apply.
    if not is_dns_name(host) or host.rpartition(b".")[2].isdigit():
        return None
    return host.endswith(base) if base[:1] == b"." else host == base


def _directory_within(name: bytes, base: bytes, _widest: bool) -> bool | None:
    # Before any signature is checked, a peer may put as much into a name as it likes.
    if len(name) > _MAX_DIRECTORY_NAME or len(base) > _MAX_DIRECTORY_NAME:
        return None
    subtree = _normalized(base)
    return _normalized(name)[: len(subtree)] == subtree


@lru_cache(maxsize=256)
def _normalized(name: bytes) -> tuple[frozenset[tuple[bytes, object]], ...]:
    # RFC 5280 7.1: compared without regard to case, string type or repeated spaces, so that no other spelling of an
    # excluded name slips through.
    return tuple(
        frozenset((oid, _folded(tag, value)) for oid, tag, value in rdn)
        for rdn in DistinguishedName(name).relative_names()
    )


def _folded(tag: int, value: bytes) -> object:
    text = _der.string(tag, value)
    return (tag, value) if text is None else " ".join(unicodedata.normalize("NFKC", text).casefold().split())


_MAX_DIRECTORY_NAME: Final = 2048
_WITHIN: Final[dict[int, Callable[[bytes, bytes, bool], bool | None]]] = {
    NameForm.DNS: _dns_within,
    NameForm.IP: _ip_within,
    NameForm.EMAIL: _email_within,
    NameForm.URI: _uri_within,
    NameForm.DIRECTORY: _directory_within,
}
