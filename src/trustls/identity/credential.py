"""Credentials: a certificate chain with the key that proves it, and whether one fits what a peer asked for."""

from __future__ import annotations

import os
import sys
import time
import warnings
import weakref
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import field
from typing import TYPE_CHECKING, Final

from cryptography import x509

from trustls.crypto.signatures import PrivateKey
from trustls.errors import ConfigError
from trustls.identity import loading
from trustls.identity.chain import arranged, without_root
from trustls.identity.loading import Password, PathOrBytes
from trustls.identity.misfit import Abilities, Misfit, misfits
from trustls.identity.request import CredentialRequest
from trustls.identity.signer import KeySigner, Signer, public_key_of, schemes_for
from trustls.trust.certificate import Certificate
from trustls.values import dataclass
from trustls.wire.enums import CertificateType, ClientCertificateType, ProtocolVersion, SignatureScheme
from trustls.wire.messages import CertificateEntry, CertificateMessage
from trustls.wire.ready import ReadyForms, ReadyMessage

if TYPE_CHECKING:
    from trustls.identity.staple import StapleCallback, StapleSource
    from trustls.reloading import Reloading
    from trustls.trust.raw_key import RawPublicKey
    from trustls.wire.messages12 import CertificateMessage12


class CredentialWarning(UserWarning):
    """A credential that can be used as it is, but hardly as it is meant: its certificate has expired, for example."""


