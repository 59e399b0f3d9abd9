-- take_over --
INSERT INTO desk.generation AS g (role, generation, taken_by) VALUES ($1, 1, $2)
ON CONFLICT (role) DO UPDATE SET generation = g.generation + 1, taken_by = excluded.taken_by, taken_at = now()
RETURNING generation;

-- generation_of --
SELECT generation, taken_by FROM desk.generation WHERE role = $1;

-- remember_policy --
INSERT INTO desk.policy (hash, body, actor, reason) VALUES ($1, $2::jsonb, $3, $4) ON CONFLICT (hash) DO NOTHING;
