"""Handshakes, both sides in memory: TLS 1.3 and 1.2, full, mutual and resumed, by group and by kind of certificate.

A handshake is timed from making both connections to freeing them, each side by itself. Before anything is timed, every
peer proves that it verifies (`_check_trust`), and what it negotiates is read from the wire.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

from bench import exchange, primitives
from bench.exchange import Sides
from bench.negotiated import negotiated
from bench.peers import bio, own, pyopenssl, tlslite
from bench.peers.endpoint import Peer
from bench.pki import RSA, Scenario, stranger
from bench.results import LIMIT, PYOPENSSL, RTLS, SSL, TLSLITE, TRUSTLS, UNCACHED, Row
from bench.terms import MLKEM, Terms
from bench.timing import interleaved, medians, spread

_MAKERS = {
    TRUSTLS: own.peer,
    SSL: bio.ssl_peer,
    PYOPENSSL: pyopenssl.peer,
    RTLS: bio.rtls_peer,
    TLSLITE: tlslite.peer,
}


class Kind(NamedTuple):
    """One row: who authenticates whom, its share of the variant's time, and whether it resumes."""

    key: str
    work: str
    scenario: Scenario
    share: float = 1.0
    resume: bool = False


def _kinds(variant: str) -> list[Kind]:
    full, mutual = "full, server certificate only", "with client certificate and hints"
    hinted = Scenario(mutual=True, hints=True)
    return {
        "x25519": [
            Kind("handshake", full, Scenario(), 2.0),
            Kind("mutual", "with client certificate", Scenario(mutual=True)),
            Kind("mutual-hints", mutual, hinted, 2.0),
            Kind("mutual-chain", f"{mutual}, one intermediate each", Scenario(True, True, intermediates=1)),
            Kind("handshake-rsa", f"{full}, RSA-2048", Scenario(key_type=RSA)),
            Kind("mutual-rsa", f"{mutual}, RSA-2048", Scenario(True, True, key_type=RSA)),
        ],
        "tickets": [
            Kind("handshake-tickets", f"{full}, one session ticket", Scenario()),
            Kind("resumed", "resumed (psk_dhe_ke), one session ticket", Scenario(), resume=True),
        ],
        "mlkem": [
            Kind("handshake-mlkem", full, Scenario()),
            Kind("mutual-mlkem", mutual, hinted),
        ],
        "tls12": [
            Kind("tls12", full, Scenario(), 1.5),
            Kind("tls12-mutual", mutual, hinted),
            Kind("tls12-rsa", f"{full}, RSA-2048", Scenario(key_type=RSA)),
            Kind("tls12-resumed", "resumed (ticket)", Scenario(), resume=True),
        ],
        "defaults": [Kind("handshake-defaults", "full, each with its own defaults", Scenario())],
    }[variant]


_SECTIONS = {
    "x25519": "TLS 1.3 handshake, X25519",
    "tickets": "TLS 1.3 handshake, X25519",
    "mlkem": "TLS 1.3 handshake, X25519MLKEM768",
    "tls12": "TLS 1.2 handshake, X25519",
    "defaults": "handshake as it comes",
}


def measure(seconds: float, variant: str, terms: Terms) -> list[Row]:
    """The rows of one variant."""
    kinds = _kinds(variant)
    each = seconds / sum(kind.share for kind in kinds)
    return [_measured(_SECTIONS[variant], kind, _terms_of(kind, terms), each * kind.share) for kind in kinds]


def _terms_of(kind: Kind, terms: Terms) -> Terms:
    return replace(terms, resume=True, tickets=1) if kind.resume else terms


