-- Whose desk a beat belongs to. Beats of schema version 1 did not say it.
-- depends: 0029.current

ALTER TABLE history.service_status ADD COLUMN account text;

-- As in 0029.current; a view keeps the columns that its table had when it was made.
CREATE OR REPLACE VIEW history.current_status AS
WITH RECURSIVE known (key) AS (
    SELECT min(service) FROM history.service_status
     UNION ALL
    SELECT (SELECT min(service) FROM history.service_status WHERE service > known.key)
      FROM known WHERE known.key IS NOT NULL
)
SELECT newest.* FROM known CROSS JOIN LATERAL (
    SELECT * FROM history.service_status WHERE service = known.key ORDER BY least(observed_at, written_at) DESC LIMIT 1
) AS newest;
