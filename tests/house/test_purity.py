"""What decides does no I/O, and what reckons with money knows no float: a rule of places, so that new code is under it.

In a service everything is pure but what lies in `handlers` (a module or a folder) and the `wiring`, which only puts
together. Money is everywhere but in the places below.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src"
PURE_LAYERS = ("unrip/domain/", "unrip/messages/", "unrip/services/")

#: What asks or tells anybody outside of the process, or waits.
IO_LIBRARIES = {
    "aiohttp",
    "asyncio",
    "asyncpg",
    "concurrent",
    "confluent_kafka",
    "fastapi",
    "http",
    "httpx",
    "io",
    "multiprocessing",
    "os",
    "psycopg",
    "select",
    "shutil",
    "signal",
    "socket",
    "sqlite3",
    "ssl",
    "starlette",
    "structlog",
    "subprocess",
    "sys",
    "tempfile",
    "threading",
    "urllib",
    "uvicorn",
    "websockets",
}
FILE_CALLS = {"open", "read_text", "read_bytes", "write_text", "write_bytes", "mkdir", "touch", "unlink", "print"}

#: Where an amount of money never is, and what the floats are there. Everywhere else the rule holds.
WITHOUT_MONEY = {
    "unrip/bus/": "seconds of waiting, and what the broker's client takes",
    "unrip/net/": "seconds of waiting; foreign numbers are read in exact.py, to which the rule holds all the same",
    "unrip/frame/": "seconds of waiting",
    "unrip/local/": "seconds of waiting, and the habits of simulated takers",
    "unrip_world/": "the world has its own rules",
}
WITH_MONEY_ALL_THE_SAME = ("unrip/net/exact.py",)
#: In an adapter, a handler or a command a float is a duration, and its name says so.
DURATION = re.compile(r"(?:_s|_ms|\bms|timeout)\b", re.IGNORECASE)


def name_of(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


def modules() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


def has_handlers(name: str) -> bool:
    """Whether I/O belongs there."""
    return "handlers" in name.removesuffix(".py").split("/")


def is_pure(name: str) -> bool:
    """A `__main__.py` is a program, not a part of one."""
    return name.startswith(PURE_LAYERS) and not has_handlers(name) and not name.endswith("/__main__.py")


def io_in(tree: ast.Module) -> Iterator[str]:
    """Each import of a library that does I/O, each coroutine, and each touch of a file."""
    for node in ast.walk(tree):
        found, line = "", getattr(node, "lineno", 0)
        if isinstance(node, ast.Import):
            found = next((each.name for each in node.names if each.name.split(".")[0] in IO_LIBRARIES), "")
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in IO_LIBRARIES:
            found = node.module or ""
        elif isinstance(node, ast.AsyncFunctionDef | ast.AsyncFor | ast.AsyncWith | ast.Await):
            found = type(node).__name__
        elif isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            found = f"{called}()" if called in FILE_CALLS else ""
        if found:
            yield f"{line}: {found}"


def floats_in(tree: ast.Module) -> list[int]:
    """Lines with the word float or a literal of one."""
    return [
        node.lineno
        for node in ast.walk(tree)
        if (isinstance(node, ast.Name) and node.id == "float")
        or (isinstance(node, ast.Constant) and isinstance(node.value, float))
    ]


def test_what_decides_does_no_io() -> None:
    """Where this fails: I/O lies in the handlers of a service, or in an adapter."""
    pure = [path for path in modules() if is_pure(name_of(path))]
    found = {name_of(path): list(io_in(ast.parse(path.read_text()))) for path in pure}
    assert {name: lines for name, lines in found.items() if lines} == {}


@pytest.mark.parametrize(
    "planted",
    [
        "import asyncio",
        "import os.path",
        "from urllib.parse import urlsplit",
        "async def f(): ...",
        "import pathlib\npathlib.Path('x').read_text()",
        "open('x')",
        "def f():\n    import socket",
    ],
)
def test_the_rule_sees_each_kind_of_io(planted: str) -> None:
    assert list(io_in(ast.parse(planted)))


def test_which_places_are_pure() -> None:
    assert is_pure("unrip/services/trade_executor/any_new_module.py")
    assert is_pure("unrip/services/a_new_service/wiring.py")
    assert is_pure("unrip/domain/new/folder.py")
    assert not is_pure("unrip/services/a_new_service/handlers.py")
    assert not is_pure("unrip/services/a_new_service/handlers/ledger.py")
    assert not is_pure("unrip/store/strategy.py")


def money_as_float(path: Path) -> list[int]:
    """Lines with a float that no rule allows there."""
    name, lines = name_of(path), path.read_text().splitlines()
    if name.startswith(tuple(WITHOUT_MONEY)) and name not in WITH_MONEY_ALL_THE_SAME:
        return []
    adapter = name.startswith(("unrip/store/", "unrip/cli/")) or has_handlers(name)
    found = floats_in(ast.parse("\n".join(lines)))
    return [line for line in found if not (adapter and DURATION.search(lines[line - 1]))]


def test_no_float_is_where_money_is() -> None:
    found = {name_of(path): money_as_float(path) for path in modules()}
    assert {name: lines for name, lines in found.items() if lines} == {}


def test_the_rule_sees_each_kind_of_float() -> None:
    assert floats_in(ast.parse("x = 0.1 + float(y)\ndef f(x: dict[str, float]) -> None: ...")) == [1, 1, 2]
    assert DURATION.search("PAUSE_S = 0.5")
    assert DURATION.search("def f(self, *, bound_s: float) -> None: ...")
    assert not DURATION.search("edge: float = 0.5")
    assert not DURATION.search("def settled(amount: float) -> None: ...")


def test_every_exception_is_still_needed() -> None:
    for place in WITHOUT_MONEY:
        inside = [path for path in modules() if name_of(path).startswith(place)]
        assert any(floats_in(ast.parse(path.read_text())) for path in inside), place
