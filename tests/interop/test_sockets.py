"""trustls on both sides, over blocking sockets: threads, timeouts, back-pressure, and every way to end."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator

import pytest

import trustls
from tests.support.pki import PKI, Identity
from tests.support.relays import Change, Relay, at_random, byte_by_byte
from tests.support.servers import SECONDS, ServerSocket, ThreadedServer, echo
from trustls.cli.pki import Authority, KeyType

ClientSocket = trustls.TLSSocket[trustls.ClientConnection]

LARGE = 8 << 20


def client_config(pki: PKI, *identities: Identity, **options: object) -> trustls.ClientConfig:
    """A client that trusts the test's server root, and holds these certificates."""
    settings: dict[str, object] = {"roots": pki.server_roots, **options}
    return trustls.ClientConfig(credentials=[one.credential for one in identities], **settings)  # type: ignore[arg-type]


def server_config(pki: PKI, client_auth: trustls.ClientAuth | None = None, **options: object) -> trustls.ServerConfig:
    """A server with the usual certificate."""
    settings: dict[str, object] = {"credentials": [pki.server.credential], **options}
    if client_auth is not None:
        settings["client_auth"] = client_auth
    return trustls.ServerConfig(**settings)  # type: ignore[arg-type]


def connect(pki: PKI, port: int, *identities: Identity, **options: object) -> ClientSocket:
    """Connect to the test's server."""
    config = client_config(pki, *identities, **options)
    return trustls.connect(("127.0.0.1", port), config, server_name="localhost", timeout=SECONDS)


@contextlib.contextmanager
def in_thread(function: Callable[[], object]) -> Iterator[threading.Thread]:
    """`function` in a thread, whose failure is raised here, as is its not ending."""
    failures: list[BaseException] = []

    def work() -> None:
        try:
            function()
        except BaseException as error:  # noqa: BLE001 (raised again below)
            failures.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    yield thread
    thread.join(SECONDS)
    assert not thread.is_alive(), f"the thread of {function.__name__} did not end within {SECONDS:g} s"
    if failures:
        raise failures[0]


def drop_transport(tls: ServerSocket | ClientSocket) -> None:
    """End the TCP connection behind the back of TLS, in order but without a close_notify."""
    with socket.socket(fileno=os.dup(tls.fileno())) as raw:
        raw.shutdown(socket.SHUT_RDWR)


# -- Mutual TLS, all of it our own ------------------------------------------------------------------------------------


def test_each_side_knows_the_other(pki: PKI) -> None:
    config = server_config(pki, pki.required(), alpn=["trustls-test"])
    with ThreadedServer(config) as server:
        with connect(pki, server.port, pki.mallory, pki.alice, pki.bob, alpn=["trustls-test"]) as tls:
            tls.sendall(b"hello")
            assert tls.recv_exactly(5) == b"hello"
            client = tls.connection
            exported = client.export("EXPORTER-both", 32, context=b"same")
        outcome = server.outcome()
    assert client.requested is not None
    assert client.requested.authorities == pki.client_ca_names
    assert client.info.credential is pki.alice.credential, "mallory does not fit, and alice comes before bob"
    assert client.peer is not None
    assert client.peer.certificate == pki.server.certificate
    assert outcome.peer.presented == pki.alice.credential.chain
    assert outcome.connection.export("EXPORTER-both", 32, context=b"same") == exported
    facts = [(info.version, info.suite, info.group, info.alpn) for info in (client.info, outcome.connection.info)]
    assert facts[0] == facts[1], "the two sides disagree on what was negotiated"
    assert client.info.group.iana == "X25519MLKEM768", "two of us take the hybrid"


@pytest.mark.parametrize("split", [byte_by_byte, at_random(3)], ids=["bytes", "random"])
def test_delivery_in_pieces_gives_the_same_result(split: Change, pki: PKI) -> None:
    data = os.urandom(40_000)
    with (
        ThreadedServer(server_config(pki, pki.required())) as server,
        Relay(server.port, up=split, down=split) as port,
    ):
        with connect(pki, port, pki.alice) as tls:
            tls.sendall(data)
            tls.update_keys()
            assert tls.recv_exactly(len(data)) == data
        assert server.outcome().peer.subject == "CN=alice"


