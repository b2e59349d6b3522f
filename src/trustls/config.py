"""ClientConfig and ServerConfig: frozen, checked when made, shared by any number of connections and threads."""

from __future__ import annotations

import importlib
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import field, fields
from typing import TYPE_CHECKING, TypeAlias

from trustls.crypto.provider import DEFAULT_PROVIDER, CryptoProvider
from trustls.errors import ConfigError, Incompatibility, PeerIncompatible
from trustls.handshake.parameters import ClientParameters, ServerParameters
from trustls.handshake.record_sizes import MAX_RECORD_SIZE_LIMIT, MIN_RECORD_SIZE_LIMIT, own_limit
from trustls.identity.selection import ChooseCredential, ChooseServerCredential, CredentialSource, current_credentials
from trustls.protocol.record import MAX_PLAINTEXT
from trustls.session.store import ClientSessionStore, GroupMemory, MemoryClientSessions
from trustls.session.tickets import Resumption, Tickets
from trustls.trust.client_auth import ClientAuth
from trustls.trust.hints import Hints, authorities, encoded_size
from trustls.trust.names import ServerName
from trustls.trust.profile import Profile
from trustls.trust.sources import Roots, names_raw_keys
from trustls.trust.verifiers import OcspPolicy, RootsServerVerifier, ServerVerifier
from trustls.values import dataclass
from trustls.wire.enums import CertificateType, ProtocolVersion
from trustls.wire.names import DistinguishedName, shown

if TYPE_CHECKING:
    from trustls.handshake.client_hello_info import ClientHelloInfo
    from trustls.handshake.compression import Compression
    from trustls.handshake.key_log import KeyLog
    from trustls.handshake.retry_cookie import RetryCookies
    from trustls.protocol.certificate_compression import CertificateCompression
    from trustls.session.psk import ExternalPsk
    from trustls.stdlib import SSLContext
    from trustls.trust.authorize import Authorize
    from trustls.trust.revocation import RevocationLists