@dataclass(frozen=True, slots=True, repr=False, init=False)
class Credential:
    """A certificate chain and the signer that holds the key of its first certificate, the leaf.

    The chain may be given in any order and with what does not belong to it: the leaf is found by its key, its issuers
    are put behind it, and `report` says what had to be done. A certificate that has expired or is not valid yet, and an
    OCSP response that peers will not believe, are reported too, each with a `CredentialWarning`.

    Args:
        chain: the leaf and its issuers. A root is left out of what is sent.
        signer: the private key, or whatever signs with it (`Signer`).
        must_match_issuer: used only for peers that name an authority that issued a certificate of the chain; never for
            one that names none.
        fallback: used also for a server whose authorities issued no certificate of the chain, after the credentials
            that match. Without either, a client's credential must match if the server names authorities, and a
            server's is preferred if it matches what the client names.
        ocsp_response: a DER OCSPResponse for the leaf, which a server staples for clients that ask (RFC 6066 8): its
            bytes, the path of a file, which is read again when it changes, or a callback, plain or async, that is
            called in each handshake and gives bytes or None.

    Attributes:
        chain: the leaf, then its issuers in order, as far as they were given.
        sent_chain: the same as it is sent: without the root.
        report: what was mended in the chain, and what is wrong with it as it is, in sentences.

    Raises:
        KeyMismatch: no certificate is for the key (a ConfigError).
        ConfigError: the chain is empty, or no chain can be made of it; the key is of a kind that TLS has no use for;
            the signer offers what the certificate's key cannot verify; or the arguments do not go together.
        OSError: the file of the OCSP response cannot be read.
    """

    chain: tuple[Certificate, ...]
    signer: Signer
    fallback: bool = False
    must_match_issuer: bool = False
    ocsp_response: StapleSource | None = None
    report: tuple[str, ...] = field(init=False, compare=False)
    sent_chain: tuple[Certificate, ...] = field(init=False, compare=False)
    _able: Abilities = field(init=False, compare=False)
    _staple: StapleCallback | None = field(init=False, compare=False)
    _message: ReadyMessage = field(init=False, compare=False)
    _message12: ReadyMessage = field(init=False, compare=False)
    _compressed: ReadyForms = field(init=False, compare=False)

    def __init__(
        self,
        chain: Iterable[Certificate | x509.Certificate | bytes],
        signer: Signer | PrivateKey,
        *,
        fallback: bool = False,
        must_match_issuer: bool = False,
        ocsp_response: StapleSource | None = None,
    ) -> None:
        _fill(
            self,
            loading.chain_from(chain),
            signer,
            fallback=fallback,
            must_match_issuer=must_match_issuer,
            ocsp_response=ocsp_response,
        )

    @classmethod
    def from_pem(
        cls,
        chain: PathOrBytes,
        key: PathOrBytes,
        *,
        password: Password = None,
        fallback: bool = False,
        must_match_issuer: bool = False,
        ocsp_response: StapleSource | None = None,
    ) -> Credential:
        """From PEM, as bytes or text, or as the path of a file. `chain` and `key` may be the same.

        Args:
            chain: the certificates, in any order.
            key: the private key: PKCS#8 or the older forms of OpenSSL, plain or encrypted.
            password: for an encrypted key.
            fallback: see the class.
            must_match_issuer: see the class.
            ocsp_response: see the class.

        Raises:
            ConfigError: no certificate or no key is found, the password is wrong or missing, or as the class raises.
            OSError: a file cannot be read.
        """
        return cls(
            loading.pem_chain(chain),
            loading.pem_key(key, password),
            fallback=fallback,
            must_match_issuer=must_match_issuer,
            ocsp_response=ocsp_response,
        )

    @classmethod
    def reloading(
        cls,
        chain: str | os.PathLike[str],
        key: str | os.PathLike[str],
        *,
        password: Password = None,
        fallback: bool = False,
        must_match_issuer: bool = False,
        ocsp_response: StapleSource | None = None,
        interval: float = 5.0,
    ) -> Reloading[Credential]:
        """From PEM files, and again when they change: see `Reloading.from_files`. A configuration takes it as it is.

        While the two files do not go together, because one is written before the other, the old credential stays. So it
        does as long as it is valid and the new one is not: one that has expired, or is not valid yet, which is tried
        again once a minute.

        Args:
            chain: the path of the certificates, in any order.
            key: the path of the private key; may be the same.
            password: for an encrypted key.
            fallback: see the class.
            must_match_issuer: see the class.
            ocsp_response: see the class. A file is looked after by itself.
            interval: seconds after which the files are looked at even if nothing was heard of them.

        Raises:
            ConfigError, OSError: as `from_pem`. Later, such files leave the credential as it is, and are logged.
        """
        from pathlib import Path

        from trustls.reloading import Reloading

        # Whatever the working folder is later.
        chain_file, key_file = Path(chain).absolute(), Path(key).absolute()
        if isinstance(ocsp_response, str | os.PathLike):
            ocsp_response = Path(ocsp_response).absolute()

        followed: weakref.ref[Reloading[Credential]] | None = None

        def load() -> Credential:
            fresh = cls.from_pem(
                os.fspath(chain_file),
                os.fspath(key_file),
                password=password,
                fallback=fallback,
                must_match_issuer=must_match_issuer,
                ocsp_response=ocsp_response,
            )
            before = None if followed is None else followed()
            if before is not None:
                _check_no_worse(fresh, before.current)
            return fresh

        reloading = Reloading.from_files(load, chain_file, key_file, interval=interval)
        followed = weakref.ref(reloading)
        return reloading

    @classmethod
    def from_der(
        cls,
        chain: PathOrBytes | Iterable[PathOrBytes],
        key: PathOrBytes,
        *,
        password: Password = None,
        fallback: bool = False,
        must_match_issuer: bool = False,
        ocsp_response: StapleSource | None = None,
    ) -> Credential:
        """From DER: each certificate, and the key, as bytes or as the path of a file.

        Args:
            chain: the certificates, in any order, or one alone.
            key: the private key: PKCS#8, plain or encrypted, or the older PKCS#1 (RSA) and SEC 1 (EC).
            password: for an encrypted key.
            fallback: see the class.
            must_match_issuer: see the class.
            ocsp_response: see the class.

        Raises:
            ConfigError: something is no certificate or no key, the password is wrong or missing, or as the class
                raises.
            OSError: a file cannot be read.
        """
        return cls(
            loading.der_chain(chain),
            loading.der_key(key, password),
            fallback=fallback,
            must_match_issuer=must_match_issuer,
            ocsp_response=ocsp_response,
        )

    @classmethod
    def from_pkcs12(
        cls,
        data: PathOrBytes,
        *,
        password: Password = None,
        fallback: bool = False,
        must_match_issuer: bool = False,
        ocsp_response: StapleSource | None = None,
    ) -> Credential:
        """From PKCS#12 (.p12, .pfx), as bytes or as the path of a file.

        The CAs that some programs put beside a chain, to be trusted, are left out.

        Raises:
            ConfigError: the password is wrong, the file holds no certificate with its key, or several keys, or as the
                class raises.
            OSError: the file cannot be read.
        """
        certificates, key = loading.pkcs12(data, password)
        credential: Credential = object.__new__(cls)
        _fill(
            credential,
            certificates,
            key,
            fallback=fallback,
            must_match_issuer=must_match_issuer,
            ocsp_response=ocsp_response,
            loose=True,
        )
        return credential

    @classmethod
    def from_raw_key(cls, key: Signer | PrivateKey | PathOrBytes, *, password: Password = None) -> Credential:
        """A raw public key (RFC 7250), for peers that know it beforehand: no certificate, no name, no time of expiry.

        It is presented to a peer only that has agreed on raw public keys, such as one with `RawPublicKeys`. Beside
        credentials with certificates, what stands first in a configuration is preferred.

        Args:
            key: the private key, or what signs with it and shows its `public_key` (`Signer`); or PEM or DER, as bytes
                or as the path of a file.
            password: for an encrypted file.

        Raises:
            ConfigError: there is no key in it, the password is wrong or missing, the key is of a kind or size that TLS
                has no use for, or the signer shows no public key.
            OSError: the file cannot be read.
        """
        from trustls.identity.raw_key import raw_key_credential  # Few want it.

        return raw_key_credential(key, password)

    @property
    def certificate(self) -> Certificate:
        """The leaf."""
        return self.chain[0]

    @property
    def leaf(self) -> Certificate | RawPublicKey:
        """What holds the public key: the leaf, or the raw public key."""
        return self.chain[0]

    @property
    def raw_key(self) -> RawPublicKey | None:
        """The raw public key that is presented instead of certificates (`from_raw_key`); else None."""
        return None

    @property
    def certificate_type(self) -> CertificateType:
        """X509, or RAW_PUBLIC_KEY."""
        return CertificateType.X509

    def fits(self, request: CredentialRequest) -> str | None:
        """None when this credential is what `request` asks for; otherwise the reason why it is not."""
        misfit = self.misfit(request)
        return None if misfit is None else str(misfit)

    def misfit(self, request: CredentialRequest) -> Misfit | None:
        """The first reason why this credential is not what `request` asks for, a hard one if there is any."""
        return next(self._misfits(request), None)

    def misfits(self, request: CredentialRequest) -> tuple[Misfit, ...]:
        """All reasons why this credential is not what `request` asks for, the hard ones first."""
        return tuple(self._misfits(request))

    def _misfits(self, request: CredentialRequest) -> Iterator[Misfit]:
        return misfits(self._able, request, must_match_issuer=self.must_match_issuer, fallback=self.fallback)

    def matches_issuer(self, request: CredentialRequest) -> bool:
        """Whether an authority that `request` names issued a certificate of the chain, or it names none."""
        named = request.authorities
        return not named or not self._able.issuers.isdisjoint([name.der for name in named])

    def scheme_for(self, accepted: Iterable[SignatureScheme], version: ProtocolVersion) -> SignatureScheme | None:
        """The scheme to sign with in this version: this signer's most preferred that the peer accepts.

        In TLS 1.3 a scheme fixes the curve of an ECDSA key, and PKCS#1 is for certificates only (RFC 9846 4.3.3); in
        TLS 1.2 an ECDSA scheme goes with any curve (RFC 8422 5.1.1), and there is no ML-DSA.
        """
        accepted = tuple(accepted)
        for scheme in self._able.schemes(version):
            if scheme in accepted:
                return scheme
        return None

    def is_valid_at(self, now: float) -> bool:
        """Whether every certificate that is sent is valid at `now`, in seconds since 1970."""
        return all(certificate.not_before <= now <= certificate.not_after for certificate in self.sent_chain)

    @property
    def certificate_message(self) -> bytes:
        """Its Certificate message of TLS 1.3, encoded: without a context, and with nothing stapled."""
        return self._message.of(self.sent_chain, lambda: CertificateMessage(entries=self.certificate_entries()))

    @property
    def certificate_message12(self) -> bytes:
        """Its Certificate message of TLS 1.2, encoded."""
        return self._message12.of(self.sent_chain, self._made_message12)

    def _made_message12(self) -> CertificateMessage12:
        from trustls.wire.messages12 import CertificateMessage12

        return CertificateMessage12(certificates=tuple([one.der for one in self.sent_chain]))

    def certificate_entries(self) -> tuple[CertificateEntry, ...]:
        """What a Certificate message of TLS 1.3 holds for it, to be filled in with what goes beside a certificate."""
        return tuple([CertificateEntry(certificate=one.der) for one in self.sent_chain])

    def compressed_message(self, algorithm: int, body: bytes, compress: Callable[[bytes], bytes | None]) -> bytes:
        """A Certificate message of it, made shorter once: the last few are kept. Empty where `compress` gives none."""
        return self._compressed.of((algorithm, body), lambda: compress(body) or b"")

    @property
    def has_staple(self) -> bool:
        """Whether there is anything to staple: a response, a file or a callback."""
        return self._staple is not None

    def staple(self) -> bytes | Awaitable[bytes | None] | None:
        """The OCSP response to send now, or None; an awaitable of it when a callback is asynchronous.

        A file or a callback that fails is logged on `trustls.identity`, and ends no handshake.
        """
        return None if self._staple is None else self._staple()

    @property
    def signs_with_rsa(self) -> bool:
        """Whether the key is an RSA key, for which TLS 1.2 has suites of its own."""
        return self._able.kind is ClientCertificateType.RSA_SIGN

    def __repr__(self) -> str:
        return f"<Credential {self.certificate}>"


