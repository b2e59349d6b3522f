"""TLS 1.2 in memory: configurations of that version alone, and a change_cipher_spec that a script may change."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tests.support.identities import client_config, server_config
from tests.support.scripted import EditedFlow, Item, ScriptedClient, ScriptedServer, say
from trustls.config import ClientConfig, ServerConfig


def client12(**changes: Any) -> ClientConfig:
    """A client of TLS 1.2 alone."""
    return client_config(**{"versions": ["1.2"], **changes})


def server12(**changes: Any) -> ServerConfig:
    """A server of TLS 1.2 alone."""
    return server_config(**{"versions": ["1.2"], **changes})


def instead_of_change_cipher_spec(
    side: ScriptedClient | ScriptedServer, *items: Item, keys_change: bool = True
) -> None:
    """Let `side` send `items` where its change_cipher_spec belongs; without `keys_change` it stays in the clear."""
    flow: EditedFlow = side.flow

    def send() -> None:
        say(side, *items)

    vars(flow)["send_change_cipher_spec"] = send
    if not keys_change:
        vars(flow)["write_under"] = lambda sealer: None


def handshake(kind: int, body: bytes = b"") -> bytes:
    """A handshake message of this type and body."""
    return bytes([kind]) + len(body).to_bytes(3, "big") + body


def cut(raw: bytes, *places: int) -> Iterable[bytes]:
    """`raw` in pieces that end at `places`."""
    starts = (0, *places)
    return [raw[start:end] for start, end in zip(starts, (*places, len(raw)), strict=True)]
