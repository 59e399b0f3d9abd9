"""Which dependencies are away at once in a plan of faults."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import combinations

from simulation.faults import Fault

DEPENDENCIES = ("postgres", "kafka", "relay", "rpc", "bridge", "kraken", "coingecko")
PAIRS = tuple(combinations(DEPENDENCIES, 2))
_OURS = {"database_away": "postgres", "broker_away": "kafka"}
_NAMED_MAX = 5
_AWAY = frozenset({"down", "mute"})


def away_at_once(faults: Sequence[Fault]) -> set[tuple[str, str]]:
    """The pairs of dependencies that are away at one instant of a plan, each written as in `PAIRS`."""
    spans = [
        (dependency, fault.at_s, fault.at_s + (fault.for_s or float(fault.world.get("for_s", 0))))
        for fault in faults
        if (dependency := _dependency(fault)) is not None
    ]
    together = {
        frozenset({first, second})
        for (first, begins_s, ends_s), (second, other_begins_s, other_ends_s) in combinations(spans, 2)
        if begins_s < other_ends_s and other_begins_s < ends_s
    }
    return {pair for pair in PAIRS if frozenset(pair) in together}


def pairs_told(plans: Iterable[Sequence[Fault]]) -> str:
    """How many of the pairs were away at once in these plans, and which never were if these are few."""
    seeds = Counter(pair for faults in plans for pair in away_at_once(faults))
    missed = [" with ".join(pair) for pair in PAIRS if not seeds[pair]]
    never = f"; never {', '.join(missed)}" if 0 < len(missed) <= _NAMED_MAX else ""
    return f"dependencies away at once: {len(seeds)} of {len(PAIRS)} pairs{never}"


def _dependency(fault: Fault) -> str | None:
    if fault.kind == "world" and fault.world["kind"] in _AWAY:
        return str(fault.world["service"])
    return _OURS.get(fault.kind)
