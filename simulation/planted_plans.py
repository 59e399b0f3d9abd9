"""More mistakes that only a plan shows: who asks but once, believes too soon, or takes the unknown for a no."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from unittest.mock import patch

import msgspec

from simulation.planted import Patches, Planted, Trusting, passes, patched
from simulation.planted_relay import released_without_a_reply
from unrip.domain.attempt import AttemptState, ChainEvidence, Drop
from unrip.domain.decision import Refusal
from unrip.domain.evidence import Lapsed, Promise
from unrip.domain.verifier import VerifierFill, VerifierReading
from unrip.frame.contract import Effect
from unrip.net.http import HttpClient, HttpUnavailable
from unrip.net.websocket import Socket
from unrip.services.trade_executor.effects import RevocationPublished
from unrip.services.trade_executor.offers import book
from unrip.services.trade_executor.offers.book import Book
from unrip.services.trade_executor.offers.chain_watch import ChainWatch
from unrip.services.trade_executor.offers.relay_traffic import RelayTraffic
from unrip.services.trade_executor.offers.revocations import Revocations
from unrip.services.trade_executor.results import result_of_offer
from unrip.venues.near_intents import bridge
from unrip.venues.near_intents.relay import Malformed, RelaySession, StatusNotice
from unrip.venues.near_intents.rpc import RpcUnavailable
from unrip.venues.near_intents.verifier import Verifier

#: What an impatient one waits for a reply or a notice beyond the product's own time.
_PATIENCE = timedelta(seconds=5)
#: A block that is older than this by our own clock is dated by the clock.
_OLDEST = timedelta(seconds=15)


# --- who is asked, and how often --------------------------------------------------------------------------------------


def _asks_until_nobody_answers() -> Patches:
    def make(original: Any) -> Any:
        async def ask(self: HttpClient, build: Callable[[], Any]) -> Any:
            if getattr(self, "given_up", False):
                raise HttpUnavailable(f"{self.name}: it did not answer once")
            try:
                return await original(self, build)
            except HttpUnavailable:
                self.given_up = True  # type: ignore[attr-defined]
                raise

        return ask

    return [patched(HttpClient, "_ask", make)]


def _opens_but_once() -> Patches:
    async def run(self: Socket) -> None:
        await self._connect_once()

    return [patch.object(Socket, "run", run)]


def _last_answer_again() -> Patches:
    """A view that nobody answers is answered as it was before."""

    def make(original: Any) -> Any:
        async def view(self: Verifier, rpc: Any, method: str, arguments: dict[str, Any], *, height: int) -> Any:
            known: dict[str, Any] = self.__dict__.setdefault("known", {})
            place = f"{method}/{sorted(arguments.items())}"
            try:
                known[place] = await original(self, rpc, method, arguments, height=height)
            except RpcUnavailable:
                if place not in known:
                    raise
            return known[place]

        return view

    return [patched(Verifier, "_view", make)]


# --- what is believed about an offer ----------------------------------------------------------------------------------


def _only_notices_count() -> Patches:
    def make(original: Any) -> Any:
        def judged(self: Book, reading: VerifierReading) -> Any:
            named = {each.offer.nonce for each in self.offers() if each.named}
            told = {nonce: used for nonce, used in reading.nonces.items() if not used or nonce in named}
            return original(self, msgspec.structs.replace(reading, nonces=told))

        return judged

    return [patched(Book, "judged", make)]


def _our_clock_dates_blocks() -> Patches:
    def make(original: Any) -> Any:
        def on_believed(self: ChainWatch, reading: VerifierReading, replaces: str | None, now: datetime) -> Any:
            dated = msgspec.structs.replace(reading, block_time=max(reading.block_time, now - _OLDEST))
            return original(self, dated, replaces, now)

        return on_believed

    return [patched(ChainWatch, "_on_believed", make)]


def _another_salt_ends() -> Patches:
    def make(original: Any) -> Any:
        def judge(promise: Promise, block: VerifierReading, **named: Any) -> Any:
            if block.nonces[promise.nonce] or block.salt == promise.offers[0].salt:
                return original(promise, block, **named)
            evidence = ChainEvidence(
                height=block.height,
                block_time=block.block_time,
                nonce_used=False,
                salt_valid=False,
                salt_valid_at=block.height - 1,
            )
            return Lapsed(evidence=evidence)

        return judge

    return [patched(book, "judge", make)]


def _named_is_settled() -> Patches:
    """A notice's word that it settled an offer is taken, and what the transaction says is not read."""

    def make(original: Any) -> Any:
        def on_notice(self: RelayTraffic, notice: StatusNotice, *rest: Any) -> list[Effect]:
            effects: list[Effect] = original(self, notice, *rest)
            if notice.tx_hash is not None:
                self._book.take_fill(
                    VerifierFill(quote_hash=notice.quote_hash, tx_hash=notice.tx_hash, diff=None, nonce=None)
                )
            return effects

        return on_notice

    return [patched(RelayTraffic, "_on_notice", make)]


