from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.bogo.names import folded, unfolded

_NAMES = st.lists(st.sampled_from(["Basic", "Client", "Server", "TLS12", "TLS13"]), min_size=1, max_size=5).map(
    "-".join
)


@given(st.sets(_NAMES, min_size=1, max_size=60))
def test_a_list_of_names_survives_being_folded(names: set[str]) -> None:
    assert sorted(unfolded(folded(names))) == sorted(names)


def test_names_that_go_on_alike_share_a_line() -> None:
    names = [f"EarlyData-{side}{version}" for side in ("Client", "Server") for version in ("", "-TLS13")]

    assert folded(names) == "EarlyData-{Client,Server}{,-TLS13}\n"
