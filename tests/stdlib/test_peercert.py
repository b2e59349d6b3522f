"""getpeercert() gives what `ssl` gives, key by key, whatever stands in the certificate."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import AuthorityInformationAccessOID as AccessOID
from cryptography.x509.oid import NameOID

from tests.stdlib.pairs import SIDES, BIOPair, contexts, our_client, our_server, ssl_client
from tests.support import identities
from trustls.stdlib.peercert import peercert
from trustls.trust.certificate import Certificate

KEY: Final = ec.generate_private_key(ec.SECP256R1())
DECODE: Final[Callable[[str], dict[str, Any]]] = ssl._ssl._test_decode_cert  # type: ignore[attr-defined]


def _certificate(
    subject: x509.Name,
    *extensions: x509.ExtensionType,
    serial: int = 1,
    begin: str = "2020-02-03 04:05:06+00:00",
    end: str = "2049-12-31 23:59:59+00:00",
) -> x509.Certificate:
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(_name(("2.5.4.3", "An Issuer")))
        .public_key(KEY.public_key())
        .serial_number(serial)
        .not_valid_before(datetime.datetime.fromisoformat(begin))
        .not_valid_after(datetime.datetime.fromisoformat(end))
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(KEY, hashes.SHA256())


def _name(*attributes: tuple[str, str]) -> x509.Name:
    return x509.Name(
        [x509.NameAttribute(x509.ObjectIdentifier(oid), text, _validate=False) for oid, text in attributes]
    )


def _both(certificate: x509.Certificate, folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """What trustls and what `ssl` make of it."""
    path = folder / "certificate.pem"
    path.write_bytes(certificate.public_bytes(Encoding.PEM))
    return peercert(Certificate.from_der(certificate.public_bytes(Encoding.DER))), DECODE(str(path))


def _point(*names: x509.GeneralName) -> x509.DistributionPoint:
    return x509.DistributionPoint(list(names), None, None, None)


URI: Final = x509.UniformResourceIdentifier
CASES: Final[dict[str, x509.Certificate]] = {
    "no subject": _certificate(_name()),
    "usual": _certificate(
        _name(
            ("2.5.4.6", "DE"),
            ("2.5.4.8", "Bayern"),
            ("2.5.4.7", "München"),
            ("2.5.4.10", "Größe & Söhne"),
            ("2.5.4.11", "Sales"),
            ("2.5.4.11", "Marketing"),
            ("2.5.4.3", "名前.example"),
            ("1.2.840.113549.1.9.1", "someone@example.org"),
        )
    ),
    "several attributes at once": _certificate(
        x509.Name(
            [
                x509.RelativeDistinguishedName(
                    [
                        x509.NameAttribute(NameOID.COMMON_NAME, "multi"),
                        x509.NameAttribute(NameOID.USER_ID, "42"),
                        x509.NameAttribute(NameOID.EMAIL_ADDRESS, "a@example.org"),
                    ]
                ),
                x509.RelativeDistinguishedName([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "single")]),
            ]
        )
    ),
    "every type of string": _certificate(
        x509.Name(
            [
                x509.NameAttribute(NameOID.COMMON_NAME, "utf8 ü", _ASN1Type.UTF8String),
                x509.NameAttribute(NameOID.LOCALITY_NAME, "bmp ü", _ASN1Type.BMPString),
                x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "printable", _ASN1Type.PrintableString),
                x509.NameAttribute(NameOID.DOMAIN_COMPONENT, "ia5", _ASN1Type.IA5String),
            ]
        )
    ),
    "separators in values": _certificate(
        _name(("2.5.4.3", 'a,b+c="d"\\;<e>#/f')), x509.SubjectAlternativeName([URI("a:b:c=d")])
    ),
    "every kind of name": _certificate(
        _name(),
        x509.SubjectAlternativeName(
            [
                x509.DNSName("example.org"),
                x509.DNSName("*.xn--bcher-kva.example"),
                x509.RFC822Name("someone@example.org"),
                URI("spiffe://example.org/a?b=c%20d:e"),
                x509.IPAddress(ipaddress.ip_address("192.0.2.1")),
                x509.IPAddress(ipaddress.ip_address("2001:db8::1:0:abcd")),
                x509.IPAddress(ipaddress.ip_address("::")),
                x509.DirectoryName(_name(("2.5.4.6", "US"), ("2.5.4.3", "dir ü"))),
                x509.RegisteredID(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1")),
                x509.OtherName(x509.ObjectIdentifier("1.3.6.1.4.1.99999.2"), b"\x0c\x01x"),
            ]
        ),
    ),
    "where to ask": _certificate(
        _name(("2.5.4.3", "pointing")),
        x509.AuthorityInformationAccess(
            [
                x509.AccessDescription(AccessOID.OCSP, URI("http://ocsp.example/1")),
                x509.AccessDescription(AccessOID.CA_ISSUERS, URI("http://ca.example/ca.der")),
                x509.AccessDescription(AccessOID.OCSP, URI("http://ocsp.example/2")),
                x509.AccessDescription(AccessOID.OCSP, x509.DNSName("no.uri.example")),
            ]
        ),
        x509.CRLDistributionPoints(
            [
                _point(URI("http://crl.example/1"), URI("ldap://crl.example/cn=1?x")),
                _point(x509.DirectoryName(_name(("2.5.4.3", "dir")))),
                _point(URI("http://crl.example/2")),
            ]
        ),
    ),
    "points without addresses": _certificate(
        _name(),
        x509.CRLDistributionPoints([_point(x509.DirectoryName(_name(("2.5.4.3", "dir"))))]),
        x509.AuthorityInformationAccess([x509.AccessDescription(AccessOID.OCSP, x509.DNSName("no.uri.example"))]),
    ),
    "long serial": _certificate(_name(), serial=(1 << 159) - 1),
    "short serial": _certificate(_name(), serial=0x80),
    "single digit days and years past 2050": _certificate(
        _name(), begin="1951-01-09 00:00:00+00:00", end="9999-12-31 23:59:59+00:00"
    ),
    "alice": identities.client_identity().certificate,
    "a server": identities.server_identity("rsa-2048", "localhost", "127.0.0.1", "::1").certificate,
    "a root": identities.client_root().certificate,
}


@pytest.mark.parametrize("case", CASES)
def test_the_dict_is_that_of_ssl(case: str, tmp_path: Path) -> None:
    ours, theirs = _both(CASES[case], tmp_path)
    assert ours == theirs
    for date in ("notBefore", "notAfter"):
        assert ssl.cert_time_to_seconds(ours[date]) == ssl.cert_time_to_seconds(theirs[date])


def test_attributes_have_the_names_that_ssl_gives_them(tmp_path: Path) -> None:
    """All of X.520, of RFC 4524, of Extended Validation, and one that nobody knows."""
    arcs = [f"2.5.4.{number}" for number in range(3, 110)]
    arcs += [f"0.9.2342.19200300.100.1.{number}" for number in range(1, 61)]
    arcs += [f"1.3.6.1.4.1.311.60.2.1.{number}" for number in range(1, 5)]
    arcs += [f"1.2.840.113549.1.9.{number}" for number in (1, 2, 7, 8, 20)]
    arcs += ["1.3.6.1.4.1.99999.1"]
    ours, theirs = _both(_certificate(_name(*[(oid, "xx") for oid in arcs])), tmp_path)
    different = {
        oid: (our[0][0], their[0][0])
        for oid, our, their in zip(arcs, ours["subject"], theirs["subject"], strict=True)
        # Later versions of OpenSSL know more of them.
        if our != their and (ssl.OPENSSL_VERSION_INFO < (3, 1) or our[0][0] != oid)
    }
    assert not different, f"named otherwise than by ssl: {different}"


@pytest.mark.parametrize("version", ["1.3", "1.2"])
@pytest.mark.parametrize("sides", SIDES)
def test_both_sides_know_the_other_in_all_forms(sides: str, version: str) -> None:
    pair = BIOPair.of(*contexts(sides, version=version, mutual=True)).handshake()
    alice, server = identities.client_identity(), identities.server_identity("ec-p256")
    for one, issued, root in (
        (pair.client, server, identities.server_root()),
        (pair.server, alice, identities.client_root()),
    ):
        chain = [part.public_bytes(Encoding.DER) for part in issued.chain]
        assert one.getpeercert(True) == one.getpeercert(binary_form=True) == chain[0]
        assert one.getpeercert() == peercert(Certificate.from_der(chain[0]))
        if hasattr(one, "get_unverified_chain"):
            assert one.get_unverified_chain() == chain
            assert one.get_verified_chain() == [*chain, root.certificate.public_bytes(Encoding.DER)]


def test_the_chains_are_those_that_ssl_gives() -> None:
    theirs = contexts("ssl to ssl", mutual=True)
    if not hasattr(ssl.SSLObject, "get_verified_chain"):
        pytest.skip("this Python's ssl has no get_verified_chain: 3.13 has")
    pair = BIOPair.of(*theirs).handshake()
    ours = BIOPair.of(*contexts("ssl to trustls", mutual=True)).handshake()
    assert ours.server.get_verified_chain() == pair.server.get_verified_chain()
    assert ours.server.get_unverified_chain() == pair.server.get_unverified_chain()


def test_without_a_certificate_there_is_none() -> None:
    pair = BIOPair.of(our_client(), our_server(client_auth=identities.optional())).handshake()
    assert pair.server.getpeercert() is None
    assert pair.server.getpeercert(True) is None
    assert pair.server.get_verified_chain() == []
    assert pair.server.get_unverified_chain() == []


def test_a_certificate_that_was_only_reported_on_gives_an_empty_dict_as_ssl_does_for_unverified_ones() -> None:
    from trustls import ClientAuth

    reporting = our_server(client_auth=ClientAuth.report(identities.client_roots()))
    client = ssl_client(identities.strange_root().issue_client("mallory"))
    pair = BIOPair.of(client, reporting).handshake()
    assert pair.server.getpeercert() == {}, "who reads names here would believe them"
    assert pair.server.getpeercert(True)
    assert pair.server.get_verified_chain() == []
