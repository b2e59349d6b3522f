"""Configured: the configuration that a context stands for, and how it changes: for everybody, or for one task alone."""

from __future__ import annotations

import contextvars
import dataclasses
import ssl
import threading
import weakref
from typing import Any, NoReturn

from trustls.config import ClientConfig, ServerConfig
from trustls.errors import ConfigError
from trustls.wire.enums import ProtocolVersion

Config = ClientConfig | ServerConfig

# What a task or thread has set on contexts that are in use: theirs alone. WeakKeyDictionary keeps no context alive.
_OWN: contextvars.ContextVar[weakref.WeakKeyDictionary[Configured, Config] | None] = contextvars.ContextVar(
    "trustls_ssl_settings", default=None
)


class Configured(ssl.SSLContext):
    """An `ssl.SSLContext` with a configuration of trustls. What it tells, changes and refuses is in its subclasses."""

    _config: Config  # For whoever has changed nothing for himself.
    _used: bool
    _lock: threading.Lock

    @property
    def config(self) -> Config:
        """The configuration of the next connection that this thread or task makes."""
        own = _OWN.get()
        return self._config if own is None else own.get(self, self._config)

    @property
    def is_server(self) -> bool:
        """Whether it is made of a ServerConfig."""
        return isinstance(self._config, ServerConfig)

    def _use(self) -> Config:
        """The configuration for a connection that is made now; from now on nobody changes that of others."""
        if not self._used:
            with self._lock:  # Not while a change for everybody is under way.
                self._used = True
        return self.config

    def _change(self, **changes: Any) -> None:
        with self._lock:
            config = dataclasses.replace(self.config, **changes)
            if not self._used:
                self._config = config
            _OWN.set(weakref.WeakKeyDictionary({**(_OWN.get() or {}), self: config}))

    def _restrict(self, versions: set[str]) -> None:
        left = tuple([name for name in self._versions if name in versions])
        if left != self._versions:
            self._change(versions=left)  # ConfigError when none is left.

    @property
    def _versions(self) -> tuple[str, ...]:
        allowed = self.config.parameters.versions
        names = {ProtocolVersion.TLS1_2: "1.2", ProtocolVersion.TLS1_3: "1.3"}
        return tuple([names[version] for version in allowed])


def refuse(why: str) -> NoReturn:
    """Raise ConfigError: what was asked for is not done."""
    raise ConfigError(f"this context keeps to its configuration: {why}")
