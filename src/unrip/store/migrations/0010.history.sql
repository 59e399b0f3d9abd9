-- The record: one append-only table per topic, the reader's positions, and what came twice with another payload.
-- depends: 0001.desk

CREATE SCHEMA history;

-- What every topic's table has. Columns that people query are generated from the event itself, so that they cannot
-- differ from it, and every table is written by the same statement.
CREATE TABLE history.event (
    event_id text NOT NULL,
    topic_id text NOT NULL,
    "offset" bigint NOT NULL,
    correlation_id text NOT NULL,
    causation_id text,
    observed_at timestamptz NOT NULL,
    published_at timestamptz NOT NULL,
    written_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    payload_digest bytea NOT NULL,
    event jsonb NOT NULL,
    PRIMARY KEY (event_id)
);

CREATE TABLE history.raw_quote (
    LIKE history.event INCLUDING ALL,
    quote_id text GENERATED ALWAYS AS (event->'payload'->>'quote_id') STORED
);
CREATE TABLE history.raw_quote_status (
    LIKE history.event INCLUDING ALL,
    quote_hash text GENERATED ALWAYS AS (event->'payload'->>'quote_hash') STORED,
    tx_hash text GENERATED ALWAYS AS (event->'payload'->>'tx_hash') STORED
);
CREATE TABLE history.swap_demand (
    LIKE history.event INCLUDING ALL,
    quote_id text GENERATED ALWAYS AS (event->'payload'->>'quote_id') STORED,
    pair text GENERATED ALWAYS AS (event->'payload'->>'pair') STORED,
    direction text GENERATED ALWAYS AS (event->'payload'->>'direction') STORED,
    amount_in numeric GENERATED ALWAYS AS ((event->'payload'->>'amount_in')::numeric) STORED,
    amount_out numeric GENERATED ALWAYS AS ((event->'payload'->>'amount_out')::numeric) STORED
);
CREATE TABLE history.market_price (
    LIKE history.event INCLUDING ALL,
    pair text GENERATED ALWAYS AS (event->'payload'->>'pair') STORED,
    fair_rate numeric GENERATED ALWAYS AS ((event->'payload'->>'fair_rate')::numeric) STORED,
    kraken_health text GENERATED ALWAYS AS (event->'payload'->>'kraken_health') STORED,
    coingecko_health text GENERATED ALWAYS AS (event->'payload'->>'coingecko_health') STORED
);
CREATE TABLE history.intent_inventory (
    LIKE history.event INCLUDING ALL,
    account text GENERATED ALWAYS AS (event->'payload'->>'account') STORED,
    height bigint GENERATED ALWAYS AS ((event->'payload'->>'height')::bigint) STORED
);
CREATE TABLE history.treasury (
    LIKE history.event INCLUDING ALL,
    account text GENERATED ALWAYS AS (event->'payload'->>'account') STORED
);
CREATE TABLE history.liquidity_action (
    LIKE history.event INCLUDING ALL,
    action_id text GENERATED ALWAYS AS (event->'payload'->>'action_id') STORED,
    step text GENERATED ALWAYS AS (event->'payload'->>'step') STORED,
    asset_id text GENERATED ALWAYS AS (event->'payload'->>'asset_id') STORED,
    amount numeric GENERATED ALWAYS AS ((event->'payload'->>'amount')::numeric) STORED
);
CREATE TABLE history.trade_decision (
    LIKE history.event INCLUDING ALL,
    decision_id text GENERATED ALWAYS AS (event->'payload'->>'decision_id') STORED,
    quote_id text GENERATED ALWAYS AS (event->'payload'->>'quote_id') STORED,
    direction text GENERATED ALWAYS AS (event->'payload'->>'direction') STORED,
    accepted boolean GENERATED ALWAYS AS ((event->'payload'->>'accepted')::boolean) STORED,
    reason text GENERATED ALWAYS AS (event->'payload'->>'reason') STORED,
    price_id text GENERATED ALWAYS AS (event->'payload'->>'price_id') STORED,
    inventory_id text GENERATED ALWAYS AS (event->'payload'->>'inventory_id') STORED,
    policy_hash text GENERATED ALWAYS AS (event->'payload'->>'policy_hash') STORED,
    gross_edge numeric GENERATED ALWAYS AS ((event->'payload'->>'gross_edge')::numeric) STORED,
    notional_eur numeric GENERATED ALWAYS AS ((event->'payload'->>'notional_eur')::numeric) STORED
);
CREATE TABLE history.execute_trade (
    LIKE history.event INCLUDING ALL,
    command_id text GENERATED ALWAYS AS (event->'payload'->>'command_id') STORED,
    decision_id text GENERATED ALWAYS AS (event->'payload'->>'decision_id') STORED,
    quote_id text GENERATED ALWAYS AS (event->'payload'->>'quote_id') STORED,
    direction text GENERATED ALWAYS AS (event->'payload'->>'direction') STORED,
    amount_in numeric GENERATED ALWAYS AS ((event->'payload'->>'amount_in')::numeric) STORED,
    amount_out numeric GENERATED ALWAYS AS ((event->'payload'->>'amount_out')::numeric) STORED,
    gross_edge numeric GENERATED ALWAYS AS ((event->'payload'->>'gross_edge')::numeric) STORED
);
CREATE TABLE history.trade_result (
    LIKE history.event INCLUDING ALL,
    command_id text GENERATED ALWAYS AS (event->'payload'->>'command_id') STORED,
    quote_id text GENERATED ALWAYS AS (event->'payload'->>'quote_id') STORED,
    direction text GENERATED ALWAYS AS (event->'payload'->>'direction') STORED,
    state text GENERATED ALWAYS AS (event->'payload'->>'state') STORED,
    reason text GENERATED ALWAYS AS (event->'payload'->>'reason') STORED,
    quote_hash text GENERATED ALWAYS AS (event->'payload'->>'quote_hash') STORED
);
CREATE TABLE history.control_action (
    LIKE history.event INCLUDING ALL,
    service text GENERATED ALWAYS AS (event->'payload'->>'service') STORED,
    action text GENERATED ALWAYS AS (event->'payload'->>'action') STORED,
    actor text GENERATED ALWAYS AS (event->'payload'->>'actor') STORED,
    applied boolean GENERATED ALWAYS AS ((event->'payload'->>'applied')::boolean) STORED
);
CREATE TABLE history.service_status (
    LIKE history.event INCLUDING ALL,
    service text GENERATED ALWAYS AS (event->'payload'->>'service') STORED,
    instance text GENERATED ALWAYS AS (event->'payload'->>'instance') STORED,
    ready boolean GENERATED ALWAYS AS ((event->'payload'->>'ready')::boolean) STORED
);
CREATE TABLE history.dead_letter (
    LIKE history.event INCLUDING ALL,
    source text GENERATED ALWAYS AS (event->'payload'->>'source') STORED,
    reason text GENERATED ALWAYS AS (event->'payload'->>'reason') STORED
);

