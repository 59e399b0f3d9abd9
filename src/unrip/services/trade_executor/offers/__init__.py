"""Offers from their claim to their end: one aggregate per nonce, and what is asked of ledger and chain about it."""
