"""history-writer: every topic into append-only PostgreSQL. It distributes nothing and decides nothing."""
