"""What the compliance policies of BoringSSL allow, as the arguments that restrict a configuration of trustls."""

from __future__ import annotations

from dataclasses import dataclass

from tests.bogo.flags import Flags
from trustls import CipherSuite, NamedGroup, SignatureScheme

_AES_128 = (
    CipherSuite.TLS_AES_128_GCM_SHA256,
    CipherSuite.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    CipherSuite.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
)
_AES_256 = (
    CipherSuite.TLS_AES_256_GCM_SHA384,
    CipherSuite.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    CipherSuite.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
)
_SHA256 = (
    SignatureScheme.ECDSA_SECP256R1_SHA256,
    SignatureScheme.RSA_PSS_RSAE_SHA256,
    SignatureScheme.RSA_PKCS1_SHA256,
)
_SHA384 = (
    SignatureScheme.ECDSA_SECP384R1_SHA384,
    SignatureScheme.RSA_PSS_RSAE_SHA384,
    SignatureScheme.RSA_PKCS1_SHA384,
)
_SHA512 = (SignatureScheme.RSA_PSS_RSAE_SHA512, SignatureScheme.RSA_PKCS1_SHA512)


@dataclass(frozen=True, slots=True)
class Policy:
    """What is allowed; None where nothing is forbidden."""

    suites: tuple[CipherSuite, ...] | None = None
    groups: tuple[NamedGroup, ...] | None = None
    schemes: tuple[SignatureScheme, ...] | None = None


_FIPS = Policy(_AES_128 + _AES_256, (NamedGroup.SECP256R1, NamedGroup.SECP384R1), _SHA256 + _SHA384 + _SHA512)
_WPA = Policy(_AES_256, (NamedGroup.SECP384R1,), _SHA384 + _SHA512)
_CNSA1 = Policy(_AES_256, (NamedGroup.MLKEM1024, NamedGroup.SECP384R1), _SHA384)
_CNSA2 = Policy(_AES_256, (NamedGroup.MLKEM1024,), _SHA384)


def policy_of(flags: Flags) -> Policy:
    """The policy that the flags ask for."""
    policies = {
        _FIPS: flags.fips_202205,
        _WPA: flags.wpa_202304,
        _CNSA1: flags.cnsa1_202603,
        _CNSA2: flags.cnsa2_202603,
    }
    for policy, asked in policies.items():
        if asked:
            return policy
    return Policy()
