"""Chains that a hostile peer makes up: the work to refuse them is counted, and bounded by PathLimits.

The certificates are changed copies of a few: their signatures do not verify, which is looked at last.
"""

from __future__ import annotations

import ipaddress
import itertools
from collections.abc import Callable, Iterator
from typing import TypeAlias

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.trust.issuing import NOW, Issued, authority, dn, leaf
from tests.trust.verifying import counted, rejection, verified
from trustls.errors import CertificateProblem, CertificateRejected
from trustls.trust.certificate import Certificate
from trustls.trust.path import PathLimits, Purpose, verify_path
from trustls.trust.roots import RootCertStore
from trustls.wire import names

FLOOD = 10_000
OPEN = PathLimits(certificates=2 * FLOOD)
ROOT = authority("CN=Root")

Flood: TypeAlias = Callable[[], tuple[Issued, list[Certificate]]]
Names: TypeAlias = Callable[[int], tuple[list[x509.GeneralName], list[x509.GeneralName]]]


def copies(one: Issued, *, keys: int = 1, old: bytes = b"", new: Iterator[bytes] | None = None) -> list[Certificate]:
    """The certificate 10,000 times, each time with another serial number, and with `keys` keys in turn."""
    der = one.x509.public_bytes(Encoding.DER)
    serial = one.x509.serial_number.to_bytes(4, "big")
    point = one.key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    points = [
        ec.generate_private_key(ec.SECP256R1()).public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        for _ in range(keys - 1)
    ]
    found = []
    for number, other in zip(range(FLOOD), itertools.cycle([point, *points]), strict=False):
        changed = der.replace(serial, (0x01000000 + number).to_bytes(4, "big"), 1).replace(point, other)
        found.append(Certificate.from_der(changed.replace(old, next(new)) if new else changed))
    return found


def ca(subject: str, issuer: str, **options: object) -> Issued:
    """A CA certificate that says it is from `issuer`, which it is not."""
    key = ec.generate_private_key(ec.SECP256R1())
    return authority(subject, Issued(authority(issuer).x509, key), serial_number=0x7F112233, **options)


def same_name_same_key() -> tuple[Issued, list[Certificate]]:
    one = ca("CN=A", "CN=A")
    return leaf(one), copies(one)


def same_name_same_key_from_nowhere() -> tuple[Issued, list[Certificate]]:
    one = ca("CN=A", "CN=B")
    return leaf(one), copies(one)


def same_name_other_keys() -> tuple[Issued, list[Certificate]]:
    one = ca("CN=A", "CN=A")
    return leaf(one), copies(one, keys=600)


def false_children_of_the_root() -> tuple[Issued, list[Certificate]]:
    one = ca("CN=A", "CN=Root")
    return leaf(one), copies(one, keys=600)


def expired_ones() -> tuple[Issued, list[Certificate]]:
    one = ca("CN=A", "CN=Root", days=(-9, -8))
    return leaf(one), copies(one, keys=600)


def two_names_that_certify_one_another() -> tuple[Issued, list[Certificate]]:
    a, b = ca("CN=A", "CN=B"), ca("CN=B", "CN=A")
    return leaf(a), [*copies(a, keys=300), *copies(b, keys=300)][: 2 * FLOOD - 1]


def a_chain() -> tuple[Issued, list[Certificate]]:
    one = ca("CN=C00000", "CN=B00000")
    names = iter(range(FLOOD))

    def numbered() -> Iterator[bytes]:
        for number in names:
            yield b"B%05d" % number

    # B00000 is the issuer and C00000 the subject: each gets the number of the next as its issuer.
    raised = copies(one, old=b"B00000", new=numbered())
    chain = [
        Certificate.from_der(one.der.replace(b"C00000", b"B%05d" % (number - 1)))
        for number, one in enumerate(raised)
        if number
    ]
    return leaf(Issued(authority("CN=B00000").x509, one.key)), chain


