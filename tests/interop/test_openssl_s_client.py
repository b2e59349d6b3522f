"""The trustls server as `openssl s_client` sees it."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

import pytest

import trustls
from tests.support.pki import KEY_TYPES, PKI, Identity
from tests.support.processes import Argument, PeerProcess
from tests.support.relays import Change, Relay, at_random, byte_by_byte
from tests.support.servers import ServerSocket, ThreadedServer
from trustls.cli.pki import KeyType
from trustls.trust.hints import Hints

SUITES = ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256")
TRANSFER = 4 << 20
PROMPT = r"^---\nNew, TLSv1\.3"  # Printed once the handshake is done.


class SClient(PeerProcess):
    """`openssl s_client`, which trusts the test's server root and prints names as RFC 2253 text."""

    def __init__(
        self,
        openssl: str,
        pki: PKI,
        server: ThreadedServer | int,
        *arguments: Argument,
        identity: Identity | None = None,
    ) -> None:
        own: list[Argument] = []
        if identity is not None:
            own = ["-cert", identity.leaf_file, "-key", identity.key_file]
            if identity.intermediates_file is not None:
                own += ["-cert_chain", identity.intermediates_file]
        port = server if isinstance(server, int) else server.port
        super().__init__(
            [
                *(openssl, "s_client", "-connect", f"127.0.0.1:{port}", "-servername", "localhost"),
                *("-CAfile", pki.server_root_file, "-verify_return_error", "-nameopt", "RFC2253"),
                *own,
                *arguments,
            ]
        )

    def ask(self, line: str) -> None:
        """Send a line and wait until it has come back; it may come in the middle of a ticket that s_client prints."""
        self.write(line + "\n")
        self.wait_for(f"{line}\n")

    def quit(self) -> None:
        """End by the command Q, which sends close_notify."""
        self.write("Q\n")
        assert self.wait() == 0, f"s_client failed:\n{self.output}"


def server_config(pki: PKI, client_auth: trustls.ClientAuth | None = None, **options: object) -> trustls.ServerConfig:
    """A server with the usual certificate."""
    settings: dict[str, object] = {"credentials": [pki.server.credential], **options}
    if client_auth is not None:
        settings["client_auth"] = client_auth
    return trustls.ServerConfig(**settings)  # type: ignore[arg-type]


def names_listed(output: str) -> list[str] | None:
    """The CA names that s_client prints, in order; None when it says that there were none."""
    if "No client certificate CA names sent" in output:
        return None
    pattern = r"^Acceptable client certificate CA names\n((?:.+\n)*?)(?:Client Certificate|Requested)"
    block = re.search(pattern, output, re.MULTILINE)
    assert block is not None, f"s_client says nothing about CA names:\n{output}"
    return block[1].splitlines()


# -- CA hints ---------------------------------------------------------------------------------------------------------


def test_s_client_lists_the_names_of_the_client_roots_in_their_order(openssl: str, pki: PKI) -> None:
    with (
        ThreadedServer(server_config(pki, pki.required())) as server,
        SClient(openssl, pki, server, identity=pki.alice) as client,
    ):
        client.wait_for(PROMPT)
        client.quit()
        assert names_listed(client.output) == [
            "CN=K-Dot Certificate Authority,O=TDE,L=Compton,ST=California,C=US",
            "CN=The Roots Authority,O=The Roots,L=Philadelphia,ST=Pennsylvania,C=US",
        ], "the names that OpenSSL received are not those of the roots, in the order of the store"


def test_names_print_as_openssl_prints_them(openssl: str, pki: PKI) -> None:
    awkward = [
        'CN=comma\\, plus\\+ quote\\" back\\\\slash\\; \\<angles\\>,O=Example',
        "CN=\\#hash,OU=one,OU=two",
        "CN=\\ spaces around\\ ",
        "DC=example,DC=com",
        "CN=Zürich,O=Bücher & Söhne,C=CH",
    ]
    config = server_config(pki, pki.required(hints=awkward))
    with (
        ThreadedServer(config) as server,
        SClient(openssl, pki, server, "-nameopt", "RFC2253,-esc_msb,utf8", identity=pki.alice) as client,
    ):
        client.wait_for(PROMPT)
        client.quit()
        printed = names_listed(client.output)
    sent = [str(name) for name in config.client_auth.hints]
    assert sent == awkward, "trustls does not print the names as they were given"
    assert printed == sent, "OpenSSL reads other names than trustls means to send"