def _fill(
    credential: Credential,
    certificates: Iterable[Certificate],
    signer: Signer | PrivateKey,
    *,
    fallback: bool,
    must_match_issuer: bool,
    ocsp_response: StapleSource | None,
    loose: bool = False,
) -> None:
    certificates = tuple(certificates)
    if not certificates:
        raise ConfigError("a credential needs at least one certificate")
    if fallback and must_match_issuer:
        raise ConfigError(
            "`fallback` is for peers that name other issuers, `must_match_issuer` for those that name this one: "
            "a credential has one of the two"
        )
    holder = signer if isinstance(signer, Signer) else KeySigner(signer)
    now = time.time()
    chain, report = arranged(certificates, public_key_of(holder), now=now, loose=loose)
    sent = without_root(chain)
    able = Abilities(chain, sent, schemes_for(holder, chain[0]))
    staple, staple_concerns = _staple(ocsp_response, chain, now)
    concerns = (*_out_of_date(sent, now), *staple_concerns)
    fill = object.__setattr__
    fill(credential, "chain", chain)
    fill(credential, "signer", holder)
    fill(credential, "fallback", fallback)
    fill(credential, "must_match_issuer", must_match_issuer)
    fill(credential, "ocsp_response", ocsp_response or None)
    fill(credential, "report", (*report, *concerns))
    fill(credential, "sent_chain", sent)
    fill(credential, "_able", able)
    fill(credential, "_staple", staple)
    fill(credential, "_message", ReadyMessage())
    fill(credential, "_message12", ReadyMessage())
    fill(credential, "_compressed", ReadyForms())
    for concern in concerns:
        _warn(concern)


