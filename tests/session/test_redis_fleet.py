"""Two server processes that share a Redis, one with threads and one with asyncio, and real connections to both."""

from __future__ import annotations

import contextlib
import json
import logging
import queue
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import trustls
from tests.session import fleet_member
from tests.session.redis_server import RedisServer
from trustls.cli.pki import Authority
from trustls.session.state import ClientSession
from trustls.session.tickets import NAME_LENGTH
from trustls.trace import HandshakeEvent

PATIENCE_SECONDS = 10.0
RETRY_AFTER = 0.5
# What a Redis that hangs may add to a handshake: two timeouts of 250 ms, and a slow machine.
BOUND_SECONDS = 2.0
PERIOD = 1000
ALICE = "CN=alice"

VERSIONS = pytest.mark.parametrize("version", ["1.2", "1.3"])
POLICIES = pytest.mark.parametrize("resumption", ["tickets", "stored"])


class Member:
    """One server process."""

    def __init__(self, settings: dict[str, Any], log: Path) -> None:
        self._log = log
        with log.open("wb") as stderr:
            self._process = subprocess.Popen(
                [sys.executable, fleet_member.__file__, json.dumps(settings)], stdout=subprocess.PIPE, stderr=stderr
            )
        self._lines: queue.Queue[dict[str, Any]] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        try:
            self.port: int = self.report()["port"]
        except BaseException:
            self.close()
            raise

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(json.loads(line))

    @property
    def log(self) -> str:
        return self._log.read_text()

    def report(self) -> dict[str, Any]:
        """The next line that the server says."""
        try:
            return self._lines.get(timeout=PATIENCE_SECONDS)
        except queue.Empty:
            raise AssertionError(f"the server said nothing for {PATIENCE_SECONDS:g} s; its log:\n{self.log}") from None

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join()
        assert self._process.stdout is not None
        self._process.stdout.close()


class Wallet:
    """A client's sessions in plain sight: the newest is offered first, and all are kept."""

    def __init__(self) -> None:
        self.offered: list[ClientSession] = []
        self.given: list[ClientSession] = []

    def put(self, key: bytes, session: ClientSession) -> None:
        self.given.append(session)
        self.offered.append(session)

    def take(self, key: bytes) -> ClientSession | None:
        return self.offered.pop() if self.offered else None


@dataclass(frozen=True)
class Seen:
    """One connection, as both sides saw it."""

    resumed: bool
    early_data: str
    seconds: float


class Fleet:
    """Two servers, and a client named alice."""

    def __init__(self, redis: RedisServer, folder: Path, stack: ExitStack, settings: dict[str, Any]) -> None:
        root = Authority.create("Fleet CA")
        root.write(folder, "ca")
        root.issue_server("localhost").write(folder, "server")
        alice = root.issue_client("alice")
        self._alice = trustls.Credential.from_pem(alice.pem_chain, alice.pem_key)
        self._roots = trustls.RootCertStore.from_pem(folder / "ca.pem")
        self._clock = folder / "clock"
        self.move_clock(0)
        self.redis = redis
        self.wallet = Wallet()
        usual = {
            "pki": str(folder),
            "redis": redis.url,
            "clock": str(self._clock),
            "secret": "",
            "retry_after": RETRY_AFTER,
            "rotate_every": PERIOD,
            "max_early_data": 1000,
        }
        self.members: list[Member] = []
        for asynchronous in (False, True):
            log = folder / f"member-{len(self.members)}.log"
            member = Member({**usual, "asynchronous": asynchronous, **settings}, log)
            stack.callback(member.close)
            self.members.append(member)
        self.blocking, self.asynchronous = self.members

    def move_clock(self, seconds: float) -> None:
        """Set the servers' clocks this far ahead."""
        beside = self._clock.with_suffix(".new")
        beside.write_text(str(seconds))
        beside.replace(self._clock)

    def client_config(self, **changes: Any) -> trustls.ClientConfig:
        usual = {"roots": self._roots, "credentials": [self._alice], "sessions": self.wallet, "early_data": True}
        return trustls.ClientConfig(**{**usual, **changes})

    def connect(self, member: Member, early_data: bytes = b"") -> Seen:
        """A whole connection; both sides must agree on it, and the server must know that it is alice."""
        started = time.monotonic()
        tls = trustls.connect(
            ("127.0.0.1", member.port),
            self.client_config(),
            server_name="localhost",
            timeout=PATIENCE_SECONDS,
            early_data=early_data,
        )
        with tls:
            assert tls.recv_exactly(len(fleet_member.GREETING)) == fleet_member.GREETING
            seconds = time.monotonic() - started
            info = tls.connection.info
            assert tls.connection.peer is not None
        report = member.report()
        assert report["failure"] is None
        assert report["peer"] == ALICE, "the client's identity is that of its certificate, resumed or not"
        assert report["resumed"] == info.resumed, "both sides agree"
        assert report["version"] == info.version.iana
        return Seen(info.resumed, report["early_data"], seconds)


MakeFleet = Callable[..., Fleet]


