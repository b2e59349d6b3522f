"""Handshakes that succeed, over everything that can be combined, and what is known after them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest

from tests.support.identities import (
    KEY_TYPES,
    client_config,
    client_credential,
    client_root,
    client_roots,
    optional,
    required,
    server_config,
    server_credential,
    strange_credential,
)
from tests.support.memory import Pair, connect, pair, records
from trustls.connection import ClientConnection, ServerConnection
from trustls.crypto.provider import DEFAULT_PROVIDER
from trustls.danger import AcceptAnyCertificate
from trustls.errors import AlertDescription, AlertReceived, CertificateProblem, CertificateRejected, ConfigError
from trustls.handshake.retry_cookie import RetryCookies
from trustls.identity.credential import Credential
from trustls.trust.client_auth import ClientAuth
from trustls.trust.names import ServerName
from trustls.wire.enums import CipherSuite, ContentType, NamedGroup, ProtocolVersion
from trustls.wire.messages import ClientHello

SUITES = [item.suite.iana for item in DEFAULT_PROVIDER.suites]
GROUPS = [item.group.iana for item in DEFAULT_PROVIDER.groups]
CLIENT_AUTH: dict[str, Callable[[], ClientAuth]] = {"none": ClientAuth.none, "optional": optional, "required": required}


@pytest.mark.parametrize("auth", CLIENT_AUTH)
@pytest.mark.parametrize("key_type", KEY_TYPES)
@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("suite", SUITES)
def test_handshake_of_every_combination(suite: str, group: str, key_type: str, auth: str) -> None:
    joined = connect(
        server_config(credentials=[server_credential(key_type)], client_auth=CLIENT_AUTH[auth](), suites=[suite]),
        client_config(credentials=[client_credential(key_type)], groups=[group]),
    ).check_connected()
    for side in (joined.client, joined.server):
        assert side.info.suite.iana == suite
        assert side.info.group.iana == group
        assert side.info.version is ProtocolVersion.TLS1_3
        assert not side.info.resumed
        assert not side.info.retried
    assert joined.client.peer is not None
    assert joined.client.peer.certificate == server_credential(key_type).certificate
    if auth == "none":
        assert joined.server.peer is None
        assert joined.client.requested is None
        assert joined.client.info.credential is None
    else:
        assert joined.server.peer is not None
        assert joined.server.peer.certificate == client_credential(key_type).certificate
        assert str(joined.server.peer.verified[-1].subject) == "CN=K-Dot Certificate Authority,O=TDE,C=US"
        assert joined.client.info.credential is client_credential(key_type)


@pytest.mark.parametrize("server_key", ["rsa-2048", "ed25519"])
@pytest.mark.parametrize("client_key", ["ec-p521", "ml-dsa-87"])
def test_the_two_sides_may_have_keys_of_different_kinds(server_key: str, client_key: str) -> None:
    connect(
        server_config(credentials=[server_credential(server_key)], client_auth=required()),
        client_config(credentials=[client_credential(client_key)]),
    ).check_connected()


# -- What was negotiated ----------------------------------------------------------------------------------------------


def test_defaults_are_the_strongest_suite_and_the_hybrid_group() -> None:
    joined = connect()
    assert joined.client.info == dataclasses.replace(joined.server.info, credential=None)
    assert joined.client.info.suite is CipherSuite.TLS_AES_256_GCM_SHA384
    assert joined.client.info.group is NamedGroup.X25519MLKEM768


def test_client_order_decides_among_suites() -> None:
    for order in (SUITES, SUITES[::-1]):
        assert connect(client=client_config(suites=order)).server.info.suite.iana == order[0]


def test_server_order_decides_among_the_groups_that_a_share_came_for() -> None:
    joined = connect(server_config(groups=["x25519", "X25519MLKEM768"]))
    assert joined.client.info.group is NamedGroup.X25519
    assert not joined.client.info.retried, "X25519 comes for free beside the hybrid"


def test_server_takes_a_group_with_a_share_over_one_that_costs_a_round_trip() -> None:
    joined = connect(server_config(groups=["secp384r1", "x25519"]))
    assert joined.server.info.group is NamedGroup.X25519
    assert not joined.server.info.retried


def test_shares_are_of_the_preferred_group_and_of_x25519_beside_the_hybrid() -> None:
    def groups_of(**restricted: list[str]) -> list[str]:
        record = ClientConnection(client_config(**restricted), "localhost").data_to_send()
        hello = ClientHello.parse(record[9:])
        return [share.group.iana for share in hello.key_share or ()]

    assert groups_of() == ["X25519MLKEM768", "x25519"]
    assert groups_of(groups=["X25519MLKEM768", "secp256r1"]) == ["X25519MLKEM768"]
    assert groups_of(groups=["secp256r1", "X25519MLKEM768", "x25519"]) == ["secp256r1"]


# -- HelloRetryRequest ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cookies", [None, RetryCookies()], ids=["no cookie", "cookie"])
@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("group", ["secp256r1", "secp384r1", "secp521r1"])
def test_retry_brings_the_share_that_the_server_wants(group: str, suite: str, cookies: RetryCookies | None) -> None:
    joined = connect(
        server_config(groups=[group], suites=[suite], retry_cookies=cookies, client_auth=required()),
        client_config(credentials=[client_credential()]),
    ).check_connected()
    for side in (joined.client, joined.server):
        assert side.info.retried
        assert side.info.group.iana == group


def test_client_that_prefers_an_elliptic_curve_is_asked_for_the_hybrid() -> None:
    joined = connect(server_config(groups=["X25519MLKEM768"]), client_config(groups=["x25519", "X25519MLKEM768"]))
    assert joined.check_connected().client.info.group is NamedGroup.X25519MLKEM768


def test_servers_that_share_a_key_accept_each_others_cookies() -> None:
    """A retry leaves nothing in the server but the cookie's key (RFC 9846 4.3.2), so another may go on with it."""
    key = bytes(range(32))
    one, other = (
        server_config(groups=["secp256r1"], retry_cookies=RetryCookies(key), client_auth=required()) for _ in range(2)
    )
    joined = connect(one, client_config(credentials=[client_credential()]))
    assert joined.server.info.retried
    cookie = RetryCookies(key).make(b"h" * 48, b"choice", 1000.0)
    assert other.retry_cookies is not None
    other.retry_cookies.check(cookie, b"h" * 48, b"choice", 1059.9)


