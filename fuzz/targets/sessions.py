"""Sessions and what stands for them: states, tickets, names in a store, cookies, and tickets that a server gives.

What is stored may be lost or broken at any time: that costs a full handshake, never a failed one.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

from fuzz.decisions import Decisions
from fuzz.mutations import NO_ENCODING, other_field
from fuzz.oracles import check_refusal
from fuzz.scenarios import SameSession, Scenario, named
from tests.session.sessions import server_session
from tests.support.memory import Pair, pair
from tests.support.scripted import ScriptedServer, say
from trustls.connection import ClientConnection, ServerConnection
from trustls.errors import AlertReceived, PeerMisbehaved, TLSError
from trustls.handshake.client_sessions import MAX_TICKET
from trustls.handshake.retry_cookie import RetryCookies
from trustls.session.state import ServerSession
from trustls.session.tickets import RotatingTicketKeys, StoredSessions, TicketKey, Tickets
from trustls.wire.messages import NewSessionTicket

MAX_LENGTH: Final = 2048
_KEY: Final = TicketKey(bytes(16), bytes(range(32)))
_COOKIES: Final = RetryCookies(bytes(range(32)))
_NOW: Final = 1_800_000_000.0


class _OneKey:
    """Ticket keys: one, always."""

    def current(self, now: float) -> TicketKey:
        return _KEY

    def named(self, name: bytes, now: float) -> TicketKey | None:
        return _KEY if name == _KEY.name else None


class _Broken:
    """A store that gives the same bytes for every name."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def put(self, identifier: bytes, session: bytes, lifetime: int) -> None:
        pass

    def get(self, identifier: bytes) -> bytes | None:
        return self.content

    take = get


def check(data: bytes) -> None:
    """One of the things that stand for a session."""
    choices = Decisions(data)
    match choices.below(8):
        case 0:
            _check_state(choices.rest())
        case 1:
            _check_changed_state(choices)
        case 2:
            _check_ticket(choices)
        case 3:
            _check_cookie(choices)
        case 4:
            _check_lookup(choices, "1.3")
        case 5:
            _check_lookup(choices, "1.2")
        case 6:
            _check_given_ticket(choices)
        case _:
            _check_rotation(choices)


def _check_state(data: bytes) -> None:
    session = ServerSession.parse(data)
    if session is None:
        return
    again = session.encode()
    assert ServerSession.parse(again) == session, f"{session} is another one when it is read back"
    # One byte says yes or no, and any but zero says yes.
    assert len(again) == len(data), f"{data.hex()} is written as {again.hex()}"
    session.is_expired(_NOW)
    assert session.secret.hex() not in repr(session), "a secret is shown"


def _check_changed_state(choices: Decisions) -> None:
    session: Any = server_session()
    for _ in range(1 + choices.below(4)):
        session = other_field(session, choices)
    try:
        encoded = session.encode()
    except NO_ENCODING:
        return
    _check_state(encoded)


def _check_ticket(choices: Decisions) -> None:
    session = choices.octets()
    ticket = _KEY.seal(session)
    assert _KEY.open(ticket) == session
    forged = choices.rest()
    if forged != ticket:
        assert _KEY.open(forged) is None, "a ticket that nobody sealed"
        assert _KEY.open(ticket[: len(forged)] + forged) is None, "a ticket with something behind it"
    at, bit = choices.below(len(ticket)), 1 << choices.below(8)
    assert _KEY.open(ticket[:at] + bytes([ticket[at] ^ bit]) + ticket[at + 1 :]) is None, "a ticket that was changed"


def _check_cookie(choices: Decisions) -> None:
    own, choice = choices.octets(64), choices.octets(16)
    cookie = _COOKIES.make(own, choice, _NOW)
    _COOKIES.check(cookie, own, choice, _NOW)
    late = choices.below(400)
    forged = choices.rest()
    for presented, now in (
        (forged, _NOW),
        (cookie + forged, _NOW),
        (cookie[: len(forged)], _NOW),
        (cookie, _NOW + 61 + late),
    ):
        if presented == cookie and now == _NOW:
            continue
        try:
            _COOKIES.check(presented, own, choice, now)
        except PeerMisbehaved as error:
            check_refusal(error)
        else:
            raise AssertionError(f"the cookie {presented.hex()} is taken at {now - _NOW}")


