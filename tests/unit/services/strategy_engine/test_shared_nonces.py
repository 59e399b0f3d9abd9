"""What the strategy knows of its own live nonces, from its commands and their results."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from support.cases import ACCOUNT, BTC, EURE, NOW, a_view
from support.engine import Engine, a_record, only
from unrip.domain.attempt import AttemptState, Rejection
from unrip.domain.command import TradeCommand
from unrip.domain.desk_state import CommandPosition
from unrip.domain.pairs import Direction
from unrip.domain.policy import Policy
from unrip.domain.values import Amount
from unrip.frame.contract import Subscribe
from unrip.messages.topics import EXECUTE_TRADE, TRADE_DECISION, TRADE_RESULT
from unrip.services.trade_executor.results import rejected


class DeskState(Engine):
    """An engine whose commands are counted on."""

    _number = 0

    def ask(self, partner: str | None = "p", **changes: Any) -> TradeCommand:
        """One more request, decided, commanded and acknowledged."""
        self._number += 1
        self.demand(f"quote-{self._number}", offset=self._number, partner_id=partner, **changes)
        assert self.decisions[-1].payload.accepted, self.decisions[-1].payload.reason
        self.acknowledge(self.decisions[-1])
        self.acknowledge(self.commands[-1])
        command: TradeCommand = self.commands[-1].payload
        return command

    def hear(self, command: TradeCommand, state: AttemptState, reason: str | None = None) -> None:
        """The executor says what became of a command; its ledger counts whatever was commanded."""
        told = rejected(command, Rejection.DISARMED, {}, account=ACCOUNT)
        told = msgspec.structs.replace(told, state=state, reason=reason)
        self.feed(a_record(TRADE_RESULT, told, event_id=f"{command.command_id} {state}"))


@pytest.fixture
def desk() -> DeskState:
    ready = DeskState(Policy(exposure_cap_eur=Decimal(1_000_000))).ready()
    assert isinstance(ready, DeskState)
    return ready


def test_repeats_share_the_first_ones_nonce_and_add_nothing_to_its_hold(desk: DeskState) -> None:
    first = desk.ask()
    assert [desk.ask().nonce_opener for _ in range(3)] == [first.command_id] * 3
    assert {command.payload.nonce for command in desk.commands} == {first.nonce}
    free = desk.decisions[-1].payload.spendable
    assert free == desk.decisions[1].payload.spendable == 5_000 * 10**18 - first.amount_out


def test_another_partner_amount_or_direction_has_its_own(desk: DeskState) -> None:
    nonces = {
        desk.ask().nonce,
        desk.ask("q").nonce,
        desk.ask(None).nonce,
        desk.ask(None).nonce,
        desk.ask(amount_in=Amount(20_001)).nonce,
        desk.ask(direction=Direction.BASE_OUT).nonce,
    }
    assert len(nonces) == 6


def test_dry_requests_of_a_partner_share_and_the_hold_grows_to_the_largest(desk: DeskState) -> None:
    first = desk.ask(dry=True)
    larger = desk.ask(dry=True, amount_in=Amount(30_000))
    assert larger.nonce_opener == first.command_id
    desk.ask(dry=True, amount_in=Amount(25_000))
    shared = desk.decisions[-1].payload.desk.sharing.alike
    assert (shared.nonce, shared.amount) == (first.nonce, larger.amount_out)
    assert shared.last_deadline == larger.offer_deadline


@pytest.mark.parametrize("end", [AttemptState.SETTLED, AttemptState.LAPSED, AttemptState.SPENT])
def test_after_a_fill_or_a_death_the_next_offer_starts_a_new_nonce(desk: DeskState, end: AttemptState) -> None:
    first = desk.ask()
    second = desk.ask()
    for state in (AttemptState.CLAIMED, AttemptState.SENT, AttemptState.ACCEPTED):
        desk.hear(second, state)
    assert desk.ask().nonce == first.nonce
    desk.hear(second, end)
    desk.hear(first, end)
    third = desk.ask()
    assert third.nonce_opener is None
    assert desk.ask().nonce_opener == third.command_id


def test_an_executor_that_knows_of_an_end_first_is_believed(desk: DeskState) -> None:
    desk.ask()
    desk.hear(desk.ask(), AttemptState.REJECTED, Rejection.NONCE_ENDED)
    assert desk.ask().nonce_opener is None


@pytest.mark.parametrize("end", [AttemptState.REJECTED, AttemptState.DROPPED])
def test_an_offer_that_nobody_saw_leaves_the_nonce_to_the_others(desk: DeskState, end: AttemptState) -> None:
    first = desk.ask(dry=True)
    larger = desk.ask(dry=True, amount_in=Amount(30_000))
    desk.hear(larger, end, "window_closed")
    desk.hear(larger, end, "window_closed")
    assert desk.ask(dry=True).nonce_opener == first.command_id
    assert desk.decisions[-1].payload.desk.sharing.alike.amount == first.amount_out


def test_when_the_opener_itself_is_given_up_the_others_go_on_with_its_nonce(desk: DeskState) -> None:
    first, second = desk.ask(), desk.ask()
    desk.hear(first, AttemptState.REJECTED, "window_closed")
    third = desk.ask()
    assert (third.nonce, third.nonce_opener) == (second.nonce, first.command_id)
    desk.hear(second, AttemptState.DROPPED, "socket_gone")
    desk.hear(third, AttemptState.DROPPED, "socket_gone")
    assert desk.ask().nonce_opener is None


def test_a_nonce_is_not_joined_once_its_last_offer_may_be_dead(desk: DeskState) -> None:
    first = desk.ask(min_deadline_ms=1_000)
    desk.now = first.offer_deadline - timedelta(milliseconds=100)
    desk.inputs()
    later: dict[str, Any] = {"received_at": desk.now, "answer_by": desk.now + timedelta(milliseconds=300)}
    second = desk.ask(min_deadline_ms=1_000, **later)
    assert second.nonce_opener is None
    assert desk.ask(min_deadline_ms=1_000, **later).nonce_opener == second.command_id


def test_a_pool_is_shared_by_everybody_and_only_for_its_asset(desk: DeskState) -> None:
    held = {EURE.asset_id: Amount(2_450 * 10**18), BTC.asset_id: Amount(0)}
    desk.inputs(view=a_view(held=held, position=CommandPosition(topic_id="commands-1", next_offset=0)))
    first = desk.ask()
    assert [desk.ask(partner).nonce_opener for partner in ("q", None, "p")] == [first.command_id] * 3
    assert desk.ask(direction=Direction.BASE_OUT).nonce_opener is None


def test_after_a_restart_the_nonces_are_known_from_commands_and_results(desk: DeskState) -> None:
    live, ended = desk.ask(), desk.ask("q")
    again = DeskState(Policy(exposure_cap_eur=Decimal(1_000_000)))
    again.start()
    for offset, command in enumerate((live, ended)):
        again.feed(a_record(EXECUTE_TRADE, command, event_id=command.command_id, offset=offset))
    again.caught_up()
    asked = [each.topic.name for each in only(Subscribe, again.effects)]
    assert asked.index(TRADE_RESULT.name) > asked.index(EXECUTE_TRADE.name)
    again.hear(ended, AttemptState.SETTLED)
    again.inputs()
    again.demand("live", offset=50, partner_id="p")
    again.acknowledge(again.published(TRADE_DECISION)[-1])
    again.demand("ended", offset=51, partner_id="q")
    for decision, shared in zip(again.decisions, (live.nonce, None), strict=True):
        found = decision.payload.desk.sharing.alike
        assert (found and found.nonce) == shared
    assert live.offer_deadline > NOW
