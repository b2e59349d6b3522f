"""OpenSSL 4 beyond the matrix: what the OpenSSL that is installed on most machines is too old for."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import trustls
from tests.interop.matrix import talking
from tests.interop.matrix.adapters import Peer
from tests.interop.matrix.adapters_managed import PYOPENSSL
from tests.interop.matrix.recording import VERSION
from tests.interop.matrix.resident import RunningPeer
from tests.interop.matrix.scenarios import Role
from tests.support.pki import PKI
from tests.support.servers import SECONDS, ThreadedServer
from trustls.cli.pki import KeyType

ML_DSA = pytest.mark.parametrize("key_type", [KeyType.ML_DSA_44, KeyType.ML_DSA_65, KeyType.ML_DSA_87])


def square(role: Role) -> pytest.MarkDecorator:
    return pytest.mark.interop(peer=PYOPENSSL.name, scenario="ML-DSA certificates", role=str(role), version="1.3")


@pytest.fixture
def pyopenssl(start_peer: Callable[[Peer], RunningPeer], record_property: Callable[[str, object], None]) -> RunningPeer:
    running = start_peer(PYOPENSSL)
    record_property(VERSION, running.version)
    return running


@square(Role.CLIENT)
@ML_DSA
def test_ml_dsa_certificates_with_openssl_that_serves(pyopenssl: RunningPeer, pki: PKI, key_type: KeyType) -> None:
    server, client = pki.server_with(key_type), pki.client_with(key_type)
    job = pyopenssl.server(server, client_ca=pki.client_cas_file, client_auth="required")
    config = trustls.ClientConfig(roots=pki.server_roots, credentials=[client.credential])
    with trustls.connect(("127.0.0.1", job.port()), config, server_name="localhost", timeout=SECONDS) as tls:
        talking.echo(tls, 5)
        talking.bye(tls)
        connection = tls.connection
    assert job.handshake().peer == client.certificate.der
    assert job.end() is None
    assert connection.peer is not None
    assert connection.peer.certificate == server.certificate


@square(Role.SERVER)
@ML_DSA
def test_ml_dsa_certificates_with_openssl_that_connects(pyopenssl: RunningPeer, pki: PKI, key_type: KeyType) -> None:
    server, client = pki.server_with(key_type), pki.client_with(key_type)
    config = trustls.ServerConfig(credentials=[server.credential], client_auth=pki.required())
    with ThreadedServer(config, talking.obey) as listening:
        job = pyopenssl.client(listening.port, pki.server_root_file, client)
        assert job.handshake().peer == server.certificate.der
        assert job.end() is None
        assert listening.outcome().peer.certificate == client.certificate


def test_hybrid_group_is_what_both_choose_by_themselves(pyopenssl: RunningPeer, pki: PKI) -> None:
    config = trustls.ServerConfig(credentials=[pki.server.credential])
    with ThreadedServer(config, talking.obey) as server:
        job = pyopenssl.client(server.port, pki.server_root_file)
        assert job.handshake().group == "X25519MLKEM768"
        assert job.end() is None
        info = server.outcome().connection.info
    assert (info.group, info.retried) == (trustls.NamedGroup.X25519MLKEM768, False)
    job = pyopenssl.server(pki.server)
    client = trustls.ClientConfig(roots=pki.server_roots)
    with trustls.connect(("127.0.0.1", job.port()), client, server_name="localhost", timeout=SECONDS) as tls:
        talking.bye(tls)
        info = tls.connection.info
    assert job.handshake().group == "X25519MLKEM768"
    assert (info.group, info.retried) == (trustls.NamedGroup.X25519MLKEM768, False)
