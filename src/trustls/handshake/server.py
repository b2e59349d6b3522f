"""The server's start, the same for both versions: ClientHello, and which version it leads to."""

from __future__ import annotations

from trustls.errors import Incompatibility, InternalError, Misbehaviour, PeerIncompatible, PeerMisbehaved
from trustls.handshake.client_hello_info import client_hello_info
from trustls.handshake.disagreement import listed
from trustls.handshake.established import Established
from trustls.handshake.flow import Flow
from trustls.handshake.parameters import ChooseParameters, ServerParameters
from trustls.handshake.server13 import server_handshake13
from trustls.wire.enums import CipherSuite, ProtocolVersion
from trustls.wire.messages import ClientHello


async def server_handshake(flow: Flow, server: ServerParameters) -> Established:
    """The whole handshake."""
    hello = await flow.receive(ClientHello)
    if server.choose_config is not None:
        server = await _chosen_parameters(flow, server, server.choose_config, hello)
    if _chosen_version(server, hello) == ProtocolVersion.TLS1_3:
        return await server_handshake13(flow, server, hello)
    from trustls.handshake.server12 import server_handshake12  # Few peers need it, and it takes a while to import.

    return await server_handshake12(flow, server, hello)


async def _chosen_parameters(
    flow: Flow, server: ServerParameters, choose: ChooseParameters, hello: ClientHello
) -> ServerParameters:
    """The configuration for this client, chosen by its whole offer. All that follows is decided by it alone."""
    info = client_hello_info(hello, flow.transcript.content())
    chosen = await flow.outside("choose a configuration", choose, info)
    if chosen is None:
        return server
    parameters = getattr(chosen, "parameters", None)
    if not isinstance(parameters, ServerParameters):
        raise InternalError(f"`choose_config` gave {type(chosen).__name__}, which is neither a ServerConfig nor None")
    flow.pad_records_to(parameters.pad_records_to)
    if parameters.max_fragment_size != server.max_fragment_size:
        flow.fragment_at(parameters.max_fragment_size)
    return parameters


def _chosen_version(server: ServerParameters, hello: ClientHello) -> ProtocolVersion:
    """The newest version that both speak (RFC 9846 4.3.1)."""
    if hello.legacy_version <= ProtocolVersion.SSL3:
        # RFC 9846 E.5: not even as the field that nobody reads.
        raise PeerIncompatible(Incompatibility.NO_COMMON_VERSION, f"the client's hello says {hello.legacy_version}")
    versions = hello.supported_versions
    if versions is None:
        # RFC 9846 E.2: without the extension the field says what the client speaks at the most.
        versions = (min(hello.legacy_version, ProtocolVersion.TLS1_2),)
    if CipherSuite.TLS_FALLBACK_SCSV in hello.cipher_suites and server.versions[0] not in versions:
        # RFC 7507 3: this client could do better, and was kept from it.
        raise PeerIncompatible(Incompatibility.INAPPROPRIATE_FALLBACK, f"to {', '.join(map(str, versions[:8]))}")
    for version in server.versions:
        if version in versions:
            if b"\0" not in hello.compression_methods or (
                version == ProtocolVersion.TLS1_3 and hello.compression_methods != b"\0"
            ):
                raise PeerMisbehaved(Misbehaviour.BAD_COMPRESSION)
            return version
    spoken, ours = listed(versions), listed(server.versions)
    raise PeerIncompatible(
        Incompatibility.NO_COMMON_VERSION,
        f"the client speaks {spoken}, this server {ours}",
        expected=ours,
        found=spoken,
    )
