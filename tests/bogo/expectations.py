"""What the flags say must come of a connection, as far as trustls's public face tells."""

from __future__ import annotations

from pathlib import Path

from tests.bogo.configuration import Configurator, named_authorities, protocols
from tests.bogo.flags import Flags
from tests.bogo.identities import Credentials
from tests.bogo.wirelog import WireLog
from trustls import Certificate, ClientConnection, ConnectionInfo, ProtocolVersion, ServerConnection


class Unmet(Exception):
    """The connection is not what the test wants it to be."""


class Check:
    """The expectations of one connection."""

    def __init__(
        self,
        flags: Flags,
        retry: Flags,
        connection: ClientConnection | ServerConnection,
        configurator: Configurator,
        credentials: Credentials,
        wire: WireLog,
        *,
        is_resume: bool,
    ) -> None:
        self._flags = flags
        self._retry = retry
        self._connection = connection
        self._configurator = configurator
        self._credentials = credentials
        self._wire = wire
        self._is_resume = is_resume

    def before(self) -> None:
        """When the connection is made."""
        connection = self._connection
        if self._flags.expect_no_offer_early_data and isinstance(connection, ClientConnection):
            _same("early data that may be offered", connection.early_data_limit, 0)

    def handshake(self) -> None:
        """When the handshake is done."""
        connection, info = self._connection, self._connection.info
        if self._is_resume and self._flags.expect_reject_early_data and isinstance(connection, ClientConnection):
            self._flags = self._retry
            _same("early data accepted", connection.early_data_accepted, False)
        flags = self._flags
        _same("resumed", info.resumed, self._is_resume and not flags.expect_session_miss)
        self._negotiated(info)
        self._early_data()
        self._peer(info)
        if isinstance(connection, ClientConnection):
            self._request(connection)
        elif self._configurator.hello is not None:
            hello = self._configurator.hello
            if flags.expect_advertised_alpn:
                _same("ALPN offered", hello.alpn, tuple(protocols(flags.expect_advertised_alpn)))
            if flags.expect_peer_verify_pref:
                _same("the client's schemes", list(hello.signature_schemes), flags.expect_peer_verify_pref)

    def _negotiated(self, info: ConnectionInfo) -> None:
        flags = self._flags
        if flags.expect_version:
            _same("version", info.version, flags.expect_version)
        if flags.expect_cipher:
            _same("cipher suite", info.suite, flags.expect_cipher)
        if flags.expect_curve_id:
            _same("group", info.group, flags.expect_curve_id)
        if flags.expect_hrr or flags.expect_no_hrr:
            _same("retried", info.retried, flags.expect_hrr)
        if flags.expect_server_name:
            _same("server name", info.server_name, flags.expect_server_name)
        if flags.expect_no_server_name:
            _same("server name", info.server_name, None)
        _same("ALPN", info.alpn, (flags.select_alpn if flags.server else flags.expect_alpn) or None)
        if flags.expect_selected_credential is not None and not info.resumed:
            _same("credential", self._credentials.number_of(info), flags.expect_selected_credential)

    def _early_data(self) -> None:
        flags, accepted = self._flags, self._connection.early_data_accepted
        if flags.expect_accept_early_data or flags.expect_reject_early_data:
            _same("early data accepted", bool(accepted), flags.expect_accept_early_data)
        if flags.expect_early_data_reason:
            _same("early data accepted", bool(accepted), flags.expect_early_data_reason == "accept")

    def _peer(self, info: ConnectionInfo) -> None:
        flags, peer = self._flags, self._connection.peer
        psk = info.psk_identity is not None
        if flags.expect_no_peer_cert:
            _same("peer", peer, None)
        elif not psk and (not flags.server or flags.require_any_client_certificate):
            _same("whether the peer is known", peer is not None, True)
        if flags.expect_ocsp_response:
            _same("OCSP response", None if peer is None else peer.ocsp_response, flags.expect_ocsp_response)
        if flags.expect_peer_cert_file:
            chain = Certificate.from_pem(Path(flags.expect_peer_cert_file).read_bytes())
            _same("peer's chain", None if peer is None else peer.presented, chain)
        key = None if peer is None else peer.raw_key
        if flags.expect_peer_certificate_type is not None and not (psk or peer is None):
            _same("peer's certificate type", 0 if key is None else 2, flags.expect_peer_certificate_type)
        if flags.expect_peer_rpk_sha256:
            _same("peer's raw key", None if key is None else key.sha256, flags.expect_peer_rpk_sha256)
        scheme = self._wire.peer_scheme
        if flags.expect_peer_signature_algorithm and scheme:
            _same("peer's signature scheme", scheme, flags.expect_peer_signature_algorithm)

    def _request(self, connection: ClientConnection) -> None:
        flags, request = self._flags, connection.requested
        if flags.expect_client_ca_list and request is not None:
            _same("authorities", request.authorities, named_authorities(flags.expect_client_ca_list))
        if flags.expect_certificate_types:
            _same("types", bytes(request.certificate_types) if request else None, flags.expect_certificate_types)
        if flags.expect_peer_verify_pref and request is not None:
            _same("the server's schemes", list(request.signature_schemes), flags.expect_peer_verify_pref)

    def afterwards(self) -> None:
        """When all is said: what may come after the handshake has come."""
        flags, connection = self._flags, self._connection
        if flags.expect_msg_callback:
            wanted = [line for line in flags.expect_msg_callback.splitlines() if " hs " in line]
            _same("messages", self._wire.lines, wanted)
        if flags.send_alert:
            return
        if isinstance(connection, ServerConnection):
            if (flags.expect_session_id or flags.expect_no_session_id) and not self._is_resume:
                _same("sessions stored", bool(self._configurator.server_sessions.puts), flags.expect_session_id)
            return
        self._sessions(connection.info)

    def _sessions(self, info: ConnectionInfo) -> None:
        """What a client keeps to resume later."""
        flags, sessions = self._flags, self._configurator.client_sessions
        received = sessions.received
        if info.psk_identity is not None:
            return
        if info.version == ProtocolVersion.TLS1_3:
            if flags.shim_shuts_down:
                return  # It closes without having read: tickets may have come or not.
            _same("new session", bool(received), not flags.expect_no_session)
            if received:
                _same(
                    "session for early data",
                    bool(received[-1].max_early_data),
                    flags.expect_ticket_supports_early_data,
                )
        elif info.resumed and sessions.offered is not None:
            renewed = bool(received) and received[-1].ticket != sessions.offered.ticket
            _same("new ticket", renewed, flags.expect_ticket_renewal)
        else:
            _same("new session", bool(received), not flags.expect_no_session)


def _same(what: str, found: object, wanted: object) -> None:
    if found != wanted:
        raise Unmet(f"{what}: {found!r}, wanted {wanted!r}")
