-- Where each service proves twice a second that its database takes writes, in the schema that it writes to.
-- depends: 0001.desk 0002.ledger 0010.history

CREATE TABLE desk.pulse (
    service text PRIMARY KEY,
    felt_at timestamptz NOT NULL
);

CREATE TABLE ledger.pulse (LIKE desk.pulse INCLUDING ALL);

CREATE TABLE history.pulse (LIKE desk.pulse INCLUDING ALL);
