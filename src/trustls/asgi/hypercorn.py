"""hypercorn: a configuration that serves TLS by trustls, and the TLS extension in its scopes.

Neither the applications of hypercorn nor its hooks see a connection. What sees both is its `TCPServer`, which is made
for each connection with the application first and the stream last. Its name in the modules that use it is bound to a
subclass, in the process that serves and before it accepts anybody. Where hypercorn has changed so that this cannot be
done, it does not start. Connections of other contexts than trustls's are served as before.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from trustls.asgi.extension import TLSExtension
from trustls.config import ServerConfig
from trustls.errors import ConfigError
from trustls.net.clients import with_alpn

_Config: Final[Any] = importlib.import_module("hypercorn.config").Config

# The modules in which hypercorn serves connections: it imports one of them, by its `worker_class`.
_SERVING: Final = ("hypercorn.asyncio.run", "hypercorn.trio.run")
_SPOKEN: Final = ("h2", "http/1.1")
# Settings of hypercorn for its own context.
_WITHOUT_EFFECT: Final = (
    *("certfile", "keyfile", "keyfile_password"),
    *("ca_certs", "verify_flags", "verify_mode"),
    "ciphers",
)


class TLSConfig(_Config):  # type: ignore[misc]  # as hypercorn has it, installed or not
    """hypercorn's configuration, with trustls's inside. Made by `trustls.asgi.hypercorn_config`."""

    tls: ServerConfig | Callable[[], ServerConfig]

    @property
    def ssl_enabled(self) -> bool:
        """True."""
        return True

    def create_ssl_context(self) -> Any:
        """The context of all secure sockets. hypercorn calls this in each process that serves, once.

        Raises:
            ConfigError: a setting would have no effect.
        """
        default = _Config()
        ignored = [name for name in _WITHOUT_EFFECT if getattr(self, name, None) != getattr(default, name, None)]
        if ignored:
            raise ConfigError(f"{', '.join(ignored)} would have no effect: all of TLS is said in the ServerConfig")
        if self._quic_bind:
            raise ConfigError("quic_bind: trustls does not speak QUIC")
        _tell_applications()
        config = self.tls if isinstance(self.tls, ServerConfig) else self.tls()
        return with_alpn(config, tuple(self.alpn_protocols), _SPOKEN, "hypercorn").ssl_context()


def made_config(config: ServerConfig | Callable[[], ServerConfig], settings: Mapping[str, Any]) -> TLSConfig:
    """See `trustls.asgi.hypercorn_config`."""
    made = TLSConfig()
    made.tls = config
    known = {**getattr(_Config, "__annotations__", {}), **vars(_Config)}
    for name, value in settings.items():
        if name.startswith("_") or name not in known or inspect.isroutine(known[name]):
            raise ConfigError(f"hypercorn has no setting {name}")
        if name in {*_WITHOUT_EFFECT, "cert_reqs", "quic_bind", "ssl_enabled"}:
            raise ConfigError(f"{name} would have no effect: all of TLS is said in the ServerConfig")
        setattr(made, name, value)
    return made


def _tell_applications() -> None:
    """Have the TCPServer of this process tell its applications of TLS."""
    serving = [sys.modules[name] for name in _SERVING if name in sys.modules]
    for module in serving:
        original = getattr(module, "TCPServer", None)
        if not isinstance(original, type):
            raise TypeError(f"{module.__name__} of this hypercorn has no TCPServer, which it should have")
        if not issubclass(original, _Telling):
            module.TCPServer = type("TCPServer", (_Telling, original), {})  # type: ignore[attr-defined]
    if not serving:
        raise TypeError(f"this hypercorn serves by none of {', '.join(_SERVING)}")


class _Telling:
    """What stands before hypercorn's TCPServer."""

    def __init__(self, app: Any, *others: Any) -> None:
        super().__init__(TLSExtension(app, partial(_ssl_object, others[-1])), *others)  # type: ignore[call-arg]


def _ssl_object(stream: Any) -> object:
    """The SSLObject below an asyncio StreamWriter, or a stream of trio; None in the clear."""
    if hasattr(stream, "get_extra_info"):
        return stream.get_extra_info("ssl_object")
    # trio's SSLStream gives out the methods of its SSLObject, and not the object.
    return getattr(getattr(stream, "selected_alpn_protocol", None), "__self__", None)
