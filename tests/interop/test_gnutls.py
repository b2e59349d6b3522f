"""GnuTLS, by its commands gnutls-cli and gnutls-serv, on the other side of trustls."""

from __future__ import annotations

import base64
import os
import re
import socket

import pytest

import trustls
from tests.support.pki import KEY_TYPES, PKI, Identity
from tests.support.processes import SECONDS, Argument, PeerProcess
from tests.support.servers import ServerSocket, ThreadedServer
from trustls.cli.pki import KeyType

SUITES = {
    "TLS_AES_128_GCM_SHA256": "AES-128-GCM",
    "TLS_AES_256_GCM_SHA384": "AES-256-GCM",
    "TLS_CHACHA20_POLY1305_SHA256": "CHACHA20-POLY1305",
}
GROUPS = {
    "x25519": "GROUP-X25519",
    "secp256r1": "GROUP-SECP256R1",
    "secp384r1": "GROUP-SECP384R1",
    "secp521r1": "GROUP-SECP521R1",
}
LABEL = "EXPORTER-trustls-test"


class GnutlsCli(PeerProcess):
    """`gnutls-cli`, which trusts the test's server root. Its debug level 4 prints the CA names it gets."""

    def __init__(
        self,
        gnutls_cli: str,
        pki: PKI,
        server: ThreadedServer,
        *arguments: Argument,
        identity: Identity | None = None,
    ) -> None:
        own: list[Argument] = []
        if identity is not None:
            own = [f"--x509certfile={identity.chain_file}", f"--x509keyfile={identity.key_file}"]
        super().__init__(
            [
                *(gnutls_cli, "--debug=4", f"--port={server.port}", f"--x509cafile={pki.server_root_file}"),
                *own,
                *("--inline-commands", "--verify-hostname=localhost", "--sni-hostname=localhost"),
                *arguments,
                "127.0.0.1",
            ]
        )

    def ask(self, line: str) -> None:
        """Send a line and wait until it has come back."""
        self.write(line + "\n")
        self.wait_for(f"^{line}\n")

    def finish(self) -> None:
        """End the input, at which gnutls-cli closes the connection."""
        self.close_stdin()
        assert self.wait() == 0, f"gnutls-cli failed:\n{self.shown}"


class GnutlsServ(PeerProcess):
    """`gnutls-serv`, which echoes lines, on a free port."""

    def __init__(self, gnutls_serv: str, identity: Identity, *arguments: Argument) -> None:
        for attempt in (1, 2, 3):
            self.port = free_port()
            super().__init__(
                [
                    *(gnutls_serv, "--echo", "--debug=5", f"--port={self.port}"),
                    *(f"--x509certfile={identity.chain_file}", f"--x509keyfile={identity.key_file}"),
                    *arguments,
                ]
            )
            try:
                self.wait_for_start(rf"listening on IPv4 0\.0\.0\.0 port {self.port}\.\.\.done")
            except AssertionError:
                if attempt == 3:
                    raise
            else:
                return


def free_port() -> int:
    """A port that was free a moment ago: gnutls-serv cannot choose one itself, and somebody else may be faster."""
    with socket.socket() as probe:
        probe.bind(("0.0.0.0", 0))
        return int(probe.getsockname()[1])


def server_config(pki: PKI, client_auth: trustls.ClientAuth | None = None, **options: object) -> trustls.ServerConfig:
    """A server with the usual certificate, which requires one of its clients."""
    settings: dict[str, object] = {
        "credentials": [pki.server.credential],
        "client_auth": client_auth or pki.required(),
        **options,
    }
    return trustls.ServerConfig(**settings)  # type: ignore[arg-type]


def connect(
    pki: PKI, port: int, *identities: Identity, **options: object
) -> trustls.TLSSocket[trustls.ClientConnection]:
    """Connect with a client that trusts the test's server root, and holds these certificates."""
    settings: dict[str, object] = {"roots": pki.server_roots, **options}
    config = trustls.ClientConfig(credentials=[one.credential for one in identities], **settings)  # type: ignore[arg-type]
    return trustls.connect(("127.0.0.1", port), config, server_name="localhost", timeout=SECONDS)


