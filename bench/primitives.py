"""What the cryptography of a handshake costs by itself: the same calls into `cryptography` and `hmac`, nothing around.

The limit that trustls is compared with grants no signature of a CA on a certificate: trustls remembers those.
"""

from __future__ import annotations

import hashlib
import hmac
import statistics
from collections.abc import Callable
from time import thread_time as clock
from typing import NamedTuple

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, mlkem, padding, rsa, x25519
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from bench.exchange import Sides
from bench.pki import RSA, Scenario
from bench.terms import MLKEM, Terms
from bench.timing import interleaved

# Of one side. TLS 1.3: 2 extracts, 3 secrets from the handshake secret, 2 x key, IV and Finished key, 2 Finished; 3
# secrets from the main secret, 2 x key and IV.
_HMACS = 20
# Resuming: extract, binder key, its Finished key and the binder; the resumption secret and the ticket's PSK.
_HMACS_RESUMING = 6
# TLS 1.2, P_SHA384 at two for each 48 bytes: master secret 2, 72 bytes of keys 4, two Finished 4.
_HMACS_TLS12 = 10
_FLIGHT = 1200
_TICKET = 200
_REPEAT = 20


class Primitive(NamedTuple):
    """One call, and how often a handshake makes it, both sides together."""

    name: str
    times: int
    call: Callable[[], object]


def of_handshake(scenario: Scenario, terms: Terms) -> list[Primitive]:
    """Key exchange, signatures, AES-256-GCM with SHA-384, and HKDF made of `hmac.digest`."""
    secret, label = bytes(48), bytes(70)
    aead = AESGCM(bytes(32))
    nonce, header, flight = bytes(12), bytes(5), bytes(_FLIGHT)
    sealed, sealed_ticket = aead.encrypt(nonce, flight, header), aead.encrypt(nonce, bytes(_TICKET), header)
    digest = hashlib.sha384
    tls12 = terms.version == "1.2"
    hmacs = _HMACS_TLS12 if tls12 else _HMACS + (_HMACS_RESUMING if terms.resume else 0)
    epochs = 1 if tls12 else 2
    found = [
        Primitive("HMAC", 2 * hmacs, lambda: hmac.digest(secret, label, "sha384")),
        Primitive("transcript hash", 2, lambda: digest(flight).digest()),
        Primitive("AEAD context", 4 * epochs, lambda: AESGCM(bytes(32))),  # two directions, two sides
        Primitive("AEAD seal", 2, lambda: aead.encrypt(nonce, flight, header)),
        Primitive("AEAD open", 2, lambda: aead.decrypt(nonce, sealed, header)),
    ]
    if not terms.resume:
        found += _signatures(scenario)
    elif not tls12:
        found.append(Primitive("ticket seal", 1, lambda: aead.encrypt(nonce, bytes(_TICKET), header)))
    if terms.resume:
        found.append(Primitive("ticket open", 1, lambda: aead.decrypt(nonce, sealed_ticket, header)))
    if not (tls12 and terms.resume):
        found += _key_exchange(terms)
    return found


def _key_exchange(terms: Terms) -> list[Primitive]:
    private = x25519.X25519PrivateKey.generate()
    public = private.public_key().public_bytes_raw()
    found = [
        Primitive("X25519 generate", 2, lambda: x25519.X25519PrivateKey.generate().public_key().public_bytes_raw()),
        Primitive("X25519 exchange", 2, lambda: private.exchange(x25519.X25519PublicKey.from_public_bytes(public))),
    ]
    if terms.group == MLKEM:
        decapsulator = mlkem.MLKEM768PrivateKey.generate()
        encapsulator = decapsulator.public_key().public_bytes_raw()
        _, ciphertext = mlkem.MLKEM768PublicKey.from_public_bytes(encapsulator).encapsulate()
        found += [
            Primitive(
                "ML-KEM generate", 1, lambda: mlkem.MLKEM768PrivateKey.generate().public_key().public_bytes_raw()
            ),
            Primitive(
                "ML-KEM encapsulate", 1, lambda: mlkem.MLKEM768PublicKey.from_public_bytes(encapsulator).encapsulate()
            ),
            Primitive("ML-KEM decapsulate", 1, lambda: decapsulator.decapsulate(ciphertext)),
        ]
    return found


def _signatures(scenario: Scenario) -> list[Primitive]:
    """CertificateVerify (or the signature of ServerKeyExchange), of each side that authenticates."""
    content = bytes(64) + b"TLS 1.3, server CertificateVerify" + bytes(49)
    proofs = 2 if scenario.mutual else 1
    if scenario.key_type == RSA:
        key = rsa.generate_private_key(65537, 2048)
        scheme, hashed = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH), hashes.SHA256()
        signature, verifier = key.sign(content, scheme, hashed), key.public_key()
        return [
            Primitive("RSA-PSS sign", proofs, lambda: key.sign(content, scheme, hashed)),
            Primitive("RSA-PSS verify", proofs, lambda: verifier.verify(signature, content, scheme, hashed)),
        ]
    curve_key, algorithm = ec.generate_private_key(ec.SECP256R1()), ec.ECDSA(hashes.SHA256())
    proof, curve_verifier = curve_key.sign(content, algorithm), curve_key.public_key()
    return [
        Primitive("ECDSA sign", proofs, lambda: curve_key.sign(content, algorithm)),
        Primitive("ECDSA verify", proofs, lambda: curve_verifier.verify(proof, content, algorithm)),
    ]


def timed_together(primitives: list[Primitive]) -> Callable[[], Sides]:
    """A case for the interleaving: seconds for all of them, once; in the shape of a handshake's two sides."""

    def run() -> Sides:
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
