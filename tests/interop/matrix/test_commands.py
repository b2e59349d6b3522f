"""`openssl` and GnuTLS's commands in the squares that their own tests, beside this folder, leave open."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

import pytest

import trustls
from tests.interop.matrix import talking
from tests.interop.matrix.commands import GNUTLS, OPENSSL
from tests.interop.matrix.recording import OURS, THEIRS
from tests.interop.matrix.scenarios import Role, Scenario
from tests.support.commands import GnutlsCli, GnutlsServ, SClient, SServer
from tests.support.pki import PKI, Identity
from tests.support.processes import Argument
from tests.support.servers import SECONDS, Outcome, ServerSocket, ThreadedServer
from tests.support.squares import Record, squares

# Lines, because gnutls-serv echoes such; without letters, because openssl takes some for commands.
LINE = bytes(range(32, 64)) * 100 + b"\n"
CONTENT = LINE * (talking.LARGE // len(LINE) + 1)


def openssl_version(version: str) -> str:
    return f"-tls1_{version[-1]}"


def gnutls_version(version: str) -> str:
    return f"--priority=NORMAL:-VERS-ALL:+VERS-TLS{version}"


def server_config(pki: PKI, **options: object) -> trustls.ServerConfig:
    """A server that asks for no certificate, if nothing else is said."""
    settings: dict[str, object] = {"credentials": [pki.server.credential], **options}
    return trustls.ServerConfig(**settings)  # type: ignore[arg-type]


def connect(pki: PKI, port: int, *identities: Identity, **options: object) -> talking.ClientSocket:
    """Connect with a client that trusts the test's server root, and holds these certificates."""
    settings: dict[str, object] = {"roots": pki.server_roots, **options}
    config = trustls.ClientConfig(credentials=[one.credential for one in identities], **settings)  # type: ignore[arg-type]
    return trustls.connect(("127.0.0.1", port), config, server_name="localhost", timeout=SECONDS)


def asking(pki: PKI) -> list[Argument]:
    """The arguments that make gnutls-serv ask for a certificate of K-Dot or The Roots, and look at it."""
    return ["--verify-client-cert", f"--x509cafile={pki.client_cas_file}"]


def exchange(tls: talking.ClientSocket, line: bytes) -> None:
    """A line to the echo server and back."""
    tls.sendall(line + b"\n")
    assert tls.recv_exactly(len(line) + 1) == line + b"\n"


# -- 64 MiB both ways -------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def writing(write: Callable[[bytes], None]) -> Iterator[None]:
    """While the rest is done, the content is written."""
    failures: list[BaseException] = []

    def run() -> None:
        try:
            write(CONTENT)
        except BaseException as error:  # noqa: BLE001 (raised in the test's own thread)
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        thread.join(SECONDS)
    assert not thread.is_alive(), "writing did not end"
    if failures:
        raise failures[0]


def hear_out(tls: talking.ClientSocket | ServerSocket) -> bytes:
    """As many bytes as the content has."""
    received = bytearray()
    while len(received) < len(CONTENT):
        piece = tls.recv()
        assert piece, f"the peer closed its side after {len(received)} bytes"
        received += piece
    return bytes(received)


def both_ways(tls: ServerSocket) -> None:
    """Send the content while it comes."""
    with writing(tls.sendall):
        check(hear_out(tls) == CONTENT)


def check(arrived: bool) -> None:
    """Apart from the comparison: pytest would print it."""
    assert arrived, "the content came changed, or not all of it"


@squares(OPENSSL, Scenario.LARGE, Role.SERVER)
def test_large_transfer_with_s_client(version: str, openssl: str, pki: PKI) -> None:
    quiet = ("-quiet", "-no_ign_eof", "-nocommands")
    with (
        ThreadedServer(server_config(pki), both_ways) as server,
        SClient(openssl, pki, server.port, openssl_version(version), *quiet) as client,
    ):
        with writing(client.write):
            assert server.outcome().error is None
        client.wait()
        check(client.stdout == CONTENT)


@squares(OPENSSL, Scenario.LARGE, Role.CLIENT)
def test_large_transfer_with_s_server(version: str, openssl: str, pki: PKI) -> None:
    with SServer(openssl, pki.server, openssl_version(version), "-naccept", "1") as server:
        with connect(pki, server.port) as tls:
            with writing(server.write), writing(tls.sendall):
                received = hear_out(tls)
            talking.close(tls)
        server.wait()
        check(received == CONTENT)
        check(CONTENT in server.stdout)


@squares(GNUTLS, Scenario.LARGE, Role.CLIENT)
def test_large_transfer_with_gnutls_serv(version: str, gnutls_serv: str, pki: PKI) -> None:
    arguments = (gnutls_version(version), "--debug=0", "--disable-client-cert")
    with GnutlsServ(gnutls_serv, pki.server, *arguments) as server, connect(pki, server.port) as tls:
        with writing(tls.sendall):
            received = hear_out(tls)
        check(received == CONTENT)


# -- Certificates -----------------------------------------------------------------------------------------------------


def judged(outcome: Outcome) -> trustls.AlertReceived:
    """What the trustls server learns of a client that does not believe it."""
    error = outcome.error
    assert isinstance(error, trustls.AlertReceived), f"the server saw {error!r}"
    return error


