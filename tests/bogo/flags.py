"""The flags that BoGo's runner gives a shim, as values. What trustls cannot do is `Unsupported`: exit code 89.

The names are those of BoringSSL's own shim (ssl/test/test_config.cc), `-resume-count` as `resume_count`. A flag applies
to every connection of a test, or with the prefix `-on-initial`, `-on-resume` or `-on-retry` to the first, to the later
ones, or to what follows when the server has refused early data.
"""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any


class Unsupported(Exception):
    """The test needs what trustls does not have."""


@dataclass(slots=True)
class CredentialFlags:
    """One credential: a certificate with its key, a raw public key, or an external pre-shared key."""

    kind: str = "x509"
    cert_file: str = ""
    key_file: str = ""
    signing_prefs: list[int] = field(default_factory=list)
    ocsp_response: bytes = b""
    must_match_issuer: bool = False
    psk_importer_key: bytes = b""
    psk_importer_identity: bytes = b""
    psk_importer_context: bytes = b""
    psk_importer_sha256: bool = False
    psk_importer_sha384: bool = False


@dataclass(slots=True)
class Flags:
    """What is asked of one connection."""

    # Where the runner is.
    port: int = 0
    ipv6: bool = False
    shim_id: int = 0
    server: bool = False
    resume_count: int = 0
    async_: bool = False

    # What is configured.
    default_credential: CredentialFlags = field(default_factory=CredentialFlags)
    credentials: list[CredentialFlags] = field(default_factory=list)
    min_version: int = 0
    max_version: int = 0
    no_tls1: bool = False
    no_tls11: bool = False
    no_tls12: bool = False
    no_tls13: bool = False
    cipher: str = ""
    curves: list[int] = field(default_factory=list)
    key_shares: list[int] = field(default_factory=list)
    no_key_shares: bool = False
    server_supported_groups_hint: list[int] = field(default_factory=list)
    verify_prefs: list[int] = field(default_factory=list)
    server_preference: bool = False
    host_name: str = ""
    trust_cert: str = ""
    advertise_alpn: str = ""
    select_alpn: str = ""
    decline_alpn: bool = False
    reject_alpn: bool = False
    require_any_client_certificate: bool = False
    use_client_ca_list: str = ""
    enable_ocsp_stapling: bool = False
    no_ticket: bool = False
    enable_early_data: bool = False
    resumption_delay: int = 0
    max_send_fragment: int = 0
    install_cert_compression_algs: bool = False
    install_one_cert_compression_alg: int = 0
    accepted_peer_cert_types: list[int] = field(default_factory=list)
    available_client_cert_types: list[int] = field(default_factory=list)
    renegotiate_ignore: bool = False
    fips_202205: bool = False
    wpa_202304: bool = False
    cnsa1_202603: bool = False
    cnsa2_202603: bool = False

    # What callbacks do.
    verify_peer: bool = False
    verify_fail: bool = False
    reverify_on_resume: bool = False
    use_custom_verify_callback: bool = False
    use_old_client_cert_callback: bool = False
    use_early_callback: bool = False
    fail_early_callback: bool = False
    install_ddos_callback: bool = False
    fail_ddos_callback: bool = False
    fail_cert_callback: bool = False
    use_ocsp_callback: bool = False
    set_ocsp_in_callback: bool = False
    decline_ocsp_callback: bool = False
    fail_ocsp_callback: bool = False
    use_ticket_callback: bool = False
    use_ticket_aead_callback: bool = False
    skip_ticket: bool = False
    renew_ticket: bool = False

    # What is done with the connection.
    implicit_handshake: bool = False
    no_op_extra_handshake: bool = False
    shim_writes_first: bool = False
    shim_initial_write: str = "hello"
    repeat_shim_initial_write: int = 1
    read_with_unfinished_write: bool = False
    early_write_after_message: int = 0
    read_size: int = 0
    key_update: bool = False
    key_update_before_read: bool = False
    send_alert: bool = False
    shim_shuts_down: bool = False
    check_close_notify: bool = False
    export_keying_material: int = 0
    export_label: str = ""
    export_context: str = ""
    use_export_context: bool = False
    export_traffic_secrets: bool = False

    # What must come of it.
    expect_version: int = 0
    expect_cipher: int = 0
    expect_curve_id: int = 0
    expect_server_name: str = ""
    expect_no_server_name: bool = False
    expect_alpn: str = ""
    expect_advertised_alpn: str = ""
    expect_hrr: bool = False
    expect_no_hrr: bool = False
    expect_extended_master_secret: bool = False
    expect_secure_renegotiation: bool = False
    expect_total_renegotiations: int = 0
    expect_session_miss: bool = False
    expect_session_id: bool = False
    expect_no_session_id: bool = False
    expect_no_session: bool = False
    expect_ticket_renewal: bool = False
    expect_ticket_supports_early_data: bool = False
    expect_ticket_age_skew: int = 0
    expect_accept_early_data: bool = False
    expect_reject_early_data: bool = False
    expect_no_offer_early_data: bool = False
    expect_early_data_reason: str = ""
    expect_verify_result: bool = False
    expect_no_peer_cert: bool = False
    expect_peer_cert_file: str = ""
    expect_peer_signature_algorithm: int = 0
    expect_peer_verify_pref: list[int] = field(default_factory=list)
    expect_selected_credential: int | None = None
    expect_certificate_types: bytes = b""
    expect_client_ca_list: str = ""
    expect_ocsp_response: bytes = b""
    expect_peer_certificate_type: int | None = None
    expect_peer_rpk_sha256: bytes = b""
    expect_msg_callback: str = ""


