from __future__ import annotations

import copy
import datetime
import ipaddress
import pickle
import threading
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from tests.trust.issuing import authority, dns, issue, leaf, raw, usage
from trustls.errors import CertificateProblem, CertificateRejected, ConfigError, DecodeError
from trustls.trust import certificate as module
from trustls.trust import extensions
from trustls.trust.cache import BoundedCache
from trustls.trust.certificate import Certificate
from trustls.trust.extensions import KeyUsage, NameForm

ROOT = authority("CN=Root,O=Example", permitted=dns("example.com"), path_length=1, days=(-10, 300))
NAMES = [
    *dns("alice.example.com", "*.example.com"),
    x509.IPAddress(ipaddress.ip_address("192.0.2.1")),
    x509.IPAddress(ipaddress.ip_address("2001:db8::1")),
    x509.UniformResourceIdentifier("spiffe://example.com/alice"),
    x509.RFC822Name("alice@example.com"),
]
ALICE = leaf(ROOT, "CN=alice", names=NAMES, days=(-1, 214))
DER = ALICE.x509.public_bytes(Encoding.DER)


def test_a_certificate_says_what_pyca_says() -> None:
    certificate, theirs = ALICE.certificate, ALICE.x509
    assert certificate.der == DER
    assert certificate.tbs == theirs.tbs_certificate_bytes
    assert certificate.signature == theirs.signature
    assert certificate.serial_number == theirs.serial_number
    assert certificate.version == 3
    assert certificate.subject.der == theirs.subject.public_bytes()
    assert certificate.issuer.der == theirs.issuer.public_bytes()
    assert certificate.not_before_utc == theirs.not_valid_before_utc
    assert certificate.not_after_utc == theirs.not_valid_after_utc
    assert certificate.spki == theirs.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert certificate.public_key == theirs.public_key()
    assert certificate.fingerprint == theirs.fingerprint(hashes.SHA256()).hex()
    assert certificate.x509 == theirs
    assert certificate.extensions == tuple(extension.oid.dotted_string for extension in theirs.extensions)
    assert certificate.extension("2.5.29.19") == b"0\0"
    assert certificate.extension("1.2.3") is None


def test_names_come_from_the_alternative_name_by_form() -> None:
    certificate = ALICE.certificate
    assert certificate.dns_names == ("alice.example.com", "*.example.com")
    assert list(map(str, certificate.ip_addresses)) == ["192.0.2.1", "2001:db8::1"]
    assert certificate.uris == ("spiffe://example.com/alice",)
    assert certificate.emails == ("alice@example.com",)
    assert issue("CN=alice.example.com").certificate.dns_names == ()


def test_what_a_certificate_may_do() -> None:
    alice, root = ALICE.certificate, ROOT.certificate
    assert (alice.is_ca, alice.path_length) == (False, None)
    assert (root.is_ca, root.path_length) == (True, 1)
    assert alice.key_usage is KeyUsage.DIGITAL_SIGNATURE
    assert root.key_usage == KeyUsage.KEY_CERT_SIGN | KeyUsage.CRL_SIGN
    assert alice.extended_key_usage == ("1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2")
    assert root.extended_key_usage is None
    assert root.name_constraints == (((NameForm.DNS, b"example.com"),), ())
    assert alice.name_constraints is None
    assert alice.authority_key_identifier == root.subject_key_identifier != alice.subject_key_identifier
    assert root.authority_key_identifier is None
    assert root.is_self_issued
    assert not alice.is_self_issued
    assert alice.fault is None


def test_a_bare_certificate_limits_nothing() -> None:
    bare = issue("CN=bare", key_identifiers=False).certificate
    assert bare.extensions == ()
    assert bare.key_usage is None
    assert bare.extended_key_usage is None
    assert not bare.is_ca
    assert bare.subject_key_identifier is None


def test_all_key_usages_are_read() -> None:
    every = usage("key_agreement", "decipher_only", "encipher_only", "content_commitment")
    assert issue("CN=a", key_usage=every).certificate.key_usage == (
        KeyUsage.KEY_AGREEMENT | KeyUsage.DECIPHER_ONLY | KeyUsage.ENCIPHER_ONLY | KeyUsage.CONTENT_COMMITMENT
    )


