"""Files over `trustls.aio`."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import trustls
from tests.aio.running import client_config, eventually, port_of, run_on, server_config
from tests.support.pki import PKI

SIZE = 3_000_000


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("files") / "file"
    found.write_bytes(os.urandom(SIZE))
    return found


class Far:
    """The server's end, which takes everything, or waits."""

    def __init__(self) -> None:
        self.received: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self.read_on = asyncio.Event()
        self.read_on.set()
        self.writer: asyncio.StreamWriter | None = None
        self.connected = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        self.connected.set()
        await self.read_on.wait()
        with contextlib.suppress(trustls.TLSError, OSError):
            self.received.set_result(await reader.read())
        writer.close()
        with contextlib.suppress(trustls.TLSError, OSError):
            await writer.wait_closed()


@contextlib.asynccontextmanager
async def sending(pki: PKI) -> AsyncIterator[tuple[asyncio.StreamWriter, Far]]:
    """A client's writer, and the other end."""
    far = Far()
    async with await trustls.aio.start_server(far.serve, "127.0.0.1", 0, server_config(pki)) as server:
        _reader, writer = await trustls.aio.open_connection(
            "127.0.0.1", port_of(server), client_config(pki), server_name="localhost"
        )
        try:
            yield writer, far
        finally:
            writer.close()
            far.read_on.set()
            with contextlib.suppress(trustls.TLSError, OSError):
                await asyncio.wait_for(writer.wait_closed(), 5)


@pytest.mark.parametrize(
    ("offset", "count", "sent"),
    [
        (0, None, SIZE),
        (100, 1000, 1000),
        (SIZE - 10, None, 10),
        (SIZE - 10, 1000, 10),
        (SIZE, None, 0),
        (1, 300_000, 300_000),
    ],
)
def test_file_comes_as_it_is(offset: int, count: int | None, sent: int, path: Path, pki: PKI, loop_name: str) -> None:
    content = path.read_bytes()

    async def main() -> None:
        async with sending(pki) as (writer, far):
            with path.open("rb") as file:
                writer.write(b"before ")
                assert await trustls.aio.sendfile(writer, file, offset, count) == sent
                assert file.tell() == offset + sent, "the file is positioned behind what was sent"
            writer.write(b" behind")
            writer.write_eof()
            received = await asyncio.wait_for(far.received, 10)
            assert received == b"before " + content[offset : offset + sent] + b" behind"

    run_on(loop_name, main)


def test_slow_reader_slows_the_file_down(path: Path, pki: PKI, tmp_path: Path) -> None:
    big = tmp_path / "big"
    with big.open("wb") as file:
        file.truncate(100 << 20)

    async def main() -> None:
        async with sending(pki) as (writer, far):
            far.read_on.clear()
            with big.open("rb") as file:
                sent = asyncio.create_task(trustls.aio.sendfile(writer.transport, file))
                await eventually(lambda: writer.transport.get_write_buffer_size() > 0, "back-pressure")
                await asyncio.sleep(0.05)
                assert not sent.done()
                assert writer.transport.get_write_buffer_size() < 1 << 20, "the file waits on disk, not in memory"
                sent.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await sent
                assert 0 < file.tell() < 32 << 20
            writer.transport.abort()

    run_on("asyncio", main)


def test_connection_lost_behind_the_last_byte_is_an_error_of_sendfile(path: Path, pki: PKI, loop_name: str) -> None:
    """All of it is written, and waits for a peer that does not read: it was not sent when that one is gone."""

    async def main() -> None:
        async with sending(pki) as (writer, far):
            far.read_on.clear()
            writer.write(bytes(16 << 20))
            with path.open("rb") as file:
                sent = asyncio.create_task(trustls.aio.sendfile(writer, file, count=1000))
                await asyncio.wait_for(far.connected.wait(), 5)
                await eventually(lambda: file.tell() == 1000, "the whole of the file")
                assert far.writer is not None
                far.writer.transport.abort()
                with pytest.raises(ConnectionError):
                    await asyncio.wait_for(sent, 5)

    run_on(loop_name, main)


def test_what_cannot_be_sent_is_refused(path: Path, pki: PKI) -> None:
    async def main() -> None:
        async with sending(pki) as (writer, _far):
            with path.open("rb") as file:
                for offset, count in ((-1, None), (0, 0), (0, -1)):
                    with pytest.raises(ValueError, match="offset"):
                        await trustls.aio.sendfile(writer, file, offset, count)
                raw = await asyncio.get_running_loop().create_connection(
                    asyncio.Protocol, *writer.get_extra_info("peername")
                )
                with pytest.raises(trustls.ConfigError, match=r"loop\.sendfile"):
                    await trustls.aio.sendfile(raw[0], file)
                raw[0].close()
                with pytest.raises(RuntimeError, match="not supported"):
                    await asyncio.get_running_loop().sendfile(writer.transport, file)
                writer.close()
                with pytest.raises(RuntimeError, match="closed"):
                    await trustls.aio.sendfile(writer, file)

    run_on("asyncio", main)
