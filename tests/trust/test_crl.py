from __future__ import annotations

import copy
import pickle
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trust.issuing import DAY, NOW, Issued, authority, dn, leaf, raw
from tests.trust.revoking import (
    CRL_NUMBER,
    ECDSA_SHA1,
    at,
    entry,
    extension,
    only,
    points,
    raw_crl,
    revocation_list,
    revoked,
    tlv,
    uri,
)
from trustls.errors import CertificateProblem, CertificateRejected, ConfigError
from trustls.trust.crl import (
    CertificateRevocationList,
    CrlStore,
    RevocationReason,
    RevokedCertificate,
    distribution_points,
)
from trustls.trust.roots import LeftOut
from trustls.wire.names import DistinguishedName


@pytest.fixture(scope="module")
def root() -> Issued:
    return authority("CN=Root")


def pem(*crls: CertificateRevocationList | bytes) -> bytes:
    text = b""
    for crl in crls:
        der = crl if isinstance(crl, bytes) else crl.der
        text += x509.load_der_x509_crl(der).public_bytes(Encoding.PEM)
    return text


def reason(reason: x509.ReasonFlags) -> x509.CRLReason:
    return x509.CRLReason(reason)


# -- One CRL -----------------------------------------------------------------------------------------------------------


def test_a_crl_tells_what_it_is(root: Issued) -> None:
    alice, bob = leaf(root), leaf(root, "CN=bob")
    crl = revocation_list(root, alice, bob, number=7, days=(-1, 6))
    assert crl.issuer == DistinguishedName(root.x509.subject.public_bytes())
    assert (crl.number, crl.this_update, crl.next_update) == (7, NOW - DAY, NOW + 6 * DAY)
    assert crl.authority_key_identifier == root.certificate.subject_key_identifier
    assert crl.entries == 2
    assert str(crl) == (
        "the CRL number 7 of CN=Root (2 revoked, of 2026-05-31 00:00:00 UTC, due again 2026-06-07 00:00:00 UTC)"
    )
    assert crl.fingerprint == crl.sha256.hex()


def test_the_slices_of_a_crl_are_those_that_cryptography_finds(root: Issued) -> None:
    crl = revocation_list(root, leaf(root))
    second = x509.load_der_x509_crl(crl.der)
    assert bytes(crl.tbs) == second.tbs_certlist_bytes
    assert crl.signature == second.signature


def test_an_entry_tells_since_when_and_why(root: Issued) -> None:
    crl = revocation_list(
        root,
        revoked(0x1234, -3, reason(x509.ReasonFlags.key_compromise)),
        revoked(0x80, -2),
        revoked(1, -1, x509.InvalidityDate(at(-2)), reason(x509.ReasonFlags.certificate_hold)),
    )
    assert crl.entry(0x1234) == RevokedCertificate(0x1234, int(NOW - 3 * DAY), RevocationReason.KEY_COMPROMISE)
    assert crl.entry(0x80) == RevokedCertificate(0x80, int(NOW - 2 * DAY), None)
    held = crl.entry(1)
    assert held is not None
    assert held.reason is RevocationReason.CERTIFICATE_HOLD
    assert str(held.reason) == "certificateHold"


@pytest.mark.parametrize("serial_number", [0, 2, 0x12, 0x3412, 0x123400, 1 << 159, 1 << 168, 1 << 4000])
def test_a_serial_number_that_is_not_listed_has_no_entry(root: Issued, serial_number: int) -> None:
    crl = revocation_list(root, revoked(0x1234), revoked(1), revoked((1 << 159) - 1))
    assert crl.entry(serial_number) is None


