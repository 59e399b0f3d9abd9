"""Structured logs: JSON lines with stable fields, once per change of state.

Stable fields are `level service component event namespace venue topic pair`; ids stand in the body. Nothing is logged
per frame, tick or beat, and no payloads (R41, R42).
"""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Iterable, MutableMapping
from collections.abc import Set as AbstractSet
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, TextIO, cast

import structlog

from unrip.frame.contract import Log
from unrip.frame.log_events import EVENTS


def configure_logs(*, service: str, namespace: str, events: Iterable[str] = (), stream: TextIO | None = None) -> None:
    """Set up structlog and route the errors of dependencies, which use the standard library's logging, through it."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            _stamp,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(sort_keys=False, default=str),
        ],
        logger_factory=structlog.PrintLoggerFactory(cast("TextIO", _Lines(stream or sys.stdout))),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.clear_contextvars()
    global _stable, _catalogue  # noqa: PLW0603 - one process is one service; both are set once, at start
    _catalogue = EVENTS.keys() | set(events)
    _stable = {"service": service, "namespace": namespace}
    logging.basicConfig(level=logging.ERROR, handlers=[_Dependencies()], force=True)


class _Lines(io.TextIOBase):
    """Where lines go. A line that finds no room, or no reader any more, is lost: no service ends for its log."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()


class _Dependencies(logging.Handler):
    """Errors of the libraries, as lines like all others."""

    def emit(self, record: logging.LogRecord) -> None:
        structlog.get_logger().error(
            "dependency_error", component=record.name, message=record.getMessage(), exc_info=record.exc_info
        )


#: The events that may be logged; a line with another name is a programming error.
_catalogue: AbstractSet[str] = EVENTS.keys()
_stable: dict[str, str] = {"service": "unknown", "namespace": "local"}


def _stamp(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Put the stable fields first, in one order."""
    head = {
        "at": datetime.now(UTC).isoformat(),  # the line's own time; decisions take theirs from `now`
        "level": event.pop("level"),
        "service": _stable["service"],
        "component": event.pop("component", "frame"),
        "event": event.pop("event"),
        "namespace": _stable["namespace"],
        "venue": event.pop("venue", None),
        "topic": event.pop("topic", None),
        "pair": event.pop("pair", None),
    }
    return head | dict(event)


def write_log(line: Log) -> None:
    """Write one line."""
    if line.event not in _catalogue:
        raise AssertionError(f"log event {line.event!r} is not in the catalogue")
    logger = structlog.get_logger()
    write = {"info": logger.info, "warning": logger.warning, "error": logger.error}[line.level]
    write(line.event, component=line.component, venue=line.venue, topic=line.topic, pair=line.pair, **line.body)
