"""`openssl s_server -tls1_2` as the trustls client sees it."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

import trustls
from tests.support.commands import SServer, openssl_without, secrets_in
from tests.support.pki import KEY_TYPES, PKI, Identity
from tests.support.processes import SECONDS, Argument
from tests.support.relays import Change, Relay, at_random, byte_by_byte
from tests.support.watching import Watch
from trustls.cli.pki import KeyType

SUITES = {
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
}
TRANSFER = 4 << 20
TLS12 = trustls.ProtocolVersion.TLS1_2

ClientSocket = trustls.TLSSocket[trustls.ClientConnection]


def connect(
    pki: PKI, port: int, *identities: Identity, server_name: str = "localhost", **options: object
) -> ClientSocket:
    """Connect with a client that trusts the test's server root, and holds these certificates."""
    settings: dict[str, object] = {"roots": pki.server_roots, **options}
    config = trustls.ClientConfig(credentials=[one.credential for one in identities], **settings)  # type: ignore[arg-type]
    return trustls.connect(("127.0.0.1", port), config, server_name=server_name, timeout=SECONDS)


def asking(pki: PKI, *, mode: str = "-Verify", cas: Path | None = None) -> Sequence[Argument]:
    """The arguments that make s_server ask for a client certificate, verify it, and name its CAs."""
    return [mode, "3", "-verify_return_error", "-CAfile", cas or pki.client_cas_file]


def own_subject(tls: ClientSocket) -> str | None:
    """The subject of the certificate that this side presented."""
    credential = tls.connection.info.credential
    return None if credential is None else str(credential.certificate.subject)


def recv_line(tls: ClientSocket) -> bytes:
    """What comes up to a newline, which comes last."""
    data = b""
    while not data.endswith(b"\n"):
        part = tls.recv()
        assert part, f"the server closed after {data!r}"
        data += part
    return data


# -- CA names and client certificates ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("ca", "chosen"), [("kdot", "CN=alice"), ("roots", "CN=bob"), ("client_cas", "CN=bob")])
def test_client_presents_the_first_certificate_that_fits_the_names(
    ca: str, chosen: str, openssl: str, pki: PKI
) -> None:
    cas = {"kdot": pki.kdot_file, "roots": pki.roots_file, "client_cas": pki.client_cas_file}[ca]
    names = {"kdot": (pki.kdot_name,), "roots": (pki.roots_name,), "client_cas": pki.client_ca_names}[ca]
    with (
        SServer(openssl, pki.server, "-tls1_2", *asking(pki, cas=cas)) as server,
        connect(pki, server.port, pki.mallory, pki.bob, pki.alice) as tls,
    ):
        requested = tls.connection.requested
        assert tls.connection.info.version is TLS12
        assert own_subject(tls) == chosen, "in the client's order, the first that was issued below a named CA"
        subject = server.wait_for("^subject=(.*)\n")[1].decode()
    assert requested is not None
    assert requested.authorities == names, "the names are those of -CAfile, byte for byte and in order"
    assert requested.version is TLS12
    assert subject.replace(" = ", "=") == chosen, "s_server saw another certificate"


def test_list_of_names_may_be_empty(openssl: str, pki: PKI) -> None:
    arguments: list[Argument] = ["-verify", "3", "-verifyCAfile", pki.client_cas_file, "-no-CAfile", "-no-CApath"]
    with (
        SServer(openssl, pki.server, "-tls1_2", *arguments) as server,
        connect(pki, server.port, pki.alice, pki.mallory) as tls,
    ):
        assert tls.connection.requested is not None
        assert tls.connection.requested.authorities == ()
        assert own_subject(tls) == "CN=alice", "without names the first certificate will do"


