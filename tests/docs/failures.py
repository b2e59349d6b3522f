"""The failures that docs/mtls.md lists: each is made to happen, and the table is what both sides then say.

`python -m tests.docs.failures` writes the table into docs/mtls.md anew.
"""

from __future__ import annotations

import contextlib
import datetime
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from tests.support.memory import Pair
from tests.trust.issuing import CLIENT, DAY, NOW, SERVER, Issued, authority, dns, leaf, usage
from trustls import (
    AlertReceived,
    Authorize,
    CertificateProblem,
    CertificateRejectedByPeer,
    ClientAuth,
    ClientConfig,
    ClientConnection,
    Credential,
    CredentialWarning,
    CrlStore,
    RootCertStore,
    ServerConfig,
    ServerConnection,
    ServerNames,
    TLSError,
)

DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "mtls.md"
BEGIN: Final = "<!-- failures: begin (written by `python -m tests.docs.failures`) -->"
END: Final = "<!-- failures: end -->"

SERVER_ROOT: Final = authority("CN=Server Root")
CLIENT_ROOT: Final = authority("CN=Client Root")
CLIENT_CA: Final = authority("CN=Client CA", CLIENT_ROOT)
SERVER_CA: Final = authority("CN=Server CA", SERVER_ROOT)
OTHER_ROOT: Final = authority("CN=Other Root")


@dataclass(frozen=True, slots=True)
class Failure:
    """One row: what is wrong, and how to make it happen."""

    title: str
    make: Callable[[], Pair]


def store(*roots: Issued) -> RootCertStore:
    return RootCertStore([root.certificate for root in roots])


def credential(*chain: Issued, **options: Any) -> Credential:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CredentialWarning)  # The times here are those of NOW.
        return Credential([one.certificate for one in chain], chain[0].key, **options)


def server_leaf(issuer: Issued = SERVER_ROOT, **options: Any) -> Issued:
    return leaf(issuer, "CN=server.example", **{"names": dns("server.example"), **options})


def met(
    *,
    client_chain: tuple[Issued, ...] = (),
    client_options: dict[str, Any] | None = None,
    fallback: bool = False,
    client_auth: ClientAuth | None = None,
    server_chain: tuple[Issued, ...] | None = None,
    server_options: dict[str, Any] | None = None,
    server_name: str = "server.example",
    staple: bytes | None = None,
    client_now: float = NOW,
    server_now: float = NOW,
) -> Pair:
    """A client and a server that have said all they have to say."""
    own = (credential(*client_chain, fallback=fallback),) if client_chain else ()
    client = ClientConfig(
        **{
            "roots": store(SERVER_ROOT),
            "credentials": own,
            "now": lambda: client_now,
            "sessions": None,
            **(client_options or {}),
        }
    )
    presented = credential(*(server_chain or (server_leaf(),)), ocsp_response=staple)
    server = ServerConfig(
        **{
            "credentials": [presented],
            "client_auth": client_auth or ClientAuth.required(store(CLIENT_ROOT)),
            "now": lambda: server_now,
            "resumption": None,
            **(server_options or {}),
        }
    )
    return Pair(client=ClientConnection(client, server_name), server=ServerConnection(server)).run()


def alice(issuer: Issued = CLIENT_ROOT, **options: Any) -> Issued:
    return leaf(issuer, "CN=alice", **options)


def crl(issuer: Issued, *revoked: Issued, ends: float = 7) -> CrlStore:
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.x509.subject)
        .last_update(_at(-7))
        .next_update(_at(ends))
        .add_extension(x509.CRLNumber(1), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()), critical=False)
    )
    for one in revoked:
        entry = x509.RevokedCertificateBuilder().serial_number(one.x509.serial_number).revocation_date(_at(-1))
        builder = builder.add_revoked_certificate(
            entry.add_extension(x509.CRLReason(x509.ReasonFlags.key_compromise), critical=False).build()
        )
    return CrlStore.from_der(builder.sign(issuer.key, hashes.SHA256()).public_bytes(Encoding.DER))


def staple_of(one: Issued, issuer: Issued, status: ocsp.OCSPCertStatus, *, ends: float = 1) -> bytes:
    revoked = status is ocsp.OCSPCertStatus.REVOKED
    builder = ocsp.OCSPResponseBuilder().add_response(
        cert=one.x509,
        issuer=issuer.x509,
        algorithm=hashes.SHA256(),
        cert_status=status,
        this_update=_at(-2),
        next_update=_at(ends),
        revocation_time=_at(-1) if revoked else None,
        revocation_reason=x509.ReasonFlags.key_compromise if revoked else None,
    )
    builder = builder.responder_id(ocsp.OCSPResponderEncoding.HASH, issuer.x509)
    return builder.sign(issuer.key, hashes.SHA256()).public_bytes(Encoding.DER)


