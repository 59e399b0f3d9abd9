"""Run the desk on virtual time under seeded faults.

python -m simulation --seeds 100 --first-seed 1             # exit 1, with a minimal trace of the first seeds that fail
python -m simulation --seeds 1 --first-seed 42 --trace      # one seed, with its last events
python -m simulation --seeds 10 --planted timer             # with a mistake of simulation/planted.py
python -m simulation --seeds 10 --scene stall               # with this scene in every seed, see simulation/scenes.py
python -m simulation --seeds 10 --only rpc/down             # this plan alone and often, see simulation/alone.py
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from functools import partial

from simulation.batch import EVERY, attempt, simulated, story, summary, unseen
from simulation.run import RUN_S
from simulation.scenes import COUNTED, SCENES

#: Failing seeds that are made small and told.
SHOWN_MAX = 3
#: The end of a run, in which everything heals, takes most of this.
MINUTES_MIN = 3


def main() -> int:
    """Zero when every invariant held in every seed."""
    parser = argparse.ArgumentParser(prog="simulation", description="The whole desk on virtual time.")
    parser.add_argument("--seeds", type=int, default=40, help="how many")
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=RUN_S / 60, help="virtual ones of each seed")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--planted", choices=EVERY, help="with this mistake, to see it found")
    parser.add_argument("--scene", choices=SCENES, help="with this scene in every seed, instead of the seed's own")
    parser.add_argument("--without", metavar="PLAN", help="without the faults of this plan")
    parser.add_argument(
        "--only", choices=COUNTED, action="append", help="with the faults of this plan alone, and often"
    )
    parser.add_argument("--trace", action="store_true", help="tell the last events of every seed")
    options = parser.parse_args()
    if options.seeds < 1 or options.minutes < MINUTES_MIN:
        parser.error(f"at least one seed of {MINUTES_MIN} minutes")
    each = partial(
        attempt,
        seconds=options.minutes * 60,
        planted=options.planted,
        scene=options.scene,
        without=options.without,
        only=options.only,
    )
    started_s = time.monotonic()
    numbers = range(options.first_seed, options.first_seed + options.seeds)
    outcomes = simulated(numbers, each, processes=options.processes)
    print(summary(outcomes, wall_s=time.monotonic() - started_s))
    if options.trace:
        print("\n".join(line for outcome in outcomes for line in outcome.trace))
    failed = [outcome for outcome in outcomes if outcome.violation is not None]
    for outcome in failed[:SHOWN_MAX]:
        print(story(outcome, partial(each, outcome.seed)))
    if failed:
        print(f"{len(failed)} seeds fail: {', '.join(str(outcome.seed) for outcome in failed)}")
    chosen = options.scene or options.without or options.only
    missed = [] if failed or chosen else unseen(outcomes)
    if missed:
        print(f"plans that struck in no seed while money was open: {', '.join(missed)}")
    return 1 if failed or missed else 0


if __name__ == "__main__":
    sys.exit(main())
