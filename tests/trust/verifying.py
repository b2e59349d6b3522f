"""`verify_path` on what tests/trust/issuing.py makes, and the work that it takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from tests.trust.issuing import NOW, Issued
from trustls.errors import CertificateProblem, CertificateRejected
from trustls.trust import path as module
from trustls.trust.certificate import Certificate, Fault
from trustls.trust.path import PathCheck, PathLimits, Profile, Purpose, verify_path
from trustls.trust.roots import RootCertStore


def verified(
    roots: Sequence[Issued],
    *chain: Issued | Certificate,
    purpose: Purpose = Purpose.CLIENT_AUTH,
    now: float = NOW,
    limits: PathLimits | None = None,
    profile: Profile = Profile.PRIVATE,
    check: PathCheck | None = None,
) -> tuple[Certificate, ...]:
    store = RootCertStore([root.x509 for root in roots])
    certificates = [one.certificate if isinstance(one, Issued) else one for one in chain]
    limits = limits or PathLimits()
    return verify_path(certificates, store, purpose=purpose, now=now, limits=limits, profile=profile, check=check)


def rejection(
    problem: CertificateProblem, roots: Sequence[Issued], *chain: Issued | Certificate, **options: Any
) -> CertificateRejected:
    with pytest.raises(CertificateRejected) as caught:
        verified(roots, *chain, **options)
    assert caught.value.reason is problem, caught.value
    return caught.value


def titles(path: tuple[Certificate, ...]) -> list[str]:
    return [one.title for one in path]


@dataclass
class Work:
    """How often a verification looked at a CA certificate, and verified a signature."""

    steps: int = 0
    signatures: int = 0


def counted(monkeypatch: pytest.MonkeyPatch) -> Work:
    """The work of the verifications from here on."""
    work = Work()
    # By name: the module does not export what it imports.
    ca_fault: Callable[..., Fault | None] = vars(module)["ca_fault"]
    signature_fault: Callable[..., Fault | None] = vars(module)["signature_fault"]

    def counted_ca_fault(*arguments: Any, **options: Any) -> Fault | None:
        work.steps += 1
        return ca_fault(*arguments, **options)

    def counted_signature_fault(issuer: Certificate, certificate: Certificate) -> Fault | None:
        work.signatures += 1
        return signature_fault(issuer, certificate)

    monkeypatch.setattr(module, "ca_fault", counted_ca_fault)
    monkeypatch.setattr(module, "signature_fault", counted_signature_fault)
    return work
