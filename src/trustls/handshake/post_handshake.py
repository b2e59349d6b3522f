"""Client authentication after the handshake, which only TLS 1.3 has (RFC 9846 4.7.2)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from trustls.errors import Misbehaviour, PeerMisbehaved
from trustls.handshake.authentication import (
    CLIENT_CONTEXT,
    authenticated_client,
    certificate_request,
    chosen_credential,
    credential_request,
    send_certificate,
)
from trustls.handshake.client_answer import ClientAnswer
from trustls.handshake.established import Established
from trustls.handshake.flow import Flow
from trustls.handshake.parameters import ClientParameters, ServerParameters
from trustls.protocol.key_schedule import TrafficSecret
from trustls.trust.client_auth import ClientAuth
from trustls.wire.messages import CertificateMessage, CertificateRequest, Finished

_CONTEXT_LENGTH = 32


async def answer_certificate_request(
    flow: Flow,
    client: ClientParameters,
    request: CertificateRequest,
    established: Established,
    answer: ClientAnswer,
    sending_secret: Callable[[], TrafficSecret],
) -> Established:
    """The client's Certificate, CertificateVerify and Finished; an empty Certificate where no credential fits.

    `sending_secret` gives the traffic secret that this side sends under at the time.
    """
    asked = credential_request(request)
    answer.asked(asked)
    credential = await chosen_credential(flow, client, asked, answer)
    compressor = None if client.compression is None else client.compression.compressor(request.compress_certificate)
    # RFC 9846 4.7.2: nothing may come between the three, and a signer may take its time.
    flow.hold()
    if credential is None:
        flow.send(CertificateMessage(context=request.context))
    else:
        await send_certificate(
            flow,
            credential,
            asked.signature_schemes,
            CLIENT_CONTEXT,
            request_context=request.context,
            compressor=compressor,
        )
    flow.send(Finished(verify_data=sending_secret().verify_data(flow.transcript.digest())))
    flow.release()
    if credential is not None and established.tickets is not None:
        established.tickets.presented(credential, asked)
    return replace(established, info=replace(established.info, credential=credential))


async def request_client_certificate(
    flow: Flow,
    server: ServerParameters,
    client_auth: ClientAuth,
    established: Established,
    receiving_secret: Callable[[], TrafficSecret],
) -> Established:
    """CertificateRequest, and the client's answer to it, with who it then is.

    `receiving_secret` gives the traffic secret that the client sends under at the time.
    """
    # RFC 9846 4.4.2: a context of its own, so that no answer to another request passes for this one.
    context = server.provider.random(_CONTEXT_LENGTH)
    flow.send(certificate_request(server, client_auth.hints, context))
    compression = server.compression
    message = await (flow.receive(CertificateMessage) if compression is None else compression.receive(flow))
    peer = await authenticated_client(flow, server, client_auth, message, context=context)
    transcript_hash = flow.transcript.digest()
    finished = await flow.receive(Finished)
    if not receiving_secret().finished_is_valid(finished.verify_data, transcript_hash):
        raise PeerMisbehaved(Misbehaviour.BAD_FINISHED, "after the handshake")
    return replace(established, peer=peer)