@pytest.mark.parametrize(
    ("algorithms", "types", "chosen"),
    [
        ("ECDSA+SHA256", {"ECDSA_SIGN"}, KeyType.EC_P256),
        ("RSA-PSS+SHA256:RSA+SHA256", {"RSA_SIGN"}, KeyType.RSA_2048),
        ("RSA+SHA384", {"RSA_SIGN"}, KeyType.RSA_2048),
        ("ed25519:RSA+SHA256", {"ECDSA_SIGN", "RSA_SIGN"}, KeyType.RSA_2048),
        ("ed25519", {"ECDSA_SIGN"}, KeyType.ED25519),
    ],
)
def test_client_chooses_by_certificate_types_and_signature_algorithms(
    algorithms: str, types: set[str], chosen: KeyType, openssl: str, pki: PKI
) -> None:
    held = [pki.client_with(kind) for kind in (KeyType.RSA_2048, KeyType.EC_P256, KeyType.ED25519)]
    with (
        SServer(openssl, pki.server, "-tls1_2", "-client_sigalgs", algorithms, *asking(pki)) as server,
        connect(pki, server.port, *held) as tls,
    ):
        requested = tls.connection.requested
        tls.sendall(b"hello\n")
        server.wait_for("hello\n")
        assert own_subject(tls) == f"CN=client-{chosen}"
    assert requested is not None
    assert {kind.name for kind in requested.certificate_types} >= types
    if len(types) == 1 and algorithms != "ed25519":
        assert {kind.name for kind in requested.certificate_types} == types


def test_nothing_is_requested_by_a_server_that_does_not_ask(openssl: str, pki: PKI) -> None:
    with SServer(openssl, pki.server, "-tls1_2") as server, connect(pki, server.port, pki.alice) as tls:
        assert tls.connection.requested is None
        assert own_subject(tls) is None


def test_client_presents_none_when_none_fits(openssl: str, pki: PKI) -> None:
    with (
        SServer(openssl, pki.server, "-tls1_2", *asking(pki, mode="-verify", cas=pki.roots_file)) as server,
        connect(pki, server.port, pki.mallory, pki.alice) as tls,
    ):
        assert own_subject(tls) is None
        tls.sendall(b"still here\n")
        server.wait_for("still here\n")


def test_refusal_of_a_missing_certificate_ends_the_handshake(openssl: str, pki: PKI) -> None:
    """In TLS 1.2 the client learns of it during the handshake, unlike in TLS 1.3."""
    with SServer(openssl, pki.server, "-tls1_2", *asking(pki, cas=pki.roots_file)) as server:
        with pytest.raises(trustls.AlertReceived) as caught:
            connect(pki, server.port, pki.mallory, pki.alice)
        assert caught.value.description is trustls.AlertDescription.HANDSHAKE_FAILURE


def test_refusal_of_an_unknown_ca_ends_the_handshake(openssl: str, pki: PKI) -> None:
    fallback = trustls.Credential(pki.mallory.issued.chain, pki.mallory.issued.key, fallback=True)
    config = trustls.ClientConfig(roots=pki.server_roots, credentials=[fallback])
    with SServer(openssl, pki.server, "-tls1_2", *asking(pki)) as server:
        with pytest.raises(trustls.AlertReceived) as caught:
            trustls.connect(("127.0.0.1", server.port), config, server_name="localhost", timeout=SECONDS)
        assert caught.value.description is trustls.AlertDescription.UNKNOWN_CA


@pytest.mark.parametrize("key_type", KEY_TYPES)
def test_certificates_of_each_kind_of_key(key_type: KeyType, openssl: str, pki: PKI) -> None:
    kinds = {KeyType.RSA_2048: "RSA-PSS", KeyType.ED25519: "ed25519"}
    identity, client = pki.server_with(key_type), pki.client_with(key_type)
    with (
        SServer(openssl, identity, "-tls1_2", *asking(pki)) as server,
        connect(pki, server.port, client) as tls,
    ):
        assert own_subject(tls) == f"CN=client-{key_type}"
        server.wait_for(f"^Peer signature type: {kinds.get(key_type, 'ECDSA')}\n")
        peer = tls.connection.peer
    assert peer is not None
    assert peer.certificate == identity.certificate
    assert str(peer.verified[-1].subject) == "CN=Server Root,O=Servers", "the chain ends at our root"


@pytest.mark.parametrize("algorithms", ["RSA+SHA256", "RSA+SHA512", "RSA-PSS+SHA384"])
def test_server_may_sign_with_each_kind_of_rsa(algorithms: str, openssl: str, pki: PKI) -> None:
    identity = pki.server_with(KeyType.RSA_2048)
    with (
        Watch() as watch,
        SServer(openssl, identity, "-tls1_2", "-sigalgs", algorithms) as server,
        connect(pki, server.port) as tls,
    ):
        tls.sendall(b"hello\n")
        server.wait_for("hello\n")
        wanted = {"RSA+SHA256": "rsa_pkcs1_sha256", "RSA+SHA512": "rsa_pkcs1_sha512"}.get(
            algorithms, "rsa_pss_rsae_sha384"
        )
    assert f"  scheme: {wanted}\n" in watch.text


