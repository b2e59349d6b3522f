"""What the demo is played on: certificates made for the occasion, a server, and visits to it.

Which promises were kept is counted here too.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

import trustls
from trustls.cli.pki import Authority, Issued
from trustls.cli.render import console, indented, shown_lines, step
from trustls.errors import TLSError

SECONDS = 5.0
"""How long any one thing may take before the demo gives up on it."""
GREETING = b"Sit down. Be humble.\n"


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
        say(Text(who, style=style), Group(*(_family(root, below) for root, below in members)))
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
    server: Outcome


@dataclass(slots=True)
class Outcome:
    """What the server knows of one connection."""

    info: trustls.ConnectionInfo | None = None
    peer: trustls.Peer | None = None
    error: TLSError | None = None


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

    def client(self, *held: trustls.Credential, versions: Sequence[str] | None = None) -> trustls.ClientConfig:
        """A client that holds these credentials."""
        roots = trustls.RootCertStore([self._pki.server_root.certificate])
        return trustls.ClientConfig(roots=roots, credentials=held, versions=versions)

    def visit(self, config: trustls.ClientConfig) -> Visit:
        """Connect with this client, and see what either side makes of it."""
        connection, error, reply = None, None, b""
        with self.serving() as outcome:
            try:
                with trustls.connect(("127.0.0.1", self.port), config, server_name="localhost", timeout=SECONDS) as tls:
                    connection = tls.connection
                    reply = tls.recv(100)
            except TLSError as failure:
                error = failure
        return Visit(connection, error, reply, outcome)

    @contextlib.contextmanager
    def serving(self) -> Iterator[Outcome]:
        """Serve one client in the server's thread; the outcome is there at the end of the block."""
        outcome = Outcome()
        served = self._thread.submit(self._serve, outcome)
        yield outcome
        served.result(SECONDS / 2)

    def _serve(self, outcome: Outcome) -> None:
        try:
            with self._listener.accept() as tls:
                tls.settimeout(SECONDS)
                tls.handshake()
                outcome.info, outcome.peer = tls.connection.info, tls.connection.peer
                tls.sendall(GREETING)
        except TLSError as failure:
            outcome.error = failure


def as_credential(issued: Issued, *, fallback: bool = False) -> trustls.Credential:
    """What a configuration takes."""
    return trustls.Credential.from_pem(chain=issued.pem_chain, key=issued.pem_key, fallback=fallback)


def refusal(error: TLSError | None) -> Text:
    """Why a side gave up, in its own words."""
    if error is None:
        return Text("noticed nothing", style="yellow")
    return Text(shown_lines(str(error)), style="red")


def say(who: Text | str, what: RenderableType) -> None:
    """Who says or sees something, and below it what."""
    console.print(indented(who if isinstance(who, Text) else Text(who, style="dim")))
    console.print(indented(indented(what)))


def say_briefly(who: str, what: RenderableType) -> None:
    """The same on one line, where it fits."""
    row = Table.grid(padding=(0, 2))
    row.add_column(min_width=9, style="dim", no_wrap=True)
    row.add_column()
    row.add_row(who, what)
    console.print(indented(row))
