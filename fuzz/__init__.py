"""Fuzzing of every parser of foreign bytes: `make fuzz SECONDS=60`, or `python -m fuzz --help`."""