# -- Server certificates that are refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "problem", "alert"),
    [
        ("expired", trustls.CertificateProblem.EXPIRED, "certificate expired"),
        ("wrong name", trustls.CertificateProblem.NAME_MISMATCH, "bad certificate"),
        ("unknown CA", trustls.CertificateProblem.UNKNOWN_ISSUER, "unknown CA"),
        ("client usage", trustls.CertificateProblem.WRONG_PURPOSE, "unsupported certificate"),
    ],
)
def test_bad_server_certificate_is_refused_with_its_alert(
    fault: str, problem: trustls.CertificateProblem, alert: str, openssl: str, pki: PKI
) -> None:
    identity = {
        "expired": pki.expired_server,
        "wrong name": pki.server_for("elsewhere.example"),
        "unknown CA": pki.server_of_other,
        "client usage": pki.server_with_client_usage,
    }[fault]
    with SServer(openssl, identity, "-tls1_2", "-state", "-msg", *asking(pki)) as server:
        with pytest.raises(trustls.CertificateRejected) as caught:
            connect(pki, server.port, pki.alice)
        server.wait_for(f"^SSL3 alert read:fatal:{alert}\n")
        server.wait_for(r"^<<< .*ClientHello")  # That comes over another pipe.
        received = re.findall(r"^<<< TLS 1\.\d, Handshake .*, (\w+)$", server.output, re.MULTILINE)
    assert caught.value.reason is problem, f"refused for another reason: {caught.value}"
    assert received == ["ClientHello"], f"who is refused must not learn our certificate, but got {received}"


# -- Negotiation ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suite", SUITES)
def test_each_cipher_suite(suite: str, openssl: str, pki: PKI) -> None:
    identity = pki.server_with(KeyType.RSA_2048 if "_RSA_" in suite else KeyType.EC_P256)
    with (
        SServer(openssl, identity, "-tls1_2", "-cipher", SUITES[suite], *asking(pki)) as server,
        connect(pki, server.port, pki.alice) as tls,
    ):
        assert (tls.connection.info.version, tls.connection.info.suite.iana) == (TLS12, suite)
        tls.sendall(b"hello\n")
        server.wait_for("hello\n")


@pytest.mark.parametrize("suite", SUITES)
def test_client_that_allows_one_suite_gets_it(suite: str, openssl: str, pki: PKI) -> None:
    identity = pki.server_with(KeyType.RSA_2048 if "_RSA_" in suite else KeyType.EC_P256)
    with SServer(openssl, identity) as server, connect(pki, server.port, suites=[suite]) as tls:
        assert (tls.connection.info.version, tls.connection.info.suite.iana) == (TLS12, suite), (
            "no suite of 1.3 is left"
        )


@pytest.mark.parametrize(
    "arguments", [("-cipher", "AES128-GCM-SHA256"), ("-cipher", "ECDHE-RSA-AES128-SHA256"), ("-groups", "X448")]
)
def test_server_that_only_knows_what_is_not_ours_refuses(arguments: tuple[str, str], openssl: str, pki: PKI) -> None:
    with SServer(openssl, pki.server_with(KeyType.RSA_2048), "-tls1_2", *arguments) as server:
        with pytest.raises(trustls.AlertReceived) as caught:
            connect(pki, server.port)
        assert caught.value.description is trustls.AlertDescription.HANDSHAKE_FAILURE


@pytest.mark.parametrize(
    ("group", "openssl_group"),
    [("x25519", "X25519"), ("secp256r1", "P-256"), ("secp384r1", "P-384"), ("secp521r1", "P-521")],
)
def test_each_group(group: str, openssl_group: str, openssl: str, pki: PKI) -> None:
    identity = pki.server_with(KeyType.RSA_2048)  # The curve of an ECDSA key would have to be among the groups.
    with (
        SServer(openssl, identity, "-tls1_2", "-groups", openssl_group) as server,
        connect(pki, server.port) as tls,
    ):
        assert tls.connection.info.group.iana == group
        tls.sendall(b"hello\n")
        server.wait_for("hello\n")


