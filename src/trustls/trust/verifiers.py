"""Verifiers: who decides whether the other side is believed, and what is then known of it (`Peer`)."""

from __future__ import annotations

import enum
import functools
import hashlib
import logging
import secrets
from collections.abc import Awaitable
from dataclasses import field
from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

from trustls.errors import CertificateProblem, CertificateRejected, ConfigError
from trustls.trust.certificate import Certificate, Fault, IPAddress
from trustls.trust.hints import Hints, authorities, check_size
from trustls.trust.names import ServerName
from trustls.trust.path import PathCheck, PathFailure, PathFault, PathLimits, verify_path
from trustls.trust.profile import Profile, Purpose
from trustls.trust.sources import Roots, TrustedRoots
from trustls.values import dataclass
from trustls.wire.names import DistinguishedName, shown

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

    from trustls.trust.authorize import Authorize
    from trustls.trust.raw_key import RawPublicKey
    from trustls.trust.revocation import Revocation, RevocationLists
    from trustls.trust.spiffe import SpiffeId

_logger = logging.getLogger("trustls.trust")


class OcspPolicy(enum.Enum):
    """What a client makes of stapled OCSP responses (RFC 6066 8, RFC 6960).

    Attributes:
        OFF: it asks for none.
        STAPLED: it asks for one and checks what comes. A certificate that demands a response (must-staple, RFC 7633) is
            refused without one.
        REQUIRED: a server without a good response is refused.
    """

    OFF = "off"
    STAPLED = "stapled"
    REQUIRED = "required"

    @classmethod
    def named(cls, name: str | OcspPolicy) -> OcspPolicy:
        """The policy of this name.

        Raises:
            ConfigError: there is none.
        """
        try:
            return cls(name)
        except ValueError:
            names = ", ".join(repr(one.value) for one in cls)
            raise ConfigError(f"`ocsp` is one of {names}, not {name!r}") from None


@dataclass(frozen=True, slots=True)
class PeerNames:
    """The names in the subjectAltName of a peer's certificate, by form, as they stand there."""

    dns: tuple[str, ...] = ()
    ip: tuple[IPAddress, ...] = ()
    uri: tuple[str, ...] = ()
    email: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Peer:
    """Who the other side is: its certificate, or its raw public key, whose private key it has proved to hold.

    Attributes:
        presented: the certificates that it sent, the leaf first; empty where it has a raw public key.
        verified: the path from the leaf to a root, both included; empty when nobody verified one
            (`danger.AcceptAnyCertificate`, or `error`): then nothing in the certificate is true for certain. Empty
            where it has a raw public key, too, which no path leads to.
        ocsp_response: the stapled OCSPResponse that a server sent along, as DER; empty when it sent none.
        error: why the certificate or raw public key is not good, where such a client is let through all the same
            (`ClientAuth.report`).
        raw_key: its raw public key (RFC 7250), which can only be where raw keys were asked for (`RawPublicKeys`): it is
            believed unless there is an `error`. None for a peer with a certificate.
    """

    presented: tuple[Certificate, ...]
    verified: tuple[Certificate, ...] = ()
    ocsp_response: bytes = field(default=b"", repr=False)
    error: CertificateRejected | None = field(default=None, compare=False)
    raw_key: RawPublicKey | None = None

    def __post_init__(self) -> None:
        if not self.presented and self.raw_key is None:
            raise ValueError("a Peer has at least one certificate, or a raw public key")
        if self.raw_key is not None and (self.presented or self.verified):
            raise ValueError("a Peer has certificates, or a raw public key, not both")
        if self.error is not None and self.verified:
            raise ValueError("a Peer is verified, or there is an error, not both")

    @property
    def certificate(self) -> Certificate:
        """Its own certificate, the leaf.

        Raises:
            ConfigError: it has a raw public key, and no certificate.
        """
        if not self.presented:
            raise ConfigError("this peer has a raw public key, and no certificate: look at `raw_key`")
        return self.presented[0]

    @property
    def public_key(self) -> PublicKeyTypes:
        """Its key, whatever it came in, as pyca/cryptography's key object."""
        return (self.raw_key or self.presented[0]).public_key

    @property
    def title(self) -> str:
        """What messages call it: the subject of its certificate, or the fingerprint of its raw public key."""
        return (self.raw_key or self.presented[0]).title

    @property
    def names(self) -> PeerNames:
        """The names in the subjectAltName of its certificate; a raw public key has none.

        Raises:
            CertificateRejected: MALFORMED; that can only be when the certificate was not verified.
        """
        if self.raw_key is not None:
            return PeerNames()
        leaf = self.presented[0]
        return PeerNames(leaf.dns_names, leaf.ip_addresses, leaf.uris, leaf.emails)

    @property
    def spiffe_id(self) -> SpiffeId | None:
        """The SPIFFE ID of its certificate, when that is an X509-SVID and is verified; else None."""
        from trustls.trust.spiffe import SpiffeId

        return SpiffeId.of(self.presented[0]) if self.verified else None

    @property
    def subject(self) -> str:
        """The subject of its certificate, as RFC 4514 text; ConfigError as for `certificate`."""
        return str(self.certificate.subject)

    def __str__(self) -> str:
        if self.raw_key is not None:
            return f"{self.raw_key}{'' if self.error is None else f', not accepted: {self.error}'}"
        if self.error is not None:
            return f"{self.presented[0]}, not accepted: {self.error}"
        return f"{self.presented[0]}{'' if self.verified else ', not verified'}"


