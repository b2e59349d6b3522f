"""What the event loops share: which side a configuration makes, and signers that block."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, cast

from trustls.config import ClientConfig, ServerConfig
from trustls.connection import ClientConnection, Connection, ServerConnection
from trustls.errors import ConfigError
from trustls.identity.signer import Signer, public_key_of
from trustls.trust.names import ServerName
from trustls.wire.enums import SignatureScheme


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


def new_client(config: ClientConfig, server_name: str | ServerName | None) -> ClientConnection:
    """A client's connection; ConfigError without a server name."""
    if server_name is None:
        raise ConfigError("a client needs `server_name`: what the server's certificate must be valid for")
    return ClientConnection(config, server_name)


class ThreadedSigner:
    """A signer whose `sign` another class calls in a thread.

    Raises:
        ConfigError: the signer is asynchronous itself.
    """

    def __init__(self, signer: Signer) -> None:
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