@functools.cache
def _honest_session(version: str) -> tuple[Scenario, ServerSession]:
    """A session as the server of a scenario makes it, to be changed."""
    scenario = named(f"{version} ticket")
    policy = scenario.server.resumption
    store = scenario.client.sessions
    assert isinstance(policy, Tickets)
    assert isinstance(store, SameSession)
    assert store.session is not None
    ticket = store.session.ticket
    key = policy.keys.named(ticket[:16], _NOW)
    assert isinstance(key, TicketKey)
    state = ServerSession.parse(key.open(ticket) or b"")
    assert state is not None
    return scenario, state


def _check_lookup(choices: Decisions, version: str) -> None:
    """A client shows a good ticket, and the server's store, or the ticket itself, holds something else."""
    scenario, session = _honest_session(version)
    if choices.flag():
        content = choices.rest()
    else:
        changed: Any = session
        for _ in range(1 + choices.below(3)):
            changed = other_field(changed, choices)
        try:
            content = changed.encode()
        except NO_ENCODING:
            return
    stored = choices.flag()
    policy = StoredSessions(store=_Broken(content)) if stored else Tickets(keys=_OneKey())
    server = replace(scenario.server, resumption=policy)
    ticket = bytes(32) if stored else _KEY.seal(content)
    if len(ticket) > MAX_TICKET:
        return  # No client keeps it.
    store = scenario.client.sessions
    assert isinstance(store, SameSession)
    assert store.session is not None
    shown = replace(store.session, ticket=ticket, session_id=bytes(32))
    client = replace(scenario.client, sessions=SameSession(shown))
    joined = pair(server, client).run()
    failures = [side.failure for side in (joined.server, joined.client) if side.failure is not None]
    if not failures:
        joined.check_connected()
        peer = joined.server.peer
        assert peer is not None, "a client got in that proved nothing"
        return
    # The secret of the session is another than the client's, or its suite: so they do not understand each other.
    failure = next((one for one in failures if not isinstance(one, AlertReceived)), failures[0])
    check_refusal(failure)
    assert isinstance(failure, PeerMisbehaved), f"what a store held made the handshake fail: {failure!r}"
    assert ServerSession.parse(content) is not None, f"what a store held made the handshake fail: {failure!r}"


def _check_given_ticket(choices: Decisions) -> None:
    """A server gives a ticket of any kind; the client's next handshake goes well all the same."""
    scenario = named("1.3 optional, with")
    store = SameSession()
    client = replace(scenario.client, sessions=store)
    joined = Pair(ClientConnection(client, "localhost"), ScriptedServer(scenario.server)).run()
    message: Any = NewSessionTicket(lifetime=7200, age_add=1, nonce=b"\0", ticket=b"ticket")
    for _ in range(1 + choices.below(4)):
        message = other_field(message, choices)
    try:
        message.encode()
    except NO_ENCODING:
        return
    say(joined.server, message)
    joined.run()
    if joined.client.failure is not None:
        check_refusal(joined.client.failure)
        return
    store.session = store.kept
    again = Pair(ClientConnection(client, "localhost"), ServerConnection(scenario.server)).run()
    again.check_connected()


def _check_rotation(choices: Decisions) -> None:
    """Keys that rotate: the last two open, whatever the clock does."""
    keys = RotatingTicketKeys(100.0)
    now = _NOW
    for _ in range(32):
        if not choices:
            return
        now += choices.byte() - 60
        key = keys.current(now)
        assert keys.named(key.name, now) is key, "the newest key is not found"
        try:
            opened = key.open(choices.octets(80))
        except TLSError as error:
            raise AssertionError(f"a ticket raised {error!r}") from error
        assert opened is None, "a ticket that nobody sealed"


def seeds() -> Iterator[bytes]:
    """Sessions and tickets as our servers make them, and one change of each kind."""
    yield b"\0" + server_session().encode()
    for version in ("1.3", "1.2"):
        yield b"\0" + _honest_session(version)[1].encode()
    for field in range(14):
        yield bytes([1, 0, field, 0, 1, 7])
        for lookup in (4, 5):
            yield bytes([lookup, 0, 0, field, 0, 1, 7])
            yield bytes([lookup, 0, 0, field, 3, 2, 200, 1])
            yield bytes([lookup, 1]) + _honest_session("1.3" if lookup == 4 else "1.2")[1].encode()
    yield bytes([2, 5]) + b"hello" + bytes(40)
    yield (
        bytes([3, 32]) + bytes(32) + bytes([4]) + b"\x13\x01\0\x1d" + _COOKIES.make(bytes(32), b"\x13\x01\0\x1d", _NOW)
    )
    for field in range(6):
        for how in range(10):
            yield bytes([6, 0, field, how, 3, 5, 1])
    yield bytes([7]) + bytes([70, 3, 1, 2, 3, 200, 0, 255, 0, 0, 0])
