"""Client authentication after the handshake (RFC 9846 4.7.2): what works, and what each side refuses."""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Final

import pytest

from tests.session.resuming import check_resumed, settled
from tests.support.identities import (
    client_config,
    client_credential,
    client_identity,
    client_intermediate,
    client_roots,
    optional,
    required,
    server_config,
    store,
    strange_credential,
    strange_root,
)
from tests.support.ids import stable
from tests.support.memory import Pair, byte_by_byte, check_refused, connect, feed, pair, record_by_record
from tests.support.scripted import Edit, Item, NewRecord, Record, ScriptedClient, ScriptedServer, honest, on, say
from tests.support.signers import HiddenKey, LateSigner
from trustls.config import ClientConfig, ServerConfig
from trustls.connection import ClientConnection, Connection, ServerConnection
from trustls.errors import (
    AlertDescription,
    CertificateProblem,
    CertificateRejected,
    CertificateRejectedByPeer,
    ConfigError,
    ConnectionClosed,
    HandshakePending,
    InternalError,
    Misbehaviour,
    PeerMisbehaved,
    TLSError,
)
from trustls.identity.credential import Credential
from trustls.identity.request import CredentialRequest
from trustls.session.psk import ExternalPsk
from trustls.session.store import MemoryClientSessions
from trustls.session.tickets import StoredSessions
from trustls.trust.certificate import Certificate
from trustls.trust.client_auth import ClientAuth
from trustls.trust.verifiers import Peer, RootsClientVerifier
from trustls.wire.enums import SignatureScheme
from trustls.wire.messages import (
    CertificateEntry,
    CertificateMessage,
    CertificateRequest,
    CertificateVerify,
    Finished,
    KeyUpdate,
    NewSessionTicket,
    encode_message,
)


def asking(later: ClientAuth | None = None, **changes: Any) -> ServerConfig:
    """A server that may ask for a certificate after the handshake, and requires it then unless told otherwise."""
    return server_config(**{"post_handshake_auth": later or required(), **changes})


def offering(**changes: Any) -> ClientConfig:
    """A client that has one, and says that it may be asked then."""
    return client_config(**{"post_handshake_auth": True, "credentials": [client_credential()], **changes})


def asked(server: ServerConfig | None = None, client: ClientConfig | None = None) -> Pair:
    """The two after the handshake, and after the request and its answer."""
    joined = connect(server or asking(), client or offering())
    joined.server.request_client_certificate()
    return joined.run()


def check_known(joined: Pair, credential: Credential | None = None) -> Pair:
    """The server knows the client by its certificate, the client knows so, and the connection goes on."""
    assert joined.server.failure is None, f"the server failed: {joined.server.failure!r}"
    assert not joined.server.awaits_client_certificate, "the answer has not come"
    assert joined.server.peer is not None, "the server knows no client"
    expected = credential or client_credential()
    assert joined.server.peer.certificate == expected.certificate
    assert joined.server.peer.verified, "the certificate was not verified"
    assert joined.client.info.credential == expected
    return joined.check_connected()


def pushy(credential: Credential) -> Credential:
    """One that is presented whoever the server names."""
    return Credential(credential.chain, credential.signer, fallback=True)


# -- What works -------------------------------------------------------------------------------------------------------


def test_client_is_known_from_its_answer_on() -> None:
    joined = connect(asking(), offering()).check_connected()
    assert joined.server.peer is None
    assert joined.client.requested is None
    assert joined.client.info.credential is None
    assert joined.server.can_request_client_certificate
    assert not joined.server.awaits_client_certificate

    joined.server.request_client_certificate()
    assert joined.server.awaits_client_certificate
    assert not joined.server.can_request_client_certificate, "one request at a time"
    assert joined.server.peer is None, "nothing has been answered"

    check_known(joined.run())
    assert joined.client.requested is not None
    assert joined.client.requested.authorities == required().hints
    assert joined.server.can_request_client_certificate, "it may be asked again"


@pytest.mark.parametrize("split", [byte_by_byte, record_by_record])
def test_it_does_not_depend_on_how_it_is_delivered(split: Any) -> None:
    joined = pair(asking(), offering())
    joined.split = split
    joined.run()
    joined.server.request_client_certificate()
    check_known(joined.run())


@pytest.mark.parametrize("key_type", ["ec-p384", "ed25519", "rsa-2048", "ml-dsa-65"])
def test_every_kind_of_key_works(key_type: str) -> None:
    mine = client_credential(key_type)
    check_known(asked(client=offering(credentials=[mine])), mine)


