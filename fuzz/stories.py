"""One fuzz input told as the story of a connection: a real peer, and one that says what the input makes of its words.

The peer that is fuzzed runs the real handshake over an `EditedFlow`, which puts what is really sent into its
transcript: its keys, signatures and Finished fit, and the story goes on past the first MAC. What must be true at the
end of every story stands in `fuzz.oracles`.

An input is: the scenario, how the bytes are delivered, and steps. A step changes one message of the handshake, what one
flight looks like on the wire, or is something that happens after the handshake.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from fuzz import oracles
from fuzz.decisions import Decisions
from fuzz.mutations import Pool, mutated, other_bytes, stranger
from fuzz.scenarios import Scenario, scenarios, stolen
from tests.support.memory import Pair, Split, record_by_record, split_at, whole
from tests.support.scripted import Item, Record, ScriptedClient, ScriptedServer, say
from trustls.config import ClientConfig, ServerConfig
from trustls.connection import ClientConnection, Connection, ServerConnection
from trustls.errors import TLSError
from trustls.handshake.client_sessions import offered_psks
from trustls.wire.enums import ProtocolVersion
from trustls.wire.messages import (
    CertificateEntry,
    CertificateMessage,
    CertificateRequest,
    ClientHello,
    EncryptedExtensions,
    EndOfEarlyData,
    HandshakeMessage,
    HelloRetryRequest,
    KeyUpdate,
    NewSessionTicket,
    ServerHello,
    encode_message,
)
from trustls.wire.messages12 import CertificateMessage12, ClientKeyExchange, HelloRequest, ServerKeyExchange

# What a step's number means.
MESSAGES: Final = 24
FLIGHTS: Final = 8
AFTERWARDS: Final = MESSAGES + FLIGHTS
_KINDS: Final = 48
MAX_STEPS: Final = 12
MAX_LENGTH: Final = 1024

# Who changes one of these may change the keys, and then nobody can read the other's alert.
_DECIDE_KEYS: Final = (ClientHello, ServerHello, HelloRetryRequest, ServerKeyExchange, ClientKeyExchange)


@functools.cache
def pool() -> Pool:
    """What both sides say in every scenario, and certificates that nobody has the key of."""
    found = Pool()
    for scenario in scenarios():
        client, server = ScriptedClient(scenario.client), ScriptedServer(scenario.server)
        if scenario.early:
            client.offer_early(scenario.early)
        Pair(client, server).run()
        for message in (*client.flow.sent, *server.flow.sent):
            found.add(message)
    for one in stolen():
        chain = tuple([certificate.der for certificate in one.sent_chain])
        found.add(CertificateMessage(entries=tuple([CertificateEntry(certificate=der) for der in chain])))
        found.add(CertificateMessage12(certificates=chain))
    for update_requested in (False, True):
        found.add(KeyUpdate(update_requested=update_requested))
    found.add(NewSessionTicket(lifetime=7200, age_add=1, nonce=b"\0", ticket=b"a ticket", early_data=4096))
    found.add(HelloRequest())
    return found


class Editor:
    """Says what the input wants in place of each message, and notes what that means for the oracles."""

    def __init__(self, steps: dict[int, Decisions], scenario: Scenario) -> None:
        self._steps = steps
        self._scenario = scenario
        self._held: list[Item] = []
        self._number = -1
        self.side: ScriptedClient | ScriptedServer | None = None
        self.fault: Exception | None = None
        self.edits = 0
        self.keys_may_differ = False
        self.data = bytearray()

    def __call__(self, message: HandshakeMessage) -> Iterable[Item]:
        self._number += 1
        choices = self._steps.get(self._number)
        try:
            items = [message] if choices is None else self._changed(message, choices)
        except Exception as error:
            self.fault = error  # A mistake of the fuzzer's, which the connection would report as its own.
            raise
        self.note(items)
        return items

    def _changed(self, message: HandshakeMessage, choices: Decisions) -> list[Item]:
        self.edits += 1
        # The keys of TLS 1.2 come from all messages before them, and the two sides may not have the same ones there.
        # Whether early data is taken decides about a client's, too.
        early = bool(self._scenario.early) and isinstance(message, EncryptedExtensions | EndOfEarlyData)
        decides = self._scenario.version == "1.2" or early or isinstance(message, _DECIDE_KEYS)
        self.keys_may_differ = self.keys_may_differ or decides
        waiting, self._held = self._held, []
        return [*mutated(message, choices, pool(), self._held, self._rebind), *waiting]

    def note(self, items: Iterable[Item]) -> None:
        """Keep what is said as application data."""
        for item in items:
            if isinstance(item, Record) and item.kind == 23:
                self.data += item.content

    def _rebind(self, hello: Any) -> None:
        """Binders that fit the offered keys as they now stand."""
        side = self.side
        offer = hello.pre_shared_key if isinstance(hello, ClientHello) else None
        if not isinstance(side, ScriptedClient) or not offer or not offer.binders:
            return
        parameters = self._scenario.client.parameters
        store = parameters.sessions
        keys = offered_psks(parameters, None if store is None else store.take(b""))
        if not keys:
            return
        used = [keys[index % len(keys)] for index in range(len(offer.binders))]
        offer.binders = tuple([bytes(psk.algorithm.length) for psk in used])
        length = 2 + sum(1 + psk.algorithm.length for psk in used)
        partial = side.flow.transcript.content() + encode_message(hello)[:-length]
        offer.binders = tuple([psk.early.binder(psk.binder_label, psk.algorithm.hash(partial)) for psk in used])


class FuzzedClient(ScriptedClient):
    """A client whose editor knows it before it speaks."""

    __slots__ = ()

    def __init__(self, config: ClientConfig, editor: Editor) -> None:
        editor.side = self
        super().__init__(config, editor)


class FuzzedServer(ScriptedServer):
    """A server whose editor knows it before it speaks."""

    __slots__ = ()

    def __init__(self, config: ServerConfig, editor: Editor) -> None:
        editor.side = self
        super().__init__(config, editor)


@dataclass(slots=True)
class Story:
    """Two sides, one of which is fuzzed, and what has been said.

    Attributes:
        scenario: what is told.
        joined: the two sides and the wires.
        victim: the one that must keep the rules.
        script: the other.
        editor: what it says.
        tampered: whether the wire was changed.
        sent: the application data that the script has sent, in order.
        got: what the victim gave out.
        closed: whether one of the sides was closed by this story.
    """

    scenario: Scenario
    joined: Pair
    victim: Connection
    script: ScriptedClient | ScriptedServer
    editor: Editor
    tampered: bool = False
    sent: bytearray = field(default_factory=bytearray)
    closed: bool = False

    @property
    def got(self) -> bytes:
        """The application data that the victim has given out."""
        return bytes(self.joined.client_got if self.victim is self.joined.client else self.joined.server_got)


def begun(role: str, scenario: Scenario, steps: dict[int, Decisions]) -> Story:
    """The two sides before anything is carried; `role` is who is fuzzed: the other one says what the input wants."""
    editor = Editor(steps, scenario)
    client: ClientConnection
    server: ServerConnection
    script: ScriptedClient | ScriptedServer
    victim: Connection
    if role == "client":
        script = server = FuzzedServer(scenario.server, editor)
        victim = client = ClientConnection(scenario.client, "localhost")
    else:
        script = client = FuzzedClient(scenario.client, editor)
        victim = server = ServerConnection(scenario.server)
    story = Story(scenario, Pair(client, server), victim, script, editor)
    if scenario.early and client.early_data_limit:
        client.offer_early(scenario.early)
    return story


def tell(role: str, data: bytes) -> Story:
    """The whole story of one input; an oracle's AssertionError when a rule is broken."""
    choices = Decisions(data)
    scenario = choices.pick(scenarios())
    delivery = choices.byte()
    edits: dict[int, Decisions] = {}
    flights: dict[int, Decisions] = {}
    afterwards: list[Decisions] = []
    for number, own in choices.steps(MAX_STEPS):
        place = number % _KINDS
        if place < MESSAGES:
            edits.setdefault(place, own)
        elif place < AFTERWARDS:
            flights.setdefault(place - MESSAGES, own)
        else:
            afterwards.append(own)
    story = begun(role, scenario, edits)
    story.joined.split = _split(delivery)
    _tamper(story, flights)
    story.joined.run()
    oracles.check_handshake(story)
    for own in afterwards:
        if story.victim.failure is None and not story.victim.handshaking:
            _go_on(story, own)
            story.joined.run()
    oracles.check_end(story)
    return story


