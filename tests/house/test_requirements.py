"""docs/requirements.md lists every R number; its tests, and those of docs/failures.md, exist."""

import re
from pathlib import Path

import pytest

from unrip.frame.crashpoints import CRASH_POINTS

ROOT = Path(__file__).resolve().parents[2]
#: The owner's numbered list; a number never disappears.
GROUPS = ((1, 8), (10, 16), (20, 23), (30, 37), (40, 42), (50, 64), (70, 75), (80, 81), (90, 96))
NUMBERS = [number for first, last in GROUPS for number in range(first, last + 1)]
ROW = re.compile(r"^\| R(\d+) \|(.+)\|(.+)\|$", re.MULTILINE)
TEST = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")


def rows() -> dict[int, str]:
    text = (ROOT / "docs" / "requirements.md").read_text()
    return {int(number): shown for number, _what, shown in ROW.findall(text)}


def test_every_requirement_is_listed_once() -> None:
    assert sorted(rows()) == NUMBERS


def test_every_row_names_what_shows_it_or_says_not_yet() -> None:
    for number, shown in rows().items():
        assert TEST.search(shown) or "`make" in shown or "not yet" in shown, f"R{number} shows nothing: {shown}"


@pytest.mark.parametrize("page", ["requirements.md", "failures.md"])
def test_every_test_that_is_named_exists(page: str) -> None:
    for file, function in TEST.findall((ROOT / "docs" / page).read_text()):
        path = ROOT / file
        assert path.exists(), f"{page} names {file}, which does not exist"
        assert not function or re.search(rf"def {function}\b", path.read_text()), f"{page}: no {function} in {file}"


@pytest.mark.parametrize("point", sorted(CRASH_POINTS))
def test_a_scenario_kills_at_every_crash_point_and_the_page_of_failures_says_so(point: str) -> None:
    scenarios = "".join(path.read_text() for path in (ROOT / "tests" / "scenario").glob("test_*.py"))
    assert f'"{point}"' in scenarios
    assert f"crash point `{point}`" in (ROOT / "docs" / "failures.md").read_text()
