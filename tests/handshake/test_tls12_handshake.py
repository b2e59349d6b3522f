"""TLS 1.2 handshakes that work, in every combination, and the version that two sides settle on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import pytest

from tests.support.identities import (
    client_config,
    client_credential,
    optional,
    required,
    server_config,
    server_credential,
    strange_credential,
)
from tests.support.memory import Change, Pair, byte_by_byte, check_refused, connect, pair, record_by_record, records
from tests.support.scripted import Edit, ScriptedClient, ScriptedServer, on
from tests.support.tls12 import client12, server12
from trustls.connection import ClientConnection, ServerConnection
from trustls.errors import (
    AlertDescription,
    AlertReceived,
    CertificateProblem,
    CertificateRejected,
    Incompatibility,
    Misbehaviour,
    PeerIncompatible,
    PeerMisbehaved,
)
from trustls.identity.credential import Credential
from trustls.trust.client_auth import ClientAuth
from trustls.wire.enums import CipherSuite, ContentType, ECPointFormat, NamedGroup, ProtocolVersion, SignatureScheme
from trustls.wire.messages import DOWNGRADE_TO_TLS11, DOWNGRADE_TO_TLS12, ClientHello, ServerHello
from trustls.wire.messages12 import CertificateMessage12, CertificateRequest12, ServerKeyExchange

SUITES: Final = tuple(
    f"TLS_ECDHE_{key}_WITH_{cipher}"
    for key in ("ECDSA", "RSA")
    for cipher in ("AES_256_GCM_SHA384", "AES_128_GCM_SHA256", "CHACHA20_POLY1305_SHA256")
)
GROUPS: Final = ("x25519", "secp256r1", "secp384r1", "secp521r1")
KEYS: Final = ("ec-p256", "ec-p384", "ec-p521", "ed25519", "rsa-2048")
CLIENT_AUTH: Final[dict[str, ClientAuth]] = {"none": ClientAuth.none(), "optional": optional(), "required": required()}


# -- The matrix -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("auth", CLIENT_AUTH)
@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("suite", SUITES)
def test_suite_works_with_every_group_and_client_auth(suite: str, group: str, auth: str) -> None:
    key = "rsa-2048" if "_RSA_" in suite else "ec-p256"
    joined = connect(
        server12(groups=[group], credentials=[server_credential(key)], client_auth=CLIENT_AUTH[auth]),
        client12(suites=[suite], credentials=[client_credential()]),
    ).check_connected()
    for side in (joined.client, joined.server):
        assert side.info.version is ProtocolVersion.TLS1_2
        assert side.info.suite is CipherSuite.from_iana(suite)
        assert side.info.group is NamedGroup.from_iana(group)
        assert not side.info.resumed, "a first handshake resumes nothing"
    assert joined.client.peer is not None
    assert joined.client.peer.certificate == server_credential(key).certificate, "the server is known"
    presented = None if joined.server.peer is None else joined.server.peer.certificate
    assert presented == (None if auth == "none" else client_credential().certificate), "so is the client, where asked"
    assert joined.client.info.credential == (None if auth == "none" else client_credential())


@pytest.mark.parametrize("client_key", KEYS)
@pytest.mark.parametrize("server_key", KEYS)
def test_every_kind_of_key_works_with_every_other(server_key: str, client_key: str) -> None:
    joined = connect(
        server12(credentials=[server_credential(server_key)], client_auth=required()),
        client12(credentials=[client_credential(client_key)]),
    ).check_connected()
    assert joined.server.peer is not None
    assert joined.server.peer.certificate == client_credential(client_key).certificate
    rsa = "_RSA_" in joined.client.info.suite.name
    assert rsa == (server_key == "rsa-2048"), "the suite goes with the server's key, whatever the client's is"


@pytest.mark.parametrize("scheme", ["rsa_pss_rsae_sha256", "rsa_pss_rsae_sha384", "rsa_pss_rsae_sha512"])
def test_rsa_key_signs_with_the_scheme_that_the_client_prefers(scheme: str) -> None:
    said: list[SignatureScheme] = []

    def note(message: ServerKeyExchange) -> tuple[ServerKeyExchange]:
        said.append(message.scheme)
        return (message,)

    server = ScriptedServer(server12(credentials=[server_credential("rsa-2048")]), on(ServerKeyExchange, note))
    client = client12(signature_schemes=[scheme, "ecdsa_secp256r1_sha256"])
    Pair(ClientConnection(client, "localhost"), server).run().check_connected()
    assert said == [SignatureScheme.from_iana(scheme)]


@pytest.mark.parametrize("split", [byte_by_byte, record_by_record])
def test_handshake_does_not_depend_on_how_it_is_delivered(split: Any) -> None:
    joined = pair(server12(client_auth=required()), client12(credentials=[client_credential()]))
    joined.split = split
    joined.run().check_connected()


def test_large_data_goes_both_ways() -> None:
    joined = connect(server12(), client12())
    content = bytes(range(256)) * 1000
    joined.client.send(content)
    joined.server.send(content[::-1])
    joined.run()
    assert joined.server_got == content
    assert joined.client_got == content[::-1]


# -- Client authentication --------------------------------------------------------------------------------------------


def test_client_without_certificate_is_let_in_where_it_is_optional() -> None:
    joined = connect(server12(client_auth=optional()), client12()).check_connected()
    assert joined.server.peer is None, "nobody is known"
    assert joined.client.requested is not None, "the client knows that it was asked"


def test_client_without_certificate_is_refused_where_it_is_required() -> None:
    joined = pair(server12(client_auth=required()), client12()).run()
    # RFC 5246 7.4.6: TLS 1.2 has no certificate_required.
    check_refused(
        joined, "server", CertificateRejected, CertificateProblem.NONE_PRESENTED, AlertDescription.HANDSHAKE_FAILURE
    )
    assert joined.server.peer is None


@pytest.mark.parametrize("auth", ["optional", "required"])
def test_client_with_a_certificate_of_a_strange_ca_is_refused(auth: str) -> None:
    impostor = pushy(strange_credential())
    joined = pair(server12(client_auth=CLIENT_AUTH[auth]), client12(credentials=[impostor])).run()
    check_refused(joined, "server", CertificateRejected, CertificateProblem.UNKNOWN_ISSUER)


def pushy(credential: Credential) -> Credential:
    """One that is presented whoever the server names."""
    return Credential(credential.chain, credential.signer, fallback=True)


@pytest.mark.parametrize("hints", [None, ()], ids=["named", "no hints"])
def test_certificate_request_names_the_authorities(hints: Any) -> None:
    roots = required().verifier
    assert roots is not None
    auth = ClientAuth.required(roots.roots, hints=hints)  # type: ignore[attr-defined]
    joined = connect(server12(client_auth=auth), client12(credentials=[client_credential()])).check_connected()
    request = joined.client.requested
    assert request is not None
    assert request.version is ProtocolVersion.TLS1_2
    assert request.authorities == auth.hints, "the CA names arrive as they were, an empty list included"
    assert bool(request.authorities) == (hints is None)
    assert request.certificate_types, "TLS 1.2 says which kinds of key it takes"
    assert not [scheme for scheme in request.signature_schemes if "MLDSA" in scheme.name], "not defined for TLS 1.2"


def test_ml_dsa_credential_is_not_presented_in_tls12() -> None:
    joined = connect(server12(client_auth=optional()), client12(credentials=[client_credential("ml-dsa-44")]))
    assert joined.server.peer is None
    assert joined.client.info.credential is None


def test_server_with_only_an_ml_dsa_certificate_has_nothing_for_tls12() -> None:
    joined = pair(server_config(credentials=[server_credential("ml-dsa-44")]), client12()).run()
    check_refused(joined, "server", PeerIncompatible, Incompatibility.NO_COMMON_SCHEME)


def test_server_picks_the_credential_that_the_offered_suites_can_be_used_with() -> None:
    both = [server_credential("ec-p256"), server_credential("rsa-2048")]
    joined = connect(server12(credentials=both), client12(suites=["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"]))
    assert joined.client.peer is not None
    assert joined.client.peer.certificate == server_credential("rsa-2048").certificate


# -- What is negotiated -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("client", "server", "agreed"),
    [
        (["h2", "http/1.1"], ["http/1.1", "h2"], "http/1.1"),
        (["h2"], ["http/1.1", "h2"], "h2"),
        ([], ["h2"], None),
        (["h2"], [], None),
    ],
)
def test_alpn(client: list[str], server: list[str], agreed: str | None) -> None:
    joined = connect(server12(alpn=server), client12(alpn=client)).check_connected()
    assert joined.client.info.alpn == agreed
    assert joined.server.info.alpn == agreed


def test_alpn_with_nothing_in_common_is_refused() -> None:
    joined = pair(server12(alpn=["h2"]), client12(alpn=["http/1.1"])).run()
    check_refused(joined, "server", PeerIncompatible, Incompatibility.NO_COMMON_ALPN)


@pytest.mark.parametrize(
    ("server", "client", "reason"),
    [
        (
            {"suites": ["TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"]},
            {"suites": ["TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"]},
            Incompatibility.NO_COMMON_SUITE,
        ),
        ({}, {"suites": ["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"]}, Incompatibility.NO_COMMON_SUITE),
        (
            {"groups": ["secp256r1"], "credentials": [server_credential("rsa-2048")]},
            {"groups": ["x25519"]},
            Incompatibility.NO_COMMON_GROUP,
        ),
        ({}, {"signature_schemes": ["ed25519"]}, Incompatibility.NO_COMMON_SCHEME),
    ],
)
def test_nothing_in_common_is_refused(server: dict[str, Any], client: dict[str, Any], reason: Incompatibility) -> None:
    check_refused(pair(server12(**server), client12(**client)).run(), "server", PeerIncompatible, reason)


def test_server_decides_among_groups_and_the_client_among_suites() -> None:
    joined = connect(
        server12(groups=["secp384r1", "x25519"], suites=list(SUITES)),
        client12(groups=["x25519", "secp384r1", "secp256r1"], suites=list(reversed(SUITES))),
    )
    assert joined.client.info.group is NamedGroup.SECP384R1
    assert joined.client.info.suite is CipherSuite.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256


def test_exporters_differ_with_and_without_a_context() -> None:
    """RFC 5705 4: in TLS 1.2, unlike in TLS 1.3, an empty context is not the same as none."""
    joined = connect(server12(), client12())
    client, server = joined.client, joined.server
    for context in (None, b"", b"context"):
        assert client.export("EXPORTER-x", 40, context=context) == server.export("EXPORTER-x", 40, context=context)
    made = {client.export("EXPORTER-x", 40, context=context) for context in (None, b"", b"context")}
    assert len(made) == 3, "three contexts, three keys"
    assert client.export("EXPORTER-y", 40) not in made


def test_key_log_has_one_line_for_a_handshake_and_both_sides_log_the_same() -> None:
    logged: list[tuple[str, str, bytes, bytes]] = []

    class Log:
        def __init__(self, side: str) -> None:
            self.side = side

        def log(self, label: str, client_random: bytes, secret: bytes) -> None:
            logged.append((self.side, label, client_random, secret))

    connect(server12(key_log=Log("server")), client12(key_log=Log("client")))
    assert sorted(line[:2] for line in logged) == [("client", "CLIENT_RANDOM"), ("server", "CLIENT_RANDOM")]
    assert logged[0][2:] == logged[1][2:], "the same random and master secret"
    assert len(logged[0][3]) == 48


# -- Extended master secret -------------------------------------------------------------------------------------------


def without_extended_master_secret(message: Any) -> tuple[Any]:
    return (replace(message, extended_master_secret=None),)


def lenient(role: str) -> Pair:
    """A pair of which `role` does not demand the extended master secret, and the other does not offer it."""
    if role == "server":
        old = ScriptedClient(
            client12(require_extended_master_secret=False), on(ClientHello, without_extended_master_secret)
        )
        return Pair(old, ServerConnection(server12(require_extended_master_secret=False)))
    server = ScriptedServer(server12(require_extended_master_secret=False))
    server.flow._edit = on(ServerHello, without_extended_master_secret)
    return Pair(ClientConnection(client12(require_extended_master_secret=False), "localhost"), server)


def test_server_refuses_a_client_without_extended_master_secret() -> None:
    client = ScriptedClient(
        client12(require_extended_master_secret=False), on(ClientHello, without_extended_master_secret)
    )
    joined = Pair(client, ServerConnection(server12())).run()
    check_refused(joined, "server", PeerIncompatible, Incompatibility.NO_EXTENDED_MASTER_SECRET)


def test_client_refuses_a_server_without_extended_master_secret() -> None:
    server = ScriptedServer(server12(), on(ServerHello, without_extended_master_secret))
    joined = Pair(ClientConnection(client12(), "localhost"), server).run()
    check_refused(joined, "client", PeerIncompatible, Incompatibility.NO_EXTENDED_MASTER_SECRET)


def test_server_lets_in_a_client_without_extended_master_secret_where_the_config_says_so() -> None:
    """The scripted client goes by the server's answer, which does not have the extension either."""
    lenient("server").run().check_connected()


