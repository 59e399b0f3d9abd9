-- Whoever has lost the role of the executor writes nothing more to its ledger, also what was under way when the other one took
-- over: it may have sent by now what the old one would drop, or is about to claim (blueprint, section 3).
-- depends: 0022.ledger-commits

-- A session that says whose it is writes only while the role is its own. The row's lock makes a take-over wait for the end of
-- this transaction, so that the next holder's first look at the ledger shows all of it; a confirmation of the role waits for
-- none.
CREATE FUNCTION ledger.require_role() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_instance text := nullif(current_setting('unrip.instance', true), '');
    v_holder text;
BEGIN
    IF v_instance IS NULL THEN
        RETURN;
    END IF;
    SELECT taken_by INTO v_holder FROM desk.generation WHERE role = 'trade-executor' FOR KEY SHARE;
    IF v_holder <> v_instance THEN
        RAISE EXCEPTION 'the role of the executor is %''s, and not %''s', v_holder, v_instance USING ERRCODE = 'UN003';
    END IF;
END $$;

CREATE OR REPLACE FUNCTION ledger.enter(p_account text, p_after bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_commits bigint;
BEGIN
    PERFORM ledger.require_role();
    PERFORM pg_advisory_xact_lock(hashtextextended('unrip ledger of ' || p_account, 0));
    INSERT INTO ledger.surroundings AS s (account, reason, commits) VALUES (p_account, '', 1)
    ON CONFLICT (account) DO UPDATE SET commits = s.commits + 1
    RETURNING commits INTO v_commits;
    IF v_commits <= p_after THEN
        RAISE EXCEPTION 'the ledger of % has made % commits, and answered with % before', p_account, v_commits - 1, p_after
            USING ERRCODE = 'UN001';
    END IF;
END $$;
