"""`unrip near withdrawal`: build the intent of a withdrawal at the bridge's terms, and ask what became of a burn."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

import typer

from unrip.cli.client import settings_of
from unrip.cli.exits import CommandFailed, Exit
from unrip.cli.options import ConfigOption, JsonOption
from unrip.cli.terminal import write, write_json
from unrip.domain.pairs import Asset
from unrip.domain.treasury import BridgeWithdrawal
from unrip.domain.values import Amount, shown
from unrip.frame.jsonable import jsonable
from unrip.frame.settings import Settings
from unrip.net.http import HttpClient
from unrip.venues.near_intents.bridge import Bridge, BridgeRefused, BridgeUnavailable
from unrip.venues.near_intents.withdrawals import WithdrawalOrder, WithdrawalRefused, withdrawal_intent

app = typer.Typer(help="Withdrawals over the bridge; nothing is signed or sent.", no_args_is_help=True)

T = TypeVar("T")

_COMPLETED = "COMPLETED"

_Symbol = Annotated[str, typer.Argument(metavar="ASSET", help="Its symbol in the settings, such as BTC.")]
_To = Annotated[str, typer.Option("--to", help="The address on the other chain, with its checksum.")]
_Receive = Annotated[str, typer.Option("--receive", help="What must arrive there, in whole tokens, such as 0.02.")]
_FeeMax = Annotated[str, typer.Option("--fee-max", help="Refuse a higher fee of the bridge; in whole tokens.")]
_Burn = Annotated[str, typer.Argument(metavar="TRANSACTION", help="The NEAR transaction that burned it.")]


@app.command("build")
def build(
    symbol: _Symbol,
    to: _To,
    receive: _Receive,
    fee_max: _FeeMax,
    config: ConfigOption = None,
    json_output: JsonOption = False,  # noqa: FBT002 - Typer's form
) -> None:
    """Print the intents of a withdrawal for `unrip near sign`: what is received and the bridge's fee of this moment."""
    settings = settings_of(config)
    order = _order(_asset(settings, symbol), to=to, receive=receive, fee_max=fee_max)
    intent = _asked(settings, lambda bridge: _intent(bridge, order))
    if json_output:
        write_json([intent], indent=None)
        return
    asset, burned = order.asset, Amount.parse(intent["amount"])
    write(f"receives: {asset.whole_text(order.receive)} {asset.symbol} on {asset.chain}, at {order.destination}")
    write(f"bridge's fee now: {asset.whole_text(Amount(burned - order.receive))} {asset.symbol}")
    write(f"leaves the ledger: {asset.whole_text(burned)} {asset.symbol}")
    write_json([intent])


@app.command("status")
def status(
    symbol: _Symbol,
    burn: _Burn,
    config: ConfigOption = None,
    json_output: JsonOption = False,  # noqa: FBT002 - Typer's form
) -> None:
    """Exit 0 when the bridge has paid the withdrawal that a transaction burned, 1 with its status when not (yet)."""
    settings = settings_of(config)
    asset = _asset(settings, symbol)
    found = _asked(settings, lambda bridge: bridge.withdrawal_status(burn, asset_id=asset.asset_id))
    if json_output:
        write_json(jsonable(found), indent=None)
    else:
        write(_line(asset, found))
    if found is None or found.status_text.upper() != _COMPLETED:
        raise typer.Exit(Exit.NO)


def _asset(settings: Settings, symbol: str) -> Asset:
    assets = {asset.symbol: asset for asset in settings.pair.pair().assets()}
    if symbol not in assets:
        raise CommandFailed(f"there is no asset {shown(symbol)}; there are: {', '.join(assets)}", code=Exit.USAGE)
    return assets[symbol]


def _order(asset: Asset, *, to: str, receive: str, fee_max: str) -> WithdrawalOrder:
    """What was asked for; the address is judged before the bridge is asked about it."""
    try:
        return WithdrawalOrder(
            asset=asset, destination=to, receive=asset.parse_whole(receive), fee_max=asset.parse_whole(fee_max)
        )
    except ValueError as error:
        raise CommandFailed(str(error), code=Exit.USAGE) from None


async def _intent(bridge: Bridge, order: WithdrawalOrder) -> dict[str, str]:
    chain = order.asset.chain
    tokens = await bridge.supported_tokens(chain)
    estimate = await bridge.withdrawal_estimate(chain, token=order.token, destination=order.destination)
    return withdrawal_intent(order, tokens=tokens, estimate=estimate)


def _asked(settings: Settings, question: Callable[[Bridge], Awaitable[T]]) -> T:
    """The bridge's answer, within the time-outs of every service that asks it."""
    venue = settings.near_intents

    async def ask() -> T:
        http = HttpClient(name="bridge", count=lambda *_: None)
        try:
            return await question(Bridge(http, venue.bridge_rpc_url, account=venue.account))
        finally:
            await http.aclose()

    try:
        return asyncio.run(ask())
    except BridgeUnavailable as error:
        raise CommandFailed(f"{error}; see [near_intents] bridge_rpc_url", code=Exit.UNREACHABLE) from None
    except (BridgeRefused, WithdrawalRefused) as error:
        raise CommandFailed(str(error), code=Exit.NO) from None


def _line(asset: Asset, found: BridgeWithdrawal | None) -> str:
    if found is None:
        return "the bridge has not seen the burn yet; that is no failure, ask again"
    paid = f", paid by {found.transfer_tx_hash}" if found.transfer_tx_hash else ""
    return f"{found.status_text}: {asset.whole_text(found.amount)} {asset.symbol} to {found.address}{paid}"
