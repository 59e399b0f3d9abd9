-- An account belongs to one desk: two desks on one account would promise the same amount twice. The table stands where all
-- desks of this database see it; whichever is migrated first makes it.
-- depends: 0028.role-fence

CREATE SCHEMA IF NOT EXISTS desks;

CREATE TABLE IF NOT EXISTS desks.account (
    account text PRIMARY KEY,
    desk text NOT NULL,
    since timestamptz NOT NULL DEFAULT now(),
    -- An operator's, where it was given from one desk to another.
    reason text NOT NULL DEFAULT ''
);

-- Whose schemas these are.
CREATE FUNCTION ledger.desk() RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT '{desk}' $$;

-- Whoever has a ledger of an account by now is who promises its money.
INSERT INTO desks.account (account, desk)
SELECT account, ledger.desk() FROM ledger.surroundings UNION SELECT account, ledger.desk() FROM ledger.attempt
ON CONFLICT (account) DO NOTHING;

-- Take the account, or refuse: another desk has it. Of two that take it at once one waits for the other's commit.
CREATE FUNCTION ledger.own(p_account text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_desk text;
BEGIN
    SELECT desk INTO v_desk FROM desks.account WHERE account = p_account;
    IF v_desk IS NULL THEN
        INSERT INTO desks.account (account, desk) VALUES (p_account, ledger.desk()) ON CONFLICT (account) DO NOTHING;
        SELECT desk INTO v_desk FROM desks.account WHERE account = p_account;
    END IF;
    IF v_desk <> ledger.desk() THEN
        RAISE EXCEPTION 'the account % belongs to the desk %, and not to %: trade another one here, or let that desk give it away',
            p_account, v_desk, ledger.desk() USING ERRCODE = 'UN004';
    END IF;
END $$;

CREATE OR REPLACE FUNCTION ledger.enter(p_account text, p_after bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_commits bigint;
BEGIN
    PERFORM ledger.require_role();
    PERFORM pg_advisory_xact_lock(hashtextextended('unrip ledger of ' || p_account, 0));
    PERFORM ledger.own(p_account);
    INSERT INTO ledger.surroundings AS s (account, reason, commits) VALUES (p_account, '', 1)
    ON CONFLICT (account) DO UPDATE SET commits = s.commits + 1
    RETURNING commits INTO v_commits;
    IF v_commits <= p_after THEN
        RAISE EXCEPTION 'the ledger of % has made % commits, and answered with % before', p_account, v_commits - 1, p_after
            USING ERRCODE = 'UN001';
    END IF;
END $$;

-- An operator's word: from now on another desk of this database promises this account's money. Not while anything of it is
-- promised here; what is under way here is waited for, and what comes later is refused.
CREATE FUNCTION ledger.give_account(p_account text, p_to text, p_reason text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_open bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('unrip ledger of ' || p_account, 0));
    PERFORM ledger.own(p_account);
    IF to_regnamespace(CASE p_to WHEN 'main' THEN '' ELSE p_to || '_' END || 'ledger') IS NULL THEN
        RAISE EXCEPTION 'this database has no ledger of a desk %: prepare that desk first', p_to;
    END IF;
    IF btrim(p_reason) = '' THEN
        RAISE EXCEPTION 'the account % is given away without a reason', p_account;
    END IF;
    SELECT count(*) INTO v_open FROM ledger.hold WHERE account = p_account AND released_at IS NULL;
    IF v_open > 0 THEN
        RAISE EXCEPTION 'the account % has % open holds: halt this desk, and wait until each offer has ended', p_account, v_open;
    END IF;
    UPDATE desks.account SET desk = p_to, since = now(), reason = p_reason WHERE account = p_account;
END $$;
