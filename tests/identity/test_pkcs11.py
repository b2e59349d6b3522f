"""Keys in SoftHSM, through PKCS#11: found, signed with, lost and found again, and every way to get it wrong."""

from __future__ import annotations

import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tests.support import identities
from tests.support.memory import connect
from tests.support.softhsm import PIN, SoftHSM, softhsm
from tests.trust.issuing import NOW, authority, leaf
from trustls.cli.pki import Authority, Issued, KeyType
from trustls.crypto.signatures import BadSignature, verify
from trustls.errors import ConfigError, SigningFailed
from trustls.identity.credential import Credential
from trustls.identity.pkcs11 import Pkcs11Signer
from trustls.identity.signer import KeySigner, Signer
from trustls.trust.certificate import Certificate
from trustls.wire.enums import SignatureScheme

_S = SignatureScheme

KEY_TYPES = (KeyType.EC_P256, KeyType.EC_P384, KeyType.EC_P521, KeyType.ED25519, KeyType.RSA_2048, KeyType.RSA_3072)
EACH_KEY = pytest.mark.parametrize("key_type", KEY_TYPES)
VERSIONS = pytest.mark.parametrize("version", ["1.3", "1.2"])


def key_id_of(key_type: KeyType) -> bytes:
    return bytes([0x10 + KEY_TYPES.index(key_type)])


@pytest.fixture(scope="module")
def hsm() -> SoftHSM:
    """With a server's key of each kind, and its chain, on the token "keys"."""
    made = softhsm()
    for key_type in KEY_TYPES:
        made.put("keys", identities.server_identity(key_type), key_type, key_id_of(key_type))
    return made


@pytest.fixture
def issued() -> Issued:
    """A server's certificate and key on P-256."""
    return identities.server_identity()


def certificate(one: Issued) -> Certificate:
    return Certificate.from_x509(one.certificate)


def check_signs(signer: Pkcs11Signer, one: Issued, message: bytes = b"what is signed") -> None:
    scheme = signer.schemes[0]
    verify(one.key.public_key(), scheme, signer.sign(scheme, message), message)


# -- Signing ----------------------------------------------------------------------------------------------------------


@EACH_KEY
def test_key_signs_with_every_scheme_that_it_would_sign_with_in_memory(key_type: KeyType, hsm: SoftHSM) -> None:
    key = identities.server_identity(key_type).key
    in_memory = KeySigner(key)
    with hsm.signer("keys", key_type) as signer:
        assert isinstance(signer, Signer)
        assert signer.schemes == in_memory.schemes
        assert signer.schemes_tls12 == in_memory.schemes_tls12
        assert signer.public_key == key.public_key()
        for scheme in signer.schemes_tls12:
            for message in (b"", b"what is signed", bytes(100_000)):
                signature = signer.sign(scheme, message)
                verify(key.public_key(), scheme, signature, message, any_curve=True)
                with pytest.raises(BadSignature):
                    verify(key.public_key(), scheme, signature, message + b"!", any_curve=True)


@EACH_KEY
@VERSIONS
def test_both_sides_of_a_handshake_may_have_their_keys_there(key_type: KeyType, version: str, hsm: SoftHSM) -> None:
    with hsm.signer("keys", key_type) as signer:
        credential = Credential(chain=signer.certificates(), signer=signer)
        client_auth = identities.required()
        server = identities.server_config(credentials=[credential], client_auth=client_auth, versions=[version])
        client = identities.client_config(credentials=[identities.client_credential(key_type)])
        joined = connect(server, client).check_connected()
    assert str(joined.client.info.version).endswith(version)
    assert joined.client.peer is not None
    assert joined.client.peer.certificate == certificate(identities.server_identity(key_type))


def test_scheme_of_another_key_is_refused(hsm: SoftHSM) -> None:
    with (
        hsm.signer("keys", KeyType.EC_P256) as signer,
        pytest.raises(SigningFailed, match="does not sign with ed25519"),
    ):
        signer.sign(_S.ED25519, b"")


