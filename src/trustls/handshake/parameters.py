"""What a handshake needs to know of its configuration, worked out once when that is made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from trustls.crypto.key_exchange import KeyExchangeGroup
from trustls.crypto.provider import CryptoProvider
from trustls.handshake.key_log import KeyLog
from trustls.handshake.retry_cookie import RetryCookies
from trustls.identity.credential import Credential
from trustls.identity.selection import ChooseCredential
from trustls.session.psk import ExternalPsk
from trustls.session.store import ClientSessionStore
from trustls.session.tickets import Resumption
from trustls.trust.client_auth import ClientAuth
from trustls.trust.verifiers import ServerVerifier
from trustls.wire.enums import CipherSuite, ProtocolVersion


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientParameters:
    """A client's side. `versions` are newest first, `now` gives the time in seconds since 1970."""

    provider: CryptoProvider
    versions: tuple[ProtocolVersion, ...]
    cipher_suites: tuple[CipherSuite, ...]
    groups: tuple[KeyExchangeGroup, ...]
    verifier: ServerVerifier
    credentials: tuple[Credential, ...]
    choose_credential: ChooseCredential
    alpn: tuple[bytes, ...]
    send_server_name: bool
    require_extended_master_secret: bool
    sessions: ClientSessionStore | None
    external_psks: tuple[ExternalPsk, ...]
    early_data: bool
    request_ocsp: bool
    key_log: KeyLog | None
    now: Callable[[], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerParameters:
    """A server's side. `versions` are newest first, `now` gives the time in seconds since 1970."""

    provider: CryptoProvider
    versions: tuple[ProtocolVersion, ...]
    credentials: tuple[Credential, ...]
    client_auth: ClientAuth
    alpn: tuple[bytes, ...]
    require_extended_master_secret: bool
    resumption: Resumption | None
    external_psks: tuple[ExternalPsk, ...]
    retry_cookies: RetryCookies | None
    key_log: KeyLog | None
    now: Callable[[], float]
