"""A handshake in memory, and the server's end of it: what an application on that server may be told of."""

from __future__ import annotations

import trustls
from tests.support import identities


def shake_hands(client: trustls.ClientConnection, server: trustls.ServerConnection) -> trustls.ServerConnection:
    """Carry bytes both ways until nothing moves; the server, whose handshake is done."""
    moved = True
    while moved:
        there = client.data_to_send()
        server.receive(there)
        back = server.data_to_send()
        client.receive(back)
        moved = bool(there or back)
    assert not server.handshaking, "the handshake is not done"
    return server


def served(
    client: trustls.ClientConfig | None = None, server: trustls.ServerConfig | None = None
) -> trustls.ServerConnection:
    """The server's end of a fresh connection. By default the client is "alice", whose certificate is required."""
    client = client or identities.client_config(credentials=[identities.client_credential()])
    server = server or identities.server_config(client_auth=identities.required())
    return shake_hands(trustls.ClientConnection(client, "localhost"), trustls.ServerConnection(server))
