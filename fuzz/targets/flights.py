"""Whatever bytes come to a connection that has said its hello, or waits for one.

An input is the scenario, how the bytes are cut into pieces, and the bytes. The hello of a client is the same in each
run, as far as that can be: a recorded answer is then an answer to it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any, Final

from fuzz import seeds as recorded
from fuzz.oracles import check_failure
from fuzz.scenarios import named
from tests.support.memory import Pair, feed, plain_record, split_at, whole
from trustls.config import ClientConfig
from trustls.connection import ClientConnection, Connection, ServerConnection
from trustls.errors import TLSError, UnexpectedEOF

MAX_LENGTH: Final = 8192
_SCENARIOS: Final = ("1.3 required", "1.2 required", "both versions", "1.3 retry with a cookie", "1.2 stapled")


def fixed_random(size: int) -> bytes:
    """No randomness: what a connection sends is the same in each run, but for its keys."""
    return bytes(range(size))


@cache
def _client_config(name: str) -> ClientConfig:
    config = named(name).client
    provider = replace(config.provider, random=fixed_random)
    return replace(config, provider=provider)


def connection(role: str, number: int) -> Connection:
    """A fresh connection."""
    name = _SCENARIOS[number % len(_SCENARIOS)]
    if role == "client":
        return ClientConnection(_client_config(name), "localhost")
    return ServerConnection(named(name).server)


def check(role: str, data: bytes) -> None:
    """The bytes are taken in two ways, whole and in pieces; how they are cut may make no difference."""
    if len(data) < 2:
        return
    size = 1 + data[1]
    ends = [_end_of(connection(role, data[0]), data[2:], split) for split in (whole, split_at([size]))]
    assert ends[0] == ends[1], f"whole: {ends[0]}; {size} bytes at a time: {ends[1]}"


def _end_of(side: Connection, stream: bytes, split: Any) -> tuple[str, str]:
    """How it ends: the failure, and the alert that tells of it."""
    side.data_to_send()
    got = feed(side, split(stream))
    assert got == b"", "application data came out of bytes that no key protects"
    assert side.handshaking or side.failure is not None, "the handshake is done, and no key was used"
    check_failure(side)
    failure = side.failure
    answer = side.data_to_send()
    if failure is None:
        try:
            side.receive_eof()
        except UnexpectedEOF:
            return "none", ""
        raise AssertionError("the transport ended in the middle of the handshake, and nobody said so")
    alert = b"" if failure.alert is None else bytes([2, failure.alert])
    if alert and answer.endswith(plain_record(21, alert)):
        return _said(failure), "in the clear"
    assert not alert or len(answer) >= 5, f"no alert is sent for {failure!r}"
    return _said(failure), "sealed" if alert else ""


def _said(failure: TLSError) -> str:
    reason = getattr(failure, "reason", None)
    return f"{type(failure).__name__} {getattr(reason, 'name', getattr(failure, 'code', ''))}"


def _honest(number: int) -> Pair:
    client, server = connection("client", number), connection("server", number)
    assert isinstance(client, ClientConnection)
    assert isinstance(server, ServerConnection)
    return Pair(client, server)


def seeds(role: str) -> Iterator[bytes]:
    """The flights of the other side in each scenario, and each of their records alone."""
    for number in range(len(_SCENARIOS)):
        for flight in recorded.flights(role, _honest(number)):
            for size in (255, 0, 16):
                yield bytes([number, size]) + flight[: MAX_LENGTH - 2]
