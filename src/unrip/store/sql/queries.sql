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
SELECT ended.quote_id, ended.direction, ended.decided_at, ended.class AS outcome, ended.refused_by, ended.reason
  FROM (SELECT quote_id FROM history.trade_decision ORDER BY decided_at DESC LIMIT $1) AS latest
 CROSS JOIN LATERAL (SELECT * FROM history.loss_ledger AS l WHERE l.quote_id = latest.quote_id OFFSET 0) AS ended
 ORDER BY ended.decided_at DESC;

-- trade_rows --
-- OFFSET 0 keeps the planner at one quote after the other, each by the indexes, instead of joining whole tables.
SELECT asked.quote_id, to_jsonb(chain) AS row
  FROM UNNEST($1::text[]) AS asked (quote_id)
 CROSS JOIN LATERAL (SELECT * FROM history.trade_chain AS c WHERE c.quote_id = asked.quote_id OFFSET 0) AS chain;

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
SELECT event FROM history.market_price WHERE pair = $1 ORDER BY least(observed_at, written_at) DESC LIMIT $2;
