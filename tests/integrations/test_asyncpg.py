"""asyncpg against a PostgreSQL that lets clients in by their certificates: docs/integrations/asyncpg.md."""

from __future__ import annotations

import ssl
from collections.abc import Iterator

import pytest

import trustls
from tests.integrations import daemons, recipes
from tests.integrations.mutual import (
    UNKNOWN_CA,
    Files,
    Handshakes,
    check_refused,
    client_config,
    config_of_stranger,
    config_without_certificate,
    skip_without,
)
from tests.peers import require_peer
from tests.support.loops import run_in_loop

asyncpg = skip_without("asyncpg")
recipe = recipes.load("asyncpg")


@pytest.fixture(scope="module")
def port(files: Files) -> Iterator[int]:
    with daemons.postgresql(require_peer, files) as port:
        yield port


def test_queries_go_over_mutual_tls_with_the_certificate_of_the_hints(port: int, handshakes: Handshakes) -> None:
    async def main() -> tuple[str, bool, int]:
        connection = await recipe.connect(client_config(), "localhost", port, "postgres", "postgres")
        try:
            known = await connection.fetchrow("SELECT * FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
            large = await connection.fetchval("SELECT repeat($1, 100000)", "0123456789")
            length = await connection.fetchval("SELECT length($1)", "x" * 3_000_000)
            return known["client_dn"], large == "0123456789" * 100_000, length
        finally:
            await connection.close()

    assert run_in_loop(main) == ("/CN=alice of the second", True, 3_000_000)
    handshakes.check_clients()


def test_a_pool_of_connections_works(port: int, handshakes: Handshakes) -> None:
    async def main() -> list[int]:
        async with await recipe.pool(client_config(), "localhost", port, "postgres", "postgres") as pool:
            return [await pool.fetchval("SELECT $1::int", number) for number in range(3)]

    assert run_in_loop(main) == [0, 1, 2]
    handshakes.check_clients(None)


def _refusal(config: trustls.ClientConfig, port: int) -> Exception:
    async def main() -> Exception:
        with pytest.raises((asyncpg.PostgresError, OSError)) as refused:
            await recipe.connect(config, "localhost", port, "postgres", "postgres")
        error: Exception = refused.value
        return error

    return run_in_loop(main)


def test_a_client_without_a_certificate_is_refused_in_words(port: int) -> None:
    refused = _refusal(config_without_certificate(), port)
    assert isinstance(refused, asyncpg.InvalidAuthorizationSpecificationError)
    assert "requires a valid client certificate" in str(refused)


def test_a_client_of_another_ca_is_refused_in_words(port: int) -> None:
    check_refused(_refusal(config_of_stranger(), port), UNKNOWN_CA)


def test_a_server_of_another_ca_is_refused(port: int) -> None:
    from tests.integrations.mutual import first_root, roots

    refused = _refusal(client_config(roots=roots(first_root())), port)
    assert isinstance(refused, ssl.SSLCertVerificationError)
    assert isinstance(refused, trustls.CertificateRejected)
