"""docs/cli.md: what each command says of itself. `python -m tests.docs.cli` writes it anew."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click

from trustls.cli import check_report
from trustls.cli.commands import trustls

DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "cli.md"

_HEAD: Final = """\
# The command line

`pip install 'trustls[cli]'` brings the `trustls` command. It is for development and for looking at things: a small PKI,
a server and a client that show what goes on between them, and a judgement without a network.

Written by `python -m tests.docs.cli` from what each command says with `--help`; not to be edited by hand.
"""
_NOT_RUN: Final = "<!-- not run: examples out of --help; tests/cli runs the commands -->"
_EXAMPLES: Final = re.compile(r"^Examples?:$")


def document() -> str:
    """The page."""
    context = click.Context(trustls, info_name="trustls")
    return _HEAD + "\n" + "\n".join(_command(context, level=2)).rstrip() + "\n"


def _command(context: click.Context, level: int) -> Iterator[str]:
    command = context.command
    yield f"{'#' * level} {context.command_path}\n"
    yield from _help(command.help or "")
    yield f"`{context.command_path} {' '.join(command.collect_usage_pieces(context))}`\n"
    records = [parameter.get_help_record(context) for parameter in command.get_params(context)]
    options = [record for record in records if record is not None and "--help" not in record[0]]
    if options:
        yield "| | |\n|---|---|"
        yield from (f"| `{_cell(names)}` | {_text(said)} |" for names, said in options)
        yield ""
    if command.name == "check":
        yield from _json(level + 1)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from _command(click.Context(below, info_name=name, parent=context), level + 1)


def _json(level: int) -> Iterator[str]:
    yield f"{'#' * level} What --json prints\n"
    yield "One object. What was not asked about is null; times are RFC 3339 in UTC. The exit code is as without it;"
    yield "where the command or its files are wrong (2) there is a sentence on standard error, and no JSON.\n"
    _, fields = (inspect.getdoc(check_report.as_json) or "").split("\n\n", 1)
    yield fields.replace("`FORMAT`", str(check_report.FORMAT)) + "\n"
    yield "The format's number grows when a field changes its meaning or goes; new fields may come at any time.\n"


def _help(text: str) -> Iterator[str]:
    r"""Its paragraphs; those after a `\b` are examples, line by line."""
    for paragraph in re.split(r"\n\s*\n", text.strip()):
        lines = [line.strip() for line in paragraph.replace("\b", "").splitlines() if line.strip()]
        if lines and _EXAMPLES.match(lines[0]):
            lines = lines[1:]
        if "\b" in paragraph or all(line.startswith(("trustls ", "printf ")) for line in lines):
            commands = "\n".join(f"$ {line}" for line in lines)
            yield f"{_NOT_RUN}\n```console\n{commands}\n```\n"
        else:
            yield "\n".join(lines) + "\n"


def _text(text: str) -> str:
    return _cell(text).replace("[", "\\[")  # It would be a link.


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    DOCUMENT.write_text(document())
