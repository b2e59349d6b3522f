"""nginx: as a TLS terminator that the trustls client connects to, and as a client to an upstream of trustls.

It verifies client certificates after the handshake: who has the wrong one, or none, gets a page of status 400 rather
than an alert. Its `http` module tells what it knows of the client; bytes go through its `stream` module.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

import trustls
from tests.interop.matrix.recording import OURS, THEIRS, VERSION
from tests.interop.matrix.scenarios import ONLY_TLS13, VERSIONS, Role, Scenario
from tests.interop.matrix.talking import LARGE
from tests.peers import require_peer
from tests.support.pki import PKI, Identity
from tests.support.proxies import (
    HOST,
    OTHER_KEYS,
    EchoBackend,
    Nginx,
    client_config,
    connected,
    echo_through,
    facts,
    free_port,
    get_in_the_clear,
    key_updates,
    page_of,
    serving,
)
from tests.support.servers import SECONDS, ServerSocket, echo
from tests.support.squares import Record, nginx_version, squares
from tests.support.watching import Watch
from trustls.cli.pki import KeyType

_PAGE = "".join(
    rf"{name}=$ssl_{variable}\n"
    for name, variable in {
        "version": "protocol",
        "verify": "client_verify",
        "client": "client_s_dn",
        "resumed": "session_reused",
        "alpn": "alpn_protocol",
    }.items()
)

nginx_squares = partial(squares, "nginx")


@dataclass(frozen=True)
class Setup:
    """nginx and what its configurations are made of."""

    command: str
    folder: Path
    pki: PKI

    def page(self, port: int, version: str, *directives: str, identity: Identity | None = None) -> str:
        """A TLS server, in the http module, whose one page tells what it knows of the connection."""
        return f"{self._terminator(port, version, *directives, identity=identity)} return 200 '{_PAGE}'; }}\n"

    def pipe(self, port: int, version: str, backend: int) -> str:
        """A TLS server, in the stream module, that passes on what comes to a backend in the clear."""
        return f"{self._terminator(port, version)} proxy_pass {HOST}:{backend}; }}\n"

    def _terminator(self, port: int, version: str, *directives: str, identity: Identity | None = None) -> str:
        own = identity or self.pki.server
        return (
            f"server {{ listen {HOST}:{port} ssl; ssl_protocols TLSv{version}; "
            f"ssl_certificate {own.chain_file}; ssl_certificate_key {own.key_file}; {' '.join(directives)}"
        )

    def verifying(self, authorities: Path | None = None) -> str:
        """Directives that demand a client certificate, of these CAs, and name them."""
        named = authorities or self.pki.client_cas_file
        return f"ssl_verify_client on; ssl_verify_depth 3; ssl_client_certificate {named};"

    def to_upstream(
        self, port: int, upstream: int, version: str, identity: Identity | None = None, *, http: bool = True
    ) -> str:
        """A plain server, of either module, that passes on what comes to a server of trustls, whom it verifies."""
        own = ""
        if identity is not None:
            own = f"proxy_ssl_certificate {identity.chain_file}; proxy_ssl_certificate_key {identity.key_file};"
        settings = (
            f"proxy_ssl_protocols TLSv{version}; proxy_ssl_name localhost; proxy_ssl_server_name on; "
            "proxy_ssl_verify on; proxy_ssl_verify_depth 3; "
            f"proxy_ssl_trusted_certificate {self.pki.server_root_file}; {own}"
        )
        if http:
            settings += f"location / {{ proxy_pass https://{HOST}:{upstream}; }}"
            return f"server {{ listen {HOST}:{port}; {settings} }}\n"
        return f"server {{ listen {HOST}:{port}; proxy_pass {HOST}:{upstream}; proxy_ssl on; {settings} }}\n"

    def start(self, *, http: str = "", stream: str = "") -> Nginx:
        """nginx with these servers."""
        return Nginx(self.command, self.folder, http=http, stream=stream)


@pytest.fixture
def nginx(pki: PKI, tmp_path: Path, record_property: Record) -> Setup:
    command = require_peer("nginx")
    record_property(VERSION, nginx_version(command))
    return Setup(command, tmp_path, pki)


# -- Handshake --------------------------------------------------------------------------------------------------------


@nginx_squares(Scenario.HANDSHAKE, Role.CLIENT)
def test_client_gets_a_page(version: str, nginx: Setup, pki: PKI) -> None:
    port = free_port()
    with nginx.start(http=nginx.page(port, version)):
        connection, status, page = page_of(port, client_config(pki, version, versions=VERSIONS, alpn=["http/1.1"]))
    told = facts(page)
    assert status == 200
    assert (told["version"], told["alpn"], told["client"]) == (f"TLSv{version}", "http/1.1", "")
    assert connection.info.alpn == "http/1.1"
    assert connection.peer is not None
    assert connection.peer.certificate == pki.server.certificate
    assert connection.requested is None, "nginx asks for no certificate here"


@nginx_squares(Scenario.HANDSHAKE, Role.SERVER)
def test_upstream_answers(version: str, nginx: Setup, pki: PKI) -> None:
    port = free_port()
    with serving(pki, version, versions=VERSIONS) as server:
        with nginx.start(http=nginx.to_upstream(port, server.port, version)):
            assert get_in_the_clear(port) == (200, "client=\n")
        info = server.outcome().connection.info
    assert (str(info.version), info.server_name) == (f"TLSv{version}", "localhost")


@nginx_squares(Scenario.KEY_TYPES, Role.CLIENT)
def test_client_with_other_keys(version: str, nginx: Setup, pki: PKI) -> None:
    for key_type in OTHER_KEYS:
        check_client_with(key_type, version, nginx, pki)


@nginx_squares(Scenario.ED25519, Role.CLIENT)
def test_client_with_ed25519(version: str, nginx: Setup, pki: PKI) -> None:
    check_client_with(KeyType.ED25519, version, nginx, pki)


def check_client_with(key_type: KeyType, version: str, nginx: Setup, pki: PKI) -> None:
    """Both sides have such a key."""
    port = free_port()
    own = pki.server_with(key_type)
    with nginx.start(http=nginx.page(port, version, nginx.verifying(), identity=own)):
        connection, status, page = page_of(port, client_config(pki, version, pki.client_with(key_type)))
    assert (status, facts(page)["client"]) == (200, f"CN=client-{key_type}"), page
    assert connection.peer is not None
    assert connection.peer.certificate == own.certificate


@nginx_squares(Scenario.KEY_TYPES, Role.SERVER)
def test_upstream_with_other_keys(version: str, nginx: Setup, pki: PKI) -> None:
    for key_type in OTHER_KEYS:
        check_upstream_with(key_type, version, nginx, pki)


@nginx_squares(Scenario.ED25519, Role.SERVER)
def test_upstream_with_ed25519(version: str, nginx: Setup, pki: PKI) -> None:
    check_upstream_with(KeyType.ED25519, version, nginx, pki)


def check_upstream_with(key_type: KeyType, version: str, nginx: Setup, pki: PKI) -> None:
    """Both sides have such a key."""
    port = free_port()
    credentials = [pki.server_with(key_type).credential]
    with (
        serving(pki, version, credentials=credentials, client_auth=pki.required()) as server,
        nginx.start(http=nginx.to_upstream(port, server.port, version, pki.client_with(key_type))),
    ):
        assert get_in_the_clear(port) == (200, f"client=CN=client-{key_type}\n")


# -- Client certificates ----------------------------------------------------------------------------------------------


@nginx_squares(Scenario.MUTUAL, Role.CLIENT)
def test_client_is_known_by_its_certificate(version: str, nginx: Setup, pki: PKI) -> None:
    port = free_port()
    with nginx.start(http=nginx.page(port, version, nginx.verifying())):
        connection, status, page = page_of(port, client_config(pki, version, pki.alice))
    told = facts(page)
    assert (status, told["verify"], told["client"]) == (200, "SUCCESS", "CN=alice")
    assert connection.presented is pki.alice.credential
    assert connection.requested is not None
    assert connection.requested.authorities == pki.client_ca_names, "nginx names the CAs of ssl_client_certificate"


@nginx_squares(Scenario.MUTUAL, Role.SERVER)
def test_upstream_knows_nginx_by_its_certificate(version: str, nginx: Setup, pki: PKI) -> None:
    port = free_port()
    with serving(pki, version, client_auth=pki.required()) as server:
        with nginx.start(http=nginx.to_upstream(port, server.port, version, pki.alice)):
            assert get_in_the_clear(port) == (200, "client=CN=alice\n")
        peer = server.outcome().peer
    assert peer.certificate == pki.alice.certificate
    assert len(peer.verified) == 3, "alice, her intermediate and K-Dot"


@nginx_squares(Scenario.CHOICE, Role.CLIENT)
def test_client_chooses_by_the_names_that_nginx_sends(version: str, nginx: Setup, pki: PKI) -> None:
    """Both CAs are trusted for each port; only one is named."""
    ports = free_port(), free_port()
    files = (pki.roots_file, pki.kdot_file)
    pages = [
        nginx.page(port, version, nginx.verifying(file), f"ssl_trusted_certificate {pki.client_cas_file};")
        for port, file in zip(ports, files, strict=True)
    ]
    config = client_config(pki, version, pki.alice, pki.bob, sessions=None)
    with nginx.start(http="".join(pages)):
        for port, name, expected in zip(ports, (pki.roots_name, pki.kdot_name), (pki.bob, pki.alice), strict=True):
            connection, status, page = page_of(port, config)
            assert connection.requested is not None
            assert connection.requested.authorities == (name,), "nginx named another CA than it was given"
            assert connection.presented is expected.credential
            assert (status, facts(page)["client"]) == (200, expected.credential.certificate.subject.rfc4514())


@nginx_squares(Scenario.OPTIONAL, Role.CLIENT)
def test_client_without_certificate_where_it_is_optional(version: str, nginx: Setup, pki: PKI) -> None:
    port = free_port()
    with nginx.start(
        http=nginx.page(port, version, "ssl_verify_client optional;", f"ssl_client_certificate {pki.client_cas_file};")
    ):
        connection, status, page = page_of(port, client_config(pki, version))
    assert connection.requested is not None, "nginx does not ask for a certificate"
    assert connection.presented is None
    assert (status, facts(page)["client"]) == (200, "")


@nginx_squares(Scenario.OPTIONAL, Role.SERVER)
def test_nginx_without_certificate_where_it_is_optional(version: str, nginx: Setup, pki: PKI) -> None:
    port = free_port()
    with (
        serving(pki, version, client_auth=trustls.ClientAuth.optional(pki.client_roots)) as server,
        nginx.start(http=nginx.to_upstream(port, server.port, version)),
    ):
        assert get_in_the_clear(port) == (200, "client=\n")


@nginx_squares(Scenario.NO_NAMES, Role.CLIENT)
def test_client_answers_a_request_without_names(version: str, nginx: Setup, pki: PKI) -> None:
    """nginx trusts nobody here, and leaves it to an application to judge the certificate."""
    port = free_port()
    with nginx.start(http=nginx.page(port, version, "ssl_verify_client optional_no_ca;")):
        connection, status, page = page_of(port, client_config(pki, version, pki.alice))
    assert connection.requested is not None
    assert connection.requested.authorities == ()
    assert (status, facts(page)["client"]) == (200, "CN=alice")


@nginx_squares(Scenario.NO_NAMES, Role.SERVER)
def test_nginx_answers_a_request_without_names(version: str, nginx: Setup, pki: PKI) -> None:
    port = free_port()
    with (
        serving(pki, version, client_auth=pki.required(hints=())) as server,
        nginx.start(http=nginx.to_upstream(port, server.port, version, pki.alice)),
    ):
        assert get_in_the_clear(port) == (200, "client=CN=alice\n")


@nginx_squares(Scenario.WRONG, Role.CLIENT)
def test_nginx_refuses_the_wrong_certificate(version: str, nginx: Setup, pki: PKI, record_property: Record) -> None:
    port = free_port()
    mallory = pki.mallory.credential
    config = client_config(pki, version, pki.mallory, choose_credential=lambda *_: mallory)
    with nginx.start(http=nginx.page(port, version, nginx.verifying())) as server:
        connection, status, page = page_of(port, config)
        reason = server.wait_for(r"client SSL certificate verify error: (.*?) while reading")[1].decode()
    record_property(OURS, "(the handshake succeeds)")
    record_property(THEIRS, f"status 400 in HTTP; log: client SSL certificate verify error: {reason}")
    assert connection.presented is mallory
    assert status == 400
    assert "The SSL certificate error" in page


@nginx_squares(Scenario.WRONG, Role.SERVER)
def test_upstream_refuses_the_wrong_certificate(version: str, nginx: Setup, pki: PKI, record_property: Record) -> None:
    error = refused_upstream(version, nginx, pki, pki.mallory, "alert unknown ca", record_property)
    assert error.reason is trustls.CertificateProblem.UNKNOWN_ISSUER


@nginx_squares(Scenario.MISSING, Role.CLIENT)
def test_nginx_refuses_a_client_without_certificate(
    version: str, nginx: Setup, pki: PKI, record_property: Record
) -> None:
    port = free_port()
    with nginx.start(http=nginx.page(port, version, nginx.verifying())) as server:
        # What this client holds does not fit the names, so that it sends none.
        connection, status, page = page_of(port, client_config(pki, version, pki.mallory))
        server.wait_for("client sent no required SSL certificate")
    record_property(OURS, "(the handshake succeeds)")
    record_property(THEIRS, "status 400 in HTTP; log: client sent no required SSL certificate")
    assert connection.presented is None
    assert status == 400
    assert "No required SSL certificate was sent" in page


@nginx_squares(Scenario.MISSING, Role.SERVER)
def test_upstream_refuses_nginx_without_certificate(
    version: str, nginx: Setup, pki: PKI, record_property: Record
) -> None:
    said = "alert handshake failure" if version == "1.2" else "alert certificate required"
    error = refused_upstream(version, nginx, pki, None, said, record_property)
    assert error.reason is trustls.CertificateProblem.NONE_PRESENTED


def refused_upstream(
    version: str, nginx: Setup, pki: PKI, identity: Identity | None, said: str, record_property: Record
) -> trustls.CertificateRejected:
    """Why a server of trustls refuses nginx; whoever asked nginx is told that the gateway is bad."""
    port = free_port()
    with serving(pki, version, client_auth=pki.required()) as server:
        with nginx.start(http=nginx.to_upstream(port, server.port, version, identity)) as proxy:
            status, _ = get_in_the_clear(port)
            line = proxy.wait_for(rf"SSL_\w+\(\) failed \(SSL: (.*{said}.*?)\) while")[1].decode()
        error = server.outcome().error
    record_property(OURS, error)
    record_property(THEIRS, line)
    assert status == 502
    assert isinstance(error, trustls.CertificateRejected), f"the trustls server saw {error!r}"
    return error


@nginx_squares(Scenario.UNTRUSTED, Role.CLIENT)
def test_client_refuses_an_untrusted_server(version: str, nginx: Setup, pki: PKI, record_property: Record) -> None:
    port = free_port()
    with nginx.start(http=nginx.page(port, version, identity=pki.server_of_other)) as server:
        with pytest.raises(trustls.CertificateRejected) as caught, connected(port, client_config(pki, version)):
            pass
        line = server.wait_for(r"SSL_\w+\(\) failed \(SSL: (.*alert unknown ca.*?)\) while")[1].decode()
    record_property(OURS, caught.value)
    record_property(THEIRS, line)
    assert caught.value.reason is trustls.CertificateProblem.UNKNOWN_ISSUER


@nginx_squares(Scenario.UNTRUSTED, Role.SERVER)
def test_nginx_refuses_an_untrusted_upstream(version: str, nginx: Setup, pki: PKI, record_property: Record) -> None:
    """It verifies when the handshake is over, and hangs up without a word."""
    port = free_port()
    with serving(pki, version, credentials=[pki.server_of_other.credential]) as server:
        with nginx.start(http=nginx.to_upstream(port, server.port, version)) as proxy:
            status, _ = get_in_the_clear(port)
            line = proxy.wait_for(r"(upstream SSL certificate verify error: .*?) while")[1].decode()
        outcome = server.outcome()
    record_property(OURS, outcome.error or "(the client closes)")
    record_property(THEIRS, line)
    assert status == 502
    assert not isinstance(outcome.error, trustls.AlertReceived), "nginx sends no alert"


# -- Resumption, groups -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tickets", [True, False], ids=["tickets", "ids"])
@nginx_squares(Scenario.RESUMPTION, Role.CLIENT)
def test_client_resumes(version: str, tickets: bool, nginx: Setup, pki: PKI) -> None:
    port = free_port()
    kept = "ssl_session_tickets on;" if tickets else "ssl_session_tickets off; ssl_session_cache builtin;"
    with nginx.start(http=nginx.page(port, version, nginx.verifying(), kept)):
        config = client_config(pki, version, pki.alice)
        for expected in (False, True, True):
            connection, status, page = page_of(port, config)
            told = facts(page)
            assert (status, told["client"], told["verify"]) == (200, "CN=alice", "SUCCESS")
            assert connection.info.resumed is expected
            assert told["resumed"] == ("r" if expected else ".")


@nginx_squares(Scenario.RESUMPTION, Role.SERVER)
def test_nginx_resumes_with_an_upstream(version: str, nginx: Setup, pki: PKI) -> None:
    port = free_port()
    with (
        serving(pki, version, client_auth=pki.required(), resumption=trustls.Tickets()) as server,
        nginx.start(http=nginx.to_upstream(port, server.port, version, pki.alice)),
    ):
        for expected in (False, True, True):
            assert get_in_the_clear(port) == (200, "client=CN=alice\n")
            outcome = server.outcome()
            assert outcome.connection.info.resumed is expected
            assert outcome.peer.certificate == pki.alice.certificate


@nginx_squares(Scenario.RETRY, Role.CLIENT, ONLY_TLS13)
def test_client_is_asked_for_another_share(version: str, nginx: Setup, pki: PKI) -> None:
    port = free_port()
    with nginx.start(http=nginx.page(port, version, "ssl_ecdh_curve secp384r1;")):
        config = client_config(pki, version, groups=["x25519", "secp384r1"])
        connection, status, _ = page_of(port, config)
    assert status == 200
    assert (connection.info.retried, connection.info.group) == (True, trustls.NamedGroup.SECP384R1)


@nginx_squares(Scenario.RETRY, Role.SERVER, ONLY_TLS13)
def test_nginx_is_asked_for_another_share(version: str, nginx: Setup, pki: PKI) -> None:
    port = free_port()
    with serving(pki, version, groups=["secp384r1"]) as server:
        with nginx.start(http=nginx.to_upstream(port, server.port, version)):
            assert get_in_the_clear(port)[0] == 200
        info = server.outcome().connection.info
    assert (info.retried, info.group) == (True, trustls.NamedGroup.SECP384R1)


# -- Data, through the stream module ----------------------------------------------------------------------------------


@nginx_squares(Scenario.LARGE, Role.CLIENT)
def test_large_transfer_through_a_terminator(version: str, nginx: Setup, pki: PKI) -> None:
    port = free_port()
    with (
        EchoBackend() as backend,
        nginx.start(stream=nginx.pipe(port, version, backend.port)),
        connected(port, client_config(pki, version)) as tls,
    ):
        echo_through(tls, LARGE)


@nginx_squares(Scenario.LARGE, Role.SERVER)
def test_large_transfer_to_an_upstream(version: str, nginx: Setup, pki: PKI) -> None:
    port = free_port()
    with serving(pki, version, echo) as server:
        block = nginx.to_upstream(port, server.port, version, http=False)
        with nginx.start(stream=block), socket.create_connection((HOST, port), timeout=SECONDS) as plain:
            echo_through(plain, LARGE)


@nginx_squares(Scenario.OUR_UPDATE, Role.CLIENT, ONLY_TLS13)
def test_client_changes_its_keys(version: str, nginx: Setup, pki: PKI) -> None:
    port = free_port()
    with (
        Watch() as watch,
        EchoBackend() as backend,
        nginx.start(stream=nginx.pipe(port, version, backend.port)),
        connected(port, client_config(pki, version)) as tls,
    ):
        for _ in range(3):
            tls.update_keys(request_peer=True)
            echo_through(tls, 1000)
    assert key_updates(watch) == (3, 3)


@nginx_squares(Scenario.OUR_UPDATE, Role.SERVER, ONLY_TLS13)
def test_upstream_changes_its_keys(version: str, nginx: Setup, pki: PKI) -> None:
    def echo_under_new_keys(tls: ServerSocket) -> None:
        while data := tls.recv():
            tls.update_keys(request_peer=True)
            tls.sendall(data)

    port = free_port()
    with Watch() as watch, serving(pki, version, echo_under_new_keys) as server:
        block = nginx.to_upstream(port, server.port, version, http=False)
        with nginx.start(stream=block), socket.create_connection((HOST, port), timeout=SECONDS) as plain:
            for _ in range(3):
                echo_through(plain, 1000)
    assert key_updates(watch) == (3, 2), "nginx answers before its next data, and none came after the third"


@nginx_squares(Scenario.CLOSE, Role.CLIENT)
def test_close_by_a_terminator_and_by_the_client(version: str, nginx: Setup, pki: PKI) -> None:
    ports = free_port(), free_port()
    with (
        EchoBackend() as backend,
        nginx.start(http=nginx.page(ports[0], version), stream=nginx.pipe(ports[1], version, backend.port)),
    ):
        page_of(ports[0], client_config(pki, version))  # Read to nginx's close_notify: without one recv() raises.
        with connected(ports[1], client_config(pki, version)) as tls:
            echo_through(tls, 5)
            tls.close_write()
            with pytest.raises(trustls.UnexpectedEOF):  # nginx does not answer a close_notify with its own.
                tls.recv()


@nginx_squares(Scenario.CLOSE, Role.SERVER)
def test_close_by_an_upstream_and_by_nginx(version: str, nginx: Setup, pki: PKI) -> None:
    ports = free_port(), free_port()
    with serving(pki, version) as server, serving(pki, version, echo) as echoing:
        blocks = {
            "http": nginx.to_upstream(ports[0], server.port, version),
            "stream": nginx.to_upstream(ports[1], echoing.port, version, http=False),
        }
        with nginx.start(**blocks):
            get_in_the_clear(ports[0])  # The server closes first.
            with socket.create_connection((HOST, ports[1]), timeout=SECONDS) as plain:
                echo_through(plain, 5)
                plain.shutdown(socket.SHUT_WR)
                assert plain.recv(1) == b"", "the server closes when it is told, and nginx says so"
            assert echoing.outcome().error is None, "nginx closes with a close_notify"
        assert server.outcome().error is None
