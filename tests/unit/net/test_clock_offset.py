"""Our clock against the whole seconds of other people's: what is certain refuses, what is possible does not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from random import Random

import httpx
import pytest

from unrip.net.clock_offset import ClockCompared, ClockOffset
from unrip.net.http import HttpClient

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
LIMIT_MS = 250


class World:
    """Servers with the true time, asked every two seconds by us with a clock of our own."""

    def __init__(self, ahead_ms: int, *, seed: int = 1, late_dates: bool = False) -> None:
        self.ahead = timedelta(milliseconds=ahead_ms)
        self.true = NOW
        self.told: list[ClockCompared] = []
        self._chance = Random(seed)  # noqa: S311 - it must repeat
        self._late = timedelta(seconds=1 if late_dates else 0)
        self.offset = ClockOffset(clock=lambda: self.true + self.ahead, tell=self.told.append)

    def ask(self, times: int) -> ClockCompared:
        for _ in range(times):
            self.true += timedelta(seconds=2, milliseconds=self._chance.randint(0, 400))
            written = self.true - timedelta(milliseconds=self._chance.randint(0, 40)) - self._late
            self.offset.answered(format_datetime(written.replace(microsecond=0), usegmt=True), 0.05)
        return self.told[-1]


@pytest.mark.parametrize("late_dates", [False, True])
@pytest.mark.parametrize("ahead_ms", [0, 100, -100, 240, -240])
def test_a_clock_within_the_limit_is_never_called_wrong(ahead_ms: int, *, late_dates: bool) -> None:
    for seed in range(20):
        world = World(ahead_ms, seed=seed, late_dates=late_dates)
        world.ask(60)
        assert [each.beyond(LIMIT_MS) for each in world.told] == [None] * 60


@pytest.mark.parametrize("ahead_ms", [-400, -2_000, 1_700, 3_600_000])
def test_a_wrong_clock_is_found_within_a_minute(ahead_ms: int) -> None:
    for seed in range(20):
        beyond = World(ahead_ms, seed=seed).ask(30).beyond(LIMIT_MS)
        assert beyond is not None
        assert (beyond > 0) == (ahead_ms > 0)


def test_a_clock_that_is_set_right_is_believed_at_once() -> None:
    world = World(-5_000)
    assert world.ask(10).beyond(LIMIT_MS) is not None
    world.ahead = timedelta(0)
    assert world.ask(1).beyond(LIMIT_MS) is None
    world.ahead = timedelta(seconds=5)
    assert world.ask(1).beyond(LIMIT_MS) is not None


def test_what_is_no_date_says_nothing() -> None:
    world = World(0)
    for date in ("", "soon", "Tue, 99 Nov 2026 09:00:00 GMT", "Tue, 24 Nov 2026 09:00:00", "x" * 10_000):
        world.offset.answered(date, 0.1)
    assert world.told == []


async def test_every_answer_with_a_date_is_heard() -> None:
    dated = {"date": "Tue, 24 Nov 2026 09:00:00 GMT", "content-type": "application/json"}
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json={}, headers=dated))
    client, heard = HttpClient(name="rpc", count=lambda *_: None, transport=transport), []
    client.on_date = lambda date, took_s: heard.append((date, took_s >= 0))
    await client.get("http://node.example/")
    await client.aclose()
    assert heard == [(dated["date"], True)]