def test_multi_valued_name_is_read_by_openssl(openssl: str, pki: PKI) -> None:
    """Whose order does not count (RFC 4514 2.2): OpenSSL prints the parts the other way round."""
    with (
        ThreadedServer(server_config(pki, pki.required(hints="UID=17+CN=multi-valued,O=Example"))) as server,
        SClient(openssl, pki, server, identity=pki.alice) as client,
    ):
        client.wait_for(PROMPT)
        client.quit()
        assert names_listed(client.output) == ["CN=multi-valued+UID=17,O=Example"]


@pytest.mark.parametrize("form", ["name", "certificate", "PEM", "text"])
def test_hints_may_be_other_names_than_those_of_the_roots(form: str, openssl: str, pki: PKI) -> None:
    hints: dict[str, Hints] = {
        "name": (pki.other_name, pki.roots_name),
        "certificate": (next(iter(pki.other_roots)), *list(pki.client_roots)[1:]),
        "PEM": pki.other_file.read_bytes() + pki.roots_file.read_bytes(),
        "text": [str(pki.other_name), str(pki.roots_name)],
    }
    with (
        ThreadedServer(server_config(pki, pki.required(hints=hints[form]))) as server,
        SClient(openssl, pki, server, identity=pki.alice) as client,
    ):
        client.wait_for(PROMPT)
        client.quit()
        assert names_listed(client.output) == [str(pki.other_name), str(pki.roots_name)], "hints= was not sent as given"
        assert server.outcome().peer.subject == "CN=alice", "hints must not change who is trusted: K-Dot still is"


def test_naming_a_ca_does_not_trust_it(openssl: str, pki: PKI) -> None:
    with (
        ThreadedServer(server_config(pki, pki.required(hints=(pki.other_name,)))) as server,
        SClient(openssl, pki, server, identity=pki.mallory) as client,
    ):
        client.wait_for("alert number 48")
        assert isinstance(server.outcome().error, trustls.CertificateRejected), "a hinted CA is not a trusted one"


def test_s_client_sees_no_names_when_there_are_no_hints(openssl: str, pki: PKI) -> None:
    with (
        ThreadedServer(server_config(pki, pki.required(hints=()))) as server,
        SClient(openssl, pki, server, identity=pki.alice) as client,
    ):
        client.wait_for(PROMPT)
        client.quit()
        assert names_listed(client.output) is None, "hints=() must leave the extension out"
        assert server.outcome().peer.subject == "CN=alice", "the certificate is asked for without hints too"


def test_s_client_sees_no_names_when_no_certificate_is_asked_for(openssl: str, pki: PKI) -> None:
    with ThreadedServer(server_config(pki)) as server, SClient(openssl, pki, server, identity=pki.alice) as client:
        client.wait_for(PROMPT)
        client.quit()
        assert names_listed(client.output) is None
        outcome = server.outcome()
    assert outcome.error is None
    assert outcome.connection.peer is None, "a server that asks for no certificate must not know one"


def test_a_thousand_names_arrive_in_order(openssl: str, pki: PKI) -> None:
    """Some 40 kB: the CertificateRequest is spread over several records."""
    hints = [f"CN=Authority {number},O=A company of many authorities" for number in range(800)]
    with pytest.warns(UserWarning, match="Java clients refuse"):
        client_auth = pki.required(hints=hints)
    with (
        ThreadedServer(server_config(pki, client_auth)) as server,
        SClient(openssl, pki, server, identity=pki.alice) as client,
    ):
        client.wait_for(PROMPT)
        client.quit()
        assert names_listed(client.output) == hints, "OpenSSL did not read the long list as it was sent"


