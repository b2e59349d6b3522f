"""imaplib and poplib to a dovecot that wants client certificates: docs/integrations/imaplib.md."""

from __future__ import annotations

import imaplib
import poplib
from collections.abc import Iterator

import pytest

from tests.integrations import daemons, recipes
from tests.integrations.mutual import (
    REFUSED,
    SERVER_SUBJECT,
    ConfigMaker,
    Files,
    Handshakes,
    client_config,
    subject_of,
)
from tests.peers import require_peer

recipe = recipes.load("imaplib")
LETTER = b"Subject: A test\r\n\r\n" + b"line\r\n" * 50_000


@pytest.fixture(scope="module")
def ports(files: Files) -> Iterator[tuple[int, int, int, int]]:
    with daemons.dovecot(require_peer("dovecot"), files) as ports:
        yield ports


@pytest.mark.parametrize(("open_", "which"), [("imap", 0), ("imap_after_starttls", 1)])
def test_a_letter_is_put_and_fetched_by_imap(
    open_: str, which: int, ports: tuple[int, int, int, int], handshakes: Handshakes
) -> None:
    with getattr(recipe, open_)(client_config(), "localhost", ports[which]) as imap:
        assert subject_of(imap.sock.getpeercert()) == SERVER_SUBJECT
        imap.login("alice", "any")
        assert imap.append("INBOX", "", "", LETTER)[0] == "OK"
        _, (count,) = imap.select()
        _, data = imap.fetch(count.decode(), "(RFC822)")
        assert data[0][1] == LETTER
    handshakes.check_clients()


@pytest.mark.parametrize(("open_", "which"), [("pop3", 2), ("pop3_after_stls", 3)])
def test_pop3_logs_in(open_: str, which: int, ports: tuple[int, int, int, int], handshakes: Handshakes) -> None:
    pop3 = getattr(recipe, open_)(client_config(), "localhost", ports[which])
    pop3.user("alice")
    assert pop3.pass_("any").startswith(b"+OK")
    pop3.quit()
    handshakes.check_clients()


@REFUSED
def test_refusal_is_told_in_words(ports: tuple[int, int, int, int], refused_config: ConfigMaker, why: str) -> None:
    del why  # dovecot sends no alert: it says so itself.
    imap = recipe.imap(refused_config(), "localhost", ports[0])
    with imap, pytest.raises(imaplib.IMAP4.error) as refused:
        imap.login("alice", "any")
    assert b"didn't present valid SSL certificate" in refused.value.args[0]
    pop3 = recipe.pop3(refused_config(), "localhost", ports[2])
    pop3.user("alice")
    with pytest.raises(poplib.error_proto) as refused_too:
        pop3.pass_("any")
    assert b"didn't present valid SSL certificate" in refused_too.value.args[0]
    pop3.quit()