def test_data_goes_on_before_between_and_after() -> None:
    joined = connect(asking(), offering())
    joined.server.send(b"please ")
    joined.client.send(b"GET /public ")
    joined.server.request_client_certificate()
    joined.server.send(b"show who you are ")
    joined.client.send(b"GET /private ")  # It has not read the request yet.
    assert feed(joined.server, [joined.client.data_to_send()]) == b"GET /public GET /private "
    assert joined.server.peer is None, "what came before the answer came from nobody that is known"
    assert joined.server.awaits_client_certificate
    joined.client_got += feed(joined.client, [joined.server.data_to_send()])
    joined.client.send(b"thanks")
    joined.run()
    assert joined.client_got == b"please show who you are "
    assert joined.server_got == b"thanks"
    check_known(joined)


def test_data_is_sent_in_order_with_the_request_and_its_answer() -> None:
    """What a client sends behind its answer is sent by somebody who is known, and the server reads it as that."""
    joined = connect(asking(), offering())
    joined.server.send(b"before ")
    joined.server.request_client_certificate()
    joined.server.send(b"behind")
    requested_at = []
    for record in record_by_record(joined.server.data_to_send()):
        joined.client_got += feed(joined.client, [record])
        requested_at.append((bytes(joined.client_got), joined.client.requested is not None))
    assert requested_at[-2:] == [(b"before ", True), (b"before behind", True)]

    joined.client.send(b"from alice")
    for record in record_by_record(joined.client.data_to_send()):
        if feed(joined.server, [record]):
            assert joined.server.peer is not None, "data that came behind the answer in time came before it"
    check_known(joined)


# R the request, C and S a KeyUpdate of client and server; "." carries what waits.
ORDERS: Final = ("C.R.", "S.R.", "CR.", "SR.", "RC.", "RS.", "CSR.", "RCS.", "CSRCS.", "C.C.R.", "RCC.", "S.RC.")


@pytest.mark.parametrize("request_peer", [False, True], ids=["", "both sides"])
@pytest.mark.parametrize("order", ORDERS)
def test_key_updates_before_and_around_it_change_nothing(order: str, *, request_peer: bool) -> None:
    """The Finished is made with the traffic secret of the moment, which is another after each KeyUpdate."""
    joined = connect(asking(), offering())
    for step in order * 2:
        match step:
            case "C":
                joined.client.update_keys(request_peer=request_peer)
            case "S":
                joined.server.update_keys(request_peer=request_peer)
            case "R":
                joined.server.request_client_certificate()
            case _:
                joined.run()
    check_known(joined)


def test_one_request_after_another_is_answered_by_the_credential_of_then() -> None:
    @dataclass
    class Source:
        current: Credential

    source = Source(client_credential())
    joined = connect(asking(), offering(credentials=[source]))
    for name in ("alice", "bob", "alice"):
        source.current = client_credential("ec-p256", name)
        joined.server.request_client_certificate()
        check_known(joined.run(), source.current)


def test_each_request_has_a_context_of_its_own() -> None:
    server = ScriptedServer(asking())
    joined = Pair(ClientConnection(offering(), "localhost"), server).run()
    for _ in range(3):
        server.request_client_certificate()
        joined.run()
    contexts = [message.context for message in server.flow.sent if isinstance(message, CertificateRequest)]
    assert len(set(contexts)) == 3
    assert all(len(context) >= 16 for context in contexts), "nobody can guess them"


def test_many_requests_without_any_data_in_between_are_no_flood() -> None:
    """The server bounds what a client may say unasked; these answers it has asked for."""
    joined = connect(asking(), offering())
    for _ in range(20):
        joined.server.request_client_certificate()
        joined.run()
        assert joined.server.failure is None, f"the server failed: {joined.server.failure!r}"
    check_known(joined)


def test_second_request_while_the_first_is_not_answered_is_refused_and_does_no_harm() -> None:
    joined = connect(asking(), offering())
    joined.server.request_client_certificate()
    with pytest.raises(ConfigError, match="asked for already"):
        joined.server.request_client_certificate()
    check_known(joined.run())
    joined.server.request_client_certificate()
    check_known(joined.run())


def test_client_of_the_handshake_may_become_another() -> None:
    """Each request has roots and hints of its own."""
    mallory = strange_credential()
    joined = connect(
        asking(ClientAuth.required(store(strange_root())), client_auth=required()),
        offering(credentials=[client_credential(), mallory]),
    )
    assert joined.server.peer is not None
    assert joined.server.peer.certificate == client_credential().certificate
    joined.server.request_client_certificate()
    check_known(joined.run(), mallory)


def test_client_that_declines_is_nobody_from_then_on() -> None:
    joined = asked(asking(ClientAuth.optional(store(strange_root())), client_auth=required())).check_connected()
    assert joined.server.peer is None
    assert joined.client.info.credential is None


def test_exported_keys_stay_the_same() -> None:
    joined = connect(asking(), offering())
    before = joined.client.export("EXPORTER-test", 32)
    joined.server.request_client_certificate()
    check_known(joined.run())
    assert joined.client.export("EXPORTER-test", 32) == before