@runtime_checkable
class ServerVerifier(Protocol):
    """Decides, on a client, whether a server is believed."""

    def verify_server(
        self, chain: tuple[Certificate, ...], server_name: ServerName, *, now: float, ocsp_response: bytes
    ) -> Peer | Awaitable[Peer]:
        """The server that `chain` (leaf first, never empty) proves to be `server_name`.

        Args:
            chain: what the server sent.
            server_name: whom the client asked for.
            now: the time, in seconds since 1970.
            ocsp_response: the stapled OCSPResponse, or nothing.

        Raises:
            CertificateRejected: it is not believed.
        """
        ...


@runtime_checkable
class ClientVerifier(Protocol):
    """Decides, on a server, whether a client is believed, and names the CAs that it accepts."""

    @property
    def hints(self) -> tuple[DistinguishedName, ...]:
        """The CA names for the CertificateRequest; none to leave the choice to the client."""
        ...

    def verify_client(self, chain: tuple[Certificate, ...], *, now: float) -> Peer | Awaitable[Peer]:
        """The client whose certificate is the first of `chain` (never empty).

        Args:
            chain: what the client sent.
            now: the time, in seconds since 1970.

        Raises:
            CertificateRejected: it is not believed.
        """
        ...


class RootsServerVerifier:
    """Believes a server whose certificate has a path to one of the roots and is for the name asked for.

    Args:
        roots: whom to trust, in any form that `Roots` names.
        profile: whose rules for the form of certificates apply; None for "webpki" where the roots are the system's, and
            "private" where they are others.
        crls: certificate revocation lists, and what they decide.
        ocsp: what is made of stapled OCSP responses.
        authorize: what else must be true of the server.
        check_name: whether the certificate must be for the name asked for. Without that, `authorize` decides alone who
            the server must be, as it does for SPIFFE.
        limits: how much work a verification may take.

    Raises:
        ConfigError: the parts do not go together.
    """

    __slots__ = ("_token", "authorize", "check_name", "limits", "ocsp", "profile", "revocation", "roots")

    def __init__(
        self,
        roots: Roots,
        *,
        profile: str | Profile | None = None,
        crls: RevocationLists | None = None,
        ocsp: str | OcspPolicy = OcspPolicy.OFF,
        authorize: Authorize | None = None,
        check_name: bool = True,
        limits: PathLimits | None = None,
    ) -> None:
        self.roots = TrustedRoots(roots)
        self._token = secrets.token_bytes(16)
        self.profile = _profile(profile, Profile.WEBPKI if self.roots.is_system else Profile.PRIVATE)
        self.revocation = _revocation(crls)
        self.ocsp = OcspPolicy.named(ocsp)
        self.authorize = checked_rule(authorize)
        self.check_name = check_name
        self.limits = limits or PathLimits()
        if not check_name and authorize is None:
            raise ConfigError("without `check_name` any certificate of the roots would do: say with `authorize` which")

    def __repr__(self) -> str:
        return f"RootsServerVerifier({self.roots!r})"

    @property
    def session_binding(self) -> bytes:
        """Names whom this verifier believes: a session is resumed under the same only."""
        return _binding(self.roots, self.authorize, self._token, b"" if self.check_name else b"any name")

    def verify_server(
        self, chain: tuple[Certificate, ...], server_name: ServerName, *, now: float, ocsp_response: bytes = b""
    ) -> Peer | Awaitable[Peer]:
        """See `ServerVerifier`; the path is checked as `verify_path` does, then the name as RFC 9525 says."""
        verified = verify_path(
            chain,
            self.roots.roots_for(chain[0]),
            purpose=Purpose.SERVER_AUTH,
            now=now,
            limits=self.limits,
            profile=self.profile,
            check=self._check(now, ocsp_response),
        )
        leaf = verified[0]
        if self.check_name and not server_name.matches(leaf):
            fault = _mismatch(leaf, server_name)
            raise fault.rejection(leaf, (PathFailure(verified, leaf, *fault),))
        return authorized_peer(self.authorize, Peer(tuple(chain), verified))

    def _check(self, now: float, ocsp_response: bytes) -> PathCheck | None:
        revocation, policy = self.revocation, self.ocsp
        if revocation is None and policy is OcspPolicy.OFF:
            return None

        def check(path: tuple[Certificate, ...]) -> PathFault | None:
            known = False
            # A certificate that demands a staple is rare, and so are staples: without either there is nothing to check.
            if policy is OcspPolicy.REQUIRED or (
                policy is OcspPolicy.STAPLED
                and (ocsp_response or any(one.extension(_TLS_FEATURE) is not None for one in path))
            ):
                from trustls.trust.ocsp import stapled_answer

                fault, known = stapled_answer(ocsp_response, path, policy=policy.value, now=now, revocation=revocation)
                if fault is not None:
                    return path[0], fault
            return None if revocation is None else revocation.fault(path, now=now, leaf_known=known)

        return check


