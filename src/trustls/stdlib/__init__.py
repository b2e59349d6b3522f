"""A drop-in for the standard library's `ssl`: an `ssl.SSLContext` that speaks through trustls.

>>> import ssl
>>> from trustls import ClientConfig, RootCertStore
>>> context = ClientConfig(roots=RootCertStore.system()).ssl_context()
>>> isinstance(context, ssl.SSLContext)
True

Whatever takes a context (asyncio, httpx, requests, aiohttp, uvicorn, ...) takes this one. What the configuration says
holds: a setter of the context that would say otherwise raises, and none is ignored.
"""

from __future__ import annotations

from trustls.stdlib.context import SSLContext
from trustls.stdlib.errors import as_ssl_error
from trustls.stdlib.sessions import SSLSession
from trustls.stdlib.sslobject import SSLObject
from trustls.stdlib.sslsocket import SSLSocket

__all__ = ["SSLContext", "SSLObject", "SSLSession", "SSLSocket", "as_ssl_error"]
