"""`trustls.anyio` on both event loops: with itself, and with anyio's own TLSStream over `ssl` on the other side."""

from __future__ import annotations

import contextlib
import os
import ssl

import pytest

import trustls
from tests.anyio_shell.answering import LARGE, SlowSigner, SlowVerifier, client_config, server_config
from tests.anyio_shell.needed import need
from tests.support.pki import PKI
from tests.support.ssl_peers import client_context, server_context

need("anyio", "trio")

import anyio  # noqa: E402 (where it is missing, the module is skipped)
from anyio.abc import ByteStream, SocketAttribute  # noqa: E402
from anyio.lowlevel import checkpoint  # noqa: E402
from anyio.streams import tls as anyio_tls  # noqa: E402
from anyio.streams.tls import TLSAttribute  # noqa: E402

import trustls.anyio  # noqa: E402
from tests.anyio_shell.over_anyio import connect, echo, exchange, run, serving  # noqa: E402
from trustls.anyio import ConnectionAttribute, TLSStream, connect_tls  # noqa: E402

# -- The usual --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["1.3", "1.2"])
def test_each_side_knows_the_other(version: str, pki: PKI, backend: str) -> None:
    async def main() -> None:
        client = client_config(pki, pki.mallory, pki.alice, alpn=["trustls-test"], versions=[version])
        async with serving(server_config(pki, client_auth=pki.required(), alpn=["trustls-test"])) as server:
            async with await connect(server, client) as stream:
                await exchange(stream)
                connection = stream.extra(ConnectionAttribute.connection)
                assert isinstance(connection, trustls.ClientConnection)
                assert connection is stream.connection
                assert connection.requested is not None
                assert connection.requested.authorities == pki.client_ca_names
                assert connection.presented is pki.alice.credential, "chosen by the hints"
                assert stream.extra(TLSAttribute.alpn_protocol) == "trustls-test"
                assert stream.extra(TLSAttribute.tls_version) == f"TLSv{version}"
                assert stream.extra(TLSAttribute.cipher)[1:] == (f"TLSv{version}", 256)
                assert stream.extra(TLSAttribute.peer_certificate_binary) == pki.server.certificate.der
                assert stream.extra(TLSAttribute.server_side) is False
                assert stream.extra(TLSAttribute.standard_compatible) is True
                assert stream.extra(TLSAttribute.ssl_object, None) is None, "there is none"
                assert stream.extra(SocketAttribute.remote_port) == server.port, "the rest is the stream's below"
            peer = server.connections[0].peer
            assert peer is not None
            assert peer.certificate == pki.alice.certificate
        assert server.errors == []

    run(backend, main)


def test_client_with_a_server_of_anyio_and_ssl(pki: PKI, backend: str) -> None:
    async def main() -> None:
        names: list[object] = []

        async def serve(stream: ByteStream) -> None:
            certificate = stream.extra(TLSAttribute.peer_certificate)
            names.append(certificate and certificate["subject"])
            await echo(stream)

        tcp = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)
        theirs = anyio_tls.TLSListener(tcp, server_context(pki, verify=ssl.CERT_REQUIRED))
        async with theirs, anyio.create_task_group() as group:
            group.start_soon(theirs.serve, serve)
            port = tcp.extra(SocketAttribute.local_port)
            async with await connect_tls(
                "127.0.0.1", port, client_config(pki, pki.alice), server_name="localhost"
            ) as stream:
                await exchange(stream)
            group.cancel_scope.cancel()
        assert names == [((("commonName", "alice"),),)]

    run(backend, main)


def test_server_with_a_client_of_anyio_and_ssl(pki: PKI, backend: str) -> None:
    async def main() -> None:
        async with serving(server_config(pki, client_auth=pki.required())) as server:
            async with await anyio.connect_tcp(
                "127.0.0.1", server.port, ssl_context=client_context(pki, pki.alice), tls_hostname="localhost"
            ) as stream:
                await exchange(stream)
            peer = server.connections[0].peer
            assert peer is not None
            assert peer.certificate == pki.alice.certificate
        assert server.errors == []

    run(backend, main)


def test_connectable(pki: PKI, backend: str) -> None:
    async def main() -> None:
        async with serving(server_config(pki)) as server:
            connectable = trustls.anyio.TLSConnectable(
                anyio.TCPConnectable("127.0.0.1", server.port), client_config(pki), server_name="localhost"
            )
            for _ in range(2):
                async with await connectable.connect() as stream:
                    await stream.send(b"hello")
                    assert await stream.receive() == b"hello"

    run(backend, main)


