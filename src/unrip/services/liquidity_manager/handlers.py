"""Reading the bridge: calls whose outcomes return as events."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from unrip.frame.contract import Emit
from unrip.net.tasks import Tasks
from unrip.services.liquidity_manager.effects import ChainRead, ChainUnread, ReadChain
from unrip.venues.near_intents.bridge import Bridge, BridgeError


class ChainReader:
    """Ask the bridge about one chain at a time."""

    def __init__(self, bridge: Bridge, *, emit: Emit, clock: Callable[[], datetime]) -> None:
        self._bridge = bridge
        self._emit = emit
        self._clock = clock
        self._tasks = Tasks()

    def read(self, effect: ReadChain) -> None:
        """Start reading."""
        self._tasks.start(self._read(effect.chain))

    async def watch(self) -> None:
        """Raise the fault of a call that ended otherwise than it should: a source for the frame."""
        await self._tasks.watch()

    async def aclose(self) -> None:
        """Give up what is under way."""
        await self._tasks.aclose()

    async def _read(self, chain: str) -> None:
        """Read everything about the chain, or nothing: half an answer would look like a change."""
        observed_at = self._clock()
        try:
            answer = ChainRead(
                chain=chain,
                address=await self._bridge.deposit_address(chain),
                tokens=await self._bridge.supported_tokens(chain),
                deposits=await self._bridge.recent_deposits(chain),
                withdrawals=await self._bridge.recent_withdrawals(chain),
                observed_at=observed_at,
            )
        except BridgeError as error:
            self._emit(ChainUnread(chain=chain, reason=str(error)))
        else:
            self._emit(answer)
