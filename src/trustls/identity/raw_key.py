"""RawKeyCredential: a raw public key with the private key that proves it, and no certificate (RFC 7250)."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final, NoReturn

from trustls.crypto.signatures import PrivateKey, is_rsa_key
from trustls.errors import ConfigError
from trustls.identity import loading
from trustls.identity.credential import Credential
from trustls.identity.loading import Password, PathOrBytes
from trustls.identity.misfit import Abilities
from trustls.identity.request import CredentialRequest
from trustls.identity.signer import KeySigner, Signer, curve_of, public_key_of, schemes_for
from trustls.trust.raw_key import RawPublicKey
from trustls.wire.enums import CertificateType, ClientCertificateType, SignatureScheme
from trustls.wire.messages import CertificateEntry
from trustls.wire.messages12 import RawKeyMessage12
from trustls.wire.ready import ReadyForms, ReadyMessage

_NO_CHAIN: Final = "this credential is a raw public key, and has no certificate: look at `raw_key`"


class _RawKeyAbilities(Abilities):
    """What the rules look at in a raw public key: nobody issued it, and nobody signed it."""

    __slots__ = ()
    raw = True

    def __init__(
        self, key: RawPublicKey, schemes: tuple[tuple[SignatureScheme, ...], tuple[SignatureScheme, ...]]
    ) -> None:
        self.schemes13, self.schemes12 = schemes
        self.curve = curve_of(key)
        self.kind = ClientCertificateType.RSA_SIGN if is_rsa_key(key.public_key) else ClientCertificateType.ECDSA_SIGN
        self.issuers = frozenset()
        self.issuer_names = ()
        self.signed_with = ()


class RawKeyCredential(Credential):
    """What `Credential.from_raw_key` makes. `chain` is empty, and `certificate` raises ConfigError.

    It is presented only to a peer that has agreed on raw public keys.
    """

    __slots__ = ("_raw_key",)

    _raw_key: RawPublicKey

    def __init__(self) -> None:
        raise TypeError("use Credential.from_raw_key")

    @property
    def raw_key(self) -> RawPublicKey:
        """The key that is presented."""
        return self._raw_key

    @property
    def leaf(self) -> RawPublicKey:
        """The same: what takes the place of a certificate."""
        return self._raw_key

    @property
    def certificate(self) -> NoReturn:
        """There is none: ConfigError."""
        raise ConfigError(_NO_CHAIN)

    @property
    def certificate_type(self) -> CertificateType:
        """RAW_PUBLIC_KEY."""
        return CertificateType.RAW_PUBLIC_KEY

    def matches_issuer(self, request: CredentialRequest) -> bool:  # noqa: ARG002 (nobody issued it)
        """True: the authorities that a peer names are about certificates."""
        return True

    def certificate_entries(self) -> tuple[CertificateEntry, ...]:
        """What a Certificate message of TLS 1.3 holds for it: one entry."""
        return (CertificateEntry(certificate=self._raw_key.spki),)

    @property
    def certificate_message12(self) -> bytes:
        """Its Certificate message of TLS 1.2, encoded (RFC 7250 3)."""
        return self._message12.of(self._raw_key, lambda: RawKeyMessage12(spki=self._raw_key.spki))

    def compressed_message(self, algorithm: int, body: bytes, compress: Callable[[bytes], bytes | None]) -> bytes:  # noqa: ARG002
        """Empty: a key is as short as it gets."""
        return b""

    def __repr__(self) -> str:
        return f"<Credential {self._raw_key}>"


def raw_key_credential(key: Signer | PrivateKey | PathOrBytes, password: Password) -> RawKeyCredential:
    """See `Credential.from_raw_key`."""
    loaded = loading.pem_key(key, password) if isinstance(key, bytes | str | os.PathLike) else key
    if password is not None and loaded is key:
        raise ConfigError("`password` is for a file or bytes; the key given is open already")
    signer = loaded if isinstance(loaded, Signer) else KeySigner(loaded)
    shown = public_key_of(signer)
    if shown is None:
        raise ConfigError(f"{type(signer).__name__} shows no `public_key`, and there is no certificate to take it from")
    raw = RawPublicKey.from_key(shown)
    made: RawKeyCredential = object.__new__(RawKeyCredential)
    fill = object.__setattr__
    for name, value in {
        "chain": (),
        "signer": signer,
        "fallback": False,
        "must_match_issuer": False,
        "ocsp_response": None,
        "report": (),
        "sent_chain": (),
        "_raw_key": raw,
        "_able": _RawKeyAbilities(raw, schemes_for(signer, raw)),
        "_staple": None,
        "_message": ReadyMessage(),
        "_message12": ReadyMessage(),
        "_compressed": ReadyForms(),
    }.items():
        fill(made, name, value)
    return made
