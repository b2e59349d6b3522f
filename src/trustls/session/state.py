"""Sessions: what each side keeps of a connection to resume it (RFC 9846 2.2, RFC 5246 F.1.4)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Self

from trustls.errors import DecodeError
from trustls.identity.credential import Credential
from trustls.identity.request import CredentialRequest
from trustls.trust.verifiers import Peer
from trustls.wire.codec import Reader, vector8, vector16, vector24
from trustls.wire.enums import CipherSuite, NamedGroup, ProtocolVersion

# RFC 9846 4.7.1: seven days, whatever the server says.
MAX_LIFETIME: Final = 7 * 24 * 3600
_FORMAT: Final = 1
# By how much a server's clock may have been set back, or differ from that of the server that made the session.
_CLOCK_SKEW_SECONDS: Final = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSession:
    """A server's memory of a connection; sealed into a ticket, or kept in a store.

    `secret` is the PSK of TLS 1.3 or the master secret of TLS 1.2. `binding` names the configuration that the session
    belongs to, `client_chain` is what the client presented, as DER. `issued_at` is in milliseconds since 1970,
    `lifetime` in seconds.
    """

    version: ProtocolVersion
    suite: CipherSuite
    group: NamedGroup
    secret: bytes = field(repr=False)
    binding: bytes
    server_name: str | None
    alpn: bytes | None
    client_chain: tuple[bytes, ...]
    issued_at: int
    lifetime: int
    age_add: int = field(default=0, repr=False)
    extended_master_secret: bool = False
    max_early_data: int = 0

    def is_expired(self, now: float) -> bool:
        """Whether `now`, in seconds, is past the lifetime, or before the beginning."""
        return not -_CLOCK_SKEW_SECONDS <= now - self.issued_at / 1000 <= self.lifetime

    def encode(self) -> bytes:
        """The bytes that `parse` reads."""
        return b"".join(
            (
                bytes((_FORMAT,)),
                self.version.to_bytes(2, "big"),
                self.suite.to_bytes(2, "big"),
                self.group.to_bytes(2, "big"),
                vector8(self.secret),
                vector8(self.binding),
                vector16((self.server_name or "").encode("ascii")),
                vector8(self.alpn or b""),
                vector24(b"".join(map(vector24, self.client_chain))),
                self.issued_at.to_bytes(8, "big"),
                self.lifetime.to_bytes(4, "big"),
                self.age_add.to_bytes(4, "big"),
                bytes((self.extended_master_secret,)),
                self.max_early_data.to_bytes(4, "big"),
            )
        )

    @classmethod
    def parse(cls, data: bytes) -> Self | None:
        """The session of `encode`; None when it is of another format, as after an upgrade."""
        reader = Reader(data, "session")
        try:
            if reader.u8() != _FORMAT:
                return None
            session = cls(
                version=ProtocolVersion(reader.u16()),
                suite=CipherSuite(reader.u16()),
                group=NamedGroup(reader.u16()),
                secret=reader.vector8(low=32),
                binding=reader.vector8(),
                server_name=reader.vector16().decode("ascii") or None,
                alpn=reader.vector8() or None,
                client_chain=_certificates(reader.vector24()),
                issued_at=int.from_bytes(reader.take(8), "big"),
                lifetime=reader.u32(),
                age_add=reader.u32(),
                extended_master_secret=bool(reader.u8()),
                max_early_data=reader.u32(),
            )
            reader.finish()
        except (DecodeError, UnicodeDecodeError):
            return None
        return session


def _certificates(data: bytes) -> tuple[bytes, ...]:
    reader = Reader(data, "session")
    certificates = []
    while reader:
        certificates.append(reader.vector24(low=1))
    return tuple(certificates)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSession:
    """A client's memory of a connection.

    `ticket` is what the server gave to show again, `session_id` TLS 1.2's other way. `peer` is the server as it was
    verified, `request` what it asked this side for, `credential` what it was answered with. Times are in seconds.
    """

    version: ProtocolVersion
    suite: CipherSuite
    group: NamedGroup
    secret: bytes = field(repr=False)
    ticket: bytes = field(repr=False)
    session_id: bytes = b""
    received_at: float
    lifetime: int
    age_add: int = field(default=0, repr=False)
    alpn: bytes | None
    peer: Peer
    credential: Credential | None
    request: CredentialRequest | None = None
    extended_master_secret: bool = False
    max_early_data: int = 0

    def is_expired(self, now: float) -> bool:
        """Whether the session is older than the server said, or than seven days."""
        return not 0 <= now - self.received_at < min(self.lifetime, MAX_LIFETIME)

    def obfuscated_age(self, now: float) -> int:
        """The ticket's age in milliseconds, masked (RFC 9846 4.3.11.1)."""
        return (max(0, int((now - self.received_at) * 1000)) + self.age_add) & 0xFFFFFFFF
