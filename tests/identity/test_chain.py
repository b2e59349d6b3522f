"""Chains are put in order, and what that took is reported; a chain that cannot be mended is refused."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from tests.support.examples import COMPARES_BYTES
from tests.trust.issuing import Issued, authority, leaf, raw
from trustls.errors import ConfigError, KeyMismatch
from trustls.identity.credential import Credential, CredentialWarning
from trustls.identity.signer import KeySigner
from trustls.trust.certificate import Certificate
from trustls.wire.enums import SignatureScheme

LONG = (-3650, 36500)

ROOT = authority("CN=Root", days=LONG)
MIDDLE = authority("CN=Middle", ROOT, days=LONG)
ISSUING = authority("CN=Issuing", MIDDLE, days=LONG)
ALICE = leaf(ISSUING, days=LONG)
STRANGE_ROOT = authority("CN=Strange Root", days=LONG)
STRANGER = leaf(STRANGE_ROOT, "CN=stranger", days=LONG)
NAMESAKE = authority("CN=Issuing", STRANGE_ROOT, days=LONG)


def made(certificates: Sequence[Issued], key: Any = ALICE.key) -> Credential:
    return Credential([issued.x509 for issued in certificates], key)


def titles(credential: Credential) -> list[str]:
    return [certificate.title for certificate in credential.chain]


@functools.cache
def rsa_key(size: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=size)


class Silent:
    """A signer that shows no public key."""

    schemes = (SignatureScheme.ECDSA_SECP256R1_SHA256,)

    def sign(self, scheme: SignatureScheme, message: bytes) -> bytes:
        raise AssertionError("nobody asks for a signature here")


class Shows(Silent):
    """A signer that shows a public key."""

    def __init__(self, public_key: Any) -> None:
        self.public_key = public_key


# -- Order ------------------------------------------------------------------------------------------------------------


def test_chain_in_order_is_kept_as_it_is_and_there_is_nothing_to_report() -> None:
    whole = made([ALICE, ISSUING, MIDDLE, ROOT])
    assert titles(whole) == ["CN=alice", "CN=Issuing", "CN=Middle", "CN=Root"]
    assert whole.report == ()
    assert made([ALICE]).report == (), "who has the intermediates need not be sent any"


@pytest.mark.parametrize("order", list(itertools.permutations([ALICE, ISSUING, MIDDLE, ROOT])))
def test_chain_in_any_order_is_put_in_order(order: tuple[Issued, ...]) -> None:
    credential = made(order)
    assert titles(credential) == ["CN=alice", "CN=Issuing", "CN=Middle", "CN=Root"]
    if order != (ALICE, ISSUING, MIDDLE, ROOT):
        assert credential.report == ("put in order: CN=alice <- CN=Issuing <- CN=Middle <- CN=Root",)


def test_root_is_not_sent_and_a_leaf_that_signed_itself_is() -> None:
    credential = made([ALICE, ISSUING, MIDDLE, ROOT])
    assert credential.sent_chain == credential.chain[:3]
    assert made([ALICE, ISSUING]).sent_chain == made([ALICE, ISSUING]).chain, "there is no root to leave out"
    own = leaf(STRANGE_ROOT, issuer_name="CN=own", subject="CN=own", days=LONG)
    alone = authority("CN=alone", days=LONG)
    assert made([alone], alone.key).sent_chain == (alone.certificate,)
    # Its issuer has its name, but another key: no root (RFC 5280 3.2, self-issued).
    assert made([own], own.key).sent_chain == (own.certificate,)


def test_issuer_of_the_same_name_under_another_key_is_no_root_and_is_sent() -> None:
    """A key rollover: the new key, certified by the old one, under one name (RFC 4210 4.4)."""
    new = authority("CN=Root", ROOT, days=LONG)
    alice = leaf(new, days=LONG)
    credential = made([new, alice, ROOT], alice.key)
    assert credential.chain == (alice.certificate, new.certificate, ROOT.certificate)
    assert credential.sent_chain == (alice.certificate, new.certificate)


def test_duplicates_are_removed_and_reported() -> None:
    credential = made([ALICE, ISSUING, ALICE, ISSUING, ISSUING])
    assert titles(credential) == ["CN=alice", "CN=Issuing"]
    (said,) = credential.report
    assert said.startswith("given more than once: CN=alice (issued by CN=Issuing"), said


def test_certificates_off_the_path_are_left_out_and_reported() -> None:
    credential = made([STRANGER, ALICE, STRANGE_ROOT, ISSUING, NAMESAKE])
    assert titles(credential) == ["CN=alice", "CN=Issuing"]
    assert credential.report == (
        "left out CN=stranger: it is not on the path of CN=alice",
        "left out CN=Strange Root: it is not on the path of CN=alice",
        "left out CN=Issuing: it has the name of the issuer of CN=alice, but another key",
    )


def test_report_stays_short_when_a_whole_bundle_is_left_out() -> None:
    bundle = [authority(f"CN=Root {number}", days=LONG) for number in range(20)]
    report = made([ALICE, ISSUING, *bundle]).report
    assert len(report) == 9
    assert report[-1] == "left out 12 more that are not on the path of CN=alice"


def test_gap_further_up_leaves_out_what_is_behind_it() -> None:
    credential = made([ALICE, ISSUING, ROOT])
    assert titles(credential) == ["CN=alice", "CN=Issuing"]
    assert credential.report == ("left out CN=Root: it is not on the path of CN=alice",)


@COMPARES_BYTES
@given(st.permutations([ALICE, ISSUING, MIDDLE, ROOT]), st.lists(st.sampled_from([STRANGER, STRANGE_ROOT, NAMESAKE])))
def test_any_order_with_any_superfluous_certificates_gives_the_same_credential(
    chain: list[Issued], superfluous: list[Issued]
) -> None:
    given_certificates = [*chain[:2], *superfluous, *chain[2:], *chain[:1]]
    for signer in (ALICE.key, Shows(ALICE.key.public_key())):
        credential = made(given_certificates, signer)
        assert titles(credential) == ["CN=alice", "CN=Issuing", "CN=Middle", "CN=Root"]
        for extra in {issued.certificate for issued in superfluous}:
            assert any(f"left out {extra.title}" in said for said in credential.report)


# -- Several certificates of one issuer -------------------------------------------------------------------------------

OTHER_ROOT = authority("CN=Other Root", days=LONG)
OTHER_MIDDLE = authority("CN=Other Middle", OTHER_ROOT, days=LONG)


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_cross_signed_issuer_is_taken_where_it_leads_further(order: tuple[int, ...]) -> None:
    """Who trusts the near root finds it by itself, and who trusts the far one needs the cross-certificate."""
    crossed = authority("CN=Middle", OTHER_MIDDLE, key=MIDDLE.key, days=LONG)
    all_of_them = [ALICE, ISSUING, crossed, MIDDLE]
    credential = made([all_of_them[number] for number in order] + [OTHER_MIDDLE])
    assert credential.chain[2:] == (crossed.certificate, OTHER_MIDDLE.certificate)
    assert any("another certificate of the same name and key is in its place" in said for said in credential.report)


@pytest.mark.parametrize("turned", [False, True])
def test_root_that_another_root_signed_too_is_sent_in_that_form(turned: bool) -> None:
    crossed = authority("CN=Root", OTHER_ROOT, key=ROOT.key, days=LONG)
    pair = [crossed, ROOT][:: -1 if turned else 1]
    credential = made([ALICE, ISSUING, MIDDLE, *pair])
    assert credential.sent_chain[3:] == (crossed.certificate,)


@pytest.mark.parametrize("turned", [False, True])
def test_expired_certificate_of_an_issuer_gives_way_to_a_valid_one(turned: bool) -> None:
    crossed = authority("CN=Root", OTHER_ROOT, key=ROOT.key, days=(-30, -20))
    pair = [crossed, ROOT][:: -1 if turned else 1]
    assert made([ALICE, ISSUING, MIDDLE, *pair]).chain[3:] == (ROOT.certificate,)


@pytest.mark.parametrize("turned", [False, True])
def test_renewed_certificate_of_an_issuer_is_preferred(turned: bool) -> None:
    renewed = authority("CN=Issuing", MIDDLE, key=ISSUING.key, days=(-3650, 36600))
    pair = [renewed, ISSUING][:: -1 if turned else 1]
    assert made([ALICE, *pair]).chain[1:] == (renewed.certificate,)


def test_issuers_that_certify_each_other_end_somewhere() -> None:
    """A by B, B by A, and each by itself: the chain goes no place twice."""
    one, two = authority("CN=One", days=LONG), authority("CN=Two", days=LONG)
    one_by_two = authority("CN=One", two, key=one.key, days=LONG)
    two_by_one = authority("CN=Two", one, key=two.key, days=LONG)
    bob = leaf(one, "CN=bob", days=LONG)
    for order in itertools.permutations([one, two, one_by_two, two_by_one, bob]):
        credential = made(order, bob.key)
        assert credential.chain == (bob.certificate, one_by_two.certificate, two.certificate)


def test_many_ways_to_one_root_take_no_time_and_the_order_still_does_not_matter() -> None:
    """Nine levels, each with six certificates: ten million paths, of which a thousand are looked at."""
    above = [ROOT]
    levels: list[Issued] = []
    for number in range(9):
        key = ec.generate_private_key(ec.SECP256R1())
        above = [authority(f"CN=Level {number}", above[0], key=key, days=(-3650, 36500 + n)) for n in range(6)]
        levels += above
    bob = leaf(above[0], "CN=bob", days=LONG)
    chains = {made(order, bob.key).chain for order in ([bob, *levels], [*reversed(levels), bob])}
    assert len(chains) == 1
    assert len(chains.pop()) == 10


def test_way_that_is_too_long_gives_way_to_a_shorter_one() -> None:
    issuer = OTHER_ROOT
    detour: list[Issued] = []
    for number in range(10):
        issuer = authority(f"CN=Level {number}", issuer, days=LONG)
        detour.append(issuer)
    crossed = authority("CN=Root", issuer, key=ROOT.key, days=LONG)
    assert made([ALICE, ISSUING, MIDDLE, ROOT, crossed, *detour]).chain[3:] == (ROOT.certificate,)


@pytest.mark.parametrize("levels", [1, 2])
def test_key_that_cas_of_the_chain_have_too_leaves_no_doubt_about_the_leaf(levels: int) -> None:
    """Odd, and nothing to be in doubt about: only one of the certificates is no CA."""
    above = authority("CN=Middle", ROOT, key=ALICE.key, days=LONG) if levels == 2 else MIDDLE
    shared = authority("CN=Issuing", above, key=ALICE.key, days=LONG)
    alice = leaf(shared, key=ALICE.key, days=LONG)
    for order in itertools.permutations([alice, shared, above]):
        assert titles(made(order)) == ["CN=alice", "CN=Issuing", "CN=Middle"]


# -- Refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("certificates", "said"),
    [
        (
            [ALICE, MIDDLE],
            "CN=alice was issued by CN=Issuing, which is not among the other certificates given: CN=Midd",
        ),
        ([ROOT, ALICE, STRANGER], "which is not among the other certificates given: CN=Root"),
        ([ALICE, NAMESAKE], "the certificate of that name given did not sign it: it has another key"),
    ],
    ids=["missing link", "nothing of its path", "same name, other key"],
)
def test_chain_without_its_first_link_is_refused(certificates: list[Issued], said: str) -> None:
    with pytest.raises(ConfigError, match="the chain is broken") as refused:
        made(certificates)
    assert said in str(refused.value)
    assert "add the issuer's certificate, or give the leaf alone" in str(refused.value), "there is no remedy"


def test_two_certificates_for_the_key_are_refused_by_name() -> None:
    renewed = leaf(ISSUING, key=ALICE.key, days=(-3650, 36600))
    with pytest.raises(ConfigError, match="2 certificates are for this key, and one of them can be presented") as said:
        made([ALICE, renewed, ISSUING])
    assert str(said.value).count("CN=alice (issued by CN=Issuing") == 2
    shared = authority("CN=Issuing", MIDDLE, key=ALICE.key, days=LONG)
    with pytest.raises(ConfigError, match="3 certificates are for this key"):
        made([ALICE, renewed, shared])
    with pytest.raises(ConfigError, match="2 certificates are for this key"):
        made([shared, authority("CN=Root", key=ALICE.key, days=LONG)])


def test_key_of_none_of_the_certificates_is_refused() -> None:
    with pytest.raises(KeyMismatch, match=r"the private key does not belong to the certificate CN=alice$"):
        made([ALICE], STRANGER.key)
    with pytest.raises(KeyMismatch, match="to the certificate CN=alice, nor to any of the 2 beside it"):
        made([ALICE, ISSUING, MIDDLE], STRANGER.key)


def test_chain_that_is_too_long_is_refused() -> None:
    issuer = ROOT
    chain: list[Issued] = []
    for number in range(11):
        issuer = authority(f"CN=Level {number}", issuer, days=LONG)
        chain.insert(0, issuer)
    bob = leaf(issuer, "CN=bob", days=LONG)
    with pytest.raises(ConfigError, match="the chain of CN=bob is longer than the 10 certificates that peers accept"):
        made([bob, *chain], bob.key)
    assert len(made([bob, *chain[:9]], bob.key).chain) == 10
    whole = [leaf(chain[2], "CN=bob", key=bob.key, days=LONG), *chain[2:], ROOT]
    assert len(made(whole, bob.key).chain) == 11, "ten are sent, and the root is not"


# -- Signers that show their key, and those that do not ---------------------------------------------------------------


@pytest.mark.parametrize("how", ["property", "method", "KeySigner"])
def test_key_that_a_signer_shows_must_be_the_leafs(how: str) -> None:
    def signer(key: ec.EllipticCurvePrivateKey) -> Any:
        if how == "KeySigner":
            return KeySigner(key)
        return Shows(key.public_key() if how == "property" else key.public_key)

    assert titles(made([ISSUING, ALICE], signer(ALICE.key))) == ["CN=alice", "CN=Issuing"]
    with pytest.raises(KeyMismatch, match="does not belong to the certificate CN=alice"):
        made([ALICE], signer(STRANGER.key))


def test_public_key_of_a_signer_must_be_a_key() -> None:
    with pytest.raises(ConfigError, match="`public_key` of the signer is bytes; it must be a public key"):
        made([ALICE], Shows(b"a key"))
    assert made([ALICE], Shows(None)).chain, "None: the signer does not know it"


@pytest.mark.parametrize("order", list(itertools.permutations([ALICE, ISSUING, MIDDLE, ROOT])))
def test_leaf_of_a_signer_that_shows_no_key_is_the_one_that_is_no_ca(order: tuple[Issued, ...]) -> None:
    assert titles(made(order, Silent())) == ["CN=alice", "CN=Issuing", "CN=Middle", "CN=Root"]


def test_leaf_of_a_signer_that_shows_no_key_may_be_a_ca_that_issued_nothing() -> None:
    assert titles(made([ROOT, MIDDLE, ISSUING], Silent())) == ["CN=Issuing", "CN=Middle", "CN=Root"]
    assert titles(made([ROOT], Silent())) == ["CN=Root"]


@pytest.mark.parametrize("certificates", [[ALICE, STRANGER], [ROOT, STRANGE_ROOT], [ISSUING, ALICE, STRANGER]])
def test_leaf_that_cannot_be_told_is_refused(certificates: list[Issued]) -> None:
    with pytest.raises(ConfigError, match=r"which of these is the signer's certificate cannot be told: .*`public_key`"):
        made(certificates, Silent())


def test_issuer_that_is_certain_goes_before_one_that_cannot_be_checked() -> None:
    """However much further the other would lead."""
    uncertain = authority("CN=Issuing", OTHER_MIDDLE, key=rsa_key(1024), days=LONG)
    assert titles(made([uncertain, OTHER_MIDDLE, ISSUING, ALICE])) == ["CN=alice", "CN=Issuing"]
    assert made([uncertain, OTHER_MIDDLE, ISSUING, ALICE]).chain[1] == ISSUING.certificate


def test_strangers_beside_a_leaf_that_signed_itself_are_left_out() -> None:
    own = authority("CN=own", days=LONG)
    credential = made([STRANGE_ROOT, own], own.key)
    assert credential.chain == (own.certificate,)
    assert credential.report == ("left out CN=Strange Root: it is not on the path of CN=own",)


def test_stranger_whose_content_nobody_can_read_is_left_out_too() -> None:
    der = authority("CN=Odd", key=rsa_key(2048), days=LONG).certificate.der
    unknown_key = der.replace(bytes.fromhex("06092a864886f70d010101"), bytes.fromhex("06092a864886f70d010163"))
    odd_constraints = leaf(STRANGE_ROOT, "CN=Odd", ca=None, extra=[(raw("2.5.29.19", b"\x04\0"), False)], days=LONG)
    for odd in (unknown_key, odd_constraints.certificate.der):
        credential = Credential([ALICE.certificate, odd, ISSUING.certificate], ALICE.key)
        assert titles(credential) == ["CN=alice", "CN=Issuing"]
        assert credential.report == ("left out CN=Odd: it is not on the path of CN=alice",)
    alone = odd_constraints.certificate
    assert Credential([STRANGE_ROOT.certificate, alone], Silent()).certificate == alone, "it says nothing of being a CA"


def test_key_is_known_again_however_the_certificate_writes_it_down() -> None:
    """A point of a curve may be compressed (RFC 5480 2.2)."""
    key = ALICE.key.public_key()
    points = [
        key.public_bytes(Encoding.X962, form) for form in (PublicFormat.UncompressedPoint, PublicFormat.CompressedPoint)
    ]
    whole, short = points
    saved = len(whole) - len(short)
    der = ALICE.certificate.der
    spki = ALICE.certificate.spki
    at = spki.index(whole)
    shorter = bytes([0x30, spki[1] - saved]) + spki[2 : at - 2] + bytes([spki[at - 2] - saved]) + b"\0" + short
    tbs = der[8 : 8 + int.from_bytes(der[6:8], "big")].replace(spki, shorter)
    rest = der[8 + int.from_bytes(der[6:8], "big") :]
    content = b"\x30\x82" + len(tbs).to_bytes(2, "big") + tbs + rest
    compressed = Certificate.from_der(b"\x30\x82" + len(content).to_bytes(2, "big") + content)
    assert compressed.spki == shorter
    assert Credential([compressed], ALICE.key).certificate == compressed


# -- Signatures that nobody checks any more ---------------------------------------------------------------------------


def test_issuer_whose_signature_cannot_be_checked_is_found_by_its_name() -> None:
    """SHA-1, or a short key: no peer of ours accepts it, but it is not for this to say that it is not the issuer."""
    weak = authority("CN=Weak", key=rsa_key(1024), days=LONG)
    under_weak = leaf(weak, "CN=bob", days=LONG)
    assert titles(made([weak, under_weak], under_weak.key)) == ["CN=bob", "CN=Weak"]
    old_root = authority("CN=Old", key=rsa_key(2048), digest=hashes.SHA224(), days=LONG)
    under_old = leaf(old_root, "CN=bob", digest=hashes.SHA224(), days=LONG)
    assert titles(made([old_root, under_old], under_old.key)) == ["CN=bob", "CN=Old"]


# -- Out of date ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("days", "said"),
    [((-30, -20), "CN=alice expired on 20"), ((36000, 36500), "CN=alice is not valid before 21")],
    ids=["expired", "not yet valid"],
)
def test_leaf_that_is_out_of_date_is_warned_of_and_reported(days: tuple[float, float], said: str) -> None:
    alice = leaf(ISSUING, days=days)
    with pytest.warns(CredentialWarning) as caught:
        credential = made([alice, ISSUING], alice.key)
    (warning,) = caught
    assert f"the certificate {said}" in str(warning.message)
    assert str(warning.message).endswith("UTC: peers refuse it")
    assert credential.report == (str(warning.message),)
    assert warning.filename == __file__, "the warning does not point at who made the credential"


def test_intermediate_that_is_out_of_date_is_warned_of_and_a_root_is_not() -> None:
    old_root = authority("CN=Old Root", days=(-30, -20))
    old = authority("CN=Old", old_root, days=(-30, -20))
    bob = leaf(old, "CN=bob", days=LONG)
    with pytest.warns(CredentialWarning, match="the intermediate CN=Old expired on") as caught:
        credential = made([bob, old, old_root], bob.key)
    assert len(caught) == 1, "the root is not sent"
    assert len(credential.report) == 1


def test_warning_points_at_the_caller_however_the_credential_was_made() -> None:
    alice = leaf(ISSUING, days=(-30, -20))
    der = alice.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    with pytest.warns(CredentialWarning) as caught:
        Credential.from_der([alice.certificate.der], der)
    assert caught[0].filename == __file__


def test_credential_knows_when_it_is_valid() -> None:
    old = authority("CN=Old", ROOT, days=(-30, -20))
    bob = leaf(old, "CN=bob", days=(-25, 36500))
    with pytest.warns(CredentialWarning):
        credential = made([bob, old, ROOT], bob.key)
    assert not credential.is_valid_at(bob.certificate.not_before - 1)
    assert credential.is_valid_at(bob.certificate.not_before)
    assert credential.is_valid_at(old.certificate.not_after)
    assert not credential.is_valid_at(old.certificate.not_after + 1), "the intermediate has expired"