def _at(days: float) -> Any:
    return datetime.datetime.fromtimestamp(NOW + days * DAY, datetime.UTC)


# -- The rows ---------------------------------------------------------------------------------------------------------


def revoked_client() -> Pair:
    one = alice()
    return met(client_chain=(one,), client_auth=ClientAuth.required(store(CLIENT_ROOT), crls=crl(CLIENT_ROOT, one)))


def revoked_server() -> Pair:
    one = server_leaf()
    return met(
        client_chain=(alice(),),
        server_chain=(one,),
        staple=staple_of(one, SERVER_ROOT, ocsp.OCSPCertStatus.REVOKED),
    )


def must_staple() -> Pair:
    one = server_leaf(extra=[(x509.TLSFeature([x509.TLSFeatureType.status_request]), False)])
    return met(client_chain=(alice(),), server_chain=(one,))


def remade_ca() -> Pair:
    return met(client_chain=(alice(authority("CN=Client Root")),))


def too_many_certificates() -> Pair:
    chain: list[Issued] = [CLIENT_ROOT]
    for number in range(9):
        chain.insert(0, authority(f"CN=Level {number}", chain[0]))
    return met(client_chain=(alice(chain[0]), *chain[:-1]))


def name_constrained() -> Pair:
    ca = authority("CN=Constrained CA", CLIENT_ROOT, permitted=dns("corp.example"))
    return met(client_chain=(alice(ca, names=dns("alice.elsewhere.example")), ca))


def no_ca() -> Pair:
    middle = leaf(CLIENT_ROOT, "CN=No CA")
    return met(client_chain=(alice(middle), middle))


def path_too_long() -> Pair:
    ca = authority("CN=Issuing CA", CLIENT_ROOT, path_length=0)
    below = authority("CN=Department CA", ca)
    return met(client_chain=(alice(below), below, ca))


def plain_http() -> Pair:
    pair = met(client_chain=(alice(),))
    server = ServerConnection(ServerConfig(credentials=[credential(server_leaf())], now=lambda: NOW))
    with contextlib.suppress(TLSError):
        server.receive(b"GET / HTTP/1.1\r\nHost: server.example\r\n\r\n")
    return Pair(client=pair.client, server=server)


def hung_up() -> Pair:
    pair = Pair(
        client=ClientConnection(ClientConfig(roots=store(SERVER_ROOT), now=lambda: NOW), "server.example"),
        server=ServerConnection(ServerConfig(credentials=[credential(server_leaf())], now=lambda: NOW)),
    )
    with contextlib.suppress(TLSError):
        pair.server.receive_eof()
    return pair


def suites_of_rsa() -> Pair:
    suites = ["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"]
    return met(
        client_options={"versions": ["1.2"], "suites": suites},
        server_options={"suites": [*suites, "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"]},
    )


