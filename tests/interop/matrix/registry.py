"""All peers of the table, in its order."""

from __future__ import annotations

from typing import Final

from tests.interop.matrix import adapters_elsewhere
from tests.interop.matrix.adapters import Elsewhere, Peer
from tests.interop.matrix.adapters_compiled import COMPILED
from tests.interop.matrix.adapters_managed import MANAGED
from tests.interop.matrix.commands import COMMANDS

PEERS: Final[tuple[Peer, ...]] = (*COMPILED, *MANAGED)
"""Those with a program, which go through test_matrix.py."""

ELSEWHERE: Final[tuple[Elsewhere, ...]] = (*COMMANDS, *adapters_elsewhere.ELSEWHERE)
"""Those whose tests are others."""