@pytest.mark.parametrize("group", ["X25519MLKEM768", "x25519", "secp256r1", "secp384r1", "secp521r1"])
@pytest.mark.parametrize("retry", [False, True], ids=["first", "retry"])
def test_each_group_at_first_and_after_a_retry(group: str, retry: bool, pki: PKI) -> None:
    other = "secp256r1" if group != "secp256r1" else "secp384r1"
    config = server_config(pki, pki.required(), groups=[group], retry_cookies=trustls.RetryCookies())
    with ThreadedServer(config) as server:
        groups = [other, group] if retry else [group]
        with connect(pki, server.port, pki.alice, groups=groups) as tls:
            tls.sendall(b"hello")
            assert tls.recv_exactly(5) == b"hello"
            info = tls.connection.info
        assert server.outcome().connection.info.retried is retry
    assert (info.group.iana, info.retried) == (group, retry)


@pytest.mark.parametrize("key_type", [KeyType.ML_DSA_44, KeyType.ML_DSA_65, KeyType.ML_DSA_87])
def test_post_quantum_certificates_from_root_to_leaf(key_type: KeyType) -> None:
    """No other peer here can do ML-DSA. The chains are large enough to need several records."""
    root = Authority.create("Post-quantum Root", key_type=key_type)
    issuing = root.intermediate("Post-quantum Issuing", key_type=key_type)
    server_side, client_side = (
        issuing.issue_server("localhost", key_type=key_type),
        issuing.issue_client("quantum", key_type=key_type),
    )
    roots = trustls.RootCertStore([root.certificate])
    config = trustls.ServerConfig(
        credentials=[trustls.Credential(server_side.chain, server_side.key)],
        client_auth=trustls.ClientAuth.required(roots),
    )
    client = trustls.ClientConfig(roots=roots, credentials=[trustls.Credential(client_side.chain, client_side.key)])
    with ThreadedServer(config) as server:
        with trustls.connect(("127.0.0.1", server.port), client, server_name="localhost", timeout=SECONDS) as tls:
            tls.sendall(b"hello")
            assert tls.recv_exactly(5) == b"hello"
        assert server.outcome().peer.subject == "CN=quantum"


def test_padded_records_carry_the_same_data(pki: PKI) -> None:
    with ThreadedServer(server_config(pki, pad_records_to=1024)) as server:
        with connect(pki, server.port, pad_records_to=512) as tls:
            for size in (1, 511, 512, 513, 16384, 100_000):
                data = os.urandom(size)
                tls.sendall(data)
                assert tls.recv_exactly(size) == data
        assert server.outcome().error is None


def test_one_config_serves_many_threads(pki: PKI) -> None:
    config, clients = server_config(pki, pki.required()), 24
    shared = client_config(pki, pki.alice)
    answers: list[bytes] = []

    def one() -> None:
        with trustls.connect(("127.0.0.1", server.port), shared, server_name="localhost", timeout=SECONDS) as tls:
            tls.sendall(b"x" * 1000)
            answers.append(tls.recv_exactly(1000))

    with ThreadedServer(config) as server, contextlib.ExitStack() as stack:
        for _ in range(clients):
            stack.enter_context(in_thread(one))
    assert answers == [b"x" * 1000] * clients


def test_listener_on_ipv6(pki: PKI) -> None:
    if not socket.has_ipv6:
        pytest.skip("this Python has no IPv6")
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            pass
    except OSError as error:
        pytest.skip(f"there is no IPv6 on loopback here: {error}")
    with ThreadedServer(server_config(pki), address="::1") as server:
        config = client_config(pki)
        with trustls.connect(("::1", server.port), config, server_name="localhost", timeout=SECONDS) as tls:
            tls.sendall(b"hello")
            assert tls.recv_exactly(5) == b"hello"


# -- Refusals ---------------------------------------------------------------------------------------------------------


def test_refusal_reaches_the_client_with_its_first_recv(pki: PKI) -> None:
    with (
        ThreadedServer(server_config(pki, pki.required())) as server,
        connect(pki, server.port) as tls,
        pytest.raises(trustls.AlertReceived) as caught,
    ):
        tls.recv()
    assert caught.value.description is trustls.AlertDescription.CERTIFICATE_REQUIRED


def test_refusal_reaches_a_client_that_only_sends(pki: PKI) -> None:
    """Not a broken pipe: the alert says why."""
    with ThreadedServer(server_config(pki, pki.required())) as server, connect(pki, server.port) as tls:
        assert isinstance(server.outcome().error, trustls.CertificateRejected)
        with pytest.raises(trustls.AlertReceived) as caught:
            tls.sendall(bytes(64 << 20))
    assert caught.value.description is trustls.AlertDescription.CERTIFICATE_REQUIRED


