"""`unrip explain`: why one quote did or did not become a trade."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Annotated, Any

import typer

from unrip.cli.amounts import Amounts
from unrip.cli.client import settings_of
from unrip.cli.exits import CommandFailed, Exit
from unrip.cli.options import ConfigOption, JsonOption
from unrip.cli.terminal import columns, write, write_json
from unrip.domain.attempt import TradeResult
from unrip.domain.command import TradeCommand
from unrip.domain.decision import Decision, Refusal
from unrip.domain.demand import SwapDemand
from unrip.domain.inventory import IntentInventory
from unrip.domain.market import MarketPrice
from unrip.domain.pairs import Pair
from unrip.domain.values import MONEY, format_rate
from unrip.frame.desk_database import desk_database
from unrip.frame.jsonable import jsonable
from unrip.messages.envelope import Envelope
from unrip.store.connection import Database
from unrip.store.queries import Queries
from unrip.store.quote_history import QuoteHistory

_HINTS = 3
#: Guards whose limit is an amount of what would be spent.
_LIMITED_IN_UNITS = frozenset({Refusal.INSUFFICIENT_INVENTORY, Refusal.INVENTORY_HELD})


def explain(
    quote_id: Annotated[str, typer.Argument(help="The quote's id, or as much of its beginning as makes it unique.")],
    config: ConfigOption = None,
    json_output: JsonOption = False,  # noqa: FBT002 - Typer's form
) -> None:
    """Why a quote did or did not become a trade. Exit 0 when its record is complete, 1 when not, or when unknown."""
    settings = settings_of(config)
    history = asyncio.run(find_quote_history(desk_database(settings), quote_id))
    if json_output:
        write_json(as_json(history))
    else:
        write(*printed(history, settings.pair.pair()))
    raise typer.Exit(Exit.NO if history.missing else Exit.OK)


async def find_quote_history(database: Database, prefix: str) -> QuoteHistory:
    """The history of the one quote whose id begins with the prefix.

    Raises:
        CommandFailed: there is none, or more than one.
        StoreError: PostgreSQL cannot be used.

    """
    async with Queries.connect(database) as queries:
        found = await queries.find(prefix)
        quote_id = prefix if prefix in found or len(found) != 1 else found[0]
        if len(found) > 1 and quote_id not in found:
            raise CommandFailed(
                f"several quotes begin with {prefix!r}, such as {', '.join(found[:_HINTS])}: give more of the id",
                code=Exit.USAGE,
            )
        history = await queries.of_quote(quote_id)
        if history is None:
            latest = ", ".join(line.quote_id for line in await queries.latest_quotes(_HINTS)) or "none"
            raise CommandFailed(
                f"PostgreSQL knows no quote that begins with {prefix!r}; the latest decided are: {latest}", code=Exit.NO
            )
        return history


def as_json(history: QuoteHistory) -> dict[str, Any]:
    """The whole history of a quote with what follows from it."""
    document: dict[str, Any] = jsonable(history)
    return {
        **document,
        "outcome": history.outcome,
        "missing": list(history.missing),
        "stages": jsonable(history.stages),
    }


def printed(history: QuoteHistory, configured: Pair) -> list[str]:
    """The history of a quote as people read it, line by line.

    Amounts are those of the pair as its decision had it, whatever the desk trades today.
    """
    traded = None if history.decision is None else history.decision.payload.traded
    amounts = Amounts(traded or configured)
    lines = [f"quote {history.quote_id}: {history.outcome}", *columns(_facts(history, amounts), indent="  ")]
    if history.decision is not None:
        lines += ["  guards", *_guards(history.decision.payload, amounts)]
    if history.stages:
        lines += ["  time", *_times(history)]
    return [*lines, f"  missing  {', '.join(history.missing) or 'nothing'}"]


def _facts(history: QuoteHistory, amounts: Amounts) -> Iterator[tuple[str, str]]:
    if history.demand is not None:
        yield "asked", _asked(history.demand.payload, amounts)
    if history.price is not None:
        yield "price", _price(history.price)
    if history.inventory is not None:
        yield "inventory", _inventory(history.inventory, amounts)
    if history.decision is not None:
        yield "decided", _decided(history.decision.payload, amounts)
    if history.command is not None:
        yield "command", _commanded(history.command.payload, amounts)
    for result in history.results:
        yield str(result.payload.state), _result(result, amounts)


def _clock(instant: datetime | None) -> str:
    return "unknown" if instant is None else f"{instant:%H:%M:%S.%f}"


def _or_unknown(value: object) -> str:
    return "unknown" if value is None else str(value)


def _number(number: Decimal | None) -> str:
    """The exact number, without the zeros that a fixed number of places leaves at its end."""
    return "unknown" if number is None else f"{number.normalize(MONEY):f}"


def _asked(demand: SwapDemand, amounts: Amounts) -> str:
    return (
        f"{demand.received_at:%Y-%m-%d} {_clock(demand.received_at)} by {demand.partner_id or 'somebody'}, "
        f"{demand.direction}: {amounts.asked(demand)}, "
        f"valid {demand.min_deadline_ms} ms, answer by {_clock(demand.answer_by)}"
    )


def _price(event: Envelope[MarketPrice]) -> str:
    price = event.payload
    first, second = price.primary, price.second_opinion
    sources = [
        f"{price.primary_source} bid {first.bid} ask {first.ask} ({first.transport}, {price.primary_health})"
        if first is not None
        else f"{price.primary_source} {price.primary_health}",
        f"{price.second_opinion_source} {second.base_asset_eur} ({price.second_opinion_health})"
        if second is not None
        else f"{price.second_opinion_source} {price.second_opinion_health}",
    ]
    quote = price.pair.partition("/")[2]
    return (
        f"fair {_or_unknown(price.fair_rate)} {price.pair} at {_clock(event.observed_at)}; {'; '.join(sources)}; "
        f"EUR per {quote} assumed {price.quote_asset_eur}, observed {_or_unknown(price.quote_asset_eur_observed)}"
        f"{', broken' if price.peg and price.peg.broken else ''}"
        f"{'; jumped' if price.has_jumped else ''}"
    )


def _inventory(event: Envelope[IntentInventory], amounts: Amounts) -> str:
    snapshot = event.payload
    pending = "unknown" if snapshot.pending is None else amounts.texts(snapshot.pending.deposits)
    return (
        f"block {snapshot.height} at {_clock(snapshot.block_time)}: credited {amounts.texts(snapshot.credited)}; "
        f"pending in: {pending}"
    )


def _decided(decision: Decision, amounts: Amounts) -> str:
    verdict = "accepted" if decision.accepted else f"refused: {decision.reason}"
    edge = "unknown" if decision.gross_edge is None else format_rate(decision.gross_edge)
    spent = partial(amounts.spent, pair=decision.pair, direction=decision.direction)
    return (
        f"{_clock(decision.decided_at)} {verdict}; edge {edge}, threshold {format_rate(decision.edge_threshold)}; "
        f"rate {_number(decision.implied_rate)} against fair {_number(decision.fair_rate)}; "
        f"notional {_number(decision.notional_eur)} EUR; required {spent(decision.required)}, "
        f"spendable {spent(decision.spendable)}; price {_or_unknown(decision.price_age_ms)} ms old"
        f"{_price_flaw(decision)}, "
        f"inventory {_or_unknown(decision.inventory_age_ms)} ms old"
    )


def _price_flaw(decision: Decision) -> str:
    if decision.price_fallback:
        return f", by {decision.price_source} alone"
    return ", without a second opinion" if decision.price_degraded else ""


def _commanded(command: TradeCommand, amounts: Amounts) -> str:
    return f"{command.command_id}: {amounts.exchanged(command)}, offer until {_clock(command.offer_deadline)}"


def _result(event: Envelope[TradeResult], amounts: Amounts) -> str:
    result = event.payload
    parts = [_clock(event.published_at)]
    if result.reason is not None:
        numbers = amounts.numbers(result.numbers, pair=result.pair, direction=result.direction)
        parts.append(f"{result.reason}, {numbers}" if numbers else result.reason)
    if result.response is not None:
        parts.append(f"the relay said {result.response.text!r} (code {_or_unknown(result.response.code)})")
    if (evidence := result.evidence) is not None:
        used = "used" if evidence.nonce_used else "unused"
        parts.append(f"block {evidence.height} at {_clock(evidence.block_time)}: nonce {used}")
        if evidence.tx_hash is not None:
            parts.append(f"transaction {evidence.tx_hash}")
        if evidence.diff is not None:
            parts.append(f"moved {amounts.texts(evidence.diff)}")
        if evidence.compared_with is not None:
            parts.append(f"balances since block {evidence.compared_with}: {amounts.texts(evidence.moved or {})}")
    return "; ".join(parts)


def _guards(decision: Decision, amounts: Amounts) -> list[str]:
    """All guards with their numbers, those that refused first."""
    rows = []
    for guard in sorted(decision.guards, key=lambda guard: guard.passed):
        numbers = amounts.numbers(
            guard.numbers, pair=decision.pair, direction=decision.direction, limit=guard.reason in _LIMITED_IN_UNITS
        )
        rows.append(("passed" if guard.passed else "REFUSED", str(guard.reason), numbers))
    return columns(rows, indent="    ")


def _times(history: QuoteHistory) -> list[str]:
    """When each stage was reached, and the time since the one before."""
    return columns(((_clock(stage.at), f"+{stage.ms:.1f} ms", stage.stage) for stage in history.stages), indent="    ")
