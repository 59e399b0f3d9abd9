"""A database that goes back in time under the running desk, on virtual time, judged by the world's own books."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from simulation.desk import ACCOUNT, PUBLIC_KEY
from simulation.stores import Copy, done
from support.whole_desk import WholeDesk
from unrip.domain.attempt import TradeResult
from unrip.messages.topics import TRADE_DECISION, TRADE_RESULT
from unrip.store.ledger import DatabaseIdentity
from unrip_world.assets import BTC, EURE
from unrip_world.config import AccountSettings

#: Two offers of twenty euros are more than there is.
THIRTY = AccountSettings(account_id=ACCOUNT, public_keys=[PUBLIC_KEY], balances={BTC: "200000", EURE: "30" + "0" * 18})
LIVE = {"direction": "btc_to_eure", "accept": "never", "min_deadline_ms": 60_000}
#: Until every offer and the quarantine are over.
OVER_S = 160


class SetBack(WholeDesk):
    """The whole desk with thirty euros, of which one offer may hold all."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(settings={"limits": {"held_share": "100 %"}, **settings}, accounts=[THIRTY])

    def ask(self, satoshis: int) -> str:
        quote_id = self.demand(amount_in=str(satoshis), **LIVE)
        self.run(3)
        return quote_id

    def set_back(self, kept: Copy, *, how: str = "fail-over") -> None:
        """Be the database of that moment, after an outage that everybody noticed or none at all."""
        if how != "unnoticed":
            self.database.go_down()
            self.run(1)
        self.database.set_back(kept)
        self.invariants.set_back()
        if how == "promoted":
            self.database.ledger.database = DatabaseIdentity(system_identifier="memory", timeline=2)
        self.database.come_up()

    def results(self, quote_id: str) -> list[TradeResult]:
        return [event.payload for event in self.records(TRADE_RESULT) if event.payload.quote_id == quote_id]

    def executor(self) -> Any:
        return self.processes["trade-executor"].host.logic.state(self.loop.now)

    def refusal(self, quote_id: str) -> str:
        decisions = [event.payload for event in self.records(TRADE_DECISION) if event.payload.quote_id == quote_id]
        return str(decisions[-1].reason)

    def ends(self, quote_id: str) -> set[str]:
        return {str(result.state) for result in self.results(quote_id) if result.state.terminal}


@pytest.mark.parametrize("how", ["fail-over", "promoted", "unnoticed"])
def test_a_live_offer_that_the_database_forgot_is_held_and_followed_and_nothing_is_promised_twice(how: str) -> None:
    with SetBack() as desk:
        desk.ask(4_000)
        desk.run(OVER_S)
        kept = desk.database.copy()
        live = desk.ask(30_000)
        assert [str(result.state) for result in desk.results(live)] == ["claimed", "sent", "accepted"]
        desk.set_back(kept, how=how)
        second = desk.ask(28_000)
        desk.run(5)
        assert desk.executor().quarantine.reason in {"ledger_went_back", "database_is_another"}
        assert desk.executor().armed == "none"
        held = done(desk.database.ledger.load(ACCOUNT)).view.held[EURE]
        assert held > 20 * 10**18, "the forgotten offer is held again"
        third = desk.ask(5_000)
        assert desk.refusal(third) == "executor_not_ready"
        sent = {submission.quote_id for submission in desk.world.relay.journal.submissions}
        assert sent & {live, second, third} == {live}
        desk.run(OVER_S)
        assert (desk.ends(live), desk.executor().quarantine) == ({"lapsed"}, None)
        assert desk.ends(second) <= {"lapsed", "rejected"}
        assert done(desk.database.ledger.load(ACCOUNT)).view.held[EURE] == 0
        again = desk.ask(5_000)
        desk.run(OVER_S)
        assert desk.ends(again) == {"lapsed"}, "the desk trades again"


def test_a_fill_that_the_database_forgot_is_told_as_the_fill_that_it_was() -> None:
    with SetBack() as desk:
        kept = desk.database.copy()
        taken = desk.demand(**{**LIVE, "accept": "best"}, amount_in="4000")
        desk.run(15)
        assert desk.ends(taken) == {"settled"}
        desk.set_back(kept)
        desk.run(OVER_S)
        assert desk.ends(taken) == {"settled"}
        assert len([each for each in desk.results(taken) if each.state.terminal]) <= 2
        assert done(desk.database.ledger.load(ACCOUNT)).view.held.get(EURE, 0) == 0


def test_a_limit_that_was_tightened_after_the_copy_holds_on_also_for_the_next_life() -> None:
    """The running strategy gives PostgreSQL again what it lacks; one that starts reads it on Kafka."""
    with SetBack() as desk:
        kept = desk.database.copy()
        desk.loop.create_task(desk.act("strategy-engine", "limits", notional_cap_eur=Decimal(5)))
        desk.run(2)

        def cap() -> str:
            return str(desk.processes["strategy-engine"].host.state()["notional_cap_eur"])

        assert cap() == "5"
        desk.set_back(kept)
        desk.run(5)
        assert cap() == "5"
        base = desk.settings.limits.policy().hash
        in_force = done(desk.database.desk.in_force(base))
        assert in_force is not None
        assert in_force.notional_cap_eur == 5
        desk.kill("strategy-engine", "is killed")
        desk.set_back(kept)
        desk.run(10)
        assert cap() == "5"
