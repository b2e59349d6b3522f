"""A Workload API that says what a test wants: a gRPC server on a Unix socket, made of the client library's own stubs.

It is no second implementation: an error in the library's messages would be in these as well. That the whole works with
an agent that others have written is shown in test_spire.py, where SPIRE is installed.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import grpc
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID
from spiffe._proto import workload_pb2, workload_pb2_grpc

from trustls.cli.pki import Authority, Issued

_BOTH = (ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH)


def svid(authority: Authority, spiffe_id: str) -> Issued:
    """An X509-SVID: a certificate for client and server, with one URI."""
    return authority.issue_client("workload", uris=[spiffe_id], usages=_BOTH)


def der(*authorities: Authority) -> bytes:
    """A bundle as it is sent: certificates in DER, one behind the other."""
    return b"".join(authority.certificate.public_bytes(Encoding.DER) for authority in authorities)


def update(
    bundle: bytes, *svids: Issued, federated: Mapping[str, bytes] | None = None
) -> workload_pb2.X509SVIDResponse:
    """The message that gives these identities, and the roots of their trust domain and of others."""
    return workload_pb2.X509SVIDResponse(
        svids=[
            workload_pb2.X509SVID(
                x509_svid=b"".join(certificate.public_bytes(Encoding.DER) for certificate in issued.chain),
                x509_svid_key=issued.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()),
                bundle=bundle,
            )
            for issued in svids
        ],
        federated_bundles=federated or {},
    )


class WorkloadApi:
    """An agent: it may send any message, refuse, break off, and be gone and come back on the same socket."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "agent.sock"
        self._changed = threading.Condition()
        self._message: Any = None
        self._refusal: grpc.StatusCode | None = None
        self._era = 0
        self._server: grpc.Server | None = None
        self.streams = 0
        self.start()

    @property
    def endpoint(self) -> str:
        return f"unix://{self._path}"

    def send(self, message: object) -> None:
        """What all streams get now, and new ones at first."""
        with self._changed:
            self._message, self._refusal = message, None
            self._changed.notify_all()

    def refuse(self, status: grpc.StatusCode) -> None:
        """End all streams with this status, and new ones at once."""
        with self._changed:
            self._refusal = status
            self._changed.notify_all()

    def break_off(self) -> None:
        """End all streams as if that were all."""
        with self._changed:
            self._era += 1
            self._changed.notify_all()

    def start(self) -> None:
        self._server = grpc.server(ThreadPoolExecutor(8, thread_name_prefix="workload-api"))
        workload_pb2_grpc.add_SpiffeWorkloadAPIServicer_to_server(  # type: ignore[no-untyped-call]
            _Servicer(self), self._server
        )
        self._server.add_insecure_port(self.endpoint)
        self._server.start()

    def stop(self) -> None:
        self.break_off()
        if self._server is not None:
            self._server.stop(0).wait(5)
            self._server = None
        self._path.unlink(missing_ok=True)

    def stream(self, context: grpc.ServicerContext) -> Iterator[workload_pb2.X509SVIDResponse]:
        # SPIFFE Workload API 5: without this header it must not answer, against requests made through a confused proxy.
        if ("workload.spiffe.io", "true") not in context.invocation_metadata():
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "security header missing from request")
        self.streams += 1
        era, sent = self._era, None
        while context.is_active():
            with self._changed:
                if self._refusal is None and self._era == era and self._message is sent:
                    self._changed.wait(0.5)
                message, refusal, ended = self._message, self._refusal, self._era != era
            if refusal is not None:
                context.abort(refusal, "refused by the test")
            if ended:
                return
            if message is not sent:
                sent = message
                yield message


class _Servicer(workload_pb2_grpc.SpiffeWorkloadAPIServicer):
    def __init__(self, api: WorkloadApi) -> None:
        self._api = api

    def FetchX509SVID(self, request: object, context: grpc.ServicerContext) -> Any:  # noqa: N802  # gRPC's name
        return self._api.stream(context)


@contextlib.contextmanager
def running() -> Iterator[WorkloadApi]:
    """An agent, until the end of the block."""
    # Not pytest's folder: the path of a Unix socket has 107 bytes.
    with TemporaryDirectory(prefix="spiffe-") as folder:
        api = WorkloadApi(Path(folder))
        try:
            yield api
        finally:
            api.stop()
