"""Thin servers: sockets and HTTP around the pure cores, all on loopback and in one event loop."""
