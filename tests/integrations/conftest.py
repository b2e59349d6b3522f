"""What the tests of the integrations share: see mutual.py, recipes.py and servers.py."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import trustls
from tests.integrations.mutual import Files, Handshakes, client_config, credential, second_issued, server_config
from tests.integrations.servers import HttpServer
from trustls.stdlib import SSLContext, SSLSession


@pytest.fixture
def handshakes(monkeypatch: pytest.MonkeyPatch) -> Handshakes:
    """Remembers every connection that an SSLContext of trustls makes in this process while the test runs."""
    made = Handshakes()
    original = SSLContext.connection

    def connection(self: SSLContext, server_hostname: str | None, session: SSLSession | None) -> trustls.Connection:
        fresh = original(self, server_hostname, session)
        made.add(fresh)
        return fresh

    monkeypatch.setattr(SSLContext, "connection", connection)
    return made


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """The certificates as PEM files, for peers that want some."""
    return Files.write(tmp_path_factory.mktemp("integrations-pki"))


@pytest.fixture
def http_server() -> Iterator[HttpServer]:
    """A HTTPS server on trustls that lets in clients of the second CA alone, with HTTP/1.1 and HTTP/2."""
    with HttpServer(server_config(alpn=["h2", "http/1.1"]).ssl_context()) as server:
        yield server


@pytest.fixture
def second_client() -> trustls.ClientConfig:
    """A client with the second certificate alone, for servers that send no hints."""
    return client_config(credentials=[credential(second_issued())])


@pytest.fixture
def openssl_http_server(files: Files) -> Iterator[HttpServer]:
    """The same on OpenSSL, which sends no hints."""
    with HttpServer(files.openssl_server(alpn=["h2", "http/1.1"])) as server:
        yield server