def test_it_works_after_a_hello_retry_request() -> None:
    joined = asked(asking(groups=["secp256r1"]), offering(groups=["x25519", "secp256r1"]))
    assert joined.client.info.retried
    check_known(joined)


def test_it_works_with_an_external_key_in_place_of_certificates() -> None:
    psk = ExternalPsk(b"device 7", bytes(32), "sha256")
    joined = asked(asking(external_psks=[psk]), offering(external_psks=[psk]))
    assert joined.client.info.psk_identity == b"device 7"
    check_known(joined)


def resumable(server: ServerConfig, **changes: Any) -> ClientConfig:
    """A client that has met this server, and was asked for its certificate after the handshake."""
    client = offering(sessions=MemoryClientSessions(), **changes)
    check_known(asked(server, client))
    return client


def test_it_works_in_a_resumed_connection() -> None:
    server = asking()
    client = resumable(server)
    joined = check_resumed(connect(server, client))
    assert joined.server.peer is None, "who the client was after the handshake is no part of the session"
    assert joined.client.info.credential is None
    joined.server.request_client_certificate()
    check_known(joined.run())


def test_it_works_after_early_data() -> None:
    server = asking(resumption=StoredSessions(max_early_data=100))
    joined = pair(server, resumable(server, early_data=True))
    joined.client.write_early(b"early")
    joined.run()
    assert joined.server.early_data_accepted
    joined.server.request_client_certificate()
    check_known(joined.run())


# -- Nothing that fits ------------------------------------------------------------------------------------------------


NOTHING_FITS: Final = {
    "none at all": ([], "it has none"),
    "of another authority": ([strange_credential()], "A Root Nobody Trusts"),
}


@pytest.mark.parametrize("having", NOTHING_FITS)
def test_client_with_nothing_that_fits_is_refused_where_it_is_required(having: str) -> None:
    credentials, said = NOTHING_FITS[having]
    joined = asked(client=offering(credentials=credentials))
    check_refused(joined, "server", CertificateRejected, CertificateProblem.NONE_PRESENTED)
    assert joined.server.peer is None
    failure = joined.client.failure
    assert isinstance(failure, CertificateRejectedByPeer)
    assert failure.description is AlertDescription.CERTIFICATE_REQUIRED
    assert "this client presented no certificate" in str(failure)
    assert said in str(failure)


@pytest.mark.parametrize("having", NOTHING_FITS)
@pytest.mark.parametrize("mode", ["optional", "report"])
def test_client_with_nothing_that_fits_stays_unknown_where_it_may(mode: str, having: str) -> None:
    auth = optional() if mode == "optional" else ClientAuth.report(client_roots())
    joined = asked(asking(auth), offering(credentials=NOTHING_FITS[having][0])).check_connected()
    assert joined.server.peer is None
    assert not joined.server.awaits_client_certificate
    assert joined.client.requested is not None, "the client knows that it was asked"
    assert joined.client.info.credential is None


@pytest.mark.parametrize("auth", [required(), optional()], ids=["required", "optional"])
def test_client_of_a_strange_authority_is_refused(auth: ClientAuth) -> None:
    joined = asked(asking(auth), offering(credentials=[pushy(strange_credential())]))
    check_refused(joined, "server", CertificateRejected, CertificateProblem.UNKNOWN_ISSUER)
    failure = joined.client.failure
    assert isinstance(failure, CertificateRejectedByPeer)
    assert failure.reason is CertificateProblem.UNKNOWN_ISSUER
    assert "CN=mallory, which is of none of the authorities that the server named" in str(failure)


def test_client_of_a_strange_authority_is_reported_where_the_server_wants_that() -> None:
    joined = asked(asking(ClientAuth.report(client_roots())), offering(credentials=[pushy(strange_credential())]))
    joined.check_connected()
    peer = joined.server.peer
    assert peer is not None
    assert peer.certificate == strange_credential().certificate
    assert peer.verified == ()
    assert peer.error is not None
    assert peer.error.reason is CertificateProblem.UNKNOWN_ISSUER


# -- Where it cannot be -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("server", "client"),
    [
        (asking(versions=["1.2"]), offering()),
        (asking(), offering(versions=["1.2"])),
        (asking(), offering(post_handshake_auth=False)),
        (server_config(), offering()),
    ],
    ids=["server of 1.2", "client of 1.2", "client does not offer", "server is not told to"],
)
def test_request_that_cannot_be_is_a_config_error_and_does_no_harm(server: ServerConfig, client: ClientConfig) -> None:
    joined = connect(server, client)
    assert not joined.server.can_request_client_certificate
    with pytest.raises(ConfigError, match="it takes TLS"):
        joined.server.request_client_certificate()
    assert not joined.server.awaits_client_certificate
    joined.check_connected()


