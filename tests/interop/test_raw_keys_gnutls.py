"""Raw public keys (RFC 7250) with GnuTLS, by its commands gnutls-cli and gnutls-serv, in both roles."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

import trustls
from tests.interop.test_gnutls import free_port
from tests.support.processes import SECONDS, Argument, PeerProcess
from tests.support.raw_keys import VERSIONS, key, own, raw_client, raw_server, trusted
from tests.support.servers import ThreadedServer

Files = Callable[[str], list[Argument]]
versions = pytest.mark.parametrize("version", VERSIONS)
# GnuTLS presents a key of its kinds; Ed25519 and the curves suffice, and RSA makes a message of another size.
kinds = pytest.mark.parametrize("kind", ["p256", "ed25519", "rsa"])


def priority(version: str, *, certificates: bool = False) -> str:
    """What GnuTLS speaks: this version, with raw public keys, and with certificates where these are named."""
    types = "" if certificates else ":-CTYPE-SRV-X509:-CTYPE-CLI-X509"
    return f"--priority=NORMAL:-VERS-ALL:+VERS-TLS{version}{types}:+CTYPE-SRV-RAWPK:+CTYPE-CLI-RAWPK"


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """Makes GnuTLS's arguments for one of the keys."""

    def arguments(kind: str) -> list[Argument]:
        private, public = tmp_path / f"{kind}.pem", tmp_path / f"{kind}-public.pem"
        private.write_bytes(key(kind).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        public.write_text(trusted(kind).keys[0].pem())
        return [f"--rawpkkeyfile={private}", f"--rawpkfile={public}"]

    return arguments


class GnutlsCli(PeerProcess):
    """`gnutls-cli`, which takes whatever key the server has: it can be given none to compare with."""

    def __init__(self, gnutls_cli: str, server: ThreadedServer, *arguments: Argument) -> None:
        super().__init__([gnutls_cli, "--insecure", "--debug=4", f"--port={server.port}", *arguments, "127.0.0.1"])


class GnutlsServ(PeerProcess):
    """`gnutls-serv`, which echoes lines, on a free port."""

    def __init__(self, gnutls_serv: str, *arguments: Argument) -> None:
        self.port = free_port()
        super().__init__([gnutls_serv, "--echo", "--debug=5", f"--port={self.port}", *arguments])
        self.wait_for_start(rf"listening on IPv4 0\.0\.0\.0 port {self.port}\.\.\.done")


def connect(port: int, config: trustls.ClientConfig) -> trustls.TLSSocket[trustls.ClientConnection]:
    return trustls.connect(("127.0.0.1", port), config, server_name="localhost", timeout=SECONDS)


def exchange(tls: trustls.TLSSocket[trustls.ClientConnection], line: bytes) -> None:
    """A line to the echo server and back."""
    tls.sendall(line + b"\n")
    assert tls.recv_exactly(len(line) + 1) == line + b"\n", "the line did not come back"


# -- gnutls-cli against the trustls server ----------------------------------------------------------------------------


@versions
@kinds
def test_gnutls_cli_is_known_by_its_key(gnutls_cli: str, files: Files, kind: str, version: str) -> None:
    auth = trustls.ClientAuth.required(trusted(kind))
    config = raw_server(credentials=[own(kind)], client_auth=auth, versions=[version])
    with (
        ThreadedServer(config) as server,
        GnutlsCli(gnutls_cli, server, priority(version), *files(kind)) as client,
    ):
        client.wait_for("Handshake was completed")
        client.write("hello\n")
        client.wait_for("^hello\n")
        client.close_stdin()
        assert client.wait() == 0, f"gnutls-cli failed:\n{client.shown}"
        outcome = server.outcome()
    assert outcome.peer.raw_key == trusted(kind).keys[0], "another key is known"
    assert "Raw Public Key" in client.output, f"gnutls-cli was presented something else:\n{client.shown}"


@versions
def test_gnutls_cli_with_another_key_is_refused(gnutls_cli: str, files: Files, version: str) -> None:
    with (
        ThreadedServer(raw_server(versions=[version])) as server,
        GnutlsCli(gnutls_cli, server, priority(version), *files("rsa")) as client,
    ):
        client.wait_for(r"Received alert \[46\]")
        error = server.outcome().error
    assert isinstance(error, trustls.CertificateRejected), f"the server saw {error!r}"
    assert error.reason is trustls.CertificateProblem.UNKNOWN_RAW_KEY


@versions
def test_gnutls_cli_without_raw_keys_has_nothing_in_common(gnutls_cli: str, version: str) -> None:
    usual = f"--priority=NORMAL:-VERS-ALL:+VERS-TLS{version}"
    with ThreadedServer(raw_server(versions=[version])) as server, GnutlsCli(gnutls_cli, server, usual) as client:
        client.wait_for(r"Received alert \[43\]")
        error = server.outcome().error
    assert isinstance(error, trustls.PeerIncompatible), f"the server saw {error!r}"
    assert error.reason is trustls.Incompatibility.NO_COMMON_CERTIFICATE_TYPE


# -- The trustls client against gnutls-serv ---------------------------------------------------------------------------


@versions
@kinds
def test_gnutls_serv_is_known_by_its_key(gnutls_serv: str, files: Files, kind: str, version: str) -> None:
    with GnutlsServ(gnutls_serv, priority(version), *files(kind), "--require-client-cert") as server:
        with connect(server.port, raw_client(roots=trusted(kind), versions=[version])) as tls:
            tls.handshake()
            exchange(tls, b"hello")
            peer = tls.connection.peer
        assert peer is not None
        assert peer.raw_key == trusted(kind).keys[0], "another key is known"
        # It says what the client presented, after the handshake.
        server.wait_for("Raw Public Key")


@versions
def test_gnutls_serv_with_another_key_is_refused(gnutls_serv: str, files: Files, version: str) -> None:
    with (
        GnutlsServ(gnutls_serv, priority(version), *files("p256"), "--disable-client-cert") as server,
        pytest.raises(trustls.CertificateRejected) as refused,
        connect(server.port, raw_client(roots=trusted("rsa"), versions=[version])) as tls,
    ):
        tls.handshake()
    assert refused.value.found == trusted("p256").keys[0].fingerprint, "the refusal is about another key"


@versions
def test_a_session_of_raw_keys_is_resumed_with_gnutls(gnutls_cli: str, files: Files, version: str) -> None:
    with (
        ThreadedServer(raw_server(versions=[version])) as server,
        GnutlsCli(gnutls_cli, server, priority(version), *files("ed25519"), "--resume") as client,
    ):
        client.close_stdin()
        client.wait_for("This is a resumed session")
        first, second = server.outcome(), server.outcome()
    assert (first.connection.info.resumed, second.connection.info.resumed) == (False, True)
    assert first.connection.peer == second.connection.peer, "not the same client"
    assert second.peer.raw_key == trusted("ed25519").keys[0], "another key is known"
