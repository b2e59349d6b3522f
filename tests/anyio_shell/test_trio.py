"""`trustls.trio`: trio's own checks of a stream, and trio's SSLStream on the other side."""

from __future__ import annotations

import contextlib
import functools
import math
import os
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

import trustls
from tests.anyio_shell.answering import LARGE, SlowSigner, SlowVerifier, client_config, server_config
from tests.anyio_shell.needed import need
from tests.support.pki import PKI
from tests.support.ssl_peers import client_context, server_context

need("trio")

import trio  # noqa: E402 (where it is missing, the module is skipped)
import trio.testing  # noqa: E402

import trustls.trio  # noqa: E402
from trustls.trio import TLSListener, TLSStream, open_tls_over_tcp_stream, serve_tls_over_tcp  # noqa: E402

SECONDS = 15

SocketTLS = TLSStream[trio.SocketStream]
Handler = Callable[[SocketTLS], Awaitable[None]]


def run(main: Callable[[], Awaitable[None]], *, clock: trio.abc.Clock | None = None) -> None:
    """Run the test's coroutine. A clock of the test's own makes hours of seconds, and there is no limit then."""

    async def limited() -> None:
        with trio.fail_after(SECONDS if clock is None else math.inf):
            await main()

    trio.run(limited, clock=clock)


async def echo(stream: trio.abc.Stream) -> None:
    """Send back what comes, then close."""
    async with stream:
        async for data in stream:
            await stream.send_all(data)


class Server:
    """A server, and what became of its connections."""

    def __init__(self) -> None:
        self.port = 0
        self.connections: list[trustls.Connection] = []
        self.failures: list[Exception] = []
        self.failed = trio.Event()

    def note(self, error: Exception, _connection: trustls.Connection) -> None:
        self.failures.append(error)
        self.failed.set()


@contextlib.asynccontextmanager
async def serving(config: trustls.ServerConfig, handler: Handler = echo) -> AsyncIterator[Server]:
    """A server on a free port."""
    state = Server()

    async def serve(stream: SocketTLS) -> None:
        state.connections.append(stream.connection)
        await handler(stream)

    async with trio.open_nursery() as nursery:
        start = functools.partial(
            serve_tls_over_tcp, serve, 0, config, host="127.0.0.1", handshake_failed=state.note, shutdown_timeout=0.5
        )
        listeners: list[TLSListener[trio.SocketStream]] = await nursery.start(start)
        state.port = listeners[0].transport_listener.socket.getsockname()[1]  # type: ignore[attr-defined]
        yield state
        nursery.cancel_scope.cancel()


async def connect(server: Server, config: trustls.ClientConfig) -> SocketTLS:
    """A client of `server`, before its handshake."""
    return await open_tls_over_tcp_stream("127.0.0.1", server.port, config, server_name="localhost")


async def exchange(stream: trio.abc.Stream) -> None:
    """A large echo, both ways at one time."""
    data = os.urandom(LARGE)
    received = bytearray()

    async def receive() -> None:
        while len(received) < LARGE:
            received.extend(await stream.receive_some())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(receive)
        await stream.send_all(data)
    assert received == data, "the echo differs from what was sent"


def make_pair(
    pki: PKI, below: Callable[[], tuple[trio.abc.Stream, trio.abc.Stream]]
) -> tuple[TLSStream[trio.abc.Stream], TLSStream[trio.abc.Stream]]:
    """Client and server over streams in memory. No tickets: nobody would read them, where that is waited for."""
    near, far = below()
    return (
        TLSStream(near, client_config(pki), server_name="localhost", shutdown_timeout=0.02),
        TLSStream(far, server_config(pki, resumption=None), shutdown_timeout=0.02),
    )


# -- trio's own checks ------------------------------------------------------------------------------------------------


def test_stream_keeps_what_trio_promises_of_streams(pki: PKI) -> None:
    async def handshaken(
        below: Callable[[], tuple[trio.abc.Stream, trio.abc.Stream]],
    ) -> tuple[TLSStream[trio.abc.Stream], TLSStream[trio.abc.Stream]]:
        client, server = make_pair(pki, below)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.do_handshake)
            nursery.start_soon(server.do_handshake)
        return client, server

    async def main() -> None:
        await trio.testing.check_half_closeable_stream(
            functools.partial(handshaken, trio.testing.memory_stream_pair),
            functools.partial(handshaken, trio.testing.lockstep_stream_pair),
        )

    run(main)


