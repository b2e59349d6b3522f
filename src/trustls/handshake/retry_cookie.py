"""The cookie of a HelloRetryRequest (RFC 9846 4.3.2): the first ClientHello's hash, sealed.

Servers that share the key accept each other's cookies. A cookie is good for a minute.
"""

from __future__ import annotations

import hmac
import secrets
from typing import Final

from trustls.errors import ConfigError, Misbehaviour, PeerMisbehaved

_LIFETIME_SECONDS: Final = 60
_MAC_LENGTH: Final = 32
_TIME_LENGTH: Final = 8


class RetryCookies:
    """Makes and checks cookies under one key of at least 32 bytes; a fresh key when none is given."""

    __slots__ = ("_key",)

    def __init__(self, key: bytes | None = None) -> None:
        if key is not None and len(key) < _MAC_LENGTH:
            raise ConfigError(f"a cookie key of {len(key)} bytes is too short: give at least {_MAC_LENGTH}")
        self._key = key or secrets.token_bytes(_MAC_LENGTH)

    def make(self, first_hello_hash: bytes, choice: bytes, now: float) -> bytes:
        """A cookie that binds the first ClientHello to what the server `choice`-ed (suite and group)."""
        content = int(now).to_bytes(_TIME_LENGTH, "big") + bytes([len(choice)]) + choice + first_hello_hash
        return content + hmac.digest(self._key, content, "sha256")

    def check(self, cookie: bytes, first_hello_hash: bytes, choice: bytes, now: float) -> None:
        """PeerMisbehaved when `cookie` is not one made here within the last minute, for the same hello and choice."""
        content, mac = cookie[:-_MAC_LENGTH], cookie[-_MAC_LENGTH:]
        genuine = hmac.compare_digest(mac, hmac.digest(self._key, content, "sha256"))
        made_at = int.from_bytes(content[:_TIME_LENGTH], "big")
        same = content[_TIME_LENGTH:] == bytes([len(choice)]) + choice + first_hello_hash
        if not (genuine and same and 0 <= int(now) - made_at <= _LIFETIME_SECONDS):
            raise PeerMisbehaved(Misbehaviour.BAD_COOKIE)
