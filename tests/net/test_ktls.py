"""Kernel TLS: what the kernel is told, and, where it has the module, that it then talks TLS with a peer."""

from __future__ import annotations

import os
import socket
import struct
import sys
import threading
from typing import Any

import pytest

from tests.support.identities import client_config, server_config
from tests.support.memory import connect
from tests.support.servers import ThreadedServer
from trustls.connection import ClientConnection, ServerConnection
from trustls.connection.secrets import ConnectionSecrets, DirectionSecrets
from trustls.errors import (
    AlertReceived,
    ConfigError,
    ConnectionClosed,
    HandshakeTimeout,
    Misbehaviour,
    PeerMisbehaved,
    TLSError,
    UnexpectedEOF,
)
from trustls.net import ktls
from trustls.wire.enums import CipherSuite, ProtocolVersion

WHY_NOT = ktls.unavailable()
needs_kernel = pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="kernel TLS is Linux's")

NUMBER = 0x0102030405060708
IV12 = bytes(range(100, 112))
IV4 = bytes(range(100, 104))
DATA, ALERT, HANDSHAKE = 23, 21, 22
SUITES = [
    ("1.3", "TLS_AES_128_GCM_SHA256"),
    ("1.3", "TLS_AES_256_GCM_SHA384"),
    ("1.3", "TLS_CHACHA20_POLY1305_SHA256"),
    ("1.2", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"),
    ("1.2", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"),
    ("1.2", "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"),
]


# -- What the kernel is told: struct tls12_crypto_info_* of linux/tls.h -----------------------------------------------


@pytest.mark.parametrize(
    ("version", "suite", "key_length", "cipher", "iv", "told_iv", "salt"),
    [
        (0x0304, "TLS_AES_128_GCM_SHA256", 16, 51, IV12, IV12[4:], IV12[:4]),
        (0x0304, "TLS_AES_256_GCM_SHA384", 32, 52, IV12, IV12[4:], IV12[:4]),
        (0x0304, "TLS_CHACHA20_POLY1305_SHA256", 32, 54, IV12, IV12, b""),
        (0x0303, "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", 16, 51, IV4, NUMBER.to_bytes(8, "big"), IV4),
        (0x0303, "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", 32, 52, IV4, NUMBER.to_bytes(8, "big"), IV4),
        (0x0303, "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", 32, 54, IV12, IV12, b""),
    ],
)
def test_crypto_info_is_laid_out_as_the_kernel_reads_it(
    version: int, suite: str, key_length: int, cipher: int, iv: bytes, told_iv: bytes, salt: bytes
) -> None:
    key = bytes(range(key_length))
    direction = DirectionSecrets(key, iv, NUMBER, 1 << 24)
    secrets = ConnectionSecrets(ProtocolVersion(version), CipherSuite.from_iana(suite), direction, direction)
    told = ktls.crypto_info(secrets, direction)
    assert struct.unpack_from("=HH", told) == (version, cipher)
    assert told[4:] == told_iv + key + salt + NUMBER.to_bytes(8, "big")
    assert len(told) == {51: 40, 52: 56, 54: 56}[cipher]


@pytest.mark.parametrize(("version", "suite"), SUITES)
def test_every_suite_that_can_be_negotiated_can_be_told(version: str, suite: str) -> None:
    restriction = {"versions": [version], "suites": [suite]}
    made = connect(server_config(**restriction), client_config(**restriction)).check_connected()
    secrets = made.client.extract_secrets()
    assert len(ktls.crypto_info(secrets, secrets.sending)) in {40, 56}


# -- Where the kernel cannot ------------------------------------------------------------------------------------------


@pytest.mark.skipif(WHY_NOT is None, reason="this kernel has TLS")
def test_kernel_without_tls_leaves_the_connection_as_it_was() -> None:
    with ThreadedServer(server_config()) as server, socket.create_connection(("127.0.0.1", server.port), 10) as sock:
        connection = ClientConnection(client_config(), "localhost")
        ktls.handshake(sock, connection)
        with pytest.raises(ConfigError, match="kernel"):
            ktls.enable(sock, connection)
        connection.send(b"still here")
        connection.close()
        sock.sendall(connection.data_to_send())
        got = b""
        while not connection.peer_closed:
            got += connection.receive(sock.recv(65536))
    assert got == b"still here"


@pytest.mark.parametrize("settings", [{"max_fragment_size": 1000}, {"record_size_limit": 1000}])
def test_kernel_that_cannot_make_short_records_is_given_none(settings: dict[str, int]) -> None:
    with (
        ThreadedServer(server_config(record_size_limit=1001)) as server,
        socket.create_connection(("127.0.0.1", server.port), 10) as sock,
    ):
        connection = ClientConnection(client_config(**settings), "localhost")
        ktls.handshake(sock, connection)
        with pytest.raises(ConfigError, match="records may hold 1000 bytes"):
            ktls.enable(sock, connection)
        connection.send(b"still here")
        connection.close()
        sock.sendall(connection.data_to_send())
        while not connection.peer_closed:
            connection.receive(sock.recv(65536))


# -- The handshake ----------------------------------------------------------------------------------------------------


def test_handshake_reads_not_one_byte_more() -> None:
    left, right = socket.socketpair()
    with left, right:
        serving = ServerConnection(server_config())

        def serve() -> None:
            while serving.handshaking:
                serving.receive(right.recv(65536))
                if not serving.handshaking:
                    serving.send(b"at once")
                right.sendall(serving.data_to_send())

        thread = threading.Thread(target=serve)
        thread.start()
        connection = ClientConnection(client_config(), "localhost")
        ktls.handshake(left, connection, timeout=10)
        thread.join(10)
        left.settimeout(10)
        assert connection._incoming == b""
        got = b""
        while b"at once" not in got:
            got += connection.receive(left.recv(65536))
    assert got == b"at once", "tickets and data were left in the socket"


def test_handshake_that_takes_too_long_is_given_up() -> None:
    left, right = socket.socketpair()
    with left, right:
        with pytest.raises(HandshakeTimeout):
            ktls.handshake(left, ClientConnection(client_config(), "localhost"), timeout=0.05)
        assert left.gettimeout() is None


@pytest.mark.parametrize(
    ("answer", "alert"), [(b"HTTP/1.1 400 Bad Request\r\n", 70), (b"\x16\x03\x03\xff\xff" + bytes(50), 22)]
)
def test_handshake_with_what_is_no_tls_fails_and_tells(answer: bytes, alert: int) -> None:
    left, right = socket.socketpair()
    with left, right:
        right.sendall(answer)
        with pytest.raises(PeerMisbehaved):
            ktls.handshake(left, ClientConnection(client_config(), "localhost"), timeout=10)
        left.shutdown(socket.SHUT_WR)
        said = b""
        while part := right.recv(65536):
            said += part
        assert said[-7:] == bytes((21, 3, 3, 0, 2, 2, alert))


def test_handshake_with_a_peer_that_hangs_up_fails() -> None:
    left, right = socket.socketpair()
    with left:
        right.sendall(b"\x16\x03")
        right.shutdown(socket.SHUT_WR)
        with right, pytest.raises(UnexpectedEOF):
            ktls.handshake(left, ClientConnection(client_config(), "localhost"), timeout=10)


# -- Records that are no data: a kernel that is played ----------------------------------------------------------------


class PlayedKernel:
    """What a socket with kernel TLS gives and takes: records by their type; an errno is raised."""

    def __init__(self, *incoming: tuple[int | None, bytes] | OSError) -> None:
        self.incoming = list(incoming)
        self.sent: list[tuple[int, bytes]] = []

    def recvmsg(self, _size: int, _ancillary: int) -> tuple[bytes, list[tuple[int, int, bytes]], int, None]:
        if not self.incoming:
            return b"", [], 0, None
        record = self.incoming.pop(0)
        if isinstance(record, OSError):
            raise record
        kind, content = record
        return content, [] if kind is None else [(282, 2, bytes((kind,)))], 0, None

    def sendall(self, data: memoryview) -> None:
        self.sent.append((DATA, bytes(data)))

    def sendmsg(self, buffers: list[bytes], ancillary: list[tuple[int, int, bytes]]) -> int:
        ((level, kind, content),) = ancillary
        assert (level, kind) == (282, 1)
        self.sent.append((content[0], b"".join(buffers)))
        return len(buffers[0])


def kernel_socket(
    *incoming: tuple[int | None, bytes] | OSError, tickets: bool = True, left: int = 1000
) -> tuple[ktls.KernelSocket, PlayedKernel]:
    kernel: Any = PlayedKernel(*incoming)
    return ktls.KernelSocket(kernel, records_left=left, takes_tickets=tickets), kernel


def read_all(tls: ktls.KernelSocket) -> None:
    while tls.recv():
        pass


TICKET = b"\x04\x00\x00\x03abc"


@linux
def test_data_is_given_and_tickets_are_passed_over() -> None:
    tls, kernel = kernel_socket(
        (DATA, b"one"), (HANDSHAKE, TICKET + TICKET[:3]), (HANDSHAKE, TICKET[3:]), (None, b"two"), (ALERT, b"\x01\x00")
    )
    assert [tls.recv(2), tls.recv(), tls.recv(), tls.recv(), tls.recv()] == [b"on", b"e", b"two", b"", b""]
    assert tls.peer_closed
    assert kernel.sent == []


@linux
@pytest.mark.parametrize(
    ("incoming", "error", "alert"),
    [
        ([(HANDSHAKE, b"\x18\x00\x00\x01\x00")], PeerMisbehaved, 10),  # KeyUpdate
        ([(HANDSHAKE, b"\x00\x00\x00\x00")], PeerMisbehaved, 10),
        ([(HANDSHAKE, b"")], PeerMisbehaved, 10),
        ([(HANDSHAKE, TICKET[:3]), (DATA, b"x")], PeerMisbehaved, 10),
        ([(HANDSHAKE, TICKET[:3]), (ALERT, b"\x01\x00")], PeerMisbehaved, 10),
        ([(HANDSHAKE, b"\x04\xff\xff\xff")], TLSError, None),
        ([(20, b"\x01")], PeerMisbehaved, 10),
        ([(99, b"\x01")], PeerMisbehaved, 10),
        ([(ALERT, b"\x02")], PeerMisbehaved, 50),
        ([(ALERT, b"\x02\x28")], AlertReceived, None),
        ([(HANDSHAKE, TICKET)] * 40, PeerMisbehaved, 10),
        ([(DATA, b"")] * 40, PeerMisbehaved, 10),
        ([OSError(74, "Bad message")], PeerMisbehaved, 20),
        ([], UnexpectedEOF, None),
    ],
)
def test_what_breaks_the_rules_ends_the_connection(
    incoming: list[Any], error: type[TLSError], alert: int | None
) -> None:
    tls, kernel = kernel_socket(*incoming)
    with pytest.raises(error):
        read_all(tls)
    if alert is not None:
        assert kernel.sent == [(ALERT, bytes((2, alert)))]
    with pytest.raises(ConnectionClosed):
        tls.sendall(b"no more")


@linux
def test_server_takes_no_tickets() -> None:
    tls, _ = kernel_socket((HANDSHAKE, TICKET), tickets=False)
    with pytest.raises(PeerMisbehaved) as caught:
        tls.recv()
    assert caught.value.reason is Misbehaviour.UNEXPECTED_MESSAGE


@linux
def test_no_key_seals_more_than_it_may() -> None:
    tls, kernel = kernel_socket(left=5)
    tls.sendall(bytes(3 << 14))
    with pytest.raises(ConnectionClosed, match="used up"):
        tls.sendall(b"x")
    tls.close_write()
    assert [kind for kind, _ in kernel.sent] == [DATA, ALERT], "what was kept back is for the close_notify"


@linux
def test_close_notify_goes_out_once_and_receiving_goes_on() -> None:
    tls, kernel = kernel_socket((DATA, b"late"))
    tls.close_write()
    tls.close_write()
    assert kernel.sent == [(ALERT, b"\x01\x00")]
    assert tls.recv() == b"late"
    with pytest.raises(ConnectionClosed):
        tls.sendall(b"x")


# -- The kernel itself ------------------------------------------------------------------------------------------------


@needs_kernel
@pytest.mark.parametrize(("version", "suite"), SUITES)
def test_kernel_talks_with_a_server(version: str, suite: str) -> None:
    restriction = {"versions": [version], "suites": [suite]}
    data = os.urandom(300_000)
    with ThreadedServer(server_config(**restriction)) as server:
        sock = socket.create_connection(("127.0.0.1", server.port), 10)
        connection = ClientConnection(client_config(**restriction), "localhost")
        ktls.handshake(sock, connection)
        with ktls.enable(sock, connection) as tls:
            sender = threading.Thread(target=tls.sendall, args=(data,))
            sender.start()
            got = b""
            while len(got) < len(data) and (part := tls.recv()):
                got += part
            sender.join(10)
            tls.close_write()
            assert tls.recv() == b"", "the server's close_notify"
        assert got == data
        assert server.outcome().error is None, "the server saw a proper close"


@needs_kernel
def test_kernel_refuses_a_key_update() -> None:
    def update(tls: Any) -> None:
        tls.update_keys(request_peer=False)
        tls.sendall(b"under the new key")
        tls.recv()

    with ThreadedServer(server_config(versions=["1.3"]), update) as server:
        sock = socket.create_connection(("127.0.0.1", server.port), 10)
        connection = ClientConnection(client_config(versions=["1.3"]), "localhost")
        ktls.handshake(sock, connection)
        with ktls.enable(sock, connection) as tls, pytest.raises(PeerMisbehaved):
            tls.recv()
        assert isinstance(server.outcome().error, TLSError)
