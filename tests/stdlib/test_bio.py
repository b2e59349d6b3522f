"""`wrap_bio`: objects between two MemoryBIOs, whatever the pieces are that bytes come in."""

from __future__ import annotations

import contextlib
import functools
import ssl
from typing import Any

import pytest

from tests.stdlib.pairs import SIDES, BIOPair, contexts, our_client, our_server

VERSIONS = ("1.3", "1.2")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("sides", SIDES)
@pytest.mark.parametrize("piece", [1, 7, -1])
def test_objects_talk_in_pieces_of_any_size(sides: str, version: str, piece: int) -> None:
    pair = BIOPair.of(*contexts(sides, version=version, mutual=True), piece=piece).handshake()
    assert pair.client.version() == pair.server.version() == f"TLSv{version}"
    assert pair.client.write(b"question") == 8
    assert pair.run(lambda: pair.server.read(100)) == [b"question"]
    pair.server.write(memoryview(b"answer"))
    assert pair.run(lambda: pair.client.read(3)) == [b"ans"]
    assert pair.client.read(100) == b"wer"
    pair.run(pair.client.unwrap, pair.server.unwrap)


@pytest.mark.parametrize("sides", SIDES)
def test_large_data_is_whole_in_both_directions(sides: str) -> None:
    pair = BIOPair.of(*contexts(sides), piece=5000).handshake()
    data = bytes(range(256)) * 1000
    for sender, receiver in ((pair.client, pair.server), (pair.server, pair.client)):
        assert sender.write(data) == len(data)
        found = bytearray()
        while len(found) < len(data):
            found += pair.run(functools.partial(receiver.read, 65536))[0]
        assert found == data


def test_reading_before_anything_came_wants_to_read() -> None:
    pair = BIOPair.of(our_client(), our_server())
    for call in (pair.client.do_handshake, pair.server.do_handshake, pair.client.read, pair.server.read):
        with pytest.raises(ssl.SSLWantReadError) as raised:
            call()
        assert raised.value.errno == ssl.SSL_ERROR_WANT_READ, "asyncio of old and urllib3 look at errno"
    with pytest.raises(ssl.SSLWantReadError):
        pair.client.write(b"too early")
    pair.handshake()
    with pytest.raises(ssl.SSLWantReadError):
        pair.client.read(10)


def test_read_and_write_do_the_handshake_by_themselves() -> None:
    pair = BIOPair.of(our_client(), our_server())
    assert pair.run(lambda: pair.client.write(b"hello"), lambda: pair.server.read(10)) == [5, b"hello"]


def test_read_fills_a_buffer_as_ssl_does() -> None:
    results = []
    for sides in ("trustls to ssl", "ssl to trustls"):
        pair = BIOPair.of(*contexts(sides)).handshake()
        reader = pair.server  # `ssl`'s, then ours.
        pair.client.write(b"0123456789" * 3)
        pair.carry()
        buffer = bytearray(8)
        found = [reader.read(4, buffer), bytes(buffer)]
        found += [reader.read(100, buffer), bytes(buffer)]
        found += [reader.read(0, buffer), bytes(buffer)]
        found += [reader.read(0), reader.read(2)]
        view = memoryview(bytearray(16))
        found += [reader.read(3, view[5:]), bytes(view)]
        results.append(found)
    assert results[1] == results[0], "trustls's read fills buffers otherwise than ssl's"


def test_read_of_a_negative_size_is_refused() -> None:
    pair = BIOPair.of(our_client(), our_server()).handshake()
    with pytest.raises(ValueError, match="negative"):
        pair.client.read(-1)


def test_pending_tells_exactly_what_read_gives_without_more_bytes() -> None:
    pair = BIOPair.of(our_client(), our_server()).handshake()
    assert pair.server.pending() == 0
    pair.client.write(b"x" * 50)
    pair.carry()
    assert pair.server.read(10) == b"x" * 10
    assert pair.server.pending() == 40, "uvloop sizes its buffers by this"
    assert len(pair.server.read(1000)) == 40
    assert pair.server.pending() == 0


def test_pending_is_not_0_before_an_end_or_a_failure_is_told() -> None:
    """uvloop reads no further otherwise, and never hears of it."""
    pair = BIOPair.of(our_client(), our_server()).handshake()
    pair.client.write(b"x" * 50)
    with pytest.raises(ssl.SSLWantReadError):
        pair.client.unwrap()
    pair.carry()
    assert len(pair.server.read(50)) == 50
    assert (pair.to_server.pending, pair.server.pending()) == (0, 1)
    assert pair.server.read(10) == b""
    assert pair.server.pending() == 0

    pair = BIOPair.of(our_client(), our_server()).handshake()
    pair.client.write(b"x" * 50)
    pair.to_server.write(pair.from_client.read() + b"\x17\x03\x03\x00\x20" + bytes(32))
    assert len(pair.server.read(100)) == 50
    assert pair.server.pending() == 1
    with pytest.raises(ssl.SSLError, match="BAD_RECORD_MAC"):
        pair.server.read(100)
    assert pair.server.pending() == 0


def test_a_closed_side_reads_as_the_end_and_may_be_answered() -> None:
    pair = BIOPair.of(our_client(), our_server()).handshake()
    with pytest.raises(ssl.SSLWantReadError):
        pair.client.unwrap()
    pair.carry()
    assert pair.server.read(10) == b""
    assert pair.server.read(10, bytearray(10)) == 0
    pair.server.write(b"last words")
    pair.carry()
    assert pair.client.read(100) == b"last words"
    with pytest.raises(ssl.SSLZeroReturnError):
        pair.client.write(b"after my own close")
    pair.run(pair.server.unwrap, pair.client.unwrap)


