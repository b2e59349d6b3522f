"""A stapled OCSP response travels from the server's credential to the client's verifier, when it is asked for."""

from __future__ import annotations

import pytest

import trustls
from tests.support.identities import server_identity, server_root
from tests.support.revoking import ocsp_response

STAPLE = ocsp_response(server_identity(), server_root())


class Recorder:
    """A verifier that keeps what was stapled."""

    def __init__(self) -> None:
        self.stapled: list[bytes] = []

    def verify_server(
        self,
        chain: tuple[trustls.Certificate, ...],
        server_name: trustls.ServerName,
        *,
        now: float,
        ocsp_response: bytes,
    ) -> trustls.Peer:
        self.stapled.append(ocsp_response)
        return trustls.Peer(chain)


def stapled_to(version: str, *, asked: bool, staple: bytes | None) -> list[bytes]:
    issued = server_identity()
    credential = trustls.Credential(issued.chain, issued.key, ocsp_response=staple)
    verifier = Recorder()
    server = trustls.ServerConnection(trustls.ServerConfig(credentials=[credential], versions=[version]))
    config = trustls.ClientConfig(verifier=verifier, ocsp="stapled" if asked else "off", sessions=None)
    client = trustls.ClientConnection(config, "localhost")
    for _ in range(3):
        server.receive(client.data_to_send())
        client.receive(server.data_to_send())
    assert not client.handshaking, "the client's handshake did not finish"
    assert not server.handshaking, "the server's handshake did not finish"
    assert str(client.info.version) == f"TLSv{version}"
    return verifier.stapled


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_staple_reaches_the_verifier_of_a_client_that_asks(version: str) -> None:
    assert stapled_to(version, asked=True, staple=STAPLE) == [STAPLE]


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_staple_is_not_sent_to_a_client_that_does_not_ask(version: str) -> None:
    assert stapled_to(version, asked=False, staple=STAPLE) == [b""]


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_server_without_a_staple_is_taken_as_it_is(version: str) -> None:
    assert stapled_to(version, asked=True, staple=None) == [b""]
