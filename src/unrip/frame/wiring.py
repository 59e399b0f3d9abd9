"""What a service gives to the frame, and what the frame gives to a service."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, TypeVar

from unrip.domain.pairs import Pair
from unrip.frame.adapters import Adapters
from unrip.frame.asking import Ask
from unrip.frame.contract import Effect, Emit, Publish, Start
from unrip.frame.logic import Logic
from unrip.frame.metrics import Metrics
from unrip.frame.publisher import Delivery
from unrip.frame.runner import Handler
from unrip.frame.settings import Settings
from unrip.net.http import TOTAL_TIMEOUT_S, HttpClient
from unrip.net.reconnect import ReconnectPolicy
from unrip.net.websocket import Socket


class Closable(Protocol):
    """What was opened and is to be closed."""

    async def close(self) -> None:
        """End every session."""
        ...


S = TypeVar("S", bound=Closable)


@dataclass(frozen=True, kw_only=True)
class Context:
    """The frame's side of the wiring: the only source of time, ids and randomness, and the only way out."""

    settings: Settings
    pair: Pair
    #: The id of this start; observations are numbered under it.
    start_id: str
    clock: Callable[[], datetime]
    random: random.Random
    #: A fresh secret that nobody can guess.
    new_token: Callable[[], str]
    emit: Emit
    metrics: Metrics
    #: Produces one event for an outbox and reports the outcome.
    produce: Callable[[Publish, Delivery], None]
    adapters: Adapters
    #: Called when the database refused what we asked, for a reason that lies with us: another instance may try.
    leave_role: Callable[[str], None]
    #: Run work beside everything else: a fault in it ends the service, and the stop ends it.
    start: Start
    #: Close what was opened for this service at the end of a graceful stop, the last first.
    owns: Callable[[Callable[[], Awaitable[None]]], object]

    def socket(self, *, name: str, url: str, headers: Callable[[], dict[str, str]]) -> Socket:
        """A connection that is kept up; the headers are asked for anew before each attempt."""
        return Socket(
            name=name,
            url=url,
            headers=headers,
            emit=self.emit,
            clock=self.clock,
            random=self.random,
            reconnect=ReconnectPolicy(stable_after_s=self.settings.intervals.stable_after_ms / 1_000),
            count=self.metrics.count,
            connect=self.adapters.connect,
        )

    @property
    def ask(self) -> Ask:
        """For questions to the outside."""
        return Ask(start=self.start, emit=self.emit)

    def opened(self, store: S) -> S:
        """Take a store on, to be closed at the end."""
        self.owns(store.close)
        return store

    def http(self, name: str, *, total_timeout_s: float = TOTAL_TIMEOUT_S) -> HttpClient:
        """A client of one HTTP service, counted under its name."""
        client = self.adapters.http(name, count=self.metrics.count, total_timeout_s=total_timeout_s)
        self.owns(client.aclose)
        return client


@dataclass(frozen=True, kw_only=True)
class Wiring:
    """The service's side: its logic, the handlers of its effects, and what runs beside it."""

    logic: Logic
    #: The service's own effects; the frame performs those of `frame/contract.py`.
    handlers: dict[type[Effect], Handler] = field(default_factory=dict)
    #: Run until cancelled, from start to stop: sockets, readers.
    sources: Sequence[Callable[[], Awaitable[None]]] = ()
    #: Run once while stopping, after nothing is in flight any more and while the broker can still be reached.
    before_leaving: Sequence[Callable[[], Awaitable[None]]] = ()
    #: What lasts and keeps the service's own reading or publishing from working, by its name, with foreign error texts.
    troubles: Sequence[Callable[[], dict[str, str]]] = ()


Wire = Callable[[Context], Wiring]
