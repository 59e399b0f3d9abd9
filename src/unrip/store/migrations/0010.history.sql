-- The record (blueprint, section 10): one append-only table per topic, what was set aside, and the reader's offsets.
-- depends: 0001.desk

CREATE SCHEMA history;

-- What every topic's table has; only a pattern, dropped below.
CREATE TABLE history.event (
    event_id text PRIMARY KEY,
    topic_id text NOT NULL,
    "offset" bigint NOT NULL,
    correlation_id text NOT NULL,
    causation_id text,
    observed_at timestamptz NOT NULL,
    published_at timestamptz NOT NULL,
    written_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- SHA-256 of the payload's canonical bytes.
    payload_digest bytea NOT NULL,
    -- The whole event as it stood on the topic.
    event jsonb NOT NULL
);

-- The columns after the pattern's are those of store/history_tables.py. Integers of a payload are `numeric`: who can
-- write a topic can write numbers beyond bigint.
CREATE TABLE history.raw_quote (
    LIKE history.event INCLUDING ALL,
    quote_id text NOT NULL,
    in_filter boolean NOT NULL,
    received_at timestamptz NOT NULL
);
CREATE TABLE history.raw_quote_status (
    LIKE history.event INCLUDING ALL,
    quote_hash text NOT NULL,
    tx_hash text,
    received_at timestamptz NOT NULL
);
CREATE TABLE history.swap_demand (
    LIKE history.event INCLUDING ALL,
    quote_id text NOT NULL,
    pair text NOT NULL,
    direction text NOT NULL,
    amount_in numeric,
    amount_out numeric,
    partner_id text,
    received_at timestamptz NOT NULL,
    answer_by timestamptz NOT NULL
);
CREATE TABLE history.market_price (
    LIKE history.event INCLUDING ALL,
    pair text NOT NULL,
    fair_rate numeric,
    kraken_bid numeric,
    kraken_ask numeric,
    kraken_health text NOT NULL,
    coingecko_btc_eur numeric,
    coingecko_health text NOT NULL,
    eure_eur_observed numeric,
    disagreement numeric
);
CREATE TABLE history.intent_inventory (
    LIKE history.event INCLUDING ALL,
    account text NOT NULL,
    height numeric NOT NULL,
    block_time timestamptz NOT NULL,
    salt text NOT NULL
);
CREATE TABLE history.treasury (
    LIKE history.event INCLUDING ALL,
    account text NOT NULL,
    bridge_observed_at timestamptz
);
CREATE TABLE history.liquidity_action (
    LIKE history.event INCLUDING ALL,
    action_id text NOT NULL,
    account text NOT NULL,
    step text NOT NULL,
    asset_id text,
    amount numeric
);
CREATE TABLE history.trade_decision (
    LIKE history.event INCLUDING ALL,
    decision_id text NOT NULL,
    demand_id text NOT NULL,
    quote_id text NOT NULL,
    pair text NOT NULL,
    direction text NOT NULL,
    accepted boolean NOT NULL,
    reason text,
    decided_at timestamptz NOT NULL,
    price_id text,
    inventory_id text,
    policy_hash text NOT NULL,
    price_age_ms numeric,
    inventory_age_ms numeric,
    fair_rate numeric,
    implied_rate numeric,
    gross_edge numeric,
    edge_threshold numeric NOT NULL,
    notional_eur numeric,
    required numeric,
    spendable numeric
);
CREATE TABLE history.execute_trade (
    LIKE history.event INCLUDING ALL,
    command_id text NOT NULL,
    decision_id text NOT NULL,
    quote_id text NOT NULL,
    account text NOT NULL,
    pair text NOT NULL,
    direction text NOT NULL,
    amount_in numeric NOT NULL,
    amount_out numeric NOT NULL,
    gross_edge numeric NOT NULL,
    notional_eur numeric NOT NULL,
    offer_deadline timestamptz NOT NULL,
    nonce text NOT NULL,
    generation numeric NOT NULL
);
CREATE TABLE history.trade_result (
    LIKE history.event INCLUDING ALL,
    command_id text NOT NULL,
    quote_id text NOT NULL,
    account text NOT NULL,
    pair text NOT NULL,
    direction text NOT NULL,
    state text NOT NULL,
    reason text,
    quote_hash text,
    tx_hash text,
    evidence_height numeric,
    next_check_at timestamptz
);
CREATE TABLE history.control_action (
    LIKE history.event INCLUDING ALL,
    service text NOT NULL,
    instance text NOT NULL,
    action text NOT NULL,
    actor text NOT NULL,
    reason text NOT NULL,
    applied boolean NOT NULL,
    acted_at timestamptz NOT NULL
);
CREATE TABLE history.service_status (
    LIKE history.event INCLUDING ALL,
    service text NOT NULL,
    instance text NOT NULL,
    active boolean NOT NULL,
    healthy boolean NOT NULL,
    ready boolean NOT NULL,
    generation numeric,
    lag numeric
);
CREATE TABLE history.dead_letter (
    LIKE history.event INCLUDING ALL,
    source text NOT NULL,
    reason text NOT NULL,
    size_bytes numeric NOT NULL
);
DROP TABLE history.event;

