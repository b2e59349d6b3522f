"""Certificates for the tests: each made once, when it is first asked for."""

from __future__ import annotations

import functools
import time
from typing import Final

from cryptography.hazmat.primitives.serialization import Encoding

from trustls.cli.pki import Authority, Issued
from trustls.config import ClientConfig, ServerConfig
from trustls.identity.credential import Credential
from trustls.trust.client_auth import ClientAuth
from trustls.trust.roots import RootCertStore

# One of each kind of signature algorithm and size that `trustls.crypto.signatures` knows.
KEY_TYPES: Final = (
    "ec-p256",
    "ec-p384",
    "ec-p521",
    "ed25519",
    "rsa-2048",
    "ml-dsa-44",
    "ml-dsa-65",
    "ml-dsa-87",
)


def now() -> float:
    """The time of the machine, which the certificates here are made by."""
    return time.time()


def credential(issued: Issued, *, fallback: bool = False) -> Credential:
    """What a configuration takes."""
    return Credential(issued.chain, issued.key, fallback=fallback)


def store(*authorities: Authority) -> RootCertStore:
    """The roots `authorities`."""
    return RootCertStore([authority.certificate.public_bytes(Encoding.DER) for authority in authorities])


@functools.cache
def server_root() -> Authority:
    """Who issues the servers' certificates."""
    return Authority.create("Server Root")


@functools.cache
def client_root() -> Authority:
    """Who issues the clients' certificates."""
    return Authority.create("K-Dot Certificate Authority", country="US", organization="TDE")


@functools.cache
def client_intermediate() -> Authority:
    """Who issues them in daily business."""
    return client_root().intermediate("K-Dot Issuing")


@functools.cache
def strange_root() -> Authority:
    """A CA that no server here trusts."""
    return Authority.create("A Root Nobody Trusts")


@functools.cache
def server_identity(key_type: str = "ec-p256", *names: str) -> Issued:
    """A server's certificate and key, for localhost unless named."""
    return server_root().issue_server(*(names or ("localhost",)), key_type=key_type)


@functools.cache
def client_identity(key_type: str = "ec-p256", common_name: str = "alice") -> Issued:
    """A client's certificate and key."""
    return client_intermediate().issue_client(common_name, key_type=key_type)


@functools.cache
def server_credential(key_type: str = "ec-p256", *names: str) -> Credential:
    """The same as a configuration takes it."""
    return credential(server_identity(key_type, *names))


@functools.cache
def client_credential(key_type: str = "ec-p256", common_name: str = "alice") -> Credential:
    """The same as a configuration takes it."""
    return credential(client_identity(key_type, common_name))


@functools.cache
def strange_credential() -> Credential:
    """A client's, from the CA that nobody trusts."""
    return credential(strange_root().issue_client("mallory"))


@functools.cache
def server_roots() -> RootCertStore:
    """What clients trust."""
    return store(server_root())


@functools.cache
def client_roots() -> RootCertStore:
    """What servers trust."""
    return store(client_root())


def required() -> ClientAuth:
    """Client certificates are required."""
    return ClientAuth.required(client_roots())


def optional() -> ClientAuth:
    """Client certificates are asked for."""
    return ClientAuth.optional(client_roots())


def client_config(**changes: object) -> ClientConfig:
    """A client that trusts the server's root."""
    if "verifier" not in changes:
        changes.setdefault("roots", server_roots())
    return ClientConfig(**changes)  # type: ignore[arg-type]


def server_config(**changes: object) -> ServerConfig:
    """A server for localhost with a P-256 certificate."""
    changes.setdefault("credentials", [server_credential()])
    return ServerConfig(**changes)  # type: ignore[arg-type]
