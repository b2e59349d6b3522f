"""The post-quantum groups that have to be named, with every peer that has them, and key shares that are chosen."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

import trustls
from tests.interop.matrix import talking
from tests.interop.matrix.adapters import Peer, skip_or_fail
from tests.interop.matrix.adapters_compiled import GO, RUSTLS
from tests.interop.matrix.adapters_managed import PYOPENSSL
from tests.interop.matrix.recording import VERSION
from tests.interop.matrix.resident import RunningPeer
from tests.interop.matrix.scenarios import Role
from tests.support.pki import PKI
from tests.support.servers import SECONDS, ThreadedServer

HAVE = {
    PYOPENSSL: ("SecP256r1MLKEM768", "SecP384r1MLKEM1024", "MLKEM768", "MLKEM1024"),
    GO: ("SecP256r1MLKEM768", "SecP384r1MLKEM1024"),
    RUSTLS: ("SecP256r1MLKEM768", "MLKEM768", "MLKEM1024"),
}


each_peer = pytest.mark.parametrize("peer", list(HAVE), ids=lambda peer: peer.name)


def each_peer_and_group(role: Role) -> pytest.MarkDecorator:
    """Every group that a peer has, as a square of the table."""
    cases = [
        pytest.param(
            peer,
            name,
            marks=pytest.mark.interop(
                peer=peer.name, scenario="other groups with ML-KEM", role=str(role), version="1.3"
            ),
            id=f"{peer.name}-{name}",
        )
        for peer, names in HAVE.items()
        for name in names
    ]
    return pytest.mark.parametrize(("peer", "name"), cases)


@pytest.fixture
def running(
    start_peer: Callable[[Peer], RunningPeer], record_property: Callable[[str, object], None], peer: Peer
) -> RunningPeer:
    started = start_peer(peer)
    record_property(VERSION, started.version)
    version = re.search(r"Go 1\.(\d+)", started.version)
    if version is not None and int(version[1]) < 26:
        skip_or_fail(f"{started.version} is too old for this test: 1.26 is needed")
    return started


def check_group(info: trustls.ConnectionInfo, theirs: str | None, name: str, *, retried: bool) -> None:
    """Both sides agree. Not every peer tells, and rustls has a name in another case."""
    assert (info.group.iana, info.retried) == (name, retried)
    assert theirs is None or theirs.lower() == name.lower()


@each_peer_and_group(Role.CLIENT)
@pytest.mark.parametrize("retried", [False, True], ids=["at once", "retried"])
def test_group_with_a_peer_that_serves(running: RunningPeer, name: str, pki: PKI, *, retried: bool) -> None:
    job = running.server(pki.server, groups=(name,), versions=("1.3",))
    config = trustls.ClientConfig(
        roots=pki.server_roots, groups=["x25519", name], key_shares=["x25519"] if retried else [name]
    )
    with trustls.connect(("127.0.0.1", job.port()), config, server_name="localhost", timeout=SECONDS) as tls:
        talking.echo(tls, 5)
        talking.bye(tls)
        info = tls.connection.info
    check_group(info, job.handshake().group, name, retried=retried)
    assert job.end() is None


@each_peer_and_group(Role.SERVER)
@pytest.mark.parametrize("retried", [False, True], ids=["at once", "retried"])
def test_group_with_a_peer_that_connects(running: RunningPeer, name: str, pki: PKI, *, retried: bool) -> None:
    config = trustls.ServerConfig(credentials=[pki.server.credential], groups=[name])
    with ThreadedServer(config, talking.obey) as server:
        offered = ("X25519", name) if retried else (name,)
        job = running.client(server.port, pki.server_root_file, versions=("1.3",), groups=offered)
        theirs = job.handshake().group
        assert job.end() is None
        info = server.outcome().connection.info
    if retried and running.version.startswith("Go "):
        retried = info.retried  # crypto/tls decides by itself which groups it sends shares of.
    check_group(info, theirs, name, retried=retried)


@each_peer
def test_client_without_key_shares_is_asked_for_one(running: RunningPeer, pki: PKI) -> None:
    job = running.server(pki.server, versions=("1.3",))
    config = trustls.ClientConfig(roots=pki.server_roots, key_shares=[])
    with trustls.connect(("127.0.0.1", job.port()), config, server_name="localhost", timeout=SECONDS) as tls:
        talking.bye(tls)
        info = tls.connection.info
    check_group(info, job.handshake().group, info.group.iana, retried=True)
    assert job.end() is None


@each_peer
def test_second_connection_has_the_share_that_the_server_asked_the_first_for(running: RunningPeer, pki: PKI) -> None:
    job = running.server(pki.server, versions=("1.3",), groups=("secp384r1",), connections=2)
    port = job.port()
    config = trustls.ClientConfig(roots=pki.server_roots)
    for retried in (True, False):
        with trustls.connect(("127.0.0.1", port), config, server_name="localhost", timeout=SECONDS) as tls:
            talking.bye(tls)
            info = tls.connection.info
        check_group(info, job.handshake().group, "secp384r1", retried=retried)
        assert job.end() is None
