"""Rules of the house that no tool checks: time, chance and ids come in through the door."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from unrip.services.registry import SERVICES

TESTS = Path(__file__).parents[1]
SOURCE = TESTS.parent / "src"

#: What reads a clock, rolls dice or makes an id by itself.
DOORS = {
    "datetime.datetime.now",
    "datetime.datetime.utcnow",
    "datetime.datetime.today",
    "datetime.date.today",
    "time.time",
    "time.time_ns",
    "time.monotonic",
    "time.monotonic_ns",
    "time.perf_counter",
    "time.sleep",
    "uuid.uuid1",
    "uuid.uuid4",
    "os.urandom",
    "os.getpid",
}
#: Every use of these modules counts, whatever the name; random.Random as a type is how chance comes in.
DOOR_MODULES = ("random", "secrets")

#: Where the door is, and why.
ALLOWED = {
    "unrip/frame/process.py": "the wall clock, the start id and the jitter of a process come from here",
    "unrip/frame/logs.py": "a line carries its own time; decisions take theirs from `now`",
    "unrip/frame/tokens.py": "tokens are made at the first start",
    "unrip/frame/crashpoints.py": "the process kills itself",
    "unrip/local/": "supervision of real processes",
    "unrip/cli/": "a person's terminal",
    "unrip/bus/": "bounds of waiting on the monotonic clock, inside an adapter",
    "unrip/store/": "as for the bus",
    "unrip_world/": "the world has its own rules",
}


def modules() -> list[Path]:
    return sorted(path for path in SOURCE.rglob("*.py") if path.parts[-2] != "__pycache__")


def name_of(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


def uses_of_doors(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and full name of every use, also through `import … as` and `from … import`."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                first = alias.name.split(".")[0]
                names |= {alias.asname: alias.name} if alias.asname else {first: first}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute | ast.Name):
            full = full_name(node, names)
            module, _, member = full.partition(".")
            if full in DOORS or (module in DOOR_MODULES and member and member != "Random"):
                yield node.lineno, full


def full_name(node: ast.expr, names: dict[str, str]) -> str:
    if isinstance(node, ast.Name):
        return names.get(node.id, "")
    if isinstance(node, ast.Attribute):
        parent = full_name(node.value, names)
        return f"{parent}.{node.attr}" if parent else ""
    return ""


def constructs_random(tree: ast.Module) -> Iterator[int]:
    """A generator that is made instead of taken."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"random.Random", "Random"}:
            yield node.lineno


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_time_chance_and_ids_come_in_through_the_door(path: Path) -> None:
    name = name_of(path)
    if any(name == place or (place.endswith("/") and name.startswith(place)) for place in ALLOWED):
        return
    tree = ast.parse(path.read_text())
    found = [f"{name}:{line}: {use}" for line, use in uses_of_doors(tree)]
    found += [f"{name}:{line}: a generator of its own" for line in constructs_random(tree)]
    assert found == [], "take it as an argument (see frame/wiring.py: Context)"


def test_the_check_sees_every_way_in() -> None:
    ways = (
        "import time\ntime.time()",
        "import time as t\nt.time()",
        "from time import time\ntime()",
        "from time import time as now\nnow()",
        "from datetime import datetime\ndatetime.now()",
        "import datetime\ndatetime.datetime.now()",
        "import datetime as d\nclock = d.datetime.utcnow",
        "import uuid\nuuid.uuid4()",
        "from uuid import uuid4\nuuid4()",
        "import random\nrandom.choice([1])",
        "from random import choice\nchoice([1])",
        "import secrets\nsecrets.token_hex()",
        "import os\nos.urandom(3)",
    )
    for way in ways:
        assert list(uses_of_doors(ast.parse(way))), way
    for innocent in ("import random\ndef f(chance: random.Random) -> None: ...", "import uuid\nuuid.uuid5(a, b)"):
        assert not list(uses_of_doors(ast.parse(innocent))), innocent
    assert list(constructs_random(ast.parse("import random\nrandom.Random(1)")))


def test_every_exception_is_still_needed() -> None:
    files = {name_of(path) for path in modules()}
    for place in ALLOWED:
        assert place in files or any(name.startswith(place) for name in files), place


def test_no_two_files_of_tests_have_one_name() -> None:
    """Pytest imports them by their names, so it refuses to collect the second."""
    names = [path.name for path in TESTS.rglob("test_*.py")]
    assert sorted(names) == sorted(set(names))


def test_every_service_has_a_folder_of_tests() -> None:
    """Beside them lies only what goes over several; rules of the house and whole desks have their own places."""
    folders = {path.name for path in (TESTS / "unit" / "services").iterdir() if any(path.glob("test_*.py"))}
    assert folders == {service.key for service in SERVICES.values()}
    assert list((TESTS / "unit").glob("test_*.py")) == []
