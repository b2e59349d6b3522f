"""`trustls serve`: a TLS server for trying things out, an echo or a page that says who is connected.

One thread per connection, and never more connections than --max-connections: the next one waits in the kernel's queue.
"""

from __future__ import annotations

import contextlib
import datetime
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import click
from rich.text import Text

import trustls
from trustls.cli import options
from trustls.cli.exits import OK
from trustls.cli.render import agreement, console, shown_lines
from trustls.cli.status_page import response
from trustls.errors import TLSError

_FAREWELL = 2.0
"""Seconds that open connections get to end after Ctrl-C."""


@click.command()
@click.option("--cert", "certs", type=options.pem_file, multiple=True, required=True, help="Server chain. Repeatable.")
@click.option("--key", "keys", type=options.pem_file, multiple=True, help="Its key, if not in the --cert. Repeatable.")
@click.option(
    "--client-ca",
    "client_cas",
    type=options.pem_file,
    multiple=True,
    help="Ask for a client certificate under these roots. Repeatable.",
)
@click.option("--optional-client-auth", is_flag=True, help="Let clients in that have no certificate.")
@click.option(
    "--hint",
    "hints",
    metavar="NAME|FILE",
    multiple=True,
    help="Name this CA to clients instead of the roots: a name as RFC 4514 writes it, or a PEM file. Repeatable.",
)
@click.option("--no-hints", is_flag=True, help="Name no CAs to clients.")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8443, show_default=True, help="0 takes a free one.")
@click.option("--alpn", multiple=True, metavar="PROTOCOL", help="Application protocols, best first. Repeatable.")
@options.version_option
@click.option("--no-resumption", is_flag=True, help="Make a full handshake with every client, every time.")
@click.option("--www", is_flag=True, help="Answer HTTP with a page about the connection, instead of an echo.")
@click.option("--max-connections", type=click.IntRange(1, 10_000), default=100, show_default=True, help="At one time.")
@click.option("--handshake-timeout", type=click.FloatRange(0.01), default=10.0, show_default=True, help="Seconds.")
@click.option("--idle-timeout", type=click.FloatRange(0.01), default=300.0, show_default=True, help="Seconds.")
@options.logging_options
def serve(
    certs: tuple[Path, ...],
    keys: tuple[Path, ...],
    client_cas: tuple[Path, ...],
    optional_client_auth: bool,
    hints: tuple[str, ...],
    no_hints: bool,
    host: str,
    port: int,
    alpn: tuple[str, ...],
    versions: tuple[str, ...],
    no_resumption: bool,
    www: bool,
    max_connections: int,
    handshake_timeout: float,
    idle_timeout: float,
    trace: bool,
    keylog: Path | None,
) -> int:
    """Run a TLS server: an echo, or a status page with --www.

    \b
    Examples:
      trustls serve --cert pki/localhost.pem --key pki/localhost-key.pem
      trustls serve --cert pki/localhost.pem --key pki/localhost-key.pem --client-ca pki/ca.pem --www
      trustls serve --cert s.pem --key s-key.pem --client-ca new.pem --client-ca old.pem --hint "CN=New CA,O=Us"

    Ctrl-C ends it (exit code 0).
    """
    if trace:
        options.start_trace()
    config = trustls.ServerConfig(
        credentials=[held.credential for held in options.credentials(certs, keys)],
        client_auth=_client_auth(client_cas, optional_client_auth, hints, no_hints),
        alpn=alpn or (("http/1.1",) if www else ()),
        versions=versions or None,
        resumption=None if no_resumption else trustls.Tickets(),
        key_log=options.key_log(keylog),
    )
    with trustls.Listener((host, port), config, handshake_timeout=handshake_timeout) as listener, _ended_by_sigterm():
        address = listener.address
        console.print(
            Text.assemble(
                ("listening on ", "bold green"),
                (_host_port(address), "bold"),
                (f"  {'a status page' if www else 'an echo'}; {_asks(client_cas, optional_client_auth)}", "dim"),
            ),
            soft_wrap=True,
        )
        service = Service(_page if www else _echo, idle_timeout, max_connections)
        try:
            service.run(listener)
        except KeyboardInterrupt:
            listener.close()
            service.end(_FAREWELL)
            console.print(Text("stopped", style="dim"))
    return OK


