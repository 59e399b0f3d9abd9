"""Many seeds in several processes, and what is told about them."""

from __future__ import annotations

import multiprocessing
from collections import Counter
from collections.abc import Callable, Sequence

from simulation.alone import alone
from simulation.desk import ACCOUNT
from simulation.faults import Fault
from simulation.outages import pairs_told
from simulation.planted import PLANTED
from simulation.planted_bridge import ON_THE_BRIDGE
from simulation.planted_chain import ON_THE_CHAIN
from simulation.planted_inputs import ON_INPUTS
from simulation.planted_plans import UNDER_PLANS
from simulation.planted_prices import ON_PRICES
from simulation.planted_process import ON_THE_WAY
from simulation.planted_relay import ON_THE_RELAY
from simulation.planted_scenes import UNDER_SCENES
from simulation.run import NO_FAULT_S, RUN_S, Outcome, faults_of, run
from simulation.scenes import COUNTED, SCENES, never_struck
from simulation.shrink import shrunk

#: Last events before the violation that are told.
EVENTS_SHOWN = 25
#: Every planted mistake by its name.
EVERY = {
    **PLANTED,
    **UNDER_SCENES,
    **UNDER_PLANS,
    **ON_INPUTS,
    **ON_THE_RELAY,
    **ON_THE_CHAIN,
    **ON_PRICES,
    **ON_THE_WAY,
    **ON_THE_BRIDGE,
}


def attempt(
    seed: int,
    faults: Sequence[Fault] | None = None,
    *,
    seconds: float = RUN_S,
    planted: str | None = None,
    scene: str | None = None,
    without: str | None = None,
    only: Sequence[str] | None = None,
) -> Outcome:
    """Run one seed, on request with these faults, a planted mistake, one scene, without a plan, or with these only."""
    if faults is None and only is not None:
        faults = alone(seed, only, account=ACCOUNT, until_s=seconds - NO_FAULT_S)
    elif faults is None and (scene is not None or without is not None):
        names = None if scene is None else (scene,) if scene in SCENES else ()
        faults = [fault for fault in faults_of(seed, seconds=seconds, names=names) if fault.plan != without]
    if planted is None:
        return run(seed, faults=faults, seconds=seconds)
    mistake = EVERY[planted]
    with mistake.in_force():
        return run(seed, faults=faults, seconds=seconds, make_ledger=mistake.make_ledger)


def simulated(numbers: Sequence[int], each: Callable[[int], Outcome], *, processes: int) -> list[Outcome]:
    """The outcome of every seed, in the order of the seeds."""
    if processes == 1 or len(numbers) == 1:
        return [each(seed) for seed in numbers]
    with multiprocessing.get_context("spawn").Pool(min(processes, len(numbers))) as pool:
        return pool.map(each, numbers, chunksize=1)


def summary(outcomes: Sequence[Outcome], *, wall_s: float) -> str:
    """What was run, and how the commands ended."""
    total: Counter[str] = Counter()
    for outcome in outcomes:
        total.update(outcome.counts)
    struck = struck_with_money(outcomes)
    ends = ", ".join(f"{name.removeprefix('ended ')} {total[name]}" for name in sorted(total) if "ended" in name)
    return (
        f"{len(outcomes)} seeds, {total['virtual_s'] // 60} virtual minutes, {total['quotes']} quotes, "
        f"{total['offers']} offers, {total['settled']} settlements, {total['crashes']} crashes, "
        f"{total['faults']} faults injected ({total['strikes']} strikes of the lasting ones), {wall_s:.0f} s\n"
        f"commands ended: {ends}\n"
        f"{pairs_told(outcome.faults for outcome in outcomes)}\n"
        f"plans that struck while money was open: {', '.join(f'{name} {struck[name]}' for name in COUNTED)}"
    )


def struck_with_money(outcomes: Sequence[Outcome]) -> Counter[str]:
    """How often each plan struck in a batch while money was open."""
    total: Counter[str] = Counter()
    for outcome in outcomes:
        total.update(outcome.struck_with_money)
    return total


def unseen(outcomes: Sequence[Outcome]) -> list[str]:
    """The plans of which a batch saw nothing, where it is large enough to see all."""
    return never_struck(struck_with_money(outcomes), seeds=len(outcomes))


def story(outcome: Outcome, again: Callable[[Sequence[Fault]], Outcome]) -> str:
    """Why a seed failed, with as few faults as that needs."""
    small = shrunk(outcome, again)
    lines = [
        f"seed {outcome.seed} fails: {small.violation}",
        f"with {len(small.faults)} of its {len(outcome.faults)} faults:",
        *(f"  {fault}" for fault in small.faults),
        "the last events:",
        *(f"  {line}" for line in small.trace[-EVENTS_SHOWN:]),
    ]
    return "\n".join(lines)
