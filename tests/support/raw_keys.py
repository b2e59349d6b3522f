"""Two sides with raw public keys (RFC 7250) instead of certificates."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, rsa

from tests.support.memory import Pair
from trustls import ClientAuth, Credential, RawPublicKey, RawPublicKeys
from trustls.config import ClientConfig, ServerConfig
from trustls.wire.enums import CertificateType

X509: Final = CertificateType.X509
RAW: Final = CertificateType.RAW_PUBLIC_KEY
KEYS: dict[str, Callable[[], Any]] = {
    "p256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "p384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
    "rsa": lambda: rsa.generate_private_key(65537, 2048),
    "mldsa": mldsa.MLDSA65PrivateKey.generate,
}
VERSIONS: Final = ("1.2", "1.3")


def key(kind: str = "p256", number: int = 0) -> Any:
    """A private key, always the same; another number is another key."""
    return _made(kind, number)


@functools.cache
def _made(kind: str, _number: int) -> Any:
    return KEYS[kind]()


def own(kind: str = "p256", number: int = 0) -> Credential:
    """That key as what a side presents."""
    return Credential.from_raw_key(key(kind, number))


def trusted(*kinds: str, number: int = 0) -> RawPublicKeys:
    """Those keys as whom a side trusts."""
    return RawPublicKeys([key(kind, number).public_key() for kind in kinds or ("p256",)])


def raw_server(**changes: Any) -> ServerConfig:
    """A server with the key "p256", which requires the key "ed25519" of its clients."""
    changes.setdefault("client_auth", ClientAuth.required(trusted("ed25519")))
    given: dict[str, Any] = {"credentials": [own()], "versions": ["1.3"]} | changes
    return ServerConfig(**given)


def raw_client(**changes: Any) -> ClientConfig:
    """The client that goes with it."""
    given: dict[str, Any] = {"roots": trusted(), "credentials": [own("ed25519")], "versions": ["1.3"]} | changes
    return ClientConfig(**given)


def check_raw(joined: Pair, server: str | None = "p256", client: str | None = "ed25519") -> None:
    """Both know the other by these keys; None for a certificate, or a client without anything."""
    joined.check_connected()
    for who, side, kind in (("server", joined.client, server), ("client", joined.server, client)):
        found = None if side.peer is None else side.peer.raw_key
        expected = None if kind is None else RawPublicKey.from_key(key(kind).public_key())
        assert found == expected, f"the {who} is known by {found}, not by {expected}"