def test_tls_inside_of_tls(pki: PKI, backend: str) -> None:
    async def main() -> None:
        async def inner(stream: TLSStream) -> None:
            await echo(await TLSStream.wrap(stream, server_config(pki)))

        async with serving(server_config(pki), inner) as server:
            outer = await connect(server, client_config(pki))
            async with await TLSStream.wrap(outer, client_config(pki), server_name="localhost") as stream:
                await exchange(stream)
        assert server.errors == []

    run(backend, main)


def test_everything_asynchronous_is_awaited(pki: PKI, backend: str) -> None:
    async def main() -> None:
        signers = SlowSigner(pki.server, checkpoint), SlowSigner(pki.alice, checkpoint)
        verifier = SlowVerifier(checkpoint)
        authorised: list[str] = []

        async def choose(
            _request: trustls.CredentialRequest, credentials: tuple[trustls.Credential, ...]
        ) -> trustls.Credential | None:
            await checkpoint()
            return credentials[1]

        async def authorise(peer: trustls.Peer) -> bool:
            await checkpoint()
            authorised.append(str(peer.subject))
            return True

        server_side = trustls.ServerConfig(
            credentials=[trustls.Credential(pki.server.issued.chain, signers[0])],
            client_auth=trustls.ClientAuth.required(pki.client_roots, authorize=trustls.Authorize.function(authorise)),
        )
        client_side = trustls.ClientConfig(
            verifier=verifier,
            credentials=[pki.bob.credential, trustls.Credential(pki.alice.issued.chain, signers[1])],
            choose_credential=choose,
        )
        async with serving(server_side) as server, await connect(server, client_side) as stream:
            await stream.send(b"hello")
            assert await stream.receive() == b"hello"
        assert [one.used for one in (*signers, verifier)] == [1, 1, 1], "each is asked once"
        assert authorised == ["CN=alice"]

    run(backend, main)


def test_signer_that_blocks_signs_in_a_thread(pki: PKI, backend: str) -> None:
    async def main() -> None:
        for held in (pki.server.credential.signer, pki.server.issued.key):
            signer = trustls.anyio.SignerInThread(held)
            config = trustls.ServerConfig(credentials=[trustls.Credential(pki.server.issued.chain, signer)])
            async with serving(config) as server, await connect(server, client_config(pki)) as stream:
                await stream.send(b"hello")
                assert await stream.receive() == b"hello"
            with pytest.raises(trustls.ConfigError, match="asynchronous already"):
                trustls.anyio.SignerInThread(signer)

    run(backend, main)


def test_certificate_after_the_handshake_is_waited_for(pki: PKI, backend: str) -> None:
    """No data of the client's is needed for that, and its answer is verified by who takes its time."""

    async def main() -> None:
        async def ask(stream: TLSStream) -> None:
            async with stream:
                assert await stream.receive() == b"GET /private"
                await stream.request_client_certificate()
                peer = await stream.wait_for_client_certificate()
                assert peer is not None
                await stream.send(peer.subject.encode())

        client = client_config(pki, pki.alice, post_handshake_auth=True)
        post = trustls.ClientAuth.custom(SlowVerifier(checkpoint, hints=pki.client_ca_names))
        async with (
            serving(server_config(pki, post_handshake_auth=post), ask) as server,
            await connect(server, client) as stream,
        ):
            await stream.send(b"GET /private")
            assert await stream.receive() == b"CN=alice"
        assert server.errors == []

    run(backend, main)


def test_key_updates_and_a_certificate_after_the_handshake(pki: PKI, backend: str) -> None:
    async def main() -> None:
        async def ask(stream: TLSStream) -> None:
            async with stream:
                assert await stream.receive() == b"first"
                assert stream.connection.peer is None
                await stream.request_client_certificate()
                await stream.send(b"the certificate has been asked for")
                assert await stream.receive() == b"second"
                assert stream.connection.peer is not None
                await stream.send(str(stream.connection.peer.subject).encode())

        client = client_config(pki, pki.alice, post_handshake_auth=True)
        post = trustls.ClientAuth.custom(SlowVerifier(checkpoint, hints=pki.client_ca_names))
        async with (
            serving(server_config(pki, post_handshake_auth=post), ask) as server,
            await connect(server, client) as stream,
        ):
            assert isinstance(stream.connection, trustls.ClientConnection)
            await stream.update_keys()
            await stream.send(b"first")
            with pytest.raises(trustls.ConfigError):
                await stream.request_client_certificate()
            assert await stream.receive() == b"the certificate has been asked for"
            await stream.send(b"second")
            assert await stream.receive() == b"CN=alice"
        assert server.errors == []

    run(backend, main)