def test_key_that_wants_its_pin_for_each_signature_gets_it(hsm: SoftHSM) -> None:
    one = identities.server_root().issue_server("always.example")
    hsm.put("pinned", one, "always", ALWAYS_AUTHENTICATE=True)
    asked = []

    def pin() -> str:
        asked.append(1)
        return PIN

    with hsm.signer("pinned", "always", pin=pin) as signer:
        check_signs(signer, one)
        before = len(asked)
        check_signs(signer, one)
    assert len(asked) == before + 1, "one signature wants the PIN once"


@pytest.mark.parametrize(
    ("without", "key_type", "schemes"),
    [
        ("CKM_RSA_PKCS_PSS", KeyType.RSA_2048, "all"),
        ("CKM_RSA_PKCS", KeyType.RSA_2048, "all"),
        (
            "CKM_RSA_PKCS_PSS,CKM_SHA256_RSA_PKCS_PSS,CKM_SHA384_RSA_PKCS_PSS,CKM_SHA512_RSA_PKCS_PSS",
            KeyType.RSA_2048,
            "rsa_pkcs1_sha256 rsa_pkcs1_sha384 rsa_pkcs1_sha512",
        ),
        (
            "CKM_RSA_PKCS,CKM_SHA256_RSA_PKCS,CKM_SHA512_RSA_PKCS,CKM_SHA384_RSA_PKCS_PSS,CKM_RSA_PKCS_PSS",
            KeyType.RSA_2048,
            "rsa_pss_rsae_sha256 rsa_pss_rsae_sha512 rsa_pkcs1_sha384",
        ),
        ("CKM_ECDSA", KeyType.EC_P256, "ConfigError: ECDSA, ECDSA_SHA256"),
        ("CKM_EDDSA", KeyType.ED25519, "ConfigError: EDDSA"),
    ],
)
def test_only_what_the_mechanisms_of_the_token_allow_is_offered(
    without: str, key_type: KeyType, schemes: str, hsm: SoftHSM
) -> None:
    """What is made by another mechanism than usual verifies as well: the signer checks each signature."""
    script = f"""
from trustls.errors import ConfigError
from trustls.identity.pkcs11 import Pkcs11Signer
try:
    signer = Pkcs11Signer(MODULE, token="keys", label={str(key_type)!r}, pin=PIN)
except ConfigError as error:
    print("ConfigError:", error)
else:
    for scheme in signer.schemes:
        signer.sign(scheme, b"message")
    print(*[scheme.iana for scheme in signer.schemes])
"""
    result = hsm.script(script, f"slots.mechanisms = -NONE,{without}")  # SoftHSM 2.6 passes over the first.
    assert result.returncode == 0, result.stderr
    if schemes.startswith("ConfigError"):
        assert "has none of the mechanisms" in result.stdout
        assert schemes.removeprefix("ConfigError: ") in result.stdout, "the mechanisms that would do are named"
    elif schemes == "all":
        every = KeySigner(identities.server_identity(key_type).key).schemes
        assert result.stdout.split() == [scheme.iana for scheme in every]
    else:
        assert result.stdout.split() == schemes.split()


def test_many_threads_sign_at_once(hsm: SoftHSM) -> None:
    one, other = identities.server_identity("ec-p256"), identities.server_identity("rsa-2048")
    hsm.put("threads", one, "one", b"\x01")
    hsm.put("threads", other, "other", b"\x02")
    start = threading.Barrier(8)
    with hsm.signer("threads", "one") as first, hsm.signer("threads", "other") as second:

        def work(number: int) -> None:
            start.wait()
            for turn in range(15):
                check_signs(*((first, one) if (number + turn) % 2 else (second, other)), b"%d %d" % (number, turn))

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(work, range(8)))


# -- Certificates on the token ----------------------------------------------------------------------------------------


