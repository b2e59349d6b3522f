"""hypercorn: docs/integrations/hypercorn.md."""

from __future__ import annotations

import asyncio
import contextlib
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

skip_without("hypercorn")
trio = skip_without("trio")
recipe = recipes.load("hypercorn")

from trustls.asgi.hypercorn import TLSConfig  # noqa: E402 (it imports hypercorn)

WORKERS = pytest.mark.parametrize("worker", ["asyncio", "uvloop", "trio"])


@contextlib.contextmanager
def serving(config: trustls.ServerConfig | None = None, *, worker: str = "asyncio", **settings: Any) -> Iterator[int]:
    """The port of a server in a thread."""
    settings.setdefault("errorlog", None)
    stop = threading.Event()
    failures: list[BaseException] = []

    def run(descriptor: int) -> None:
        arguments = (config or server_config(), f"fd://{descriptor}")
        try:
            if worker == "trio":
                trio.run(
                    lambda: recipe.serve_on_trio(*arguments, lambda: trio.to_thread.run_sync(stop.wait), **settings)
                )
            else:
                factory = skip_without("uvloop").new_event_loop if worker == "uvloop" else None
                with asyncio.Runner(loop_factory=factory) as runner:
                    runner.run(recipe.serve(*arguments, lambda: asyncio.to_thread(stop.wait), **settings))
        except BaseException as error:  # noqa: BLE001 (the test looks at it)
            failures.append(error)

    with web.free_port() as listener:
        port = listener.getsockname()[1]
        thread = threading.Thread(target=run, args=(listener.detach(),), daemon=True)
    thread.start()
    try:
        yield port
    finally:
        stop.set()
        thread.join(web.SECONDS)
        assert not thread.is_alive(), "hypercorn does not end"
        assert not failures, failures


def subject(answer: dict[str, Any]) -> Any:
    assert answer["peer"] == answer["tls"]["client_cert_name"]
    return answer["peer"]


@WORKERS
def test_client_is_asked_chosen_and_known(files: Files, handshakes: Handshakes, worker: str) -> None:
    with serving(worker=worker) as port:
        web.check_server(port, files, handshakes, subject, http="2")


@WORKERS
def test_http2_has_the_extension(files: Files, handshakes: Handshakes, worker: str) -> None:
    with serving(worker=worker) as port:
        assert subject(web.curl(files, port, "--data", "question", http="2")) == SECOND_SUBJECT
    handshakes.check_servers()
    assert handshakes.servers[0].info.alpn == "h2"


@WORKERS
def test_clients_are_kept_apart(worker: str) -> None:
    optional = trustls.ClientAuth.optional(roots(second_root()))
    with serving(server_config(client_auth=optional), worker=worker) as port:
        web.check_apart(port)


@pytest.mark.parametrize("worker", ["asyncio", "trio"])
@REFUSED
def test_client_is_refused_in_words(
    refused_config: Callable[[], trustls.ClientConfig], why: str, caplog: pytest.LogCaptureFixture, worker: str
) -> None:
    with serving(worker=worker) as port:
        web.check_refusal(port, refused_config(), why, caplog)


@pytest.mark.parametrize("worker", ["asyncio", "trio"])
def test_extension_has_all_its_fields(worker: str) -> None:
    with serving(worker=worker) as port:
        # The second request over one connection must know what the first knew.
        tls = web.ask(client_config(suites=["TLS_AES_128_GCM_SHA256"]), port, times=2)["tls"]
    assert tls == {
        "server_cert": trustls.Certificate.from_x509(server_issued().chain[0]).pem(),
        "client_cert_chain": [trustls.Certificate.from_x509(one).pem() for one in second_issued().chain],
        "client_cert_name": SECOND_SUBJECT,
        "client_cert_error": None,
        "tls_version": 0x0304,
        "cipher_suite": 0x1301,
    }


def test_extension_says_what_is_wrong_with_a_reported_certificate() -> None:
    reporting = trustls.ClientAuth.report(roots(second_root()))
    with serving(server_config(client_auth=reporting)) as port:
        tls = web.ask(config_of_stranger(), port)["tls"]
        assert tls["client_cert_name"] == STRANGE_SUBJECT
        assert "the issuer is not known" in tls["client_cert_error"]
        tls = web.ask(config_without_certificate(), port)["tls"]
        assert (tls["client_cert_name"], tls["client_cert_error"], tls["client_cert_chain"]) == (None, None, [])