def test_every_entry_of_a_long_crl_is_found(root: Issued) -> None:
    serials = [number * 7919 + 1 for number in range(5000)]
    extras = (extension("2.5.29.21", b"\x0a\x01\x04"),)
    entries = b"".join(
        entry(serial.to_bytes(serial.bit_length() // 8 + 1, "big"), *(extras if serial % 2 else ()))
        for serial in serials
    )
    crl = CertificateRevocationList.from_der(raw_crl(root, entries=entries))
    assert crl.entries == 5000
    for serial in serials:
        found = crl.entry(serial)
        assert found is not None
        assert found.reason is (RevocationReason.SUPERSEDED if serial % 2 else None)
        assert crl.entry(serial + 1) is None


def test_a_long_entry_is_found(root: Issued) -> None:
    long = extension("1.2.3.4", b"x" * 300)
    crl = CertificateRevocationList.from_der(raw_crl(root, entries=entry(b"\x05", long) + entry(b"\x06")))
    assert crl.entry(5) is not None
    assert crl.entry(6) is not None


def test_a_crl_above_16_mib_is_read(root: Issued) -> None:
    # Its lengths take four bytes, which certificates never need.
    filler = extension("1.2.3.4", b"x" * 60_000)
    entries = b"".join(entry(bytes([1, number >> 8, number & 0xFF]), filler) for number in range(290))
    der = raw_crl(root, entries=entries)
    assert len(der) > 1 << 24
    crl = CertificateRevocationList.from_der(der)
    assert crl.entries == 290
    assert crl.entry(0x010005) is not None
    assert crl.entry(0x020005) is None


def test_a_crl_of_nobody_is_fine(root: Issued) -> None:
    assert revocation_list(root).entries == 0
    assert CertificateRevocationList.from_der(raw_crl(root, entries=b"")).entry(1) is None


def test_times_after_2049_are_read(root: Issued) -> None:
    updates = tlv(0x17, b"491231235959Z") + tlv(0x18, b"20500101000000Z")
    crl = CertificateRevocationList.from_der(
        raw_crl(root, updates=updates, entries=entry(b"\x01", date=tlv(0x18, b"20500101000000Z")))
    )
    assert crl.next_update - crl.this_update == 1
    found = crl.entry(1)
    assert found is not None
    assert found.revoked_at == crl.next_update


def test_crls_are_values(root: Issued) -> None:
    crl = revocation_list(root)
    again = CertificateRevocationList.from_der(crl.der)
    assert crl == again
    assert hash(crl) == hash(again)
    assert {crl: 1}[crl] == 1
    assert repr(crl) == f"<CertificateRevocationList {crl}>"
    assert crl != revocation_list(root, number=2)
    assert crl != crl.der
    assert pickle.loads(pickle.dumps(crl)) == crl
    assert copy.copy(crl) == crl
    with pytest.raises(AttributeError):
        crl.number = 9
    with pytest.raises(AttributeError):
        del crl.number
    with pytest.raises(TypeError, match="from_der"):
        CertificateRevocationList()


# -- CRLs that are not taken -------------------------------------------------------------------------------------------

_V2 = tlv(0x02, b"\x01")
_UPDATES = tlv(0x17, b"260531000000Z") + tlv(0x17, b"260602000000Z")


@pytest.mark.parametrize(
    ("says", "options"),
    [
        ("not of version 2", {"version": b""}),
        ("not of version 2", {"version": tlv(0x02, b"\x00")}),
        ("no nextUpdate", {"updates": tlv(0x17, b"260531000000Z")}),
        ("before its thisUpdate", {"updates": tlv(0x17, b"260602000000Z") + tlv(0x17, b"260531000000Z")}),
        ("a day that there is not", {"updates": tlv(0x17, b"260631000000Z") + tlv(0x17, b"260702000000Z")}),
        ("an empty one", {"extensions": ()}),
        ("no CRLNumber", {"extensions": None}),
        ("no CRLNumber", {"extensions": (extension("2.5.29.35", tlv(0x30, tlv(0x80, b"k"))),)}),
        ("CRLNumber is critical", {"extensions": (extension("2.5.29.20", tlv(0x02, b"\x07"), critical=True),)}),
        ("CRLNumber has more than 20", {"extensions": (extension("2.5.29.20", tlv(0x02, b"\x01" + bytes(21))),)}),
        ("INTEGER is empty or negative", {"extensions": (extension("2.5.29.20", tlv(0x02, b"\xff")),)}),
        ("appears twice", {"extensions": (CRL_NUMBER, CRL_NUMBER)}),
        (
            "authorityKeyIdentifier is critical",
            {"extensions": (CRL_NUMBER, extension("2.5.29.35", tlv(0x30, tlv(0x80, b"k")), critical=True))},
        ),
        ("critical extension 1.2.3", {"extensions": (CRL_NUMBER, extension("1.2.3", b"", critical=True))}),
        ("delta CRL", {"extensions": (CRL_NUMBER, extension("2.5.29.27", tlv(0x02, b"\x01"), critical=True))}),
        ("delta CRL", {"extensions": (CRL_NUMBER, extension("2.5.29.27", tlv(0x02, b"\x01")))}),
        ("differs from the one outside", {"outer_algorithm": ECDSA_SHA1}),
        ("names no issuer", {"name": tlv(0x30)}),
        ("no RelativeDistinguishedName", {"name": tlv(0x30, tlv(0x30))}),
        ("an unknown field", {"after": tlv(0xA1, tlv(0x30))}),
        ("not a whole number of bytes", {"signature": b"\x01x"}),
        ("not a whole number of bytes", {"signature": b""}),
        ("removeFromCRL", {"entries": entry(b"\x01", extension("2.5.29.21", b"\x0a\x01\x08"))}),
        ("reason code 7", {"entries": entry(b"\x01", extension("2.5.29.21", b"\x0a\x01\x07"))}),
        ("reason code 11", {"entries": entry(b"\x01", extension("2.5.29.21", b"\x0a\x01\x0b"))}),
        ("has tag 0x02", {"entries": entry(b"\x01", extension("2.5.29.21", b"\x02\x01\x01"))}),
        ("indirect", {"entries": entry(b"\x01", extension("2.5.29.29", tlv(0x30), critical=True))}),
        ("indirect", {"entries": entry(b"\x01", extension("2.5.29.29", tlv(0x30)))}),
        (
            "an entry has the critical extension 1.2.3",
            {"entries": entry(b"\x01") + entry(b"\x02", extension("1.2.3", b"", critical=True))},
        ),
        ("serial number of more than 20", {"entries": entry(b"\x01" + bytes(21))}),
        ("RevokedCertificate", {"entries": entry(b"")}),
        ("RevokedCertificate", {"entries": entry(b"\x00\x01")}),
        ("RevokedCertificate", {"entries": entry(b"\x01", date=tlv(0x17, b"261301000000Z"))}),
        ("RevokedCertificate", {"entries": tlv(0x30)}),
        ("revoked_certificates", {"entries": tlv(0x31)}),
    ],
)
def test_a_crl_that_cannot_be_used_is_refused(root: Issued, says: str, options: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=says):
        CertificateRevocationList.from_der(raw_crl(root, **options))  # type: ignore[arg-type]


def test_the_same_crl_without_the_fault_is_taken(root: Issued) -> None:
    crl = CertificateRevocationList.from_der(
        raw_crl(
            root,
            version=_V2,
            updates=_UPDATES,
            extensions=(CRL_NUMBER, extension("1.2.3", b"")),
            entries=entry(b"\x01", extension("2.5.29.21", b"\x0a\x01\x01", critical=True), extension("1.2.3", b"")),
        )
    )
    assert crl.number == 7
    assert crl.entry(1) is not None


def test_the_message_names_the_issuer(root: Issued) -> None:
    with pytest.raises(ConfigError) as caught:
        CertificateRevocationList.from_der(raw_crl(root, extensions=(extension("1.2.3", b""),)))
    assert str(caught.value) == "the CRL of CN=Root cannot be used: it has no CRLNumber"


@pytest.mark.parametrize(
    "der", [b"", b"\x30", b"\x30\x84", b"\x30\x84\x01\x00\x00\x00", b"\x30\x84\x00\x00\x00\x01x", b"\x30\x80\x00\x00"]
)
def test_what_is_no_crl_is_refused(der: bytes) -> None:
    with pytest.raises(ConfigError, match="this CRL cannot be used"):
        CertificateRevocationList.from_der(der)


def test_bytes_behind_a_crl_are_refused(root: Issued) -> None:
    with pytest.raises(ConfigError, match="bytes follow"):
        CertificateRevocationList.from_der(raw_crl(root) + b"\x00")


def test_a_huge_crl_is_refused_unread() -> None:
    with pytest.raises(ConfigError, match="more than 64 MiB"):
        CertificateRevocationList.from_der(bytes((64 << 20) + 1))


@pytest.mark.parametrize(
    ("says", "value"),
    [
        ("empty", tlv(0x30)),
        ("out of order", tlv(0x30, tlv(0x82, b"\xff"), tlv(0x81, b"\xff"))),
        ("out of order", tlv(0x30, tlv(0x81, b"\xff"), tlv(0x81, b"\xff"))),
        ("unknown field", tlv(0x30, tlv(0x86, b"\xff"))),
        ("indirect", tlv(0x30, tlv(0x84, b"\xff"))),
        ("attribute certificates only", tlv(0x30, tlv(0x85, b"\xff"))),
        ("some reasons", tlv(0x30, tlv(0x83, b"\x06\x40"))),
        ("user certificates only and for CA", tlv(0x30, tlv(0x81, b"\xff"), tlv(0x82, b"\xff"))),
        ("relative", tlv(0x30, tlv(0xA0, tlv(0xA1, tlv(0x30))))),
        ("name of a distribution point", tlv(0x30, tlv(0xA0, tlv(0xA2)))),
        ("a list of no names", tlv(0x30, tlv(0xA0, tlv(0xA0)))),
        ("bytes follow", tlv(0x30, tlv(0x81, b"\xff")) + b"\x00"),
        ("neither 0x00 nor 0xFF", tlv(0x30, tlv(0x81, b"\x01"))),
    ],
)
def test_a_scope_that_is_not_understood_is_refused(root: Issued, says: str, value: bytes) -> None:
    der = raw_crl(root, extensions=(CRL_NUMBER, extension("2.5.29.28", value, critical=True)))
    with pytest.raises(ConfigError, match=says):
        CertificateRevocationList.from_der(der)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_mutated_crls_raise_config_errors_only(data: st.DataObject) -> None:
    der = bytearray(_SAMPLE)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(der) - 1))
        kind = data.draw(st.sampled_from(["change", "cut", "insert", "drop"]))
        if kind == "change":
            der[at] = data.draw(st.integers(0, 255))
        elif kind == "cut":
            del der[at:]
        elif kind == "insert":
            der[at:at] = data.draw(st.binary(min_size=1, max_size=4))
        else:
            del der[at]
        if not der:
            break
    try:
        crl = CertificateRevocationList.from_der(bytes(der))
    except ConfigError:
        return
    for serial_number in (1, 2, 3, 0x1234):
        crl.entry(serial_number)
    assert crl.title


