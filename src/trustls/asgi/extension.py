"""The TLS extension of ASGI (specs/tls, version 0.2): what a scope says of the connection that its request came by."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, Final

from trustls.net.clients import client_chain, server_connection, why_not_verified

if TYPE_CHECKING:
    from trustls.connection import ServerConnection
    from trustls.trust.verifiers import Peer

Scope = MutableMapping[str, Any]

_PEER: Final = "trustls.peer"
# The kinds of scope that stand for a connection; "lifespan" does not.
_CONNECTED: Final = frozenset({"http", "websocket"})


def tls_extension(connection: ServerConnection) -> dict[str, Any]:
    """The value of `scope["extensions"]["tls"]` for a connection, with all the fields of the specification.

    - `server_cert`: the server's certificate as PEM text; None in a resumed session, in which none is sent.
    - `client_cert_chain`: PEM texts, the client's own certificate first; those of its verified path, as far as it sent
      them. Empty without a certificate.
    - `client_cert_name`: the subject of the client's certificate as RFC 4514 text; None without a certificate. It
      proves nothing where there is an error.
    - `client_cert_error`: why the certificate is not good, which can only be where such clients are let through
      (`ClientAuth.report`, `danger`); None for a verified one, and without a certificate.
    - `tls_version`, `cipher_suite`: the numbers on the wire, 0x0304 and 0x1301 for example.

    A raw public key (RFC 7250) is no certificate: a client or server with one is described as one without, but for
    `client_cert_error`, which says why the key is not trusted. The key is in `peer(scope).raw_key`.

    Raises:
        HandshakePending: the handshake is not done.
    """
    info, peer = connection.info, connection.peer
    own = info.credential
    return {
        "server_cert": own.chain[0].pem() if own is not None and own.chain else None,
        "client_cert_chain": tuple([one.pem() for one in client_chain(peer)]),
        "client_cert_name": peer.subject if peer is not None and peer.presented else None,
        "client_cert_error": why_not_verified(peer),
        "tls_version": int(info.version),
        "cipher_suite": int(info.suite),
    }


def peer(scope: Mapping[str, Any]) -> Peer | None:
    """The client of a scope, for `Authorize.refusal`; None for one without a certificate, and where nobody knows.

    With `ClientAuth.report` a client may have a certificate that is not good: `error` says why, `verified` is empty,
    and no rule of `Authorize` lets it in.
    """
    found: Peer | None = (scope.get("extensions") or {}).get(_PEER)
    return found


class TLSExtension:
    """An application as one connection's clients see it: its scopes carry the TLS extension, and `peer`.

    It is for servers: each connection gets one of its own, around the application of all. Scopes of other kinds than
    "http" and "websocket" are passed on as they are, and so are all scopes when the connection is not of trustls.

    Args:
        app: the application. What else it is called with beside the scope is the server's affair.
        ssl_object: gives the connection's SSLObject or SSLSocket, asked at every request; anything else is no TLS.
    """

    __slots__ = ("_app", "_extension", "_peer", "ssl_object")

    def __init__(self, app: Callable[..., Awaitable[Any]], ssl_object: Callable[[], object] = lambda: None) -> None:
        self.ssl_object = ssl_object
        self._app = app
        self._extension: dict[str, Any] | None = None
        self._peer: Peer | None = None

    def __call__(self, scope: Scope, *others: Any) -> Awaitable[Any]:
        """Call the application."""
        if scope["type"] in _CONNECTED:
            # Nobody but this connection says who its client is.
            extensions = {key: value for key, value in (scope.get("extensions") or {}).items() if key != _PEER}
            connection = server_connection(self.ssl_object())
            if connection is not None:
                extensions |= {"tls": dict(self._described(connection)), _PEER: connection.peer}
            # In place: servers log by this very scope what applications have changed in it.
            scope["extensions"] = extensions
        return self._app(scope, *others)

    def _described(self, connection: ServerConnection) -> dict[str, Any]:
        """The extension, made once; and once more when a certificate has come after the handshake."""
        if self._extension is None or self._peer is not connection.peer:
            self._peer = connection.peer
            self._extension = tls_extension(connection)
        return self._extension
