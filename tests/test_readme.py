"""The examples of README.md run as they stand there."""

from __future__ import annotations

import contextlib
import io
import re
import socket
import threading
from pathlib import Path

import pytest

from trustls.cli.pki import Authority

README = Path(__file__).parent.parent / "README.md"


def test_the_two_examples_talk_to_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server_roots, client_roots = Authority.create("Server Roots"), Authority.create("Client Roots")
    server_roots.write(tmp_path, "server-roots")
    client_roots.write(tmp_path, "client-roots")
    server_roots.issue_server("localhost").write(tmp_path, "server")
    Authority.create("Elsewhere").issue_client("work").write(tmp_path, "work")
    client_roots.issue_client("home").write(tmp_path, "home")
    monkeypatch.chdir(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server, client = (
        block.replace("8443", str(port)).replace('("localhost",', '("127.0.0.1",')
        for block in re.findall(r"(?<!-->\n)```python\n(.*?)```", README.read_text(), re.DOTALL)
    )
    listening = threading.Event()
    server = server.replace(" as listener, ", " as listener, contextlib.nullcontext(listening.set()), ")
    printed = io.StringIO()
    thread = threading.Thread(
        target=exec, args=(server, {"contextlib": contextlib, "listening": listening}), daemon=True
    )
    with contextlib.redirect_stdout(printed):
        thread.start()
        assert listening.wait(10)
        exec(client, {})
        thread.join(10)
    assert not thread.is_alive()
    assert "CN=Client Roots" in printed.getvalue()
    assert "hello" in printed.getvalue()
    assert "TLSv1.3 CN=home" in printed.getvalue()
