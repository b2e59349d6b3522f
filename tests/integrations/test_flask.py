"""Flask and Werkzeug's server: docs/integrations/flask.md."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import trustls
from tests.integrations import recipes, web
from tests.integrations.mutual import (
    REFUSED,
    SECOND_SUBJECT,
    SERVER_SAYS,
    Files,
    Handshakes,
    client_config,
    config_of_stranger,
    config_without_certificate,
    roots,
    second_root,
    server_config,
    skip_without,
)

skip_without("flask")
recipe = recipes.load("flask")


@contextlib.contextmanager
def serving(config: trustls.ServerConfig | None = None) -> Iterator[int]:
    """The port of a server in a thread."""
    server = recipe.server(config or server_config(), "127.0.0.1", 0)
    server.daemon_threads = False  # It waits for them when it is closed.
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join(web.SECONDS)
        server.server_close()


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Werkzeug makes a handler of its own when it logs before anybody has said how."""
    caplog.set_level(logging.INFO, "werkzeug")


def subject(answer: dict[str, Any]) -> Any:
    environ = answer["environ"]
    assert environ["SSL_CLIENT_VERIFY"] == "SUCCESS"
    assert environ["SSL_CLIENT_S_DN"] == answer["peer"]
    return answer["peer"]


def test_client_is_asked_chosen_and_known(files: Files, handshakes: Handshakes) -> None:
    with serving() as port:
        web.check_server(port, files, handshakes, subject)


def test_clients_are_kept_apart() -> None:
    optional = trustls.ClientAuth.optional(roots(second_root()))
    with serving(server_config(client_auth=optional)) as port:
        web.check_apart(port)


@REFUSED
def test_client_is_refused_in_words(
    refused_config: Callable[[], trustls.ClientConfig], why: str, caplog: pytest.LogCaptureFixture
) -> None:
    with serving() as port:
        web.check_refusal(port, refused_config(), why, caplog)
    log = [one.getMessage() for one in caplog.records if one.name == "werkzeug"]
    assert any(SERVER_SAYS[why] in line for line in log), f"Werkzeug's log does not say why: {log}"


def test_reported_certificate_is_shown_and_names_nobody() -> None:
    reporting = trustls.ClientAuth.report(roots(second_root()))
    with serving(server_config(client_auth=reporting)) as port:
        environ = web.ask(config_of_stranger(), port, headers=web.SPOOFED)["environ"]
        assert environ["SSL_CLIENT_VERIFY"].startswith("FAILED:")
        assert "the issuer is not known" in environ["SSL_CLIENT_VERIFY"]
        assert environ["SSL_CLIENT_CERT"].startswith("-----BEGIN CERTIFICATE-----")
        assert not [name for name in environ if "_DN" in name and "CLIENT" in name], f"it is named: {environ}"
        environ = web.ask(config_without_certificate(), port, headers=web.SPOOFED)["environ"]
        assert environ["SSL_CLIENT_VERIFY"] == "NONE"
        assert "SSL_CLIENT_CERT" not in environ
        assert web.ask(client_config(), port)["environ"]["SSL_CLIENT_S_DN"] == SECOND_SUBJECT


def test_client_that_dawdles_holds_nobody_up() -> None:
    with serving() as port, socket.create_connection(("127.0.0.1", port), web.SECONDS):
        assert web.ask(client_config(), port)["peer"] == SECOND_SUBJECT
