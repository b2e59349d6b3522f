"""trustls: modern TLS for Python, mutual TLS first.

A server that is configured with client-certificate roots tells clients which CAs it accepts; a client chooses its
certificate by that; and both say in words why a handshake failed. TLS without I/O is `ClientConnection` and
`ServerConnection`; `connect` and `Listener` put blocking sockets around it, `trustls.aio` asyncio streams.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from trustls.config import ClientConfig, ServerConfig
from trustls.connection import ClientConnection, Connection, ServerConnection
from trustls.crypto.provider import DEFAULT_PROVIDER, CryptoProvider
from trustls.errors import (
    AlertDescription,
    AlertReceived,
    AsyncRequired,
    CertificateProblem,
    CertificateRejected,
    ConfigError,
    ConnectionClosed,
    DecodeError,
    EarlyDataUnavailable,
    HandshakePending,
    HandshakeTimeout,
    Incompatibility,
    InternalError,
    Misbehaviour,
    PeerIncompatible,
    PeerMisbehaved,
    TLSError,
    UnexpectedEOF,
)
from trustls.handshake.established import ConnectionInfo
from trustls.handshake.key_log import KeyLog
from trustls.handshake.retry_cookie import RetryCookies
from trustls.identity.credential import Credential
from trustls.identity.request import CredentialRequest
from trustls.identity.signer import Signer
from trustls.keylog import KeyLogFile
from trustls.net.sockets import Listener, TLSSocket, connect
from trustls.session.psk import ExternalPsk, import_psk
from trustls.session.store import ClientSessionStore, MemoryClientSessions, MemorySessions, ServerSessionStore
from trustls.session.tickets import RotatingTicketKeys, StoredSessions, TicketKey, TicketKeys, Tickets
from trustls.trace import TRACE
from trustls.trust.certificate import Certificate
from trustls.trust.client_auth import ClientAuth
from trustls.trust.names import ServerName
from trustls.trust.roots import RootCertStore
from trustls.trust.verifiers import ClientVerifier, Peer, ServerVerifier
from trustls.wire.enums import CipherSuite, NamedGroup, ProtocolVersion, SignatureScheme
from trustls.wire.names import DistinguishedName

if TYPE_CHECKING:
    from types import ModuleType

    from trustls import aio

__version__ = "0.1.0"

__all__ = [
    "DEFAULT_PROVIDER",
    "TRACE",
    "AlertDescription",
    "AlertReceived",
    "AsyncRequired",
    "Certificate",
    "CertificateProblem",
    "CertificateRejected",
    "CipherSuite",
    "ClientAuth",
    "ClientConfig",
    "ClientConnection",
    "ClientSessionStore",
    "ClientVerifier",
    "ConfigError",
    "Connection",
    "ConnectionClosed",
    "ConnectionInfo",
    "Credential",
    "CredentialRequest",
    "CryptoProvider",
    "DecodeError",
    "DistinguishedName",
    "EarlyDataUnavailable",
    "ExternalPsk",
    "HandshakePending",
    "HandshakeTimeout",
    "Incompatibility",
    "InternalError",
    "KeyLog",
    "KeyLogFile",
    "Listener",
    "MemoryClientSessions",
    "MemorySessions",
    "Misbehaviour",
    "NamedGroup",
    "Peer",
    "PeerIncompatible",
    "PeerMisbehaved",
    "ProtocolVersion",
    "RetryCookies",
    "RootCertStore",
    "RotatingTicketKeys",
    "ServerConfig",
    "ServerConnection",
    "ServerName",
    "ServerSessionStore",
    "ServerVerifier",
    "SignatureScheme",
    "Signer",
    "StoredSessions",
    "TLSError",
    "TLSSocket",
    "TicketKey",
    "TicketKeys",
    "Tickets",
    "UnexpectedEOF",
    "aio",
    "connect",
    "import_psk",
]


def __getattr__(name: str) -> ModuleType:
    """`trustls.aio`, imported when it is first used: asyncio takes longer to import than all of trustls."""
    if name == "aio":
        return importlib.import_module("trustls.aio")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
