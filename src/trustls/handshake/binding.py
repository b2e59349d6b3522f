"""What a session is bound to: it is resumed under the configuration that made it, or not at all."""

from __future__ import annotations

import functools
import hashlib
import secrets
import weakref
from typing import Any, Final

from trustls.handshake.parameters import ClientParameters
from trustls.trust.client_auth import ClientAuth, ClientAuthMode
from trustls.trust.names import ServerName

_UNNAMED: Final[weakref.WeakKeyDictionary[Any, bytes]] = weakref.WeakKeyDictionary()


def server_binding(client_auth: ClientAuth) -> bytes:
    """Names whom a server believes: the same for all servers with the same mode and roots."""
    verifier = client_auth.verifier
    return _NOBODY if verifier is None else _hashed(client_auth.mode.value.encode(), _of_callback(verifier))


def client_binding(server_name: ServerName, client: ClientParameters) -> bytes:
    """Names the server, whom the client believes, and how it chooses who it is: a session never crosses identities."""
    chooser = client.choose_credential
    choice = b"" if chooser is None else _of_callback(chooser)
    own = [credential.leaf.sha256 for credential in client.current_credentials()]
    return _hashed(server_name.text.encode(), _of_callback(client.verifier), choice, *own)


def _of_callback(callback: object) -> bytes:
    """What a callback calls itself (`session_binding`), to be the same everywhere; else a name for this object."""
    named = getattr(callback, "session_binding", None)
    if isinstance(named, bytes):
        return named
    try:
        return _UNNAMED.setdefault(callback, secrets.token_bytes(16))
    except TypeError:
        return secrets.token_bytes(16)  # It cannot be remembered, so nothing under it is resumed.


# A configuration asks for the same again and again. What is kept is no secret.
@functools.lru_cache(maxsize=64)
def _hashed(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join([len(part).to_bytes(2, "big") + part for part in parts])).digest()


# Where no client certificate is asked for.
_NOBODY: Final = _hashed(ClientAuthMode.NONE.value.encode(), b"")
