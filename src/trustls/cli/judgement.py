"""Judgement: whether a server would accept a client, and the client the server, found out by trying it in memory.

Nothing is decided here. The handshakes are those of ClientConnection and ServerConnection with the same configuration
that would meet on the network, and what is said about a certificate is what the verifier of that configuration says.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import trustls
from trustls.cli.pki import Authority
from trustls.danger import AcceptAnyCertificate
from trustls.errors import AlertReceived, CertificateRejected, ConfigError, InternalError, TLSError
from trustls.identity.misfit import Misfit, MisfitCause
from trustls.identity.signer import schemes_of_leaf
from trustls.trust.certificate import Certificate
from trustls.trust.client_auth import ClientAuth
from trustls.trust.verifiers import OcspPolicy, Peer, RootsServerVerifier
from trustls.wire.enums import SignatureScheme

VERSIONS = ("1.3", "1.2")
"""The versions of TLS, newest first."""

_MAX_ROUNDS = 20
_NAME_OF_NOBODY = "check.invalid"  # RFC 2606 2


class KeyNotGiven(TLSError):
    """The private key is not here, so that the handshake ends where it would sign."""


class AbsentKey:
    """Stands in for the private key that was not given: it knows what that key could sign with, and signs nothing.

    Raises:
        ConfigError: no signature scheme is for a key like that of the certificate.
    """

    def __init__(self, leaf: Certificate) -> None:
        self.schemes, self.schemes_tls12 = schemes_of_leaf(leaf)
        self.public_key = leaf.public_key

    def sign(self, scheme: SignatureScheme, message: bytes) -> bytes:  # noqa: ARG002 (nothing is signed)
        """Raises KeyNotGiven."""
        raise KeyNotGiven(f"the private key was not given, so that nothing is signed with {scheme}")


@dataclass(frozen=True, slots=True, eq=False)
class Held:
    """A certificate that one side holds.

    Attributes:
        name: what to call it on the screen.
        source: the file that it comes from.
        chain: the certificates as they are sent, the leaf first.
        credential: what can be presented; None when it cannot be used at all.
        has_key: whether the private key was given.
        unusable: why it cannot be used.
    """

    name: str
    source: str
    chain: tuple[Certificate, ...]
    credential: trustls.Credential | None = None
    has_key: bool = False
    unusable: str = ""

    @property
    def leaf(self) -> Certificate:
        """Its own certificate."""
        return self.chain[0]


@dataclass(frozen=True, slots=True)
class Opinion:
    """What a verifier says about a certificate, whether or not it would ever be sent.

    Attributes:
        peer: whom it takes the holder for; None when it does not believe it.
        rejection: why not.
    """

    peer: Peer | None = None
    rejection: CertificateRejected | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """Whether one of the client's certificates is what the server asked for.

    Attributes:
        held: the certificate.
        misfit: why it is not; None when it is.
    """

    held: Held
    misfit: Misfit | None = None

    @property
    def reason(self) -> str:
        """Why it is not, or cannot be used at all, as a part of a sentence; empty when it is."""
        return self.held.unusable or (str(self.misfit) if self.misfit is not None else "")


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one handshake ended.

    Attributes:
        version: of TLS.
        accepted: whether the side that judges accepted the other.
        whole: whether the handshake was made to its end; without the private key it ends where that would sign, and
            the verifier is asked instead.
        peer: whom the judging side takes the other for; None when it refused it, or let in a client without a
            certificate.
        refusal: what the side that failed said.
        seen: what the other side then saw: the alert; None when it saw none.
        requested: what the server asked the client for.
        choices: what the client thought of each of its certificates.
        sent: the certificate that it sent.
    """

    version: str
    accepted: bool
    whole: bool = True
    peer: Peer | None = None
    refusal: TLSError | None = None
    seen: TLSError | None = None
    requested: trustls.CredentialRequest | None = None
    choices: tuple[Choice, ...] = ()
    sent: Held | None = None


@dataclass(frozen=True, slots=True)
class ClientJudge:
    """A server with this `client_auth`, judging clients at the time `now`.

    `server` is the server's own credential; without one it gets one made for the occasion, which changes nothing about
    clients.
    """

    client_auth: ClientAuth
    now: float
    server: trustls.Credential | None = None
    _opinions: dict[tuple[Certificate, ...], Opinion] = field(default_factory=dict, repr=False, compare=False)

    def opinion(self, held: Held) -> Opinion:
        """What the server's verifier says about a certificate as it would be sent."""
        known = self._opinions.get(held.chain)
        if known is None:
            verifier = self.client_auth.verifier
            if verifier is None:
                raise ConfigError("a ClientJudge is a server that asks for certificates")
            try:
                known = Opinion(_vouched_for(verifier.verify_client(held.chain, now=self.now)))
            except CertificateRejected as rejection:
                known = Opinion(rejection=rejection)
            self._opinions[held.chain] = known
        return known

    def outcome(self, held: Sequence[Held], version: str) -> Outcome:
        """How a client that holds these certificates fares."""
        by_credential = {one.credential: one for one in held if one.credential is not None}
        client, server = _joined(
            trustls.ClientConfig(
                verifier=AcceptAnyCertificate(),
                credentials=by_credential,
                versions=[version],
                sessions=None,
                now=lambda: self.now,
            ),
            trustls.ServerConfig(
                credentials=[self.server or _credential_of_nobody()],
                client_auth=self.client_auth,
                versions=[version],
                resumption=None,
                now=lambda: self.now,
            ),
            _NAME_OF_NOBODY,
        )
        refusal, seen = _refusal(server, client)
        outcome = Outcome(
            version,
            accepted=refusal is None,
            peer=server.peer,
            refusal=refusal,
            seen=seen,
            requested=client.requested,
            choices=tuple(_choice(one, client.requested) for one in held),
            sent=by_credential.get(client.presented) if client.presented is not None else None,
        )
        if outcome.sent is None or not isinstance(refusal, KeyNotGiven):
            return outcome
        opinion = self.opinion(outcome.sent)
        believed = opinion.peer is not None
        return replace(outcome, accepted=believed, whole=False, peer=opinion.peer, refusal=opinion.rejection, seen=None)


