"""The whole desk on virtual time, against the simulated world, with faults at every boundary (docs/simulation.md)."""
