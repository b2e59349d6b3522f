"""SoftHSM: tokens in a folder that is gone with the test run, and keys and certificates put onto them.

PKCS#11 modules are one to a process: SoftHSM reads its configuration and its list of tokens when it is initialised, so
all tokens are made before, by name, and a test takes one that no other test changes.
"""

from __future__ import annotations

import atexit
import ctypes
import functools
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any, Final

import pkcs11
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from pkcs11 import Attribute, KeyType, ObjectClass
from pkcs11.util.ec import decode_ec_private_key, decode_ec_public_key
from pkcs11.util.rsa import decode_rsa_private_key, decode_rsa_public_key

from tests.peers import require_peer
from tests.support.processes import run
from trustls.cli.pki import Issued
from trustls.identity.pkcs11 import Pkcs11Signer

PIN: Final = "4711-user"
SO_PIN: Final = "0815-officer"
# "twin" is there twice.
TOKENS: Final = (
    *("keys", "more keys", "empty", "twin", "twin", "certificates", "broken", "lost", "shared", "threads", "forked"),
    *("handles", "changed", "refusing", "pinned", "public", "uri", "servers", "clients"),
)
_ED25519_OID: Final = bytes.fromhex("06032b6570")
_MODULES: Final = (
    "/usr/lib/softhsm/libsofthsm2.so",  # Debian
    "/usr/lib64/pkcs11/libsofthsm2.so",  # Fedora
    "/usr/lib/softhsm/libsofthsm2.dylib",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
)


class SoftHSM:
    """SoftHSM in this process, with its tokens."""

    def __init__(self, command: str, module: str, folder: Path) -> None:
        self.module = module
        self._folder = folder
        (folder / "tokens").mkdir()
        # In the environment of the whole run: the module reads it, in this process and in those of scripts.
        os.environ["SOFTHSM2_CONF"] = str(self._configured("usual"))
        for label in TOKENS:
            made = run([command, "--init-token", "--free", "--label", label, "--pin", PIN, "--so-pin", SO_PIN])
            assert made.returncode == 0, made.stderr
        self._library = pkcs11.lib(module)

    def signer(self, token: str, label: str | None = None, **options: Any) -> Pkcs11Signer:
        """A signer with the right PIN."""
        return Pkcs11Signer(self.module, token=token, label=label, **{"pin": PIN, **options})

    def token(self, label: str) -> pkcs11.Token:
        """A token as python-pkcs11 sees it; the first of two."""
        return next(self._library.get_tokens(token_label=label))

    def slots(self, label: str) -> list[int]:
        """The slots of all tokens of this label."""
        return [token.slot.slot_id for token in self._library.get_tokens(token_label=label)]

    def put(
        self,
        token: str,
        issued: Issued,
        label: str,
        key_id: bytes = b"\x01",
        *,
        public: bool = True,
        certificates: Iterable[x509.Certificate] | None = None,
        slot: int | None = None,
        **attributes: Any,
    ) -> None:
        """Put a key, its public half and its chain onto a token; `attributes` are of the private key.

        Logs out when it is done: use it before there is a signer.
        """
        found = self.token(token) if slot is None else self._in_slot(slot)
        with found.open(rw=True, user_pin=PIN) as session:
            common = {Attribute.TOKEN: True, Attribute.LABEL: label, Attribute.ID: key_id}
            guarded = {Attribute.PRIVATE: True, Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False}
            more = {Attribute[name]: value for name, value in attributes.items()}
            session.create_object({**_private(issued.key), **common, **guarded, Attribute.SIGN: True, **more})
            if public:
                session.create_object({**_public(issued.key.public_key()), **common, Attribute.VERIFY: True})
            for number, one in enumerate(issued.chain if certificates is None else certificates):
                # Issuers lie there under ids of their own.
                named = common if not number else {**common, Attribute.ID: key_id + bytes([number])}
                session.create_object({**_certificate(one), **named})

    def put_certificate(self, token: str, certificate: x509.Certificate, key_id: bytes) -> None:
        """Put a certificate alone onto a token."""
        with self.token(token).open(rw=True, user_pin=PIN) as session:
            session.create_object({**_certificate(certificate), Attribute.TOKEN: True, Attribute.ID: key_id})

    def remove(self, token: str, label: str) -> None:
        """Delete whatever on a token has this label."""
        with self.token(token).open(rw=True, user_pin=PIN) as session:
            for item in list(session.get_objects({Attribute.LABEL: label})):
                item.destroy()

    def change_pin(self, token: str, old: str, new: str) -> None:
        """Set another user PIN."""
        with self.token(token).open(rw=True, user_pin=old) as session:
            session.set_pin(old, new)

    def close_all_sessions(self, token: str) -> None:
        """What a reset of the device does: every session of this process on the token is gone, and it is logged out."""
        result = ctypes.CDLL(self.module).C_CloseAllSessions(ctypes.c_ulong(self.token(token).slot.slot_id))
        assert result == 0, f"C_CloseAllSessions gave {result:#x}"

    def finalize(self) -> None:
        """The module is shut down by somebody else in this process."""
        self._library.finalize()

    def initialize(self) -> None:
        """And is used again."""
        self._library.initialize()

    def script(self, text: str, *settings: str) -> CompletedProcess[str]:
        """Run a Python script in a process of its own, with more `settings` in SoftHSM's configuration.

        It has `MODULE` and `PIN`.
        """
        configuration = self._configured(f"script-{abs(hash(settings))}", *settings)
        head = f"import os\nos.environ['SOFTHSM2_CONF'] = {str(configuration)!r}\n"
        head += f"MODULE = {self.module!r}\nPIN = {PIN!r}\n"
        return run([sys.executable, "-bb", "-W", "error", "-c", head + text])

    def _in_slot(self, slot: int) -> pkcs11.Token:
        return next(token for token in self._library.get_tokens() if token.slot.slot_id == slot)

    def _configured(self, name: str, *settings: str) -> Path:
        path = self._folder / f"{name}.conf"
        usual = (f"directories.tokendir = {self._folder}/tokens", "objectstore.backend = file", "log.level = ERROR")
        path.write_text("\n".join((*usual, *settings, "")))
        return path