_MAX_PSKS = 8
_MAX_HELLO_LISTS = 0x6000
_VERSIONS = {"1.3": ProtocolVersion.TLS1_3, "1.2": ProtocolVersion.TLS1_2}


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ClientConfig:
    """How a client connects. It must be told whom to trust: there is no default.

    Args:
        roots: the CAs that server certificates may lead to: `RootCertStore.system()` for the public web, a store of
            one's own, something that reloads one (`RootCertStore.reloading`), several of these, or `SpiffeBundles`.
            `RawPublicKeys` trust servers by their keys, without certificates or names (RFC 7250); with roots beside
            them, what stands first is preferred.
        profile: whose rules for the form of certificates apply: "webpki" (the default where `roots` are the system's)
            or "private" (the default for other roots).
        crls: certificate revocation lists: a `CrlStore`, something that reloads one, or a `Revocation`, which says what
            they decide.
        ocsp: what is made of stapled OCSP responses: "stapled" asks for one and checks what comes, and refuses a
            certificate that demands one and comes without (must-staple); "required" refuses every server without a good
            one; "off" does not ask.
        authorize: what else must be true of the server, such as `Authorize.spiffe_id("spiffe://example.org/db")`.
        check_name: whether the certificate must be for the name asked for. Without that, `authorize` decides alone who
            the server must be, as SPIFFE has it.
        verifier: decides about server certificates instead of `roots` and all the above; `ocsp` then only says whether
            to ask for a response to hand to it.
        credentials: the client certificates to choose from, preferred first: each a Credential, or something that
            reloads one (`Credential.reloading`). The first that fits what the server asks for is presented (CA names
            and signature schemes); where none fits, none is.
        choose_credential: decides instead, plain or async: called with `request` and `credentials`, gives one or None.
            It is asked again before a session is resumed, which is done with the same answer only.
        alpn: application protocols, preferred first: `["h2", "http/1.1"]`.
        versions: TLS versions allowed, of "1.2" and "1.3"; both by default.
        suites, groups, signature_schemes: restrict what is offered, by IANA name and in this order. A version without a
            suite left is not offered.
        key_shares: of which of these groups the ClientHello has a key share (TLS 1.3 only): a server that takes one of
            them saves a round trip. By default of the preferred group, if that is a hybrid of the group of its ECDHE
            half too, and of what the server asked for the last time. `()` leaves the choice to the server, at the price
            of a HelloRetryRequest.
        sessions: where sessions are kept to be resumed, and the groups that servers ask for; None to resume none. A
            store may be shared between configurations: a session is only resumed under the trust and the credentials
            that it was made with.
        external_psks: keys that both sides were given beforehand (TLS 1.3 only).
        certificate_authorities: the CA names to send to servers, so that one with several certificates can choose
            (RFC 9846 4.3.4), in any form that `trust.hints.authorities` takes. None are sent unless asked for: some
            servers refuse the extension.
        post_handshake_auth: whether servers may ask for a client certificate after the handshake (TLS 1.3 only).
        early_data: whether `write_early` may send data before the server has answered. It can be replayed.
        require_extended_master_secret: whether a TLS 1.2 server must bind its sessions to their handshake (RFC 7627).
        send_server_name: whether the server's name goes into the ClientHello (RFC 6066 3).
        pad_records_to: pad application data to a multiple of this many bytes, up to 2^14 (RFC 9846 5.4); 0 for no
            padding.
        max_fragment_size: how many bytes of content, padding included, go into a record: 64 to 2^14. The peer may ask
            for less (`ConnectionInfo.record_size_limit`), and gets it.
        record_size_limit: asks the server for records of at most this many bytes of content, 64 to 2^14 + 1 (RFC 8449):
            in TLS 1.3 with the byte of their type and their padding. Many servers do not know it, and go on with
            2^14; GnuTLS refuses less than 512. None asks for nothing.
        certificate_compression: algorithms for Certificate messages of TLS 1.3 (RFC 8879), preferred first: "zlib",
            "brotli" (extra `brotli`), or a `CertificateCompression` of one's own. The server is told of
            them, and this side's certificate is compressed for a server that asks for one and has one of them. None
            by default: what is decompressed comes from somebody who is not authenticated yet.
        key_log: takes the secrets of every connection, for debugging (`KeyLogFile`).
        provider: the cryptography to use.
        now: the time, in seconds since 1970.

    Raises:
        ConfigError: the parts do not go together, or a name is not known.
    """

    roots: Roots | None = None
    profile: str | Profile | None = None
    crls: RevocationLists | None = None
    ocsp: str | OcspPolicy = OcspPolicy.STAPLED
    authorize: Authorize | None = None
    check_name: bool = True
    verifier: ServerVerifier | None = None
    credentials: Iterable[CredentialSource] = ()
    choose_credential: ChooseCredential | None = None
    alpn: Iterable[str] = ()
    versions: Iterable[str] | None = None
    suites: Iterable[str] | None = None
    groups: Iterable[str] | None = None
    signature_schemes: Iterable[str] | None = None
    key_shares: Iterable[str] | None = None
    sessions: ClientSessionStore | None = field(default_factory=MemoryClientSessions)
    external_psks: Iterable[ExternalPsk] = ()
    certificate_authorities: Hints | None = None
    post_handshake_auth: bool = False
    early_data: bool = False
    require_extended_master_secret: bool = True
    send_server_name: bool = True
    pad_records_to: int = 0
    max_fragment_size: int = MAX_PLAINTEXT
    record_size_limit: int | None = None
    certificate_compression: Iterable[str | CertificateCompression] = ()
    key_log: KeyLog | None = None
    provider: CryptoProvider = DEFAULT_PROVIDER
    now: Callable[[], float] = time.time
    parameters: ClientParameters = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if (self.roots is None) == (self.verifier is None):
            raise ConfigError("give a client `roots` to trust, or a `verifier`: one of the two")
        verifier = self._own_verifier()
        _freeze(self)
        object.__setattr__(self, "key_shares", _names("key_shares", self.key_shares))
        credentials = _credentials(self.credentials)
        if self.choose_credential is not None and not credentials:
            raise ConfigError("`choose_credential` has nothing to choose from: give `credentials`")
        _check_record_sizes(self)
        provider = _restricted(self.provider, self.suites, self.groups, self.signature_schemes)
        versions = _allowed_versions(self.versions, provider)
        speaks_tls12 = ProtocolVersion.TLS1_2 in versions
        speaks_tls13 = ProtocolVersion.TLS1_3 in versions
        if self.key_shares is not None and not speaks_tls13:
            raise ConfigError("`key_shares` are for TLS 1.3, which this client does not speak")
        object.__setattr__(self, "credentials", credentials)
        types = None
        if _has_raw_keys(credentials, verifier):
            from trustls.handshake.certificate_types import client_types

            types = client_types(
                current_credentials(credentials),
                verifier,
                post_handshake_auth=self.post_handshake_auth,
                names_authorities=self.certificate_authorities is not None,
            )
        parameters = ClientParameters(
            provider=provider,
            versions=versions,
            cipher_suites=(
                *(item.suite for item in provider.suites if speaks_tls13),
                *(item.suite for item in provider.suites12 if speaks_tls12),
            ),
            supported_groups=tuple(
                [item.group for item in (provider.groups if speaks_tls13 else provider.ecdhe_groups)]
            ),
            key_shares=provider.key_shares(_names("key_shares", self.key_shares)) if speaks_tls13 else (),
            group_memory=self.sessions if self.key_shares is None and isinstance(self.sessions, GroupMemory) else None,
            require_extended_master_secret=self.require_extended_master_secret,
            verifier=verifier,
            credentials=credentials,
            choose_credential=self.choose_credential,
            alpn=_alpn_names(self.alpn),
            send_server_name=self.send_server_name,
            sessions=self.sessions,
            external_psks=tuple(self.external_psks),
            early_data=self.early_data,
            request_ocsp=OcspPolicy.named(self.ocsp) is not OcspPolicy.OFF
            and (types is None or CertificateType.X509 in types.taken),
            certificate_authorities=_authorities(self),
            certificate_types=types,
            post_handshake_auth=self.post_handshake_auth,
            record_size_limit=self.record_size_limit and own_limit(self.record_size_limit, versions[0]),
            compression=_compression(self),
            key_log=self.key_log,
            now=self.now,
        )
        _check_hello(self, parameters)
        object.__setattr__(self, "parameters", parameters)

    def ssl_context(self) -> SSLContext:
        """This configuration as an `ssl.SSLContext`, for whatever takes one: see `trustls.stdlib`."""
        return _ssl_context(self)

    def __repr__(self) -> str:
        return _told(self)

    def _own_verifier(self) -> ServerVerifier:
        if self.verifier is not None:
            given = {
                "profile": self.profile is not None,
                "crls": self.crls is not None,
                "authorize": self.authorize is not None,
                "check_name": not self.check_name,
            }
            ignored = [f"`{name}`" for name, is_given in given.items() if is_given]
            if ignored:
                raise ConfigError(f"{', '.join(ignored)} would have no effect beside a `verifier`: it decides alone")
            return self.verifier
        assert self.roots is not None  # noqa: S101 (one of the two is given)
        if names_raw_keys(self.roots):
            from trustls.trust.raw_verifiers import raw_server_verifier

            return raw_server_verifier(
                self.roots,
                profile=self.profile,
                crls=self.crls,
                ocsp=self.ocsp,
                authorize=self.authorize,
                check_name=self.check_name,
            )
        return RootsServerVerifier(
            self.roots,
            profile=self.profile,
            crls=self.crls,
            ocsp=self.ocsp,
            authorize=self.authorize,
            check_name=self.check_name,
        )


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ServerConfig:
    """How a server answers.

    Args:
        credentials: the server's certificates, at least one unless there are `external_psks`: each a Credential, or
            something that reloads one (`Credential.reloading`). The first whose names match the server name asked for,
            and whose key signs with a scheme that the client takes, is presented; without a match the first that can
            sign.
        choose_credential: decides instead, plain or async: called with an `OfferedHello` and the `credentials` of now,
            gives one, or None to leave the choice to the above.
        client_auth: whether clients must present a certificate, and from whom:
            `ClientAuth.required(roots)`, `.optional(roots)`, `.report(roots)`, `.none()`.
        choose_config: gives another ServerConfig for a client, by its whole ClientHello, or None for this one: plain or
            async, called with a `ClientHelloInfo`. All that follows is decided by the chosen one, whether a client
            certificate is required included; its own `choose_config` is not asked. `ServerNames` chooses by host name.
        post_handshake_auth: what `request_client_certificate` asks for after the handshake (TLS 1.3 only); None when it
            is not to be called.
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
        record_size_limit: the same of clients, in answer to those that say theirs; None says the most there is. Theirs
            is kept to in either case.
        certificate_compression: as in ClientConfig: clients are told of the algorithms when they are asked for a
            certificate, and this server's is compressed for those that have one of them.
        pad_records_to, max_fragment_size, key_log, provider, now: as in ClientConfig.

    Raises:
        ConfigError: the parts do not go together, or a name is not known.
    """

    credentials: Iterable[CredentialSource] = ()
    choose_credential: ChooseServerCredential | None = None
    client_auth: ClientAuth = field(default_factory=ClientAuth.none)
    choose_config: ChooseConfig | None = None
    post_handshake_auth: ClientAuth | None = None
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
    max_fragment_size: int = MAX_PLAINTEXT
    record_size_limit: int | None = None
    certificate_compression: Iterable[str | CertificateCompression] = ()
    key_log: KeyLog | None = None
    provider: CryptoProvider = DEFAULT_PROVIDER
    now: Callable[[], float] = time.time
    parameters: ServerParameters = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _freeze(self)
        credentials = _credentials(self.credentials)
        if not credentials and not self.external_psks:
            raise ConfigError("a server needs at least one credential, or `external_psks`")
        if not isinstance(self.client_auth, ClientAuth):
            raise ConfigError(
                "`client_auth` takes ClientAuth.required(roots), .optional(roots), .report(roots) or .none()"
            )
        later = self.post_handshake_auth
        if later is not None and (not isinstance(later, ClientAuth) or later.verifier is None):
            raise ConfigError("`post_handshake_auth` takes ClientAuth.required(roots) or .optional(roots)")
        if self.choose_config is not None and not callable(self.choose_config):
            raise ConfigError("`choose_config` takes a function of a ClientHelloInfo, or ServerNames")
        _check_record_sizes(self)
        provider = _restricted(self.provider, self.suites, self.groups, self.signature_schemes)
        object.__setattr__(self, "credentials", credentials)
        versions = _allowed_versions(self.versions, provider)
        if not credentials:
            if self.versions is not None and ProtocolVersion.TLS1_2 in versions:
                raise ConfigError("TLS 1.2 needs a credential: external keys are for TLS 1.3 only")
            versions = tuple([version for version in versions if version == ProtocolVersion.TLS1_3])
            if not versions:
                raise ConfigError("what is left cannot serve TLS 1.3, and TLS 1.2 needs a credential")
            if self.choose_credential is not None:
                raise ConfigError("`choose_credential` has nothing to choose from: give `credentials`")
        types = None
        verifiers = [one.verifier for one in (self.client_auth, later) if one is not None]
        if _has_raw_keys(credentials, *verifiers):
            from trustls.handshake.certificate_types import server_types

            types = server_types(current_credentials(credentials), self.client_auth, later)
        parameters = ServerParameters(
            provider=provider,
            versions=versions,
            require_extended_master_secret=self.require_extended_master_secret,
            credentials=credentials,
            choose_credential=self.choose_credential,
            choose_config=self.choose_config,
            client_auth=self.client_auth,
            post_handshake_auth=later,
            alpn=_alpn_names(self.alpn),
            resumption=self.resumption,
            external_psks=tuple(self.external_psks),
            retry_cookies=self.retry_cookies,
            pad_records_to=self.pad_records_to,
            max_fragment_size=self.max_fragment_size,
            record_size_limit=self.record_size_limit,
            compression=_compression(self),
            certificate_types=types,
            key_log=self.key_log,
            now=self.now,
        )
        object.__setattr__(self, "parameters", parameters)

    def __repr__(self) -> str:
        return _told(self)

    def ssl_context(self) -> SSLContext:
        """This configuration as an `ssl.SSLContext`, for whatever takes one: see `trustls.stdlib`."""
        return _ssl_context(self)