def test_stream_keeps_it_before_the_handshake_too(pki: PKI) -> None:
    async def fresh() -> tuple[TLSStream[trio.abc.Stream], TLSStream[trio.abc.Stream]]:
        return make_pair(pki, trio.testing.memory_stream_pair)

    async def main() -> None:
        await trio.testing.check_half_closeable_stream(fresh, None)

    run(main)


# -- Peers ------------------------------------------------------------------------------------------------------------


def test_each_side_knows_the_other(pki: PKI) -> None:
    async def main() -> None:
        async with serving(server_config(pki, client_auth=pki.required())) as server:
            async with await connect(server, client_config(pki, pki.mallory, pki.alice)) as stream:
                assert stream.connection.handshaking, "as with trio's own function, it comes with the first use"
                await exchange(stream)
                connection = stream.connection
                assert isinstance(connection, trustls.ClientConnection)
                assert connection.requested is not None
                assert connection.requested.authorities == pki.client_ca_names
                assert connection.presented is pki.alice.credential, "chosen by the hints"
            peer = server.connections[0].peer
            assert peer is not None
            assert peer.certificate == pki.alice.certificate

    run(main)


def test_client_with_a_server_of_trio_and_ssl(pki: PKI) -> None:
    async def main() -> None:
        names: list[object] = []

        async def serve(stream: trio.SSLStream[trio.SocketStream]) -> None:
            await stream.do_handshake()
            names.append(stream.getpeercert()["subject"])
            await echo(stream)

        async with trio.open_nursery() as nursery:
            context = server_context(pki, verify=ssl.CERT_REQUIRED)
            listeners = await nursery.start(
                functools.partial(trio.serve_ssl_over_tcp, serve, 0, context, host="127.0.0.1")
            )
            port = listeners[0].transport_listener.socket.getsockname()[1]
            config = client_config(pki, pki.alice)
            async with await open_tls_over_tcp_stream("127.0.0.1", port, config, server_name="localhost") as stream:
                await exchange(stream)
            nursery.cancel_scope.cancel()
        assert names == [((("commonName", "alice"),),)]

    run(main)


def test_server_with_a_client_of_trio_and_ssl(pki: PKI) -> None:
    async def main() -> None:
        async with serving(server_config(pki, client_auth=pki.required())) as server:
            tcp = await trio.open_tcp_stream("127.0.0.1", server.port)
            async with trio.SSLStream(tcp, client_context(pki, pki.alice), server_hostname="localhost") as stream:
                await exchange(stream)
            peer = server.connections[0].peer
            assert peer is not None
            assert peer.certificate == pki.alice.certificate

    run(main)


def test_everything_asynchronous_is_awaited(pki: PKI) -> None:
    async def main() -> None:
        pause = trio.lowlevel.checkpoint
        signer, verifier = SlowSigner(pki.alice, pause), SlowVerifier(pause, hints=pki.client_ca_names)
        in_thread = trustls.trio.SignerInThread(pki.server.credential.signer)
        server_side = trustls.ServerConfig(
            credentials=[trustls.Credential(pki.server.issued.chain, in_thread)],
            client_auth=trustls.ClientAuth.custom(verifier),
        )
        client_side = trustls.ClientConfig(
            verifier=SlowVerifier(pause), credentials=[trustls.Credential(pki.alice.issued.chain, signer)]
        )
        async with serving(server_side) as server, await connect(server, client_side) as stream:
            await stream.send_all(b"hello")
            assert await stream.receive_some() == b"hello"
        assert (signer.used, verifier.used) == (1, 1)

    run(main)


def test_certificate_after_the_handshake(pki: PKI) -> None:
    async def main() -> None:
        async def ask(stream: SocketTLS) -> None:
            await stream.request_client_certificate()
            await stream.send_all(b"the certificate has been asked for")
            assert await stream.receive_some() == b"second"
            assert stream.connection.peer is not None
            await stream.update_keys()
            await stream.send_all(str(stream.connection.peer.subject).encode())

        client = client_config(pki, pki.alice, post_handshake_auth=True)
        async with (
            serving(server_config(pki, post_handshake_auth=pki.required()), ask) as server,
            await connect(server, client) as stream,
        ):
            assert await stream.receive_some() == b"the certificate has been asked for"
            await stream.send_all(b"second")
            assert await stream.receive_some() == b"CN=alice"
            with pytest.raises(trustls.ConfigError):
                await stream.request_client_certificate()

    run(main)