-- An id that came again with another payload (stamps aside): the first record stays in its table, the other is here.
CREATE TABLE history.conflicting_record (
    topic text NOT NULL,
    topic_id text NOT NULL,
    "offset" bigint NOT NULL,
    event_id text NOT NULL,
    event jsonb NOT NULL,
    found_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (topic_id, "offset")
);

-- Records that are no event of their topic, or that PostgreSQL cannot hold as one, byte for byte.
CREATE TABLE history.invalid_record (
    topic text NOT NULL,
    topic_id text NOT NULL,
    "offset" bigint NOT NULL,
    reason text NOT NULL,
    data bytea NOT NULL,
    found_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (topic_id, "offset")
);

DO $$
DECLARE
    v_table text;
BEGIN
    FOR v_table IN SELECT tablename FROM pg_tables WHERE schemaname = 'history' LOOP
        EXECUTE format('CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON history.%I
                        FOR EACH ROW EXECUTE FUNCTION desk.refuse_change()', v_table);
        EXECUTE format('CREATE TRIGGER not_truncated BEFORE TRUNCATE ON history.%I
                        FOR EACH STATEMENT EXECUTE FUNCTION desk.refuse_change()', v_table);
    END LOOP;
END $$;

-- Every record of a topic before `next_offset` is in the history. The topic's own id is stored, since the offsets of a
-- topic that was made anew mean other records; `writer` is the instance that committed last.
CREATE TABLE history.consumer_offset (
    topic text PRIMARY KEY,
    topic_id text NOT NULL,
    next_offset bigint NOT NULL,
    writer text NOT NULL,
    moved_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- text_pattern_ops: `unrip explain` takes the beginning of an id.
CREATE INDEX raw_quote_of ON history.raw_quote (quote_id text_pattern_ops);
CREATE INDEX swap_demand_of ON history.swap_demand (quote_id text_pattern_ops);
CREATE INDEX trade_decision_of ON history.trade_decision (quote_id text_pattern_ops);
CREATE INDEX execute_trade_of ON history.execute_trade (quote_id text_pattern_ops);
CREATE INDEX trade_result_of ON history.trade_result (quote_id text_pattern_ops);
CREATE INDEX trade_decision_at ON history.trade_decision (decided_at);
CREATE INDEX refused_at ON history.trade_decision (decided_at) WHERE NOT accepted;
CREATE INDEX settled_at ON history.trade_result (direction, published_at) WHERE state = 'settled';
CREATE INDEX market_price_at ON history.market_price (pair, observed_at);
CREATE INDEX intent_inventory_at ON history.intent_inventory (account, observed_at);
CREATE INDEX treasury_at ON history.treasury (account, observed_at);
CREATE INDEX service_status_at ON history.service_status (service, observed_at);

-- Every state a quote's command has come to, in the order in which they were published.
CREATE VIEW history.attempt AS
SELECT quote_id,
       (array_agg(state ORDER BY published_at DESC, "offset" DESC))[1] AS latest_state,
       array_agg(state ORDER BY published_at, "offset") AS states,
       -- Why there was nothing to sell: of a rejection or a drop.
       max(reason) FILTER (WHERE state IN ('rejected', 'dropped')) AS given_up_because,
       max(tx_hash) AS tx_hash,
       jsonb_agg(event ORDER BY published_at, "offset") AS results
  FROM history.trade_result
 GROUP BY quote_id;

-- One row per quote: quote, demand, price, inventory, decision, command, results. What is missing is NULL.
CREATE VIEW history.trade_chain AS
SELECT known.quote_id,
       quote.event_id AS raw_quote_id, demand.event_id AS demand_id, price.event_id AS price_id,
       inventory.event_id AS inventory_id, decision.event_id AS decision_id, command.event_id AS command_id,
       coalesce(decision.direction, demand.direction, command.direction) AS direction,
       coalesce(demand.received_at, quote.received_at) AS received_at,
       decision.decided_at, decision.accepted, decision.reason, decision.fair_rate, decision.implied_rate,
       decision.gross_edge, decision.edge_threshold, decision.notional_eur,
       command.amount_in, command.amount_out,
       attempt.latest_state, attempt.states, attempt.tx_hash,
       quote.event AS raw_quote, demand.event AS demand, price.event AS price, inventory.event AS inventory,
       decision.event AS decision, command.event AS command, attempt.results
  FROM (SELECT quote_id FROM history.raw_quote WHERE in_filter
         UNION SELECT quote_id FROM history.swap_demand
         UNION SELECT quote_id FROM history.trade_decision
         UNION SELECT quote_id FROM history.execute_trade
         UNION SELECT quote_id FROM history.trade_result) AS known
  LEFT JOIN history.raw_quote AS quote USING (quote_id)
  LEFT JOIN history.swap_demand AS demand USING (quote_id)
  LEFT JOIN history.trade_decision AS decision USING (quote_id)
  LEFT JOIN history.market_price AS price ON price.event_id = decision.price_id
  LEFT JOIN history.intent_inventory AS inventory ON inventory.event_id = decision.inventory_id
  LEFT JOIN history.execute_trade AS command USING (quote_id)
  LEFT JOIN LATERAL (SELECT * FROM history.attempt AS a WHERE a.quote_id = known.quote_id) AS attempt ON true;

-- What became of every decided quote: open, or exactly one class of the blueprint's section 10, or `taker_unknown`: one
-- of the offers that shared its nonce settled, nobody knows which. Nothing produces `revoked` or `failed` yet. `refused_by` and `reason` say more where it was ours to refuse.
CREATE VIEW history.loss_ledger AS
SELECT decision.quote_id, decision.direction, decision.decided_at, decision.notional_eur, verdict.class,
       CASE WHEN NOT decision.accepted THEN 'strategy'
            WHEN attempt.latest_state IN ('rejected', 'dropped') THEN 'executor' END AS refused_by,
       coalesce(decision.reason, attempt.given_up_because) AS reason
  FROM history.trade_decision AS decision
  LEFT JOIN LATERAL (SELECT * FROM history.attempt AS a WHERE a.quote_id = decision.quote_id) AS attempt ON true
 CROSS JOIN LATERAL (
       SELECT CASE
           WHEN 'settled' = ANY (attempt.states) THEN 'settled'
           WHEN coalesce(decision.reason, attempt.given_up_because) = 'window_closed' THEN 'late'
           WHEN NOT decision.accepted OR attempt.states && ARRAY['rejected', 'dropped'] THEN 'refused_by_us'
           WHEN attempt.states @> ARRAY['lapsed', 'refused'] THEN 'refused_by_relay'
           WHEN 'lapsed' = ANY (attempt.states) THEN 'not_chosen'
           WHEN 'spent' = ANY (attempt.states) THEN 'taker_unknown'
           ELSE 'open' END AS class) AS verdict;

-- The newest row per key, found by one index step per key instead of a walk over all rows.
DO $$
DECLARE
    v_view record;
BEGIN
    FOR v_view IN SELECT * FROM (VALUES ('current_price', 'market_price', 'pair'),
                                        ('current_inventory', 'intent_inventory', 'account'),
                                        ('current_treasury', 'treasury', 'account'),
                                        ('current_status', 'service_status', 'service')) AS v (name, source, key) LOOP
        EXECUTE format('
            CREATE VIEW history.%1$I AS
            WITH RECURSIVE known (key) AS (
                SELECT min(%3$I) FROM history.%2$I
                 UNION ALL
                SELECT (SELECT min(%3$I) FROM history.%2$I WHERE %3$I > known.key) FROM known WHERE known.key IS NOT NULL
            )
            SELECT newest.* FROM known CROSS JOIN LATERAL (
                SELECT * FROM history.%2$I WHERE %3$I = known.key ORDER BY observed_at DESC LIMIT 1
            ) AS newest', v_view.name, v_view.source, v_view.key);
    END LOOP;
END $$;
