"""Handshakes with keys in SoftHSM: as a server to OpenSSL and curl, and as a client to OpenSSL."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

import trustls
from tests.support.commands import SClient, SServer
from tests.support.loops import run_in_loop
from tests.support.pki import KEY_TYPES, PKI
from tests.support.processes import SECONDS, Argument, run
from tests.support.servers import ServerSocket, ThreadedServer
from tests.support.softhsm import SoftHSM, softhsm
from trustls import aio
from trustls.cli.pki import KeyType
from trustls.errors import SigningFailed

EACH_KEY = pytest.mark.parametrize("key_type", KEY_TYPES)
VERSIONS = pytest.mark.parametrize("version", ["1.3", "1.2"])


@pytest.fixture(scope="module")
def hsm(pki: PKI) -> SoftHSM:
    """With a key of each kind for servers and for clients, and their chains."""
    made = softhsm()
    for number, key_type in enumerate(KEY_TYPES, 1):
        made.put("servers", pki.server_with(key_type).issued, key_type, bytes([number]))
        made.put("clients", pki.client_with(key_type).issued, key_type, bytes([number]))
    return made


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """Closes signers."""
    with ExitStack() as made:
        yield made


def credential(hsm: SoftHSM, token: str, key_type: KeyType, stack: ExitStack) -> trustls.Credential:
    """A key on a token, with the chain that lies beside it."""
    signer = stack.enter_context(hsm.signer(token, key_type))
    return trustls.Credential(chain=signer.certificates(), signer=signer)


def s_client_option(version: str) -> str:
    return "-tls" + version.replace(".", "_")


def answer(tls: ServerSocket) -> None:
    """Answer one HTTP request."""
    request = b""
    while b"\r\n\r\n" not in request:
        part = tls.recv()
        if not part:
            return
        request += part
    tls.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nConnection: close\r\n\r\nfrom HSM\n")


# -- The server's key -------------------------------------------------------------------------------------------------


@EACH_KEY
@VERSIONS
def test_s_client_verifies_a_server_whose_key_is_in_the_hsm(
    key_type: KeyType, version: str, openssl: str, pki: PKI, hsm: SoftHSM, stack: ExitStack
) -> None:
    config = trustls.ServerConfig(credentials=[credential(hsm, "servers", key_type, stack)])
    with (
        ThreadedServer(config) as server,
        SClient(openssl, pki, server.port, s_client_option(version)) as client,
    ):
        kind, spoken, _suite = client.established()
        client.ask("hello")
        client.quit()
        assert (kind, spoken) == ("New", f"TLSv{version}")
        assert "Verification: OK" in client.output, "the chain from the token is not the whole one"
        assert server.outcome().error is None


@pytest.mark.parametrize(
    ("key_type", "algorithm", "version", "said"),
    [
        (KeyType.RSA_2048, "RSA+SHA256", "1.2", ("SHA256", "RSA")),
        (KeyType.RSA_2048, "RSA+SHA512", "1.2", ("SHA512", "RSA")),
        (KeyType.RSA_2048, "RSA-PSS+SHA384", "1.2", ("SHA384", "RSA-PSS")),
        (KeyType.RSA_2048, "RSA-PSS+SHA512", "1.3", ("SHA512", "RSA-PSS")),
        (KeyType.EC_P256, "ECDSA+SHA512", "1.2", ("SHA512", "ECDSA")),
        (KeyType.EC_P384, "ECDSA+SHA256", "1.2", ("SHA256", "ECDSA")),
        (KeyType.EC_P521, "ECDSA+SHA384", "1.2", ("SHA384", "ECDSA")),
    ],
)
def test_openssl_verifies_each_scheme_that_it_asks_for(
    key_type: KeyType,
    algorithm: str,
    version: str,
    said: tuple[str, str],
    openssl: str,
    pki: PKI,
    hsm: SoftHSM,
    stack: ExitStack,
) -> None:
    config = trustls.ServerConfig(credentials=[credential(hsm, "servers", key_type, stack)])
    with (
        ThreadedServer(config) as server,
        SClient(openssl, pki, server.port, s_client_option(version), "-sigalgs", algorithm) as client,
    ):
        client.wait_for(f"^Peer signing digest: {said[0]}\n")
        client.wait_for(f"^Peer signature type: {said[1]}\n")
        client.ask("hello")
        client.quit()
        assert server.outcome().error is None


@VERSIONS
def test_curl_fetches_a_page_over_mutual_tls(version: str, curl: str, pki: PKI, hsm: SoftHSM, stack: ExitStack) -> None:
    config = trustls.ServerConfig(
        credentials=[credential(hsm, "servers", KeyType.RSA_2048, stack)], client_auth=pki.required(), alpn=["http/1.1"]
    )
    with ThreadedServer(config, answer) as server:
        result = run(
            [
                *(curl, "-sS", "--noproxy", "*", "--max-time", "10", "--resolve", f"localhost:{server.port}:127.0.0.1"),
                *(f"--tlsv{version}", "--tls-max", version, "--cacert", pki.server_root_file),
                *("--cert", pki.alice.chain_file, "--key", pki.alice.key_file, f"https://localhost:{server.port}/"),
            ]
        )
        outcome = server.outcome()
    assert (result.returncode, result.stdout) == (0, "from HSM\n"), result.stderr
    assert outcome.peer.subject == "CN=alice"


def test_server_serves_many_clients_at_once_and_survives_a_reset_of_the_device(
    pki: PKI, hsm: SoftHSM, stack: ExitStack
) -> None:
    config = trustls.ServerConfig(credentials=[credential(hsm, "servers", KeyType.EC_P256, stack)])
    client = trustls.ClientConfig(roots=pki.server_roots)

    def visit(number: int) -> bytes:
        with trustls.connect((server.address[0], server.port), client, server_name="localhost", timeout=SECONDS) as tls:
            tls.sendall(b"%d" % number)
            return tls.recv()

    with ThreadedServer(config) as server, ThreadPoolExecutor(6) as pool:
        for _ in range(3):
            assert list(pool.map(visit, range(12))) == [b"%d" % number for number in range(12)]
            hsm.close_all_sessions("servers")


def test_client_is_told_of_an_internal_error_when_the_key_is_gone(openssl: str, pki: PKI, hsm: SoftHSM) -> None:
    signer = hsm.signer("servers", KeyType.EC_P256)
    config = trustls.ServerConfig(credentials=[trustls.Credential(chain=signer.certificates(), signer=signer)])
    signer.close()
    with ThreadedServer(config) as server, SClient(openssl, pki, server.port) as client:
        client.wait_for("alert internal error.*alert number 80")
        error = server.outcome().error
    assert isinstance(error, SigningFailed), f"the server saw {error!r}"
    assert "is closed" in str(error)


# -- The client's key -------------------------------------------------------------------------------------------------


@EACH_KEY
@VERSIONS
def test_s_server_verifies_a_client_whose_key_is_in_the_hsm(
    key_type: KeyType, version: str, openssl: str, pki: PKI, hsm: SoftHSM, stack: ExitStack
) -> None:
    own = credential(hsm, "clients", key_type, stack)
    config = trustls.ClientConfig(roots=pki.server_roots, credentials=[own])
    asking: list[Argument] = ["-Verify", "3", "-verify_return_error", "-CAfile", pki.client_cas_file]
    with (
        SServer(openssl, pki.server, s_client_option(version), *asking) as server,
        trustls.connect(("127.0.0.1", server.port), config, server_name="localhost", timeout=SECONDS) as tls,
    ):
        assert tls.connection.info.credential is own
        subject = server.wait_for(r"^subject=CN ?= ?(.*)\n")[1].decode()
        tls.sendall(b"hello\n")
        server.wait_for("hello\n")
    assert subject == f"client-{key_type}", "s_server saw another certificate"


def test_client_presents_the_one_of_several_keys_that_is_asked_for(
    openssl: str, pki: PKI, hsm: SoftHSM, stack: ExitStack
) -> None:
    held = [credential(hsm, "clients", kind, stack) for kind in (KeyType.RSA_2048, KeyType.EC_P384, KeyType.ED25519)]
    config = trustls.ClientConfig(roots=pki.server_roots, credentials=held)
    asking: list[Argument] = [
        "-Verify",
        "3",
        "-CAfile",
        pki.client_cas_file,
        "-client_sigalgs",
        "ecdsa_secp384r1_sha384:ECDSA+SHA256",
    ]
    with (
        SServer(openssl, pki.server, "-tls1_3", *asking) as server,
        trustls.connect(("127.0.0.1", server.port), config, server_name="localhost", timeout=SECONDS) as tls,
    ):
        assert tls.connection.info.credential is held[1]
        tls.sendall(b"hello\n")
        server.wait_for("hello\n")


# -- asyncio ----------------------------------------------------------------------------------------------------------


def test_asyncio_server_signs_in_threads(pki: PKI, hsm: SoftHSM, stack: ExitStack) -> None:
    signer = stack.enter_context(hsm.signer("servers", KeyType.RSA_2048))
    executor = stack.enter_context(ThreadPoolExecutor(2))
    own = trustls.Credential(chain=signer.certificates(), signer=aio.SignerInThread(signer, executor))
    server_config = trustls.ServerConfig(credentials=[own])
    client_config = trustls.ClientConfig(roots=pki.server_roots)

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readexactly(5))
        writer.close()

    async def visit(port: int) -> bytes:
        reader, writer = await aio.open_connection("127.0.0.1", port, client_config, server_name="localhost")
        writer.write(b"hello")
        got = await reader.read()
        writer.close()
        await writer.wait_closed()
        return got

    async def main() -> list[bytes]:
        server = await aio.start_server(greet, "127.0.0.1", 0, server_config)
        async with server:
            port = server.sockets[0].getsockname()[1]
            return await asyncio.gather(*(visit(port) for _ in range(10)))

    assert run_in_loop(main) == [b"hello"] * 10
