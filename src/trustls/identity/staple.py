"""Staples: where the OCSP response comes from that a credential shows along with its certificate (RFC 6066 8).

The response itself, a file that something else keeps fresh, or a callback. What cannot be had is logged on
`trustls.identity` and left out: a staple is help for the peer, and a handshake without one still stands.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Awaitable, Callable, Generator
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

from cryptography.x509.ocsp import OCSPResponseStatus, load_der_ocsp_response

from trustls.errors import ConfigError
from trustls.trust.certificate import Certificate
from trustls.trust.ocsp import check_own_staple, requires_staple

StapleCallback: TypeAlias = Callable[[], "bytes | Awaitable[bytes | None] | None"]
"""Gives the OCSP response to send now, or None for none; asked once in each handshake whose client wants one."""

StapleSource: TypeAlias = bytes | str | os.PathLike[str] | StapleCallback
"""A DER OCSPResponse, the path of a file that holds one, or a callback."""

logger: Final = logging.getLogger("trustls.identity")

# Far above any response that is sent in earnest, and a bound on what a wrong file costs.
_MAX_RESPONSE: Final = 1 << 18
_SECONDS_BETWEEN_LOOKS: Final = 1.0


class _Seen(NamedTuple):
    """What is known of a file. Threads read and replace it as a whole."""

    looked_at: float
    version: tuple[int, int, int]
    response: bytes
    expires: float | None
    trouble: str


class FileStaple:
    """The OCSP response in a file, read again when the file changes; looked at once a second at most.

    When the file vanishes, is empty or is no OCSP response for the certificate, the last good one stays in use, until
    it expires.

    Args:
        path: the file, with one DER OCSPResponse.
        leaf: the certificate that it is for.
        issuer: that of its CA, where it is known, to check the response's signature with.
        clock: seconds that never go back.
        now: the time, in seconds since 1970.

    Attributes:
        concerns: what peers will not like about the response that was in the file at first, in sentences.

    Raises:
        ConfigError: it holds no successful OCSP response for the certificate.
        OSError: it cannot be read.
    """

    __slots__ = ("_clock", "_issuer", "_leaf", "_now", "_path", "_seen", "concerns")

    def __init__(
        self,
        path: str | os.PathLike[str],
        leaf: Certificate,
        issuer: Certificate | None,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._path = Path(path).absolute()  # Whatever the working folder is later.
        self._leaf = leaf
        self._issuer = issuer
        self._clock = clock
        self._now = now
        version = self._version()
        try:
            response, expires = self._read()
        except ValueError as error:
            raise ConfigError(f"{self._path} holds no OCSP response to staple: {error}") from None
        self._seen = _Seen(clock(), version, response, expires, "")
        self.concerns = tuple(check_own_staple(response, leaf, issuer, now()))

    def __call__(self) -> bytes | None:
        """The response to send; None when the last good one has expired."""
        seen = self._seen
        if self._clock() - seen.looked_at >= _SECONDS_BETWEEN_LOOKS:
            seen = self._seen = self._look_again(seen)
        return seen.response if seen.expires is None or self._now() <= seen.expires else None

    def _look_again(self, seen: _Seen) -> _Seen:
        trouble, known = "", seen.trouble
        try:
            version = self._version()
            if version != seen.version:
                response, expires = self._read()
                seen = seen._replace(version=version, response=response, expires=expires)
                for concern in check_own_staple(response, self._leaf, self._issuer, self._now()):
                    logger.warning("the OCSP response in %s: %s", self._path, concern)
        except (OSError, ValueError) as error:
            trouble = f"cannot be used, the last good one stays: {error}"
        if seen.expires is not None and self._now() > seen.expires:
            # A peer refuses an old response where it might do without any.
            trouble = trouble or "has expired, and nothing is stapled until there is a new one"
        if trouble and trouble != known:  # Said once, not once a second.
            logger.warning("the OCSP response in %s %s", self._path, trouble)
        return seen._replace(looked_at=self._clock(), trouble=trouble)

    def _version(self) -> tuple[int, int, int]:
        status = self._path.stat()
        return status.st_mtime_ns, status.st_size, status.st_ino

    def _read(self) -> tuple[bytes, float | None]:
        with self._path.open("rb") as file:
            response = file.read(_MAX_RESPONSE + 1)
        return response, expiry(response, self._leaf)


def expiry(response: bytes, leaf: Certificate) -> float | None:
    """When an OCSP response for `leaf` expires, in seconds since 1970; None when it does not say.

    Raises:
        ValueError: it is not one successful DER OCSPResponse for that certificate, or larger than 256 KiB.
    """
    if not response:
        raise ValueError("it is empty")
    if len(response) > _MAX_RESPONSE:
        raise ValueError(f"it is larger than {_MAX_RESPONSE} bytes")
    try:
        parsed = load_der_ocsp_response(response)
    except ValueError:
        raise ValueError("it is no DER OCSPResponse") from None
    if parsed.response_status is not OCSPResponseStatus.SUCCESSFUL:
        raise ValueError(f"its status is {parsed.response_status.name.lower()}")
    answers = [answer for answer in parsed.responses if answer.serial_number == leaf.serial_number]
    if not answers:
        raise ValueError(f"it is not for {leaf.title}, whose serial number is {leaf.serial_number:x}")
    ends = [answer.next_update_utc for answer in answers]
    return min([end.timestamp() for end in ends if end is not None], default=None)


class CallbackStaple:
    """The OCSP response that a callback gives; one that fails is logged, and nothing is stapled then."""

    __slots__ = ("_callback",)

    def __init__(self, callback: StapleCallback) -> None:
        self._callback = callback

    def __call__(self) -> bytes | Awaitable[bytes | None] | None:
        """What the callback says, at once or awaited."""
        try:
            answer = self._callback()
        except Exception as error:  # noqa: BLE001 (whatever an application's function raises)
            _log(error)
            return None
        if isinstance(answer, Awaitable):
            return _Later(answer)
        return _checked(answer)


class _Later:
    """The answer of an asynchronous callback. Given up unawaited, it closes what it holds."""

    __slots__ = ("_answer",)

    def __init__(self, answer: Awaitable[bytes | None]) -> None:
        self._answer = answer

    def __await__(self) -> Generator[Any, Any, bytes | None]:
        try:
            answer = yield from self._answer.__await__()
        except Exception as error:  # noqa: BLE001 (as above)
            _log(error)
            return None
        return _checked(answer)

    def close(self) -> None:
        end = getattr(self._answer, "close", None) or getattr(self._answer, "cancel", None)
        if end is not None:
            end()


def _checked(answer: object) -> bytes | None:
    if answer is None or isinstance(answer, bytes):
        return answer or None
    _log(TypeError(f"it gave {type(answer).__name__}, not bytes"))
    return None


def _log(error: Exception) -> None:
    logger.warning("the callback for an OCSP response failed, nothing is stapled: %s", error, exc_info=error)


def staple_from(
    source: StapleSource | None, chain: tuple[Certificate, ...], now: float
) -> tuple[StapleCallback | None, tuple[str, ...]]:
    """What gives the response of `source` each time it is called, and what peers will not like about it, in sentences.

    Args:
        source: where the response comes from; None, or no bytes, for none.
        chain: the certificate that it is for, and then its issuers as far as they are there.
        now: the time, in seconds since 1970.

    Raises:
        ConfigError: the source is nothing of the kind, or a file without an OCSP response for the certificate.
        OSError: the file cannot be read.
    """
    leaf, issuer = chain[0], (*chain, None)[1]
    if source is None or (isinstance(source, bytes) and not source):
        demanding = next((one for one in chain if requires_staple(one)), None)
        if demanding is None:
            return None, ()
        # RFC 7633 4.2.2: what a CA's certificate demands holds for all that the CA issues.
        who = leaf.title if demanding is leaf else f"the CA of {leaf.title}, {demanding.title},"
        return None, (f"{who} demands a stapled OCSP response (must-staple), and `ocsp_response` is not given",)
    if isinstance(source, bytes):
        return lambda: source, tuple(check_own_staple(source, leaf, issuer, now))
    if isinstance(source, str | os.PathLike):
        staple = FileStaple(source, leaf, issuer)
        return staple, staple.concerns
    if not callable(source):
        raise ConfigError(
            f"`ocsp_response` takes DER bytes, the path of a file or a callback, not {type(source).__name__}"
        )
    return CallbackStaple(source), ()
