"""Headless Chromium before `trustls serve --www`: the page shows the certificate that it chose by our hints.

Its store holds alice's certificate (of K-Dot, through an intermediate) and bob's (of The Roots).
"""

from __future__ import annotations

import sys

import pytest

import trustls
from tests.interop.matrix.recording import OURS, THEIRS, VERSION
from tests.interop.matrix.scenarios import ONLY_TLS13, Role, Scenario
from tests.peers import require_peer
from tests.support.browsers import Chromium, Filter, PageFailed, rows
from tests.support.pki import PKI
from tests.support.processes import Argument, PeerProcess
from tests.support.servers import ServerSocket, ThreadedServer
from tests.support.squares import Record, chromium_version, squares
from tests.support.watching import Watch
from trustls.trace import RECEIVED, SENT
from trustls.wire.messages import CertificateMessage, CompressedCertificate

ANY: tuple[Filter, ...] = ({},)


@pytest.fixture(scope="module")
def browser(pki: PKI, tmp_path_factory: pytest.TempPathFactory) -> Chromium:
    chromium, certutil, pk12util = (require_peer(name) for name in ("chromium", "certutil", "pk12util"))
    made = Chromium(chromium, certutil, pk12util, tmp_path_factory.mktemp("chromium"), pki)
    made.add(pki.alice)
    made.add(pki.bob)
    return made


@pytest.fixture(autouse=True)
def told(record_property: Record) -> None:
    record_property(VERSION, chromium_version(require_peer("chromium")))


class Server(PeerProcess):
    """`trustls serve --www`, which trusts K-Dot and The Roots."""

    def __init__(self, pki: PKI, *arguments: Argument) -> None:
        own = ("--cert", pki.server.chain_file, "--key", pki.server.key_file, "--client-ca", pki.client_cas_file)
        super().__init__([sys.executable, "-m", "trustls", "serve", *own, "--www", "--port", "0", *arguments])
        self.port = int(self.wait_for_start(r"^listening on 127\.0\.0\.1:(\d+)")[1])


@pytest.mark.parametrize("who", ["alice", "bob"])
@squares("chromium", Scenario.CHOICE, Role.SERVER)
def test_page_shows_the_certificate_that_the_hints_ask_for(who: str, version: str, browser: Chromium, pki: PKI) -> None:
    """Chromium offers itself no certificate but those that the hints name; the setting then allows any of these."""
    named = {"alice": pki.kdot_file, "bob": pki.roots_file}[who]
    with Server(pki, "--hint", named, "--tls", version) as server:
        shown = rows(browser.page(server.port, ANY))
    assert shown["subject"] == f"CN={who}"
    assert shown["version"] == f"TLSv{version}"
    assert shown["server name"] == "localhost"


@squares("chromium", Scenario.MUTUAL, Role.SERVER)
def test_policy_chooses_by_issuer_among_what_the_hints_name(version: str, browser: Chromium, pki: PKI) -> None:
    issuer, who = {"1.2": ("The Roots Authority", "bob"), "1.3": ("K-Dot Issuing", "alice")}[version]
    with Server(pki, "--tls", version) as server:
        shown = rows(browser.page(server.port, [{"ISSUER": {"CN": issuer}}]))
    assert (shown["subject"], shown["issuer"].split(",")[0]) == (f"CN={who}", f"CN={issuer}")
    if version == "1.3":
        assert shown["key exchange"] == "X25519MLKEM768", "both sides like that one best"


@squares("chromium", Scenario.MISSING, Role.SERVER, ONLY_TLS13)
def test_no_certificate_is_sent_when_the_hints_name_no_ca_of_the_store(
    version: str, browser: Chromium, pki: PKI, record_property: Record
) -> None:
    """The alert comes after Chromium's handshake: its error depends on whether it reads it before it wants to write."""
    record_property(THEIRS, "ERR_BAD_SSL_CLIENT_AUTH_CERT, or now and then ERR_SOCKET_NOT_CONNECTED")
    with Server(pki, "--hint", pki.other_file, "--tls", version) as server:
        with pytest.raises(PageFailed):
            browser.page(server.port, ANY)
        record_property(OURS, server.wait_for("handshake failed: (no certificate was presented.*)")[1].decode())


TEXT = "a page behind a certificate"
PAGE = f"<html><body>{TEXT}</body></html>".encode()


def give_page(tls: ServerSocket) -> None:
    """Answer one request, whatever it is for. Chromium opens connections ahead that it does not use."""
    request = b""
    while b"\r\n\r\n" not in request:
        data = tls.recv()
        if not data:
            return
        request += data
    head = f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {len(PAGE)}\r\nConnection: close\r\n\r\n"
    tls.sendall(head.encode() + PAGE)


@pytest.mark.parametrize("algorithm", ["brotli", "zlib"])
def test_certificate_is_compressed_where_chromium_has_the_algorithm(
    algorithm: str, browser: Chromium, pki: PKI
) -> None:
    """It has brotli alone (RFC 8879), and sends its own certificate as it is."""
    if algorithm == "brotli":
        pytest.importorskip("brotli")
    config = trustls.ServerConfig(
        credentials=[pki.server.credential], client_auth=pki.required(), certificate_compression=[algorithm]
    )
    with Watch() as watch, ThreadedServer(config, give_page) as server:
        assert TEXT in browser.page(server.port, ANY)
    events = watch.take()
    received = {type(one.message) for one in events if one.direction == RECEIVED}
    sent = {type(one.message) for one in events if one.direction == SENT}
    assert CertificateMessage in received
    assert CompressedCertificate not in received
    assert (CompressedCertificate in sent, CertificateMessage in sent) == (algorithm == "brotli", algorithm == "zlib")