def asking(pki: PKI) -> list[Argument]:
    """The arguments that make gnutls-serv require a certificate of K-Dot or The Roots."""
    return ["--require-client-cert", "--verify-client-cert", f"--x509cafile={pki.client_cas_file}"]


def exchange(tls: trustls.TLSSocket[trustls.ClientConnection], line: bytes) -> None:
    """A line to the echo server and back."""
    tls.sendall(line + b"\n")
    assert tls.recv_exactly(len(line) + 1) == line + b"\n"


# -- gnutls-cli against the trustls server ----------------------------------------------------------------------------


def names_listed(client: GnutlsCli) -> list[str]:
    """The CA names that gnutls-cli says it was sent."""
    return re.findall(r"Peer requested CA: (.*)", client.output)


def test_gnutls_cli_is_let_in_with_its_certificate(gnutls_cli: str, pki: PKI) -> None:
    with (
        ThreadedServer(server_config(pki)) as server,
        GnutlsCli(gnutls_cli, pki, server, identity=pki.alice) as client,
    ):
        client.wait_for("Handshake was completed")
        client.ask("hello")
        client.finish()
        outcome = server.outcome()
    assert "Server has requested a certificate" in client.output
    assert "The certificate is trusted" in client.output
    assert outcome.peer.certificate == pki.alice.certificate
    assert outcome.peer.presented == pki.alice.credential.chain, "the leaf and its intermediate"
    assert outcome.connection.info.server_name == "localhost"


def test_gnutls_cli_lists_the_names_in_their_order(gnutls_cli: str, pki: PKI) -> None:
    with (
        ThreadedServer(server_config(pki)) as server,
        GnutlsCli(gnutls_cli, pki, server, identity=pki.alice) as client,
    ):
        client.wait_for("Handshake was completed")
        client.finish()
    assert names_listed(client) == [str(name) for name in pki.client_ca_names]


def test_gnutls_cli_lists_hints_that_are_no_roots(gnutls_cli: str, pki: PKI) -> None:
    hints = ["CN=Zürich,O=Bücher \\, Söhne,C=CH", "CN=The Roots Authority"]
    with (
        ThreadedServer(server_config(pki, pki.required(hints=hints))) as server,
        GnutlsCli(gnutls_cli, pki, server, identity=pki.alice) as client,
    ):
        client.wait_for("Handshake was completed")
        client.finish()
    assert names_listed(client) == hints


def test_gnutls_cli_sees_no_names_when_there_are_no_hints(gnutls_cli: str, pki: PKI) -> None:
    with (
        ThreadedServer(server_config(pki, pki.required(hints=()))) as server,
        GnutlsCli(gnutls_cli, pki, server, identity=pki.alice) as client,
    ):
        client.wait_for("Handshake was completed")
        client.finish()
        assert server.outcome().peer.subject == "CN=alice"
    assert "Server has requested a certificate" in client.output
    assert names_listed(client) == []


def test_gnutls_cli_with_a_certificate_of_another_ca_is_refused(gnutls_cli: str, pki: PKI) -> None:
    with (
        ThreadedServer(server_config(pki)) as server,
        GnutlsCli(gnutls_cli, pki, server, identity=pki.mallory) as client,
    ):
        client.wait_for(r"Received alert \[48\]: CA is unknown")
        error = server.outcome().error
    assert isinstance(error, trustls.CertificateRejected), f"the server saw {error!r}"
    assert error.reason is trustls.CertificateProblem.UNKNOWN_ISSUER


def test_gnutls_cli_without_a_certificate_is_refused(gnutls_cli: str, pki: PKI) -> None:
    with ThreadedServer(server_config(pki)) as server, GnutlsCli(gnutls_cli, pki, server) as client:
        client.wait_for(r"Received alert \[116\]: Certificate is required")
        error = server.outcome().error
    assert isinstance(error, trustls.CertificateRejected), f"the server saw {error!r}"
    assert error.reason is trustls.CertificateProblem.NONE_PRESENTED


