"""Everything that asks the outside: each effect is one call, and its outcome returns as an event."""
