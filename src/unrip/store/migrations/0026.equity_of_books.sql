-- The highest equity says in which books its transfers stand: others count theirs from nothing.
-- depends: 0001.desk

ALTER TABLE desk.highest_equity ADD COLUMN books_begun_at timestamptz;