# -- The end ----------------------------------------------------------------------------------------------------------


def test_half_close_and_end_of_stream(pki: PKI, backend: str) -> None:
    async def main() -> None:
        async def answer_at_the_end(stream: TLSStream) -> None:
            async with stream:
                request = b"".join([part async for part in stream])
                await stream.send(b"got " + request)

        async with (
            serving(server_config(pki), answer_at_the_end) as server,
            await connect(server, client_config(pki)) as stream,
        ):
            await stream.send(b"a request")
            await stream.send_eof()
            await stream.send_eof()
            with pytest.raises(anyio.ClosedResourceError):
                await stream.send(b"more")
            assert await stream.receive(3) == b"got"
            assert await stream.receive() == b" a request"
            for _ in range(2):
                with pytest.raises(anyio.EndOfStream):
                    await stream.receive()
        assert server.errors == []

    run(backend, main)


def test_end_without_close_notify_breaks_the_stream(pki: PKI, backend: str) -> None:
    async def main() -> None:
        async def cut(stream: TLSStream) -> None:
            await stream.send(b"not all of it")
            await stream.transport_stream.aclose()

        async with serving(server_config(pki), cut) as server, await connect(server, client_config(pki)) as stream:
            assert await stream.receive() == b"not all of it"
            with pytest.raises(anyio.BrokenResourceError, match="UnexpectedEOF") as caught:
                await stream.receive()
            assert isinstance(caught.value.__cause__, trustls.UnexpectedEOF)
            with pytest.raises(anyio.BrokenResourceError):
                await stream.send(b"hello?")

    run(backend, main)


def test_close_gives_everything_to_the_peer(pki: PKI, backend: str) -> None:
    """The server closes over data that it has not read, which must not reset the connection."""
    data = os.urandom(LARGE)

    async def main() -> None:
        async def send_and_close(stream: TLSStream) -> None:
            async with stream:
                await stream.send(data)

        async with (
            serving(server_config(pki), send_and_close) as server,
            await connect(server, client_config(pki)) as stream,
        ):
            await stream.send(b"never read" * 1000)
            received = b"".join([part async for part in stream])
            assert received == data
        assert server.errors == []

    run(backend, main)


def test_close_does_not_wait_for_ever(pki: PKI, backend: str) -> None:
    async def main() -> None:
        stay = anyio.Event()

        async def keep_open(_stream: TLSStream) -> None:
            await stay.wait()

        async with serving(server_config(pki), keep_open) as server:
            stream = await connect(server, client_config(pki), shutdown_timeout=0.2)
            before = anyio.current_time()
            await stream.aclose()
            assert 0.1 < anyio.current_time() - before < 3
            await stream.aclose()
            stay.set()

    run(backend, main)


def test_cancelled_close_closes_at_once(pki: PKI, backend: str) -> None:
    async def main() -> None:
        stay = anyio.Event()

        async def keep_open(stream: TLSStream) -> None:
            with contextlib.suppress(anyio.EndOfStream):
                await stream.receive()
            await stay.wait()

        async with serving(server_config(pki), keep_open) as server:
            stream = await connect(server, client_config(pki))
            with anyio.move_on_after(0.1) as scope:
                await stream.aclose()
            assert scope.cancelled_caught
            with pytest.raises(anyio.ClosedResourceError):
                await stream.transport_stream.receive()
            stay.set()

    run(backend, main)


def test_closed_stream_says_so(pki: PKI, backend: str) -> None:
    async def main() -> None:
        async with serving(server_config(pki)) as server:
            stream = await connect(server, client_config(pki))
            woken: list[type[Exception]] = []

            async def receive() -> None:
                try:
                    await stream.receive()
                except anyio.ClosedResourceError as error:
                    woken.append(type(error))

            async with anyio.create_task_group() as group:
                group.start_soon(receive)
                await anyio.wait_all_tasks_blocked()
                await stream.aclose()
            assert woken == [anyio.ClosedResourceError], "a task that is receiving is woken"
            with pytest.raises(anyio.ClosedResourceError):
                await stream.receive()
            with pytest.raises(anyio.ClosedResourceError):
                await stream.send(b"too late")
            with pytest.raises(anyio.ClosedResourceError):
                await stream.send_eof()

    run(backend, main)