@squares(OPENSSL, Scenario.UNTRUSTED, Role.SERVER)
def test_s_client_refuses_an_untrusted_server(version: str, openssl: str, pki: PKI, record_property: Record) -> None:
    with (
        ThreadedServer(server_config(pki, credentials=[pki.server_of_other.credential])) as server,
        SClient(openssl, pki, server.port, openssl_version(version)) as client,
    ):
        theirs = client.wait_for("verify error:(.*)\n")[1].decode()
        error = judged(server.outcome())
    record_property(OURS, error)
    record_property(THEIRS, theirs)
    assert error.description is trustls.AlertDescription.UNKNOWN_CA


@squares(GNUTLS, Scenario.UNTRUSTED, Role.SERVER)
def test_gnutls_cli_refuses_an_untrusted_server(
    version: str, gnutls_cli: str, pki: PKI, record_property: Record
) -> None:
    with (
        ThreadedServer(server_config(pki, credentials=[pki.server_of_other.credential])) as server,
        GnutlsCli(gnutls_cli, pki, server.port, gnutls_version(version)) as client,
    ):
        theirs = client.wait_for("- Status: (.*)\n")[1].decode()
        error = judged(server.outcome())
    record_property(OURS, error)
    record_property(THEIRS, theirs)
    assert error.description in {trustls.AlertDescription.BAD_CERTIFICATE, trustls.AlertDescription.UNKNOWN_CA}


@squares(GNUTLS, Scenario.CHOICE, Role.CLIENT)
def test_client_chooses_by_the_names_of_gnutls_serv(version: str, gnutls_serv: str, pki: PKI) -> None:
    for roots, expected in ((pki.roots_file, pki.bob), (pki.kdot_file, pki.alice)):
        arguments = (gnutls_version(version), "--require-client-cert", "--verify-client-cert", f"--x509cafile={roots}")
        with (
            GnutlsServ(gnutls_serv, pki.server, *arguments) as server,
            connect(pki, server.port, pki.alice, pki.bob) as tls,
        ):
            exchange(tls, b"hello")
            assert tls.connection.presented is expected.credential
            server.wait_for(f"Subject: {expected.certificate.subject}\n")


@squares(GNUTLS, Scenario.WRONG, Role.CLIENT)
def test_gnutls_serv_refuses_the_wrong_certificate(
    version: str, gnutls_serv: str, pki: PKI, record_property: Record
) -> None:
    mallory = pki.mallory.credential
    arguments = (gnutls_version(version), "--require-client-cert", *asking(pki))
    with GnutlsServ(gnutls_serv, pki.server, *arguments) as server:
        with (
            pytest.raises(trustls.CertificateRejectedByPeer) as caught,
            connect(pki, server.port, pki.mallory, choose_credential=lambda *_: mallory) as tls,
        ):
            tls.recv()
        record_property(THEIRS, server.wait_for("Error in handshake: (.*)\n")[1].decode())
    record_property(OURS, caught.value)


@squares(GNUTLS, Scenario.OPTIONAL, Role.CLIENT)
def test_gnutls_serv_lets_a_client_without_certificate_in(version: str, gnutls_serv: str, pki: PKI) -> None:
    with (
        GnutlsServ(gnutls_serv, pki.server, gnutls_version(version), *asking(pki)) as server,
        connect(pki, server.port) as tls,
    ):
        exchange(tls, b"hello")
        assert tls.connection.requested is not None, "gnutls-serv asked for no certificate"
        assert tls.connection.presented is None


@squares(GNUTLS, Scenario.OPTIONAL, Role.SERVER, ["1.2"])
def test_gnutls_cli_without_certificate_is_let_in(version: str, gnutls_cli: str, pki: PKI) -> None:
    config = server_config(pki, client_auth=trustls.ClientAuth.optional(pki.client_roots))
    with (
        ThreadedServer(config) as server,
        GnutlsCli(gnutls_cli, pki, server.port, gnutls_version(version)) as client,
    ):
        client.ask("hello")
        client.finish()
        outcome = server.outcome()
    assert outcome.error is None
    assert outcome.connection.peer is None


# -- Close ------------------------------------------------------------------------------------------------------------


@squares(GNUTLS, Scenario.CLOSE, Role.CLIENT)
def test_gnutls_serv_answers_a_close(version: str, gnutls_serv: str, pki: PKI) -> None:
    with (
        GnutlsServ(gnutls_serv, pki.server, gnutls_version(version), "--disable-client-cert") as server,
        connect(pki, server.port) as tls,
    ):
        exchange(tls, b"hello")
        talking.close(tls)


@squares(GNUTLS, Scenario.CLOSE, Role.SERVER)
def test_close_by_either_side_with_gnutls_cli(version: str, gnutls_cli: str, pki: PKI) -> None:
    with (
        ThreadedServer(server_config(pki), lambda tls: tls.sendall(b"goodbye\n")) as server,
        GnutlsCli(gnutls_cli, pki, server.port, gnutls_version(version)) as client,
    ):
        client.wait_for("Peer has closed the GnuTLS connection")
        assert server.outcome().error is None
    with (
        ThreadedServer(server_config(pki)) as server,
        GnutlsCli(gnutls_cli, pki, server.port, gnutls_version(version)) as client,
    ):
        client.ask("hello")
        client.finish()
        assert server.outcome().error is None
