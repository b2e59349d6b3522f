"""Unix sockets, which know no name: it is given."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import trustls
from tests.aio.running import Streaming, client_config, eventually, run_on, server_config
from tests.support.pki import PKI

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="asyncio has no Unix sockets on Windows")


@pytest.fixture
def path() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:  # A short one: such a path has about 100 bytes of room.
        yield str(Path(folder) / "socket")


def test_streams_over_a_unix_socket(path: str, pki: PKI, loop_name: str) -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.read())
        writer.close()

    async def main() -> None:
        config = server_config(pki, client_auth=pki.required())
        async with await trustls.aio.start_unix_server(echo, path, config):
            reader, writer = await trustls.aio.open_unix_connection(
                path, client_config(pki, pki.alice), server_name="localhost"
            )
            writer.write(b"hello")
            writer.write_eof()
            assert await reader.read() == b"hello"
            writer.close()
            with contextlib.suppress(trustls.TLSError, OSError):
                await writer.wait_closed()

    run_on(loop_name, main)


def test_protocols_over_a_unix_socket(path: str, pki: PKI, loop_name: str) -> None:
    async def main() -> None:
        served: list[Streaming] = []

        def make() -> Streaming:
            served.append(Streaming())
            return served[0]

        async with await trustls.aio.create_unix_server(make, path, server_config(pki)):
            transport, protocol = await trustls.aio.create_unix_connection(
                Streaming, path, client_config(pki), server_name="localhost"
            )
            transport.write(b"hello")
            await eventually(lambda: bool(served) and served[0].received == b"hello", "the greeting")
            transport.close()
            served[0].tls.close()
            await asyncio.wait_for(asyncio.gather(protocol.lost, served[0].lost), 5)
            with pytest.raises(trustls.CertificateRejected):
                await trustls.aio.create_unix_connection(
                    Streaming, path, client_config(pki), server_name="another.example"
                )

    run_on(loop_name, main)
