"""RootCertStore: the CAs that are trusted, found by the bytes of their name.

A root is a trust anchor (RFC 5280 6.1.1 (d)): it is believed because it is here, so its own signature is not checked.
"""

from __future__ import annotations

import contextlib
import hashlib
import operator
import os
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from cryptography import x509

from trustls.errors import CertificateRejected, ConfigError
from trustls.trust.cache import BoundedCache
from trustls.trust.certificate import Certificate
from trustls.trust.pem import PEMSource, no_certificate, pem_blocks, pem_origin
from trustls.values import dataclass
from trustls.wire.names import DistinguishedName

if TYPE_CHECKING:
    from pathlib import Path

    from trustls.reloading import Reloading

CertificateSource: TypeAlias = Certificate | x509.Certificate | bytes


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A certificate that was given to a store and is not in it."""

    subject: str
    reason: str

    def __str__(self) -> str:
        return f"{self.subject}: {self.reason}"


@dataclass(frozen=True, slots=True)
class RootReport:
    """What became of the certificates given to a store.

    Attributes:
        added: how many are in the store.
        left_out: those that are not, and why (duplicate, unreadable, no CA).
        warnings: those that are in the store, but of no use at the time they were added (expired).
    """

    added: int = 0
    left_out: tuple[LeftOut, ...] = ()
    warnings: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [f"{self.added} added, {len(self.left_out)} left out"]
        lines += [f"left out {one}" for one in self.left_out]
        lines += [f"warning: {one}" for one in self.warnings]
        return "\n".join(lines)


class VerifiedPath(NamedTuple):
    """A path that `verify_path` has verified with the roots of one state, and what else that depended on.

    Attributes:
        path: from the leaf to the root, both included.
        not_before: the first second at which all of it is valid.
        not_after: the last one.
        limits: the `PathLimits` that it was found within.
    """

    path: tuple[Certificate, ...]
    not_before: int
    not_after: int
    limits: object


VerifiedPaths: TypeAlias = BoundedCache[tuple[object, ...], VerifiedPath]
"""What was verified with one state of a store: by purpose, profile and all certificates that the peer sent."""


def _no_paths() -> VerifiedPaths:
    return BoundedCache(entries=1024, weight=1 << 22)


class _State(NamedTuple):
    certificates: tuple[Certificate, ...]
    by_subject: dict[bytes, tuple[Certificate, ...]]
    report: RootReport
    paths: VerifiedPaths


class RootCertStore:
    """The CAs that are trusted.

    Safe to share between threads. A store can grow at any time: a verification that is under way sees it as it was
    before or as it is after, never in between. Iteration and `subjects` keep the order in which roots were added.

    Args:
        certificates: the roots to begin with; raises as `add` does.

    >>> len(RootCertStore())
    0
    """

    __slots__ = ("_fingerprint", "_lock", "_state", "is_system")

    is_system: bool
    """Whether these are the roots that the system trusts (`system`), with nothing added."""

    def __init__(self, certificates: Iterable[CertificateSource] = ()) -> None:
        self._lock = threading.Lock()
        self.is_system = False
        self._state = _State((), {}, RootReport(), _no_paths())
        self._fingerprint = (self._state, hashlib.sha256().digest())
        for certificate in certificates:
            self.add(certificate)

    @classmethod
    def from_pem(cls, source: PEMSource) -> RootCertStore:
        """A store of the CA certificates in a PEM file: its text, or the path of one. See `add_pem`."""
        store = cls()
        store.add_pem(source)
        return store

    @classmethod
    def from_der(cls, *certificates: bytes) -> RootCertStore:
        """A store of these certificates, each one DER; raises as `add` does."""
        return cls(certificates)

    @classmethod
    def reloading(
        cls, *paths: str | os.PathLike[str], overlap: float = 0.0, interval: float = 5.0
    ) -> Reloading[RootCertStore]:
        """A store of the CA certificates in these PEM files that follows them: see `Reloading.from_files`.

        Args:
            paths: the files, all of which must be readable and hold a CA.
            overlap: seconds for which roots that are in the files no longer are trusted all the same, while peers move
                over to the new ones.
            interval: seconds after which the files are looked at even if nothing was heard of them.

        Raises:
            ConfigError, OSError: as `add_pem`, and when a certificate is cut off, as in a file that is being written.
                Later, such files leave the store as it is, and are logged.
        """
        from pathlib import Path

        from trustls.reloading import Reloading

        files = [Path(path).absolute() for path in paths]  # Whatever the working folder is later.

        def load() -> RootCertStore:
            store = cls()
            for file in files:
                damaged = [one for one in store.add_pem(os.fspath(file)).left_out if one.reason == _DAMAGED]
                if damaged:
                    raise ConfigError(f"{file} is damaged, or not written to its end: {damaged[0]}")
            return store

        return Reloading.from_files(
            load, *files, interval=interval, key=lambda store: store.fingerprint, combine=operator.or_, overlap=overlap
        )

    @classmethod
    def system(cls) -> RootCertStore:
        """The CAs that this system trusts: its PEM bundle, or SSL_CERT_FILE and SSL_CERT_DIR when they are set.

        Raises:
            ConfigError: there is none, or this system keeps its roots elsewhere (Windows, macOS).
        """
        store = cls()
        store._add_system_roots()
        store.is_system = True
        return store

    def add(self, certificate: CertificateSource) -> None:
        """Trust one more CA: a Certificate, a cryptography certificate, or DER. One that is there already is left out.

        Raises:
            ConfigError: it is not a CA, or no well-formed certificate.
        """
        if isinstance(certificate, x509.Certificate):
            certificate = Certificate.from_x509(certificate)
        elif not isinstance(certificate, Certificate):
            if not isinstance(certificate, (bytes, bytearray, memoryview)):
                raise ConfigError(f"a root is a certificate or DER bytes, not {type(certificate).__name__}")
            if bytes(certificate[:11]) == b"-----BEGIN ":
                raise ConfigError("these bytes are PEM: use add_pem")
            try:
                certificate = Certificate.from_der(bytes(certificate))
            except CertificateRejected as error:
                raise ConfigError(f"a root cannot be parsed: {error.detail}") from None
        reason = _not_a_root(certificate)
        if reason:
            raise ConfigError(f"{certificate.title} cannot be a root: {reason}")
        self._grow([certificate], [])

    def add_pem(self, source: PEMSource) -> RootReport:
        """Trust every CA in a PEM file, and say what became of each certificate in it.

        A certificate that cannot be read, is no CA, or is in the store already is left out; `report` has it too.

        Args:
            source: PEM text as bytes or str, or the path of a file of it.

        Raises:
            ConfigError: there is no certificate in it, or none that can be a root.
            OSError: the file cannot be read.
        """
        good, left_out = _sorted_out(source)
        if not good:
            if not left_out:
                raise no_certificate(source)
            raise ConfigError(f"no certificate in {pem_origin(source)} can be a root: {left_out[0]}")
        return self._grow(good, left_out)

    @property
    def report(self) -> RootReport:
        """What became of all certificates given to this store."""
        return self._state.report

    @property
    def fingerprint(self) -> bytes:
        """A SHA-256 hash over the roots in their order: two stores of the same roots have the same."""
        state, fingerprint = self._fingerprint
        if state is not self._state:
            state = self._state
            fingerprint = hashlib.sha256(b"".join([root.sha256 for root in state.certificates])).digest()
            self._fingerprint = (state, fingerprint)
        return fingerprint

    @property
    def verified_paths(self) -> VerifiedPaths:
        """What `verify_path` has verified with exactly these roots. Another object, and empty, once they change."""
        return self._state.paths

    def subjects(self) -> tuple[DistinguishedName, ...]:
        """The names of the roots in store order, each once."""
        return tuple(roots[0].subject for roots in self._state.by_subject.values())

    def named(self, subject: DistinguishedName) -> tuple[Certificate, ...]:
        """The roots with exactly this name."""
        return self._state.by_subject.get(subject.der, ())

    def __len__(self) -> int:
        return len(self._state.certificates)

    def __iter__(self) -> Iterator[Certificate]:
        return iter(self._state.certificates)

    def __contains__(self, certificate: object) -> bool:
        return isinstance(certificate, Certificate) and certificate in self.named(certificate.subject)

    def __repr__(self) -> str:
        return f"<RootCertStore of {len(self)}>"

    def __or__(self, other: RootCertStore) -> RootCertStore:
        """A new store with the roots of both: the old bundle and the new, while one takes the place of the other."""
        if not isinstance(other, RootCertStore):
            return NotImplemented
        both = self.__copy__()
        both._grow([root for root in other if root not in self], [])
        both.is_system = self.is_system and other.is_system
        return both

    def __copy__(self) -> RootCertStore:
        copy = type(self)()
        copy._state = self._state
        copy.is_system = self.is_system
        return copy

    def __deepcopy__(self, memo: object) -> RootCertStore:
        return self.__copy__()

    def __reduce__(self) -> tuple[type[RootCertStore], tuple[tuple[Certificate, ...]]]:
        return type(self), (self._state.certificates,)

    def _add_system_roots(self) -> None:
        from pathlib import Path

        file, directories = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
        if file or directories:
            named = [Path(file)] if file else []
            self._add_files([*named, *_files_in((directories or "").split(os.pathsep))])
            if not self:
                raise ConfigError(f"no CA certificate found in SSL_CERT_FILE={file} and SSL_CERT_DIR={directories}")
            return
        if sys.platform in ("win32", "darwin", "ios"):
            raise ConfigError(
                "the roots of this system are not in a file: set SSL_CERT_FILE to a PEM bundle, or pass one to "
                "RootCertStore.from_pem, such as certifi.where()"
            )
        for path in _BUNDLES:
            if Path(path).is_file():
                self.add_pem(path)
                return
        self._add_files(_files_in(_DIRECTORIES))
        if self:
            return
        raise ConfigError(
            f"no root certificates found in {', '.join(_BUNDLES)}: install ca-certificates or set SSL_CERT_FILE"
        )

    def _add_files(self, files: Iterable[Path]) -> None:
        """Add what can be read of the system's files, in which the same root stands again and again, at one stroke."""
        good: dict[Certificate, None] = {}
        left_out: list[LeftOut] = []
        for file in dict.fromkeys(file.resolve() for file in files):
            with contextlib.suppress(OSError):
                found, unfit = _sorted_out(file)
                good.update(dict.fromkeys(found))
                left_out += unfit
        self._grow(list(good), left_out)

    def _grow(self, certificates: list[Certificate], left_out: list[LeftOut]) -> RootReport:
        now = time.time()
        with self._lock:
            # Readers take `_state` once, without the lock: the old state stays as it is, the new one replaces it whole.
            state = self._state
            all_certificates = list(state.certificates)
            by_subject = dict(state.by_subject)
            warnings = []
            for certificate in certificates:
                named = by_subject.get(certificate.subject.der, ())
                if certificate in named:
                    left_out.append(LeftOut(certificate.title, "it is in the store already"))
                    continue
                if certificate.not_after < now:
                    warnings.append(f"{certificate.title} expired on {certificate.not_after_utc:%Y-%m-%d}")
                by_subject[certificate.subject.der] = (*named, certificate)
                all_certificates.append(certificate)
            added = len(all_certificates) - len(state.certificates)
            report = RootReport(added, tuple(left_out), tuple(warnings))
            self.is_system = self.is_system and not added
            total = RootReport(
                state.report.added + added,
                state.report.left_out + report.left_out,
                state.report.warnings + report.warnings,
            )
            self._state = _State(tuple(all_certificates), by_subject, total, _no_paths())
        return report


