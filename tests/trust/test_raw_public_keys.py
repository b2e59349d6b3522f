"""RawPublicKey, RawPublicKeys and credentials of them: what they are made of, and what they do not go with."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

from tests.support.identities import client_credential, client_roots, required, server_credential, server_roots
from tests.support.raw_keys import KEYS, RAW, X509, key, own, raw_client, raw_server, trusted
from trustls import (
    Authorize,
    ClientAuth,
    ClientConfig,
    ConfigError,
    Credential,
    DecodeError,
    Peer,
    RawPublicKey,
    RawPublicKeys,
    ServerConfig,
)
from trustls.trust.crl import CrlStore

KEY = trusted().keys[0]


@pytest.mark.parametrize("kind", list(KEYS))
def test_a_key_is_the_same_in_every_form(kind: str) -> None:
    made = RawPublicKey.from_key(key(kind).public_key())
    assert RawPublicKey.from_der(made.spki) == made, "not the same from DER"
    assert RawPublicKey.from_pem(made.pem()) == (made,), "not the same from PEM"
    assert pickle.loads(pickle.dumps(made)) == made, "not the same from a pickle"
    assert hash(RawPublicKey.from_der(bytes(bytearray(made.spki)))) == hash(made), "equal, and of another hash"
    assert made.fingerprint in str(made), "the text does not tell its fingerprint"
    assert made in RawPublicKeys([made.spki]), "not among the trusted keys, given as DER"
    assert made in RawPublicKeys([made.public_key]), "not among the trusted keys, given as an object"
    assert made not in trusted(kind, number=1), "another key is taken for it"


def test_keys_are_read_from_a_file_with_other_things_in_it(tmp_path: Any) -> None:
    file = tmp_path / "keys.pem"
    file.write_text(f"# ours\n{KEY.pem()}\n{server_credential().certificate.pem()}{trusted('rsa').keys[0].pem()}")
    assert list(RawPublicKeys.from_pem(file)) == [KEY, trusted("rsa").keys[0]], "not the keys of the file, in its order"
    assert len(RawPublicKeys.from_pem(file, KEY.pem())) == 2, "a key that is there twice counts twice"


def test_the_digest_of_trusted_keys_does_not_depend_on_their_order() -> None:
    one, other = trusted("p256", "rsa"), trusted("rsa", "p256")
    assert one.fingerprint == other.fingerprint, "the order matters"
    assert one.fingerprint != trusted("p256").fingerprint, "a key more makes no difference"


REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "no keys": (lambda: RawPublicKeys([]), "nobody could ever be accepted"),
    "one key": (lambda: RawPublicKeys(KEY), "takes a list"),  # type: ignore[arg-type]
    "bytes": (lambda: RawPublicKeys(KEY.spki), "takes a list"),  # type: ignore[arg-type]
    "PEM in the list": (lambda: RawPublicKeys([KEY.pem().encode()]), "from_pem"),
    "a private key": (lambda: RawPublicKeys([key()]), "not of ECPrivateKey"),
    "a certificate": (lambda: RawPublicKeys([server_credential().certificate.der]), "cannot be used"),
    "a weak key": (lambda: RawPublicKeys([rsa.generate_private_key(65537, 1024).public_key()]), "1024 bits"),
    "a kind unknown": (lambda: RawPublicKeys([ed448.Ed448PrivateKey.generate().public_key()]), "Ed448"),
    "no PEM": (lambda: RawPublicKeys.from_pem(b"nothing"), "BEGIN PUBLIC KEY"),
    "a certificate in PEM": (lambda: RawPublicKeys.from_pem(server_credential().certificate.pem()), "BEGIN PUBLIC KEY"),
    "half a key in PEM": (lambda: RawPublicKeys.from_pem(KEY.pem() + KEY.pem()[:60]), "no whole public key"),
    "bad PEM": (lambda: RawPublicKeys.from_pem(KEY.pem().replace("M", "/", 1)), "cannot be read"),
    "the class": (RawPublicKey, "from_der"),
    "the key of a weak curve": (
        lambda: Credential.from_raw_key(ec.generate_private_key(ec.SECP256K1())),
        "no signature scheme",
    ),
    "a public key to sign with": (lambda: Credential.from_raw_key(key().public_key()), "is no signer"),
    "no key file": (lambda: Credential.from_raw_key(b"nothing"), "no private key"),
    "a password for an open key": (lambda: Credential.from_raw_key(key(), password="secret"), "is open already"),
    "a signer without a public key": (lambda: Credential.from_raw_key(Mute()), "shows no `public_key`"),
}


class Mute:
    """A signer that does not tell whose."""

    schemes = own().signer.schemes

    def sign(self, scheme: Any, message: bytes) -> bytes:
        raise NotImplementedError


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_key_is_refused_when_it_is_given(name: str) -> None:
    make, words = REFUSED[name]
    with pytest.raises((ConfigError, TypeError), match=words):
        make()


def test_bytes_behind_a_key_are_not_passed_over() -> None:
    with pytest.raises(DecodeError, match="follow"):
        RawPublicKey.from_der(KEY.spki + b"\0")


def test_a_credential_is_read_from_an_encrypted_file(tmp_path: Any) -> None:
    file = tmp_path / "key.pem"
    file.write_bytes(key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")))
    found = Credential.from_raw_key(file, password="secret")
    assert found.raw_key == KEY, "another key was read"
    with pytest.raises(ConfigError, match="is encrypted"):
        Credential.from_raw_key(file)


def test_a_credential_of_a_raw_key_says_that_it_has_no_certificate() -> None:
    found = own()
    assert (found.chain, found.sent_chain, found.certificate_type) == ((), (), RAW)
    assert KEY.fingerprint in repr(found), "the text does not tell its fingerprint"
    with pytest.raises(ConfigError, match="no certificate"):
        _ = found.certificate
    assert server_credential().raw_key is None
    assert server_credential().certificate_type == X509
    assert found != own("rsa"), "another key is the same credential"


def test_a_peer_with_a_raw_key_has_no_name_and_no_certificate() -> None:
    peer = Peer((), raw_key=KEY)
    assert (peer.names.dns, peer.spiffe_id, peer.public_key) == ((), None, KEY.public_key)
    for look in (lambda: peer.certificate, lambda: peer.subject):
        with pytest.raises(ConfigError, match="look at `raw_key`"):
            look()
    with pytest.raises(ValueError, match="not both"):
        Peer((server_credential().certificate,), raw_key=KEY)
    with pytest.raises(ValueError, match="at least one"):
        Peer(())
    assert Authorize.public_key(KEY) == Authorize.public_key(KEY.fingerprint), "a key is named in two ways"


class NoMethod:
    certificate_types = (RAW,)
    hints = ()

    def verify_client(self, *_: object, **__: object) -> Peer:
        raise NotImplementedError

    verify_server = verify_client


class Unreadable(NoMethod):
    certificate_types = ("raw",)  # type: ignore[assignment]


IDLE: dict[str, tuple[Callable[[], object], str]] = {
    "hints": (lambda: ClientAuth.required(trusted(), hints=client_roots()), "`hints` would have no effect"),
    "crls of a server": (lambda: ClientAuth.required(trusted(), crls=CrlStore([])), "`crls` would have no effect"),
    "profile": (lambda: ClientAuth.optional(trusted(), profile="webpki"), "`profile` would have no effect"),
    "crls of a client": (lambda: raw_client(crls=CrlStore([])), "`crls` would have no effect"),
    "no name": (lambda: raw_client(check_name=False, authorize=Authorize.everyone()), "check_name=False"),
    "authorities": (lambda: raw_client(certificate_authorities=client_roots()), "`certificate_authorities` would"),
    "a staple": (lambda: raw_client(ocsp="required"), "no OCSP response"),
    "a staple beside roots": (lambda: raw_client(roots=[trusted(), server_roots()], ocsp="required"), "no OCSP"),
    "a rule that is none": (lambda: raw_client(authorize="CN=alice"), "is a rule"),
    "after the handshake, client": (lambda: raw_client(post_handshake_auth=True), "in the handshake only"),
    "after the handshake, server": (
        lambda: raw_server(client_auth=ClientAuth.none(), post_handshake_auth=ClientAuth.required(trusted())),
        "in the handshake only",
    ),
    "before and after": (lambda: raw_server(post_handshake_auth=required()), "in the handshake only"),
    "a verifier without the method": (lambda: ClientConfig(verifier=NoMethod(), versions=["1.3"]), "verify_raw_key"),
    "a verifier with other words": (lambda: ClientConfig(verifier=Unreadable(), versions=["1.3"]), "expected a tuple"),
    "a client verifier without the method": (
        lambda: raw_server(client_auth=ClientAuth.custom(NoMethod())),
        "verify_raw_key",
    ),
}


@pytest.mark.parametrize("name", IDLE)
def test_what_raw_keys_cannot_keep_is_refused_when_a_configuration_is_made(name: str) -> None:
    make, words = IDLE[name]
    with pytest.raises(ConfigError, match=words):
        make()


def test_what_is_about_certificates_is_kept_where_there_are_roots_too() -> None:
    auth = ClientAuth.required([trusted("ed25519"), client_roots()])
    assert auth.hints == ClientAuth.required(client_roots()).hints, "the roots are not named to clients"
    assert ClientAuth.required(trusted()).hints == (), "authorities are named, and there are none"
    ClientConfig(roots=[server_roots(), trusted()], profile="webpki", crls=CrlStore([]), versions=["1.3"])
    ServerConfig(credentials=[server_credential(), own()], versions=["1.3"])
    ClientConfig(roots=server_roots(), credentials=[client_credential(), own()], versions=["1.3"])
