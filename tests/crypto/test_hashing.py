"""HKDF against RFC 5869, and HKDF-Expand-Label against its structure (RFC 9846 7.1)."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.support.examples import COMPARES_BYTES
from trustls.crypto.hashing import SHA256, SHA384, HashAlgorithm, equal, hkdf_label

pytestmark = COMPARES_BYTES

both_hashes = pytest.mark.parametrize("algorithm", [SHA256, SHA384], ids=lambda algorithm: algorithm.name)


# RFC 5869 A.1 to A.3: input keying material, salt, info, length, PRK, OKM.
RFC_5869 = {
    "basic": (
        b"\x0b" * 22,
        bytes(range(13)),
        bytes(range(0xF0, 0xFA)),
        "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5",
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
    ),
    "longer inputs": (
        bytes(range(0x50)),
        bytes(range(0x60, 0xB0)),
        bytes(range(0xB0, 0x100)),
        "06a6b88c5853361a06104c9ceb35b45cef760014904671014a193f40c15fc244",
        (
            "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09"
            "da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87"
        ),
    ),
    "no salt, no info": (
        b"\x0b" * 22,
        b"",
        b"",
        "19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04",
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
    ),
}


# https://mailarchive.ietf.org/arch/msg/tls/fzVCzk-z3FShgGJ6DOXqM1ydxms/
PRF_VECTORS = [
    (
        SHA256,
        "9bbe436ba940f017b17652849a71db35",
        "a0ba9f936cda311827a6f796ffd5198c",
        (
            "e3f229ba727be17b8d122620557cd453c2aab21d07c3d495329b52d4e61edb5a6b301791e90d35c9c9a46b4e14baf9af0fa022f7"
            "077def17abfd3797c0564bab4fbc91666e9def9b97fce34f796789baa48082d122ee42c5a72e5a5110fff70187347b66"
        ),
    ),
    (
        SHA384,
        "b80b733d6ceefcdc71566ea48e5567df",
        "cd665cf6a8447dd6ff8b27555edb7465",
        (
            "7b0c18e9ced410ed1804f2cfa34a336a1c14dffb4900bb5fd7942107e81c83cde9ca0faa60be9fe34f82b1233c9146a0e534cb40"
            "0fed2700884f9dc236f80edd8bfa961144c9e8d792eca722a7b32fc3d416d473ebc2c5fd4abfdad05d9184259b5bf8cd4d90fa0d"
            "31e2dec479e4f1a26066f2eea9a69236a3e52655c9e9aee691c8f3a26854308d5eaa3be85e0990703d73e56f"
        ),
    ),
]


@pytest.mark.parametrize(("secret", "salt", "info", "prk", "okm"), RFC_5869.values(), ids=RFC_5869)
def test_hkdf_gives_the_rfc_vectors(secret: bytes, salt: bytes, info: bytes, prk: str, okm: str) -> None:
    assert SHA256.extract(salt, secret).hex() == prk
    assert SHA256.expand(SHA256.mac(bytes.fromhex(prk)), info, len(okm) // 2).hex() == okm


@both_hashes
@given(secret=st.binary(min_size=32, max_size=48), info=st.binary(max_size=60), length=st.integers(1, 300))
def test_longer_output_starts_with_the_shorter(
    algorithm: HashAlgorithm, secret: bytes, info: bytes, length: int
) -> None:
    output = algorithm.expand(algorithm.mac(secret), info, length)
    assert len(output) == length
    assert algorithm.expand(algorithm.mac(secret), info, 301).startswith(output)


@both_hashes
def test_output_ends_at_255_hash_lengths(algorithm: HashAlgorithm) -> None:
    secret = algorithm.mac(b"k")
    assert len(algorithm.expand(secret, b"", 255 * algorithm.length)) == 255 * algorithm.length
    with pytest.raises(ValueError, match=f"{255 * algorithm.length} bytes"):
        algorithm.expand(secret, b"", 255 * algorithm.length + 1)


def test_label_is_the_structure_of_the_rfc() -> None:
    """RFC 8448 3: the info of "tls13 finished" and of "tls13 iv" as printed there."""
    assert hkdf_label(b"finished", b"", 32).hex() == "00200e746c7331332066696e697368656400"
    assert hkdf_label(b"iv", b"", 12).hex() == "000c08746c73313320697600"
    assert hkdf_label(b"derived", SHA256.empty, 32).hex() == "00200d746c733133206465726976656420" + SHA256.empty.hex()


@both_hashes
def test_hash_algorithms_are_what_their_names_say(algorithm: HashAlgorithm) -> None:
    expected = hashlib.new(algorithm.name, b"abc").digest()
    assert algorithm.hash(b"abc") == expected
    running = algorithm.start(b"a")
    running.update(b"bc")
    assert running.digest() == expected
    assert len(expected) == algorithm.length
    assert algorithm.empty == hashlib.new(algorithm.name).digest()
    assert algorithm.primitive.name == algorithm.name


@both_hashes
@given(key=st.binary(max_size=300), messages=st.lists(st.binary(max_size=300), min_size=1, max_size=3))
@example(key=b"", messages=[b""])
@example(key=b"k" * 64, messages=[b"m"])
@example(key=b"k" * 65, messages=[b"m"])
@example(key=b"k" * 128, messages=[b"m"])
@example(key=b"k" * 129, messages=[b"m"])
def test_mac_is_hmac_of_each_message_under_keys_of_any_length(
    algorithm: HashAlgorithm, key: bytes, messages: list[bytes]
) -> None:
    mac = algorithm.mac(key)
    for message in messages:
        expected = hmac.digest(key, message, algorithm.name)
        assert mac.digest(message) == algorithm.hmac(key, message) == expected


def test_prf_gives_the_published_vectors() -> None:
    """RFC 5246 5: P_hash, one vector for each hash (IETF TLS list, "TLS 1.2 PRF test vectors", 2009)."""
    for algorithm, secret, seed, output in PRF_VECTORS:
        expected, mac = bytes.fromhex(output), algorithm.mac(bytes.fromhex(secret))
        assert mac.prf(b"test label", bytes.fromhex(seed), len(expected)) == expected


def test_equal_compares_bytes() -> None:
    assert equal(b"abc", b"abc")
    assert not equal(b"abc", b"abd")
    assert not equal(b"abc", b"ab")