ChooseConfig: TypeAlias = Callable[["ClientHelloInfo"], "ServerConfig | Awaitable[ServerConfig | None] | None"]
"""Gives the configuration for a client, at once or awaited; None for the one that it belongs to."""


class ServerNames:
    """Chooses a server's configuration by the host name that the client asks for (RFC 6066 3): `choose_config`.

    Each name has its own certificates, its own `client_auth` and all the rest. A session of one is not resumed under
    another.

    Args:
        configs: for each host name its configuration. "*.example.com" stands for every name with one label in its
            place that has no configuration of its own.
        refuse_others: whether clients that ask for another name, or none, are refused (unrecognized_name). Otherwise
            the configuration that this belongs to serves them.

    Raises:
        ConfigError: a name is no host name, or is there twice in two spellings.
    """

    __slots__ = ("_configs", "refuse_others")

    def __init__(self, configs: Mapping[str, ServerConfig], *, refuse_others: bool = False) -> None:
        self._configs = {_host_pattern(name): config for name, config in configs.items()}
        self.refuse_others = refuse_others
        if len(self._configs) != len(configs):
            raise ConfigError("a name is there twice, spelled in two ways")
        if not all(isinstance(config, ServerConfig) for config in self._configs.values()):
            raise ConfigError("ServerNames takes a ServerConfig for each name")

    def __call__(self, hello: ClientHelloInfo) -> ServerConfig | None:
        """The configuration for this client.

        Raises:
            PeerIncompatible: there is none, and others are refused.
        """
        name = (hello.server_name or "").removesuffix(".")
        label, _, parent = name.partition(".")
        # What a client sends is no pattern, and an empty label is none.
        found = None if label in {"", "*"} else self._configs.get(name) or self._configs.get(f"*.{parent}")
        if found is None and self.refuse_others:
            asked = shown(name) or "no name"
            raise PeerIncompatible(
                Incompatibility.UNKNOWN_SERVER_NAME,
                f"the client asks for {asked}, and there is no configuration for that",
                expected="a name that has a configuration",
                found=asked,
            )
        return found


