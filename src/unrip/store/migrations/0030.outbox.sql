-- The outbox takes events of any topic: a row says which, and all that the envelope of its event says. Others who commit
-- events make a table of this form beside their own: CREATE TABLE theirs.outbox (LIKE ledger.outbox INCLUDING ALL). All of them
-- count by one sequence.
-- depends: 0022.ledger-commits

ALTER TABLE ledger.outbox
    -- What is in it already are results, which were published as the venue's and without the outside's time.
    ADD COLUMN topic text NOT NULL DEFAULT 'exec.trade_result',
    ADD COLUMN occurred_at timestamptz,
    ADD COLUMN venue text DEFAULT 'near_intents',
    ADD COLUMN pair text;
ALTER TABLE ledger.outbox ALTER COLUMN topic DROP DEFAULT, ALTER COLUMN venue DROP DEFAULT;

-- A result carries the ledger as of its commit: no other event has such a column.
UPDATE ledger.outbox SET pair = payload->>'pair', payload = payload || jsonb_build_object('ledger', ledger_view);
ALTER TABLE ledger.outbox DROP COLUMN ledger_view;

-- The result row of a state. The same state again is the same row.
CREATE OR REPLACE FUNCTION ledger.write_result(p_event jsonb) RETURNS void LANGUAGE sql AS $$
    INSERT INTO ledger.outbox
        (topic, event_id, correlation_id, causation_id, observed_at, venue, pair, stages, payload)
    VALUES (
        'exec.trade_result', p_event->>'event_id', p_event->>'correlation_id', p_event->>'causation_id',
        (p_event->>'observed_at')::timestamptz, 'near_intents', p_event->'result'->>'pair', p_event->'stages',
        p_event->'result' || jsonb_build_object('ledger', ledger.view(p_event->'result'->>'account'))
    )
    ON CONFLICT (event_id) DO NOTHING
$$;
