"""SSLContext: a configuration of trustls in the form that every consumer of `ssl` takes.

Here are the connections that it makes. What it lets change is in changeable.py, what it only tells in fixed.py, and
whom it trusts in trust.py; all stand on configured.py.
"""

from __future__ import annotations

import dataclasses
import ssl
import threading
from typing import Any, ClassVar, NoReturn, Self

from trustls.config import ClientConfig, ServerConfig
from trustls.connection import ClientConnection, Connection, ServerConnection
from trustls.errors import ConfigError
from trustls.session.tickets import StoredSessions
from trustls.stdlib.arguments import ascii_host
from trustls.stdlib.changeable import Changeable
from trustls.stdlib.configured import Config
from trustls.stdlib.described import VERSION_NAMES
from trustls.stdlib.fixed import Fixed
from trustls.stdlib.sessions import SSLSession, WatchedSessions
from trustls.stdlib.sslobject import SSLObject
from trustls.stdlib.sslsocket import SSLSocket
from trustls.stdlib.trust import Trust


class SSLContext(Changeable, Fixed, Trust):
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
        config = self._use()
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

    def _wrap_bio(self, *_: object, **__: object) -> NoReturn:
        """Raises NotImplementedError: what `ssl.SSLObject` calls would speak through OpenSSL, unconfigured."""
        raise NotImplementedError("connections are made by wrap_bio and wrap_socket")

    _wrap_socket = _wrap_bio

    def __repr__(self) -> str:
        spoken = ", ".join(VERSION_NAMES[version] for version in self.config.parameters.versions)
        return f"<trustls.stdlib.SSLContext {'server' if self.is_server else 'client'}, {spoken}>"
