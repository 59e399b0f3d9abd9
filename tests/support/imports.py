"""Who imports whom, read from the source without running it."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
#: Folder of packages to the packages that are read.
PLACES = {"src": ("unrip", "unrip_world"), ".": ("simulation", "fuzz", "bench"), "tests": ("support",)}


def name_of(path: Path, folder: Path) -> str:
    """The dotted name of a module."""
    return ".".join(path.relative_to(folder).with_suffix("").parts).removesuffix(".__init__")


@cache
def modules() -> dict[str, ast.Module]:
    """Every module of ours by its name."""
    return {
        name_of(path, ROOT / folder): ast.parse(path.read_text())
        for folder, packages in PLACES.items()
        for package in packages
        for path in sorted((ROOT / folder / package).rglob("*.py"))
    }


def targets(node: ast.AST, known: Iterable[str]) -> Iterator[str]:
    """What an import statement names: a module of ours by its full name, any other as it stands."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module is not None:
        for alias in node.names:
            inner = f"{node.module}.{alias.name}"
            yield inner if inner in known else node.module


def loaded_by(tree: ast.AST) -> Iterator[ast.AST]:
    """The statements that run when a module is loaded: none within functions, none for a type checker alone."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        yield node
        yield from loaded_by(node)


@cache
def imports(*, at_load: bool) -> dict[str, frozenset[str]]:
    """Of each module all that it imports, or only what it imports when it is loaded."""
    known = modules()
    return {
        name: frozenset(
            target for node in (loaded_by(tree) if at_load else ast.walk(tree)) for target in targets(node, known)
        )
        for name, tree in known.items()
    }


def reached_from(start: str, graph: dict[str, frozenset[str]]) -> dict[str, tuple[str, ...]]:
    """All that is imported in the end, each with the way there."""
    ways: dict[str, tuple[str, ...]] = {}
    left: list[tuple[str, tuple[str, ...]]] = [(start, (start,))]
    while left:
        name, way = left.pop()
        for target in graph.get(name, ()):
            if target not in ways:
                ways[target] = (*way, target)
                left.append((target, ways[target]))
    return ways
