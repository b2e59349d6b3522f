from __future__ import annotations

import os
import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trustls.errors import ConfigError
from trustls.session.shared import SharedTicketKeys

SECRET = bytes(range(32))
NOW = 1_700_000_000.0
HOUR = 3600.0


def fleet(rotate_every: float = HOUR) -> tuple[SharedTicketKeys, SharedTicketKeys]:
    """The keys of two processes."""
    return (
        SharedTicketKeys(SECRET, started_at=NOW, rotate_every=rotate_every),
        SharedTicketKeys(SECRET, started_at=NOW, rotate_every=rotate_every),
    )


def opens(keys: SharedTicketKeys, ticket: bytes, now: float) -> bool:
    key = keys.named(ticket[:16], now)
    return key is not None and key.open(ticket) == b"session"


@given(st.lists(st.floats(0, 100 * HOUR), max_size=20), st.lists(st.floats(0, 100 * HOUR), max_size=20))
def test_processes_agree_whatever_each_has_done_before(mine: list[float], yours: list[float]) -> None:
    one, other = fleet()
    for after in sorted(mine):
        one.current(NOW + after)
    for after in sorted(yours):
        other.named(b"?" * 16, NOW + after)
    later = NOW + 101 * HOUR
    assert one.current(later) == other.current(later)
    assert opens(other, one.current(later).seal(b"session"), later)


def test_ticket_opens_in_its_period_and_the_next_and_then_no_more() -> None:
    one, other = fleet()
    ticket = one.current(NOW).seal(b"session")
    assert opens(other, ticket, NOW + 0.9 * HOUR)
    assert opens(other, ticket, NOW + 1.9 * HOUR)
    assert not opens(other, ticket, NOW + 2.1 * HOUR)


def test_ticket_of_a_process_that_is_a_little_ahead_opens() -> None:
    one, other = fleet()
    ticket = one.current(NOW + 1.01 * HOUR).seal(b"session")
    assert opens(other, ticket, NOW + 0.99 * HOUR)
    assert other.current(NOW + 0.99 * HOUR) != one.current(NOW + 1.01 * HOUR), "it was not moved on by that"


def test_what_has_had_its_time_is_forgotten() -> None:
    keys, _ = fleet()
    first = keys.current(NOW)
    ticket = first.seal(b"session")
    keys.forget(NOW + 2 * HOUR)
    assert not opens(keys, ticket, NOW), "not even when the clock is set back: the key cannot be had from what is left"
    held = keys._epoch
    assert first.key not in (held.secret, held.current.key, held.previous and held.previous.key)
    assert held.secret != SECRET


def test_clock_that_is_set_back_does_not_stop_tickets() -> None:
    keys, _ = fleet()
    newest = keys.current(NOW + 5 * HOUR)
    assert keys.current(NOW) == newest
    assert keys.named(newest.name, NOW) == newest


@pytest.mark.parametrize("now", [NOW + 1e15, float("inf"), float("nan")])
def test_clock_that_cannot_be_true_gives_no_keys_and_takes_no_time(now: float) -> None:
    keys = SharedTicketKeys(SECRET, started_at=NOW, rotate_every=1)
    with pytest.raises(ValueError, match=r"clock|NaN"):
        keys.current(now)
    assert keys.current(NOW) is not None, "it goes on when the clock is right again"


def test_another_secret_gives_other_keys() -> None:
    one = SharedTicketKeys(secrets.token_bytes(32), started_at=NOW)
    other = SharedTicketKeys(secrets.token_bytes(32), started_at=NOW)
    assert one.current(NOW).name != other.current(NOW).name
    assert one.current(NOW).key != other.current(NOW).key
    assert not opens(other, one.current(NOW).seal(b"session"), NOW)


def test_no_two_periods_have_the_same_key() -> None:
    keys, _ = fleet()
    made = [keys.current(NOW + hours * HOUR) for hours in range(50)]
    assert len({key.name for key in made}) == len({key.key for key in made}) == 50


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_forked_process_has_the_keys_of_its_parent() -> None:
    keys = SharedTicketKeys.generate(rotate_every=HOUR)
    read_end, write_end = os.pipe()
    child = os.fork()
    if not child:
        os.write(write_end, keys.current(keys._started_at + 30 * HOUR).seal(b"session"))
        os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as pipe:
        ticket = pipe.read()
    assert os.waitpid(child, 0)[1] == 0
    assert opens(keys, ticket, keys._started_at + 30 * HOUR)


def test_secrets_are_not_shown() -> None:
    keys, _ = fleet()
    shown = repr(keys) + repr(keys._epoch) + repr(keys.current(NOW))
    assert repr(keys.current(NOW).key) not in shown
    assert repr(keys._epoch.secret) not in shown


@pytest.mark.parametrize(
    ("secret", "started_at", "rotate_every"),
    [
        (b"short", NOW, HOUR),
        ("x" * 32, NOW, HOUR),
        (SECRET, float("nan"), HOUR),
        (SECRET, float("inf"), HOUR),
        (SECRET, NOW, 0.0),
        (SECRET, NOW, -HOUR),
        (SECRET, NOW, 0.5),
        (SECRET, NOW, float("inf")),
        (SECRET, NOW, float("nan")),
    ],
)
def test_what_makes_no_sense_is_refused(secret: bytes, started_at: float, rotate_every: float) -> None:
    with pytest.raises(ConfigError):
        SharedTicketKeys(secret, started_at=started_at, rotate_every=rotate_every)
