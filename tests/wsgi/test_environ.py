"""trustls.wsgi: what an environ says of a connection. The servers are in tests/integrations."""

from __future__ import annotations

import dataclasses
import re
import ssl
from typing import Any
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID

import trustls
import trustls.wsgi
from tests.support import identities
from tests.support.served import served
from trustls.cli.pki import Issued
from trustls.danger import AcceptAnyCertificate


def alice(**changes: object) -> trustls.ClientConfig:
    return identities.client_config(credentials=[identities.client_credential()], **changes)


def presenting(credential: trustls.Credential) -> trustls.ClientConfig:
    return identities.client_config(credentials=[credential], choose_credential=lambda request, credentials: credential)


def named(*attributes: tuple[x509.ObjectIdentifier, str]) -> trustls.Credential:
    """A client's certificate with a subject of these attributes."""
    root = identities.client_root()
    issued = root.issue_client("somebody")
    old = issued.certificate
    builder = x509.CertificateBuilder(
        old.issuer,
        x509.Name([x509.NameAttribute(oid, value) for oid, value in attributes]),
        old.public_key(),
        old.serial_number,
        old.not_valid_before_utc,
        old.not_valid_after_utc,
        list(old.extensions),
    )
    certificate = builder.sign(root.key, hashes.SHA256())
    return identities.credential(Issued(certificate, issued.key))


# -- tls_environ -------------------------------------------------------------------------------------------------------


def test_names_are_those_of_mod_ssl() -> None:
    found = trustls.wsgi.tls_environ(served(alice(suites=["TLS_AES_128_GCM_SHA256"])))
    leaf, intermediate = identities.client_credential().chain
    server = identities.server_credential().chain[0]
    assert found == {
        "HTTPS": "on",
        "SSL_PROTOCOL": "TLSv1.3",
        "SSL_CIPHER": "TLS_AES_128_GCM_SHA256",
        "SSL_CIPHER_USEKEYSIZE": "128",
        "SSL_CIPHER_ALGKEYSIZE": "128",
        "SSL_SESSION_RESUMED": "Initial",
        "SSL_TLS_SNI": "localhost",
        "SSL_CLIENT_VERIFY": "SUCCESS",
        "SSL_CLIENT_CERT": leaf.pem(),
        "SSL_CLIENT_CERT_CHAIN_0": intermediate.pem(),
        "SSL_CLIENT_M_VERSION": "3",
        "SSL_CLIENT_M_SERIAL": found["SSL_CLIENT_M_SERIAL"],
        "SSL_CLIENT_V_START": found["SSL_CLIENT_V_START"],
        "SSL_CLIENT_V_END": found["SSL_CLIENT_V_END"],
        "SSL_CLIENT_S_DN": "CN=alice",
        "SSL_CLIENT_S_DN_CN": "alice",
        "SSL_CLIENT_I_DN": "CN=K-Dot Issuing",
        "SSL_CLIENT_I_DN_CN": "K-Dot Issuing",
        "SSL_SERVER_CERT": server.pem(),
        "SSL_SERVER_M_VERSION": "3",
        "SSL_SERVER_M_SERIAL": found["SSL_SERVER_M_SERIAL"],
        "SSL_SERVER_V_START": found["SSL_SERVER_V_START"],
        "SSL_SERVER_V_END": found["SSL_SERVER_V_END"],
        "SSL_SERVER_S_DN": "CN=localhost",
        "SSL_SERVER_S_DN_CN": "localhost",
        "SSL_SERVER_I_DN": "CN=Server Root",
        "SSL_SERVER_I_DN_CN": "Server Root",
        "SSL_SERVER_SAN_DNS_0": "localhost",
    }
    assert int(found["SSL_CLIENT_M_SERIAL"], 16) == leaf.serial_number
    assert ssl.cert_time_to_seconds(found["SSL_CLIENT_V_START"]) == leaf.not_before
    assert ssl.cert_time_to_seconds(found["SSL_CLIENT_V_END"]) == leaf.not_after


