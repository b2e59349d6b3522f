"""Which way verify_path goes where there are several: cross-signed CAs, renewed ones, loops, superfluous ones."""

from __future__ import annotations

import itertools
import random

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from tests.trust.issuing import Issued, authority, leaf
from tests.trust.verifying import counted, rejection, titles, verified
from trustls.errors import CertificateProblem, ConfigError
from trustls.trust.certificate import Certificate, Fault
from trustls.trust.path import PathFault, PathLimits


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def test_a_root_that_expired_gives_way_to_the_same_root_renewed() -> None:
    key = new_key()
    old, new = authority("CN=Root", key=key, days=(-20, -1)), authority("CN=Root", key=key)
    for roots in ([old, new], [new, old]):
        assert verified(roots, leaf(old))[-1] == new.certificate
    rejection(CertificateProblem.EXPIRED, [old], leaf(old), new)


def test_a_cross_signed_root_leads_to_the_root_that_is_trusted() -> None:
    young, old = authority("CN=Young"), authority("CN=Old")
    cross = authority("CN=Young", old, key=young.key)
    middle = authority("CN=Middle", young)
    alice = leaf(middle)
    assert titles(verified([old], alice, middle, cross)) == ["CN=alice", "CN=Middle", "CN=Young", "CN=Old"]
    assert titles(verified([young], alice, middle, cross)) == ["CN=alice", "CN=Middle", "CN=Young"]
    assert verified([old, young], alice, middle, cross)[-1] == young.certificate, "the shorter path is tried first"


def test_an_expired_cross_root_does_not_hide_the_good_one() -> None:
    """September 2021: DST Root CA X3 ended, and clients that saw no second path refused half the web."""
    young, old = authority("CN=Young"), authority("CN=Old", days=(-20, -1))
    cross = authority("CN=Young", old, key=young.key)
    middle = authority("CN=Middle", young)
    chain = leaf(middle), middle, cross, old
    for roots in ([old, young], [young, old]):
        assert verified(roots, *chain)[-1] == young.certificate
    rejection(CertificateProblem.EXPIRED, [old], *chain)


def test_a_cross_certificate_that_expired_itself_is_passed_by() -> None:
    key, root = new_key(), authority("CN=Root")
    expired = authority("CN=Middle", root, key=key, days=(-20, -1))
    other_way = authority("CN=Middle", authority("CN=Elsewhere"), key=key)
    good = authority("CN=Middle", root, key=key)
    for middles in itertools.permutations([expired, other_way, good]):
        assert verified([root], leaf(good), *middles)[1] == good.certificate


def test_the_order_of_what_is_sent_does_not_matter() -> None:
    root = authority("CN=Root")
    line = [root]
    for name in ("CN=First", "CN=Second", "CN=Third"):
        line.append(authority(name, line[-1]))
    alice = leaf(line[-1])
    strangers = [authority("CN=Stranger"), leaf(root, "CN=bob"), authority("CN=Second"), root]
    sent = [*line[1:], *strangers, line[2]]
    expected = ["CN=alice", "CN=Third", "CN=Second", "CN=First", "CN=Root"]
    shuffled = random.Random(4)
    for _ in range(20):
        shuffled.shuffle(sent)
        assert titles(verified([root], alice, *sent)) == expected, titles(tuple(one.certificate for one in sent))


def test_of_several_issuers_of_one_name_the_one_that_signed_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    root = authority("CN=Root")
    middles = [authority("CN=Middle", root) for _ in range(4)]
    alice = leaf(middles[2])
    for order in itertools.permutations(middles):
        assert verified([root], alice, *order) == (alice.certificate, middles[2].certificate, root.certificate)
    roots = [authority("CN=Root") for _ in range(4)]
    bob = leaf(roots[3], "CN=bob")
    work = counted(monkeypatch)
    assert verified(roots, bob)[-1] == roots[3].certificate
    assert work.signatures == 1, "the key identifier says which root it is"
    carol = leaf(roots[3], "CN=carol", key_identifiers=False)
    assert verified(roots, carol)[-1] == roots[3].certificate
    assert work.signatures == 1 + 4, "without it, each root of that name is tried once"