def test_the_text_of_a_certificate_is_one_line() -> None:
    assert str(ALICE.certificate) == "CN=alice (issued by CN=Root,O=Example, expires 2027-01-01)"
    assert repr(ALICE.certificate) == f"<Certificate {ALICE.certificate}>"
    nameless = issue("", issuer_name="").certificate
    assert str(nameless).startswith(f"serial number {nameless.serial_number:x} (issued by nobody")


def test_unknown_critical_extensions_are_listed() -> None:
    one = issue("CN=a", extra=[(raw("1.2.3.4", b"\5\0"), True), (raw("1.2.3.5", b"\5\0"), False)]).certificate
    assert one.unknown_critical_extensions == ("1.2.3.4",)


def test_a_certificate_does_not_change() -> None:
    with pytest.raises(AttributeError):
        ALICE.certificate.der = b""
    with pytest.raises(AttributeError):
        del ALICE.certificate.der
    with pytest.raises(TypeError, match="from_der"):
        Certificate()


def test_certificates_compare_by_der_and_survive_copying() -> None:
    certificate = ALICE.certificate
    module._PARSED.clear()
    again = Certificate.from_der(bytes(bytearray(DER)))
    assert again is not certificate
    assert again == certificate
    assert len({again, certificate}) == 1
    assert certificate != ROOT.certificate
    assert certificate != DER
    assert pickle.loads(pickle.dumps(certificate)) == copy.deepcopy(certificate) == certificate


def test_the_same_bytes_give_the_same_object() -> None:
    assert Certificate.from_der(DER) is Certificate.from_der(bytes(bytearray(DER)))


def test_pem_is_read_from_bytes_text_and_path(tmp_path: Path) -> None:
    pem = ALICE.certificate.pem() + "a comment\n" + ROOT.certificate.pem()
    file = tmp_path / "chain.pem"
    file.write_text(pem)
    expected = (ALICE.certificate, ROOT.certificate)
    assert Certificate.from_pem(pem) == expected
    assert Certificate.from_pem(pem.encode()) == expected
    assert Certificate.from_pem(file) == expected
    assert Certificate.from_pem(str(file)) == expected
    assert Certificate.from_pem(pem.replace("\n", "\r\n").encode()) == expected
    assert x509.load_pem_x509_certificate(ALICE.certificate.pem().encode()) == ALICE.x509


