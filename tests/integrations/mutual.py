"""Who talks to whom in the tests of the integrations, and what must be true of each of their handshakes.

Clients hold two certificates, one of each of two CAs, and the first is the one that they would rather present. Servers
accept the second CA alone, whose root they name in their hints; it issues through an intermediate. So a client gets in
only when it was asked with hints and chose by them.
"""

from __future__ import annotations

import functools
import importlib
import os
import ssl
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

import trustls
from trustls.cli.pki import Authority, Issued

FIRST_SUBJECT: Final = "CN=alice of the first"
SECOND_SUBJECT: Final = "CN=alice of the second"
STRANGE_SUBJECT: Final = "CN=mallory"
SERVER_SUBJECT: Final = "CN=localhost"
SECOND_ROOT: Final = "CN=Second Client CA"
"""Whom the servers name in their hints."""

NO_CERTIFICATE: Final = "certificate_required"
UNKNOWN_CA: Final = "unknown_ca"
"""What clients are told that are refused, for having none or one of another CA."""

SERVER_SAYS: Final = {NO_CERTIFICATE: "no certificate was presented", UNKNOWN_CA: "the issuer is not known"}
"""What the server says of it."""


def skip_without(package: str, how: str | None = None) -> Any:
    """The package; where it is not installed the test is skipped, with the words that install it.

    With TRUSTLS_REQUIRE_PEERS=1 it fails instead. Called at the top of a file it speaks for all its tests.
    """
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != package.partition(".")[0]:
            raise  # It is there, and broken.
        reason = f"{package} is not installed here: {how or f'pip install {package}'}"
    if os.environ.get("TRUSTLS_REQUIRE_PEERS") == "1":
        pytest.fail(f"{reason}; TRUSTLS_REQUIRE_PEERS=1 asks for it", pytrace=False)
    pytest.skip(reason, allow_module_level=True)


# -- Certificates ------------------------------------------------------------------------------------------------------


@functools.cache
def server_root() -> Authority:
    """Whom clients trust."""
    return Authority.create("Server CA")


@functools.cache
def first_root() -> Authority:
    """Issues the certificate that the client would rather present."""
    return Authority.create("First Client CA")


@functools.cache
def second_root() -> Authority:
    """Whom servers trust."""
    return Authority.create("Second Client CA")


@functools.cache
def server_issued() -> Issued:
    """For localhost and 127.0.0.1."""
    return server_root().issue_server("localhost", "127.0.0.1")


@functools.cache
def first_issued() -> Issued:
    """The client's, which no server here accepts."""
    return first_root().issue_client("alice of the first")


@functools.cache
def second_issued() -> Issued:
    """The client's, of an intermediate below the root that servers trust."""
    return second_root().intermediate("Second Issuing CA").issue_client("alice of the second")


@functools.cache
def strange_issued() -> Issued:
    """A client's, of a CA that nobody trusts."""
    return Authority.create("A CA Nobody Trusts").issue_client("mallory")


def credential(issued: Issued) -> trustls.Credential:
    """As a configuration takes it."""
    return trustls.Credential(issued.chain, issued.key)


def roots(*authorities: Authority) -> trustls.RootCertStore:
    """As a configuration takes them."""
    return trustls.RootCertStore([one.certificate.public_bytes(Encoding.DER) for one in authorities])


# -- Configurations ----------------------------------------------------------------------------------------------------


def client_config(**changes: Any) -> trustls.ClientConfig:
    """A client with two certificates, the wrong one first. `credentials=[]` is one without."""
    changes.setdefault("roots", roots(server_root()))
    changes.setdefault("credentials", [credential(first_issued()), credential(second_issued())])
    return trustls.ClientConfig(**changes)


def server_config(**changes: Any) -> trustls.ServerConfig:
    """A server for localhost and 127.0.0.1 that lets in clients of the second CA alone."""
    changes.setdefault("credentials", [credential(server_issued())])
    changes.setdefault("client_auth", trustls.ClientAuth.required(roots(second_root())))
    return trustls.ServerConfig(**changes)


