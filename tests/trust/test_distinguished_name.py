from __future__ import annotations

import contextlib
import copy
import pickle

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from tests.trust.issuing import dn
from trustls.errors import DecodeError, Misbehaviour
from trustls.wire import der
from trustls.wire.names import DistinguishedName, brief, shown

K_DOT = dn("CN=K-Dot Certificate Authority,OU=Keys+O=Example,C=DE").public_bytes()


def named(*attributes: tuple[x509.ObjectIdentifier, str]) -> DistinguishedName:
    return DistinguishedName(x509.Name([x509.NameAttribute(*attribute) for attribute in attributes]).public_bytes())


def test_a_name_keeps_its_exact_der_and_compares_by_it() -> None:
    name = DistinguishedName(K_DOT)
    assert name.der == K_DOT
    assert name == DistinguishedName(K_DOT[:5] + K_DOT[5:])
    assert hash(name) == hash(DistinguishedName(K_DOT))
    assert name != named((NameOID.COMMON_NAME, "other"))
    assert name != K_DOT


def test_the_same_text_in_another_encoding_is_another_name() -> None:
    text = b"My CA"
    printable, utf8 = (
        DistinguishedName(bytes.fromhex("3010310e300c0603550403") + bytes([tag, 5]) + text) for tag in (0x13, 0x0C)
    )
    assert str(printable) == str(utf8) == "CN=My CA"
    assert printable != utf8


def test_a_name_does_not_change() -> None:
    name = DistinguishedName(K_DOT)
    with pytest.raises(AttributeError):
        name.der = b"0\0"
    with pytest.raises(AttributeError):
        del name.der


def test_a_name_survives_copying_and_pickling() -> None:
    name = DistinguishedName(K_DOT)
    assert copy.deepcopy(name) == pickle.loads(pickle.dumps(name)) == name


def test_text_is_reversed_as_rfc4514_says() -> None:
    name = named(
        (NameOID.COUNTRY_NAME, "DE"),
        (NameOID.STATE_OR_PROVINCE_NAME, "Hessen"),
        (NameOID.LOCALITY_NAME, "Town"),
        (NameOID.STREET_ADDRESS, "Road 1"),
        (NameOID.ORGANIZATION_NAME, "Example"),
        (NameOID.ORGANIZATIONAL_UNIT_NAME, "Keys"),
        (NameOID.DOMAIN_COMPONENT, "org"),
        (NameOID.USER_ID, "u1"),
        (NameOID.COMMON_NAME, "Root"),
        (NameOID.EMAIL_ADDRESS, "ca@example.org"),
        (NameOID.SERIAL_NUMBER, "7"),
    )
    assert str(name) == (
        "serialNumber=7,emailAddress=ca@example.org,CN=Root,UID=u1,DC=org,OU=Keys,O=Example,STREET=Road 1,L=Town,"
        "ST=Hessen,C=DE"
    )
    assert repr(name) == f"<DistinguishedName {name}>"


def test_attributes_of_one_rdn_are_joined_by_plus() -> None:
    assert str(DistinguishedName(K_DOT)) in {
        "CN=K-Dot Certificate Authority,OU=Keys+O=Example,C=DE",
        "CN=K-Dot Certificate Authority,O=Example+OU=Keys,C=DE",
    }


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ('a,b+c"d;e<f>g\\h=i', 'CN=a\\,b\\+c\\"d\\;e\\<f\\>g\\\\h=i'),
        (" both ", "CN=\\ both\\ "),
        (" ", "CN=\\ "),
        ("#1", "CN=\\#1"),
        ("nul\0", "CN=nul\\00"),
        ("Zoë Müller", "CN=Zoë Müller"),
        ("esc\x1b[2J", "CN=esc\\1B[2J"),
        ("new\nline", "CN=new\\0Aline"),
        ("\u202etxt.exe", "CN=\\E2\\80\\AEtxt.exe"),
        ("zero\u200bwidth", "CN=zero\\E2\\80\\8Bwidth"),
        ("no\u00a0break", "CN=no\\C2\\A0break"),
    ],
)
def test_text_escapes_what_rfc4514_wants_and_what_could_mislead(value: str, text: str) -> None:
    assert str(named((NameOID.COMMON_NAME, value))) == text


def test_unknown_attributes_and_values_that_are_no_text_are_hex() -> None:
    name = DistinguishedName(bytes.fromhex("301e310d300b06042a0304050c03616263310d300b06035504030c04ff414243"))
    assert str(name) == "CN=#0c04ff414243,1.2.3.4.5=#0c03616263"
    assert name.attributes() == (("1.2.3.4.5", "abc"), ("2.5.4.3", "#0c04ff414243"))
    assert name.common_name is None


def test_attributes_and_common_name_are_unescaped() -> None:
    name = named((NameOID.COUNTRY_NAME, "DE"), (NameOID.COMMON_NAME, "a,b"))
    assert name.attributes() == (("2.5.4.6", "DE"), ("2.5.4.3", "a,b"))
    assert name.common_name == "a,b"
    assert named((NameOID.COUNTRY_NAME, "DE")).common_name is None


