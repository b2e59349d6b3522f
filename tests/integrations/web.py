"""What the tests of web servers share: how they are asked, by trustls, curl and openssl, and what they must answer.

The applications of their recipes answer in JSON what they know of the connection. `check_server` has a running server
prove all that every server here must do.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import logging
import socket
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Protocol

import pytest

import trustls
from tests.integrations.mutual import (
    SECOND_ROOT,
    SECOND_SUBJECT,
    SERVER_SAYS,
    Files,
    Handshakes,
    check_refused,
    client_config,
)
from tests.peers import require_peer
from tests.support.commands import names_listed
from tests.support.processes import PeerProcess, run

SECONDS: Final = 15.0
"""How long anything here is waited for; what takes this long hangs."""

SPOOFED: Final = {
    "SSL-Client-Verify": "SUCCESS",
    "SSL-Client-S-DN": "CN=root",
    "SSL-Client-S-DN-CN": "root",
    "SSL-Client-Cert": "forged",
    "HTTPS": "forged",
}
"""Headers by which a client pretends to be somebody else."""


class AsksFor(Protocol):
    """How a test of one server finds the client's subject in an answer of its recipe's application."""

    def __call__(self, answer: dict[str, Any], /) -> Any: ...


@contextlib.contextmanager
def free_port() -> Iterator[socket.socket]:
    """A listening socket of 127.0.0.1, for servers that take one."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


def ask(
    config: trustls.ClientConfig | ssl.SSLContext,
    port: int,
    path: str = "/",
    *,
    times: int = 1,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The last answer to requests over one connection, which must be good ones."""
    context = config if isinstance(config, ssl.SSLContext) else config.ssl_context()
    connection = http.client.HTTPSConnection("localhost", port, context=context, timeout=SECONDS)
    try:
        answer: dict[str, Any] = {}
        for _ in range(times):
            connection.request("GET" if body is None else "POST", path, body=body, headers=dict(headers or {}))
            response = connection.getresponse()
            content = response.read()
            assert response.status == 200, f"{response.status} {response.reason}: {content!r}"
            answer = json.loads(content)
        return answer
    finally:
        connection.close()


def curl(files: Files, port: int, *arguments: str, http: str = "1.1", path: str = "/") -> dict[str, Any]:
    """The answer to curl, which presents the second certificate and offers HTTP/2, by the version `http` of HTTP."""
    chain, key = map(str, files.second)
    result = run(
        [
            *(require_peer("curl"), "--silent", "--show-error", "--cacert", files.server_root),
            *("--cert", chain, "--key", key, "--max-time", str(SECONDS)),
            *("--http2", "--write-out", "\\n%{http_version}", *arguments),
            f"https://localhost:{port}{path}",
        ]
    )
    assert result.returncode == 0, f"curl failed: {result.stderr}"
    content, _, version = result.stdout.rpartition("\n")
    assert version == http, f"curl was answered by HTTP/{version}"
    answer: dict[str, Any] = json.loads(content)
    return answer


def check_hints(files: Files, port: int) -> None:
    """`openssl s_client` is told which CAs the server accepts."""
    chain, key = files.second
    command: list[str | Path] = [
        *(require_peer("openssl"), "s_client", "-connect", f"127.0.0.1:{port}", "-servername", "localhost"),
        *("-CAfile", files.server_root, "-verify_return_error", "-nameopt", "RFC2253"),
        *("-cert", chain, "-key", key, "-cert_chain", chain),
    ]
    with PeerProcess(command) as client:
        client.wait_for(r"^(New|Reused), TLSv1\.3, Cipher is \S+\n")
        listed = names_listed(client.output)
        client.write("Q\n")
        client.wait()
    assert listed == [SECOND_ROOT], f"s_client was told of {listed}"


def check_server(
    port: int, files: Files, handshakes: Handshakes | None, subject: AsksFor, *, http: str = "1.1"
) -> None:
    """All that every server must do for a client that it lets in.

    Args:
        port: where it listens, and requires certificates of the second CA.
        files: the certificates.
        handshakes: the connections of this process; None where the server is in another one.
        subject: finds the client in an answer.
        http: the version of HTTP that it speaks with curl.
    """
    found = ask(client_config(), port, body=b"question" * 10_000, headers=SPOOFED)
    assert subject(found) == SECOND_SUBJECT, f"the application saw {found}"
    assert found["received"] == 80_000, f"of 80000 bytes the application got {found['received']}"
    assert "forged" not in json.dumps(found), f"the application believes a header: {found}"
    if handshakes is not None:
        handshakes.check()
    assert subject(curl(files, port, http=http)) == SECOND_SUBJECT, "curl is somebody else to the application"
    check_hints(files, port)


def check_refusal(
    port: int, refused: trustls.ClientConfig, why: str, caplog: pytest.LogCaptureFixture | None = None
) -> None:
    """A client is refused, is told why, and the server has said why; the next one is served."""
    if caplog is not None:
        caplog.set_level(logging.DEBUG, "trustls.handshake")
    with pytest.raises(ssl.SSLError) as error:
        ask(refused, port)
    check_refused(error.value, why)
    assert ask(client_config(), port), "after a refusal nobody was served"
    if caplog is not None:
        said = [one.getMessage() for one in caplog.records if one.name == "trustls.handshake"]
        words = SERVER_SAYS[why]
        assert any(line.startswith("server failed") and words in line for line in said), f"the server said {said}"


def check_apart(port: int) -> None:
    """Clients that are there at the same time are not taken for each other. The server lets in clients without one."""
    configs = {SECOND_SUBJECT: client_config(), None: client_config(credentials=[])}
    with contextlib.ExitStack() as stack:
        opened = []
        for who, config in [*configs.items(), *configs.items()]:
            connection = http.client.HTTPSConnection("localhost", port, context=config.ssl_context(), timeout=SECONDS)
            stack.callback(connection.close)
            opened.append((who, connection))
        for _ in range(2):
            for _, connection in opened:
                connection.request("GET", "/")
            for who, connection in reversed(opened):
                answer = json.loads(connection.getresponse().read())
                assert answer["peer"] == who, f"{who} was taken for {answer['peer']}"
