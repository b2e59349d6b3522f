"""What grows: the list of CA names that a server sends (hints), and the chains that both sides send and verify."""

from __future__ import annotations

import statistics
from collections.abc import Callable

from bench import exchange
from bench.exchange import Sides
from bench.peers import bio, own, pyopenssl
from bench.peers.endpoint import Peer
from bench.pki import Scenario
from bench.results import PYOPENSSL, SSL, TRUSTLS, UNCACHED, Row
from bench.terms import Terms
from bench.timing import interleaved, spread

_HINTS = (1, 10, 100, 1000)
_INTERMEDIATES = (0, 1, 2, 4)
_SECTION_HINTS = "mutual TLS 1.3 as the hints grow"
_SECTION_CHAIN = "mutual TLS 1.3 as both chains grow"


def measure(seconds: float, variant: str, terms: Terms) -> list[Row]:  # noqa: ARG001 (there is one variant)
    """Microseconds a handshake, both sides."""
    each = seconds / (len(_HINTS) + len(_INTERMEDIATES))
    return [_hints(count, terms, each) for count in _HINTS] + [_chain(count, terms, each) for count in _INTERMEDIATES]


def _hints(count: int, terms: Terms, seconds: float) -> Row:
    scenario = Scenario(mutual=True, hints=True, client_cas=count)
    cases = {TRUSTLS: _timed(own.peer(scenario, terms)), PYOPENSSL: _timed(pyopenssl.peer(scenario, terms))}
    work = f"{count} CA name{'s' if count > 1 else ''}, 21 bytes each"
    return _measured(Row(_SECTION_HINTS, f"hints-{count}", work, "us"), cases, seconds)


def _chain(count: int, terms: Terms, seconds: float) -> Row:
    scenario = Scenario(mutual=True, hints=True, intermediates=count)
    mine = own.peer(scenario, terms)
    timed = _timed(mine)
    exchange.connected(mine, mine)
    forget = own.cache_clearer()

    def without_caches() -> Sides:
        forget()
        return timed()

    cases = {
        TRUSTLS: timed,
        UNCACHED: without_caches,
        SSL: _timed(bio.ssl_peer(scenario, terms)),
        PYOPENSSL: _timed(pyopenssl.peer(scenario, terms)),
    }
    work = f"{count} intermediate{'' if count == 1 else 's'} on each side"
    return _measured(Row(_SECTION_CHAIN, f"chain-{count}", work, "us"), cases, seconds)


def _timed(peer: Peer) -> Callable[[], Sides]:
    return lambda: exchange.handshake(peer.new_client, peer.server)


def _measured(row: Row, cases: dict[str, Callable[[], Sides]], seconds: float) -> Row:
    for name, found in interleaved(cases, seconds, block=4).items():
        totals = [sum(sides) for sides in found]
        row.values[name] = statistics.median(totals) * 1e6
        row.detail[name] = {"spread": spread(totals), "samples": len(totals)}
    return row
