"""GnuTLS limited to TLS 1.2, by its commands gnutls-cli and gnutls-serv, on the other side of trustls."""

from __future__ import annotations

import base64
import os
import re

import pytest

import trustls
from tests.support.commands import ONLY_TLS12, GnutlsCli, GnutlsServ
from tests.support.pki import KEY_TYPES, PKI, Identity
from tests.support.processes import SECONDS, Argument
from tests.support.servers import ServerSocket, ThreadedServer
from trustls.cli.pki import KeyType

CIPHERS = {
    "AES_128_GCM_SHA256": "AES-128-GCM",
    "AES_256_GCM_SHA384": "AES-256-GCM",
    "CHACHA20_POLY1305_SHA256": "CHACHA20-POLY1305",
}
GROUPS = {
    "x25519": "GROUP-X25519",
    "secp256r1": "GROUP-SECP256R1",
    "secp384r1": "GROUP-SECP384R1",
    "secp521r1": "GROUP-SECP521R1",
}
SUITES = [(key_type, cipher) for key_type in (KeyType.EC_P256, KeyType.RSA_2048) for cipher in CIPHERS]
LABEL = "EXPORTER-trustls-test"
TLS12 = trustls.ProtocolVersion.TLS1_2


def server_config(pki: PKI, client_auth: trustls.ClientAuth | None = None, **options: object) -> trustls.ServerConfig:
    """A server of both versions, which requires a certificate of its clients."""
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


def tls12(*more: str) -> Argument:
    """The priority that allows nothing else."""
    return "--priority=" + ":".join((ONLY_TLS12, *more))


def suite_name(key_type: KeyType, cipher: str) -> str:
    """Its IANA name."""
    return f"TLS_ECDHE_{'RSA' if key_type is KeyType.RSA_2048 else 'ECDSA'}_WITH_{cipher}"


def exchange(tls: trustls.TLSSocket[trustls.ClientConnection], line: bytes) -> None:
    """A line to the echo server and back."""
    tls.sendall(line + b"\n")
    assert tls.recv_exactly(len(line) + 1) == line + b"\n"


# -- gnutls-cli against the trustls server ----------------------------------------------------------------------------


@pytest.mark.parametrize("hinted", [True, False], ids=["names", "no names"])
def test_gnutls_cli_is_let_in_and_lists_the_names(hinted: bool, gnutls_cli: str, pki: PKI) -> None:
    config = server_config(pki, pki.required() if hinted else pki.required(hints=()))
    with (
        ThreadedServer(config) as server,
        GnutlsCli(gnutls_cli, pki, server.port, tls12(), identity=pki.alice) as client,
    ):
        client.wait_for("Handshake was completed")
        client.ask("hello")
        client.finish()
        outcome = server.outcome()
    assert outcome.connection.info.version is TLS12
    assert outcome.peer.presented == pki.alice.credential.chain, "the leaf and its intermediate"
    assert "(TLS1.2-X.509)" in client.output
    assert "extended master secret" in client.output
    assert "safe renegotiation" in client.output
    names = re.findall(r"Peer requested CA: (.*)", client.output)
    assert names == ([str(name) for name in pki.client_ca_names] if hinted else [])


@pytest.mark.parametrize(
    ("who", "alert", "problem"),
    [
        ("mallory", r"\[48\]: CA is unknown", trustls.CertificateProblem.UNKNOWN_ISSUER),
        ("nobody", r"\[40\]: Handshake failed", trustls.CertificateProblem.NONE_PRESENTED),
    ],
)
def test_gnutls_cli_is_refused_and_told_why(
    who: str, alert: str, problem: trustls.CertificateProblem, gnutls_cli: str, pki: PKI
) -> None:
    identity = pki.mallory if who == "mallory" else None
    with (
        ThreadedServer(server_config(pki)) as server,
        GnutlsCli(gnutls_cli, pki, server.port, tls12(), identity=identity) as client,
    ):
        client.wait_for(f"Received alert {alert}")
        error = server.outcome().error
    assert isinstance(error, trustls.CertificateRejected), f"the server saw {error!r}"
    assert error.reason is problem


