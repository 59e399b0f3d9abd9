"""Every start is disarmed; only an explicit arm, or the lease it left, arms again. Every brake ends that, too."""

from __future__ import annotations

import tempfile
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from support.cases import BOTH
from support.switches import Station
from unrip import __version__
from unrip.domain.pairs import Direction
from unrip.frame import switchboard
from unrip.frame.contract import PublishFailed
from unrip.frame.switchboard import REARM
from unrip.messages.topics import CONTROL_ACTION
from unrip.store.leases import USES_PER_HOUR


@pytest.fixture
def station(tmp_path: Path) -> Station:
    return Station(tmp_path / "strategy-engine.lease")


def test_an_ordinary_lease_ends_with_its_process(station: Station) -> None:
    station.arm(survive=False)
    assert station.armed() == BOTH
    station.restart()
    station.wait(600)
    assert station.armed() == ()
    assert not station.path.exists()


def test_a_surviving_lease_arms_again_after_thirty_green_seconds_and_says_so_first(station: Station) -> None:
    station.arm(survive=True, directions=(Direction.BASE_IN,))
    assert station.path.stat().st_mode & 0o077 == 0
    station.restart()
    assert station.armed() == ()
    station.wait(30)
    assert (station.armed(), station.published) == ((), [])
    station.wait(2)
    assert station.armed() == (Direction.BASE_IN,)
    (record,) = station.published
    assert (record.topic, record.token) == (CONTROL_ACTION, REARM)
    assert (record.payload.account, record.payload.actor) == ("desk.near", "surviving lease")
    assert "operator" in record.payload.reason
    assert (record.payload.before["armed"], record.payload.after["armed"]) == ("none", "base_in")
    assert [line.event for line in station.logs] == ["armed"]


def test_the_green_seconds_must_be_without_a_break(station: Station) -> None:
    station.arm(survive=True)
    station.restart()
    station.wait(25)
    station.green = False
    station.wait(3)
    station.green = True
    station.wait(25)
    assert station.armed() == ()
    station.wait(10)
    assert station.armed() == BOTH


def test_it_arms_only_once_its_record_is_acknowledged(station: Station) -> None:
    station.arm(survive=True)
    station.restart()
    station.brokers_up = False
    station.wait(40)
    assert station.armed() == ()
    station.tell(PublishFailed(token=REARM, reason="no broker"))
    station.brokers_up = True
    station.wait(2)
    assert station.armed() == BOTH
    assert len({record.event_id for record in station.published}) == 1


@pytest.mark.parametrize("brake", ["disarm", "halt", "pause"])
@pytest.mark.parametrize("life", ["before the restart", "after the restart", "while the record is on its way"])
def test_a_brake_ends_what_would_survive(station: Station, brake: str, life: str) -> None:
    station.arm(survive=True)
    if life == "before the restart":
        station.control(brake)
    station.restart()
    if life == "after the restart":
        station.wait(10)
        station.control(brake)
    if life == "while the record is on its way":
        station.brokers_up = False
        station.wait(40)
        assert station.published
        station.control(brake)
        station.brokers_up = True
        station.tell(PublishFailed(token=REARM, reason="no broker"))
    station.wait(600)
    assert station.armed() == ()
    assert not station.path.exists()
    station.restart()
    station.wait(600)
    assert station.armed() == ()


def test_a_file_deleted_by_hand_is_a_brake(station: Station) -> None:
    station.arm(survive=True)
    station.restart()
    station.wait(10)
    station.path.unlink()
    station.wait(600)
    assert station.armed() == ()


def test_a_file_alone_is_worth_nothing(station: Station, tmp_path: Path) -> None:
    station.arm(survive=True)
    other_database = Station(tmp_path / "strategy-engine.lease")
    other_database.wait(600)
    assert other_database.armed() == ()


def test_another_configuration_needs_another_lease(station: Station) -> None:
    station.arm(survive=True)
    station.configuration_hash = "configuration-2"
    station.restart()
    station.wait(600)
    assert station.armed() == ()
    assert "another build or configuration" in station.logs[-1].body["reason"]
    assert not station.path.exists()


def test_another_build_needs_another_lease(station: Station, monkeypatch: pytest.MonkeyPatch) -> None:
    station.arm(survive=True)
    monkeypatch.setattr(switchboard, "__version__", "another")
    station.restart()
    station.wait(600)
    assert (station.armed(), station.published) == ((), [])
    assert "another build or configuration" in station.logs[-1].body["reason"]
    assert not station.path.exists()