def test_names_that_the_client_sends_are_tolerated(openssl: str, pki: PKI) -> None:
    """-requestCAfile puts certificate_authorities into the ClientHello (RFC 9846 4.3.4)."""
    with (
        ThreadedServer(server_config(pki, pki.required())) as server,
        SClient(openssl, pki, server, "-requestCAfile", pki.server_root_file, identity=pki.alice) as client,
    ):
        client.wait_for(PROMPT)
        client.quit()
        assert server.outcome().peer.subject == "CN=alice"


# -- Client certificates ----------------------------------------------------------------------------------------------


def test_client_certificate_is_verified_chain_and_all(openssl: str, pki: PKI) -> None:
    with (
        ThreadedServer(server_config(pki, pki.required())) as server,
        SClient(openssl, pki, server, identity=pki.alice) as client,
    ):
        client.wait_for(PROMPT)
        client.ask("hello")
        client.quit()
        assert "Verification: OK" in client.output, "OpenSSL did not verify our chain"
        peer = server.outcome().peer
    assert peer.certificate == pki.alice.certificate, "the leaf is not the certificate that s_client sent"
    assert [str(one.subject) for one in peer.verified] == [
        "CN=alice",
        "CN=K-Dot Issuing",
        "CN=K-Dot Certificate Authority,O=TDE,L=Compton,ST=California,C=US",
    ], "the verified chain must go from the leaf to the root, both included"
    assert peer.presented == pki.alice.credential.chain, "what was presented is the leaf and its intermediate"
    assert peer.names.email == ("alice@example.com",)


def test_client_certificate_without_its_intermediate_is_refused(openssl: str, pki: PKI) -> None:
    with (
        ThreadedServer(server_config(pki, pki.required())) as server,
        SClient(openssl, pki, server, "-cert", pki.alice.leaf_file, "-key", pki.alice.key_file) as client,
    ):
        client.wait_for("tlsv1 alert unknown ca.*alert number 48")
        error = server.outcome().error
    assert isinstance(error, trustls.CertificateRejected)
    assert "CN=K-Dot Issuing" in str(error), "the sentence must name the issuer that is missing"


def test_client_certificate_of_another_ca_is_refused_with_unknown_ca(openssl: str, pki: PKI) -> None:
    with (
        ThreadedServer(server_config(pki, pki.required())) as server,
        SClient(openssl, pki, server, identity=pki.mallory) as client,
    ):
        client.wait_for("tlsv1 alert unknown ca.*alert number 48")
        assert client.wait() == 1, "s_client must notice that it was refused"
        error = server.outcome().error
    assert isinstance(error, trustls.CertificateRejected), f"the server saw {error!r}"
    assert error.reason is trustls.CertificateProblem.UNKNOWN_ISSUER
    for fact in ("CN=mallory", "CN=Other", "CN=K-Dot Certificate Authority"):
        assert fact in str(error), f"the sentence does not name {fact}"


def test_missing_client_certificate_is_refused_with_certificate_required(openssl: str, pki: PKI) -> None:
    with ThreadedServer(server_config(pki, pki.required())) as server, SClient(openssl, pki, server) as client:
        client.wait_for("tlsv13 alert certificate required.*alert number 116")
        assert client.wait() == 1, "s_client must notice that it was refused"
        error = server.outcome().error
    assert isinstance(error, trustls.CertificateRejected), f"the server saw {error!r}"
    assert error.reason is trustls.CertificateProblem.NONE_PRESENTED


def test_server_certificate_does_not_pass_for_a_clients(openssl: str, pki: PKI) -> None:
    """Its extended key usage names servers only."""
    config = server_config(pki, trustls.ClientAuth.required(pki.server_roots))
    with ThreadedServer(config) as server, SClient(openssl, pki, server, identity=pki.server) as client:
        client.wait_for("alert unsupported certificate.*alert number 43")
        error = server.outcome().error
    assert isinstance(error, trustls.CertificateRejected), f"the server saw {error!r}"
    assert error.reason is trustls.CertificateProblem.WRONG_PURPOSE


