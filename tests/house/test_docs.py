"""The pages say what the code says: tables are current, every word is explained, every link leads somewhere."""

import ast
import doctest
import re
import runpy
from enum import StrEnum
from importlib import import_module
from inspect import getsource
from pathlib import Path
from pkgutil import walk_packages
from types import ModuleType
from typing import Any

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from unrip.cli.app import app
from unrip.domain.attempt import AttemptState, Drop, Rejection
from unrip.domain.decision import Refusal
from unrip.domain.pairs import Direction
from unrip.messages.topics import TOPICS, Topic
from unrip.net.reconnect import BACKOFFS
from unrip.services.registry import SERVICES
from unrip.store.ledger import LedgerState

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
OPERATE = DOCS / "operate"
PAGES = [*sorted(ROOT.glob("*.md")), *sorted(DOCS.rglob("*.md"))]
COLUMNS_MAX = 120
#: Folders of every machine that a page may name.
SYSTEM = {"proc", "root", "var", "usr", "etc", "dev", "run", "tmp"}
SERVICE_HEADINGS = [
    "Responsibilities",
    "Out of scope",
    "Topics in",
    "Topics out",
    "State it owns",
    "Endpoints and actions",
    "Configuration",
    "When a dependency is gone",
    "Metrics and logs",
]

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def prose(page: Path) -> str:
    """The page without its code blocks."""
    return re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)


def links(page: Path) -> list[str]:
    targets = re.findall(r"\]\(([^)\s]+)\)", prose(page))
    return [target for target in targets if not re.match(r"\w+:", target)]


def anchors(page: Path) -> set[str]:
    """The names that headings get: lower case, blanks as dashes, no punctuation."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def explained(page: Path) -> set[str]:
    """The words that have a row of their own in a table."""
    return set(re.findall(r"^\| `([\w.]+)", page.read_text(), re.MULTILINE))


def test_the_generated_tables_are_what_the_code_says() -> None:
    stale = runpy.run_path(str(ROOT / "scripts" / "reference"))["stale_pages"]()
    assert [page.name for page in stale] == [], "run scripts/reference"


@every_page
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    for target in links(page):
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.is_relative_to(ROOT), f"{target} leaves the repository"
        assert file.exists(), f"{target} points nowhere"
        assert not anchor or anchor in anchors(file), f"{target}: no such heading"


def test_what_a_contributor_is_told_of_is_there() -> None:
    """Every file and folder that the page names, from the top or within the package; NAME is yours to fill in."""
    places = re.findall(r"`([\w./-]+(?:/|\.py|\.md))`", (ROOT / "CONTRIBUTING.md").read_text())
    named = [place for place in places if "NAME" not in place and "/" in place]
    assert len(named) > 20
    gone = [place for place in named if not any((root / place).exists() for root in (ROOT, ROOT / "src" / "unrip"))]
    assert gone == []


@every_page
def test_no_page_names_a_path_outside_the_repository(page: Path) -> None:
    text = page.read_text()
    for path in re.findall(r"(?<![\w./])\.\.?/[\w./-]*", text):
        assert (page.parent / path).resolve().is_relative_to(ROOT), path
    homes = {"home", "Users", "mnt", ROOT.parts[1]} - SYSTEM
    assert not re.search(rf"(?<![\w.~-])/({'|'.join(sorted(homes))})/", text)


@every_page
def test_lines_are_wrapped(page: Path) -> None:
    for line in prose(page).splitlines():
        assert len(line) <= COLUMNS_MAX or line.startswith("|"), line


@pytest.mark.parametrize(
    ("words", "page"),
    [(Refusal, "refusals"), (Rejection, "outcomes"), (Drop, "outcomes"), (AttemptState, "outcomes")],
)
def test_the_operators_pages_explain_every_word(words: type[StrEnum], page: str) -> None:
    missing = {str(word) for word in words} - explained(OPERATE / f"{page}.md")
    assert missing == set()


def test_the_page_about_a_restored_database_has_every_reason_of_the_quarantine() -> None:
    files = (ROOT / "src" / "unrip" / "services" / "trade_executor").rglob("*.py")
    found = re.findall(r'(?:\.begin\(|LedgerOlder\([^)]*reason=)"(\w+)"', "".join(path.read_text() for path in files))
    doubt = getsource(LedgerState).partition("def doubt(")[2].split('"""')[2]
    doubts = re.findall(r'"(\w+)"', doubt)
    assert {"ledger_went_back", "reading_undone"} <= set(found)
    assert {"database_is_another"} <= set(doubts)
    assert {*found, *doubts} == explained(OPERATE / "restored-database.md")


