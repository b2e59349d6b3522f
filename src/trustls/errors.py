"""The exception tree, and the alert that each failure sends.

Every failure has a name, an alert (RFC 9846 6.2) and a sentence, and the three stand together on one line of the tables
below: `Misbehaviour` and `Incompatibility` for what a peer did, `CertificateProblem` for what is wrong with a
certificate. The code that finds a failure raises it with the particulars; the connection alone turns it into an alert.
"""

from __future__ import annotations

import enum
from typing import Any


class AlertDescription(enum.IntEnum):
    """AlertDescription, RFC 9846 6 (and the older values that a TLS 1.2 peer may send)."""

    CLOSE_NOTIFY = 0
    UNEXPECTED_MESSAGE = 10
    BAD_RECORD_MAC = 20
    DECRYPTION_FAILED_RESERVED = 21
    RECORD_OVERFLOW = 22
    DECOMPRESSION_FAILURE_RESERVED = 30
    HANDSHAKE_FAILURE = 40
    NO_CERTIFICATE_RESERVED = 41
    BAD_CERTIFICATE = 42
    UNSUPPORTED_CERTIFICATE = 43
    CERTIFICATE_REVOKED = 44
    CERTIFICATE_EXPIRED = 45
    CERTIFICATE_UNKNOWN = 46
    ILLEGAL_PARAMETER = 47
    UNKNOWN_CA = 48
    ACCESS_DENIED = 49
    DECODE_ERROR = 50
    DECRYPT_ERROR = 51
    EXPORT_RESTRICTION_RESERVED = 60
    PROTOCOL_VERSION = 70
    INSUFFICIENT_SECURITY = 71
    INTERNAL_ERROR = 80
    INAPPROPRIATE_FALLBACK = 86
    USER_CANCELED = 90
    NO_RENEGOTIATION_RESERVED = 100
    MISSING_EXTENSION = 109
    UNSUPPORTED_EXTENSION = 110
    CERTIFICATE_UNOBTAINABLE_RESERVED = 111
    UNRECOGNIZED_NAME = 112
    BAD_CERTIFICATE_STATUS_RESPONSE = 113
    BAD_CERTIFICATE_HASH_VALUE_RESERVED = 114
    UNKNOWN_PSK_IDENTITY = 115
    CERTIFICATE_REQUIRED = 116
    GENERAL_ERROR = 117
    NO_APPLICATION_PROTOCOL = 120
    ECH_REQUIRED = 121


class _Reason(enum.Enum):
    """A named failure: the alert it sends, the sentence it starts with, and what mends it, where that is always one."""

    def __init__(self, alert: AlertDescription, sentence: str, remedy: str = "") -> None:
        self.alert = alert
        self.sentence = sentence
        self.remedy = remedy


_Alert = AlertDescription


