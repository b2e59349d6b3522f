"""No order of messages but the RFC's reaches "connected": RFC 9846 2 and 4, RFC 5246 7.3, RFC 5077, RFC 6066 8.

A peer that runs the real handshake says its words in another order: some left out, said twice, in another place, or
with others among them. Its keys, transcript and signatures keep step with what it really says, so that it is the order
alone that the victim has to judge. The orders are made one by one, and at random; what the RFC allows stands below once
more, as lists of words that owe nothing to the code under test.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.examples import COMPARES_BYTES, more
from tests.support.identities import (
    client_config,
    client_credential,
    optional,
    required,
    server_config,
    server_identity,
    server_root,
)
from tests.support.memory import Pair, connect
from tests.support.revoking import ocsp_response
from tests.support.scripted import EditedFlow, Item, Record, ScriptedClient, ScriptedServer, say
from trustls.config import ClientConfig, ServerConfig
from trustls.connection import ClientConnection, Connection, ServerConnection
from trustls.errors import AlertDescription, InternalError, TLSError, UnexpectedEOF
from trustls.identity.credential import Credential
from trustls.protocol.record import RecordSealer
from trustls.session.state import ClientSession
from trustls.session.store import MemorySessions
from trustls.session.tickets import StoredSessions, Tickets
from trustls.trust.client_auth import ClientAuth
from trustls.wire.messages import HandshakeMessage, HelloRetryRequest, encode_message

pytestmark = COMPARES_BYTES

CCS: Final = "change_cipher_spec"
DATA: Final = "application data"
EMPTY: Final = "Certificate (empty)"
FIN: Final = "Finished"
Order = tuple[str, ...]


# -- What the RFCs allow ----------------------------------------------------------------------------------------------


def _orders(text: str) -> frozenset[Order]:
    """All orders of a line in which a word in brackets may be left out."""
    choices = [((), (word.strip("[]"),)) if word.startswith("[") else ((word,),) for word in text.split()]
    names = {"CH": "ClientHello", "SH": "ServerHello", "HRR": "HelloRetryRequest", "EE": "EncryptedExtensions"}
    names |= {"CR": "CertificateRequest", "CT": "Certificate", "CV": "CertificateVerify", "FIN": FIN, "CT0": EMPTY}
    names |= {"SKE": "ServerKeyExchange", "SHD": "ServerHelloDone", "CKE": "ClientKeyExchange", "CCS": CCS}
    names |= {"CS": "CertificateStatus", "NST": "NewSessionTicket", "EOED": "EndOfEarlyData"}
    return frozenset(tuple(names[word] for part in parts for word in part) for parts in itertools.product(*choices))


def _any_of(*lines: str) -> frozenset[Order]:
    return frozenset(itertools.chain(*map(_orders, lines)))


# Behind Finished: what a client or a server of each version may still be told, any number of times within bounds.
AFTERWARDS: Final = {
    ("client", "1.3"): {DATA, "NewSessionTicket", "KeyUpdate"},
    ("server", "1.3"): {DATA, "KeyUpdate"},
    ("client", "1.2"): {DATA, "HelloRequest"},
    ("server", "1.2"): {DATA, "ClientHello"},  # A renegotiation is declined with a warning (RFC 5746 4.5).
}
# In the middle of it: passed over, or refused.
MEANINGLESS: Final = {"1.3": {CCS}, "1.2": {"HelloRequest"}}


# -- The handshakes ---------------------------------------------------------------------------------------------------


class SameSession:
    """A client's store that gives the same session each time."""

    def __init__(self) -> None:
        self.session: ClientSession | None = None
        self.kept: ClientSession | None = None

    def put(self, key: bytes, session: ClientSession) -> None:
        self.kept = session

    def take(self, key: bytes) -> ClientSession | None:
        return self.session


class LastingSessions(MemorySessions):
    """A server's store from which a session can be taken again and again."""

    def take(self, identifier: bytes) -> bytes | None:
        return self.get(identifier)


@dataclass(frozen=True)
class Handshake:
    """One of the handshakes, and the orders in which each side may hear the other."""

    version: str
    client: ClientConfig
    server: ServerConfig
    client_hears: frozenset[Order]
    server_hears: frozenset[Order]
    resumed: bool = False
    early: bytes = b""

    def heard_by(self, role: str) -> frozenset[Order]:
        """What `role` may hear."""
        return self.client_hears if role == "client" else self.server_hears


