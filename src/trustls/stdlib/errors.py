"""trustls's errors as the errors of `ssl`: each is both, so that whoever knows either catches it.

`errno`, `library` and `reason` are what OpenSSL would have given, because programs compare them; the text is ours.
"""

from __future__ import annotations

import functools
import ssl
from typing import Any, Final, cast

from trustls.errors import (
    AlertReceived,
    CertificateProblem,
    CertificateRejected,
    ConnectionClosed,
    Incompatibility,
    Misbehaviour,
    TLSError,
    UnexpectedEOF,
)

# OpenSSL's names for alerts that were received.
_ALERTS: Final = {
    10: "SSLV3_ALERT_UNEXPECTED_MESSAGE",
    20: "SSLV3_ALERT_BAD_RECORD_MAC",
    22: "TLSV1_ALERT_RECORD_OVERFLOW",
    40: "SSLV3_ALERT_HANDSHAKE_FAILURE",
    42: "SSLV3_ALERT_BAD_CERTIFICATE",
    43: "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE",
    44: "SSLV3_ALERT_CERTIFICATE_REVOKED",
    45: "SSLV3_ALERT_CERTIFICATE_EXPIRED",
    46: "SSLV3_ALERT_CERTIFICATE_UNKNOWN",
    47: "SSLV3_ALERT_ILLEGAL_PARAMETER",
    48: "TLSV1_ALERT_UNKNOWN_CA",
    49: "TLSV1_ALERT_ACCESS_DENIED",
    50: "TLSV1_ALERT_DECODE_ERROR",
    51: "TLSV1_ALERT_DECRYPT_ERROR",
    70: "TLSV1_ALERT_PROTOCOL_VERSION",
    71: "TLSV1_ALERT_INSUFFICIENT_SECURITY",
    80: "TLSV1_ALERT_INTERNAL_ERROR",
    86: "TLSV1_ALERT_INAPPROPRIATE_FALLBACK",
    90: "TLSV1_ALERT_USER_CANCELLED",
    100: "TLSV1_ALERT_NO_RENEGOTIATION",
    109: "TLSV13_ALERT_MISSING_EXTENSION",
    110: "TLSV1_UNSUPPORTED_EXTENSION",
    112: "TLSV1_UNRECOGNIZED_NAME",
    113: "TLSV1_BAD_CERTIFICATE_STATUS_RESPONSE",
    115: "TLSV1_ALERT_UNKNOWN_PSK_IDENTITY",
    116: "TLSV13_ALERT_CERTIFICATE_REQUIRED",
    120: "TLSV1_ALERT_NO_APPLICATION_PROTOCOL",
}

# OpenSSL's names for what this side found; for all else ours do as well.
_REASONS: Final[dict[object, str]] = {
    Misbehaviour.NOT_TLS: "WRONG_VERSION_NUMBER",
    Misbehaviour.BAD_RECORD_VERSION: "WRONG_VERSION_NUMBER",
    Misbehaviour.BAD_RECORD_MAC: "DECRYPTION_FAILED_OR_BAD_RECORD_MAC",
    Misbehaviour.BAD_SIGNATURE: "BAD_SIGNATURE",
    Misbehaviour.BAD_FINISHED: "DIGEST_CHECK_FAILED",
    Incompatibility.NO_COMMON_VERSION: "UNSUPPORTED_PROTOCOL",
    Incompatibility.NO_COMMON_SUITE: "NO_SHARED_CIPHER",
    Incompatibility.NO_COMMON_GROUP: "NO_SHARED_GROUP",
    Incompatibility.NO_COMMON_SCHEME: "NO_SUITABLE_SIGNATURE_ALGORITHM",
    Incompatibility.NO_COMMON_ALPN: "NO_APPLICATION_PROTOCOL",
    CertificateProblem.NONE_PRESENTED: "PEER_DID_NOT_RETURN_A_CERTIFICATE",
}

# X509_V_ERR_* of OpenSSL, for `verify_code`.
_UNSPECIFIED: Final = 1
_VERIFY_CODES: Final = {
    CertificateProblem.UNKNOWN_ISSUER: 20,
    CertificateProblem.EXPIRED: 10,
    CertificateProblem.NOT_YET_VALID: 9,
    CertificateProblem.REVOKED: 23,
    CertificateProblem.REVOCATION_UNKNOWN: 3,
    CertificateProblem.CRL_EXPIRED: 12,
    CertificateProblem.BAD_SIGNATURE: 7,
    CertificateProblem.WEAK_KEY: 66,
    CertificateProblem.NAME_MISMATCH: 62,
    CertificateProblem.NOT_A_CA: 79,
    CertificateProblem.PATH_TOO_LONG: 25,
    CertificateProblem.NAME_NOT_PERMITTED: 47,
    CertificateProblem.WRONG_KEY_USAGE: 26,
    CertificateProblem.WRONG_PURPOSE: 26,
    CertificateProblem.UNKNOWN_CRITICAL_EXTENSION: 34,
    CertificateProblem.CHAIN_TOO_LONG: 22,
    CertificateProblem.REFUSED: 28,
}