class Misbehaviour(_Reason):
    """What a peer did that the protocol forbids."""

    # Bytes that are no message. RFC 9846 6.2: a message that cannot be parsed is a decode_error.
    TRUNCATED = (_Alert.DECODE_ERROR, "a field runs past the end of its message")
    TRAILING_BYTES = (_Alert.DECODE_ERROR, "bytes follow the end of a structure")
    BAD_LENGTH = (_Alert.DECODE_ERROR, "a vector's length is outside its bounds")
    MALFORMED = (_Alert.DECODE_ERROR, "a field holds what it cannot hold")
    DUPLICATE_EXTENSION = (_Alert.ILLEGAL_PARAMETER, "an extension appears twice")
    MESSAGE_TOO_LARGE = (_Alert.DECODE_ERROR, "a handshake message is larger than its limit")

    # Records.
    RECORD_OVERFLOW = (_Alert.RECORD_OVERFLOW, "a record is larger than it may be")
    BAD_RECORD_MAC = (_Alert.BAD_RECORD_MAC, "a record could not be decrypted")
    BAD_RECORD_VERSION = (_Alert.PROTOCOL_VERSION, "a record header carries no TLS version")
    UNKNOWN_CONTENT_TYPE = (_Alert.UNEXPECTED_MESSAGE, "a record has an unknown content type")
    UNEXPECTED_RECORD = (_Alert.UNEXPECTED_MESSAGE, "a record of this type is not allowed now")
    EMPTY_FRAGMENT = (_Alert.UNEXPECTED_MESSAGE, "an empty handshake or alert record")
    TOO_MANY_EMPTY_RECORDS = (_Alert.UNEXPECTED_MESSAGE, "too many empty records in a row")
    INTERLEAVED_RECORD = (_Alert.UNEXPECTED_MESSAGE, "another record stands in the middle of a handshake message")
    EXCESS_HANDSHAKE_DATA = (
        _Alert.UNEXPECTED_MESSAGE,
        "handshake data behind the end of a flight",
    )
    KEY_CHANGE_INSIDE_RECORD = (_Alert.UNEXPECTED_MESSAGE, "a handshake message runs over a change of keys")
    BAD_CHANGE_CIPHER_SPEC = (_Alert.UNEXPECTED_MESSAGE, "a change_cipher_spec where none may be")
    BAD_ALERT = (_Alert.DECODE_ERROR, "an alert that cannot be read")
    UNKNOWN_ALERT_LEVEL = (_Alert.ILLEGAL_PARAMETER, "an alert that is neither a warning nor fatal")
    NO_INNER_CONTENT_TYPE = (_Alert.UNEXPECTED_MESSAGE, "a record holds padding only, no content type")
    TOO_MANY_WARNINGS = (_Alert.UNEXPECTED_MESSAGE, "too many warning alerts")
    TOO_MANY_POST_HANDSHAKE_MESSAGES = (_Alert.UNEXPECTED_MESSAGE, "too many messages after the handshake without data")
    TOO_MUCH_DATA_BEFORE_ANSWER = (
        _Alert.UNEXPECTED_MESSAGE,
        "too much data in front of the answer to a CertificateRequest",
    )
    NOT_TLS = (
        _Alert.PROTOCOL_VERSION,
        "what came does not look like TLS",
        "let the other side speak TLS on this port (https:// in an address), or use the port where it does",
    )

    # Messages at the wrong time or with the wrong content.
    UNEXPECTED_MESSAGE = (_Alert.UNEXPECTED_MESSAGE, "a handshake message that may not come now")
    UNEXPECTED_EXTENSION = (_Alert.ILLEGAL_PARAMETER, "an extension in a message where it is not allowed")
    UNSOLICITED_EXTENSION = (_Alert.UNSUPPORTED_EXTENSION, "an answer to an extension that was not sent")
    MISSING_EXTENSION = (_Alert.MISSING_EXTENSION, "an extension that the protocol requires is missing")
    BAD_COMPRESSION = (_Alert.ILLEGAL_PARAMETER, "the compression methods are not the null method alone")
    BAD_LEGACY_VERSION = (_Alert.ILLEGAL_PARAMETER, "the legacy version field is not TLS 1.2's")
    SESSION_ID_NOT_ECHOED = (_Alert.ILLEGAL_PARAMETER, "the server did not echo the session id")
    VERSION_NOT_OFFERED = (_Alert.ILLEGAL_PARAMETER, "the server chose a version that was not offered")
    DOWNGRADE_DETECTED = (_Alert.ILLEGAL_PARAMETER, "the server random says that a newer version was negotiated away")
    SUITE_NOT_OFFERED = (_Alert.ILLEGAL_PARAMETER, "the server chose a cipher suite that was not offered")
    GROUP_NOT_OFFERED = (_Alert.ILLEGAL_PARAMETER, "a key exchange group that was not offered")
    BAD_KEY_SHARE = (_Alert.ILLEGAL_PARAMETER, "a key share that is no valid public value of its group")
    DUPLICATE_KEY_SHARE = (_Alert.ILLEGAL_PARAMETER, "two key shares for one group")
    KEY_SHARE_OUTSIDE_GROUPS = (_Alert.ILLEGAL_PARAMETER, "a key share for a group that supported_groups does not name")
    NEEDLESS_HELLO_RETRY = (_Alert.ILLEGAL_PARAMETER, "a HelloRetryRequest that changes nothing")
    RETRY_GROUP_ALREADY_SENT = (_Alert.ILLEGAL_PARAMETER, "a HelloRetryRequest for a group whose share was sent")
    SUITE_CHANGED_AFTER_RETRY = (_Alert.ILLEGAL_PARAMETER, "the server changed its choice after a HelloRetryRequest")
    CLIENT_HELLO_CHANGED = (_Alert.ILLEGAL_PARAMETER, "the second ClientHello changes more than it may")
    COOKIE_TOO_LONG = (_Alert.ILLEGAL_PARAMETER, "a cookie that no ClientHello has room for")
    BAD_COOKIE = (_Alert.ILLEGAL_PARAMETER, "the cookie is not one that this server made")
    ALPN_NOT_OFFERED = (_Alert.ILLEGAL_PARAMETER, "the server chose an application protocol that was not offered")
    BAD_REQUEST_CONTEXT = (_Alert.ILLEGAL_PARAMETER, "the certificate_request_context is wrong")
    NO_SERVER_CERTIFICATE = (_Alert.DECODE_ERROR, "the server sent no certificate")
    SCHEME_NOT_OFFERED = (_Alert.ILLEGAL_PARAMETER, "a signature scheme that was not offered")
    SCHEME_NOT_FOR_KEY = (_Alert.ILLEGAL_PARAMETER, "a signature scheme that does not belong to the certificate's key")
    BAD_SIGNATURE = (_Alert.DECRYPT_ERROR, "the handshake signature does not verify")
    BAD_FINISHED = (_Alert.DECRYPT_ERROR, "the Finished message does not verify")
    BAD_KEY_UPDATE = (_Alert.ILLEGAL_PARAMETER, "a KeyUpdate with an unknown request")
    PSK_NOT_LAST = (_Alert.ILLEGAL_PARAMETER, "pre_shared_key is not the last extension")
    RENEGOTIATION_REPEATED = (_Alert.NO_RENEGOTIATION_RESERVED, "the peer insists on a renegotiation")
    BAD_RENEGOTIATION_INFO = (_Alert.HANDSHAKE_FAILURE, "renegotiation_info is not empty in a first handshake")
    NO_UNCOMPRESSED_POINTS = (_Alert.ILLEGAL_PARAMETER, "ec_point_formats leaves out the uncompressed form")
    KEY_NOT_FOR_SUITE = (_Alert.ILLEGAL_PARAMETER, "the certificate's key is not of the kind that the suite needs")
    TOO_MUCH_EARLY_DATA = (_Alert.UNEXPECTED_MESSAGE, "more early data than the ticket allows")
    EARLY_DATA_NOT_POSSIBLE = (_Alert.ILLEGAL_PARAMETER, "the server took early data that cannot go with its choice")
    BAD_BINDER = (_Alert.DECRYPT_ERROR, "the binder of a pre-shared key does not verify")
    SESSION_CHANGED = (_Alert.ILLEGAL_PARAMETER, "the server resumed a session with other parameters")
    SESSION_ID_ECHOED = (_Alert.ILLEGAL_PARAMETER, "the server resumed a session that was not offered")
    BAD_PSK_OFFER = (_Alert.ILLEGAL_PARAMETER, "pre_shared_key does not hold a binder for each identity")
    BAD_RECORD_SIZE_LIMIT = (_Alert.ILLEGAL_PARAMETER, "record_size_limit is below 64, or above what there is")
    DUPLICATE_COMPRESSION = (_Alert.ILLEGAL_PARAMETER, "compress_certificate names an algorithm twice")
    COMPRESSION_NOT_OFFERED = (
        _Alert.ILLEGAL_PARAMETER,
        "a certificate compressed by an algorithm that was not offered",
    )
    BAD_COMPRESSED_CERTIFICATE = (_Alert.BAD_CERTIFICATE, "the compressed certificate cannot be decompressed")
    COMPRESSED_CERTIFICATE_TOO_LARGE = (_Alert.BAD_CERTIFICATE, "the compressed certificate is too large")
    DEFAULT_CERTIFICATE_TYPE_ALONE = (
        _Alert.ILLEGAL_PARAMETER,
        "a list of certificate types that names X.509 alone, which goes without saying",
    )
    CERTIFICATE_TYPE_NOT_OFFERED = (_Alert.ILLEGAL_PARAMETER, "the server chose a certificate type not on offer")
    BAD_RAW_KEY_COUNT = (_Alert.ILLEGAL_PARAMETER, "a Certificate message with other than one raw public key")
    BAD_PADDING = (_Alert.ILLEGAL_PARAMETER, "the padding is not zero")
    SELECTED_UNOFFERED_PSK = (_Alert.ILLEGAL_PARAMETER, "the server chose a pre-shared key that was not offered")


