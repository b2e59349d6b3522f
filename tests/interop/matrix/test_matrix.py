"""trustls as client and as server of every peer, in TLS 1.2 and 1.3: the squares of docs/interop.md."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator

import pytest

import trustls
from tests.interop.matrix import talking
from tests.interop.matrix.recording import OURS, THEIRS
from tests.interop.matrix.registry import PEERS
from tests.interop.matrix.resident import RunningPeer
from tests.interop.matrix.scenarios import ONLY_TLS13, VERSIONS, Role, Scenario
from tests.support.pki import PKI, Identity
from tests.support.servers import SECONDS, ThreadedServer
from tests.support.watching import Watch, names
from trustls.cli.pki import KeyType

Record = Callable[[str, object], None]
Problem = trustls.CertificateProblem
OTHER_KEYS = (KeyType.RSA_2048, KeyType.EC_P384)
# Our alerts in the words of the others: "UnknownCA", "tlsv1 alert unknown ca", "unknown certificate authority".
UNKNOWN_CA = r"unknown.?(ca\b|certificate authority)"
NO_CERTIFICATE = {"1.2": r"handshake.?failure", "1.3": r"certificate.*required"}
ABOUT_CERTIFICATES = {
    trustls.AlertDescription.BAD_CERTIFICATE,
    trustls.AlertDescription.CERTIFICATE_UNKNOWN,
    trustls.AlertDescription.UNKNOWN_CA,
}


def squares(scenario: Scenario, role: Role, versions: tuple[str, ...] = VERSIONS) -> pytest.MarkDecorator:
    """The test runs with every peer that can, in each version; `role` is what trustls is."""
    found = [
        pytest.param(
            peer,
            version,
            id=f"{peer.name}-{version}",
            marks=pytest.mark.interop(peer=peer.name, scenario=str(scenario), role=str(role), version=version),
        )
        for peer in PEERS
        for version in versions
        if peer.reason_not_to(scenario, role, version) is None
    ]
    return pytest.mark.parametrize(("peer", "version"), found, indirect=["peer"])


# -- trustls's side ---------------------------------------------------------------------------------------------------


def client_config(pki: PKI, version: str | None, *identities: Identity, **options: object) -> trustls.ClientConfig:
    """A client of one version, or all, that trusts the test's server root, and holds these certificates."""
    versions = None if version is None else [version]
    settings: dict[str, object] = {"roots": pki.server_roots, "versions": versions, **options}
    return trustls.ClientConfig(credentials=[one.credential for one in identities], **settings)  # type: ignore[arg-type]


@contextlib.contextmanager
def connected(port: int, config: trustls.ClientConfig) -> Iterator[talking.ClientSocket]:
    """A client of the peer's server."""
    with trustls.connect(("127.0.0.1", port), config, server_name="localhost", timeout=SECONDS) as tls:
        yield tls


@contextlib.contextmanager
def serving(pki: PKI, version: str | None, **options: object) -> Iterator[ThreadedServer]:
    """A server of one version, or all, for the peer's client."""
    versions = None if version is None else [version]
    settings: dict[str, object] = {"credentials": [pki.server.credential], "versions": versions, **options}
    with ThreadedServer(trustls.ServerConfig(**settings), talking.obey) as server:  # type: ignore[arg-type]
        yield server


def ended_well(server: ThreadedServer) -> trustls.ServerConnection:
    """The server's next connection, once it is over and properly closed."""
    outcome = server.outcome()
    assert outcome.error is None, f"the trustls server saw {outcome.error!r}"
    return outcome.connection


def refused(server: ThreadedServer) -> trustls.CertificateRejected:
    """Why the server refused its next client's certificate."""
    error = server.outcome().error
    assert isinstance(error, trustls.CertificateRejected), f"the trustls server saw {error!r}"
    return error


def refusal(port: int, config: trustls.ClientConfig) -> trustls.TLSError:
    """How a client of trustls is refused, be it in the handshake or (TLS 1.3) by the first thing that it receives."""
    with pytest.raises(trustls.TLSError) as caught, connected(port, config) as tls:
        tls.recv()
    return caught.value


def der(identity: Identity) -> bytes:
    return identity.certificate.der


# -- Handshake --------------------------------------------------------------------------------------------------------


