"""The strategy: every demand is decided once, in order; every accepted decision has one command.

A decision is acknowledged before its command is produced, and the command before anything else is decided. So at most
the very last decision can lack its command after a crash, and the start makes up for it with the same bytes.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from unrip.domain.case import Case
from unrip.domain.command import TradeCommand
from unrip.domain.decide import DemandPlace, NonceEncoder, decide
from unrip.domain.decision import Decision, Refusal
from unrip.domain.demand import SwapDemand
from unrip.domain.desk_state import DeskState
from unrip.domain.pairs import Direction, Pair
from unrip.domain.policy import Policy
from unrip.domain.status import ControlRecord, StrategyVitals
from unrip.frame.contract import (
    ROLE_LEFT,
    ROLE_UNCONFIRMED,
    STANDBY,
    CaughtUp,
    Control,
    ControlRefused,
    Count,
    CrashPoint,
    DatabaseChanged,
    Effect,
    Event,
    Hindered,
    Observe,
    Publish,
    Published,
    PublishFailed,
    RecordReceived,
    RoleChanged,
    SetTimer,
    Started,
    Subscribe,
    TimerFired,
)
from unrip.frame.logic import Logic
from unrip.frame.switchboard import Switchboard
from unrip.messages.topics import (
    CONTROL_ACTION,
    EXECUTE_TRADE,
    INTENT_INVENTORY,
    SWAP_DEMAND,
    TRADE_DECISION,
    TRADE_RESULT,
)
from unrip.services.strategy_engine.active_policy import ActivePolicy
from unrip.services.strategy_engine.daily_pnl import DailyPnl, midnight_before
from unrip.services.strategy_engine.definition import (
    CONTROLS_READ_BACK,
    DECIDED_MAX,
    INPUT_TOPICS,
    RESULTS_READ_BACK,
    SERVICE,
)
from unrip.services.strategy_engine.effects import Restore, Restored
from unrip.services.strategy_engine.equity import Equity
from unrip.services.strategy_engine.inputs import Inputs
from unrip.services.strategy_engine.limits import BASE, LIMIT_ACTIONS, policy_state, tightens
from unrip.services.strategy_engine.report import DecisionReport
from unrip.services.strategy_engine.state import EngineState, StrategyState
from unrip.services.strategy_engine.trade_ready import hindered, trade_ready

_RETRY = timedelta(milliseconds=500)
_DECISION, _COMMAND = "decision", "command"
#: What must be known of earlier lives before the first demand is decided.
_RECALLED = "recalled"
_OWN_RECORDS = frozenset({TRADE_DECISION.name, EXECUTE_TRADE.name})
_TO_READ_BACK = _OWN_RECORDS | {TRADE_RESULT.name, _RECALLED}
_CHANGES_LIMITS = frozenset(action.name for action in LIMIT_ACTIONS)
#: Why the role is not ours where another instance has it, or may have it since.
_DISPLACED = frozenset({STANDBY, ROLE_LEFT, ROLE_UNCONFIRMED})


class StrategyEngine(Logic):
    """Pure logic of strategy-engine."""

    def __init__(
        self, *, pair: Pair, account: str, policy: Policy, encode_nonce: NonceEncoder, switchboard: Switchboard
    ) -> None:
        self._pair = pair
        self._account = account
        self._policy = ActivePolicy(policy)
        self._encode_nonce = encode_nonce
        self.life = self._switchboard = switchboard
        self._markout = timedelta(milliseconds=policy.markout_ms)
        self._inputs = Inputs(account=account, day=DailyPnl(pair=pair, markout=self._markout))
        self._equity = Equity(pair=pair)
        self._report = DecisionReport()
        #: The role was ours at least once.
        self._began = False
        #: Another instance has the role, or may have taken it over: only the lock says that it is ours again.
        self._displaced = False
        #: What the frame finds in the way; nothing is trade-ready meanwhile.
        self._hindered: tuple[str, ...] = ()
        self._generation = 0
        self._read_back: set[str] = set()
        self._caught_up: set[str] = set()
        #: The state that the newest control record of an earlier life shows.
        self._told: dict[str, str] | None = None
        self._decided: OrderedDict[str, None] = OrderedDict()
        self._last_decision: Decision | None = None
        self._last_decision_record: RecordReceived | None = None
        self._last_command_id: str | None = None
        self._command_topic_id = ""
        self._demands: deque[RecordReceived] = deque()
        #: What waits for an acknowledgement: the decision, then its command.
        self._in_flight: Publish | None = None
        #: It is not under way: the role was not ours when it should have been sent.
        self._withheld = False

    # --- events ----------------------------------------------------------------------------------------------------

    def take(self, event: Event, now: datetime) -> Sequence[Effect]:
        """Take one event in; see `frame/contract.py`."""
        match event:
            case RecordReceived():
                return self._on_record(event, now)
            case Published() | PublishFailed() if event.token in {_DECISION, _COMMAND}:
                return self._on_delivery(event, now)
            case CaughtUp():
                return self._on_caught_up(event, now)
            case TimerFired():
                return self._on_timer(event, now)
            case Started() | RoleChanged():
                return self._on_role(event, now)
            case Restored():
                return self._on_recalled(event, now)
            case DatabaseChanged() | Hindered():
                return self._on_surroundings(event, now)
            case _:
                return [
                    *self._policy.on_event(event),
                    *self._equity.on_event(event),
                    *self._switchboard.on_lease(event, now, lambda ways: self._green(ways, now)),
                ]

    def _on_surroundings(self, event: DatabaseChanged | Hindered, now: datetime) -> list[Effect]:
        """Keep everything again in a new session: it may lead to a copy of an earlier moment."""
        if isinstance(event, Hindered):
            self._hindered = event.reasons
            return []
        again = [*self._policy.again(), *self._equity.again()] if event.up else []
        return [*again, *self._go_on(now)]

    def _on_role(self, event: Started | RoleChanged, now: datetime) -> list[Effect]:
        """Losing the database keeps the engine recording refusals; only the first take-over starts the reading.

        While PostgreSQL answers, another instance may have the role: nothing is decided or sent then without the lock.
        While it does not, nobody can take the role over, but somebody may have done so before.
        """
        first = event.active and not self._began
        self._displaced = not event.active and (self._displaced or event.why in _DISPLACED)
        if not first:
            return self._go_on(now)
        self._began = True
        self._generation = event.generation or 0
        return [
            Restore(
                base=self._policy.configured.hash,
                since=midnight_before(now),
                markout=self._markout,
                generation=self._generation,
            ),
            Subscribe(topic=TRADE_DECISION, tail=DECIDED_MAX, until_end=True),
            Subscribe(topic=EXECUTE_TRADE, tail=DECIDED_MAX, until_end=True),
            *(Subscribe(topic=topic, tail=tail) for topic, tail in INPUT_TOPICS.items()),
            Subscribe(topic=CONTROL_ACTION, tail=CONTROLS_READ_BACK),
            *self._switchboard.begin(),
        ]

    def _on_recalled(self, event: Restored, now: datetime) -> list[Effect]:
        """The limits that an operator set hold on, as long as those of the configuration are the same."""
        for result, mark in event.fills:
            self._inputs.day.filled(result, mark)
        self._inputs.day.complete = True
        remember = self._policy.recalled(event.policy, self._generation)
        return [remember, *self._when_read_back(_RECALLED, now)]

    def _on_record(self, record: RecordReceived, now: datetime) -> list[Effect]:
        payload = record.message.payload
        if isinstance(payload, SwapDemand):
            self._demands.append(record)
            return self._decide_next(now)
        if isinstance(payload, Decision | TradeCommand) and self._inputs.is_of_another_desk(payload):
            return []
        if isinstance(payload, Decision):
            self._remember(payload.quote_id)
            self._last_decision, self._last_decision_record = payload, record
            if payload.command is not None:
                self._inputs.pace.add(payload.command.command_id, payload.decided_at)
        elif isinstance(payload, ControlRecord):
            return self._on_told(payload)
        elif isinstance(payload, TradeCommand):
            self._last_command_id = payload.command_id
            self._inputs.command_placed(payload, record.topic_id, record.offset, record.message.observed_at)
        else:
            self._inputs.take(record, now)
            if record.topic == INTENT_INVENTORY.name:
                return self._on_inventory()
        return []

    def _on_told(self, record: ControlRecord) -> list[Effect]:
        """The limits after an operator's action in an earlier life; until all are read, only the last one counts.

        A record that is older than the account in it is believed: what it tells only ever tightens.
        """
        ours = record.service == SERVICE.name and record.account in {self._account, None}
        if not ours or record.instance == self.life.start_id:
            return []
        self._told = record.after
        return self._take_told() if CONTROL_ACTION.name in self._caught_up else []

    def _take_told(self) -> list[Effect]:
        told, self._told = self._told, None
        changes = self._policy.told(told) if told is not None else []
        return [*(self._switchboard.brake() if changes else []), *changes]

    def _on_inventory(self) -> list[Effect]:
        price, inventory = self._inputs.price, self._inputs.inventory
        if price is None or inventory is None or inventory.value.books is None:
            return []
        return self._equity.seen(inventory.value.books, price.value, drawdown_max_eur=self._policy.now.drawdown_max_eur)

    def _on_caught_up(self, event: CaughtUp, now: datetime) -> list[Effect]:
        """Once decisions and commands are read back, make up for a missing command and go on with the demands.

        A topic that is made anew is read once more, and that is said again; the demands are followed by then.
        """
        if event.topic == EXECUTE_TRADE.name:
            self._command_topic_id = event.topic_id
            self._inputs.book.stands(event.topic_id)
        self._caught_up.add(event.topic)
        told = self._take_told() if event.topic == CONTROL_ACTION.name else []
        return [*told, *self._when_read_back(event.topic, now)]

    def _when_read_back(self, what: str, now: datetime) -> list[Effect]:
        if what not in _TO_READ_BACK - self._read_back:
            return []
        self._read_back.add(what)
        effects: list[Effect] = []
        if what in _OWN_RECORDS and self._read_back >= _OWN_RECORDS:  # results come after the commands that they end
            effects.append(Subscribe(topic=TRADE_RESULT, tail=RESULTS_READ_BACK))
        if self._read_back != _TO_READ_BACK:
            return effects
        last = self._last_decision
        after = (last.demand_topic_id, last.demand_offset + 1) if last else (None, None)
        demands = Subscribe(topic=SWAP_DEMAND, topic_id=after[0], offset=after[1])
        return [*effects, *self._make_up_for_missing_command(now), demands]

    def _make_up_for_missing_command(self, now: datetime) -> list[Effect]:
        decision, record = self._last_decision, self._last_decision_record
        if decision is None or record is None or decision.command is None:
            return []
        if decision.command.command_id == self._last_command_id:
            return []
        self._inputs.commanded(decision.command, decision.decided_at)
        return self._command(record.message.event_id, decision.command, record.message.correlation_id, {}, now)

    # --- deciding --------------------------------------------------------------------------------------------------

    def _decide_next(self, now: datetime) -> list[Effect]:
        """Decide waiting demands in order until one waits for its acknowledgement."""
        effects: list[Effect] = []
        while self._demands and self._in_flight is None and not (self.life.draining or self._silent):
            effects += self._decide(self._demands.popleft(), now)
        return effects

    def _decide(self, record: RecordReceived, now: datetime) -> list[Effect]:
        demand: SwapDemand = record.message.payload
        if demand.pair != self._pair.name:
            return [Count(name="demands_skipped", labels={"why": "other_pair"})]
        if demand.quote_id in self._decided:
            return [Count(name="demands_skipped", labels={"why": "decided_before"})]
        self._remember(demand.quote_id)
        decision = decide(
            self._case(demand, now),
            DemandPlace(topic_id=record.topic_id, offset=record.offset),
            account=self._account,
            encode_nonce=self._encode_nonce,
        )
        if decision.command is not None:
            self._inputs.commanded(decision.command, decision.decided_at)
        self._in_flight = Publish(
            topic=TRADE_DECISION,
            event_id=decision.decision_id,
            payload=decision,
            observed_at=record.message.observed_at,
            correlation_id=record.message.correlation_id,
            causation_id=record.message.event_id,
            venue=record.message.venue,
            pair=decision.pair,
            stages={**record.message.stages, "decided": now},
            token=_DECISION,
        )
        received_ms = (now - demand.received_at) / timedelta(milliseconds=1)
        return [
            self._in_flight,
            Observe(name="stage", milliseconds=received_ms, labels={"stage": "received_to_decided"}),
            *self._report.decided(decision, now),
        ]

    def _desk(self, now: datetime, demand: SwapDemand | None = None) -> DeskState:
        """A database that answers is not enough: until the lock is held again, another strategy may be at work."""
        store_up = self.life.database_up and self.life.active
        switches = self._switchboard.switches
        return self._inputs.desk(switches, now, store_up=store_up, generation=self._generation, demand=demand)

    def _case(self, demand: SwapDemand, now: datetime) -> Case:
        return Case(
            demand=demand,
            pair=self._pair,
            price=self._inputs.price,
            inventory=self._inputs.inventory,
            desk=self._desk(now, demand),
            policy=self._policy.now,
            now=now,
        )

    def _on_delivery(self, event: Published | PublishFailed, now: datetime) -> list[Effect]:
        waiting = self._in_flight
        if waiting is None or event.token != waiting.token:
            return []
        if isinstance(event, PublishFailed):  # its fate is unknown: the same bytes again, and nothing else meanwhile
            return [SetTimer(name="publish_again", at=now + _RETRY)]
        self._in_flight = None
        if event.token == _COMMAND:
            self._inputs.command_placed(waiting.payload, self._command_topic_id, event.offset, waiting.observed_at)
        elif waiting.payload.command is not None:
            decision: Decision = waiting.payload
            stages = {**waiting.stages, "decision_acknowledged": now}
            return self._command(decision.decision_id, waiting.payload.command, waiting.correlation_id, stages, now)
        return self._decide_next(now)

    def _command(
        self, decision_id: str, command: TradeCommand, correlation_id: str, stages: dict[str, datetime], now: datetime
    ) -> list[Effect]:
        self._in_flight = Publish(
            topic=EXECUTE_TRADE,
            event_id=command.command_id,
            payload=command,
            observed_at=now,
            correlation_id=correlation_id,
            causation_id=decision_id,
            venue="near_intents",
            pair=command.pair,
            stages=stages,
            token=_COMMAND,
        )
        self._withheld = True
        return [CrashPoint(name="strategy.decision_acknowledged"), *self._send_withheld()]

    @property
    def _silent(self) -> bool:
        """Whether another instance may be at work."""
        return not self.life.active and (self.life.database_up or self._displaced)

    def _go_on(self, now: datetime) -> list[Effect]:
        return [*self._send_withheld(), *self._decide_next(now)]

    def _send_withheld(self) -> list[Effect]:
        """What was not sent for want of the role; a decision may go while nobody has it, a command never."""
        waiting = self._in_flight
        if waiting is None or not self._withheld:
            return []
        if self._silent or (waiting.token == _COMMAND and not self.life.active):
            return []
        self._withheld = False
        return [waiting]

    def _on_timer(self, timer: TimerFired, now: datetime) -> list[Effect]:
        if timer.name == "publish_again":
            self._withheld = True
            return self._send_withheld()
        if timer.name == "report":
            return self._report.summary(now)
        return self._switchboard.on_lease(timer, now, lambda ways: self._green(ways, now))

    def _remember(self, quote_id: str) -> None:
        self._decided[quote_id] = None
        if len(self._decided) > DECIDED_MAX:
            self._decided.popitem(last=False)

    # --- controls --------------------------------------------------------------------------------------------------

    def act(self, control: Control, now: datetime) -> Sequence[Effect]:
        """Take an operator's action in."""
        self._refuse_too_early(control, now)
        if control.action in _CHANGES_LIMITS:
            brakes = self.tightens(control)
            change = self._policy.change(control, database_up=self.life.database_up)
            # Until PostgreSQL has it a new life would trade by the looser limit.
            return [*(self._switchboard.brake() if brakes else []), change]
        effects = self._switchboard.act(control, now)
        return super().act(control, now) if effects is None else effects

    def follow(self, control: Control, now: datetime) -> dict[str, str]:
        """What an action would change: a switch, or the limits."""
        self._refuse_too_early(control, now)
        if control.action in _CHANGES_LIMITS:
            return policy_state(self._policy.after(control, database_up=self.life.database_up))
        return super().follow(control, now)

    def _refuse_too_early(self, control: Control, now: datetime) -> None:
        """A standby cannot be armed: whoever takes over begins disarmed (blueprint, section 3)."""
        if control.action == "arm" and (reasons := self.not_ready(now)):
            raise ControlRefused(f"not ready: {', '.join(reasons)}")
        if control.action in _CHANGES_LIMITS and _RECALLED not in self._read_back:
            raise ControlRefused("the limits in force are not read yet, and nothing is decided before: try again")

    def _green(self, directions: tuple[Direction, ...], now: datetime) -> bool:
        """Whether nothing but arming stands in the way of a trade in these directions."""
        ready = trade_ready(lambda demand: self._case(demand, now), self._pair, now)
        reasons = {Refusal(reason) for direction in directions for reason in ready[direction].reasons}
        return not self.not_ready(now) and reasons <= {Refusal.DISARMED, Refusal.DIRECTION_DISARMED}

    # --- what the frame asks ---------------------------------------------------------------------------------------

    def stands_in_the_way(self, now: datetime) -> list[str]:
        """Whether it can decide; arming and other services' beats belong to trade-ready, not here."""
        del now
        reasons = [] if self._began else [self.life.why_not_active]
        if self._read_back != _TO_READ_BACK:
            reasons.append("reading_back")
        return reasons

    def details(self, now: datetime) -> StrategyVitals:
        """Armed and halted."""
        return StrategyVitals(switches=self._switchboard.view(now))

    def controlled(self, now: datetime) -> dict[str, str]:
        """The limits as they were asked for last; `state` tells those in force."""
        del now
        return {**policy_state(self._policy.asked), BASE: self._policy.configured.hash}

    def tightens(self, control: Control) -> bool:
        """A limit that is lowered is a brake."""
        return control.action in _CHANGES_LIMITS and tightens(self._policy.now, control)

    def kept(self, control: Control) -> bool | None:
        """Limits hold on after a restart once PostgreSQL has them."""
        return self._policy.kept if control.action in _CHANGES_LIMITS else None

    def idle(self) -> bool:
        """Every decision, command and change of the limits is acknowledged, or not ours to send."""
        return (self._in_flight is None or self._withheld) and self._policy.kept

    def state(self, now: datetime) -> EngineState:
        """Arm state, limits, what is in use, latest decisions, counts by reason, and the one answer to trade-ready."""
        parts: dict[str, Any] = {
            **self.life.control_state(now),
            **policy_state(self._policy.now),
            **self._inputs.day.state(),
            **self._equity.state(),
            **self._report.state(),
        }
        return StrategyState(
            **parts,
            limits_kept=self._policy.kept,
            trade_ready=hindered(
                trade_ready(lambda demand: self._case(demand, now), self._pair, now),
                by=(*self.not_ready(now), *self._hindered),
            ),
            generation=self._generation,
            price=self._inputs.price,
            inventory=self._inputs.inventory,
            desk=self._desk(now),
            commands_uncounted=len(self._inputs.book),
            demands_waiting=len(self._demands),
        )
