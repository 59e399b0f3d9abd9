-- The executor's ledger (blueprint, sections 7 and 8): two counters per asset, holds by nonce, attempts by command,
-- and an outbox of results. Every function is one transaction and so one round trip.
-- depends: 0001.desk

CREATE SCHEMA ledger;

-- Two counters, no stored "free", and never a sum over holds: a statement that locks the row and sums the holds in one
-- go reads the sum from a snapshot taken before it waited, and overcommits. `held` may exceed `credited` for a while:
-- a block that settles an offer may be read before its nonce is asked about.
CREATE TABLE ledger.inventory (
    account text NOT NULL,
    asset text NOT NULL,
    credited numeric(39, 0) NOT NULL CHECK (credited >= 0),
    held numeric(39, 0) NOT NULL DEFAULT 0 CHECK (held >= 0),
    -- Of the final block that `credited` was read at.
    height bigint NOT NULL,
    PRIMARY KEY (account, asset)
);

-- A hold belongs to a nonce: at most one of the offers that carry it can settle, so the hold is their largest.
CREATE TABLE ledger.hold (
    nonce text PRIMARY KEY,
    account text NOT NULL,
    asset text NOT NULL,
    amount numeric(39, 0) NOT NULL CHECK (amount > 0),
    last_deadline timestamptz NOT NULL,
    nonce_deadline timestamptz NOT NULL,
    salt text NOT NULL,
    -- The signed intent that was published to spend the nonce, once one was.
    revocation text,
    claimed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    released_at timestamptz,
    release_evidence jsonb,
    FOREIGN KEY (account, asset) REFERENCES ledger.inventory,
    CHECK ((released_at IS NULL) = (release_evidence IS NULL))
);
CREATE INDEX open_hold ON ledger.hold (account, asset) WHERE released_at IS NULL;

-- One row per command ever handled; a rejected one has neither nonce nor offer.
CREATE TABLE ledger.attempt (
    command_id text PRIMARY KEY,
    quote_id text NOT NULL,
    account text NOT NULL,
    nonce text REFERENCES ledger.hold,
    quote_hash text UNIQUE,
    offer jsonb,
    -- Of the offer, for the view: every answer of the ledger adds them up.
    asset_in text GENERATED ALWAYS AS (offer->>'asset_in') STORED,
    amount_in numeric(39, 0) GENERATED ALWAYS AS ((offer->>'amount_in')::numeric) STORED,
    state text NOT NULL,
    generation bigint NOT NULL,
    claimed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at timestamptz,
    CHECK ((nonce IS NULL) = (offer IS NULL)),
    CHECK ((ended_at IS NOT NULL) = (state IN ('rejected', 'settled', 'lapsed', 'spent', 'revoked', 'dropped')))
);
CREATE INDEX open_attempt ON ledger.attempt (nonce) WHERE ended_at IS NULL;
-- Neither the relay nor, of unproven ones, a block has said anything about these: whether they count is unknown.
CREATE INDEX attempt_without_answer ON ledger.attempt (account)
    WHERE state IN ('claimed', 'sent', 'unanswered', 'unproven');
-- The newest generation counts claims only: a rejected command may be anybody's.
CREATE INDEX claimed_generation ON ledger.attempt (account, generation) WHERE nonce IS NOT NULL;

CREATE TABLE ledger.outbox (
    seq bigserial PRIMARY KEY,
    event_id text NOT NULL UNIQUE,
    correlation_id text NOT NULL,
    causation_id text,
    observed_at timestamptz NOT NULL,
    stages jsonb NOT NULL,
    payload jsonb NOT NULL,
    ledger_view jsonb NOT NULL,
    published_at timestamptz
);
CREATE INDEX unpublished ON ledger.outbox (seq) WHERE published_at IS NULL;

-- Every command before `next_offset` is claimed or rejected.
CREATE TABLE ledger.position (
    account text PRIMARY KEY,
    topic_id text NOT NULL,
    next_offset bigint NOT NULL
);