# -- ALPN -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("server", "client", "chosen"),
    [
        ([], [], None),
        ([], ["h2"], None),
        (["h2"], [], None),
        (["h2"], ["h2"], "h2"),
        (["h2", "http/1.1"], ["http/1.1", "h2"], "h2"),
        (["h2", "http/1.1"], ["http/1.1"], "http/1.1"),
        (["\xff\x00"], ["\xff\x00"], "\xff\x00"),
        (["x" * 255], ["x" * 255], "x" * 255),
    ],
    ids=["neither", "client only", "server only", "one", "server order", "the common one", "bytes", "longest"],
)
def test_protocol_is_the_servers_first_that_the_client_offers(
    server: list[str], client: list[str], chosen: str | None
) -> None:
    joined = connect(server_config(alpn=server), client_config(alpn=client)).check_connected()
    assert joined.client.info.alpn == joined.server.info.alpn == chosen


# -- server_name ------------------------------------------------------------------------------------------------------


def server_of_many() -> list[object]:
    return [
        server_credential("ec-p256", "localhost"),
        server_credential("ec-p256", "www.example.com"),
        server_credential("rsa-2048", "www.example.com"),
        server_credential("ec-p256", "*.example.org"),
        server_credential("ec-p256", "192.0.2.7"),
    ]


@pytest.mark.parametrize(
    ("name", "index"),
    [("localhost", 0), ("www.example.com", 1), ("WWW.Example.COM.", 1), ("a.example.org", 3)],
)
def test_server_presents_the_certificate_for_the_name_asked_for(name: str, index: int) -> None:
    joined = connect(server_config(credentials=server_of_many()), name=name).check_connected()
    assert joined.server.info.credential is server_of_many()[index]
    assert joined.server.info.server_name == ServerName(name).dns