class RootsClientVerifier:
    """Believes a client whose certificate has a path to one of the roots.

    Args:
        roots: whom to trust, in any form that `Roots` names.
        hints: the CA names for the CertificateRequest, in any form that `trust.hints.authorities` takes; None for the
            names of the roots, `()` for none.
        profile: whose rules for the form of certificates apply.
        crls: certificate revocation lists, and what they decide.
        authorize: what else must be true of the client.
        limits: how much work a verification may take.

    Raises:
        ConfigError: the hints are not understood, or too many.
    """

    __slots__ = ("_given_hints", "_root_hints", "_token", "authorize", "limits", "profile", "revocation", "roots")

    def __init__(
        self,
        roots: Roots,
        *,
        hints: Hints | None = None,
        profile: str | Profile | None = None,
        crls: RevocationLists | None = None,
        authorize: Authorize | None = None,
        limits: PathLimits | None = None,
    ) -> None:
        self.roots = TrustedRoots(roots)
        self._token = secrets.token_bytes(16)
        self.profile = _profile(profile, Profile.PRIVATE)
        self.revocation = _revocation(crls)
        self.authorize = checked_rule(authorize)
        self.limits = limits or PathLimits()
        self._given_hints = None if hints is None else authorities(hints)
        self._root_hints: tuple[bytes, tuple[DistinguishedName, ...]] = b"", ()
        if hints is None:
            names = self.roots.subjects()
            check_size(names)
            self._root_hints = self.roots.fingerprint, names

    def __repr__(self) -> str:
        return f"RootsClientVerifier({self.roots!r}, {len(self.hints)} hints)"

    @property
    def hints(self) -> tuple[DistinguishedName, ...]:
        """The CA names for the CertificateRequest: those given, or those of the roots of now."""
        if self._given_hints is not None:
            return self._given_hints
        fingerprint, names = self._root_hints
        now = self.roots.fingerprint
        if now != fingerprint:
            fresh = self.roots.subjects()
            try:
                check_size(fresh)
            except ConfigError as error:
                # The roots themselves are good. A request that cannot be sent would turn every client away.
                _logger.warning("the CA names sent to clients stay as they were: %s", error)
                fresh = names
            names = fresh
            self._root_hints = now, names
        return names

    @property
    def session_binding(self) -> bytes:
        """Names whom this verifier believes: a session is resumed under the same only."""
        return _binding(self.roots, self.authorize, self._token)

    def verify_client(self, chain: tuple[Certificate, ...], *, now: float) -> Peer | Awaitable[Peer]:
        """See `ClientVerifier`; the path is checked as `verify_path` does."""
        revocation = self.revocation
        verified = verify_path(
            chain,
            self.roots.roots_for(chain[0]),
            purpose=Purpose.CLIENT_AUTH,
            now=now,
            limits=self.limits,
            profile=self.profile,
            check=None if revocation is None else (lambda path: revocation.fault(path, now=now)),
        )
        return authorized_peer(self.authorize, Peer(tuple(chain), verified))