def test_client_that_demands_no_extended_master_secret_goes_by_the_servers_answer() -> None:
    """The scripted server computes with the extension, and its answer denies it: so the two Finished differ."""
    joined = lenient("client").run()
    check_refused(joined, "server", PeerMisbehaved, Misbehaviour.BAD_RECORD_MAC)


def test_both_sides_use_the_extended_master_secret_when_neither_demands_it() -> None:
    server = ScriptedServer(server12(require_extended_master_secret=False))
    client = ClientConnection(client12(require_extended_master_secret=False), "localhost")
    Pair(client, server).run().check_connected()
    [answer] = [message for message in server.flow.sent if isinstance(message, ServerHello)]
    assert answer.extended_master_secret is True


# -- The version ------------------------------------------------------------------------------------------------------

BOTH: Final = ("1.2", "1.3")
V12: Final = ProtocolVersion.TLS1_2
V13: Final = ProtocolVersion.TLS1_3


@pytest.mark.parametrize(
    ("client", "server", "agreed"),
    [
        (BOTH, BOTH, V13),
        (BOTH, ("1.2",), V12),
        (("1.2",), BOTH, V12),
        (BOTH, ("1.3",), V13),
        (("1.3",), BOTH, V13),
        (("1.2",), ("1.2",), V12),
        (("1.3", "1.2"), ("1.2", "1.3"), V13),
    ],
)
def test_newest_common_version_is_chosen(
    client: tuple[str, ...], server: tuple[str, ...], agreed: ProtocolVersion
) -> None:
    joined = connect(server_config(versions=server), client_config(versions=client)).check_connected()
    assert joined.client.info.version is agreed
    assert joined.server.info.version is agreed


