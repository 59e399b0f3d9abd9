-- A ledger that has gone back in time says so before it takes anything in: its commits are counted (blueprint, section 8).
-- depends: 0002.ledger

-- How many commits the ledger of an account has made. Each quarantine begins a new thousand milliards, so that no number of a
-- branch that was lost comes again.
ALTER TABLE ledger.surroundings ADD COLUMN commits bigint NOT NULL DEFAULT 0;

-- One writer at a time per account, as before; and each is counted, or refused where the caller has heard of more.
DROP FUNCTION ledger.enter(text);
CREATE FUNCTION ledger.enter(p_account text, p_after bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_commits bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('unrip ledger of ' || p_account, 0));
    INSERT INTO ledger.surroundings AS s (account, reason, commits) VALUES (p_account, '', 1)
    ON CONFLICT (account) DO UPDATE SET commits = s.commits + 1
    RETURNING commits INTO v_commits;
    IF v_commits <= p_after THEN
        RAISE EXCEPTION 'the ledger of % has made % commits, and answered with % before', p_account, v_commits - 1, p_after
            USING ERRCODE = 'UN001';
    END IF;
END $$;

-- Another cluster has another identifier, one that was promoted or recovered to a point in time another timeline. The
-- control file learns of that with the first checkpoint after it; the log's name has it at once.
CREATE OR REPLACE FUNCTION ledger.database() RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_object(
        'system_identifier', system_identifier::text,
        'timeline', CASE WHEN pg_is_in_recovery() THEN timeline_id
                         ELSE ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::integer END
    ) FROM pg_control_system(), pg_control_checkpoint()
$$;

-- Where the ledger lives, NULL while nobody has said so and it was never in doubt: then the row only counts.
CREATE FUNCTION ledger.surroundings_of(p_account text) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_object('database', database, 'quarantined_until', quarantined_until, 'reason', reason)
      FROM ledger.surroundings
     WHERE account = p_account AND (database IS NOT NULL OR quarantined_until IS NOT NULL)
$$;

