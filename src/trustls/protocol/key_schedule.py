"""The key schedule of TLS 1.3 (RFC 9846 7.1 to 7.5).

Three stages, each a value that the one before gives: `EarlySecret`, `HandshakeSecrets`, `TrafficSecrets`. A secret of
a later stage cannot be had without the inputs of the earlier, so code cannot encrypt under the wrong one by accident.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from trustls.crypto.aead import SuiteAlgorithms
from trustls.crypto.hashing import SHA256, SHA384, HashAlgorithm, Mac, equal, hkdf_label


class _Labels:
    """The constant HkdfLabels of one hash function, and the early secret's derivative when there is no PSK."""

    __slots__ = ("derived", "finished", "handshake_salt", "update")

    def __init__(self, algorithm: HashAlgorithm) -> None:
        length = algorithm.length
        self.finished = hkdf_label(b"finished", b"", length)
        self.update = hkdf_label(b"traffic upd", b"", length)
        self.derived = hkdf_label(b"derived", algorithm.empty, length)
        no_psk = algorithm.extract(bytes(length), bytes(length))
        self.handshake_salt = algorithm.expand(algorithm.mac(no_psk), self.derived, length)


_LABELS = {SHA256.name: _Labels(SHA256), SHA384.name: _Labels(SHA384)}
_IV_LABEL = hkdf_label(b"iv", b"", 12)
_KEY_LABELS = {length: hkdf_label(b"key", b"", length) for length in (16, 32)}


@dataclass(frozen=True, slots=True)
class TrafficSecret:
    """The secret of one direction in one epoch."""

    suite: SuiteAlgorithms
    secret: bytes = field(repr=False)

    def key_and_iv(self) -> tuple[bytes, bytes]:
        """The record protection key and IV (RFC 9846 7.3)."""
        algorithm = self.suite.hash
        length = self.suite.key_length
        secret = algorithm.mac(self.secret)
        return algorithm.expand(secret, _KEY_LABELS[length], length), algorithm.expand(secret, _IV_LABEL, 12)

    def next(self) -> TrafficSecret:
        """The secret after a KeyUpdate (RFC 9846 7.2)."""
        algorithm = self.suite.hash
        update = _LABELS[algorithm.name].update
        return TrafficSecret(self.suite, algorithm.expand(algorithm.mac(self.secret), update, algorithm.length))

    def verify_data(self, transcript_hash: bytes) -> bytes:
        """The content of a Finished message made under this secret (RFC 9846 4.5.3)."""
        algorithm = self.suite.hash
        return _finished(algorithm, algorithm.mac(self.secret), transcript_hash)

    def finished_is_valid(self, verify_data: bytes, transcript_hash: bytes) -> bool:
        """Whether a peer's Finished is the one that this secret makes; compared in constant time."""
        return equal(verify_data, self.verify_data(transcript_hash))


@dataclass(frozen=True, slots=True)
class TrafficSecrets:
    """What the schedule gives once the server's Finished is in the transcript."""

    client: TrafficSecret
    server: TrafficSecret
    exporter: ExporterSecret
    _main_secret: Mac = field(repr=False)

    def resumption_secret(self, transcript_hash: bytes) -> ResumptionSecret:
        """The resumption secret, once the client's Finished is in the transcript too."""
        suite = self.client.suite
        algorithm = suite.hash
        secret = algorithm.expand_label(self._main_secret, b"res master", transcript_hash, algorithm.length)
        return ResumptionSecret(suite, secret)


@dataclass(frozen=True, slots=True)
class ExporterSecret:
    """What keying material is exported from (RFC 9846 7.5)."""

    algorithm: HashAlgorithm
    secret: bytes = field(repr=False)

    @property
    def max_length(self) -> int:
        """How many bytes can be exported at once."""
        return 255 * self.algorithm.length

    def export(self, label: bytes, context: bytes | None, length: int) -> bytes:
        """`length` bytes for `label` and `context`; an absent context and an empty one are the same in TLS 1.3."""
        algorithm = self.algorithm
        derived = algorithm.expand_label(algorithm.mac(self.secret), label, algorithm.empty, algorithm.length)
        return algorithm.expand_label(algorithm.mac(derived), b"exporter", algorithm.hash(context or b""), length)


