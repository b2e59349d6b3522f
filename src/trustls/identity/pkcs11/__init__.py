"""Keys that stay in their HSM, smart card or TPM: a signer over PKCS#11 (OASIS PKCS#11 3.0; extra `trustls[pkcs11]`).

    with Pkcs11Signer("/usr/lib/softhsm/libsofthsm2.so", token="web", label="server", pin=read_pin) as signer:
        own = Credential(chain=signer.certificates(), signer=signer)
        config = ServerConfig(credentials=[own])

    signer = Pkcs11Signer.from_uri("pkcs11:token=web;object=server?module-path=/usr/lib/libx.so&pin-source=/run/pin")

The library underneath is python-pkcs11: of those that are kept up, it is the one with types and a permissive licence
(MIT; PyKCS11 is under the GPL), and it has wheels for Linux, macOS and Windows.

Threads. python-pkcs11 initialises a module for an application that calls it from one thread at a time (C_Initialize
without arguments), so each module has one lock in the process: signatures for many threads are made one after the
other, and nothing else of their handshakes waits for that. `sign` blocks for as long as the device takes, and nothing
can end a call into a module that hangs: on an event loop, wrap the signer in `trustls.aio.SignerInThread`. What else
in the process calls the same module must not do so meanwhile.

Lost sessions. When the device has forgotten a session, a login or a key (a card was drawn and put back, an HSM
restarted, somebody closed all sessions), a new session is opened, and the signature is tried once more. A PIN that a
token has refused is never given to it again by this process: tokens lock themselves after a few wrong ones.

Forks. A child initialises the module for itself, as the standard demands, and opens its own session with its first
signature. A module that does not notice forks cannot be used in the child then, which is told so: with such a one, make
the signer in each worker process.
"""

from __future__ import annotations

try:
    import pkcs11 as _  # noqa: F401 (only to say what is missing)
except ImportError as error:
    raise ImportError(
        "trustls.identity.pkcs11 needs python-pkcs11, which this Python does not have. "
        "Install the extra that brings it: pip install 'trustls[pkcs11]'"
    ) from error

from trustls.identity.pkcs11.modules import PIN
from trustls.identity.pkcs11.signer import Pkcs11Signer

__all__ = ["PIN", "Pkcs11Signer"]
