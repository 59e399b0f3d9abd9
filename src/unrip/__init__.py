"""unrip: a market maker for NEAR Intents."""
