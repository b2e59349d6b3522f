"""Kernel TLS (Linux): after the handshake the kernel seals and opens the records. Experimental.

    if ktls.unavailable() is None:
        connection = ServerConnection(config)
        ktls.handshake(sock, connection)
        with ktls.enable(sock, connection) as tls:
            tls.sendfile(file)  # without a copy in this process

It needs the kernel's module (`modprobe tls`). The handshake, and all that is decided in it, stays here; the keys go to
the kernel and are no longer in the connection's record layer. What is given up: key updates (a peer that sends one is
refused, and this side sends no more than one key may seal), client certificates after the handshake, tickets that come
after it, early data.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import struct
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import IO, Final, Self

from trustls.connection import Connection, Data
from trustls.connection.secrets import ConnectionSecrets, DirectionSecrets
from trustls.errors import (
    AlertDescription,
    AlertReceived,
    AsyncRequired,
    ConfigError,
    ConnectionClosed,
    HandshakeTimeout,
    Misbehaviour,
    PeerMisbehaved,
    TLSError,
    UnexpectedEOF,
)
from trustls.protocol.joiner import HandshakeJoiner
from trustls.protocol.record import HEADER_LENGTH, MAX_CIPHERTEXT, MAX_PLAINTEXT
from trustls.wire.enums import CipherSuite, ContentType, HandshakeType, ProtocolVersion

# linux/tls.h and linux/tcp.h; Python's socket module does not name them all.
_TCP_ULP: Final = 31
_SOL_TLS: Final = 282
_TLS_TX: Final = 1
_TLS_RX: Final = 2
_TLS_SET_RECORD_TYPE: Final = 1
_TLS_GET_RECORD_TYPE: Final = 2
_AES_GCM_128: Final = 51
_AES_GCM_256: Final = 52
_CHACHA20_POLY1305: Final = 54

_CIPHER_TYPES: Final = {
    CipherSuite.TLS_AES_128_GCM_SHA256: _AES_GCM_128,
    CipherSuite.TLS_AES_256_GCM_SHA384: _AES_GCM_256,
    CipherSuite.TLS_CHACHA20_POLY1305_SHA256: _CHACHA20_POLY1305,
    CipherSuite.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256: _AES_GCM_128,
    CipherSuite.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256: _AES_GCM_128,
    CipherSuite.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384: _AES_GCM_256,
    CipherSuite.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384: _AES_GCM_256,
    CipherSuite.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256: _CHACHA20_POLY1305,
    CipherSuite.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256: _CHACHA20_POLY1305,
}

_WARNING: Final = 1
_FATAL: Final = 2
_SEND_STEP: Final = 1 << 20
# What a peer may send that is no data before it sends some.
_MAX_IDLE_RECORDS: Final = 32
_LAST_WORDS_SECONDS: Final = 1.0
_KERNEL_ERRORS: Final = {
    errno.EBADMSG: Misbehaviour.BAD_RECORD_MAC,
    errno.EMSGSIZE: Misbehaviour.RECORD_OVERFLOW,
    errno.EINVAL: Misbehaviour.BAD_RECORD_VERSION,
}


def unavailable() -> str | None:
    """Why this kernel cannot do it, in a sentence; None when it can. It is found out by trying."""
    if not sys.platform.startswith("linux"):
        return "kernel TLS is for Linux here"
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.create_connection(listening.getsockname()) as one:
        return _prepare(one)


def crypto_info(secrets: ConnectionSecrets, direction: DirectionSecrets) -> bytes:
    """The kernel's `struct tls12_crypto_info_...` for one direction (linux/tls.h).

    Version and cipher in the byte order of this machine, then IV, key, salt and record number as TLS has them. For
    AES-GCM the salt is the first 4 bytes of the nonce, and the IV the other 8. In TLS 1.2 they are sent: the record's
    number, as we do.

    Raises:
        ConfigError: the kernel does not know this suite.
    """
    cipher = _CIPHER_TYPES.get(secrets.suite)
    if cipher is None:
        raise ConfigError(f"kernel TLS has no {secrets.suite}")
    number = direction.sequence.to_bytes(8, "big")
    if cipher == _CHACHA20_POLY1305:
        salt, iv = b"", direction.iv
    else:
        salt = direction.iv[:4]
        iv = direction.iv[4:] if secrets.version == ProtocolVersion.TLS1_3 else number
    return struct.pack("=HH", secrets.version, cipher) + iv + direction.key + salt + number


def handshake(sock: socket.socket, connection: Connection, *, timeout: float | None = 10.0) -> None:
    """Do the handshake on a connected, blocking socket, and read not one byte more: what follows is for the kernel.

    Args:
        sock: stays the caller's, also when this fails.
        connection: fresh.
        timeout: seconds for the whole of it.

    Raises:
        TLSError: it failed; the peer has been told.
        HandshakeTimeout, AsyncRequired, OSError: as for `TLSSocket.handshake`.
    """
    usual = sock.gettimeout()
    deadline = None if timeout is None else time.monotonic() + timeout

    def wait_no_longer() -> None:
        if deadline is not None:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError("timed out")
            sock.settimeout(left)

    try:
        while True:
            wait_no_longer()
            sock.sendall(connection.data_to_send())
            if not connection.handshaking:
                return
            if connection.pending_work is not None:
                raise AsyncRequired(f"to {connection.pending_work} is asynchronous here: use trustls.aio")
            _receive_record(sock, connection, wait_no_longer)
    except TimeoutError:
        late = HandshakeTimeout(f"the handshake was not finished within {timeout} s")
        _tell(sock, connection, late)
        raise late from None
    except TLSError as error:
        _tell(sock, connection, error)
        raise
    finally:
        sock.settimeout(usual)


def _tell(sock: socket.socket, connection: Connection, error: TLSError) -> None:
    connection.abort(error)
    sock.settimeout(_LAST_WORDS_SECONDS)
    with contextlib.suppress(OSError):
        sock.sendall(connection.data_to_send())


def _receive_record(sock: socket.socket, connection: Connection, wait_no_longer: Callable[[], None]) -> None:
    """Give the connection one record. What has no length that could be one it refuses by the header."""
    wanted = HEADER_LENGTH
    record = b""
    while len(record) < wanted:
        wait_no_longer()
        part = sock.recv(wanted - len(record))
        if not part:
            connection.receive(record)
            connection.receive_eof()
            return
        record += part
        if len(record) == HEADER_LENGTH:
            size = int.from_bytes(record[3:5], "big")
            wanted += size if size <= MAX_CIPHERTEXT else 0
    connection.receive(record)


def enable(sock: socket.socket, connection: Connection) -> KernelSocket:
    """Hand the records of a connection over to the kernel. `connection` is ended by it: see `extract_secrets`.

    Args:
        sock: what the handshake was made on, by `handshake` above. The result closes it.
        connection: finished with its handshake, and with nothing under way.

    Raises:
        ConfigError: the kernel cannot do it, nor records shorter than the version's, or something is under way. Socket
            and connection go on as they were.
        HandshakePending, ConnectionClosed, TLSError: as for `extract_secrets`.
        OSError: the kernel has TLS, but not this suite or version. The keys are gone: the socket is closed.
    """
    suite = connection.info.suite
    if suite not in _CIPHER_TYPES:
        raise ConfigError(f"kernel TLS has no {suite}")
    if connection.max_fragment_size < MAX_PLAINTEXT:
        raise ConfigError(
            f"records may hold {connection.max_fragment_size} bytes here, as configured or as the peer takes them, and "
            f"kernel TLS makes them of {MAX_PLAINTEXT}"
        )
    why_not = _prepare(sock)
    if why_not is not None:
        raise ConfigError(why_not)
    secrets = connection.extract_secrets()
    try:
        sock.setsockopt(_SOL_TLS, _TLS_TX, crypto_info(secrets, secrets.sending))
        sock.setsockopt(_SOL_TLS, _TLS_RX, crypto_info(secrets, secrets.receiving))
    except OSError:
        sock.close()
        raise
    sending = secrets.sending
    tickets = connection.is_client and secrets.version == ProtocolVersion.TLS1_3
    return KernelSocket(sock, records_left=sending.limit - sending.sequence, takes_tickets=tickets)


def _prepare(sock: socket.socket) -> str | None:
    """Put the kernel's TLS on a socket, which changes nothing until there are keys; why that cannot be done."""
    try:
        sock.setsockopt(socket.IPPROTO_TCP, _TCP_ULP, b"tls")
    except OSError as error:
        if error.errno != errno.EEXIST:  # It is there already.
            return f"this kernel has no TLS, or may not load it (modprobe tls): {error.strerror}"
    return None


