"""A lease of an earlier life where PostgreSQL is slow, answers late, or has what no operator can have given."""

from __future__ import annotations

from collections.abc import Coroutine
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from support.cases import BOTH
from support.switches import Station, at_once
from unrip.domain.arming import ArmLease
from unrip.domain.pairs import Direction
from unrip.store.leases import MemoryLeases


class Postgres(MemoryLeases):
    """Leases that can be changed by hand, and whose answers come when they are let through."""

    def __init__(self) -> None:
        super().__init__()
        self.changes: dict[str, Any] = {}
        self.asked: list[Coroutine[Any, Any, None]] = []

    async def find(self, service: str, token_hash: str) -> ArmLease | None:
        found = await super().find(service, token_hash)
        return None if found is None else msgspec.structs.replace(found, **self.changes)

    def answer(self) -> None:
        """What was asked meanwhile is answered, in its order."""
        while self.asked:
            at_once(self.asked.pop(0))


@pytest.fixture
def station(tmp_path: Path) -> Station:
    return Station(tmp_path / "strategy-engine.lease", store=Postgres())


def postgres(station: Station) -> Postgres:
    assert isinstance(station.store, Postgres)
    return station.store


def slow(station: Station) -> None:
    """From now on PostgreSQL answers nobody."""
    station.start = postgres(station).asked.append


def answers(station: Station) -> None:
    station.start = at_once
    postgres(station).answer()


def stays_unarmed(station: Station) -> bool:
    """Neither this life nor the next one is armed by itself."""
    station.wait(600)
    armed = station.armed()
    station.restart()
    station.wait(600)
    return armed == station.armed() == ()


def test_while_postgresql_is_slow_nothing_arms_and_afterwards_it_does(station: Station) -> None:
    station.arm(survive=True)
    slow(station)
    station.restart()
    station.wait(60)
    assert station.armed() == ()
    answers(station)
    station.wait(31)
    assert station.armed() == BOTH


@pytest.mark.parametrize("asked", ["find", "use"])
@pytest.mark.parametrize("brake", ["disarm", "halt", "pause"])
def test_an_answer_that_comes_after_a_brake_arms_nothing(station: Station, asked: str, brake: str) -> None:
    station.arm(survive=True)
    if asked == "find":
        slow(station)
    station.restart()
    if asked == "use":
        slow(station)
        station.wait(40)
    assert postgres(station).asked
    station.control(brake)
    answers(station)
    assert stays_unarmed(station)


def test_a_slow_keep_of_this_life_does_not_undo_the_brake_after_it(station: Station) -> None:
    slow(station)
    station.arm(survive=True)
    station.control("disarm")
    answers(station)
    assert not station.path.exists()
    assert stays_unarmed(station)


def test_a_late_answer_does_not_take_the_place_of_what_an_operator_has_said_since(station: Station) -> None:
    station.arm(survive=True)
    slow(station)
    station.restart()
    station.arm(survive=False, minutes=1, directions=(Direction.BASE_IN,))
    answers(station)
    station.wait(50)
    assert station.armed() == (Direction.BASE_IN,)
    station.wait(600)
    assert station.armed() == ()


def test_a_lease_that_is_dated_ahead_arms_nothing(station: Station) -> None:
    """The clock was ahead when it was given, or is behind now: nobody knows when it ends."""
    station.arm(survive=True, minutes=60)
    station.now -= timedelta(hours=1)
    station.restart()
    assert stays_unarmed(station)
    assert "a clock was wrong" in station.logs[-1].body["reason"]


def test_a_lease_longer_than_any_that_is_given_arms_nothing(station: Station) -> None:
    station.arm(survive=True, minutes=1440)
    station.restart()
    station.wait(60)
    assert station.armed() == BOTH
    lease = station.board.switches.lease
    assert lease is not None
    postgres(station).changes = {"expires_at": lease.expires_at + timedelta(seconds=1)}
    station.restart()
    assert stays_unarmed(station)
    assert "longer than any" in station.logs[-1].body["reason"]
