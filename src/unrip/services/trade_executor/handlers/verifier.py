"""The effects that ask the chain, one question of each kind at a time."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from unrip.domain.verifier import VerifierFill
from unrip.frame.contract import Effect, Emit
from unrip.frame.runner import Handler
from unrip.net.tasks import Tasks
from unrip.services.trade_executor.effects import (
    FillsRead,
    FillsUnread,
    FindFill,
    PastRead,
    PastUnread,
    ReadFills,
    ReadPast,
    ReadUse,
    ReadVerifier,
    UseRead,
    VerifierRead,
    VerifierUnread,
)
from unrip.venues.near_intents.past import BlocksNotKept
from unrip.venues.near_intents.rpc import RpcError
from unrip.venues.near_intents.verifier import Verifier


class VerifierHandlers:
    """Turns the executor's questions into calls and their outcomes into events."""

    def __init__(self, verifier: Verifier, *, account: str, emit: Emit) -> None:
        self._verifier = verifier
        self._account = account
        self._emit = emit
        self._tasks = Tasks()

    @property
    def by_effect(self) -> dict[type[Effect], Handler]:
        """The method that performs each effect."""
        return {
            ReadVerifier: self.read,
            ReadPast: self.read_past,
            ReadUse: self.read_use,
            ReadFills: self.read_fills,
            FindFill: self.find_fill,
        }

    def read(self, effect: ReadVerifier) -> None:
        """Read one final block."""
        self._tasks.start(self._read(effect))

    def read_past(self, effect: ReadPast) -> None:
        """Read older blocks."""
        self._tasks.start(self._read_past(effect))

    def read_use(self, effect: ReadUse) -> None:
        """Read the block that used a nonce."""
        self._tasks.start(self._read_use(effect))

    def read_fills(self, effect: ReadFills) -> None:
        """Read what a transaction moved for us."""
        question = self._verifier.transaction_fills(effect.tx_hash, self._account)
        self._tasks.start(self._read_fills(question, tx_hash=effect.tx_hash))

    def find_fill(self, effect: FindFill) -> None:
        """Look for the transaction that used a nonce."""
        question = self._verifier.fills_of_use(effect.nonce, effect.height)
        self._tasks.start(self._read_fills(question, nonce=effect.nonce))

    async def watch(self) -> None:
        """Raise the fault of a question that ended otherwise than it should: a source for the frame."""
        await self._tasks.watch()

    async def _read(self, effect: ReadVerifier) -> None:
        try:
            reading = await self._verifier.read(nonces=effect.nonces, salts=effect.salts, elsewhere=effect.elsewhere)
        except RpcError as error:
            self._emit(VerifierUnread(reason=str(error)))
        else:
            self._emit(VerifierRead(reading=reading))

    async def _read_past(self, effect: ReadPast) -> None:
        beside = [offer.nonce for offer in effect.offers]
        try:
            readings = await self._verifier.read_past(effect.span, nonces=effect.nonces, beside=beside)
        except RpcError as error:
            self._emit(PastUnread(kept=not isinstance(error, BlocksNotKept), reason=str(error)))
        else:
            self._emit(PastRead(readings=readings))

    async def _read_use(self, effect: ReadUse) -> None:
        beside = [offer.nonce for offer in effect.offers]
        try:
            before, after = await self._verifier.read_use(effect.span, beside=beside, salts=effect.salts)
        except RpcError as error:
            self._emit(PastUnread(kept=not isinstance(error, BlocksNotKept), reason=str(error)))
        else:
            self._emit(UseRead(before=before, after=after))

    async def _read_fills(
        self, question: Coroutine[Any, Any, list[VerifierFill]], *, tx_hash: str = "", nonce: str = ""
    ) -> None:
        try:
            fills = await question
        except RpcError as error:
            self._emit(FillsUnread(reason=str(error), tx_hash=tx_hash, nonce=nonce))
        else:
            self._emit(FillsRead(tx_hash=tx_hash, fills=tuple(fills), nonce=nonce))