def test_gnutls_cli_without_a_certificate_gets_in_where_that_is_optional(gnutls_cli: str, pki: PKI) -> None:
    config = server_config(pki, trustls.ClientAuth.optional(pki.client_roots))
    with ThreadedServer(config) as server, GnutlsCli(gnutls_cli, pki, server) as client:
        client.ask("hello")
        client.finish()
        outcome = server.outcome()
    assert outcome.error is None
    assert outcome.connection.peer is None


@pytest.mark.parametrize("key_type", KEY_TYPES)
def test_certificates_of_each_kind_of_key_with_gnutls_cli(key_type: KeyType, gnutls_cli: str, pki: PKI) -> None:
    identity = pki.client_with(key_type)
    config = server_config(pki, credentials=[pki.server_with(key_type).credential])
    with ThreadedServer(config) as server, GnutlsCli(gnutls_cli, pki, server, identity=identity) as client:
        client.ask("hello")
        client.finish()
        assert server.outcome().peer.certificate == identity.certificate


@pytest.mark.parametrize("suite", SUITES)
def test_each_cipher_suite_with_gnutls_cli(suite: str, gnutls_cli: str, pki: PKI) -> None:
    priority = f"--priority=NORMAL:-CIPHER-ALL:+{SUITES[suite]}"
    with (
        ThreadedServer(server_config(pki)) as server,
        GnutlsCli(gnutls_cli, pki, server, priority, identity=pki.bob) as client,
    ):
        client.ask("hello")
        client.finish()
        assert server.outcome().connection.info.suite.iana == suite


@pytest.mark.parametrize("group", GROUPS)
def test_each_group_with_gnutls_cli(group: str, gnutls_cli: str, pki: PKI) -> None:
    priority = f"--priority=NORMAL:-GROUP-ALL:+{GROUPS[group]}"
    with (
        ThreadedServer(server_config(pki)) as server,
        GnutlsCli(gnutls_cli, pki, server, priority, identity=pki.bob) as client,
    ):
        client.ask("hello")
        client.finish()
        info = server.outcome().connection.info
    assert (info.group.iana, info.retried) == (group, False)


@pytest.mark.parametrize("cookies", [False, True], ids=["plain", "cookie"])
def test_hello_retry_with_gnutls_cli(cookies: bool, gnutls_cli: str, pki: PKI) -> None:
    config = server_config(pki, groups=["secp521r1"], retry_cookies=trustls.RetryCookies() if cookies else None)
    with ThreadedServer(config) as server, GnutlsCli(gnutls_cli, pki, server, identity=pki.alice) as client:
        client.ask("hello")
        client.finish()
        outcome = server.outcome()
    assert outcome.connection.info.retried, "gnutls-cli sends shares of P-256 and X25519 only"
    assert outcome.peer.subject == "CN=alice"


def test_alpn_with_gnutls_cli(gnutls_cli: str, pki: PKI) -> None:
    with (
        ThreadedServer(server_config(pki, alpn=["h2", "http/1.1"])) as server,
        GnutlsCli(gnutls_cli, pki, server, "--alpn=http/1.1", "--alpn=h2", identity=pki.bob) as client,
    ):
        client.wait_for("- Application protocol: h2")
        client.finish()
        assert server.outcome().connection.info.alpn == "h2"


def test_exporter_with_gnutls_cli(gnutls_cli: str, pki: PKI) -> None:
    exported = [f"--keymatexport={LABEL}", "--keymatexportsize=48"]
    with (
        ThreadedServer(server_config(pki)) as server,
        GnutlsCli(gnutls_cli, pki, server, *exported, identity=pki.bob) as client,
    ):
        theirs = client.wait_for(r"- Key material: ([0-9a-f]+)")[1].decode()
        client.finish()
        assert server.outcome().connection.export(LABEL, 48).hex() == theirs


