"""Reading verifier and bridge, and the books in PostgreSQL: calls whose outcomes return as events."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial

from unrip.frame.asking import Ask
from unrip.frame.contract import Emit, Start
from unrip.services.inventory_sync.effects import (
    BooksPersisted,
    BooksRestored,
    BridgeRead,
    BridgeUnread,
    PersistBooks,
    ReadBridge,
    ReadVerifier,
    RestoreBooks,
    VerifierRead,
    VerifierUnread,
)
from unrip.store.books import BooksStore
from unrip.venues.near_intents.bridge import Bridge, BridgeError
from unrip.venues.near_intents.rpc import RpcError
from unrip.venues.near_intents.verifier import Verifier


class Readings:
    """Read the verifier, and the bridge's movements on all chains."""

    def __init__(
        self,
        verifier: Verifier,
        bridge: Bridge,
        *,
        chains: Sequence[str],
        ask: Ask,
        clock: Callable[[], datetime],
    ) -> None:
        self._verifier = verifier
        self._bridge = bridge
        self._chains = tuple(chains)
        self._ask = ask
        self._clock = clock

    def read_verifier(self, effect: ReadVerifier) -> None:
        """Start reading the verifier."""
        self._ask(partial(self._read_verifier, effect), on=RpcError, unread=lambda e: VerifierUnread(reason=str(e)))

    def read_bridge(self, _effect: ReadBridge) -> None:
        """Start reading the bridge."""
        self._ask(self._read_bridge, on=BridgeError, unread=lambda e: BridgeUnread(reason=str(e)))

    async def _read_verifier(self, effect: ReadVerifier) -> VerifierRead:
        return VerifierRead(reading=await self._verifier.read(elsewhere=effect.elsewhere))

    async def _read_bridge(self) -> BridgeRead:
        """Read all chains or nothing: a sum without one of them would be wrong."""
        observed_at = self._clock()
        deposits = [found for chain in self._chains for found in await self._bridge.recent_deposits(chain)]
        withdrawals = [found for chain in self._chains for found in await self._bridge.recent_withdrawals(chain)]
        return BridgeRead(deposits=tuple(deposits), withdrawals=tuple(withdrawals), observed_at=observed_at)


class BooksHandlers:
    """Restores and persists the books of one account."""

    def __init__(self, store: BooksStore, *, account: str, start: Start, emit: Emit) -> None:
        self._store = store
        self._account = account
        self._emit = emit
        self._start = start

    def recall(self, _effect: RestoreBooks) -> None:
        """Start restoring."""
        self._start(self._recall())

    def keep(self, effect: PersistBooks) -> None:
        """Start persisting."""
        self._start(self._keep(effect))

    async def _recall(self) -> None:
        self._emit(BooksRestored(found=await self._store.recall(self._account)))

    async def _keep(self, effect: PersistBooks) -> None:
        outcome = await self._store.keep(self._account, effect.kept, effect.judged, revision=effect.revision)
        self._emit(BooksPersisted(outcome=outcome))