def test_a_lease_is_given_for_the_build_that_runs(station: Station) -> None:
    station.arm(survive=True)
    lease = station.board.switches.lease
    assert lease is not None
    assert (lease.build, lease.configuration_hash) == (__version__, station.configuration_hash)


def test_a_lease_ends_at_its_instant_whatever_restarts(station: Station) -> None:
    station.arm(survive=True, minutes=1)
    station.restart()
    station.wait(40)
    assert station.armed() == BOTH
    station.wait(30)
    assert station.armed() == ()
    station.restart()
    station.wait(600)
    assert station.armed() == ()


def test_not_more_often_than_three_times_an_hour(station: Station) -> None:
    station.arm(survive=True)
    for _ in range(USES_PER_HOUR):
        station.restart()
        station.wait(60)
        assert station.armed() == BOTH
    station.restart()
    station.wait(600)
    assert station.armed() == ()
    assert "too often" in station.logs[-1].body["reason"]


def test_a_file_that_cannot_be_deleted_is_told_and_the_brake_holds_all_the_same(station: Station) -> None:
    station.arm(survive=True)
    station.path.unlink()
    station.path.mkdir()
    station.control("disarm")
    assert station.armed() == ()
    assert (station.logs[-1].event, station.logs[-1].level) == ("lease_not_forgotten", "error")
    assert str(station.path) in station.logs[-1].body["reason"]


def test_a_file_that_cannot_be_written_is_told_and_the_lease_ends_with_its_process(tmp_path: Path) -> None:
    (tmp_path / "a file").touch()
    station = Station(tmp_path / "a file" / "strategy-engine.lease")
    station.arm(survive=True)
    assert station.armed() == BOTH
    assert station.logs[-1].event == "lease_not_kept"
    station.restart()
    station.wait(600)
    assert station.armed() == ()


def test_a_file_that_others_may_read_arms_nothing(station: Station) -> None:
    station.arm(survive=True)
    station.path.chmod(0o644)
    station.restart()
    station.wait(600)
    assert station.armed() == ()
    assert station.logs[-1].event == "lease_not_kept"
    assert "chmod 600" in station.logs[-1].body["reason"]


class Operators(RuleBasedStateMachine):
    """Operators, crashes and time do whatever they like; a plain model says who may be armed."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.station = Station(Path(self.folder.name) / "lease")
        #: The last lease that no brake and no later lease ended: directions, end, survives, armed in this life.
        self.lease: tuple[tuple[Direction, ...], datetime, bool, bool] | None = None

    def teardown(self) -> None:
        self.folder.cleanup()

    @rule(
        directions=st.sampled_from([BOTH, (Direction.BASE_IN,)]),
        minutes=st.integers(min_value=1, max_value=90),
        survive=st.booleans(),
    )
    def arm(self, directions: tuple[Direction, ...], minutes: int, survive: bool) -> None:
        self.station.arm(survive=survive, minutes=minutes, directions=directions)
        self.lease = (directions, self.station.now + timedelta(minutes=minutes), survive, True)

    @rule(action=st.sampled_from(["disarm", "halt"]))
    def brake(self, action: str) -> None:
        self.station.control(action)
        self.lease = None

    @rule()
    def pause(self) -> None:
        self.station.control("pause")
        if self.lease is not None:
            self.lease = (*self.lease[:2], False, self.lease[3]) if self.lease[3] else None

    @rule()
    def resume(self) -> None:
        self.station.control("resume")

    @rule()
    def crash(self) -> None:
        self.station.restart()
        if self.lease is not None:
            self.lease = (*self.lease[:3], False) if self.lease[2] else None

    @rule(seconds=st.integers(min_value=0, max_value=2_000), green=st.booleans())
    def wait(self, seconds: int, green: bool) -> None:
        self.station.green = green
        self.station.wait(seconds)

    @invariant()
    def nothing_else_arms(self) -> None:
        acting = self.station.armed() if not self.station.board.switches.halted else ()
        if acting:
            assert self.lease is not None, "armed without a lease"
            assert acting == self.lease[0]
            assert self.station.now < self.lease[1]
            self.lease = (*self.lease[:3], True)
        elif self.lease is not None and self.lease[3]:
            assert self.station.now >= self.lease[1], "an armed service lost its lease for no reason"


TestOperators = Operators.TestCase
TestOperators.settings = settings(max_examples=80, stateful_step_count=30, deadline=None)
