"""What `ssl.SSLObject` and `ssl.SSLSocket` tell of a connection, the same for both."""

from __future__ import annotations

import errno
import ssl
from typing import TYPE_CHECKING, Any, Final, Literal, overload

from trustls.connection import Connection, ServerConnection
from trustls.errors import ConfigError, HandshakePending, TLSError
from trustls.stdlib.errors import as_ssl_error
from trustls.stdlib.peercert import peercert
from trustls.stdlib.sessions import SSLSession
from trustls.wire.enums import CipherSuite, ProtocolVersion

if TYPE_CHECKING:
    from trustls.handshake.established import ConnectionInfo
    from trustls.stdlib.context import SSLContext
    from trustls.trust.verifiers import Peer

Cipher = tuple[str, str, int]

VERSION_NAMES: Final = {ProtocolVersion.TLS1_3: "TLSv1.3", ProtocolVersion.TLS1_2: "TLSv1.2"}
_TLS13_SUITES: Final = 0x13
_NOTHING: Final = memoryview(b"")


def cipher(suite: CipherSuite) -> Cipher:
    """A suite as `ssl` has it: OpenSSL's name, the version that it came with, the bits of its key."""
    bits = 128 if "AES_128" in suite.name else 256
    if suite >> 8 == _TLS13_SUITES:
        return suite.name, "TLSv1.3", bits
    name = suite.name.removeprefix("TLS_").replace("_WITH_", "_").replace("AES_", "AES")
    # OpenSSL leaves out the hash of ChaCha20-Poly1305.
    return name.removesuffix("_SHA256" if "CHACHA20" in name else "").replace("_", "-"), "TLSv1.2", bits


def described(suite: CipherSuite) -> dict[str, Any]:
    """A suite as an entry of `SSLContext.get_ciphers()`."""
    name, protocol, bits = cipher(suite)
    return {
        "id": 0x03000000 | int(suite),
        "name": name,
        "protocol": protocol,
        "description": f"{name} {protocol} ({suite.iana})",
        "strength_bits": bits,
        "alg_bits": bits,
        "aead": True,
    }


