"""Headless Chromium with client certificates in a store of its own, and the setting that lets it choose unasked."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, pkcs12

from tests.support.pki import PKI, Identity
from tests.support.processes import SECONDS, run

POLICIES: Final = Path("/etc/chromium/policies/managed")
_PASSWORD: Final = "of a file that nobody keeps"

Filter = Mapping[str, Mapping[str, str]]
"""What a certificate must be like to be chosen: {"ISSUER": {"CN": "..."}}, or {} for any."""


class PageFailed(Exception):
    """Chromium could not load a page; its name for the reason."""


class Chromium:
    """A browser with a profile of its own, which trusts the test's server root and holds some client certificates.

    Chromium asks its user which certificate to send, unless the policy AutoSelectCertificateForUrls answers for a page.
    Where policies may be written (by root, as in CI), that is how it is answered here; elsewhere by the setting in the
    profile that the policy is another source of.
    """

    def __init__(self, chromium: str, certutil: str, pk12util: str, folder: Path, pki: PKI) -> None:
        self._command = chromium
        self._home = folder / "home"
        self._profile = folder / "profile"
        self._pk12util = pk12util
        self._store = f"sql:{self._home}/.pki/nssdb"
        (self._home / ".pki" / "nssdb").mkdir(parents=True)
        _check([certutil, "-d", self._store, "-N", "--empty-password"])
        _check([certutil, "-d", self._store, "-A", "-n", "root", "-t", "C,,", "-i", str(pki.server_root_file)])

    def add(self, identity: Identity) -> None:
        """Put a certificate, its intermediates and its key into the browser's store."""
        issued = identity.issued
        assert isinstance(issued.key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey), (
            "NSS takes no others from PKCS #12"
        )
        file = self._home / f"{identity.chain_file.stem}.p12"
        encryption = BestAvailableEncryption(_PASSWORD.encode())
        file.write_bytes(
            pkcs12.serialize_key_and_certificates(
                identity.chain_file.stem.encode(), issued.key, issued.certificate, issued.intermediates, encryption
            )
        )
        _check([self._pk12util, "-d", self._store, "-i", str(file), "-W", _PASSWORD])

    def page(self, port: int, choose: Sequence[Filter]) -> str:
        """https://localhost:`port`/ as HTML, or PageFailed.

        A certificate of the store that the server's hints allow, and that fits one of `choose`, is sent unasked.
        """
        url = f"https://localhost:{port}"
        with self._choosing(url, choose):
            result = subprocess.run(
                [
                    *(self._command, "--headless=new", "--dump-dom", f"--user-data-dir={self._profile}"),
                    *("--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"),  # For containers.
                    *("--no-first-run", "--disable-background-networking", "--disable-component-update"),
                    *("--no-proxy-server", "--host-resolver-rules=MAP localhost 127.0.0.1", f"{url}/"),
                ],
                env={**os.environ, "HOME": str(self._home), "XDG_CONFIG_HOME": "", "XDG_CACHE_HOME": "", "LC_ALL": "C"},
                capture_output=True,
                timeout=SECONDS,
                check=False,
            )
        page, log = result.stdout.decode(errors="replace"), result.stderr.decode(errors="replace")
        failure = re.search(r"Page load failed: net::(\w+)", log)
        if failure:
            raise PageFailed(failure[1])
        assert "</html>" in page, f"Chromium shows nothing:\n{page}\n{log}"
        return page

    @contextlib.contextmanager
    def _choosing(self, url: str, choose: Sequence[Filter]) -> Iterator[None]:
        if not _may_write(POLICIES):
            self._prefer(url, choose)
            yield
            return
        policy = POLICIES / f"trustls-test-{os.getpid()}.json"
        missing = [folder for folder in (POLICIES, *POLICIES.parents) if not folder.exists()]
        POLICIES.mkdir(parents=True, exist_ok=True)
        try:
            entries = [json.dumps({"pattern": url, "filter": one}) for one in choose]
            policy.write_text(json.dumps({"AutoSelectCertificateForUrls": entries}))
            yield
        finally:
            policy.unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # Somebody else has put something there meanwhile.
                for folder in missing:
                    folder.rmdir()

    def _prefer(self, url: str, choose: Sequence[Filter]) -> None:
        setting = {f"{url},*": {"setting": {"filters": list(choose)}}}
        preferences = {"profile": {"content_settings": {"exceptions": {"auto_select_certificate": setting}}}}
        folder = self._profile / "Default"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "Preferences").write_text(json.dumps(preferences))


def _may_write(folder: Path) -> bool:
    """Whether files may be made there, with the folders on the way to it."""
    while not folder.exists():
        folder = folder.parent
    return os.access(folder, os.W_OK)


def _check(arguments: Sequence[str]) -> None:
    result = run(arguments)
    assert result.returncode == 0, f"{arguments[0]} failed: {result.stdout}{result.stderr}"


def rows(page: str) -> dict[str, str]:
    """The rows of the status page, by their label."""
    return dict(re.findall(r"<tr><th>(.*?)</th><td>(.*?)</td></tr>", page))
