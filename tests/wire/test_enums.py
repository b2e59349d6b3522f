from __future__ import annotations

import copy
import inspect
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.examples import COMPARES_BYTES
from trustls.wire import enums
from trustls.wire.enums import CipherSuite, NamedGroup, OpenEnum, ProtocolVersion, SignatureScheme, is_grease

pytestmark = COMPARES_BYTES

REGISTRIES = [
    item
    for item in vars(enums).values()
    if inspect.isclass(item) and issubclass(item, OpenEnum) and item is not OpenEnum
]
every_registry = pytest.mark.parametrize("registry", REGISTRIES, ids=lambda registry: registry.__name__)


@every_registry
@given(data=st.data())
def test_any_number_of_the_width_is_a_value(registry: type[OpenEnum], data: st.DataObject) -> None:
    number = data.draw(st.integers(0, (1 << 8 * registry.width) - 1))
    value = registry(number)
    assert value == number
    assert hash(value) == hash(number), "a value is found in a set of numbers"
    assert value.is_known == (number in [int(member) for member in registry])
    assert registry(number) == value
    assert value.to_bytes(registry.width, "big") == number.to_bytes(registry.width, "big")


@every_registry
def test_numbers_outside_the_width_are_no_values(registry: type[OpenEnum]) -> None:
    for number in (-1, 1 << 8 * registry.width):
        with pytest.raises(ValueError, match="not a valid"):
            registry(number)


@every_registry
def test_members_are_found_by_iana_name_in_either_case(registry: type[OpenEnum]) -> None:
    for member in registry:
        assert registry.from_iana(member.iana) is member
        assert registry.from_iana(member.iana.upper()) is member
        assert str(member) == f"{member}" == member.iana
    with pytest.raises(ValueError, match="no-such-name"):
        registry.from_iana("no-such-name")


@every_registry
def test_unknown_values_are_no_members(registry: type[OpenEnum]) -> None:
    before = list(registry)
    unknown = next(number for number in range(1 << 8 * registry.width) if number not in registry.by_value)
    assert str(registry(unknown)) == f"0x{unknown:0{2 * registry.width}x}"
    assert list(registry) == before, "asking for an unknown value made it a member"
    assert len({registry(unknown), registry(unknown)}) == 1


@pytest.mark.parametrize("value", [SignatureScheme.ED25519, SignatureScheme(0xFE12)], ids=["known", "unknown"])
def test_values_can_be_copied_and_pickled(value: SignatureScheme) -> None:
    assert copy.copy(value) == value
    assert copy.deepcopy(value) == value
    assert pickle.loads(pickle.dumps(value)) == value


def test_iana_names_are_spelt_as_the_registry_does() -> None:
    assert CipherSuite.TLS_AES_128_GCM_SHA256.iana == "TLS_AES_128_GCM_SHA256"
    assert NamedGroup.X25519.iana == "x25519"
    assert NamedGroup.X25519MLKEM768.iana == "X25519MLKEM768"
    assert SignatureScheme.RSA_PSS_RSAE_SHA256.iana == "rsa_pss_rsae_sha256"
    assert ProtocolVersion.TLS1_3.iana == "TLSv1.3"


def test_sixteen_numbers_are_grease() -> None:
    grease = [number for number in range(1 << 16) if is_grease(number)]
    assert grease == [0x0A0A + 0x1010 * step for step in range(16)]
