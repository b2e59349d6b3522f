"""The exit codes, the same for every command."""

from __future__ import annotations

from typing import Final

OK: Final = 0
TLS_FAILED: Final = 1
"""A handshake, a certificate, an alert; in the demo also: something did not come out as promised."""
USAGE: Final = 2
"""The command line, a file that it names, or the configuration that they make."""
NETWORK_FAILED: Final = 3
"""No such host, refused, reset, timed out."""
INTERRUPTED: Final = 130
"""Ctrl-C, as shells count it."""
