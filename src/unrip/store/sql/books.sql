-- recall --
SELECT revision, body FROM books.state WHERE account = $1;

-- keep --
SELECT books.keep($1, $2, $3::jsonb, $4::jsonb) AS outcome;
