"""Who we are and whom to trust, from a SPIFFE Workload API such as SPIRE's agent (extra `trustls[spiffe]`).

    with WorkloadIdentity() as identity:  # SPIFFE_ENDPOINT_SOCKET says where
        config = ServerConfig(
            credentials=[identity.credential],
            client_auth=ClientAuth.required(identity.bundles, authorize=Authorize.spiffe_trust_domain("example.org")),
        )
        ...

The agent sends a new certificate and key before the old ones expire, and new roots when they change. Connections that
are up are left alone; new ones go by what came last. While the agent is gone, or sends what cannot be used, the last
identity and roots stay, for as long as they are valid, and `error` says what is wrong.

The wire and the parsing are those of `spiffe` (py-spiffe), which uses gRPC. Its threads do not survive `fork`: make the
identity in the process that uses it, after the fork. In a child made later it says so in `error`, and is renewed no
more.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterable, Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from trustls.errors import ConfigError
from trustls.identity.credential import Credential
from trustls.reloading import Pushed, Source
from trustls.reloading.backoff import Backoff
from trustls.reloading.held import described
from trustls.trust.certificate import Certificate
from trustls.trust.roots import RootCertStore
from trustls.trust.spiffe import SpiffeBundles, SpiffeId, why_no_svid
from trustls.wire.names import DistinguishedName

try:
    from spiffe import WorkloadApiClient
except ImportError as error:
    raise ImportError(
        "trustls.spiffe needs py-spiffe, which this Python does not have. "
        "Install the extra that brings it: pip install 'trustls[spiffe]'"
    ) from error

if TYPE_CHECKING:
    from spiffe import X509Bundle, X509Svid
    from spiffe.workloadapi.x509_context import X509Context

__all__ = ["ENDPOINT_VARIABLE", "WorkloadBundles", "WorkloadIdentity"]

ENDPOINT_VARIABLE: Final = "SPIFFE_ENDPOINT_SOCKET"
"""The environment variable that names the Workload API's socket."""

_FIRST_RETRY: Final = 0.1
# Soon enough for an agent that was restarted; far below the lifetime of any SVID.
_LAST_RETRY: Final = 15.0
# How long `close` waits for the thread that it ended.
_PATIENCE: Final = 5.0


