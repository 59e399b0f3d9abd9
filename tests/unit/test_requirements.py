"""docs/requirements.md lists every R number, with tests and commands that exist."""

import re
from pathlib import Path

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


def test_every_test_that_is_named_exists() -> None:
    for number, shown in rows().items():
        for file, function in TEST.findall(shown):
            path = ROOT / file
            assert path.exists(), f"R{number} names {file}, which does not exist"
            assert not function or re.search(rf"def {function}\b", path.read_text()), (
                f"R{number}: no {function} in {file}"
            )
