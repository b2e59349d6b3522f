"""The verifiers of configurations with RawPublicKeys among their `roots`: what goes together, and what does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trustls.errors import ConfigError
from trustls.trust.raw_keys import KeysVerifier, divided
from trustls.trust.verifiers import OcspPolicy, RootsClientVerifier, RootsServerVerifier, checked_rule

if TYPE_CHECKING:
    from trustls.trust.authorize import Authorize
    from trustls.trust.hints import Hints
    from trustls.trust.profile import Profile
    from trustls.trust.revocation import RevocationLists
    from trustls.trust.sources import Roots


def raw_server_verifier(
    roots: Roots,
    *,
    profile: str | Profile | None,
    crls: RevocationLists | None,
    ocsp: str | OcspPolicy,
    authorize: Authorize | None,
    check_name: bool,
) -> KeysVerifier:
    """A client's verifier: for raw keys, and for certificates where there are roots too.

    Raises:
        ConfigError: something was asked for that a raw public key cannot have.
    """
    keys, others, types = divided(roots)
    rule = checked_rule(authorize)
    if OcspPolicy.named(ocsp) is OcspPolicy.REQUIRED:
        raise ConfigError("ocsp='required' cannot be kept with RawPublicKeys: no OCSP response is for a raw public key")
    if others is None:
        _refuse_idle({"profile": profile is not None, "crls": crls is not None, "check_name=False": not check_name})
        return KeysVerifier(keys, None, types, rule)
    certificates = RootsServerVerifier(
        others, profile=profile, crls=crls, ocsp=ocsp, authorize=rule, check_name=check_name
    )
    return KeysVerifier(keys, certificates, types, rule)


def raw_client_verifier(
    roots: Roots,
    *,
    hints: Hints | None,
    crls: RevocationLists | None,
    authorize: Authorize | None,
    profile: str | Profile | None,
) -> KeysVerifier:
    """A server's verifier: for raw keys, and for certificates where there are roots too; raises as the above."""
    keys, others, types = divided(roots)
    rule = checked_rule(authorize)
    if others is None:
        _refuse_idle({"profile": profile is not None, "crls": crls is not None, "hints": bool(hints)})
        return KeysVerifier(keys, None, types, rule)
    certificates = RootsClientVerifier(others, hints=hints, crls=crls, authorize=rule, profile=profile)
    return KeysVerifier(keys, certificates, types, rule)


def _refuse_idle(given: dict[str, bool]) -> None:
    idle = [f"`{name}`" for name, is_given in given.items() if is_given]
    if idle:
        raise ConfigError(f"{', '.join(idle)} would have no effect: RawPublicKeys alone are about no certificates")
