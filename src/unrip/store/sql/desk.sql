-- take_over --
INSERT INTO desk.generation AS g (role, generation, taken_by) VALUES ($1, 1, $2)
ON CONFLICT (role) DO UPDATE SET generation = g.generation + 1, taken_by = excluded.taken_by, taken_at = now()
RETURNING generation;

-- generation_of --
SELECT generation, taken_by FROM desk.generation WHERE role = $1;

-- remember_policy --
INSERT INTO desk.policy (hash, body, actor, reason) VALUES ($1, $2::jsonb, $3, $4) ON CONFLICT (hash) DO NOTHING;

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
