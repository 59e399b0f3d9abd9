"""Mistakes planted on purpose, to prove that the simulation finds them. None of this is ever part of the product.

Each is what somebody might have written instead: a context in which the product's classes behave so, and where the
ledger's own promises would stop it, a ledger without them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from unittest.mock import patch

import msgspec

from unrip.bus.ports import Start
from unrip.domain import evidence as evidence_of_blocks
from unrip.domain import guards
from unrip.domain.arming import Switches
from unrip.domain.attempt import AttemptState, ChainEvidence, Drop, Offer
from unrip.domain.decision import Refusal
from unrip.domain.desk_state import LedgerView
from unrip.domain.doubt import Believed, Older
from unrip.domain.values import Amount
from unrip.frame.contract import Effect
from unrip.frame.outbox import OutboxPublisher
from unrip.frame.reader import Reader
from unrip.messages.topics import EXECUTE_TRADE
from unrip.net.events import SendFrame
from unrip.services.relay_link import RELAY
from unrip.services.strategy_engine.active_policy import ActivePolicy
from unrip.services.strategy_engine.inputs import Inputs
from unrip.services.strategy_engine.logic import StrategyEngine
from unrip.services.trade_executor.effects import (
    ApplyReading,
    ClaimDecided,
    ClaimOffer,
    Ending,
    LedgerLoaded,
    OfferSigned,
)
from unrip.services.trade_executor.intake import inspection
from unrip.services.trade_executor.intake.commands import Commands
from unrip.services.trade_executor.offers import relay_traffic
from unrip.services.trade_executor.offers.book import Book
from unrip.services.trade_executor.offers.chain_watch import ChainWatch
from unrip.services.trade_executor.offers.nonce import LiveOffer
from unrip.services.trade_executor.offers.relay_traffic import RelayTraffic
from unrip.services.trade_executor.results import result_of_offer
from unrip.store import memory_ledger
from unrip.store.ledger import ClaimOutcome, OutboxEvent
from unrip.store.memory_ledger import MemoryLedger
from unrip.store.memory_strategy import MemoryStrategy
from unrip.store.outbox import OutboxRow

Patches = Sequence[Any]


@dataclass(frozen=True, kw_only=True)
class Planted:
    """One mistake."""

    #: What was written instead of what is right.
    mistake: str
    patches: Callable[[], Patches]
    make_ledger: Callable[..., MemoryLedger] = MemoryLedger
    #: A seed whose own plan finds it; None where it needs a plan that few seeds have.
    seed: int | None = None
    #: The invariants that may be the first to be broken.
    breaks: tuple[str, ...]
    #: Plan to a seed that finds it while that plan goes on; without the plan nobody finds it.
    under: Mapping[str, int] = field(default_factory=dict)
    #: Plans that go on in both cases: a restart, say, that there is something to forget at.
    beside: tuple[str, ...] = ()

    @contextmanager
    def in_force(self) -> Iterator[None]:
        """The product with this mistake."""
        with ExitStack() as stack:
            for each in self.patches():
                stack.enter_context(each)
            yield


# --- ledgers that keep fewer promises ---------------------------------------------------------------------------------


class Trusting(MemoryLedger):
    """Ends whatever it is told to end: neither proof nor `sent` stands in the way."""

    async def drop(self, event: OutboxEvent, *, after: int = 0) -> LedgerView:
        """End an attempt, sent or not."""
        attempt = self._book(event.result.account).attempts.get(event.result.command_id)
        if attempt is not None and attempt.open:
            attempt.state = AttemptState.CLAIMED
        return await super().drop(event, after=after)

    @staticmethod
    def _require_proof(*_arguments: Any) -> None:
        """Believe it."""


class GoingBack(MemoryLedger):
    """Takes over the balances of any block."""

    async def apply_reading(self, account: str, *, height: int, **reading: Any) -> LedgerView:
        """Take over the balances, newer or not."""
        for asset in self._book(account).assets.values():
            asset.height = min(asset.height, height - 1)
        return await super().apply_reading(account, height=height, **reading)


class LosingUpdates(MemoryLedger):
    """Computes what is held from what it was at the claim before, as a read and a later write do."""

    async def claim(self, offer: Offer, **claim: Any) -> ClaimOutcome:
        """Claim, and write back a sum that was computed from an old read."""
        assets = self._book(offer.account).assets
        before = {name: asset.held for name, asset in assets.items()}
        outcome = await super().claim(offer, **claim)
        remembered: dict[str, int] = getattr(self, "remembered", before)
        for name, asset in assets.items():
            asset.held = remembered.get(name, 0) + asset.held - before.get(name, 0)
        self.remembered = {name: asset.held for name, asset in assets.items()}
        return outcome


# --- mistakes ---------------------------------------------------------------------------------------------------------


def patched(owner: Any, name: str, make: Callable[[Any], Any]) -> Any:
    """Put something in the place of a function; `make` is given the original."""
    return patch.object(owner, name, make(getattr(owner, name)))


def passes(*refusals: Refusal) -> Any:
    """These guards refuse nothing."""
    return patch.dict(guards.GUARDS, {refusal: lambda _case: (True, {}) for refusal in refusals})


def _given_up(self: RelayTraffic, live: LiveOffer, now: datetime) -> list[Effect]:
    return self._drop(live, Drop.SOCKET_GONE, now)


def _timer_releases() -> Patches:
    def on_reply_timer(self: RelayTraffic, command_id: str, now: datetime) -> list[Effect]:
        live = self._book.offer(command_id)
        return [] if live is None or live.closing else _given_up(self, live, now)

    return [patch.object(RelayTraffic, "on_reply_timer", on_reply_timer)]


def _refusal_releases() -> Patches:
    def make(original: Any) -> Any:
        def on_reply(self: RelayTraffic, reply: Any, now: datetime) -> list[Effect]:
            live = self._book.offer(reply.request or "")
            if reply.ok or live is None or live.closing:
                return list(original(self, reply, now))
            return _given_up(self, live, now)

        return on_reply

    return [patched(RelayTraffic, "_on_reply", make)]


def _unknown_is_no() -> Patches:
    def unanswered(self: RelayTraffic, live: LiveOffer, _reason: str, now: datetime) -> list[Effect]:
        return _given_up(self, live, now)

    return [patch.object(RelayTraffic, "_unanswered", unanswered)]


def _older_snapshot() -> Patches:
    def make(original: Any) -> Any:
        def on_read(self: ChainWatch, reading: Any, judged: Any, now: datetime) -> list[Effect]:
            return list(original(self, reading, Believed() if isinstance(judged, Older) else judged, now))

        return on_read

    return [patched(ChainWatch, "on_read", make)]


def _sent_before_claimed() -> Patches:
    def signed_first(original: Any) -> Any:
        def on_signed(self: Commands, event: OfferSigned, now: datetime) -> list[Effect]:
            effects = original(self, event, now)
            claim = next(effect for effect in effects if isinstance(effect, ClaimOffer))
            text = self.traffic._client.answer(claim.offer)
            return [SendFrame(connection=RELAY, text=text), *effects]

        return on_signed

    def not_again(original: Any) -> Any:
        def send(self: RelayTraffic, claim: ClaimOffer, now: datetime, **named: Any) -> list[Effect]:
            return [effect for effect in original(self, claim, now, **named) if not isinstance(effect, SendFrame)]

        return send

    return [patched(Commands, "on_signed", signed_first), patched(RelayTraffic, "send", not_again)]


def _duplicates_are_sent() -> Patches:
    def make(original: Any) -> Any:
        def on_decided(self: Commands, event: ClaimDecided, now: datetime) -> list[Effect]:
            if event.kind == "duplicate" and isinstance(self._claim, ClaimOffer):
                event = msgspec.structs.replace(event, kind="claimed")
            return list(original(self, event, now))

        return on_decided

    return [patched(Commands, "on_decided", make)]


def _restart_forgets() -> Patches:
    def make(original: Any) -> Any:
        def load(self: Book, event: LedgerLoaded) -> None:
            if not self.loaded:
                event = msgspec.structs.replace(event, open_offers=())
            original(self, event)

        return load

    return [patched(Book, "load", make)]


def settled_by_word(traffic: RelayTraffic, live: LiveOffer) -> list[Effect]:
    """End an offer as settled since somebody says so, and not the chain."""
    book, reading = traffic._book, traffic._chain.reading
    if live.closing or reading is None:
        return []
    live.closing = True
    said = ChainEvidence(height=reading.height, block_time=reading.block_time, nonce_used=True, salt_valid=True)
    result = result_of_offer(live.offer, AttemptState.SETTLED, evidence=said)
    ending = Ending(nonce=live.offer.nonce, state=AttemptState.SETTLED, results=((result, live.lineage),))
    write = ApplyReading(account=book.account, height=reading.height, credited=reading.credited, endings=(ending,))
    return book.writes.push(write)


def _notices_are_believed() -> Patches:
    def make(original: Any) -> Any:
        def on_notice(self: RelayTraffic, notice: Any, frame: Any, now: datetime) -> list[Effect]:
            effects = list(original(self, notice, frame, now))
            open_offers = [each for each in self._book.offers() if not each.closing]
            live = self._book.by_quote_hash(notice.quote_hash) or next(iter(reversed(open_offers)), None)
            return effects if live is None else [*effects, *settled_by_word(self, live)]

        return on_notice

    return [patched(RelayTraffic, "_on_notice", make)]


def _outbox_forgets() -> Patches:
    async def publish(self: OutboxPublisher, rows: list[OutboxRow], stuck: object) -> list[int]:
        del stuck
        for row in rows:
            self._start(row)
        return [row.seq for row in rows]

    return [patch.object(OutboxPublisher, "_publish", publish)]


def _holds_are_not_counted() -> Patches:
    def make(original: Any) -> Any:
        def refusal(book: Any, offer: Offer, *rest: Any, **named: Any) -> Any:
            held, asset = None, book.assets.get(offer.asset_out)
            if asset is not None:
                held, asset.held = asset.held, 0
            try:
                return original(book, offer, *rest, **named)
            finally:
                if asset is not None:
                    asset.held = held

        return refusal

    def nothing_promised(original: Any) -> Any:
        def take_ledger(self: Any, ledger: LedgerView | None, *when: datetime) -> None:
            if ledger is not None:
                ledger = msgspec.structs.replace(ledger, held=dict.fromkeys(ledger.held, Amount(0)))
            original(self, ledger, *when)

        return take_ledger

    return [patched(memory_ledger, "_refusal", make), patched(Inputs, "_take_ledger", nothing_promised)]


def _late_unused_is_lapsed() -> Patches:
    def make(original: Any) -> Any:
        def proves_death(evidence: ChainEvidence, *, last_deadline: datetime, nonce_deadline: datetime) -> bool:
            forever = max(nonce_deadline, evidence.block_time)
            proven: bool = original(evidence, last_deadline=last_deadline, nonce_deadline=forever)
            return proven

        return proves_death

    return [patched(evidence_of_blocks, "proves_death", make)]


def _decides_again() -> Patches:
    return [patch.object(StrategyEngine, "_remember", lambda _self, _quote_id: None)]


def _command_is_lost() -> Patches:
    return [patch.object(StrategyEngine, "_make_up_for_missing_command", lambda _self, _now: [])]


def _limits_are_forgotten() -> Patches:
    """Neither memory is asked: what PostgreSQL keeps, and what the records of controls show on Kafka."""

    async def in_force(_self: MemoryStrategy, _base: str) -> None:
        return None

    return [
        patch.object(MemoryStrategy, "in_force", in_force),
        patch.object(ActivePolicy, "told", lambda _self, _state: []),
    ]


def _position_is_forgotten() -> Patches:
    def make(original: Any) -> Any:
        def begin(self: Reader, topic: str, start: Start) -> None:
            of_the_executor = topic == EXECUTE_TRADE.name and start.tail is None
            original(self, topic, Start(tail=0) if of_the_executor else start)

        return begin

    return [patched(Reader, "_begin", make)]


def _brakes_are_left_to_the_strategy() -> Patches:
    def given_up(offer: Offer, now: datetime, _switches: Switches, *, ready: bool) -> Drop | None:
        return Drop.WINDOW_CLOSED if now >= offer.answer_by else None if ready else Drop.SOCKET_GONE

    return [
        patch.object(inspection, "_switched_off", lambda _command, _switches, _now: None),
        patch.object(relay_traffic, "given_up", given_up),
    ]


#: By a short name, in the order of docs/simulation.md.
PLANTED = {
    "timer": Planted(
        mistake="a hold is released when the relay has not replied in time",
        patches=_timer_releases,
        make_ledger=Trusting,
        seed=1,
        breaks=("evidence",),
    ),
    "refusal": Planted(
        mistake="a hold is released when the relay refuses the answer",
        patches=_refusal_releases,
        make_ledger=Trusting,
        seed=3,
        breaks=("evidence",),
        under={"relay/refuse_answers": 1},
    ),
    "unknown": Planted(
        mistake="an unknown outcome of sending counts as not sent",
        patches=_unknown_is_no,
        make_ledger=Trusting,
        seed=1,
        breaks=("evidence", "recorded"),
        under={"half_write": 1},
    ),
    "older-snapshot": Planted(
        mistake="balances of an older block replace newer ones",
        patches=_older_snapshot,
        make_ledger=GoingBack,
        seed=4,
        breaks=("credited",),
        under={"rpc/lag_blocks": 1},
    ),
    "lost-update": Planted(
        mistake="held is computed from an earlier read and written back",
        patches=list,
        make_ledger=LosingUpdates,
        seed=1,
        breaks=("sum",),
    ),
    "holds-ignored": Planted(
        mistake="what is promised elsewhere is not subtracted from what is credited",
        patches=_holds_are_not_counted,
        seed=3,
        breaks=("solvent",),
    ),
    "send-first": Planted(
        mistake="the answer is sent before its claim is committed",
        patches=_sent_before_claimed,
        seed=1,
        breaks=("recorded",),
    ),
    "duplicate": Planted(
        mistake="a command that comes again is sent again",
        patches=_duplicates_are_sent,
        seed=2,
        breaks=("once",),
        under={"deliver_twice": 1},
    ),
    "forgetful": Planted(
        mistake="a restart forgets the open offers",
        patches=_restart_forgets,
        seed=1,
        breaks=("class",),
        under={"crash": 1, "crash_at": 1, "drain": 5},
    ),
    "late-unused": Planted(
        mistake="an unused nonce proves an end also after the nonce's own deadline",
        patches=_late_unused_is_lapsed,
        make_ledger=Trusting,
        seed=1,
        under={"erase_nonces": 2},
        breaks=("evidence",),
    ),
    "notice": Planted(
        mistake="a settlement notice ends an offer, also one about somebody else's",
        patches=_notices_are_believed,
        make_ledger=Trusting,
        seed=1,
        breaks=("evidence", "sum"),
    ),
    "outbox": Planted(
        mistake="a result counts as published once it was handed to the producer",
        patches=_outbox_forgets,
        seed=2,
        breaks=("class",),
        under={"broker_away": 1},
    ),
    "decides-again": Planted(
        mistake="the strategy does not remember what it has decided",
        patches=_decides_again,
        seed=2,
        breaks=("once",),
        under={"deliver_twice": 1},
    ),
    "lost-command": Planted(
        mistake="a restart does not make up for the command of an acknowledged decision",
        patches=_command_is_lost,
        seed=3,
        breaks=("class",),
        under={"crash_within": 2},
    ),
    "limits": Planted(
        mistake="a restart forgets the limits that an operator has changed",
        patches=_limits_are_forgotten,
        seed=3,
        breaks=("cap",),
        under={"cap": 1},
        beside=("drain",),
    ),
    "position": Planted(
        mistake="a restarted executor reads only commands that are still to come",
        patches=_position_is_forgotten,
        seed=3,
        breaks=("class",),
    ),
    "brakes": Planted(
        mistake="the executor leaves halt, disarm and pause to the strategy",
        patches=_brakes_are_left_to_the_strategy,
        seed=49,
        breaks=("brake",),
        under={"halt": 1, "pause": 1, "disarm": 2},
    ),
}
