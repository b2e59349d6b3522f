"""uvicorn: a context for its `ssl_context_factory`, and the TLS extension in its scopes.

uvicorn makes a protocol object for each connection, of the class `http_protocol_class` of its configuration. It gives
that object the configuration, which holds the application, and later the transport. A subclass of that class has both
in its hands: it gives each connection the application wrapped by itself. WebSockets inherit the configuration from the
HTTP connection that they begin as.
"""

from __future__ import annotations

import copy
import functools
import importlib
from collections.abc import Callable
from dataclasses import field
from typing import TYPE_CHECKING, Any

from trustls.asgi.extension import TLSExtension
from trustls.config import ServerConfig
from trustls.net.clients import with_alpn
from trustls.values import dataclass

if TYPE_CHECKING:
    import ssl


def uvicorn_context(config: ServerConfig | Callable[[], ServerConfig]) -> Callable[[Any, Any], ssl.SSLContext]:
    """The `ssl_context_factory` of uvicorn (0.47 and later): TLS by trustls, and the TLS extension in every scope.

    Its ALPN protocols are those of `config`; where that names none, those that uvicorn's HTTP implementation has.

    Args:
        config: how the server answers; or a function that makes it, for more than one process (`workers`, `reload`), to
            which it goes by its name.

    Raises:
        ConfigError: when uvicorn starts: `config` has an ALPN protocol that its HTTP implementation does not speak.
    """
    return _ContextFactory(config)


@dataclass(frozen=True, slots=True)
class _ContextFactory:
    """A value, so that it can be pickled for other processes when `config` is a function of a module."""

    config: ServerConfig | Callable[[], ServerConfig] = field(repr=False)

    def __call__(self, uvicorn: Any, _default: Any) -> ssl.SSLContext:
        config = self.config if isinstance(self.config, ServerConfig) else self.config()
        spoken = tuple(getattr(_tell_applications(uvicorn), "alpn_protocols", ()))
        return with_alpn(config, spoken, spoken or ("http/1.1",), "uvicorn").ssl_context()


def _tell_applications(uvicorn: Any) -> type:
    """Have the connections of this configuration tell their applications of TLS; the class of their protocol."""
    http = getattr(uvicorn, "http_protocol_class", None)
    if isinstance(http, type):
        uvicorn.http_protocol_class = told = _with_extension(http)
        return told
    # Before 0.53 uvicorn makes its context first, and looks up the class afterwards, by a setting that may be a class.
    http = uvicorn.http
    if isinstance(http, str):
        names = importlib.import_module("uvicorn.config").HTTP_PROTOCOLS
        http = importlib.import_module("uvicorn.importer").import_from_string(names.get(http, http))
    uvicorn.http = told = _with_extension(http)
    return told


@functools.cache
def _with_extension(http: Any) -> type:
    """The protocol class, with the TLS extension in the scopes of its connections."""
    if not (isinstance(http, type) and hasattr(http, "connection_made")):
        raise TypeError(f"uvicorn's `http` should be the class of a protocol, and is {http!r}")

    class Protocol(http):  # type: ignore[misc]  # whichever it is
        def __init__(self, config: Any, *others: Any, **named: Any) -> None:
            if not config.loaded:
                config.load()
            self._trustls = TLSExtension(config.loaded_app)
            own = copy.copy(config)
            own.loaded_app = self._trustls
            super().__init__(own, *others, **named)

        def connection_made(self, transport: Any) -> None:
            self._trustls.ssl_object = functools.partial(transport.get_extra_info, "ssl_object")
            super().connection_made(transport)

    Protocol.__name__, Protocol.__qualname__ = http.__name__, http.__qualname__
    return Protocol
