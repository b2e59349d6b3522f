"""What a finished handshake leaves behind."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from trustls.handshake.parameters import ServerParameters
from trustls.identity.credential import Credential
from trustls.protocol.key_schedule import ExporterSecret
from trustls.protocol.transcript import Transcript
from trustls.trust.verifiers import Peer
from trustls.values import dataclass
from trustls.wire.enums import CipherSuite, NamedGroup, ProtocolVersion

if TYPE_CHECKING:
    from trustls.handshake.client_sessions import TicketReceiver
    from trustls.protocol.key_schedule12 import Exporter12


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionInfo:
    """What was negotiated.

    Attributes:
        version: the version of TLS.
        suite: the cipher suite.
        group: the group of the key exchange; in a resumption of TLS 1.2 that of the session.
        alpn: the application protocol; None when none was agreed on.
        server_name: the name that the client asked for; None when it sent none.
        credential: this side's own; None when it presented no certificate in this handshake.
        resumed: whether this goes on with an earlier session.
        retried: whether the handshake took a HelloRetryRequest (RFC 9846 4.2.4).
        psk_identity: which external pre-shared key took the place of certificates; None when none did.
        record_size_limit: the peer's, where both sides have said theirs: the most that a record to it holds, in TLS 1.3
            with the byte of its type and its padding (RFC 8449); None where the version's own limit holds.
    """

    version: ProtocolVersion
    suite: CipherSuite
    group: NamedGroup
    alpn: str | None
    server_name: str | None
    credential: Credential | None
    resumed: bool = False
    retried: bool = False
    psk_identity: bytes | None = None
    record_size_limit: int | None = None


@dataclass(slots=True, kw_only=True)
class Established:
    """The facts that a connection keeps; the keys are in its record layer.

    `transcript` is what a later CertificateRequest builds on (RFC 9846 4.7.2); None where none may come. `server` is
    then the configuration that the server chose. `tls_unique` is the first Finished of a handshake of TLS 1.2 (RFC 5929
    3), None in TLS 1.3.
    """

    info: ConnectionInfo
    peer: Peer | None
    exporter: ExporterSecret | Exporter12 = field(repr=False)
    tickets: TicketReceiver | None = None
    tls_unique: bytes | None = None
    transcript: Transcript | None = field(default=None, repr=False)
    server: ServerParameters | None = field(default=None, repr=False)
