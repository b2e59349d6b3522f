"""Builds the sdist and, from it, the wheel; looks into both; installs them as users do, with each extra, in clean
environments.

`python -m tests.packaging.check` takes a minute or two and needs a package index, so it is a step of .ci/run and not
one of the tests. It leaves dist/ behind.
"""

from __future__ import annotations

import contextlib
import email
import shutil
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from collections.abc import Iterator
from email.message import Message
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
DIST: Final = ROOT / "dist"
SECONDS: Final = 600

# For each extra that users install, what must work with it and nothing else: arguments for its python.
PROBES: Final[dict[str, tuple[tuple[str, ...], ...]]] = {
    "cli": (("-m", "trustls", "--version"), ("-m", "trustls", "demo")),
    "brotli": (("-c", "from trustls.protocol.certificate_compression import named; named('brotli')"),),
    "redis": (("-c", "from trustls.session.redis import RedisSessions, RedisTicketKeys"),),
    "pkcs11": (("-c", "from trustls.identity.pkcs11 import Pkcs11Signer"),),
    "spiffe": (("-c", "from trustls.spiffe import WorkloadIdentity"),),
    "anyio": (("-c", "from trustls.anyio import connect_tls"),),
    "trio": (("-c", "from trustls.trio import open_tls_over_tcp_stream"),),
}
# Extras for working on trustls itself, which CI installs by other ways.
FOR_US: Final = frozenset({"bench", "dev", "docs", "fuzz", "integrations"})
# What the core installs, and nothing besides: cryptography, and what that depends on.
CORE: Final = frozenset({"trustls", "cryptography", "cffi", "pycparser"})
# Modules that the core must do without its extras; and those that must say which one they need.
CORE_MODULES: Final = ("trustls", "trustls.aio", "trustls.stdlib", "trustls.danger", "trustls.reloading")
NEEDS_AN_EXTRA: Final = {
    "trustls.anyio": "trustls[anyio]",
    "trustls.trio": "trustls[trio]",
    "trustls.spiffe": "trustls[spiffe]",
    "trustls.session.redis": "trustls[redis]",
    "trustls.identity.pkcs11": "trustls[pkcs11]",
}

HANDSHAKE: Final = """
from trustls import *
from trustls.cli.pki import Authority
import tempfile
with tempfile.TemporaryDirectory() as folder:
    from pathlib import Path
    servers, clients = Authority.create("Servers"), Authority.create("Clients")
    for authority, name in ((servers, "servers"), (clients, "clients")):
        authority.write(Path(folder), name)
    servers.issue_server("localhost").write(Path(folder), "server")
    clients.issue_client("alice").write(Path(folder), "alice")
    at = lambda name: f"{folder}/{name}.pem"
    own = lambda name: [Credential.from_pem(chain=at(name), key=at(f"{name}-key"))]
    roots = RootCertStore.from_pem(at("clients"))
    there = ServerConnection(ServerConfig(credentials=own("server"), client_auth=ClientAuth.required(roots)))
    here = ClientConnection(
        ClientConfig(roots=RootCertStore.from_pem(at("servers")), credentials=own("alice")), "localhost"
    )
    while here.handshaking or there.handshaking:
        there.receive(here.data_to_send())
        here.receive(there.data_to_send())
    assert there.peer.subject == "CN=alice", there.peer
"""


class Wrong(Exception):
    """Something is not as it should be; the message says what."""


class Venv:
    """A virtual environment with nothing in it; the pip of this Python fills it."""

    def __init__(self, folder: Path) -> None:
        venv.create(folder)  # A pip in each would take longer than all the rest.
        self.python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"

    def install(self, *what: str) -> None:
        """Install, with what it needs."""
        self._pip("install", "--quiet", *what)

    def _pip(self, *arguments: str) -> str:
        command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(self.python), *arguments]
        return _ended(command, 0, self.python.parent)

    def run(self, *arguments: str, code: int = 0, cwd: Path | None = None) -> str:
        """What its python prints; Wrong when that does not end with `code`."""
        # Never the checkout, whose files would be imported.
        return _ended([str(self.python), *arguments], code, cwd or self.python.parent)

    def installed(self) -> set[str]:
        """The distributions in it."""
        listed = self._pip("list", "--format=freeze")
        return {line.partition("==")[0].lower() for line in listed.splitlines() if "==" in line}