@dataclass(frozen=True, slots=True)
class ServerJudge:
    """A client with these roots, judging a server that it knows by this name at the time `now`.

    Raises:
        ConfigError: there are no roots.
    """

    roots: trustls.RootCertStore
    server_name: trustls.ServerName
    now: float
    verifier: RootsServerVerifier = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "verifier", RootsServerVerifier(self.roots, ocsp=OcspPolicy.STAPLED))

    def outcome(self, server: Held, version: str) -> Outcome:
        """How the server fares."""
        if server.credential is None:
            return Outcome(version, accepted=False, whole=False)
        if not server.has_key:
            return self._opinion(server, server.credential, version)
        client, other = _joined(
            trustls.ClientConfig(verifier=self.verifier, versions=[version], sessions=None, now=lambda: self.now),
            trustls.ServerConfig(
                credentials=[server.credential], versions=[version], resumption=None, now=lambda: self.now
            ),
            str(self.server_name),
        )
        refusal, seen = _refusal(client, other)
        return Outcome(version, accepted=refusal is None, peer=client.peer, refusal=refusal, seen=seen, sent=server)

    def _opinion(self, server: Held, credential: trustls.Credential, version: str) -> Outcome:
        staple = credential.staple()
        response = staple if isinstance(staple, bytes) else b""
        try:
            answer = self.verifier.verify_server(server.chain, self.server_name, now=self.now, ocsp_response=response)
            return Outcome(version, accepted=True, whole=False, peer=_vouched_for(answer))
        except CertificateRejected as rejection:
            return Outcome(version, accepted=False, whole=False, refusal=rejection)


def remedies(judge: ClientJudge, outcome: Outcome) -> Iterator[str]:
    """What would mend the refusal of a client; nothing when it was accepted."""
    refusal = outcome.refusal
    if outcome.accepted:
        return
    if outcome.sent is not None or outcome.requested is None:
        if refusal is not None and refusal.remedy:
            yield refusal.remedy
        return
    for choice in outcome.choices:
        name, misfit = choice.held.name, choice.misfit
        rejection = judge.opinion(choice.held).rejection
        if rejection is not None:
            yield f"{name}: {rejection.remedy or rejection.detail}"
        elif misfit is None:
            yield f"{name}: mend this first: {choice.reason}"
        elif misfit.cause is MisfitCause.ISSUER:
            yield (
                f"{name}: the server would accept it, but does not ask for it: let the server name a CA of its chain "
                "(hints=, --hint), or let the client send it all the same (Credential(..., fallback=True))"
            )
        else:
            yield f"{name}: use a certificate for a key of another kind, such as ECDSA on P-256"


def _vouched_for(answer: object) -> Peer:
    if not isinstance(answer, Peer):
        raise InternalError("the verifier of roots answers at once, with a Peer")
    return answer


def _choice(held: Held, requested: trustls.CredentialRequest | None) -> Choice:
    if held.credential is None or requested is None:
        return Choice(held)
    return Choice(held, held.credential.misfit(requested))


def _joined(
    client_config: trustls.ClientConfig, server_config: trustls.ServerConfig, server_name: str
) -> tuple[trustls.ClientConnection, trustls.ServerConnection]:
    """A client and a server after they said to each other all that they have to say."""
    client = trustls.ClientConnection(client_config, server_name=server_name)
    server = trustls.ServerConnection(server_config)
    for _ in range(_MAX_ROUNDS):
        forth = client.data_to_send()
        _deliver(server, forth)
        back = server.data_to_send()
        _deliver(client, back)
        if not forth and not back:
            break
    return client, server


def _deliver(connection: trustls.Connection, data: bytes) -> None:
    if data and connection.failure is None:
        try:
            connection.receive(data)
        except TLSError:
            return  # It stands in `failure`.


def _refusal(judging: trustls.Connection, judged: trustls.Connection) -> tuple[TLSError | None, TLSError | None]:
    """What ended the handshake, and what the other side saw of it."""
    for one, other in ((judging, judged), (judged, judging)):
        if one.failure is not None and not isinstance(one.failure, AlertReceived):
            return one.failure, other.failure
    if judging.handshaking or judged.handshaking:
        return InternalError("the handshake came to no end"), None
    return judging.failure or judged.failure, None


@functools.cache
def _credential_of_nobody() -> trustls.Credential:
    issued = Authority.create("trustls check").issue_server(_NAME_OF_NOBODY)
    return trustls.Credential(issued.chain, issued.key)