@squares(Scenario.HANDSHAKE, Role.CLIENT)
def test_handshake_with_a_peer_that_serves(peer: RunningPeer, version: str, pki: PKI) -> None:
    for ours, theirs in ((None, (version,)), (version, ())):  # None and (): both versions
        job = peer.server(pki.server, versions=theirs, alpn=("h2", "http/1.1"))
        with connected(job.port(), client_config(pki, ours, alpn=["http/1.1"])) as tls:
            talking.echo(tls, 5)
            talking.bye(tls)
            info = tls.connection.info
        handshake = job.handshake()
        assert job.end() is None
        assert str(info.version) == handshake.version == f"TLSv{version}"
        assert info.alpn == handshake.alpn == "http/1.1"
        assert handshake.peer is None


@squares(Scenario.HANDSHAKE, Role.SERVER)
def test_handshake_with_a_peer_that_connects(peer: RunningPeer, version: str, pki: PKI) -> None:
    for ours, theirs in ((None, (version,)), (version, ())):  # None and (): both versions
        with serving(pki, ours, alpn=["h2", "http/1.1"]) as server:
            job = peer.client(server.port, pki.server_root_file, versions=theirs, alpn=("http/1.1",))
            handshake = job.handshake()
            assert job.end() is None
            info = ended_well(server).info
        assert str(info.version) == handshake.version == f"TLSv{version}"
        assert info.alpn == handshake.alpn == "http/1.1"
        assert handshake.peer in {None, der(pki.server)}
        assert handshake.sent is None


@squares(Scenario.KEY_TYPES, Role.CLIENT)
def test_other_keys_with_a_peer_that_serves(peer: RunningPeer, version: str, pki: PKI) -> None:
    for key_type in OTHER_KEYS:
        meet_server_with(key_type, peer, version, pki)


@squares(Scenario.ED25519, Role.CLIENT)
def test_ed25519_with_a_peer_that_serves(peer: RunningPeer, version: str, pki: PKI) -> None:
    meet_server_with(KeyType.ED25519, peer, version, pki)


@squares(Scenario.KEY_TYPES, Role.SERVER)
def test_other_keys_with_a_peer_that_connects(peer: RunningPeer, version: str, pki: PKI) -> None:
    for key_type in OTHER_KEYS:
        meet_client_with(key_type, peer, version, pki)


@squares(Scenario.ED25519, Role.SERVER)
def test_ed25519_with_a_peer_that_connects(peer: RunningPeer, version: str, pki: PKI) -> None:
    meet_client_with(KeyType.ED25519, peer, version, pki)


def meet_server_with(key_type: KeyType, peer: RunningPeer, version: str, pki: PKI) -> None:
    """Mutual TLS with a peer that serves, this kind of key on both sides."""
    identity = pki.client_with(key_type)
    job = peer.server(
        pki.server_with(key_type), versions=(version,), client_ca=pki.client_cas_file, client_auth="required"
    )
    with connected(job.port(), client_config(pki, version, identity)) as tls:
        talking.echo(tls, 5)
        talking.bye(tls)
        assert tls.connection.peer is not None
        assert tls.connection.peer.certificate == pki.server_with(key_type).certificate
    assert job.handshake().peer == der(identity), f"the peer saw another client than that with {key_type}"
    assert job.end() is None


def meet_client_with(key_type: KeyType, peer: RunningPeer, version: str, pki: PKI) -> None:
    """Mutual TLS with a peer that connects, this kind of key on both sides."""
    identity = pki.client_with(key_type)
    credentials = [pki.server_with(key_type).credential]
    with serving(pki, version, credentials=credentials, client_auth=pki.required()) as server:
        job = peer.client(server.port, pki.server_root_file, identity, versions=(version,))
        theirs = job.handshake()
        assert job.end() is None
        connection = ended_well(server)
    assert connection.peer is not None
    assert connection.peer.certificate == identity.certificate
    assert theirs.peer in {None, der(pki.server_with(key_type))}


# -- Client certificates ----------------------------------------------------------------------------------------------


@squares(Scenario.MUTUAL, Role.CLIENT)
def test_mutual_tls_with_a_peer_that_serves(peer: RunningPeer, version: str, pki: PKI) -> None:
    job = peer.server(pki.server, versions=(version,), client_ca=pki.client_cas_file, client_auth="required")
    with connected(job.port(), client_config(pki, version, pki.alice)) as tls:
        talking.echo(tls, 5)
        talking.bye(tls)
        connection = tls.connection
    theirs = job.handshake()
    assert job.end() is None
    assert theirs.peer == der(pki.alice), "the peer saw another client than alice"
    assert connection.presented is pki.alice.credential
    assert connection.peer is not None
    assert connection.peer.certificate == pki.server.certificate


