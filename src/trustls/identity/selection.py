"""Choosing a credential: the client's by what the server asked for, the server's by what the ClientHello says.

The rules are those of RFC 9846 4.5.1.2 and 4.5.1.3. Both sides keep the order of the configuration among equals.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from typing import Protocol, TypeAlias

from trustls.errors import CertificateRejected, ConfigError, Incompatibility, PeerIncompatible
from trustls.identity.credential import Credential
from trustls.identity.misfit import Misfit, MisfitCause
from trustls.identity.request import CredentialRequest
from trustls.identity.signer import listed
from trustls.trust.names import ServerName
from trustls.values import dataclass
from trustls.wire.enums import CertificateType, CipherSuite, NamedGroup, ProtocolVersion, SignatureScheme
from trustls.wire.names import DistinguishedName

_MAX_REASONS = 8


@dataclass(frozen=True, slots=True)
class OfferedHello:
    """What a server may choose its credential by, from the ClientHello.

    Attributes:
        version: the version of TLS that was settled on.
        server_name: the name asked for (SNI), as the client sent it; None when it sent none.
        signature_schemes: those the client can verify, in its order of preference.
        signature_schemes_cert: those it accepts inside certificates; the same unless it said otherwise.
        groups: its supported groups.
        authorities: the CA names that it sent (certificate_authorities); few clients send any.
        cipher_suites: those it offers.
        alpn: the application protocols that it offers.
        certificate_type: what was agreed on (RFC 7250): certificates, or a raw public key.
    """

    version: ProtocolVersion
    server_name: str | None
    signature_schemes: tuple[SignatureScheme, ...]
    signature_schemes_cert: tuple[SignatureScheme, ...] = ()
    groups: tuple[NamedGroup, ...] = ()
    authorities: tuple[DistinguishedName, ...] = ()
    cipher_suites: tuple[CipherSuite, ...] = ()
    alpn: tuple[str, ...] = ()
    certificate_type: CertificateType = CertificateType.X509

    @property
    def request(self) -> CredentialRequest:
        """What the client can accept, for `Credential.fits`."""
        return CredentialRequest(
            version=self.version,
            authorities=self.authorities,
            signature_schemes=self.signature_schemes,
            signature_schemes_cert=self.signature_schemes_cert or self.signature_schemes,
            groups=self.groups,
            from_client=True,
            certificate_type=self.certificate_type,
        )


ChooseCredential = Callable[
    [CredentialRequest, tuple[Credential, ...]], "Credential | Awaitable[Credential | None] | None"
]
"""A client's own choice: given the request and its credentials, the one to present, or None to present none."""

ChooseServerCredential = Callable[
    [OfferedHello, tuple[Credential, ...]], "Credential | Awaitable[Credential | None] | None"
]
"""A server's own choice: given what the client offers and the server's credentials, the one to present (it need not be
among them), or None to leave the choice to `chosen_for_server`."""


class HasCurrentCredential(Protocol):
    """Whatever has a credential that may be another one tomorrow, such as `Reloading`."""

    @property
    def current(self) -> Credential: ...


CredentialSource: TypeAlias = Credential | HasCurrentCredential
"""What a configuration takes in place of a credential: one, or an object whose `current` gives one."""


def current_credentials(sources: Iterable[CredentialSource]) -> tuple[Credential, ...]:
    """The credentials to choose from now.

    Raises:
        ConfigError: a source neither is a credential nor has one.
    """
    found = []
    for source in sources:
        credential = source if isinstance(source, Credential) else getattr(source, "current", source)
        if not isinstance(credential, Credential):
            raise ConfigError(
                "`credentials` takes Credentials, or objects whose `current` gives one, not "
                f"{type(credential).__name__}: see Credential.from_pem"
            )
        found.append(credential)
    return tuple(found)


# -- Clients ----------------------------------------------------------------------------------------------------------


