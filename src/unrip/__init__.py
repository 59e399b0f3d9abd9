"""unrip: a market maker for NEAR Intents."""

__version__ = "0.1.0"
