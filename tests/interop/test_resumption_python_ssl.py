"""Python's `ssl` resumes with trustls, in TLS 1.2 and 1.3."""

from __future__ import annotations

import ssl

import pytest

import trustls
from tests.support.pki import PKI, Identity
from tests.support.servers import SECONDS, Outcome, ThreadedServer
from tests.support.ssl_peers import TLS12, TLS13, SSLOutcome, SSLServer, client_context, server_context, ssl_client
from tests.support.watching import Watch, certificates_in

VERSIONS = (TLS12, TLS13)


def server_config(pki: PKI, **options: object) -> trustls.ServerConfig:
    """A server of both versions that requires a certificate of its clients."""
    settings: dict[str, object] = {
        "credentials": [pki.server.credential],
        "client_auth": pki.required(),
        **options,
    }
    return trustls.ServerConfig(**settings)  # type: ignore[arg-type]


def client_config(pki: PKI, *identities: Identity, **options: object) -> trustls.ClientConfig:
    """A client that trusts the test's server root, and holds these certificates."""
    settings: dict[str, object] = {"roots": pki.server_roots, **options}
    return trustls.ClientConfig(credentials=[one.credential for one in identities], **settings)  # type: ignore[arg-type]


def ssl_visit(
    server: ThreadedServer, context: ssl.SSLContext, session: ssl.SSLSession | None = None
) -> tuple[bool | None, ssl.SSLSession | None, Outcome]:
    """A word to the trustls server and back: whether `ssl` resumed, its session then, and what the server says."""
    with ssl_client(context, server.port, session) as tls:
        tls.sendall(b"hello")
        assert tls.recv(100) == b"hello"
        result = tls.session_reused, tls.session
        tls.unwrap()
    return *result, server.outcome()


def visit(server: SSLServer, config: trustls.ClientConfig) -> tuple[trustls.ClientConnection, SSLOutcome]:
    """A word to the server of `ssl` and back."""
    with trustls.connect(("127.0.0.1", server.port), config, server_name="localhost", timeout=SECONDS) as tls:
        tls.sendall(b"hello")
        assert tls.recv_exactly(5) == b"hello"
    return tls.connection, server.outcome()


@pytest.mark.parametrize("stored", [False, True], ids=["tickets", "stored"])
@pytest.mark.parametrize("newest", VERSIONS)
def test_ssl_client_resumes_and_is_still_known(newest: ssl.TLSVersion, stored: bool, pki: PKI) -> None:
    config = server_config(pki, resumption=trustls.StoredSessions() if stored else trustls.Tickets())
    context = client_context(pki, pki.alice, newest=newest)
    with Watch() as watch, ThreadedServer(config) as server:
        reused, session, first = ssl_visit(server, context)
        assert (reused, first.connection.info.resumed) == (False, False)
        assert len(certificates_in(watch.take())) == 2
        reused, _session, second = ssl_visit(server, context, session)
        assert (reused, second.connection.info.resumed) == (True, True)
        assert certificates_in(watch.take()) == []
    assert second.peer.presented == first.peer.presented
    assert second.peer.subject == "CN=alice"


@pytest.mark.parametrize("newest", VERSIONS)
def test_ssl_client_that_takes_no_tickets_resumes_by_session_id(newest: ssl.TLSVersion, pki: PKI) -> None:
    context = client_context(pki, pki.alice, newest=newest)
    context.options |= ssl.OP_NO_TICKET
    with ThreadedServer(server_config(pki, resumption=trustls.StoredSessions())) as server:
        _reused, session, _first = ssl_visit(server, context)
        reused, _session, second = ssl_visit(server, context, session)
    assert (reused, second.connection.info.resumed) == (True, True)


@pytest.mark.parametrize("newest", VERSIONS)
def test_ssl_client_does_not_resume_where_client_auth_has_changed(newest: ssl.TLSVersion, pki: PKI) -> None:
    tickets = trustls.Tickets()
    context = client_context(pki, pki.alice, newest=newest)
    elsewhere = trustls.ClientAuth.required(pki.other_roots)
    with (
        ThreadedServer(server_config(pki, resumption=tickets)) as before,
        ThreadedServer(server_config(pki, resumption=tickets, client_auth=elsewhere)) as after,
    ):
        _reused, session, _first = ssl_visit(before, context)
        with pytest.raises(ssl.SSLError) as caught:
            ssl_visit(after, context, session)
        assert caught.value.reason == "TLSV1_ALERT_UNKNOWN_CA"
        error = after.outcome().error
    assert isinstance(error, trustls.CertificateRejected)


@pytest.mark.parametrize("with_certificates", [True, False], ids=["mutual", "server only"])
@pytest.mark.parametrize("newest", VERSIONS)
def test_session_of_an_ssl_server_is_resumed(newest: ssl.TLSVersion, with_certificates: bool, pki: PKI) -> None:
    verify = ssl.CERT_REQUIRED if with_certificates else ssl.CERT_NONE
    config = client_config(pki, pki.alice)
    with Watch() as watch, SSLServer(server_context(pki, newest=newest, verify=verify)) as server:
        first, theirs = visit(server, config)
        assert (first.info.resumed, theirs.reused) == (False, False)
        watch.take()
        for _ in range(3):
            second, theirs = visit(server, config)
            assert theirs.error is None
            assert (second.info.resumed, theirs.reused) == (True, True)
            assert certificates_in(watch.take()) == []
            assert second.requested is None
            assert second.info.credential is first.info.credential
            assert theirs.certificate == (pki.alice.certificate.der if with_certificates else None)
            assert second.peer is not None
            assert second.peer.certificate == pki.server.certificate


@pytest.mark.parametrize("newest", VERSIONS)
def test_session_that_a_new_ssl_server_does_not_know_is_a_full_handshake(newest: ssl.TLSVersion, pki: PKI) -> None:
    config = client_config(pki, pki.alice)
    with (
        SSLServer(server_context(pki, newest=newest)) as before,
        SSLServer(server_context(pki, newest=newest)) as after,
    ):
        visit(before, config)
        second, theirs = visit(after, config)
    assert (second.info.resumed, theirs.reused) == (False, False)
    assert theirs.certificate == pki.alice.certificate.der
