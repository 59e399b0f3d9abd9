"""Nothing stands in the product that nobody uses, tests not counted; what only looks so is named here with a reason."""

from __future__ import annotations

import ast

from vulture import Vulture

from support.imports import ROOT
from unrip.cli.app import COMMANDS

PLACES = ("src", "simulation", "bench", "fuzz")
#: Records have fields for those who read the record, so a field that no code of ours reads is not dead.
FIELDS = "variable"
#: Called by the library whose class or function it is, or through the decorator above it.
DECORATORS = ["@app.*", "@nonce_app.*", "@field_validator", "@model_validator"]

USED_ALL_THE_SAME = {
    # libraries call these
    "handle_async_request": "httpx asks its transport by it",
    "process_redirect": "websockets asks it where to go next",
    "make_connection": "xmlrpc asks its transport by it",
    "capture_signals": "uvicorn asks it before it serves",
    "should_exit": "uvicorn looks at it",
    "settings_customise_sources": "pydantic-settings asks it for its sources",
    "__annotations__": "FastAPI reads the type of a body from it",
    "get_debug": "asyncio asks its loop",
    "_run_once": "asyncio's loop runs by it",
    "_timer_handle_cancelled": "asyncio tells its loop",
    # shown whole, field by field, in `/state` and in `unrip status`
    "last_success_at": "a dependency is shown as it stands",
    "last_failure_at": "a dependency is shown as it stands",
    "last_failure": "a dependency is shown as it stands",
    # tests hold the product to these
    "reordered": "fuzzing in tests/fuzz draws from it",
    "near_rpc": "tests and their desks ask the world's first node by it",
}


def unused() -> set[str]:
    found = Vulture(ignore_decorators=DECORATORS)
    found.scavenge([*(str(ROOT / place) for place in PLACES), str(ROOT / "scripts" / "reference")])
    return {item.name for item in found.get_unused_code(min_confidence=60) if item.typ != FIELDS}


def test_nothing_is_left_that_nobody_uses() -> None:
    commands = {place.partition(".")[2] for place in COMMANDS.values()}
    left = unused() - commands
    assert left - USED_ALL_THE_SAME.keys() == set(), "remove it, or say here who uses it"
    assert USED_ALL_THE_SAME.keys() - left == set(), "it has a user now, or is gone: take its line away"


def test_every_command_that_is_named_is_there() -> None:
    for place in COMMANDS.values():
        module, _, name = place.partition(".")
        tree = ast.parse((ROOT / "src" / "unrip" / "cli" / f"{module}.py").read_text())
        defined = {getattr(node, "name", "") for node in tree.body} | {
            getattr(target, "id", "") for node in tree.body if isinstance(node, ast.Assign) for target in node.targets
        }
        assert name in defined, place
