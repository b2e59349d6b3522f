"""Sessions: what each side keeps of a connection to resume it (RFC 9846 2.2, RFC 5246 F.1.4)."""

from __future__ import annotations

import struct
from dataclasses import field
from typing import Final, Self

from trustls.errors import DecodeError
from trustls.identity.credential import Credential
from trustls.identity.request import CredentialRequest
from trustls.trust.verifiers import Peer
from trustls.values import dataclass
from trustls.wire.codec import Reader, vector24
from trustls.wire.enums import CipherSuite, NamedGroup, ProtocolVersion

# RFC 9846 4.7.1: seven days, whatever the server says.
MAX_LIFETIME: Final = 7 * 24 * 3600
_FORMAT: Final = 2
# The same, with a raw public key (SubjectPublicKeyInfo) where the client's certificates are.
_FORMAT_RAW_KEY: Final = 3
_FORMATS: Final = (_FORMAT, _FORMAT_RAW_KEY)
# What has a fixed length in a server's session, the format first; then the lengths of secret, binding, server name,
# ALPN and client chain, which follow. One call reads it all: that saves 5 us of a resumed handshake.
_START: Final = struct.Struct("!BHHHQII?IBBHBI")
_SHORTEST_SECRET: Final = 32
# By how much a server's clock may have been set back, or differ from that of the server that made the session.
_CLOCK_SKEW_SECONDS: Final = 60

# Nobody changes a session, and still these classes are not `frozen`: to fill 14 fields of a frozen dataclass takes 4 us
# more, and a resumed handshake makes three of them.


@dataclass(slots=True, kw_only=True)
class ServerSession:
    """A server's memory of a connection; sealed into a ticket, or kept in a store.

    `secret` is the PSK of TLS 1.3 or the master secret of TLS 1.2. `binding` names the configuration that the session
    belongs to, `client_chain` is what the client presented, as DER: certificates, or with `client_is_raw_key` the one
    SubjectPublicKeyInfo. `issued_at` is in milliseconds since 1970,
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
    client_is_raw_key: bool = False

    def is_expired(self, now: float) -> bool:
        """Whether `now`, in seconds, is past the lifetime, or before the beginning."""
        return not -_CLOCK_SKEW_SECONDS <= now - self.issued_at / 1000 <= self.lifetime

    def encode(self) -> bytes:
        """The bytes that `parse` reads."""
        server_name = (self.server_name or "").encode("ascii")
        alpn = self.alpn or b""
        chain = b"".join([vector24(certificate) for certificate in self.client_chain])
        start = _START.pack(
            _FORMAT_RAW_KEY if self.client_is_raw_key else _FORMAT,
            self.version,
            self.suite,
            self.group,
            self.issued_at,
            self.lifetime,
            self.age_add,
            self.extended_master_secret,
            self.max_early_data,
            len(self.secret),
            len(self.binding),
            len(server_name),
            len(alpn),
            len(chain),
        )
        return b"".join((start, self.secret, self.binding, server_name, alpn, chain))

    @classmethod
    def parse(cls, data: bytes) -> Self | None:
        """The session of `encode`; None when it is of another format, as after an upgrade."""
        if len(data) < _START.size or data[0] not in _FORMATS:
            return None
        (
            form,
            version,
            suite,
            group,
            issued_at,
            lifetime,
            age_add,
            extended_master_secret,
            max_early_data,
            secret_length,
            binding_length,
            name_length,
            alpn_length,
            chain_length,
        ) = _START.unpack_from(data)
        binding_at = _START.size + secret_length
        name_at = binding_at + binding_length
        alpn_at = name_at + name_length
        chain_at = alpn_at + alpn_length
        if secret_length < _SHORTEST_SECRET or chain_at + chain_length != len(data):
            return None
        try:
            server_name = data[name_at:alpn_at].decode("ascii")
            client_chain = _certificates(data[chain_at:]) if chain_length else ()
        except (DecodeError, UnicodeDecodeError):
            return None
        is_raw_key = form == _FORMAT_RAW_KEY
        if is_raw_key and len(client_chain) != 1:
            return None
        return cls(
            version=ProtocolVersion.by_value.get(version) or ProtocolVersion(version),
            suite=CipherSuite.by_value.get(suite) or CipherSuite(suite),
            group=NamedGroup.by_value.get(group) or NamedGroup(group),
            secret=data[_START.size : binding_at],
            binding=data[binding_at:name_at],
            server_name=server_name or None,
            alpn=data[alpn_at:chain_at] or None,
            client_chain=client_chain,
            issued_at=issued_at,
            lifetime=lifetime,
            age_add=age_add,
            extended_master_secret=extended_master_secret,
            max_early_data=max_early_data,
            client_is_raw_key=is_raw_key,
        )


def _certificates(data: bytes) -> tuple[bytes, ...]:
    reader = Reader(data, "session")
    certificates = []
    while reader:
        certificates.append(reader.vector24(low=1))
    return tuple(certificates)


@dataclass(slots=True, kw_only=True)
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
