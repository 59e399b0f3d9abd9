-- What strategy and locks need: take-over numbers and the policies that decisions were made under.
-- depends:

CREATE SCHEMA desk;

-- Each take-over of a role raises its number; commands carry the strategy's (blueprint, section 3).
CREATE TABLE desk.generation (
    role text PRIMARY KEY,
    generation bigint NOT NULL,
    taken_by text NOT NULL,
    taken_at timestamptz NOT NULL DEFAULT now()
);

-- Append-only, by hash: a decision is recomputed with the policy it names.
CREATE TABLE desk.policy (
    hash text PRIMARY KEY,
    body jsonb NOT NULL,
    actor text NOT NULL,
    reason text NOT NULL,
    first_seen_at timestamptz NOT NULL DEFAULT now()
);

CREATE FUNCTION desk.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$;

CREATE TRIGGER policy_is_append_only BEFORE UPDATE OR DELETE ON desk.policy
    FOR EACH ROW EXECUTE FUNCTION desk.refuse_change();
CREATE TRIGGER policy_is_not_truncated BEFORE TRUNCATE ON desk.policy
    FOR EACH STATEMENT EXECUTE FUNCTION desk.refuse_change();
