"""Changeable: what may be changed on a context: ALPN, the versions, the key log, post-handshake authentication."""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from typing import Any, Final

from trustls.errors import ConfigError
from trustls.keylog import KeyLogFile
from trustls.stdlib.configured import Configured, refuse

_VERSIONS: Final = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


class Changeable(Configured):
    """The setters that are honoured. Each change is another configuration; see `Configured._change`."""

    def set_alpn_protocols(self, alpn_protocols: Iterable[str]) -> None:
        """Offer or accept these application protocols, preferred first.

        Raises:
            ConfigError: one is not 1 to 255 bytes long.
        """
        protocols = tuple(alpn_protocols)
        if protocols != self.config.alpn:
            self._change(alpn=protocols)

    @property
    def minimum_version(self) -> ssl.TLSVersion:
        """The oldest version of TLS that is spoken."""
        return _VERSIONS[min(self._versions)]

    @minimum_version.setter
    def minimum_version(self, value: int) -> None:
        if value in {ssl.TLSVersion.MAXIMUM_SUPPORTED, ssl.TLSVersion.TLSv1_3}:
            self._restrict({"1.3"})
        elif value not in {ssl.TLSVersion.MINIMUM_SUPPORTED, ssl.TLSVersion.TLSv1_2}:
            raise ConfigError("trustls speaks TLS 1.2 and TLS 1.3, and nothing older")

    @property
    def maximum_version(self) -> ssl.TLSVersion:
        """The newest version of TLS that is spoken."""
        return _VERSIONS[max(self._versions)]

    @maximum_version.setter
    def maximum_version(self, value: int) -> None:
        if value == ssl.TLSVersion.TLSv1_2:
            self._restrict({"1.2"})
        elif value not in {ssl.TLSVersion.MAXIMUM_SUPPORTED, ssl.TLSVersion.TLSv1_3}:
            raise ConfigError("trustls speaks TLS 1.2 and TLS 1.3, and nothing older")

    @property
    def keylog_filename(self) -> Any:
        """The file that the secrets of the connections are appended to; see `KeyLogFile`."""
        key_log = self.config.key_log
        return key_log.path if isinstance(key_log, KeyLogFile) else None

    @keylog_filename.setter
    def keylog_filename(self, value: Any) -> None:
        if value is None:
            if self.config.key_log is not None:
                self._change(key_log=None)
        elif value != self.keylog_filename:
            self._change(key_log=KeyLogFile(value))

    @property
    def post_handshake_auth(self) -> bool:
        """Whether a client certificate may be asked for after the handshake."""
        return bool(self.config.post_handshake_auth)

    @post_handshake_auth.setter
    def post_handshake_auth(self, value: bool) -> None:
        if bool(value) == self.post_handshake_auth:
            return
        if self.is_server:
            refuse("a server says whom it asks later: ServerConfig(post_handshake_auth=ClientAuth.required(roots))")
        self._change(post_handshake_auth=bool(value))
