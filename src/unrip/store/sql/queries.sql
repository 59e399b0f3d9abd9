-- find_quotes --
SELECT quote_id FROM history.raw_quote WHERE quote_id LIKE $1 || '%'
 UNION SELECT quote_id FROM history.swap_demand WHERE quote_id LIKE $1 || '%'
 UNION SELECT quote_id FROM history.trade_decision WHERE quote_id LIKE $1 || '%'
 UNION SELECT quote_id FROM history.execute_trade WHERE quote_id LIKE $1 || '%'
 ORDER BY quote_id LIMIT $2;

-- chain_of --
SELECT 'quote' AS part, published_at, "offset", event FROM history.raw_quote WHERE quote_id = $1
 UNION ALL SELECT 'demand', published_at, "offset", event FROM history.swap_demand WHERE quote_id = $1
 UNION ALL SELECT 'decision', published_at, "offset", event FROM history.trade_decision WHERE quote_id = $1
 UNION ALL SELECT 'command', published_at, "offset", event FROM history.execute_trade WHERE quote_id = $1
 UNION ALL SELECT 'result', published_at, "offset", event FROM history.trade_result WHERE quote_id = $1
 UNION ALL SELECT 'price', p.published_at, p."offset", p.event FROM history.market_price AS p
             JOIN history.trade_decision AS d ON d.price_id = p.event_id WHERE d.quote_id = $1
 UNION ALL SELECT 'inventory', i.published_at, i."offset", i.event FROM history.intent_inventory AS i
             JOIN history.trade_decision AS d ON d.inventory_id = i.event_id WHERE d.quote_id = $1
 ORDER BY part, published_at, "offset";

-- latest_quotes --
SELECT quote_id, direction, decided_at, class AS outcome, refused_by, reason
  FROM history.loss_ledger ORDER BY decided_at DESC LIMIT $1;

-- trade_rows --
SELECT quote_id, to_jsonb(chain) AS row FROM history.trade_chain AS chain WHERE quote_id = ANY ($1::text[]);

-- newest_settled --
SELECT newest.quote_id
  FROM UNNEST($1::text[]) AS side (direction)
 CROSS JOIN LATERAL (
       SELECT quote_id FROM history.trade_result AS r
        WHERE r.state = 'settled' AND r.direction = side.direction ORDER BY published_at DESC LIMIT 1
 ) AS newest;

-- newest_refusal --
SELECT event FROM history.trade_decision WHERE NOT accepted ORDER BY decided_at DESC LIMIT 1;

-- newest_prices --
SELECT event FROM history.market_price WHERE pair = $1 ORDER BY observed_at DESC LIMIT $2;
