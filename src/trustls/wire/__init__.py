"""Bytes to typed messages and back. No keys, no state, no I/O, no policy."""