def first_that_fits(
    request: CredentialRequest, credentials: tuple[Credential, ...], *, now: float | None = None
) -> Credential | None:
    """The credential that a client presents: the first, in order of preference, that fits; None when none does.

    One that fits but for a rule that is not hard is taken only when no other does, and a fallback only when no
    credential is issued by an authority that the server named.

    Args:
        request: what the server asks for.
        credentials: the client's own, preferred first.
        now: the time, in seconds since 1970: one that is not valid then comes after those that are. None not to look.
    """
    best, best_rank = None, None
    for credential in credentials:
        misfit = credential.misfit(request)
        if misfit is not None and misfit.hard:
            continue
        rank = (
            not credential.matches_issuer(request),
            now is not None and not credential.is_valid_at(now),
            misfit is not None,
        )
        if best_rank is None or rank < best_rank:
            best, best_rank = credential, rank
            if not any(rank):
                break
    return best


def explain(request: CredentialRequest, credentials: Iterable[Credential]) -> tuple[tuple[Credential, str], ...]:
    """Every credential that does not fit, with the reason as a part of a sentence: "its key signs with ..."."""
    return tuple(
        [(credential, reason) for credential in credentials if (reason := credential.fits(request)) is not None]
    )


# -- Servers ----------------------------------------------------------------------------------------------------------


def chosen_for_server(
    request: CredentialRequest,
    server_name: str | None,
    credentials: Sequence[Credential],
    *,
    now: float | None = None,
) -> Credential:
    """The credential that a server presents.

    Among those that the client can take, one for the name that it asks for goes before all others; then one that is
    valid; then one issued by an authority that the client names; then one whose certificates are all signed with what
    it accepts in certificates; then the first. So a client that asks for another name, or for none, gets the first.

    Args:
        request: what the client can accept.
        server_name: the name asked for (SNI), or None.
        credentials: the server's own, preferred first.
        now: the time, in seconds since 1970, to tell what is valid; None not to look.

    Raises:
        PeerIncompatible: the client can take none of them: NO_COMMON_SCHEME when none signs with what it verifies,
            otherwise NO_FITTING_CREDENTIAL.
    """
    if not request.from_client:
        request = replace(request, from_client=True)
    wanted = _server_name(server_name)
    best, best_rank = None, None
    hard: list[tuple[Credential, Misfit]] = []
    for credential in credentials:
        soft = credential.misfits(request)
        if soft and soft[0].hard:
            hard.append((credential, soft[0]))
            continue
        if len(credentials) == 1:
            return credential  # There is nothing to weigh.
        causes = [misfit.cause for misfit in soft]
        rank = (
            wanted is not None and not _is_for(wanted, credential),
            now is not None and not credential.is_valid_at(now),
            MisfitCause.ISSUER in causes,
            MisfitCause.CERTIFICATE_SIGNATURE in causes,
        )
        if best_rank is None or rank < best_rank:
            best, best_rank = credential, rank
            if not any(rank):
                break
    if best is None:
        raise _nothing_for(request, hard)
    return best


def _server_name(text: str | None) -> ServerName | None:
    if text is None:
        return None
    try:
        return ServerName(text)
    except ConfigError:
        return None  # Not a name that a certificate could have.


def _is_for(name: ServerName, credential: Credential) -> bool:
    if not credential.chain:
        return True  # A raw public key is for no name, and so for any.
    try:
        return name.matches(credential.certificate)
    except CertificateRejected:
        return False  # Its subjectAltName cannot be read.


def _nothing_for(request: CredentialRequest, misfits: list[tuple[Credential, Misfit]]) -> PeerIncompatible:
    reasons = [f"{credential.leaf.title}: {misfit}" for credential, misfit in misfits[:_MAX_REASONS]]
    if len(misfits) > _MAX_REASONS:
        reasons.append(f"and {len(misfits) - _MAX_REASONS} more")
    if all(misfit.cause is MisfitCause.SIGNATURE_SCHEME for _, misfit in misfits):
        reasons.insert(0, f"the client verifies {listed(request.signature_schemes) or 'nothing'}")
        return PeerIncompatible(Incompatibility.NO_COMMON_SCHEME, "; ".join(reasons))
    return PeerIncompatible(Incompatibility.NO_FITTING_CREDENTIAL, "; ".join(reasons))