@pytest.mark.parametrize(("command", "answered"), [("^rekey^", True), ("^rekey1^", False)])
def test_data_flows_after_gnutls_cli_updates_its_key(command: str, answered: bool, gnutls_cli: str, pki: PKI) -> None:
    with (
        ThreadedServer(server_config(pki)) as server,
        GnutlsCli(gnutls_cli, pki, server, identity=pki.bob) as client,
    ):
        client.ask("before")
        for turn in range(3):
            client.write(f"{command}\n")
            client.wait_for("- Rekey was completed")
            client.ask(f"after {turn}")
        client.finish()
        assert server.outcome().error is None
    answers = client.output.count("KEY_UPDATE (24) was received")
    assert answers == (3 if answered else 0), f"{command} was answered {answers} times"


@pytest.mark.parametrize("request_peer", [True, False], ids=["both", "own"])
def test_data_flows_after_the_server_updates_its_key_with_gnutls_cli(
    request_peer: bool, gnutls_cli: str, pki: PKI
) -> None:
    def update_and_echo(tls: ServerSocket) -> None:
        while data := tls.recv():
            tls.update_keys(request_peer=request_peer)
            tls.sendall(data)

    with (
        ThreadedServer(server_config(pki), update_and_echo) as server,
        GnutlsCli(gnutls_cli, pki, server, identity=pki.bob) as client,
    ):
        for turn in range(3):
            client.ask(f"turn {turn}")
        client.finish()
        assert server.outcome().error is None
    assert client.output.count("KEY_UPDATE (24) was received") == 3


def test_large_transfer_with_gnutls_cli(gnutls_cli: str, pki: PKI) -> None:
    upload, download = base64.encodebytes(os.urandom(1 << 20)), base64.encodebytes(os.urandom(1 << 20))
    received: list[bytes] = []

    def exchange_files(tls: ServerSocket) -> None:
        received.append(tls.recv_exactly(len(upload)))
        tls.sendall(download)

    with (
        ThreadedServer(server_config(pki), exchange_files) as server,
        GnutlsCli(gnutls_cli, pki, server, "--debug=0", identity=pki.bob) as client,
    ):
        client.write(upload)
        client.wait_for("Peer has closed the GnuTLS connection")
        assert server.outcome().error is None
        client.wait()
        assert received == [upload], "the upload was changed"
        assert download in client.stdout, "the download was changed"


RECORD_VERSIONS = {"1.2": "VERS-TLS1.2", "1.3": "VERS-TLS1.3"}


@pytest.mark.parametrize("version", RECORD_VERSIONS)
@pytest.mark.parametrize("size", [512, 4096])
def test_records_to_gnutls_cli_are_as_short_as_it_wants(size: int, version: str, gnutls_cli: str, pki: PKI) -> None:
    """It refuses longer ones. The server's own limit it keeps to by cutting off what is longer than a record."""
    text = base64.encodebytes(os.urandom(1 << 16))
    arguments = [f"--priority=NORMAL:-VERS-ALL:+{RECORD_VERSIONS[version]}", f"--recordsize={size}", "--debug=0"]
    with (
        ThreadedServer(server_config(pki, record_size_limit=600), lambda tls: answer_line(tls, text)) as server,
        GnutlsCli(gnutls_cli, pki, server, *arguments, identity=pki.bob) as client,
    ):
        client.write("x" * 90 + "\n")
        client.wait_for("Peer has closed the GnuTLS connection")
        outcome = server.outcome()
        client.wait()
    assert outcome.error is None
    assert text in client.stdout, "what came is not what was sent"
    limit = outcome.connection.info.record_size_limit
    assert (limit, outcome.connection.max_fragment_size) == (size + (version == "1.3"), size)


def answer_line(tls: ServerSocket, answer: bytes) -> None:
    """Wait for a line, and send the answer."""
    assert tls.recv_exactly(91) == b"x" * 90 + b"\n"
    tls.sendall(answer)


@pytest.mark.parametrize("version", RECORD_VERSIONS)
def test_gnutls_cli_without_a_limit_gets_full_records(version: str, gnutls_cli: str, pki: PKI) -> None:
    priority = f"--priority=NORMAL:-VERS-ALL:+{RECORD_VERSIONS[version]}"
    with (
        ThreadedServer(server_config(pki)) as server,
        GnutlsCli(gnutls_cli, pki, server, priority, identity=pki.bob) as client,
    ):
        client.ask("hello")
        client.finish()
        outcome = server.outcome()
    assert outcome.connection.max_fragment_size == 1 << 14
    assert outcome.connection.info.record_size_limit in {1 << 14, (1 << 14) + 1}


