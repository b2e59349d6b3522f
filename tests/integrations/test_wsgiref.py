"""http.server and wsgiref of the standard library: docs/integrations/wsgiref.md."""

from __future__ import annotations

import contextlib
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
    server_config,
)

recipe = recipes.load("wsgiref")
KINDS = pytest.mark.parametrize("kind", ["http_server", "wsgi_server"])


@contextlib.contextmanager
def serving(kind: str) -> Iterator[int]:
    """The port of a server in a thread."""
    server = getattr(recipe, kind)(server_config(), "127.0.0.1", 0)
    server.daemon_threads = False  # It waits for them when it is closed.
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join(web.SECONDS)
        server.server_close()


def subject(answer: dict[str, Any]) -> Any:
    environ = answer.get("environ")
    if environ is not None:
        assert environ["SSL_CLIENT_VERIFY"] == "SUCCESS"
        assert environ["SSL_CLIENT_S_DN"] == answer["peer"]
    return answer["peer"]


@KINDS
def test_client_is_asked_chosen_and_known(files: Files, handshakes: Handshakes, kind: str) -> None:
    with serving(kind) as port:
        web.check_server(port, files, handshakes, subject, http="1")  # 1.0


@KINDS
@REFUSED
def test_client_is_refused_in_words(
    refused_config: Callable[[], trustls.ClientConfig],
    why: str,
    kind: str,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    with serving(kind) as port:
        web.check_refusal(port, refused_config(), why, caplog)
    assert SERVER_SAYS[why] in capsys.readouterr().err, "the server's own output does not say why"


@KINDS
def test_client_that_dawdles_holds_nobody_up(kind: str) -> None:
    with serving(kind) as port, socket.create_connection(("127.0.0.1", port), web.SECONDS):
        assert web.ask(client_config(), port)["peer"] == SECOND_SUBJECT
