"""The shim's own credentials, verifiers and choosers.

The runner's certificates are for the name "test" and made to be looked at, not to be believed: as in BoringSSL's shim,
the verifiers here take every one of them, unless the test says that verification fails.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import trustls
from tests.bogo.flags import CredentialFlags, Flags, Unsupported
from tests.bogo.policies import policy_of
from trustls import (
    AlertDescription,
    Certificate,
    CertificateProblem,
    CertificateRejected,
    ConnectionInfo,
    Credential,
    CredentialRequest,
    DistinguishedName,
    ExternalPsk,
    Incompatibility,
    OfferedHello,
    Peer,
    PeerIncompatible,
    RawPublicKey,
    ServerName,
    SignatureScheme,
)
from trustls.identity.misfit import MisfitCause
from trustls.identity.selection import first_that_fits
from trustls.wire.enums import CertificateType

T = TypeVar("T")


class Refused(trustls.TLSError):
    """A callback of the shim's refuses the connection, with the alert that the test wants."""

    def __init__(self, alert: AlertDescription) -> None:
        super().__init__("a callback of the shim refused the connection")
        self.alert = alert


class BrokenCallback(Exception):
    """A callback of the shim's fails in a way that TLS knows nothing of."""


class _Pause:
    """Lets whoever awaits it wait once."""

    def __await__(self) -> Generator[None, None, None]:
        yield


def later(function: Callable[..., T | Awaitable[T]]) -> Callable[..., Awaitable[T]]:
    """The same function, with an answer that has to be awaited."""

    async def answer(*arguments: Any, **named: Any) -> T:
        await _Pause()
        value = function(*arguments, **named)
        return await value if inspect.isawaitable(value) else value

    return answer


# -- Credentials ------------------------------------------------------------------------------------------------------


class ShimSigner:
    """Signs with what another signer signs with: with some of its schemes only, or after a while."""

    def __init__(self, signer: trustls.Signer, preferred: Sequence[int] | None, *, takes_a_while: bool) -> None:
        self.schemes = _in_order(preferred, signer.schemes)
        self.schemes_tls12 = _in_order(preferred, getattr(signer, "schemes_tls12", signer.schemes))
        self.public_key = getattr(signer, "public_key", None)
        self.sign = later(signer.sign) if takes_a_while else signer.sign


def _in_order(preferred: Sequence[int] | None, schemes: Iterable[SignatureScheme]) -> tuple[SignatureScheme, ...]:
    if preferred is None:
        return tuple(schemes)
    return tuple([scheme for number in preferred for scheme in schemes if scheme == number])


@dataclass(slots=True)
class Credentials:
    """The credentials of one connection, each with the number that the runner knows it by."""

    in_order: list[Credential] = field(default_factory=list)
    psks: list[ExternalPsk] = field(default_factory=list)
    _numbers: list[int] = field(default_factory=list)
    _psk_numbers: dict[bytes, int] = field(default_factory=dict)

    @classmethod
    def of(cls, flags: Flags) -> Credentials:
        """Those that the test adds, then the default one, whose number is -1.

        Raises:
            Unsupported: one of them is of a kind that trustls does not take.
        """
        found = cls()
        for number, item in [*enumerate(flags.credentials), (-1, flags.default_credential)]:
            if item.kind == "psk":
                psks = _external_psks(item)
                found.psks += psks
                found._psk_numbers.update({psk.identity: number for psk in psks})
            elif item.kind == "rpk":
                found.in_order.append(_raw_key(flags, item))
                found._numbers.append(number)
            elif item.cert_file:
                found.in_order.append(_credential(flags, item))
                found._numbers.append(number)
        return found

    def number_of(self, info: ConnectionInfo) -> int:
        """The number of the credential, or of the external key, that a connection was made with; -1 for none."""
        if info.psk_identity is not None:
            return self._psk_numbers.get(info.psk_identity, -1)
        numbered = zip(self._numbers, self.in_order, strict=True)
        return next((number for number, own in numbered if own is info.credential), -1)


def _external_psks(item: CredentialFlags) -> tuple[ExternalPsk, ...]:
    return trustls.import_psk(
        item.psk_importer_identity,
        item.psk_importer_key,
        context=item.psk_importer_context,
        hash="sha384" if item.psk_importer_sha384 else "sha256",
    )


def _credential(flags: Flags, item: CredentialFlags) -> Credential:
    try:
        plain = Credential.from_pem(item.cert_file, item.key_file)
    except trustls.ConfigError as error:
        raise Unsupported(f"{item.cert_file}: {error}") from error
    signer = ShimSigner(plain.signer, item.signing_prefs or policy_of(flags).schemes, takes_a_while=flags.async_)
    if item.signing_prefs and not signer.schemes:
        raise Unsupported(f"-signing-prefs {item.signing_prefs}")
    return Credential(
        plain.chain,
        signer,
        # BoringSSL looks at the authorities that a peer names only where it is told to.
        must_match_issuer=item.must_match_issuer,
        fallback=not item.must_match_issuer,
        ocsp_response=_staple(flags, item.ocsp_response),
    )


def _raw_key(flags: Flags, item: CredentialFlags) -> Credential:
    signer = Credential.from_raw_key(item.key_file).signer
    shim = ShimSigner(signer, item.signing_prefs or policy_of(flags).schemes, takes_a_while=flags.async_)
    return Credential.from_raw_key(shim)


