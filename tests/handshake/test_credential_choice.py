"""Which certificate each side presents, seen from the other: by what the messages of the handshake say.

The rules themselves are in tests/identity/test_selection.py; here it is whether both versions keep to them.
"""

from __future__ import annotations

import asyncio
import datetime
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

import pytest

from tests.session.resuming import VERSIONS, check_full, check_resumed, settled
from tests.support.identities import (
    client_config,
    client_credential,
    client_identity,
    client_intermediate,
    client_root,
    client_roots,
    credential,
    required,
    server_config,
    server_credential,
    server_root,
    server_roots,
    store,
    strange_credential,
    strange_root,
)
from tests.support.memory import Pair, check_refused, connect, feed, pair
from tests.support.scripted import Edit, ScriptedClient, ScriptedServer, on
from trustls.cli.pki import Authority, Validity
from trustls.config import ClientConfig, ServerConfig
from trustls.connection import ClientConnection, ServerConnection
from trustls.errors import (
    AlertDescription,
    AlertReceived,
    CertificateProblem,
    CertificateRejected,
    ConfigError,
    Incompatibility,
    InternalError,
    PeerIncompatible,
)
from trustls.identity.credential import Credential
from trustls.identity.request import CredentialRequest
from trustls.identity.selection import OfferedHello
from trustls.identity.signer import KeySigner
from trustls.trust.client_auth import ClientAuth
from trustls.trust.roots import RootCertStore
from trustls.wire.enums import ClientCertificateType, NamedGroup, ProtocolVersion, SignatureScheme
from trustls.wire.messages import CertificateRequest, ClientHello
from trustls.wire.messages12 import CertificateRequest12

S = SignatureScheme
every_version = pytest.mark.parametrize("version", VERSIONS)


def of_server(joined: Pair) -> Credential:
    """What the server presents; the client sees the same."""
    joined.check_connected()
    presented = joined.server.info.credential
    assert presented is not None
    assert joined.client.peer is not None
    assert joined.client.peer.certificate == presented.certificate
    return presented


def of_client(joined: Pair) -> Credential | None:
    """What the client presents; the server sees the same."""
    joined.check_connected()
    presented = joined.client.info.credential
    known = None if joined.server.peer is None else joined.server.peer.certificate
    assert known == (None if presented is None else presented.certificate)
    return presented


def expired(authority: Authority, *names: str) -> Credential:
    """Of yesterday; with names for a server, without for a client."""
    now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    day = datetime.timedelta(days=1)
    validity = Validity(not_before=now - 9 * day, not_after=now - day)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if names:
            return credential(authority.issue_server(*names, validity=validity))
        return credential(authority.issue_client("alice", validity=validity))


# -- Servers: by name, key and validity -------------------------------------------------------------------------------

A: Final = server_credential("ec-p256", "a.example")
WILD: Final = server_credential("ec-p256", "*.b.example")
ED: Final = server_credential("ed25519", "a.example")
HERE: Final = server_credential()


@every_version
@pytest.mark.parametrize(
    ("name", "chosen"), [("a.example", A), ("A.EXAMPLE", A), ("x.b.example", WILD), ("localhost", HERE)]
)
def test_server_presents_the_certificate_of_the_name_asked_for(name: str, chosen: Credential, version: str) -> None:
    server = server_config(credentials=[HERE, A, WILD])
    assert of_server(connect(server, client_config(versions=[version]), name)) is chosen


@every_version
def test_server_presents_the_first_to_a_client_that_names_nobody(version: str) -> None:
    nameless = client_config(versions=[version], send_server_name=False)
    assert of_server(connect(server_config(credentials=[HERE, A]), nameless)) is HERE


@every_version
def test_server_presents_the_first_to_a_client_that_asks_for_another(version: str) -> None:
    """Who then says which name does not match: a better message than an alert."""
    joined = pair(server_config(credentials=[A, WILD]), client_config(versions=[version])).run()
    check_refused(joined, "client", CertificateRejected, CertificateProblem.NAME_MISMATCH)
    assert "a.example" in str(joined.client.failure)


