"""`unrip explain`: one quote, end to end."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated, Any

import typer
from rich.console import Console, Group, RenderableType
from rich.table import Table

from unrip.cli.desk import settings_of
from unrip.cli.exits import CommandFailed, Exit
from unrip.cli.options import ConfigOption, JsonOption
from unrip.domain.decision import Decision
from unrip.service.jsonable import jsonable
from unrip.store.queries import Chain, Queries

_console = Console(highlight=False)


def explain(
    quote_id: Annotated[str, typer.Argument(help="The quote's id, or as much of its beginning as makes it unique.")],
    config: ConfigOption = None,
    json_output: JsonOption = False,  # noqa: FBT002 - Typer's form
) -> None:
    """Why a quote did or did not become a trade. Exit 1 when it is unknown or its record has a hole."""
    url = settings_of(config).postgres_url()
    chain = asyncio.run(_chain(url, quote_id))
    if json_output:
        typer.echo(json.dumps(as_json(chain), indent=2))
    else:
        _console.print(printed(chain), soft_wrap=True)
    raise typer.Exit(Exit.NO if chain.missing else Exit.OK)


async def _chain(url: str, prefix: str) -> Chain:
    async with Queries.connect(url) as queries:
        found = await queries.find(prefix)
        if not found:
            raise CommandFailed(f"PostgreSQL knows no quote {prefix!r}; is the history writer behind?", code=Exit.NO)
        if len(found) > 1:
            raise CommandFailed(f"several quotes begin with {prefix!r}: give more of the id", code=Exit.USAGE)
        return await queries.chain(found[0])


def as_json(chain: Chain) -> dict[str, Any]:
    """The whole chain with what follows from it."""
    told: dict[str, Any] = jsonable(chain)
    return {**told, "outcome": chain.outcome, "missing": list(chain.missing), "stages_ms": chain.stages_ms}


def printed(chain: Chain) -> RenderableType:
    """The chain as people read it."""
    parts: list[RenderableType] = [f"quote {chain.quote_id}: {chain.outcome}"]
    if chain.demand is not None:
        demand = chain.demand.payload
        fixed = f"gives {demand.amount_in}" if demand.amount_in is not None else f"wants {demand.amount_out}"
        parts.append(
            f"  asked     {demand.received_at:%Y-%m-%d %H:%M:%S.%f} by {demand.partner_id or 'unknown'}: {fixed} "
            f"({demand.asset_in} → {demand.asset_out}), answer by {demand.answer_by:%H:%M:%S.%f}"
        )
    if chain.decision is not None:
        parts += _decision(chain.decision.payload)
    if chain.command is not None:
        command = chain.command.payload
        parts.append(
            f"  command   {command.command_id}: receive {command.amount_in}, spend {command.amount_out}, "
            f"offer until {command.offer_deadline:%H:%M:%S.%f}"
        )
    for result in chain.results:
        state = result.payload
        why = f" ({state.reason})" if state.reason else ""
        evidence = state.evidence
        proof = (
            f", block {evidence.height}, nonce used: {evidence.nonce_used}, tx {evidence.tx_hash}" if evidence else ""
        )
        parts.append(f"  {state.state:9} {result.published_at:%H:%M:%S.%f}{why}{proof}")
    if chain.stages_ms:
        spent = ", ".join(f"{stage} +{milliseconds:.1f} ms" for stage, milliseconds in chain.stages_ms.items())
        parts.append(f"  time      received, {spent}")
    parts.append(f"  missing   {', '.join(chain.missing) or 'nothing'}")
    return Group(*parts)


def _decision(decision: Decision) -> list[RenderableType]:
    """The verdict, its numbers, and the guards: those that refused first."""
    lines: list[RenderableType] = [
        f"  decided   {'accepted' if decision.accepted else f'refused: {decision.reason}'} at "
        f"{decision.decided_at:%H:%M:%S.%f}; edge {decision.gross_edge}, threshold {decision.edge_threshold}, "
        f"notional {decision.notional_eur} EUR",
        f"  price     fair {decision.fair_rate} from {decision.price_source}, {decision.price_age_ms} ms old"
        f"{', degraded' if decision.price_degraded else ''}; EUR per EURe assumed {decision.eure_eur_assumption}",
        f"  inventory {decision.inventory_age_ms} ms old; required {decision.required}, spendable {decision.spendable}",
    ]
    table = Table(box=None, padding=(0, 2), show_header=False)
    for guard in sorted(decision.guards, key=lambda guard: guard.passed):
        numbers = ", ".join(f"{name} {value}" for name, value in guard.numbers.items())
        table.add_row("", "passed" if guard.passed else "REFUSED", guard.reason, numbers)
    return [*lines, table]
