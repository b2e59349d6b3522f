"""ClientAuth: whether a server asks its clients for a certificate, and whom it believes."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

from trustls.errors import ConfigError
from trustls.trust.hints import Hints, check_size
from trustls.trust.profile import Profile
from trustls.trust.sources import Roots, names_raw_keys
from trustls.trust.verifiers import ClientVerifier, RootsClientVerifier
from trustls.values import dataclass
from trustls.wire.names import DistinguishedName

if TYPE_CHECKING:
    from trustls.trust.authorize import Authorize
    from trustls.trust.revocation import RevocationLists


class ClientAuthMode(enum.Enum):
    """What a server does about client certificates."""

    NONE = "none"
    OPTIONAL = "optional"
    REQUIRED = "required"
    REPORT = "report"


@dataclass(frozen=True, slots=True)
class ClientAuth:
    """What a server asks of its clients. Make one with `required`, `optional`, `report`, `none` or `custom`.

    Attributes:
        mode: whether a certificate is asked for, and must come, and must be good.
        verifier: decides about the certificate; None when none is asked for.

    >>> ClientAuth.none().mode
    <ClientAuthMode.NONE: 'none'>
    """

    mode: ClientAuthMode
    verifier: ClientVerifier | None

    def __post_init__(self) -> None:
        if (self.mode is ClientAuthMode.NONE) != (self.verifier is None):
            raise ConfigError("a verifier belongs to client certificates that are asked for, and to no others")

    @property
    def hints(self) -> tuple[DistinguishedName, ...]:
        """The CA names that the CertificateRequest carries, in order, each once. They follow roots that change."""
        verifier = self.verifier
        if verifier is None:
            return ()
        if type(verifier) is RootsClientVerifier:
            return verifier.hints
        return tuple(dict.fromkeys(verifier.hints))

    @classmethod
    def required(
        cls,
        roots: Roots,
        *,
        hints: Hints | None = None,
        crls: RevocationLists | None = None,
        authorize: Authorize | None = None,
        profile: str | Profile | None = None,
    ) -> ClientAuth:
        """Only clients with a certificate from one of the roots are let in.

        Args:
            roots: the CAs that are trusted for clients: a RootCertStore, something that reloads one
                (`RootCertStore.reloading`), several of these, or `SpiffeBundles`. `RawPublicKeys` trust clients by
                their keys, without certificates (RFC 7250); with roots beside them, what stands first is preferred.
            hints: the CA names to send: None for those of the roots, `()` for none, else others in any form that
                `trust.hints.authorities` takes. Naming a CA here does not trust it.
            crls: certificate revocation lists: a `CrlStore`, something that reloads one, or a `Revocation`, which says
                what they decide.
            authorize: what else must be true of a client, such as `Authorize.spiffe_trust_domain("example.org")`.
            profile: "private" (the default) or "webpki": whose rules for the form of certificates apply.

        Raises:
            ConfigError: there are no roots, or the hints are not understood or too many.
        """
        verifier = _client_verifier(roots, hints, crls, authorize, profile)
        return cls(ClientAuthMode.REQUIRED, verifier)

    @classmethod
    def optional(
        cls,
        roots: Roots,
        *,
        hints: Hints | None = None,
        crls: RevocationLists | None = None,
        authorize: Authorize | None = None,
        profile: str | Profile | None = None,
    ) -> ClientAuth:
        """Clients may come without a certificate; one that they send must be good. See `required`."""
        verifier = _client_verifier(roots, hints, crls, authorize, profile)
        return cls(ClientAuthMode.OPTIONAL, verifier)

    @classmethod
    def report(
        cls,
        roots: Roots,
        *,
        hints: Hints | None = None,
        crls: RevocationLists | None = None,
        authorize: Authorize | None = None,
        profile: str | Profile | None = None,
    ) -> ClientAuth:
        """Every client is let through, and the application decides.

        It looks at `peer`: None for a client without a certificate; with `peer.error`, and nothing verified, for one
        whose certificate is not good. Whoever forgets to look lets everybody in. See `required` for the arguments.

        A client must still prove that it holds the key of what it presents, and what cannot be parsed is refused.
        """
        verifier = _client_verifier(roots, hints, crls, authorize, profile)
        return cls(ClientAuthMode.REPORT, verifier)

    @classmethod
    def none(cls) -> ClientAuth:
        """Clients are not asked for a certificate."""
        return cls(ClientAuthMode.NONE, None)

    @classmethod
    def custom(cls, verifier: ClientVerifier, *, required: bool = True) -> ClientAuth:
        """Another verifier decides, and names the CAs.

        Raises:
            ConfigError: it is no ClientVerifier, or its hints are too many.
        """
        if not isinstance(verifier, ClientVerifier):
            raise ConfigError(f"{type(verifier).__name__} is no ClientVerifier: it needs hints and verify_client")
        check_size(tuple(dict.fromkeys(verifier.hints)))
        return cls(ClientAuthMode.REQUIRED if required else ClientAuthMode.OPTIONAL, verifier)


def _client_verifier(
    roots: Roots,
    hints: Hints | None,
    crls: RevocationLists | None,
    authorize: Authorize | None,
    profile: str | Profile | None,
) -> ClientVerifier:
    if names_raw_keys(roots):
        from trustls.trust.raw_verifiers import raw_client_verifier

        return raw_client_verifier(roots, hints=hints, crls=crls, authorize=authorize, profile=profile)
    return RootsClientVerifier(roots, hints=hints, crls=crls, authorize=authorize, profile=profile)
