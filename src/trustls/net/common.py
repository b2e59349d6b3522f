"""What all transports share: which side a configuration makes, a client that is asked late, and signers that block."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Final, cast

from trustls.config import ClientConfig, ServerConfig
from trustls.connection import ClientConnection, Connection, ServerConnection
from trustls.crypto.signatures import PrivateKey
from trustls.errors import ConfigError, ConnectionClosed, Misbehaviour, PeerMisbehaved
from trustls.identity.signer import KeySigner, Signer, public_key_of
from trustls.trust.names import ServerName
from trustls.wire.enums import SignatureScheme

# What a client may have sent before it answers: a request that was on its way.
MAX_HELD: Final = 1 << 20
_HOST_AND_PORT: Final = 2


def new_connection(config: ClientConfig | ServerConfig, server_name: str | ServerName | None) -> Connection:
    """A connection of the side that the configuration is for.

    Raises:
        ConfigError: a client without a server name, a server with one, or a name that is none.
    """
    if isinstance(config, ServerConfig):
        if server_name is not None:
            raise ConfigError("a server name is what a client expects: a server is asked for one, and knows its own")
        return ServerConnection(config)
    return new_client(config, server_name)


def peer_named(address: object) -> str:
    """What a log calls the other end of a socket: its address and port; "a peer" where it has none (a Unix socket)."""
    if isinstance(address, tuple) and len(address) >= _HOST_AND_PORT:
        host = str(address[0])
        return f"[{host}]:{address[1]}" if ":" in host else f"{host}:{address[1]}"
    return "a peer"


def new_client(config: ClientConfig, server_name: str | ServerName | None) -> ClientConnection:
    """A client's connection; ConfigError without a server name."""
    if server_name is None:
        raise ConfigError("a client needs `server_name`: what the server's certificate must be valid for")
    return ClientConnection(config, server_name)


def answer_is_awaited(connection: Connection, held: int = 0) -> bool:
    """Whether a client has still to answer a request for its certificate that was made after the handshake.

    Args:
        connection: a server's.
        held: how many bytes of data have come meanwhile, and are kept.

    Raises:
        ConfigError: this is a client.
        ConnectionClosed: the client has closed its side without an answer.
        PeerMisbehaved: TOO_MUCH_DATA_BEFORE_ANSWER, it has sent more than `MAX_HELD` bytes, which ends the connection.
        TLSError: the connection has failed: with the answer, or otherwise.
    """
    if not isinstance(connection, ServerConnection):
        raise ConfigError("a client has nobody's certificate to wait for after the handshake")
    if connection.failure is not None:
        raise connection.failure.with_traceback(None)
    if not connection.awaits_client_certificate:
        return False
    if connection.peer_closed:
        raise ConnectionClosed("the client has closed its side, and not answered the request for its certificate")
    if held > MAX_HELD:
        error = PeerMisbehaved(Misbehaviour.TOO_MUCH_DATA_BEFORE_ANSWER, f"{held} bytes")
        connection.abort(error)
        raise error
    return True


class ThreadedSigner:
    """A signer, or a private key, whose `sign` another class calls in a thread.

    Raises:
        ConfigError: the signer is asynchronous itself.
    """

    def __init__(self, signer: Signer | PrivateKey) -> None:
        signer = signer if isinstance(signer, Signer) else KeySigner(signer)
        if inspect.iscoroutinefunction(signer.sign):
            raise ConfigError(f"{type(signer).__name__} is asynchronous already, and needs no thread")
        self.signer = signer
        self._sign: Callable[[SignatureScheme, bytes], bytes] = cast("Any", signer.sign)

    @property
    def schemes(self) -> tuple[SignatureScheme, ...]:
        """The signer's schemes."""
        return self.signer.schemes

    @property
    def schemes_tls12(self) -> tuple[SignatureScheme, ...]:
        """The signer's schemes for TLS 1.2."""
        return tuple(getattr(self.signer, "schemes_tls12", self.signer.schemes))

    @property
    def public_key(self) -> Any:
        """The public key that the signer shows, if it shows one."""
        return public_key_of(self.signer)
