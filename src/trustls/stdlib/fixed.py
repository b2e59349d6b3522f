"""Fixed: what may be read of a context, and set only to what it is already: how peers are verified, the suites, ..."""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from typing import Any, Final, NoReturn

from trustls.config import ClientConfig, ServerConfig
from trustls.danger import AcceptAnyCertificate
from trustls.stdlib.configured import Configured, refuse
from trustls.stdlib.described import described
from trustls.trust.client_auth import ClientAuthMode

_VERIFY_MODES: Final = {
    ClientAuthMode.REQUIRED: ssl.CERT_REQUIRED,
    ClientAuthMode.OPTIONAL: ssl.CERT_OPTIONAL,
    ClientAuthMode.REPORT: ssl.CERT_OPTIONAL,
    ClientAuthMode.NONE: ssl.CERT_NONE,
}
# What these ask for is so, always.
_ALWAYS: Final = (
    ssl.OP_ALL
    | ssl.OP_NO_SSLv3
    | ssl.OP_NO_COMPRESSION
    | ssl.OP_NO_RENEGOTIATION
    | ssl.OP_SINGLE_DH_USE
    | ssl.OP_SINGLE_ECDH_USE
    | getattr(ssl, "OP_ENABLE_MIDDLEBOX_COMPAT", 0)
)
# These too, but they are not told: whoever copied them to a context of `ssl` would be warned of deprecated options.
_ALWAYS_TOO: Final = ssl.OP_NO_SSLv2 | ssl.OP_NO_TLSv1 | ssl.OP_NO_TLSv1_1
_WITHOUT: Final = {"1.2": ssl.OP_NO_TLSv1_2, "1.3": ssl.OP_NO_TLSv1_3}
# Paths are checked strictly, and every root is an anchor, self-signed or not.
_VERIFY_FLAGS: Final = ssl.VERIFY_X509_TRUSTED_FIRST | ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN


class Fixed(Configured):
    """The attributes that say what the configuration says. Whoever sets one to anything else is refused."""

    @property
    def protocol(self) -> Any:  # type: ignore[override]  # typeshed: it can be set
        """PROTOCOL_TLS_CLIENT or PROTOCOL_TLS_SERVER."""
        return ssl.PROTOCOL_TLS_SERVER if self.is_server else ssl.PROTOCOL_TLS_CLIENT

    @property
    def verify_mode(self) -> ssl.VerifyMode:
        """Whether the peer must present a good certificate. A server's `report` mode counts as CERT_OPTIONAL."""
        config = self.config
        if isinstance(config, ServerConfig):
            return _VERIFY_MODES[config.client_auth.mode]
        return ssl.CERT_NONE if isinstance(config.verifier, AcceptAnyCertificate) else ssl.CERT_REQUIRED

    @verify_mode.setter
    def verify_mode(self, value: int) -> None:
        if value != self.verify_mode:
            refuse(
                "the configuration says who is believed: ClientConfig(roots=...), ServerConfig(client_auth=...), or "
                "trustls.danger"
            )

    @property
    def check_hostname(self) -> bool:
        """Whether the server's certificate must be valid for the name asked for."""
        config = self.config
        return isinstance(config, ClientConfig) and config.check_name and config.verifier is None

    @check_hostname.setter
    def check_hostname(self, value: bool) -> None:
        if bool(value) != self.check_hostname:
            refuse("the configuration says whether names are checked: ClientConfig(authorize=..., check_name=False)")

    @property
    def hostname_checks_common_name(self) -> bool:
        """False: names are taken from the subjectAltName alone (RFC 9525 2)."""
        return False

    @hostname_checks_common_name.setter
    def hostname_checks_common_name(self, value: bool) -> None:
        if value:
            refuse("names are taken from the subjectAltName alone (RFC 9525 2)")

    @property
    def options(self) -> Any:
        """The options of `ssl` that are in force, among those that mean something here."""
        left_out = [flag for name, flag in _WITHOUT.items() if name not in self._versions]
        return ssl.Options(_ALWAYS | sum(left_out))

    @options.setter
    def options(self, value: int) -> None:
        now = int(self.options)
        if now & ~value:
            refuse(f"{ssl.Options(now & ~value)!r} cannot be switched off")
        added = value & ~now & ~int(_ALWAYS_TOO)
        for name, flag in _WITHOUT.items():
            if added & flag:
                self._restrict(set(self._versions) - {name})
                added &= ~flag
        if added:
            refuse(f"{ssl.Options(added)!r} means nothing to trustls")

    @property
    def verify_flags(self) -> Any:
        """How certificates are verified, among the flags that mean something here."""
        return ssl.VerifyFlags(_VERIFY_FLAGS)

    @verify_flags.setter
    def verify_flags(self, value: int) -> None:
        if value & ~_VERIFY_FLAGS:
            refuse(f"{ssl.VerifyFlags(value & ~_VERIFY_FLAGS)!r}: revocation lists are given as `crls=`")

    @property
    def security_level(self) -> int:  # type: ignore[override]  # typeshed: it can be set
        """2, as OpenSSL counts: nothing below 112 bits of security is accepted."""
        return 2

    @property
    def num_tickets(self) -> int:
        """How many tickets a TLS 1.3 client is given; 0 on a client."""
        config = self.config
        return config.resumption.count if isinstance(config, ServerConfig) and config.resumption is not None else 0

    @num_tickets.setter
    def num_tickets(self, value: int) -> None:
        if value != self.num_tickets:
            refuse("the configuration says how many: ServerConfig(resumption=Tickets(count=...))")

    @property
    def sni_callback(self) -> None:
        """None: see `ServerConfig(choose_config=)`."""
        return

    @sni_callback.setter
    def sni_callback(self, value: object) -> None:
        if value is not None:
            refuse("a server chooses by the whole ClientHello: ServerConfig(choose_config=ServerNames({...}))")

    def set_servername_callback(self, server_name_callback: object) -> None:
        """Only None is taken: see `ServerConfig(choose_config=)`.

        Raises:
            ConfigError: it is another.
        """
        self.sni_callback = server_name_callback

    # -- Algorithms ---------------------------------------------------------------------------------------------------

    def get_ciphers(self) -> list[Any]:
        """The suites, as `ssl` describes them."""
        provider = self.config.parameters.provider
        suites = [one.suite for one in provider.suites if "1.3" in self._versions]
        suites += [one.suite for one in provider.suites12 if "1.2" in self._versions]
        return [described(suite) for suite in suites]

    def set_ciphers(self, ciphers: str, /) -> NoReturn:  # noqa: ARG002
        """Raises ConfigError: suites are named in the configuration, by their IANA names."""
        refuse("suites are named in the configuration, by IANA name: suites=[...]; OpenSSL's lists are not read")

    def set_ecdh_curve(self, name: str, /) -> NoReturn:  # noqa: ARG002
        """Raises ConfigError: groups are named in the configuration."""
        refuse("groups are named in the configuration: groups=[...]")

    def load_dh_params(self, path: Any, /) -> NoReturn:  # noqa: ARG002
        """Raises ConfigError: finite-field groups are not used."""
        refuse("finite-field Diffie-Hellman is not done")

    def set_npn_protocols(self, npn_protocols: Iterable[str]) -> NoReturn:  # noqa: ARG002
        """Raises ConfigError: NPN is obsolete."""
        refuse("NPN is obsolete: set_alpn_protocols")

    # -- What is not there --------------------------------------------------------------------------------------------

    def session_stats(self) -> NoReturn:
        """Raises NotImplementedError: nothing is counted."""
        raise NotImplementedError("trustls does not count sessions")

    @property
    def _msg_callback(self) -> None:
        """None: trustls tells every message to the logger `trustls.handshake`, at the level TRACE."""
        return

    @_msg_callback.setter
    def _msg_callback(self, callback: object) -> None:
        if callback is not None:
            raise NotImplementedError("messages are told to the logger trustls.handshake, at the level trustls.TRACE")