@dataclass(slots=True)
class Invocation:
    """The flags of one test: for its first connection, for those after it, and for after refused early data."""

    initial: Flags
    resume: Flags
    retry: Flags

    @property
    def connections(self) -> Iterator[Flags]:
        """The flags of each connection of the test, in order."""
        yield self.initial
        for _ in range(self.initial.resume_count):
            yield self.resume


_EVERY_CONNECTION = ("initial", "resume", "retry")
_PREFIXES = {f"-on-{connection}": [connection] for connection in _EVERY_CONNECTION}
_NEW_CREDENTIALS = {"-new-x509-credential": "x509", "-new-psk-credential": "psk", "-new-rpk-credential": "rpk"}


def _by_flag(kind: type[Any]) -> dict[str, tuple[str, str]]:
    """The fields of `kind` that hold the value of a flag, with their type, by that flag's name."""
    return {
        "-" + item.name.rstrip("_").replace("_", "-"): (item.name, str(item.type))
        for item in dataclasses.fields(kind)
        if item.name not in {"kind", "credentials", "default_credential"}
    }


_FLAGS = _by_flag(Flags)
_CREDENTIAL_FLAGS = _by_flag(CredentialFlags)


def parse(arguments: list[bytes]) -> Invocation:
    """What the arguments of a shim say.

    Raises:
        Unsupported: one of them asks for what trustls does not have.
    """
    invocation = Invocation(Flags(), Flags(), Flags())
    # Text is bytes, one character each: ALPN names hold their lengths.
    remaining = iter([argument.decode("latin-1") for argument in arguments])
    for argument in remaining:
        name, connections = argument, list(_EVERY_CONNECTION)
        for prefix, those in _PREFIXES.items():
            if argument.startswith(prefix + "-"):
                name, connections = argument.removeprefix(prefix), those
        targets: list[Flags] = [getattr(invocation, connection) for connection in connections]
        if name in _NEW_CREDENTIALS:
            for target in targets:
                target.credentials.append(CredentialFlags(_NEW_CREDENTIALS[name]))
        elif name in _CREDENTIAL_FLAGS:
            holders = [
                target.credentials[-1] if target.credentials else target.default_credential for target in targets
            ]
            _set(holders, *_CREDENTIAL_FLAGS[name], remaining)
        elif name in _FLAGS:
            _set(targets, *_FLAGS[name], remaining)
        else:
            raise Unsupported(name)
    return invocation


def _set(holders: list[Any], attribute: str, kind: str, remaining: Iterator[str]) -> None:
    if kind == "bool":
        for holder in holders:
            setattr(holder, attribute, True)
        return
    text = next(remaining)
    for holder in holders:
        match kind:
            case "str":
                setattr(holder, attribute, text)
            case "bytes":
                setattr(holder, attribute, base64.b64decode(text, validate=True))
            case "list[int]":
                getattr(holder, attribute).append(int(text))
            case _:
                setattr(holder, attribute, int(text))