def test_certificate_after_the_handshake_is_waited_for(pki: PKI) -> None:
    """What comes before the answer is kept."""

    async def main() -> None:
        async def ask(stream: SocketTLS) -> None:
            assert await stream.receive_some(2) == b"GE"
            await stream.request_client_certificate()
            peer = await stream.wait_for_client_certificate()
            assert peer is not None
            assert peer is await stream.wait_for_client_certificate(), "there is nothing to wait for any more"
            await stream.send_all(await stream.receive_some() + peer.subject.encode())

        client = client_config(pki, pki.alice, post_handshake_auth=True)
        async with (
            serving(server_config(pki, post_handshake_auth=pki.required()), ask) as server,
            await connect(server, client) as stream,
        ):
            await stream.send_all(b"GET /")
            assert await stream.receive_some() == b"T /CN=alice"
            with pytest.raises(trustls.ConfigError):
                await stream.wait_for_client_certificate()

    run(main)


@pytest.mark.parametrize("how", ["nothing fits", "closed"])
def test_certificate_that_does_not_come_ends_the_wait(how: str, pki: PKI) -> None:
    reasons = []

    async def main() -> None:
        asked = trio.Event()

        async def ask(stream: SocketTLS) -> None:
            await stream.request_client_certificate()
            asked.set()
            with pytest.raises(trio.BrokenResourceError) as caught:
                await stream.wait_for_client_certificate()
            reasons.append(type(caught.value.__cause__))

        client = client_config(pki, post_handshake_auth=True)
        async with (
            serving(server_config(pki, post_handshake_auth=pki.required()), ask) as server,
            await connect(server, client) as stream,
        ):
            await stream.do_handshake()
            await asked.wait()
            if how == "closed":
                await stream.send_eof()
            with contextlib.suppress(trio.BrokenResourceError):
                await stream.receive_some()

    run(main)
    assert reasons == [trustls.ConnectionClosed if how == "closed" else trustls.CertificateRejected]


# -- Failures ---------------------------------------------------------------------------------------------------------


def test_refused_client_ends_its_own_connection_alone(pki: PKI) -> None:
    async def main() -> None:
        async with serving(server_config(pki, client_auth=pki.required())) as server:
            async with await connect(server, client_config(pki)) as stream:
                await stream.do_handshake()
                with pytest.raises(trio.BrokenResourceError) as caught:
                    await stream.receive_some()
                assert isinstance(caught.value.__cause__, trustls.CertificateRejectedByPeer)
            await server.failed.wait()
            assert isinstance(server.failures[0], trustls.CertificateRejected)
            async with await connect(server, client_config(pki, pki.bob)) as stream:
                await stream.send_all(b"hello")
                assert await stream.receive_some() == b"hello"
        assert len(server.connections) == 1, "the handler is called for who was let in alone"

    run(main)


def test_client_that_only_sends_learns_why_it_was_refused(pki: PKI) -> None:
    async def main() -> None:
        async def send_for_ever() -> None:
            for _ in range(10_000):
                await stream.send_all(bytes(1 << 16))

        async with serving(server_config(pki, client_auth=pki.required())) as server:
            stream = await connect(server, client_config(pki))
            async with stream:
                with pytest.raises(trio.BrokenResourceError) as caught:
                    await send_for_ever()
                assert isinstance(caught.value.__cause__, trustls.CertificateRejectedByPeer)

    run(main)


