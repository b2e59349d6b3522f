"""The certificates that tests over real sockets use, also as files for the commands of other implementations.

Servers are under one root. Clients are under two that servers trust, "K-Dot" (through an intermediate) and "The Roots"
(directly), or under "Other", which nobody trusts.
"""

from __future__ import annotations

import datetime
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

import trustls
from trustls.cli.pki import Authority, Issued, KeyType, Validity
from trustls.trust.hints import Hints

KEY_TYPES = (KeyType.EC_P256, KeyType.EC_P384, KeyType.EC_P521, KeyType.ED25519, KeyType.RSA_2048)
"""The kinds of key that every peer here can use in TLS 1.3."""

_DAY = datetime.timedelta(days=1)


@dataclass(frozen=True)
class Identity:
    """A certificate with its key: as files, and as trustls takes it."""

    issued: Issued
    chain_file: Path
    leaf_file: Path
    intermediates_file: Path | None
    key_file: Path
    credential: trustls.Credential

    @property
    def certificate(self) -> trustls.Certificate:
        return self.credential.certificate


class PKI:
    """Makes certificates when they are first asked for, and keeps them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._identities: dict[str, Identity] = {}
        self._server_root = Authority.create("Server Root", organization="Servers")
        self._server_issuing = self._server_root.intermediate("Server Issuing")
        self._kdot = Authority.create(
            "K-Dot Certificate Authority", country="US", state="California", locality="Compton", organization="TDE"
        )
        self._kdot_issuing = self._kdot.intermediate("K-Dot Issuing")
        self._roots = Authority.create(
            "The Roots Authority", country="US", state="Pennsylvania", locality="Philadelphia", organization="The Roots"
        )
        self._other = Authority.create("Other")

        self.server_root_file = self._write("server-root", self._server_root)
        self.kdot_file = self._write("kdot", self._kdot)
        self.roots_file = self._write("roots", self._roots)
        self.other_file = self._write("other", self._other)
        self.client_cas_file = self._write("client-cas", self._kdot, self._roots)

        self.server_roots = trustls.RootCertStore.from_pem(self.server_root_file)
        self.client_roots = trustls.RootCertStore.from_pem(self.client_cas_file)
        self.other_roots = trustls.RootCertStore.from_pem(self.other_file)
        self.kdot_name = _name(self._kdot)
        self.roots_name = _name(self._roots)
        self.other_name = _name(self._other)
        self.client_ca_names = (self.kdot_name, self.roots_name)

    # -- Servers ------------------------------------------------------------------------------------------------------

    @property
    def server(self) -> Identity:
        """For localhost and 127.0.0.1, through an intermediate."""
        return self.server_with(KeyType.EC_P256)

    def server_with(self, key_type: KeyType) -> Identity:
        """The same with another kind of key."""
        return self._identity(
            f"server-{key_type}",
            lambda: self._server_issuing.issue_server("localhost", "127.0.0.1", key_type=key_type),
        )

    def server_for(self, *names: str) -> Identity:
        """A server of other names."""
        return self._identity(f"server-for-{names[0]}", lambda: self._server_issuing.issue_server(*names))

    @property
    def expired_server(self) -> Identity:
        """Valid until yesterday."""
        now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
        validity = Validity(not_before=now - 9 * _DAY, not_after=now - _DAY)
        return self._identity(
            "expired-server", lambda: self._server_issuing.issue_server("localhost", "127.0.0.1", validity=validity)
        )

    @property
    def server_of_other(self) -> Identity:
        """Of the CA that nobody trusts."""
        return self._identity("server-of-other", lambda: self._other.issue_server("localhost", "127.0.0.1"))

    @property
    def server_with_client_usage(self) -> Identity:
        """Its extended key usage allows clients only."""
        usages = (ExtendedKeyUsageOID.CLIENT_AUTH,)
        return self._identity(
            "server-with-client-usage",
            lambda: self._server_issuing.issue_server("localhost", "127.0.0.1", usages=usages),
        )

    # -- Clients ------------------------------------------------------------------------------------------------------

    @property
    def alice(self) -> Identity:
        """Of K-Dot, through an intermediate."""
        return self._identity("alice", lambda: self._kdot_issuing.issue_client("alice", emails=["alice@example.com"]))

    @property
    def bob(self) -> Identity:
        """Of The Roots, directly."""
        return self._identity("bob", lambda: self._roots.issue_client("bob"))

    @property
    def mallory(self) -> Identity:
        """Of the CA that nobody trusts."""
        return self._identity("mallory", lambda: self._other.issue_client("mallory"))

    def client_with(self, key_type: KeyType) -> Identity:
        """A client of K-Dot with another kind of key."""
        return self._identity(
            f"client-{key_type}", lambda: self._kdot_issuing.issue_client(f"client-{key_type}", key_type=key_type)
        )

    # -- Authorities --------------------------------------------------------------------------------------------------

    @property
    def server_issuing(self) -> Authority:
        """The intermediate that issues the servers' certificates."""
        return self._server_issuing

    @property
    def client_issuing(self) -> Authority:
        """The intermediate of K-Dot."""
        return self._kdot_issuing

    @property
    def client_root(self) -> Authority:
        """K-Dot."""
        return self._kdot

    def identity(self, stem: str, issue: Callable[[], Issued]) -> Identity:
        """What `issue` gives, under a name of its own; the same when it is asked for again."""
        return self._identity(stem, issue)

    # -- Configurations -----------------------------------------------------------------------------------------------

    def required(self, *, hints: Hints | None = None) -> trustls.ClientAuth:
        """Clients of K-Dot and The Roots only."""
        return trustls.ClientAuth.required(self.client_roots, hints=hints)

    # -- Inside -------------------------------------------------------------------------------------------------------

    def _identity(self, stem: str, issue: Callable[[], Issued]) -> Identity:
        found = self._identities.get(stem)
        if found is None:
            issued = issue()
            chain_file, key_file = issued.write(self.folder, stem)
            leaf_file = self.folder / f"{stem}-leaf.pem"
            leaf_file.write_bytes(issued.certificate.public_bytes(Encoding.PEM))
            intermediates_file = None
            if issued.intermediates:
                intermediates_file = self.folder / f"{stem}-intermediates.pem"
                pem = b"".join(one.public_bytes(Encoding.PEM) for one in issued.intermediates)
                intermediates_file.write_bytes(pem)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", trustls.CredentialWarning)  # Some are out of date on purpose.
                credential = trustls.Credential(issued.chain, issued.key)
            found = self._identities[stem] = Identity(
                issued, chain_file, leaf_file, intermediates_file, key_file, credential
            )
        return found

    def _write(self, stem: str, *authorities: Authority) -> Path:
        path = self.folder / f"{stem}.pem"
        path.write_bytes(b"".join(one.certificate.public_bytes(Encoding.PEM) for one in authorities))
        return path


def _name(authority: Authority) -> trustls.DistinguishedName:
    return trustls.DistinguishedName(authority.certificate.subject.public_bytes())