@every_version
def test_server_presents_a_certificate_whose_key_the_client_can_verify(version: str) -> None:
    server = server_config(credentials=[HERE, A, ED])
    client = client_config(signature_schemes=["ed25519"], versions=[version])
    assert of_server(connect(server, client, "a.example")) is ED


@every_version
def test_valid_certificate_goes_before_an_expired_one_of_the_same_name(version: str) -> None:
    old = expired(server_root(), "localhost")
    server = server_config(credentials=[old, HERE])
    assert of_server(connect(server, client_config(versions=[version]))) is HERE
    joined = pair(server_config(credentials=[old]), client_config(versions=[version])).run()
    check_refused(joined, "client", CertificateRejected, CertificateProblem.EXPIRED)


# -- Servers: by what the client trusts -------------------------------------------------------------------------------

OTHER_ROOT: Final = Authority.create("Other Servers")
OTHER: Final = credential(OTHER_ROOT.issue_server("localhost"))


def trusting_both(**changes: Any) -> ClientConfig:
    return client_config(**{"roots": store(server_root(), OTHER_ROOT), **changes})


@every_version
def test_server_presents_what_an_authority_of_the_client_issued(version: str) -> None:
    server = server_config(credentials=[HERE, OTHER])
    for roots, chosen in ((server_roots(), HERE), (store(OTHER_ROOT), OTHER)):
        client = client_config(roots=roots, certificate_authorities=roots.subjects(), versions=[version])
        assert of_server(connect(server, client)) is chosen


@every_version
def test_authorities_of_the_client_are_a_wish(version: str) -> None:
    """RFC 9846 4.5.1.2: rather another certificate than none."""
    client = trusting_both(certificate_authorities=client_roots().subjects(), versions=[version])
    assert of_server(connect(server_config(credentials=[HERE, OTHER]), client)) is HERE


@every_version
def test_authorities_are_sent_only_when_they_are_asked_for(version: str) -> None:
    for given, expected in ((None, None), (server_roots().subjects(), server_roots().subjects())):
        client = ScriptedClient(client_config(certificate_authorities=given, versions=[version]))
        Pair(client, ServerConnection(server_config())).run().check_connected()
        [hello] = [message for message in client.flow.sent if isinstance(message, ClientHello)]
        assert hello.certificate_authorities == expected


@every_version
def test_certificate_that_must_match_is_for_clients_that_name_its_issuer(version: str) -> None:
    reserved = Credential(OTHER.chain, OTHER.signer, must_match_issuer=True)
    server = server_config(credentials=[reserved, HERE])
    named = trusting_both(certificate_authorities=store(OTHER_ROOT).subjects(), versions=[version])
    assert of_server(connect(server, named)) is reserved
    assert of_server(connect(server, trusting_both(versions=[version]))) is HERE
    joined = pair(server_config(credentials=[reserved]), trusting_both(versions=[version])).run()
    check_refused(joined, "server", PeerIncompatible, Incompatibility.NO_FITTING_CREDENTIAL)


# -- Servers: by curve, in TLS 1.2 ------------------------------------------------------------------------------------


P384: Final = server_credential("ec-p384")


def test_curve_of_the_certificate_is_one_that_a_client_of_tls12_supports() -> None:
    """RFC 8422 5.1: supported_groups is about certificates too."""
    server = server_config(credentials=[P384, HERE], versions=["1.2"])
    assert of_server(connect(server, client_config())) is P384
    assert of_server(connect(server, client_config(groups=["x25519", "secp256r1"]))) is HERE


def test_curve_of_the_certificate_does_not_matter_in_tls13() -> None:
    """RFC 9846 4.3.7: the groups are about the exchange alone there."""
    server = server_config(credentials=[P384, HERE])
    assert of_server(connect(server, client_config(groups=["x25519"]))) is P384