@pytest.mark.parametrize("wrong", [ClientAuth.none(), True, "required", client_roots()], ids=stable)
def test_post_handshake_auth_takes_a_client_auth_that_asks(wrong: Any) -> None:
    with pytest.raises(ConfigError, match="post_handshake_auth"):
        server_config(post_handshake_auth=wrong)


def test_request_waits_for_the_handshake() -> None:
    server = ServerConnection(asking())
    assert not server.can_request_client_certificate
    assert not server.awaits_client_certificate, "the handshake is another thing"
    with pytest.raises(HandshakePending):
        server.request_client_certificate()


def test_request_after_close_is_refused() -> None:
    joined = connect(asking(), offering())
    joined.server.close()
    assert not joined.server.can_request_client_certificate
    with pytest.raises(ConnectionClosed):
        joined.server.request_client_certificate()


def test_request_after_a_failure_raises_that() -> None:
    joined = connect(asking(), offering())
    failure = TLSError("the application gave up")
    joined.server.abort(failure)
    assert not joined.server.can_request_client_certificate
    with pytest.raises(TLSError, match="gave up"):
        joined.server.request_client_certificate()


def test_request_to_a_client_that_sends_no_more_is_refused() -> None:
    """Its answer could never come."""
    joined = connect(asking(), offering())
    joined.client.close()
    joined.run()
    assert joined.server.peer_closed
    assert not joined.server.can_request_client_certificate
    with pytest.raises(ConnectionClosed):
        joined.server.request_client_certificate()


def test_client_that_has_closed_leaves_a_request_unanswered() -> None:
    joined = connect(asking(), offering())
    joined.server.request_client_certificate()
    joined.server.send(b"and data")
    joined.client.close()
    joined.run()
    assert joined.client.failure is None
    assert joined.client_got == b"and data", "the client still reads"
    assert joined.server.failure is None
    assert joined.server.peer_closed
    assert joined.server.peer is None


def test_server_that_has_closed_still_takes_the_answer() -> None:
    joined = connect(asking(), offering())
    joined.server.request_client_certificate()
    joined.server.close()
    joined.run()
    assert joined.server.failure is None
    assert joined.server.peer is not None
    assert joined.client.peer_closed


# -- Signers, verifiers and choosers that take their time -------------------------------------------------------------


def late_credential() -> Credential:
    """A client's, whose key signs later."""
    issued = client_identity()
    return Credential(issued.chain, LateSigner(issued.key))


def signing(**changes: Any) -> Pair:
    """A client in the middle of its signature."""
    joined = connect(asking(), offering(**{"credentials": [late_credential()], **changes}))
    joined.server.request_client_certificate()
    feed(joined.client, [joined.server.data_to_send()])
    assert joined.client.pending_work == "sign"
    assert not joined.client.handshaking, "the handshake is over"
    return joined


def test_nothing_of_the_answer_goes_out_before_it_is_whole() -> None:
    joined = signing()
    assert joined.client.data_to_send() == b""
    asyncio.run(joined.client.settle())
    check_known(joined.run(), joined.client.info.credential)


@pytest.mark.parametrize("drained", [True, False], ids=["sent at once", "sent in the end"])
def test_data_and_key_updates_while_the_client_signs_go_before_its_answer(*, drained: bool) -> None:
    """RFC 9846 4.7.2: nothing may come between Certificate and Finished. The server would end the connection."""
    joined = signing()
    sent = bytearray()

    def carry() -> None:
        if drained:
            joined.server_got += feed(joined.server, [joined.client.data_to_send()])
            assert joined.server.peer is None

    for number in range(3):
        joined.client.send(b"meanwhile %d " % number)
        sent += b"meanwhile %d " % number
        carry()
        joined.client.update_keys()
        carry()
    asyncio.run(joined.client.settle())
    joined.client.send(b"after")
    joined.run()
    assert joined.server.failure is None, f"the server failed: {joined.server.failure!r}"
    assert joined.server_got == bytes(sent) + b"after"
    check_known(joined, joined.client.info.credential)


def test_what_comes_while_the_client_signs_is_kept_for_later() -> None:
    joined = signing()
    joined.server.send(b"for later")
    joined.server.update_keys()
    assert feed(joined.client, [joined.server.data_to_send()]) == b""
    asyncio.run(joined.client.settle())
    assert feed(joined.client, [b""]) == b"for later"
    check_known(joined.run(), joined.client.info.credential)