FAILURES: Final = (
    Failure("The client has no certificate", met),
    Failure(
        "The client's certificate is of another CA than the server named, so it is not sent",
        lambda: met(client_chain=(alice(OTHER_ROOT),)),
    ),
    Failure(
        "The client sends a certificate of a CA that the server does not trust",
        lambda: met(client_chain=(alice(OTHER_ROOT),), fallback=True),
    ),
    Failure(
        "The client does not send its intermediate CA", lambda: met(client_chain=(alice(CLIENT_CA),), fallback=True)
    ),
    Failure("The CA was made anew with the same name", remade_ca),
    Failure("The client's certificate has expired", lambda: met(client_chain=(alice(days=(-9, -1)),))),
    Failure("The server's clock is wrong", lambda: met(client_chain=(alice(),), server_now=NOW - 30 * DAY)),
    Failure("A server's certificate is used for a client", lambda: met(client_chain=(alice(purposes=[SERVER]),))),
    Failure(
        "The client's certificate lacks digitalSignature",
        lambda: met(client_chain=(alice(key_usage=usage("key_encipherment")),)),
    ),
    Failure(
        "The certificate of the CA itself is used for a client",
        lambda: met(
            client_chain=(CLIENT_CA,),
        ),
    ),
    Failure(
        "The client's intermediate is no CA",
        no_ca,
    ),
    Failure("A chain is longer than its CA allows", path_too_long),
    Failure("A name is outside what its CA may certify", name_constrained),
    Failure("The client's chain is far too long", too_many_certificates),
    Failure("The client's certificate is revoked", revoked_client),
    Failure(
        "There is no CRL of the client's CA",
        lambda: met(client_chain=(alice(),), client_auth=ClientAuth.required(store(CLIENT_ROOT), crls=crl(OTHER_ROOT))),
    ),
    Failure(
        "The CRL is out of date",
        lambda: met(
            client_chain=(alice(),), client_auth=ClientAuth.required(store(CLIENT_ROOT), crls=crl(CLIENT_ROOT, ends=-1))
        ),
    ),
    Failure(
        "The client is known, and not allowed in",
        lambda: met(
            client_chain=(alice(names=dns("alice.example")),),
            client_auth=ClientAuth.required(store(CLIENT_ROOT), authorize=Authorize.dns("bob.example")),
        ),
    ),
    Failure(
        "The client is of another SPIFFE trust domain",
        lambda: met(
            client_chain=(alice(names=[x509.UniformResourceIdentifier("spiffe://elsewhere.example/db")]),),
            client_auth=ClientAuth.required(
                store(CLIENT_ROOT), authorize=Authorize.spiffe_trust_domain("corp.example")
            ),
        ),
    ),
    Failure(
        "The client does not trust the server's CA",
        lambda: met(client_chain=(alice(),), server_chain=(server_leaf(OTHER_ROOT),)),
    ),
    Failure(
        "The server does not send its intermediate CA",
        lambda: met(client_chain=(alice(),), server_chain=(server_leaf(SERVER_CA),)),
    ),
    Failure(
        "The client asks for a name that the server's certificate does not have",
        lambda: met(client_chain=(alice(),), server_name="other.example"),
    ),
    Failure(
        "The server's certificate has a common name only",
        lambda: met(client_chain=(alice(),), server_chain=(server_leaf(names=()),)),
    ),
    Failure(
        "The server's certificate has expired",
        lambda: met(client_chain=(alice(),), server_chain=(server_leaf(days=(-9, -1)),)),
    ),
    Failure(
        "A client's certificate is used for a server",
        lambda: met(client_chain=(alice(),), server_chain=(server_leaf(purposes=[CLIENT]),)),
    ),
    Failure("The server's certificate demands a staple, and none comes", must_staple),
    Failure("The staple says that the server's certificate is revoked", revoked_server),
    Failure(
        "The server knows no such name",
        lambda: met(
            client_chain=(alice(),),
            server_name="other.example",
            server_options={"choose_config": ServerNames({}, refuse_others=True)},
        ),
    ),
    Failure(
        "No TLS version in common",
        lambda: met(client_options={"versions": ["1.3"]}, server_options={"versions": ["1.2"]}),
    ),
    Failure(
        "No key exchange group in common",
        lambda: met(client_options={"groups": ["secp384r1"]}, server_options={"groups": ["x25519"]}),
    ),
    Failure("A TLS 1.2 client has cipher suites for RSA only, and the server an ECDSA key", suites_of_rsa),
    Failure(
        "The client's key is of a kind that the server does not verify",
        lambda: met(client_chain=(alice(),), server_options={"signature_schemes": ["ed25519", "rsa_pss_rsae_sha256"]}),
    ),
    Failure(
        "No application protocol in common",
        lambda: met(client_options={"alpn": ["h2"]}, server_options={"alpn": ["http/1.1"]}),
    ),
    Failure("Somebody speaks plain HTTP to the server", plain_http),
    Failure("The client hangs up in the middle of the handshake: a port scanner, say, or a health check", hung_up),
)


# -- The table --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Told:
    """What both sides say, and what they advise."""

    server: str
    client: str
    remedy: str


def told(failure: Failure) -> Told:
    """Make it happen."""
    pair = failure.make()
    server, client = pair.server.failure, pair.client.failure
    assert server is not None, f"{failure.title}: the server is content"
    refusing = client if isinstance(server, AlertReceived) else server
    if isinstance(client, CertificateRejectedByPeer) and client.reason is CertificateProblem.NONE_PRESENTED:
        refusing = client  # It knows why it sent none.
    return Told(_said(server), _said(client), "" if refusing is None else refusing.remedy)


def table() -> str:
    """The table as it stands in the document."""
    lines = ["| | What is wrong | The server says | The client says | What mends it |", "|---|---|---|---|---|"]
    for number, failure in enumerate(FAILURES, 1):
        said = told(failure)
        assert said.remedy, f"{failure.title}: nobody says what mends it"
        cells = (str(number), failure.title, f"`{said.server}`", f"`{said.client}`" if said.client else "", said.remedy)
        lines.append("| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |")
    return "\n".join(lines)


def _said(failure: TLSError | None) -> str:
    if failure is None:
        return ""
    said = str(failure).partition("; to mend it: ")[0]
    return re.sub(r"serial number [0-9a-f]+", "serial number ...", said)


def documented() -> str:
    """The table that stands in the document now."""
    return DOCUMENT.read_text().partition(BEGIN)[2].partition(END)[0].strip()


if __name__ == "__main__":
    before, begin, rest = DOCUMENT.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    DOCUMENT.write_text(f"{before}{begin}\n\n{table()}\n\n{END}{after}")