class Incompatibility(_Reason):
    """What a peer may do, but leaves nothing in common."""

    NO_COMMON_VERSION = (
        _Alert.PROTOCOL_VERSION,
        "no TLS version in common",
        "let one of the two speak the other's version (`versions=` restricts them; trustls has TLS 1.2 and 1.3)",
    )
    INAPPROPRIATE_FALLBACK = (
        _Alert.INAPPROPRIATE_FALLBACK,
        "the client fell back to a version below what it speaks",
        "let the client offer its newest version, and look for what broke its first attempt",
    )
    NO_EXTENDED_MASTER_SECRET = (
        _Alert.HANDSHAKE_FAILURE,
        "the peer does not bind TLS 1.2 sessions to their handshake",
        "let the peer speak TLS 1.3, or the extended master secret (RFC 7627)",
    )
    NO_COMMON_SUITE = (
        _Alert.HANDSHAKE_FAILURE,
        "no cipher suite in common",
        "let the other side speak TLS 1.3, or ECDHE with AES-GCM or ChaCha20-Poly1305 in TLS 1.2",
    )
    NO_COMMON_GROUP = (
        _Alert.HANDSHAKE_FAILURE,
        "no key exchange group in common",
        "let one of the two have a group of the other's (`groups=` restricts them)",
    )
    NO_COMMON_PSK = (
        _Alert.HANDSHAKE_FAILURE,
        "no pre-shared key in common, and no certificate here",
        "give both sides the same pre-shared key under the same identity, or this server a certificate",
    )
    NO_COMMON_SCHEME = (
        _Alert.HANDSHAKE_FAILURE,
        "no signature scheme in common",
        "give the server a certificate for a key that the client's signature schemes are for, such as ECDSA on P-256",
    )
    NO_FITTING_CREDENTIAL = (
        _Alert.HANDSHAKE_FAILURE,
        "no credential here is one that the client can take",
        "give the server a certificate of another kind or CA as well",
    )
    NO_COMMON_CERTIFICATE_TYPE = (
        _Alert.UNSUPPORTED_CERTIFICATE,
        "no certificate type in common",
        "let one of the two present what the other takes: a certificate, or a raw public key (RFC 7250)",
    )
    UNKNOWN_SERVER_NAME = (
        _Alert.UNRECOGNIZED_NAME,
        "no server of the name asked for",
        "give the server a configuration for that name, or ask for one that it has",
    )
    NO_COMMON_ALPN = (
        _Alert.NO_APPLICATION_PROTOCOL,
        "no application protocol in common",
        "name a protocol of the client's in the server's `alpn=`, or none at all",
    )


