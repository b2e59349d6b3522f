"""`openssl s_client` resumes sessions of the trustls server, in TLS 1.2 and 1.3; early data, external PSKs."""

from __future__ import annotations

import base64
import datetime
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import trustls
from tests.support.commands import SClient, openssl_without, secrets_in
from tests.support.pki import PKI
from tests.support.processes import Argument
from tests.support.servers import Outcome, ServerSocket, ThreadedServer, echo
from tests.support.watching import Watch, certificates_in, names
from trustls.cli.pki import Authority, Validity
from trustls.session.tickets import Resumption
from trustls.wire.messages import NewSessionTicket
from trustls.wire.messages12 import NewSessionTicket12

VERSIONS = ("1.2", "1.3")
POLICIES = ("tickets", "stored")
PSK = bytes(range(32))
HOUR = 3600


class Clock:
    """The time of a server, which a test may put forward."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


def policy(name: str, lifetime: int = 2 * HOUR) -> Resumption:
    """A fresh one: sealed tickets, or names of stored sessions."""
    return trustls.StoredSessions(lifetime=lifetime) if name == "stored" else trustls.Tickets(lifetime=lifetime)


def server_config(pki: PKI, version: str, **options: object) -> trustls.ServerConfig:
    """A server of one version, which requires a certificate of its clients."""
    settings: dict[str, object] = {
        "credentials": [pki.server.credential],
        "client_auth": pki.required(),
        "versions": [version],
        **options,
    }
    return trustls.ServerConfig(**settings)  # type: ignore[arg-type]


class Visitor:
    """An s_client that visits servers, one after another, and keeps its session in a file."""

    def __init__(self, openssl: str, pki: PKI, folder: Path, watch: Watch) -> None:
        self._openssl = openssl
        self._pki = pki
        self.session = folder / "session.pem"
        self._watch = watch
        self.tickets: list[bytes] = []
        self.messages: list[str] = []
        self.certificates = 0
        self.output = ""

    def begin(self, server: ThreadedServer, *arguments: Argument, version: str) -> Outcome:
        """A first visit as alice; its session, the last that was given, is in the file then."""
        return self._visit(server, "New", "-sess_out", self.session, *arguments, version=version)

    def resume(self, server: ThreadedServer, *arguments: Argument, kind: str = "Reused", version: str) -> Outcome:
        """A later one; `kind` is what s_client is to say of it."""
        return self._visit(server, kind, "-sess_in", self.session, *arguments, version=version)

    def _visit(self, server: ThreadedServer, kind: str, *arguments: Argument, version: str) -> Outcome:
        self._watch.take()
        with SClient(self._openssl, self._pki, server.port, *arguments, identity=self._pki.alice) as client:
            said, spoken, _suite = client.established()
            client.ask("hello")  # Its answer comes behind the tickets of TLS 1.3.
            client.quit()
            self.output = client.output
        outcome = server.outcome()
        events = self._watch.take()
        self.messages = names(events)
        self.certificates = len(certificates_in(events))
        self.tickets += [
            event.message.ticket for event in events if isinstance(event.message, NewSessionTicket | NewSessionTicket12)
        ]
        assert outcome.error is None, f"the server failed: {outcome.error!r}"
        assert spoken == f"TLSv{version}"
        assert said == kind, f"s_client says {said}, not {kind}"
        resumed = outcome.connection.info.resumed
        assert resumed is (kind == "Reused"), f"s_client says {said}, the server resumed={resumed}"
        return outcome

    def check_resumed(self, first: Outcome, second: Outcome) -> None:
        """The second visit went without certificates, and the server still knows whose it is."""
        assert self.certificates == 0, f"certificates were exchanged: {self.messages}"
        assert "CertificateRequest" not in " ".join(self.messages)
        assert second.peer.presented == first.peer.presented
        assert [one.subject for one in second.peer.verified] == [one.subject for one in first.peer.verified]
        assert second.connection.info.suite == first.connection.info.suite


@pytest.fixture
def visitor(openssl: str, pki: PKI, tmp_path: Path) -> Iterator[Visitor]:
    with Watch() as watch:
        yield Visitor(openssl, pki, tmp_path, watch)


# -- Sessions that are resumed ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy_name", POLICIES)
@pytest.mark.parametrize("version", VERSIONS)
def test_session_is_resumed_and_the_client_still_known(
    version: str, policy_name: str, visitor: Visitor, pki: PKI
) -> None:
    config = server_config(pki, version, resumption=policy(policy_name))
    with ThreadedServer(config) as server:
        first = visitor.begin(server, version=version)
        assert visitor.certificates == 2, "the server's and the client's"
        second = visitor.resume(server, version=version)
        visitor.check_resumed(first, second)
        assert second.peer.certificate == pki.alice.certificate


@pytest.mark.parametrize(
    ("policy_name", "arguments", "resumes"),
    [
        ("tickets", [], True),
        ("stored", [], True),
        ("stored", ["-no_ticket"], True),
        ("tickets", ["-no_ticket"], False),
    ],
)
def test_s_client_reconnects_in_tls12(
    policy_name: str, arguments: list[str], resumes: bool, openssl: str, pki: PKI
) -> None:
    """-reconnect connects six times. Without tickets, session ids do where there is a store."""
    config = server_config(pki, "1.2", resumption=policy(policy_name))
    with (
        Watch() as watch,
        ThreadedServer(config) as server,
        SClient(openssl, pki, server.port, "-reconnect", *arguments, identity=pki.alice) as client,
    ):
        kinds = [client.established()[0] for _ in range(6)]
        client.ask("hello")
        client.quit()
        outcomes = [server.outcome() for _ in range(6)]
        events = watch.take()
    assert kinds == ["New", *["Reused" if resumes else "New"] * 5]
    by_resumed = sorted(outcome.connection.info.resumed for outcome in outcomes)
    assert by_resumed == [False, *[resumes] * 5]
    assert {outcome.peer.subject for outcome in outcomes} == {"CN=alice"}, "whoever resumes is still known"
    assert len(certificates_in(events)) == (2 if resumes else 12)


@pytest.mark.parametrize("policy_name", POLICIES)
def test_s_client_reconnects_in_tls13(policy_name: str, openssl: str, pki: PKI) -> None:
    """-reconnect does not wait for tickets then, but nothing may break."""
    config = server_config(pki, "1.3", resumption=policy(policy_name))
    with (
        ThreadedServer(config) as server,
        SClient(openssl, pki, server.port, "-reconnect", identity=pki.alice) as client,
    ):
        for _ in range(6):
            client.established()
        client.ask("hello")
        client.quit()


@pytest.mark.parametrize("version", VERSIONS)
def test_key_exchange_and_suite_of_each_kind_resume(version: str, visitor: Visitor, pki: PKI) -> None:
    suites = {"1.2": "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", "1.3": "TLS_CHACHA20_POLY1305_SHA256"}
    with ThreadedServer(server_config(pki, version, suites=[suites[version]], groups=["secp384r1"])) as server:
        groups = ("-groups", "P-384:P-256")
        first = visitor.begin(server, *groups, version=version)
        second = visitor.resume(server, *groups, version=version)
        visitor.check_resumed(first, second)
        assert second.connection.info.group.iana == "secp384r1"


def test_resumption_with_a_retry(visitor: Visitor, pki: PKI) -> None:
    with ThreadedServer(server_config(pki, "1.3", groups=["secp384r1"])) as server:
        groups = ("-groups", "X25519:P-384")
        first = visitor.begin(server, *groups, version="1.3")
        second = visitor.resume(server, *groups, version="1.3")
        visitor.check_resumed(first, second)
        assert second.connection.info.retried


def test_resumed_session_of_tls13_brings_new_tickets(visitor: Visitor, pki: PKI) -> None:
    with ThreadedServer(server_config(pki, "1.3")) as server:
        visitor.begin(server, version="1.3")
        for _ in range(3):
            before = len(visitor.tickets)
            visitor.resume(server, "-sess_out", visitor.session, version="1.3")
            assert len(visitor.tickets) == before + 2
            assert visitor.certificates == 0


@pytest.mark.parametrize("count", [0, 1, 5])
def test_as_many_tickets_come_as_are_configured(count: int, openssl: str, pki: PKI) -> None:
    config = server_config(pki, "1.3", resumption=trustls.Tickets(count=count, lifetime=77))
    with (
        ThreadedServer(config) as server,
        SClient(openssl, pki, server.port, identity=pki.alice) as client,
    ):
        client.established()
        client.ask("hello")
        client.quit()
        assert client.output.count("Post-Handshake New Session Ticket arrived") == count
        assert client.output.count("lifetime hint: 77 (seconds)") == count


def test_application_protocol_is_agreed_on_anew(visitor: Visitor, pki: PKI) -> None:
    for version in VERSIONS:
        with ThreadedServer(server_config(pki, version, alpn=["h2", "http/1.1"])) as server:
            assert visitor.begin(server, "-alpn", "http/1.1", version=version).connection.info.alpn == "http/1.1"
            assert visitor.resume(server, "-alpn", "h2", version=version).connection.info.alpn == "h2"


@pytest.mark.parametrize("version", VERSIONS)
def test_secrets_of_a_resumed_session_agree(version: str, visitor: Visitor, pki: PKI, tmp_path: Path) -> None:
    label, ours, theirs = "EXPORTER-trustls-test", tmp_path / "ours", tmp_path / "theirs"
    with trustls.KeyLogFile(ours) as key_log, ThreadedServer(server_config(pki, version, key_log=key_log)) as server:
        visitor.begin(server, version=version)
        before = len(secrets_in(ours))
        arguments = ("-keymatexport", label, "-keymatexportlen", "48", "-keylogfile", theirs)
        outcome = visitor.resume(server, *arguments, version=version)
    exported = re.search("Keying material: ([0-9A-F]+)\n", visitor.output)
    assert exported is not None
    assert outcome.connection.export(label, 48).hex().upper() == exported[1]
    assert len(secrets_in(ours)) == before + (1 if version == "1.2" else 5)
    assert set(secrets_in(theirs)) <= set(secrets_in(ours)), "the two key logs differ"


@pytest.mark.parametrize("version", VERSIONS)
def test_servers_that_share_their_keys_resume_each_others_sessions(version: str, visitor: Visitor, pki: PKI) -> None:
    keys = trustls.RotatingTicketKeys()
    configs = [server_config(pki, version, resumption=trustls.Tickets(keys=keys)) for _ in range(2)]
    with ThreadedServer(configs[0]) as one, ThreadedServer(configs[1]) as other:
        first = visitor.begin(one, version=version)
        visitor.check_resumed(first, visitor.resume(other, version=version))


@pytest.mark.parametrize("version", VERSIONS)
def test_key_that_was_rotated_once_still_opens_tickets(version: str, visitor: Visitor, pki: PKI) -> None:
    clock = Clock()
    tickets = trustls.Tickets(keys=trustls.RotatingTicketKeys(rotate_every=HOUR), lifetime=24 * HOUR)
    with ThreadedServer(server_config(pki, version, resumption=tickets, now=clock)) as server:
        visitor.begin(server, version=version)
        clock.ahead = 1.5 * HOUR
        visitor.resume(server, version=version)
        clock.ahead = 3 * HOUR
        visitor.resume(server, kind="New", version=version)


# -- Sessions that are not --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
def test_server_without_resumption_gives_nothing_to_resume(version: str, openssl: str, pki: PKI) -> None:
    config = server_config(pki, version, resumption=None)
    with (
        Watch() as watch,
        ThreadedServer(config) as server,
        SClient(openssl, pki, server.port, "-reconnect", identity=pki.alice) as client,
    ):
        assert [client.established()[0] for _ in range(6)] == ["New"] * 6
        client.ask("hello")
        client.quit()
    assert not [name for name in names(watch.take()) if "NewSessionTicket" in name]


@pytest.mark.parametrize("policy_name", POLICIES)
@pytest.mark.parametrize("version", VERSIONS)
def test_expired_session_is_a_full_handshake(version: str, policy_name: str, visitor: Visitor, pki: PKI) -> None:
    clock = Clock()
    config = server_config(pki, version, resumption=policy(policy_name, lifetime=100), now=clock)
    with ThreadedServer(config) as server:
        visitor.begin(server, version=version)
        clock.ahead = 50
        visitor.resume(server, version=version)
        visitor.begin(server, version=version)
        clock.ahead += 101
        assert visitor.resume(server, kind="New", version=version).peer.subject == "CN=alice"
        assert visitor.certificates == 2


@pytest.mark.parametrize("version", VERSIONS)
def test_stored_session_is_used_once_in_tls13(version: str, visitor: Visitor, pki: PKI) -> None:
    with ThreadedServer(server_config(pki, version, resumption=trustls.StoredSessions())) as server:
        visitor.begin(server, version=version)
        visitor.resume(server, version=version)
        visitor.resume(server, kind="New" if version == "1.3" else "Reused", version=version)


def forge(session: Path, ticket: bytes, forged: bytes) -> None:
    """Put another ticket of the same length into a session file of OpenSSL."""
    assert len(forged) == len(ticket)
    head, *lines, tail, _ = session.read_text().split("\n")
    content = base64.b64decode("".join(lines))
    assert content.count(ticket) == 1, "the session file holds another ticket"
    encoded = base64.b64encode(content.replace(ticket, forged)).decode()
    lines = [encoded[start : start + 64] for start in range(0, len(encoded), 64)]
    session.write_text("\n".join((head, *lines, tail, "")))


@pytest.mark.parametrize("where", ["first", "nonce", "middle", "last"])
@pytest.mark.parametrize(("version", "policy_name"), [("1.2", "tickets"), ("1.3", "tickets"), ("1.3", "stored")])
def test_forged_ticket_is_a_full_handshake(
    version: str, where: str, policy_name: str, visitor: Visitor, pki: PKI
) -> None:
    with ThreadedServer(server_config(pki, version, resumption=policy(policy_name))) as server:
        visitor.begin(server, version=version)
        ticket = visitor.tickets[-1]
        at = {"first": 0, "nonce": 18, "middle": len(ticket) // 2, "last": len(ticket) - 1}[where]
        forge(visitor.session, ticket, ticket[:at] + bytes((ticket[at] ^ 1,)) + ticket[at + 1 :])
        assert visitor.resume(server, kind="New", version=version).peer.subject == "CN=alice"
        forge(visitor.session, ticket[:at] + bytes((ticket[at] ^ 1,)) + ticket[at + 1 :], ticket)
        visitor.resume(server, version=version)  # Put right again it works: that was the only reason.


@pytest.mark.parametrize("policy_name", POLICIES)
@pytest.mark.parametrize("version", VERSIONS)
def test_session_of_another_server_is_a_full_handshake(
    version: str, policy_name: str, visitor: Visitor, pki: PKI
) -> None:
    configs = [server_config(pki, version, resumption=policy(policy_name)) for _ in range(2)]
    with ThreadedServer(configs[0]) as one, ThreadedServer(configs[1]) as other:
        visitor.begin(one, version=version)
        assert visitor.resume(other, kind="New", version=version).peer.subject == "CN=alice"


@pytest.mark.parametrize("version", VERSIONS)
def test_session_of_another_server_name_is_a_full_handshake(version: str, visitor: Visitor, pki: PKI) -> None:
    with ThreadedServer(server_config(pki, version)) as server:
        visitor.begin(server, version=version)
        visitor.resume(server, "-servername", "other.example", kind="New", version=version)


@pytest.mark.parametrize(("version", "other"), [("1.2", "1.3"), ("1.3", "1.2")])
def test_session_of_another_version_is_a_full_handshake(version: str, other: str, visitor: Visitor, pki: PKI) -> None:
    keys = trustls.RotatingTicketKeys()
    configs = [server_config(pki, one, resumption=trustls.Tickets(keys=keys)) for one in (version, other)]
    with ThreadedServer(configs[0]) as before, ThreadedServer(configs[1]) as after:
        visitor.begin(before, version=version)
        assert visitor.resume(after, kind="New", version=other).peer.subject == "CN=alice"


def test_session_of_a_suite_that_is_no_longer_allowed_is_a_full_handshake(visitor: Visitor, pki: PKI) -> None:
    """In TLS 1.3 only the hash has to be the same."""
    suites = {
        "1.2": ("TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"),
        "1.3": ("TLS_AES_256_GCM_SHA384", "TLS_AES_128_GCM_SHA256"),
    }
    for version in VERSIONS:
        tickets = trustls.Tickets()
        configs = [server_config(pki, version, resumption=tickets, suites=[suite]) for suite in suites[version]]
        with ThreadedServer(configs[0]) as before, ThreadedServer(configs[1]) as after:
            visitor.begin(before, version=version)
            visitor.resume(after, kind="New", version=version)


def test_session_with_extended_master_secret_is_not_resumed_without(
    openssl: str, visitor: Visitor, pki: PKI, tmp_path: Path
) -> None:
    """RFC 7627 5.3 asks for more than a full handshake: the connection is refused."""
    environment = openssl_without("ExtendedMasterSecret", tmp_path)
    with ThreadedServer(server_config(pki, "1.2", require_extended_master_secret=False)) as server:
        visitor.begin(server, version="1.2")
        resume = ("-sess_in", visitor.session)
        with SClient(openssl, pki, server.port, *resume, identity=pki.alice, environment=environment) as client:
            client.wait_for("alert handshake failure.*alert number 40")
        error = server.outcome().error
    assert isinstance(error, trustls.PeerIncompatible)
    assert error.reason is trustls.Incompatibility.NO_EXTENDED_MASTER_SECRET


def test_session_without_extended_master_secret_is_a_full_handshake_with(
    openssl: str, visitor: Visitor, pki: PKI, tmp_path: Path
) -> None:
    environment = openssl_without("ExtendedMasterSecret", tmp_path)
    with ThreadedServer(server_config(pki, "1.2", require_extended_master_secret=False)) as server:
        out = ("-sess_out", visitor.session)
        with SClient(openssl, pki, server.port, *out, identity=pki.alice, environment=environment) as client:
            client.ask("hello")
            client.quit()
        assert server.outcome().peer.subject == "CN=alice"
        visitor.resume(server, kind="New", version="1.2")


# -- Client authentication that has changed ---------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("change", ["mode", "roots", "more roots", "none"])
def test_session_does_not_outlive_a_change_of_client_auth(
    change: str, version: str, visitor: Visitor, pki: PKI
) -> None:
    kdot = trustls.RootCertStore.from_pem(pki.kdot_file)
    changed = {
        "mode": trustls.ClientAuth.optional(pki.client_roots),
        "roots": trustls.ClientAuth.required(kdot),
        "more roots": trustls.ClientAuth.required(trustls.RootCertStore([*pki.client_roots, *pki.other_roots])),
        "none": trustls.ClientAuth.none(),
    }[change]
    tickets = trustls.Tickets()
    before = server_config(pki, version, resumption=tickets)
    after = server_config(pki, version, resumption=tickets, client_auth=changed)
    with ThreadedServer(before) as one, ThreadedServer(after) as other:
        visitor.begin(one, version=version)
        outcome = visitor.resume(other, kind="New", version=version)
    if change == "none":
        assert outcome.connection.peer is None
    else:
        assert outcome.peer.subject == "CN=alice", "a full handshake asked for the certificate, and got it"


@pytest.mark.parametrize("version", VERSIONS)
def test_hints_alone_do_not_end_a_session(version: str, visitor: Visitor, pki: PKI) -> None:
    tickets = trustls.Tickets()
    before = server_config(pki, version, resumption=tickets)
    after = server_config(pki, version, resumption=tickets, client_auth=pki.required(hints=()))
    with ThreadedServer(before) as one, ThreadedServer(after) as other:
        first = visitor.begin(one, version=version)
        visitor.check_resumed(first, visitor.resume(other, version=version))


@pytest.mark.parametrize("version", VERSIONS)
def test_resumption_is_no_way_around_roots_that_have_changed(
    version: str, visitor: Visitor, openssl: str, pki: PKI
) -> None:
    tickets = trustls.Tickets()
    before = server_config(pki, version, resumption=tickets)
    after = server_config(pki, version, resumption=tickets, client_auth=trustls.ClientAuth.required(pki.other_roots))
    with ThreadedServer(before) as one, ThreadedServer(after) as other:
        visitor.begin(one, version=version)
        resume = ("-sess_in", visitor.session)
        with SClient(openssl, pki, other.port, *resume, identity=pki.alice) as client:
            client.wait_for("alert unknown ca.*alert number 48")
        error = other.outcome().error
    assert isinstance(error, trustls.CertificateRejected)
    assert error.reason is trustls.CertificateProblem.UNKNOWN_ISSUER


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("before_mode", ["none", "optional"])
def test_resumption_is_no_way_around_a_certificate_that_is_required_now(
    before_mode: str, version: str, openssl: str, pki: PKI, tmp_path: Path
) -> None:
    """The client had none, so its session holds none, and it must not get in by that."""
    modes = {"none": trustls.ClientAuth.none(), "optional": trustls.ClientAuth.optional(pki.client_roots)}
    tickets = trustls.Tickets()
    before = server_config(pki, version, resumption=tickets, client_auth=modes[before_mode])
    after = server_config(pki, version, resumption=tickets)
    session = tmp_path / "session.pem"
    with ThreadedServer(before) as one, ThreadedServer(after) as other:
        with SClient(openssl, pki, one.port, "-sess_out", session) as client:
            client.ask("hello")
            client.quit()
        assert one.outcome().connection.peer is None
        with SClient(openssl, pki, one.port, "-sess_in", session) as client:
            assert client.established()[0] == "Reused", "without a certificate, where none is required"
            client.quit()
        assert one.outcome().connection.peer is None
        with SClient(openssl, pki, other.port, "-sess_in", session) as client:
            client.wait_for("alert number (40|116)")
        error = other.outcome().error
    assert isinstance(error, trustls.CertificateRejected)
    assert error.reason is trustls.CertificateProblem.NONE_PRESENTED


@pytest.mark.parametrize("version", VERSIONS)
def test_client_certificate_that_expires_ends_its_sessions(
    version: str, openssl: str, pki: PKI, tmp_path: Path
) -> None:
    clock = Clock()
    root = Authority.create("Root of Brief Certificates")
    now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    validity = Validity(not_before=now - datetime.timedelta(hours=1), not_after=now + datetime.timedelta(hours=1))
    chain, key = root.issue_client("brief", validity=validity).write(tmp_path, "brief")
    config = server_config(
        pki,
        version,
        client_auth=trustls.ClientAuth.required(trustls.RootCertStore([root.certificate])),
        resumption=trustls.Tickets(lifetime=24 * HOUR, keys=trustls.RotatingTicketKeys(24 * HOUR)),
        now=clock,
    )
    session = tmp_path / "session.pem"
    own = ("-cert", chain, "-key", key)
    with ThreadedServer(config) as server:
        with SClient(openssl, pki, server.port, "-sess_out", session, *own) as client:
            client.ask("hello")
            client.quit()
        clock.ahead = HOUR / 2
        with SClient(openssl, pki, server.port, "-sess_in", session, *own) as client:
            assert client.established()[0] == "Reused"
            client.quit()
        assert [server.outcome().peer.subject for _ in range(2)] == ["CN=brief"] * 2
        clock.ahead = 2 * HOUR
        with SClient(openssl, pki, server.port, "-sess_in", session, *own) as client:
            client.wait_for("alert certificate expired.*alert number 45")
        error = server.outcome().error
    assert isinstance(error, trustls.CertificateRejected)
    assert error.reason is trustls.CertificateProblem.EXPIRED


# -- Early data -------------------------------------------------------------------------------------------------------

EARLY = b"GET /early HTTP/1.1\r\n\r\n" * 20


class EarlyReader:
    """A handler that keeps the early data of each connection, and then echoes."""

    def __init__(self) -> None:
        self.read: list[bytes] = []
        self.accepted: list[bool | None] = []

    def __call__(self, tls: ServerSocket) -> None:
        self.accepted.append(tls.connection.early_data_accepted)
        self.read.append(tls.connection.read_early())
        echo(tls)


@pytest.fixture
def early_file(tmp_path: Path) -> Path:
    path = tmp_path / "early"
    path.write_bytes(EARLY)
    return path


def early_config(pki: PKI, limit: int = 4096, **options: object) -> trustls.ServerConfig:
    """A server that allows early data."""
    settings: dict[str, object] = {"resumption": trustls.StoredSessions(max_early_data=limit), **options}
    return server_config(pki, "1.3", **settings)


def test_early_data_is_accepted_once(visitor: Visitor, early_file: Path, pki: PKI) -> None:
    reader = EarlyReader()
    with ThreadedServer(early_config(pki), reader) as server:
        first = visitor.begin(server, version="1.3")
        assert "Max Early Data: 4096\n" in visitor.output
        second = visitor.resume(server, "-early_data", early_file, version="1.3")
        assert "Early data was accepted\n" in visitor.output
        visitor.check_resumed(first, second)
        visitor.resume(server, "-early_data", early_file, kind="New", version="1.3")
        assert "Early data was rejected\n" in visitor.output, "a session that was used is no session any more"
    assert reader.read == [b"", EARLY, b""]
    assert reader.accepted == [None, True, False]


def test_early_data_of_a_session_whose_age_is_wrong_is_refused(visitor: Visitor, early_file: Path, pki: PKI) -> None:
    """Replayed later it would come outside the window of ten seconds; the session itself is still good."""
    clock, reader = Clock(), EarlyReader()
    with ThreadedServer(early_config(pki, now=clock), reader) as server:
        first = visitor.begin(server, version="1.3")
        clock.ahead = 20
        second = visitor.resume(server, "-early_data", early_file, version="1.3")
        assert "Early data was rejected\n" in visitor.output
        visitor.check_resumed(first, second)
    assert reader.read == [b"", b""]


def test_early_data_is_refused_with_a_retry(visitor: Visitor, early_file: Path, pki: PKI) -> None:
    reader = EarlyReader()
    with ThreadedServer(early_config(pki, groups=["secp384r1"]), reader) as server:
        groups = ("-groups", "X25519:P-384")
        visitor.begin(server, *groups, version="1.3")
        outcome = visitor.resume(server, *groups, "-early_data", early_file, version="1.3")
        assert outcome.connection.info.retried
        assert "Early data was rejected\n" in visitor.output
    assert reader.read == [b"", b""]


@pytest.mark.parametrize("policy_name", POLICIES)
def test_servers_allow_no_early_data_by_default(policy_name: str, visitor: Visitor, early_file: Path, pki: PKI) -> None:
    with ThreadedServer(server_config(pki, "1.3", resumption=policy(policy_name))) as server:
        visitor.begin(server, version="1.3")
        assert "Max Early Data: 0\n" in visitor.output


def test_early_data_fills_its_limit_exactly(visitor: Visitor, early_file: Path, pki: PKI) -> None:
    reader = EarlyReader()
    with ThreadedServer(early_config(pki, limit=len(EARLY)), reader) as server:
        visitor.begin(server, version="1.3")
        visitor.resume(server, "-early_data", early_file, version="1.3")
        assert "Early data was accepted\n" in visitor.output
    assert reader.read == [b"", EARLY]


@pytest.mark.parametrize("size", [20_000, 200_000])
def test_much_early_data_is_taken_and_passed_over(size: int, visitor: Visitor, pki: PKI, tmp_path: Path) -> None:
    """Refused, all of it comes nevertheless: as much as the server itself has allowed."""
    content = os.urandom(size).replace(b"\n", b".")
    (tmp_path / "much").write_bytes(content)
    reader = EarlyReader()
    with ThreadedServer(early_config(pki, limit=1 << 18), reader) as server:
        visitor.begin(server, version="1.3")
        visitor.resume(server, "-early_data", tmp_path / "much", version="1.3")
        assert "Early data was accepted\n" in visitor.output
        visitor.resume(server, "-early_data", tmp_path / "much", kind="New", version="1.3")
        assert "Early data was rejected\n" in visitor.output
    whole = reader.read == [b"", content, b""]
    assert whole, "the early data was changed"


# -- External pre-shared keys -----------------------------------------------------------------------------------------


def psk_arguments(key: bytes = PSK, identity: str = "device-17") -> list[Argument]:
    """s_client's; it takes SHA-256 for its key's hash."""
    return ["-tls1_3", "-psk", key.hex(), "-psk_identity", identity]


def test_external_psk_takes_the_place_of_certificates(openssl: str, pki: PKI) -> None:
    config = server_config(pki, "1.3", external_psks=[trustls.ExternalPsk(b"device-17", PSK)])
    with (
        Watch() as watch,
        ThreadedServer(config) as server,
        SClient(openssl, pki, server.port, *psk_arguments()) as client,
    ):
        kind, _version, suite = client.established()
        assert (kind, suite[-6:]) == ("Reused", "SHA256"), "OpenSSL says Reused of a key that it was given, too"
        client.ask("hello")
        client.quit()
        outcome = server.outcome()
        events = watch.take()
    assert outcome.error is None
    assert outcome.connection.info.psk_identity == b"device-17"
    assert not outcome.connection.info.resumed
    assert outcome.connection.peer is None
    assert certificates_in(events) == []


def test_psk_that_nobody_knows_is_a_full_handshake(openssl: str, pki: PKI) -> None:
    config = server_config(pki, "1.3", external_psks=[trustls.ExternalPsk(b"device-17", PSK)])
    arguments = psk_arguments(identity="device-18")
    with (
        ThreadedServer(config) as server,
        SClient(openssl, pki, server.port, *arguments, identity=pki.alice) as client,
    ):
        client.ask("hello")
        client.quit()
        outcome = server.outcome()
    assert outcome.peer.subject == "CN=alice"
    assert outcome.connection.info.psk_identity is None


def test_wrong_psk_is_refused(openssl: str, pki: PKI) -> None:
    config = server_config(pki, "1.3", external_psks=[trustls.ExternalPsk(b"device-17", PSK)])
    arguments = psk_arguments(key=bytes(32))
    with (
        ThreadedServer(config) as server,
        SClient(openssl, pki, server.port, *arguments, identity=pki.alice) as client,
    ):
        client.wait_for("alert (illegal parameter|decrypt error)")
        error = server.outcome().error
    assert isinstance(error, trustls.PeerMisbehaved)
    assert error.reason is trustls.Misbehaviour.BAD_BINDER


def test_psk_with_a_retry(openssl: str, pki: PKI) -> None:
    psks = [trustls.ExternalPsk(b"device-17", PSK)]
    config = server_config(pki, "1.3", external_psks=psks, groups=["secp384r1"])
    arguments = [*psk_arguments(), "-groups", "X25519:P-384"]
    with ThreadedServer(config) as server, SClient(openssl, pki, server.port, *arguments) as client:
        client.ask("hello")
        client.quit()
        info = server.outcome().connection.info
    assert (info.retried, info.psk_identity) == (True, b"device-17")
