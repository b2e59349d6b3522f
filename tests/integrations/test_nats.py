"""nats-py against a nats-server that maps certificates to users: docs/integrations/nats.md."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import trustls
from tests.integrations import daemons, recipes
from tests.integrations.mutual import (
    NO_CERTIFICATE,
    REFUSED,
    STRANGE_SUBJECT,
    ConfigMaker,
    Files,
    Handshakes,
    client_config,
    skip_without,
)
from tests.peers import require_peer
from tests.support.loops import run_in_loop

nats = skip_without("nats", "pip install nats-py")
recipe = recipes.load("nats")


@pytest.fixture(scope="module")
def port(files: Files) -> Iterator[int]:
    with daemons.nats(require_peer("nats-server"), files) as port:
        yield port


def test_messages_go_over_mutual_tls_with_the_certificate_of_the_hints(port: int, handshakes: Handshakes) -> None:
    async def main() -> list[bytes]:
        client = await recipe.connect(client_config(), "localhost", port)
        try:
            subscription = await client.subscribe("topic")
            for size in (1, 20_000, 1_000_000):
                await client.publish("topic", b"x" * size)
            return [(await subscription.next_msg(timeout=10)).data for _ in range(3)]
        finally:
            await client.close()

    assert [len(data) for data in run_in_loop(main)] == [1, 20_000, 1_000_000]
    handshakes.check_clients()


@REFUSED
def test_refusal_is_told_in_words(port: int, refused_config: ConfigMaker, why: str, handshakes: Handshakes) -> None:
    async def main() -> None:
        with pytest.raises((OSError, nats.errors.Error)):
            await recipe.connect(refused_config(), "localhost", port)

    run_in_loop(main)
    failure = handshakes.clients[0].failure
    if failure is None:
        return  # nats-py writes before it reads, and may find the socket closed before it comes upon the alert.
    assert isinstance(failure, trustls.CertificateRejectedByPeer), f"the client was not told: {failure!r}"
    # Go has called both bad_certificate for long: but what this side presented it knows itself.
    presented = "presented no certificate" if why == NO_CERTIFICATE else f"presented {STRANGE_SUBJECT}"
    assert presented in str(failure)
