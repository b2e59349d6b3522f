"""`trustls serve`: a TLS server for trying things out, an echo or a page that says who is connected.

One thread per connection, and never more connections than --max-connections: the next one waits in the kernel's queue.
With --workers, each process does so; they share the ticket keys, so that a session of one is resumed by all.
"""

from __future__ import annotations

import contextlib
import datetime
import logging
import select
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType

import click
from rich.text import Text

import trustls
from trustls.cli import options, workers
from trustls.cli.exits import OK
from trustls.cli.render import agreement, console, note, shown_lines
from trustls.cli.status_page import response
from trustls.errors import TLSError
from trustls.identity.selection import CredentialSource
from trustls.session.shared import SharedTicketKeys
from trustls.trust.revocation import RevocationLists

_FAREWELL = 2.0
"""Seconds that open connections get to end after Ctrl-C."""

_RULES: dict[str, Callable[[str], trustls.Authorize]] = {
    "dns": trustls.Authorize.dns,
    "ip": trustls.Authorize.ip,
    "email": trustls.Authorize.email,
    "uri": trustls.Authorize.uri,
    "subject": trustls.Authorize.subject,
    "issuer": trustls.Authorize.issuer,
    "spiffe-id": trustls.Authorize.spiffe_id,
    "spiffe-path": trustls.Authorize.spiffe_path,
    "trust-domain": trustls.Authorize.spiffe_trust_domain,
    "fingerprint": trustls.Authorize.fingerprint,
    "public-key": trustls.Authorize.public_key,
}
"""What --authorize may say before its "="."""


