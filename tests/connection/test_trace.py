"""What a log shows of a handshake, and what it never shows; and the key log, which shows just that."""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import re
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import trustls
from tests.support.examples import COMPARES_BYTES
from tests.support.identities import (
    client_config,
    client_credential,
    client_identity,
    optional,
    required,
    server_config,
    server_identity,
    strange_credential,
)
from tests.support.memory import Pair, connect, feed, pair, plain_record, sending_secret
from tests.support.scripted import ScriptedServer, on
from tests.wire.strategies import MESSAGES, strategy_of
from trustls.connection import ClientConnection
from trustls.errors import ConfigError
from trustls.handshake.retry_cookie import RetryCookies
from trustls.keylog import KeyLogFile
from trustls.session.state import ClientSession
from trustls.session.store import MemoryClientSessions
from trustls.session.tickets import RotatingTicketKeys, Tickets
from trustls.trace import HandshakeEvent
from trustls.wire.messages import CertificateRequest, NewSessionTicket, encode_message

pytestmark = COMPARES_BYTES

LABELS = [
    "CLIENT_HANDSHAKE_TRAFFIC_SECRET",
    "SERVER_HANDSHAKE_TRAFFIC_SECRET",
    "CLIENT_TRAFFIC_SECRET_0",
    "SERVER_TRAFFIC_SECRET_0",
    "EXPORTER_SECRET",
]


class Secrets:
    """A key log in memory."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, bytes, bytes]] = []

    def log(self, label: str, client_random: bytes, secret: bytes) -> None:
        self.lines.append((label, client_random, secret))


class KeptSessions(MemoryClientSessions):
    """Remembers every session that it was ever given."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[ClientSession] = []

    def put(self, key: bytes, session: ClientSession) -> None:
        self.kept.append(session)
        super().put(key, session)


class Recorder(logging.Handler):
    """Every record, rendered when it comes; a record that cannot be rendered fails the test."""

    def __init__(self) -> None:
        super().__init__(level=1)
        self.records: list[logging.LogRecord] = []
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)
        self.texts.append(record.getMessage())


@pytest.fixture
def log() -> Iterator[Recorder]:
    recorder = Recorder()
    logger = logging.getLogger("trustls.handshake")
    before = logger.level
    logger.addHandler(recorder)
    logger.setLevel(trustls.TRACE)
    yield recorder
    logger.removeHandler(recorder)
    logger.setLevel(before)


def mutual(**server: object) -> Pair:
    return connect(
        server_config(client_auth=required(), alpn=["h2"], **server),
        client_config(credentials=[strange_credential(), client_credential()], alpn=["h2"]),
    )


def titles(log: Recorder, role: str) -> list[str]:
    return [text.split(" (")[0].removeprefix(f"{role} ") for text in log.texts if text.startswith(role)]


# -- The trace --------------------------------------------------------------------------------------------------------


def test_trace_shows_every_message_on_both_sides_in_order(log: Recorder) -> None:
    joined = mutual(groups=["secp256r1"])
    joined.client.update_keys(request_peer=False)
    joined.client.close()
    joined.run()
    client = [
        "sent ClientHello",
        "received HelloRetryRequest",
        "sent ClientHello",
        "received ServerHello",
        "received EncryptedExtensions",
        "received CertificateRequest",
        "received Certificate",
        "received CertificateVerify",
        "received Finished",
        "sent Certificate",
        "sent CertificateVerify",
        "sent Finished",
        "received NewSessionTicket",
        "received NewSessionTicket",
        "sent KeyUpdate",
        "sent Alert close_notify",
    ]
    assert titles(log, "client") == client
    other = {"sent": "received", "received": "sent"}
    mirrored = [f"{other[line.split()[0]]} {line.split(maxsplit=1)[1]}" for line in client]
    assert sorted(titles(log, "server")) == sorted(mirrored)


def test_trace_shows_a_certificate_request_with_its_names(log: Recorder) -> None:
    mutual()
    (text,) = [text for text in log.texts if text.startswith("server sent CertificateRequest")]
    lines = text.splitlines()
    assert "  signature_algorithms: ecdsa_secp256r1_sha256, ed25519, rsa_pss_rsae_sha256" in text
    assert lines[lines.index("  certificate_authorities:") + 1] == "    CN=K-Dot Certificate Authority,O=TDE,C=US"


def test_trace_shows_a_client_hello_with_names_for_numbers(log: Recorder) -> None:
    mutual()
    text = log.texts[0]
    assert text.startswith("client sent ClientHello (")
    for line in (
        (
            "  cipher_suites: TLS_AES_256_GCM_SHA384, TLS_AES_128_GCM_SHA256, TLS_CHACHA20_POLY1305_SHA256, "
            "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, "
            "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, "
            "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"
        ),
        "  server_name: localhost",
        "  supported_versions: TLSv1.3, TLSv1.2",
        "  supported_groups: X25519MLKEM768, x25519, secp256r1, secp384r1, secp521r1",
        "    h2",
        "    x25519: 32 bytes",
        "  psk_key_exchange_modes: psk_dhe_ke",
        "  extended_master_secret: yes",
    ):
        assert line in text.splitlines(), f"{line!r} is missing in\n{text}"
    assert "None" not in text, "an extension that is not there is shown"


