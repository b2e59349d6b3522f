"""HAProxy: as a TLS terminator that the trustls client connects to, and as a client to a server of trustls.

It verifies client certificates in the handshake, and refuses them with an alert.
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
    Haproxy,
    client_config,
    connected,
    echo_through,
    facts,
    free_port,
    get_in_the_clear,
    key_updates,
    one_file,
    page_of,
    serving,
)
from tests.support.servers import SECONDS, ServerSocket, echo
from tests.support.squares import Record, haproxy_version, squares
from tests.support.watching import Watch
from trustls.cli.pki import KeyType

_PAGE = r"\n".join(
    f"{name}=%[{fetch}]"
    for name, fetch in {
        "version": "ssl_fc_protocol",
        "verify": "ssl_c_verify",
        "client": "ssl_c_s_dn(CN)",
        "resumed": "ssl_fc_is_resumed",
        "alpn": "ssl_fc_alpn",
    }.items()
)

haproxy_squares = partial(squares, "haproxy")


@dataclass(frozen=True)
class Setup:
    """HAProxy and what its configurations are made of."""

    command: str
    folder: Path
    pki: PKI

    def page(self, port: int, version: str, *settings: str, identity: Identity | None = None) -> str:
        """A TLS server whose one page tells what it knows of the connection."""
        return (
            f"frontend page-{port}\n    {self._bind(port, version, *settings, identity=identity)}\n"
            f'    http-request return status 200 content-type text/plain lf-string "{_PAGE}"\n'
        )

    def pipe(self, port: int, version: str, backend: int) -> str:
        """A TLS server that passes on what comes to a backend in the clear."""
        return f"listen pipe-{port}\n    mode tcp\n    {self._bind(port, version)}\n    server plain {HOST}:{backend}\n"

    def _bind(self, port: int, version: str, *settings: str, identity: Identity | None = None) -> str:
        crt = one_file(self.folder, identity or self.pki.server)
        only = f"ssl-min-ver TLSv{version} ssl-max-ver TLSv{version}"
        return f"bind {HOST}:{port} ssl crt {crt} {only} alpn http/1.1 {' '.join(settings)}"

    def verifying(self, authorities: Path | None = None) -> str:
        """Settings that demand a client certificate of these CAs, and name them."""
        return f"verify required ca-file {authorities or self.pki.client_cas_file}"

    def to_server(
        self, port: int, server: int, version: str, identity: Identity | None = None, *, mode: str = "http"
    ) -> str:
        """A plain server that passes on what comes to a server of trustls, whom it verifies."""
        settings = f"verify required ca-file {self.pki.server_root_file} verifyhost localhost sni str(localhost)"
        if identity is not None:
            settings += f" crt {one_file(self.folder, identity)}"
        return (
            f"listen to-{port}\n    mode {mode}\n    bind {HOST}:{port}\n"
            f"    server trustls {HOST}:{server} ssl {settings} ssl-min-ver TLSv{version} ssl-max-ver TLSv{version}\n"
        )

    def start(self, sections: str) -> Haproxy:
        """HAProxy with these sections."""
        return Haproxy(self.command, self.folder, sections)


@pytest.fixture
def haproxy(pki: PKI, tmp_path: Path, record_property: Record) -> Setup:
    command = require_peer("haproxy")
    record_property(VERSION, haproxy_version(command))
    return Setup(command, tmp_path, pki)


# -- Handshake --------------------------------------------------------------------------------------------------------


@haproxy_squares(Scenario.HANDSHAKE, Role.CLIENT)
def test_client_gets_a_page(version: str, haproxy: Setup, pki: PKI) -> None:
    port = free_port()
    with haproxy.start(haproxy.page(port, version)):
        connection, status, page = page_of(
            port, client_config(pki, version, versions=VERSIONS, alpn=["h2", "http/1.1"])
        )
    told = facts(page)
    assert status == 200
    assert (told["version"], told["alpn"], told["client"]) == (f"TLSv{version}", "http/1.1", "")
    assert connection.info.alpn == "http/1.1"
    assert connection.peer is not None
    assert connection.peer.certificate == pki.server.certificate
    assert connection.requested is None, "HAProxy asks for no certificate here"


@haproxy_squares(Scenario.HANDSHAKE, Role.SERVER)
def test_server_answers(version: str, haproxy: Setup, pki: PKI) -> None:
    port = free_port()
    with serving(pki, version, versions=VERSIONS) as server:
        with haproxy.start(haproxy.to_server(port, server.port, version)):
            assert get_in_the_clear(port) == (200, "client=\n")
        info = server.outcome().connection.info
    assert (str(info.version), info.server_name) == (f"TLSv{version}", "localhost")


@haproxy_squares(Scenario.KEY_TYPES, Role.CLIENT)
def test_client_with_other_keys(version: str, haproxy: Setup, pki: PKI) -> None:
    for key_type in OTHER_KEYS:
        check_client_with(key_type, version, haproxy, pki)


@haproxy_squares(Scenario.ED25519, Role.CLIENT)
def test_client_with_ed25519(version: str, haproxy: Setup, pki: PKI) -> None:
    check_client_with(KeyType.ED25519, version, haproxy, pki)


def check_client_with(key_type: KeyType, version: str, haproxy: Setup, pki: PKI) -> None:
    """Both sides have such a key."""
    port = free_port()
    own = pki.server_with(key_type)
    with haproxy.start(haproxy.page(port, version, haproxy.verifying(), identity=own)):
        connection, status, page = page_of(port, client_config(pki, version, pki.client_with(key_type)))
    assert (status, facts(page)["client"]) == (200, f"client-{key_type}"), page
    assert connection.peer is not None
    assert connection.peer.certificate == own.certificate


@haproxy_squares(Scenario.KEY_TYPES, Role.SERVER)
def test_server_with_other_keys(version: str, haproxy: Setup, pki: PKI) -> None:
    for key_type in OTHER_KEYS:
        check_server_with(key_type, version, haproxy, pki)


@haproxy_squares(Scenario.ED25519, Role.SERVER)
def test_server_with_ed25519(version: str, haproxy: Setup, pki: PKI) -> None:
    check_server_with(KeyType.ED25519, version, haproxy, pki)


def check_server_with(key_type: KeyType, version: str, haproxy: Setup, pki: PKI) -> None:
    """Both sides have such a key."""
    port = free_port()
    credentials = [pki.server_with(key_type).credential]
    with (
        serving(pki, version, credentials=credentials, client_auth=pki.required()) as server,
        haproxy.start(haproxy.to_server(port, server.port, version, pki.client_with(key_type))),
    ):
        assert get_in_the_clear(port) == (200, f"client=CN=client-{key_type}\n")


# -- Client certificates ----------------------------------------------------------------------------------------------


@haproxy_squares(Scenario.MUTUAL, Role.CLIENT)
def test_client_is_known_by_its_certificate(version: str, haproxy: Setup, pki: PKI) -> None:
    port = free_port()
    with haproxy.start(haproxy.page(port, version, haproxy.verifying())):
        connection, status, page = page_of(port, client_config(pki, version, pki.alice))
    told = facts(page)
    assert (status, told["verify"], told["client"]) == (200, "0", "alice")
    assert connection.presented is pki.alice.credential
    assert connection.requested is not None
    assert set(connection.requested.authorities) == set(pki.client_ca_names), "HAProxy names the CAs of its ca-file"


@haproxy_squares(Scenario.MUTUAL, Role.SERVER)
def test_server_knows_haproxy_by_its_certificate(version: str, haproxy: Setup, pki: PKI) -> None:
    port = free_port()
    with serving(pki, version, client_auth=pki.required()) as server:
        with haproxy.start(haproxy.to_server(port, server.port, version, pki.alice)):
            assert get_in_the_clear(port) == (200, "client=CN=alice\n")
        peer = server.outcome().peer
    assert peer.certificate == pki.alice.certificate
    assert len(peer.verified) == 3, "alice, her intermediate and K-Dot"


@haproxy_squares(Scenario.CHOICE, Role.CLIENT)
def test_client_chooses_by_the_names_that_haproxy_sends(version: str, haproxy: Setup, pki: PKI) -> None:
    ports = free_port(), free_port()
    pages = [
        haproxy.page(port, version, haproxy.verifying(file))
        for port, file in zip(ports, (pki.roots_file, pki.kdot_file), strict=True)
    ]
    config = client_config(pki, version, pki.alice, pki.bob, sessions=None)
    with haproxy.start("".join(pages)):
        for port, name, who in zip(ports, (pki.roots_name, pki.kdot_name), ("bob", "alice"), strict=True):
            connection, status, page = page_of(port, config)
            assert connection.requested is not None
            assert connection.requested.authorities == (name,), "HAProxy named another CA than it was given"
            assert (status, facts(page)["client"]) == (200, who)


@haproxy_squares(Scenario.OPTIONAL, Role.CLIENT)
def test_client_without_certificate_where_it_is_optional(version: str, haproxy: Setup, pki: PKI) -> None:
    port = free_port()
    with haproxy.start(haproxy.page(port, version, f"verify optional ca-file {pki.client_cas_file}")):
        connection, status, page = page_of(port, client_config(pki, version))
    assert connection.requested is not None, "HAProxy does not ask for a certificate"
    assert connection.presented is None
    assert (status, facts(page)["client"]) == (200, "")


@haproxy_squares(Scenario.OPTIONAL, Role.SERVER)
def test_haproxy_without_certificate_where_it_is_optional(version: str, haproxy: Setup, pki: PKI) -> None:
    port = free_port()
    with (
        serving(pki, version, client_auth=trustls.ClientAuth.optional(pki.client_roots)) as server,
        haproxy.start(haproxy.to_server(port, server.port, version)),
    ):
        assert get_in_the_clear(port) == (200, "client=\n")


@haproxy_squares(Scenario.NO_NAMES, Role.CLIENT)
def test_client_answers_a_request_without_names(version: str, haproxy: Setup, pki: PKI) -> None:
    port = free_port()
    # What stands in ca-verify-file is trusted without being named.
    settings = f"verify required ca-verify-file {pki.client_cas_file}"
    with haproxy.start(haproxy.page(port, version, settings)):
        connection, status, page = page_of(port, client_config(pki, version, pki.alice))
    assert connection.requested is not None
    assert connection.requested.authorities == ()
    assert (status, facts(page)["client"]) == (200, "alice")


@haproxy_squares(Scenario.NO_NAMES, Role.SERVER)
def test_haproxy_answers_a_request_without_names(version: str, haproxy: Setup, pki: PKI) -> None:
    port = free_port()
    with (
        serving(pki, version, client_auth=pki.required(hints=())) as server,
        haproxy.start(haproxy.to_server(port, server.port, version, pki.alice)),
    ):
        assert get_in_the_clear(port) == (200, "client=CN=alice\n")


@haproxy_squares(Scenario.WRONG, Role.CLIENT)
def test_haproxy_refuses_the_wrong_certificate(version: str, haproxy: Setup, pki: PKI, record_property: Record) -> None:
    mallory = pki.mallory.credential
    config = client_config(pki, version, pki.mallory, choose_credential=lambda *_: mallory)
    error = refused_by_haproxy(version, haproxy, pki, config, record_property)
    assert isinstance(error, trustls.CertificateRejectedByPeer), repr(error)
    assert error.description is trustls.AlertDescription.UNKNOWN_CA


@haproxy_squares(Scenario.WRONG, Role.SERVER)
def test_server_refuses_the_wrong_certificate(version: str, haproxy: Setup, pki: PKI, record_property: Record) -> None:
    error = refused_by_server(version, haproxy, pki, pki.mallory, record_property)
    assert error.reason is trustls.CertificateProblem.UNKNOWN_ISSUER


@haproxy_squares(Scenario.MISSING, Role.CLIENT)
def test_haproxy_refuses_a_client_without_certificate(
    version: str, haproxy: Setup, pki: PKI, record_property: Record
) -> None:
    # What this client holds does not fit the names, so that it sends none.
    error = refused_by_haproxy(version, haproxy, pki, client_config(pki, version, pki.mallory), record_property)
    assert isinstance(error, trustls.CertificateRejectedByPeer), repr(error)
    expected = "HANDSHAKE_FAILURE" if version == "1.2" else "CERTIFICATE_REQUIRED"
    assert error.description is trustls.AlertDescription[expected]


def refused_by_haproxy(
    version: str, haproxy: Setup, pki: PKI, config: trustls.ClientConfig, record_property: Record
) -> trustls.TLSError:
    """How the client is refused, be it in the handshake or (TLS 1.3) by the first thing that it receives."""
    port = free_port()
    with haproxy.start(haproxy.page(port, version, haproxy.verifying())) as proxy:
        with pytest.raises(trustls.TLSError) as caught, connected(port, config) as tls:
            tls.recv()
        line = proxy.wait_for(r"page-\d+~? refused; (.*)\n")[1].decode()
    record_property(OURS, caught.value)
    record_property(THEIRS, line)
    return caught.value


@haproxy_squares(Scenario.MISSING, Role.SERVER)
def test_server_refuses_haproxy_without_certificate(
    version: str, haproxy: Setup, pki: PKI, record_property: Record
) -> None:
    error = refused_by_server(version, haproxy, pki, None, record_property)
    assert error.reason is trustls.CertificateProblem.NONE_PRESENTED


def refused_by_server(
    version: str, haproxy: Setup, pki: PKI, identity: Identity | None, record_property: Record
) -> trustls.CertificateRejected:
    """Why a server of trustls refuses HAProxy; whoever asked HAProxy is told that the gateway is bad."""
    port = free_port()
    with serving(pki, version, client_auth=pki.required()) as server:
        with haproxy.start(haproxy.to_server(port, server.port, version, identity)) as proxy:
            status, _ = get_in_the_clear(port)
            line = proxy.wait_for(r"to-\d+ answered (.* alert .*)\n")[1].decode()
        error = server.outcome().error
    record_property(OURS, error)
    record_property(THEIRS, line)
    assert status in {502, 503}
    assert isinstance(error, trustls.CertificateRejected), f"the trustls server saw {error!r}"
    return error


@haproxy_squares(Scenario.UNTRUSTED, Role.CLIENT)
def test_client_refuses_an_untrusted_server(version: str, haproxy: Setup, pki: PKI, record_property: Record) -> None:
    port = free_port()
    with haproxy.start(haproxy.page(port, version, identity=pki.server_of_other)) as proxy:
        with pytest.raises(trustls.CertificateRejected) as caught, connected(port, client_config(pki, version)):
            pass
        line = proxy.wait_for(r"page-\d+~? refused; (.*)\n")[1].decode()
    record_property(OURS, caught.value)
    record_property(THEIRS, line)
    assert caught.value.reason is trustls.CertificateProblem.UNKNOWN_ISSUER


@haproxy_squares(Scenario.UNTRUSTED, Role.SERVER)
def test_haproxy_refuses_an_untrusted_server(version: str, haproxy: Setup, pki: PKI, record_property: Record) -> None:
    port = free_port()
    with serving(pki, version, credentials=[pki.server_of_other.credential]) as server:
        with haproxy.start(haproxy.to_server(port, server.port, version)) as proxy:
            status, _ = get_in_the_clear(port)
            line = proxy.wait_for(r"to-\d+ answered (.*)\n")[1].decode()
        error = server.outcome().error
    record_property(OURS, error)
    record_property(THEIRS, line)
    assert status == 503
    assert isinstance(error, trustls.AlertReceived), f"the trustls server saw {error!r}"
    assert error.description is trustls.AlertDescription.UNKNOWN_CA


# -- Resumption, groups -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tickets", [True, False], ids=["tickets", "ids"])
@haproxy_squares(Scenario.RESUMPTION, Role.CLIENT)
def test_client_resumes(version: str, tickets: bool, haproxy: Setup, pki: PKI) -> None:
    port = free_port()
    settings = "" if tickets else "no-tls-tickets"
    with haproxy.start(haproxy.page(port, version, haproxy.verifying(), settings)):
        config = client_config(pki, version, pki.alice)
        for expected in (False, True, True):
            connection, status, page = page_of(port, config)
            told = facts(page)
            assert (status, told["client"], told["verify"]) == (200, "alice", "0")
            assert connection.info.resumed is expected
            assert told["resumed"] == str(int(expected))


@haproxy_squares(Scenario.RESUMPTION, Role.SERVER)
def test_haproxy_resumes(version: str, haproxy: Setup, pki: PKI) -> None:
    port = free_port()
    with (
        serving(pki, version, client_auth=pki.required()) as server,
        haproxy.start(haproxy.to_server(port, server.port, version, pki.alice)),
    ):
        for expected in (False, True, True):
            assert get_in_the_clear(port) == (200, "client=CN=alice\n")
            outcome = server.outcome()
            assert outcome.connection.info.resumed is expected
            assert outcome.peer.certificate == pki.alice.certificate


@haproxy_squares(Scenario.RETRY, Role.CLIENT, ONLY_TLS13)
def test_client_is_asked_for_another_share(version: str, haproxy: Setup, pki: PKI) -> None:
    port = free_port()
    with haproxy.start(haproxy.page(port, version, "curves P-384")):
        config = client_config(pki, version, groups=["x25519", "secp384r1"])
        connection, status, _ = page_of(port, config)
    assert status == 200
    assert (connection.info.retried, connection.info.group) == (True, trustls.NamedGroup.SECP384R1)


@haproxy_squares(Scenario.RETRY, Role.SERVER, ONLY_TLS13)
def test_haproxy_is_asked_for_another_share(version: str, haproxy: Setup, pki: PKI) -> None:
    port = free_port()
    with serving(pki, version, groups=["secp384r1"]) as server:
        with haproxy.start(haproxy.to_server(port, server.port, version)):
            assert get_in_the_clear(port)[0] == 200
        info = server.outcome().connection.info
    assert (info.retried, info.group) == (True, trustls.NamedGroup.SECP384R1)


# -- Data -------------------------------------------------------------------------------------------------------------


@haproxy_squares(Scenario.LARGE, Role.CLIENT)
def test_large_transfer_through_a_terminator(version: str, haproxy: Setup, pki: PKI) -> None:
    port = free_port()
    with (
        EchoBackend() as backend,
        haproxy.start(haproxy.pipe(port, version, backend.port)),
        connected(port, client_config(pki, version)) as tls,
    ):
        echo_through(tls, LARGE)


@haproxy_squares(Scenario.LARGE, Role.SERVER)
def test_large_transfer_to_a_server(version: str, haproxy: Setup, pki: PKI) -> None:
    port = free_port()
    with (
        serving(pki, version, echo) as server,
        haproxy.start(haproxy.to_server(port, server.port, version, mode="tcp")),
        socket.create_connection((HOST, port), timeout=SECONDS) as plain,
    ):
        echo_through(plain, LARGE)


@haproxy_squares(Scenario.OUR_UPDATE, Role.CLIENT, ONLY_TLS13)
def test_client_changes_its_keys(version: str, haproxy: Setup, pki: PKI) -> None:
    port = free_port()
    with (
        Watch() as watch,
        EchoBackend() as backend,
        haproxy.start(haproxy.pipe(port, version, backend.port)),
        connected(port, client_config(pki, version)) as tls,
    ):
        for _ in range(3):
            tls.update_keys(request_peer=True)
            echo_through(tls, 1000)
    assert key_updates(watch) == (3, 3)


@haproxy_squares(Scenario.OUR_UPDATE, Role.SERVER, ONLY_TLS13)
def test_server_changes_its_keys(version: str, haproxy: Setup, pki: PKI) -> None:
    def echo_under_new_keys(tls: ServerSocket) -> None:
        while data := tls.recv():
            tls.update_keys(request_peer=True)
            tls.sendall(data)

    port = free_port()
    with (
        Watch() as watch,
        serving(pki, version, echo_under_new_keys) as server,
        haproxy.start(haproxy.to_server(port, server.port, version, mode="tcp")),
        socket.create_connection((HOST, port), timeout=SECONDS) as plain,
    ):
        for _ in range(3):
            echo_through(plain, 1000)
    assert key_updates(watch) == (3, 2), "HAProxy answers before its next data, and none came after the third"


@haproxy_squares(Scenario.CLOSE, Role.CLIENT)
def test_close_by_a_terminator_and_by_the_client(version: str, haproxy: Setup, pki: PKI) -> None:
    page, pipe = free_port(), free_port()
    with (
        EchoBackend() as backend,
        haproxy.start(haproxy.page(page, version) + haproxy.pipe(pipe, version, backend.port)),
    ):
        page_of(page, client_config(pki, version))  # Read to HAProxy's close_notify: without one recv() raises.
        with connected(pipe, client_config(pki, version)) as tls:
            echo_through(tls, 5)
            tls.close_write()
            assert tls.recv() == b"", "the backend closes when it is told, and HAProxy says so"


@haproxy_squares(Scenario.CLOSE, Role.SERVER)
def test_close_by_a_server_and_by_haproxy(version: str, haproxy: Setup, pki: PKI) -> None:
    http, tcp = free_port(), free_port()
    with serving(pki, version) as server, serving(pki, version, echo) as echoing:
        sections = haproxy.to_server(http, server.port, version) + haproxy.to_server(
            tcp, echoing.port, version, mode="tcp"
        )
        with haproxy.start(sections):
            get_in_the_clear(http)  # The server closes first.
            with socket.create_connection((HOST, tcp), timeout=SECONDS) as plain:
                echo_through(plain, 5)
                plain.shutdown(socket.SHUT_WR)
                assert plain.recv(1) == b"", "the server closes when it is told, and HAProxy says so"
            assert echoing.outcome().error is None, "HAProxy closes with a close_notify"
        assert server.outcome().error is None
