"""trustls resumes with itself over sockets and asyncio: sessions spoiled on the client's side, and early data."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable

import pytest

import trustls
from tests.support.loops import run_in_loop
from tests.support.pki import PKI, Identity
from tests.support.servers import SECONDS, Outcome, ServerSocket, ThreadedServer, echo
from trustls.session.state import ClientSession
from trustls.session.tickets import Resumption

VERSIONS = ("1.2", "1.3")
EARLY = b"a line that goes early\n" * 20

Spoil = Callable[[ClientSession], ClientSession]


class SpoiledSessions(trustls.MemoryClientSessions):
    """A client's store that gives back sessions otherwise than they came."""

    def __init__(self, spoil: Spoil) -> None:
        super().__init__()
        self.spoil = spoil

    def take(self, key: bytes) -> ClientSession | None:
        session = super().take(key)
        return None if session is None else self.spoil(session)


def with_ticket(change: Callable[[bytes], bytes]) -> Spoil:
    """The ticket changed, or the session id where there is no ticket."""

    def spoil(session: ClientSession) -> ClientSession:
        if session.ticket:
            return dataclasses.replace(session, ticket=change(session.ticket))
        return dataclasses.replace(session, session_id=change(session.session_id)[:32])

    return spoil


def server_config(pki: PKI, version: str, **options: object) -> trustls.ServerConfig:
    """A server of one version, which requires a certificate of its clients."""
    settings: dict[str, object] = {
        "credentials": [pki.server.credential],
        "client_auth": pki.required(),
        "versions": [version],
        **options,
    }
    return trustls.ServerConfig(**settings)  # type: ignore[arg-type]


def client_config(pki: PKI, *identities: Identity, **options: object) -> trustls.ClientConfig:
    """A client that trusts the test's server root, and holds these certificates."""
    settings: dict[str, object] = {"roots": pki.server_roots, **options}
    return trustls.ClientConfig(credentials=[one.credential for one in identities], **settings)  # type: ignore[arg-type]


def visit(server: ThreadedServer, config: trustls.ClientConfig) -> tuple[trustls.ClientConnection, Outcome]:
    """A word to the server and back; both sides must say the same of resumption."""
    with trustls.connect(("127.0.0.1", server.port), config, server_name="localhost", timeout=SECONDS) as tls:
        tls.sendall(b"hello")
        assert tls.recv_exactly(5) == b"hello"
    outcome = server.outcome()
    assert outcome.error is None, f"the server failed: {outcome.error!r}"
    assert tls.connection.info.resumed is outcome.connection.info.resumed, "the two sides disagree"
    return tls.connection, outcome


def policy(name: str) -> Resumption:
    """A fresh one: sealed tickets, or names of stored sessions."""
    return trustls.StoredSessions() if name == "stored" else trustls.Tickets()


# -- Tickets that are not what the server gave ------------------------------------------------------------------------

