"""What a handshake needs to know of its configuration, worked out once when that is made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from trustls.crypto.provider import CryptoProvider
from trustls.handshake.key_log import KeyLog
from trustls.handshake.retry_cookie import RetryCookies
from trustls.identity.credential import Credential
from trustls.identity.selection import ChooseCredential
from trustls.trust.client_auth import ClientAuth
from trustls.trust.verifiers import ServerVerifier


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientParameters:
    """A client's side. `now` gives the time in seconds since 1970."""

    provider: CryptoProvider
    verifier: ServerVerifier
    credentials: tuple[Credential, ...]
    choose_credential: ChooseCredential
    alpn: tuple[bytes, ...]
    send_server_name: bool
    key_log: KeyLog | None
    now: Callable[[], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerParameters:
    """A server's side. `now` gives the time in seconds since 1970."""

    provider: CryptoProvider
    credentials: tuple[Credential, ...]
    client_auth: ClientAuth
    alpn: tuple[bytes, ...]
    retry_cookies: RetryCookies | None
    key_log: KeyLog | None
    now: Callable[[], float]
