"""inventory-sync: what the verifier credits and what the bridge still owes; it moves nothing and decides nothing."""