CHANGES: dict[str, Callable[[bytes], bytes]] = {
    "half": lambda ticket: ticket[: len(ticket) // 2],
    "one byte": lambda ticket: ticket[:1],
    "key name alone": lambda ticket: ticket[:16],
    "no ciphertext": lambda ticket: ticket[:28],
    "a byte less": lambda ticket: ticket[:-1],
    "a byte more": lambda ticket: ticket + b"\0",
    "another name": lambda ticket: bytes(16) + ticket[16:],
    "zeros": lambda ticket: bytes(len(ticket)),
    "very long": lambda ticket: ticket + bytes(50_000),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("policy_name", ["tickets", "stored"])
@pytest.mark.parametrize("version", VERSIONS)
def test_spoiled_ticket_is_a_full_handshake(version: str, policy_name: str, change: str, pki: PKI) -> None:
    sessions = SpoiledSessions(with_ticket(CHANGES[change]))
    config = client_config(pki, pki.alice, sessions=sessions)
    with ThreadedServer(server_config(pki, version, resumption=policy(policy_name))) as server:
        visit(server, config)
        spoiled_is_same = policy_name == "stored" and version == "1.2" and change in {"a byte more", "very long"}
        connection, outcome = visit(server, config)
        assert connection.info.resumed is spoiled_is_same
        assert outcome.peer.subject == "CN=alice"
        assert connection.info.credential is pki.alice.credential


@pytest.mark.parametrize("policy_name", ["tickets", "stored"])
@pytest.mark.parametrize("version", VERSIONS)
def test_whoever_has_the_ticket_but_not_its_secret_gets_nowhere(version: str, policy_name: str, pki: PKI) -> None:
    """A ticket is seen by anybody on the network in TLS 1.2. It must not be worth anything alone."""
    sessions = SpoiledSessions(lambda session: dataclasses.replace(session, secret=bytes(len(session.secret))))
    thief = client_config(pki, pki.alice, sessions=sessions)
    with ThreadedServer(server_config(pki, version, resumption=policy(policy_name))) as server:
        visit(server, thief)
        with pytest.raises(trustls.TLSError):
            trustls.connect(("127.0.0.1", server.port), thief, server_name="localhost", timeout=SECONDS)
        error = server.outcome().error
    assert isinstance(error, trustls.TLSError), f"the server let a thief in: {error!r}"


@pytest.mark.parametrize("version", VERSIONS)
def test_session_shown_as_one_of_the_other_version_is_no_bypass(version: str, pki: PKI) -> None:
    """The ticket of one version in the place of the other's: a full handshake, with the certificate asked for."""
    other = {"1.2": "1.3", "1.3": "1.2"}[version]
    keys = trustls.RotatingTicketKeys()
    sessions = trustls.MemoryClientSessions()
    config = client_config(pki, pki.alice, sessions=sessions)
    configs = [server_config(pki, one, resumption=trustls.Tickets(keys=keys)) for one in (version, other)]
    with ThreadedServer(configs[0]) as before, ThreadedServer(configs[1]) as after:
        visit(before, config)
        connection, outcome = visit(after, config)
    assert not connection.info.resumed
    assert outcome.peer.subject == "CN=alice"


# -- Early data -------------------------------------------------------------------------------------------------------


def test_early_data_is_read_apart_and_given_back_when_refused(pki: PKI) -> None:
    early: list[bytes] = []

    def read_and_echo(tls: ServerSocket) -> None:
        early.append(tls.connection.read_early())
        echo(tls)

    configs = [server_config(pki, "1.3", resumption=trustls.StoredSessions(max_early_data=4096)) for _ in range(2)]
    config = client_config(pki, pki.alice, early_data=True)
    with ThreadedServer(configs[0], read_and_echo) as server, ThreadedServer(configs[1], read_and_echo) as restarted:
        visit(server, config)
        for target, accepted in ((server, True), (restarted, False)):
            address = ("127.0.0.1", target.port)
            with trustls.connect(address, config, server_name="localhost", timeout=SECONDS, early_data=EARLY) as tls:
                assert tls.connection.early_data_accepted is accepted
                assert tls.connection.take_rejected_early_data() == (b"" if accepted else EARLY)
                tls.sendall(b"hello")
                assert tls.recv_exactly(5) == b"hello"
            outcome = target.outcome()
            assert outcome.connection.early_data_accepted is accepted
            assert outcome.peer.subject == "CN=alice"
    assert early == [b"", EARLY, b""]


# -- asyncio ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy_name", ["tickets", "stored"])
@pytest.mark.parametrize("version", VERSIONS)
def test_streams_resume(version: str, policy_name: str, pki: PKI) -> None:
    served: list[trustls.Connection] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.append(writer.get_extra_info("tls_connection"))
        writer.write(await reader.readexactly(5))
        await writer.drain()
        writer.close()

    async def main() -> None:
        config = client_config(pki, pki.alice)
        server_side = server_config(pki, version, resumption=policy(policy_name))
        async with await trustls.aio.start_server(serve, "127.0.0.1", 0, server_side) as server:
            port = server.sockets[0].getsockname()[1]
            for expected in (False, True, True):
                reader, writer = await trustls.aio.open_connection("127.0.0.1", port, config, server_name="localhost")
                writer.write(b"hello")
                assert await reader.read() == b"hello"
                connection = writer.get_extra_info("tls_connection")
                assert (connection.info.resumed, served[-1].info.resumed) == (expected, expected)
                assert served[-1].peer is not None
                assert served[-1].peer.subject == "CN=alice"
                writer.close()
                await writer.wait_closed()

    run_in_loop(main)
