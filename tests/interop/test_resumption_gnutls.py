"""GnuTLS resumes with trustls, in TLS 1.2 and 1.3: `gnutls-cli --resume`, and gnutls-serv."""

from __future__ import annotations

from pathlib import Path

import pytest

import trustls
from tests.support.commands import GnutlsCli, GnutlsServ
from tests.support.pki import PKI, Identity
from tests.support.processes import SECONDS, Argument
from tests.support.servers import ServerSocket, ThreadedServer, echo
from tests.support.watching import Watch, certificates_in

VERSIONS = ("1.2", "1.3")
RESUMED = r"\*\*\* This is a resumed session"


def only(version: str) -> Argument:
    """The priority that allows nothing else."""
    return f"--priority=NORMAL:-VERS-ALL:+VERS-TLS{version}"


def server_config(pki: PKI, **options: object) -> trustls.ServerConfig:
    """A server which requires a certificate of its clients."""
    settings: dict[str, object] = {
        "credentials": [pki.server.credential],
        "client_auth": pki.required(),
        **options,
    }
    return trustls.ServerConfig(**settings)  # type: ignore[arg-type]


def client_config(pki: PKI, *identities: Identity, **options: object) -> trustls.ClientConfig:
    """A client that trusts the test's server root, and holds these certificates."""
    settings: dict[str, object] = {"roots": pki.server_roots, **options}
    return trustls.ClientConfig(credentials=[one.credential for one in identities], **settings)  # type: ignore[arg-type]


def asking(pki: PKI) -> list[Argument]:
    """The arguments that make gnutls-serv require a certificate of K-Dot or The Roots."""
    return ["--require-client-cert", "--verify-client-cert", f"--x509cafile={pki.client_cas_file}"]


# -- gnutls-cli against the trustls server ----------------------------------------------------------------------------


@pytest.mark.parametrize("stored", [False, True], ids=["tickets", "stored"])
@pytest.mark.parametrize("version", VERSIONS)
def test_gnutls_cli_resumes_and_is_still_known(version: str, stored: bool, gnutls_cli: str, pki: PKI) -> None:
    config = server_config(pki, resumption=trustls.StoredSessions() if stored else trustls.Tickets())
    arguments: list[Argument] = [only(version), "--resume", "--waitresumption"]
    with (
        Watch() as watch,
        ThreadedServer(config) as server,
        GnutlsCli(gnutls_cli, pki, server.port, *arguments, identity=pki.alice) as client,
    ):
        first = server.outcome()
        client.wait_for(RESUMED)
        watched = watch.take()
        client.ask("hello")
        client.finish()
        second = server.outcome()
        watched += watch.take()
    assert [one.connection.info.resumed for one in (first, second)] == [False, True]
    assert second.peer.presented == pki.alice.credential.chain, "the identity is that of the first connection"
    assert len(certificates_in(watched)) == 2, "those of the first connection, and no more"
    assert second.error is None


@pytest.mark.parametrize("version", VERSIONS)
def test_gnutls_cli_makes_a_full_handshake_with_a_server_that_does_not_resume(
    version: str, gnutls_cli: str, pki: PKI
) -> None:
    with (
        ThreadedServer(server_config(pki, resumption=None)) as server,
        GnutlsCli(gnutls_cli, pki, server.port, only(version), "--resume", identity=pki.alice) as client,
    ):
        first = server.outcome()
        client.ask("hello")
        client.finish()
        second = server.outcome()
    assert "This is a resumed session" not in client.output
    assert [one.connection.info.resumed for one in (first, second)] == [False, False]
    assert second.peer.subject == "CN=alice"


def test_early_data_of_gnutls_cli_is_accepted(gnutls_cli: str, pki: PKI, tmp_path: Path) -> None:
    early: list[bytes] = []

    def read_and_echo(tls: ServerSocket) -> None:
        early.append(tls.connection.read_early())
        echo(tls)

    content = b"a line that goes early\n"
    (tmp_path / "early").write_bytes(content)
    arguments: list[Argument] = [only("1.3"), "--resume", "--waitresumption", f"--earlydata={tmp_path / 'early'}"]
    config = server_config(pki, resumption=trustls.StoredSessions(max_early_data=1024))
    with (
        ThreadedServer(config, read_and_echo) as server,
        GnutlsCli(gnutls_cli, pki, server.port, *arguments, identity=pki.alice) as client,
    ):
        server.outcome()
        client.wait_for(RESUMED)
        client.ask("hello")
        client.finish()
        second = server.outcome()
    assert early == [b"", content]
    assert second.connection.info.resumed
    assert second.connection.early_data_accepted is True
    assert second.peer.subject == "CN=alice"


# -- gnutls-serv as the trustls client sees it ------------------------------------------------------------------------


def visit(server: GnutlsServ, config: trustls.ClientConfig) -> trustls.ClientConnection:
    """A line to the echo server and back; tickets have come with it."""
    with trustls.connect(("127.0.0.1", server.port), config, server_name="localhost", timeout=SECONDS) as tls:
        tls.sendall(b"hello\n")
        assert tls.recv_exactly(6) == b"hello\n"
        return tls.connection


@pytest.mark.parametrize("noticket", [False, True], ids=["tickets", "session ids"])
@pytest.mark.parametrize("version", VERSIONS)
def test_session_of_gnutls_serv_is_resumed(version: str, noticket: bool, gnutls_serv: str, pki: PKI) -> None:
    """TLS 1.3 has nothing but tickets: there, without them, every handshake is a full one."""
    arguments: list[Argument] = [only(version), *asking(pki), *(["--noticket"] if noticket else [])]
    config = client_config(pki, pki.alice)
    with Watch() as watch, GnutlsServ(gnutls_serv, pki.server, *arguments) as server:
        first = visit(server, config)
        assert len(certificates_in(watch.take())) == 2
        second = visit(server, config)
        events = watch.take()
        if version == "1.3" and noticket:
            assert not second.info.resumed
            return
        server.wait_for(RESUMED)
    assert (first.info.resumed, second.info.resumed) == (False, True)
    assert certificates_in(events) == []
    assert second.info.credential is pki.alice.credential
    assert first.peer is not None
    assert second.peer is not None
    assert second.peer.certificate == first.peer.certificate


def test_early_data_to_gnutls_serv(gnutls_serv: str, pki: PKI) -> None:
    arguments: list[Argument] = [only("1.3"), *asking(pki), "--earlydata", "--maxearlydata=1024"]
    config = client_config(pki, pki.alice, early_data=True)
    early = b"a line that goes early\n"
    with GnutlsServ(gnutls_serv, pki.server, *arguments) as server:
        visit(server, config)
        address = ("127.0.0.1", server.port)
        with trustls.connect(address, config, server_name="localhost", timeout=SECONDS, early_data=early) as tls:
            assert tls.connection.early_data_accepted is True
            assert tls.connection.info.resumed
            tls.sendall(b"hello\n")
            answer = b""
            while not answer.endswith(b"hello\n"):
                answer += tls.recv()
