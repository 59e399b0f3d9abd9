-- The columns of prices have the names of schema version 2: what a source is for, and not which one it was. A row says
-- what it always said, and its event stands as it was written.
-- depends: 0029.current

ALTER TABLE history.market_price RENAME COLUMN kraken_bid TO primary_bid;
ALTER TABLE history.market_price RENAME COLUMN kraken_ask TO primary_ask;
ALTER TABLE history.market_price RENAME COLUMN kraken_health TO primary_health;
ALTER TABLE history.market_price RENAME COLUMN coingecko_btc_eur TO second_opinion_eur;
ALTER TABLE history.market_price RENAME COLUMN coingecko_health TO second_opinion_health;
ALTER TABLE history.market_price RENAME COLUMN eure_eur_observed TO quote_asset_eur_observed;
ALTER VIEW history.current_price RENAME COLUMN kraken_bid TO primary_bid;
ALTER VIEW history.current_price RENAME COLUMN kraken_ask TO primary_ask;
ALTER VIEW history.current_price RENAME COLUMN kraken_health TO primary_health;
ALTER VIEW history.current_price RENAME COLUMN coingecko_btc_eur TO second_opinion_eur;
ALTER VIEW history.current_price RENAME COLUMN coingecko_health TO second_opinion_health;
ALTER VIEW history.current_price RENAME COLUMN eure_eur_observed TO quote_asset_eur_observed;
