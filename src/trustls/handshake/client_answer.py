"""What a server asked of this client, and what the client answered: kept to say why the server then refused it."""

from __future__ import annotations

from trustls.identity.credential import Credential
from trustls.identity.misfit import MisfitCause
from trustls.identity.request import CredentialRequest
from trustls.values import dataclass
from trustls.wire.names import brief

_MAX_LISTED = 8


@dataclass(slots=True)
class ClientAnswer:
    """One CertificateRequest and its answer.

    Attributes:
        request: what the server's CertificateRequest said; None when none came.
        answered: whether this side has answered it.
        credential: what was presented; None when nothing was.
        available: the credentials that there were to choose from.
    """

    request: CredentialRequest | None = None
    answered: bool = False
    credential: Credential | None = None
    available: tuple[Credential, ...] = ()

    def asked(self, request: CredentialRequest) -> None:
        """A CertificateRequest has come."""
        self.request = request
        self.answered = False
        self.credential = None

    def give(self, credential: Credential | None, available: tuple[Credential, ...]) -> None:
        """This side has decided."""
        self.answered = True
        self.credential = credential
        self.available = available

    def told(self) -> str:
        """What this client presented, and whether that was what the server had asked for, in words."""
        request = self.request
        if request is None or not self.answered:
            return ""
        if self.credential is not None:
            presented = f"this client presented {self.credential.leaf.title}"
            if self.credential.matches_issuer(request):
                return presented
            # A fallback, or a callback's choice.
            return f"{presented}, which is of none of the authorities that the server named: {_authorities(request)}"
        if not self.available:
            return "this client presented no certificate, for it has none"
        reasons = [f"{one.leaf.title}: {one.fits(request) or 'not chosen'}" for one in self.available]
        more = f"; and {len(reasons) - _MAX_LISTED} more" if len(reasons) > _MAX_LISTED else ""
        return f"this client presented no certificate: {'; '.join(reasons[:_MAX_LISTED])}{more}"

    def advised(self) -> str:
        """What would have made this client present a certificate; empty when it did."""
        request = self.request
        if request is None or not self.answered or self.credential is not None:
            return ""
        # " or ", for there are commas in names.
        wanted = f"a certificate issued by {_authorities(request, ' or ')}" if request.authorities else "a certificate"
        if not self.available:
            return f"give this client {wanted}, and its key"
        causes = [misfit.cause for one in self.available if (misfit := one.misfit(request)) is not None]
        if len(causes) < len(self.available):
            return "let this client's choose_credential choose one"
        if MisfitCause.ISSUER_NOT_NAMED in causes:
            return "let the server name the CA, or make the credential without must_match_issuer"
        if MisfitCause.ISSUER not in causes:
            return "give this client a certificate whose key signs as the server accepts it"
        return f"give this client {wanted}; if its own CA stands below one that was named, put that CA into the chain"


def _authorities(request: CredentialRequest, between: str = ", ") -> str:
    names = [brief(name) for name in request.authorities[:_MAX_LISTED]]
    more = len(request.authorities) - len(names)
    return between.join([*names, f"{more} more"] if more else names)
