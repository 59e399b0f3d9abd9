-- What is current is what was observed last, and nothing was observed after it was written: a record that is dated
-- ahead, by a wrong clock or by whoever wrote it, does not hide all that come after it.
-- depends: 0010.history

DO $$
DECLARE
    v_view record;
BEGIN
    FOR v_view IN SELECT * FROM (VALUES ('current_price', 'market_price', 'pair'),
                                        ('current_inventory', 'intent_inventory', 'account'),
                                        ('current_treasury', 'treasury', 'account'),
                                        ('current_status', 'service_status', 'service')) AS v (name, source, key) LOOP
        EXECUTE format('
            CREATE INDEX %1$I ON history.%2$I (%3$I, least(observed_at, written_at))',
            v_view.source || '_current', v_view.source, v_view.key);
        EXECUTE format('
            CREATE OR REPLACE VIEW history.%1$I AS
            WITH RECURSIVE known (key) AS (
                SELECT min(%3$I) FROM history.%2$I
                 UNION ALL
                SELECT (SELECT min(%3$I) FROM history.%2$I WHERE %3$I > known.key) FROM known WHERE known.key IS NOT NULL
            )
            SELECT newest.* FROM known CROSS JOIN LATERAL (
                SELECT * FROM history.%2$I WHERE %3$I = known.key ORDER BY least(observed_at, written_at) DESC LIMIT 1
            ) AS newest', v_view.name, v_view.source, v_view.key);
    END LOOP;
END $$;

-- What only these views asked for.
DROP INDEX history.intent_inventory_at, history.treasury_at, history.service_status_at;