@pytest.mark.parametrize("sides", ["trustls to trustls", "ssl to trustls"])
def test_unwrap_refuses_to_go_on_before_data_is_read(sides: str) -> None:
    pair = BIOPair.of(*contexts(sides)).handshake()
    pair.client.write(b"unread")
    pair.carry()
    with pytest.raises(ssl.SSLError, match="APPLICATION_DATA_AFTER_CLOSE_NOTIFY"):
        pair.server.unwrap()
    assert pair.server.read(100) == b"unread"
    pair.run(pair.server.unwrap, pair.client.unwrap)


def test_data_that_came_with_the_peers_close_is_there_after_unwrap() -> None:
    pair = BIOPair.of(our_client(), our_server()).handshake()
    pair.client.write(b"read, unread")
    with pytest.raises(ssl.SSLWantReadError):
        pair.client.unwrap()
    pair.carry()
    assert pair.server.read(4) == b"read", "now the close_notify is taken in as well"
    pair.server.unwrap()
    assert pair.server.read(100) == b", unread"
    assert pair.server.read(100) == b""


def test_data_that_crosses_this_sides_close_does_not_fail_it_and_can_be_read() -> None:
    """With `ssl` it fails, and so does the wait_closed of asyncio now and then."""
    pair = BIOPair.of(our_client(), our_server()).handshake()
    with pytest.raises(ssl.SSLWantReadError):
        pair.server.unwrap()
    for data in (b"one, ", b"two"):
        pair.client.write(data)
        pair.to_server.write(pair.from_client.read())
        with pytest.raises(ssl.SSLWantReadError):
            pair.server.unwrap()
    pair.run(pair.client.unwrap, pair.server.unwrap)
    assert pair.server.read(100) == b"one, two"
    assert pair.server.read(100) == b""


def test_a_peer_that_goes_on_sending_after_the_close_is_given_up() -> None:
    pair = BIOPair.of(our_client(), our_server()).handshake()
    with pytest.raises(ssl.SSLWantReadError):
        pair.server.unwrap()
    with pytest.raises(ssl.SSLError, match="APPLICATION_DATA_AFTER_CLOSE_NOTIFY"):  # noqa: PT012 (at some time)
        for _ in range(100):
            pair.client.write(bytes(1 << 16))
            pair.to_server.write(pair.from_client.read())
            with contextlib.suppress(ssl.SSLWantReadError):
                pair.server.unwrap()


def test_bytes_behind_the_close_are_left_in_the_bio_in_order() -> None:
    pair = BIOPair.of(our_client(), our_server()).handshake()
    with pytest.raises(ssl.SSLWantReadError):
        pair.client.unwrap()
    pair.to_server.write(pair.from_client.read() + b"in the clear, ")
    assert pair.server.read(10) == b""
    pair.to_server.write(b"and more")
    pair.server.unwrap()
    assert pair.to_server.read() == b"in the clear, and more"


def test_an_end_without_close_notify_is_an_error() -> None:
    pair = BIOPair.of(our_client(), our_server()).handshake()
    pair.to_client.write_eof()
    with pytest.raises(ssl.SSLEOFError) as raised:
        pair.client.read(10)
    assert raised.value.errno == ssl.SSL_ERROR_EOF
    assert "UNEXPECTED_EOF_WHILE_READING" in str(raised.value.strerror), "anyio looks for this"


def test_data_before_a_truncation_is_given_first() -> None:
    pair = BIOPair.of(our_client(), our_server()).handshake()
    pair.server.write(b"all of it?")
    pair.carry()
    pair.to_client.write_eof()
    assert pair.client.read(100) == b"all of it?"
    with pytest.raises(ssl.SSLEOFError):
        pair.client.read(100)


def test_the_alert_of_a_failure_is_in_the_outgoing_bio() -> None:
    pair = BIOPair.of(our_client(), our_server())
    pair.to_server.write(b"GET / HTTP/1.1\r\n\r\n")
    with pytest.raises(ssl.SSLError):
        pair.server.do_handshake()
    assert pair.from_server.read()[:3] == b"\x15\x03\x03", "an alert tells the peer"
    with pytest.raises(ssl.SSLError):
        pair.server.do_handshake()
    assert pair.from_server.pending == 0, "once"


def test_the_arguments_that_consumers_give_are_all_taken() -> None:
    client, server = our_client(), our_server()
    bios = [ssl.MemoryBIO() for _ in range(4)]
    assert client.wrap_bio(bios[0], bios[1], False, "localhost", None).server_hostname == "localhost"
    assert client.wrap_bio(bios[0], bios[1], server_hostname=b"localhost").server_hostname == "localhost"
    assert client.wrap_bio(bios[0], bios[1], server_hostname="bücher.example").server_hostname == (
        "xn--bcher-kva.example"
    )
    assert server.wrap_bio(bios[2], bios[3], True, None, None).server_side


@pytest.mark.parametrize(
    ("side", "named", "words"),
    [
        ("client", {}, "server_hostname"),
        ("client", {"server_hostname": ""}, "server_hostname"),
        ("client", {"server_hostname": ".localhost"}, "leading dot"),
        ("client", {"server_side": True}, "ClientConfig"),
        ("server", {"server_side": False, "server_hostname": "localhost"}, "ServerConfig"),
        ("server", {"server_side": True, "server_hostname": "localhost"}, "client mode"),
        ("server", {"server_side": True, "session": "x"}, "client mode"),
    ],
)
def test_arguments_that_do_not_go_together_are_refused(side: str, named: dict[str, Any], words: str) -> None:
    context = our_client() if side == "client" else our_server()
    with pytest.raises(ValueError, match=words):
        context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), **named)
