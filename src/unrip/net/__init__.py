"""Sockets and HTTP calls with timeouts, bounded retries and counted outcomes. Knows no venue."""