def test_server_without_a_certificate_on_a_curve_of_the_client_says_so() -> None:
    joined = pair(server_config(credentials=[P384], versions=["1.2"]), client_config(groups=["x25519"])).run()
    check_refused(joined, "server", PeerIncompatible, Incompatibility.NO_FITTING_CREDENTIAL)
    assert "its key is on the curve secp384r1, and the peer supports x25519" in str(joined.server.failure)


@pytest.mark.parametrize("key_type", ["rsa-2048", "ed25519"])
def test_keys_on_no_curve_are_for_every_client(key_type: str) -> None:
    """Ed25519 is not among the groups (RFC 8422 5.1.1)."""
    other = server_credential(key_type)
    server = server_config(credentials=[P384, other], versions=["1.2"])
    assert of_server(connect(server, client_config(groups=["x25519"]))) is other


@pytest.mark.parametrize("key_type", ["ec-p384", "rsa-2048"])
def test_client_of_tls12_that_names_no_groups_lacks_the_exchange_and_no_certificate(key_type: str) -> None:
    """RFC 8422 4 would let the server guess, for certificates as for the exchange. Guessing it does not."""
    edit = on(ClientHello, lambda hello: (replace(hello, supported_groups=None),))
    server = ServerConnection(server_config(credentials=[server_credential(key_type)], versions=["1.2"]))
    joined = Pair(ScriptedClient(client_config(versions=["1.2"]), edit), server).run()
    check_refused(joined, "server", PeerIncompatible, Incompatibility.NO_COMMON_GROUP)


# -- Servers: by what the client accepts in certificates --------------------------------------------------------------


@every_version
def test_server_presents_a_chain_that_is_signed_with_what_the_client_accepts_in_certificates(version: str) -> None:
    signed_by_rsa = Authority.create("RSA Root", key_type="rsa-2048")
    chains = [credential(signed_by_rsa.issue_server("localhost")), HERE]
    client = client_config(roots=store(server_root(), signed_by_rsa), versions=[version])
    for accepted, chosen in (((S.RSA_PKCS1_SHA256,), chains[0]), ((S.ECDSA_SECP256R1_SHA256,), chains[1])):
        edit = accepting(accepted)
        joined = Pair(ScriptedClient(client, edit), ServerConnection(server_config(credentials=chains))).run()
        assert of_server(joined) is chosen
    nothing = Pair(ScriptedClient(client, accepting((S.ED448,))), ServerConnection(server_config(credentials=chains)))
    assert of_server(nothing.run()) is chains[0], "rather one that it may refuse than none"


def accepting(schemes: tuple[SignatureScheme, ...]) -> Edit:
    """A client that accepts these in certificates, whatever it does in handshakes."""
    return on(ClientHello, lambda hello: (replace(hello, signature_algorithms_cert=schemes),))


# -- Servers: by a function -------------------------------------------------------------------------------------------

ServerChoice = Callable[[OfferedHello, tuple[Credential, ...]], Any]


def choosing(choose: ServerChoice, *credentials: Credential, **changes: Any) -> ServerConfig:
    return server_config(**{"credentials": credentials or [HERE, A], "choose_credential": choose, **changes})


@every_version
def test_function_decides_for_the_server_and_sees_what_the_client_offers(version: str) -> None:
    seen: list[tuple[OfferedHello, tuple[Credential, ...]]] = []
    second = server_credential("ed25519")

    def choose(offered: OfferedHello, credentials: tuple[Credential, ...]) -> Credential:
        seen.append((offered, credentials))
        return credentials[1]

    client = client_config(
        versions=[version],
        alpn=["h2"],
        groups=["x25519", "secp256r1"],
        certificate_authorities=server_roots().subjects(),
    )
    assert of_server(connect(choosing(choose, HERE, second, alpn=["h2"]), client)) is second
    [(offered, credentials)] = seen
    assert credentials == (HERE, second)
    assert str(offered.version) == f"TLSv{version}"
    assert offered.server_name == "localhost"
    assert offered.alpn == ("h2",)
    assert offered.groups == (NamedGroup.X25519, NamedGroup.SECP256R1)
    assert offered.authorities == server_roots().subjects()
    assert S.ED25519 in offered.signature_schemes
    assert offered.signature_schemes_cert == offered.signature_schemes
    assert offered.cipher_suites == client.parameters.cipher_suites


