"""A script: what goes wrong, and what is asked, at which second of the world's life."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from unrip_world.codec import NS_PER_S
from unrip_world.config import ConfigError
from unrip_world.demands import Demand, DemandError, read_demand
from unrip_world.faults import Fault, FaultError, read_fault

S = TypeVar("S", Fault, Demand)


def read_script(
    *, faults: Sequence[Mapping[str, Any]], demands: Sequence[Mapping[str, Any]], now_ns: int
) -> list[tuple[int, Fault | Demand]]:
    """Check the tables of a script and put them in order of time, faults first; raises ConfigError."""
    steps: list[tuple[int, Fault | Demand]] = [
        *_timed("fault", faults, now_ns, lambda body, due_ns: read_fault(body, now_ns=due_ns)),
        *_timed("demand", demands, now_ns, lambda body, _: read_demand(body)),
    ]
    return sorted(steps, key=lambda step: step[0])


def _timed(
    name: str, tables: Sequence[Mapping[str, Any]], now_ns: int, read: Callable[[Mapping[str, Any], int], S]
) -> list[tuple[int, S]]:
    planned: list[tuple[int, S]] = []
    for number, table in enumerate(tables, start=1):
        body = dict(table)
        try:
            due_ns = now_ns + int(body.pop("at_s") * NS_PER_S)
            planned.append((due_ns, read(body, due_ns)))
        except (KeyError, TypeError, FaultError, DemandError) as error:
            raise ConfigError(f"{name} {number} of the script: {error}") from error
    return planned
