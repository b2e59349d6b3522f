"""How much the soak does: seconds of it with every run of the tests, minutes with TRUSTLS_SOAK=long (`make soak`)."""

from __future__ import annotations

import os
from typing import Final

LONG: Final = os.environ.get("TRUSTLS_SOAK") == "long"

CONNECTIONS: Final = 1_000
"""Held open at once. Long and short alike: a thousand is what the soak is about."""

WAVES: Final = 5 if LONG else 1
"""How often so many come, and all go again."""

WARM_UP: Final = 1_000 if LONG else 100
"""Visits before memory is looked at: allocators, caches and pools have then grown to what they need."""

VISITS: Final = 10_000 if LONG else 300
"""Visits after that, whose memory must all come back."""

STRIDE: Final = 1 if LONG else 17
"""Every how many bytes a handshake is cut off: each in the long form, a random residue class in the short one."""

SECONDS: Final = 900.0 if LONG else 60.0
"""How long a test may take."""