_SAMPLE = raw_crl(
    authority("CN=Root"),
    entries=entry(b"\x01")
    + entry(b"\x02", extension("2.5.29.21", b"\x0a\x01\x01"))
    + entry(b"\x12\x34", date=tlv(0x18, b"20500101000000Z")),
    extensions=(
        CRL_NUMBER,
        extension("2.5.29.28", tlv(0x30, tlv(0xA0, tlv(0xA0, tlv(0x86, b"http://a/")))), critical=True),
        extension("2.5.29.35", tlv(0x30, tlv(0x80, b"key"))),
    ),
)


@settings(max_examples=300, deadline=None)
@given(tag=st.sampled_from([0x17, 0x18]), text=st.text("0123456789Z+-.", min_size=1, max_size=17))
def test_a_date_that_loads_can_be_looked_up(tag: int, text: str) -> None:
    entries = entry(b"\x01", date=tlv(tag, text.encode()))
    try:
        crl = CertificateRevocationList.from_der(raw_crl(_ROOT, entries=entries))
    except ConfigError:
        return
    assert crl.entry(1) is not None


@settings(max_examples=200, deadline=None)
@given(
    tag=st.sampled_from([0x17, 0x18]),
    fields=st.tuples(*(st.integers(0, top) for top in (9999, 13, 32, 24, 60, 60))),
)
def test_a_date_that_nearly_loads_can_be_looked_up(tag: int, fields: tuple[int, ...]) -> None:
    year, *rest = fields
    text = (f"{year % 100:02}" if tag == 0x17 else f"{year:04}") + "".join(f"{one:02}" for one in rest) + "Z"
    try:
        crl = CertificateRevocationList.from_der(raw_crl(_ROOT, entries=entry(b"\x01", date=tlv(tag, text.encode()))))
    except ConfigError:
        return
    assert crl.entry(1) is not None


