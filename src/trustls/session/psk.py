"""External pre-shared keys, and their import for TLS 1.3 (RFC 9846 4.3.11, RFC 9258)."""

from __future__ import annotations

from dataclasses import field
from typing import Final

from trustls.crypto.hashing import SHA256, SHA384, HashAlgorithm, hkdf_label
from trustls.errors import ConfigError
from trustls.values import dataclass
from trustls.wire.codec import vector16
from trustls.wire.enums import ProtocolVersion

_MIN_KEY: Final = 16
_MAX_IDENTITY: Final = 0xFFFF - 6
# RFC 9258 5.1, the KDF identifiers of HKDF_SHA256 and HKDF_SHA384.
_TARGETS: Final = ((1, SHA256), (2, SHA384))


@dataclass(frozen=True, slots=True)
class ExternalPsk:
    """A key that both sides were given beforehand, under a name.

    It authenticates both sides and takes the place of certificates; with the (EC)DHE exchange that trustls always
    makes, what was said stays secret when the key becomes known later.

    Args:
        identity: the key's name, seen by anybody on the network; 1 to 65529 bytes.
        key: at least 16 bytes from a random source, never a password.
        hash: the hash function of the suites that it may be used with, "sha256" or "sha384".
        imported: made by `import_psk`; not to be set by hand.

    Raises:
        ConfigError: a length or the hash is not one of those.
    """

    identity: bytes
    key: bytes = field(repr=False)
    hash: str = "sha256"
    imported: bool = False

    def __post_init__(self) -> None:
        if not 1 <= len(self.identity) <= _MAX_IDENTITY:
            raise ConfigError(f"a PSK identity is 1 to {_MAX_IDENTITY} bytes long")
        if len(self.key) < _MIN_KEY:
            raise ConfigError(f"a PSK of {len(self.key)} bytes is too short: give at least {_MIN_KEY} random ones")
        if self.hash not in (SHA256.name, SHA384.name):
            raise ConfigError(f"hash={self.hash!r}: a PSK goes with sha256 or sha384")

    @property
    def algorithm(self) -> HashAlgorithm:
        """The hash function."""
        return SHA256 if self.hash == SHA256.name else SHA384

    @property
    def binder_label(self) -> bytes:
        """What its binder is derived under (RFC 9846 7.1, RFC 9258 5.2)."""
        return b"imp binder" if self.imported else b"ext binder"


def import_psk(
    identity: bytes,
    key: bytes,
    *,
    context: bytes = b"",
    hash: str = "sha256",  # noqa: A002 (the field's own word)
) -> tuple[ExternalPsk, ...]:
    """The keys for TLS 1.3 that RFC 9258 makes of one external key: one for each hash function of the suites.

    Both sides import; neither then uses the external key itself.

    Args:
        identity: the external key's name.
        key: the external key.
        context: what else the imported keys are bound to, the roles of the two sides for example.
        hash: the hash function that belongs to the external key.

    Raises:
        ConfigError: as for ExternalPsk.
    """
    algorithm = ExternalPsk(identity, key, hash).algorithm
    if len(identity) + len(context) > _MAX_IDENTITY - 8:
        raise ConfigError(f"a PSK identity and its context together are at most {_MAX_IDENTITY - 8} bytes long")
    extracted = algorithm.mac(algorithm.extract(bytes(algorithm.length), key))
    imported = []
    for kdf, target in _TARGETS:
        name = vector16(identity) + vector16(context) + ProtocolVersion.TLS1_3.to_bytes(2, "big")
        name += kdf.to_bytes(2, "big")
        label = hkdf_label(b"derived psk", algorithm.hash(name), target.length)
        imported.append(
            ExternalPsk(name, algorithm.expand(extracted, label, target.length), target.name, imported=True)
        )
    return tuple(imported)
