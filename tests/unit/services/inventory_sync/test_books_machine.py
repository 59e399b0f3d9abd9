"""Every movement at once, in any order and told any number of times, judged by a simple model of the world's books.

A real loss is never hidden, no direction is shut for none, and the highest equity does not move by a transfer that is
told twice.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from support.cases import a_price
from support.inventory import Sync
from support.logic import BTC, EURE, PAIR
from unrip.domain.attempt import AttemptState
from unrip.domain.inventory import IntentInventory, Reconciliation
from unrip.domain.pairs import Direction
from unrip.messages.topics import LIQUIDITY_ACTION, TRADE_RESULT
from unrip.services.strategy_engine.effects import HighestRestored
from unrip.services.strategy_engine.equity import Equity
from unrip.store.memory_books import MemoryBooks

FALL, RISE = Reconciliation.UNEXPLAINED_FALL, Reconciliation.UNEXPLAINED_RISE


@dataclass(eq=False)
class Offered:
    """An offer that is open as far as anybody was told."""

    name: str
    direction: Direction
    brings: int
    takes: int
    #: The second of the block that took it, None while nobody did.
    taken_s: int | None = None


@dataclass(eq=False)
class Moved:
    """A deposit (or a withdrawal, below zero) that has happened, with the steps that the bridge has not told yet."""

    name: str
    change: int
    began_s: int
    steps: list[str]


class World:
    """The world's books on one side, what inventory-sync is told on the other."""

    def __init__(self, chance: Random) -> None:
        self.chance = chance
        self.held = {BTC: 10_000, EURE: 10_000}
        #: Gifts less thefts that nobody has accepted; and what transfers add up to.
        self.unexplained = {BTC: 0, EURE: 0}
        self.transferred = {BTC: 0, EURE: 0}
        self.open: list[Offered] = []
        self.moved: list[Moved] = []
        self.number = 0
        self.older: MemoryBooks | None = None
        self.sync = Sync(second=10)
        self.equity = Equity(pair=PAIR)
        self.equity.on_event(HighestRestored(highest=None, generation=1))
        self.highest: Fraction | None = None
        self.read()
        #: What was before the books, and is told only now.
        self.moved = [self.movement(self.amount(), began_s=3), self.movement(-self.amount(), began_s=3)]
        for moved in list(self.moved):
            self.tell(moved)
        self.read()

    def amount(self) -> int:
        return self.chance.randint(1, 9)

    def new_name(self) -> str:
        self.number += 1
        return f"{self.number}"

    # --- what happens ----------------------------------------------------------------------------------------------

    def an_offer(self) -> None:
        offer = Offered(
            name=f"offer {self.new_name()}",
            direction=self.chance.choice(list(Direction)),
            brings=self.amount(),
            takes=self.amount(),
        )
        self.open.append(offer)
        self.tell_offer(offer, AttemptState.CLAIMED)

    def a_fill(self) -> None:
        untaken = [offer for offer in self.open if offer.taken_s is None]
        if untaken:
            offer = self.chance.choice(untaken)
            offer.taken_s = self.sync.second + 1
            into, out = (BTC, EURE) if offer.direction is Direction.BASE_IN else (EURE, BTC)
            self.held[into] += offer.brings
            self.held[out] -= offer.takes

    def an_end(self) -> None:
        if self.open:
            offer = self.chance.choice(self.open)
            self.open.remove(offer)
            self.tell_offer(offer, AttemptState.LAPSED if offer.taken_s is None else AttemptState.SETTLED)

    def a_transfer(self) -> None:
        moved = self.movement(self.chance.choice([-1, 1]) * self.amount(), began_s=self.sync.second)
        self.held[BTC] += moved.change
        self.transferred[BTC] += moved.change
        self.moved.append(moved)

    def movement(self, change: int, *, began_s: int) -> Moved:
        ends = ["credited", "completed"] if change > 0 else ["seen", self.chance.choice(["finished", "failed"])]
        return Moved(name=self.new_name(), change=change, began_s=began_s, steps=ends)

    def a_step(self) -> None:
        if self.moved:
            self.tell(self.chance.choice(self.moved))

    def tell(self, moved: Moved) -> None:
        # The bridge may mint some deposits by one transaction, whatever their amounts.
        kind, mint = ("deposit", f"mint {int(moved.name) // 3}") if moved.change > 0 else ("withdrawal", "")
        step = moved.steps.pop(0)
        self.sync.action(f"{kind}_{step}", abs(moved.change), mint=mint, name=moved.name, began_s=moved.began_s)
        if not moved.steps:
            self.moved.remove(moved)

    def tell_offer(self, offer: Offered, state: AttemptState) -> None:
        holding = {BTC: 0, EURE: 0}
        for each in self.open:
            holding[EURE if each.direction is Direction.BASE_IN else BTC] += each.takes
        self.sync.result(
            state,
            offer.name,
            brings=offer.brings,
            takes=offer.takes,
            held=holding[EURE],
            held_btc=holding[BTC],
            block_s=offer.taken_s,
            direction=offer.direction,
        )

    def a_gift_or_a_theft(self) -> None:
        asset, change = self.chance.choice([BTC, EURE]), self.chance.choice([-1, 1]) * self.amount()
        self.held[asset] += change
        self.unexplained[asset] += change

    # --- what is told again, lost and kept -------------------------------------------------------------------------

    def a_repeat(self) -> None:
        """An end of an offer, or a step of the bridge, is told once more: by a restored ledger, by a lost memory."""
        topic = self.chance.choice([TRADE_RESULT.name, LIQUIDITY_ACTION.name])
        told = self.sync.log[topic]
        ends = [each for each in told if topic != TRADE_RESULT.name or each.message.payload.state.terminal]
        if ends:
            self.sync.again(self.chance.choice(ends))

    def a_restart(self) -> None:
        self.sync = self.sync.restart()
        self.read()

    def an_outage(self) -> None:
        """PostgreSQL goes, or is back."""
        if self.sync.database_up:
            self.sync.database_up = False
        else:
            self.sync.restored()

    def a_backup(self) -> None:
        self.older = copy.deepcopy(self.sync.books)

    def a_step_back(self) -> None:
        """PostgreSQL is an older copy of itself from now on; nobody tells."""
        if self.older is not None:
            self.sync.books = copy.deepcopy(self.older)

    def an_acceptance(self) -> None:
        """An operator looks when everything was told, and takes what is left as it is."""
        self.read()
        symbol, asset = self.chance.choice([("BTC", BTC), ("EURe", EURE)])
        change = self.unexplained[asset]
        if self.sync.database_up and self.quiet and change != 0:
            self.sync.operator("accept-balance", asset=symbol, unexplained=str(change))
            self.unexplained[asset] = 0
            self.transferred[asset] += change
            self.older = None  # a copy without it would forget a person's word

    # --- the judge -------------------------------------------------------------------------------------------------

    @property
    def untold(self) -> bool:
        """A transfer has happened that no step told of."""
        return any(len(moved.steps) == 2 for moved in self.moved)

    @property
    def quiet(self) -> bool:
        """Everything that happened was told, and nothing of ours is open."""
        return not self.open and not self.untold

    def read(self) -> None:
        self.sync.silent_read(self.held[BTC], self.held[EURE])
        if self.sync.database_up:
            self.judge(self.sync.read(self.held[BTC], self.held[EURE]))

    def judge(self, snapshot: IntentInventory) -> None:
        books = snapshot.books
        assert books is not None
        for asset, real in self.unexplained.items():
            state = snapshot.reconciliation[asset]
            if self.quiet:
                assert snapshot.unexplained(asset) == real
                assert (state is FALL, state is RISE) == (real < 0, real > 0)
            elif not self.untold and real == 0:
                assert state not in {FALL, RISE}
        if self.quiet:
            assert {asset: books.transferred.get(asset, 0) for asset in self.held} == self.transferred
        # Equity less transfers is what trades have brought, and its highest is the highest of that.
        price = a_price()
        self.equity.seen(books, price, drawdown_max_eur=Decimal(10**6))
        trades = {asset: books.explained[asset] - books.transferred.get(asset, 0) for asset in self.held}
        brought = self.equity._value(trades, price)
        self.highest = brought if self.highest is None else max(self.highest, brought)
        assert self.equity.drawdown_eur == self.highest - brought

    def come_to_rest(self) -> None:
        """Everything is told, some of it again; a new life says the same."""
        if not self.sync.database_up:
            self.sync.restored()
        while self.open:
            self.an_end()
        while self.moved:
            self.a_step()
        for _ in range(5):
            self.a_repeat()
        self.read()
        self.a_restart()


STEPS = (
    [World.an_offer, World.an_end, World.a_transfer, World.a_step, World.a_repeat, World.read] * 3
    + [World.a_fill] * 2
    + [World.a_gift_or_a_theft, World.a_restart, World.an_outage, World.an_acceptance]
    + [World.a_backup, World.a_step_back]
)


@settings(max_examples=150)
@given(steps=st.lists(st.sampled_from(STEPS), max_size=40), seed=st.integers(0, 2**32))
def test_the_books_are_the_worlds_whatever_is_told_and_however_often(steps: list[object], seed: int) -> None:
    world = World(Random(seed))  # noqa: S311 - seeded, for tests
    for step in steps:
        step(world)  # type: ignore[operator] # one of the methods above
    world.come_to_rest()
