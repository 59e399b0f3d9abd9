"""One plan alone: its faults again and again, each once money is open, and nothing else goes wrong."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from random import Random

from simulation.faults import Fault, drawn
from simulation.scenes import SCENES

#: How long a plan's run is: long enough for some of its faults, and for the end that everything needs.
ALONE_S = 360.0
#: The first fault, and the time from one to the next.
_FROM_S, _EVERY_S = 20.0, (12.0, 40.0)
#: Plans that have no life of their own, each with the scene that has them where they are named beside it.
PARTS = {"bridge/credit_in_steps": "deposit", "bridge/end_withdrawals": "bridge_withdrawal"}


def alone(seed: int, names: Iterable[str], *, account: str, until_s: float) -> list[Fault]:
    """The faults of these plans and of no other."""
    faults: list[Fault] = []
    chosen = tuple(names)
    for name in (name for name in chosen if name not in PARTS):
        chance = Random(f"{seed}/alone/{name}")
        at_s = _FROM_S
        while at_s < until_s:
            made = SCENES[name].make(chance, at_s) if name in SCENES else drawn(name, chance, at_s, account=account)
            wanted = (fault for fault in made if fault.plan in chosen or fault.plan not in PARTS)
            faults += [replace(fault, with_money=True) for fault in wanted]
            at_s += chance.uniform(*_EVERY_S)
    return sorted(faults, key=lambda fault: fault.at_s)
