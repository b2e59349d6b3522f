"""ClientConfig and ServerConfig: frozen, checked when made, shared by any number of connections and threads."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from trustls.crypto.provider import DEFAULT_PROVIDER, CryptoProvider
from trustls.errors import ConfigError
from trustls.handshake.key_log import KeyLog
from trustls.handshake.parameters import ClientParameters, ServerParameters
from trustls.handshake.retry_cookie import RetryCookies
from trustls.identity.credential import Credential
from trustls.identity.selection import ChooseCredential, first_that_fits
from trustls.session.psk import ExternalPsk
from trustls.session.store import ClientSessionStore, MemoryClientSessions
from trustls.session.tickets import Resumption, Tickets
from trustls.trust.client_auth import ClientAuth
from trustls.trust.roots import RootCertStore
from trustls.trust.verifiers import RootsServerVerifier, ServerVerifier
from trustls.wire.enums import ProtocolVersion

_MAX_PSKS = 8
_VERSIONS = {"1.3": ProtocolVersion.TLS1_3, "1.2": ProtocolVersion.TLS1_2}


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientConfig:
    """How a client connects. It must be told whom to trust: there is no default.

    Args:
        roots: the CAs that server certificates may lead to; `RootCertStore.system()` for the public web.
        verifier: decides about server certificates instead of `roots`.
        credentials: the client certificates to choose from, preferred first. The first that fits what the server asks
            for is presented (CA names and signature schemes); where none fits, none is.
        choose_credential: decides instead, plain or async: called with `request` and `credentials`, gives one or None.
        alpn: application protocols, preferred first: `["h2", "http/1.1"]`.
        versions: TLS versions allowed, of "1.2" and "1.3"; both by default.
        suites, groups, signature_schemes: restrict what is offered, by IANA name and in this order. A version without a
            suite left is not offered.
        sessions: where sessions are kept to be resumed; None to resume none. A store may be shared between
            configurations: a session is only resumed under the trust and the credentials that it was made with.
        external_psks: keys that both sides were given beforehand (TLS 1.3 only).
        request_ocsp: whether to ask servers for a stapled OCSP response, for a `verifier` of your own: the one over
            `roots` does not look at it yet.
        early_data: whether `write_early` may send data before the server has answered. It can be replayed.
        require_extended_master_secret: whether a TLS 1.2 server must bind its sessions to their handshake (RFC 7627).
        send_server_name: whether the server's name goes into the ClientHello (RFC 6066 3).
        pad_records_to: pad application data to a multiple of this many bytes, up to 2^14 (RFC 9846 5.4); 0 for no
            padding.
        key_log: takes the secrets of every connection, for debugging (`KeyLogFile`).
        provider: the cryptography to use.
        now: the time, in seconds since 1970.

    Raises:
        ConfigError: the parts do not go together, or a name is not known.
    """

    roots: RootCertStore | None = None
    verifier: ServerVerifier | None = None
    credentials: Iterable[Credential] = ()
    choose_credential: ChooseCredential | None = None
    alpn: Iterable[str] = ()
    versions: Iterable[str] | None = None
    suites: Iterable[str] | None = None
    groups: Iterable[str] | None = None
    signature_schemes: Iterable[str] | None = None
    sessions: ClientSessionStore | None = field(default_factory=MemoryClientSessions)
    external_psks: Iterable[ExternalPsk] = ()
    request_ocsp: bool = False
    early_data: bool = False
    require_extended_master_secret: bool = True
    send_server_name: bool = True
    pad_records_to: int = 0
    key_log: KeyLog | None = None
    provider: CryptoProvider = DEFAULT_PROVIDER
    now: Callable[[], float] = time.time
    parameters: ClientParameters = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if (self.roots is None) == (self.verifier is None):
            raise ConfigError("give a client `roots` to trust, or a `verifier`: one of the two")
        if self.roots is not None and not len(self.roots):
            raise ConfigError("`roots` is empty: no server could ever be accepted")
        _freeze(self)
        credentials = _credentials(self.credentials)
        if self.choose_credential is not None and not credentials:
            raise ConfigError("`choose_credential` has nothing to choose from: give `credentials`")
        _check_padding(self.pad_records_to)
        provider = _restricted(self.provider, self.suites, self.groups, self.signature_schemes)
        versions = _allowed_versions(self.versions, provider)
        speaks_tls12 = ProtocolVersion.TLS1_2 in versions
        speaks_tls13 = ProtocolVersion.TLS1_3 in versions
        object.__setattr__(self, "credentials", credentials)
        parameters = ClientParameters(
            provider=provider,
            versions=versions,
            cipher_suites=(
                *(item.suite for item in provider.suites if speaks_tls13),
                *(item.suite for item in provider.suites12 if speaks_tls12),
            ),
            groups=provider.groups if speaks_tls13 else provider.ecdhe_groups,
            require_extended_master_secret=self.require_extended_master_secret,
            verifier=self.verifier if self.roots is None else RootsServerVerifier(self.roots),  # type: ignore[arg-type]
            credentials=credentials,
            choose_credential=self.choose_credential or first_that_fits,
            alpn=_alpn_names(self.alpn),
            send_server_name=self.send_server_name,
            sessions=self.sessions,
            external_psks=tuple(self.external_psks),
            early_data=self.early_data,
            request_ocsp=self.request_ocsp,
            key_log=self.key_log,
            now=self.now,
        )
        object.__setattr__(self, "parameters", parameters)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerConfig:
    """How a server answers.

    Args:
        credentials: the server's certificates, at least one. The first whose names match the server name asked for, and
            whose key signs with a scheme that the client takes, is presented; without a match the first that can sign.
        client_auth: whether clients must present a certificate, and from whom:
            `ClientAuth.required(roots)`, `.optional(roots)`, `.none()`.
        alpn: application protocols, preferred first; a client that offers only others is refused (RFC 7301 3.2).
        versions: TLS versions allowed, of "1.2" and "1.3"; both by default.
        resumption: how sessions are resumed: `Tickets()`, `StoredSessions()`, or None for not at all. Clients resume
            under the `client_auth` that verified them, and are verified anew.
        external_psks: keys that both sides were given beforehand (TLS 1.3 only). A client that holds one is let in by
            it, without a certificate, whatever `client_auth` says.
        require_extended_master_secret: whether a TLS 1.2 client must bind its sessions to their handshake (RFC 7627).
        suites, groups, signature_schemes: restrict what is accepted, by IANA name. Among suites the client's order
            decides, among groups this one.
        retry_cookies: puts a cookie into each HelloRetryRequest and demands it back (RFC 9846 4.3.2).
        pad_records_to, key_log, provider, now: as in ClientConfig.

    Raises:
        ConfigError: the parts do not go together, or a name is not known.
    """

    credentials: Iterable[Credential]
    client_auth: ClientAuth = field(default_factory=ClientAuth.none)
    alpn: Iterable[str] = ()
    versions: Iterable[str] | None = None
    suites: Iterable[str] | None = None
    groups: Iterable[str] | None = None
    signature_schemes: Iterable[str] | None = None
    resumption: Resumption | None = field(default_factory=Tickets)
    external_psks: Iterable[ExternalPsk] = ()
    require_extended_master_secret: bool = True
    retry_cookies: RetryCookies | None = None
    pad_records_to: int = 0
    key_log: KeyLog | None = None
    provider: CryptoProvider = DEFAULT_PROVIDER
    now: Callable[[], float] = time.time
    parameters: ServerParameters = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _freeze(self)
        credentials = _credentials(self.credentials)
        if not credentials:
            raise ConfigError("a server needs at least one credential")
        if not isinstance(self.client_auth, ClientAuth):
            raise ConfigError("`client_auth` takes ClientAuth.required(roots), .optional(roots) or .none()")
        _check_padding(self.pad_records_to)
        provider = _restricted(self.provider, self.suites, self.groups, self.signature_schemes)
        object.__setattr__(self, "credentials", credentials)
        parameters = ServerParameters(
            provider=provider,
            versions=_allowed_versions(self.versions, provider),
            require_extended_master_secret=self.require_extended_master_secret,
            credentials=credentials,
            client_auth=self.client_auth,
            alpn=_alpn_names(self.alpn),
            resumption=self.resumption,
            external_psks=tuple(self.external_psks),
            retry_cookies=self.retry_cookies,
            key_log=self.key_log,
            now=self.now,
        )
        object.__setattr__(self, "parameters", parameters)


def _allowed_versions(names: Iterable[str] | None, provider: CryptoProvider) -> tuple[ProtocolVersion, ...]:
    """The versions named that the suites and groups left can serve, newest first."""
    named = _names("versions", names)
    unknown = [name for name in named or () if name not in _VERSIONS]
    if unknown or named == ():
        raise ConfigError(f"versions={list(named or ())} cannot be done; there are: {', '.join(_VERSIONS)}")
    can = {
        ProtocolVersion.TLS1_3: bool(provider.suites),
        ProtocolVersion.TLS1_2: bool(provider.suites12 and provider.ecdhe_groups),
    }
    allowed = tuple([v for name, v in _VERSIONS.items() if (named is None or name in named) and can[v]])
    missing = [name for name in named or () if _VERSIONS[name] not in allowed]
    if missing or not allowed:
        what = " and ".join(missing) or "any version"
        raise ConfigError(f"the suites and groups left cannot serve TLS {what}")
    return allowed


def _psks(psks: Iterable[ExternalPsk]) -> tuple[ExternalPsk, ...]:
    found = tuple(psks)
    if len(found) > _MAX_PSKS:
        raise ConfigError(f"{len(found)} external PSKs are more than the {_MAX_PSKS} that are offered")
    return found


def _check_padding(multiple: int) -> None:
    if not 0 <= multiple <= 1 << 14:
        raise ConfigError(f"pad_records_to={multiple} is outside 0 to 16384")


def _freeze(config: ClientConfig | ServerConfig) -> None:
    """Hold lists of names as tuples: what the caller does to his list later changes nothing here."""
    for name in ("alpn", "versions", "suites", "groups", "signature_schemes"):
        object.__setattr__(config, name, _names(name, getattr(config, name)))
    object.__setattr__(config, "external_psks", _psks(config.external_psks))


def _credentials(credentials: Iterable[Credential]) -> tuple[Credential, ...]:
    found = () if isinstance(credentials, str | bytes) else tuple(credentials)
    if isinstance(credentials, str | bytes) or not all(isinstance(item, Credential) for item in found):
        raise ConfigError("`credentials` takes a list of Credential: see Credential.from_pem")
    return found


def _names(what: str, names: Iterable[str] | None) -> tuple[str, ...] | None:
    if isinstance(names, str | bytes):
        raise ConfigError(f"`{what}` takes a list of names, not one string")
    return None if names is None else tuple(names)


def _restricted(
    provider: CryptoProvider,
    suites: Iterable[str] | None,
    groups: Iterable[str] | None,
    signature_schemes: Iterable[str] | None,
) -> CryptoProvider:
    return provider.restricted(
        suites=_names("suites", suites),
        groups=_names("groups", groups),
        signature_schemes=_names("signature_schemes", signature_schemes),
    )


def _alpn_names(names: Iterable[str]) -> tuple[bytes, ...]:
    encoded = []
    for name in _names("alpn", names) or ():
        try:
            protocol = name.encode("latin-1")
        except UnicodeEncodeError:
            raise ConfigError(f"the ALPN protocol {name!r} is not made of bytes") from None
        if not 1 <= len(protocol) <= 255:
            raise ConfigError(f"the ALPN protocol {name!r} is not 1 to 255 bytes long")
        encoded.append(protocol)
    if sum(map(len, encoded)) + len(encoded) > 0xFFFF:
        raise ConfigError("the ALPN protocols together are longer than 65535 bytes")
    return tuple(dict.fromkeys(encoded))
