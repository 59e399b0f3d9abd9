"""Offers that no block judges: they stay, with a bounded rate of questions, until an operator decides."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from support.cases import NOW
from support.engine import a_control
from support.executor import VIEW, events_of, executor
from support.past_blocks import GONE, answer, committed, ended, evidence, in_doubt, look, pair
from unrip.domain.attempt import Offer
from unrip.domain.desk_state import CommandPosition
from unrip.frame.contract import ControlRefused, Count, TimerFired
from unrip.services.trade_executor.effects import LedgerLoaded, LedgerOlder, PastUnread, ReadPast, ReadUse
from unrip.services.trade_executor.offers.nonce import RETRY_FIRST, RETRY_MAX

# --- asking again ----------------------------------------------------------------------------------------------------


def test_while_the_ledger_may_lack_offers_older_blocks_leave_none_unproven() -> None:
    """What they say is asked for once more, when every command is known that may have moved the same balances."""
    desk, offer = in_doubt()
    desk.feed(LedgerOlder(call="view", reason="ledger_went_back"))
    position = CommandPosition(topic_id="commands-1", next_offset=1)
    desk.feed(LedgerLoaded(position=position, open_offers=(offer,), view=VIEW))
    answer(desk, *pair(offer, moved=-1))
    assert "execution_failed" not in events_of(desk)
    assert [each.command_id for each in desk.open_offers] == [offer.command_id]


@pytest.mark.parametrize("kept", [True, False])
def test_unreadable_blocks_keep_the_offer_and_are_asked_for_at_a_bounded_rate(kept: bool) -> None:
    desk, offer = in_doubt()
    answered = PastUnread(kept=kept, reason="why")
    asked_at: list[datetime] = []
    for _ in range(400):
        if len(desk.of(ReadPast)) > len(asked_at):
            asked_at.append(desk.now)
            committed(desk, answered)
        desk.now += timedelta(seconds=5)
        look(desk, offer)
    gaps = [later - earlier for earlier, later in pairwise(asked_at)]
    assert gaps == sorted(gaps)
    assert gaps[0] == RETRY_FIRST
    assert gaps[-1] == RETRY_MAX
    assert desk.states == ["claimed", "sent", *([] if kept else ["unproven"])]
    assert [each.command_id for each in desk.open_offers] == [offer.command_id]
    (shown,) = desk.state().in_doubt
    assert (shown.command_ids, shown.reason, shown.unproven) == ((offer.command_id,), "why", not kept)


def test_no_timer_ends_what_is_unproven() -> None:
    desk, offer = in_doubt()
    committed(desk, GONE)
    for days in range(1, 400, 40):
        desk.now = NOW + timedelta(days=days)
        desk.feed(TimerFired(name="read"))
    assert [each.command_id for each in desk.open_offers] == [offer.command_id]
    assert events_of(desk).count("execution_failed") == 1
    assert Count(name="past_reads", labels={"outcome": "not_kept"}) in desk.effects


# --- an operator -----------------------------------------------------------------------------------------------------


def word(offer: Offer, outcome: str = "lapsed") -> Any:
    return a_control("resolve", command_id=offer.command_id, outcome=outcome)


@pytest.mark.parametrize("outcome", ["lapsed", "settled"])
def test_an_operator_ends_what_is_unproven(outcome: str) -> None:
    desk, offer = in_doubt()
    committed(desk, GONE)
    control = word(offer, outcome)
    desk.feed(control)
    result = ended(desk)
    assert (result.state, result.reason) == (outcome, control.reason)
    assert evidence(desk).operator == control.actor
    with pytest.raises(ControlRefused, match="no open offer"):
        desk.feed(control)  # its end is being written
    desk.noted()
    labels = {"state": outcome, "reason": "operator"}
    assert Count(name="executions_ended", labels=labels) in desk.effects, "no free text becomes a label"
    assert desk.states == ["claimed", "sent", "unproven", outcome]
    with pytest.raises(ControlRefused, match="no open offer"):
        desk.feed(control)
    assert desk.open_offers == []


def test_the_word_is_refused_while_the_chain_may_tell() -> None:
    desk = executor()
    offer = desk.send().offer
    with pytest.raises(ControlRefused, match="the chain can still tell"):
        desk.feed(word(offer))
    look(desk, offer)
    with pytest.raises(ControlRefused, match="the chain can still tell"):
        desk.feed(word(offer))
    desk.feed(PastUnread(kept=True, reason="the node is behind"))
    with pytest.raises(ControlRefused, match="the chain can still tell"):
        desk.feed(word(offer))
    assert [each.command_id for each in desk.open_offers] == [offer.command_id]


def test_the_word_is_refused_while_the_offer_can_still_be_taken() -> None:
    """Nobody knows yet how it ends: until its last deadline only a revocation does anything about it."""
    desk, offer = in_doubt(past=timedelta(seconds=-1))
    committed(desk, GONE)
    assert desk.states[-1] == "unproven"
    with pytest.raises(ControlRefused, match="halt --revoke"):
        desk.feed(word(offer))
    look(desk, offer, past=timedelta(seconds=1))
    desk.feed(word(offer))
    assert ended(desk).state == "lapsed"


def test_the_word_is_taken_of_a_used_nonce_at_once() -> None:
    desk, offer = in_doubt(past=timedelta(seconds=-1))
    answer(desk, *pair(offer, before=[offer.nonce]))
    look(desk, offer, past=timedelta(seconds=-1))
    assert len(desk.of(ReadUse)) == 1
    committed(desk, GONE)
    desk.feed(word(offer, "settled"))
    assert (ended(desk).state, evidence(desk).nonce_used) == ("settled", True)


def test_the_word_about_a_command_that_is_not_open_is_refused() -> None:
    with pytest.raises(ControlRefused, match="command nonsense has no open offer"):
        executor().feed(a_control("resolve", command_id="nonsense", outcome="lapsed"))
