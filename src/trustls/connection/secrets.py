"""The keys of a connection's records, for a record layer that is not ours: the kernel's, or a network card's."""

from __future__ import annotations

from dataclasses import field

from trustls.errors import InternalError
from trustls.handshake.established import Established
from trustls.protocol.key_schedule12 import Exporter12
from trustls.protocol.record import Opener, RecordOpener, RecordSealer, Sealer
from trustls.values import dataclass
from trustls.wire.enums import CipherSuite, ProtocolVersion

_RANDOM_LENGTH = 32


@dataclass(frozen=True, slots=True)
class DirectionSecrets:
    """What one direction is encrypted with. Whoever has it reads what is sent, and can send in the sender's place.

    Attributes:
        key: of the AEAD.
        iv: what nonces are made of: 12 bytes; in TLS 1.2 with AES-GCM the 4 that are not sent (RFC 5288 3).
        sequence: the number of the next record.
        limit: how many records this key may seal, from the first on: RFC 9846 5.5.
    """

    key: bytes = field(repr=False)
    iv: bytes = field(repr=False)
    sequence: int
    limit: int


@dataclass(frozen=True, slots=True)
class ConnectionSecrets:
    """Both directions of a connection, as `Connection.extract_secrets` gives them.

    Attributes:
        version: which record format they are for.
        suite: which AEAD.
        sending: of what this side seals from now on.
        receiving: of what the peer seals.
    """

    version: ProtocolVersion
    suite: CipherSuite
    sending: DirectionSecrets
    receiving: DirectionSecrets


def secrets_of(
    established: Established, sealer: RecordSealer, opener: RecordOpener, *, is_client: bool
) -> ConnectionSecrets:
    """The secrets of a connection that is established, as its record layer has them now."""
    if isinstance(sealer, Sealer) and isinstance(opener, Opener):
        sending, receiving = sealer.secret.key_and_iv(), opener.secret.key_and_iv()
    else:
        # TLS 1.2 keeps no key: there is one for the whole of the connection, made of what exporters are made of.
        exporter = established.exporter
        if not isinstance(exporter, Exporter12):
            raise InternalError("an exporter of TLS 1.3 in a connection of TLS 1.2")
        randoms = exporter.randoms
        client, server = exporter.master.record_keys(randoms[:_RANDOM_LENGTH], randoms[_RANDOM_LENGTH:])
        ours, theirs = (client, server) if is_client else (server, client)
        sending, receiving = (ours.key, ours.iv), (theirs.key, theirs.iv)
    return ConnectionSecrets(
        established.info.version,
        established.info.suite,
        DirectionSecrets(*sending, sealer.sequence, sealer.limit),
        DirectionSecrets(*receiving, opener.sequence, opener.limit),
    )
