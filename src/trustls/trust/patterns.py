"""The names that a rule lets in (`Authorize`): `DnsPattern`, `Mailbox`, `Uri`.

Only the subjectAltName counts, never the common name. Here a wildcard stands in the rule, where that of a `ServerName`
stands in the certificate.
"""

from __future__ import annotations

import re
from typing import Final

from trustls.errors import ConfigError
from trustls.trust.extensions import is_dns_name
from trustls.trust.names import check_ascii, is_host
from trustls.values import dataclass
from trustls.wire.names import shown


@dataclass(frozen=True, slots=True, repr=False)
class DnsPattern:
    """A DNS name, or `*.` and one: which DNS names in a certificate a rule means.

    `*.svc.example` means every name of exactly one label more, such as `db.svc.example`, and has to be the whole
    left-most label. A certificate may itself hold a wildcard: that stands for no host in particular, and is met only by
    the same wildcard.

    Attributes:
        text: the pattern in lower case, without a trailing period.

    Raises:
        ConfigError: it is no such pattern.

    >>> DnsPattern("*.Svc.Example").matches("db.svc.example")
    True
    """

    text: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", _dns_pattern(self.text))

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"DnsPattern({self.text!r})"

    def matches(self, presented: str) -> bool:
        """Whether this is the pattern of a dNSName as it stands in a certificate."""
        return self.text in self.spellings(presented)

    @staticmethod
    def spellings(presented: str) -> tuple[str, ...]:
        """The texts of all patterns that match a dNSName; none when it is no DNS name."""
        # ASCII first: the lower case of the Kelvin sign is a plain k.
        name = presented.lower() if presented.isascii() else ""
        if not is_dns_name(name.removeprefix("*.").encode()):
            return ()
        parent = "" if name.startswith("*.") else name.partition(".")[2]
        return (name, f"*.{parent}") if parent else (name,)


def _dns_pattern(text: str) -> str:
    if not isinstance(text, str):
        raise ConfigError(f"a DNS name is a str, not {type(text).__name__}")
    check_ascii("DNS name", text)
    name = text.lower().removesuffix(".")
    host = name.removeprefix("*.")
    if "*" in host:
        raise ConfigError(
            f"the DNS name {shown(text)!r} has a wildcard that is not the whole left-most label, as in *.example.com"
        )
    if not is_host(host):
        raise ConfigError(f"{shown(text)!r} is no DNS name, and no wildcard such as *.example.com")
    return name


@dataclass(frozen=True, slots=True, repr=False)
class Mailbox:
    """An email address, compared as RFC 5280 7.5 says: the local part exactly, the host without regard to case.

    Only rfc822Names are meant, which are ASCII. A SmtpUTF8Mailbox (RFC 9598) is not: the name constraints of a CA would
    have to be held against it as well.

    Attributes:
        text: the address, its host in lower case.

    Raises:
        ConfigError: it is no address of the form local@host; quoted local parts are not taken.

    >>> Mailbox("Alice@Example.COM").matches("Alice@example.com")
    True
    """

    text: str

    def __post_init__(self) -> None:
        text = self.text
        if not isinstance(text, str):
            raise ConfigError(f"an email address is a str, not {type(text).__name__}")
        if not text.isascii():
            raise ConfigError(f"the email address {shown(text)!r} is not ASCII: certificates hold no other (RFC 5280)")
        normal = _normal_mailbox(text)
        if normal is None:
            raise ConfigError(f"{shown(text)!r} is no email address such as alice@example.com")
        object.__setattr__(self, "text", normal)

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"Mailbox({self.text!r})"

    def matches(self, presented: str) -> bool:
        """Whether this is the mailbox of an rfc822Name as it stands in a certificate."""
        return self.text in self.spellings(presented)

    @staticmethod
    def spellings(presented: str) -> tuple[str, ...]:
        """The text of the Mailbox that matches an rfc822Name; none when it is no address."""
        normal = _normal_mailbox(presented)
        return () if normal is None else (normal,)


def _normal_mailbox(text: str) -> str | None:
    local, _, host = text.rpartition("@")
    if not text.isascii() or len(local) > _MAX_LOCAL_PART or not re.fullmatch(_LOCAL_PART, local):
        return None
    host = host.lower()
    return f"{local}@{host}" if is_host(host) else None


@dataclass(frozen=True, slots=True, repr=False)
class Uri:
    """A whole URI: scheme and host are compared without regard to case, all else exactly (RFC 3986 6.2.2.1).

    This is not the URI-ID of RFC 9525 6.5, of which scheme and host alone count.

    Attributes:
        text: the URI, scheme and host in lower case.

    Raises:
        ConfigError: it is no absolute URI of at most 2048 characters.

    >>> Uri("HTTPS://Example.com/a").matches("https://example.com/a")
    True
    """

    text: str

    def __post_init__(self) -> None:
        text = self.text
        if not isinstance(text, str):
            raise ConfigError(f"a URI is a str, not {type(text).__name__}")
        normal = _normal_uri(text)
        if normal is None:
            raise ConfigError(f"{shown(text)!r} is no absolute URI such as https://example.com/me (RFC 3986)")
        object.__setattr__(self, "text", normal)

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"Uri({self.text!r})"

    @property
    def scheme(self) -> str:
        """The scheme in lower case."""
        return self.text.partition(":")[0]

    def matches(self, presented: str) -> bool:
        """Whether this is the same URI as one that stands in a certificate."""
        return self.text in self.spellings(presented)

    @staticmethod
    def spellings(presented: str) -> tuple[str, ...]:
        """The text of the Uri that matches a uniformResourceIdentifier; none when it is no URI."""
        normal = _normal_uri(presented)
        return () if normal is None else (normal,)


def _normal_uri(text: str) -> str | None:
    found = re.fullmatch(_URI, text) if len(text) <= _MAX_URI else None
    if found is None:
        return None
    scheme, authority, rest = found.groups()
    if authority is None:
        return f"{scheme.lower()}:{rest}"
    user, at, host = authority.rpartition("@")
    return f"{scheme.lower()}://{user}{at}{host.lower()}{rest}"


_MAX_LOCAL_PART: Final = 64  # RFC 5321 4.5.3.1.1
_MAX_URI: Final = 2048
_ATOM: Final = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LOCAL_PART: Final = rf"{_ATOM}(?:\.{_ATOM})*"
# RFC 3986 appendix A, as far as comparing needs it: the scheme, the authority if there is one, and the rest.
_URI_CHARACTER: Final = r"(?:[A-Za-z0-9._~:@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})"
_URI: Final = (
    r"([A-Za-z][A-Za-z0-9+.-]*):"
    rf"(?://((?:[\[\]]|{_URI_CHARACTER})*)(?=[/?#]|\Z)|(?!//))"
    rf"((?:[/?]|{_URI_CHARACTER})*(?:#(?:[/?]|{_URI_CHARACTER})*)?)"
)
