"""The algorithms for certificates that the runner has, which are none that anybody would use (RFC 8879)."""

from __future__ import annotations

import os
from typing import Final

from tests.bogo.flags import Flags
from trustls import CertificateCompression

_PREFIX: Final = b"\1\2\3\4"


class Expanding:
    """Puts four bytes in front."""

    algorithm = 0xFF02

    def compress(self, message: bytes) -> bytes:
        """See trustls.CertificateCompression."""
        return _PREFIX + message

    def decompress(self, compressed: bytes, length: int) -> bytes:
        """See trustls.CertificateCompression."""
        if not compressed.startswith(_PREFIX) or len(compressed) != len(_PREFIX) + length:
            raise ValueError("not what was expanded")
        return compressed[len(_PREFIX) :]


class Shrinking:
    """Leaves out the first two bytes, which are zeros in every Certificate message here."""

    algorithm = 0xFF01

    def compress(self, message: bytes) -> bytes:
        """See trustls.CertificateCompression."""
        assert message.startswith(b"\0\0")
        return message[2:]

    def decompress(self, compressed: bytes, length: int) -> bytes:
        """See trustls.CertificateCompression."""
        if length != len(compressed) + 2:
            raise ValueError("not what was shrunk")
        return b"\0\0" + compressed


class Random:
    """Puts a random byte in front."""

    algorithm = 0xFF03

    def compress(self, message: bytes) -> bytes:
        """See trustls.CertificateCompression."""
        return os.urandom(1) + message

    def decompress(self, compressed: bytes, length: int) -> bytes:
        """See trustls.CertificateCompression."""
        if len(compressed) != length + 1:
            raise ValueError("not what was made longer by a byte")
        return compressed[1:]


def installed(flags: Flags) -> list[CertificateCompression]:
    """The algorithms that a test wants, preferred first."""
    every: list[CertificateCompression] = [Expanding(), Shrinking(), Random()]
    if flags.install_cert_compression_algs:
        return every
    return [one for one in every if one.algorithm == flags.install_one_cert_compression_alg]
