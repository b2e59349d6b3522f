from __future__ import annotations

import copy
import pickle
import threading
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from tests.trust.issuing import authority, issue, leaf
from trustls.errors import ConfigError
from trustls.trust.roots import RootCertStore

FIRST, SECOND = authority("CN=First"), authority("CN=Second")
BOTH = FIRST.certificate.pem() + SECOND.certificate.pem()
BROKEN = "-----BEGIN CERTIFICATE-----\n%s\n-----END CERTIFICATE-----\n"


def test_roots_come_from_pem_bytes_text_and_path(tmp_path: Path) -> None:
    file = tmp_path / "roots.pem"
    file.write_text(BOTH)
    for source in (BOTH, BOTH.encode(), file, str(file)):
        store = RootCertStore.from_pem(source)
        assert list(store) == [FIRST.certificate, SECOND.certificate]
        assert store.report.added == len(store) == 2


def test_roots_come_from_der_and_certificates() -> None:
    der = FIRST.x509.public_bytes(Encoding.DER)
    assert len(RootCertStore.from_der(der, SECOND.x509.public_bytes(Encoding.DER))) == 2
    store = RootCertStore()
    for one in (FIRST.certificate, FIRST.x509, der, bytearray(der), SECOND.x509):
        store.add(one)  # type: ignore[arg-type]
    assert len(store) == 2
    assert FIRST.certificate in store
    assert leaf(FIRST).certificate not in store
    assert "CN=First" not in store
    assert repr(store) == "<RootCertStore of 2>"


def test_subjects_are_in_store_order_each_once() -> None:
    again = authority("CN=First")
    store = RootCertStore([SECOND.x509, FIRST.x509, again.x509])
    assert [str(name) for name in store.subjects()] == ["CN=Second", "CN=First"]
    assert store.named(FIRST.certificate.subject) == (FIRST.certificate, again.certificate)
    assert store.named(leaf(FIRST).certificate.subject) == ()


def test_the_report_says_what_was_left_out_and_why() -> None:
    expired = authority("CN=Expired", days=(-3000, -2999))
    source = (
        FIRST.certificate.pem()
        + FIRST.certificate.pem()
        + leaf(FIRST).certificate.pem()
        + expired.certificate.pem()
        + BROKEN % "AAAA"
        + BROKEN % "!"
    )
    store = RootCertStore.from_pem(source)
    assert store.report.added == 2
    assert [one.subject for one in store.report.left_out] == ["CN=alice", "certificate 5", "certificate 6", "CN=First"]
    text = str(store.report)
    assert text.startswith("2 added, 4 left out\n")
    assert "left out CN=alice: it is not a CA certificate" in text
    assert "left out CN=First: it is in the store already" in text
    assert "left out certificate 6: it is cut off, or no base64" in text
    assert "warning: CN=Expired expired on " in text


def test_pem_without_a_usable_root_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no certificate in the PEM text"):
        RootCertStore.from_pem(b"")
    file = tmp_path / "leaf.pem"
    file.write_text(leaf(FIRST).certificate.pem())
    with pytest.raises(ConfigError, match=r"leaf\.pem can be a root: CN=alice: it is not a CA certificate"):
        RootCertStore.from_pem(file)
    with pytest.raises(FileNotFoundError):
        RootCertStore.from_pem(tmp_path / "missing.pem")


def test_one_certificate_that_cannot_be_a_root_is_a_config_error() -> None:
    store = RootCertStore()
    with pytest.raises(ConfigError, match="CN=alice cannot be a root"):
        store.add(leaf(FIRST).x509)
    with pytest.raises(ConfigError, match="cannot be parsed"):
        store.add(b"garbage")
    with pytest.raises(ConfigError, match="use add_pem"):
        store.add(BOTH.encode())
    with pytest.raises(ConfigError, match="not str"):
        store.add("CN=First")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="no name"):
        store.add(issue("", ca=True).x509)
    assert len(store) == 0


def test_add_pem_reports_on_its_own_certificates() -> None:
    store = RootCertStore([FIRST.x509])
    report = store.add_pem(BOTH)
    assert (report.added, len(report.left_out)) == (1, 1)
    assert store.report.added == 2


def test_copies_grow_apart() -> None:
    store = RootCertStore([FIRST.x509])
    copies = [copy.copy(store), copy.deepcopy(store), pickle.loads(pickle.dumps(store))]
    store.add(SECOND.x509)
    assert [len(one) for one in copies] == [1, 1, 1]


def test_a_store_can_grow_while_it_is_read() -> None:
    roots = [authority(f"CN=Root {number}", key=FIRST.key).x509 for number in range(40)]
    store = RootCertStore()
    torn: list[int] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            state = store._state
            if not len(state.certificates) == len(state.by_subject) == state.report.added:
                torn.append(len(state.certificates))

    reader = threading.Thread(target=read)
    reader.start()

    def write(part: int) -> None:
        for one in roots[part::4]:
            store.add(one)

    writers = [threading.Thread(target=write, args=(part,)) for part in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    done.set()
    reader.join()
    assert not torn
    assert len(store) == 40


def test_system_roots_honour_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, folder, empty = tmp_path / "bundle.pem", tmp_path / "certs", tmp_path / "empty"
    folder.mkdir()
    empty.mkdir()
    file.write_text(FIRST.certificate.pem())
    (folder / "second.pem").write_text(SECOND.certificate.pem())
    (folder / "0123abcd.0").symlink_to(folder / "second.pem")
    (folder / "README").write_text("nothing")
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    assert list(RootCertStore.system()) == [FIRST.certificate]
    monkeypatch.setenv("SSL_CERT_DIR", f"{empty}:{folder}:{tmp_path / 'missing'}")
    store = RootCertStore.system()
    assert list(store) == [FIRST.certificate, SECOND.certificate]
    assert store.report.left_out == ()
    monkeypatch.delenv("SSL_CERT_FILE")
    monkeypatch.setenv("SSL_CERT_DIR", str(empty))
    with pytest.raises(ConfigError, match="no CA certificate found"):
        RootCertStore.system()


def test_system_roots_come_from_the_first_bundle_or_a_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    file = tmp_path / "bundle.pem"
    file.write_text(BOTH)
    monkeypatch.setattr("trustls.trust.roots._BUNDLES", (str(tmp_path / "missing"), str(file)))
    assert len(RootCertStore.system()) == 2
    monkeypatch.setattr("trustls.trust.roots._BUNDLES", ())
    monkeypatch.setattr("trustls.trust.roots._DIRECTORIES", (str(tmp_path),))
    assert len(RootCertStore.system()) == 2
    monkeypatch.setattr("trustls.trust.roots._DIRECTORIES", ())
    with pytest.raises(ConfigError, match="install ca-certificates"):
        RootCertStore.system()
    monkeypatch.setattr("sys.platform", "win32")
    with pytest.raises(ConfigError, match="certifi"):
        RootCertStore.system()
