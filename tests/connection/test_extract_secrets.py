"""The keys of a connection, given away: they are the right ones, and the connection uses them no more."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.identities import client_config, server_config
from tests.support.memory import Pair, connect, feed, pair
from trustls.connection import Connection
from trustls.connection.secrets import ConnectionSecrets, DirectionSecrets
from trustls.crypto.provider import DEFAULT_PROVIDER
from trustls.errors import ConfigError, ConnectionClosed, HandshakePending, TLSError
from trustls.wire.enums import ProtocolVersion

SUITES = [
    ("1.3", "TLS_AES_128_GCM_SHA256"),
    ("1.3", "TLS_AES_256_GCM_SHA384"),
    ("1.3", "TLS_CHACHA20_POLY1305_SHA256"),
    ("1.2", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"),
    ("1.2", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"),
    ("1.2", "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"),
]
suites = pytest.mark.parametrize(("version", "suite"), SUITES)
both = pytest.mark.parametrize("role", ["client", "server"])


def joined(version: str = "1.3", suite: str | None = None) -> Pair:
    """Two that have talked, each direction another number of records."""
    restriction = {"versions": [version], "suites": None if suite is None else [suite]}
    made = connect(server_config(**restriction), client_config(**restriction)).check_connected()
    made.client.send(b"one more")
    made.step()
    return made


def sides(made: Pair, role: str) -> tuple[Connection, Connection]:
    return (made.client, made.server) if role == "client" else (made.server, made.client)


def record(secrets: ConnectionSecrets, direction: DirectionSecrets, content: bytes) -> bytes:
    """The next record of a direction, made by hand (RFC 9846 5.2, RFC 5288 3, RFC 7905 2)."""
    by_suite = {one.suite: one.new_aead for one in DEFAULT_PROVIDER.suites}
    by_suite |= {one.suite: one.new_aead for one in DEFAULT_PROVIDER.suites12}
    aead = by_suite[secrets.suite](direction.key)
    number = direction.sequence.to_bytes(8, "big")
    nonce = (int.from_bytes(direction.iv, "big") ^ direction.sequence).to_bytes(12, "big")
    if secrets.version == ProtocolVersion.TLS1_3:
        header = b"\x17\x03\x03" + (len(content) + 17).to_bytes(2, "big")
        return header + aead.encrypt(nonce, content + b"\x17", header)
    explicit = number if len(direction.iv) == 4 else b""
    sealed = aead.encrypt(
        direction.iv + number if explicit else nonce,
        content,
        number + b"\x17\x03\x03" + len(content).to_bytes(2, "big"),
    )
    return b"\x17\x03\x03" + (len(explicit) + len(sealed)).to_bytes(2, "big") + explicit + sealed


@both
@suites
def test_what_they_seal_the_peer_opens(version: str, suite: str, role: str) -> None:
    side, peer = sides(joined(version, suite), role)
    secrets = side.extract_secrets()
    assert secrets.suite.name == suite
    assert feed(peer, [record(secrets, secrets.sending, b"made by hand")]) == b"made by hand", repr(peer.failure)


@both
@suites
def test_what_the_peer_seals_they_open(version: str, suite: str, role: str) -> None:
    side, peer = sides(joined(version, suite), role)
    secrets = side.extract_secrets()
    peer.send(b"from the peer")
    assert peer.data_to_send() == record(secrets, secrets.receiving, b"from the peer")


def test_they_are_those_of_after_a_key_update() -> None:
    made = joined()
    made.client.update_keys(request_peer=True)
    made.run()
    secrets = made.client.extract_secrets()
    assert feed(made.server, [record(secrets, secrets.sending, b"new key")]) == b"new key"
    assert secrets.sending.sequence == 0


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@both
def test_connection_is_ended_and_seals_nothing_more(role: str, version: str) -> None:
    side, peer = sides(joined(version), role)
    facts = side.info, side.peer, side.export("EXPORTER-test", 32)
    side.extract_secrets()
    peer.send(b"data")
    sealed = peer.data_to_send()
    uses: list[Callable[[], object]] = [
        lambda: side.send(b"data"),
        lambda: side.receive(sealed),
        side.receive_eof,
        side.update_keys,
        side.extract_secrets,
    ]
    for use in uses:
        with pytest.raises(ConnectionClosed, match="given away"):
            use()
    side.close()
    side.abort(TLSError("for whatever reason"))
    assert side.data_to_send() == b"", "no alert under the key that another uses now"
    assert (side.info, side.peer, side.export("EXPORTER-test", 32)) == facts, "what was negotiated is known still"


def test_not_before_the_handshake_is_done() -> None:
    with pytest.raises(HandshakePending):
        pair().client.extract_secrets()


def test_not_while_something_is_under_way_and_the_connection_goes_on() -> None:
    made = joined()
    made.server.send(b"waits")
    with pytest.raises(ConfigError, match="under way"):
        made.server.extract_secrets()
    sealed = made.server.data_to_send()
    made.client.receive(sealed[:7])
    with pytest.raises(ConfigError, match="under way"):
        made.client.extract_secrets()
    assert made.client.receive(sealed[7:]) == b"waits"
    made.check_connected()
    made.client.extract_secrets()


def test_not_while_an_answer_to_a_key_update_is_owed() -> None:
    made = joined()
    made.client.update_keys(request_peer=True)
    made.step()
    with pytest.raises(ConfigError, match="under way"):
        made.server.extract_secrets()
    made.run()
    secrets = made.server.extract_secrets()
    assert feed(made.client, [record(secrets, secrets.sending, b"after it")]) == b"after it"


def test_not_when_either_side_has_closed() -> None:
    made = joined()
    made.client.close()
    with pytest.raises(ConnectionClosed):
        made.client.extract_secrets()
    made.run()
    with pytest.raises(ConnectionClosed):
        made.server.extract_secrets()


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_they_are_not_shown(version: str) -> None:
    secrets = joined(version).client.extract_secrets()
    for direction in (secrets.sending, secrets.receiving):
        for hidden in (direction.key, direction.iv):
            assert repr(hidden)[2:-1] not in repr(secrets)
            assert hidden.hex() not in repr(secrets)
