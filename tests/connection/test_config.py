"""Configurations: frozen, checked when they are made, and kind about what is wrong."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from tests.support.identities import (
    client_config,
    client_credential,
    client_roots,
    required,
    server_config,
    server_credential,
    server_roots,
)
from tests.support.ids import stable
from tests.support.memory import connect
from trustls.config import ClientConfig, ServerConfig
from trustls.crypto.provider import DEFAULT_PROVIDER
from trustls.danger import AcceptAnyCertificate
from trustls.errors import ConfigError
from trustls.handshake.retry_cookie import RetryCookies
from trustls.session.psk import ExternalPsk
from trustls.trust.client_auth import ClientAuth
from trustls.trust.roots import RootCertStore

KEY = ExternalPsk(b"device 7", bytes(range(32)))
both_sides = pytest.mark.parametrize("make", [client_config, server_config])


@both_sides
def test_configuration_is_frozen(make: Any) -> None:
    config = make(alpn=["h2"])
    for field in dataclasses.fields(config):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(config, field.name, None)


@both_sides
def test_what_a_configuration_was_made_of_may_change_afterwards(make: Any) -> None:
    """psf/requests#6726 is what happens when a configuration changes under its connections."""
    alpn, groups, suites = ["h2"], ["x25519"], ["TLS_AES_128_GCM_SHA256"]
    config = make(alpn=alpn, groups=groups, suites=suites)
    for given in (alpn, groups, suites):
        given.clear()
    joined = (
        connect(config, client_config(alpn=["h2"]))
        if make is server_config
        else connect(server_config(alpn=["h2"]), config)
    )
    assert joined.client.info.alpn == "h2"
    assert joined.client.info.group.iana == "x25519"
    assert joined.client.info.suite.iana == "TLS_AES_128_GCM_SHA256"


@both_sides
def test_configuration_made_from_iterators_can_be_replaced(make: Any) -> None:
    """`dataclasses.replace` gives the fields again: what was an iterator must not have run dry."""
    config = make(
        alpn=iter(["h2"]), groups=iter(["x25519"]), suites=iter(["TLS_AES_128_GCM_SHA256"]), versions=iter(["1.3"])
    )
    again = dataclasses.replace(config, pad_records_to=16)
    assert again.parameters.alpn == (b"h2",), "the ALPN protocols were silently lost"
    assert [item.group.iana for item in again.parameters.provider.groups] == ["x25519"]


@both_sides
@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"alpn": "h2"}, "`alpn` takes a list of names, not one string"),
        ({"alpn": b"h2"}, "`alpn` takes a list of names, not one string"),
        ({"alpn": [""]}, "is not 1 to 255 bytes long"),
        ({"alpn": ["x" * 256]}, "is not 1 to 255 bytes long"),
        ({"alpn": ["h\u20ac"]}, "is not made of bytes"),
        ({"alpn": [f"{number:0255}" for number in range(256)]}, "longer than 65535 bytes"),
        ({"groups": "x25519"}, "`groups` takes a list of names, not one string"),
        ({"groups": []}, "empty"),
        ({"groups": ["x25519", "P-256"]}, "'P-256' is no NamedGroup known here; there are: X25519MLKEM768, x25519"),
        ({"suites": ["AES"]}, "'AES' is no CipherSuite known here"),
        ({"suites": ["TLS_FALLBACK_SCSV"]}, "TLS_FALLBACK_SCSV is not supported"),
        ({"signature_schemes": ["ecdsa_sha1"]}, "ecdsa_sha1 is not supported"),
        ({"signature_schemes": ["rsa_pkcs1_sha256"], "versions": ["1.3"]}, "cannot serve TLS 1.3"),
        ({"signature_schemes": ["mldsa65"], "versions": ["1.2"]}, "cannot serve TLS 1.2"),
        ({"versions": ["1.1"]}, "versions=['1.1'] cannot be done; there are: 1.3, 1.2"),
        ({"versions": ["1.3", "1.1"]}, "cannot be done"),
        (
            {"versions": ["1.2"], "suites": ["TLS_AES_128_GCM_SHA256"]},
            "the suites, groups and signature schemes left cannot serve TLS 1.2",
        ),
        (
            {"versions": ["1.3"], "suites": ["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"]},
            "the suites, groups and signature schemes left cannot serve TLS 1.3",
        ),
        (
            {"versions": ["1.2"], "groups": ["X25519MLKEM768"]},
            "the suites, groups and signature schemes left cannot serve TLS 1.2",
        ),
        (
            {"suites": ["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"], "groups": ["X25519MLKEM768"]},
            "the suites, groups and signature schemes left cannot serve TLS any version",
        ),
        ({"versions": []}, "cannot be done"),
        ({"versions": "1.3"}, "`versions` takes a list of names"),
        ({"pad_records_to": -1}, "pad_records_to=-1 is outside 0 to 16384"),
        ({"pad_records_to": 16385}, "pad_records_to=16385 is outside 0 to 16384"),
        ({"max_fragment_size": 63}, "max_fragment_size=63 is outside 64 to 16384"),
        ({"max_fragment_size": 16385}, "max_fragment_size=16385 is outside 64 to 16384"),
        ({"record_size_limit": 0}, "record_size_limit=0 is outside 64 to 16385"),
        ({"record_size_limit": 63}, "record_size_limit=63 is outside 64 to 16385"),
        ({"record_size_limit": 16386}, "record_size_limit=16386 is outside 64 to 16385"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_what_cannot_be_done_is_refused_in_words(make: Any, wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        make(**wrong)
    assert said in str(refused.value)


@both_sides
@pytest.mark.parametrize(
    ("settings", "allowed"),
    [
        ({}, ("TLSv1.3", "TLSv1.2")),
        ({"versions": ["1.2", "1.3"]}, ("TLSv1.3", "TLSv1.2")),
        ({"versions": ["1.3"]}, ("TLSv1.3",)),
        ({"versions": ["1.2"]}, ("TLSv1.2",)),
        ({"suites": ["TLS_AES_128_GCM_SHA256"]}, ("TLSv1.3",)),
        ({"suites": ["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"]}, ("TLSv1.2",)),
        ({"groups": ["X25519MLKEM768"]}, ("TLSv1.3",)),
    ],
    ids=stable,
)
def test_versions_are_those_named_that_the_rest_can_serve(
    make: Any, settings: dict[str, Any], allowed: tuple[str, ...]
) -> None:
    assert tuple(map(str, make(**settings).parameters.versions)) == allowed


def test_configuration_error_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="outside 0 to 16384"):
        client_config(pad_records_to=-1)


def test_client_must_be_told_whom_to_trust() -> None:
    for wrong in ({}, {"roots": server_roots(), "verifier": AcceptAnyCertificate()}):
        with pytest.raises(ConfigError, match="one of the two"):
            ClientConfig(**wrong)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="nobody could ever be accepted"):
        ClientConfig(roots=RootCertStore())


