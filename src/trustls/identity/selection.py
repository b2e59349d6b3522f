"""Choosing a credential: the client's by what the server asked for, the server's by name and scheme."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from trustls.errors import ConfigError, Incompatibility, PeerIncompatible
from trustls.identity.credential import Credential
from trustls.identity.request import CredentialRequest
from trustls.trust.names import ServerName
from trustls.wire.enums import ProtocolVersion, SignatureScheme

ChooseCredential = Callable[
    [CredentialRequest, tuple[Credential, ...]], "Credential | Awaitable[Credential | None] | None"
]
"""A client's own choice: given the request and its credentials, the one to present, or None to present none."""


@dataclass(frozen=True, slots=True)
class OfferedHello:
    """What a server may choose its credential by, from the ClientHello."""

    version: ProtocolVersion
    server_name: str | None
    signature_schemes: tuple[SignatureScheme, ...]


def first_that_fits(request: CredentialRequest, credentials: tuple[Credential, ...]) -> Credential | None:
    """The first credential, in order of preference, that fits; None when none does."""
    return next((credential for credential in credentials if credential.fits(request) is None), None)


def for_server_name(hello: OfferedHello, credentials: Sequence[Credential]) -> Credential:
    """The first credential whose certificate is for the name asked for; else the first, as the default.

    Only credentials that can sign with a scheme the client accepts are looked at.

    Raises:
        PeerIncompatible: there is no such credential.
    """
    able = [item for item in credentials if item.scheme_for(hello.signature_schemes, hello.version) is not None]
    if not able:
        raise PeerIncompatible(
            Incompatibility.NO_COMMON_SCHEME,
            "the client verifies " + ", ".join(scheme.iana for scheme in hello.signature_schemes),
        )
    if hello.server_name is not None and len(able) > 1:
        try:
            wanted = ServerName(hello.server_name)
        except ConfigError:
            return able[0]  # Not a name that a certificate could have.
        return next((credential for credential in able if wanted.matches(credential.certificate)), able[0])
    return able[0]
