"""Effects and events that only this service knows."""

from __future__ import annotations

from datetime import datetime

from unrip.domain.treasury import BridgeDeposit, BridgeToken, BridgeWithdrawal
from unrip.domain.values import Value


class ReadChain(Value):
    """Effect: ask the bridge everything about one chain; `ChainRead` or `ChainUnread` follows."""

    chain: str


class ChainRead(Value):
    """The bridge's answers about one chain."""

    chain: str
    address: str
    tokens: tuple[BridgeToken, ...]
    deposits: tuple[BridgeDeposit, ...]
    withdrawals: tuple[BridgeWithdrawal, ...]
    observed_at: datetime


class ChainUnread(Value):
    """The bridge could not be asked about a chain; what was known grows old."""

    chain: str
    reason: str
