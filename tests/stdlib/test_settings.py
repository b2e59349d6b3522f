"""Setters of a context: what they say holds for who says it, or is refused; nothing is ignored, nothing is shared."""

from __future__ import annotations

import asyncio
import contextvars
import copy
import gc
import pickle
import ssl
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

import trustls
from tests.stdlib.pairs import BIOPair, our_client, our_server
from tests.support import identities
from trustls.stdlib import SSLContext

# -- ALPN, per task and thread -----------------------------------------------------------------------------------------


def _agreed(context: SSLContext) -> str | None:
    """What a server that knows them all agrees on with a client of this context, made now."""
    server = our_server(alpn=["one", "two", "three"])
    pair = BIOPair.of(context, server).handshake()
    protocol: str | None = pair.client.selected_alpn_protocol()
    return protocol


def test_before_its_first_use_a_setting_holds_for_everybody() -> None:
    context = our_client()
    context.set_alpn_protocols(["two"])
    found: list[str | None] = []
    thread = threading.Thread(target=lambda: found.append(_agreed(context)))
    thread.start()
    thread.join()
    assert found == ["two"]


@pytest.mark.parametrize("used", [False, True])
def test_threads_that_set_different_protocols_on_one_context_each_get_their_own(used: bool) -> None:
    context = our_client()
    if used:
        _agreed(context)
    barrier = threading.Barrier(3)
    found: dict[str, set[str | None]] = {}

    def run(name: str) -> None:
        found[name] = set()
        for _ in range(10):
            barrier.wait(10)
            context.set_alpn_protocols([name])
            barrier.wait(10)
            found[name].add(_agreed(context))

    threads = [threading.Thread(target=run, args=(name,)) for name in ("one", "two", "three")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {"one": {"one"}, "two": {"two"}, "three": {"three"}}, "one thread's setting reached another"


def test_tasks_that_set_different_protocols_on_one_context_each_get_their_own() -> None:
    context = our_client()

    async def run(name: str) -> str | None:
        context.set_alpn_protocols([name])
        await asyncio.sleep(0)
        return _agreed(context)

    async def main() -> list[str | None]:
        return await asyncio.gather(*[run(name) for name in ("one", "two", "three")])

    assert asyncio.run(main()) == ["one", "two", "three"]


def test_a_setting_on_a_used_context_is_not_seen_elsewhere() -> None:
    context = our_client()
    assert _agreed(context) is None

    def change() -> str | None:
        context.set_alpn_protocols(["one"])
        return _agreed(context)

    assert contextvars.copy_context().run(change) == "one"
    assert _agreed(context) is None


def test_settings_add_up_and_sessions_survive_them() -> None:
    context = our_client()
    _agreed(context)
    context.set_alpn_protocols(["one"])
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    assert context.config.alpn == ("one",)
    assert context.minimum_version == ssl.TLSVersion.TLSv1_3
    assert _agreed(context) == "one"


def test_what_was_set_keeps_no_context_alive() -> None:
    context = our_client()
    _agreed(context)
    context.set_alpn_protocols(["one"])
    gone = weakref.ref(context)
    del context
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize("protocols", [[""], ["x" * 256], ["h2", ""]])
def test_protocols_of_a_wrong_length_are_refused(protocols: list[str]) -> None:
    with pytest.raises(ValueError, match=r"1 to 255"):
        our_client().set_alpn_protocols(protocols)


# -- Versions ----------------------------------------------------------------------------------------------------------


def test_versions_can_be_narrowed_and_it_holds_on_the_wire() -> None:
    options = our_client().options
    for setting, value, expected in (
        ("maximum_version", ssl.TLSVersion.TLSv1_2, "TLSv1.2"),
        ("options", options | ssl.OP_NO_TLSv1_3, "TLSv1.2"),
        ("minimum_version", ssl.TLSVersion.TLSv1_3, "TLSv1.3"),
        ("options", options | ssl.OP_NO_TLSv1_2, "TLSv1.3"),
    ):
        client = our_client()
        setattr(client, setting, value)
        assert BIOPair.of(client, our_server()).handshake().client.version() == expected
        assert expected.replace(".", "_") in repr(client.minimum_version)
        assert client.minimum_version == client.maximum_version


def test_versions_are_never_widened_nor_emptied() -> None:
    client = our_client(versions=["1.3"])
    client.minimum_version = ssl.TLSVersion.TLSv1_2  # At least 1.2, which 1.3 is.
    assert client.minimum_version == ssl.TLSVersion.TLSv1_3, "a library's default widened what was configured"
    with pytest.raises(trustls.ConfigError):
        client.maximum_version = ssl.TLSVersion.TLSv1_2
    for old in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.SSLv3):
        with pytest.raises(ValueError, match=r"1\.2"):
            our_client().minimum_version = old
        with pytest.raises(ValueError, match=r"1\.2"):
            our_client().maximum_version = old