@pytest.mark.parametrize("key_type", KEY_TYPES)
def test_certificates_of_each_kind_of_key_with_gnutls_cli(key_type: KeyType, gnutls_cli: str, pki: PKI) -> None:
    identity = pki.client_with(key_type)
    config = server_config(pki, credentials=[pki.server_with(key_type).credential])
    with (
        ThreadedServer(config) as server,
        GnutlsCli(gnutls_cli, pki, server.port, tls12(), identity=identity) as client,
    ):
        client.ask("hello")
        client.finish()
        assert server.outcome().peer.certificate == identity.certificate


@pytest.mark.parametrize(("key_type", "cipher"), SUITES)
def test_each_cipher_suite_with_gnutls_cli(key_type: KeyType, cipher: str, gnutls_cli: str, pki: PKI) -> None:
    priority = tls12("-CIPHER-ALL", f"+{CIPHERS[cipher]}")
    config = server_config(pki, credentials=[pki.server_with(key_type).credential])
    with (
        ThreadedServer(config) as server,
        GnutlsCli(gnutls_cli, pki, server.port, priority, identity=pki.bob) as client,
    ):
        client.ask("hello")
        client.finish()
        assert server.outcome().connection.info.suite.iana == suite_name(key_type, cipher)


@pytest.mark.parametrize("group", GROUPS)
def test_each_group_with_gnutls_cli(group: str, gnutls_cli: str, pki: PKI) -> None:
    priority = tls12("-GROUP-ALL", f"+{GROUPS[group]}")
    config = server_config(pki, credentials=[pki.server_with(KeyType.RSA_2048).credential])
    with (
        ThreadedServer(config) as server,
        GnutlsCli(gnutls_cli, pki, server.port, priority, identity=pki.bob) as client,
    ):
        client.ask("hello")
        client.finish()
        assert server.outcome().connection.info.group.iana == group


def test_alpn_and_exporter_with_gnutls_cli(gnutls_cli: str, pki: PKI) -> None:
    arguments = ["--alpn=http/1.1", "--alpn=h2", f"--keymatexport={LABEL}", "--keymatexportsize=48"]
    with (
        ThreadedServer(server_config(pki, alpn=["h2", "http/1.1"])) as server,
        GnutlsCli(gnutls_cli, pki, server.port, tls12(), *arguments, identity=pki.bob) as client,
    ):
        theirs = client.wait_for(r"- Key material: ([0-9a-f]+)")[1].decode()
        client.finish()
        connection = server.outcome().connection
    assert "- Application protocol: h2" in client.output
    assert connection.info.alpn == "h2"
    assert connection.export(LABEL, 48).hex() == theirs


@pytest.mark.parametrize("required", [True, False], ids=["required", "not required"])
def test_gnutls_cli_without_extended_master_secret(required: bool, gnutls_cli: str, pki: PKI) -> None:
    config = server_config(pki, require_extended_master_secret=required)
    with (
        ThreadedServer(config) as server,
        GnutlsCli(gnutls_cli, pki, server.port, tls12("%NO_SESSION_HASH"), identity=pki.bob) as client,
    ):
        if required:
            client.wait_for(r"Received alert \[40\]")
            error = server.outcome().error
            assert isinstance(error, trustls.PeerIncompatible)
            assert error.reason is trustls.Incompatibility.NO_EXTENDED_MASTER_SECRET
        else:
            client.ask("hello")
            client.finish()
            assert server.outcome().peer.subject == "CN=bob"
            assert "extended master secret" not in client.output


def test_renegotiation_by_gnutls_cli_is_refused(gnutls_cli: str, pki: PKI) -> None:
    with (
        ThreadedServer(server_config(pki)) as server,
        GnutlsCli(gnutls_cli, pki, server.port, tls12(), identity=pki.bob) as client,
    ):
        client.ask("before")
        client.write("^renegotiate^\n")
        client.wait_for(r"Received alert \[100\]: No renegotiation is allowed")
        client.wait_for("ReHandshake has failed")
        error = server.outcome().error
    assert isinstance(error, trustls.PeerMisbehaved), "it asks again and again, until we end that"
    assert error.reason is trustls.Misbehaviour.RENEGOTIATION_REPEATED


