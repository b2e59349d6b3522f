"""What `serve` and `connect` share: versions, the files that options name, the trace on standard error, the key log."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.text import Text

import trustls
from trustls.cli.render import note, notes, shown_lines
from trustls.errors import ConfigError

Command = TypeVar("Command", bound=Callable[..., Any])
Opened = TypeVar("Opened")

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)

pem_file = _FILE
"""The type of an option that names a file to read."""


def version_option(command: Command) -> Command:
    """--tls, which a configuration takes as `versions=versions or None`."""
    return click.option(
        "--tls",
        "versions",
        type=click.Choice(["1.2", "1.3"]),
        multiple=True,
        help="Speak this version of TLS only. Repeatable.  [default: both]",
    )(command)


def logging_options(command: Command) -> Command:
    """--trace and --keylog."""
    command = click.option(
        "--keylog", type=click.Path(dir_okay=False, path_type=Path), help="Write the secrets here, for Wireshark."
    )(command)
    return click.option("--trace", is_flag=True, help="Show every handshake message, decoded, on standard error.")(
        command
    )


def password_option(command: Command) -> Command:
    """--password-file, the password itself."""
    return click.option(
        "--password-file",
        "password",
        type=click.Path(exists=True, dir_okay=False, allow_dash=True),
        callback=_password,
        help="What opens encrypted keys is its first line; - for standard input.",
    )(command)


def _password(_context: click.Context, _parameter: click.Parameter, file: str | None) -> bytes | None:
    if file is None:
        return None
    if file != "-":
        with Path(file).open("rb") as lines:
            return lines.readline().rstrip(b"\r\n")
    line = b""
    try:
        # A byte at a time: what stands behind the line is data for the server.
        while (byte := os.read(0, 1)) not in (b"", b"\n"):
            line += byte
    except OSError as error:
        raise click.BadParameter(f"standard input cannot be read: {error.strerror}") from None
    return line.rstrip(b"\r")


@dataclass(frozen=True, slots=True)
class NamedCredential:
    """A credential, what to call it on the screen, and the password that its key needed."""

    name: str
    credential: trustls.Credential
    password: bytes | None = field(default=None, repr=False)


def credentials(chains: Sequence[Path], keys: Sequence[Path], password: bytes | None) -> list[NamedCredential]:
    """The credentials that pairs of --cert and --key name.

    A --cert without its --key may hold the key itself when no --key is given at all.
    """
    if keys and len(keys) != len(chains):
        raise click.UsageError(f"--cert and --key come in pairs, and there are {len(chains)} and {len(keys)} of them.")
    for chain in () if keys else chains:
        content = chain.read_bytes()
        if b"-----BEGIN CERTIFICATE-----" in content and b"PRIVATE KEY-----" not in content:
            raise click.UsageError(f"There is no private key in {chain}: name its file with --key.")
    return [_credential(chain, key, password) for chain, key in zip(chains, keys or chains, strict=True)]


def _credential(chain: Path, key: Path, password: bytes | None) -> NamedCredential:
    needed, credential = opened(password, lambda secret: trustls.Credential.from_pem(chain, key, password=secret))
    return NamedCredential(chain.stem, credential, needed)


def opened(password: bytes | None, load: Callable[[bytes | None], Opened]) -> tuple[bytes | None, Opened]:
    """What is loaded without a password if it can be, else with the one given (which need not be for all files);
    and the password that it took.
    """
    try:
        return None, load(None)
    except ConfigError:
        if password is None:
            raise
    return password, load(password)


def roots(files: Sequence[Path]) -> trustls.RootCertStore:
    """One store of the certificates in all these files; what is left out of it is said on standard error."""
    store = trustls.RootCertStore()
    for file in files:
        store.add_pem(file)
    for left_out in store.report.left_out:
        note(f"left out {left_out}")
    for warning in store.report.warnings:
        note(warning)
    return store


def hint(text: str) -> str | bytes:
    """What one --hint says: the PEM in the file that it names, or the name of a CA as it stands.

    Raises:
        click.BadParameter: it is neither.
    """
    # A name contains "=", which a path may too: what exists as a file is a file.
    path = Path(text)
    if path.is_file():
        return path.read_bytes()
    if "=" not in text:
        raise click.BadParameter(f"{text!r} is neither a file nor a name like 'CN=My CA,O=Us'", param_hint="--hint")
    return text


def key_log(path: Path | None) -> trustls.KeyLogFile | None:
    """The key log that --keylog asks for."""
    return None if path is None else trustls.KeyLogFile(path)


class TraceHandler(logging.Handler):
    """Prints each trace record as it comes; of one role ("client") only, if one is named."""

    def __init__(self, where: Console, role: str = "") -> None:
        super().__init__()
        self._where = where
        self._role = role

    def emit(self, record: logging.LogRecord) -> None:
        """Print one decoded message."""
        title, *fields = shown_lines(record.getMessage()).split("\n")
        if title.startswith(self._role):
            text = Text.assemble((title, "magenta"), *(Text(f"\n{field}", style="dim") for field in fields))
            self._where.print(text, soft_wrap=True)


def start_trace(where: Console = notes, role: str = "") -> None:
    """Show the handshake messages of every connection from now on."""
    logger = logging.getLogger("trustls.handshake")
    logger.setLevel(trustls.TRACE)
    logger.propagate = False
    logger.addHandler(TraceHandler(where, role))
