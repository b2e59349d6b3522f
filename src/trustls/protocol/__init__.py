"""Key schedules, transcript, record layer: TLS state without a handshake."""