def test_pem_without_a_certificate_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no certificate in the PEM text"):
        Certificate.from_pem(b"nothing")
    file = tmp_path / "key.pem"
    file.write_text("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
    with pytest.raises(ConfigError, match=r"key\.pem"):
        Certificate.from_pem(file)
    with pytest.raises(FileNotFoundError):
        Certificate.from_pem(tmp_path / "missing.pem")


def test_a_broken_certificate_in_pem_is_counted() -> None:
    good = ALICE.certificate.pem()
    for bad in ("AAAA", "%%%%"):
        text = f"{good}-----BEGIN CERTIFICATE-----\n{bad}\n-----END CERTIFICATE-----\n"
        with pytest.raises(CertificateRejected, match="certificate 2 of the PEM text"):
            Certificate.from_pem(text)


def test_pem_that_is_cut_off_is_not_passed_over() -> None:
    text = ALICE.certificate.pem()
    with pytest.raises(CertificateRejected, match="certificate 2 of the PEM text is cut off"):
        Certificate.from_pem(text + text[:200])


def malformed(der: bytes) -> str:
    with pytest.raises(CertificateRejected) as caught:
        Certificate.from_der(der)
    assert caught.value.reason is CertificateProblem.MALFORMED
    return str(caught.value)


def test_every_truncation_is_malformed() -> None:
    for length in range(0, len(DER), 7):
        malformed(DER[:length])
    malformed(DER + b"\0")
    malformed(b"\x30\x84\x00\x02\x00\x00" + bytes(1 << 17))


def test_a_duplicate_extension_is_malformed() -> None:
    one = issue("CN=a", extra=[(raw("1.2.3.4", b"\5\0"), False), (raw("1.2.3.5", b"\5\0"), False)])
    twice = one.x509.public_bytes(Encoding.DER).replace(b"\x2a\x03\x05", b"\x2a\x03\x04")
    assert "the extension 1.2.3.4 appears twice" in malformed(twice)


def test_algorithms_inside_and_outside_must_agree() -> None:
    at = DER.rindex(bytes.fromhex("06082a8648ce3d040302"))
    other = DER[: at + 9] + b"\x03" + DER[at + 10 :]
    assert "differs from the one outside" in malformed(other)


def test_extensions_need_version_3() -> None:
    for version in (1, 0, 3):
        changed = DER.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01" + bytes([version]))
        assert "version" in malformed(changed)


def test_version_2_is_malformed() -> None:
    der = issue("CN=a", key_identifiers=False).x509.public_bytes(Encoding.DER)
    assert "it is of version 2" in malformed(der.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x01"))


def test_a_serial_number_is_not_negative_and_not_long() -> None:
    der = issue("CN=a", serial_number=0x7F112233).x509.public_bytes(Encoding.DER)
    assert "negative" in malformed(der.replace(b"\x7f\x11\x22\x33", b"\xff\x11\x22\x33"))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (b"491231235959Z", datetime.datetime(2049, 12, 31, 23, 59, 59, tzinfo=datetime.UTC)),
        (b"500101000000Z", datetime.datetime(1950, 1, 1, tzinfo=datetime.UTC)),
        (b"99991231235959Z", datetime.datetime(9999, 12, 31, 23, 59, 59, tzinfo=datetime.UTC)),
    ],
)
def test_times_are_read(text: bytes, seconds: datetime.datetime) -> None:
    tag = 0x17 if len(text) == 13 else 0x18
    assert extensions.seconds(tag, text) == seconds.timestamp()


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"Z",
        b"260601000000",
        b"260230000000Z",
        b"260601240000Z",
        b"260601006000Z",
        b"26060100000aZ",
        b"2606010000Z",
    ],
)
def test_what_is_no_time_is_refused(text: bytes) -> None:
    with pytest.raises(DecodeError):
        extensions.seconds(0x17, text)


def test_a_key_that_cannot_be_read_is_told_when_it_is_needed() -> None:
    point = ALICE.certificate.spki[-64:]
    broken = Certificate.from_der(DER.replace(point, bytes(64)))
    with pytest.raises(CertificateRejected) as caught:
        broken.public_key  # noqa: B018
    assert caught.value.reason is CertificateProblem.WEAK_KEY


def test_a_malformed_extension_is_told_when_it_is_read() -> None:
    broken = issue("CN=a", extra=[(raw("2.5.29.17", b"garbage"), False)], key_identifiers=False).certificate
    with pytest.raises(CertificateRejected, match="subjectAltName of CN=a"):
        broken.dns_names  # noqa: B018
    assert broken.fault is not None
    assert broken.title == "CN=a"


@pytest.mark.parametrize(
    ("oid", "content"),
    [
        ("2.5.29.19", "300602010130010100"),
        ("2.5.29.19", "3003010101"),
        ("2.5.29.15", "0301"),
        ("2.5.29.15", "03020700"),
        ("2.5.29.15", "030208ff"),
        ("2.5.29.15", "030207c0"),
        ("2.5.29.15", "030400000001"),
        ("2.5.29.37", "3000"),
        ("2.5.29.37", "30020500"),
        ("2.5.29.17", "3000"),
        ("2.5.29.17", "30028200"),
        ("2.5.29.17", "30038201ff"),
        ("2.5.29.17", "300387017f"),
        ("2.5.29.17", "3003890101"),
        ("2.5.29.17", "3003a20161"),
        ("2.5.29.17", "3004a4023100"),
        ("2.5.29.17", "3003880180"),
        ("2.5.29.30", "3000"),
        ("2.5.29.30", "3002a000"),
        ("2.5.29.30", "3006a0040402ffff"),
        ("2.5.29.30", "300ba009300782026162800101"),
        ("2.5.29.30", "3008a00630048202612a"),
        ("2.5.29.30", "3008a006300486026140"),
        ("2.5.29.30", "3008a006300481026140"),
        ("2.5.29.30", "300ea00c300a8708c0000200ff00ff00"),
        ("2.5.29.14", "3000"),
        ("2.5.29.35", "0400"),
        ("1.3.6.1.5.5.7.1.1", "3000"),
        ("1.3.6.1.5.5.7.1.1", "30020500"),
        ("1.3.6.1.5.5.7.1.1", "3009300706022a0386016178"),
    ],
)
def test_malformed_contents_are_faults(oid: str, content: str) -> None:
    one = issue("CN=a", extra=[(raw(oid, bytes.fromhex(content)), False)], key_identifiers=False).certificate
    assert one.fault is not None
    assert one.fault.problem is CertificateProblem.MALFORMED