FLOODS: list[Flood] = [
    same_name_same_key,
    same_name_same_key_from_nowhere,
    same_name_other_keys,
    false_children_of_the_root,
    expired_ones,
    two_names_that_certify_one_another,
    a_chain,
]


@pytest.mark.parametrize("made", FLOODS, ids=lambda made: made.__name__)
def test_ten_thousand_intermediates_take_bounded_work(made: Flood, monkeypatch: pytest.MonkeyPatch) -> None:
    alice, flood = made()
    assert len(flood) >= FLOOD - 1
    work = counted(monkeypatch)
    problem = CertificateProblem.PATH_TOO_LONG if made is a_chain else CertificateProblem.BUDGET_EXHAUSTED
    error = rejection(problem, [ROOT], alice, *flood, limits=OPEN)
    assert work.steps <= OPEN.steps
    assert work.signatures <= OPEN.signatures
    assert len(error.failures) <= 32
    assert len(str(error)) < 2000
    assert error.remedy


def test_more_certificates_than_the_limit_are_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    alice, flood = same_name_other_keys()
    work = counted(monkeypatch)
    error = rejection(CertificateProblem.CHAIN_TOO_LONG, [ROOT], alice, *flood)
    assert (error.expected, error.found) == ("at most 16 certificates", "10001")
    assert (work.steps, work.signatures) == (0, 0)


def test_the_same_certificate_ten_thousand_times_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    middle = authority("CN=Middle", ROOT)
    work = counted(monkeypatch)
    assert len(verified([ROOT], leaf(middle), *[middle] * FLOOD, limits=OPEN)) == 3
    assert work.steps == 2


def test_roots_of_the_name_that_a_flood_claims_do_not_multiply_its_work(monkeypatch: pytest.MonkeyPatch) -> None:
    roots = [authority("CN=Root") for _ in range(20)]
    one = ca("CN=A", "CN=Root")
    work = counted(monkeypatch)
    rejection(CertificateProblem.BUDGET_EXHAUSTED, roots, leaf(one), *copies(one, keys=20), limits=OPEN)
    assert work.signatures == OPEN.signatures
    assert work.steps <= OPEN.steps


