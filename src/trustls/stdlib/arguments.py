"""What callers of `ssl` give, in the forms that trustls takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trustls.trust.certificate import Certificate

if TYPE_CHECKING:
    from typing_extensions import Buffer


def ascii_host(name: str | bytes | None) -> str | None:
    """The host as ASCII: `ssl` takes bytes too, and writes international names as IDNA 2003 does."""
    if name is None or isinstance(name, bytes):
        return None if name is None else name.decode("ascii")
    if name.startswith("."):
        raise ValueError("server_hostname cannot be an empty string or start with a leading dot.")
    return name if name.isascii() else name.encode("idna").decode("ascii")


def given_certificates(cadata: str | Buffer) -> tuple[Certificate, ...]:
    """The certificates of `cadata`: PEM as text or bytes, or DER certificates one behind the other."""
    data = cadata.encode() if isinstance(cadata, str) else bytes(cadata)
    if isinstance(cadata, str) or data.lstrip().startswith(b"-----"):
        return Certificate.from_pem(data)
    found = []
    while data:
        size = _der_size(data)
        found.append(Certificate.from_der(data[:size]))
        data = data[size:]
    return tuple(found)


def _der_size(data: bytes) -> int:
    """How long the first DER value is; a length of more than four bytes, or none, stands for all that is there."""
    if len(data) < 2 or data[1] < 0x80:
        return 2 + (data[1] if len(data) > 1 else 0)
    count = data[1] & 0x7F
    return len(data) if not 1 <= count <= 4 else 2 + count + int.from_bytes(data[2 : 2 + count], "big")
