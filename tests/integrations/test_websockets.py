"""websockets, client and server, on asyncio and in threads: docs/integrations/websockets.md."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import trustls
from tests.integrations import recipes
from tests.integrations.mutual import (
    REFUSED,
    SECOND_SUBJECT,
    ConfigMaker,
    Files,
    Handshakes,
    client_config,
    server_config,
    skip_without,
    subject_of,
)

websockets = skip_without("websockets")
recipe = recipes.load("websockets")

REFUSALS = (websockets.exceptions.InvalidMessage, websockets.exceptions.ConnectionClosedError)
ANSWER = f"{SECOND_SUBJECT} says hello"
LARGE = "hello" * 100_000


@contextmanager
def served(server: Any) -> Iterator[str]:
    """A blocking server in a thread; its URL."""
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"wss://localhost:{server.socket.getsockname()[1]}"
    server.shutdown()
    thread.join()


@pytest.fixture
def blocking_url() -> Iterator[str]:
    with recipe.serve_blocking(server_config(), "127.0.0.1", 0) as server, served(server) as url:
        yield url


def check_log(caplog: pytest.LogCaptureFixture, why: str) -> None:
    """websockets keeps the reason to itself at times; the log of trustls does not."""
    found = [record.getMessage() for record in caplog.records if record.name == "trustls.handshake"]
    assert any(line.startswith("client failed: ") and why in line for line in found), f"the log says {found}"


def url_of(server: asyncio.Server) -> str:
    return f"wss://localhost:{next(iter(server.sockets)).getsockname()[1]}"


@pytest.mark.parametrize("question", ["hello", LARGE], ids=["short", "long"])
def test_asyncio_speaks_mutual_tls(handshakes: Handshakes, question: str) -> None:
    async def main() -> None:
        async with recipe.serve(server_config(), "127.0.0.1", 0) as server:
            answer = await recipe.ask(client_config(), url_of(server), question)
            assert answer == f"{SECOND_SUBJECT} says {question}"

    asyncio.run(main())
    handshakes.check()


@pytest.mark.parametrize("question", ["hello", LARGE], ids=["short", "long"])
def test_threads_speak_mutual_tls(blocking_url: str, handshakes: Handshakes, question: str) -> None:
    assert recipe.ask_blocking(client_config(), blocking_url, question) == f"{SECOND_SUBJECT} says {question}"
    handshakes.check()


def test_asyncio_server_knows_a_client_on_openssl(handshakes: Handshakes, files: Files) -> None:
    async def main() -> None:
        async with (
            recipe.serve(server_config(), "127.0.0.1", 0) as server,
            recipe.asyncio_client.connect(url_of(server), ssl=files.openssl_client(files.second)) as socket,
        ):
            await socket.send("hello")
            assert await socket.recv() == ANSWER

    asyncio.run(main())
    handshakes.check_servers()


@pytest.mark.parametrize("blocking", [False, True], ids=["asyncio", "blocking"])
def test_openssl_server_on_asyncio_lets_it_in(
    files: Files, second_client: trustls.ClientConfig, blocking: bool
) -> None:
    async def greet(socket: Any) -> None:
        subject = subject_of(socket.transport.get_extra_info("peercert"))
        await socket.send(f"{subject} says {await socket.recv()}")

    async def main() -> None:
        async with recipe.asyncio_server.serve(greet, "127.0.0.1", 0, ssl=files.openssl_server()) as server:
            if blocking:
                answer = await asyncio.to_thread(recipe.ask_blocking, second_client, url_of(server), "hello")
            else:
                answer = await recipe.ask(second_client, url_of(server), "hello")
        assert answer == ANSWER

    asyncio.run(main())


def test_openssl_server_in_threads_lets_it_in(files: Files, second_client: trustls.ClientConfig) -> None:
    def greet(socket: Any) -> None:
        socket.send(f"{subject_of(socket.socket.getpeercert())} says {socket.recv()}")

    with recipe.sync_server.serve(greet, "127.0.0.1", 0, ssl=files.openssl_server()) as server, served(server) as url:
        assert recipe.ask_blocking(second_client, url, "hello") == ANSWER


def test_blocking_server_knows_a_client_on_openssl(blocking_url: str, handshakes: Handshakes, files: Files) -> None:
    with recipe.sync_client.connect(blocking_url, ssl=files.openssl_client(files.second)) as socket:
        socket.send("hello")
        assert socket.recv() == ANSWER
    handshakes.check_servers()


@REFUSED
def test_asyncio_refusal_is_told_in_the_log(
    handshakes: Handshakes, refused_config: ConfigMaker, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with recipe.serve(server_config(), "127.0.0.1", 0) as server:
            await recipe.ask(refused_config(), url_of(server), "hello")

    with caplog.at_level(logging.DEBUG, "trustls.handshake"), pytest.raises(REFUSALS):
        asyncio.run(main())
    check_log(caplog, why)
    handshakes.check_refused(why)


@REFUSED
def test_blocking_refusal_is_told_in_the_log(
    blocking_url: str,
    handshakes: Handshakes,
    refused_config: ConfigMaker,
    why: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.DEBUG, "trustls.handshake"), pytest.raises(REFUSALS):
        recipe.ask_blocking(refused_config(), blocking_url, "hello")
    check_log(caplog, why)
    handshakes.check_refused(why)


def test_server_of_another_name_is_refused(blocking_url: str) -> None:
    config = trustls.ClientConfig(roots=client_config().roots)
    with pytest.raises(trustls.CertificateRejected, match=r"example\.com"):
        recipe.sync_client.connect(blocking_url, ssl=config.ssl_context(), server_hostname="example.com")
