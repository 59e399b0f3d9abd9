"""The simulation finds mistakes: each planted one breaks one of its own invariants within a few seeds."""

from __future__ import annotations

from pathlib import Path

import pytest

from simulation.batch import attempt
from simulation.planted import PLANTED
from simulation.planted_scenes import UNDER_SCENES

#: From the documented seed on; it finds the mistake as long as the product's timing stays as it is.
SEEDS_MAX = 12
PAGE = Path(__file__).parents[2] / "docs" / "simulation.md"


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_mistake_is_found(name: str) -> None:
    planted = PLANTED[name]
    for seed in range(planted.seed, planted.seed + SEEDS_MAX):
        violation = attempt(seed, planted=name).violation
        if violation is not None:
            break
    assert violation is not None, f"not found by seeds {planted.seed} to {planted.seed + SEEDS_MAX - 1}"
    assert violation.partition(":")[0] in planted.breaks, violation


@pytest.mark.long
@pytest.mark.parametrize("name", UNDER_SCENES)
def test_a_mistake_under_a_scene_is_found_with_it_and_not_without(name: str) -> None:
    planted = UNDER_SCENES[name]
    for seed in range(planted.seed, planted.seed + SEEDS_MAX):
        violation = attempt(seed, planted=name, scene=planted.scene).violation
        if violation is not None:
            break
    assert violation is not None, f"not found by seeds {planted.seed} to {planted.seed + SEEDS_MAX - 1}"
    assert violation.partition(":")[0] in planted.breaks, violation
    assert attempt(seed, planted=name, without=planted.scene, scene=planted.scene).violation is None


def test_the_page_has_every_mistake_under_a_scene() -> None:
    for name, planted in UNDER_SCENES.items():
        breaks = ", ".join(planted.breaks)
        row = f"| `{name}` | {planted.mistake} | `{planted.scene}` | {breaks} | {planted.seed} |"
        assert row in PAGE.read_text().splitlines()


def test_the_page_has_every_planted_mistake_with_its_seed() -> None:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    cells = {
        row[0].strip("`"): row[1:] for row in ([cell.strip() for cell in line.strip("|").split("|")] for line in rows)
    }
    documented = {name: cells.get(name) for name in PLANTED}
    assert documented == {
        name: [planted.mistake, ", ".join(planted.breaks), str(planted.seed)] for name, planted in PLANTED.items()
    }
