"""Raw public keys (RFC 7250): who is let in by a key alone, what is negotiated, and that nobody is by accident."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.support.examples import COMPARES_BYTES
from tests.support.identities import (
    client_config,
    client_credential,
    client_roots,
    server_config,
    server_credential,
    server_roots,
)
from tests.support.memory import byte_by_byte, check_refused, connect, pair
from tests.support.raw_keys import (
    KEYS,
    RAW,
    VERSIONS,
    X509,
    check_raw,
    key,
    own,
    raw_client,
    raw_server,
    trusted,
)
from trustls import (
    AlertDescription,
    Authorize,
    CertificateProblem,
    CertificateRejected,
    ClientAuth,
    ConfigError,
    Credential,
    Incompatibility,
    MisfitCause,
    Peer,
    PeerIncompatible,
    RawPublicKey,
    RawPublicKeys,
    RootCertStore,
    ServerName,
)
from trustls.config import ClientConfig
from trustls.danger import AcceptAnyCertificate

pytestmark = COMPARES_BYTES

versions = pytest.mark.parametrize("version", VERSIONS)


# -- Both sides without certificates ----------------------------------------------------------------------------------


@versions
def test_two_sides_know_each_other_by_raw_keys_alone(version: str) -> None:
    joined = connect(raw_server(versions=[version]), raw_client(versions=[version]))
    check_raw(joined)
    peer = joined.server.peer
    assert peer is not None
    assert peer.public_key == key("ed25519").public_key(), "the peer's key is not the client's"
    assert (peer.presented, peer.verified, peer.error) == ((), (), None), f"{peer} has certificates, or an error"


@versions
def test_raw_keys_arrive_byte_by_byte(version: str) -> None:
    joined = pair(raw_server(versions=[version]), raw_client(versions=[version]))
    joined.split = byte_by_byte
    check_raw(joined.run())


@pytest.mark.parametrize(
    ("kind", "version"), [(kind, one) for kind in KEYS for one in VERSIONS if (kind, one) != ("mldsa", "1.2")]
)
def test_every_kind_of_key_can_be_a_raw_key(kind: str, version: str) -> None:
    server = raw_server(credentials=[own(kind)], client_auth=ClientAuth.required(trusted(kind)), versions=[version])
    client = raw_client(roots=trusted(kind), credentials=[own(kind)], versions=[version])
    check_raw(connect(server, client), kind, kind)


@versions
def test_one_side_has_a_certificate_and_the_other_a_raw_key(version: str) -> None:
    server = server_config(client_auth=ClientAuth.required(trusted("ed25519")), versions=[version])
    client = client_config(credentials=[own("ed25519")], versions=[version])
    joined = connect(server, client)
    check_raw(joined, server=None)
    assert joined.client.peer is not None
    assert joined.client.peer.verified, "the server's certificate was not verified"

    server = raw_server(client_auth=ClientAuth.required(client_roots()), versions=[version])
    joined = connect(server, raw_client(credentials=[client_credential()], versions=[version]))
    check_raw(joined, client=None)
    assert joined.server.peer is not None
    assert joined.server.peer.verified, "the client's certificate was not verified"


@versions
def test_the_keys_can_come_from_files(version: str, tmp_path: Any) -> None:
    private, public = tmp_path / "key.pem", tmp_path / "trusted.pem"
    private.write_bytes(key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public.write_text("".join(one.pem() for one in trusted("ed25519", "rsa")))
    server = raw_server(
        credentials=[Credential.from_raw_key(private)],
        client_auth=ClientAuth.required(RawPublicKeys.from_pem(public)),
        versions=[version],
    )
    check_raw(connect(server, raw_client(versions=[version])))


# -- Refused ----------------------------------------------------------------------------------------------------------


@versions
def test_another_server_key_is_refused_and_both_fingerprints_are_named(version: str) -> None:
    client = raw_client(roots=trusted("rsa"), versions=[version])
    failure = check_refused(
        pair(raw_server(versions=[version]), client).run(),
        "client",
        CertificateRejected,
        CertificateProblem.UNKNOWN_RAW_KEY,
    )
    assert isinstance(failure, CertificateRejected)
    wanted, came = trusted("rsa").keys[0].fingerprint, trusted().keys[0].fingerprint
    assert (failure.expected, failure.found) == (wanted, came), "the refusal does not name the keys"
    assert wanted in str(failure), f"{failure} does not say which key is trusted"
    assert came in str(failure), f"{failure} does not say which key came"
    assert "RawPublicKeys" in failure.remedy, f"{failure.remedy!r} does not say what to do"


@versions
def test_another_client_key_is_refused(version: str) -> None:
    client = raw_client(credentials=[own("rsa")], versions=[version])
    joined = pair(raw_server(versions=[version]), client).run()
    check_refused(joined, "server", CertificateRejected, CertificateProblem.UNKNOWN_RAW_KEY)
    assert trusted("rsa").keys[0].fingerprint in str(joined.client.failure), "the client is not told what it presented"


@versions
def test_a_client_without_a_raw_key_is_refused_where_only_raw_keys_are_taken(version: str) -> None:
    for credentials in ([], [client_credential()]):
        client = raw_client(credentials=credentials, versions=[version])
        failure = check_refused(
            pair(raw_server(versions=[version]), client).run(),
            "server",
            PeerIncompatible,
            Incompatibility.NO_COMMON_CERTIFICATE_TYPE,
        )
        assert "this server takes raw public keys" in str(failure), f"{failure} does not say what is taken"


@versions
@pytest.mark.parametrize("mode", [ClientAuth.optional, ClientAuth.report])
def test_a_client_with_nothing_to_present_fits_no_server_that_asks_for_raw_keys(mode: Any, version: str) -> None:
    server = raw_server(client_auth=mode(trusted("ed25519")), versions=[version])
    check_refused(
        pair(server, raw_client(credentials=[], versions=[version])).run(),
        "server",
        PeerIncompatible,
        Incompatibility.NO_COMMON_CERTIFICATE_TYPE,
    )


@versions
def test_a_server_with_a_raw_key_alone_has_nothing_for_an_ordinary_client(version: str) -> None:
    check_refused(
        pair(raw_server(versions=[version]), client_config(versions=[version])).run(),
        "server",
        PeerIncompatible,
        Incompatibility.NO_COMMON_CERTIFICATE_TYPE,
    )


@versions
def test_a_client_that_takes_raw_keys_alone_is_told_so_by_an_ordinary_server(version: str) -> None:
    joined = pair(server_config(versions=[version]), raw_client(credentials=[], versions=[version])).run()
    failure = check_refused(joined, "server", PeerIncompatible, Incompatibility.NO_COMMON_CERTIFICATE_TYPE)
    assert "the client takes raw public keys, this server presents certificates" in str(failure), str(failure)


@versions
def test_an_ordinary_server_gets_nothing_from_a_client_that_has_only_a_raw_key(version: str) -> None:
    server = server_config(client_auth=ClientAuth.required(client_roots()), versions=[version])
    joined = pair(server, client_config(credentials=[own("ed25519")], versions=[version])).run()
    alert = AlertDescription.CERTIFICATE_REQUIRED if version == "1.3" else AlertDescription.HANDSHAKE_FAILURE
    check_refused(joined, "server", CertificateRejected, CertificateProblem.NONE_PRESENTED, alert)
    assert "it is a raw public key, and the peer takes certificates here" in str(joined.client.failure), (
        f"the client is not told why nothing was presented: {joined.client.failure}"
    )


@versions
def test_a_reported_client_key_is_named_with_what_is_wrong(version: str) -> None:
    server = raw_server(client_auth=ClientAuth.report(trusted("rsa")), versions=[version])
    peer = connect(server, raw_client(versions=[version])).server.peer
    assert peer is not None
    assert peer.raw_key == trusted("ed25519").keys[0], "the report is about another key"
    assert isinstance(peer.error, CertificateRejected), "nothing is said to be wrong"
    assert Authorize.everyone().refusal(peer) is not None, "a rule lets in a key that is not trusted"


# -- Both types -------------------------------------------------------------------------------------------------------


@versions
@pytest.mark.parametrize("first", ["raw", "certificate"])
def test_the_server_s_order_decides_between_its_key_and_its_certificate(first: str, version: str) -> None:
    both = [own(), server_credential()]
    server = raw_server(
        credentials=both if first == "raw" else both[::-1], client_auth=ClientAuth.none(), versions=[version]
    )
    client = client_config(roots=[server_roots(), trusted()], versions=[version])
    check_raw(connect(server, client), "p256" if first == "raw" else None, None)


@versions
@pytest.mark.parametrize("first", ["raw", "certificate"])
def test_the_server_s_order_decides_what_a_client_presents(first: str, version: str) -> None:
    roots: list[RawPublicKeys | RootCertStore] = [trusted("ed25519"), client_roots()]
    auth = ClientAuth.required(roots if first == "raw" else roots[::-1])
    client = raw_client(credentials=[client_credential(), own("ed25519")], versions=[version])
    joined = connect(raw_server(client_auth=auth, versions=[version]), client)
    check_raw(joined, client="ed25519" if first == "raw" else None)


@versions
def test_who_knows_nothing_of_raw_keys_still_comes_in_with_a_certificate(version: str) -> None:
    auth = ClientAuth.required([trusted("ed25519"), client_roots()])
    server = raw_server(credentials=[own(), server_credential()], client_auth=auth, versions=[version])
    client = client_config(credentials=[client_credential()], versions=[version])
    check_raw(connect(server, client), None, None)


@versions
def test_a_client_that_takes_both_talks_to_an_ordinary_server(version: str) -> None:
    client = client_config(roots=[trusted(), server_roots()], versions=[version])
    check_raw(connect(server_config(versions=[version]), client), None, None)


def test_certificates_of_other_roots_and_names_are_still_refused_beside_raw_keys() -> None:
    client = client_config(roots=[client_roots(), trusted()], versions=["1.3"])
    joined = pair(server_config(versions=["1.3"]), client).run()
    check_refused(joined, "client", CertificateRejected, CertificateProblem.UNKNOWN_ISSUER)
    client = client_config(roots=[server_roots(), trusted()], versions=["1.3"])
    joined = pair(server_config(versions=["1.3"]), client, "other.example").run()
    check_refused(joined, "client", CertificateRejected, CertificateProblem.NAME_MISMATCH)


# -- Authorization, custom verifiers, choosers -------------------------------------------------------------------------


RULES = {
    "its key": (Authorize.public_key(RawPublicKey.from_key(key("ed25519").public_key())), True),
    "another key": (Authorize.public_key(key("rsa").public_key()), False),
    "not another key": (~Authorize.public_key(key("rsa").public_key()), True),
    "a name": (Authorize.dns("alice.example"), False),
    "not a name": (~Authorize.dns("alice.example"), False),
    "not a name, nor another": (~(Authorize.dns("a.example") | Authorize.email("a@example.com")), False),
    "a name or its key": (Authorize.dns("a.example") | Authorize.public_key(key("ed25519").public_key()), True),
    "its key and not a name": (Authorize.public_key(key("ed25519").public_key()) & ~Authorize.dns("a.example"), False),
    "a subject": (Authorize.subject("CN=alice"), False),
    "everyone": (Authorize.everyone(), True),
    "nobody": (Authorize.nobody(), False),
    "a function": (Authorize.function(lambda peer: peer.raw_key is not None), True),
    "a function of certificates": (Authorize.function(lambda peer: bool(peer.verified)), False),
}


@pytest.mark.parametrize("name", RULES)
def test_rules_judge_a_raw_key_by_the_key_and_refuse_what_they_cannot_know(name: str) -> None:
    rule, let_in = RULES[name]
    server = raw_server(client_auth=ClientAuth.required(trusted("ed25519"), authorize=rule))
    joined = pair(server, raw_client()).run()
    if let_in:
        check_raw(joined)
    else:
        failure = check_refused(joined, "server", CertificateRejected, CertificateProblem.REFUSED)
        assert trusted("ed25519").keys[0].fingerprint in str(failure), f"{failure} does not say who came"


class ByName:
    """Believes a key by the name that was asked for, as DANE does."""

    certificate_types = (RAW,)

    def __init__(self, keys: dict[str, RawPublicKey], *, later: bool = False) -> None:
        self.keys, self.later = keys, later

    def verify_raw_key(self, key: RawPublicKey, server_name: ServerName | None, *, now: float) -> Any:
        if server_name is None or self.keys.get(server_name.text) != key:
            raise CertificateRejected(CertificateProblem.NOT_ACCEPTED, f"not the key of {server_name}")
        return _soon(Peer((), raw_key=key)) if self.later else Peer((), raw_key=key)

    def verify_server(self, *_: object, **__: object) -> Peer:
        raise AssertionError("a verifier of raw keys alone is asked about a certificate")


async def _soon(peer: Peer) -> Peer:
    return peer


def test_a_verifier_of_the_application_decides_by_name() -> None:
    verifier = ByName({"localhost": trusted().keys[0]})
    client = ClientConfig(verifier=verifier, credentials=[own("ed25519")], versions=["1.3"])
    check_raw(connect(raw_server(), client))
    joined = pair(raw_server(), client, "other.example").run()
    check_refused(joined, "client", CertificateRejected, CertificateProblem.NOT_ACCEPTED)
    check_refused(
        pair(server_config(versions=["1.3"]), client).run(),
        "server",
        PeerIncompatible,
        Incompatibility.NO_COMMON_CERTIFICATE_TYPE,
    )


@pytest.mark.parametrize(
    "answer",
    [None, Peer((), raw_key=trusted("rsa").keys[0]), Peer((server_credential().certificate,))],
    ids=["nobody", "another key", "a certificate"],
)
def test_a_verifier_that_speaks_of_somebody_else_vouches_for_nobody(answer: object) -> None:
    class Absent(ByName):
        def verify_raw_key(self, *_: object, **__: object) -> Any:
            return answer

    joined = pair(raw_server(), ClientConfig(verifier=Absent({}), credentials=[own("ed25519")], versions=["1.3"])).run()
    assert "nobody is vouched for" in str(joined.client.failure), f"the client let it pass: {joined.client.failure!r}"


def test_a_verifier_that_takes_any_certificate_takes_no_raw_key() -> None:
    client = ClientConfig(verifier=AcceptAnyCertificate(), versions=["1.3"])
    joined = pair(raw_server(client_auth=ClientAuth.none()), client).run()
    check_refused(joined, "server", PeerIncompatible, Incompatibility.NO_COMMON_CERTIFICATE_TYPE)


def test_a_chooser_cannot_present_what_was_not_agreed_on() -> None:
    client = client_config(
        credentials=[client_credential(), own("ed25519")],
        choose_credential=lambda _request, credentials: credentials[1],
        versions=["1.3"],
    )
    server = server_config(client_auth=ClientAuth.required(client_roots()), versions=["1.3"])
    joined = pair(server, client).run()
    assert isinstance(joined.client.failure, ConfigError), f"a raw key was presented: {joined.client.failure!r}"
    assert "raw public key" in str(joined.client.failure), f"{joined.client.failure} does not say why"

    def choose(offer: Any, credentials: Any) -> Credential:
        assert offer.certificate_type == X509, f"{offer.certificate_type} was not agreed on"
        found: Credential = credentials[1]
        return found

    server = server_config(credentials=[server_credential(), own()], choose_credential=choose, versions=["1.3"])
    joined = pair(server, client_config(versions=["1.3"])).run()
    assert isinstance(joined.server.failure, ConfigError), f"a raw key was presented: {joined.server.failure!r}"


def test_a_misfit_says_that_a_raw_key_is_no_certificate() -> None:
    seen = []

    def choose(request: Any, credentials: Any) -> Credential:
        seen.extend([[misfit.cause for misfit in one.misfits(request)] for one in credentials])
        found: Credential = credentials[1]
        return found

    client = raw_client(credentials=[client_credential(), own("ed25519")], choose_credential=choose)
    check_raw(connect(raw_server(), client))
    assert seen[0][0] is MisfitCause.RAW_PUBLIC_KEY, f"a certificate fits where a raw key was agreed on: {seen}"
    assert seen[1] == [], f"a raw key does not fit where one was agreed on: {seen}"
