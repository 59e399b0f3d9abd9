-- Several deposits may be credited by one mint: each is known by its own id beside the transaction's.
-- depends: 0025.books

ALTER TABLE books.evidence ADD COLUMN part text NOT NULL DEFAULT '';
ALTER TABLE books.evidence DROP CONSTRAINT evidence_pkey;
ALTER TABLE books.evidence ADD PRIMARY KEY (account, kind, asset_id, evidence, part);

-- Keep the books that follow a revision with the evidence that makes the difference, or say why not: evidence that was
-- judged before, or nothing where somebody else has kept a later revision. Earlier versions knew a mint by itself: what
-- they judged of it is the deposit of that amount.
CREATE OR REPLACE FUNCTION books.keep(p_account text, p_revision bigint, p_body jsonb, p_judged jsonb) RETURNS jsonb
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
    SELECT jsonb_agg(jsonb_build_object('kind', j.kind, 'asset_id', j.asset_id, 'evidence', j.evidence, 'part', j.part))
      INTO v_known
      FROM jsonb_to_recordset(p_judged) AS j (kind text, asset_id text, evidence text, part text, change numeric)
     WHERE EXISTS (
           SELECT FROM books.evidence AS e
            WHERE (e.account, e.kind, e.asset_id, e.evidence) = (p_account, j.kind, j.asset_id, j.evidence)
              AND (e.part = j.part OR (e.part = '' AND e.change = j.change))
     );
    IF v_known IS NOT NULL THEN
        RETURN jsonb_build_object('known', v_known);
    END IF;
    INSERT INTO books.evidence (account, kind, asset_id, evidence, part, change, counted)
    SELECT p_account, kind, asset_id, evidence, part, change, counted
      FROM jsonb_to_recordset(p_judged) AS j
           (kind text, asset_id text, evidence text, part text, change numeric, counted boolean);
    INSERT INTO books.state AS s (account, revision, body) VALUES (p_account, p_revision + 1, p_body)
    ON CONFLICT (account) DO UPDATE SET revision = excluded.revision, body = excluded.body, kept_at = now();
    RETURN jsonb_build_object('revision', p_revision + 1);
END $$;