def test_chain_is_read_from_the_token_leaf_first(hsm: SoftHSM) -> None:
    root = Authority.create("Root On A Token")
    one = root.intermediate("Upper").intermediate("Lower", path_length=None).issue_server("chain.example")
    everything = (*one.chain, root.certificate)
    hsm.put("certificates", one, "chain", b"\x21", certificates=[everything[n] for n in (0, 3, 2, 1)])
    hsm.put_certificate("certificates", Authority.create("Lower").certificate, b"\x66")  # Of the same name.
    with hsm.signer("certificates", "chain") as signer:
        chain = signer.certificates()
        credential = Credential(chain=chain, signer=signer)
    assert [str(item.subject) for item in chain] == ["CN=chain.example", "CN=Lower", "CN=Upper", "CN=Root On A Token"]
    assert chain[1] == Certificate.from_x509(one.intermediates[0]), "an issuer is known by its signature, not its name"
    assert credential.signer is signer


def test_chain_ends_where_the_token_has_no_issuer(hsm: SoftHSM) -> None:
    one = identities.client_identity()
    hsm.put("certificates", one, "alone", b"\x22", certificates=[one.certificate])
    with hsm.signer("certificates", "alone") as signer:
        assert signer.certificates() == (certificate(one),)


def test_newest_certificate_that_is_valid_yet_is_the_leaf(hsm: SoftHSM) -> None:
    one = identities.server_root().issue_server("renewed.example")
    hsm.put("certificates", one, "renewed", b"\x23", certificates=[])
    root = authority("CN=Renewing")
    today = (time.time() - NOW) / 86400
    for name, (start, end) in {"older": (-200, 10), "current": (-1, 90), "future": (30, 400), "old": (-300, 5)}.items():
        renewed = leaf(root, f"CN={name}", key=one.key, days=(today + start, today + end))
        hsm.put_certificate("certificates", renewed.x509, b"\x23")
    with hsm.signer("certificates", "renewed") as signer:
        assert [str(item.subject) for item in signer.certificates()] == ["CN=current"]


def test_key_without_a_certificate_is_told_so(hsm: SoftHSM, issued: Issued) -> None:
    hsm.put("certificates", issued, "bare", b"\x24", certificates=[])
    with hsm.signer("certificates", "bare") as signer, pytest.raises(ConfigError, match="no certificate for the key"):
        signer.certificates()


def test_certificate_of_another_key_beside_it_is_refused(hsm: SoftHSM, issued: Issued) -> None:
    stranger = identities.strange_root().issue_server("stranger.example")
    hsm.put("certificates", issued, "mixed up", b"\x25", certificates=[stranger.certificate])
    with hsm.signer("certificates", "mixed up") as signer:
        with pytest.raises(ConfigError, match=r"CN=stranger\.example, is for another key"):
            signer.certificates()
        with pytest.raises(ConfigError):
            Credential(chain=[stranger.certificate], signer=signer)


# -- Which public key it is -------------------------------------------------------------------------------------------


def test_public_key_comes_from_the_certificate_where_there_is_no_object_for_it(hsm: SoftHSM) -> None:
    one = identities.server_identity("ec-p384")
    hsm.put("public", one, "by certificate", b"\x31", public=False)
    with hsm.signer("public", "by certificate") as signer:
        assert signer.public_key == one.key.public_key()
        assert signer.certificates()[0] == certificate(one)


def test_key_without_public_half_and_certificate_still_signs(hsm: SoftHSM, issued: Issued) -> None:
    hsm.put("public", issued, "alone", b"\x32", public=False, certificates=[])
    with hsm.signer("public", "alone") as signer:
        assert signer.public_key is None
        check_signs(signer, issued)
        joined = connect(
            identities.server_config(credentials=[Credential(chain=[issued.certificate], signer=signer)]),
            identities.client_config(),
        )
    joined.check_connected()


