"""trustls.asgi: what a scope says of a connection. The servers are in tests/integrations."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

import trustls
import trustls.asgi
from tests.support import identities
from tests.support.served import served, shake_hands
from trustls.danger import AcceptAnyCertificate
from trustls.net.clients import client_chain

# Of the specification, all of them.
FIELDS = {"server_cert", "client_cert_chain", "client_cert_name", "client_cert_error", "tls_version", "cipher_suite"}


def pem(certificate: trustls.Certificate) -> str:
    return certificate.pem()


def alice(**changes: object) -> trustls.ClientConfig:
    return identities.client_config(credentials=[identities.client_credential()], **changes)


def strange() -> trustls.ClientConfig:
    stranger = identities.strange_credential()
    return identities.client_config(credentials=[stranger], choose_credential=lambda request, credentials: stranger)


def reporting() -> trustls.ServerConfig:
    return identities.server_config(client_auth=trustls.ClientAuth.report(identities.client_roots()))


# -- tls_extension -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "suite", "numbers"),
    [
        ("1.3", "TLS_AES_128_GCM_SHA256", (0x0304, 0x1301)),
        ("1.3", "TLS_CHACHA20_POLY1305_SHA256", (0x0304, 0x1303)),
        ("1.2", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", (0x0303, 0xC02B)),
    ],
)
def test_all_fields_are_there(version: str, suite: str, numbers: tuple[int, int]) -> None:
    found = trustls.asgi.tls_extension(served(alice(versions=[version], suites=[suite])))
    chain = identities.client_credential().chain
    assert found == {
        "server_cert": identities.server_credential().chain[0].pem(),
        "client_cert_chain": tuple(map(pem, chain)),
        "client_cert_name": "CN=alice",
        "client_cert_error": None,
        "tls_version": numbers[0],
        "cipher_suite": numbers[1],
    }
    assert len(chain) == 2, "there is an intermediate"
    assert type(found["tls_version"]) is type(found["cipher_suite"]) is int, "an enum is no plain number"


def test_client_without_certificate_has_no_name_and_no_error() -> None:
    optional = identities.server_config(client_auth=identities.optional())
    for server in (optional, reporting(), identities.server_config()):
        found = trustls.asgi.tls_extension(served(identities.client_config(), server))
        assert (found["client_cert_chain"], found["client_cert_name"], found["client_cert_error"]) == ((), None, None)
        assert found.keys() == FIELDS


def test_reported_certificate_has_its_error_in_one_line() -> None:
    found = trustls.asgi.tls_extension(served(strange(), reporting()))
    assert found["client_cert_name"] == "CN=mallory"
    assert found["client_cert_chain"] == (identities.strange_credential().chain[0].pem(),)
    assert "the issuer is not known" in found["client_cert_error"]
    assert "\n" not in found["client_cert_error"]


def test_certificate_that_nobody_verified_has_an_error() -> None:
    anybody = identities.server_config(client_auth=trustls.ClientAuth.custom(AcceptAnyCertificate()))
    found = trustls.asgi.tls_extension(served(alice(), anybody))
    assert found["client_cert_name"] == "CN=alice"
    assert found["client_cert_error"] == "nobody has verified this certificate"


def test_chain_is_the_verified_path_as_far_as_it_was_sent() -> None:
    leaf, issuing = identities.client_credential().chain
    root = trustls.Certificate.from_x509(identities.client_root().certificate)
    unrelated = trustls.Certificate.from_x509(identities.strange_root().certificate)
    path = (leaf, issuing, root)
    assert client_chain(trustls.Peer((leaf, unrelated, issuing), path)) == (leaf, issuing)
    assert client_chain(trustls.Peer((leaf, issuing, root), path)) == (leaf, issuing, root)
    assert client_chain(trustls.Peer((leaf, unrelated))) == (leaf, unrelated), (
        "of what is not verified there is no path"
    )
    assert client_chain(None) == ()


def test_resumed_session_knows_its_client_and_has_no_server_certificate() -> None:
    config, server = alice(), identities.server_config(client_auth=identities.required())
    served(config, server)
    connection = served(config, server)
    assert connection.info.resumed, "the session was not resumed"
    found = trustls.asgi.tls_extension(connection)
    assert found["client_cert_name"] == "CN=alice"
    assert found["server_cert"] is None


def test_nothing_is_said_before_the_handshake_is_done() -> None:
    with pytest.raises(trustls.HandshakePending):
        trustls.asgi.tls_extension(trustls.ServerConnection(identities.server_config()))


# -- In a scope --------------------------------------------------------------------------------------------------------


@dataclasses.dataclass
class Wrapped:
    """What an SSLObject of trustls has."""

    connection: object


def told(scope: dict[str, Any], ssl_object: Callable[[], object]) -> dict[str, Any]:
    """The scope that an application gets; what else it is called with must get through."""
    seen: list[Any] = []

    async def app(*arguments: Any) -> str:
        seen.extend(arguments)
        return "done"

    extension = trustls.asgi.TLSExtension(app, ssl_object)

    async def call() -> Any:
        return await extension(scope, "receive", "send", "more")

    assert asyncio.run(call()) == "done"
    assert seen[1:] == ["receive", "send", "more"]
    assert isinstance(seen[0], dict)
    return seen[0]


@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_scope_has_the_extension_beside_the_servers_own(kind: str) -> None:
    connection = served()
    scope = {"type": kind, "extensions": {"http.response.trailers": {}}}
    extensions = told(scope, lambda: Wrapped(connection))["extensions"]
    assert extensions["tls"] == trustls.asgi.tls_extension(connection)
    assert extensions["http.response.trailers"] == {}
    assert trustls.asgi.peer(scope) is connection.peer


@pytest.mark.parametrize("extensions", [{}, {"extensions": None}, {"extensions": {}}])
def test_scope_without_extensions_gets_some(extensions: dict[str, Any]) -> None:
    scope = told({"type": "http", **extensions}, lambda: Wrapped(served()))
    assert scope["extensions"]["tls"]["client_cert_name"] == "CN=alice"


@pytest.mark.parametrize("kind", ["lifespan", "something.new"])
def test_other_scopes_are_left_alone(kind: str) -> None:
    assert told({"type": kind}, lambda: Wrapped(served())) == {"type": kind}


@pytest.mark.parametrize(
    "ssl_object", [None, object(), Wrapped(None), Wrapped("a connection")], ids=["none", "object", "nothing", "text"]
)
def test_connection_in_the_clear_has_no_extension(ssl_object: object) -> None:
    scope = told({"type": "http", "extensions": {"trustls.peer": "forged"}}, lambda: ssl_object)
    assert scope["extensions"] == {}, "where there is no TLS, nobody may say anything of it"
    assert trustls.asgi.peer(scope) is None


def test_application_that_changes_its_extension_changes_no_others() -> None:
    connection = served()
    scopes: list[Any] = []

    async def app(scope: Any) -> None:
        scopes.append(scope)
        scope["extensions"]["tls"]["client_cert_name"] = "CN=root"

    extension = trustls.asgi.TLSExtension(app, lambda: Wrapped(connection))

    async def call_twice() -> None:
        await extension({"type": "http"})
        first = scopes[0]["extensions"]["tls"]
        scope: dict[str, Any] = {"type": "http"}
        called = extension(scope)
        assert scope["extensions"]["tls"]["client_cert_name"] == "CN=alice", "one request has changed the next"
        assert scope["extensions"]["tls"] is not first
        await called

    asyncio.run(call_twice())


def test_certificate_after_the_handshake_is_told_from_then_on() -> None:
    client = trustls.ClientConnection(alice(post_handshake_auth=True), "localhost")
    server = trustls.ServerConnection(identities.server_config(post_handshake_auth=identities.required()))
    shake_hands(client, server)
    scopes: list[Any] = []

    async def app(scope: Any) -> None:
        scopes.append(scope["extensions"]["tls"]["client_cert_name"])

    extension = trustls.asgi.TLSExtension(app, lambda: Wrapped(server))

    async def call() -> None:
        await extension({"type": "http"})

    asyncio.run(call())
    server.request_client_certificate()
    shake_hands(client, server)
    asyncio.run(call())
    assert scopes == [None, "CN=alice"]


# -- peer --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scope", [{}, {"extensions": None}, {"extensions": {}}, {"extensions": {"tls": {}}}])
def test_nobody_knows_the_peer_of_other_scopes(scope: dict[str, Any]) -> None:
    assert trustls.asgi.peer(scope) is None
    assert trustls.Authorize.everyone().refusal(trustls.asgi.peer(scope)) is not None


def test_rule_refuses_a_reported_certificate_whatever_its_name() -> None:
    scope = told({"type": "http"}, lambda: Wrapped(served(strange(), reporting())))
    rule = trustls.Authorize.subject("CN=mallory")
    assert rule.refusal(trustls.asgi.peer(scope)) is not None, "its name is a lie"
    scope = told({"type": "http"}, lambda: Wrapped(served()))
    assert trustls.Authorize.subject("CN=alice").refusal(trustls.asgi.peer(scope)) is None
