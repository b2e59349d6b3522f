"""httpcore: docs/integrations/httpcore.md."""

from __future__ import annotations

import asyncio
import json

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
    server_config,
    skip_without,
)
from tests.integrations.proxy import ConnectProxy
from tests.integrations.servers import HttpServer

httpcore = skip_without("httpcore")
skip_without("h2", "pip install 'httpcore[http2]'")
recipe = recipes.load("httpcore")


def test_sync_pool_speaks_http2_over_mutual_tls(http_server: HttpServer, handshakes: Handshakes) -> None:
    with recipe.pool(client_config()) as pool:
        answer = json.loads(pool.request("POST", http_server.url, content=b"question").content)
    assert (answer["subject"], answer["protocol"], answer["body"]) == (SECOND_SUBJECT, "HTTP/2", "question")
    handshakes.check()


def test_async_pool_speaks_http2_over_mutual_tls(http_server: HttpServer, handshakes: Handshakes) -> None:
    async def main() -> bytes:
        async with recipe.async_pool(client_config()) as pool:
            return bytes((await pool.request("POST", http_server.url, content=b"question")).content)

    answer = json.loads(asyncio.run(main()))
    assert (answer["subject"], answer["protocol"], answer["body"]) == (SECOND_SUBJECT, "HTTP/2", "question")
    handshakes.check()


def test_openssl_server_lets_it_in(openssl_http_server: HttpServer, second_client: trustls.ClientConfig) -> None:
    with recipe.pool(second_client) as pool:
        assert json.loads(pool.request("GET", openssl_http_server.url).content)["subject"] == SECOND_SUBJECT


def test_tls_goes_inside_of_the_tls_of_a_proxy(http_server: HttpServer, handshakes: Handshakes) -> None:
    with (
        ConnectProxy(server_config().ssl_context()) as proxy,
        recipe.pool_through_a_proxy(client_config(), proxy.url, client_config()) as pool,
    ):
        assert json.loads(pool.request("GET", http_server.url).content)["subject"] == SECOND_SUBJECT
    assert proxy.subjects == [SECOND_SUBJECT], "the proxy does not know the client"
    handshakes.check(2)


@REFUSED
def test_refusal_is_told_in_words(http_server: HttpServer, refused_config: ConfigMaker, why: str) -> None:
    with recipe.pool(refused_config()) as pool, pytest.raises(httpcore.NetworkError) as refused:
        pool.request("GET", http_server.url)
    check_refused(refused.value, why)
    http_server.check_refused(why)
