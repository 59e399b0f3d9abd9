"""Mistakes about the relay that only a plan shows: what it says and keeps to itself, and who else has our bytes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from unittest.mock import patch

import msgspec

from simulation.planted import Patches, Planted, Trusting, patched, settled_by_word
from unrip.domain.attempt import ChainEvidence, Drop
from unrip.domain.evidence import Alive, Settled, Verdict, Voided, Wait
from unrip.domain.verifier import VerifierReading
from unrip.frame.contract import Effect, SetTimer
from unrip.net.reconnect import Cause
from unrip.net.websocket import Socket
from unrip.services.trade_executor.offers.book import Book
from unrip.services.trade_executor.offers.nonce import LiveNonce
from unrip.services.trade_executor.offers.relay_traffic import RelayTraffic

#: How long a word of the relay is waited for, or left to stand, before it counts.
_LONG_ENOUGH = timedelta(seconds=5)
_A_SECOND = timedelta(seconds=1)
#: How long after its window's end an answer is taken, if it is.
_TAKEN_WITHIN = timedelta(seconds=10)


def _refused_for_good() -> Patches:
    def make(original: Any) -> Any:
        async def connect_once(self: Socket) -> Cause:
            cause: Cause = await original(self)
            if cause is Cause.SERVER_ERROR:
                await asyncio.Event().wait()
            return cause

        return connect_once

    return [patched(Socket, "_connect_once", make)]


def released_without_a_reply(at: Callable[[datetime, datetime], datetime]) -> Patches:
    """An offer is given up where no reply came until `at`: it is given when it was sent, and when silence begins."""

    def timed(original: Any) -> Any:
        def send(self: RelayTraffic, claim: Any, now: datetime, **named: Any) -> list[Effect]:
            return [
                msgspec.structs.replace(effect, at=at(now, effect.at)) if isinstance(effect, SetTimer) else effect
                for effect in original(self, claim, now, **named)
            ]

        return send

    def on_reply_timer(self: RelayTraffic, command_id: str, now: datetime) -> list[Effect]:
        live = self._book.offer(command_id)
        if live is None or live.closing or not live.awaits_reply:
            return []
        return self._drop(live, Drop.SOCKET_GONE, now)

    return [patched(RelayTraffic, "send", timed), patch.object(RelayTraffic, "on_reply_timer", on_reply_timer)]


def _twice_is_true() -> Patches:
    def make(original: Any) -> Any:
        def on_notice(self: RelayTraffic, notice: Any, *rest: Any) -> list[Effect]:
            effects: list[Effect] = original(self, notice, *rest)
            heard: set[str] = self.__dict__.setdefault("heard", set())
            live = self._book.by_quote_hash(notice.quote_hash)
            if live is None or notice.quote_hash not in heard:
                heard.add(notice.quote_hash)
                return effects
            return [*effects, *settled_by_word(self, live)]

        return on_notice

    return [patched(RelayTraffic, "_on_notice", make)]


def _old_notices_are_true() -> Patches:
    def make(original: Any) -> Any:
        def judged(self: Book, reading: VerifierReading) -> dict[str, Verdict]:
            verdicts: dict[str, Verdict] = original(self, reading)
            for nonce, verdict in verdicts.items():
                named = next((each for each in self.nonces[nonce].open if each.named), None)
                if named is None or not isinstance(verdict, Alive):
                    continue
                since = self.__dict__.setdefault("named_since", {}).setdefault(nonce, reading.block_time)
                if reading.block_time - since > _LONG_ENOUGH:
                    told = ChainEvidence(
                        height=reading.height, block_time=reading.block_time, nonce_used=True, salt_valid=True
                    )
                    verdicts[nonce] = Settled(taker=named.offer, evidence=told)
            return verdicts

        return judged

    return [patched(Book, "judged", make)]


Doubt = Callable[[Book, LiveNonce, Settled, datetime], Verdict]


def _settled_but(doubt: Doubt) -> Patches:
    """What evidence shows to be settled is doubted, by a reading of this time."""

    def doubted(book: Book, live: LiveNonce, verdict: Verdict, now: datetime) -> Verdict:
        return doubt(book, live, verdict, now) if isinstance(verdict, Settled) else verdict

    def newest(original: Any) -> Any:
        def judged(self: Book, reading: VerifierReading) -> dict[str, Verdict]:
            verdicts: dict[str, Verdict] = original(self, reading)
            return {
                nonce: doubted(self, self.nonces[nonce], verdict, reading.block_time)
                for nonce, verdict in verdicts.items()
            }

        return judged

    def past(original: Any) -> Any:
        def judged_by_past(self: Book, live: LiveNonce, *rest: Any, newest: datetime, **named: Any) -> Verdict:
            return doubted(self, live, original(self, live, *rest, newest=newest, **named), newest)

        return judged_by_past

    return [patched(Book, "judged", newest), patched(Book, "judged_by_past", past)]


def _untold(book: Book, live: LiveNonce, verdict: Settled, now: datetime) -> Verdict:
    if any(each.named for each in live.offers.values()):
        return verdict
    since = book.__dict__.setdefault("used_since", {}).setdefault(live.nonce, now)
    return Voided(evidence=verdict.evidence) if now - since > _LONG_ENOUGH else Wait()


def _too_late(book: Book, live: LiveNonce, verdict: Settled, now: datetime) -> Verdict:
    since = book.__dict__.setdefault("used_since", {}).setdefault(live.nonce, now)
    late = since - verdict.taker.answer_by > _TAKEN_WITHIN
    return Voided(evidence=verdict.evidence) if late else verdict


#: By a short name, in the order of docs/simulation.md.
ON_THE_RELAY = {
    "refused-for-good": Planted(
        mistake="a handshake that was refused is not tried again",
        patches=_refused_for_good,
        under={"relay/refuse_handshake": 1},
        beside=("relay/disconnect",),
        breaks=("recovery",),
    ),
    "a-second": Planted(
        mistake="a hold is released when the relay has not replied within a second",
        patches=lambda: released_without_a_reply(lambda sent_at, _: sent_at + _A_SECOND),
        make_ledger=Trusting,
        under={"relay/slow_ms": 1, "relay/lose_replies": 1},
        breaks=("evidence",),
    ),
    "told-twice": Planted(
        mistake="a notice that comes again confirms itself, and ends its offer",
        patches=_twice_is_true,
        make_ledger=Trusting,
        under={"relay/duplicate_status": 1},
        breaks=("evidence", "sum"),
    ),
    "told-before": Planted(
        mistake="a notice counts as true once nothing has spoken against it for five seconds",
        patches=_old_notices_are_true,
        make_ledger=Trusting,
        under={"relay/false_status": 2},
        breaks=("evidence",),
    ),
    "untold": Planted(
        mistake="what used a nonce was another tool of ours, unless a notice tells of it within five seconds",
        patches=lambda: _settled_but(_untold),
        make_ledger=Trusting,
        under={"relay/leak": 1},
        breaks=("evidence",),
    ),
    "too-late": Planted(
        mistake="what used a nonce was another tool of ours, where that shows more than ten seconds after the auction",
        patches=lambda: _settled_but(_too_late),
        make_ledger=Trusting,
        under={"relay/withhold_settlement": 1, "relay/stranger": 4, "relay/delay_status_ms": 1},
        breaks=("evidence",),
    ),
}
