"""The whole face of `ssl.SSLContext`, `SSLObject` and `SSLSocket` is trustls's own, or inherited for a reason."""

from __future__ import annotations

import inspect
import socket
import ssl
from typing import Any, Final

import pytest

from tests.stdlib.pairs import BIOPair, our_client, our_server
from trustls.stdlib import SSLContext, SSLObject, SSLSocket

# What is inherited, and why that is right. Whatever a new Python adds fails the test until somebody has thought of it.
INHERITED: Final[dict[type, dict[str, str]]] = {
    SSLContext: {},
    SSLObject: {},
    SSLSocket: {
        # These ask `_sslobj`, which is trustls's, and refuse while there is TLS.
        "sendto": "refuses while there is TLS",
        "recvmsg": "refuses always",
        "recvmsg_into": "refuses always",
        "sendmsg": "refuses always",
        "dup": "refuses always",
        "accept": "wraps what it accepts by the context's wrap_socket",
        "family": "the socket's",
        "type": "the socket's",
        "proto": "the socket's",
        "timeout": "the socket's",
        "bind": "the socket's",
        "listen": "the socket's",
        "close": "the socket's: calls _real_close, which is trustls's",
        "makefile": "the socket's: reads by recv_into, writes by send",
        "fileno": "the socket's",
        "getpeername": "the socket's",
        "getsockname": "the socket's",
        "getsockopt": "the socket's",
        "setsockopt": "the socket's",
        "getblocking": "the socket's",
        "setblocking": "the socket's: every operation asks for it",
        "gettimeout": "the socket's",
        "settimeout": "the socket's: every operation asks for it",
        "get_inheritable": "the socket's",
        "set_inheritable": "the socket's",
        "share": "Windows: the socket's",
        "ioctl": "Windows: the socket's",
        "sendmsg_afalg": "AF_ALG sockets only, which are no stream",
        "send_fds": "Unix descriptors: by sendmsg, which refuses",
        "recv_fds": "Unix descriptors: by recvmsg, which refuses",
    },
}


def _public(kind: type) -> set[str]:
    return {name for name in dir(kind) if not name.startswith("_")}


@pytest.mark.parametrize(
    ("ours", "theirs"), [(SSLContext, ssl.SSLContext), (SSLObject, ssl.SSLObject), (SSLSocket, ssl.SSLSocket)]
)
def test_every_public_attribute_is_overridden_or_inherited_for_a_reason(ours: type, theirs: type) -> None:
    inherited = {
        name for name in _public(theirs) if inspect.getattr_static(ours, name) is inspect.getattr_static(theirs, name)
    }
    unexplained = inherited - set(INHERITED[ours])
    assert not unexplained, f"{ours.__name__} leaves these to OpenSSL: {sorted(unexplained)}"
    overridden = set(INHERITED[ours]) & _public(theirs) - inherited
    assert not overridden, f"{sorted(overridden)} are said to be inherited, and are not"


@pytest.mark.parametrize(
    ("ours", "theirs"), [(SSLContext, ssl.SSLContext), (SSLObject, ssl.SSLObject), (SSLSocket, ssl.SSLSocket)]
)
def test_methods_take_what_those_of_ssl_take(ours: Any, theirs: Any) -> None:
    for name in sorted(_public(theirs) - set(INHERITED[ours])):
        original, own = inspect.getattr_static(theirs, name), inspect.getattr_static(ours, name)
        if not inspect.isroutine(original) or isinstance(original, staticmethod | classmethod):
            continue
        try:
            expected = inspect.signature(original).parameters
        except ValueError:  # Written in C, without a signature.
            continue
        taken = inspect.signature(own).parameters
        for position, (parameter, wanted) in enumerate(expected.items()):
            if wanted.kind in {wanted.VAR_POSITIONAL, wanted.VAR_KEYWORD, wanted.POSITIONAL_ONLY}:
                continue
            assert parameter in taken, f"{ours.__name__}.{name}() does not take {parameter!r}"
            if wanted.kind is wanted.POSITIONAL_OR_KEYWORD:
                assert list(taken)[position] == parameter, f"{ours.__name__}.{name}(): {parameter!r} stands elsewhere"
            if wanted.default is not wanted.empty:
                assert taken[parameter].default is not wanted.empty, f"{ours.__name__}.{name}({parameter}=...)"


def test_objects_pass_for_those_of_ssl() -> None:
    context = our_client()
    pair = BIOPair.of(context, our_server()).handshake()
    assert isinstance(context, ssl.SSLContext)
    assert isinstance(pair.client, ssl.SSLObject)
    with socket.socket() as raw, context.wrap_socket(raw, server_hostname="localhost") as tls:
        assert isinstance(tls, ssl.SSLSocket)
        assert isinstance(tls, socket.socket)


def test_openssls_own_connection_cannot_be_reached() -> None:
    """`ssl` makes its objects by these: they would speak through an OpenSSL that knows nothing of the configuration."""
    context: Any = our_client()
    their_object: Any = ssl.SSLObject
    with pytest.raises(NotImplementedError):
        their_object._create(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="localhost", context=context)
    with socket.socket() as raw, pytest.raises(NotImplementedError):
        context._wrap_socket(raw, False, "localhost", owner=None)
    with pytest.raises(NotImplementedError):
        context._wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), False, "localhost")


def test_every_attribute_can_be_asked_for() -> None:
    """As debuggers and `inspect.getmembers` do: nothing fails but what says that it cannot be told."""
    for context in (our_client(), our_server()):
        for name in _public(ssl.SSLContext):
            getattr(context, name)
    pair = BIOPair.of(our_client(), our_server())
    for name in _public(ssl.SSLObject):
        getattr(pair.client, name)
