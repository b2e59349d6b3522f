"""The implementations, each behind the same calls: handshake step, write, read, all on bytes in memory.

Every client verifies the server's chain and name, every server that asks for a client certificate verifies its chain
(tlslite-ng, which verifies no chains, says so in every row).
"""
