"""What must be true of every connection, whatever its peer said. A rule that is broken is an AssertionError."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Final

from fuzz.scenarios import client_key, server_key
from tests.support.memory import check_bounds
from tests.support.scripted import ScriptedClient, ScriptedServer
from trustls.connection import ClientConnection, Connection, ServerConnection
from trustls.errors import (
    AlertReceived,
    CertificateRejected,
    CertificateRejectedByPeer,
    ConnectionClosed,
    DecodeError,
    Misbehaviour,
    PeerIncompatible,
    PeerMisbehaved,
    TLSError,
    UnexpectedEOF,
)
from trustls.identity.credential import Credential
from trustls.trust.client_auth import ClientAuthMode

if TYPE_CHECKING:
    from fuzz.stories import Story

JUDGEMENTS: Final = (PeerMisbehaved, DecodeError, PeerIncompatible, CertificateRejected)
ENDS: Final = (*JUDGEMENTS, AlertReceived, CertificateRejectedByPeer, UnexpectedEOF)
# What is said of a peer's doing is for people and logs: it may not grow with what the peer sent.
_LONGEST_SENTENCE: Final = 20_000


def check_refusal(error: BaseException) -> None:
    """`error` is one of ours, says something, and can be handed on."""
    assert isinstance(error, TLSError), f"{type(error).__name__} came out: {error!r}"
    sentence = str(error)
    assert sentence, f"{type(error).__name__} says nothing"
    assert len(sentence) <= _LONGEST_SENTENCE, f"a sentence of {len(sentence)} characters: {sentence[:200]}"
    assert type(pickle.loads(pickle.dumps(error))) is type(error), f"{error!r} is another one when it is pickled"


def judged(connection: Connection) -> bool:
    """Whether a side has refused the other, by its own judgement."""
    failure = connection.failure
    return isinstance(failure, JUDGEMENTS) and not isinstance(failure, AlertReceived)


def check_handshake(story: Story) -> None:
    """When both are silent after the handshake."""
    fault = story.editor.fault
    if fault is not None:
        raise fault
    story.sent += story.editor.data
    _check_sides(story)
    if not story.victim.handshaking and story.victim.failure is None:
        check_identity(story)
    if story.joined.connected and not story.tampered:
        _check_same(story)


def check_end(story: Story) -> None:
    """When everything has happened that is to happen."""
    for side in (story.joined.client, story.joined.server):
        if side.handshaking:
            try:
                side.receive_eof()
            except UnexpectedEOF:
                pass
            else:
                raise AssertionError("the transport ended in the middle of the handshake, and nobody said so")
    _check_sides(story)
    check_told(story)


def _check_sides(story: Story) -> None:
    for side in (story.joined.client, story.joined.server):
        check_bounds(side)
        check_failure(side, may_be_closed=story.closed)
    check_data(story)


def check_failure(side: Connection, *, may_be_closed: bool = False) -> None:
    """A failure is one of those that a peer can cause, and who has failed during the handshake is not connected."""
    failure = side.failure
    if failure is None:
        return
    ends = (*ENDS, ConnectionClosed) if may_be_closed else ENDS
    if type(failure) not in ends:
        who = "the script" if isinstance(side, ScriptedClient | ScriptedServer) else "the victim"
        raise AssertionError(f"{who} failed with {type(failure).__name__}: {failure}") from failure
    check_refusal(failure)
    assert not side.handshaking, "a connection that has failed says that its handshake is under way"
    for name, call in (
        ("send", lambda: side.send(b"data")),
        ("receive", lambda: side.receive(b"")),
        ("update_keys", side.update_keys),
    ):
        try:
            call()
        except TLSError as error:
            assert error is failure or isinstance(error, ConnectionClosed), f"{name} raises another failure: {error!r}"
        else:
            raise AssertionError(f"{name} goes on after {failure!r}")
    if side._established is None:
        # Who sent early data has proved with the session's key who it is.
        by_session = isinstance(side, ServerConnection) and side.early_data_accepted
        assert side.peer is None or by_session, f"a peer is named after {failure!r}"
        try:
            info = side.info
        except TLSError as error:
            assert error is failure
        else:
            raise AssertionError(f"a handshake that ended with {failure!r} says what was negotiated: {info}")


def check_data(story: Story) -> None:
    """Data comes out after the handshake only, as it was sent, and in order."""
    victim, got = story.victim, story.got
    assert not got or victim._established is not None, (
        f"{len(got)} bytes of data came out before the handshake was done"
    )
    assert story.sent.startswith(got), f"data came out that was not sent as data: {got[:80]!r}"
    if isinstance(victim, ServerConnection):
        early = victim.read_early()
        allowed = story.scenario.early + bytes(story.editor.data)
        assert allowed.startswith(early), f"early data that was not sent: {early[:80]!r}"


def check_identity(story: Story) -> None:
    """A handshake that got through has authenticated whom it should, and nobody whom it should not."""
    victim, scenario = story.victim, story.scenario
    peer = victim.peer
    if isinstance(victim, ClientConnection):
        if scenario.psk:
            # A script that hides the key makes it a full handshake; with it, nobody has a certificate.
            assert victim.info.psk_identity is not None or peer is not None, "a server got in that proved nothing"
        else:
            assert peer is not None, "a server got in that proved nothing"
        assert peer is None or peer.certificate == server_key().certificate, f"the client believes in {peer}"
        return
    if peer is None:
        by_key = victim.info.psk_identity is not None
        assert not scenario.required or by_key, "a client got in that proved nothing"
        return
    own = scenario.client.credentials
    known = [one.certificate for one in own if isinstance(one, Credential)] or [client_key().certificate]
    if peer.error is not None:
        reports = scenario.server.client_auth.mode is ClientAuthMode.REPORT
        assert reports, f"a client got in that was not accepted: {peer.error}"
        assert peer.certificate.spki in [one.spki for one in known], f"{peer} has not shown its key"
    else:
        assert peer.certificate in known, f"the server believes in {peer}, who has not shown its key"


def _check_same(story: Story) -> None:
    client, server = story.joined.client, story.joined.server
    label = "EXPORTER-fuzz"
    assert client.export(label, 32) == server.export(label, 32), "both are connected, and not with one another"
    for name in ("version", "suite", "group", "resumed", "retried", "psk_identity", "alpn"):
        if name == "alpn" and story.editor.edits:
            continue  # The script may say another protocol than the one that it settled on.
        ours, theirs = getattr(client.info, name), getattr(server.info, name)
        assert ours == theirs, f"the client says {name} {ours}, the server {theirs}"


def check_told(story: Story) -> None:
    """Who refuses says why, in an alert that the other reads unless it has refused by itself before."""
    victim, script = story.victim, story.script
    failure = victim.failure
    if not judged(victim) or victim._close_sent or story.closed:
        return
    assert failure is not None
    assert failure.alert is not None, f"no alert is sent for {failure!r}"
    if isinstance(script.failure, AlertReceived):
        assert script.failure.code == failure.alert, f"{failure.alert!r} was meant, and {script.failure} read"
        return
    may_differ = story.tampered or story.editor.keys_may_differ
    assert script.failure is not None, f"{failure!r} was not told to the other side"
    unreadable = isinstance(script.failure, PeerMisbehaved) and script.failure.reason is Misbehaviour.BAD_RECORD_MAC
    assert may_differ or not unreadable, f"the alert for {failure!r} could not be read"
