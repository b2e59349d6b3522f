"""gunicorn: docs/integrations/gunicorn.md."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest

import trustls
import trustls.wsgi
from tests.docs.blocks import blocks
from tests.integrations import recipes, web
from tests.integrations.mutual import (
    NO_CERTIFICATE,
    SECOND_SUBJECT,
    SERVER_SAYS,
    UNKNOWN_CA,
    Files,
    client_config,
    config_of_stranger,
    config_without_certificate,
    server_config,
    skip_without,
)
from tests.support.processes import PeerProcess

gunicorn_config = skip_without("gunicorn.config", "pip install gunicorn")
# Newer ones make one in the folder of the user.
_NO_CONTROL_SOCKET = ["--no-control-socket"] if hasattr(gunicorn_config, "ControlSocketDisable") else []


@contextlib.contextmanager
def serving(folder: Path, files: Files, *arguments: str) -> Iterator[tuple[int, PeerProcess]]:
    """The port of a gunicorn that is started in a folder with the files of the page, and its process."""
    for block in blocks(recipes.FOLDER / "gunicorn.md"):
        if block.mark == "file":
            (folder / block.value).write_text(block.body)
    shutil.copy(files.server[0], folder / "server.pem")
    shutil.copy(files.server[1], folder / "server-key.pem")
    shutil.copy(files.second_root, folder / "client-roots.pem")
    root = Path(__file__).parents[2]
    pid = folder / "pid"
    command = [
        *(sys.executable, "-m", "gunicorn", "--bind", "127.0.0.1:0"),
        *("--pid", str(pid), *_NO_CONTROL_SOCKET, *arguments, "app:app"),
    ]
    environment = {"PYTHONPATH": str(root / "src"), "PYTHONDONTWRITEBYTECODE": "1", "GUNICORN_CMD_ARGS": ""}
    with contextlib.chdir(folder):
        started = PeerProcess(command, environment=environment)
    with started as process:
        port = int(process.wait_for(r"Listening at: https://127\.0\.0\.1:(\d+)")[1])
        process.wait_for("Booting worker with pid")
        try:
            yield port, process
        finally:
            os.kill(int(pid.read_text()), signal.SIGTERM)
            process.wait()


@dataclass(frozen=True)
class Server:
    """One that runs, and the version of HTTP that it speaks with curl."""

    port: int
    process: PeerProcess
    http: str


def subject(answer: dict[str, Any]) -> Any:
    environ = answer["environ"]
    assert environ["SSL_CLIENT_VERIFY"] == "SUCCESS"
    assert environ["SSL_CLIENT_S_DN"] == answer["peer"]
    assert not [name for name in environ if name.startswith("HTTP_SSL")], "headers of these names are believed by some"
    return answer["peer"]


@pytest.fixture(scope="module", params=["sync", "gthread"])
def running(request: pytest.FixtureRequest, files: Files, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of each kind of worker; gthread with HTTP/2."""
    arguments = ["--worker-class", request.param, "--log-level", "debug"]
    if request.param == "gthread":
        skip_without("h2")
        arguments += ["--http-protocols", "h2,h1"]
    with serving(tmp_path_factory.mktemp("gunicorn"), files, *arguments) as (port, process):
        yield Server(port, process, "2" if request.param == "gthread" else "1.1")


def test_client_is_asked_chosen_and_known(files: Files, running: Server) -> None:
    web.check_server(running.port, files, None, subject, http=running.http)


def test_client_is_refused_in_words(running: Server) -> None:
    for refused, why in ((config_without_certificate, NO_CERTIFICATE), (config_of_stranger, UNKNOWN_CA)):
        web.check_refusal(running.port, refused(), why)
        running.process.wait_for(f"Invalid request from ip=127.0.0.1: .*{SERVER_SAYS[why]}")


def test_resumed_session_has_the_same_client(running: Server) -> None:
    context = client_config().ssl_context()
    found = [web.ask(context, running.port)["environ"] for _ in range(3)]
    assert [one["SSL_SESSION_RESUMED"] for one in found] == ["Initial", "Resumed", "Resumed"]
    assert {one["SSL_CLIENT_S_DN"] for one in found} == {SECOND_SUBJECT}
    assert ["SSL_SERVER_CERT" in one for one in found] == [True, False, False], "a resumed session has no certificate"


def test_alpn_protocols_follow_the_server(running: Server) -> None:
    offer = client_config(alpn=["http/1.1"]).ssl_context()
    assert subject(web.ask(offer, running.port, times=1 if running.http == "1.1" else 2)) == SECOND_SUBJECT


def test_alpn_that_is_not_spoken_is_refused() -> None:
    class Settings:
        http_protocols: ClassVar = ["h1"]

    with pytest.raises(trustls.ConfigError, match=r"gunicorn speaks http/1\.1 here"):
        trustls.wsgi.gunicorn_context(server_config(alpn=["h2"]))(Settings, None)


def test_function_is_called_once_in_a_worker() -> None:
    class Settings:
        http_protocols: ClassVar = ["h1"]

    made: list[trustls.ServerConfig] = []

    def make() -> trustls.ServerConfig:
        made.append(server_config())
        return made[-1]

    context = trustls.wsgi.gunicorn_context(make)
    assert not made, "the function is called in the process that forks"
    assert context(Settings, None) is context(Settings, None)
    assert len(made) == 1
