"""Trust: whom a context believes and who it is. Both are the configuration's, and loading anything else is refused."""

from __future__ import annotations

import ssl
from typing import Any, NoReturn

from trustls.config import ServerConfig
from trustls.errors import CertificateRejected
from trustls.stdlib.arguments import given_certificates
from trustls.stdlib.configured import Configured, refuse
from trustls.stdlib.errors import as_ssl_error
from trustls.stdlib.peercert import peercert
from trustls.trust.certificate import Certificate
from trustls.trust.roots import RootCertStore
from trustls.trust.verifiers import RootsClientVerifier, RootsServerVerifier


class Trust(Configured):
    """Roots, credentials and external keys: they can be told, and not be added to."""

    def load_verify_locations(self, cafile: Any = None, capath: Any = None, cadata: Any = None) -> None:
        """Nothing, when every certificate in there is a root already.

        Libraries call this with a bundle of their own (`certifi`): it would trust the whole public web beside, or in
        place of, whom the configuration names.

        Raises:
            ConfigError: there is one that is not trusted; or `capath`, which is not read.
            ssl.SSLError: there is one that is no certificate.
        """
        if cafile is None and capath is None and cadata is None:
            raise TypeError("cafile, capath and cadata cannot be all omitted")
        if capath is not None:
            refuse("capath is not read: RootCertStore.from_pem takes files")
        trusted = {one.der for one in self._roots() or ()}
        try:
            given = () if cafile is None else Certificate.from_pem(cafile)
            given += () if cadata is None else given_certificates(cadata)
        except CertificateRejected as error:
            raise as_ssl_error(error) from error
        for one in given:
            if one.der not in trusted:
                refuse(f"{one} is no root of the configuration, and whom it trusts is said there: roots=...")

    def load_default_certs(self, purpose: ssl.Purpose = ssl.Purpose.SERVER_AUTH) -> None:
        """Nothing, when the system's roots are trusted already.

        Raises:
            ConfigError: they are not.
        """
        roots = getattr(self.config, "roots", None)
        if purpose != ssl.Purpose.SERVER_AUTH or not isinstance(roots, RootCertStore) or not roots.is_system:
            refuse("the system's roots are trusted only where that is said: roots=RootCertStore.system()")

    def set_default_verify_paths(self) -> None:
        """As `load_default_certs`."""
        self.load_default_certs()

    def load_cert_chain(self, certfile: Any, keyfile: Any = None, password: Any = None) -> NoReturn:  # noqa: ARG002
        """Raises ConfigError: credentials are the configuration's."""
        refuse("credentials are given to the configuration: credentials=[Credential.from_pem(chain=..., key=...)]")

    def get_ca_certs(self, binary_form: bool = False) -> Any:
        """The roots: as DER, or as the dicts that `ssl` gives.

        Raises:
            NotImplementedError: they cannot be told: a verifier of the application's decides, or they depend on who
                the peer claims to be.
        """
        roots = self._roots()
        if roots is None:
            raise NotImplementedError("whom this configuration trusts cannot be listed")
        return [one.der if binary_form else peercert(one) for one in roots]

    def cert_store_stats(self) -> dict[str, int]:
        """How many roots there are; NotImplementedError as for `get_ca_certs`."""
        count = len(self.get_ca_certs(binary_form=True))
        return {"x509": count, "crl": 0, "x509_ca": count}

    def _roots(self) -> tuple[Certificate, ...] | None:
        config = self.config
        if isinstance(config, ServerConfig) and config.client_auth.verifier is None:
            return ()
        verifier: object = (
            config.client_auth.verifier if isinstance(config, ServerConfig) else config.parameters.verifier
        )
        if isinstance(verifier, RootsClientVerifier | RootsServerVerifier):
            return verifier.roots.certificates()
        return None

    def set_psk_client_callback(self, callback: object) -> None:
        """Only None is taken: external keys are given to the configuration."""
        if callback is not None:
            refuse("external keys are given to the configuration: external_psks=[...]")

    def set_psk_server_callback(self, callback: object, identity_hint: str | None = None) -> None:  # noqa: ARG002
        """Only None is taken: external keys are given to the configuration."""
        self.set_psk_client_callback(callback)