class CertificateProblem(_Reason):
    """What is wrong with a peer's certificate or its chain."""

    NONE_PRESENTED = (_Alert.CERTIFICATE_REQUIRED, "no certificate was presented")
    UNKNOWN_RAW_KEY = (_Alert.CERTIFICATE_UNKNOWN, "the raw public key is not one of those that are trusted")
    UNKNOWN_ISSUER = (_Alert.UNKNOWN_CA, "the issuer is not known")
    EXPIRED = (_Alert.CERTIFICATE_EXPIRED, "the certificate has expired")
    NOT_YET_VALID = (_Alert.CERTIFICATE_EXPIRED, "the certificate is not valid yet")
    REVOKED = (_Alert.CERTIFICATE_REVOKED, "the certificate is revoked")
    REVOCATION_UNKNOWN = (_Alert.CERTIFICATE_UNKNOWN, "the certificate's revocation status is not known")
    CRL_EXPIRED = (_Alert.CERTIFICATE_UNKNOWN, "the revocation list that covers the certificate is out of date")
    BAD_STAPLE = (_Alert.BAD_CERTIFICATE_STATUS_RESPONSE, "the stapled OCSP response proves nothing")
    STAPLE_MISSING = (_Alert.BAD_CERTIFICATE_STATUS_RESPONSE, "no OCSP response was stapled, and one is demanded")
    BAD_SIGNATURE = (_Alert.BAD_CERTIFICATE, "the certificate's signature does not verify")
    UNSUPPORTED_SIGNATURE = (_Alert.UNSUPPORTED_CERTIFICATE, "the certificate is signed with an unsupported algorithm")
    WEAK_KEY = (_Alert.UNSUPPORTED_CERTIFICATE, "the certificate's key is of a kind or size that is not accepted")
    MALFORMED = (_Alert.BAD_CERTIFICATE, "the certificate is malformed")
    NAME_MISMATCH = (_Alert.BAD_CERTIFICATE, "the certificate is not valid for the name asked for")
    NOT_A_CA = (_Alert.UNKNOWN_CA, "the issuing certificate is no CA")
    PATH_TOO_LONG = (_Alert.UNKNOWN_CA, "the chain is longer than a CA in it allows")
    NAME_NOT_PERMITTED = (_Alert.BAD_CERTIFICATE, "a CA's name constraints do not permit the name")
    WRONG_KEY_USAGE = (_Alert.UNSUPPORTED_CERTIFICATE, "the certificate's key usage does not allow this use")
    WRONG_PURPOSE = (_Alert.UNSUPPORTED_CERTIFICATE, "the certificate's extended key usage does not allow this use")
    UNKNOWN_CRITICAL_EXTENSION = (_Alert.UNSUPPORTED_CERTIFICATE, "the certificate has an unknown critical extension")
    CA_AS_END_ENTITY = (_Alert.BAD_CERTIFICATE, "a CA certificate is used as an end-entity certificate")
    AGAINST_PROFILE = (_Alert.BAD_CERTIFICATE, "the certificate breaks a rule of the profile that it is held to")
    CHAIN_TOO_LONG = (_Alert.BAD_CERTIFICATE, "more certificates were sent than are accepted")
    BUDGET_EXHAUSTED = (_Alert.BAD_CERTIFICATE, "the chain takes more work to check than is allowed")
    REFUSED = (_Alert.ACCESS_DENIED, "the application refused the certificate")
    NOT_ACCEPTED = (_Alert.CERTIFICATE_UNKNOWN, "the certificate was not accepted")