@every_version
def test_function_may_leave_the_choice_to_the_rules(version: str) -> None:
    joined = connect(choosing(lambda offered, credentials: None), client_config(versions=[version]), "a.example")
    assert of_server(joined) is A


@every_version
def test_function_may_choose_what_is_not_in_the_list(version: str) -> None:
    """Made for the name on the way, say."""
    made = server_credential("ec-p256", "made.example")
    joined = connect(choosing(lambda offered, _: made), client_config(versions=[version]), "made.example")
    assert of_server(joined) is made


@every_version
def test_function_of_the_server_may_take_its_time(version: str) -> None:
    async def choose(offered: OfferedHello, credentials: tuple[Credential, ...]) -> Credential | None:
        await asyncio.sleep(0)
        return credentials[-1] if offered.server_name == "a.example" else None

    for name, chosen in (("a.example", A), ("localhost", HERE)):
        joined = pair(choosing(choose), client_config(versions=[version]), name)
        feed(joined.server, [joined.client.data_to_send()])
        assert joined.server.pending_work == "choose a credential"
        assert of_server(settled(joined)) is chosen


def answering(how: str) -> ServerChoice:
    async def later(offered: OfferedHello, credentials: tuple[Credential, ...]) -> Any:
        await asyncio.sleep(0)
        if how == "raises later":
            raise RuntimeError("the vault is sealed")
        return "localhost"

    def at_once(offered: OfferedHello, credentials: tuple[Credential, ...]) -> Any:
        if how == "raises":
            raise RuntimeError("the vault is sealed")
        return "localhost"

    return later if how.endswith("later") else at_once


@every_version
@pytest.mark.parametrize("how", ["raises", "raises later", "gives a name", "gives a name later"])
def test_function_of_the_server_that_breaks_ends_the_connection(how: str, version: str) -> None:
    joined = settled(pair(choosing(answering(how)), client_config(versions=[version])))
    failure = joined.server.failure
    assert isinstance(failure, InternalError | ConfigError), f"it went on: {failure!r}"
    assert failure.alert is AlertDescription.INTERNAL_ERROR
    assert isinstance(joined.client.failure, AlertReceived)
    if how.startswith("raises"):
        assert "the vault is sealed" in str(failure)


@every_version
def test_choice_of_the_server_that_the_client_cannot_verify_is_the_applications_mistake(version: str) -> None:
    chosen = server_credential("ed25519")
    client = client_config(signature_schemes=["ecdsa_secp256r1_sha256"], versions=[version])
    joined = pair(choosing(lambda offered, _: chosen), client).run()
    check_refused(joined, "server", ConfigError)
    assert "the credential chosen cannot be used: its key signs with ed25519" in str(joined.server.failure)


@every_version
def test_function_of_the_server_is_not_asked_when_a_session_is_resumed(version: str) -> None:
    asked: list[OfferedHello] = []
    server = choosing(lambda offered, _: asked.append(offered))
    client = client_config(versions=[version])
    connect(server, client)
    check_resumed(connect(server, client))
    assert len(asked) == 1


@pytest.mark.parametrize("make", [client_config, server_config])
def test_function_must_have_something_to_choose_from(make: Callable[..., Any]) -> None:
    with pytest.raises(ConfigError):
        make(choose_credential=lambda offered, credentials: None, credentials=[])


# -- Clients ----------------------------------------------------------------------------------------------------------

ALICE: Final = client_credential()
BOB: Final = client_credential("ed25519", "bob")
MALLORY: Final = strange_credential()


