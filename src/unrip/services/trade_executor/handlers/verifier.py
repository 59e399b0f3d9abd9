"""The effects that ask the chain, one question of each kind at a time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from unrip.domain.verifier import VerifierFill
from unrip.frame.asking import Ask
from unrip.frame.contract import Effect
from unrip.frame.runner import Handler
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

    def __init__(self, verifier: Verifier, *, account: str, ask: Ask) -> None:
        self._verifier = verifier
        self._account = account
        self._ask = ask

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
        self._ask(partial(self._read, effect), on=RpcError, unread=lambda error: VerifierUnread(reason=str(error)))

    def read_past(self, effect: ReadPast) -> None:
        """Read older blocks."""
        self._ask(partial(self._read_past, effect), on=RpcError, unread=_past_unread)

    def read_use(self, effect: ReadUse) -> None:
        """Read the block that used a nonce."""
        self._ask(partial(self._read_use, effect), on=RpcError, unread=_past_unread)

    def read_fills(self, effect: ReadFills) -> None:
        """Read what a transaction moved for us."""
        question = partial(self._verifier.transaction_fills, effect.tx_hash, self._account)
        self._ask_fills(question, tx_hash=effect.tx_hash)

    def find_fill(self, effect: FindFill) -> None:
        """Look for the transaction that used a nonce."""
        self._ask_fills(partial(self._verifier.fills_of_use, effect.nonce, effect.height), nonce=effect.nonce)

    async def _read(self, effect: ReadVerifier) -> VerifierRead:
        reading = await self._verifier.read(nonces=effect.nonces, salts=effect.salts, elsewhere=effect.elsewhere)
        return VerifierRead(reading=reading)

    async def _read_past(self, effect: ReadPast) -> PastRead:
        beside = [offer.nonce for offer in effect.offers]
        return PastRead(readings=await self._verifier.read_past(effect.span, nonces=effect.nonces, beside=beside))

    async def _read_use(self, effect: ReadUse) -> UseRead:
        beside = [offer.nonce for offer in effect.offers]
        before, after = await self._verifier.read_use(effect.span, beside=beside, salts=effect.salts)
        return UseRead(before=before, after=after)

    def _ask_fills(
        self, question: Callable[[], Awaitable[list[VerifierFill]]], *, tx_hash: str = "", nonce: str = ""
    ) -> None:
        async def read() -> FillsRead:
            return FillsRead(tx_hash=tx_hash, fills=tuple(await question()), nonce=nonce)

        self._ask(
            read,
            on=RpcError,
            unread=lambda error: FillsUnread(reason=str(error), tx_hash=tx_hash, nonce=nonce),
        )


def _past_unread(error: RpcError) -> PastUnread:
    return PastUnread(kept=not isinstance(error, BlocksNotKept), reason=str(error))
