"""Servers that are programs of their own: redis-server, mosquitto and PostgreSQL, on OpenSSL, which require client
certificates of the second CA. Each listens on a free port of 127.0.0.1 and is gone when the test is.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import pytest

from tests.integrations.mutual import Files

SECONDS: Final = 20.0
"""How long a daemon has until it listens."""


def free_ports(count: int) -> list[int]:
    """Different ones that nobody listens on."""
    with contextlib.ExitStack() as stack:
        found = [stack.enter_context(socket.socket()) for _ in range(count)]
        for sock in found:
            sock.bind(("127.0.0.1", 0))
        return [sock.getsockname()[1] for sock in found]


def free_port() -> int:
    """One that nobody listens on."""
    return free_ports(1)[0]


@contextlib.contextmanager
def running(
    command: Sequence[str],
    port: int,
    folder: Path,
    *,
    user: str | None = None,
    stop: int = signal.SIGTERM,
    ready: str = "",
) -> Iterator[int]:
    """The command from when it listens on the port, and has logged the words `ready`, until the end of the block."""
    log = folder / "log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output, user=user
        )
    try:
        deadline = time.monotonic() + SECONDS
        while not _listens(port) or ready not in log.read_text():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{command[0]} does not listen on port {port}:\n{log.read_text()}")
            time.sleep(0.02)
        yield port
    finally:
        process.send_signal(stop)
        try:
            process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


@contextlib.contextmanager
def redis(command: str, files: Files) -> Iterator[int]:
    """redis-server with `tls-auth-clients yes`; its port."""
    port = free_port()
    options = {
        "--port": "0",
        "--tls-port": str(port),
        "--bind": "127.0.0.1",
        "--save": "",
        "--appendonly": "no",
        "--tls-auth-clients": "yes",
        "--tls-cert-file": str(files.server[0]),
        "--tls-key-file": str(files.server[1]),
        "--tls-ca-cert-file": str(files.second_root),
    }
    with tempfile.TemporaryDirectory(prefix="trustls-redis-") as folder:
        arguments = [part for option in options.items() for part in option]
        with running([command, *arguments], port, Path(folder)):
            yield port


@contextlib.contextmanager
def nats(command: str, files: Files) -> Iterator[int]:
    """nats-server (Go) with `verify_and_map`; its port. Who a client is, its certificate's subject says."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="trustls-nats-") as folder:
        configuration = Path(folder, "nats.conf")
        configuration.write_text(
            f"""
listen: "127.0.0.1:{port}"
max_payload: 4MB
tls {{
  cert_file: "{files.server[0]}"
  key_file: "{files.server[1]}"
  ca_file: "{files.second_root}"
  verify_and_map: true
}}
authorization {{ users = [ {{ user: "CN=alice of the second" }} ] }}
"""
        )
        with running([command, "-c", str(configuration)], port, Path(folder)):
            yield port


@contextlib.contextmanager
def mosquitto(command: str, files: Files) -> Iterator[int]:
    """mosquitto with `require_certificate`; its port. Who a client is, its certificate's CN says."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="trustls-mosquitto-") as folder:
        configuration = Path(folder, "mosquitto.conf")
        configuration.write_text(
            f"""
user root
listener {port} 127.0.0.1
cafile {files.second_root}
certfile {files.server[0]}
keyfile {files.server[1]}
require_certificate true
use_identity_as_username true
allow_anonymous false
log_dest stdout
"""
        )
        with running([command, "-c", str(configuration)], port, Path(folder)):
            yield port


@contextlib.contextmanager
def vsftpd(command: str, files: Files) -> Iterator[int]:
    """vsftpd, which wants each data connection to resume the session of its control connection; its port.

    Anybody may put files into `upload` and take them from there.
    """
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="trustls-vsftpd-") as name:
        folder = Path(name)
        upload = folder / "files" / "upload"
        upload.mkdir(parents=True)
        for path, mode in ((folder, 0o755), (folder / "files", 0o755), (upload, 0o777)):
            path.chmod(mode)
        empty = folder / "empty"
        empty.mkdir()
        settings = {
            "listen": "YES",
            "listen_address": "127.0.0.1",
            "listen_port": port,
            "background": "NO",
            "run_as_launching_user": "NO" if os.geteuid() == 0 else "YES",
            "secure_chroot_dir": empty,
            "anonymous_enable": "YES",
            "no_anon_password": "YES",
            "anon_root": folder / "files",
            "anon_upload_enable": "YES",
            "anon_umask": "022",
            "write_enable": "YES",
            "local_enable": "NO",
            "seccomp_sandbox": "NO",
            "isolate": "NO",
            "isolate_network": "NO",
            "ssl_enable": "YES",
            "allow_anon_ssl": "YES",
            "force_anon_logins_ssl": "YES",
            "force_anon_data_ssl": "YES",
            "require_ssl_reuse": "YES",
            "require_cert": "YES",
            "validate_cert": "YES",
            "ca_certs_file": files.second_root,
            "rsa_cert_file": files.server[0],
            "rsa_private_key_file": files.server[1],
            "ssl_ciphers": "HIGH",
        }
        configuration = folder / "vsftpd.conf"
        configuration.write_text("".join(f"{setting}={value}\n" for setting, value in settings.items()))
        with running([command, str(configuration)], port, folder):
            yield port


@contextlib.contextmanager
def dovecot(command: str, files: Files) -> Iterator[tuple[int, int, int, int]]:
    """dovecot, which takes the CN of the certificate for the user; its ports for IMAPS, IMAP, POP3S and POP3."""
    if os.geteuid() != 0:
        pytest.skip("dovecot changes its users, and so is started by root alone: run this test as root")
    imaps, imap, pop3s, pop3 = free_ports(4)
    with tempfile.TemporaryDirectory(prefix="trustls-dovecot-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        mail = folder / "mail"
        mail.mkdir()
        owner = pwd.getpwnam("nobody")
        os.chown(mail, owner.pw_uid, owner.pw_gid)
        configuration = folder / "dovecot.conf"
        configuration.write_text(
            f"""