_ROOT = authority("CN=Root")


# -- Files -------------------------------------------------------------------------------------------------------------


def test_a_file_may_hold_several_crls(root: Issued, tmp_path: Path) -> None:
    crls = revocation_list(root), revocation_list(root, number=2)
    text = b"some words\n" + pem(crls[0]) + b"# more\n" + pem(crls[1]).replace(b"\n", b"\r\n")
    file = tmp_path / "crls.pem"
    file.write_bytes(text)
    assert CertificateRevocationList.from_pem(file) == crls
    assert CertificateRevocationList.from_pem(str(file)) == crls
    assert CertificateRevocationList.from_pem(text) == crls
    assert CertificateRevocationList.from_pem(text.decode()) == crls


def test_a_file_may_be_der(root: Issued, tmp_path: Path) -> None:
    crl = revocation_list(root)
    file = tmp_path / "root.crl"
    file.write_bytes(crl.der)
    assert CertificateRevocationList.from_pem(file) == (crl,)
    assert list(CrlStore.from_pem(file)) == [crl]


def test_a_file_with_a_crl_of_an_unusable_kind_is_refused_where_all_are_asked_for(root: Issued) -> None:
    text = pem(revocation_list(root), raw_crl(root, extensions=(extension("1.2.3", b""),)))
    with pytest.raises(ConfigError, match="the CRL of CN=Root in the PEM text cannot be used: it has no CRLNumber"):
        CertificateRevocationList.from_pem(text)


