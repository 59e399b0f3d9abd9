-- A used nonce alone is no fill (blueprint, principle 3): `settled` needs a movement, and a nonce that was used by an
-- intent which is none of its offers ends as `voided`, with their amounts unmoved. An operator decides only what can no
-- longer be taken.
-- depends: 0002.ledger 0010.history

-- The constraint of 0002 that lists the states which end an attempt; PostgreSQL named it.
DO $$
DECLARE
    v_name name;
BEGIN
    SELECT conname INTO STRICT v_name FROM pg_constraint
     WHERE conrelid = 'ledger.attempt'::regclass AND contype = 'c' AND pg_get_constraintdef(oid) LIKE '%ended_at%';
    EXECUTE format('ALTER TABLE ledger.attempt DROP CONSTRAINT %I', v_name);
END $$;
ALTER TABLE ledger.attempt ADD CONSTRAINT attempt_ended CHECK (
    (ended_at IS NOT NULL) = (state IN ('rejected', 'settled', 'lapsed', 'spent', 'voided', 'revoked', 'dropped')));

-- Whether a balance moved since an earlier block. Which of our offers that explains is judged by who knows all of them.
CREATE FUNCTION ledger.moved(p_evidence jsonb) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce((p_evidence->>'compared_with')::bigint < (p_evidence->>'height')::bigint, false)
       AND EXISTS (SELECT FROM jsonb_each_text(p_evidence->'moved') WHERE value::numeric <> 0)
$$;

-- Whether the evidence in an ending's results shows that its nonce has come to this state. `p_evidence` is the first
-- result's; only what is about one offer is looked for in that offer's own.
CREATE FUNCTION ledger.proves(p_hold ledger.hold, p_ending jsonb, p_evidence jsonb) RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT CASE
        -- An operator decides what no block says, and only where no offer can be taken any more.
        WHEN p_evidence->>'operator' IS NOT NULL THEN
            NOT EXISTS (SELECT FROM ledger.attempt
                         WHERE nonce = p_hold.nonce AND ended_at IS NULL AND state <> 'unproven')
            AND ((p_evidence->>'nonce_used')::boolean
                 OR (p_evidence->>'block_time')::timestamptz > p_hold.last_deadline)
        -- A transaction that executed this offer, or balances that moved since a block with the nonce unused.
        WHEN p_ending->>'state' = 'settled' THEN
            (p_evidence->>'nonce_used')::boolean AND EXISTS (
                SELECT FROM jsonb_array_elements(p_ending->'events') AS event
                 WHERE event->'result'->>'state' = 'settled'
                   AND (event->'result'->'evidence'->>'executed' = event->'result'->>'quote_hash'
                        OR ledger.moved(p_evidence)))
        WHEN p_ending->>'state' = 'spent' THEN (p_evidence->>'nonce_used')::boolean AND ledger.moved(p_evidence)
        WHEN p_ending->>'state' IN ('voided', 'revoked') THEN
            (p_evidence->>'nonce_used')::boolean
            AND NOT EXISTS (SELECT FROM ledger.attempt
                             WHERE nonce = p_hold.nonce AND quote_hash = p_evidence->>'executed')
            AND (p_evidence->>'executed' IS NOT NULL
                 OR (p_ending->>'state' = 'voided'
                     AND (p_evidence->>'compared_with')::bigint < (p_evidence->>'height')::bigint))
        WHEN p_ending->>'state' = 'lapsed' THEN
            NOT (p_evidence->>'nonce_used')::boolean AND CASE
                WHEN (p_evidence->>'salt_valid')::boolean
                THEN (p_evidence->>'block_time')::timestamptz > p_hold.last_deadline
                     AND (p_evidence->>'block_time')::timestamptz <= p_hold.nonce_deadline
                -- Unused at the last block of its salt, and not used in the next one, which ended the salt.
                ELSE coalesce((p_evidence->>'salt_valid_at')::bigint < (p_evidence->>'height')::bigint, false)
            END
        ELSE false
    END
$$;

-- The end of a nonce and all its offers, by the evidence in their results. A nonce that has ended stays as it is.
CREATE OR REPLACE FUNCTION ledger.end_nonce(p_account text, p_ending jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_nonce text := p_ending->>'nonce';
    v_state text := p_ending->>'state';
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
    IF NOT coalesce(ledger.proves(v_hold, p_ending, v_evidence), false) THEN
        RAISE EXCEPTION 'the evidence does not show that nonce % has %', v_nonce, v_state;
    END IF;
    -- A nonce is used once: of the offers of a settled one, one settled and the others can do so no more.
    IF (SELECT array_agg(event->'result'->>'state' ORDER BY event->'result'->>'state' DESC)
          FROM jsonb_array_elements(p_ending->'events') AS event)
       <> ARRAY[v_state] || array_fill(CASE v_state WHEN 'settled' THEN 'lapsed' ELSE v_state END,
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
    PERFORM ledger.release(v_nonce, v_evidence || jsonb_build_object('state', v_state));
    PERFORM ledger.write_result(event) FROM jsonb_array_elements(p_ending->'events') AS event;
END $$;

-- As in 0010, with one class more: `voided`, of which the nonce was used and nothing of ours moved.
CREATE OR REPLACE VIEW history.loss_ledger AS
SELECT decision.quote_id, decision.direction, decision.decided_at, decision.notional_eur, verdict.class,
       CASE WHEN NOT decision.accepted THEN 'strategy'
            WHEN attempt.latest_state IN ('rejected', 'dropped') THEN 'executor' END AS refused_by,
       coalesce(decision.reason, attempt.given_up_because) AS reason
  FROM history.trade_decision AS decision
  LEFT JOIN LATERAL (SELECT * FROM history.attempt AS a WHERE a.quote_id = decision.quote_id) AS attempt ON true
 CROSS JOIN LATERAL (
       SELECT CASE
           WHEN 'settled' = ANY (attempt.states) THEN 'settled'
           WHEN 'revoked' = ANY (attempt.states) THEN 'revoked'
           WHEN coalesce(decision.reason, attempt.given_up_because) = 'window_closed' THEN 'late'
           WHEN NOT decision.accepted OR attempt.states && ARRAY['rejected', 'dropped'] THEN 'refused_by_us'
           WHEN attempt.states @> ARRAY['lapsed', 'refused'] THEN 'refused_by_relay'
           WHEN 'lapsed' = ANY (attempt.states) THEN 'not_chosen'
           WHEN 'spent' = ANY (attempt.states) THEN 'taker_unknown'
           WHEN 'voided' = ANY (attempt.states) THEN 'voided'
           ELSE 'open' END AS class) AS verdict;