# -- What would weaken or change what is configured is refused ---------------------------------------------------------

WEAKENING: dict[str, Callable[[SSLContext], Any]] = {
    "verify_mode": lambda context: setattr(context, "verify_mode", ssl.CERT_NONE),
    "check_hostname": lambda context: setattr(context, "check_hostname", False),
    "hostname_checks_common_name": lambda context: setattr(context, "hostname_checks_common_name", True),
    "verify_flags": lambda context: setattr(context, "verify_flags", ssl.VERIFY_CRL_CHECK_LEAF),
    "an option away": lambda context: setattr(context, "options", 0),
    "an option more": lambda context: setattr(context, "options", context.options | ssl.OP_NO_TICKET),
    "set_ciphers": lambda context: context.set_ciphers("ALL"),
    "set_ecdh_curve": lambda context: context.set_ecdh_curve("prime256v1"),
    "load_dh_params": lambda context: context.load_dh_params("file"),
    "set_npn_protocols": lambda context: context.set_npn_protocols(["h2"]),
    "load_cert_chain": lambda context: context.load_cert_chain("file"),
    "load_default_certs": lambda context: context.load_default_certs(),
    "set_default_verify_paths": lambda context: context.set_default_verify_paths(),
    "capath": lambda context: context.load_verify_locations(capath="/etc/ssl/certs"),
    "cadata": lambda context: context.load_verify_locations(cadata=_pem(identities.strange_root())),
    "cadata as DER": lambda context: context.load_verify_locations(cadata=_der(identities.strange_root())),
    "num_tickets": lambda context: setattr(context, "num_tickets", 7),
    "sni_callback": lambda context: setattr(context, "sni_callback", print),
    "set_servername_callback": lambda context: context.set_servername_callback(print),
    "psk client": lambda context: context.set_psk_client_callback(print),
    "psk server": lambda context: context.set_psk_server_callback(print, "hint"),
}


def _pem(authority: Any) -> str:
    return str(authority.certificate.public_bytes(Encoding.PEM).decode())


def _der(*authorities: Any) -> bytes:
    return b"".join(one.certificate.public_bytes(Encoding.DER) for one in authorities)


@pytest.mark.parametrize("what", WEAKENING)
def test_what_the_configuration_does_not_say_is_refused_in_words(what: str) -> None:
    with pytest.raises(trustls.ConfigError) as raised:
        WEAKENING[what](our_client())
    assert isinstance(raised.value, ValueError)
    assert len(str(raised.value)) > 20, "it says what to do"


