"""Key exchange: (EC)DHE, and the hybrid with ML-KEM (RFC 9846 4.3.8, 7.4; draft-ietf-tls-ecdhe-mlkem).

A client `start`s a group and `complete`s it with the server's share; a server `respond`s to the client's share in one
step, which is what a KEM can do. A share that is no valid public value is a `BadKeyShare`.
"""

from __future__ import annotations

from typing import Protocol

from cryptography.hazmat.primitives.asymmetric import ec, mlkem, x25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from trustls.wire.enums import NamedGroup


class BadKeyShare(ValueError):
    """The peer's share is no valid public value of the group."""


class PrivateShare(Protocol):
    """A client's half of a key exchange; the private part is used once."""

    public: bytes

    def complete(self, peer: bytes) -> bytes:
        """The shared secret with the server's share `peer`; BadKeyShare when that is not valid."""


class KeyExchangeGroup(Protocol):
    """One named group."""

    group: NamedGroup

    def start(self) -> PrivateShare:
        """A fresh private share."""

    def respond(self, peer: bytes) -> tuple[bytes, bytes]:
        """The server's share and the shared secret, for the client's share `peer`."""


class _X25519Share:
    __slots__ = ("_private", "public")

    def __init__(self) -> None:
        self._private = x25519.X25519PrivateKey.generate()
        self.public = self._private.public_key().public_bytes_raw()

    def complete(self, peer: bytes) -> bytes:
        try:
            # RFC 9846 7.4.2: an all-zero result is refused, which `exchange` does.
            return self._private.exchange(x25519.X25519PublicKey.from_public_bytes(peer))
        except ValueError as error:
            raise BadKeyShare(f"x25519: {error}") from None


class X25519:
    """X25519, RFC 7748."""

    group = NamedGroup.X25519

    def start(self) -> PrivateShare:
        return _X25519Share()

    def respond(self, peer: bytes) -> tuple[bytes, bytes]:
        share = _X25519Share()
        return share.public, share.complete(peer)


class _EcdhShare:
    __slots__ = ("_private", "public")

    def __init__(self, curve: ec.EllipticCurve) -> None:
        self._private = ec.generate_private_key(curve)
        self.public = self._private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)

    def complete(self, peer: bytes) -> bytes:
        # RFC 9846 4.3.8.2: the uncompressed form, and no other.
        if len(peer) != len(self.public) or peer[0] != 4:
            raise BadKeyShare(f"{self._private.curve.name}: not an uncompressed point of {len(self.public)} bytes")
        try:
            public = ec.EllipticCurvePublicKey.from_encoded_point(self._private.curve, peer)
            return self._private.exchange(ec.ECDH(), public)
        except ValueError:
            raise BadKeyShare(f"{self._private.curve.name}: the point is not on the curve") from None


class Ecdh:
    """ECDH over one of the NIST curves."""

    def __init__(self, group: NamedGroup, curve: ec.EllipticCurve) -> None:
        self.group = group
        self._curve = curve

    def start(self) -> PrivateShare:
        return _EcdhShare(self._curve)

    def respond(self, peer: bytes) -> tuple[bytes, bytes]:
        share = _EcdhShare(self._curve)
        return share.public, share.complete(peer)


_MLKEM768_PUBLIC = 1184
_MLKEM768_CIPHERTEXT = 1088


class HybridShare:
    """A client's share of X25519MLKEM768. Its X25519 half may serve as an X25519 share of its own."""

    __slots__ = ("_decapsulation_key", "public", "x25519")

    def __init__(self) -> None:
        self._decapsulation_key = mlkem.MLKEM768PrivateKey.generate()
        self.x25519: PrivateShare = _X25519Share()
        self.public = self._decapsulation_key.public_key().public_bytes_raw() + self.x25519.public

    def complete(self, peer: bytes) -> bytes:
        if len(peer) != _MLKEM768_CIPHERTEXT + 32:
            raise BadKeyShare(f"X25519MLKEM768: {len(peer)} bytes, not {_MLKEM768_CIPHERTEXT + 32}")
        secret = self._decapsulation_key.decapsulate(peer[:_MLKEM768_CIPHERTEXT])
        return secret + self.x25519.complete(peer[_MLKEM768_CIPHERTEXT:])


class X25519MLKEM768:
    """The hybrid of X25519 and ML-KEM-768: secure while either is."""

    group = NamedGroup.X25519MLKEM768

    def start(self) -> PrivateShare:
        return HybridShare()

    def respond(self, peer: bytes) -> tuple[bytes, bytes]:
        if len(peer) != _MLKEM768_PUBLIC + 32:
            raise BadKeyShare(f"X25519MLKEM768: {len(peer)} bytes, not {_MLKEM768_PUBLIC + 32}")
        try:
            encapsulation_key = mlkem.MLKEM768PublicKey.from_public_bytes(peer[:_MLKEM768_PUBLIC])
            secret, ciphertext = encapsulation_key.encapsulate()
        except ValueError:
            # FIPS 203 7.2: coefficients must be below the modulus.
            raise BadKeyShare("X25519MLKEM768: no valid encapsulation key") from None
        share = _X25519Share()
        return ciphertext + share.public, secret + share.complete(peer[_MLKEM768_PUBLIC:])


GROUPS: tuple[KeyExchangeGroup, ...] = (
    X25519MLKEM768(),
    X25519(),
    Ecdh(NamedGroup.SECP256R1, ec.SECP256R1()),
    Ecdh(NamedGroup.SECP384R1, ec.SECP384R1()),
    Ecdh(NamedGroup.SECP521R1, ec.SECP521R1()),
)
