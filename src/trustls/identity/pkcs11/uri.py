"""PKCS#11 URIs (RFC 7512)."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.parse import unquote_to_bytes

from trustls.errors import ConfigError

_MAX_PIN_FILE: Final = 4096
_PATH_ATTRIBUTES: Final = ("token", "serial", "manufacturer", "model", "slot-id", "object", "id", "type")
_QUERY_ATTRIBUTES: Final = ("module-path", "pin-value", "pin-source")
_ESCAPED: Final = re.compile(r"(?:[^%]|%[0-9A-Fa-f]{2})*")


def parse_uri(uri: str) -> tuple[dict[str, bytes], dict[str, str]]:
    """The attributes of the path and of the query, each of which is understood here.

    No message shows the URI or a value of its query: a PIN may stand there.
    """
    scheme, _, rest = uri.partition(":")
    if scheme.lower() != "pkcs11":
        raise ConfigError("a PKCS#11 URI begins with pkcs11: (RFC 7512)")
    path_text, _, query_text = rest.partition("?")
    path = _attributes(path_text, ";", _PATH_ATTRIBUTES, "path")
    query = _attributes(query_text, "&", _QUERY_ATTRIBUTES, "query")
    if path.get("type", b"private") != b"private":
        raise ConfigError("the PKCS#11 URI is not for a private key: leave type= out, or make it type=private")
    return path, {name: uri_text(name, value) or "" for name, value in query.items()}


def _attributes(text: str, separator: str, understood: tuple[str, ...], part: str) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for item in filter(None, text.split(separator)):
        name, equals, value = item.partition("=")
        if not equals or not re.fullmatch(r"[A-Za-z0-9_-]{1,40}", name):
            raise ConfigError(f"what has no name, or no value, in the {part} of a PKCS#11 URI is not understood")
        if name not in understood:
            # RFC 7512 2.3: what is not understood might have named another object.
            raise ConfigError(f"{name!r} in the {part} of a PKCS#11 URI is not understood; {', '.join(understood)} are")
        if name in found:
            raise ConfigError(f"{name} stands twice in the {part} of a PKCS#11 URI")
        if not _ESCAPED.fullmatch(value):
            raise ConfigError(f"{name} in the {part} of a PKCS#11 URI has a % without two digits behind it")
        found[name] = unquote_to_bytes(value)
    return found


def uri_text(name: str, value: bytes | None) -> str | None:
    """An attribute's value as text."""
    if value is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise ConfigError(f"{name} in a PKCS#11 URI is not UTF-8") from None


def pin_source(source: str | None) -> Callable[[], str] | None:
    """A function that reads the PIN from the file, at each login."""
    if source is None:
        return None
    if source.startswith("|"):
        raise ConfigError("a PKCS#11 URI that starts a command for the PIN is not understood; pin-source= names a file")
    path = Path(source.removeprefix("file://").removeprefix("file:"))

    def read() -> str:
        try:
            with path.open(encoding="utf-8") as file:
                text = file.read(_MAX_PIN_FILE + 1)
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"no PIN can be read from {path}: {error}") from None
        if len(text) > _MAX_PIN_FILE:
            raise ConfigError(f"{path} is too long to hold a PIN")
        return text.rstrip("\r\n")

    return read
