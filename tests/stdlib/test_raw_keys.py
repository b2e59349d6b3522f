"""What stands on TLS tells of raw public keys (RFC 7250): the drop-in for `ssl`, asgi and wsgi know no certificate."""

from __future__ import annotations

import ssl

import pytest

import trustls.asgi
import trustls.wsgi
from tests.support.raw_keys import raw_client, raw_server, trusted
from tests.support.served import served
from trustls import Authorize, ClientAuth


def test_the_drop_in_for_ssl_has_no_certificate_for_a_raw_key() -> None:
    client_in, server_in = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = raw_client().ssl_context().wrap_bio(client_in, server_in, server_hostname="localhost")
    server = raw_server().ssl_context().wrap_bio(server_in, client_in, server_side=True)
    for _ in range(3):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    for side in (client, server):
        assert side.getpeercert() is None, "a certificate is told of"
        assert side.getpeercert(binary_form=True) is None, "a certificate is told of"
        assert (side.get_verified_chain(), side.get_unverified_chain()) == ([], []), "a chain is told of"
    with pytest.raises(NotImplementedError, match="cannot be listed"):
        raw_client().ssl_context().get_ca_certs()
    context = raw_server().ssl_context()
    assert context.verify_mode == ssl.CERT_REQUIRED, "a raw key is not required"


def test_asgi_and_wsgi_describe_a_raw_key_as_no_certificate() -> None:
    connection = served(raw_client(), raw_server())
    found = trustls.asgi.tls_extension(connection)
    assert found["server_cert"] is None, "a server's certificate is told of"
    assert found["client_cert_chain"] == (), "a client's certificate is told of"
    assert (found["client_cert_name"], found["client_cert_error"]) == (None, None), "a name or an error is told of"
    environ = trustls.wsgi.tls_environ(connection)
    assert environ["SSL_CLIENT_VERIFY"] == "NONE", "a certificate is said to be verified"
    assert not [name for name in environ if name.startswith(("SSL_CLIENT_C", "SSL_CLIENT_S", "SSL_SERVER"))]
    assert connection.peer is not None
    assert Authorize.public_key(trusted("ed25519").keys[0]).refusal(connection.peer) is None, "the key is not known"


def test_asgi_and_wsgi_say_why_a_raw_key_is_not_trusted() -> None:
    connection = served(raw_client(), raw_server(client_auth=ClientAuth.report(trusted("rsa"))))
    error = trustls.asgi.tls_extension(connection)["client_cert_error"]
    assert "not one of those that are trusted" in error, f"{error!r} does not say what is wrong"
    verdict = trustls.wsgi.tls_environ(connection)["SSL_CLIENT_VERIFY"]
    assert verdict.startswith("FAILED:the raw public key"), f"{verdict!r} does not say what is wrong"
