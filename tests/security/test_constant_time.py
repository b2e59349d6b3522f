"""Secrets are compared in constant time, every one of them: shown by reading the source, and by watching handshakes.

A comparison that this finds and that is no danger goes into `HARMLESS`, under its reason.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import hmac
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

import trustls
from tests.security.comparisons import Comparison, comparable_secrets, comparisons, printed_secrets
from tests.security.handshakes import STORIES
from tests.support.watching import Watch
from trustls.wire.messages import ClientHello, Finished

SOURCE: Final = Path(trustls.__file__).parent

HARMLESS: Final[dict[str, frozenset[tuple[str, str, str]]]] = {
    "both are public: they stand in certificates, CRLs or OCSP responses, which anybody can read": frozenset(
        {
            ("cli/pki.py", "Authority.load", "key.public_key() != chain[0].public_key()"),
            (
                "handshake/client_sessions.py",
                "_answered_now",
                "then.leaf in [one.leaf for one in client.current_credentials()]",
            ),
            ("handshake/client_sessions.py", "_answered_now", "now.leaf == then.leaf"),
            ("handshake/raw_keys.py", "_vouched_for", "peer.raw_key != key"),
            ("identity/chain.py", "_has_key", "certificate.spki == spki"),
            (
                "trust/raw_key.py",
                "_loaded",
                "key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) != made.spki",
            ),
            ("trust/raw_key.py", "RawPublicKey.__eq__", "self.spki == other.spki"),
            ("trust/raw_keys.py", "KeysVerifier.verify_raw_key", "key in _current(source)"),
            ("trust/raw_keys.py", "RawPublicKeys.__contains__", "key.spki in self._known"),
            (
                "identity/chain.py",
                "_has_key",
                "key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) == spki",
            ),
            ("identity/chain.py", "_Search._issuers", "issuer.spki == one.spki"),
            ("identity/chain.py", "_why_left_out", "certificate.spki == one.spki"),
            ("identity/pkcs11/signer.py", "Pkcs11Signer.certificates", "item.key_id == self._key_id"),
            ("trust/criteria.py", "Issuer.met", "(attributes, ca.spki_sha256) in entries"),
            ("trust/crl.py", "CertificateRevocationList.__eq__", "self.sha256 == other.sha256"),
            (
                "trust/crl.py",
                "CertificateRevocationList.is_like",
                "self.authority_key_identifier == other.authority_key_identifier",
            ),
            ("trust/lint.py", "_Bundle._of_names", "other.certificate.spki == first.certificate.spki"),
            ("trust/ocsp.py", "_Answer.is_for", "self.issuer_key_hash == _hash(self.hash_name, _key_bits(issuer))"),
            ("trust/ocsp.py", "_Response.is_by", "self.responder_key_hash == _hash('sha1', _key_bits(certificate))"),
            ("trust/ocsp.py", "_signature_fault", "responder.spki == issuer.spki"),
            ("trust/path.py", "_Search.extend", "one.spki == candidate.spki"),
            ("trust/profile.py", "_public_web_root_fault", "root.subject_key_identifier in (None, key_identifier)"),
            (
                "trust/revocation.py",
                "_is_of_other_key",
                "issuer.subject_key_identifier != crl.authority_key_identifier",
            ),
            ("trust/signatures.py", "signature_fault", "issuer.subject_key_identifier in (None, wanted)"),
        }
    ),
    "both are this process's own, from its configuration or its files: no peer supplies either": frozenset(
        {
            ("identity/pkcs11/modules.py", "Module.check_pin", "(token.label, token.serial, pin) in self._refused"),
            ("identity/pkcs11/modules.py", "module_at", "Path(given).name != given"),
            ("identity/pkcs11/tokens.py", "Wanted._is", "self.token in {None, token.label}"),
            ("identity/signer.py", "_describe", "type(key).__name__.removesuffix('PrivateKey')"),
            ("reloading/files.py", "Files.changed", "self._digest() != self._known"),
            ("reloading/files.py", "Files.settle", "self._digest() != state"),
            ("reloading/held.py", "Held._same", "self._key(value) == self._key(self._newest)"),
            ("stdlib/sessions.py", "SSLSession.offered_for", "key == self._key"),
            ("session/psk.py", "ExternalPsk.__post_init__", "self.hash not in (SHA256.name, SHA384.name)"),
            ("session/psk.py", "ExternalPsk.algorithm", "self.hash == SHA256.name"),
            ("trust/criteria.py", "_base64_digest", "base64.b64encode(digest).decode() == pin"),
            ("trust/sources.py", "TrustedRoots._store", "joined[0] != fingerprints"),
            ("trust/verifiers.py", "RootsClientVerifier.hints", "now != fingerprint"),
        }
    ),
    "what travels in the clear is no secret: session ids of ClientHello and ServerHello, names of keys and identities, "
    "the part of a cookie in front of its MAC": frozenset(
        {
            ("handshake/client12.py", "client_handshake12", "answer.session_id == hello.session_id"),
            ("handshake/client13.py", "_chosen_suite", "answer.session_id != hello.session_id"),
            (
                "handshake/retry_cookie.py",
                "RetryCookies.check",
                "content[_TIME_LENGTH:] == bytes([len(choice)]) + choice + first_hello_hash",
            ),
            ("handshake/server_sessions.py", "_external", "psk.identity == identity.identity"),
            ("handshake/server_sessions.py", "check_psks_kept", "identity.identity in kept"),
            ("handshake/server_sessions.py", "find_session", "session.server_name != server_name"),
            ("wsgi.py", "TLSEnviron.__call__", "key.startswith(_OURS)"),
            ("session/tickets.py", "RotatingTicketKeys.named", "key.name == name"),
            ("session/tickets.py", "TicketKey.open", "ticket[:NAME_LENGTH] != self.name"),
        }
    ),
    "what a server asks every client for is no secret": frozenset(
        {("handshake/client_sessions.py", "_answered_now", "request not in asked")}
    ),
    "numbers, flags and members of enumerations": frozenset(
        {
            ("handshake/client12.py", "client_handshake12", "session.extended_master_secret != extended"),
            ("handshake/client_sessions.py", "usable_session", "session.suite not in client.cipher_suites"),
            ("handshake/server12.py", "_resumable", "session.extended_master_secret == extends"),
            ("handshake/server_sessions.py", "_external", "suite.hash.name == psk.hash"),
            ("handshake/server_sessions.py", "_resumed", "suite.suite != session.suite"),
            ("handshake/server_sessions.py", "find_session", "session.version != version"),
            ("stdlib/fixed.py", "Fixed.num_tickets", "value != self.num_tickets"),
            ("session/redis.py", "RedisTicketKeys._learn", "(period, None) in found"),
            ("session/redis.py", "RedisTicketKeys._learn", "each == period"),
            ("session/redis.py", "RedisTicketKeys._may_ask", "self._sealing[0] == period"),
            ("session/redis.py", "RedisTicketKeys._sealing_in", "sealing[0] == period"),
        }
    ),
    "the session was sealed or stored by this server: who can choose its content needs to guess nothing": frozenset(
        {
            (
                "handshake/server_sessions.py",
                "find_session",
                "session.binding != server_binding(server.client_auth)",
            ),
        }
    ),
    "a dict finds its keys by their hash, under a key of the process's own (SipHash); these are hashes of "
    "certificates": frozenset({("trust/cache.py", "BoundedCache.put", "key in self._young")}),
}

# What is on the wire, or public, although it has the name of a secret.
PRINTED: Final = {
    "wire.messages12:RawKeyMessage12.spki": "a public key",
    "handshake.established:ConnectionInfo.psk_identity": "an identity is a name",
    "identity.pkcs11.tokens:HeldCertificate.key_id": "CKA_ID is public",
    "identity.pkcs11.tokens:Wanted.key_id": "CKA_ID is public",
    "session.state:ClientSession.session_id": "sent in the clear",
    "trust.extensions:AuthorityKeyIdentifier.key_identifier": "stands in a certificate",
    "trust.ocsp:_Answer.issuer_key_hash": "stands in an OCSP response",
    "trust.ocsp:_Response.responder_key_hash": "stands in an OCSP response",
    "wire.extensions:KeyShareEntry.key_exchange": "the public half",
    "wire.extensions:OfferedPsks.binders": "sent in the clear",
    "wire.messages:ClientHello.cookie": "sent in the clear",
    "wire.messages:ClientHello.session_id": "sent in the clear",
    "wire.messages:ClientHello.session_ticket": "sent in the clear",
    "wire.messages:Finished.verify_data": "a MAC that is good for one handshake, which it ends",
    "wire.messages:HelloRetryRequest.cookie": "sent in the clear",
    "wire.messages:NewSessionTicket.ticket": "the client will send it in the clear",
    "wire.messages:_ServerHelloShape.session_id": "sent in the clear",
    "wire.messages12:NewSessionTicket12.ticket": "sent in the clear",
}


@functools.cache
def modules() -> list[tuple[str, str]]:
    """Each module of trustls: its path below the package, and its source."""
    return [(path.relative_to(SOURCE).as_posix(), path.read_text()) for path in sorted(SOURCE.rglob("*.py"))]


@functools.cache
def found() -> list[Comparison]:
    """All comparisons that the lint asks about."""
    return [each for module, source in modules() for each in comparisons(source, module)]


def listed() -> set[tuple[str, str, str]]:
    """Those that have a reason."""
    return {place for places in HARMLESS.values() for place in places}


# -- Reading the source -----------------------------------------------------------------------------------------------


def test_no_secret_is_compared_byte_by_byte() -> None:
    new = [each for each in found() if each.place not in listed()]
    assert not new, (
        "these comparisons stop at the first byte that differs; use `crypto.hashing.equal` (hmac.compare_digest), or, "
        "where neither side is a secret, list them in HARMLESS with the reason:\n" + "\n".join(map(str, new))
    )


def test_list_of_harmless_comparisons_has_none_that_is_gone() -> None:
    stale = listed() - {each.place for each in found()}
    assert not stale, f"these are in HARMLESS and no longer in the source: {sorted(stale)}"


def test_no_dataclass_prints_a_secret() -> None:
    printed = {name for module, source in modules() for name in printed_secrets(source, module)}
    assert not printed - set(PRINTED), f"these fields need `field(repr=False)`: {sorted(printed - set(PRINTED))}"
    assert not set(PRINTED) - printed, f"these are listed and gone: {sorted(set(PRINTED) - printed)}"


# -- The lint itself --------------------------------------------------------------------------------------------------

PLANTED: Final = {
    "equality of names": "verify_data == self.verify_data(transcript_hash)",
    "inequality": "mac != expected_mac",
    "of an attribute": "offer.binders[index] == accepted.early.binder(label, partial)",
    "of a call": "cookie[-32:] == hmac.digest(key, content, 'sha256')",
    "in a condition": "if given_psk == known_psk: pass",
    "in a chain": "0 < count and a.tag == b.tag == c.tag",
    "membership": "certificate.spki_sha256 in allowed",
    "no membership": "ticket not in self._issued",
    "with the other side unnamed": "x == self._session_secret",
    "in a comprehension": "[each for each in keys if each.secret == given]",
    "in a lambda": "check = lambda given: given == password",
    "with a prefix": "token.startswith(given)",
    "with a prefix given": "header.startswith(bearer_token)",
    "of a method": "self.cookie.__eq__(other)",
    "of a function": "operator.eq(exporter_value, given)",
    "in a match": "match fingerprint:\n    case other.fingerprint: pass",
    "of a constant secret": "pin == b'0123456789abcdef'",
}


@pytest.mark.parametrize("what", PLANTED)
def test_planted_comparison_is_found(what: str) -> None:
    planted = f"def somewhere(self):\n    {PLANTED[what]}".replace("\n    case", "\n        case")
    assert list(comparisons(planted, "handshake/planted.py")), f"not found: {PLANTED[what]}"


def test_comparison_without_a_telling_name_is_found_where_secrets_are() -> None:
    planted = "def check(a, b):\n    return a == b"
    assert list(comparisons(planted, "protocol/key_schedule.py"))
    assert not list(comparisons(planted, "wire/codec.py"))


@pytest.mark.parametrize(
    "harmless",
    [
        "len(secret) == 32",
        "len(mac) != length",
        "psk is None",
        "hmac.compare_digest(mac, expected_mac)",
        "equal(verify_data, self.verify_data(transcript_hash))",
        "kind == HandshakeType.KEY_UPDATE",
        "secret_length == other.key_length",
        "ticket.lifetime == lifetime",
        "sequence == limit",
        "count < len(tickets)",
    ],
)
def test_harmless_comparison_is_left_alone(harmless: str) -> None:
    assert not list(comparisons(harmless, "handshake/planted.py")), f"{harmless} is no comparison of secrets"


class Naive(ast.NodeTransformer):
    """Writes `==` where the source compares in constant time."""

    def __init__(self) -> None:
        self.replaced = 0

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name in {"equal", "compare_digest"}:
            self.replaced += 1
            return ast.Compare(node.args[0], [ast.Eq()], [node.args[1]])
        return node


def test_source_without_its_constant_time_comparisons_is_found_out() -> None:
    replaced = 0
    for module, source in modules():
        if "equal(" not in source and "compare_digest" not in source:
            continue
        naive = Naive()
        changed = ast.unparse(naive.visit(ast.parse(source)))
        replaced += naive.replaced
        more = len(list(comparisons(changed, module))) - len(list(comparisons(source, module)))
        assert more == naive.replaced, f"{module}: {naive.replaced} were planted, {more} found"
    assert replaced >= 5, f"there are {replaced} comparisons in constant time: Finished twice, binder, cookie, pins?"


# -- Watching handshakes ----------------------------------------------------------------------------------------------


def test_no_handshake_compares_objects_that_hold_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """The `==` that a dataclass makes compares its fields with `==`."""
    names = [name for module, source in modules() for name in comparable_secrets(source, module)]
    assert "protocol.key_schedule:TrafficSecret" in names, f"the lint finds only {names}"

    def refuse(self: object, other: object) -> bool:
        if self is other:
            return True
        raise AssertionError(f"two {type(self).__qualname__}s are compared, field by field, in variable time")

    for name in names:
        module, _, kind = name.partition(":")
        with contextlib.suppress(ImportError):  # Of an extra that is not installed.
            found = getattr(importlib.import_module(f"trustls.{module}"), kind)
            monkeypatch.setattr(found, "__eq__", refuse)
    for make in STORIES.values():
        make()


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> set[bytes]:
    """What is given to hmac.compare_digest."""
    given: set[bytes] = set()
    genuine: Callable[[Any, Any], bool] = hmac.compare_digest

    def watched(one: bytes, other: bytes) -> bool:
        given.update((bytes(one), bytes(other)))
        return genuine(one, other)

    monkeypatch.setattr("hmac.compare_digest", watched)
    monkeypatch.setattr("trustls.protocol.key_schedule.equal", watched)
    monkeypatch.setattr("trustls.protocol.key_schedule12.equal", watched)
    return given


@pytest.mark.parametrize("name", STORIES)
def test_what_a_peer_proves_itself_with_is_compared_in_constant_time(name: str, compared: set[bytes]) -> None:
    with Watch() as watch:
        STORIES[name]()
    received = [event.message for event in watch.take() if event.direction == trustls.trace.RECEIVED]
    proofs: dict[bytes, str] = {}
    for message in received:
        if isinstance(message, Finished):
            proofs[message.verify_data] = "a Finished"
        elif isinstance(message, ClientHello) and message.pre_shared_key is not None:
            proofs[message.pre_shared_key.binders[0]] = "a binder"
        if isinstance(message, ClientHello) and message.cookie is not None:
            proofs[message.cookie[-32:]] = "the MAC of a cookie"
    missed = {what for proof, what in proofs.items() if proof not in compared}
    assert not missed, f"{name}: {missed} was not compared by hmac.compare_digest"
    assert proofs or name in {"refused", "half-way 1.3", "half-way 1.2"}, f"{name}: nobody proves anything"


def test_pins_are_compared_in_constant_time(compared: set[bytes]) -> None:
    story = STORIES["post-handshake"]()
    peer = story.pairs[0].server.peer
    assert peer is not None
    assert peer.certificate.spki_sha256 in compared, "the pin of the client's key was not compared by compare_digest"
