"""No secret is ever in a log, nor in the repr or the text of anything: not of a configuration, nor of an error."""

from __future__ import annotations

import base64
import logging
import traceback
from collections.abc import Iterator
from types import FrameType
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

import trustls
from tests.security.handshakes import STORIES, hidden, reachable
from tests.support.identities import (
    client_config,
    client_credential,
    required,
    server_config,
    server_identity,
    strange_credential,
)
from tests.support.memory import pair
from trustls.protocol.key_schedule import HandshakeSecrets
from trustls.protocol.key_schedule12 import MasterSecret
from trustls.trace import HandshakeEvent

# Part of a secret is a secret, too: its first bytes and its last ones are looked for as well.
_PART = 12


class Everything(logging.Handler):
    """Keeps whatever is logged, as a formatter would write it."""

    def __init__(self) -> None:
        super().__init__(level=1)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))
        event = getattr(record, "event", None)
        if isinstance(event, HandshakeEvent):
            self.lines.append(repr(event))


@pytest.fixture
def log() -> Iterator[Everything]:
    """What everybody logs, at every level."""
    handler = Everything()
    handler.setFormatter(logging.Formatter("%(name)s %(levelname)s %(message)s %(args)r"))
    root, ours = logging.getLogger(), logging.getLogger("trustls")
    traced = logging.getLogger("trustls.handshake")
    levels = root.level, ours.level, traced.level
    root.addHandler(handler)
    for each in (root, ours, traced):
        each.setLevel(1)
    yield handler
    root.removeHandler(handler)
    for each, level in zip((root, ours, traced), levels, strict=True):
        each.setLevel(level)


@pytest.fixture
def exchanged(monkeypatch: pytest.MonkeyPatch) -> dict[bytes, str]:
    """What the key exchanges give, before any key is derived from it."""
    secrets: dict[bytes, str] = {}

    def watch(kind: Any, position: int, label: str) -> None:
        derive = kind.derive.__func__

        def watched(cls: type, *args: Any, **named: Any) -> Any:
            secrets[args[position]] = label
            return derive(cls, *args, **named)

        monkeypatch.setattr(kind, "derive", classmethod(watched))

    watch(HandshakeSecrets, 1, "shared secret")
    watch(MasterSecret, 1, "premaster secret")
    return secrets


def written(secret: bytes) -> Iterator[str]:
    """The forms in which a secret may stand in a text."""
    for part in {secret, secret[:_PART], secret[-_PART:]}:
        yield part.hex()
        yield part.hex().upper()
        yield part.hex(":")
        yield repr(b"'" + part + b'"')[3:-2].replace("\\'", "'")
        if all(32 <= byte < 127 for byte in part):
            yield part.decode()
    yield str(int.from_bytes(secret, "big"))
    yield str(int.from_bytes(secret, "little"))
    yield f"{int.from_bytes(secret, 'big'):x}"
    yield str(list(secret))[1:-1]
    yield base64.b64encode(secret).decode().rstrip("=")
    yield base64.urlsafe_b64encode(secret).decode().rstrip("=")


class Needles:
    """The secrets in all their forms, to be looked for in many texts."""

    def __init__(self, secrets: dict[bytes, str]) -> None:
        self._forms = {form: label for secret, label in secrets.items() for form in written(secret)}

    def found_in(self, text: str) -> set[str]:
        """The labels of the secrets that are to be read in a text."""
        text = text.replace("\\'", "'")
        return {label for form, label in self._forms.items() if form in text}


def texts_of(thing: object) -> Iterator[str]:
    """All that may be printed of something."""
    yield repr(thing)
    yield str(thing)
    if isinstance(thing, BaseException):
        yield "".join(traceback.format_exception(thing))
        yield repr(thing.args)
        yield repr(getattr(thing, "__notes__", ""))


