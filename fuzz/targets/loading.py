"""What files hold, and what a peer staples: PEM, DER, PKCS#8, PKCS#12, CRLs and OCSP responses.

An input is the number of the kind of content, and the content. What is refused is refused in our own words; what is
taken can be written and taken again.
"""

from __future__ import annotations

import base64
import functools
import warnings
from collections.abc import Callable, Iterator
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    pkcs12,
)

from fuzz.certificates import authority, leaf
from fuzz.oracles import check_refusal
from tests.support.identities import client_identity, client_root, server_identity, server_root, strange_root
from tests.support.revoking import crl, ocsp_response
from tests.trust.issuing import NOW
from trustls.errors import CertificateRejected, ConfigError, TLSError
from trustls.identity.credential import Credential
from trustls.trust.certificate import Certificate
from trustls.trust.crl import CertificateRevocationList, CrlStore, distribution_points
from trustls.trust.hints import authorities
from trustls.trust.lint import lint_bundle
from trustls.trust.ocsp import check_own_staple, requires_staple, staple_fault, stapled_answer
from trustls.trust.raw_key import RawPublicKey
from trustls.trust.raw_keys import RawPublicKeys
from trustls.trust.revocation import Revocation
from trustls.trust.roots import RootCertStore

MAX_LENGTH: Final = 8192
_PASSWORD: Final = b"secret"


