"""A crowd of clients in a process of its own, so that the server's memory is the server's alone.

    python -m tests.soak.crowd PORT FOLDER

It reads a command a line and answers each with one line of JSON:

    hold COUNT         connect so many clients, half of them in TLS 1.2, and keep them
    talk               each of them sends a line and gets it back
    leave              a third says goodbye, a third hangs up, a third resets the connection
    visit COUNT SEED   so many clients come and go, eight at a time, the bad among the good
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import random
import socket
import struct
import sys
import time
import warnings
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import trustls
import trustls.aio

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]

_AT_ONCE = 8
_RESET = struct.pack("ii", 1, 0)


class Crowd:
    """The clients, and what they connect with."""

    def __init__(self, port: int, folder: Path) -> None:
        self._port = port
        self._held: list[Streams] = []
        roots = trustls.RootCertStore.from_pem(folder / "server-root.pem")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", trustls.CredentialWarning)
            own, strange = (
                trustls.Credential.from_pem(folder / f"{stem}.pem", folder / f"{stem}-key.pem", fallback=True)
                for stem in ("alice", "mallory")
            )
        config = functools.partial(trustls.ClientConfig, roots=roots, sessions=None)
        self._good = [config(credentials=[own], versions=[version]) for version in ("1.3", "1.2")]
        self._strange = [config(credentials=[strange], versions=[version]) for version in ("1.3", "1.2")]
        self._nameless = [config(versions=[version]) for version in ("1.3", "1.2")]
        self._resuming = [
            trustls.ClientConfig(roots=roots, credentials=[own], versions=[version]) for version in ("1.3", "1.2")
        ]

    async def _connected(self, config: trustls.ClientConfig) -> Streams:
        return await trustls.aio.open_connection("127.0.0.1", self._port, config, server_name="localhost")

    # -- A crowd that stays -------------------------------------------------------------------------------------------

    async def hold(self, count: int) -> dict[str, object]:
        started = time.monotonic()
        for first in range(0, count, _AT_ONCE):
            numbers = range(first, min(first + _AT_ONCE, count))
            self._held += await asyncio.gather(*(self._connected(self._good[number % 2]) for number in numbers))
        return {"held": len(self._held), "seconds": time.monotonic() - started}

    async def talk(self) -> dict[str, object]:
        answered = 0
        for number, (_reader, writer) in enumerate(self._held):
            writer.write(b"%d\n" % number)
        for number, (reader, _writer) in enumerate(self._held):
            answered += await reader.readline() == b"%d\n" % number
        return {"answered": answered}

    async def leave(self) -> dict[str, object]:
        for number, (_reader, writer) in enumerate(self._held):
            if number % 3 == 0:
                writer.close()
            else:
                if number % 3 == 1:
                    _raw(writer).setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                writer.transport.abort()
        for _reader, writer in self._held:
            with contextlib.suppress(trustls.TLSError, OSError):
                await writer.wait_closed()
        left = len(self._held)
        self._held.clear()
        return {"left": left}

    # -- A crowd that comes and goes ----------------------------------------------------------------------------------

    async def visit(self, count: int, seed: int) -> dict[str, object]:
        started = time.monotonic()
        chance = random.Random(seed)
        kinds: list[Callable[[int, random.Random], Awaitable[None]]] = [
            self.good, self.resuming, self.nameless, self.stranger, self.babbler, self.leaver,
        ]  # fmt: skip
        names = [kind.__name__ for kind in kinds]
        chosen = chance.choices(range(len(kinds)), [60, 15, 5, 5, 5, 10], k=count)
        waiting = list(enumerate(chosen))
        waiting.reverse()

        async def guest() -> None:
            while waiting:
                number, kind = waiting.pop()
                await kinds[kind](number, chance)

        await asyncio.gather(*(guest() for _ in range(_AT_ONCE)))
        seconds = time.monotonic() - started
        return {"seconds": seconds, "kinds": Counter(names[kind] for kind in chosen)}

    async def _exchange(self, config: trustls.ClientConfig, number: int) -> None:
        reader, writer = await self._connected(config)
        try:
            writer.write(b"%d\n" % number)
            answer = await reader.readline()
            if answer != b"%d\n" % number:
                raise AssertionError(f"client {number} was answered {answer!r}")
        finally:
            writer.close()
            with contextlib.suppress(trustls.TLSError, OSError):
                await writer.wait_closed()

    async def good(self, number: int, _chance: random.Random) -> None:
        """Says something and goodbye."""
        await self._exchange(self._good[number % 2], number)

    async def resuming(self, number: int, _chance: random.Random) -> None:
        """The same, and resumes what it can."""
        await self._exchange(self._resuming[number % 2], number)

    async def nameless(self, number: int, _chance: random.Random) -> None:
        """Has no certificate, which this server requires."""
        await self._refused(self._nameless[number % 2], number)

    async def stranger(self, number: int, _chance: random.Random) -> None:
        """Has one of a CA that the server does not know."""
        await self._refused(self._strange[number % 2], number)

    async def _refused(self, config: trustls.ClientConfig, number: int) -> None:
        with contextlib.suppress(trustls.AlertReceived):
            await self._exchange(config, number)
            raise AssertionError(f"client {number} was let in")

    async def babbler(self, _number: int, chance: random.Random) -> None:
        """Says something that is no TLS."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        writer.write(chance.randbytes(chance.randint(1, 4000)))
        if chance.random() < 0.5:
            with contextlib.suppress(OSError):
                writer.write_eof()
            with contextlib.suppress(OSError):
                await reader.read()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    async def leaver(self, number: int, chance: random.Random) -> None:
        """Hangs up in the middle of the handshake."""
        connection = trustls.ClientConnection(self._good[number % 2], "localhost")
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        hello = connection.data_to_send()
        end = chance.randint(0, len(hello) - 1)
        if chance.random() < 0.5:
            writer.write(hello)
            connection.receive(await reader.read(1 << 16))
            flight = connection.data_to_send()
            end = chance.randint(0, max(len(flight) - 1, 0))
            writer.write(flight[:end])
        else:
            writer.write(hello[:end])
        if chance.random() < 0.5:
            _raw(writer).setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def _raw(writer: asyncio.StreamWriter) -> socket.socket:
    found: socket.socket = writer.get_extra_info("socket")
    return found


async def main(port: int, folder: Path) -> None:
    """Do what is asked for, line after line."""
    crowd = Crowd(port, folder)
    while line := await asyncio.to_thread(sys.stdin.readline):
        verb, *numbers = line.split()
        answer = await getattr(crowd, verb)(*map(int, numbers))
        print(json.dumps(answer), flush=True)  # noqa: T201


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), Path(sys.argv[2])))