def test_a_file_without_a_crl_is_refused(root: Issued, tmp_path: Path) -> None:
    file = tmp_path / "root.pem"
    file.write_bytes(root.x509.public_bytes(Encoding.PEM))
    with pytest.raises(ConfigError, match=r"there is no CRL in .*root\.pem: expected -----BEGIN X509 CRL-----"):
        CertificateRevocationList.from_pem(file)
    with pytest.raises(ConfigError, match="there is no CRL in the PEM text"):
        CrlStore.from_pem(b"")
    with pytest.raises(FileNotFoundError):
        CrlStore.from_pem(tmp_path / "nothing")


@pytest.mark.parametrize("damage", ["end", "begin", "letter"])
def test_a_damaged_block_is_refused(root: Issued, damage: str) -> None:
    text = pem(revocation_list(root))
    if damage == "end":
        text = text.replace(b"-----END X509 CRL-----", b"")
    elif damage == "begin":
        text = text[:60] + b"\n" + text
    else:
        text = text.replace(b"\n", b"\n*", 1)
    with pytest.raises(ConfigError, match="CRL 1 in the PEM text is cut off, or no base64"):
        CertificateRevocationList.from_pem(text)


# -- Stores ------------------------------------------------------------------------------------------------------------


def test_a_store_finds_crls_by_issuer(root: Issued) -> None:
    other = authority("CN=Other")
    crls = [revocation_list(root), revocation_list(other)]
    store = CrlStore(crls)
    assert len(store) == 2
    assert list(store) == crls
    assert store.for_issuer(crls[1].issuer) == (crls[1],)
    assert store.for_issuer(DistinguishedName(dn("CN=Nobody").public_bytes())) == ()
    assert store.issuers() == (crls[0].issuer, crls[1].issuer)
    assert crls[0] in store
    assert repr(store) == "<CrlStore of 2 CRLs>"


def test_a_store_takes_crls_in_every_form(root: Issued) -> None:
    crls = [
        revocation_list(root, number=number, scope=only(users=number == 2) if number == 2 else None)
        for number in (1, 2)
    ]
    expected = CrlStore(crls)
    store = CrlStore.from_der(crls[0].der)
    store.add(x509.load_der_x509_crl(crls[1].der))
    assert store.fingerprint == expected.fingerprint
    assert CrlStore.from_pem(pem(*crls)).fingerprint == expected.fingerprint
    assert pickle.loads(pickle.dumps(store)).fingerprint == expected.fingerprint
    assert CrlStore(crls[:1]).fingerprint != expected.fingerprint


@pytest.mark.parametrize("crl", ["crl.pem", 5, b"-----BEGIN X509 CRL-----", b"x"])
def test_what_is_no_crl_is_not_taken(crl: object) -> None:
    with pytest.raises(ConfigError):
        CrlStore().add(crl)  # type: ignore[arg-type]


def test_a_store_reports_what_it_left_out(root: Issued) -> None:
    crl = revocation_list(root)
    text = pem(crl, crl) + pem(raw_crl(root, extensions=(extension("1.2.3", b""),)))
    store = CrlStore()
    report = store.add_pem(text)
    assert report.added == 1
    assert report.left_out == (
        LeftOut("the CRL of CN=Root", "it has no CRLNumber"),
        LeftOut("the CRL number 1 of CN=Root", "it is in the store already"),
    )
    assert store.report.left_out == report.left_out
    assert str(report).splitlines()[:2] == [
        "1 in the store, 2 left out",
        "left out the CRL of CN=Root: it has no CRLNumber",
    ]


