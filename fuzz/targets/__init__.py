"""The targets: each module has `check(data)`, which raises when a rule is broken, `seeds()`, and `MAX_LENGTH`."""

from typing import Final

TARGETS: Final = (
    "client",
    "server",
    "messages",
    "client_flights",
    "server_flights",
    "records",
    "paths",
    "loading",
    "sessions",
    "names",
)
