"""What must hold after every step, judged from the world and from what is durable, never from a logic's word."""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any

from simulation.caps import ToldCaps
from simulation.market import Market
from simulation.stores import Database, done
from simulation.told import Told
from simulation.violation import Violation
from unrip.domain.attempt import AttemptState, ChainEvidence, Offer, TradeResult
from unrip.domain.command import TradeCommand
from unrip.domain.decision import Decision
from unrip.domain.policy import Policy
from unrip.domain.values import epoch_ms
from unrip.frame.contract import Vitals
from unrip.messages.codec import decode_event
from unrip.messages.envelope import Envelope, encode
from unrip.messages.topics import (
    EXECUTE_TRADE,
    INTENT_INVENTORY,
    LIQUIDITY_ACTION,
    MARKET_PRICE,
    SWAP_DEMAND,
    TRADE_DECISION,
    TRADE_RESULT,
)
from unrip.store.ledger import LedgerState
from unrip_world.chain.core import Block
from unrip_world.relay.journal import Submission
from unrip_world.verifier.state import BALANCES, LOCKS, NONCES, SALTS, SETTINGS
from unrip_world.world import World

_NS_PER_MS, _NS_PER_S = 1_000_000, 1_000_000_000
#: What the desk believes of the contract was read this long ago at most, and that was of a final block.
_KNOWN_WITHIN_S = 25
#: Ends of an offer that nobody took; every other end says that its nonce was used.
_UNUSED = {AttemptState.REJECTED, AttemptState.DROPPED, AttemptState.LAPSED}

#: What is decided on.
_INPUTS = frozenset({SWAP_DEMAND.name, INTENT_INVENTORY.name, MARKET_PRICE.name, LIQUIDITY_ACTION.name})