def test_the_index_of_the_operators_pages_names_each_of_them() -> None:
    pages = {path.name for path in OPERATE.glob("*.md")} - {"README.md"}
    assert len(pages) > 20
    assert set(links(OPERATE / "README.md")) >= pages


def test_every_reason_for_not_being_ready_has_a_row() -> None:
    found = {reason for package in ("frame", "services") for reason in reasons_given(ROOT / "src/unrip" / package)}
    assert {"kafka_unreachable", "kraken_stale", "quarantine", "ledger_differs"} <= found
    cells = re.findall(r"^\| (`.+?) +\|", (OPERATE / "not-ready.md").read_text(), re.MULTILINE)
    assert found - {word for cell in cells for word in re.findall(r"`(\w+)", cell)} == set()


def reasons_given(folder: Path) -> set[str]:
    """The names that stand in the functions which say why a service is not ready or not healthy."""
    asked = {"not_ready", "health_failures", "stands_in_the_way"}
    reasons: set[str] = set()
    for file in folder.rglob("*.py"):
        for function in ast.walk(ast.parse(file.read_text())):
            if isinstance(function, ast.FunctionDef) and function.name in asked:
                texts = [part.value for part in ast.walk(function) if isinstance(part, ast.Constant)]
                names = [re.match(r"[a-z]+(?:_[a-z]+)*(?=$|:)", text) for text in texts if isinstance(text, str)]
                reasons |= {name[0] for name in names if name}
    return reasons


def test_every_reason_for_not_being_ready_is_named_by_a_scenario() -> None:
    tables = (OPERATE / "not-ready.md").read_text() + (OPERATE / "doubted-chain.md").read_text()
    cells = re.findall(r"^\| (`.+?) +\|", tables, re.MULTILINE)
    reasons = {word for cell in cells for word in re.findall(r"`(\w+)", cell)}
    assert {"paused", "relay_unauthorized", "topic_stopped", "verifier_not_read"} <= reasons
    scenarios = "".join(path.read_text() for path in (ROOT / "tests" / "scenario").glob("test_*.py"))
    assert {reason for reason in reasons if not re.search(rf"\b{reason}\b", scenarios)} == set()


def test_every_topic_has_its_writer_and_its_readers() -> None:
    table = (DOCS / "reference" / "topics.md").read_text().partition("## Who writes and who reads")[2]
    assert {name for name in TOPICS if f"| `{name}`" not in table} == set()


def test_the_readers_of_each_topic_are_those_of_the_code() -> None:
    table = (DOCS / "reference" / "topics.md").read_text().partition("## Who writes and who reads")[2]
    told: dict[str, set[str]] = {}
    for topic, readers in re.findall(r"^\| `([\w.]+)` *\|[^|]*\|([^|]*)\|$", table, re.MULTILINE):
        told[topic] = {name for name in SERVICES if name in readers}
    found: dict[str, set[str]] = {topic: set() for topic in TOPICS}
    for service in SERVICES:
        for topic in read_topics(service):
            found[topic].add(service)
    assert told == found


def read_topics(service: str) -> set[str]:
    """The topics that a service subscribes to, by its own source: each `Subscribe` names one, or is given one."""
    package = f"unrip.services.{service.replace('-', '_')}"
    found = walk_packages(import_module(package).__path__, prefix=f"{package}.")
    modules = [import_module(package), *(import_module(module.name) for module in found)]
    topics: set[str] = set()
    for module in modules:
        for function in [node for node in ast.walk(ast.parse(getsource(module))) if isinstance(node, ast.FunctionDef)]:
            for call in calls_of("Subscribe", function):
                (given,) = [word.value for word in call.keywords if word.arg == "topic"]
                assert isinstance(given, ast.Name)
                named = getattr(module, given.id, None)
                topics |= {named.name} if isinstance(named, Topic) else handed_in(given.id, function, module)
    return topics


def handed_in(name: str, function: ast.FunctionDef, module: ModuleType) -> set[str]:
    """What a name stands for in a function: the items of a table that it goes through, or what it is called with."""
    for loop in [node for node in ast.walk(function) if isinstance(node, ast.comprehension)]:
        if name in {part.id for part in ast.walk(loop.target) if isinstance(part, ast.Name)}:
            tables = [getattr(module, part.id, None) for part in ast.walk(loop.iter) if isinstance(part, ast.Name)]
            return {topic.name for table in tables for topic in table or () if isinstance(topic, Topic)}
    place = [argument.arg for argument in function.args.args].index(name)
    callers = calls_of(function.name, ast.parse(getsource(module)))
    given = [call.args[place] for call in callers]
    return {getattr(module, each.id).name for each in given if isinstance(each, ast.Name)}


