"""The verifier contract `intents.near`, rebuilt from its documented rules. Pure."""
