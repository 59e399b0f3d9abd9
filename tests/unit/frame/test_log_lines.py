"""Log lines: JSON with the stable fields first, of events in the catalogue only."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
import structlog

from unrip.frame.contract import Log
from unrip.frame.definition import events_of
from unrip.frame.logs import configure_logs, write_log
from unrip.services.registry import SERVICES

EVENTS = events_of(SERVICES.values())
STABLE = ["at", "level", "service", "component", "event", "namespace", "venue", "topic", "pair"]


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    handlers, level = logging.root.handlers, logging.root.level
    configure_logs(service="trade-executor", namespace="desk", events=EVENTS, stream=stream)
    yield stream
    logging.root.handlers, logging.root.level = handlers, level
    structlog.reset_defaults()


def lines(written: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in written.getvalue().splitlines()]


def test_a_line_has_exactly_the_stable_fields_and_its_body(written: io.StringIO) -> None:
    write_log(
        Log(
            event="execution_submitted",
            component="execution",
            venue="near_intents",
            pair="BTC/EURe",
            body={"command_id": "c-1", "edge": Decimal("0.02")},
        )
    )
    (line,) = lines(written)
    assert list(line) == [*STABLE, "command_id", "edge"]
    at = datetime.fromisoformat(line.pop("at"))
    assert at.tzinfo is not None
    assert line == {
        "level": "info",
        "service": "trade-executor",
        "component": "execution",
        "event": "execution_submitted",
        "namespace": "desk",
        "venue": "near_intents",
        "topic": None,
        "pair": "BTC/EURe",
        "command_id": "c-1",
        "edge": "0.02",
    }


@pytest.mark.parametrize("event", sorted(EVENTS))
def test_every_event_of_the_catalogue_can_be_logged_at_every_level(event: str, written: io.StringIO) -> None:
    for level in ("info", "warning", "error"):
        write_log(Log(event=event, level=level))
    assert [(line["event"], line["level"]) for line in lines(written)] == [
        (event, "info"),
        (event, "warning"),
        (event, "error"),
    ]
    assert EVENTS[event]


def test_an_event_outside_the_catalogue_is_a_programming_error(written: io.StringIO) -> None:
    with pytest.raises(AssertionError, match="'tick' is not in the catalogue"):
        write_log(Log(event="tick"))
    assert written.getvalue() == ""


def test_what_a_library_says_is_a_line_too_whatever_it_contains(written: io.StringIO) -> None:
    logging.getLogger("aiokafka").warning("not an error")
    try:
        raise OSError('a "quoted"\nreason')  # noqa: TRY301 - to be logged
    except OSError:
        logging.getLogger("uvicorn.error").exception('it said "%s"', "no\nmore")
    (line,) = lines(written)
    assert list(line)[: len(STABLE)] == STABLE
    assert (line["component"], line["event"]) == ("uvicorn.error", "dependency_error")
    assert line["message"] == 'it said "no\nmore"'
    assert 'a "quoted"' in line["exception"]


class Full(io.StringIO):
    """A disk without room."""

    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")


def test_a_line_that_finds_no_room_is_lost_and_ends_nothing() -> None:
    handlers, level = logging.root.handlers, logging.root.level
    configure_logs(service="trade-executor", namespace="desk", stream=Full())
    write_log(Log(event="halted", component="control"))
    logging.root.handlers, logging.root.level = handlers, level
    structlog.reset_defaults()
