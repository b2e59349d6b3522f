"""The peers in managed languages (Java, JavaScript, Python): how each is started, and what each cannot do."""

from __future__ import annotations

import ssl
import sys
from pathlib import Path
from typing import Final

from tests.interop.matrix.adapters import Cannot, Peer, Tool, make
from tests.interop.matrix.scenarios import Role, Scenario

_ONLY_ANSWERS: Final = (
    "sends a KeyUpdate in answer to one that asks for it, and has no call to send one of its own accord"
)
_ONE_CERTIFICATE: Final = "does not read the CA names, and holds one certificate for each kind of key"

# -- Java -------------------------------------------------------------------------------------------------------------


def _build_java(source: Path, cache: Path) -> list[str]:
    if not (cache / "Peer.class").exists():
        make(["javac", "-d", cache, source / "Peer.java"], folder=source)
    # As little memory and as few threads as will do.
    return ["java", "-XX:+UseSerialGC", "-Xmx256m", "-cp", str(cache), "Peer"]


JAVA: Final = Peer(
    name="java",
    title="Java JSSE",
    tools=(Tool("java", ("-version",), oldest=(17,)), Tool("javac", ("-version",), oldest=(17,))),
    build=_build_java,
    cannot=(Cannot(Scenario.HYBRID, "JSSE has no hybrid groups before Java 27"),),
)

# -- Node -------------------------------------------------------------------------------------------------------------

_NODE_REFUSAL: Final = "Node refuses a certificate by closing the connection, without an alert"

NODE: Final = Peer(
    name="node",
    title="Node tls",
    tools=(Tool("node", oldest=(18,)),),
    build=lambda source, _cache: ["node", str(source / "peer.js")],
    cannot=(
        Cannot(Scenario.CHOICE, f"Node {_ONE_CERTIFICATE}", Role.SERVER),
        Cannot(Scenario.WRONG, f"{_NODE_REFUSAL}: see test_node.py", Role.CLIENT),
        Cannot(Scenario.UNTRUSTED, f"{_NODE_REFUSAL}: see test_node.py", Role.SERVER),
        Cannot(Scenario.HYBRID, "the OpenSSL 3.0 in Node 22 and older has no ML-KEM"),
        Cannot(Scenario.THEIR_UPDATE, f"Node {_ONLY_ANSWERS}"),
    ),
)

# -- Python -----------------------------------------------------------------------------------------------------------


def build_python(library: str, interpreter: str = sys.executable) -> list[str]:
    """The command line for one of the two libraries; any Python from 3.11 on will do for `ssl`."""
    jobs = Path(__file__).parent / "peers" / "python" / "jobs.py"
    return [interpreter, str(jobs), library]


PYOPENSSL: Final = Peer(
    name="pyopenssl",
    title="OpenSSL 4 (pyOpenSSL)",
    build=lambda _source, _cache: build_python("pyopenssl"),
    cannot=(Cannot(Scenario.THEIR_UPDATE, f"pyOpenSSL {_ONLY_ANSWERS}"),),
)

_OLD_OPENSSL: Final = Cannot(Scenario.HYBRID, "the OpenSSL of Python's `ssl` is older than 3.5 and has no ML-KEM")

PYTHON: Final = Peer(
    name="pyssl",
    title="Python ssl",
    build=lambda _source, _cache: build_python("pyssl"),
    cannot=(
        Cannot(Scenario.CHOICE, "a server on `ssl` has no way to name CAs", Role.CLIENT),
        Cannot(Scenario.CHOICE, f"`ssl` {_ONE_CERTIFICATE}", Role.SERVER),
        Cannot(Scenario.THEIR_UPDATE, f"`ssl` {_ONLY_ANSWERS}"),
        *((_OLD_OPENSSL,) if ssl.OPENSSL_VERSION_INFO < (3, 5) else ()),
    ),
)


MANAGED: Final[tuple[Peer, ...]] = (JAVA, NODE, PYOPENSSL, PYTHON)
