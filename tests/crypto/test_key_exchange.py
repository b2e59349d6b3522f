from __future__ import annotations

from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from trustls.crypto.key_exchange import GROUPS, BadKeyShare, HybridShare, KeyExchangeGroup
from trustls.wire.enums import NamedGroup

# RFC 9846 4.3.8 and draft-ietf-tls-ecdhe-mlkem 4: bytes of the client's share, the server's share, the shared secret.
SIZES = {
    NamedGroup.X25519MLKEM768: (1184 + 32, 1088 + 32, 64),
    NamedGroup.X25519: (32, 32, 32),
    NamedGroup.SECP256R1: (65, 65, 32),
    NamedGroup.SECP384R1: (97, 97, 48),
    NamedGroup.SECP521R1: (133, 133, 66),
}
BY_NAME = {group.group: group for group in GROUPS}
HYBRID = BY_NAME[NamedGroup.X25519MLKEM768]
X25519 = BY_NAME[NamedGroup.X25519]

every_group = pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.group.iana)

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


@pytest.mark.parametrize(
    "group", [BY_NAME[NamedGroup.SECP256R1], BY_NAME[NamedGroup.SECP384R1], BY_NAME[NamedGroup.SECP521R1]]
)
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


def test_invalid_mlkem_encapsulation_key_is_refused() -> None:
    """FIPS 203 7.2: every coefficient must be below the modulus 3329; twelve one-bits are 4095."""
    good = HYBRID.start().public
    with pytest.raises(BadKeyShare, match="no valid encapsulation key"):
        HYBRID.respond(b"\xff" * 3 + good[3:])


def test_changed_mlkem_ciphertext_gives_another_secret_and_no_error() -> None:
    """FIPS 203 6.3, implicit rejection: whoever changes a ciphertext learns nothing until Finished."""
    private = HYBRID.start()
    public, secret = HYBRID.respond(private.public)
    changed = bytes([public[0] ^ 1]) + public[1:]
    assert private.complete(changed)[32:] == secret[32:], "the X25519 half was not touched"
    assert private.complete(changed)[:32] != secret[:32]


def test_x25519_half_of_the_hybrid_serves_as_a_share_of_its_own() -> None:
    hybrid = HYBRID.start()
    assert isinstance(hybrid, HybridShare)
    assert hybrid.public.endswith(hybrid.x25519.public), "the two shares of one ClientHello hold the same X25519 value"
    public, secret = X25519.respond(hybrid.x25519.public)
    assert hybrid.x25519.complete(public) == secret


def test_hybrid_secret_is_the_mlkem_secret_then_the_x25519_secret() -> None:
    """draft-ietf-tls-ecdhe-mlkem 4.3: the order matters, for both sides must agree with everybody else's."""
    hybrid = HYBRID.start()
    assert isinstance(hybrid, HybridShare)
    public, secret = HYBRID.respond(hybrid.public)
    assert hybrid.x25519.complete(public[-32:]) == secret[32:]