@cache
def _server_credential() -> Credential:
    issued = server_identity("ed25519")
    return Credential(issued.chain, issued.key)


def _client(version: str, **changes: Any) -> ClientConfig:
    usual = {"versions": [version], "sessions": None, "groups": ["x25519"]}
    return client_config(**{**usual, **changes})


def _server(version: str, **changes: Any) -> ServerConfig:
    usual = {"versions": [version], "resumption": None, "groups": ["x25519"], "credentials": [_server_credential()]}
    return server_config(**{**usual, **changes})


def _after_another(version: str, server: ServerConfig, **changes: Any) -> ClientConfig:
    """A client with a session of that server."""
    store = SameSession()
    client = _client(version, sessions=store, credentials=[client_credential("ed25519")], **changes)
    connect(server, client)
    assert store.kept is not None, "the server gave no session"
    store.session = replace(store.kept)
    return client


@cache
def handshakes() -> dict[str, Handshake]:
    """Both versions, each kind of client authentication, and the ways around a full handshake."""
    alice: dict[str, Any] = {"credentials": [client_credential("ed25519")]}
    policy = StoredSessions(store=LastingSessions(), count=1, max_early_data=1000)
    early = _server("1.3", client_auth=required(), resumption=policy)
    tickets12 = _server("1.2", client_auth=required(), resumption=Tickets(count=1))
    tickets13 = _server("1.3", client_auth=required(), resumption=Tickets(count=1))
    stored12 = _server("1.2", client_auth=required(), resumption=StoredSessions(store=LastingSessions()))
    issued = server_identity("ed25519")
    stapling = Credential(issued.chain, issued.key, ocsp_response=ocsp_response(issued, server_root()))

    def full13(client: ClientConfig, auth: ClientAuth, server_hears: frozenset[Order], **more_: Any) -> Handshake:
        # A client need not have been asked to be asked.
        return Handshake(
            "1.3", client, _server("1.3", client_auth=auth, **more_), _orders("SH EE [CR] CT CV FIN"), server_hears
        )

    def full12(client: ClientConfig, auth: ClientAuth, server_hears: frozenset[Order]) -> Handshake:
        server = _server("1.2", client_auth=auth)
        return Handshake("1.2", client, server, _orders("SH CT SKE [CR] SHD CCS FIN"), server_hears)

    with_or_without13 = _any_of("CH CT CV FIN", "CH CT0 FIN")
    with_or_without12 = _any_of("CH CT CKE CV CCS FIN", "CH CT0 CKE CCS FIN")
    return {
        "1.3 none": full13(_client("1.3"), ClientAuth.none(), _orders("CH FIN")),
        "1.3 optional, with": full13(_client("1.3", **alice), optional(), with_or_without13),
        "1.3 optional, without": full13(_client("1.3"), optional(), with_or_without13),
        "1.3 required": full13(_client("1.3", **alice), required(), _orders("CH CT CV FIN")),
        "1.3 retried": Handshake(
            "1.3",
            _client("1.3", groups=["x25519", "secp256r1"], **alice),
            _server("1.3", groups=["secp256r1"], client_auth=required()),
            _orders("HRR SH EE [CR] CT CV FIN"),
            _orders("CH CH CT CV FIN"),
        ),
        "1.3 resumed": Handshake(
            "1.3",
            _after_another("1.3", tickets13),
            tickets13,
            _orders("SH EE FIN"),
            _orders("CH FIN"),
            resumed=True,
        ),
        "1.3 resumed with early data": Handshake(
            "1.3",
            _after_another("1.3", early, early_data=True),
            early,
            _orders("SH EE FIN"),
            _orders("CH EOED FIN"),
            resumed=True,
            early=b"early",
        ),
        "1.2 none": full12(_client("1.2"), ClientAuth.none(), _orders("CH CKE CCS FIN")),
        "1.2 optional, with": full12(_client("1.2", **alice), optional(), with_or_without12),
        "1.2 optional, without": full12(_client("1.2"), optional(), with_or_without12),
        "1.2 required": full12(_client("1.2", **alice), required(), _orders("CH CT CKE CV CCS FIN")),
        "1.2 stapled": Handshake(
            "1.2",
            _client("1.2"),
            _server("1.2", credentials=[stapling]),
            _orders("SH CT [CS] SKE [CR] SHD CCS FIN"),
            _orders("CH CKE CCS FIN"),
        ),
        "1.2 with a ticket": Handshake(
            "1.2",
            _client("1.2", sessions=SameSession(), **alice),
            tickets12,
            _orders("SH CT SKE [CR] SHD NST CCS FIN"),
            _orders("CH CT CKE CV CCS FIN"),
        ),
        "1.2 resumed by ticket": Handshake(
            "1.2",
            _after_another("1.2", tickets12),
            tickets12,
            _orders("SH CCS FIN"),
            _orders("CH CCS FIN"),
            resumed=True,
        ),
        "1.2 resumed by id": Handshake(
            "1.2",
            _after_another("1.2", stored12),
            stored12,
            _orders("SH CCS FIN"),
            _orders("CH CCS FIN"),
            resumed=True,
        ),
    }


