"""Reference price sources: Kraken and CoinGecko."""
