"""What takes away a protection of TLS. Reachable by this name alone, so that a reader of your code sees it."""

from __future__ import annotations

from trustls.trust.certificate import Certificate
from trustls.trust.names import ServerName
from trustls.trust.verifiers import Peer
from trustls.wire.names import DistinguishedName

__all__ = ["AcceptAnyCertificate"]


class AcceptAnyCertificate:
    """Believes every certificate, whoever issued it and for whatever name, expired or not.

    Warning:
        A client with this talks to anyone who answers, so also to an attacker in between. A server with this lets in
        any client, and must decide by itself whom it knows, for example by `peer.certificate.spki_sha256`. The peer
        still proves that it holds the certificate's private key, but nothing in the certificate is true for certain:
        `Peer.verified` is empty.

    It is both a ServerVerifier and a ClientVerifier, for tests, for pinning and for looking at certificates.

    Args:
        hints: the CA names that a server sends all the same; none by default.
    """

    __slots__ = ("hints",)

    def __init__(self, *, hints: tuple[DistinguishedName, ...] = ()) -> None:
        self.hints = tuple(hints)

    def __repr__(self) -> str:
        return "AcceptAnyCertificate()"

    def verify_server(
        self,
        chain: tuple[Certificate, ...],
        server_name: ServerName,  # noqa: ARG002
        *,
        now: float,  # noqa: ARG002
        ocsp_response: bytes = b"",  # noqa: ARG002
    ) -> Peer:
        """A Peer that nobody verified."""
        return Peer(tuple(chain))

    def verify_client(self, chain: tuple[Certificate, ...], *, now: float) -> Peer:  # noqa: ARG002
        """A Peer that nobody verified."""
        return Peer(tuple(chain))
