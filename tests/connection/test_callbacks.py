"""What the application decides or signs itself: at once, later (`settle`), wrongly, or not at all."""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.support.identities import (
    client_config,
    client_credential,
    client_identity,
    client_roots,
    required,
    server_config,
    server_credential,
    server_identity,
    server_roots,
    strange_credential,
)
from tests.support.memory import Pair, byte_by_byte, check_refused, feed, pair
from trustls.connection import Connection
from trustls.crypto.signatures import sign
from trustls.danger import AcceptAnyCertificate
from trustls.errors import (
    AlertDescription,
    AlertReceived,
    CertificateProblem,
    CertificateRejected,
    ConfigError,
    InternalError,
    Misbehaviour,
    PeerMisbehaved,
    SigningFailed,
    TLSError,
)
from trustls.identity.credential import Credential
from trustls.identity.request import CredentialRequest
from trustls.trust.certificate import Certificate
from trustls.trust.client_auth import ClientAuth
from trustls.trust.names import ServerName
from trustls.trust.verifiers import Peer, RootsClientVerifier, RootsServerVerifier
from trustls.wire.enums import SignatureScheme
from trustls.wire.names import DistinguishedName


class Signer:
    """Signs at once or later, as a callback says."""

    schemes = (SignatureScheme.ECDSA_SECP256R1_SHA256,)

    def __init__(self, answer: Callable[[SignatureScheme, bytes], Any]) -> None:
        self._answer = answer

    def sign(self, scheme: SignatureScheme, message: bytes) -> Any:
        return self._answer(scheme, message)


class ServerVerifier:
    """Decides about servers as a callback says."""

    def __init__(self, answer: Callable[[tuple[Certificate, ...]], Any]) -> None:
        self._answer = answer

    def verify_server(
        self, chain: tuple[Certificate, ...], server_name: ServerName, *, now: float, ocsp_response: bytes
    ) -> Any:
        return self._answer(chain)


class ClientVerifier:
    """Decides about clients as a callback says."""

    def __init__(self, answer: Callable[[tuple[Certificate, ...]], Any]) -> None:
        self._answer = answer
        self.hints: tuple[DistinguishedName, ...] = client_roots().subjects()

    def verify_client(self, chain: tuple[Certificate, ...], *, now: float) -> Any:
        return self._answer(chain)


def later(value: Any) -> Awaitable[Any]:
    """The value after a turn of the event loop, or the exception if it is one."""

    async def answer() -> Any:
        await asyncio.sleep(0)
        if isinstance(value, Exception):
            raise value
        return value

    return answer()


def later_signer(identity: Any) -> Signer:
    return Signer(lambda scheme, message: later(sign(identity.key, scheme, message)))


async def run_async(joined: Pair) -> Pair:
    """As an asynchronous shell drives it: settle what is pending, then go on with what came meanwhile."""
    for _ in range(100):
        moved = joined.step()
        for side, got in ((joined.client, joined.client_got), (joined.server, joined.server_got)):
            if side.pending_work is not None:
                moved = True
                await side.settle()
                got.extend(feed(side, [b""]))
        if not moved:
            return joined
    raise AssertionError("the two sides still talk")


def settled(joined: Pair) -> Pair:
    return asyncio.run(run_async(joined))


def all_later() -> tuple[Any, Any]:
    """A server and a client that answer every question later."""
    server_roots_verifier = RootsServerVerifier(server_roots())
    client_roots_verifier = RootsClientVerifier(client_roots())
    import time

    server = server_config(
        credentials=[Credential(server_identity().chain, later_signer(server_identity()))],
        client_auth=ClientAuth.custom(
            ClientVerifier(lambda chain: later(client_roots_verifier.verify_client(chain, now=time.time())))
        ),
    )
    credential = Credential(client_identity().chain, later_signer(client_identity()))
    client = client_config(
        verifier=ServerVerifier(
            lambda chain: later(
                server_roots_verifier.verify_server(chain, ServerName("localhost"), now=time.time(), ocsp_response=b"")
            )
        ),
        credentials=[credential],
        choose_credential=lambda request, credentials: later(credentials[0]),
    )
    return server, client


