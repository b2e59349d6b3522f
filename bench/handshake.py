"""TLS 1.3 full handshakes, both sides in memory, P-256 certificates, with and without client certificates.

A handshake is timed from making both connections to freeing them, each side by itself. Before anything is timed, every
peer proves that it verifies (`check_trust`), and what it negotiated is read from its ServerHello on the wire.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from time import perf_counter as clock

from bench import peers, primitives
from bench.peers import Factory, Peer
from bench.pki import Scenario
from bench.results import LIMIT, PYOPENSSL, RTLS, SSL, TRUSTLS, UNCACHED, Row
from bench.timing import interleaved, medians, spread
from trustls.wire.messages import ServerHello

Sides = tuple[float, float]
"""Seconds spent on the client's and on the server's side."""

_SECTION = "handshake"
_WANTED = f"{peers.AES} x25519"
_RECORD_AND_MESSAGE_HEADER = 9


def handshake(new_client: Factory, new_server: Factory) -> Sides:
    """One full handshake: two flights each way."""
    t0 = clock()
    client = new_client()
    hello = client.step(b"")
    t1 = clock()
    server = new_server()
    answer = server.step(hello)
    t2 = clock()
    finish = client.step(answer)
    t3 = clock()
    server.step(finish)
    t4 = clock()
    if not (client.done and server.done):
        raise RuntimeError("the handshake did not finish in two flights each way")
    t5 = clock()
    del client
    t6 = clock()
    del server
    t7 = clock()
    return t1 - t0 + t3 - t2 + t6 - t5, t2 - t1 + t4 - t3 + t7 - t6


def timed(client: Peer, server: Peer | None = None) -> Callable[[], Sides]:
    new_client, new_server = client.new_client, (server or client).server
    return lambda: handshake(new_client, new_server)


def timed_without_caches(peer: Peer) -> Callable[[], Sides]:
    def run() -> Sides:
        peers.clear_trustls_caches()
        return handshake(peer.new_client, peer.server)

    return run


def negotiated(client: Peer, server: Peer) -> str:
    """Suite and group, read from the ServerHello on the wire."""
    data = server.server().step(client.new_client().step(b""))
    length = int.from_bytes(data[3:5], "big")
    hello = ServerHello.parse(data[_RECORD_AND_MESSAGE_HEADER : 5 + length])
    if hello.key_share is None:
        raise RuntimeError("a ServerHello without key_share")
    return f"{hello.cipher_suite.iana} {hello.key_share.group.iana}"


def check_trust(peer: Peer, scenario: Scenario) -> None:
    """Raise unless this peer verifies chain and name of servers, and in mutual scenarios the chain of clients."""
    client, server = peer.new_client(), peer.server()
    server.step(client.step(server.step(client.step(b""))))
    if client.peer_certificate() is None or (server.peer_certificate() is not None) is not scenario.mutual:
        raise RuntimeError(f"{peer.name} did not see the other side's certificate")
    _must_refuse(f"{peer.name} takes a wrong name", lambda: peer.client("example.com"), peer.server)
    makers = {TRUSTLS: peers.trustls_peer, SSL: peers.ssl_peer, PYOPENSSL: peers.pyopenssl_peer, RTLS: peers.rtls_peer}
    stranger = makers[peer.name](Scenario(scenario.mutual, scenario.hints, scenario.intermediate))
    _must_refuse(f"{peer.name} takes a server of an unknown CA", peer.new_client, stranger.server)
    if scenario.mutual:
        trusting = Scenario(mutual=True)
        trusting.server_roots = scenario.server_roots  # A client that believes the server, and is itself unknown to it.
        unknown = makers[peer.name](trusting)
        _must_refuse(f"{peer.name} takes a client of an unknown CA", unknown.new_client, peer.server)


def _must_refuse(what: str, new_client: Factory, new_server: Factory) -> None:
    try:
        client, server = new_client(), new_server()
        server.step(client.step(server.step(client.step(b""))))
    except peers.REFUSALS:
        return
    raise RuntimeError(what)


def _summary(samples: Sequence[Sides]) -> dict[str, float]:
    """Medians in microseconds."""
    client, server = medians(samples)
    totals = [sum(sides) for sides in samples]
    return {
        "total": statistics.median(totals) * 1e6,
        "client": client * 1e6,
        "server": server * 1e6,
        "spread": spread(totals),
        "samples": len(samples),
    }


def measure(seconds: float, variant: str) -> list[Row]:
    """The rows of one variant: everybody held to `x25519`, without and with `tickets`; `defaults`: each as it comes."""
    if variant != "x25519":
        return [_as_they_come(seconds, variant)]
    share = seconds / 4
    return [
        _measured("handshake", "full, server certificate only", Scenario(), share),
        _measured("mutual", "with client certificate", Scenario(mutual=True), share),
        _measured("mutual-hints", "with client certificate and hints", Scenario(mutual=True, hints=True), share),
        _measured(
            "mutual-chain",
            "the same, one intermediate on each side",
            Scenario(mutual=True, hints=True, intermediate=True),
            share,
        ),
    ]


def _measured(key: str, work: str, scenario: Scenario, seconds: float) -> Row:
    own, stdlib, pyopenssl = peers.trustls_peer(scenario), peers.ssl_peer(scenario), peers.pyopenssl_peer(scenario)
    cases = {
        TRUSTLS: timed(own),
        UNCACHED: timed_without_caches(own),
        SSL: timed(stdlib),
        PYOPENSSL: timed(pyopenssl),
    }
    alone = primitives.of_handshake(scenario)
    cases[LIMIT] = primitives.timed_together(alone)
    facts = {peer.name: negotiated(peer, peer) for peer in (own, stdlib, pyopenssl)}
    for peer in (own, stdlib, pyopenssl):
        check_trust(peer, scenario)
    row = Row(_SECTION, key, work, "us")
    if set(facts.values()) != {_WANTED}:
        raise RuntimeError(f"not everybody negotiated {_WANTED}: {facts}")
    row.notes.append(f"On the wire of {', '.join(facts)}, where no default group is named: {_WANTED}.")
    if not scenario.mutual:
        # rtls cannot be held to X25519, but its peer can: each of its sides is timed against `ssl`.
        other = peers.rtls_peer(scenario)
        check_trust(other, scenario)
        cases["rtls client"] = timed(other, stdlib)
        cases["rtls server"] = timed(stdlib, other)
        facts[RTLS] = f"{negotiated(other, stdlib)} as a client, {negotiated(stdlib, other)} as a server"
        row.notes.append(
            "rtls cannot be held to a group: its two sides were timed each against `ssl`, which was, and added up. Its "
            "client makes an ML-KEM share that comes to nothing, its server sends session tickets."
        )
    results = {name: _summary(samples) for name, samples in interleaved(cases, seconds).items()}
    for name in (TRUSTLS, UNCACHED, SSL, PYOPENSSL):
        row.values[name] = results[name]["total"]
    if not scenario.mutual:
        row.values[RTLS] = results["rtls client"]["client"] + results["rtls server"]["server"]
    row.values[LIMIT] = results[LIMIT]["total"]
    each = primitives.costs(alone, seconds / 10)
    row.detail = {
        "sides": results,
        "negotiated": facts,
        "primitives": each,
        "limit with the signatures on the chain": row.values[LIMIT]
        + primitives.chain_signatures(scenario) * each["ECDSA verify"],
    }
    if scenario.hints:
        row.notes.append("`ssl` cannot send hints: its figure is without them.")
    return row


def _as_they_come(seconds: float, variant: str) -> Row:
    scenario = Scenario()
    own = peers.trustls_peer(scenario, groups=("x25519",) if variant == "tickets" else None)
    all_peers = [own, peers.ssl_peer(scenario), peers.pyopenssl_peer(scenario)]
    work = "full, the others send their two tickets"
    if variant == "defaults":
        work = "full, each with its default group"
        all_peers.append(peers.rtls_peer(scenario))
    facts = {peer.name: negotiated(peer, peer) for peer in all_peers}
    samples = interleaved({peer.name: timed(peer) for peer in all_peers}, seconds)
    results = {name: _summary(found) for name, found in samples.items()}
    row = Row(
        _SECTION,
        f"handshake-{variant}",
        work,
        "us",
        values={name: result["total"] for name, result in results.items()},
        detail={"sides": results, "negotiated": facts},
    )
    if variant == "defaults":
        listed = "; ".join(f"{name} {fact}" for name, fact in facts.items())
        row.notes.append(f"Default groups: {listed}. All but trustls, which has none yet, send two session tickets.")
    return row
