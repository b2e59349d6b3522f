"""The OCSP response of a credential: as bytes, from a file that changes, from a callback."""

from __future__ import annotations

import asyncio
import datetime
import gc
import logging
import os
import warnings
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from tests.support.identities import server_identity, server_root
from tests.trust.issuing import authority, leaf
from trustls.cli.pki import Issued
from trustls.errors import ConfigError
from trustls.identity.credential import Credential, CredentialWarning
from trustls.identity.staple import FileStaple
from trustls.trust.certificate import Certificate

IDENTITY, ROOT = server_identity(), server_root()
NOW = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
HOUR = datetime.timedelta(hours=1)


def response(
    next_update: datetime.datetime | None = NOW + HOUR,
    this_update: datetime.datetime = NOW - HOUR,
    issued: Issued = IDENTITY,
) -> bytes:
    builder = ocsp.OCSPResponseBuilder().add_response(
        cert=issued.certificate,
        issuer=ROOT.certificate,
        algorithm=hashes.SHA256(),
        cert_status=ocsp.OCSPCertStatus.GOOD,
        this_update=this_update,
        next_update=next_update,
        revocation_time=None,
        revocation_reason=None,
    )
    responder = builder.responder_id(ocsp.OCSPResponderEncoding.HASH, ROOT.certificate)
    key: Any = ROOT.key
    return responder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


OF_ANOTHER = response(issued=server_identity("ec-p384"))
FIRST, SECOND = response(), response(this_update=NOW)
TRY_LATER = ocsp.OCSPResponseBuilder.build_unsuccessful(ocsp.OCSPResponseStatus.TRY_LATER).public_bytes(Encoding.DER)


def credential(source: Any) -> Credential:
    return Credential(IDENTITY.chain, IDENTITY.key, ocsp_response=source)


