"""Handshakes of every kind, with all the secrets that they have made: what the tests here look for, and into."""

from __future__ import annotations

import gc
import secrets
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, fields, is_dataclass
from types import FunctionType
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.support.identities import (
    client_config,
    client_credential,
    client_identity,
    client_roots,
    optional,
    required,
    server_config,
    server_identity,
    strange_credential,
)
from tests.support.memory import Pair, pair
from trustls.config import ClientConfig, ServerConfig
from trustls.handshake.retry_cookie import RetryCookies
from trustls.session.psk import ExternalPsk, import_psk
from trustls.session.store import MemoryClientSessions, MemorySessions
from trustls.session.tickets import StoredSessions, TicketKey, Tickets
from trustls.trust.authorize import Authorize
from trustls.trust.client_auth import ClientAuth

# Shorter ones are nonces and the like.
_LEAST: Final = 12


class Recorder:
    """A KeyLog that keeps the secrets."""

    def __init__(self) -> None:
        self.secrets: dict[bytes, str] = {}

    def log(self, label: str, client_random: bytes, secret: bytes) -> None:
        self.secrets[secret] = label


class FixedKeys:
    """Ticket keys that the test knows."""

    def __init__(self) -> None:
        self.key = TicketKey.generate()

    def current(self, now: float) -> TicketKey:
        return self.key

    def named(self, name: bytes, now: float) -> TicketKey | None:
        return self.key if name == self.key.name else None


@dataclass
class Story:
    """What became of some connections of one kind, and which secrets were in play. Labels are for messages."""

    name: str
    pairs: list[Pair] = field(default_factory=list)
    configs: list[ClientConfig | ServerConfig] = field(default_factory=list)
    others: list[object] = field(default_factory=list)
    recorder: Recorder = field(default_factory=Recorder)
    known: dict[bytes, str] = field(default_factory=dict)

    def meet(self, server: ServerConfig, client: ClientConfig) -> Pair:
        """A connection, whatever becomes of it."""
        self.configs += [server, client]
        self.pairs.append(pair(server, client).run())
        return self.pairs[-1]

    def talk(self, server: ServerConfig, client: ClientConfig) -> Pair:
        """A connection that must come about, and is used."""
        joined = self.meet(server, client).check_connected()
        for side in (joined.client, joined.server):
            self.known[side.export("EXPORTER-secret", 32)] = "exported keying material"
        return joined

    @property
    def secrets(self) -> dict[bytes, str]:
        """All of them, with their labels."""
        return {**private_keys(), **self.recorder.secrets, **self.known}

    def server(self, **changes: Any) -> ServerConfig:
        """A server that logs its keys to the story."""
        return server_config(**{"key_log": self.recorder, **changes})

    def client(self, **changes: Any) -> ClientConfig:
        """A client that does, with a certificate."""
        return client_config(**{"key_log": self.recorder, "credentials": [client_credential()], **changes})


def private_keys() -> dict[bytes, str]:
    """The certificates' private keys, in each form in which they may be written down."""
    found: dict[bytes, str] = {}
    for issued in (server_identity(), client_identity()):
        key = issued.key
        der = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        found[der] = "private key, DER"
        found[b"".join(pem.splitlines()[1:-1])] = "private key, PEM"
        if isinstance(key, ec.EllipticCurvePrivateKey):
            found[key.private_numbers().private_value.to_bytes(32, "big")] = "private key, scalar"
        elif isinstance(key, rsa.RSAPrivateKey):
            found[key.private_numbers().d.to_bytes(256, "big")] = "private key, exponent"
        elif isinstance(key, ed25519.Ed25519PrivateKey):
            found[key.private_bytes_raw()] = "private key, seed"
    return found


# -- The stories ------------------------------------------------------------------------------------------------------


def full(version: str) -> Story:
    """A full handshake with client certificates, and keys that change."""
    story = Story(f"full {version}")
    joined = story.talk(story.server(client_auth=required(), versions=[version]), story.client(versions=[version]))
    if version == "1.3":
        joined.client.update_keys(request_peer=True)
        joined.run().check_connected()
    return story


def retried() -> Story:
    """HelloRetryRequest with a cookie."""
    story = Story("retried")
    key = secrets.token_bytes(32)
    story.known[key] = "key of the cookies"
    cookies = RetryCookies(key)
    story.others.append(cookies)
    story.talk(story.server(groups=["secp384r1"], retry_cookies=cookies), story.client())
    return story


def resumed(version: str, policy: str) -> Story:
    """Two connections, the second of which resumes the first, with early data where there may be any."""
    story = Story(f"resumed {version} from {policy}")
    sessions, store, keys = MemoryClientSessions(), MemorySessions(), FixedKeys()
    story.known[keys.key.key] = "ticket key"
    early = version == "1.3" and policy == "store"
    server = story.server(
        client_auth=required(),
        versions=[version],
        resumption=StoredSessions(store=store, max_early_data=1024 if early else 0)
        if policy == "store"
        else Tickets(keys=keys),
    )
    client = story.client(versions=[version], sessions=sessions, early_data=early)
    story.talk(server, client)
    for kept in sessions._sessions.values():
        story.known.update({session.secret: "session secret" for session in kept})
        story.others += kept
    second = pair(server, client)
    if early:
        second.client.write_early(b"early, and not for the log")
        story.known[b"early, and not for the log"] = "early data"
    story.pairs.append(second.run().check_connected())
    assert second.client.info.resumed, f"{story.name}: it does not resume"
    story.others += [sessions, store, keys, keys.key]
    return story