def config_without_certificate(**changes: Any) -> trustls.ClientConfig:
    """A client that a server here refuses: it has nothing to present."""
    return client_config(credentials=[], **changes)


def config_of_stranger(**changes: Any) -> trustls.ClientConfig:
    """A client that a server here refuses: it presents a certificate of another CA, whatever it is asked for."""
    stranger = credential(strange_issued())
    return client_config(credentials=[stranger], choose_credential=lambda request, credentials: stranger, **changes)


# -- The same as files, for OpenSSL ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Files:
    """The certificates in PEM files, and contexts of the standard library's own `ssl` that are made of them."""

    folder: Path
    server_root: Path
    server: tuple[Path, Path]
    """Chain and key, here and below."""
    first: tuple[Path, Path]
    second: tuple[Path, Path]
    strange: tuple[Path, Path]
    second_root: Path

    @classmethod
    def write(cls, folder: Path) -> Files:
        """Write them all into a folder."""

        def root(stem: str, authority: Authority) -> Path:
            path = folder / f"{stem}.pem"
            path.write_bytes(authority.certificate.public_bytes(Encoding.PEM))
            return path

        return cls(
            folder,
            root("server-root", server_root()),
            server_issued().write(folder, "server"),
            first_issued().write(folder, "first"),
            second_issued().write(folder, "second"),
            strange_issued().write(folder, "strange"),
            root("second-root", second_root()),
        )

    def openssl_server(self, *, alpn: Sequence[str] = ()) -> ssl.SSLContext:
        """A server on OpenSSL that requires certificates of the second CA. It sends no hints: `ssl` cannot."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=self.second_root)
        context.load_cert_chain(*self.server)
        context.verify_mode = ssl.CERT_REQUIRED
        if alpn:
            context.set_alpn_protocols(list(alpn))
        return context

    def openssl_client(self, own: tuple[Path, Path] | None = None) -> ssl.SSLContext:
        """A client on OpenSSL, with the certificate `own` (such as `files.second`) or with none."""
        context = ssl.create_default_context(cafile=self.server_root)
        if own is not None:
            context.load_cert_chain(*own)
        return context


# -- What must be true -------------------------------------------------------------------------------------------------


@dataclass
class Handshakes:
    """The connections that the drop-in has made in this process since the test began, in their order."""

    clients: list[trustls.ClientConnection] = field(default_factory=list)
    servers: list[trustls.ServerConnection] = field(default_factory=list)

    def add(self, connection: trustls.Connection) -> None:
        """Remember one."""
        if isinstance(connection, trustls.ServerConnection):
            self.servers.append(connection)
        else:
            assert isinstance(connection, trustls.ClientConnection)
            self.clients.append(connection)

    def check_clients(self, count: int | None = 1) -> None:
        """Each client was asked with hints, and chose its second certificate by them; there were `count` of them."""
        check_count("clients", self.clients, count)
        for client in self.clients:
            check_client(client)

    def check_servers(self, count: int | None = 1) -> None:
        """Each server has verified the client's second certificate up to the root it trusts."""
        check_count("servers", self.servers, count)
        for server in self.servers:
            check_server(server)

    def check(self, count: int | None = 1) -> None:
        """Both sides, where both were the drop-in."""
        self.check_clients(count)
        self.check_servers(count)

    def check_refused(self, why: str) -> None:
        """The server, which was the drop-in, says the same as the client was told (`REFUSED`)."""
        assert self.servers, "no connection of a server went through trustls"
        failure = self.servers[-1].failure
        assert failure is not None, "the server refused nobody"
        assert SERVER_SAYS[why] in str(failure), f"the server says: {failure}"


def check_count(what: str, found: Sequence[object], count: int | None) -> None:
    """There are `count`; or, for None, some."""
    assert found, f"no connections of {what} went through trustls"
    if count is not None:
        assert len(found) == count, f"{len(found)} connections of {what} went through trustls, not {count}"


