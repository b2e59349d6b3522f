"""redis-py against a redis-server that requires client certificates: docs/integrations/redis.md."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import trustls
from tests.integrations import daemons, recipes
from tests.integrations.mutual import (
    REFUSED,
    SECOND_SUBJECT,
    ConfigMaker,
    Files,
    Handshakes,
    check_count,
    check_refused,
    skip_without,
)
from tests.peers import require_peer
from tests.support.loops import run_in_loop

redis = skip_without("redis")
recipe = recipes.load("redis")


@pytest.fixture(scope="module")
def port(files: Files) -> Iterator[int]:
    with daemons.redis(require_peer("redis-server"), files) as port:
        yield port


def _check_presented(handshakes: Handshakes) -> None:
    check_count("clients", handshakes.clients, None)
    assert not handshakes.clients[0].info.resumed
    for client in handshakes.clients:
        if client.info.resumed:
            continue  # Who it is, the session says.
        assert client.presented is not None
        assert str(client.presented.certificate.subject) == SECOND_SUBJECT


def test_commands_go_over_mutual_tls(port: int, second_client: trustls.ClientConfig, handshakes: Handshakes) -> None:
    with recipe.client(second_client, "localhost", port) as client:
        client.set("key", "value" * 200_000)
        assert client.get("key") == b"value" * 200_000
        with client.pipeline() as pipeline:
            for number in range(100):
                pipeline.incrby("counter", number)
            assert pipeline.execute()[-1] == 4950
        with client.pubsub() as listener:
            listener.subscribe("channel")
            assert listener.get_message(timeout=5)["type"] == "subscribe"
            client.publish("channel", "news")
            assert listener.get_message(timeout=5)["data"] == b"news"
            assert listener.get_message(timeout=0.01) is None
    _check_presented(handshakes)


def test_asynchronous_commands_go_over_mutual_tls(
    port: int, second_client: trustls.ClientConfig, handshakes: Handshakes
) -> None:
    async def main() -> bytes:
        async with recipe.async_client(second_client, "localhost", port) as client:
            await client.set("other", "value" * 200_000)
            return await client.get("other")  # type: ignore[no-any-return]

    assert run_in_loop(main) == b"value" * 200_000
    _check_presented(handshakes)


@REFUSED
def test_refusal_is_told_in_words(port: int, refused_config: ConfigMaker, why: str) -> None:
    with recipe.client(refused_config(), "localhost", port) as client, pytest.raises(redis.ConnectionError) as refused:
        client.ping()
    check_refused(refused.value, why)
