"""The sizes of modules and functions, who imports whom, and what a command loads before it does anything."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from support.imports import ROOT, imports, reached_from
from unrip.cli.app import COMMANDS

MODULE_LINES_MAX = 500
FUNCTION_LINES_MAX = 60
CODE = [path for folder in ("src", "simulation", "fuzz", "bench") for path in sorted((ROOT / folder).rglob("*.py"))]
TESTS = sorted((ROOT / "tests").rglob("*.py"))
SCRIPTS = [ROOT / "scripts" / "reference"]
#: What only `unrip run` has a use for, and loads once it is told which service.
FRAMEWORK = {"fastapi", "starlette", "uvicorn"}
#: What a client of the control surfaces has no use for: drivers, and what writes a service's log.
DRIVERS = {"confluent_kafka", "asyncpg", "yoyo", "websockets", "supervisor", "uvloop", "structlog"}
#: The modules of commands that do more than to ask services.
MORE_THAN_CLIENTS = {
    "status": "reads from the broker how long it keeps records",
    "up": "starts a whole desk",
    "run": "is a service",
    "prepare": "talks with broker and database",
    "tail": "reads the broker",
    "explain": "reads the database",
    "evidence": "reads the database",
}


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def long_functions(tree: ast.Module) -> list[str]:
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    lengths = {node: (node.end_lineno or node.lineno) - node.lineno + 1 for node in functions}
    return [f"{node.lineno}: {node.name} has {n} lines" for node, n in lengths.items() if n > FUNCTION_LINES_MAX]


def test_a_module_is_of_one_idea_and_short() -> None:
    lengths = {name_of(path): len(path.read_text().splitlines()) for path in (*CODE, *TESTS)}
    assert {name: lines for name, lines in lengths.items() if lines > MODULE_LINES_MAX} == {}


def test_a_function_does_one_thing_and_is_short() -> None:
    found = {name_of(path): long_functions(ast.parse(path.read_text())) for path in (*CODE, *TESTS, *SCRIPTS)}
    assert {name: functions for name, functions in found.items() if functions} == {}


def test_the_rule_sees_a_long_function() -> None:
    longest = "def f():\n" + "    x = 1\n" * (FUNCTION_LINES_MAX - 1)
    assert long_functions(ast.parse(longest)) == []
    assert long_functions(ast.parse("class A:\n    async " + longest.replace("    ", "        ") + "        y = 2\n"))


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Not for types either: who needs another one's shape describes what he needs of it."""
    graph = imports(at_load=False)
    circles = [way[name] for name in graph if name in (way := reached_from(name, graph))]
    assert min(circles, key=len, default=None) is None


def test_the_rule_sees_a_circle() -> None:
    graph = {"a": frozenset({"b"}), "b": frozenset({"c"}), "c": frozenset({"a", "json"}), "d": frozenset({"a"})}
    assert reached_from("a", graph)["a"] == ("a", "b", "c", "a")
    assert "d" not in reached_from("d", graph)


def loaded(command: str, libraries: set[str]) -> dict[str, tuple[str, ...]]:
    """Those of them that the module of a command loads in the end, each with the way there."""
    ways = reached_from(f"unrip.cli.{command}", imports(at_load=True))
    return {name: way for name, way in ways.items() if name.split(".")[0] in libraries}


@pytest.mark.parametrize("command", sorted({place.partition(".")[0] for place in COMMANDS.values()}))
def test_no_command_loads_the_web_framework_and_a_client_no_driver(command: str) -> None:
    assert loaded(command, FRAMEWORK if command in MORE_THAN_CLIENTS else FRAMEWORK | DRIVERS) == {}


def test_the_brake_loads_no_framework_and_no_driver() -> None:
    """The same in a process, where what libraries load counts as well."""
    asked = "import sys, unrip.cli.app as it; it.app(['halt', '--help'], standalone_mode=False); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    names = {name.split(".")[0] for name in done.stdout.splitlines()[-1].split()}
    assert "unrip" in names
    assert names & (FRAMEWORK | DRIVERS) == set()


def test_every_exception_is_still_needed() -> None:
    assert [command for command in MORE_THAN_CLIENTS if not loaded(command, DRIVERS)] == []
