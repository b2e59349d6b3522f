"""`wrap_socket` on sockets that block, or have a timeout: data, threads, files, timeouts."""

from __future__ import annotations

import io
import select
import socket
import ssl
import time
from pathlib import Path
from typing import Any

import pytest

from tests.stdlib.pairs import (
    SIDES,
    Beside,
    beside,
    contexts,
    our_client,
    our_server,
    read_all,
    read_exactly,
    socket_pair,
    tcp_pair,
)
from tests.support import identities
from trustls.stdlib import SSLSocket

LARGE = bytes(range(256)) * 8192  # 2 MiB: more than the buffers of loopback take.


@pytest.mark.parametrize("version", ["1.3", "1.2"])
@pytest.mark.parametrize("sides", SIDES)
def test_data_goes_both_ways_and_the_end_is_the_end(sides: str, version: str) -> None:
    with socket_pair(*contexts(sides, version=version, mutual=True)) as (client, server):
        assert client.version() == server.version() == f"TLSv{version}"
        client.sendall(b"question")
        assert server.recv(100) == b"question"
        server.sendall(b"answer")
        assert client.recv(100) == b"answer"
        ending = beside(client.unwrap)
        assert server.recv(100) == b""
        server.unwrap()
        ending.result()


@pytest.mark.parametrize("sides", SIDES)
@pytest.mark.parametrize("timeout", [None, 15.0])
def test_one_thread_sends_while_another_receives(sides: str, timeout: float | None) -> None:
    """On trustls's side. OpenSSL's has one thread: before Python 3.13, `ssl` does not keep two apart."""

    def echo(sock: Any) -> None:
        left = len(LARGE)
        while left:
            data = sock.recv(1 << 16)
            sock.sendall(data)
            left -= len(data)

    with socket_pair(*contexts(sides)) as (client, server):
        client.settimeout(timeout)
        server.settimeout(timeout)
        ours, other = (client, server) if isinstance(client, SSLSocket) else (server, client)
        echoing, sending = beside(echo, other), beside(ours.sendall, LARGE)
        assert beside(read_exactly, ours, len(LARGE)).result() == LARGE
        sending.result()
        echoing.result()


@pytest.mark.parametrize("timeout", [None, 15.0])
def test_both_sides_send_and_receive_at_once(timeout: float | None) -> None:
    with socket_pair(our_client(), our_server()) as (client, server):
        client.settimeout(timeout)
        server.settimeout(timeout)
        sending = [beside(client.sendall, LARGE), beside(server.sendall, LARGE[::-1])]
        receiving = [beside(read_exactly, server, len(LARGE)), beside(read_exactly, client, len(LARGE))]
        there, back = [one.result() for one in receiving]
        for one in sending:
            one.result()
    assert there == LARGE
    assert back == LARGE[::-1]


def test_a_reading_thread_answers_key_updates_while_another_sends() -> None:
    with socket_pair(our_client(), our_server()) as (client, server):

        def send_with_updates() -> None:
            for at in range(0, len(LARGE), 1 << 18):
                server.connection.update_keys(request_peer=True)
                server.sendall(LARGE[at : at + (1 << 18)])

        sending = [beside(client.sendall, LARGE), beside(send_with_updates)]
        receiving = [beside(read_exactly, server, len(LARGE)), beside(read_exactly, client, len(LARGE))]
        assert [one.result() == LARGE for one in receiving] == [True, True]
        for one in sending:
            one.result()


def test_a_reading_thread_never_waits_until_its_answers_are_sent() -> None:
    # The client reads, and owes an answer to each KeyUpdate, while nobody reads what it sends.
    with socket_pair(our_client(), our_server()) as (client, server):
        client.settimeout(None)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        stuck = beside(client.sendall, LARGE)
        for _ in range(50):
            server.connection.update_keys(request_peer=True)
            server.sendall(b"x" * 1000)
        assert len(beside(read_exactly, client, 50_000).result()) == 50_000, "the reading thread waits for the writer"
        assert read_exactly(server, len(LARGE)) == LARGE
        stuck.result()


def test_reading_does_not_wait_until_the_peer_reads() -> None:
    with socket_pair(our_client(), our_server()) as (client, server):
        client.setblocking(False)
        refused = 0
        while refused < 3:  # Not a byte fits any more: "not writable" alone leaves room for small records.
            try:
                client.send(LARGE[:65536])
                refused = 0
            except ssl.SSLWantWriteError:
                refused += not select.select([], [client], [], 0.1)[1]
        client.settimeout(None)
        server.connection.update_keys(request_peer=True)  # Wants an answer, which cannot be sent.
        server.sendall(b"data")
        assert beside(client.recv, 10).result() == b"data"


