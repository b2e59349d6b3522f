"""ASGI: the connection and its client certificate in the scope of every request, as the TLS extension has them.

`scope["extensions"]["tls"]` is the extension of the ASGI specifications (specs/tls, version 0.2) with all its fields,
`peer(scope)` the client as trustls knows it, for `Authorize`. Two servers fill them in:

- uvicorn: `uvicorn.run(app, ssl_context_factory=trustls.asgi.uvicorn_context(config))`
- hypercorn: `hypercorn.asyncio.serve(app, trustls.asgi.hypercorn_config(config, bind="127.0.0.1:8443"))`
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trustls.asgi.extension import TLSExtension, peer, tls_extension
from trustls.asgi.uvicorn import uvicorn_context

if TYPE_CHECKING:
    from collections.abc import Callable

    from trustls.config import ServerConfig

__all__ = ["TLSExtension", "hypercorn_config", "peer", "tls_extension", "uvicorn_context"]


def hypercorn_config(config: ServerConfig | Callable[[], ServerConfig], **settings: Any) -> Any:
    """A `hypercorn.config.Config` that serves TLS by trustls, and tells applications of it.

    Its ALPN protocols are those of `config`; where that names none, hypercorn's (`alpn_protocols`: HTTP/2 and
    HTTP/1.1). The handshake's timeout is hypercorn's (`ssl_handshake_timeout`).

    Args:
        config: how the server answers; or a function that makes it, for more than one process (`workers`,
            `use_reloader`), to which it goes by its name.
        settings: what else is to be set, by the names that hypercorn has: `bind="127.0.0.1:8443"`, ...

    Raises:
        ConfigError: hypercorn has no such setting, or it would have no effect beside `config`.
        ModuleNotFoundError: hypercorn is not installed.
    """
    from trustls.asgi.hypercorn import made_config

    return made_config(config, settings)
