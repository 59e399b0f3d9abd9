"""The simulation finds mistakes: each planted one breaks one of its own invariants within a few seeds."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from simulation.alone import ALONE_S
from simulation.batch import EVERY, attempt
from simulation.planted import PLANTED, Planted

#: From the documented seed on; it finds the mistake as long as the product's timing stays as it is.
SEEDS_MAX = 12
PAGE = Path(__file__).parents[2] / "docs" / "simulation.md"


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_mistake_is_found(name: str) -> None:
    first = PLANTED[name].seed
    assert first is not None
    for seed in range(first, first + SEEDS_MAX):
        violation = attempt(seed, planted=name).violation
        if violation is not None:
            break
    assert violation is not None, f"not found by seeds {first} to {first + SEEDS_MAX - 1}"
    _is_of(violation, PLANTED[name])


def _is_of(violation: str, planted: Planted) -> None:
    """A mistake that meets other code than it was written for has found nothing, though a service stops by it."""
    assert violation.partition(":")[0] in planted.breaks, violation
    assert not any(fault in violation for fault in ("AttributeError", "NameError", "unexpected keyword")), violation


@cache
def without(name: str, seed: int) -> str | None:
    return attempt(seed, planted=name, only=EVERY[name].beside, seconds=ALONE_S).violation


@pytest.mark.long
@pytest.mark.parametrize(("name", "plan"), [(name, plan) for name, planted in EVERY.items() for plan in planted.under])
def test_a_mistake_is_found_with_its_plan_and_not_without(name: str, plan: str) -> None:
    planted = EVERY[name]
    first = planted.under[plan]
    for seed in range(first, first + SEEDS_MAX):
        violation = attempt(seed, planted=name, only=(plan, *planted.beside), seconds=ALONE_S).violation
        if violation is not None:
            break
    assert violation is not None, f"not found by seeds {first} to {first + SEEDS_MAX - 1}"
    _is_of(violation, planted)
    assert without(name, seed) is None


def test_the_page_has_every_planted_mistake_with_its_seed_or_its_plans() -> None:
    rows = PAGE.read_text().splitlines()
    for name, planted in EVERY.items():
        breaks = ", ".join(planted.breaks)
        if planted.seed is not None:
            assert f"| `{name}` | {planted.mistake} | {breaks} | {planted.seed} |" in rows
        if planted.under:
            plans = ", ".join(f"`{plan}` {seed}" for plan, seed in planted.under.items())
            beside = f", beside {' and '.join(f'`{plan}`' for plan in planted.beside)}" if planted.beside else ""
            assert f"| `{name}` | {planted.mistake} | {plans}{beside} | {breaks} |" in rows
