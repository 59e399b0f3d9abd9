-- The books of inventory-sync: what all evidence adds up to, and every piece of it by kind and id, judged once.
-- depends: 0002.ledger 0010.history

CREATE SCHEMA books;

-- Evidence that was counted, or shown by a final block to be no part of the balance.
CREATE TABLE books.evidence (
    account text NOT NULL,
    kind text NOT NULL,
    asset_id text NOT NULL,
    evidence text NOT NULL,
    change numeric NOT NULL,
    counted boolean NOT NULL,
    judged_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (account, kind, asset_id, evidence)
);

CREATE TRIGGER evidence_is_append_only BEFORE UPDATE OR DELETE ON books.evidence
    FOR EACH ROW EXECUTE FUNCTION desk.refuse_change();
CREATE TRIGGER evidence_is_not_truncated BEFORE TRUNCATE ON books.evidence
    FOR EACH STATEMENT EXECUTE FUNCTION desk.refuse_change();

-- One row per account. Without a body it says only that an operator declared the first start.
CREATE TABLE books.state (
    account text PRIMARY KEY,
    revision bigint NOT NULL,
    body jsonb,
    kept_at timestamptz NOT NULL DEFAULT now()
);

-- An operator's word that what is credited at the first reading is the owner's own.
CREATE FUNCTION books.declare_first_start(p_account text) RETURNS boolean LANGUAGE sql AS $$
    WITH declared AS (
        INSERT INTO books.state (account, revision) VALUES (p_account, 0) ON CONFLICT (account) DO NOTHING RETURNING 1
    )
    SELECT EXISTS (SELECT FROM declared);
$$;

-- Keep the books that follow a revision with the evidence that makes the difference, or say why not: evidence that was
-- judged before, or nothing where somebody else has kept a later revision.
CREATE FUNCTION books.keep(p_account text, p_revision bigint, p_body jsonb, p_judged jsonb) RETURNS jsonb
LANGUAGE plpgsql AS $$
DECLARE
    v_revision bigint;
    v_known jsonb;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('unrip books ' || p_account, 0));
    SELECT revision INTO v_revision FROM books.state WHERE account = p_account;
    IF coalesce(v_revision, 0) <> p_revision THEN
        RETURN '{}';
    END IF;
    SELECT jsonb_agg(jsonb_build_object('kind', e.kind, 'asset_id', e.asset_id, 'evidence', e.evidence)) INTO v_known
      FROM jsonb_to_recordset(p_judged) AS j (kind text, asset_id text, evidence text)
      JOIN books.evidence AS e USING (kind, asset_id, evidence)
     WHERE e.account = p_account;
    IF v_known IS NOT NULL THEN
        RETURN jsonb_build_object('known', v_known);
    END IF;
    INSERT INTO books.evidence (account, kind, asset_id, evidence, change, counted)
    SELECT p_account, kind, asset_id, evidence, change, counted
      FROM jsonb_to_recordset(p_judged) AS j
           (kind text, asset_id text, evidence text, change numeric, counted boolean);
    INSERT INTO books.state AS s (account, revision, body) VALUES (p_account, p_revision + 1, p_body)
    ON CONFLICT (account) DO UPDATE SET revision = excluded.revision, body = excluded.body, kept_at = now();
    RETURN jsonb_build_object('revision', p_revision + 1);
END $$;

-- What earlier versions counted stands in the history of their snapshots.
INSERT INTO books.evidence (account, kind, asset_id, evidence, change, counted)
SELECT DISTINCT ON (i.account, c->>'kind', c->>'asset_id', c->>'evidence')
       i.account, c->>'kind', c->>'asset_id', c->>'evidence', (c->>'change')::numeric, true
  FROM history.intent_inventory AS i, jsonb_array_elements(i.event #> '{payload,changes}') AS c
 WHERE i.event #> '{payload,changes}' <> '[]' AND c->>'kind' <> 'accepted';
