"""Certificate compression (RFC 8879) and shorter records (RFC 8449) before peers that know neither, one, or both."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pytest

import trustls
from tests.interop.matrix import talking
from tests.interop.matrix.adapters import BUILD_SECONDS, Peer
from tests.interop.matrix.adapters_compiled import RUSTLS
from tests.interop.matrix.registry import PEERS
from tests.interop.matrix.resident import RunningPeer
from tests.interop.matrix.scenarios import VERSIONS
from tests.support.pki import PKI
from tests.support.servers import SECONDS, ThreadedServer
from tests.support.watching import Watch
from trustls.trace import RECEIVED, SENT
from trustls.wire.messages import CertificateMessage, CompressedCertificate

# Those of both sides, where only some know compression.
COMPRESS: Final = {RUSTLS.name}
LIMIT: Final = 2000

every_version = pytest.mark.parametrize("version", VERSIONS)
every_peer = pytest.mark.parametrize("peer", PEERS, ids=[peer.name for peer in PEERS])
pytestmark = pytest.mark.timeout(BUILD_SECONDS)


def on_the_wire(watch: Watch) -> list[str]:
    """The messages with certificates that trustls received, and those that it sent."""
    events = [one for one in watch.take() if isinstance(one.message, CertificateMessage | CompressedCertificate)]
    return [
        f"{one.direction} {type(one.message).__name__}"
        for direction in (RECEIVED, SENT)
        for one in events
        if one.direction == direction
    ]


def expected(peer: Peer, version: str) -> list[str]:
    if version == "1.2":
        return []  # CertificateMessage12 is another class.
    name = "CompressedCertificate" if peer.name in COMPRESS else "CertificateMessage"
    return [f"{RECEIVED} {name}", f"{SENT} {name}"]


@every_version
@every_peer
def test_client_that_asks_for_both_connects(
    peer: Peer, version: str, start_peer: Callable[[Peer], RunningPeer], pki: PKI
) -> None:
    job = start_peer(peer).server(pki.server, client_ca=pki.client_cas_file, client_auth="required")
    config = trustls.ClientConfig(
        roots=pki.server_roots,
        credentials=[pki.alice.credential],
        versions=[version],
        certificate_compression=["zlib"],
        record_size_limit=LIMIT,
    )
    with (
        Watch() as watch,
        trustls.connect(("127.0.0.1", job.port()), config, server_name="localhost", timeout=SECONDS) as tls,
    ):
        talking.echo(tls, 100_000)
        talking.bye(tls)
    assert job.handshake().peer == pki.alice.certificate.der
    assert job.end() is None
    assert on_the_wire(watch) == expected(peer, version)


@every_version
@every_peer
def test_server_that_offers_both_is_connected_to(
    peer: Peer, version: str, start_peer: Callable[[Peer], RunningPeer], pki: PKI
) -> None:
    config = trustls.ServerConfig(
        credentials=[pki.server.credential],
        client_auth=pki.required(),
        versions=[version],
        certificate_compression=["zlib"],
        record_size_limit=LIMIT,
        max_fragment_size=LIMIT,
    )
    with Watch() as watch, ThreadedServer(config, talking.obey) as server:
        job = start_peer(peer).client(server.port, pki.server_root_file, pki.alice, do=("echo:100000", "bye"))
        assert job.handshake().peer == pki.server.certificate.der
        assert job.end() is None
        outcome = server.outcome()
    assert outcome.error is None
    assert outcome.peer.certificate == pki.alice.certificate
    assert on_the_wire(watch) == expected(peer, version)
