"""The rules of this room as both sides of a handshake see them."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.identities import (
    client_config,
    client_credential,
    client_root,
    optional,
    server_config,
    server_credential,
    server_identity,
    server_root,
    store,
    strange_credential,
)
from tests.support.memory import Pair, check_refused, feed, pair
from tests.support.revoking import ocsp_response
from trustls.errors import Incompatibility, PeerIncompatible
from trustls.identity.credential import Credential
from trustls.trust.certificate import Certificate

VERSIONS = pytest.mark.parametrize("version", ["1.2", "1.3"])
ROOTS = store(server_root(), client_root())


def run(server: dict[str, Any], client: dict[str, Any], version: str, name: str = "localhost") -> Pair:
    client.setdefault("roots", ROOTS)
    return pair(
        server_config(versions=[version], **server), client_config(versions=[version], **client), name=name
    ).run()


def certificate_of(joined: Pair) -> Certificate:
    joined.check_connected()
    assert joined.client.peer is not None
    return joined.client.peer.certificate


# -- Staples ----------------------------------------------------------------------------------------------------------

STAPLE = ocsp_response(server_identity(), server_root())


def from_file(tmp_path: Path) -> Any:
    path = tmp_path / "staple.der"
    path.write_bytes(STAPLE)
    return path


def from_coroutine(tmp_path: Path) -> Any:
    async def callback() -> bytes:
        await asyncio.sleep(0)
        return STAPLE

    return callback


@VERSIONS
@pytest.mark.parametrize("source", [lambda _: STAPLE, from_file, lambda _: lambda: STAPLE, from_coroutine])
def test_staple_reaches_the_client_wherever_it_comes_from(
    version: str, source: Callable[[Path], Any], tmp_path: Path
) -> None:
    identity = server_identity()
    credential = Credential(identity.chain, identity.key, ocsp_response=source(tmp_path))
    joined = run({"credentials": [credential]}, {"ocsp": "required"}, version)

    async def settle() -> None:
        await joined.server.settle()
        joined.server_got.extend(feed(joined.server, [b""]))

    if joined.server.pending_work is not None:
        asyncio.run(settle())
        joined.run()
    assert certificate_of(joined) == credential.certificate
    assert joined.client.peer is not None
    assert joined.client.peer.ocsp_response == STAPLE


@VERSIONS
def test_callback_that_fails_costs_the_staple_and_not_the_handshake(version: str) -> None:
    def broken() -> bytes:
        raise RuntimeError("the responder is down")

    identity = server_identity()
    credential = Credential(identity.chain, identity.key, ocsp_response=broken)
    assert certificate_of(run({"credentials": [credential]}, {}, version)) == credential.certificate


# -- Selection --------------------------------------------------------------------------------------------------------


def of_client_root() -> Credential:
    issued = client_root().issue_server("localhost")
    return Credential(issued.chain, issued.key)


@VERSIONS
def test_server_chooses_by_the_authorities_that_the_client_names(version: str) -> None:
    """RFC 9846 4.3.4; the extension means nothing in TLS 1.2, and is honoured all the same."""
    private = of_client_root()
    server = {"credentials": [server_credential(), private]}
    assert certificate_of(run(server, {}, version)) == server_credential().certificate
    named = {"certificate_authorities": [client_root().certificate]}
    assert certificate_of(run(server, named, version)) == private.certificate


@VERSIONS
def test_server_without_a_credential_for_the_client_says_why(version: str) -> None:
    reserved = dataclasses.replace(of_client_root(), must_match_issuer=True)
    joined = run({"credentials": [reserved]}, {}, version)
    error = check_refused(joined, "server", PeerIncompatible, Incompatibility.NO_FITTING_CREDENTIAL)
    assert "CN=localhost: it is for peers only that name its issuer" in str(error)


@VERSIONS
def test_client_keeps_its_fallback_for_servers_that_nothing_matches(version: str) -> None:
    fallback = dataclasses.replace(strange_credential(), fallback=True)
    joined = run({"client_auth": optional()}, {"credentials": [fallback, client_credential()]}, version)
    joined.check_connected()
    assert joined.server.peer is not None
    assert joined.server.peer.certificate == client_credential().certificate


@pytest.mark.parametrize("key_type", ["ec-p256", "ec-p384", "ec-p521"])
@pytest.mark.parametrize("hash_of", ["ecdsa_secp256r1_sha256", "ecdsa_secp384r1_sha384", "ecdsa_secp521r1_sha512"])
def test_ecdsa_key_signs_with_any_hash_in_tls12(key_type: str, hash_of: str) -> None:
    """RFC 8422 5.1.1: on both sides, whatever the curve."""
    server = {"credentials": [server_credential(key_type)], "client_auth": optional(), "signature_schemes": [hash_of]}
    client = {"credentials": [client_credential(key_type)], "signature_schemes": [hash_of]}
    joined = run(server, client, "1.2")
    assert certificate_of(joined) == server_credential(key_type).certificate
    assert joined.server.peer is not None
    assert joined.server.peer.certificate == client_credential(key_type).certificate
