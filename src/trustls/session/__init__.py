"""What we remember: sessions, tickets and the keys that seal them, stores, external pre-shared keys, anti-replay."""
