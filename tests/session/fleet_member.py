"""A server process of the fleet in test_redis_fleet.py: settings as JSON in its argument, reports as JSON lines.

The first line says on which port it listens. Then comes one for each connection whose handshake has ended, well or not.
What it logs goes to stderr.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import threading
import time
from pathlib import Path
from typing import Any

import trustls
import trustls.aio
from trustls.session.redis import RedisSessions, RedisTicketKeys

GREETING = b"hello"


def server_config(settings: dict[str, Any]) -> trustls.ServerConfig:
    pki = Path(settings["pki"])
    shared = {
        "asynchronous": settings["asynchronous"],
        "secret": bytes.fromhex(settings["secret"]) or None,
        "retry_after": settings["retry_after"],
    }
    resumption: trustls.Tickets | trustls.StoredSessions
    if settings["resumption"] == "tickets":
        keys = RedisTicketKeys.from_url(settings["redis"], rotate_every=settings["rotate_every"], **shared)
        resumption = trustls.Tickets(keys=keys)
    else:
        store = RedisSessions.from_url(settings["redis"], **shared)
        resumption = trustls.StoredSessions(store=store, max_early_data=settings["max_early_data"])
    clock = Path(settings["clock"])
    return trustls.ServerConfig(
        credentials=[trustls.Credential.from_pem(pki / "server.pem", pki / "server-key.pem")],
        client_auth=trustls.ClientAuth.required(trustls.RootCertStore.from_pem(pki / "ca.pem")),
        versions=[settings["version"]],
        resumption=resumption,
        now=lambda: time.time() + float(clock.read_text()),
    )


def report(connection: trustls.Connection, failure: Exception | None = None) -> None:
    assert isinstance(connection, trustls.ServerConnection)
    line: dict[str, Any] = {
        "failure": None if failure is None else type(failure).__name__,
        "early_data": connection.read_early().decode(),
        "early_data_accepted": connection.early_data_accepted,
    }
    if failure is None:
        peer = connection.peer
        line |= {
            "resumed": connection.info.resumed,
            "version": connection.info.version.iana,
            "peer": None if peer is None else str(peer.certificate.subject),
        }
    say(line)


def say(line: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


# -- With threads -----------------------------------------------------------------------------------------------------


def serve_blocking(config: trustls.ServerConfig) -> None:
    with trustls.Listener(("127.0.0.1", 0), config, timeout=10) as listener:
        say({"port": listener.address[1]})
        for tls in listener:
            threading.Thread(target=serve_one, args=(tls,), daemon=True).start()


def serve_one(tls: trustls.TLSSocket[trustls.ServerConnection]) -> None:
    with tls:
        try:
            tls.handshake()
        except (trustls.TLSError, OSError) as error:
            report(tls.connection, error)
            return
        report(tls.connection)
        tls.sendall(GREETING)
        tls.recv()


# -- With asyncio -----------------------------------------------------------------------------------------------------


async def serve_async(config: trustls.ServerConfig) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        report(writer.get_extra_info("tls_connection"))
        writer.write(GREETING)
        await reader.read()
        writer.close()

    def failed(error: trustls.TLSError, connection: trustls.Connection) -> None:
        report(connection, error)

    server = await trustls.aio.start_server(serve, "127.0.0.1", 0, config, handshake_failed=failed)
    say({"port": server.sockets[0].getsockname()[1]})
    await server.serve_forever()


def main() -> None:
    logging.basicConfig(level=logging.INFO)
    settings = json.loads(sys.argv[1])
    config = server_config(settings)
    if settings["asynchronous"]:
        asyncio.run(serve_async(config))
    else:
        serve_blocking(config)


if __name__ == "__main__":
    main()
