"""ftplib to a vsftpd that requires client certificates and resumed data connections: docs/integrations/ftplib.md."""

from __future__ import annotations

import ftplib
import io
import os
import ssl
from collections.abc import Iterator

import pytest

from tests.integrations import daemons, recipes
from tests.integrations.mutual import (
    REFUSED,
    SERVER_SUBJECT,
    ConfigMaker,
    Files,
    Handshakes,
    check_refused,
    client_config,
    subject_of,
)
from tests.peers import require_peer

recipe = recipes.load("ftplib")


@pytest.fixture(scope="module")
def port(files: Files) -> Iterator[int]:
    with daemons.vsftpd(require_peer("vsftpd"), files) as port:
        yield port


@pytest.mark.parametrize("version", ["1.3", "1.2"])
def test_files_go_over_mutual_tls_and_data_connections_resume(port: int, version: str, handshakes: Handshakes) -> None:
    data = os.urandom(1 << 20)
    name = f"file-{version}"
    found = bytearray()
    with recipe.login(client_config(versions=[version]), "localhost", port) as ftp:
        ftp.cwd("upload")
        ftp.storbinary(f"STOR {name}", io.BytesIO(data))
        assert name in ftp.nlst()
        ftp.retrbinary(f"RETR {name}", found.extend)
        assert subject_of(ftp.sock.getpeercert()) == SERVER_SUBJECT
    assert found == data
    handshakes.check_clients(4)
    control, *transfers = handshakes.clients
    assert not control.info.resumed
    assert all(one.info.resumed for one in transfers), "vsftpd lets no other data connection through"


@REFUSED
def test_refusal_is_told_in_words(port: int, refused_config: ConfigMaker, why: str) -> None:
    with pytest.raises((ssl.SSLError, *ftplib.all_errors)) as refused:
        recipe.login(refused_config(), "localhost", port)
    check_refused(refused.value, why)
