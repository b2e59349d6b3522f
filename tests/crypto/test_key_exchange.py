from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from trustls.crypto.key_exchange import (
    GROUPS,
    MORE_GROUPS,
    POST_QUANTUM,
    BadKeyShare,
    Hybrid,
    HybridShare,
    KeyExchangeGroup,
    MlKem,
)
from trustls.wire.enums import NamedGroup

# RFC 9846 4.3.8, draft-ietf-tls-ecdhe-mlkem 4 and draft-ietf-tls-mlkem: bytes of the client's share, the server's
# share, the shared secret.
SIZES = {
    NamedGroup.X25519MLKEM768: (1184 + 32, 1088 + 32, 64),
    NamedGroup.X25519: (32, 32, 32),
    NamedGroup.SECP256R1: (65, 65, 32),
    NamedGroup.SECP384R1: (97, 97, 48),
    NamedGroup.SECP521R1: (133, 133, 66),
    NamedGroup.SecP256r1MLKEM768: (65 + 1184, 65 + 1088, 64),
    NamedGroup.SecP384r1MLKEM1024: (97 + 1568, 97 + 1568, 80),
    NamedGroup.MLKEM768: (1184, 1088, 32),
    NamedGroup.MLKEM1024: (1568, 1568, 32),
}
ALL = GROUPS + MORE_GROUPS
BY_NAME = {group.group: group for group in ALL}
HYBRID = BY_NAME[NamedGroup.X25519MLKEM768]
X25519 = BY_NAME[NamedGroup.X25519]
HYBRIDS = [group for group in ALL if isinstance(group, Hybrid)]
CURVES = [BY_NAME[NamedGroup.SECP256R1], BY_NAME[NamedGroup.SECP384R1], BY_NAME[NamedGroup.SECP521R1]]


