"""What was negotiated is told in `ssl`'s words: suites, versions, ALPN, channel bindings."""

from __future__ import annotations

import contextlib
import ssl
from typing import Any

import pytest

from tests.stdlib.pairs import SIDES, BIOPair, contexts, our_client, our_server, ssl_client, ssl_server
from tests.support import identities
from trustls.stdlib.described import cipher
from trustls.wire.enums import CipherSuite

TLS13_SUITES = ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256")
TLS12_SUITES = tuple(
    f"TLS_ECDHE_{key}_WITH_{cipher_}"
    for key in ("ECDSA", "RSA")
    for cipher_ in ("AES_128_GCM_SHA256", "AES_256_GCM_SHA384", "CHACHA20_POLY1305_SHA256")
)


@pytest.mark.parametrize("suite", TLS13_SUITES + TLS12_SUITES)
def test_suites_are_called_what_ssl_calls_them(suite: str) -> None:
    version = "1.2" if "_WITH_" in suite else "1.3"
    key = "rsa-2048" if "_RSA_" in suite else "ec-p256"
    client = our_client(suites=[suite], versions=[version])
    pair = BIOPair.of(client, ssl_server(identities.server_identity(key))).handshake()
    assert pair.client.cipher() == pair.server.cipher()
    described = {one["name"]: one for one in client.get_ciphers()}
    theirs = {one["name"]: one for one in ssl_server().get_ciphers()}
    name = pair.client.cipher()[0]
    assert list(described) == [name]
    for part in ("id", "name", "protocol", "strength_bits", "alg_bits", "aead"):
        assert described[name][part] == theirs[name][part], part
    assert set(described[name]) <= set(theirs[name])


def test_every_suite_that_trustls_knows_is_among_those_compared() -> None:
    known = {cipher(CipherSuite[suite])[0] for suite in TLS13_SUITES + TLS12_SUITES}
    assert {one["name"] for one in our_client().get_ciphers()} == known


@pytest.mark.parametrize("sides", SIDES)
def test_shared_ciphers_names_the_suite_that_was_agreed_on(sides: str) -> None:
    pair = BIOPair.of(*contexts(sides)).handshake()
    assert pair.client.cipher() in pair.server.shared_ciphers()
    assert pair.client.shared_ciphers() is None or sides == "ssl to trustls"
    assert pair.client.compression() is None
    assert pair.server.compression() is None


@pytest.mark.parametrize("sides", SIDES)
def test_alpn_is_agreed_on_by_the_servers_preference_or_not_at_all(sides: str) -> None:
    for offered, accepted, expected in (
        (["http/1.1", "h2"], ["h2", "http/1.1"], "h2"),
        ([], ["h2"], None),
        (["h2"], [], None),
    ):
        client, server = contexts(sides)
        client.set_alpn_protocols(offered)
        server.set_alpn_protocols(accepted)
        pair = BIOPair.of(client, server).handshake()
        assert pair.client.selected_alpn_protocol() == pair.server.selected_alpn_protocol() == expected


def test_facts_are_none_before_the_handshake() -> None:
    pair = BIOPair.of(our_client(alpn=["h2"]), our_server())
    for one in (pair.client, pair.server):
        assert one.version() is None
        assert one.cipher() is None
        assert one.selected_alpn_protocol() is None
        assert one.session_reused is None
        assert one.get_channel_binding() is None
        assert one.get_channel_binding("tls-exporter") is None
        with pytest.raises(ValueError, match="handshake not done"):
            one.getpeercert()


@pytest.mark.parametrize("sides", SIDES)
@pytest.mark.parametrize("resumed", [False, True])
def test_tls_unique_is_that_of_ssl_in_tls12(sides: str, resumed: bool) -> None:
    client, server = contexts(sides, version="1.2")
    pair = BIOPair.of(client, server).handshake()
    if resumed:
        session = pair.client.session
        pair = BIOPair.of(client, server, session=session).handshake()
        assert pair.client.session_reused
        assert pair.server.session_reused
    found = pair.client.get_channel_binding("tls-unique")
    assert found
    assert found == pair.server.get_channel_binding("tls-unique")
    assert found == pair.client.get_channel_binding(), "it is ssl's default"


def test_tls_unique_is_not_defined_in_tls13() -> None:
    pair = BIOPair.of(our_client(), our_server()).handshake()
    assert pair.client.get_channel_binding() is None, "RFC 9266: it would bind nothing"


@pytest.mark.parametrize("version", ["1.3", "1.2"])
def test_tls_exporter_is_that_of_openssl(version: str) -> None:
    openssl = pytest.importorskip("OpenSSL.SSL", reason="compares with pyOpenSSL: pip install pyOpenSSL")
    context = openssl.Context(openssl.TLS_SERVER_METHOD)
    issued = identities.server_identity("ec-p256")
    context.use_certificate(issued.certificate)
    context.use_privatekey(issued.key)
    server = openssl.Connection(context)
    server.set_accept_state()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = our_client(versions=[version]).wrap_bio(incoming, outgoing, server_hostname="localhost")
    waiting: list[Any] = [client, server]
    while waiting:
        for one in list(waiting):
            try:
                one.do_handshake()
                waiting.remove(one)
            except (ssl.SSLWantReadError, openssl.WantReadError):
                pass
            if outgoing.pending:
                server.bio_write(outgoing.read())
            with contextlib.suppress(openssl.WantReadError):
                incoming.write(server.bio_read(1 << 16))
    theirs = server.export_keying_material(b"EXPORTER-Channel-Binding", 32, b"")
    assert client.get_channel_binding("tls-exporter") == theirs


def test_other_channel_bindings_are_refused_as_by_ssl() -> None:
    for pair in (BIOPair.of(our_client(), our_server()).handshake(), BIOPair.of(ssl_client(), ssl_server())):
        with pytest.raises(ValueError, match="channel binding type"):
            pair.client.get_channel_binding("tls-server-end-point")


def test_the_objects_tell_where_they_come_from() -> None:
    client, server = our_client(), our_server()
    pair = BIOPair.of(client, server).handshake()
    assert pair.client.context is client
    assert pair.server.context is server
    assert (pair.client.server_side, pair.server.server_side) == (False, True)
    assert (pair.client.server_hostname, pair.server.server_hostname) == ("localhost", None)
    pair.client.context = client
    with pytest.raises(ValueError, match="keeps its context"):
        pair.client.context = our_client()
    assert pair.client.connection.info.suite
