"""Application data in memory: sealed on one side, opened on the other, in both directions, by size and suite."""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Callable
from time import thread_time as clock

from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from bench.exchange import Sides, connected, moved
from bench.negotiated import negotiated
from bench.peers import bio, own, pyopenssl, tlslite
from bench.peers.endpoint import Peer
from bench.pki import P256, Scenario
from bench.results import LIMIT, PYOPENSSL, RTLS, SSL, TLSLITE, TRUSTLS, Row
from bench.terms import Terms
from bench.timing import interleaved, spread

SIZES = (1 << 16, 1 << 14, 1 << 12, 1 << 10, 256, 64)
"""Bytes a write. The first is four records of 16 KiB at once, as a bulk transfer writes them."""

_RECORD = 1 << 14
_TAG = 16
_BLOCK_BYTES = 1 << 19
_MOST_WRITES = 400
_SUITES = {"aes": "AES-256-GCM", "chacha": "ChaCha20-Poly1305"}


def measure(seconds: float, variant: str, terms: Terms) -> list[Row]:
    """The rows of one suite: `aes` or `chacha`."""
    scenario = Scenario()
    mine, stdlib, held = own.peer(scenario, terms), bio.ssl_peer(scenario, terms), pyopenssl.peer(scenario, terms)
    pairs = {TRUSTLS: (mine, mine), SSL: (stdlib, stdlib), PYOPENSSL: (held, held)}
    with contextlib.suppress(ModuleNotFoundError):
        rustls = bio.rtls_peer(scenario, terms)
        # rtls cannot be held to a suite; pyOpenSSL on its other side can.
        pairs |= {"rtls client": (rustls, held), "rtls server": (held, rustls)}
    if variant == "aes":
        with contextlib.suppress(ModuleNotFoundError):
            pure = tlslite.peer(scenario, terms)
            pairs[TLSLITE] = (pure, pure)
    for name, (client, server) in pairs.items():
        if not (found := negotiated(client, server)).startswith(terms.suite(P256)):
            raise RuntimeError(f"{name} negotiated {found}, not {terms.suite(P256)}")
    return [_measured(variant, size, pairs, seconds / len(SIZES)) for size in SIZES]


def _measured(variant: str, size: int, pairs: dict[str, tuple[Peer, Peer]], seconds: float) -> Row:
    writes = max(4, min(_MOST_WRITES, _BLOCK_BYTES // size))
    cases: dict[str, Callable[[], Sides]] = {LIMIT: _aead_alone(variant, size, writes)}
    for name, pair in pairs.items():
        client, server = connected(*pair)
        _exchange_hello(client.write, server.read)
        _exchange_hello(server.write, client.read)
        if name == TLSLITE:
            if size == _RECORD:  # It takes a third of a second for one.
                cases[name] = moved(client, server, size, 1)
        else:
            cases[f"{name} up"] = moved(client, server, size, writes)
            cases[f"{name} down"] = moved(server, client, size, writes)
    samples = interleaved(cases, seconds, block=3, slow=(TLSLITE,))

    seal = {name: statistics.median(found[0] for found in runs) for name, runs in samples.items()}
    unseal = {name: statistics.median(found[1] for found in runs) for name, runs in samples.items()}
    if "rtls client up" in seal:
        seal["rtls up"], unseal["rtls up"] = seal["rtls client up"], unseal["rtls server up"]
        seal["rtls down"], unseal["rtls down"] = seal["rtls server down"], unseal["rtls client down"]

    what = f"{size >> 10} KiB" if size >= 1 << 10 else f"{size} B"
    if size > _RECORD:
        what += f" ({size // _RECORD} records)"
    row = Row("bulk in memory, seal + open", f"bulk-{variant}-{size}", f"{_SUITES[variant]}, {what} a write", "MB/s")
    for name in (TRUSTLS, SSL, PYOPENSSL, RTLS):
        if f"{name} up" not in seal:
            continue
        up, down = (seal[f"{name} {way}"] + unseal[f"{name} {way}"] for way in ("up", "down"))
        row.values[name] = 2 * size / (up + down) / 1e6
        row.detail[name] = {
            "MB/s, client to server": size / up / 1e6,
            "MB/s, server to client": size / down / 1e6,
            "seal, us a write": seal[f"{name} up"] * 1e6,
            "open, us a write": unseal[f"{name} up"] * 1e6,
        }
    for name in (TLSLITE, LIMIT):
        if name in seal:
            row.values[name] = size / (seal[name] + unseal[name]) / 1e6
            row.detail[name] = {"seal, us a write": seal[name] * 1e6, "open, us a write": unseal[name] * 1e6}
    row.detail["spread"] = {name: spread([sum(both) for both in runs]) for name, runs in samples.items()}
    row.notes.append("Bulk: rtls has pyOpenSSL on the other side, each of its directions is timed by itself.")
    return row


def _exchange_hello(write: Callable[[bytes], bytes], read: Callable[[bytes, int], int]) -> None:
    """A message each way before anything is timed: what a server sends behind its handshake is read with it."""
    if read(write(b"hello"), 5) != 5:
        raise RuntimeError("not what was written came out")


def _aead_alone(variant: str, size: int, writes: int) -> Callable[[], Sides]:
    """The same records through the AEAD, from and to buffers that are there already."""
    aead = AESGCM(bytes(32)) if variant == "aes" else ChaCha20Poly1305(bytes(32))
    encrypt_into, decrypt_into = aead.encrypt_into, aead.decrypt_into
    record = min(size, _RECORD) + 1  # with the content type
    plain, sealed = bytearray(record), bytearray(record + _TAG)
    nonce, header = bytes(12), bytes(5)
    records = range(writes * -(-size // _RECORD))

    def run() -> Sides:
        t0 = clock()
        for _ in records:
            encrypt_into(nonce, plain, header, sealed)
        t1 = clock()
        for _ in records:
            decrypt_into(nonce, sealed, header, plain)
        t2 = clock()
        return (t1 - t0) / writes, (t2 - t1) / writes

    return run
