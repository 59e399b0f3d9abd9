"""Any order of events at all: a little chain is the judge of what the ledger promises.

The chain knows the true balance and settles offers as takers please. If ever a taker who took one of our offers finds
too little, the ledger has promised what is not there.
"""

from __future__ import annotations

from collections.abc import Coroutine
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from support.ledgers import ACCOUNT, EURE, T0, an_ending, an_event, an_offer, at
from unrip.domain.attempt import AttemptState, ChainEvidence, Offer
from unrip.domain.values import Amount
from unrip.store.errors import StoreRefused
from unrip.store.ledger import ClaimKind, NonceEnding
from unrip.store.memory_ledger import MemoryLedger

T = TypeVar("T")
OPEN_STATES = [AttemptState.SENT, AttemptState.UNANSWERED, AttemptState.ACCEPTED, AttemptState.REFUSED]


def done(call: Coroutine[Any, Any, T]) -> T:
    """The twin never waits, so a call of it is over after its first step."""
    try:
        call.send(None)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
    raise AssertionError("the twin waited for something")


@dataclass
class Block:
    height: int
    time: datetime
    balance: int
    used: frozenset[str]


@dataclass
class Chain:
    """What is true."""

    blocks: list[Block] = field(default_factory=list)
    balance: int = 0
    used: set[str] = field(default_factory=set)
    now: datetime = T0

    def final(self) -> Block:
        return self.blocks[-1]

    def make_block(self) -> None:
        self.blocks.append(Block(len(self.blocks) + 1, self.now, self.balance, frozenset(self.used)))


class LedgerMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.chain = Chain()
        self.ledger = MemoryLedger(clock=lambda: self.chain.now)
        #: Claimed offers by command that have not ended, and whether bytes of them may be outside.
        self.open: dict[str, Offer] = {}
        self.outside: dict[str, Offer] = {}
        self.sent: set[str] = set()
        self.handled = 0
        self.newest_read: Block | None = None

    @initialize(balance=st.integers(0, 200))
    def begin(self, balance: int) -> None:
        self.chain.balance = balance
        self.chain.make_block()
        self.read_newest(data=None)

    # --- the executor ---

    @rule(amount=st.integers(1, 90), share=st.booleans(), life_s=st.integers(1, 40), deliver_twice=st.booleans())
    def claim(self, amount: int, share: bool, life_s: int, deliver_twice: bool) -> None:
        self.handled += 1
        name = f"quote {self.handled}"
        nonce = next((offer.nonce for offer in self.open.values()), None) if share else None
        offer = an_offer(name, amount=amount, nonce=nonce, deadline=self.chain.now + timedelta(seconds=life_s))
        event = an_event(offer, AttemptState.CLAIMED)
        outcome = done(self.ledger.claim(offer, position=at(self.handled), generation=1, event=event))
        if outcome.kind is ClaimKind.CLAIMED:
            self.open[offer.command_id] = self.outside[offer.command_id] = offer
        if deliver_twice:
            again = done(self.ledger.claim(offer, position=at(self.handled), generation=1, event=event))
            assert (again.kind, again.view.held) == (ClaimKind.DUPLICATE, outcome.view.held)

    @precondition(lambda self: self.open)
    @rule(data=st.data(), state=st.sampled_from(OPEN_STATES))
    def note(self, data: st.DataObject, state: AttemptState) -> None:
        offer = self.pick(data, self.open)
        before = done(self.ledger.load(ACCOUNT)).view.held
        assert done(self.ledger.note(an_event(offer, state))).held == before
        self.sent.add(offer.command_id)

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def drop(self, data: st.DataObject) -> None:
        offer = self.pick(data, self.open)
        event = an_event(offer, AttemptState.DROPPED)
        if offer.command_id in self.sent:
            try:
                done(self.ledger.drop(event))
            except StoreRefused:
                return
            raise AssertionError("an offer that was sent was dropped")
        if offer.nonce in self.chain.used:
            return  # somebody has the bytes, so the process that claimed it knows that they left
        done(self.ledger.drop(event))
        del self.open[offer.command_id], self.outside[offer.command_id]

    @rule(data=st.data())
    def read_newest(self, data: st.DataObject | None) -> None:
        self.apply(self.chain.final(), data)

    @rule(data=st.data())
    def read_an_older_block(self, data: st.DataObject) -> None:
        self.apply(data.draw(st.sampled_from(self.chain.blocks)), data)

    @rule()
    def restart(self) -> None:
        state = done(self.ledger.load(ACCOUNT))
        assert {offer.command_id for offer in state.open_offers} == self.open.keys()
        assert state.position == (at(self.handled) if self.handled else None)

    # --- the outside ---

    @precondition(lambda self: self.outside)
    @rule(data=st.data())
    def a_taker_settles(self, data: st.DataObject) -> None:
        """Whoever has the bytes may use them, also after the relay refused them."""
        offer = self.pick(data, self.outside)
        if offer.nonce in self.chain.used or self.chain.now > offer.offer_deadline:
            return
        assert self.chain.balance >= offer.amount_out, "a taker found less than we promised"
        self.chain.balance -= offer.amount_out
        self.chain.used.add(offer.nonce)

    @rule(amount=st.integers(1, 50))
    def a_gift(self, amount: int) -> None:
        self.chain.balance += amount

    @rule(seconds=st.integers(0, 30))
    def time_passes(self, seconds: int) -> None:
        self.chain.now += timedelta(seconds=seconds)

    @rule()
    def a_block(self) -> None:
        self.chain.make_block()

    # --- what must always be true ---

    @invariant()
    def held_is_what_is_open(self) -> None:
        assert done(self.ledger.check_held()) == []
        by_nonce: dict[str, int] = {}
        for offer in self.open.values():
            by_nonce[offer.nonce] = max(offer.amount_out, by_nonce.get(offer.nonce, 0))
        held = done(self.ledger.load(ACCOUNT)).view.held.get(EURE, 0)
        assert held >= sum(by_nonce.values())
        assert held == 0 or self.open

    @invariant()
    def every_attempt_is_told_once_per_state(self) -> None:
        ids = [row.event.event_id for row in done(self.ledger.unpublished(10_000))]
        assert len(ids) == len(set(ids))

    # --- helpers ---

    @staticmethod
    def pick(data: st.DataObject, offers: dict[str, Offer]) -> Offer:
        return offers[data.draw(st.sampled_from(sorted(offers)))]

    def apply(self, block: Block, data: st.DataObject | None) -> None:
        """Read a block, ask about some nonces, and release exactly what it proves."""
        nonces = sorted({offer.nonce for offer in self.open.values()})
        asked = data.draw(st.sets(st.sampled_from(nonces))) if data is not None and nonces else set()
        endings = [ending for nonce in sorted(asked) if (ending := self.ending(nonce, block)) is not None]
        view = done(
            self.ledger.apply_reading(
                ACCOUNT, height=block.height, credited={EURE: Amount(block.balance)}, endings=endings
            )
        )
        if self.newest_read is None or block.height > self.newest_read.height:
            self.newest_read = block
        assert (view.height, view.credited[EURE]) == (self.newest_read.height, self.newest_read.balance)
        for ending in endings:
            for event in ending.events:
                del self.open[event.result.command_id]
                self.outside.pop(event.result.command_id)

    def ending(self, nonce: str, block: Block) -> NonceEnding | None:
        offers = [offer for offer in self.open.values() if offer.nonce == nonce]
        used = nonce in block.used
        evidence = ChainEvidence(height=block.height, block_time=block.time, nonce_used=used, salt_valid=True)
        if used or block.time > max(offer.offer_deadline for offer in offers):
            return an_ending(evidence, *offers)
        return None


LedgerMachine.TestCase.settings = settings(
    max_examples=200, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestLedger = LedgerMachine.TestCase