-- Where the ledger of an account lives: a restored backup must not pass for the newest one.
CREATE TABLE ledger.surroundings (
    account text PRIMARY KEY,
    -- Of when it was last known to be the newest.
    database jsonb,
    quarantined_until timestamptz,
    reason text NOT NULL
);

-- Another cluster has another identifier, one that was recovered to a point in time another timeline.
CREATE FUNCTION ledger.database() RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_object('system_identifier', system_identifier::text, 'timeline', timeline_id)
      FROM pg_control_system(), pg_control_checkpoint()
$$;

-- One writer at a time per account. The counters would not need it: it makes the outbox's numbers follow the order of
-- the commits, and the view in each row the state after that very commit.
CREATE FUNCTION ledger.enter(p_account text) RETURNS void LANGUAGE sql AS $$
    SELECT pg_advisory_xact_lock(hashtextextended('unrip ledger of ' || p_account, 0))
$$;

-- `LedgerView` as the services encode it: amounts are decimal strings.
CREATE FUNCTION ledger.view(p_account text) RETURNS jsonb LANGUAGE sql STABLE AS $$
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
        )
    ) FROM ledger.inventory WHERE account = p_account
$$;

-- How far an open attempt has come; NULL for a state that is none of an open attempt. A reply that comes late still
-- counts; a second, contradictory one does not move the state.
CREATE FUNCTION ledger.progress(p_state text) RETURNS integer LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE p_state WHEN 'claimed' THEN 0 WHEN 'sent' THEN 1 WHEN 'unanswered' THEN 2
                        WHEN 'accepted' THEN 3 WHEN 'refused' THEN 3 WHEN 'unproven' THEN 4 END
$$;

CREATE FUNCTION ledger.newest_generation(p_account text) RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT coalesce(max(generation), 0) FROM ledger.attempt WHERE account = p_account AND nonce IS NOT NULL
$$;

CREATE FUNCTION ledger.advance(p_account text, p_topic_id text, p_next_offset bigint) RETURNS void LANGUAGE sql AS $$
    INSERT INTO ledger.position AS p (account, topic_id, next_offset) VALUES (p_account, p_topic_id, p_next_offset)
    ON CONFLICT (account) DO UPDATE SET
        topic_id = excluded.topic_id,
        next_offset = CASE WHEN p.topic_id = excluded.topic_id
                           THEN greatest(p.next_offset, excluded.next_offset) ELSE excluded.next_offset END
$$;

-- The result row of a state. The same state again is the same row.
CREATE FUNCTION ledger.write_result(p_event jsonb) RETURNS void LANGUAGE sql AS $$
    INSERT INTO ledger.outbox
        (event_id, correlation_id, causation_id, observed_at, stages, payload, ledger_view)
    VALUES (
        p_event->>'event_id', p_event->>'correlation_id', p_event->>'causation_id',
        (p_event->>'observed_at')::timestamptz, p_event->'stages', p_event->'result',
        ledger.view(p_event->'result'->>'account')
    )
    ON CONFLICT (event_id) DO NOTHING
$$;

