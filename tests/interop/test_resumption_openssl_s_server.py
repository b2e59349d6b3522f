"""The trustls client resumes sessions of `openssl s_server`, in TLS 1.2 and 1.3; early data, external PSKs."""

from __future__ import annotations

import datetime
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import trustls
from tests.support.commands import SServer, openssl_without
from tests.support.pki import PKI, Identity
from tests.support.processes import SECONDS, Argument
from tests.support.watching import Watch, certificates_in, names
from trustls.cli.pki import Authority, Validity
from trustls.wire.messages import ClientHello

VERSIONS = ("1.2", "1.3")
OPTION = {"1.2": "-tls1_2", "1.3": "-tls1_3"}
PSK = bytes(range(32))
HOUR = 3600

ClientSocket = trustls.TLSSocket[trustls.ClientConnection]


def client_config(pki: PKI, *identities: Identity, **options: object) -> trustls.ClientConfig:
    """A client that trusts the test's server root, and holds these certificates."""
    settings: dict[str, object] = {"roots": pki.server_roots, **options}
    return trustls.ClientConfig(credentials=[one.credential for one in identities], **settings)  # type: ignore[arg-type]


def asking(pki: PKI) -> list[Argument]:
    """The arguments that make s_server require a client certificate, verify it, and name its CAs."""
    return ["-Verify", "3", "-verify_return_error", "-CAfile", pki.client_cas_file]


@dataclass
class Visit:
    """One connection, as both sides tell of it."""

    connection: trustls.ClientConnection
    messages: list[str]
    certificates: int
    offered: bool
    page: str

    @property
    def resumed(self) -> bool:
        """Whether it was resumed; both sides must say the same."""
        said = "Reused, TLSv1" in self.page
        assert said or "New, TLSv1" in self.page, self.page
        assert self.connection.info.resumed is said, f"we say resumed={self.connection.info.resumed}: {self.page}"
        return said

    @property
    def client_subject(self) -> str | None:
        """Whom the server takes this client for."""
        names = [line for line in self.page.splitlines() if line.strip().startswith("Subject: ")]
        return names[0].split("Subject: ")[1].replace(" = ", "=") if names else None


@pytest.fixture
def watch() -> Iterator[Watch]:
    with Watch() as watching:
        yield watching


def visit(watch: Watch, server: SServer, config: trustls.ClientConfig) -> Visit:
    """Fetch the page of `s_server -www`, which tells of the connection; tickets have come when it has."""
    watch.take()
    with trustls.connect(("127.0.0.1", server.port), config, server_name="localhost", timeout=SECONDS) as tls:
        tls.sendall(b"GET / HTTP/1.0\r\n\r\n")
        page = b""
        while data := tls.recv():
            page += data
    events = watch.take()
    hello = next(event.message for event in events if isinstance(event.message, ClientHello))
    offered = hello.pre_shared_key is not None or bool(hello.session_ticket)
    return Visit(tls.connection, names(events), len(certificates_in(events)), offered, page.decode(errors="replace"))


def check_resumed(first: Visit, second: Visit) -> None:
    """The second visit went without certificates, and both sides know each other as before."""
    assert (first.resumed, second.resumed) == (False, True)
    assert second.certificates == 0, f"certificates were exchanged: {second.messages}"
    assert second.connection.requested is None
    one, other = first.connection, second.connection
    assert one.peer is not None
    assert other.peer is not None
    assert other.peer.verified == one.peer.verified
    assert other.info.credential is one.info.credential
    assert other.info.suite == one.info.suite
    assert second.client_subject == first.client_subject


# -- Sessions that are resumed ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [[], ["-no_ticket"]], ids=["tickets", "session ids"])
@pytest.mark.parametrize("version", VERSIONS)
def test_session_is_resumed_and_both_sides_still_known(
    version: str, arguments: list[str], openssl: str, watch: Watch, pki: PKI
) -> None:
    """With -no_ticket TLS 1.2 has session ids, and the tickets of TLS 1.3 are names of stored sessions."""
    config = client_config(pki, pki.alice)
    with SServer(openssl, pki.server, OPTION[version], "-www", *arguments, *asking(pki)) as server:
        first = visit(watch, server, config)
        assert first.certificates == 2, "the server's and ours"
        assert first.client_subject == "CN=alice"
        for _ in range(3):
            check_resumed(first, visit(watch, server, config))


