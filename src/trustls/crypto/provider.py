"""The provider: one object that names every primitive trustls may use.

A configuration restricts it by IANA name; nothing outside this package looks a primitive up elsewhere.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import field, replace
from typing import TypeVar

from trustls.crypto.aead import TLS12_SUITES, TLS13_SUITES, SuiteAlgorithms, SuiteAlgorithms12
from trustls.crypto.key_exchange import GROUPS, LACKING, MORE_GROUPS, Hybrid, KeyExchangeGroup
from trustls.crypto.signatures import PKCS1_SCHEMES, TLS13_SCHEMES
from trustls.errors import ConfigError
from trustls.values import dataclass
from trustls.wire.enums import CipherSuite, NamedGroup, OpenEnum, SignatureScheme

E = TypeVar("E", bound=OpenEnum)


@dataclass(frozen=True, slots=True, repr=False)
class CryptoProvider:
    """The suites, groups and signature schemes on offer, each in order of preference, and the source of randomness.

    Attributes:
        suites: the cipher suites of TLS 1.3.
        suites12: those of TLS 1.2.
        groups: the groups of the key exchange, for both versions.
        signature_schemes: how handshakes may be signed, and certificates.
        random: gives so many unpredictable bytes, for the fields that a peer sees (hello randoms, session ids). Keys
            come from the operating system's generator always, whatever stands here.
        more_groups: groups that a configuration has if it names them, and not otherwise.
    """

    suites: tuple[SuiteAlgorithms, ...] = TLS13_SUITES
    suites12: tuple[SuiteAlgorithms12, ...] = TLS12_SUITES
    groups: tuple[KeyExchangeGroup, ...] = GROUPS
    signature_schemes: tuple[SignatureScheme, ...] = TLS13_SCHEMES + PKCS1_SCHEMES
    random: Callable[[int], bytes] = os.urandom
    more_groups: tuple[KeyExchangeGroup, ...] = MORE_GROUPS

    certificate_schemes: tuple[SignatureScheme, ...] | None = field(init=False, repr=False, compare=False)
    """What signature_algorithms_cert says; None where it would be no more than signature_algorithms does.

    Restricting the schemes of handshakes restricts no certificates: those of RSA CAs are everywhere.
    """
    schemes13: tuple[SignatureScheme, ...] = field(init=False, repr=False, compare=False)
    """The schemes of a CertificateVerify in TLS 1.3, where PKCS#1 is for certificates only (RFC 9846 4.3.3)."""
    schemes12: tuple[SignatureScheme, ...] = field(init=False, repr=False, compare=False)
    """The schemes of TLS 1.2, for which ML-DSA is not defined."""
    ecdhe_groups: tuple[KeyExchangeGroup, ...] = field(init=False, repr=False, compare=False)
    """The groups that TLS 1.2 can use: what has ML-KEM has no place there (RFC 8422)."""
    suites_by_name: Mapping[CipherSuite, SuiteAlgorithms] = field(init=False, repr=False, compare=False)
    """The suites of TLS 1.3, by their names."""
    suites12_by_name: Mapping[CipherSuite, SuiteAlgorithms12] = field(init=False, repr=False, compare=False)
    """The suites of TLS 1.2, by their names."""

    def __post_init__(self) -> None:
        schemes = self.signature_schemes
        all_certificates = set(schemes) >= set(_CERTIFICATE_SCHEMES)
        fill = object.__setattr__
        fill(self, "certificate_schemes", None if all_certificates else _CERTIFICATE_SCHEMES)
        fill(self, "schemes13", tuple([scheme for scheme in schemes if scheme not in PKCS1_SCHEMES]))
        fill(self, "schemes12", tuple([scheme for scheme in schemes if "MLDSA" not in scheme.name]))
        fill(self, "suites_by_name", {item.suite: item for item in self.suites})
        fill(self, "suites12_by_name", {item.suite: item for item in self.suites12})
        fill(self, "ecdhe_groups", tuple([group for group in self.groups if group.group in _ECDHE]))

    def __repr__(self) -> str:
        return (
            f"<CryptoProvider of {len(self.suites) + len(self.suites12)} suites, {len(self.groups)} groups, "
            f"{len(self.signature_schemes)} signature schemes>"
        )

    def restricted(
        self,
        *,
        suites: tuple[str, ...] | None = None,
        groups: tuple[str, ...] | None = None,
        signature_schemes: tuple[str, ...] | None = None,
    ) -> CryptoProvider:
        """This provider with only what is named, in the order named.

        Raises:
            ConfigError: a name is not known, or not what this provider has; or nothing would be left.
        """
        by_suite = self._suites_by_name()
        wanted = tuple(by_suite.values()) if suites is None else _named(CipherSuite, suites, by_suite)
        by_group = {item.group: item for item in self.groups + self.more_groups}
        by_scheme = {scheme: scheme for scheme in self.signature_schemes}
        return replace(
            self,
            suites=tuple([suite for suite in wanted if isinstance(suite, SuiteAlgorithms)]),
            suites12=tuple([suite for suite in wanted if isinstance(suite, SuiteAlgorithms12)]),
            groups=self.groups if groups is None else _named(NamedGroup, groups, by_group, LACKING),
            more_groups=self.more_groups if groups is None else (),
            signature_schemes=(
                self.signature_schemes
                if signature_schemes is None
                else _named(SignatureScheme, signature_schemes, by_scheme)
            ),
        )

    def key_shares(self, names: tuple[str, ...] | None) -> tuple[KeyExchangeGroup, ...]:
        """The groups named, in the order of `groups` (RFC 9846 4.3.8).

        Without names the first of them; if that is a hybrid, the group of its ECDHE half as well, whose share comes for
        free.

        Raises:
            ConfigError: a name is not among `groups`.
        """
        if names is None:
            first = self.groups[0]
            half = first.ecdhe if isinstance(first, Hybrid) else first
            return tuple([group for group in self.groups if group is first or group is half])
        have = {group.group.iana.lower(): group for group in self.groups}
        unknown = [name for name in names if name.lower() not in have]
        if unknown:
            raise ConfigError(
                f"`key_shares` names {', '.join(unknown)}: there can be shares of the groups on offer, which are "
                f"{', '.join(group.group.iana for group in self.groups)}"
            )
        wanted = {name.lower() for name in names}
        return tuple([group for name, group in have.items() if name in wanted])

    def _suites_by_name(self) -> dict[CipherSuite, SuiteAlgorithms | SuiteAlgorithms12]:
        by_name: dict[CipherSuite, SuiteAlgorithms | SuiteAlgorithms12] = {}
        by_name.update({item.suite: item for item in self.suites})
        by_name.update({item.suite: item for item in self.suites12})
        return by_name


