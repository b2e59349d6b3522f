"""What reloading is for: new connections and resumptions follow the files, and those that are up are left alone."""

from __future__ import annotations

import datetime
import warnings
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from tests.reloading.following import replace
from tests.support.memory import Pair, check_refused, connect, pair
from trustls.cli.pki import Authority, Issued, Validity
from trustls.config import ClientConfig, ServerConfig
from trustls.errors import CertificateProblem, CertificateRejected, ConfigError
from trustls.identity.credential import Credential, CredentialWarning
from trustls.reloading import Reloading
from trustls.trust.client_auth import ClientAuth
from trustls.trust.crl import CrlStore
from trustls.trust.roots import RootCertStore

ROOT = Authority.create("Root")
NEXT = Authority.create("Next Root")
SERVER = ROOT.issue_server("localhost")
VERSIONS = pytest.mark.parametrize("version", ["1.3", "1.2"])


def pem(*authorities: Authority) -> bytes:
    return b"".join(authority.certificate.public_bytes(Encoding.PEM) for authority in authorities)


def follow(reloading: Reloading[Any]) -> None:
    """Let the files be looked at now, and not in 50 ms."""
    version = reloading.version
    assert reloading.reload()
    assert reloading.version > version


def client_config(version: str, issued: Issued | None = None, roots: object = None) -> ClientConfig:
    return ClientConfig(
        roots=roots or RootCertStore([ROOT.certificate]),  # type: ignore[arg-type]
        credentials=[Credential(issued.chain, issued.key)] if issued else (),
        versions=[version],
    )


def check_served_by(joined: Pair, issued: Issued) -> None:
    assert joined.client.peer is not None
    assert joined.client.peer.certificate.serial_number == issued.certificate.serial_number


@VERSIONS
def test_a_server_presents_its_renewed_certificate(version: str, tmp_path: Path) -> None:
    chain, key = SERVER.write(tmp_path, "server")
    with Credential.reloading(chain, key) as own:
        server = ServerConfig(credentials=[own], resumption=None)
        client = client_config(version)
        before = connect(server, client)
        check_served_by(before, SERVER)

        renewed = ROOT.issue_server("localhost")
        replace(chain, renewed.pem_chain)
        assert not own.reload(), "the key is not there yet"
        check_served_by(connect(server, client), SERVER)
        replace(key, renewed.pem_key)
        follow(own)

        check_served_by(connect(server, client), renewed)
        before.check_connected()


@pytest.mark.parametrize(("from_day", "to_day", "why"), [(-3, -1, "expired on"), (1, 3, "is not valid before")])
def test_a_certificate_that_is_not_valid_now_waits_while_the_one_before_is(
    from_day: int, to_day: int, why: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """An old file put back, or a new one that came too soon, does not end a service that works."""
    now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    day = datetime.timedelta(days=1)
    root = Authority.create("Root", validity=Validity(not_before=now - 9 * day, not_after=now + 9 * day))
    good, better = root.issue_server("localhost"), root.issue_server("localhost")
    other = root.issue_server(
        "localhost", validity=Validity(not_before=now + from_day * day, not_after=now + to_day * day)
    )
    file = tmp_path / "server.pem"
    file.write_bytes(good.pem_chain + good.pem_key)
    with Credential.reloading(file, file) as own, warnings.catch_warnings():
        warnings.simplefilter("ignore", CredentialWarning)
        replace(file, other.pem_chain + other.pem_key)
        assert not own.reload()
        assert own.current.certificate.serial_number == good.certificate.serial_number
        assert why in str(own.error)
        assert "the credential before is valid still" in caplog.text
        replace(file, better.pem_chain + better.pem_key)
        follow(own)
        assert own.current.certificate.serial_number == better.certificate.serial_number


def test_a_certificate_that_is_not_valid_now_is_better_than_another(tmp_path: Path) -> None:
    now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    day = datetime.timedelta(days=1)
    root = Authority.create("Root", validity=Validity(not_before=now - 9 * day, not_after=now + 9 * day))
    old, new = (
        root.issue_server("localhost", validity=Validity(not_before=now - start * day, not_after=now - day))
        for start in (5, 4)
    )
    file = tmp_path / "server.pem"
    file.write_bytes(old.pem_chain + old.pem_key)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CredentialWarning)
        with Credential.reloading(file, file) as own:
            replace(file, new.pem_chain + new.pem_key)
            follow(own)
            assert own.current.certificate.serial_number == new.certificate.serial_number


