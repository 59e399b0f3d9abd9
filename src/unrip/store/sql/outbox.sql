-- unpublished --
SELECT seq, topic, event_id, correlation_id, causation_id, occurred_at, observed_at, venue, pair, stages, payload
  FROM {table} WHERE published_at IS NULL AND seq > $2 ORDER BY seq LIMIT $1;

-- mark_published --
UPDATE {table} SET published_at = clock_timestamp() WHERE seq = ANY ($1::bigint[]) AND published_at IS NULL;
