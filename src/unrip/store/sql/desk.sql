-- take_over --
INSERT INTO desk.generation AS g (role, generation, taken_by) VALUES ($1, $3::bigint + 1, $2)
ON CONFLICT (role) DO UPDATE SET
    generation = greatest(g.generation + 1, excluded.generation), taken_by = excluded.taken_by, taken_at = now()
RETURNING generation;

-- generation_of --
SELECT generation, taken_by FROM desk.generation WHERE role = $1;

-- hold --
UPDATE desk.generation SET taken_by = taken_by WHERE role = $1 AND taken_by = $2 AND generation = $3
RETURNING generation;

-- lock_is_held --
SELECT EXISTS (
    SELECT FROM pg_locks
     WHERE locktype = 'advisory' AND granted AND objsubid = 1
       AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
       AND classid = $1::bigint::oid AND objid = $2::bigint::oid
);

-- taken_by --
SELECT taken_by FROM desk.generation WHERE role = $1;

-- remember_policy --
-- May be repeated: the first row of a change stays.
WITH kept AS (
    INSERT INTO desk.policy (hash, body, actor, reason) VALUES ($1, $2::jsonb, $3, $4) ON CONFLICT (hash) DO NOTHING
)
INSERT INTO desk.policy_in_force (generation, change, base, hash, actor, reason)
VALUES ($6, $7, $5, $1, $3, $4) ON CONFLICT (generation, change) DO NOTHING;

-- policy_in_force --
SELECT policy.body
  FROM (SELECT base, hash FROM desk.policy_in_force ORDER BY generation DESC, change DESC LIMIT 1) AS newest
  JOIN desk.policy USING (hash)
 WHERE newest.base = $1;

-- fills --
SELECT result.event AS result, price.event AS price
  FROM history.trade_result AS result
  LEFT JOIN LATERAL (
       SELECT event FROM history.market_price AS p
        WHERE p.pair = result.pair AND p.fair_rate IS NOT NULL AND p.price_jumped IS NOT TRUE
          AND p.observed_at >= (result.event #>> '{payload,evidence,block_time}')::timestamptz + $4::interval
        ORDER BY p.observed_at, p."offset" LIMIT 1
 ) AS price ON true
 WHERE result.state IN ('settled', 'spent') AND result.account = $1 AND result.pair = $2 AND result.published_at >= $3
 ORDER BY result.published_at;

-- keep_highest_equity --
-- Changes nothing where a later change, or one of a later life, is kept.
INSERT INTO desk.highest_equity AS kept (account, pair, eur, transferred, generation, change, books_begun_at)
VALUES ($1, $2, $3, $4::jsonb, $5, $6, $7)
ON CONFLICT (account, pair) DO UPDATE
   SET eur = excluded.eur, transferred = excluded.transferred, books_begun_at = excluded.books_begun_at,
       generation = excluded.generation, change = excluded.change
 WHERE (kept.generation, kept.change) < (excluded.generation, excluded.change);

-- highest_equity --
SELECT eur, transferred, books_begun_at FROM desk.highest_equity WHERE account = $1 AND pair = $2;

-- keep_lease --
INSERT INTO desk.arm_lease (token_hash, service, body, granted_at) VALUES ($1, $2, $3::jsonb, $4)
ON CONFLICT (token_hash) DO NOTHING;

-- find_lease --
SELECT body FROM desk.arm_lease WHERE token_hash = $1 AND service = $2;

-- use_lease --
WITH counted AS (
    INSERT INTO desk.arm_lease_use (token_hash, service, used_at)
    SELECT $1, $2, $3
    WHERE (SELECT count(*) FROM desk.arm_lease_use WHERE service = $2 AND used_at > $4 AND used_at <> $3) < $5
    ON CONFLICT (service, used_at) DO NOTHING
    RETURNING 1
)
SELECT EXISTS (SELECT FROM counted)
    OR EXISTS (SELECT FROM desk.arm_lease_use WHERE token_hash = $1 AND service = $2 AND used_at = $3);