# -- gnutls-serv as the trustls client sees it ------------------------------------------------------------------------


def test_client_presents_its_certificate_to_gnutls_serv(gnutls_serv: str, pki: PKI) -> None:
    with (
        GnutlsServ(gnutls_serv, pki.server, *asking(pki)) as server,
        connect(pki, server.port, pki.mallory, pki.alice, pki.bob) as tls,
    ):
        exchange(tls, b"hello")
        requested, credential = tls.connection.requested, tls.connection.info.credential
        server.wait_for("Subject: CN=alice\n")
    assert requested is not None
    assert requested.authorities == pki.client_ca_names, "the names are those of --x509cafile, byte for byte, in order"
    assert credential is pki.alice.credential, "the first that fits is alice's"


def test_client_with_nothing_that_fits_is_refused_by_gnutls_serv(gnutls_serv: str, pki: PKI) -> None:
    with GnutlsServ(gnutls_serv, pki.server, *asking(pki)) as server, connect(pki, server.port, pki.mallory) as tls:
        assert tls.connection.info.credential is None
        with pytest.raises(trustls.AlertReceived) as caught:
            tls.recv()
        assert caught.value.description is trustls.AlertDescription.CERTIFICATE_REQUIRED


def test_untrusted_certificate_is_refused_by_gnutls_serv(gnutls_serv: str, pki: PKI) -> None:
    fallback = trustls.Credential(pki.mallory.issued.chain, pki.mallory.issued.key, fallback=True)
    config = trustls.ClientConfig(roots=pki.server_roots, credentials=[fallback])
    with (
        GnutlsServ(gnutls_serv, pki.server, *asking(pki)) as server,
        trustls.connect(("127.0.0.1", server.port), config, server_name="localhost", timeout=SECONDS) as tls,
        pytest.raises(trustls.AlertReceived, match="certificate"),
    ):
        tls.recv()


def test_gnutls_serv_that_does_not_ask_gets_no_certificate(gnutls_serv: str, pki: PKI) -> None:
    with (
        GnutlsServ(gnutls_serv, pki.server, "--disable-client-cert") as server,
        connect(pki, server.port, pki.alice) as tls,
    ):
        exchange(tls, b"hello")
        assert tls.connection.requested is None
        assert tls.connection.info.credential is None


@pytest.mark.parametrize("key_type", KEY_TYPES)
def test_certificates_of_each_kind_of_key_with_gnutls_serv(key_type: KeyType, gnutls_serv: str, pki: PKI) -> None:
    server_identity, client_identity = pki.server_with(key_type), pki.client_with(key_type)
    with (
        GnutlsServ(gnutls_serv, server_identity, *asking(pki)) as server,
        connect(pki, server.port, client_identity) as tls,
    ):
        exchange(tls, b"hello")
        assert tls.connection.peer is not None
        assert tls.connection.peer.certificate == server_identity.certificate
        assert tls.connection.info.credential is client_identity.credential


@pytest.mark.parametrize("suite", SUITES)
def test_each_cipher_suite_with_gnutls_serv(suite: str, gnutls_serv: str, pki: PKI) -> None:
    priority = f"--priority=NORMAL:-CIPHER-ALL:+{SUITES[suite]}"
    with (
        GnutlsServ(gnutls_serv, pki.server, priority, *asking(pki)) as server,
        connect(pki, server.port, pki.alice) as tls,
    ):
        exchange(tls, b"hello")
        assert tls.connection.info.suite.iana == suite


@pytest.mark.parametrize("group", ["secp256r1", "secp384r1", "secp521r1"])
def test_hello_retry_that_gnutls_serv_forces(group: str, gnutls_serv: str, pki: PKI) -> None:
    priority = f"--priority=NORMAL:-GROUP-ALL:+{GROUPS[group]}"
    with (
        GnutlsServ(gnutls_serv, pki.server, priority, *asking(pki)) as server,
        connect(pki, server.port, pki.alice) as tls,
    ):
        exchange(tls, b"hello")
        info = tls.connection.info
    assert (info.group.iana, info.retried) == (group, True)