def test_request_that_comes_while_the_client_signs_for_another_is_answered_after_it() -> None:
    client = ScriptedClient(offering(credentials=[late_credential()]))
    joined = Pair(client, ServerConnection(asking())).run()
    schemes = (SignatureScheme.ECDSA_SECP256R1_SHA256,)
    requests = [CertificateRequest(context=context, signature_algorithms=schemes) for context in (b"first", b"second")]
    say(joined.server, *requests)
    feed(client, [joined.server.data_to_send()])
    assert client.pending_work == "sign"
    asyncio.run(client.settle())
    feed(client, [b""])
    asyncio.run(client.settle())
    answered = [message.context for message in client.flow.sent if isinstance(message, CertificateMessage)]
    assert answered == [b"first", b"second"]
    assert client.failure is None


def test_chooser_is_asked_again_and_may_take_its_time() -> None:
    seen: list[CredentialRequest] = []

    async def choose(request: CredentialRequest, credentials: tuple[Credential, ...]) -> Credential | None:
        seen.append(request)
        await asyncio.sleep(0)
        return credentials[-1]

    mine = [client_credential(), client_credential("ec-p256", "bob")]
    joined = connect(asking(), offering(credentials=mine, choose_credential=choose))
    assert seen == [], "nobody asked for a certificate yet"
    joined.server.request_client_certificate()
    check_known(settled(joined), mine[-1])
    assert seen == [joined.client.requested]


class LateVerifier:
    """Verifies by the clients' root, when the event loop has turned; or raises what it is told to."""

    hints = client_roots().subjects()

    def __init__(self, raising: Exception | None = None) -> None:
        self._inner = RootsClientVerifier(client_roots())
        self._raising = raising

    async def verify_client(self, chain: tuple[Certificate, ...], *, now: float) -> Peer:
        await asyncio.sleep(0)
        if self._raising is not None:
            raise self._raising
        peer = self._inner.verify_client(chain, now=now)
        assert isinstance(peer, Peer)
        return peer


def verifying(raising: Exception | None = None) -> Pair:
    """A server in the middle of deciding about the client's certificate."""
    joined = connect(asking(ClientAuth.custom(LateVerifier(raising))), offering())
    joined.server.request_client_certificate()
    joined.step()
    feed(joined.client, [joined.server.data_to_send()])
    feed(joined.server, [joined.client.data_to_send()])
    assert joined.server.pending_work == "verify the client's certificate"
    return joined


def test_data_while_the_server_decides_goes_both_ways_and_waits_where_it_must() -> None:
    joined = verifying()
    assert joined.server.peer is None
    joined.server.send(b"one moment")
    assert feed(joined.client, [joined.server.data_to_send()]) == b"one moment"
    joined.client.send(b"from alice")
    assert feed(joined.server, [joined.client.data_to_send()]) == b"", "who sent this is not decided"
    asyncio.run(joined.server.settle())
    assert joined.server.peer is not None
    assert feed(joined.server, [b""]) == b"from alice"
    check_known(joined)


def test_verifier_that_refuses_later_ends_the_connection() -> None:
    joined = verifying(CertificateRejected(CertificateProblem.REFUSED, "not on the list"))
    asyncio.run(joined.server.settle())
    joined.run()
    check_refused(joined, "server", CertificateRejected, CertificateProblem.REFUSED)
    assert joined.server.peer is None
    assert isinstance(joined.client.failure, CertificateRejectedByPeer)


def test_verifier_that_breaks_lets_nobody_in() -> None:
    joined = verifying(RuntimeError("the directory is down"))
    asyncio.run(joined.server.settle())
    joined.run()
    assert "the directory is down" in str(check_refused(joined, "server", InternalError))
    assert joined.server.peer is None


@pytest.mark.parametrize("late", [False, True], ids=["at once", "later"])
def test_signer_that_breaks_ends_the_connection_and_sends_nothing_of_its_answer(*, late: bool) -> None:
    class Broken:
        schemes = (SignatureScheme.ECDSA_SECP256R1_SHA256,)

        def sign(self, scheme: SignatureScheme, message: bytes) -> Any:
            async def later() -> bytes:
                raise RuntimeError("the HSM is on fire")

            if late:
                return later()
            raise RuntimeError("the HSM is on fire")

    joined = asked(client=offering(credentials=[Credential(client_identity().chain, Broken())]))
    if late:
        settled(joined)
    failure = check_refused(joined, "client", InternalError)
    assert "the HSM is on fire" in str(failure)
    assert joined.server.peer is None


def test_choice_that_cannot_be_used_is_the_applications_mistake_and_said() -> None:
    client = offering(
        credentials=[client_credential("ed25519")], choose_credential=lambda request, credentials: credentials[0]
    )
    joined = asked(asking(signature_schemes=["ecdsa_secp256r1_sha256"]), client)
    assert isinstance(joined.client.failure, ConfigError)
    assert "its key signs with ed25519" in str(joined.client.failure)


