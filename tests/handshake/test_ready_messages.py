"""Messages that are encoded beforehand say what the configuration says now, and no message reaches the wrong hands."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.identities import (
    client_config,
    client_root,
    client_roots,
    server_config,
    server_credential,
    server_root,
    store,
    strange_root,
)
from tests.support.memory import connect
from trustls.cli.pki import Authority
from trustls.trust.certificate import Certificate
from trustls.trust.client_auth import ClientAuth
from trustls.trust.roots import RootCertStore
from trustls.trust.verifiers import Peer
from trustls.wire.messages import CertificateMessage, Finished, KeyUpdate, encode_message
from trustls.wire.names import DistinguishedName
from trustls.wire.ready import ReadyMessage

every_version = pytest.mark.parametrize("version", ["1.2", "1.3"])


class Changing:
    """Roots that are others tomorrow."""

    def __init__(self, current: RootCertStore) -> None:
        self.current = current


def name_of(authority: Authority) -> str:
    return str(subject_of(authority).common_name)


def subject_of(authority: Authority) -> DistinguishedName:
    return DistinguishedName(authority.certificate.subject.public_bytes())


def hints_seen(server: Any, version: str) -> list[str]:
    joined = connect(server, client_config(versions=[version]))
    requested = joined.client.requested
    assert requested is not None
    return [str(name.common_name) for name in requested.authorities]


@every_version
def test_names_of_cas_follow_the_roots(version: str) -> None:
    roots = Changing(client_roots())
    server = server_config(client_auth=ClientAuth.optional(roots), versions=[version])
    before = hints_seen(server, version)
    assert hints_seen(server, version) == before == [name_of(client_root())]
    roots.current = store(client_root(), strange_root())
    both = [name_of(client_root()), name_of(strange_root())]
    assert hints_seen(server, version) == both, "the request of before is not sent again"
    roots.current.add(server_root().certificate)
    assert hints_seen(server, version) == [*both, name_of(server_root())], "a store that grows, too"


@every_version
def test_names_of_cas_of_a_custom_verifier_are_asked_for_each_time(version: str) -> None:
    class Verifier:
        """Says other names each time, out of one list."""

        def __init__(self) -> None:
            self.hints: Any = []

        def verify_client(self, chain: tuple[Certificate, ...], *, now: float) -> Peer:
            return Peer(chain)

    verifier = Verifier()
    server = server_config(client_auth=ClientAuth.custom(verifier, required=False), versions=[version])
    assert hints_seen(server, version) == []
    verifier.hints.append(subject_of(client_root()))
    assert hints_seen(server, version) == [name_of(client_root())]


def test_a_ready_message_is_made_once_for_each_source() -> None:
    made: list[int] = []

    def make() -> Finished:
        made.append(len(made))
        return Finished(verify_data=bytes([len(made)]))

    ready = ReadyMessage()
    one, other = (1, 2), (3, 4)
    first = ready.of(one, make)
    assert ready.of(one, make) is first
    assert first == encode_message(Finished(verify_data=b"\1"))
    assert ready.of(other, make) == encode_message(Finished(verify_data=b"\2"))
    assert ready.of(one, make) == encode_message(Finished(verify_data=b"\3")), "only the last is kept"
    equal = tuple(iter(other))
    ready.of(other, make)
    assert ready.of(equal, make) == encode_message(Finished(verify_data=b"\5")), "it goes by the object"


def test_a_failure_to_make_one_leaves_none() -> None:
    ready = ReadyMessage()

    def fails() -> KeyUpdate:
        raise OverflowError

    with pytest.raises(OverflowError):
        ready.of(1, fails)
    assert ready.of(1, lambda: KeyUpdate(update_requested=True)) == b"\x18\0\0\1\1"


def test_what_is_said_beside_a_certificate_stays_out_of_the_ready_message() -> None:
    credential = server_credential()
    before = credential.certificate_message
    entries = credential.certificate_entries()
    entries[0].status_request = b"stapled"
    assert credential.certificate_message is before
    read = CertificateMessage.parse(before[4:])
    assert [entry.certificate for entry in read.entries] == [one.der for one in credential.sent_chain]
    assert not any(entry.extension_types() for entry in read.entries)
