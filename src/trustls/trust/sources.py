"""Where trust comes from: a store of roots, several, one that is reloaded, or a bundle for each SPIFFE trust domain."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, TypeAlias, cast

from trustls.errors import ConfigError
from trustls.trust.certificate import Certificate
from trustls.trust.roots import RootCertStore
from trustls.wire.names import DistinguishedName

if TYPE_CHECKING:
    from trustls.trust.raw_keys import RawPublicKeys


class CurrentRoots(Protocol):
    """Where the roots of now are found, such as a source that reloads them from a file."""

    @property
    def current(self) -> RootCertStore:
        """The roots of now."""
        ...


RootsSource: TypeAlias = RootCertStore | CurrentRoots


class BundleForLeaf(Protocol):
    """Roots that depend on who the peer claims to be, such as `SpiffeBundles`."""

    @property
    def fingerprint(self) -> bytes:
        """A digest of all roots of now."""
        ...

    def subjects(self) -> tuple[DistinguishedName, ...]:
        """The names of all roots of now, each once."""
        ...

    def roots_for(self, leaf: Certificate) -> RootCertStore:
        """The roots that a peer with this certificate is verified with; CertificateRejected when there are none."""
        ...


class HasCurrentKeys(Protocol):
    """Whatever has RawPublicKeys that may be others tomorrow, such as `Reloading`."""

    @property
    def current(self) -> RawPublicKeys: ...


KeysSource: TypeAlias = "RawPublicKeys | HasCurrentKeys"
Roots: TypeAlias = "RootsSource | BundleForLeaf | KeysSource | Sequence[RootsSource | KeysSource]"
"""Whom to trust: a RootCertStore, something with a `current` one (`Reloading`), several of these, or SpiffeBundles.

`RawPublicKeys` name keys instead of CAs; beside roots for certificates, what stands first is preferred.
"""


def names_raw_keys(roots: object) -> bool:
    """Whether there are RawPublicKeys among these. Few have any, so what they are is imported by who makes them."""
    module = sys.modules.get("trustls.trust.raw_keys")
    if module is None:
        return False
    several = isinstance(roots, Sequence) and not isinstance(roots, str | bytes)
    return any(map(module.holds_keys, cast("Sequence[object]", roots) if several else (roots,)))


class TrustedRoots:
    """One view of all that `Roots` may be, as it is now.

    Args:
        roots: whom to trust. Several stores count as one that has the roots of all of them.

    Raises:
        ConfigError: it is none of these, or there is no root in it.
    """

    __slots__ = ("_bundles", "_joined", "_sources")

    def __init__(self, roots: Roots) -> None:
        self._bundles: BundleForLeaf | None = None
        self._sources: tuple[RootsSource, ...] = ()
        self._joined: tuple[tuple[bytes, ...], RootCertStore] | None = None
        if isinstance(roots, RootCertStore) or _has(roots, "current"):
            self._sources = (cast("RootsSource", roots),)
        elif _has(roots, "roots_for"):
            self._bundles = cast("BundleForLeaf", roots)
        elif isinstance(roots, Sequence) and not isinstance(roots, str | bytes):
            self._sources = cast("tuple[RootsSource, ...]", tuple(roots))
        else:
            raise ConfigError(
                f"roots is a RootCertStore, not {type(roots).__name__}: see RootCertStore.from_pem, and Reloading and "
                "SpiffeBundles for what else there is"
            )
        if self._bundles is None and not (self._sources and all(_current(source) for source in self._sources)):
            raise ConfigError("there are no roots in `roots`: nobody could ever be accepted")

    def __repr__(self) -> str:
        return repr(self._bundles or (self._sources[0] if len(self._sources) == 1 else self._sources))

    @property
    def fingerprint(self) -> bytes:
        """A digest of all roots of now."""
        if self._bundles is not None:
            return self._bundles.fingerprint
        if len(self._sources) == 1:
            return _current(self._sources[0]).fingerprint
        return hashlib.sha256(b"".join(self._fingerprints())).digest()

    @property
    def is_system(self) -> bool:
        """Whether these are the roots of the system alone, which are those of the public web."""
        return self._bundles is None and all(_current(source).is_system for source in self._sources)

    def subjects(self) -> tuple[DistinguishedName, ...]:
        """The names of all roots of now, each once."""
        return self._bundles.subjects() if self._bundles is not None else self._store().subjects()

    def certificates(self) -> tuple[Certificate, ...] | None:
        """All roots of now; None where they depend on who the peer claims to be."""
        return tuple(self._store()) if self._bundles is None else None

    def roots_for(self, leaf: Certificate) -> RootCertStore:
        """The roots that a peer with this certificate is verified with.

        Raises:
            CertificateRejected: there are none for it.
        """
        return self._store() if self._bundles is None else self._bundles.roots_for(leaf)

    def _store(self) -> RootCertStore:
        if len(self._sources) == 1:
            return _current(self._sources[0])
        fingerprints = self._fingerprints()
        joined = self._joined
        if joined is None or joined[0] != fingerprints:
            store = RootCertStore()
            for source in self._sources:
                store |= _current(source)
            # Threads that come here together make the same one twice, and no harm.
            self._joined = joined = fingerprints, store
        return joined[1]

    def _fingerprints(self) -> tuple[bytes, ...]:
        return tuple([_current(source).fingerprint for source in self._sources])


def _has(roots: object, name: str) -> bool:
    """Whether there is an attribute of this name, without reading it: to ask for `current` may load a file."""
    return hasattr(type(roots), name) or name in getattr(roots, "__dict__", ())


def _current(source: RootsSource) -> RootCertStore:
    roots = source if isinstance(source, RootCertStore) else getattr(source, "current", source)
    if not isinstance(roots, RootCertStore):
        raise ConfigError(f"roots is a RootCertStore, not {type(roots).__name__}: see RootCertStore.from_pem")
    return roots
