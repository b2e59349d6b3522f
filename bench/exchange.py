"""What is timed in memory: one handshake, and application data sealed on one side and opened on the other."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter as clock
from time import thread_time as processor_time

from bench.peers.endpoint import Endpoint, Factory, Peer

Sides = tuple[float, float]
"""Seconds spent on the client's and on the server's side, or on sealing and on opening."""

_MOST_TURNS = 4


def check_refused(what: str, new_client: Factory, new_server: Factory, refusals: tuple[type[Exception], ...]) -> None:
    """Raise unless this handshake fails."""
    try:
        client, server = new_client(), new_server()
        data = b""
        for _ in range(_MOST_TURNS):
            data = server.step(client.step(data))
    except refusals:
        return
    raise RuntimeError(what)


def handshake(new_client: Factory, new_server: Factory) -> Sides:
    """One handshake, from making both connections to freeing them, with the tickets that follow it.

    In processor time: what other processes take meanwhile is not in it.
    """
    t0 = processor_time()
    client = new_client()
    t1 = processor_time()
    server = new_server()
    t2 = processor_time()
    client_time, server_time = t1 - t0, t2 - t1
    data = b""
    turns = 0
    while not (client.done and server.done):
        if turns == _MOST_TURNS:
            raise RuntimeError("the handshake does not come to an end")
        turns += 1
        t0 = processor_time()
        data = client.step(data)
        t1 = processor_time()
        if not (client.done and server.done):
            data = server.step(data)
        t2 = processor_time()
        client_time += t1 - t0
        server_time += t2 - t1
    t0 = processor_time()
    client.rest(data)
    del client
    t1 = processor_time()
    del server
    t2 = processor_time()
    return client_time + t1 - t0, server_time + t2 - t1


def connected(client_peer: Peer, server_peer: Peer) -> tuple[Endpoint, Endpoint]:
    """Both sides after their handshake, with nothing in flight."""
    client, server = client_peer.new_client(), server_peer.server()
    data = b""
    for _ in range(_MOST_TURNS):
        data = client.step(data)
        if client.done and server.done:
            break
        data = server.step(data)
        if client.done and server.done:
            break
    else:
        raise RuntimeError(f"{client_peer.name} and {server_peer.name} do not get through their handshake")
    client.rest(data)
    return client, server


def moved(sender: Endpoint, receiver: Endpoint, size: int, writes: int) -> Callable[[], Sides]:
    """A case: `writes` writes of `size` bytes, each opened at once, as a network would carry them; the time of one.

    The sum is processor time; how sealing and opening share it is told by the clock, which is cheaper to ask.
    """
    data = bytes(size)
    write, read = sender.write, receiver.read

    def run() -> Sides:
        sealing = opening = 0.0
        taken = 0
        start = processor_time()
        for _ in range(writes):
            t0 = clock()
            records = write(data)
            t1 = clock()
            taken += read(records, size)
            sealing += t1 - t0
            opening += clock() - t1
        each = (processor_time() - start) / writes
        if taken != size * writes:
            raise RuntimeError(f"{taken} bytes came out, not {size * writes}")
        return each * sealing / (sealing + opening), each * opening / (sealing + opening)

    return run