# -- Words ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Word:
    """Something that is said: its name in the orders above, and what goes out.

    `own` is what the speaker has to say at this very place; nothing is wrong with it but, perhaps, where it stands.
    """

    name: str
    item: Item = field(repr=False)
    own: bool = True


def name_of(message: HandshakeMessage) -> str:
    """The RFC's name; an empty Certificate is a word of its own."""
    name = type(message).__name__.removesuffix("12").removesuffix("Message")
    certificates = getattr(message, "entries", None) or getattr(message, "certificates", None)
    return EMPTY if name == "Certificate" and not certificates else name


Plan = Callable[[int, Word], Iterable[Word]]


class Speaker:
    """Says the words of one side as a plan wants it, and changes its keys when its change_cipher_spec goes out."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._number = 0
        self._sealer: RecordSealer | None = None
        self._may_change_keys = True
        self._flow: EditedFlow | None = None
        self.said: list[Word] = []

    def follow(self, flow: EditedFlow, *, version: str) -> None:
        """Take over what goes out beside the messages: in TLS 1.2 a change_cipher_spec is a word like others."""
        self._flow = flow
        if version == "1.2":
            self._may_change_keys = False
            vars(flow)["send_change_cipher_spec"] = self._change_cipher_spec
            vars(flow)["write_under"] = self._write_under

    def __call__(self, message: HandshakeMessage) -> Iterator[Item]:
        for word in self._words(Word(name_of(message), encode_message(message))):
            yield word.item
            self._spoken(word)

    def _words(self, word: Word) -> Iterable[Word]:
        words = list(self._plan(self._number, word))
        self._number += 1
        self.said += words
        return words

    def _change_cipher_spec(self) -> None:
        flow = self._flow
        assert flow is not None
        for word in self._words(Word(CCS, Record(20, b"\1"))):
            if isinstance(word.item, Record):
                flow._writer.flush_handshake()
                flow._writer._write(word.item.kind, word.item.content)
            else:
                assert isinstance(word.item, bytes)
                flow._say(word.item)
            self._spoken(word)

    def _spoken(self, word: Word) -> None:
        if word.name == CCS and word.own:
            self._may_change_keys = True
            if self._sealer is not None:
                self._write_under(self._sealer)

    def _write_under(self, sealer: RecordSealer) -> None:
        """The new keys are used from the own change_cipher_spec on, and never without it."""
        assert self._flow is not None
        self._sealer = sealer
        if self._may_change_keys:
            self._sealer = None
            EditedFlow.write_under(self._flow, sealer)


@dataclass(slots=True)
class Meeting:
    """A victim and a speaker after all has been said."""

    role: str
    handshake: Handshake
    joined: Pair
    victim: Connection
    speaker: Speaker

    @property
    def names(self) -> Order:
        """The words that were said."""
        return tuple([word.name for word in self.speaker.said])

    @property
    def got_through(self) -> bool:
        """Whether the victim's handshake was finished, whatever came afterwards."""
        try:
            return self.victim.info is not None
        except TLSError:
            return False

    @property
    def got(self) -> bytes:
        """The data that it gave out."""
        return bytes(self.joined.client_got if self.role == "client" else self.joined.server_got)


def meet(handshake: Handshake, role: str, plan: Plan) -> Meeting:
    """Let a speaker follow a plan towards a victim of this role, and then fall silent."""
    speaker = Speaker(plan)
    script: ScriptedClient | ScriptedServer
    if role == "server":
        script = client = ScriptedClient(handshake.client, speaker)
        victim = server = ServerConnection(handshake.server)
        joined = Pair(client, server)
        if handshake.early and client.early_data_limit:
            client.write_early(handshake.early)
    else:
        script = server_ = ScriptedServer(handshake.server, speaker)
        client_ = ClientConnection(handshake.client, "localhost")
        joined = Pair(client_, server_)
        if handshake.early:
            client_.write_early(handshake.early)
        return _run(Meeting(role, handshake, joined, client_, speaker), script)
    return _run(Meeting(role, handshake, joined, victim, speaker), script)


