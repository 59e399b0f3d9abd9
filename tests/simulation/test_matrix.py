"""The fault matrix names only what exists, and its page is what the data says."""

from __future__ import annotations

import re
from pathlib import Path

from simulation.matrix import CAUGHT, CLASSES, MATRIX, cells, page
from simulation.scenes import COUNTED

ROOT = Path(__file__).parents[2]
#: Cells that may say by a line of code why a fault is impossible.
LINES_MAX = 30


def names(word: str) -> set[str]:
    return {cell.partition(" ")[2] for _port, _kind, cell in cells() if cell.startswith(f"{word} ")}


def test_every_port_has_a_cell_of_each_class_which_says_what_looks_at_it_in_a_known_way() -> None:
    assert [list(known) for known in MATRIX.values()] == [list(CLASSES)] * len(MATRIX)
    assert {cell.partition(" ")[0] for _port, _kind, cell in cells()} <= {"plan", "test", "line", "none"}
    assert sum(cell.startswith("line ") for _port, _kind, cell in cells()) <= LINES_MAX


def test_every_plan_in_it_is_drawn_by_some_seed() -> None:
    assert names("plan") <= {*COUNTED}


def test_every_plan_has_a_mistake_that_is_found_while_it_goes_on() -> None:
    assert CAUGHT.keys() == {*COUNTED}


def test_every_test_in_it_exists() -> None:
    files = (path for path in (ROOT / "tests").rglob("test_*.py"))
    there = {name for path in files for name in re.findall(r"def test_(\w+)", path.read_text())}
    assert names("test") - there == set()


def test_every_line_in_it_stands_in_the_code() -> None:
    for name in names("line"):
        path, _, code = name.partition(": ")
        assert code in (ROOT / path).read_text(), name


def test_the_page_is_what_the_data_says() -> None:
    assert (ROOT / "docs" / "fault-matrix.md").read_text() == page(), "run: python -m simulation.matrix > docs/…"