def each(groups: Sequence[KeyExchangeGroup]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("group", groups, ids=lambda group: group.group.iana)


every_group = each(ALL)
every_hybrid = each(HYBRIDS)

# RFC 7748 6.1 and its like: public values for which X25519 gives all zeros, whatever the private key.
LOW_ORDER_POINTS = [
    bytes(32),
    b"\1" + bytes(31),
    bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
    bytes.fromhex("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
    bytes.fromhex("edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
    bytes.fromhex("eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
]


def refused_by_both(group: KeyExchangeGroup, as_client: bytes, as_server: bytes | None = None) -> None:
    """`as_client` is refused by a server, and `as_server` (the same unless given) by a client."""
    with pytest.raises(BadKeyShare):
        group.respond(as_client)
    with pytest.raises(BadKeyShare):
        group.start().complete(as_client if as_server is None else as_server)


@every_group
def test_both_sides_come_to_the_same_secret(group: KeyExchangeGroup) -> None:
    private = group.start()
    public, secret = group.respond(private.public)
    assert private.complete(public) == secret
    assert (len(private.public), len(public), len(secret)) == SIZES[group.group]
    assert group.share_length == len(private.public), "what a configuration reckons with"


@every_group
def test_every_share_is_fresh(group: KeyExchangeGroup) -> None:
    client = group.start()
    assert client.public != group.start().public
    first, second = group.respond(client.public), group.respond(client.public)
    assert first[0] != second[0]
    assert first[1] != second[1]


@every_group
@pytest.mark.parametrize("change", ["empty", "one short", "one long"])
def test_share_of_a_wrong_length_is_refused(group: KeyExchangeGroup, change: str) -> None:
    client = group.start().public
    server, _ = group.respond(client)
    wrong: dict[str, Callable[[bytes], bytes]] = {
        "empty": lambda share: b"",
        "one short": lambda share: share[:-1],
        "one long": lambda share: share + b"\0",
    }
    refused_by_both(group, wrong[change](client), wrong[change](server))


@pytest.mark.parametrize("point", LOW_ORDER_POINTS, ids=lambda point: point.hex()[:8])
def test_x25519_share_that_gives_all_zeros_is_refused(point: bytes) -> None:
    refused_by_both(X25519, point)


@pytest.mark.parametrize("point", LOW_ORDER_POINTS[:2], ids=lambda point: point.hex()[:8])
def test_hybrid_with_an_x25519_half_that_gives_all_zeros_is_refused(point: bytes) -> None:
    client = HYBRID.start().public
    server, _ = HYBRID.respond(client)
    refused_by_both(HYBRID, client[:-32] + point, server[:-32] + point)


@each(CURVES)
def test_point_that_is_not_on_the_curve_or_not_uncompressed_is_refused(group: KeyExchangeGroup) -> None:
    good = group.start().public
    half = len(good) // 2
    refused_by_both(group, good[:-1] + bytes([good[-1] ^ 1]))
    refused_by_both(group, b"\4" + bytes(len(good) - 1))
    refused_by_both(group, b"\4" + b"\xff" * (len(good) - 1))
    for form in (b"\0", b"\2", b"\3", b"\6", b"\7"):
        refused_by_both(group, form + good[1:])
    refused_by_both(group, b"\2" + good[1 : half + 1])  # The compressed form, which is a point.


def test_point_of_another_curve_is_refused() -> None:
    stranger = ec.generate_private_key(ec.BrainpoolP256R1()).public_key()
    share = stranger.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    refused_by_both(BY_NAME[NamedGroup.SECP256R1], share)


@each([group for group in ALL if group.group in POST_QUANTUM])
def test_invalid_mlkem_encapsulation_key_is_refused(group: KeyExchangeGroup) -> None:
    """FIPS 203 7.2: every coefficient, of twelve bits, must be below the modulus 3329."""
    good = group.start().public
    start = 0
    if isinstance(group, Hybrid) and group.group != NamedGroup.X25519MLKEM768:
        start = group.ecdhe.share_length

    def beginning_with(coefficients: str) -> bytes:
        return good[:start] + bytes.fromhex(coefficients) + good[start + 3 :]

    for too_large in ("ffffff", "010dd0", "001dd0"):  # 4095 twice; 3329 and 3328; 3328 and 3329.
        with pytest.raises(BadKeyShare, match="no valid encapsulation key"):
            group.respond(beginning_with(too_large))
    group.respond(beginning_with("000dd0"))  # 3328 twice, the greatest there is.


@each([group for group in ALL if isinstance(group, MlKem)])
def test_changed_mlkem_ciphertext_gives_another_secret_and_no_error(group: KeyExchangeGroup) -> None:
    """FIPS 203 6.3, implicit rejection: whoever changes a ciphertext learns nothing until Finished."""
    private = group.start()
    public, secret = group.respond(private.public)
    changed = bytes([public[0] ^ 1]) + public[1:]
    assert private.complete(changed) != secret
    assert private.complete(changed) == private.complete(changed), "it is no accident: it depends on the ciphertext"


@every_hybrid
def test_halves_of_a_hybrid_stand_in_the_order_of_its_name_but_for_x25519(group: Hybrid) -> None:
    """draft-ietf-tls-ecdhe-mlkem 4.1 to 4.3: one order for shares and secret, and ML-KEM first with X25519 only."""
    client = group.start()
    assert isinstance(client, HybridShare)
    server_share, secret = group.respond(client.public)
    size = group.ecdhe.share_length
    if group.group == NamedGroup.X25519MLKEM768:
        of_client, of_server, of_secret = slice(-size, None), slice(-size, None), slice(32, None)
    else:
        of_client, of_server, of_secret = slice(size), slice(size), slice(-32)
    assert client.public[of_client] == client.ecdhe.public
    assert client.ecdhe.complete(server_share[of_server]) == secret[of_secret]
    flipped = bytearray(server_share)
    flipped[-1 if of_client.stop else 0] ^= 1
    changed = client.complete(bytes(flipped))
    assert changed[of_secret] == secret[of_secret], "a bit of ML-KEM's half was changed, and the other's secret with it"
    assert changed != secret


@every_hybrid
def test_bad_ecdhe_half_of_a_hybrid_is_refused(group: Hybrid) -> None:
    client = group.start().public
    server, _ = group.respond(client)
    size = group.ecdhe.share_length
    first = group.group != NamedGroup.X25519MLKEM768
    # All zeros are no point of a curve, and give all zeros with X25519.
    bad = bytes(size) if not first else b"\4" + bytes(size - 1)
    refused_by_both(
        group,
        bad + client[size:] if first else client[:-size] + bad,
        bad + server[size:] if first else server[:-size] + bad,
    )


@every_hybrid
def test_halves_in_the_other_order_are_refused(group: Hybrid) -> None:
    client = group.start()
    size = group.ecdhe.share_length
    cut = len(client.public) - size if group.group == NamedGroup.X25519MLKEM768 else size
    with pytest.raises(BadKeyShare):
        group.respond(client.public[cut:] + client.public[:cut])


@every_hybrid
def test_ecdhe_half_of_a_hybrid_serves_as_a_share_of_its_own(group: Hybrid) -> None:
    hybrid = group.start()
    assert isinstance(hybrid, HybridShare)
    assert hybrid.ecdhe_group == group.ecdhe.group
    public, secret = BY_NAME[hybrid.ecdhe_group].respond(hybrid.ecdhe.public)
    assert hybrid.ecdhe.complete(public) == secret


@each([group for group in ALL if group.group in POST_QUANTUM])
def test_refusal_says_how_long_a_share_has_to_be(group: KeyExchangeGroup) -> None:
    of_client, of_server, _ = SIZES[group.group]
    with pytest.raises(BadKeyShare, match=f"^{group.group}: 7 bytes, not {of_client}$"):
        group.respond(b"1234567")
    with pytest.raises(BadKeyShare, match=f"^{group.group}: 7 bytes, not {of_server}$"):
        group.start().complete(b"1234567")


def test_groups_of_one_mlkem_do_not_take_each_others_shares() -> None:
    small, large = BY_NAME[NamedGroup.MLKEM768], BY_NAME[NamedGroup.MLKEM1024]
    refused_by_both(large, small.start().public, small.respond(small.start().public)[0])
    refused_by_both(small, large.start().public, large.respond(large.start().public)[0])


def test_post_quantum_groups_are_those_with_mlkem() -> None:
    assert {group.group for group in ALL if "MLKEM" in group.group.name} == POST_QUANTUM
