"""Another token of the same coin, as Bitcoin has two: it is seen and named, never counted or traded as the pair's."""

from __future__ import annotations

import json

import msgspec
import pytest

from support.inventory import Sync
from support.logic import BTC, EURE, PAIR, T0, of, published
from unrip.cli.amounts import Amounts
from unrip.domain.inventory import Reconciliation
from unrip.domain.pairs import Pair
from unrip.domain.treasury import BridgeDeposit, DepositState
from unrip.domain.values import Amount
from unrip.frame.contract import BusChanged, CaughtUp, ControlRefused, Log, Started
from unrip.messages.topics import LIQUIDITY_ACTION, SWAP_DEMAND, TREASURY
from unrip.net.events import FrameReceived, SocketOpened
from unrip.services.liquidity_manager.effects import ChainRead
from unrip.services.liquidity_manager.logic import LiquidityManager
from unrip.services.near_intents_ingest.logic import NearIntentsIngest
from unrip.services.relay_link import RELAY

NBTC = "nep141:nbtc.bridge.near"
TWO_TOKENS = Pair(base=msgspec.structs.replace(PAIR.base, aliases=(NBTC,)), quote=PAIR.quote)


def test_a_pair_is_traded_in_its_own_tokens_only() -> None:
    assert TWO_TOKENS.direction_of(NBTC, EURE) is None
    assert TWO_TOKENS.direction_of(BTC, EURE) is not None
    assert TWO_TOKENS.balances() == {"BTC": BTC, "EURe": EURE, NBTC: NBTC}


@pytest.mark.parametrize("ids", [(NBTC, EURE), (EURE, NBTC)])
def test_a_quote_in_another_token_is_counted_and_no_demand(ids: tuple[str, str]) -> None:
    logic = NearIntentsIngest(pairs=(TWO_TOKENS,), raw_cap_per_s=2, mute_after_ms=60_000, subscribe_again_ms=30_000)
    logic.on_event(Started(active=True, generation=None, start_id="ingest-1"), T0)
    logic.on_event(BusChanged(up=True, reason=""), T0)
    logic.on_event(SocketOpened(connection=RELAY), T0)
    for number, (asset_in, asset_out) in enumerate((ids, (NBTC, BTC), (NBTC, "nep141:stranger.near"))):
        data = {
            "quote_id": f"quote-{number}",
            "defuse_asset_identifier_in": asset_in,
            "defuse_asset_identifier_out": asset_out,
            "exact_amount_in": "20000",
            "min_deadline_ms": 60_000,
        }
        text = json.dumps({"jsonrpc": "2.0", "method": "event", "params": {"subscription": "s", "data": data}})
        frame = FrameReceived(connection=RELAY, text=text, size_bytes=len(text), received_at=T0)
        assert not published(list(logic.on_event(frame, T0)), SWAP_DEMAND.name)
    assert logic.state(T0).quotes["other_token"] == 1


def test_a_deposit_in_another_token_explains_that_token_and_makes_nothing_of_ours_spendable() -> None:
    sync = Sync(pair=TWO_TOKENS)
    sync.others[NBTC] = Amount(0)
    sync.read(btc=100)
    sync.action("deposit_completed", 50, mint="mint-1", asset_id=NBTC, began_s=sync.second)
    sync.others[NBTC] = Amount(50)
    snapshot = sync.read(btc=100)
    assert (snapshot.credited[BTC], snapshot.trusted(BTC), snapshot.credited[NBTC]) == (100, 100, 50)
    assert snapshot.reconciliation[BTC] is Reconciliation.UNCHANGED
    assert snapshot.reconciliation[NBTC] is Reconciliation.CHANGED
    assert [(each.asset_id, each.change) for each in snapshot.changes] == [(NBTC, 50)]


def test_a_gift_in_another_token_is_told_by_its_id_and_accepted_by_it() -> None:
    sync = Sync(pair=TWO_TOKENS)
    sync.others[NBTC] = Amount(0)
    sync.read()
    sync.others[NBTC] = Amount(7)
    assert sync.read().reconciliation[NBTC] is Reconciliation.UNEXPLAINED_RISE
    (line,) = [each for each in of(Log, sync.effects) if each.event == "balance_unexplained"]
    assert (line.level, line.body["asset"], line.body["unexplained"]) == ("warning", NBTC, "7")
    with pytest.raises(ControlRefused, match="nothing of BTC is unexplained"):
        sync.operator("accept-balance", asset="BTC", unexplained="7")
    sync.operator("accept-balance", asset=NBTC, unexplained="7")
    assert sync.read().unexplained(NBTC) == 0


@pytest.mark.parametrize(("asset_id", "level", "told"), [(NBTC, "warning", True), (BTC, "info", False)])
def test_a_deposit_that_comes_as_another_token_is_named_so(asset_id: str, level: str, told: bool) -> None:
    logic = LiquidityManager(pair=TWO_TOKENS, account="desk.example.near", interval_s=30)
    logic.on_event(BusChanged(up=True, reason=""), T0)
    logic.on_event(Started(active=True, generation=None, start_id="liquidity-1"), T0)
    for topic in (TREASURY, LIQUIDITY_ACTION):
        logic.on_event(CaughtUp(topic=topic.name, topic_id="t"), T0)
    deposit = BridgeDeposit(
        deposit_id="d1",
        chain="btc:mainnet",
        asset_id=asset_id,
        amount=Amount(150_000),
        address="bc1qdesk",
        state=DepositState.CREDITED,
        status_text="CREDITED",
        created_at=T0,
        tx_hash=None,
        mint_tx_hash=None,
    )
    read = ChainRead(
        chain="btc:mainnet", address="bc1qdesk", tokens=(), deposits=(deposit,), withdrawals=(), observed_at=T0
    )
    effects = list(logic.on_event(read, T0))
    (line,) = [each for each in of(Log, effects) if each.event == "funding_credited"]
    assert (line.level, line.body["asset_id"]) == (level, asset_id)
    assert ("other_token_of" in line.body) == told
    if told:
        assert line.body["other_token_of"] == f"BTC, which is {BTC}"


def test_an_amount_of_another_token_is_no_amount_of_ours() -> None:
    assert Amounts(TWO_TOKENS).text(150_000, NBTC) == f"150000 smallest units of {NBTC} (another token of BTC)"
