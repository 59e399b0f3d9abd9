"""Foreign text on a terminal: never markup, colour or control, in any encoding and at any width."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.chains import chain_of_a_trade
from support.samples import NOW, PAIR, one_of_each_topic
from unrip.bus.ports import Record
from unrip.cli.amounts import Amounts
from unrip.cli.exits import Exit, fail
from unrip.cli.explain import printed
from unrip.cli.tail import line_of
from unrip.cli.terminal import columns, plain, write, write_json, write_json_text
from unrip.messages.codec import encode_event

SOURCE = Path(__file__).resolve().parents[3] / "src"

#: What closes, opens and escapes, on terminals and in the markup of libraries.
HOSTILE = [
    "see ticket [/ops/42]",
    "tail [/]",
    "see [bold]42[/bold]",
    "[link=https://evil.example]here[/link]",
    "\x1b[31mred\x1b[0m",
    "\x1b]8;;https://evil.example\x1b\\here\x1b]8;;\x1b\\",
    "\x9b2Jclear",
    "over\rwritten",
    "two\nlines",
    "\u202etxt.exe",
    "back\x08space\x7f",
    "zero\u200bwidth\ufeff",
    ":smile: {x} %s $HOME",
]
NO_CONTROL = re.compile(r"[^\x00-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff]*")


@pytest.fixture
def written(capsys: pytest.CaptureFixture[str]) -> Callable[[], list[str]]:
    """The lines that were written, each of them harmless."""

    def lines() -> list[str]:
        told = capsys.readouterr()
        found = (told.out + told.err).split("\n")[:-1]
        assert [line for line in found if not NO_CONTROL.fullmatch(line)] == []
        return found

    return lines


@pytest.mark.parametrize("text", HOSTILE)
def test_a_line_is_one_line_and_an_error_too(text: str, written: Callable[[], list[str]]) -> None:
    write(f"before {text} after")
    assert written() == [f"before {plain(text)} after"]
    with pytest.raises(SystemExit):
        fail(text, code=Exit.NO)
    assert written() == [f"unrip: {plain(text)}"]


@given(st.text(max_size=60))
def test_what_prints_is_as_it_was_and_the_rest_is_its_escape(text: str) -> None:
    shown = plain(text)
    assert shown.isprintable()
    assert shown == "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def test_no_event_writes_more_than_its_line(written: Callable[[], list[str]]) -> None:
    """Every text of every event, whoever wrote it; what cannot be decoded any more is told with the reason."""
    text, told = "".join(HOSTILE), 0
    for envelope in one_of_each_topic().values():
        whole = json.loads(encode_event(envelope))
        for place in _texts(whole["payload"]):
            record = _record(
                envelope.event_type, json.dumps({**whole, "payload": _with(whole["payload"], place, text)})
            )
            write(line_of(record, Amounts(PAIR)))
            write_json_text(record.value.decode())
            line, document = written()
            assert json.loads(document) == json.loads(record.value)
            told += plain(text) in line
    assert told > 5


@pytest.mark.parametrize("text", HOSTILE)
def test_json_of_somebody_else_stays_json_without_its_control(text: str, written: Callable[[], list[str]]) -> None:
    write_json_text(json.dumps({"a": [text, 1.50]}, ensure_ascii=False, indent=1))
    (line,) = written()
    assert json.loads(line) == {"a": [text, 1.50]}
    write_json({"b": text}, indent=None)
    (line,) = written()
    assert json.loads(line) == {"b": text}


def test_a_whole_chain_with_hostile_texts_is_told_line_by_line(written: Callable[[], list[str]]) -> None:
    text = "".join(HOSTILE)
    chain = chain_of_a_trade("quote-1")
    assert chain.demand is not None
    payload = msgspec.structs.replace(chain.demand.payload, partner_id=text)
    hostile = msgspec.structs.replace(
        chain, quote_id=text, demand=msgspec.structs.replace(chain.demand, payload=payload)
    )
    write(*printed(hostile, PAIR))
    lines = written()
    assert len(lines) == len(printed(chain, PAIR))
    assert sum(plain(text) in line for line in lines) == 2


def test_columns_keep_every_character_at_any_width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    rows = [("a", "x" * 300, "end"), ("long name", "日本", "[/]"), ("b",)]
    lines = columns(rows, indent="  ")
    assert [line.split() for line in lines] == [["a", "x" * 300, "end"], ["long", "name", "日本", "[/]"], ["b"]]
    assert lines[0].index("end") == lines[1].index("[/]") + 2  # two characters of two cells each


def test_nobody_else_writes_to_a_terminal() -> None:
    """One place writes, so that one place decides what is harmless."""
    other = re.compile(
        r"\bprint\(|\b(typer|click)\.(s?echo|style|secho)\b|^(from|import) rich|sys\.std(out|err)", re.MULTILINE
    )
    found = {
        str(file.relative_to(SOURCE))
        for package in ("unrip", "unrip_world")
        for file in (SOURCE / package).rglob("*.py")
        if other.search(file.read_text())
    }
    assert found == {"unrip/cli/terminal.py", "unrip/frame/logs.py", "unrip_world/terminal.py"}


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_that_is_not_utf_8_breaks_nothing(encoding: str) -> None:
    """The shortest commands whose texts hold what these encodings lack."""
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    for module, arguments, code in (
        ("unrip", ("explain", "→ ≠ …", "--config", "no→where.toml"), 2),
        ("unrip_world", ("--config", "no→where.toml"), 2),
    ):
        done = subprocess.run(
            [sys.executable, "-m", module, *arguments], capture_output=True, timeout=60, check=False, env=environment
        )
        told = (done.stdout + done.stderr).decode(encoding, "replace")
        assert (done.returncode, "Traceback" in told) == (code, False), told


def _record(topic: str, text: str) -> Record:
    return Record(topic=topic, topic_id="t", partition=0, offset=0, key=None, value=text.encode(), timestamp=NOW)


def _texts(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where a document holds texts."""
    if isinstance(value, str):
        yield path
    for key, below in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from _texts(below, (*path, key))


def _with(value: Any, path: tuple[Any, ...], text: str) -> Any:
    if not path:
        return text
    changed = dict(value) if isinstance(value, dict) else list(value)
    changed[path[0]] = _with(value[path[0]], path[1:], text)
    return changed