def test_client_that_speaks_no_tls_is_refused_in_words(pki: PKI) -> None:
    with ThreadedServer(server_config(pki)) as server:
        with socket.create_connection(("127.0.0.1", server.port), timeout=SECONDS) as raw:
            raw.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            answer = raw.recv(100)
        error = server.outcome().error
    assert answer == bytes.fromhex("1503030002 02 46"), "the alert is protocol_version, in the clear"
    assert isinstance(error, trustls.PeerMisbehaved)
    assert error.reason is trustls.Misbehaviour.NOT_TLS


def test_refused_tcp_connection_is_an_oserror(pki: PKI) -> None:
    with socket.create_server(("127.0.0.1", 0)) as once:
        port = once.getsockname()[1]
    with pytest.raises(ConnectionRefusedError):
        connect(pki, port)


# -- Timeouts ---------------------------------------------------------------------------------------------------------


def test_silent_server_is_a_handshake_timeout(pki: PKI) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        started = time.monotonic()
        with pytest.raises(trustls.HandshakeTimeout, match=r"0\.3 s") as caught:
            trustls.connect(silent.getsockname(), client_config(pki), server_name="localhost", timeout=0.3)
        took = time.monotonic() - started
    assert isinstance(caught.value, TimeoutError), "code that knows sockets catches TimeoutError"
    assert 0.25 < took < 3, f"the limit was 0.3 s, but it took {took:.2f} s"


def test_server_that_dribbles_does_not_stretch_the_handshake(pki: PKI) -> None:
    """The limit holds for the whole handshake, not for each wait."""
    stop = threading.Event()

    def dribble() -> None:
        client, _ = slow.accept()
        with client, contextlib.suppress(OSError):
            client.sendall(bytes.fromhex("1603034000"))
            while not stop.wait(0.05):
                client.sendall(b"\x02")

    with socket.create_server(("127.0.0.1", 0)) as slow, in_thread(dribble):
        try:
            started = time.monotonic()
            with pytest.raises(trustls.HandshakeTimeout):
                trustls.connect(slow.getsockname(), client_config(pki), server_name="localhost", timeout=0.4)
            took = time.monotonic() - started
        finally:
            stop.set()
    assert took < 3, f"the limit was 0.4 s, but it took {took:.2f} s"


def test_silent_client_is_a_handshake_timeout(pki: PKI) -> None:
    with (
        trustls.Listener(("127.0.0.1", 0), server_config(pki), handshake_timeout=0.3) as listener,
        socket.create_connection(listener.address, timeout=SECONDS) as silent,
    ):
        with listener.accept() as tls, pytest.raises(trustls.HandshakeTimeout):
            tls.handshake()
        assert silent.recv(1) == b"", "who says nothing is hung up on"


def test_receive_that_times_out_can_be_tried_again(pki: PKI) -> None:
    go_on = threading.Event()

    def late(tls: ServerSocket) -> None:
        assert go_on.wait(SECONDS)
        tls.sendall(b"late")

    with ThreadedServer(server_config(pki), late) as server, connect(pki, server.port) as tls:
        tls.settimeout(0.1)
        for _ in range(2):
            with pytest.raises(TimeoutError):
                tls.recv()
        go_on.set()
        tls.settimeout(SECONDS)
        assert tls.recv_exactly(4) == b"late"


def test_send_that_times_out_does_not_corrupt_what_follows(pki: PKI) -> None:
    """Part of a record may have left: the next send goes on behind it, and the peer sees no broken record."""
    read_on = threading.Event()
    received: list[int] = []

    def read_late(tls: ServerSocket) -> None:
        assert read_on.wait(SECONDS)
        while data := tls.recv():
            received.append(len(data))

    with ThreadedServer(server_config(pki), read_late) as server:
        with connect(pki, server.port) as tls:
            tls.settimeout(0.2)
            with pytest.raises(TimeoutError):
                tls.sendall(bytes(64 << 20))
            read_on.set()
            tls.settimeout(SECONDS)
            with contextlib.suppress(trustls.TLSError, OSError):
                for _ in range(8):
                    tls.sendall(b"after the timeout")
        error = server.outcome().error
    assert not isinstance(error, trustls.PeerMisbehaved), f"the peer saw {error!r} after {sum(received)} good bytes"


