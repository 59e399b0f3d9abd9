"""Run the desk on virtual time under seeded faults.

python -m simulation --seeds 100 --first-seed 1       # exit 1 and a minimal trace at the first failing seeds
python -m simulation --seeds 1 --first-seed 42 --trace
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections import Counter
from functools import partial

from simulation.run import RUN_S, Outcome, run
from simulation.shrink import shrunk

#: Failing seeds that are made small and printed.
SHOWN_MAX = 3
#: Last events before the violation that are printed.
EVENTS_SHOWN = 25


def simulated(first_seed: int, seeds: int, *, processes: int) -> list[Outcome]:
    """The outcome of every seed, in order of the seeds."""
    numbers = range(first_seed, first_seed + seeds)
    if processes == 1:
        return [run(seed) for seed in numbers]
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        return pool.map(run, numbers, chunksize=1)


def summary(outcomes: list[Outcome], *, wall_s: float) -> str:
    """One line about a batch of seeds, and one about how its offers ended."""
    total: Counter[str] = Counter()
    for outcome in outcomes:
        total.update(outcome.counts)
    ends = ", ".join(f"{name.removeprefix('ended ')} {total[name]}" for name in sorted(total) if "ended" in name)
    return (
        f"{len(outcomes)} seeds, {total['virtual_s'] // 60} virtual minutes, {total['quotes']} quotes, "
        f"{total['offers']} offers, {total['settled']} settlements, {total['crashes']} crashes, "
        f"{total['faults']} faults injected ({total['struck']} strikes of open windows), {wall_s:.0f} s\n"
        f"commands ended: {ends}"
    )


def story(outcome: Outcome) -> str:
    """Why a seed failed, with as few faults as that needs."""
    small = shrunk(outcome, partial(_again, outcome.seed))
    lines = [
        f"seed {outcome.seed} fails: {small.violation}",
        f"with {len(small.faults)} of its {len(outcome.faults)} faults:",
        *(f"  {fault}" for fault in small.faults),
        "the last events:",
        *(f"  {line}" for line in small.trace[-EVENTS_SHOWN:]),
    ]
    return "\n".join(lines)


def _again(seed: int, faults: object) -> Outcome:
    return run(seed, faults=faults)  # type: ignore[arg-type]


def main() -> int:
    """Zero when every invariant held in every seed."""
    parser = argparse.ArgumentParser(prog="simulation", description="The whole desk on virtual time.")
    parser.add_argument("--seeds", type=int, default=30, help=f"how many, each of {RUN_S / 60:g} virtual minutes")
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--trace", action="store_true", help="print the last events of every seed")
    options = parser.parse_args()
    started_s = time.monotonic()
    outcomes = simulated(options.first_seed, options.seeds, processes=options.processes)
    failed = [outcome for outcome in outcomes if outcome.violation is not None]
    print(summary(outcomes, wall_s=time.monotonic() - started_s))
    if options.trace:
        print("\n".join(line for outcome in outcomes for line in outcome.trace))
    for outcome in failed[:SHOWN_MAX]:
        print(story(outcome))
    if failed:
        print(f"{len(failed)} seeds fail: {', '.join(str(outcome.seed) for outcome in failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