@pytest.mark.parametrize("end", ["abort", "eof", "close and eof"])
@pytest.mark.parametrize("side", ["client", "server"])
def test_work_that_nobody_waits_for_any_more_is_dropped_quietly(side: str, end: str) -> None:
    """Without "coroutine was never awaited": the application did nothing wrong."""
    joined = signing() if side == "client" else verifying()
    working: Connection = joined.client if side == "client" else joined.server
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if end == "abort":
            working.abort(TLSError("the application changed its mind"))
        else:
            if end == "close and eof":
                working.close()
            with pytest.raises(TLSError):
                working.receive_eof()
        assert working.pending_work is None
        gc.collect()
    assert [str(warning.message) for warning in caught] == []


def test_settling_that_is_cancelled_ends_the_connection() -> None:
    class Never:
        schemes = (SignatureScheme.ECDSA_SECP256R1_SHA256,)

        async def sign(self, scheme: SignatureScheme, message: bytes) -> bytes:
            await asyncio.Event().wait()
            raise AssertionError

    joined = signing(credentials=[Credential(client_identity().chain, Never())])

    async def give_up() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(joined.client.settle(), 0.01)

    asyncio.run(give_up())
    joined.run()
    assert "given up: to sign" in str(check_refused(joined, "client", InternalError))


# -- What a server refuses --------------------------------------------------------------------------------------------


def misbehaving(edit: Edit, *, server: ServerConfig | None = None, client: ClientConfig | None = None) -> Pair:
    """A server that asks a scripted client. Certificate and CertificateVerify come but once, Finished for the second
    time.
    """
    joined = Pair(ScriptedClient(client or offering(), edit), ServerConnection(server or asking())).run()
    assert joined.connected, f"the handshake failed: {joined.server.failure!r}"
    joined.server.request_client_certificate()
    return joined.run()


def server_refuses(edit: Edit, reason: object, error: type[TLSError] = PeerMisbehaved, **sides: Any) -> None:
    joined = misbehaving(edit, **sides)
    check_refused(joined, "server", error, reason)
    assert joined.server.peer is None, "a client got in that proved nothing"
    assert joined.server_got == b"", "data was given out on a connection that failed"


def on_finished(change: Callable[[Finished], Iterable[Item]]) -> Edit:
    """Change the Finished of after the handshake."""
    return on(Finished, change, nth=1)


def test_script_that_changes_nothing_is_accepted() -> None:
    """The other tests here show something only because this one does not fail."""
    check_known(misbehaving(honest))


def test_answer_may_come_in_several_records() -> None:
    def apart(message: Any) -> Iterable[Item]:
        raw = encode_message(message)
        return [raw[:1], NewRecord(), raw[1:30], NewRecord(), raw[30:], NewRecord()]

    for kind in (CertificateMessage, CertificateVerify):
        check_known(misbehaving(on(kind, apart)))
    check_known(misbehaving(on_finished(apart)))


@pytest.mark.parametrize("context", [b"", b"another", bytes(32), bytes(255)], ids=len)
def test_server_refuses_an_answer_to_another_request(context: bytes) -> None:
    server_refuses(
        on(CertificateMessage, lambda message: (replace(message, context=context),)), Misbehaviour.BAD_REQUEST_CONTEXT
    )


def test_server_refuses_an_empty_answer_to_another_request() -> None:
    server_refuses(
        on(CertificateMessage, lambda message: (CertificateMessage(context=b"another"),)),
        Misbehaviour.BAD_REQUEST_CONTEXT,
        server=asking(optional()),
    )


def test_server_refuses_the_answer_to_the_request_before() -> None:
    contexts: list[bytes] = []

    def edit(message: Any) -> Iterable[Item]:
        if not isinstance(message, CertificateMessage):
            return (message,)
        contexts.append(message.context)
        return (replace(message, context=contexts[0]),)

    joined = check_known(misbehaving(edit))
    joined.server.request_client_certificate()
    joined.run()
    check_refused(joined, "server", PeerMisbehaved, Misbehaviour.BAD_REQUEST_CONTEXT)


@pytest.mark.parametrize(
    "message",
    [
        CertificateMessage(),
        CertificateMessage(context=bytes(32)),
        CertificateMessage(entries=(CertificateEntry(certificate=client_credential().certificate.der),)),
        CertificateVerify(scheme=SignatureScheme.ED25519, signature=bytes(64)),
        Finished(verify_data=bytes(32)),
        CertificateRequest(context=b"c", signature_algorithms=(SignatureScheme.ED25519,)),
        NewSessionTicket(lifetime=1, age_add=0, nonce=b"", ticket=b"t"),
    ],
    ids=lambda message: type(message).__name__,
)
@pytest.mark.parametrize("when", ["never asked", "before the answer", "after the answer"])
def test_server_refuses_what_it_did_not_ask_for(message: Any, when: str) -> None:
    joined = connect(asking(), offering())
    if when == "after the answer":
        joined.server.request_client_certificate()
        check_known(joined.run())
    elif when == "before the answer":
        joined.server.request_client_certificate()
    say(joined.client, message)
    joined.run()
    expected = Misbehaviour.UNEXPECTED_MESSAGE
    if when == "before the answer" and isinstance(message, CertificateMessage):
        expected = Misbehaviour.BAD_REQUEST_CONTEXT
    check_refused(joined, "server", PeerMisbehaved, expected)