def _ssl_context(config: ClientConfig | ServerConfig) -> SSLContext:
    # By name: the room of the drop-in for ssl stands above this one, and nothing else here knows of it.
    made: SSLContext = importlib.import_module("trustls.stdlib").SSLContext(config)
    return made


def _host_pattern(name: str) -> str:
    host = ServerName(name.removeprefix("*."))
    if host.dns is None:
        raise ConfigError(f"{name} is an address, which a client cannot ask for by name (RFC 6066 3)")
    return f"*.{host.dns}" if name.startswith("*.") else host.dns


def _allowed_versions(names: Iterable[str] | None, provider: CryptoProvider) -> tuple[ProtocolVersion, ...]:
    """The versions named that the suites and groups left can serve, newest first."""
    named = _names("versions", names)
    unknown = [name for name in named or () if name not in _VERSIONS]
    if unknown or named == ():
        raise ConfigError(f"versions={list(named or ())} cannot be done; there are: {', '.join(_VERSIONS)}")
    can = {
        ProtocolVersion.TLS1_3: bool(provider.suites and provider.schemes13),
        ProtocolVersion.TLS1_2: bool(provider.suites12 and provider.ecdhe_groups and provider.schemes12),
    }
    allowed = tuple([v for name, v in _VERSIONS.items() if (named is None or name in named) and can[v]])
    missing = [name for name in named or () if _VERSIONS[name] not in allowed]
    if missing or not allowed:
        what = " and ".join(missing) or "any version"
        raise ConfigError(f"the suites, groups and signature schemes left cannot serve TLS {what}")
    return allowed