@pytest.mark.parametrize(("client", "server"), [("1.2", "1.3"), ("1.3", "1.2")])
def test_no_common_version_is_refused(client: str, server: str) -> None:
    joined = pair(server_config(versions=[server]), client_config(versions=[client])).run()
    check_refused(joined, "server", PeerIncompatible, Incompatibility.NO_COMMON_VERSION)


def hello_of(joined: Pair) -> ClientHello:
    """The ClientHello that waits at the client."""
    data = joined.client.data_to_send()
    [record] = records(data)
    return ClientHello.parse(record.raw[9:])


def test_hello_of_a_tls12_client_has_nothing_of_tls13() -> None:
    hello = hello_of(pair(client=client12()))
    assert hello.supported_versions is None
    assert hello.key_share is None
    assert hello.psk_key_exchange_modes is None
    assert hello.session_id == b""
    assert hello.extended_master_secret is True
    assert hello.renegotiation_info == b""
    assert hello.ec_point_formats == (ECPointFormat.UNCOMPRESSED,)
    assert all("ECDHE" in suite.name for suite in hello.cipher_suites)
    assert NamedGroup.X25519MLKEM768 not in (hello.supported_groups or ()), "a hybrid has no place in TLS 1.2"


def test_hello_of_a_tls13_client_has_nothing_of_tls12() -> None:
    hello = hello_of(pair(client=client_config(versions=["1.3"])))
    assert hello.extended_master_secret is None
    assert hello.renegotiation_info is None
    assert hello.ec_point_formats is None
    assert hello.session_ticket is None
    assert not [suite for suite in hello.cipher_suites if "ECDHE" in suite.name]


