"""docs/cli.md says what the commands say."""

from __future__ import annotations

from tests.docs.cli import DOCUMENT, document


def test_page_is_what_the_commands_say() -> None:
    assert DOCUMENT.read_text() == document(), "write it anew with: python -m tests.docs.cli"
