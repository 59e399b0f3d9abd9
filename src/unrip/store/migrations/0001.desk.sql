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

-- Which policy came into force when. `base` is the hash of the configured one: with other limits in the settings file,
-- changes of an operator no longer hold. The order is that of the strategy and not that of the commits: a statement whose
-- answer got lost is sent again, and the first one may still commit after a later change.
CREATE TABLE desk.policy_in_force (
    generation bigint NOT NULL,
    change bigint NOT NULL,
    base text NOT NULL,
    hash text NOT NULL REFERENCES desk.policy,
    actor text NOT NULL,
    reason text NOT NULL,
    since timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (generation, change)
);

CREATE FUNCTION desk.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$;

CREATE TRIGGER policy_is_append_only BEFORE UPDATE OR DELETE ON desk.policy
    FOR EACH ROW EXECUTE FUNCTION desk.refuse_change();
CREATE TRIGGER policy_is_not_truncated BEFORE TRUNCATE ON desk.policy
    FOR EACH STATEMENT EXECUTE FUNCTION desk.refuse_change();
CREATE TRIGGER policy_in_force_is_append_only BEFORE UPDATE OR DELETE ON desk.policy_in_force
    FOR EACH ROW EXECUTE FUNCTION desk.refuse_change();
CREATE TRIGGER policy_in_force_is_not_truncated BEFORE TRUNCATE ON desk.policy_in_force
    FOR EACH STATEMENT EXECUTE FUNCTION desk.refuse_change();

-- From what height a drawdown is told: one row per account and pair, replaced as it moves. Here as well the newest is
-- the strategy's last, whatever commits last.
CREATE TABLE desk.highest_equity (
    account text NOT NULL,
    pair text NOT NULL,
    -- Exact, as a fraction: 30001/5 is 6000.20 EUR.
    eur text NOT NULL,
    transferred jsonb NOT NULL,
    generation bigint NOT NULL,
    change bigint NOT NULL,
    PRIMARY KEY (account, pair)
);

-- Arm leases that survive a restart, under the hash of the token in the file beside the process.
CREATE TABLE desk.arm_lease (
    token_hash text PRIMARY KEY,
    service text NOT NULL,
    body jsonb NOT NULL,
    granted_at timestamptz NOT NULL
);

CREATE TABLE desk.arm_lease_use (
    token_hash text NOT NULL REFERENCES desk.arm_lease,
    service text NOT NULL,
    used_at timestamptz NOT NULL,
    PRIMARY KEY (service, used_at)
);

CREATE TRIGGER arm_lease_is_append_only BEFORE UPDATE OR DELETE ON desk.arm_lease
    FOR EACH ROW EXECUTE FUNCTION desk.refuse_change();
CREATE TRIGGER arm_lease_is_not_truncated BEFORE TRUNCATE ON desk.arm_lease
    FOR EACH STATEMENT EXECUTE FUNCTION desk.refuse_change();
CREATE TRIGGER arm_lease_use_is_append_only BEFORE UPDATE OR DELETE ON desk.arm_lease_use
    FOR EACH ROW EXECUTE FUNCTION desk.refuse_change();
CREATE TRIGGER arm_lease_use_is_not_truncated BEFORE TRUNCATE ON desk.arm_lease_use
    FOR EACH STATEMENT EXECUTE FUNCTION desk.refuse_change();