@pytest.mark.parametrize("versions", [BOTH, ("1.2",)])
def test_server_says_in_its_random_that_it_could_do_better(versions: tuple[str, ...]) -> None:
    server = ScriptedServer(server_config(versions=versions))
    Pair(ClientConnection(client12(), "localhost"), server).run().check_connected()
    [answer] = [message for message in server.flow.sent if isinstance(message, ServerHello)]
    assert (answer.random[-8:] == DOWNGRADE_TO_TLS12) == ("1.3" in versions)


def rewritten(change: Callable[[ClientHello], ClientHello]) -> Change:
    """What a man in the middle makes of the first flight."""

    def rewrite(data: bytes) -> bytes:
        first, *rest = record_by_record(data)
        if first[0] != ContentType.HANDSHAKE or first[5] != 1:
            return data
        hello = change(ClientHello.parse(first[9:]))
        body = hello.encode()
        message = b"\1" + len(body).to_bytes(3, "big") + body
        return first[:3] + len(message).to_bytes(2, "big") + message + b"".join(rest)

    return rewrite


@pytest.mark.parametrize(
    "stripped",
    [
        {"supported_versions": None},
        {"supported_versions": (ProtocolVersion.TLS1_2,)},
        {"supported_versions": None, "key_share": None, "psk_key_exchange_modes": None},
    ],
    ids=["the extension", "the version", "all of TLS 1.3"],
)
def test_man_in_the_middle_who_strips_tls13_is_caught_by_the_sentinel(stripped: dict[str, Any]) -> None:
    joined = pair(server_config(), client_config())
    joined.to_server = rewritten(lambda hello: replace(hello, **stripped))
    joined.run()
    check_refused(joined, "client", PeerMisbehaved, Misbehaviour.DOWNGRADE_DETECTED)


