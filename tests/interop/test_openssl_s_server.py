"""`openssl s_server` as the trustls client sees it."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

import trustls
from tests.support.pki import KEY_TYPES, PKI, Identity
from tests.support.processes import SECONDS, Argument, PeerProcess
from tests.support.relays import Change, Relay, at_random, byte_by_byte
from trustls.cli.pki import KeyType

SUITES = ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256")
TRANSFER = 4 << 20

ClientSocket = trustls.TLSSocket[trustls.ClientConnection]


class SServer(PeerProcess):
    """`openssl s_server` on a free port of loopback."""

    def __init__(self, openssl: str, identity: Identity, *arguments: Argument) -> None:
        own: list[Argument] = ["-cert", identity.leaf_file, "-key", identity.key_file]
        if identity.intermediates_file is not None:
            own += ["-cert_chain", identity.intermediates_file]
        super().__init__([openssl, "s_server", "-accept", "127.0.0.1:0", *own, *arguments])
        self.port = int(self.wait_for_start(r"^ACCEPT 127\.0\.0\.1:(\d+)\n")[1])


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


# -- CA hints and client certificates ---------------------------------------------------------------------------------


def test_names_of_s_server_are_read_in_their_order(openssl: str, pki: PKI) -> None:
    with SServer(openssl, pki.server, *asking(pki)) as server, connect(pki, server.port, pki.alice) as tls:
        requested = tls.connection.requested
    assert requested is not None, "s_server has asked for a certificate"
    assert requested.authorities == pki.client_ca_names, "the names are those of -CAfile, byte for byte and in order"
    assert trustls.SignatureScheme.ECDSA_SECP256R1_SHA256 in requested.signature_schemes


def test_names_may_differ_from_what_s_server_trusts(openssl: str, pki: PKI) -> None:
    arguments = [*asking(pki, cas=pki.roots_file), "-verifyCAfile", pki.client_cas_file]
    with (
        SServer(openssl, pki.server, *arguments) as server,
        connect(pki, server.port, pki.alice, pki.bob) as tls,
    ):
        assert tls.connection.requested is not None
        assert tls.connection.requested.authorities == (pki.roots_name,)
        assert own_subject(tls) == "CN=bob", "alice is no match for the one name that came"


def test_nothing_is_requested_by_a_server_that_does_not_ask(openssl: str, pki: PKI) -> None:
    with SServer(openssl, pki.server) as server, connect(pki, server.port, pki.alice) as tls:
        assert tls.connection.requested is None
        assert own_subject(tls) is None, "a certificate was presented that nobody asked for"


@pytest.mark.parametrize(("ca", "chosen"), [("kdot", "CN=alice"), ("roots", "CN=bob"), ("client_cas", "CN=bob")])
def test_client_presents_the_first_certificate_that_fits_the_names(
    ca: str, chosen: str, openssl: str, pki: PKI
) -> None:
    cas = {"kdot": pki.kdot_file, "roots": pki.roots_file, "client_cas": pki.client_cas_file}[ca]
    with SServer(openssl, pki.server, *asking(pki, cas=cas)) as server:
        with connect(pki, server.port, pki.mallory, pki.bob, pki.alice) as tls:
            assert own_subject(tls) == chosen, "in the client's order, the first that was issued below a named CA"
            server.wait_for("^Client certificate\n")
            subject = server.wait_for("^subject=(.*)\n")[1].decode()
        assert subject.replace(" = ", "=") == chosen, "s_server saw another certificate"


def test_client_presents_its_chain(openssl: str, pki: PKI) -> None:
    with SServer(openssl, pki.server, *asking(pki)) as server, connect(pki, server.port, pki.alice):
        depths = [server.wait_for(r"^depth=(\d) ")[1] for _ in range(3)]
        assert depths == [b"2", b"1", b"0"], "s_server did not get from the leaf to the root"


def test_client_presents_none_when_none_fits(openssl: str, pki: PKI) -> None:
    with (
        SServer(openssl, pki.server, *asking(pki, mode="-verify", cas=pki.roots_file)) as server,
        connect(pki, server.port, pki.mallory, pki.alice) as tls,
    ):
        assert own_subject(tls) is None, "neither was issued below The Roots"
        tls.sendall(b"still here\n")
        server.wait_for("^still here\n")
        assert "Client certificate" not in server.output


def test_server_that_requires_a_certificate_refuses_a_client_that_has_none_to_fit(openssl: str, pki: PKI) -> None:
    with (
        SServer(openssl, pki.server, *asking(pki, cas=pki.roots_file)) as server,
        connect(pki, server.port, pki.mallory, pki.alice) as tls,
    ):
        with pytest.raises(trustls.AlertReceived, match="requires a client certificate and got none") as caught:
            tls.recv()
        assert caught.value.description is trustls.AlertDescription.CERTIFICATE_REQUIRED
        assert "peer did not return a certificate" in server.wait_for("error:0A0000C7:.*")[0].decode()


def test_first_certificate_is_presented_when_no_names_came(openssl: str, pki: PKI) -> None:
    arguments: list[Argument] = ["-verify", "3", "-verifyCAfile", pki.client_cas_file, "-no-CAfile", "-no-CApath"]
    with (
        SServer(openssl, pki.server, *arguments) as server,
        connect(pki, server.port, pki.mallory, pki.alice) as tls,
    ):
        assert tls.connection.requested is not None
        assert tls.connection.requested.authorities == (), "no extension came"
        assert own_subject(tls) == "CN=mallory", "without names the first certificate will do"


def test_fallback_certificate_is_presented_although_it_does_not_fit(openssl: str, pki: PKI) -> None:
    fallback = trustls.Credential(pki.mallory.issued.chain, pki.mallory.issued.key, fallback=True)
    config = trustls.ClientConfig(roots=pki.server_roots, credentials=[fallback])
    with (
        SServer(openssl, pki.server, *asking(pki)) as server,
        trustls.connect(("127.0.0.1", server.port), config, server_name="localhost", timeout=SECONDS) as tls,
    ):
        assert own_subject(tls) == "CN=mallory"
        with pytest.raises(trustls.AlertReceived) as caught:
            tls.recv()
        assert caught.value.description is trustls.AlertDescription.UNKNOWN_CA, "s_server says why it refuses"


def test_callback_chooses_the_certificate(openssl: str, pki: PKI) -> None:
    asked: list[trustls.CredentialRequest] = []

    def choose(
        what_came: trustls.CredentialRequest, what_there_is: tuple[trustls.Credential, ...]
    ) -> trustls.Credential | None:
        asked.append(what_came)
        return what_there_is[-1]

    with (
        SServer(openssl, pki.server, *asking(pki)) as server,
        connect(pki, server.port, pki.alice, pki.bob, choose_credential=choose) as tls,
    ):
        assert own_subject(tls) == "CN=bob"
        assert asked[0].authorities == pki.client_ca_names


@pytest.mark.parametrize("key_type", KEY_TYPES)
def test_client_certificate_of_each_kind_of_key(key_type: KeyType, openssl: str, pki: PKI) -> None:
    identity = pki.client_with(key_type)
    kinds = {KeyType.RSA_2048: "RSA-PSS", KeyType.ED25519: "ed25519"}
    with SServer(openssl, pki.server, *asking(pki)) as server, connect(pki, server.port, identity) as tls:
        assert own_subject(tls) == f"CN=client-{key_type}"
        server.wait_for(f"^Peer signature type: {kinds.get(key_type, 'ECDSA')}\n")


@pytest.mark.parametrize("key_type", KEY_TYPES)
def test_server_certificate_of_each_kind_of_key(key_type: KeyType, openssl: str, pki: PKI) -> None:
    identity = pki.server_with(key_type)
    with SServer(openssl, identity) as server, connect(pki, server.port) as tls:
        peer = tls.connection.peer
    assert peer is not None
    assert peer.certificate == identity.certificate
    assert str(peer.verified[-1].subject) == "CN=Server Root,O=Servers", "the chain ends at our root"


# -- Server certificates that are refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "problem", "alert"),
    [
        ("expired", trustls.CertificateProblem.EXPIRED, "certificate expired"),
        ("wrong name", trustls.CertificateProblem.NAME_MISMATCH, "bad certificate"),
        ("unknown CA", trustls.CertificateProblem.UNKNOWN_ISSUER, "unknown CA"),
        ("no intermediate", trustls.CertificateProblem.UNKNOWN_ISSUER, "unknown CA"),
        ("client usage", trustls.CertificateProblem.WRONG_PURPOSE, "unsupported certificate"),
    ],
)
def test_bad_server_certificate_is_refused_with_its_alert(
    fault: str, problem: trustls.CertificateProblem, alert: str, openssl: str, pki: PKI
) -> None:
    identity: Callable[[], Identity] = {
        "expired": lambda: pki.expired_server,
        "wrong name": lambda: pki.server_for("elsewhere.example"),
        "unknown CA": lambda: pki.server_of_other,
        "no intermediate": lambda: without_intermediates(pki.server),
        "client usage": lambda: pki.server_with_client_usage,
    }[fault]
    with SServer(openssl, identity(), "-state") as server:
        with pytest.raises(trustls.CertificateRejected) as caught:
            connect(pki, server.port, pki.alice)
        server.wait_for(f"^SSL3 alert read:fatal:{alert}\n")
    assert caught.value.reason is problem, f"refused for another reason: {caught.value}"


def without_intermediates(identity: Identity) -> Identity:
    """The same, but what is sent is the leaf alone."""
    return Identity(
        identity.issued, identity.leaf_file, identity.leaf_file, None, identity.key_file, identity.credential
    )


def test_no_client_certificate_is_sent_to_a_server_that_is_refused(openssl: str, pki: PKI) -> None:
    with SServer(openssl, pki.server_of_other, "-msg", *asking(pki)) as server:
        with pytest.raises(trustls.CertificateRejected):
            connect(pki, server.port, pki.alice)
        server.wait_for(r"^<<< TLS 1\.3, Alert \[length 0002\], fatal unknown_ca")
        received = re.findall(r"^<<< TLS 1\.3, Handshake .*, (\w+)$", server.output, re.MULTILINE)
    assert received == ["ClientHello"], f"who is refused must not learn our certificate, but got {received}"


def test_address_as_server_name_is_checked_and_not_sent(openssl: str, pki: PKI) -> None:
    """RFC 6066 3: literal addresses are no server names."""
    with SServer(openssl, pki.server, "-tlsextdebug") as server:
        with connect(pki, server.port, server_name="127.0.0.1") as tls:
            assert tls.connection.info.server_name is None
            server.wait_for("^CIPHER is")
        with pytest.raises(trustls.CertificateRejected) as caught:
            connect(pki, server.port, server_name="127.0.0.2")
        assert caught.value.reason is trustls.CertificateProblem.NAME_MISMATCH
        assert 'extension "server name"' not in server.output


# -- Negotiation ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suite", SUITES)
def test_each_cipher_suite(suite: str, openssl: str, pki: PKI) -> None:
    with SServer(openssl, pki.server, "-ciphersuites", suite) as server, connect(pki, server.port) as tls:
        assert tls.connection.info.suite.iana == suite
        tls.sendall(b"hello\n")
        server.wait_for("^hello\n")


@pytest.mark.parametrize(
    ("group", "openssl_group"), [("secp256r1", "P-256"), ("secp384r1", "P-384"), ("secp521r1", "P-521")]
)
def test_hello_retry_that_s_server_forces(group: str, openssl_group: str, openssl: str, pki: PKI) -> None:
    with (
        SServer(openssl, pki.server, "-msg", "-groups", openssl_group, *asking(pki)) as server,
        connect(pki, server.port, pki.alice) as tls,
    ):
        info = tls.connection.info
        tls.sendall(b"hello\n")
        server.wait_for("^hello\n")
        hellos = re.findall(r"^<<< TLS 1\.3, Handshake .* ClientHello$", server.output, re.MULTILINE)
    assert (info.group.iana, info.retried) == (group, True)
    assert len(hellos) == 2, "s_server must have seen two ClientHellos"
    assert own_subject(tls) == "CN=alice", "client authentication works after a retry too"


def test_no_retry_when_the_share_is_right(openssl: str, pki: PKI) -> None:
    """X25519 comes with the hybrid's share, so that a server without ML-KEM needs no second round trip."""
    with SServer(openssl, pki.server) as server, connect(pki, server.port) as tls:
        assert (tls.connection.info.group.iana, tls.connection.info.retried) == ("x25519", False)


