"""Real transports around the connection: blocking sockets, asyncio."""