-- Somebody remembers what this ledger does not know.
CREATE FUNCTION ledger.unknown(p_why text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%', p_why USING ERRCODE = 'UN002';
END $$;

CREATE OR REPLACE FUNCTION ledger.view(p_account text) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_object(
        'height', coalesce(min(height), 0),
        'credited', coalesce(jsonb_object_agg(asset, credited::text), '{}'),
        'held', coalesce(jsonb_object_agg(asset, held::text), '{}'),
        -- One offer of a nonce settles, so a nonce brings no more than its largest.
        'incoming', (
            SELECT coalesce(jsonb_object_agg(asset_in, amount::text), '{}') FROM (
                SELECT asset_in, sum(largest) AS amount FROM (
                    SELECT asset_in, max(amount_in) AS largest
                      FROM ledger.attempt WHERE account = p_account AND ended_at IS NULL
                     GROUP BY nonce, asset_in
                ) AS nonce GROUP BY asset_in
            ) AS asset
        ),
        'without_answer', (
            SELECT count(*) FROM ledger.attempt
             WHERE account = p_account AND state IN ('claimed', 'sent', 'unanswered', 'unproven')
        ),
        'position', (
            SELECT jsonb_build_object('topic_id', topic_id, 'next_offset', next_offset)
              FROM ledger.position WHERE account = p_account
        ),
        'commits', coalesce((SELECT commits FROM ledger.surroundings WHERE account = p_account), 0)
    ) FROM ledger.inventory WHERE account = p_account
$$;

DROP FUNCTION ledger.reject(text, text, text, bigint, text, bigint, jsonb);
CREATE FUNCTION ledger.reject(
    p_command_id text, p_quote_id text, p_account text, p_generation bigint,
    p_topic_id text, p_next_offset bigint, p_event jsonb, p_after bigint
) RETURNS TABLE (kind text, ledger_view jsonb) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM ledger.enter(p_account, p_after);
    kind := ledger.write_rejection(p_command_id, p_quote_id, p_account, p_generation, p_topic_id, p_next_offset, p_event);
    ledger_view := ledger.view(p_account);
    RETURN NEXT;
END $$;

-- A command that is not claimed: its row, its one result, and the position; says what became of it.
CREATE FUNCTION ledger.write_rejection(
    p_command_id text, p_quote_id text, p_account text, p_generation bigint,
    p_topic_id text, p_next_offset bigint, p_event jsonb
) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM ledger.advance(p_account, p_topic_id, p_next_offset);
    INSERT INTO ledger.attempt (command_id, quote_id, account, state, generation, ended_at)
    VALUES (p_command_id, p_quote_id, p_account, 'rejected', p_generation, clock_timestamp())
    ON CONFLICT (command_id) DO NOTHING;
    IF NOT FOUND THEN
        RETURN 'duplicate';
    END IF;
    PERFORM ledger.write_result(p_event);
    RETURN 'rejected';
END $$;

-- Claim, hold and signed payload. `p_rejection` is the result to publish if the claim is refused here. One that was
-- perhaps sent is held whatever is credited and whoever commanded it, also on a nonce that has ended: the bytes are outside.
-- Only a nonce that is used takes nobody's bytes any more. What was adopted does not say who commands now.
DROP FUNCTION ledger.claim(jsonb, bigint, text, bigint, jsonb, jsonb, boolean);
CREATE FUNCTION ledger.claim(
    p_offer jsonb, p_generation bigint, p_topic_id text, p_next_offset bigint, p_event jsonb, p_rejection jsonb,
    p_perhaps_sent boolean, p_after bigint
) RETURNS TABLE (kind text, ledger_view jsonb) LANGUAGE plpgsql AS $$
DECLARE
    v_command_id text := p_offer->>'command_id';
    v_account text := p_offer->>'account';
    v_nonce text := p_offer->>'nonce';
    v_amount numeric := (p_offer->>'amount_out')::numeric;
    v_newest bigint;
    v_growth numeric;
    v_numbers jsonb;
    v_hold ledger.hold;
BEGIN
    PERFORM ledger.enter(v_account, p_after);
    IF EXISTS (SELECT FROM ledger.attempt WHERE command_id = v_command_id) THEN
        PERFORM ledger.advance(v_account, p_topic_id, p_next_offset);
        RETURN QUERY SELECT 'duplicate', ledger.view(v_account);
        RETURN;
    END IF;

    v_newest := ledger.newest_generation(v_account);
    SELECT * INTO v_hold FROM ledger.hold WHERE nonce = v_nonce;
    v_growth := greatest(0, v_amount - CASE WHEN v_hold.released_at IS NULL THEN coalesce(v_hold.amount, 0) ELSE 0 END);
    IF p_generation < v_newest AND NOT p_perhaps_sent THEN
        kind := 'superseded';
        v_numbers := jsonb_build_object('generation', p_generation::text, 'newest_generation', v_newest::text);
    -- A nonce that a fill or a death has ended is never used again; one that was dropped was seen by nobody.
    ELSIF v_hold.release_evidence->>'state' <> 'dropped'
            AND NOT (p_perhaps_sent AND NOT coalesce((v_hold.release_evidence->>'nonce_used')::boolean, false))
       -- Nobody ever signed for a second asset on it, so that of what an earlier life may have sent this is none.
       OR p_perhaps_sent AND (v_hold.account <> v_account OR v_hold.asset <> p_offer->>'asset_out') THEN
        kind := 'nonce_ended';
        v_numbers := '{}';
    ELSIF EXISTS (SELECT FROM ledger.attempt WHERE quote_hash = p_offer->>'quote_hash') THEN
        kind := 'same_offer';
        v_numbers := '{}';
    ELSE
        UPDATE ledger.inventory SET held = held + v_growth
         WHERE account = v_account AND asset = p_offer->>'asset_out'
           AND (p_perhaps_sent OR credited - held >= v_growth);
        IF NOT FOUND THEN
            kind := 'insufficient_inventory';
            SELECT jsonb_build_object('credited', coalesce(max(credited), 0)::text, 'held', coalesce(max(held), 0)::text,
                                      'required', v_growth::text)
              INTO v_numbers FROM ledger.inventory
             WHERE account = v_account AND asset = p_offer->>'asset_out';
        END IF;
    END IF;
    IF kind IS NOT NULL THEN
        p_rejection := jsonb_set(p_rejection, '{result,reason}', to_jsonb(kind));
        p_rejection := jsonb_set(p_rejection, '{result,numbers}', v_numbers);
        PERFORM ledger.write_rejection(v_command_id, p_offer->>'quote_id', v_account, p_generation,
                                       p_topic_id, p_next_offset, p_rejection);
        ledger_view := ledger.view(v_account);
        RETURN NEXT;
        RETURN;
    END IF;

    INSERT INTO ledger.hold AS h (nonce, account, asset, amount, last_deadline, nonce_deadline, salt)
    VALUES (v_nonce, v_account, p_offer->>'asset_out', v_amount, (p_offer->>'offer_deadline')::timestamptz,
            (p_offer->>'nonce_deadline')::timestamptz, p_offer->>'salt')
    ON CONFLICT (nonce) DO UPDATE SET
        amount = CASE WHEN h.released_at IS NULL THEN greatest(h.amount, excluded.amount) ELSE excluded.amount END,
        last_deadline = greatest(h.last_deadline, excluded.last_deadline),
        released_at = NULL,
        release_evidence = NULL
     WHERE h.account = excluded.account AND h.asset = excluded.asset;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'nonce % of command % holds another asset', v_nonce, v_command_id;
    END IF;
    INSERT INTO ledger.attempt (command_id, quote_id, account, nonce, quote_hash, offer, state, generation)
    VALUES (v_command_id, p_offer->>'quote_id', v_account, v_nonce, p_offer->>'quote_hash', p_offer, 'claimed',
            CASE WHEN p_perhaps_sent THEN 0 ELSE p_generation END);
    PERFORM ledger.advance(v_account, p_topic_id, p_next_offset);
    PERFORM ledger.write_result(p_event);
    RETURN QUERY SELECT 'claimed', ledger.view(v_account);
END $$;

-- A state of an open attempt: it moves forward only, and never out of an end.
DROP FUNCTION ledger.note(jsonb);
CREATE FUNCTION ledger.note(p_event jsonb, p_after bigint) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    v_account text := p_event->'result'->>'account';
    v_command_id text := p_event->'result'->>'command_id';
    v_state text := p_event->'result'->>'state';
BEGIN
    IF ledger.progress(v_state) IS NULL THEN
        RAISE EXCEPTION 'state % of command % is not one of an open attempt', v_state, v_command_id;
    END IF;
    PERFORM ledger.enter(v_account, p_after);
    UPDATE ledger.attempt
       SET state = CASE WHEN ledger.progress(v_state) > ledger.progress(state) THEN v_state ELSE state END
     WHERE command_id = v_command_id AND ended_at IS NULL;
    IF FOUND THEN
        PERFORM ledger.write_result(p_event);
    ELSIF NOT EXISTS (SELECT FROM ledger.attempt WHERE command_id = v_command_id) THEN
        PERFORM ledger.unknown(format('command %s is not in the ledger', v_command_id));
    END IF;
    RETURN ledger.view(v_account);
END $$;

-- The end of an attempt of which no byte has left; in the same commit its hold goes, or shrinks to
-- the largest offer of those that share it.
DROP FUNCTION ledger.drop_attempt(jsonb);
CREATE FUNCTION ledger.drop_attempt(p_event jsonb, p_after bigint) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    v_account text := p_event->'result'->>'account';
    v_command_id text := p_event->'result'->>'command_id';
    v_nonce text;
    v_last_deadline timestamptz;
    v_largest numeric;
BEGIN
    PERFORM ledger.enter(v_account, p_after);
    UPDATE ledger.attempt SET state = 'dropped', ended_at = clock_timestamp()
     WHERE command_id = v_command_id AND state = 'claimed'
    RETURNING nonce INTO v_nonce;
    IF FOUND THEN
        SELECT max((offer->>'offer_deadline')::timestamptz), max((offer->>'amount_out')::numeric)
          INTO v_last_deadline, v_largest
          FROM ledger.attempt WHERE nonce = v_nonce AND ended_at IS NULL;
        IF v_largest IS NULL THEN
            PERFORM ledger.release(v_nonce, jsonb_build_object('state', 'dropped', 'command_id', v_command_id));
        ELSE
            -- An offer that nobody saw holds nothing, and sets no deadline for the death of those that share its nonce.
            UPDATE ledger.inventory AS i SET held = held - (h.amount - v_largest)
              FROM ledger.hold AS h WHERE h.nonce = v_nonce AND i.account = h.account AND i.asset = h.asset;
            UPDATE ledger.hold SET last_deadline = v_last_deadline, amount = v_largest WHERE nonce = v_nonce;
        END IF;
        PERFORM ledger.write_result(p_event);
    ELSIF EXISTS (SELECT FROM ledger.attempt WHERE command_id = v_command_id AND ended_at IS NULL) THEN
        RAISE EXCEPTION 'command % was sent: only the chain may end it', v_command_id;
    ELSIF NOT EXISTS (SELECT FROM ledger.attempt WHERE command_id = v_command_id) THEN
        PERFORM ledger.unknown(format('command %s is not in the ledger', v_command_id));
    END IF;
    RETURN ledger.view(v_account);
END $$;

-- What was published to spend a nonce; written after it has left, since a brake waits for nothing.
DROP FUNCTION ledger.note_revocation(text, text, text);
CREATE FUNCTION ledger.note_revocation(p_account text, p_nonce text, p_revocation text, p_after bigint) RETURNS jsonb
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM ledger.enter(p_account, p_after);
    UPDATE ledger.hold SET revocation = p_revocation WHERE nonce = p_nonce AND account = p_account;
    IF NOT FOUND THEN
        PERFORM ledger.unknown(format('nonce %s has no hold', p_nonce));
    END IF;
    RETURN ledger.view(p_account);
END $$;

-- `p_commits`: the highest that anybody has heard of. A quarantine goes on counting from above it, and so does the outbox:
-- what the publisher had read in the branch that was lost marks nothing that is written from now on.
DROP FUNCTION ledger.note_surroundings(text, text, timestamptz);
CREATE FUNCTION ledger.note_surroundings(p_account text, p_reason text, p_until timestamptz, p_commits bigint)
RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    v_here ledger.surroundings;
BEGIN
    PERFORM ledger.enter(p_account, 0);
    SELECT * INTO v_here FROM ledger.surroundings WHERE account = p_account;
    IF p_until IS NOT NULL AND (v_here.quarantined_until IS NULL OR p_commits >= v_here.commits) THEN
        v_here.commits := (greatest(v_here.commits, p_commits) / 1000000000000 + 1) * 1000000000000;
        PERFORM setval('ledger.outbox_seq_seq', nextval('ledger.outbox_seq_seq') + 1000000);
    END IF;
    UPDATE ledger.surroundings SET
        database = CASE WHEN p_until IS NULL THEN ledger.database() ELSE database END,
        commits = v_here.commits,
        quarantined_until = p_until,
        reason = p_reason
     WHERE account = p_account;
    RETURN ledger.view(p_account);
END $$;

-- An operator's word that an empty ledger is a new one; says whether it was taken.
CREATE OR REPLACE FUNCTION ledger.declare_first_start(p_account text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM ledger.enter(p_account, 0);
    IF ledger.surroundings_of(p_account) IS NOT NULL OR EXISTS (SELECT FROM ledger.attempt WHERE account = p_account) THEN
        RETURN false;
    END IF;
    PERFORM ledger.note_surroundings(p_account, '', NULL, 0);
    RETURN true;
END $$;

-- A final block's balances, and the releases that they justify, in one commit. Only a greater height counts. An ending tells
-- of exactly the offers that the ledger has open on its nonce, or somebody remembers another ledger than this.
DROP FUNCTION ledger.apply_reading(text, bigint, jsonb, jsonb);
CREATE FUNCTION ledger.apply_reading(p_account text, p_height bigint, p_credited jsonb, p_endings jsonb, p_after bigint)
RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    PERFORM ledger.enter(p_account, p_after);
    PERFORM ledger.unknown(format('nonce %s has no hold', ending->>'nonce'))
       FROM jsonb_array_elements(p_endings) AS ending
      WHERE NOT EXISTS (SELECT FROM ledger.hold WHERE nonce = ending->>'nonce' AND account = p_account);
    PERFORM ledger.unknown(format('nonce %s has other open offers than those whose end is told', ending->>'nonce'))
       FROM jsonb_array_elements(p_endings) AS ending
       JOIN ledger.hold ON hold.nonce = ending->>'nonce' AND released_at IS NULL
      WHERE (SELECT array_agg(command_id ORDER BY command_id) FROM ledger.attempt AS a
              WHERE a.nonce = hold.nonce AND ended_at IS NULL)
            IS DISTINCT FROM
            (SELECT array_agg(event->'result'->>'command_id' ORDER BY event->'result'->>'command_id')
               FROM jsonb_array_elements(ending->'events') AS event);
    INSERT INTO ledger.inventory AS i (account, asset, credited, height)
    SELECT p_account, key, value::numeric, p_height FROM jsonb_each_text(p_credited)
    ON CONFLICT (account, asset) DO UPDATE SET credited = excluded.credited, height = excluded.height
     WHERE i.height < excluded.height;
    PERFORM ledger.end_nonce(p_account, ending) FROM jsonb_array_elements(p_endings) AS ending;
    RETURN ledger.view(p_account);
END $$;

CREATE OR REPLACE FUNCTION ledger.load(p_account text) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_object(
        'view', ledger.view(p_account),
        'newest_generation', ledger.newest_generation(p_account),
        'open_offers', (
            SELECT coalesce(jsonb_agg(offer || jsonb_build_object('state', state) ORDER BY claimed_at, command_id), '[]')
              FROM ledger.attempt WHERE account = p_account AND ended_at IS NULL
        ),
        'revocations', (
            SELECT coalesce(jsonb_object_agg(nonce, revocation), '{}')
              FROM ledger.hold WHERE account = p_account AND released_at IS NULL AND revocation IS NOT NULL
        ),
        'database', ledger.database(),
        'surroundings', ledger.surroundings_of(p_account),
        'last_claimed_at', (SELECT max(claimed_at) FROM ledger.attempt WHERE account = p_account)
    )
$$;