@squares(Scenario.MUTUAL, Role.SERVER)
def test_mutual_tls_with_a_peer_that_connects(peer: RunningPeer, version: str, pki: PKI) -> None:
    with serving(pki, version, client_auth=pki.required()) as server:
        job = peer.client(server.port, pki.server_root_file, pki.alice, versions=(version,))
        theirs = job.handshake()
        assert job.end() is None
        connection = ended_well(server)
    assert connection.peer is not None
    assert connection.peer.certificate == pki.alice.certificate
    assert len(connection.peer.verified) == 3, "alice, her intermediate and K-Dot"
    assert theirs.sent in {None, der(pki.alice)}


@squares(Scenario.CHOICE, Role.CLIENT)
def test_trustls_chooses_by_the_names_that_a_peer_sends(peer: RunningPeer, version: str, pki: PKI) -> None:
    config = client_config(pki, version, pki.alice, pki.bob, sessions=None)
    for roots, expected, name in (
        (pki.roots_file, pki.bob, pki.roots_name),
        (pki.kdot_file, pki.alice, pki.kdot_name),
    ):
        job = peer.server(pki.server, versions=(version,), client_ca=roots, client_auth="required")
        with connected(job.port(), config) as tls:
            talking.echo(tls, 5)
            talking.bye(tls)
            assert tls.connection.requested is not None
            assert tls.connection.requested.authorities == (name,), "the peer named another CA than it was given"
            assert tls.connection.presented is expected.credential
        assert job.handshake().peer == der(expected)
        assert job.end() is None
    both = peer.server(
        pki.server, versions=(version,), client_ca=pki.client_cas_file, client_auth="required", connections=2
    )
    port = both.port()
    with connected(port, config) as tls:
        talking.bye(tls)
        assert tls.connection.requested is not None
        assert set(tls.connection.requested.authorities) == set(pki.client_ca_names)
    assert both.handshake().peer == der(pki.alice)
    assert both.end() is None
    # What fits neither name is not sent, and the error says that.
    error = refusal(port, client_config(pki, version, pki.mallory))
    assert "CN=Other, which is not among the authorities that the peer named" in str(error)
    assert both.failure()


@squares(Scenario.CHOICE, Role.SERVER)
def test_a_peer_chooses_by_the_names_that_trustls_sends(peer: RunningPeer, version: str, pki: PKI) -> None:
    for roots, expected, name in (
        (pki.roots_file, pki.bob, pki.roots_name),
        (pki.kdot_file, pki.alice, pki.kdot_name),
    ):
        client_auth = trustls.ClientAuth.required(trustls.RootCertStore.from_pem(roots))
        with serving(pki, version, client_auth=client_auth) as server:
            job = peer.client(server.port, pki.server_root_file, pki.alice, pki.bob, versions=(version,))
            theirs = job.handshake()
            assert job.end() is None
            connection = ended_well(server)
        assert connection.peer is not None
        assert connection.peer.certificate == expected.certificate
        assert theirs.authorities in {None, (name.der,)}, "the peer saw other names than trustls sent"
        assert theirs.sent in {None, der(expected)}


@squares(Scenario.OPTIONAL, Role.CLIENT)
def test_a_peer_lets_a_client_without_certificate_in(peer: RunningPeer, version: str, pki: PKI) -> None:
    job = peer.server(pki.server, versions=(version,), client_ca=pki.client_cas_file, client_auth="optional")
    with connected(job.port(), client_config(pki, version)) as tls:
        talking.echo(tls, 5)
        talking.bye(tls)
        assert tls.connection.requested is not None, "the peer asked for no certificate"
        assert tls.connection.presented is None
    assert job.handshake().peer is None
    assert job.end() is None


@squares(Scenario.OPTIONAL, Role.SERVER)
def test_trustls_lets_a_peer_without_certificate_in(peer: RunningPeer, version: str, pki: PKI) -> None:
    with serving(pki, version, client_auth=trustls.ClientAuth.optional(pki.client_roots)) as server:
        job = peer.client(server.port, pki.server_root_file, versions=(version,))
        assert job.handshake().sent is None
        assert job.end() is None
        assert ended_well(server).peer is None


@squares(Scenario.NO_NAMES, Role.CLIENT)
def test_trustls_answers_a_request_without_names(peer: RunningPeer, version: str, pki: PKI) -> None:
    job = peer.server(
        pki.server, versions=(version,), client_ca=pki.client_cas_file, client_auth="required", hints=False
    )
    with connected(job.port(), client_config(pki, version, pki.alice)) as tls:
        talking.bye(tls)
        assert tls.connection.requested is not None
        assert tls.connection.requested.authorities == ()
    assert job.handshake().peer == der(pki.alice)
    assert job.end() is None


