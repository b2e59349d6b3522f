"""Which type of certificate each side presents: X.509, or a raw public key (RFC 7250 4).

Both sides begin with X.509, and a configuration without raw public keys has nothing to do with any of this.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from trustls.errors import ConfigError, Incompatibility, Misbehaviour, PeerIncompatible, PeerMisbehaved
from trustls.identity.credential import Credential
from trustls.trust.client_auth import ClientAuth
from trustls.trust.raw_keys import certificate_types
from trustls.trust.verifiers import ServerVerifier
from trustls.values import dataclass
from trustls.wire.enums import CertificateType
from trustls.wire.messages import ClientHello, EncryptedExtensions, ServerHello

if TYPE_CHECKING:
    from trustls.handshake.parameters import ServerParameters

Types = tuple[CertificateType, ...]

_X509 = CertificateType.X509
_RAW = CertificateType.RAW_PUBLIC_KEY


@dataclass(frozen=True, slots=True)
class AgreedTypes:
    """What each side presents in this handshake; `client` counts only where the client is asked at all.

    `client_answer` and `server_answer` are the server's extensions that say so; None where there is none to send.
    """

    client: CertificateType = _X509
    server: CertificateType = _X509
    client_answer: CertificateType | None = None
    server_answer: CertificateType | None = None

    @property
    def raw_client(self) -> bool:
        """Whether the client presents a raw public key, if anything."""
        return self.client == _RAW

    @property
    def raw_server(self) -> bool:
        """Whether the server presents a raw public key."""
        return self.server == _RAW


class ClientTypes:
    """A client that has to do with raw public keys.

    Attributes:
        own: the types of its credentials, preferred first.
        taken: the types that it takes from servers, preferred first.
    """

    __slots__ = ("own", "taken")

    def __init__(self, own: Types, taken: Types) -> None:
        self.own = own
        self.taken = taken

    def offer(self, hello: ClientHello) -> None:
        """Say in `hello` what is presented and taken, where that is not X.509 alone (RFC 7250 4.1)."""
        if _RAW in self.own:
            hello.client_certificate_type = self.own
        if _RAW in self.taken:
            hello.server_certificate_type = self.taken

    def agreed(self, answer: EncryptedExtensions | ServerHello) -> AgreedTypes:
        """What the server has chosen, by its answer in a full handshake.

        Raises:
            PeerMisbehaved: it chose what was not offered.
            PeerIncompatible: it presents certificates, and only raw public keys are taken.
        """
        client, server = answer.client_certificate_type, answer.server_certificate_type
        if client is not None and client not in self.own:
            raise PeerMisbehaved(Misbehaviour.CERTIFICATE_TYPE_NOT_OFFERED, f"{client} for the client")
        if server is not None and server not in self.taken:
            raise PeerMisbehaved(Misbehaviour.CERTIFICATE_TYPE_NOT_OFFERED, f"{server} for the server")
        if server is None and _X509 not in self.taken:
            raise PeerIncompatible(
                Incompatibility.NO_COMMON_CERTIFICATE_TYPE,
                "the server presents a certificate, and this client takes raw public keys alone: give the server a "
                "raw public key (RFC 7250), or trust roots as well",
            )
        return AgreedTypes(_X509 if client is None else client, _X509 if server is None else server)


class ServerTypes:
    """A server that has to do with raw public keys.

    Attributes:
        own: the types of its credentials, preferred first; empty where external keys take their place.
        taken: the types that it takes from clients, preferred first; empty where it asks for none.
    """

    __slots__ = ("own", "taken")

    def __init__(self, own: Types, taken: Types) -> None:
        self.own = own
        self.taken = taken

    def agreed(self, hello: ClientHello) -> AgreedTypes:
        """What each side presents: of what the client offers, what this server prefers (RFC 7250 4.2).

        Raises:
            PeerMisbehaved: the client offers X.509 alone, and in words.
            PeerIncompatible: there is nothing in common.
        """
        server = _chosen(hello.server_certificate_type, self.own, "this server presents", "the client takes")
        if not self.taken:
            return AgreedTypes(_X509, server, None, _answer(hello.server_certificate_type, server))
        client = _chosen(hello.client_certificate_type, self.taken, "this server takes", "the client presents")
        return AgreedTypes(
            client,
            server,
            _answer(hello.client_certificate_type, client),
            _answer(hello.server_certificate_type, server),
        )


def agreed_types(server: ServerParameters, hello: ClientHello, *, resumes: bool = False) -> AgreedTypes:
    """What each side presents in this handshake; raises as `ServerTypes.agreed`.

    In a resumed session nobody presents anything. Yet peers look for the server's answer there, so it is given where it
    can be; the client is asked for nothing, so that nothing may be said of it (RFC 7250 4.2).
    """
    types = server.certificate_types or _ORDINARY
    if not resumes:
        return types.agreed(hello)
    chosen = next((one for one in types.own if one in (hello.server_certificate_type or ())), None)
    return AgreedTypes(server_answer=chosen)


def _chosen(offered: Types | None, ours: Types, we: str, they: str) -> CertificateType:
    if offered == (_X509,):
        raise PeerMisbehaved(Misbehaviour.DEFAULT_CERTIFICATE_TYPE_ALONE, they)
    for one in ours:
        if one in (offered or (_X509,)):
            return one
    raise PeerIncompatible(
        Incompatibility.NO_COMMON_CERTIFICATE_TYPE,
        f"{they} {_named(offered or (_X509,))}, {we} {_named(ours)}",
    )


def _answer(offered: Types | None, chosen: CertificateType) -> CertificateType | None:
    return None if offered is None else chosen


def _named(types: Types) -> str:
    return ", ".join([_WORDS.get(one, str(one)) for one in types[:8]])


# -- Worked out when a configuration is made ---------------------------------------------------------------------------


def client_types(
    credentials: Iterable[Credential],
    verifier: ServerVerifier,
    *,
    post_handshake_auth: bool,
    names_authorities: bool,
) -> ClientTypes | None:
    """None for a client that presents and takes certificates alone.

    Raises:
        ConfigError: something was asked for that does not go with raw public keys.
    """
    own, taken = _types_of(credentials), certificate_types(verifier)
    if _RAW not in own and _RAW not in taken:
        return None
    if post_handshake_auth and _RAW in own:
        raise ConfigError("a raw public key is presented in the handshake only: without `post_handshake_auth`")
    if names_authorities and _X509 not in taken:
        raise ConfigError("`certificate_authorities` would have no effect: this client takes raw public keys alone")
    return ClientTypes(own, taken)


def server_types(
    credentials: Iterable[Credential],
    client_auth: ClientAuth,
    post_handshake_auth: ClientAuth | None,
) -> ServerTypes | None:
    """None for a server that presents and takes certificates alone; raises as `client_types`."""
    own = _types_of(credentials)
    taken = () if client_auth.verifier is None else certificate_types(client_auth.verifier)
    later = () if post_handshake_auth is None else certificate_types(post_handshake_auth.verifier)
    if _RAW in later or (later and _RAW in taken):
        raise ConfigError("raw public keys are taken in the handshake only: without `post_handshake_auth`")
    if _RAW not in own and _RAW not in taken:
        return None
    return ServerTypes(own, taken)


def _types_of(credentials: Iterable[Credential]) -> Types:
    return tuple(dict.fromkeys([one.certificate_type for one in credentials]))


# A server without raw public keys, which heeds what the client takes; what the client presents is left to the client.
_ORDINARY = ServerTypes((_X509,), ())
_WORDS = {_X509: "certificates", _RAW: "raw public keys"}
