"""The business rules: no I/O, no clock, no randomness, and no import of ours from outside this package."""
