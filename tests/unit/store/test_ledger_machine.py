"""Any order of events at all: a little chain is the judge of what the ledger promises.

The chain knows the true balance and settles offers as takers please. If ever a taker who took one of our offers finds
too little, the ledger has promised what is not there.
"""

from __future__ import annotations

import copy
from collections.abc import Coroutine
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from support.ledgers import ACCOUNT, BTC, EURE, T0, a_command, a_rejection, an_ending, an_event, an_offer, at
from unrip.domain.attempt import AttemptState, ChainEvidence, Offer
from unrip.domain.values import Amount
from unrip.store.errors import StoreRefused
from unrip.store.ledger import ClaimKind, LedgerWentBack, NonceEnding
from unrip.store.memory_ledger import MemoryLedger

T = TypeVar("T")
#: All nonces end then, and the contract forgets which of them were used.
NONCES_END = T0 + timedelta(seconds=90)
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
    #: Also those that the contract has forgotten.
    ever_used: set[str] = field(default_factory=set)
    now: datetime = T0

    def final(self) -> Block:
        return self.blocks[-1]

    def make_block(self) -> None:
        if self.now > NONCES_END:
            self.used.clear()
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
        #: Nonces that carried an offer, and those that a block has ended.
        self.nonces: set[str] = set()
        self.ended: set[str] = set()
        self.handled = 0
        self.newest_read: Block | None = None
        #: Every command ever handled, with its number and whether it was claimed.
        self.given: list[tuple[int, Offer, bool]] = []
        #: Of these nobody knows any more that no byte has left.
        self.adopted: set[str] = set()
        self.copy: tuple[MemoryLedger, int, set[str], Block | None] | None = None

    @initialize(balance=st.integers(0, 200))
    def begin(self, balance: int) -> None:
        self.chain.balance = balance
        self.chain.make_block()
        self.read_newest(data=None)

    # --- the executor ---

    @precondition(lambda self: self.chain.now + timedelta(seconds=40) < NONCES_END)
    @rule(
        data=st.data(),
        amount=st.integers(1, 90),
        amount_in=st.integers(1, 9),
        share=st.booleans(),
        life_s=st.integers(1, 40),
        deliver_twice=st.booleans(),
    )
    def claim(
        self, data: st.DataObject, amount: int, amount_in: int, share: bool, life_s: int, deliver_twice: bool
    ) -> None:
        """A new offer, perhaps on a nonce that carries others, or that has ended already."""
        self.handled += 1
        name = f"quote {self.handled}"
        nonce = data.draw(st.sampled_from(sorted(self.nonces))) if share and self.nonces else None
        deadline = self.chain.now + timedelta(seconds=life_s)
        offer = an_offer(
            name, amount=amount, amount_in=amount_in, nonce=nonce, deadline=deadline, nonce_deadline=NONCES_END
        )
        event = an_event(offer, AttemptState.CLAIMED)
        before = done(self.ledger.load(ACCOUNT)).view.held.get(EURE, 0)
        outcome = done(self.ledger.claim(offer, position=at(self.handled), generation=1, event=event))
        assert (outcome.kind is ClaimKind.NONCE_ENDED) == (offer.nonce in self.ended)
        self.given.append((self.handled, offer, outcome.kind is ClaimKind.CLAIMED))
        if outcome.kind is ClaimKind.CLAIMED:
            largest = max((o.amount_out for o in self.open.values() if o.nonce == offer.nonce), default=0)
            assert outcome.view.held[EURE] == before + max(0, amount - largest), "only what the hold grows by"
            self.open[offer.command_id] = self.outside[offer.command_id] = offer
            self.nonces.add(offer.nonce)
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
        if offer.command_id in self.sent - self.adopted:
            try:
                done(self.ledger.drop(event))
            except StoreRefused:
                return
            raise AssertionError("an offer that was sent was dropped")
        if offer.command_id in self.adopted or offer.nonce in self.chain.ever_used:
            return  # somebody has the bytes, so the process that claimed it knows that they left
        done(self.ledger.drop(event))
        del self.open[offer.command_id], self.outside[offer.command_id]

    @rule(data=st.data())
    def read_newest(self, data: st.DataObject | None) -> None:
        self.apply(self.chain.final(), data)

    @rule(data=st.data())
    def read_an_older_block(self, data: st.DataObject) -> None:
        self.apply(data.draw(st.sampled_from(self.chain.blocks)), data)

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def a_careless_reading(self, data: st.DataObject) -> None:
        """Any block, and its word about a nonce taken for an end: the ledger ends only what is truly over."""
        block = data.draw(st.sampled_from(self.chain.blocks))
        nonce = data.draw(st.sampled_from(sorted({offer.nonce for offer in self.open.values()})))
        offers = [offer for offer in self.open.values() if offer.nonce == nonce]
        ending = an_ending(self.evidence(nonce, block), *offers)
        try:
            self.write(block, [ending])
        except StoreRefused:
            return
        used = nonce in self.chain.ever_used
        assert used or self.chain.now > max(offer.offer_deadline for offer in offers), "it could still be taken"
        assert (ending.state is AttemptState.SETTLED) == used

    @rule()
    def a_copy_is_made(self) -> None:
        """A backup, or a standby that will be behind."""
        self.copy = copy.deepcopy((self.ledger, len(self.given), self.ended, self.newest_read))

    @precondition(lambda self: self.copy is not None)
    @rule(late_s=st.integers(0, 30))
    def the_copy_of_an_earlier_moment_is_put_back(self, late_s: int) -> None:
        """It refuses whoever has heard of more; what it lacks is adopted before any nonce ends or is claimed."""
        assert self.copy is not None
        heard = self.commits()
        self.ledger, handled, self.ended, self.newest_read = copy.deepcopy(self.copy)
        self.ledger._clock = lambda: self.chain.now
        if heard > self.commits():
            self.refuses_everything(heard)
        done(self.ledger.note_surroundings(ACCOUNT, reason="back", quarantined_until=self.chain.now, commits=heard))
        assert self.commits() > heard
        self.chain.now += timedelta(seconds=late_s)
        self.open = {offer.command_id: offer for offer in done(self.ledger.load(ACCOUNT)).open_offers}
        for number, offer, claimed in self.given[handled:]:  # Kafka gives them back, from the copy's position on
            self.give_back(number, offer, claimed=claimed)
        self.adopted |= self.open.keys()

    def give_back(self, number: int, offer: Offer, *, claimed: bool) -> None:
        """A command that the copy lacks: of a rejected one its result tells, any other was perhaps sent."""
        if not claimed:
            done(self.ledger.reject(a_command(offer.quote_id), position=at(number), event=a_rejection(offer.quote_id)))
            return
        event = an_event(offer, AttemptState.CLAIMED, reason="perhaps_sent")
        before = done(self.ledger.load(ACCOUNT)).view.held.get(EURE, 0)
        outcome = done(self.ledger.claim(offer, position=at(number), generation=1, event=event, perhaps_sent=True))
        if outcome.kind is ClaimKind.NONCE_ENDED:
            assert offer.nonce in self.chain.ever_used, "it may still be taken"
            return
        largest = max((o.amount_out for o in self.open.values() if o.nonce == offer.nonce), default=0)
        assert (outcome.kind, outcome.view.held[EURE]) == (
            ClaimKind.CLAIMED,
            before + max(0, offer.amount_out - largest),
        )
        self.open[offer.command_id] = offer
        self.ended.discard(offer.nonce)

    def refuses_everything(self, heard: int) -> None:
        state = done(self.ledger.load(ACCOUNT))
        offer = an_offer("of a branch that is lost")
        event = an_event(offer, AttemptState.CLAIMED)
        try:
            done(self.ledger.claim(offer, position=at(10**6), generation=1, event=event, after=heard))
        except LedgerWentBack:
            assert done(self.ledger.load(ACCOUNT)) == state
            return
        raise AssertionError("an older ledger took a claim in")

    def commits(self) -> int:
        return done(self.ledger.load(ACCOUNT)).view.commits or 0

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
        if offer.nonce in self.chain.ever_used or self.chain.now > offer.offer_deadline:
            return
        assert self.chain.balance >= offer.amount_out, "a taker found less than we promised"
        self.chain.balance -= offer.amount_out
        self.chain.used.add(offer.nonce)
        self.chain.ever_used.add(offer.nonce)

    @rule(amount=st.integers(1, 50))
    def a_gift(self, amount: int) -> None:
        self.chain.balance += amount

    @rule(seconds=st.integers(0, 30))
    def time_passes(self, seconds: int) -> None:
        self.chain.now += timedelta(seconds=seconds)

    @rule()
    def a_block_after_everything(self) -> None:
        """By its time no offer can be taken any more, and the contract has forgotten what was used."""
        self.chain.now = max(self.chain.now, NONCES_END + timedelta(seconds=1))
        self.chain.make_block()

    @rule()
    def a_block(self) -> None:
        self.chain.make_block()

    # --- what must always be true ---

    @invariant()
    def held_is_what_is_open(self) -> None:
        assert done(self.ledger.check_held()) == []
        by_nonce: dict[str, int] = {}
        in_by_nonce: dict[str, int] = {}
        for offer in self.open.values():
            by_nonce[offer.nonce] = max(offer.amount_out, by_nonce.get(offer.nonce, 0))
            in_by_nonce[offer.nonce] = max(offer.amount_in, in_by_nonce.get(offer.nonce, 0))
        view = done(self.ledger.load(ACCOUNT)).view
        assert view.held.get(EURE, 0) == sum(by_nonce.values())
        assert view.incoming is not None
        assert view.incoming.get(BTC, 0) == sum(in_by_nonce.values())

    @invariant()
    def every_attempt_is_told_once_per_state(self) -> None:
        ids = [row.event.event_id for row in done(self.ledger.unpublished(10_000))]
        assert len(ids) == len(set(ids))

    # --- helpers ---

    @staticmethod
    def pick(data: st.DataObject, offers: dict[str, Offer]) -> Offer:
        return offers[data.draw(st.sampled_from(sorted(offers)))]

    def apply(self, block: Block, data: st.DataObject | None) -> None:
        """Read a block, ask about some nonces, and release exactly what it proves, perhaps told twice."""
        nonces = sorted({offer.nonce for offer in self.open.values()})
        asked = data.draw(st.sets(st.sampled_from(nonces))) if data is not None and nonces else set()
        endings = [ending for nonce in sorted(asked) if (ending := self.ending(nonce, block, data)) is not None]
        for _ in range(2):
            self.write(block, endings)

    def write(self, block: Block, endings: list[NonceEnding]) -> None:
        view = done(
            self.ledger.apply_reading(
                ACCOUNT, height=block.height, credited={EURE: Amount(block.balance)}, endings=endings
            )
        )
        if self.newest_read is None or block.height > self.newest_read.height:
            self.newest_read = block
        assert (view.height, view.credited[EURE]) == (self.newest_read.height, self.newest_read.balance)
        for ending in endings:
            self.ended.add(ending.nonce)
            for event in ending.events:
                self.open.pop(event.result.command_id, None)
                self.outside.pop(event.result.command_id, None)

    @staticmethod
    def evidence(nonce: str, block: Block) -> ChainEvidence:
        return ChainEvidence(
            height=block.height, block_time=block.time, nonce_used=nonce in block.used, salt_valid=True
        )

    def ending(self, nonce: str, block: Block, data: st.DataObject | None) -> NonceEnding | None:
        offers = [offer for offer in self.open.values() if offer.nonce == nonce]
        evidence = self.evidence(nonce, block)
        if evidence.nonce_used:
            unknown = data is not None and len(offers) > 1 and data.draw(st.booleans())
            return an_ending(evidence, *offers, state=AttemptState.SPENT if unknown else None)
        dead = max(offer.offer_deadline for offer in offers) < block.time <= NONCES_END
        return an_ending(evidence, *offers) if dead else None


LedgerMachine.TestCase.settings = settings(
    max_examples=300, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestLedger = LedgerMachine.TestCase


async def test_the_check_finds_a_counter_that_is_wrong() -> None:
    ledger = MemoryLedger(clock=lambda: T0)
    await ledger.apply_reading(ACCOUNT, height=1, credited={EURE: Amount(100)}, endings=[])
    assert await ledger.check_held() == []
    ledger._book(ACCOUNT).assets[EURE].held = 1
    (difference,) = await ledger.check_held()
    assert (difference.asset, difference.held, difference.open_holds) == (EURE, 1, 0)
