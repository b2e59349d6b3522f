"""Name constraints: the names that a CA may certify (RFC 5280 4.2.1.10), for DNS, IP, email, URI and directory names.

Names and subtrees are compared pairwise, which is quadratic, so each comparison is counted against a budget. What can
be done for one name or one subtree alone is done before they are compared.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

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


def comparisons(names: list[tuple[int, bytes]], constraints: NameConstraints) -> int:
    """How many comparisons `constraint_fault` will make at most, long directory names counted for their length.

    Each name and each subtree counts for two more, whatever there is to compare it with: it is made ready for that.
    """
    bases = constraints.permitted + constraints.excluded
    by_form = Counter(form for form, _ in bases)
    long_names = sum(len(content) for form, content in (*bases, *names) if form == NameForm.DIRECTORY) // 16
    return 2 * (len(bases) + len(names)) + long_names + sum(by_form[form] for form, _ in names)


def constraint_fault(ca: Certificate, certificate: Certificate, names: list[tuple[int, bytes]]) -> Fault | None:
    """Why the CA's name constraints do not permit a name of the certificate; None when they permit them all."""
    constraints = ca.name_constraints
    if constraints is None:
        return None
    subtrees = _subtrees(constraints)
    for form, name in names:
        if form not in subtrees:
            continue
        rules = _FORMS.get(form)
        if rules is None:
            # RFC 5280 4.2.1.10: a constraint on a form that is there must be processed, or the certificate refused.
            return Fault(
                CertificateProblem.NAME_NOT_PERMITTED,
                f"the CA {ca.title} is constrained, and {certificate.title} has a name of a form whose constraints are "
                "not supported",
                expected="names of forms whose constraints are supported",
                found=f"a name of the form {form}",
                remedy=f"issue {certificate.title} anew without that name, or {ca.title} without that constraint",
            )
        excluded, permitted = subtrees[form]
        prepared = rules.of_name(name)
        for base, subtree in excluded:
            # What cannot be understood is neither permitted nor free of an exclusion.
            if prepared is None or subtree is None or rules.within(prepared, subtree, True):
                return _refusal(ca, certificate, form, name, "which the CA excludes", f"not within {_base(form, base)}")
        if permitted and (
            prepared is None
            or not any(subtree is not None and rules.within(prepared, subtree, False) for _, subtree in permitted)
        ):
            bases = ", ".join(_base(form, base) for base, _ in permitted[:_MAX_LISTED])
            more = f" and {len(permitted) - _MAX_LISTED} more" if len(permitted) > _MAX_LISTED else ""
            return _refusal(
                ca, certificate, form, name, "which is outside what the CA permits", f"within {bases}{more}"
            )
    return None


# The excluded and the permitted subtrees of each form: (content of the GeneralName, the same prepared for comparing).
_Subtrees: TypeAlias = "dict[int, tuple[list[tuple[bytes, Any]], list[tuple[bytes, Any]]]]"


def _subtrees(constraints: NameConstraints) -> _Subtrees:
    subtrees: _Subtrees = {}
    for which, bases in enumerate((constraints.excluded, constraints.permitted)):
        for form, base in bases:
            rules = _FORMS.get(form)
            prepared = None if rules is None else rules.of_base(base)
            subtrees.setdefault(form, ([], []))[which].append((base, prepared))
    return subtrees


def _refusal(ca: Certificate, certificate: Certificate, form: int, name: bytes, why: str, expected: str) -> Fault:
    found = _described(form, name)
    return Fault(
        CertificateProblem.NAME_NOT_PERMITTED,
        f"the CA {ca.title} is constrained, and {certificate.title} has {found}, {why}",
        expected=f"names {expected}",
        found=found,
        remedy=f"issue {certificate.title} anew without that name, or {ca.title} with name constraints that permit it",
    )


def _base(form: int, base: bytes) -> str:
    """A subtree as text of bounded length."""
    if form == NameForm.DIRECTORY:
        return brief(DistinguishedName(base)) or "the empty name"
    if form == NameForm.IP:
        half = len(base) // 2
        prefix = int.from_bytes(base[half:], "big").bit_count()
        return f"{ipaddress.ip_address(base[:half])}/{prefix}"
    return shown(base[:256].decode("ascii")) or "any"


def _described(form: int, name: bytes) -> str:
    if form == NameForm.DIRECTORY:
        return f"the name {brief(DistinguishedName(name))}"
    if form == NameForm.IP:
        return f"the address {ipaddress.ip_address(name)}"
    return f"the name {shown(name[:256].decode('utf-8', 'backslashreplace'))}"


