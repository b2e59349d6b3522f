"""SSLContext: a configuration of trustls in the form that every consumer of `ssl` takes."""

from __future__ import annotations

import contextvars
import dataclasses
import ssl
import threading
import weakref
from collections.abc import Iterable
from typing import Any, ClassVar, Final, NoReturn, Self

from trustls.config import ClientConfig, ServerConfig
from trustls.connection import ClientConnection, Connection, ServerConnection
from trustls.danger import AcceptAnyCertificate
from trustls.errors import CertificateRejected, ConfigError
from trustls.keylog import KeyLogFile
from trustls.session.tickets import StoredSessions
from trustls.stdlib.arguments import ascii_host, given_certificates
from trustls.stdlib.described import VERSION_NAMES, described
from trustls.stdlib.errors import as_ssl_error
from trustls.stdlib.peercert import peercert
from trustls.stdlib.sessions import SSLSession, WatchedSessions
from trustls.stdlib.sslobject import SSLObject
from trustls.stdlib.sslsocket import SSLSocket
from trustls.trust.certificate import Certificate
from trustls.trust.client_auth import ClientAuthMode
from trustls.trust.roots import RootCertStore
from trustls.trust.verifiers import RootsClientVerifier, RootsServerVerifier
from trustls.wire.enums import ProtocolVersion

Config = ClientConfig | ServerConfig

_VERSIONS: Final = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
_VERIFY_MODES: Final = {
    ClientAuthMode.REQUIRED: ssl.CERT_REQUIRED,
    ClientAuthMode.OPTIONAL: ssl.CERT_OPTIONAL,
    ClientAuthMode.REPORT: ssl.CERT_OPTIONAL,
    ClientAuthMode.NONE: ssl.CERT_NONE,
}
# What these ask for is so, always.
_ALWAYS: Final = (
    ssl.OP_ALL
    | ssl.OP_NO_SSLv3
    | ssl.OP_NO_COMPRESSION
    | ssl.OP_NO_RENEGOTIATION
    | ssl.OP_SINGLE_DH_USE
    | ssl.OP_SINGLE_ECDH_USE
    | getattr(ssl, "OP_ENABLE_MIDDLEBOX_COMPAT", 0)
)
# These too, but they are not told: whoever copied them to a context of `ssl` would be warned of deprecated options.
_ALWAYS_TOO: Final = ssl.OP_NO_SSLv2 | ssl.OP_NO_TLSv1 | ssl.OP_NO_TLSv1_1
_WITHOUT: Final = {"1.2": ssl.OP_NO_TLSv1_2, "1.3": ssl.OP_NO_TLSv1_3}
# Paths are checked strictly, and every root is an anchor, self-signed or not.
_VERIFY_FLAGS: Final = ssl.VERIFY_X509_TRUSTED_FIRST | ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN

# What a task or thread has set on contexts that are in use: theirs alone. WeakKeyDictionary keeps no context alive.
_OWN: contextvars.ContextVar[weakref.WeakKeyDictionary[SSLContext, Config] | None] = contextvars.ContextVar(
    "trustls_ssl_settings", default=None
)


