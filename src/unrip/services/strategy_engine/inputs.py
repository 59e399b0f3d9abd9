"""What the strategy knows: the newest price, snapshot, beats and ledger view, kept from events."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from unrip.domain.arming import Switches
from unrip.domain.attempt import TradeResult
from unrip.domain.command import TradeCommand
from unrip.domain.decision import Decision
from unrip.domain.demand import SwapDemand
from unrip.domain.desk_state import VIEW_KNOWN_AFTER, DeskState, ExecutorView, HistoryView, LedgerView
from unrip.domain.inventory import IntentInventory
from unrip.domain.market import MarketPrice
from unrip.domain.reference import Observed
from unrip.domain.sharing import Sharing
from unrip.domain.status import ExecutorVitals, HistoryVitals, ServiceStatus
from unrip.frame.contract import RecordReceived
from unrip.services.strategy_engine.daily_pnl import DailyPnl
from unrip.services.strategy_engine.offer_rate import OfferRate
from unrip.services.strategy_engine.shared_nonces import SharedNonces
from unrip.services.strategy_engine.uncounted_commands import UncountedCommands


@dataclass
class Inputs:
    """The newest of everything. Records of another account or pair are not ours and are left out."""

    account: str
    day: DailyPnl
    price: Observed[MarketPrice] | None = None
    inventory: Observed[IntentInventory] | None = None
    executor: ExecutorView | None = None
    history: HistoryView | None = None
    ledger: LedgerView | None = None
    ledger_heard_at: datetime | None = None
    book: UncountedCommands = field(default_factory=UncountedCommands)
    nonces: SharedNonces = field(default_factory=SharedNonces)
    pace: OfferRate = field(default_factory=OfferRate)

    def take(self, record: RecordReceived, now: datetime) -> None:
        """Keep a record of an input topic."""
        message = record.message
        payload = message.payload
        if isinstance(payload, MarketPrice) and payload.pair == self.day.pair.name:
            self.day.priced(payload, message.observed_at)
            self.price = Observed(event_id=message.event_id, observed_at=message.observed_at, value=payload)
        elif isinstance(payload, IntentInventory) and payload.account == self.account:
            self.inventory = Observed(event_id=message.event_id, observed_at=message.observed_at, value=payload)
        elif isinstance(payload, TradeResult) and payload.account == self.account:
            self._take_ledger(payload.ledger, message.observed_at, now)
            self.nonces.ended(payload)
            if payload.pair == self.day.pair.name:
                self.day.filled(payload)
        elif isinstance(payload, ServiceStatus) and payload.account == self.account and payload.active:
            self._take_beat(payload, message.observed_at, now)

    def is_of_another_desk(self, payload: Decision | TradeCommand) -> bool:
        """Whether it commits another account; a refusal names none and commits nobody."""
        command = payload.command if isinstance(payload, Decision) else payload
        return command is not None and command.account != self.account

    def _take_beat(self, beat: ServiceStatus, observed_at: datetime, now: datetime) -> None:
        match beat.details:
            case ExecutorVitals() as details:
                self.executor = ExecutorView(
                    observed_at=observed_at,
                    ready=beat.ready,
                    recovering=details.recovering,
                    paused=beat.paused,
                    halted=details.switches.halted,
                    armed=details.switches.armed,
                )
                self._take_ledger(details.ledger, observed_at, now)
            case HistoryVitals() as details:
                self.history = HistoryView(
                    observed_at=observed_at, database_up=beat.database_up is True, lag=details.lag
                )

    def _take_ledger(self, ledger: LedgerView | None, told_at: datetime, now: datetime) -> None:
        """Views come over two topics: one that was overtaken tells nothing. A ledger set back counts from above.

        One that is contradicted long after was none, whoever wrote it: the ledger itself never counts less.
        """
        if ledger is None:
            return
        if self.ledger is not None and self.ledger_heard_at is not None:
            overtaken = (ledger.commits or 0) < (self.ledger.commits or 0)
            if overtaken and told_at <= self.ledger_heard_at + VIEW_KNOWN_AFTER:
                return
        self.ledger, self.ledger_heard_at = ledger, now
        self.book.use(ledger.position)

    def commanded(self, command: TradeCommand, decided_at: datetime) -> None:
        """Note that a command was decided; what it would spend is promised from now on."""
        self.book.add(command)
        self.nonces.add(command)
        self.pace.add(command.command_id, decided_at)

    def command_placed(self, command: TradeCommand, topic_id: str, offset: int, at: datetime) -> None:
        """Note that an own command stands in the topic, now or since an earlier life."""
        self.book.placed(command, topic_id, offset)
        self.nonces.add(command)
        self.pace.add(command.command_id, at)

    def desk(
        self, switches: Switches, now: datetime, *, store_up: bool, generation: int, demand: SwapDemand | None = None
    ) -> DeskState:
        """The desk as of now, frozen for one decision about this demand."""
        return DeskState(
            armed=switches.armed_directions(now),
            paused=switches.paused,
            halted=switches.halted,
            store_up=store_up,
            generation=generation,
            executor=self.executor,
            history=self.history,
            ledger=self.ledger,
            uncounted=self.book.uncounted(),
            uncounted_in=self.book.uncounted_in(),
            sharing=Sharing() if demand is None else self.nonces.sharing(demand, now),
            offers_last_minute=self.pace.last_minute(now),
            day_result_eur=self.day.result_eur(now),
        )