@pytest.mark.parametrize("place", ["before CertificateVerify", "before Finished"])
@pytest.mark.parametrize(
    ("item", "reason"),
    [
        (Record(23, b"data"), Misbehaviour.INTERLEAVED_RECORD),
        (Record(23, b""), Misbehaviour.INTERLEAVED_RECORD),
        (KeyUpdate(update_requested=False), Misbehaviour.UNEXPECTED_MESSAGE),
        (KeyUpdate(update_requested=True), Misbehaviour.UNEXPECTED_MESSAGE),
        (CertificateMessage(), Misbehaviour.UNEXPECTED_MESSAGE),
        (CertificateRequest(signature_algorithms=(SignatureScheme.ED25519,)), Misbehaviour.UNEXPECTED_MESSAGE),
        (Record(20, b"\1"), Misbehaviour.UNEXPECTED_RECORD),
    ],
    ids=["data", "no data", "key update", "key update asked", "certificate", "request", "change_cipher_spec"],
)
def test_server_refuses_what_comes_in_the_middle_of_an_answer(item: Any, reason: Misbehaviour, place: str) -> None:
    """RFC 9846 4.7.2: the messages of the answer follow each other with nothing in between."""

    def before(message: Any) -> Iterable[Item]:
        return (NewRecord(), item, NewRecord(), message)

    edit = on(CertificateVerify, before) if place == "before CertificateVerify" else on_finished(before)
    server_refuses(edit, reason)


def test_data_before_the_empty_answers_finished_is_refused_too() -> None:
    server_refuses(
        on_finished(lambda message: (Record(23, b"data"), message)),
        Misbehaviour.INTERLEAVED_RECORD,
        server=asking(optional()),
        client=offering(credentials=[]),
    )


@pytest.mark.parametrize("verify_data", [bytes(32), b"", bytes(31), bytes(48)], ids=len)
def test_server_refuses_a_finished_that_does_not_verify(verify_data: bytes) -> None:
    server_refuses(on_finished(lambda message: (Finished(verify_data=verify_data),)), Misbehaviour.BAD_FINISHED)


def test_server_refuses_a_finished_that_does_not_verify_behind_an_empty_certificate() -> None:
    server_refuses(
        on_finished(lambda message: (Finished(verify_data=bytes(32)),)),
        Misbehaviour.BAD_FINISHED,
        server=asking(optional()),
        client=offering(credentials=[]),
    )


def test_server_refuses_the_finished_of_the_handshake() -> None:
    said: list[Finished] = []

    def edit(message: Any) -> Iterable[Item]:
        if not isinstance(message, Finished):
            return (message,)
        said.append(message)
        return (said[0],)

    server_refuses(edit, Misbehaviour.BAD_FINISHED)


def test_server_refuses_a_client_that_does_not_hold_the_key() -> None:
    mine, theirs = client_intermediate().issue_client("alice"), client_identity()
    impostor = Credential(theirs.chain, HiddenKey(mine.key))
    server_refuses(honest, Misbehaviour.BAD_SIGNATURE, client=offering(credentials=[impostor]))


def test_server_refuses_the_signature_of_the_handshake() -> None:
    """What the client signed there was another transcript."""
    said: list[CertificateVerify] = []

    def edit(message: Any) -> Iterable[Item]:
        if not isinstance(message, CertificateVerify):
            return (message,)
        said.append(message)
        return (said[0],)

    joined = misbehaving(edit, server=asking(client_auth=required()))
    assert len(said) == 2
    check_refused(joined, "server", PeerMisbehaved, Misbehaviour.BAD_SIGNATURE)


@pytest.mark.parametrize(
    ("scheme", "reason"),
    [
        (SignatureScheme.ED25519, Misbehaviour.SCHEME_NOT_FOR_KEY),
        (SignatureScheme.RSA_PKCS1_SHA256, Misbehaviour.SCHEME_NOT_OFFERED),
        (SignatureScheme(0x0A0A), Misbehaviour.SCHEME_NOT_OFFERED),
    ],
    ids=stable,
)
def test_server_refuses_a_signature_scheme(scheme: SignatureScheme, reason: Misbehaviour) -> None:
    server_refuses(on(CertificateVerify, lambda message: (replace(message, scheme=scheme),)), reason)


