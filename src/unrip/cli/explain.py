"""`unrip explain`: why one quote did or did not become a trade."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any

import typer

from unrip.cli.desk import settings_of
from unrip.cli.exits import CommandFailed, Exit
from unrip.cli.options import ConfigOption, JsonOption
from unrip.cli.terminal import columns, say, say_json
from unrip.domain.attempt import TradeResult
from unrip.domain.command import TradeCommand
from unrip.domain.decision import Decision
from unrip.domain.demand import SwapDemand
from unrip.domain.inventory import IntentInventory
from unrip.domain.market import MarketPrice
from unrip.domain.values import format_rate
from unrip.messages.envelope import Envelope
from unrip.service.jsonable import jsonable
from unrip.store.chain import Chain
from unrip.store.queries import Queries

_HINTS = 3


def explain(
    quote_id: Annotated[str, typer.Argument(help="The quote's id, or as much of its beginning as makes it unique.")],
    config: ConfigOption = None,
    json_output: JsonOption = False,  # noqa: FBT002 - Typer's form
) -> None:
    """Why a quote did or did not become a trade. Exit 0 when its record is complete, 1 when not, or when unknown."""
    chain = asyncio.run(find_chain(settings_of(config).postgres_url(), quote_id))
    if json_output:
        say_json(as_json(chain))
    else:
        say(*printed(chain))
    raise typer.Exit(Exit.NO if chain.missing else Exit.OK)


async def find_chain(url: str, prefix: str) -> Chain:
    """The chain of the one quote whose id begins so.

    Raises:
        CommandFailed: there is none, or more than one.
        StoreError: PostgreSQL cannot be used.

    """
    async with Queries.connect(url) as queries:
        found = await queries.find(prefix)
        quote_id = prefix if prefix in found or len(found) != 1 else found[0]
        if len(found) > 1 and quote_id not in found:
            raise CommandFailed(
                f"several quotes begin with {prefix!r}, such as {', '.join(found[:_HINTS])}: give more of the id",
                code=Exit.USAGE,
            )
        chain = await queries.chain(quote_id)
        if chain is None:
            latest = ", ".join(line.quote_id for line in await queries.latest_quotes(_HINTS)) or "none"
            raise CommandFailed(
                f"PostgreSQL knows no quote that begins with {prefix!r}; the latest decided are: {latest}", code=Exit.NO
            )
        return chain


def as_json(chain: Chain) -> dict[str, Any]:
    """The whole chain with what follows from it."""
    told: dict[str, Any] = jsonable(chain)
    return {**told, "outcome": chain.outcome, "missing": list(chain.missing), "stages": jsonable(chain.stages)}


def printed(chain: Chain) -> list[str]:
    """The chain as people read it, line by line. Amounts are in smallest units."""
    lines = [f"quote {chain.quote_id}: {chain.outcome}", *columns(_facts(chain), indent="  ")]
    if chain.decision is not None:
        lines += ["  guards", *_guards(chain.decision.payload)]
    if chain.stages:
        lines += ["  time", *_times(chain)]
    return [*lines, f"  missing  {', '.join(chain.missing) or 'nothing'}"]


def _facts(chain: Chain) -> Iterator[tuple[str, str]]:
    if chain.demand is not None:
        yield "asked", _asked(chain.demand.payload)
    if chain.price is not None:
        yield "price", _price(chain.price)
    if chain.inventory is not None:
        yield "inventory", _inventory(chain.inventory)
    if chain.decision is not None:
        yield "decided", _decided(chain.decision.payload)
    if chain.command is not None:
        yield "command", _commanded(chain.command.payload)
    for result in chain.results:
        yield str(result.payload.state), _result(result)


def _clock(instant: datetime | None) -> str:
    return "unknown" if instant is None else f"{instant:%H:%M:%S.%f}"


def _or_unknown(value: object) -> str:
    return "unknown" if value is None else str(value)


def _asked(demand: SwapDemand) -> str:
    fixed = f"gives {demand.amount_in}" if demand.amount_in is not None else f"wants {_or_unknown(demand.amount_out)}"
    return (
        f"{demand.received_at:%Y-%m-%d} {_clock(demand.received_at)} by {demand.partner_id or 'somebody'}, "
        f"{demand.direction}: {fixed} ({demand.asset_in} → {demand.asset_out}), "
        f"valid {demand.min_deadline_ms} ms, answer by {_clock(demand.answer_by)}"
    )


def _price(event: Envelope[MarketPrice]) -> str:
    price = event.payload
    kraken, second = price.kraken, price.coingecko
    sources = [
        f"kraken bid {kraken.bid} ask {kraken.ask} ({kraken.transport}, {price.kraken_health})"
        if kraken is not None
        else f"kraken {price.kraken_health}",
        f"coingecko {second.btc_eur} ({price.coingecko_health})"
        if second is not None
        else f"coingecko {price.coingecko_health}",
    ]
    return (
        f"fair {_or_unknown(price.fair_rate)} {price.pair} at {_clock(event.observed_at)}; {'; '.join(sources)}; "
        f"EUR per EURe assumed {price.eure_eur_assumption}, observed {_or_unknown(price.eure_eur_observed)}"
        f"{', broken' if price.peg and price.peg.broken else ''}"
        f"{'; jumped' if price.has_jumped else ''}"
    )


def _inventory(event: Envelope[IntentInventory]) -> str:
    snapshot = event.payload
    credited = ", ".join(f"{asset} {amount}" for asset, amount in snapshot.credited.items()) or "nothing"
    pending = "unknown" if snapshot.pending is None else _amounts(snapshot.pending.deposits)
    return f"block {snapshot.height} at {_clock(snapshot.block_time)}: credited {credited}; pending in: {pending}"


def _amounts(amounts: dict[str, Any]) -> str:
    return ", ".join(f"{asset} {amount}" for asset, amount in amounts.items()) or "nothing"


def _decided(decision: Decision) -> str:
    verdict = "accepted" if decision.accepted else f"refused: {decision.reason}"
    edge = "unknown" if decision.gross_edge is None else format_rate(decision.gross_edge)
    return (
        f"{_clock(decision.decided_at)} {verdict}; edge {edge}, threshold {format_rate(decision.edge_threshold)}; "
        f"rate {_or_unknown(decision.implied_rate)} against fair {_or_unknown(decision.fair_rate)}; "
        f"notional {_or_unknown(decision.notional_eur)} EUR; required {_or_unknown(decision.required)}, "
        f"spendable {_or_unknown(decision.spendable)}; price {_or_unknown(decision.price_age_ms)} ms old"
        f"{_price_flaw(decision)}, "
        f"inventory {_or_unknown(decision.inventory_age_ms)} ms old"
    )


def _price_flaw(decision: Decision) -> str:
    if decision.price_fallback:
        return ", by CoinGecko alone"
    return ", without a second opinion" if decision.price_degraded else ""


def _commanded(command: TradeCommand) -> str:
    return (
        f"{command.command_id}: receive {command.amount_in} {command.asset_in}, "
        f"spend {command.amount_out} {command.asset_out}, offer until {_clock(command.offer_deadline)}"
    )


def _result(event: Envelope[TradeResult]) -> str:
    result = event.payload
    parts = [_clock(event.published_at)]
    if result.reason is not None:
        parts.append(", ".join([result.reason, *(f"{name} {value}" for name, value in result.numbers.items())]))
    if result.response is not None:
        parts.append(f"the relay said {result.response.text!r} (code {_or_unknown(result.response.code)})")
    if (evidence := result.evidence) is not None:
        used = "used" if evidence.nonce_used else "unused"
        parts.append(f"block {evidence.height} at {_clock(evidence.block_time)}: nonce {used}")
        if evidence.tx_hash is not None:
            parts.append(f"transaction {evidence.tx_hash}")
        if evidence.diff is not None:
            parts.append(f"moved {_amounts(evidence.diff)}")
        if evidence.compared_with is not None:
            parts.append(f"balances since block {evidence.compared_with}: {_amounts(evidence.moved or {})}")
    return "; ".join(parts)


def _guards(decision: Decision) -> list[str]:
    """All guards with their numbers, those that refused first."""
    rows = []
    for guard in sorted(decision.guards, key=lambda guard: guard.passed):
        numbers = ", ".join(f"{name} {value}" for name, value in guard.numbers.items())
        rows.append(("passed" if guard.passed else "REFUSED", str(guard.reason), numbers))
    return columns(rows, indent="    ")


def _times(chain: Chain) -> list[str]:
    """When each stage was reached, and the time since the one before."""
    return columns(((_clock(stage.at), f"+{stage.ms:.1f} ms", stage.stage) for stage in chain.stages), indent="    ")