@pytest.mark.parametrize("name", STORIES)
def test_no_secret_is_logged_or_printed(name: str, log: Everything, exchanged: dict[bytes, str]) -> None:
    story = STORIES[name]()
    things = list(reachable([*story.pairs, *story.configs, *story.others]))
    secrets = {**hidden(things), **story.secrets, **exchanged}
    tickets = {bytes(secret) for secret, label in secrets.items() if label.endswith(".ticket")}
    for ticket in tickets:
        del secrets[ticket]  # Which a client shows to everybody.
    assert len(secrets) > 6, f"hardly anything is secret in {name}: {set(secrets.values())}"
    assert any("ClientHello" in line for line in log.lines), "nothing is traced"
    needles = Needles(secrets)
    found = needles.found_in("\n".join(log.lines))
    assert not found, f"in the log of {name}: {found}"
    for thing in things:
        for text in texts_of(thing):
            found = needles.found_in(text)
            assert not found, f"{name}: a {type(thing).__module__}.{type(thing).__qualname__} shows {found}"


def test_every_kind_of_object_that_users_hold_is_looked_at() -> None:
    seen: set[str] = set()
    for make in STORIES.values():
        story = make()
        seen |= {type(thing).__name__ for thing in reachable([*story.pairs, *story.configs, *story.others])}
    wanted = {
        *("ClientConfig", "ServerConfig", "ClientConnection", "ServerConnection", "ConnectionInfo", "Established"),
        *("Credential", "KeySigner", "ClientAuth", "Peer", "_Listed", "RetryCookies", "ExternalPsk"),
        *("TicketKey", "Tickets", "StoredSessions", "ClientSession", "MemoryClientSessions", "MemorySessions"),
        *("TrafficSecret", "MasterSecret", "ExporterSecret", "Exporter12", "Sealer", "Opener", "Sealer12", "Opener12"),
        *("HandshakeSecrets", "Flow", "Transcript", "CertificateRejected", "AlertReceived", "PeerMisbehaved"),
    }
    assert not wanted - seen, f"nobody looks at {wanted - seen}"


def test_a_secret_is_found_however_it_is_written() -> None:
    secret = bytes.fromhex("00112233445566778899aabbccddeeff") + b"'\"a quoted end"
    forms = {
        "repr": repr(secret),
        "repr in a tuple": repr((1, secret)),
        "repr of a bytearray": repr(bytearray(secret)),
        "hex": f"key={secret.hex()}",
        "hex of the beginning": f"key={secret.hex()[:30]}...",
        "hex with colons": secret.hex(":"),
        "decimal": f"d={int.from_bytes(secret, 'big')}",
        "base64": base64.b64encode(secret).decode(),
        "base64url": base64.urlsafe_b64encode(secret).decode(),
        "a list of numbers": str(list(secret)),
    }
    missed = [form for form, text in forms.items() if not Needles({secret: "it"}).found_in(text)]
    assert not missed, f"a secret written as {missed} is not found"
    assert not Needles({secret: "it"}).found_in("nothing of the kind")


def test_password_is_not_in_the_error_about_it() -> None:
    secret = b"a password of somebody's"
    key = server_identity().key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"another"))
    chain = [certificate.public_bytes(Encoding.PEM) for certificate in server_identity().chain]
    with pytest.raises(trustls.ConfigError) as caught:
        trustls.Credential.from_pem(b"".join(chain), key, password=secret)
    for text in texts_of(caught.value):
        assert not Needles({secret: "password"}).found_in(text), text


def frames(error: BaseException | None) -> Iterator[FrameType]:
    """The frames that an error keeps alive, with those of what it came of."""
    while error is not None:
        for frame, _line in traceback.walk_tb(error.__traceback__):
            yield frame
        error = error.__cause__ or error.__context__


@pytest.mark.parametrize("version", ["1.3", "1.2"])
def test_failure_keeps_no_frame_of_the_handshake(version: str) -> None:
    """In those frames lie shared secrets as locals, which error reporters like to print."""
    server = server_config(client_auth=required(), versions=[version])
    strange = pair(server, client_config(credentials=[strange_credential()], versions=[version])).run()
    late = pair(server, client_config(credentials=[client_credential()], versions=[version], now=lambda: 1.0)).run()
    for joined in (strange, late):
        for side in (joined.client, joined.server):
            assert side.failure is not None
            kept = {
                frame.f_globals["__name__"]
                for frame in frames(side.failure)
                if frame.f_globals["__name__"].startswith(("trustls.handshake", "trustls.protocol"))
            }
            assert not kept, f"{side.failure!r} keeps frames of {kept}, with all their locals"