def _split(delivery: int) -> Split:
    size = 1 + delivery // 4
    match delivery % 4:
        case 0:
            return whole
        case 1:
            return record_by_record
        case 2:
            return split_at([size])
        case _:
            return split_at([size * 50, size])


def _tamper(story: Story, flights: dict[int, Decisions]) -> None:
    """Change flights on their way to the victim."""
    if not flights:
        return
    seen = -1

    def change(stream: bytes) -> bytes:
        nonlocal seen
        seen += 1
        choices = flights.get(seen)
        if choices is None:
            return stream
        story.tampered = True
        return other_bytes(stream, choices)

    if story.victim is story.joined.client:
        story.joined.to_client = change
    else:
        story.joined.to_server = change


# -- After the handshake ----------------------------------------------------------------------------------------------


def _go_on(story: Story, choices: Decisions) -> None:
    """Something that one side does after the handshake. What is not possible any more is not done."""
    # Only calls of the application are made here: what is refused has happened before, or may not be done now.
    with contextlib.suppress(TLSError):
        _do(story, choices)


def _do(story: Story, choices: Decisions) -> None:
    victim, script = story.victim, story.script
    match choices.below(12):
        case 0:
            content = choices.octets() * (1 + choices.below(300))
            script.send(content)
            story.sent += content
        case 1:
            script.update_keys(request_peer=choices.flag())
        case 2:
            changed = mutated(choices.pick(_later(story)), choices, pool(), [], None)
            _say(story, changed)
        case 3:
            _say(story, stranger(choices, pool()))
        case 4:
            victim.send(choices.octets() * (1 + choices.below(300)))
        case 5:
            victim.update_keys(request_peer=choices.flag())
        case 6:
            side: Connection = victim if choices.flag() else script
            side.close()
            story.closed = True
        case 7:
            server = story.joined.server
            if server.can_request_client_certificate:
                server.request_client_certificate()
        case 8:
            _say(story, [choices.pick(_later(story)) for _ in range(1 + choices.below(40))])
        case 9:
            _say(story, [Record(choices.pick((20, 21, 22, 23)), b"") for _ in range(1 + choices.below(40))])
        case 10:
            _say(story, [Record(21, bytes([choices.pick((1, 2)), choices.byte()]))])
        case _:
            script.receive_eof() if choices.flag() else victim.receive_eof()


def _later(story: Story) -> list[HandshakeMessage]:
    """What may come after the handshake, as far as this side and version have it."""
    found: list[HandshakeMessage] = [
        message
        for message in pool().all
        if isinstance(message, KeyUpdate | NewSessionTicket | CertificateRequest | HelloRequest | ClientHello)
    ]
    version = ProtocolVersion.TLS1_2 if story.scenario.version == "1.2" else ProtocolVersion.TLS1_3
    if version is ProtocolVersion.TLS1_3:
        found += [message for message in pool().all if isinstance(message, CertificateMessage)]
    return found


def _say(story: Story, items: list[Item]) -> None:
    story.editor.keys_may_differ = True  # What is said here does not change the keys that it speaks of.
    say(story.script, *items)
    for item in items:
        if isinstance(item, Record) and item.kind == 23:
            story.sent += item.content