@pytest.mark.parametrize(
    ("versions", "priority", "spoken"),
    [
        (["1.2", "1.3"], "NORMAL", "TLS1.3"),
        (["1.2"], "NORMAL", "TLS1.2"),
        (["1.2", "1.3"], ONLY_TLS12, "TLS1.2"),
        (["1.3"], ONLY_TLS12, None),
        (["1.2"], "NORMAL:-VERS-ALL:+VERS-TLS1.3", None),
    ],
)
def test_versions_with_gnutls_cli(
    versions: list[str], priority: str, spoken: str | None, gnutls_cli: str, pki: PKI
) -> None:
    with (
        ThreadedServer(server_config(pki, versions=versions)) as server,
        GnutlsCli(gnutls_cli, pki, server.port, f"--priority={priority}", identity=pki.bob) as client,
    ):
        if spoken is None:
            client.wait_for(r"Received alert \[70\]")
            assert isinstance(server.outcome().error, trustls.PeerIncompatible)
        else:
            client.wait_for(rf"- Description: \({re.escape(spoken)}")
            client.finish()
            assert server.outcome().error is None


def test_large_transfer_with_gnutls_cli(gnutls_cli: str, pki: PKI) -> None:
    upload, download = base64.encodebytes(os.urandom(1 << 20)), base64.encodebytes(os.urandom(1 << 20))
    received: list[bytes] = []

    def exchange_files(tls: ServerSocket) -> None:
        received.append(tls.recv_exactly(len(upload)))
        tls.sendall(download)

    with (
        ThreadedServer(server_config(pki), exchange_files) as server,
        GnutlsCli(gnutls_cli, pki, server.port, tls12(), "--debug=0", identity=pki.bob) as client,
    ):
        client.write(upload)
        client.wait_for("Peer has closed the GnuTLS connection")
        assert server.outcome().error is None
        client.wait()
        whole = (received == [upload], download in client.stdout)
    assert whole == (True, True), "the upload or the download was changed"


# -- gnutls-serv as the trustls client sees it ------------------------------------------------------------------------


def test_client_presents_its_certificate_to_gnutls_serv(gnutls_serv: str, pki: PKI) -> None:
    with (
        GnutlsServ(gnutls_serv, pki.server, tls12(), *asking(pki)) as server,
        connect(pki, server.port, pki.mallory, pki.alice, pki.bob) as tls,
    ):
        exchange(tls, b"hello")
        requested, info = tls.connection.requested, tls.connection.info
        server.wait_for("Subject: CN=alice\n")
    assert requested is not None
    assert requested.authorities == pki.client_ca_names, "the names are those of --x509cafile, byte for byte, in order"
    assert info.version is TLS12
    assert info.credential is pki.alice.credential, "the first that fits is alice's"


def test_client_with_nothing_that_fits_is_refused_by_gnutls_serv(gnutls_serv: str, pki: PKI) -> None:
    with GnutlsServ(gnutls_serv, pki.server, tls12(), *asking(pki)) as server, pytest.raises(trustls.AlertReceived):
        connect(pki, server.port, pki.mallory)


@pytest.mark.parametrize("key_type", KEY_TYPES)
def test_certificates_of_each_kind_of_key_with_gnutls_serv(key_type: KeyType, gnutls_serv: str, pki: PKI) -> None:
    server_identity, client_identity = pki.server_with(key_type), pki.client_with(key_type)
    with (
        GnutlsServ(gnutls_serv, server_identity, tls12(), *asking(pki)) as server,
        connect(pki, server.port, client_identity) as tls,
    ):
        exchange(tls, b"hello")
        assert tls.connection.peer is not None
        assert tls.connection.peer.certificate == server_identity.certificate
        assert tls.connection.info.credential is client_identity.credential


@pytest.mark.parametrize(("key_type", "cipher"), SUITES)
def test_each_cipher_suite_with_gnutls_serv(key_type: KeyType, cipher: str, gnutls_serv: str, pki: PKI) -> None:
    priority = tls12("-CIPHER-ALL", f"+{CIPHERS[cipher]}")
    with (
        GnutlsServ(gnutls_serv, pki.server_with(key_type), priority, *asking(pki)) as server,
        connect(pki, server.port, pki.alice) as tls,
    ):
        exchange(tls, b"hello")
        assert tls.connection.info.suite.iana == suite_name(key_type, cipher)