def test_alpn(openssl: str, pki: PKI) -> None:
    with (
        SServer(openssl, pki.server, "-tls1_2", "-alpn", "http/1.1,h2") as server,
        connect(pki, server.port, alpn=["h2", "http/1.1"]) as tls,
    ):
        assert tls.connection.info.alpn == "http/1.1", "the server's preference decides"


def test_alpn_with_nothing_in_common_is_refused(openssl: str, pki: PKI) -> None:
    with SServer(openssl, pki.server, "-tls1_2", "-alpn", "spdy/1") as server:
        with pytest.raises(trustls.AlertReceived) as caught:
            connect(pki, server.port, alpn=["h2"])
        assert caught.value.description is trustls.AlertDescription.NO_APPLICATION_PROTOCOL


def test_server_name_arrives(openssl: str, pki: PKI) -> None:
    other = pki.server_for("second.example")
    second: list[Argument] = ["-servername", "second.example", "-cert2", other.chain_file, "-key2", other.key_file]
    with SServer(openssl, pki.server, "-tls1_2", *second) as server:
        with connect(pki, server.port) as tls:
            assert tls.connection.peer is not None
            assert tls.connection.peer.certificate == pki.server.certificate
            server.wait_for('^Hostname in TLS extension: "localhost"')
        config = trustls.ClientConfig(verifier=_Anybody())
        with trustls.connect(("127.0.0.1", server.port), config, server_name="second.example", timeout=SECONDS) as tls:
            assert tls.connection.peer is not None
            assert tls.connection.peer.certificate == other.certificate, "s_server chose its -cert2 by the name"


class _Anybody:
    """Takes what comes: s_server cannot send a chain beside -cert2."""

    def verify_server(
        self,
        chain: Sequence[trustls.Certificate],
        server_name: trustls.ServerName,
        now: float,
        ocsp_response: bytes,
    ) -> trustls.Peer:
        return trustls.Peer(presented=tuple(chain), verified=tuple(chain))


# -- Versions ---------------------------------------------------------------------------------------------------------


def test_newest_version_of_both_is_spoken(openssl: str, pki: PKI) -> None:
    with SServer(openssl, pki.server) as server, connect(pki, server.port) as tls:
        assert tls.connection.info.version is trustls.ProtocolVersion.TLS1_3


def test_client_limited_to_tls12_speaks_that(openssl: str, pki: PKI) -> None:
    """The server's random has the downgrade sentinel then, which means nothing to a client that never speaks 1.3."""
    with (
        Watch() as watch,
        SServer(openssl, pki.server) as server,
        connect(pki, server.port, versions=["1.2"]) as tls,
    ):
        assert tls.connection.info.version is TLS12
    assert "444f574e47524401" in watch.text, "s_server speaks TLS 1.3 and must have said so"


@pytest.mark.parametrize(("versions", "option"), [(["1.3"], "-tls1_2"), (["1.2"], "-tls1_3")])
def test_no_common_version_is_refused(versions: list[str], option: str, openssl: str, pki: PKI) -> None:
    with SServer(openssl, pki.server, option) as server:
        with pytest.raises(trustls.AlertReceived) as caught:
            connect(pki, server.port, versions=versions)
        assert caught.value.description is trustls.AlertDescription.PROTOCOL_VERSION


def test_server_of_tls11_alone_is_refused(openssl: str, pki: PKI) -> None:
    with SServer(openssl, pki.server, "-tls1_1", "-cipher", "ALL:@SECLEVEL=0") as server:
        with pytest.raises(trustls.AlertReceived) as caught:
            connect(pki, server.port)
        assert caught.value.description is trustls.AlertDescription.PROTOCOL_VERSION


def hide_tls13(data: bytes) -> Iterator[bytes]:
    """The client's supported_versions becomes an unknown extension, so that it seems to speak TLS 1.2 at the most."""
    offered = bytes.fromhex("002b00050403040303")
    yield data.replace(offered, bytes.fromhex("fafa") + offered[2:], 1)


