"""smtplib to aiosmtpd, from the start or after STARTTLS: docs/integrations/smtplib.md."""

from __future__ import annotations

import asyncio
import smtplib
import ssl
from collections.abc import Callable
from email.message import EmailMessage
from typing import Any

import pytest

import trustls
from tests.integrations import recipes
from tests.integrations.daemons import free_port
from tests.integrations.mutual import (
    REFUSED,
    SECOND_SUBJECT,
    ConfigMaker,
    Handshakes,
    check_refused,
    client_config,
    first_root,
    roots,
    server_config,
    skip_without,
)
from tests.support.loops import run_in_loop

skip_without("aiosmtpd")
recipe = recipes.load("smtplib")

WAYS = pytest.mark.parametrize(
    ("serve", "send"), [("serve", "send"), ("serve_starttls", "send_after_starttls")], ids=["SMTPS", "STARTTLS"]
)


def _letter() -> EmailMessage:
    letter = EmailMessage()
    letter["From"], letter["To"], letter["Subject"] = "alice@example.org", "bob@example.org", "A test"
    letter.set_content("line\n" * 20_000)
    return letter


def _run(serve: str, client: Callable[[int], None]) -> Any:
    """Run a blocking client beside a server; the server's inbox."""
    inbox = recipe.Inbox()

    async def main() -> None:
        server = await getattr(recipe, serve)(server_config(), inbox, "localhost", free_port())
        async with server:
            await asyncio.to_thread(client, server.sockets[0].getsockname()[1])

    run_in_loop(main)
    return inbox


@WAYS
def test_a_letter_goes_over_mutual_tls(serve: str, send: str, handshakes: Handshakes) -> None:
    inbox = _run(serve, lambda port: getattr(recipe, send)(client_config(), "localhost", port, _letter()))
    (subject, content) = inbox.letters[0]
    assert subject == SECOND_SUBJECT
    assert content.count(b"line\r\n") == 20_000
    handshakes.check()


@WAYS
@REFUSED
def test_refusal_is_told_in_words(
    serve: str, send: str, refused_config: ConfigMaker, why: str, handshakes: Handshakes
) -> None:
    def refused_client(port: int) -> None:
        with pytest.raises((ssl.SSLError, smtplib.SMTPException)) as refused:
            getattr(recipe, send)(refused_config(), "localhost", port, _letter())
        check_refused(refused.value, why)

    assert _run(serve, refused_client).letters == []
    handshakes.check_refused(why)


def test_a_server_of_another_ca_is_refused() -> None:
    def wary_client(port: int) -> None:
        with pytest.raises(ssl.SSLCertVerificationError) as refused:
            recipe.send(client_config(roots=roots(first_root())), "localhost", port, _letter())
        assert isinstance(refused.value, trustls.CertificateRejected)

    assert _run("serve", wary_client).letters == []