base_dir = {folder}/run
log_path = /dev/stderr
protocols = imap pop3
listen = 127.0.0.1
ssl = required
ssl_cert = <{files.server[0]}
ssl_key = <{files.server[1]}
ssl_ca = <{files.second_root}
ssl_verify_client_cert = yes
ssl_require_crl = no
auth_ssl_require_client_cert = yes
disable_plaintext_auth = yes
mail_location = maildir:{mail}
first_valid_uid = {owner.pw_uid}
first_valid_gid = {owner.pw_gid}
passdb {{
  driver = static
  args = nopassword=y
}}
userdb {{
  driver = static
  args = uid={owner.pw_uid} gid={owner.pw_gid} home={mail}
}}
service imap-login {{
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = {imaps}
    ssl = yes
  }}
}}
service pop3-login {{
  inet_listener pop3 {{
    port = {pop3}
  }}
  inet_listener pop3s {{
    port = {pop3s}
    ssl = yes
  }}
}}
"""
        )
        with running([command, "-F", "-c", str(configuration)], imaps, folder):
            yield imaps, imap, pop3s, pop3


@contextlib.contextmanager
def postgresql(require_peer: Callable[[str], str], files: Files) -> Iterator[int]:
    """PostgreSQL that lets in the database user postgres by the certificate of `alice of the second`; its port."""
    programs = _programs_of_postgresql(require_peer)
    port = free_port()
    # It refuses to run as root, and so cannot read what root has put aside.
    user = "postgres" if os.geteuid() == 0 else None
    with tempfile.TemporaryDirectory(prefix="trustls-postgresql-") as name:
        folder = Path(name)
        for source, target in (
            (files.server[0], "server.pem"),
            (files.server[1], "server-key.pem"),
            (files.second_root, "root.pem"),
        ):
            shutil.copy(source, folder / target)
            (folder / target).chmod(0o600)
        if user is not None:
            owner = pwd.getpwnam(user)
            for path in (folder, *folder.iterdir()):
                os.chown(path, owner.pw_uid, owner.pw_gid)
        data = folder / "data"
        subprocess.run(
            [
                programs / "initdb",
                "-D",
                data,
                "-U",
                "postgres",
                "-A",
                "reject",
                "-E",
                "UTF8",
                "--locale=C",
                "--no-sync",
            ],
            check=True,
            capture_output=True,
            cwd=folder,
            user=user,
        )
        (data / "pg_hba.conf").write_text("hostssl all all 127.0.0.1/32 cert map=certificates\n")
        (data / "pg_ident.conf").write_text('certificates "alice of the second" postgres\n')
        settings = {
            "ssl": "on",
            "ssl_cert_file": folder / "server.pem",
            "ssl_key_file": folder / "server-key.pem",
            "ssl_ca_file": folder / "root.pem",
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "fsync": "off",
        }
        options = [part for setting, value in settings.items() for part in ("-c", f"{setting}={value}")]
        command = [str(programs / "postgres"), "-D", str(data), "-p", str(port), *options]
        ready = "ready to accept connections"  # It listens before, and turns everybody away.
        with running(command, port, folder, user=user, stop=signal.SIGINT, ready=ready):
            yield port


def _programs_of_postgresql(require_peer: Callable[[str], str]) -> Path:
    """Where initdb and postgres are: Debian keeps them off the path, a folder for each version."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    found = versions[-1] if versions else Path(require_peer("postgres")).resolve()
    return found.parent