def _run(meeting: Meeting, script: ScriptedClient | ScriptedServer) -> Meeting:
    meeting.speaker.follow(script.flow, version=meeting.handshake.version)
    meeting.joined.run()
    if meeting.victim.handshaking:
        with pytest.raises(UnexpectedEOF):
            meeting.victim.receive_eof()
    return meeting


# -- The rule ---------------------------------------------------------------------------------------------------------


def check(meeting: Meeting) -> None:
    """The one rule of this module, for whatever was said."""
    victim, handshake, role = meeting.victim, meeting.handshake, meeting.role
    said = meeting.speaker.said
    story = f"{role} heard {', '.join(meeting.names)}: {victim.failure!r}"
    ignored = MEANINGLESS[handshake.version] | ({DATA} if handshake.early else set())
    heard = [word for word in said if word.name not in ignored]
    early: list[Word] = []
    if role == "client":
        # Before the server has said its version, a change_cipher_spec is nothing yet (RFC 9846 5).
        early = list(itertools.takewhile(lambda word: word.name == CCS, heard))
        heard = heard[len(early) :]
    legal = handshake.heard_by(role)
    length = _length_of_legal(heard, legal)

    assert not isinstance(victim.failure, InternalError), story
    if length is None:
        assert not meeting.got_through, f"connected by an order that is none: {story}"
        assert victim.failure is not None, f"neither connected nor failed: {story}"
        # Whose early data is taken has proved with the session's key who it is.
        by_session = role == "server" and bool(handshake.early)
        assert victim.peer is None or by_session, f"a peer is named: {story}"
        assert meeting.got == b"", f"data came out before Finished: {story}"
        if not any(word.own for word in early):  # Else the speaker has changed its keys by now, and the victim has not.
            _check_alert(meeting, heard, legal, story)
        return
    allowed = AFTERWARDS[role, handshake.version] | ignored
    followed = [word.name for word in heard[length:]]
    if not followed and all(word.own for word in said):
        assert meeting.got_through, f"not connected by an order that is one: {story}"
    if victim.peer is not None and not handshake.resumed:
        proof = "ServerKeyExchange" if (role, handshake.version) == ("client", "1.2") else "CertificateVerify"
        proofs = [word for word in heard[:length] if word.name == proof and word not in strangers()]
        assert proofs, f"a peer without a proof: {story}"
    if not set(followed) <= allowed and all(word.own for word in heard[:length]):
        assert victim.failure is not None, f"what may not come after Finished is taken: {story}"
        assert victim.failure.alert in _NOT_NOW, f"another alert: {story}"


# Records that are not under the keys of the moment cannot be read, whatever is in them.
_NOT_NOW: Final = frozenset((AlertDescription.UNEXPECTED_MESSAGE, AlertDescription.BAD_RECORD_MAC))


def _length_of_legal(heard: list[Word], legal: frozenset[Order]) -> int | None:
    """How many words make the handshake; None when they make none."""
    names = tuple([word.name for word in heard])
    return next((len(order) for order in legal if names[: len(order)] == order), None)


def _check_alert(meeting: Meeting, heard: list[Word], legal: frozenset[Order], story: str) -> None:
    """Where all was right up to a word that may not come there, it is refused as that, and not as anything else."""
    allowed = {tuple(map(_type_of, order)) for order in legal}
    for number in range(len(heard)):
        names = tuple([_type_of(word.name) for word in heard[: number + 1]])
        if any(order[: len(names)] == names for order in allowed):
            if not heard[number].own or heard[number].name == EMPTY:
                return  # A word in a place where it may stand, with what it says from elsewhere: that is judged.
            continue
        failure = meeting.victim.failure
        assert failure is not None
        # A record between messages may go out under other keys than those that are read with by then; EndOfEarlyData
        # changes them, too.
        said = meeting.speaker.said
        before = said[: 1 + next(at for at, word in enumerate(said) if word is heard[number])]
        other_keys = bool(meeting.handshake.early) or any(isinstance(word.item, Record) for word in before)
        expected = _NOT_NOW if other_keys else {AlertDescription.UNEXPECTED_MESSAGE}
        assert failure.alert in expected, f"{heard[number].name} is refused with another alert: {story}"
        return


