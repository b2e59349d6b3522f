"""What a web server tells its application of the connection that a request came by; for `trustls.asgi` and `.wsgi`."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Final

from trustls.connection import ServerConnection
from trustls.errors import ConfigError

if TYPE_CHECKING:
    from trustls.config import ServerConfig
    from trustls.trust.certificate import Certificate
    from trustls.trust.verifiers import Peer

NOT_VERIFIED: Final = "nobody has verified this certificate"
# What a reason may take, in characters: it goes into logs and onto pages.
_MAX_REASON: Final = 2000


def server_connection(wrapped: object) -> ServerConnection | None:
    """The connection inside of an SSLObject or SSLSocket of trustls; None when `wrapped` is something else.

    Raises:
        OSError: ENOTCONN: it was unwrapped, and speaks in the clear.
    """
    connection = getattr(wrapped, "connection", None)
    return connection if isinstance(connection, ServerConnection) else None


def why_not_verified(peer: Peer | None) -> str | None:
    """In one line, why a client's certificate counts for nothing; None when it is verified, or there is none.

    A certificate that was let through unseen (`danger.AcceptAnyCertificate`) is as little verified as a bad one
    (`ClientAuth.report`). A raw public key that is believed (`RawPublicKeys`) is as good as a verified certificate.
    """
    if peer is None or peer.verified or (peer.raw_key is not None and peer.error is None):
        return None
    reason = NOT_VERIFIED if peer.error is None else " ".join(str(peer.error).split())
    return (reason if len(reason) <= _MAX_REASON else f"{reason[: _MAX_REASON - 3]}...") or NOT_VERIFIED


def client_chain(peer: Peer | None) -> tuple[Certificate, ...]:
    """What a client sent, its own certificate first, each one signed by the next.

    Of a verified client these are the certificates of its path: what else it sent along proves nothing. Of another they
    are all that it sent, in its order. A client with a raw public key has none.
    """
    if peer is None:
        return ()
    if not peer.verified:
        return peer.presented
    sent = set(peer.presented)
    return tuple([one for one in peer.verified if one in sent])


def with_alpn(config: ServerConfig, proposed: tuple[str, ...], spoken: tuple[str, ...], server: str) -> ServerConfig:
    """The configuration with ALPN protocols that the server speaks.

    Raises:
        ConfigError: it has another one, which clients would be promised and not get.
    """
    if not config.alpn:
        return dataclasses.replace(config, alpn=proposed) if proposed else config
    unknown = [name for name in config.alpn if name not in spoken]
    if unknown:
        raise ConfigError(f"alpn={list(config.alpn)}, and {server} speaks {' and '.join(spoken)} here, nothing else")
    return config
