"""Client authentication after the handshake and bad input, driven by hypothesis: any message of it, changed in any way.

As in tests/connection/test_mutations.py, whose changes are used here, what is changed passes the record protection and
is judged by what it says. Every story must end: with a client that has proved who it is, with one that stays unknown
where it may or has not finished its answer, or with a specific TLSError.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.connection.test_mutations import CHANGES, ENDS, Change, check_told, judged
from tests.support.examples import COMPARES_BYTES, more
from tests.support.identities import client_config, client_credential, optional, required, server_config
from tests.support.memory import Pair, split_at
from tests.support.scripted import Item, ScriptedClient, ScriptedServer
from trustls.connection import ClientConnection, ServerConnection
from trustls.wire.messages import (
    CertificateMessage,
    CertificateRequest,
    CertificateVerify,
    ClientHello,
    Finished,
    HandshakeMessage,
    encode_message,
)

pytestmark = COMPARES_BYTES

SERVERS: Final = {
    mode: server_config(post_handshake_auth=auth, resumption=None)
    for mode, auth in (("required", required()), ("optional", optional()))
}
CLIENTS: Final = {
    having: client_config(credentials=credentials, post_handshake_auth=True, sessions=None)
    for having, credentials in (("certificate", [client_credential()]), ("nothing", []))
}
ANSWERS: Final = {
    "certificate": (CertificateMessage, CertificateVerify, Finished),
    "nothing": (CertificateMessage, Finished),
}

every_server = pytest.mark.parametrize("mode", SERVERS)
_PIECES: Final = st.lists(st.integers(50, 3000), max_size=3)


def tell(joined: Pair, sizes: list[int]) -> None:
    """The handshake, the request and what comes of it, with a look at how it ends."""
    joined.run()
    assert joined.connected, f"the handshake failed: {joined.server.failure!r}, {joined.client.failure!r}"
    joined.split = split_at(sizes)
    joined.server.request_client_certificate()
    joined.run()
    for side in (joined.client, joined.server):
        assert side.failure is None or type(side.failure) in ENDS, f"{side.failure!r}"
        if judged(side):
            # The scripted side, which fails to keep step with what it said, may not be able to read the alert.
            check_told(side, joined.other(side), keys_may_differ=True)
    peer = joined.server.peer
    assert peer is None or peer.certificate == client_credential().certificate, "another was believed"
    assert peer is None or peer.verified, "somebody was believed who proved nothing"
    if joined.server.failure is None and not joined.server.awaits_client_certificate:
        mode = joined.server._facts().server
        assert mode is not None
        assert mode.post_handshake_auth is not None
        assert peer is not None or mode.post_handshake_auth.mode.value == "optional", "nobody passed for somebody"


def client_script(having: str, changes: dict[int, Change]) -> ScriptedClient:
    """A client that says something else in place of the messages of these numbers of its answer."""
    number = -1
    handshake_done = False

    def edit(message: HandshakeMessage) -> Iterable[Item]:
        nonlocal number, handshake_done
        if not handshake_done:
            handshake_done = isinstance(message, Finished)
            return (message,)
        number += 1
        assert isinstance(message, ANSWERS[having]), f"the answer holds a {type(message).__name__}"
        return changes[number](encode_message(message)) if number in changes else (message,)

    return ScriptedClient(CLIENTS[having], edit)


@every_server
@pytest.mark.parametrize(
    ("having", "number"), [(having, number) for having, kinds in ANSWERS.items() for number in range(len(kinds))]
)
@more(3)
@given(change=CHANGES, sizes=_PIECES)
def test_changed_message_of_an_answer_ends_well(
    mode: str, having: str, number: int, change: Change, sizes: list[int]
) -> None:
    tell(Pair(client_script(having, {number: change}), ServerConnection(SERVERS[mode])), sizes)


@every_server
@pytest.mark.parametrize("having", ANSWERS)
@more(3)
@given(changes=st.dictionaries(st.integers(0, 2), CHANGES, min_size=2, max_size=3), sizes=_PIECES)
def test_answer_with_many_changes_ends_well(
    mode: str, having: str, changes: dict[int, Change], sizes: list[int]
) -> None:
    tell(Pair(client_script(having, changes), ServerConnection(SERVERS[mode])), sizes)


@every_server
@pytest.mark.parametrize("having", ANSWERS)
@more(3)
@given(change=CHANGES, sizes=_PIECES)
def test_changed_request_ends_well(mode: str, having: str, change: Change, sizes: list[int]) -> None:
    def edit(message: Any) -> Iterable[Item]:
        return change(encode_message(message)) if isinstance(message, CertificateRequest) else (message,)

    client = ClientConnection(CLIENTS[having], "localhost")
    tell(Pair(client, ScriptedServer(SERVERS[mode], edit)), sizes)


def test_what_is_changed_is_what_is_said() -> None:
    """Guards the tests above: a message that is not listed would go unchanged."""
    for having, kinds in ANSWERS.items():
        client = client_script(having, {})
        tell(Pair(client, ServerConnection(SERVERS["optional"])), [])
        assert [type(message) for message in client.flow.sent] == [ClientHello, Finished, *kinds]
