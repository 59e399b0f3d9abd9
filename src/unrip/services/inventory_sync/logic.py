"""The inventory: one consistent reading of the verifier each interval, with the bridge's pending movements beside it.

Only `credited` is ever spendable; an unreachable bridge makes the pending movements old or unknown, and nothing else
(blueprint, section 9).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from unrip.domain.desk_state import CommandPosition
from unrip.domain.doubt import Belief, Doubt, Older, Refused, Seen
from unrip.domain.inventory import BalanceChange, ChangeKind, IntentInventory, PendingMovements, Reconciliation
from unrip.domain.pairs import Pair
from unrip.domain.treasury import BridgeDeposit, BridgeWithdrawal, DepositState
from unrip.domain.values import Amount, Delta, age_ms
from unrip.domain.verifier import VerifierReading
from unrip.frame.conflated import UNACKNOWLEDGED_MAX, Conflated
from unrip.frame.contract import (
    BusChanged,
    CaughtUp,
    Control,
    ControlRefused,
    Count,
    Effect,
    Event,
    Log,
    Publish,
    Published,
    PublishFailed,
    RecordReceived,
    SetTimer,
    Started,
    Subscribe,
    TimerFired,
    TopicTruncated,
)
from unrip.frame.logic import Logic
from unrip.messages.topics import INTENT_INVENTORY, LIQUIDITY_ACTION, TRADE_RESULT, Topic
from unrip.services.inventory_sync.bookkeeping import Bookkeeper
from unrip.services.inventory_sync.effects import (
    BooksPersisted,
    BooksRestored,
    BridgeRead,
    BridgeUnread,
    ReadBridge,
    ReadVerifier,
    RestoreBooks,
    VerifierRead,
    VerifierUnread,
)
from unrip.services.inventory_sync.reconciling import UNEXPLAINED
from unrip.services.inventory_sync.state import InventoryState
from unrip.services.inventory_sync.transfers import Transfers

VENUE = "near_intents"
#: States of a deposit that the bridge has seen but not credited. An unknown status may mean the same: never spendable.
_ON_THEIR_WAY = frozenset({DepositState.PENDING, DepositState.UNKNOWN})
_BOOKS = "books"
_TO_READ = frozenset({_BOOKS, INTENT_INVENTORY.name, TRADE_RESULT.name, LIQUIDITY_ACTION.name})


class InventorySync(Logic):
    """Pure logic of inventory-sync."""

    def __init__(
        self,
        *,
        pair: Pair,
        account: str,
        interval_ms: int,
        bridge_interval_s: int,
        inventory_age_max_ms: int,
        clock_ahead_max_ms: int = 250,
        nodes: int = 1,
    ) -> None:
        self._belief = Belief(ahead_max=timedelta(milliseconds=clock_ahead_max_ms), nodes=nodes)
        #: Why the last reading was not believed.
        self._refused: Refused | None = None
        self._pair = pair
        self._account = account
        self._interval = timedelta(milliseconds=interval_ms)
        self._bridge_interval = timedelta(seconds=bridge_interval_s)
        self._age_max_ms = inventory_age_max_ms
        self._outlet = Conflated(self.life)
        self._asking: set[type[Effect]] = set()
        self._reading: VerifierReading | None = None
        self._books = Bookkeeper()
        self._reconciler = self._books.reconciler
        self._transfers = Transfers(self._books, pair=pair.name)
        self._last: IntentInventory | None = None
        #: The books, and topics that were read up to what was there at the start; until then nothing can be reconciled.
        self._read_back: set[str] = set()
        #: By snapshot without acknowledgement: the evidence that it tells of.
        self._telling: dict[str, tuple[BalanceChange, ...]] = {}
        self._unexplained_said: dict[str, Reconciliation] = {}
        self._pending: PendingMovements | None = None
        self._attempted_at: datetime | None = None
        self._failures: dict[str, str] = {}
        self._stale_said = False

    # --- events ----------------------------------------------------------------------------------------------------

    def take(self, event: Event, now: datetime) -> Sequence[Effect]:  # noqa: C901 - a dispatch table
        """Take one event in; see `frame/contract.py`."""
        match event:
            case VerifierRead() | VerifierUnread():
                return self._on_verifier(event, now)
            case BridgeRead() | BridgeUnread():
                return self._on_bridge(event)
            case TimerFired():
                return self._on_timer(event, now)
            case BusChanged() | Published() | PublishFailed():
                self._on_told(event)
                return self._outlet.on_event(event)
            case BooksRestored():
                return self._on_recalled(event, now)
            case BooksPersisted():
                return self._on_kept(event)
            case RecordReceived():
                return self._on_record(event, now)
            case CaughtUp():
                return self._on_caught_up(event, now)
            case TopicTruncated():
                place = CommandPosition(topic_id=event.topic_id, next_offset=event.offset)
                self._reconciler.read_from(event.topic, place)
                if event.topic == LIQUIDITY_ACTION.name:
                    self._transfers.cut(place)
            case Started():
                return [
                    RestoreBooks(),
                    Subscribe(topic=INTENT_INVENTORY, tail=1, until_end=True),
                    *self._on_timer(TimerFired(name="verifier"), now),
                    *self._on_timer(TimerFired(name="bridge"), now),
                ]
        return []

    def _on_timer(self, timer: TimerFired, now: datetime) -> list[Effect]:
        match timer.name:
            case "verifier":
                return [
                    *self._tell_age(now),
                    *self._ask(self._question(), now),
                    SetTimer(name="verifier", at=now + self._interval),
                ]
            case "bridge":
                return [*self._ask(ReadBridge(), now), SetTimer(name="bridge", at=now + self._bridge_interval)]
        return []

    def _on_verifier(self, answer: VerifierRead | VerifierUnread, now: datetime) -> list[Effect]:
        self._asking.discard(ReadVerifier)
        if isinstance(answer, VerifierUnread):
            return self._unread(answer.reason, now)
        held, reading = self._reading, answer.reading
        judged = self._belief.take(reading, now)
        self._refused = judged if isinstance(judged, Refused) else None
        if isinstance(judged, Older):
            # A node behind the others: time must not run backward in the books.
            behind = f"block {reading.height} after {held.height}" if held is not None else f"block {reading.height}"
            return self._unread(f"the node is behind: {behind}", now)
        if self._refused is not None and self._refused.doubt is not Doubt.CLOCK_SKEWED:
            count = Count(name="readings_refused", labels={"doubt": self._refused.doubt})
            return [count, *self._unread(f"not believed: {self._refused.doubt} {self._refused.numbers}", now)]
        self._failures.pop("verifier", None)
        self._reading = reading
        counted = Count(name="verifier_reads", labels={"outcome": "read"})
        return [counted, *self._tell_age(now), *self._judge(reading)]

    def _judge(self, reading: VerifierReading) -> list[Effect]:
        """Judge a reading by the books; where PostgreSQL must keep something first, it is published after that."""
        if self._read_back != _TO_READ:
            return []
        if self._refused is not None:  # one that a wrong clock dates is published, for the strategy to refuse by name
            return self._tell(reading)
        keeping = self._books.take(reading)
        return keeping or self._tell(reading)

    def _tell(self, reading: VerifierReading) -> list[Effect]:
        return [*self._tell_unexplained(), *self._publish(reading)] if self._books.kept else []

    def _unread(self, reason: str, now: datetime) -> list[Effect]:
        self._failures["verifier"] = reason
        return [Count(name="verifier_reads", labels={"outcome": "unread"}), *self._tell_age(now)]

    def _on_bridge(self, answer: BridgeRead | BridgeUnread) -> list[Effect]:
        self._asking.discard(ReadBridge)
        if isinstance(answer, BridgeUnread):
            self._failures["bridge"] = answer.reason
            return []
        self._failures.pop("bridge", None)
        self._pending = PendingMovements(
            deposits=_sums(deposit for deposit in answer.deposits if deposit.state in _ON_THEIR_WAY),
            withdrawals=_sums(withdrawal for withdrawal in answer.withdrawals if not withdrawal.finished),
            observed_at=answer.observed_at,
        )
        return self._transfers.read(answer)

    def act(self, control: Control, now: datetime) -> Sequence[Effect]:
        """Take an operator's action in."""
        match control.action:
            case "resume":
                return [*self._ask(self._question(), now), *self._ask(ReadBridge(), now)]
            case "sync":
                self.life.refuse_while_paused()
                return [*self._ask(self._question(), now), *self._ask(ReadBridge(), now)]
            case "accept-balance":
                return self._books.accept(self._acceptable(control, now))
        return super().act(control, now)

    # --- evidence --------------------------------------------------------------------------------------------------

    def _on_record(self, record: RecordReceived, now: datetime) -> list[Effect]:
        payload = record.message.payload
        if payload.account != self._account:
            return []
        if isinstance(payload, IntentInventory):
            self._last = payload
        elif record.topic == TRADE_RESULT.name:
            self._reconciler.take_result(record, now)
        else:
            told = self._transfers.tell(record)
            return [*told, *(self._ask(ReadBridge(), now) if self._transfers.waiting else [])]
        return []

    def _on_caught_up(self, event: CaughtUp, now: datetime) -> list[Effect]:
        first = event.topic not in self._read_back
        self._read_back.add(event.topic)
        return self._when_read_back(event.topic, now) if first else []

    def _on_recalled(self, event: BooksRestored, now: datetime) -> list[Effect]:
        self._books.on_recalled(event)
        first = _BOOKS not in self._read_back
        self._read_back.add(_BOOKS)
        if first:
            return self._when_read_back(_BOOKS, now)
        return [] if self._reading is None else self._judge(self._reading)

    def _when_read_back(self, what: str, now: datetime) -> list[Effect]:
        """First the books of an earlier life, then the evidence since; with both a reading can be judged."""
        begins = {_BOOKS, INTENT_INVENTORY.name}
        if what in begins and begins <= self._read_back:
            if self._last is not None:
                self._belief.resume(Seen(height=self._last.height, block_time=self._last.block_time))
            self._books.import_from(self._last)
            books = self._reconciler.books()
            return [
                _reading_on(TRADE_RESULT, books.results_read if books else None),
                _reading_on(LIQUIDITY_ACTION, books.actions_read if books else None),
            ]
        return self._ask(self._question(), now) if self._read_back == _TO_READ else []

    def _on_kept(self, event: BooksPersisted) -> list[Effect]:
        again = self._books.on_kept(event)
        if again or self._reading is None:
            return again
        return self._tell(self._reading)

    def _on_told(self, event: BusChanged | Published | PublishFailed) -> None:
        """Count evidence as published once the broker has its record; anything else is published again."""
        if isinstance(event, PublishFailed):
            self._telling.pop(event.token, None)
        elif isinstance(event, Published):
            told = self._telling.pop(event.token, ())
            self._reconciler.counted = [change for change in self._reconciler.counted if change not in told]

    def _tell_unexplained(self) -> list[Effect]:
        """Log once per asset that something is unexplained, and once that it no longer is."""
        effects: list[Effect] = []
        for name, asset_id in self._pair.balances().items():
            state = self._reconciler.states.get(asset_id)
            before = self._unexplained_said.get(asset_id)
            now_unexplained = state if state in UNEXPLAINED else None
            if state is None or now_unexplained == before:
                continue
            body = {"asset": name, "unexplained": str(self._reconciler.unexplained(asset_id))}
            if now_unexplained is None:
                del self._unexplained_said[asset_id]
                effects.append(self._line("balance_explained", body))
            else:
                self._unexplained_said[asset_id] = now_unexplained
                level = "error" if now_unexplained is Reconciliation.UNEXPLAINED_FALL else "warning"
                effects.append(Count(name="balances_unexplained", labels={"asset": name, "how": state}))
                effects.append(self._line("balance_unexplained", {**body, "how": state}, level))
        return effects

    def _line(self, event: str, body: dict[str, Any], level: str = "info") -> Log:
        return Log(event=event, level=level, component="books", venue=VENUE, pair=self._pair.name, body=body)

    def _acceptable(self, control: Control, now: datetime) -> BalanceChange:
        """What an operator accepts as explained: only what they have seen, so the amount is written out."""
        symbol, amount = control.arguments["asset"], control.arguments["unexplained"]
        asset = self._pair.balances().get(symbol)
        if asset is None:
            raise ControlRefused(f"{symbol} is no asset of {self._pair.name}")
        unexplained = self._reconciler.unexplained(asset)
        if self._reconciler.states.get(asset) not in UNEXPLAINED:
            raise ControlRefused(f"nothing of {symbol} is unexplained")
        if not (self.life.database_up and self._books.settled):
            raise ControlRefused("PostgreSQL has not kept the books yet: try again in a moment")
        if self._reconciler.awaits_block(asset):
            raise ControlRefused(f"evidence about {symbol} waits for the next final block: look again in a moment")
        if amount != str(unexplained):
            raise ControlRefused(f"{unexplained} of {symbol} is unexplained by now, not {amount}: look again first")
        return BalanceChange(
            kind=ChangeKind.ACCEPTED,
            asset_id=asset,
            change=Delta(unexplained or 0),
            evidence=control.actor,
            seen_by=now,
        )

    # --- asking and publishing -------------------------------------------------------------------------------------

    def _question(self) -> ReadVerifier:
        """The next reading; where the last one was not believed, from another node."""
        return ReadVerifier(elsewhere=self._refused is not None)

    def _ask(self, question: Effect, now: datetime) -> list[Effect]:
        """Ask, never twice at once."""
        if self.life.silent or type(question) in self._asking:
            return []
        self._asking.add(type(question))
        if isinstance(question, ReadVerifier):
            self._attempted_at = now
        return [question]

    def _publish(self, reading: VerifierReading) -> list[Publish]:
        if self.life.paused:
            return []
        event_id = self.life.numbered("inventory")
        inventory = IntentInventory(
            account=self._account,
            height=reading.height,
            block_time=reading.block_time,
            credited=reading.credited,
            pending=self._pending,
            reconciliation={
                asset: state for asset, state in self._reconciler.states.items() if asset not in self._books.unkept()
            },
            salt=reading.salt,
            fee_pips=reading.fee_pips,
            key_registered=reading.key_registered,
            account_locked=reading.account_locked,
            contract_paused=reading.contract_paused,
            changes=tuple(self._reconciler.counted),
            books=self._reconciler.books(),
        )
        self._telling[event_id] = inventory.changes
        if len(self._telling) > UNACKNOWLEDGED_MAX:  # of those that the broker never got, only the newest matters
            del self._telling[next(iter(self._telling))]
        return self._outlet.publish(
            Publish(
                topic=INTENT_INVENTORY,
                event_id=event_id,
                payload=inventory,
                observed_at=reading.observed_at,
                occurred_at=reading.block_time,
                correlation_id=event_id,
                venue=VENUE,
                pair=self._pair.name,
            )
        )

    def _age_ms(self, now: datetime) -> int | None:
        """The age by the block's time or ours, whichever is older."""
        return None if self._reading is None else age_ms(now, self._reading.observed_at, self._reading.block_time)

    def _is_stale(self, now: datetime) -> bool:
        age = self._age_ms(now)
        return (age if age is not None else age_ms(now, self.life.started_at or now)) > self._age_max_ms

    def _tell_age(self, now: datetime) -> list[Log]:
        """Log once that the inventory is too old to trade on, and once that it no longer is."""
        stale = self._is_stale(now)
        if stale == self._stale_said:
            return []
        self._stale_said = stale
        event, level = ("inventory_stale", "warning") if stale else ("inventory_fresh", "info")
        body = {"age_ms": self._age_ms(now), "limit_ms": self._age_max_ms, "reason": self._failures.get("verifier")}
        return [Log(event=event, level=level, component="verifier", venue=VENUE, pair=self._pair.name, body=body)]

    # --- answers ---------------------------------------------------------------------------------------------------

    def state(self, now: datetime) -> InventoryState:
        """Credited and pending by asset, the last attempts, and what cannot be read."""
        reading = self._reading
        return InventoryState(
            paused=self.life.paused,
            credited=reading.credited if reading else None,
            pending=self._pending,
            pending_age_ms=age_ms(now, self._pending.observed_at) if self._pending else None,
            inventory_age_ms=self._age_ms(now),
            height=reading.height if reading else None,
            block_time=reading.block_time if reading else None,
            last_attempted_at=self._attempted_at,
            last_successful_at=reading.observed_at if reading else None,
            reconciliation=self._reconciler.states,
            unexplained=self._unexplained(),
            salt=reading.salt if reading else None,
            fee_pips=reading.fee_pips if reading else None,
            key_registered=reading.key_registered if reading else None,
            account_locked=reading.account_locked if reading else None,
            contract_paused=reading.contract_paused if reading else None,
            failures=dict(self._failures),
            last_acknowledged=self._outlet.last_acknowledged_id,
        )

    def stands_in_the_way(self, now: datetime) -> list[str]:
        """Why no decision could be made on our inventory."""
        reasons = []
        if self._reading is None:
            reasons.append("inventory_missing")
        elif self._is_stale(now):
            reasons.append("inventory_stale")
        if self._refused is not None:
            reasons.append(self._refused.doubt)
        if self._read_back != _TO_READ or (self._reading is not None and not self._books.kept):
            reasons.append("reading_back")
        return reasons

    def controlled(self, now: datetime) -> dict[str, str]:
        """What is unexplained of each asset once what was accepted is kept."""
        del now
        return {f"unexplained {symbol}": amount for symbol, amount in self._unexplained().items()}

    def follow(self, control: Control, now: datetime) -> dict[str, str]:
        """What an action would change."""
        match control.action:
            case "sync":
                self.life.refuse_while_paused()
                return {}
            case "accept-balance":
                self._acceptable(control, now)
                return {f"unexplained {control.arguments['asset']}": "0"}
        return super().follow(control, now)

    def _unexplained(self) -> dict[str, str]:
        amounts = {name: self._books.unexplained(asset_id) for name, asset_id in self._pair.balances().items()}
        return {name: str(amount) for name, amount in amounts.items() if amount is not None}

    def idle(self) -> bool:
        """Every snapshot is acknowledged or given up."""
        return self._outlet.idle


def _reading_on(topic: Topic, read: CommandPosition | None) -> Subscribe:
    """Go on after what the books contain; without books, from the beginning of what the topic keeps."""
    if read is None:
        return Subscribe(topic=topic)
    return Subscribe(topic=topic, topic_id=read.topic_id, offset=read.next_offset)


def _sums(movements: Iterable[BridgeDeposit | BridgeWithdrawal]) -> dict[str, Amount]:
    sums: Counter[str] = Counter()
    for movement in movements:
        sums[movement.asset_id] += movement.amount
    return {asset: Amount(amount) for asset, amount in sums.items()}
