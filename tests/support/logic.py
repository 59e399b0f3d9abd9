"""The shipped pair and a clock that only moves when told, for tests of pure logic."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from unrip.domain.pairs import Asset, Pair
from unrip.frame.contract import Control, Effect, Log, Publish
from unrip.frame.logic import Logic

T0 = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
BTC = "nep141:btc.omft.near"
EURE = "nep141:gnosis-0x420ca0f9b9b604ce0fd9c18ef134c705e5fa3430.omft.near"
PAIR = Pair(
    base=Asset(symbol="BTC", asset_id=BTC, decimals=8, chain="btc:mainnet"),
    quote=Asset(symbol="EURe", asset_id=EURE, decimals=18, chain="eth:100"),
)

E = TypeVar("E")


def after(**units: float) -> datetime:
    """An instant so long after the start."""
    return T0 + timedelta(**units)


def of(kind: type[E], effects: Iterable[Effect]) -> list[E]:
    """The effects of a kind."""
    return [effect for effect in effects if isinstance(effect, kind)]


def published(effects: Iterable[Effect], topic: str) -> list[Publish]:
    """The records that go to a topic."""
    return [effect for effect in of(Publish, effects) if effect.topic.name == topic]


def lines(effects: Iterable[Effect]) -> list[str]:
    """The names of the log lines."""
    return [line.event for line in of(Log, effects)]


def act(logic: Logic, action: str, now: datetime = T0, **arguments: Any) -> list[Effect]:
    """An operator's action."""
    control = Control(action=action, arguments=arguments, actor="operator", reason="test")
    return list(logic.on_event(control, now))
