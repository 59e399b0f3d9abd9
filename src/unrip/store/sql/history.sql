-- offsets --
SELECT topic, topic_id, next_offset FROM history.consumer_offset;

-- position --
SELECT topic_id, next_offset FROM history.consumer_offset WHERE topic = $1;

-- begin_topic --
INSERT INTO history.consumer_offset (topic, topic_id, next_offset) VALUES ($1, $2, $3)
ON CONFLICT (topic) DO NOTHING RETURNING topic;

-- advance_topic --
UPDATE history.consumer_offset SET next_offset = $4 WHERE topic = $1 AND topic_id = $2 AND next_offset = $3
RETURNING topic;

-- insert --
INSERT INTO history.{table} AS stored
       (event_id, topic_id, "offset", correlation_id, causation_id, observed_at, published_at, payload_digest, event)
SELECT event_id, $2, "offset", correlation_id, causation_id, observed_at, published_at, payload_digest, event::jsonb
  FROM UNNEST($1::text[], $3::bigint[], $4::text[], $5::text[], $6::timestamptz[], $7::timestamptz[], $8::bytea[], $9::text[])
       AS batch (event_id, "offset", correlation_id, causation_id, observed_at, published_at, payload_digest, event)
ON CONFLICT (event_id) DO NOTHING
RETURNING event_id;

-- insert_conflicts --
INSERT INTO history.conflicting_record (topic, topic_id, "offset", event_id, event)
SELECT $1, $2, batch."offset", batch.event_id, batch.event::jsonb
  FROM UNNEST($3::text[], $4::bigint[], $5::bytea[], $6::text[]) AS batch (event_id, "offset", payload_digest, event)
  JOIN history.{table} AS stored ON stored.event_id = batch.event_id AND stored.payload_digest <> batch.payload_digest
ON CONFLICT (topic_id, "offset") DO NOTHING
RETURNING event_id;
