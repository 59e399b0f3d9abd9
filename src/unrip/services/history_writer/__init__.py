"""history-writer: every topic into append-only PostgreSQL. No message bus, no decisions."""