def as_ssl_error(error: TLSError) -> ssl.SSLError:
    """The same failure as an error of `ssl`, which is still an instance of the class that `error` has.

    Its `tls_error` is `error` itself. A certificate that this side refused is a SSLCertVerificationError with
    `verify_code` and `verify_message`; an end without close_notify a SSLEOFError; a call after this side's `unwrap` a
    SSLZeroReturnError; anything else a SSLError.
    """
    return error if isinstance(error, ssl.SSLError) else _made(error, _reason(error))


def _made(error: TLSError, reason: str) -> ssl.SSLError:
    kind, number = _kind(error)
    both = _both(cast("Any", type(error)), cast("Any", kind))
    made = OSError.__new__(both)  # Whatever stands before it: EOFError's gives objects too small.
    ssl.SSLError.__init__(made, int(number), f"[SSL: {reason}] {error}")
    vars(made).update(vars(error))
    made.tls_error = error
    made.library = "SSL"
    # A CertificateRejected has a `reason` of its own, a member of an enum whose name is this.
    made.reason = made._name = reason
    if isinstance(made, ssl.SSLCertVerificationError) and isinstance(error, CertificateRejected):
        made.verify_code = _VERIFY_CODES.get(error.reason, _UNSPECIFIED)
        made.verify_message = str(error)
    made.__cause__ = error
    return cast("ssl.SSLError", made)


def want_read() -> ssl.SSLWantReadError:
    """The operation goes on once bytes have come."""
    return ssl.SSLWantReadError(int(ssl.SSL_ERROR_WANT_READ), "The operation did not complete (read)")


def want_write() -> ssl.SSLWantWriteError:
    """The operation goes on once bytes can go out."""
    return ssl.SSLWantWriteError(int(ssl.SSL_ERROR_WANT_WRITE), "The operation did not complete (write)")


def data_after_close() -> ssl.SSLError:
    """`unwrap` came upon data: the peer goes on sending, and nobody reads."""
    return _wrong_call("APPLICATION_DATA_AFTER_CLOSE_NOTIFY", "there is data that was not read: read it, then unwrap")


def bad_write_retry() -> ssl.SSLError:
    """A `send` was not finished, and its data is sealed already: now it is called with other data."""
    return _wrong_call("BAD_WRITE_RETRY", "the last send was not finished: it is called again with the same data")


def _wrong_call(reason: str, text: str) -> ssl.SSLError:
    return _made(TLSError(text), reason)


def _kind(error: TLSError) -> tuple[type[ssl.SSLError], int]:
    if isinstance(error, UnexpectedEOF):
        return ssl.SSLEOFError, ssl.SSL_ERROR_EOF
    if isinstance(error, ConnectionClosed):
        return ssl.SSLZeroReturnError, ssl.SSL_ERROR_ZERO_RETURN
    # What the peer thinks of this side's certificate comes as an alert, and is no verification of ours.
    if isinstance(error, CertificateRejected) and not isinstance(error, AlertReceived):
        return ssl.SSLCertVerificationError, ssl.SSL_ERROR_SSL
    return ssl.SSLError, ssl.SSL_ERROR_SSL


def _reason(error: TLSError) -> str:
    if isinstance(error, UnexpectedEOF):
        return "UNEXPECTED_EOF_WHILE_READING"
    if isinstance(error, ConnectionClosed):
        return "PROTOCOL_IS_SHUTDOWN"
    if isinstance(error, AlertReceived):
        return _ALERTS.get(error.code, f"ALERT_{error.code}")
    reason = getattr(error, "reason", None)
    if reason in _REASONS:
        return _REASONS[reason]
    if isinstance(error, CertificateRejected):
        return "CERTIFICATE_VERIFY_FAILED"
    name = getattr(reason, "name", None)
    return name if isinstance(name, str) else type(error).__name__.upper()


@functools.cache
def _both(ours: Any, theirs: Any) -> Any:
    """A class that is both; there are as many as there are classes of ours."""

    def text(self: Any) -> str:
        return str(self.strerror)

    def reduced(self: Any) -> tuple[Any, ...]:
        return _made, (self.tls_error, self._name)

    # OSError reads its arguments in __new__ unless the class has an __init__ of its own.
    def made(self: Any, *_: object) -> None:
        """Nothing: see as_ssl_error."""

    namespace = {
        "__module__": __name__,
        "__doc__": f"{ours.__name__}, which is a {theirs.__name__} too.",
        "__str__": text,
        "__reduce__": reduced,
        "__init__": made,
    }
    return type(ours.__name__, (ours, theirs), namespace)