@pytest.mark.parametrize("worker", ["asyncio", "trio"])
def test_websockets_have_the_extension(handshakes: Handshakes, worker: str) -> None:
    client = skip_without("websockets.sync.client", "pip install websockets")
    scopes: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scopes.append(scope)
        if scope["type"] == "lifespan":
            for what in ("startup", "shutdown"):
                assert (await receive())["type"] == f"lifespan.{what}"
                await send({"type": f"lifespan.{what}.complete"})
            return
        await receive()
        await send({"type": "websocket.accept"})
        said = (await receive())["text"]
        name = scope["extensions"]["tls"]["client_cert_name"]
        await send({"type": "websocket.send", "text": f"{said}, {name}"})
        await send({"type": "websocket.close"})

    context = client_config().ssl_context()
    with (
        serving(worker=worker, app=app) as port,
        client.connect(f"wss://localhost:{port}", ssl=context) as connection,
    ):
        connection.send("hello")
        assert connection.recv() == f"hello, {SECOND_SUBJECT}"
    handshakes.check()
    assert [scope["type"] for scope in scopes] == ["lifespan", "websocket"]
    assert "tls" not in scopes[0].get("extensions", {}), "a lifespan is no connection"
    assert "websocket.http.response" in scopes[1]["extensions"], "the server's own extensions are gone"


def test_own_alpn_protocols_are_kept(handshakes: Handshakes, files: Files) -> None:
    with serving(server_config(alpn=["http/1.1"])) as port:
        assert subject(web.curl(files, port)) == SECOND_SUBJECT
    assert handshakes.servers[0].info.alpn == "http/1.1"


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"certfile": "server.pem"}, "certfile would have no effect"),
        ({"verify_mode": 2}, "verify_mode would have no effect"),
        ({"quic_bind": ["127.0.0.1:4433"]}, "quic_bind would have no effect"),
        ({"cert_reqs": 2}, "cert_reqs would have no effect"),
        ({"create_ssl_context": None}, "hypercorn has no setting create_ssl_context"),
        ({"tls": None}, "hypercorn has no setting tls"),
        ({"blind": "127.0.0.1:8443"}, "hypercorn has no setting blind"),
    ],
)
def test_setting_without_effect_is_refused(settings: dict[str, Any], why: str) -> None:
    with pytest.raises(trustls.ConfigError, match=why):
        trustls.asgi.hypercorn_config(server_config(), **settings)


def test_setting_that_is_made_later_is_refused_as_well() -> None:
    made = trustls.asgi.hypercorn_config(server_config())
    made.ciphers = "ALL"
    with pytest.raises(trustls.ConfigError, match="ciphers would have no effect"):
        made.create_ssl_context()


def test_alpn_that_is_not_spoken_is_refused() -> None:
    made = trustls.asgi.hypercorn_config(server_config(alpn=["h3"]))
    with pytest.raises(trustls.ConfigError, match=r"hypercorn speaks h2 and http/1\.1"):
        made.create_ssl_context()


def test_config_goes_to_other_processes_by_the_name_of_its_function() -> None:
    made = pickle.loads(pickle.dumps(trustls.asgi.hypercorn_config(server_config, bind="127.0.0.1:0")))
    assert made.ssl_enabled
    assert made.create_ssl_context().config.alpn == ("h2", "http/1.1")


def test_hypercorn_of_another_shape_is_not_served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("hypercorn.asyncio.run.TCPServer")
    made = trustls.asgi.hypercorn_config(server_config())
    with pytest.raises(TypeError, match=r"hypercorn\.asyncio\.run of this hypercorn has no TCPServer"):
        made.create_ssl_context()


def test_contexts_of_others_are_served_as_before(monkeypatch: pytest.MonkeyPatch, files: Files) -> None:
    original = TLSConfig.create_ssl_context

    def theirs(self: Any) -> Any:
        original(self)
        return files.openssl_server()

    monkeypatch.setattr(TLSConfig, "create_ssl_context", theirs)
    told: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        told.append({key: value for key, value in scope.get("extensions", {}).items() if "tls" in key})
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})

    with serving(app=app) as port:
        web.curl(files, port)
    assert told[-1] == {}, f"of a connection that is not trustls's the application was told {told[-1]}"