class Described:
    """Tells what was negotiated and who the peer is.

    `connection` is the trustls connection inside: `connection.info`, `connection.peer` and, on a client,
    `connection.requested` say more than `ssl` has words for.
    """

    _connection: Connection | None = None
    _context: SSLContext
    _session: SSLSession | None = None
    _server_hostname: str | None = None
    _plaintext: memoryview
    _end_told: bool = False

    @property
    def connection(self) -> Connection:
        """The trustls connection.

        Raises:
            OSError: ENOTCONN: there is none, before `connect` and after `unwrap`.
        """
        if self._connection is None:
            raise OSError(errno.ENOTCONN, "not connected by TLS")
        return self._connection

    @property
    def context(self) -> Any:
        """The context that this was made with. It cannot be changed: see `ServerConfig(choose_config=)`."""
        return self._context

    @context.setter
    def context(self, context: object) -> None:
        if context is not self._context:
            raise ConfigError("a connection keeps its context: choose by `ServerConfig(choose_config=...)`")

    @property
    def session(self) -> Any:
        """On a client the last SSLSession that the server gave, else None. TLS 1.3 servers give them after a while."""
        return self._session

    @session.setter
    def session(self, _: object) -> None:
        raise ValueError("a session is given to wrap_bio or wrap_socket, before the handshake begins")

    @property
    def session_reused(self) -> Any:
        """Whether the connection resumes an earlier one; None before that is known."""
        info = self._info()
        return None if info is None else info.resumed

    @property
    def server_side(self) -> bool:
        """Whether this is the server."""
        return self._context.is_server

    @property
    def server_hostname(self) -> str | None:
        """The server that a client asked for, as it was given; None on a server."""
        return self._server_hostname

    @overload
    def getpeercert(self, binary_form: Literal[False] = False) -> dict[str, Any] | None: ...
    @overload
    def getpeercert(self, binary_form: Literal[True]) -> bytes | None: ...
    @overload
    def getpeercert(self, binary_form: bool) -> Any: ...
    def getpeercert(self, binary_form: bool = False) -> Any:
        """The peer's certificate: as DER, or as the dict that `ssl` gives, which is empty when it was not verified.

        None when the peer presented none, or a raw public key (RFC 7250): that is in `connection.peer.raw_key`.

        Raises:
            ValueError: the handshake is not done.
        """
        peer = self._peer()
        if peer is None or peer.raw_key is not None:
            return None
        if binary_form:
            return peer.certificate.der
        return peercert(peer.certificate) if peer.verified else {}

    def get_verified_chain(self) -> list[bytes]:
        """The certificates from the peer's own to a root, as DER; empty when they were not verified."""
        peer = self._peer()
        return [] if peer is None else [one.der for one in peer.verified]

    def get_unverified_chain(self) -> list[bytes]:
        """The certificates that the peer sent, as DER, its own first."""
        peer = self._peer()
        return [] if peer is None else [one.der for one in peer.presented]

    def selected_alpn_protocol(self) -> str | None:
        """The application protocol that was agreed on, if any."""
        info = self._info()
        return None if info is None else info.alpn

    def selected_npn_protocol(self) -> None:
        """None: NPN is obsolete."""
        return

    def cipher(self) -> Cipher | None:
        """The suite: OpenSSL's name for it, the version of TLS, the bits of the key; None before it is agreed on."""
        info = self._info()
        return None if info is None else cipher(info.suite)

    def shared_ciphers(self) -> list[Cipher] | None:
        """On a server the suite that was agreed on, alone: a ClientHello is not kept. None on a client."""
        agreed = self.cipher()
        return [agreed] if agreed is not None and self._context.is_server else None

    def compression(self) -> None:
        """None: there is no compression."""
        return

    def version(self) -> str | None:
        """The version of TLS, as "TLSv1.3" or "TLSv1.2"; None before it is agreed on."""
        info = self._info()
        return None if info is None else VERSION_NAMES[info.version]

    def get_channel_binding(self, cb_type: str = "tls-unique") -> bytes | None:
        """What binds an authentication above TLS to this connection; None before the handshake is done.

        "tls-exporter" (RFC 9266) is to be had always. "tls-unique" (RFC 5929) is defined for TLS 1.2 alone; None in
        TLS 1.3.

        Raises:
            ValueError: another kind.
        """
        if cb_type not in {"tls-exporter", "tls-unique"}:
            raise ValueError(f"{cb_type} channel binding type not implemented; there are tls-exporter and tls-unique")
        if self._info() is None:
            return None
        if cb_type == "tls-exporter":
            # RFC 9266 4.2: 32 bytes, and an empty context.
            return self.connection.export("EXPORTER-Channel-Binding", 32, context=b"")
        return self.connection.tls_unique

    def _info(self) -> ConnectionInfo | None:
        """What was negotiated, once that is done; None also where that failed."""
        try:
            return None if self._connection is None else self._connection.info
        except TLSError:
            return None

    def pending(self) -> int:
        """How many bytes can be read without more from the peer; 1 where reading tells the end, or a failure.

        uvloop reads as long as this is not 0, and who waits by `select` must ask here first: what came is not there any
        more.
        """
        if self._plaintext or self._end_told or self._connection is None:
            return self._plaintext.nbytes
        return int(self._connection.peer_closed or self._connection.failure is not None)

    def _take_plaintext(self, size: int) -> bytes | memoryview:
        """The next `size` bytes of data, or what there is; nothing at the end, which is told by that."""
        piece = self._plaintext
        if len(piece) <= size:
            if size and not piece:
                self._end_told = True
            self._plaintext = _NOTHING
            whole = piece.obj
            return whole if isinstance(whole, bytes) and len(whole) == len(piece) else piece
        self._plaintext = piece[size:]
        return piece[:size]

    def _told(self, failure: TLSError) -> ssl.SSLError:
        """The failure, to be raised."""
        self._end_told = True
        return as_ssl_error(failure)

    def _peer(self) -> Peer | None:
        if self._info() is None:
            raise ValueError("handshake not done yet")
        return self.connection.peer

    def _keep_session(self) -> None:
        """Remember the session that came in this call, if one did."""
        received = self._context.received_session()
        if received is not None:
            self._session = received

    def _check_certificate_request(self) -> ServerConnection:
        """The connection, when a client may be asked for its certificate now."""
        if not isinstance(self.connection, ServerConnection):
            raise as_ssl_error(ConfigError("only a server asks for a certificate after the handshake"))
        if self.connection.handshaking:
            raise as_ssl_error(HandshakePending("the handshake is not done"))
        return self.connection
