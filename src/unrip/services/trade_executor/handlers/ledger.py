"""The ledger effects: each is one call, and its outcome, known or unknown, returns as an event."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta
from typing import Any

from unrip.domain.attempt import TradeResult, result_id
from unrip.domain.desk_state import LedgerView
from unrip.frame.contract import Effect, Emit, Start
from unrip.frame.runner import Handler
from unrip.services.trade_executor.effects import (
    AccountElsewhere,
    ApplyReading,
    CheckHeld,
    ClaimDecided,
    ClaimOffer,
    DropAttempt,
    FindOffer,
    HeldChecked,
    LedgerLoaded,
    LedgerNoted,
    LedgerOlder,
    LedgerRefused,
    LedgerUnknown,
    Lineage,
    LoadLedger,
    NoteAttempt,
    NoteRevocation,
    NoteSurroundings,
    OfferFound,
    RejectCommand,
)
from unrip.store.errors import StoreRefused, StoreUnavailable
from unrip.store.ledger import AccountOfAnotherDesk, Ledger, LedgerWentBack, NonceEnding, NotInLedger, OutboxEvent


class LedgerHandlers:
    """Turns the executor's ledger effects into calls."""

    def __init__(
        self,
        ledger: Ledger,
        *,
        account: str,
        start: Start,
        emit: Emit,
        clock: Callable[[], datetime],
        uptime_s: Callable[[], float],
        on_outbox: Callable[[], None],
        leave_role: Callable[[str], None],
    ) -> None:
        self._ledger = ledger
        self._account = account
        self._emit = emit
        self._clock = clock
        self._uptime_s = uptime_s
        self._on_outbox = on_outbox
        self._leave_role = leave_role
        self._start = start

    @property
    def by_effect(self) -> dict[type[Effect], Handler]:
        """The method that performs each effect."""
        return {
            LoadLedger: self.load,
            CheckHeld: self.check,
            FindOffer: self.find,
            ClaimOffer: self.claim,
            RejectCommand: self.reject,
            NoteAttempt: self.note,
            NoteRevocation: self.note_revocation,
            NoteSurroundings: self.note_surroundings,
            DropAttempt: self.drop,
            ApplyReading: self.apply,
        }

    def load(self, _effect: LoadLedger) -> None:
        """Read the ledger as it stands."""
        self._call("load", self._load())

    def claim(self, effect: ClaimOffer) -> None:
        """Claim, hold and payload in one commit."""
        self._call("claim", self._claim(effect))

    def reject(self, effect: RejectCommand) -> None:
        """Record a rejection and the position in one commit."""
        self._call("claim", self._reject(effect))

    def note(self, effect: NoteAttempt) -> None:
        """Record a state of an open attempt."""
        self._call(
            "note", self._noted(self._ledger.note(self._event(effect.result, effect.lineage), after=effect.after))
        )

    def drop(self, effect: DropAttempt) -> None:
        """Record the end of an attempt of which no byte has left."""
        self._call(
            "note", self._noted(self._ledger.drop(self._event(effect.result, effect.lineage), after=effect.after))
        )

    def apply(self, effect: ApplyReading) -> None:
        """Record a final block's balances and what they release."""
        endings = [
            NonceEnding(
                nonce=ending.nonce,
                state=ending.state,
                events=tuple(self._event(result, lineage) for result, lineage in ending.results),
            )
            for ending in effect.endings
        ]
        reading = self._ledger.apply_reading(
            effect.account,
            height=effect.height,
            credited=effect.credited,
            endings=endings,
            block_time=effect.block_time,
            replaces=effect.replaces,
            after=effect.after,
        )
        self._call("note", self._noted(reading))

    def note_revocation(self, effect: NoteRevocation) -> None:
        """Record what was published to spend a nonce."""
        write = self._ledger.note_revocation(
            effect.account, nonce=effect.nonce, revocation=effect.payload, after=effect.after
        )
        self._call("note", self._noted(write))

    def note_surroundings(self, effect: NoteSurroundings) -> None:
        """Record which database the ledger is in, or a quarantine."""
        write = self._ledger.note_surroundings(
            effect.account,
            reason=effect.reason,
            quarantined_until=effect.quarantined_until,
            commits=effect.commits,
        )
        self._call("note", self._noted(write))

    def find(self, effect: FindOffer) -> None:
        """Look an offer up by its hash."""
        self._call("find", self._find(effect))

    def check(self, _effect: CheckHeld) -> None:
        """Compare counters and open holds."""
        self._call("check", self._check())

    async def _find(self, effect: FindOffer) -> None:
        offer = await self._ledger.find(self._account, effect.quote_hash)
        self._emit(OfferFound(quote_hash=effect.quote_hash, offer=offer))

    async def _check(self) -> None:
        self._emit(HeldChecked(differences=tuple(await self._ledger.check_held())))

    async def _load(self) -> None:
        state = await self._ledger.load(self._account)
        claimed_lately = await self._ledger.claimed_lately(self._account)
        self._emit(
            LedgerLoaded(
                position=state.position,
                open_offers=tuple(state.open_offers),
                view=state.view,
                revocations=state.revocations,
                doubt=state.doubt,
                claimed_lately=tuple(claimed_lately),
                quarantined_until=state.surroundings.quarantined_until if state.surroundings else None,
                believed=state.believed,
            )
        )

    async def _claim(self, effect: ClaimOffer) -> None:
        asked_s = self._uptime_s()
        outcome = await self._ledger.claim(
            effect.offer,
            position=effect.position,
            generation=effect.generation,
            event=self._event(effect.result, effect.lineage),
            perhaps_sent=effect.perhaps_sent,
            after=effect.after,
        )
        took = timedelta(seconds=self._uptime_s() - asked_s)
        self._emit(ClaimDecided(command_id=effect.offer.command_id, kind=outcome.kind, view=outcome.view, took=took))
        self._on_outbox()

    async def _reject(self, effect: RejectCommand) -> None:
        outcome = await self._ledger.reject(
            effect.command,
            position=effect.position,
            event=self._event(effect.result, effect.lineage),
            after=effect.after,
        )
        self._emit(ClaimDecided(command_id=effect.command.command_id, kind=outcome.kind, view=outcome.view))
        self._on_outbox()

    async def _noted(self, write: Coroutine[Any, Any, LedgerView]) -> None:
        self._emit(LedgerNoted(view=await write))
        self._on_outbox()

    def _event(self, result: TradeResult, lineage: Lineage) -> OutboxEvent:
        return OutboxEvent(
            event_id=result_id(result.command_id, result.state, reason=result.reason),
            correlation_id=lineage.correlation_id,
            causation_id=lineage.causation_id,
            observed_at=self._clock(),
            stages=lineage.stages,
            result=result,
        )

    def _call(self, call: str, work: Coroutine[Any, Any, None]) -> None:
        async def told() -> None:
            try:
                await work
            except StoreUnavailable as error:
                self._emit(LedgerUnknown(call=call, reason=str(error)))
            except AccountOfAnotherDesk as error:
                self._emit(AccountElsewhere(call=call, reason=str(error)))
            except LedgerWentBack:
                self._emit(LedgerOlder(call=call, reason="ledger_went_back"))
            except NotInLedger:
                self._emit(LedgerOlder(call=call, reason="ledger_lacks_an_offer"))
            except StoreRefused as error:
                self._emit(LedgerRefused(call=call, reason=str(error)))
                self._leave_role(str(error))

        self._start(told())
