"""trustls against other implementations of TLS: the same scenarios with each, and the table of how they went."""
