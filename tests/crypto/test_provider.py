from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from trustls.crypto.aead import TLS13_SUITES
from trustls.crypto.provider import DEFAULT_PROVIDER, CryptoProvider
from trustls.errors import ConfigError
from trustls.wire.enums import CipherSuite, NamedGroup, SignatureScheme


def names(values: Any) -> list[str]:
    return [value.iana for value in values]


def test_provider_prefers_the_hybrid_and_the_strongest_suite() -> None:
    assert names(item.group for item in DEFAULT_PROVIDER.groups) == [
        "X25519MLKEM768",
        "x25519",
        "secp256r1",
        "secp384r1",
        "secp521r1",
    ]
    assert names(item.suite for item in DEFAULT_PROVIDER.suites) == [
        "TLS_AES_256_GCM_SHA384",
        "TLS_AES_128_GCM_SHA256",
        "TLS_CHACHA20_POLY1305_SHA256",
    ]
    assert names(item.suite for item in DEFAULT_PROVIDER.suites12) == [
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
    ]


def test_provider_offers_nothing_obsolete() -> None:
    offered = " ".join(names(DEFAULT_PROVIDER.signature_schemes))
    assert "pkcs1" not in " ".join(names(DEFAULT_PROVIDER.schemes13)), "RFC 9846 4.3.3: for certificates only"
    for obsolete in ("sha1", "dsa_", "md5"):
        assert obsolete not in offered.replace("ecdsa_", "").replace("mldsa", ""), f"{obsolete} is offered: {offered}"
    for item in DEFAULT_PROVIDER.suites12:
        key_exchange, cipher = item.suite.iana.split("_WITH_")
        assert key_exchange in {"TLS_ECDHE_ECDSA", "TLS_ECDHE_RSA"}, "no forward secrecy"
        assert "GCM" in cipher or "POLY1305" in cipher, "no AEAD"


def test_restriction_takes_suites_of_both_versions() -> None:
    named = ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "TLS_AES_128_GCM_SHA256")
    restricted = DEFAULT_PROVIDER.restricted(suites=named)
    assert [item.suite for item in restricted.suites] == [CipherSuite.TLS_AES_128_GCM_SHA256]
    assert [item.suite for item in restricted.suites12] == [CipherSuite.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]


def test_restriction_keeps_what_is_named_in_the_order_named() -> None:
    restricted = DEFAULT_PROVIDER.restricted(
        suites=("TLS_CHACHA20_POLY1305_SHA256", "tls_aes_128_gcm_sha256"),
        groups=("SECP384R1", "x25519"),
        signature_schemes=("ed25519",),
    )
    assert [item.suite for item in restricted.suites] == [
        CipherSuite.TLS_CHACHA20_POLY1305_SHA256,
        CipherSuite.TLS_AES_128_GCM_SHA256,
    ]
    assert [item.group for item in restricted.groups] == [NamedGroup.SECP384R1, NamedGroup.X25519]
    assert restricted.suites12 == (), "a suite that was not named is still there"
    assert restricted.signature_schemes == (SignatureScheme.ED25519,)
    assert len(DEFAULT_PROVIDER.groups) == 5, "restricting changed the provider itself"


def test_restricted_schemes_restrict_no_certificates() -> None:
    """RSA CAs are everywhere: signature_algorithms_cert names them where signature_algorithms does not."""
    assert DEFAULT_PROVIDER.certificate_schemes is None, "it would say the same twice"
    restricted = DEFAULT_PROVIDER.restricted(signature_schemes=("ed25519",))
    assert restricted.certificate_schemes == DEFAULT_PROVIDER.signature_schemes


def test_restriction_leaves_alone_what_it_does_not_name() -> None:
    restricted = DEFAULT_PROVIDER.restricted(groups=("x25519",))
    assert restricted.suites == DEFAULT_PROVIDER.suites
    assert restricted.suites12 == DEFAULT_PROVIDER.suites12
    assert restricted.signature_schemes is DEFAULT_PROVIDER.signature_schemes
    assert restricted.random is DEFAULT_PROVIDER.random


def test_restriction_takes_a_name_given_twice_once() -> None:
    assert len(DEFAULT_PROVIDER.restricted(groups=("x25519", "X25519")).groups) == 1


@pytest.mark.parametrize("what", ["suites", "groups", "signature_schemes"])
def test_restriction_to_nothing_is_refused(what: str) -> None:
    with pytest.raises(ConfigError, match="empty: leave it out for the default"):
        DEFAULT_PROVIDER.restricted(**{what: ()})


@pytest.mark.parametrize(
    ("what", "name"),
    [
        ("groups", "curve25519"),
        ("groups", "ffdhe2048"),
        ("groups", "x448"),
        ("suites", "TLS_AES_128_CCM_SHA256"),
        ("suites", "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA"),
        ("suites", "TLS_RSA_WITH_AES_128_GCM_SHA256"),
        ("signature_schemes", "ecdsa_sha1"),
        ("signature_schemes", "0x0807"),
    ],
)
def test_name_that_cannot_be_had_is_refused_with_those_that_can(what: str, name: str) -> None:
    with pytest.raises(ConfigError, match=name) as refused:
        DEFAULT_PROVIDER.restricted(**{what: (name,)})
    have = {"groups": "x25519", "suites": "TLS_AES_128_GCM_SHA256", "signature_schemes": "ed25519"}[what]
    assert have in str(refused.value), "the message does not say what there is"


def test_restricted_provider_cannot_be_widened_again() -> None:
    small = DEFAULT_PROVIDER.restricted(groups=("x25519",))
    with pytest.raises(ConfigError, match="secp256r1 is not supported; there are: x25519"):
        small.restricted(groups=("secp256r1",))
    with pytest.raises(ConfigError, match="MLKEM1024 is not supported; there are: x25519"):
        small.restricted(groups=("MLKEM1024",))
    assert DEFAULT_PROVIDER.restricted(groups=("MLKEM1024",)).groups, "which can be had by name otherwise"


def test_provider_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        DEFAULT_PROVIDER.suites = ()  # type: ignore[misc]


def test_randomness_comes_from_the_provider() -> None:
    provider = CryptoProvider(random=lambda count: b"\x07" * count)
    assert provider.random(3) == b"\7\7\7"
    assert provider.suites == TLS13_SUITES
