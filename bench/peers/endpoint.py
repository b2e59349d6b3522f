"""What each implementation is measured through: Endpoint, one side of one connection, and Peer, which makes both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from bench.pki import SERVER_NAME


class Endpoint(Protocol):
    """One side of one connection."""

    done: bool

    def step(self, data: bytes) -> bytes:
        """Take what the other side sent and give the answer; sets `done` once the handshake is finished."""

    def rest(self, data: bytes) -> None:
        """On a client, at the end: take what the server sent behind its handshake, and keep the session."""

    def write(self, data: bytes) -> bytes:
        """The records of application data."""

    def read(self, records: bytes, size: int) -> int:
        """Open records that hold `size` bytes of application data; how many came out."""

    def peer_certificate(self) -> bytes | None:
        """The other side's certificate in DER."""

    def resumed(self) -> bool:
        """Whether the handshake resumed a session."""


Factory = Callable[[], Endpoint]


@dataclass(frozen=True)
class Peer:
    """How an implementation makes its two sides. `server_name` is a parameter for the check that names matter."""

    name: str
    client: Callable[[str], Endpoint]
    server: Factory
    refusals: tuple[type[Exception], ...]

    def new_client(self) -> Endpoint:
        return self.client(SERVER_NAME)
