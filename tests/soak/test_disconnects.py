"""A peer that is gone after any number of bytes of its handshake: the other side notices, and keeps nothing of it."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket

import pytest

import trustls
from tests.soak.conftest import Report
from tests.soak.cutting import Cut, End, cut_client, cut_server
from tests.soak.holdings import gone, happens, held
from tests.soak.scale import LONG, STRIDE
from tests.soak.serving import client_config, server_config, serving
from tests.support.pki import PKI
from trustls.cli.pki import KeyType

_AT_ONCE = 16
# Small hellos and signatures of one length: the same handshake has the same number of bytes each time.
_FIXED: dict[str, object] = {"groups": ["x25519"], "signature_schemes": ["ed25519", "ecdsa_secp256r1_sha256"]}

versions = pytest.mark.parametrize("version", ["1.3", "1.2"])


def configs(pki: PKI, version: str) -> tuple[trustls.ServerConfig, trustls.ClientConfig]:
    """Both sides with certificates."""
    server = pki.server_with(KeyType.ED25519).credential
    client = pki.client_with(KeyType.ED25519).credential
    return (
        server_config(pki, credentials=[server], versions=[version], resumption=None, **_FIXED),
        client_config(pki, credentials=[client], versions=[version], **_FIXED),
    )


def ends(length: int) -> list[tuple[int, End]]:
    """After how many bytes, and how, a peer goes: each number in the long form, in each way."""
    if LONG:
        return [(most, end) for most in range(length) for end in End]
    first = random.randrange(STRIDE)
    chosen = sorted({0, 1, 4, 5, 6, length - 1, *range(first, length, STRIDE)})
    return [(most, list(End)[number % len(End)]) for number, most in enumerate(chosen)]


@versions
def test_client_that_is_gone_after_any_byte_leaves_nothing_with_the_server(
    version: str, pki: PKI, report: Report
) -> None:
    async def main() -> None:
        server_side, client_side = configs(pki, version)
        async with serving(server_side) as server:
            whole = await cut_client(server.port, client_side, None)
            assert server.connected == 1, f"the whole handshake fails: {server.failures}"
            assert await happens(lambda: not server.open), "the whole handshake does not end"
            before = held()
            planned = ends(whole.sent)
            for first in range(0, len(planned), _AT_ONCE):
                batch = planned[first : first + _AT_ONCE]
                await asyncio.gather(*(cut_client(server.port, client_side, most, end) for most, end in batch))
            assert await happens(lambda: sum(server.failures.values()) == len(planned)), (
                f"{len(planned)} clients were gone too early, the server noticed {server.failures}"
            )
            assert set(server.failures) == {"UnexpectedEOF"}, f"they were gone, not {server.failures}"
            assert server.connected == 1, f"{server.connected - 1} were let in who were gone before"
            left = await gone(before)
            assert not left, f"of {len(planned)} clients that are gone there is still {left}"
            report(
                f"TLS {version}: {len(planned)} clients gone within {whole.sent} bytes of their handshake, nothing left"
            )

    asyncio.run(main())


@versions
def test_server_that_is_gone_after_any_byte_leaves_nothing_with_the_client(
    version: str, pki: PKI, report: Report
) -> None:
    async def main() -> None:
        server_side, client_side = configs(pki, version)
        planned: list[tuple[int | None, End]] = [(None, End.CLOSE)]
        accepted = 0
        whole: list[Cut] = []

        def make(connection: trustls.ServerConnection, sock: socket.socket) -> Cut:
            nonlocal accepted
            most, end = planned[accepted]
            accepted += 1
            cut = Cut(connection, sock, most, end)
            if most is None:
                whole.append(cut)
            return cut

        async def connect(port: int) -> str:
            try:
                reader, writer = await trustls.aio.open_connection(
                    "127.0.0.1", port, client_side, server_name="localhost"
                )
            except trustls.TLSError as error:
                return type(error).__name__
            writer.write(b"?")
            answer = await reader.read(1)
            writer.close()
            with contextlib.suppress(trustls.TLSError, OSError):
                await writer.wait_closed()
            return answer.decode()

        async with cut_server(server_side, make) as port:
            assert await connect(port) == "!", "the whole handshake fails"
            length = whole.pop().sent
            planned += ends(length)
            before = held()
            results: list[str] = []
            for first in range(1, len(planned), _AT_ONCE):
                count = len(planned[first : first + _AT_ONCE])
                results += await asyncio.gather(*(connect(port) for _ in range(count)))
            assert set(results) == {"UnexpectedEOF"}, f"the server was gone, not {set(results)}"
            left = await gone(before)
            assert not left, f"of {len(results)} servers that are gone there is still {left}"
            report(f"TLS {version}: {len(results)} servers gone within {length} bytes of their handshake, nothing left")

    asyncio.run(main())