@pytest.mark.parametrize("first", ["handshake", "receive", "send", "eof"])
def test_refused_server_breaks_whatever_is_done_first(first: str, pki: PKI) -> None:
    async def main() -> None:
        async with serving(server_config(pki, credentials=[pki.server_of_other.credential])) as server:
            async with await connect(server, client_config(pki)) as stream:
                actions: dict[str, Callable[[], Awaitable[object]]] = {
                    "handshake": stream.do_handshake,
                    "receive": stream.receive_some,
                    "send": functools.partial(stream.send_all, b"hello"),
                    "eof": stream.send_eof,
                }
                for _ in range(2):
                    with pytest.raises(trio.BrokenResourceError, match="CertificateRejected") as caught:
                        await actions[first]()
                    assert isinstance(caught.value.__cause__, trustls.CertificateRejected)
                await server.failed.wait()  # It is told before anybody closes anything.
            assert isinstance(server.failures[0], trustls.AlertReceived)
            assert server.failures[0].description is trustls.AlertDescription.UNKNOWN_CA

    run(main)


def test_end_without_close_notify_breaks_the_stream(pki: PKI) -> None:
    async def main() -> None:
        async def cut(stream: SocketTLS) -> None:
            await stream.send_all(b"not all of it")
            await stream.transport_stream.aclose()

        async with serving(server_config(pki), cut) as server, await connect(server, client_config(pki)) as stream:
            assert await stream.receive_some() == b"not all of it"
            with pytest.raises(trio.BrokenResourceError) as caught:
                await stream.receive_some()
            assert isinstance(caught.value.__cause__, trustls.UnexpectedEOF)

    run(main)


def test_client_without_a_name_is_refused(pki: PKI) -> None:
    near, _far = trio.testing.memory_stream_pair()
    with pytest.raises(trustls.ConfigError, match="server_name"):
        TLSStream(near, client_config(pki))
    with pytest.raises(trustls.ConfigError, match="server name"):
        TLSStream(near, server_config(pki), server_name="localhost")


# -- Time and cancellation --------------------------------------------------------------------------------------------


def test_silent_peer_is_a_handshake_timeout(pki: PKI) -> None:
    async def main() -> None:
        near, _far = trio.testing.memory_stream_pair()
        stream = TLSStream(near, client_config(pki), server_name="localhost", handshake_timeout=30)
        before = trio.current_time()
        with trio.move_on_after(20):
            await stream.receive_some()
        with pytest.raises(trio.BrokenResourceError, match="30 s") as caught:
            await stream.do_handshake()
        assert isinstance(caught.value.__cause__, trustls.HandshakeTimeout)
        assert trio.current_time() - before == pytest.approx(30), "the limit is for the handshake, not for a call"
        await stream.aclose()

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0.01))


def test_handshake_that_was_cancelled_while_waiting_goes_on(pki: PKI) -> None:
    async def main() -> None:
        client, server = make_pair(pki, trio.testing.memory_stream_pair)
        for _ in range(3):
            with trio.move_on_after(1) as scope:
                await client.receive_some()
            assert scope.cancelled_caught
        async with trio.open_nursery() as nursery:
            nursery.start_soon(echo, server)
            await client.send_all(b"hello")
            assert await client.receive_some() == b"hello"
            await client.aclose()

    run(main, clock=trio.testing.MockClock(autojump_threshold=0.01))


def test_handshake_that_was_cancelled_in_the_middle_of_a_message_is_over(pki: PKI) -> None:
    async def main() -> None:
        client, _server = make_pair(pki, trio.testing.lockstep_stream_pair)
        with trio.move_on_after(1):
            await client.do_handshake()  # Nobody takes the ClientHello.
        for action in (client.do_handshake, client.receive_some):
            with pytest.raises(trio.BrokenResourceError, match="cut the handshake off"):
                await action()
        await client.aclose()

    run(main, clock=trio.testing.MockClock(autojump_threshold=0.01))


def test_sender_and_receiver_may_both_come_upon_the_handshake(pki: PKI) -> None:
    async def main() -> None:
        client, server = make_pair(pki, trio.testing.memory_stream_pair)
        received: list[bytes] = []
        answered = trio.Event()

        async def receive() -> None:
            received.append(await client.receive_some())
            answered.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive)
            nursery.start_soon(client.send_all, b"hello")
            nursery.start_soon(client.do_handshake)
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(echo, server)
            await answered.wait()
            await client.aclose()
        assert received == [b"hello"]

    run(main, clock=trio.testing.MockClock(autojump_threshold=0.01))


