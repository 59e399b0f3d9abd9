-- offsets --
SELECT topic, topic_id, next_offset FROM history.consumer_offset;

-- last_write_at --
SELECT max(moved_at) AS moved_at FROM history.consumer_offset;

-- offset_of --
SELECT topic_id, next_offset, writer FROM history.consumer_offset WHERE topic = $1;

-- advance --
-- With no expected offset the topic must be new. A second writer waits for the first one's commit, then finds nothing.
WITH begun AS (
    INSERT INTO history.consumer_offset (topic, topic_id, next_offset, writer)
    SELECT $1, $2, $4, $5 WHERE $3::bigint IS NULL
    ON CONFLICT (topic) DO NOTHING
    RETURNING topic
), moved AS (
    UPDATE history.consumer_offset
       SET next_offset = $4, writer = $5, moved_at = clock_timestamp()
     WHERE topic = $1 AND topic_id = $2 AND next_offset = $3::bigint
    RETURNING topic
)
SELECT EXISTS (SELECT FROM begun UNION ALL SELECT FROM moved);

-- set_aside --
INSERT INTO history.invalid_record (topic, topic_id, "offset", reason, data)
SELECT $1, $2, record.* FROM UNNEST($3::bigint[], $4::text[], $5::bytea[]) AS record
ON CONFLICT (topic_id, "offset") DO NOTHING;

-- keep_conflicts --
-- Named again when the same batch is written again: an alarm that was not heard is no alarm.
WITH other AS (
    SELECT came.event_id, came."offset", came.event
      FROM UNNEST($3::text[], $4::bigint[], $5::bytea[], $6::jsonb[]) AS came (event_id, "offset", digest, event)
      JOIN history.{table} AS stored ON stored.event_id = came.event_id AND stored.payload_digest <> came.digest
), kept AS (
    INSERT INTO history.conflicting_record (topic, topic_id, "offset", event_id, event)
    SELECT $1, $2, "offset", event_id, event FROM other
    ON CONFLICT (topic_id, "offset") DO NOTHING
)
SELECT event_id FROM other ORDER BY "offset";
