"""Name constraints on directory names (RFC 5280 4.2.1.10), which are compared as RFC 5280 7.1 says."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.name import _ASN1Type

from tests.trust.issuing import Issued, authority, dn, dns, issue, leaf
from tests.trust.verifying import rejection, verified
from trustls.errors import CertificateProblem

COMMON_NAME, ORGANIZATION = x509.NameOID.COMMON_NAME, x509.NameOID.ORGANIZATION_NAME


def directory(*names: str | x509.Name) -> list[x509.GeneralName]:
    return [x509.DirectoryName(dn(name) if isinstance(name, str) else name) for name in names]


def in_order(*rdns: tuple[tuple[x509.ObjectIdentifier, str, _ASN1Type], ...]) -> x509.Name:
    return x509.Name([x509.RelativeDistinguishedName(x509.NameAttribute(*each) for each in rdn) for rdn in rdns])


# Names are written as RFC 4514 does, most specific part first; in the certificate that part is last.
@pytest.mark.parametrize(
    ("base", "subject", "within"),
    [
        ("O=Example,C=DE", "CN=alice,OU=Staff,O=Example,C=DE", True),
        ("O=Example,C=DE", "O=Example,C=DE", True),
        ("O=Example,C=DE", "CN=alice,O=Example", False),
        ("O=Example,C=DE", "C=DE", False),
        ("O=Example,C=DE", "CN=alice,C=DE,O=Example", False),
        ("O=Example,C=DE", "CN=alice,O=Example 2,C=DE", False),
        ("O=Example,C=DE", "CN=alice,O=EXAMPLE,C=de", True),
        ("O=Big Example", "CN=alice,O=big   example", True),
        ("O=Big Example", "CN=alice,O=\\ Big Example\\ ", True),
        ("O=BigExample", "CN=alice,O=Big Example", False),
        ("O=Müller", "CN=alice,O=MÜLLER", True),
        ("O=Mu\u0308ller", "CN=alice,O=Müller", True),
        ("O=Straße", "CN=alice,O=STRASSE", True),
        ("O=\uff25xample", "CN=alice,O=Example", True),
        ("O=Example+OU=Staff", "CN=alice,OU=Staff+O=Example", True),
        ("O=Example+OU=Staff", "CN=alice,O=example+OU=staff", True),
        ("O=Example", "CN=alice,O=Example+OU=Staff", False),
        ("O=Example+OU=Staff", "CN=alice,O=Example", False),
        ("", "CN=alice", True),
    ],
)
def test_a_subject_is_within_a_subtree_when_it_begins_with_it(base: str, subject: str, within: bool) -> None:
    for top, good in (
        (authority("CN=Root", permitted=directory(base)), within),
        (authority("CN=Root", excluded=directory(base)), not within),
    ):
        alice = leaf(top, subject)
        if good:
            assert verified([top], alice)
        else:
            rejection(CertificateProblem.NAME_NOT_PERMITTED, [top], alice)


@pytest.mark.parametrize("kind", [_ASN1Type.PrintableString, _ASN1Type.UTF8String, _ASN1Type.BMPString])
def test_the_string_type_does_not_matter(kind: _ASN1Type) -> None:
    base = in_order(((ORGANIZATION, "Example", kind),))
    rejection(
        CertificateProblem.NAME_NOT_PERMITTED,
        [top := authority("CN=Root", excluded=directory(base))],
        leaf(top, "CN=alice,O=Example"),
    )
    top = authority("CN=Root", permitted=directory(base))
    assert verified([top], leaf(top, "CN=alice,O=Example"))


def test_a_directory_name_in_the_alternative_name_is_held_to_it_as_well() -> None:
    top = authority("CN=Root", permitted=directory("O=Example"))
    assert verified([top], leaf(top, "CN=alice,O=Example", names=directory("CN=also,O=Example")))
    rejection(
        CertificateProblem.NAME_NOT_PERMITTED,
        [top],
        leaf(top, "CN=alice,O=Example", names=directory("CN=also,O=Example", "CN=but,O=Other")),
    )


def test_an_exclusion_within_what_is_permitted_counts() -> None:
    top = authority("CN=Root", permitted=directory("O=Example"), excluded=directory("OU=Guests,O=Example"))
    assert verified([top], leaf(top, "CN=alice,OU=Staff,O=Example"))
    rejection(CertificateProblem.NAME_NOT_PERMITTED, [top], leaf(top, "CN=bob,OU=guests,O=Example"))


def test_one_of_several_permitted_subtrees_is_enough() -> None:
    top = authority("CN=Root", permitted=directory("O=One", "O=Two"))
    assert verified([top], leaf(top, "CN=alice,O=Two"))
    error = rejection(CertificateProblem.NAME_NOT_PERMITTED, [top], leaf(top, "CN=alice,O=Three"))
    assert error.expected == "names within O=One, O=Two"
    assert error.found == "the name CN=alice,O=Three"


def test_the_names_of_intermediates_are_held_to_it_but_not_those_of_renewed_ones() -> None:
    top = authority("CN=Root", permitted=directory("O=Example"))
    outside = authority("CN=Middle", top)
    error = rejection(CertificateProblem.NAME_NOT_PERMITTED, [top], leaf(outside, "CN=alice,O=Example"), outside)
    assert error.certificate == outside.certificate
    inside = authority("CN=Middle,O=Example", top)
    assert verified([top], leaf(inside, "CN=alice,O=Example"), inside)
    # RFC 5280 6.1.3: a self-issued certificate is not, unless it is the leaf.
    renewed = authority("CN=Root", top)
    assert verified([top], leaf(renewed, "CN=alice,O=Example"), renewed)
    rejection(CertificateProblem.NAME_NOT_PERMITTED, [top], issue("CN=Root", top))


def test_every_ca_of_the_path_has_its_say() -> None:
    top = authority("CN=Root", permitted=directory("O=Example"))
    narrow = authority("CN=Middle,O=Example", top, permitted=directory("OU=Staff,O=Example"))
    wide = authority("CN=Wide,O=Example", top, permitted=directory("C=DE"))
    assert verified([top], leaf(narrow, "CN=alice,OU=Staff,O=Example"), narrow)
    rejection(CertificateProblem.NAME_NOT_PERMITTED, [top], leaf(narrow, "CN=alice,O=Example"), narrow)
    rejection(CertificateProblem.NAME_NOT_PERMITTED, [top], leaf(wide, "CN=alice,C=DE"), wide)


def test_directory_constraints_do_not_bear_on_other_forms() -> None:
    top = authority("CN=Root", permitted=dns("example.com"))
    assert verified([top], leaf(top, "CN=alice,O=Anything", names=dns("a.example.com")))
    # A certificate without a subject has no directory name to hold to it.
    top = authority("CN=Root", permitted=directory("O=Example"))
    assert verified([top], leaf(top, "", names=dns("a.example.com")))


def test_a_name_too_long_to_compare_is_refused_where_constraints_apply() -> None:
    long = ",".join(f"O={number}" for number in range(300))
    top = authority("CN=Root", excluded=directory("O=Example"))
    rejection(CertificateProblem.NAME_NOT_PERMITTED, [top], leaf(top, f"CN=alice,{long}"))
    top = authority("CN=Root", excluded=directory(f"CN=x,{long}"))
    rejection(CertificateProblem.NAME_NOT_PERMITTED, [top], leaf(top))
    free = authority("CN=Root")
    assert verified([free], leaf(free, f"CN=alice,{long}"))


@pytest.mark.parametrize(
    ("constraints", "names", "expected", "found"),
    [
        ({"permitted": dns("example.com")}, dns("a.example.org"), "within example.com", "the name a.example.org"),
        ({"excluded": dns("example.org")}, dns("a.example.org"), "not within example.org", "the name a.example.org"),
        ({"excluded": dns("")}, dns("a.example"), "not within any", "the name a.example"),
        (
            {"permitted": [x509.IPAddress(ipaddress.ip_network("10.0.0.0/8"))]},
            [x509.IPAddress(ipaddress.ip_address("192.0.2.1"))],
            "within 10.0.0.0/8",
            "the address 192.0.2.1",
        ),
        (
            {"permitted": dns(*[f"{number}.example" for number in range(6)])},
            dns("a.test"),
            "within 0.example, 1.example, 2.example, 3.example and 2 more",
            "the name a.test",
        ),
    ],
)
def test_what_was_permitted_and_what_came_is_said(
    constraints: dict[str, Any], names: list[x509.GeneralName], expected: str, found: str
) -> None:
    top = authority("CN=Root", **constraints)
    alice: Issued = leaf(top, names=names)
    error = rejection(CertificateProblem.NAME_NOT_PERMITTED, [top], alice)
    assert error.certificate == alice.certificate
    assert (error.expected, error.found) == (f"names {expected}", found)
    assert error.remedy == ("issue CN=alice anew without that name, or CN=Root with name constraints that permit it")