def test_two_threads_that_send_do_not_mix_their_records() -> None:
    with socket_pair(our_client(), our_server()) as (client, server):
        pieces = [bytes([letter]) * 1000 for letter in b"abcdef"]

        def send(piece: bytes) -> None:
            for _ in range(100):
                client.sendall(piece)

        sending = [beside(send, piece) for piece in pieces]
        found = read_exactly(server, 600 * 1000)
        for one in sending:
            one.result()
        assert {found[at : at + 1000] for at in range(0, len(found), 1000)} == set(pieces)


def test_recv_into_and_read_fill_buffers() -> None:
    with socket_pair(our_client(), our_server()) as (client, server):
        server.sendall(b"0123456789abcdefghij")
        buffer = bytearray(8)
        assert client.recv_into(buffer, 4) == 4
        assert client.recv_into(buffer) == 8
        assert buffer == b"456789ab"
        view = memoryview(bytearray(6))
        assert client.recv_into(view[2:], 3) == 3
        assert bytes(view) == b"\0\0cde\0"
        assert client.read(2) == b"fg"
        assert client.pending() == 3
        assert client.read(100, buffer) == 3
        assert client.recv(0) == b""


def test_flags_are_refused_and_datagram_calls_too() -> None:
    with socket_pair(our_client(), our_server()) as (client, _):
        calls: list[Any] = [
            lambda: client.recv(10, socket.MSG_PEEK),
            lambda: client.recv_into(bytearray(1), 1, socket.MSG_PEEK),
            lambda: client.send(b"x", socket.MSG_OOB),
            lambda: client.sendall(b"x", socket.MSG_OOB),
            lambda: client.recvfrom(10),
            lambda: client.recvfrom_into(bytearray(1)),
            lambda: client.sendto(b"x", ("127.0.0.1", 9)),
        ]
        for call in calls:
            with pytest.raises(ValueError, match="not allowed"):
                call()
        for call in (lambda: client.recvmsg(10), lambda: client.sendmsg([b"x"]), client.dup):
            with pytest.raises(NotImplementedError):
                call()


def test_makefile_reads_and_writes_lines() -> None:
    with socket_pair(our_client(), our_server()) as (client, server):
        with client.makefile("rwb") as file, server.makefile("rw", encoding="utf-8", newline="\n") as other:
            file.write(b"first\nsecond\n")
            file.flush()
            assert [other.readline(), other.readline()] == ["first\n", "second\n"]
            other.write("grün\n" * 20_000)
            writing = beside(other.flush)
            assert [file.readline() for _ in range(20_000)] == ["grün\n".encode()] * 20_000
            writing.result()
        client.sendall(b"still open")
        assert server.recv(100) == b"still open"


def test_a_file_keeps_the_socket_open() -> None:
    with socket_pair(our_client(), our_server()) as (client, server):
        file = client.makefile("rb")
        client.close()
        server.sendall(b"late\n")
        assert file.readline() == b"late\n"
        descriptor = client.fileno()
        file.close()
        assert descriptor != -1
        assert client.fileno() == -1
        assert server.recv(10) == b"", "the end is told when the last file is closed"


def test_sendfile_sends_what_was_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_bytes(LARGE)
    with socket_pair(our_client(), our_server()) as (client, server), path.open("rb") as file:
        sending = beside(client.sendfile, file, 100, 1_000_000)
        assert read_exactly(server, 1_000_000) == LARGE[100:1_000_100]
        assert sending.result() == 1_000_000
        assert file.tell() == 1_000_100
        assert client.sendfile(io.BytesIO(b"no real file")) == 12
        assert server.recv(100) == b"no real file"


def test_a_read_that_takes_too_long_is_a_timeout_and_the_connection_goes_on() -> None:
    with socket_pair(our_client(), our_server()) as (client, server):
        client.settimeout(0.05)
        with pytest.raises(TimeoutError, match="timed out"):
            client.recv(10)
        server.sendall(b"late")
        client.settimeout(15)
        assert client.recv(10) == b"late"


