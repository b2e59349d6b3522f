"""What the cryptography of a handshake costs by itself: the same calls into `cryptography` and `hmac`, nothing around.

The limit that trustls is compared with grants no signature of a CA on a certificate: trustls remembers those. What
they would add is told beside it.
"""

from __future__ import annotations

import hashlib
import hmac
import statistics
from collections.abc import Callable
from time import perf_counter as clock
from typing import NamedTuple

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, x25519
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from bench.pki import Scenario
from bench.timing import interleaved

# Of one side: 2 extracts, 3 secrets from the handshake secret, 2 x key, IV and Finished key, 2 Finished; 3 secrets from
# the main secret, 2 x key and IV.
_HMACS_A_SIDE = 20
_FLIGHT = 1200
_REPEAT = 20


class Primitive(NamedTuple):
    """One call, and how often a handshake makes it, both sides together."""

    name: str
    times: int
    call: Callable[[], object]


def of_handshake(scenario: Scenario) -> list[Primitive]:
    """X25519, ECDSA on P-256, AES-256-GCM with SHA-384, and HKDF made of `hmac.digest`."""
    private = x25519.X25519PrivateKey.generate()
    public = private.public_key().public_bytes_raw()
    key = ec.generate_private_key(ec.SECP256R1())
    algorithm = ec.ECDSA(hashes.SHA256())
    content = bytes(64) + b"TLS 1.3, server CertificateVerify" + bytes(49)
    signature = key.sign(content, algorithm)
    verifier = key.public_key()
    secret, label = bytes(48), bytes(70)
    aead = AESGCM(bytes(32))
    nonce, header, flight = bytes(12), bytes(5), bytes(_FLIGHT)
    sealed = aead.encrypt(nonce, flight, header)
    digest = hashlib.sha384
    proofs = 2 if scenario.mutual else 1
    return [
        Primitive("X25519 generate", 2, lambda: x25519.X25519PrivateKey.generate().public_key().public_bytes_raw()),
        Primitive("X25519 exchange", 2, lambda: private.exchange(x25519.X25519PublicKey.from_public_bytes(public))),
        Primitive("ECDSA sign", proofs, lambda: key.sign(content, algorithm)),
        Primitive("ECDSA verify", proofs, lambda: verifier.verify(signature, content, algorithm)),
        Primitive("HMAC", 2 * _HMACS_A_SIDE, lambda: hmac.digest(secret, label, "sha384")),
        Primitive("transcript hash", 2, lambda: digest(flight).digest()),
        Primitive("AEAD context", 8, lambda: AESGCM(bytes(32))),  # two epochs, two directions, two sides
        Primitive("AEAD seal", 2, lambda: aead.encrypt(nonce, flight, header)),
        Primitive("AEAD open", 2, lambda: aead.decrypt(nonce, sealed, header)),
    ]


def timed_together(primitives: list[Primitive]) -> Callable[[], tuple[float, float]]:
    """A case for the interleaving: seconds for all of them, once; in the shape of a handshake's two sides."""

    def run() -> tuple[float, float]:
        start = clock()
        for _, times, call in primitives:
            for _ in range(times):
                call()
        return clock() - start, 0.0

    return run


def costs(primitives: list[Primitive], seconds: float) -> dict[str, float]:
    """Microseconds of one call of each."""

    def timed(call: Callable[[], object]) -> Callable[[], float]:
        def run() -> float:
            start = clock()
            for _ in range(_REPEAT):
                call()
            return (clock() - start) / _REPEAT

        return run

    samples = interleaved({name: timed(call) for name, _, call in primitives}, seconds, block=3)
    return {name: statistics.median(found) * 1e6 for name, found in samples.items()}


def chain_signatures(scenario: Scenario) -> int:
    """How many signatures of CAs are verified in a handshake, both sides together, by who remembers none."""
    return (2 if scenario.mutual else 1) * (2 if scenario.intermediate else 1)