def test_server_looks_at_the_schemes_before_the_names() -> None:
    joined = connect(
        server_config(credentials=server_of_many()),
        client_config(
            signature_schemes=["rsa_pss_rsae_sha256", "ecdsa_secp384r1_sha384"], verifier=AcceptAnyCertificate()
        ),
        name="www.example.com",
    )
    assert joined.server.info.credential is server_of_many()[2]


@pytest.mark.parametrize("name", ["192.0.2.7", "2001:db8::1"])
def test_address_is_not_sent_as_server_name(name: str) -> None:
    """RFC 6066 3: a HostName is no address. The first certificate is the default then."""
    joined = connect(
        server_config(credentials=server_of_many()), client_config(verifier=AcceptAnyCertificate()), name=name
    )
    assert joined.server.info.server_name is None
    assert joined.server.info.credential is server_of_many()[0]


def test_server_name_can_be_kept_to_oneself() -> None:
    joined = connect(client=client_config(send_server_name=False)).check_connected()
    assert joined.server.info.server_name is None
    assert joined.client.info.server_name is None


def test_name_that_no_certificate_is_for_gets_the_first_and_the_client_refuses() -> None:
    joined = pair(name="other.example").run()
    failure = joined.client.failure
    assert isinstance(failure, CertificateRejected)
    assert failure.reason is CertificateProblem.NAME_MISMATCH
    assert isinstance(joined.server.failure, AlertReceived)


@pytest.mark.parametrize("name", ["", "a b", "-", "exa\0mple", "a" * 300, "bücher.example"])
def test_name_that_is_none_is_refused_before_anything_is_sent(name: str) -> None:
    with pytest.raises(ConfigError, match="server name"):
        ClientConnection(client_config(), name)


# -- Client certificates ----------------------------------------------------------------------------------------------


def test_client_reads_the_names_and_schemes_that_the_server_asks_for() -> None:
    joined = connect(server_config(client_auth=required()), client_config(credentials=[client_credential()]))
    requested = joined.client.requested
    assert requested is not None
    assert [str(name) for name in requested.authorities] == ["CN=K-Dot Certificate Authority,O=TDE,C=US"]
    assert requested.authorities == client_roots().subjects()
    assert requested.signature_schemes == DEFAULT_PROVIDER.signature_schemes
    assert requested.signature_schemes_cert == requested.signature_schemes


def test_client_presents_the_first_credential_that_fits() -> None:
    held = [strange_credential(), client_credential("ec-p256", "bob"), client_credential("ec-p256", "carol")]
    joined = connect(server_config(client_auth=required()), client_config(credentials=held))
    assert joined.client.info.credential is held[1]
    assert joined.server.peer is not None
    assert joined.server.peer.subject == "CN=bob"


def test_server_sends_no_authorities_extension_when_there_are_no_hints() -> None:
    """JSSE and BoringSSL reject an empty one (rustls#1727)."""
    joined = connect(
        server_config(client_auth=ClientAuth.required(client_roots(), hints=())),
        client_config(credentials=[client_credential()]),
    )
    assert joined.client.requested is not None
    assert joined.client.requested.authorities == ()
    assert joined.server.peer is not None


def test_hints_name_others_without_trusting_them() -> None:
    auth = ClientAuth.required(client_roots(), hints=[client_root().certificate, "CN=Somebody Else"])
    joined = connect(server_config(client_auth=auth), client_config(credentials=[client_credential()]))
    assert joined.client.requested is not None
    assert [name.common_name for name in joined.client.requested.authorities] == [
        "K-Dot Certificate Authority",
        "Somebody Else",
    ]


@pytest.mark.parametrize("held", [[], [strange_credential]], ids=["none", "none that fits"])
def test_optional_authentication_lets_a_client_in_without_a_certificate(held: list[Callable[[], object]]) -> None:
    joined = connect(
        server_config(client_auth=optional()), client_config(credentials=[make() for make in held])
    ).check_connected()
    assert joined.server.peer is None
    assert joined.client.requested is not None
    assert joined.client.info.credential is None


