"""WorkloadIdentity against an agent that sends what it should, and what it should not (see workload_api.py)."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("spiffe", reason="py-spiffe is not installed here: pip install 'trustls[spiffe]'")

import grpc
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.spiffe.workload_api import WorkloadApi, der, running, svid, update
from tests.support.memory import check_refused, connect, pair
from trustls.cli.pki import Authority
from trustls.config import ClientConfig, ServerConfig
from trustls.errors import CertificateProblem, CertificateRejected, ConfigError
from trustls.reloading import Source
from trustls.spiffe import WorkloadIdentity
from trustls.trust.authorize import Authorize
from trustls.trust.certificate import Certificate
from trustls.trust.client_auth import ClientAuth
from trustls.trust.hints import Hints
from trustls.trust.spiffe import SpiffeBundles

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Unix sockets")

OWN = Authority.create("example.org")
NEXT = Authority.create("example.org, next")
PARTNER = Authority.create("partner.test")
WEB = "spiffe://example.org/web"
SECONDS = 10.0


@pytest.fixture
def api() -> Iterator[WorkloadApi]:
    with running() as api:
        api.send(update(der(OWN), svid(OWN, WEB)))
        yield api


@pytest.fixture
def identity(api: WorkloadApi) -> Iterator[WorkloadIdentity]:
    with WorkloadIdentity(api.endpoint, timeout=SECONDS) as identity:
        yield identity


def wait_until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {SECONDS:g} s"
        time.sleep(0.005)


def next_version(source: Source[object], act: Callable[[], object]) -> None:
    version = source.version
    act()
    wait_until(lambda: source.version > version, "an update")


# -- What comes -------------------------------------------------------------------------------------------------------


def test_the_identity_and_its_roots_come_from_the_agent(identity: WorkloadIdentity) -> None:
    assert str(identity.spiffe_id) == WEB
    assert identity.credential.current.chain[0].uris == (WEB,)
    assert dict(identity.bundles) == {"example.org": identity.bundles["example.org"]}
    assert [root.title for root in identity.bundles["example.org"].current] == [_title(OWN)]
    assert identity.error is None


def _title(authority: Authority) -> str:
    return Certificate.from_x509(authority.certificate).title


def test_the_environment_says_where_the_agent_is(api: WorkloadApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPIFFE_ENDPOINT_SOCKET", api.endpoint)
    with WorkloadIdentity(timeout=SECONDS) as identity:
        assert str(identity.spiffe_id) == WEB


def test_a_renewed_identity_takes_the_place_of_the_old_one(api: WorkloadApi, identity: WorkloadIdentity) -> None:
    before = identity.credential.current
    renewed = svid(OWN, WEB)
    next_version(identity.credential, lambda: api.send(update(der(OWN), renewed)))
    assert identity.credential.current is not before
    assert identity.credential.current.certificate.serial_number == renewed.certificate.serial_number


def test_an_update_that_changes_nothing_changes_nothing(api: WorkloadApi, identity: WorkloadIdentity) -> None:
    first = svid(OWN, WEB)
    next_version(identity.credential, lambda: api.send(update(der(OWN, NEXT), first)))
    credential, roots = identity.credential.current, identity.bundles["example.org"].current
    seen = api.streams
    api.send(update(der(NEXT, OWN), first))  # The same roots in another order, and again.
    api.break_off()
    wait_until(lambda: api.streams > seen, "a new stream")
    wait_until(lambda: identity.error is None, "an update on it")
    assert identity.credential.current is credential
    assert identity.bundles["example.org"].current is roots


def test_of_several_identities_the_first_is_taken_or_the_one_asked_for(api: WorkloadApi) -> None:
    api.send(update(der(OWN), svid(OWN, WEB), svid(OWN, "spiffe://example.org/db")))
    with WorkloadIdentity(api.endpoint, timeout=SECONDS) as identity:
        assert str(identity.spiffe_id) == WEB
    with WorkloadIdentity(api.endpoint, spiffe_id="spiffe://example.org/db", timeout=SECONDS) as identity:
        assert str(identity.spiffe_id) == "spiffe://example.org/db"
    with pytest.raises(ConfigError, match=r"spiffe://example\.org/x is not among the identities given.*/web, .*/db"):
        WorkloadIdentity(api.endpoint, spiffe_id="spiffe://example.org/x", timeout=0.5)


def test_bundles_of_other_trust_domains_come_and_go(api: WorkloadApi, identity: WorkloadIdentity) -> None:
    own, bundles = svid(OWN, WEB), identity.bundles
    other = svid(PARTNER, "spiffe://partner.test/web").certificate
    leaf = Certificate.from_x509(other)
    with pytest.raises(CertificateRejected, match="no bundle"):
        bundles.roots_for(leaf)

    api.send(update(der(OWN), own, federated={"spiffe://partner.test": der(PARTNER)}))
    wait_until(lambda: "partner.test" in bundles, "the federation")
    assert len(bundles.roots_for(leaf)) == 1
    partner = bundles["partner.test"]
    fingerprint = bundles.fingerprint

    api.send(update(der(OWN), own))
    wait_until(lambda: not partner.current, "its end")
    with pytest.raises(CertificateRejected, match="no bundle"):
        bundles.roots_for(leaf)
    assert bundles.fingerprint != fingerprint, "sessions of before are not resumed"

    api.send(update(der(OWN), own, federated={"spiffe://partner.test": der(PARTNER)}))
    wait_until(lambda: partner.current, "the federation, anew")
    assert bundles.fingerprint == fingerprint


# -- Handshakes -------------------------------------------------------------------------------------------------------


def _configurations(
    server: WorkloadIdentity, client: WorkloadIdentity, *, hints: Hints | None = None
) -> tuple[ServerConfig, ClientConfig]:
    rule = Authorize.spiffe_trust_domain("example.org")
    return (
        ServerConfig(
            credentials=[server.credential],
            client_auth=ClientAuth.required(server.bundles, authorize=rule, hints=hints),
            versions=["1.3"],
        ),
        ClientConfig(
            roots=client.bundles,
            credentials=[client.credential],
            check_name=False,
            authorize=rule,
            versions=["1.3"],
        ),
    )


def test_two_workloads_know_each_other_and_follow_a_rotation(api: WorkloadApi, identity: WorkloadIdentity) -> None:
    server, client = _configurations(identity, identity)
    before = connect(server, client)
    assert before.server.peer is not None
    assert str(before.server.peer.spiffe_id) == WEB

    # The roots of both, then an identity of the new one, then the new root alone: as SPIRE does it.
    roots = identity.bundles["example.org"]
    first = svid(OWN, WEB)
    next_version(roots, lambda: api.send(update(der(OWN, NEXT), first)))
    connect(server, client)
    second = svid(NEXT, WEB)
    next_version(identity.credential, lambda: api.send(update(der(OWN, NEXT), second)))
    after = connect(server, client)
    next_version(roots, lambda: api.send(update(der(NEXT), second)))
    connect(server, client)

    assert after.server.peer is not None
    assert after.server.peer.certificate.serial_number == second.certificate.serial_number
    before.check_connected()


def test_a_root_that_is_taken_away_is_trusted_no_more(api: WorkloadApi, identity: WorkloadIdentity) -> None:
    with running() as other:
        other.send(update(der(OWN), svid(OWN, WEB)))
        with WorkloadIdentity(other.endpoint, timeout=SECONDS) as old:
            told, client = _configurations(identity, old)
            untold, _ = _configurations(identity, old, hints=())
            connect(told, client)
            next_version(identity.bundles["example.org"], lambda: api.send(update(der(NEXT), svid(OWN, WEB))))

            # The session of before is not resumed. A client that is told the new root presents nothing.
            for server, problem in (
                (told, CertificateProblem.NONE_PRESENTED),
                (untold, CertificateProblem.UNKNOWN_ISSUER),
            ):
                check_refused(pair(server, client).run(), "server", CertificateRejected, problem)


def test_the_bundles_can_be_given_as_a_mapping_as_well(identity: WorkloadIdentity) -> None:
    leaf = identity.credential.current.certificate
    assert SpiffeBundles(identity.bundles).roots_for(leaf) is identity.bundles.roots_for(leaf)


# -- What goes wrong --------------------------------------------------------------------------------------------------


def test_updates_that_cannot_be_used_keep_what_there_was(
    api: WorkloadApi, identity: WorkloadIdentity, caplog: pytest.LogCaptureFixture
) -> None:
    credential, roots = identity.credential.current, identity.bundles["example.org"].current
    broken = update(der(OWN), svid(OWN, WEB))
    broken.svids[0].x509_svid_key = b"no key"
    foreign = update(der(OWN), svid(OWN, WEB))
    foreign.svids[0].x509_svid_key = svid(OWN, WEB).key.private_bytes(  # A key, but another certificate's.
        Encoding.DER, PrivateFormat.PKCS8, NoEncryption()
    )
    for message in (
        broken,
        foreign,
        update(der(OWN)),  # No identity.
        update(b"", svid(OWN, WEB)),  # Nobody to trust.
        update(b"no certificate", svid(OWN, WEB)),
        update(der(OWN), OWN.issue_client("no SVID")),
        update(svid(OWN, WEB).certificate.public_bytes(Encoding.DER), svid(OWN, WEB)),  # A root that is no CA.
        update(der(OWN), svid(OWN, WEB), federated={"spiffe://Bad Name": der(PARTNER)}),
    ):
        api.send(message)
        wait_until(lambda: identity.error is not None, "an error")
        assert identity.credential.current is credential
        assert identity.bundles["example.org"].current is roots
        good = svid(OWN, WEB)
        next_version(identity.credential, lambda good=good: api.send(update(der(OWN), good)))  # type: ignore[misc]
        assert identity.error is None
        credential = identity.credential.current
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) >= 8
    assert not any("PRIVATE" in record.getMessage() for record in warnings)


def test_a_stream_that_ends_is_followed_by_another(api: WorkloadApi, identity: WorkloadIdentity) -> None:
    for _ in range(3):
        api.break_off()
        next_version(identity.credential, lambda: api.send(update(der(OWN), svid(OWN, WEB))))
        assert identity.error is None


def test_an_agent_that_is_gone_keeps_the_identity_until_it_is_back(
    api: WorkloadApi, identity: WorkloadIdentity
) -> None:
    credential = identity.credential.current
    api.stop()
    wait_until(lambda: identity.error is not None, "an error")
    assert identity.credential.current is credential
    api.send(update(der(OWN), svid(OWN, WEB)))
    next_version(identity.credential, api.start)
    assert identity.error is None


def test_a_workload_that_is_registered_no_more_is_told_so(api: WorkloadApi, identity: WorkloadIdentity) -> None:
    credential = identity.credential.current
    api.refuse(grpc.StatusCode.PERMISSION_DENIED)
    wait_until(lambda: identity.error is not None, "an error")
    assert "no identity for this process: register it" in str(identity.error)
    assert identity.credential.current is credential
    next_version(identity.credential, lambda: api.send(update(der(OWN), svid(OWN, WEB))))


@pytest.mark.parametrize("status", [grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.CANCELLED])
def test_even_what_the_library_takes_for_final_is_tried_again(
    api: WorkloadApi, identity: WorkloadIdentity, status: grpc.StatusCode
) -> None:
    api.refuse(status)
    wait_until(lambda: identity.error is not None, "an error")
    next_version(identity.credential, lambda: api.send(update(der(OWN), svid(OWN, WEB))))


def test_the_first_identity_is_waited_for(api: WorkloadApi) -> None:
    api.stop()
    starter = threading.Timer(0.3, api.start)
    starter.start()
    with WorkloadIdentity(api.endpoint, timeout=SECONDS) as identity:
        assert str(identity.spiffe_id) == WEB
    starter.join()


def test_without_a_first_identity_there_is_none(api: WorkloadApi) -> None:
    api.refuse(grpc.StatusCode.PERMISSION_DENIED)
    with pytest.raises(ConfigError, match=r"within 0\.5 s: .*it has no identity for this process"):
        WorkloadIdentity(api.endpoint, timeout=0.5)
    with pytest.raises(ConfigError, match=r"within 0\.5 s: .*does not exist"):
        WorkloadIdentity("unix:///nowhere/agent.sock", timeout=0.5)


def test_it_must_be_said_where_the_agent_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPIFFE_ENDPOINT_SOCKET", raising=False)
    with pytest.raises(ConfigError, match="set SPIFFE_ENDPOINT_SOCKET"):
        WorkloadIdentity()
    with pytest.raises(ConfigError, match="only unix: sockets"):
        WorkloadIdentity("tcp://127.0.0.1:8000")
    with pytest.raises(ConfigError, match="no SPIFFE ID"):
        WorkloadIdentity("unix:///agent.sock", spiffe_id="http://example.org")


# -- The end ----------------------------------------------------------------------------------------------------------


def test_closing_ends_the_stream_and_its_threads(api: WorkloadApi) -> None:
    before = set(threading.enumerate())
    identity = WorkloadIdentity(api.endpoint, timeout=SECONDS)
    credential = identity.credential.current
    identity.close()
    identity.close()
    wait_until(lambda: not {one for one in threading.enumerate() if one not in before and _of_client(one)}, "their end")
    api.send(update(der(OWN), svid(OWN, WEB)))
    time.sleep(0.1)
    assert identity.credential.current is credential, "what came last stays"
    assert identity.error is None, "to be closed is no failure"


def _of_client(thread: threading.Thread) -> bool:
    return not thread.name.startswith("workload-api")


def test_closing_while_the_agent_is_gone_does_not_hang(api: WorkloadApi) -> None:
    identity = WorkloadIdentity(api.endpoint, timeout=SECONDS)
    api.stop()
    wait_until(lambda: identity.error is not None, "an error")
    started = time.monotonic()
    identity.close()
    assert time.monotonic() - started < 3


def test_a_program_that_does_not_close_it_ends_all_the_same(api: WorkloadApi) -> None:
    program = f"from trustls.spiffe import WorkloadIdentity; print(WorkloadIdentity({api.endpoint!r}).spiffe_id)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(["src", *sys.path])}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=20, env=environment, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{WEB}\n", "")


def test_the_missing_extra_is_named() -> None:
    program = "import sys; sys.modules['spiffe'] = None; import trustls.spiffe"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(["src", *sys.path])}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=20, env=environment, check=False
    )
    assert "pip install 'trustls[spiffe]'" in done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_in_a_forked_child_it_says_that_it_is_renewed_no_more(api: WorkloadApi, tmp_path: Path) -> None:
    # In a program of its own: gRPC's threads and fork are not for the test process.
    program = f"""
import os
from trustls.spiffe import WorkloadIdentity
identity = WorkloadIdentity({api.endpoint!r})
assert identity.error is None
if os.fork() == 0:
    print(identity.spiffe_id, identity.error, flush=True)
    identity.close()
    os._exit(0)
os.wait()
assert identity.error is None
identity.close()
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(["src", *sys.path])}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        capture_output=True, text=True, timeout=20, env=environment, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{WEB} this identity was made before the process was forked: make it after the fork\n"