def test_server_refuses_a_certificate_without_its_proof() -> None:
    server_refuses(on(CertificateVerify, lambda message: ()), Misbehaviour.UNEXPECTED_MESSAGE)


def test_server_refuses_a_proof_without_a_certificate() -> None:
    server_refuses(
        on(CertificateMessage, lambda message: (replace(message, entries=()),)),
        Misbehaviour.UNEXPECTED_MESSAGE,
        server=asking(optional()),
    )


def test_server_refuses_what_it_did_not_ask_beside_a_certificate() -> None:
    def staple(message: CertificateMessage) -> Iterable[Item]:
        return (replace(message, entries=(replace(message.entries[0], status_request=b"ocsp"), *message.entries[1:])),)

    server_refuses(on(CertificateMessage, staple), Misbehaviour.UNSOLICITED_EXTENSION)


def test_server_refuses_a_certificate_that_is_none_even_where_it_only_reports() -> None:
    def garbage(message: CertificateMessage) -> Iterable[Item]:
        return (replace(message, entries=(CertificateEntry(certificate=b"no certificate"),)),)

    server_refuses(
        on(CertificateMessage, garbage),
        CertificateProblem.MALFORMED,
        CertificateRejected,
        server=asking(ClientAuth.report(client_roots())),
    )


def test_transport_that_ends_in_the_middle_of_an_answer_is_noticed() -> None:
    joined = misbehaving(on_finished(lambda message: ()))
    assert joined.server.awaits_client_certificate
    assert joined.server.peer is None, "without Finished nothing is proved"
    with pytest.raises(TLSError):
        joined.server.receive_eof()


# -- What a client refuses --------------------------------------------------------------------------------------------


SCHEMES: Final = (SignatureScheme.ECDSA_SECP256R1_SHA256, SignatureScheme.ED25519)


def client_refuses(
    reason: object, *items: Item, server: ServerConfig | None = None, client: ClientConfig | None = None
) -> None:
    joined = connect(server or asking(), client or offering())
    say(joined.server, *items)
    joined.run()
    check_refused(joined, "client", PeerMisbehaved, reason)
    assert joined.client_got == b""


def test_client_that_did_not_offer_refuses_a_request() -> None:
    client_refuses(
        Misbehaviour.UNEXPECTED_MESSAGE,
        CertificateRequest(context=b"context", signature_algorithms=SCHEMES),
        client=offering(post_handshake_auth=False),
    )


@pytest.mark.parametrize("context", [b"", b"context"], ids=len)
def test_client_of_tls12_refuses_a_request(context: bytes) -> None:
    joined = connect(asking(versions=["1.2"]), offering())
    say(joined.server, CertificateRequest(context=context, signature_algorithms=SCHEMES))
    joined.run()
    check_refused(joined, "client", PeerMisbehaved, Misbehaviour.UNEXPECTED_MESSAGE)


def test_client_refuses_a_request_without_a_context() -> None:
    """RFC 9846 4.4.2: it is empty in the handshake alone; the answer could be replayed to another request."""
    client_refuses(Misbehaviour.BAD_REQUEST_CONTEXT, CertificateRequest(signature_algorithms=SCHEMES))


def test_client_refuses_a_request_without_signature_algorithms() -> None:
    client_refuses(Misbehaviour.MISSING_EXTENSION, CertificateRequest(context=b"context"))


def test_client_refuses_data_in_the_middle_of_a_request() -> None:
    raw = encode_message(CertificateRequest(context=b"context", signature_algorithms=SCHEMES))
    client_refuses(Misbehaviour.INTERLEAVED_RECORD, raw[:10], Record(23, b"data"), raw[10:])


@pytest.mark.parametrize(
    "message",
    [
        CertificateMessage(entries=(CertificateEntry(certificate=client_credential().certificate.der),)),
        CertificateVerify(scheme=SignatureScheme.ED25519, signature=bytes(64)),
        Finished(verify_data=bytes(32)),
    ],
    ids=lambda message: type(message).__name__,
)
def test_client_refuses_that_the_server_authenticates_itself_again(message: Any) -> None:
    """RFC 9846 4.7.2 is for clients only."""
    client_refuses(Misbehaviour.UNEXPECTED_MESSAGE, message)


def test_client_signs_a_bounded_number_of_times_without_data() -> None:
    """Each request costs it a signature: a server that only asks is sent away."""
    joined = connect(asking(), offering())
    contexts = [number.to_bytes(2, "big") for number in range(40)]
    say(joined.server, *[CertificateRequest(context=context, signature_algorithms=SCHEMES) for context in contexts])
    feed(joined.client, [joined.server.data_to_send()])
    failure = joined.client.failure
    assert isinstance(failure, PeerMisbehaved)
    assert failure.reason is Misbehaviour.TOO_MANY_POST_HANDSHAKE_MESSAGES
