"""Groups of the key exchange in whole handshakes: what is negotiated, which shares go out, and what is remembered."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import pytest

from tests.support.identities import client_config, server_config
from tests.support.memory import Pair, check_refused, connect, pair
from tests.support.scripted import Edit, ScriptedClient, ScriptedServer, honest, on
from trustls.config import ClientConfig, ServerConfig
from trustls.connection import ClientConnection, ServerConnection
from trustls.crypto.key_exchange import GROUPS, MORE_GROUPS, POST_QUANTUM
from trustls.crypto.provider import DEFAULT_PROVIDER
from trustls.danger import AcceptAnyCertificate
from trustls.errors import (
    ConfigError,
    Incompatibility,
    Misbehaviour,
    PeerIncompatible,
    PeerMisbehaved,
)
from trustls.session.state import ClientSession
from trustls.session.store import MemoryClientSessions
from trustls.wire.enums import NamedGroup
from trustls.wire.extensions import KeyShareEntry
from trustls.wire.messages import ClientHello, HelloRetryRequest, ServerHello
from trustls.wire.messages12 import ServerKeyExchange

ALL = [group.group.iana for group in GROUPS + MORE_GROUPS]
MORE = [group.group.iana for group in MORE_GROUPS]
SHARE_LENGTHS = {group.group: group.share_length for group in GROUPS + MORE_GROUPS}

every_group = pytest.mark.parametrize("name", ALL)
every_new_group = pytest.mark.parametrize("name", MORE)


def group(name: str) -> NamedGroup:
    return NamedGroup.from_iana(name)


def client(*names: str, **settings: Any) -> ClientConfig:
    """A client with these groups; without names, with those of the default."""
    return client_config(**{"groups": names or None, **settings})


def server(*names: str, **settings: Any) -> ServerConfig:
    return server_config(**{"groups": names or None, **settings})


def watching(seen: list[ClientHello]) -> Edit:
    """No change, but each ClientHello is kept."""

    def watch(message: Any) -> Iterable[Any]:
        if isinstance(message, ClientHello):
            seen.append(message)
        return honest(message)

    return watch


def hellos(client: ClientConfig, server: ServerConfig) -> tuple[list[ClientHello], Pair]:
    """Each ClientHello of a handshake, and the handshake."""
    seen: list[ClientHello] = []
    return seen, Pair(ScriptedClient(client, watching(seen)), ServerConnection(server)).run().check_connected()


def shares(hello: ClientHello) -> list[str]:
    """The groups that it has a share of; each share has the length of its group's."""
    found = hello.key_share or ()
    assert [len(entry.key_exchange) for entry in found] == [SHARE_LENGTHS[entry.group] for entry in found]
    groups = [entry.group for entry in found]
    offered = hello.supported_groups or ()
    assert groups == [group for group in offered if group in groups], "RFC 9846 4.3.8: in the order of the groups"
    return [group.iana for group in groups]


def first_shares(client: ClientConfig, server: ServerConfig | None = None) -> list[str]:
    """The groups that a client's first ClientHello has shares of."""
    seen, _ = hellos(client, server or server_config(groups=ALL))
    return shares(seen[0])


# -- What is negotiated -----------------------------------------------------------------------------------------------


@every_group
def test_each_group_makes_connections(name: str) -> None:
    joined = connect(server(name), client(name)).check_connected()
    for side in (joined.client, joined.server):
        assert (side.info.group, side.info.retried) == (group(name), False)


@every_group
def test_each_group_is_asked_for_with_a_hello_retry_request(name: str) -> None:
    other = "secp384r1" if name != "secp384r1" else "secp521r1"
    seen, joined = hellos(client(other, name), server(name))
    assert [shares(hello) for hello in seen] == [[other], [name]]
    for side in (joined.client, joined.server):
        assert (side.info.group, side.info.retried) == (group(name), True)


def test_default_client_hello_offers_what_it_always_did() -> None:
    seen, _ = hellos(client(), server())
    assert [each.iana for each in seen[0].supported_groups or ()] == [
        "X25519MLKEM768",
        "x25519",
        "secp256r1",
        "secp384r1",
        "secp521r1",
    ]
    assert shares(seen[0]) == ["X25519MLKEM768", "x25519"]
    hybrid, x25519 = seen[0].key_share or ()
    assert hybrid.key_exchange.endswith(x25519.key_exchange), "the half of one is the whole of the other"


