"""Application data in memory: sealed on one side, opened on the other, in both directions, by size and suite."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from time import perf_counter as clock

from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from bench import peers
from bench.handshake import negotiated
from bench.peers import AES, CHACHA, Endpoint, Peer
from bench.pki import Scenario
from bench.results import LIMIT, PYOPENSSL, RTLS, SSL, TRUSTLS, Row
from bench.timing import interleaved, spread

SIZES = (1 << 16, 1 << 14, 1 << 12, 1 << 10, 64)
"""Bytes a write. The first is four records of 16 KiB at once, as a bulk transfer writes them."""

_RECORD = 1 << 14
_TAG = 16
_BLOCK_BYTES = 1 << 19
_MOST_WRITES = 400

Seconds = tuple[float, float]
"""Spent on sealing and on opening."""


def measure(seconds: float, variant: str) -> list[Row]:
    """The rows of one suite: `aes` (AES-256-GCM) or `chacha` (ChaCha20-Poly1305)."""
    suite = {"aes": AES, "chacha": CHACHA}[variant]
    scenario = Scenario()
    stdlib, other = peers.ssl_peer(scenario), peers.rtls_peer(scenario)
    own, pyopenssl = peers.trustls_peer(scenario, suite=suite), peers.pyopenssl_peer(scenario)
    # rtls cannot be held to a suite; `ssl` on its other side can.
    pairs = {
        TRUSTLS: (own, own),
        SSL: (stdlib, stdlib),
        PYOPENSSL: (pyopenssl, pyopenssl),
        "rtls client": (other, stdlib),
        "rtls server": (stdlib, other),
    }
    for name, (client, server) in pairs.items():
        if not (found := negotiated(client, server)).startswith(suite):
            raise RuntimeError(f"{name} negotiated {found}, not {suite}")
    return [_measured(variant, size, pairs, seconds / len(SIZES)) for size in SIZES]


def _measured(variant: str, size: int, pairs: dict[str, tuple[Peer, Peer]], seconds: float) -> Row:
    writes = max(4, min(_MOST_WRITES, _BLOCK_BYTES // size))
    cases: dict[str, Callable[[], Seconds]] = {LIMIT: _aead_alone(variant, size, writes)}
    for name, pair in pairs.items():
        client, server = _connected(*pair)
        cases[f"{name} up"] = _moved(client, server, size, writes)
        cases[f"{name} down"] = _moved(server, client, size, writes)
    samples = interleaved(cases, seconds, block=3)

    seal = {name: statistics.median(found[0] for found in runs) / writes for name, runs in samples.items()}
    unseal = {name: statistics.median(found[1] for found in runs) / writes for name, runs in samples.items()}
    seal["rtls up"], unseal["rtls up"] = seal["rtls client up"], unseal["rtls server up"]
    seal["rtls down"], unseal["rtls down"] = seal["rtls server down"], unseal["rtls client down"]

    suite = {"aes": "AES-256-GCM", "chacha": "ChaCha20-Poly1305"}[variant]
    what = f"{size >> 10} KiB" if size >= 1 << 10 else f"{size} B"
    if size > _RECORD:
        what += f" ({size // _RECORD} records)"
    row = Row("bulk in memory, seal + open", f"bulk-{variant}-{size}", f"{suite}, {what} a write", "MB/s")
    for name in (TRUSTLS, SSL, PYOPENSSL, RTLS):
        up, down = (seal[f"{name} {way}"] + unseal[f"{name} {way}"] for way in ("up", "down"))
        row.values[name] = 2 * size / (up + down) / 1e6
        row.detail[name] = {
            "MB/s, client to server": size / up / 1e6,
            "MB/s, server to client": size / down / 1e6,
            "seal, us a write": seal[f"{name} up"] * 1e6,
            "open, us a write": unseal[f"{name} up"] * 1e6,
        }
    row.values[LIMIT] = size / (seal[LIMIT] + unseal[LIMIT]) / 1e6
    row.detail[LIMIT] = {"seal, us a write": seal[LIMIT] * 1e6, "open, us a write": unseal[LIMIT] * 1e6}
    row.detail["spread"] = {name: spread([sum(both) for both in runs]) for name, runs in samples.items()}
    row.notes.append("Bulk: rtls was paired with `ssl` on the other side, each of its directions timed by itself.")
    return row


def _connected(client_peer: Peer, server_peer: Peer) -> tuple[Endpoint, Endpoint]:
    client, server = client_peer.new_client(), server_peer.server()
    rest = server.step(client.step(server.step(client.step(b""))))
    # A message each way: what follows the handshake (rtls's tickets) is read with it.
    _check_read(client.read(rest + server.write(b"hello"), 5), 5)
    _check_read(server.read(client.write(b"hello"), 5), 5)
    return client, server


def _check_read(taken: int, wanted: int) -> None:
    if taken != wanted:
        raise RuntimeError(f"{taken} bytes came out, not {wanted}")


def _moved(sender: Endpoint, receiver: Endpoint, size: int, writes: int) -> Callable[[], Seconds]:
    data = bytes(size)
    write, read = sender.write, receiver.read

    def run() -> Seconds:
        sealing = opening = 0.0
        taken = 0
        for _ in range(writes):
            t0 = clock()
            records = write(data)
            t1 = clock()
            taken += read(records, size)
            t2 = clock()
            sealing += t1 - t0
            opening += t2 - t1
        _check_read(taken, size * writes)
        return sealing, opening

    return run


def _aead_alone(variant: str, size: int, writes: int) -> Callable[[], Seconds]:
    """The same records through the AEAD, from and to buffers that are there already."""
    aead = AESGCM(bytes(32)) if variant == "aes" else ChaCha20Poly1305(bytes(32))
    encrypt_into, decrypt_into = aead.encrypt_into, aead.decrypt_into
    record = min(size, _RECORD) + 1  # with the content type
    plain, sealed = bytearray(record), bytearray(record + _TAG)
    nonce, header = bytes(12), bytes(5)
    records = range(-(-size // _RECORD))

    def run() -> Seconds:
        sealing = opening = 0.0
        for _ in range(writes):
            t0 = clock()
            for _ in records:
                encrypt_into(nonce, plain, header, sealed)
            t1 = clock()
            for _ in records:
                decrypt_into(nonce, sealed, header, plain)
            t2 = clock()
            sealing += t1 - t0
            opening += t2 - t1
        return sealing, opening

    return run