def test_public_key_object_of_another_key_is_refused(hsm: SoftHSM, issued: Issued) -> None:
    hsm.put("broken", issued, "private", b"\x41", public=False, certificates=[])
    hsm.put("broken", identities.client_identity(), "public", b"\x41", certificates=[])
    hsm.put("broken", identities.server_identity("ec-p521"), "another", b"\x42", certificates=[])
    with pytest.raises(ConfigError, match="do not belong together"):
        hsm.signer("broken", "private")


# -- What is not there, or there twice --------------------------------------------------------------------------------


def refusal(hsm: SoftHSM, token: str | None, label: str | None = None, **options: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        Pkcs11Signer(hsm.module, token=token, label=label, **{"pin": PIN, **options})
    assert PIN not in str(caught.value), "the PIN stands in the message"
    return str(caught.value)


def test_missing_module_is_named(hsm: SoftHSM, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"/nowhere/none\.so cannot be loaded: .*No such file"):
        Pkcs11Signer("/nowhere/none.so", pin=PIN)
    path = tmp_path / "text.so"
    path.write_text("no library")
    with pytest.raises(ConfigError, match=r"text\.so cannot be loaded"):
        Pkcs11Signer(path, pin=PIN)


def test_missing_token_is_told_with_those_that_are_there(hsm: SoftHSM) -> None:
    message = refusal(hsm, "elsewhere")
    assert "no token that is labelled 'elsewhere'" in message
    assert re.search(r"it has the token '.*' \(slot \d+\), the token .* and \d+ more$", message), (
        "what there is, is listed"
    )
    assert "of serial number 'x'" in refusal(hsm, "keys", serial="x")
    assert "made by 'nobody'" in refusal(hsm, "keys", manufacturer="nobody")
    assert "of the model 'none'" in refusal(hsm, "keys", model="none")
    assert "in slot 12345" in refusal(hsm, "keys", slot=12345)


def test_two_tokens_of_one_label_are_told_apart_by_slot_or_serial(hsm: SoftHSM, issued: Issued) -> None:
    slots = hsm.slots("twin")
    other = identities.client_identity()
    hsm.put("twin", issued, "key", slot=slots[0])
    hsm.put("twin", other, "key", slot=slots[1])
    message = refusal(hsm, "twin", "key")
    assert "2 tokens are labelled 'twin'" in message
    assert all(str(slot) in message for slot in slots), "the slots to choose from are named"
    with hsm.signer("twin", "key", slot=slots[1]) as signer:
        check_signs(signer, other)
    with hsm.signer("twin", "key", serial=hsm.token("twin").serial.decode()) as signer:
        check_signs(signer, issued)


def test_missing_key_is_told_with_those_that_are_there(hsm: SoftHSM) -> None:
    message = refusal(hsm, "keys", "elsewhere")
    assert "no private key that is labelled 'elsewhere'; it has" in message
    assert "'ed25519' (id 13)" in message
    assert "nor any other" in refusal(hsm, "empty", "key")
    assert "of id ff" in refusal(hsm, "keys", key_id="FF")


def test_two_keys_of_one_label_are_told_apart_by_id(hsm: SoftHSM) -> None:
    one, other = identities.server_identity(), identities.client_identity()
    hsm.put("more keys", one, "same", b"\x01\xab")
    hsm.put("more keys", other, "same", b"\x02\xab")
    message = refusal(hsm, "more keys", "same")
    assert "2 private keys on the token 'more keys'" in message
    assert "01ab" in message
    assert "02ab" in message
    assert "2 private keys" in refusal(hsm, "more keys"), "without any name the only key would do, but there are two"
    for key_id in ("02ab", "02:AB", b"\x02\xab"):
        with hsm.signer("more keys", key_id=key_id) as signer:
            check_signs(signer, other)
    with hsm.signer("more keys", "same", key_id="01ab") as signer:
        check_signs(signer, one)


def test_id_that_is_no_hexadecimal_is_refused(hsm: SoftHSM) -> None:
    assert "key_id='0x1'" in refusal(hsm, "keys", key_id="0x1")


@pytest.mark.parametrize(
    ("key", "why"),
    [
        (lambda: rsa.generate_private_key(public_exponent=65537, key_size=1024), "RSA key of 1024 bits; 2048 to 8192"),
        (lambda: ec.generate_private_key(ec.SECP256K1()), "of a kind that does not sign here"),
    ],
    ids=["rsa-1024", "secp256k1"],
)
def test_key_that_cannot_be_used_in_tls_is_refused(key: Any, why: str, hsm: SoftHSM, issued: Issued) -> None:
    label = f"unfit {why}"
    hsm.put("broken", Issued(issued.certificate, key()), label, b"\x51", certificates=[])
    assert why in refusal(hsm, "broken", label)


def test_key_that_may_not_sign_is_refused(hsm: SoftHSM, issued: Issued) -> None:
    hsm.put("broken", issued, "no signing", b"\x52", SIGN=False)
    assert "may not be used to sign" in refusal(hsm, "broken", "no signing")


# -- The PIN ----------------------------------------------------------------------------------------------------------


def test_wrong_pin_is_given_to_the_token_once(hsm: SoftHSM, issued: Issued) -> None:
    hsm.put("refusing", issued, "key")
    wrong = "1111-wrong"
    assert "refuses the PIN (PinIncorrect" in refusal(hsm, "refusing", "key", pin=wrong)
    hsm.change_pin("refusing", PIN, wrong)  # Now it would be taken, if it were tried.
    try:
        for _ in range(3):
            message = refusal(hsm, "refusing", "key", pin=lambda: wrong)
            assert "has refused this PIN before: it is not tried again" in message
            assert wrong not in message
    finally:
        hsm.change_pin("refusing", wrong, PIN)
    with hsm.signer("refusing", "key") as signer:
        check_signs(signer, issued)


def test_no_pin_finds_no_private_key_and_says_why(hsm: SoftHSM) -> None:
    assert "can be seen without a PIN, and none was given" in refusal(hsm, "keys", KeyType.EC_P256, pin=None)


def test_pin_that_was_changed_meanwhile_is_not_tried_twice(hsm: SoftHSM, issued: Issued) -> None:
    hsm.put("changed", issued, "key")
    asked = []

    def pin() -> str:
        asked.append(1)
        return PIN

    with hsm.signer("changed", "key", pin=pin) as signer:
        hsm.close_all_sessions("changed")
        hsm.change_pin("changed", PIN, "2222-other")
        with pytest.raises(SigningFailed, match="refuses the PIN"):
            signer.sign(signer.schemes[0], b"")
        hsm.change_pin("changed", "2222-other", PIN)
        for _ in range(3):
            with pytest.raises(SigningFailed, match="has refused this PIN before"):
                signer.sign(signer.schemes[0], b"")
    assert len(asked) >= 2, "a function is asked at each login"


def test_pin_is_never_shown(hsm: SoftHSM) -> None:
    with hsm.signer("keys", KeyType.EC_P256) as signer:
        assert PIN not in repr(signer)
        assert re.fullmatch(
            r"<Pkcs11Signer the key 'ec-p256' \(id 10\) on the token 'keys' \(slot \d+\): ecdsa_secp256r1_sha256>",
            repr(signer),
        )


# -- Losing the session -----------------------------------------------------------------------------------------------


def test_lost_sessions_are_opened_again(hsm: SoftHSM, issued: Issued) -> None:
    hsm.put("lost", issued, "key")
    with hsm.signer("lost", "key") as signer:
        for _ in range(3):
            hsm.close_all_sessions("lost")
            check_signs(signer, issued)
        hsm.close_all_sessions("lost")
        assert signer.certificates()[0] == certificate(issued)


def test_logging_out_behind_its_back_is_mended(hsm: SoftHSM, issued: Issued) -> None:
    """What any other user of the module in this process does when it closes its session."""
    hsm.put("lost", issued, "logged out", b"\x02")
    with hsm.signer("lost", "logged out") as signer:
        hsm.close_all_sessions("lost")
        with hsm.token("lost").open(user_pin=PIN):
            check_signs(signer, issued)
        check_signs(signer, issued)


def test_module_that_was_shut_down_is_started_again(hsm: SoftHSM, issued: Issued) -> None:
    hsm.put("lost", issued, "shut down", b"\x03")
    other = identities.server_identity(KeyType.RSA_2048)
    with hsm.signer("lost", "shut down") as signer, hsm.signer("keys", KeyType.RSA_2048) as second:
        for _ in range(2):
            hsm.finalize()
            check_signs(signer, issued)
            check_signs(second, other)


def test_handle_that_means_another_key_by_now_is_noticed(hsm: SoftHSM) -> None:
    """As after a restart of the module by somebody else, when its handles begin at 1 again."""
    one, other = identities.server_identity(), identities.client_identity()
    hsm.put("handles", one, "one", b"\x01")
    hsm.put("handles", other, "other", b"\x02")
    with hsm.signer("handles", "one") as signer, hsm.signer("handles", "other") as second:
        assert signer._opened is not None
        assert second._opened is not None
        signer._opened = signer._opened._replace(key=second._opened.key)
        check_signs(signer, one)
        check_signs(second, other)


def test_signers_of_one_token_share_its_login(hsm: SoftHSM) -> None:
    one, other = identities.server_identity(), identities.client_identity()
    hsm.put("shared", one, "one", b"\x01")
    hsm.put("shared", other, "other", b"\x02")
    first = hsm.signer("shared", "one")
    with hsm.signer("shared", "other") as second:
        first.close()
        check_signs(second, other)
        first = hsm.signer("shared", "one")
        hsm.close_all_sessions("shared")
        for _ in range(2):
            check_signs(first, one)
            check_signs(second, other)
    check_signs(first, one)
    first.close()
    with hsm.token("shared").open(user_pin=PIN):
        """The last one has logged out, or this would be UserAlreadyLoggedIn."""


def test_key_that_is_deleted_ends_in_an_error_and_one_that_comes_back_signs(hsm: SoftHSM, issued: Issued) -> None:
    hsm.put("lost", issued, "deleted", b"\x04")
    with hsm.signer("lost", "deleted") as signer:
        hsm.close_all_sessions("lost")
        hsm.remove("lost", "deleted")
        for _ in range(2):
            with pytest.raises(SigningFailed, match="has no private key that is labelled 'deleted'"):
                signer.sign(signer.schemes[0], b"")
        hsm.put("lost", issued, "deleted", b"\x04")
        check_signs(signer, issued)


def test_another_key_of_the_same_name_does_not_sign_for_it(hsm: SoftHSM, issued: Issued) -> None:
    hsm.put("lost", issued, "replaced", b"\x05")
    with hsm.signer("lost", "replaced") as signer:
        hsm.close_all_sessions("lost")
        hsm.remove("lost", "replaced")
        hsm.put("lost", identities.client_identity(), "replaced", b"\x05")
        with pytest.raises(SigningFailed, match="does not verify with its public key"):
            signer.sign(signer.schemes[0], b"message")


def test_closed_signer_signs_no_more(hsm: SoftHSM) -> None:
    signer = hsm.signer("keys", KeyType.EC_P256)
    signer.close()
    signer.close()
    with pytest.raises(SigningFailed, match="is closed"):
        signer.sign(signer.schemes[0], b"")
    with pytest.raises(SigningFailed, match="is closed"):
        signer.certificates()


# -- Forks ------------------------------------------------------------------------------------------------------------

FORKING = """
import os, sys
from trustls.errors import ConfigError, SigningFailed
from trustls.identity.pkcs11 import Pkcs11Signer

def make():
    return Pkcs11Signer(MODULE, token="forked", label="key", pin=PIN)

def sign(who):
    try:
        for _ in range(2):
            signer.sign(signer.schemes[0], b"message")
        print(who, "signs", flush=True)
    except SigningFailed as error:
        print(who, "fails:", error, flush=True)

signer = make()
sign("parent")
child = os.fork()
if child == 0:
    sign("child")
    try:
        with make() as another:
            another.sign(another.schemes[0], b"message")
        print("child makes another", flush=True)
    except ConfigError as error:
        print("child makes none:", error, flush=True)
    signer.close()
    os._exit(0)
os.waitpid(child, 0)
sign("parent")
signer.close()
"""


@pytest.fixture(scope="module")
def forked(hsm: SoftHSM) -> SoftHSM:
    hsm.put("forked", identities.server_identity(), "key")
    return hsm


def test_child_opens_its_own_session_where_the_module_notices_forks(forked: SoftHSM) -> None:
    result = forked.script(FORKING, "library.reset_on_fork = true")
    assert result.stdout.splitlines() == ["parent signs", "child signs", "child makes another", "parent signs"], result
    assert not result.stderr


def test_child_is_told_to_make_its_own_where_the_module_does_not(forked: SoftHSM) -> None:
    result = forked.script(FORKING, "library.reset_on_fork = false")
    first, child, another, last = result.stdout.splitlines()
    assert (first, last) == ("parent signs", "parent signs"), "the parent goes on, whatever its children do"
    for line in (child, another):
        assert "was in use before this process was forked" in line, line
        assert line.endswith("make the signer in each worker process, after the fork")
    assert not result.stderr


def test_signer_may_be_made_in_each_child(forked: SoftHSM) -> None:
    script = """
import os
from trustls.identity.pkcs11 import Pkcs11Signer
for _ in range(3):
    child = os.fork()
    if child == 0:
        with Pkcs11Signer(MODULE, token="forked", label="key", pin=PIN) as signer:
            signer.sign(signer.schemes[0], b"message")
        os.write(1, b"signs\\n")
        os._exit(0)
    os.waitpid(child, 0)  # SoftHSM does not find a token that another process logs in on at that moment.
"""
    result = forked.script(script)
    assert (result.stdout.split(), result.stderr) == (["signs"] * 3, "")


def test_fork_waits_for_the_signature_of_another_thread(forked: SoftHSM) -> None:
    """The child gets the module, and its lock, in a state of rest."""
    script = """
import os, threading, warnings
from trustls.identity.pkcs11 import Pkcs11Signer
warnings.simplefilter("ignore", DeprecationWarning)  # A fork in a process of many threads: what this is about.
signer = Pkcs11Signer(MODULE, token="forked", label="key", pin=PIN)
stop = threading.Event()

def work():
    while not stop.is_set():
        signer.sign(signer.schemes[0], b"message")

threads = [threading.Thread(target=work) for _ in range(3)]
for thread in threads:
    thread.start()
for _ in range(10):
    child = os.fork()
    if child == 0:
        signer.sign(signer.schemes[0], b"message")
        os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
stop.set()
for thread in threads:
    thread.join()
print("done")
"""
    result = forked.script(script, "library.reset_on_fork = true")
    assert (result.stdout, result.stderr) == ("done\n", "")


# -- URIs -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def in_uri(hsm: SoftHSM) -> Issued:
    one = identities.server_identity()
    hsm.put("uri", one, "a key; with / signs?", b"\x01\xfe")
    hsm.put("uri", identities.client_identity(), "another", b"\x02")
    return one


@pytest.mark.parametrize(
    "path",
    [
        "token=uri;object=a%20key%3B%20with%20%2f%20signs%3f",
        "object=a%20key;token=uri;id=%01%fe".replace("object=a%20key;", ""),
        "token=uri;id=%01%FE;type=private;manufacturer=SoftHSM%20project;model=SoftHSM%20v2",
        "slot-id={slot};id=%01%fe",
        "serial={serial};id=%01%fe",
    ],
)
def test_uri_names_token_and_key(path: str, hsm: SoftHSM, in_uri: Issued, tmp_path: Path) -> None:
    token = hsm.token("uri")
    path = path.format(slot=token.slot.slot_id, serial=token.serial.decode())
    source = tmp_path / "pin file"
    source.write_text(f"{PIN}\n")
    quoted = str(source).replace(" ", "%20")
    for query in (
        f"pin-value={PIN}",
        f"pin-source={quoted}",
        f"pin-source=file:{quoted}",
        f"pin-source=file://{quoted}",
    ):
        with Pkcs11Signer.from_uri(f"pkcs11:{path}?module-path={hsm.module}&{query}") as signer:
            check_signs(signer, in_uri)
    with Pkcs11Signer.from_uri(f"pkcs11:{path}", module=hsm.module, pin=PIN) as signer:
        check_signs(signer, in_uri)


@pytest.mark.parametrize(
    ("uri", "why"),
    [
        ("https://example.com/", "begins with pkcs11:"),
        ("pkcs11:tokn=uri", "'tokn' in the path of a PKCS#11 URI is not understood; token, serial"),
        ("pkcs11:library-manufacturer=x", "'library-manufacturer' in the path of a PKCS#11 URI is not understood"),
        ("pkcs11:token=uri?module-name=softhsm2", "'module-name' in the query"),
        ("pkcs11:token=uri;token=keys", "token stands twice"),
        ("pkcs11:token", "what has no name, or no value, in the path"),
        ("pkcs11:token=%4", "a % without two digits"),
        ("pkcs11:token=100%", "a % without two digits"),
        ("pkcs11:token=%ff", "token in a PKCS#11 URI is not UTF-8"),
        ("pkcs11:slot-id=one", "is no number"),
        ("pkcs11:token=uri;type=cert", "is not for a private key"),
        ("pkcs11:token=uri", "must name one module"),
        ("pkcs11:token=uri?module-path=/a.so&pin-value=SECRET&pin-source=/b", "more than one PIN"),
        ("pkcs11:token=uri?pin-source=|cat%20/etc/pin&module-path=/a.so", "starts a command"),
        ("pkcs11:token=uri?pin-value=SECRET%zz", "a % without two digits"),
        ("pkcs11:token=uri?pin-value=SECRET&pin-value=SECRET", "pin-value stands twice"),
        ("pkcs11:token=uri?SECRET", "what has no name, or no value"),
        ("pkcs11:SECRET SECRET=1", "what has no name, or no value"),
    ],
)
def test_uri_that_is_not_understood_is_refused_and_its_pin_not_shown(uri: str, why: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Pkcs11Signer.from_uri(uri)
    assert why in str(caught.value)
    assert "SECRET" not in str(caught.value)


def test_module_and_pin_may_not_be_named_twice(hsm: SoftHSM) -> None:
    with pytest.raises(ConfigError, match="must name one module"):
        Pkcs11Signer.from_uri(f"pkcs11:token=uri?module-path={hsm.module}", module=hsm.module)
    with pytest.raises(ConfigError, match="more than one PIN"):
        Pkcs11Signer.from_uri("pkcs11:token=uri?pin-value=1", module=hsm.module, pin=PIN)


def test_pin_file_that_cannot_be_read_is_named(hsm: SoftHSM, in_uri: Issued, tmp_path: Path) -> None:
    uri = f"pkcs11:token=uri;id=%01%fe?module-path={hsm.module}&pin-source={tmp_path}/pin"
    with pytest.raises(ConfigError, match=r"no PIN can be read from .*/pin: .*No such file"):
        Pkcs11Signer.from_uri(uri)
    (tmp_path / "pin").write_text("4" * 5000)
    with pytest.raises(ConfigError, match="too long to hold a PIN"):
        Pkcs11Signer.from_uri(uri)
