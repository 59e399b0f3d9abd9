"""Sockets and HTTP calls with timeouts, bounded retries and counted outcomes. Nothing here knows a venue."""
