"""Blocks, finality and transactions. Pure."""
