"""What docs/from-ssl.md says of `ssl` beside its examples, where somebody's security hangs on it."""

from __future__ import annotations

import contextlib
import ssl
from pathlib import Path

import pytest

from trustls.cli.pki import Authority


@pytest.fixture
def certificates(tmp_path: Path) -> Path:
    authority = Authority.create("Server CA")
    authority.write(tmp_path, "servers")
    authority.issue_server("localhost").write(tmp_path, "localhost")
    Authority.create("Client CA").write(tmp_path, "clients")
    return tmp_path


def server(folder: Path, verify_mode: ssl.VerifyMode) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "localhost.pem", folder / "localhost-key.pem")
    context.load_verify_locations(folder / "clients.pem")
    context.verify_mode = verify_mode
    return context


def lets_in_without_certificate(context: ssl.SSLContext, folder: Path) -> bool:
    there, here = ssl.MemoryBIO(), ssl.MemoryBIO()
    roots = ssl.create_default_context(cafile=folder / "servers.pem")
    client = roots.wrap_bio(here, there, server_hostname="localhost")
    serving = context.wrap_bio(there, here, server_side=True)
    for _ in range(3):
        with contextlib.suppress(ssl.SSLWantReadError):
            client.do_handshake()
        try:
            serving.do_handshake()
        except ssl.SSLWantReadError:
            continue
        except ssl.SSLError:
            return False
        return True
    raise AssertionError("the handshake did not come to an end")


def test_ssl_ignores_what_a_chosen_context_requires_of_clients(certificates: Path) -> None:
    strict = server(certificates, ssl.CERT_REQUIRED)
    assert not lets_in_without_certificate(strict, certificates)

    first = server(certificates, ssl.CERT_NONE)
    first.sni_callback = lambda tls, name, context: setattr(tls, "context", strict)
    assert lets_in_without_certificate(first, certificates), "docs/from-ssl.md says that verify_mode does not change"
