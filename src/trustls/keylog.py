"""Key log files in the format of SSLKEYLOGFILE, for Wireshark and its like (RFC 9850).

A key log decrypts every connection it covers. It is written only where a configuration asks for it: the environment
variable SSLKEYLOGFILE means nothing to trustls unless `KeyLogFile.from_environment` is called.
"""

from __future__ import annotations

import os
import threading
from typing import Self

from trustls.errors import ConfigError


class KeyLogFile:
    """Appends secrets to a file that only its owner can read. One instance serves any number of threads."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Opens the file, with mode 0600 when it is new; OSError when that fails."""
        self._lock = threading.Lock()
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
        self.path = os.fspath(path)

    @classmethod
    def from_environment(cls) -> KeyLogFile:
        """The file that SSLKEYLOGFILE names; ConfigError when the variable is not set."""
        path = os.environ.get("SSLKEYLOGFILE")
        if not path:
            raise ConfigError("SSLKEYLOGFILE is not set in the environment")
        return cls(path)

    def log(self, label: str, client_random: bytes, secret: bytes) -> None:
        """Append one line."""
        line = f"{label} {client_random.hex()} {secret.hex()}\n".encode()
        with self._lock:
            os.write(self._descriptor, line)

    def close(self) -> None:
        """Close the file; nothing may be logged afterwards."""
        with self._lock:
            if self._descriptor >= 0:
                os.close(self._descriptor)
                self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()
