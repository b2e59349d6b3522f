"""How the commands look: consoles, the facts of a connection and of certificates, and a failure as a sentence.

What a peer chose (names, alerts, protocols) goes through `shown` first, and to rich as Text, never as markup.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from cryptography import x509
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

import trustls
from trustls.cli.pki import Issued, is_authority
from trustls.wire.names import is_misleading, shown


class _Console(Console):
    def on_broken_pipe(self) -> NoReturn:
        """Leave a reader that went away (`| head`) to `run`, as for any other output."""
        raise BrokenPipeError


console = _Console(highlight=False)
notes = _Console(stderr=True, highlight=False)
"""Where a command says what it does while standard output carries data."""


def failure(sentence: str) -> None:
    """Say what went wrong, on standard error."""
    text = Text("trustls: ", style="bold red")
    text.append(shown_lines(sentence), style="default")
    notes.print(text, soft_wrap=True)


def note(sentence: str) -> None:
    """Say what a person should know, on standard error, and go on."""
    text = Text("trustls: ", style="yellow")
    text.append(shown_lines(sentence), style="default")
    notes.print(text, soft_wrap=True)


def shown_lines(text: str) -> str:
    """Foreign text, of one line or several, made fit for a terminal; whole, where `shown` would shorten it."""
    if text.isascii() and text.replace("\n", "").isprintable():
        return text
    return "".join(
        character.encode("unicode_escape").decode() if is_misleading(character) and character != "\n" else character
        for character in text
    )


def pki_files(made: Issued, chain: Path, key: Path) -> RenderableType:
    """What `trustls pki` made, and where it is."""
    certificate = made.certificate
    kind = "CA" if is_authority(certificate) else "certificate"
    subject = certificate.subject.rfc4514_string() or "(a subject left empty: the names stand in the SAN)"
    rows = [
        Text.assemble(("✓ ", "green"), (f"{kind} ", "default"), (shown(subject), "bold")),
        Text.assemble(("  issued by    ", "dim"), shown(certificate.issuer.rfc4514_string())),
    ]
    if names := _alternative_names(certificate):
        rows.append(Text.assemble(("  valid for    ", "dim"), ", ".join(map(shown, names))))
    rows += [
        Text.assemble(("  until        ", "dim"), f"{certificate.not_valid_after_utc:%Y-%m-%d}"),
        Text.assemble(("  certificate  ", "dim"), str(chain)),
        Text.assemble(("  key          ", "dim"), str(key), (" (keep it to yourself)", "dim")),
    ]
    for row in rows:
        row.no_wrap = True
        row.overflow = "fold"
    return Group(*rows)


def _alternative_names(certificate: x509.Certificate) -> list[str]:
    try:
        san = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [str(name.value) for name in san]


def never_fail_on_encoding() -> None:
    """Make output that the terminal's encoding lacks come out as escapes instead of failing (LANG=C)."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def connection_rows(info: trustls.ConnectionInfo) -> list[tuple[str, str]]:
    """What the handshake agreed on, as (label, value)."""
    rows = [
        ("version", str(info.version)),
        ("cipher suite", str(info.suite)),
        ("key exchange", str(info.group)),
    ]
    if info.server_name:
        rows.append(("server name", shown(info.server_name)))
    if info.alpn:
        rows.append(("protocol", shown(info.alpn)))
    if info.resumed:
        rows.append(("resumed", "yes"))
    if info.psk_identity is not None:
        rows.append(("pre-shared key", _identity(info.psk_identity)))
    return rows


def agreement(info: trustls.ConnectionInfo) -> Text:
    """The same in one line."""
    facts = [str(info.version), str(info.suite), str(info.group)]
    if info.alpn:
        facts.append(f"ALPN {shown(info.alpn)}")
    if info.resumed:
        facts.append("resumed")
    if info.psk_identity is not None:
        facts.append(f"pre-shared key {_identity(info.psk_identity)}")
    return Text(" · ").join(Text(fact, style="cyan") for fact in facts)


def _identity(identity: bytes) -> str:
    return shown(identity.decode("utf-8", "backslashreplace"))


def certificate_names(certificate: trustls.Certificate) -> list[str]:
    """The names in its subjectAltName, made fit to be shown."""
    names = [
        *certificate.dns_names,
        *(str(address) for address in certificate.ip_addresses),
        *certificate.emails,
        *certificate.uris,
    ]
    return [shown(name) for name in names]


def chain_tree(chain: Sequence[trustls.Certificate]) -> Tree:
    """A verified chain, drawn from the root down to the certificate."""
    root, *below = reversed(chain)
    tree = node = Tree(Text.assemble(str(root.subject), ("  root", "dim")), guide_style="dim")
    for depth, certificate in enumerate(below, 1):
        label = Text(str(certificate.subject), style="bold" if depth == len(below) else "default")
        if depth < len(below):
            label.append("  intermediate", style="dim")
        node = node.add(label)
    return tree


def authority_list(authorities: Sequence[trustls.DistinguishedName], most: int | None = None) -> RenderableType:
    """The CA names that a server sent, or so many of them."""
    if not authorities:
        return Text("The server names no authorities: any certificate may do.", style="dim")
    lines = [Text.assemble(("• ", "dim"), (str(name), "yellow")) for name in authorities[:most]]
    if len(lines) < len(authorities):
        lines.append(Text(f"  and {len(authorities) - len(lines)} more", style="dim"))
    return Group(*lines)


def credential_choice(
    held: Sequence[tuple[str, trustls.Credential]],
    requested: trustls.CredentialRequest,
    chosen: trustls.Credential | None,
) -> RenderableType:
    """Each certificate that the client holds: sent, or why not."""
    table = Table.grid(padding=(0, 2))
    for name, credential in held:
        reason = credential.fits(requested)
        if credential is chosen:
            table.add_row(Text("✓", style="green"), Text(name, style="bold"), Text("sent", style="green"))
        elif reason is None:
            table.add_row(Text("·", style="dim"), Text(name), Text("would do too, but comes later", style="dim"))
        else:
            table.add_row(Text("✗", style="red"), Text(name), Text(shown_lines(reason)))
    return table


def heading(where: Console, text: str) -> None:
    """A heading over a few lines of facts."""
    where.print()
    where.print(Text(text, style="bold"))


def step(number: int, title: str) -> None:
    """The rule above a step of the demo."""
    console.print()
    console.print(Rule(Text.assemble((f" {number} ", "bold reverse blue"), f" {title} "), align="left", style="blue"))


def indented(renderable: RenderableType) -> Padding:
    """The same, two columns to the right."""
    return Padding(renderable, (0, 0, 0, 2))
