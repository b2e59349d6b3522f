"""Programs as users write them: `mypy --strict` accepts them, and refuses the lines that say so.

`make lint` checks them against the source, tests/packaging/check.py against an installed wheel. In mistakes.py every
`type: ignore` must be needed: one that is not is an error (warn_unused_ignores).
"""
