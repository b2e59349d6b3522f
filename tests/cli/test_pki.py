"""The development PKI, checked by openssl and by reading what it made."""

from __future__ import annotations

import datetime
import ipaddress
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from trustls.cli.pki import Authority, Issued, KeyType, Validity, general_name
from trustls.errors import ConfigError

# openssl 3.0 knows nothing of ML-DSA.
CLASSICAL = [key_type for key_type in KeyType if not key_type.startswith("ml-dsa")]


def openssl_verify(
    openssl: str, folder: Path, root: Authority, leaf: Issued, *options: str
) -> subprocess.CompletedProcess[str]:
    """What `openssl verify` says about a chain, with the strict checks of RFC 5280 on."""
    root_path, _ = root.write(folder, "root", overwrite=True)
    leaf_path, _ = leaf.write(folder, "leaf", overwrite=True)
    return subprocess.run(
        [openssl, "verify", "-x509_strict", *options, "-CAfile", root_path, "-untrusted", leaf_path, leaf_path],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


@pytest.mark.parametrize("key_type", CLASSICAL)
def test_openssl_accepts_a_chain_of_every_key_type(
    key_type: KeyType, tmp_path: Path, require_peer: Callable[[str], str]
) -> None:
    root = Authority.create("Root", country="US", organization="Test", key_type=key_type)
    server = root.intermediate("Issuing", key_type=key_type).issue_server("localhost", "127.0.0.1", key_type=key_type)
    verdict = openssl_verify(
        require_peer("openssl"), tmp_path, root, server, "-purpose", "sslserver", "-verify_hostname", "localhost"
    )
    assert verdict.returncode == 0, verdict.stderr


@pytest.mark.parametrize("key_type", ["ml-dsa-44", "ml-dsa-65", "ml-dsa-87"])
def test_ml_dsa_certificates_are_signed_by_their_issuer(key_type: str) -> None:
    root = Authority.create("Root", key_type=key_type)
    leaf = root.issue_client("alice", key_type=key_type)
    leaf.certificate.verify_directly_issued_by(root.certificate)


def test_openssl_accepts_a_client_certificate_as_a_client_only(
    tmp_path: Path, require_peer: Callable[[str], str]
) -> None:
    openssl = require_peer("openssl")
    root = Authority.create("Root")
    client = root.issue_client("alice", emails=["alice@example.com"], uris=["spiffe://example.com/alice"])
    assert openssl_verify(openssl, tmp_path, root, client, "-purpose", "sslclient").returncode == 0
    refused = openssl_verify(openssl, tmp_path, root, client, "-purpose", "sslserver")
    assert "unsuitable certificate purpose" in refused.stderr + refused.stdout


def test_openssl_refuses_what_a_name_constraint_excludes(tmp_path: Path, require_peer: Callable[[str], str]) -> None:
    openssl = require_peer("openssl")
    root = Authority.create("Root")
    constraints = x509.NameConstraints(permitted_subtrees=[general_name("DNS:example.com")], excluded_subtrees=None)
    issuing = root.intermediate("Issuing", name_constraints=constraints)
    assert openssl_verify(openssl, tmp_path, root, issuing.issue_server("www.example.com")).returncode == 0
    refused = openssl_verify(openssl, tmp_path, root, issuing.issue_server("www.example.net"))
    assert "permitted subtree violation" in refused.stderr + refused.stdout


def test_openssl_refuses_a_chain_longer_than_its_path_length(
    tmp_path: Path, require_peer: Callable[[str], str]
) -> None:
    root = Authority.create("Root")
    leaf = root.intermediate("First").intermediate("Second").issue_client("alice")
    verdict = openssl_verify(require_peer("openssl"), tmp_path, root, leaf)
    assert "path length constraint exceeded" in verdict.stderr + verdict.stdout


def test_openssl_refuses_an_expired_certificate(tmp_path: Path, require_peer: Callable[[str], str]) -> None:
    root = Authority.create("Root")
    yesterday = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    expired = Validity(not_before=yesterday - datetime.timedelta(days=9), not_after=yesterday)
    verdict = openssl_verify(require_peer("openssl"), tmp_path, root, root.issue_server("a.example", validity=expired))
    assert "certificate has expired" in verdict.stderr + verdict.stdout


def test_chain_holds_the_intermediates_and_not_the_root() -> None:
    root = Authority.create("Root")
    first = root.intermediate("First", path_length=1)
    second = first.intermediate("Second")
    leaf = second.issue_client("alice")
    assert leaf.chain == (leaf.certificate, second.certificate, first.certificate)
    assert root.issue_client("bob").intermediates == ()


def test_server_certificate_names_dns_names_and_addresses() -> None:
    leaf = Authority.create("Root").issue_server("localhost", "*.example.com", "bücher.example", "127.0.0.1", "::1")
    names = leaf.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost", "*.example.com", "xn--bcher-kva.example"]
    assert names.get_values_for_type(x509.IPAddress) == [
        ipaddress.ip_address("127.0.0.1"),
        ipaddress.ip_address("::1"),
    ]


def test_server_name_too_long_for_a_common_name_stands_in_a_critical_san() -> None:
    long_name = ".".join(["a" * 40] * 3)
    leaf = Authority.create("Root").issue_server(long_name)
    san = leaf.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert san.critical, "RFC 5280 4.2.1.6: without a subject the SAN is critical"
    assert san.value.get_values_for_type(x509.DNSName) == [long_name]


def test_leaf_does_not_outlive_its_issuer() -> None:
    root = Authority.create("Root", validity=Validity(lifetime=datetime.timedelta(days=7)))
    assert root.issue_client("alice").certificate.not_valid_after_utc == root.certificate.not_valid_after_utc


def test_key_file_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    chain, key = Authority.create("Root").issue_client("alice").write(tmp_path / "new" / "folder", "alice")
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert (chain.name, key.name) == ("alice.pem", "alice-key.pem")


def test_write_replaces_a_key_only_when_told_to(tmp_path: Path) -> None:
    root = Authority.create("Root")
    _, key = root.write(tmp_path, "ca")
    key.chmod(0o644)
    with pytest.raises(ConfigError, match="exists already"):
        Authority.create("Other").write(tmp_path, "ca")
    assert key.read_bytes() == root.pem_key
    root.write(tmp_path, "ca", overwrite=True)
    assert stat.S_IMODE(key.stat().st_mode) == 0o600, "a replaced key does not keep the wider mode of the old file"


def test_written_authority_loads_and_issues(tmp_path: Path) -> None:
    issuing = Authority.create("Root").intermediate("Issuing")
    issuing.write(tmp_path, "issuing")
    loaded = Authority.load(tmp_path, "issuing")
    leaf = loaded.issue_client("alice")
    assert leaf.chain[1:] == (issuing.certificate,)
    leaf.certificate.verify_directly_issued_by(issuing.certificate)


def test_load_refuses_a_key_of_another_certificate(tmp_path: Path) -> None:
    Authority.create("Root").write(tmp_path, "ca")
    (tmp_path / "ca-key.pem").write_bytes(Authority.create("Other").pem_key)
    with pytest.raises(ConfigError, match="is not that of the certificate"):
        Authority.load(tmp_path)


def test_load_refuses_what_is_no_authority(tmp_path: Path) -> None:
    Authority.create("Root").issue_client("alice").write(tmp_path, "ca")
    with pytest.raises(ConfigError, match="not the certificate of a CA"):
        Authority.load(tmp_path)


def test_private_key_is_not_in_the_repr() -> None:
    assert "PrivateKey" not in repr(Authority.create("Root"))


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda root: root.issue_server(), "at least one DNS name"),
        (lambda root: root.issue_server("not a host"), "neither a DNS name nor an IP address"),
        (lambda root: root.issue_server("x", key_type="dsa-1024"), "there are ec-p256"),
        (lambda root: root.issue_client("x" * 65), "cannot be the name"),
        (lambda root: root.issue_client("x", country="USA"), "cannot be the name"),
        (lambda root: root.write("/tmp", "../x"), "no file name"),
        (lambda root: general_name("example.com"), "write DNS:"),
        (lambda root: general_name("IP:10.0.0.1/8"), "has host bits set"),
        (lambda root: root.issue_client("x", validity=Validity(lifetime=-datetime.timedelta(days=1))), "cannot end"),
    ],
)
def test_what_cannot_be_made_is_refused_in_a_sentence(make: Callable[[Authority], object], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        make(Authority.create("Root"))


def test_usages_can_be_chosen() -> None:
    both = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)
    leaf = Authority.create("Root").issue_server("localhost", usages=both)
    assert list(leaf.certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == list(both)