def test_optional_client_auth_lets_a_client_without_a_certificate_in(openssl: str, pki: PKI) -> None:
    client_auth = trustls.ClientAuth.optional(pki.client_roots)
    with ThreadedServer(server_config(pki, client_auth)) as server, SClient(openssl, pki, server) as client:
        client.wait_for(PROMPT)
        client.ask("hello")
        client.quit()
        assert names_listed(client.output), "the names are sent although the certificate is optional"
        outcome = server.outcome()
    assert outcome.error is None
    assert outcome.connection.peer is None, "nobody presented a certificate"


def test_optional_client_auth_knows_who_presents_a_certificate(openssl: str, pki: PKI) -> None:
    client_auth = trustls.ClientAuth.optional(pki.client_roots)
    with (
        ThreadedServer(server_config(pki, client_auth)) as server,
        SClient(openssl, pki, server, identity=pki.bob) as client,
    ):
        client.wait_for(PROMPT)
        client.quit()
        assert server.outcome().peer.subject == "CN=bob"


def test_optional_client_auth_still_refuses_a_wrong_certificate(openssl: str, pki: PKI) -> None:
    client_auth = trustls.ClientAuth.optional(pki.client_roots)
    with (
        ThreadedServer(server_config(pki, client_auth)) as server,
        SClient(openssl, pki, server, identity=pki.mallory) as client,
    ):
        client.wait_for("alert number 48")
        assert isinstance(server.outcome().error, trustls.CertificateRejected)


@pytest.mark.parametrize("key_type", KEY_TYPES)
def test_client_certificate_of_each_kind_of_key(key_type: KeyType, openssl: str, pki: PKI) -> None:
    identity = pki.client_with(key_type)
    with (
        ThreadedServer(server_config(pki, pki.required())) as server,
        SClient(openssl, pki, server, identity=identity) as client,
    ):
        client.wait_for(PROMPT)
        client.ask("hello")
        client.quit()
        assert server.outcome().peer.certificate == identity.certificate


@pytest.mark.parametrize("key_type", KEY_TYPES)
def test_server_certificate_of_each_kind_of_key(key_type: KeyType, openssl: str, pki: PKI) -> None:
    config = trustls.ServerConfig(credentials=[pki.server_with(key_type).credential])
    kinds = {KeyType.RSA_2048: "RSA-PSS", KeyType.ED25519: "ed25519"}
    with ThreadedServer(config) as server, SClient(openssl, pki, server) as client:
        client.wait_for(PROMPT)
        client.quit()
        assert f"Peer signature type: {kinds.get(key_type, 'ECDSA')}\n" in client.output
        assert server.outcome().error is None


# -- Negotiation ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suite", SUITES)
def test_each_cipher_suite(suite: str, openssl: str, pki: PKI) -> None:
    with ThreadedServer(server_config(pki)) as server, SClient(openssl, pki, server, "-ciphersuites", suite) as client:
        client.wait_for(f"^New, TLSv1.3, Cipher is {suite}\n")
        client.ask("hello")
        client.quit()
        assert server.outcome().connection.info.suite.iana == suite


def test_server_that_allows_one_suite_gets_it(openssl: str, pki: PKI) -> None:
    config = server_config(pki, suites=["TLS_CHACHA20_POLY1305_SHA256"])
    with ThreadedServer(config) as server, SClient(openssl, pki, server) as client:
        client.wait_for("^New, TLSv1.3, Cipher is TLS_CHACHA20_POLY1305_SHA256\n")
        client.quit()


def test_no_common_suite_is_refused_with_handshake_failure(openssl: str, pki: PKI) -> None:
    config = server_config(pki, suites=["TLS_AES_256_GCM_SHA384"])
    with (
        ThreadedServer(config) as server,
        SClient(openssl, pki, server, "-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256") as client,
    ):
        client.wait_for("alert handshake failure.*alert number 40")
        error = server.outcome().error
    assert isinstance(error, trustls.PeerIncompatible)
    assert error.reason is trustls.Incompatibility.NO_COMMON_SUITE


