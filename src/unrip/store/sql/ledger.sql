-- load --
SELECT ledger.load($1) || ledger.believed($1) FROM ledger.own($1);

-- claim --
SELECT kind, ledger_view FROM ledger.claim_of_known_strategy($1::jsonb, $2, $3, $4, $5::jsonb, $6::jsonb, $7, $8);

-- reject --
SELECT kind, ledger_view FROM ledger.reject($1, $2, $3, least($4, ledger.given_generation()), $5, $6, $7::jsonb, $8);

-- note --
SELECT ledger.note($1::jsonb, $2);

-- drop --
SELECT ledger.drop_attempt($1::jsonb, $2);

-- note_revocation --
SELECT ledger.note_revocation($1, $2, $3, $4);

-- note_surroundings --
SELECT ledger.note_surroundings($1, $2, $3, $4);

-- apply_reading --
SELECT ledger.apply_reading($1, $2, $3::jsonb, $4::jsonb, $7) FROM ledger.believe($1, $2, $5, $6);

-- find --
SELECT offer || jsonb_build_object('state', state) AS offer
  FROM ledger.attempt WHERE account = $1 AND quote_hash = $2;

-- claimed_lately --
SELECT nonce, offer->>'asset_out' AS asset_out, offer->>'amount_out' AS amount_out, claimed_at
  FROM ledger.attempt
 WHERE account = $1 AND nonce IS NOT NULL AND claimed_at > clock_timestamp() - interval '60 seconds';

-- check_held --
-- A check only: nothing is ever decided by this sum.
SELECT i.account, i.asset, i.held, coalesce(sum(h.amount), 0) AS open_holds
  FROM ledger.inventory AS i
  LEFT JOIN ledger.hold AS h ON h.account = i.account AND h.asset = i.asset AND h.released_at IS NULL
 GROUP BY i.account, i.asset, i.held
HAVING i.held <> coalesce(sum(h.amount), 0)
 ORDER BY i.account, i.asset;