def test_cookie_of_a_stateless_server_is_sent_back(openssl: str, pki: PKI) -> None:
    """The relay is for OpenSSL 3.0, whose -stateless fails, with its own s_client too, at a change_cipher_spec."""

    def without_change_cipher_spec(data: bytes) -> Iterator[bytes]:
        yield data.replace(bytes.fromhex("140303000101"), b"", 1)

    with (
        SServer(openssl, pki.server, "-stateless") as server,
        Relay(server.port, up=without_change_cipher_spec) as port,
        connect(pki, port) as tls,
    ):
        assert tls.connection.info.retried, "-stateless answers the first ClientHello with a cookie"
        tls.sendall(b"hello\n")
        server.wait_for("^hello\n")


def test_alpn(openssl: str, pki: PKI) -> None:
    with (
        SServer(openssl, pki.server, "-alpn", "http/1.1,h2") as server,
        connect(pki, server.port, alpn=["h2", "http/1.1"]) as tls,
    ):
        assert tls.connection.info.alpn == "http/1.1", "the server's preference decides"


def test_alpn_with_nothing_in_common_is_refused(openssl: str, pki: PKI) -> None:
    with SServer(openssl, pki.server, "-alpn", "spdy/1") as server:
        with pytest.raises(trustls.AlertReceived, match="application protocols offered") as caught:
            connect(pki, server.port, alpn=["h2"])
        assert caught.value.description is trustls.AlertDescription.NO_APPLICATION_PROTOCOL