@squares(Scenario.NO_NAMES, Role.SERVER)
def test_a_peer_answers_a_request_without_names(peer: RunningPeer, version: str, pki: PKI) -> None:
    with serving(pki, version, client_auth=pki.required(hints=())) as server:
        job = peer.client(server.port, pki.server_root_file, pki.alice, versions=(version,))
        theirs = job.handshake()
        assert job.end() is None
        connection = ended_well(server)
    assert connection.peer is not None
    assert connection.peer.certificate == pki.alice.certificate
    assert theirs.authorities in {None, ()}


@squares(Scenario.WRONG, Role.CLIENT)
def test_a_peer_refuses_the_wrong_certificate(
    peer: RunningPeer, version: str, pki: PKI, record_property: Record
) -> None:
    job = peer.server(pki.server, versions=(version,), client_ca=pki.client_cas_file, client_auth="required")
    mallory = pki.mallory.credential
    # Left to itself, trustls would not send what the server's CA names exclude.
    config = client_config(pki, version, pki.mallory, choose_credential=lambda *_: mallory)
    error = refusal(job.port(), config)
    record_property(OURS, error)
    record_property(THEIRS, job.failure())
    assert isinstance(error, trustls.CertificateRejectedByPeer), repr(error)
    assert "CN=mallory" in str(error)


@squares(Scenario.WRONG, Role.SERVER)
def test_trustls_refuses_the_wrong_certificate_of_a_peer(
    peer: RunningPeer, version: str, pki: PKI, record_property: Record
) -> None:
    # Named, so that a peer that chooses sends its certificate; trusted it is not.
    with serving(pki, version, client_auth=pki.required(hints=[pki.other_name])) as server:
        job = peer.client(server.port, pki.server_root_file, pki.mallory, versions=(version,))
        said = job.failure()
        error = refused(server)
    record_property(OURS, error)
    record_property(THEIRS, said)
    assert error.reason is Problem.UNKNOWN_ISSUER
    assert re.search(UNKNOWN_CA, said, re.IGNORECASE)


@squares(Scenario.MISSING, Role.CLIENT)
def test_a_peer_refuses_a_client_without_certificate(
    peer: RunningPeer, version: str, pki: PKI, record_property: Record
) -> None:
    job = peer.server(pki.server, versions=(version,), client_ca=pki.client_cas_file, client_auth="required")
    error = refusal(job.port(), client_config(pki, version))
    record_property(OURS, error)
    record_property(THEIRS, job.failure())
    assert isinstance(error, trustls.CertificateRejectedByPeer), repr(error)


@squares(Scenario.MISSING, Role.SERVER)
def test_trustls_refuses_a_peer_without_certificate(
    peer: RunningPeer, version: str, pki: PKI, record_property: Record
) -> None:
    with serving(pki, version, client_auth=pki.required()) as server:
        job = peer.client(server.port, pki.server_root_file, versions=(version,))
        said = job.failure()
        error = refused(server)
    record_property(OURS, error)
    record_property(THEIRS, said)
    assert error.reason is Problem.NONE_PRESENTED
    assert re.search(NO_CERTIFICATE[version], said, re.IGNORECASE)


@squares(Scenario.UNTRUSTED, Role.CLIENT)
def test_trustls_refuses_an_untrusted_peer(peer: RunningPeer, version: str, pki: PKI, record_property: Record) -> None:
    job = peer.server(pki.server_of_other, versions=(version,))
    error = refusal(job.port(), client_config(pki, version))
    said = job.failure()
    record_property(OURS, error)
    record_property(THEIRS, said)
    assert isinstance(error, trustls.CertificateRejected), repr(error)
    assert error.reason is Problem.UNKNOWN_ISSUER
    assert re.search(UNKNOWN_CA, said, re.IGNORECASE)


@squares(Scenario.UNTRUSTED, Role.SERVER)
def test_a_peer_refuses_an_untrusted_server(peer: RunningPeer, version: str, pki: PKI, record_property: Record) -> None:
    with serving(pki, version, credentials=[pki.server_of_other.credential]) as server:
        job = peer.client(server.port, pki.server_root_file, versions=(version,))
        record_property(THEIRS, job.failure())
        error = server.outcome().error
    record_property(OURS, error)
    assert isinstance(error, trustls.AlertReceived), repr(error)
    assert error.description in ABOUT_CERTIFICATES


