"""ClientConnection and ServerConnection: TLS without I/O.

Bytes from the transport go into `receive`, which gives back application data; bytes for the transport come out of
`data_to_send`. The connection drives the handshake's coroutine as messages arrive, keeps the rules of the record layer,
and turns the first failure into its alert.
"""

from trustls.connection.connection import ClientConnection, Connection, Data, ServerConnection

__all__ = ["ClientConnection", "Connection", "Data", "ServerConnection"]
