-- whereabouts --
-- The control file learns of a new timeline with the first checkpoint after a promotion; the log's name has it at once.
SELECT system.system_identifier::text AS system_identifier,
       CASE WHEN pg_is_in_recovery() THEN checkpoint.timeline_id
            ELSE ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::integer END AS timeline
  FROM pg_control_system() AS system, pg_control_checkpoint() AS checkpoint;