def _psks(psks: Iterable[ExternalPsk]) -> tuple[ExternalPsk, ...]:
    found = tuple(psks)
    if len(found) > _MAX_PSKS:
        raise ConfigError(f"{len(found)} external PSKs are more than the {_MAX_PSKS} that are offered")
    return found


def _has_raw_keys(credentials: Iterable[CredentialSource], *verifiers: object) -> bool:
    """Whether a side presents raw public keys, or a verifier has something to say of them."""
    return any(one.raw_key is not None for one in current_credentials(credentials)) or any(
        hasattr(verifier, "certificate_types") for verifier in verifiers
    )


def _compression(config: ClientConfig | ServerConfig) -> Compression | None:
    if not config.certificate_compression:
        return None
    from trustls.handshake.compression import Compression  # Few want it.

    return Compression(config.certificate_compression)


def _check_record_sizes(config: ClientConfig | ServerConfig) -> None:
    limit = MAX_RECORD_SIZE_LIMIT if config.record_size_limit is None else config.record_size_limit
    for name, size, least, most in (
        ("pad_records_to", config.pad_records_to, 0, MAX_PLAINTEXT),
        ("max_fragment_size", config.max_fragment_size, MIN_RECORD_SIZE_LIMIT, MAX_PLAINTEXT),
        ("record_size_limit", limit, MIN_RECORD_SIZE_LIMIT, MAX_RECORD_SIZE_LIMIT),
    ):
        if not least <= size <= most:
            raise ConfigError(f"{name}={size} is outside {least} to {most}")


