"""grpclib, client and server: docs/integrations/grpc.md."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integrations import recipes
from tests.integrations.daemons import free_port
from tests.integrations.mutual import (
    REFUSED,
    SECOND_SUBJECT,
    ConfigMaker,
    Handshakes,
    client_config,
    server_config,
    skip_without,
    subject_of,
)
from tests.support.loops import run_in_loop

skip_without("grpclib")

from grpclib.client import UnaryUnaryMethod  # noqa: E402 (after skip_without)
from grpclib.const import Cardinality, Handler  # noqa: E402
from grpclib.encoding.base import CodecBase  # noqa: E402
from grpclib.exceptions import StreamTerminatedError  # noqa: E402

recipe = recipes.load("grpc")


class Bytes(CodecBase):
    """Messages that are bytes: nothing here needs protobuf."""

    __content_subtype__ = "bytes"

    def encode(self, message: Any, message_type: Any) -> bytes:
        return bytes(message)

    def decode(self, data: bytes, message_type: Any) -> bytes:
        return data


class Echo:
    """Answers by who the client is, and what it sent."""

    def __mapping__(self) -> dict[str, Handler]:
        return {"/tests.Echo/Say": Handler(self._say, Cardinality.UNARY_UNARY, bytes, bytes)}

    async def _say(self, stream: Any) -> None:
        message = await stream.recv_message()
        await stream.send_message(f"{subject_of(stream.peer.cert())}: ".encode() + message)


async def _call(config: Any, message: bytes) -> bytes:
    port = free_port()
    server = await recipe.serve(server_config(alpn=["h2"]), [Echo()], "127.0.0.1", port)
    server._codec = Bytes()  # The recipe's user has protobuf, which is grpclib's own.
    try:
        async with recipe.channel(config, "localhost", port) as channel:
            channel._codec = Bytes()
            answer: bytes = await UnaryUnaryMethod(channel, "/tests.Echo/Say", bytes, bytes)(message)
            return answer
    finally:
        server.close()
        await server.wait_closed()


def test_calls_go_over_mutual_tls(handshakes: Handshakes) -> None:
    message = b"x" * 500_000
    assert run_in_loop(lambda: _call(client_config(alpn=["h2"]), message)) == SECOND_SUBJECT.encode() + b": " + message
    handshakes.check()


@REFUSED
def test_refusal_is_told_in_words(refused_config: ConfigMaker, why: str, handshakes: Handshakes) -> None:
    async def main() -> None:
        with pytest.raises(StreamTerminatedError, match="Connection lost"):
            await _call(refused_config(alpn=["h2"]), b"x")

    run_in_loop(main)
    assert why in str(handshakes.clients[0].failure), "the client was not told"
    handshakes.check_refused(why)