def _ended(command: list[str], code: int, folder: Path) -> str:
    result = subprocess.run(
        command,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    said = result.stdout + result.stderr
    if result.returncode != code:
        raise Wrong(f"{' '.join(command)}\nended with {result.returncode}\n{said}")
    return said


def build(tools: Venv) -> tuple[Path, Path]:
    """The sdist, and the wheel that is made from it: so an sdist that lacks something does not build."""
    shutil.rmtree(DIST, ignore_errors=True)
    tools.run("-m", "build", "--outdir", str(DIST), str(ROOT))
    (sdist,), (wheel,) = DIST.glob("*.tar.gz"), DIST.glob("*.whl")
    return sdist, wheel


def check_wheel(wheel: Path) -> Message:
    """Its metadata; Wrong when it lacks something, or has too much."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        metadata = email.message_from_bytes(archive.read(_one(names, ".dist-info/METADATA")))
        entry_points = archive.read(_one(names, ".dist-info/entry_points.txt")).decode()
    source = {
        file.relative_to(ROOT / "src").as_posix()
        for file in (ROOT / "src" / "trustls").rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    _same("the wheel's package", {name for name in names if ".dist-info/" not in name}, source)
    _has("the wheel", names, "trustls/py.typed")
    for licence in ("LICENSE", "LICENSE-APACHE", "LICENSE-MIT"):
        _one(names, f".dist-info/licenses/{licence}")
    if "trustls = trustls.cli:main" not in entry_points:
        raise Wrong(f"the wheel has no command trustls: {entry_points}")
    core = [need for need in metadata.get_all("Requires-Dist", []) if "extra ==" not in need]
    if [need.partition(">")[0] for need in core] != ["cryptography"]:
        raise Wrong(f"the core depends on {core}, and should on cryptography alone")
    if metadata["License-Expression"] != "Apache-2.0 OR MIT":
        raise Wrong(f"the licence of the wheel is {metadata['License-Expression']}")
    unknown = set(metadata.get_all("Provides-Extra", [])) - PROBES.keys() - FOR_US
    if unknown:
        raise Wrong(
            f"the extras {', '.join(sorted(unknown))} are new: say in tests/packaging/check.py what to try of them"
        )
    return metadata


def check_sdist(sdist: Path) -> None:
    """What a distribution needs to build, to test and to redistribute is in it, and nothing that was made meanwhile."""
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for needed in (
        *("pyproject.toml", "Makefile", "README.md", "CHANGELOG.md", "LICENSE", "LICENSE-APACHE", "LICENSE-MIT"),
        *("src/trustls/__init__.py", "src/trustls/py.typed", "tests/conftest.py", "docs/mtls.md", "mkdocs.yml"),
    ):
        _has("the sdist", names, needed)
    made = {name for name in names if "__pycache__" in name or name.endswith((".pyc", ".key"))}
    if made:
        raise Wrong(f"the sdist has what does not belong there: {sorted(made)}")


def check_core(environment: Venv, wheel: Path) -> None:
    """trustls with cryptography alone."""
    environment.install(str(wheel))
    more = environment.installed() - CORE
    if more:
        raise Wrong(f"the core installs {', '.join(sorted(more))}, and should do with cryptography")
    for module in CORE_MODULES:
        environment.run("-W", "error", "-c", f"import {module}")
    for module, extra in NEEDS_AN_EXTRA.items():
        said = environment.run("-c", f"import {module}", code=1)
        if f"pip install '{extra}'" not in said:
            raise Wrong(f"import {module} does not say that it needs {extra}: {said}")
    said = environment.run("-m", "trustls", "--version", code=2)
    if "pip install 'trustls[cli]'" not in said:
        raise Wrong(f"the command does not say that it needs trustls[cli]: {said}")
    environment.run("-W", "error", "-c", HANDSHAKE)


def check_extra(environment: Venv, wheel: Path, extra: str) -> None:
    """An extra, and what it is for."""
    environment.install(f"{wheel}[{extra}]")
    for probe in PROBES[extra]:
        environment.run("-W", "error", *probe)


def check_types(environment: Venv, wheel: Path, folder: Path) -> None:
    """A user's program type-checks against what is installed: so py.typed is there, and says the truth."""
    environment.install(str(wheel), "mypy>=2.0")
    samples = folder / "samples"
    shutil.copytree(ROOT / "tests" / "typing" / "samples", samples, ignore=shutil.ignore_patterns("__pycache__"))
    environment.run("-m", "mypy", "--strict", "--config-file=", ".", cwd=samples)


def _one(names: set[str], ending: str) -> str:
    found = [name for name in names if name.endswith(ending)]
    if len(found) != 1:
        raise Wrong(f"there are {len(found)} files *{ending} in the wheel, and should be one")
    return found[0]


def _has(what: str, names: set[str], name: str) -> None:
    if name not in names:
        raise Wrong(f"{what} lacks {name}")


def _same(what: str, found: set[str], expected: set[str] | frozenset[str]) -> None:
    if found != expected:
        raise Wrong(f"{what}: {sorted(found - expected)} too much, {sorted(set(expected) - found)} missing")


@contextlib.contextmanager
def _step(what: str) -> Iterator[None]:
    sys.stdout.write(f"{what} ... ")
    sys.stdout.flush()
    yield
    sys.stdout.write("ok\n")


def main() -> None:
    """All of it, one after the other."""
    with tempfile.TemporaryDirectory(prefix="trustls-packaging-") as name:
        folder = Path(name)
        with _step("build"):
            tools = Venv(folder / "tools")
            tools.install("build", "twine")
            sdist, wheel = build(tools)
        with _step("contents and metadata"):
            metadata = check_wheel(wheel)
            check_sdist(sdist)
            tools.run("-m", "twine", "check", "--strict", str(sdist), str(wheel))
        with _step("pip install ."):
            plain = Venv(folder / "plain")
            plain.install(str(ROOT))
            plain.run("-W", "error", "-c", "import trustls")
        with _step("the core alone"):
            check_core(Venv(folder / "core"), wheel)
        for extra in sorted(set(metadata.get_all("Provides-Extra", [])) & PROBES.keys()):
            with _step(f"trustls[{extra}]"):
                check_extra(Venv(folder / extra), wheel, extra)
        with _step("types"):
            check_types(Venv(folder / "types"), wheel, folder)


if __name__ == "__main__":
    try:
        main()
    except Wrong as wrong:
        sys.exit(f"\n{wrong}")