def _profile(given: str | Profile | None, default: Profile) -> Profile:
    return default if given is None else Profile.named(given)


def _revocation(crls: RevocationLists | None) -> Revocation | None:
    if crls is None:
        return None
    from trustls.trust.revocation import Revocation

    return crls if isinstance(crls, Revocation) else Revocation(crls=crls)


def checked_rule(rule: Authorize | None) -> Authorize | None:
    """The same, when it is a rule or None; ConfigError otherwise."""
    if rule is None:
        return None
    from trustls.trust.authorize import Authorize

    if not isinstance(rule, Authorize):
        raise ConfigError(f"`authorize` is a rule such as Authorize.dns(...), not {type(rule).__name__}")
    return rule


def authorized_peer(rule: Authorize | None, peer: Peer) -> Peer | Awaitable[Peer]:
    """The peer, where it is let in by the rule or there is none; raises as `authorized` does."""
    if rule is None:
        return peer
    from trustls.trust.authorize import authorized

    return authorized(rule, peer)


def _binding(roots: TrustedRoots, rule: Authorize | None, own: bytes, more: bytes = b"") -> bytes:
    """A digest of whom a verifier believes; `own` stands for a rule that has no name which is the same everywhere."""
    return _digest(roots.fingerprint, b"" if rule is None else rule.session_binding or own, more)


@functools.lru_cache(maxsize=64)  # Each connection asks, and a few verifiers give the same again and again.
def _digest(fingerprint: bytes, said: bytes, more: bytes) -> bytes:
    return hashlib.sha256(fingerprint + len(said).to_bytes(2, "big") + said + more).digest()


def _mismatch(leaf: Certificate, server_name: ServerName) -> Fault:
    names = [*leaf.dns_names, *map(str, leaf.ip_addresses)]
    if not names:
        detail = (
            f"{leaf.title} is not valid for {server_name}: it has no DNS name and no address in its subjectAltName "
            "(the common name does not count)"
        )
        found = "no DNS name and no address in subjectAltName"
    else:
        listed = ", ".join(shown(name) for name in names[:_MAX_LISTED])
        found = f"{listed} and {len(names) - _MAX_LISTED} more" if len(names) > _MAX_LISTED else listed
        detail = f"{leaf.title} is not valid for {server_name}; it is valid only for {found}"
    return Fault(
        CertificateProblem.NAME_MISMATCH,
        detail,
        expected=str(server_name),
        found=found,
        remedy=f"connect by a name that the certificate has, or issue it anew with {server_name} in subjectAltName",
    )


_MAX_LISTED: Final = 8
_TLS_FEATURE: Final = "1.3.6.1.5.5.7.1.24"
