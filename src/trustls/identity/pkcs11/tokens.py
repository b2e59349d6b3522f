"""What is on a token: which token and which key are meant, and the certificates beside it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, Final, NamedTuple

import pkcs11
from pkcs11 import Attribute, ObjectClass, PKCS11Error, TokenFlag
from pkcs11 import _pkcs11 as _binding
from pkcs11.attributes import AttributeMapper
from pkcs11.types import SignMixin

from trustls.errors import CertificateRejected, ConfigError
from trustls.identity.pkcs11.keys import attribute_of
from trustls.identity.pkcs11.modules import token_name
from trustls.trust.certificate import Certificate
from trustls.trust.signatures import key_fault, signature_fault
from trustls.values import dataclass

# No more objects of one kind than this are looked through on one token.
_MAX_OBJECTS: Final = 1000
_MAX_LISTED: Final = 8
_MAX_CHAIN: Final = 8


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the caller has said of the token and of the key."""

    token: str | None
    serial: str | None
    manufacturer: str | None
    model: str | None
    slot: int | None
    label: str | None
    key_id: bytes | None

    def token_among(self, library: _binding.lib, path: str) -> pkcs11.Token:
        """The one token that is meant.

        Raises:
            ConfigError: there is none, or more than one.
        """
        present = list(_tokens(library))
        found = [token for token in present if self._is(token)]
        if len(found) == 1:
            return found[0]
        if found:
            raise ConfigError(
                f"{len(found)} tokens are {self._described}: {_listed(found, token_name)}; say which by slot or serial"
            )
        there = f"it has {_listed(present, token_name)}" if present else "it has no token that is set up"
        raise ConfigError(f"the PKCS#11 module {path} has no token that is {self._described}: {there}")

    def _is(self, token: pkcs11.Token) -> bool:
        return (
            self.token in {None, token.label}
            and self.serial in {None, token.serial.decode("utf-8", "replace")}
            and self.manufacturer in {None, token.manufacturer_id}
            and self.model in {None, token.model}
            and self.slot in {None, token.slot.slot_id}
        )

    def key_among(self, session: pkcs11.Session, token: pkcs11.Token, *, logged_in: bool) -> SignMixin:
        """The one private key that is meant, if it may sign.

        Raises:
            ConfigError: there is none, or more than one, or it may not sign.
        """
        template: dict[Attribute, Any] = {Attribute.CLASS: ObjectClass.PRIVATE_KEY}
        if self.label is not None:
            template[Attribute.LABEL] = self.label
        if self.key_id is not None:
            template[Attribute.ID] = self.key_id
        found = objects(session, template)
        if len(found) > 1:
            raise ConfigError(
                f"{len(found)} private keys on {token_name(token)} are {self._key_described}: "
                f"{_listed(found, key_name)}; say which by label and key_id"
            )
        if not found:
            there = objects(session, {Attribute.CLASS: ObjectClass.PRIVATE_KEY})
            hint = f"; it has {_listed(there, key_name)}" if there else ", nor any other that can be seen"
            pin = "" if logged_in else " without a PIN, and none was given"
            raise ConfigError(f"{token_name(token)} has no private key that is {self._key_described}{hint}{pin}")
        key = found[0]
        if not isinstance(key, SignMixin):
            raise ConfigError(f"{key_name(key)} on {token_name(token)} may not be used to sign (CKA_SIGN is false)")
        return key

    @property
    def _described(self) -> str:
        said = (
            *(("labelled", self.token), ("of serial number", self.serial), ("made by", self.manufacturer)),
            *(("of the model", self.model), ("in slot", self.slot)),
        )
        return " and ".join(f"{what} {value!r}" for what, value in said if value is not None) or "there"

    @property
    def _key_described(self) -> str:
        label = None if self.label is None else f"labelled {self.label!r}"
        key_id = None if self.key_id is None else f"of id {self.key_id.hex()}"
        return " and ".join(part for part in (label, key_id) if part is not None) or "there"

    def __str__(self) -> str:
        return f"the private key {self._key_described}, on the token {self._described}"


def _tokens(library: _binding.lib) -> Iterator[pkcs11.Token]:
    """The tokens that are present and set up. One slot out of order does not hide the others."""
    for slot in library.get_slots(token_present=True):
        with contextlib.suppress(PKCS11Error):
            token = slot.get_token()
            if token.flags & TokenFlag.TOKEN_INITIALIZED:
                yield token


def objects(session: pkcs11.Session, template: dict[Attribute, Any]) -> list[pkcs11.Object]:
    """All at once: a search that is under way keeps the session to itself."""
    return list(islice(session.get_objects(template), _MAX_OBJECTS))


class HeldCertificate(NamedTuple):
    """A certificate on a token, and its CKA_ID."""

    key_id: bytes
    certificate: Certificate


def certificates_on(session: pkcs11.Session, key_id: bytes | None = None) -> Iterator[HeldCertificate]:
    """The X.509 certificates on a token that can be read."""
    template: dict[Attribute, Any] = {Attribute.CLASS: ObjectClass.CERTIFICATE}
    if key_id is not None:
        template[Attribute.ID] = key_id
    for item in objects(session, template):
        with contextlib.suppress(CertificateRejected):
            certificate = Certificate.from_der(attribute_of(item, Attribute.VALUE) or b"")
            if key_fault(certificate) is None:
                yield HeldCertificate(attribute_of(item, Attribute.ID) or b"", certificate)


def chain_from(leaf: Certificate, held: list[Certificate]) -> tuple[Certificate, ...]:
    """The leaf, then each one's issuer, up to a root or to one whose issuer is not held."""
    chain = [leaf]
    while not chain[-1].is_self_issued and len(chain) < _MAX_CHAIN:
        last = chain[-1]
        named = (one for one in held if one.subject == last.issuer and one not in chain)
        issuer = next((one for one in named if signature_fault(one, last) is None), None)
        if issuer is None:
            break
        chain.append(issuer)
    return tuple(chain)


def key_name(key: pkcs11.Object) -> str:
    """What messages call a key."""
    label, key_id = attribute_of(key, Attribute.LABEL), attribute_of(key, Attribute.ID)
    return f"the key {label or ''!r} (id {(key_id or b'').hex() or 'none'})"


def _listed(items: list[Any], name: Callable[[Any], str]) -> str:
    shown = ", ".join(map(name, items[:_MAX_LISTED]))
    return shown if len(items) <= _MAX_LISTED else f"{shown} and {len(items) - _MAX_LISTED} more"


def _mapper() -> AttributeMapper:
    """Labels of other people's objects need not be UTF-8, and must not keep ours from being found."""
    mapper = AttributeMapper()
    mapper.register_handler(Attribute.LABEL, str.encode, lambda value: value.decode("utf-8", "replace"))
    return mapper


MAPPER: Final = _mapper()