# -- Resumption -------------------------------------------------------------------------------------------------------


@squares(Scenario.RESUMPTION, Role.CLIENT)
def test_trustls_resumes_with_a_peer(peer: RunningPeer, version: str, pki: PKI) -> None:
    job = peer.server(
        pki.server, versions=(version,), client_ca=pki.client_cas_file, client_auth="required", connections=3
    )
    port = job.port()
    config = client_config(pki, version, pki.alice)
    for expected in (False, True, True):
        with connected(port, config) as tls:
            talking.echo(tls, 5)
            talking.bye(tls)
            info = tls.connection.info
            assert tls.connection.peer is not None
            assert tls.connection.peer.certificate == pki.server.certificate
        theirs = job.handshake()
        assert job.end() is None
        assert info.resumed is expected, f"resumed is {info.resumed} with {peer.name}"
        assert theirs.resumed in {None, expected}
        assert theirs.peer in {None, der(pki.alice)} if expected else theirs.peer == der(pki.alice)


@squares(Scenario.RESUMPTION, Role.SERVER)
def test_a_peer_resumes_with_trustls(peer: RunningPeer, version: str, pki: PKI) -> None:
    with serving(pki, version, client_auth=pki.required()) as server:
        job = peer.client(server.port, pki.server_root_file, pki.alice, versions=(version,), connections=2)
        for expected in (False, True):
            assert job.handshake().resumed in {None, expected}
            assert job.end() is None
        # The first may be the last whose thread comes to its end.
        connections = [ended_well(server), ended_well(server)]
    assert sorted(connection.info.resumed for connection in connections) == [False, True]
    for connection in connections:
        assert connection.peer is not None
        assert connection.peer.certificate == pki.alice.certificate


# -- Groups -----------------------------------------------------------------------------------------------------------


@squares(Scenario.RETRY, Role.CLIENT, ONLY_TLS13)
def test_trustls_is_asked_for_another_share(peer: RunningPeer, version: str, pki: PKI) -> None:
    job = peer.server(pki.server, versions=(version,), groups=("secp384r1",))
    with connected(job.port(), client_config(pki, version, groups=["x25519", "secp384r1"])) as tls:
        talking.echo(tls, 5)
        talking.bye(tls)
        info = tls.connection.info
    assert job.handshake().group in {None, "secp384r1"}
    assert job.end() is None
    assert (info.retried, info.group) == (True, trustls.NamedGroup.SECP384R1)


@squares(Scenario.RETRY, Role.SERVER, ONLY_TLS13)
def test_a_peer_is_asked_for_another_share(peer: RunningPeer, version: str, pki: PKI) -> None:
    with serving(pki, version, groups=["secp384r1"], retry_cookies=trustls.RetryCookies()) as server:
        job = peer.client(server.port, pki.server_root_file, versions=(version,), groups=("X25519", "secp384r1"))
        assert job.handshake().group in {None, "secp384r1"}
        assert job.end() is None
        info = ended_well(server).info
    assert (info.retried, info.group) == (True, trustls.NamedGroup.SECP384R1)


@squares(Scenario.HYBRID, Role.CLIENT, ONLY_TLS13)
def test_hybrid_group_with_a_peer_that_serves(peer: RunningPeer, version: str, pki: PKI) -> None:
    job = peer.server(pki.server, versions=(version,), groups=("X25519MLKEM768",))
    with connected(job.port(), client_config(pki, version)) as tls:
        talking.echo(tls, 5)
        talking.bye(tls)
        info = tls.connection.info
    assert job.handshake().group in {None, "X25519MLKEM768"}
    assert job.end() is None
    assert (info.retried, info.group) == (False, trustls.NamedGroup.X25519MLKEM768)


@squares(Scenario.HYBRID, Role.SERVER, ONLY_TLS13)
def test_hybrid_group_with_a_peer_that_connects(peer: RunningPeer, version: str, pki: PKI) -> None:
    with serving(pki, version) as server:
        job = peer.client(server.port, pki.server_root_file, versions=(version,), groups=("X25519MLKEM768",))
        assert job.handshake().group in {None, "X25519MLKEM768"}
        assert job.end() is None
        info = ended_well(server).info
    assert (info.retried, info.group) == (False, trustls.NamedGroup.X25519MLKEM768)


# -- Data -------------------------------------------------------------------------------------------------------------


