from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa
from cryptography.hazmat.primitives.serialization import pkcs12

from tests.support.identities import (
    client_identity,
    client_intermediate,
    client_root,
    server_identity,
    strange_root,
)
from tests.trust.bundles import element
from trustls.cli.pki import Issued
from trustls.errors import ConfigError
from trustls.identity.credential import Credential
from trustls.identity.signer import KeySigner
from trustls.trust.certificate import Certificate
from trustls.wire.enums import SignatureScheme

ALICE = client_identity()
assert isinstance(ALICE.key, ec.EllipticCurvePrivateKey)
ALICE_KEY = ALICE.key
INTERMEDIATE = client_intermediate().certificate
ROOT = client_root().certificate
OTHER_KEY = server_identity().key


PKCS8 = serialization.PrivateFormat.PKCS8
TRADITIONAL = serialization.PrivateFormat.TraditionalOpenSSL


def pem_key(issued: Issued, password: bytes | None = None, *, form: serialization.PrivateFormat = PKCS8) -> bytes:
    return issued.key.private_bytes(
        serialization.Encoding.PEM,
        form,
        serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption(),
    )


def der_key(issued: Issued, password: bytes | None = None, *, form: serialization.PrivateFormat = PKCS8) -> bytes:
    return issued.key.private_bytes(
        serialization.Encoding.DER,
        form,
        serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption(),
    )


def der_chain(issued: Issued) -> list[bytes]:
    return [certificate.public_bytes(serialization.Encoding.DER) for certificate in issued.chain]


def subjects(credential: Credential) -> list[str]:
    return [str(certificate.subject) for certificate in credential.chain]


# -- Reading one ------------------------------------------------------------------------------------------------------


def test_credential_is_read_from_pem_in_bytes_files_and_one_file(tmp_path: Path) -> None:
    (tmp_path / "chain.pem").write_bytes(ALICE.pem_chain)
    (tmp_path / "key.pem").write_bytes(ALICE.pem_key)
    (tmp_path / "both.pem").write_bytes(ALICE.pem_key + ALICE.pem_chain)
    for chain, key in (
        (ALICE.pem_chain, ALICE.pem_key),
        (str(tmp_path / "chain.pem"), str(tmp_path / "key.pem")),
        (tmp_path / "chain.pem", tmp_path / "key.pem"),
        (tmp_path / "both.pem", tmp_path / "both.pem"),
    ):
        credential = Credential.from_pem(chain, key)
        assert subjects(credential) == ["CN=alice", "CN=K-Dot Issuing"]
        assert credential.signer.schemes == (SignatureScheme.ECDSA_SECP256R1_SHA256,)
        assert credential.certificate == Certificate.from_x509(ALICE.certificate)


KEY_TYPES = ("ec-p256", "ec-p384", "ec-p521", "ed25519", "rsa-2048", "ml-dsa-44", "ml-dsa-65", "ml-dsa-87")


def test_credential_is_read_from_text_too() -> None:
    credential = Credential.from_pem(ALICE.pem_chain.decode(), ALICE.pem_key.decode())
    assert subjects(credential) == ["CN=alice", "CN=K-Dot Issuing"]
    other = server_identity().pem_key.decode()
    with pytest.raises(ConfigError) as refused:
        Credential.from_pem(ALICE.pem_chain.decode(), other)
    assert "PRIVATE" not in str(refused.value)


@pytest.mark.parametrize("key_type", KEY_TYPES)
@pytest.mark.parametrize("password", [None, b"secret"], ids=["plain", "encrypted"])
def test_key_of_every_kind_is_read_from_pem_and_der(key_type: str, password: bytes | None) -> None:
    issued = client_identity(key_type)
    pem = Credential.from_pem(issued.pem_chain, pem_key(issued, password), password=password)
    der = Credential.from_der(der_chain(issued), der_key(issued, password), password=password)
    assert pem.chain == der.chain == tuple(map(Certificate.from_x509, issued.chain))
    assert pem.report == der.report == ()