@every_new_group
def test_group_that_was_not_named_is_not_taken(name: str) -> None:
    for one, other in ((server(name), client()), (server(), client(name))):
        check_refused(pair(one, other).run(), "server", PeerIncompatible, Incompatibility.NO_COMMON_GROUP)


@pytest.mark.parametrize("name", [group.iana for group in sorted(POST_QUANTUM)])
def test_tls12_never_uses_what_has_mlkem(name: str) -> None:
    seen, joined = hellos(client(name, "secp256r1", versions=["1.2"]), server(name, "secp256r1"))
    assert seen[0].supported_groups == (NamedGroup.SECP256R1,), "offered where it cannot be used"
    assert joined.server.info.group == NamedGroup.SECP256R1
    joined = connect(server(name, "secp256r1", versions=["1.2"]), client(name, "secp256r1"))
    assert joined.client.info.group == NamedGroup.SECP256R1
    edit = on(ServerKeyExchange, lambda message: (replace(message, group=group(name)),))
    forced = Pair(
        ClientConnection(client(name, "secp256r1"), "localhost"),
        ScriptedServer(server("secp256r1", versions=["1.2"]), edit),
    )
    assert isinstance(forced.run().client.failure, PeerMisbehaved)
    for make in (client, server):
        with pytest.raises(ConfigError, match=r"cannot serve TLS 1\.2"):
            make(name, versions=["1.2"])


# -- What a server makes of shares ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ours", "shares_of", "chosen", "retried"),
    [
        # A secret that no quantum computer opens is worth a round trip, where the server would rather have one,
        (["SecP384r1MLKEM1024", "x25519"], ["x25519"], "SecP384r1MLKEM1024", True),
        (["MLKEM1024", "x25519"], ["x25519"], "MLKEM1024", True),
        (["x25519", "MLKEM1024"], ["x25519"], "x25519", False),
        # and among those that give one, which of them is not.
        (["MLKEM1024", "X25519MLKEM768", "x25519"], ["X25519MLKEM768", "x25519"], "X25519MLKEM768", False),
        (["MLKEM1024", "x25519", "X25519MLKEM768"], ["X25519MLKEM768", "x25519"], "X25519MLKEM768", False),
        (["secp384r1", "x25519"], ["x25519"], "x25519", False),
        (["x25519", "secp384r1"], [], "x25519", True),
    ],
)
def test_server_takes_a_share_that_is_there_unless_a_better_kind_of_group_can_be_had(
    ours: list[str], shares_of: list[str], chosen: str, retried: bool
) -> None:
    joined = connect(server(*ours), client(*ALL, key_shares=shares_of)).check_connected()
    assert (joined.client.info.group.iana, joined.client.info.retried) == (chosen, retried)


# -- Bad shares -------------------------------------------------------------------------------------------------------

SERVER_SHARE_LENGTHS = {"SecP256r1MLKEM768": 1153, "SecP384r1MLKEM1024": 1665, "MLKEM768": 1088, "MLKEM1024": 1568}


def bad_shares(name: str, *, of_server: bool) -> list[bytes]:
    """Shares of wrong lengths, and of the right one with a point that is on no curve, or coefficients too large."""
    size = SERVER_SHARE_LENGTHS[name] if of_server else SHARE_LENGTHS[group(name)]
    wrong = [b"x", b"\4" * (size - 1), b"\4" * (size + 1)]
    if name.startswith("SecP"):
        return [*wrong, b"\4" * size, b"\xff" * size]
    # A ciphertext of the right length is never wrong: see below.
    return wrong if of_server else [*wrong, b"\xff" * size]


def with_share(name: str, share: bytes) -> Callable[[Any], Iterable[Any]]:
    entry = KeyShareEntry(group(name), share)
    return lambda hello: (replace(hello, key_share=(entry,) if isinstance(hello, ClientHello) else entry),)


