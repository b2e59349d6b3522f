"""WSGI: the connection and its client certificate in the environ of every request, by the names of Apache's mod_ssl.

`TLSEnviron(app)` is middleware for gunicorn, Werkzeug (so Flask's server), and wsgiref with `TLSRequestHandler`:
SSL_CLIENT_VERIFY, SSL_CLIENT_S_DN, SSL_CLIENT_CERT, SSL_PROTOCOL and the like, and `peer(environ)` for `Authorize`.
What a client puts into headers of such names is never taken for them.
"""

from __future__ import annotations

import functools
import ssl
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final
from wsgiref.simple_server import WSGIRequestHandler

from trustls.config import ServerConfig
from trustls.errors import CertificateRejected
from trustls.net.clients import client_chain, server_connection, why_not_verified, with_alpn
from trustls.stdlib.described import VERSION_NAMES, cipher
from trustls.stdlib.peercert import peercert

if TYPE_CHECKING:
    from trustls.connection import ServerConnection
    from trustls.trust.certificate import Certificate
    from trustls.trust.verifiers import Peer
    from trustls.wire.names import DistinguishedName

__all__ = ["TLSEnviron", "TLSRequestHandler", "gunicorn_context", "peer", "tls_environ"]

Application = Callable[[dict[str, Any], Any], Iterable[bytes]]

_SOCKET: Final = "trustls.socket"
_PEER: Final = "trustls.peer"
# Where servers put the socket that a request came by.
_SOCKETS: Final = ("gunicorn.socket", "werkzeug.socket", _SOCKET)
# What only this module says. Headers of these names arrive with HTTP_ before them, and mislead as well.
_OURS: Final = ("SSL_", "HTTP_SSL_")
_OURS_TOO: Final = frozenset({"HTTPS", "HTTP_HTTPS", _PEER})

# The names that mod_ssl has for the attributes of a name.
_ATTRIBUTES: Final = {
    "2.5.4.6": "C",
    "2.5.4.8": "ST",
    "2.5.4.7": "L",
    "2.5.4.10": "O",
    "2.5.4.11": "OU",
    "2.5.4.3": "CN",
    "2.5.4.12": "T",
    "2.5.4.43": "I",
    "2.5.4.42": "G",
    "2.5.4.4": "S",
    "2.5.4.13": "D",
    "0.9.2342.19200300.100.1.1": "UID",
    "1.2.840.113549.1.9.1": "Email",
}


class TLSEnviron:
    """Middleware that says in each environ what is known of the connection; see `tls_environ`.

    It removes whatever else stands in the environ by such names: every SSL_* and HTTP_SSL_*, HTTPS, HTTP_HTTPS. Put it
    outermost, so that nothing before it believes them. Over a connection in the clear that is all it does.

    Args:
        app: the application.
    """

    def __init__(self, app: Application) -> None:
        self._app = app

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Call the application.

        Raises:
            TypeError: the connection is one of `ssl` and not of trustls, so that nothing can be said of it.
        """
        for key in [key for key in environ if key.startswith(_OURS) or key in _OURS_TOO]:
            del environ[key]
        connection = _connection(environ)
        if connection is not None:
            environ.update(tls_environ(connection))
            environ[_PEER] = connection.peer
        return self._app(environ, start_response)


def gunicorn_context(config: ServerConfig | Callable[[], ServerConfig]) -> Callable[[Any, Any], ssl.SSLContext]:
    """The `ssl_context` of a gunicorn.conf.py: TLS by trustls. gunicorn asks it at each connection.

    Its ALPN protocols are those of `config`; where that names none, those of gunicorn's `http_protocols` if HTTP/2 is
    among them.

    Args:
        config: how the server answers, in all workers; or a function that makes it, called once in each worker, for
            what has threads, which no fork takes along (`Credential.reloading`).

    Raises:
        ConfigError: at a connection: `config` has an ALPN protocol that is not in `http_protocols`.
    """
    made: list[ssl.SSLContext] = []
    lock = threading.Lock()

    def ssl_context(settings: Any, _default: Any) -> ssl.SSLContext:
        with lock:
            if not made:
                spoken = getattr(settings, "http_protocols", ("h1",))  # Before 25 there was nothing else.
                names = ["http/1.1" if name == "h1" else name for name in spoken]
                chosen = config if isinstance(config, ServerConfig) else config()
                proposed = tuple(names) if "h2" in names else ()
                made.append(with_alpn(chosen, proposed, tuple(names), "gunicorn").ssl_context())
            return made[0]

    return ssl_context


class TLSRequestHandler(WSGIRequestHandler):
    """wsgiref's handler of requests, for `make_server(handler_class=)`, which shows the socket to `TLSEnviron`."""

    def get_environ(self) -> dict[str, Any]:
        """The environ of wsgiref, and the socket."""
        return {**super().get_environ(), _SOCKET: self.connection}


def peer(environ: Mapping[str, Any]) -> Peer | None:
    """The client of a request, for `Authorize.refusal`; None for one without a certificate, and where nobody knows.

    With `ClientAuth.report` a client may have a certificate that is not good: `error` says why, `verified` is empty,
    and no rule of `Authorize` lets it in.
    """
    found: Peer | None = environ.get(_PEER)
    return found


