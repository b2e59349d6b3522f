"""urllib3: docs/integrations/urllib3.md."""

from __future__ import annotations

import pytest

import trustls
from tests.integrations import recipes
from tests.integrations.mutual import (
    REFUSED,
    SECOND_SUBJECT,
    ConfigMaker,
    Files,
    Handshakes,
    check_refused,
    client_config,
    server_config,
    skip_without,
)
from tests.integrations.proxy import ConnectProxy
from tests.integrations.servers import LARGE, HttpServer

urllib3 = skip_without("urllib3")
recipe = recipes.load("urllib3")


def test_request_goes_over_mutual_tls(http_server: HttpServer, handshakes: Handshakes) -> None:
    with recipe.pool(client_config()) as pool:
        answer = pool.request("POST", f"{http_server.url}/hello", body=b"question").json()
        assert pool.request("GET", f"{http_server.url}/large").data == LARGE, "the answer was cut or garbled"
    assert answer == {
        "method": "POST",
        "path": "/hello",
        "protocol": "HTTP/1.1",
        "subject": SECOND_SUBJECT,
        "body": "question",
    }
    handshakes.check()


def test_openssl_server_lets_it_in(openssl_http_server: HttpServer, second_client: trustls.ClientConfig) -> None:
    with recipe.pool(second_client) as pool:
        assert pool.request("GET", openssl_http_server.url).json()["subject"] == SECOND_SUBJECT


@pytest.mark.parametrize("kind", ["trustls", "openssl"])
def test_tls_goes_inside_of_the_tls_of_a_proxy(
    http_server: HttpServer, handshakes: Handshakes, files: Files, second_client: trustls.ClientConfig, kind: str
) -> None:
    ours = kind == "trustls"
    for_the_proxy = client_config() if ours else second_client
    with (
        ConnectProxy(server_config().ssl_context() if ours else files.openssl_server()) as proxy,
        recipe.pool_through_a_proxy(client_config(), proxy.url, for_the_proxy) as pool,
    ):
        assert pool.request("GET", http_server.url).json()["subject"] == SECOND_SUBJECT
        assert pool.request("GET", f"{http_server.url}/large").data == LARGE, "the answer was cut or garbled"
    assert proxy.subjects == [SECOND_SUBJECT], "the proxy does not know the client"
    if ours:
        handshakes.check(2)


@REFUSED
def test_refusal_is_told_in_words(http_server: HttpServer, refused_config: ConfigMaker, why: str) -> None:
    with recipe.pool(refused_config()) as pool, pytest.raises(urllib3.exceptions.SSLError) as refused:
        pool.request("GET", http_server.url)
    check_refused(refused.value, why)
    http_server.check_refused(why)


@pytest.mark.parametrize("setting", ["cert_reqs", "assert_hostname", "ca_certs", "cert_file"])
def test_settings_that_contradict_the_configuration_raise(http_server: HttpServer, files: Files, setting: str) -> None:
    value = {
        "cert_reqs": "CERT_NONE",
        "assert_hostname": False,
        "ca_certs": str(files.second_root),
        "cert_file": str(files.first[0]),
    }[setting]
    context = client_config().ssl_context()
    with (
        urllib3.PoolManager(ssl_context=context, retries=False, **{setting: value}) as pool,
        pytest.raises(trustls.ConfigError, match="keeps to its configuration"),
    ):
        pool.request("GET", http_server.url)
    http_server.failure()  # The client has hung up before its first word.