@pytest.mark.parametrize("tickets", [0, 1, 20])
def test_session_tickets_are_tolerated(tickets: int, openssl: str, pki: PKI) -> None:
    with (
        SServer(openssl, pki.server, "-msg", "-num_tickets", str(tickets)) as server,
        connect(pki, server.port) as tls,
    ):
        tls.sendall(b"hello\n")
        server.wait_for("^hello\n")
        server.write("hi\n")
        assert recv_line(tls) == b"hi\n"
        sent = re.findall(r"^>>> TLS 1\.3, Handshake .* NewSessionTicket$", server.output, re.MULTILINE)
        assert len(sent) == tickets, "s_server sent another number of tickets than this test is about"


# -- Older versions ---------------------------------------------------------------------------------------------------


def test_server_of_tls12_alone_is_refused_in_words(openssl: str, pki: PKI) -> None:
    with SServer(openssl, pki.server, "-tls1_2") as server:
        with pytest.raises(trustls.AlertReceived, match="does not speak a TLS version that was offered") as caught:
            connect(pki, server.port, versions=["1.3"])
        assert caught.value.description is trustls.AlertDescription.PROTOCOL_VERSION


def hide_tls13(data: bytes) -> Iterator[bytes]:
    """The client's supported_versions becomes an unknown extension, its last suite one of TLS 1.2."""
    data = data.replace(bytes.fromhex("002b0003020304"), bytes.fromhex("fafa0003020304"))
    yield data.replace(bytes.fromhex("13021303"), bytes.fromhex("1302c02b"), 1)