@pytest.mark.parametrize("version", VERSIONS)
def test_session_without_client_certificates_is_resumed(version: str, openssl: str, watch: Watch, pki: PKI) -> None:
    config = client_config(pki)
    with SServer(openssl, pki.server, OPTION[version], "-www") as server:
        first = visit(watch, server, config)
        check_resumed(first, visit(watch, server, config))


def test_version_that_was_negotiated_is_resumed(openssl: str, watch: Watch, pki: PKI) -> None:
    """Without a restriction on our side."""
    for option in OPTION.values():
        config = client_config(pki, pki.alice)
        with SServer(openssl, pki.server, option, "-www", *asking(pki)) as server:
            first = visit(watch, server, config)
            check_resumed(first, visit(watch, server, config))


def test_each_suite_resumes(openssl: str, watch: Watch, pki: PKI) -> None:
    for suite in ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"):
        config = client_config(pki)
        with SServer(openssl, pki.server, "-ciphersuites", suite, "-www") as server:
            first = visit(watch, server, config)
            check_resumed(first, visit(watch, server, config))
            assert first.connection.info.suite.iana == suite


def test_resumption_with_a_retry(openssl: str, watch: Watch, pki: PKI) -> None:
    config = client_config(pki, pki.alice, key_shares=["x25519"])
    with SServer(openssl, pki.server, "-groups", "P-384", "-www", *asking(pki)) as server:
        first = visit(watch, server, config)
        second = visit(watch, server, config)
    check_resumed(first, second)
    assert second.connection.info.retried


def test_group_that_a_server_asked_for_is_offered_at_once_when_resuming(openssl: str, watch: Watch, pki: PKI) -> None:
    config = client_config(pki, pki.alice)
    with SServer(openssl, pki.server, "-groups", "P-384", "-www", *asking(pki)) as server:
        first = visit(watch, server, config)
        second = visit(watch, server, config)
    check_resumed(first, second)
    assert (first.connection.info.retried, second.connection.info.retried) == (True, False)


def test_ticket_is_shown_once_in_tls13(openssl: str, watch: Watch, pki: PKI) -> None:
    """RFC 9846 C.4: who shows a ticket twice can be recognised by it."""
    config = client_config(pki)
    with SServer(openssl, pki.server, OPTION["1.3"], "-num_tickets", "1", "-www") as server:
        shown = []
        for _ in range(4):
            with Watch() as inner:
                visit(watch, server, config)
                hello = next(event.message for event in inner.take() if isinstance(event.message, ClientHello))
            if hello.pre_shared_key is not None:
                shown += [identity.identity for identity in hello.pre_shared_key.identities]
    assert len(shown) == 3
    assert len(set(shown)) == 3, "a ticket was shown twice"


@pytest.mark.parametrize("version", VERSIONS)
def test_store_may_be_shared_by_configurations_of_the_same_trust(
    version: str, openssl: str, watch: Watch, pki: PKI
) -> None:
    sessions = trustls.MemoryClientSessions()
    same_roots = trustls.RootCertStore.from_pem(pki.server_root_file)
    with SServer(openssl, pki.server, OPTION[version], "-www", *asking(pki)) as server:
        first = visit(watch, server, client_config(pki, pki.alice, sessions=sessions))
        config = client_config(pki, pki.alice, sessions=sessions, roots=same_roots, alpn=["h2"])
        check_resumed(first, visit(watch, server, config))


# -- Sessions that are not --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
def test_client_without_a_store_resumes_nothing(version: str, openssl: str, watch: Watch, pki: PKI) -> None:
    config = client_config(pki, pki.alice, sessions=None)
    with SServer(openssl, pki.server, OPTION[version], "-www", *asking(pki)) as server:
        visits = [visit(watch, server, config) for _ in range(2)]
    assert [one.resumed for one in visits] == [False, False]
    if version == "1.2":  # OpenSSL gives tickets in TLS 1.3 to whoever comes.
        assert not [name for one in visits for name in one.messages if "NewSessionTicket" in name]


