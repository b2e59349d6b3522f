"""The trustls server in TLS 1.2, as `openssl s_client` sees it."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

import trustls
from tests.support.commands import SClient, names_listed, openssl_without, secrets_in
from tests.support.pki import KEY_TYPES, PKI
from tests.support.servers import ServerSocket, ThreadedServer
from tests.support.watching import Watch
from trustls.cli.pki import KeyType
from trustls.trust.hints import Hints

SUITES = {
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
}
TRANSFER = 4 << 20
KDOT = "CN=K-Dot Certificate Authority,O=TDE,L=Compton,ST=California,C=US"
ROOTS = "CN=The Roots Authority,O=The Roots,L=Philadelphia,ST=Pennsylvania,C=US"


def server_config(pki: PKI, client_auth: trustls.ClientAuth | None = None, **options: object) -> trustls.ServerConfig:
    """A server of both versions with the usual certificate."""
    settings: dict[str, object] = {"credentials": [pki.server.credential], **options}
    if client_auth is not None:
        settings["client_auth"] = client_auth
    return trustls.ServerConfig(**settings)  # type: ignore[arg-type]


# -- CA names and client certificates ---------------------------------------------------------------------------------


def test_s_client_lists_the_names_of_the_client_roots_in_their_order(openssl: str, pki: PKI) -> None:
    with (
        ThreadedServer(server_config(pki, pki.required())) as server,
        SClient(openssl, pki, server.port, "-tls1_2", identity=pki.alice) as client,
    ):
        assert client.established()[:2] == ("New", "TLSv1.2")
        client.ask("hello")
        client.quit()
        assert names_listed(client.output) == [KDOT, ROOTS]
        assert "Client Certificate Types: ECDSA sign, RSA sign\n" in client.output
        outcome = server.outcome()
    assert outcome.peer.subject == "CN=alice"
    assert outcome.peer.presented == pki.alice.credential.chain, "the leaf and its intermediate"


@pytest.mark.parametrize("hints", [["CN=New CA,O=Us"], ["CN=Zürich,O=Bücher,C=CH", "CN=Other"]], ids=["one", "two"])
def test_hints_may_be_other_names_than_those_of_the_roots(hints: Hints, openssl: str, pki: PKI) -> None:
    names = ("-nameopt", "RFC2253,-esc_msb,utf8")
    with (
        ThreadedServer(server_config(pki, pki.required(hints=hints))) as server,
        SClient(openssl, pki, server.port, "-tls1_2", *names, identity=pki.alice) as client,
    ):
        client.established()
        client.quit()
        assert names_listed(client.output) == hints
        assert server.outcome().peer.subject == "CN=alice", "hints must not change who is trusted"


def test_list_of_names_is_empty_without_hints(openssl: str, pki: PKI) -> None:
    """RFC 5246 7.4.4: a field, which is there and empty, where TLS 1.3 leaves an extension out."""
    with (
        ThreadedServer(server_config(pki, pki.required(hints=()))) as server,
        SClient(openssl, pki, server.port, "-tls1_2", "-trace", identity=pki.alice) as client,
    ):
        client.established()
        client.quit()
        assert names_listed(client.output) is None
        assert re.search(r"certificate_authorities \(len=0\)", client.output), "the field must be there, and empty"
        assert server.outcome().peer.subject == "CN=alice"


def test_a_thousand_names_arrive_in_order(openssl: str, pki: PKI) -> None:
    hints = [f"CN=Certificate Authority Number {number},O=Example" for number in range(1000)]
    with pytest.warns(UserWarning, match="Java clients refuse"):
        config = server_config(pki, pki.required(hints=hints))
    with (
        ThreadedServer(config) as server,
        SClient(openssl, pki, server.port, "-tls1_2", identity=pki.alice) as client,
    ):
        client.established()
        client.quit()
        assert names_listed(client.output) == hints
        assert server.outcome().peer.subject == "CN=alice"


def test_no_certificate_is_refused_with_handshake_failure(openssl: str, pki: PKI) -> None:
    """certificate_required is an alert of TLS 1.3; RFC 5246 7.4.6 says handshake_failure."""
    with (
        ThreadedServer(server_config(pki, pki.required())) as server,
        SClient(openssl, pki, server.port, "-tls1_2") as client,
    ):
        client.wait_for("alert handshake failure.*alert number 40")
        assert client.wait() != 0
        error = server.outcome().error
    assert isinstance(error, trustls.CertificateRejected)
    assert error.reason is trustls.CertificateProblem.NONE_PRESENTED


def test_certificate_of_another_ca_is_refused_with_unknown_ca(openssl: str, pki: PKI) -> None:
    with (
        ThreadedServer(server_config(pki, pki.required())) as server,
        SClient(openssl, pki, server.port, "-tls1_2", identity=pki.mallory) as client,
    ):
        client.wait_for("alert unknown ca.*alert number 48")
        error = server.outcome().error
    assert isinstance(error, trustls.CertificateRejected)
    assert error.reason is trustls.CertificateProblem.UNKNOWN_ISSUER


def test_optional_client_auth_takes_a_client_without(openssl: str, pki: PKI) -> None:
    with (
        ThreadedServer(server_config(pki, trustls.ClientAuth.optional(pki.client_roots))) as server,
        SClient(openssl, pki, server.port, "-tls1_2") as client,
    ):
        client.ask("hello")
        client.quit()
        outcome = server.outcome()
    assert names_listed(client.output) == [KDOT, ROOTS], "it is asked all the same"
    assert (outcome.error, outcome.connection.peer) == (None, None)


def test_server_that_does_not_ask_learns_no_certificate(openssl: str, pki: PKI) -> None:
    with (
        ThreadedServer(server_config(pki)) as server,
        SClient(openssl, pki, server.port, "-tls1_2", identity=pki.alice) as client,
    ):
        client.ask("hello")
        client.quit()
        assert server.outcome().connection.peer is None


@pytest.mark.parametrize("key_type", KEY_TYPES)
def test_certificates_of_each_kind_of_key(key_type: KeyType, openssl: str, pki: PKI) -> None:
    identity = pki.client_with(key_type)
    config = server_config(pki, pki.required(), credentials=[pki.server_with(key_type).credential])
    kinds = {KeyType.RSA_2048: "RSA-PSS", KeyType.ED25519: "ed25519"}
    with (
        ThreadedServer(config) as server,
        SClient(openssl, pki, server.port, "-tls1_2", identity=identity) as client,
    ):
        client.ask("hello")
        client.quit()
        assert f"Peer signature type: {kinds.get(key_type, 'ECDSA')}\n" in client.output
        assert server.outcome().peer.certificate == identity.certificate


@pytest.mark.parametrize(
    ("algorithms", "kind"),
    [
        ("RSA+SHA256", "RSA"),
        ("RSA+SHA512", "RSA"),
        ("RSA-PSS+SHA384", "RSA-PSS"),
        ("RSA-PSS+SHA256:RSA+SHA1", "RSA-PSS"),
    ],
)
def test_rsa_signs_with_what_the_client_verifies(algorithms: str, kind: str, openssl: str, pki: PKI) -> None:
    config = server_config(pki, credentials=[pki.server_with(KeyType.RSA_2048).credential])
    with (
        ThreadedServer(config) as server,
        SClient(openssl, pki, server.port, "-tls1_2", "-sigalgs", f"{algorithms}:ECDSA+SHA256") as client,
    ):
        client.ask("hello")
        client.quit()
        assert f"Peer signature type: {kind}\n" in client.output
        digest = re.search("SHA[0-9]+", algorithms)
        assert digest is not None
        assert f"Peer signing digest: {digest[0]}\n" in client.output


def test_sha1_is_not_signed_with(openssl: str, pki: PKI) -> None:
    config = server_config(pki, credentials=[pki.server_with(KeyType.RSA_2048).credential])
    algorithms = ("-sigalgs", "RSA+SHA1", "-cipher", "DEFAULT:@SECLEVEL=0")
    with ThreadedServer(config) as server, SClient(openssl, pki, server.port, "-tls1_2", *algorithms) as client:
        client.wait_for("alert handshake failure.*alert number 40")
        error = server.outcome().error
    assert isinstance(error, trustls.PeerIncompatible)
    assert error.reason is trustls.Incompatibility.NO_COMMON_SCHEME


# -- Negotiation ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suite", SUITES)
def test_each_cipher_suite(suite: str, openssl: str, pki: PKI) -> None:
    key_type = KeyType.RSA_2048 if "_RSA_" in suite else KeyType.EC_P256
    config = server_config(pki, pki.required(), credentials=[pki.server_with(key_type).credential])
    with (
        ThreadedServer(config) as server,
        SClient(openssl, pki, server.port, "-tls1_2", "-cipher", SUITES[suite], identity=pki.alice) as client,
    ):
        assert client.established() == ("New", "TLSv1.2", SUITES[suite])
        client.ask("hello")
        client.quit()
        info = server.outcome().connection.info
    assert (info.version, info.suite.iana) == (trustls.ProtocolVersion.TLS1_2, suite)


@pytest.mark.parametrize("cipher", ["AES128-GCM-SHA256", "ECDHE-RSA-AES128-SHA256", "DHE-RSA-AES128-GCM-SHA256"])
def test_suites_that_are_not_ours_are_refused(cipher: str, openssl: str, pki: PKI) -> None:
    """No RSA key exchange, no CBC, no finite-field Diffie-Hellman."""
    config = server_config(pki, credentials=[pki.server_with(KeyType.RSA_2048).credential])
    with (
        ThreadedServer(config) as server,
        SClient(openssl, pki, server.port, "-tls1_2", "-cipher", cipher) as client,
    ):
        client.wait_for("alert handshake failure.*alert number 40")
        error = server.outcome().error
    assert isinstance(error, trustls.PeerIncompatible)
    assert error.reason is trustls.Incompatibility.NO_COMMON_SUITE


@pytest.mark.parametrize(
    ("cipher", "key_type"),
    [("ECDHE-RSA-AES128-GCM-SHA256", KeyType.RSA_2048), ("ECDHE-ECDSA-AES128-GCM-SHA256", KeyType.EC_P256)],
)
def test_certificate_goes_with_the_suite(cipher: str, key_type: KeyType, openssl: str, pki: PKI) -> None:
    both = [pki.server_with(KeyType.EC_P256).credential, pki.server_with(KeyType.RSA_2048).credential]
    with (
        ThreadedServer(server_config(pki, credentials=both)) as server,
        SClient(openssl, pki, server.port, "-tls1_2", "-cipher", cipher) as client,
    ):
        assert client.established()[2] == cipher
        client.quit()
        credential = server.outcome().connection.info.credential
    assert credential is not None
    assert credential is pki.server_with(key_type).credential


@pytest.mark.parametrize("group", ["x25519", "secp256r1", "secp384r1", "secp521r1"])
def test_each_group(group: str, openssl: str, pki: PKI) -> None:
    with (
        ThreadedServer(server_config(pki, groups=[group])) as server,
        SClient(openssl, pki, server.port, "-tls1_2", "-groups", "X25519:P-256:P-384:P-521") as client,
    ):
        client.ask("hello")
        client.quit()
        assert server.outcome().connection.info.group.iana == group


def test_no_common_group_is_refused_with_handshake_failure(openssl: str, pki: PKI) -> None:
    with (
        ThreadedServer(server_config(pki, groups=["x25519"])) as server,
        SClient(openssl, pki, server.port, "-tls1_2", "-groups", "P-256:P-384") as client,
    ):
        client.wait_for("alert handshake failure.*alert number 40")
        error = server.outcome().error
    assert isinstance(error, trustls.PeerIncompatible)
    assert error.reason is trustls.Incompatibility.NO_COMMON_GROUP


def test_alpn_takes_the_servers_preference(openssl: str, pki: PKI) -> None:
    with (
        ThreadedServer(server_config(pki, alpn=["h2", "http/1.1"])) as server,
        SClient(openssl, pki, server.port, "-tls1_2", "-alpn", "http/1.1,h2") as client,
    ):
        client.wait_for("^ALPN protocol: h2\n")
        client.quit()
        assert server.outcome().connection.info.alpn == "h2"


def test_alpn_with_nothing_in_common_is_refused(openssl: str, pki: PKI) -> None:
    with (
        ThreadedServer(server_config(pki, alpn=["h2"])) as server,
        SClient(openssl, pki, server.port, "-tls1_2", "-alpn", "spdy/1") as client,
    ):
        client.wait_for("alert no application protocol.*alert number 120")
        assert isinstance(server.outcome().error, trustls.PeerIncompatible)


@pytest.mark.parametrize("name", ["localhost", "second.example", "unknown.example"])
def test_server_certificate_is_chosen_by_server_name(name: str, openssl: str, pki: PKI) -> None:
    credentials = [pki.server.credential, pki.server_for("second.example").credential]
    with (
        ThreadedServer(server_config(pki, credentials=credentials)) as server,
        SClient(openssl, pki, server.port, "-tls1_2", "-servername", name) as client,
    ):
        client.established()
        client.quit()
        chosen = "second.example" if name == "second.example" else "localhost"
        assert f"\nsubject=CN={chosen}\n" in client.output, "another certificate was chosen"
        assert server.outcome().connection.info.server_name == name


# -- Versions ---------------------------------------------------------------------------------------------------------


def test_newest_version_of_both_is_spoken(openssl: str, pki: PKI) -> None:
    with ThreadedServer(server_config(pki)) as server, SClient(openssl, pki, server.port) as client:
        assert client.established()[1] == "TLSv1.3"
        client.quit()
        assert server.outcome().connection.info.version is trustls.ProtocolVersion.TLS1_3


def test_server_limited_to_tls12_speaks_that(openssl: str, pki: PKI) -> None:
    config = server_config(pki, versions=["1.2"])
    with ThreadedServer(config) as server, SClient(openssl, pki, server.port) as client:
        assert client.established()[1] == "TLSv1.2", (
            "s_client would take an alert for a sentinel that is not to be here"
        )
        client.quit()
        assert server.outcome().connection.info.version is trustls.ProtocolVersion.TLS1_2


@pytest.mark.parametrize(
    ("versions", "option"), [(["1.3"], "-tls1_2"), (["1.2"], "-tls1_3"), (["1.2", "1.3"], "-tls1_1")]
)
def test_no_common_version_is_refused_with_protocol_version(
    versions: list[str], option: str, openssl: str, pki: PKI
) -> None:
    with (
        ThreadedServer(server_config(pki, versions=versions)) as server,
        SClient(openssl, pki, server.port, option, "-cipher", "ALL:@SECLEVEL=0") as client,
    ):
        client.wait_for("alert protocol version.*alert number 70")
        error = server.outcome().error
    assert isinstance(error, trustls.PeerIncompatible)
    assert error.reason is trustls.Incompatibility.NO_COMMON_VERSION


@pytest.mark.parametrize(("versions", "marked"), [(["1.2", "1.3"], True), (["1.2"], False)])
def test_sentinel_marks_the_random_of_a_server_that_could_do_better(
    versions: list[str], marked: bool, openssl: str, pki: PKI
) -> None:
    """RFC 9846 4.2.3: "DOWNGRD" and 1."""
    with (
        ThreadedServer(server_config(pki, versions=versions)) as server,
        SClient(openssl, pki, server.port, "-tls1_2", "-trace") as client,
    ):
        client.established()
        client.quit()
        randoms = re.findall(r"random_bytes \(len=28\): ([0-9A-F]{56})", client.output)
    assert len(randoms) == 2, "the client's and the server's"
    assert randoms[1].endswith("444F574E47524401") is marked


def test_fallback_by_a_client_that_could_do_better_is_refused(openssl: str, pki: PKI) -> None:
    """RFC 7507."""
    with (
        ThreadedServer(server_config(pki)) as server,
        SClient(openssl, pki, server.port, "-tls1_2", "-fallback_scsv") as client,
    ):
        client.wait_for("alert inappropriate fallback.*alert number 86")
        error = server.outcome().error
    assert isinstance(error, trustls.PeerIncompatible)
    assert error.reason is trustls.Incompatibility.INAPPROPRIATE_FALLBACK


def test_fallback_to_all_that_the_server_speaks_is_none(openssl: str, pki: PKI) -> None:
    with (
        ThreadedServer(server_config(pki, versions=["1.2"])) as server,
        SClient(openssl, pki, server.port, "-tls1_2", "-fallback_scsv") as client,
    ):
        client.ask("hello")
        client.quit()


# -- Extended master secret, renegotiation ----------------------------------------------------------------------------


def test_extended_master_secret_is_negotiated(openssl: str, pki: PKI) -> None:
    with ThreadedServer(server_config(pki)) as server, SClient(openssl, pki, server.port, "-tls1_2") as client:
        client.wait_for("Extended master secret: yes\n")
        client.quit()
        assert server.outcome().error is None


def test_client_without_extended_master_secret_is_refused(openssl: str, pki: PKI, tmp_path: Path) -> None:
    environment = openssl_without("ExtendedMasterSecret", tmp_path)
    with (
        ThreadedServer(server_config(pki)) as server,
        SClient(openssl, pki, server.port, "-tls1_2", environment=environment) as client,
    ):
        client.wait_for("alert handshake failure.*alert number 40")
        error = server.outcome().error
    assert isinstance(error, trustls.PeerIncompatible)
    assert error.reason is trustls.Incompatibility.NO_EXTENDED_MASTER_SECRET


def test_client_without_extended_master_secret_may_be_allowed(openssl: str, pki: PKI, tmp_path: Path) -> None:
    environment = openssl_without("ExtendedMasterSecret", tmp_path)
    config = server_config(pki, pki.required(), require_extended_master_secret=False)
    with (
        ThreadedServer(config) as server,
        SClient(openssl, pki, server.port, "-tls1_2", identity=pki.alice, environment=environment) as client,
    ):
        client.wait_for("Extended master secret: no\n")
        client.ask("hello")
        client.quit()
        assert server.outcome().peer.subject == "CN=alice"


def test_renegotiation_is_refused_and_said_to_be_secure(openssl: str, pki: PKI) -> None:
    with (
        ThreadedServer(server_config(pki)) as server,
        SClient(openssl, pki, server.port, "-tls1_2", "-msg") as client,
    ):
        client.wait_for("^Secure Renegotiation IS supported\n")
        client.ask("hello")
        client.write("R\n")
        client.wait_for(r"^<<< TLS 1\.2, Alert \[length 0002\], warning no_renegotiation\n")
        client.wait_for("no renegotiation")
        error = server.outcome().error
    assert isinstance(error, trustls.AlertReceived), (
        f"s_client gives up then, with an alert, but the server saw {error!r}"
    )
    assert error.description is trustls.AlertDescription.HANDSHAKE_FAILURE


# -- Secrets ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("extended", [True, False], ids=["extended", "not extended"])
@pytest.mark.parametrize("cipher", ["ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305"])
def test_key_log_has_the_line_that_openssl_writes(
    cipher: str, extended: bool, openssl: str, pki: PKI, tmp_path: Path
) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    environment = None if extended else openssl_without("ExtendedMasterSecret", tmp_path)
    arguments = ("-tls1_2", "-cipher", cipher, "-keylogfile", theirs)
    with trustls.KeyLogFile(ours) as key_log:
        config = server_config(pki, pki.required(), key_log=key_log, require_extended_master_secret=False)
        with (
            ThreadedServer(config) as server,
            SClient(openssl, pki, server.port, *arguments, identity=pki.alice, environment=environment) as client,
        ):
            client.established()
            client.quit()
            assert server.outcome().error is None
    assert [line.split()[0] for line in secrets_in(theirs)] == ["CLIENT_RANDOM"]
    assert secrets_in(ours) == secrets_in(theirs), "the two key logs differ"


@pytest.mark.parametrize("cipher", ["ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-AES128-GCM-SHA256"])
@pytest.mark.parametrize("length", [1, 32, 200])
def test_exporter_gives_what_openssl_exports(length: int, cipher: str, openssl: str, pki: PKI) -> None:
    """RFC 5705, without a context."""
    label = "EXPORTER-trustls-test"
    arguments = ("-tls1_2", "-keymatexport", label, "-keymatexportlen", str(length), "-cipher", cipher)
    with ThreadedServer(server_config(pki)) as server, SClient(openssl, pki, server.port, *arguments) as client:
        theirs = client.wait_for(r"Keying material: ([0-9A-F]+)\n")[1].decode()
        client.quit()
        connection = server.outcome().connection
    assert connection.export(label, length).hex().upper() == theirs
    assert length < 32 or connection.export(label, length, context=b"") != connection.export(label, length)


# -- Closing, much data -----------------------------------------------------------------------------------------------


def test_close_by_either_side_is_a_close_notify(openssl: str, pki: PKI) -> None:
    def greet(tls: ServerSocket) -> None:
        tls.sendall(b"goodbye\n")

    with (
        ThreadedServer(server_config(pki), greet) as server,
        SClient(openssl, pki, server.port, "-tls1_2", "-msg") as client,
    ):
        client.wait_for("goodbye\n")
        client.wait_for(r"^<<< TLS 1\.2, Alert \[length 0002\], warning close_notify\n")
        assert client.wait() == 0, "s_client did not take the close for a proper one"
        assert server.outcome().error is None
    with ThreadedServer(server_config(pki)) as server, SClient(openssl, pki, server.port, "-tls1_2") as client:
        client.ask("hello")
        client.quit()
        outcome = server.outcome()
    assert outcome.error is None
    assert outcome.connection.peer_closed


def test_client_that_is_killed_is_an_unexpected_eof(openssl: str, pki: PKI) -> None:
    with ThreadedServer(server_config(pki)) as server, SClient(openssl, pki, server.port, "-tls1_2") as client:
        client.ask("hello")
        client.kill()
        assert isinstance(server.outcome().error, trustls.UnexpectedEOF)


@pytest.mark.parametrize("cipher", ["ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305"])
def test_large_transfer_in_each_direction(cipher: str, openssl: str, pki: PKI) -> None:
    upload, download = os.urandom(TRANSFER), os.urandom(TRANSFER)
    received: list[bytes] = []

    def exchange(tls: ServerSocket) -> None:
        received.append(tls.recv_exactly(TRANSFER))
        tls.sendall(download)

    quiet = ("-quiet", "-no_ign_eof", "-nocommands")
    with (
        ThreadedServer(server_config(pki, pki.required()), exchange) as server,
        SClient(openssl, pki, server.port, "-tls1_2", "-cipher", cipher, *quiet, identity=pki.alice) as client,
    ):
        client.write(upload)
        assert server.outcome().error is None
        client.wait()
        whole = (received == [upload], client.stdout == download)
    assert whole == (True, True), "the upload or the download was changed"


# -- The trace --------------------------------------------------------------------------------------------------------


def test_trace_names_the_messages_as_the_rfc_does(openssl: str, pki: PKI) -> None:
    with (
        Watch() as watch,
        ThreadedServer(server_config(pki, pki.required())) as server,
        SClient(openssl, pki, server.port, "-tls1_2", identity=pki.alice) as client,
    ):
        client.ask("hello")
        client.quit()
        assert server.outcome().error is None
    titles = re.findall(r"^server (?:sent|received) (\w+) \(", watch.text, re.MULTILINE)
    assert titles == [
        *("ClientHello", "ServerHello", "Certificate", "ServerKeyExchange", "CertificateRequest", "ServerHelloDone"),
        *("Certificate", "ClientKeyExchange", "CertificateVerify", "Finished", "NewSessionTicket", "Finished"),
    ]
    for text in (KDOT, "certificate_types: ecdsa_sign, rsa_sign", "CN=alice", "group: x25519"):
        assert text in watch.text