def check_client(client: Any) -> None:
    """A client's connection, or an SSLObject or SSLSocket of one: asked with hints, and the second was chosen."""
    connection = connection_of(client)
    assert isinstance(connection, trustls.ClientConnection), f"{connection} is no client"
    check_ended_well(connection)
    request = connection.requested
    if request is None and connection.info.resumed:
        return  # Who the client is, the session says: nobody asks again.
    assert request is not None, "the server asked for no certificate"
    names = [str(name) for name in request.authorities]
    assert names == [SECOND_ROOT], f"the server's hints were {names}"
    presented = connection.presented
    assert presented is not None, "the client presented no certificate"
    assert str(presented.certificate.subject) == SECOND_SUBJECT, f"the client presented {presented.certificate}"


def check_server(server: Any) -> None:
    """A server's connection, or an SSLObject or SSLSocket of one: the client is the second certificate's."""
    connection = connection_of(server)
    assert isinstance(connection, trustls.ServerConnection), f"{connection} is no server"
    check_ended_well(connection)
    peer = connection.peer
    assert peer is not None, "the server knows no certificate of the client"
    assert str(peer.subject) == SECOND_SUBJECT, f"the client is {peer.subject}"
    path = [str(one.subject) for one in peer.verified]
    assert path == [SECOND_SUBJECT, "CN=Second Issuing CA", SECOND_ROOT], f"verified was {path}"


def check_ended_well(connection: trustls.Connection) -> None:
    """Nothing failed; but a peer may go without a word, as some packages let it."""
    failure = connection.failure
    assert failure is None or isinstance(failure, trustls.UnexpectedEOF), f"the connection failed: {failure!r}"


def connection_of(thing: Any) -> trustls.Connection:
    """The trustls connection: itself, or that inside of an SSLObject, SSLSocket, transport or StreamWriter."""
    if isinstance(thing, trustls.Connection):
        return thing
    if hasattr(thing, "get_extra_info"):
        thing = thing.get_extra_info("ssl_object")
    connection = getattr(thing, "connection", None)
    assert isinstance(connection, trustls.Connection), f"{thing!r} has no connection of trustls inside"
    return connection


def subject_of(peercert: Any) -> str | None:
    """The subject in what `getpeercert()` gives, written like CN=alice; None without a certificate."""
    if not peercert:
        return None
    short = {"commonName": "CN", "organizationName": "O"}
    return ",".join(f"{short[name]}={value}" for relative in reversed(peercert["subject"]) for name, value in relative)


def chain_of(error: BaseException) -> Iterable[BaseException]:
    """An error and those behind it: causes, contexts, `reason` and arguments, as clients wrap them; groups as well."""
    seen: list[BaseException] = []
    waiting: list[object] = [error]
    while waiting:
        one = waiting.pop(0)
        if not isinstance(one, BaseException) or any(one is other for other in seen):
            continue
        seen.append(one)
        waiting += [one.__cause__, one.__context__, getattr(one, "reason", None), *one.args]
        if isinstance(one, BaseExceptionGroup):
            waiting += one.exceptions
    return seen


def check_refused(error: BaseException, why: str) -> None:
    """What a client got when it was refused says so in words: `why` stands there, in the error or one behind it."""
    said = [f"{type(one).__name__}: {one}" for one in chain_of(error)]
    assert any(why in line for line in said), f"nothing here says {why!r}:\n" + "\n".join(said)


ConfigMaker: TypeAlias = Callable[..., trustls.ClientConfig]

REFUSED: Final = pytest.mark.parametrize(
    ("refused_config", "why"),
    [
        pytest.param(config_without_certificate, NO_CERTIFICATE, id="without-a-certificate"),
        pytest.param(config_of_stranger, UNKNOWN_CA, id="of-another-CA"),
    ],
)
"""For a test of refusal: `refused_config()` makes the client that is refused, `why` is what it is told."""