def test_alpn_with_gnutls_serv(gnutls_serv: str, pki: PKI) -> None:
    arguments = ["--alpn=h2", "--alpn-fatal", "--disable-client-cert"]
    with GnutlsServ(gnutls_serv, pki.server, *arguments) as server:
        with connect(pki, server.port, alpn=["http/1.1", "h2"]) as tls:
            assert tls.connection.info.alpn == "h2"
        with pytest.raises(trustls.AlertReceived) as caught:
            connect(pki, server.port, alpn=["spdy/1"])
        assert caught.value.description is trustls.AlertDescription.NO_APPLICATION_PROTOCOL


@pytest.mark.parametrize("request_peer", [True, False], ids=["both", "own"])
def test_data_flows_after_the_client_updates_its_key_with_gnutls_serv(
    request_peer: bool, gnutls_serv: str, pki: PKI
) -> None:
    with (
        GnutlsServ(gnutls_serv, pki.server, "--disable-client-cert") as server,
        connect(pki, server.port) as tls,
    ):
        for turn in range(3):
            tls.update_keys(request_peer=request_peer)
            exchange(tls, f"turn {turn}".encode())
            server.wait_for(r"KEY_UPDATE \(24\) was received")


@pytest.mark.parametrize("version", RECORD_VERSIONS)
@pytest.mark.parametrize("limit", [512, 16384, 16385])
def test_records_of_gnutls_serv_are_as_short_as_the_client_wants(
    limit: int, version: str, gnutls_serv: str, pki: PKI
) -> None:
    """What is longer would be refused, by either side: gnutls-serv says 700."""
    with (
        GnutlsServ(gnutls_serv, pki.server, *asking(pki), "--recordsize=700") as server,
        connect(pki, server.port, pki.alice, versions=[version], record_size_limit=limit) as tls,
    ):
        exchange(tls, b"z" * 3000)
        info, own = tls.connection.info, tls.connection.max_fragment_size
    assert info.record_size_limit == 700 + (version == "1.3")
    assert own == 700


@pytest.mark.parametrize(
    ("fault", "problem", "alert"),
    [
        ("expired", trustls.CertificateProblem.EXPIRED, 45),
        ("wrong name", trustls.CertificateProblem.NAME_MISMATCH, 42),
        ("unknown CA", trustls.CertificateProblem.UNKNOWN_ISSUER, 48),
        ("client usage", trustls.CertificateProblem.WRONG_PURPOSE, 43),
    ],
)
def test_bad_certificate_of_gnutls_serv_is_refused_with_its_alert(
    fault: str, problem: trustls.CertificateProblem, alert: int, gnutls_serv: str, pki: PKI
) -> None:
    identities = {
        "expired": pki.expired_server,
        "wrong name": pki.server_for("elsewhere.example"),
        "unknown CA": pki.server_of_other,
        "client usage": pki.server_with_client_usage,
    }
    with GnutlsServ(gnutls_serv, identities[fault], *asking(pki)) as server:
        with pytest.raises(trustls.CertificateRejected) as caught:
            connect(pki, server.port, pki.alice)
        server.wait_for(rf"Alert\[2\|{alert}\]")
    assert caught.value.reason is problem, f"refused for another reason: {caught.value}"


def test_gnutls_serv_of_tls12_alone_is_refused_in_words(gnutls_serv: str, pki: PKI) -> None:
    """It does not look at our supported_versions, and misses a suite of TLS 1.2: handshake_failure, no better."""
    with GnutlsServ(gnutls_serv, pki.server, "--priority=NORMAL:-VERS-ALL:+VERS-TLS1.2") as server:
        with pytest.raises(trustls.AlertReceived, match="no parameters in common") as caught:
            connect(pki, server.port, versions=["1.3"])
        assert caught.value.description is trustls.AlertDescription.HANDSHAKE_FAILURE
