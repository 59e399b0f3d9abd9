"""What the business is. Pure: no I/O, no clock, no randomness, no import of ours from outside this package."""
