"""history-writer: every topic into append-only PostgreSQL. It is no message bus and decides nothing."""