def test_the_empty_name_is_false_and_has_no_text() -> None:
    name = DistinguishedName(b"0\0")
    assert not name
    assert str(name) == ""
    assert DistinguishedName(K_DOT)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b"", Misbehaviour.TRUNCATED),
        (b"0", Misbehaviour.TRUNCATED),
        (b"0\x01", Misbehaviour.TRUNCATED),
        (K_DOT[:-1], Misbehaviour.TRUNCATED),
        (K_DOT + b"\0", Misbehaviour.TRAILING_BYTES),
        (b"1" + K_DOT[1:], Misbehaviour.MALFORMED),
        (K_DOT[2:], Misbehaviour.MALFORMED),
        (b"0\x80\0\0", Misbehaviour.MALFORMED),
        (b"0\x81\x00", Misbehaviour.MALFORMED),
        (b"0\x82\x00\x01\x00", Misbehaviour.MALFORMED),
        (b"0\x84\0\0\0\0", Misbehaviour.MALFORMED),
        (b"0\x021\0", Misbehaviour.MALFORMED),
        (b"0\x041\x020\0", Misbehaviour.TRUNCATED),
        (bytes.fromhex("300a310830060603550403") + b"\x05", Misbehaviour.TRUNCATED),
        (bytes.fromhex("300d310b300906035504030c00") + b"\x05\0", Misbehaviour.TRAILING_BYTES),
        (bytes.fromhex("300a3108300606028003") + b"\x0c\0", Misbehaviour.MALFORMED),
    ],
)
def test_what_is_no_name_is_refused(bad: bytes, reason: Misbehaviour) -> None:
    with pytest.raises(DecodeError) as caught:
        DistinguishedName(bad)
    assert caught.value.reason is reason


@given(st.binary(max_size=80) | st.binary(max_size=60).map(lambda tail: bytes([0x30, len(tail)]) + tail))
def test_garbage_is_a_name_or_a_decode_error(data: bytes) -> None:
    try:
        name = DistinguishedName(data)
    except DecodeError:
        return
    assert name.der == data
    assert str(name).isprintable()
    name.attributes()


@given(st.integers(0, len(K_DOT) - 1), st.integers(0, 255))
def test_a_damaged_name_is_a_name_or_a_decode_error(at: int, byte: int) -> None:
    with contextlib.suppress(DecodeError):
        str(DistinguishedName(K_DOT[:at] + bytes([byte]) + K_DOT[at + 1 :]))


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30))
def test_pyca_reads_the_text_back(value: str) -> None:
    name = named((NameOID.ORGANIZATION_NAME, value))
    assert str(name).isprintable()
    [attribute] = x509.Name.from_rfc4514_string(str(name))
    assert attribute.value == value


def test_brief_and_shown_bound_what_goes_into_a_message() -> None:
    assert len(brief(named(*[(NameOID.ORGANIZATION_NAME, "x" * 60)] * 10))) == 256
    assert brief(named(*[(NameOID.ORGANIZATION_NAME, "x" * 60)] * 100)).startswith("<a name of ")
    assert shown("a\x1bb\u202ec\x00é") == "a\\x1bb\\u202ec\\x00é"
    assert len(shown("x" * 1000)) == 259


@pytest.mark.parametrize(
    "dotted", ["2.5.4.3", "1.2.840.113549.1.1.11", "0.9.2342.19200300.100.1.1", "2.999.3", "2.48.1"]
)
def test_oids_round_trip(dotted: str) -> None:
    assert der.dotted(der.undotted(dotted)) == dotted


@pytest.mark.parametrize("bad", ["", "80", "0180", "2a8001", "2a" * 65, "2a0380"])
def test_malformed_oids_are_refused(bad: str) -> None:
    with pytest.raises(DecodeError):
        der.dotted(bytes.fromhex(bad))


@pytest.mark.parametrize("bad", [b"", b"\xff", b"\0\x01"])
def test_integers_are_unsigned_and_shortest(bad: bytes) -> None:
    with pytest.raises(DecodeError):
        der.unsigned(bad, 0, len(bad))


def test_a_tag_of_several_bytes_is_refused() -> None:
    with pytest.raises(DecodeError, match="more than one byte"):
        der.element(b"\x1f\x01\x00", 0, 3)


def test_a_long_length_is_read() -> None:
    data = b"\x04\x83\x01\x00\x00" + bytes(0x10000)
    assert der.element(data, 0, len(data)) == (4, 5, len(data))
    with pytest.raises(DecodeError, match="cut off"):
        der.element(b"\x04\x82\x01", 0, 3)


def test_booleans_are_00_or_ff() -> None:
    assert der.boolean(b"\xff", 0, 1)
    assert not der.boolean(b"\x00", 0, 1)
    with pytest.raises(DecodeError):
        der.boolean(b"\x01", 0, 1)