@VERSIONS
def test_clients_of_a_new_root_are_let_in_and_those_of_the_old_one_no_more(version: str, tmp_path: Path) -> None:
    file = tmp_path / "clients.pem"
    file.write_bytes(pem(ROOT))
    with RootCertStore.reloading(file) as roots:
        server = ServerConfig(
            credentials=[Credential(SERVER.chain, SERVER.key)], client_auth=ClientAuth.required(roots, hints=())
        )
        old = client_config(version, ROOT.issue_client("old"))
        new = client_config(version, NEXT.issue_client("new"))
        before = connect(server, old)
        assert connect(server, old).server.info.resumed, "it could be resumed while nothing had changed"
        check_refused(pair(server, new).run(), "server", CertificateRejected, CertificateProblem.UNKNOWN_ISSUER)

        replace(file, pem(NEXT))
        follow(roots)

        connect(server, new)
        check_refused(pair(server, old).run(), "server", CertificateRejected, CertificateProblem.UNKNOWN_ISSUER)
        before.check_connected()


def test_the_hints_follow_the_roots(tmp_path: Path) -> None:
    file = tmp_path / "clients.pem"
    file.write_bytes(pem(ROOT))
    with RootCertStore.reloading(file) as roots:
        auth = ClientAuth.required(roots)
        assert [str(name) for name in auth.hints] == ["CN=Root"]
        replace(file, pem(NEXT))
        follow(roots)
        assert [str(name) for name in auth.hints] == ["CN=Next Root"]


def test_with_an_overlap_both_roots_count_until_it_is_ended(tmp_path: Path) -> None:
    file = tmp_path / "clients.pem"
    file.write_bytes(pem(ROOT))
    with RootCertStore.reloading(file, overlap=3600) as roots:
        server = ServerConfig(
            credentials=[Credential(SERVER.chain, SERVER.key)], client_auth=ClientAuth.required(roots, hints=())
        )
        old = client_config("1.3", ROOT.issue_client("old"))
        replace(file, pem(NEXT))
        follow(roots)
        connect(server, old)
        connect(server, client_config("1.3", NEXT.issue_client("new")))
        roots.end_overlap()
        check_refused(pair(server, old).run(), "server", CertificateRejected, CertificateProblem.UNKNOWN_ISSUER)


def test_roots_that_are_not_written_to_their_end_keep_those_of_before(tmp_path: Path) -> None:
    """Whoever writes into the file that is in use does not take the roots away for a while that come last in it."""
    file = tmp_path / "clients.pem"
    one, both = pem(ROOT), pem(ROOT, NEXT)
    file.write_bytes(both)
    with RootCertStore.reloading(file) as roots:
        before = roots.current
        for end in (len(one) + 7, len(one) + 20, len(one) + 28, len(one) + 200, len(both) - 5):
            file.write_bytes(both[:end])
            assert not roots.reload(), f"the first {end} bytes were taken"
            assert roots.current is before
            assert isinstance(roots.error, ConfigError)
            assert "clients.pem is damaged, or not written to its end: certificate 2" in str(roots.error)
        file.write_bytes(both)
        assert roots.reload()
        assert roots.current is before
    file.write_bytes(both.replace(b"M", b"!", 1))
    with pytest.raises(ConfigError, match=r"is damaged, or not written to its end: certificate 1: it is cut off"):
        RootCertStore.reloading(file)


def test_a_client_follows_its_roots(tmp_path: Path) -> None:
    file = tmp_path / "servers.pem"
    file.write_bytes(pem(NEXT))
    server = ServerConfig(credentials=[Credential(SERVER.chain, SERVER.key)])
    with RootCertStore.reloading(file) as roots:
        client = client_config("1.3", roots=roots)
        check_refused(pair(server, client).run(), "client", CertificateRejected, CertificateProblem.UNKNOWN_ISSUER)
        replace(file, pem(ROOT))
        follow(roots)
        connect(server, client)


@VERSIONS
def test_a_certificate_that_is_revoked_meanwhile_is_refused_and_not_resumed(version: str, tmp_path: Path) -> None:
    alice = ROOT.issue_client("alice")
    file = tmp_path / "revoked.crl"
    file.write_bytes(_crl())
    with CrlStore.reloading(file) as crls:
        server = ServerConfig(
            credentials=[Credential(SERVER.chain, SERVER.key)],
            client_auth=ClientAuth.required(RootCertStore([ROOT.certificate]), crls=crls),
        )
        client = client_config(version, alice)
        before = connect(server, client)
        assert connect(server, client).server.info.resumed

        replace(file, _crl(alice))
        follow(crls)

        check_refused(pair(server, client).run(), "server", CertificateRejected, CertificateProblem.REVOKED)
        before.check_connected()


def _crl(*revoked: Issued) -> bytes:
    now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(ROOT.certificate.subject)
        .last_update(now - datetime.timedelta(hours=1))
        .next_update(now + datetime.timedelta(hours=1))
        .add_extension(x509.CRLNumber(len(revoked) + 1), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(ROOT.certificate.public_key()),  # type: ignore[arg-type]
            critical=False,
        )
    )
    for issued in revoked:
        builder = builder.add_revoked_certificate(
            x509.RevokedCertificateBuilder()
            .serial_number(issued.certificate.serial_number)
            .revocation_date(now - datetime.timedelta(minutes=1))
            .build()
        )
    return builder.sign(ROOT.key, hashes.SHA256()).public_bytes(Encoding.PEM)
