"""Whom a client asks for (`ServerName`), and whether a certificate is for that name (RFC 9525).

Only the subjectAltName counts, never the common name. A wildcard in the certificate is a whole left-most label, stands
for exactly one label, and has at least two labels behind it.
"""

from __future__ import annotations

import functools
import ipaddress
from typing import NoReturn

from trustls.errors import ConfigError
from trustls.trust.certificate import Certificate, IPAddress
from trustls.trust.extensions import NameForm, is_dns_name
from trustls.wire.names import shown


class ServerName:
    """A DNS name or an IP address that a server may be asked for. Immutable, hashable, equal by value.

    Args:
        text: a DNS name (as A-labels, when it is an international one) or an IPv4 or IPv6 address. A DNS name is
            lower-cased and loses a trailing period; an IPv6 address may stand in brackets and loses its zone.

    Raises:
        ConfigError: `text` is neither.

    >>> ServerName("Example.COM.")
    ServerName('example.com')
    """

    __slots__ = ("_dns", "_packed", "ip", "text")

    text: str
    ip: IPAddress | None
    _dns: bytes | None
    _packed: bytes | None

    def __init__(self, text: str) -> None:
        text, ip = _parsed(text)
        fill = object.__setattr__
        fill(self, "text", text)
        fill(self, "ip", ip)
        fill(self, "_dns", None if ip is not None else text.encode())
        fill(self, "_packed", None if ip is None else ip.packed)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError("a ServerName does not change")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError("a ServerName does not change")

    def __reduce__(self) -> tuple[type[ServerName], tuple[str]]:
        return type(self), (self.text,)

    def __eq__(self, other: object) -> bool:
        return self.text == other.text if isinstance(other, ServerName) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.text)

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"ServerName({self.text!r})"

    @property
    def dns(self) -> str | None:
        """The DNS name, or None for an IP address."""
        return None if self.ip is not None else self.text

    @property
    def sni(self) -> bytes | None:
        """The HostName for the server_name extension; None for an IP address, which it cannot carry (RFC 6066 3)."""
        return self._dns

    def matches(self, certificate: Certificate) -> bool:
        """Whether the certificate's subjectAltName has this name (RFC 9525 6)."""
        name = self._dns
        if name is None:
            return (NameForm.IP, self._packed) in certificate.alternative_names
        parent = name.partition(b".")[2]
        for form, content in certificate.alternative_names:
            if form == NameForm.DNS:
                presented = content.lower()
                if presented == name:
                    return True
                if presented[:2] == b"*." and presented[2:] == parent and b"." in parent:
                    return True
        return False


@functools.lru_cache(maxsize=256)
def _parsed(text: str) -> tuple[str, IPAddress | None]:
    if not isinstance(text, str):
        raise ConfigError(f"a server name is a str, not {type(text).__name__}")
    literal = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    try:
        ip = ipaddress.ip_address(literal.partition("%")[0])
    except ValueError:
        pass
    else:
        # An IPv4 address has neither brackets nor a zone (RFC 3986 3.2.2, RFC 4007 11).
        if ip.version == 6 or text == str(ip):
            return str(ip), ip
    check_ascii("server name", text)
    name = text.lower().removesuffix(".")
    if not is_host(name):
        raise ConfigError(f"the server name {shown(text)!r} is neither a DNS name nor an IP address")
    return name, None


def check_ascii(what: str, text: str) -> None:
    """Refuse a name that is not ASCII; `what` says of which kind it is."""
    if not text.isascii():
        raise ConfigError(
            f"the {what} {shown(text)!r} is not ASCII: give its A-label form, which starts with xn-- (RFC 5890)"
        )


def is_host(name: str) -> bool:
    """Whether this is the DNS name of a host, in lower case."""
    # A last label that is a number could be read as an IPv4 address by another program, 0x7f000001 as 127.0.0.1.
    last = name.rpartition(".")[2]
    return is_dns_name(name.encode()) and not (last.isdigit() or _is_hexadecimal(last))


def _is_hexadecimal(label: str) -> bool:
    return label.startswith("0x") and not label[2:].strip("0123456789abcdef")