@pytest.mark.parametrize(
    ("group", "openssl_group"),
    [("x25519", "X25519"), ("secp256r1", "P-256"), ("secp384r1", "P-384"), ("secp521r1", "P-521")],
)
def test_each_group(group: str, openssl_group: str, openssl: str, pki: PKI) -> None:
    with (
        ThreadedServer(server_config(pki)) as server,
        SClient(openssl, pki, server, "-groups", openssl_group) as client,
    ):
        client.wait_for(PROMPT)
        client.ask("hello")
        client.quit()
        info = server.outcome().connection.info
    assert (info.group.iana, info.retried) == (group, False)


@pytest.mark.parametrize("cookies", [False, True], ids=["plain", "cookie"])
@pytest.mark.parametrize("option", ["-groups", "-curves"])
@pytest.mark.parametrize(
    ("group", "offer"), [("x25519", "P-256:X25519"), ("secp256r1", "X25519:P-256"), ("secp384r1", "X448:P-384")]
)
def test_hello_retry_when_the_client_sent_no_share_of_our_group(
    group: str, offer: str, option: str, cookies: bool, openssl: str, pki: PKI
) -> None:
    retry_cookies = trustls.RetryCookies() if cookies else None
    config = server_config(pki, pki.required(), groups=[group], retry_cookies=retry_cookies)
    with (
        ThreadedServer(config) as server,
        SClient(openssl, pki, server, "-msg", option, offer, identity=pki.alice) as client,
    ):
        client.wait_for(PROMPT)
        client.ask("hello")
        client.quit()
        hellos = re.findall(r"^>>> TLS 1\.3, Handshake .* ClientHello$", client.output, re.MULTILINE)
        outcome = server.outcome()
    assert len(hellos) == 2, "s_client must have been asked for a second ClientHello"
    assert outcome.connection.info.retried, "info.retried does not tell of the HelloRetryRequest"
    assert outcome.connection.info.group.iana == group
    assert outcome.peer.subject == "CN=alice", "client authentication works after a retry too"


def test_a_share_that_came_is_preferred_to_a_retry(openssl: str, pki: PKI) -> None:
    config = server_config(pki, groups=["x25519", "secp256r1"])
    with ThreadedServer(config) as server, SClient(openssl, pki, server, "-groups", "P-256:X25519") as client:
        client.wait_for(PROMPT)
        client.quit()
        info = server.outcome().connection.info
    assert (info.group.iana, info.retried) == ("secp256r1", False), "a round trip was spent for a preference"


def test_no_common_group_is_refused_with_handshake_failure(openssl: str, pki: PKI) -> None:
    config = server_config(pki, groups=["x25519"])
    with ThreadedServer(config) as server, SClient(openssl, pki, server, "-groups", "P-256:P-384") as client:
        client.wait_for("alert handshake failure.*alert number 40")
        error = server.outcome().error
    assert isinstance(error, trustls.PeerIncompatible)
    assert error.reason is trustls.Incompatibility.NO_COMMON_GROUP


def test_alpn_takes_the_servers_preference(openssl: str, pki: PKI) -> None:
    config = server_config(pki, alpn=["h2", "http/1.1"])
    with ThreadedServer(config) as server, SClient(openssl, pki, server, "-alpn", "http/1.1,h2") as client:
        client.wait_for("^ALPN protocol: h2\n")
        client.quit()
        assert server.outcome().connection.info.alpn == "h2"


def test_alpn_with_nothing_in_common_is_refused(openssl: str, pki: PKI) -> None:
    config = server_config(pki, alpn=["h2"])
    with ThreadedServer(config) as server, SClient(openssl, pki, server, "-alpn", "spdy/1") as client:
        client.wait_for("alert no application protocol.*alert number 120")
        error = server.outcome().error
    assert isinstance(error, trustls.PeerIncompatible)
    assert error.reason is trustls.Incompatibility.NO_COMMON_ALPN


def test_client_without_alpn_is_served_without(openssl: str, pki: PKI) -> None:
    with ThreadedServer(server_config(pki, alpn=["h2"])) as server, SClient(openssl, pki, server) as client:
        client.wait_for("^No ALPN negotiated\n")
        client.quit()
        assert server.outcome().connection.info.alpn is None


