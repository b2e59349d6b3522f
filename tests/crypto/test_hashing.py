"""HKDF against RFC 5869, and HKDF-Expand-Label against its structure (RFC 9846 7.1)."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
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


@pytest.mark.parametrize(("secret", "salt", "info", "prk", "okm"), RFC_5869.values(), ids=RFC_5869)
def test_hkdf_gives_the_rfc_vectors(secret: bytes, salt: bytes, info: bytes, prk: str, okm: str) -> None:
    assert SHA256.extract(salt, secret).hex() == prk
    assert SHA256.expand(bytes.fromhex(prk), info, len(okm) // 2).hex() == okm


@both_hashes
@given(secret=st.binary(min_size=32, max_size=48), info=st.binary(max_size=60), length=st.integers(1, 300))
def test_longer_output_starts_with_the_shorter(
    algorithm: HashAlgorithm, secret: bytes, info: bytes, length: int
) -> None:
    output = algorithm.expand(secret, info, length)
    assert len(output) == length
    assert algorithm.expand(secret, info, 301).startswith(output)


@both_hashes
def test_output_ends_at_255_hash_lengths(algorithm: HashAlgorithm) -> None:
    assert len(algorithm.expand(b"k", b"", 255 * algorithm.length)) == 255 * algorithm.length
    with pytest.raises(ValueError, match=f"{255 * algorithm.length} bytes"):
        algorithm.expand(b"k", b"", 255 * algorithm.length + 1)


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


def test_equal_compares_bytes() -> None:
    assert equal(b"abc", b"abc")
    assert not equal(b"abc", b"abd")
    assert not equal(b"abc", b"ab")
