"""What is tried with every peer: the rows of the table."""

from __future__ import annotations

import enum
from typing import Final


class Role(enum.StrEnum):
    """What trustls is."""

    CLIENT = "client"
    SERVER = "server"


class Scenario(enum.StrEnum):
    """A row of the table, in its order."""

    HANDSHAKE = "handshake"
    KEY_TYPES = "other kinds of key"
    ED25519 = "Ed25519"
    MUTUAL = "mutual TLS"
    CHOICE = "choice by CA names"
    OPTIONAL = "optional client certificate"
    NO_NAMES = "request without CA names"
    WRONG = "wrong client certificate"
    MISSING = "missing client certificate"
    UNTRUSTED = "untrusted server"
    RESUMPTION = "resumption"
    RETRY = "HelloRetryRequest"
    HYBRID = "X25519MLKEM768"
    LARGE = "64 MiB both ways"
    OUR_UPDATE = "key update by trustls"
    THEIR_UPDATE = "key update by the peer"
    CLOSE = "close"


DESCRIPTIONS: Final[dict[str, str]] = {
    Scenario.HANDSHAKE: "a server certificate through an intermediate, ALPN, a word there and back; one side speaks "
    "this version only, the other both",
    Scenario.KEY_TYPES: "mutual TLS with RSA and P-384 on both sides",
    Scenario.ED25519: "the same with Ed25519",
    Scenario.MUTUAL: "two client CAs, a client certificate through an intermediate; each side knows the other",
    Scenario.CHOICE: "the client has certificates of both CAs; the server names one CA, then the other",
    Scenario.OPTIONAL: "a client without a certificate is let in, and nobody knows who it is",
    Scenario.NO_NAMES: "the CertificateRequest names no CA; the client sends its certificate all the same",
    Scenario.WRONG: "the client's certificate is of a CA that the server does not trust: refused, both sides know why",
    Scenario.MISSING: "the client has no certificate and one is required: refused, both sides know why",
    Scenario.UNTRUSTED: "the server's certificate is of a CA that the client does not trust: refused by the client",
    Scenario.RESUMPTION: "the second connection resumes; who the client is stays known",
    Scenario.RETRY: "the server wants a group that the client sent no share of",
    Scenario.HYBRID: "the key exchange that withstands quantum computers",
    Scenario.LARGE: "64 MiB echoed while they are sent",
    Scenario.OUR_UPDATE: "trustls changes its keys and asks the peer to change its own; data before and after",
    Scenario.THEIR_UPDATE: "the peer's library changes its keys; data before and after",
    Scenario.CLOSE: "close_notify in both directions, whoever begins",
    "other groups with ML-KEM": "ML-KEM by itself, or with P-256 and P-384, as far as the peer has it",
    "ML-DSA certificates": "mutual TLS with signatures that withstand quantum computers",
}

VERSIONS: Final = ("1.2", "1.3")
ONLY_TLS13: Final = ("1.3",)
