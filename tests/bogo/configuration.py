"""Flags as configurations of trustls: one for each connection, with what a test's connections share."""

from __future__ import annotations

import time
from collections.abc import Awaitable

from tests.bogo.compression import installed
from tests.bogo.flags import Flags, Invocation, Unsupported
from tests.bogo.identities import ClientChooser, Credentials, Refused, ServerChooser, ShimVerifier, later
from tests.bogo.policies import policy_of
from trustls import (
    DEFAULT_PROVIDER,
    AlertDescription,
    CipherSuite,
    ClientAuth,
    ClientConfig,
    ClientHelloInfo,
    Credential,
    DistinguishedName,
    MemorySessions,
    NamedGroup,
    ProtocolVersion,
    RotatingTicketKeys,
    ServerConfig,
    SignatureScheme,
    StoredSessions,
    TicketKey,
    Tickets,
)
from trustls.session.state import ClientSession
from trustls.wire.enums import CertificateType

_TLS12, _TLS13 = 0x0303, 0x0304
# What BoringSSL takes, which the runner knows.
_MAX_EARLY_DATA = 14336
_MAX_FRAGMENT = 1 << 14
_TICKET_AGE_WINDOW = 60.5  # BoringSSL counts whole seconds: 60 will do, 61 will not.


class Clock:
    """The time. It stands still, but for where a test moves it on (`-resumption-delay`): the runner counts seconds."""

    def __init__(self) -> None:
        self._now = time.time()

    def advance(self, seconds: int) -> None:
        """Let so many seconds pass."""
        self._now += seconds

    def __call__(self) -> float:
        return self._now


class ClientSessions:
    """A client's session store: each connection offers the newest session that the one before it got, if any."""

    def __init__(self) -> None:
        self.offered: ClientSession | None = None
        self.received: list[ClientSession] = []
        self._newest: tuple[bytes, ClientSession] | None = None
        self._available: tuple[bytes, ClientSession] | None = None

    def begin(self) -> None:
        """The next connection starts."""
        self._available, self._newest = self._newest, None
        self.offered = None
        self.received = []

    def put(self, key: bytes, session: ClientSession) -> None:
        """See trustls.ClientSessionStore."""
        self.received.append(session)
        self._newest = key, session

    def take(self, key: bytes) -> ClientSession | None:
        """See trustls.ClientSessionStore."""
        available, self._available = self._available, None
        if available is not None and available[0] == key:
            self.offered = available[1]
            return self.offered
        return None


class CountingSessions(MemorySessions):
    """A server's session store that counts what is put into it."""

    def __init__(self) -> None:
        super().__init__()
        self.puts = 0

    def put(self, identifier: bytes, session: bytes, lifetime: int) -> None:
        """See trustls.ServerSessionStore."""
        self.puts += 1
        super().put(identifier, session, lifetime)


class ShimTicketKeys:
    """Ticket keys that may refuse to seal, or take a while."""

    def __init__(self, keys: RotatingTicketKeys, flags: Flags) -> None:
        self._keys = keys
        self._flags = flags

    def current(self, now: float) -> TicketKey | Awaitable[TicketKey | None] | None:
        """See trustls.TicketKeys."""
        key = None if self._flags.skip_ticket else self._keys.current(now)
        return later(lambda: key)() if self._flags.async_ else key

    def named(self, name: bytes, now: float) -> TicketKey | Awaitable[TicketKey | None] | None:
        """See trustls.TicketKeys."""
        return later(self._keys.named)(name, now) if self._flags.async_ else self._keys.named(name, now)


class TrafficSecrets:
    """A key log that keeps the secrets of the application data, for `-export-traffic-secrets`."""

    def __init__(self) -> None:
        self.by_label: dict[str, bytes] = {}

    def log(self, label: str, client_random: bytes, secret: bytes) -> None:
        """See trustls.KeyLog."""
        self.by_label[label] = secret


