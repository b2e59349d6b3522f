"""paho-mqtt against a mosquitto that requires client certificates: docs/integrations/paho-mqtt.md."""

from __future__ import annotations

import queue
import ssl
from collections.abc import Iterator
from typing import Any

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
    skip_without,
)
from tests.peers import require_peer

mqtt: Any = skip_without("paho.mqtt.client", "pip install paho-mqtt")
recipe = recipes.load("paho-mqtt")
SECONDS = 15.0


@pytest.fixture(scope="module")
def port(files: Files) -> Iterator[int]:
    with daemons.mosquitto(require_peer("mosquitto"), files) as port:
        yield port


def test_messages_go_over_mutual_tls(port: int, second_client: trustls.ClientConfig, handshakes: Handshakes) -> None:
    received: queue.Queue[bytes] = queue.Queue()
    ready: queue.Queue[str] = queue.Queue()
    client = recipe.client(second_client)
    client.on_connect = lambda client, *_: client.subscribe("topic/#", qos=1)
    client.on_subscribe = lambda *_: ready.put("subscribed")
    client.on_message = lambda _client, _data, message: received.put(message.payload)
    client.connect("localhost", port)
    client.loop_start()
    try:
        assert ready.get(timeout=SECONDS) == "subscribed"
        payloads = [b"x" * size for size in (1, 16_384, 70_000, 1_000_000)]
        for payload in payloads:
            client.publish("topic/a", payload, qos=1).wait_for_publish(SECONDS)
        assert [received.get(timeout=SECONDS) for _ in payloads] == payloads
    finally:
        client.disconnect()
        client.loop_stop()
    check_count("clients", handshakes.clients, 1)
    presented = handshakes.clients[0].presented
    assert presented is not None
    assert str(presented.certificate.subject) == SECOND_SUBJECT


@REFUSED
def test_refusal_is_told_in_words(port: int, refused_config: ConfigMaker, why: str, handshakes: Handshakes) -> None:
    gone: queue.Queue[object] = queue.Queue()
    client = recipe.client(refused_config())
    client.on_disconnect = lambda _client, _data, _flags, reason, _properties: gone.put(reason)
    client.on_connect_fail = lambda *_: gone.put("failed")
    client.connect("localhost", port)
    client.loop_start()
    try:
        assert str(gone.get(timeout=SECONDS)) != "Success"
    finally:
        client.disconnect()
        client.loop_stop()
    assert why in str(handshakes.clients[0].failure), "the client was not told"


def test_the_check_of_the_name_cannot_be_switched_off() -> None:
    client = recipe.client(trustls.ClientConfig(roots=trustls.RootCertStore.system()))
    with pytest.raises(ValueError, match="keeps to its configuration"):
        client.tls_insecure_set(True)
    assert issubclass(trustls.ConfigError, ValueError)
    assert isinstance(client._ssl_context, ssl.SSLContext)