@pytest.mark.parametrize("split", [lambda data: [data], byte_by_byte], ids=["coalesced", "byte by byte"])
def test_handshake_with_asynchronous_callbacks_on_both_sides(split: Any) -> None:
    joined = pair(*all_later())
    joined.split = split
    settled(joined)
    joined.check_connected()
    assert joined.server.peer is not None
    assert joined.server.peer.subject == "CN=alice"


def test_pending_work_names_what_is_waited_for() -> None:
    joined = pair(*all_later())
    seen: list[str] = []

    async def run() -> None:
        for _ in range(20):
            joined.step()
            for side in (joined.client, joined.server):
                if (work := side.pending_work) is not None:
                    seen.append(f"{'client' if side.is_client else 'server'}: {work}")
                    await side.settle()
                    feed(side, [b""])

    asyncio.run(run())
    assert list(dict.fromkeys(seen)) == [
        "server: sign",
        "client: verify the server's certificate",
        "server: verify the client's certificate",
    ], "the client settles its three questions in one call"


def test_data_that_comes_while_work_is_pending_is_kept_for_later() -> None:
    server, client = all_later()
    joined = pair(server, client)
    held: list[bytes] = []

    async def run() -> None:
        while joined.server.pending_work is None or joined.client.handshaking:
            joined.step()
            for side in (joined.client, joined.server):
                if side.pending_work is not None and not (side is joined.server and not joined.client.handshaking):
                    await side.settle()
                    feed(side, [b""])
        # The server still verifies; the client is done, and sends.
        joined.client.send(b"early bird")
        data = joined.client.data_to_send()
        held.append(joined.server.receive(data[:10]) + joined.server.receive(data[10:]))
        await joined.server.settle()
        held.append(joined.server.receive(b""))

    asyncio.run(run())
    assert held == [b"", b"early bird"]
    joined.check_connected()


def test_chooser_decides_among_the_credentials() -> None:
    asked: list[CredentialRequest] = []

    def choose(request: CredentialRequest, credentials: tuple[Credential, ...]) -> Credential | None:
        asked.append(request)
        return credentials[1]

    held = [client_credential("ec-p256", "alice"), client_credential("ec-p256", "bob")]
    joined = pair(
        server_config(client_auth=required()), client_config(credentials=held, choose_credential=choose)
    ).run()
    joined.check_connected()
    assert joined.client.info.credential is held[1]
    assert asked == [joined.client.requested]


def test_chooser_may_choose_none() -> None:
    client = client_config(credentials=[client_credential()], choose_credential=lambda request, credentials: None)
    joined = pair(server_config(client_auth=required()), client).run()
    check_refused(joined, "server", CertificateRejected, CertificateProblem.NONE_PRESENTED)


def test_chooser_is_not_asked_when_no_certificate_is() -> None:
    def choose(request: CredentialRequest, credentials: tuple[Credential, ...]) -> Credential | None:
        raise AssertionError("nobody asked for a certificate")

    client = client_config(credentials=[client_credential()], choose_credential=choose)
    pair(client=client).run().check_connected()


def test_choice_that_cannot_be_used_ends_the_handshake_and_the_server_is_told() -> None:
    """An ed25519 key where the server takes RSA only: the application's mistake, and not one to be silent about."""
    client = client_config(
        credentials=[client_credential("ed25519")], choose_credential=lambda request, credentials: credentials[0]
    )
    joined = pair(
        server_config(
            client_auth=required(),
            credentials=[server_credential("rsa-2048")],
            signature_schemes=["rsa_pss_rsae_sha256"],
        ),
        client,
    ).run()
    assert isinstance(joined.client.failure, ConfigError)
    assert "its key signs with ed25519" in str(joined.client.failure)
    assert isinstance(joined.server.failure, AlertReceived), "the server waits for a flight that never comes"


# -- Callbacks that fail ----------------------------------------------------------------------------------------------


class Broken(RuntimeError):
    """What a callback of an application raises."""


def broken_signer(raising: Exception, *, asynchronous: bool) -> Signer:
    def answer(scheme: SignatureScheme, message: bytes) -> Any:
        if asynchronous:
            return later(raising)
        raise raising

    return Signer(answer)


