"""Java beyond the matrix: which certificate its own key manager takes, and its limit on handshake messages."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

import trustls
from tests.interop.matrix import talking
from tests.interop.matrix.adapters import Peer
from tests.interop.matrix.adapters_managed import JAVA
from tests.interop.matrix.resident import RunningPeer
from tests.support.pki import PKI
from tests.support.servers import ThreadedServer
from trustls.trust.hints import encoded_size

VERSIONS = pytest.mark.parametrize("version", ["1.2", "1.3"])
LIMIT = 32 << 10
TOO_LARGE = "Java clients refuse more than 32513"


@pytest.fixture
def java(start_peer: Callable[[Peer], RunningPeer]) -> RunningPeer:
    return start_peer(JAVA)


@pytest.fixture(scope="module")
def other_java() -> Iterator[RunningPeer]:
    """Java with its limit raised, and with the other one of its two key managers."""
    *command, program = JAVA.command()
    properties = ["-Djdk.tls.maxHandshakeMessageSize=65536", "-Dpeer.keyManager=NewSunX509"]
    with RunningPeer("java", [*command, *properties, program]) as running:
        yield running


@pytest.fixture(params=["SunX509", "NewSunX509"])
def either_java(request: pytest.FixtureRequest, java: RunningPeer, other_java: RunningPeer) -> RunningPeer:
    """With either key manager."""
    return java if request.param == "SunX509" else other_java


@contextlib.contextmanager
def serving(pki: PKI, version: str, client_auth: trustls.ClientAuth) -> Iterator[ThreadedServer]:
    config = trustls.ServerConfig(credentials=[pki.server.credential], versions=[version], client_auth=client_auth)
    with ThreadedServer(config, talking.obey) as server:
        yield server


def many_names(pki: PKI, size: int) -> list[trustls.DistinguishedName]:
    """The two CAs that count, and others before them: `size` bytes in a CertificateRequest."""
    known = list(pki.client_ca_names)
    others: list[trustls.DistinguishedName] = []
    room = size - encoded_size(known)
    largest = encoded_size([_name(0, 64)])
    while room:
        taken = largest if room > 2 * largest else (room + 1) // 2
        taken = room if room <= largest else taken
        others.append(_name(len(others), 64 - largest + taken))
        room -= taken
    assert encoded_size([*others, *known]) == size
    return [*others, *known]


def _name(number: int, length: int) -> trustls.DistinguishedName:
    attribute = x509.NameAttribute(NameOID.COMMON_NAME, f"Certificate Authority {number}".ljust(length, "."))
    return trustls.DistinguishedName(x509.Name([attribute]).public_bytes())


# -- The limit --------------------------------------------------------------------------------------------------------


@VERSIONS
def test_java_refuses_as_many_names_as_trustls_warned_of(java: RunningPeer, pki: PKI, version: str) -> None:
    with pytest.warns(UserWarning, match=TOO_LARGE):
        client_auth = pki.required(hints=many_names(pki, 40 << 10))
    with serving(pki, version, client_auth) as server:
        job = java.client(server.port, pki.server_root_file, pki.alice, versions=(version,))
        words = job.failure()
        error = server.outcome().error
    assert "exceeds the maximum allowed size (32768)" in words
    assert isinstance(error, trustls.AlertReceived), repr(error)


@VERSIONS
def test_java_with_its_limit_raised_takes_them(other_java: RunningPeer, pki: PKI, version: str) -> None:
    names = many_names(pki, 40 << 10)
    with pytest.warns(UserWarning, match=TOO_LARGE):
        client_auth = pki.required(hints=names)
    with serving(pki, version, client_auth) as server:
        job = other_java.client(server.port, pki.server_root_file, pki.alice, versions=(version,))
        assert job.handshake().authorities == tuple(name.der for name in names)
        assert job.end() is None
        assert server.outcome().peer.certificate == pki.alice.certificate


@VERSIONS
def test_java_takes_what_trustls_does_not_warn_of(java: RunningPeer, pki: PKI, version: str) -> None:
    for size in (LIMIT - 256, LIMIT - 60, LIMIT - 10):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            client_auth = pki.required(hints=many_names(pki, size))
        with serving(pki, version, client_auth) as server:
            job = java.client(server.port, pki.server_root_file, pki.alice, versions=(version,))
            error = server.outcome().error
        assert error is None or caught, f"no warning of {size} bytes of names, but Java says {job.failure()}"


# -- The key managers -------------------------------------------------------------------------------------------------


@VERSIONS
def test_java_chooses_by_the_name_of_a_root(either_java: RunningPeer, pki: PKI, version: str) -> None:
    for root, expected in ((pki.kdot_file, pki.alice), (pki.roots_file, pki.bob)):
        client_auth = trustls.ClientAuth.required(trustls.RootCertStore.from_pem(root))
        for identities in ((pki.alice, pki.bob), (pki.bob, pki.alice)):
            with serving(pki, version, client_auth) as server:
                job = either_java.client(server.port, pki.server_root_file, *identities, versions=(version,))
                assert job.handshake().sent == expected.certificate.der
                assert job.end() is None
                assert server.outcome().peer.certificate == expected.certificate


@VERSIONS
def test_java_chooses_by_the_name_of_an_intermediate(either_java: RunningPeer, pki: PKI, version: str) -> None:
    name = pki.alice.certificate.issuer
    assert name not in pki.client_ca_names
    with serving(pki, version, pki.required(hints=[name])) as server:
        job = either_java.client(server.port, pki.server_root_file, pki.bob, pki.alice, versions=(version,))
        assert job.handshake().authorities == (name.der,)
        assert job.end() is None
        assert server.outcome().peer.certificate == pki.alice.certificate


@VERSIONS
def test_java_sends_nothing_that_no_name_fits(either_java: RunningPeer, pki: PKI, version: str) -> None:
    with serving(pki, version, trustls.ClientAuth.optional(pki.client_roots)) as server:
        job = either_java.client(server.port, pki.server_root_file, pki.mallory, versions=(version,))
        theirs = job.handshake()
        assert job.end() is None
        outcome = server.outcome()
    assert theirs.authorities == tuple(name.der for name in pki.client_ca_names)
    assert theirs.sent is None
    assert outcome.error is None
    assert outcome.connection.peer is None


@VERSIONS
def test_java_chooses_among_all_where_no_name_is_sent(either_java: RunningPeer, pki: PKI, version: str) -> None:
    with serving(pki, version, pki.required(hints=())) as server:
        job = either_java.client(server.port, pki.server_root_file, pki.alice, pki.bob, versions=(version,))
        theirs = job.handshake()
        assert job.end() is None
        peer = server.outcome().peer
    assert theirs.authorities == ()
    assert theirs.sent == peer.certificate.der
    assert peer.certificate in {pki.alice.certificate, pki.bob.certificate}
