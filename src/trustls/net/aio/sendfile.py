"""Sending a file. The kernel cannot: it has no keys. So it is read in threads, and sealed like other data."""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

from trustls.errors import ConfigError
from trustls.net.aio.transport import TLSTransport

# What is read in one go: a thread costs as much as sealing 64 KiB does.
_READ_SIZE: Final = 1 << 18


class BinaryFile(Protocol):
    """What `sendfile` needs of a file: one that is opened for reading in binary mode, and can be positioned."""

    def readinto(self, buffer: memoryview, /) -> int | None: ...
    def seek(self, offset: int, /) -> int: ...


async def sendfile(
    stream: asyncio.StreamWriter | asyncio.BaseTransport, file: BinaryFile, offset: int = 0, count: int | None = None
) -> int:
    """Send a file, or a part of it, with back-pressure; how many bytes were sent.

    What `loop.sendfile` does for other transports: the file is positioned behind what was sent, also when this fails or
    is cancelled. Write nothing else meanwhile, or it comes in between.

    Args:
        stream: a TLSTransport, or the StreamWriter of one.
        file: opened for reading in binary mode. It is read in the loop's threads.
        offset: where in the file to start.
        count: how many bytes to send at most; None for all up to the file's end.

    Raises:
        ConfigError: `stream` is not of trustls.
        ValueError: `offset` or `count` is out of range.
        RuntimeError: the stream is closed already.
        ConnectionError: the connection was lost meanwhile; its cause says why, if that is known.
    """
    transport = stream.transport if isinstance(stream, asyncio.StreamWriter) else stream
    if not isinstance(transport, TLSTransport):
        raise ConfigError(f"{type(transport).__name__} is no transport of trustls: loop.sendfile() may serve it")
    if offset < 0 or (count is not None and count <= 0):
        raise ValueError(f"offset must not be negative and count must be positive: {offset}, {count}")
    if transport.is_closing():
        raise RuntimeError("the stream is closed")
    loop = asyncio.get_running_loop()
    buffer = memoryview(bytearray(_READ_SIZE if count is None else min(count, _READ_SIZE)))
    sent = 0
    await loop.run_in_executor(None, file.seek, offset)
    try:
        while count is None or sent < count:
            part = buffer if count is None else buffer[: count - sent]
            size = await loop.run_in_executor(None, file.readinto, part)
            _check_open(transport)
            if not size:
                break
            transport.write(part[:size])
            sent += size
            await transport.drain()
            _check_open(transport)
    finally:
        file.seek(offset + sent)
    return sent


def _check_open(transport: TLSTransport) -> None:
    if transport.is_closing():
        failure = transport.get_extra_info("tls_connection").failure
        raise ConnectionResetError("the connection was lost while a file was being sent") from failure
