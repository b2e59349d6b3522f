"""pyOpenSSL, which brings an OpenSSL of its own, as far as the program in `jobs` needs it.

For some of it pyOpenSSL has no method, but the binding below it the function: choosing groups, checking the server's
name, asking whether a session was resumed, and being called when a certificate is asked for.
"""

from __future__ import annotations

import argparse
import socket
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL, crypto
from OpenSSL import __version__ as _pyopenssl_version
from OpenSSL._util import ffi as _ffi
from OpenSSL._util import lib as _binding

VERSION = f"{SSL.OpenSSL_version(SSL.OPENSSL_VERSION).decode()}, pyOpenSSL {_pyopenssl_version}"
WANT_READ = SSL.WantReadError
WANT_WRITE = SSL.WantWriteError

_VERSIONS = {"1.2": SSL.TLS1_2_VERSION, "1.3": SSL.TLS1_3_VERSION}
_VERIFY = {
    "none": SSL.VERIFY_NONE,
    "optional": SSL.VERIFY_PEER,
    "required": SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT,
}


def server(options: argparse.Namespace) -> Server:
    return Server(options)


def client(options: argparse.Namespace) -> Client:
    return Client(options)


class Server:
    """A server that names the CAs it trusts, unless told not to."""

    def __init__(self, options: argparse.Namespace) -> None:
        context = self._context = _context(SSL.TLS_SERVER_METHOD, options)
        context.use_certificate_chain_file(options.cert[0])
        context.use_privatekey_file(options.key[0])
        context.set_session_id(b"interop")  # Without it OpenSSL resumes no session that has a client certificate.
        context.set_verify(_VERIFY[options.client_auth])
        if options.client_ca:
            context.load_verify_locations(options.client_ca)
            if not options.no_hints:
                for certificate in _certificates(options.client_ca):
                    context.add_client_ca(certificate)
        if options.alpn:
            own = [name.encode() for name in options.alpn]
            context.set_alpn_select_callback(
                lambda _, offered: next((name for name in own if name in offered), SSL.NO_OVERLAPPING_PROTOCOLS)
            )

    def wrap(self, raw: socket.socket) -> Stream:
        connection = SSL.Connection(self._context, raw)
        connection.set_accept_state()
        return Stream(connection)


class Client:
    """A client that chooses its certificate by the CAs that the server names, if it names any."""

    def __init__(self, options: argparse.Namespace) -> None:
        context = self._context = _context(SSL.TLS_CLIENT_METHOD, options)
        context.load_verify_locations(options.ca)
        context.set_verify(SSL.VERIFY_PEER)
        if options.alpn:
            context.set_alpn_protos([name.encode() for name in options.alpn])
        self._server_name: bytes = options.server_name.encode()
        self._identities = [
            (_certificates(chain), crypto.load_privatekey(crypto.FILETYPE_PEM, Path(key).read_bytes()))
            for chain, key in zip(options.cert, options.key, strict=True)
        ]
        store = context.get_cert_store()
        assert store is not None
        for chain, _ in self._identities:
            for intermediate in chain[1:]:
                store.add_cert(
                    crypto.X509.from_cryptography(intermediate)
                )  # From here OpenSSL completes the chain that it sends.
        # Called when the server asks for a certificate; kept here for as long as OpenSSL may call it.
        self._callback = _ffi.callback("int (*)(SSL *, void *)", self._answer)
        _binding.SSL_CTX_set_cert_cb(context._context, self._callback, _ffi.NULL)
        self._last: Stream | None = None

    def wrap(self, raw: socket.socket) -> Stream:
        connection = SSL.Connection(self._context, raw)
        connection.set_tlsext_host_name(self._server_name)
        parameters = _binding.SSL_get0_param(connection._ssl)
        assert _binding.X509_VERIFY_PARAM_set1_host(parameters, self._server_name, len(self._server_name)) == 1
        if self._last is not None and self._last.session is not None:
            connection.set_session(self._last.session)
        connection.set_connect_state()
        self._last = Stream(connection)
        return self._last

    def _answer(self, _ssl: Any, _argument: Any) -> int:
        assert self._last is not None
        connection = self._last.connection
        names = [name.der() for name in connection.get_client_ca_list()]
        self._last.authorities = [name.hex() for name in names]
        for chain, key in self._identities:
            if not names or any(one.issuer.public_bytes() in names for one in chain):
                connection.use_certificate(chain[0])
                connection.use_privatekey(key)
                self._last.sent = chain[0].public_bytes(Encoding.DER).hex()
                break
        return 1


class Stream:
    """A connection."""

    def __init__(self, connection: SSL.Connection) -> None:
        self.connection = connection
        self.session: SSL.Session | None = None
        self.authorities: list[str] | None = None
        self.sent: str | None = None
        self.handshake = connection.do_handshake
        self.fileno = connection.fileno

    def recv(self, size: int) -> bytes:
        try:
            return self.connection.recv(size)
        except SSL.ZeroReturnError:
            return b""

    def send(self, data: memoryview) -> int:
        return self.connection.send(data)

    def shutdown(self) -> None:
        self.session = self.connection.get_session()  # By now the tickets of TLS 1.3 have come.
        while not self.connection.shutdown():
            pass  # The first call sends the close_notify, the second waits for the other one.

    def facts(self) -> dict[str, object]:
        peer = self.connection.get_peer_certificate(as_cryptography=True)
        return {
            "version": self.connection.get_protocol_version_name(),
            "resumed": bool(_binding.SSL_session_reused(self.connection._ssl)),
            "peer": None if peer is None else peer.public_bytes(Encoding.DER).hex(),
            "alpn": self.connection.get_alpn_proto_negotiated().decode() or None,
            "group": self.connection.get_group_name(),
            "authorities": self.authorities,
            "sent": self.sent,
        }

    def close(self) -> None:
        """Nothing: the socket is closed by whoever opened it."""


def _context(method: int, options: argparse.Namespace) -> SSL.Context:
    context = SSL.Context(method)
    context.set_min_proto_version(_VERSIONS[options.versions[0]])
    context.set_max_proto_version(_VERSIONS[options.versions[-1]])
    if options.groups:
        assert _binding.SSL_CTX_set1_curves_list(context._context, ":".join(options.groups).encode()) == 1
    return context


def _certificates(file: str) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(Path(file).read_bytes())
