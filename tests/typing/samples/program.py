"""A user's program. `assert_type` says what a type checker, and so an editor, knows of each value."""

from __future__ import annotations

import asyncio
import ssl
from typing import assert_type

import trustls
from trustls import aio, stdlib


def client_config(pem: str) -> trustls.ClientConfig:
    return trustls.ClientConfig(
        roots=trustls.RootCertStore.from_pem(pem),
        credentials=[trustls.Credential.from_pem(chain=pem, key=pem, password="secret")],
        alpn=["h2", "http/1.1"],
        versions=["1.3"],
        sessions=None,
    )


def server_config(pem: str) -> trustls.ServerConfig:
    rule = trustls.Authorize.dns("client.example") | trustls.Authorize.email("alice@example.com")
    assert_type(rule, trustls.Authorize)
    return trustls.ServerConfig(
        credentials=[trustls.Credential.reloading(chain=pem, key=pem)],
        client_auth=trustls.ClientAuth.required(
            trustls.RootCertStore.from_pem(pem), hints=["CN=Our CA"], authorize=rule
        ),
        choose_config=trustls.ServerNames({}, refuse_others=True),
        resumption=trustls.StoredSessions(),
    )


def talk(config: trustls.ClientConfig) -> bytes:
    with trustls.connect(("server.example", 443), config, timeout=5) as tls:
        assert_type(tls, trustls.TLSSocket[trustls.ClientConnection])
        tls.sendall(b"hello")
        assert_type(tls.connection.requested, trustls.CredentialRequest | None)
        assert_type(tls.connection.info.version, trustls.ProtocolVersion)
        assert_type(tls.connection.info.alpn, str | None)
        return tls.recv(4096)


def serve(config: trustls.ServerConfig) -> None:
    with trustls.Listener(("127.0.0.1", 0), config) as listener:
        for tls in listener:
            assert_type(tls, trustls.TLSSocket[trustls.ServerConnection])
            peer = tls.handshake().connection.peer
            assert_type(peer, trustls.Peer | None)
            if peer is not None:
                assert_type(peer.names.dns, tuple[str, ...])
                assert_type(peer.certificate, trustls.Certificate)


async def converse(config: trustls.ClientConfig) -> bytes:
    reader, writer = await aio.open_connection("server.example", 443, config)
    assert_type(reader, asyncio.StreamReader)
    assert_type(writer, asyncio.StreamWriter)
    writer.write(b"hello")
    await writer.drain()
    return await reader.read(4096)


def for_a_library(client: trustls.ClientConfig, server: trustls.ServerConfig) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    assert_type(client.ssl_context(), stdlib.SSLContext)
    return client.ssl_context(), server.ssl_context()


def without_io(config: trustls.ClientConfig, received: bytearray) -> bytes:
    connection = trustls.ClientConnection(config, "server.example")
    assert_type(connection.receive(received), bytes)
    assert_type(connection.data_to_send(), bytes)
    assert_type(connection.export("EXPORTER-mine", 32), bytes)
    return connection.data_to_send(65536)


def explained(error: trustls.TLSError) -> str:
    if isinstance(error, trustls.CertificateRejected):
        assert_type(error.reason, trustls.CertificateProblem)
        return error.remedy
    if isinstance(error, trustls.PeerMisbehaved):
        assert_type(error.reason, trustls.Misbehaviour)
    assert_type(error.alert, trustls.AlertDescription | None)
    return str(error)


class RemoteSigner:
    """A signer of one's own, for a key that is elsewhere: no base class is needed."""

    schemes = (trustls.SignatureScheme.ECDSA_SECP256R1_SHA256,)

    async def sign(self, scheme: trustls.SignatureScheme, message: bytes) -> bytes:
        await asyncio.sleep(0)
        return bytes(scheme) + message


class Pinned:
    """A verifier of one's own."""

    def __init__(self, sha256: bytes) -> None:
        self.sha256 = sha256

    def verify_server(
        self,
        chain: tuple[trustls.Certificate, ...],
        server_name: trustls.ServerName,
        *,
        now: float,
        ocsp_response: bytes = b"",
    ) -> trustls.Peer:
        if chain[0].sha256 != self.sha256:
            raise trustls.CertificateRejected(trustls.CertificateProblem.REFUSED, f"{server_name} has another")
        return trustls.Peer(chain)


def with_ones_own(chain: list[trustls.Certificate]) -> trustls.ClientConfig:
    signer: trustls.Signer = RemoteSigner()
    verifier: trustls.ServerVerifier = Pinned(b"\0" * 32)
    return trustls.ClientConfig(verifier=verifier, credentials=[trustls.Credential(chain, signer=signer)])
