"""ClientAuth: whether a server asks its clients for a certificate, and whom it believes."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from trustls.errors import ConfigError
from trustls.trust.hints import Hints, check_size
from trustls.trust.roots import RootCertStore
from trustls.trust.verifiers import ClientVerifier, RootsClientVerifier
from trustls.wire.names import DistinguishedName


class ClientAuthMode(enum.Enum):
    """What a server does about client certificates."""

    NONE = "none"
    OPTIONAL = "optional"
    REQUIRED = "required"


@dataclass(frozen=True, slots=True)
class ClientAuth:
    """What a server asks of its clients. Make one with `required`, `optional`, `none` or `custom`.

    Attributes:
        mode: whether a certificate is asked for, and must come.
        verifier: decides about the certificate; None when none is asked for.
        hints: the CA names that the CertificateRequest carries, in order.

    >>> ClientAuth.none().mode
    <ClientAuthMode.NONE: 'none'>
    """

    mode: ClientAuthMode
    verifier: ClientVerifier | None
    hints: tuple[DistinguishedName, ...]

    def __post_init__(self) -> None:
        if (self.mode is ClientAuthMode.NONE) != (self.verifier is None):
            raise ConfigError("a verifier belongs to client certificates that are asked for, and to no others")

    @classmethod
    def required(cls, roots: RootCertStore, *, hints: Hints | None = None) -> ClientAuth:
        """Only clients with a certificate from one of the roots are let in.

        Args:
            roots: the CAs that are trusted for clients.
            hints: the CA names to send: None for those of the roots as they are now, `()` for none, else others in any
                form that `trust.hints.authorities` takes. Naming a CA here does not trust it.

        Raises:
            ConfigError: there are no roots, or the hints are not understood or too many.
        """
        return cls._over_roots(ClientAuthMode.REQUIRED, roots, hints)

    @classmethod
    def optional(cls, roots: RootCertStore, *, hints: Hints | None = None) -> ClientAuth:
        """Clients may come without a certificate; one that they send must be from one of the roots. See `required`."""
        return cls._over_roots(ClientAuthMode.OPTIONAL, roots, hints)

    @classmethod
    def none(cls) -> ClientAuth:
        """Clients are not asked for a certificate."""
        return cls(ClientAuthMode.NONE, None, ())

    @classmethod
    def custom(cls, verifier: ClientVerifier, *, required: bool = True) -> ClientAuth:
        """Another verifier decides, and names the CAs.

        Raises:
            ConfigError: it is no ClientVerifier, or its hints are too many.
        """
        if not isinstance(verifier, ClientVerifier):
            raise ConfigError(f"{type(verifier).__name__} is no ClientVerifier: it needs hints and verify_client")
        hints = tuple(dict.fromkeys(verifier.hints))
        check_size(hints)
        return cls(ClientAuthMode.REQUIRED if required else ClientAuthMode.OPTIONAL, verifier, hints)

    @classmethod
    def _over_roots(cls, mode: ClientAuthMode, roots: RootCertStore, hints: Hints | None) -> ClientAuth:
        if not isinstance(roots, RootCertStore):
            raise ConfigError(f"roots is a RootCertStore, not {type(roots).__name__}: see RootCertStore.from_pem")
        if not roots:
            raise ConfigError("there are no roots to verify client certificates with: every client would be refused")
        verifier = RootsClientVerifier(roots, hints=hints)
        return cls(mode, verifier, verifier.hints)
