from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.session.sessions import server_session
from trustls.errors import ConfigError
from trustls.session.state import ServerSession
from trustls.session.tickets import NAME_LENGTH, RotatingTicketKeys, StoredSessions, TicketKey, Tickets

KEY = TicketKey.generate()
NOW = 1_700_000_000.0
HOUR = 3600.0


# -- One key ----------------------------------------------------------------------------------------------------------


def test_a_ticket_opens_under_its_key() -> None:
    session = server_session().encode()
    ticket = KEY.seal(session)
    assert ticket.startswith(KEY.name)
    assert KEY.open(ticket) == session
    assert session not in ticket


def test_no_two_tickets_of_a_session_are_alike() -> None:
    assert len({KEY.seal(b"session") for _ in range(100)}) == 100


def test_a_ticket_does_not_open_under_another_key() -> None:
    ticket = KEY.seal(b"session")
    other = TicketKey.generate()
    assert other.open(ticket) is None
    assert TicketKey(KEY.name, other.key).open(ticket) is None, "the same name is not the same key"
    assert TicketKey(other.name, KEY.key).open(ticket) is None
    assert TicketKey(other.name, KEY.key).open(other.name + ticket[NAME_LENGTH:]) is None, "the name is authenticated"


def test_a_changed_ticket_does_not_open() -> None:
    ticket = KEY.seal(server_session().encode())
    for place in range(len(ticket)):
        forged = bytearray(ticket)
        forged[place] ^= 1
        assert KEY.open(bytes(forged)) is None, f"byte {place} is not protected"


def test_no_part_of_a_ticket_opens() -> None:
    ticket = KEY.seal(server_session().encode())
    for length in range(len(ticket)):
        assert KEY.open(ticket[:length]) is None, f"{length} bytes were enough"
    assert KEY.open(ticket + b"\0") is None


@given(st.binary(max_size=200))
def test_garbage_does_not_open_and_is_no_error(data: bytes) -> None:
    assert KEY.open(data) is None
    assert KEY.open(KEY.name + data) is None


def test_what_a_key_opens_may_still_be_no_session() -> None:
    opened = KEY.open(KEY.seal(b"from an older version"))
    assert opened is not None
    assert ServerSession.parse(opened) is None


def test_a_key_does_not_show() -> None:
    assert "K" * 8 not in repr(TicketKey(bytes(16), b"K" * 32))


# -- Keys that rotate -------------------------------------------------------------------------------------------------


def test_a_key_stays_for_its_time() -> None:
    keys = RotatingTicketKeys(rotate_every=HOUR)
    first = keys.current(NOW)
    assert keys.current(NOW + HOUR - 1) == first
    assert keys.current(NOW + HOUR) != first


def test_the_key_before_still_opens_and_an_older_one_does_not() -> None:
    keys = RotatingTicketKeys(rotate_every=HOUR)
    first = keys.current(NOW)
    second = keys.current(NOW + HOUR)
    assert keys.named(first.name, NOW + HOUR) == first
    assert keys.named(second.name, NOW + HOUR) == second
    third = keys.current(NOW + 2 * HOUR)
    assert keys.named(first.name, NOW + 2 * HOUR) is None
    assert keys.named(second.name, NOW + 2 * HOUR) == second
    assert len({first.name, second.name, third.name}) == 3


def test_looking_for_a_key_rotates_too() -> None:
    keys = RotatingTicketKeys(rotate_every=HOUR)
    first = keys.current(NOW)
    assert keys.named(first.name, NOW + HOUR) == first
    assert keys.named(first.name, NOW + 2 * HOUR) is None


def test_after_two_periods_without_use_no_key_is_left() -> None:
    keys = RotatingTicketKeys(rotate_every=HOUR)
    first = keys.current(NOW)
    assert keys.named(first.name, NOW + 2 * HOUR) is None


def test_an_unknown_key_is_not_found() -> None:
    keys = RotatingTicketKeys()
    assert keys.named(bytes(16), NOW) is None
    keys.current(NOW)
    assert keys.named(bytes(16), NOW) is None
    assert keys.named(b"", NOW) is None


def test_a_clock_that_is_set_back_changes_nothing() -> None:
    keys = RotatingTicketKeys(rotate_every=HOUR)
    first = keys.current(NOW)
    assert keys.current(NOW - HOUR) == first


def test_threads_agree_on_the_key() -> None:
    for turn in range(20):
        keys = RotatingTicketKeys()
        barrier = threading.Barrier(8)

        def run(_number: int, keys: RotatingTicketKeys = keys, barrier: threading.Barrier = barrier) -> TicketKey:
            barrier.wait()
            return keys.current(NOW)

        with ThreadPoolExecutor(8) as pool:
            assert len({key.name for key in pool.map(run, range(8))}) == 1, f"turn {turn}"


@pytest.mark.parametrize("seconds", [0, -1])
def test_keys_that_never_stay_are_refused(seconds: float) -> None:
    with pytest.raises(ConfigError, match="positive number of seconds"):
        RotatingTicketKeys(rotate_every=seconds)


# -- Policies ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", [Tickets, StoredSessions])
def test_a_policy_holds_its_numbers_to_their_bounds(policy: type[Tickets | StoredSessions]) -> None:
    policy(count=0, lifetime=1)
    policy(count=16, lifetime=604800)
    for count in (-1, 17):
        with pytest.raises(ConfigError, match="outside 0 to 16"):
            policy(count=count)
    for lifetime in (0, 604801):
        with pytest.raises(ConfigError, match="604800 s"):
            policy(lifetime=lifetime)


def test_early_data_has_its_bounds() -> None:
    assert StoredSessions().max_early_data == 0, "off unless asked for"
    StoredSessions(max_early_data=1 << 24)
    for limit in (-1, (1 << 24) + 1):
        with pytest.raises(ConfigError, match="max_early_data"):
            StoredSessions(max_early_data=limit)
    with pytest.raises(ConfigError, match="early_data_window"):
        StoredSessions(early_data_window=0)