def test_downgrade_by_a_man_in_the_middle_is_detected(openssl: str, pki: PKI) -> None:
    """RFC 9846 4.2.3: s_server speaks TLS 1.3 and says so in the random of its TLS 1.2 ServerHello."""
    suites = ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"]
    with SServer(openssl, pki.server, "-state") as server, Relay(server.port, up=hide_tls13) as port:
        with pytest.raises(trustls.PeerMisbehaved) as caught:
            connect(pki, port, suites=suites, groups=["x25519", "secp256r1"])
        assert caught.value.reason is trustls.Misbehaviour.DOWNGRADE_DETECTED, str(caught.value)
        server.wait_for("^SSL3 alert read:fatal:illegal parameter\n")


def test_server_that_settles_for_tls12_is_refused_in_words(openssl: str, pki: PKI) -> None:
    """The same way, but to a server that knows no better: not a downgrade, and no version in common."""
    suites = ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"]
    with SServer(openssl, pki.server, "-state", "-tls1_2") as server, Relay(server.port, up=hide_tls13) as port:
        with pytest.raises(trustls.PeerIncompatible, match=r"server chose TLSv1\.2.*TLSv1\.3") as caught:
            connect(pki, port, suites=suites, groups=["x25519", "secp256r1"])
        assert caught.value.reason is trustls.Incompatibility.NO_COMMON_VERSION
        server.wait_for("^SSL3 alert read:fatal:protocol version\n")


