"""Sessions: `session`, `session=` and `session_reused`, with `ssl` on the other side and with trustls."""

from __future__ import annotations

import copy
import pickle
import ssl
import threading
import time

import pytest

from tests.stdlib.pairs import SIDES, BIOPair, contexts, our_client, our_server, socket_pair, ssl_server
from tests.support import identities
from trustls import MemoryClientSessions, NamedGroup
from trustls.session.state import ClientSession
from trustls.stdlib import SSLContext, SSLSession

VERSIONS = ("1.3", "1.2")
FROM_US = ("trustls to trustls", "trustls to ssl")


def _talk(pair: BIOPair) -> BIOPair:
    """Data both ways: a TLS 1.3 client has its tickets then."""
    pair.client.write(b"question")
    pair.run(lambda: pair.server.read(100))
    pair.server.write(b"answer")
    pair.run(lambda: pair.client.read(100))
    return pair


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("sides", SIDES)
def test_a_session_that_is_given_is_resumed(sides: str, version: str) -> None:
    client, server = contexts(sides, version=version)
    first = _talk(BIOPair.of(client, server).handshake())
    assert (first.client.session_reused, first.server.session_reused) == (False, False)
    session = first.client.session
    again = _talk(BIOPair.of(client, server, session=session).handshake())
    assert (again.client.session_reused, again.server.session_reused) == (True, True)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("sides", FROM_US)
def test_sessions_look_like_those_of_ssl(sides: str, version: str) -> None:
    client, server = contexts(sides, version=version)
    session = _talk(BIOPair.of(client, server).handshake()).client.session
    theirs = _talk(BIOPair.of(*contexts("ssl to trustls", version=version)).handshake()).client.session
    for name in ("id", "time", "timeout", "ticket_lifetime_hint", "has_ticket"):
        assert type(getattr(session, name)) is type(getattr(theirs, name)), name
    assert session.has_ticket
    assert abs(session.time - time.time()) < 60
    assert session.timeout > 0
    assert session.id
    assert session != object()
    assert hash(session) == hash(session)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_configurations_own_store_resumes_by_itself(version: str) -> None:
    client, server = contexts("trustls to trustls", version=version)
    _talk(BIOPair.of(client, server).handshake())
    assert BIOPair.of(client, server).handshake().client.session_reused


def test_the_configurations_own_store_remembers_groups_if_it_can() -> None:
    asked: list[tuple[str, NamedGroup | None]] = []

    class Store(MemoryClientSessions):
        def put_group(self, key: bytes, group: NamedGroup) -> None:
            asked.append(("put", group))
            super().put_group(key, group)

        def get_group(self, key: bytes) -> NamedGroup | None:
            group = super().get_group(key)
            asked.append(("get", group))
            return group

    client, server = our_client(sessions=Store()), our_server(groups=["secp384r1"])
    for _ in range(2):
        BIOPair.of(client, server).handshake()
    group = NamedGroup.SECP384R1
    assert asked == [("get", None), ("put", group), ("get", group)], "the second had a share of it from the start"
    plain = our_client(sessions=_NoMemory())
    for _ in range(2):
        BIOPair.of(plain, server).handshake()


class _NoMemory:
    """A store of sessions that does not remember groups, nor keeps anything else."""

    def put(self, key: bytes, session: ClientSession) -> None:
        """See trustls.ClientSessionStore."""

    def take(self, key: bytes) -> ClientSession | None:
        """See trustls.ClientSessionStore."""


def test_a_context_that_resumes_nothing_takes_no_session() -> None:
    client, server = our_client(sessions=None), our_server()
    pair = _talk(BIOPair.of(client, server).handshake())
    assert pair.client.session is None
    other = _talk(BIOPair.of(our_client(), server).handshake()).client.session
    with pytest.raises(ValueError, match="sessions=None"):
        BIOPair.of(client, server, session=other)