@pytest.mark.parametrize("limit", ["steps", "signatures"])
def test_each_budget_ends_the_search_at_its_limit(limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    false_children = [authority("CN=A", Issued(ROOT.x509, key)) for _ in range(15)]
    work = counted(monkeypatch)
    limits = PathLimits(**{limit: 11})
    error = rejection(
        CertificateProblem.BUDGET_EXHAUSTED, [ROOT], leaf(false_children[0]), *false_children, limits=limits
    )
    assert error.expected.startswith("at most 11 ")
    assert error.certificate is None
    assert (work.steps if limit == "steps" else work.signatures) == 11


def dns_names(count: int) -> tuple[list[x509.GeneralName], list[x509.GeneralName]]:
    return [x509.DNSName(f"{n}.example.org") for n in range(count)], [x509.DNSName(f"{n}.net") for n in range(count)]


def directory_names(count: int) -> tuple[list[x509.GeneralName], list[x509.GeneralName]]:
    return (
        [x509.DirectoryName(dn(f"O=p{number},CN=a")) for number in range(count)],
        [x509.DirectoryName(dn(f"O=o{number},CN=a")) for number in range(count)],
    )


def addresses(count: int) -> tuple[list[x509.GeneralName], list[x509.GeneralName]]:
    return (
        [x509.IPAddress(ipaddress.ip_address(0x0B000000 + number)) for number in range(count)],
        [x509.IPAddress(ipaddress.ip_network((0x0A000000 + number, 32))) for number in range(count)],
    )


@pytest.mark.parametrize("made", [dns_names, directory_names, addresses], ids=lambda made: made.__name__)
def test_names_and_constraints_are_compared_as_often_as_the_budget_allows(made: Names) -> None:
    names, bases = made(150)
    top = authority("CN=Top", excluded=bases)
    assert verified([top], leaf(top, names=names)), "150 names and 150 constraints are an honest CA's"
    names, bases = made(300)
    top = authority("CN=Top", excluded=bases)
    rejection(CertificateProblem.BUDGET_EXHAUSTED, [top], leaf(top, names=names))


def test_long_directory_names_are_counted_for_their_length() -> None:
    long = ",".join(f"O={number}" for number in range(120))
    top = authority("CN=Top", excluded=[x509.DirectoryName(dn(f"{long},CN={number}")) for number in range(20)])
    alice = leaf(top, names=[x509.DirectoryName(dn(f"{long},O={number}")) for number in range(20)])
    rejection(CertificateProblem.BUDGET_EXHAUSTED, [top], alice, limits=PathLimits(name_comparisons=1000))
    assert verified([top], alice)


def test_names_and_constraints_count_though_there_is_nothing_to_compare_them_with() -> None:
    """Three layers of CAs, each certified five times over: 125 paths, all of which one address rules out at last."""
    _, bases = dns_names(300)
    crowd = [ROOT]
    for number in range(3):
        key, above = ec.generate_private_key(ec.SECP256R1()), crowd[-1]
        excluded = [*bases, *([x509.IPAddress(ipaddress.ip_network("10.0.0.0/8"))] if number == 2 else [])]
        crowd += [authority(f"CN=A{number}", above, key=key, excluded=excluded) for _ in range(5)]
    alice = leaf(crowd[-1], names=[x509.IPAddress(ipaddress.ip_address("10.0.0.1"))])
    error = rejection(CertificateProblem.BUDGET_EXHAUSTED, [ROOT], alice, *crowd[1:])
    assert error.expected == "at most 65536 names to compare with name constraints"


def test_a_crowd_of_one_long_name_is_put_into_words_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of them is passed over hundreds of times, with a sentence about it that few will ever read."""
    long = ",".join(f"OU=\u202e{number}" for number in range(100))
    expired = [ca(long, long, days=(-9, -8)) for _ in range(7)]
    good = [ca(long, long) for _ in range(8)]
    parts = put_into_words(monkeypatch)
    rejection(CertificateProblem.BUDGET_EXHAUSTED, [ROOT], leaf(good[0]), *expired, *good)
    assert len(parts) <= 1000


def test_the_names_of_many_roots_are_not_put_into_words_for_each_stranger(monkeypatch: pytest.MonkeyPatch) -> None:
    roots = RootCertStore([authority(f"CN=Root {number},O=Example").x509 for number in range(300)])
    parts = put_into_words(monkeypatch)
    for name in ("alice", "bob"):
        parts.clear()
        stranger = leaf(ca("CN=A", "CN=B"), f"CN={name}").certificate
        with pytest.raises(CertificateRejected, match=f"CN={name} was issued by CN=A, which is neither a root here"):
            verify_path([stranger], roots, purpose=Purpose.CLIENT_AUTH, now=NOW)
    assert len(parts) <= 30


def put_into_words(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The attributes of names that are put into words from here on."""
    parts: list[bytes] = []
    attribute_text: Callable[[bytes, int, bytes], str] = vars(names)["_attribute_text"]

    def noting(oid: bytes, tag: int, value: bytes) -> str:
        parts.append(value)
        return attribute_text(oid, tag, value)

    monkeypatch.setattr(names, "_attribute_text", noting)
    return parts


def test_constraints_that_a_peer_makes_up_are_not_compared_with_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    """The signature comes first: names are held against the constraints of true CAs alone."""
    monkeypatch.setattr("trustls.trust.constraints.constraint_fault", None)
    impostor = Issued(ROOT.x509, ec.generate_private_key(ec.SECP256R1()))
    middle = authority("CN=Middle", impostor, permitted=directory_names(200)[1])
    alice = leaf(middle, names=directory_names(200)[0])
    rejection(CertificateProblem.BAD_SIGNATURE, [ROOT], alice, middle)
