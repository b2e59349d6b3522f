"""Fuzzing: what hostile peers and broken files can say, driven by coverage (Atheris) or, without it, at random."""