def test_of_a_hundred_roots_of_one_name_the_one_that_signed_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The CA of every cluster of Kubernetes is CN=kubernetes."""
    roots = [authority("CN=kubernetes") for _ in range(100)]
    middle = authority("CN=Middle", roots[60])
    for which in (0, 31, 32, 99):
        work = counted(monkeypatch)
        assert verified(roots, leaf(roots[which]))[-1] == roots[which].certificate
        assert (work.steps, work.signatures) == (1, 1)
    assert verified(roots, leaf(middle), middle)[-1] == roots[60].certificate


def test_a_key_identifier_is_a_hint_and_no_proof() -> None:
    root = authority("CN=Root")
    good, other = authority("CN=Middle", root), authority("CN=Middle", root)
    misled = x509.AuthorityKeyIdentifier.from_issuer_public_key(other.key.public_key())
    alice = leaf(good, key_identifiers=False, extra=[(misled, False)])
    assert verified([root], alice, good, other)[1] == good.certificate


def test_a_failed_signature_is_not_verified_again_on_another_path(monkeypatch: pytest.MonkeyPatch) -> None:
    roots = [authority("CN=Root") for _ in range(2)]
    impostor = Issued(roots[0].x509, new_key())
    top = authority("CN=Top", impostor)
    ways = [authority("CN=Way", top, key=new_key()) for _ in range(3)]
    work = counted(monkeypatch)
    rejection(CertificateProblem.BAD_SIGNATURE, roots, leaf(ways[0]), *ways, top)
    assert work.signatures == 2, "CN=Top was held against each of the two roots once, whatever stands below it"


def test_cas_that_certify_one_another_lead_nowhere() -> None:
    a, b, root = authority("CN=A"), authority("CN=B"), authority("CN=Root")
    a_by_b, b_by_a = authority("CN=A", b, key=a.key), authority("CN=B", a, key=b.key)
    error = rejection(CertificateProblem.UNKNOWN_ISSUER, [root], leaf(a), a_by_b, b_by_a)
    assert "which stands below it already: these CAs certify one another" in error.detail
    assert titles(error.failures[0].path) == ["CN=alice", "CN=A", "CN=B"]


def test_cas_that_certify_one_another_do_not_hide_the_way_to_a_root() -> None:
    root = authority("CN=Root")
    a, b = authority("CN=A"), authority("CN=B")
    a_by_b, b_by_a = authority("CN=A", b, key=a.key), authority("CN=B", a, key=b.key)
    b_by_root = authority("CN=B", root, key=b.key)
    for order in itertools.permutations([a_by_b, b_by_a, b_by_root]):
        assert titles(verified([root], leaf(a), *order)) == ["CN=alice", "CN=A", "CN=B", "CN=Root"]


def test_a_ca_that_renews_itself_for_ever_is_cut_off() -> None:
    root = authority("CN=Root")
    line = [authority("CN=A", root)]
    for _ in range(9):
        line.append(authority("CN=A", line[-1]))
    assert len(verified([root], leaf(line[8]), *line[:9])) == 11, "eight self-issued ones, and one that is not"
    # After the one true path it tries all the others that such a row of names allows, and then no more.
    error = rejection(CertificateProblem.BUDGET_EXHAUSTED, [root], leaf(line[9]), *line)
    assert "8 self-issued ones" in error.failures[0].expected
    assert error.failures[0].problem is CertificateProblem.PATH_TOO_LONG


def test_a_root_that_is_sent_along_is_not_taken_for_an_intermediate() -> None:
    root = authority("CN=Root", days=(-20, -1))
    error = rejection(CertificateProblem.EXPIRED, [root], leaf(root), root)
    assert len(error.failures) == 1


def test_a_path_that_the_caller_refuses_gives_way_to_the_next() -> None:
    root = authority("CN=Root")
    key = new_key()
    first, second = (authority("CN=Middle", root, key=key) for _ in range(2))
    alice = leaf(first)
    asked: list[tuple[Certificate, ...]] = []

    def only_second(path: tuple[Certificate, ...]) -> PathFault | None:
        asked.append(path)
        if path[1] == second.certificate:
            return None
        return path[1], Fault(CertificateProblem.REVOKED, "CN=Middle is revoked", remedy="renew it")

    assert verified([root], alice, first, second, check=only_second)[1] == second.certificate
    assert [path[1] for path in asked] == [first.certificate, second.certificate]
    assert all(path[0] == alice.certificate and path[-1] == root.certificate for path in asked)
    error = rejection(CertificateProblem.REVOKED, [root], alice, first, check=only_second)
    assert (error.certificate, error.detail, error.remedy) == (first.certificate, "CN=Middle is revoked", "renew it")
    assert error.failures[0].path == (alice.certificate, first.certificate, root.certificate)


def test_a_revoked_certificate_tells_more_than_one_that_expired() -> None:
    root = authority("CN=Root")
    key = new_key()
    good = authority("CN=Middle", root, key=key)
    older = authority("CN=Top", root, days=(-20, -1))
    longer = authority("CN=Middle", older, key=key)

    def revoked(path: tuple[Certificate, ...]) -> PathFault:
        return path[1], Fault(CertificateProblem.REVOKED, "gone")

    rejection(CertificateProblem.REVOKED, [root], leaf(good), good, longer, older, check=revoked)


def test_the_caller_is_asked_only_about_paths_that_are_good_in_all_else() -> None:
    root = authority("CN=Root")
    impostor = Issued(root.x509, new_key())

    def never(path: tuple[Certificate, ...]) -> PathFault | None:
        raise AssertionError(titles(path))

    rejection(CertificateProblem.BAD_SIGNATURE, [root], leaf(impostor), check=never)
    rejection(CertificateProblem.EXPIRED, [root], leaf(root, days=(-2, -1)), check=never)


def test_how_often_the_caller_is_asked_is_bounded() -> None:
    root = authority("CN=Root")
    key = new_key()
    middles = [authority("CN=Middle", root, key=key) for _ in range(5)]
    asked: list[int] = []

    def no(path: tuple[Certificate, ...]) -> PathFault:
        asked.append(len(path))
        return path[0], Fault(CertificateProblem.REVOCATION_UNKNOWN, "nobody knows")

    error = rejection(
        CertificateProblem.BUDGET_EXHAUSTED, [root], leaf(middles[0]), *middles, check=no, limits=PathLimits(checks=3)
    )
    assert len(asked) == 3
    assert error.expected == "at most 3 paths to check"
    assert {failure.problem for failure in error.failures} == {CertificateProblem.REVOCATION_UNKNOWN}


@pytest.mark.parametrize("limits", [{"steps": -1}, {"signatures": 1.5}, {"intermediates": 257}, {"certificates": None}])
def test_limits_are_numbers_that_can_be_kept(limits: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=next(iter(limits))):
        PathLimits(**limits)


def test_a_name_encoded_in_another_way_is_explained() -> None:
    root = authority("CN=Root")
    der = leaf(root).x509.public_bytes(Encoding.DER)
    as_utf8, as_printable = b"\x0c\x04Root", b"\x13\x04Root"
    assert der.count(as_utf8) == 1
    alice = Certificate.from_der(der.replace(as_utf8, as_printable))
    error = rejection(CertificateProblem.UNKNOWN_ISSUER, [root], alice)
    assert "a root here reads the same, but the bytes of the two names differ" in error.detail
    assert "byte for byte" in error.remedy
