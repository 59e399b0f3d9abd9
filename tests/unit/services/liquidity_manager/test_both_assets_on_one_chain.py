"""Both assets of a pair may come from one chain: the bridge names one address for it, and neither asset is lost."""

from __future__ import annotations

import msgspec

from support.engine import a_record
from support.logic import BTC, EURE, PAIR, T0, act, lines, of, published
from unrip.domain.pairs import Pair
from unrip.domain.treasury import AddressAccepted, AddressIssued, BridgeToken, Treasury
from unrip.domain.values import Amount
from unrip.frame.contract import BusChanged, CaughtUp, Effect, Publish, RecordReceived, Started
from unrip.messages.topics import LIQUIDITY_ACTION, TREASURY
from unrip.services.liquidity_manager.effects import ChainRead, ReadChain
from unrip.services.liquidity_manager.logic import LiquidityManager

CHAIN = "eth:100"
ON_ONE_CHAIN = Pair(base=msgspec.structs.replace(PAIR.base, chain=CHAIN), quote=PAIR.quote)
ACCOUNT = "desk.example.near"


def started(*earlier: Publish) -> tuple[LiquidityManager, list[Effect]]:
    logic = LiquidityManager(pair=ON_ONE_CHAIN, account=ACCOUNT, interval_s=30)
    logic.on_event(BusChanged(up=True, reason=""), T0)
    logic.on_event(Started(active=True, generation=None, start_id="liquidity-1"), T0)
    for offset, record in enumerate(earlier):
        message = a_record(record.topic, record.payload).message
        logic.on_event(RecordReceived(topic=record.topic.name, topic_id="t", offset=offset, message=message), T0)
    logic.on_event(CaughtUp(topic=TREASURY.name, topic_id="t"), T0)
    return logic, list(logic.on_event(CaughtUp(topic=LIQUIDITY_ACTION.name, topic_id="t"), T0))


def answer(address: str = "0xdesk") -> ChainRead:
    tokens = tuple(
        BridgeToken(
            asset_id=each, chain=CHAIN, min_deposit=Amount(1), min_withdrawal=Amount(2), withdrawal_fee=Amount(3)
        )
        for each in (BTC, EURE, "nep141:stranger.near")
    )
    return ChainRead(chain=CHAIN, address=address, tokens=tokens, deposits=(), withdrawals=(), observed_at=T0)


def told(logic: LiquidityManager, address: str = "0xdesk") -> list[Effect]:
    return list(logic.on_event(answer(address), T0))


def test_the_chain_is_asked_once_and_both_assets_have_its_address_and_their_terms() -> None:
    logic, effects = started()
    assert of(ReadChain, effects) == [ReadChain(chain=CHAIN)]
    effects = told(logic)
    (record,) = published(effects, TREASURY.name)
    treasury: Treasury = record.payload
    assert [(each.asset_id, each.address) for each in treasury.addresses] == [(BTC, "0xdesk"), (EURE, "0xdesk")]
    assert [token.asset_id for token in treasury.tokens] == [BTC, EURE]
    assert treasury.bridge_observed_at == T0
    issued = [record.payload for record in published(effects, LIQUIDITY_ACTION.name)]
    assert [each.step for each in issued] == [
        AddressIssued(chain=CHAIN, asset_id=asset, address="0xdesk") for asset in (BTC, EURE)
    ]
    assert len({each.action_id for each in issued}) == 2
    assert lines(effects) == ["funding_requested"] * 2
    assert not published(told(logic), LIQUIDITY_ACTION.name), "nothing of it is new"


def test_a_doubt_about_the_address_is_one_about_both_and_so_is_the_operators_word() -> None:
    logic, _effects = started()
    records = published(told(logic), LIQUIDITY_ACTION.name)
    changed = told(logic, "0xother")
    records += published(changed, LIQUIDITY_ACTION.name)
    (treasury,) = published(changed, TREASURY.name)
    assert treasury.payload.addresses == ()
    assert lines(changed) == ["deposit_address_changed"] * 2
    accepted = act(logic, "deposit-addresses", chain=CHAIN, accept="0xother")
    records += published(accepted, LIQUIDITY_ACTION.name)
    assert [record.payload.step for record in published(accepted, LIQUIDITY_ACTION.name)] == [
        AddressAccepted(chain=CHAIN, asset_id=asset, address="0xother", actor="operator") for asset in (BTC, EURE)
    ]
    records += published(told(logic, "0xother"), LIQUIDITY_ACTION.name)
    again, _effects = started(*records)
    effects = told(again, "0xother")
    assert not published(effects, LIQUIDITY_ACTION.name), "an earlier life has told all of it"
    (treasury,) = published(effects, TREASURY.name)
    assert [each.address for each in treasury.payload.addresses] == ["0xother", "0xother"]
