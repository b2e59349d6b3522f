"""What `verify_path` remembers of a path never answers for another day, another store, or another question."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from tests.trust.issuing import CLIENT, DAY, NOW, SERVER, Issued, authority, dns, leaf, raw
from tests.trust.revoking import revocation_list
from tests.trust.verifying import counted
from trustls.errors import CertificateProblem, CertificateRejected
from trustls.trust.authorize import Authorize
from trustls.trust.certificate import Certificate, Fault
from trustls.trust.crl import CrlStore
from trustls.trust.names import ServerName
from trustls.trust.path import PathFault, PathLimits, Profile, Purpose, verify_path
from trustls.trust.roots import RootCertStore
from trustls.trust.verifiers import RootsClientVerifier, RootsServerVerifier


@pytest.fixture(scope="module")
def root() -> Issued:
    return authority("CN=Root")


def store(*roots: Issued) -> RootCertStore:
    return RootCertStore([one.x509 for one in roots])


def paths(*chain: Issued) -> tuple[Certificate, ...]:
    return tuple([one.certificate for one in chain])


def verified(roots: RootCertStore, chain: Sequence[Certificate], **options: Any) -> tuple[Certificate, ...]:
    return verify_path(chain, roots, **{"purpose": Purpose.CLIENT_AUTH, "now": NOW, **options})


def refused(roots: RootCertStore, chain: Sequence[Certificate], **options: Any) -> CertificateProblem:
    with pytest.raises(CertificateRejected) as caught:
        verified(roots, chain, **options)
    return caught.value.reason


def test_a_path_is_searched_for_once(root: Issued, monkeypatch: pytest.MonkeyPatch) -> None:
    middle = authority("CN=Middle", root)
    chain = paths(leaf(middle), middle)
    roots = store(root)
    first = verified(roots, chain)
    work = counted(monkeypatch)
    again = verified(roots, tuple([Certificate.from_der(bytes(bytearray(one.der))) for one in chain]))
    assert again == first
    assert not work.steps, "the same certificates were looked at anew"
    assert not work.signatures


@pytest.mark.parametrize(("now", "problem"), [(NOW + 6 * DAY, "EXPIRED"), (NOW - 6 * DAY, "NOT_YET_VALID")])
@pytest.mark.parametrize("which", ["leaf", "intermediate", "root"])
def test_time_passes(which: str, now: float, problem: str) -> None:
    days = {name: (-5, 5) if name == which else (-20, 20) for name in ("leaf", "intermediate", "root")}
    anchor = authority("CN=Anchor", days=days["root"])
    middle = authority("CN=Middle", anchor, days=days["intermediate"])
    roots, chain = store(anchor), paths(leaf(middle, days=days["leaf"]), middle)
    assert verified(roots, chain, now=NOW + 5 * DAY)
    assert refused(roots, chain, now=now).name == problem, f"the {which} is not valid at that time"
    assert verified(roots, chain, now=NOW), "and it comes back when the clock does"


def test_a_root_that_is_taken_away_takes_its_paths_along(root: Issued) -> None:
    chain = paths(leaf(root))
    both, other = store(root), store(authority("CN=Other"))
    assert verified(both, chain)
    assert refused(other, chain) is CertificateProblem.UNKNOWN_ISSUER
    joined = both | other
    assert verified(joined, chain)
    assert len(both.verified_paths) == 1


def test_a_failure_is_not_remembered(root: Issued) -> None:
    chain = paths(leaf(root))
    roots = store(authority("CN=Other"))
    assert refused(roots, chain) is CertificateProblem.UNKNOWN_ISSUER
    assert not len(roots.verified_paths)
    roots.add(root.x509)
    assert verified(roots, chain), "the root has come since"


def test_a_store_that_grows_forgets(root: Issued) -> None:
    chain = paths(leaf(root))
    roots = store(root)
    verified(roots, chain)
    roots.add(authority("CN=Other").x509)
    assert not len(roots.verified_paths)


def test_a_path_that_is_found_while_the_roots_change_is_not_remembered(root: Issued) -> None:
    """It may lead to a root that a copy of the old store never had."""
    chain = paths(leaf(root))
    roots = store(authority("CN=Other"))
    twin = RootCertStore.__copy__(roots)
    roots.add(root.x509)
    before = roots.verified_paths

    def grows(path: tuple[Certificate, ...]) -> PathFault | None:
        if roots.verified_paths is before:
            roots.add(authority("CN=Third").x509)
        return None

    assert verified(roots, chain, check=grows)
    assert not len(before)
    assert not len(roots.verified_paths)
    assert refused(twin, chain) is CertificateProblem.UNKNOWN_ISSUER


def test_another_purpose_is_another_question(root: Issued) -> None:
    roots = store(root)
    chain = paths(leaf(root, purposes=(CLIENT,)))
    assert verified(roots, chain, purpose=Purpose.CLIENT_AUTH)
    assert refused(roots, chain, purpose=Purpose.SERVER_AUTH) is CertificateProblem.WRONG_PURPOSE


def test_another_profile_is_another_question(root: Issued) -> None:
    roots = store(root)
    chain = paths(leaf(root, purposes=()))
    assert verified(roots, chain, profile=Profile.PRIVATE)
    assert refused(roots, chain, profile=Profile.WEBPKI) is CertificateProblem.AGAINST_PROFILE


def test_tighter_limits_are_kept(root: Issued) -> None:
    middle = authority("CN=Middle", root)
    roots, chain = store(root), paths(leaf(middle), middle)
    assert verified(roots, chain)
    for limits in (PathLimits(intermediates=0), PathLimits(steps=0), PathLimits(certificates=1)):
        assert refused(roots, chain, limits=limits) in (
            CertificateProblem.PATH_TOO_LONG,
            CertificateProblem.BUDGET_EXHAUSTED,
            CertificateProblem.CHAIN_TOO_LONG,
        )


def test_other_certificates_beside_the_leaf_are_another_chain(root: Issued) -> None:
    middle = authority("CN=Middle", root)
    roots, alice = store(root), leaf(middle)
    assert verified(roots, paths(alice, middle))
    assert refused(roots, paths(alice)) is CertificateProblem.UNKNOWN_ISSUER
    assert refused(roots, paths(middle, alice)) is CertificateProblem.CA_AS_END_ENTITY


def test_what_else_is_to_be_checked_is_checked_each_time(root: Issued) -> None:
    roots, chain = store(root), paths(leaf(root))
    asked: list[tuple[Certificate, ...]] = []

    def check(path: tuple[Certificate, ...]) -> PathFault | None:
        asked.append(path)
        return None

    for _ in range(3):
        verified(roots, chain, check=check)
    assert asked == [(chain[0], root.certificate)] * 3
    verified(roots, chain)


def test_another_path_is_taken_when_the_known_one_is_not_good_any_more(root: Issued) -> None:
    key = authority("CN=Middle", root)
    older, newer = authority("CN=Middle", root, key=key.key), authority("CN=Middle", root, key=key.key)
    roots, chain = store(root), paths(leaf(older), older, newer)
    first = verified(roots, chain)

    def not_the_first(path: tuple[Certificate, ...]) -> PathFault | None:
        return (path[1], Fault(CertificateProblem.REVOKED, "since then")) if path[1] == first[1] else None

    assert verified(roots, chain, check=not_the_first)[1] != first[1]


def test_a_new_list_revokes_a_client_whose_path_is_known(root: Issued) -> None:
    alice = leaf(root)

    class Lists:
        current = CrlStore([revocation_list(root, number=1)])

    lists = Lists()
    verifier = RootsClientVerifier(store(root), crls=lists)
    verifier.verify_client(paths(alice), now=NOW)
    lists.current = CrlStore([revocation_list(root, alice, number=2)])
    with pytest.raises(CertificateRejected) as caught:
        verifier.verify_client(paths(alice), now=NOW)
    assert caught.value.reason is CertificateProblem.REVOKED
    with pytest.raises(CertificateRejected) as caught:
        verifier.verify_client(paths(alice), now=NOW + 2 * DAY)
    assert caught.value.reason is CertificateProblem.REVOKED, "an old list that names it counts, too"


def test_a_list_that_is_out_of_date_is_seen_though_the_path_is_known(root: Issued) -> None:
    alice = leaf(root)
    verifier = RootsClientVerifier(store(root), crls=[revocation_list(root)])
    verifier.verify_client(paths(alice), now=NOW)
    with pytest.raises(CertificateRejected) as caught:
        verifier.verify_client(paths(alice), now=NOW + 2 * DAY)
    assert caught.value.reason is CertificateProblem.CRL_EXPIRED


def test_name_and_staple_are_asked_for_each_time(root: Issued) -> None:
    server = leaf(root, "CN=server", purposes=(SERVER,), names=dns("a.example"))
    roots = store(root)
    RootsServerVerifier(roots).verify_server(paths(server), ServerName("a.example"), now=NOW)
    with pytest.raises(CertificateRejected) as caught:
        RootsServerVerifier(roots).verify_server(paths(server), ServerName("b.example"), now=NOW)
    assert caught.value.reason is CertificateProblem.NAME_MISMATCH
    with pytest.raises(CertificateRejected) as caught:
        RootsServerVerifier(roots, ocsp="required").verify_server(paths(server), ServerName("a.example"), now=NOW)
    assert caught.value.reason is CertificateProblem.STAPLE_MISSING


def test_a_rule_is_asked_each_time(root: Issued) -> None:
    client = leaf(root, names=dns("a.example"))
    lets_in = True
    verifier = RootsClientVerifier(store(root), authorize=Authorize.function(lambda peer: lets_in))
    verifier.verify_client(paths(client), now=NOW)
    lets_in = False
    with pytest.raises(CertificateRejected) as caught:
        verifier.verify_client(paths(client), now=NOW)
    assert caught.value.reason is CertificateProblem.REFUSED


def test_memory_is_bounded(root: Issued) -> None:
    roots, chain = store(root), paths(leaf(root))
    verified(roots, chain)
    memory = roots.verified_paths
    path = memory.get((Purpose.CLIENT_AUTH, Profile.PRIVATE, *chain))
    assert path is not None, "it is known by its purpose, its profile and its certificates"
    for number in range(3000):
        memory.put((number,), path, weight=3072)
    assert len(memory) <= 1024, "paths"
    for number in range(3000):
        memory.put((number, "heavy"), path, weight=1 << 14)
    assert len(memory) << 14 <= 1 << 22, "bytes"


def test_a_chain_full_of_ballast_is_not_remembered(root: Issued) -> None:
    roots, alice = store(root), leaf(root)
    ballast = [authority("CN=Ballast", extra=[(raw("1.2.3.4", bytes(50_000)), False)]) for _ in range(8)]
    assert verified(roots, paths(alice, *ballast))
    assert not len(roots.verified_paths), "whoever has one good certificate could fill the memory with bad ones"