def asking(*roots: Authority, **changes: Any) -> ServerConfig:
    """A server that trusts any of the clients here, and names these."""
    auth = ClientAuth.required(store(client_root(), strange_root()), hints=store(*roots).subjects() if roots else ())
    return server_config(**{"client_auth": auth, **changes})


@every_version
def test_client_presents_what_an_authority_that_the_server_names_issued(version: str) -> None:
    client = client_config(credentials=[ALICE, MALLORY], versions=[version])
    assert of_client(connect(asking(client_root()), client)) is ALICE
    assert of_client(connect(asking(strange_root()), client)) is MALLORY
    assert of_client(connect(asking(strange_root(), client_root()), client)) is ALICE, "its own order decides"
    assert of_client(connect(asking(), client)) is ALICE, "whoever names none takes any"


@every_version
def test_client_presents_nothing_where_nothing_is_of_the_authorities_named(version: str) -> None:
    client = client_config(credentials=[ALICE], versions=[version])
    joined = pair(asking(strange_root()), client).run()
    check_refused(
        joined,
        "server",
        CertificateRejected,
        CertificateProblem.NONE_PRESENTED,
        AlertDescription.CERTIFICATE_REQUIRED if version == "1.3" else AlertDescription.HANDSHAKE_FAILURE,
    )


@every_version
def test_client_presents_its_fallback_last_and_what_must_match_only_if_it_is_named(version: str) -> None:
    fallback = Credential(ALICE.chain, ALICE.signer, fallback=True)
    client = client_config(credentials=[fallback, MALLORY], versions=[version])
    assert of_client(connect(asking(strange_root()), client)) is MALLORY
    assert of_client(connect(asking(server_root()), client)) is fallback

    reserved = Credential(ALICE.chain, ALICE.signer, must_match_issuer=True)
    client = client_config(credentials=[reserved, MALLORY], versions=[version])
    assert of_client(connect(asking(client_root()), client)) is reserved
    assert of_client(connect(asking(), client)) is MALLORY


@every_version
def test_client_presents_a_certificate_whose_key_the_server_can_verify(version: str) -> None:
    server = asking(signature_schemes=["ed25519", "rsa_pss_rsae_sha256"], credentials=[server_credential("rsa-2048")])
    assert of_client(connect(server, client_config(credentials=[ALICE, BOB], versions=[version]))) is BOB


@pytest.mark.parametrize(
    ("types", "chosen"),
    [
        ((ClientCertificateType.RSA_SIGN,), client_credential("rsa-2048")),
        ((ClientCertificateType.ECDSA_SIGN,), ALICE),
        ((ClientCertificateType(1), ClientCertificateType(64)), ALICE),
    ],
    ids=["rsa_sign", "ecdsa_sign", "both"],
)
def test_client_of_tls12_keeps_to_the_certificate_types(
    types: tuple[ClientCertificateType, ...], chosen: Credential
) -> None:
    edit = on(CertificateRequest12, lambda message: (replace(message, certificate_types=types),))
    server = ScriptedServer(server_config(client_auth=required(), versions=["1.2"]), edit)
    client = client_config(credentials=[ALICE, client_credential("rsa-2048")])
    assert of_client(Pair(ClientConnection(client, "localhost"), server).run()) is chosen


def test_client_presents_a_chain_that_is_signed_with_what_the_server_accepts_in_certificates() -> None:
    signed_by_rsa = Authority.create("RSA Clients", key_type="rsa-2048")
    carol = credential(signed_by_rsa.issue_client("carol"))
    auth = ClientAuth.required(store(client_root(), signed_by_rsa), hints=())
    client = client_config(credentials=[ALICE, carol])
    for accepted, chosen in (
        ((S.RSA_PKCS1_SHA256,), carol),
        ((S.ECDSA_SECP256R1_SHA256,), ALICE),
        ((S.ED448,), ALICE),
    ):
        edit = with_cert_schemes(accepted)
        joined = Pair(ClientConnection(client, "localhost"), ScriptedServer(server_config(client_auth=auth), edit))
        assert of_client(joined.run()) is chosen