# For each form: what is compared of a name and of a subtree, None where they cannot be understood; and whether the one
# lies within the other. `widest` asks whether any host that the name stands for does.


def _dns_name(name: bytes) -> tuple[bytes, bool] | None:
    """The name in lower case, and whether it is a wildcard for names of one label more."""
    host = name.lower()
    wildcard = host[:2] == b"*."
    if wildcard:
        host = host[2:]
    return (host, wildcard) if is_dns_name(host) else None


def _dns_within(name: tuple[bytes, bool], base: bytes, widest: bool) -> bool:
    host, wildcard = name
    # With a leading period a base means what is below it, and not itself, as for URIs: *.example.com is all of that.
    if base[:1] == b".":
        return (b"." + host if wildcard else host).endswith(base)
    # *.example.com stands for bar.example.com: excluding that excludes it (CVE-2025-61727).
    if wildcard and widest and base.partition(b".")[2] == host:
        return True
    return not base or host == base or host.endswith(b"." + base)


def _ip_address(name: bytes) -> tuple[int, int]:
    return len(name), int.from_bytes(name, "big")


def _ip_base(base: bytes) -> tuple[int, int, int]:
    half = len(base) // 2
    mask = int.from_bytes(base[half:], "big")
    return half, int.from_bytes(base[:half], "big") & mask, mask


def _ip_within(name: tuple[int, int], base: tuple[int, int, int], _widest: bool) -> bool:
    length, address = name
    base_length, network, mask = base
    return length == base_length and address & mask == network


def _email_address(name: bytes) -> tuple[bytes, bytes] | None:
    local, at, host = name.rpartition(b"@")
    host = host.lower()
    if not at or not local or b"@" in local or not is_dns_name(host):
        return None
    # The local part is compared exactly, the host without regard to case (RFC 5280 7.5).
    return local + b"@" + host, host


def _email_within(name: tuple[bytes, bytes], base: bytes, _widest: bool) -> bool:
    return base in name or (base[:1] == b"." and name[1].endswith(base))


def _uri_host(name: bytes) -> bytes | None:
    from urllib.parse import urlsplit

    try:
        host = (urlsplit(name.decode("ascii")).hostname or "").lower().encode()
    except ValueError:
        return None
    # RFC 5280 4.2.1.10: a URI without an authority, or with an address in it, is refused where constraints apply.
    return host if is_dns_name(host) and not host.rpartition(b".")[2].isdigit() else None


def _uri_within(host: bytes, base: bytes, _widest: bool) -> bool:
    return host.endswith(base) if base[:1] == b"." else host == base


@lru_cache(maxsize=256)
def _directory_name(name: bytes) -> bytes | None:
    """The name in one spelling, in which that of every name above it is the beginning."""
    if len(name) > _MAX_DIRECTORY_NAME:
        return None
    # RFC 5280 7.1: compared without regard to case, string type or repeated spaces, so that no other spelling of an
    # excluded name slips through.
    return b"".join(
        _prefixed(b"".join(sorted({_prefixed(oid) + _prefixed(_folded(tag, value)) for oid, tag, value in rdn})))
        for rdn in DistinguishedName(name).relative_names()
    )


def _directory_within(name: bytes, base: bytes, _widest: bool) -> bool:
    return name.startswith(base)


def _folded(tag: int, value: bytes) -> bytes:
    import unicodedata  # Its tables are large, and few CAs have constraints.

    text = _der.string(tag, value)
    if text is None:
        return bytes([tag]) + value
    # No string type has the tag zero.
    return b"\0" + " ".join(unicodedata.normalize("NFKC", text).casefold().split()).encode()


def _prefixed(content: bytes) -> bytes:
    return len(content).to_bytes(4, "big") + content


def _as_it_stands(base: bytes) -> bytes:
    return base


class _Form(NamedTuple):
    of_name: Callable[[bytes], Any]
    of_base: Callable[[bytes], Any]
    within: Callable[[Any, Any, bool], bool]


_MAX_DIRECTORY_NAME: Final = 2048
_MAX_LISTED: Final = 4
_FORMS: Final[dict[int, _Form]] = {
    NameForm.DNS: _Form(_dns_name, _as_it_stands, _dns_within),
    NameForm.IP: _Form(_ip_address, _ip_base, _ip_within),
    NameForm.EMAIL: _Form(_email_address, _as_it_stands, _email_within),
    NameForm.URI: _Form(_uri_host, _as_it_stands, _uri_within),
    NameForm.DIRECTORY: _Form(_directory_name, _directory_name, _directory_within),
}
