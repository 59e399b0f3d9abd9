-- find_quotes --
SELECT DISTINCT quote_id FROM (
    SELECT quote_id FROM history.swap_demand WHERE quote_id LIKE $1 || '%'
    UNION ALL SELECT quote_id FROM history.raw_quote WHERE quote_id LIKE $1 || '%'
    UNION ALL SELECT quote_id FROM history.trade_decision WHERE quote_id LIKE $1 || '%'
) AS found LIMIT 2;

-- chain_of --
SELECT 'quote' AS part, "offset", event FROM history.raw_quote WHERE quote_id = $1
UNION ALL SELECT 'demand', "offset", event FROM history.swap_demand WHERE quote_id = $1
UNION ALL SELECT 'decision', "offset", event FROM history.trade_decision WHERE quote_id = $1
UNION ALL SELECT 'command', "offset", event FROM history.execute_trade WHERE quote_id = $1
UNION ALL SELECT 'result', "offset", event FROM history.trade_result WHERE quote_id = $1
UNION ALL SELECT 'price', p."offset", p.event FROM history.market_price AS p
            JOIN history.trade_decision AS d ON d.price_id = p.event_id WHERE d.quote_id = $1
UNION ALL SELECT 'inventory', i."offset", i.event FROM history.intent_inventory AS i
            JOIN history.trade_decision AS d ON d.inventory_id = i.event_id WHERE d.quote_id = $1
ORDER BY part, "offset";

-- policy_of --
SELECT body FROM desk.policy WHERE hash = $1;

-- trade_rows --
SELECT to_jsonb(chain) AS row FROM history.trade_chain AS chain WHERE quote_id = ANY ($1::text[]);

-- newest_refusal --
SELECT event FROM history.trade_decision WHERE NOT accepted ORDER BY published_at DESC LIMIT 1;

-- newest_prices --
SELECT event FROM history.market_price ORDER BY observed_at DESC LIMIT $1;

-- newest_settled --
SELECT DISTINCT ON (direction) quote_id FROM history.trade_result WHERE state = 'settled'
 ORDER BY direction, published_at DESC;