def with_cert_schemes(schemes: tuple[SignatureScheme, ...]) -> Edit:
    return on(CertificateRequest, lambda message: (replace(message, signature_algorithms_cert=schemes),))


@every_version
def test_client_presents_a_valid_certificate_before_an_expired_one(version: str) -> None:
    old = expired(client_intermediate())
    assert of_client(connect(asking(), client_config(credentials=[old, ALICE], versions=[version]))) is ALICE
    joined = pair(asking(), client_config(credentials=[old], versions=[version])).run()
    check_refused(joined, "server", CertificateRejected, CertificateProblem.EXPIRED)


@every_version
@pytest.mark.parametrize("answer", ["alice", 7, object()], ids=type)
def test_function_of_the_client_that_gives_no_credential_ends_the_connection(answer: Any, version: str) -> None:
    client = client_config(credentials=[ALICE], choose_credential=lambda request, _: answer, versions=[version])
    joined = pair(asking(), client).run()
    failure = joined.client.failure
    assert isinstance(failure, InternalError | ConfigError), f"it went on: {failure!r}"
    assert failure.alert is AlertDescription.INTERNAL_ERROR
    assert joined.server.peer is None


@every_version
def test_function_of_the_client_may_choose_what_is_not_in_the_list(version: str) -> None:
    client = client_config(credentials=[ALICE], choose_credential=lambda request, _: MALLORY, versions=[version])
    assert of_client(connect(asking(client_root()), client)) is MALLORY


@every_version
def test_function_of_the_client_sees_what_the_server_asks_for(version: str) -> None:
    seen: list[CredentialRequest] = []

    def choose(request: CredentialRequest, credentials: tuple[Credential, ...]) -> Credential:
        seen.append(request)
        return credentials[0]

    client = client_config(credentials=[ALICE], choose_credential=choose, versions=[version])
    of_client(connect(asking(client_root(), strange_root()), client))
    [request] = seen
    assert request.version is (ProtocolVersion.TLS1_3 if version == "1.3" else ProtocolVersion.TLS1_2)
    assert request.authorities == store(client_root(), strange_root()).subjects()
    assert S.ECDSA_SECP256R1_SHA256 in request.signature_schemes
    assert bool(request.certificate_types) == (version == "1.2")
    assert not request.from_client


@every_version
def test_session_is_resumed_only_as_who_made_it_where_a_function_decides(version: str) -> None:
    """One that goes by more than the request: whose turn it is, which tenant is served."""
    who: dict[str, Credential | None] = {"now": ALICE}
    asked: list[CredentialRequest] = []

    def choose(request: CredentialRequest, credentials: tuple[Credential, ...]) -> Credential | None:
        asked.append(request)
        return who["now"]

    server = server_config(client_auth=ClientAuth.optional(client_roots()))
    client = client_config(credentials=[ALICE], choose_credential=choose, versions=[version])
    assert of_client(connect(server, client)) is ALICE
    assert of_client(check_resumed(connect(server, client))) is ALICE, "the same answer resumes"
    for other in (BOB, None, ALICE):
        who["now"] = other
        assert of_client(check_full(connect(server, client))) is other
    assert of_client(check_resumed(connect(server, client))) is ALICE
    assert len(set(asked)) == 1, "it is asked about what the server had asked for when the session was made"


@every_version
def test_function_of_the_client_may_take_its_time_before_a_session_is_resumed(version: str) -> None:
    async def choose(request: CredentialRequest, credentials: tuple[Credential, ...]) -> Credential:
        await asyncio.sleep(0)
        return credentials[0]

    server = asking()
    client = client_config(credentials=[ALICE], choose_credential=choose, versions=[version])
    assert of_client(settled(pair(server, client))) is ALICE
    assert of_client(check_resumed(settled(pair(server, client)))) is ALICE