def _files_in(directories: Iterable[str]) -> Iterator[Path]:
    from pathlib import Path

    for directory in directories:
        if directory:
            with contextlib.suppress(OSError):
                yield from (file for file in sorted(Path(directory).iterdir()) if file.is_file())


def _sorted_out(source: PEMSource) -> tuple[list[Certificate], list[LeftOut]]:
    """The certificates of a PEM file that can be roots, and the others."""
    good: list[Certificate] = []
    left_out: list[LeftOut] = []
    for number, block in enumerate(pem_blocks(source), 1):
        if block is None:
            left_out.append(LeftOut(f"certificate {number}", _DAMAGED))
            continue
        try:
            certificate = Certificate.from_der(block)
        except CertificateRejected as error:
            left_out.append(LeftOut(f"certificate {number}", error.detail))
            continue
        reason = _not_a_root(certificate)
        if reason:
            left_out.append(LeftOut(certificate.title, reason))
        else:
            good.append(certificate)
    return good, left_out


def _not_a_root(certificate: Certificate) -> str:
    try:
        if certificate.version != 3:
            return f"it is of version {certificate.version}, which cannot say that it is a CA"
        if not certificate.is_ca:
            return "it is not a CA certificate (its basicConstraints do not say CA:TRUE)"
        if not certificate.subject:
            return "it has no name"
    except CertificateRejected as error:
        return error.detail
    return ""


_DAMAGED = "it is cut off, or no base64"
_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/usr/local/etc/ssl/cert.pem",
    "/usr/local/share/certs/ca-root-nss.crt",
)
_DIRECTORIES = ("/etc/ssl/certs", "/etc/pki/tls/certs", "/usr/local/etc/ssl/certs", "/system/etc/security/cacerts")