def failing(where: str, raising: Exception, *, asynchronous: bool) -> tuple[Pair, Connection]:
    """A pair in which one callback raises, and the side that it belongs to."""

    def raises(*arguments: Any, **named: Any) -> Any:
        if asynchronous:
            return later(raising)
        raise raising

    server, client = server_config(client_auth=required()), client_config(credentials=[client_credential()])
    signer = broken_signer(raising, asynchronous=asynchronous)
    match where:
        case "server signer":
            server = server_config(credentials=[Credential(server_identity().chain, signer)], client_auth=required())
        case "client signer":
            client = client_config(credentials=[Credential(client_identity().chain, signer)])
        case "server verifier":
            client = client_config(verifier=ServerVerifier(raises), credentials=[client_credential()])
        case "client verifier":
            server = server_config(client_auth=ClientAuth.custom(ClientVerifier(raises)))
        case "chooser":
            client = client_config(credentials=[client_credential()], choose_credential=raises)
    joined = pair(server, client)
    owner = joined.server if where in {"server signer", "client verifier"} else joined.client
    return joined, owner


CALLBACKS = ["server signer", "client signer", "server verifier", "client verifier", "chooser"]


@pytest.mark.parametrize("asynchronous", [False, True], ids=["at once", "later"])
@pytest.mark.parametrize("where", CALLBACKS)
def test_callback_that_raises_ends_the_connection_and_no_more(where: str, *, asynchronous: bool) -> None:
    joined, owner = failing(where, Broken("the HSM is on fire"), asynchronous=asynchronous)
    settled(joined)
    role = "client" if owner is joined.client else "server"
    failure = check_refused(joined, role, InternalError)
    assert "the HSM is on fire" in str(failure)
    assert isinstance(failure.__cause__, Broken), "what the callback raised is the cause"
    assert failure.alert is AlertDescription.INTERNAL_ERROR


@pytest.mark.parametrize("asynchronous", [False, True], ids=["at once", "later"])
@pytest.mark.parametrize("where", ["server verifier", "client verifier"])
def test_verifier_refuses_with_the_reason_that_it_gives(where: str, *, asynchronous: bool) -> None:
    refusal = CertificateRejected(CertificateProblem.REFUSED, "not on the list")
    joined, owner = failing(where, refusal, asynchronous=asynchronous)
    settled(joined)
    role = "client" if owner is joined.client else "server"
    assert check_refused(joined, role, CertificateRejected, CertificateProblem.REFUSED) is refusal
    assert owner.peer is None


@pytest.mark.parametrize("asynchronous", [False, True], ids=["at once", "later"])
@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (None, "gave NoneType, not the bytes of a signature"),
        ("signature", "gave str, not the bytes of a signature"),
        (7, "gave int, not the bytes of a signature"),
        (b"", "gave a signature of 0 bytes"),
        (bytes(1 << 16), "gave a signature of 65536 bytes"),
        (b"not a signature", ""),
    ],
    ids=["None", "text", "number", "nothing", "too long", "other bytes"],
)
@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("side", ["server", "client"])
def test_signer_that_gives_no_signature_ends_the_connection_and_no_more(
    side: str, version: str, answer: object, said: str, *, asynchronous: bool
) -> None:
    signer = Signer(lambda scheme, message: later(answer) if asynchronous else answer)
    servers, clients = [server_credential()], [client_credential()]
    if side == "server":
        servers = [Credential(server_identity().chain, signer)]
    else:
        clients = [Credential(client_identity().chain, signer)]
    server = server_config(credentials=servers, client_auth=required())
    joined = settled(pair(server, client_config(credentials=clients, versions=[version])))
    if said:
        assert said in str(check_refused(joined, side, SigningFailed)), "it must be said whose fault it is"
    else:
        check_refused(joined, "client" if side == "server" else "server", PeerMisbehaved, Misbehaviour.BAD_SIGNATURE)