def _freeze(config: ClientConfig | ServerConfig) -> None:
    """Hold lists of names as tuples: what the caller does to his list later changes nothing here."""
    for name in ("alpn", "versions", "suites", "groups", "signature_schemes"):
        object.__setattr__(config, name, _names(name, getattr(config, name)))
    object.__setattr__(config, "external_psks", _psks(config.external_psks))
    if not isinstance(config.certificate_compression, str):
        object.__setattr__(config, "certificate_compression", tuple(config.certificate_compression))


def _told(config: ClientConfig | ServerConfig) -> str:
    """A configuration as text: what differs from the default."""
    told = [
        f"{one.name}={value!r}"
        for one in fields(config)
        if one.repr and (value := getattr(config, one.name)) is not one.default and value != one.default
    ]
    return f"{type(config).__name__}({', '.join(told)})"


def _credentials(credentials: Iterable[CredentialSource]) -> tuple[CredentialSource, ...]:
    if isinstance(credentials, str | bytes):
        raise ConfigError("`credentials` takes a list of Credential: see Credential.from_pem")
    found = tuple(credentials)
    current_credentials(found)  # Raises for what is none.
    return found


def _check_hello(config: ClientConfig, client: ClientParameters) -> None:
    """Leave room in the ClientHello's 64 KiB of extensions for a ticket of 32 KiB, a cookie and all the rest."""
    size = (
        sum(map(len, client.alpn))
        + encoded_size(client.certificate_authorities)
        + sum(len(psk.identity) for psk in client.external_psks)
        + sum(group.share_length for group in client.key_shares if config.key_shares is not None)
    )
    if size > _MAX_HELLO_LISTS:
        raise ConfigError(
            f"`alpn`, `certificate_authorities`, the identities of `external_psks` and `key_shares` take {size} bytes "
            f"together, and a ClientHello has room for {_MAX_HELLO_LISTS}"
        )


def _authorities(config: ClientConfig) -> tuple[DistinguishedName, ...]:
    return () if config.certificate_authorities is None else authorities(config.certificate_authorities)


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
