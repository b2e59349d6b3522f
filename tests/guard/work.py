"""The work whose calls are counted: always the same, with the certificates, the clock and the caches as they are."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Final

from trustls import (
    ClientAuth,
    ClientConfig,
    ClientConnection,
    Connection,
    Credential,
    MemoryClientSessions,
    RootCertStore,
    ServerConfig,
    ServerConnection,
    Tickets,
    aio,
)
from trustls.cli.pki import Authority, Issued, Validity

NOW: Final = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
RECORDS: Final = 1000
MESSAGES: Final = 200
ECHO: Final = f"{MESSAGES} messages of 1 KiB there and back, asyncio"

# For so long that no certificate of these ever expires, whatever the clock of the machine says.
_VALIDITY: Final = Validity(not_before=NOW - datetime.timedelta(days=1), lifetime=datetime.timedelta(days=36_500))
_SERVER_ROOT: Final = Authority.create("Server Root", validity=_VALIDITY)
_CLIENT_ROOT: Final = Authority.create("Client Root", validity=_VALIDITY)
_OTHER_ROOT: Final = Authority.create("Another Client Root", validity=_VALIDITY)
_SERVER: Final = _SERVER_ROOT.intermediate("Issuing", validity=_VALIDITY).issue_server("localhost", validity=_VALIDITY)
_CLIENT: Final = _CLIENT_ROOT.intermediate("Issuing", validity=_VALIDITY).issue_client("alice", validity=_VALIDITY)

Configs = tuple[ClientConfig, ServerConfig]


def works() -> dict[str, Callable[[], object]]:
    """Each kind of work by its name."""
    found: dict[str, Callable[[], object]] = {
        "full handshake, TLS 1.3": _handshakes(_configs("1.3")),
        "mutual handshake with hints, TLS 1.3": _handshakes(_configs("1.3", mutual=True)),
        "resumed handshake, TLS 1.3": _handshakes(_configs("1.3", resume=True)),
        "full handshake, TLS 1.2": _handshakes(_configs("1.2")),
        "mutual handshake with hints, TLS 1.2": _handshakes(_configs("1.2", mutual=True)),
        "resumed handshake, TLS 1.2": _handshakes(_configs("1.2", resume=True)),
    }
    for size in (64, 1 << 10, 1 << 14, 1 << 16):
        found[f"{RECORDS} writes of {size} bytes, sealed and opened"] = _records(size)
    return found


def _configs(version: str, *, mutual: bool = False, resume: bool = False) -> Configs:
    client = ClientConfig(
        roots=_store(_SERVER_ROOT),
        credentials=[_credential(_CLIENT)] if mutual else [],
        versions=[version],
        groups=["x25519", "secp256r1"],
        sessions=MemoryClientSessions() if resume else None,
        now=NOW.timestamp,
    )
    server = ServerConfig(
        credentials=[_credential(_SERVER)],
        client_auth=ClientAuth.required(_store(_CLIENT_ROOT, _OTHER_ROOT)) if mutual else ClientAuth.none(),
        versions=[version],
        groups=["x25519", "secp256r1"],
        resumption=Tickets(count=1) if resume else None,
        now=NOW.timestamp,
    )
    return client, server


def _credential(issued: Issued) -> Credential:
    return Credential.from_pem(issued.pem_chain, issued.pem_key)


def _store(*authorities: Authority) -> RootCertStore:
    return RootCertStore.from_pem(b"".join(authority.pem_chain for authority in authorities))


def _handshakes(configs: Configs) -> Callable[[], object]:
    return lambda: connected(*configs)


def connected(client_config: ClientConfig, server_config: ServerConfig) -> tuple[Connection, Connection]:
    """Client and server after their handshake, with tickets taken."""
    client, server = ClientConnection(client_config, "localhost"), ServerConnection(server_config)
    data = client.data_to_send()
    while data:
        server.receive(data)
        client.receive(server.data_to_send())
        data = client.data_to_send()
    assert not client.handshaking
    assert not server.handshaking
    return client, server


def _records(size: int) -> Callable[[], object]:
    client, server = connected(*_configs("1.3"))
    data = bytes(size)

    def run() -> None:
        for _ in range(RECORDS):
            client.send(data)
            assert len(server.receive(client.data_to_send())) == size

    return run


async def echo(measure: Callable[[], AbstractContextManager[object]]) -> None:
    """Messages of 1 KiB there and back through asyncio's streams, one at a time, while `measure` is entered."""
    client, server = _configs("1.3")
    listening = await aio.start_server(_answer, "127.0.0.1", 0, server)
    port = listening.sockets[0].getsockname()[1]
    reader, writer = await aio.open_connection("127.0.0.1", port, client, server_name="localhost")

    async def messages(count: int) -> None:
        for _ in range(count):
            writer.write(bytes(1 << 10))
            await reader.readexactly(1 << 10)

    await messages(10)
    with measure():
        await messages(MESSAGES)
    writer.close()
    await writer.wait_closed()
    listening.close()
    await listening.wait_closed()


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1 << 16):
        writer.write(data)
    writer.close()
    await writer.wait_closed()
