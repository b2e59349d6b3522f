"""The key schedule of TLS 1.3 (RFC 9846 7.1 to 7.5).

Three stages, each a value that the one before gives: `EarlySecret`, `HandshakeSecrets`, `TrafficSecrets`. A secret of
a later stage cannot be had without the inputs of the earlier, so code cannot encrypt under the wrong one by accident.

All that is derived in a handshake is as long as a hash or shorter, so that each HKDF-Expand is one MAC, over an
HkdfLabel of which all but the transcript hash is known beforehand. That saves 10 us of a handshake (both sides).
"""

from __future__ import annotations

from dataclasses import field
from typing import Final

from trustls.crypto.aead import SuiteAlgorithms
from trustls.crypto.hashing import SHA256, SHA384, HashAlgorithm, Mac, equal, hkdf_label
from trustls.values import dataclass


def _info(label: bytes, context: bytes, length: int) -> bytes:
    """What HKDF-Expand-Label MACs for one block: the HkdfLabel, and the number of the block (RFC 5869 2.3)."""
    return hkdf_label(label, context, length) + _FIRST_BLOCK


class _Labels:
    """The labels of one hash function, and the early secret's derivative when there is no PSK.

    Those that end in `_over` want the transcript hash, and the number of the block behind that. `binders` has those of
    the binders' keys by the labels that RFC 9846 gives them, `psk_salt` is what a PSK is extracted with.
    """

    __slots__ = (
        "binders",
        "client_handshake_over",
        "client_traffic_over",
        "derived",
        "exporter_over",
        "finished",
        "handshake_salt",
        "psk_salt",
        "resumption_over",
        "server_handshake_over",
        "server_traffic_over",
        "update",
        "zeros",
    )

    def __init__(self, algorithm: HashAlgorithm) -> None:
        length = algorithm.length
        self.zeros = bytes(length)
        self.finished = _info(b"finished", b"", length)
        self.update = _info(b"traffic upd", b"", length)
        self.derived = _info(b"derived", algorithm.empty, length)

        def over(label: bytes) -> bytes:
            return hkdf_label(label, self.zeros, length)[:-length]

        self.client_handshake_over = over(b"c hs traffic")
        self.server_handshake_over = over(b"s hs traffic")
        self.client_traffic_over = over(b"c ap traffic")
        self.server_traffic_over = over(b"s ap traffic")
        self.exporter_over = over(b"exp master")
        self.resumption_over = over(b"res master")
        self.binders = {
            label: _info(label, algorithm.empty, length) for label in (b"ext binder", b"res binder", b"imp binder")
        }
        self.psk_salt = algorithm.mac(self.zeros)
        # Nothing secret goes in, so that this key may stay for good.
        no_psk = self.psk_salt.digest(self.zeros)
        self.handshake_salt = algorithm.mac(algorithm.mac(no_psk).digest(self.derived))


class _LabelsByName(dict[str, _Labels]):
    """The labels by the hash function's name, made at their first use: the first HMAC of a process takes 1 ms."""

    def __missing__(self, name: str) -> _Labels:
        labels = self[name] = _Labels(_HASHES[name])
        return labels


_HASHES = {algorithm.name: algorithm for algorithm in (SHA256, SHA384)}
_FIRST_BLOCK = b"\x01"
_LABELS = _LabelsByName()
_IV_INFO = _info(b"iv", b"", 12)
_KEY_INFOS = {length: _info(b"key", b"", length) for length in (16, 32)}


@dataclass(slots=True)
class TrafficSecret:
    """The secret of one direction in one epoch.

    `_mac` is kept of a secret of the handshake, which gives a key, an IV and a Finished. One of application data gives
    the first two only, and lasts: a connection that is idle would hold it.
    """

    suite: SuiteAlgorithms
    secret: bytes = field(repr=False)
    _mac: Mac | None = field(default=None, repr=False, compare=False)

    def key_and_iv(self) -> tuple[bytes, bytes]:
        """The record protection key and IV (RFC 9846 7.3)."""
        suite = self.suite
        mac = self._mac or Mac(suite.hash, self.secret)
        length = suite.key_length
        return mac.digest(_KEY_INFOS[length])[:length], mac.digest(_IV_INFO)[:12]

    def next(self) -> TrafficSecret:
        """The secret after a KeyUpdate (RFC 9846 7.2)."""
        algorithm = self.suite.hash
        return TrafficSecret(self.suite, algorithm.hmac(self.secret, _LABELS[algorithm.name].update))

    def verify_data(self, transcript_hash: bytes) -> bytes:
        """The content of a Finished message made under this secret (RFC 9846 4.5.3)."""
        algorithm = self.suite.hash
        return _finished(algorithm, self._mac or Mac(algorithm, self.secret), transcript_hash)

    def finished_is_valid(self, verify_data: bytes, transcript_hash: bytes) -> bool:
        """Whether a peer's Finished is the one that this secret makes; compared in constant time."""
        return equal(verify_data, self.verify_data(transcript_hash))