@every_new_group
def test_server_refuses_bad_shares(name: str) -> None:
    for bad in bad_shares(name, of_server=False):
        edit = on(ClientHello, with_share(name, bad))
        joined = Pair(ScriptedClient(client(name), edit), ServerConnection(server(name))).run()
        check_refused(joined, "server", PeerMisbehaved, Misbehaviour.BAD_KEY_SHARE)


@every_new_group
@pytest.mark.parametrize("retried", [False, True])
def test_client_refuses_bad_shares(name: str, retried: bool) -> None:
    for bad in bad_shares(name, of_server=True):
        edit = on(ServerHello, with_share(name, bad))
        config = client(name, key_shares=() if retried else None)
        joined = Pair(ClientConnection(config, "localhost"), ScriptedServer(server(name), edit)).run()
        check_refused(joined, "client", PeerMisbehaved, Misbehaviour.BAD_KEY_SHARE)


@pytest.mark.parametrize("name", ["MLKEM768", "MLKEM1024"])
def test_changed_ciphertext_ends_the_handshake_at_the_first_protected_record(name: str) -> None:
    """FIPS 203 6.3: decapsulation never fails, it gives another secret."""

    def change(hello: ServerHello) -> Iterable[ServerHello]:
        assert hello.key_share is not None
        share = hello.key_share.key_exchange
        return (replace(hello, key_share=KeyShareEntry(group(name), bytes([share[0] ^ 1]) + share[1:])),)

    edit = on(ServerHello, change)
    joined = Pair(ClientConnection(client(name), "localhost"), ScriptedServer(server(name), edit)).run()
    assert isinstance(joined.client.failure, PeerMisbehaved)
    assert joined.client.failure.reason is Misbehaviour.BAD_RECORD_MAC


def test_second_hello_with_another_share_than_was_asked_for_is_refused() -> None:
    edit = on(ClientHello, with_share("MLKEM768", bytes(1184)), nth=1)
    joined = Pair(
        ScriptedClient(client("x25519", "MLKEM768", "MLKEM1024"), edit), ServerConnection(server("MLKEM1024"))
    ).run()
    check_refused(joined, "server", PeerMisbehaved, Misbehaviour.CLIENT_HELLO_CHANGED)


@pytest.mark.parametrize("asked", ["SecP256r1MLKEM768", "secp256r1"])
def test_retry_for_a_group_whose_share_was_there_is_refused(asked: str) -> None:
    """A half that went along as a share of its own counts."""
    edit = on(HelloRetryRequest, lambda retry: (replace(retry, key_share=group(asked)),))
    joined = Pair(
        ClientConnection(client("SecP256r1MLKEM768", "secp256r1", "x25519"), "localhost"),
        ScriptedServer(server("x25519"), edit),
    ).run()
    check_refused(joined, "client", PeerMisbehaved, Misbehaviour.RETRY_GROUP_ALREADY_SENT)


# -- Which shares go out ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        (["x25519", "X25519MLKEM768"], ["x25519"]),
        (["X25519MLKEM768", "secp256r1"], ["X25519MLKEM768"]),
        (["SecP256r1MLKEM768", "x25519", "secp256r1"], ["SecP256r1MLKEM768", "secp256r1"]),
        (["SecP384r1MLKEM1024", "secp384r1"], ["SecP384r1MLKEM1024", "secp384r1"]),
        (["MLKEM1024", "X25519MLKEM768", "x25519"], ["MLKEM1024"]),
    ],
)
def test_shares_go_out_for_the_first_group_and_the_ecdhe_half_of_a_hybrid(
    groups: list[str], expected: list[str]
) -> None:
    assert first_shares(client(*groups)) == expected


@pytest.mark.parametrize(
    ("key_shares", "expected"),
    [
        (["secp256r1"], ["secp256r1"]),
        (["SECP256R1", "X25519", "x25519"], ["x25519", "secp256r1"]),
        (["X25519MLKEM768"], ["X25519MLKEM768"]),
        (["x25519", "X25519MLKEM768"], ["X25519MLKEM768", "x25519"]),
        ([], []),
    ],
)
def test_shares_go_out_for_the_groups_named_and_no_others(key_shares: list[str], expected: list[str]) -> None:
    assert first_shares(client(key_shares=key_shares)) == expected