class KernelSocket:
    """A socket whose records the kernel makes. Made by `enable`. One thread may receive while another sends."""

    def __init__(self, sock: socket.socket, *, records_left: int, takes_tickets: bool) -> None:
        self._socket = sock
        self._records_left = records_left
        self._takes_tickets = takes_tickets
        self._joiner = HandshakeJoiner()
        self._plaintext = memoryview(b"")
        self._idle_records = 0
        self._close_sent = False
        self.peer_closed = False

    # -- Data ---------------------------------------------------------------------------------------------------------

    def recv(self, size: int = MAX_PLAINTEXT) -> bytes:
        """At least one and at most `size` bytes of data; `b""` once the peer has closed its side.

        Raises:
            TLSError: the peer broke the rules, and has been told; or sent an alert. UnexpectedEOF: it ended without
                close_notify, data may be missing.
            TimeoutError, OSError: as for sockets.
        """
        while not self._plaintext and not self.peer_closed:
            try:
                self._receive()
            except TLSError as error:
                self._fail(error)
                raise
        taken = bytes(self._plaintext[:size])
        self._plaintext = self._plaintext[size:]
        return taken

    def sendall(self, data: Data) -> None:
        """Send all of `data`.

        Raises:
            ConnectionClosed: this side was closed, or its key has sealed as much as it may: open a new connection.
            TimeoutError, OSError: as for sockets.
        """
        view = memoryview(data).cast("B")
        for start in range(0, len(view), _SEND_STEP):
            piece = view[start : start + _SEND_STEP]
            self._spend(len(piece))
            self._socket.sendall(piece)

    def sendfile(self, file: IO[bytes], offset: int = 0, count: int | None = None) -> int:
        """Send a file, or `count` bytes of it, with `os.sendfile`; how many bytes were sent.

        Raises:
            ConnectionClosed, OSError: as for `sendall`.
        """
        size = count if count is not None else file.seek(0, 2) - offset
        # The kernel may make a record of each page that it sends.
        self._spend(size, largest=4096)
        return self._socket.sendfile(file, offset, size)

    def _spend(self, size: int, largest: int = MAX_PLAINTEXT) -> None:
        """Take account of the records that the kernel makes of `size` bytes. One more is kept for the last alert."""
        if self._close_sent:
            raise ConnectionClosed("this side has sent its close_notify")
        # Timeouts tear records: each call may begin one more than it must.
        records = -(-size // largest) + 1
        if records >= self._records_left:
            raise ConnectionClosed("the key is used up, and kernel TLS does not change it here: open a new connection")
        self._records_left -= records

    # -- Records that are no data -------------------------------------------------------------------------------------

    def _receive(self) -> None:
        """One read of the kernel: data, or the content of another record."""
        try:
            data, ancillary, flags, _ = self._socket.recvmsg(MAX_PLAINTEXT, socket.CMSG_SPACE(1))
        except OSError as error:
            reason = _KERNEL_ERRORS.get(error.errno or 0)
            if reason is None:
                raise
            raise PeerMisbehaved(reason, "so the kernel says") from None
        kinds = [content[0] for level, kind, content in ancillary if (level, kind) == (_SOL_TLS, _TLS_GET_RECORD_TYPE)]
        if flags & socket.MSG_CTRUNC:
            raise PeerMisbehaved(Misbehaviour.UNEXPECTED_RECORD, "the kernel does not say which")
        if not kinds and not data:
            raise UnexpectedEOF("the transport ended without a close_notify")
        kind = kinds[0] if kinds else ContentType.APPLICATION_DATA
        if kind == ContentType.APPLICATION_DATA and not self._joiner.waiting:
            if data:
                self._idle_records = 0
                self._plaintext = memoryview(data)
                return
        elif kind == ContentType.ALERT and not self._joiner.waiting:
            self._take_alert(data)
        elif kind == ContentType.HANDSHAKE:
            self._take_handshake(data)
        else:
            raise PeerMisbehaved(Misbehaviour.UNEXPECTED_RECORD, str(ContentType(kind)))
        self._idle_records += 1
        if self._idle_records > _MAX_IDLE_RECORDS:
            raise PeerMisbehaved(Misbehaviour.TOO_MANY_POST_HANDSHAKE_MESSAGES)

    def _take_alert(self, content: bytes) -> None:
        if len(content) != 2:
            raise PeerMisbehaved(Misbehaviour.BAD_ALERT, f"{len(content)} bytes")
        if content[1] == AlertDescription.CLOSE_NOTIFY:
            self.peer_closed = True
        elif content[1] != AlertDescription.USER_CANCELED:
            raise AlertReceived(content[1])

    def _take_handshake(self, content: bytes) -> None:
        """Pass over tickets. A KeyUpdate would need keys that nobody has any more."""
        if not content:
            raise PeerMisbehaved(Misbehaviour.EMPTY_FRAGMENT, "handshake")
        self._joiner.add(content)
        while (message := self._joiner.next_message()) is not None:
            if message[0] != HandshakeType.NEW_SESSION_TICKET or not self._takes_tickets:
                raise PeerMisbehaved(Misbehaviour.UNEXPECTED_MESSAGE, f"{HandshakeType(message[0])} with kernel TLS")

    def _fail(self, error: TLSError) -> None:
        if error.alert is not None and not self._close_sent:
            with contextlib.suppress(OSError):
                self._send_alert(_FATAL, error.alert)
        self._close_sent = True

    def _send_alert(self, level: int, description: AlertDescription) -> None:
        record_type = [(_SOL_TLS, _TLS_SET_RECORD_TYPE, bytes((ContentType.ALERT,)))]
        self._socket.sendmsg([bytes((level, description))], record_type)

    # -- The end ------------------------------------------------------------------------------------------------------

    def close_write(self) -> None:
        """Say that this side sends no more (close_notify), and go on receiving."""
        if not self._close_sent:
            self._close_sent = True
            self._send_alert(_WARNING, AlertDescription.CLOSE_NOTIFY)

    def close(self) -> None:
        """Send close_notify, if that is still to be done, and close the socket. It waits a second at most."""
        if self._socket.fileno() < 0:
            return
        try:
            self._socket.settimeout(_LAST_WORDS_SECONDS)
            with contextlib.suppress(OSError):
                self.close_write()
        finally:
            self._socket.close()

    def settimeout(self, seconds: float | None) -> None:
        """Bound each wait for the network; None for no bound."""
        self._socket.settimeout(seconds)

    def fileno(self) -> int:
        """The socket's file descriptor."""
        return self._socket.fileno()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
