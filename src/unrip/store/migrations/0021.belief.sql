-- The block that is believed (blueprint, section 8): over restarts a reading is doubted by it, and one absurd height does
-- not freeze the balances for ever.
-- depends: 0020.voided

CREATE TABLE ledger.belief (
    account text PRIMARY KEY,
    height bigint NOT NULL,
    block_time timestamptz NOT NULL
);

-- Every time that what was believed gave way to what agreed against it, or to an operator's word.
CREATE TABLE ledger.belief_replaced (
    account text NOT NULL,
    replaced_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    was_height bigint NOT NULL,
    height bigint NOT NULL,
    reason text NOT NULL
);

-- Note the block of a reading, before its balances are taken over in the same commit. With a reason it replaces what was
-- believed: then balances of greater heights give way, too.
CREATE FUNCTION ledger.believe(p_account text, p_height bigint, p_block_time timestamptz, p_reason text)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF p_block_time IS NULL THEN
        RETURN;
    END IF;
    -- As in `ledger.enter`: one writer at a time per account.
    PERFORM pg_advisory_xact_lock(hashtextextended('unrip ledger of ' || p_account, 0));
    IF p_reason IS NOT NULL AND EXISTS (SELECT FROM ledger.inventory WHERE account = p_account AND height >= p_height) THEN
        INSERT INTO ledger.belief_replaced (account, was_height, height, reason)
        SELECT p_account, max(height), p_height, p_reason FROM ledger.inventory WHERE account = p_account;
        UPDATE ledger.inventory SET height = p_height - 1 WHERE account = p_account AND height >= p_height;
    END IF;
    INSERT INTO ledger.belief AS b (account, height, block_time) VALUES (p_account, p_height, p_block_time)
    ON CONFLICT (account) DO UPDATE SET height = excluded.height, block_time = excluded.block_time
     WHERE b.height < excluded.height OR p_reason IS NOT NULL;
END $$;

CREATE FUNCTION ledger.believed(p_account text) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_object('believed', (
        SELECT jsonb_build_object('height', height, 'block_time', block_time)
          FROM ledger.belief WHERE account = p_account))
$$;