def test_shares_of_every_group_fit_into_a_client_hello() -> None:
    assert first_shares(client(*ALL, key_shares=ALL)) == ALL
    seen, _ = hellos(client(*reversed(ALL), key_shares=ALL), server(*ALL))
    assert shares(seen[0]) == ALL[::-1]


@every_group
def test_share_of_any_group_named_is_used(name: str) -> None:
    joined = connect(server(name), client(*ALL, key_shares=ALL)).check_connected()
    assert (joined.client.info.group.iana, joined.client.info.retried) == (name, False)


def test_client_without_shares_leaves_the_choice_to_the_server() -> None:
    seen, joined = hellos(client(key_shares=()), server("secp384r1", "x25519"))
    assert [shares(hello) for hello in seen] == [[], ["secp384r1"]]
    assert joined.client.info.retried


def test_shares_named_are_kept_when_the_server_wants_a_cookie_only() -> None:
    def change(retry: HelloRetryRequest) -> Iterable[HelloRetryRequest]:
        return (replace(retry, key_share=None, cookie=b"cookie"),)

    seen: list[ClientHello] = []
    edit = on(HelloRetryRequest, change)
    config = client("secp256r1", "x25519", "secp521r1", key_shares=["x25519", "secp256r1"])
    joined = Pair(ScriptedClient(config, watching(seen)), ScriptedServer(server("secp521r1"), edit)).run()
    assert [shares(hello) for hello in seen] == [["secp256r1", "x25519"]] * 2
    assert joined.server.failure is not None, "this server wanted a share, and was made to say otherwise"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"key_shares": "x25519"}, "`key_shares` takes a list of names, not one string"),
        ({"key_shares": ["P-256"]}, "`key_shares` names P-256: there can be shares of the groups on offer, which are"),
        (
            {"groups": ["x25519", "secp256r1"], "key_shares": ["secp384r1", "x25519", "MLKEM1024"]},
            "secp384r1, MLKEM1024: there can be shares of the groups on offer, which are x25519, secp256r1",
        ),
        ({"key_shares": ["MLKEM1024"]}, "`key_shares` names MLKEM1024"),
        ({"key_shares": ["x25519"], "versions": ["1.2"]}, "`key_shares` are for TLS 1.3"),
        ({"key_shares": [], "versions": ["1.2"]}, "`key_shares` are for TLS 1.3"),
        (
            {"groups": ALL, "key_shares": ALL, "alpn": [f"{number:0>200}" for number in range(100)]},
            "and `key_shares` take 27209 bytes together, and a ClientHello has room for 24576",
        ),
    ],
    ids=lambda value: repr(value)[:50],
)
def test_shares_that_cannot_be_are_refused_in_words(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        client_config(**settings)
    assert said in str(refused.value)


def test_names_of_shares_are_held_as_they_were_given() -> None:
    given = ["x25519"]
    config = client_config(key_shares=given)
    given.clear()
    assert config.key_shares == ("x25519",)
    assert "key_shares=('x25519',)" in repr(config)
    assert first_shares(replace(config, alpn=["h2"])) == ["x25519"]


# -- What is remembered -----------------------------------------------------------------------------------------------


def test_group_that_a_server_asked_for_gets_a_share_next_time() -> None:
    config, other = client(), server("secp384r1")
    seen, joined = hellos(config, other)
    assert joined.client.info.retried
    seen, joined = hellos(config, other)
    assert shares(seen[0]) == ["X25519MLKEM768", "x25519", "secp384r1"], "beside the others, which may be better"
    assert not joined.client.info.retried
    seen, joined = hellos(config, server())
    assert joined.client.info.group == NamedGroup.X25519MLKEM768, "a server that can do better by now gets it"


def test_what_one_server_asked_for_is_not_sent_to_another() -> None:
    config = client(roots=None, verifier=AcceptAnyCertificate())
    connect(server("secp384r1"), config, "localhost")
    other = pair(server("secp384r1"), config, "127.0.0.1").run()
    assert other.server.info.retried


def test_group_is_remembered_only_by_those_who_finish() -> None:
    """Before its Finished anybody could have asked."""
    store = MemoryClientSessions()
    edit = on(ServerHello, with_share("secp384r1", b"\4" * 97))
    Pair(ClientConnection(client(sessions=store), "localhost"), ScriptedServer(server("secp384r1"), edit)).run()
    assert store._groups == {}


@pytest.mark.parametrize(
    "settings", [{"sessions": None}, {"key_shares": ["x25519"]}, {"key_shares": []}], ids=["no store", "one", "none"]
)
def test_nothing_is_remembered_where_shares_are_named_or_nothing_is_kept(settings: dict[str, Any]) -> None:
    config = client(**settings)
    for _ in range(2):
        assert connect(server("secp384r1"), config).client.info.retried


def test_remembered_group_that_is_no_longer_on_offer_gets_no_share() -> None:
    store = MemoryClientSessions()
    first = client(sessions=store)
    connect(server("secp384r1"), first)
    assert first_shares(replace(first, groups=["x25519", "secp256r1"])) == ["x25519"]


def test_store_without_memory_for_groups_will_do() -> None:
    class Sessions:
        def put(self, key: bytes, session: ClientSession) -> None:
            """Keep nothing."""

        def take(self, key: bytes) -> ClientSession | None:
            return None

    config = client(sessions=Sessions())
    for _ in range(2):
        assert connect(server("secp384r1"), config).check_connected().client.info.retried


def test_store_whose_memory_for_groups_fails_costs_a_round_trip_and_no_connection(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Sessions(MemoryClientSessions):
        def put_group(self, key: bytes, group: NamedGroup) -> None:
            raise OSError("disk full")

        def get_group(self, key: bytes) -> NamedGroup | None:
            raise OSError("disk gone")

    with caplog.at_level(logging.WARNING, logger="trustls"):
        assert connect(server("secp384r1"), client(sessions=Sessions())).check_connected().client.info.retried
    assert "disk full" in caplog.text
    assert "disk gone" in caplog.text


def test_memory_for_groups_is_bounded() -> None:
    store = MemoryClientSessions(servers=2)
    for key in (b"a", b"b", b"a", b"c"):
        store.put_group(key, NamedGroup.SECP256R1)
    store.put_group(b"a", NamedGroup.SECP384R1)
    assert [store.get_group(key) for key in (b"a", b"b", b"c")] == [NamedGroup.SECP384R1, None, NamedGroup.SECP256R1]
    assert len(store) == 0, "groups are no sessions"


# -- Without ML-KEM ---------------------------------------------------------------------------------------------------

OLD_OPENSSL = """
from cryptography.hazmat.backends.openssl import backend
type(backend).mlkem_supported = lambda self: False
import trustls
from tests.support.identities import client_config, server_config
from tests.support.memory import connect
from trustls.errors import ConfigError

joined = connect(server_config(), client_config()).check_connected()
assert joined.client.info.group == trustls.NamedGroup.X25519
for name in {names}:
    for make in (client_config, server_config):
        try:
            make(groups=["x25519", name])
        except ConfigError as error:
            print(error)
"""


def test_cryptography_without_mlkem_leaves_the_default_without_it_and_refuses_its_names() -> None:
    names = [group.iana for group in sorted(POST_QUANTUM)]
    script = OLD_OPENSSL.format(names=names)
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, env=dict(os.environ)
    )
    assert run.returncode == 0, run.stderr
    said = run.stdout.splitlines()
    assert len(said) == 2 * len(names)
    assert said[0] == (
        f"{names[0]} needs ML-KEM, which the OpenSSL that cryptography was built with does not have (3.5 and later "
        "do); there are: x25519, secp256r1, secp384r1, secp521r1"
    )


def test_provider_with_groups_of_ones_own_has_more_by_name_only() -> None:
    config = client_config(provider=replace(DEFAULT_PROVIDER, more_groups=()))
    assert first_shares(config) == ["X25519MLKEM768", "x25519"]
    with pytest.raises(ConfigError, match="MLKEM1024 is not supported"):
        client_config(provider=replace(DEFAULT_PROVIDER, more_groups=()), groups=["MLKEM1024"])
