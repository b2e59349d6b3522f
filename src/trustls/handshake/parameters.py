"""What a handshake needs to know of its configuration, worked out once when that is made."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import field
from typing import TYPE_CHECKING, Protocol

from trustls.crypto.key_exchange import KeyExchangeGroup
from trustls.crypto.provider import CryptoProvider
from trustls.identity.credential import Credential
from trustls.identity.selection import ChooseCredential, ChooseServerCredential, CredentialSource, current_credentials
from trustls.session.store import ClientSessionStore, GroupMemory
from trustls.session.tickets import Resumption
from trustls.trust.client_auth import ClientAuth
from trustls.trust.verifiers import ServerVerifier
from trustls.values import dataclass
from trustls.wire.enums import CipherSuite, NamedGroup, ProtocolVersion
from trustls.wire.names import DistinguishedName
from trustls.wire.ready import ReadyMessage

if TYPE_CHECKING:
    from trustls.handshake.certificate_types import ClientTypes, ServerTypes
    from trustls.handshake.client_hello_info import ClientHelloInfo
    from trustls.handshake.compression import Compression
    from trustls.handshake.key_log import KeyLog
    from trustls.handshake.retry_cookie import RetryCookies
    from trustls.session.psk import ExternalPsk


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class ClientParameters:
    """A client's side. `versions` are newest first, `now` gives the time in seconds since 1970.

    `certificate_types` is None where nothing has to do with raw public keys.
    """

    provider: CryptoProvider
    versions: tuple[ProtocolVersion, ...]
    cipher_suites: tuple[CipherSuite, ...]
    supported_groups: tuple[NamedGroup, ...]
    key_shares: tuple[KeyExchangeGroup, ...]
    group_memory: GroupMemory | None
    verifier: ServerVerifier
    credentials: tuple[CredentialSource, ...]
    choose_credential: ChooseCredential | None
    alpn: tuple[bytes, ...]
    send_server_name: bool
    require_extended_master_secret: bool
    sessions: ClientSessionStore | None
    external_psks: tuple[ExternalPsk, ...]
    early_data: bool
    request_ocsp: bool
    certificate_authorities: tuple[DistinguishedName, ...]
    post_handshake_auth: bool
    record_size_limit: int | None
    compression: Compression | None
    certificate_types: ClientTypes | None
    key_log: KeyLog | None
    now: Callable[[], float]

    def current_credentials(self) -> tuple[Credential, ...]:
        """The credentials of now."""
        return current_credentials(self.credentials)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class ServerParameters:
    """A server's side. `versions` are newest first, `now` gives the time in seconds since 1970.

    `ready_request` and `ready_request12` keep the CertificateRequest of the handshake, for the hints of now.
    `certificate_types` is None where nothing has to do with raw public keys.
    """

    provider: CryptoProvider
    versions: tuple[ProtocolVersion, ...]
    credentials: tuple[CredentialSource, ...]
    choose_credential: ChooseServerCredential | None
    choose_config: ChooseParameters | None
    client_auth: ClientAuth
    post_handshake_auth: ClientAuth | None
    alpn: tuple[bytes, ...]
    require_extended_master_secret: bool
    resumption: Resumption | None
    external_psks: tuple[ExternalPsk, ...]
    retry_cookies: RetryCookies | None
    pad_records_to: int
    max_fragment_size: int
    record_size_limit: int | None
    compression: Compression | None
    certificate_types: ServerTypes | None
    key_log: KeyLog | None
    now: Callable[[], float]
    ready_request: ReadyMessage = field(init=False, repr=False, compare=False, default_factory=ReadyMessage)
    ready_request12: ReadyMessage = field(init=False, repr=False, compare=False, default_factory=ReadyMessage)

    def current_credentials(self) -> tuple[Credential, ...]:
        """The credentials of now."""
        return current_credentials(self.credentials)


class HasServerParameters(Protocol):
    """A server's configuration."""

    @property
    def parameters(self) -> ServerParameters: ...


ChooseParameters = Callable[["ClientHelloInfo"], "HasServerParameters | Awaitable[HasServerParameters | None] | None"]
"""Gives the configuration for a client, or None for the one that was there already."""