def _type_of(name: str) -> str:
    """Two words may have one type on the wire: what is in them is then read, and judged."""
    return {EMPTY: "Certificate", "HelloRetryRequest": "ServerHello"}.get(name, name)


# -- The orders -------------------------------------------------------------------------------------------------------


def without(*places: int) -> Plan:
    """The words of these places are left out."""
    return lambda number, word: () if number in places else (word,)


def twice(place: int) -> Plan:
    """One word is said again at once."""
    return lambda number, word: (word, replace(word, own=False)) if number == place else (word,)


def permuted(places: list[int]) -> Plan:
    """Words of consecutive places in another order, as soon as the last of them could be said."""
    held: dict[int, Word] = {}
    first, last = min(places), max(places)

    def plan(number: int, word: Word) -> Iterable[Word]:
        if not first <= number <= last:
            return (word,)
        # What depends on all that was said before is made too early here.
        held[number] = replace(word, own=word.own and word.name not in {"CertificateVerify", FIN})
        return [held[place] for place in places] if number == last else ()

    return plan


def with_before(place: int, other: Word) -> Plan:
    """Another word before that of a place."""
    return lambda number, word: (other, word) if number == place else (word,)


def with_behind(place: int, other: Word) -> Plan:
    """Another word behind that of a place."""
    return lambda number, word: (word, other) if number == place else (word,)


def instead(place: int, other: Word) -> Plan:
    """Another word in a place."""
    return lambda number, word: (other,) if number == place else (word,)


def honest(number: int, word: Word) -> Iterable[Word]:
    """No change."""
    return (word,)


VICTIMS: Final = [
    (name, role)
    for name in (
        *("1.3 none", "1.3 optional, with", "1.3 optional, without", "1.3 required", "1.3 retried", "1.3 resumed"),
        *("1.3 resumed with early data", "1.2 none", "1.2 optional, with", "1.2 optional, without", "1.2 required"),
        *("1.2 stapled", "1.2 with a ticket", "1.2 resumed by ticket", "1.2 resumed by id"),
    )
    for role in ("client", "server")
]
every_victim = pytest.mark.parametrize(("name", "role"), VICTIMS, ids=[f"{name}-{role}" for name, role in VICTIMS])


@cache
def words_of(name: str, role: str) -> Order:
    """What a victim of this role hears in an honest handshake."""
    meeting = meet(handshakes()[name], role, honest)
    check(meeting)
    assert meeting.got_through, f"{name}: {meeting.victim.failure!r}"
    return meeting.names


@cache
def strangers() -> tuple[Word, ...]:
    """A word of each kind in both versions, as it was said in some other handshake; and a few that are never said."""
    found: dict[tuple[str, str], Word] = {}
    for name, handshake in handshakes().items():
        for role in ("client", "server"):
            for word in meet(handshake, role, honest).speaker.said:
                if isinstance(word.item, bytes):
                    version = name[:3] if word.name in _DIFFERENT else ""
                    found.setdefault((word.name, version), replace(word, own=False))
    listed = [*found.values(), Word(CCS, Record(20, b"\1"), own=False), Word(DATA, Record(23, b"data"), own=False)]
    # Not through the transcript, of which a HelloRequest is no part; nor is a KeyUpdate, but that is never said here.
    listed.append(Word("HelloRequest", Record(22, bytes(4)), own=False))
    listed.append(Word("KeyUpdate", b"\x18\0\0\1\0", own=False))
    listed.append(Word("CompressedCertificate", b"\x19\0\0\x09\0\1\0\0\1\0\0\1x", own=False))
    listed.append(Word("a message of type 99", b"\x63\0\0\0", own=False))
    return tuple(listed)


_DIFFERENT: Final = ("Certificate", EMPTY, "CertificateRequest", "NewSessionTicket", "ServerHello", "ClientHello")


def test_orders_are_those_of_every_handshake() -> None:
    """Guards the tests below: each handshake is named, and no honest one is refused."""
    assert sorted(handshakes()) == sorted({name for name, _ in VICTIMS})
    for name, role in VICTIMS:
        heard = [word for word in words_of(name, role) if word not in MEANINGLESS[name[:3]]]
        finished = heard.index(FIN) + 1
        assert tuple(heard[:finished]) in handshakes()[name].heard_by(role), f"{name}: {role} heard {heard}"