def _staple(
    source: StapleSource | None, chain: tuple[Certificate, ...], now: float
) -> tuple[StapleCallback | None, tuple[str, ...]]:
    """As `staple_from`. Most credentials have nothing to do with OCSP, and need not import all that reads it."""
    if source is None and all(one.extension(_TLS_FEATURE) is None for one in chain):
        return None, ()
    from trustls.identity.staple import staple_from

    return staple_from(source, chain, now)


def _check_no_worse(fresh: Credential, before: Credential) -> None:
    """Refuse a credential that peers do not accept now in the place of one that they do."""
    now = time.time()
    if not fresh.is_valid_at(now) and before.is_valid_at(now):
        raise ConfigError(f"{'; '.join(_out_of_date(fresh.sent_chain, now))}; the credential before is valid still")


def _out_of_date(chain: tuple[Certificate, ...], now: float) -> Iterator[str]:
    for number, certificate in enumerate(chain):
        what = f"the certificate {certificate.title}" if number == 0 else f"the intermediate {certificate.title}"
        if now > certificate.not_after:
            yield f"{what} expired on {certificate.not_after_utc:%Y-%m-%d %H:%M} UTC: peers refuse it"
        elif now < certificate.not_before:
            yield f"{what} is not valid before {certificate.not_before_utc:%Y-%m-%d %H:%M} UTC: peers refuse it"


def _warn(message: str) -> None:
    """Warn at the line outside trustls from which the credential was made."""
    level = 1
    frame = sys._getframe().f_back
    while frame is not None and str(frame.f_globals.get("__name__")).startswith("trustls."):
        frame = frame.f_back
        level += 1
    warnings.warn(message, CredentialWarning, stacklevel=level + 1)


_TLS_FEATURE: Final = "1.3.6.1.5.5.7.1.24"
