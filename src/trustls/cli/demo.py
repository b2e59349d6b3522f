"""`trustls demo`: mutual TLS with CA hints, from the certificates to the refusals, on one screen.

It checks itself: when something does not come out as it says, the exit code is 1.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import click
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

import trustls
from trustls.cli import options
from trustls.cli.exits import OK, TLS_FAILED
from trustls.cli.pki import Authority, Issued
from trustls.cli.render import (
    agreement,
    authority_list,
    chain_tree,
    console,
    credential_choice,
    indented,
    shown_lines,
    step,
)
from trustls.errors import AlertDescription, AlertReceived, CertificateRejected, TLSError

_SECONDS = 5.0
"""How long any one thing may take before the demo gives up on it."""
_GREETING = b"Sit down. Be humble.\n"


@click.command()
@click.option("--trace", is_flag=True, help="Show every handshake message of the client, decoded.")
def demo(trace: bool) -> int:
    """Show mutual TLS with CA hints at work, on loopback, with certificates made for the occasion.

    \b
    Examples:
      trustls demo
      trustls demo --trace | less -R

    It needs no network and leaves nothing behind. The exit code is 1 if anything came out otherwise than promised.
    """
    started = time.monotonic()
    if trace:
        options.start_trace(console, "client")
    console.print(
        Panel(
            "A server asks its clients for certificates and says which CAs it accepts.\n"
            "A client reads that list, chooses by it, and can say why.",
            title=Text("trustls: mutual TLS 1.3, seen from both sides", style="bold"),
            border_style="blue",
            expand=False,
        )
    )
    with tempfile.TemporaryDirectory(prefix="trustls-demo-") as folder:
        checks = Checks()
        pki = make_pki(Path(folder))
        with Server(pki) as server:
            show_choice(server, pki, checks)
            show_refusals(server, pki, checks)
            show_openssl(server, pki, checks)
    console.print()
    if checks.failed:
        console.print(Text("This demo did not come out as promised:", style="bold red"))
        for sentence in checks.failed:
            console.print(indented(Text(f"✗ {sentence}", style="red")))
        return TLS_FAILED
    console.print(
        Text.assemble(("✓ ", "bold green"), f"{checks.passed} things promised and {checks.passed} seen"),
        Text(f"in {time.monotonic() - started:.2f} s", style="dim"),
    )
    return OK


@dataclass(slots=True)
class Checks:
    """What the demo promised, and what of it was not seen."""

    passed: int = 0
    failed: list[str] = field(default_factory=list)

    def expect(self, seen: bool, promise: str) -> None:
        """Note whether a promise was kept."""
        if seen:
            self.passed += 1
        else:
            self.failed.append(promise)


@dataclass(frozen=True, slots=True)
class DemoPKI:
    """The certificates of the demo, and where they are."""

    folder: Path
    server_root: Authority
    server: Issued
    client_roots: tuple[Authority, Authority]
    clients: dict[str, Issued]


def make_pki(folder: Path) -> DemoPKI:
    """Make the certificates, put them into `folder`, and show who issued whom."""
    k_dot = Authority.create(
        "K-Dot Certificate Authority", country="US", state="California", locality="Compton", organization="TDE"
    )
    roots = Authority.create(
        "The Roots Authority",
        country="US",
        state="Pennsylvania",
        locality="Philadelphia",
        organization="The Roots",
        key_type="ec-p384",
    )
    issuing = k_dot.intermediate("TDE Issuing CA", organization="TDE")
    stranger_root = Authority.create("Nobody Knows Authority", organization="Elsewhere")
    server_root = Authority.create("Demo Server Authority")
    pki = DemoPKI(
        folder,
        server_root,
        server_root.issue_server("localhost", "127.0.0.1"),
        (k_dot, roots),
        {
            "stranger": stranger_root.issue_client("stranger", organization="Elsewhere"),
            "kendrick": issuing.issue_client("kendrick", organization="TDE", emails=["kendrick@tde.example"]),
            "questlove": roots.issue_client("questlove", organization="The Roots", key_type="ed25519"),
        },
    )
    server_root.write(folder, "server-root")
    pki.server.write(folder, "server")
    for name, issued in (*pki.clients.items(), ("k-dot", k_dot), ("the-roots", roots)):
        issued.write(folder, name)

    step(1, "A small PKI")
    families: tuple[tuple[str, str, list[tuple[Authority, list[Issued]]]], ...] = (
        (
            "the server trusts",
            "green",
            [(k_dot, [issuing, pki.clients["kendrick"]]), (roots, [pki.clients["questlove"]])],
        ),
        ("the server has never heard of", "red", [(stranger_root, [pki.clients["stranger"]])]),
        ("the client trusts", "green", [(server_root, [pki.server])]),
    )
    for who, style, members in families:
        _say(Text(who, style=style), Group(*(_family(root, below) for root, below in members)))
    return pki


def _family(root: Authority, below: list[Issued]) -> Tree:
    tree = node = Tree(Text(root.certificate.subject.rfc4514_string(), style="yellow"), guide_style="dim")
    for issued in below:
        name = Text(issued.certificate.subject.rfc4514_string())
        node = node.add(name.append("   intermediate", style="dim") if isinstance(issued, Authority) else name)
    return tree


@dataclass(frozen=True, slots=True)
class Visit:
    """What became of one connection, on either side."""

    client: trustls.ClientConnection | None
    client_error: TLSError | None
    reply: bytes
    server_peer: trustls.Peer | None
    server_error: TLSError | None


class Server:
    """The server of the demo: it requires client certificates, and answers each client with one line."""

    def __init__(self, pki: DemoPKI) -> None:
        self._pki = pki
        roots = trustls.RootCertStore()
        for root in pki.client_roots:
            roots.add(root.certificate)
        self.config = trustls.ServerConfig(
            credentials=[trustls.Credential.from_pem(chain=pki.server.pem_chain, key=pki.server.pem_key)],
            client_auth=trustls.ClientAuth.required(roots),
        )

    def __enter__(self) -> Self:
        self._listener = trustls.Listener(("127.0.0.1", 0), self.config)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="demo-server")
        self.port = int(self._listener.address[1])
        step(2, "A server that requires a client certificate")
        console.print(
            indented(
                Text.assemble(
                    ("listening  ", "dim"),
                    (f"127.0.0.1:{self.port}", "bold"),
                    ", and naming the two roots that it trusts",
                )
            )
        )
        return self

    def __exit__(self, *exception: object) -> None:
        self._listener.close()
        self._thread.shutdown(wait=False, cancel_futures=True)

    def visit(self, *clients: trustls.Credential) -> Visit:
        """Connect with a client that holds these credentials, and see what either side makes of it."""
        config = trustls.ClientConfig(
            roots=trustls.RootCertStore([self._pki.server_root.certificate]), credentials=clients
        )
        connection, error, reply = None, None, b""
        with self.serving() as outcome:
            try:
                with trustls.connect(
                    ("127.0.0.1", self.port), config, server_name="localhost", timeout=_SECONDS
                ) as tls:
                    connection = tls.connection
                    reply = tls.recv(100)
            except TLSError as failure:
                error = failure
        return Visit(connection, error, reply, outcome.peer, outcome.error)

    @contextlib.contextmanager
    def serving(self) -> Iterator[Outcome]:
        """Serve one client in the server's thread; the outcome is there at the end of the block."""
        outcome = Outcome()
        served = self._thread.submit(self._serve, outcome)
        yield outcome
        served.result(_SECONDS / 2)

    def _serve(self, outcome: Outcome) -> None:
        try:
            with self._listener.accept() as tls:
                tls.settimeout(_SECONDS)
                tls.handshake()
                outcome.peer = tls.connection.peer
                tls.sendall(_GREETING)
        except TLSError as failure:
            outcome.error = failure