T = TypeVar("T")
_CERTIFICATE_SCHEMES = TLS13_SCHEMES + PKCS1_SCHEMES
_ECDHE = frozenset((NamedGroup.X25519, NamedGroup.SECP256R1, NamedGroup.SECP384R1, NamedGroup.SECP521R1))


def _named(kind: type[E], names: tuple[str, ...], have: dict[E, T], lacking: Collection[E] = ()) -> tuple[T, ...]:
    what = kind.__name__
    if not names:
        raise ConfigError(f"the list of {what} is empty: leave it out for the default, or name at least one")
    found: dict[E, T] = {}
    for name in names:
        try:
            value = kind.from_iana(name)
        except ValueError as error:
            raise ConfigError(f"{error}; there are: {_listed(have)}") from None
        if value in lacking:
            raise ConfigError(
                f"{name} needs ML-KEM, which the OpenSSL that cryptography was built with does not have (3.5 and later "
                f"do); there are: {_listed(have)}"
            )
        if value not in have:
            raise ConfigError(f"{name} is not supported; there are: {_listed(have)}")
        found[value] = have[value]
    return tuple(found.values())


def _listed(values: dict[E, T]) -> str:
    return ", ".join(value.iana for value in values)


DEFAULT_PROVIDER = CryptoProvider()
"""The cryptography of pyca/cryptography, everything in it that is offered and accepted by default."""