class SSLContext(ssl.SSLContext):
    """An `ssl.SSLContext` whose connections are trustls's. Made of a ClientConfig or a ServerConfig.

    What the configuration says holds. Setters that say the same do nothing; those that say what trustls cannot do, or
    that would weaken it (`verify_mode = CERT_NONE`, `load_verify_locations` with roots that are not trusted yet, ...),
    raise ConfigError, which is a ValueError. What may be changed are the ALPN protocols, the versions, the key log and
    `post_handshake_auth`: for everybody as long as the context was not used; once it was, for the task or thread that
    changes them, so that two users of one context never see each other's settings.

    Raises:
        TypeError: `config` is neither.
        ConfigError: it takes early data, which `ssl` has no way to give.

    >>> from trustls import ClientConfig, RootCertStore
    >>> SSLContext(ClientConfig(roots=RootCertStore.system())).verify_mode
    <VerifyMode.CERT_REQUIRED: 2>
    """

    sslsocket_class: ClassVar[type[ssl.SSLSocket]] = SSLSocket  # type: ignore[misc]  # typeshed: an instance's
    sslobject_class: ClassVar[type[ssl.SSLObject]] = SSLObject  # type: ignore[misc]

    def __new__(cls, config: Config) -> Self:
        """An `ssl.SSLContext` of the right protocol; OpenSSL's part of it is never used."""
        if not isinstance(config, ClientConfig | ServerConfig):
            raise TypeError(f"an SSLContext is made of a ClientConfig or ServerConfig, not {type(config).__name__}")
        client = isinstance(config, ClientConfig)
        return super().__new__(cls, ssl.PROTOCOL_TLS_CLIENT if client else ssl.PROTOCOL_TLS_SERVER)

    def __init__(self, config: Config) -> None:
        self._sessions: WatchedSessions | None = None
        if isinstance(config, ClientConfig) and config.sessions is not None:
            self._sessions = WatchedSessions(config.sessions)
            config = dataclasses.replace(config, sessions=self._sessions)
        resumption = config.resumption if isinstance(config, ServerConfig) else None
        if isinstance(resumption, StoredSessions) and resumption.max_early_data:
            raise ConfigError(
                "`ssl` has no words for early data, which anybody may send again, and so cannot give it: leave out "
                "max_early_data, or use trustls.aio"
            )
        self._config: Config = config
        self._used = False
        self._lock = threading.Lock()

    # -- Connections --------------------------------------------------------------------------------------------------

    @property
    def config(self) -> Config:
        """The configuration of the next connection that this thread or task makes."""
        own = _OWN.get()
        return self._config if own is None else own.get(self, self._config)

    @property
    def is_server(self) -> bool:
        """Whether it is made of a ServerConfig."""
        return isinstance(self._config, ServerConfig)

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: Any = None,
    ) -> SSLObject:
        """A connection between two BIOs.

        Args:
            incoming: where the peer's bytes are put.
            outgoing: where the bytes for the peer are taken from.
            server_side: whether this is the server, which the configuration must be one for.
            server_hostname: on a client, the name that the server's certificate must be valid for.
            session: on a client, the `session` of an earlier connection, to be resumed.

        Raises:
            ValueError: these do not go together with each other, or with the configuration.
        """
        name = ascii_host(server_hostname)
        self.check_roles(server_side=server_side, server_hostname=name, session=session)
        return SSLObject(self, self.connection(name, session), incoming, outgoing, name, session)

    def wrap_socket(
        self,
        sock: Any,
        server_side: bool = False,
        do_handshake_on_connect: bool = True,
        suppress_ragged_eofs: bool = False,
        server_hostname: str | bytes | None = None,
        session: Any = None,
    ) -> SSLSocket:
        """A connection on a socket, which is detached; a listening socket gives such connections from `accept`.

        Args:
            sock: a stream socket: connected, to be connected, or listening.
            server_side: whether this is the server, which the configuration must be one for.
            do_handshake_on_connect: whether the handshake is done here, or by `connect`; otherwise at the first use.
            suppress_ragged_eofs: whether an end of the stream without close_notify counts as its end. Data may have
                been cut off then, by anybody on the way; `ssl` has True here.
            server_hostname: on a client, the name that the server's certificate must be valid for.
            session: on a client, the `session` of an earlier connection, to be resumed.

        Raises:
            ValueError: these do not go together with each other, or with the configuration.
            ssl.SSLError, OSError: the handshake failed.
        """
        return SSLSocket._create(
            sock,
            server_side=server_side,
            do_handshake_on_connect=do_handshake_on_connect,
            suppress_ragged_eofs=suppress_ragged_eofs,
            server_hostname=ascii_host(server_hostname),
            context=self,
            session=session,
        )

    def check_roles(self, *, server_side: bool, server_hostname: str | None, session: object) -> None:
        """Raise ValueError when the arguments of `wrap_bio` or `wrap_socket` do not go together."""
        if server_side != self.is_server:
            made_of = type(self._config).__name__
            raise ValueError(f"server_side={server_side} with a context that was made of a {made_of}")
        if server_side and server_hostname is not None:
            raise ValueError("server_hostname can only be specified in client mode")
        if server_side and session is not None:
            raise ValueError("session can only be specified in client mode")
        if session is not None and not isinstance(session, SSLSession):
            raise TypeError("session is that of another connection of trustls.stdlib")
        if session is not None and self._sessions is None:
            raise ValueError("the configuration resumes no sessions: it has sessions=None")
        if not server_side and not server_hostname:
            raise ValueError("check_hostname requires server_hostname")

    def connection(self, server_hostname: str | None, session: SSLSession | None) -> Connection:
        """A fresh connection.

        Raises:
            ValueError: the session belongs to another server, or another configuration.
        """
        self._used = True
        config = self.config
        if isinstance(config, ServerConfig):
            return ServerConnection(config)
        watched = self._sessions
        if session is None or watched is None:
            return ClientConnection(config, server_hostname or "")
        watched.offer(session)
        try:
            made = ClientConnection(config, server_hostname or "")
            if not watched.was_offered:
                raise ValueError("Session refers to a different SSLContext, or to another server.")
            return made
        finally:
            watched.offer(None)

    def received_session(self) -> SSLSession | None:
        """The session that was received in this thread since the last call."""
        return None if self._sessions is None else self._sessions.received()

    # -- What may be changed ------------------------------------------------------------------------------------------

    def _change(self, **changes: Any) -> None:
        with self._lock:
            config = dataclasses.replace(self.config, **changes)
            if not self._used:
                self._config = config
            _OWN.set(weakref.WeakKeyDictionary({**(_OWN.get() or {}), self: config}))

    def set_alpn_protocols(self, alpn_protocols: Iterable[str]) -> None:
        """Offer or accept these application protocols, preferred first.

        Raises:
            ConfigError: one is not 1 to 255 bytes long.
        """
        protocols = tuple(alpn_protocols)
        if protocols != self.config.alpn:
            self._change(alpn=protocols)

    @property
    def minimum_version(self) -> ssl.TLSVersion:
        """The oldest version of TLS that is spoken."""
        return _VERSIONS[min(self._versions)]

    @minimum_version.setter
    def minimum_version(self, value: int) -> None:
        if value in {ssl.TLSVersion.MAXIMUM_SUPPORTED, ssl.TLSVersion.TLSv1_3}:
            self._restrict({"1.3"})
        elif value not in {ssl.TLSVersion.MINIMUM_SUPPORTED, ssl.TLSVersion.TLSv1_2}:
            raise ConfigError("trustls speaks TLS 1.2 and TLS 1.3, and nothing older")

    @property
    def maximum_version(self) -> ssl.TLSVersion:
        """The newest version of TLS that is spoken."""
        return _VERSIONS[max(self._versions)]

    @maximum_version.setter
    def maximum_version(self, value: int) -> None:
        if value == ssl.TLSVersion.TLSv1_2:
            self._restrict({"1.2"})
        elif value not in {ssl.TLSVersion.MAXIMUM_SUPPORTED, ssl.TLSVersion.TLSv1_3}:
            raise ConfigError("trustls speaks TLS 1.2 and TLS 1.3, and nothing older")

    @property
    def _versions(self) -> tuple[str, ...]:
        allowed = self.config.parameters.versions
        names = {ProtocolVersion.TLS1_2: "1.2", ProtocolVersion.TLS1_3: "1.3"}
        return tuple([names[version] for version in allowed])

    def _restrict(self, versions: set[str]) -> None:
        left = tuple([name for name in self._versions if name in versions])
        if left != self._versions:
            self._change(versions=left)  # ConfigError when none is left.

    @property
    def keylog_filename(self) -> Any:
        """The file that the secrets of the connections are appended to; see `KeyLogFile`."""
        key_log = self.config.key_log
        return key_log.path if isinstance(key_log, KeyLogFile) else None

    @keylog_filename.setter
    def keylog_filename(self, value: Any) -> None:
        if value is None:
            if self.config.key_log is not None:
                self._change(key_log=None)
        elif value != self.keylog_filename:
            self._change(key_log=KeyLogFile(value))

    @property
    def post_handshake_auth(self) -> bool:
        """Whether a client certificate may be asked for after the handshake."""
        return bool(self.config.post_handshake_auth)

    @post_handshake_auth.setter
    def post_handshake_auth(self, value: bool) -> None:
        if bool(value) == self.post_handshake_auth:
            return
        if self.is_server:
            _refuse("a server says whom it asks later: ServerConfig(post_handshake_auth=ClientAuth.required(roots))")
        self._change(post_handshake_auth=bool(value))

    # -- What may be read, and set to what it is ----------------------------------------------------------------------

    @property
    def protocol(self) -> Any:  # type: ignore[override]  # typeshed: it can be set
        """PROTOCOL_TLS_CLIENT or PROTOCOL_TLS_SERVER."""
        return ssl.PROTOCOL_TLS_SERVER if self.is_server else ssl.PROTOCOL_TLS_CLIENT

    @property
    def verify_mode(self) -> ssl.VerifyMode:
        """Whether the peer must present a good certificate. A server's `report` mode counts as CERT_OPTIONAL."""
        config = self.config
        if isinstance(config, ServerConfig):
            return _VERIFY_MODES[config.client_auth.mode]
        return ssl.CERT_NONE if isinstance(config.verifier, AcceptAnyCertificate) else ssl.CERT_REQUIRED

    @verify_mode.setter
    def verify_mode(self, value: int) -> None:
        if value != self.verify_mode:
            _refuse(
                "the configuration says who is believed: ClientConfig(roots=...), ServerConfig(client_auth=...), or "
                "trustls.danger"
            )

    @property
    def check_hostname(self) -> bool:
        """Whether the server's certificate must be valid for the name asked for."""
        config = self.config
        return isinstance(config, ClientConfig) and config.check_name and config.verifier is None

    @check_hostname.setter
    def check_hostname(self, value: bool) -> None:
        if bool(value) != self.check_hostname:
            _refuse("the configuration says whether names are checked: ClientConfig(authorize=..., check_name=False)")

    @property
    def hostname_checks_common_name(self) -> bool:
        """False: names are taken from the subjectAltName alone (RFC 9525 2)."""
        return False

    @hostname_checks_common_name.setter
    def hostname_checks_common_name(self, value: bool) -> None:
        if value:
            _refuse("names are taken from the subjectAltName alone (RFC 9525 2)")

    @property
    def options(self) -> Any:
        """The options of `ssl` that are in force, among those that mean something here."""
        left_out = [flag for name, flag in _WITHOUT.items() if name not in self._versions]
        return ssl.Options(_ALWAYS | sum(left_out))

    @options.setter
    def options(self, value: int) -> None:
        now = int(self.options)
        if now & ~value:
            _refuse(f"{ssl.Options(now & ~value)!r} cannot be switched off")
        added = value & ~now & ~int(_ALWAYS_TOO)
        for name, flag in _WITHOUT.items():
            if added & flag:
                self._restrict(set(self._versions) - {name})
                added &= ~flag
        if added:
            _refuse(f"{ssl.Options(added)!r} means nothing to trustls")

    @property
    def verify_flags(self) -> Any:
        """How certificates are verified, among the flags that mean something here."""
        return ssl.VerifyFlags(_VERIFY_FLAGS)

    @verify_flags.setter
    def verify_flags(self, value: int) -> None:
        if value & ~_VERIFY_FLAGS:
            _refuse(f"{ssl.VerifyFlags(value & ~_VERIFY_FLAGS)!r}: revocation lists are given as `crls=`")

    @property
    def security_level(self) -> int:  # type: ignore[override]  # typeshed: it can be set
        """2, as OpenSSL counts: nothing below 112 bits of security is accepted."""
        return 2

    @property
    def num_tickets(self) -> int:
        """How many tickets a TLS 1.3 client is given; 0 on a client."""
        config = self.config
        return config.resumption.count if isinstance(config, ServerConfig) and config.resumption is not None else 0

    @num_tickets.setter
    def num_tickets(self, value: int) -> None:
        if value != self.num_tickets:
            _refuse("the configuration says how many: ServerConfig(resumption=Tickets(count=...))")

    @property
    def sni_callback(self) -> None:
        """None: see `ServerConfig(choose_config=)`."""
        return

    @sni_callback.setter
    def sni_callback(self, value: object) -> None:
        if value is not None:
            _refuse("a server chooses by the whole ClientHello: ServerConfig(choose_config=ServerNames({...}))")

    def set_servername_callback(self, server_name_callback: object) -> None:
        """Only None is taken: see `ServerConfig(choose_config=)`.

        Raises:
            ConfigError: it is another.
        """
        self.sni_callback = server_name_callback

    # -- Trust and identity are the configuration's -------------------------------------------------------------------

    def load_verify_locations(self, cafile: Any = None, capath: Any = None, cadata: Any = None) -> None:
        """Nothing, when every certificate in there is a root already.

        Libraries call this with a bundle of their own (`certifi`): it would trust the whole public web beside, or in
        place of, whom the configuration names.

        Raises:
            ConfigError: there is one that is not trusted; or `capath`, which is not read.
            ssl.SSLError: there is one that is no certificate.
        """
        if cafile is None and capath is None and cadata is None:
            raise TypeError("cafile, capath and cadata cannot be all omitted")
        if capath is not None:
            _refuse("capath is not read: RootCertStore.from_pem takes files")
        trusted = {one.der for one in self._roots() or ()}
        try:
            given = () if cafile is None else Certificate.from_pem(cafile)
            given += () if cadata is None else given_certificates(cadata)
        except CertificateRejected as error:
            raise as_ssl_error(error) from error
        for one in given:
            if one.der not in trusted:
                _refuse(f"{one} is no root of the configuration, and whom it trusts is said there: roots=...")

    def load_default_certs(self, purpose: ssl.Purpose = ssl.Purpose.SERVER_AUTH) -> None:
        """Nothing, when the system's roots are trusted already.

        Raises:
            ConfigError: they are not.
        """
        roots = getattr(self.config, "roots", None)
        if purpose != ssl.Purpose.SERVER_AUTH or not isinstance(roots, RootCertStore) or not roots.is_system:
            _refuse("the system's roots are trusted only where that is said: roots=RootCertStore.system()")

    def set_default_verify_paths(self) -> None:
        """As `load_default_certs`."""
        self.load_default_certs()

    def load_cert_chain(self, certfile: Any, keyfile: Any = None, password: Any = None) -> NoReturn:  # noqa: ARG002
        """Raises ConfigError: credentials are the configuration's."""
        _refuse("credentials are given to the configuration: credentials=[Credential.from_pem(chain=..., key=...)]")

    def get_ca_certs(self, binary_form: bool = False) -> Any:
        """The roots: as DER, or as the dicts that `ssl` gives.

        Raises:
            NotImplementedError: they cannot be told: a verifier of the application's decides, or they depend on who
                the peer claims to be.
        """
        roots = self._roots()
        if roots is None:
            raise NotImplementedError("whom this configuration trusts cannot be listed")
        return [one.der if binary_form else peercert(one) for one in roots]

    def cert_store_stats(self) -> dict[str, int]:
        """How many roots there are; NotImplementedError as for `get_ca_certs`."""
        count = len(self.get_ca_certs(binary_form=True))
        return {"x509": count, "crl": 0, "x509_ca": count}

    def _roots(self) -> tuple[Certificate, ...] | None:
        config = self.config
        if isinstance(config, ServerConfig) and config.client_auth.verifier is None:
            return ()
        verifier: object = (
            config.client_auth.verifier if isinstance(config, ServerConfig) else config.parameters.verifier
        )
        if isinstance(verifier, RootsClientVerifier | RootsServerVerifier):
            return verifier.roots.certificates()
        return None

    # -- Cipher suites ------------------------------------------------------------------------------------------------

    def get_ciphers(self) -> list[Any]:
        """The suites, as `ssl` describes them."""
        provider = self.config.parameters.provider
        suites = [one.suite for one in provider.suites if "1.3" in self._versions]
        suites += [one.suite for one in provider.suites12 if "1.2" in self._versions]
        return [described(suite) for suite in suites]

    def set_ciphers(self, ciphers: str, /) -> NoReturn:  # noqa: ARG002
        """Raises ConfigError: suites are named in the configuration, by their IANA names."""
        _refuse("suites are named in the configuration, by IANA name: suites=[...]; OpenSSL's lists are not read")

    def set_ecdh_curve(self, name: str, /) -> NoReturn:  # noqa: ARG002
        """Raises ConfigError: groups are named in the configuration."""
        _refuse("groups are named in the configuration: groups=[...]")

    def load_dh_params(self, path: Any, /) -> NoReturn:  # noqa: ARG002
        """Raises ConfigError: finite-field groups are not used."""
        _refuse("finite-field Diffie-Hellman is not done")

    def set_npn_protocols(self, npn_protocols: Iterable[str]) -> NoReturn:  # noqa: ARG002
        """Raises ConfigError: NPN is obsolete."""
        _refuse("NPN is obsolete: set_alpn_protocols")

    def set_psk_client_callback(self, callback: object) -> None:
        """Only None is taken: external keys are given to the configuration."""
        if callback is not None:
            _refuse("external keys are given to the configuration: external_psks=[...]")

    def set_psk_server_callback(self, callback: object, identity_hint: str | None = None) -> None:  # noqa: ARG002
        """Only None is taken: external keys are given to the configuration."""
        self.set_psk_client_callback(callback)

    def session_stats(self) -> NoReturn:
        """Raises NotImplementedError: nothing is counted."""
        raise NotImplementedError("trustls does not count sessions")

    @property
    def _msg_callback(self) -> None:
        """None: trustls tells every message to the logger `trustls.handshake`, at the level TRACE."""
        return

    @_msg_callback.setter
    def _msg_callback(self, callback: object) -> None:
        if callback is not None:
            raise NotImplementedError("messages are told to the logger trustls.handshake, at the level trustls.TRACE")

    def _wrap_bio(self, *_: object, **__: object) -> NoReturn:
        """Raises NotImplementedError: what `ssl.SSLObject` calls would speak through OpenSSL, unconfigured."""
        raise NotImplementedError("connections are made by wrap_bio and wrap_socket")

    _wrap_socket = _wrap_bio

    def __repr__(self) -> str:
        spoken = ", ".join(VERSION_NAMES[version] for version in self.config.parameters.versions)
        return f"<trustls.stdlib.SSLContext {'server' if self.is_server else 'client'}, {spoken}>"


def _refuse(why: str) -> NoReturn:
    raise ConfigError(f"this context keeps to its configuration: {why}")