@click.command()
@click.option("--cert", "certs", type=options.pem_file, multiple=True, required=True, help="Server chain. Repeatable.")
@click.option("--key", "keys", type=options.pem_file, multiple=True, help="Its key, if not in the --cert. Repeatable.")
@options.password_option
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
@click.option(
    "--crl",
    "crls",
    type=options.pem_file,
    multiple=True,
    help="Refuse the clients that this CRL revokes, and those that no CRL covers. Repeatable.",
)
@click.option(
    "--authorize",
    "rules",
    metavar="KIND=VALUE",
    multiple=True,
    help=f"Let in only these clients; KIND is one of {', '.join(_RULES)}. Repeatable: one of them is enough.",
)
@click.option("--reload", is_flag=True, help="Follow the --cert, --key, --client-ca and --crl files when they change.")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8443, show_default=True, help="0 takes a free one.")
@click.option("--alpn", multiple=True, metavar="PROTOCOL", help="Application protocols, best first. Repeatable.")
@options.version_option
@click.option("--no-resumption", is_flag=True, help="Make a full handshake with every client, every time.")
@click.option("--www", is_flag=True, help="Answer HTTP with a page about the connection, instead of an echo.")
@click.option(
    "--workers",
    "count",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="Processes that share the port and the sessions. One that dies is started again.",
)
@click.option(
    "--max-connections",
    type=click.IntRange(1, 10_000),
    default=100,
    show_default=True,
    help="At one time, in each process.",
)
@click.option("--handshake-timeout", type=click.FloatRange(0.01), default=10.0, show_default=True, help="Seconds.")
@click.option("--idle-timeout", type=click.FloatRange(0.01), default=300.0, show_default=True, help="Seconds.")
@options.logging_options
def serve(
    certs: tuple[Path, ...],
    keys: tuple[Path, ...],
    password: bytes | None,
    client_cas: tuple[Path, ...],
    optional_client_auth: bool,
    hints: tuple[str, ...],
    no_hints: bool,
    crls: tuple[Path, ...],
    rules: tuple[str, ...],
    reload: bool,
    host: str,
    port: int,
    alpn: tuple[str, ...],
    versions: tuple[str, ...],
    no_resumption: bool,
    www: bool,
    count: int,
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
      trustls serve --cert s.pem --key s-key.pem --client-ca ca.pem --authorize dns=db.internal --crl ca.crl --reload

    Ctrl-C ends it (exit code 0).
    """
    if count > 1 and not workers.possible():
        raise click.UsageError("--workers needs `fork`, which this system does not have.")
    if trace:
        options.start_trace()
    if reload:
        _show_reloads()
    # Made before there are workers, so that they share it.
    keys_of_tickets = SharedTicketKeys.generate()
    config = trustls.ServerConfig(
        credentials=_credentials(certs, keys, password, reload),
        client_auth=_client_auth(client_cas, optional_client_auth, hints, no_hints, crls, rules, reload),
        alpn=alpn or (("http/1.1",) if www else ()),
        versions=versions or None,
        resumption=None if no_resumption else trustls.Tickets(keys=keys_of_tickets),
        key_log=options.key_log(keylog),
    )

    service = Service(_page if www else _echo, config, handshake_timeout, idle_timeout, max_connections)
    does = f"{'a status page' if www else 'an echo'}; {_asks(client_cas, optional_client_auth)}"
    if count == 1:
        with workers.alone((host, port)) as listening, _ended_by_sigterm():
            _announce(listening.getsockname(), does)
            service.run(listening)
        _remark("stopped")
        return OK
    sockets = workers.listening((host, port), count)
    _announce(sockets[0].getsockname(), f"{does}; {count} workers")
    workers.Workers(sockets, count, service.run, say=_remark, tend=keys_of_tickets.forget).run()
    _remark("stopped")
    return OK


Connected = trustls.TLSSocket[trustls.ServerConnection]
Handler = Callable[[Connected], None]


class Service:
    """Accepts connections and runs `handle` for each in its own thread, at most `limit` of them at a time."""

    def __init__(
        self, handle: Handler, config: trustls.ServerConfig, handshake_timeout: float, idle_timeout: float, limit: int
    ) -> None:
        self._handle = handle
        self._config = config
        self._handshake_timeout = handshake_timeout
        self._idle_timeout = idle_timeout
        self._free = threading.Semaphore(limit)
        self._open: set[threading.Thread] = set()

    def run(self, listening: socket.socket) -> None:
        """Serve until KeyboardInterrupt; then close, and let the connections that are open have a moment."""
        listening.setblocking(False)
        try:
            while True:
                self._free.acquire()
                while not self._accept(listening):
                    select.select([listening], [], [])
        except KeyboardInterrupt:
            listening.close()
            self._end(_FAREWELL)

    def _accept(self, listening: socket.socket) -> bool:
        """Take one client, if there is one: another process may have been quicker."""
        # A signal would lose a client that nobody has yet. Threads inherit that: only this one hears signals.
        with workers.signals_blocked():
            try:
                accepted, _ = listening.accept()
            except (BlockingIOError, ConnectionError):
                return False
            accepted.setblocking(True)
            with contextlib.suppress(OSError):
                accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = trustls.ServerConnection(self._config)
            tls = trustls.TLSSocket(accepted, connection, handshake_timeout=self._handshake_timeout)
            thread = threading.Thread(target=self._serve, args=(tls,), daemon=True)
            self._open.add(thread)
            thread.start()
        return True

    def _end(self, seconds: float) -> None:
        """Wait this long for the connections that are open; their threads do not keep the process alive."""
        for thread in tuple(self._open):
            thread.join(seconds / max(1, len(self._open)))

    def _serve(self, tls: Connected) -> None:
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


def _echo(tls: Connected) -> None:
    while data := tls.recv(65536):
        tls.sendall(data)


def _page(tls: Connected) -> None:
    if answer := response(tls):
        tls.sendall(answer)


def _credentials(
    chains: Sequence[Path], keys: Sequence[Path], password: bytes | None, reload: bool
) -> list[CredentialSource]:
    held = options.credentials(chains, keys, password)
    if not reload:
        return [one.credential for one in held]
    return [
        trustls.Credential.reloading(chain, key, password=one.password)
        for one, chain, key in zip(held, chains, keys or chains, strict=True)
    ]


def _client_auth(
    client_cas: tuple[Path, ...],
    optional: bool,
    hints: tuple[str, ...],
    no_hints: bool,
    crls: tuple[Path, ...],
    rules: tuple[str, ...],
    reload: bool,
) -> trustls.ClientAuth:
    if not client_cas:
        if optional or hints or no_hints or crls or rules:
            raise click.UsageError(
                "--optional-client-auth, --hint, --no-hints, --crl and --authorize need a --client-ca."
            )
        return trustls.ClientAuth.none()
    if hints and no_hints:
        raise click.UsageError("--hint and --no-hints exclude each other.")
    ask = trustls.ClientAuth.optional if optional else trustls.ClientAuth.required
    roots = options.roots(client_cas)
    return ask(
        trustls.RootCertStore.reloading(*client_cas) if reload else roots,
        hints=() if no_hints else [options.hint(hint) for hint in hints] or None,
        crls=_crls(crls, reload) if crls else None,
        authorize=trustls.Authorize.any_of(*map(_rule, rules)) if rules else None,
    )


def _crls(files: tuple[Path, ...], reload: bool) -> RevocationLists:
    if reload:
        return trustls.CrlStore.reloading(*files)
    store = trustls.CrlStore()
    for file in files:
        store.add_pem(file)
    return store


def _rule(text: str) -> trustls.Authorize:
    kind, equals, value = text.partition("=")
    if kind not in _RULES or not equals:
        raise click.BadParameter(
            f"{text!r} is not KIND=VALUE with KIND one of {', '.join(_RULES)}", param_hint="--authorize"
        )
    return _RULES[kind](value)


def _announce(address: tuple[object, ...], does: str) -> None:
    where = Text.assemble(("listening on ", "bold green"), (_host_port(address), "bold"), (f"  {does}", "dim"))
    console.print(where, soft_wrap=True)


def _remark(sentence: str) -> None:
    console.print(Text(shown_lines(sentence), style="dim"), soft_wrap=True)


class _ReloadHandler(logging.Handler):
    """Says what came of files that have changed."""

    def emit(self, record: logging.LogRecord) -> None:
        """One sentence."""
        note(record.getMessage())


def _show_reloads() -> None:
    logger = logging.getLogger("trustls.reloading")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(_ReloadHandler())


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