class TLSError(Exception):
    """The base of everything that trustls raises.

    Attributes:
        alert: the alert that this side sends for it, or None where none is sent.
        expected: what was expected, in a few words; empty where there is nothing to compare.
        found: what was there instead, in a few words.
        remedy: what the operator of either side does about it; empty where nothing can be advised.
    """

    alert: AlertDescription | None = None
    expected: str = ""
    found: str = ""
    remedy: str = ""

    def __str__(self) -> str:
        said = super().__str__()
        return f"{said}; to mend it: {self.remedy}" if self.remedy else said


class _ReasonedError(TLSError):
    def __init__(
        self, reason: _Reason, detail: str = "", *, expected: str = "", found: str = "", remedy: str = ""
    ) -> None:
        self.reason = reason
        self.detail = detail
        self.alert = reason.alert
        self.expected = expected
        self.found = found
        self.remedy = remedy or reason.remedy
        super().__init__(f"{reason.sentence}: {detail}" if detail else reason.sentence)

    def __reduce__(self) -> tuple[Any, ...]:
        particulars = {name: getattr(self, name) for name in ("expected", "found", "remedy")}
        return type(self), (self.reason, self.detail), particulars


class PeerMisbehaved(_ReasonedError):
    """The peer broke the protocol; `reason` says how. It is broken, or an attacker is in between."""

    reason: Misbehaviour

    def __init__(self, reason: Misbehaviour, detail: str = "") -> None:
        super().__init__(reason, detail)


class DecodeError(PeerMisbehaved):
    """The peer sent bytes that are no valid message."""


class PeerIncompatible(_ReasonedError):
    """The peer keeps to the protocol, but has nothing in common with this side's configuration."""

    reason: Incompatibility

    def __init__(
        self, reason: Incompatibility, detail: str = "", *, expected: str = "", found: str = "", remedy: str = ""
    ) -> None:
        super().__init__(reason, detail, expected=expected, found=found, remedy=remedy)


