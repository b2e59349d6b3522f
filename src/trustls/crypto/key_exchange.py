"""Key exchange: ECDHE, ML-KEM, and both as a hybrid (RFC 9846 4.3.8, 7.4; draft-ietf-tls-mlkem and -ecdhe-mlkem).

A client `start`s a group and `complete`s it with the server's share; a server `respond`s to the client's share in one
step, which is what a KEM can do. A share that is no valid public value is a `BadKeyShare`.
"""

from __future__ import annotations

from typing import Protocol

from cryptography.hazmat.backends.openssl.backend import backend
from cryptography.hazmat.primitives.asymmetric import ec, mlkem, x25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from trustls.wire.enums import NamedGroup

_PrivateKey = mlkem.MLKEM768PrivateKey | mlkem.MLKEM1024PrivateKey
_PublicKey = mlkem.MLKEM768PublicKey | mlkem.MLKEM1024PublicKey


class BadKeyShare(ValueError):
    """The peer's share is no valid public value of the group."""


class PrivateShare(Protocol):
    """A client's half of a key exchange; the private part is used once."""

    public: bytes

    def complete(self, peer: bytes) -> bytes:
        """The shared secret with the server's share `peer`; BadKeyShare when that is not valid."""


class KeyExchangeGroup(Protocol):
    """One named group. A client's share of it has `share_length` bytes."""

    group: NamedGroup
    share_length: int

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
    share_length = 32

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
        self.share_length = 1 + 2 * ((curve.key_size + 7) // 8)
        self._curve = curve

    def start(self) -> PrivateShare:
        return _EcdhShare(self._curve)

    def respond(self, peer: bytes) -> tuple[bytes, bytes]:
        share = _EcdhShare(self._curve)
        return share.public, share.complete(peer)


class _MlKemShare:
    __slots__ = ("_kem", "_private", "public")

    def __init__(self, kem: MlKem) -> None:
        self._kem = kem
        self._private = kem.generate()
        self.public = self._private.public_key().public_bytes_raw()

    def complete(self, peer: bytes) -> bytes:
        if len(peer) != self._kem.ciphertext_length:
            raise BadKeyShare(f"{self._kem.group}: {len(peer)} bytes, not {self._kem.ciphertext_length}")
        # FIPS 203 6.3: one that was changed on the way gives another secret, and no error.
        return self._private.decapsulate(peer)


class MlKem:
    """ML-KEM by itself, FIPS 203 (draft-ietf-tls-mlkem): the client's share is a key, the server's a ciphertext."""

    def __init__(
        self, group: NamedGroup, private: type[_PrivateKey], public: type[_PublicKey], *, lengths: tuple[int, int]
    ) -> None:
        """`lengths` are those of an encapsulation key and of a ciphertext, in bytes (FIPS 203 8, table 3)."""
        self.group = group
        self.share_length, self.ciphertext_length = lengths
        self.generate = private.generate
        self._parse = public.from_public_bytes

    def start(self) -> PrivateShare:
        return _MlKemShare(self)

    def respond(self, peer: bytes) -> tuple[bytes, bytes]:
        if len(peer) != self.share_length:
            raise BadKeyShare(f"{self.group}: {len(peer)} bytes, not {self.share_length}")
        try:
            secret, ciphertext = self._parse(peer).encapsulate()
        except ValueError:
            # FIPS 203 7.2: coefficients must be below the modulus.
            raise BadKeyShare(f"{self.group}: no valid encapsulation key") from None
        return ciphertext, secret


class HybridShare:
    """A client's share of a hybrid. Its ECDHE half may serve as a share of that group, `ecdhe_group`, on its own."""

    __slots__ = ("_hybrid", "_kem", "ecdhe", "public")

    def __init__(self, hybrid: Hybrid) -> None:
        self._hybrid = hybrid
        self._kem = hybrid.kem.start()
        self.ecdhe = hybrid.ecdhe.start()
        self.public = hybrid.joined(self._kem.public, self.ecdhe.public)

    @property
    def ecdhe_group(self) -> NamedGroup:
        """The group of the ECDHE half."""
        return self._hybrid.ecdhe.group

    def complete(self, peer: bytes) -> bytes:
        hybrid = self._hybrid
        ciphertext, public = hybrid.halves(peer, hybrid.kem.ciphertext_length)
        return hybrid.joined(self._kem.complete(ciphertext), self.ecdhe.complete(public))


class Hybrid:
    """ML-KEM and ECDHE, secure while either is: shares and secrets of both, one behind the other.

    draft-ietf-tls-ecdhe-mlkem 4.1: ML-KEM's half comes first with X25519, and last with the NIST curves.
    """

    def __init__(self, group: NamedGroup, kem: MlKem, ecdhe: X25519 | Ecdh) -> None:
        self.group = group
        self.kem = kem
        self.ecdhe = ecdhe
        self.share_length = kem.share_length + ecdhe.share_length
        self._kem_first = isinstance(ecdhe, X25519)

    def start(self) -> PrivateShare:
        return HybridShare(self)

    def respond(self, peer: bytes) -> tuple[bytes, bytes]:
        encapsulation_key, client_public = self.halves(peer, self.kem.share_length)
        ciphertext, kem_secret = self.kem.respond(encapsulation_key)
        public, secret = self.ecdhe.respond(client_public)
        return self.joined(ciphertext, public), self.joined(kem_secret, secret)

    def joined(self, of_kem: bytes, of_ecdhe: bytes) -> bytes:
        """Two halves as one."""
        return of_kem + of_ecdhe if self._kem_first else of_ecdhe + of_kem

    def halves(self, share: bytes, kem_length: int) -> tuple[bytes, bytes]:
        """The halves of a peer's share, ML-KEM's first, which is `kem_length` bytes long."""
        length = kem_length + self.ecdhe.share_length
        if len(share) != length:
            raise BadKeyShare(f"{self.group}: {len(share)} bytes, not {length}")
        if self._kem_first:
            return share[:kem_length], share[kem_length:]
        return share[-kem_length:], share[:-kem_length]


_X25519 = X25519()
_P256 = Ecdh(NamedGroup.SECP256R1, ec.SECP256R1())
_P384 = Ecdh(NamedGroup.SECP384R1, ec.SECP384R1())
_P521 = Ecdh(NamedGroup.SECP521R1, ec.SECP521R1())
_MLKEM768 = MlKem(NamedGroup.MLKEM768, mlkem.MLKEM768PrivateKey, mlkem.MLKEM768PublicKey, lengths=(1184, 1088))
_MLKEM1024 = MlKem(NamedGroup.MLKEM1024, mlkem.MLKEM1024PrivateKey, mlkem.MLKEM1024PublicKey, lengths=(1568, 1568))

_CLASSICAL: tuple[KeyExchangeGroup, ...] = (_X25519, _P256, _P384, _P521)
_HYBRID = Hybrid(NamedGroup.X25519MLKEM768, _MLKEM768, _X25519)
_MORE_POST_QUANTUM: tuple[KeyExchangeGroup, ...] = (
    Hybrid(NamedGroup.SecP256r1MLKEM768, _MLKEM768, _P256),
    Hybrid(NamedGroup.SecP384r1MLKEM1024, _MLKEM1024, _P384),
    _MLKEM768,
    _MLKEM1024,
)
# Whether the OpenSSL below cryptography has ML-KEM. The wheels' does; one of a distribution may be older than 3.5.
_HAS_MLKEM = backend.mlkem_supported()

POST_QUANTUM = frozenset({item.group for item in (_HYBRID, *_MORE_POST_QUANTUM)})
"""The groups whose secret a quantum computer does not open."""

GROUPS: tuple[KeyExchangeGroup, ...] = (_HYBRID, *_CLASSICAL) if _HAS_MLKEM else _CLASSICAL
"""The groups that are used unless others are named, preferred first."""

MORE_GROUPS: tuple[KeyExchangeGroup, ...] = _MORE_POST_QUANTUM if _HAS_MLKEM else ()
"""The groups that are used where they are named."""

LACKING: frozenset[NamedGroup] = frozenset() if _HAS_MLKEM else POST_QUANTUM
"""What would be there if cryptography were built with a newer OpenSSL."""