def check(data: bytes) -> None:
    """One content."""
    if not data:
        return
    load = _LOADERS[data[0] % len(_LOADERS)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            load(data[1:])
        except TLSError as error:
            check_refusal(error)
            assert isinstance(error, ConfigError | CertificateRejected), f"{load.__name__} refuses with {error!r}"
            text = str(error)
            assert _PASSWORD.decode() not in text, f"the password is in {text!r}"


@functools.cache
def _path() -> tuple[Certificate, ...]:
    issued = server_identity("ed25519")
    return tuple([Certificate.from_x509(one) for one in (issued.certificate, server_root().certificate)])


# -- Certificates -----------------------------------------------------------------------------------------------------


def certificates(content: bytes) -> None:
    """A chain in PEM."""
    for one in Certificate.from_pem(content):
        assert Certificate.from_pem(one.pem().encode()) == (one,)
        str(one)


def certificate(content: bytes) -> None:
    """A certificate in DER."""
    one = Certificate.from_der(content)
    assert one.der == content
    assert one.x509 is not None
    distribution_points(one)
    requires_staple(one)


def roots(content: bytes) -> None:
    """A bundle of roots."""
    store = RootCertStore.from_pem(content)
    assert len(store) == len(list(store))
    assert len(store) >= 1, "a store of roots without any"
    assert len(store.fingerprint) == 32
    str(store.report)
    again = RootCertStore(store)
    assert set(again) == set(store), "a root that is none the second time"
    for one in store:
        assert one in store.named(one.subject)


def lint(content: bytes) -> None:
    """The same, with an opinion on it. Whatever it is, it is judged."""
    for finding in lint_bundle(content, now=NOW):
        text = str(finding)
        assert text.isprintable(), f"a finding that shows {text!r}"


def hints(content: bytes) -> None:
    """A bundle that names CAs."""
    authorities(content)


# -- Keys -------------------------------------------------------------------------------------------------------------


def credential_pem(content: bytes) -> None:
    """Chain and key in one file."""
    _check_credential(Credential.from_pem(content, content))


def credential_pem_password(content: bytes) -> None:
    """The same with a password."""
    _check_credential(Credential.from_pem(content, content, password=_PASSWORD))


def key_pem(content: bytes) -> None:
    """A key for a good chain."""
    issued = client_identity("ed25519")
    _check_credential(Credential.from_pem(issued.certificate.public_bytes(Encoding.PEM), content))


def key_der(content: bytes) -> None:
    """The same in DER."""
    issued = client_identity("ed25519")
    _check_credential(Credential.from_der(issued.certificate.public_bytes(Encoding.DER), content))


def chain_der(content: bytes) -> None:
    """A chain for a good key, cut from the content at its DER elements."""
    key = _key_der(client_identity("ed25519").key)
    chain = []
    while content:
        size = 4 + int.from_bytes(content[2:4], "big") if content[:2] == b"\x30\x82" else len(content)
        chain.append(content[:size])
        content = content[size:]
    _check_credential(Credential.from_der(chain, key))


def bundle(content: bytes) -> None:
    """PKCS#12."""
    if not _is_slow(content):
        _check_credential(Credential.from_pkcs12(content, password=_PASSWORD))


def _is_slow(content: bytes) -> bool:
    """Whether it names an iteration count in the millions.

    The file is the operator's own and says how much work its password takes; that it may take hours is no finding.
    """
    return (
        any(content[at] == 2 and content[at + 1] in {3, 4, 5} for at in range(len(content) - 1))
        and b"\x2a\x86" in content
    )


def _check_credential(credential: Credential) -> None:
    assert credential.chain, "a credential without a certificate"
    assert credential.sent_chain
    assert credential.sent_chain[0] == credential.chain[0]
    assert "PRIVATE" not in repr(credential)
    for sentence in credential.report:
        assert sentence.isprintable(), f"a report that shows {sentence!r}"


def raw_key(content: bytes) -> None:
    """A raw public key as a peer presents it, and as an application names it."""
    (one,) = RawPublicKeys([content])
    assert one.spki == content, "what is read is not what stands there"
    assert RawPublicKey.from_key(one.public_key) == one, "a key in a form that is not its one form"
    assert str(one).isprintable()


def raw_keys(content: bytes) -> None:
    """Raw public keys in PEM."""
    for one in RawPublicKeys.from_pem(content):
        assert RawPublicKey.from_pem(one.pem()) == (one,)


def raw_credential(content: bytes) -> None:
    """A private key, whose public key is presented without a certificate."""
    credential = Credential.from_raw_key(content)
    assert credential.raw_key is not None
    assert "PRIVATE" not in repr(credential)


# -- Revocation -------------------------------------------------------------------------------------------------------


def crls(content: bytes) -> None:
    """CRLs in PEM or DER."""
    store = CrlStore.from_pem(content)
    assert len(store) == len(list(store))
    str(store.report)
    for one in store:
        _check_crl(one)
    Revocation(crls=store).fault(_path(), now=NOW)


def revocation_list(content: bytes) -> None:
    """One CRL in DER."""
    one = CertificateRevocationList.from_der(content)
    assert one.der == content
    _check_crl(one)


def _check_crl(one: CertificateRevocationList) -> None:
    assert CertificateRevocationList.from_der(one.der) == one
    for text in (str(one), repr(one), one.title):
        assert text.isprintable(), f"it is shown as {text!r}"
    for serial_number in (1, 2, 0x7FFF, _path()[0].serial_number):
        one.entry(serial_number)
    one.covers(_path()[0])


def staple(content: bytes) -> None:
    """An OCSP response, as a peer sends it and as a server is given it."""
    path = _path()
    now = path[0].not_before + 1.0
    fault = staple_fault(content, path, now=now)
    if fault is not None:
        assert len(fault.detail) < 2000
    for policy in ("stapled", "required"):
        stapled_answer(content, path, policy=policy, now=now)
    for issuer in (path[1], None):
        for sentence in check_own_staple(content, path[0], issuer, now):
            assert sentence.isprintable(), f"a sentence that shows {sentence!r}"


_LOADERS: Final[tuple[Callable[[bytes], None], ...]] = (
    certificates,
    certificate,
    roots,
    lint,
    hints,
    credential_pem,
    credential_pem_password,
    key_pem,
    key_der,
    chain_der,
    bundle,
    crls,
    revocation_list,
    staple,
    raw_key,
    raw_keys,
    raw_credential,
)


# -- Seeds ------------------------------------------------------------------------------------------------------------


def _key_der(key: Any, encryption: Any = None, form: PrivateFormat = PrivateFormat.PKCS8) -> bytes:
    written: bytes = key.private_bytes(Encoding.DER, form, encryption or NoEncryption())
    return written


def _contents() -> Iterator[bytes]:
    pem, der_ = Encoding.PEM, Encoding.DER
    issued = client_identity("ed25519")
    chain = b"".join(one.public_bytes(pem) for one in issued.chain)
    key = issued.key
    assert isinstance(key, ed25519.Ed25519PrivateKey)
    cheap = PrivateFormat.PKCS12.encryption_builder().kdf_rounds(1).build(_PASSWORD)
    yield issued.certificate.public_bytes(der_)
    yield chain
    yield strange_root().certificate.public_bytes(pem) + client_root().certificate.public_bytes(pem) + b"# a comment\n"
    yield chain + key.private_bytes(pem, PrivateFormat.PKCS8, NoEncryption())
    yield key.private_bytes(pem, PrivateFormat.PKCS8, NoEncryption()) + b"".join(chain.splitlines(keepends=True)[::-1])
    yield chain + key.private_bytes(pem, PrivateFormat.PKCS8, BestAvailableEncryption(_PASSWORD))
    yield key.private_bytes(pem, PrivateFormat.PKCS8, NoEncryption())
    yield _key_der(key)
    yield _key_der(ed25519.Ed25519PrivateKey.generate())
    yield b"".join(one.public_bytes(der_) for one in issued.chain)
    others = list(issued.chain[1:])
    yield pkcs12.serialize_key_and_certificates(b"name", key, issued.certificate, others, cheap)
    yield pkcs12.serialize_key_and_certificates(None, key, issued.certificate, None, cheap)
    for kind in ("ec-p256", "rsa-2048"):
        other = client_identity(kind).key
        yield other.private_bytes(pem, PrivateFormat.TraditionalOpenSSL, NoEncryption())
        yield _key_der(other, form=PrivateFormat.TraditionalOpenSSL)
    lists = crl(server_root(), server_identity("ed25519")), crl(client_root())
    yield lists[0].der
    yield b"".join(_pem("X509 CRL", one.der) for one in lists)
    for kind in ("ec-p256", "rsa-2048", "ed25519"):
        public = client_identity(kind).key.public_key()
        yield public.public_bytes(der_, PublicFormat.SubjectPublicKeyInfo)
        yield public.public_bytes(pem, PublicFormat.SubjectPublicKeyInfo)
    yield ocsp_response(server_identity("ed25519"), server_root())
    yield leaf().signed()
    yield authority(2, 0, 2, 0).signed()


def _pem(label: str, content: bytes) -> bytes:
    return b"-----BEGIN %b-----\n%b-----END %b-----\n" % (label.encode(), base64.encodebytes(content), label.encode())


def seeds() -> Iterator[bytes]:
    """Each content for each loader: what belongs to another is worth a try, too."""
    for content in _contents():
        for number in range(len(_LOADERS)):
            yield bytes([number]) + content
