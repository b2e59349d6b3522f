"""Certificate compression (RFC 8879): CompressedCertificate in place of Certificate, in TLS 1.3, of either side.

The transcript holds the CompressedCertificate as it was sent (RFC 8879 4). All else is as if the Certificate had come.
"""

from __future__ import annotations

from collections.abc import Iterable

from trustls import trace
from trustls.errors import ConfigError, Misbehaviour, PeerMisbehaved
from trustls.handshake.flow import Flow
from trustls.identity.credential import Credential
from trustls.protocol.certificate_compression import CertificateCompression, named
from trustls.protocol.joiner import MAX_CERTIFICATE_MESSAGE
from trustls.wire.enums import CertificateCompressionAlgorithm
from trustls.wire.messages import CertificateMessage, CertificateRequest, CompressedCertificate, parse_message

_HEADER = 4

Algorithms = tuple[CertificateCompressionAlgorithm, ...]


class Compression:
    """The algorithms of a configuration, preferred first. `offered` is what the peer is told of them."""

    __slots__ = ("_by_number", "offered")

    def __init__(self, algorithms: Iterable[str | CertificateCompression]) -> None:
        if isinstance(algorithms, str):
            raise ConfigError("`certificate_compression` takes a list of algorithms, not one string")
        found = [named(one) if isinstance(one, str) else one for one in algorithms]
        for one in found:
            if not isinstance(one, CertificateCompression) or one.algorithm not in range(1, 1 << 16):
                raise ConfigError(f"{one!r} is no CertificateCompression: `algorithm`, `compress`, `decompress`")
        self._by_number = {int(one.algorithm): one for one in found}
        self.offered: Algorithms = tuple(map(CertificateCompressionAlgorithm, self._by_number))
        if len(self.offered) != len(found):
            raise ConfigError("`certificate_compression` has two algorithms of one number")

    async def receive(self, flow: Flow) -> CertificateMessage:
        """The peer's Certificate, compressed or not."""
        message = await flow.receive(CertificateMessage, CompressedCertificate)
        return self._decompressed(flow, message) if isinstance(message, CompressedCertificate) else message

    async def receive_or_request(self, flow: Flow) -> CertificateMessage | CertificateRequest:
        """The server's Certificate, compressed or not, or the CertificateRequest that comes before it."""
        message = await flow.receive(CertificateRequest, CertificateMessage, CompressedCertificate)
        return self._decompressed(flow, message) if isinstance(message, CompressedCertificate) else message

    def compressor(self, accepted: Algorithms | None) -> Compressor | None:
        """What compresses for a peer that decompresses these; None where nothing is in common."""
        return next((Compressor(one) for number, one in self._by_number.items() if number in (accepted or ())), None)

    def _decompressed(self, flow: Flow, message: CompressedCertificate) -> CertificateMessage:
        algorithm = self._by_number.get(message.algorithm)
        if algorithm is None:
            raise PeerMisbehaved(Misbehaviour.COMPRESSION_NOT_OFFERED, str(message.algorithm))
        length = message.uncompressed_length
        if length > MAX_CERTIFICATE_MESSAGE:
            raise PeerMisbehaved(
                Misbehaviour.COMPRESSED_CERTIFICATE_TOO_LARGE,
                f"{length} bytes are announced, at most {MAX_CERTIFICATE_MESSAGE} are taken",
            )
        try:
            body = bytes(memoryview(algorithm.decompress(message.compressed, length)))
        except Exception as error:  # noqa: BLE001 (a library says in ways of its own that it could not)
            raise PeerMisbehaved(
                Misbehaviour.BAD_COMPRESSED_CERTIFICATE, f"{message.algorithm}: {type(error).__name__}: {error}"
            ) from None
        if len(body) != length:
            came = "more" if len(body) > length else f"{len(body)} bytes"
            raise PeerMisbehaved(Misbehaviour.BAD_COMPRESSED_CERTIFICATE, f"{length} bytes are announced, {came} came")
        certificate = parse_message(CertificateMessage, body)
        flow.show(certificate, body, trace.DECOMPRESSED)
        return certificate


class Compressor:
    """Sends Certificate messages by the algorithm that both sides have."""

    __slots__ = ("_algorithm",)

    def __init__(self, algorithm: CertificateCompression) -> None:
        self._algorithm = algorithm

    def send(self, flow: Flow, credential: Credential, raw: bytes, *, repeats: bool) -> bool:
        """Send the Certificate `raw`, header included, compressed; False where that makes it no shorter.

        What `repeats` is compressed once, and kept with its credential.
        """
        body = raw[_HEADER:]
        number = int(self._algorithm.algorithm)
        compress = self._algorithm.compress
        compressed = credential.compressed_message(number, body, compress) if repeats else compress(body)
        if not compressed:
            return False
        flow.show(CertificateMessage, body, trace.COMPRESSED)
        flow.send(
            CompressedCertificate(
                algorithm=CertificateCompressionAlgorithm(number),
                uncompressed_length=len(body),
                compressed=compressed,
            )
        )
        return True