@dataclass(slots=True)
class Outcome:
    """What the server knows of one connection."""

    peer: trustls.Peer | None = None
    error: TLSError | None = None


def show_choice(server: Server, pki: DemoPKI, checks: Checks) -> None:
    """A client that holds all three certificates chooses the right one."""
    step(3, "A client with all three certificates")
    held = [(name, _credential(issued)) for name, issued in pki.clients.items()]
    visit = server.visit(*(credential for _, credential in held))
    connection = visit.client
    if connection is None or connection.requested is None:
        checks.expect(False, f"the client connects and is asked for a certificate ({visit.client_error})")
        return
    requested, chosen = connection.requested, connection.info.credential
    _say_briefly("connected", agreement(connection.info))
    _say("CA names received", authority_list(requested.authorities))
    _say("certificates held", credential_choice(held, requested, chosen))
    checks.expect(
        [name.der for name in requested.authorities]
        == [root.certificate.subject.public_bytes() for root in pki.client_roots],
        "the client receives the names of the two roots, in order",
    )
    checks.expect(chosen is held[1][1], "the client chooses kendrick: the first that the server can accept")
    checks.expect(held[0][1].fits(requested) is not None, "the client can say why it passed over the stranger")

    if visit.server_peer is None:
        checks.expect(False, f"the server verifies the client ({visit.server_error})")
        return
    _say("the server verified", chain_tree(visit.server_peer.verified))
    said = visit.reply.decode(errors="replace").strip()
    _say_briefly("and said", Text(shown_lines(said), style="italic"))
    checks.expect(
        [certificate.x509 for certificate in visit.server_peer.verified]
        == [*pki.clients["kendrick"].chain, pki.client_roots[0].certificate],
        "the server verifies kendrick's chain up to the root",
    )
    checks.expect(visit.reply == _GREETING, "the server's greeting arrives")