class Invariants:
    """The judge. Every method raises `Violation`."""

    def __init__(
        self,
        world: World,
        database: Database,
        *,
        account: str,
        caps: ToldCaps,
        policy: Policy,
        say: Callable[[str], None],
    ) -> None:
        self._world, self._database, self._account = world, database, account
        self._policy, self._market = policy, Market(world)
        self.told = Told(world, account=account)
        self._caps, self._say = caps, say
        #: What the world has received of every nonce, and of those that may still settle.
        self._sent: dict[str, list[Offer]] = {}
        self._live: dict[str, list[Offer]] = {}
        #: Command to the frame that carried its offer.
        self._frames: dict[str, str] = {}
        self._last: LedgerState | None = None
        #: The last commit was that of a claim.
        self.claimed = False
        #: The database was set back: results that it forgot may be told once more.
        self.told_again = False
        #: Live nonces that the ledger holds nothing for any more.
        self._given_up: set[str] = set()
        #: Nonces of commands to their own deadline, until used or over: also where the offers are dead or were never
        #: sent, since what takes them back lives as long as the nonce.
        self._usable: dict[str, int] = {}
        #: Nonces that were used, and offers that were filled, at a final block.
        self._spent: set[str] = set()
        #: Intent to its transaction and to what that moved for us.
        self._settled: dict[str, tuple[str, dict[str, int]]] = {}
        #: Since when final blocks say that no offer can be executed.
        self._closed_since_ns: int | None = None
        self._final_height = world.chain.final.height
        self.decisions: dict[str, Decision] = {}
        self.commands: dict[str, TradeCommand] = {}
        self._payloads: dict[str, bytes] = {}
        self.results: dict[str, dict[str, TradeResult]] = {}
        #: Command to the state that ended it.
        self.ends: dict[str, str] = {}
        self.submissions = 0
        #: Token to what its owner took out past the desk, each with a height from which on every block shows it.
        self.withdrawn: dict[str, list[tuple[int, int]]] = {}
        #: Nonce to the height of the ledger when its first offer was sent.
        self._known_height: dict[str, int] = {}

        #: Ids of records that a topic has lost, and what they were about: quotes and commands.
        self.lost: set[str] = set()
        self.lost_subjects: set[str] = set()

    def on_lost(self, events: Sequence[Envelope[Any]]) -> None:
        """A topic has lost these records."""
        for event in events:
            self.lost.add(event.event_id)
            self.lost_subjects |= {
                getattr(event.payload, name) for name in ("quote_id", "command_id") if hasattr(event.payload, name)
            }

    @property
    def money_open(self) -> bool:
        """An offer may still settle, or a hold is open."""
        return bool(self._live) or (self._last is not None and bool(self._last.open_offers))

    # --- steps -----------------------------------------------------------------------------------------------------

    def on_answer(self, command_id: str, vitals: Vitals, now: datetime) -> None:
        """An answer is about to leave, by the clock of its process: no brake and no window stands against it."""
        if now >= self.commands[command_id].answer_by:
            raise Violation(f"late: command {command_id} is answered after its window has closed")
        switches = vitals.details.switches
        if switches.halted or vitals.paused or self.commands[command_id].direction not in switches.armed:
            raise Violation(f"brake: command {command_id} is answered by an executor that must not")

    def on_withdrawal(self, token: str, amount: int) -> None:
        """The owner takes out what he pleases; what was promised before may then not be there."""
        self.withdrawn.setdefault(token, []).append((amount, self._world.chain.head.height + 2))

    def on_submission(self, submission: Submission) -> None:
        """The world has an answer of ours, and may let it settle from now on."""
        self.submissions += 1
        if submission.quote_hash is None:
            raise Violation(f"recorded: the world cannot read what was sent: {submission.raw[:200]}")
        state = self._state()
        offer = next((each for each in state.open_offers if each.quote_hash == submission.quote_hash), None)
        if offer is None:
            raise Violation(
                f"recorded: sent without an open claim: {submission.quote_hash} of quote {submission.quote_id}"
            )
        if offer.signed_payload not in submission.raw:
            raise Violation(f"recorded: sent other bytes than were recorded for command {offer.command_id}")
        if offer.command_id in self._frames:
            raise Violation(f"once: command {offer.command_id} was sent twice")
        self._frames[offer.command_id] = submission.raw
        self._nothing_is_forgotten(state)
        self._may_be_executed(submission)
        self._sent.setdefault(offer.nonce, []).append(offer)
        self._known_height.setdefault(offer.nonce, state.view.height)
        self._live[offer.nonce] = self._sent[offer.nonce]
        self._solvent()

    def set_back(self) -> None:
        """The database is that of an earlier moment: what it forgot may be told once more, with other stamps."""
        self._last, self.told_again = self._state(), True

    def on_commit(self) -> None:
        """The ledger may have changed."""
        before, state = self._last, self._state()
        known = {offer.command_id for offer in before.open_offers} if before else set()
        self.claimed = any(offer.command_id not in known for offer in state.open_offers)
        if before == state:
            return
        self._last = state
        self._adds_up(state)
        self._credited_is_true(before, state)
        still_open = {offer.nonce for offer in state.open_offers}
        gone = {offer.nonce: offer for offer in before.open_offers if offer.nonce not in still_open} if before else {}
        for offer in gone.values():
            self._ended_by_evidence(offer)

    def on_time(self, now_ns: int) -> None:
        """The world has done what was due."""
        self._market.look(now_ns)

    def on_block(self) -> None:
        """The chain has gone on."""
        head, final = self._world.chain.head, self._world.chain.final
        self._note_final(final)
        for nonce in self._given_up:
            if self._used(nonce, head.height):
                raise Violation(f"evidence: nonce {nonce} settled after its hold was given up")
        if head.outcomes:
            verdict = self._world.judge.verdict(self._account, height=head.height)
            if verdict["insufficient_balance"] and not self.withdrawn:
                raise Violation("solvent: a taker who accepted our offer failed for lack of our balance")
        self._solvent()

    def _note_final(self, final: Block) -> None:
        """What is final stays true, also when the contract has erased the nonce that shows it."""
        while self._final_height < final.height:
            self._final_height += 1
            block = self._world.chain.block(self._final_height)
            for tx_hash, event in _fills(block, self._account) if block is not None else ():
                diff = {token: int(moved) for token, moved in event["diff"].items()}
                self._settled[event["intent_hash"]] = tx_hash, diff
        view = self._world.verifier.storage.at(final.height)
        closed = view.get(SETTINGS, "paused") or view.get(LOCKS, self._account)
        self._closed_since_ns = (self._closed_since_ns or final.timestamp_ns) if closed else None
        self._spent |= {nonce for nonce in self._usable if self._used(nonce, final.height)}
        over_ms = final.timestamp_ns // _NS_PER_MS
        self._usable = {
            nonce: end_ms for nonce, end_ms in self._usable.items() if nonce not in self._spent and end_ms >= over_ms
        }
        alive = {nonce: sent for nonce, sent in self._live.items() if nonce not in self._spent}
        self._live = {nonce: sent for nonce, sent in alive.items() if _last(sent) * _NS_PER_MS >= final.timestamp_ns}
        self._given_up &= self._live.keys()

    def on_record(self, topic: str, value: bytes) -> None:
        """A record stands on a topic."""
        if topic in _INPUTS:
            self._on_input(topic, decode_event(topic, value))
        if topic not in {TRADE_DECISION.name, EXECUTE_TRADE.name, TRADE_RESULT.name}:
            return
        event = decode_event(topic, value)
        payload, encoded = event.payload, encode(event.payload)
        again = self.told_again and topic == TRADE_RESULT.name
        if self._payloads.setdefault(f"{topic}/{event.event_id}", encoded) != encoded and not again:
            raise Violation(f"once: {topic} has two records {event.event_id} that differ")
        self._say(_line(payload))
        match payload:
            case Decision():
                if payload.quote_id not in self.decisions:  # the broker may take one record again long after
                    self.decisions[payload.quote_id] = payload
                    self._within_the_cap(payload)
                    self._is_priced(payload)
                    self.told.decided(payload)
                elif self.decisions[payload.quote_id] != payload:
                    raise Violation(f"once: quote {payload.quote_id} was decided twice")
            case TradeCommand():
                decision = self.decisions.get(payload.quote_id)
                if decision is None or decision.command != payload:
                    raise Violation(f"class: command {payload.command_id} is not the one of an accepted decision")
                self.told.commanded(payload)
                self.commands[payload.command_id] = payload
                self._usable[payload.nonce] = epoch_ms(payload.nonce_deadline)
            case TradeResult():
                self._on_result(payload)

    def _on_input(self, topic: str, event: Envelope[Any]) -> None:
        match topic:
            case SWAP_DEMAND.name:
                self.told.demand(event.payload)
            case INTENT_INVENTORY.name:
                self.told.inventory(event.event_id, event.payload)
            case MARKET_PRICE.name:
                self._market.prices[event.event_id] = event.payload
            case LIQUIDITY_ACTION.name:
                self.told.action(event.payload)

    def _evidence_is_true(self, result: TradeResult) -> None:
        """The block that a result names as its evidence is final and says so."""
        evidence = result.evidence
        if evidence is None or evidence.operator is not None or result.command_id not in self.commands:
            return
        if evidence.height > self._world.chain.final.height:
            raise Violation(f"evidence: command {result.command_id} names block {evidence.height}, which is not final")
        block = self._world.chain.block(evidence.height)
        if block is not None and epoch_ms(evidence.block_time) != block.timestamp_ns // _NS_PER_MS:
            raise Violation(f"evidence: command {result.command_id} names another time of block {evidence.height}")
        nonce = base64.b64decode(self.commands[result.command_id].nonce)
        stored = self._world.verifier.storage.at(evidence.height).get(NONCES, (self._account, nonce), False)
        if evidence.nonce_used and not self._used(self.commands[result.command_id].nonce, evidence.height):
            raise Violation(f"evidence: command {result.command_id} names block {evidence.height}, nonce unused there")
        self._movement_is_true(result, evidence)
        if not evidence.nonce_used and stored:
            raise Violation(f"evidence: command {result.command_id} names block {evidence.height}, nonce used there")

    def _nothing_is_forgotten(self, state: LedgerState) -> None:
        """Whoever sends another offer knows of every one that may still be taken."""
        head, known = self._world.chain.head, {offer.nonce for offer in state.open_offers}
        for nonce, offers in self._live.items():
            over = nonce in known or nonce in self._given_up or self._used(nonce, self._world.chain.final.height)
            if over or _last(offers) * _NS_PER_MS <= head.timestamp_ns or not self._salt_valid(offers[0], head.height):
                continue
            raise Violation(f"forgotten: an offer was sent while the ledger knows nothing of the live nonce {nonce}")

    def _may_be_executed(self, submission: Submission) -> None:
        """Nothing is offered that the contract has long been known to refuse."""
        since_ns, now_ns = self._closed_since_ns, self._world.chain.head.timestamp_ns
        if since_ns is not None and now_ns - since_ns > _KNOWN_WITHIN_S * _NS_PER_S:
            raise Violation(f"closed: an offer for quote {submission.quote_id} was sent to a contract that takes none")

    def _movement_is_true(self, result: TradeResult, evidence: ChainEvidence) -> None:
        """What a result says that a transaction or two blocks moved, they have moved."""
        if evidence.executed is not None and result.state is AttemptState.SETTLED:
            tx_hash, diff = self._settled.get(evidence.executed, (None, {}))
            if tx_hash != evidence.tx_hash or (evidence.diff is not None and evidence.diff != diff):
                raise Violation(
                    f"moved: command {result.command_id} is told to have moved {evidence.diff} in {evidence.tx_hash}, "
                    f"and it was {diff} in {tx_hash}"
                )
        if evidence.compared_with is None or evidence.moved is None:
            return
        before, after = (
            self._world.verifier.storage.at(height) for height in (evidence.compared_with, evidence.height)
        )
        for asset, moved in evidence.moved.items():
            place = (self._account, asset)
            if moved != (true := after.get(BALANCES, place, 0) - before.get(BALANCES, place, 0)):
                raise Violation(f"moved: command {result.command_id} says that {asset} moved by {moved}, it was {true}")

    def _within_the_cap(self, decision: Decision) -> None:
        highest = self._caps.highest(decision.decided_at)
        if decision.accepted and decision.notional_eur is not None and decision.notional_eur > highest:
            raise Violation(
                f"cap: quote {decision.quote_id} of {decision.notional_eur} EUR was accepted, and the operator was "
                f"told that no trade is above {highest} EUR"
            )

    def _is_priced(self, decision: Decision) -> None:
        if decision.accepted and (why := self._market.objection(decision, self._policy)) is not None:
            raise Violation(f"priced: quote {decision.quote_id} was accepted, and {why}")

    def _on_result(self, result: TradeResult) -> None:
        if result.command_id not in self.commands:
            raise Violation(f"class: a result of command {result.command_id}, which was never given")
        self.results.setdefault(result.command_id, {})[result.state] = result
        frame = self._frames.get(result.command_id)
        # What a revoked offer's end tells is the intent that took it back.
        tells_answer = result.request is not None and result.state is not AttemptState.REVOKED
        if tells_answer and frame not in {None, result.request}:
            raise Violation(
                f"recorded: the record of what was sent for command {result.command_id} is not what was sent"
            )
        self._evidence_is_true(result)
        if not result.state.terminal:
            return
        if self.ends.setdefault(result.command_id, result.state) != result.state:
            raise Violation(
                f"class: command {result.command_id} ended as {self.ends[result.command_id]} and {result.state}"
            )
        nonce, filled = self.commands[result.command_id].nonce, result.quote_hash in self._settled
        if result.state is AttemptState.SETTLED and not filled:
            raise Violation(f"evidence: command {result.command_id} is told to be settled, and it was not filled")
        if result.state in {*_UNUSED, AttemptState.VOIDED} and filled:
            raise Violation(f"evidence: command {result.command_id} is told to be {result.state}, and it was filled")
        if result.state is AttemptState.REVOKED and (taken := self._settled.keys() & self._hashes(nonce)):
            raise Violation(f"evidence: command {result.command_id} is told to be revoked, and {taken} was filled")
        if result.state not in _UNUSED and not self._used(nonce, self._world.chain.final.height):
            raise Violation(f"evidence: command {result.command_id} is {result.state}, and its nonce is not used")

    def _hashes(self, nonce: str) -> set[str]:
        return {offer.quote_hash for offer in self._sent.get(nonce, ())}

    # --- what is asked ---------------------------------------------------------------------------------------------

    def _state(self) -> LedgerState:
        return done(self._database.ledger.load(self._account))

    def _adds_up(self, state: LedgerState) -> None:
        """Held is the sum of the open holds, by the ledger's own check and by its open offers."""
        if differences := done(self._database.ledger.check_held()):
            raise Violation(f"sum: held and open holds differ: {differences}")
        promised = _largest_per_nonce(list(state.open_offers))
        for asset, amount in promised.items():
            if state.view.held.get(asset, 0) < amount:
                raise Violation(
                    f"sum: held of {asset} is {state.view.held.get(asset, 0)}, open offers promise {amount}"
                )
        for asset, held in state.view.held.items():
            if held and not promised.get(asset):
                raise Violation(f"sum: {held} of {asset} is held for no open offer")

    def _credited_is_true(self, before: LedgerState | None, state: LedgerState) -> None:
        """What is credited is the balance of the final block that it names, and never goes back to an older one."""
        height = state.view.height
        if before is not None and height < before.view.height:
            raise Violation(f"credited: the ledger went back from height {before.view.height} to {height}")
        if before is not None and height == before.view.height and state.view.credited != before.view.credited:
            raise Violation(
                f"credited: credited changed without a newer block: {before.view.credited} to {state.view.credited}"
            )
        if height > self._world.chain.final.height:
            raise Violation(f"credited: the ledger believes block {height}, which is not final")
        balances = self._world.verifier.storage.at(height)
        for asset, credited in state.view.credited.items():
            if credited != (true := balances.get(BALANCES, (self._account, asset), 0)):
                raise Violation(f"credited: credited of {asset} is {credited} at height {height}, where it is {true}")

    def _ended_by_evidence(self, offer: Offer) -> None:
        """A nonce without open offers is used or dead at a final block, or no byte of it has ever been sent."""
        final, sent = self._world.chain.final, self._sent.get(offer.nonce)
        if sent is None or self._used(offer.nonce, final.height):
            return
        last_ms = _last(sent)
        if final.timestamp_ns > last_ms * _NS_PER_MS or not self._salt_valid(offer, final.height):
            self._given_up.add(offer.nonce)
            return
        raise Violation(
            f"evidence: the hold of nonce {offer.nonce} (command {offer.command_id}) ended, but it was sent, is not "
            f"used, and may settle until {last_ms} ms; the final block is of {final.timestamp_ns // _NS_PER_MS} ms"
        )

    def _used(self, nonce: str, height: int) -> bool:
        """Whether a nonce is used at a height, or was for good before the contract erased it."""
        raw = base64.b64decode(nonce)
        stored = self._world.verifier.storage.at(height).get(NONCES, (self._account, raw), False)
        return nonce in self._spent or bool(stored)

    def _salt_valid(self, offer: Offer, height: int) -> bool:
        return bool(self._world.verifier.storage.at(height).get(SALTS, bytes.fromhex(offer.salt), False))

    def _solvent(self) -> None:
        """Everything that may still be taken from us is there, at the head of the chain."""
        head = self._world.chain.head
        view = self._world.verifier.storage.at(head.height)
        live = [
            offer
            for nonce, offers in self._live.items()
            if not self._used(nonce, head.height)
            for offer in offers
            if _last([offer]) * _NS_PER_MS > head.timestamp_ns and self._salt_valid(offer, head.height)
        ]
        for asset, promised in _largest_per_nonce(live).items():
            balance = view.get(BALANCES, (self._account, asset), 0)
            if promised > balance + self._taken_since_promised(asset, live):
                raise Violation(f"solvent: {promised} of {asset} can be taken from us, and there are {balance}")

    def _taken_since_promised(self, asset: str, live: list[Offer]) -> int:
        """What the owner took out while the ledger could not know it yet, as long as an offer from then lives."""
        oldest = min(self._known_height[offer.nonce] for offer in live if offer.asset_out == asset)
        return sum(amount for amount, height in self.withdrawn.get(asset, ()) if oldest < height)


