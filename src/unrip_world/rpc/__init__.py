"""NEAR JSON-RPC over the simulated chain. Pure."""