class Clock:
    """Both clocks of a FileStaple, moved by hand."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return NOW.timestamp() + self.seconds


def watched(path: Path, clock: Clock) -> FileStaple:
    leaf, issuer = Certificate.from_x509(IDENTITY.certificate), Certificate.from_x509(ROOT.certificate)
    return FileStaple(path, leaf, issuer, clock=clock, now=clock)


def replace(path: Path, content: bytes, *, age: int = 0) -> None:
    """As a careful program writes: a new file in the place of the old, here with a time that surely differs."""
    new = path.with_suffix(".new")
    new.write_bytes(content)
    os.utime(new, ns=(0, 10**18 + age))
    new.replace(path)


# -- Bytes ------------------------------------------------------------------------------------------------------------


def test_bytes_are_stapled_as_they_are() -> None:
    assert credential(FIRST).staple() == FIRST
    assert credential(FIRST).ocsp_response == FIRST
    assert credential(FIRST).has_staple


@pytest.mark.parametrize("source", [None, b""])
def test_without_a_response_there_is_none(source: bytes | None) -> None:
    assert credential(source).staple() is None
    assert credential(source).ocsp_response is None
    assert not credential(source).has_staple


@pytest.mark.parametrize("source", [7, ["staple.der"], bytearray(FIRST)], ids=lambda source: type(source).__name__)
def test_what_is_no_source_is_refused(source: object) -> None:
    with pytest.raises(ConfigError, match=f"DER bytes, the path of a file or a callback, not {type(source).__name__}"):
        credential(source)


# -- Files ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [str, Path])
def test_file_is_stapled(tmp_path: Path, form: Callable[[Path], Any]) -> None:
    path = tmp_path / "staple.der"
    path.write_bytes(FIRST)
    assert credential(form(path)).staple() == FIRST


def test_file_is_read_again_when_it_changes_and_looked_at_once_a_second(tmp_path: Path) -> None:
    path, clock = tmp_path / "staple.der", Clock()
    replace(path, FIRST)
    staple = watched(path, clock)
    replace(path, SECOND, age=1)
    clock.seconds += 0.9
    assert staple() == FIRST, "looked at again within the second"
    clock.seconds += 0.1
    assert staple() == SECOND
    replace(path, FIRST, age=2)
    assert staple() == SECOND
    clock.seconds += 1
    assert staple() == FIRST


def test_relative_path_of_a_file_means_what_it_meant_at_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "response.der"
    file.write_bytes(FIRST)
    (tmp_path / "chain.pem").write_bytes(IDENTITY.pem_chain)
    (tmp_path / "key.pem").write_bytes(IDENTITY.pem_key)
    clock = [0.0]
    staple = FileStaple("response.der", Certificate.from_x509(IDENTITY.certificate), None, clock=lambda: clock[0])
    with Credential.reloading("chain.pem", "key.pem", ocsp_response="response.der") as own:
        monkeypatch.chdir("/")
        file.write_bytes(SECOND)
        clock[0] += 1.0
        assert staple() == SECOND
        assert own.reload(), str(own.error)
        assert own.current.staple() == SECOND


def test_file_that_does_not_change_is_not_read_again(tmp_path: Path) -> None:
    path, clock = tmp_path / "staple.der", Clock()
    replace(path, FIRST)
    staple = watched(path, clock)
    kept = staple()
    clock.seconds += 5
    assert staple() is kept


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (Path.unlink, "No such file"),
        (lambda path: path.write_bytes(b""), "it is empty"),
        (lambda path: path.write_bytes(FIRST[:-1]), "it is no DER OCSPResponse"),
        (lambda path: path.write_bytes(b"garbage"), "it is no DER OCSPResponse"),
        (lambda path: path.write_bytes(TRY_LATER), "its status is try_later"),
        (lambda path: path.write_bytes(OF_ANOTHER), "it is not for CN=localhost, whose serial number is "),
        (lambda path: path.write_bytes(bytes((1 << 18) + 1)), "it is larger than 262144 bytes"),
    ],
    ids=["gone", "empty", "cut off", "garbage", "not successful", "of another", "huge"],
)
def test_last_good_response_stays_while_the_file_is_of_no_use(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, spoil: Callable[[Path], object], said: str
) -> None:
    path, clock = tmp_path / "staple.der", Clock()
    replace(path, FIRST)
    staple = watched(path, clock)
    spoil(path)
    with caplog.at_level(logging.INFO, "trustls.identity"):
        for _ in range(5):
            clock.seconds += 1
            assert staple() == FIRST
    (record,) = caplog.records
    assert record.name == "trustls.identity"
    assert record.levelno == logging.WARNING
    assert "staple.der cannot be used, the last good one stays" in record.getMessage()
    assert said in record.getMessage()
    replace(path, SECOND, age=1)
    clock.seconds += 1
    assert staple() == SECOND, "the new file is not taken up"


def test_response_that_has_expired_is_not_stapled_any_more(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path, clock = tmp_path / "staple.der", Clock()
    replace(path, FIRST)
    staple = watched(path, clock)
    clock.seconds = 3600
    assert staple() == FIRST
    for _ in range(3):
        clock.seconds += 1
        assert staple() is None
    assert [record.getMessage() for record in caplog.records] == [
        f"the OCSP response in {path} has expired, and nothing is stapled until there is a new one"
    ]
    replace(path, response(NOW + 2 * HOUR), age=1)
    clock.seconds += 1
    assert staple() is not None


def test_response_that_names_no_end_does_not_expire(tmp_path: Path) -> None:
    path, clock = tmp_path / "staple.der", Clock()
    replace(path, response(next_update=None))
    staple = watched(path, clock)
    clock.seconds = 10**9
    assert staple() is not None


@pytest.mark.parametrize(
    "content", [b"", b"garbage", TRY_LATER, OF_ANOTHER], ids=["empty", "garbage", "not successful", "of another"]
)
def test_file_without_a_response_is_refused_at_the_start(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "staple.der"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"staple\.der holds no OCSP response to staple: it"):
        credential(path)


def test_file_that_is_not_there_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        credential(tmp_path / "missing.der")


# -- What peers will not like -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("as_file", [False, True], ids=["bytes", "file"])
@pytest.mark.parametrize("with_issuer", [False, True])
def test_response_that_peers_will_refuse_is_warned_of(tmp_path: Path, *, as_file: bool, with_issuer: bool) -> None:
    old = response(next_update=NOW - HOUR, this_update=NOW - 2 * HOUR)
    (tmp_path / "staple.der").write_bytes(old)
    chain = [IDENTITY.certificate, ROOT.certificate][: 1 + with_issuer]
    with pytest.warns(CredentialWarning) as caught:
        made = Credential(chain, IDENTITY.key, ocsp_response=tmp_path / "staple.der" if as_file else old)
    (warning,) = caught
    assert made.report == (str(warning.message),)
    assert "CN=localhost" in made.report[0]
    assert made.staple() == (None if as_file else old), "bytes are sent as they are, and a file is awaited"


def test_bytes_that_are_no_response_are_warned_of_and_sent() -> None:
    with pytest.warns(CredentialWarning, match="CN=localhost"):
        made = credential(b"garbage")
    assert made.staple() == b"garbage"


def test_new_file_that_peers_will_refuse_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path, clock = tmp_path / "staple.der", Clock()
    replace(path, FIRST)
    staple = watched(path, clock)
    assert staple.concerns == ()
    early = response(next_update=NOW + 9 * HOUR, this_update=NOW + 8 * HOUR)
    replace(path, early, age=1)
    clock.seconds += 1
    assert staple() == early
    (record,) = caplog.records
    assert record.getMessage().startswith(f"the OCSP response in {path}: ")


def test_certificate_that_demands_a_staple_and_has_no_source_is_warned_of() -> None:
    """RFC 7633."""
    issued = must_staple()
    with pytest.warns(
        CredentialWarning, match="demands a stapled OCSP response .must-staple., and `ocsp_response` is not"
    ):
        made = Credential([issued.x509], issued.key)
    assert len(made.report) == 1
    assert Credential([issued.x509], issued.key, ocsp_response=lambda: None).report == ()


def test_ca_that_demands_staples_for_what_it_issues_and_has_no_source_is_warned_of() -> None:
    root = authority("CN=Root", days=(-3650, 36500))
    feature = x509.TLSFeature([x509.TLSFeatureType.status_request])
    middle = authority("CN=Middle", root, days=(-3650, 36500), extra=[(feature, False)])
    issued = leaf(middle, days=(-3650, 36500))
    with pytest.warns(CredentialWarning, match="the CA of CN=alice, CN=Middle, demands a stapled OCSP response"):
        Credential([issued.x509, middle.x509], issued.key)


def must_staple() -> Any:
    feature = x509.TLSFeature([x509.TLSFeatureType.status_request])
    return leaf(authority(days=(-3650, 36500)), extra=[(feature, False)], days=(-3650, 36500))


# -- Callbacks --------------------------------------------------------------------------------------------------------


def awaited(answer: object) -> Any:
    async def wait() -> Any:
        assert isinstance(answer, Awaitable), "the answer came at once"
        return await answer

    return asyncio.run(wait())


def asynchronous(answer: Any) -> Callable[[], Awaitable[Any]]:
    async def callback() -> Any:
        await asyncio.sleep(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return callback


def test_callback_is_asked_each_time() -> None:
    answers = [FIRST, None, SECOND, b""]
    asked = credential(lambda: answers.pop(0))
    assert [asked.staple() for _ in range(4)] == [FIRST, None, SECOND, None]


def test_callback_may_be_asynchronous() -> None:
    assert awaited(credential(asynchronous(FIRST)).staple()) == FIRST
    assert awaited(credential(asynchronous(None)).staple()) is None


@pytest.mark.parametrize("later", [False, True], ids=["at once", "later"])
@pytest.mark.parametrize(
    ("answer", "said"),
    [(RuntimeError("the responder is down"), "the responder is down"), ("text", "it gave str, not bytes")],
    ids=["raises", "no bytes"],
)
def test_callback_that_fails_is_logged_and_nothing_is_stapled(
    caplog: pytest.LogCaptureFixture, answer: Any, said: str, *, later: bool
) -> None:
    def at_once() -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    asked = credential(asynchronous(answer) if later else at_once)
    assert (awaited(asked.staple()) if later else asked.staple()) is None
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("trustls.identity", logging.WARNING)
    assert record.getMessage() == f"the callback for an OCSP response failed, nothing is stapled: {said}"
    assert record.exc_info is not None


def test_asynchronous_callback_that_nobody_waits_for_ends_quietly() -> None:
    """As the connection does with work that it drops: without "coroutine was never awaited"."""
    pending: Any = credential(asynchronous(FIRST)).staple()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pending.close()
        del pending
        gc.collect()
    assert [str(warning.message) for warning in caught] == []


def test_future_that_nobody_waits_for_is_cancelled() -> None:
    async def run() -> None:
        future: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()
        pending: Any = credential(lambda: future).staple()
        pending.close()
        assert future.cancelled()

    asyncio.run(run())


def test_awaitable_that_has_neither_close_nor_cancel_is_dropped_too() -> None:
    class Later:
        def __await__(self) -> Any:
            raise AssertionError("nobody awaits this")

    pending: Any = credential(Later).staple()
    pending.close()