@given(st.sampled_from(["19", "15", "37", "17", "30", "14", "35"]), st.binary(max_size=40), st.booleans())
def test_garbage_in_an_extension_is_a_fault_or_none(number: str, content: bytes, wrapped: bool) -> None:
    if wrapped:
        content = bytes([0x30, len(content)]) + content
    one = object.__new__(Certificate)
    for slot in Certificate.__slots__:
        if not slot.startswith("_"):
            object.__setattr__(one, slot, getattr(ALICE.certificate, slot))
    oid = bytes([0x55, 0x1D, int(number)])
    object.__setattr__(one, "_extensions", {oid: (False, content)})
    assert one.fault is None or one.fault.problem is CertificateProblem.MALFORMED


@given(st.binary(max_size=200))
def test_garbage_is_malformed(data: bytes) -> None:
    with pytest.raises(CertificateRejected) as caught:
        Certificate.from_der(data)
    assert caught.value.reason is CertificateProblem.MALFORMED


@given(st.integers(0, len(DER) - 1), st.integers(1, 255), st.integers(1, 4))
def test_a_damaged_certificate_raises_only_rejections(at: int, flip: int, count: int) -> None:
    damaged = bytearray(DER)
    for offset in range(count):
        damaged[(at + offset * 31) % len(DER)] ^= flip
    try:
        one = Certificate.from_der(bytes(damaged))
        str(one)
        if one.fault is None:
            one.public_key  # noqa: B018
    except CertificateRejected as error:
        rejected = error
    else:
        return
    assert rejected.reason in {CertificateProblem.MALFORMED, CertificateProblem.WEAK_KEY}


def test_the_cache_keeps_what_is_used_and_bounds_the_rest() -> None:
    cache: BoundedCache[int, int] = BoundedCache(entries=20, weight=1000)
    cache.put(-1, -1)
    for number in range(100):
        cache.put(number, number)
        assert cache.get(-1) == -1
        assert len(cache) <= 20
    assert cache.get(0) is None
    assert cache.get(99) == 99
    cache.put(1000, 1, weight=251)
    assert cache.get(1000) is None
    cache.clear()
    assert len(cache) == 0
    for number in range(10):
        cache.put(number, number, weight=200)
    assert len(cache) <= 5


def test_the_cache_is_safe_to_share() -> None:
    ders = [issue(f"CN={number}", key=ALICE.key).x509.public_bytes(Encoding.DER) for number in range(40)]
    errors: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(20):
                for der in ders:
                    assert Certificate.from_der(der).der == der
        except BaseException as error:  # noqa: BLE001
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors


def test_certificates_with_a_crowd_of_names_are_soon_forgotten() -> None:
    """A name of three bytes takes forty times that, once it is read."""
    crowd = leaf(authority("CN=Root"), names=dns("a") * 20_000).x509.public_bytes(Encoding.DER)
    first = Certificate.from_der(crowd)
    assert Certificate.from_der(crowd) is first
    for number in range(8):
        Certificate.from_der(crowd[:-2] + number.to_bytes(2, "big"))
    assert Certificate.from_der(crowd) is not first
