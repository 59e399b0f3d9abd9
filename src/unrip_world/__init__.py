"""The simulated outside: relay, verifier, bridge, Kraken and CoinGecko. Imports nothing of unrip."""