def test_a_store_takes_nothing_from_a_damaged_file(root: Issued) -> None:
    store = CrlStore()
    text = pem(revocation_list(root))
    for damaged in (text + b"-----BEGIN X509 CRL-----\n", text + text.replace(b"\nM", b"\nN", 1)):
        with pytest.raises(ConfigError, match="CRL 2 in the PEM text"):
            store.add_pem(damaged)
    assert len(store) == 0


def test_a_store_remembers_whose_crls_it_left_out(root: Issued) -> None:
    other = authority("CN=Other")
    name = DistinguishedName(root.x509.subject.public_bytes())
    store = CrlStore.from_pem(pem(revocation_list(other)) + pem(raw_crl(root, extensions=(extension("1.2.3", b""),))))
    for one in (store, pickle.loads(pickle.dumps(store))):
        assert one.unusable_of(name) == "it has no CRLNumber"
        assert one.unusable_of(revocation_list(other).issuer) == ""
        assert len(one) == 1
        one.add(revocation_list(root))
        assert len(one) == 2


def test_a_file_of_unusable_crls_is_refused(root: Issued) -> None:
    with pytest.raises(
        ConfigError, match="no CRL in the PEM text can be used: the CRL of CN=Root: it has no CRLNumber"
    ):
        CrlStore.from_pem(pem(raw_crl(root, extensions=(extension("1.2.3", b""),))))


def test_a_store_warns_of_crls_that_are_out_of_date(root: Issued) -> None:
    now = (time.time() - NOW) / DAY
    store = CrlStore(
        [revocation_list(root, days=(now - 2, now - 1)), revocation_list(authority("CN=B"), days=(now + 1, now + 2))]
    )
    first, second = store.report.warnings
    assert first.startswith("the CRL number 1 of CN=Root was to be replaced by 2")
    assert second.startswith("the CRL number 1 of CN=B is valid from 2")
    assert "warning: the CRL number 1 of CN=B" in str(store.report)


def test_the_two_newest_of_a_kind_are_kept(root: Issued) -> None:
    crls = {number: revocation_list(root, number=number) for number in (5, 3, 9, 4)}
    store = CrlStore(crls.values())
    assert store.for_issuer(crls[9].issuer) == (crls[9], crls[5])
    assert store.report.added == 2
    assert [one.subject for one in store.report.left_out] == [
        "the CRL number 3 of CN=Root",
        "the CRL number 4 of CN=Root",
    ]


def test_of_the_same_number_the_later_is_newer(root: Issued) -> None:
    early, late = revocation_list(root, days=(-2, 1)), revocation_list(root, days=(-1, 1))
    assert CrlStore([early, late]).for_issuer(late.issuer) == (late, early)
    assert CrlStore([late, early]).for_issuer(late.issuer) == (late, early)


def test_other_scopes_and_keys_do_not_replace_one_another(root: Issued) -> None:
    again = authority("CN=Root")
    crls = [
        *(revocation_list(root, number=number) for number in (1, 2)),
        *(revocation_list(again, number=number) for number in (3, 4)),
        *(revocation_list(root, number=number, scope=only(users=True)) for number in (5, 6)),
        *(revocation_list(root, number=number, scope=only(names=uri("http://a/"))) for number in (7, 8)),
    ]
    store = CrlStore(crls)
    assert len(store) == 8
    assert not store.report.left_out


def test_the_report_of_a_store_that_lives_long_stays_short(root: Issued) -> None:
    store = CrlStore()
    for number in range(300):
        number_extension = extension("2.5.29.20", tlv(0x02, (number + 256).to_bytes(2, "big")))
        store.add(raw_crl(root, extensions=(number_extension,)))
    assert len(store) == 2
    assert len(store.report.left_out) == 100


def test_a_store_may_grow_while_it_is_read(root: Issued) -> None:
    issuers = [authority(f"CN=CA {number}") for number in range(8)]
    crls = [revocation_list(one) for one in issuers]
    store = CrlStore()
    problems: list[str] = []
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            seen = list(store)
            problems.extend(crl.title for crl in seen if crl not in store.for_issuer(crl.issuer))

    readers = [threading.Thread(target=look) for _ in range(2)]
    for reader in readers:
        reader.start()
    writers = [threading.Thread(target=store.add, args=(crl,)) for crl in crls]
    for writer in writers:
        writer.start()
    for thread in writers:
        thread.join()
    stop.set()
    for thread in readers:
        thread.join()
    assert not problems
    assert len(store) == 8


