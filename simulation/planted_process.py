"""Mistakes about time, records and the database that only a plan shows: what is not known yet counts as known."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import msgspec

from simulation.planted import Patches, Planted, patched
from simulation.planted_scenes import lost_role_is_kept
from unrip.domain.arming import Switches
from unrip.domain.attempt import Drop, Offer
from unrip.domain.decision import Decision
from unrip.domain.desk_state import LedgerView
from unrip.frame.contract import Effect, PublishFailed, RecordReceived
from unrip.net.events import SendFrame
from unrip.services.strategy_engine.logic import StrategyEngine
from unrip.services.trade_executor.effects import ClaimDecided, ClaimOffer
from unrip.services.trade_executor.handlers.ledger import LedgerHandlers
from unrip.services.trade_executor.offers import relay_traffic
from unrip.services.trade_executor.offers.relay_traffic import RelayTraffic
from unrip.store.errors import StoreUnavailable

_AN_HOUR = timedelta(hours=1)


def _one_look_at_the_window() -> Patches:
    def make(original: Any) -> Any:
        def given_up(offer: Offer, now: datetime, switches: Switches, *, ready: bool) -> Drop | None:
            reason: Drop | None = original(offer, now, switches, ready=ready)
            return None if reason is Drop.WINDOW_CLOSED and ready else reason

        return given_up

    def at_any_time(original: Any) -> Any:
        def send(self: RelayTraffic, claim: ClaimOffer, now: datetime, **named: Any) -> list[Effect]:
            effects: list[Effect] = original(self, claim, now, **named)
            return [
                msgspec.structs.replace(effect, not_after=now + _AN_HOUR) if isinstance(effect, SendFrame) else effect
                for effect in effects
            ]

        return send

    looks = [patched(relay_traffic, "given_up", make), patched(RelayTraffic, "send", at_any_time)]
    return [*lost_role_is_kept(), *looks]


def _windows_begin_when_read() -> Patches:
    def make(original: Any) -> Any:
        def decide(self: StrategyEngine, record: RecordReceived, now: datetime) -> list[Effect]:
            demand = record.message.payload
            begins_anew = msgspec.structs.replace(demand, answer_by=demand.answer_by + (now - demand.received_at))
            message = msgspec.structs.replace(record.message, payload=begins_anew)
            effects: list[Effect] = original(self, msgspec.structs.replace(record, message=message), now)
            return effects

        return decide

    return [patched(StrategyEngine, "_decide", make)]


def _unacknowledged_is_undecided() -> Patches:
    def decide(original: Any) -> Any:
        def decided(self: StrategyEngine, record: RecordReceived, now: datetime) -> list[Effect]:
            self.__dict__["deciding"] = record
            effects: list[Effect] = original(self, record, now)
            return effects

        return decided

    def deliver(original: Any) -> Any:
        def on_delivery(self: StrategyEngine, event: Any, now: datetime) -> list[Effect]:
            record: RecordReceived | None = self.__dict__.get("deciding")
            undecided = isinstance(event, PublishFailed) and isinstance(
                getattr(self._in_flight, "payload", 0), Decision
            )
            if record is not None and undecided:
                self._in_flight = None
                self._decided.pop(record.message.payload.quote_id, None)
                self._demands.appendleft(record)
                return list(self._decide_next(now))
            effects: list[Effect] = original(self, event, now)
            return effects

        return on_delivery

    return [patched(StrategyEngine, "_decide", decide), patched(StrategyEngine, "_on_delivery", deliver)]


def _unknown_is_claimed() -> Patches:
    def heard(original: Any) -> Any:
        def init(self: LedgerHandlers, *arguments: Any, emit: Any, **named: Any) -> None:
            def emitted(event: Any) -> None:
                view: LedgerView | None = getattr(event, "view", None)
                self.__dict__["view"] = view or self.__dict__.get("view")
                emit(event)

            original(self, *arguments, emit=emitted, **named)

        return init

    def make(original: Any) -> Any:
        async def claim(self: LedgerHandlers, effect: ClaimOffer) -> None:
            try:
                await original(self, effect)
            except StoreUnavailable:
                view = self.__dict__["view"]
                self._emit(ClaimDecided(command_id=effect.offer.command_id, kind="claimed", view=view))

        return claim

    return [patched(LedgerHandlers, "__init__", heard), patched(LedgerHandlers, "_claim", make)]


#: By a short name, in the order of docs/simulation.md.
ON_THE_WAY = {
    "one-look": Planted(
        mistake="after a commit nobody asks again for the window or the role, however long it took",
        patches=_one_look_at_the_window,
        under={"stall": 1},
        breaks=("late",),
    ),
    "own-window": Planted(
        mistake="the window of a demand begins when the strategy reads it",
        patches=_windows_begin_when_read,
        under={"stall_topic": 1},
        breaks=("late",),
    ),
    "decides-anew": Planted(
        mistake="a decision that was not acknowledged was not made",
        patches=_unacknowledged_is_undecided,
        under={"lost_ack": 1},
        breaks=("once",),
    ),
    "unheard-claim": Planted(
        mistake="a claim whose outcome is unknown was made",
        patches=_unknown_is_claimed,
        under={"late_commit": 2, "database_away": 1},
        breaks=("recorded",),
    ),
}