Handler = Callable[[trustls.TLSSocket[trustls.ServerConnection]], None]


class Service:
    """Accepts connections and runs `handle` for each in its own thread, at most `limit` of them at a time."""

    def __init__(self, handle: Handler, idle_timeout: float, limit: int) -> None:
        self._handle = handle
        self._idle_timeout = idle_timeout
        self._free = threading.Semaphore(limit)
        self._open: set[threading.Thread] = set()

    def run(self, listener: trustls.Listener) -> None:
        """Serve until KeyboardInterrupt."""
        while True:
            self._free.acquire()
            tls = listener.accept()
            thread = threading.Thread(target=self._serve, args=(tls,), daemon=True)
            self._open.add(thread)
            thread.start()

    def end(self, seconds: float) -> None:
        """Wait this long for the connections that are open; their threads do not keep the process alive."""
        for thread in tuple(self._open):
            thread.join(seconds / max(1, len(self._open)))

    def _serve(self, tls: trustls.TLSSocket[trustls.ServerConnection]) -> None:
        who = _host_port(tls.getpeername())
        doing = "handshake failed: "
        try:
            with tls:
                tls.handshake()
                doing = ""
                _say(who, agreement(tls.connection.info), " ", _client(tls.connection.peer))
                tls.settimeout(self._idle_timeout)
                self._handle(tls)
            _say(who, Text("closed", style="dim"))
        except TLSError as error:
            _say(who, Text(f"{doing}{error}", style="red"))
        except TimeoutError:
            _say(who, Text(f"closed after {self._idle_timeout:g} s without a byte", style="dim"))
        except OSError as error:
            _say(who, Text(f"{doing}{error}", style="red"))
        finally:
            self._open.discard(threading.current_thread())
            self._free.release()


def _echo(tls: trustls.TLSSocket[trustls.ServerConnection]) -> None:
    while data := tls.recv(65536):
        tls.sendall(data)


def _page(tls: trustls.TLSSocket[trustls.ServerConnection]) -> None:
    if answer := response(tls):
        tls.sendall(answer)


def _client_auth(
    client_cas: tuple[Path, ...], optional: bool, hints: tuple[str, ...], no_hints: bool
) -> trustls.ClientAuth:
    if not client_cas:
        if optional or hints or no_hints:
            raise click.UsageError("--optional-client-auth, --hint and --no-hints need a --client-ca.")
        return trustls.ClientAuth.none()
    if hints and no_hints:
        raise click.UsageError("--hint and --no-hints exclude each other.")
    ask = trustls.ClientAuth.optional if optional else trustls.ClientAuth.required
    names = () if no_hints else [options.hint(hint) for hint in hints] or None
    return ask(options.roots(client_cas), hints=names)


def _asks(client_cas: tuple[Path, ...], optional: bool) -> str:
    if not client_cas:
        return "no client certificates asked for"
    return "client certificates asked for" if optional else "client certificates required"


def _client(peer: trustls.Peer | None) -> Text:
    if peer is None:
        return Text("no client certificate", style="dim")
    return Text.assemble("client ", (peer.subject, "green"))


def _host_port(address: tuple[object, ...]) -> str:
    host, port = str(address[0]), address[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _say(who: str, *what: Text | str) -> None:
    """One line of the log, whole even when threads write at the same time."""
    line = Text.assemble((f"{datetime.datetime.now().astimezone():%H:%M:%S} ", "dim"), (f"{who}  ", "bold"))
    for piece in what:
        line.append(piece)
    console.print(Text(shown_lines(line.plain)) if not line.plain.isprintable() else line, soft_wrap=True)


@contextlib.contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """SIGTERM ends the server as Ctrl-C does."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