def softhsm() -> SoftHSM:
    """The SoftHSM of this process; the test is skipped, or fails in CI, where it is not installed."""
    return _softhsm(require_peer("softhsm2-util"))


@functools.cache
def _softhsm(command: str) -> SoftHSM:
    module = next((path for path in _MODULES if Path(path).exists()), None)
    if module is None:
        pytest.fail(f"{command} is installed, but its module is in none of {', '.join(_MODULES)}", pytrace=False)
    folder = tempfile.mkdtemp(prefix="trustls-softhsm-")
    owner = os.getpid()
    # Not in a child that was forked.
    atexit.register(lambda: shutil.rmtree(folder, ignore_errors=True) if os.getpid() == owner else None)
    return SoftHSM(command, module, Path(folder))


def _private(key: object) -> dict[Attribute, Any]:
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return {
            Attribute.CLASS: ObjectClass.PRIVATE_KEY,
            Attribute.KEY_TYPE: KeyType.EC_EDWARDS,
            Attribute.EC_PARAMS: _ED25519_OID,
            Attribute.VALUE: key.private_bytes_raw(),
        }
    assert isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey)
    der = key.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    return decode_rsa_private_key(der) if isinstance(key, rsa.RSAPrivateKey) else decode_ec_private_key(der)


def _public(key: PublicKeyTypes) -> dict[Attribute, Any]:
    if isinstance(key, ed25519.Ed25519PublicKey):
        return {
            Attribute.CLASS: ObjectClass.PUBLIC_KEY,
            Attribute.KEY_TYPE: KeyType.EC_EDWARDS,
            Attribute.EC_PARAMS: _ED25519_OID,
            Attribute.EC_POINT: b"\x04\x20" + key.public_bytes_raw(),
        }
    if isinstance(key, rsa.RSAPublicKey):
        return decode_rsa_public_key(key.public_bytes(Encoding.DER, PublicFormat.PKCS1))
    return decode_ec_public_key(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def _certificate(certificate: x509.Certificate) -> dict[Attribute, Any]:
    return {
        Attribute.CLASS: ObjectClass.CERTIFICATE,
        Attribute.CERTIFICATE_TYPE: pkcs11.CertificateType.X_509,
        Attribute.SUBJECT: certificate.subject.public_bytes(),
        Attribute.VALUE: certificate.public_bytes(Encoding.DER),
    }