def test_cancelled_verifier_ends_the_connection(pki: PKI) -> None:
    """Who gives an answer up gets no second one: the connection fails closed."""

    async def main() -> None:
        near, far = trio.testing.memory_stream_pair()
        config = trustls.ClientConfig(verifier=SlowVerifier(trio.sleep_forever))
        client = TLSStream(near, config, server_name="localhost")
        server = TLSStream(far, server_config(pki))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(echo_or_fail, server)
            with trio.move_on_after(1) as scope:
                await client.do_handshake()
            assert scope.cancelled_caught
            with pytest.raises(trio.BrokenResourceError, match="given up"):
                await client.receive_some()
            await client.aclose()

    run(main, clock=trio.testing.MockClock(autojump_threshold=0.01))


async def echo_or_fail(stream: trio.abc.Stream) -> None:
    """An echo for a client that will not come to its end."""
    with contextlib.suppress(trio.BrokenResourceError):
        await echo(stream)


def test_answers_of_the_receiver_wait_for_no_sender(pki: PKI) -> None:
    """A sender is stuck, as its peer does not read; receiving must go on, or both would wait for ever."""

    async def main() -> None:
        async def never_read(stream: SocketTLS) -> None:
            await stuck.wait()
            await stream.request_client_certificate()
            await stream.send_all(b"hello")
            await trio.sleep_forever()

        stuck = trio.Event()
        config = server_config(pki, post_handshake_auth=pki.required())
        async with serving(config, never_read) as server:
            stream = await connect(server, client_config(pki, pki.alice, post_handshake_auth=True))
            async with stream, trio.open_nursery() as nursery:
                nursery.start_soon(stream.send_all, bytes(64 << 20))
                with trio.move_on_after(0.2):
                    await stream.receive_some()
                stuck.set()
                assert await stream.receive_some() == b"hello", "behind a request that is to be answered"
                nursery.cancel_scope.cancel()

    run(main)


def test_what_was_received_outlives_the_search_for_a_last_alert(pki: PKI) -> None:
    """Who cannot send looks whether the peer said why. What else is found there is the application's."""
    data = os.urandom(40_000)

    async def main() -> None:
        async def say_and_leave(stream: SocketTLS) -> None:
            await stream.send_all(data[:30_000])
            await trio.sleep(0.05)
            await stream.send_all(data[30_000:])
            await stream.send_eof()
            await stream.transport_stream.aclose()

        async def send_for_ever() -> None:
            for _ in range(10_000):
                await stream.send_all(bytes(1 << 16))

        async with serving(server_config(pki), say_and_leave) as server:
            stream = await connect(server, client_config(pki))
            async with stream:
                received = bytearray(await stream.receive_some(1))
                with pytest.raises(trio.BrokenResourceError):
                    await send_for_ever()
                while part := await stream.receive_some():
                    received += part
                assert received == data

    run(main)


def test_alert_of_a_peer_that_reads_nothing_is_found(pki: PKI) -> None:
    async def main() -> None:
        near, far = trio.testing.memory_stream_pair()
        await far.send_all(bytes.fromhex("15 03 03 00 02 02 28"))
        far.receive_stream.close()
        client = TLSStream(near, client_config(pki), server_name="localhost", shutdown_timeout=0.02)
        with pytest.raises(trio.BrokenResourceError, match="handshake_failure") as caught:
            await client.do_handshake()
        assert isinstance(caught.value.__cause__, trustls.AlertReceived)
        await client.aclose()

    run(main)


def test_handshake_that_fails_is_logged_with_the_address_of_the_client(
    pki: PKI, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        config = server_config(pki, client_auth=pki.required())
        async with trio.open_nursery() as nursery:
            start = functools.partial(serve_tls_over_tcp, echo, 0, config, host="127.0.0.1")
            listeners = await nursery.start(start)
            port = listeners[0].transport_listener.socket.getsockname()[1]
            stream = await open_tls_over_tcp_stream("127.0.0.1", port, client_config(pki), server_name="localhost")
            async with stream:
                host, own = stream.transport_stream.socket.getsockname()
                with pytest.raises(trio.BrokenResourceError):
                    await stream.receive_some()
            await trio.testing.wait_all_tasks_blocked()
            said = f"handshake with {host}:{own} failed: CertificateRejected: no certificate was presented"
            assert said in caplog.text
            nursery.cancel_scope.cancel()

    with caplog.at_level("INFO", logger="trustls.trio"):
        run(main)
