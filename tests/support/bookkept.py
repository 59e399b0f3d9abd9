"""An executor whose ledger effects are performed on a ledger, and whose signer signs at once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from support.cases import ACCOUNT, a_case, a_decision, a_demand, a_desk
from support.engine import ARM, a_record
from support.executor import Executor, a_reading
from unrip.domain.attempt import TradeResult
from unrip.domain.command import TradeCommand
from unrip.domain.sharing import SharedNonce, Sharing
from unrip.frame.contract import CaughtUp, Effect, Event, Started, Subscribe
from unrip.messages.topics import EXECUTE_TRADE, TRADE_RESULT
from unrip.net.events import FrameSent, SendFrame
from unrip.services.relay_link import RELAY
from unrip.services.trade_executor.effects import (
    ApplyReading,
    AuthorityJudged,
    ClaimOffer,
    DropAttempt,
    LoadLedger,
    NoteAttempt,
    NoteRevocation,
    NoteSurroundings,
    OfferSigned,
    RejectCommand,
    SignOffer,
    VerifierRead,
)
from unrip.services.trade_executor.handlers.ledger import LedgerHandlers
from unrip.store.memory_ledger import MemoryLedger


class Bookkept(Executor):
    """Every event is followed to its end: what the ledger answers comes back at once."""

    def __init__(self, ledger: MemoryLedger) -> None:
        super().__init__()
        self.ledger = ledger

    def feed(self, event: Event) -> list[Effect]:
        """Feed an event, and whatever the ledger and the signer make of it."""
        effects = super().feed(event)
        for effect in effects:
            for answer in self._perform(effect):
                self.feed(answer)
        return effects

    def _perform(self, effect: Effect) -> list[Event]:
        if isinstance(effect, SignOffer):
            command = effect.command
            signed = f"hash of {command.quote_id}"
            return [OfferSigned(command_id=command.command_id, quote_hash=signed, signed_payload="[]")]
        return asyncio.run(self._write(effect))

    async def _write(self, effect: Effect) -> list[Event]:
        answers: list[Event] = []
        books = LedgerHandlers(
            self.ledger,
            account=ACCOUNT,
            start=asyncio.ensure_future,
            emit=answers.append,
            clock=lambda: self.now,
            uptime_s=lambda: 0.0,
            on_outbox=lambda: None,
            leave_role=pytest.fail,
        )
        handlers: dict[type[Effect], Any] = {
            LoadLedger: books.load,
            ClaimOffer: books.claim,
            RejectCommand: books.reject,
            NoteAttempt: books.note,
            DropAttempt: books.drop,
            ApplyReading: books.apply,
            NoteRevocation: books.note_revocation,
            NoteSurroundings: books.note_surroundings,
        }
        if type(effect) not in handlers:
            return []
        handlers[type(effect)](effect)
        async with asyncio.timeout(5):
            while not answers:  # noqa: ASYNC110 - the twin is done within a few turns of the loop
                await asyncio.sleep(0)
        return answers

    # --- a life ----------------------------------------------------------------------------------------------------

    def begin(self, results: Iterable[TradeResult] = ()) -> None:
        """Start, and read the results of earlier lives back; connected, proven, and nothing of the chain read."""
        self.feed(Started(active=True, generation=1, start_id="trade-executor-1"))
        self.results_read(results)
        self.connect()
        self.feed(AuthorityJudged(proven=True, reason="proven"))

    def ready(self) -> Bookkept:
        """Begun, its topic of commands empty, a block read, and armed."""
        self.begin()
        self.commands_read()
        self.block()
        self.feed(ARM)
        assert self.logic.not_ready(self.now) == []
        return self

    def results_read(self, results: Iterable[TradeResult] = ()) -> None:
        """The results as they stand on Kafka."""
        for offset, result in enumerate(results):
            self.feed(a_record(TRADE_RESULT, result, offset=offset, event_id=f"result-{offset}"))
        self.feed(CaughtUp(topic=TRADE_RESULT.name, topic_id="results-1"))

    def commands_read(self, *commands: tuple[int, TradeCommand], topic_id: str = "cmd.execute_trade-1") -> None:
        """These stand in the topic of the commands, and no more."""
        for offset, command in commands:
            self.put(command, offset)
        self.feed(CaughtUp(topic=EXECUTE_TRADE.name, topic_id=topic_id))

    def put(self, command: TradeCommand, offset: int) -> None:
        """A command of the topic."""
        self.feed(a_record(EXECUTE_TRADE, command, offset=offset, event_id=command.command_id))

    def block(self, *, used: Iterable[str] = (), after: timedelta = timedelta(0), **changes: Any) -> None:
        """Some time later a price and a final block are read, and the block is asked about every open nonce."""
        self.now += after
        self.price()
        self._height += 1 + round(after.total_seconds() / 2)
        nonces = [offer.nonce for offer in self.open_offers]
        reading = a_reading(self._height, now=self.now, asked=nonces, used=tuple(used), **changes)
        self.feed(VerifierRead(reading=reading))

    def sent(self, command: TradeCommand) -> None:
        """The bytes of its offer have left."""
        self.feed(FrameSent(connection=RELAY, token=command.command_id, sent_at=self.now))

    # --- what came of it -------------------------------------------------------------------------------------------

    @property
    def frames(self) -> list[str]:
        """The commands whose answers were given to the socket."""
        return [effect.token for effect in self.of(SendFrame) if effect.token]

    @property
    def held(self) -> dict[str, int]:
        """What the ledger holds, without what holds nothing."""
        view = asyncio.run(self.ledger.load(ACCOUNT)).view
        return {asset: int(amount) for asset, amount in view.held.items() if amount}

    @property
    def quarantine(self) -> str | None:
        """The reason of the quarantine."""
        state = self.logic.state(self.now).quarantine
        return None if state is None else str(state.reason)

    def told(self, quote_id: str) -> list[tuple[str, str | None]]:
        """State and reason of every result of a quote in this ledger."""
        rows = asyncio.run(self.ledger.unpublished(1_000))
        results = [row.event.payload for row in rows]
        return [(str(each.state), each.reason) for each in results if each.quote_id == quote_id]

    def read_from(self) -> Subscribe:
        """The last subscription of the commands."""
        found: Subscribe = [each for each in self.of(Subscribe) if each.topic is EXECUTE_TRADE][-1]
        return found


def a_ledger(desk_clock: Any) -> MemoryLedger:
    """A ledger whose first start was declared."""
    ledger = MemoryLedger(clock=desk_clock)
    asyncio.run(ledger.note_surroundings(ACCOUNT, reason="", quarantined_until=None))
    return ledger


def published(ledger: MemoryLedger) -> list[TradeResult]:
    """What the outbox has, as it comes to Kafka."""
    return [row.event.payload for row in asyncio.run(ledger.unpublished(1_000))]


def opening(quote_id: str) -> TradeCommand:
    """A command that opens a shared nonce."""
    command = a_decision(a_case(demand=a_demand(quote_id=quote_id, partner_id="p", dry=True))).command
    assert command is not None
    return command


def joining(first: TradeCommand, quote_id: str, *, later: timedelta, **changes: Any) -> TradeCommand:
    """A command that joins the nonce, asked for and ending so much later."""
    assert first.nonce_group is not None
    shared = SharedNonce(
        group=first.nonce_group,
        opener=first.nonce_made_by,
        nonce=first.nonce,
        salt=first.salt,
        nonce_deadline=first.nonce_deadline,
        amount=first.amount_out,
        last_deadline=first.offer_deadline,
    )
    demand = a_demand(quote_id=quote_id, partner_id="p", dry=True)
    command = a_decision(a_case(demand=demand, desk=a_desk(sharing=Sharing(alike=shared)))).command
    assert command is not None
    assert command.nonce == first.nonce
    return msgspec.structs.replace(
        command,
        answer_by=command.answer_by + later,
        offer_deadline=command.offer_deadline + later,
        **changes,
    )