@pytest.fixture
def make_fleet(redis: RedisServer, tmp_path: Path) -> Iterator[MakeFleet]:
    with ExitStack() as stack:
        yield lambda **settings: Fleet(redis, tmp_path, stack, settings)


class Messages(logging.Handler):
    """The names of the handshake messages that the client sees, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        event = getattr(record, "event", None)
        if isinstance(event, HandshakeEvent):
            self.names.append(type(event.message).__name__)

    def forget(self) -> None:
        self.names.clear()

    @property
    def with_certificates(self) -> bool:
        return any(name.startswith("Certificate") for name in self.names)


@pytest.fixture
def messages() -> Iterator[Messages]:
    logger = logging.getLogger("trustls.handshake")
    handler = Messages()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(trustls.TRACE)
    yield handler
    logger.setLevel(level)
    logger.removeHandler(handler)


# -- Resuming elsewhere -----------------------------------------------------------------------------------------------


@VERSIONS
@POLICIES
@pytest.mark.parametrize("secret", ["", "5a" * 32], ids=["plain", "sealed"])
def test_a_session_begun_on_one_server_resumes_on_the_other(
    make_fleet: MakeFleet, messages: Messages, version: str, resumption: str, secret: str
) -> None:
    fleet = make_fleet(version=version, resumption=resumption, secret=secret)
    for first, second in (fleet.members, fleet.members[::-1]):
        fleet.wallet.offered.clear()
        messages.forget()
        assert not fleet.connect(first).resumed
        assert messages.with_certificates
        messages.forget()
        assert fleet.connect(second).resumed
        assert messages.names, "the trace is on"
        assert not messages.with_certificates, "no certificate is exchanged, requested or verified by signature"


@VERSIONS
def test_servers_with_different_secrets_do_not_resume_each_others_sessions(
    make_fleet: MakeFleet, redis: RedisServer, tmp_path: Path, version: str
) -> None:
    fleet = make_fleet(version=version, resumption="stored", secret="5a" * 32)
    stranger_folder = tmp_path / "stranger"
    stranger_folder.mkdir()
    with ExitStack() as stack:
        stranger = Fleet(
            redis, stranger_folder, stack, {"version": version, "resumption": "stored", "secret": "a5" * 32}
        )
        assert not fleet.connect(fleet.blocking).resumed
        assert fleet.connect(fleet.blocking).resumed
        stranger.wallet.offered += fleet.wallet.given
        assert not stranger.connect(stranger.blocking).resumed


@VERSIONS
def test_the_fleet_rotates_its_keys_together(make_fleet: MakeFleet, version: str) -> None:
    fleet = make_fleet(version=version, resumption="tickets")
    start = PERIOD - time.time() % PERIOD  # The servers' clocks begin a period, so that the test stays within it.
    tickets: list[list[ClientSession]] = []
    for period in range(4):
        fleet.move_clock(start + period * PERIOD)
        fleet.wallet.given.clear()
        for member in fleet.members:
            fleet.wallet.offered.clear()
            assert not fleet.connect(member).resumed
        tickets.append(list(fleet.wallet.given))
        for older, opens in ((0, True), (1, True), (2, False)):
            if older <= period:
                given = tickets[period - older]
                for member, others in zip(fleet.members, (given[-1], given[0]), strict=True):
                    fleet.wallet.offered[:] = [others]
                    assert fleet.connect(member).resumed == opens, f"{older} periods later, in period {period}"
    names = [{session.ticket[:NAME_LENGTH] for session in given} for given in tickets]
    assert [len(each) for each in names] == [1] * 4, "all servers seal under the same key"
    assert len(set.union(*names)) == 4, "and each period has its own"


# -- Early data -------------------------------------------------------------------------------------------------------


def first_flight(fleet: Fleet, data: bytes) -> bytes:
    """What a client sends before the server has answered: the ClientHello, and early data."""
    connection = trustls.ClientConnection(fleet.client_config(), "localhost")
    connection.write_early(data)
    return connection.data_to_send()


def replay(flight: bytes, member: Member) -> None:
    """Send the bytes as anybody can who saw them, and look at nothing that comes back."""
    with socket.create_connection(("127.0.0.1", member.port), PATIENCE_SECONDS) as sock, contextlib.suppress(OSError):
        sock.sendall(flight)
        sock.shutdown(socket.SHUT_WR)
        while sock.recv(1 << 16):
            pass


def test_early_data_begun_on_one_server_is_taken_by_the_other(make_fleet: MakeFleet) -> None:
    fleet = make_fleet(version="1.3", resumption="stored")
    for first, second in (fleet.members, fleet.members[::-1]):
        fleet.wallet.offered.clear()
        fleet.connect(first)
        seen = fleet.connect(second, early_data=b"GET / now")
        assert seen.resumed
        assert seen.early_data == "GET / now"


def test_a_flight_that_is_sent_many_times_at_once_is_accepted_once(make_fleet: MakeFleet) -> None:
    fleet = make_fleet(version="1.3", resumption="stored")
    copies = 12
    for turn in range(4):
        fleet.connect(fleet.members[turn % 2])
        data = f"transfer {turn}"
        flight = first_flight(fleet, data.encode())
        with ThreadPoolExecutor(2 * copies) as pool:
            list(pool.map(lambda member: replay(flight, member), fleet.members * copies))  # noqa: B023 (runs at once)
        reports = [member.report() for member in fleet.members for _ in range(copies)]
        assert [report["failure"] for report in reports] == ["UnexpectedEOF"] * 2 * copies, "nobody finishes"
        accepted = [report for report in reports if report["early_data_accepted"]]
        assert len(accepted) == 1, f"{len(accepted)} of {2 * copies} copies were accepted"
        assert [report["early_data"] for report in reports if report["early_data"]] == [data]


def test_a_flight_that_was_used_is_accepted_nowhere_again(make_fleet: MakeFleet) -> None:
    fleet = make_fleet(version="1.3", resumption="stored")
    fleet.connect(fleet.blocking)
    connection = trustls.ClientConnection(fleet.client_config(), "localhost")
    connection.write_early(b"transfer")
    flight = connection.data_to_send()
    sock = socket.create_connection(("127.0.0.1", fleet.asynchronous.port), PATIENCE_SECONDS)
    sock.sendall(flight)
    with trustls.TLSSocket(sock, connection) as tls:
        assert tls.recv_exactly(len(fleet_member.GREETING)) == fleet_member.GREETING
        assert connection.early_data_accepted
    assert fleet.asynchronous.report()["early_data"] == "transfer"
    for member in fleet.members * 2:
        replay(flight, member)
        report = member.report()
        assert report["early_data"] == ""
        assert not report["early_data_accepted"]


# -- Without Redis ----------------------------------------------------------------------------------------------------


@pytest.mark.timeout(60)
@VERSIONS
@POLICIES
@pytest.mark.parametrize("how", ["frozen", "killed"])
def test_redis_going_away_costs_resumption_and_no_handshake(
    make_fleet: MakeFleet, redis: RedisServer, version: str, resumption: str, how: str
) -> None:
    leave, come_back = (redis.freeze, redis.thaw) if how == "frozen" else (redis.kill, redis.start)
    fleet = make_fleet(version=version, resumption=resumption)
    for member in fleet.members:
        fleet.connect(member)
        assert fleet.connect(member).resumed

    leave()
    if resumption == "tickets":
        # The keys of this period are known to all; those of the next one cannot be agreed on.
        assert all(fleet.connect(member).resumed for member in fleet.members)
        fleet.move_clock(2 * PERIOD)
    for member in fleet.members:
        for _ in range(3):
            seen = fleet.connect(member)
            assert not seen.resumed
            assert seen.seconds < BOUND_SECONDS
        with ThreadPoolExecutor(8) as pool:
            waits = list(pool.map(lambda _: plain_handshake(fleet, member), range(8)))  # noqa: B023 (runs at once)
        assert max(waits) < BOUND_SECONDS, "many at once wait no longer than one"
        for _ in waits:
            assert member.report()["failure"] is None

    come_back()
    time.sleep(RETRY_AFTER + 0.1)
    for member in fleet.members:
        fleet.wallet.offered.clear()
        fleet.connect(member)
        fleet.wallet.offered[:-1] = []
        assert fleet.connect(member).resumed
    for member in fleet.members:
        assert member.log.count("WARNING:trustls.session:Redis cannot be used") == 1, member.log
        assert member.log.count("Redis answers again") == 1, member.log


def plain_handshake(fleet: Fleet, member: Member) -> float:
    """A handshake without sessions on the client's side; how long it took until data came."""
    started = time.monotonic()
    config = fleet.client_config(sessions=None)
    with trustls.connect(("127.0.0.1", member.port), config, server_name="localhost", timeout=PATIENCE_SECONDS) as tls:
        tls.recv_exactly(len(fleet_member.GREETING))
        return time.monotonic() - started


def test_servers_that_start_without_redis_serve(make_fleet: MakeFleet, redis: RedisServer) -> None:
    redis.kill()
    fleet = make_fleet(version="1.3", resumption="stored")
    for member in fleet.members:
        assert not fleet.connect(member).resumed
        assert not fleet.connect(member).resumed
    redis.start()
    time.sleep(RETRY_AFTER + 0.1)
    for member in fleet.members:
        fleet.connect(member)
        assert fleet.connect(member).resumed


def test_early_data_without_redis_is_refused_and_sent_again(make_fleet: MakeFleet, redis: RedisServer) -> None:
    fleet = make_fleet(version="1.3", resumption="stored")
    for member in fleet.members:
        fleet.wallet.offered.clear()
        fleet.connect(member)
        redis.freeze()
        config = fleet.client_config()
        tls = trustls.connect(
            ("127.0.0.1", member.port), config, server_name="localhost", timeout=PATIENCE_SECONDS, early_data=b"now"
        )
        with tls:
            tls.recv_exactly(len(fleet_member.GREETING))
            assert tls.connection.early_data_accepted is False
            assert tls.connection.take_rejected_early_data() == b"now"
        report = member.report()
        assert (report["resumed"], report["early_data"]) == (False, "")
        redis.thaw()
