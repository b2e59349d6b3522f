"""requests: docs/integrations/requests.md."""

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

requests = skip_without("requests")
recipe = recipes.load("requests")


@pytest.fixture(autouse=True)
def _no_bundles(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)


def test_request_goes_over_mutual_tls(http_server: HttpServer, handshakes: Handshakes) -> None:
    with recipe.session(client_config()) as session:
        answer = session.post(f"{http_server.url}/hello", data=b"question").json()
        assert session.get(f"{http_server.url}/large").content == LARGE, "the answer was cut or garbled"
    assert answer == {
        "method": "POST",
        "path": "/hello",
        "protocol": "HTTP/1.1",
        "subject": SECOND_SUBJECT,
        "body": "question",
    }
    handshakes.check()


def test_openssl_server_lets_it_in(openssl_http_server: HttpServer, second_client: trustls.ClientConfig) -> None:
    with recipe.session(second_client) as session:
        assert session.get(openssl_http_server.url).json()["subject"] == SECOND_SUBJECT


def test_only_the_roots_of_the_configuration_are_trusted(http_server: HttpServer, handshakes: Handshakes) -> None:
    with recipe.session(client_config()) as session:
        session.get(http_server.url)
        context = session.get_adapter("https://")._context
        assert context.cert_store_stats()["x509"] == 1, "requests has added roots of its own"
    handshakes.check()


@pytest.mark.parametrize("behind_tls", [False, True], ids=["in-the-clear", "tls-in-tls"])
def test_proxy_is_gone_through(http_server: HttpServer, handshakes: Handshakes, behind_tls: bool) -> None:
    with ConnectProxy(server_config().ssl_context() if behind_tls else None) as proxy:
        with recipe.session(client_config()) as session:
            answer = session.get(http_server.url, proxies={"https": proxy.url}).json()
        assert answer["subject"] == SECOND_SUBJECT
    assert proxy.subjects == [SECOND_SUBJECT if behind_tls else None]
    handshakes.check(2 if behind_tls else 1)


@REFUSED
def test_refusal_is_told_in_words(http_server: HttpServer, refused_config: ConfigMaker, why: str) -> None:
    with recipe.session(refused_config()) as session, pytest.raises(requests.exceptions.SSLError, match=why) as refused:
        session.get(http_server.url)
    check_refused(refused.value, why)
    http_server.check_refused(why)


@pytest.mark.parametrize("given", [{"verify": False}, {"verify": "..."}, {"cert": "..."}], ids=str)
def test_settings_that_contradict_the_configuration_raise(
    http_server: HttpServer, files: Files, given: dict[str, object]
) -> None:
    given = {name: str(files.server_root) if value == "..." else value for name, value in given.items()}
    with recipe.session(client_config()) as session, pytest.raises(ValueError, match="said in the ClientConfig"):
        session.get(http_server.url, **given)


def test_bundle_of_the_environment_raises(
    http_server: HttpServer, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(files.second_root))
    with recipe.session(client_config()) as session:
        with pytest.raises(ValueError, match="trust_env"):
            session.get(http_server.url)
        session.trust_env = False
        assert session.get(http_server.url).json()["subject"] == SECOND_SUBJECT