def test_downgrade_by_a_man_in_the_middle_is_detected(openssl: str, pki: PKI) -> None:
    """RFC 9846 4.2.3: s_server speaks TLS 1.3 and says so in the random of its TLS 1.2 ServerHello."""
    with SServer(openssl, pki.server, "-state") as server, Relay(server.port, up=hide_tls13) as port:
        with pytest.raises(trustls.PeerMisbehaved) as caught:
            connect(pki, port)
        assert caught.value.reason is trustls.Misbehaviour.DOWNGRADE_DETECTED, str(caught.value)
        server.wait_for("^SSL3 alert read:fatal:illegal parameter\n")


def test_hello_changed_on_its_way_to_an_older_server_is_a_bad_finished(openssl: str, pki: PKI) -> None:
    """A server that speaks TLS 1.2 at the most cannot warn by its random, but the Finished tells."""
    with SServer(openssl, pki.server, "-tls1_2") as server, Relay(server.port, up=hide_tls13) as port:
        with pytest.raises(trustls.AlertReceived) as caught:
            connect(pki, port)
        assert caught.value.description in {
            trustls.AlertDescription.DECRYPT_ERROR,
            trustls.AlertDescription.BAD_RECORD_MAC,
        }, "with extended master secret even the keys differ"


# -- Extended master secret, renegotiation ----------------------------------------------------------------------------


def test_server_without_extended_master_secret_is_refused(openssl: str, pki: PKI, tmp_path: Path) -> None:
    environment = openssl_without("ExtendedMasterSecret", tmp_path)
    with SServer(openssl, pki.server, "-tls1_2", "-state", environment=environment) as server:
        with pytest.raises(trustls.PeerIncompatible) as caught:
            connect(pki, server.port)
        assert caught.value.reason is trustls.Incompatibility.NO_EXTENDED_MASTER_SECRET
        server.wait_for("^SSL3 alert read:fatal:handshake failure\n")


def test_server_without_extended_master_secret_may_be_allowed(openssl: str, pki: PKI, tmp_path: Path) -> None:
    environment = openssl_without("ExtendedMasterSecret", tmp_path)
    with (
        SServer(openssl, pki.server, "-tls1_2", *asking(pki), environment=environment) as server,
        connect(pki, server.port, pki.alice, require_extended_master_secret=False) as tls,
    ):
        tls.sendall(b"hello\n")
        server.wait_for("hello\n")
        assert own_subject(tls) == "CN=alice"


@pytest.mark.parametrize("command", ["r", "R"])
def test_renegotiation_is_refused(command: str, openssl: str, pki: PKI) -> None:
    with (
        SServer(openssl, pki.server, "-tls1_2", "-msg", *asking(pki, mode="-verify")) as server,
        connect(pki, server.port) as tls,
    ):
        server.wait_for("^Secure Renegotiation IS supported\n")
        tls.sendall(b"hello\n")
        server.wait_for("hello\n")
        server.write(f"{command}\n")
        with pytest.raises(trustls.AlertReceived) as caught:
            tls.recv()
        assert caught.value.description is trustls.AlertDescription.HANDSHAKE_FAILURE, "s_server gives up then"
        server.wait_for(r"^<<< TLS 1\.2, Alert \[length 0002\], warning no_renegotiation\n")


# -- Pieces -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cut", [byte_by_byte, at_random(1), at_random(2)], ids=["bytes", "random 1", "random 2"])
def test_it_does_not_matter_how_the_network_cuts(cut: Change, openssl: str, pki: PKI) -> None:
    config = trustls.ClientConfig(roots=pki.server_roots, credentials=[pki.alice.credential])
    with (
        SServer(openssl, pki.server, "-tls1_2", "-rev", *asking(pki)) as server,
        Relay(server.port, up=cut, down=cut) as port,
    ):
        for resumed in (False, True, True):
            address = ("127.0.0.1", port)
            with trustls.connect(address, config, server_name="localhost", timeout=SECONDS) as tls:
                assert tls.connection.info.resumed is resumed
                assert own_subject(tls) == "CN=alice"
                tls.sendall(b"abc\n")
                assert recv_line(tls) == b"cba\n"