def test_zero_timeout_is_refused(pki: PKI) -> None:
    with (
        ThreadedServer(server_config(pki)) as server,
        connect(pki, server.port) as tls,
        pytest.raises(ValueError, match="blocking"),
    ):
        tls.settimeout(0)


# -- Threads and back-pressure ----------------------------------------------------------------------------------------


def test_one_thread_reads_while_another_writes(pki: PKI) -> None:
    """Far more than the buffers between hold, so that both directions block again and again."""
    data = os.urandom(1 << 16) * (LARGE >> 16)
    with ThreadedServer(server_config(pki)) as server:
        with connect(pki, server.port) as tls, in_thread(lambda: tls.sendall(data)):
            received = tls.recv_exactly(len(data))
        assert received == data, "the echo differs from what was sent"
        assert server.outcome().error is None


def test_both_sides_read_and_write_at_the_same_time(pki: PKI) -> None:
    """With key updates in between, which make the reading thread write."""
    piece = os.urandom(1 << 16)
    rounds = LARGE >> 16
    received: dict[str, bytes] = {}

    def send_pieces(tls: ServerSocket | ClientSocket) -> None:
        for turn in range(rounds):
            if turn % 16 == 0:
                tls.update_keys()
            tls.sendall(piece)

    def both(tls: ServerSocket) -> None:
        with in_thread(lambda: send_pieces(tls)):
            received["server"] = tls.recv_exactly(LARGE)

    with ThreadedServer(server_config(pki), both) as server, connect(pki, server.port) as tls:
        with in_thread(lambda: send_pieces(tls)):
            received["client"] = tls.recv_exactly(LARGE)
        assert server.outcome().error is None
    assert received == {"server": piece * rounds, "client": piece * rounds}


def test_sender_waits_for_a_slow_reader(pki: PKI) -> None:
    read_on, sent = threading.Event(), threading.Event()
    received: list[bytes] = []

    def read_late(tls: ServerSocket) -> None:
        assert read_on.wait(SECONDS)
        received.append(tls.recv_exactly(4 * LARGE))

    def send_all() -> None:
        tls.sendall(bytes(4 * LARGE))
        sent.set()

    with ThreadedServer(server_config(pki), read_late) as server, connect(pki, server.port) as tls:
        with in_thread(send_all):
            assert not sent.wait(0.3), f"{4 * LARGE} bytes were taken although nobody reads: where are they kept?"
            read_on.set()
        assert server.outcome().error is None
    assert received == [bytes(4 * LARGE)]


def test_peer_that_asks_for_key_updates_and_does_not_read_does_not_block_recv(pki: PKI) -> None:
    """The answers fill the way back, but that is no reason to read no more."""
    ours, theirs = socket.socketpair()
    for end in (ours, theirs):
        end.settimeout(5)
        for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            end.setsockopt(socket.SOL_SOCKET, option, 4096)
    rounds, piece = 3000, bytes(1000)

    def send_and_never_read() -> None:
        for _ in range(rounds):
            peer.update_keys()
            peer.sendall(piece)

    with (
        trustls.TLSSocket(ours, trustls.ClientConnection(client_config(pki), "localhost")) as tls,
        trustls.TLSSocket(theirs, trustls.ServerConnection(server_config(pki))) as peer,
    ):
        with in_thread(peer.handshake):
            tls.handshake()
        received = 0
        with in_thread(send_and_never_read):
            while received < rounds * len(piece):
                try:
                    received += len(tls.recv())
                except TimeoutError:
                    pytest.fail(f"recv() waits although data lies ready, after {received} bytes")


# -- Receiving --------------------------------------------------------------------------------------------------------


def test_receiving_in_pieces_of_every_kind(pki: PKI) -> None:
    with (
        ThreadedServer(server_config(pki), lambda tls: tls.sendall(b"abcdefghij")) as server,
        connect(pki, server.port) as tls,
    ):
        assert tls.recv(1) == b"a"
        assert tls.pending() == 9, "the rest of the record waits"
        buffer = bytearray(4)
        assert tls.recv_into(buffer) == 4
        assert buffer == b"bcde"
        assert tls.recv_exactly(3) == b"fgh"
        with pytest.raises(EOFError, match="3 bytes early"):
            tls.recv_exactly(5)
        assert tls.recv() == b"", "the end stays the end"


# -- The end ----------------------------------------------------------------------------------------------------------


