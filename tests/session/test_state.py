from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.session.sessions import server_session
from trustls.session.state import ServerSession
from trustls.wire.enums import CipherSuite, NamedGroup, ProtocolVersion

HOST_NAMES = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?(\.[a-z0-9]{1,20}){0,3}", fullmatch=True)

SESSIONS = st.builds(
    ServerSession,
    version=st.sampled_from([ProtocolVersion.TLS1_2, ProtocolVersion.TLS1_3]),
    suite=st.integers(0, 0xFFFF).map(CipherSuite),
    group=st.integers(0, 0xFFFF).map(NamedGroup),
    secret=st.binary(min_size=32, max_size=48),
    binding=st.binary(max_size=32),
    server_name=st.none() | HOST_NAMES,
    alpn=st.none() | st.binary(min_size=1, max_size=255),
    client_chain=st.lists(st.binary(min_size=1, max_size=100), max_size=4).map(tuple),
    issued_at=st.integers(0, 2**63),
    lifetime=st.integers(0, 2**32 - 1),
    age_add=st.integers(0, 2**32 - 1),
    extended_master_secret=st.booleans(),
    max_early_data=st.integers(0, 2**32 - 1),
)


@given(SESSIONS)
def test_a_session_is_what_it_was_encoded_from(session: ServerSession) -> None:
    assert ServerSession.parse(session.encode()) == session


@given(st.binary(max_size=300))
def test_garbage_is_no_session_and_no_error(data: bytes) -> None:
    assert ServerSession.parse(data) is None


@given(st.integers(0, 400), st.integers(0, 255))
def test_a_changed_byte_gives_another_session_or_none(place: int, value: int) -> None:
    encoded = bytearray(server_session().encode())
    encoded[place % len(encoded)] = value
    parsed = ServerSession.parse(bytes(encoded))
    assert parsed is None or isinstance(parsed, ServerSession)


def test_no_part_of_a_session_is_a_session() -> None:
    encoded = server_session().encode()
    for length in range(len(encoded)):
        assert ServerSession.parse(encoded[:length]) is None, f"{length} bytes were enough"
    assert ServerSession.parse(encoded + b"\0") is None


def test_a_session_of_another_format_is_passed_over() -> None:
    encoded = server_session().encode()
    assert ServerSession.parse(bytes([encoded[0] + 1]) + encoded[1:]) is None


def test_a_session_lasts_for_its_lifetime() -> None:
    session = server_session(issued_at=1_000_000, lifetime=100)
    assert not session.is_expired(1000)
    assert not session.is_expired(1100)
    assert session.is_expired(1100.1)


def test_clocks_may_differ_a_little_but_not_much() -> None:
    session = server_session(issued_at=1_000_000, lifetime=100)
    assert not session.is_expired(1000 - 59)
    assert session.is_expired(1000 - 61)


def test_secrets_do_not_show() -> None:
    shown = repr(server_session(secret=b"S" * 32))
    assert "SSSS" not in shown
    assert "age_add" not in shown


@pytest.mark.parametrize("field", ["secret", "binding", "client_chain", "server_name", "alpn", "issued_at", "lifetime"])
def test_each_field_survives(field: str) -> None:
    other = {
        "secret": bytes(48),
        "binding": b"other",
        "client_chain": (),
        "server_name": None,
        "alpn": None,
        "issued_at": 0,
        "lifetime": 1,
    }
    session = dataclasses.replace(server_session(), **{field: other[field]})  # type: ignore[arg-type]
    assert getattr(ServerSession.parse(session.encode()), field) == other[field]