@dataclass(frozen=True, slots=True)
class EarlySecret:
    """The first stage, when there is a pre-shared key."""

    algorithm: HashAlgorithm
    secret: Mac = field(repr=False)

    @classmethod
    def derive(cls, algorithm: HashAlgorithm, psk: bytes) -> EarlySecret:
        """From the pre-shared key."""
        return cls(algorithm, algorithm.mac(algorithm.extract(bytes(algorithm.length), psk)))

    def binder(self, label: bytes, transcript_hash: bytes) -> bytes:
        """Proof of holding the key, over the ClientHello up to the binders (RFC 9846 4.3.11.2)."""
        algorithm = self.algorithm
        key = algorithm.expand_label(self.secret, label, algorithm.empty, algorithm.length)
        return _finished(algorithm, algorithm.mac(key), transcript_hash)

    def binder_is_valid(self, binder: bytes, label: bytes, transcript_hash: bytes) -> bool:
        """Whether a client's binder is the one that this secret makes; compared in constant time."""
        return equal(binder, self.binder(label, transcript_hash))

    def early_traffic(self, suite: SuiteAlgorithms, transcript_hash: bytes) -> TrafficSecret:
        """What protects early data, over the first ClientHello."""
        return _traffic_secret(suite, self.secret, b"c e traffic", transcript_hash)

    def early_exporter(self, transcript_hash: bytes) -> ExporterSecret:
        """The exporter that both sides have before the handshake is done."""
        algorithm = self.algorithm
        secret = algorithm.expand_label(self.secret, b"e exp master", transcript_hash, algorithm.length)
        return ExporterSecret(algorithm, secret)

    def handshake_salt(self) -> bytes:
        """What the second stage starts from."""
        algorithm = self.algorithm
        return algorithm.expand(self.secret, _LABELS[algorithm.name].derived, algorithm.length)


@dataclass(frozen=True, slots=True)
class ResumptionSecret:
    """What the pre-shared keys of a connection's tickets are derived from (RFC 9846 4.7.1)."""

    suite: SuiteAlgorithms
    secret: bytes = field(repr=False)

    def psk(self, nonce: bytes) -> bytes:
        """The key of the ticket with this nonce."""
        algorithm = self.suite.hash
        return algorithm.expand_label(algorithm.mac(self.secret), b"resumption", nonce, algorithm.length)


@dataclass(frozen=True, slots=True)
class HandshakeSecrets:
    """What the schedule gives once the ServerHello is in the transcript."""

    client: TrafficSecret
    server: TrafficSecret
    _secret: Mac = field(repr=False)

    @classmethod
    def derive(
        cls, suite: SuiteAlgorithms, shared_secret: bytes, transcript_hash: bytes, early: EarlySecret | None = None
    ) -> HandshakeSecrets:
        """From the (EC)DHE secret and the transcript up to ServerHello; `early` where a pre-shared key is used."""
        algorithm = suite.hash
        salt = _LABELS[algorithm.name].handshake_salt if early is None else early.handshake_salt()
        secret = algorithm.mac(algorithm.extract(salt, shared_secret))
        return cls(
            client=_traffic_secret(suite, secret, b"c hs traffic", transcript_hash),
            server=_traffic_secret(suite, secret, b"s hs traffic", transcript_hash),
            _secret=secret,
        )

    def traffic_secrets(self, transcript_hash: bytes) -> TrafficSecrets:
        """From the transcript up to the server's Finished."""
        suite = self.client.suite
        algorithm = suite.hash
        salt = algorithm.expand(self._secret, _LABELS[algorithm.name].derived, algorithm.length)
        main_secret = algorithm.mac(algorithm.extract(salt, bytes(algorithm.length)))
        return TrafficSecrets(
            client=_traffic_secret(suite, main_secret, b"c ap traffic", transcript_hash),
            server=_traffic_secret(suite, main_secret, b"s ap traffic", transcript_hash),
            exporter=ExporterSecret(
                algorithm, algorithm.expand_label(main_secret, b"exp master", transcript_hash, algorithm.length)
            ),
            _main_secret=main_secret,
        )


def _traffic_secret(suite: SuiteAlgorithms, secret: Mac, label: bytes, transcript_hash: bytes) -> TrafficSecret:
    algorithm = suite.hash
    return TrafficSecret(suite, algorithm.expand_label(secret, label, transcript_hash, algorithm.length))


def _finished(algorithm: HashAlgorithm, secret: Mac, transcript_hash: bytes) -> bytes:
    """The MAC of a Finished message, and of a binder: under a key of its own, derived from `secret`."""
    finished_key = algorithm.expand(secret, _LABELS[algorithm.name].finished, algorithm.length)
    return algorithm.hmac(finished_key, transcript_hash)