def _line(payload: Decision | TradeCommand | TradeResult) -> str:
    """A record in a trace."""
    match payload:
        case Decision():
            return f"decided: {payload.quote_id} {payload.reason or 'accepted'}"
        case TradeCommand():
            return f"commanded: {payload.command_id} for {payload.quote_id}"
    return f"told: {payload.command_id} {payload.state} {payload.reason or ''}".rstrip()


def _last(offers: list[Offer]) -> int:
    """The last deadline, in milliseconds of the Unix epoch."""
    return max(epoch_ms(offer.offer_deadline) for offer in offers)


def _fills(block: Block, account: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """What the contract says about the account's fills in a block, each with its transaction."""
    for outcome in block.outcomes:
        if outcome.error is not None:
            continue
        for line in (line for receipt in outcome.receipts for line in receipt.logs):
            event = json.loads(line.removeprefix("EVENT_JSON:"))
            if event["event"] == "token_diff":
                ours = (entry for entry in event["data"] if entry["account_id"] == account)
                yield from ((outcome.transaction.tx_hash, entry) for entry in ours)


def _largest_per_nonce(offers: list[Offer]) -> dict[str, int]:
    """What offers can take together: one of each nonce settles at most."""
    largest: dict[tuple[str, str], int] = {}
    for offer in offers:
        key = (offer.asset_out, offer.nonce)
        largest[key] = max(largest.get(key, 0), offer.amount_out)
    totals: dict[str, int] = Counter()
    for (asset, _nonce), amount in largest.items():
        totals[asset] += amount
    return totals
