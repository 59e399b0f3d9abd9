"""Reading the bridge: calls whose outcomes return as events."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial

from unrip.frame.asking import Ask
from unrip.services.liquidity_manager.effects import ChainRead, ChainUnread, ReadChain
from unrip.venues.near_intents.bridge import Bridge, BridgeError


class ChainReader:
    """Ask the bridge about one chain at a time."""

    def __init__(self, bridge: Bridge, *, ask: Ask, clock: Callable[[], datetime]) -> None:
        self._bridge = bridge
        self._ask = ask
        self._clock = clock

    def read(self, effect: ReadChain) -> None:
        """Start reading."""
        self._ask(
            partial(self._read, effect.chain),
            on=BridgeError,
            unread=lambda error: ChainUnread(chain=effect.chain, reason=str(error)),
        )

    async def _read(self, chain: str) -> ChainRead:
        """Read everything about the chain, or nothing: half an answer would look like a change."""
        observed_at = self._clock()
        return ChainRead(
            chain=chain,
            address=await self._bridge.deposit_address(chain),
            tokens=await self._bridge.supported_tokens(chain),
            deposits=await self._bridge.recent_deposits(chain),
            withdrawals=await self._bridge.recent_withdrawals(chain),
            observed_at=observed_at,
        )