def external(form: str, *, wrong: bool = False) -> Story:
    """A pre-shared key in place of certificates."""
    story = Story(f"PSK {form}{', wrong' if wrong else ''}")
    key, other = secrets.token_bytes(32), secrets.token_bytes(32)
    made: list[tuple[ExternalPsk, ...]] = [
        import_psk(b"device 7", one) if form == "imported" else (ExternalPsk(b"device 7", one),)
        for one in (key, other if wrong else key)
    ]
    story.known.update({key: "external key", other: "external key"})
    story.known.update({psk.key: "external key" for psks in made for psk in psks})
    story.others += [psk for psks in made for psk in psks]
    server, client = story.server(external_psks=made[0]), story.client(external_psks=made[1], credentials=[])
    joined = (story.meet if wrong else story.talk)(server, client)
    assert joined.connected is not wrong, f"{story.name}: {joined.server.failure!r}"
    return story


def later() -> Story:
    """A client certificate after the handshake, let in by the pin of its key."""
    story = Story("post-handshake")
    pinned = Authorize.public_key(client_credential().certificate)
    asked = ClientAuth.required(client_roots(), authorize=pinned)
    joined = story.talk(story.server(post_handshake_auth=asked), story.client(post_handshake_auth=True))
    joined.server.request_client_certificate()
    joined.run()
    assert joined.server.peer is not None, f"{story.name}: {joined.server.failure!r}"
    story.others += [pinned, asked]
    return story


def refused() -> Story:
    """Handshakes that fail, whose errors and tracebacks have something to say, too."""
    story = Story("refused")
    for version in ("1.3", "1.2"):
        server = story.server(client_auth=required(), versions=[version])
        story.meet(server, story.client(versions=[version], credentials=[]))
        client = story.client(versions=[version], credentials=[strange_credential()])
        story.meet(story.server(client_auth=required(), versions=[version]), client)
        story.meet(story.server(versions=[version]), story.client(versions=[version], now=lambda: 1.0))
        joined = pair(story.server(client_auth=optional(), versions=[version]), story.client(versions=[version]))
        joined.to_server = _spoiled_late
        story.pairs.append(joined.run())
    for joined in story.pairs:
        assert not joined.connected, f"{story.name}: one comes about"
    return story


def _spoiled_late(data: bytes) -> bytes:
    """With the last byte changed of what is no ClientHello."""
    is_hello = data[:1] == b"\x16" and data[5:6] == b"\x01"
    return data if is_hello else data[:-1] + bytes([data[-1] ^ 1])


def halfway(version: str) -> Story:
    """Handshakes that are not over: what they are about to become lies in the locals of their coroutines."""
    story = Story(f"half-way {version}")
    server, client = story.server(client_auth=required(), versions=[version]), story.client(versions=[version])
    story.configs += [server, client]
    waiting = pair(server, client)
    waiting.server.receive(waiting.client.data_to_send())
    flight = waiting.server.data_to_send()
    # The client has read the ServerHello (and, in TLS 1.3, EncryptedExtensions), and waits for more.
    waiting.client.receive(flight[: len(flight) - 40])
    assert waiting.client.handshaking
    story.pairs.append(waiting)
    late = pair(server, client)
    late.server.receive(late.client.data_to_send())
    late.client.receive(late.server.data_to_send())
    answer = late.client.data_to_send()
    late.server.receive(answer[: len(answer) - 1])
    assert late.server.handshaking
    story.pairs.append(late)
    return story


STORIES: Final[dict[str, Callable[[], Story]]] = {
    "full 1.3": lambda: full("1.3"),
    "full 1.2": lambda: full("1.2"),
    "retried": retried,
    "resumed 1.3, tickets": lambda: resumed("1.3", "tickets"),
    "resumed 1.3, store": lambda: resumed("1.3", "store"),
    "resumed 1.2, tickets": lambda: resumed("1.2", "tickets"),
    "resumed 1.2, store": lambda: resumed("1.2", "store"),
    "PSK as it is": lambda: external("plain"),
    "PSK imported": lambda: external("imported"),
    "PSK wrong": lambda: external("plain", wrong=True),
    "post-handshake": later,
    "refused": refused,
    "half-way 1.3": lambda: halfway("1.3"),
    "half-way 1.2": lambda: halfway("1.2"),
}


# -- Looking ----------------------------------------------------------------------------------------------------------


def reachable(roots: Iterable[object]) -> Iterator[object]:
    """Every object of trustls that can be come by from `roots`, these included."""
    seen: set[int] = set()
    waiting: list[object] = list(roots)
    while waiting:
        thing = waiting.pop()
        if id(thing) in seen or isinstance(thing, type(gc)):
            continue
        seen.add(id(thing))
        if isinstance(thing, BaseException) or _is_ours(type(thing)):
            yield thing
        if isinstance(thing, FunctionType):
            # Not its globals: over them everything in the process is reached, all that other tests have left included.
            waiting += (*(thing.__closure__ or ()), thing.__defaults__, thing.__kwdefaults__)
        elif not isinstance(thing, type):
            waiting += gc.get_referents(thing)


def hidden(things: Iterable[object]) -> dict[bytes, str]:
    """The bytes in those fields of dataclasses that are left out of their repr; each with where it stands."""
    return {
        value: f"{type(thing).__name__}.{each.name}"
        for thing in things
        if is_dataclass(thing)
        for each in fields(thing)
        if not each.repr and isinstance(value := getattr(thing, each.name, None), bytes) and len(value) >= _LEAST
    }


def _is_ours(kind: type) -> bool:
    return isinstance(kind.__module__, str) and kind.__module__.partition(".")[0] == "trustls"