def test_transport_that_ends_without_close_notify_is_an_unexpected_eof(pki: PKI) -> None:
    def cut(tls: ServerSocket) -> None:
        tls.sendall(b"not all of it")
        drop_transport(tls)

    with ThreadedServer(server_config(pki), cut) as server, connect(pki, server.port) as tls:
        assert tls.recv_exactly(13) == b"not all of it", "what came before is delivered"
        with pytest.raises(trustls.UnexpectedEOF, match="close_notify") as caught:
            tls.recv()
        assert isinstance(caught.value, EOFError)
        with pytest.raises(trustls.UnexpectedEOF):
            tls.recv()


def test_transport_that_ends_during_the_handshake_is_an_unexpected_eof(pki: PKI) -> None:
    with ThreadedServer(server_config(pki)) as server:
        with socket.create_connection(("127.0.0.1", server.port), timeout=SECONDS) as raw:
            raw.sendall(bytes.fromhex("1603010100 01 0000fc 0303"))
        error = server.outcome().error
    assert isinstance(error, trustls.UnexpectedEOF), f"the server saw {error!r}"


def test_reset_is_an_oserror(pki: PKI) -> None:
    def reset(tls: ServerSocket) -> None:
        with socket.socket(fileno=os.dup(tls.fileno())) as raw:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            descriptor = os.open(os.devnull, os.O_RDONLY)
            os.dup2(descriptor, tls.fileno())  # The last of two descriptors of this socket is closed with `raw`.
            os.close(descriptor)

    with (
        ThreadedServer(server_config(pki), reset) as server,
        connect(pki, server.port) as tls,
        pytest.raises(ConnectionResetError),
    ):
        tls.recv()


def test_half_closed_connection_still_receives(pki: PKI) -> None:
    def answer_at_the_end(tls: ServerSocket) -> None:
        request = b""
        while data := tls.recv():
            request += data
        tls.sendall(b"got " + request)

    with ThreadedServer(server_config(pki), answer_at_the_end) as server, connect(pki, server.port) as tls:
        tls.sendall(b"a request")
        tls.close_write()
        with pytest.raises(trustls.ConnectionClosed):
            tls.sendall(b"more")
        assert tls.recv_exactly(13) == b"got a request"
        assert tls.recv() == b""


def test_close_after_sendall_loses_no_byte(pki: PKI) -> None:
    """Although the peer has sent what was never read: closing over that would reset the connection."""
    data = os.urandom(1 << 16) * (LARGE >> 16)
    received: list[bytes] = []

    def chatter(tls: ServerSocket) -> None:
        tls.sendall(b"something that nobody reads")
        parts = []
        while part := tls.recv():
            parts.append(part)
        received.append(b"".join(parts))

    with ThreadedServer(server_config(pki), chatter) as server:
        with connect(pki, server.port) as tls:
            tls.sendall(data)
        error = server.outcome().error
    assert error is None, f"the server saw {error!r} instead of a proper end"
    assert [len(one) for one in received] == [len(data)]
    assert received == [data]


def test_close_by_the_server_loses_no_byte(pki: PKI) -> None:
    """An answer that is complete, to a client that is still sending: as HTTP servers do to what is too large."""
    answer = os.urandom(1 << 16) * 16

    def answer_early(tls: ServerSocket) -> None:
        tls.recv(1)
        tls.sendall(answer)

    with ThreadedServer(server_config(pki), answer_early) as server, connect(pki, server.port) as tls:
        tls.sendall(bytes(1 << 18))
        received = tls.recv_exactly(len(answer))
        assert received == answer
        assert tls.recv() == b"", "a proper end"


def test_close_does_not_wait_long_for_a_peer_that_does_not_close(pki: PKI) -> None:
    done = threading.Event()

    def stay(tls: ServerSocket) -> None:
        assert done.wait(SECONDS)

    with ThreadedServer(server_config(pki), stay) as server:
        tls = connect(pki, server.port)
        tls.sendall(b"hello")
        started = time.monotonic()
        tls.close()
        took = time.monotonic() - started
        done.set()
        assert server.outcome().error is None
    assert took < 6, f"close() took {took:.1f} s"