def show_refusals(server: Server, pki: DemoPKI, checks: Checks) -> None:
    """Clients that the server does not let in: each side says why in its own words."""
    step(4, "Clients that are not let in")
    stranger = _credential(pki.clients["stranger"])
    insistent = _credential(pki.clients["stranger"], fallback=True)
    required, unknown_ca = AlertDescription.CERTIFICATE_REQUIRED, AlertDescription.UNKNOWN_CA
    for title, credentials, alert in (
        ("Only the stranger's certificate; it does not fit, so none is sent", [stranger], required),
        ("The same, marked as a fallback, so it is sent after all", [insistent], unknown_ca),
        ("No certificate at all", [], required),
    ):
        visit = server.visit(*credentials)
        console.print(indented(Text(title, style="bold")))
        _say_briefly("client", _refusal(visit.client_error))
        _say_briefly("server", _refusal(visit.server_error))
        checks.expect(
            isinstance(visit.server_error, CertificateRejected) and visit.server_error.alert is alert,
            f"{title}: the server refuses with {alert.name.lower()}",
        )
        checks.expect(
            isinstance(visit.client_error, AlertReceived) and visit.client_error.description is alert,
            f"{title}: the client learns of {alert.name.lower()}",
        )
        checks.expect(visit.server_peer is None and not visit.reply, f"{title}: nothing is said to that client")


def show_openssl(server: Server, pki: DemoPKI, checks: Checks) -> None:
    """What OpenSSL's own client sees of the server."""
    step(5, "The same server, seen by openssl s_client")
    openssl = shutil.which("openssl")
    if openssl is None:
        console.print(indented(Text("openssl is not installed here, so this step is left out.", style="yellow")))
        return
    arguments = [
        *("s_client", "-connect", f"127.0.0.1:{server.port}", "-servername", "localhost"),
        *("-CAfile", str(pki.folder / "server-root.pem"), "-verify_return_error"),
        *("-cert", str(pki.folder / "questlove.pem"), "-key", str(pki.folder / "questlove-key.pem")),
    ]
    command = " ".join(argument.replace(f"{pki.folder}/", "") for argument in arguments)
    console.print(indented(Text(f"$ openssl {command}", style="dim")))
    try:
        with server.serving() as outcome:
            seen = subprocess.run(
                [openssl, *arguments],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_SECONDS,
                check=False,
            )
    except (subprocess.TimeoutExpired, TimeoutError):
        checks.expect(False, "openssl s_client ends in time")
        return
    lines = seen.stdout.decode(errors="replace").splitlines()
    for line in _acceptable(lines):
        console.print(indented(Text(shown_lines(line), style="yellow")))
    for line in lines:
        if line.strip().startswith(("Verification", "New, ")):
            console.print(indented(Text(shown_lines(line.strip()), style="dim")))
    if outcome.peer is not None:
        _say_briefly("server", Text.assemble("verified ", (outcome.peer.subject, "green")))
    elif outcome.error is not None:
        _say_briefly("server", _refusal(outcome.error))
    names = [line for line in _acceptable(lines)[1:] if "Authority" in line]
    checks.expect(len(names) == 2, "openssl lists the names of the two roots")
    checks.expect(
        outcome.peer is not None and outcome.peer.certificate.x509 == pki.clients["questlove"].certificate,
        "the server verifies questlove, sent by openssl",
    )


def _acceptable(lines: list[str]) -> list[str]:
    """The "Acceptable client certificate CA names" line and the names below it."""
    start = next((at for at, line in enumerate(lines) if line.startswith("Acceptable client certificate")), None)
    if start is None:
        return [line for line in lines if line.startswith("No client certificate CA names")]
    names = []
    for line in lines[start + 1 :]:
        if "=" not in line:
            break
        names.append(line)
    return [lines[start], *names]


def _credential(issued: Issued, *, fallback: bool = False) -> trustls.Credential:
    return trustls.Credential.from_pem(chain=issued.pem_chain, key=issued.pem_key, fallback=fallback)


def _refusal(error: TLSError | None) -> Text:
    if error is None:
        return Text("noticed nothing", style="yellow")
    return Text(shown_lines(str(error)), style="red")


def _say(who: Text | str, what: RenderableType) -> None:
    """Who says or sees something, and below it what."""
    console.print(indented(who if isinstance(who, Text) else Text(who, style="dim")))
    console.print(indented(indented(what)))


def _say_briefly(who: str, what: RenderableType) -> None:
    """The same on one line, where it fits."""
    row = Table.grid(padding=(0, 2))
    row.add_column(min_width=9, style="dim", no_wrap=True)
    row.add_column()
    row.add_row(who, what)
    console.print(indented(row))
