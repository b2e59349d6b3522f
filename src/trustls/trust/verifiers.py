"""Verifiers: who decides whether the other side is believed, and what is then known of it (`Peer`)."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from trustls.errors import CertificateProblem, CertificateRejected
from trustls.trust.certificate import Certificate, IPAddress
from trustls.trust.hints import Hints, authorities, check_size
from trustls.trust.names import ServerName
from trustls.trust.path import PathFailure, PathLimits, Purpose, verify_path
from trustls.trust.roots import RootCertStore
from trustls.wire.names import DistinguishedName, shown


@dataclass(frozen=True, slots=True)
class PeerNames:
    """The names in the subjectAltName of a peer's certificate, by form, as they stand there."""

    dns: tuple[str, ...] = ()
    ip: tuple[IPAddress, ...] = ()
    uri: tuple[str, ...] = ()
    email: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Peer:
    """Who the other side is: its certificate, whose private key it has proved to hold.

    Attributes:
        presented: the certificates that it sent, the leaf first.
        verified: the path from the leaf to a root, both included; empty when nobody verified one
            (`danger.AcceptAnyCertificate`): then nothing in the certificate is true for certain.
    """

    presented: tuple[Certificate, ...]
    verified: tuple[Certificate, ...] = ()

    def __post_init__(self) -> None:
        if not self.presented:
            raise ValueError("a Peer has at least one certificate")

    @property
    def certificate(self) -> Certificate:
        """Its own certificate, the leaf."""
        return self.presented[0]

    @property
    def names(self) -> PeerNames:
        """The names in the subjectAltName of its certificate.

        Raises:
            CertificateRejected: MALFORMED; that can only be when the certificate was not verified.
        """
        leaf = self.presented[0]
        return PeerNames(leaf.dns_names, leaf.ip_addresses, leaf.uris, leaf.emails)

    @property
    def subject(self) -> str:
        """The subject of its certificate, as RFC 4514 text."""
        return str(self.presented[0].subject)

    def __str__(self) -> str:
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
        roots: the CAs that are trusted.
        limits: how much work a verification may take.
    """

    __slots__ = ("limits", "roots")

    def __init__(self, roots: RootCertStore, *, limits: PathLimits | None = None) -> None:
        self.roots = roots
        self.limits = limits or PathLimits()

    def __repr__(self) -> str:
        return f"RootsServerVerifier({self.roots!r})"

    def verify_server(
        self,
        chain: tuple[Certificate, ...],
        server_name: ServerName,
        *,
        now: float,
        ocsp_response: bytes = b"",  # noqa: ARG002 (revocation is not checked yet)
    ) -> Peer:
        """See `ServerVerifier`; the path is checked as `verify_path` does, then the name as RFC 9525 says."""
        verified = verify_path(chain, self.roots, purpose=Purpose.SERVER_AUTH, now=now, limits=self.limits)
        leaf = verified[0]
        if not server_name.matches(leaf):
            detail = _mismatch(leaf, server_name)
            failure = PathFailure(verified, leaf, CertificateProblem.NAME_MISMATCH, detail)
            raise CertificateRejected(CertificateProblem.NAME_MISMATCH, detail, failures=(failure,))
        return Peer(tuple(chain), verified)


class RootsClientVerifier:
    """Believes a client whose certificate has a path to one of the roots.

    Args:
        roots: the CAs that are trusted.
        hints: the CA names for the CertificateRequest, in any form that `trust.hints.authorities` takes; None for the
            names of the roots as they are now, `()` for none.
        limits: how much work a verification may take.

    Raises:
        ConfigError: the hints are not understood, or too many.
    """

    __slots__ = ("hints", "limits", "roots")

    def __init__(self, roots: RootCertStore, *, hints: Hints | None = None, limits: PathLimits | None = None) -> None:
        self.roots = roots
        self.limits = limits or PathLimits()
        self.hints: tuple[DistinguishedName, ...]
        if hints is None:
            self.hints = roots.subjects()
            check_size(self.hints)
        else:
            self.hints = authorities(hints)

    def __repr__(self) -> str:
        return f"RootsClientVerifier({self.roots!r}, {len(self.hints)} hints)"

    def verify_client(self, chain: tuple[Certificate, ...], *, now: float) -> Peer:
        """See `ClientVerifier`; the path is checked as `verify_path` does."""
        verified = verify_path(chain, self.roots, purpose=Purpose.CLIENT_AUTH, now=now, limits=self.limits)
        return Peer(tuple(chain), verified)


def _mismatch(leaf: Certificate, server_name: ServerName) -> str:
    names = [*leaf.dns_names, *map(str, leaf.ip_addresses)]
    if not names:
        return (
            f"{leaf.title} is not valid for {server_name}: it has no DNS name and no address in its subjectAltName "
            "(the common name does not count)"
        )
    listed = ", ".join(shown(name) for name in names[:_MAX_LISTED])
    more = f" and {len(names) - _MAX_LISTED} more" if len(names) > _MAX_LISTED else ""
    return f"{leaf.title} is not valid for {server_name}; it is valid only for {listed}{more}"


_MAX_LISTED = 8
