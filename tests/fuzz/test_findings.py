"""What the fuzzers of `fuzz/` have found, each as small as it can be told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fuzz import certificates
from fuzz.oracles import check_refusal
from fuzz.targets import paths
from tests.support.identities import client_config, server_config
from tests.support.memory import Pair, check_refused, connect, feed
from tests.support.scripted import ScriptedServer, on, say
from tests.trust.issuing import NOW
from trustls.connection import ClientConnection
from trustls.errors import (
    AlertDescription,
    CertificateProblem,
    CertificateRejected,
    ConfigError,
    InternalError,
    PeerMisbehaved,
)
from trustls.handshake.retry_cookie import RetryCookies
from trustls.identity.loading import der_key
from trustls.session.store import MemoryClientSessions
from trustls.trust.certificate import Certificate
from trustls.trust.path import Purpose, verify_path
from trustls.wire.messages import HelloRetryRequest, NewSessionTicket


@pytest.mark.parametrize("size", [0x8000, 0xFF00, 65_440])
def test_cookie_that_no_hello_has_room_for_is_the_servers_fault(size: int) -> None:
    """A HelloRetryRequest's cookie may take nearly 2^16 bytes, and must be sent back beside everything else."""
    client = client_config(groups=["x25519", "secp256r1"])
    server = server_config(groups=["secp256r1"], retry_cookies=RetryCookies())
    script = ScriptedServer(server, on(HelloRetryRequest, lambda retry: [replace(retry, cookie=bytes(size))]))
    joined = Pair(ClientConnection(client, "localhost"), script).run()
    assert not isinstance(joined.client.failure, InternalError), f"{joined.client.failure}"
    if isinstance(joined.client.failure, PeerMisbehaved):
        check_refused(joined, "client", PeerMisbehaved, alert=AlertDescription.ILLEGAL_PARAMETER)


@pytest.mark.parametrize("authorities", [0, 300])
@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_huge_ticket_harms_no_later_connection(authorities: int, version: str) -> None:
    """A server gives a ticket of 32 KiB, which has to fit beside the CA names that the client sends."""
    store = MemoryClientSessions()
    client = client_config(
        sessions=store, certificate_authorities=[f"CN={number:060}" for number in range(authorities)] or None
    )
    first = Pair(ClientConnection(client, "localhost"), ScriptedServer(server_config(resumption=None))).run()
    assert first.connected
    say(first.server, NewSessionTicket(lifetime=7200, age_add=1, nonce=b"\0", ticket=bytes(0x8000)))
    first.run()
    connect(server_config(versions=[version]), client).check_connected()


@pytest.mark.parametrize("authorities", [300, 400, 855, 868])
@pytest.mark.filterwarnings("ignore:the CA names:UserWarning")
def test_authorities_that_a_configuration_takes_fit_into_a_hello(authorities: int) -> None:
    try:
        client = client_config(certificate_authorities=[f"CN={number:060}" for number in range(authorities)])
    except ConfigError:
        return
    connect(server_config(), client).check_connected()


def test_private_key_of_the_wrong_length_is_refused_in_words() -> None:
    """OpenSSL has no name for what is wrong with it, and pyca/cryptography raises an InternalError of its own."""
    key = bytes.fromhex(
        "302e020100300506032b657104220420badb3220497abbe251a0d9ed092f27af9e9c497abbe251a0622d0af3ee765013"
    )
    with pytest.raises(ConfigError):
        der_key(key, None)


@pytest.mark.parametrize(
    ("basic_constraints", "what"),
    [("3003020100", "a path length and no CA"), ("3003010100", "no CA, written out")],
)
def test_leaf_that_is_no_ca_may_say_so_in_its_own_way(basic_constraints: str, what: str) -> None:
    """The fuzzer's second opinion took it for a finding; both are common, and grant nothing."""
    draft = certificates.leaf(0, 0)
    others = [extension for extension in draft.extensions if extension[0] != "2.5.29.19"]
    draft.extensions = [*others, ("2.5.29.19", False, bytes.fromhex(basic_constraints))]
    one = Certificate.from_der(draft.signed())
    path = verify_path((one,), paths.roots(), purpose=Purpose.SERVER_AUTH, now=NOW)
    assert len(path) == 2, what
    paths.judge(path, (one,), Purpose.SERVER_AUTH)


def test_certificate_that_another_library_cannot_read_is_refused_in_our_words() -> None:
    """Those with the serial number zero are shown to it late; the curve of this one's key has no object identifier."""
    draft = certificates.leaf(0, 0)
    draft.serial_number = b"\0"
    der = draft.signed()
    curve = bytes.fromhex("06082a8648ce3d030107")
    assert der.count(curve) == 1
    one = Certificate.from_der(der.replace(curve, b"\x07" + curve[1:]))
    with pytest.raises(CertificateRejected) as caught:
        _ = one.x509
    assert caught.value.reason is CertificateProblem.MALFORMED
    check_refusal(caught.value)


def test_what_comes_with_a_close_notify_is_kept_and_nothing_after_it() -> None:
    """It is for `take_unread`, and may be as long as what the transport gave at once."""
    joined = connect(server_config(), client_config())
    joined.client.close()
    behind = bytes(40_000)
    assert feed(joined.server, [joined.client.data_to_send() + behind, bytes(50_000)]) == b""
    assert joined.server.take_unread() == behind