def calls_of(name: str, tree: ast.AST) -> list[ast.Call]:
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == name]


def commands_of(group: Any) -> set[str]:
    """Every command, with the names of the groups it is in."""
    inner = {
        name: commands_of(command) if isinstance(command, TyperGroup) else {""}
        for name, command in group.commands.items()
    }
    return {f"{name} {below}".strip() for name, each in inner.items() for below in each}


def test_the_page_of_the_command_line_names_every_command() -> None:
    names = commands_of(get_command(app))
    assert {"up", "config show", "near nonce encode"} <= names
    page = (DOCS / "reference" / "cli.md").read_text()
    assert {name for name in names if f"| `unrip {name}" not in page} == set()


def test_the_pages_count_the_services_that_there_are() -> None:
    words = ["five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
    pages = [page for page in PAGES if page.parent.name != "decisions"]  # those tell of their time
    told = [
        word.lower()
        for page in pages
        for word in re.findall(rf"(?i)\b({'|'.join(words)}) (?:programs|services)", page.read_text())
    ]
    assert len(told) > 1
    assert {words.index(word) + 5 for word in told} == {len(SERVICES)}


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_has_a_page_with_the_same_headings(service: str) -> None:
    page = (DOCS / "services" / f"{service}.md").read_text()
    assert re.findall(r"^# (.+)$", page, re.MULTILINE) == [service]
    assert re.findall(r"^## (.+)$", page, re.MULTILINE) == SERVICE_HEADINGS


def test_the_page_about_connections_has_every_row_of_the_reconnect_policy() -> None:
    page = (DOCS / "services" / "README.md").read_text().partition("## Connections")[2]
    told = {
        row[0]: row[1:] for row in re.findall(r"^\| `(\w+)` +\|.+\| (.+?) +\| (.+?) +\| (.+?) +\|$", page, re.MULTILINE)
    }
    waits = {cause.value: (row.first_s, row.base_s, row.cap_s) for cause, row in BACKOFFS.items()}
    assert told == {cause: tuple(f"{s} s" if s else "at once" for s in row) for cause, row in waits.items()}


def test_the_example_runs_as_it_stands() -> None:
    result = doctest.testfile(str(DOCS / "explain.md"), module_relative=False)
    assert result.attempted > 0
    assert result.failed == 0


def glossary() -> dict[str, list[str]]:
    """Each word of the glossary with the other cells of its row."""
    rows = [line.strip("| ").split(" | ") for line in (DOCS / "glossary.md").read_text().splitlines() if "|" in line]
    return {row[0]: row[1:] for row in rows if row[0] not in {"word", "---"}}


def test_every_word_of_the_glossary_is_one_that_we_use() -> None:
    files = [*(ROOT / "src" / "unrip").rglob("*.py"), *(page for page in PAGES if page.name != "glossary.md")]
    used = "\n".join(path.read_text() for path in files).lower()
    assert len(glossary()) > 50
    words = {word for word in glossary() if not word.startswith("`")}
    assert {word for word in words if not re.search(rf"\b{re.escape(word)}s?\b", used)} == set()


def test_every_name_of_the_glossary_is_a_class_of_the_part_that_it_names() -> None:
    """Renamed or moved, it gets another row."""
    packages = {package.name.replace("_", "-"): package for package in (ROOT / "src" / "unrip").glob("**/*/")}
    names = {word.strip("`"): packages[row[0].partition(":")[0]] for word, row in glossary().items() if "`" in word}
    code = {package: "\n".join(path.read_text() for path in package.rglob("*.py")) for package in names.values()}
    assert len(names) > 20
    assert {name for name, package in names.items() if f"class {name}" not in code[package]} == set()


def test_the_glossary_has_the_states_of_an_offer_and_both_directions() -> None:
    unwritten = {AttemptState.REJECTED, AttemptState.CLAIMED, AttemptState.SENT}  # as `rejection`, `claim` and `offer`
    assert {str(word) for word in (*AttemptState, *Direction)} - {str(word) for word in unwritten} <= set(glossary())


def test_every_word_of_the_glossary_has_one_row_and_one_or_two_sentences() -> None:
    rows = re.findall(r"^\| (?!word|---)([^|]+?) \|", (DOCS / "glossary.md").read_text(), re.MULTILINE)
    assert sorted(rows) == sorted(set(rows))
    assert [word for word, (meaning, *_) in glossary().items() if not meaning.endswith(".")] == []