def test_what_the_configuration_says_already_does_nothing(tmp_path: Path) -> None:
    client = our_client()
    root = identities.server_root()
    client.verify_mode = ssl.CERT_REQUIRED
    client.check_hostname = True
    client.hostname_checks_common_name = False
    client.options = client.options
    client.options |= ssl.OP_NO_COMPRESSION
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    client.load_verify_locations(cadata=_pem(root))
    client.load_verify_locations(cadata=_der(root))
    client.load_verify_locations(cadata=_der(root, root))
    (tmp_path / "root.pem").write_text(_pem(root))
    client.load_verify_locations(tmp_path / "root.pem")
    client.load_verify_locations(cafile=str(tmp_path / "root.pem"))
    client.sni_callback = None
    client.set_servername_callback(None)
    client.post_handshake_auth = False
    client.keylog_filename = None
    client.set_alpn_protocols([])
    with pytest.raises(TypeError, match="omitted"):
        client.load_verify_locations()
    with pytest.raises(OSError):  # noqa: PT011 (FileNotFoundError, as ssl's)
        client.load_verify_locations(tmp_path / "nothing.pem")


def test_rubbish_for_roots_is_refused() -> None:
    for rubbish in (b"\x30", b"\x30\x82", b"\x30\x80\x00\x00", b"xyz", "no certificate", b"-----BEGIN"):
        with pytest.raises(ValueError):  # noqa: PT011 (ConfigError or DecodeError: never accepted in silence)
            our_client().load_verify_locations(cadata=rubbish)


def test_a_context_says_what_holds() -> None:
    client, server = our_client(), our_server(client_auth=identities.optional())
    assert (client.verify_mode, server.verify_mode) == (ssl.CERT_REQUIRED, ssl.CERT_OPTIONAL)
    assert our_server().verify_mode == ssl.CERT_NONE
    assert our_server(client_auth=identities.required()).verify_mode == ssl.CERT_REQUIRED
    assert (client.check_hostname, server.check_hostname) == (True, False)
    assert client.protocol == ssl.PROTOCOL_TLS_CLIENT
    assert server.protocol == ssl.PROTOCOL_TLS_SERVER
    assert client.options & ssl.OP_NO_COMPRESSION
    client.options |= ssl.OP_NO_TLSv1 | ssl.OP_NO_TLSv1_1  # As it is.
    copied = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    copied.options = ssl.Options(client.options)  # aiosmtpd does; a deprecated one would warn.
    assert client.security_level >= 2
    assert server.num_tickets >= 1
    assert client.sni_callback is None
    roots = client.get_ca_certs()
    assert [one["subject"] for one in roots] == [((("commonName", "Server Root"),),)]
    assert client.get_ca_certs(binary_form=True) == [_der(identities.server_root())]
    assert client.cert_store_stats() == {"x509": 1, "crl": 0, "x509_ca": 1}


# -- Key log, post-handshake authentication ----------------------------------------------------------------------------


def test_the_key_log_can_be_set_and_is_written(tmp_path: Path) -> None:
    client = our_client()
    client.keylog_filename = str(tmp_path / "keys.log")
    BIOPair.of(client, our_server()).handshake()
    assert "CLIENT_TRAFFIC_SECRET_0" in (tmp_path / "keys.log").read_text()
    assert str(client.keylog_filename) == str(tmp_path / "keys.log")


# -- Secrets and copies ------------------------------------------------------------------------------------------------


def test_nothing_shows_secrets() -> None:
    pair = BIOPair.of(our_client(credentials=[identities.client_credential()]), our_server()).handshake()
    for one in (pair.client, pair.server, pair.client.context, pair.server.context):
        shown = repr(one)
        assert shown.startswith("<trustls.stdlib.")
        assert len(shown) < 200, f"more than a line: {shown}"
        assert "key" not in shown.lower()


@pytest.mark.parametrize("way", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_context_is_not_copied_as_ssls_is_not(way: Callable[[object], object]) -> None:
    with pytest.raises(TypeError):
        way(our_client())


def test_a_context_is_made_of_a_configuration_alone() -> None:
    for wrong in (ssl.PROTOCOL_TLS_CLIENT, None, "x"):
        with pytest.raises(TypeError, match="ClientConfig or ServerConfig"):
            SSLContext(wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        SSLContext()  # type: ignore[call-arg]