def test_trace_shows_the_certificates_presented(log: Recorder) -> None:
    mutual()
    (text,) = [text for text in log.texts if text.startswith("client sent Certificate (")]
    assert re.search(r"CN=alice \(issued by CN=K-Dot Issuing, expires \d{4}-\d\d-\d\d\)", text)


def test_trace_tells_grease_from_what_is_not_known(log: Recorder) -> None:
    edit = on(
        CertificateRequest,
        lambda message: (dataclasses.replace(message, unknown_extensions=((0x0A0A, b""), (0x7777, b"seven"))),),
    )
    Pair(
        ClientConnection(client_config(), "localhost"), ScriptedServer(server_config(client_auth=optional()), edit)
    ).run()
    (text,) = [text for text in log.texts if text.startswith("client received CertificateRequest")]
    assert "  GREASE 0x0a0a: empty" in text
    assert "  unknown extension 0x7777: seven" in text


def test_event_holds_the_message_and_its_exact_bytes(log: Recorder) -> None:
    mutual()
    events = [record.event for record in log.records if hasattr(record, "event")]
    assert all(isinstance(event, HandshakeEvent) for event in events)
    for event in events:
        assert encode_message(event.message) == event.raw
        assert log.records[0].levelno == trustls.TRACE
    assert {event.role for event in events} == {"client", "server"}
    assert {event.direction for event in events} == {"sent", "received"}


def test_trace_tells_why_a_connection_failed(log: Recorder) -> None:
    pair(server_config(client_auth=required())).run()
    assert any("server failed: CertificateRejected: no certificate was presented" in text for text in log.texts)
    assert "client received Alert certificate_required" in log.texts
    assert any("client failed: CertificateRejectedByPeer" in text for text in log.texts)


def test_trace_shows_an_alert_of_an_unknown_number(log: Recorder) -> None:
    feed(ClientConnection(client_config(), "localhost"), [plain_record(21, b"\2\xc8")])
    assert "client received Alert unknown (200)" in log.texts


def test_nothing_is_traced_below_the_level(log: Recorder) -> None:
    logging.getLogger("trustls.handshake").setLevel(logging.INFO)
    mutual().check_connected()
    assert log.texts == []


