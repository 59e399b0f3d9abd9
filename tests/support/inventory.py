"""An inventory-sync with the chain, the topics of evidence and PostgreSQL played by hand."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from msgspec.structs import replace

from simulation.stores import done
from support.engine import a_control, a_record
from support.logic import BTC, EURE, PAIR, after, published
from unrip.domain.attempt import AttemptState, ChainEvidence, TradeResult
from unrip.domain.command import Exchange
from unrip.domain.desk_state import LedgerView
from unrip.domain.inventory import IntentInventory
from unrip.domain.pairs import Direction, Pair
from unrip.domain.treasury import (
    BridgeDeposit,
    BridgeWithdrawal,
    DepositState,
    DepositStep,
    LiquidityAction,
    WithdrawalState,
    WithdrawalStep,
)
from unrip.domain.values import Amount
from unrip.domain.verifier import VerifierReading
from unrip.frame.contract import (
    BusChanged,
    CaughtUp,
    Effect,
    Publish,
    Published,
    RecordReceived,
    Started,
    Subscribe,
    TopicTruncated,
)
from unrip.messages.topics import INTENT_INVENTORY, LIQUIDITY_ACTION, TRADE_RESULT, Topic
from unrip.services.inventory_sync.effects import (
    BooksPersisted,
    BooksRestored,
    BridgeRead,
    PersistBooks,
    RestoreBooks,
    VerifierRead,
)
from unrip.services.inventory_sync.logic import InventorySync
from unrip.store.memory_books import MemoryBooks

ACCOUNT = "desk.example.near"


def new_books() -> MemoryBooks:
    """PostgreSQL where an operator has declared the first start."""
    books = MemoryBooks()
    books.declare_first_start(ACCOUNT)
    return books


class Sync:
    """inventory-sync with the chain and the two topics of evidence told by hand; every reading is a second later.

    `log` is what the two topics hold, in order; a new life reads on where its books say.
    """

    def __init__(
        self,
        earlier: RecordReceived | None = None,
        *,
        books: MemoryBooks | None = None,
        log: dict[str, list[RecordReceived]] | None = None,
        second: int = 0,
        pair: Pair = PAIR,
    ) -> None:
        self.books = new_books() if books is None else books
        self.log = {TRADE_RESULT.name: [], LIQUIDITY_ACTION.name: []} if log is None else log
        self.database_up = True
        self.acknowledging = True
        self._unanswered: list[Effect] = []
        self.logic = InventorySync(
            pair=pair, account=ACCOUNT, interval_ms=1_000, bridge_interval_s=15, inventory_age_max_ms=10_000
        )
        self.effects: list[Effect] = []
        #: What is credited of tokens beside BTC and EURe.
        self.others: dict[str, Amount] = {}
        self.second = second
        self.feed(BusChanged(up=True, reason=""), Started(active=True, generation=None, start_id="sync-1"))
        if earlier is not None:
            self.feed(earlier)
        self.feed(CaughtUp(topic=INTENT_INVENTORY.name, topic_id=f"{INTENT_INVENTORY.name}-1"))
        for topic in (TRADE_RESULT, LIQUIDITY_ACTION):
            start = next(each for each in self.effects if isinstance(each, Subscribe) and each.topic == topic)
            self.feed(*self.log[topic.name][start.offset or 0 :])
            self.feed(CaughtUp(topic=topic.name, topic_id=f"{topic.name}-1"))

    def feed(self, *events: Any) -> None:
        """What happens, one after the other."""
        for event in events:
            self._follow(self.logic.on_event(event, self.now))

    def _follow(self, effects: Iterable[Effect]) -> None:
        """What the logic does; broker and PostgreSQL answer at once where they do."""
        for effect in effects:
            self.effects.append(effect)
            if isinstance(effect, RestoreBooks | PersistBooks):
                self._unanswered.append(effect)
            elif isinstance(effect, Publish) and self.acknowledging:
                self.feed(Published(token=effect.event_id, offset=self.second))
        while self._unanswered and self.database_up:
            self._answer(self._unanswered.pop(0))

    def _answer(self, effect: Effect) -> None:
        if isinstance(effect, PersistBooks):
            outcome = done(self.books.keep(ACCOUNT, effect.kept, effect.judged, revision=effect.revision))
            self.feed(BooksPersisted(outcome=outcome))
        else:
            self.feed(BooksRestored(found=done(self.books.recall(ACCOUNT))))

    def restored(self) -> None:
        """PostgreSQL is back and answers what was asked."""
        self.database_up = True
        self._follow(())

    @property
    def now(self) -> datetime:
        return after(seconds=self.second)

    def operator(self, action: str, **arguments: Any) -> None:
        """An operator's action."""
        self.feed(a_control(action, **arguments))

    def read(self, btc: int = 100, eure: int = 200) -> IntentInventory:
        """A final block a second later; gives the snapshot."""
        before = len(self.effects)
        self.silent_read(btc, eure)
        records = published(self.effects[before:], INTENT_INVENTORY.name)
        snapshot: IntentInventory = records[-1].payload
        return snapshot

    def silent_read(self, btc: int, eure: int) -> None:
        """A final block a second later, of which perhaps nothing is told."""
        self.second += 1
        reading = VerifierReading(
            height=100 + self.second,
            block_time=self.now,
            observed_at=self.now,
            credited={BTC: Amount(btc), EURE: Amount(eure)} | self.others,
            salt="252812b3",
            fee_pips=1,
            key_registered=True,
            account_locked=False,
            contract_paused=False,
            nonces={},
            salts={},
        )
        self.feed(VerifierRead(reading=reading))

    def result(
        self,
        state: AttemptState,
        name: str = "one",
        *,
        brings: int = 10,
        takes: int = 20,
        held: int = 0,
        block_s: int | None = None,
        offset: int | None = None,
        direction: Direction = Direction.BASE_IN,
        held_btc: int = 0,
    ) -> None:
        """A state of an offer (that brings BTC and takes EURe), with what is held of EURe and BTC after it."""
        into, out = (BTC, EURE) if direction is Direction.BASE_IN else (EURE, BTC)
        evidence = ChainEvidence(
            height=1, block_time=after(seconds=self.second if block_s is None else block_s), nonce_used=True,
            salt_valid=True,
        )  # fmt: skip
        result = TradeResult(
            command_id=name,
            quote_id=name,
            account=ACCOUNT,
            pair=PAIR.name,
            direction=direction,
            state=state,
            reason=None,
            numbers={},
            quote_hash=name,
            request=None,
            response=None,
            evidence=evidence if state.terminal else None,
            next_check_at=None,
            ledger=LedgerView(
                height=len(self.log[TRADE_RESULT.name]),
                credited={},
                held={EURE: Amount(held), BTC: Amount(held_btc)},
                position=None,
                without_answer=0,
            ),
            exchange=Exchange(asset_in=into, amount_in=Amount(brings), asset_out=out, amount_out=Amount(takes)),
        )
        offset = self._next(TRADE_RESULT.name, offset)
        self._tell(a_record(TRADE_RESULT, result, offset=offset, observed_at=self.now))

    def action(
        self,
        step: str,
        amount: int,
        *,
        mint: str = "",
        name: str = "d1",
        offset: int | None = None,
        began_s: int | None = None,
        status: str = "",
        asset_id: str = BTC,
    ) -> None:
        """A step of the bridge about BTC, or another token, read just now."""
        kind, _, state = step.partition("_")
        said: dict[str, Any] = {
            "chain": "btc:mainnet",
            "asset_id": asset_id,
            "amount": Amount(amount),
            "address": "",
            "status": status,
        }
        action = LiquidityAction(
            action_id=name,
            account=ACCOUNT,
            step=(
                DepositStep(state=DepositState(state), **said, tx_hash=None, mint_tx_hash=mint or None)
                if kind == "deposit"
                else WithdrawalStep(state=WithdrawalState(state), **said, transfer_tx_hash=None)
            ),
        )
        offset = self._next(LIQUIDITY_ACTION.name, offset)
        began_at = None if began_s is None else after(seconds=began_s)
        self._tell(a_record(LIQUIDITY_ACTION, action, offset=offset, observed_at=self.now, occurred_at=began_at))

    def bridge(self, *shown: BridgeDeposit | BridgeWithdrawal) -> None:
        """The bridge lists these to us, and nothing else."""
        self.feed(
            BridgeRead(
                deposits=tuple(each for each in shown if isinstance(each, BridgeDeposit)),
                withdrawals=tuple(each for each in shown if isinstance(each, BridgeWithdrawal)),
                observed_at=self.now,
            )
        )

    def again(self, record: RecordReceived) -> None:
        """A record is told once more, at the end of its topic."""
        self._tell(replace(record, offset=len(self.log[record.topic])))

    def _tell(self, record: RecordReceived) -> None:
        self.log[record.topic].append(record)
        self.feed(record)

    def cut(self, topic: Topic, end: int) -> None:
        """The broker has lost the newest records of a topic."""
        self.feed(TopicTruncated(topic=topic.name, topic_id=f"{topic.name}-1", offset=end))

    def _next(self, topic: str, offset: int | None) -> int:
        return len(self.log[topic]) if offset is None else offset

    def restart(self) -> Sync:
        """The next life, with what PostgreSQL and the topics hold."""
        return Sync(books=self.books, log=self.log, second=self.second)