@squares(Scenario.LARGE, Role.CLIENT)
def test_large_transfer_with_a_peer_that_serves(peer: RunningPeer, version: str, pki: PKI) -> None:
    job = peer.server(pki.server, versions=(version,))
    with connected(job.port(), client_config(pki, version)) as tls:
        talking.echo(tls, talking.LARGE)
        talking.bye(tls)
    job.handshake()
    assert job.end() is None


@squares(Scenario.LARGE, Role.SERVER)
def test_large_transfer_with_a_peer_that_connects(peer: RunningPeer, version: str, pki: PKI) -> None:
    with serving(pki, version) as server:
        job = peer.client(server.port, pki.server_root_file, versions=(version,), do=(f"echo:{talking.LARGE}", "bye"))
        job.handshake()
        assert job.end() is None
        ended_well(server)


@squares(Scenario.OUR_UPDATE, Role.CLIENT, ONLY_TLS13)
def test_trustls_client_changes_its_keys(peer: RunningPeer, version: str, pki: PKI) -> None:
    job = peer.server(pki.server, versions=(version,))
    with Watch() as watch, connected(job.port(), client_config(pki, version)) as tls:
        talking.echo(tls, 1000)
        for _ in range(3):
            tls.update_keys(request_peer=True)
            talking.echo(tls, 1000)
        talking.bye(tls)
    job.handshake()
    assert job.end() is None
    assert_updates(watch, sent=3, answered=3)


@squares(Scenario.OUR_UPDATE, Role.SERVER, ONLY_TLS13)
def test_trustls_server_changes_its_keys(peer: RunningPeer, version: str, pki: PKI) -> None:
    with Watch() as watch, serving(pki, version) as server:
        do = ("echo:1000", "update", "echo:1000", "update", "echo:1000", "bye")
        job = peer.client(server.port, pki.server_root_file, versions=(version,), do=do)
        job.handshake()
        assert job.end() is None
        ended_well(server)
    assert_updates(watch, sent=2, answered=2)


@squares(Scenario.THEIR_UPDATE, Role.CLIENT, ONLY_TLS13)
def test_a_serving_peer_changes_its_keys(peer: RunningPeer, version: str, pki: PKI) -> None:
    job = peer.server(pki.server, versions=(version,))
    with Watch() as watch, connected(job.port(), client_config(pki, version)) as tls:
        talking.echo(tls, 1000)
        talking.update(tls)
        talking.echo(tls, 1000)
        talking.bye(tls)
    job.handshake()
    assert job.end() is None
    assert "KeyUpdate" in names(watch.take()), "no KeyUpdate came"


@squares(Scenario.THEIR_UPDATE, Role.SERVER, ONLY_TLS13)
def test_a_connecting_peer_changes_its_keys(peer: RunningPeer, version: str, pki: PKI) -> None:
    with Watch() as watch, serving(pki, version) as server:
        do = ("echo:1000", "rekey", "echo:1000", "bye")
        job = peer.client(server.port, pki.server_root_file, versions=(version,), do=do)
        job.handshake()
        assert job.end() is None
        ended_well(server)
    assert "KeyUpdate" in names(watch.take()), "no KeyUpdate came"


def assert_updates(watch: Watch, *, sent: int, answered: int) -> None:
    """KeyUpdates went out, and as many came back."""
    updates = [event.direction for event in watch.take() if type(event.message).__name__ == "KeyUpdate"]
    assert (updates.count("sent"), updates.count("received")) == (sent, answered)


# -- Close ------------------------------------------------------------------------------------------------------------


@squares(Scenario.CLOSE, Role.CLIENT)
def test_close_with_a_peer_that_serves(peer: RunningPeer, version: str, pki: PKI) -> None:
    job = peer.server(pki.server, versions=(version,), connections=2)
    port = job.port()
    for end in (talking.bye, talking.close):
        with connected(port, client_config(pki, version)) as tls:
            talking.echo(tls, 5)
            end(tls)
        job.handshake()
        assert job.end() is None, f"{peer.name} did not see a proper end after {end.__name__}"


@squares(Scenario.CLOSE, Role.SERVER)
def test_close_with_a_peer_that_connects(peer: RunningPeer, version: str, pki: PKI) -> None:
    with serving(pki, version) as server:
        for end in ("bye", "close"):
            job = peer.client(server.port, pki.server_root_file, versions=(version,), do=("echo:5", end))
            job.handshake()
            assert job.end() is None, f"{peer.name} did not see a proper end after {end}"
            ended_well(server)
