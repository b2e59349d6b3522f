"""The secrets of a connection under their labels, for debugging tools (RFC 9850)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from trustls.protocol.key_schedule import HandshakeSecrets, TrafficSecret, TrafficSecrets
    from trustls.protocol.key_schedule12 import MasterSecret


class KeyLog(Protocol):
    """Takes a connection's secrets. What it gets decrypts the connection: never in production."""

    def log(self, label: str, client_random: bytes, secret: bytes) -> None:
        """One secret under its label, CLIENT_HANDSHAKE_TRAFFIC_SECRET for example."""


def log_early_secret(key_log: KeyLog | None, client_random: bytes, secret: TrafficSecret) -> None:
    """The secret of the early data's records."""
    if key_log is not None:
        key_log.log("CLIENT_EARLY_TRAFFIC_SECRET", client_random, secret.secret)


def log_handshake_secrets(key_log: KeyLog | None, client_random: bytes, secrets: HandshakeSecrets) -> None:
    """The secrets of the handshake's records."""
    if key_log is not None:
        key_log.log("CLIENT_HANDSHAKE_TRAFFIC_SECRET", client_random, secrets.client.secret)
        key_log.log("SERVER_HANDSHAKE_TRAFFIC_SECRET", client_random, secrets.server.secret)


def log_traffic_secrets(key_log: KeyLog | None, client_random: bytes, secrets: TrafficSecrets) -> None:
    """The secrets of the application data, and the exporter's."""
    if key_log is not None:
        key_log.log("CLIENT_TRAFFIC_SECRET_0", client_random, secrets.client.secret)
        key_log.log("SERVER_TRAFFIC_SECRET_0", client_random, secrets.server.secret)
        key_log.log("EXPORTER_SECRET", client_random, secrets.exporter.secret)


def log_master_secret(key_log: KeyLog | None, client_random: bytes, master: MasterSecret) -> None:
    """The secret of a TLS 1.2 session."""
    if key_log is not None:
        key_log.log("CLIENT_RANDOM", client_random, master.secret)