CREATE INDEX ON history.raw_quote (quote_id);
CREATE INDEX ON history.swap_demand (quote_id);
CREATE INDEX ON history.trade_decision (quote_id);
CREATE INDEX ON history.trade_decision (published_at);
CREATE INDEX ON history.execute_trade (quote_id);
CREATE INDEX ON history.trade_result (quote_id);
CREATE INDEX ON history.market_price (observed_at);
CREATE INDEX ON history.intent_inventory (observed_at);
CREATE INDEX ON history.service_status (service, published_at);

-- The first record of an id wins. A later one with another payload (stamps aside) is kept aside and alarmed.
CREATE TABLE history.conflicting_record (
    topic text NOT NULL,
    topic_id text NOT NULL,
    "offset" bigint NOT NULL,
    event_id text NOT NULL,
    event jsonb NOT NULL,
    found_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (topic_id, "offset")
);

-- Where reading goes on. The topic's own id is stored: a recreated topic is an error with a name, never a silent skip.
CREATE TABLE history.consumer_offset (
    topic text PRIMARY KEY,
    topic_id text NOT NULL,
    next_offset bigint NOT NULL
);

DO $$
DECLARE
    v_table text;
BEGIN
    FOR v_table IN SELECT tablename FROM pg_tables
                    WHERE schemaname = 'history' AND tablename NOT IN ('event', 'consumer_offset') LOOP
        EXECUTE format('CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON history.%I
                        FOR EACH ROW EXECUTE FUNCTION desk.refuse_change()', v_table);
        EXECUTE format('CREATE TRIGGER not_truncated BEFORE TRUNCATE ON history.%I
                        FOR EACH STATEMENT EXECUTE FUNCTION desk.refuse_change()', v_table);
    END LOOP;
END $$;
DROP TABLE history.event;

-- Quote, price, inventory, decision, command and result of a trade on one row (R22).
CREATE VIEW history.trade_chain AS
SELECT q.quote_id,
       q.event AS raw_quote,
       d.event_id AS demand_id, d.event AS demand,
       p.event_id AS price_id, p.event AS price,
       i.event_id AS inventory_id, i.event AS inventory,
       t.decision_id, t.accepted, t.reason, t.gross_edge, t.notional_eur, t.event AS decision,
       c.command_id, c.event AS command,
       r.state AS latest_state, r.states, r.results
  FROM history.trade_decision AS t
  LEFT JOIN history.raw_quote AS q ON q.quote_id = t.quote_id
  LEFT JOIN history.swap_demand AS d ON d.quote_id = t.quote_id
  LEFT JOIN history.market_price AS p ON p.event_id = t.price_id
  LEFT JOIN history.intent_inventory AS i ON i.event_id = t.inventory_id
  LEFT JOIN history.execute_trade AS c ON c.quote_id = t.quote_id
  LEFT JOIN LATERAL (
      SELECT (array_agg(state ORDER BY "offset" DESC))[1] AS state,
             array_agg(state ORDER BY "offset") AS states,
             jsonb_agg(event ORDER BY "offset") AS results
        FROM history.trade_result WHERE quote_id = t.quote_id
  ) AS r ON true;

-- Every decided quote is open or ends in exactly one class (blueprint, section 10).
CREATE VIEW history.loss_ledger AS
SELECT t.quote_id, t.direction, t.published_at,
       CASE
           WHEN NOT t.accepted AND t.reason = 'window_closed' THEN 'late'
           WHEN NOT t.accepted THEN 'refused by us: ' || t.reason
           WHEN 'settled' = ANY (r.states) THEN 'settled'
           WHEN 'rejected' = ANY (r.states) OR 'dropped' = ANY (r.states) THEN
               CASE WHEN 'window_closed' = ANY (r.reasons) THEN 'late'
                    ELSE 'refused by us: ' || coalesce(r.reasons[1], 'unknown') END
           WHEN 'lapsed' = ANY (r.states) AND 'refused' = ANY (r.states) THEN 'refused by relay'
           WHEN 'lapsed' = ANY (r.states) THEN 'not chosen'
           ELSE 'open'
       END AS class
  FROM history.trade_decision AS t
  LEFT JOIN LATERAL (
      SELECT array_agg(state) AS states,
             array_agg(reason) FILTER (WHERE state IN ('rejected', 'dropped')) AS reasons
        FROM history.trade_result WHERE quote_id = t.quote_id
  ) AS r ON true;

CREATE VIEW history.current_status AS
SELECT DISTINCT ON (service) service, instance, ready, published_at, event
  FROM history.service_status ORDER BY service, published_at DESC;
CREATE VIEW history.current_price AS
SELECT DISTINCT ON (pair) pair, fair_rate, observed_at, event
  FROM history.market_price ORDER BY pair, observed_at DESC;
CREATE VIEW history.current_inventory AS
SELECT DISTINCT ON (account) account, height, observed_at, event
  FROM history.intent_inventory ORDER BY account, observed_at DESC;
