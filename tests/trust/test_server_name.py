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
from trustls.trust.patterns import DnsPattern, Mailbox, Uri

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
        "[192.0.2.1]", "192.0.2.1%eth0", "192.0.2.1%.example.com", "0x7f000001", "a.0X7F", "0x",
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


# -- Names in rules ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "presented", "good"),
    [
        ("db.internal", "db.internal", True),
        ("DB.Internal.", "db.INTERNAL", True),
        ("db.internal", "api.internal", False),
        ("db.internal", "x.db.internal", False),
        ("db.internal", "db.internal.", False),
        ("db.internal", "db.internal\0", False),
        ("*.svc.example", "db.svc.example", True),
        ("*.svc.example", "DB.svc.example", True),
        ("*.svc.example", "svc.example", False),
        ("*.svc.example", ".svc.example", False),
        ("*.svc.example", "a.db.svc.example", False),
        ("*.svc.example", "a b.svc.example", False),
        ("*.svc.example", "\u212aelvin.svc.example", False),
        ("k.example", "\u212a.example", False),
        ("*.svc.example", "*.svc.example", True),
        ("db.svc.example", "*.svc.example", False),
        ("*.example", "*.svc.example", False),
        ("*.svc.example", "*.*.svc.example", False),
        ("*.internal", "db.internal", True),
        ("localhost", "localhost", True),
        ("localhost", "", False),
    ],
)
def test_a_dns_pattern_says_which_names_in_a_certificate_are_meant(pattern: str, presented: str, good: bool) -> None:
    assert DnsPattern(pattern).matches(presented) is good


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("*", "not the whole left-most label"),
        ("a*.example.com", "not the whole left-most label"),
        ("*a.example.com", "not the whole left-most label"),
        ("a.*.example.com", "not the whole left-most label"),
        ("*.*.example.com", "not the whole left-most label"),
        ("**.example.com", "not the whole left-most label"),
        ("*.", "not the whole left-most label"),
        ("", "is no DNS name"),
        (".", "is no DNS name"),
        (".example.com", "is no DNS name"),
        ("a..b", "is no DNS name"),
        ("10.0.0.1", "is no DNS name"),
        ("*.0.0.1", "is no DNS name"),
        ("::1", "is no DNS name"),
        ("https://example.com", "is no DNS name"),
        ("example.com:443", "is no DNS name"),
        ("x" * 64, "is no DNS name"),
        ("münchen.example", "A-label"),
    ],
)
def test_what_is_no_dns_pattern_says_why(bad: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        DnsPattern(bad)


@pytest.mark.parametrize(
    ("address", "presented", "good"),
    [
        ("alice@example.com", "alice@example.com", True),
        ("alice@Example.COM", "alice@EXAMPLE.com", True),
        ("Alice@example.com", "alice@example.com", False),
        ("alice@example.com", "alice@example.com.", False),
        ("alice@example.com", "bob@alice@example.com", False),
        ("alice@example.com", "example.com", False),
        ("alice@example.com", "@example.com", False),
        ("a.b+c@example.com", "a.b+c@example.com", True),
        ("k@k.example", "k@\u212a.example", False),
    ],
)
def test_a_mailbox_has_an_exact_local_part_and_a_host_in_any_case(address: str, presented: str, good: bool) -> None:
    assert Mailbox(address).matches(presented) is good


@pytest.mark.parametrize(
    "bad",
    [
        "", "alice", "@example.com", "alice@", "a@b@example.com", ".a@example.com", "a..b@example.com",
        "a b@example.com", '"a b"@example.com', "alice@[192.0.2.1]", "alice@192.0.2.1", "alice@*.example.com",
        "x" * 65 + "@example.com", "alice@example.com\n",
    ],
)  # fmt: skip
def test_what_is_no_mailbox_is_a_config_error(bad: str) -> None:
    with pytest.raises(ConfigError, match="is no email address"):
        Mailbox(bad)


def test_a_mailbox_is_ascii() -> None:
    with pytest.raises(ConfigError, match="not ASCII"):
        Mailbox("jürgen@example.com")


@pytest.mark.parametrize(
    ("uri", "presented", "good"),
    [
        ("https://example.com/a", "https://example.com/a", True),
        ("HTTPS://Example.COM/a", "https://EXAMPLE.com/a", True),
        ("https://example.com/a", "https://example.com/A", False),
        ("https://example.com/a", "https://example.com/a/", False),
        ("https://example.com/a", "https://example.com/%61", False),
        ("https://example.com/a", "https://example.com:443/a", False),
        ("https://example.com/a", "http://example.com/a", False),
        ("https://example.com//a?b=/#c", "https://example.com//a?b=/#c", True),
        ("https://User@example.com/", "https://user@example.com/", False),
        ("https://[2001:DB8::1]/", "https://[2001:db8::1]/", True),
        ("urn:uuid:0a", "URN:uuid:0a", True),
        ("urn:uuid:0a", "urn:UUID:0a", False),
        ("urn:uuid:0a", "urn:uuid:0a\0", False),
        ("urn:uuid:0a", "no URI at all", False),
    ],
)
def test_a_uri_is_compared_whole_but_for_the_case_of_scheme_and_host(uri: str, presented: str, good: bool) -> None:
    assert Uri(uri).matches(presented) is good


@pytest.mark.parametrize(
    "bad",
    ["", "example.com", "/a", "//example.com/a", "1http://a", "https://a b/", "https://ä/", "https://a/%zz", "urn:a\n",
     "http://a#b#c", "http://a\\b", "https://" + "a" * 2048],
)  # fmt: skip
def test_what_is_no_uri_is_a_config_error(bad: str) -> None:
    with pytest.raises(ConfigError, match="is no absolute URI"):
        Uri(bad)


@pytest.mark.parametrize("kind", [DnsPattern, Mailbox, Uri])
def test_names_in_rules_are_text(kind: type[DnsPattern | Mailbox | Uri]) -> None:
    with pytest.raises(ConfigError, match="not bytes"):
        kind(b"alice@example.com")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "name", [DnsPattern("*.svc.example"), Mailbox("alice@example.com"), Uri("https://example.com/a")]
)
def test_names_in_rules_are_values(name: DnsPattern | Mailbox | Uri) -> None:
    assert type(name)(str(name)) == name
    assert copy.deepcopy(name) == pickle.loads(pickle.dumps(name)) == name
    assert hash(name) == hash(type(name)(name.text))
    assert repr(name) == f"{type(name).__name__}({name.text!r})"
    with pytest.raises(AttributeError):
        name.text = "other"  # type: ignore[misc]


@given(st.text(max_size=20), st.sampled_from([DnsPattern, Mailbox, Uri]))
def test_any_text_is_such_a_name_or_a_config_error(text: str, kind: type[DnsPattern | Mailbox | Uri]) -> None:
    try:
        name = kind(text)
    except ConfigError:
        return
    assert kind(name.text) == name
    assert name.matches(name.text)


@given(st.text(alphabet="ab.*-_A@:/\0 ", max_size=12))
def test_nothing_that_a_certificate_presents_makes_matching_fail(presented: str) -> None:
    for kind in (DnsPattern, Mailbox, Uri):
        for text in kind.spellings(presented):
            assert kind(text).matches(presented)
