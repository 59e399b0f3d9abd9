"""Beats that another build wrote: those of schema version 1 mean the same, and belong to no account that is known."""

import json
from pathlib import Path
from typing import Any

import pytest

from support.cases import a_view
from support.engine import a_beat, a_record
from support.histories import a_record as recorded
from unrip.domain.pairs import Direction
from unrip.domain.status import ExecutorVitals, HistoryVitals, OtherVitals, StrategyVitals, SwitchView
from unrip.messages.codec import decode_event, encode_event
from unrip.messages.envelope import InvalidMessage
from unrip.messages.topics import SERVICE_STATUS
from unrip.services.history_writer.rows import Beats, batch_of
from unrip.store.history import Position
from unrip.store.history_tables import TABLES

VERSION_1 = (
    Path(__file__).parents[2] / "fixtures" / "messages" / "v1" / f"{SERVICE_STATUS.name}.json"
).read_text()  # fmt: skip


def of_version_1(**payload: Any) -> bytes:
    found = json.loads(VERSION_1)
    return json.dumps(found | {"payload": found["payload"] | payload}).encode()


def of_today(**payload: Any) -> bytes:
    found = json.loads(encode_event(a_record(SERVICE_STATUS, a_beat("trade-executor", view=a_view())).message))
    return json.dumps(found | {"schema_version": 2, "payload": found["payload"] | payload}).encode()


def read(data: bytes) -> Any:
    return decode_event(SERVICE_STATUS.name, data)


ARMED = SwitchView(
    halted=True,
    armed=(Direction.BASE_IN,),
    arm_expires_at=a_beat("strategy-engine").started_at.replace(hour=10, minute=0, second=0, microsecond=250_000),
)


@pytest.mark.parametrize(
    ("service", "details"),
    [
        ("strategy-engine", StrategyVitals(switches=ARMED)),
        ("history-writer", HistoryVitals(lag=12)),
        ("inventory-sync", None),
        ("of-tomorrow", None),
    ],
)
def test_of_what_version_1_said_in_every_beat_each_keeps_its_own(service: str, details: Any) -> None:
    message = read(of_version_1(service=service, halted=True, lag=12, paused=True))
    beat = message.payload
    assert (message.schema_version, beat.service, beat.account, beat.paused) == (2, service, None, True)
    assert beat.details == details
    assert read(encode_event(message)) == message


def test_the_executor_of_version_1_said_what_it_says_today() -> None:
    details = read(of_version_1(halted=True, recovering=True, lag=3)).payload.details
    assert isinstance(details, ExecutorVitals)
    assert (details.switches, details.recovering, details.lag) == (ARMED, True, 3)
    assert details.ledger is not None
    assert (details.ledger.height, details.ledger.without_answer) == (200_000_000, None)
    assert read(of_version_1(ledger=None)).payload.details.ledger is None


def test_the_history_has_the_same_columns_of_either_version() -> None:
    names = [column.name for column in TABLES[SERVICE_STATUS.name].columns]
    beats = [read(of_version_1(lag=4)), read(of_today())]
    batch, _ = batch_of(
        [recorded(beat, offset) for offset, beat in enumerate(beats)],
        Position(topic_id="topic-1", next_offset=0),
        Beats(),
    )
    rows = [dict(zip(names, row.values, strict=True)) for row in batch.rows]
    assert [(row["service"], row["lag"], row["account"]) for row in rows] == [
        ("trade-executor", "4", None),
        ("trade-executor", "0", "desk.near"),
    ]


def test_details_of_a_service_that_is_unknown_here_are_kept_as_they_stood() -> None:
    told = {"kind": "funding", "deposits": [{"deep": None}], "lag": 3}
    message = read(of_today(service="funding-watcher", details=told))
    details = message.payload.details
    assert isinstance(details, OtherVitals)
    assert (details.name, json.loads(details.text)) == ("funding", told)
    assert read(encode_event(message)) == message


EXECUTOR = json.loads(of_today())["payload"]["details"]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (of_today(details=EXECUTOR | {"lag": "3"}), r"payload\.details\.lag"),
        (of_today(details=EXECUTOR | {"switches": None}), r"payload\.details\.switches"),
        (of_today(details={"lag": 3}), "kind"),
        (of_today(details={"kind": 7}), r"payload\.details"),
        (of_today(details=[]), r"payload\.details"),
        (of_today(account=7), r"payload\.account"),
        (of_version_1(lag="3"), "lag"),
        (of_version_1(lag=None), "lag"),
        (of_version_1(armed=["sideways"]), "sideways"),
        (of_version_1(service=7), "service"),
        (of_version_1(healthy=None), "healthy"),
    ],
)
def test_a_beat_that_is_known_and_spoilt_is_invalid(data: bytes, reason: str) -> None:
    with pytest.raises(InvalidMessage, match=reason):
        read(data)