@pytest.mark.parametrize("key_type", ["ec-p256", "ec-p384", "ec-p521", "rsa-2048"])
@pytest.mark.parametrize("password", [None, b"secret"], ids=["plain", "encrypted"])
def test_key_is_read_in_its_older_form_too(key_type: str, password: bytes | None) -> None:
    """PKCS#1 and SEC 1 in PEM, with `Proc-Type: 4,ENCRYPTED` when there is a password."""
    issued = client_identity(key_type)
    pem = pem_key(issued, password, form=TRADITIONAL)
    assert (b"ENCRYPTED" in pem) == (password is not None)
    assert Credential.from_pem(issued.pem_chain, pem, password=password).certificate.subject
    if password is None:
        assert Credential.from_der(der_chain(issued), der_key(issued, form=TRADITIONAL)).certificate.subject


def test_key_is_found_between_whatever_else_is_in_the_file() -> None:
    """`openssl ecparam -genkey` puts the parameters before the key, others the chain, or words."""
    parameters = b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
    key = pem_key(ALICE, form=TRADITIONAL)
    for content in (parameters + key, ALICE.pem_chain + parameters + key + ALICE.pem_chain, b"the key:\n" + key):
        assert subjects(Credential.from_pem(ALICE.pem_chain, content))[0] == "CN=alice"


def test_file_of_two_keys_is_refused() -> None:
    with pytest.raises(
        ConfigError, match="no private key can be read from the bytes given: it holds 2, and one is wanted"
    ):
        Credential.from_pem(ALICE.pem_chain, ALICE.pem_key + server_identity().pem_key)


def test_key_in_der_goes_with_a_chain_in_pem() -> None:
    assert Credential.from_pem(ALICE.pem_chain, der_key(ALICE)).certificate.subject


def test_credential_is_read_from_der_in_bytes_and_files(tmp_path: Path) -> None:
    paths = [tmp_path / "leaf.der", tmp_path / "issuer.der"]
    for path, der in zip(paths, der_chain(ALICE), strict=True):
        path.write_bytes(der)
    (tmp_path / "key.der").write_bytes(der_key(ALICE))
    for chain, key in (
        (der_chain(ALICE), der_key(ALICE)),
        (paths, tmp_path / "key.der"),
        (map(str, reversed(paths)), str(tmp_path / "key.der")),
    ):
        assert subjects(Credential.from_der(chain, key)) == ["CN=alice", "CN=K-Dot Issuing"]
    for alone in (der_chain(ALICE)[0], paths[0], str(paths[0])):
        assert subjects(Credential.from_der(alone, der_key(ALICE))) == ["CN=alice"]


def test_what_is_not_der_is_said_in_words(tmp_path: Path) -> None:
    (tmp_path / "leaf.pem").write_bytes(ALICE.pem_chain)
    with pytest.raises(
        ConfigError, match=r"no certificate can be read from .*leaf\.pem: .*PEM: use Credential.from_pem"
    ):
        Credential.from_der([tmp_path / "leaf.pem"], der_key(ALICE))
    with pytest.raises(ConfigError, match="no certificate can be read from the bytes given"):
        Credential.from_der([b"garbage"], der_key(ALICE))
    with pytest.raises(ConfigError, match="the bytes given holds PEM: use"):
        Credential.from_der(der_chain(ALICE), ALICE.pem_key)
    with pytest.raises(ConfigError, match="the PEM text holds PEM") as refused:
        Credential.from_der(der_chain(ALICE), ALICE.pem_key.decode())
    assert "PRIVATE" not in str(refused.value), "no key in a message"
    with pytest.raises(ConfigError, match="no private key can be read from the bytes given"):
        Credential.from_der(der_chain(ALICE), b"garbage")
    with pytest.raises(ConfigError, match="is encrypted: give its password"):
        Credential.from_der(der_chain(ALICE), der_key(ALICE, b"secret"))
    with pytest.raises(ConfigError, match="at least one certificate"):
        Credential.from_der([], der_key(ALICE))


