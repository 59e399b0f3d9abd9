"""Run the desk on virtual time under seeded faults.

python -m simulation --seeds 100 --first-seed 1             # exit 1, with a minimal trace of the first seeds that fail
python -m simulation --seeds 1 --first-seed 42 --trace      # one seed, with its last events
python -m simulation --seeds 10 --planted timer             # with a mistake of simulation/planted.py
"""

from __future__ import annotations

import argparse
import os
import sys
import time

from simulation.batch import simulated, story, summary
from simulation.planted import PLANTED
from simulation.run import RUN_S

#: Failing seeds that are made small and told.
SHOWN_MAX = 3


def main() -> int:
    """Zero when every invariant held in every seed."""
    parser = argparse.ArgumentParser(prog="simulation", description="The whole desk on virtual time.")
    parser.add_argument("--seeds", type=int, default=30, help=f"how many, each of {RUN_S / 60:g} virtual minutes")
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--planted", choices=PLANTED, help="with this mistake, to see it found")
    parser.add_argument("--trace", action="store_true", help="tell the last events of every seed")
    options = parser.parse_args()
    if options.seeds < 1:
        parser.error(f"--seeds {options.seeds}: at least one")
    started_s = time.monotonic()
    outcomes = simulated(options.first_seed, options.seeds, processes=options.processes, planted=options.planted)
    print(summary(outcomes, wall_s=time.monotonic() - started_s))
    if options.trace:
        print("\n".join(line for outcome in outcomes for line in outcome.trace))
    failed = [outcome for outcome in outcomes if outcome.violation is not None]
    for outcome in failed[:SHOWN_MAX]:
        print(story(outcome, planted=options.planted))
    if failed:
        print(f"{len(failed)} seeds fail: {', '.join(str(outcome.seed) for outcome in failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