def test_a_session_of_another_configuration_or_server_is_refused_as_by_ssl() -> None:
    server = our_server()
    session = _talk(BIOPair.of(our_client(), server).handshake()).client.session
    for other in (
        our_client(roots=identities.store(identities.server_root(), identities.strange_root())),
        our_client(credentials=[identities.client_credential()]),
    ):
        with pytest.raises(ValueError, match="different SSLContext"):
            BIOPair.of(other, server, session=session)
    assert BIOPair.of(our_client(), server, session=session).handshake().client.session_reused, (
        "whom it trusts and who it is are the same: it may"
    )
    client = our_client()
    session = _talk(BIOPair.of(client, server).handshake()).client.session
    with pytest.raises(ValueError, match="another server"):
        client.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="other.example", session=session)


def test_what_is_no_session_is_refused() -> None:
    foreign = _talk(BIOPair.of(*contexts("ssl to trustls")).handshake()).client.session
    for session in ("x", foreign):
        with pytest.raises(TypeError, match="session"):
            BIOPair.of(our_client(), our_server(), session=session)
    pair = BIOPair.of(our_client(), our_server())
    with pytest.raises(ValueError, match="before the handshake"):
        pair.client.session = foreign


def test_a_session_is_neither_pickled_nor_copied_nor_shown() -> None:
    session = _talk(BIOPair.of(our_client(), our_server()).handshake()).client.session
    for way in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="secrets"):
            way(session)
    assert session._session.secret.hex() not in repr(session)


def test_a_server_that_forgot_the_session_makes_a_new_one() -> None:
    client = our_client()
    session = _talk(BIOPair.of(client, our_server()).handshake()).client.session
    again = BIOPair.of(client, our_server(), session=session).handshake()
    assert again.client.session_reused is False


def test_a_session_made_with_a_certificate_keeps_the_peer() -> None:
    client, server = contexts("trustls to trustls", mutual=True)
    _talk(BIOPair.of(client, server).handshake())
    again = BIOPair.of(client, server).handshake()
    assert again.server.session_reused
    assert again.server.getpeercert()["subject"] == ((("commonName", "alice"),),)
    assert again.server.get_verified_chain(), "known from the ticket"


@pytest.mark.parametrize("version", VERSIONS)
def test_sockets_resume_too(version: str) -> None:
    client, server = contexts("trustls to ssl", version=version)
    last: SSLSession | None = None
    for reused in (False, True):
        with socket_pair(client, server, session=last) as (one, other):
            assert one.session_reused is reused
            other.sendall(b"x")
            assert one.recv(1) == b"x"
            last = one.session
            assert isinstance(last, SSLSession)


def test_each_connection_knows_its_own_session_when_threads_share_a_context() -> None:
    client = our_client()
    servers = {name: our_server(credentials=[identities.server_credential("ec-p256", name)]) for name in "ab"}
    wrong: list[object] = []
    rounds = 15

    def run(name: str) -> None:
        for _ in range(rounds):
            pair = BIOPair.of(_named(client, name), servers[name]).handshake()
            _talk(pair)
            key = pair.client.session._key
            if keys.setdefault(name, key) != key:
                wrong.append((name, key))

    keys: dict[str, bytes] = {}
    threads = [threading.Thread(target=run, args=(name,)) for name in "abab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert keys["a"] != keys["b"]


class _Named:
    """A context whose `wrap_bio` asks for another host than the pair would."""

    def __init__(self, context: SSLContext, name: str) -> None:
        self._context, self._name = context, name

    def wrap_bio(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, **_: object) -> ssl.SSLObject:
        return self._context.wrap_bio(incoming, outgoing, server_hostname=self._name)


def _named(context: SSLContext, name: str) -> ssl.SSLContext:
    return _Named(context, name)  # type: ignore[return-value]


def test_the_session_of_a_failed_connection_is_not_the_next_ones() -> None:
    client = our_client()
    failed = BIOPair.of(client, our_server()).handshake()
    tickets = failed.from_server.read()
    failed.server.write(b"x")
    data = bytearray(failed.from_server.read())
    data[-1] ^= 1
    failed.to_client.write(tickets + data)
    with pytest.raises(ssl.SSLError):
        failed.client.read(10)
    fresh = BIOPair.of(client, ssl_server())
    with pytest.raises(ssl.SSLWantReadError):
        fresh.client.do_handshake()
    assert fresh.client.session is None