@pytest.mark.parametrize("password", ["secret", b"secret"])
def test_encrypted_key_opens_with_its_password(password: str | bytes) -> None:
    credential = Credential.from_pem(ALICE.pem_chain, pem_key(ALICE, b"secret"), password=password)
    assert subjects(credential)[0] == "CN=alice"


def test_password_that_is_missing_wrong_or_in_vain_is_said_in_words(tmp_path: Path) -> None:
    encrypted = pem_key(ALICE, b"secret")
    with pytest.raises(ConfigError, match="the private key in the bytes given is encrypted: give its password"):
        Credential.from_pem(ALICE.pem_chain, encrypted)
    with pytest.raises(ConfigError, match="the password is wrong"):
        Credential.from_pem(ALICE.pem_chain, encrypted, password="wrong")
    for empty in ("", b""):
        with pytest.raises(ConfigError, match="the private key in the bytes given is encrypted: give its password"):
            Credential.from_pem(ALICE.pem_chain, encrypted, password=empty)
        assert subjects(Credential.from_pem(ALICE.pem_chain, ALICE.pem_key, password=empty))[0] == "CN=alice"
    with pytest.raises(ConfigError, match="is not encrypted, but a password was given"):
        Credential.from_pem(ALICE.pem_chain, ALICE.pem_key, password="in vain")
    number: Any = 1234
    with pytest.raises(ConfigError, match="a password is text or bytes, not int"):
        Credential.from_pem(ALICE.pem_chain, encrypted, password=number)
    (tmp_path / "key.pem").write_bytes(encrypted)
    with pytest.raises(ConfigError, match=r"key\.pem is encrypted"):
        Credential.from_pem(ALICE.pem_chain, tmp_path / "key.pem")


