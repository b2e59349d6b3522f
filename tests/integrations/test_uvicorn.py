"""uvicorn: docs/integrations/uvicorn.md."""

from __future__ import annotations

import contextlib
import json
import pickle
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import trustls
import trustls.asgi
from tests.integrations import recipes, web
from tests.integrations.mutual import (
    REFUSED,
    SECOND_SUBJECT,
    STRANGE_SUBJECT,
    Files,
    Handshakes,
    client_config,
    config_of_stranger,
    config_without_certificate,
    roots,
    second_issued,
    second_root,
    server_config,
    server_issued,
    skip_without,
)

uvicorn = skip_without("uvicorn")
skip_without("httptools")
recipe = recipes.load("uvicorn")

OPTIONAL = trustls.ClientAuth.optional(roots(second_root()))
REPORTING = trustls.ClientAuth.report(roots(second_root()))


@contextlib.contextmanager
def serving(config: trustls.ServerConfig | None = None, app: Any = recipe.app, **settings: Any) -> Iterator[int]:
    """The port of a server in a thread."""
    settings.setdefault("http", "h11")
    settings.setdefault("loop", "asyncio")
    settings.setdefault("log_level", "critical")
    server = recipe.server(config or server_config(), app, **settings)
    with web.free_port() as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(web.SECONDS)
            assert not thread.is_alive(), "uvicorn does not end"


def subject(answer: dict[str, Any]) -> Any:
    assert answer["peer"] == answer["tls"]["client_cert_name"]
    return answer["peer"]


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("http", ["h11", "httptools"])
def test_client_is_asked_chosen_and_known(files: Files, handshakes: Handshakes, http: str, loop: str) -> None:
    skip_without(loop)
    with serving(http=http, loop=loop) as port:
        web.check_server(port, files, handshakes, subject)


@pytest.mark.parametrize("http", ["h11", "httptools"])
def test_clients_are_kept_apart(http: str) -> None:
    with serving(server_config(client_auth=OPTIONAL), http=http) as port:
        web.check_apart(port)


@REFUSED
def test_client_is_refused_in_words(
    refused_config: Callable[[], trustls.ClientConfig], why: str, caplog: pytest.LogCaptureFixture
) -> None:
    with serving() as port:
        web.check_refusal(port, refused_config(), why, caplog)


def test_extension_has_all_its_fields() -> None:
    with serving() as port:
        # The second request over one connection must know what the first knew.
        tls = web.ask(client_config(groups=["x25519"], suites=["TLS_AES_128_GCM_SHA256"]), port, times=2)["tls"]
    sent = [trustls.Certificate.from_x509(one).pem() for one in second_issued().chain]
    assert tls == {
        "server_cert": trustls.Certificate.from_x509(server_issued().chain[0]).pem(),
        "client_cert_chain": sent,
        "client_cert_name": SECOND_SUBJECT,
        "client_cert_error": None,
        "tls_version": 0x0304,
        "cipher_suite": 0x1301,
    }
    assert len(sent) == 2, "the client has an intermediate to send"


def test_extension_gives_numbers_of_tls12() -> None:
    suites = ["TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"]
    with serving(server_config(versions=["1.2"], suites=suites)) as port:
        tls = web.ask(client_config(), port)["tls"]
    assert (tls["tls_version"], tls["cipher_suite"]) == (0x0303, 0xC02C)


def test_extension_says_what_is_wrong_with_a_reported_certificate() -> None:
    with serving(server_config(client_auth=REPORTING)) as port:
        tls = web.ask(config_of_stranger(), port)["tls"]
        assert tls["client_cert_name"] == STRANGE_SUBJECT
        assert "the issuer is not known" in tls["client_cert_error"]
        assert len(tls["client_cert_chain"]) == 1
        tls = web.ask(config_without_certificate(), port)["tls"]
        assert (tls["client_cert_name"], tls["client_cert_error"], tls["client_cert_chain"]) == (None, None, [])
        assert web.ask(client_config(), port)["tls"]["client_cert_error"] is None


def test_proxy_headers_do_not_touch_the_extension() -> None:
    headers = {"X-Forwarded-For": "192.0.2.1", "X-Forwarded-Proto": "http"}
    with serving() as port:
        assert subject(web.ask(client_config(), port, headers=headers)) == SECOND_SUBJECT


@pytest.mark.parametrize("ws", ["websockets-sansio", "wsproto"])
def test_websockets_have_the_extension(handshakes: Handshakes, ws: str) -> None:
    skip_without(ws.partition("-")[0])
    client = skip_without("websockets.sync.client", "pip install websockets")
    scopes: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scopes.append(scope)
        if scope["type"] == "lifespan":
            await lifespan(receive, send)
            return
        await receive()
        await send({"type": "websocket.accept"})
        said = (await receive())["text"]
        name = scope["extensions"]["tls"]["client_cert_name"]
        await send({"type": "websocket.send", "text": f"{said}, {name}"})
        await send({"type": "websocket.close"})

    context = client_config().ssl_context()
    with serving(app=app, ws=ws) as port, client.connect(f"wss://localhost:{port}", ssl=context) as connection:
        connection.send("hello")
        assert connection.recv() == f"hello, {SECOND_SUBJECT}"
    handshakes.check()
    assert [scope["type"] for scope in scopes] == ["lifespan", "websocket"]
    assert "extensions" not in scopes[0], "a lifespan is no connection"
    assert "websocket.http.response" in scopes[1]["extensions"], "the server's own extensions are gone"


async def lifespan(receive: Any, send: Any) -> None:
    """Nothing to start, nothing to end."""
    for what in ("startup", "shutdown"):
        assert (await receive())["type"] == f"lifespan.{what}"
        await send({"type": f"lifespan.{what}.complete"})


def test_http2_has_the_extension(files: Files, handshakes: Handshakes) -> None:
    skip_without("zttp")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        # Without a look at the body, whose end uvicorn 0.54 with zttp 0.0.35 never tells of over HTTP/2.
        answer = {"version": scope["http_version"], "name": scope["extensions"]["tls"]["client_cert_name"]}
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": json.dumps(answer).encode()})

    with serving(app=app, lifespan="off", http="zttp", http2=True) as port:
        assert web.curl(files, port, http="2") == {"version": "2", "name": SECOND_SUBJECT}
        assert web.ask(client_config(alpn=["http/1.1"]), port) == {"version": "1.1", "name": SECOND_SUBJECT}
    assert [one.info.alpn for one in handshakes.servers] == ["h2", "http/1.1"]
    handshakes.check_servers(2)


def test_alpn_that_is_not_spoken_is_refused() -> None:
    server = recipe.server(server_config(alpn=["h2", "http/1.1"]), http="h11", log_level="critical")
    with pytest.raises(trustls.ConfigError, match=r"uvicorn speaks http/1\.1 here"):
        server.config.load()


def test_context_goes_to_other_processes_by_the_name_of_its_function() -> None:
    context = pickle.loads(pickle.dumps(trustls.asgi.uvicorn_context(server_config)))
    config = uvicorn.Config(recipe.app, ssl_context_factory=context, log_level="critical")
    config.load()
    assert config.ssl.config.credentials, "the context has no configuration"
