"""The other TLS implementations that tests talk to, and what happens when one is not installed."""

from __future__ import annotations

import os
import shutil

import pytest

# The command, the Debian package that brings it, and where else to get it.
_PACKAGES = {
    "openssl": ("openssl", "brew install openssl@3"),
    "curl": ("curl", "brew install curl"),
    "gnutls-cli": ("gnutls-bin", "brew install gnutls"),
    "gnutls-serv": ("gnutls-bin", "brew install gnutls"),
    "softhsm2-util": ("softhsm2", "brew install softhsm"),
    "redis-server": ("redis-server", "brew install redis"),
    "go": ("golang-go", "brew install go"),
    "cargo": ("cargo", "brew install rust"),
    "dovecot": ("dovecot-imapd dovecot-pop3d", "brew install dovecot"),
    "nats-server": ("nats-server", "brew install nats-server"),
    "vsftpd": ("vsftpd", "from its source"),
    "mosquitto": ("mosquitto", "brew install mosquitto"),
    "postgres": ("postgresql", "brew install postgresql"),
    "node": ("nodejs", "brew install node"),
    "java": ("default-jdk-headless", "brew install openjdk"),
    "javac": ("default-jdk-headless", "brew install openjdk"),
    "nginx": ("nginx libnginx-mod-stream", "brew install nginx"),
    "haproxy": ("haproxy", "brew install haproxy"),
    "chromium": ("chromium", "brew install --cask chromium"),
    "certutil": ("libnss3-tools", "brew install nss"),
    "pk12util": ("libnss3-tools", "brew install nss"),
}

# Where Debian keeps the programs of daemons, which only root has on its path.
_SYSTEM_PROGRAMS = os.pathsep.join(("/usr/sbin", "/usr/local/sbin"))


def require_peer(name: str) -> str:
    """The path of a peer's command.

    Where it is not installed the test is skipped with a reason that says how to get it; with TRUSTLS_REQUIRE_PEERS=1,
    as in CI, it fails instead, so that a green run has talked to every peer.
    """
    path = shutil.which(name) or shutil.which(name, path=_SYSTEM_PROGRAMS)
    if path is not None:
        return path
    package, elsewhere = _PACKAGES[name]
    reason = f"{name} is not installed here: apt-get install {package} (or {elsewhere})"
    if os.environ.get("TRUSTLS_REQUIRE_PEERS") == "1":
        pytest.fail(f"{reason}; TRUSTLS_REQUIRE_PEERS=1 asks for it", pytrace=False)
    pytest.skip(reason)