def test_server_that_gives_no_sessions(openssl: str, watch: Watch, pki: PKI) -> None:
    for arguments in (["-tls1_3", "-num_tickets", "0"], ["-tls1_2", "-no_ticket", "-no_cache"]):
        config = client_config(pki)
        with SServer(openssl, pki.server, "-www", *arguments) as server:
            visits = [visit(watch, server, config) for _ in range(2)]
        assert [one.resumed for one in visits] == [False, False]


@pytest.mark.parametrize("change", ["credentials", "no credentials", "roots", "server name"])
@pytest.mark.parametrize("version", VERSIONS)
def test_session_does_not_cross_identities(version: str, change: str, openssl: str, watch: Watch, pki: PKI) -> None:
    """A store is shared, and the session in it is another's: it is not even shown."""
    sessions = trustls.MemoryClientSessions()
    more_roots = trustls.RootCertStore([*pki.server_roots, *pki.other_roots])
    with SServer(openssl, pki.server, OPTION[version], "-www", *asking(pki)[2:], "-verify", "3") as server:
        first = visit(watch, server, client_config(pki, pki.alice, sessions=sessions))
        assert first.client_subject == "CN=alice"
        other = {
            "credentials": client_config(pki, pki.bob, sessions=sessions),
            "no credentials": client_config(pki, sessions=sessions),
            "roots": client_config(pki, pki.alice, sessions=sessions, roots=more_roots),
            "server name": client_config(pki, pki.alice, sessions=sessions),
        }[change]
        name = "127.0.0.1" if change == "server name" else "localhost"
        watch.take()
        with trustls.connect(("127.0.0.1", server.port), other, server_name=name, timeout=SECONDS) as tls:
            assert not tls.connection.info.resumed
        hello = next(event.message for event in watch.take() if isinstance(event.message, ClientHello))
        assert hello.pre_shared_key is None
        assert not hello.session_ticket, "a ticket was shown that belongs to another identity"


@pytest.mark.parametrize("version", VERSIONS)
def test_session_that_a_new_server_does_not_know_is_a_full_handshake(
    version: str, openssl: str, watch: Watch, pki: PKI
) -> None:
    """The same name, after a restart for example: other ticket keys."""
    config = client_config(pki, pki.alice)
    with (
        SServer(openssl, pki.server, OPTION[version], "-www", *asking(pki)) as before,
        SServer(openssl, pki.server, OPTION[version], "-www", *asking(pki)) as after,
    ):
        visit(watch, before, config)
        second = visit(watch, after, config)
        assert second.offered
        assert not second.resumed
        assert second.client_subject == "CN=alice"


@pytest.mark.parametrize(("before_version", "after_version"), [("1.2", "1.3"), ("1.3", "1.2")])
def test_server_that_has_changed_its_version_gets_a_full_handshake(
    before_version: str, after_version: str, openssl: str, watch: Watch, pki: PKI
) -> None:
    config = client_config(pki, pki.alice)
    with (
        SServer(openssl, pki.server, OPTION[before_version], "-www", *asking(pki)) as before,
        SServer(openssl, pki.server, OPTION[after_version], "-www", *asking(pki)) as after,
    ):
        visit(watch, before, config)
        second = visit(watch, after, config)
        assert not second.resumed
        assert str(second.connection.info.version) == f"TLSv{after_version}"
        assert visit(watch, after, config).resumed, "and what it gives then is resumed"