def test_a_send_that_takes_too_long_is_a_timeout_and_can_be_finished() -> None:
    with socket_pair(our_client(), our_server()) as (client, server):
        client.settimeout(0.05)
        sent = 0
        with pytest.raises(TimeoutError):  # noqa: PT012 (which of the calls it is, nobody knows)
            while True:
                sent += client.send(LARGE[sent % len(LARGE) :])
        reading = beside(read_all, server)
        client.settimeout(15)
        sent += client.send(LARGE[sent % len(LARGE) :])
        client.shutdown(socket.SHUT_WR)
        found = reading.result()
        assert len(found) == sent, "bytes were lost or sent twice"
        assert found == (LARGE * (1 + sent // len(LARGE)))[:sent]


@pytest.mark.parametrize("side", ["client", "server"])
def test_a_silent_peer_is_given_up_after_the_timeout(side: str) -> None:
    with tcp_pair() as (one, other):
        raw, context, named = (
            (one, our_client(), {"server_hostname": "localhost"})
            if side == "client"
            else (other, our_server(), {"server_side": True})
        )
        raw.settimeout(0.05)
        began = time.monotonic()
        with pytest.raises(TimeoutError, match="handshake"):
            context.wrap_socket(raw, **named)
        assert time.monotonic() - began < 5
        assert raw.fileno() == -1, "the descriptor was taken over, and closed"


def test_the_timeout_counts_for_the_whole_handshake_not_for_each_byte() -> None:
    with tcp_pair() as (one, other):
        one.settimeout(0.3)
        handshake = beside(our_client().wrap_socket, one, server_hostname="localhost")
        for byte in b"\x16\x03\x03\x40\x00" + bytes(200):  # A long record, a byte at a time.
            try:
                other.sendall(bytes([byte]))
            except (BrokenPipeError, ConnectionResetError):
                break  # It has closed its socket.
            if not handshake.is_running:
                break
            time.sleep(0.02)
        with pytest.raises(TimeoutError):
            handshake.result()


def test_the_handshake_may_be_left_for_later_and_is_done_by_the_first_use() -> None:
    with tcp_pair() as (one, other):
        accepting = beside(our_server().wrap_socket, other, server_side=True)
        with our_client().wrap_socket(one, do_handshake_on_connect=False, server_hostname="localhost") as client:
            assert client.version() is None
            assert client.cipher() is None
            assert client.selected_alpn_protocol() is None
            with pytest.raises(ValueError, match="handshake not done"):
                client.getpeercert()
            client.sendall(b"by itself")
            with accepting.result() as server:
                assert server.recv(100) == b"by itself"
            assert client.version() == "TLSv1.3"


def test_the_class_has_no_constructor_and_takes_stream_sockets_only() -> None:
    with pytest.raises(TypeError, match="wrap_socket"):
        our_client().sslsocket_class()
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagram,
        pytest.raises(NotImplementedError, match="stream"),
    ):
        our_client().wrap_socket(datagram, server_hostname="localhost")


def test_a_refused_handshake_tells_both_sides() -> None:
    with tcp_pair() as (one, other):
        accepting: Beside = beside(
            our_server(client_auth=identities.required(), versions=["1.2"]).wrap_socket, other, server_side=True
        )
        with pytest.raises(ssl.SSLError):
            our_client().wrap_socket(one, server_hostname="localhost")
        with pytest.raises(ssl.SSLCertVerificationError):
            accepting.result()


def test_a_send_to_a_peer_that_refused_and_hung_up_tells_the_alert() -> None:
    with tcp_pair() as (one, other):
        accepting = beside(our_server(client_auth=identities.required()).wrap_socket, other, server_side=True)
        with our_client().wrap_socket(one, server_hostname="localhost") as client:
            with pytest.raises(ssl.SSLCertVerificationError):
                accepting.result()
            with pytest.raises(ssl.SSLError, match="CERTIFICATE_REQUIRED"):  # noqa: PT012 (as above)
                for _ in range(1000):
                    client.sendall(b"x" * 1000)


def test_what_a_peer_said_before_it_hung_up_can_be_read_after_a_failed_send() -> None:
    with socket_pair(our_client(), our_server()) as (client, server):
        server.sendall(b"413 too large")
        server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        with pytest.raises(OSError):  # noqa: PT011, PT012 (BrokenPipeError or ConnectionResetError)
            for _ in range(1000):
                client.sendall(b"x" * 1000)
        assert client.recv(100) == b"413 too large"


def test_a_flight_goes_out_in_one_piece() -> None:
    """The second piece of two would wait for 40 ms: until the peer has acknowledged the first (Nagle's algorithm)."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    peer = our_server().wrap_bio(incoming, outgoing, server_side=True)
    with tcp_pair() as (one, other):
        connecting = beside(our_client().wrap_socket, one, server_hostname="localhost")
        incoming.write(other.recv(1 << 16))
        with pytest.raises(ssl.SSLWantReadError):
            peer.do_handshake()
        other.sendall(outgoing.read())
        incoming.write(other.recv(1 << 16))
        peer.do_handshake()
        connecting.result().close()