@every_version
def test_session_of_a_credential_that_was_replaced_meanwhile_is_not_resumed(version: str) -> None:
    """The new one comes while the handshake that shows the old one is under way."""

    class Replaced:
        current = ALICE

    class Replacing(KeySigner):
        def sign(self, scheme: SignatureScheme, message: bytes) -> bytes:
            Replaced.current = BOB
            return super().sign(scheme, message)

    issued = client_identity()
    old = Credential(issued.chain, Replacing(issued.key))
    Replaced.current = old
    server = asking()
    client = client_config(credentials=[Replaced()], versions=[version])
    assert of_client(connect(server, client)) is old
    assert of_client(check_full(connect(server, client))) is BOB


# -- Hints that follow the roots --------------------------------------------------------------------------------------


@dataclass
class Source:
    """Roots that are others tomorrow."""

    store: RootCertStore

    @property
    def current(self) -> RootCertStore:
        return self.store


def requested(server: ServerConfig, client: ClientConfig) -> tuple[str, ...]:
    joined = pair(server, client).run()
    assert joined.client.requested is not None
    return tuple(map(str, joined.client.requested.authorities))


@every_version
def test_hints_are_the_names_of_the_roots_of_now(version: str) -> None:
    source = Source(client_roots())
    server = server_config(client_auth=ClientAuth.required(source))
    client = client_config(credentials=[ALICE, MALLORY], versions=[version])
    assert of_client(connect(server, client)) is ALICE
    source.store = store(strange_root())
    assert of_client(connect(server, client)) is MALLORY, "the client is told the new names, and goes by them"
    source.store = store(strange_root(), client_root())
    assert requested(server, client) == tuple(map(str, source.store.subjects()))


@every_version
def test_hints_that_were_given_stay(version: str) -> None:
    source = Source(client_roots())
    server = server_config(client_auth=ClientAuth.required(source, hints=client_roots().subjects()))
    client = client_config(credentials=[ALICE], versions=[version])
    before = requested(server, client)
    source.store = store(strange_root())
    assert requested(server, client) == before


@every_version
def test_hints_of_several_sources_are_those_of_all_of_now(version: str) -> None:
    source = Source(client_roots())
    server = server_config(client_auth=ClientAuth.required([source, store(strange_root())]))
    client = client_config(credentials=[ALICE], versions=[version])
    assert requested(server, client) == tuple(map(str, store(client_root(), strange_root()).subjects()))
    source.store = store(server_root())
    assert requested(server, client) == tuple(map(str, store(server_root(), strange_root()).subjects()))


def test_hints_that_no_longer_fit_stay_as_they_were_and_clients_are_still_let_in(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A request that cannot be sent would turn everybody away."""
    source = Source(client_roots())
    server = server_config(client_auth=ClientAuth.required(source))
    before = requested(server, client_config())
    organization = "An Organization With A Name Of Sixty-Four Characters, No More Le"
    many = [
        Authority.create(f"Root Number {number} With Another Long Name For A Change", organization=organization)
        for number in range(500)
    ]
    source.store = store(client_root(), *many)
    assert of_client(connect(server, client_config(credentials=[ALICE]))) is ALICE
    assert requested(server, client_config()) == before
    assert "the CA names sent to clients stay as they were" in caplog.text


@every_version
def test_credentials_are_those_of_now_on_both_sides(version: str) -> None:
    @dataclass
    class Holder:
        current: Credential

    server_source, client_source = Holder(HERE), Holder(ALICE)
    server = asking(credentials=[server_source])
    client = client_config(credentials=[client_source], versions=[version], sessions=None)
    assert of_server(joined := connect(server, client)) is HERE
    assert of_client(joined) is ALICE
    server_source.current, client_source.current = server_credential("ed25519"), BOB
    assert of_server(joined := connect(server, client)) is server_source.current
    assert of_client(joined) is BOB