@pytest.mark.parametrize("group", GROUPS)
def test_each_group_with_gnutls_serv(group: str, gnutls_serv: str, pki: PKI) -> None:
    priority = tls12("-GROUP-ALL", f"+{GROUPS[group]}")
    with (
        GnutlsServ(gnutls_serv, pki.server_with(KeyType.RSA_2048), priority, *asking(pki)) as server,
        connect(pki, server.port, pki.alice) as tls,
    ):
        exchange(tls, b"hello")
        assert tls.connection.info.group.iana == group


@pytest.mark.parametrize("required", [True, False], ids=["required", "not required"])
def test_gnutls_serv_without_extended_master_secret(required: bool, gnutls_serv: str, pki: PKI) -> None:
    with GnutlsServ(gnutls_serv, pki.server, tls12("%NO_SESSION_HASH"), *asking(pki)) as server:
        if required:
            with pytest.raises(trustls.PeerIncompatible) as caught:
                connect(pki, server.port, pki.alice)
            assert caught.value.reason is trustls.Incompatibility.NO_EXTENDED_MASTER_SECRET
        else:
            with connect(pki, server.port, pki.alice, require_extended_master_secret=False) as tls:
                exchange(tls, b"hello")


def test_alpn_with_gnutls_serv(gnutls_serv: str, pki: PKI) -> None:
    arguments = ["--alpn=h2", "--alpn-fatal", "--disable-client-cert"]
    with GnutlsServ(gnutls_serv, pki.server, tls12(), *arguments) as server:
        with connect(pki, server.port, alpn=["http/1.1", "h2"]) as tls:
            assert tls.connection.info.alpn == "h2"
        with pytest.raises(trustls.AlertReceived) as caught:
            connect(pki, server.port, alpn=["spdy/1"])
        assert caught.value.description is trustls.AlertDescription.NO_APPLICATION_PROTOCOL


@pytest.mark.parametrize(
    ("priority", "versions", "spoken"),
    [
        ("NORMAL", None, trustls.ProtocolVersion.TLS1_3),
        ("NORMAL", ["1.2"], TLS12),
        (ONLY_TLS12, None, TLS12),
        (ONLY_TLS12, ["1.3"], None),
    ],
)
def test_versions_with_gnutls_serv(
    priority: str,
    versions: list[str] | None,
    spoken: trustls.ProtocolVersion | None,
    gnutls_serv: str,
    pki: PKI,
) -> None:
    with GnutlsServ(gnutls_serv, pki.server, f"--priority={priority}", *asking(pki)) as server:
        if spoken is None:
            with pytest.raises(trustls.AlertReceived):
                connect(pki, server.port, pki.alice, versions=versions)
        else:
            with connect(pki, server.port, pki.alice, versions=versions) as tls:
                exchange(tls, b"hello")
                assert tls.connection.info.version is spoken


@pytest.mark.parametrize(
    ("fault", "problem", "alert"),
    [
        ("expired", trustls.CertificateProblem.EXPIRED, 45),
        ("wrong name", trustls.CertificateProblem.NAME_MISMATCH, 42),
        ("unknown CA", trustls.CertificateProblem.UNKNOWN_ISSUER, 48),
    ],
)
def test_bad_certificate_of_gnutls_serv_is_refused_with_its_alert(
    fault: str, problem: trustls.CertificateProblem, alert: int, gnutls_serv: str, pki: PKI
) -> None:
    identities = {
        "expired": pki.expired_server,
        "wrong name": pki.server_for("elsewhere.example"),
        "unknown CA": pki.server_of_other,
    }
    with GnutlsServ(gnutls_serv, identities[fault], tls12(), *asking(pki)) as server:
        with pytest.raises(trustls.CertificateRejected) as caught:
            connect(pki, server.port, pki.alice)
        server.wait_for(rf"Alert\[2\|{alert}\]")
    assert caught.value.reason is problem, f"refused for another reason: {caught.value}"