def test_every_kind_of_word_is_said() -> None:
    """Guards the tests below: a message that no handshake here has would never be in the wrong place."""
    names = {word.name for word in strangers()}
    assert names >= {
        word
        for handshake in handshakes().values()
        for role in ("client", "server")
        for order in handshake.heard_by(role)
        for word in order
    }
    assert any(word.name == HelloRetryRequest.__name__ for word in strangers())


@every_victim
def test_words_left_out(name: str, role: str) -> None:
    """Every set of them, one word to all."""
    handshake = handshakes()[name]
    places = range(len(words_of(name, role)))
    for count in range(1, len(places) + 1):
        for left_out in itertools.combinations(places, count):
            check(meet(handshake, role, without(*left_out)))


@every_victim
def test_word_said_twice(name: str, role: str) -> None:
    for place in range(len(words_of(name, role))):
        check(meet(handshakes()[name], role, twice(place)))


@every_victim
def test_neighbours_change_places(name: str, role: str) -> None:
    for place in range(len(words_of(name, role)) - 1):
        check(meet(handshakes()[name], role, permuted([place + 1, place])))


@every_victim
def test_any_other_word_in_any_place(name: str, role: str) -> None:
    """Before each word, and behind the last."""
    handshake = handshakes()[name]
    places = len(words_of(name, role))
    for other in strangers():
        for place in range(places):
            check(meet(handshake, role, with_before(place, other)))
        check(meet(handshake, role, with_behind(places - 1, other)))


@pytest.mark.parametrize("name", ["1.3 required", "1.2 required"])
@pytest.mark.parametrize("role", ["client", "server"])
def test_words_of_a_flight_in_every_order(name: str, role: str) -> None:
    """From the second word on: with the first one held back nobody says anything."""
    count = len(words_of(name, role))
    places = list(range(1, count))[:5]
    for order in itertools.permutations(places):
        check(meet(handshakes()[name], role, permuted(list(order))))


@pytest.mark.parametrize("name", ["1.3 required", "1.2 required", "1.3 retried"])
@pytest.mark.parametrize("role", ["client", "server"])
def test_any_other_word_in_the_place_of_another(name: str, role: str) -> None:
    for other in strangers():
        for place in range(len(words_of(name, role))):
            check(meet(handshakes()[name], role, instead(place, other)))


_CHANGES: Final = st.tuples(st.integers(0, 5), st.integers(0, 7), st.integers(0, 40))


@more(10)
@given(victim=st.sampled_from(VICTIMS), changes=st.lists(_CHANGES, min_size=2, max_size=5))
def test_many_changes_at_once(victim: tuple[str, str], changes: list[tuple[int, int, int]]) -> None:
    """Whatever is made of the words: held back, repeated, left out, with others among them."""
    name, role = victim
    held: list[Word] = []
    was_held: list[Word] = []
    others = strangers()

    def plan(number: int, word: Word) -> Iterable[Word]:
        # Once a word has been held back, keys, signatures and Finished are over something else.
        words = [replace(word, own=word.own and (word.name == CCS or not was_held))]
        for kind, place, which in changes:
            if place != number:
                continue
            other = others[which % len(others)]
            match kind:
                case 0:
                    words = []
                case 1:
                    words += [replace(one, own=False) for one in words]
                case 2:
                    words.insert(0, other)
                case 3:
                    words.append(other)
                case 4:
                    was_held.extend(words)
                    held.extend(words)
                    words = []
                case _:
                    words = [*held, *words]
                    held.clear()
        return words

    check(meet(handshakes()[name], role, plan))


# -- Said in so many words --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_certificate_without_proof_authenticates_nobody(version: str) -> None:
    """The words of SKIP-TLS: a client shows somebody's certificate, and goes on to Finished."""
    names = words_of(f"{version} optional, with", "server")
    meeting = meet(handshakes()[f"{version} optional, with"], "server", without(names.index("CertificateVerify")))
    check(meeting)
    assert not meeting.got_through
    assert meeting.victim.peer is None
    assert meeting.victim.failure is not None
    assert meeting.victim.failure.alert is AlertDescription.UNEXPECTED_MESSAGE