class CertificateRejected(_ReasonedError):
    """The peer's certificate was not accepted.

    Attributes:
        reason: what is wrong.
        detail: the same in words, with the particulars.
        failures: what was found on each path that was tried: a `trust.path.PathFailure` for each.
        certificate: the `Certificate` that is at fault, which may be a CA's; None when it is no single one.
    """

    reason: CertificateProblem

    def __init__(
        self,
        reason: CertificateProblem,
        detail: str = "",
        failures: tuple[Any, ...] = (),
        *,
        certificate: Any = None,  # A Certificate: this module imports no other.
        expected: str = "",
        found: str = "",
        remedy: str = "",
    ) -> None:
        super().__init__(reason, detail, expected=expected, found=found, remedy=remedy)
        self.failures = failures
        self.certificate = certificate

    def __reduce__(self) -> tuple[Any, ...]:
        particulars = {name: getattr(self, name) for name in ("certificate", "expected", "found", "remedy")}
        return type(self), (self.reason, self.detail, self.failures), particulars


class AlertReceived(TLSError):
    """The peer ended the connection with a fatal alert.

    Attributes:
        code: the number of the alert.
        description: the alert; None for a number that is not known.
    """

    def __init__(self, description: int) -> None:
        self.code = description
        try:
            self.description: AlertDescription | None = AlertDescription(description)
            name = self.description.name.lower()
        except ValueError:
            self.description = None
            name = f"unknown alert {description}"
        meaning = _RECEIVED_MEANING.get(description)
        self.remedy = _RECEIVED_REMEDY.get(description, "")
        super().__init__(f"the peer sent the alert {name}" + (f": {meaning}" if meaning else ""))

    def __reduce__(self) -> tuple[type[AlertReceived], tuple[int]]:
        return type(self), (self.code,)


class CertificateRejectedByPeer(CertificateRejected, AlertReceived):
    """The peer did not accept this side's certificate, or the lack of one, and said so with an alert.

    In TLS 1.3 a client learns of it only after its handshake is done, so that the first read raises it. `reason` is the
    nearest to what the alert says, `detail` what this side presented and, on a client, how that went with what the
    server had asked for. `code` and `description` are the alert's.
    """

    def __init__(self, code: int, detail: str = "", *, remedy: str = "") -> None:
        reason, usual = _REFUSALS.get(code, (CertificateProblem.NOT_ACCEPTED, ""))
        CertificateRejected.__init__(self, reason, detail)
        AlertReceived.__init__(self, code)
        self.remedy = remedy or usual
        self.alert = None  # An alert is not answered with another.
        if detail:
            self.args = (f"{self.args[0]}; {detail}",)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.code, self.detail), {"remedy": self.remedy}


class UnexpectedEOF(TLSError, EOFError):
    """The transport ended without a close_notify: what was received may have been cut short by an attacker."""


class ConnectionClosed(TLSError):
    """The call needs a connection that is still open in that direction."""


class EarlyDataUnavailable(TLSError):
    """There is no session that allows this much early data, or the handshake is past it."""


class HandshakePending(TLSError):
    """The call needs a finished handshake."""


class HandshakeTimeout(TLSError, TimeoutError):
    """The handshake did not finish within the time allowed for it."""


class AsyncRequired(TLSError):
    """A verifier, signer or chooser of this configuration is asynchronous, and the transport is not."""

    alert = AlertDescription.INTERNAL_ERROR


class SigningFailed(TLSError):
    """What holds the private key of a credential does not sign: an HSM that is gone, or refuses."""

    alert = AlertDescription.INTERNAL_ERROR


class ConfigError(TLSError, ValueError):
    """What was asked for cannot be done, or the parts of a configuration do not go together."""

    alert = AlertDescription.INTERNAL_ERROR  # Where it shows in a handshake only: a callback's unusable choice.


class KeyMismatch(ConfigError):
    """A private key is not that of the certificate that it was given with."""


class InternalError(TLSError):
    """A fault of trustls itself, or of a callback: please report it."""

    alert = AlertDescription.INTERNAL_ERROR