@pytest.mark.parametrize("name", ["localhost", "second.example", "a.third.example", "unknown.example"])
def test_server_certificate_is_chosen_by_server_name(name: str, openssl: str, pki: PKI) -> None:
    others = [pki.server_for("second.example").credential, pki.server_for("*.third.example").credential]
    config = trustls.ServerConfig(credentials=[pki.server.credential, *others])
    subjects = {"second.example": "second.example", "a.third.example": "*.third.example"}
    with ThreadedServer(config) as server, SClient(openssl, pki, server, "-servername", name) as client:
        client.wait_for(PROMPT)
        client.quit()
        assert f"\nsubject=CN={subjects.get(name, 'localhost')}\n" in client.output, "another certificate was chosen"
        assert server.outcome().connection.info.server_name == name


def test_client_without_a_server_name_is_served(openssl: str, pki: PKI) -> None:
    with ThreadedServer(server_config(pki)) as server:
        arguments = [openssl, "s_client", "-connect", f"127.0.0.1:{server.port}", "-noservername"]
        with PeerProcess([*arguments, "-CAfile", pki.server_root_file]) as client:
            client.wait_for(PROMPT)
            client.write("Q\n")
            client.wait()
        assert server.outcome().connection.info.server_name is None


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_1"])
def test_older_versions_are_refused_with_protocol_version(version: str, openssl: str, pki: PKI) -> None:
    with (
        ThreadedServer(server_config(pki, versions=["1.3"])) as server,
        SClient(openssl, pki, server, version, "-cipher", "ALL:@SECLEVEL=0") as client,
    ):
        client.wait_for("alert protocol version.*alert number 70")
        error = server.outcome().error
    assert isinstance(error, trustls.PeerIncompatible)
    assert error.reason is trustls.Incompatibility.NO_COMMON_VERSION
    assert "TLSv1.3" in str(error), "the sentence must say what this server speaks"


