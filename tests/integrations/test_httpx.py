"""httpx, synchronous and not, over HTTP/1.1 and HTTP/2: docs/integrations/httpx.md."""

from __future__ import annotations

import asyncio
import ssl

import pytest

import trustls
from tests.integrations import recipes
from tests.integrations.loops import ALL, Run
from tests.integrations.mutual import (
    REFUSED,
    SECOND_SUBJECT,
    ConfigMaker,
    Handshakes,
    chain_of,
    check_client,
    check_refused,
    client_config,
    config_without_certificate,
    server_config,
    skip_without,
)
from tests.integrations.proxy import ConnectProxy
from tests.integrations.servers import LARGE, HttpServer

httpx = skip_without("httpx")
skip_without("h2", "pip install 'httpx[http2]'")
recipe = recipes.load("httpx")


def test_sync_request_goes_by_http2_over_mutual_tls(http_server: HttpServer, handshakes: Handshakes) -> None:
    with recipe.client(client_config()) as client:
        response = client.post(f"{http_server.url}/hello", content=b"question")
        assert response.json() == {
            "method": "POST",
            "path": "/hello",
            "protocol": "HTTP/2",
            "subject": SECOND_SUBJECT,
            "body": "question",
        }
        assert response.http_version == "HTTP/2"
        check_client(response.extensions["network_stream"].get_extra_info("ssl_object"))
        assert str(recipe.presented_for(response).certificate.subject) == SECOND_SUBJECT
        assert client.get(f"{http_server.url}/large").content == LARGE, "the answer was cut or garbled"
    handshakes.check()


@ALL
def test_async_requests_go_by_http2_over_mutual_tls(http_server: HttpServer, handshakes: Handshakes, run: Run) -> None:
    async def main() -> None:
        async with recipe.async_client(client_config()) as client:
            response = await client.post(f"{http_server.url}/hello", content=b"question")
            assert response.http_version == "HTTP/2"
            assert (response.json()["subject"], response.json()["body"]) == (SECOND_SUBJECT, "question")
            check_client(response.extensions["network_stream"].get_extra_info("ssl_object"))
            assert str(recipe.presented_for(response).certificate.subject) == SECOND_SUBJECT
            assert (await client.get(f"{http_server.url}/large")).content == LARGE, "the answer was cut or garbled"

    run(main)
    handshakes.check()


def test_many_requests_share_one_connection(http_server: HttpServer, handshakes: Handshakes) -> None:
    async def main() -> None:
        async with recipe.async_client(client_config()) as client:
            await client.get(http_server.url)
            answers = await asyncio.gather(*[client.get(f"{http_server.url}/{number}") for number in range(20)])
            assert [answer.json()["path"] for answer in answers] == [f"/{number}" for number in range(20)]

    asyncio.run(main())
    handshakes.check()


def test_one_context_serves_clients_of_both_protocols(http_server: HttpServer, handshakes: Handshakes) -> None:
    context = client_config().ssl_context()
    for http2, protocol in ((True, "HTTP/2"), (False, "HTTP/1.1"), (True, "HTTP/2")):
        with httpx.Client(verify=context, http2=http2) as client:
            assert client.get(http_server.url).json()["protocol"] == protocol
    handshakes.check(3)


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_openssl_server_lets_it_in(
    openssl_http_server: HttpServer, second_client: trustls.ClientConfig, version: str
) -> None:
    second_client = trustls.ClientConfig(
        roots=second_client.roots, credentials=second_client.credentials, versions=[version]
    )
    with recipe.client(second_client) as client:
        answer = client.get(openssl_http_server.url).json()
    assert (answer["subject"], answer["protocol"]) == (SECOND_SUBJECT, "HTTP/2")


def test_tls_goes_inside_of_the_tls_of_a_proxy(http_server: HttpServer, handshakes: Handshakes) -> None:
    with ConnectProxy(server_config().ssl_context()) as proxy:
        through = httpx.Proxy(proxy.url, ssl_context=client_config().ssl_context())
        with httpx.Client(verify=client_config().ssl_context(), proxy=through) as client:
            assert client.get(http_server.url).json()["subject"] == SECOND_SUBJECT
            assert client.get(f"{http_server.url}/large").content == LARGE, "the answer was cut or garbled"
    assert proxy.subjects == [SECOND_SUBJECT], "the proxy does not know the client"
    handshakes.check(2)


@REFUSED
def test_refusal_is_told_in_words(http_server: HttpServer, refused_config: ConfigMaker, why: str) -> None:
    with recipe.client(refused_config()) as client, pytest.raises(httpx.NetworkError, match=why) as refused:
        client.get(http_server.url)
    check_refused(refused.value, why)
    http_server.check_refused(why)


@ALL
@REFUSED
def test_async_refusal_is_told_in_words(
    http_server: HttpServer, run: Run, refused_config: ConfigMaker, why: str
) -> None:
    async def main() -> None:
        # By HTTP/2 it sends more than once, which may fail before the alert is read.
        async with httpx.AsyncClient(verify=refused_config().ssl_context()) as client:
            await client.get(http_server.url)

    with pytest.raises((httpx.NetworkError, ssl.SSLError)) as refused:
        run(main)
    check_refused(refused.value, why)
    http_server.check_refused(why)


def test_refusal_within_the_handshake_is_a_connect_error(http_server: HttpServer) -> None:
    with (
        recipe.client(config_without_certificate(versions=["1.2"])) as client,
        pytest.raises(httpx.ConnectError) as refused,
    ):
        client.get(http_server.url)
    causes = [type(one).__name__ for one in chain_of(refused.value) if isinstance(one, trustls.TLSError)]
    assert causes, "the error of trustls is not behind it"


def test_asynchronous_verifier_is_refused_in_words(http_server: HttpServer) -> None:
    async def choose(request: object, credentials: object) -> None:
        """Nobody waits for it."""

    with (
        recipe.client(client_config(choose_credential=choose)) as client,
        pytest.raises(httpx.ConnectError, match=r"asynchronous here: use trustls\.aio"),
    ):
        client.get(http_server.url)