def test_tls12_has_openssls_name_of_its_suite() -> None:
    suites = ["TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"]
    found = trustls.wsgi.tls_environ(served(alice(versions=["1.2"], suites=suites)))
    assert found["SSL_PROTOCOL"] == "TLSv1.2"
    assert found["SSL_CIPHER"] == "ECDHE-ECDSA-AES256-GCM-SHA384"
    assert found["SSL_CIPHER_USEKEYSIZE"] == "256"


def test_alternative_names_are_numbered_by_their_form() -> None:
    issued = identities.client_root().issue_client(
        "alice",
        dns_names=["a.example", "b.example", "192.0.2.1"],
        emails=["alice@example.org"],
        uris=["spiffe://example.org/alice"],
    )
    found = trustls.wsgi.tls_environ(served(presenting(identities.credential(issued))))
    assert {key: value for key, value in found.items() if key.startswith("SSL_CLIENT_SAN")} == {
        "SSL_CLIENT_SAN_DNS_0": "a.example",
        "SSL_CLIENT_SAN_DNS_1": "b.example",
        "SSL_CLIENT_SAN_IP_0": "192.0.2.1",
        "SSL_CLIENT_SAN_Email_0": "alice@example.org",
        "SSL_CLIENT_SAN_URI_0": "spiffe://example.org/alice",
    }


def test_name_is_ascii_and_its_attributes_are_utf8() -> None:
    credential = named(
        (NameOID.COUNTRY_NAME, "HR"),
        (NameOID.ORGANIZATIONAL_UNIT_NAME, "first"),
        (NameOID.ORGANIZATIONAL_UNIT_NAME, "second"),
        (NameOID.COMMON_NAME, "Lučić, A."),
    )
    found = trustls.wsgi.tls_environ(served(presenting(credential)))
    subject = {key: value for key, value in found.items() if key.startswith("SSL_CLIENT_S_DN")}
    assert subject == {
        "SSL_CLIENT_S_DN": r"CN=Lu\C4\8Di\C4\87\, A.,OU=second,OU=first,C=HR",
        "SSL_CLIENT_S_DN_C": "HR",
        "SSL_CLIENT_S_DN_OU": "first",
        "SSL_CLIENT_S_DN_OU_0": "first",
        "SSL_CLIENT_S_DN_OU_1": "second",
        "SSL_CLIENT_S_DN_CN": "Lučić, A.".encode().decode("latin-1"),
    }


def test_client_without_certificate_has_none() -> None:
    server = identities.server_config(client_auth=identities.optional())
    found = trustls.wsgi.tls_environ(served(identities.client_config(), server))
    assert {key: value for key, value in found.items() if "CLIENT" in key} == {"SSL_CLIENT_VERIFY": "NONE"}


@pytest.mark.parametrize(
    ("client_auth", "reason"),
    [
        (trustls.ClientAuth.report(identities.client_roots()), "the issuer is not known"),
        (trustls.ClientAuth.custom(AcceptAnyCertificate()), "nobody has verified this certificate"),
    ],
    ids=["reported", "accepted unseen"],
)
def test_certificate_that_is_not_verified_is_shown_and_names_nobody(
    client_auth: trustls.ClientAuth, reason: str
) -> None:
    strange = identities.strange_credential()
    found = trustls.wsgi.tls_environ(served(presenting(strange), identities.server_config(client_auth=client_auth)))
    of_the_client = {key: value for key, value in found.items() if "CLIENT" in key}
    verdict = of_the_client.pop("SSL_CLIENT_VERIFY")
    assert re.fullmatch(f"FAILED:.*{reason}.*", verdict), verdict
    assert verdict.isascii()
    assert of_the_client == {"SSL_CLIENT_CERT": strange.chain[0].pem()}, "it is named like one that is verified"


