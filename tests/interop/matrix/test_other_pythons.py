"""Python's `ssl` in other versions than the one that runs the tests: from 3.13 on it verifies more strictly."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import trustls
from tests.interop.matrix import talking
from tests.interop.matrix.adapters_managed import build_python
from tests.interop.matrix.resident import RunningPeer
from tests.support.pki import PKI
from tests.support.servers import SECONDS, ThreadedServer

VERSIONS = pytest.mark.parametrize("version", ["1.2", "1.3"])


def _other_pythons() -> Iterator[Path]:
    """One of each minor version that can run trustls, where distributions and pyenv put them."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")
    folders = [Path("/usr/bin"), Path("/usr/local/bin"), *sorted(pyenv.glob("3.*/bin"))]
    for minor in sorted({*range(11, 20)} - {sys.version_info.minor}):
        found = [folder / f"python3.{minor}" for folder in folders]
        yield from [path for path in found if path.is_file()][:1]


@pytest.fixture(scope="module", params=[pytest.param(path, id=path.name) for path in _other_pythons()])
def other_python(request: pytest.FixtureRequest) -> Iterator[RunningPeer]:
    with RunningPeer("pyssl", build_python("pyssl", str(request.param))) as running:
        yield running


@VERSIONS
def test_mutual_tls_and_resumption_with_a_python_that_serves(other_python: RunningPeer, pki: PKI, version: str) -> None:
    job = other_python.server(
        pki.server, client_ca=pki.client_cas_file, client_auth="required", versions=(version,), connections=2
    )
    port = job.port()
    config = trustls.ClientConfig(roots=pki.server_roots, credentials=[pki.alice.credential], versions=[version])
    for resumed in (False, True):
        with trustls.connect(("127.0.0.1", port), config, server_name="localhost", timeout=SECONDS) as tls:
            talking.echo(tls, 1 << 20)
            talking.bye(tls)
            info = tls.connection.info
        theirs = job.handshake()
        assert job.end() is None, f"{other_python.version} says"
        assert theirs.peer == pki.alice.certificate.der
        assert (info.resumed, theirs.resumed) == (resumed, resumed)


@VERSIONS
def test_mutual_tls_and_resumption_with_a_python_that_connects(
    other_python: RunningPeer, pki: PKI, version: str
) -> None:
    config = trustls.ServerConfig(credentials=[pki.server.credential], client_auth=pki.required(), versions=[version])
    with ThreadedServer(config, talking.obey) as server:
        job = other_python.client(
            server.port,
            pki.server_root_file,
            pki.alice,
            versions=(version,),
            connections=2,
            do=(f"echo:{1 << 20}", "bye"),
        )
        for resumed in (False, True):
            theirs = job.handshake()
            assert job.end() is None, f"{other_python.version} says"
            outcome = server.outcome()
            assert outcome.peer.certificate == pki.alice.certificate
            assert (outcome.connection.info.resumed, theirs.resumed) == (resumed, resumed)


def test_a_python_refuses_what_it_should(other_python: RunningPeer, pki: PKI) -> None:
    config = trustls.ServerConfig(credentials=[pki.server_of_other.credential])
    with ThreadedServer(config, talking.obey) as server:
        job = other_python.client(server.port, pki.server_root_file)
        assert "CERTIFICATE_VERIFY_FAILED" in job.failure()
        assert isinstance(server.outcome().error, trustls.AlertReceived)
