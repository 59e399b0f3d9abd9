"""PostgreSQL: migrations, named SQL, ledger, history, queries, and in-memory twins."""
