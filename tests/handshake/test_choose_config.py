"""A server's configuration, chosen for each client from its whole ClientHello: by name, or by a function."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from typing import Any, Final

import pytest

from tests.session.resuming import POLICIES, VERSIONS, Clock, OneSession, check_full, check_resumed, settled
from tests.support.identities import (
    client_config,
    client_credential,
    client_roots,
    optional,
    required,
    server_config,
    server_credential,
    store,
    strange_credential,
    strange_root,
)
from tests.support.ids import stable
from tests.support.memory import Pair, check_refused, connect, feed, overhead, pair, records
from tests.support.scripted import ScriptedClient, ScriptedServer, on
from trustls.config import ServerConfig, ServerNames
from trustls.connection import ClientConnection, ServerConnection
from trustls.errors import (
    AlertDescription,
    CertificateProblem,
    CertificateRejected,
    ConfigError,
    Incompatibility,
    InternalError,
    Misbehaviour,
    PeerIncompatible,
    PeerMisbehaved,
)
from trustls.handshake.client_hello_info import ClientHelloInfo
from trustls.handshake.retry_cookie import RetryCookies
from trustls.session.psk import ExternalPsk
from trustls.session.tickets import StoredSessions
from trustls.trust.client_auth import ClientAuth
from trustls.wire.enums import CipherSuite, NamedGroup, ProtocolVersion, SignatureScheme
from trustls.wire.messages import ClientHello, HelloRetryRequest

NAMES: Final = ("a.example", "b.example", "public.example", "x.wild.example", "localhost")


def named(*names: str, **changes: Any) -> ServerConfig:
    """A server with a certificate for these names."""
    return server_config(**{"credentials": [server_credential("ec-p256", *names)], **changes})


def site(
    configs: dict[str, ServerConfig] | None = None, *, refuse_others: bool = False, **changes: Any
) -> ServerConfig:
    """A server for localhost, and for others by name."""
    if configs is None:
        configs = {name: named(name) for name in ("a.example", "b.example")}
    return server_config(**{"choose_config": ServerNames(configs, refuse_others=refuse_others), **changes})


def served(joined: Pair) -> tuple[str, ...]:
    """The names in the certificate that the client was shown."""
    assert joined.client.peer is not None
    return joined.client.peer.names.dns


def chosen_by(choose: Callable[[ClientHelloInfo], Any], **changes: Any) -> ServerConfig:
    return server_config(**{"choose_config": choose, **changes})


def refused_here(info: ClientHelloInfo) -> ServerConfig:
    raise AssertionError("the chosen configuration's own `choose_config` was asked")


every_version = pytest.mark.parametrize("version", VERSIONS)
every_policy = pytest.mark.parametrize("policy", POLICIES)


# -- By name ----------------------------------------------------------------------------------------------------------


@every_version
@pytest.mark.parametrize("name", ["a.example", "b.example", "A.Example", "a.example."])
def test_each_name_has_its_own_certificate(name: str, version: str) -> None:
    joined = connect(site(), client_config(versions=[version]), name).check_connected()
    assert served(joined) == (name.lower().removesuffix("."),)


@every_version
def test_another_name_and_none_get_the_configuration_that_it_belongs_to(version: str) -> None:
    assert served(connect(site(), client_config(versions=[version])).check_connected()) == ("localhost",)
    nameless = client_config(versions=[version], send_server_name=False)
    assert served(connect(site(), nameless).check_connected()) == ("localhost",)


@every_version
@pytest.mark.parametrize("send", [True, False], ids=["another name", "no name"])
def test_another_name_and_none_can_be_refused(version: str, *, send: bool) -> None:
    joined = pair(site(refuse_others=True), client_config(versions=[version], send_server_name=send)).run()
    failure = check_refused(joined, "server", PeerIncompatible, Incompatibility.UNKNOWN_SERVER_NAME)
    assert failure.alert is AlertDescription.UNRECOGNIZED_NAME
    assert ("localhost" if send else "no name") in str(failure)
    assert "it knows no server of the name asked for" in str(joined.client.failure)


def test_names_that_are_known_are_served_where_others_are_refused() -> None:
    assert served(connect(site(refuse_others=True), name="a.example")) == ("a.example",)


WILD: Final = {
    "*.wild.example": named("*.wild.example", "wild.example", "x.y.wild.example"),
    "own.wild.example": named("own.wild.example"),
}


def test_wildcard_stands_for_one_label() -> None:
    assert served(connect(site(WILD), name="x.wild.example"))[0] == "*.wild.example"
    assert served(connect(site(WILD), name="X.WILD.example"))[0] == "*.wild.example"


def test_name_of_its_own_goes_before_a_wildcard() -> None:
    assert served(connect(site(WILD), name="own.wild.example")) == ("own.wild.example",)
    first = dict(reversed(WILD.items()))
    assert served(connect(site(first), name="own.wild.example")) == ("own.wild.example",), "whatever the order"


@pytest.mark.parametrize("name", ["wild.example", "x.y.wild.example", "xwild.example"])
def test_wildcard_stands_for_nothing_else(name: str) -> None:
    joined = pair(site(WILD, refuse_others=True), name=name).run()
    check_refused(joined, "server", PeerIncompatible, Incompatibility.UNKNOWN_SERVER_NAME)


@pytest.mark.parametrize("name", [".wild.example", "*.wild.example", "*", ".", "wild.example.."])
def test_wildcard_stands_for_no_name_that_is_none(name: str) -> None:
    edit = on(ClientHello, lambda hello: (replace(hello, server_name=name),))
    client = ScriptedClient(client_config(), edit, "x.wild.example")
    joined = Pair(client, ServerConnection(site(WILD, refuse_others=True))).run()
    check_refused(joined, "server", PeerIncompatible, Incompatibility.UNKNOWN_SERVER_NAME)


@pytest.mark.parametrize("name", ["127.0.0.1", "::1", "", "*", "*.", "a..example", "-a.example", "a b", "*.*.example"])
def test_server_names_takes_host_names_only(name: str) -> None:
    with pytest.raises(ConfigError):
        ServerNames({name: named("a.example")})


def test_server_names_takes_each_name_once() -> None:
    """However it is spelled: else the order decides whether a certificate is required."""
    for one, other in (("a.example", "A.Example"), ("a.example", "a.example."), ("*.example", "*.EXAMPLE")):
        with pytest.raises(ConfigError, match="twice"):
            ServerNames({one: named("a.example", client_auth=required()), other: named("a.example")})


@pytest.mark.parametrize("config", [None, 7, "config", client_config(), named("a.example").parameters], ids=type)
def test_server_names_takes_server_configs_only(config: Any) -> None:
    with pytest.raises(ConfigError, match="takes a ServerConfig for each name"):
        ServerNames({"a.example": config})


@pytest.mark.parametrize("wrong", [7, "a.example", {"a.example": named("a.example")}], ids=type)
def test_choose_config_takes_what_can_be_called(wrong: Any) -> None:
    with pytest.raises(ConfigError, match="choose_config"):
        server_config(choose_config=wrong)


# -- Client certificates, by name -------------------------------------------------------------------------------------


def mixed(**shared: Any) -> ServerConfig:
    """Three names of one certificate: two require client certificates, each of other roots; one asks for none.

    Localhost, that is whoever asks for another name, is let in without.
    """
    credentials = [server_credential("ec-p256", *NAMES)]
    return site(
        {
            "a.example": server_config(credentials=credentials, client_auth=required(), **shared),
            "b.example": server_config(
                credentials=credentials, client_auth=ClientAuth.required(store(strange_root())), **shared
            ),
            "public.example": server_config(credentials=credentials, **shared),
        },
        credentials=credentials,
        **shared,
    )


@every_version
def test_each_name_asks_for_client_certificates_in_its_own_way(version: str) -> None:
    mine = [client_credential(), strange_credential()]
    for name, expected in (
        ("a.example", client_credential()),
        ("b.example", strange_credential()),
        ("public.example", None),
        ("localhost", None),
    ):
        joined = connect(mixed(), client_config(credentials=mine, versions=[version]), name).check_connected()
        known = None if joined.server.peer is None else joined.server.peer.certificate
        assert known == (None if expected is None else expected.certificate), f"{name} knows {known}"
        requested = joined.client.requested
        assert (requested is None) == (expected is None), f"{name} asks for {requested}"
        if requested is not None:
            assert (
                requested.authorities == (client_roots() if name == "a.example" else store(strange_root())).subjects()
            )


@every_version
@pytest.mark.parametrize("name", ["a.example", "b.example"])
def test_client_without_the_certificate_of_the_name_is_refused(name: str, version: str) -> None:
    wrong = strange_credential() if name == "a.example" else client_credential()
    for mine in ([], [wrong]):
        joined = pair(mixed(), client_config(credentials=mine, versions=[version]), name).run()
        failure = joined.server.failure
        assert isinstance(failure, CertificateRejected)
        assert failure.reason is CertificateProblem.NONE_PRESENTED


@pytest.mark.parametrize("spelled", ["A.EXAMPLE", "a.Example", "a.example."])
def test_no_spelling_of_a_name_gets_around_its_certificate(spelled: str) -> None:
    """Not even one that a client of ours would not send: what is `a.example` to anybody is that here."""
    edit = on(ClientHello, lambda hello: (replace(hello, server_name=spelled),))
    client = ScriptedClient(client_config(), edit, "a.example")
    joined = Pair(client, ServerConnection(mixed())).run()
    check_refused(joined, "server", CertificateRejected, CertificateProblem.NONE_PRESENTED)


def offered(server: ServerConfig, made_at: str, offered_at: str, version: str, **changes: Any) -> tuple[Pair, Pair]:
    """A client that has a session of one name, and offers it under another; its certificate serves wherever asked."""
    kept = OneSession()
    mine = {"credentials": [client_credential(), strange_credential()], "versions": [version], **changes}
    first = connect(server, client_config(sessions=kept, **mine), made_at)
    assert kept.kept, "the server gave no session"
    kept.offer()
    return first, pair(server, client_config(sessions=kept, **mine), offered_at).run()


CROSSINGS: Final = [
    (made, used)
    for made in ("a.example", "b.example", "public.example", "localhost")
    for used in ("a.example", "b.example", "public.example", "localhost")
    if made != used
]


@every_policy
@every_version
@pytest.mark.parametrize("name", ["a.example", "b.example", "public.example", "localhost"])
def test_session_is_resumed_under_its_own_name(name: str, version: str, policy: str) -> None:
    """The next tests show something only because this one does not fail."""
    first, second = offered(mixed(resumption=POLICIES[policy]()), name, name, version)
    check_resumed(second)
    assert second.server.peer == first.server.peer


@every_policy
@every_version
@pytest.mark.parametrize(("made", "used"), CROSSINGS)
def test_session_of_one_name_is_not_resumed_under_another(made: str, used: str, version: str, policy: str) -> None:
    """Though all share their tickets or their store, and one certificate."""
    _, second = offered(mixed(resumption=POLICIES[policy]()), made, used, version)
    check_full(second)
    known = {"a.example": client_credential().certificate, "b.example": strange_credential().certificate}.get(used)
    assert (None if second.server.peer is None else second.server.peer.certificate) == known


@every_policy
@every_version
@pytest.mark.parametrize("made", ["public.example", "localhost"])
def test_required_certificate_is_not_got_around_by_a_session_of_another_name(
    made: str, version: str, policy: str
) -> None:
    _, second = offered(mixed(resumption=POLICIES[policy]()), made, "a.example", version, credentials=[])
    failure = second.server.failure
    assert isinstance(failure, CertificateRejected), f"let in as {second.server.peer}"
    assert failure.reason is CertificateProblem.NONE_PRESENTED
    assert second.server.peer is None


def by_protocol(**shared: Any) -> ServerConfig:
    """One name; whoever offers "admin" must present a certificate, others need not."""
    admin = server_config(client_auth=required(), alpn=["admin", "web"], **shared)
    return chosen_by(lambda hello: admin if "admin" in hello.alpn else None, alpn=["web"], **shared)


@every_policy
@every_version
@pytest.mark.parametrize(("made", "used"), [("web", "admin"), ("admin", "web")])
def test_session_does_not_cross_configurations_of_one_name(made: str, used: str, version: str, policy: str) -> None:
    server = by_protocol(resumption=POLICIES[policy]())
    kept = OneSession()
    mine: dict[str, Any] = {"sessions": kept, "versions": [version]}
    connect(server, client_config(alpn=[made], credentials=[client_credential()], **mine))
    kept.offer()
    check_full(connect(server, client_config(alpn=[used], credentials=[client_credential()], **mine)))
    if used == "admin":
        joined = pair(server, client_config(alpn=[used], **mine)).run()
        failure = joined.server.failure
        assert isinstance(failure, CertificateRejected), f"let in as {joined.server.peer}"


# -- By a function ----------------------------------------------------------------------------------------------------


def test_function_sees_the_whole_offer() -> None:
    seen: list[ClientHelloInfo] = []
    server = chosen_by(seen.append, alpn=["h2"])
    client = client_config(
        alpn=["h3", "h2"],
        groups=["x25519", "secp256r1"],
        signature_schemes=["ed25519", "ecdsa_secp256r1_sha256"],
        certificate_authorities=client_roots().subjects(),
    )
    raws: list[bytes] = []
    joined = pair(server, client)

    def note(data: bytes) -> bytes:
        raws.append(data)
        return data

    joined.to_server = note
    joined.run().check_connected()
    [info] = seen
    assert info.server_name == "localhost"
    assert info.versions == (ProtocolVersion.TLS1_3, ProtocolVersion.TLS1_2)
    assert info.alpn == ("h3", "h2")
    assert info.cipher_suites == client.parameters.cipher_suites
    assert info.groups == (NamedGroup.X25519, NamedGroup.SECP256R1)
    assert info.signature_schemes == (SignatureScheme.ED25519, SignatureScheme.ECDSA_SECP256R1_SHA256)
    assert SignatureScheme.RSA_PKCS1_SHA256 in info.signature_schemes_cert, "certificates are not restricted"
    assert info.certificate_authorities == client_roots().subjects()
    assert raws[0].endswith(info.raw), "the message as it came"
    assert info.message.key_share is not None
    assert [entry.group for entry in info.message.key_share] == [NamedGroup.X25519]


def test_function_sees_what_a_client_of_tls12_does_not_say() -> None:
    seen: list[ClientHelloInfo] = []
    connect(chosen_by(seen.append), client_config(versions=["1.2"], send_server_name=False))
    [info] = seen
    assert info.server_name is None
    assert info.versions == (ProtocolVersion.TLS1_2,)
    assert info.alpn == ()
    assert info.certificate_authorities == ()


def test_what_the_function_does_to_the_message_changes_nothing() -> None:
    def spoil(info: ClientHelloInfo) -> None:
        info.message.cipher_suites = ()
        info.message.server_name = "b.example"

    joined = connect(chosen_by(spoil)).check_connected()
    assert joined.server.info.server_name == "localhost"


@every_version
def test_choice_by_version(version: str) -> None:
    """Old clients get the certificate that they can read."""
    old = server_config(credentials=[server_credential("rsa-2048")])
    server = chosen_by(lambda hello: None if ProtocolVersion.TLS1_3 in hello.versions else old)
    joined = connect(server, client_config(versions=[version])).check_connected()
    assert joined.client.peer is not None
    key = "ec-p256" if version == "1.3" else "rsa-2048"
    assert joined.client.peer.certificate == server_credential(key).certificate


@every_version
def test_choice_by_application_protocol(version: str) -> None:
    for protocol in ("admin", "web"):
        client = client_config(alpn=[protocol], versions=[version], credentials=[client_credential()])
        joined = connect(by_protocol(), client).check_connected()
        assert joined.client.info.alpn == protocol
        assert (joined.server.peer is not None) == (protocol == "admin")


@every_version
def test_function_may_take_its_time(version: str) -> None:
    async def choose(hello: ClientHelloInfo) -> ServerConfig | None:
        await asyncio.sleep(0)
        return named("a.example") if hello.server_name == "a.example" else None

    server = chosen_by(choose)
    for name in ("a.example", "localhost"):
        joined = pair(server, client_config(versions=[version]), name)
        feed(joined.server, [joined.client.data_to_send()])
        assert joined.server.pending_work == "choose a configuration"
        assert joined.server.data_to_send() == b"", "nothing is answered before it is known by what"
        assert served(settled(joined).check_connected()) == (name,)


def test_early_data_waits_for_a_function_that_takes_its_time() -> None:
    chosen = server_config(resumption=StoredSessions(max_early_data=100))

    async def choose(hello: ClientHelloInfo) -> ServerConfig | None:
        await asyncio.sleep(0)
        return chosen

    client = client_config(early_data=True)
    settled(pair(chosen_by(choose), client)).check_connected()
    joined = pair(chosen_by(choose), client)
    joined.client.write_early(b"early")
    settled(joined).check_connected()
    assert joined.server.early_data_accepted
    assert joined.server.read_early() == b"early"


def raising(error: Exception) -> Callable[[ClientHelloInfo], Any]:
    def choose(hello: ClientHelloInfo) -> Any:
        raise error

    return choose


def later(answer: Any) -> Callable[[ClientHelloInfo], Awaitable[Any]]:
    """Answers when the event loop has turned; an exception is raised then."""

    async def choose(hello: ClientHelloInfo) -> Any:
        await asyncio.sleep(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return choose


@pytest.mark.parametrize("late", [False, True], ids=["at once", "later"])
@every_version
def test_function_that_breaks_ends_the_connection_and_serves_nothing(version: str, *, late: bool) -> None:
    """Not the configuration that it belongs to, which may ask for less."""
    error = RuntimeError("the database is down")
    server = chosen_by(later(error) if late else raising(error))
    joined = settled(pair(server, client_config(versions=[version])))
    failure = check_refused(joined, "server", InternalError)
    assert failure.alert is AlertDescription.INTERNAL_ERROR
    assert "could not choose a configuration: RuntimeError: the database is down" in str(failure)
    assert joined.client.peer is None


@pytest.mark.parametrize("late", [False, True], ids=["at once", "later"])
@pytest.mark.parametrize(
    "answer", [False, 0, "", True, "a.example", object, client_config(), ServerConfig, [server_config()]], ids=stable
)
def test_function_that_gives_no_configuration_ends_the_connection(answer: Any, *, late: bool) -> None:
    """A function that forgets what it was to give has not said "the usual one"."""
    server = chosen_by(later(answer) if late else lambda hello: answer)
    joined = settled(pair(server))
    failure = check_refused(joined, "server", InternalError)
    assert failure.alert is AlertDescription.INTERNAL_ERROR
    assert "neither a ServerConfig nor None" in str(failure)


@pytest.mark.parametrize("late", [False, True], ids=["at once", "later"])
def test_function_may_refuse_with_the_alert_of_its_error(*, late: bool) -> None:
    error = PeerIncompatible(Incompatibility.UNKNOWN_SERVER_NAME, "closed on Sundays")
    joined = settled(pair(chosen_by(later(error) if late else raising(error))))
    assert check_refused(joined, "server", PeerIncompatible, Incompatibility.UNKNOWN_SERVER_NAME) is error


def test_function_is_not_asked_about_what_is_no_hello() -> None:
    server = ServerConnection(chosen_by(refused_here))
    feed(server, [b"\x16\3\1\0\5\1\0\0\1\0"])
    assert isinstance(server.failure, PeerMisbehaved)


# -- All that follows is decided by the chosen one --------------------------------------------------------------------


@every_version
def test_chosen_configuration_is_not_asked_to_choose_again(version: str) -> None:
    chosen = named("a.example", choose_config=refused_here)
    joined = connect(site({"a.example": chosen}), client_config(versions=[version]), "a.example")
    assert served(joined.check_connected()) == ("a.example",)


@pytest.mark.parametrize(("here", "there"), [("1.3", "1.2"), ("1.2", "1.3")])
def test_versions_are_those_of_the_chosen_configuration(here: str, there: str) -> None:
    server = site({"a.example": named("a.example", versions=[there])}, versions=[here])
    assert str(connect(server, name="a.example").check_connected().client.info.version) == f"TLSv{there}"
    joined = pair(server, client_config(versions=[here]), "a.example").run()
    check_refused(joined, "server", PeerIncompatible, Incompatibility.NO_COMMON_VERSION)


def test_downgrade_is_noticed_by_the_versions_of_the_chosen_configuration() -> None:
    """RFC 9846 4.2.3: the random of a server that could do better says so."""
    server = site({"a.example": named("a.example")}, versions=["1.2"])

    def old(hello: ClientHello) -> Iterable[ClientHello]:
        return (replace(hello, supported_versions=(ProtocolVersion.TLS1_2,)),)

    joined = Pair(ScriptedClient(client_config(), on(ClientHello, old), "a.example"), ServerConnection(server)).run()
    check_refused(joined, "client", PeerMisbehaved, Misbehaviour.DOWNGRADE_DETECTED)


class Log:
    def __init__(self) -> None:
        self.labels: list[str] = []

    def log(self, label: str, client_random: bytes, secret: bytes) -> None:
        self.labels.append(label)


@every_version
def test_key_log_is_that_of_the_chosen_configuration(version: str) -> None:
    here, there = Log(), Log()
    server = site({"a.example": named("a.example", key_log=there)}, key_log=here)
    connect(server, client_config(versions=[version]), "a.example")
    assert there.labels, "the chosen one logs"
    assert here.labels == [], "the other does not: nobody asked for that"


@pytest.mark.parametrize(("here", "there"), [(0, 512), (512, 0), (512, 256)])
def test_padding_is_that_of_the_chosen_configuration(here: int, there: int) -> None:
    server = site({"a.example": named("a.example", pad_records_to=there)}, pad_records_to=here)
    for name, multiple in (("a.example", there), ("localhost", here)):
        joined = connect(server, name=name)
        joined.server.data_to_send()
        joined.server.send(b"x")
        [record] = records(joined.server.data_to_send())
        assert len(record.raw) == overhead() + (multiple or 1), f"{name} pads to {multiple}"


@every_version
def test_suites_groups_and_protocols_are_those_of_the_chosen_configuration(version: str) -> None:
    suite = {"1.2": "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", "1.3": "TLS_CHACHA20_POLY1305_SHA256"}[version]
    chosen = named("a.example", suites=[suite], groups=["secp384r1"], alpn=["there"], versions=[version])
    server = site({"a.example": chosen}, suites=["TLS_AES_128_GCM_SHA256"], groups=["x25519"], alpn=["here"])
    client = client_config(groups=["x25519", "secp384r1", "secp256r1"], alpn=["here", "there"])
    info = connect(server, client, "a.example").check_connected().server.info
    assert info.suite is CipherSuite.from_iana(suite)
    assert info.group is NamedGroup.SECP384R1
    assert info.alpn == "there"


@every_version
def test_resumption_is_that_of_the_chosen_configuration(version: str) -> None:
    server = site({"a.example": named("a.example", resumption=None)})
    kept = OneSession()
    connect(server, client_config(sessions=kept, versions=[version]), "a.example")
    assert kept.kept == []
    connect(server, client_config(sessions=kept, versions=[version]))
    assert kept.kept != []


def test_clock_is_that_of_the_chosen_configuration() -> None:
    """By which client certificates are expired, among other things."""
    late = Clock()
    late.forward(10 * 365 * 24 * 3600)
    server = site({"a.example": named("a.example", client_auth=required(), now=late)}, client_auth=required())
    client = client_config(credentials=[client_credential()])
    connect(server, client)
    joined = pair(server, client, "a.example").run()
    check_refused(joined, "server", CertificateRejected, CertificateProblem.EXPIRED)


def test_external_keys_are_those_of_the_chosen_configuration() -> None:
    psk = ExternalPsk(b"device 7", bytes(32), "sha256")
    server = site({"a.example": named("a.example", external_psks=[psk])})
    assert connect(server, client_config(external_psks=[psk]), "a.example").server.info.psk_identity == b"device 7"
    assert connect(server, client_config(external_psks=[psk])).server.info.psk_identity is None


def test_external_key_of_one_name_does_not_open_another() -> None:
    psk = ExternalPsk(b"device 7", bytes(32), "sha256")
    server = site({"a.example": named("a.example", client_auth=required())}, external_psks=[psk])
    joined = pair(server, client_config(external_psks=[psk]), "a.example").run()
    check_refused(joined, "server", CertificateRejected, CertificateProblem.NONE_PRESENTED)


def test_post_handshake_auth_is_that_of_the_chosen_configuration() -> None:
    server = site({"a.example": named("a.example", post_handshake_auth=required())}, post_handshake_auth=optional())
    client = client_config(credentials=[], post_handshake_auth=True)
    joined = connect(server, client, "a.example")
    joined.server.request_client_certificate()
    joined.run()
    check_refused(joined, "server", CertificateRejected, CertificateProblem.NONE_PRESENTED)

    bare = site({"a.example": named("a.example")}, post_handshake_auth=required())
    assert not connect(bare, client, "a.example").server.can_request_client_certificate


# -- With a HelloRetryRequest -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("cookies", [None, RetryCookies()], ids=["", "cookie"])
def test_function_is_asked_once_though_the_client_says_hello_twice(cookies: RetryCookies | None) -> None:
    asked: list[ClientHelloInfo] = []
    chosen = named("a.example", groups=["secp256r1"], retry_cookies=cookies, client_auth=required())

    def choose(hello: ClientHelloInfo) -> ServerConfig:
        asked.append(hello)
        return chosen

    client = client_config(groups=["x25519", "secp256r1"], credentials=[client_credential()])
    server = ScriptedServer(chosen_by(choose, groups=["x25519"]))
    joined = Pair(ClientConnection(client, "a.example"), server).run().check_connected()
    assert joined.client.info.retried
    assert len(asked) == 1
    assert joined.server.peer is not None
    [retry] = [message for message in server.flow.sent if isinstance(message, HelloRetryRequest)]
    assert (retry.cookie is not None) == (cookies is not None)


@pytest.mark.parametrize(
    "change",
    [{"server_name": "public.example"}, {"server_name": None}, {"alpn": (b"web",)}, {"post_handshake_auth": True}],
    ids=stable,
)
def test_client_that_asks_for_another_after_the_retry_is_refused(change: dict[str, Any]) -> None:
    """Else it would be served by the one and known to the application by the name of the other."""
    server = site(
        {"public.example": named("public.example", groups=["secp256r1"])}, groups=["secp256r1"], client_auth=required()
    )
    edit = on(ClientHello, lambda hello: (replace(hello, **change),), nth=1)
    client = client_config(groups=["x25519", "secp256r1"], alpn=["admin"])
    joined = Pair(ScriptedClient(client, edit), ServerConnection(server)).run()
    check_refused(joined, "server", PeerMisbehaved, Misbehaviour.CLIENT_HELLO_CHANGED)
