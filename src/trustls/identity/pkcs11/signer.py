"""Pkcs11Signer: a private key on a token, as TLS wants it to sign."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Final, NamedTuple, Self, TypeVar

import pkcs11
from pkcs11 import Attribute, ObjectClass, PKCS11Error
from pkcs11.types import SignMixin

from trustls.crypto.signatures import BadSignature, PublicKey, WrongKey, verify
from trustls.errors import ConfigError, SigningFailed
from trustls.identity.pkcs11.keys import WAYS, Way, attribute_of, kind_of, ways_on
from trustls.identity.pkcs11.modules import PIN, WRONG_PIN, Login, close_session, module_at, pin_text, said, token_name
from trustls.identity.pkcs11.tokens import (
    MAPPER,
    HeldCertificate,
    Wanted,
    certificates_on,
    chain_from,
    key_name,
    objects,
)
from trustls.identity.pkcs11.uri import parse_uri, pin_source, uri_text
from trustls.trust.certificate import Certificate
from trustls.wire.enums import SignatureScheme

T = TypeVar("T")

# What a new signer signs, to see whether the token can, and which public key is the right one.
_PROBE: Final = b"trustls: can this token sign, and is this its public key?"

# The device has forgotten us, or was away for a moment; with a new session it may work.
_LOST: Final = (
    pkcs11.SessionHandleInvalid,
    pkcs11.SessionClosed,
    pkcs11.UserNotLoggedIn,
    pkcs11.KeyHandleInvalid,
    pkcs11.ObjectHandleInvalid,
    pkcs11.OperationActive,
    pkcs11.DeviceRemoved,
    pkcs11.DeviceError,
    pkcs11.TokenNotPresent,
    pkcs11.SlotIDInvalid,
    pkcs11.GeneralError,
    pkcs11.FunctionFailed,
)


class Pkcs11Signer:
    """A private key on a PKCS#11 token: a Signer whose key never comes here.

    A new signer signs once, so that a token that cannot does not come to light in a handshake, and the public key is
    known to be the right one (a key that wants to be touched wants it then too); after that, every signature is checked
    with it before it leaves.

    Thread-safe. Close it, or use it as a context manager, to end its session; the last signer of a token logs out.

    Attributes:
        schemes: what the key and the token's mechanisms can sign, preferred first; PKCS#1 for TLS 1.2 alone.
        schemes_tls12: the same for TLS 1.2, where an ECDSA scheme names a hash and no curve (RFC 8422 5.1.1).
        public_key: the public half of the key; None where the token holds neither that nor a certificate of the same
            CKA_ID. `Credential` compares it with the leaf.
    """

    __slots__ = (
        "_always_authenticate",
        "_closed",
        "_key_id",
        "_kind",
        "_login",
        "_module",
        "_name",
        "_opened",
        "_pin",
        "_wanted",
        "_ways",
        "public_key",
        "schemes",
        "schemes_tls12",
    )

    schemes: tuple[SignatureScheme, ...]
    schemes_tls12: tuple[SignatureScheme, ...]
    public_key: PublicKey | None

    def __init__(
        self,
        module: str | os.PathLike[str],
        *,
        token: str | None = None,
        serial: str | None = None,
        manufacturer: str | None = None,
        model: str | None = None,
        slot: int | None = None,
        label: str | None = None,
        key_id: bytes | str | None = None,
        pin: PIN = None,
    ) -> None:
        """Loads the module, logs in, and finds the key.

        What is left out does not matter; what is given must single out one token, and one private key on it.

        Args:
            module: the module's library (`.so`, `.dll`, `.dylib`), from its vendor.
            token: the token's label.
            serial: the token's serial number.
            manufacturer: who made the token, as it says itself.
            model: the token's model, as it says itself.
            slot: the number of the slot that the token is in (CK_SLOT_ID).
            label: the private key's label (CKA_LABEL).
            key_id: the private key's identifier (CKA_ID), as bytes or as hexadecimal digits.
            pin: the user's PIN, or a function that gives it: asked for each login, and for each signature of a key that
                wants the PIN every time. It must not sign with this module itself.

        Raises:
            ConfigError: the module cannot be loaded; no token or no key is like this, or several are; the token refuses
                the PIN; the key cannot sign in TLS, or not with what the token can.
        """
        self._module = module_at(module)
        self._wanted = Wanted(token, serial, manufacturer, model, slot, label, _identifier(key_id))
        self._pin = pin
        self._login: Login | None = None
        self._opened: _Opened | None = None
        self._closed = False
        self._name = str(self._wanted)
        with self._module.lock:
            try:
                self._learn()
            except PKCS11Error as error:
                self.close()
                raise ConfigError(f"{self._name} cannot be used: {said(error)}") from error
            except SigningFailed as error:
                self.close()
                raise ConfigError(str(error)) from error
            except BaseException:
                self.close()
                raise

    @classmethod
    def from_uri(cls, uri: str, *, module: str | os.PathLike[str] | None = None, pin: PIN = None) -> Self:
        """The signer that a PKCS#11 URI names (RFC 7512).

        In its path, `token`, `serial`, `manufacturer`, `model`, `slot-id`, `object`, `id` and `type=private` are
        understood; in its query, `module-path`, `pin-value` and `pin-source` (a file, read at each login). A PIN inside
        a URI is as open as the URI is: prefer `pin-source` or `pin`.

        Args:
            uri: for example `pkcs11:token=web;object=server;id=%01?module-path=/usr/lib/libx.so&pin-source=/run/pin`.
            module: the module, where the URI names none.
            pin: as for the class, where the URI names none.

        Raises:
            ConfigError: the URI is malformed, says what is not understood here, names no module or two, or two PINs;
                and for all that the class raises it for.
        """
        path, query = parse_uri(uri)
        slot = path.get("slot-id")
        if slot is not None and not re.fullmatch(rb"[0-9]{1,20}", slot):
            raise ConfigError("slot-id in a PKCS#11 URI is no number")
        texts = {name: uri_text(name, path.get(name)) for name in ("token", "serial", "manufacturer", "model")}
        label = uri_text("object", path.get("object"))
        modules = [one for one in (query.get("module-path"), module) if one is not None]
        if len(modules) != 1:
            raise ConfigError("a PKCS#11 URI and the arguments beside it must name one module: module-path=, or module")
        pins = [one for one in (query.get("pin-value"), pin_source(query.get("pin-source")), pin) if one is not None]
        if len(pins) > 1:
            raise ConfigError("a PKCS#11 URI and the arguments beside it name more than one PIN")
        return cls(
            modules[0],
            **texts,
            slot=None if slot is None else int(slot),
            label=label,
            key_id=path.get("id"),
            pin=pins[0] if pins else None,
        )

    def sign(self, scheme: SignatureScheme, message: bytes) -> bytes:
        """The signature of `message`. Waits for the device, and for the signatures of other threads before it.

        Raises:
            SigningFailed: the token does not sign, though a lost session has been opened anew; or what it gave is no
                signature of the key; or the signer is closed.
        """
        way = self._ways.get(scheme)
        if way is None:
            raise SigningFailed(f"{self._name} does not sign with {scheme}")
        for renew in (False, True):
            signature = self._raw_signature(way, message, renew=renew)
            if self.public_key is None or _verifies(self.public_key, scheme, signature, message):
                return signature
            # A handle may mean another key by now, when somebody has restarted the module.
        raise SigningFailed(f"the signature that {self._name} gave does not verify with its public key")

    def certificates(self) -> tuple[Certificate, ...]:
        """The key's certificate on the token, and its issuers as far as they are there: a chain for `Credential`.

        Of several certificates for the key, it is the one issued last of those that are valid yet.

        Raises:
            ConfigError: there is no certificate of this key on the token.
            SigningFailed: the token cannot be read.
        """
        held = self._with_session(_certificates_beside)
        own = [item.certificate for item in held if self._is_own(item.certificate)]
        if not own:
            other = [item.certificate for item in held if item.key_id and item.key_id == self._key_id]
            if other and self.public_key is not None:
                raise ConfigError(f"the certificate beside {self._name}, {other[0].subject}, is for another key")
            raise ConfigError(f"there is no certificate for {self._name} on its token: give the chain yourself")
        now = time.time()
        leaf = max(own, key=lambda certificate: (certificate.not_before <= now, certificate.not_before))
        return chain_from(leaf, [item.certificate for item in held])

    def close(self) -> None:
        """End the session; the last signer of a token logs out. The signer signs no more."""
        with self._module.lock:
            if not self._closed:
                self._closed = True
                self._shut()
                self._module.release(self._login)

    # -- Inside -------------------------------------------------------------------------------------------------------

    def _learn(self) -> None:
        """Open the token, and find out what the key is and what can be done with it."""
        opened = self._opened = self._open()
        self._name = f"{key_name(opened.key)} on {token_name(opened.token)}"
        self._kind = kind_of(opened.key, self._name)
        self._ways = ways_on(opened.token.slot, self._kind)
        self.schemes = tuple([scheme for scheme in self._kind.schemes if scheme in self._ways])
        self.schemes_tls12 = tuple(self._ways)
        if not self.schemes:
            raise ConfigError(
                f"{self._name} cannot sign in TLS: the token has none of the mechanisms for {self._kind.name} "
                f"({', '.join(dict.fromkeys(way.mechanism.name for s in self._kind.schemes for way in WAYS[s]))})"
            )
        self._always_authenticate = bool(attribute_of(opened.key, Attribute.ALWAYS_AUTHENTICATE))
        self._key_id = attribute_of(opened.key, Attribute.ID) or b""
        candidates = list(self._public_keys(opened))
        scheme = self.schemes[0]
        signature = self._raw_signature(self._ways[scheme], _PROBE)
        self.public_key = next((key for key in candidates if _verifies(key, scheme, signature, _PROBE)), None)
        if candidates and self.public_key is None:
            raise ConfigError(f"{self._name} and the public key or certificate beside it do not belong together")

    def _public_keys(self, opened: _Opened) -> Iterator[PublicKey]:
        """What may be the public half: from the key itself, a public key object beside it, a certificate beside it."""
        own = self._kind.public_key(opened.key)
        if own is not None:
            yield own
        if not self._key_id:
            return
        for item in objects(opened.session, {Attribute.CLASS: ObjectClass.PUBLIC_KEY, Attribute.ID: self._key_id}):
            public = self._kind.public_key(item)
            if public is not None:
                yield public
        for held in certificates_on(opened.session, self._key_id):
            if self._kind.is_of(held.certificate.public_key):
                yield held.certificate.public_key

    def _is_own(self, certificate: Certificate) -> bool:
        return self.public_key is not None and certificate.public_key == self.public_key

    def _raw_signature(self, way: Way, message: bytes, *, renew: bool = False) -> bytes:
        """A signature in the form of TLS, not checked yet."""
        data = way.prepared(message, self._kind.coordinate)
        return self._kind.encoded(self._with_session(lambda opened: self._asked(opened, way, data), renew=renew))

    def _asked(self, opened: _Opened, way: Way, data: bytes) -> bytes:
        arguments: dict[str, Any] = {"mechanism": way.mechanism, "mechanism_param": way.parameter}
        if not self._always_authenticate:
            return opened.key.sign(data, **arguments)
        if self._pin is None:
            raise SigningFailed(f"{self._name} wants the PIN for each signature, and none was given")
        pin = pin_text(self._pin)
        self._module.check_pin(opened.token, pin)
        try:
            return opened.key.sign(data, pin=pin, **arguments)
        except WRONG_PIN:
            self._module.note_refused(opened.token, pin)
            raise

    def _with_session(self, work: Callable[[_Opened], T], *, renew: bool = False) -> T:
        """What `work` gives; where the session is lost, or to be renewed, a new one is opened, once."""
        with self._module.lock:
            if self._closed:
                raise SigningFailed(f"the signer of {self._name} is closed")
            try:
                if self._opened is not None and self._module.stands(self._login) and not renew:
                    try:
                        return work(self._opened)
                    except PKCS11Error as error:
                        if not _is_lost(error):
                            raise
                self._opened = self._open()
                return work(self._opened)
            except (PKCS11Error, ConfigError) as error:
                raise SigningFailed(f"{self._name} does not answer: {said(error)}") from error

    def _open(self) -> _Opened:
        """A new session on the token, logged in anew unless somebody has seen to that since ours was lost."""
        self._shut()
        token = self._wanted.token_among(self._module.library(), self._module.path)
        login = self._module.login(token, self._pin, self._login)
        session = None
        try:
            session = token.open(attribute_mapper=MAPPER)
            key = self._wanted.key_among(session, token, logged_in=self._pin is not None)
        except BaseException:
            close_session(session)
            self._module.release(login)
            raise
        self._login = login
        return _Opened(token, session, key)

    def _shut(self) -> None:
        opened, self._opened = self._opened, None
        # When the login is another one by now, the handle may be somebody else's.
        if opened is not None and self._module.stands(self._login):
            close_session(opened.session)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Pkcs11Signer {self._name}: {', '.join(scheme.iana for scheme in self.schemes)}>"


class _Opened(NamedTuple):
    """A session, and the key's handle in it."""

    token: pkcs11.Token
    session: pkcs11.Session
    key: SignMixin


def _certificates_beside(opened: _Opened) -> list[HeldCertificate]:
    # In a session that is lost, a search of python-pkcs11's complains on stderr as well: see first whether it is.
    opened.key[Attribute.CLASS]
    return list(certificates_on(opened.session))


def _is_lost(error: PKCS11Error) -> bool:
    # Codes that python-pkcs11 has no name for have no class of their own: vendors' codes, and "not initialised".
    return isinstance(error, _LOST) or type(error) is PKCS11Error


def _verifies(key: PublicKey, scheme: SignatureScheme, signature: bytes, message: bytes) -> bool:
    try:
        verify(key, scheme, signature, message, any_curve=True)  # The signer knows its curve; this is of the key.
    except (BadSignature, WrongKey):
        return False
    return True


def _identifier(key_id: bytes | str | None) -> bytes | None:
    if not isinstance(key_id, str):
        return key_id
    try:
        return bytes.fromhex(key_id.replace(":", ""))
    except ValueError:
        raise ConfigError(f"key_id={key_id!r} is not hexadecimal; give bytes, or digits such as '01'") from None
