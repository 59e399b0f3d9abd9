"""What the executor would not believe ends, releases and replaces nothing; and it heals."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from support.engine import a_control
from support.executor import VIEW, Executor, a_command, a_reading, disconnected, events_of, executor
from unrip.domain.doubt import AGREEING_ALONE_MIN, Doubt, Seen
from unrip.frame.contract import CaughtUp, Count, Started, TimerFired
from unrip.messages.topics import TRADE_RESULT
from unrip.services.trade_executor.effects import (
    ApplyReading,
    LedgerLoaded,
    NoteSurroundings,
    PastRead,
    ReadVerifier,
    VerifierRead,
)

ABSURD = 2**62


def told(desk: Executor, height: int, **changes: Any) -> list[Any]:
    """A reading, without the ledger's answer."""
    return desk.feed(VerifierRead(reading=a_reading(height, now=desk.now, **changes)))


@pytest.mark.parametrize("asked", ["after a reconnect", "after a notice", "after a restart"])
def test_a_block_ahead_of_our_clock_ends_no_live_offer(asked: str) -> None:
    desk = executor()
    offer = desk.send().offer
    desk.reply()
    desk.noted()
    desk.now += timedelta(seconds=5)
    if asked == "after a reconnect":
        disconnected(desk)
        desk.connect()
    elif asked == "after a notice":
        desk.notice(offer.quote_hash)
    else:
        now, desk = desk.now, Executor()
        desk.now = now
        desk.start(offer)
        desk.connect()
    effects = told(desk, 1_010, asked=[offer.nonce], block_time=desk.now + timedelta(minutes=5))
    assert not any(isinstance(effect, ApplyReading) for effect in effects)
    assert Count(name="readings_refused", labels={"doubt": "clock_skewed"}) in effects
    assert "clock_skewed" in desk.logic.not_ready(desk.now)
    assert [each.command_id for each in desk.open_offers] == [offer.command_id]


@pytest.mark.parametrize("height", [ABSURD, 1_000_000])
def test_an_absurd_height_is_refused_by_name_and_the_next_node_is_asked(height: int) -> None:
    desk = executor()
    for _ in range(2):
        assert not any(isinstance(effect, ApplyReading) for effect in told(desk, height))
    assert desk.logic.not_ready(desk.now) == ["verifier_doubted: height_absurd"]
    assert events_of(desk) == ["reading_refused"], "said once"
    desk.feed(TimerFired(name="read"))
    assert desk.last(ReadVerifier).elsewhere
    desk.read()
    assert desk.logic.not_ready(desk.now) == []
    assert events_of(desk) == ["reading_refused", "reading_believed"]
    desk.feed(TimerFired(name="read"))
    assert not desk.last(ReadVerifier).elsewhere


def test_a_height_below_the_ledgers_own_is_refused_by_name_also_after_a_restart() -> None:
    desk = Executor()
    desk.start()
    told(desk, 999)
    assert "verifier_doubted: chain_went_back" in desk.logic.not_ready(desk.now)
    assert desk.of(ApplyReading) == []


def resumed(believed: Seen | None, *, height: int = ABSURD) -> Executor:
    """A life that begins with what an earlier one believed."""
    desk = Executor()
    desk.feed(Started(active=True, generation=1, start_id="trade-executor-2"))
    view = VIEW if believed is None else type(VIEW)(height=height, credited={}, held={}, position=None)
    desk.feed(LedgerLoaded(position=None, open_offers=(), view=view, believed=believed))
    desk.feed(CaughtUp(topic=TRADE_RESULT.name, topic_id="results-1"))
    return desk


def test_over_a_restart_the_last_block_bounds_the_next() -> None:
    now = Executor().now
    desk = resumed(Seen(height=1_000, block_time=now - timedelta(minutes=1)), height=1_000)
    told(desk, ABSURD)
    assert "verifier_doubted: height_absurd" in desk.logic.not_ready(desk.now)
    told(desk, 1_100)
    assert desk.last(ApplyReading).height == 1_100


def test_an_absurd_height_in_the_ledger_heals_by_what_agrees_recorded_and_in_quarantine() -> None:
    desk = resumed(Seen(height=ABSURD, block_time=Executor().now))
    for n in range(AGREEING_ALONE_MIN):
        desk.now += timedelta(seconds=5)
        assert desk.of(ApplyReading) == []
        told(desk, 1_000 + 8 * n)
    write = desk.of(NoteSurroundings)[0]
    assert write.reason == "reading_replaced", "before anything is replaced"
    desk.noted()
    write = desk.last(ApplyReading)
    assert (write.height, write.replaces) == (
        1_000 + 8 * (AGREEING_ALONE_MIN - 1),
        "readings in a row agree against it",
    )
    assert "belief_replaced" in events_of(desk)
    assert any(reason.startswith("quarantine") for reason in desk.logic.not_ready(desk.now))
    assert not any(reason.startswith("verifier_doubted") for reason in desk.logic.not_ready(desk.now))
    desk.noted()
    told(desk, 1_200)
    assert (desk.last(ApplyReading).height, desk.last(ApplyReading).replaces) == (1_200, None)


def test_an_operator_takes_a_reading_back_with_a_reason() -> None:
    desk = resumed(Seen(height=ABSURD, block_time=Executor().now))
    desk.now += timedelta(seconds=2)
    control = a_control("undo-reading")
    desk.feed(control)
    assert desk.last(NoteSurroundings).reason == "reading_undone"
    desk.noted()
    told(desk, 1_000)
    write = desk.last(ApplyReading)
    assert (write.height, write.replaces) == (1_000, f"{control.actor}: {control.reason}")


def test_older_blocks_that_do_not_fit_the_newest_one_end_nothing() -> None:
    desk = executor()
    offer = desk.send(a_command()).offer
    desk.now = offer.offer_deadline + timedelta(seconds=5)
    desk.read(asked=[offer.nonce], block_time=desk.now, observed_at=desk.now, salts={offer.salt: False})
    later = a_reading(990, asked=[offer.nonce], block_time=desk.now + timedelta(seconds=1))
    effects = desk.feed(PastRead(readings=(later,)))
    assert Count(name="readings_refused", labels={"doubt": str(Doubt.CHAIN_WENT_BACK)}) in effects
    assert desk.states == ["claimed", "sent"]
