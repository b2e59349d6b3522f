"""http.client of the standard library: docs/integrations/http-client.md."""

from __future__ import annotations

import ssl

import pytest

import trustls
from tests.integrations import recipes
from tests.integrations.mutual import (
    REFUSED,
    SECOND_SUBJECT,
    SERVER_SUBJECT,
    ConfigMaker,
    Handshakes,
    check_refused,
    client_config,
    subject_of,
)
from tests.integrations.proxy import ConnectProxy
from tests.integrations.servers import LARGE, HttpServer

recipe = recipes.load("http-client")


def test_request_goes_over_mutual_tls(http_server: HttpServer, handshakes: Handshakes) -> None:
    answer = recipe.post(client_config(), "localhost", http_server.port, "/hello", b"question")
    assert answer == {
        "method": "POST",
        "path": "/hello",
        "protocol": "HTTP/1.1",
        "subject": SECOND_SUBJECT,
        "body": "question",
    }
    handshakes.check()


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_large_answer_comes_whole(http_server: HttpServer, version: str, handshakes: Handshakes) -> None:
    connection = recipe.http.client.HTTPSConnection(
        "localhost", http_server.port, context=client_config(versions=[version]).ssl_context()
    )
    try:
        connection.request("GET", "/large")
        assert connection.getresponse().read() == LARGE, "the answer was cut or garbled"
        assert connection.sock.version() == f"TLSv{version}"
        assert subject_of(connection.sock.getpeercert()) == SERVER_SUBJECT
    finally:
        connection.close()
    handshakes.check()


def test_openssl_server_lets_it_in(openssl_http_server: HttpServer, second_client: trustls.ClientConfig) -> None:
    answer = recipe.post(second_client, "localhost", openssl_http_server.port, "/", b"")
    assert answer["subject"] == SECOND_SUBJECT


def test_tls_inside_of_a_tunnel(http_server: HttpServer, handshakes: Handshakes) -> None:
    with ConnectProxy() as proxy:
        answer = recipe.get_through_a_proxy(
            client_config(), ("localhost", proxy.port), "localhost", http_server.port, "/far"
        )
    assert answer["subject"] == SECOND_SUBJECT
    assert proxy.subjects == [None], "the request did not go through the proxy"
    handshakes.check()


@REFUSED
def test_refusal_is_told_in_words(http_server: HttpServer, refused_config: ConfigMaker, why: str) -> None:
    with pytest.raises(ssl.SSLError) as refused:
        recipe.post(refused_config(), "localhost", http_server.port, "/", b"")
    assert isinstance(refused.value, trustls.CertificateRejectedByPeer)
    check_refused(refused.value, why)
    http_server.check_refused(why)
