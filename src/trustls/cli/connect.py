"""`trustls connect`: what does that server ask for, what is sent to it, and then a pipe.

Facts go to standard error, data to standard output, so that the command can stand in a pipeline.
"""

from __future__ import annotations

import codecs
import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import click
from rich.text import Text

import trustls
from trustls.cli import options
from trustls.cli.exits import OK
from trustls.cli.render import agreement, authority_list, chain_tree, credential_choice, heading, notes
from trustls.errors import TLSError, UnexpectedEOF
from trustls.wire.names import is_misleading

_PARTING = 1.0
"""Seconds that a server gets to close its side before the next connection."""


def _host_and_port(_context: click.Context, _parameter: click.Parameter, value: str) -> tuple[str, int]:
    """From HOST:PORT, [IPv6]:PORT, or HOST alone, for port 443."""
    if "/" in value:
        raise click.BadParameter(f"{value!r} is no HOST:PORT: leave out https:// and the path")
    host, colon, port = value.rpartition(":")
    if not colon or (":" in host and not host.startswith("[")) or value.endswith("]"):
        host, port = value, "443"
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise click.BadParameter(f"{port!r} is no port")
    host = host.removeprefix("[").removesuffix("]")
    if not host:
        raise click.BadParameter(f"{value!r} names no host")
    return host, int(port)


@click.command()
@click.argument("address", metavar="HOST:PORT", callback=_host_and_port)
@click.option(
    "--ca", "cas", type=options.pem_file, multiple=True, help="Trust these roots, not the system's. Repeatable."
)
@click.option("--cert", "certs", type=options.pem_file, multiple=True, help="A client chain. Repeatable.")
@click.option("--key", "keys", type=options.pem_file, multiple=True, help="Its key, if not in the --cert. Repeatable.")
@options.password_option
@click.option("--servername", metavar="NAME", help="The name to ask for and to verify.  [default: HOST]")
@click.option("--alpn", multiple=True, metavar="PROTOCOL", help="Application protocols, best first. Repeatable.")
@options.version_option
@click.option("--timeout", type=click.FloatRange(0.01), default=10.0, show_default=True, help="Seconds to connect in.")
@click.option(
    "--reconnect", metavar="N", type=click.IntRange(0, 100), default=0, help="Connect again N times, resuming."
)
@click.option("-q", "--quiet", is_flag=True, help="Only pass data; say nothing about the connection.")
@options.logging_options
def connect(
    address: tuple[str, int],
    cas: tuple[Path, ...],
    certs: tuple[Path, ...],
    keys: tuple[Path, ...],
    password: bytes | None,
    servername: str | None,
    alpn: tuple[str, ...],
    versions: tuple[str, ...],
    timeout: float,
    reconnect: int,
    quiet: bool,
    trace: bool,
    keylog: Path | None,
) -> int:
    """Connect to a TLS server, show what it asks for and what it gets, then pass standard input and output.

    \b
    Examples:
      trustls connect example.com:443 < /dev/null
      trustls connect localhost:8443 --ca pki/ca.pem --cert pki/alice.pem --key pki/alice-key.pem
      printf 'GET / HTTP/1.0\\r\\n\\r\\n' | trustls connect localhost:8443 --ca pki/ca.pem -q
      trustls connect example.com:443 --tls 1.2 --reconnect 1 < /dev/null

    With several --cert and --key, the first that the server can accept is sent. Input and output are those of the
    last connection, with --reconnect.
    """
    if trace:
        options.start_trace()
    held = options.credentials(certs, keys, password)
    config = trustls.ClientConfig(
        roots=options.roots(cas) if cas else trustls.RootCertStore.system(),
        credentials=[one.credential for one in held],
        alpn=alpn,
        versions=versions or None,
        key_log=options.key_log(keylog),
    )
    for number in range(reconnect + 1):
        with _connected(address, config, servername or address[0], timeout) as tls:
            if not quiet:
                _report(tls.connection, held) if not number else _report_again(tls.connection)
            if number < reconnect:
                _see_off(tls)
            else:
                tls.settimeout(None)
                _pipe(tls)
    return OK


def _connected(
    address: tuple[str, int], config: trustls.ClientConfig, server_name: str, timeout: float
) -> trustls.TLSSocket[trustls.ClientConnection]:
    try:
        return trustls.connect(address, config, server_name=server_name, timeout=timeout)
    except TLSError:
        raise  # HandshakeTimeout is an OSError too.
    except (ConnectionResetError, BrokenPipeError) as error:
        # There was a connection: this is no server that could not be reached.
        raise ConnectionResetError(
            f"{address[0]} port {address[1]} broke the connection off during the handshake: {error.strerror or error}"
        ) from error
    except OSError as error:
        raise OSError(f"no connection to {address[0]} port {address[1]}: {error.strerror or error}") from error


def _report(connection: trustls.ClientConnection, held: list[options.NamedCredential]) -> None:
    info, peer, requested = connection.info, connection.peer, connection.requested
    notes.print(Text.assemble(("connected  ", "bold green"), agreement(info)))
    if peer is not None:
        heading(notes, "The server's certificate, verified")
        notes.print(chain_tree(peer.verified))
    if requested is None:
        notes.print(Text("The server asks for no client certificate.", style="dim"))
        return
    heading(notes, "CA names received: the server accepts client certificates from")
    notes.print(authority_list(requested.authorities))
    if held:
        heading(notes, "Client certificates held here")
        notes.print(credential_choice([(one.name, one.credential) for one in held], requested, info.credential))
    if info.credential is None:
        notes.print(Text("No client certificate was sent.", style="yellow"))
    notes.print()


def _report_again(connection: trustls.ClientConnection) -> None:
    how = "" if connection.info.resumed else " · a full handshake, not resumed"
    notes.print(Text.assemble(("connected again  ", "bold green"), agreement(connection.info), (how, "yellow")))


def _see_off(tls: trustls.TLSSocket[trustls.ClientConnection]) -> None:
    """Close, and read what the server still has to say: in TLS 1.3 its tickets come behind the handshake."""
    tls.settimeout(_PARTING)
    tls.close_write()
    deadline = time.monotonic() + _PARTING
    with contextlib.suppress(TimeoutError, UnexpectedEOF, ConnectionError):
        while tls.recv(65536) and time.monotonic() < deadline:
            pass


def _pipe(tls: trustls.TLSSocket[trustls.ClientConnection]) -> None:
    """Pass standard input to the server and what it sends to standard output, until it closes."""
    threading.Thread(target=_send_input, args=(tls,), daemon=True).start()
    write = _terminal_writer() if sys.stdout.isatty() else _write_bytes
    while data := tls.recv(65536):
        write(data)


def _send_input(tls: trustls.TLSSocket[trustls.ClientConnection]) -> None:
    try:
        while data := os.read(sys.stdin.fileno(), 65536):
            tls.sendall(data)
        tls.close_write()
    except (OSError, TLSError):
        return  # The receiving side meets the same end of the connection, and says so.


def _write_bytes(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def _terminal_writer() -> Callable[[bytes], None]:
    """Writes text to a terminal, and what could take the terminal over as escapes."""
    decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")

    def write(data: bytes) -> None:
        text = decoder.decode(data)
        sys.stdout.write(
            "".join(
                character
                if character in "\t\r\n" or not is_misleading(character)
                else character.encode("unicode_escape").decode()
                for character in text
            )
        )
        sys.stdout.flush()

    return write
