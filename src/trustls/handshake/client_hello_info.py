"""What a server may choose its configuration by: the client's whole offer, before anything is answered."""

from __future__ import annotations

from dataclasses import field

from trustls.values import dataclass
from trustls.wire.enums import CipherSuite, NamedGroup, ProtocolVersion, SignatureScheme
from trustls.wire.messages import ClientHello
from trustls.wire.names import DistinguishedName

_HEADER = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientHelloInfo:
    """A ClientHello, read-only (RFC 9846 4.2.2).

    Attributes:
        server_name: the host name asked for, in lower case; None when the client sent none.
        versions: the TLS versions on offer, in the client's order.
        alpn: the application protocols on offer, in the client's order; empty when it sent none.
        cipher_suites: the cipher suites on offer.
        groups: the key exchange groups on offer.
        signature_schemes: the schemes whose handshake signatures the client verifies.
        signature_schemes_cert: the schemes that it accepts in certificates.
        certificate_authorities: the CAs that it says it trusts; empty when it does not say.
        raw: the whole message, header included, for what is not here: see `message`.
    """

    server_name: str | None
    versions: tuple[ProtocolVersion, ...]
    alpn: tuple[str, ...]
    cipher_suites: tuple[CipherSuite, ...]
    groups: tuple[NamedGroup, ...]
    signature_schemes: tuple[SignatureScheme, ...]
    signature_schemes_cert: tuple[SignatureScheme, ...]
    certificate_authorities: tuple[DistinguishedName, ...]
    raw: bytes = field(repr=False)

    @property
    def message(self) -> ClientHello:
        """The message as it was parsed, with every extension that trustls knows: a copy, made anew each time."""
        return ClientHello.parse(self.raw[_HEADER:])


def client_hello_info(hello: ClientHello, raw: bytes) -> ClientHelloInfo:
    """What `hello` offers."""
    schemes = hello.signature_algorithms or ()
    return ClientHelloInfo(
        server_name=None if hello.server_name is None else hello.server_name.lower(),
        versions=hello.supported_versions or (ProtocolVersion(min(hello.legacy_version, ProtocolVersion.TLS1_2)),),
        alpn=tuple([name.decode("latin-1") for name in hello.alpn or ()]),
        cipher_suites=hello.cipher_suites,
        groups=hello.supported_groups or (),
        signature_schemes=schemes,
        signature_schemes_cert=hello.signature_algorithms_cert or schemes,
        certificate_authorities=hello.certificate_authorities or (),
        raw=raw,
    )
