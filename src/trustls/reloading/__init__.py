"""Values that follow their source while everything runs on: certificates, keys, roots and CRLs, when they are renewed.

A configuration holds a `Source` and reads its `current` at each handshake. Connections that are up are left alone; new
ones, and resumptions, go by the new value. Nothing here knows what a certificate is.

    own = Reloading.from_files(lambda: Credential.from_pem("tls.crt", "tls.key"), "tls.crt", "tls.key")
    signal.signal(signal.SIGHUP, lambda *_: own.reload())

A source that fails later keeps the value that it had, and says so: `error`, a warning on the logger
`trustls.reloading`, `on_error`. A source that fails at first raises: no value, no configuration.
"""

from trustls.reloading.held import Options, Pushed, Source
from trustls.reloading.loading import Reloading

__all__ = ["Options", "Pushed", "Reloading", "Source"]
