"""A failing seed made small: faults are left out one after another as long as the run still fails in the same way."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from simulation.faults import Fault
from simulation.run import Outcome

#: Runs that one failing seed may cost.
RUNS_MAX = 120

Attempt = Callable[[Sequence[Fault]], Outcome]


def shrunk(failed: Outcome, attempt: Attempt) -> Outcome:
    """The failing run with the fewest faults that leaving out can find: halves first, then single ones."""
    smallest, runs = failed, 0
    size = max(1, len(failed.faults) // 2)
    while size >= 1 and runs < RUNS_MAX:
        start = 0
        while start < len(smallest.faults) and runs < RUNS_MAX:
            fewer = (*smallest.faults[:start], *smallest.faults[start + size :])
            outcome, runs = attempt(fewer), runs + 1
            if outcome.violation is not None and _kind(outcome) == _kind(failed):
                smallest = outcome
            else:
                start += size
        size //= 2
    return smallest


def _kind(outcome: Outcome) -> str:
    """What was broken, without the ids and numbers of the case."""
    words = (outcome.violation or "").split("\n")[0].split()
    return " ".join(word for word in words if word.isalpha())[:60]