# -- Secrets ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suite", SUITES)
def test_key_log_has_the_lines_that_openssl_writes(suite: str, openssl: str, pki: PKI, tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    with trustls.KeyLogFile(ours) as key_log:
        config = server_config(pki, pki.required(), key_log=key_log)
        with (
            ThreadedServer(config) as server,
            SClient(openssl, pki, server, "-ciphersuites", suite, "-keylogfile", theirs, identity=pki.alice) as client,
        ):
            client.wait_for(PROMPT)
            client.quit()
            assert server.outcome().error is None
    expected = sorted(line for line in theirs.read_text().splitlines() if not line.startswith("#"))
    assert len(expected) == 5, f"OpenSSL wrote {len(expected)} secrets instead of 5"
    assert sorted(ours.read_text().splitlines()) == expected, "the two key logs differ"


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("length", [1, 32, 200])
def test_exporter_gives_what_openssl_exports(length: int, suite: str, openssl: str, pki: PKI) -> None:
    label = "EXPORTER-trustls-test"
    exported = ["-keymatexport", label, "-keymatexportlen", str(length), "-ciphersuites", suite]
    with ThreadedServer(server_config(pki)) as server, SClient(openssl, pki, server, *exported) as client:
        theirs = client.wait_for(r"Keying material: ([0-9A-F]+)\n")[1].decode()
        client.quit()
        assert server.outcome().connection.export(label, length).hex().upper() == theirs


# -- KeyUpdate --------------------------------------------------------------------------------------------------------

SENT_UPDATE = r"^>>> TLS 1\.3, Handshake .* KeyUpdate$"
RECEIVED_UPDATE = r"^<<< TLS 1\.3, Handshake .* KeyUpdate$"


def updates(pattern: str, client: SClient) -> int:
    """How many KeyUpdates of that direction -msg has shown."""
    return len(re.findall(pattern, client.output, re.MULTILINE))


def test_data_flows_after_s_client_updates_both_keys(openssl: str, pki: PKI) -> None:
    with ThreadedServer(server_config(pki)) as server, SClient(openssl, pki, server, "-msg") as client:
        client.wait_for(PROMPT)
        client.ask("before")
        for turn in range(3):
            client.write("K\n")
            client.wait_for(SENT_UPDATE)
            client.ask(f"after {turn}")
            # RFC 9846 4.7.3: K asks for one in return, which is due before the next data.
            assert updates(RECEIVED_UPDATE, client) == turn + 1, "the request was not answered"
        client.quit()
        assert server.outcome().error is None


def test_data_flows_after_s_client_updates_its_own_key(openssl: str, pki: PKI) -> None:
    with ThreadedServer(server_config(pki)) as server, SClient(openssl, pki, server, "-msg") as client:
        client.wait_for(PROMPT)
        client.ask("before")
        for turn in range(3):
            client.write("k\n")
            client.wait_for(SENT_UPDATE)
            client.ask(f"after {turn}")
        client.quit()
        assert updates(RECEIVED_UPDATE, client) == 0, "k asks for nothing, so nothing may come back"
        assert server.outcome().error is None


@pytest.mark.parametrize("request_peer", [True, False], ids=["both", "own"])
def test_data_flows_after_the_server_updates_its_key(request_peer: bool, openssl: str, pki: PKI) -> None:
    def update_and_echo(tls: ServerSocket) -> None:
        while data := tls.recv():
            tls.update_keys(request_peer=request_peer)
            tls.sendall(data)

    config = server_config(pki)
    with ThreadedServer(config, update_and_echo) as server, SClient(openssl, pki, server, "-msg") as client:
        client.wait_for(PROMPT)
        for turn in range(4):
            client.ask(f"turn {turn}")
        client.quit()
        assert updates(RECEIVED_UPDATE, client) == 4, "s_client saw another number of KeyUpdates"
        # OpenSSL answers with its next write: the last request finds none.
        answers = updates(SENT_UPDATE, client)
        assert answers >= 3 if request_peer else answers == 0, f"s_client sent {answers} KeyUpdates"
        assert server.outcome().error is None


# -- Early data -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def session_with_early_data(openssl: str, pki: PKI, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A session of another server, whose ticket allows early data. Ours cannot know it."""
    session = tmp_path_factory.mktemp("session") / "session.pem"
    arguments: list[Argument] = ["-accept", "127.0.0.1:0", "-cert", pki.server.leaf_file, "-key", pki.server.key_file]
    assert pki.server.intermediates_file is not None
    chain: list[Argument] = ["-cert_chain", pki.server.intermediates_file, "-max_early_data", "16384"]
    with PeerProcess([openssl, "s_server", *arguments, *chain]) as other:
        port = int(other.wait_for(r"^ACCEPT 127\.0\.0\.1:(\d+)\n")[1])
        with SClient(openssl, pki, port, "-sess_out", session) as client:
            other.write("behind the tickets\n")
            client.wait_for("^behind the tickets\n")
            client.quit()
        assert "Max Early Data: 16384" in client.output, "no ticket came that allows early data"
    return session


@pytest.mark.parametrize("retry", [False, True], ids=["first", "retry"])
@pytest.mark.parametrize("size", [1, 5000, 16384])
def test_early_data_for_another_server_is_passed_over(
    size: int, retry: bool, openssl: str, session_with_early_data: Path, pki: PKI, tmp_path: Path
) -> None:
    """RFC 9846 4.3.10: a server that takes none skips what it cannot decrypt, and the handshake is a full one."""
    early = tmp_path / "early"
    early.write_bytes(b"e" * size)
    config = server_config(pki, pki.required(), groups=["secp384r1"] if retry else None)
    arguments: list[Argument] = ["-sess_in", session_with_early_data, "-early_data", early, "-groups", "X25519:P-384"]
    with (
        ThreadedServer(config) as server,
        SClient(openssl, pki, server, *arguments, identity=pki.alice) as client,
    ):
        client.wait_for(PROMPT)
        client.wait_for("^Early data was rejected\n")
        client.ask("hello")
        client.quit()
        outcome = server.outcome()
    assert outcome.peer.subject == "CN=alice"
    assert (outcome.connection.info.resumed, outcome.connection.info.retried) == (False, retry)


# -- Delivery ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("split", [byte_by_byte, at_random(1), at_random(2)], ids=["bytes", "random 1", "random 2"])
def test_delivery_in_pieces_gives_the_same_result(split: Change, openssl: str, pki: PKI) -> None:
    """With a HelloRetryRequest, client authentication and KeyUpdates in it."""
    config = server_config(pki, pki.required(), groups=["secp384r1"])
    with (
        ThreadedServer(config) as server,
        Relay(server.port, up=split, down=split) as port,
        SClient(openssl, pki, port, "-msg", "-groups", "X25519:P-384", identity=pki.alice) as client,
    ):
        client.wait_for(PROMPT)
        client.ask("hello")
        client.write("K\n")
        client.wait_for(SENT_UPDATE)
        client.ask("once more")
        assert updates(RECEIVED_UPDATE, client) == 1, "the request was not answered"
        client.quit()
        outcome = server.outcome()
    assert outcome.peer.presented == pki.alice.credential.chain
    assert outcome.connection.info.retried


def test_small_records_of_the_client(openssl: str, pki: PKI) -> None:
    content = os.urandom(1 << 18)
    received: list[bytes] = []

    def take(tls: ServerSocket) -> None:
        received.append(tls.recv_exactly(len(content)))

    arguments = ["-quiet", "-no_ign_eof", "-nocommands", "-max_send_frag", "512"]
    with ThreadedServer(server_config(pki), take) as server, SClient(openssl, pki, server, *arguments) as client:
        client.write(content)
        assert server.outcome().error is None
        assert received == [content]


# -- Closing ----------------------------------------------------------------------------------------------------------

CLOSE_SENT = r"^>>> TLS 1\.3, Alert \[length 0002\], warning close_notify$"
CLOSE_RECEIVED = r"^<<< TLS 1\.3, Alert \[length 0002\], warning close_notify$"


def test_close_by_the_client_is_the_end_of_data(openssl: str, pki: PKI) -> None:
    with ThreadedServer(server_config(pki)) as server, SClient(openssl, pki, server, "-msg") as client:
        client.wait_for(PROMPT)
        client.ask("hello")
        client.quit()
        assert re.search(CLOSE_SENT, client.output, re.MULTILINE)
        outcome = server.outcome()
    assert outcome.error is None, "a close_notify is a proper end"
    assert outcome.connection.peer_closed


def test_close_by_the_server_is_a_close_notify(openssl: str, pki: PKI) -> None:
    def greet(tls: ServerSocket) -> None:
        tls.sendall(b"goodbye\n")

    with ThreadedServer(server_config(pki), greet) as server, SClient(openssl, pki, server, "-msg") as client:
        client.wait_for("^goodbye\n")
        client.wait_for(CLOSE_RECEIVED)
        assert client.wait() == 0, "s_client did not take the close for a proper one"
        assert server.outcome().error is None


def test_client_that_is_killed_is_an_unexpected_eof(openssl: str, pki: PKI) -> None:
    with ThreadedServer(server_config(pki)) as server, SClient(openssl, pki, server) as client:
        client.wait_for(PROMPT)
        client.ask("hello")
        client.kill()
        error = server.outcome().error
    assert isinstance(error, trustls.UnexpectedEOF), f"the missing close_notify passed for {error!r}"


# -- Much data --------------------------------------------------------------------------------------------------------


def test_large_transfer_in_each_direction(openssl: str, pki: PKI) -> None:
    upload, download = os.urandom(TRANSFER), os.urandom(TRANSFER)
    received: list[bytes] = []

    def exchange(tls: ServerSocket) -> None:
        received.append(tls.recv_exactly(TRANSFER))
        tls.sendall(download)

    config = server_config(pki, pki.required())
    with (
        ThreadedServer(config, exchange) as server,
        SClient(openssl, pki, server, "-quiet", "-no_ign_eof", "-nocommands", identity=pki.alice) as client,
    ):
        client.write(upload)
        assert server.outcome().error is None
        client.wait()
        assert hashlib.sha256(received[0]).digest() == hashlib.sha256(upload).digest(), "the upload was changed"
        assert client.stdout == download, f"of {TRANSFER} bytes, {len(client.stdout)} came, or others"
