"""Open offers and what one final block says about them."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import msgspec

from unrip.domain.attempt import AttemptState, ChainEvidence, Offer, TradeResult
from unrip.domain.values import Delta
from unrip.domain.verifier import VerifierFill, VerifierReading
from unrip.services.trade_executor.effects import Chain, Ending
from unrip.services.trade_executor.results import result_of_offer

#: The first question about an offer comes this long after its deadline: a final block lags by a few seconds.
FINALITY_ALLOWANCE = timedelta(seconds=3)
#: Settlements remembered to explain a fall of the balance since a snapshot.
SETTLED_KEPT = 1_000


@dataclass
class Followed:
    """An open offer with what is known of it."""

    offer: Offer
    chain: Chain
    #: Ask about it at the next read, whatever its deadline: after a start or a reconnect.
    ask_now: bool = False
    #: A notice says that it settled: ask at every read until a final block shows it.
    noticed: bool = False
    #: It was open before this start or this connection, and no final block was asked about it since.
    unrecovered: bool = False
    #: The answer as sent; the relay's reply to it is awaited.
    frame: str = ""
    awaits_reply: bool = False
    tx_hash: str | None = None
    diff: dict[str, Delta] | None = None
    #: Its ending is being written.
    ending: bool = False


@dataclass
class OpenOffers:
    """Every offer that may still settle, by command."""

    by_command: dict[str, Followed] = field(default_factory=dict)
    #: (height, asset, amount) of settlements since the start.
    settled: deque[tuple[int, str, int]] = field(default_factory=lambda: deque(maxlen=SETTLED_KEPT))

    def add(self, followed: Followed) -> None:
        """Follow an offer to its end."""
        self.by_command.setdefault(followed.offer.command_id, followed)

    def claimed(self, followed: Followed) -> None:
        """Follow an offer that was just claimed; a reading of the ledger in between knows less of it than we do."""
        self.by_command[followed.offer.command_id] = followed

    def by_quote_hash(self, quote_hash: str) -> Followed | None:
        """The open offer with this hash."""
        return next((each for each in self.by_command.values() if each.offer.quote_hash == quote_hash), None)

    def ask_about_all(self) -> None:
        """On a new connection every open offer is asked about: notices of the time before it may be lost."""
        for followed in self.by_command.values():
            followed.ask_now = followed.unrecovered = True

    def asked_about(self, nonces: Collection[str]) -> None:
        """A final block was asked about these."""
        for followed in self.by_command.values():
            if followed.offer.nonce in nonces:
                followed.ask_now = followed.unrecovered = False

    def unrecovered(self) -> int:
        """Offers of an earlier life or connection that no final block was asked about yet."""
        return sum(followed.unrecovered and not followed.ending for followed in self.by_command.values())

    def due(self, now: datetime) -> list[Followed]:
        """The offers to ask about: asked for, noticed, or past their deadline by the finality allowance."""
        return [
            followed
            for followed in self.by_command.values()
            if not followed.ending
            and (followed.ask_now or followed.noticed or now >= followed.offer.offer_deadline + FINALITY_ALLOWANCE)
        ]

    def explained_fall(self, asset_id: str, since_height: int) -> int:
        """What open offers and settlements after a height may have taken of an asset."""
        promised = sum(
            followed.offer.amount_out for followed in self.by_command.values() if followed.offer.asset_out == asset_id
        )
        taken = sum(amount for height, asset, amount in self.settled if asset == asset_id and height > since_height)
        return promised + taken

    def note_fills(self, tx_hash: str, fills: tuple[VerifierFill, ...]) -> None:
        """Keep what a transaction moved for the offers it settled."""
        for fill in fills:
            followed = self.by_quote_hash(fill.quote_hash)
            if followed is not None:
                followed.tx_hash, followed.diff = tx_hash, fill.diff

    def endings(self, reading: VerifierReading, now: datetime) -> tuple[Ending, ...]:
        """The nonces that this block ends, marked as being written."""
        by_nonce: dict[str, list[Followed]] = {}
        for followed in self.by_command.values():
            if followed.offer.nonce in reading.nonces and not followed.ending:
                by_nonce.setdefault(followed.offer.nonce, []).append(followed)
        found = (_ending(nonce, offers, reading, now) for nonce, offers in by_nonce.items())
        return tuple(ending for ending in found if ending is not None)

    def ended(self, ending: Ending, height: int) -> list[Followed]:
        """Forget the offers of an ending that is committed."""
        gone = [self.by_command.pop(result.command_id) for result, _chain in ending.results]
        if ending.state is AttemptState.SETTLED:
            self.settled.extend((height, followed.offer.asset_out, followed.offer.amount_out) for followed in gone)
        return gone


def _ending(nonce: str, offers: list[Followed], reading: VerifierReading, now: datetime) -> Ending | None:
    """What the block says about one nonce, None when it leaves the offers open.

    Dead is: unused, salt valid, at a final block after the last deadline of its offers and not after the nonce's own
    deadline, since the contract erases used nonces after that (blueprint, principle 3).
    """
    evidence = ChainEvidence(
        height=reading.height,
        block_time=reading.block_time,
        nonce_used=reading.nonces[nonce],
        salt_valid=reading.salts.get(offers[0].offer.salt, False),
    )
    last_deadline = max(followed.offer.offer_deadline for followed in offers)
    if evidence.nonce_used:
        state = AttemptState.SETTLED
    elif evidence.salt_valid and last_deadline < reading.block_time <= offers[0].offer.nonce_deadline:
        state = AttemptState.LAPSED
    else:
        return None
    results: list[tuple[TradeResult, Chain]] = []
    for followed in offers:
        followed.ending = True
        own = msgspec.structs.replace(evidence, tx_hash=followed.tx_hash, diff=followed.diff)
        chain = msgspec.structs.replace(followed.chain, stages={**followed.chain.stages, state.value: now})
        results.append((result_of_offer(followed.offer, state, evidence=own), chain))
    return Ending(nonce=nonce, state=state, results=tuple(results))
