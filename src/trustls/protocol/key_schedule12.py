"""The key schedule of TLS 1.2, with the extended master secret (RFC 5246 6.3, 8.1; RFC 7627; RFC 5705)."""

from __future__ import annotations

from dataclasses import field
from typing import Final

from trustls.crypto.aead import SuiteAlgorithms12
from trustls.crypto.hashing import Mac, equal
from trustls.values import dataclass

MASTER_SECRET_LENGTH: Final = 48
VERIFY_DATA_LENGTH: Final = 12


@dataclass(slots=True)
class DirectionKeys12:
    """What protects the records of one direction."""

    suite: SuiteAlgorithms12
    key: bytes = field(repr=False)
    iv: bytes = field(repr=False)


@dataclass(slots=True)
class MasterSecret:
    """The secret of a TLS 1.2 session. `extended` says whether it is bound to the handshake (RFC 7627).

    A handshake derives the keys and two Finished from it: `_mac` is kept until there is an `exporter`. An idle
    connection holds the secret only.
    """

    suite: SuiteAlgorithms12
    secret: bytes = field(repr=False)
    extended: bool
    _mac: Mac | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self._mac = self._made_mac()

    @classmethod
    def derive(
        cls, suite: SuiteAlgorithms12, premaster: bytes, *, session_hash: bytes | None, randoms: bytes
    ) -> MasterSecret:
        """From the ECDHE secret: over `session_hash` where both sides extend, else over `randoms` (client, server)."""
        if session_hash is not None:
            label, seed = b"extended master secret", session_hash
        else:
            label, seed = b"master secret", randoms
        secret = Mac(suite.hash, premaster).prf(label, seed, MASTER_SECRET_LENGTH)
        return cls(suite, secret, session_hash is not None)

    def record_keys(self, client_random: bytes, server_random: bytes) -> tuple[DirectionKeys12, DirectionKeys12]:
        """The client's write keys and the server's (RFC 5246 6.3)."""
        suite = self.suite
        key, iv = suite.key_length, suite.fixed_iv_length
        block = (self._mac or self._made_mac()).prf(b"key expansion", server_random + client_random, 2 * (key + iv))
        client_iv = 2 * key
        server_iv = client_iv + iv
        return (
            DirectionKeys12(suite, block[:key], block[client_iv:server_iv]),
            DirectionKeys12(suite, block[key:client_iv], block[server_iv:]),
        )

    def verify_data(self, *, client: bool, transcript_hash: bytes) -> bytes:
        """The content of the client's or the server's Finished (RFC 5246 7.4.9)."""
        label = b"client finished" if client else b"server finished"
        return (self._mac or self._made_mac()).prf(label, transcript_hash, VERIFY_DATA_LENGTH)

    def finished_is_valid(self, verify_data: bytes, *, client: bool, transcript_hash: bytes) -> bool:
        """Whether a Finished is the one that this secret makes; compared in constant time."""
        return equal(verify_data, self.verify_data(client=client, transcript_hash=transcript_hash))

    def _made_mac(self) -> Mac:
        return Mac(self.suite.hash, self.secret)

    def exporter(self, randoms: bytes) -> Exporter12:
        """What keying material is exported from, once the handshake is done. `randoms`: the client's, the server's."""
        self._mac = None
        return Exporter12(self, randoms)


@dataclass(slots=True)
class Exporter12:
    """What keying material is exported from (RFC 5705)."""

    master: MasterSecret
    randoms: bytes

    @property
    def max_length(self) -> int:
        """How many bytes can be exported at once."""
        return 1 << 16

    def export(self, label: bytes, context: bytes | None, length: int) -> bytes:
        """`length` bytes for `label`; here an absent context and an empty one differ."""
        seed = self.randoms
        if context is not None:
            seed += len(context).to_bytes(2, "big") + context
        master = self.master
        return Mac(master.suite.hash, master.secret).prf(label, seed, length)