# -- Secrets ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suite", SUITES)
def test_key_log_has_the_lines_that_openssl_writes(suite: str, openssl: str, pki: PKI, tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    arguments: list[Argument] = ["-ciphersuites", suite, "-keylogfile", theirs, *asking(pki)]
    with (
        SServer(openssl, pki.server, *arguments) as server,
        trustls.KeyLogFile(ours) as key_log,
        connect(pki, server.port, pki.alice, key_log=key_log),
    ):
        server.wait_for("^CIPHER is")
    expected = sorted(line for line in theirs.read_text().splitlines() if not line.startswith("#"))
    assert len(expected) == 5, f"OpenSSL wrote {len(expected)} secrets instead of 5"
    assert sorted(ours.read_text().splitlines()) == expected, "the two key logs differ"


@pytest.mark.parametrize("suite", SUITES)
def test_exporter_gives_what_openssl_exports(suite: str, openssl: str, pki: PKI) -> None:
    label = "EXPORTER-trustls-test"
    exported = ["-keymatexport", label, "-keymatexportlen", "77", "-ciphersuites", suite]
    with SServer(openssl, pki.server, *exported) as server, connect(pki, server.port) as tls:
        theirs = server.wait_for(r"Keying material: ([0-9A-F]+)\n")[1].decode()
        assert tls.connection.export(label, 77).hex().upper() == theirs


# -- KeyUpdate --------------------------------------------------------------------------------------------------------

SENT_UPDATE = r"^>>> TLS 1\.3, Handshake .* KeyUpdate$"
RECEIVED_UPDATE = r"^<<< TLS 1\.3, Handshake .* KeyUpdate$"


def exchange_lines(server: SServer, tls: ClientSocket, turn: int) -> None:
    """A line each way; our side reads first, and so takes whatever else the server has sent."""
    server.write(f"from the server {turn}\n")
    assert recv_line(tls) == f"from the server {turn}\n".encode()
    tls.sendall(f"from the client {turn}\n".encode())
    server.wait_for(f"^from the client {turn}\n")


@pytest.mark.parametrize("command", ["K", "k"])
def test_data_flows_after_s_server_updates_its_key(command: str, openssl: str, pki: PKI) -> None:
    with SServer(openssl, pki.server, "-msg") as server, connect(pki, server.port) as tls:
        server.wait_for("^CIPHER is")
        exchange_lines(server, tls, 0)
        for turn in (1, 2, 3):
            server.write(f"{command}\n")
            server.wait_for(SENT_UPDATE)
            exchange_lines(server, tls, turn)
        answers = len(re.findall(RECEIVED_UPDATE, server.output, re.MULTILINE))
    assert answers == (3 if command == "K" else 0), "K asks for an update in return, k does not"


@pytest.mark.parametrize("request_peer", [True, False], ids=["both", "own"])
def test_data_flows_after_the_client_updates_its_key(request_peer: bool, openssl: str, pki: PKI) -> None:
    with SServer(openssl, pki.server, "-msg") as server, connect(pki, server.port) as tls:
        server.wait_for("^CIPHER is")
        for turn in range(3):
            tls.update_keys(request_peer=request_peer)
            server.wait_for(RECEIVED_UPDATE)
            exchange_lines(server, tls, turn)
        answers = len(re.findall(SENT_UPDATE, server.output, re.MULTILINE))
    assert answers == (3 if request_peer else 0), "s_server answers what it is asked for"


# -- Delivery ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("split", [byte_by_byte, at_random(1), at_random(2)], ids=["bytes", "random 1", "random 2"])
def test_delivery_in_pieces_gives_the_same_result(split: Change, openssl: str, pki: PKI) -> None:
    """With a HelloRetryRequest, client authentication, tickets and a KeyUpdate in it."""
    with (
        SServer(openssl, pki.server, "-msg", "-groups", "P-256", *asking(pki)) as server,
        Relay(server.port, up=split, down=split) as port,
        connect(pki, port, pki.alice) as tls,
    ):
        assert own_subject(tls) == "CN=alice"
        assert tls.connection.info.retried
        server.wait_for("^CIPHER is")
        tls.update_keys()
        exchange_lines(server, tls, 1)
        server.write("K\n")
        server.wait_for(SENT_UPDATE)
        exchange_lines(server, tls, 2)


# -- Pages, much data, closing ----------------------------------------------------------------------------------------


def test_www_page_is_fetched_to_its_proper_end(openssl: str, pki: PKI) -> None:
    with (
        SServer(openssl, pki.server, "-www", *asking(pki)) as server,
        connect(pki, server.port, pki.alice) as tls,
    ):
        tls.sendall(b"GET / HTTP/1.0\r\n\r\n")
        page = b""
        while data := tls.recv():
            page += data
    assert page.startswith(b"HTTP/1.0 200 ok\r\n")
    assert b"New, TLSv1.3, Cipher is TLS_" in page
    assert b"CN = alice" in page or b"CN=alice" in page, "the page shows the client's certificate"


def test_large_download(openssl: str, pki: PKI, tmp_path: Path) -> None:
    content = os.urandom(TRANSFER)
    (tmp_path / "large.bin").write_bytes(content)
    cwd = Path.cwd()
    os.chdir(tmp_path)  # -HTTP serves the folder in which s_server was started.
    try:
        server = SServer(openssl, pki.server, "-WWW")
    finally:
        os.chdir(cwd)
    received = bytearray()
    with server, connect(pki, server.port) as tls:
        tls.sendall(b"GET /large.bin HTTP/1.0\r\n\r\n")
        while data := tls.recv():
            received += data
    _head, _, body = bytes(received).partition(b"\r\n\r\n")
    assert len(body) == TRANSFER, "all of the file, and then a proper end"
    assert hashlib.sha256(body).digest() == hashlib.sha256(content).digest()


def test_large_upload(openssl: str, pki: PKI) -> None:
    content = os.urandom(TRANSFER)
    with SServer(openssl, pki.server, "-naccept", "1") as server:
        with connect(pki, server.port) as tls:
            tls.sendall(content)
        server.wait()
        arrived = content in server.stdout
        assert arrived, f"of {TRANSFER} bytes, s_server did not print all, or others"


def test_close_by_the_client_is_answered(openssl: str, pki: PKI) -> None:
    with SServer(openssl, pki.server, "-msg") as server, connect(pki, server.port) as tls:
        tls.sendall(b"the last line\n")
        tls.close_write()
        server.wait_for("^the last line\n")
        server.wait_for(r"^<<< TLS 1\.3, Alert \[length 0002\], warning close_notify\n")
        assert tls.recv() == b"", "s_server answers with its own close_notify"
        assert tls.connection.peer_closed


def test_server_that_drops_the_connection_is_an_unexpected_eof(openssl: str, pki: PKI) -> None:
    """The command Q closes the socket without a close_notify, in OpenSSL 3.0 at least."""
    with SServer(openssl, pki.server) as server, connect(pki, server.port) as tls:
        server.write("a line\n")
        assert recv_line(tls) == b"a line\n"
        server.kill()
        with pytest.raises(trustls.UnexpectedEOF):
            tls.recv()
