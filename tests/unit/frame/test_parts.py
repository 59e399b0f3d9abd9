"""The smaller parts of the frame: crash points, metrics, beats, dependencies, plain structures, the publisher."""

from __future__ import annotations

import signal
import subprocess
import sys
from datetime import timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from support.cases import NOW, a_decision, a_demand
from unrip.domain.pairs import Direction
from unrip.domain.status import HistoryVitals, StrategyVitals, SwitchView
from unrip.frame.beat import Beat
from unrip.frame.contract import (
    ROLE_UNCONFIRMED,
    STANDBY,
    BusChanged,
    DatabaseChanged,
    Log,
    Publish,
    Published,
    PublishFailed,
    RoleChanged,
    Vitals,
)
from unrip.frame.crashpoints import CRASH_POINTS, crash_point
from unrip.frame.dependencies import Dependencies
from unrip.frame.jsonable import jsonable
from unrip.frame.metrics import Metrics
from unrip.frame.publisher import Delivery, Publisher
from unrip.frame.refusals import Refusals
from unrip.messages.codec import decode_event
from unrip.messages.envelope import Producer
from unrip.messages.topics import MARKET_PRICE, SWAP_DEMAND


@pytest.mark.parametrize("name", sorted(CRASH_POINTS))
def test_a_process_told_to_crash_dies_there_and_only_there(name: str) -> None:
    script = "import sys; from unrip.frame.crashpoints import *; [crash_point(n) for n in sys.argv[1:]]; print('on')"
    others = sorted(CRASH_POINTS - {name})

    def run(*points: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", script, *points],
            env={"PYTHONPATH": ":".join(sys.path), "UNRIP_TEST_CRASH_AT": name},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    assert run(*others).stdout == "on\n"
    died = run(*others, name)
    assert (died.returncode, died.stdout) == (-signal.SIGKILL, "")


def test_a_crash_point_that_nobody_registered_is_a_programming_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UNRIP_TEST_CRASH_AT", raising=False)
    with pytest.raises(AssertionError, match="not registered"):
        crash_point("somewhere")
    for name in CRASH_POINTS:
        crash_point(name)


def test_metrics_are_made_on_first_use_and_name_the_service() -> None:
    metrics = Metrics(service="strategy-engine")
    metrics.count("decisions", {"reason": "accepted"})
    metrics.count("decisions", {"reason": "accepted"})
    metrics.count("starts")
    metrics.observe("stage", 7.5, {"stage": "received_to_decided"})
    text = metrics.text().decode()
    assert 'unrip_decisions_total{reason="accepted",service="strategy-engine"} 2.0' in text
    assert 'unrip_starts_total{service="strategy-engine"} 1.0' in text
    assert 'unrip_stage_ms_bucket{le="10.0",service="strategy-engine",stage="received_to_decided"} 1.0' in text
    assert 'unrip_stage_ms_bucket{le="5.0",service="strategy-engine",stage="received_to_decided"} 0.0' in text


def test_two_processes_worth_of_metrics_do_not_meet() -> None:
    one, other = Metrics(service="a"), Metrics(service="b")
    one.count("things")
    assert b"things" not in other.text()


def test_a_beat_says_what_frame_and_logic_know() -> None:
    beat = Beat(
        service="trade-executor",
        start_id="trade-executor-1",
        started_at=NOW,
        account="desk.near",
        details=StrategyVitals,
    )
    details = StrategyVitals(switches=SwitchView(halted=False, armed=(Direction.BASE_IN,), arm_expires_at=None))
    vitals = Vitals(paused=True, details=details)
    state: dict[str, Any] = {"active": True, "generation": 3, "database_up": False}
    first = beat.next(NOW, vitals, health_failures=["postgres_unreachable"], not_ready=["recovering"], **state)
    second = beat.next(NOW + timedelta(seconds=1), vitals, health_failures=[], not_ready=[], **state)
    assert (first.event_id, second.event_id) == ("trade-executor-1-beat-1", "trade-executor-1-beat-2")
    told = first.payload
    assert (told.healthy, told.ready, told.not_ready) == (False, False, ("recovering",))
    assert (told.account, told.paused, told.details) == ("desk.near", True, details)
    assert (second.payload.healthy, second.payload.ready) == (True, True)
    assert second.observed_at == NOW + timedelta(seconds=1)


@pytest.mark.parametrize(
    ("named", "given"),
    [(None, HistoryVitals(lag=0)), (StrategyVitals, HistoryVitals(lag=0))],
    ids=["unexpected", "another"],
)
def test_a_beat_says_of_the_service_what_its_definition_names(named: Any, given: Any) -> None:
    beat = Beat(service="a", start_id="a-1", started_at=NOW, account=None, details=named)
    state: dict[str, Any] = {"active": True, "generation": None, "database_up": None}
    with pytest.raises(AssertionError, match="HistoryVitals"):
        beat.next(NOW, Vitals(details=given), health_failures=[], not_ready=[], **state)


class Watched:
    def __init__(self, *, uses_database: bool = True, single_active: bool = True) -> None:
        self.events: list[Any] = []
        self.logs: list[Any] = []
        self.now, self.elapsed_s = NOW, 0.0
        self.bus_back = 0
        self.superseded = 0
        self.dependencies = Dependencies(
            emit=self.events.append,
            perform=self.logs.append,
            clock=lambda: self.now,
            elapsed_s=lambda: self.elapsed_s,
            uses_database=uses_database,
            single_active=single_active,
            on_bus_back=self._back,
            on_superseded=self._superseded,
        )

    def _back(self) -> None:
        self.bus_back += 1

    def _superseded(self) -> None:
        self.superseded += 1

    @property
    def said(self) -> list[str]:
        return [line.event for line in self.logs if isinstance(line, Log)]


def test_a_change_is_said_once_and_the_first_answer_is_no_recovery() -> None:
    watched = Watched()
    for up in (True, True, False, False, True):
        watched.dependencies.bus_changed(up, "why")
        watched.dependencies.database_changed(up, "why")
    assert watched.said == ["kafka_lost", "postgres_lost", "kafka_recovered", "postgres_recovered"]
    assert [event.up for event in watched.events if isinstance(event, BusChanged)] == [True, False, True]
    assert [event.up for event in watched.events if isinstance(event, DatabaseChanged)] == [True, False, True]
    assert watched.bus_back == 2


def test_health_is_the_database_and_readiness_is_more() -> None:
    dependencies = Watched().dependencies
    assert dependencies.health_failures() == ["postgres_unreachable"]
    assert dependencies.not_ready() == ["postgres_unreachable", "kafka_unreachable", "role_not_held"]
    dependencies.bus_changed(True, "")
    dependencies.database_changed(True, "")
    dependencies.role_changed(True, 1)
    assert dependencies.not_ready() == dependencies.health_failures() == []
    plain = Watched(uses_database=False, single_active=False).dependencies
    assert (plain.database_up, plain.health_failures(), plain.not_ready()) == (None, [], ["kafka_unreachable"])


def test_a_role_that_others_had_in_between_ends_the_process() -> None:
    watched = Watched()
    watched.dependencies.role_changed(True, 4)
    watched.dependencies.role_refused(STANDBY)
    watched.dependencies.role_changed(False, None)
    watched.dependencies.role_changed(True, 4)
    assert (watched.superseded, watched.dependencies.active) == (0, True)
    assert [event.active for event in watched.events if isinstance(event, RoleChanged)] == [True, False, True]
    watched.dependencies.role_refused(STANDBY)
    watched.dependencies.role_changed(False, None)
    watched.dependencies.role_changed(True, 5)
    assert (watched.superseded, watched.dependencies.active) == (1, False)
    assert watched.said == ["active", "standby", "active", "standby"]


def test_a_role_that_nobody_confirmed_for_long_is_doubted_until_the_lock_says_that_it_is_ours() -> None:
    watched = Watched()
    dependencies = watched.dependencies
    dependencies.doubt_role()  # it was never ours
    dependencies.role_changed(True, 4)
    for _ in range(4):  # told again, which is no change
        watched.now, watched.elapsed_s = watched.now + timedelta(seconds=2), watched.elapsed_s + 2.0
        dependencies.doubt_role()
        dependencies.role_changed(True, 4)
    assert [event.active for event in watched.events] == [True]
    watched.elapsed_s += 60.0  # the process slept and its wall clock was set back: one clock is enough
    watched.now -= timedelta(hours=1)
    dependencies.doubt_role()
    dependencies.doubt_role()
    assert not dependencies.active
    assert watched.events[1:] == [RoleChanged(active=False, generation=None, why=ROLE_UNCONFIRMED)]
    assert dependencies.why()[ROLE_UNCONFIRMED] == "nothing was heard of the lock for 60.0 s"
    dependencies.role_changed(True, 4)
    assert watched.events[2:] == [RoleChanged(active=True, generation=4, why=ROLE_UNCONFIRMED)]
    watched.now += timedelta(seconds=3)  # the machine slept, and its monotonic clock with it
    dependencies.doubt_role()
    assert not dependencies.active
    assert watched.said == ["active", "role_unconfirmed", "active", "role_unconfirmed"]


def test_who_stood_still_doubts_the_role_before_it_hears_that_the_lock_cannot_be_asked() -> None:
    watched = Watched()
    watched.dependencies.role_changed(True, 4)
    watched.elapsed_s += 12.0
    watched.dependencies.role_refused("the database is away")
    watched.dependencies.role_changed(False, None)
    told = [event.why for event in watched.events if isinstance(event, RoleChanged) and not event.active]
    assert told[0] == ROLE_UNCONFIRMED
    assert watched.said == ["active", "role_unconfirmed", "role_not_held"]


def test_standby_is_only_said_beside_another_instance_and_every_other_reason_in_its_words() -> None:
    watched = Watched()
    dependencies = watched.dependencies
    dependencies.database_changed(True, "")
    dependencies.bus_changed(True, "")
    for why in ("PostgreSQL refuses writes", "PostgreSQL refuses writes", STANDBY, STANDBY, "a session of ours"):
        dependencies.role_refused(why)
    assert watched.said == ["role_not_held", "standby", "role_not_held"]
    assert [event.why for event in watched.events if isinstance(event, RoleChanged)] == [
        "role_not_held",
        "standby",
        "role_not_held",
    ]
    assert dependencies.why() == {"role_not_held": "a session of ours"}
    dependencies.role_changed(True, 1)
    dependencies.role_left("the ledger refuses")
    assert (dependencies.active, dependencies.why()) == (False, {"role_left": "the ledger refuses"})


def test_the_lasting_reason_of_an_outage_is_told_and_said_with_its_times() -> None:
    watched = Watched()
    dependencies = watched.dependencies
    dependencies.database_changed(True, "it takes writes")
    watched.now += timedelta(seconds=1)
    for reason in ("connection is closed", "password refused", "password refused", "password refused"):
        dependencies.database_changed(False, reason)
    assert [line.body["reason"] for line in watched.logs] == ["connection is closed", "password refused"]
    assert len([event for event in watched.events if isinstance(event, DatabaseChanged)]) == 2
    assert dependencies.why()["postgres_unreachable"] == "password refused"
    told = dependencies.state()["postgres"]
    assert (told.last_success_at, told.last_failure_at) == (NOW, watched.now)
    dependencies.database_changed(True, "it takes writes")
    assert dependencies.state()["postgres"].last_failure == "password refused"
    assert watched.said == ["postgres_lost", "postgres_lost", "postgres_recovered"]


def test_reasons_that_take_turns_do_not_flood_the_log() -> None:
    watched = Watched()
    for number in range(100):
        watched.dependencies.database_changed(False, f"one of two: {number % 2}")
    assert watched.said == ["postgres_lost"]


def test_refused_requests_are_all_counted_and_said_once_in_ten_seconds() -> None:
    counts: list[dict[str, str]] = []
    lines: list[Log] = []
    now = [NOW]
    refusals = Refusals(clock=lambda: now[0], count=lambda _name, labels: counts.append(labels), log=lines.append)
    for status in (401, 401, 401, 404):
        refusals.refused(status, "/state" + "x" * 1_000)
    now[0] += timedelta(seconds=10)
    refusals.refused(401, "/metrics")
    assert [labels["status"] for labels in counts] == ["401", "401", "401", "404", "401"]
    assert [(line.body["status"], line.body["times"]) for line in lines] == [(401, 1), (404, 1), (401, 3)]
    assert max(len(line.body["path"]) for line in lines) == 100


def test_what_is_shown_is_plain() -> None:
    shown = jsonable({"decision": a_decision(), "limit": Decimal("2.50"), 1: NOW})
    assert shown["limit"] == "2.50"
    assert shown["1"] == "2026-11-24T09:00:00.123456Z"
    assert shown["decision"]["required"] == "11739842198324324688"


class Producing:
    def __init__(self) -> None:
        self.produced: list[tuple[str, str, bytes]] = []
        self.deliveries: list[Delivery] = []

    def produce(self, topic: str, key: str, value: bytes, on_delivery: Delivery) -> None:
        self.produced.append((topic, key, value))
        self.deliveries.append(on_delivery)


def a_publisher() -> tuple[Publisher, Producing, list[Any], list[tuple[str, dict[str, str]]]]:
    producing, events, counts = Producing(), list[Any](), list[tuple[str, dict[str, str]]]()
    identity = Producer(service="test", instance="test-1", version="9")
    publisher = Publisher(
        producing,
        identity=identity,
        clock=lambda: NOW,
        emit=events.append,
        count=lambda name, labels: counts.append((name, labels)),
        writes=(SWAP_DEMAND,),
    )
    return publisher, producing, events, counts


def a_publish(token: str | None) -> Publish:
    return Publish(
        topic=SWAP_DEMAND,
        event_id="demand-1",
        payload=a_demand(),
        observed_at=NOW - timedelta(seconds=1),
        correlation_id="quote-1",
        stages={"received": NOW},
        token=token,
    )


def test_nothing_is_written_that_the_service_does_not_say() -> None:
    publisher, producing, _events, _counts = a_publisher()
    with pytest.raises(AssertionError, match="does not say that it writes"):
        publisher.publish(msgspec.structs.replace(a_publish(None), topic=MARKET_PRICE))
    assert producing.produced == []


def test_an_effect_is_put_into_its_envelope() -> None:
    publisher, producing, _events, _counts = a_publisher()
    publisher.publish(a_publish(None))
    ((topic, key, value),) = producing.produced
    event = decode_event(topic, value)
    assert (topic, key) == ("norm.swap_demand", "BTC/EURe")
    assert (event.producer.instance, event.published_at, event.payload) == ("test-1", NOW, a_demand())
    assert event.observed_at == NOW - timedelta(seconds=1)


def test_what_came_of_it_is_told_under_its_token_and_counted() -> None:
    publisher, producing, events, counts = a_publisher()
    for token in ("first", "second", None):
        publisher.publish(a_publish(token))
    producing.deliveries[0](17, None)
    producing.deliveries[1](None, "timed out")
    producing.deliveries[2](18, None)
    assert events == [Published(token="first", offset=17), PublishFailed(token="second", reason="timed out")]
    assert [labels["outcome"] for _name, labels in counts] == ["acknowledged", "failed", "acknowledged"]


def test_a_topic_that_the_broker_refuses_is_in_trouble_until_it_takes_one_or_nobody_tries_any_more() -> None:
    publisher, producing, _events, _counts = a_publisher()
    publisher.publish(a_publish("first"))
    producing.deliveries[0](None, "Broker: Message size too large")
    assert publisher.troubles(NOW) == {"norm.swap_demand": "Broker: Message size too large"}
    publisher.publish(a_publish("again"))
    producing.deliveries[1](0, None)
    assert publisher.troubles(NOW) == {}
    publisher.publish(a_publish("another"))
    producing.deliveries[2](None, "Broker: Message size too large")
    assert publisher.troubles(NOW + timedelta(seconds=15)) == {}
    for why in (None, "timed out"):
        publisher.publish(a_publish("second"))
        producing.deliveries[-1](None if why else 1, why)
    assert publisher.troubles(NOW) == {"norm.swap_demand": "timed out"}
    publisher.bus_back()
    assert publisher.troubles(NOW) == {}
