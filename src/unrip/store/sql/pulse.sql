-- desk --
INSERT INTO desk.pulse (service, felt_at) VALUES ($1, clock_timestamp())
ON CONFLICT (service) DO UPDATE SET felt_at = excluded.felt_at;

-- ledger --
INSERT INTO ledger.pulse (service, felt_at) VALUES ($1, clock_timestamp())
ON CONFLICT (service) DO UPDATE SET felt_at = excluded.felt_at;

-- history --
INSERT INTO history.pulse (service, felt_at) VALUES ($1, clock_timestamp())
ON CONFLICT (service) DO UPDATE SET felt_at = excluded.felt_at;
