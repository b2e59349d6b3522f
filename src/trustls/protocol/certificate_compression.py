"""The algorithms that Certificate messages are compressed with (RFC 8879 3).

What is decompressed comes from somebody who is not authenticated yet, and a few bytes may stand for gigabytes: nothing
here makes much more than the length that was announced, which is itself held to the bound of Certificate messages.
"""

from __future__ import annotations

import importlib
import zlib
from typing import Final, Protocol, runtime_checkable

from trustls.errors import ConfigError
from trustls.wire.enums import CertificateCompressionAlgorithm

# Each message is compressed once, and sent often.
_BEST: Final = 9
# Algorithm and both lengths: what a CompressedCertificate has besides.
_AROUND: Final = 8


@runtime_checkable
class CertificateCompression(Protocol):
    """An algorithm for Certificate messages, for `certificate_compression=`.

    Attributes:
        algorithm: its registered number (RFC 8879 7.3).
    """

    @property
    def algorithm(self) -> int: ...

    def compress(self, message: bytes) -> bytes | None:
        """A Certificate message, compressed; None to send it as it is. Asked once for each credential, as a rule."""

    def decompress(self, compressed: bytes, length: int) -> bytes:
        """The message, which has `length` bytes, at most 131,072. It is for this to make no more than that.

        Whatever this raises refuses the peer (bad_certificate), and so does a result of another length.
        """


class ZlibCompression:
    """zlib (RFC 1950), from the standard library."""

    __slots__ = ()

    algorithm: Final = CertificateCompressionAlgorithm.ZLIB

    def compress(self, message: bytes) -> bytes | None:
        """See CertificateCompression."""
        return _if_shorter(zlib.compress(message, _BEST), message)

    def decompress(self, compressed: bytes, length: int) -> bytes:
        """See CertificateCompression."""
        stream = zlib.decompressobj()
        message = stream.decompress(compressed, length + 1)
        if len(message) <= length and not stream.eof:
            raise ValueError("the zlib stream is cut off")
        if stream.unused_data:
            raise ValueError("bytes behind the end of the zlib stream")
        return message


class BrotliCompression:
    """Brotli (RFC 7932), from the package `brotli`, 1.2 or newer: older ones cannot be told how much to make.

    Raises:
        ConfigError: it is not installed, or an older one is.
    """

    __slots__ = ("_brotli",)

    algorithm: Final = CertificateCompressionAlgorithm.BROTLI

    def __init__(self) -> None:
        try:
            brotli = importlib.import_module("brotli")
        except ImportError:
            raise ConfigError("brotli needs the package `brotli`: pip install 'trustls[brotli]'") from None
        if not hasattr(brotli.Decompressor, "can_accept_more_data"):
            raise ConfigError("the package `brotli` that is installed is too old: it takes 1.2 or newer")
        self._brotli = brotli

    def compress(self, message: bytes) -> bytes | None:
        """See CertificateCompression."""
        return _if_shorter(self._brotli.compress(message), message)

    def decompress(self, compressed: bytes, length: int) -> bytes:
        """See CertificateCompression."""
        stream = self._brotli.Decompressor()
        # The limit is rounded up to blocks of 32 KiB and more; it may also give less than there is.
        message: bytes = stream.process(compressed, output_buffer_limit=length + 1)
        while len(message) <= length and not stream.is_finished():
            more: bytes = stream.process(b"", output_buffer_limit=length + 1 - len(message))
            if not more:
                break
            message += more
        if len(message) <= length and not stream.is_finished():
            raise ValueError("the brotli stream is cut off")
        return message


def _if_shorter(compressed: bytes, message: bytes) -> bytes | None:
    return compressed if len(compressed) + _AROUND < len(message) else None


_BY_NAME: Final[dict[str, type[ZlibCompression | BrotliCompression]]] = {
    "zlib": ZlibCompression,
    "brotli": BrotliCompression,
}


def named(name: str) -> CertificateCompression:
    """The algorithm of this name.

    Raises:
        ConfigError: there is none, or what it takes is not installed.
    """
    found = _BY_NAME.get(name)
    if found is None:
        raise ConfigError(f"no algorithm {name!r} compresses certificates here; there are: {', '.join(_BY_NAME)}")
    return found()
