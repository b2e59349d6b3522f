"""The tests of `openssl` and of GnuTLS's commands, beside this folder, that are squares of the table.

They are older than the table and look closer than it does; here is which of them shows what. test_commands.py has what
they leave open.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from typing import Final

from tests.interop.matrix.adapters import Cannot, Elsewhere
from tests.interop.matrix.scenarios import Role, Scenario
from tests.peers import require_peer
from trustls.cli.pki import KeyType

OPENSSL: Final = "openssl"
GNUTLS: Final = "gnutls"

Shows = dict[str, Scenario]
Place = tuple[str, Role, str | None]

# By module: the peer, what trustls is, and the version (None: it is the test's parameter); then what its tests show.
TESTS: Final[dict[str, tuple[Place, Shows]]] = {
    "test_openssl_s_client": (
        (OPENSSL, Role.SERVER, "1.3"),
        {
            "test_alpn_takes_the_servers_preference": Scenario.HANDSHAKE,
            "test_client_certificate_of_each_kind_of_key": Scenario.KEY_TYPES,
            "test_server_certificate_of_each_kind_of_key": Scenario.KEY_TYPES,
            "test_client_certificate_is_verified_chain_and_all": Scenario.MUTUAL,
            "test_optional_client_auth_lets_a_client_without_a_certificate_in": Scenario.OPTIONAL,
            "test_s_client_sees_no_names_when_there_are_no_hints": Scenario.NO_NAMES,
            "test_client_certificate_of_another_ca_is_refused_with_unknown_ca": Scenario.WRONG,
            "test_missing_client_certificate_is_refused_with_certificate_required": Scenario.MISSING,
            "test_hello_retry_when_the_client_sent_no_share_of_our_group": Scenario.RETRY,
            "test_data_flows_after_the_server_updates_its_key": Scenario.OUR_UPDATE,
            "test_data_flows_after_s_client_updates_both_keys": Scenario.THEIR_UPDATE,
            "test_close_by_the_client_is_the_end_of_data": Scenario.CLOSE,
            "test_close_by_the_server_is_a_close_notify": Scenario.CLOSE,
        },
    ),
    "test_tls12_openssl_s_client": (
        (OPENSSL, Role.SERVER, "1.2"),
        {
            "test_alpn_takes_the_servers_preference": Scenario.HANDSHAKE,
            "test_certificates_of_each_kind_of_key": Scenario.KEY_TYPES,
            "test_s_client_lists_the_names_of_the_client_roots_in_their_order": Scenario.MUTUAL,
            "test_optional_client_auth_takes_a_client_without": Scenario.OPTIONAL,
            "test_list_of_names_is_empty_without_hints": Scenario.NO_NAMES,
            "test_certificate_of_another_ca_is_refused_with_unknown_ca": Scenario.WRONG,
            "test_no_certificate_is_refused_with_handshake_failure": Scenario.MISSING,
            "test_close_by_either_side_is_a_close_notify": Scenario.CLOSE,
        },
    ),
    "test_resumption_openssl_s_client": (
        (OPENSSL, Role.SERVER, None),
        {"test_session_is_resumed_and_the_client_still_known": Scenario.RESUMPTION},
    ),
    "test_openssl_s_server": (
        (OPENSSL, Role.CLIENT, "1.3"),
        {
            "test_alpn": Scenario.HANDSHAKE,
            "test_client_certificate_of_each_kind_of_key": Scenario.KEY_TYPES,
            "test_server_certificate_of_each_kind_of_key": Scenario.KEY_TYPES,
            "test_client_presents_its_chain": Scenario.MUTUAL,
            "test_client_presents_the_first_certificate_that_fits_the_names": Scenario.CHOICE,
            "test_client_presents_none_when_none_fits": Scenario.OPTIONAL,
            "test_first_certificate_is_presented_when_no_names_came": Scenario.NO_NAMES,
            "test_fallback_certificate_is_presented_although_it_does_not_fit": Scenario.WRONG,
            "test_server_that_requires_a_certificate_refuses_a_client_that_has_none_to_fit": Scenario.MISSING,
            "test_bad_server_certificate_is_refused_with_its_alert": Scenario.UNTRUSTED,
            "test_hello_retry_that_s_server_forces": Scenario.RETRY,
            "test_data_flows_after_the_client_updates_its_key": Scenario.OUR_UPDATE,
            "test_data_flows_after_s_server_updates_its_key": Scenario.THEIR_UPDATE,
            "test_close_by_the_client_is_answered": Scenario.CLOSE,
            "test_www_page_is_fetched_to_its_proper_end": Scenario.CLOSE,
        },
    ),
    "test_tls12_openssl_s_server": (
        (OPENSSL, Role.CLIENT, "1.2"),
        {
            "test_alpn": Scenario.HANDSHAKE,
            "test_certificates_of_each_kind_of_key": Scenario.KEY_TYPES,
            "test_www_page_is_fetched_to_its_proper_end": Scenario.MUTUAL,
            "test_client_presents_the_first_certificate_that_fits_the_names": Scenario.CHOICE,
            "test_client_presents_none_when_none_fits": Scenario.OPTIONAL,
            "test_list_of_names_may_be_empty": Scenario.NO_NAMES,
            "test_refusal_of_an_unknown_ca_ends_the_handshake": Scenario.WRONG,
            "test_refusal_of_a_missing_certificate_ends_the_handshake": Scenario.MISSING,
            "test_bad_server_certificate_is_refused_with_its_alert": Scenario.UNTRUSTED,
            "test_close_by_the_client_is_answered": Scenario.CLOSE,
        },
    ),
    "test_resumption_openssl_s_server": (
        (OPENSSL, Role.CLIENT, None),
        {"test_session_is_resumed_and_both_sides_still_known": Scenario.RESUMPTION},
    ),
    "test_gnutls": (
        (GNUTLS, Role.SERVER, "1.3"),
        {
            "test_alpn_with_gnutls_cli": Scenario.HANDSHAKE,
            "test_certificates_of_each_kind_of_key_with_gnutls_cli": Scenario.KEY_TYPES,
            "test_gnutls_cli_is_let_in_with_its_certificate": Scenario.MUTUAL,
            "test_gnutls_cli_without_a_certificate_gets_in_where_that_is_optional": Scenario.OPTIONAL,
            "test_gnutls_cli_sees_no_names_when_there_are_no_hints": Scenario.NO_NAMES,
            "test_gnutls_cli_with_a_certificate_of_another_ca_is_refused": Scenario.WRONG,
            "test_gnutls_cli_without_a_certificate_is_refused": Scenario.MISSING,
            "test_hello_retry_with_gnutls_cli": Scenario.RETRY,
            "test_data_flows_after_the_server_updates_its_key_with_gnutls_cli": Scenario.OUR_UPDATE,
            "test_data_flows_after_gnutls_cli_updates_its_key": Scenario.THEIR_UPDATE,
            "test_alpn_with_gnutls_serv": Scenario.HANDSHAKE,
            "test_certificates_of_each_kind_of_key_with_gnutls_serv": Scenario.KEY_TYPES,
            "test_client_presents_its_certificate_to_gnutls_serv": Scenario.MUTUAL,
            "test_untrusted_certificate_is_refused_by_gnutls_serv": Scenario.WRONG,
            "test_client_with_nothing_that_fits_is_refused_by_gnutls_serv": Scenario.MISSING,
            "test_bad_certificate_of_gnutls_serv_is_refused_with_its_alert": Scenario.UNTRUSTED,
            "test_hello_retry_that_gnutls_serv_forces": Scenario.RETRY,
            "test_data_flows_after_the_client_updates_its_key_with_gnutls_serv": Scenario.OUR_UPDATE,
        },
    ),
    "test_tls12_gnutls": (
        (GNUTLS, Role.SERVER, "1.2"),
        {
            "test_alpn_and_exporter_with_gnutls_cli": Scenario.HANDSHAKE,
            "test_certificates_of_each_kind_of_key_with_gnutls_cli": Scenario.KEY_TYPES,
            "test_gnutls_cli_is_let_in_and_lists_the_names": Scenario.MUTUAL,
            "test_gnutls_cli_is_refused_and_told_why": Scenario.WRONG,
            "test_alpn_with_gnutls_serv": Scenario.HANDSHAKE,
            "test_certificates_of_each_kind_of_key_with_gnutls_serv": Scenario.KEY_TYPES,
            "test_client_presents_its_certificate_to_gnutls_serv": Scenario.MUTUAL,
            "test_client_with_nothing_that_fits_is_refused_by_gnutls_serv": Scenario.MISSING,
            "test_bad_certificate_of_gnutls_serv_is_refused_with_its_alert": Scenario.UNTRUSTED,
        },
    ),
    "test_resumption_gnutls": (
        (GNUTLS, Role.SERVER, None),
        {
            "test_gnutls_cli_resumes_and_is_still_known": Scenario.RESUMPTION,
            "test_session_of_gnutls_serv_is_resumed": Scenario.RESUMPTION,
        },
    ),
}

# Of parametrized tests, those whose parameter decides what they show.
_BY_PARAMETER: Final[dict[str, tuple[str, object, Scenario]]] = {
    "test_gnutls_cli_is_let_in_and_lists_the_names": ("hinted", False, Scenario.NO_NAMES),
    "test_gnutls_cli_is_refused_and_told_why": ("who", "nobody", Scenario.MISSING),
}


def square_of(module: str, function: str, parameters: dict[str, object]) -> dict[str, str] | None:
    """Which square a test is, as the marker `interop` would say it; None for one that is none."""
    (peer, role, version), shows = TESTS.get(module, (("", Role.SERVER, None), {}))
    scenario = shows.get(function)
    if scenario is None:
        return None
    name, value, other = _BY_PARAMETER.get(function, ("", None, scenario))
    if name in parameters and parameters[name] == value:
        scenario = other
    if scenario is Scenario.KEY_TYPES and parameters.get("key_type") is KeyType.ED25519:
        scenario = Scenario.ED25519
    if "gnutls_serv" in function:
        role = Role.CLIENT
    return {
        "peer": peer,
        "scenario": str(scenario),
        "role": str(role),
        "version": version or str(parameters["version"]),
    }


def _openssl_version() -> str:
    return " ".join(_said("openssl", "version").split()[:2])


def _gnutls_version() -> str:
    return f"GnuTLS {_said('gnutls-cli', '--version').split()[1]}"


def _said(command: str, argument: str) -> str:
    return subprocess.run([require_peer(command), argument], capture_output=True, text=True, check=True).stdout


VERSION_OF: Final[dict[str, Callable[[], str]]] = {OPENSSL: _openssl_version, GNUTLS: _gnutls_version}

COMMANDS: Final = (
    Elsewhere(
        name=OPENSSL,
        title="openssl s_client, s_server",
        cannot=(
            Cannot(Scenario.CHOICE, "s_client sends the one certificate that it was given", Role.SERVER),
            Cannot(Scenario.HYBRID, "OpenSSL has ML-KEM from 3.5 on; X25519MLKEM768 is tried with OpenSSL 4"),
        ),
    ),
    Elsewhere(
        name=GNUTLS,
        title="gnutls-cli, gnutls-serv",
        cannot=(
            Cannot(Scenario.CHOICE, "gnutls-cli sends the one certificate that it was given", Role.SERVER),
            Cannot(Scenario.NO_NAMES, "gnutls-serv names every CA that it trusts", Role.CLIENT),
            Cannot(
                Scenario.LARGE,
                "gnutls-cli prints what it receives a character at a time: 1 MiB takes two seconds (test_gnutls.py)",
                Role.SERVER,
            ),
            Cannot(Scenario.HYBRID, "GnuTLS has ML-KEM from 3.8.8 on, and only if it was built with it"),
            Cannot(Scenario.THEIR_UPDATE, "gnutls-serv has no command for it", Role.CLIENT),
        ),
    ),
)
