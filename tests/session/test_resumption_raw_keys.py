"""Sessions between raw public keys (RFC 7250): bound to the keys, and to who is trusted now."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.identities import client_credential, client_roots
from tests.support.memory import Pair, check_refused, connect
from tests.support.raw_keys import VERSIONS, check_raw, own, raw_client, raw_server, trusted
from trustls import (
    Authorize,
    CertificateProblem,
    CertificateRejected,
    ClientAuth,
    MemoryClientSessions,
    RawPublicKeys,
    Reloading,
    StoredSessions,
    Tickets,
)
from trustls.config import ClientConfig, ServerConfig
from trustls.connection import ClientConnection, ServerConnection
from trustls.session.state import ServerSession
from trustls.wire.enums import CipherSuite, NamedGroup, ProtocolVersion

versions = pytest.mark.parametrize("version", VERSIONS)


def resumed(server: ServerConfig, client: ClientConfig) -> tuple[bool, Pair]:
    """Whether the next connection goes on with a session."""
    joined = connect(server, client)
    joined.check_connected()
    assert joined.client.info.resumed == joined.server.info.resumed, "the two sides do not agree"
    return joined.client.info.resumed, joined


@versions
@pytest.mark.parametrize("policy", [Tickets, StoredSessions])
def test_a_session_goes_on_between_the_same_keys(policy: Any, version: str) -> None:
    server, client = raw_server(resumption=policy(), versions=[version]), raw_client(versions=[version])
    for expected in (False, True, True):
        found, joined = resumed(server, client)
        assert found is expected, f"resumed: {found}"
        check_raw(joined)


@versions
@pytest.mark.parametrize("mode", [ClientAuth.optional, ClientAuth.report])
def test_a_client_is_known_again_where_it_need_not_be(mode: Any, version: str) -> None:
    server, client = (
        raw_server(client_auth=mode(trusted("ed25519")), versions=[version]),
        raw_client(versions=[version]),
    )
    resumed(server, client)
    found, joined = resumed(server, client)
    assert found, "the session was not taken"
    check_raw(joined)


@versions
def test_a_key_that_is_reported_is_reported_again(version: str) -> None:
    server = raw_server(client_auth=ClientAuth.report(trusted("rsa")), versions=[version])
    client = raw_client(versions=[version])
    resumed(server, client)
    found, joined = resumed(server, client)
    assert found, "the session was not taken"
    assert joined.server.peer is not None
    assert joined.server.peer.error is not None, "a key that is not trusted became one that is"


class Changing:
    """Keys that may be others tomorrow, as `Reloading` has them."""

    def __init__(self, current: RawPublicKeys) -> None:
        self.current = current


@versions
def test_a_session_of_a_key_that_is_no_longer_trusted_is_not_taken(version: str) -> None:
    keys = Changing(trusted("ed25519", "rsa"))
    server = raw_server(client_auth=ClientAuth.optional(keys), versions=[version])
    client = raw_client(versions=[version], credentials=[own("rsa"), own("ed25519")])
    resumed(server, client)
    assert resumed(server, client)[0], "the session was not taken while the key is trusted"
    keys.current = trusted("ed25519")
    joined = Pair(*_fresh(server, client)).run()
    assert joined.server.failure is not None, "a key that is no longer trusted came in by its session"


@versions
def test_a_client_asks_for_no_session_with_a_server_key_that_is_no_longer_trusted(version: str) -> None:
    keys = Changing(trusted("p256", "rsa"))
    server, client = raw_server(versions=[version]), raw_client(roots=keys, versions=[version])
    resumed(server, client)
    assert resumed(server, client)[0], "the session was not taken while the key is trusted"
    keys.current = trusted("rsa")
    joined = Pair(*_fresh(server, client)).run()
    assert joined.client.failure is not None, "the server came in by its session"


def _fresh(server: ServerConfig, client: ClientConfig) -> tuple[ClientConnection, ServerConnection]:
    return ClientConnection(client, "localhost"), ServerConnection(server)


@versions
def test_a_session_is_not_taken_under_other_trust(version: str) -> None:
    policy, store = Tickets(), MemoryClientSessions()
    changes: dict[str, Any] = {"resumption": policy, "versions": [version]}
    own_changes: dict[str, Any] = {"sessions": store, "versions": [version]}
    resumed(raw_server(**changes), raw_client(**own_changes))
    for auth in (
        ClientAuth.required(trusted("ed25519", "rsa")),
        ClientAuth.optional(trusted("ed25519")),
        ClientAuth.required(trusted("ed25519"), authorize=Authorize.everyone()),
        ClientAuth.required([trusted("ed25519"), client_roots()]),
        ClientAuth.required([client_roots(), trusted("ed25519")]),
    ):
        found, joined = resumed(raw_server(client_auth=auth, **changes), raw_client(**own_changes))
        assert not found, f"a session of other trust was taken under {auth}"
        check_raw(joined)
    found, _ = resumed(raw_server(**changes), raw_client(roots=trusted("p256", "rsa"), **own_changes))
    assert not found, "a client that trusts other keys goes on with the session"
    auth = ClientAuth.required(trusted("ed25519", "rsa"))
    resumed(raw_server(client_auth=auth, **changes), raw_client(**own_changes))
    found, joined = resumed(
        raw_server(client_auth=auth, **changes), raw_client(credentials=[own("rsa")], **own_changes)
    )
    assert not found, "a client with another key goes on with the session"
    check_raw(joined, client="rsa")


@versions
def test_a_certificate_and_a_raw_key_for_the_same_key_have_no_session_in_common(version: str) -> None:
    auth = ClientAuth.required([trusted("ed25519"), client_roots()])
    server, store = raw_server(client_auth=auth, versions=[version]), MemoryClientSessions()
    resumed(server, raw_client(sessions=store, versions=[version]))
    found, joined = resumed(server, raw_client(credentials=[client_credential()], sessions=store, versions=[version]))
    assert not found, "a client with a certificate goes on with the session of a raw key"
    check_raw(joined, client=None)


def test_a_stored_session_says_whether_it_is_of_a_raw_key() -> None:
    session = ServerSession(
        version=ProtocolVersion.TLS1_3,
        suite=CipherSuite.TLS_AES_128_GCM_SHA256,
        group=NamedGroup.X25519,
        secret=bytes(32),
        binding=bytes(32),
        server_name="localhost",
        alpn=None,
        client_chain=(trusted().keys[0].spki,),
        issued_at=1,
        lifetime=1,
        client_is_raw_key=True,
    )
    assert ServerSession.parse(session.encode()) == session, "not the same after encode and parse"
    other = replace(session, client_is_raw_key=False)
    assert other.encode() != session.encode(), "a raw key is stored as a certificate is"
    for chain in ((), (b"one", b"two")):
        assert ServerSession.parse(replace(session, client_chain=chain).encode()) is None, f"{len(chain)} keys are read"


def test_early_data_is_known_to_be_of_a_raw_key() -> None:
    server = raw_server(resumption=StoredSessions(max_early_data=1000))
    client = raw_client(early_data=True)
    resumed(server, client)
    joined = Pair(*_fresh(server, client))
    joined.client.write_early(b"early")
    joined.run().check_connected()
    assert joined.server.read_early() == b"early", "the early data did not arrive"
    check_raw(joined)


def test_keys_that_follow_a_file_let_in_whom_it_names_now(tmp_path: Path) -> None:
    file = tmp_path / "trusted.pem"
    file.write_text(trusted("ed25519").keys[0].pem())
    keys = Reloading.from_files(lambda: RawPublicKeys.from_pem(file), file)
    server, client = raw_server(client_auth=ClientAuth.required(keys)), raw_client()
    check_raw(connect(server, client))
    file.write_text(trusted("rsa").keys[0].pem())
    keys.reload()
    joined = Pair(*_fresh(server, client)).run()
    check_refused(joined, "server", CertificateRejected, CertificateProblem.UNKNOWN_RAW_KEY)
    check_raw(connect(server, raw_client(credentials=[own("rsa")])), client="rsa")