_RECEIVED_MEANING: dict[int, str] = {
    _Alert.BAD_CERTIFICATE: "it found a certificate broken, or not for the right name",
    _Alert.UNSUPPORTED_CERTIFICATE: "it does not accept this kind of certificate",
    _Alert.CERTIFICATE_REVOKED: "it says that the certificate is revoked",
    _Alert.CERTIFICATE_EXPIRED: "it says that the certificate is expired or not yet valid",
    _Alert.CERTIFICATE_UNKNOWN: "it did not accept the certificate",
    _Alert.UNKNOWN_CA: "it does not trust the CA that issued the certificate",
    _Alert.CERTIFICATE_REQUIRED: "it requires a client certificate and got none",
    _Alert.BAD_CERTIFICATE_STATUS_RESPONSE: "it found the stapled OCSP response bad, or missing",
    _Alert.ACCESS_DENIED: "the certificate is valid, but its holder is not allowed in",
    _Alert.HANDSHAKE_FAILURE: "it found no parameters in common, or (in TLS 1.2) requires a client certificate",
    _Alert.PROTOCOL_VERSION: "it does not speak a TLS version that was offered",
    _Alert.NO_APPLICATION_PROTOCOL: "it speaks none of the application protocols offered",
    _Alert.UNRECOGNIZED_NAME: "it knows no server of the name asked for",
    _Alert.DECRYPT_ERROR: "a signature or Finished message did not verify there",
}

# For alerts that are about no certificate.
_RECEIVED_REMEDY: dict[int, str] = {
    _Alert.HANDSHAKE_FAILURE: (
        "see which versions, cipher suites, groups and signature schemes the peer allows, and give both sides some in "
        "common; its log may say which it misses"
    ),
    _Alert.INSUFFICIENT_SECURITY: "the peer's log says what is too weak for it",
    _Alert.PROTOCOL_VERSION: Incompatibility.NO_COMMON_VERSION.remedy,
    _Alert.NO_APPLICATION_PROTOCOL: "offer a protocol that the peer speaks with `alpn=`, or none at all",
    _Alert.UNRECOGNIZED_NAME: "ask for a name that the server has, or give it a configuration for this one",
    _Alert.DECRYPT_ERROR: "the peer's log says what did not verify; a pre-shared key must be the same on both sides",
    _Alert.UNKNOWN_PSK_IDENTITY: "give both sides the same pre-shared key under the same identity",
    _Alert.INTERNAL_ERROR: "the peer's log says what went wrong there",
}

_NO_CREDENTIAL: tuple[CertificateProblem, str] = (
    CertificateProblem.NONE_PRESENTED,
    "give this side a credential of an authority that the peer accepts, with the intermediate CAs in between",
)

_REFUSALS: dict[int, tuple[CertificateProblem, str]] = {
    _Alert.HANDSHAKE_FAILURE: _NO_CREDENTIAL,
    _Alert.CERTIFICATE_REQUIRED: _NO_CREDENTIAL,
    _Alert.UNKNOWN_CA: (
        CertificateProblem.UNKNOWN_ISSUER,
        "send the intermediates along, use a certificate of a CA that the peer trusts, or have the peer trust this CA",
    ),
    _Alert.CERTIFICATE_EXPIRED: (CertificateProblem.EXPIRED, "renew the certificate, or correct the peer's clock"),
    _Alert.CERTIFICATE_REVOKED: (CertificateProblem.REVOKED, "use a new certificate"),
    _Alert.BAD_CERTIFICATE_STATUS_RESPONSE: (
        CertificateProblem.BAD_STAPLE,
        "staple a current OCSP response for the certificate, from the responder of its CA",
    ),
    _Alert.ACCESS_DENIED: (CertificateProblem.REFUSED, "have the peer authorise this identity"),
    _Alert.BAD_CERTIFICATE: (CertificateProblem.NOT_ACCEPTED, "the peer's log says what it found wrong"),
    _Alert.UNSUPPORTED_CERTIFICATE: (
        CertificateProblem.NOT_ACCEPTED,
        "check its key usage and extended key usage (clientAuth or serverAuth) and its kind of key",
    ),
    _Alert.CERTIFICATE_UNKNOWN: (CertificateProblem.NOT_ACCEPTED, "the peer's log says what it found wrong"),
}


def is_about_certificates(alert: int) -> bool:
    """Whether an alert refuses a certificate, or the lack of one."""
    return alert in _REFUSALS and alert != _Alert.HANDSHAKE_FAILURE