class Configurator:
    """Makes the configuration of each connection of a test."""

    def __init__(self, invocation: Invocation) -> None:
        self._invocation = invocation
        self.clock = Clock()
        self.verifier = ShimVerifier()
        self.client_sessions = ClientSessions()
        self.server_sessions = CountingSessions()
        self.traffic_secrets = TrafficSecrets()
        self.hello: ClientHelloInfo | None = None
        self._ticket_keys = RotatingTicketKeys()
        self._early_data = invocation.initial.enable_early_data or invocation.resume.enable_early_data

    def begin(self, flags: Flags) -> None:
        """The next connection starts."""
        # To BoringSSL a connection whose early data is refused is another one from there on; trustls goes on with it.
        refused = not flags.server and flags.expect_reject_early_data
        self.verifier.flags = self._invocation.retry if refused else flags
        self.client_sessions.begin()
        self.server_sessions.puts = 0
        self.hello = None

    def client(self, flags: Flags, credentials: Credentials) -> ClientConfig:
        """What the shim is configured with as a client.

        Raises:
            Unsupported, ConfigError: trustls cannot do that.
        """
        if flags.no_ticket:
            raise Unsupported("a client of TLS 1.2 that takes session ids, but no tickets")
        own = credentials.in_order
        _check_own_types(flags, own)
        self.verifier.certificate_types = accepted_types(flags)
        if flags.fail_cert_callback and not own:
            raise Unsupported("a chooser of credentials where there are none")
        return ClientConfig(
            verifier=self.verifier,
            ocsp="stapled" if flags.enable_ocsp_stapling else "off",
            credentials=own,
            choose_credential=ClientChooser(flags) if own else None,
            alpn=protocols(flags.advertise_alpn),
            versions=_versions(flags),
            suites=_suites(flags),
            groups=_groups(flags),
            key_shares=_key_shares(flags),
            signature_schemes=_signature_schemes(flags),
            sessions=self.client_sessions,
            external_psks=credentials.psks,
            early_data=flags.enable_early_data,
            require_extended_master_secret=flags.expect_extended_master_secret,
            send_server_name=bool(flags.host_name),
            max_fragment_size=flags.max_send_fragment or _MAX_FRAGMENT,
            certificate_compression=installed(flags),
            key_log=self.traffic_secrets if flags.export_traffic_secrets else None,
            now=self.clock,
        )

    def server(self, flags: Flags, credentials: Credentials) -> ServerConfig:
        """What the shim is configured with as a server. The ClientHello is looked at before it is chosen.

        Raises:
            Unsupported, ConfigError: trustls cannot do that.
        """
        by_ticket = self._server(flags, credentials, stores_sessions=flags.no_ticket)
        by_session_id = self._server(flags, credentials, stores_sessions=True)

        def choose(hello: ClientHelloInfo) -> ServerConfig:
            self.hello = hello
            if flags.fail_early_callback:
                raise Refused(AlertDescription.HANDSHAKE_FAILURE)
            if flags.fail_ddos_callback:
                raise Refused(AlertDescription.INTERNAL_ERROR)
            offer = hello.message
            shows_session_id = bool(offer.session_id) and not offer.session_ticket
            if ProtocolVersion.TLS1_3 in hello.versions and not flags.no_tls13:
                return by_ticket
            return by_session_id if shows_session_id or offer.session_ticket is None else by_ticket

        return ServerConfig(
            credentials=credentials.in_order,
            versions=_server_versions(flags, credentials),
            external_psks=credentials.psks,
            choose_config=later(choose) if flags.async_ else choose,
        )

    def _server(self, flags: Flags, credentials: Credentials, *, stores_sessions: bool) -> ServerConfig:
        self.verifier.certificate_types = accepted_types(flags)
        self.verifier.hints = named_authorities(flags.use_client_ca_list)
        alpn = [flags.select_alpn] if flags.select_alpn else ()
        return ServerConfig(
            credentials=credentials.in_order,
            choose_credential=ServerChooser(flags) if credentials.in_order else None,
            client_auth=self._client_auth(flags),
            alpn=["no protocol that anybody offers"] if flags.reject_alpn else alpn,
            versions=_server_versions(flags, credentials),
            suites=_suites(flags),
            groups=_groups(flags),
            signature_schemes=_signature_schemes(flags),
            resumption=self._resumption(flags, stores_sessions=stores_sessions),
            external_psks=credentials.psks,
            require_extended_master_secret=flags.expect_extended_master_secret,
            max_fragment_size=flags.max_send_fragment or _MAX_FRAGMENT,
            certificate_compression=installed(flags),
            key_log=self.traffic_secrets if flags.export_traffic_secrets else None,
            now=self.clock,
        )

    def _client_auth(self, flags: Flags) -> ClientAuth:
        if flags.verify_peer:
            return ClientAuth.custom(self.verifier, required=False)
        return ClientAuth.custom(self.verifier) if flags.require_any_client_certificate else ClientAuth.none()

    def _resumption(self, flags: Flags, *, stores_sessions: bool) -> Tickets | StoredSessions:
        if stores_sessions:
            return StoredSessions(store=self.server_sessions, count=0)
        if not self._early_data:
            return Tickets(keys=ShimTicketKeys(self._ticket_keys, flags))
        return StoredSessions(
            store=self.server_sessions,
            max_early_data=_MAX_EARLY_DATA if flags.enable_early_data else 0,
            early_data_window=_TICKET_AGE_WINDOW,
        )