def test_client_cannot_choose_among_nothing() -> None:
    with pytest.raises(ConfigError, match="nothing to choose from"):
        ClientConfig(roots=server_roots(), choose_credential=lambda request, credentials: None)


def test_server_needs_a_credential_or_a_key() -> None:
    nothing: list[dict[str, Any]] = [{}, {"credentials": []}, {"credentials": [], "external_psks": []}]
    for given in nothing:
        with pytest.raises(ConfigError, match="at least one credential, or `external_psks`"):
            ServerConfig(**given)
    ServerConfig(external_psks=[KEY])


def test_server_of_external_keys_alone_speaks_tls13_alone() -> None:
    """External keys are of that version; for TLS 1.2 there is nothing that this server could show."""
    assert list(map(str, ServerConfig(external_psks=[KEY]).parameters.versions)) == ["TLSv1.3"]
    assert list(map(str, ServerConfig(external_psks=[KEY], versions=["1.3"]).parameters.versions)) == ["TLSv1.3"]
    for versions in (["1.2"], ["1.2", "1.3"]):
        with pytest.raises(ConfigError, match=r"TLS 1\.2 needs a credential"):
            ServerConfig(external_psks=[KEY], versions=versions)


@pytest.mark.parametrize("wrong", [True, "required", None, client_roots], ids=stable)
def test_server_is_not_guessed_to_require_certificates(wrong: object) -> None:
    """Nothing security-relevant is silently ignored: what is no ClientAuth is an error, not "none"."""
    with pytest.raises(ConfigError, match=r"ClientAuth\.required\(roots\)"):
        server_config(client_auth=wrong)


@pytest.mark.parametrize("make", [client_config, server_config])
@pytest.mark.parametrize("wrong", ["cert.pem", b"PEM", 7], ids=stable)
def test_credential_that_is_none_is_refused_when_the_configuration_is_made(make: Any, wrong: object) -> None:
    """Not in the middle of the first handshake, with an AttributeError."""
    with pytest.raises((ConfigError, TypeError)):
        make(credentials=[wrong])


def test_client_auth_needs_roots() -> None:
    for make in (ClientAuth.required, ClientAuth.optional):
        with pytest.raises(ConfigError, match="nobody could ever be accepted"):
            make(RootCertStore())


@pytest.mark.parametrize("length", [0, 1, 31])
def test_cookie_key_that_is_too_short_is_refused(length: int) -> None:
    with pytest.raises(ConfigError, match=f"of {length} bytes is too short: give at least 32"):
        RetryCookies(bytes(length))


def test_protocols_given_twice_are_offered_once() -> None:
    assert client_config(alpn=["h2", "http/1.1", "h2"]).parameters.alpn == (b"h2", b"http/1.1")


def test_configuration_does_not_print_what_is_secret() -> None:
    for config in (
        server_config(client_auth=required(), retry_cookies=RetryCookies(b"k" * 32)),
        client_config(credentials=[client_credential()]),
    ):
        printed = repr(config)
        assert "kkkk" not in printed
        assert "PRIVATE" not in printed
    assert repr(server_credential()).startswith("<Credential CN=localhost")


def test_configuration_prints_what_differs_from_the_default() -> None:
    printed = repr(client_config(alpn=["h2"], sessions=None))
    assert printed == "ClientConfig(roots=<RootCertStore of 1>, alpn=('h2',), sessions=None)"
    assert repr(DEFAULT_PROVIDER) == "<CryptoProvider of 9 suites, 5 groups, 13 signature schemes>"
    assert len(repr(server_config(client_auth=required()))) < 500


def test_time_comes_from_the_configuration() -> None:
    """Thirty years from now every certificate here has expired."""
    from tests.support.memory import check_refused, pair
    from trustls.errors import CertificateProblem, CertificateRejected

    joined = pair(client=client_config(now=lambda: 2_800_000_000.0)).run()
    check_refused(joined, "client", CertificateRejected, CertificateProblem.EXPIRED)
    joined = pair(
        server_config(client_auth=required(), now=lambda: 1.0), client_config(credentials=[client_credential()])
    ).run()
    check_refused(joined, "server", CertificateRejected, CertificateProblem.NOT_YET_VALID)