# -- Which certificates a CRL covers -----------------------------------------------------------------------------------


def covers(root: Issued, scope: x509.IssuingDistributionPoint | None, one: Issued) -> bool:
    return revocation_list(root, scope=scope).covers(one.certificate)


def test_a_crl_without_a_scope_covers_all_of_its_issuer(root: Issued) -> None:
    assert covers(root, None, leaf(root))
    assert covers(root, None, leaf(root, extra=[points("http://elsewhere/")]))
    assert covers(root, None, authority("CN=Middle", root))
    assert not covers(root, None, leaf(authority("CN=Other")))


def test_a_crl_may_be_for_one_kind_of_certificates(root: Issued) -> None:
    alice, middle = leaf(root), authority("CN=Middle", root)
    assert covers(root, only(users=True), alice)
    assert not covers(root, only(users=True), middle)
    assert covers(root, only(cas=True), middle)
    assert not covers(root, only(cas=True), alice)


def test_a_crl_of_a_distribution_point_covers_what_names_it(root: Issued) -> None:
    scope = only(names=uri("http://a/1", "http://b/1"))
    assert covers(root, scope, leaf(root, extra=[points("http://b/1")]))
    assert covers(root, scope, leaf(root, extra=[points("http://x/", "http://a/1")]))
    assert not covers(root, scope, leaf(root, extra=[points("http://a/2")]))
    assert not covers(root, scope, leaf(root))


def test_the_issuers_own_name_is_a_distribution_point(root: Issued) -> None:
    scope = only(names=[x509.DirectoryName(root.x509.subject)])
    assert covers(root, scope, leaf(root))


def test_a_point_for_some_reasons_or_of_another_issuer_does_not_count(root: Issued) -> None:
    scope = only(names=uri("http://a/"))
    other = [x509.DirectoryName(dn("CN=Other"))]
    own: Sequence[x509.GeneralName] = [x509.DirectoryName(root.x509.subject)]

    def one(**fields: object) -> tuple[x509.ExtensionType, bool]:
        given = {"full_name": uri("http://a/"), "relative_name": None, "reasons": None, "crl_issuer": None, **fields}
        return x509.CRLDistributionPoints([x509.DistributionPoint(**given)]), False  # type: ignore[arg-type]

    assert covers(root, scope, leaf(root, extra=[one()]))
    assert covers(root, scope, leaf(root, extra=[one(crl_issuer=own)]))
    assert not covers(root, scope, leaf(root, extra=[one(crl_issuer=other)]))
    assert not covers(root, scope, leaf(root, extra=[one(reasons=frozenset({x509.ReasonFlags.key_compromise}))]))
    relative = x509.RelativeDistinguishedName([x509.NameAttribute(x509.NameOID.COMMON_NAME, "1")])
    assert not covers(root, scope, leaf(root, extra=[one(full_name=None, relative_name=relative)]))
    assert covers(root, only(names=own), leaf(root, extra=[one(full_name=None, crl_issuer=own)]))


@pytest.mark.parametrize(
    "value",
    [
        b"",
        tlv(0x31),
        tlv(0x30, tlv(0x31)),
        tlv(0x30, tlv(0x30, tlv(0xA3))),
        tlv(0x30, tlv(0x30, tlv(0xA2, tlv(0x86, b"a")), tlv(0xA0, tlv(0xA0, tlv(0x86, b"a"))))),
        tlv(0x30, tlv(0x30, tlv(0xA0, tlv(0xA0, tlv(0x86, b"a")), b"\x05\x00"))),
        tlv(0x30, tlv(0x30, tlv(0xA2))),
    ],
)
def test_distribution_points_that_cannot_be_read_are_a_fault_of_the_certificate(root: Issued, value: bytes) -> None:
    alice = leaf(root, extra=[(raw("2.5.29.31", value), False)])
    with pytest.raises(CertificateRejected, match="cRLDistributionPoints of CN=alice") as caught:
        distribution_points(alice.certificate)
    assert caught.value.reason is CertificateProblem.MALFORMED
    assert caught.value.remedy
