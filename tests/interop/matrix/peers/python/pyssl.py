"""Python's `ssl`, as far as the program in `jobs` needs it: with the defaults of `ssl.create_default_context`."""

from __future__ import annotations

import argparse
import platform
import socket
import ssl

VERSION = f"Python {platform.python_version()}, {ssl.OPENSSL_VERSION}"
WANT_READ = ssl.SSLWantReadError
WANT_WRITE = ssl.SSLWantWriteError

_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
_VERIFY = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}


def client(options: argparse.Namespace) -> Endpoint:
    """A client that verifies the server's certificate and its name."""
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=options.ca)
    return Endpoint(context, options, server_name=options.server_name)


def server(options: argparse.Namespace) -> Endpoint:
    """A server. It never names the CAs that it trusts, so it need not be told not to."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=options.client_ca)
    context.verify_mode = _VERIFY[options.client_auth]
    if len(options.groups) == 1:
        # Of several, older Pythons can set none. A client's own choice has what the tests want.
        context.set_ecdh_curve(options.groups[0])
    return Endpoint(context, options)


class Endpoint:
    """A context, and the session of the last connection."""

    def __init__(self, context: ssl.SSLContext, options: argparse.Namespace, server_name: str | None = None) -> None:
        context.minimum_version = _VERSIONS[options.versions[0]]
        context.maximum_version = _VERSIONS[options.versions[-1]]
        for chain, key in zip(options.cert, options.key, strict=True):
            context.load_cert_chain(chain, key)
        if options.alpn:
            context.set_alpn_protocols(options.alpn)
        self._context = context
        self._server_name = server_name
        self._last: Stream | None = None

    def wrap(self, raw: socket.socket) -> Stream:
        tls = self._context.wrap_socket(
            raw,
            server_side=self._server_name is None,
            server_hostname=self._server_name,
            do_handshake_on_connect=False,
            suppress_ragged_eofs=False,
            session=self._last.session if self._last is not None and self._server_name is not None else None,
        )
        self._last = Stream(tls)
        return self._last


class Stream:
    """A connection."""

    def __init__(self, tls: ssl.SSLSocket) -> None:
        self._tls = tls
        self.session: ssl.SSLSession | None = None
        self.handshake = tls.do_handshake
        self.recv = tls.recv
        self.send = tls.send
        self.fileno = tls.fileno
        self.close = tls.close

    def shutdown(self) -> None:
        self.session = self._tls.session  # By now the tickets of TLS 1.3 have come.
        self._tls.unwrap()

    def facts(self) -> dict[str, object]:
        peer = self._tls.getpeercert(binary_form=True)
        return {
            "version": self._tls.version(),
            "resumed": self._tls.session_reused,
            "peer": None if peer is None else peer.hex(),
            "alpn": self._tls.selected_alpn_protocol(),
            "group": None,
            "authorities": None,
            "sent": None,
        }
