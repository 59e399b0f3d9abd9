-- A hold says what it is for: offers share theirs by nonce, and what is held for something else is never one of theirs.
-- depends: 0022.ledger-commits

ALTER TABLE ledger.hold ADD COLUMN kind text NOT NULL DEFAULT 'offer' CHECK (kind IN ('offer', 'withdrawal'));
ALTER TABLE ledger.hold ALTER COLUMN kind DROP DEFAULT;

-- Claim, hold and signed payload. `p_rejection` is the result to publish if the claim is refused here. One that was
-- perhaps sent is held whatever is credited and whoever commanded it, also on a nonce that has ended: the bytes are outside.
-- Only a nonce that is used takes nobody's bytes any more. What was adopted does not say who commands now.
CREATE OR REPLACE FUNCTION ledger.claim(
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
    -- And what is held for something else than an offer is none of an offer's: nobody ever signed for both on one nonce.
    ELSIF v_hold.kind <> 'offer'
       OR v_hold.release_evidence->>'state' <> 'dropped'
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

    INSERT INTO ledger.hold AS h (kind, nonce, account, asset, amount, last_deadline, nonce_deadline, salt)
    VALUES ('offer', v_nonce, v_account, p_offer->>'asset_out', v_amount, (p_offer->>'offer_deadline')::timestamptz,
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
