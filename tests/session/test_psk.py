from __future__ import annotations

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trustls.errors import ConfigError
from trustls.session.psk import ExternalPsk, import_psk

KEY = bytes(range(32))


def derived_by_the_rfc(identity: bytes, key: bytes, context: bytes, hash_name: str, target: str) -> tuple[bytes, bytes]:
    """RFC 9258 4.1 and 5.1, from the text and the standard library alone: ImportedIdentity and ipskx."""
    # struct { opaque external_identity<1...2^16-1>; opaque context<0..2^16-1>;
    #          uint16 target_protocol; uint16 target_kdf; } ImportedIdentity;
    target_kdf = {"sha256": 0x0001, "sha384": 0x0002}[target]
    imported_identity = len(identity).to_bytes(2, "big") + identity + len(context).to_bytes(2, "big") + context
    imported_identity += (0x0304).to_bytes(2, "big") + target_kdf.to_bytes(2, "big")
    # epskx = HKDF-Extract(0, epsk), with the hash function of the external PSK; 0 is Hash.length zero bytes.
    epskx = hmac.new(bytes(hashlib.new(hash_name).digest_size), key, hash_name).digest()
    # ipskx = HKDF-Expand-Label(epskx, "derived psk", Hash(ImportedIdentity), L), L the target KDF's output length.
    length = hashlib.new(target).digest_size
    context_hash = hashlib.new(hash_name, imported_identity).digest()
    label = b"tls13 derived psk"
    info = length.to_bytes(2, "big") + bytes([len(label)]) + label + bytes([len(context_hash)]) + context_hash
    output, block = b"", b""
    for counter in range(1, 4):
        block = hmac.new(epskx, block + info + bytes([counter]), hash_name).digest()
        output += block
    return imported_identity, output[:length]


@given(
    identity=st.binary(min_size=1, max_size=300),
    key=st.binary(min_size=16, max_size=100),
    context=st.binary(max_size=300),
    hash_name=st.sampled_from(["sha256", "sha384"]),
)
def test_import_is_what_rfc_9258_says(identity: bytes, key: bytes, context: bytes, hash_name: str) -> None:
    imported = import_psk(identity, key, context=context, hash=hash_name)
    assert [psk.hash for psk in imported] == ["sha256", "sha384"], "one for each hash function of the suites"
    for psk in imported:
        assert (psk.identity, psk.key) == derived_by_the_rfc(identity, key, context, hash_name, psk.hash)
        assert psk.imported
        assert psk.binder_label == b"imp binder"


def test_everything_that_is_bound_changes_the_key() -> None:
    made = [
        import_psk(b"name", KEY),
        import_psk(b"name2", KEY),
        import_psk(b"name", KEY[::-1]),
        import_psk(b"name", KEY, context=b"client"),
        import_psk(b"name", KEY, hash="sha384"),
    ]
    keys = [psk.key for pair in made for psk in pair]
    assert len(set(keys)) == len(keys)
    assert all(KEY not in key for key in keys)


def test_identity_and_context_do_not_run_into_each_other() -> None:
    names = [import_psk(b"ab", KEY, context=b"c")[0].identity, import_psk(b"a", KEY, context=b"bc")[0].identity]
    assert names[0] != names[1]


def test_a_key_that_is_used_as_it_is_binds_as_external() -> None:
    psk = ExternalPsk(b"name", KEY)
    assert not psk.imported
    assert psk.binder_label == b"ext binder"
    assert psk.algorithm.name == psk.hash == "sha256"
    assert ExternalPsk(b"name", KEY, hash="sha384").algorithm.name == "sha384"


def test_weak_and_unusable_keys_are_refused() -> None:
    with pytest.raises(ConfigError, match="15 bytes is too short"):
        ExternalPsk(b"name", KEY[:15])
    with pytest.raises(ConfigError, match="too short"):
        import_psk(b"name", b"")
    for identity in (b"", bytes(65530)):
        with pytest.raises(ConfigError, match="identity is 1 to 65529"):
            ExternalPsk(identity, KEY)
    with pytest.raises(ConfigError, match="sha256 or sha384"):
        ExternalPsk(b"name", KEY, hash="sha512")
    ExternalPsk(bytes(65529), KEY[:16])


def test_import_refuses_what_does_not_fit_into_an_identity() -> None:
    longest = 65529 - 8
    assert len(import_psk(b"n", KEY, context=bytes(longest - 1))[0].identity) == 65529
    with pytest.raises(ConfigError, match="identity"):
        import_psk(b"n", KEY, context=bytes(longest))


def test_a_context_that_is_too_long_is_refused_kindly() -> None:
    with pytest.raises(ConfigError):
        import_psk(b"n", KEY, context=bytes(70000))


def test_a_key_does_not_show() -> None:
    for psk in (ExternalPsk(b"name", b"K" * 32), *import_psk(b"name", KEY)):
        assert "K" * 8 not in repr(psk)
        assert "key=" not in repr(psk)


def test_the_keys_of_one_import_are_unrelated() -> None:
    imported = import_psk(b"name", KEY)
    assert imported[0].key[:16] != imported[1].key[:16]
