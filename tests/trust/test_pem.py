"""What is said of a file that holds something else than what was expected, and that nothing of its content is said."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, pkcs12

import trustls
from tests.support.identities import client_identity
from trustls.trust.pem import found_instead

ALICE = client_identity()
SECRET = b"a password"


def key(encoding: Encoding, password: bytes | None = None) -> bytes:
    how = serialization.BestAvailableEncryption(password) if password else NoEncryption()
    return ALICE.key.private_bytes(encoding, PrivateFormat.PKCS8, how)


PFX = pkcs12.serialize_key_and_certificates(
    b"alice",
    cast("ec.EllipticCurvePrivateKey", ALICE.key),
    ALICE.certificate,
    None,
    serialization.BestAvailableEncryption(SECRET),
)
CERTIFICATE = ALICE.certificate.public_bytes(Encoding.PEM)

FILES = {
    "empty": (b" \r\n", "it is empty"),
    "key": (key(Encoding.PEM), "it holds PRIVATE KEY"),
    "encrypted key": (key(Encoding.PEM, SECRET), "it holds ENCRYPTED PRIVATE KEY"),
    "two kinds": (key(Encoding.PEM) + CERTIFICATE, "it holds PRIVATE KEY, CERTIFICATE"),
    "many kinds": (b"".join(b"-----BEGIN %c-----\n" % kind for kind in b"ABCDEF"), "it holds A, B, C, D and more"),
    "certificate in DER": (ALICE.certificate.public_bytes(Encoding.DER), "it looks like a certificate in DER"),
    "key in DER": (key(Encoding.DER), "it looks like a private key in DER"),
    "encrypted key in DER": (key(Encoding.DER, SECRET), "it looks like an encrypted private key in DER"),
    "PKCS#12": (PFX, "it looks like PKCS#12"),
    "UTF-16": (CERTIFICATE.decode().encode("utf-16"), "it is UTF-16 text, and PEM is ASCII"),
    "other DER": (b"\x30\x03\x02\x02\x01\x00", "it is some other DER"),
    "noise": (b"\x00" * 1000, "it is neither PEM nor DER"),
    "text": (b"secret", "it is neither PEM nor DER"),
}


@pytest.mark.parametrize(("content", "said"), FILES.values(), ids=FILES)
def test_what_a_file_holds_is_said(content: bytes, said: str) -> None:
    assert found_instead(content).partition(" (")[0] == said


READERS: dict[str, Callable[[Path], object]] = {
    "chain": lambda path: trustls.Credential.from_pem(chain=path, key=key(Encoding.PEM)),
    "roots": trustls.RootCertStore.from_pem,
    "CRLs": trustls.CrlStore.from_pem,
    "key": lambda path: trustls.Credential.from_pem(chain=CERTIFICATE, key=path),
    "PKCS#12": trustls.Credential.from_pkcs12,
    "chain in DER": lambda path: trustls.Credential.from_der(chain=path, key=key(Encoding.DER)),
}
# Of these, each says the same of a file that is nothing of what it reads.
NOTHING = ("empty", "text", "noise", "UTF-16")


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("file", NOTHING)
def test_file_that_is_nothing_is_refused_in_one_sentence_of_ours(file: str, reader: str, tmp_path: Path) -> None:
    content, said = FILES[file]
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(trustls.ConfigError) as caught:
        READERS[reader](path)
    sentence = str(caught.value)
    assert said in sentence, "it does not say what came"
    assert str(path) in sentence, "it does not say where"
    assert "secret" not in sentence
    assert "ASN.1" not in sentence, "the insides of a parser"
    assert "\n" not in sentence
    assert len(sentence) - len(str(path)) < 200, sentence


def test_pkcs12_says_whether_the_password_is_missing_or_wrong() -> None:
    with pytest.raises(trustls.ConfigError, match="it needs a password"):
        trustls.Credential.from_pkcs12(PFX)
    with pytest.raises(trustls.ConfigError, match="the password is wrong"):
        trustls.Credential.from_pkcs12(PFX, password=b"another")


def test_key_in_place_of_a_certificate_and_the_other_way_round() -> None:
    with pytest.raises(trustls.ConfigError, match=r"expected -----BEGIN CERTIFICATE-----, and it holds PRIVATE KEY$"):
        trustls.Credential.from_pem(chain=key(Encoding.PEM), key=key(Encoding.PEM))
    with pytest.raises(trustls.ConfigError, match=r"expected -----BEGIN PRIVATE KEY-----, and it holds CERTIFICATE$"):
        trustls.Credential.from_pem(chain=CERTIFICATE, key=CERTIFICATE)
