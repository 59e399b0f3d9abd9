"""market-reference-ingest: Kraken and CoinGecko as one price event; it commands nothing."""
