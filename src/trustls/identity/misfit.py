"""Misfits: why a credential does not go with what a peer asked for (RFC 9846 4.5.1.2, 4.5.1.3; RFC 5246 7.4.6)."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, Final

from trustls.crypto.signatures import is_rsa_key
from trustls.identity.chain import signed_itself
from trustls.identity.signer import curve_of, listed
from trustls.trust.signatures import algorithm_name
from trustls.values import dataclass
from trustls.wire.enums import CertificateType, ClientCertificateType, NamedGroup, ProtocolVersion, SignatureScheme

if TYPE_CHECKING:
    from trustls.identity.request import CredentialRequest
    from trustls.trust.certificate import Certificate

_S = SignatureScheme


class MisfitCause(enum.Enum):
    """Which rule a credential breaks."""

    SIGNATURE_SCHEME = "signature scheme"
    """Its key signs with nothing that the peer verifies."""
    CERTIFICATE_TYPE = "certificate type"
    """TLS 1.2: the server does not take this kind of key (RFC 5246 7.4.4)."""
    RAW_PUBLIC_KEY = "raw public key"
    """It is a certificate where a raw public key was agreed on (RFC 7250), or the other way round."""
    CURVE = "curve"
    """TLS 1.2: its key is on a curve that the client does not support (RFC 8422 5.1)."""
    ISSUER = "issuer"
    """No certificate of its chain is issued by an authority that the peer named."""
    ISSUER_NOT_NAMED = "issuer not named"
    """The peer named no authority, and the credential is marked `must_match_issuer`."""
    CERTIFICATE_SIGNATURE = "certificate signature"
    """A certificate of its chain is signed with what the peer does not accept in certificates."""


@dataclass(frozen=True, slots=True)
class Misfit:
    """One reason why a credential does not fit; `str()` gives it as a part of a sentence ("its key signs with ...").

    Attributes:
        cause: the rule that it breaks.
        detail: the reason in words.
        hard: whether the credential may not be used. One that is not hard is a preference: a credential without it goes
            first.
    """

    cause: MisfitCause
    detail: str
    hard: bool

    def __str__(self) -> str:
        return self.detail


class Abilities:
    """What the rules look at, worked out once for each credential."""

    __slots__ = ("curve", "issuer_names", "issuers", "kind", "schemes12", "schemes13", "signed_with")

    raw: ClassVar[bool] = False
    """Whether it is a raw public key, without a certificate."""

    def __init__(
        self,
        chain: tuple[Certificate, ...],
        sent: tuple[Certificate, ...],
        schemes: tuple[tuple[SignatureScheme, ...], tuple[SignatureScheme, ...]],
    ) -> None:
        leaf = chain[0]
        self.schemes13, self.schemes12 = schemes
        self.curve = curve_of(leaf)
        # RFC 8422 5.5: Ed25519 counts as ecdsa_sign.
        self.kind = ClientCertificateType.RSA_SIGN if is_rsa_key(leaf.public_key) else ClientCertificateType.ECDSA_SIGN
        names = dict.fromkeys(certificate.issuer for certificate in chain)
        self.issuers = frozenset([name.der for name in names])
        self.issuer_names = tuple(names)
        self.signed_with = tuple(
            [
                (certificate, _SIGNED_WITH.get(algorithm_name(certificate.signature_algorithm), frozenset()))
                for certificate in sent
                # RFC 9846 4.5.1.2: what signed itself is not validated as part of the chain.
                if not signed_itself(certificate)
            ]
        )

    def schemes(self, version: ProtocolVersion) -> tuple[SignatureScheme, ...]:
        """What the key signs with in this version, preferred first."""
        return self.schemes13 if version == ProtocolVersion.TLS1_3 else self.schemes12


def misfits(
    able: Abilities, request: CredentialRequest, *, must_match_issuer: bool, fallback: bool
) -> Iterator[Misfit]:
    """Every reason against a credential of these abilities, the hard ones first."""
    version = request.version
    schemes = able.schemes(version)
    if able.raw != (request.certificate_type == _RAW_PUBLIC_KEY):
        mine, theirs = ("a raw public key", "certificates") if able.raw else ("a certificate", "raw public keys")
        yield Misfit(MisfitCause.RAW_PUBLIC_KEY, f"it is {mine}, and the peer takes {theirs} here", hard=True)
    if set(request.signature_schemes).isdisjoint(schemes):
        yield Misfit(
            MisfitCause.SIGNATURE_SCHEME,
            f"its key signs with {listed(schemes)}, and the peer accepts "
            f"{listed(request.signature_schemes) or 'nothing'} in {version}"
            if schemes
            else f"no signature scheme of {version} is for a key like its own",
            hard=True,
        )
    if request.certificate_types and able.kind not in request.certificate_types:
        yield Misfit(
            MisfitCause.CERTIFICATE_TYPE,
            f"it is of type {able.kind}, and the peer accepts {', '.join(map(str, request.certificate_types))}",
            hard=True,
        )
    if version != ProtocolVersion.TLS1_3 and request.groups and able.curve not in (None, *request.groups):
        yield Misfit(
            MisfitCause.CURVE,
            f"its key is on the curve {able.curve}, and the peer supports {_groups(request.groups)} in {version}",
            hard=True,
        )
    if able.raw:
        return  # Authorities are about certificates, and so are the schemes in them.
    if not request.authorities:
        if must_match_issuer:
            yield Misfit(
                MisfitCause.ISSUER_NOT_NAMED,
                "it is for peers only that name its issuer (must_match_issuer), and this one named no authorities",
                hard=True,
            )
    elif not fallback and able.issuers.isdisjoint([name.der for name in request.authorities]):
        yield Misfit(
            MisfitCause.ISSUER,
            f"it was issued by {' and '.join(map(str, able.issuer_names))}, which is not among the authorities that "
            "the peer named",
            hard=must_match_issuer or not request.from_client,
        )
    for certificate, schemes_of_signature in able.signed_with:
        # RFC 9846 4.5.1.2 lets whoever has no better chain send this one.
        if schemes_of_signature.isdisjoint(request.signature_schemes_cert):
            yield Misfit(
                MisfitCause.CERTIFICATE_SIGNATURE,
                f"{certificate.title} is signed with {algorithm_name(certificate.signature_algorithm)}, and the peer "
                f"accepts {listed(request.signature_schemes_cert) or 'nothing'} in certificates",
                hard=False,
            )
            return


def _groups(groups: tuple[NamedGroup, ...]) -> str:
    return ", ".join(map(str, groups[:16])) + (f" and {len(groups) - 16} more" if len(groups) > 16 else "")


_RAW_PUBLIC_KEY: Final = CertificateType.RAW_PUBLIC_KEY
# By the names that `algorithm_name` gives. As with most peers, the curve of the issuer's key does not matter here, nor
# whether an RSA key is marked for PSS (pss) or not (rsae).
_SIGNED_WITH: Final[dict[str, frozenset[SignatureScheme]]] = {
    "ECDSA with SHA-1": frozenset([_S.ECDSA_SHA1]),
    "ECDSA with SHA-256": frozenset([_S.ECDSA_SECP256R1_SHA256]),
    "ECDSA with SHA-384": frozenset([_S.ECDSA_SECP384R1_SHA384]),
    "ECDSA with SHA-512": frozenset([_S.ECDSA_SECP521R1_SHA512]),
    "RSA with SHA-1": frozenset([_S.RSA_PKCS1_SHA1]),
    "RSA PKCS#1 with SHA-256": frozenset([_S.RSA_PKCS1_SHA256]),
    "RSA PKCS#1 with SHA-384": frozenset([_S.RSA_PKCS1_SHA384]),
    "RSA PKCS#1 with SHA-512": frozenset([_S.RSA_PKCS1_SHA512]),
    "RSA-PSS with SHA-256": frozenset([_S.RSA_PSS_RSAE_SHA256, _S.RSA_PSS_PSS_SHA256]),
    "RSA-PSS with SHA-384": frozenset([_S.RSA_PSS_RSAE_SHA384, _S.RSA_PSS_PSS_SHA384]),
    "RSA-PSS with SHA-512": frozenset([_S.RSA_PSS_RSAE_SHA512, _S.RSA_PSS_PSS_SHA512]),
    "Ed25519": frozenset([_S.ED25519]),
    "Ed448": frozenset([_S.ED448]),
    "ML-DSA-44": frozenset([_S.MLDSA44]),
    "ML-DSA-65": frozenset([_S.MLDSA65]),
    "ML-DSA-87": frozenset([_S.MLDSA87]),
}