def _published_is_revoked() -> Patches:
    def make(original: Any) -> Any:
        def on_event(self: Revocations, event: Any, now: datetime) -> list[Effect]:
            effects: list[Effect] = original(self, event, now)
            live = self._book.nonces.get(event.nonce)
            if isinstance(event, RevocationPublished) and live is not None:
                for each in live.open:
                    result = result_of_offer(each.offer, AttemptState.DROPPED, reason=Drop.SOCKET_GONE)
                    effects = [*effects, *self._book.drop(each, result, now)]
            return effects

        return on_event

    return [patched(Revocations, "on_event", make)]


def _seen_is_finished() -> Patches:
    def make(original: Any) -> Any:
        def read(entry: dict[str, Any]) -> Any:
            return msgspec.structs.replace(original(entry), finished=True)

        return read

    return [patched(bridge, "_withdrawal", make)]


def _every_frame_is_whole() -> Patches:
    def make(original: Any) -> Any:
        def receive(self: RelaySession, frame: str) -> Any:
            said = original(self, frame)
            if isinstance(said, Malformed):
                raise TypeError(said.reason)
            return said

        return receive

    return [patched(RelaySession, "receive", make)]


#: By a short name, in the order of docs/simulation.md.
UNDER_PLANS = {
    "asks-once": Planted(
        mistake="who got no answer once asks no more",
        patches=_asks_until_nobody_answers,
        under={
            "rpc/down": 1,
            "rpc/mute": 1,
            "lost_answer": 1,
            "bridge/down": 1,
            "bridge/mute": 2,
            "coingecko/down": 2,
            "coingecko/mute": 1,
        },
        breaks=("recovery",),
    ),
    "opens-once": Planted(
        mistake="a socket that was closed is not opened again",
        patches=_opens_but_once,
        under={"relay/down": 1, "relay/disconnect": 1, "kraken/disconnect": 1, "cut": 1, "half_open": 1},
        breaks=("recovery",),
    ),
    "same-again": Planted(
        mistake="a view that nobody answers is answered as it was before",
        patches=_last_answer_again,
        under={"lost_question": 1},
        breaks=("credited", "evidence", "moved"),
    ),
    "impatient": Planted(
        mistake="a hold is released five seconds after the relay should have replied",
        patches=lambda: released_without_a_reply(lambda _, silent_at: silent_at + _PATIENCE),
        make_ledger=Trusting,
        under={"relay/mute": 1},
        breaks=("evidence",),
    ),
    "deaf": Planted(
        mistake="a nonce counts as used once a notice names its transaction",
        patches=_only_notices_count,
        under={"relay/drop_status": 1},
        breaks=("class",),
    ),
    "own-clock": Planted(
        mistake="a block that seems old is dated by our own clock",
        patches=_our_clock_dates_blocks,
        make_ledger=Trusting,
        under={"clock_off": 3},
        breaks=("evidence",),
    ),
    "garbled": Planted(
        mistake="every frame of the relay is one that can be read",
        patches=_every_frame_is_whole,
        under={"relay/malformed_frame": 1},
        breaks=("recovery",),
    ),
    "taken-back": Planted(
        mistake="a revocation that was published has taken its offers back",
        patches=_published_is_revoked,
        make_ledger=Trusting,
        under={"revoke": 2},
        breaks=("evidence",),
    ),
    "other-salt": Planted(
        mistake="an offer whose salt is not the newest one is over",
        patches=_another_salt_ends,
        make_ledger=Trusting,
        under={"verifier/rotate_salt": 1},
        breaks=("evidence",),
    ),
    "named": Planted(
        mistake="a notice's transaction is what settled an offer",
        patches=_named_is_settled,
        make_ledger=Trusting,
        under={"relay/wrong_status_tx": 1},
        breaks=("moved",),
    ),
    "closed": Planted(
        mistake="nobody asks whether the contract is paused or the account locked",
        patches=lambda: [passes(Refusal.KEY_NOT_REGISTERED, Refusal.VENUE_PAUSED)],
        under={"verifier/lock": 1, "verifier/pause": 5},
        breaks=("closed",),
    ),
    "paid-out": Planted(
        mistake="a withdrawal that the bridge has seen is told as finished",
        patches=_seen_is_finished,
        under={"bridge_withdrawal": 1},
        breaks=("moved",),
    ),
}