@pytest.mark.parametrize("asynchronous", [False, True], ids=["at once", "later"])
@pytest.mark.parametrize("answer", [None, True, "alice"], ids=repr)
@pytest.mark.parametrize("where", ["server", "client"])
def test_verifier_that_gives_no_peer_lets_nobody_in(where: str, answer: object, *, asynchronous: bool) -> None:
    """A verifier that forgets its `return` has not said yes: with None, a required client would be nobody."""

    def verify(chain: tuple[Certificate, ...]) -> Any:
        return later(answer) if asynchronous else answer

    server, client = server_config(client_auth=required()), client_config(credentials=[client_credential()])
    if where == "client":
        client = client_config(verifier=ServerVerifier(verify), credentials=[client_credential()])
    else:
        server = server_config(client_auth=ClientAuth.custom(ClientVerifier(verify)))
    joined = settled(pair(server, client))
    owner = joined.client if where == "client" else joined.server
    assert owner.failure is not None, f"the connection is up, and its peer is {owner.peer!r}"
    assert owner.failure.alert is AlertDescription.INTERNAL_ERROR


def test_settle_does_nothing_when_nothing_is_pending() -> None:
    joined = pair()
    asyncio.run(joined.client.settle())
    joined.run().check_connected()


@pytest.mark.parametrize("end", ["abort", "eof"])
def test_work_that_nobody_waits_for_any_more_is_dropped_quietly(end: str) -> None:
    """Without "coroutine was never awaited": the application did nothing wrong."""
    joined = pair(*all_later())
    feed(joined.server, [joined.client.data_to_send()])
    assert joined.server.pending_work == "sign"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if end == "abort":
            joined.server.abort(TLSError("the application changed its mind"))
        else:
            with pytest.raises(TLSError):
                joined.server.receive_eof()
        assert joined.server.pending_work is None
        gc.collect()
    assert [str(warning.message) for warning in caught] == []


def test_settling_that_is_cancelled_ends_the_connection() -> None:
    """The task that settles is given up, by a timeout for example: the peer is told, and nothing waits any more."""

    async def for_ever() -> bytes:
        await asyncio.Event().wait()
        raise AssertionError

    signer = Signer(lambda scheme, message: for_ever())
    joined = pair(server_config(credentials=[Credential(server_identity().chain, signer)]))

    async def run() -> None:
        feed(joined.server, [joined.client.data_to_send()])
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(joined.server.settle(), 0.01)

    asyncio.run(run())
    assert joined.server.pending_work is None
    joined.run()
    failure = check_refused(joined, "server", InternalError)
    assert "given up: to sign" in str(failure)


def test_work_that_has_neither_close_nor_cancel_is_dropped_too() -> None:
    class Awaitable:
        def __await__(self) -> Any:
            raise AssertionError("nobody awaits this")

    signer = Signer(lambda scheme, message: Awaitable())
    joined = pair(server_config(credentials=[Credential(server_identity().chain, signer)]))
    feed(joined.server, [joined.client.data_to_send()])
    assert joined.server.pending_work == "sign"
    joined.server.abort(InternalError("changed its mind"))
    assert joined.server.pending_work is None


def test_accept_any_certificate_believes_everybody_and_verifies_nobody() -> None:
    """What stands in `trustls.danger`: the key is proved, and nothing else."""
    joined = pair(
        server_config(client_auth=ClientAuth.custom(AcceptAnyCertificate())),
        client_config(verifier=AcceptAnyCertificate(), credentials=[strange_credential()]),
        name="another.example",
    ).run()
    joined.check_connected()
    assert joined.client.requested is not None
    assert joined.client.requested.authorities == ()
    for peer in (joined.client.peer, joined.server.peer):
        assert peer is not None
        assert peer.verified == ()
        assert "not verified" in str(peer)


def test_peer_of_a_custom_verifier_is_what_it_returned() -> None:
    def accept(chain: tuple[Certificate, ...]) -> Peer:
        return Peer(chain)

    joined = pair(
        server_config(client_auth=ClientAuth.custom(ClientVerifier(accept))),
        client_config(verifier=ServerVerifier(accept), credentials=[client_credential()]),
    ).run()
    joined.check_connected()
    assert joined.server.peer == Peer(client_credential().chain)
    assert joined.client.peer == Peer(server_credential().chain)
