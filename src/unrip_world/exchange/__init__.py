"""Kraken and CoinGecko, both over one random walk. Pure."""
