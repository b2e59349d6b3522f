"""What two peers negotiate, read from the server's first flight on the wire and not from what anybody says."""

from __future__ import annotations

from bench.peers.endpoint import Peer
from trustls.wire.codec import Reader
from trustls.wire.enums import HandshakeType
from trustls.wire.messages import ServerHello
from trustls.wire.messages12 import ServerKeyExchange

_RECORD_HEADER = 5
_HANDSHAKE = 22


def negotiated(client: Peer, server: Peer) -> str:
    """Suite and group of a full handshake, by their IANA names."""
    messages = _messages(server.server().step(client.new_client().step(b"")))
    hello = ServerHello.parse(messages[HandshakeType.SERVER_HELLO])
    if hello.key_share is not None:
        group = hello.key_share.group
    else:
        group = ServerKeyExchange.parse(messages[HandshakeType.SERVER_KEY_EXCHANGE]).group
    return f"{hello.cipher_suite.iana} {group.iana}"


def _messages(records: bytes) -> dict[int, bytes]:
    """The bodies of the handshake messages in plaintext, by type."""
    plain = b""
    at = 0
    while at < len(records) and records[at] == _HANDSHAKE:
        end = at + _RECORD_HEADER + int.from_bytes(records[at + 3 : at + 5], "big")
        plain += records[at + _RECORD_HEADER : end]
        at = end
    reader = Reader(plain, "the server's flight")
    found = {}
    while reader:
        kind = reader.u8()
        found[kind] = reader.take(reader.u24())
    return found
