"""The handshakes, each one coroutine that reads like the RFC's figure, and what they ask of their connection."""