@pytest.mark.parametrize("owner", MESSAGES, ids=lambda owner: owner.__name__)
@settings(max_examples=10, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_any_message_can_be_traced(owner: type, data: st.DataObject) -> None:
    message = data.draw(strategy_of(owner))
    text = str(HandshakeEvent("client", "received", message, b"raw"))
    assert text.startswith("client received ")
    for character in text:
        assert character == "\n" or character.isprintable(), f"{character!r} gets to a terminal"


@pytest.mark.parametrize("retry", [False, True])
def test_no_secret_is_ever_traced(log: Recorder, *, retry: bool) -> None:
    """With the key log as the list of what must not be there, on both sides, after KeyUpdates, and when resuming."""
    secrets = Secrets()
    sessions = KeptSessions()
    keys = RotatingTicketKeys()
    groups = ["secp256r1"] if retry else None
    server = server_config(
        client_auth=required(),
        key_log=secrets,
        groups=groups,
        retry_cookies=RetryCookies(b"K" * 32),
        resumption=Tickets(keys=keys),
    )
    client = client_config(credentials=[client_credential()], key_log=secrets, sessions=sessions)
    connect(server, client)
    joined = connect(server, client)
    assert joined.client.info.resumed
    joined.client.update_keys()
    joined.server.update_keys()
    joined.run().check_connected()
    hidden = [secret for _, _, secret in secrets.lines]
    for identity in (client_identity(), server_identity()):
        numbers = identity.key.private_numbers()  # type: ignore[union-attr]
        hidden.append(numbers.private_value.to_bytes(32, "big"))  # type: ignore[union-attr]
        hidden.append(
            identity.key.private_bytes(
                serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
    for side in (joined.client, joined.server):
        hidden.append(sending_secret(side).secret)
        hidden.extend(sending_secret(side).key_and_iv())
    hidden.append(b"K" * 32)
    hidden.append(keys.current(server.now()).key)
    assert len(sessions.kept) == 4
    hidden.extend(session.secret for session in sessions.kept)
    raw = b"".join(record.event.raw for record in log.records if hasattr(record, "event"))
    shown = "\n".join(log.texts) + "\n".join(repr(record.__dict__) for record in log.records)
    assert len(hidden) >= 25
    for secret in hidden:
        assert secret not in raw, "a secret went over the wire"
        for text in (secret.hex(), secret.hex()[:32], repr(secret)[2:-1]):
            assert text not in shown, f"the trace shows {text}"


def test_age_add_of_a_ticket_is_not_traced() -> None:
    """It hides from a watcher which connections resume which (RFC 9846 4.7.1)."""
    ticket = NewSessionTicket(lifetime=7200, age_add=1234567890, nonce=b"\0", ticket=b"ticket")
    text = str(HandshakeEvent("client", "received", ticket, b""))
    assert "7200" in text
    assert "1234567890" not in text


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_tickets_identities_and_cookies_are_not_traced_but_known_again(log: Recorder, version: str) -> None:
    sessions = KeptSessions()
    psk = trustls.ExternalPsk(b"the till in the corner", b"k" * 32)
    server = server_config(groups=["secp256r1"], retry_cookies=RetryCookies(b"K" * 32), external_psks=[psk])
    # A share that the server has to ask for, so that there is a cookie.
    only_13 = {"external_psks": [psk], "key_shares": ["x25519"]} if version == "1.3" else {}
    client = client_config(sessions=sessions, versions=[version], **only_13)
    connect(server, client_config(sessions=sessions, versions=[version]))
    log.texts.clear()
    assert connect(server, client_config(sessions=sessions, versions=[version])).client.info.resumed
    if version == "1.3":
        connect(server, client)
    shown = "\n".join(log.texts)
    tickets = [session.ticket for session in sessions.kept]
    assert tickets
    for withheld in (psk.identity, *tickets):
        assert withheld.hex()[:32] not in shown
        assert withheld.decode("latin-1") not in shown
    assert "the till" not in shown
    known = {f"{len(ticket)} bytes, SHA-256 {hashlib.sha256(ticket).hexdigest()[:8]}..." for ticket in tickets}
    offered = re.findall(r"(?:session_ticket|identity): (\d+ bytes, SHA-256 [0-9a-f]{8}\.\.\.)", shown)
    assert known & set(offered), "the ticket that is offered is not one that came before"
    if version == "1.3":
        assert re.search(r"cookie: \d+ bytes, SHA-256", shown)
        assert re.search(r"binders:\n +\d+ bytes, SHA-256", shown)


# -- The key log ------------------------------------------------------------------------------------------------------


def test_both_sides_log_the_same_secrets_under_their_labels() -> None:
    client, server = Secrets(), Secrets()
    joined = connect(server_config(key_log=server), client_config(key_log=client))
    assert client.lines == server.lines
    assert [label for label, _, _ in client.lines] == LABELS
    (random,) = {random for _, random, _ in client.lines}
    assert len(random) == 32
    assert len({secret for _, _, secret in client.lines}) == 5
    assert sending_secret(joined.client).secret == {label: secret for label, _, secret in client.lines}[LABELS[2]]


def test_key_log_is_keyed_by_the_random_of_the_client_hello() -> None:
    provider = dataclasses.replace(trustls.DEFAULT_PROVIDER, random=lambda count: b"\x2a" * count)
    secrets = Secrets()
    connect(server_config(key_log=secrets), client_config(provider=provider))
    assert {random for _, random, _ in secrets.lines} == {b"\x2a" * 32}


def test_key_log_file_holds_lines_as_wireshark_reads_them(tmp_path: Path) -> None:
    with KeyLogFile(tmp_path / "keys") as keys:
        connect(server_config(key_log=keys))
        connect(server_config(key_log=keys))
        assert keys.path == str(tmp_path / "keys")
    lines = (tmp_path / "keys").read_text().splitlines()
    assert len(lines) == 10
    assert all(re.fullmatch(r"[A-Z0-9_]+ [0-9a-f]{64} [0-9a-f]{96}", line) for line in lines)
    assert [line.split()[0] for line in lines] == LABELS * 2


def test_key_log_file_is_its_owners_alone_and_is_appended_to(tmp_path: Path) -> None:
    for number in range(2):
        with KeyLogFile(tmp_path / "keys") as keys:
            keys.log("LABEL", bytes([number]), b"\xff")
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o600
    assert (tmp_path / "keys").read_text() == "LABEL 00 ff\nLABEL 01 ff\n"


def test_environment_variable_means_something_only_when_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "keys"
    monkeypatch.setenv("SSLKEYLOGFILE", str(path))
    connect()
    assert not path.exists(), "secrets were written that nobody asked for"
    with KeyLogFile.from_environment() as keys:
        assert keys.path == str(path)
    monkeypatch.delenv("SSLKEYLOGFILE")
    with pytest.raises(ConfigError, match="SSLKEYLOGFILE is not set"):
        KeyLogFile.from_environment()


def test_key_log_lines_of_many_threads_do_not_mix(tmp_path: Path) -> None:
    with KeyLogFile(tmp_path / "keys") as keys:

        def write(number: int) -> None:
            for _ in range(100):
                keys.log("LABEL", bytes([number]) * 32, bytes([number]) * 48)

        threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    lines = (tmp_path / "keys").read_text().splitlines()
    assert len(lines) == 400
    assert len(set(lines)) == 4


def test_key_log_that_fails_ends_the_connection_and_no_more() -> None:
    class Full:
        def log(self, label: str, client_random: bytes, secret: bytes) -> None:
            raise OSError("no space left on device")

    joined = pair(server_config(key_log=Full())).run()
    assert isinstance(joined.server.failure, trustls.InternalError)
    assert isinstance(joined.client.failure, trustls.AlertReceived)
