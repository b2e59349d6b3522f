"""trustls: modern TLS for Python, mutual TLS first.

A server that is configured with client-certificate roots tells clients which CAs it accepts; a client chooses its
certificate by that; and both say in words why a handshake failed. TLS without I/O is `ClientConnection` and
`ServerConnection`; `connect` and `Listener` put blocking sockets around it, `trustls.aio` asyncio streams.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from trustls.config import ClientConfig, ServerConfig, ServerNames
from trustls.connection import ClientConnection, Connection, ServerConnection
from trustls.crypto.provider import DEFAULT_PROVIDER, CryptoProvider
from trustls.errors import (
    AlertDescription,
    AlertReceived,
    AsyncRequired,
    CertificateProblem,
    CertificateRejected,
    CertificateRejectedByPeer,
    ConfigError,
    ConnectionClosed,
    DecodeError,
    EarlyDataUnavailable,
    HandshakePending,
    HandshakeTimeout,
    Incompatibility,
    InternalError,
    KeyMismatch,
    Misbehaviour,
    PeerIncompatible,
    PeerMisbehaved,
    SigningFailed,
    TLSError,
    UnexpectedEOF,
)
from trustls.handshake.established import ConnectionInfo
from trustls.identity.credential import Credential, CredentialWarning
from trustls.identity.misfit import Misfit, MisfitCause
from trustls.identity.request import CredentialRequest
from trustls.identity.selection import OfferedHello
from trustls.identity.signer import Signer
from trustls.session.store import (
    ClientSessionStore,
    GroupMemory,
    MemoryClientSessions,
    MemorySessions,
    ServerSessionStore,
)
from trustls.session.tickets import RotatingTicketKeys, StoredSessions, TicketKey, TicketKeys, Tickets
from trustls.trace import TRACE
from trustls.trust.certificate import Certificate
from trustls.trust.client_auth import ClientAuth
from trustls.trust.names import ServerName
from trustls.trust.path import PathFailure
from trustls.trust.profile import Profile
from trustls.trust.roots import RootCertStore
from trustls.trust.verifiers import ClientVerifier, OcspPolicy, Peer, ServerVerifier
from trustls.wire.enums import CertificateType, CipherSuite, NamedGroup, ProtocolVersion, SignatureScheme
from trustls.wire.names import DistinguishedName

if TYPE_CHECKING:
    from trustls import aio, stdlib
    from trustls.handshake.client_hello_info import ClientHelloInfo
    from trustls.handshake.key_log import KeyLog
    from trustls.handshake.retry_cookie import RetryCookies
    from trustls.keylog import KeyLogFile
    from trustls.net.listener import Listener
    from trustls.net.sockets import TLSSocket, connect
    from trustls.protocol.certificate_compression import CertificateCompression
    from trustls.reloading import Reloading
    from trustls.session.psk import ExternalPsk, import_psk
    from trustls.session.shared import SharedTicketKeys
    from trustls.trust.authorize import Authorize
    from trustls.trust.crl import CertificateRevocationList, CrlStore
    from trustls.trust.raw_key import RawPublicKey
    from trustls.trust.raw_keys import RawKeyVerifier, RawPublicKeys
    from trustls.trust.revocation import Revocation
    from trustls.trust.spiffe import SpiffeBundles, SpiffeId

__version__ = "0.1.0"

__all__ = [
    "DEFAULT_PROVIDER",
    "TRACE",
    "AlertDescription",
    "AlertReceived",
    "AsyncRequired",
    "Authorize",
    "Certificate",
    "CertificateCompression",
    "CertificateProblem",
    "CertificateRejected",
    "CertificateRejectedByPeer",
    "CertificateRevocationList",
    "CertificateType",
    "CipherSuite",
    "ClientAuth",
    "ClientConfig",
    "ClientConnection",
    "ClientHelloInfo",
    "ClientSessionStore",
    "ClientVerifier",
    "ConfigError",
    "Connection",
    "ConnectionClosed",
    "ConnectionInfo",
    "Credential",
    "CredentialRequest",
    "CredentialWarning",
    "CrlStore",
    "CryptoProvider",
    "DecodeError",
    "DistinguishedName",
    "EarlyDataUnavailable",
    "ExternalPsk",
    "GroupMemory",
    "HandshakePending",
    "HandshakeTimeout",
    "Incompatibility",
    "InternalError",
    "KeyLog",
    "KeyLogFile",
    "KeyMismatch",
    "Listener",
    "MemoryClientSessions",
    "MemorySessions",
    "Misbehaviour",
    "Misfit",
    "MisfitCause",
    "NamedGroup",
    "OcspPolicy",
    "OfferedHello",
    "PathFailure",
    "Peer",
    "PeerIncompatible",
    "PeerMisbehaved",
    "Profile",
    "ProtocolVersion",
    "RawKeyVerifier",
    "RawPublicKey",
    "RawPublicKeys",
    "Reloading",
    "RetryCookies",
    "Revocation",
    "RootCertStore",
    "RotatingTicketKeys",
    "ServerConfig",
    "ServerConnection",
    "ServerName",
    "ServerNames",
    "ServerSessionStore",
    "ServerVerifier",
    "SharedTicketKeys",
    "SignatureScheme",
    "Signer",
    "SigningFailed",
    "SpiffeBundles",
    "SpiffeId",
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
    "stdlib",
]


# Imported when they are first used: few programs need any of them. (asyncio alone takes as long as all of trustls.)
_LATER = {
    "Authorize": "trustls.trust.authorize",
    "CertificateCompression": "trustls.protocol.certificate_compression",
    "CertificateRevocationList": "trustls.trust.crl",
    "ClientHelloInfo": "trustls.handshake.client_hello_info",
    "CrlStore": "trustls.trust.crl",
    "ExternalPsk": "trustls.session.psk",
    "KeyLog": "trustls.handshake.key_log",
    "KeyLogFile": "trustls.keylog",
    "Listener": "trustls.net.listener",
    "RawKeyVerifier": "trustls.trust.raw_keys",
    "RawPublicKey": "trustls.trust.raw_key",
    "RawPublicKeys": "trustls.trust.raw_keys",
    "Reloading": "trustls.reloading",
    "RetryCookies": "trustls.handshake.retry_cookie",
    "Revocation": "trustls.trust.revocation",
    "SharedTicketKeys": "trustls.session.shared",
    "SpiffeBundles": "trustls.trust.spiffe",
    "SpiffeId": "trustls.trust.spiffe",
    "TLSSocket": "trustls.net.sockets",
    "connect": "trustls.net.sockets",
    "import_psk": "trustls.session.psk",
}


def __getattr__(name: str) -> object:
    if name in {"aio", "anyio", "stdlib", "trio"}:
        return importlib.import_module(f"trustls.{name}")
    if name in _LATER:
        value = getattr(importlib.import_module(_LATER[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