@pytest.mark.parametrize(
    ("chain", "key", "said"),
    [
        (b"", b"", "no certificate in"),
        (b"garbage", b"", "no certificate in"),
        (ALICE.pem_key, ALICE.pem_key, "no certificate in"),
        (ALICE.pem_chain, b"garbage", "no private key can be read from the bytes given"),
        (ALICE.pem_chain, ALICE.pem_chain, "no private key can be read from the bytes given"),
    ],
    ids=["nothing", "garbage", "key only", "garbage key", "certificate as key"],
)
def test_what_is_not_there_is_said_in_words(chain: bytes, key: bytes, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Credential.from_pem(chain, key)


def test_file_without_what_belongs_in_it_is_named(tmp_path: Path) -> None:
    """Whoever swapped --cert and --key looks for the file to blame."""
    (tmp_path / "chain.pem").write_bytes(ALICE.pem_chain)
    (tmp_path / "key.pem").write_bytes(ALICE.pem_key)
    with pytest.raises(ConfigError, match=r"no certificate.*key\.pem|key\.pem.*no certificate"):
        Credential.from_pem(tmp_path / "key.pem", tmp_path / "key.pem")
    with pytest.raises(ConfigError, match=r"key\.pem.*it holds PRIVATE KEY"):
        Credential.from_pem(tmp_path / "key.pem", tmp_path / "chain.pem")
    with pytest.raises(ConfigError, match=r"chain\.pem"):
        Credential.from_pem(tmp_path / "chain.pem", tmp_path / "chain.pem")
    with pytest.raises(ConfigError, match="it looks like a certificate in DER"):
        Credential.from_pem(der_chain(ALICE)[0], ALICE.pem_key)


def test_certificate_that_cannot_be_parsed_is_a_configuration_error() -> None:
    broken = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    with pytest.raises(ConfigError, match="certificate"):
        Credential.from_pem(broken, ALICE.pem_key)


def test_file_that_is_not_there_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Credential.from_pem(tmp_path / "missing.pem", ALICE.pem_key)


@pytest.mark.parametrize("password", [None, "secret"])
def test_credential_is_read_from_pkcs12_whatever_the_order_in_it(tmp_path: Path, password: str | None) -> None:
    encryption = serialization.BestAvailableEncryption(password.encode()) if password else serialization.NoEncryption()
    for extra in ([INTERMEDIATE, ROOT], [ROOT, INTERMEDIATE], [strange_root().certificate, ROOT, INTERMEDIATE]):
        data = pkcs12.serialize_key_and_certificates(b"alice", ALICE_KEY, ALICE.certificate, extra, encryption)
        (tmp_path / "alice.p12").write_bytes(data)
        for source in (data, tmp_path / "alice.p12"):
            credential = Credential.from_pkcs12(source, password=password)
            assert subjects(credential)[:2] == ["CN=alice", "CN=K-Dot Issuing"]
            assert "CN=A Root Nobody Trusts" not in subjects(credential)


def test_leaf_of_pkcs12_is_found_by_the_key_when_nothing_marks_it() -> None:
    data = pkcs12.serialize_key_and_certificates(
        None, ALICE_KEY, None, [ROOT, INTERMEDIATE, ALICE.certificate], serialization.NoEncryption()
    )
    assert subjects(Credential.from_pkcs12(data))[:2] == ["CN=alice", "CN=K-Dot Issuing"]


def test_ca_that_pkcs12_holds_for_its_trust_alone_is_left_out_and_reported() -> None:
    """Some programs export the server's CA along with the client's key."""
    data = pkcs12.serialize_key_and_certificates(
        None, ALICE_KEY, ALICE.certificate, [strange_root().certificate], serialization.NoEncryption()
    )
    credential = Credential.from_pkcs12(data)
    assert subjects(credential) == ["CN=alice"]
    assert credential.report == ("left out CN=A Root Nobody Trusts: it is not on the path of CN=alice",)


@pytest.mark.parametrize("key_type", ["ec-p384", "ed25519", "rsa-2048"])
def test_pkcs12_holds_keys_of_other_kinds_too(key_type: str) -> None:
    issued = client_identity(key_type)
    key: Any = issued.key
    data = pkcs12.serialize_key_and_certificates(
        None, key, issued.certificate, issued.intermediates, serialization.BestAvailableEncryption(b"secret")
    )
    assert len(Credential.from_pkcs12(data, password="secret").chain) == 2


def pkcs12_of(*issued: Issued) -> bytes:
    """A file with several identities, as a Java keystore has them, in the clear (RFC 7292 4)."""
    bags = b""
    for number, one in enumerate(issued):
        certificate = one.certificate.public_bytes(serialization.Encoding.DER)
        # localKeyID, by which a key and its certificate know each other.
        marks = element(0x31, element(0x30, _oid(9, 21), element(0x31, element(0x04, bytes([number])))))
        x509_bag = element(0x30, _oid(9, 22, 1), element(0xA0, element(0x04, certificate)))
        bags += element(0x30, _oid(12, 10, 1, 1), element(0xA0, der_key(one)), marks)
        bags += element(0x30, _oid(12, 10, 1, 3), element(0xA0, x509_bag), marks)
    data = _oid(7, 1)
    safe = element(0x30, element(0x30, data, element(0xA0, element(0x04, element(0x30, bags)))))
    return element(0x30, bytes.fromhex("020103"), element(0x30, data, element(0xA0, element(0x04, safe))))


def _oid(*arcs: int) -> bytes:
    """One of RSA's (1.2.840.113549.1)."""
    return element(0x06, bytes.fromhex("2a864886f70d01"), bytes(arcs))


def test_pkcs12_of_several_keys_is_refused() -> None:
    """Which of them is meant cannot be told, and the first is as likely as not somebody else's."""
    assert subjects(Credential.from_pkcs12(pkcs12_of(ALICE))) == ["CN=alice"]
    for both in ((ALICE, server_identity()), (server_identity(), ALICE)):
        with pytest.raises(ConfigError, match="there are 2 private keys in the bytes given, and one is wanted"):
            Credential.from_pkcs12(pkcs12_of(*both))


def test_every_way_of_making_one_takes_the_same_marks() -> None:
    data = pkcs12.serialize_key_and_certificates(
        None, ALICE_KEY, ALICE.certificate, [INTERMEDIATE], serialization.NoEncryption()
    )
    for marks in ({"fallback": True}, {"must_match_issuer": True}, {"ocsp_response": lambda: b"staple"}):
        made = [
            Credential(ALICE.chain, ALICE.key, **marks),
            Credential.from_pem(ALICE.pem_chain, ALICE.pem_key, **marks),
            Credential.from_der(der_chain(ALICE), der_key(ALICE), **marks),
            Credential.from_pkcs12(data, **marks),
        ]
        seen = {(one.fallback, one.must_match_issuer, one.ocsp_response, one.staple()) for one in made}
        assert len(seen) == 1, "they differ"


def test_pkcs12_that_cannot_be_opened_is_said_in_words() -> None:
    data = pkcs12.serialize_key_and_certificates(
        b"alice",
        ALICE_KEY,
        ALICE.certificate,
        [],
        serialization.BestAvailableEncryption(b"secret"),
    )
    for wrong in (None, "wrong"):
        with pytest.raises(ConfigError, match="cannot be opened as PKCS#12"):
            Credential.from_pkcs12(data, password=wrong)
    with pytest.raises(ConfigError, match="cannot be opened as PKCS#12"):
        Credential.from_pkcs12(b"garbage")
    without_key = pkcs12.serialize_key_and_certificates(b"ca", None, None, [INTERMEDIATE], serialization.NoEncryption())
    with pytest.raises(ConfigError, match="holds no private key with its certificate"):
        Credential.from_pkcs12(without_key)


# -- Checks when it is made -------------------------------------------------------------------------------------------


def test_chain_may_be_given_in_any_kind_of_certificate() -> None:
    der = ALICE.certificate.public_bytes(serialization.Encoding.DER)
    made = [
        Credential([ALICE.certificate], ALICE.key),
        Credential([der], ALICE.key),
        Credential([Certificate.from_der(der)], ALICE.key),
        Credential(iter([der]), KeySigner(ALICE.key)),
    ]
    assert len({credential.chain for credential in made}) == 1


@pytest.mark.parametrize(
    ("chain", "said"),
    [
        ([], "at least one certificate"),
        ([b"\x30\0"], "the chain holds what is no certificate"),
        ([ALICE.pem_chain], "the chain holds PEM: use Credential.from_pem"),
        (["alice.pem"], "the chain holds str, which is no certificate"),
    ],
    ids=["empty", "no certificate", "PEM", "path"],
)
def test_chain_of_what_is_no_certificate_is_refused(chain: list[Any], said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        Credential(chain, ALICE.key)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    "one", [ALICE.certificate, Certificate.from_x509(ALICE.certificate), b"\x30\0", "alice.pem"], ids=type
)
def test_chain_is_a_list_even_of_one(one: Any) -> None:
    with pytest.raises(ConfigError, match="a chain is a list of certificates"):
        Credential(one, ALICE.key)


def test_key_of_another_certificate_is_refused() -> None:
    with pytest.raises(ConfigError, match="the private key does not belong to the certificate CN=alice"):
        Credential(ALICE.chain, OTHER_KEY)
    with pytest.raises(ConfigError, match="does not belong"):
        Credential.from_pem(ALICE.pem_chain, server_identity().pem_key)


@pytest.mark.parametrize(
    "key",
    [
        ed448.Ed448PrivateKey.generate(),
        rsa.generate_private_key(public_exponent=65537, key_size=1024),
    ],
    ids=["Ed448", "RSA-1024"],
)
def test_key_that_no_scheme_takes_is_refused(key: ed448.Ed448PrivateKey | rsa.RSAPrivateKey) -> None:
    with pytest.raises(ConfigError, match=r"no signature scheme in TLS 1\.3"):
        Credential(ALICE.chain, key)


def test_credential_is_frozen_and_prints_no_key() -> None:
    credential = Credential(ALICE.chain, ALICE.key)
    with pytest.raises(dataclasses.FrozenInstanceError):
        credential.fallback = True  # type: ignore[misc]
    assert repr(credential).startswith("<Credential CN=alice (issued by CN=K-Dot Issuing")
