"""Node beyond the matrix: it refuses a certificate by hanging up, and sends no alert that would say so."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import trustls
from tests.interop.matrix import talking
from tests.interop.matrix.adapters import Peer
from tests.interop.matrix.adapters_managed import NODE
from tests.interop.matrix.resident import RunningPeer
from tests.support.pki import PKI
from tests.support.servers import SECONDS, ThreadedServer

VERSIONS = pytest.mark.parametrize("version", ["1.2", "1.3"])


@pytest.fixture
def node(start_peer: Callable[[Peer], RunningPeer]) -> RunningPeer:
    return start_peer(NODE)


@VERSIONS
def test_node_hangs_up_on_the_wrong_client_certificate(node: RunningPeer, pki: PKI, version: str) -> None:
    job = node.server(pki.server, client_ca=pki.client_cas_file, client_auth="required", versions=(version,))
    mallory = pki.mallory.credential
    config = trustls.ClientConfig(
        roots=pki.server_roots, credentials=[mallory], choose_credential=lambda *_: mallory, versions=[version]
    )
    with (
        pytest.raises(trustls.UnexpectedEOF),
        trustls.connect(("127.0.0.1", job.port()), config, server_name="localhost", timeout=SECONDS) as tls,
    ):
        tls.recv()
    assert "UNABLE_TO_VERIFY_LEAF_SIGNATURE" in job.failure()


@VERSIONS
def test_node_hangs_up_on_an_untrusted_server(node: RunningPeer, pki: PKI, version: str) -> None:
    config = trustls.ServerConfig(credentials=[pki.server_of_other.credential], versions=[version])
    with ThreadedServer(config, talking.obey) as server:
        job = node.client(server.port, pki.server_root_file, versions=(version,))
        assert "UNABLE_TO_VERIFY_LEAF_SIGNATURE" in job.failure()
        error = server.outcome().error
    assert isinstance(error, trustls.UnexpectedEOF), repr(error)


@VERSIONS
def test_node_asks_without_insisting(node: RunningPeer, pki: PKI, version: str) -> None:
    job = node.server(
        pki.server, client_ca=pki.client_cas_file, client_auth="optional", versions=(version,), connections=2
    )
    port = job.port()
    for identity in (None, pki.alice):
        credentials = [] if identity is None else [identity.credential]
        config = trustls.ClientConfig(roots=pki.server_roots, credentials=credentials, versions=[version])
        with trustls.connect(("127.0.0.1", port), config, server_name="localhost", timeout=SECONDS) as tls:
            talking.bye(tls)
        assert job.handshake().peer == (identity and identity.certificate.der)
        assert job.end() is None
