"""Records that somebody else wrote to the desk's topics: they may shut it for a while, and promise or free nothing."""

from __future__ import annotations

from typing import Any

import msgspec

from simulation.stores import done
from support.whole_desk import WholeDesk
from unrip.bus.memory import MemoryBroker
from unrip.domain.attempt import AttemptState
from unrip.domain.inventory import Reconciliation
from unrip.domain.values import Amount
from unrip.messages.codec import encode_event
from unrip.messages.envelope import Envelope
from unrip.messages.topics import INTENT_INVENTORY, SERVICE_STATUS, TRADE_DECISION, TRADE_RESULT, Topic
from unrip_world.assets import BTC, EURE

LIVE = {"direction": "btc_to_eure", "amount_in": "20000", "accept": "never", "min_deadline_ms": 20_000}
TAKEN = {**LIVE, "accept": "best"}
FALL, RISE = Reconciliation.UNEXPLAINED_FALL, Reconciliation.UNEXPLAINED_RISE


def forge(desk: WholeDesk, topic: Topic, event: Envelope[Any], **changes: Any) -> None:
    """Somebody who may write a topic writes one of our records with other contents; the judge does not believe it."""
    payload = msgspec.structs.replace(event.payload, **changes)
    forged = msgspec.structs.replace(event, event_id="forged", payload=payload)
    MemoryBroker.append(desk.broker, topic.name, topic.key(payload), encode_event(forged))


def newest(desk: WholeDesk, topic: Topic, **having: Any) -> Envelope[Any]:
    events = [each for each in desk.records(topic) if all(getattr(each.payload, k) == v for k, v in having.items())]
    return events[-1]


def held(desk: WholeDesk) -> int:
    return int(done(desk.database.ledger.load(desk.account)).view.held.get(EURE, 0))


def believed(desk: WholeDesk) -> Any:
    """The view of the ledger that the strategy decides on."""
    state: Any = desk.processes["strategy-engine"].host.logic.state(desk.loop.now)
    return state.desk.ledger


def refusal(desk: WholeDesk, quote_id: str) -> str | None:
    (decision,) = desk.chain(TRADE_DECISION, quote_id)
    refused: str | None = decision.payload.reason
    return refused


def ends(desk: WholeDesk, quote_id: str) -> list[str]:
    found = [each for each in desk.chain(TRADE_RESULT, quote_id) if each.payload.state.terminal]
    return [str(each.payload.state) for each in found if each.event_id != "forged"]


def test_a_settlement_that_never_was_frees_no_hold_and_is_no_fill() -> None:
    with WholeDesk() as desk:
        taken = desk.demand(**TAKEN, partner_id="another")
        desk.run(15)
        quote_id = desk.demand(**LIVE)
        desk.run(2)
        before = held(desk)
        real = newest(desk, TRADE_RESULT, state=AttemptState.SETTLED)
        claimed = desk.chain(TRADE_RESULT, quote_id)[0]
        forge(desk, TRADE_RESULT, claimed, state=AttemptState.SETTLED, evidence=real.payload.evidence)
        desk.run(3)
        assert held(desk) == before > 0, "only the chain ends an offer"
        snapshot = newest(desk, INTENT_INVENTORY).payload
        assert (snapshot.changes, snapshot.reconciliation) == ((), {BTC: FALL, EURE: RISE}), "it did not come"
        opposite = desk.demand(direction="eure_to_btc", amount_in=str(15 * 10**18), partner_id="another")
        desk.run(2)
        assert refusal(desk, opposite) == "inventory_unreconciled"
        desk.run(30)
        assert (ends(desk, quote_id), ends(desk, taken)) == (["lapsed"], ["settled"])
        assert held(desk) == 0


def test_a_view_of_the_ledger_that_is_none_promises_nothing_and_is_forgotten() -> None:
    """The strategy believes it for some seconds, and PostgreSQL counts all the same."""
    with WholeDesk() as desk:
        told = {BTC: Amount(10**9), EURE: Amount(10**24)}
        beat = newest(desk, SERVICE_STATUS, service="trade-executor")
        details = beat.payload.details
        view = msgspec.structs.replace(details.ledger, commits=2**63 - 1, held={}, credited=told)
        forge(desk, SERVICE_STATUS, beat, details=msgspec.structs.replace(details, ledger=view))
        forge(desk, INTENT_INVENTORY, newest(desk, INTENT_INVENTORY), credited=told)
        for partner in ("one", "two", "three"):
            desk.demand(**{**LIVE, "amount_in": "30000"}, partner_id=partner)
            desk.run(0.3)
        assert believed(desk).commits == 2**63 - 1
        desk.run(10)
        assert believed(desk) == done(desk.database.ledger.load(desk.account)).view
        assert 0 < held(desk) <= desk.balances()[EURE]
