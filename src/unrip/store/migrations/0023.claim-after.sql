-- A claim names the newest commit that was heard of, whoever commanded it.
-- depends: 0022.ledger-commits 0024.commands

DROP FUNCTION ledger.claim_of_known_strategy(jsonb, bigint, text, bigint, jsonb, jsonb, boolean);

-- A claim, unless it is of a strategy that never was. What was perhaps sent is claimed whoever commanded it.
CREATE FUNCTION ledger.claim_of_known_strategy(
    p_offer jsonb, p_generation bigint, p_topic_id text, p_next_offset bigint, p_event jsonb, p_rejection jsonb,
    p_perhaps_sent boolean, p_after bigint
) RETURNS TABLE (kind text, ledger_view jsonb) LANGUAGE plpgsql AS $$
DECLARE
    v_given bigint := ledger.given_generation();
BEGIN
    IF p_perhaps_sent OR v_given IS NULL OR p_generation <= v_given THEN
        RETURN QUERY SELECT c.kind, c.ledger_view FROM ledger.claim(
            p_offer, least(p_generation, v_given), p_topic_id, p_next_offset, p_event, p_rejection, p_perhaps_sent, p_after
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
                         p_topic_id, p_next_offset, p_rejection, p_after) AS r;
END $$;
