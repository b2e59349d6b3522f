"""Revocation with other implementations: OCSP responses and CRLs that `openssl` made, stapled and checked both ways."""

from __future__ import annotations

import datetime
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

import trustls
from tests.support.commands import GnutlsCli, GnutlsServ, SClient, SServer
from tests.support.pki import PKI, Identity
from tests.support.processes import SECONDS, Argument, run
from tests.support.revoking import must_staple
from tests.support.servers import ThreadedServer
from trustls.cli.pki import Authority

VERSIONS = ("1.2", "1.3")
DAY = 86_400

every_version = pytest.mark.parametrize("version", VERSIONS)


@dataclass(frozen=True)
class Office:
    """What an authority says about the certificates that it issued, by `openssl ocsp` and `openssl ca`."""

    openssl: str
    folder: Path
    authority: Authority

    def _certificate(self) -> Path:
        path = self.folder / "ca.pem"
        if not path.exists():
            self.authority.write(self.folder, "ca")
            path.write_bytes(self.authority.certificate.public_bytes(Encoding.PEM))
        return path

    def _index(self, known: Sequence[Identity], revoked: Sequence[Identity]) -> Path:
        """The authority's database, in the form of openssl-ca(1)."""
        now = datetime.datetime.now(datetime.UTC) - datetime.timedelta(minutes=1)
        lines = []
        for one in known:
            certificate = one.issued.certificate
            state, since = ("R", f"{now:%y%m%d%H%M%SZ},keyCompromise") if one in revoked else ("V", "")
            number = f"{certificate.serial_number:X}"
            lines.append(
                f"{state}\t{certificate.not_valid_after_utc:%y%m%d%H%M%SZ}\t{since}\t"
                f"{number.zfill(len(number) + len(number) % 2)}\tunknown\t/CN={one.leaf_file.stem}\n"
            )
        path = self.folder / "index.txt"
        path.write_text("".join(lines))
        return path

    def response(
        self, one: Identity, *arguments: Argument, revoked: bool = False, known: bool = True, by: Identity | None = None
    ) -> Path:
        """An OCSP response about a certificate, good for a day, signed by the authority or by its responder."""
        ca = self._certificate()
        path = self.folder / f"{one.leaf_file.stem}{'-revoked' if revoked else ''}{'' if known else '-unknown'}.ocsp"
        certificate, key = (by.leaf_file, by.key_file) if by else (ca, self.folder / "ca-key.pem")
        self._run(
            *("ocsp", "-index", self._index([one] if known else [], [one] if revoked else []), "-CA", ca),
            *("-issuer", ca, "-cert", one.leaf_file, "-no_nonce", "-noverify", "-ndays", "1"),
            *("-rsigner", certificate, "-rkey", key, "-respout", path),
            *arguments,
        )
        return path

    def crl(self, *revoked: Identity) -> Path:
        """The authority's CRL, good for a day."""
        ca = self._certificate()
        config = self.folder / "ca.cnf"
        (self.folder / "crlnumber").write_text("01\n")
        config.write_text(
            "[ca]\ndefault_ca = office\n[office]\ndefault_md = sha256\ndefault_crl_days = 1\n"
            f"database = {self._index(revoked, revoked)}\ncrlnumber = {self.folder / 'crlnumber'}\n"
            "crl_extensions = extensions\n[extensions]\nauthorityKeyIdentifier = keyid\n"
        )
        path = self.folder / f"{len(revoked)}.crl"
        self._run(
            *("ca", "-gencrl", "-config", config, "-cert", ca),
            *("-keyfile", self.folder / "ca-key.pem", "-out", path),
        )
        return path

    def _run(self, *arguments: Argument) -> None:
        result = run([self.openssl, *arguments])
        assert result.returncode == 0, f"openssl {arguments[0]} failed:\n{result.stdout}\n{result.stderr}"


@pytest.fixture
def office(openssl: str, pki: PKI, tmp_path: Path) -> Office:
    """That of the servers' authority."""
    return Office(openssl, tmp_path, pki.server_issuing)