def _staple(flags: Flags, response: bytes) -> bytes | Callable[[], bytes | Awaitable[bytes | None] | None] | None:
    if not flags.use_ocsp_callback:
        return _callback(flags, lambda: response) if response else None
    return _callback(flags, lambda: None if flags.decline_ocsp_callback else response or None)


def _callback(
    flags: Flags, function: Callable[[], bytes | None]
) -> Callable[[], bytes | Awaitable[bytes | None] | None]:
    return later(function) if flags.async_ else function


# -- What the shim presents -------------------------------------------------------------------------------------------


class ClientChooser:
    """Chooses as trustls does. Where no credential fits, BoringSSL gives up, and so does this."""

    session_binding = b"the chooser of the BoGo shim"

    def __init__(self, flags: Flags) -> None:
        self._flags = flags

    def __call__(
        self, request: CredentialRequest, credentials: tuple[Credential, ...]
    ) -> Credential | Awaitable[Credential | None] | None:
        """See ClientConfig.choose_credential."""
        if self._flags.async_:
            return later(self._chosen)(request, credentials)
        return self._chosen(request, credentials)

    def _chosen(self, request: CredentialRequest, credentials: tuple[Credential, ...]) -> Credential | None:
        if self._flags.fail_cert_callback:
            raise BrokenCallback
        chosen = first_that_fits(request, credentials)
        if chosen is None:
            causes = {misfit.cause for item in credentials if (misfit := item.misfit(request)) is not None}
            only_schemes = causes == {MisfitCause.SIGNATURE_SCHEME}
            raise PeerIncompatible(
                Incompatibility.NO_COMMON_SCHEME if only_schemes else Incompatibility.NO_FITTING_CREDENTIAL,
                ", ".join(sorted(cause.value for cause in causes)),
            )
        return chosen


class ServerChooser:
    """Leaves the choice to trustls, or fails."""

    def __init__(self, flags: Flags) -> None:
        self._flags = flags

    def __call__(
        self, offered: OfferedHello, credentials: tuple[Credential, ...]
    ) -> Credential | Awaitable[Credential | None] | None:
        """See ServerConfig.choose_credential."""
        return later(self._chosen)() if self._flags.async_ else self._chosen()

    def _chosen(self) -> Credential | None:
        if self._flags.fail_cert_callback:
            raise BrokenCallback
        return None


# -- Whom the shim believes -------------------------------------------------------------------------------------------


class ShimVerifier:
    """Believes everybody, or nobody, as the flags of the connection say. It is kept for all connections of a test.

    trustls verifies the peer of a session again before it resumes it; BoringSSL does so only where it is told to
    (`-reverify-on-resume`). Without that flag, whom the shim has believed once it goes on to believe.
    """

    session_binding = b"the verifier of the BoGo shim"

    def __init__(self) -> None:
        self.flags = Flags()
        self.hints: tuple[DistinguishedName, ...] = ()
        self.certificate_types: tuple[CertificateType, ...] = (CertificateType.X509,)
        self._believed: set[bytes] = set()

    def verify_server(
        self, chain: tuple[Certificate, ...], server_name: ServerName, *, now: float, ocsp_response: bytes
    ) -> Peer | Awaitable[Peer]:
        """See trustls.ServerVerifier."""
        return self._answer(chain, ocsp_response)

    def verify_client(self, chain: tuple[Certificate, ...], *, now: float) -> Peer | Awaitable[Peer]:
        """See trustls.ClientVerifier."""
        return self._answer(chain, b"")

    def verify_raw_key(
        self, key: RawPublicKey, server_name: ServerName | None, *, now: float
    ) -> Peer | Awaitable[Peer]:
        """See RawKeyVerifier."""
        return later(self._judge_key)(key) if self.flags.async_ else self._judge_key(key)

    def _judge_key(self, key: RawPublicKey) -> Peer:
        if key.sha256 not in self._believed or self.flags.reverify_on_resume:
            if self.flags.verify_fail:
                # With raw keys BoringSSL asks whether there is `-verify-peer` or not.
                raise CertificateRejected(CertificateProblem.NOT_ACCEPTED, "the test says so")
            self._refuse()
        self._believed.add(key.sha256)
        return Peer((), raw_key=key)

    def _answer(self, chain: tuple[Certificate, ...], ocsp_response: bytes) -> Peer | Awaitable[Peer]:
        if self.flags.async_:
            return later(self._judge)(chain, ocsp_response)
        return self._judge(chain, ocsp_response)

    def _judge(self, chain: tuple[Certificate, ...], ocsp_response: bytes) -> Peer:
        flags = self.flags
        leaf = chain[0]
        known = leaf.sha256 in self._believed and not flags.reverify_on_resume
        if not known:
            self._refuse()
        self._believed.add(leaf.sha256)
        return Peer(tuple(chain))

    def _refuse(self) -> None:
        """Raise what the test wants, if it wants the peer refused."""
        flags = self.flags
        if flags.verify_fail and (flags.verify_peer or flags.require_any_client_certificate):
            error = CertificateRejected(CertificateProblem.NOT_ACCEPTED, "the test says so")
            if not flags.use_custom_verify_callback:
                error.alert = AlertDescription.HANDSHAKE_FAILURE  # What BoringSSL's older callback sends.
            raise error
        if flags.fail_ocsp_callback and flags.use_ocsp_callback and not flags.server:
            raise CertificateRejected(CertificateProblem.BAD_STAPLE, "the test says so")