def test_server_that_goes_straight_to_finished_is_nobody() -> None:
    """The other words of SKIP-TLS: a server that shows no certificate."""
    names = words_of("1.3 none", "client")
    left_out = [names.index("Certificate"), names.index("CertificateVerify")]
    meeting = meet(handshakes()["1.3 none"], "client", without(*left_out))
    check(meeting)
    assert meeting.names == ("ServerHello", "EncryptedExtensions", FIN)
    assert not meeting.got_through
    assert meeting.victim.failure is not None
    assert meeting.victim.failure.alert is AlertDescription.UNEXPECTED_MESSAGE


@pytest.mark.parametrize("role", ["client", "server"])
def test_early_change_cipher_spec_changes_no_keys(role: str) -> None:
    """CVE-2014-0224: in TLS 1.2 it may come in one place only, before keys are there it never may."""
    names = words_of("1.2 required", role)
    for place in range(1, names.index(CCS)):
        other = Word(CCS, Record(20, b"\1"), own=False)
        meeting = meet(handshakes()["1.2 required"], role, with_before(place, other))
        check(meeting)
        assert meeting.victim.failure is not None
        assert meeting.victim.failure.alert is AlertDescription.UNEXPECTED_MESSAGE, names[place]


# -- After the handshake ----------------------------------------------------------------------------------------------


@every_victim
def test_any_other_word_after_the_handshake(name: str, role: str) -> None:
    """Under the keys of then: what may not come is refused."""
    handshake = handshakes()[name]
    allowed = AFTERWARDS[role, handshake.version]
    for other in strangers():
        meeting = meet(handshake, role, honest)
        victim = meeting.victim
        peer = victim.peer
        say(meeting.joined.other(victim), other.item)
        meeting.joined.run()
        story = f"{other.name} after the handshake: {victim.failure!r}"
        assert victim.peer == peer, f"the peer is another one: {story}"
        assert meeting.got == (b"data" if other.name == DATA else b""), story
        if other.name not in allowed:
            assert victim.failure is not None, f"it is taken: {story}"
            assert victim.failure.alert is AlertDescription.UNEXPECTED_MESSAGE, story


def asked_afterwards(plan: Plan) -> Meeting:
    """A server asks its client for a certificate after the handshake (RFC 9846 4.7.2); the plan is for the answer."""
    client = _client("1.3", credentials=[client_credential("ed25519")], post_handshake_auth=True)
    server = _server("1.3", post_handshake_auth=required())
    handshake = Handshake("1.3", client, server, frozenset(), _orders("CH FIN"))
    speaker = Speaker(lambda number, word: (word,) if number < 2 else plan(number - 2, word))
    victim = ServerConnection(server)
    joined = Pair(ScriptedClient(client, speaker), victim).run()
    victim.request_client_certificate()
    joined.run()
    return Meeting("server", handshake, joined, victim, speaker)


def check_answer(meeting: Meeting) -> None:
    """Certificate, CertificateVerify and Finished, one behind the other, or the client stays unknown."""
    victim, answer = meeting.victim, meeting.names[2:]
    before = tuple(itertools.takewhile(lambda name: name in {DATA, "KeyUpdate"}, answer))
    answer = answer[len(before) :]
    story = f"the answer was {', '.join(answer)}: {victim.failure!r}"
    whole = answer[:3] == ("Certificate", "CertificateVerify", FIN)
    assert not isinstance(victim.failure, InternalError), story
    assert victim.peer is None or whole, f"a client that proved nothing is known: {story}"
    assert victim.failure is None or victim.failure.alert is not None, story
    if not before and not whole and victim.failure is None:
        begun = ("Certificate", "CertificateVerify", FIN)[: len(answer)]
        assert answer == begun, f"another answer is taken: {story}"
    # Between the three nothing may come, not even data; before them it may.
    assert meeting.got == b"" or DATA in before or whole, f"data came out in the middle of the answer: {story}"


def test_answer_after_the_handshake_comes_in_its_order_only() -> None:
    meeting = asked_afterwards(honest)
    assert meeting.names == ("ClientHello", FIN, "Certificate", "CertificateVerify", FIN)
    assert meeting.victim.peer is not None
    plans = [without(*places) for count in (1, 2, 3) for places in itertools.combinations(range(3), count)]
    plans += [permuted(list(places)) for places in itertools.permutations(range(3)) if places != (0, 1, 2)]
    plans += [twice(place) for place in range(3)]
    plans += [with_before(place, other) for place in range(3) for other in strangers()]
    plans += [instead(place, other) for place in range(3) for other in strangers()]
    for plan in plans:
        check_answer(asked_afterwards(plan))
