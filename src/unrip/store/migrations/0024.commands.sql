-- Nothing that a command says of itself bounds it: its generation is judged by the number that take-overs have raised
-- here.
-- depends: 0002.ledger

-- Of the newest strategy that ever took over; NULL before the first one.
CREATE FUNCTION ledger.given_generation() RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT generation FROM desk.generation WHERE role = 'strategy-engine'
$$;

-- A number that no take-over has given counts nowhere, also where an earlier build has stored one.
CREATE OR REPLACE FUNCTION ledger.newest_generation(p_account text) RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT coalesce(max(generation), 0) FROM ledger.attempt
     WHERE account = p_account AND nonce IS NOT NULL AND generation <= coalesce(ledger.given_generation(), generation)
$$;

-- A claim, unless it is of a strategy that never was. What was perhaps sent is claimed whoever commanded it.
CREATE FUNCTION ledger.claim_of_known_strategy(
    p_offer jsonb, p_generation bigint, p_topic_id text, p_next_offset bigint, p_event jsonb, p_rejection jsonb,
    p_perhaps_sent boolean
) RETURNS TABLE (kind text, ledger_view jsonb) LANGUAGE plpgsql AS $$
DECLARE
    v_given bigint := ledger.given_generation();
BEGIN
    IF p_perhaps_sent OR v_given IS NULL OR p_generation <= v_given THEN
        RETURN QUERY SELECT c.kind, c.ledger_view FROM ledger.claim(
            p_offer, least(p_generation, v_given), p_topic_id, p_next_offset, p_event, p_rejection, p_perhaps_sent
        ) AS c;
        RETURN;
    END IF;
    p_rejection := jsonb_set(p_rejection, '{result,reason}', '"command_invalid"');
    p_rejection := jsonb_set(p_rejection, '{result,numbers}', jsonb_build_object(
        'fault', 'no strategy of this generation ever took over',
        'generation', p_generation::text, 'newest_generation', v_given::text
    ));
    RETURN QUERY SELECT CASE r.kind WHEN 'rejected' THEN 'command_invalid' ELSE r.kind END, r.ledger_view
      FROM ledger.reject(p_offer->>'command_id', p_offer->>'quote_id', p_offer->>'account', v_given,
                         p_topic_id, p_next_offset, p_rejection) AS r;
END $$;

-- What was claimed within the last minute is counted at each start.
CREATE INDEX claimed_lately ON ledger.attempt (account, claimed_at) WHERE nonce IS NOT NULL;