class _Field:
    """The peers of a row that are held to its terms, as cases to be timed, and what is to be told of them."""

    def __init__(self, scenario: Scenario, terms: Terms) -> None:
        self.cases: dict[str, Callable[[], Sides]] = {}
        self.negotiated: dict[str, str] = {}
        self.notes: list[str] = []
        self._scenario = scenario
        self._terms = terms
        self._wanted = None if terms.group is None else f"{terms.suite(scenario.key_type)} {terms.group}"
        for name in (TRUSTLS, SSL, PYOPENSSL):
            self._add(name)
        if not scenario.mutual and not terms.resume:
            self._if_installed(RTLS, self._add_rtls)
        if terms == Terms(terms.version) and not scenario.mutual:
            self._if_installed(TLSLITE, self._add_tlslite)

    def _if_installed(self, name: str, add: Callable[[], None]) -> None:
        try:
            add()
        except ModuleNotFoundError:
            self.notes.append(f"{name} is not installed.")

    def _add(self, name: str) -> None:
        peer = _MAKERS[name](self._scenario, self._terms)
        found = self.negotiated[name] = negotiated(peer, peer)
        if self._wanted not in (None, found):
            if self._terms.group != MLKEM:
                raise RuntimeError(f"{name} negotiated {found}, not {self._wanted}")
            self.notes.append(f"{name} has no X25519MLKEM768 here.")
            return
        if name != TLSLITE:
            _check_trust(peer, self._scenario, self._terms)
        if self._terms.resume:
            _check_resumes(peer)
        self.cases[name] = lambda: exchange.handshake(peer.new_client, peer.server)

    def _add_tlslite(self) -> None:
        self._add(TLSLITE)
        self.notes.append("tlslite-ng verifies neither chains nor names: its figure is without.")

    def _add_rtls(self) -> None:
        """Each side of rtls against pyOpenSSL, which can be held to group and suite; or as it comes."""
        if self._wanted is None:
            self._add(RTLS)
            return
        other, held = _MAKERS[RTLS](self._scenario, self._terms), _MAKERS[PYOPENSSL](self._scenario, self._terms)
        _check_trust(other, self._scenario, self._terms)
        for role, client, server in (("client", other, held), ("server", held, other)):
            found = negotiated(client, server)
            if found != self._wanted:
                raise RuntimeError(f"rtls as a {role} negotiated {found}, not {self._wanted}")
            self.cases[f"rtls {role}"] = _timed(client, server)
        self.negotiated[RTLS] = self._wanted
        self.notes.append(
            "rtls cannot be held to group, suite and tickets: its two sides were timed each against pyOpenSSL, which "
            "was, and added up. Its client always makes an ML-KEM share, its server always sends its tickets."
        )


def _timed(client: Peer, server: Peer) -> Callable[[], Sides]:
    return lambda: exchange.handshake(client.new_client, server.server)


def _timed_without_caches(peer: Peer) -> Callable[[], Sides]:
    exchange.connected(peer, peer)
    forget = own.cache_clearer()

    def run() -> Sides:
        forget()
        return exchange.handshake(peer.new_client, peer.server)

    return run


def _check_resumes(peer: Peer) -> None:
    exchange.connected(peer, peer)
    for _ in range(2):
        client, server = exchange.connected(peer, peer)
        if not (client.resumed() and server.resumed()):
            raise RuntimeError(f"{peer.name} does not resume")


def _check_trust(peer: Peer, scenario: Scenario, terms: Terms) -> None:
    """Raise unless this peer verifies chain and name of servers, and in mutual scenarios the chain of clients."""
    client, server = exchange.connected(peer, peer)
    if client.peer_certificate() is None or (server.peer_certificate() is not None) is not scenario.mutual:
        raise RuntimeError(f"{peer.name} did not see the other side's certificate")
    make = _MAKERS[peer.name]
    refused, refusals = exchange.check_refused, peer.refusals
    strange = stranger(scenario.key_type, mutual=scenario.mutual)
    doubting = make(strange, terms)
    refused(f"{peer.name} takes a wrong name", lambda: peer.client("example.com"), peer.server, refusals)
    refused(f"{peer.name} takes a server of an unknown CA", doubting.new_client, peer.server, refusals)
    if scenario.mutual:
        # A client that believes the server, and is itself unknown to it.
        trusting = Scenario(mutual=True, key_type=scenario.key_type)
        vars(trusting).update(server_roots=scenario.server_roots, client=strange.client)
        unknown = make(trusting, terms)
        refused(f"{peer.name} takes a client of an unknown CA", unknown.new_client, peer.server, refusals)


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


def _measured(section: str, kind: Kind, terms: Terms, seconds: float) -> Row:
    scenario = kind.scenario
    field = _Field(scenario, terms)
    cases = field.cases
    alone: list[primitives.Primitive] = []
    if terms.group is not None:
        alone = primitives.of_handshake(scenario, terms)
        cases[LIMIT] = primitives.timed_together(alone)
    if terms == Terms():
        cases[UNCACHED] = _timed_without_caches(own.peer(scenario, terms))
    results = {
        name: _summary(samples) for name, samples in interleaved(cases, seconds, block=8, slow=(TLSLITE,)).items()
    }
    row = Row(section, kind.key, kind.work, "us", notes=field.notes)
    for name in (TRUSTLS, UNCACHED, SSL, PYOPENSSL, RTLS, TLSLITE, LIMIT):
        if name in results:
            row.values[name] = results[name]["total"]
        elif name == RTLS and "rtls client" in results:
            row.values[name] = results["rtls client"]["client"] + results["rtls server"]["server"]
    row.detail = {"sides": results, "negotiated": field.negotiated}
    if alone:
        row.detail["primitives"] = primitives.costs(alone, seconds / 10)
    if scenario.hints:
        row.notes.append("`ssl` cannot send hints: its figure is without them.")
    if terms.group is None:
        listed = "; ".join(f"{name} {fact}" for name, fact in field.negotiated.items())
        row.notes.append(f"Defaults: {listed}. Each server sends two tickets, rtls its own number.")
    return row
