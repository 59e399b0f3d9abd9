"""NEAR Intents: relay dialect, NEP-413 and nonces, verifier client, bridge client."""