CREATE FUNCTION ledger.release(p_nonce text, p_evidence jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_hold ledger.hold;
BEGIN
    UPDATE ledger.hold SET released_at = clock_timestamp(), release_evidence = p_evidence
     WHERE nonce = p_nonce AND released_at IS NULL
    RETURNING * INTO STRICT v_hold;
    UPDATE ledger.inventory SET held = held - v_hold.amount
     WHERE account = v_hold.account AND asset = v_hold.asset;
END $$;

-- A command that is not claimed: its row, its one result, and the position.
CREATE FUNCTION ledger.reject(
    p_command_id text, p_quote_id text, p_account text, p_generation bigint,
    p_topic_id text, p_next_offset bigint, p_event jsonb
) RETURNS TABLE (kind text, ledger_view jsonb) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM ledger.enter(p_account);
    PERFORM ledger.advance(p_account, p_topic_id, p_next_offset);
    INSERT INTO ledger.attempt (command_id, quote_id, account, state, generation, ended_at)
    VALUES (p_command_id, p_quote_id, p_account, 'rejected', p_generation, clock_timestamp())
    ON CONFLICT (command_id) DO NOTHING;
    IF FOUND THEN
        PERFORM ledger.write_result(p_event);
        kind := 'rejected';
    ELSE
        kind := 'duplicate';
    END IF;
    ledger_view := ledger.view(p_account);
    RETURN NEXT;
END $$;

-- Claim, hold and signed payload. `p_rejection` is the result to publish if the claim is refused here. One that was
-- perhaps sent is held whatever is credited and whoever commanded it: the bytes are outside.
CREATE FUNCTION ledger.claim(
    p_offer jsonb, p_generation bigint, p_topic_id text, p_next_offset bigint, p_event jsonb, p_rejection jsonb,
    p_perhaps_sent boolean
) RETURNS TABLE (kind text, ledger_view jsonb) LANGUAGE plpgsql AS $$
DECLARE
    v_command_id text := p_offer->>'command_id';
    v_account text := p_offer->>'account';
    v_nonce text := p_offer->>'nonce';
    v_amount numeric := (p_offer->>'amount_out')::numeric;
    v_newest bigint;
    v_growth numeric;
    v_numbers jsonb;
BEGIN
    PERFORM ledger.enter(v_account);
    IF EXISTS (SELECT FROM ledger.attempt WHERE command_id = v_command_id) THEN
        PERFORM ledger.advance(v_account, p_topic_id, p_next_offset);
        RETURN QUERY SELECT 'duplicate', ledger.view(v_account);
        RETURN;
    END IF;

    v_newest := ledger.newest_generation(v_account);
    v_growth := greatest(0, v_amount - coalesce(
        (SELECT amount FROM ledger.hold WHERE nonce = v_nonce AND released_at IS NULL), 0));
    IF p_generation < v_newest AND NOT p_perhaps_sent THEN
        kind := 'superseded';
        v_numbers := jsonb_build_object('generation', p_generation::text, 'newest_generation', v_newest::text);
    -- A nonce that a fill or a death has ended is never used again; one that was dropped was seen by nobody.
    ELSIF EXISTS (SELECT FROM ledger.hold WHERE nonce = v_nonce AND release_evidence->>'state' <> 'dropped') THEN
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
        PERFORM ledger.reject(v_command_id, p_offer->>'quote_id', v_account, p_generation,
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
            p_generation);
    PERFORM ledger.advance(v_account, p_topic_id, p_next_offset);
    PERFORM ledger.write_result(p_event);
    RETURN QUERY SELECT 'claimed', ledger.view(v_account);
END $$;

-- A state of an open attempt: it moves forward only, and never out of an end.
CREATE FUNCTION ledger.note(p_event jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    v_account text := p_event->'result'->>'account';
    v_command_id text := p_event->'result'->>'command_id';
    v_state text := p_event->'result'->>'state';
BEGIN
    IF ledger.progress(v_state) IS NULL THEN
        RAISE EXCEPTION 'state % of command % is not one of an open attempt', v_state, v_command_id;
    END IF;
    PERFORM ledger.enter(v_account);
    UPDATE ledger.attempt
       SET state = CASE WHEN ledger.progress(v_state) > ledger.progress(state) THEN v_state ELSE state END
     WHERE command_id = v_command_id AND ended_at IS NULL;
    IF FOUND THEN
        PERFORM ledger.write_result(p_event);
    END IF;
    RETURN ledger.view(v_account);
END $$;

-- The end of an attempt of which no byte has left; in the same commit its hold goes, or shrinks to
-- the largest offer of those that share it.
CREATE FUNCTION ledger.drop_attempt(p_event jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    v_account text := p_event->'result'->>'account';
    v_command_id text := p_event->'result'->>'command_id';
    v_nonce text;
    v_last_deadline timestamptz;
    v_largest numeric;
BEGIN
    PERFORM ledger.enter(v_account);
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
    END IF;
    RETURN ledger.view(v_account);
END $$;

-- What was published to spend a nonce; written after it has left, since a brake waits for nothing.
CREATE FUNCTION ledger.note_revocation(p_account text, p_nonce text, p_revocation text) RETURNS jsonb
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM ledger.enter(p_account);
    UPDATE ledger.hold SET revocation = p_revocation WHERE nonce = p_nonce AND account = p_account;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'nonce % has no hold', p_nonce;
    END IF;
    RETURN ledger.view(p_account);
END $$;

CREATE FUNCTION ledger.note_surroundings(p_account text, p_reason text, p_until timestamptz) RETURNS jsonb
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM ledger.enter(p_account);
    INSERT INTO ledger.surroundings AS s (account, database, quarantined_until, reason)
    VALUES (p_account, CASE WHEN p_until IS NULL THEN ledger.database() END, p_until, p_reason)
    ON CONFLICT (account) DO UPDATE SET
        database = coalesce(excluded.database, s.database),
        quarantined_until = excluded.quarantined_until,
        reason = excluded.reason;
    RETURN ledger.view(p_account);
END $$;

-- An operator's word that an empty ledger is a new one; says whether it was taken.
CREATE FUNCTION ledger.declare_first_start(p_account text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM ledger.enter(p_account);
    IF EXISTS (SELECT FROM ledger.surroundings WHERE account = p_account)
       OR EXISTS (SELECT FROM ledger.attempt WHERE account = p_account) THEN
        RETURN false;
    END IF;
    PERFORM ledger.note_surroundings(p_account, '', NULL);
    RETURN true;
END $$;

-- The end of a nonce and all its offers, by the evidence in their results. A nonce that has ended stays as it is.
CREATE FUNCTION ledger.end_nonce(p_account text, p_ending jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_nonce text := p_ending->>'nonce';
    v_evidence jsonb := p_ending->'events'->0->'result'->'evidence';
    v_hold ledger.hold;
    v_event jsonb;
BEGIN
    SELECT * INTO v_hold FROM ledger.hold WHERE nonce = v_nonce AND account = p_account;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'nonce % has no hold', v_nonce;
    ELSIF v_hold.released_at IS NOT NULL THEN
        RETURN;
    END IF;
    IF v_evidence->>'height' IS NULL THEN
        RAISE EXCEPTION 'no evidence that nonce % has ended', v_nonce;
    END IF;
    -- Balances of an older block do not show what the evidence shows: the hold must outlive them.
    IF (SELECT height FROM ledger.inventory WHERE account = p_account AND asset = v_hold.asset)
       < (v_evidence->>'height')::bigint THEN
        RAISE EXCEPTION 'the ledger is older than the evidence that nonce % has ended', v_nonce;
    END IF;
    CASE
        -- An operator decides only what no block says.
        WHEN v_evidence->>'operator' IS NOT NULL THEN
            IF EXISTS (SELECT FROM ledger.attempt
                        WHERE nonce = v_nonce AND ended_at IS NULL AND state <> 'unproven') THEN
                RAISE EXCEPTION 'nonce % is not one that no block can judge', v_nonce;
            END IF;
        WHEN p_ending->>'state' IN ('settled', 'spent') THEN
            IF NOT (v_evidence->>'nonce_used')::boolean THEN
                RAISE EXCEPTION 'nonce % is unused: nothing settled', v_nonce;
            END IF;
        WHEN p_ending->>'state' = 'revoked' THEN
            IF NOT (v_evidence->>'nonce_used')::boolean OR v_evidence->>'executed' IS NULL
               OR EXISTS (SELECT FROM ledger.attempt WHERE nonce = v_nonce AND quote_hash = v_evidence->>'executed') THEN
                RAISE EXCEPTION 'nonce % was not shown to be used by another intent than its offers', v_nonce;
            END IF;
        WHEN p_ending->>'state' = 'lapsed' THEN
            IF (v_evidence->>'nonce_used')::boolean OR NOT (CASE
                   WHEN (v_evidence->>'salt_valid')::boolean
                   THEN (v_evidence->>'block_time')::timestamptz > v_hold.last_deadline
                        AND (v_evidence->>'block_time')::timestamptz <= v_hold.nonce_deadline
                   -- Unused at the last block of its salt, and not used in the next one, which ended the salt.
                   ELSE coalesce((v_evidence->>'salt_valid_at')::bigint < (v_evidence->>'height')::bigint, false)
               END) THEN
                RAISE EXCEPTION 'nonce % is not provably dead', v_nonce;
            END IF;
    END CASE;
    -- A nonce is used once: of the offers of a settled one, one settled and the others can do so no more.
    IF (SELECT array_agg(event->'result'->>'state' ORDER BY event->'result'->>'state' DESC)
          FROM jsonb_array_elements(p_ending->'events') AS event)
       <> ARRAY[p_ending->>'state'] || array_fill(
              CASE p_ending->>'state' WHEN 'settled' THEN 'lapsed' ELSE p_ending->>'state' END,
              ARRAY[jsonb_array_length(p_ending->'events') - 1]) THEN
        RAISE EXCEPTION 'the offers of nonce % cannot end like this', v_nonce;
    END IF;
    FOR v_event IN SELECT * FROM jsonb_array_elements(p_ending->'events') LOOP
        UPDATE ledger.attempt SET state = v_event->'result'->>'state', ended_at = clock_timestamp()
         WHERE command_id = v_event->'result'->>'command_id' AND nonce = v_nonce AND ended_at IS NULL;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'nonce % carried no open offer of command %', v_nonce, v_event->'result'->>'command_id';
        END IF;
    END LOOP;
    IF EXISTS (SELECT FROM ledger.attempt WHERE nonce = v_nonce AND ended_at IS NULL) THEN
        RAISE EXCEPTION 'nonce % has open offers whose end is not told', v_nonce;
    END IF;
    PERFORM ledger.release(v_nonce, v_evidence || jsonb_build_object('state', p_ending->>'state'));
    PERFORM ledger.write_result(event) FROM jsonb_array_elements(p_ending->'events') AS event;
END $$;

-- A final block's balances, and the releases that they justify, in one commit. Only a greater height counts.
CREATE FUNCTION ledger.apply_reading(p_account text, p_height bigint, p_credited jsonb, p_endings jsonb)
RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    PERFORM ledger.enter(p_account);
    INSERT INTO ledger.inventory AS i (account, asset, credited, height)
    SELECT p_account, key, value::numeric, p_height FROM jsonb_each_text(p_credited)
    ON CONFLICT (account, asset) DO UPDATE SET credited = excluded.credited, height = excluded.height
     WHERE i.height < excluded.height;
    PERFORM ledger.end_nonce(p_account, ending) FROM jsonb_array_elements(p_endings) AS ending;
    RETURN ledger.view(p_account);
END $$;

-- Everything a start needs, as of one instant. Open offers are in the order of their claims.
CREATE FUNCTION ledger.load(p_account text) RETURNS jsonb LANGUAGE sql STABLE AS $$
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
        'surroundings', (
            SELECT jsonb_build_object('database', database, 'quarantined_until', quarantined_until, 'reason', reason)
              FROM ledger.surroundings WHERE account = p_account
        ),
        'last_claimed_at', (SELECT max(claimed_at) FROM ledger.attempt WHERE account = p_account)
    )
$$;
