from __future__ import annotations

import copy
import ipaddress
import pickle

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from tests.trust.issuing import authority, dns, leaf
from trustls.errors import ConfigError
from trustls.trust.names import ServerName

ROOT = authority("CN=Root")


def matches(name: str, *presented: str, subject: str = "CN=alice") -> bool:
    return ServerName(name).matches(leaf(ROOT, subject, names=dns(*presented)).certificate)


def test_a_dns_name_is_lower_cased_and_loses_its_last_period() -> None:
    name = ServerName("Example.COM.")
    assert str(name) == name.dns == "example.com"
    assert name.sni == b"example.com"
    assert name.ip is None
    assert name == ServerName("example.com")
    assert hash(name) == hash(ServerName("example.com"))
    assert name != "example.com"


@pytest.mark.parametrize(
    ("text", "shown"),
    [("192.0.2.1", "192.0.2.1"), ("2001:DB8:0::1", "2001:db8::1"), ("[::1]", "::1"), ("fe80::1%eth0", "fe80::1")],
)
def test_an_address_is_no_dns_name_and_not_for_sni(text: str, shown: str) -> None:
    name = ServerName(text)
    assert str(name) == shown
    assert name.ip == ipaddress.ip_address(shown)
    assert name.dns is None
    assert name.sni is None


@pytest.mark.parametrize("good", ["localhost", "a", "my_service", "xn--n3h.com", "1.example", "a-b.example", "x" * 63])
def test_dns_names(good: str) -> None:
    assert ServerName(good).dns == good


@pytest.mark.parametrize(
    "bad",
    [
        "", ".", "..", "a..b", ".example.com", "-a.example", "a-.example", "*.example.com", "exa mple.com", "a/b",
        "x" * 64, ".".join(["x" * 60] * 5), "1.2.3", "1.2.3.4.5", "256.1.1.1", "192.0.2.01", "example.1", "a\0b",
        "localhost:443", "https://example.com", "[192.0.2", "2001:db8::g", "example.com\n",
    ],
)  # fmt: skip
def test_what_is_neither_is_a_config_error(bad: str) -> None:
    with pytest.raises(ConfigError, match="neither a DNS name nor an IP address"):
        ServerName(bad)


def test_an_international_name_is_asked_for_as_an_a_label() -> None:
    with pytest.raises(ConfigError, match="A-label"):
        ServerName("münchen.example")


def test_a_server_name_is_text() -> None:
    with pytest.raises(ConfigError, match="not bytes"):
        ServerName(b"example.com")  # type: ignore[arg-type]


@given(st.text(max_size=20))
def test_any_text_is_a_name_or_a_config_error(text: str) -> None:
    try:
        name = ServerName(text)
    except ConfigError:
        return
    assert ServerName(str(name)) == name


def test_a_server_name_does_not_change_and_survives_copying() -> None:
    name = ServerName("example.com")
    with pytest.raises(AttributeError):
        name.text = "other"
    with pytest.raises(AttributeError):
        del name.text
    assert copy.deepcopy(name) == pickle.loads(pickle.dumps(name)) == name
    assert repr(name) == "ServerName('example.com')"


@pytest.mark.parametrize(
    ("name", "presented", "good"),
    [
        ("example.com", "example.com", True),
        ("example.com", "EXAMPLE.com", True),
        ("a.example.com", "*.example.com", True),
        ("a.example.com", "*.EXAMPLE.com", True),
        ("example.com", "*.example.com", False),
        ("a.b.example.com", "*.example.com", False),
        ("a.example.com", "example.com", False),
        ("badexample.com", "example.com", False),
        ("example.com", "*.com", False),
        ("localhost", "*", False),
        ("baz.example.com", "ba*.example.com", False),
        ("foo.bar.example.com", "foo.*.example.com", False),
        ("a.b.example.com", "*.*.example.com", False),
        ("example.com", "example.com.", False),
        ("example.com", "example.com\0.evil", False),
    ],
)
def test_matching(name: str, presented: str, good: bool) -> None:
    assert matches(name, presented) is good


def test_any_of_several_names_matches() -> None:
    assert matches("b.example", "a.example", "b.example")


def test_the_common_name_never_counts() -> None:
    assert not matches("example.com", "other.example", subject="CN=example.com")
    assert not ServerName("example.com").matches(leaf(ROOT, "CN=example.com").certificate)


def test_an_address_matches_only_an_address() -> None:
    presented = [x509.IPAddress(ipaddress.ip_address("192.0.2.1")), x509.IPAddress(ipaddress.ip_address("::1"))]
    certificate = leaf(ROOT, names=presented).certificate
    assert ServerName("192.0.2.1").matches(certificate)
    assert ServerName("[0::1]").matches(certificate)
    assert not ServerName("192.0.2.2").matches(certificate)
    assert not matches("192.0.2.1", "192.0.2.1")
    assert not matches("192.0.2.1", "*.0.2.1")
    assert not ServerName("example.com").matches(certificate)
