"""Everything a decision looks at, worked out once: the reference price, the proposal and its numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import cached_property

from unrip.domain.demand import SwapDemand
from unrip.domain.desk_state import DeskState
from unrip.domain.inventory import IntentInventory
from unrip.domain.pairs import Direction, Pair
from unrip.domain.pricing import Proposal, gross_edge, notional_eur, propose, required_edge, spent_units, value_eur
from unrip.domain.reference import Observed, Reference
from unrip.domain.sharing import POOLS_MAX, NonceChoice, choose_nonce
from unrip.domain.values import AMOUNT_MAX, MONEY, age_ms, epoch_ms, from_epoch_ms


@dataclass(frozen=True, kw_only=True)
class Case(Reference):
    """One demand with all that was known at `now`. Derived numbers are None where an input is missing."""

    demand: SwapDemand
    pair: Pair
    inventory: Observed[IntentInventory] | None
    desk: DeskState

    @cached_property
    def edge_threshold(self) -> Decimal:
        """The least gross edge, wider where CoinGecko stands in for Kraken."""
        return MONEY.add(self.policy.edge_threshold, self._edge_added)

    @cached_property
    def _edge_added(self) -> Decimal:
        return self.policy.fallback_edge if self.price_fallback else Decimal(0)

    @cached_property
    def inventory_age_ms(self) -> int | None:
        """Age of the snapshot by its block's time or ours, whichever is older."""
        if self.inventory is None:
            return None
        return age_ms(self.now, self.inventory.observed_at, self.inventory.value.block_time)

    @cached_property
    def window_left_ms(self) -> int:
        """Time until the answer must be on the wire."""
        return (self.demand.answer_by - self.now) // timedelta(milliseconds=1)

    @cached_property
    def offer_deadline(self) -> datetime:
        """Now in whole milliseconds, plus what the taker asks for, plus the margin for clocks and transit."""
        return from_epoch_ms(epoch_ms(self.now) + self.demand.min_deadline_ms + self.policy.deadline_margin_ms)

    @cached_property
    def demand_is_valid(self) -> bool:
        """Exactly one positive amount that the venue can carry, a positive life, and the assets of its direction."""
        given = [amount for amount in (self.demand.amount_in, self.demand.amount_out) if amount is not None]
        return (
            len(given) == 1
            and 0 < given[0] <= AMOUNT_MAX
            and self.demand.min_deadline_ms > 0
            and self.pair.direction_of(self.demand.asset_in, self.demand.asset_out) is self.demand.direction
        )

    @cached_property
    def edge(self) -> Decimal:
        """The edge that we would offer for the life of the offer."""
        return required_edge(
            base=MONEY.add(self.policy.edge_base, self._edge_added),
            per_sqrt_minute=self.policy.edge_per_sqrt_minute,
            lifetime_ms=self.demand.min_deadline_ms + self.policy.deadline_margin_ms,
        )

    @cached_property
    def proposal(self) -> Proposal | None:
        """The offer we would make, None without a valid demand and a positive fair rate."""
        if not self.demand_is_valid or self.fair_rate is None or self.fair_rate <= 0:
            return None
        proposal = propose(
            self.pair,
            self.demand.direction,
            fair_rate=self.fair_rate,
            edge=self.edge,
            amount_in=self.demand.amount_in,
            amount_out=self.demand.amount_out,
        )
        return proposal if proposal.amount_out > 0 else None

    @cached_property
    def gross_edge(self) -> Fraction | None:
        """Recomputed from the integers."""
        if self.proposal is None or self.fair_rate is None:
            return None
        return gross_edge(self.pair, self.demand.direction, fair_rate=self.fair_rate, proposal=self.proposal)

    @cached_property
    def notional_eur(self) -> Fraction | None:
        """Fair value in EUR of the side we receive."""
        if self.proposal is None or self.fair_rate is None or self.price is None:
            return None
        return notional_eur(
            self.pair,
            self.demand.direction,
            fair_rate=self.fair_rate,
            eur_per_quote=self.price.value.quote_asset_eur,
            proposal=self.proposal,
        )

    @cached_property
    def exposure_eur(self) -> Fraction | None:
        """Fair value in EUR of what all open offers, own commands and this offer could spend of the same asset.

        Offers that share a nonce count once, as in the ledger: only one of them can settle. This one counts in full,
        as in `lowest`: the ledger may have rejected what our memory of its nonce rests on.
        """
        promised = self.desk.promised(self.demand.asset_out)
        if self.proposal is None or self.fair_rate is None or self.price is None or promised is None:
            return None
        return value_eur(
            self.pair,
            self.pair.spent(self.demand.direction),
            promised + self.proposal.amount_out,
            fair_rate=self.fair_rate,
            eur_per_quote=self.price.value.quote_asset_eur,
        )

    @cached_property
    def credited(self) -> int | None:
        """What both the snapshot and the ledger credit of the asset we would spend; None when either is missing.

        An unexplained rise is not counted (blueprint, section 9).
        """
        if self.inventory is None or self.desk.ledger is None:
            return None
        asset = self.demand.asset_out
        return min(self.inventory.value.trusted(asset), self.desk.ledger.credited.get(asset, 0))

    @cached_property
    def spendable(self) -> int | None:
        """Credited less what is promised by the ledger and by own commands that it has not handled yet."""
        if self.inventory is None:
            return None
        asset = self.demand.asset_out
        return self.desk.spendable(asset, self.inventory.value.trusted(asset))

    @cached_property
    def reachable(self) -> int | None:
        """What we could have of the asset we would receive, without this offer; an unexplained rise is counted."""
        credited = self.inventory.value.credited.get(self.demand.asset_in) if self.inventory else None
        return None if credited is None else self.desk.reachable(self.demand.asset_in, credited)

    @cached_property
    def lowest(self) -> Fraction | None:
        """Whole tokens that would be left of what we spend if all that is promised and this offer settled.

        The offer counts in full, even where it shares a nonce; the same holds in `highest`.
        """
        if self.proposal is None or self.spendable is None:
            return None
        return self.pair.spent(self.demand.direction).whole(self.spendable - self.proposal.amount_out)

    @cached_property
    def highest(self) -> Fraction | None:
        """Whole tokens that we would have of what we receive if all that could come and this offer settled."""
        if self.proposal is None or self.reachable is None:
            return None
        return self.pair.received(self.demand.direction).whole(self.reachable + self.proposal.amount_in)

    @cached_property
    def lower_bound(self) -> Decimal | None:
        """The least of the asset we would spend, in whole tokens; None where its band has no such bound."""
        return self.policy.quote_min if self.demand.direction is Direction.BASE_IN else self.policy.base_min

    @cached_property
    def upper_bound(self) -> Decimal | None:
        """The most of the asset we would receive, in whole tokens; None where its band has no such bound."""
        return self.policy.base_max if self.demand.direction is Direction.BASE_IN else self.policy.quote_max

    @cached_property
    def share_left(self) -> int | None:
        """By how much holds may still grow within the share of the asset that they may lock."""
        promised = self.desk.promised(self.demand.asset_out)
        if self.credited is None or promised is None:
            return None
        return math.floor(self.credited * Fraction(self.policy.held_share)) - promised

    @cached_property
    def own_room(self) -> int | None:
        """By how much holds may grow before further offers share one: what is left of the share, less the pools.

        A pool holds at most an offer at the notional cap, so with room for the pools, others seldom use the share up.
        """
        if self.share_left is None or self.price is None or not self.fair_rate:
            return None
        largest = spent_units(
            self.pair,
            self.demand.direction,
            eur=self.policy.notional_cap_eur,
            eur_per_quote=self.price.value.quote_asset_eur,
            fair_rate=self.fair_rate,
        )
        return math.floor(self.share_left - POOLS_MAX * largest)

    @cached_property
    def nonce(self) -> NonceChoice | None:
        """The nonce of the offer we would make, None without one or without knowing what is held."""
        if self.proposal is None or self.own_room is None or self.inventory is None:
            return None
        return choose_nonce(
            self.demand,
            self.desk.sharing,
            amount_out=self.proposal.amount_out,
            own_room=self.own_room,
            salt=self.inventory.value.salt,
            policy=self.policy,
            now=self.now,
        )
