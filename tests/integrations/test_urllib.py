"""urllib.request of the standard library: docs/integrations/urllib.md."""

from __future__ import annotations

import ssl
import urllib.error

import pytest

import trustls
from tests.integrations import recipes
from tests.integrations.mutual import (
    REFUSED,
    SECOND_SUBJECT,
    ConfigMaker,
    Handshakes,
    check_refused,
    client_config,
    config_without_certificate,
)
from tests.integrations.servers import LARGE, HttpServer

recipe = recipes.load("urllib")


def test_request_goes_over_mutual_tls(http_server: HttpServer, handshakes: Handshakes) -> None:
    answer = recipe.get(client_config(), f"{http_server.url}/hello")
    assert answer["subject"] == SECOND_SUBJECT
    assert answer["path"] == "/hello"
    handshakes.check()


def test_opener_is_used_again(http_server: HttpServer, handshakes: Handshakes) -> None:
    opener = recipe.opener(client_config())
    for _ in range(2):
        with opener.open(f"{http_server.url}/large", timeout=15) as response:
            assert response.read() == LARGE, "the answer was cut or garbled"
    handshakes.check_servers(2)
    assert [client.info.resumed for client in handshakes.clients] == [False, True], (
        "the second did not resume the first"
    )


def test_openssl_server_lets_it_in(openssl_http_server: HttpServer, second_client: trustls.ClientConfig) -> None:
    assert recipe.get(second_client, openssl_http_server.url)["subject"] == SECOND_SUBJECT


@REFUSED
def test_refusal_is_told_in_words(http_server: HttpServer, refused_config: ConfigMaker, why: str) -> None:
    with pytest.raises(ssl.SSLError) as refused:
        recipe.get(refused_config(), http_server.url)
    check_refused(refused.value, why)
    http_server.check_refused(why)


def test_refusal_within_the_handshake_is_the_reason(http_server: HttpServer) -> None:
    with pytest.raises(urllib.error.URLError) as refused:
        recipe.get(config_without_certificate(versions=["1.2"]), http_server.url)
    assert isinstance(refused.value.reason, trustls.TLSError), f"the reason is {refused.value.reason!r}"
