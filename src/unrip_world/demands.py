"""Demands of the control endpoint and of scripts: what a test asks the market to ask."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Literal

import msgspec

from unrip_world.assets import Pair
from unrip_world.relay.auction import DEFAULT_MIN_DEADLINE_MS, Auction, QuoteRequest
from unrip_world.takers.core import Ask, Wallet
from unrip_world.verifier.message import check_token_id


class DemandError(ValueError):
    """The demand cannot be published; the text says why."""


class Demand(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /demands`, and a table of a script.

    Amounts are the taker's own, before the fee; raw ones are published as given. `limit_pct` is how much worse than
    fair value the trade may be; `accept = "never"` only asks, and
    `dry` says so to the solvers.
    """

    direction: Literal["btc_to_eure", "eure_to_btc", "base_to_quote", "quote_to_base"] | None = None
    asset_in: str | None = None
    asset_out: str | None = None
    amount_in: str | int | None = None
    amount_out: str | int | None = None
    min_deadline_ms: int | None = DEFAULT_MIN_DEADLINE_MS
    min_wait_ms: int | None = 1_000
    max_wait_ms: int | None = 3_000
    protocol_fee_included: bool | None = None
    limit_pct: Decimal = Decimal(5)
    accept: Literal["best", "never"] = "best"
    partner_id: str | None = "1click"
    dry: bool = False
    raw: bool = False

    def assets(self, pair: Pair) -> tuple[str, str]:
        """Give asset in and asset out; raises DemandError."""
        if self.direction is not None and self.asset_in is None and self.asset_out is None:
            return pair.exchanged(self.direction)
        if self.direction is None and self.asset_in and self.asset_out:
            return self.asset_in, self.asset_out
        raise DemandError("give either direction, or asset_in and asset_out")

    def amounts(self) -> tuple[int | None, int | None]:
        """Give amount in and amount out, one of them None; raises DemandError."""
        if (self.amount_in is None) == (self.amount_out is None):
            raise DemandError("give exactly one of amount_in and amount_out, or raw: true")
        return _positive(self.amount_in), _positive(self.amount_out)

    def check(self) -> None:
        """Raise DemandError for what no taker could ask; raw demands are published whatever their amounts."""
        assets = self.assets(Pair())
        if self.raw:
            return
        self.amounts()
        try:
            for asset in assets:
                check_token_id(asset)
        except ValueError as error:
            raise DemandError(str(error)) from error

    def ask(self, wallet: Wallet, pair: Pair) -> Ask:
        """Give what the control taker asks."""
        asset_in, asset_out = self.assets(pair)
        amount_in, amount_out = self.amounts()
        return Ask(
            wallet=wallet,
            asset_in=asset_in,
            asset_out=asset_out,
            amount_in=amount_in,
            amount_out=amount_out,
            limit_pct=self.limit_pct if self.accept == "best" else None,
            min_deadline_ms=self.min_deadline_ms,
            min_wait_ms=self.min_wait_ms,
            max_wait_ms=self.max_wait_ms,
            protocol_fee_included=self.protocol_fee_included,
            partner_id=self.partner_id,
            dry=self.dry,
        )

    def request(self, quote_id: str, pair: Pair) -> QuoteRequest:
        """Give a raw demand as it is published; nobody ever accepts its answers."""
        asset_in, asset_out = self.assets(pair)
        return QuoteRequest(
            quote_id=quote_id,
            asset_in=asset_in,
            asset_out=asset_out,
            exact_amount_in=None if self.amount_in is None else str(self.amount_in),
            exact_amount_out=None if self.amount_out is None else str(self.amount_out),
            min_deadline_ms=self.min_deadline_ms,
            min_wait_ms=self.min_wait_ms,
            max_wait_ms=self.max_wait_ms,
            protocol_fee_included=self.protocol_fee_included,
            dry=self.dry,
            metadata={} if self.partner_id is None else {"partner_id": self.partner_id},
        )


def read_demand(body: Mapping[str, Any]) -> Demand:
    """Read a body that can be published; raises DemandError."""
    try:
        demand = msgspec.convert(body, Demand)
    except msgspec.ValidationError as error:
        raise DemandError(str(error)) from error
    demand.check()
    return demand


def _positive(amount: str | int | None) -> int | None:
    if amount is None:
        return None
    try:
        value = int(amount)
    except ValueError as error:
        raise DemandError(f"amount {amount!r} is not an integer") from error
    if value <= 0:
        raise DemandError("amounts must be positive")
    return value


def listed(auction: Auction) -> dict[str, Any]:
    """Give the form in which `GET /demands` shows an auction."""
    return {
        "quote_id": auction.request.quote_id,
        "published_at_ms": auction.published_ns // 10**6,
        "published": auction.request.event(),
        "status": auction.status,
        "answers": [
            {
                "solver": answer.solver,
                "received_ms": answer.received_ms,
                "reply": answer.reply,
                "quote_hash": answer.offer and answer.offer.quote_hash,
                "amount_in": answer.offer and str(answer.offer.amount_in),
                "amount_out": answer.offer and str(answer.offer.amount_out),
            }
            for answer in auction.answers
        ],
        "winner": auction.winner and auction.winner.quote_hash,
        "tx_hash": auction.tx_hash,
        "intent_hash": auction.intent_hash,
        "error": auction.error,
    }