def stapling(one: Identity, response: Path | None) -> trustls.Credential:
    """A credential that staples what is in a file, good or bad."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", trustls.CredentialWarning)
        return trustls.Credential(one.issued.chain, one.issued.key, ocsp_response=response)


def server_config(pki: PKI, response: Path | None, version: str, **options: Any) -> trustls.ServerConfig:
    return trustls.ServerConfig(credentials=[stapling(pki.server, response)], versions=[version], **options)


# -- trustls staples --------------------------------------------------------------------------------------------------


@every_version
@pytest.mark.parametrize("revoked", [False, True], ids=["good", "revoked"])
def test_s_client_is_shown_the_response_in_the_file(
    version: str, openssl: str, pki: PKI, office: Office, *, revoked: bool
) -> None:
    response = office.response(pki.server, revoked=revoked)
    with (
        ThreadedServer(server_config(pki, response, version)) as server,
        SClient(openssl, pki, server.port, "-status") as client,
    ):
        client.wait_for(r"^ *OCSP Response Status: successful \(0x0\)\n")
        client.wait_for(r"Responder Id: CN = Server Issuing\n")
        client.wait_for(rf"Cert Status: {'revoked' if revoked else 'good'}\n")
        assert client.established()[1] == f"TLSv{version}"
        client.quit()
        assert server.outcome().error is None


@every_version
def test_s_client_that_does_not_ask_is_shown_none(version: str, openssl: str, pki: PKI, office: Office) -> None:
    with (
        ThreadedServer(server_config(pki, office.response(pki.server), version)) as server,
        SClient(openssl, pki, server.port) as client,
    ):
        client.established()
        client.quit()
        assert "OCSP" not in client.output


@every_version
def test_s_client_that_asks_is_told_when_there_is_none(version: str, openssl: str, pki: PKI) -> None:
    with (
        ThreadedServer(server_config(pki, None, version)) as server,
        SClient(openssl, pki, server.port, "-status") as client,
    ):
        client.wait_for("^OCSP response: no response sent\n")
        client.established()
        client.quit()


def test_new_response_in_the_file_is_shown_without_a_restart(openssl: str, pki: PKI, office: Office) -> None:
    path = office.folder / "staple"
    path.write_bytes(office.response(pki.server).read_bytes())
    with ThreadedServer(server_config(pki, path, "1.3")) as server:
        for status in ("good", "revoked"):
            with SClient(openssl, pki, server.port, "-status") as client:
                client.wait_for(f"Cert Status: {status}\n")
                client.established()
                client.quit()
            new = office.folder / "new"
            new.write_bytes(office.response(pki.server, revoked=True).read_bytes())
            new.rename(path)
            time.sleep(1.1)  # It looks once a second.


@every_version
@pytest.mark.parametrize("revoked", [False, True], ids=["good", "revoked"])
def test_gnutls_cli_believes_the_response(
    version: str, gnutls_cli: str, pki: PKI, office: Office, *, revoked: bool
) -> None:
    """It checks what is stapled, whether or not it was told to look for more."""
    response = office.response(pki.server, revoked=revoked)
    with (
        ThreadedServer(server_config(pki, response, version)) as server,
        GnutlsCli(gnutls_cli, pki, server.port) as client,
    ):
        if revoked:
            client.wait_for("The certificate chain is revoked")
            assert client.wait() != 0
        else:
            client.wait_for("Options: .*OCSP status request")
            client.wait_for("Handshake was completed")
            client.ask("hello")
            client.finish()
            assert server.outcome().error is None


# -- trustls checks what is stapled -----------------------------------------------------------------------------------


def connect(pki: PKI, port: int, version: str, **options: Any) -> trustls.Peer:
    """Who the server at this port is, to a client that checks."""
    settings = {"roots": pki.server_roots, "versions": [version], **options}
    config = trustls.ClientConfig(**settings)
    with trustls.connect(("127.0.0.1", port), config, server_name="localhost", timeout=SECONDS) as tls:
        peer = tls.connection.peer
    assert peer is not None
    return peer


def check_refused(
    pki: PKI, port: int, version: str, problem: trustls.CertificateProblem, **options: Any
) -> trustls.CertificateRejected:
    with pytest.raises(trustls.CertificateRejected) as caught:
        connect(pki, port, version, **options)
    assert caught.value.reason is problem
    return caught.value


@every_version
@pytest.mark.parametrize("policy", ["stapled", "required"])
def test_good_response_of_s_server_is_accepted(
    version: str, policy: str, openssl: str, pki: PKI, office: Office
) -> None:
    response = office.response(pki.server)
    with SServer(openssl, pki.server, "-status_file", response) as server:
        peer = connect(pki, server.port, version, ocsp=policy)
    assert peer.ocsp_response == response.read_bytes()


@every_version
def test_response_of_a_responder_that_the_authority_named_is_accepted(
    version: str, openssl: str, pki: PKI, office: Office
) -> None:
    usages = [ExtendedKeyUsageOID.OCSP_SIGNING]
    responder = pki.identity("ocsp-responder", lambda: pki.server_issuing.issue_client("Responder", usages=usages))
    for arguments in ([], ["-resp_key_id"]):
        response = office.response(pki.server, *arguments, by=responder)
        with SServer(openssl, pki.server, "-status_file", response) as server:
            connect(pki, server.port, version, ocsp="required")


@every_version
def test_response_of_anybody_else_proves_nothing(version: str, openssl: str, pki: PKI, office: Office) -> None:
    """Not even of another that the authority has certified, for another purpose."""
    somebody = pki.identity("no-responder", lambda: pki.server_issuing.issue_client("Somebody"))
    response = office.response(pki.server, by=somebody)
    with SServer(openssl, pki.server, "-status_file", response) as server:
        check_refused(pki, server.port, version, trustls.CertificateProblem.BAD_STAPLE)


@every_version
@pytest.mark.parametrize("policy", ["stapled", "required"])
def test_server_that_is_revoked_is_refused_by_its_own_response(
    version: str, policy: str, openssl: str, pki: PKI, office: Office
) -> None:
    response = office.response(pki.server, revoked=True)
    with SServer(openssl, pki.server, "-status_file", response) as server:
        refusal = check_refused(pki, server.port, version, trustls.CertificateProblem.REVOKED, ocsp=policy)
        server.wait_for("alert certificate revoked")
    assert "keyCompromise" in str(refusal)


@every_version
def test_certificate_that_its_authority_does_not_know_is_refused(
    version: str, openssl: str, pki: PKI, office: Office
) -> None:
    response = office.response(pki.server, known=False)
    with SServer(openssl, pki.server, "-status_file", response) as server:
        check_refused(pki, server.port, version, trustls.CertificateProblem.REVOCATION_UNKNOWN)


@every_version
def test_response_that_is_out_of_date_is_refused(version: str, openssl: str, pki: PKI, office: Office) -> None:
    response = office.response(pki.server)
    with SServer(openssl, pki.server, "-status_file", response) as server:
        connect(pki, server.port, version)
        check_refused(
            pki,
            server.port,
            version,
            trustls.CertificateProblem.BAD_STAPLE,
            now=lambda: time.time() + 2 * DAY,
        )


@every_version
def test_response_about_another_certificate_is_refused(version: str, openssl: str, pki: PKI, office: Office) -> None:
    response = office.response(pki.server_for("elsewhere.example"))
    with SServer(openssl, pki.server, "-status_file", response) as server:
        check_refused(pki, server.port, version, trustls.CertificateProblem.BAD_STAPLE)
        server.wait_for("alert bad certificate status response|alert number 113")


@every_version
def test_response_with_a_bad_signature_is_refused(version: str, openssl: str, pki: PKI, office: Office) -> None:
    response = office.response(pki.server, "-badsig")
    with SServer(openssl, pki.server, "-status_file", response) as server:
        check_refused(pki, server.port, version, trustls.CertificateProblem.BAD_STAPLE)


@every_version
def test_what_is_stapled_is_not_looked_at_where_the_client_says_so(
    version: str, openssl: str, pki: PKI, office: Office
) -> None:
    response = office.response(pki.server, revoked=True)
    with SServer(openssl, pki.server, "-status_file", response) as server:
        peer = connect(pki, server.port, version, ocsp="off")
    assert peer.ocsp_response == b"", "it was not asked for"


@every_version
def test_server_without_a_response_is_refused_where_one_is_required(version: str, openssl: str, pki: PKI) -> None:
    with SServer(openssl, pki.server) as server:
        connect(pki, server.port, version)
        check_refused(pki, server.port, version, trustls.CertificateProblem.STAPLE_MISSING, ocsp="required")


@every_version
def test_certificate_that_demands_a_response_is_refused_without_one(
    version: str, openssl: str, pki: PKI, office: Office
) -> None:
    identity = pki.identity("must-staple", lambda: must_staple(pki.server_issuing, "localhost", "127.0.0.1"))
    with SServer(openssl, identity) as server:
        refusal = check_refused(pki, server.port, version, trustls.CertificateProblem.STAPLE_MISSING)
    assert "must-staple" in str(refusal)
    with SServer(openssl, identity, "-status_file", office.response(identity)) as server:
        connect(pki, server.port, version)


def test_response_of_gnutls_serv_is_accepted(gnutls_serv: str, pki: PKI, office: Office) -> None:
    response = office.response(pki.server)
    for version in VERSIONS:
        with GnutlsServ(gnutls_serv, pki.server, f"--ocsp-response={response}") as server:
            peer = connect(pki, server.port, version, ocsp="required")
        assert peer.ocsp_response == response.read_bytes()


# -- CRLs -------------------------------------------------------------------------------------------------------------


def crls(*paths: Path) -> trustls.CrlStore:
    """The lists in these files."""
    return trustls.CrlStore.from_pem(b"".join(path.read_bytes() for path in paths))


def only_the_leaf(*paths: Path) -> trustls.Revocation:
    """The root of the servers publishes no list here."""
    return trustls.Revocation(crls=crls(*paths), depth="end-entity")


@every_version
def test_server_on_the_crl_of_openssl_is_refused(version: str, openssl: str, pki: PKI, office: Office) -> None:
    empty, full = office.crl(), office.crl(pki.server)
    with SServer(openssl, pki.server) as server:
        connect(pki, server.port, version, crls=only_the_leaf(empty))
        refusal = check_refused(pki, server.port, version, trustls.CertificateProblem.REVOKED, crls=only_the_leaf(full))
        server.wait_for("alert certificate revoked")
    assert refusal.certificate == pki.server.certificate
    assert "keyCompromise" in str(refusal)


@every_version
def test_crl_counts_more_than_a_response_that_says_good(version: str, openssl: str, pki: PKI, office: Office) -> None:
    """The response is from before."""
    response = office.response(pki.server)
    with SServer(openssl, pki.server, "-status_file", response) as server:
        check_refused(
            pki,
            server.port,
            version,
            trustls.CertificateProblem.REVOKED,
            crls=only_the_leaf(office.crl(pki.server)),
        )


@every_version
def test_response_that_says_good_does_where_no_crl_says_anything(
    version: str, openssl: str, pki: PKI, office: Office, tmp_path: Path
) -> None:
    elsewhere = Office(openssl, tmp_path / "elsewhere", pki.client_issuing)
    elsewhere.folder.mkdir()
    nothing = only_the_leaf(elsewhere.crl())
    response = office.response(pki.server)
    with SServer(openssl, pki.server, "-status_file", response) as server:
        connect(pki, server.port, version, crls=nothing)
    with SServer(openssl, pki.server) as server:
        check_refused(pki, server.port, version, trustls.CertificateProblem.REVOCATION_UNKNOWN, crls=nothing)


@every_version
def test_s_client_on_the_crl_of_openssl_is_refused(version: str, openssl: str, pki: PKI, tmp_path: Path) -> None:
    issuing, root = (
        Office(openssl, tmp_path / name, authority)
        for name, authority in (("issuing", pki.client_issuing), ("root", pki.client_root))
    )
    for one in (issuing, root):
        one.folder.mkdir()
    auth = trustls.ClientAuth.required(pki.client_roots, crls=crls(issuing.crl(pki.alice), root.crl()))
    innocent = pki.identity("carol", lambda: pki.client_issuing.issue_client("carol"))
    config = trustls.ServerConfig(credentials=[pki.server.credential], client_auth=auth, versions=[version])
    with ThreadedServer(config) as server:
        with SClient(openssl, pki, server.port, identity=innocent) as client:
            client.established()
            client.ask("hello")
            client.quit()
        assert server.outcome().peer.certificate == innocent.certificate
        with SClient(openssl, pki, server.port, identity=pki.alice) as client:
            client.wait_for("alert number 44")
        error = server.outcome().error
    assert isinstance(error, trustls.CertificateRejected)
    assert error.reason is trustls.CertificateProblem.REVOKED
    assert error.certificate == pki.alice.certificate