class WorkloadBundles(Mapping[str, Source[RootCertStore]]):
    """The roots of each trust domain that the Workload API named: our own, and those we are federated with.

    It can be given for `roots` as it is. Trust domains may come and go: of one that is named no more nobody is trusted,
    and its source gives an empty store until it is named again.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._sources: dict[str, Pushed[RootCertStore]] = {}
        self._known: SpiffeBundles | None = None

    def __getitem__(self, trust_domain: str) -> Source[RootCertStore]:
        return self._sources[trust_domain]

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(self._sources))

    def __len__(self) -> int:
        return len(self._sources)

    def __repr__(self) -> str:
        return f"<WorkloadBundles of {', '.join(self) or 'nothing'}>"

    @property
    def fingerprint(self) -> bytes:
        """A SHA-256 hash over the trust domains and their roots of now."""
        return self._bundles.fingerprint

    def subjects(self) -> tuple[DistinguishedName, ...]:
        """The names of all roots of now, each once."""
        return self._bundles.subjects()

    def roots_for(self, leaf: Certificate) -> RootCertStore:
        """The roots of now of the trust domain that a peer's own certificate claims to be of.

        Raises:
            CertificateRejected: as `SpiffeBundles.roots_for`.
        """
        return self._bundles.roots_for(leaf)

    @property
    def _bundles(self) -> SpiffeBundles:
        if self._known is None:
            raise ConfigError("no trust bundle has come from the Workload API")
        return self._known

    def replace(self, stores: Mapping[str, RootCertStore]) -> None:
        """Go by these bundles from now on; for `WorkloadIdentity` alone.

        Raises:
            ConfigError: a name is that of no trust domain, or nobody would be trusted any more.
        """
        trusted = {name: store for name, store in stores.items() if store}
        SpiffeBundles(trusted)  # Checked before anything is changed.
        sources = dict(self._sources)
        for name in dict.fromkeys((*trusted, *sources)):
            store = trusted.get(name, RootCertStore())
            if name in sources:
                sources[name].push(store)
            else:
                sources[name] = Pushed(store, name=f"the roots of {name} from {self._name}", key=_fingerprint)
        self._sources = sources
        self._known = SpiffeBundles({name: sources[name] for name in sorted(trusted)})


class WorkloadIdentity:
    """An identity that a SPIFFE Workload API gives to this process, and renews.

    Args:
        endpoint_socket: where the API is, such as "unix:///run/spire/agent.sock"; what SPIFFE_ENDPOINT_SOCKET says by
            default. Only Unix sockets: py-spiffe speaks over no other.
        spiffe_id: which identity to take where the API gives several; the first, which is the default one, without it.
        timeout: seconds to wait for the first identity. An agent that is not up yet, or has none for us yet, is asked
            again until then.

    Attributes:
        credential: the certificate chain and key, for `credentials` of a configuration.
        bundles: the roots of each trust domain, for `roots`, and for those of `ClientAuth`.

    Raises:
        ConfigError: it is not said where the API is, or no identity came in time; with the reason.
    """

    credential: Source[Credential]
    bundles: WorkloadBundles

    def __init__(
        self, endpoint_socket: str | None = None, *, spiffe_id: str | SpiffeId | None = None, timeout: float = 30.0
    ) -> None:
        self._endpoint = _endpoint(endpoint_socket)
        self._wanted = SpiffeId(spiffe_id) if isinstance(spiffe_id, str) else spiffe_id
        self._name = f"the Workload API at {self._endpoint}"
        self._backoff = Backoff(_FIRST_RETRY, _LAST_RETRY)
        self._came = threading.Event()
        self._closed = threading.Event()
        self._wake = threading.Event()
        self._failure: Exception | None = None
        self._credential: Pushed[Credential] | None = None
        self.bundles = WorkloadBundles(self._name)
        self._worker = threading.Thread(target=self._follow, name="trustls-spiffe", daemon=True)
        self._worker.start()
        _alive.add(self)
        try:
            self._came.wait(timeout)
            if self._credential is None:
                reason = "nothing was heard of it" if self._failure is None else described(self._failure)
                raise ConfigError(f"no identity came from {self._name} within {timeout:g} s: {reason}")
        except BaseException:
            self.close()
            raise
        self.credential = self._credential

    @property
    def spiffe_id(self) -> SpiffeId:
        """Who we are now."""
        return _id_of(self.credential.current.certificate)

    @property
    def error(self) -> Exception | None:
        """Why nothing newer came, while that is so; it is that of `credential`, too."""
        return self.credential.error

    def close(self) -> None:
        """Be renewed no more; what came last stays. May be called again."""
        self._closed.set()
        self._wake.set()
        if self._worker is not threading.current_thread():
            self._worker.join(_PATIENCE)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<WorkloadIdentity from {self._endpoint}>"

    # -- In the thread of our own --------------------------------------------------------------------------------------

    def _follow(self) -> None:
        """Have a stream, one after the other. The library's own retries say nothing of what went wrong."""
        while not self._closed.is_set():
            try:
                self._follow_once()
            except Exception as error:  # noqa: BLE001  # the library raises many kinds, the missing socket's among them
                self._fail(error)
            self._closed.wait(self._backoff.after_failure())

    def _follow_once(self) -> None:
        self._wake.clear()
        # A new client, and so a new connection, each time: gRPC waits up to two minutes to try an old one again.
        with WorkloadApiClient(self._endpoint) as client:
            stream = client.stream_x509_contexts(self._take, self._ended, retry_connect=False)
            try:
                if not self._closed.is_set():
                    self._wake.wait()
            finally:
                stream.cancel()

    # -- In the thread of the library ----------------------------------------------------------------------------------

    def _take(self, context: X509Context) -> None:
        """An update. One that cannot be used is passed over: the next one may be better."""
        if self._closed.is_set():
            return
        try:
            credential = _credential(_chosen(context.x509_svids, self._wanted))
            self.bundles.replace({one.trust_domain.name: _store(one) for one in context.x509_bundle_set.bundles})
        except Exception as error:  # noqa: BLE001  # whatever can be wrong with what another program sends
            self._fail(error)
            return
        if self._credential is None:
            self._credential = Pushed(credential, name=f"the identity from {self._name}", key=_chain_of)
        else:
            self._credential.push(credential)
        self._backoff.reset()
        self._came.set()

    def _ended(self, error: Exception) -> None:
        """The stream has ended."""
        if not self._closed.is_set():
            self._fail(_explained(error))
        self._wake.set()

    # -- In either -----------------------------------------------------------------------------------------------------

    def _fail(self, error: Exception) -> None:
        self._failure = error
        if self._credential is not None:
            self._credential.fail(error)

    def _after_fork(self) -> None:
        """In the child: the threads are the parent's, and gRPC cannot be told so."""
        self._came, self._closed, self._wake = threading.Event(), threading.Event(), threading.Event()
        self._closed.set()
        self._fail(ConfigError("this identity was made before the process was forked: make it after the fork"))


def _endpoint(given: str | None) -> str:
    endpoint = given or os.environ.get(ENDPOINT_VARIABLE)
    if not endpoint:
        raise ConfigError(f"where is the Workload API? Give `endpoint_socket`, or set {ENDPOINT_VARIABLE}")
    if not endpoint.startswith("unix:"):
        raise ConfigError(f"the Workload API at {endpoint!r} cannot be reached: only unix: sockets can, unix:///path")
    return endpoint


def _chosen(svids: Iterable[X509Svid], wanted: SpiffeId | None) -> X509Svid:
    given = []
    for svid in svids:
        if wanted is None or str(svid.spiffe_id) == str(wanted):
            return svid
        given.append(str(svid.spiffe_id))
    raise ConfigError(f"{wanted} is not among the identities given to this process: {', '.join(given) or 'none'}")


def _credential(svid: X509Svid) -> Credential:
    credential = Credential(svid.cert_chain, svid.private_key)
    _id_of(credential.certificate)
    return credential


def _id_of(certificate: Certificate) -> SpiffeId:
    found = SpiffeId.of(certificate)
    if found is None:
        raise ConfigError(f"{certificate.title} is no X509-SVID: it {why_no_svid(certificate)}")
    return found


def _store(bundle: X509Bundle) -> RootCertStore:
    roots = [Certificate.from_x509(authority) for authority in bundle.x509_authorities]
    roots.sort(key=lambda root: root.sha256)  # The library holds them as a set, which has another order each time.
    return RootCertStore(roots)


def _explained(error: Exception) -> Exception:
    if "PERMISSION_DENIED" not in str(error):
        return error
    return ConfigError("it has no identity for this process: register it (with SPIRE, `spire-server entry create`)")


def _chain_of(credential: Credential) -> list[bytes]:
    return [certificate.sha256 for certificate in credential.chain]


def _fingerprint(store: RootCertStore) -> bytes:
    return store.fingerprint


_alive: weakref.WeakSet[WorkloadIdentity] = weakref.WeakSet()


def _after_fork() -> None:
    for identity in _alive:
        identity._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