def test_man_in_the_middle_who_strips_tls13_before_an_older_server_is_caught_by_the_finished() -> None:
    """A server of TLS 1.2 alone gives no sentinel, and nothing is lost; but the transcripts differ all the same."""
    joined = pair(server12(), client_config())
    joined.to_server = rewritten(lambda hello: replace(hello, supported_versions=None))
    joined.run()
    assert not joined.connected
    assert isinstance(joined.server.failure, PeerMisbehaved), "the server sees that something was changed"
    assert joined.server.failure.reason is Misbehaviour.BAD_RECORD_MAC
    assert isinstance(joined.client.failure, AlertReceived)


@pytest.mark.parametrize("sentinel", [DOWNGRADE_TO_TLS12, DOWNGRADE_TO_TLS11])
@pytest.mark.parametrize(
    ("versions", "caught"), [(BOTH, True), (("1.2",), False)], ids=["client of both", "client of TLS 1.2 alone"]
)
def test_sentinel_means_something_to_those_who_speak_tls13(
    versions: tuple[str, ...], caught: bool, sentinel: bytes
) -> None:
    edit: Edit = on(ServerHello, lambda hello: (hello,))
    server = ScriptedServer(server12(), edit)
    old = server_random_ending_in(server, sentinel)
    joined = Pair(ClientConnection(client_config(versions=versions), "localhost"), old).run()
    if caught:
        check_refused(joined, "client", PeerMisbehaved, Misbehaviour.DOWNGRADE_DETECTED)
    else:
        joined.check_connected()


def server_random_ending_in(server: ScriptedServer, sentinel: bytes) -> ScriptedServer:
    """A server whose random is its own, but for the end: in its keys too, so that all else is right."""
    provider = server_config().parameters.provider
    ending = replace(provider, random=lambda count: provider.random(count - 8) + sentinel)
    return ScriptedServer(server12(provider=ending), server.flow._edit)


# -- Fallback, compression --------------------------------------------------------------------------------------------


def with_suite(suite: CipherSuite) -> Edit:
    return on(ClientHello, lambda hello: (replace(hello, cipher_suites=(*hello.cipher_suites, suite)),))


@pytest.mark.parametrize("server", [BOTH, ("1.2",)])
def test_fallback_scsv_is_heeded_by_a_server_that_could_do_better(server: tuple[str, ...]) -> None:
    fallen_back = ScriptedClient(client12(), with_suite(CipherSuite.TLS_FALLBACK_SCSV))
    joined = Pair(fallen_back, ServerConnection(server_config(versions=server))).run()
    if "1.3" in server:
        check_refused(joined, "server", PeerIncompatible, Incompatibility.INAPPROPRIATE_FALLBACK)
    else:
        joined.check_connected()


