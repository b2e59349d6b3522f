"""`trustls demo`: mutual TLS with CA hints, from the certificates to the refusals, on one screen.

It checks itself: when something does not come out as it says, the exit code is 1.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import click
from rich.panel import Panel
from rich.text import Text

import trustls
from trustls.cli import options
from trustls.cli.demo_stage import (
    GREETING,
    SECONDS,
    Checks,
    DemoPKI,
    Server,
    Visit,
    as_credential,
    make_pki,
    refusal,
    say,
    say_briefly,
)
from trustls.cli.exits import OK, TLS_FAILED
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
from trustls.errors import AlertDescription, AlertReceived, CertificateRejected


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
            title=Text("trustls: mutual TLS, seen from both sides", style="bold"),
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
            show_tls12(server, pki, checks)
            show_resumption(server, pki, checks)
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


def show_choice(server: Server, pki: DemoPKI, checks: Checks) -> None:
    """A client that holds all three certificates chooses the right one."""
    step(3, "A client with all three certificates")
    held = [(name, as_credential(issued)) for name, issued in pki.clients.items()]
    visit = server.visit(server.client(*(credential for _, credential in held)))
    connection = visit.client
    if connection is None or connection.requested is None:
        checks.expect(False, f"the client connects and is asked for a certificate ({visit.client_error})")
        return
    requested, chosen = connection.requested, connection.info.credential
    say_briefly("connected", agreement(connection.info))
    say("CA names received", authority_list(requested.authorities))
    say("certificates held", credential_choice(held, requested, chosen))
    checks.expect(
        [name.der for name in requested.authorities]
        == [root.certificate.subject.public_bytes() for root in pki.client_roots],
        "the client receives the names of the two roots, in order",
    )
    checks.expect(chosen is held[1][1], "the client chooses kendrick: the first that the server can accept")
    checks.expect(held[0][1].fits(requested) is not None, "the client can say why it passed over the stranger")

    if visit.server.peer is None:
        checks.expect(False, f"the server verifies the client ({visit.server.error})")
        return
    say("the server verified", chain_tree(visit.server.peer.verified))
    said = visit.reply.decode(errors="replace").strip()
    say_briefly("and said", Text(shown_lines(said), style="italic"))
    checks.expect(
        [certificate.x509 for certificate in visit.server.peer.verified]
        == [*pki.clients["kendrick"].chain, pki.client_roots[0].certificate],
        "the server verifies kendrick's chain up to the root",
    )
    checks.expect(visit.reply == GREETING, "the server's greeting arrives")


def show_refusals(server: Server, pki: DemoPKI, checks: Checks) -> None:
    """Clients that the server does not let in: each side says why in its own words."""
    step(4, "Clients that are not let in")
    stranger = as_credential(pki.clients["stranger"])
    insistent = as_credential(pki.clients["stranger"], fallback=True)
    required, unknown_ca = AlertDescription.CERTIFICATE_REQUIRED, AlertDescription.UNKNOWN_CA
    for title, credentials, alert in (
        ("Only the stranger's certificate; it does not fit, so none is sent", [stranger], required),
        ("The same, marked as a fallback, so it is sent after all", [insistent], unknown_ca),
        ("No certificate at all", [], required),
    ):
        visit = server.visit(server.client(*credentials))
        console.print(indented(Text(title, style="bold")))
        _show_refusal(visit, alert, title, checks)


def _show_refusal(visit: Visit, alert: AlertDescription, title: str, checks: Checks) -> None:
    client_error, server_error = visit.client_error, visit.server.error
    say_briefly("client", refusal(client_error))
    say_briefly("server", refusal(server_error))
    checks.expect(
        isinstance(server_error, CertificateRejected) and server_error.alert is alert,
        f"{title}: the server refuses with {alert.name.lower()}",
    )
    checks.expect(
        isinstance(client_error, AlertReceived) and client_error.description is alert,
        f"{title}: the client learns of {alert.name.lower()}",
    )
    checks.expect(visit.server.peer is None and not visit.reply, f"{title}: nothing is said to that client")


def show_tls12(server: Server, pki: DemoPKI, checks: Checks) -> None:
    """The same story in TLS 1.2, where the CA names are a field of the request."""
    step(5, "The same in TLS 1.2")
    held = {name: as_credential(issued) for name, issued in pki.clients.items()}
    visit = server.visit(server.client(*held.values(), versions=["1.2"]))
    connection = visit.client
    if connection is None or connection.requested is None:
        checks.expect(False, f"TLS 1.2: the client connects and is asked for a certificate ({visit.client_error})")
        return
    requested, chosen = connection.requested, connection.info.credential
    say_briefly("connected", agreement(connection.info))
    say("CA names received", authority_list(requested.authorities))
    say("certificates held", credential_choice(list(held.items()), requested, chosen))
    checks.expect(connection.info.version is trustls.ProtocolVersion.TLS1_2, "both sides speak TLS 1.2")
    checks.expect(
        [name.der for name in requested.authorities]
        == [root.certificate.subject.public_bytes() for root in pki.client_roots],
        "TLS 1.2: the client receives the names of the two roots, in order",
    )
    checks.expect(chosen is held["kendrick"], "TLS 1.2: the client chooses kendrick")
    checks.expect(
        visit.server.peer is not None and visit.server.peer.certificate.x509 == pki.clients["kendrick"].certificate,
        f"TLS 1.2: the server verifies kendrick ({visit.server.error})",
    )
    title = "Only the stranger's certificate, which is not sent"
    console.print(indented(Text(title, style="bold")))
    refused = server.visit(server.client(held["stranger"], versions=["1.2"]))
    _show_refusal(refused, AlertDescription.HANDSHAKE_FAILURE, f"TLS 1.2: {title}", checks)


def show_resumption(server: Server, pki: DemoPKI, checks: Checks) -> None:
    """A client that comes again goes on with its session: nobody sends certificates, and it is still known."""
    step(6, "The same client, coming again")
    for version in ("1.3", "1.2"):
        client = server.client(as_credential(pki.clients["kendrick"]), versions=[version])
        first, again = server.visit(client), server.visit(client)
        connections = (first.client, again.client)
        if connections[0] is None or connections[1] is None or again.server.info is None or again.server.peer is None:
            checks.expect(
                False, f"TLS {version}: the client connects twice ({first.client_error}, {again.client_error})"
            )
            continue
        say_briefly("first", agreement(connections[0].info))
        say_briefly("again", agreement(connections[1].info))
        asked = connections[1].requested is not None
        say_briefly(
            "server",
            Text.assemble(
                "still knows ", (again.server.peer.subject, "green"), "" if asked else ", and asked for no certificate"
            ),
        )
        checks.expect(
            not connections[0].info.resumed and connections[1].info.resumed and again.server.info.resumed,
            f"TLS {version}: the second connection is resumed, and both sides say so",
        )
        checks.expect(not asked, f"TLS {version}: no certificate is asked for again")
        checks.expect(
            first.server.peer is not None and again.server.peer.verified == first.server.peer.verified,
            f"TLS {version}: the server knows the client as before",
        )


def show_openssl(server: Server, pki: DemoPKI, checks: Checks) -> None:
    """What OpenSSL's own client sees of the server."""
    step(7, "The same server, seen by openssl s_client")
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
                timeout=SECONDS,
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
        say_briefly("server", Text.assemble("verified ", (outcome.peer.subject, "green")))
    elif outcome.error is not None:
        say_briefly("server", refusal(outcome.error))
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
