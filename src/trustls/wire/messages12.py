"""The handshake messages of TLS 1.2 that differ from TLS 1.3's (RFC 5246 7.4, RFC 8422, RFC 5077).

ClientHello, ServerHello, CertificateVerify and Finished are the same structures in both and stand in `wire.messages`.
"""

from __future__ import annotations

from typing import ClassVar, Self

from trustls.errors import DecodeError, Misbehaviour
from trustls.values import dataclass
from trustls.wire.codec import Reader, vector8, vector16, vector24
from trustls.wire.enums import ClientCertificateType, HandshakeType, NamedGroup, SignatureScheme
from trustls.wire.extensions import OCSP_RESPONSE, encode_authorities, read_authorities
from trustls.wire.messages import REPEATED
from trustls.wire.names import DistinguishedName

_NAMED_CURVE = 3


class _Empty:
    """A message without content."""

    __slots__ = ()

    @classmethod
    def parse(cls, body: bytes) -> Self:
        if body:
            Reader(body, cls.__name__).finish()
        return cls()

    def encode(self) -> bytes:
        return b""


@dataclass(slots=True)
class HelloRequest(_Empty):
    """RFC 5246 7.4.1.1: the server asks for a renegotiation, which trustls never does."""

    TYPE: ClassVar[HandshakeType] = HandshakeType.HELLO_REQUEST


@dataclass(slots=True)
class ServerHelloDone(_Empty):
    """RFC 5246 7.4.5."""

    TYPE: ClassVar[HandshakeType] = HandshakeType.SERVER_HELLO_DONE


@dataclass(slots=True, kw_only=True)
class CertificateMessage12:
    """RFC 5246 7.4.2: the chain as DER, leaf first."""

    TYPE: ClassVar[HandshakeType] = HandshakeType.CERTIFICATE

    certificates: tuple[bytes, ...] = ()

    @classmethod
    def parse(cls, body: bytes) -> Self:
        reader = Reader(body, "Certificate")
        inner = Reader(reader.vector24(), "Certificate")
        reader.finish()
        certificates = []
        while inner:
            certificates.append(inner.vector24(low=1))
        return cls(certificates=tuple(certificates))

    def encode(self) -> bytes:
        return vector24(b"".join(map(vector24, self.certificates)))


@dataclass(slots=True, kw_only=True)
class RawKeyMessage12:
    """RFC 7250 3: a Certificate that holds a SubjectPublicKeyInfo (DER) in the place of the list; empty for none."""

    TYPE: ClassVar[HandshakeType] = HandshakeType.CERTIFICATE

    spki: bytes = b""

    @classmethod
    def parse(cls, body: bytes) -> Self:
        reader = Reader(body, "Certificate")
        spki = reader.vector24()
        reader.finish()
        return cls(spki=spki)

    def encode(self) -> bytes:
        return vector24(self.spki)


@dataclass(slots=True, kw_only=True)
class CertificateStatus:
    """RFC 6066 8: the stapled OCSPResponse, as DER."""

    TYPE: ClassVar[HandshakeType] = HandshakeType.CERTIFICATE_STATUS

    response: bytes

    @classmethod
    def parse(cls, body: bytes) -> Self:
        return cls(response=OCSP_RESPONSE.decode(body))

    def encode(self) -> bytes:
        return OCSP_RESPONSE.encode(self.response)


@dataclass(slots=True, kw_only=True)
class ServerKeyExchange:
    """RFC 8422 5.4: an ephemeral public value of a named group, signed."""

    TYPE: ClassVar[HandshakeType] = HandshakeType.SERVER_KEY_EXCHANGE

    group: NamedGroup
    public: bytes
    scheme: SignatureScheme
    signature: bytes

    @classmethod
    def parse(cls, body: bytes) -> Self:
        reader = Reader(body, "ServerKeyExchange")
        if reader.u8() != _NAMED_CURVE:
            raise DecodeError(Misbehaviour.MALFORMED, "ServerKeyExchange: a curve that is not named")
        group = reader.u16()
        public = reader.vector8(low=1)
        scheme = reader.u16()
        signature = reader.vector16()
        reader.finish()
        return cls(
            group=NamedGroup.by_value.get(group) or NamedGroup(group),
            public=public,
            scheme=SignatureScheme.by_value.get(scheme) or SignatureScheme(scheme),
            signature=signature,
        )

    def encode(self) -> bytes:
        start = ecdh_parameters(self.group, self.public)
        return start + self.scheme.to_bytes(2, "big") + vector16(self.signature)

    def parameters(self) -> bytes:
        """ServerECDHParams, the part that is signed."""
        return ecdh_parameters(self.group, self.public)


def ecdh_parameters(group: NamedGroup, public: bytes) -> bytes:
    """ServerECDHParams of a named group."""
    return b"%c%b%c%b" % (_NAMED_CURVE, group.to_bytes(2, "big"), len(public), public)


@dataclass(slots=True, kw_only=True)
class CertificateRequest12:
    """RFC 5246 7.4.4. `certificate_authorities` may be empty; then any issuer will do."""

    TYPE: ClassVar[HandshakeType] = HandshakeType.CERTIFICATE_REQUEST

    certificate_types: tuple[ClientCertificateType, ...]
    signature_algorithms: tuple[SignatureScheme, ...]
    certificate_authorities: tuple[DistinguishedName, ...] = ()

    @classmethod
    def parse(cls, body: bytes) -> Self:
        reader = Reader(body, "CertificateRequest")
        types = reader.vector8(low=1)
        schemes = reader.vector16(low=2)
        authorities = read_authorities(reader, low=0)
        reader.finish()
        if len(schemes) % 2:
            raise DecodeError(Misbehaviour.BAD_LENGTH, "CertificateRequest: half a signature algorithm")
        pairs = zip(schemes[::2], schemes[1::2], strict=True)
        return cls(
            certificate_types=tuple([ClientCertificateType(kind) for kind in types]),
            signature_algorithms=tuple([SignatureScheme(high << 8 | low) for high, low in pairs]),
            certificate_authorities=authorities,
        )

    def encode(self) -> bytes:
        schemes = b"".join([scheme.to_bytes(2, "big") for scheme in self.signature_algorithms])
        return (
            vector8(bytes(self.certificate_types))
            + vector16(schemes)
            + encode_authorities(self.certificate_authorities)
        )


@dataclass(slots=True, kw_only=True)
class ClientKeyExchange:
    """RFC 8422 5.7: the client's ephemeral public value."""

    TYPE: ClassVar[HandshakeType] = HandshakeType.CLIENT_KEY_EXCHANGE

    public: bytes

    @classmethod
    def parse(cls, body: bytes) -> Self:
        reader = Reader(body, "ClientKeyExchange")
        public = reader.vector8(low=1)
        reader.finish()
        return cls(public=public)

    def encode(self) -> bytes:
        return vector8(self.public)


@dataclass(slots=True, kw_only=True)
class NewSessionTicket12:
    """RFC 5077 3.3. The lifetime hint is in seconds; an empty ticket takes back the promise of one."""

    TYPE: ClassVar[HandshakeType] = HandshakeType.NEW_SESSION_TICKET

    lifetime: int
    ticket: bytes

    @classmethod
    def parse(cls, body: bytes) -> Self:
        reader = Reader(body, "NewSessionTicket")
        lifetime = reader.u32()
        ticket = reader.vector16()
        reader.finish()
        return cls(lifetime=lifetime, ticket=ticket)

    def encode(self) -> bytes:
        return self.lifetime.to_bytes(4, "big") + vector16(self.ticket)


REPEATED.update((CertificateMessage12, CertificateRequest12))