def test_resumed_session_has_its_client_and_no_server_certificate() -> None:
    config, server = alice(), identities.server_config(client_auth=identities.required())
    served(config, server)
    found = trustls.wsgi.tls_environ(served(config, server))
    assert found["SSL_SESSION_RESUMED"] == "Resumed"
    assert found["SSL_CLIENT_S_DN"] == "CN=alice"
    assert not [key for key in found if key.startswith("SSL_SERVER")]


# -- The middleware ----------------------------------------------------------------------------------------------------


@dataclasses.dataclass
class Wrapped:
    """What an SSLSocket of trustls has."""

    connection: object


FORGED = {
    "SSL_CLIENT_VERIFY": "SUCCESS",
    "SSL_CLIENT_S_DN": "CN=root",
    "SSL_CLIENT_S_DN_CN": "root",
    "SSL_CLIENT_CERT_CHAIN_7": "forged",
    "SSL_ANYTHING": "forged",
    "HTTP_SSL_CLIENT_VERIFY": "SUCCESS",
    "HTTP_SSL_CLIENT_S_DN": "CN=root",
    "HTTPS": "on",
    "HTTP_HTTPS": "on",
    "trustls.peer": "root",
}


def told(**environ: Any) -> dict[str, Any]:
    """The environ that an application gets, which must be a good one."""
    seen: list[dict[str, Any]] = []

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        seen.append(environ)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"done"]

    environ.setdefault("QUERY_STRING", "")
    setup_testing_defaults(environ)
    checked: Any = validator(app)
    answer = trustls.wsgi.TLSEnviron(checked)(environ, lambda *_: None)
    try:
        assert b"".join(answer) == b"done"
    finally:
        answer.close()  # type: ignore[attr-defined]  # the validator's
    return seen[0]


def about_tls(environ: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in environ.items() if "SSL" in key or "HTTPS" in key or key == "trustls.peer"}


@pytest.mark.parametrize("key", ["gunicorn.socket", "werkzeug.socket", "trustls.socket"])
def test_environ_says_what_the_connection_says_and_nothing_else(key: str) -> None:
    connection = served()
    environ = told(**{key: Wrapped(connection)}, **FORGED)
    assert about_tls(environ) == {**trustls.wsgi.tls_environ(connection), "trustls.peer": connection.peer}
    assert trustls.wsgi.peer(environ) is connection.peer


def test_client_without_certificate_cannot_forge_one() -> None:
    server = identities.server_config(client_auth=identities.optional())
    connection = served(identities.client_config(), server)
    environ = told(**{"gunicorn.socket": Wrapped(connection)}, **FORGED)
    assert about_tls(environ) == {**trustls.wsgi.tls_environ(connection), "trustls.peer": None}
    assert trustls.wsgi.peer(environ) is None


@pytest.mark.parametrize("socket", [None, object(), Wrapped("a connection")])
def test_connection_in_the_clear_has_nothing(socket: object) -> None:
    environ = told(**{"gunicorn.socket": socket}, **FORGED)
    assert about_tls(environ) == {}, "where there is no TLS, nobody may say anything of it"
    assert trustls.wsgi.peer(environ) is None


def test_other_keys_are_left_alone() -> None:
    environ = told(HTTP_X_SSL="kept", HTTP_COOKIE="SSL_CLIENT_VERIFY=SUCCESS", wsgi_ssl="kept")
    assert environ["HTTP_X_SSL"] == "kept"
    assert environ["HTTP_COOKIE"] == "SSL_CLIENT_VERIFY=SUCCESS"


def test_socket_of_ssl_is_refused_for_nothing_can_be_said_of_it() -> None:
    class Theirs(ssl.SSLSocket):
        def __init__(self) -> None:
            pass

        def __del__(self) -> None:
            pass

    with pytest.raises(TypeError, match="give the server a context of trustls"):
        told(**{"werkzeug.socket": Theirs.__new__(Theirs)})