# -- Flags as arguments -----------------------------------------------------------------------------------------------


def accepted_types(flags: Flags) -> tuple[CertificateType, ...]:
    """The types of certificates that are taken from the peer."""
    return tuple(map(CertificateType, flags.accepted_peer_cert_types)) or (CertificateType.X509,)


def _check_own_types(flags: Flags, own: list[Credential]) -> None:
    """trustls offers the types of the credentials that it has, in their order."""
    offered = list(dict.fromkeys([int(one.certificate_type) for one in own]))
    if flags.available_client_cert_types and flags.available_client_cert_types != offered:
        raise Unsupported(f"-available-client-cert-types {flags.available_client_cert_types} beside {offered}")


def _server_versions(flags: Flags, credentials: Credentials) -> list[str] | None:
    # A server that has nothing but PSKs speaks no version that has none.
    return _versions(flags) if credentials.in_order else ["1.3"]


def _versions(flags: Flags) -> list[str] | None:
    """The versions that are left: None for all, and where there is none, what a configuration refuses."""
    if flags.no_tls12 and flags.no_tls13 and not (flags.no_tls1 and flags.no_tls11):
        raise Unsupported("versions below TLS 1.2")
    low, high = flags.min_version or _TLS12, flags.max_version or _TLS13
    if high < _TLS12:
        raise Unsupported("versions below TLS 1.2")
    excluded = {_TLS12: flags.no_tls12, _TLS13: flags.no_tls13}
    names = {_TLS12: "1.2", _TLS13: "1.3"}
    left = [names[version] for version in (_TLS13, _TLS12) if low <= version <= high and not excluded[version]]
    return None if len(left) == len(names) else left


def _suites(flags: Flags) -> list[str] | None:
    suites = policy_of(flags).suites
    if flags.cipher == "DEFAULT:!AES":
        suites = tuple([item for item in CipherSuite if "CHACHA20" in item.name])
    elif flags.cipher:
        raise Unsupported(f"-cipher {flags.cipher}")
    return None if suites is None else [suite.iana for suite in suites]


def _groups(flags: Flags) -> list[str] | None:
    have = {item.group for item in DEFAULT_PROVIDER.groups + DEFAULT_PROVIDER.more_groups}
    for number in flags.curves:
        if number not in have:
            raise Unsupported(f"-curves {number}")
    wanted = [NamedGroup(number) for number in flags.curves] or policy_of(flags).groups
    return None if wanted is None else [group.iana for group in wanted]


def _key_shares(flags: Flags) -> list[str] | None:
    """The groups that shares go out for: what is known of the server goes before what is configured."""
    groups = flags.curves or [item.group for item in DEFAULT_PROVIDER.groups]
    known = next((number for number in groups if number in flags.server_supported_groups_hint), None)
    if known is not None:
        return [NamedGroup(known).iana]
    if flags.key_shares or flags.no_key_shares:
        return [NamedGroup(number).iana for number in flags.key_shares]
    return None


def _signature_schemes(flags: Flags) -> list[str] | None:
    """The schemes that are preferred, without those that trustls does not have."""
    wanted = [SignatureScheme(number) for number in flags.verify_prefs if number in DEFAULT_PROVIDER.signature_schemes]
    if not flags.verify_prefs:
        schemes = policy_of(flags).schemes
        return None if schemes is None else [scheme.iana for scheme in schemes]
    if not wanted:
        raise Unsupported(f"-verify-prefs {flags.verify_prefs}")
    if not set(wanted) & set(DEFAULT_PROVIDER.schemes13) & set(DEFAULT_PROVIDER.schemes12):
        # The test wants a version in which none of these may be used, and trustls speaks none without any.
        wanted.append(SignatureScheme.ED25519)
    return [scheme.iana for scheme in wanted]


def protocols(encoded: str) -> list[str]:
    """An ALPN list as it is on the wire: each name behind its length."""
    names = []
    while encoded:
        size = ord(encoded[0])
        names.append(encoded[1 : 1 + size])
        encoded = encoded[1 + size :]
    return names


def named_authorities(text: str) -> tuple[DistinguishedName, ...]:
    """CA names as `-use-client-ca-list` and `-expect-client-ca-list` give them: DER in hex, with commas between."""
    if text in {"", "<NULL>", "<EMPTY>"}:
        return ()
    return tuple([DistinguishedName(bytes.fromhex(item)) for item in text.split(",")])