def tls_environ(connection: ServerConnection) -> dict[str, str]:
    """What an environ says of a connection, by the names of mod_ssl.

    - `HTTPS`: "on". `SSL_PROTOCOL`: "TLSv1.3". `SSL_CIPHER`: OpenSSL's name; `SSL_CIPHER_USEKEYSIZE`. `SSL_TLS_SNI`:
      the host that was asked for. `SSL_SESSION_RESUMED`: "Initial" or "Resumed".
    - `SSL_CLIENT_VERIFY`: "SUCCESS"; "NONE" without a certificate; "FAILED:" and the reason for one that is not good,
      which can only be where such clients are let through (`ClientAuth.report`).
    - `SSL_CLIENT_CERT`, `SSL_CLIENT_CERT_CHAIN_0`, ...: the certificates that the client sent, as PEM.
    - `SSL_CLIENT_S_DN`, `SSL_CLIENT_I_DN`: subject and issuer as RFC 4514 text, in ASCII; their attributes, such as
      `SSL_CLIENT_S_DN_CN`, with `_0`, `_1`, ... where there are several; `SSL_CLIENT_M_SERIAL` (hex),
      `SSL_CLIENT_M_VERSION`; `SSL_CLIENT_V_START`, `SSL_CLIENT_V_END`; `SSL_CLIENT_SAN_DNS_0`, `SSL_CLIENT_SAN_Email_0`
      and, which mod_ssl has not, `SSL_CLIENT_SAN_URI_0`, `SSL_CLIENT_SAN_IP_0`. For a verified certificate only: what
      another says of itself is in `SSL_CLIENT_CERT`, for those who want to show it.
    - `SSL_SERVER_CERT`, `SSL_SERVER_S_DN`, ...: the same of the server's certificate, unless the session is resumed, in
      which none is sent.

    A raw public key (RFC 7250) is no certificate: a client or server that has one is described as one without. The key
    is in `peer(environ).raw_key`.

    Text beyond ASCII is UTF-8 whose bytes stand for characters, as PEP 3333 has it.

    Raises:
        HandshakePending: the handshake is not done.
    """
    info, client = connection.info, connection.peer
    suite, _, bits = cipher(info.suite)
    found = {
        "HTTPS": "on",
        "SSL_PROTOCOL": VERSION_NAMES[info.version],
        "SSL_CIPHER": suite,
        "SSL_CIPHER_USEKEYSIZE": str(bits),
        "SSL_CIPHER_ALGKEYSIZE": str(bits),
        "SSL_SESSION_RESUMED": "Resumed" if info.resumed else "Initial",
        "SSL_CLIENT_VERIFY": _verdict(client),
    }
    if info.server_name is not None:
        found["SSL_TLS_SNI"] = info.server_name
    for number, one in enumerate(client_chain(client)):
        found["SSL_CLIENT_CERT" if number == 0 else f"SSL_CLIENT_CERT_CHAIN_{number - 1}"] = one.pem()
    if client is not None and client.verified:
        found |= _certificate("SSL_CLIENT", client.certificate)
    if info.credential is not None and info.credential.chain:
        own = info.credential.chain[0]
        found["SSL_SERVER_CERT"] = own.pem()
        found |= _certificate("SSL_SERVER", own)
    return found


def _connection(environ: Mapping[str, Any]) -> ServerConnection | None:
    """The connection that the request came by; None in the clear."""
    for key in _SOCKETS:
        found = environ.get(key)
        connection = server_connection(found)
        if connection is not None:
            return connection
        if isinstance(found, ssl.SSLSocket):
            raise TypeError(
                f"{key} is a socket of {type(found).__module__}, of which TLSEnviron can say nothing: give the server "
                "a context of trustls, ServerConfig(...).ssl_context()"
            )
    return None


def _verdict(client: Peer | None) -> str:
    reason = why_not_verified(client)
    if client is None or (client.raw_key is not None and reason is None):
        return "NONE"
    return "SUCCESS" if reason is None else f"FAILED:{_native(reason)}"


@functools.lru_cache(maxsize=256)  # They cost more than all the rest, and each client makes many requests.
def _certificate(prefix: str, certificate: Certificate) -> Mapping[str, str]:
    """The variables of one certificate. Names in forms that cannot be read are left out."""
    said = peercert(certificate)
    found = {
        f"{prefix}_M_VERSION": str(said["version"]),
        f"{prefix}_M_SERIAL": str(said["serialNumber"]),
        f"{prefix}_V_START": str(said["notBefore"]),
        f"{prefix}_V_END": str(said["notAfter"]),
        **_name(f"{prefix}_S_DN", certificate.subject),
        **_name(f"{prefix}_I_DN", certificate.issuer),
    }
    try:
        forms = {
            "DNS": certificate.dns_names,
            "Email": certificate.emails,
            "URI": certificate.uris,
            "IP": tuple(map(str, certificate.ip_addresses)),
        }
    except CertificateRejected:
        return found
    for form, names in forms.items():
        found |= {f"{prefix}_SAN_{form}_{number}": name for number, name in enumerate(names)}
    return found


def _name(key: str, name: DistinguishedName) -> dict[str, str]:
    """A name as a whole, and its attributes one by one."""
    # RFC 4514 2.4 lets any character be written as the hex of its UTF-8: so it survives whatever an environ goes
    # through. nginx does the same.
    whole = "".join(
        [one if one.isascii() else "".join([f"\\{byte:02X}" for byte in one.encode()]) for one in name.rfc4514()]
    )
    found = {key: whole}
    values: dict[str, list[str]] = {}
    for oid, value in name.attributes():
        if oid in _ATTRIBUTES:
            values.setdefault(_ATTRIBUTES[oid], []).append(_native(value))
    for attribute, texts in values.items():
        found[f"{key}_{attribute}"] = texts[0]
        if len(texts) > 1:
            found |= {f"{key}_{attribute}_{number}": text for number, text in enumerate(texts)}
    return found


def _native(text: str) -> str:
    """Text as an environ has it (PEP 3333): the bytes of its UTF-8 as characters of Latin-1."""
    return text.encode("utf-8", "backslashreplace").decode("latin-1")