def test_required_authentication_refuses_a_client_without_a_certificate() -> None:
    joined = pair(server_config(client_auth=required())).run()
    failure = joined.server.failure
    assert isinstance(failure, CertificateRejected)
    assert failure.reason is CertificateProblem.NONE_PRESENTED
    assert isinstance(joined.client.failure, AlertReceived)
    assert joined.client.failure.description is AlertDescription.CERTIFICATE_REQUIRED
    assert not joined.client.handshaking, "in TLS 1.3 a client learns of this after its own handshake"


def test_root_at_the_end_of_a_chain_is_not_sent() -> None:
    """RFC 9846 4.5.1: whoever trusts it has it."""
    alice = client_credential()
    whole = Credential([*alice.chain, client_root().certificate], alice.signer)
    joined = connect(server_config(client_auth=required()), client_config(credentials=[whole])).check_connected()
    assert joined.server.peer is not None
    assert joined.server.peer.presented == whole.chain[:2]
    assert joined.server.peer.verified == whole.chain


@pytest.mark.parametrize("auth", [optional, required])
def test_certificate_of_an_unknown_authority_is_refused_where_any_is_asked_for(auth: Callable[[], ClientAuth]) -> None:
    # A fallback is presented although no hint names its issuer.
    mallory = Credential(strange_credential().chain, strange_credential().signer, fallback=True)
    joined = pair(server_config(client_auth=auth()), client_config(credentials=[mallory])).run()
    failure = joined.server.failure
    assert isinstance(failure, CertificateRejected)
    assert failure.reason is CertificateProblem.UNKNOWN_ISSUER
    assert "A Root Nobody Trusts" in str(failure), "the sentence does not name the issuer"
    assert isinstance(joined.client.failure, AlertReceived)
    assert joined.client.failure.description is AlertDescription.UNKNOWN_CA
    assert joined.server.peer is None


# -- On the wire ------------------------------------------------------------------------------------------------------


def flights(joined: Pair) -> list[list[ContentType]]:
    """Content types as a watcher sees them, flight by flight, client first."""
    seen: list[list[ContentType]] = []

    def watch(data: bytes) -> bytes:
        seen.append([record.content_type for record in records(data)])
        return data

    joined.to_server = joined.to_client = watch
    joined.run()
    return seen


def test_handshake_looks_like_tls12_to_a_middlebox() -> None:
    """RFC 9846 E.4: a change_cipher_spec right behind the ServerHello, and before the client's second flight."""
    clear, ccs, data = ContentType.HANDSHAKE, ContentType.CHANGE_CIPHER_SPEC, ContentType.APPLICATION_DATA
    tickets = [data]
    assert flights(pair()) == [[clear], [clear, ccs, data], [ccs, data], tickets]
    assert flights(pair(server_config(resumption=None))) == [[clear], [clear, ccs, data], [ccs, data]]
    retried = flights(pair(server_config(groups=["secp256r1"])))
    assert retried == [[clear], [clear, ccs], [ccs, clear], [clear, data], [data], tickets]


def test_first_bytes_are_a_client_hello_that_waits_from_the_start() -> None:
    client = ClientConnection(client_config(), "localhost")
    first = client.data_to_send()
    assert first[0] == ContentType.HANDSHAKE
    assert first[5] == 1
    assert client.data_to_send() == b"", "the ClientHello is sent once"
    assert ServerConnection(server_config()).data_to_send() == b"", "a server waits"


def test_one_configuration_serves_many_connections_at_the_same_time() -> None:
    server, client = server_config(client_auth=required()), client_config(credentials=[client_credential()])
    pairs = [pair(server, client) for _ in range(5)]
    for _ in range(4):
        for joined in pairs:
            joined.step()
    secrets = {joined.check_connected().client.export("EXPORTER-test", 32) for joined in pairs}
    assert len(secrets) == 5


def test_same_randomness_makes_the_same_hello() -> None:
    """Randomness enters by the configuration, so that a handshake can be replayed; keys never do."""
    provider = dataclasses.replace(DEFAULT_PROVIDER, random=lambda count: b"\x07" * count)
    one, other = (ClientConnection(client_config(provider=provider), "localhost").data_to_send() for _ in range(2))
    assert one[:76] == other[:76]
    assert one[11:43] == b"\7" * 32
    assert one != other, "the key shares came from the provider's randomness"