@pytest.mark.parametrize("server", [BOTH, ("1.2",)], ids=" and ".join)
@pytest.mark.parametrize("version", [ProtocolVersion.TLS1_1, ProtocolVersion.TLS1_0], ids=str)
def test_fallback_to_a_version_that_the_server_does_not_speak_is_told_as_that(
    version: ProtocolVersion, server: tuple[str, ...]
) -> None:
    """RFC 7507 3: inappropriate_fallback goes before protocol_version, or the client would fall back further."""
    for suites, reason in (
        ((CipherSuite.TLS_FALLBACK_SCSV,), Incompatibility.INAPPROPRIATE_FALLBACK),
        ((), Incompatibility.NO_COMMON_VERSION),
    ):
        edit = older(version, suites)
        joined = Pair(ScriptedClient(client12(), edit), ServerConnection(server_config(versions=server))).run()
        check_refused(joined, "server", PeerIncompatible, reason)


def older(version: ProtocolVersion, suites: tuple[CipherSuite, ...]) -> Edit:
    """A client of this version at the most, with these suites besides."""
    return on(
        ClientHello,
        lambda hello: (replace(hello, legacy_version=version, cipher_suites=(*hello.cipher_suites, *suites)),),
    )


def test_fallback_scsv_of_a_client_that_offers_the_best_of_the_server_means_nothing() -> None:
    client = ScriptedClient(client_config(), with_suite(CipherSuite.TLS_FALLBACK_SCSV))
    Pair(client, ServerConnection(server_config(versions=BOTH))).run().check_connected()


def test_renegotiation_scsv_is_answered_like_the_extension() -> None:
    """RFC 5746 3.6: the suite stands for an empty renegotiation_info."""
    hello = ClientHello(
        random=b"r" * 32,
        cipher_suites=(
            CipherSuite.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
            CipherSuite.TLS_EMPTY_RENEGOTIATION_INFO_SCSV,
        ),
        supported_groups=(NamedGroup.X25519, NamedGroup.SECP256R1),
        signature_algorithms=(SignatureScheme.ECDSA_SECP256R1_SHA256,),
        extended_master_secret=True,
    )
    for suites, answered in ((hello.cipher_suites, b""), (hello.cipher_suites[:1], None)):
        server = ScriptedServer(server12())
        body = replace(hello, cipher_suites=suites).encode()
        message = b"\1" + len(body).to_bytes(3, "big") + body
        server.receive(b"\x16\3\3" + len(message).to_bytes(2, "big") + message)
        answer = server.flow.sent[0]
        assert isinstance(answer, ServerHello)
        assert answer.renegotiation_info == answered
        assert isinstance(server.flow.sent[1], CertificateMessage12)


@pytest.mark.parametrize(
    ("methods", "accepted"), [(b"\0", True), (b"\1\0", True), (b"\0\1", True), (b"\1", False), (b"\1\x40", False)]
)
def test_null_compression_must_be_among_the_methods(methods: bytes, accepted: bool) -> None:
    """RFC 5246 7.4.1.2: in TLS 1.2 others may stand beside it; they are never chosen."""
    client = ScriptedClient(client12(), on(ClientHello, lambda hello: (replace(hello, compression_methods=methods),)))
    joined = Pair(client, ServerConnection(server12())).run()
    if accepted:
        joined.check_connected()
    else:
        check_refused(joined, "server", PeerMisbehaved, Misbehaviour.BAD_COMPRESSION)


def test_client_authentication_is_asked_for_after_the_key_exchange() -> None:
    server = ScriptedServer(server12(client_auth=required()))
    client = ClientConnection(client12(credentials=[client_credential()]), "localhost")
    Pair(client, server).run().check_connected()
    names = [type(message).__name__ for message in server.flow.sent]
    assert names[:5] == [
        *("ServerHello", "CertificateMessage12", "ServerKeyExchange", "CertificateRequest12", "ServerHelloDone")
    ]
    assert isinstance(server.flow.sent[3], CertificateRequest12)