def test_close_wakes_a_thread_that_receives(pki: PKI) -> None:
    """From a peer that says nothing, and does not close either."""
    done = threading.Event()

    def stay(tls: ServerSocket) -> None:
        tls.sendall(b"x")
        assert done.wait(SECONDS)

    def receive() -> None:
        assert tls.recv() == b"x"
        reading.set()
        with contextlib.suppress(trustls.TLSError, OSError):
            tls.recv()

    with ThreadedServer(server_config(pki), stay) as server:
        tls = connect(pki, server.port)
        reading = threading.Event()
        with in_thread(receive) as thread:
            assert reading.wait(SECONDS)
            tls.close()
            thread.join(6)
            woken = not thread.is_alive()
            done.set()
        assert woken, "the thread waits in recv() although the socket was closed"


def test_closing_twice_and_using_a_closed_socket(pki: PKI) -> None:
    with ThreadedServer(server_config(pki)) as server:
        tls = connect(pki, server.port)
        tls.close()
        tls.close()
        assert repr(tls) == "<TLSSocket closed, ClientConnection>"
        with pytest.raises((trustls.TLSError, OSError)):
            tls.sendall(b"x")
        with pytest.raises((trustls.TLSError, OSError)):
            tls.recv()


def test_closing_the_listener_ends_a_waiting_accept(pki: PKI) -> None:
    config = server_config(pki)
    for _ in range(200):
        with trustls.Listener(("127.0.0.1", 0), config) as listener:
            ready = threading.Event()

            def accept_all(listener: trustls.Listener = listener, ready: threading.Event = ready) -> None:
                ready.set()
                for tls in listener:
                    tls.close()

            with in_thread(accept_all):
                assert ready.wait(SECONDS)
                listener.close()
        with pytest.raises(trustls.ConnectionClosed):
            listener.accept()


# -- What is asynchronous belongs to asyncio --------------------------------------------------------------------------


class SlowSigner:
    """A signer that has to be awaited."""

    def __init__(self, identity: Identity) -> None:
        self._signer = identity.credential.signer

    @property
    def schemes(self) -> tuple[trustls.SignatureScheme, ...]:
        return self._signer.schemes

    async def sign(self, scheme: trustls.SignatureScheme, message: bytes) -> bytes:
        signature = self._signer.sign(scheme, message)
        assert isinstance(signature, bytes)
        return signature


class SlowVerifier:
    """A verifier of both kinds that has to be awaited."""

    hints: tuple[trustls.DistinguishedName, ...] = ()

    async def verify_server(
        self,
        chain: tuple[trustls.Certificate, ...],
        server_name: trustls.ServerName,
        *,
        now: float,
        ocsp_response: bytes,
    ) -> trustls.Peer:
        return trustls.Peer(chain)

    async def verify_client(self, chain: tuple[trustls.Certificate, ...], *, now: float) -> trustls.Peer:
        return trustls.Peer(chain)


async def choose_slowly(
    request: trustls.CredentialRequest, credentials: tuple[trustls.Credential, ...]
) -> trustls.Credential | None:
    return credentials[0]


@pytest.mark.parametrize("part", ["signer", "verifier"])
def test_asynchronous_parts_of_a_server_are_refused_on_sockets(part: str, pki: PKI) -> None:
    if part == "signer":
        config = trustls.ServerConfig(credentials=[trustls.Credential(pki.server.issued.chain, SlowSigner(pki.server))])
    else:
        config = server_config(pki, trustls.ClientAuth.custom(SlowVerifier()))
    with ThreadedServer(config) as server:
        with pytest.raises((trustls.TLSError, OSError)), connect(pki, server.port, pki.alice) as tls:
            tls.recv()
        error = server.outcome().error
    assert isinstance(error, trustls.AsyncRequired), f"the server saw {error!r}"
    assert "trustls.aio" in str(error), "the sentence says where to go"


@pytest.mark.parametrize("part", ["signer", "verifier", "chooser"])
def test_asynchronous_parts_of_a_client_are_refused_on_sockets(part: str, pki: PKI) -> None:
    signer = SlowSigner(pki.alice) if part == "signer" else pki.alice.credential.signer
    config = trustls.ClientConfig(
        roots=None if part == "verifier" else pki.server_roots,
        verifier=SlowVerifier() if part == "verifier" else None,
        credentials=[trustls.Credential(pki.alice.issued.chain, signer)],
        choose_credential=choose_slowly if part == "chooser" else None,
    )
    with ThreadedServer(server_config(pki, pki.required()), echo) as server:
        with pytest.raises(trustls.AsyncRequired, match=r"trustls\.aio"):
            trustls.connect(("127.0.0.1", server.port), config, server_name="localhost", timeout=SECONDS)
        assert server.outcome().error is not None, "the server must not think that this client is in"