# -- Secrets ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("extended", [True, False], ids=["extended", "not extended"])
@pytest.mark.parametrize(
    "suite", ["TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"]
)
def test_key_log_has_the_line_that_openssl_writes(
    suite: str, extended: bool, openssl: str, pki: PKI, tmp_path: Path
) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    environment = None if extended else openssl_without("ExtendedMasterSecret", tmp_path)
    arguments: list[Argument] = ["-cipher", SUITES[suite], "-keylogfile", theirs, *asking(pki)]
    with (
        SServer(openssl, pki.server, "-tls1_2", *arguments, environment=environment) as server,
        trustls.KeyLogFile(ours) as key_log,
        connect(pki, server.port, pki.alice, key_log=key_log, require_extended_master_secret=False),
    ):
        server.wait_for("^CIPHER is")
    assert [line.split()[0] for line in secrets_in(theirs)] == ["CLIENT_RANDOM"]
    assert secrets_in(ours) == secrets_in(theirs), "the two key logs differ"


@pytest.mark.parametrize(
    "suite", ["TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"]
)
def test_exporter_gives_what_openssl_exports(suite: str, openssl: str, pki: PKI) -> None:
    label = "EXPORTER-trustls-test"
    exported = ["-keymatexport", label, "-keymatexportlen", "77", "-cipher", SUITES[suite]]
    with SServer(openssl, pki.server, "-tls1_2", *exported) as server, connect(pki, server.port) as tls:
        theirs = server.wait_for(r"Keying material: ([0-9A-F]+)\n")[1].decode()
        assert tls.connection.export(label, 77).hex().upper() == theirs


# -- Pages, much data, closing ----------------------------------------------------------------------------------------


def test_www_page_is_fetched_to_its_proper_end(openssl: str, pki: PKI) -> None:
    with (
        SServer(openssl, pki.server, "-tls1_2", "-www", *asking(pki)) as server,
        connect(pki, server.port, pki.alice) as tls,
    ):
        tls.sendall(b"GET / HTTP/1.0\r\n\r\n")
        page = b""
        while data := tls.recv():
            page += data
    assert page.startswith(b"HTTP/1.0 200 ok\r\n")
    assert b"New, TLSv1.2, Cipher is ECDHE-ECDSA-AES256-GCM-SHA384" in page
    assert b"CN = alice" in page or b"CN=alice" in page, "the page shows the client's certificate"


@pytest.mark.parametrize("cipher", ["ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305"])
def test_large_transfer_in_each_direction(cipher: str, openssl: str, pki: PKI, tmp_path: Path) -> None:
    content = os.urandom(TRANSFER)
    (tmp_path / "large.bin").write_bytes(content)
    cwd = Path.cwd()
    os.chdir(tmp_path)  # -WWW serves the folder in which s_server was started.
    try:
        downloads = SServer(openssl, pki.server, "-tls1_2", "-cipher", cipher, "-WWW")
    finally:
        os.chdir(cwd)
    received = bytearray()
    with downloads, connect(pki, downloads.port) as tls:
        tls.sendall(b"GET /large.bin HTTP/1.0\r\n\r\n")
        while data := tls.recv():
            received += data
    _head, _, body = bytes(received).partition(b"\r\n\r\n")
    assert hashlib.sha256(body).digest() == hashlib.sha256(content).digest(), "the download was changed"
    with SServer(openssl, pki.server, "-tls1_2", "-cipher", cipher, "-naccept", "1") as server:
        with connect(pki, server.port) as tls:
            tls.sendall(content)
        server.wait()
        arrived = content in server.stdout
    assert arrived, "the upload was changed"


def test_close_by_the_client_is_answered(openssl: str, pki: PKI) -> None:
    with SServer(openssl, pki.server, "-tls1_2", "-msg") as server, connect(pki, server.port) as tls:
        tls.sendall(b"the last line\n")
        tls.close_write()
        server.wait_for("the last line\n")
        server.wait_for(r"^<<< TLS 1\.2, Alert \[length 0002\], warning close_notify\n")
        assert tls.recv() == b"", "s_server answers with its own close_notify"
        assert tls.connection.peer_closed


def test_server_that_drops_the_connection_is_an_unexpected_eof(openssl: str, pki: PKI) -> None:
    with SServer(openssl, pki.server, "-tls1_2") as server, connect(pki, server.port) as tls:
        server.write("a line\n")
        assert recv_line(tls) == b"a line\n"
        server.kill()
        with pytest.raises(trustls.UnexpectedEOF):
            tls.recv()