class Clock:
    """The time of a client, which a test may put forward."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


@pytest.mark.parametrize("version", VERSIONS)
def test_expired_session_is_not_shown(version: str, openssl: str, watch: Watch, pki: PKI) -> None:
    clock = Clock()
    config = client_config(pki, pki.alice, now=clock)
    with SServer(openssl, pki.server, OPTION[version], "-www", *asking(pki)) as server:
        visit(watch, server, config)
        clock.ahead = 8 * 24 * HOUR
        second = visit(watch, server, config)
    assert not second.offered
    assert not second.resumed


@pytest.mark.parametrize("version", VERSIONS)
def test_server_certificate_that_expires_ends_its_sessions(
    version: str, openssl: str, watch: Watch, pki: PKI, tmp_path: Path
) -> None:
    clock = Clock()
    root = Authority.create("Root of Brief Certificates")
    now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    validity = Validity(not_before=now - datetime.timedelta(hours=1), not_after=now + datetime.timedelta(hours=1))
    chain, key = root.issue_server("localhost", validity=validity).write(tmp_path, "brief")
    config = trustls.ClientConfig(roots=trustls.RootCertStore([root.certificate]), now=clock)
    own: list[Argument] = ["-cert", chain, "-key", key]
    with SServer(openssl, pki.server, OPTION[version], "-www", *own) as server:
        first = visit(watch, server, config)
        check_resumed(first, visit(watch, server, config))
        clock.ahead = 1.5 * HOUR
        with pytest.raises(trustls.CertificateRejected) as caught:
            visit(watch, server, config)
    assert caught.value.reason is trustls.CertificateProblem.EXPIRED, "a full handshake was made, and refused"


def test_session_without_extended_master_secret_is_not_shown_where_that_is_required(
    openssl: str, watch: Watch, pki: PKI, tmp_path: Path
) -> None:
    sessions = trustls.MemoryClientSessions()
    environment = openssl_without("ExtendedMasterSecret", tmp_path)
    lax = client_config(pki, sessions=sessions, require_extended_master_secret=False)
    strict = client_config(pki, sessions=sessions)
    with SServer(openssl, pki.server, "-tls1_2", "-www", environment=environment) as server:
        first = visit(watch, server, lax)
        check_resumed(first, visit(watch, server, lax))
        with pytest.raises(trustls.PeerIncompatible):
            visit(watch, server, strict)


# -- Early data -------------------------------------------------------------------------------------------------------

EARLY = b"a line that goes early\n" * 20


def begin_early(server: SServer, config: trustls.ClientConfig) -> None:
    """A first connection, for its tickets."""
    with trustls.connect(("127.0.0.1", server.port), config, server_name="localhost", timeout=SECONDS) as tls:
        exchange(server, tls)


def exchange(server: SServer, tls: ClientSocket) -> None:
    """A line each way; with that of the server its tickets have come."""
    tls.sendall(b"from the client\n")
    server.wait_for("from the client\n")
    server.write("from the server\n")
    data = b""
    while not data.endswith(b"from the server\n"):
        data += tls.recv()


def connect_early(port: int, config: trustls.ClientConfig, data: bytes) -> ClientSocket:
    """Connect, with early data."""
    address = ("127.0.0.1", port)
    return trustls.connect(address, config, server_name="localhost", timeout=SECONDS, early_data=data)


def test_early_data_arrives_and_goes_on_in_the_connection(openssl: str, watch: Watch, pki: PKI) -> None:
    config = client_config(pki, pki.alice, early_data=True)
    with SServer(openssl, pki.server, "-tls1_3", "-early_data", *asking(pki)) as server:
        begin_early(server, config)
        watch.take()
        with connect_early(server.port, config, EARLY) as tls:
            server.wait_for("End of early data\n")
            assert tls.connection.early_data_accepted is True
            assert tls.connection.info.resumed
            assert tls.connection.take_rejected_early_data() == b""
            exchange(server, tls)
        assert server.stdout.count(b"a line that goes early\n") == 20
        assert certificates_in(watch.take()) == []


def test_early_data_that_is_refused_is_given_back(openssl: str, pki: PKI) -> None:
    """By a server that does not know the session, and so reads nothing of it."""
    config = client_config(pki, pki.alice, early_data=True)
    with (
        SServer(openssl, pki.server, "-tls1_3", "-early_data", *asking(pki)) as before,
        SServer(openssl, pki.server, "-tls1_3", "-early_data", *asking(pki)) as after,
    ):
        begin_early(before, config)
        with connect_early(after.port, config, EARLY) as tls:
            assert tls.connection.early_data_accepted is False
            assert not tls.connection.info.resumed
            rejected = tls.connection.take_rejected_early_data()
            assert rejected == EARLY
            assert tls.connection.take_rejected_early_data() == b"", "once, so that it is not sent twice"
            tls.sendall(rejected)
            exchange(after, tls)
        assert after.stdout.count(b"a line that goes early\n") == 20


def test_early_data_that_is_refused_with_a_retry_is_given_back(openssl: str, pki: PKI) -> None:
    config = client_config(pki, pki.alice, early_data=True, key_shares=["x25519"])
    # With its anti-replay, OpenSSL 3.0 uses the session up with the first ClientHello, and does not resume at all.
    arguments = ("-tls1_3", "-early_data", "-no_anti_replay", "-groups", "P-384", *asking(pki))
    with SServer(openssl, pki.server, *arguments) as server:
        begin_early(server, config)
        with connect_early(server.port, config, EARLY) as tls:
            info = tls.connection.info
            assert (info.retried, info.resumed, tls.connection.early_data_accepted) == (True, True, False)
            tls.sendall(tls.connection.take_rejected_early_data())
            exchange(server, tls)
        assert server.stdout.count(b"a line that goes early\n") == 20


def test_servers_limit_of_early_data_is_kept(openssl: str, pki: PKI) -> None:
    config = client_config(pki, early_data=True)
    with SServer(openssl, pki.server, "-tls1_3", "-early_data", "-max_early_data", "100") as server:
        begin_early(server, config)
        connection = trustls.ClientConnection(config, "localhost")
        assert connection.early_data_limit == 100
        with pytest.raises(trustls.EarlyDataUnavailable):
            connection.write_early(bytes(101))
        connection.write_early(bytes(60))
        assert connection.early_data_limit == 40


def test_no_early_data_unless_the_client_wants_it_and_the_server_allows_it(openssl: str, pki: PKI) -> None:
    with SServer(openssl, pki.server, "-tls1_3", "-early_data") as server:
        config = client_config(pki)
        begin_early(server, config)
        assert trustls.ClientConnection(config, "localhost").early_data_limit == 0
    with SServer(openssl, pki.server, "-tls1_3") as server:
        config = client_config(pki, early_data=True)
        assert trustls.ClientConnection(config, "localhost").early_data_limit == 0
        begin_early(server, config)
        assert trustls.ClientConnection(config, "localhost").early_data_limit == 0


# -- External pre-shared keys -----------------------------------------------------------------------------------------


def psk_arguments(key: bytes = PSK, identity: str = "device-17") -> list[Argument]:
    """s_server's; it takes SHA-256 for its key's hash."""
    return ["-tls1_3", "-psk", key.hex(), "-psk_identity", identity]


def test_external_psk_takes_the_place_of_certificates(openssl: str, watch: Watch, pki: PKI) -> None:
    config = client_config(pki, external_psks=[trustls.ExternalPsk(b"device-17", PSK)])
    with (
        SServer(openssl, None, *psk_arguments()) as server,
        trustls.connect(("127.0.0.1", server.port), config, server_name="localhost", timeout=SECONDS) as tls,
    ):
        exchange(server, tls)
        info = tls.connection.info
    assert (info.psk_identity, info.resumed) == (b"device-17", False)
    assert tls.connection.peer is None
    assert certificates_in(watch.take()) == []


def test_psk_that_the_server_does_not_know_is_a_full_handshake(openssl: str, pki: PKI) -> None:
    config = client_config(pki, pki.alice, external_psks=[trustls.ExternalPsk(b"device-18", PSK)])
    with (
        SServer(openssl, pki.server, "-tls1_3", *asking(pki)) as server,
        trustls.connect(("127.0.0.1", server.port), config, server_name="localhost", timeout=SECONDS) as tls,
    ):
        exchange(server, tls)
        assert tls.connection.info.psk_identity is None
        assert tls.connection.peer is not None


def test_wrong_psk_is_refused(openssl: str, pki: PKI) -> None:
    config = client_config(pki, external_psks=[trustls.ExternalPsk(b"device-17", bytes(32))])
    with SServer(openssl, None, *psk_arguments()) as server, pytest.raises(trustls.AlertReceived) as caught:
        trustls.connect(("127.0.0.1", server.port), config, server_name="localhost", timeout=SECONDS)
    assert caught.value.description in {
        trustls.AlertDescription.ILLEGAL_PARAMETER,
        trustls.AlertDescription.DECRYPT_ERROR,
    }


def test_psk_with_a_retry(openssl: str, pki: PKI) -> None:
    config = client_config(pki, external_psks=[trustls.ExternalPsk(b"device-17", PSK)])
    arguments = [*psk_arguments(), "-groups", "P-384"]
    with (
        SServer(openssl, None, *arguments) as server,
        trustls.connect(("127.0.0.1", server.port), config, server_name="localhost", timeout=SECONDS) as tls,
    ):
        exchange(server, tls)
        info = tls.connection.info
    assert (info.retried, info.psk_identity) == (True, b"device-17")