@dataclass(slots=True)
class TrafficSecrets:
    """What the schedule gives once the server's Finished is in the transcript."""

    client: TrafficSecret
    server: TrafficSecret
    exporter: ExporterSecret
    _main_secret: Mac = field(repr=False)

    def resumption_secret(self, transcript_hash: bytes) -> ResumptionSecret:
        """The resumption secret, once the client's Finished is in the transcript too."""
        suite = self.client.suite
        over = _LABELS[suite.hash.name].resumption_over
        return ResumptionSecret(suite, self._main_secret.digest(over + transcript_hash + _FIRST_BLOCK))


@dataclass(slots=True)
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


RESUMPTION_BINDER: Final = b"res binder"
"""The label of the binder of a session's key; those of external keys are `ExternalPsk.binder_label`."""


@dataclass(slots=True)
class EarlySecret:
    """The first stage, when there is a pre-shared key."""

    algorithm: HashAlgorithm
    secret: Mac = field(repr=False)

    @classmethod
    def derive(cls, algorithm: HashAlgorithm, psk: bytes) -> EarlySecret:
        """From the pre-shared key."""
        return cls(algorithm, Mac(algorithm, _LABELS[algorithm.name].psk_salt.digest(psk)))

    def binder(self, label: bytes, transcript_hash: bytes) -> bytes:
        """Proof of holding the key, over the ClientHello up to the binders (RFC 9846 4.3.11.2)."""
        algorithm = self.algorithm
        labels = _LABELS[algorithm.name]
        finished_key = algorithm.hmac(self.secret.digest(labels.binders[label]), labels.finished)
        return algorithm.hmac(finished_key, transcript_hash)

    def binder_is_valid(self, binder: bytes, label: bytes, transcript_hash: bytes) -> bool:
        """Whether a client's binder is the one that this secret makes; compared in constant time."""
        return equal(binder, self.binder(label, transcript_hash))

    def early_traffic(self, suite: SuiteAlgorithms, transcript_hash: bytes) -> TrafficSecret:
        """What protects early data, over the first ClientHello."""
        algorithm = suite.hash
        secret = algorithm.expand_label(self.secret, b"c e traffic", transcript_hash, algorithm.length)
        return TrafficSecret(suite, secret)

    def early_exporter(self, transcript_hash: bytes) -> ExporterSecret:
        """The exporter that both sides have before the handshake is done."""
        algorithm = self.algorithm
        secret = algorithm.expand_label(self.secret, b"e exp master", transcript_hash, algorithm.length)
        return ExporterSecret(algorithm, secret)

    def handshake_salt(self) -> bytes:
        """What the second stage starts from."""
        return self.secret.digest(_LABELS[self.algorithm.name].derived)


@dataclass(slots=True)
class ResumptionSecret:
    """What the pre-shared keys of a connection's tickets are derived from (RFC 9846 4.7.1)."""

    suite: SuiteAlgorithms
    secret: bytes = field(repr=False)

    def psk(self, nonce: bytes) -> bytes:
        """The key of the ticket with this nonce."""
        algorithm = self.suite.hash
        return algorithm.hmac(self.secret, _info(b"resumption", nonce, algorithm.length))


@dataclass(slots=True)
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
        labels = _LABELS[algorithm.name]
        if early is None:
            extracted = labels.handshake_salt.digest(shared_secret)
        else:
            extracted = algorithm.extract(early.handshake_salt(), shared_secret)
        secret = Mac(algorithm, extracted)
        over = transcript_hash + _FIRST_BLOCK
        client = secret.digest(labels.client_handshake_over + over)
        server = secret.digest(labels.server_handshake_over + over)
        return cls(
            TrafficSecret(suite, client, Mac(algorithm, client)),
            TrafficSecret(suite, server, Mac(algorithm, server)),
            secret,
        )

    def traffic_secrets(self, transcript_hash: bytes) -> TrafficSecrets:
        """From the transcript up to the server's Finished."""
        suite = self.client.suite
        algorithm = suite.hash
        labels = _LABELS[algorithm.name]
        salt = self._secret.digest(labels.derived)
        main_secret = Mac(algorithm, algorithm.extract(salt, labels.zeros))
        over = transcript_hash + _FIRST_BLOCK
        return TrafficSecrets(
            TrafficSecret(suite, main_secret.digest(labels.client_traffic_over + over)),
            TrafficSecret(suite, main_secret.digest(labels.server_traffic_over + over)),
            ExporterSecret(algorithm, main_secret.digest(labels.exporter_over + over)),
            main_secret,
        )


def _finished(algorithm: HashAlgorithm, secret: Mac, transcript_hash: bytes) -> bytes:
    """The MAC of a Finished message: under a key of its own, derived from `secret`."""
    return algorithm.hmac(secret.digest(_LABELS[algorithm.name].finished), transcript_hash)
